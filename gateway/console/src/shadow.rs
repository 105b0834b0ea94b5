//! `/api/v1/policies/shadow`: policies that are asked beside those in force, and what they would have changed.
//!
//! Nobody is let in or kept out by them. So to begin and to end it needs no more than to be on record; to put
//! them in force is a change like any other, and goes its way.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use doorward_policy::shadow::{NoSample, Sample};

use crate::Console;
use crate::guard::Call;
use crate::ports::{ReleaseCall, ShadowCall};
use crate::problem::{Mistake, Problem};
use crate::releases::{asked, changed, is_revision, only_why};
use crate::strict::{self, Fields};

pub(crate) async fn show(State(console): State<Arc<Console>>, Extension(call): Extension<Call>) -> Response {
    asked(&console, &call, ReleaseCall::Shadow(ShadowCall::Show)).await
}

pub(crate) async fn start(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let read = strict::read(&call, &headers, body).await;
    match read.map(wanted) {
        Ok(Ok((revision, sample))) => {
            let target = Some(format!("policies {revision}"));
            let start = ReleaseCall::Shadow(ShadowCall::Start { revision, sample });
            changed(console, call, "policies.shadow.start", target, start).await
        }
        Ok(Err(mistakes)) => Problem::mistaken(&call, mistakes).into_response(),
        Err(problem) => problem.into_response(),
    }
}

pub(crate) async fn promote(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match only_why(&call, &headers, body).await {
        Ok(why) => {
            let promote = ReleaseCall::Shadow(ShadowCall::Promote(why));
            changed(console, call, "policies.shadow.promote", None, promote).await
        }
        Err(problem) => problem.into_response(),
    }
}

pub(crate) async fn stop(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match only_why(&call, &headers, body).await {
        Ok(why) => {
            let stop = ReleaseCall::Shadow(ShadowCall::Stop(why));
            changed(console, call, "policies.shadow.stop", None, stop).await
        }
        Err(problem) => problem.into_response(),
    }
}

fn wanted(mut fields: Fields) -> Result<(String, Sample), Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let revision = fields.text("revision", "see GET /api/v1/policies/bundles", &mut mistakes);
    let revision = is_revision("revision", revision, &mut mistakes);
    let sample = match fields.optional("sample", &mut mistakes).map(|text| text.parse::<Sample>()) {
        None => Sample::ALL,
        Some(Ok(sample)) => sample,
        Some(Err(NoSample)) => {
            mistakes.push(Mistake::new("sample", "is no share of the requests", &NoSample.to_string()));
            Sample::ALL
        }
    };
    fields.end(&mut mistakes);
    match revision {
        Some(revision) if mistakes.is_empty() => Ok((revision, sample)),
        Some(_) | None => Err(mistakes),
    }
}
