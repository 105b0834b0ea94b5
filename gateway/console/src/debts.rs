//! `/api/v1/debts`: what was promised and not confirmed in time. Somebody owes an answer, and a debt
//! stays open until it is settled.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use doorward_audit::Event;
use doorward_audit::event::{ControlDebt, DebtStep};
use doorward_model::UnixMillis;
use doorward_model::limits::{
    OPERATOR_DEBT_SECONDS_MAX, REVOCATION_CAUSE_BYTES_MAX, REVOCATION_PAGE_ROWS_MAX,
};
use doorward_state::{Debt, DebtKind, DebtTerms, NewDebt, NodeAnswer, NodeReport, Receipt, StateError};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Console;
use crate::fleet::{Everywhere, has_applied};
use crate::guard::{Call, OnRecord};
use crate::inflight::Parameters;
use crate::policies::failed;
use crate::problem::{Mistake, Problem};
use crate::revocations::{audit_unavailable, durable, may_grant, not_done, on_record};
use crate::strict;

const ROWS: usize = 100;
const OPERATION: &str = "debts.settle";

/// What the nodes that did not confirm a revocation in time leave behind.
pub(crate) fn owed(
    everywhere: &Everywhere,
    receipt: &Receipt,
    now: UnixMillis,
    terms: &DebtTerms,
) -> Vec<(NewDebt, Value)> {
    let what = format!("the revocation {} of {}", receipt.id, receipt.target);
    let debt = |instance: Option<Uuid>, about: String, cause: String| NewDebt {
        id: id_of(receipt.id, instance),
        kind: DebtKind::MissedRevocation,
        about,
        owner: terms.owner.clone(),
        cause,
        opened_at: now,
        due_at: now.plus(terms.due),
    };
    match everywhere {
        Everywhere::Told(reports) => {
            let late = reports.iter().filter(|report| !has_applied(report));
            late.map(|report| {
                let NodeReport { node, instance, .. } = report;
                let about = format!("{node} (instance {instance}) did not confirm {what}");
                let debt = debt(Some(*instance), about, why(report).to_owned());
                let named = json!({ "node": node, "instance": instance.to_string() });
                (debt, named)
            })
            .collect()
        }
        Everywhere::Unknown(error) => {
            let about = format!("no node could be asked whether it has {what}");
            vec![(debt(None, about, error.clone()), json!({ "node": null, "instance": null }))]
        }
    }
}

const fn why(report: &NodeReport) -> &'static str {
    match report.answer {
        NodeAnswer::Applied { .. } => "it confirmed it",
        NodeAnswer::Behind { .. } => "it polls, and had not applied it when the time was over",
        NodeAnswer::Silent { .. } => {
            "it was not seen for longer than its lease; if it lives, it refuses every request, but for those of apps \
             with `stale_seconds_max`"
        }
    }
}

/// The id of what a node owes for a receipt is always the same, so that it is not owed twice.
fn id_of(receipt: Uuid, instance: Option<Uuid>) -> Uuid {
    let mut bytes = *receipt.as_bytes();
    for (byte, other) in bytes.iter_mut().zip(instance.unwrap_or(Uuid::nil()).as_bytes()) {
        *byte ^= other;
    }
    // RFC 9562 §5.8: a form of our own, told by its version.
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Opens debts, in the directory and in the audit log, and says for each what became of it.
pub(crate) async fn open(console: &Console, call: &Call, owed: Vec<(NewDebt, Value)>) -> Vec<Value> {
    let mut directory = Directory::default();
    let mut told = Vec::new();
    for (debt, mut named) in owed {
        let event = opened(call, &debt);
        let (id, owner, due_at) = (debt.id, debt.owner.clone(), debt.due_at);
        let about = debt.about.clone();
        // Both are tried: each of them alone is found by whoever looks.
        let keeping = directory.keep(console.ports.revocations.open_debt(debt));
        let (kept, recorded) = tokio::join!(keeping, durable(console, event));
        if let Err(error) = &kept {
            tracing::error!(%id, about, error, "a control debt is not in the directory");
        }
        if let Err(error) = &recorded {
            tracing::error!(%id, about, %error, "a control debt is not in the audit log");
        }
        if let Value::Object(members) = &mut named {
            members.insert("id".to_owned(), id.to_string().into());
            members.insert("owner".to_owned(), owner.into());
            members.insert("due_at".to_owned(), due_at.0.into());
            members.insert("durable".to_owned(), kept.is_ok().into());
        }
        told.push(named);
    }
    told
}

fn opened(call: &Call, debt: &NewDebt) -> Event {
    Event::ControlDebt(Box::new(ControlDebt {
        id: debt.id.to_string().into(),
        actor: call.actor.clone(),
        request_id: Some(Arc::clone(&call.request_id)),
        step: DebtStep::Opened {
            kind: debt.kind.as_str(),
            about: debt.about.clone(),
            owner: debt.owner.clone(),
            cause: debt.cause.clone(),
            due_at: debt.due_at,
        },
    }))
}

/// The directory, as long as it can be written. The caller waits, and there may be as many debts as
/// nodes: so one that has failed is not asked for the rest of them.
#[derive(Default)]
struct Directory {
    failed: Option<String>,
}

impl Directory {
    async fn keep(&mut self, write: impl Future<Output = Result<(), StateError>>) -> Result<(), String> {
        if let Some(why) = &self.failed {
            return Err(why.clone());
        }
        let bound = Duration::from_secs(OPERATOR_DEBT_SECONDS_MAX);
        let kept = match tokio::time::timeout(bound, write).await {
            Ok(kept) => kept.map_err(|error| error.to_string()),
            Err(_) => Err(format!("the directory has not answered within {} s", bound.as_secs())),
        };
        self.failed = kept.clone().err();
        kept
    }
}

pub(crate) async fn list(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let mut query = Parameters::new(pairs, &["open", "limit", "after"]);
    let open = query.read("open", |word| match word {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("is not `true` or `false`"),
    });
    let after = query.read("after", str::parse::<i64>);
    let limit = query.limit(ROWS, REVOCATION_PAGE_ROWS_MAX);
    if !query.mistakes.is_empty() {
        return Problem::mistaken(&call, query.mistakes).into_response();
    }
    match page(&console, open.unwrap_or(false), after, limit).await {
        Ok((debts, next)) => {
            let now = (console.ports.clock)();
            let debts: Vec<Value> = debts.iter().map(|debt| shown(debt, now)).collect();
            Json(json!({ "debts": debts, "next": next })).into_response()
        }
        Err(error) => not_done(&call, &error).into_response(),
    }
}

/// Debts, the newest first, and behind which the next page begins, if anything follows.
async fn page(
    console: &Console,
    open: bool,
    after: Option<i64>,
    limit: usize,
) -> Result<(Vec<Debt>, Option<i64>), StateError> {
    let debts = console.ports.revocations.debts(open, after, limit).await?;
    let full = debts.last().filter(|_| debts.len() == limit).map(|debt| debt.seq);
    let next = match full {
        Some(last) if !console.ports.revocations.debts(open, full, 1).await?.is_empty() => Some(last),
        Some(_) | None => None,
    };
    Ok((debts, next))
}

pub(crate) fn shown(debt: &Debt, now: UnixMillis) -> Value {
    json!({
        "seq": debt.seq,
        "id": debt.id.to_string(),
        "kind": debt.kind.as_str(),
        "about": debt.about,
        "owner": debt.owner,
        "cause": debt.cause,
        "opened_at": debt.opened_at.0,
        "due_at": debt.due_at.0,
        "overdue": debt.settled.is_none() && debt.due_at < now,
        "settled_at": debt.settled.as_ref().map(|(at, _)| at.0),
        "how": debt.settled.as_ref().map(|(_, how)| how),
    })
}

/// Settles one. Like what gives access it is in the log before it happens: whoever may look away from
/// an exception must be on record.
pub(crate) async fn settle(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let read = strict::read(&call, &headers, body).await;
    let understood = read.map(|fields| understand(&id, fields));
    let (id, how) = match understood {
        Ok(Ok(wish)) => wish,
        Ok(Err(mistakes)) => return Problem::mistaken(&call, mistakes).into_response(),
        Err(problem) => return problem.into_response(),
    };
    let asked = call.clone();
    // On a task of its own: a caller who goes away stops nothing half-way.
    let work = tokio::spawn(async move { settled(&console, &call, id, how).await });
    let mut response = work.await.unwrap_or_else(|_| failed(&asked).into_response());
    response.extensions_mut().insert(OnRecord);
    response
}

fn understand(id: &str, mut fields: strict::Fields) -> Result<(Uuid, String), Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let id = Uuid::parse_str(id);
    if id.is_err() {
        mistakes.push(Mistake::new("id", "is not the id of a debt", "see GET /api/v1/debts"));
    }
    let how = fields.text("how", r#"write {"how":"..."}"#, &mut mistakes);
    if let Some(how) = &how
        && (how.trim().is_empty()
            || how.len() > REVOCATION_CAUSE_BYTES_MAX
            || how.chars().any(char::is_control))
    {
        let message = format!("must have 1 to {REVOCATION_CAUSE_BYTES_MAX} bytes and no control characters");
        mistakes.push(Mistake::new("how", message, "say what was done about it"));
    }
    fields.end(&mut mistakes);
    match (id, how) {
        (Ok(id), Some(how)) if mistakes.is_empty() => Ok((id, how)),
        _ => Err(mistakes),
    }
}

async fn settled(console: &Console, call: &Call, id: Uuid, how: String) -> Response {
    let named = Some(format!("debt {id}"));
    if let Err(problem) = may_grant(console, call, OPERATION, named.clone()).await {
        return problem.into_response();
    }
    let at = (console.ports.clock)();
    let problem = match console.ports.revocations.settle_debt(id, at, how.clone()).await {
        Ok(true) => {
            let event = Event::ControlDebt(Box::new(ControlDebt {
                id: id.to_string().into(),
                actor: call.actor.clone(),
                request_id: Some(Arc::clone(&call.request_id)),
                step: DebtStep::Settled { how: how.clone() },
            }));
            let (recorded, _call) = tokio::join!(
                durable(console, event),
                on_record(console, call, OPERATION, named, StatusCode::OK)
            );
            return match recorded {
                Ok(()) => {
                    Json(json!({ "id": id.to_string(), "settled_at": at.0, "how": how })).into_response()
                }
                Err(error) => audit_unavailable(call, &error, true).into_response(),
            };
        }
        Ok(false) => {
            let detail = "there is no open debt of this id; see GET /api/v1/debts";
            Problem::new(call, StatusCode::NOT_FOUND, "no_open_debt", "There is nothing to settle", detail)
        }
        Err(error) => not_done(call, &error),
    };
    let _told = on_record(console, call, OPERATION, named, problem.status()).await;
    problem.into_response()
}

#[cfg(test)]
mod tests {
    use doorward_model::{Entry, EntryKind, Target};
    use doorward_state::Ended;

    use super::*;
    use crate::fleet::tests::node;

    fn receipt() -> Receipt {
        Receipt {
            id: Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001),
            target: Target::parse(EntryKind::User, "corp:alice").unwrap(),
            entry: Entry::default(),
            applied_at: UnixMillis(1),
            durable_at: UnixMillis(2),
            ended: Ended::default(),
            published: None,
        }
    }

    fn terms() -> DebtTerms {
        DebtTerms { owner: "security".to_owned(), due: Duration::from_secs(72 * 3600) }
    }

    #[test]
    fn every_node_that_did_not_confirm_owes_an_answer_and_no_other_does() {
        let (receipt, seen, now) = (receipt(), UnixMillis(5), UnixMillis(1_000));
        let mut reports = vec![
            node("gw-1", NodeAnswer::Applied { at: seen }),
            node("gw-2", NodeAnswer::Behind { seen }),
            node("gw-3", NodeAnswer::Silent { seen }),
        ];
        for (i, report) in reports.iter_mut().enumerate() {
            report.instance = Uuid::from_u128(i as u128 + 1);
        }
        let everywhere = Everywhere::Told(reports);
        let debts = owed(&everywhere, &receipt, now, &terms());
        let told: Vec<_> = debts.iter().map(|(debt, named)| (debt.about.as_str(), &named["node"])).collect();
        assert_eq!(
            told,
            [
                (
                    "gw-2 (instance 00000000-0000-0000-0000-000000000002) did not confirm the revocation \
                     01920000-0000-7000-8000-000000000001 of user corp:alice",
                    &json!("gw-2")
                ),
                (
                    "gw-3 (instance 00000000-0000-0000-0000-000000000003) did not confirm the revocation \
                     01920000-0000-7000-8000-000000000001 of user corp:alice",
                    &json!("gw-3")
                ),
            ]
        );
        let (first, _) = &debts[0];
        assert_eq!((first.kind, first.owner.as_str()), (DebtKind::MissedRevocation, "security"));
        assert_eq!((first.opened_at, first.due_at), (now, UnixMillis(1_000 + 72 * 3_600_000)));
        assert!(debts[1].0.cause.contains("refuses every request"), "{:?}", debts[1]);
        let again = owed(&everywhere, &receipt, UnixMillis(9_000), &terms());
        assert_eq!(
            debts.iter().map(|d| d.0.id).collect::<Vec<_>>(),
            again.iter().map(|d| d.0.id).collect::<Vec<_>>()
        );
        assert_ne!(debts[0].0.id, debts[1].0.id);
        assert_eq!(debts[0].0.id.get_version_num(), 8);
    }

    #[test]
    fn a_fleet_that_could_not_be_asked_is_owed_as_a_whole() {
        let debts =
            owed(&Everywhere::Unknown("Redis is away".to_owned()), &receipt(), UnixMillis(1), &terms());
        assert_eq!(debts.len(), 1);
        assert_eq!(debts[0].0.cause, "Redis is away");
        assert!(debts[0].0.about.starts_with("no node could be asked"), "{:?}", debts[0]);
        assert!(owed(&Everywhere::Told(vec![]), &receipt(), UnixMillis(1), &terms()).is_empty());
    }

    #[tokio::test]
    async fn a_directory_that_fails_is_not_asked_for_every_debt() {
        let mut directory = Directory::default();
        assert_eq!(directory.keep(async { Ok(()) }).await, Ok(()));
        let error = directory.keep(async { Err(StateError::Interrupted) }).await.unwrap_err();
        let mut asked = false;
        let again = directory.keep(async {
            asked = true;
            Ok(())
        });
        assert_eq!(again.await, Err(error));
        assert!(!asked);
    }
}
