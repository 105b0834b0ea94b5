//! `/api/v1/sessions`: where somebody is signed in with a browser, and ending one of these sessions.
//!
//! The list is that of the records, which say what there is and not what is let in: what has ended is told as such until
//! its record is gone. Where the records cannot be asked, ending one by `POST /api/v1/revocations` works all the same.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use doorward_model::UserId;
use doorward_state::Action;
use serde_json::{Value, json};

use crate::Console;
use crate::guard::{Call, OnRecord};
use crate::inflight::Parameters;
use crate::policies::failed;
use crate::ports::{BrowserSession, BrowserSessions};
use crate::problem::{Mistake, Problem};
use crate::revocations::{Wish, take_away, wait};
use crate::strict;

/// So much of an id is shown. It tells the sessions of one person apart, and is no secret.
pub(crate) const SHOWN_CHARS: usize = 12;

pub(crate) async fn list(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let mut query = Parameters::new(pairs, &["user"]);
    let user = query.read("user", str::parse::<UserId>);
    if query.get("user").is_none() {
        query.mistakes.push(Mistake::new("user", "is missing", "say whose sessions, such as `corp:alice`"));
    }
    let user = match user {
        Some(user) if query.mistakes.is_empty() => user,
        Some(_) | None => return Problem::mistaken(&call, query.mistakes).into_response(),
    };
    let found = match known(&console, &call) {
        Ok(sessions) => of(sessions, &call, user).await,
        Err(problem) => Err(problem),
    };
    match found {
        Ok(found) => {
            let sessions: Vec<Value> = found.iter().map(shown).collect();
            Json(json!({ "node": console.ports.about.node, "sessions": sessions })).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

pub(crate) async fn end(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let asked = call.clone();
    let fields = match strict::read(&call, &headers, body).await {
        Ok(fields) => fields,
        Err(problem) => return problem.into_response(),
    };
    let (user, wish) = match wish(&console, &call, fields).await {
        Ok(wish) => wish,
        Err(problem) => return problem.into_response(),
    };
    // On a task of its own: a caller who goes away stops nothing half-way.
    let work = tokio::spawn(async move {
        let answer = take_away(&console, &call, wish).await;
        if let Some(sessions) = &console.ports.sessions {
            (sessions.ended)(&user);
        }
        answer
    });
    let mut response = work.await.unwrap_or_else(|_| failed(&asked).into_response());
    response.extensions_mut().insert(OnRecord);
    response
}

/// Which session is meant, and how it ends.
async fn wish(
    console: &Console,
    call: &Call,
    mut fields: strict::Fields,
) -> Result<(UserId, Wish), Box<Problem>> {
    let mut mistakes = Vec::new();
    let user = fields.text("user", "such as `corp:alice`", &mut mistakes);
    let named = fields.text("session", "as `GET /api/v1/sessions` shows it", &mut mistakes);
    let cause = fields.optional("cause", &mut mistakes).unwrap_or_default();
    let wait = wait(&mut fields, &mut mistakes);
    fields.end(&mut mistakes);
    let user = user.and_then(|user| {
        let told =
            |e: doorward_model::principal::IdError| e.to_string().chars().take(300).collect::<String>();
        user.parse::<UserId>().map_err(|e| mistakes.push(Mistake::new("user", told(e), ""))).ok()
    });
    let (user, named) = match (user, named) {
        (Some(user), Some(named)) if mistakes.is_empty() => (user, named),
        _ => return Err(Box::new(Problem::mistaken(call, mistakes))),
    };
    let found = of(known(console, call)?, call, user.clone()).await?;
    let meant: Vec<_> = found.iter().filter(|session| is_meant(&named, &session.id)).collect();
    match meant.as_slice() {
        [one] => {
            let target = one.target.clone();
            Ok((user, Wish { target, action: Action::Revoke, cause, wait }))
        }
        [] => {
            let detail = "nobody has a record of such a session; those of the person are listed by `GET /api/v1/sessions`";
            Err(Box::new(Problem::new(
                call,
                StatusCode::NOT_FOUND,
                "not_found",
                "There is no such session",
                detail,
            )))
        }
        [..] => {
            let mistake = Mistake::new("session", "is how several of them begin", "write more of it");
            Err(Box::new(Problem::mistaken(call, vec![mistake])))
        }
    }
}

/// Whether an id, or at least as much of it as is shown, is that of a session.
fn is_meant(named: &str, id: &str) -> bool {
    named == id || (named.len() >= SHOWN_CHARS && id.starts_with(named))
}

fn known<'a>(console: &'a Console, call: &Call) -> Result<&'a BrowserSessions, Box<Problem>> {
    console.ports.sessions.as_ref().ok_or_else(|| {
        let detail = "this gateway signs nobody in with a browser: its configuration has no `[sign_in]`";
        Box::new(Problem::new(call, StatusCode::CONFLICT, "not_here", "There are no sessions here", detail))
    })
}

async fn of(
    sessions: &BrowserSessions,
    call: &Call,
    user: UserId,
) -> Result<Vec<BrowserSession>, Box<Problem>> {
    (sessions.of)(user).await.map_err(|why| {
        let title = "The records of sessions cannot be asked";
        Box::new(Problem::new(call, StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", title, why))
    })
}

fn shown(session: &BrowserSession) -> Value {
    json!({
        "session": session.id.chars().take(SHOWN_CHARS).collect::<String>(),
        "stands": session.stands,
        "signed_in_at": session.signed_in_at.0,
        "seen_at": session.seen_at.0,
        "confirmed_at": session.confirmed_at.0,
        "expires_at": session.expires_at.0,
        "client": session.client.to_string(),
        "country": session.country,
        "browser": session.browser,
        "device": session.device.as_ref().map(ToString::to_string),
        "provider_session": session.provider_session.as_ref().map(ToString::to_string),
        "refresh_token": session.refresh_token,
        "apps": session.apps.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "running": session.running,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_meant_by_its_id_or_by_what_is_shown_of_it() {
        let id = "dws-AbCdEfGhIjKlMnOpQrStUv";
        for (named, is) in [
            (id, true),
            (&id[..SHOWN_CHARS], true),
            (&id[..SHOWN_CHARS + 3], true),
            (&id[..SHOWN_CHARS - 1], false),
            ("", false),
            ("dws-AbCdEfGx", false),
        ] {
            assert_eq!(is_meant(named, id), is, "{named}");
        }
    }
}
