//! A call of gRPC in which Envoy asks, over HTTP/2: one message each way.

use bytes::{Bytes, BytesMut};
use doorward_model::limits::CHECK_BYTES_MAX;
use doorward_model::{Refusal, RefusalCode};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora::{Error, Result};

use super::check::{self, CheckResponse};
use super::envoy::Question;
use super::{House, METHOD, Read, URL, may_ask};

/// Whether Envoy asks. A client may choose path, method and type of a request that another proxy asks about, and the
/// answer would be a success to that proxy: so there is nothing in the header that tells of a request.
pub(super) fn is_one(request: &RequestHeader) -> bool {
    let kind = request.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    request.version == Version::HTTP_2
        && request.method == Method::POST
        && request.uri.path() == check::PATH
        && matches!(kind, Some(b"application/grpc" | b"application/grpc+proto"))
        && ![URL, METHOD, "x-forwarded-method", "x-forwarded-uri"]
            .iter()
            .any(|n| request.headers.contains_key(*n))
}

/// Reads what is asked, of whoever may ask. A deadline that it brings (`grpc-timeout`) is not kept:
/// a decision is made in little time or not at all, and who waits no longer hears no yes.
pub(super) async fn question(house: &House, session: &mut Session) -> Result<Read, Refusal> {
    may_ask(house, session)?;
    let late = |_| Refusal::new(RefusalCode::RequestTimeout, "the question did not arrive in time");
    let body = tokio::time::timeout(house.limits.header_max, message(session)).await.map_err(late)??;
    Question::read(&body)?.becomes(house.proxies.header())
}

async fn message(session: &mut Session) -> Result<Bytes, Refusal> {
    let mut message = BytesMut::new();
    let lost = |e: Box<Error>| {
        let detail = format!("the question did not arrive: {}", e.etype.as_str());
        Refusal::new(RefusalCode::RequestTimeout, detail)
    };
    while let Some(piece) = session.read_request_body().await.map_err(lost)? {
        if message.len().saturating_add(piece.len()) > CHECK_BYTES_MAX {
            let detail = format!(
                "a `CheckRequest` of more than {CHECK_BYTES_MAX} bytes: let Envoy send no body (`with_request_body`)"
            );
            return Err(Refusal::new(RefusalCode::HeaderTooLarge, detail));
        }
        message.extend_from_slice(&piece);
    }
    Ok(message.freeze())
}

/// Answers it. The call went well, also if the answer is no: Envoy may be told to let pass what could not be
/// decided (`failure_mode_allow`), and never lets pass what was refused.
pub(super) async fn answer(session: &mut Session, answer: &CheckResponse) -> Result<()> {
    let mut head = ResponseHeader::build(StatusCode::OK, Some(2))?;
    head.insert_header(header::CONTENT_TYPE, "application/grpc")?;
    session.write_response_header(Box::new(head), false).await?;
    session.write_response_body(Some(answer.write()), false).await?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    session.as_downstream_mut().write_response_trailers(trailers).await
}
