//! Who is at the other end, and whom they name: what stages after this one take for the client and
//! for the host.

use std::net::IpAddr;

use doorward_model::Refusal;
use http::{HeaderMap, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use crate::pipeline::House;

/// The other end of the connection.
pub(in crate::pipeline) fn peer_ip(session: &Session) -> Option<IpAddr> {
    match session.client_addr()? {
        pingora::protocols::l4::socket::SocketAddr::Inet(a) => Some(a.ip().to_canonical()),
        pingora::protocols::l4::socket::SocketAddr::Unix(_) => None,
    }
}

/// The one authority of a request, in lower case (RFC 9112 §3.2, RFC 9113 §8.3.1).
pub(super) fn authority_of(request: &RequestHeader) -> Option<String> {
    let mut hosts = request.headers.get_all(header::HOST).iter();
    let header = hosts.next();
    if hosts.next().is_some() {
        return None;
    }
    let header = header.map(|h| h.to_str().ok().map(str::to_ascii_lowercase));
    let authority = request.uri.authority().map(|a| a.as_str().to_ascii_lowercase());
    match (header, authority) {
        (Some(None), _) | (None, None) => None,
        (Some(Some(header)), Some(authority)) if header != authority => None,
        (Some(Some(header)), _) => Some(header),
        (None, Some(authority)) => Some(authority),
    }
}

/// Whether the client speaks TLS: a trusted proxy says so in one word, otherwise the connection does.
pub(super) fn is_https(house: &House, peer: IpAddr, tls: bool, headers: &HeaderMap) -> bool {
    if !house.proxies.trusts(peer) {
        return tls;
    }
    let mut values = headers.get_all("x-forwarded-proto").iter();
    match (values.next(), values.next()) {
        (Some(value), None) if value.as_bytes().eq_ignore_ascii_case(b"https") => true,
        (Some(value), None) if value.as_bytes().eq_ignore_ascii_case(b"http") => false,
        (_, _) => tls,
    }
}

/// The client, behind the proxies that are trusted.
pub(super) fn client_address(house: &House, peer: IpAddr, headers: &HeaderMap) -> Result<IpAddr, Refusal> {
    if house.proxies.is_nobody() {
        return Ok(peer);
    }
    let values: Vec<&[u8]> =
        headers.get_all(house.proxies.header().name()).iter().map(|v| v.as_bytes()).collect();
    house.proxies.client_address(peer, &values)
}
