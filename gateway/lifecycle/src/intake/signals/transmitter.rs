//! Asking a transmitter over HTTP: its configuration document, how a stream stands, a verification (SSF 1.0
//! §7.2, §8.1.1, §8.1.2, §8.1.4), and events that wait (RFC 8936).
//!
//! TLS is verified by the system's authorities; no redirect is followed; the token goes only where the
//! configuration lets it ([`Contact::may_call`]); everything is bounded in size and time. No error has the
//! token in it, nor what a transmitter wrote beyond a few characters of an address.

use std::path::PathBuf;
use std::time::Duration;

use doorward_identity::{ClientError, http_client, json, may_be_fetched, shown, ssf_configuration_of};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde_json::{Map, Value, json};

use crate::signals::event::StreamStatus;
use crate::signals::poll::ANSWER_BYTES_MAX;
use crate::signals::{Stream, secret};

/// How long any question but a long poll may take.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// How long a transmitter may hold a request until something happens.
const HELD_MAX: Duration = Duration::from_secs(120);
/// The largest answer but that to a poll, in bytes.
const DOCUMENT_BYTES_MAX: usize = 64 * 1024;
/// The longest that a transmitter may ask to wait.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);
/// The longest time between two verifications that a transmitter may ask for: one that could ask for more
/// would say itself when it is missed.
pub(super) const VERIFY_MIN_MAX: Duration = Duration::from_hours(24);
/// Characters of an address that are shown.
const URL_CHARS: usize = 200;

/// What speaks to transmitters. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TransmitterClient(Client);

/// One stream's transmitter.
#[derive(Debug)]
pub(super) struct Transmitter {
    client: TransmitterClient,
    stream: Stream,
}

/// Why a transmitter did not answer as it should.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum AskError {
    /// No connection, no answer in time, or TLS says no.
    #[error("{0}")]
    Transport(String),
    /// It held the request until we gave up.
    #[error("`{0}` did not answer in time")]
    TimedOut(String),
    /// Another status than that of a good answer.
    #[error("`{url}` answers {status}{}", hint(*status))]
    Status { url: String, status: StatusCode, retry_after: Option<Duration> },
    /// More than any such answer needs.
    #[error("`{0}` sends more than {1} bytes")]
    TooLarge(String, usize),
    /// The answer is not what the standard has.
    #[error("the answer of `{url}` {why}")]
    Unreadable { url: String, why: String },
    /// Its document leads to where the token may not go, or lacks the address.
    #[error("the configuration document of the transmitter {0}")]
    Document(String),
    /// The token cannot be read.
    #[error("{0}")]
    Token(String),
}

/// Where a transmitter is asked about streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document {
    configuration: Option<Url>,
    status: Option<Url>,
    verification: Url,
}

/// What a transmitter says of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Configuration {
    /// The shortest time between two verifications.
    pub(super) verify_min: Option<Duration>,
    /// After which time without a question it may end the stream.
    pub(super) inactive_max: Option<Duration>,
    /// What somebody should look at: with another `iss` or `aud` than here none of its events would be good.
    pub(super) remark: Option<String>,
}

fn hint(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => ": see whether the token in `token_file` is still good, and may ask about this stream",
        404 => ": see whether the stream is still there",
        _ => "",
    }
}

// === impl TransmitterClient ===

impl TransmitterClient {
    /// A client that follows no redirect and waits for nothing longer than the limits allow.
    ///
    /// # Errors
    /// When the process has no TLS provider yet; `server` installs it first.
    pub fn new() -> Result<Self, ClientError> {
        http_client(ANSWER_MAX).map(Self)
    }
}

// === impl AskError ===

impl AskError {
    /// How long the transmitter wants to be left alone, if it says.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Transport(_)
            | Self::TimedOut(_)
            | Self::TooLarge(..)
            | Self::Unreadable { .. }
            | Self::Document(_)
            | Self::Token(_) => None,
        }
    }
}

// === impl Transmitter ===

impl Transmitter {
    pub(super) const fn new(client: TransmitterClient, stream: Stream) -> Self {
        Self { client, stream }
    }

    /// Reads where it is asked. The document must name the issuer exactly (§7.2.3), and lead nowhere but to
    /// the hosts of the configuration.
    pub(super) async fn document(&self) -> Result<Document, AskError> {
        let issuer = self.stream.sender().url();
        let written = ssf_configuration_of(issuer);
        let wrong = |why: String| AskError::Document(why);
        let url = Url::parse(&written).map_err(|e| wrong(format!("has no address: {e}")))?;
        if !may_be_fetched(&url) {
            return Err(wrong("would not come over https".to_owned()));
        }
        // It is public: no token is needed, and none is shown.
        let answer = good(&url, self.client.0.get(url.clone()).header(ACCEPT, "application/json")).await?;
        let document = object(&url, &whole(&url, answer, DOCUMENT_BYTES_MAX).await?)?;
        if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
            return Err(wrong("is of another issuer".to_owned()));
        }
        let configuration = self.endpoint(&document, "configuration_endpoint")?;
        let status = self.endpoint(&document, "status_endpoint")?;
        let verification = self.endpoint(&document, "verification_endpoint")?;
        let verification = verification.ok_or_else(|| {
            wrong("has no `verification_endpoint`: set `silent_hours` instead of `verify_minutes`".to_owned())
        })?;
        Ok(Document { configuration, status, verification })
    }

    fn endpoint(&self, document: &Map<String, Value>, name: &str) -> Result<Option<Url>, AskError> {
        let text = match document.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text,
            Some(_) => return Err(AskError::Document(format!("has a `{name}` that is not a text"))),
        };
        match Url::parse(text) {
            Ok(url) if self.stream.contact().may_call(&url) => Ok(Some(url)),
            Ok(_) | Err(_) => Err(AskError::Document(format!(
                "has the `{name}` `{}`, where the token may not go; if that is right, name its host in `api_at`",
                shown(text, URL_CHARS)
            ))),
        }
    }

    /// Asks how the stream is configured (§8.1.1.2). None: there is nobody to ask.
    pub(super) async fn configuration(&self, document: &Document) -> Result<Option<Configuration>, AskError> {
        let Some(url) = &document.configuration else { return Ok(None) };
        let told = self.look(&self.of_stream(url)).await?;
        let seconds = |name: &str| told.get(name).and_then(Value::as_u64).map(Duration::from_secs);
        let sender = self.stream.sender();
        let named = |value: &Value| match value {
            Value::String(one) => sender.is_for(one),
            Value::Array(many) => many.iter().filter_map(Value::as_str).any(|one| sender.is_for(one)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
        };
        let differs = match (told.get("iss"), told.get("aud")) {
            (Some(iss), _) if iss.as_str() != Some(sender.url()) => Some("iss"),
            (_, Some(aud)) if !named(aud) => Some("aud"),
            (_, _) => None,
        };
        let verify_min = seconds("min_verification_interval");
        let differs = differs.map(|member| {
            format!("the transmitter's stream has another `{member}` than the configuration here")
        });
        let too_long = verify_min.filter(|min| *min > VERIFY_MIN_MAX).map(|min| {
            format!(
                "the transmitter's `min_verification_interval` is {} s: it is asked more often all the same, \
                 else nobody would notice that it is silent",
                min.as_secs()
            )
        });
        Ok(Some(Configuration {
            verify_min,
            inactive_max: seconds("inactivity_timeout"),
            remark: differs.or(too_long),
        }))
    }

    /// Asks how the stream stands (§8.1.2.1). None: there is nobody to ask.
    pub(super) async fn status(
        &self,
        document: &Document,
    ) -> Result<Option<(StreamStatus, Option<String>)>, AskError> {
        let Some(url) = &document.status else { return Ok(None) };
        let url = self.of_stream(url);
        let told = self.look(&url).await?;
        let status = told.get("status").and_then(Value::as_str).and_then(StreamStatus::parse);
        let why = "has no `status` that is enabled, paused or disabled".to_owned();
        let status = status.ok_or_else(|| AskError::Unreadable { url: shown_url(&url), why })?;
        let reason = told.get("reason").and_then(Value::as_str).map(|reason| shown(reason, URL_CHARS));
        Ok(Some((status, reason)))
    }

    /// Asks for a verification event that repeats `state` (§8.1.4.2).
    pub(super) async fn verify(&self, document: &Document, state: &str) -> Result<(), AskError> {
        let body = json!({ "stream_id": self.stream.stream_id(), "state": state });
        let url = &document.verification;
        let request = self.authorized(url, self.client.0.post(url.clone())).await?;
        let request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        good(url, request).await.map(drop)
    }

    /// Fetches events (RFC 8936 §2.2). `held`: the transmitter may hold the request until something happens.
    pub(super) async fn poll(&self, url: &Url, body: &Value, held: bool) -> Result<Vec<u8>, AskError> {
        let request = self.authorized(url, self.client.0.post(url.clone())).await?;
        let request = request
            .header(CONTENT_TYPE, "application/json")
            .timeout(if held { HELD_MAX } else { ANSWER_MAX })
            .body(body.to_string());
        whole(url, good(url, request).await?, ANSWER_BYTES_MAX).await
    }

    fn of_stream(&self, url: &Url) -> Url {
        let mut url = url.clone();
        if let Some(id) = self.stream.stream_id() {
            url.query_pairs_mut().append_pair("stream_id", id);
        }
        url
    }

    async fn look(&self, url: &Url) -> Result<Map<String, Value>, AskError> {
        let request = self.authorized(url, self.client.0.get(url.clone())).await?;
        let answer = good(url, request).await?;
        object(url, &whole(url, answer, DOCUMENT_BYTES_MAX).await?)
    }

    /// With the token, if it may go there. The file is read anew each time, so that it can be exchanged.
    async fn authorized(&self, url: &Url, request: RequestBuilder) -> Result<RequestBuilder, AskError> {
        let contact = self.stream.contact();
        if !contact.may_call(url) {
            return Err(AskError::Document(format!(
                "leads to `{}`, where the token may not go",
                shown_url(url)
            )));
        }
        let request = request.header(ACCEPT, "application/json");
        let Some(file) = contact.token_file() else { return Ok(request) };
        let file: PathBuf = file.to_owned();
        let read = tokio::task::spawn_blocking(move || secret::line(&file)).await;
        let line =
            read.map_err(|e| AskError::Token(e.to_string()))?.map_err(|e| AskError::Token(e.to_string()))?;
        let garbled = |_| AskError::Token("the token cannot stand in a header".to_owned());
        let mut value = HeaderValue::from_str(&format!("Bearer {line}")).map_err(garbled)?;
        value.set_sensitive(true);
        Ok(request.header(AUTHORIZATION, value))
    }
}

fn shown_url(url: &Url) -> String {
    shown(url.as_str(), URL_CHARS)
}

/// Sends it, and refuses every answer but a good one. A redirect is none.
async fn good(url: &Url, request: RequestBuilder) -> Result<Response, AskError> {
    let answer = request.send().await.map_err(|error| failed(url, &error))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let seconds = answer.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse::<u64>().ok());
    // A zero says nothing: whoever fails is not asked again and again without a pause.
    let seconds = seconds.filter(|seconds| *seconds > 0);
    let retry_after = seconds.map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    Err(AskError::Status { url: shown_url(url), status, retry_after })
}

fn failed(url: &Url, error: &reqwest::Error) -> AskError {
    if error.is_timeout() && !error.is_connect() {
        return AskError::TimedOut(shown_url(url));
    }
    let mut told = format!("`{}` cannot be reached", shown_url(url));
    let mut cause = std::error::Error::source(error);
    while let Some(why) = cause {
        told = format!("{told}: {}", shown(&why.to_string(), URL_CHARS));
        cause = why.source();
    }
    AskError::Transport(told)
}

async fn whole(url: &Url, mut answer: Response, bytes_max: usize) -> Result<Vec<u8>, AskError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| failed(url, &error))? {
        if body.len() + chunk.len() > bytes_max {
            return Err(AskError::TooLarge(shown_url(url), bytes_max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn object(url: &Url, body: &[u8]) -> Result<Map<String, Value>, AskError> {
    json::object(body).map_err(|error| AskError::Unreadable {
        url: shown_url(url),
        why: format!("cannot be read: {error}"),
    })
}
