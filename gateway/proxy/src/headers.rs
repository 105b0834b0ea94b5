//! What a client may not say, and what the gateway says instead.
//!
//! Servers fold header names: CGI turns `-` into `_`, some drop dots, all ignore case. A name
//! is therefore compared by its letters and digits alone (incident class S1). What is stripped
//! is stripped on every route, the public ones included.

use std::net::IpAddr;

use doorward_identity::Credential;
use doorward_model::{Principal, Refusal, RefusalCode};
use http::{HeaderName, HeaderValue};
use pingora::http::{RequestHeader, ResponseHeader};

/// Who asks: `issuer:subject`, percent-encoded where it is not visible ASCII.
pub const USER: HeaderName = HeaderName::from_static("x-doorward-user");
/// The groups, comma-separated, percent-encoded where needed.
pub const GROUPS: HeaderName = HeaderName::from_static("x-doorward-groups");
/// The person for whom an agent acts: `issuer:subject`, as above. Groups and e-mail address are
/// then that person's.
pub const ON_BEHALF_OF: HeaderName = HeaderName::from_static("x-doorward-on-behalf-of");
/// The verified e-mail address, if there is one.
pub const EMAIL: HeaderName = HeaderName::from_static("x-doorward-email");
/// The signed assertion: see [`crate::assertion`].
pub const ASSERTION: HeaderName = HeaderName::from_static("x-doorward-assertion");
/// The request's id, as it stands in the audit log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-doorward-request-id");

/// Everything that says who asks.
pub(crate) const IDENTITY: [HeaderName; 5] = [USER, GROUPS, EMAIL, ON_BEHALF_OF, ASSERTION];

/// Prefixes, folded, that only the gateway may use.
const RESERVED_PREFIXES: &[&str] = &[
    "xdoorward",
    "xforwarded",
    "xauthrequest",
    "xauthenticated",
    "xauthuser",
    "xoriginal",
    "xrewrite",
    "xssl",
    "sslclient",
    "xclientcert",
    "clientcert",
    "xtlsclient",
    "xarrclientcert",
    "xamznmtls",
    "xwebauth",
    "xgoogauthenticated",
    "cfaccess",
    "xpomerium",
    "xenvoy",
    "xauthentik",
    "xamznoidc",
    "xgoogiap",
    "xmsclientprincipal",
    "xmstoken",
    "xremote",
];

/// Names, folded, that say who or where somebody is, or what was really asked for.
const RESERVED_NAMES: &[&str] = &[
    "forwarded",
    "xrealip",
    "xclientip",
    "xclusterclientip",
    "clientip",
    "remoteuser",
    "remoteaddr",
    "remotename",
    "remoteemail",
    "remotegroups",
    "xuser",
    "xuserid",
    "xusername",
    "xuseremail",
    "xemail",
    "xgroups",
    "xroles",
    "xhttpmethodoverride",
    "xhttpmethod",
    "xmethodoverride",
    "xhost",
    "cfconnectingip",
    "cfconnectingipv6",
    "trueclientip",
    "fastlyclientip",
    "xproxyuser",
    "xproxyuserip",
    "xappengineuserip",
    "xazureclientip",
    "xazuresocketip",
    "proxyclientip",
    "wlproxyclientip",
    "httpclientip",
    "proxyauthorization",
    "proxy",
    "traceparent",
    "tracestate",
];

/// The start of the names of our own cookies.
const OUR_COOKIES: &str = "__host-doorward";

/// The letters and digits of a name, in lower case.
fn fold(name: &str) -> String {
    name.bytes().filter(u8::is_ascii_alphanumeric).map(|b| char::from(b.to_ascii_lowercase())).collect()
}

/// Whether only the gateway may say this.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    let folded = fold(name);
    RESERVED_NAMES.contains(&folded.as_str()) || RESERVED_PREFIXES.iter().any(|p| folded.starts_with(p))
}

/// Whether it is one of our own names, however it is spelled.
pub(crate) fn is_ours(name: &str) -> bool {
    fold(name).starts_with("xdoorward")
}

/// What other proxies tell of a request in names that steer. They have to keep the client's own from the app.
const TOLD_BY_PROXIES: [&str; 9] = [
    "x-original-url",
    "x-original-method",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-forwarded-uri",
    "x-forwarded-method",
];

/// Whether an app may read another path, host or method there than the request line has. Of what begins like
/// `X-Original-URL` and `X-Forwarded-Uri` only what other proxies tell is left, and never spelled like
/// `X_Original_URL`, which some apps take for the same.
pub(crate) fn steers(name: &str) -> bool {
    let folded = fold(name);
    let begins = |with: [&str; 2]| with.iter().any(|prefix| folded.starts_with(prefix));
    begins(["xrewrite", "xhttpmethod"])
        || folded == "xmethodoverride"
        || (begins(["xoriginal", "xforwarded"]) && !TOLD_BY_PROXIES.contains(&name))
}

/// What the app is told about a request.
pub(crate) struct Told<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) assertion: Option<&'a str>,
    pub(crate) request_id: &'a str,
    pub(crate) client: IpAddr,
    pub(crate) authority: &'a str,
    pub(crate) https: bool,
    pub(crate) traceparent: &'a str,
    pub(crate) pass_token: bool,
}

/// Whether a token is shown that was made here. It may be good at every app, so no app may have it.
fn shows_ours(request: &RequestHeader) -> bool {
    let values = request.headers.get_all(http::header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    match Credential::from_headers(values) {
        Ok(Credential::Bearer(_) | Credential::NotPresented) => false,
        // What cannot be read came past nobody, and goes nowhere.
        Ok(Credential::Service(_)) | Err(_) => true,
    }
}

/// Strips what the client may not say and adds what the gateway says.
///
/// Runs on the request as it goes upstream, after Pingora removed what `Connection` nominated:
/// a client cannot nominate our headers away (incident class S2).
///
/// # Errors
/// When a value cannot stand in a header, which the identity stage has made sure of.
pub(crate) fn prepare(request: &mut RequestHeader, told: &Told<'_>) -> Result<(), Refusal> {
    let reserved: Vec<HeaderName> =
        request.headers.keys().filter(|name| is_reserved(name.as_str())).cloned().collect();
    for name in &reserved {
        request.remove_header(name);
    }
    if !told.pass_token || shows_ours(request) {
        request.remove_header(&http::header::AUTHORIZATION);
    }
    join_cookies(request)?;
    let mut put = |name: HeaderName, value: String| {
        let value = HeaderValue::try_from(value)
            .map_err(|_| Refusal::new(RefusalCode::Internal, format!("`{name}` cannot be written")))?;
        request
            .insert_header(name, value)
            .map_err(|e| Refusal::new(RefusalCode::Internal, format!("a header cannot be written: {e}")))
    };
    put(REQUEST_ID, told.request_id.to_owned())?;
    put(HeaderName::from_static("x-forwarded-for"), told.client.to_string())?;
    put(HeaderName::from_static("x-forwarded-host"), told.authority.to_owned())?;
    put(HeaderName::from_static("x-forwarded-proto"), if told.https { "https" } else { "http" }.to_owned())?;
    put(HeaderName::from_static("traceparent"), told.traceparent.to_owned())?;
    let person = match told.principal {
        Principal::User(user) => Some(user),
        Principal::Agent(agent) => Some(&agent.on_behalf_of),
        Principal::ServiceAccount(_) | Principal::Visitor(_) => None,
    };
    if let Some(id) = told.principal.id() {
        put(USER, visible(&id.to_string()))?;
    }
    if let Principal::Agent(agent) = told.principal {
        put(ON_BEHALF_OF, visible(&agent.on_behalf_of.id.to_string()))?;
    }
    if let Some(person) = person {
        let groups: Vec<_> = person.groups.iter().map(|g| visible(g)).collect();
        put(GROUPS, groups.join(","))?;
        if let Some(email) = &person.email {
            put(EMAIL, visible(email))?;
        }
    }
    if let Some(assertion) = told.assertion {
        put(ASSERTION, assertion.to_owned())?;
    }
    Ok(())
}

/// Escapes what cannot stand in a header, and what separates values there (RFC 3986 §2.1).
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_graphic() && !matches!(b, b'%' | b',' | b'"') {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

/// Whether a pair of `Cookie` is one of ours.
fn is_our_cookie(pair: &[u8]) -> bool {
    let name = pair.trim_ascii_start();
    name.get(..OUR_COOKIES.len()).is_some_and(|n| n.eq_ignore_ascii_case(OUR_COOKIES.as_bytes()))
}

/// Whether a cookie of ours begins behind a comma: somebody joined two lines of `Cookie` as lines of other headers are
/// (RFC 9110 §5.3), and not by `;`. Ours would be taken for a part of the cookie before it.
pub(crate) fn hides_our_cookie(line: &[u8]) -> bool {
    line.split(|b| *b == b',').skip(1).any(is_our_cookie)
}

/// Removes our cookies from `Cookie`, and the header when nothing else is in it. What is left is one
/// line: HTTP/2 clients send one for each cookie, which servers of HTTP/1.1 take the first of
/// (RFC 9113 §8.2.3).
fn join_cookies(request: &mut RequestHeader) -> Result<(), Refusal> {
    let lines: Vec<HeaderValue> = request.headers.get_all(http::header::COOKIE).iter().cloned().collect();
    let pairs = || lines.iter().flat_map(|line| line.as_bytes().split(|b| *b == b';'));
    if lines.len() < 2 && !pairs().any(is_our_cookie) {
        return Ok(());
    }
    request.remove_header(&http::header::COOKIE);
    let kept: Vec<&[u8]> =
        pairs().map(<[u8]>::trim_ascii).filter(|p| !p.is_empty() && !is_our_cookie(p)).collect();
    if kept.is_empty() {
        return Ok(());
    }
    HeaderValue::from_bytes(&kept.join(&b"; "[..]))
        .ok()
        .and_then(|value| request.append_header(http::header::COOKIE, value).ok())
        .map(drop)
        .ok_or_else(|| Refusal::new(RefusalCode::BadRequest, "the `cookie` header cannot be read"))
}

/// Removes what an app says about cookies of ours, and counts it: no app begins, ends or weakens a session.
pub(crate) fn keep_our_cookies(response: &mut ResponseHeader) -> pingora::Result<u64> {
    let all = response.headers.get_all(http::header::SET_COOKIE);
    let ours = |value: &HeaderValue| {
        // Browsers forget spaces before a name, and old ones control characters.
        let name = value.as_bytes();
        let start = name.iter().position(u8::is_ascii_graphic).unwrap_or_default();
        let name = name.get(start..).unwrap_or_default();
        name.get(..OUR_COOKIES.len()).is_some_and(|n| n.eq_ignore_ascii_case(OUR_COOKIES.as_bytes()))
    };
    let theirs: Vec<HeaderValue> = all.iter().filter(|value| !ours(value)).cloned().collect();
    let dropped = all.iter().count() - theirs.len();
    if dropped > 0 {
        response.remove_header(&http::header::SET_COOKIE);
        for value in theirs {
            response.append_header(http::header::SET_COOKIE, value)?;
        }
    }
    Ok(u64::try_from(dropped).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_our_names_is_reserved() {
        for name in [
            "x-doorward-user",
            "x_doorward_user",
            "x.doorward.user",
            "X-DoorWard-User",
            "xdoorwarduser",
            "x-_doorward-user",
            "x-doorward-on-behalf-of",
            "client-ip",
            "Client_IP",
            "x-remote-group",
            "x-remote-extra-scopes",
            "X_Remote_User",
            "x-forwarded-for",
            "x_forwarded_for",
            "x-forwarded-user",
            "forwarded",
            "x-real-ip",
            "x_real.ip",
            "x-auth-request-email",
            "x-original-uri",
            "x-rewrite-url",
            "cf-connecting-ip",
            "true-client-ip",
            "x-ssl-client-cert",
            "x-forwarded-client-cert",
            "client-cert-chain",
            "remote_user",
            "x-envoy-original-path",
            "proxy",
            "traceparent",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in [
            "accept",
            "cookie",
            "x-requested-with",
            "x-csrf-token",
            "x-request-id",
            "origin",
            "user-agent",
            "client",
        ] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn no_app_sets_a_cookie_of_ours() {
        for (sent, seen) in [
            (&["a=1", "__Host-doorward-session=x; Path=/; Secure"][..], &["a=1"][..]),
            (&["__host-DOORWARD-session=x", " \t__Host-doorward-attempt-a=; Max-Age=0"], &[]),
            (
                &["__Host-doorwardx=1", "__Host-doo=1", "b=__Host-doorward-session"],
                &["__Host-doo=1", "b=__Host-doorward-session"],
            ),
            (&["a=1; Path=/", "a=2"], &["a=1; Path=/", "a=2"]),
            (&[], &[]),
        ] {
            let mut response = ResponseHeader::build(200, None).unwrap();
            for line in sent {
                response.append_header("set-cookie", *line).unwrap();
            }
            let dropped = keep_our_cookies(&mut response).unwrap();
            let got: Vec<_> =
                response.headers.get_all("set-cookie").iter().map(|v| v.to_str().unwrap()).collect();
            assert_eq!((got, dropped), (seen.to_vec(), (sent.len() - seen.len()) as u64), "{sent:?}");
        }
    }

    #[test]
    fn our_cookies_never_reach_an_app() {
        for (sent, seen) in [
            (&["a=1; __Host-doorward-session=x; b=2"][..], Some("a=1; b=2")),
            (&["__Host-doorward-session=x"], None),
            (&["__host-DOORWARD=x; ;"], None),
            (&["a=1"], Some("a=1")),
            (&["a=1;b=2"], Some("a=1;b=2")),
            (&["not__Host-doorward=1"], Some("not__Host-doorward=1")),
            (&["a=1", "b=2"], Some("a=1; b=2")),
            (&["a=1", "__Host-doorward-session=x", "b=\"2\";c=3"], Some("a=1; b=\"2\"; c=3")),
            (&["__Host-doorward-a=x", "__host-doorward-b=y"], None),
            (&["", " "], None),
        ] {
            let mut request = RequestHeader::build("GET", b"/", None).unwrap();
            for line in sent {
                request.append_header("cookie", *line).unwrap();
            }
            join_cookies(&mut request).unwrap();
            let got: Vec<_> =
                request.headers.get_all("cookie").iter().map(|v| v.to_str().unwrap().to_owned()).collect();
            assert_eq!(got, Vec::from_iter(seen), "{sent:?}");
        }
    }

    #[test]
    fn an_agent_is_told_apart_from_the_person_it_acts_for() {
        let person = doorward_model::User {
            id: "corp:alice".parse().unwrap(),
            name: None,
            email: Some("alice@corp.example".to_owned()),
            groups: ["finance".to_owned()].into(),
            roles: std::collections::BTreeSet::new(),
            stage: doorward_model::LifecycleStage::Active,
            employment: doorward_model::Employment::Unknown,
            contract_end: None,
            home_country: doorward_model::CountryCode::UNKNOWN,
            department: None,
            tags: std::collections::BTreeMap::new(),
        };
        let agent = Principal::Agent(doorward_model::Agent {
            id: "corp:robot".parse().unwrap(),
            on_behalf_of: person.clone(),
            scopes: std::collections::BTreeSet::new(),
        });
        for (principal, user, behalf) in
            [(Principal::User(person), "corp:alice", None), (agent, "corp:robot", Some("corp:alice"))]
        {
            let mut request = RequestHeader::build("GET", b"/", None).unwrap();
            request.insert_header("x_doorward_on_behalf_of", "corp:forged").unwrap();
            request.insert_header("x-doorward-on-behalf-of", "corp:forged").unwrap();
            let told = Told {
                principal: &principal,
                assertion: None,
                request_id: "r",
                client: IpAddr::from([192, 0, 2, 1]),
                authority: "wiki.test:8443",
                https: true,
                traceparent: "t",
                pass_token: false,
            };
            prepare(&mut request, &told).unwrap();
            let said = |name: &str| request.headers.get(name).map(|v| v.to_str().unwrap());
            assert_eq!(said("x-doorward-user"), Some(user));
            assert_eq!(said("x-doorward-on-behalf-of"), behalf);
            assert_eq!(said("x_doorward_on_behalf_of"), None);
            assert_eq!(said("x-doorward-email"), Some("alice@corp.example"));
            assert_eq!(said("x-forwarded-host"), Some("wiki.test:8443"));
            assert_eq!(said("x-forwarded-proto"), Some("https"));
        }
    }

    #[test]
    fn an_app_that_sees_tokens_sees_none_of_ours() {
        let ours = doorward_identity::own::compose("dwsa_", [7; 32]);
        for (passes, sent, seen) in [
            (true, "Bearer a.b.c".to_owned(), true),
            (false, "Bearer a.b.c".to_owned(), false),
            (true, format!("Bearer {ours}"), false),
            (true, format!("bearer {ours}"), false),
        ] {
            let mut request = RequestHeader::build("GET", b"/", None).unwrap();
            request.insert_header("authorization", &sent).unwrap();
            let told = Told {
                principal: &Principal::Visitor(doorward_model::Visitor),
                assertion: None,
                request_id: "r",
                client: IpAddr::from([192, 0, 2, 1]),
                authority: "wiki.test:8443",
                https: true,
                traceparent: "t",
                pass_token: passes,
            };
            prepare(&mut request, &told).unwrap();
            assert_eq!(request.headers.contains_key("authorization"), seen, "{passes} {sent}");
        }
    }

    #[test]
    fn values_cannot_break_out() {
        assert_eq!(visible("corp:a b\r\nx,\u{e9}%"), "corp:a%20b%0D%0Ax%2C%C3%A9%25");
    }
}
