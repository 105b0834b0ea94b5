//! A request that breaks a red line, written so that somebody runs it.

use std::sync::Arc;

use doorward_model::{AppId, RouteId};
use doorward_policy::{Cases, Decision, NewCase, Situation};

use crate::solver::{Difference, Example};

/// How many names are tried for a route that is not as the cases have it.
const NAMES_MAX: usize = 20;

/// A request that breaks a red line.
#[derive(Clone, Debug)]
pub struct Breach {
    /// What happens.
    pub situation: Situation,
    /// The policies that let it happen, by name.
    pub by: Vec<String>,
    /// A case that says what must come of it, and fails; none if no case can say it.
    pub case: Option<String>,
}

/// What a solver found.
pub(super) trait Found {
    fn situation(&self) -> Option<&Situation>;
}

impl Found for Example {
    fn situation(&self) -> Option<&Situation> {
        self.situation.as_ref()
    }
}

impl Found for Difference {
    fn situation(&self) -> Option<&Situation> {
        self.situation.as_ref()
    }
}

impl Breach {
    /// `allow` is what must come of it.
    pub(super) fn new(
        cases: &Cases,
        title: &str,
        by: &[String],
        situation: &Situation,
        allow: bool,
        breaks: impl Fn(&Situation) -> bool,
    ) -> Self {
        let expect = if allow { Decision::Allow } else { Decision::Deny };
        let write = |situation: &Situation| {
            let none: [Arc<str>; 0] = [];
            let text = cases.write(&NewCase { name: title, situation, expect, by: &none }).ok()?;
            // Whatever permits it is right; what must forbid it whoever mends the policies knows.
            Some(match expect {
                Decision::Allow => text.replace("\nby = []\n", "\n"),
                Decision::Deny => text,
            })
        };
        let as_it_is = write(situation).map(|case| (situation.clone(), case));
        let renamed = || {
            (1..=NAMES_MAX).find_map(|n| {
                let app: AppId = situation.route.id.app().clone();
                let id = RouteId::new(app, &format!("some-route-{n}")).ok()?;
                let mut next = situation.clone();
                next.route.id = id;
                let case = breaks(&next).then(|| write(&next))??;
                Some((next, case))
            })
        };
        match as_it_is.or_else(renamed) {
            Some((situation, case)) => Self { situation, by: by.to_vec(), case: Some(case) },
            None => Self { situation: situation.clone(), by: by.to_vec(), case: None },
        }
    }
}
