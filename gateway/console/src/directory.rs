//! What every call has in common that changes the directory: who asks and why, why it was not done,
//! and what is told of it when it was.
//!
//! The service ([`Lifecycle`]) decides, writes and records. Here it is only asked, off the caller's
//! connection, and the other nodes are waited for.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use doorward_lifecycle::machine::Actor;
use doorward_lifecycle::service::{Asker, Failed, Lifecycle};
use doorward_model::UnixMillis;
use doorward_model::limits::{
    OPERATOR_AFTERMATH_MILLIS_MAX, REVOCATION_CAUSE_BYTES_MAX, REVOCATION_PAGE_ROWS_MAX,
};
use doorward_state::{Ended, Receipt, StateError, Version};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::Console;
use crate::debts;
use crate::fleet::{self, Everywhere};
use crate::guard::{Call, OnRecord};
use crate::policies::failed;
use crate::problem::{Mistake, Problem};
use crate::revocations::{
    aftermath, audit_unavailable, by_protocol, durable, entry, not_done, not_published, target, wait,
};
use crate::strict;

/// How many rows a list has unless it is said.
pub(crate) const ROWS: usize = 100;

/// What stands beside the change in every body.
pub(crate) struct Manner {
    cause: String,
    wait: Option<Duration>,
    if_version: Option<Version>,
}

impl Manner {
    /// Takes it out of a body.
    pub(crate) fn take(fields: &mut strict::Fields, mistakes: &mut Vec<Mistake>) -> Self {
        let cause = fields.optional("cause", mistakes).unwrap_or_default();
        if cause.len() > REVOCATION_CAUSE_BYTES_MAX || cause.chars().any(char::is_control) {
            let message =
                format!("has at most {REVOCATION_CAUSE_BYTES_MAX} bytes, and no control characters");
            mistakes.push(Mistake::new("cause", message, ""));
        }
        let if_version = fields.number("if_version", i64::MAX.unsigned_abs(), mistakes);
        let if_version = if_version.and_then(|version| i64::try_from(version).ok()).map(Version);
        Self { cause, wait: wait(fields, mistakes), if_version }
    }

    /// Who asks, for the service.
    pub(crate) fn asker(&self, call: &Call) -> Asker {
        Asker { if_version: self.if_version, ..asker(call, &self.cause) }
    }

    pub(crate) const fn if_version(&self) -> Option<Version> {
        self.if_version
    }
}

/// The operator, for the service. There is one.
pub(crate) fn asker(call: &Call, cause: &str) -> Asker {
    Asker {
        actor: Actor::Operator("operator".into()),
        asserted_at: None,
        cause: cause.into(),
        request_id: Arc::clone(&call.request_id),
        if_version: None,
    }
}

/// The service, where this node has a directory.
pub(crate) fn lifecycle<'c>(console: &'c Console, call: &Call) -> Result<&'c Lifecycle, Box<Problem>> {
    console.ports.lifecycle.as_ref().ok_or_else(|| Box::new(not_done(call, &StateError::NotHere)))
}

/// Reads the body of a change, which may be empty, and the manner with it. `read` takes its own fields.
pub(crate) async fn understood<T>(
    call: &Call,
    headers: &HeaderMap,
    body: Body,
    read: impl FnOnce(&mut strict::Fields, &mut Vec<Mistake>) -> Option<T>,
) -> Result<(T, Manner), Box<Problem>> {
    let mut fields = strict::read_if_any(call, headers, body).await?;
    let mut mistakes = Vec::new();
    let wish = read(&mut fields, &mut mistakes);
    let manner = Manner::take(&mut fields, &mut mistakes);
    fields.end(&mut mistakes);
    match wish {
        Some(wish) if mistakes.is_empty() => Ok((wish, manner)),
        Some(_) | None => Err(Box::new(Problem::mistaken(call, mistakes))),
    }
}

/// Answers on a task of its own, so that a caller who goes away stops nothing half-way; the work
/// records the call itself.
pub(crate) async fn on_its_own(
    call: &Call,
    work: impl Future<Output = Response> + Send + 'static,
) -> Response {
    let mut response = tokio::spawn(work).await.unwrap_or_else(|_| failed(call).into_response());
    response.extensions_mut().insert(OnRecord);
    response
}

/// What a change came to, whatever it was of.
pub(crate) struct Outcome {
    /// The status when all is well.
    pub(crate) status: StatusCode,
    /// The members that are about the thing itself.
    pub(crate) told: Map<String, Value>,
    pub(crate) changed: bool,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) unpublished: Option<String>,
    pub(crate) on_record: bool,
    /// How the debts begin that may have been opened by it: `person <id>:`.
    pub(crate) debts_about: Vec<String>,
}

/// What was asked for, for the log of calls.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) operation: &'static str,
    /// About what.
    pub(crate) of: String,
    /// Whether it takes access away.
    pub(crate) takes: bool,
}

/// Puts a call into the log that was not done, and answers it.
pub(crate) async fn no(console: &Console, call: &Call, asked: Asked, problem: Problem) -> Response {
    let Asked { operation, of, .. } = asked;
    // It is refused in any case; a log that fails too says so itself.
    let _told = durable(console, call.event(operation, Some(of), problem.status())).await;
    problem.into_response()
}

/// Tells what was done: waits for what was ended, for the other nodes if that is wished, and for the log.
pub(crate) async fn done(
    console: &Console,
    call: &Call,
    asked: Asked,
    manner: &Manner,
    outcome: Outcome,
) -> Response {
    let Outcome { status, mut told, changed, receipts, unpublished, on_record, debts_about } = outcome;
    let ended = Ended::of(&receipts);
    let event = if asked.takes {
        call.taking_away(asked.operation, Some(asked.of), status)
    } else {
        call.event(asked.operation, Some(asked.of), status)
    };
    let owed = told.get("receipt").and_then(Value::as_str).and_then(|id| Uuid::parse_str(id).ok());
    let signed = async {
        match owed {
            Some(id) => Some(crate::receipts::told(console, id, manner.wait).await),
            None => None,
        }
    };
    // What the service recorded names the call and the caller, so it is enough to acknowledge.
    let ((remaining, took_micros), everywhere, signed, _call) = tokio::join!(
        farewell(console, &receipts, ended),
        everywhere(console, &receipts, manner.wait, unpublished.as_deref()),
        signed,
        durable(console, event)
    );
    if let Some(signed) = signed {
        told.insert("receipt".to_owned(), signed);
    }
    let by_protocol: Map<String, Value> =
        by_protocol(ended).into_iter().map(|(p, n)| (p.as_str().to_owned(), n.into())).collect();
    for (name, value) in [
        ("request_id", Value::from(&*call.request_id)),
        ("changed", changed.into()),
        ("enforced", true.into()),
        ("durable", true.into()),
        ("on_record", on_record.into()),
        ("receipts", receipts.iter().map(receipt).collect::<Vec<_>>().into()),
        ("ended", by_protocol.into()),
        ("remaining", remaining.into()),
        ("took_micros", took_micros.into()),
    ] {
        told.insert(name.to_owned(), value);
    }
    let mut opened = opened_debts(console, call, &debts_about).await;
    if let Some(everywhere) = everywhere {
        told.extend(everywhere.members().map(|(name, value)| (name.to_owned(), value)));
        if let (true, None, Some(last)) = (asked.takes, &unpublished, receipts.last()) {
            let owed = debts::owed(&everywhere, last, (console.ports.clock)(), &console.ports.debts);
            let owed = debts::open(console, call, owed).await;
            opened.get_or_insert_default().extend(owed);
        }
    }
    told.insert("debts".to_owned(), opened.into());
    answered(call, status, told.into(), receipts, unpublished, on_record)
}

fn answered(
    call: &Call,
    status: StatusCode,
    told: Value,
    mut receipts: Vec<Receipt>,
    unpublished: Option<String>,
    on_record: bool,
) -> Response {
    if !on_record {
        let why = "see standard error and the condition `audit`";
        return audit_unavailable(call, &why, true).with_receipt(told).into_response();
    }
    match (unpublished, receipts.pop()) {
        (Some(why), Some(receipt)) => {
            let error = StateError::NotPublished { receipt: Box::new(receipt), why };
            not_done(call, &error).with_receipt(told).into_response()
        }
        (Some(why), None) => {
            let detail = format!(
                "the change is saved and in force here, but not distributed yet: {why}; it is as soon as that is \
                 possible"
            );
            not_published(call, detail).with_receipt(told).into_response()
        }
        (None, _) => (status, Json(told)).into_response(),
    }
}

/// Waits a moment for the end of what was ended: how many remain, and when the last was over.
async fn farewell(console: &Console, receipts: &[Receipt], ended: Ended) -> (u64, Option<u64>) {
    let exchanges = u64::try_from(ended.exchanges()).unwrap_or(u64::MAX);
    if exchanges == 0 {
        return (0, None);
    }
    let all = async {
        let (mut remaining, mut took) = (0_u64, None);
        for receipt in receipts.iter().filter(|receipt| receipt.ended.exchanges() > 0) {
            let after = aftermath(console, receipt).await;
            remaining = remaining.saturating_add(after.remaining);
            took = took.max(after.took_micros);
        }
        (remaining, if remaining == 0 { took } else { None })
    };
    // A person may have many sign-ins and machines: all of them together wait no longer than one.
    let bound = Duration::from_millis(OPERATOR_AFTERMATH_MILLIS_MAX);
    tokio::time::timeout(bound, all).await.unwrap_or((exchanges, None))
}

/// What the nodes say, if the caller waits for them. Revocations and records stand in one log, so who has the
/// last of the revocations has all; what has no revocation in it stands where the newest of all does, or before.
async fn everywhere(
    console: &Console,
    receipts: &[Receipt],
    wait: Option<Duration>,
    unpublished: Option<&str>,
) -> Option<Everywhere> {
    match (wait, unpublished, receipts.last()) {
        (None, _, _) => None,
        (Some(_), Some(why), _) => Some(Everywhere::Unknown(format!("it is not distributed yet: {why}"))),
        (Some(deadline), None, Some(last)) => Some(Everywhere::ask(console, last, deadline).await),
        (Some(deadline), None, None) => Some(Everywhere::ask_for_all(console, deadline).await),
    }
}

/// The debts that were opened since the call came. None: the directory does not tell.
async fn opened_debts(console: &Console, call: &Call, about: &[String]) -> Option<Vec<Value>> {
    if about.is_empty() {
        return Some(Vec::new());
    }
    match console.ports.revocations.debts(true, None, REVOCATION_PAGE_ROWS_MAX).await {
        Ok(debts) => {
            let now = (console.ports.clock)();
            let new = debts.iter().filter(|debt| debt.opened_at >= call.received_at);
            let ours = new.filter(|debt| about.iter().any(|about| debt.about.starts_with(about)));
            Some(ours.map(|debt| debts::shown(debt, now)).collect())
        }
        Err(error) => {
            tracing::warn!(%error, "it cannot be told which debts a change has opened");
            None
        }
    }
}

fn receipt(receipt: &Receipt) -> Value {
    json!({
        "id": receipt.id.to_string(),
        "target": target(&receipt.target),
        "entry": entry(receipt.entry),
        "applied_at": receipt.applied_at.0,
        "durable_at": receipt.durable_at.0,
        "published_at": receipt.published.map(|published| published.at.0),
        "position": receipt.published.map(|published| fleet::position(&published.position)),
    })
}

/// Why the service did not do it: one code for each variant.
pub(crate) fn refused(call: &Call, error: &Failed) -> Problem {
    let detail = error.to_string();
    let enforced = error.enforced();
    let mistaken = |field: &str| vec![Mistake::new(field, detail.clone(), "")];
    match error {
        Failed::Denied(denied) => {
            let state = denied.state.map(doorward_model::directory::StateKind::as_str);
            let title = "This is not possible from where they stand";
            Problem::new(call, StatusCode::CONFLICT, "denied", title, detail)
                .with("command", denied.command.as_str())
                .with("state", state)
                .with("help", denied.help())
        }
        Failed::Member { member, denied } => {
            let title = "One of the members stands in the way";
            Problem::new(call, StatusCode::CONFLICT, "member_denied", title, detail)
                .with("member", member.as_str())
                .with("help", denied.help())
        }
        Failed::NotFound { what, id } => not_known(call, what, id),
        Failed::Taken { field, holder_kind, holder_id, .. } => {
            let errors = mistaken(field);
            Problem::new(call, StatusCode::CONFLICT, "taken", "Somebody else has this name", detail)
                .with_errors(errors)
                .with("holder", json!({ "kind": holder_kind, "id": holder_id }))
                .with("enforced", enforced)
        }
        Failed::Changed { .. } => {
            let title = "It has changed meanwhile";
            Problem::new(call, StatusCode::PRECONDITION_FAILED, "changed", title, detail)
        }
        Failed::Busy { .. } => {
            let title = "Others change the same";
            Problem::new(call, StatusCode::SERVICE_UNAVAILABLE, "busy", title, detail)
                .with("enforced", enforced)
        }
        Failed::Nesting(_) => {
            let title = "Groups cannot be nested so";
            Problem::new(call, StatusCode::UNPROCESSABLE_ENTITY, "nesting", title, detail)
        }
        Failed::Case(_) => {
            let title = "The case does not go on so";
            Problem::new(call, StatusCode::CONFLICT, "case_denied", title, detail)
        }
        Failed::Halted(halt) => {
            Problem::new(call, StatusCode::CONFLICT, "halted", "The connection is stopped", detail)
                .with("halt", halt.id.to_string())
        }
        Failed::Refused { what, help } => {
            Problem::new(call, StatusCode::CONFLICT, "refused", "A rule says no", *what).with("help", *help)
        }
        Failed::TooMany { what, .. } => {
            let errors = mistaken(what);
            let title = "This is too much at once";
            Problem::new(call, StatusCode::UNPROCESSABLE_ENTITY, "too_many", title, detail)
                .with_errors(errors)
        }
        Failed::Bad { field, what } => Problem::mistaken(call, vec![Mistake::new(*field, what.as_str(), "")]),
        Failed::NotOnRecord(why) => audit_unavailable(call, why, false),
        Failed::Damaged { .. } => {
            let title = "What is stored cannot be read";
            Problem::new(call, StatusCode::INTERNAL_SERVER_ERROR, "damaged", title, detail)
                .with("help", "look at the log of the gateway; a backup of the store has it as it was")
        }
        Failed::State(error) => not_done(call, error),
        Failed::Interrupted => {
            let title = "The gateway is closing";
            Problem::new(call, StatusCode::SERVICE_UNAVAILABLE, "closing", title, detail)
        }
    }
}

/// There is none of this name.
pub(crate) fn not_known(call: &Call, what: &str, id: &str) -> Problem {
    let shown: String = id.chars().filter(|c| !c.is_control()).take(80).collect();
    let detail = format!("there is no {what} `{shown}`");
    Problem::new(call, StatusCode::NOT_FOUND, "not_known", "There is none of this name", detail)
}

/// A time in answers.
pub(crate) fn millis(at: Option<UnixMillis>) -> Option<i64> {
    at.map(|at| at.0)
}
