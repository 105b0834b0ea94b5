//! What stands before every answer: who asks, how fast, and how much (RFC 7644 §2, RFC 6750 §2.1).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use doorward_model::UnixMillis;
use doorward_model::limits::HEADER_BYTES_MAX;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::OwnedSemaphorePermit;

use super::answer::Failure;
use super::endpoint::ROOT;
use super::{Scim, Welcome};
use crate::intake::connection::{Connection, ConnectionToken, is_due};
use crate::scim::bounds::BODY_BYTES_MAX;
use crate::scim::{ErrorKind, ScimError};

/// How long a body may take to arrive, in seconds.
pub const BODY_SECONDS_MAX: u64 = 30;
/// The longest name of a host that is repeated in an answer, in bytes.
const HOST_BYTES_MAX: usize = 255;

/// Who asks, once it is known.
pub(crate) struct Caller {
    pub(crate) connection: Connection,
    /// The URL of the service, as the client calls it.
    pub(crate) base: String,
    pub(crate) request_id: Arc<str>,
    pub(crate) now: UnixMillis,
    /// Its place among the requests of the connection that are worked on, held until they end.
    pub(crate) _place: OwnedSemaphorePermit,
}

/// Calls without a good token, of which at most one a second is told: whoever knocks must not be
/// able to fill the log.
#[derive(Default)]
pub(crate) struct Knocks {
    second: AtomicI64,
    untold: AtomicU64,
}

impl Knocks {
    /// How many were not told before this one, if this one is to be.
    pub(crate) fn due(&self, now: UnixMillis) -> Option<u64> {
        if self.second.swap(now.seconds(), Ordering::AcqRel) == now.seconds() {
            self.untold.fetch_add(1, Ordering::AcqRel);
            return None;
        }
        Some(self.untold.swap(0, Ordering::AcqRel))
    }
}

/// Finds out who asks.
pub(crate) async fn admit(scim: &Scim, parts: &Parts, request_id: Arc<str>) -> Result<Caller, Failure> {
    if header_bytes(parts) > HEADER_BYTES_MAX {
        let detail = format!("the header has more than {HEADER_BYTES_MAX} bytes");
        return Err(ScimError::new(ErrorKind::TooLarge, detail).into());
    }
    let now = (scim.clock)();
    let connection = match token(&parts.headers) {
        None => None,
        Some(token) => {
            let known = scim.connections.admit(&token).await.map_err(|error| {
                tracing::error!(%error, "it cannot be looked up whose token was shown");
                ScimError::new(ErrorKind::Unavailable, "who asks cannot be looked up right now; try again")
            })?;
            known.map(|connection| (connection, token.hash()))
        }
    };
    let Some((connection, hash)) = connection else {
        if let Some(untold) = scim.knocks.due(now) {
            tracing::warn!(request_id = &*request_id, untold, "a SCIM request without a good token");
        }
        let detail = "show the token of the connection as `Authorization: Bearer dwscim_…`; if this is it, it was \
                      revoked or mistyped";
        return Err(ScimError::new(ErrorKind::Unauthorized, detail).into());
    };
    if let Some(welcome) = parts.extensions.get::<Welcome>() {
        welcome.known();
    }
    let place = scim.paces.admit(&connection.id, now).map_err(|seconds| {
        let detail = "this connection asks too much at once; come back when `Retry-After` says";
        Failure::from(ScimError::new(ErrorKind::TooManyRequests, detail)).after(seconds)
    })?;
    if connection.tokens.iter().any(|known| known.hash == hash && is_due(known, now)) {
        let (connections, id) = (scim.connections.clone(), connection.id.clone());
        tokio::spawn(async move { connections.used(&id, hash, now).await });
    }
    let base = match &scim.public_url {
        Some(url) => format!("{}{ROOT}", url.trim_end_matches('/')),
        None => format!("{}://{}{ROOT}", scim.scheme, host(parts)),
    };
    Ok(Caller { connection, base, request_id, now, _place: place })
}

/// The token, shown once, in the one form of RFC 6750 §2.1.
fn token(headers: &HeaderMap) -> Option<ConnectionToken> {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let (Some(shown), None) = (shown.next(), shown.next()) else { return None };
    let (scheme, token) = shown.to_str().ok()?.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case("Bearer ").then(|| ConnectionToken::read(token.trim())).flatten()
}

/// The host that the client called. It is told back to this client alone, in URLs.
fn host(parts: &Parts) -> String {
    let named = parts.uri.authority().map(|authority| authority.as_str().to_owned());
    let named = named.or_else(|| Some(parts.headers.get(HOST)?.to_str().ok()?.to_owned()));
    let fits = |host: &String| {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']' | b'_');
        !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.bytes().all(good)
    };
    named.filter(fits).unwrap_or_else(|| "localhost".to_owned())
}

/// The size of a header. The connection has a bound of its own, which it only sees after a read.
fn header_bytes(parts: &Parts) -> usize {
    let target = parts.uri.path_and_query().map_or(0, |p| p.as_str().len());
    parts.headers.iter().fold(target, |sum, (name, value)| sum + name.as_str().len() + value.len())
}

/// The lines of one header, joined as one.
pub(crate) fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Vec<&str> = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or("?")).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

/// The body of a request, whole and within its bounds.
pub(crate) async fn body(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Failure> {
    let refuse = |kind, detail: &str| Failure::from(ScimError::new(kind, detail));
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(refuse(ErrorKind::InvalidSyntax, "send the body without `Content-Encoding`"));
    }
    if let Some(written) = headers.get(CONTENT_TYPE) {
        let essence = written.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let known = ["application/scim+json", "application/json"];
        if !known.iter().any(|known| known.eq_ignore_ascii_case(essence)) {
            return Err(refuse(
                ErrorKind::InvalidSyntax,
                "send the body as `Content-Type: application/scim+json`",
            ));
        }
    }
    let too_large = || {
        let detail = format!("a body has at most {BODY_BYTES_MAX} bytes; send it in parts");
        Failure::from(ScimError::new(ErrorKind::TooLarge, detail))
    };
    let seconds = Duration::from_secs(BODY_SECONDS_MAX);
    match tokio::time::timeout(seconds, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(refuse(ErrorKind::InvalidSyntax, "the body ended early")),
        Err(_) => Err(refuse(ErrorKind::InvalidSyntax, "the body did not arrive in time")),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_token_is_shown_once_and_in_one_form() {
        let good = ConnectionToken::from_random([7; 32]);
        let text = good.expose();
        let read = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(AUTHORIZATION, HeaderValue::from_str(line).unwrap());
            }
            token(&headers)
        };
        let bearer = format!("Bearer {text}");
        assert_eq!(read(&[&bearer]), Some(good.clone()));
        assert_eq!(read(&[&format!("bEARER  {text}")]), Some(good.clone()));
        for lines in
            [vec![], vec![&*bearer, &*bearer], vec![text], vec!["Basic x"], vec!["Bearer x"], vec!["Bearer"]]
        {
            assert_eq!(read(&lines), None, "{lines:?}");
        }
    }

    #[test]
    fn a_host_that_is_none_is_not_told_back() {
        let parts = |host: &str| {
            let request = axum::http::Request::builder().uri("/scim/v2/Users").header(HOST, host);
            request.body(()).unwrap().into_parts().0
        };
        assert_eq!(super::host(&parts("gate.example:8443")), "gate.example:8443");
        assert_eq!(super::host(&parts("[::1]:1")), "[::1]:1");
        assert_eq!(super::host(&parts("a/b")), "localhost");
        assert_eq!(super::host(&parts(&"x".repeat(300))), "localhost");
    }
}
