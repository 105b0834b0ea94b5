//! The one place where a refusal becomes an answer.
//!
//! A browser gets a page, gRPC a status, everything else a problem document (RFC 9457). None of
//! them says what the operator's log says: the answer holds the code, a sentence, what to do,
//! and the id under which the log tells the rest.

use doorward_model::{Refusal, RefusalCode};
use http::{HeaderMap, Method, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};

/// Who reads the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A person with a browser.
    Browser,
    /// A program.
    Program,
    /// A gRPC client.
    Grpc,
}

impl Reader {
    /// Tells from the request. Nothing is decided by it but the form of the answer.
    #[must_use]
    pub fn of(request: &RequestHeader) -> Self {
        let headers = &request.headers;
        // Elsewhere the words are just words, and a 200 would look like success.
        if request.version == Version::HTTP_2
            && request.method == Method::POST
            && starts_with(headers, &header::CONTENT_TYPE, "application/grpc")
            && !starts_with(headers, &header::CONTENT_TYPE, "application/grpc-web")
        {
            return Self::Grpc;
        }
        let accepts_pages = headers
            .get_all(header::ACCEPT)
            .iter()
            .any(|v| v.to_str().is_ok_and(|v| v.split(',').any(|t| t.trim_start().starts_with("text/html"))));
        if accepts_pages { Self::Browser } else { Self::Program }
    }
}

fn starts_with(headers: &HeaderMap, name: &header::HeaderName, start: &str) -> bool {
    headers.get(name).is_some_and(|v| v.as_bytes().to_ascii_lowercase().starts_with(start.as_bytes()))
}

/// An answer, ready to be written.
pub(crate) struct Answer {
    pub(crate) head: ResponseHeader,
    pub(crate) body: Vec<u8>,
}

/// Turns a refusal into an answer.
///
/// # Errors
/// When a header cannot be built, which no refusal of ours can cause.
pub(crate) fn answer(
    refusal: &Refusal,
    reader: Reader,
    request_id: &str,
    head_only: bool,
) -> pingora::Result<Answer> {
    let code = refusal.code;
    if reader == Reader::Grpc {
        let mut head = ResponseHeader::build(StatusCode::OK, Some(8))?;
        head.insert_header(header::CONTENT_TYPE, "application/grpc")?;
        head.insert_header("grpc-status", code.grpc_status().to_string())?;
        head.insert_header(
            "grpc-message",
            grpc_message(&format!("{} ({code}, request {request_id})", code.title())),
        )?;
        insert_ours(&mut head, code, request_id)?;
        return Ok(Answer { head, body: Vec::new() });
    }
    let (kind, body) = match reader {
        Reader::Browser => ("text/html; charset=utf-8", page(refusal, request_id)),
        Reader::Program | Reader::Grpc => ("application/problem+json", problem(refusal, request_id)),
    };
    let mut head = ResponseHeader::build(code.status(), Some(12))?;
    head.insert_header(header::CONTENT_TYPE, kind)?;
    head.insert_header(header::CONTENT_LENGTH, body.len())?;
    insert_ours(&mut head, code, request_id)?;
    head.insert_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")?;
    head.insert_header(header::REFERRER_POLICY, "no-referrer")?;
    if reader == Reader::Browser {
        head.insert_header(
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        )?;
    }
    if let Some(challenge) = challenge(code) {
        head.insert_header(header::WWW_AUTHENTICATE, challenge)?;
    }
    if code.is_passing() {
        head.insert_header(header::RETRY_AFTER, "5")?;
    }
    if code == RefusalCode::MethodNotAllowed {
        head.insert_header(header::ALLOW, "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE")?;
    }
    Ok(Answer { head, body: if head_only { Vec::new() } else { body.into_bytes() } })
}

/// What stands in every answer, whoever reads it.
fn insert_ours(head: &mut ResponseHeader, code: RefusalCode, request_id: &str) -> pingora::Result<()> {
    head.insert_header(header::CACHE_CONTROL, "no-store")?;
    head.insert_header("x-doorward-refusal", code.as_str())?;
    head.insert_header("x-doorward-request-id", request_id)
}

/// The answer to what never became a request, as bytes of HTTP/1.1; the connection ends with it.
pub(crate) fn early_answer(code: RefusalCode, request_id: &str) -> Option<Vec<u8>> {
    let answer = answer(&Refusal::new(code, ""), Reader::Program, request_id, false).ok()?;
    let status = answer.head.status;
    let reason = status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    for (name, value) in &answer.head.headers {
        bytes.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend_from_slice(b"connection: close\r\n\r\n");
    bytes.extend_from_slice(&answer.body);
    Some(bytes)
}

/// RFC 6750 §3: no error code when nothing was presented.
const fn challenge(code: RefusalCode) -> Option<&'static str> {
    match code {
        RefusalCode::Unauthenticated => Some("Bearer realm=\"doorward\""),
        RefusalCode::InvalidCredential => Some("Bearer realm=\"doorward\", error=\"invalid_token\""),
        RefusalCode::ExpiredCredential => {
            Some("Bearer realm=\"doorward\", error=\"invalid_token\", error_description=\"expired\"")
        }
        RefusalCode::Revoked | RefusalCode::Disabled => {
            Some("Bearer realm=\"doorward\", error=\"invalid_token\", error_description=\"revoked\"")
        }
        _ => None,
    }
}

fn problem(refusal: &Refusal, request_id: &str) -> String {
    let code = refusal.code;
    let mut body = serde_json::json!({
        "type": format!("urn:doorward:refusal:{code}"),
        "title": code.title(),
        "status": code.status(),
        "code": code.as_str(),
        "detail": refusal.reason.as_deref().unwrap_or_else(|| code.advice()),
        "request_id": request_id,
    });
    if let (false, Some(map)) = (refusal.advice.is_empty(), body.as_object_mut()) {
        map.insert("advice".to_owned(), refusal.advice.clone().into());
    }
    format!("{body}\n")
}

fn page(refusal: &Refusal, request_id: &str) -> String {
    let code = refusal.code;
    let reason = refusal
        .reason
        .as_deref()
        .map(|r| format!("<p class=\"reason\">{}</p>", escape(r)))
        .unwrap_or_default();
    format!(
        include_str!("answer.html"),
        title = code.title(),
        status = code.status(),
        reason = reason,
        advice = code.advice(),
        code = code.as_str(),
        request_id = escape(request_id),
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// gRPC over HTTP/2, "Status-Message": percent-encoded.
fn grpc_message(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if (0x20..0x7f).contains(&b) && b != b'%' {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_tells_what_the_operator_reads() {
        for code in RefusalCode::ALL {
            let mut refusal = Refusal::new(code, "secret-detail");
            refusal.reason = Some("<b>Use the office network.</b>".to_owned());
            for reader in [Reader::Browser, Reader::Program, Reader::Grpc] {
                let a = answer(&refusal, reader, "req-1", false).unwrap();
                let text = format!("{:?} {}", a.head.headers, String::from_utf8(a.body).unwrap());
                assert!(!text.contains("secret-detail"), "{text}");
                assert!(text.contains("req-1"), "{text}");
                assert_eq!(a.head.headers.get("x-doorward-refusal").unwrap(), code.as_str());
                assert_eq!(a.head.headers.get("x-doorward-request-id").unwrap(), "req-1");
                assert_eq!(a.head.headers.get("cache-control").unwrap(), "no-store");
                assert_eq!(a.head.status.is_success(), reader == Reader::Grpc);
                if reader == Reader::Browser {
                    assert!(text.contains("&lt;b&gt;Use the office network."), "{text}");
                }
            }
        }
    }

    #[test]
    fn a_head_request_gets_the_header_alone() {
        let a = answer(&Refusal::new(RefusalCode::NoRoute, ""), Reader::Program, "r", true).unwrap();
        assert!(a.body.is_empty());
        assert_ne!(a.head.headers.get("content-length").unwrap(), "0");
    }

    #[test]
    fn readers_are_told_apart() {
        let mut r = RequestHeader::build("GET", b"/", None).unwrap();
        assert_eq!(Reader::of(&r), Reader::Program);
        r.insert_header("accept", "application/json, text/html;q=0.9").unwrap();
        assert_eq!(Reader::of(&r), Reader::Browser);
        r.insert_header("content-type", "application/grpc+proto").unwrap();
        assert_eq!(Reader::of(&r), Reader::Browser, "no call of gRPC over HTTP/1.1");
        r.set_version(Version::HTTP_2);
        assert_eq!(Reader::of(&r), Reader::Browser, "nor with GET");
        r.set_method(Method::POST);
        assert_eq!(Reader::of(&r), Reader::Grpc);
        r.insert_header("content-type", "application/grpc-web+proto").unwrap();
        assert_eq!(Reader::of(&r), Reader::Browser);
    }
}
