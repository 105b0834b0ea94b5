//! S1, identity-header alias spoofing (CVE-2025-64484, CVE-2026-33433, CVE-2026-54763,
//! CVE-2026-88011): whatever way a name is written, an app hears our word for it and no other.

use std::time::Duration;

use doorward_tests::h1::H1;
use doorward_tests::h2::H2;
use doorward_tests::raw::Recorded;

use super::house::{GRPC, House, WIKI, fold};
use super::talk::{Ask, BOTH, Http};

/// What the gateway says.
const OURS: [&str; 9] = [
    "x-doorward-user",
    "x-doorward-groups",
    "x-doorward-email",
    "x-doorward-assertion",
    "x-doorward-request-id",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "traceparent",
];

/// What nobody says, though apps may believe it.
const RESERVED: [&str; 26] = [
    "x-doorward-anything",
    "x-doorward-on-behalf-of",
    "client-ip",
    "x-remote-group",
    "x-remote-extra-scopes",
    "x-doorward",
    "x-forwarded-user",
    "x-forwarded-uri",
    "x-forwarded-client-cert",
    "x-auth-request-user",
    "x-auth-request-access-token",
    "x-authenticated-user",
    "x-original-url",
    "x-rewrite-url",
    "x-real-ip",
    "x-remote-user",
    "remote-user",
    "x-ssl-client-cert",
    "ssl-client-s-dn",
    "x-webauth-user",
    "x-goog-authenticated-user-email",
    "cf-access-jwt-assertion",
    "x-pomerium-claim-email",
    "x-envoy-original-path",
    "forwarded",
    "tracestate",
];

/// Ways to write a name that fold to the same letters: each character that RFC 9110 §5.6.2 lets
/// stand in a name, in place of `-`, beside it, doubled, at both ends, and nothing at all.
fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![name.to_owned(), name.replace('-', "")];
    for c in "_.!#$%&'*+^`|~".chars() {
        all.push(name.replace('-', &c.to_string()));
        all.push(name.replacen('-', &c.to_string(), 1));
        all.push(format!("{name}{c}"));
        all.push(format!("{c}{name}"));
    }
    for joint in ["--", "-_", "_-", "__", "._", "-.-"] {
        all.push(name.replace('-', joint));
    }
    let cased: Vec<String> = all.iter().map(|n| n.to_ascii_uppercase()).collect();
    let odd: Vec<String> = all
        .iter()
        .map(|n| {
            n.chars().enumerate().map(|(i, c)| if i % 2 == 0 { c.to_ascii_uppercase() } else { c }).collect()
        })
        .collect();
    all.into_iter().chain(cased).chain(odd).collect()
}

/// What an app may see: each of our names at most once, written as we write it, with our value.
fn only_our_words(seen: &Recorded, principal: bool) {
    let text = seen.head.text();
    assert!(!text.to_ascii_lowercase().contains("mallory"), "{text}");
    for name in OURS.iter().chain(&RESERVED) {
        let written: Vec<_> = seen.head.fields().into_iter().filter(|(n, _)| fold(n) == fold(name)).collect();
        let mine = OURS.contains(name) && (principal || !name.starts_with("x-doorward"));
        let request_id = *name == "x-doorward-request-id";
        assert_eq!(written.len(), usize::from(mine || request_id), "{name}: {text}");
        assert!(written.iter().all(|(n, v)| n.eq_ignore_ascii_case(name) && !v.is_empty()), "{text}");
    }
    if principal {
        assert_eq!(seen.head.value("x-doorward-user").as_deref(), Some("demo:bob"), "{text}");
        assert_eq!(seen.head.value("x-doorward-groups").as_deref(), Some("eng-team"), "{text}");
        assert_eq!(seen.head.value("x-doorward-email").as_deref(), Some("bob@demo.example"), "{text}");
    }
}

#[tokio::test]
async fn s1_no_spelling_of_a_reserved_name_reaches_an_app() {
    let house = House::open().await;
    let token = house.issuer.token("bob");
    let names: Vec<String> = OURS.iter().chain(&RESERVED).flat_map(|n| spellings(n)).collect();
    for http in BOTH {
        let mut talk = house.talk(http);
        for (i, some) in names.chunks(60).enumerate() {
            for public in [false, true] {
                let path = format!("{}/{i}", if public { "/welcome" } else { "/page" });
                let mut ask = Ask::get(WIKI, &path);
                if !public {
                    ask = ask.token(&token);
                }
                for (k, name) in some.iter().enumerate() {
                    // Values with content, empty, and of blanks; the first ones come twice.
                    ask = ask.field(name, ["mallory", "", "mallory, mallory", "demo:mallory"][k % 4]);
                    if k < 20 {
                        ask = ask.field(name, "mallory");
                    }
                }
                let before = house.wiki.requests().len();
                let said = talk.say(&ask).await;
                assert_eq!(said.status, 200, "{http:?} {path}: {said:?}");
                only_our_words(&house.wiki.wait_requests(before + 1).await[before], !public);
            }
        }
    }
}

#[tokio::test]
async fn s1_blanks_and_single_names_are_no_way_around() {
    let house = House::open().await;
    let token = house.issuer.token("bob");
    for http in BOTH {
        let mut talk = house.talk(http);
        for name in OURS {
            for value in ["mallory", "", " ", "\t", " mallory ", "mallory\t"] {
                let before = house.wiki.requests().len();
                let said = talk.say(&Ask::get(WIKI, "/one").token(&token).field(name, value)).await;
                // A value with blanks at its ends is malformed in HTTP/2 (RFC 9113 §8.2.1).
                if said.status != 200 {
                    assert!(http == Http::Two && value.trim() != value && !said.is_success(), "{said:?}");
                    assert_eq!(house.wiki.requests().len(), before);
                    continue;
                }
                only_our_words(&house.wiki.wait_requests(before + 1).await[before], true);
            }
        }
    }
}

#[tokio::test]
async fn s1_trailers_cannot_say_what_a_header_may_not() {
    let house = House::open().await;
    let bearer = format!("Bearer {}", house.issuer.token("bob"));
    let mut h1 = H1::connect(house.gateway.address()).await;
    let head = format!(
        "POST /up HTTP/1.1\r\nhost: {WIKI}\r\nauthorization: {bearer}\r\ntransfer-encoding: chunked\r\n\
         trailer: x-doorward-user\r\n\r\n"
    );
    h1.send(head).await;
    h1.send("2\r\nab\r\n0\r\nx-doorward-user: mallory\r\nx_doorward_user: mallory\r\n\r\n").await;
    assert_eq!(h1.response("POST").await.status(), 200);
    for (host, seen) in [(WIKI, 2), (GRPC, 1)] {
        let h2 = H2::connect(house.gateway.address()).await;
        let request = h2.request("POST", host, "/up", &[("authorization", &bearer)]);
        let mut stream = h2.open(request, false).await.unwrap();
        stream.send_data(b"ab", false).await.unwrap();
        stream.send_trailers(&[("x-doorward-user", "mallory"), ("x_doorward_user", "mallory")]).unwrap();
        let reply = stream.reply().await.unwrap();
        assert_eq!((reply.status, reply.gone), (200, None));
        if host == WIKI {
            house.wiki.wait_requests(seen).await;
        }
    }
    for seen in house.wiki.requests() {
        only_our_words(&seen, true);
        assert!(seen.whole && seen.body == b"ab", "{seen:?}");
        assert!(!String::from_utf8_lossy(&seen.raw_body).contains("mallory"), "{seen:?}");
    }
    let seen = &house.grpc.wait_requests(1).await[0];
    assert!(!format!("{seen:?}").contains("mallory"), "{seen:?}");
    assert_eq!(seen.headers.get_all("x-doorward-user").iter().collect::<Vec<_>>(), ["demo:bob"]);
}

#[tokio::test]
async fn s1_an_app_behind_http2_hears_the_same() {
    let house = House::open().await;
    let token = house.issuer.token("bob");
    for http in BOTH {
        for some in OURS.map(spellings).concat().chunks(60) {
            let mut ask = Ask::get(GRPC, "/page").token(&token);
            for name in some {
                ask = ask.field(name, "mallory");
            }
            let before = house.grpc.requests().len();
            let said = house.say(http, &ask).await;
            assert_eq!(said.status, 200, "{said:?}");
            let seen = &house.grpc.wait_requests(before + 1).await[before];
            assert!(!format!("{:?}", seen.headers).contains("mallory"), "{seen:?}");
            for name in OURS {
                let written = seen.headers.keys().filter(|n| fold(n.as_str()) == fold(name)).count();
                assert_eq!((written, seen.headers.get_all(name).iter().count()), (1, 1), "{name}: {seen:?}");
            }
        }
    }
}

#[tokio::test]
async fn s1_gateway_cookies_and_tokens_stay_at_the_door() {
    let house = House::open().await;
    let token = house.issuer.token("bob");
    for http in BOTH {
        let before = house.wiki.requests().len();
        let ask = Ask::get(WIKI, "/c")
            .token(&token)
            .field("cookie", "a=1; __Host-doorward-session=mallory; b=2")
            .field("cookie", "__host-DOORWARD=mallory");
        assert_eq!(house.say(http, &ask).await.status, 200);
        let seen = &house.wiki.wait_requests(before + 1).await[before];
        only_our_words(seen, true);
        assert!(!seen.head.text().contains(&token), "{}", seen.head.text());
        assert_eq!(seen.head.values("cookie"), ["a=1; b=2"]);
    }
    // Nothing more comes late.
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(house.wiki.requests().len(), 2);
}
