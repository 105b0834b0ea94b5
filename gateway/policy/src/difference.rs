//! What an edit changes, by the names of the policies and of the red lines.

use std::collections::BTreeMap;

use cedar_policy::Policy;

use crate::bundle::PolicyBundle;

/// The names of the policies and red lines that two sets do not have alike. In order.
///
/// Those that only report count: what they say turns into a decision by a change of theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Only the second has them.
    pub added: Vec<String>,
    /// Only the first has them.
    pub removed: Vec<String>,
    /// Both have them, and they say something else, be it in an annotation. Layout and comments do not count.
    pub changed: Vec<String>,
}

impl Difference {
    /// Whether policies and red lines are the same. Schema and cases may differ.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl PolicyBundle {
    /// What `next` changes.
    #[must_use]
    pub fn difference(&self, next: &Self) -> Difference {
        let (before, after) = (self.by_name(), next.by_name());
        let only = |of: &BTreeMap<&str, &Policy>, other: &BTreeMap<&str, &Policy>| {
            of.keys().filter(|name| !other.contains_key(*name)).map(|name| (*name).to_owned()).collect()
        };
        let is_another = |(name, policy): &(&&str, &&Policy)| before.get(*name).is_some_and(|b| b != *policy);
        Difference {
            added: only(&after, &before),
            removed: only(&before, &after),
            changed: after.iter().filter(is_another).map(|(name, _)| (*name).to_owned()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use doorward_model::UnixMillis;

    use super::*;
    use crate::revision::Revision;
    use crate::vocabulary::Vocabulary;

    fn bundle(policies: &[(&str, &str)]) -> PolicyBundle {
        const SCHEMA: &str = include_str!("../../../policies/schema.cedarschema");
        let (schema, _) = cedar_policy::Schema::from_cedarschema_str(SCHEMA).unwrap();
        let words = Vocabulary::new(schema, SCHEMA).unwrap();
        let policies = policies
            .iter()
            .map(|(name, text)| Policy::parse(Some(cedar_policy::PolicyId::new(name)), text).unwrap());
        PolicyBundle::new(words, policies.collect(), Revision::of([]), UnixMillis(0))
    }

    #[test]
    fn names_are_added_removed_changed_and_layout_is_nothing() {
        let before = bundle(&[
            ("stays", "permit (principal, action, resource);"),
            ("goes", "permit (principal, action, resource);"),
            ("turns", "permit (principal, action, resource);"),
            ("speaks", "@reason(\"a\") forbid (principal, action, resource);"),
        ]);
        let after = bundle(&[
            ("stays", "permit(\n  principal,\n  action,\n  resource\n); // as before"),
            ("turns", "forbid (principal, action, resource);"),
            ("speaks", "@reason(\"b\") forbid (principal, action, resource);"),
            ("comes", "permit (principal, action, resource);"),
        ]);
        let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let difference = before.difference(&after);
        assert_eq!(
            (difference.added, difference.removed, difference.changed),
            (owned(&["comes"]), owned(&["goes"]), owned(&["speaks", "turns"]))
        );
        assert!(before.difference(&before).is_empty());
    }

    #[test]
    fn red_lines_and_what_only_reports_are_told_too() {
        const LINE: &str = "forbid (principal, action, resource);";
        let line =
            |name: &str, text: &str| Policy::parse(Some(cedar_policy::PolicyId::new(name)), text).unwrap();
        let tries = bundle(&[("tries", "@mode(\"report\") forbid (principal, action, resource);")]);
        let before =
            tries.beside(vec![line("line.goes", LINE), line("line.stays", LINE), line("line.turns", LINE)]);
        let means = bundle(&[("tries", LINE)]);
        let after = means.beside(vec![
            line("line.stays", LINE),
            line("line.turns", "permit (principal, action, resource);"),
        ]);
        let difference = before.difference(&after);
        assert_eq!(
            (difference.added, difference.removed, difference.changed),
            (Vec::new(), vec!["line.goes".to_owned()], vec!["line.turns".to_owned(), "tries".to_owned()])
        );
    }
}
