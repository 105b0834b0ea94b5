//! Is this a request, to whom, and from where?
//!
//! Structure only: nothing here trusts the client. What could be read in two ways is refused.

use std::net::IpAddr;
use std::sync::Arc;

use doorward_audit::Protocol;
use doorward_audit::trail::{Arrival, HttpVersion, TraceIds};
use doorward_identity::session::SESSION_COOKIE;
use doorward_identity::{ClientCertificate, Credential, cookies, own as tokens};
use doorward_model::directory::TokenHash;
use doorward_model::{Refusal, RefusalCode, UnixMillis, limits};
use doorward_policy::Action;
use http::{HeaderMap, Version, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use crate::devices;
use crate::gate::Running;
use crate::listen::Handshake;
use crate::pipeline::House;
use crate::pipeline::record::Story;
use crate::routes::{Resolved, Unresolved, host_name};
use crate::upstream::Streaming;
pub(super) use ends::peer_ip;
use ends::{authority_of, client_address, is_https};
use page::Here;

mod bytes;
mod ends;
pub(crate) mod own;
pub(crate) mod page;

/// Proof that a request is well-formed and leads to one route.
pub struct Accepted {
    resolved: Resolved,
    action: Action,
    host: String,
    authority: String,
    client: IpAddr,
    now: UnixMillis,
    https: bool,
    streaming: Streaming,
    user_agent: Option<String>,
    certificate: Option<Arc<ClientCertificate>>,
    /// That of the connection, whether the app looks at it or not.
    connection: Option<Arc<ClientCertificate>>,
    credential: Held,
}

/// What was presented to say who asks. Of a token of ours no more than its hash is kept.
pub(crate) enum Held {
    /// A token of an issuer, not yet verified.
    Bearer(String),
    /// A token that was made here for a service account, not yet looked up.
    Service(TokenHash),
    /// The cookie of a browser's session, not yet opened.
    Session(Arc<str>),
    /// Nothing.
    Nothing,
}

impl Accepted {
    /// App, route and path.
    #[must_use]
    pub const fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    /// What is to be done.
    #[must_use]
    pub const fn action(&self) -> Action {
        self.action
    }

    /// The host, without port, in lower case.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host as the client named it, in lower case, with the port if there was one.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The client's address, behind the proxies that are trusted.
    #[must_use]
    pub const fn client(&self) -> IpAddr {
        self.client
    }

    /// When the request arrived.
    #[must_use]
    pub const fn now(&self) -> UnixMillis {
        self.now
    }

    /// Whether the client speaks TLS, to us or to the proxy before us that is trusted.
    #[must_use]
    pub const fn https(&self) -> bool {
        self.https
    }

    /// Whether the exchange may be silent for long.
    pub(crate) const fn streaming(&self) -> Streaming {
        self.streaming
    }

    /// The header `User-Agent`, if it is text.
    #[must_use]
    pub fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_deref()
    }

    /// The certificate of the device, which stood when the request came. None where none was shown, and where the
    /// app does not look at it.
    #[must_use]
    pub fn client_certificate(&self) -> Option<&Arc<ClientCertificate>> {
        self.certificate.as_ref()
    }

    /// The certificate of the connection, for what is bound to it. It may not stand, and the app may not look at it.
    pub(crate) fn connection_certificate(&self) -> Option<&ClientCertificate> {
        self.connection.as_deref()
    }

    /// Whether nobody has to sign in for the route.
    pub(crate) fn is_public(&self) -> bool {
        self.resolved.route().is_some_and(|route| route.facts.public)
    }

    /// What was presented.
    pub(crate) const fn credential(&self) -> &Held {
        &self.credential
    }
}

/// The host that a request names, without port, in lower case.
pub(crate) fn host_of(request: &RequestHeader) -> Option<String> {
    authority_of(request).as_deref().and_then(host_name).map(str::to_owned)
}

fn bad(detail: impl Into<String>) -> Refusal {
    Refusal::new(RefusalCode::BadRequest, detail)
}

/// A request whose form is good. Where it leads, and whether anybody may ask for that, is still open.
pub(crate) struct Looked {
    now: UnixMillis,
    peer: IpAddr,
    client: Result<IpAddr, Refusal>,
    https: bool,
    handshake: Option<Handshake>,
    host: String,
    authority: String,
    upgrade: bool,
    action: Action,
    resolved: Result<Resolved, Unresolved>,
}

/// Begins the story of what is refused before it is known what is asked for.
pub(crate) fn arrived(house: &House, session: &Session, story: &mut Story) {
    let (request, peer, now) = (session.req_header(), peer_ip(session), (house.clock)());
    let host = host_of(request).unwrap_or_default();
    begin(story, request, &host, None, peer, now, house);
    story.enforced_by(peer);
}

/// Checks the structure of a request.
pub(crate) fn look(
    house: &House,
    session: &Session,
    running: &Running,
    story: &mut Story,
) -> Result<Looked, Refusal> {
    let request = session.req_header();
    let now = running.slot.started_at().max((house.clock)());
    let peer = peer_ip(session);
    let handshake = session
        .digest()
        .and_then(|d| d.ssl_digest.as_ref())
        // That of another proxy says nothing of the client.
        .filter(|_| !running.decides)
        .map(|d| d.extension.get::<Handshake>().cloned().unwrap_or_default());
    let authority = authority_of(request);
    let host = authority.as_deref().and_then(host_name).map(str::to_owned);
    let resolved = host.as_deref().map(|h| house.routes.resolve(h, request.uri.path()));
    begin(story, request, host.as_deref().unwrap_or_default(), resolved.as_ref(), peer, now, house);
    if running.decides {
        story.enforced_by(peer);
    }

    let peer = peer.ok_or_else(|| Refusal::new(RefusalCode::Internal, "the peer has no IP address"))?;
    let client = client_address(house, peer, &request.headers);
    if let Ok(client) = &client {
        story.came_from(*client);
    }
    let https = is_https(house, peer, handshake.is_some(), &request.headers);
    check_size(request, house)?;
    let upgrade = is_websocket(session, &request.headers)?;
    let action = action(request.method.as_str(), upgrade)?;
    check_framing(request)?;
    let host = host.ok_or_else(|| bad("the host is missing, given twice, or not a host name"))?;
    if let Some(handshake) = &handshake
        && handshake.server_name.as_deref().is_some_and(|sni| sni != host)
    {
        return Err(Refusal::new(RefusalCode::Misdirected, "the TLS handshake named another host"));
    }
    check_target(request, &host)?;
    if running.decides {
        check_passed_on(request, resolved.as_ref())?;
    } else if let Some(h1) = session.as_downstream().as_http1() {
        bytes::check(&h1.get_headers_raw_bytes(), &host).map_err(bad)?;
    }
    check_query(request)?;
    let resolved = resolved.unwrap_or(Err(Unresolved::NoHost));
    let authority = authority.unwrap_or_default();
    Ok(Looked { now, peer, client, https, handshake, host, authority, upgrade, action, resolved })
}

fn action(method: &str, upgrade: bool) -> Result<Action, Refusal> {
    match (upgrade, Action::from_method(method)) {
        (_, None) => {
            let detail =
                format!("the method `{}` is not forwarded", method.chars().take(20).collect::<String>());
            Err(Refusal::new(RefusalCode::MethodNotAllowed, detail))
        }
        (true, Some(Action::Get)) => Ok(Action::Upgrade),
        (true, Some(_)) => Err(bad("a WebSocket is opened with GET")),
        (false, Some(action)) => Ok(action),
    }
}

/// Resolves the route of a request, and finds what it presents.
pub(crate) fn accept(
    house: &House,
    session: &Session,
    running: &Running,
    looked: Looked,
    story: &mut Story,
) -> Result<Accepted, Refusal> {
    let request = session.req_header();
    let Looked { now, peer: _, client, https, handshake, host, authority, upgrade, action, resolved } =
        looked;
    let resolved = resolved.map_err(|why| match why {
        Unresolved::NoHost => Refusal::new(RefusalCode::NoRoute, "no app has this host"),
        Unresolved::NoPath => Refusal::new(RefusalCode::NoRoute, "no app of this host has this path"),
        Unresolved::Path(fault) => bad(fault.as_str()),
    })?;
    if let Some(route) = resolved.route() {
        story.routed(&route.facts.id);
    }
    let client = client?;
    let app = &resolved.app.app;
    if let (Some(max), Some(length)) = (app.request_body_bytes_max, content_length(&request.headers))
        && length > max
    {
        return Err(Refusal::new(RefusalCode::BodyTooLarge, format!("{length} bytes, {max} are allowed")));
    }
    if upgrade && resolved.app.upstream.speaks_h2() {
        // It could only answer as to a plain GET, which nobody asked the policies about.
        return Err(bad("a WebSocket was asked for, but HTTP/2 is spoken to the app"));
    }
    let certificate = devices::shown(handshake.as_ref(), app, now)?;
    let credential = presented(house, request, https)?;
    let here = Here { host: &host, https, by_session: matches!(credential, Held::Session(_)) };
    if upgrade {
        page::check_websocket(request, &here, app)?;
    }
    page::check_site(request, &here, app)?;
    Ok(Accepted {
        action,
        host,
        authority,
        client,
        now,
        https,
        streaming: streaming(running.slot.protocol(), upgrade, &request.headers),
        user_agent: text(&request.headers, &header::USER_AGENT),
        certificate,
        connection: handshake.and_then(|handshake| handshake.certificate?.ok()),
        credential,
        resolved,
    })
}

/// What says who asks. Where a header does, a cookie is not looked at: whoever adds a header means it, and a browser
/// adds cookies unasked. A session is taken over TLS only.
fn presented(house: &House, request: &RequestHeader, https: bool) -> Result<Held, Refusal> {
    let lines = |name| request.headers.get_all(name).iter().map(|value| value.as_bytes());
    match Credential::from_headers(lines(header::AUTHORIZATION))? {
        Credential::Bearer(token) => Ok(Held::Bearer(token.to_owned())),
        Credential::Service(token) => Ok(Held::Service(tokens::hash(token))),
        Credential::NotPresented if house.sign_in.is_none() || !https => Ok(Held::Nothing),
        Credential::NotPresented => {
            let cookie = cookies::ours(lines(header::COOKIE), SESSION_COOKIE)?;
            Ok(cookie.map_or(Held::Nothing, |cookie| Held::Session(cookie.into())))
        }
    }
}

/// Begins the story with the path that was matched; where none was, with what was sent.
fn begin(
    story: &mut Story,
    request: &RequestHeader,
    host: &str,
    resolved: Option<&Result<Resolved, Unresolved>>,
    peer: Option<IpAddr>,
    now: UnixMillis,
    house: &House,
) {
    let version = match request.version {
        Version::HTTP_2 => HttpVersion::Http2,
        Version::HTTP_10 => HttpVersion::Http10,
        _ => HttpVersion::Http11,
    };
    let from_proxy = peer.is_some_and(|p| house.proxies.trusts(p));
    let inbound =
        from_proxy.then(|| text(&request.headers, &header::HeaderName::from_static("traceparent"))).flatten();
    let trace = trace_ids(inbound.as_deref());
    let request_id = Arc::clone(story.request_id());
    story.arrived(Arrival {
        request_id: &request_id,
        received_at: now,
        method: request.method.as_str(),
        host,
        path: match resolved {
            Some(Ok(resolved)) => resolved.path.as_str(),
            Some(Err(_)) | None => request.uri.path(),
        },
        http_version: version,
        user_agent: request.headers.get(header::USER_AGENT).map(|v| v.as_bytes()),
        peer: peer.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)),
        trace: Some(trace),
    });
}

/// A trace of our own, or the one that a trusted proxy began (W3C Trace Context §3.2).
fn trace_ids(inbound: Option<&str>) -> TraceIds {
    let span_id = uuid::Uuid::new_v4().as_u64_pair().0.to_be_bytes();
    let parent = inbound.and_then(|t| {
        let mut parts = t.split('-');
        let (version, id) = (parts.next()?, parts.next()?);
        let valid =
            version == "00" && id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        u128::from_str_radix(id, 16).ok().filter(|id| valid && *id != 0)
    });
    TraceIds { trace_id: parent.unwrap_or_else(|| uuid::Uuid::new_v4().as_u128()).to_be_bytes(), span_id }
}

fn text(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
}

fn check_size(request: &RequestHeader, house: &House) -> Result<(), Refusal> {
    let limits = &house.limits;
    let target = request.uri.path_and_query().map_or(0, |p| p.as_str().len());
    let bytes: usize = request.headers.iter().map(|(n, v)| n.as_str().len() + v.len() + 4).sum();
    if request.headers.len() > limits.header_count_max || bytes > limits.header_bytes_max {
        let detail = format!("{} header lines with {bytes} bytes", request.headers.len());
        return Err(Refusal::new(RefusalCode::HeaderTooLarge, detail));
    }
    if target > limits::TARGET_BYTES_MAX {
        return Err(Refusal::new(RefusalCode::HeaderTooLarge, format!("a request target of {target} bytes")));
    }
    Ok(())
}

/// One body length, told in one way (RFC 9112 §6.1, §6.3).
fn check_framing(request: &RequestHeader) -> Result<(), Refusal> {
    let headers = &request.headers;
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(bad("`transfer-encoding` is something else than `chunked`, once"));
        }
        if headers.contains_key(header::CONTENT_LENGTH) {
            return Err(bad("the request has `transfer-encoding` and `content-length`"));
        }
        if request.version == Version::HTTP_10 {
            return Err(bad("HTTP/1.0 has no `transfer-encoding`"));
        }
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next()
        && (lengths.next().is_some()
            || length.is_empty()
            || !length.as_bytes().iter().all(u8::is_ascii_digit))
    {
        return Err(bad("`content-length` is not one number"));
    }
    Ok(())
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether a WebSocket is asked for, in the one way that RFC 6455 §4.1 knows. Another upgrade is
/// not an error: it is stripped, as hop-by-hop headers are.
fn is_websocket(session: &Session, headers: &HeaderMap) -> Result<bool, Refusal> {
    let wants = headers
        .get_all(header::UPGRADE)
        .iter()
        .any(|v| v.as_bytes().to_ascii_lowercase().windows(9).any(|w| w == b"websocket"));
    if !wants || !session.is_upgrade_req() {
        return Ok(false);
    }
    let mut upgrades = headers.get_all(header::UPGRADE).iter();
    let exact = upgrades.next().is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let nominated = headers
        .get_all(header::CONNECTION)
        .iter()
        .any(|v| v.to_str().is_ok_and(|v| v.split(',').any(|t| t.trim().eq_ignore_ascii_case("upgrade"))));
    if !exact || upgrades.next().is_some() || !nominated {
        return Err(bad("a WebSocket is asked for in a way that servers read differently"));
    }
    // What follows the header of an upgrade is not the body of a request (S16).
    if headers.contains_key(header::TRANSFER_ENCODING) || content_length(headers).is_some_and(|l| l > 0) {
        return Err(bad("a request for a WebSocket has no body"));
    }
    Ok(true)
}

/// The request target must be in origin form, or in absolute form with the authority that the
/// host says (RFC 9112 §3.2). A fragment has no place in it.
fn check_target(request: &RequestHeader, host: &str) -> Result<(), Refusal> {
    let uri = &request.uri;
    if let Some(authority) = uri.authority()
        && host_name(&authority.as_str().to_ascii_lowercase()) != Some(host)
    {
        return Err(bad("the request target names another host"));
    }
    if let Some(scheme) = uri.scheme_str()
        && !matches!(scheme, "http" | "https")
    {
        return Err(bad("the request target has a scheme that is not HTTP"));
    }
    Ok(())
}

/// Where another proxy passes a request on, the app gets the path as it came, and not as it was matched.
fn check_passed_on(
    request: &RequestHeader,
    resolved: Option<&Result<Resolved, Unresolved>>,
) -> Result<(), Refusal> {
    match resolved {
        Some(Ok(resolved)) if resolved.path.as_str() != request.uri.path() => {
            Err(bad("the path is not in its normal form, which another proxy would pass on as it is"))
        }
        Some(Ok(_) | Err(_)) | None => Ok(()),
    }
}

/// A query is passed on as it is, so it must not hold what ends a request line or a URL.
fn check_query(request: &RequestHeader) -> Result<(), Refusal> {
    let query = request.uri.query().unwrap_or_default();
    if query.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        return Ok(());
    }
    Err(bad("the query has a byte that must be escaped"))
}

fn streaming(protocol: Protocol, upgrade: bool, headers: &HeaderMap) -> Streaming {
    let events = headers.get_all(header::ACCEPT).iter().any(|line| {
        line.as_bytes().split(|b| *b == b',').any(|media| {
            let name = media.split(|b| *b == b';').next().unwrap_or_default();
            name.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
        })
    });
    match (upgrade || protocol == Protocol::Grpc, events) {
        (true, _) => Streaming::Yes,
        (false, true) => Streaming::Perhaps,
        (false, false) => Streaming::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_streams_are_asked_for_in_any_line_and_place() {
        for (lines, perhaps) in [
            (&["text/event-stream"][..], true),
            (&["application/json, text/event-stream"], true),
            (&["application/json", "Text/Event-Stream;q=0.5"], true),
            (&["*/*"], false),
            (&["application/json;profile=text/event-stream"], false),
            (&["text/event-streams"], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::ACCEPT, line.parse().unwrap());
            }
            let expected = if perhaps { Streaming::Perhaps } else { Streaming::No };
            assert_eq!(streaming(Protocol::Http1, false, &headers), expected, "{lines:?}");
            assert_eq!(streaming(Protocol::Grpc, false, &headers), Streaming::Yes);
            assert_eq!(streaming(Protocol::Http1, true, &headers), Streaming::Yes);
        }
    }
}
