//! `/Bulk` (RFC 7644 §3.7): one operation after the other, each as if it had come alone.

use std::collections::BTreeMap;

use axum::http::StatusCode;

use super::answer::{Answer, Failure};
use super::desk::Desk;
use super::serve::aside;
use crate::scim::bulk::{BulkAnswer, BulkMethod, BulkOperation, BulkRequest};
use crate::scim::{ErrorKind, Projection, ScimError};

/// What is wanted of each resource: its id alone, as nobody reads more.
fn little() -> Projection {
    Projection::Only(vec!["id".to_owned()])
}

pub(super) async fn answer(desk: &Desk<'_>, body: Vec<u8>) -> Result<Answer, Failure> {
    let request = aside(move || BulkRequest::read(&body)).await?;
    let order = request.order();
    let mut answers = BTreeMap::new();
    let (mut made, mut receipts, mut errors) = (BTreeMap::new(), Vec::new(), 0);
    for i in order.order {
        if request.stops_after(errors) {
            break;
        }
        let Some(operation) = request.operations().get(i) else { continue };
        let done = match operation.resolved(&made) {
            Ok(operation) => work(desk, operation).await,
            Err(error) => Err(error.into()),
        };
        let answer = match done {
            Ok(answer) => {
                receipts.extend(answer.receipts);
                let id = answer.body.as_ref().and_then(|body| body.get("id")?.as_str());
                if let (Some(name), Some(id)) = (&operation.bulk_id, id) {
                    made.insert(name.clone(), id.to_owned());
                }
                let location = answer.location.or_else(|| location(desk, operation));
                BulkAnswer { status: answer.status.as_u16(), location, version: answer.version, error: None }
            }
            Err(failure) => {
                errors += 1;
                receipts.extend(failure.receipts);
                BulkAnswer::failed(failure.error, location(desk, operation))
            }
        };
        answers.insert(i, answer);
    }
    for i in order.circular {
        if request.stops_after(errors) {
            break;
        }
        errors += 1;
        let detail =
            "it waits for an operation that waits for it: make an empty group first, and PATCH its members";
        let error = ScimError::new(ErrorKind::Conflict, detail);
        answers.insert(i, BulkAnswer::failed(error, None));
    }
    Ok(Answer { receipts, ..Answer::of(StatusCode::OK, request.response(&answers)) })
}

async fn work(desk: &Desk<'_>, operation: BulkOperation) -> Result<Answer, Failure> {
    let BulkOperation { method, kind, id, precondition, data, .. } = operation;
    let (id, data) = (id.unwrap_or_default(), data.unwrap_or_default());
    match method {
        BulkMethod::Post => desk.create(kind, data, &little()).await,
        BulkMethod::Put => desk.replace(kind, &id, &precondition, data, &little()).await,
        BulkMethod::Patch => desk.patch(kind, &id, &precondition, data, &little()).await,
        BulkMethod::Delete => desk.delete(kind, &id, &precondition).await,
    }
}

/// Where the resource is; none for one that was not made.
fn location(desk: &Desk<'_>, operation: &BulkOperation) -> Option<String> {
    let id = operation.id.as_ref()?;
    Some(format!("{}{}/{id}", desk.caller.base, operation.kind.endpoint()))
}
