//! A page of the gateway itself, asked for and answered.
//!
//! It goes through no stage but the first half of the first: nobody's app is asked, so nothing is decided. What is
//! done there, a sign-in, an end of a session, is recorded by whoever does it.

use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::accept::Looked;
use super::{Door, Exchange, write};
use crate::answer::Answer;
use crate::path::NormalPath;
use crate::sign_in::OwnAnswer;

impl Door {
    /// Answers a request for one of our pages.
    pub(super) async fn serve_own(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        (looked, path): (Looked, NormalPath),
    ) -> Result<()> {
        let house = &self.0;
        let sign_in = house.sign_in.as_ref();
        let sign_in =
            sign_in.ok_or_else(|| Error::explain(ErrorType::InternalError, "nobody signs in here"))?;
        let bound = (exchange.story.request_id(), house.limits.header_max);
        let request = match looked.own_request(session, path, bound).await {
            Ok(request) => request,
            Err(refusal) => return self.refuse(session, exchange, &refusal).await,
        };
        let served = Box::pin(sign_in.serve(house, &request)).await;
        let answer = answer(served, exchange.story.request_id(), request.method == http::Method::HEAD)?;
        exchange.story.was_ours(answer.head.status.as_u16());
        if !session.is_body_empty() && !session.is_body_done() {
            session.set_keepalive(None);
        }
        write(session, answer).await
    }
}

/// The answer with what stands in all of them.
fn answer(served: OwnAnswer, request_id: &str, head_only: bool) -> Result<Answer> {
    let OwnAnswer { status, headers, body, refused } = served;
    let mut head = ResponseHeader::build(status, Some(headers.len() + 3))?;
    for (name, value) in &headers {
        head.append_header(name.clone(), value.clone())?;
    }
    head.insert_header(http::header::CONTENT_LENGTH, body.len())?;
    head.insert_header("x-doorward-request-id", request_id)?;
    if let Some(code) = refused {
        head.insert_header("x-doorward-refusal", code.as_str())?;
    }
    Ok(Answer { head, body: if head_only { Vec::new() } else { body } })
}
