//! For whom an issuer speaks: for which addresses its word counts, and whether who signs in there
//! becomes known by it.

use std::collections::BTreeSet;

use doorward_model::limits::MAIL_DOMAINS_MAX;
use doorward_model::{Complaint, KeyPath, MailDomain};

use super::IssuerSection;
use super::meaning::of_people;
use crate::words::shown;

/// What an issuer may say of people who are not known yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vouches {
    /// That an address in one of these domains is verified.
    pub email_domains: BTreeSet<MailDomain>,
    /// That who has such an address is a person from their first request on.
    pub first_sign_in: bool,
}

pub(super) fn vouches(
    section: &IssuerSection,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<Vouches> {
    let first_sign_in = section.first_sign_in.unwrap_or(false);
    let written = section.email_domains.as_deref().unwrap_or_default();
    for (key, says) in [("email_domains", section.email_domains.is_some()), ("first_sign_in", first_sign_in)]
    {
        if says && !of_people(section) {
            complaints.push(Complaint::new(
                at.key(key),
                "service accounts do not join: they are registered",
                "take it out, or set `subjects = \"users\"`",
            ));
            return None;
        }
    }
    let email_domains = mail_domains(written, &at.key("email_domains"), complaints)?;
    if first_sign_in && email_domains.is_empty() {
        complaints.push(Complaint::new(
            at.key("first_sign_in"),
            "nobody could join: the issuer's word counts for no address",
            "name its mail domains, `email_domains = [\"corp.example\"]`, or remove `first_sign_in`",
        ));
        return None;
    }
    Some(Vouches { email_domains, first_sign_in })
}

/// Reads a list of mail domains.
fn mail_domains(
    written: &[String],
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<BTreeSet<MailDomain>> {
    if written.len() > MAIL_DOMAINS_MAX {
        complaints.push(Complaint::new(
            at.clone(),
            format!("there are {} mail domains", written.len()),
            format!("name at most {MAIL_DOMAINS_MAX}"),
        ));
        return None;
    }
    let mut domains = BTreeSet::new();
    let mut good = true;
    for (i, text) in written.iter().enumerate() {
        match MailDomain::new(text) {
            Ok(domain) => _ = domains.insert(domain),
            Err(error) => {
                good = false;
                complaints.push(Complaint::new(
                    at.index(i),
                    format!("`{}` {error}", shown(text, 60)),
                    "write what stands behind the `@`, each domain for itself; one in another script as `xn--…`",
                ));
            }
        }
    }
    good.then_some(domains)
}
