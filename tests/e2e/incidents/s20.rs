//! S20, tokens that leak (GO-2024-2965, CVE-2022-24797, CVE-2026-41181, GHSA-59jp-rwph-878r): what a
//! client keeps secret stands in no answer, no log, no event and no number; a request that is refused
//! never comes near an app; what operators see is not on the clients' address.

use doorward_tests::h1::{self, H1};
use doorward_tests::raw::{Answer, RawUpstream, Step};
use doorward_tests::wire::until;
use serde_json::json;

use super::house::{BUILD, House, PAYROLL, WIKI};
use super::talk::{Ask, BOTH, Talk};

/// Marks that stand where secrets stand. None of them is a word of ours.
const MARKS: &[&str] = &[
    "MARKcookie",
    "MARKquery",
    "MARKbasic",
    "MARKtoken",
    "MARKbody",
    "MARKfield",
    "MARKuser",
    "MARKfragment",
];

struct Seeded {
    tokens: Vec<String>,
    /// The operator's, and what the gateway signed for the apps.
    whole: Vec<String>,
}

impl Seeded {
    /// Nothing of it stands in a text.
    fn absent(&self, place: &str, text: &str) {
        for mark in MARKS {
            assert!(!text.contains(mark), "`{mark}` in {place}: {}", around(text, mark));
        }
        for secret in &self.whole {
            assert!(!text.contains(secret), "a secret of the gateway in {place}: {}", around(text, secret));
            // A signature is enough to tell it by, whatever the rest looks like.
            let last = secret.rsplit('.').next().unwrap();
            assert!(!text.contains(last), "a part of a secret in {place}: {}", around(text, last));
        }
        for token in &self.tokens {
            // Any of its parts that is long enough to be of use. A header is the same for everybody.
            for part in token.split('.').skip(1).filter(|p| p.len() > 20) {
                assert!(!text.contains(part), "a token in {place}: {}", around(text, part));
                assert!(
                    !text.contains(&part[..20]),
                    "a part of a token in {place}: {}",
                    around(text, &part[..20])
                );
            }
        }
    }
}

fn around<'a>(text: &'a str, mark: &str) -> &'a str {
    let at = text.find(mark).unwrap();
    let mut from = at.saturating_sub(200);
    while !text.is_char_boundary(from) {
        from -= 1;
    }
    let mut to = (at + 200).min(text.len());
    while !text.is_char_boundary(to) {
        to -= 1;
    }
    &text[from..to]
}

/// A request full of secrets.
fn secret(host: &str, path: &str) -> Ask {
    Ask::get(host, format!("{path}?password=MARKquery&x=1"))
        .field("cookie", "session=MARKcookie; __Host-doorward-session=MARKcookie")
        .field("x-api-key", "MARKfield")
        .field("referer", "http://wiki.test/?token=MARKquery")
}

#[tokio::test]
async fn s20_no_secret_is_written_anywhere() {
    let wiki = RawUpstream::start(|head| match head.target().split('?').next().unwrap() {
        "/broken" => Answer::bytes("nonsense MARKfield\r\n\r\n").then(Step::Close),
        "/cut" => Answer::bytes("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab").then(Step::Reset),
        _ => Answer::ok("ok"),
    })
    .await;
    let house = House::before(wiki, |config| {
        // As much as an operator may ask for.
        config.log("trace");
        config.set("app.2.upstream.addresses", json!(["127.0.0.1:1"]));
    })
    .await;
    let good = house.issuer.token("bob");
    let old = house.issuer.token_but("bob", &json!({"exp": 1_000_000_000}));
    let stolen = house.issuer.token_but("bob", &json!({"jti": "s20-stolen"}));
    let forged = format!("{}.MARKtoken{}", good.rsplit_once('.').unwrap().0, "A".repeat(77));
    let operator = house.gateway.token().to_owned();
    let mut seeded =
        Seeded { tokens: vec![good.clone(), old.clone(), stolen.clone()], whole: vec![operator.clone()] };
    house.gateway.revoke("token", "demo:s20-stolen").await;
    let mut answers = Vec::new();
    for http in BOTH {
        let mut talk = house.talk(http);
        for ask in [
            secret(WIKI, "/page").token(&good),
            secret(WIKI, "/page").token(&good).method("POST").body("MARKbody"),
            secret(WIKI, "/page"),
            secret(WIKI, "/page").token(&old),
            secret(WIKI, "/page").token(&stolen),
            secret(WIKI, "/page").token(&forged),
            secret(WIKI, "/page").token("MARKtoken.MARKtoken.MARKtoken"),
            secret(WIKI, "/page").field("authorization", "Basic MARKbasic"),
            secret(WIKI, "/page").field("authorization", "MARKbasic"),
            secret(WIKI, "/page").token(&good).token("MARKtoken"),
            secret(WIKI, "/admin").token(&good),
            secret(WIKI, "/../x").token(&good),
            secret(WIKI, "/broken").token(&good),
            secret(WIKI, "/cut").token(&good),
            secret(PAYROLL, "/").token(&good),
            secret(BUILD, "/").token(&good),
            secret("MARKuser:MARKuser@wiki.test", "/").token(&good),
            secret("nowhere.test", "/").token(&good),
            Ask::get(WIKI, "/page?MARKquery").method("MARKED").token(&good),
            Ask::get(WIKI, "/page#MARKfragment").token(&good),
            Ask::get(WIKI, "/page").field("x", vec![b'a'; 40_000]).field("cookie", "MARKcookie").token(&good),
        ] {
            let said = talk.say(&ask.clone().field("accept", "text/html")).await;
            answers.push(said.everything());
            answers.push(talk.say(&ask).await.everything());
        }
    }
    // What is no request at all.
    for bytes in [
        format!(
            "GET /?MARKquery HTTP/1.1\r\nhost: {WIKI}\r\nauthorization: Bearer {good}\r\ncookie: MARKcookie\r\nbad line\r\n\r\n"
        ),
        format!(
            "GET /?MARKquery HTTP/9\r\nhost: {WIKI}\r\nauthorization: Bearer {good}\r\ncookie: MARKcookie\r\n\r\n"
        ),
        format!("MARKfield /?MARKquery\r\nauthorization: Bearer {good}\r\n\r\n"),
        format!(
            "GET /?MARKquery HTTP/1.1\r\nhost: {WIKI}\r\nhost: x\r\nauthorization: Bearer {good}\r\n\r\n"
        ),
        format!(
            "POST /?MARKquery HTTP/1.0\r\nhost: {WIKI}\r\ntransfer-encoding: chunked\r\nauthorization: Bearer {good}\r\n\r\n0\r\n\r\n"
        ),
        format!(
            "POST /?MARKquery HTTP/1.1\r\nhost: {WIKI}\r\ncontent-length: MARKfield\r\nauthorization: Bearer {good}\r\n\r\n"
        ),
        format!(
            "POST /page?MARKquery HTTP/1.1\r\nhost: {WIKI}\r\ntransfer-encoding: chunked\r\nauthorization: Bearer {good}\r\n\r\nMARKbody\r\n"
        ),
        format!(
            "GET /?MARKquery HTTP/1.1\r\nhost: {WIKI}\r\nauthorization: Bearer {good}\r\ncookie: MARKcook"
        ),
    ] {
        let mut client = H1::connect(house.gateway.address()).await;
        client.try_send(bytes).await;
        client.finish().await;
        let (seen, _) = client.drain(std::time::Duration::from_secs(10)).await;
        answers.push(String::from_utf8_lossy(&seen).into_owned());
    }
    // At its own address the operator's token is used, mistaken, and put where it does not belong.
    for path in ["/api/v1/status", "/api/v1/nothing", "/metrics", "/readyz"] {
        for token in [operator.clone(), format!("{operator}x")] {
            let auth = format!("Bearer {token}");
            let fields = [("authorization", auth.as_str()), ("cookie", &format!("token={token}"))];
            let host = house.gateway.operator().to_string();
            let answer = h1::ask(house.gateway.operator(), "GET", &host, path, &fields).await;
            answers.push(format!("{}{}", answer.head.text(), answer.text()));
        }
    }
    answers.push(house.say(BOTH[0], &Ask::get(WIKI, "/").token(&operator)).await.everything());
    // What the app was given for a proof is the app's alone.
    let assertions: std::collections::BTreeSet<String> =
        house.wiki.requests().iter().flat_map(|r| r.head.values("x-doorward-assertion")).collect();
    assert!(!assertions.is_empty() && assertions.iter().all(|a| a.matches('.').count() == 2));
    seeded.whole.extend(assertions);
    for answer in &answers {
        // An app's own answer may say what it likes; there is one that does.
        seeded.absent("an answer", answer);
    }
    // The app got what was its own, and nothing of ours.
    let seen = house.wiki.requests();
    assert!(!seen.is_empty());
    for request in &seen {
        let text = request.head.text();
        assert!(!text.contains("MARKfragment"), "{text}");
        if !request.head.target().contains("password=") {
            continue; // Without a cookie: one with a fragment, which HTTP/2 drops, and one of bytes.
        }
        assert!(text.contains("password=MARKquery") && text.contains("session=MARKcookie"), "{text}");
        assert!(!text.contains("__Host-doorward") && !text.contains(&good), "{text}");
    }
    let inflight = house.gateway.api("GET", "/api/v1/inflight", None).await.text;
    let metrics = house.gateway.api("GET", "/metrics", None).await.text;
    seeded.absent("the list of what runs", &inflight);
    seeded.absent("the metrics", &metrics);
    // Everything is in the log when the last one is.
    let last = house.say(BOTH[0], &Ask::get(WIKI, "/last")).await;
    house.recorded(&[(&last, "unauthenticated")]).await;
    seeded.absent("the gateway's log", &house.gateway.log());
    let mut files = vec![house.gateway.folder().join("data")];
    let mut looked = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()));
        } else if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            seeded.absent(&path.display().to_string(), &String::from_utf8_lossy(&bytes));
            looked += 1;
        }
    }
    assert!(looked >= 3, "{looked} files");
}

#[tokio::test]
async fn s20_a_refusal_never_contacts_an_app() {
    let house = House::with(|config| {
        for app in 0..4 {
            // After the first look, nobody but a request connects.
            config.set(&format!("app.{app}.upstream.health_seconds"), json!(3600));
        }
    })
    .await;
    let token = house.issuer.token("bob");
    let connections = || {
        house.wiki.connections()
            + house.payroll.connections()
            + house.build.connections()
            + house.grpc.connections()
    };
    // The first look is one connection to each app at least, and over when the number does not change any more.
    until("the first look", || (connections() >= 4).then_some(())).await;
    let mut before = connections();
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        if connections() == before {
            break;
        }
        before = connections();
    }
    let mut refused = Vec::new();
    for http in BOTH {
        let mut talk = house.talk(http);
        for (ask, code) in [
            (Ask::get(WIKI, "/"), "unauthenticated"),
            (Ask::get(WIKI, "/").token("x"), "invalid_credential"),
            (Ask::get(PAYROLL, "/").token(&token), "policy_forbids"),
            (Ask::get(WIKI, "/").method("POST").body("x".repeat(100_000)), "unauthenticated"),
            (Ask::get(PAYROLL, "/").method("POST").body("x".repeat(100_000)).token(&token), "policy_forbids"),
            (Ask::get(WIKI, "/..").token(&token), "bad_request"),
            (Ask::get(WIKI, "/").method("TRACE").token(&token), "method_not_allowed"),
            (Ask::get("nowhere.test", "/").token(&token), "no_route"),
        ] {
            refused.push((talk.say(&ask).await, code));
        }
    }
    house.recorded(&refused.iter().map(|(said, code)| (said, *code)).collect::<Vec<_>>()).await;
    assert_eq!((house.reached(), connections()), (0, before));
    // A request that may pass does connect, so the number would have told.
    assert_eq!(house.say(BOTH[0], &Ask::get(WIKI, "/").token(&token)).await.status, 200);
    assert!(connections() > before);
}

#[tokio::test]
async fn s20_what_operators_see_is_not_on_the_clients_address() {
    let house = House::open().await;
    let operator = house.gateway.operator();
    let token = house.gateway.token().to_owned();
    let words = ["doorward_", "\"revocations\"", "\"exchanges\"", "\"ready\"", "\"keys\":"];
    let mut refused = Vec::new();
    for http in BOTH {
        let mut talk = Talk::new(http, house.gateway.address());
        for path in [
            "/metrics",
            "/healthz",
            "/readyz",
            "/livez",
            "/.well-known/jwks.json",
            "/api/v1/status",
            "/api/v1/inflight",
            "/api/v1/revocations",
            "/api/v1/policies",
            "/debug/pprof/",
            "/debug/vars",
            "/stats",
            "/config_dump",
            "/",
        ] {
            for host in [
                WIKI.to_owned(),
                operator.to_string(),
                "localhost".into(),
                house.gateway.address().to_string(),
            ] {
                let bare = talk.say(&Ask::get(&host, path)).await;
                let shown = talk.say(&Ask::get(&host, path).token(&token)).await;
                let known = host == WIKI;
                for (said, code) in [
                    (bare, if known { "unauthenticated" } else { "no_route" }),
                    (shown, if known { "invalid_credential" } else { "no_route" }),
                ] {
                    assert!(words.iter().all(|w| !said.body.contains(w)), "{host}{path}: {said:?}");
                    refused.push((said, code));
                }
            }
        }
    }
    assert_eq!(house.reached(), 0);
    house.recorded(&refused.iter().map(|(said, code)| (said, *code)).collect::<Vec<_>>()).await;
}
