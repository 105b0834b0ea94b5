//! Errors as RFC 9457 wants them, with the fields that are wrong and how to mend them.

use axum::Extension;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::guard::Call;

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Mistake {
    /// Which, such as `target.kind`; `body` for the whole.
    pub(crate) field: String,
    /// What is wrong.
    pub(crate) message: String,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) help: Option<String>,
}

impl Mistake {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>, help: &str) -> Self {
        let help = (!help.is_empty()).then(|| help.to_owned());
        Self { field: field.into(), message: message.into(), help }
    }
}

/// An answer that is a no.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    #[serde(serialize_with = "number")]
    status: StatusCode,
    code: &'static str,
    detail: String,
    request_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Mistake>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    pub(crate) fn new(
        call: &Call,
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind: format!("urn:doorward:problem:{code}"),
            title,
            status,
            code,
            detail: detail.into(),
            request_id: call.request_id.to_string(),
            errors: Vec::new(),
            more: Map::new(),
        }
    }

    /// Something in the request is wrong; what, stands in `errors`.
    pub(crate) fn mistaken(call: &Call, errors: Vec<Mistake>) -> Self {
        let detail = match errors.as_slice() {
            [only] => format!("`{}`: {}", only.field, only.message),
            many => format!("{} fields are wrong", many.len()),
        };
        let problem = Self::new(
            call,
            StatusCode::BAD_REQUEST,
            "bad_request",
            "This request cannot be understood",
            detail,
        );
        Self { errors, ..problem }
    }

    /// One member more.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// Every member of a receipt more, but for the id of the call, which the problem has already.
    pub(crate) fn with_receipt(mut self, receipt: Value) -> Self {
        if let Value::Object(mut members) = receipt {
            members.remove("request_id");
            self.more.extend(members);
        }
        self
    }

    pub(crate) fn with_errors(mut self, errors: Vec<Mistake>) -> Self {
        self.errors = errors;
        self
    }

    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status;
        let mut response = axum::Json(self).into_response();
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

/// There is nothing at this path. Reached only with the token.
pub(crate) async fn not_found(Extension(call): Extension<Call>) -> Problem {
    let detail = "the API is described in docs/reference/operator-api.md";
    Problem::new(&call, StatusCode::NOT_FOUND, "not_found", "There is nothing here", detail)
}

/// There is something at this path, for other methods.
pub(crate) async fn method_not_allowed(Extension(call): Extension<Call>) -> Problem {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    Problem::new(&call, status, "method_not_allowed", "This method does nothing here", "see the header Allow")
}
