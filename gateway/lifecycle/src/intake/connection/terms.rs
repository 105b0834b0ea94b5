//! What a connection may say: for which addresses its word counts, which roles it gives, and how its groups
//! are called here.

use std::collections::BTreeSet;
use std::fmt;

use doorward_model::MailDomain;
use doorward_model::directory::RoleName;
use doorward_model::limits::MAIL_DOMAINS_MAX;

use crate::service::GROUP_NAME_BYTES_MAX;

/// The most names of roles of one connection, beginnings of names counted.
pub const ROLE_RULES_MAX: usize = 256;
/// The longest beginning of the names of a connection's groups, in bytes.
pub const GROUP_PREFIX_BYTES_MAX: usize = 64;

/// A role that a connection may give, or all that begin so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleRule {
    /// This one.
    Is(RoleName),
    /// Every one that begins so; with nothing, every one.
    Begins(String),
}

/// What stands before the names of all groups of a connection, as policies know them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPrefix(String);

/// What a connection may say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The mail domains for which its word counts. None: those of its issuer, and where that speaks for none,
    /// every domain that no other issuer speaks for.
    pub email_domains: Option<BTreeSet<MailDomain>>,
    /// The roles that it may give. None: it gives no role.
    pub roles: BTreeSet<RoleRule>,
    /// What stands before the names of its groups. None: they are called as it calls them.
    pub group_prefix: Option<GroupPrefix>,
}

/// What is wrong with a term, after its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadTerm(&'static str);

// === impl RoleRule ===

impl RoleRule {
    /// Reads `engineer`, `eng-*` or `*`.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str) -> Result<Self, BadTerm> {
        let wrong = BadTerm("is neither a role nor the beginning of roles, such as `eng-*`");
        match text.strip_suffix('*') {
            Some(begins) if begins.contains('*') => Err(wrong),
            Some("") => Ok(Self::Begins(String::new())),
            Some(begins) => match RoleName::new(begins) {
                Ok(_) => Ok(Self::Begins(begins.to_owned())),
                Err(_) => Err(wrong),
            },
            None if text.contains('*') => Err(wrong),
            None => RoleName::new(text).map(Self::Is).map_err(|_| wrong),
        }
    }

    /// Whether the role is one of these.
    #[must_use]
    pub fn covers(&self, role: &RoleName) -> bool {
        match self {
            Self::Is(name) => name == role,
            Self::Begins(begins) => role.as_str().starts_with(begins),
        }
    }
}

impl fmt::Display for RoleRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(name) => write!(f, "{name}"),
            Self::Begins(begins) => write!(f, "{begins}*"),
        }
    }
}

// === impl GroupPrefix ===

impl GroupPrefix {
    /// Checks a beginning.
    ///
    /// # Errors
    /// When it is empty, too long, or cannot stand in a name.
    pub fn new(text: &str) -> Result<Self, BadTerm> {
        let fits = (1..=GROUP_PREFIX_BYTES_MAX).contains(&text.len())
            && text.len() < GROUP_NAME_BYTES_MAX
            && !text.chars().any(char::is_control)
            && !text.trim().is_empty();
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadTerm("must have 1 to 64 bytes, no control characters, and say something"))
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name begins with it, as names of groups are compared: without regard to case.
    #[must_use]
    pub fn begins(&self, name: &str) -> bool {
        name.to_lowercase().starts_with(&self.0.to_lowercase())
    }

    /// Whether a name could begin with both.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.begins(&other.0) || other.begins(&self.0)
    }
}

// === impl Terms ===

impl Terms {
    /// Reads them as an operator or a record writes them.
    ///
    /// # Errors
    /// Each field that is wrong, and what is wrong with it.
    pub fn read(
        email_domains: Option<&[String]>,
        roles: &[String],
        group_prefix: Option<&str>,
    ) -> Result<Self, Vec<(&'static str, BadTerm)>> {
        let mut wrong = Vec::new();
        let email_domains = email_domains.map(|all| {
            let mut domains = BTreeSet::new();
            for text in all {
                match MailDomain::new(text) {
                    Ok(domain) => _ = domains.insert(domain),
                    Err(_) => wrong.push(("email_domains", BadTerm("has something that is no mail domain"))),
                }
            }
            domains
        });
        if email_domains.as_ref().is_some_and(|all| all.len() > MAIL_DOMAINS_MAX) {
            wrong.push(("email_domains", BadTerm("has more than 256 domains")));
        }
        let mut rules = BTreeSet::new();
        for text in roles {
            match RoleRule::parse(text) {
                Ok(rule) => _ = rules.insert(rule),
                Err(error) => wrong.push(("roles", error)),
            }
        }
        if rules.len() > ROLE_RULES_MAX {
            wrong.push(("roles", BadTerm("has more than 256 names")));
        }
        let group_prefix = group_prefix.map(GroupPrefix::new).transpose();
        let group_prefix = group_prefix.map_err(|error| wrong.push(("group_prefix", error)));
        match group_prefix {
            Ok(group_prefix) if wrong.is_empty() => Ok(Self { email_domains, roles: rules, group_prefix }),
            Ok(_) | Err(()) => Err(wrong),
        }
    }

    /// Whether it may give this role.
    #[must_use]
    pub fn gives(&self, role: &RoleName) -> bool {
        self.roles.iter().any(|rule| rule.covers(role))
    }

    /// The name of a group as the directory and policies know it.
    #[must_use]
    pub fn group_name(&self, said: &str) -> String {
        match &self.group_prefix {
            Some(prefix) => format!("{}{said}", prefix.as_str()),
            None => said.to_owned(),
        }
    }

    /// The name of a group as its source calls it.
    #[must_use]
    pub fn said_name<'a>(&self, known: &'a str) -> &'a str {
        let prefix = self.group_prefix.as_ref().map(GroupPrefix::as_str);
        prefix.and_then(|prefix| known.strip_prefix(prefix)).unwrap_or(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(roles: &[&str], prefix: Option<&str>) -> Result<Terms, Vec<(&'static str, BadTerm)>> {
        let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
        Terms::read(None, &roles, prefix)
    }

    #[test]
    fn a_source_gives_the_roles_that_an_operator_named_and_no_other() {
        for (rules, given, not) in [
            (&[][..], &[][..], &["engineer", "eng-lead", "*"][..]),
            (&["engineer"], &["engineer"], &["Engineer", "engineer-2", "eng"]),
            (&["eng-*"], &["eng-", "eng-lead"], &["eng", "ENG-lead", "xeng-lead"]),
            (&["*"], &["engineer", "admin"], &[]),
            (&["a", "b-*"], &["a", "b-c"], &["b", "ab-c"]),
        ] {
            let terms = terms(rules, None).unwrap();
            let gives = |name: &&str| terms.gives(&RoleName::new(name).unwrap());
            assert!(given.iter().all(gives) && !not.iter().any(gives), "{rules:?}");
            let written: Vec<String> = terms.roles.iter().map(ToString::to_string).collect();
            assert_eq!(written, rules);
        }
        for bad in ["", "a*b", "**", "*a", "a\nb", "a\n*"] {
            assert_eq!(terms(&[bad], None).unwrap_err()[0].0, "roles", "{bad:?}");
        }
    }

    #[test]
    fn groups_of_a_bound_connection_have_names_of_their_own() {
        let lab = terms(&[], Some("lab/")).unwrap();
        assert_eq!(lab.group_name("Engineers"), "lab/Engineers");
        assert_eq!(lab.said_name("lab/Engineers"), "Engineers");
        let free = Terms::default();
        assert_eq!((free.group_name("lab/x").as_str(), free.said_name("lab/x")), ("lab/x", "lab/x"));
        let prefix = |text: &str| GroupPrefix::new(text).unwrap();
        assert!(prefix("lab/").begins("LAB/engineers") && !prefix("lab/").begins("lab"));
        assert!(prefix("lab/").meets(&prefix("Lab/x/")) && prefix("lab/x").meets(&prefix("lab/")));
        assert!(!prefix("lab/").meets(&prefix("hr/")));
        for bad in ["", " ", "a\tb", &"x".repeat(65)] {
            assert_eq!(terms(&[], Some(bad)).unwrap_err()[0].0, "group_prefix", "{bad:?}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_told() {
        let domains = ["corp.example".to_owned(), "nowhere".to_owned()];
        let told = Terms::read(Some(&domains), &["a*b".to_owned()], Some("")).unwrap_err();
        assert_eq!(
            told.iter().map(|(field, _)| *field).collect::<Vec<_>>(),
            ["email_domains", "roles", "group_prefix"]
        );
        let good = Terms::read(Some(&domains[..1]), &[], None).unwrap();
        assert_eq!(good.email_domains.unwrap().len(), 1);
    }
}
