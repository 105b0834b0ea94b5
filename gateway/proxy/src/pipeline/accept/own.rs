//! A request for a page of the gateway itself.
//!
//! It is looked at as any other, up to where it leads. Pages of ours lie under `/.doorward` on every host that we
//! serve, and are all that there is on the host where people sign in. What an app could read as one of them, though
//! it is none, goes to nobody.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use doorward_audit::trail::HttpVersion;
use doorward_model::limits::OWN_BODY_BYTES_MAX;
use doorward_model::{Refusal, RefusalCode};
use http::{Method, Version};
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use super::{Looked, bad};
use crate::devices;
use crate::path::NormalPath;
use crate::pipeline::House;
use crate::routes::Unresolved;
use crate::sign_in::OwnRequest;

impl Looked {
    /// The path of a page of ours, in normal form; none where an app is asked.
    pub(crate) fn own_path(
        &self,
        house: &House,
        request: &RequestHeader,
    ) -> Result<Option<NormalPath>, Refusal> {
        let Some(sign_in) = &house.sign_in else { return Ok(None) };
        if !sign_in.is_sign_in_host(&self.host) && matches!(self.resolved, Err(Unresolved::NoHost)) {
            return Ok(None);
        }
        let path = request.uri.path();
        let (read, lenient) = match NormalPath::new(path, false) {
            Ok(path) => (Ok(path), false),
            Err(fault) => (NormalPath::new(path, true).map_err(|_| fault), true),
        };
        let is_one = |path: &str| sign_in.is_own(&self.host, path);
        match read {
            Ok(path) if is_one(path.as_str()) && !lenient => Ok(Some(path)),
            Ok(path) if path.readings(lenient).is_ok_and(|all| all.iter().any(|path| is_one(path))) => {
                Err(bad("the path could be read as one of a page of ours"))
            }
            Ok(_) => Ok(None),
            // Whoever resolves the route refuses it.
            Err(_) if !sign_in.is_sign_in_host(&self.host) => Ok(None),
            Err(fault) => Err(bad(fault.as_str())),
        }
    }

    /// The whole request for such a page: a body is read to its end, for at most `form_max`.
    pub(crate) async fn own_request(
        self,
        session: &mut Session,
        path: NormalPath,
        (request_id, form_max): (&Arc<str>, Duration),
    ) -> Result<OwnRequest, Refusal> {
        let method = session.req_header().method.clone();
        if !matches!(method, Method::GET | Method::HEAD | Method::POST) || self.upgrade {
            let detail = "a page of ours is read, or sent a form";
            return Err(Refusal::new(RefusalCode::MethodNotAllowed, detail));
        }
        let body = if method == Method::POST {
            // A form of ours is small, and arrives in the time that a header may take.
            let late = |_| Refusal::new(RefusalCode::RequestTimeout, "the form did not arrive in time");
            tokio::time::timeout(form_max, body(session)).await.map_err(late)??
        } else {
            Bytes::new()
        };
        let request = session.req_header();
        let asks = self.handshake.as_ref().is_some_and(|handshake| handshake.asks);
        let certificate = devices::of_own_page(self.handshake.as_ref(), self.now);
        Ok(OwnRequest {
            request_id: Arc::clone(request_id),
            now: self.now,
            method,
            version: match request.version {
                Version::HTTP_2 => HttpVersion::Http2,
                Version::HTTP_10 => HttpVersion::Http10,
                _ => HttpVersion::Http11,
            },
            host: self.host,
            path: path.as_str().to_owned(),
            query: request.uri.query().map(str::to_owned),
            headers: request.headers.clone(),
            peer: self.peer,
            client: self.client?,
            https: self.https,
            unfit: certificate.as_ref().err().cloned().map(Box::new),
            certificate: certificate.ok().flatten(),
            asks_for_certificate: asks,
            body,
        })
    }
}

/// The body of a form of ours.
async fn body(session: &mut Session) -> Result<Bytes, Refusal> {
    let mut body = BytesMut::new();
    let lost = |e: Box<pingora::Error>| {
        Refusal::new(RefusalCode::RequestTimeout, format!("the form did not arrive: {}", e.etype.as_str()))
    };
    while let Some(piece) = session.read_request_body().await.map_err(lost)? {
        if body.len().saturating_add(piece.len()) > OWN_BODY_BYTES_MAX {
            let detail = format!("a form of more than {OWN_BODY_BYTES_MAX} bytes");
            return Err(Refusal::new(RefusalCode::BodyTooLarge, detail));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}
