//! A request that breaks a red line, written so that somebody runs it.

use std::sync::Arc;

use doorward_model::{AppId, RouteId};
use doorward_policy::{Cases, Decision, NewCase, Situation, Workshop};

use super::court::Seen;

/// How many names are tried for a route that is not as the cases have it.
const NAMES_MAX: usize = 20;

/// A request that breaks a red line.
#[derive(Clone, Debug)]
pub struct Breach {
    /// What happens.
    pub situation: Situation,
    /// The policies that let it happen, by name; of an edit those that decide now.
    pub by: Vec<String>,
    /// What it shows.
    pub shows: Shows,
    /// The request in the words of the cases, with what must come of it ([`Shows`] says what that is).
    pub request: String,
    /// Whether this is a case that can be put beside the others. Not, where they define the route with other
    /// facts, or where it demands nothing.
    pub fits: bool,
}

/// What a request shows, and so what its case expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shows {
    /// What should not be: the case expects the opposite, and fails until that is so.
    Mistake,
    /// It is allowed, and with one fact changed it is not. The case expects that it is denied; to allow the
    /// other one mends it as well.
    Comparison {
        /// The fact and what it would be.
        with: String,
    },
    /// A policy cannot be evaluated. No case can say so, and what should come of it nobody but its author knows:
    /// the request expects nothing.
    Failure,
    /// An edit decides otherwise than the policies did before. The case expects what is decided now.
    Edit {
        /// The policies that decided before; none: nothing permitted it.
        before: Vec<String>,
    },
}

impl Breach {
    pub(super) fn new(
        workshop: &Workshop,
        seen: &Seen<'_>,
        situation: &Situation,
        breaks: impl Fn(&Situation) -> bool,
    ) -> Self {
        let now = workshop.bundle().decide(&situation.question());
        let expect = match (&seen.shows, now.decision) {
            (Shows::Failure | Shows::Edit { .. }, now) => now,
            (Shows::Mistake | Shows::Comparison { .. }, Decision::Allow) => Decision::Deny,
            (Shows::Mistake | Shows::Comparison { .. }, Decision::Deny) => Decision::Allow,
        };
        let demands = match (&seen.shows, expect) {
            (Shows::Edit { .. }, _) => Demands::By(now.determining.clone()),
            // Whatever permits it is right; what must forbid it whoever mends the policies knows.
            (Shows::Mistake | Shows::Comparison { .. }, Decision::Allow) => Demands::Decision,
            (Shows::Mistake | Shows::Comparison { .. }, Decision::Deny) => Demands::By(Vec::new()),
            (Shows::Failure, _) => Demands::Nothing,
        };
        let write =
            |situation: &Situation| written(workshop.cases(), seen.title, situation, expect, &demands);
        let decided = |s: &Situation| workshop.bundle().decide(&s.question()).determining;
        // Of an edit it is told which policies decide, so that these must be the same.
        let shows_too = |next: &Situation| match seen.shows {
            Shows::Edit { .. } => breaks(next) && decided(next) == now.determining,
            Shows::Mistake | Shows::Comparison { .. } | Shows::Failure => breaks(next),
        };
        let (text, fits, situation) = match write(situation) {
            Some(text) => (text, true, situation.clone()),
            None => match renamed(situation, |next| if shows_too(next) { write(next) } else { None }) {
                Some((next, text)) => (text, true, next),
                None => (described(situation, write), false, situation.clone()),
            },
        };
        let fits = fits && seen.shows != Shows::Failure;
        let by = match seen.shows {
            Shows::Mistake | Shows::Comparison { .. } => {
                decided(&situation).iter().map(ToString::to_string).collect()
            }
            Shows::Failure | Shows::Edit { .. } => seen.by.to_vec(),
        };
        Self { situation, by, shows: seen.shows.clone(), request: text, fits }
    }

    /// A case for `cases/`; none if no case can say it.
    #[must_use]
    pub fn case(&self) -> Option<&str> {
        self.fits.then_some(self.request.as_str())
    }
}

/// What a case demands.
enum Demands {
    Nothing,
    Decision,
    /// The decision, by these policies.
    By(Vec<Arc<str>>),
}

fn written(
    cases: &Cases,
    name: &str,
    situation: &Situation,
    expect: Decision,
    demands: &Demands,
) -> Option<String> {
    let by = match demands {
        Demands::Nothing | Demands::Decision => &[],
        Demands::By(these) => these.as_slice(),
    };
    let text = cases.write(&NewCase { name, situation, expect, by }).ok()?;
    Some(match demands {
        Demands::Nothing => match text.rfind("expect = ") {
            Some(at) => text.get(..at)?.to_owned(),
            None => text,
        },
        Demands::Decision => text.replace("\nby = []\n", "\n"),
        Demands::By(_) => text,
    })
}

/// The same for a route of another name, which nobody has defined; if it shows the same there, which `write` finds
/// out. What is said of one route is not said of another.
fn renamed(
    situation: &Situation,
    write: impl Fn(&Situation) -> Option<String>,
) -> Option<(Situation, String)> {
    (1..=NAMES_MAX).find_map(|n| {
        let app: AppId = situation.route.id.app().clone();
        let mut next = situation.clone();
        next.route.id = RouteId::new(app, &format!("some-route-{n}")).ok()?;
        let text = write(&next)?;
        Some((next, text))
    })
}

/// The request for people, where the cases define its route with other facts.
fn described(situation: &Situation, write: impl Fn(&Situation) -> Option<String>) -> String {
    let text = renamed(situation, write)
        .map(|(next, text)| text.replace(next.route.id.as_str(), situation.route.id.as_str()));
    text.unwrap_or_else(|| format!("{} {}\n", situation.action, situation.route.id))
}
