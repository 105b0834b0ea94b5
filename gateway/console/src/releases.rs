//! `/api/v1/policies/bundles`, `…/back` and `…/rollout`: policies that are held, and how they come into force.
//!
//! What is done is done by the server, which has the disk; here it is understood, put on record before anything
//! happens (policies may permit more than those before), and answered.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use doorward_model::AppId;
use doorward_model::limits::{
    OPERATOR_BUNDLE_SECONDS_MAX, POLICY_BUNDLE_BYTES_MAX, REVOCATION_CAUSE_BYTES_MAX,
};
use http_body_util::{BodyExt as _, Limited};

use crate::Console;
use crate::guard::{Call, OnRecord};
use crate::policies::{failed, finding};
use crate::ports::{ReleaseCall, ReleaseRefused, ReleaseWhy};
use crate::problem::{Mistake, Problem};
use crate::revocations::may_grant;
use crate::strict::{self, Fields};

/// What a bundle is sent as.
pub(crate) const BUNDLE: &str = "application/vnd.doorward.policy-bundle";
/// A hundred percent, in hundredths of one.
pub(crate) const WHOLE: u64 = 10_000;
/// At how many apps a roll-out can be at once.
pub(crate) const APPS_MAX: usize = 256;

pub(crate) async fn list(State(console): State<Arc<Console>>, Extension(call): Extension<Call>) -> Response {
    asked(&console, &call, ReleaseCall::List).await
}

pub(crate) async fn rollout(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
) -> Response {
    asked(&console, &call, ReleaseCall::Rollout).await
}

pub(crate) async fn hold(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match packed(&call, &headers, body).await {
        Ok(packed) => changed(console, call, "policies.bundles.hold", None, ReleaseCall::Hold(packed)).await,
        Err(problem) => problem.into_response(),
    }
}

pub(crate) async fn forget(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path(revision): Path<String>,
) -> Response {
    let mut mistakes = Vec::new();
    let Some(revision) = is_revision("revision", Some(revision), &mut mistakes) else {
        return Problem::mistaken(&call, mistakes).into_response();
    };
    let target = Some(format!("policies {revision}"));
    changed(console, call, "policies.bundles.forget", target, ReleaseCall::Forget(revision)).await
}

pub(crate) async fn back(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let read = strict::read_if_any(&call, &headers, body).await;
    told_to(console, call, "policies.back", read, |mut fields| {
        let mut mistakes = Vec::new();
        let revision = fields.optional("revision", &mut mistakes);
        let revision = is_revision("revision", revision, &mut mistakes);
        let why = why(&mut fields, &mut mistakes);
        fields.end(&mut mistakes);
        let target = revision.clone();
        if mistakes.is_empty() { Ok((target, ReleaseCall::Back { revision, why })) } else { Err(mistakes) }
    })
    .await
}

pub(crate) async fn roll_out(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let read = strict::read(&call, &headers, body).await;
    told_to(console, call, "policies.rollout.start", read, wanted).await
}

pub(crate) async fn publish(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let read = strict::read(&call, &headers, body).await;
    told_to(console, call, "policies.publish", read, |mut fields| {
        let mut mistakes = Vec::new();
        let revision = revision(&mut fields, &mut mistakes);
        let why = why(&mut fields, &mut mistakes);
        fields.end(&mut mistakes);
        match revision {
            Some(revision) if mistakes.is_empty() => {
                Ok((Some(revision.clone()), ReleaseCall::Publish { revision, why }))
            }
            Some(_) | None => Err(mistakes),
        }
    })
    .await
}

pub(crate) async fn finish(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let read = strict::read_if_any(&call, &headers, body).await;
    told_to(console, call, "policies.rollout.finish", read, |fields| only_why(fields, ReleaseCall::Finish))
        .await
}

pub(crate) async fn stop(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let read = strict::read_if_any(&call, &headers, body).await;
    told_to(console, call, "policies.rollout.stop", read, |fields| only_why(fields, ReleaseCall::Stop)).await
}

// === understanding ===

/// The revision that a call is about, where it names one, and what is to be done.
pub(crate) type Understood = Result<(Option<String>, ReleaseCall), Vec<Mistake>>;

/// The bytes of a bundle, whatever they are.
async fn packed(call: &Call, headers: &HeaderMap, body: Body) -> Result<Bytes, Box<Problem>> {
    let refuse = |status, code, detail: String| {
        Err(Box::new(Problem::new(call, status, code, "This request cannot be understood", detail)))
    };
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let one = types.next().filter(|one| one.as_bytes() == BUNDLE.as_bytes() && types.next().is_none());
    if one.is_none() || headers.contains_key(CONTENT_ENCODING) {
        let detail = format!("send the bundle as `Content-Type: {BUNDLE}`, not encoded");
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail);
    }
    let most = usize::try_from(POLICY_BUNDLE_BYTES_MAX).unwrap_or(usize::MAX);
    let collect = Limited::new(body, most).collect();
    match tokio::time::timeout(Duration::from_secs(OPERATOR_BUNDLE_SECONDS_MAX), collect).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(e)) if e.is::<http_body_util::LengthLimitError>() => {
            let detail = format!("a bundle has at most {POLICY_BUNDLE_BYTES_MAX} bytes");
            refuse(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
        }
        Ok(Err(_)) => refuse(StatusCode::BAD_REQUEST, "bad_request", "the body ended early".to_owned()),
        Err(_) => {
            let detail = format!("the body took longer than {OPERATOR_BUNDLE_SECONDS_MAX} s");
            refuse(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail)
        }
    }
}

/// Which bundle, and what is to be done with it.
fn wanted(mut fields: Fields) -> Understood {
    let mut mistakes = Vec::new();
    let revision = revision(&mut fields, &mut mistakes);
    let hundredths = fields.number("hundredths", WHOLE, &mut mistakes).unwrap_or(WHOLE);
    let apps = fields.texts("apps", &mut mistakes).map(|names| {
        if names.is_empty() || names.len() > APPS_MAX {
            mistakes.push(Mistake::new(
                "apps",
                format!("has not 1 to {APPS_MAX} names"),
                "leave it out for all",
            ));
        }
        let mut apps = BTreeSet::new();
        for name in names {
            match AppId::new(&name) {
                Ok(app) => drop(apps.insert(app)),
                Err(_) => mistakes.push(Mistake::new("apps", "has what is not the id of an app", "")),
            }
        }
        apps
    });
    let why = why(&mut fields, &mut mistakes);
    fields.end(&mut mistakes);
    match revision {
        Some(revision) if mistakes.is_empty() => {
            let hundredths = u16::try_from(hundredths).unwrap_or(u16::MAX);
            Ok((Some(revision.clone()), ReleaseCall::RollOut { revision, hundredths, apps, why }))
        }
        Some(_) | None => Err(mistakes),
    }
}

/// A call with nothing but its reason.
pub(crate) fn only_why(mut fields: Fields, change: impl Fn(ReleaseWhy) -> ReleaseCall) -> Understood {
    let mut mistakes = Vec::new();
    let about = fields.optional("revision", &mut mistakes);
    let about = is_revision("revision", about, &mut mistakes);
    let why = ReleaseWhy { about: about.clone(), ..why(&mut fields, &mut mistakes) };
    fields.end(&mut mistakes);
    if mistakes.is_empty() { Ok((about, change(why))) } else { Err(mistakes) }
}

fn why(fields: &mut Fields, mistakes: &mut Vec<Mistake>) -> ReleaseWhy {
    let cause = fields.optional("cause", mistakes);
    if let Some(cause) = &cause
        && (cause.trim().is_empty()
            || cause.len() > REVOCATION_CAUSE_BYTES_MAX
            || cause.chars().any(char::is_control))
    {
        let message = format!("must have 1 to {REVOCATION_CAUSE_BYTES_MAX} bytes and no control characters");
        mistakes.push(Mistake::new("cause", message, ""));
    }
    let anyway = fields.flag("override", mistakes).unwrap_or(false);
    if anyway && cause.is_none() {
        mistakes.push(Mistake::new("cause", "is missing", "an override is somebody's word: say why"));
    }
    ReleaseWhy { cause, anyway, about: None }
}

/// The revision that a call must name.
pub(crate) fn revision(fields: &mut Fields, mistakes: &mut Vec<Mistake>) -> Option<String> {
    let text = fields.text("revision", "see GET /api/v1/policies/bundles", mistakes);
    is_revision("revision", text, mistakes)
}

fn is_revision(field: &str, text: Option<String>, mistakes: &mut Vec<Mistake>) -> Option<String> {
    let text = text?;
    let fits = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !fits {
        let help = "it is 64 hexadecimal digits in lower case; see GET /api/v1/policies/bundles";
        mistakes.push(Mistake::new(field, "is not a revision", help));
    }
    fits.then_some(text)
}

// === doing ===

pub(crate) async fn asked(console: &Console, call: &Call, question: ReleaseCall) -> Response {
    match (console.ports.releases)((question, call.actor.clone())).await {
        Ok(answer) => Json(answer).into_response(),
        Err(refused) => no(call, refused).into_response(),
    }
}

/// Does what the fields of a body ask for, or says what is wrong with them.
pub(crate) async fn told_to(
    console: Arc<Console>,
    call: Call,
    operation: &'static str,
    read: Result<Fields, Box<Problem>>,
    understand: impl FnOnce(Fields) -> Understood,
) -> Response {
    let mistaken = |mistakes| Box::new(Problem::mistaken(&call, mistakes));
    match read.and_then(|fields| understand(fields).map_err(mistaken)) {
        Ok((revision, change)) => {
            let target = revision.map(|revision| format!("policies {revision}"));
            changed(console, call, operation, target, change).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Puts the call on record, and does it then.
async fn changed(
    console: Arc<Console>,
    call: Call,
    operation: &'static str,
    target: Option<String>,
    change: ReleaseCall,
) -> Response {
    let told = call.clone();
    // On a task of its own: a caller who goes away stops nothing half-way.
    let work = tokio::spawn(async move {
        if let Err(problem) = may_grant(&console, &call, operation, target).await {
            return problem.into_response();
        }
        asked(&console, &call, change).await
    });
    let mut response = work.await.unwrap_or_else(|_| failed(&told).into_response());
    response.extensions_mut().insert(OnRecord);
    response
}

fn no(call: &Call, refused: ReleaseRefused) -> Problem {
    let new = |status, code, title, detail: String| Problem::new(call, status, code, title, detail);
    match refused {
        ReleaseRefused::Unknown(detail) => {
            new(StatusCode::NOT_FOUND, "not_known", "There is no such bundle", detail)
        }
        ReleaseRefused::Bundle { detail, help } => {
            new(StatusCode::UNPROCESSABLE_ENTITY, "bundle_refused", "This bundle is not taken", detail)
                .with("help", help)
        }
        ReleaseRefused::Unfit(failure) => {
            let mistakes = match failure.findings.len() {
                1 => "1 mistake".to_owned(),
                more => format!("{more} mistakes"),
            };
            let detail = format!("{mistakes}; nothing has changed");
            let title = "The policies are not fit to be put in force";
            new(StatusCode::UNPROCESSABLE_ENTITY, "policies_rejected", title, detail)
                .with("outcome", "rejected")
                .with("findings", failure.findings.iter().map(finding).collect::<Vec<_>>())
        }
        ReleaseRefused::NotProved(against) => {
            let title = "Something stands against these policies";
            new(StatusCode::CONFLICT, "not_proved", title, against.join("; ")).with("against", against).with(
                "help",
                "mend the policies, or send `override` and a `cause`; somebody answers for that",
            )
        }
        ReleaseRefused::Conflict(detail) => new(
            StatusCode::CONFLICT,
            "refused",
            "This is not possible as things stand",
            detail,
        )
        .with(
            "help",
            "`doorward policy rollout status` and `doorward policy shadow status` tell how things stand (GET \
                     /api/v1/policies/bundles, GET /api/v1/policies/shadow)",
        ),
        ReleaseRefused::Failed(detail) => {
            new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong", detail)
        }
    }
}
