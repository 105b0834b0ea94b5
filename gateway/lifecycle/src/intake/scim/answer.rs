//! The one place where an outcome becomes HTTP (RFC 7644 §3.1, §3.12, §3.14).

use axum::body::Body;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use uuid::Uuid;

use crate::scim::{ErrorKind, ScimError, etag};

/// The media type of everything that is sent.
const SCIM_JSON: HeaderValue = HeaderValue::from_static("application/scim+json");
/// The signed receipt that is made of what the request took away, one line for each person.
const RECEIPT: HeaderName = HeaderName::from_static("doorward-receipt");
/// How many receipts one answer names at most.
const RECEIPTS_MAX: usize = 20;
/// When to come back after an error that may pass, in seconds.
const RETRY_SECONDS: u64 = 5;

/// What is answered when it went well.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Option<Value>,
    /// The URL of a resource that is there now.
    pub(crate) location: Option<String>,
    /// Its version.
    pub(crate) version: Option<u64>,
    /// The receipts of what was taken away.
    pub(crate) receipts: Vec<Uuid>,
}

/// What is answered when it did not.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: ScimError,
    /// When to come back, in seconds.
    pub(crate) retry_seconds: Option<u64>,
    /// Access was taken away all the same.
    pub(crate) receipts: Vec<Uuid>,
    /// The methods that there are, after a wrong one.
    pub(crate) allow: Option<&'static str>,
}

impl Failure {
    /// With when to come back.
    pub(crate) const fn after(mut self, seconds: u64) -> Self {
        self.retry_seconds = Some(seconds);
        self
    }
}

impl From<ScimError> for Failure {
    fn from(error: ScimError) -> Self {
        let passes =
            matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::TooManyRequests | ErrorKind::Internal);
        let retry_seconds = passes.then_some(RETRY_SECONDS);
        Self { error, retry_seconds, receipts: Vec::new(), allow: None }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = dressed(self.status, self.body.as_ref());
        let headers = response.headers_mut();
        if let Some(location) = self.location.and_then(|url| HeaderValue::from_str(&url).ok()) {
            headers.insert(LOCATION, location);
        }
        if let Some(version) = self.version
            && let Ok(tag) = HeaderValue::from_str(&etag::weak(version))
        {
            headers.insert(ETAG, tag);
        }
        name_receipts(&mut response, &self.receipts);
        response
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = dressed(status, Some(&self.error.body()));
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        if status == StatusCode::UNAUTHORIZED {
            let realm = HeaderValue::from_static("Bearer realm=\"doorward scim\"");
            headers.insert(WWW_AUTHENTICATE, realm);
        }
        name_receipts(&mut response, &self.receipts);
        response
    }
}

fn name_receipts(response: &mut Response, receipts: &[Uuid]) {
    for receipt in receipts.iter().take(RECEIPTS_MAX) {
        if let Ok(id) = HeaderValue::from_str(&receipt.to_string()) {
            response.headers_mut().append(RECEIPT, id);
        }
    }
}

/// An answer is for whoever asked: nothing keeps it or shows it as a page.
fn dressed(status: StatusCode, body: Option<&Value>) -> Response {
    let mut response = match body {
        Some(body) => (status, Body::from(body.to_string())).into_response(),
        None => status.into_response(),
    };
    let headers = response.headers_mut();
    if body.is_some() {
        headers.insert(CONTENT_TYPE, SCIM_JSON);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    response
}
