//! S5, path normalization that differs (CVE-2026-33494, CVE-2021-29492, CVE-2021-39206,
//! CVE-2026-73511, CVE-2025-66490, CVE-2025-71399): the path that was matched is the path in the log
//! is the path that the app gets, byte for byte, and whatever could be read in two ways is 400.

use std::collections::BTreeSet;
use std::time::Duration;

use super::house::{House, WIKI, outcome};
use super::random::Random;
use super::talk::{Ask, BOTH, Http, Said};

/// Parts of paths, the harmless beside those that servers read differently.
const PARTS: &[&str] = &[
    "a",
    "welcome",
    "admin",
    "b.c",
    "x~y",
    "%41",
    "%7e",
    "%7E",
    "%20",
    "caf%C3%A9",
    "caf%c3%a9",
    "%E2%82%AC",
    "a+b",
    "a=b",
    "a&b",
    "a:b",
    "a@b",
    "a,b",
    "a!b",
    "a$b",
    "a'b",
    "(a)",
    "*",
    "...",
    ".a",
    "a.",
    "-",
    "_",
    "%61dmin",
    "adm%69n",
    "%77elcome",
    "ADMIN",
    "admin%20",
    "100%25",
    "%25",
    ".well-known",
    "",
    "..",
    ".",
    "%2e",
    "%2E",
    "%2e%2e",
    ".%2e",
    "%2e.",
    "%252e%252e",
    "%252e",
    "%25252e",
    "..;a=b",
    "..;",
    ".;",
    "a;b",
    ";",
    "a;jsessionid=1",
    "%3b",
    "..%3b",
    "%3B",
    "%2f",
    "%2F",
    "..%2f",
    "%2f..",
    "%5c",
    "%5C",
    "..%5c",
    "\\",
    "..\\",
    "%00",
    "a%00",
    "%0a",
    "%0d%0a",
    "%09",
    "%7f",
    "%23",
    "%3f",
    "%3F",
    "%zz",
    "%",
    "%4",
    "%u002e",
    "%c0%ae",
    "%c0%af",
    "%e0%80%af",
    "%ff",
    "%fe%ff",
    "%ed%a0%80",
    "a b",
    "a\tb",
    "\"",
    "<a>",
    "{a}",
    "|",
    "^",
    "`",
    "a#b",
    "#",
    "\u{e9}",
    "\u{ff0e}\u{ff0e}",
    "..\u{0}",
    "a\u{7f}",
    "%25%36%31dmin",
    "%2561dmin",
    "a%252%66x",
    "a%25%32%66..%25%32%66admin",
    "%25%2541",
    "%25%34g",
    "%252",
    "a%40b",
    "a%3Ab",
    "%28a%29",
    "a%2Bb",
    "Admin",
    "aDMIN",
    "WELCOME",
];

const QUERIES: &[&str] = &[
    "",
    "",
    "",
    "",
    "?",
    "?a=b",
    "?/../admin",
    "?path=/welcome&x=%2F..%2F",
    "?a=b?c",
    "?%00",
    "?%zz",
    "?;/admin",
    "?a=b#c",
    "?a b",
    "?\"",
    "?\u{e9}",
    "?[x]",
    "?a=%0d%0aX:1",
];

fn generate(random: &mut Random) -> String {
    let mut path = String::new();
    for _ in 0..=random.below(4) {
        // Half of the parts come from the harmless end of the list.
        let part = if random.below(2) == 0 { random.below(36) } else { random.below(PARTS.len()) };
        path.push('/');
        path.push_str(PARTS[part]);
        if random.below(10) == 0 {
            // What an escaped percent sign is followed by may be an escape itself.
            path.push_str("%25");
            for _ in 0..random.below(3) {
                let byte = [b'2', b'5', b'6', b'1', b'f', b'/', b'g'][random.below(7)];
                match random.below(3) {
                    0 if byte != b'/' => path.push(char::from(byte)),
                    1 => path.push_str(&format!("%{byte:02x}")),
                    _ => path.push_str(&format!("%25{byte:02X}")),
                }
            }
        }
    }
    if random.below(30) == 0 {
        path.insert_str(
            0,
            ["", "/", "http://wiki.test", "//wiki.test", "http://wiki.test:80"][random.below(5)],
        );
    }
    path + random.one_of(QUERIES)
}

/// Paths that incidents were made of.
fn known() -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for up in [
        "..",
        "%2e%2e",
        ".%2e",
        "%2E.",
        "%252e%252e",
        "..;a=b",
        "..;",
        "%2e%2e;x=y",
        "..%2f",
        "..%5c",
        "..\\",
        "..%00",
        "..%c0%af",
        "%c0%ae%c0%ae",
        "\u{ff0e}\u{ff0e}",
        "..%3b",
        "..#",
        "..?",
        ".;/..",
        "%u002e%u002e",
    ] {
        for end in ["admin", "admin/", "/admin", "admin;x", "%61dmin"] {
            all.push(format!("/welcome/{up}/{end}"));
            all.push(format!("/welcome/x/{up}/{up}/{end}"));
            all.push(format!("/{up}/{end}"));
        }
    }
    for joint in ["//", "/./", "/%2e/", "\\", "%2f", "%5c", "/;/", ";/", "%00/", "/%20/", "///"] {
        all.push(format!("{joint}admin"));
        all.push(format!("/welcome{joint}admin"));
        all.push(format!("/admin{joint}"));
    }
    for target in
        ["*", "", "admin", "wiki.test:80", "http:/admin", "http:///admin", "http://", "?x", "//", "///admin"]
    {
        all.push(target.to_owned());
    }
    all
}

/// Decodes escapes once; what is no escape stays.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut i = 0;
    while i < text.len() {
        let hex = text.get(i + 1..i + 3).and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()).filter(|_| text[i] == b'%') {
            Some(byte) => {
                out.push(byte);
                i += 3;
            }
            None => {
                out.push(text[i]);
                i += 1;
            }
        }
    }
    out
}

/// Resolves dot segments and merges slashes.
fn clean(path: &[u8]) -> Vec<Vec<u8>> {
    let mut stack: Vec<Vec<u8>> = Vec::new();
    for segment in path.split(|b| *b == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(stack.pop()),
            other => stack.push(other.to_vec()),
        }
    }
    stack
}

/// Which route servers of different kinds would take a path for.
fn readings(path: &[u8]) -> BTreeSet<&'static str> {
    let params = |path: &[u8]| {
        let cut = |s: &[u8]| s.split(|b| *b == b';').next().unwrap_or_default().to_vec();
        path.split(|b| *b == b'/').map(cut).collect::<Vec<_>>().join(&b'/')
    };
    let until =
        |path: &[u8], ends: &[u8]| path.split(|b| ends.contains(b)).next().unwrap_or_default().to_vec();
    let slashes = |path: &[u8]| path.iter().map(|b| if *b == b'\\' { b'/' } else { *b }).collect::<Vec<_>>();
    let forms = [
        path.to_vec(),                     // no decoding at all
        decode(path),                      // nginx, Go: once
        decode(&params(path)),             // Tomcat: parameters first
        params(&decode(path)),             // Jetty as it was: parameters after
        decode(&decode(path)),             // two servers, each decoding
        until(&decode(path), b"?#\0"),     // decoded, then cut as a URL or a C string
        slashes(&decode(path)),            // Windows, and browsers
        path.to_ascii_lowercase(),         // Express: without case
        decode(path).to_ascii_lowercase(), // IIS
    ];
    let of = |form: &Vec<u8>| match clean(form).first().map(Vec::as_slice).unwrap_or_default() {
        b"admin" => "wiki/admin",
        b"welcome" => "wiki/welcome",
        _ => "wiki/all",
    };
    forms.iter().map(of).collect()
}

/// What passed, what was refused with a page, and what was refused by the protocol itself.
#[derive(Default)]
struct Tally {
    passed: Vec<String>,
    refused: Vec<(String, Said)>,
    cut: usize,
}

async fn send_all(house: &House, http: Http, token: &str, paths: &[String]) -> Tally {
    let mut talk = house.talk(http);
    let mut tally = Tally::default();
    for path in paths {
        let said = talk.say(&Ask::get(WIKI, path).token(token)).await;
        match said.status {
            200 => tally.passed.push(path.clone()),
            400 => {
                tally.refused.push((path.clone(), said));
                // More refusals of nobody in particular in a second than this are not written one by one.
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            0 => tally.cut += 1,
            other => panic!("{http:?} {path:?}: {other}: {said:?}"),
        }
    }
    tally
}

#[tokio::test]
async fn s5_matched_is_logged_is_sent_byte_for_byte() {
    let house = House::with(|config| {
        config.local_is_corp();
    })
    .await;
    // Who may use every route, so that only the path decides what happens.
    let token = house.issuer.token("dana");
    let mut random = Random::seeded(5);
    let mut asked = 0;
    for (http, count) in [(Http::One, 3000), (Http::Two, 1500)] {
        let mut paths = known();
        paths.extend((0..count).map(|_| generate(&mut random)));
        asked += paths.len();
        let before = house.wiki.requests().len();
        let tally = send_all(&house, http, &token, &paths).await;
        let seen = house.wiki.requests().split_off(before);
        assert_eq!(seen.len(), tally.passed.len(), "{http:?}");
        // The corpus has enough of both kinds to mean something.
        assert!(tally.passed.len() > count / 10, "{http:?}: {} passed", tally.passed.len());
        assert!(tally.refused.len() > count / 10, "{http:?}: {} refused", tally.refused.len());
        let ids: Vec<_> = seen.iter().map(|s| s.head.value("x-doorward-request-id").unwrap()).collect();
        let decisions = house.decisions(&ids).await;
        for ((path, seen), id) in tally.passed.iter().zip(&seen).zip(&ids) {
            let event = &decisions[id];
            let target = seen.head.target();
            let (sent, query) = target.split_once('?').map_or((target.as_str(), None), |(p, q)| (p, Some(q)));
            assert_eq!(outcome(event).0, "allow", "{event}");
            assert_eq!(event["http_request"]["url"]["path"], sent, "{path:?}");
            // One line, and its words are where they belong.
            assert_eq!(seen.head.first_line(), format!("GET {target} HTTP/1.1"), "{path:?}");
            let routes = readings(sent.as_bytes());
            assert_eq!(routes.len(), 1, "{path:?} went out as {sent:?}, which servers read as {routes:?}");
            let route = event["unmapped"]["doorward"]["route"].as_str().unwrap();
            assert!(routes.contains(route), "{path:?} as {sent:?}: {route} but {routes:?}");
            // Nothing was added, dropped or resolved: it means what the client said.
            let said = path.strip_prefix("http://wiki.test:80").or(path.strip_prefix("http://wiki.test"));
            let (asked, asked_query) = {
                let said = said.unwrap_or(path);
                // The library for HTTP/2 cuts a fragment off before anybody reads the path.
                let said = if http == Http::Two { said.split('#').next().unwrap() } else { said };
                said.split_once('?').map_or((said, None), |(p, q)| (p, Some(q)))
            };
            // Pingora writes what may not stand in a target of HTTP/1.1 as escapes before anybody
            // reads it, and from there on it is one thing.
            let root = if asked.is_empty() { "/" } else { asked };
            assert_eq!(decode(sent.as_bytes()), decode(root.as_bytes()), "{path:?}");
            let meaning = |query: Option<&str>| query.map(|q| decode(q.as_bytes()));
            assert!(query == asked_query || meaning(query) == meaning(asked_query), "{path:?}: {target:?}");
        }
        let refused: Vec<_> = tally.refused.iter().map(|(_, said)| said).collect();
        // Over HTTP/2 some of it is written by hand, and its answer is seen as a status alone.
        let told: Vec<_> =
            refused.iter().filter(|s| !s.fields.is_empty()).map(|s| (*s, "bad_request")).collect();
        house.recorded(&told).await;
    }
    assert!(asked > 4500);
}

#[tokio::test]
async fn s5_what_incidents_were_made_of_is_refused() {
    let house = House::with(|config| {
        config.local_is_corp();
    })
    .await;
    let token = house.issuer.token("dana");
    for http in BOTH {
        let tally = send_all(&house, http, &token, &known()).await;
        // `/%20/` and such are plain names; they lead nowhere else.
        for path in &tally.passed {
            assert_eq!(readings(path.split('?').next().unwrap().as_bytes()).len(), 1, "{path:?}");
            assert!(!decode(path.as_bytes()).windows(2).any(|w| w == b".."), "{path:?} passed");
        }
        assert!(tally.passed.len() < 8, "{:?}", tally.passed);
    }
}

#[tokio::test]
async fn s5_a_lenient_app_has_no_way_around_its_routes() {
    const LENIENT: &str = "lenient.test";
    let app = doorward_tests::raw::RawUpstream::ok().await;
    let house = House::with(|config| {
        config.local_is_corp();
        let admin = serde_json::json!({"id": "admin", "path": "/admin", "tier": "restricted"});
        let lenient = serde_json::json!({"groups": ["engineering"], "lenient_path": true, "route": [admin]});
        config.app("lenient", LENIENT, app.address(), lenient);
    })
    .await;
    let token = house.issuer.token("dana");
    for http in BOTH {
        let mut talk = house.talk(http);
        for (path, status) in [
            ("/page;jsessionid=1/x", 200),
            ("/C%23", 200),
            ("/job/feature%252Fx/", 200),
            ("/admin;x=1/users", 400),
            ("/admin%3Bx=1/users", 400),
            ("/admin%3Fx", 400),
            ("/admin%23", 400),
            ("/%2561dmin", 400),
            ("/%25%36%31dmin", 400),
            ("/%2541DMIN", 400),
            ("/page%252F..%252Fadmin", 400),
            ("/;x/admin", 400),
            ("/ADMIN;x", 400),
        ] {
            let before = app.requests().len();
            let said = talk.say(&Ask::get(LENIENT, path).token(&token)).await;
            assert_eq!(said.status, status, "{http:?} {path}: {said:?}");
            let seen = app.requests().split_off(before);
            assert_eq!(seen.len(), usize::from(status == 200), "{http:?} {path}");
            if let Some(seen) = seen.first() {
                assert_eq!(seen.head.target(), path);
            }
        }
    }
}

#[tokio::test]
async fn s5_absolute_targets_name_the_same_host() {
    let house = House::open().await;
    let bearer = format!("authorization: Bearer {}\r\n", house.issuer.token("bob"));
    for (line, status) in [
        ("GET http://wiki.test/page?q HTTP/1.1\r\nhost: wiki.test\r\n", 200),
        ("GET HTTP://wiki.test/page?q HTTP/1.1\r\nhost: wiki.test\r\n", 200),
        ("GET http://wiki.test:80/page?q HTTP/1.1\r\nhost: wiki.test:80\r\n", 200),
        ("GET http://payroll.test/page HTTP/1.1\r\nhost: wiki.test\r\n", 400),
        ("GET http://wiki.test/page HTTP/1.1\r\nhost: payroll.test\r\n", 400),
        ("GET http://wiki.test@payroll.test/ HTTP/1.1\r\nhost: wiki.test\r\n", 400),
        ("GET http://wiki.test:80@payroll.test/ HTTP/1.1\r\nhost: wiki.test\r\n", 400),
        ("GET ftp://wiki.test/page HTTP/1.1\r\nhost: wiki.test\r\n", 400),
        ("GET file:///etc/passwd HTTP/1.1\r\nhost: wiki.test\r\n", 400),
        ("GET //wiki.test/page HTTP/1.1\r\nhost: wiki.test\r\n", 400),
        ("GET wiki.test:80 HTTP/1.1\r\nhost: wiki.test\r\n", 400),
        ("GET wiki.test HTTP/1.1\r\nhost: wiki.test\r\n", 400),
        ("OPTIONS * HTTP/1.1\r\nhost: wiki.test\r\n", 400),
        ("CONNECT wiki.test:80 HTTP/1.1\r\nhost: wiki.test\r\n", 405),
        ("GET /page#x HTTP/1.1\r\nhost: wiki.test\r\n", 400),
        ("GET http://wiki.test/page#x HTTP/1.1\r\nhost: wiki.test\r\n", 400),
    ] {
        let before = house.reached();
        let mut client = doorward_tests::h1::H1::connect(house.gateway.address()).await;
        client.send(format!("{line}{bearer}\r\n")).await;
        let method = line.split(' ').next().unwrap();
        let answer = client.response(method).await;
        assert_eq!(answer.status(), status, "{line}: {answer:?}");
        assert_eq!(house.reached() - before, usize::from(status == 200), "{line}");
        if status == 200 {
            let seen = house.wiki.requests().pop().unwrap();
            assert_eq!(seen.head.first_line(), "GET /page?q HTTP/1.1");
            let host = seen.head.value("host").unwrap();
            assert_eq!(host.strip_suffix(":80").unwrap_or(&host), WIKI, "{line}");
        }
    }
}
