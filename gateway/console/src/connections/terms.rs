//! What an operator says that a connection may say, as JSON.

use std::collections::BTreeSet;

use doorward_lifecycle::intake::connection::{BadTerm, RoleRule, Terms};
use doorward_model::MailDomain;
use serde_json::{Value, json};

use crate::problem::Mistake;
use crate::strict::Fields;

/// What is to be different. A field that is not named stays; an inner `None` clears it.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) email_domains: Option<Option<BTreeSet<MailDomain>>>,
    pub(super) roles: Option<BTreeSet<RoleRule>>,
}

/// The domains of some terms, or null where there are none of its own.
pub(super) fn domains(terms: &Terms) -> Value {
    terms
        .email_domains
        .as_ref()
        .map_or(Value::Null, |all| json!(all.iter().map(MailDomain::as_str).collect::<Vec<_>>()))
}

/// The terms of a new connection.
pub(super) fn whole(fields: &mut Fields, mistakes: &mut Vec<Mistake>) -> Option<Terms> {
    let wrong = mistakes.len();
    let email_domains = domains_of(fields, mistakes).flatten();
    let roles = fields.texts("roles", mistakes).unwrap_or_default();
    let group_prefix =
        if fields.cleared("group_prefix") { None } else { fields.optional("group_prefix", mistakes) };
    let read = Terms::read(email_domains.as_deref(), &roles, group_prefix.as_deref());
    read.map_err(|bad| tell(bad, mistakes)).ok().filter(|_| mistakes.len() == wrong)
}

/// What a body changes of them.
pub(super) fn changes(fields: &mut Fields, mistakes: &mut Vec<Mistake>) -> Option<Changes> {
    let wrong = mistakes.len();
    let email_domains = domains_of(fields, mistakes);
    let roles = fields.texts("roles", mistakes);
    let said = email_domains.clone().flatten();
    let read = Terms::read(said.as_deref(), roles.as_deref().unwrap_or_default(), None);
    let terms = read.map_err(|bad| tell(bad, mistakes)).ok().filter(|_| mistakes.len() == wrong)?;
    Some(Changes {
        email_domains: email_domains.map(|_| terms.email_domains),
        roles: roles.map(|_| terms.roles),
    })
}

/// The domains as they are written; an inner `None` is null.
fn domains_of(fields: &mut Fields, mistakes: &mut Vec<Mistake>) -> Option<Option<Vec<String>>> {
    if fields.cleared("email_domains") {
        return Some(None);
    }
    fields.texts("email_domains", mistakes).map(Some)
}

fn tell(bad: Vec<(&'static str, BadTerm)>, mistakes: &mut Vec<Mistake>) {
    let help = |field| match field {
        "email_domains" => r#"write {"email_domains":["corp.example"]}"#,
        "roles" => r#"write {"roles":["engineer","eng-*"]}"#,
        _ => r#"write {"group_prefix":"lab/"}"#,
    };
    mistakes
        .extend(bad.into_iter().map(|(field, error)| Mistake::new(field, error.to_string(), help(field))));
}
