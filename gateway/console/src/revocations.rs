//! `/api/v1/revocations`: taking access away, giving it back, and what was done.
//!
//! Taking away: in force, then on the disk, then in the audit log, then acknowledged. Giving
//! back: in the audit log first, as an intent, because what cannot be recorded must not happen.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use doorward_audit::event::Revocation;
use doorward_audit::{AuditError, Event, Protocol};
use doorward_model::limits::{
    OPERATOR_AFTERMATH_MILLIS_MAX, OPERATOR_AUDIT_SECONDS_MAX, OPERATOR_FLEET_MILLIS,
    OPERATOR_FLEET_MILLIS_MAX, REVOCATION_PAGE_ROWS_MAX,
};
use doorward_model::{EntryKind, LifecycleStage, Target, UnixMillis};
use doorward_state::{Action, Change, Ended, Receipt, Row, Seq, StateError};
use serde_json::{Map, Value, json};

use crate::Console;
use crate::debts;
use crate::fleet::{self, Everywhere};
use crate::guard::{Call, OnRecord};
use crate::inflight::Parameters;
use crate::policies::failed;
use crate::ports::Aftermath;
use crate::problem::{Mistake, Problem};
use crate::strict;

const ROWS: usize = 100;
const HOW: &str = r#"write {"target":{"kind":"user","id":"corp:alice"},"action":"revoke","cause":"..."}"#;

/// What is asked for.
pub(crate) struct Wish {
    pub(crate) target: Target,
    pub(crate) action: Action,
    pub(crate) cause: String,
    /// How long to wait until every node has it; none when this one is enough.
    pub(crate) wait: Option<Duration>,
}

pub(crate) async fn create(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let wish = match strict::read(&call, &headers, body).await.map(understand) {
        Ok(Ok(wish)) => wish,
        Ok(Err(mistakes)) => return Problem::mistaken(&call, mistakes).into_response(),
        Err(problem) => return problem.into_response(),
    };
    let asked = call.clone();
    // On a task of its own: a caller who goes away stops nothing half-way.
    let work = tokio::spawn(async move {
        if wish.action.is_grant() {
            give_back(&console, &call, wish).await
        } else {
            take_away(&console, &call, wish).await
        }
    });
    let mut response = work.await.unwrap_or_else(|_| failed(&asked).into_response());
    response.extensions_mut().insert(OnRecord);
    response
}

fn understand(mut fields: strict::Fields) -> Result<Wish, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let named = fields.object("target", HOW, &mut mistakes).map(|mut target| {
        let kind = target.text("kind", "user, session, token, device or user_at_app", &mut mistakes);
        let id = target.text("id", "such as `corp:alice`", &mut mistakes);
        target.end(&mut mistakes);
        (kind, id)
    });
    let target = match named {
        Some((Some(kind), Some(id))) => target_of("target.kind", "target.id", &kind, &id, &mut mistakes),
        Some(_) | None => None,
    };
    let action = fields.text("action", "revoke, disable or reactivate", &mut mistakes).and_then(|word| {
        let action = Action::parse(&word);
        if action.is_none() {
            let message = format!("`{}` is not an action", word.chars().take(40).collect::<String>());
            mistakes.push(Mistake::new("action", message, "use revoke, disable or reactivate"));
        }
        action
    });
    let cause = fields.optional("cause", &mut mistakes).unwrap_or_default();
    let wait = wait(&mut fields, &mut mistakes);
    fields.end(&mut mistakes);
    match (target, action) {
        (Some(target), Some(action)) if mistakes.is_empty() => Ok(Wish { target, action, cause, wait }),
        _ => Err(mistakes),
    }
}

/// For whom the answer waits: this node, or every node for so long.
pub(crate) fn wait(fields: &mut strict::Fields, mistakes: &mut Vec<Mistake>) -> Option<Duration> {
    let millis = fields.number("wait_millis_max", OPERATOR_FLEET_MILLIS_MAX, mistakes);
    match fields.optional("wait", mistakes).as_deref() {
        Some("fleet") => Some(Duration::from_millis(millis.unwrap_or(OPERATOR_FLEET_MILLIS))),
        Some("node") | None => {
            if millis.is_some() {
                let message = "has a meaning with `wait`: `fleet` only";
                mistakes.push(Mistake::new("wait_millis_max", message, "remove it, or wait for the fleet"));
            }
            None
        }
        Some(other) => {
            let message = format!("`{}` is nobody to wait for", other.chars().take(40).collect::<String>());
            mistakes.push(Mistake::new("wait", message, "use node (the default) or fleet"));
            None
        }
    }
}

fn target_of(
    kind_field: &str,
    id_field: &str,
    kind: &str,
    id: &str,
    mistakes: &mut Vec<Mistake>,
) -> Option<Target> {
    let Some(kind) = EntryKind::parse(kind) else {
        let message = format!("`{}` is not a kind of target", kind.chars().take(40).collect::<String>());
        mistakes.push(Mistake::new(kind_field, message, "use user, session, token, device or user_at_app"));
        return None;
    };
    // What an error repeats is cut, whatever was sent.
    let told = |e: doorward_model::principal::IdError| e.to_string().chars().take(300).collect::<String>();
    Target::parse(kind, id).map_err(|e| mistakes.push(Mistake::new(id_field, told(e), ""))).ok()
}

/// A change that is in force and on the disk.
struct Done {
    receipt: Receipt,
    /// Why the other nodes do not have it yet, if they do not.
    unpublished: Option<String>,
}

async fn apply(console: &Console, call: &Call, wish: &Wish) -> Result<Done, StateError> {
    match console.ports.revocations.apply(change(call, wish)).await {
        Ok(receipt) => Ok(Done { receipt, unpublished: None }),
        Err(StateError::NotPublished { receipt, why }) => {
            Ok(Done { receipt: *receipt, unpublished: Some(why) })
        }
        Err(error) => Err(error),
    }
}

impl Done {
    const fn status(&self) -> StatusCode {
        match self.unpublished {
            None => StatusCode::CREATED,
            Some(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What the nodes say, if the caller waits for them. What did not go out, no other node has.
    async fn everywhere(&self, console: &Console, wish: &Wish) -> Option<Everywhere> {
        match (wish.wait, &self.unpublished) {
            (None, _) => None,
            (Some(deadline), None) => Some(Everywhere::ask(console, &self.receipt, deadline).await),
            (Some(_), Some(why)) => Some(Everywhere::Unknown(format!("it is not distributed yet: {why}"))),
        }
    }

    /// The answer, once it is on record or could not be.
    fn answer(&self, call: &Call, answer: Value, recorded: Result<(), AuditError>) -> Response {
        match (recorded, &self.unpublished) {
            (Ok(()), None) => (StatusCode::CREATED, Json(answer)).into_response(),
            (Ok(()), Some(why)) => {
                let (receipt, why) = (Box::new(self.receipt.clone()), why.clone());
                let problem = not_done(call, &StateError::NotPublished { receipt, why });
                problem.with_receipt(answer).into_response()
            }
            (Err(error), _) => audit_unavailable(call, &error, true).with_receipt(answer).into_response(),
        }
    }
}

/// Takes access away, and tells what that came to.
pub(crate) async fn take_away(console: &Console, call: &Call, wish: Wish) -> Response {
    let operation = operation(wish.action, wish.target.kind());
    let named = wish.target.to_string();
    let done = match apply(console, call, &wish).await {
        Ok(done) => done,
        Err(error) => {
            let problem = not_done(call, &error);
            // It is refused or told as unsaved in any case; a log that fails too says so itself.
            let told = if error.enforced() {
                call.taking_away(operation, Some(named), problem.status())
            } else {
                call.event(operation, Some(named), problem.status())
            };
            let _told = durable(console, told).await;
            return problem.into_response();
        }
    };
    let receipt = &done.receipt;
    let on_record = async {
        let aftermath = aftermath(console, receipt).await;
        let event = told_of(console, call, &wish, receipt, aftermath);
        // That of the revocation names the call and the caller, so it is enough to acknowledge; on a
        // full disk there may be room for no more.
        let (revocation, _call) = tokio::join!(
            durable(console, event),
            durable(console, call.taking_away(operation, Some(named), done.status()))
        );
        (aftermath, revocation)
    };
    // Nodes that are slow keep nothing from the log.
    let ((aftermath, recorded), everywhere) = tokio::join!(on_record, done.everywhere(console, &wish));
    let mut answer = receipt_of(call, wish.action, receipt, aftermath);
    if let Some(everywhere) = &everywhere {
        answer.extend(everywhere.members().map(|(name, value)| (name.to_owned(), value)));
        let owed = debts::owed(everywhere, receipt, (console.ports.clock)(), &console.ports.debts);
        // Whoever is told that it did not go out knows that nobody has it.
        let owed = if done.unpublished.is_some() { Vec::new() } else { owed };
        let debts = debts::open(console, call, owed).await;
        answer.insert("debts".to_owned(), debts.into());
    }
    done.answer(call, answer.into(), recorded)
}

/// Waits a moment for the end of what was ended.
pub(crate) async fn aftermath(console: &Console, receipt: &Receipt) -> Aftermath {
    let wait = (console.ports.aftermath)(receipt.target.clone());
    let bound = Duration::from_millis(OPERATOR_AFTERMATH_MILLIS_MAX);
    let exchanges = u64::try_from(receipt.ended.exchanges()).unwrap_or(u64::MAX);
    let unknown = Aftermath { remaining: exchanges, ended_at: None, took_micros: None };
    tokio::time::timeout(bound, wait).await.unwrap_or(unknown)
}

async fn give_back(console: &Console, call: &Call, wish: Wish) -> Response {
    let operation = operation(wish.action, wish.target.kind());
    let named = wish.target.to_string();
    if let Err(problem) = may_grant(console, call, operation, Some(named.clone())).await {
        return problem.into_response();
    }
    match apply(console, call, &wish).await {
        Ok(done) => {
            let (recorded, everywhere) = tokio::join!(
                on_record(console, call, operation, Some(named), done.status()),
                done.everywhere(console, &wish)
            );
            let mut answer = receipt_of(call, wish.action, &done.receipt, Aftermath::default());
            // A node that does not let somebody in yet is nothing that anybody owes.
            let members = everywhere.iter().flat_map(Everywhere::members);
            answer.extend(members.map(|(name, value)| (name.to_owned(), value)));
            done.answer(call, answer.into(), recorded)
        }
        Err(error) => {
            let problem = not_done(call, &error);
            let _told = on_record(console, call, operation, Some(named), problem.status()).await;
            problem.into_response()
        }
    }
}

fn change(call: &Call, wish: &Wish) -> Change {
    Change {
        target: wish.target.clone(),
        action: wish.action,
        cause: wish.cause.clone(),
        actor: "operator".to_owned(),
        request_id: call.request_id.to_string(),
    }
}

/// Why a change was not acknowledged, and whether it is in force anyway.
pub(crate) fn not_done(call: &Call, error: &StateError) -> Problem {
    let detail = error.to_string();
    let unavailable = |code, title| {
        Problem::new(call, StatusCode::SERVICE_UNAVAILABLE, code, title, detail.clone())
            .with("enforced", error.enforced())
            .with("durable", false)
    };
    match error {
        StateError::NotDurable { kept, .. } => {
            unavailable("not_durable", "The change could not be saved").with("kept", *kept)
        }
        StateError::Unanswered { .. } => unavailable("store_silent", "The store does not answer"),
        StateError::GrantsRefused { .. } => unavailable("grants_refused", "Nobody is reactivated now"),
        StateError::NotPublished { .. } => not_published(call, detail),
        StateError::NotHere => {
            let title = "This node takes no changes";
            Problem::new(call, StatusCode::CONFLICT, "not_here", title, detail.clone())
        }
        StateError::FleetUnknown { .. } => {
            let title = "The fleet cannot be asked";
            Problem::new(call, StatusCode::SERVICE_UNAVAILABLE, "fleet_unknown", title, detail)
        }
        StateError::Interrupted | StateError::Store(_) => {
            unavailable("store_unavailable", "The store cannot be used")
        }
        StateError::NeverReturns { .. } => {
            let title = "This is never given back";
            Problem::new(call, StatusCode::UNPROCESSABLE_ENTITY, "never_returns", title, detail.clone())
                .with_errors(vec![Mistake::new("target.kind", detail, "reactivate the user instead")])
        }
        StateError::BadText { field, .. } => Problem::mistaken(call, vec![Mistake::new(*field, detail, "")]),
    }
}

/// It is saved and in force here, and other nodes do not have it yet.
pub(crate) fn not_published(call: &Call, detail: String) -> Problem {
    let (title, status) = ("Other nodes do not have it yet", StatusCode::SERVICE_UNAVAILABLE);
    Problem::new(call, status, "not_published", title, detail)
        .with("enforced", true)
        .with("durable", true)
        .with("published", false)
}

/// Puts what is about to be granted into the log. Asked first: what the log set aside for a full
/// disk takes critical events, and is for taking access away, not for giving it.
pub(crate) async fn may_grant(
    console: &Console,
    call: &Call,
    operation: &'static str,
    target: Option<String>,
) -> Result<(), Box<Problem>> {
    if !console.ports.audit.accepts_grants() {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let _counted = console.ports.audit.record(call.event(operation, target, status));
        let cause = console.ports.audit.health().last_error;
        let cause = cause.unwrap_or_else(|| "it takes no grants now".to_owned());
        return Err(Box::new(audit_unavailable(call, &cause, false)));
    }
    let recorded = on_record(console, call, operation, target, StatusCode::ACCEPTED).await;
    recorded.map_err(|error| Box::new(audit_unavailable(call, &error, false)))
}

/// The log does not have it.
pub(crate) fn audit_unavailable(call: &Call, error: &dyn std::fmt::Display, done: bool) -> Problem {
    let detail = if done {
        format!("it is in force and saved, but the audit log does not have it: {error}")
    } else {
        format!("nothing was done, because the audit log could not have it: {error}")
    };
    let title = "This cannot be recorded right now";
    Problem::new(call, StatusCode::SERVICE_UNAVAILABLE, "audit_unavailable", title, detail)
        .with("enforced", done)
        .with("durable", done)
}

/// Puts a call into the log, and comes back when it is on the disk.
pub(crate) async fn on_record(
    console: &Console,
    call: &Call,
    operation: &'static str,
    target: Option<String>,
    status: StatusCode,
) -> Result<(), AuditError> {
    durable(console, call.event(operation, target, status)).await
}

pub(crate) async fn durable(console: &Console, event: Event) -> Result<(), AuditError> {
    let bound = Duration::from_secs(OPERATOR_AUDIT_SECONDS_MAX);
    match tokio::time::timeout(bound, console.ports.audit.record_durable(event)).await {
        Ok(recorded) => recorded.map(|_| ()),
        // A log that does not answer has nothing.
        Err(_) => Err(AuditError::Closed),
    }
}

fn told_of(console: &Console, call: &Call, wish: &Wish, receipt: &Receipt, aftermath: Aftermath) -> Event {
    let person = matches!(receipt.target, Target::User(_) | Target::UserAtApp(..));
    let halted = person && receipt.entry.disabled;
    Event::Revocation(Box::new(Revocation {
        id: receipt.id.to_string().into(),
        target: receipt.target.clone(),
        entry: receipt.entry,
        // The gateway knows of a halt that it was told of, and of nothing else.
        stage: if halted { LifecycleStage::Suspended } else { LifecycleStage::Unknown },
        actor: call.actor.clone(),
        cause: "operator",
        note: (!wish.cause.is_empty()).then(|| wish.cause.clone()),
        request_id: Some(Arc::clone(&call.request_id)),
        revision: Some(console.ports.policies.bundle().revision().to_string().into()),
        received_at: call.received_at,
        durable_at: receipt.durable_at,
        published_at: receipt.published.map(|published| published.at),
        enforced_at: receipt.applied_at,
        ended_at: ended_at(receipt, aftermath),
        ended: by_protocol(receipt.ended)
            .into_iter()
            .map(|(protocol, n)| (protocol, u64::try_from(n).unwrap_or(u64::MAX)))
            .collect(),
        remaining: aftermath.remaining,
    }))
}

/// When the last exchange was over. It is looked for only when the change is saved and has gone out,
/// so how long the ending took tells it better than when it was found.
fn ended_at(receipt: &Receipt, aftermath: Aftermath) -> Option<UnixMillis> {
    let found = aftermath.ended_at?;
    let took = aftermath.took_micros.map(Duration::from_micros);
    Some(took.map_or(found, |took| found.min(receipt.applied_at.plus(took))))
}

pub(crate) fn by_protocol(ended: Ended) -> Vec<(Protocol, usize)> {
    let count = |protocol| match protocol {
        Protocol::Http1 => ended.http1,
        Protocol::Http2 => ended.http2,
        Protocol::WebSocket => ended.websocket,
        Protocol::EventStream => ended.event_stream,
        Protocol::Grpc => ended.grpc,
    };
    Protocol::ALL.into_iter().map(|p| (p, count(p))).collect()
}

fn receipt_of(call: &Call, action: Action, receipt: &Receipt, aftermath: Aftermath) -> Map<String, Value> {
    let ended: serde_json::Map<String, Value> =
        by_protocol(receipt.ended).into_iter().map(|(p, n)| (p.as_str().to_owned(), n.into())).collect();
    let told = json!({
        "id": receipt.id.to_string(),
        "request_id": &*call.request_id,
        "target": target(&receipt.target),
        "action": action.as_str(),
        "entry": entry(receipt.entry),
        "applied_at": receipt.applied_at.0,
        "durable_at": receipt.durable_at.0,
        "enforced": true,
        "durable": true,
        "ended": ended,
        "remaining": aftermath.remaining,
        "took_micros": aftermath.took_micros,
    });
    let mut answer = match told {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    if let Some(published) = &receipt.published {
        answer.insert("published_at".to_owned(), published.at.0.into());
        answer.insert("position".to_owned(), fleet::position(&published.position));
    }
    answer
}

pub(crate) fn target(target: &Target) -> Value {
    json!({ "kind": target.kind().as_str(), "id": target.id() })
}

pub(crate) fn entry(entry: doorward_model::Entry) -> Value {
    json!({ "not_before": entry.not_before.0, "version": entry.version, "disabled": entry.disabled })
}

pub(crate) async fn list(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let mut query = Parameters::new(pairs, &["kind", "id", "limit", "after"]);
    let of = match (query.get("kind").map(str::to_owned), query.get("id").map(str::to_owned)) {
        (None, None) => None,
        (Some(kind), Some(id)) => target_of("kind", "id", &kind, &id, &mut query.mistakes),
        (Some(_), None) | (None, Some(_)) => {
            query.mistakes.push(Mistake::new("kind", "and `id` go together", "name both or neither"));
            None
        }
    };
    let after = query.read("after", str::parse::<i64>);
    let limit = query.limit(ROWS, REVOCATION_PAGE_ROWS_MAX);
    if !query.mistakes.is_empty() {
        return Problem::mistaken(&call, query.mistakes).into_response();
    }
    let in_force = of.as_ref().and_then(|target| console.ports.revocations.lookup(target));
    match page(&console, of, limit, after.map(Seq)).await {
        Ok((rows, next)) => Json(json!({
            "revocations": rows.iter().map(shown).collect::<Vec<_>>(),
            "in_force": in_force.map(entry),
            "next": next.map(|seq| seq.0),
        }))
        .into_response(),
        Err(error) => not_done(&call, &error).into_response(),
    }
}

/// The log, the newest first, and behind what the next page begins, if anything follows.
async fn page(
    console: &Console,
    of: Option<Target>,
    limit: usize,
    after: Option<Seq>,
) -> Result<(Vec<Row>, Option<Seq>), StateError> {
    let log = &console.ports.revocations;
    let rows = log.list(of.clone(), limit, after).await?;
    let full = rows.last().filter(|_| rows.len() == limit).map(|row| row.seq);
    let next = match full {
        Some(last) if !log.list(of, 1, full).await?.is_empty() => Some(last),
        Some(_) | None => None,
    };
    Ok((rows, next))
}

fn shown(row: &Row) -> Value {
    json!({
        "seq": row.seq.0,
        "id": row.id.to_string(),
        "target": target(&row.target),
        "action": row.action.as_str(),
        "entry": entry(row.entry),
        "recorded_at": row.recorded_at.0,
        "cause": row.cause,
        "actor": row.actor,
        "request_id": row.request_id,
    })
}

/// The stable word for a change in the audit log.
const fn operation(action: Action, kind: EntryKind) -> &'static str {
    match (action, kind) {
        (Action::Revoke, EntryKind::User) => "revoke.user",
        (Action::Revoke, EntryKind::Session) => "revoke.session",
        (Action::Revoke, EntryKind::Token) => "revoke.token",
        (Action::Revoke, EntryKind::Device) => "revoke.device",
        (Action::Revoke, EntryKind::UserAtApp) => "revoke.user_at_app",
        (Action::Disable, EntryKind::User) => "disable.user",
        (Action::Disable, EntryKind::Session) => "disable.session",
        (Action::Disable, EntryKind::Token) => "disable.token",
        (Action::Disable, EntryKind::Device) => "disable.device",
        (Action::Disable, EntryKind::UserAtApp) => "disable.user_at_app",
        (Action::Reactivate, EntryKind::User) => "reactivate.user",
        (Action::Reactivate, EntryKind::Session) => "reactivate.session",
        (Action::Reactivate, EntryKind::Token) => "reactivate.token",
        (Action::Reactivate, EntryKind::Device) => "reactivate.device",
        (Action::Reactivate, EntryKind::UserAtApp) => "reactivate.user_at_app",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_is_not_said_to_have_waited_for_redis() {
        let receipt = Receipt {
            id: uuid::Uuid::from_u128(1),
            target: Target::parse(EntryKind::User, "corp:alice").unwrap(),
            entry: doorward_model::Entry::default(),
            applied_at: UnixMillis(1_000),
            durable_at: UnixMillis(1_010),
            ended: Ended::default(),
            published: None,
        };
        let found = |found_at: i64, took_micros| {
            let found_at = Some(UnixMillis(found_at));
            ended_at(&receipt, Aftermath { remaining: 0, ended_at: found_at, took_micros })
        };
        assert_eq!(found(4_000, Some(2_500)), Some(UnixMillis(1_002)), "it was found three seconds later");
        assert_eq!(found(1_001, Some(2_500)), Some(UnixMillis(1_001)));
        assert_eq!(found(4_000, None), Some(UnixMillis(4_000)));
        assert_eq!(ended_at(&receipt, Aftermath { remaining: 2, ended_at: None, took_micros: None }), None);
    }

    #[test]
    fn every_operation_has_its_own_word() {
        let mut words = std::collections::BTreeSet::new();
        for action in Action::ALL {
            for kind in EntryKind::ALL {
                let word = operation(action, kind);
                assert_eq!(word, format!("{}.{}", action.as_str(), kind.as_str()));
                assert!(words.insert(word));
            }
        }
    }
}
