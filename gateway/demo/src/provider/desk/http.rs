//! The addresses of the desk.

use std::fmt::Write as _;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use super::asked::{Asked, Pairs, Wrong, one};
use super::memory::{Browser, Code, SignedIn};
use super::tokens::NoTokens;
use super::{Desk, Proof, page};
use crate::provider::{KeyError, Person, random_id};

/// What a browser is known by here. The page is plain HTTP on loopback, so it cannot be `Secure`.
const COOKIE: &str = "doorward-demo-provider";
/// Nothing that is answered here is to be kept, or shown inside another page.
const CAREFUL: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

type Asks = Result<Query<Pairs>, QueryRejection>;

pub(super) fn routes(desk: Desk) -> Router {
    Router::new()
        .route("/authorize", get(ask).post(answer))
        .route("/oidc/token", post(tokens))
        .route("/oidc/revoke", post(revoke))
        .route("/sign-out", get(sign_out))
        .with_state(desk)
}

/// The page that asks who somebody wants to be.
async fn ask(State(desk): State<Desk>, headers: HeaderMap, query: Asks) -> Response {
    let asked = match read(&desk, query) {
        Ok(asked) => asked,
        Err(refused) => return *refused,
    };
    if asked.silent {
        return desk.back(&asked.state, &[("error", "login_required")]);
    }
    let before = cookie(&headers).and_then(|name| desk.memory().browsers.get(name).map(|b| b.person));
    (CAREFUL, Html(page::choose(&asked, before))).into_response()
}

/// Who they want to be. The request is in the address still, and is read once more.
async fn answer(State(desk): State<Desk>, headers: HeaderMap, query: Asks, form: String) -> Response {
    let asked = match read(&desk, query) {
        Ok(asked) => asked,
        Err(refused) => return *refused,
    };
    let Some(form) = filled_in(&form) else { return stranger("its form cannot be read") };
    let filled = |name: &str| one(&form, name).ok().flatten();
    if filled("cancel").is_some() {
        return desk.back(&asked.state, &[("error", "access_denied")]);
    }
    let person = filled("person").and_then(|name| page::people().find(|person| person.name == name));
    let proof = filled("proof").and_then(|acr| Proof::ALL.into_iter().find(|proof| proof.acr() == acr));
    let (Some(person), Some(proof)) = (person, proof) else { return stranger("its form names nobody") };
    match desk.sign_in(cookie(&headers), &asked, person, proof) {
        Ok((browser, code)) => {
            let mut back = desk.back(&asked.state, &[("code", &code)]);
            let line = format!("{COOKIE}={browser}; Path=/; HttpOnly; SameSite=Lax");
            if let Ok(line) = HeaderValue::from_str(&line) {
                back.headers_mut().insert(header::SET_COOKIE, line);
            }
            back
        }
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{e}\n")).into_response(),
    }
}

async fn tokens(State(desk): State<Desk>, headers: HeaderMap, form: String) -> Response {
    let Some(form) = filled_in(&form) else {
        return no_tokens(&NoTokens::Request("its form cannot be read"));
    };
    match desk.tokens(authorization(&headers), &form) {
        Ok(answer) => (CAREFUL, Json(answer)).into_response(),
        Err(why) => no_tokens(&why),
    }
}

async fn revoke(State(desk): State<Desk>, headers: HeaderMap, form: String) -> Response {
    let Some(form) = filled_in(&form) else {
        return no_tokens(&NoTokens::Request("its form cannot be read"));
    };
    match desk.give_back(authorization(&headers), &form) {
        Ok(()) => StatusCode::OK.into_response(),
        Err(why) => no_tokens(&why),
    }
}

/// Ends the browser's session here, and leads back to where the client has registered (RP-Initiated Logout 1.0 §2).
async fn sign_out(State(desk): State<Desk>, headers: HeaderMap, query: Asks) -> Response {
    let Ok(Query(pairs)) = query else { return stranger("its query cannot be read") };
    if let Some(name) = cookie(&headers) {
        desk.memory().leave(name);
    }
    let said = |name: &str| one(&pairs, name).ok().flatten();
    match said("post_logout_redirect_uri") {
        Some(uri) if uri == desk.inner.signed_out_uri => {
            let state: Vec<(&str, &str)> = said("state").map(|state| ("state", state)).into_iter().collect();
            redirect(uri, &state)
        }
        Some(_) | None => (CAREFUL, Html(page::signed_out())).into_response(),
    }
}

impl Desk {
    /// Notes the sign-in; answers the browser's cookie and the code.
    fn sign_in(
        &self,
        cookie: Option<&str>,
        asked: &Asked,
        person: &'static Person,
        proof: Proof,
    ) -> Result<(String, String), KeyError> {
        let (browser, code, fresh) = (random_id()?, random_id()?, random_id()?);
        let mut memory = self.memory();
        let session = match cookie.and_then(|name| memory.browsers.take(name)) {
            Some(before) if before.person == person => before.session,
            Some(_) | None => fresh,
        };
        memory.browsers.put(browser.clone(), Browser { person, session: session.clone() });
        let signed_in = SignedIn { person, session, proof, at: self.now() };
        let (nonce, challenge, offline) = (asked.nonce.clone(), asked.challenge.clone(), asked.offline);
        memory.codes.put(code.clone(), Code { signed_in, nonce, challenge, offline });
        Ok((browser, code))
    }

    /// Back to the client, which hears of whom the answer is (RFC 9207).
    fn back(&self, state: &str, says: &[(&str, &str)]) -> Response {
        let mut pairs = says.to_vec();
        pairs.extend([("state", state), ("iss", self.issuer())]);
        redirect(&self.inner.redirect_uri, &pairs)
    }
}

fn read(desk: &Desk, query: Asks) -> Result<Asked, Box<Response>> {
    let Ok(Query(pairs)) = query else { return Err(Box::new(stranger("its query cannot be read"))) };
    desk.asked(&pairs).map_err(|wrong| {
        Box::new(match wrong {
            Wrong::Stranger(why) => stranger(why),
            Wrong::Told { state, error, description } => {
                desk.back(&state, &[("error", error), ("error_description", description)])
            }
        })
    })
}

fn redirect(to: &str, pairs: &[(&str, &str)]) -> Response {
    let query = encoded(pairs);
    (StatusCode::SEE_OTHER, CAREFUL, [(header::LOCATION, format!("{to}?{query}"))]).into_response()
}

/// A form is written as a query is.
fn filled_in(form: &str) -> Option<Pairs> {
    let uri: Uri = format!("/?{form}").parse().ok()?;
    Query::try_from_uri(&uri).ok().map(|Query(pairs)| pairs)
}

fn encoded(pairs: &[(&str, &str)]) -> String {
    let escaped = |text: &str| {
        text.bytes().fold(String::new(), |mut done, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                done.push(char::from(byte));
            } else {
                // Writing to a String does not fail.
                let _ = write!(done, "%{byte:02X}");
            }
            done
        })
    };
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    pairs.join("&")
}

fn stranger(why: &str) -> Response {
    (StatusCode::BAD_REQUEST, CAREFUL, Html(page::stranger(why))).into_response()
}

fn no_tokens(why: &NoTokens) -> Response {
    let (status, error, description) = match why {
        NoTokens::Client => {
            (StatusCode::UNAUTHORIZED, "invalid_client", "the client is not known".to_owned())
        }
        NoTokens::Grant(why) => (StatusCode::BAD_REQUEST, "invalid_grant", (*why).to_owned()),
        NoTokens::Request(why) => (StatusCode::BAD_REQUEST, "invalid_request", (*why).to_owned()),
        NoTokens::Broken(e) => (StatusCode::INTERNAL_SERVER_ERROR, "server_error", e.to_string()),
    };
    (status, CAREFUL, Json(json!({"error": error, "error_description": description}))).into_response()
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let line = headers.get(header::COOKIE)?.to_str().ok()?;
    line.split(';').find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}
