//! Where a browser goes back to: the open-redirect vectors (S10), each held against how browsers read addresses
//! (the WHATWG parser of the crate `url`), and whatever else may come.

use doorward_identity::target::{ReturnTarget, TargetError};
use proptest::prelude::*;
use reqwest::Url;

const HOST: &str = "wiki.corp.example";

/// What becomes of a target: it is gone back to as it is, the top is instead, or it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Becomes {
    Itself,
    Top,
    Refused(TargetError),
}

use Becomes::{Itself, Refused, Top};
use TargetError::{Ambiguous, Long, NotAPath};

/// What a browser is sent to, as it reads it: to the whole address, and to what stands behind the host alone.
fn as_browsers_read(target: &ReturnTarget) -> [Url; 2] {
    let base = Url::parse(&format!("https://{HOST}:8443/.doorward/enter?code=1")).unwrap();
    let whole = format!("https://{}:8443{}", target.host(), target.path_and_query());
    [Url::parse(&whole).unwrap(), base.join(target.path_and_query()).unwrap()]
}

fn stays(target: &ReturnTarget) -> bool {
    as_browsers_read(target).iter().all(|url| {
        url.scheme() == "https"
            && url.host_str() == Some(HOST)
            && url.port() == Some(8443)
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    })
}

fn becomes(target: &str) -> Becomes {
    match ReturnTarget::parse(HOST, target) {
        Ok(read) => {
            assert!(stays(&read), "{target:?} leads away");
            if read.path_and_query() == target { Itself } else { Top }
        }
        Err(e) => Refused(e),
    }
}

/// The forty, and what must go on working.
const VECTORS: &[(&str, Becomes)] = &[
    // Another host by the begin of the path.
    ("//evil.example", Refused(Ambiguous)),
    ("///evil.example", Refused(Ambiguous)),
    ("////evil.example/%2f..", Refused(Ambiguous)),
    ("/\\evil.example", Refused(Ambiguous)),
    ("\\\\evil.example", Refused(NotAPath)),
    ("\\/evil.example", Refused(NotAPath)),
    ("/\\/evil.example", Refused(Ambiguous)),
    ("/%2fevil.example", Refused(Ambiguous)),
    ("/%2F%2Fevil.example", Refused(Ambiguous)),
    ("%2f%2fevil.example", Refused(NotAPath)),
    ("/%5cevil.example", Refused(Ambiguous)),
    ("/%5Cevil.example", Refused(Ambiguous)),
    ("/%252fevil.example", Refused(Ambiguous)),
    ("/%25255cevil.example", Refused(Ambiguous)),
    // Through control characters that browsers drop.
    ("/\t/evil.example", Refused(NotAPath)),
    ("/\n/evil.example", Refused(NotAPath)),
    ("/\r\n/evil.example", Refused(NotAPath)),
    ("\t//evil.example", Refused(NotAPath)),
    (" //evil.example", Refused(NotAPath)),
    ("/%09/evil.example", Refused(Ambiguous)),
    ("/%0a/evil.example", Refused(Ambiguous)),
    ("/a\0b", Refused(NotAPath)),
    ("/a%00b", Refused(Ambiguous)),
    ("/\u{7f}", Refused(NotAPath)),
    // Another line of the answer.
    ("/a\r\nLocation: https://evil.example", Refused(NotAPath)),
    ("/a%0d%0aSet-Cookie:%20a=b", Refused(Ambiguous)),
    ("/a?b=%0D%0ASet-Cookie:%20a=b", Refused(Ambiguous)),
    ("/a%250d%250ab", Refused(Ambiguous)),
    ("/\u{10a}\u{10d}", Refused(NotAPath)),
    // Another scheme, host, port or user.
    ("https://evil.example/", Refused(NotAPath)),
    ("https:evil.example", Refused(NotAPath)),
    ("https:/evil.example", Refused(NotAPath)),
    ("HTTP://evil.example", Refused(NotAPath)),
    ("javascript:alert(1)", Refused(NotAPath)),
    ("java%0d%0ascript:alert(1)", Refused(NotAPath)),
    ("data:text/html,x", Refused(NotAPath)),
    ("@evil.example", Refused(NotAPath)),
    (":8444/", Refused(NotAPath)),
    (".evil.example", Refused(NotAPath)),
    ("evil.example", Refused(NotAPath)),
    ("?//evil.example", Refused(NotAPath)),
    ("", Refused(NotAPath)),
    // Out of the path, to a host or to a page of the gateway.
    ("/..//evil.example", Refused(Ambiguous)),
    ("/.//evil.example", Refused(Ambiguous)),
    ("/a/../..//evil.example", Refused(Ambiguous)),
    ("/%2e%2e/%2fevil.example", Refused(Ambiguous)),
    ("/a/%2E./b", Refused(Ambiguous)),
    ("/a/..\\..\\b", Refused(Ambiguous)),
    ("/a/../.doorward/callback", Refused(Ambiguous)),
    // Characters that look like others.
    ("/\u{ff0f}evil.example", Refused(NotAPath)),
    ("/\u{2215}evil.example", Refused(NotAPath)),
    ("/\u{3002}evil.example", Refused(NotAPath)),
    // A fragment.
    ("/a#//evil.example", Refused(NotAPath)),
    // Pages of the gateway are not gone back to.
    ("/.doorward", Top),
    ("/.doorward/", Top),
    ("/.doorward/callback?code=a&state=b", Top),
    ("/.doorward?x", Top),
    ("/%2edoorward/start?ticket=a", Top),
    ("/.Doorward/enter", Top),
    ("/.doorward%2fsign-out", Top),
    // What apps have, and no harm in it.
    ("/", Itself),
    ("/@evil.example", Itself),
    ("/a//b", Itself),
    ("/a:b@c:443/", Itself),
    ("/https://evil.example", Itself),
    ("/a?next=//evil.example&b=https://evil.example", Itself),
    ("/a?path=C%3A%5CUsers%5Calice", Itself),
    ("/api/projects/group%2Fproject", Itself),
    ("/pages/%C3%A4%20b?q=%25&r=100%", Itself),
    ("/a/...;b/.c/..d", Itself),
    ("/.doorwardly/x", Itself),
    ("/x/.doorward/start", Itself),
    ("/?", Itself),
    ("/<script>\"'`{}|^", Itself),
];

#[test]
fn s10_no_target_leads_to_another_host() {
    let hostile = VECTORS.iter().filter(|(_, becomes)| *becomes != Itself).count();
    assert!(hostile >= 40, "{hostile}");
    let wrong: Vec<_> = VECTORS
        .iter()
        .filter(|(target, want)| becomes(target) != *want)
        .map(|(t, w)| (t, becomes(t), w))
        .collect();
    assert!(wrong.is_empty(), "target, got, want: {wrong:#?}");
}

/// The vectors are worth something: read as browsers read them, without us, many lead away.
#[test]
fn s10_many_of_the_vectors_would_lead_away() {
    let base = Url::parse(&format!("https://{HOST}/")).unwrap();
    let away = VECTORS.iter().filter(|(_, becomes)| matches!(becomes, Refused(_)));
    let away =
        away.filter(|(target, _)| base.join(target).is_ok_and(|url| url.host_str() != Some(HOST))).count();
    assert!(away >= 14, "{away}");
}

#[test]
fn s10_what_is_long_is_no_target_and_the_top_is_one_always() {
    let long = |bytes: usize| format!("/{}", "x".repeat(bytes - 1));
    assert_eq!(becomes(&long(2048)), Itself);
    assert_eq!(becomes(&long(2049)), Refused(Long));
    for target in [long(2049).as_str(), "//evil.example", "/.doorward/x", ""] {
        let top = ReturnTarget::or_top(HOST, target).unwrap();
        assert_eq!((top.host(), top.path_and_query()), (HOST, "/"), "{target}");
    }
    assert_eq!(ReturnTarget::or_top(HOST, "/a?b").unwrap().path_and_query(), "/a?b");
}

#[test]
fn s10_a_host_is_a_name_and_nothing_else() {
    for host in ["wiki.corp.example", "wiki", "127.0.0.1", "a_b-c.example"] {
        assert!(ReturnTarget::parse(host, "/").is_ok(), "{host}");
    }
    for host in [
        "",
        ".",
        "wiki.corp.example.",
        ".wiki",
        "a..b",
        "-a",
        "Wiki.corp.example",
        "wiki.corp.example:8444",
        "alice@wiki.corp.example",
        "alice:x@wiki.corp.example",
        "wiki.corp.example/",
        "wiki.corp.example\\",
        "wiki.corp.example#",
        "wiki.corp.example?",
        "wiki.corp.example\0",
        "wiki.corp.example\n",
        "wiki%2ecorp",
        "[::1]",
        "w\u{456}ki.example",
        &"a.".repeat(127),
        &"a".repeat(254),
    ] {
        assert_eq!(ReturnTarget::parse(host, "/"), Err(TargetError::Host), "{host:?}");
    }
}

#[test]
fn a_query_does_not_show() {
    let target = ReturnTarget::parse(HOST, "/a?token=s3cret").unwrap();
    assert_eq!(format!("{target:?}"), "wiki.corp.example/a?…");
}

proptest! {
    /// Of everything: what is taken stays, is what came, and is taken again.
    #[test]
    fn s10_whatever_comes_stays(target in ".{0,60}", nasty in "[/\\\\.%2fF5cCdDeE0aA9@:?#a\t\r\n]{0,40}") {
        for target in [target.clone(), format!("/{target}"), nasty.clone(), format!("/{nasty}")] {
            if let Ok(read) = ReturnTarget::parse(HOST, &target) {
                prop_assert!(stays(&read), "{:?} leads away", target);
                prop_assert!(read.path_and_query() == target || read.path_and_query() == "/");
                prop_assert!(ReturnTarget::parse(HOST, read.path_and_query()).as_ref() == Ok(&read));
            }
        }
    }

    /// No text is a host and leads elsewhere than to itself.
    #[test]
    fn s10_a_host_that_is_taken_is_one(host in "[a-z0-9.:@/\\\\%_-]{0,30}") {
        if let Ok(read) = ReturnTarget::parse(&host, "/") {
            let url = Url::parse(&format!("https://{}/", read.host()));
            // A name that ends in a number is no name to a browser, which then goes nowhere.
            let is_it = |url: Url| {
                let same = url.host_str() == Some(&host) || url.domain().is_none();
                url.path() == "/" && url.port().is_none() && same
            };
            prop_assert!(url.map_or(true, is_it));
        }
    }
}
