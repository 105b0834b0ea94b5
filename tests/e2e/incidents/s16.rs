//! S16, request smuggling (CVE-2026-2833, CVE-2026-2835, CVE-2021-40346): whatever bytes come, an
//! app gets one request for each that was decided, framed in one way.
//!
//! Each attempt has a path of its own, `/try-7`, and tries to bring in a second request for
//! `/smuggled-7`. The upstream keeps every byte and reads on after each request, so bytes that were
//! left over on its connections would show as requests.

use std::sync::Arc;
use std::time::Duration;

use doorward_tests::h1::H1;
use doorward_tests::raw::{Answer, RawUpstream, Recorded, Step};
use doorward_tests::wire::Ending;
use serde_json::json;
use tokio::task::JoinSet;

use super::house::{House, WIKI};
use super::talk::{Ask, BOTH};
use corpus::Expect::{AtMostOne, One, Refused, Told};
use corpus::{Attempt, Corpus, chunks, codings, heads, lengths, upgrades};

mod corpus;
mod http2;

/// How many attempts run at once.
const AT_ONCE: usize = 12;

/// What one attempt got: the answers' statuses, and whether the connection ended.
async fn attempt(address: std::net::SocketAddr, attempt: &Attempt) -> (Vec<u16>, Ending) {
    let mut client = H1::connect(address).await;
    client.try_send(&attempt.bytes).await;
    // Whoever must get an answer is not said to be gone before it came, however slow the machine is.
    let patience = if attempt.expect == AtMostOne { 3 } else { 15 };
    let (mut seen, mut ending) = client.drain(Duration::from_secs(patience)).await;
    if ending == Ending::StillOpen {
        // It waits for more of a body: there is no more.
        client.finish().await;
        let (rest, last) = client.drain(Duration::from_secs(10)).await;
        seen.extend(rest);
        ending = last;
    }
    let text = String::from_utf8_lossy(&seen).into_owned();
    let statuses = text.match_indices("HTTP/1.1 ").filter_map(|(at, mark)| {
        text[at + mark.len()..].get(..3)?.parse().ok().filter(|status| *status >= 200)
    });
    (statuses.collect(), ending)
}

/// One request, framed in one way, in lines that end as they should.
fn framed_once(seen: &Recorded) {
    let (text, raw) = (seen.head.text(), seen.head.raw());
    let lengths = seen.head.values("content-length");
    let codings = seen.head.values("transfer-encoding");
    assert!(lengths.len() + codings.len() <= 1, "{text}");
    assert!(lengths.iter().all(|l| l.bytes().all(|b| b.is_ascii_digit())), "{text}");
    assert!(codings.iter().all(|c| c == "chunked"), "{text}");
    assert!(raw.iter().enumerate().all(|(i, b)| *b != b'\n' || (i > 0 && raw[i - 1] == b'\r')), "{text}");
    assert!(raw.windows(2).all(|w| w[0] != b'\r' || w[1] == b'\n'), "{text}");
    assert!(!raw.contains(&0), "{text}");
    assert!(seen.head.first_line().ends_with(" HTTP/1.1"), "{text}");
    assert_eq!(seen.head.values("host"), [WIKI], "{text}");
    assert_eq!(seen.head.values("x-doorward-user"), ["demo:bob"], "{text}");
    let folded = raw.windows(3).any(|w| w[..2] == *b"\r\n" && matches!(w[2], b' ' | b'\t'));
    assert!(!folded, "{text}");
}

async fn run(house: &House, corpus: Corpus) {
    let address = house.gateway.address();
    let attempts = Arc::new(corpus.attempts);
    let mut results = vec![(Vec::new(), Ending::StillOpen); attempts.len()];
    let mut running = JoinSet::new();
    for i in 0..attempts.len() {
        if running.len() == AT_ONCE {
            let (i, result) = running.join_next().await.unwrap().unwrap();
            results[i] = result;
        }
        let attempts = Arc::clone(&attempts);
        running.spawn(async move { (i, attempt(address, &attempts[i]).await) });
    }
    while let Some(done) = running.join_next().await {
        let (i, result) = done.unwrap();
        results[i] = result;
    }
    let seen = house.wiki.requests();
    for request in &seen {
        assert!(!request.head.target().contains("smuggled"), "{}", request.head.text());
        framed_once(request);
    }
    let mut refused = 0;
    for (i, (attempt, (statuses, ending))) in attempts.iter().zip(&results).enumerate() {
        let told = format!("{}: {statuses:?}, {ending:?}\n{}", attempt.name, attempt.bytes.escape_ascii());
        let path = format!("/try-{i}");
        let reached = seen.iter().filter(|r| r.head.target().split('?').next() == Some(&path)).count();
        assert_ne!(*ending, Ending::StillOpen, "the connection stays open: {told}");
        assert!(statuses.len() <= 1, "{told}");
        match attempt.expect {
            Refused => {
                assert_eq!((reached, statuses.as_slice()), (0, &[400][..]), "{told}");
                refused += 1;
            }
            One => assert_eq!((reached, statuses.as_slice()), (1, &[200][..]), "{told}"),
            AtMostOne => assert!(reached <= 1, "{told}"),
            Told(status) => assert_eq!((reached, statuses.as_slice()), (1, &[status][..]), "{told}"),
        }
    }
    // Others are served as before, each by its own answer.
    for http in BOTH {
        let mut talk = house.talk(http);
        for i in 0..20 {
            let ask = Ask::get(WIKI, format!("/after-{i}")).token(&house.issuer.token("bob"));
            let said = talk.say(&ask).await;
            assert_eq!((said.status, said.body.as_str()), (200, "ok"));
            let seen = house.wiki.requests().pop().unwrap();
            assert_eq!(seen.head.first_line(), format!("GET /after-{i} HTTP/1.1"));
            framed_once(&seen);
        }
    }
    // Each refusal is an event, whoever found the mistake.
    let begin = std::time::Instant::now();
    loop {
        let events = house.gateway.events();
        let code =
            |e: &&serde_json::Value| e["unmapped"]["doorward"]["decision"]["reason_code"] == "bad_request";
        let told = events.iter().filter(code).count();
        if told >= refused {
            break;
        }
        assert!(begin.elapsed().as_secs() < 60, "{told} of {refused} refusals are in the log");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn s16_lengths_told_in_two_ways() {
    let house = House::open().await;
    let mut corpus = Corpus::new(&house.issuer.token("bob"));
    lengths(&mut corpus);
    run(&house, corpus).await;
}

#[tokio::test]
async fn s16_codings_that_hide() {
    let house = House::open().await;
    let mut corpus = Corpus::new(&house.issuer.token("bob"));
    codings(&mut corpus);
    run(&house, corpus).await;
}

#[tokio::test]
async fn s16_chunks_that_end_elsewhere() {
    let house = House::open().await;
    let mut corpus = Corpus::new(&house.issuer.token("bob"));
    chunks(&mut corpus);
    run(&house, corpus).await;
}

#[tokio::test]
async fn s16_heads_that_end_elsewhere() {
    let house = House::open().await;
    let mut corpus = Corpus::new(&house.issuer.token("bob"));
    heads(&mut corpus);
    run(&house, corpus).await;
}

#[tokio::test]
async fn s16_an_upgrade_that_the_app_refuses() {
    // With a length, with none, and with a body that the connection's end ends. A success that is no
    // 101 is no answer to an upgrade: a client could take what follows for either protocol.
    for (answer, closes, told) in [
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", false, 403),
        ("HTTP/1.1 403 Forbidden\r\n\r\nno", true, 403),
        (
            "HTTP/1.1 426 Upgrade Required\r\ncontent-length: 0\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
            false,
            426,
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false, 502),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false, 502),
        ("HTTP/1.1 200 OK\r\n\r\nok", true, 502),
        ("HTTP/1.1 204 No Content\r\n\r\n", false, 502),
    ] {
        let wiki = RawUpstream::start(move |head| match (head.target().starts_with("/try"), closes) {
            (true, true) => Answer::bytes(answer).then(Step::Close),
            (true, false) => Answer::bytes(answer),
            (false, _) => Answer::ok("ok"),
        })
        .await;
        // As an app of the engineers, who may open WebSockets: else every attempt ends at the policy.
        let address = wiki.address().to_string();
        let house = House::before(wiki, |config| {
            config.set("app.0.hosts", json!(["elsewhere.test"]));
            config.set("app.2.hosts", json!([WIKI])).set("app.2.upstream.addresses", json!([address]));
        })
        .await;
        let mut corpus = Corpus::new(&house.issuer.token("bob"));
        upgrades(&mut corpus, told);
        run(&house, corpus).await;
    }
}

#[tokio::test]
async fn s16_two_answers_to_one_question_stay_with_it() {
    let wiki = RawUpstream::start(|head| match head.target().as_str() {
        "/two" => Answer::ok("ok").send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen"),
        "/late" => Answer::ok("ok")
            .wait(Duration::from_millis(30))
            .send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen"),
        "/head" => Answer::ok("stolen"),
        "/none" => {
            Answer::bytes("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen")
        }
        "/not-modified" => Answer::bytes("HTTP/1.1 304 Not Modified\r\ncontent-length: 6\r\n\r\nstolen"),
        "/both" => Answer::bytes(
            "HTTP/1.1 200 OK\r\ncontent-length: 60\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n\
             HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen",
        )
        .then(Step::Close),
        _ => Answer::ok("mine"),
    })
    .await;
    let house = House::before(wiki, |_| {}).await;
    let token = house.issuer.token("bob");
    for http in BOTH {
        for path in ["/two", "/late", "/head", "/none", "/not-modified", "/both"] {
            let method = if path == "/head" { "HEAD" } else { "GET" };
            let _answer = house.say(http, &Ask::get(WIKI, path).method(method).token(&token)).await;
            // What comes late comes while nobody asks: in the middle of the next question no proxy
            // can tell whose answer it is. Step by step, so that a machine that stands still in one of them has
            // others left in which the gateway sees it.
            let pauses: &[u64] = if path == "/late" { &[5, 1] } else { &[0, 1] };
            for steps in pauses {
                for _ in 0..*steps {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                for _ in 0..3 {
                    let said = house.say(http, &Ask::get(WIKI, "/next").token(&token)).await;
                    // An app that breaks the protocol may cost an answer, never give a wrong one.
                    assert!(!said.everything().contains("stolen"), "after {path}: {said:?}");
                    assert!(
                        said.status == 200 && said.body == "mine" || said.status == 502,
                        "after {path}: {said:?}"
                    );
                }
            }
        }
    }
}
