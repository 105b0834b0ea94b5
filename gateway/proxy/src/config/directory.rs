//! `[directory]`: whose word counts about people.

use std::collections::BTreeSet;

use doorward_model::IssuerId;
use doorward_model::complaint::{Complaint, KeyPath};
use serde::Deserialize;

/// `[directory]` as written.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct DirectorySection {
    /// `token`: people are as their tokens say. `known`: as the directory says, and nobody else.
    pub people: Option<String>,
    /// With `known`: issuers whose people and machines are as their tokens say all the same.
    pub token_for: Option<Vec<String>>,
    /// The roles of everybody who joins without a provider.
    pub default_roles: Option<Vec<String>>,
    /// How long an invitation can be accepted.
    pub invitation_days: Option<u64>,
}

/// Whose word counts about people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeopleFrom {
    /// The token's: nobody is looked up.
    Token,
    /// The directory's: whoever it does not know is refused.
    Directory {
        /// But for those of these issuers.
        token_for: BTreeSet<IssuerId>,
    },
}

/// Checks whose word counts. Who may join, and with what, is checked by whoever makes people known.
pub fn check_directory(
    section: &DirectorySection,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<PeopleFrom> {
    let mut token_for = BTreeSet::new();
    let mut good = true;
    for (i, name) in section.token_for.iter().flatten().enumerate() {
        match IssuerId::new(name) {
            Ok(issuer) => _ = token_for.insert(issuer),
            Err(error) => {
                good = false;
                let help = "name the `id` of an `[[issuer]]`";
                complaints.push(Complaint::new(at.key("token_for").index(i), error.to_string(), help));
            }
        }
    }
    match section.people.as_deref().unwrap_or("token") {
        "known" => good.then_some(PeopleFrom::Directory { token_for }),
        "token" => {
            if section.token_for.as_ref().is_some_and(|all| !all.is_empty()) {
                complaints.push(Complaint::new(
                    at.key("token_for"),
                    "`token_for` has no use with `people = \"token\"`: everybody is as their token says",
                    "remove it, or set `people = \"known\"`",
                ));
                return None;
            }
            good.then_some(PeopleFrom::Token)
        }
        other => {
            complaints.push(Complaint::new(
                at.key("people"),
                format!("`{}` is not known", other.escape_debug()),
                "use `token` (the default: people are as their tokens say) or `known` (as the directory says, \
                 and nobody else)",
            ));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(people: Option<&str>, token_for: &[&str]) -> Result<PeopleFrom, String> {
        let token_for = (!token_for.is_empty()).then(|| token_for.iter().map(|n| (*n).to_owned()).collect());
        let section =
            DirectorySection { people: people.map(str::to_owned), token_for, ..DirectorySection::default() };
        let mut complaints = Vec::new();
        let checked = check_directory(&section, &KeyPath::top().key("directory"), &mut complaints);
        let told: Vec<String> = complaints.iter().map(|c| format!("{}: {}", c.at, c.message)).collect();
        assert_eq!(checked.is_none(), !told.is_empty(), "{told:?}");
        checked.ok_or_else(|| told.join("; "))
    }

    #[test]
    fn nobody_is_looked_up_unless_the_file_says_so() {
        assert_eq!(check(None, &[]), Ok(PeopleFrom::Token));
        assert_eq!(check(Some("token"), &[]), Ok(PeopleFrom::Token));
        assert_eq!(check(Some("known"), &[]), Ok(PeopleFrom::Directory { token_for: BTreeSet::new() }));
        let lab = BTreeSet::from([IssuerId::new("lab").unwrap()]);
        assert_eq!(check(Some("known"), &["lab"]), Ok(PeopleFrom::Directory { token_for: lab }));
        for (people, token_for, says) in [
            (Some("Known"), &[][..], "directory.people: `Known` is not known"),
            (None, &["lab"][..], "directory.token_for: `token_for` has no use"),
            (Some("known"), &["Lab"][..], "directory.token_for[0]: `Lab` is not an issuer name"),
        ] {
            let told = check(people, token_for).unwrap_err();
            assert!(told.contains(says), "{told}");
        }
    }
}
