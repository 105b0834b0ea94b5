//! `GET /api/v1/policies` and `POST /api/v1/policies/reload`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use doorward_policy::{Finding, Outcome};
use serde_json::{Value, json};

use crate::Console;
use crate::guard::{Call, OnRecord};
use crate::ports::{ReleaseCall, ReloadPanicked};
use crate::problem::Problem;
use crate::revocations::may_grant;

pub(crate) async fn show(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
) -> Json<Value> {
    let bundle = console.ports.policies.bundle();
    // What the folder holds is read from the disk, and when it came to differ stands there too.
    let told =
        (console.ports.releases)((ReleaseCall::Standing, call.actor.clone())).await.unwrap_or_default();
    let said = |key: &str| told.get(key).cloned().unwrap_or_default();
    Json(json!({
        "revision": bundle.revision().to_string(),
        "policies": bundle.policies(),
        "loaded_at": bundle.loaded_at().0,
        "dir": console.ports.policies.dir().display().to_string(),
        "speaks": said("speaks"),
        "in_folder": said("in_folder"),
        "since": said("since"),
        "by": said("by"),
    }))
}

/// Loads the policies anew. They may permit more than those in force, so the call is in the audit
/// log before anything is loaded.
pub(crate) async fn reload(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    body: Body,
) -> Response {
    // A body has no meaning here, and one that is not looked at could be believed to have one.
    if !axum::body::to_bytes(body, 0).await.is_ok_and(|bytes| bytes.is_empty()) {
        let detail = "this call has no body";
        let title = "This request cannot be understood";
        return Problem::new(&call, StatusCode::BAD_REQUEST, "bad_request", title, detail).into_response();
    }
    let asked = call.clone();
    // On a task of its own: a caller who goes away stops nothing half-way.
    let work = tokio::spawn(async move {
        if let Err(problem) = may_grant(&console, &call, "policies.reload", None).await {
            return problem.into_response();
        }
        match (console.ports.reload)(call.actor.clone()).await {
            Ok(outcome) => told(&console, &call, outcome),
            Err(ReloadPanicked) => failed(&call).into_response(),
        }
    });
    let mut response = work.await.unwrap_or_else(|_| failed(&asked).into_response());
    response.extensions_mut().insert(OnRecord);
    response
}

fn told(console: &Console, call: &Call, outcome: Outcome) -> Response {
    let in_force = console.ports.policies.bundle().revision().to_string();
    match outcome {
        Outcome::Swapped { from, to, hints, .. } => Json(json!({
            "outcome": "swapped",
            "revision": to.to_string(),
            "previous": from.to_string(),
            "hints": hints.iter().map(finding).collect::<Vec<_>>(),
        }))
        .into_response(),
        Outcome::Unchanged => Json(json!({ "outcome": "unchanged", "revision": in_force })).into_response(),
        Outcome::Rejected(failure) => {
            let title = "The policies are not fit to be put in force";
            let detail = format!(
                "{} mistakes; revision {} stays in force",
                failure.findings.len(),
                in_force.chars().take(12).collect::<String>()
            );
            Problem::new(call, StatusCode::UNPROCESSABLE_ENTITY, "policies_rejected", title, detail)
                .with("outcome", "rejected")
                .with("revision", in_force)
                .with("findings", failure.findings.iter().map(finding).collect::<Vec<_>>())
                .into_response()
        }
    }
}

pub(crate) fn finding(finding: &Finding) -> Value {
    let (line, column) = finding.line_and_column().unzip();
    json!({
        "file": finding.file(),
        "line": line,
        "column": column,
        "message": finding.message(),
        "help": finding.help_text(),
    })
}

/// The task panicked; it has said so in the log.
pub(crate) fn failed(call: &Call) -> Problem {
    let detail = "the gateway's own log says why; look whether it was done before you ask again";
    Problem::new(call, StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong", detail)
}
