//! Which claim names a person. By the standard it is `sub`, which an issuer gives to nobody else (OpenID
//! Connect Core §2). Two providers put another word into it than the one by which they tell of people
//! elsewhere; their own id then stands in a claim beside it.

use doorward_model::{Complaint, KeyPath};

use super::IssuerSection;
use crate::words::shown;

/// The claim that names whoever a token is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubjectClaim {
    /// `sub`.
    Sub,
    /// `uid`: the id of a user at Okta, where `sub` is the login.
    Uid,
    /// `oid`: the id of an object of this tenant of Entra ID, where `sub` is another word for every
    /// application. The claim `tid` must name the tenant.
    Oid {
        /// The tenant: a UUID in lower case.
        tenant: String,
    },
}

impl SubjectClaim {
    /// The name of the claim.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Sub => "sub",
            Self::Uid => "uid",
            Self::Oid { .. } => "oid",
        }
    }
}

pub(super) fn subject_claim(
    section: &IssuerSection,
    issuer: Option<&str>,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<SubjectClaim> {
    let claim = section.subject_claim.as_deref().unwrap_or("sub");
    match (claim, section.tenant.as_deref()) {
        ("oid", tenant) => oid(tenant, issuer, at, complaints),
        ("sub" | "uid", Some(_)) => {
            complaints.push(Complaint::new(
                at.key("tenant"),
                format!("`tenant` has no use with `subject_claim = \"{claim}\"`"),
                "remove it; it is what `oid` is unique within",
            ));
            None
        }
        ("sub", None) => Some(SubjectClaim::Sub),
        ("uid", None) => Some(SubjectClaim::Uid),
        (other, _) => {
            complaints.push(Complaint::new(
                at.key("subject_claim"),
                format!("`{}` cannot name people", shown(other, 40)),
                "use `sub` (the default), `oid` (Entra ID) or `uid` (Okta); addresses and logins are given to \
                 successors",
            ));
            None
        }
    }
}

fn oid(
    tenant: Option<&str>,
    issuer: Option<&str>,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<SubjectClaim> {
    let Some(tenant) = tenant else {
        complaints.push(Complaint::new(
            at.key("subject_claim"),
            "`oid` is unique within one tenant only, and none is named",
            "add `tenant = \"…\"`: the directory (tenant) ID of Entra ID, which the claim `tid` has",
        ));
        return None;
    };
    if !is_uuid(tenant) {
        complaints.push(Complaint::new(
            at.key("tenant"),
            format!("`{}` is not the id of a tenant", shown(tenant, 60)),
            "write the directory (tenant) ID, a UUID in lower case",
        ));
        return None;
    }
    let other = issuer.and_then(|url| url.split('/').find(|part| is_uuid(part) && *part != tenant));
    if let Some(other) = other {
        complaints.push(Complaint::new(
            at.key("tenant"),
            format!("the issuer is that of the tenant `{other}`"),
            "write the same tenant in both",
        ));
        return None;
    }
    Some(SubjectClaim::Oid { tenant: tenant.to_owned() })
}

fn is_uuid(text: &str) -> bool {
    let hyphen = |place: usize| matches!(place, 8 | 13 | 18 | 23);
    let fits = |(place, b): (usize, u8)| match b {
        b'-' => hyphen(place),
        b'0'..=b'9' | b'a'..=b'f' => !hyphen(place),
        _ => false,
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}
