//! `[offboarding]`: what is asked for before whoever leaves counts as gone, and receipts of what was taken
//! away.

use std::collections::BTreeSet;
use std::time::Duration;

use doorward_lifecycle::service::CaseTerms;
use doorward_model::AppId;
use doorward_model::complaint::{Complaint, KeyPath};
use serde::Deserialize;

/// How long nodes may take to say what they ended, if nothing is said.
const RECEIPT_PATIENCE_SECONDS: u64 = 10;
/// The longest that a receipt waits for a node.
const RECEIPT_PATIENCE_SECONDS_MAX: u64 = 300;
/// The longest that an item may take: a year.
const DUE_HOURS_MAX: u64 = 8784;
/// The longest that the gateway may look for itself before something is owed.
const PATIENCE_SECONDS_MAX: u64 = 7 * 24 * 3600;
/// The most apps outside of the gateway: an offboarding case has each as an item.
const APPS_MAX: usize = 100;
/// The longest name of an owner, in bytes.
const OWNER_BYTES_MAX: usize = 128;

/// `[offboarding]` as written.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct OffboardingSection {
    /// How long nodes may take to say what they ended before a receipt is made without.
    pub receipt_patience_seconds: Option<u64>,
    /// How long after a leaving everything is to be done.
    pub due_hours: Option<u64>,
    /// How long what the gateway sees for itself may take before it is owed.
    pub patience_seconds: Option<u64>,
    /// Apps outside of the gateway, where somebody must remove the account.
    #[serde(default)]
    pub apps: Vec<OutsideSection>,
}

/// `[[offboarding.apps]]` as written.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct OutsideSection {
    /// What it is called.
    pub name: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
}

/// What is asked for when somebody leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// How long nodes may take before a receipt is made without.
    pub receipt_patience: Duration,
    /// How cases begin.
    pub cases: CaseTerms,
}

pub(super) fn check(
    section: &OffboardingSection,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<Leaving> {
    let before = complaints.len();
    let usual = CaseTerms::default();
    let mut take = |key: &str, written: Option<u64>, default: u64, max: u64| match written {
        Some(value) if !(1..=max).contains(&value) => {
            let message = format!("`{value}` is out of bounds");
            complaints.push(Complaint::new(at.key(key), message, format!("use 1 to {max}")));
            default
        }
        Some(value) => value,
        None => default,
    };
    let (patience, max) = (RECEIPT_PATIENCE_SECONDS, RECEIPT_PATIENCE_SECONDS_MAX);
    let receipt = take("receipt_patience_seconds", section.receipt_patience_seconds, patience, max);
    let due = take("due_hours", section.due_hours, usual.due.as_secs() / 3600, DUE_HOURS_MAX);
    let (patience, max) = (usual.patience.as_secs(), PATIENCE_SECONDS_MAX);
    let patience = take("patience_seconds", section.patience_seconds, patience, max);
    let manual_apps = apps(&section.apps, &at.key("apps"), complaints);
    let cases = CaseTerms {
        due: Duration::from_hours(due),
        patience: Duration::from_secs(patience),
        manual_apps,
        ..usual
    };
    let leaving = Leaving { receipt_patience: Duration::from_secs(receipt), cases };
    (complaints.len() == before).then_some(leaving)
}

fn apps(written: &[OutsideSection], at: &KeyPath, complaints: &mut Vec<Complaint>) -> Vec<(AppId, String)> {
    if written.len() > APPS_MAX {
        let message = format!("are {}, more than {APPS_MAX}", written.len());
        complaints.push(Complaint::new(at.clone(), message, "put apps of one owner together"));
        return Vec::new();
    }
    let (mut apps, mut names) = (Vec::new(), BTreeSet::new());
    for (i, app) in written.iter().enumerate() {
        let at = at.index(i);
        let name = app.name.as_deref().unwrap_or_default();
        let name = match AppId::new(name) {
            Ok(name) => name,
            Err(error) => {
                let help = "name the app, such as `name = \"payslips\"`";
                complaints.push(Complaint::new(at.key("name"), error.to_string(), help));
                continue;
            }
        };
        let owner = app.owner.as_deref().unwrap_or_default();
        if owner.trim().is_empty() || owner.len() > OWNER_BYTES_MAX || owner.chars().any(char::is_control) {
            let message = format!("must have 1 to {OWNER_BYTES_MAX} bytes and no control characters");
            complaints.push(Complaint::new(at.key("owner"), message, "say who removes accounts there"));
            continue;
        }
        if !names.insert(name.clone()) {
            let message = format!("`{name}` stands there twice");
            complaints.push(Complaint::new(at.key("name"), message, "name each app once"));
            continue;
        }
        apps.push((name, owner.to_owned()));
    }
    apps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<Leaving, Vec<String>> {
        let section: OffboardingSection = toml::from_str(text).unwrap();
        let mut complaints = Vec::new();
        let leaving = check(&section, &KeyPath::top().key("offboarding"), &mut complaints);
        leaving.ok_or_else(|| complaints.iter().map(|c| format!("{}: {}", c.at, c.message)).collect())
    }

    #[test]
    fn what_is_asked_for_of_a_leaver_is_configured() {
        let usual = checked("").unwrap();
        assert_eq!((usual.receipt_patience.as_secs(), &usual.cases), (10, &CaseTerms::default()));
        let text = "receipt_patience_seconds = 3\ndue_hours = 24\npatience_seconds = 60\n\
                    [[apps]]\nname = \"payslips\"\nowner = \"hr-apps\"";
        let leaving = checked(text).unwrap();
        assert_eq!((leaving.receipt_patience.as_secs(), leaving.cases.due), (3, Duration::from_hours(24)));
        let apps = [(AppId::new("payslips").unwrap(), "hr-apps".to_owned())];
        assert_eq!((leaving.cases.patience.as_secs(), leaving.cases.manual_apps.as_slice()), (60, &apps[..]));
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_place() {
        for (text, at) in [
            ("receipt_patience_seconds = 0", "offboarding.receipt_patience_seconds"),
            ("due_hours = 100000", "offboarding.due_hours"),
            ("patience_seconds = 0", "offboarding.patience_seconds"),
            ("[[apps]]\nowner = \"x\"", "offboarding.apps[0].name"),
            ("[[apps]]\nname = \"a\"", "offboarding.apps[0].owner"),
            (
                "[[apps]]\nname = \"a\"\nowner = \"x\"\n[[apps]]\nname = \"a\"\nowner = \"y\"",
                "offboarding.apps[1].name",
            ),
        ] {
            let told = checked(text).unwrap_err();
            assert!(told.len() == 1 && told[0].starts_with(at), "{text}: {told:?}");
        }
    }
}
