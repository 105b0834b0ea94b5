use std::path::Path;

use doorward_model::complaint::KeyPath;

use super::*;

fn request(method: &str, lines: &[(&'static str, &str)]) -> RequestHeader {
    let mut request = RequestHeader::build(method, b"/", None).unwrap();
    request.insert_header("host", "wiki.test:8443").unwrap();
    for (name, value) in lines {
        request.append_header(*name, *value).unwrap();
    }
    request
}

fn app() -> App {
    let text = r#"
        id = "wiki"
        hosts = ["wiki.test"]
        websocket_origins = ["https://portal.test"]
        cross_site_origins = ["https://Forms.test"]
        upstream = { addresses = ["10.0.0.1:80"] }
    "#;
    let mut complaints = Vec::new();
    let section = toml::from_str(text).unwrap();
    let apps = crate::config::check_apps(&[section], &KeyPath::top(), Path::new("/"), &mut complaints);
    assert_eq!(complaints, []);
    apps.into_iter().next().unwrap()
}

const SESSION: Here<'_> = Here { host: "wiki.test", https: true, by_session: true };

#[test]
fn only_a_page_that_is_opened_is_sent_elsewhere() {
    let html = ("accept", "text/html,*/*");
    for (method, lines, expect) in [
        ("GET", &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")][..], Intent::Opens),
        ("GET", &[("sec-fetch-mode", "navigate")], Intent::Opens),
        ("HEAD", &[("sec-fetch-mode", "navigate"), html], Intent::Opens),
        ("GET", &[html], Intent::Opens),
        ("POST", &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")], Intent::Sends),
        ("POST", &[html], Intent::Sends),
        ("DELETE", &[html], Intent::Sends),
        ("GET", &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe"), html], Intent::Fetches),
        ("GET", &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "embed")], Intent::Fetches),
        ("GET", &[("sec-fetch-mode", "cors"), html], Intent::Fetches),
        ("GET", &[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")], Intent::Fetches),
        ("GET", &[("sec-fetch-mode", "navigate"), ("sec-fetch-mode", "cors")], Intent::Fetches),
        ("GET", &[("sec-fetch-mode", "websocket"), ("upgrade", "websocket")], Intent::Fetches),
        ("GET", &[html, ("upgrade", "websocket")], Intent::Fetches),
        ("POST", &[("sec-fetch-mode", "cors")], Intent::Fetches),
        ("GET", &[("accept", "application/json")], Intent::Fetches),
        ("GET", &[], Intent::Fetches),
    ] {
        assert_eq!(Intent::of(&request(method, lines)), expect, "{method} {lines:?}");
    }
}

/// S11: what a page of another site has a browser do, with the cookie that the browser adds.
#[test]
fn s11_with_a_session_only_pages_of_the_app_have_something_done() {
    let app = app();
    for (lines, good) in [
        (&[("sec-fetch-site", "same-origin")][..], true),
        (&[("sec-fetch-site", "none")], true),
        (&[("sec-fetch-site", "cross-site")], false),
        (&[("sec-fetch-site", "same-site")], false),
        (&[("sec-fetch-site", "other")], false),
        (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], false),
        (&[("sec-fetch-site", "cross-site"), ("origin", "https://forms.test")], true),
        (&[("sec-fetch-site", "same-site"), ("origin", "https://payroll.test:8443")], false),
        (&[("sec-fetch-site", "cross-site"), ("origin", "https://portal.test")], false),
        (&[("sec-fetch-site", "cross-site"), ("origin", "null")], false),
        (&[("origin", "https://wiki.test:8443")], true),
        (&[("origin", "https://WIKI.test:8443")], true),
        (&[("origin", "https://wiki.test")], false),
        (&[("origin", "http://wiki.test:8443")], false),
        (&[("origin", "https://wiki.test.evil.test")], false),
        (&[("origin", "https://wiki.test:8443"), ("origin", "https://evil.test")], false),
        (&[("origin", "https://evil.test"), ("referer", "https://wiki.test:8443/")], false),
        (&[("referer", "https://wiki.test:8443/a?b#c")], true),
        (&[("referer", "https://wiki.test:8443")], true),
        (&[("referer", "https://evil.test/https://wiki.test:8443/")], false),
        (&[("referer", "https://wiki.test:8443@evil.test/")], false),
        (&[("referer", "about:blank")], false),
        (&[], false),
    ] {
        let code = |method, here: &Here<'_>| {
            check_site(&request(method, lines), here, &app).map_err(|refusal| refusal.code)
        };
        let expect = if good { Ok(()) } else { Err(RefusalCode::CrossSite) };
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            assert_eq!(code(method, &SESSION), expect, "{method} {lines:?}");
            assert_eq!(code(method, &Here { by_session: false, ..SESSION }), Ok(()), "{lines:?}");
        }
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert_eq!(code(method, &SESSION), Ok(()), "{method} {lines:?}");
        }
    }
}

/// S18: a foreign page opens no WebSocket, and with a session nobody does who does not say which page it is.
#[test]
fn s18_a_websocket_with_a_session_is_asked_for_by_a_page_of_the_app() {
    let app = app();
    for (lines, session, bearer) in [
        (&[("origin", "https://wiki.test:8443")][..], true, true),
        (&[("origin", "https://portal.test")], true, true),
        (&[("origin", "https://forms.test")], false, false),
        (&[("origin", "https://evil.test")], false, false),
        (&[("origin", "null")], false, false),
        (&[("origin", "https://wiki.test:8443"), ("origin", "https://wiki.test:8443")], false, false),
        (&[("sec-fetch-site", "same-origin")], false, true),
        (&[], false, true),
    ] {
        for (by_session, good) in [(true, session), (false, bearer)] {
            let here = Here { by_session, ..SESSION };
            let said = check_websocket(&request("GET", lines), &here, &app).map_err(|refusal| refusal.code);
            let expect = if good { Ok(()) } else { Err(RefusalCode::ForeignOrigin) };
            assert_eq!(said, expect, "{lines:?} {by_session}");
        }
    }
}
