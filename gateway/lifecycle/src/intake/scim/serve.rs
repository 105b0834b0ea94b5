//! From a request to its answer.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::answer::{Answer, Failure};
use super::desk::{Desk, unreadable};
use super::door::{self, Caller};
use super::endpoint::Endpoint;
use super::{Scim, bulk, many};
use crate::scim::etag::Precondition;
use crate::scim::list::Query;
use crate::scim::{ErrorKind, ResourceType, ScimError, discovery, json};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A body that is larger is read on a thread that may take its time.
const QUICK_BYTES_MAX: usize = 64 * 1024;

/// Everything under [`ROOT`](super::ROOT); anything else is a 404 in the words of SCIM.
pub fn router(scim: Scim) -> Router {
    Router::new().fallback(handle).with_state(Arc::new(scim))
}

async fn handle(State(scim): State<Arc<Scim>>, request: Request) -> Response {
    let request_id: Arc<str> = Uuid::new_v4().to_string().into();
    let mut response = match serve(scim, request, Arc::clone(&request_id)).await {
        Ok(answer) => answer.into_response(),
        Err(failure) => failure.into_response(),
    };
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

async fn serve(scim: Arc<Scim>, request: Request, request_id: Arc<str>) -> Result<Answer, Failure> {
    let (parts, body) = request.into_parts();
    let caller = door::admit(&scim, &parts, Arc::clone(&request_id)).await?;
    let endpoint = Endpoint::parse(parts.uri.path())
        .ok_or_else(|| ScimError::new(ErrorKind::NotFound, "there is no such endpoint"))?;
    if !endpoint.knows(&parts.method) {
        let error = ScimError::new(ErrorKind::MethodNotAllowed, "the endpoint does not know this method");
        return Err(Failure { allow: Some(endpoint.methods()), ..error.into() });
    }
    let call = Call {
        body: match parts.method {
            Method::POST | Method::PUT | Method::PATCH => door::body(&parts.headers, body).await?,
            _ => none(body),
        },
        precondition: Precondition::read(
            door::joined(&parts.headers, &IF_MATCH).as_deref(),
            door::joined(&parts.headers, &IF_NONE_MATCH).as_deref(),
        )?,
        query: parts.uri.query().unwrap_or_default().to_owned(),
        method: parts.method,
    };
    // On a task of its own: a client that goes away stops nothing half-way.
    let work = tokio::spawn(async move { answer(scim, caller, endpoint, call).await });
    work.await.unwrap_or_else(|error| {
        tracing::error!(request_id = &*request_id, %error, "a SCIM request panicked");
        Err(ScimError::new(ErrorKind::Internal, "something here is broken; the log has more").into())
    })
}

/// A body that nobody wants is not read; the connection ends with it.
fn none(body: Body) -> Vec<u8> {
    drop(body);
    Vec::new()
}

/// A request, read as far as it can be without knowing what it is for.
struct Call {
    method: Method,
    query: String,
    precondition: Precondition,
    body: Vec<u8>,
}

async fn answer(scim: Arc<Scim>, caller: Caller, endpoint: Endpoint, call: Call) -> Result<Answer, Failure> {
    // What another node was told is saved must not look here as if it were still to be done, or done.
    if endpoint.is_of_people() {
        scim.store.catch_up().await.map_err(unreadable)?;
    }
    let base = caller.base.clone();
    let found = |document: Option<Value>| {
        let body =
            document.ok_or_else(|| ScimError::new(ErrorKind::NotFound, "there is nothing of this name"))?;
        Ok(Answer { body: Some(body), ..Answer::default() })
    };
    match endpoint {
        Endpoint::Config => found(Some(discovery::service_provider_config(&base))),
        Endpoint::Types(None) => {
            unfiltered(&call).and_then(|()| found(Some(discovery::resource_types(&base))))
        }
        Endpoint::Types(Some(id)) => found(discovery::resource_type(&base, &id)),
        Endpoint::Schemas(None) => unfiltered(&call).and_then(|()| found(Some(discovery::schemas(&base)))),
        Endpoint::Schemas(Some(urn)) => found(discovery::schema(&base, &urn)),
        Endpoint::Me => {
            let detail = "a connection is nobody of the directory: there is no /Me";
            Err(ScimError::new(ErrorKind::NotImplemented, detail).into())
        }
        Endpoint::Search(kind) => {
            let query = Query::from_search(object(call.body).await?)?;
            let kinds = kind.map_or_else(|| ResourceType::ALL.to_vec(), |kind| vec![kind]);
            many::list(&Desk::new(&scim, &caller), &kinds, &query).await
        }
        Endpoint::Bulk => bulk::answer(&Desk::new(&scim, &caller), call.body).await,
        Endpoint::Collection(kind) => {
            let query = Query::from_url(&call.query)?;
            let desk = Desk::new(&scim, &caller);
            if call.method == Method::POST {
                desk.create(kind, object(call.body).await?, &query.projection).await
            } else {
                many::list(&desk, &[kind], &query).await
            }
        }
        Endpoint::Resource(kind, id) => {
            let projection = Query::from_url(&call.query)?.projection;
            let desk = Desk::new(&scim, &caller);
            match call.method {
                Method::PUT => {
                    desk.replace(kind, &id, &call.precondition, object(call.body).await?, &projection).await
                }
                Method::PATCH => {
                    desk.patch(kind, &id, &call.precondition, object(call.body).await?, &projection).await
                }
                Method::DELETE => desk.delete(kind, &id, &call.precondition).await,
                _ => desk.get(kind, &id, &call.precondition, &projection).await,
            }
        }
    }
}

/// What is told about the service cannot be searched (RFC 7644 §4).
fn unfiltered(call: &Call) -> Result<(), Failure> {
    if Query::from_url(&call.query)?.filter.is_some() {
        let detail = "this endpoint cannot be filtered";
        return Err(ScimError::new(ErrorKind::Forbidden, detail).into());
    }
    Ok(())
}

/// The object that a body is. Reading a large one does not hold up others.
pub(super) async fn object(bytes: Vec<u8>) -> Result<Map<String, Value>, Failure> {
    if bytes.len() <= QUICK_BYTES_MAX {
        return Ok(json::object(&bytes)?);
    }
    aside(move || json::object(&bytes)).await
}

/// Does something that takes a while where it holds nobody up.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ScimError> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(_) => {
            Err(ScimError::new(ErrorKind::Internal, "something here is broken; the log has more").into())
        }
    }
}

impl Answer {
    /// With this body.
    pub(super) fn of(status: StatusCode, body: Value) -> Self {
        Self { status, body: Some(body), ..Self::default() }
    }
}
