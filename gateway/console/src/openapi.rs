//! `GET /api/v1/openapi.json`: every call of this API, for programs (OpenAPI 3.1).
//!
//! The document is data that is built here, from the same words and bounds that the handlers read by. It says
//! exactly what is taken: a body with anything else is refused. Of answers it says what is always there.
//!
//! The cast: [`form`] knows how schemas and operations are written, [`refusals`] the answers that are a no,
//! and the other modules have the calls of one noun each. To add a call: write it into the module of its noun,
//! and the copy in `docs/reference` anew with `DOORWARD_BLESS=1 cargo test -p doorward-console openapi`.
//!
//! Invariants, each with a test: the document and the router have the same calls; every reference in it
//! leads somewhere; `docs/reference/openapi.json` is this document; every code of a problem is in it.

mod access;
mod cases;
mod connections;
mod devices;
mod form;
mod groups;
mod machines;
mod node;
mod people;
mod receipts;
mod refusals;
mod releases;
mod revocations;
mod sessions;
mod shadow;
mod streams;
mod tokens;

use std::sync::OnceLock;

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// What there is to know before the calls.
const ABOUT: &str = "The operator API of a Doorward gateway. Times are milliseconds since 1970, ids are UUIDs in lower \
     case. Bounds on texts are bytes in UTF-8. A parameter, a field of a body or a query that is not named here is \
     refused, and so is one that stands there twice. Answers may have more members than are named here.";

/// Answers with the document.
pub(crate) async fn show() -> Response {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text: &'static str = TEXT.get_or_init(|| document().to_string());
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}

/// The document.
pub(crate) fn document() -> Value {
    let mut paths = form::Paths::default();
    for of_noun in [
        node::paths,
        access::paths,
        revocations::paths,
        people::paths,
        groups::paths,
        machines::paths,
        tokens::paths,
        devices::paths,
        cases::paths,
        receipts::paths,
        releases::paths,
        shadow::paths,
        sessions::paths,
        connections::paths,
        streams::paths,
    ] {
        of_noun(&mut paths);
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Doorward operator API", "version": "1", "description": ABOUT },
        "servers": [{ "url": "http://127.0.0.1:9180", "description": "`operator.address`" }],
        "security": [{ "operator": [] }],
        "paths": paths.into_value(),
        "components": {
            "securitySchemes": {
                "operator": { "type": "http", "scheme": "bearer", "description": "What `operator.token_file` holds." },
            },
            "headers": {
                "RequestId": {
                    "description": "The id of the call, which the audit log has, too.", "required": true, "schema": form::id(),
                },
            },
            "responses": refusals::answers(),
            "schemas": schemas(),
        },
    })
}

fn schemas() -> Value {
    let all = [
        node::schemas(),
        access::schemas(),
        revocations::schemas(),
        people::schemas(),
        groups::schemas(),
        machines::schemas(),
        tokens::schemas(),
        devices::schemas(),
        cases::schemas(),
        receipts::schemas(),
        releases::schemas(),
        shadow::schemas(),
        sessions::schemas(),
        connections::schemas(),
        streams::schemas(),
        refusals::schemas().into(),
    ];
    all.into_iter().flatten().map(|(name, schema)| (name.to_owned(), schema)).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests;
