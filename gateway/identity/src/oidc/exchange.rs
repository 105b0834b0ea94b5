//! Calls to the token endpoint and its neighbors: bounded, never redirected, and with nothing secret in what
//! is said of a failure.

use std::time::Duration;

use doorward_model::limits::{OIDC_ANSWER_BYTES_MAX, OIDC_CALL_SECONDS_MAX};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde_json::{Map, Value};

use super::client::Proof;
use super::form;
use crate::json;
use crate::keys::{ClientError, http_client};
use crate::secret::Secret;
use crate::words::{shown, with_causes};

/// The one client that carries secrets. Its settings are part of the defense.
#[derive(Clone)]
pub(super) struct Caller(Client);

/// Pairs of a form whose values no error may repeat.
const SECRET_PAIRS: [&str; 6] =
    ["code", "code_verifier", "refresh_token", "token", "client_secret", "client_assertion"];
/// A value that is shorter stands in many a text by chance.
const SECRET_BYTES_MIN: usize = 6;

/// Why a call brought nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CallError {
    /// No connection, no answer in time, an error of the server, or an answer of another kind.
    Unavailable(String),
    /// The endpoint says no (RFC 6749 §5.2).
    Refused {
        /// Its word for it, as sent, cut.
        word: String,
        /// The same for operators, with what else it says.
        said: String,
    },
}

// === impl Caller ===

impl Caller {
    pub(super) fn new() -> Result<Self, ClientError> {
        http_client(Duration::from_secs(OIDC_CALL_SECONDS_MAX)).map(Self)
    }

    /// Sends a form.
    pub(super) async fn post(
        &self,
        url: &Url,
        pairs: &[(&str, &str)],
        proof: &Proof,
    ) -> Result<Vec<u8>, CallError> {
        let proving = proof.pairs.iter().map(|(name, value)| (*name, value.expose()));
        let all: Vec<(&str, &str)> = pairs.iter().copied().chain(proving).collect();
        let mut request = self.0.post(url.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(header) = &proof.header {
            request = request.header(AUTHORIZATION, header.expose());
        }
        let said = all.iter().filter(|(name, _)| SECRET_PAIRS.contains(name)).map(|(_, value)| *value);
        let header = proof.header.as_ref().and_then(|h| h.expose().strip_prefix("Basic "));
        let secrets: Vec<&str> =
            said.chain(proof.secret.as_ref().map(Secret::expose)).chain(header).collect();
        call(request.body(form::encode(&all)), url, &secrets).await
    }

    /// Asks with an access token (RFC 6750 §2.1).
    pub(super) async fn get(&self, url: &Url, token: &Secret) -> Result<Vec<u8>, CallError> {
        let request = self.0.get(url.clone()).bearer_auth(token.expose());
        call(request, url, &[token.expose()]).await
    }
}

/// Reads the object of an answer.
pub(super) fn object(body: &[u8], url: &Url) -> Result<Map<String, Value>, CallError> {
    json::object(body).map_err(|e| CallError::Unavailable(format!("`{}` answers: {e}", shown_url(url))))
}

async fn call(request: RequestBuilder, url: &Url, secrets: &[&str]) -> Result<Vec<u8>, CallError> {
    // The error of the client names the address, which holds nothing secret, and no body.
    let transport = |e: reqwest::Error| CallError::Unavailable(with_causes(&e));
    let unavailable = |why: String| CallError::Unavailable(format!("`{}` {why}", shown_url(url)));
    let mut answer = request.header(ACCEPT, "application/json").send().await.map_err(transport)?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > OIDC_ANSWER_BYTES_MAX {
            return Err(unavailable(format!("sends more than {OIDC_ANSWER_BYTES_MAX} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    if status == StatusCode::OK {
        return Ok(body);
    }
    let says_no = status.is_client_error()
        && status != StatusCode::TOO_MANY_REQUESTS
        && status != StatusCode::REQUEST_TIMEOUT;
    if says_no && let Some(refused) = refused(&body, secrets) {
        return Err(refused);
    }
    Err(unavailable(format!("answers {status}, not 200")))
}

/// An answer by RFC 6749 §5.2; one without `error` is of something in between.
fn refused(body: &[u8], secrets: &[&str]) -> Option<CallError> {
    let answer = json::object(body).ok()?;
    let word = answer.get("error")?.as_str()?;
    // What is ours and secret may come back, as it was or as it was written into the form.
    let telling = secrets.iter().filter(|s| s.len() >= SECRET_BYTES_MIN);
    let telling: Vec<(&str, String)> = telling.map(|s| (*s, form::encoded(s))).collect();
    let told = |text: &str| telling.iter().any(|(s, form)| text.contains(s) || text.contains(form.as_str()));
    if told(word) {
        return None;
    }
    let word = shown(word, 60);
    let said = match answer.get("error_description").and_then(Value::as_str) {
        Some(text) if !told(text) => format!("`{word}`: `{}`", shown(text, 200)),
        Some(_) | None => format!("`{word}`"),
    };
    Some(CallError::Refused { word, said })
}

fn shown_url(url: &Url) -> String {
    shown(url.as_str(), 200)
}
