//! Whom a review or an explanation of a running gateway is about.

use serde_json::Value;

use super::super::changed::{all_called, one_of};
use super::super::{Failure, printable};
use crate::operator::Operator;

/// How whoever has not signed in is called.
pub(super) const VISITOR: &str = "visitor";
pub(super) const AGENT: &str = "agent:";
pub(super) const SERVICE_ACCOUNT: &str = "service-account:";

/// Somebody of the directory, by id.
pub(super) struct Whom {
    /// `person` or `machine`.
    pub(super) kind: &'static str,
    pub(super) id: String,
}

/// The one who is called so: a name, an id, `corp:alice`, `agent:NAME`, `service-account:NAME`.
pub(super) fn find(operator: &Operator, who: &str) -> Result<Whom, Failure> {
    let (kind, list, what, name) = if let Some(name) = who.strip_prefix(AGENT) {
        ("machine", "agents", "agent", name)
    } else if let Some(name) = who.strip_prefix(SERVICE_ACCOUNT) {
        ("machine", "service-accounts", "service-account", name)
    } else {
        ("person", "users", "user", who)
    };
    let found = all_called(operator, list, name)?;
    let nobody = found.is_empty();
    one_of(found, what, name).map(|one| Whom { kind, id: one.id }).map_err(|failure| {
        let issuers = if nobody { unlisted(operator) } else { Vec::new() };
        if issuers.is_empty() { failure } else { with(failure, &issuers) }
    })
}

/// The issuers whose people the directory is not asked about. A gateway that does not tell has none.
fn unlisted(operator: &Operator) -> Vec<String> {
    let page = operator.look(&["access", "what-can"], &[("visitor", "yes"), ("limit", "1")]);
    let issuers = page.ok().and_then(|page| page.get("as_tokens_say").cloned());
    let issuers = issuers.as_ref().and_then(Value::as_array).into_iter().flatten();
    issuers.filter_map(Value::as_str).map(printable).collect()
}

fn with(failure: Failure, issuers: &[String]) -> Failure {
    let why = format!(
        "whoever comes by `{}` need not be in the directory: they are as their token says (`directory.token_for`). \
         What they were told, `doorward policy explain --request ID` explains",
        issuers.join("`, `")
    );
    let help = failure.help.map_or_else(|| why.clone(), |help| format!("{help}; {why}"));
    Failure { help: Some(help), ..failure }
}
