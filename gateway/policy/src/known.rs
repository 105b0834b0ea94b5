//! The names that the configuration knows.

use std::collections::BTreeSet;

use doorward_model::RouteFacts;

/// The apps, sets of apps and routes of the configuration. A policy that names another one never
/// applies, and a forbid that never applies is a hole: with these at hand such a policy is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// `App::"…"`.
    pub apps: BTreeSet<String>,
    /// `AppGroup::"…"`.
    pub app_groups: BTreeSet<String>,
    /// `Route::"app/route"`.
    pub routes: BTreeSet<String>,
}

impl Known {
    /// The names in these routes.
    #[must_use]
    pub fn from_routes<'a>(routes: impl IntoIterator<Item = &'a RouteFacts>) -> Self {
        let mut known = Self::default();
        for facts in routes {
            known.apps.insert(facts.id.app().as_str().to_owned());
            known.routes.insert(facts.id.as_str().to_owned());
            known.app_groups.extend(facts.app_groups.iter().cloned());
        }
        known
    }
}
