//! `/api/v1/receipts`: the signed receipt of every change that took access away, and the keys to check it
//! with.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use doorward_lifecycle::receipt::unchecked;
use doorward_lifecycle::service::{Found, PAGE_MAX, ReceiptRow};
use doorward_model::directory::PersonId;
use doorward_model::limits::OPERATOR_FLEET_MILLIS_MAX;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Console;
use crate::directory::{ROWS, lifecycle, not_known, refused};
use crate::guard::Call;
use crate::inflight::Parameters;
use crate::problem::{Mistake, Problem};

/// What the answer of a change says of its receipt. Waits for it as long as `wait` says.
pub(crate) async fn told(console: &Console, id: Uuid, wait: Option<Duration>) -> Value {
    let found = match (wait, console.ports.lifecycle.as_ref()) {
        (Some(bound), Some(lives)) => lives.await_receipt(id, bound).await,
        (Some(_) | None, _) => Ok(None),
    };
    let content = match found {
        Ok(Some(Found::Made(line))) => unchecked(&line),
        Ok(Some(Found::Pending) | None) => None,
        Err(error) => {
            tracing::warn!(%id, %error, "a receipt cannot be read");
            None
        }
    };
    let summary = content.as_ref().and_then(|content| content.get("summary")).cloned();
    json!({ "id": id.to_string(), "made": summary.is_some(), "summary": summary })
}

fn row(row: &ReceiptRow) -> Value {
    json!({
        "id": row.id.to_string(),
        "person": row.person.map(|person| person.to_string()),
        "command": row.command,
        "asked_at": row.asked_at.0,
        "made_at": row.made_at.0,
        "enforced_everywhere": row.enforced_everywhere,
        "nothing_runs": row.nothing_runs,
    })
}

pub(crate) async fn list(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let query = Parameters::new(pairs, &["person", "limit", "after"]);
    listed(&console, &call, query).await.unwrap_or_else(|problem| problem.into_response())
}

async fn listed(console: &Console, call: &Call, mut query: Parameters) -> Result<Response, Box<Problem>> {
    let lives = lifecycle(console, call)?;
    let limit = query.limit(ROWS, PAGE_MAX);
    let after = query.read("after", str::parse::<Uuid>);
    let person = query.read("person", |id| id.parse::<PersonId>().map_err(|_| "is not the id of a person"));
    if !query.mistakes.is_empty() {
        return Err(Box::new(Problem::mistaken(call, query.mistakes)));
    }
    let found = lives.receipts(person, after, limit).await;
    let (rows, next) = found.map_err(|error| Box::new(refused(call, &error)))?;
    let rows: Vec<Value> = rows.iter().map(row).collect();
    let next = next.map(|next| next.to_string());
    Ok(Json(json!({ "receipts": rows, "next": next })).into_response())
}

pub(crate) async fn show(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let query = Parameters::new(pairs, &["wait_millis_max"]);
    shown(&console, &call, &id, query).await.unwrap_or_else(|problem| problem.into_response())
}

async fn shown(
    console: &Console,
    call: &Call,
    id: &str,
    mut query: Parameters,
) -> Result<Response, Box<Problem>> {
    let lives = lifecycle(console, call)?;
    let known = Uuid::parse_str(id).map_err(|_| {
        let help = "the answer of a change names it, and GET /api/v1/receipts lists all";
        query.mistakes.push(Mistake::new("id", "is not the id of a receipt", help));
    });
    let wait = query
        .get("wait_millis_max")
        .is_some()
        .then(|| Duration::from_millis(query.bounded("wait_millis_max", 1, OPERATOR_FLEET_MILLIS_MAX)));
    let (Ok(id), []) = (known, query.mistakes.as_slice()) else {
        return Err(Box::new(Problem::mistaken(call, query.mistakes)));
    };
    let found = match wait {
        Some(bound) => lives.await_receipt(id, bound).await,
        None => lives.receipt(id).await,
    };
    let line = match found.map_err(|error| Box::new(refused(call, &error)))? {
        Some(Found::Made(line)) => Some(line),
        Some(Found::Pending) => None,
        None => return Err(Box::new(not_known(call, "receipt", &id.to_string()))),
    };
    let content = line.as_deref().and_then(unchecked);
    let answer = json!({
        "id": id.to_string(),
        "made": line.is_some(),
        "jws": line,
        "content": content,
    });
    Ok(Json(answer).into_response())
}

/// The public keys, for whoever is to check receipts.
pub(crate) async fn keys(State(console): State<Arc<Console>>, Extension(call): Extension<Call>) -> Response {
    let answer = async {
        let lives = lifecycle(&console, &call)?;
        let keys = lives.receipt_keys().await.map_err(|error| Box::new(refused(&call, &error)))?;
        let none = || {
            let detail = "no receipts are made here";
            let title = "There is none of this name";
            Box::new(Problem::new(&call, StatusCode::NOT_FOUND, "not_known", title, detail))
        };
        Ok::<_, Box<Problem>>(Json(keys.ok_or_else(none)?).into_response())
    };
    answer.await.unwrap_or_else(|problem| problem.into_response())
}
