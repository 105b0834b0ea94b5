//! The one place where a refusal becomes an answer.
//!
//! A browser gets a page, gRPC a status, everything else a problem document (RFC 9457). None of
//! them says what the operator's log says: the answer holds the code, a sentence, what to do,
//! and the id under which the log tells the rest.

use doorward_model::{Demand, Refusal, RefusalCode};
use http::{HeaderMap, Method, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::sign_in::Redirect;

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

/// What can be done about a refusal, besides what its code says. All of it is ours: nothing of the request is in it
/// but its host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WayOut {
    /// Where a person signs in, or signs in as is demanded.
    pub(crate) sign_in: Option<String>,
    /// Where a person enrolls the device.
    pub(crate) enroll: Option<String>,
    /// A form was sent, and nothing of it went to the app.
    pub(crate) form_lost: bool,
    /// Somebody is known here who has nothing to do here: another account may.
    pub(crate) another: bool,
    /// Whose apps these are, as people know them.
    pub(crate) organization: Option<String>,
    /// The words with which the issuer of a token says that a sign-in is as strong as demanded.
    pub(crate) acr_values: Vec<String>,
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
    way: &WayOut,
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
        Reader::Browser => ("text/html; charset=utf-8", page(refusal, way, request_id)),
        Reader::Program | Reader::Grpc => ("application/problem+json", problem(refusal, way, request_id)),
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
    if let Some(challenge) = challenge(refusal, way) {
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

/// Sends a browser to sign in. What it asked for stays refused, so nothing of that is in it.
pub(crate) fn elsewhere(refusal: &Refusal, to: &Redirect, request_id: &str) -> pingora::Result<Answer> {
    let mut head = ResponseHeader::build(StatusCode::FOUND, Some(8))?;
    head.insert_header(header::LOCATION, to.location.as_str())?;
    head.insert_header(header::CONTENT_LENGTH, 0)?;
    head.insert_header(header::REFERRER_POLICY, "no-referrer")?;
    for cookie in &to.cookies {
        head.append_header(header::SET_COOKIE, cookie.as_str())?;
    }
    insert_ours(&mut head, refusal.code, request_id)?;
    Ok(Answer { head, body: Vec::new() })
}

/// What stands in every answer, whoever reads it.
fn insert_ours(head: &mut ResponseHeader, code: RefusalCode, request_id: &str) -> pingora::Result<()> {
    head.insert_header(header::CACHE_CONTROL, "no-store")?;
    head.insert_header("x-doorward-refusal", code.as_str())?;
    head.insert_header("x-doorward-request-id", request_id)
}

/// The answer to what never became a request, as bytes of HTTP/1.1; the connection ends with it.
pub(crate) fn early_answer(code: RefusalCode, request_id: &str) -> Option<Vec<u8>> {
    let answer =
        answer(&Refusal::new(code, ""), &WayOut::default(), Reader::Program, request_id, false).ok()?;
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

/// RFC 6750 §3: no error code when nothing was presented. RFC 9470 §3 where a better sign-in is demanded.
fn challenge(refusal: &Refusal, way: &WayOut) -> Option<String> {
    let fixed = match refusal.code {
        RefusalCode::Unauthenticated => "Bearer realm=\"doorward\"",
        RefusalCode::InvalidCredential => "Bearer realm=\"doorward\", error=\"invalid_token\"",
        RefusalCode::ExpiredCredential => {
            "Bearer realm=\"doorward\", error=\"invalid_token\", error_description=\"expired\""
        }
        RefusalCode::Revoked | RefusalCode::Disabled => {
            "Bearer realm=\"doorward\", error=\"invalid_token\", error_description=\"revoked\""
        }
        RefusalCode::StepUp => return Some(demanded(refusal.demand, &way.acr_values)),
        _ => return None,
    };
    Some(fixed.to_owned())
}

fn demanded(demand: Option<Demand>, acr_values: &[String]) -> String {
    let mut text = "Bearer realm=\"doorward\", error=\"insufficient_user_authentication\", \
        error_description=\"a stronger or more recent sign-in is needed\""
        .to_owned();
    // What could end the quotes is no word that a client could ask for, either.
    let plain = |word: &&String| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'))
    };
    let words: Vec<&str> = acr_values.iter().filter(plain).map(String::as_str).collect();
    if !words.is_empty() {
        text.push_str(&format!(", acr_values=\"{}\"", words.join(" ")));
    }
    if let Some(max_age) = demand.and_then(|demand| demand.max_age) {
        text.push_str(&format!(", max_age=\"{}\"", max_age.as_secs()));
    }
    text
}

fn problem(refusal: &Refusal, way: &WayOut, request_id: &str) -> String {
    let code = refusal.code;
    let mut body = serde_json::json!({
        "type": format!("urn:doorward:refusal:{code}"),
        "title": code.title(),
        "status": code.status(),
        "code": code.as_str(),
        "detail": refusal.reason.as_deref().unwrap_or_else(|| code.advice()),
        "request_id": request_id,
    });
    if let Some(map) = body.as_object_mut() {
        if !refusal.advice.is_empty() {
            map.insert("advice".to_owned(), refusal.advice.clone().into());
        }
        if !refusal.next().is_empty() {
            map.insert("next".to_owned(), refusal.next().into());
        }
        let sign_in = if code == RefusalCode::StepUp { "step_up" } else { "sign_in" };
        for (key, url) in [(sign_in, &way.sign_in), ("enroll", &way.enroll)] {
            if let Some(url) = url {
                map.insert(key.to_owned(), url.clone().into());
            }
        }
    }
    format!("{body}\n")
}

fn page(refusal: &Refusal, way: &WayOut, request_id: &str) -> String {
    let code = refusal.code;
    let reason = refusal
        .reason
        .as_deref()
        .map(|r| format!("<p class=\"reason\">{}</p>", escape(r)))
        .unwrap_or_default();
    // Fixed sentences: what they say of the policies is that this would help.
    let next = if refusal.next().is_empty() {
        String::new()
    } else {
        format!("\n<p class=\"next\">{}</p>", escape(&refusal.next().join(" ")))
    };
    let advice = if way.form_lost {
        "What you sent was not saved. Sign in in a new tab, come back to this one, reload it, and say yes when your \
         browser asks whether to send it again."
    } else {
        code.advice()
    };
    format!(
        include_str!("answer.html"),
        whose = way
            .organization
            .as_deref()
            .map_or_else(String::new, |name| { format!("<p class=\"whose\">{}</p>\n", escape(name)) }),
        title = code.title(),
        status = code.status(),
        reason = reason + &next,
        advice = advice,
        ways = ways(way),
        code = code.as_str(),
        request_id = escape(request_id),
    )
}

/// The links of a page, each in a tab of its own: what is in this one may be wanted still.
fn ways(way: &WayOut) -> String {
    let words = match (way.form_lost, way.another) {
        (true, _) => "Sign in in a new tab",
        (false, true) => "Use another account",
        (false, false) => "Sign in",
    };
    let link = |url: &Option<String>, words: &str| {
        url.as_deref().map_or_else(String::new, |url| {
            let url = escape(url);
            format!(
                "<a class=\"way\" href=\"{url}\" target=\"_blank\" rel=\"noopener noreferrer\">{words}</a>\n"
            )
        })
    };
    let links = link(&way.sign_in, words) + &link(&way.enroll, "Enroll this device");
    if links.is_empty() { links } else { format!("<p class=\"ways\">{links}</p>") }
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
    use doorward_model::{Explained, FailedClause};

    use super::*;

    fn refused(refusal: &Refusal, way: &WayOut, reader: Reader, head_only: bool) -> Answer {
        answer(refusal, way, reader, "r", head_only).unwrap()
    }

    /// RFC 9470 §3.
    #[test]
    fn a_better_sign_in_is_demanded_in_words_that_clients_know() {
        let mut refusal = Refusal::new(RefusalCode::StepUp, "");
        let max_age = Some(std::time::Duration::from_secs(900));
        refusal.demand = Some(Demand { strength: doorward_model::Strength::Mfa, max_age });
        let words = ["urn:mfa", "two words", "quo\"te", "back\\slash", "", "phr"].map(str::to_owned);
        let sign_in = Some("https://wiki.test/.doorward/x?a=1&b=2".to_owned());
        let way = WayOut { sign_in, acr_values: words.into(), ..WayOut::default() };
        let a = refused(&refusal, &way, Reader::Program, false);
        assert_eq!(a.head.status, 401);
        assert_eq!(
            a.head.headers.get("www-authenticate").unwrap(),
            "Bearer realm=\"doorward\", error=\"insufficient_user_authentication\", \
             error_description=\"a stronger or more recent sign-in is needed\", \
             acr_values=\"urn:mfa phr\", max_age=\"900\""
        );
        let problem: serde_json::Value = serde_json::from_slice(&a.body).unwrap();
        assert_eq!(problem["step_up"], "https://wiki.test/.doorward/x?a=1&b=2");
        assert_eq!(problem.get("sign_in"), None);
        refusal.demand = Some(Demand::default());
        let a = refused(&refusal, &WayOut::default(), Reader::Program, false);
        let said = a.head.headers.get("www-authenticate").unwrap().to_str().unwrap();
        assert!(said.ends_with("is needed\""), "{said}");
    }

    #[test]
    fn a_page_says_what_became_of_a_form_and_leads_on() {
        let refusal = Refusal::new(RefusalCode::ExpiredCredential, "");
        let sign_in = Some("https://wiki.test/?\"><script>&".to_owned());
        let way = WayOut { sign_in, form_lost: true, ..WayOut::default() };
        let page = String::from_utf8(refused(&refusal, &way, Reader::Browser, false).body).unwrap();
        assert!(page.contains("was not saved") && page.contains("Sign in in a new tab"), "{page}");
        assert!(page.contains("href=\"https://wiki.test/?&quot;&gt;&lt;script&gt;&amp;\""), "{page}");
        let way = WayOut { enroll: Some("https://mdm.test/".to_owned()), ..WayOut::default() };
        let page = String::from_utf8(refused(&refusal, &way, Reader::Browser, false).body).unwrap();
        assert!(page.contains("Enroll this device") && !page.contains("was not saved"), "{page}");
        let plain = refused(&refusal, &WayOut::default(), Reader::Browser, false);
        let plain = String::from_utf8(plain.body).unwrap();
        assert!(!plain.contains("<a ") && !plain.contains("class=\"whose\""), "{plain}");
        let sign_in = Some("https://wiki.test/.doorward/sign-in".to_owned());
        let organization = Some("A & B".to_owned());
        let way = WayOut { sign_in, another: true, organization, ..WayOut::default() };
        let page = String::from_utf8(refused(&refusal, &way, Reader::Browser, false).body).unwrap();
        assert!(page.contains(">Use another account</a>") && !page.contains(">Sign in<"), "{page}");
        assert!(page.contains("<p class=\"whose\">A &amp; B</p>"), "{page}");
    }

    #[test]
    fn no_answer_tells_what_the_operator_reads() {
        for code in RefusalCode::ALL {
            let mut refusal = Refusal::new(code, "secret-detail");
            refusal.reason = Some("<b>Use the office network.</b>".to_owned());
            let facts = vec!["secret-fact".to_owned()];
            refusal.explained = Some(Box::new(Explained {
                next: vec!["Sign in with a second factor."],
                clauses: vec![FailedClause { policy: "secret-policy".into(), span: Some((1, 2)), facts }],
            }));
            for reader in [Reader::Browser, Reader::Program, Reader::Grpc] {
                let a = answer(&refusal, &WayOut::default(), reader, "req-1", false).unwrap();
                let text = format!("{:?} {}", a.head.headers, String::from_utf8(a.body).unwrap());
                assert!(!text.contains("secret-"), "{text}");
                assert_eq!(text.contains("Sign in with a second factor."), reader != Reader::Grpc, "{text}");
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
        let a = refused(&Refusal::new(RefusalCode::NoRoute, ""), &WayOut::default(), Reader::Program, true);
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
