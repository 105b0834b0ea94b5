//! `/api/v1/policies/shadow`: policies that are asked beside those in force, and what they would have changed.
//!
//! Nobody is let in or kept out by them. So to begin and to end it needs no more than to be on record; to put
//! them in force is a change like any other, and goes its way.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use doorward_policy::shadow::{NoSample, Sample};

use crate::Console;
use crate::guard::Call;
use crate::ports::{ReleaseCall, ShadowCall};
use crate::problem::Mistake;
use crate::releases::{Understood, asked, only_why, revision, told_to};
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
    told_to(console, call, "policies.shadow.start", read, wanted).await
}

pub(crate) async fn promote(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let read = strict::read_if_any(&call, &headers, body).await;
    let promote = |why| ReleaseCall::Shadow(ShadowCall::Promote(why));
    told_to(console, call, "policies.shadow.promote", read, |fields| only_why(fields, promote)).await
}

pub(crate) async fn stop(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let read = strict::read_if_any(&call, &headers, body).await;
    let stop = |why| ReleaseCall::Shadow(ShadowCall::Stop(why));
    told_to(console, call, "policies.shadow.stop", read, |fields| only_why(fields, stop)).await
}

fn wanted(mut fields: Fields) -> Understood {
    let mut mistakes = Vec::new();
    let revision = revision(&mut fields, &mut mistakes);
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
        Some(revision) if mistakes.is_empty() => {
            let start = ShadowCall::Start { revision: revision.clone(), sample };
            Ok((Some(revision), ReleaseCall::Shadow(start)))
        }
        Some(_) | None => Err(mistakes),
    }
}
