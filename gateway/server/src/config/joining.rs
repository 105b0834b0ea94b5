//! Who may join, and with what: `[directory]` and what each `[[issuer]]` may say of people who are
//! not known yet.

use std::collections::BTreeSet;
use std::time::Duration;

use doorward_identity::config::Issuer;
use doorward_lifecycle::machine::{GRANTS_MAX, IssuerRule, Rules};
use doorward_model::complaint::{Complaint, KeyPath};
use doorward_model::directory::RoleName;
use doorward_proxy::config::DirectorySection;

/// The longest time in which an invitation can be accepted, in days.
const INVITATION_DAYS_MAX: u64 = 365;
const DAY_SECONDS: u64 = 24 * 3600;

/// What is allowed when people join.
pub(super) fn check(
    section: &DirectorySection,
    issuers: &[Issuer],
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<Rules> {
    let default_roles = default_roles(section, &at.key("default_roles"), complaints);
    let usual = Rules::default();
    let invitation = match section.invitation_days {
        None => Some(usual.invitation),
        Some(days) if (1..=INVITATION_DAYS_MAX).contains(&days) => {
            Some(Duration::from_secs(days * DAY_SECONDS))
        }
        Some(days) => {
            complaints.push(Complaint::new(
                at.key("invitation_days"),
                format!("an invitation cannot stand for {days} days"),
                format!("use 1 to {INVITATION_DAYS_MAX}"),
            ));
            None
        }
    };
    let rule = |issuer: &Issuer| {
        let vouches = issuer.vouches();
        let domains = vouches.email_domains.iter().map(|domain| domain.as_str().to_owned()).collect();
        (issuer.id().clone(), IssuerRule { domains, first_sign_in: vouches.first_sign_in })
    };
    Some(Rules {
        issuers: issuers.iter().map(rule).collect(),
        default_roles: default_roles?,
        invitation: invitation?,
        ..usual
    })
}

fn default_roles(
    section: &DirectorySection,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<BTreeSet<RoleName>> {
    let written = section.default_roles.as_deref().unwrap_or_default();
    if written.len() > GRANTS_MAX {
        let message = format!("there are {} roles that everybody would have", written.len());
        complaints.push(Complaint::new(at.clone(), message, format!("name at most {GRANTS_MAX}")));
        return None;
    }
    let mut roles = BTreeSet::new();
    let mut good = true;
    for (i, name) in written.iter().enumerate() {
        match RoleName::new(name) {
            Ok(role) => _ = roles.insert(role),
            Err(error) => {
                good = false;
                let help = "name a role as policies do: `Role::\"staff\"` is `staff`";
                complaints.push(Complaint::new(at.index(i), error.to_string(), help));
            }
        }
    }
    good.then_some(roles)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(directory: &str) -> Result<Rules, String> {
        let section: DirectorySection = toml::from_str(directory).unwrap();
        let mut complaints = Vec::new();
        let rules = check(&section, &[], &KeyPath::top().key("directory"), &mut complaints);
        let told: Vec<String> = complaints.iter().map(|c| format!("{}: {}", c.at, c.message)).collect();
        assert_eq!(rules.is_none(), !told.is_empty(), "{told:?}");
        rules.ok_or_else(|| told.join("; "))
    }

    #[test]
    fn nobody_joins_and_nobody_has_a_role_unless_the_file_says_so() {
        assert_eq!(read("").unwrap(), Rules::default());
        let rules = read("default_roles = ['staff', 'staff', 'guest']\ninvitation_days = 2").unwrap();
        let roles: Vec<_> = rules.default_roles.iter().map(RoleName::as_str).collect();
        assert_eq!((roles, rules.invitation.as_secs()), (vec!["guest", "staff"], 2 * DAY_SECONDS));
        for (directory, says) in [
            ("invitation_days = 0", "directory.invitation_days: an invitation cannot stand for 0 days"),
            ("invitation_days = 366", "directory.invitation_days: an invitation cannot stand for 366 days"),
            ("default_roles = ['a', '']", "directory.default_roles[1]: "),
        ] {
            let told = read(directory).unwrap_err();
            assert!(told.starts_with(says), "{told}");
        }
    }
}
