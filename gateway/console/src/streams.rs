//! `/api/v1/streams`: the streams by which transmitters tell of people, how each stands, and asking one
//! whether it is alive (SSF 1.0 §8.1.4).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use doorward_lifecycle::intake::signals::{StreamState, VerifyError};
use doorward_lifecycle::service::PAGE_MAX;
use doorward_model::directory::StreamName;
use serde_json::{Value, json};

use crate::Console;
use crate::directory::{self, Asked, ROWS, millis, not_known, understood};
use crate::guard::Call;
use crate::inflight::{Parameters, page};
use crate::problem::Problem;
use crate::revocations::{audit_unavailable, durable, not_done};

const OPERATION: &str = "streams.verify";

fn shown(stream: &StreamState) -> Value {
    let counts = &stream.counts;
    json!({
        "name": stream.name.as_str(),
        "issuer": stream.issuer,
        "delivery": if stream.is_fetched { "poll" } else { "push" },
        "condition": stream.condition.as_str(),
        "alarming": stream.condition.is_alarming(),
        "detail": stream.condition.told(),
        "error": stream.error,
        "verify_seconds": stream.verify.map(|every| every.as_secs()),
        "silent_seconds_max": stream.silent_max.map(|max| max.as_secs()),
        "event_at": millis(stream.event_at),
        "verified_at": millis(stream.verified_at),
        "asked_at": millis(stream.asked_at),
        "missed": stream.missed,
        "fetched_at": millis(stream.fetched_at),
        "counts": {
            "asked": counts.asked,
            "answered": counts.answered,
            "missed": counts.missed,
            "not_taken": counts.not_taken,
            "polls": counts.polls,
            "poll_failures": counts.poll_failures,
        },
    })
}

pub(crate) async fn list(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    if let Err(problem) = directory::lifecycle(&console, &call) {
        return problem.into_response();
    }
    let mut query = Parameters::new(pairs, &["limit", "after"]);
    let limit = query.limit(ROWS, PAGE_MAX);
    let after = query.read("after", StreamName::new);
    if !query.mistakes.is_empty() {
        return Problem::mistaken(&call, query.mistakes).into_response();
    }
    let streams = console.ports.streams.as_ref().map(|signals| signals.streams()).unwrap_or_default();
    let after = after.as_ref().map(StreamName::as_str);
    let (streams, next) = page(streams, after, limit, |stream| stream.name.as_str());
    let streams: Vec<Value> = streams.iter().map(shown).collect();
    Json(json!({ "streams": streams, "next": next })).into_response()
}

/// Asks now. It gives and takes nothing; that it was asked for is on record.
pub(crate) async fn verify(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if let Err(problem) = understood(&call, &headers, body, |_, _| Some(())).await {
        return problem.into_response();
    }
    let asked_by = call.clone();
    directory::on_its_own(&asked_by, async move {
        if let Err(problem) = directory::lifecycle(&console, &call) {
            return problem.into_response();
        }
        let of: String = name.chars().take(100).collect();
        let asked = Asked { operation: OPERATION, of: of.clone(), takes: false };
        let outcome = match &console.ports.streams {
            Some(signals) => signals.verify_now(&name).await,
            None => Err(VerifyError::Unknown),
        };
        match outcome {
            Ok(at) => {
                let answer = json!({ "name": of, "asked_at": at.0 });
                match durable(&console, call.event(OPERATION, Some(of), StatusCode::ACCEPTED)).await {
                    Ok(()) => (StatusCode::ACCEPTED, Json(answer)).into_response(),
                    Err(error) => audit_unavailable(&call, &error, true).with_receipt(answer).into_response(),
                }
            }
            Err(error) => directory::no(&console, &call, asked, why_not(&call, &of, &error)).await,
        }
    })
    .await
}

fn why_not(call: &Call, name: &str, error: &VerifyError) -> Problem {
    let detail = error.to_string();
    match error {
        VerifyError::Unknown => not_known(call, "stream", name),
        VerifyError::NotAsked => {
            let title = "This stream is not asked";
            Problem::new(call, StatusCode::CONFLICT, "not_asked", title, detail)
        }
        VerifyError::NotKept(error) => not_done(call, error),
        VerifyError::NotTaken(_) => {
            let title = "The transmitter did not take it";
            Problem::new(call, StatusCode::SERVICE_UNAVAILABLE, "not_taken", title, detail)
        }
    }
}
