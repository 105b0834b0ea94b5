//! Decides for another proxy, which then lets a request pass or does not: "forward-auth", and Envoy's `ext_authz`.
//!
//! ```text
//!  client ─► other proxy ──────────────────► app
//!                │  ▲
//!   what it was  │  │ 200 and who it is, or no
//!   asked for    ▼  │
//!              a listener that `decides`
//! ```
//! What such a listener is asked becomes the request that the other proxy was asked, and goes through the same
//! stages as any. What is left out is what only the own connection of a client can show: its handshake, its bytes,
//! its certificate. What could be read in two ways is refused here too, and more of it: the app gets the path as
//! the other proxy sends it, so only a path in normal form passes.
//!
//! Only `network.trusted_proxies` may ask, and no answer to a refusal has a status that an asker takes for a yes.
//! What the other proxy then does is out of reach: nothing that runs is ended here, no body is bounded, and that no
//! shared cache keeps an answer with a renewed cookie is for its configuration to say (Envoy is told).

use std::net::IpAddr;
use std::sync::Arc;

use doorward_model::{Refusal, RefusalCode};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::authorize::Permit;
use super::{Admitted, Door, Exchange, House, accept, forward, write};
use crate::answer::Answer;
use crate::headers;
use crate::routes::host_name;
use check::CheckResponse;

mod call;
mod check;
mod envoy;

/// How another proxy says what it was asked for, and what it can do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// `X-Original-URL` and `X-Original-Method`. Of what is no 200, it knows 401 and 403 (nginx).
    Original,
    /// `X-Forwarded-Method`, `-Proto`, `-Host` and `-Uri`. It hands on what it is answered (Traefik, Caddy).
    Forwarded,
    /// A call of gRPC. It hands on what it is told to, and changes the request as it is told to (Envoy).
    Envoy,
}

/// Who asks for a decision, and how.
pub(crate) struct Asked {
    manner: Manner,
    /// The method of the question itself, which says whether the answer may have a body.
    method: Method,
    /// What the client sent, as far as the asker can be told what to change of it.
    sent: HeaderMap,
}

impl Asked {
    /// A question that is no good one. In which manner it is answered tells its asker no more than how to refuse.
    fn as_far_as_told(request: &RequestHeader) -> Self {
        let manner = match request.headers.contains_key(URL) {
            _ if call::is_one(request) => Manner::Envoy,
            true => Manner::Original,
            false => Manner::Forwarded,
        };
        Self { manner, method: request.method.clone(), sent: HeaderMap::new() }
    }
}

/// What another proxy was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Original {
    manner: Manner,
    method: Method,
    https: bool,
    authority: String,
    target: PathAndQuery,
}

const URL: &str = "x-original-url";
const METHOD: &str = "x-original-method";
const FORWARDED: [&str; 4] =
    ["x-forwarded-method", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-uri"];
/// Where a browser is to be sent, for a proxy that cannot hand on a redirect.
const LOCATION: &str = "x-doorward-location";
/// The cookies that the app may see.
const COOKIE: &str = "x-doorward-cookie";

impl Door {
    /// Answers whether a request may pass.
    pub(super) async fn decide(&self, session: &mut Session, exchange: &mut Exchange) -> Result<()> {
        let verdict = self.verdict(session, exchange).await;
        if let Some(running) = &exchange.running {
            // The connection is the other proxy's, and carries what many people ask: nobody's end is its end.
            running.leave();
        }
        match verdict {
            Ok(permit) => self.let_pass(session, exchange, &permit).await,
            Err(refusal) => self.refuse(session, exchange, &refusal).await,
        }
    }

    async fn verdict(&self, session: &mut Session, exchange: &mut Exchange) -> Result<Arc<Permit>, Refusal> {
        let house = &self.0;
        let asked = exchange.asked.insert(Asked::as_far_as_told(session.req_header()));
        let request = match asked.manner {
            Manner::Envoy => call::question(house, session).await,
            Manner::Original | Manner::Forwarded => question(house, session),
        };
        match request {
            Ok((request, sent)) => {
                asked.sent = sent;
                *session.req_header_mut() = request;
            }
            Err(refusal) => {
                accept::arrived(house, session, &mut exchange.story);
                return Err(refusal);
            }
        }
        match self.admit(session, exchange).await? {
            Admitted::Passes(permit) => Ok(permit),
            Admitted::Ours(_) => {
                let detail = "a page of ours was asked about: let the other proxy send `/.doorward/` to a listener \
                    that does not decide";
                Err(Refusal::new(RefusalCode::NoRoute, detail))
            }
        }
    }

    /// Says yes, and who asks.
    async fn let_pass(&self, session: &mut Session, exchange: &mut Exchange, permit: &Permit) -> Result<()> {
        let mut told = session.req_header().clone();
        forward::prepare(&self.0, permit, &mut told, &exchange.story)?;
        let host = permit.accepted().host();
        let yes = match &exchange.asked {
            Some(Asked { manner: Manner::Envoy, sent, .. }) => {
                let mut renewed = ResponseHeader::build(StatusCode::OK, Some(2))?;
                exchange.caller.renew(&self.0, host, &mut renewed)?;
                if renewed.headers.contains_key(header::SET_COOKIE) {
                    // It takes the place of what the app says of caches, so it must be as strict as any.
                    renewed.insert_header(header::CACHE_CONTROL, "private, no-store")?;
                }
                Yes::Call(envoy::passes(sent, &told.headers, &renewed.headers))
            }
            Some(_) | None => Yes::Header(self.by_header(exchange, host, &told)?),
        };
        self.0.metrics.answered_another("pass");
        let recorded = exchange.story.answered(StatusCode::OK.as_u16(), exchange.running.as_deref());
        if permit.must_be_recorded() && recorded == doorward_audit::Recorded::Dropped {
            return Err(forward::unrecorded());
        }
        match yes {
            Yes::Header(head) => {
                self.answer_asker(session, exchange, Answer { head, body: Vec::new() }).await
            }
            Yes::Call(yes) => call::answer(session, &yes).await,
        }
    }

    /// Who asks, as the header of an answer, for a proxy that copies it.
    fn by_header(&self, exchange: &Exchange, host: &str, told: &RequestHeader) -> Result<ResponseHeader> {
        let mut head = ResponseHeader::build(StatusCode::OK, Some(12))?;
        head.insert_header(header::CONTENT_LENGTH, 0)?;
        head.insert_header(header::CACHE_CONTROL, "no-store")?;
        // One that is not there would leave what the client wrote, with a proxy that copies only what is there.
        for name in headers::IDENTITY {
            let value = told.headers.get(&name).cloned().unwrap_or_else(|| HeaderValue::from_static(""));
            head.insert_header(name, value)?;
        }
        head.insert_header(headers::REQUEST_ID, exchange.story.request_id().as_ref())?;
        let cookie = told.headers.get(header::COOKIE).cloned();
        head.insert_header(COOKIE, cookie.unwrap_or_else(|| HeaderValue::from_static("")))?;
        exchange.caller.renew(&self.0, host, &mut head)?;
        Ok(head)
    }

    /// Writes an answer to what was really asked, which may be by another method.
    pub(super) async fn answer_asker(
        &self,
        session: &mut Session,
        exchange: &Exchange,
        mut written: Answer,
    ) -> Result<()> {
        if let Some(asked) = &exchange.asked {
            session.req_header_mut().set_method(asked.method.clone());
            if asked.manner == Manner::Envoy {
                return call::answer(session, &envoy::refuses(&written)).await;
            }
            if asked.method == Method::HEAD {
                written.body.clear();
            }
        }
        write(session, written).await
    }

    /// Makes a no one that the asker understands.
    pub(super) fn tell_asker(&self, asked: Option<&Asked>, head: &mut ResponseHeader) -> Result<()> {
        let away = head.status.is_redirection();
        self.0.metrics.answered_another(if away { "sign_in" } else { "refused" });
        let manner = asked.map_or(Manner::Forwarded, |asked| asked.manner);
        if manner == Manner::Original
            && let Some(location) = head.remove_header(&header::LOCATION)
        {
            head.insert_header(LOCATION, location)?;
        }
        head.set_status(status(manner, head.status))
    }
}

/// A yes, as its asker understands it.
enum Yes {
    Header(ResponseHeader),
    Call(CheckResponse),
}

/// The status by which an asker understands a no. A success would be a yes.
fn status(manner: Manner, status: StatusCode) -> StatusCode {
    match manner {
        _ if status.is_server_error() => status,
        _ if status.is_success() || status.is_informational() => StatusCode::FORBIDDEN,
        Manner::Forwarded | Manner::Envoy => status,
        Manner::Original if status.is_redirection() || status == StatusCode::UNAUTHORIZED => {
            StatusCode::UNAUTHORIZED
        }
        Manner::Original => StatusCode::FORBIDDEN,
    }
}

/// The request that is asked about, and what the client sent of its header where the answer may change it.
type Read = (RequestHeader, HeaderMap);

fn may_ask(house: &House, session: &Session) -> Result<(), Refusal> {
    let peer: Option<IpAddr> = accept::peer_ip(session);
    if peer.is_some_and(|peer| house.proxies.trusts(peer)) {
        return Ok(());
    }
    let detail = "only a proxy of `network.trusted_proxies` may ask for decisions";
    Err(Refusal::new(RefusalCode::Misdirected, detail))
}

/// Reads what is asked by a header, of whoever may ask.
fn question(house: &House, session: &mut Session) -> Result<Read, Refusal> {
    may_ask(house, session)?;
    let original = Original::read(&session.req_header().headers)?;
    if session.req_header().method == Method::CONNECT || !session.is_body_empty() {
        return Err(bad(
            "a question has no body: with nginx, `proxy_pass_request_body off;` and `proxy_set_header \
             Content-Length \"\";`",
        ));
    }
    let mut request = session.req_header().clone();
    original.becomes(&mut request).map_err(unwritten)?;
    Ok((request, HeaderMap::new()))
}

fn unwritten(why: Box<Error>) -> Refusal {
    bad(format!("what was asked for cannot be written: {why}"))
}

impl Original {
    /// Reads it from the header of a question.
    fn read(headers: &HeaderMap) -> Result<Self, Refusal> {
        if let Some(name) = headers.keys().find(|name| headers::is_ours(name.as_str())) {
            return Err(bad(format!("the client sent `{name}`, which only we may say")));
        }
        if let Some(name) = headers.keys().find(|name| headers::steers(name.as_str())) {
            return Err(bad(format!(
                "the client sent `{name}`, by which an app may take the request for another than the one that is \
                 decided about: let the other proxy remove it"
            )));
        }
        check_protocol(headers)?;
        let original = [URL, METHOD].iter().any(|name| headers.contains_key(*name));
        // `X-Forwarded-Proto` and `-Host` are written by many a proxy that asks in the other manner.
        let forwarded =
            ["x-forwarded-method", "x-forwarded-uri"].iter().any(|name| headers.contains_key(*name));
        match (original, forwarded) {
            (true, true) => Err(bad(format!(
                "`{URL}` and `x-forwarded-uri` tell of two requests: with nginx, `proxy_set_header X-Forwarded-Uri \
                 \"\";` and `proxy_set_header X-Forwarded-Method \"\";`, and else remove `X-Original-*`"
            ))),
            (true, false) => Self::from_url(headers),
            (false, true) => Self::from_parts(headers),
            (false, false) => Err(bad(format!(
                "nothing says what is asked for: send `{URL}` and `{METHOD}` (nginx: `proxy_set_header \
                 X-Original-URL $scheme://$server_name:$server_port$request_uri;`), or `{}`",
                FORWARDED.join("`, `")
            ))),
        }
    }

    fn from_url(headers: &HeaderMap) -> Result<Self, Refusal> {
        let url = one(headers, URL)?;
        let wrong = || bad(format!("`{URL}` is no URL of http or https with a host and a path"));
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (authority, _) = rest.split_once('/').ok_or_else(wrong)?;
        let target = rest.get(authority.len()..).unwrap_or_default();
        Self::of(Manner::Original, one(headers, METHOD)?, (scheme, authority, target))
    }

    fn from_parts(headers: &HeaderMap) -> Result<Self, Refusal> {
        let [method, scheme, authority, target] = FORWARDED;
        let parts = (one(headers, scheme)?, one(headers, authority)?, one(headers, target)?);
        Self::of(Manner::Forwarded, one(headers, method)?, parts)
    }

    fn of(
        manner: Manner,
        method: &str,
        (scheme, authority, target): (&str, &str, &str),
    ) -> Result<Self, Refusal> {
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(bad("the scheme of what is asked for is neither `http` nor `https`")),
        };
        let authority = authority.to_ascii_lowercase();
        if host_name(&authority).is_none() {
            return Err(bad("the host of what is asked for is no host name"));
        }
        let plain = target.starts_with('/') && target.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        let parsed = PathAndQuery::try_from(target).ok().filter(|parsed| plain && parsed.as_str() == target);
        let target = parsed.ok_or_else(|| bad("the target of what is asked for is no path with a query"))?;
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| bad("the method of what is asked for cannot be read"))?;
        Ok(Self { manner, method, https, authority, target })
    }

    /// Makes the header of a question that of the request that is asked about.
    fn becomes(self, request: &mut RequestHeader) -> Result<()> {
        for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION] {
            request.remove_header(&name);
        }
        request.set_method(self.method);
        // The word of gRPC for a no is a 200, and is for who speaks HTTP/2.
        if request.version == Version::HTTP_2 {
            request.set_version(Version::HTTP_11);
        }
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(self.target);
        let uri = Uri::from_parts(parts)
            .map_err(|_| Error::explain(ErrorType::InternalError, "the target cannot be written"))?;
        request.set_uri(uri);
        request.insert_header(header::HOST, self.authority)?;
        request.insert_header("x-forwarded-proto", if self.https { "https" } else { "http" })
    }
}

fn check_protocol(headers: &HeaderMap) -> Result<(), Refusal> {
    if wants_another_protocol(headers) {
        return Err(bad(
            "a WebSocket, or another protocol of `Upgrade`, cannot be decided for another proxy, because it \
             could not be ended: let its path go through a listener that does not decide, or let the other \
             proxy remove `Upgrade`",
        ));
    }
    Ok(())
}

/// Whether a WebSocket may come of it (RFC 6455 §4.2.1; some proxies keep `Upgrade` to themselves), or a tunnel of
/// another protocol, such as `h2c`, in which the other proxy sees no request any more (RFC 9110 §7.8).
fn wants_another_protocol(headers: &HeaderMap) -> bool {
    headers.contains_key(header::SEC_WEBSOCKET_KEY) || headers.contains_key(header::UPGRADE)
}

/// The one value of a header.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Refusal> {
    let mut values = headers.get_all(name).iter();
    let (first, more) = (values.next(), values.next());
    let value = first.filter(|_| more.is_none()).and_then(|value| value.to_str().ok());
    value.filter(|value| !value.is_empty()).ok_or_else(|| {
        bad(format!("`{name}` is missing, given twice or not plain: let the other proxy set it to one value"))
    })
}

fn bad(detail: impl Into<String>) -> Refusal {
    Refusal::new(RefusalCode::BadRequest, detail)
}

#[cfg(test)]
mod tests;
