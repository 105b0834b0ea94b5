//! What an issuer means by what it says: which claim holds what.

use std::collections::BTreeSet;

use doorward_model::{Complaint, IssuerId, KeyPath, LifecycleStage};

use super::{AssuranceSection, ClaimsSection, IssuerSection};
use crate::claims::ClaimPath;
use crate::words::shown;

/// Who the subjects of an issuer are.
#[derive(Debug, Clone)]
pub(crate) enum Subjects {
    /// People.
    Users,
    /// Programs.
    ServiceAccounts {
        /// Who answers for them.
        owner: OwnerClaim,
    },
}

/// How a service account names the person who answers for it.
#[derive(Debug, Clone)]
pub(crate) struct OwnerClaim {
    /// The claim, with `issuer:subject` in it.
    pub(crate) claim: ClaimPath,
    /// Whose people are meant where it says only the subject; none: that is refused.
    pub(crate) issuer: Option<IssuerId>,
}

/// Which claim holds what.
#[derive(Debug, Clone)]
pub(crate) struct ClaimNames {
    pub(crate) groups: ClaimPath,
    pub(crate) roles: ClaimPath,
    pub(crate) name: ClaimPath,
    pub(crate) email: ClaimPath,
    pub(crate) email_verified: ClaimPath,
    /// The text `true` counts as `true` there.
    pub(crate) email_verified_text: bool,
    pub(crate) session: ClaimPath,
    pub(crate) scopes: ClaimPath,
    pub(crate) employment: ClaimPath,
    pub(crate) home_country: ClaimPath,
    pub(crate) department: ClaimPath,
    pub(crate) contract_end: ClaimPath,
    pub(crate) stage: ClaimPath,
    pub(crate) stage_default: LifecycleStage,
    pub(crate) device_id: ClaimPath,
    pub(crate) device_managed: ClaimPath,
    pub(crate) device_compliant: ClaimPath,
    pub(crate) device_platform: ClaimPath,
    pub(crate) risk: ClaimPath,
    pub(crate) tags: Vec<ClaimPath>,
}

/// What this issuer says when it means a strong sign-in.
#[derive(Debug, Clone)]
pub(crate) struct AssuranceWords {
    pub(crate) mfa_amr: Vec<String>,
    pub(crate) mfa_acr: Vec<String>,
    pub(crate) phishing_resistant_amr: Vec<String>,
    pub(crate) phishing_resistant_acr: Vec<String>,
}

/// Whether the subjects of an issuer are people.
pub(super) fn of_people(section: &IssuerSection) -> bool {
    matches!(section.subjects.as_deref(), None | Some("users"))
}

/// `people` are the ids of the issuers of people.
pub(super) fn subjects(
    section: &IssuerSection,
    people: &BTreeSet<&str>,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<Subjects> {
    let owner = section.claims.owner.as_deref();
    if of_people(section) && section.owner_issuer.is_some() {
        complaints.push(Complaint::new(
            at.key("owner_issuer"),
            "people have no owner",
            "take `owner_issuer` out, or set `subjects = \"service_accounts\"`",
        ));
    }
    match (section.subjects.as_deref(), owner) {
        (None | Some("users"), None) => Some(Subjects::Users),
        (None | Some("users"), Some(_)) => {
            complaints.push(Complaint::new(
                at.key("claims").key("owner"),
                "people have no owner",
                "take `owner` out, or set `subjects = \"service_accounts\"`",
            ));
            None
        }
        (Some("service_accounts"), Some(name)) => {
            let issuer = owner_issuer(section, people, at, complaints);
            let at = at.key("claims").key("owner");
            let claim = claim_path(name, &at, complaints);
            Some(Subjects::ServiceAccounts { owner: OwnerClaim { claim, issuer } })
        }
        (Some("service_accounts"), None) => {
            complaints.push(Complaint::new(
                at.key("subjects"),
                "service accounts need `claims.owner`",
                "name the claim that holds the person who answers for the account; it stops when that person leaves",
            ));
            None
        }
        (Some(other), _) => {
            complaints.push(Complaint::new(
                at.key("subjects"),
                format!("`{}` is not a kind of subject", shown(other, 40)),
                "choose `users` or `service_accounts`",
            ));
            None
        }
    }
}

/// The issuer of the owners who are named without one. An owner must be able to leave, so it is
/// an issuer of people; the service accounts of this issuer are not.
fn owner_issuer(
    section: &IssuerSection,
    people: &BTreeSet<&str>,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<IssuerId> {
    let known = people.iter().map(|p| format!("`{}`", shown(p, 40))).collect::<Vec<_>>().join(", ");
    match section.owner_issuer.as_deref() {
        _ if people.is_empty() => {
            complaints.push(Complaint::new(
                at.key("subjects"),
                "there is no issuer of people, so no service account could have an owner",
                "configure the issuer of the people who answer for these accounts, with `subjects = \"users\"`",
            ));
            None
        }
        None => None,
        Some(named) if people.contains(named) => IssuerId::new(named).ok(),
        Some(named) => {
            complaints.push(Complaint::new(
                at.key("owner_issuer"),
                format!("`{}` is not the `id` of an issuer of people", shown(named, 40)),
                format!("name the issuer whose subjects are the owners: {known}"),
            ));
            None
        }
    }
}

pub(super) fn claim_names(
    section: &ClaimsSection,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> ClaimNames {
    let mut name = |key: &str, written: Option<&str>, default: &str| {
        claim_path(written.unwrap_or(default), &at.key(key), complaints)
    };
    let s = section;
    let mut names = ClaimNames {
        groups: name("groups", s.groups.as_deref(), "groups"),
        roles: name("roles", s.roles.as_deref(), "roles"),
        name: name("name", s.name.as_deref(), "name"),
        email: name("email", s.email.as_deref(), "email"),
        email_verified: name("email_verified", s.email_verified.as_deref(), "email_verified"),
        email_verified_text: s.email_verified_text.unwrap_or(false),
        session: name("session", s.session.as_deref(), "sid"),
        scopes: name("scopes", s.scopes.as_deref(), "scope"),
        employment: name("employment", s.employment.as_deref(), "employment"),
        home_country: name("home_country", s.home_country.as_deref(), "country"),
        department: name("department", s.department.as_deref(), "department"),
        contract_end: name("contract_end", s.contract_end.as_deref(), "contract_end"),
        stage: name("stage", s.stage.as_deref(), "stage"),
        // Whoever says where the stage stands has an issuer that tells it: left out is then not said.
        stage_default: match s.stage {
            Some(_) => LifecycleStage::Unknown,
            None => LifecycleStage::Active,
        },
        device_id: name("device_id", s.device_id.as_deref(), "device_id"),
        device_managed: name("device_managed", s.device_managed.as_deref(), "device_managed"),
        device_compliant: name("device_compliant", s.device_compliant.as_deref(), "device_compliant"),
        device_platform: name("device_platform", s.device_platform.as_deref(), "device_platform"),
        risk: name("risk", s.risk.as_deref(), "risk"),
        tags: Vec::new(),
    };
    for (i, tag) in section.tags.iter().flatten().enumerate() {
        names.tags.push(claim_path(tag, &at.key("tags").index(i), complaints));
    }
    if let Some(word) = section.stage_default.as_deref() {
        names.stage_default = LifecycleStage::parse(word);
        if names.stage_default.as_str() != word {
            complaints.push(Complaint::new(
                at.key("stage_default"),
                format!("`{}` is not a stage", shown(word, 40)),
                "choose preboarding, active, leave, suspended, deactivated or unknown",
            ));
        }
    }
    names
}

fn claim_path(name: &str, at: &KeyPath, complaints: &mut Vec<Complaint>) -> ClaimPath {
    if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
        complaints.push(Complaint::new(
            at.clone(),
            format!("`{}` is not the name of a claim", shown(name, 40)),
            "write a claim such as `groups`, or a way into one such as `realm_access.roles`",
        ));
    }
    ClaimPath::new(name)
}

pub(super) fn assurance_words(
    section: &AssuranceSection,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> AssuranceWords {
    let mut words = |key: &str, written: &Option<Vec<String>>, default: &[&str]| match written {
        None => default.iter().map(|w| (*w).to_owned()).collect(),
        Some(list) => {
            for (i, _) in list.iter().enumerate().filter(|(_, w)| w.is_empty()) {
                complaints.push(Complaint::new(
                    at.key(key).index(i),
                    "a word of the issuer is empty",
                    "take it out: nothing said proves nothing",
                ));
            }
            list.clone()
        }
    };
    AssuranceWords {
        mfa_amr: words("mfa_amr", &section.mfa_amr, &["mfa"]),
        mfa_acr: words("mfa_acr", &section.mfa_acr, &[]),
        phishing_resistant_amr: words("phishing_resistant_amr", &section.phishing_resistant_amr, &[]),
        phishing_resistant_acr: words("phishing_resistant_acr", &section.phishing_resistant_acr, &[]),
    }
}
