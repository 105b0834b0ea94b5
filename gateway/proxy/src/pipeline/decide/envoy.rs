//! Envoy asks by gRPC (`ext_authz`): what it tells becomes the request that it was asked, and what is decided becomes
//! what it changes of that request, or what it answers.
//!
//! Nothing counts but the message: the header of the call is Envoy's own. What a client wrote is not refused for its
//! name here, as Envoy takes away what it is told to: whatever of the header would not have reached the app through a
//! listener that passes on does not reach it so either.
//!
//! The client's address is the other end of Envoy's connection, and whom that one names if it is a trusted proxy
//! itself: Envoy tells a client's `X-Forwarded-For` as it came unless it is told otherwise, so it is read only behind
//! that address, which no client writes.

use std::net::IpAddr;

use doorward_context::ClientAddressHeader;
use doorward_model::{Refusal, RefusalCode};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora::http::RequestHeader;

use super::check::{
    self, AppendAction, AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse, HeaderValueOption,
    HttpRequest, HttpStatus, OkHttpResponse, Status,
};
use super::{Manner, Original, bad, unwritten};
use crate::answer::Answer;
use crate::headers;

/// `OK`, `PERMISSION_DENIED`, `UNAVAILABLE` and `UNAUTHENTICATED` (gRPC, "Status codes").
const OK: i32 = 0;
const PERMISSION_DENIED: i32 = 7;
const UNAVAILABLE: i32 = 14;
const UNAUTHENTICATED: i32 = 16;

/// What one connection says to its other end alone, and how long a body is that nobody reads here.
const OF_THE_CONNECTION: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// What Envoy asks about.
pub(super) struct Question {
    pub(super) original: Original,
    /// The header as the client sent it, and as Envoy would pass it on.
    pub(super) sent: HeaderMap,
    /// The other end of Envoy's connection.
    pub(super) source: IpAddr,
}

impl Question {
    /// Reads the whole body of a call.
    ///
    /// # Errors
    /// What is no question, or could be read as two. What was sent is not repeated.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let asked = CheckRequest::read(body)?;
        let attributes = only(&asked.attributes, "attributes")?;
        let http = only(&only(&attributes.request, "attributes.request")?.http, "attributes.request.http")?;
        let (method, scheme) = (filled(&http.method, "method")?, filled(&http.scheme, "scheme")?);
        let (host, path) = (filled(&http.host, "host")?, filled(&http.path, "path")?);
        let pseudo = [(":method", method), (":scheme", scheme), (":authority", host), (":path", path)];
        let mut sent = lines(http, &pseudo)?;
        super::check_protocol(&sent)?;
        for name in &OF_THE_CONNECTION {
            sent.remove(name);
        }
        let original = Original::of(Manner::Envoy, method, (scheme, host, path))?;
        Ok(Self { original, sent, source: source(attributes)? })
    }

    /// The header of the request that is asked about, and what the client sent of it.
    pub(super) fn becomes(self, walk: ClientAddressHeader) -> Result<(RequestHeader, HeaderMap), Refusal> {
        let mut request =
            RequestHeader::build_no_case("GET", b"/", Some(self.sent.len())).map_err(unwritten)?;
        for (name, value) in &self.sent {
            request.append_header(name.clone(), value.clone()).map_err(unwritten)?;
        }
        self.original.becomes(&mut request).map_err(unwritten)?;
        let source = match (walk, self.source) {
            (ClientAddressHeader::XForwardedFor, source) => source.to_string(),
            (ClientAddressHeader::Forwarded, IpAddr::V4(source)) => format!("for={source}"),
            (ClientAddressHeader::Forwarded, IpAddr::V6(source)) => format!("for=\"[{source}]\""),
        };
        request.append_header(walk.name(), source).map_err(unwritten)?;
        Ok((request, self.sent))
    }
}

/// The one of a list.
fn only<'a, T>(list: &'a [T], name: &str) -> Result<&'a T, Refusal> {
    match list {
        [one] => Ok(one),
        [] => Err(bad(format!("`{name}` is missing in a `CheckRequest`"))),
        [_, ..] => Err(bad(format!("`{name}` stands in a `CheckRequest` twice"))),
    }
}

fn filled<'a>(list: &'a [String], name: &str) -> Result<&'a str, Refusal> {
    let name = format!("attributes.request.http.{name}");
    let one = only(list, &name)?;
    if one.is_empty() { Err(bad(format!("`{name}` is empty in a `CheckRequest`"))) } else { Ok(one) }
}

/// The header, without what the other fields say too, which must be the same.
fn lines(http: &HttpRequest, pseudo: &[(&str, &str)]) -> Result<HeaderMap, Refusal> {
    let (list, joined) = match (&http.headers[..], &http.header_map[..]) {
        ([_, ..], [_, ..]) => return Err(bad("a `CheckRequest` has both `headers` and `header_map`")),
        (_, [_, _, ..]) => return Err(bad("`header_map` stands in a `CheckRequest` twice")),
        (list, []) => (list, true),
        ([], [map]) => (&map.headers[..], false),
    };
    let mut sent = HeaderMap::new();
    for line in list {
        let value = match (line.value.as_bytes(), &line.raw_value[..]) {
            (value, []) => value,
            ([], raw) => raw,
            (_, _) => return Err(bad("a line of the header has a `value` and a `raw_value`")),
        };
        if line.key.starts_with(':') || line.key.eq_ignore_ascii_case("host") {
            let name = if line.key.starts_with(':') { line.key.as_str() } else { ":authority" };
            let same = pseudo.iter().any(|(n, said)| *n == name && said.as_bytes() == value);
            if !same {
                return Err(bad("the header of a `CheckRequest` names another request than its fields"));
            }
            continue;
        }
        let (name, value) = HeaderName::from_bytes(line.key.as_bytes())
            .ok()
            .zip(HeaderValue::from_bytes(value).ok())
            .ok_or_else(|| bad("a line of the header in a `CheckRequest` is none of HTTP"))?;
        if joined && sent.contains_key(&name) {
            return Err(bad(format!("`{name}` stands twice in `headers` of a `CheckRequest`")));
        }
        if joined && name == header::COOKIE && headers::hides_our_cookie(value.as_bytes()) {
            return Err(bad(
                "`cookie` in `headers` of a `CheckRequest` is two lines that were joined by a comma: let Envoy send \
                 each line, by `encode_raw_headers: true`",
            ));
        }
        sent.try_append(name, value)
            .map_err(|_| Refusal::new(RefusalCode::HeaderTooLarge, "a header of very many lines"))?;
    }
    Ok(sent)
}

fn source(attributes: &AttributeContext) -> Result<IpAddr, Refusal> {
    let [peer] = &attributes.source[..] else { return Err(nowhere()) };
    let [address] = &peer.address[..] else { return Err(nowhere()) };
    let [address] = &address.socket_address[..] else { return Err(nowhere()) };
    let [address] = &address.address[..] else { return Err(nowhere()) };
    address.parse().map_err(|_| nowhere())
}

fn nowhere() -> Refusal {
    let detail = "`attributes.source` of a `CheckRequest` is not one IP address: Envoy must get its connections by network";
    Refusal::new(RefusalCode::ClientAddress, detail)
}

/// Lets a request pass: `told` is the header that the app gets, `renewed` what the browser gets: cookies beside the
/// app's own, anything else in place of what the app says.
pub(super) fn passes(sent: &HeaderMap, told: &HeaderMap, renewed: &HeaderMap) -> CheckResponse {
    let same = |name: &HeaderName| sent.get_all(name).iter().eq(told.get_all(name).iter());
    let changed = told.keys().filter(|name| **name != header::HOST && !same(name));
    let gone = sent.keys().filter(|name| !told.contains_key(*name)).cloned();
    // Envoy may be told not to tell us every header.
    let unsaid =
        headers::IDENTITY.into_iter().filter(|name| !told.contains_key(name) && !sent.contains_key(name));
    let add = |(name, value): (&HeaderName, &HeaderValue)| {
        let own = *name == header::SET_COOKIE;
        option(name, value, if own { AppendAction::Append } else { AppendAction::Overwrite })
    };
    let ok = OkHttpResponse {
        headers: changed.flat_map(|name| overwriting(told, name)).collect(),
        headers_to_remove: gone.chain(unsaid).map(|name| name.as_str().to_owned()).collect(),
        response_headers_to_add: renewed.iter().map(add).collect(),
    };
    CheckResponse { status: Some(Status { code: OK }), denied: None, ok: Some(ok) }
}

/// Says no, with what the client is answered.
pub(super) fn refuses(written: &Answer) -> CheckResponse {
    let status = written.head.status;
    let code = match status.as_u16() {
        300..=399 | 401 => UNAUTHENTICATED,
        500.. => UNAVAILABLE,
        _ => PERMISSION_DENIED,
    };
    let lines = &written.head.headers;
    // Envoy counts the body itself.
    let names = lines.keys().filter(|name| **name != header::CONTENT_LENGTH);
    let denied = DeniedHttpResponse {
        status: Some(HttpStatus { code: i32::from(status.as_u16()) }),
        headers: names.flat_map(|name| overwriting(lines, name)).collect(),
        body: String::from_utf8_lossy(&written.body).into_owned(),
    };
    CheckResponse { status: Some(Status { code }), denied: Some(denied), ok: None }
}

/// All lines of a name, in place of those that are there.
fn overwriting(lines: &HeaderMap, name: &HeaderName) -> Vec<HeaderValueOption> {
    let action = |first: bool| if first { AppendAction::Overwrite } else { AppendAction::Append };
    lines.get_all(name).iter().enumerate().map(|(i, value)| option(name, value, action(i == 0))).collect()
}

fn option(name: &HeaderName, value: &HeaderValue, action: AppendAction) -> HeaderValueOption {
    let header = check::HeaderValue {
        key: name.as_str().to_owned(),
        value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
        raw_value: Vec::new(),
    };
    HeaderValueOption { header: Some(header), append_action: action.into() }
}

#[cfg(test)]
mod tests;
