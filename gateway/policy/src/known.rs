//! The names that the configuration knows, and policies that name others.

use std::collections::{BTreeMap, BTreeSet};

use doorward_model::RouteFacts;

use crate::compile::Compiled;
use crate::failure::Finding;
use crate::vocabulary::Vocabulary;

/// How many different names are compared with each other; with more the comparison is left out.
const COMPARED_MAX: usize = 2000;

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

    /// Finds the policies that name what the configuration does not have.
    pub(crate) fn check(&self, words: &Vocabulary, policies: &[Compiled], findings: &mut Vec<Finding>) {
        for compiled in policies {
            for literal in compiled.policy.entity_literals() {
                let (names, what) = if *literal.type_name() == words.app {
                    (&self.apps, "app")
                } else if *literal.type_name() == words.app_group {
                    (&self.app_groups, "group of apps")
                } else if *literal.type_name() == words.route {
                    (&self.routes, "route")
                } else {
                    continue;
                };
                let name = literal.id().unescaped();
                if names.contains(name) {
                    continue;
                }
                let span = compiled.find(&literal.to_string());
                let message = format!("the configuration has no {what} `{name}`, so this would never apply");
                let help = nearest(name, names).map_or_else(
                    || format!("add the {what} to the configuration, or remove it from the policy"),
                    |near| format!("did you mean `{near}`?"),
                );
                findings.push(Finding::new(message).at(&compiled.file, Some(span)).help(help));
            }
        }
    }
}

fn nearest<'a>(name: &str, names: &'a BTreeSet<String>) -> Option<&'a String> {
    let far = names.iter().map(|n| (strsim::osa_distance(name, n), n));
    far.filter(|(d, n)| *d <= 3 && *d < n.len()).min().map(|(_, n)| n)
}

/// Roles and groups come with the people, so nobody can tell which exist. But where two policies
/// name a role by names that differ by one letter, one of them is likely a typo.
pub(crate) fn near_misses(words: &Vocabulary, policies: &[Compiled], hints: &mut Vec<Finding>) {
    for kind in [&words.role, &words.group] {
        let mut named: BTreeMap<String, &Compiled> = BTreeMap::new();
        for compiled in policies {
            for literal in compiled.policy.entity_literals() {
                if literal.type_name() == kind {
                    named.entry(literal.id().unescaped().to_owned()).or_insert(compiled);
                }
            }
        }
        if named.len() > COMPARED_MAX {
            continue;
        }
        let names: Vec<_> = named.iter().collect();
        for (i, (a, _)) in names.iter().enumerate() {
            for (b, compiled) in names.iter().skip(i + 1) {
                let alike = a.len() >= 4 && b.len() >= 4 && strsim::osa_distance(a, b) == 1;
                // `tier-1` and `tier-2` are meant.
                let numbered = |s: &str| s.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
                if alike && numbered(a) != numbered(b) {
                    let span = compiled.find(&format!("{kind}::\"{b}\""));
                    let message = format!("`{kind}::\"{b}\"` differs from `{kind}::\"{a}\"` by one letter");
                    let hint = Finding::new(message).at(&compiled.file, Some(span)).hint();
                    hints.push(hint.help("if one of them is a typo, that policy never applies"));
                }
            }
        }
    }
}
