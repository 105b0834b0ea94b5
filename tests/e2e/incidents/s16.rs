//! S16, request smuggling (CVE-2026-2833, CVE-2026-2835, CVE-2021-40346): whatever bytes come, an
//! app gets one request for each that was decided, framed in one way.
//!
//! Each attempt has a path of its own, `/try-7`, and tries to bring in a second request for
//! `/smuggled-7`. The upstream keeps every byte and reads on after each request, so bytes that were
//! left over on its connections would show as requests.

use std::sync::Arc;
use std::time::Duration;

use doorward_tests::frames::{Frame, Frames, Outcome};
use doorward_tests::h1::H1;
use doorward_tests::raw::{Answer, RawUpstream, Recorded, Step};
use doorward_tests::wire::Ending;
use tokio::task::JoinSet;

use super::house::{House, WIKI};
use super::talk::{Ask, BOTH, Http};

/// How many attempts run at once.
const AT_ONCE: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// 400, and nothing reaches the app.
    Refused,
    /// The first request passes, and the connection is closed after it.
    One,
    /// It may pass or not, whole or cut off; the second one never does.
    AtMostOne,
}

use Expect::{AtMostOne, One, Refused};

struct Attempt {
    name: String,
    bytes: Vec<u8>,
    expect: Expect,
}

/// Attempts under way: each gets its number, its token and what it wants to bring in.
struct Corpus {
    bearer: String,
    attempts: Vec<Attempt>,
}

impl Corpus {
    fn new(token: &str) -> Self {
        Self { bearer: format!("authorization: Bearer {token}"), attempts: Vec::new() }
    }

    fn second(&self) -> String {
        let i = self.attempts.len();
        format!("GET /smuggled-{i} HTTP/1.1\r\nhost: {WIKI}\r\n{}\r\n\r\n", self.bearer)
    }

    /// A request line and fields of its own, and a body made of what is to be brought in.
    fn add(&mut self, name: &str, expect: Expect, fields: &str, body: impl Fn(&str) -> String) {
        let (i, second, bearer) = (self.attempts.len(), self.second(), &self.bearer);
        let body = body(&second);
        let bytes = format!("POST /try-{i} HTTP/1.1\r\nhost: {WIKI}\r\n{bearer}\r\n{fields}\r\n{body}");
        let bytes = bytes.replace("{second_len}", &second.len().to_string());
        let bytes = bytes.replace("{second_hex}", &format!("{:x}", second.len()));
        self.attempts.push(Attempt { name: name.to_owned(), bytes: bytes.into_bytes(), expect });
    }

    /// The same with another request line, `{i}` standing for its number.
    fn line(&mut self, name: &str, expect: Expect, head: &str, body: impl Fn(&str) -> String) {
        let (i, second) = (self.attempts.len(), self.second());
        let body = body(&second);
        let head = head.replace("{i}", &i.to_string()).replace("{bearer}", &self.bearer);
        let bytes = format!("{head}{body}").replace("{second_len}", &second.len().to_string());
        self.attempts.push(Attempt { name: name.to_owned(), bytes: bytes.into_bytes(), expect });
    }
}

/// Lengths that are told in two ways, or in none.
fn lengths(corpus: &mut Corpus) {
    let chunked = |second: &str| format!("0\r\n\r\n{second}");
    let te = "transfer-encoding: chunked\r\n";
    corpus.add("CL.TE", Refused, &format!("content-length: 6\r\n{te}"), chunked);
    corpus.add("CL.TE, the other way around", Refused, &format!("{te}content-length: 6\r\n"), chunked);
    corpus.add("CL 0 and TE", Refused, &format!("content-length: 0\r\n{te}"), chunked);
    corpus.add("TE.CL", Refused, &format!("content-length: 4\r\n{te}"), |s| {
        format!("{{second_hex}}\r\n{s}\r\n0\r\n\r\n")
    });
    corpus.add(
        "CL twice and TE",
        Refused,
        &format!("content-length: 4\r\ncontent-length: 9\r\n{te}"),
        chunked,
    );
    for (name, values) in [
        ("different", "content-length: 0\r\ncontent-length: {second_len}\r\n"),
        ("different, the other way around", "content-length: {second_len}\r\ncontent-length: 0\r\n"),
        ("the same twice", "content-length: 0\r\ncontent-length: 0\r\n"),
        ("a list", "content-length: 0, {second_len}\r\n"),
        ("a list of the same", "content-length: 0, 0\r\n"),
        ("a list with nothing", "content-length: ,0\r\n"),
        ("plus", "content-length: +0\r\n"),
        ("minus", "content-length: -0\r\n"),
        ("minus one", "content-length: -1\r\n"),
        ("hex", "content-length: 0x0\r\n"),
        ("exponent", "content-length: 0e0\r\n"),
        ("fraction", "content-length: 0.0\r\n"),
        ("two numbers", "content-length: 0 0\r\n"),
        ("words", "content-length: zero\r\n"),
        ("nothing", "content-length:\r\n"),
        ("blanks", "content-length:  \t \r\n"),
        ("quoted", "content-length: \"0\"\r\n"),
        ("huge", "content-length: 18446744073709551616\r\n"),
        ("huge and zero", "content-length: 100000000000000000000000000000000\r\n"),
        ("a parameter", "content-length: 0;x=1\r\n"),
        ("underscores", "content-length: 0_0\r\n"),
        ("another alphabet", "content-length: \u{660}\r\n"),
    ] {
        corpus.add(&format!("content-length: {name}"), Refused, values, str::to_owned);
    }
    corpus.add("a name like it", AtMostOne, "content_length: 5\r\n", str::to_owned);
    corpus.add("no length at all", One, "", str::to_owned);
    corpus.add("an honest length", One, "content-length: 2\r\n", |s| format!("ab{s}"));
    corpus.add("leading zeros", AtMostOne, "content-length: 00000000002\r\n", |s| format!("ab{s}"));
}

/// `Transfer-Encoding` that one server reads and another does not.
fn codings(corpus: &mut Corpus) {
    let chunked = |second: &str| format!("0\r\n\r\n{second}");
    for field in [
        "transfer-encoding: identity",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: identity, chunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: chunked,",
        "transfer-encoding: ,chunked",
        "transfer-encoding: xchunked",
        "transfer-encoding: chunkedx",
        "transfer-encoding: chunk",
        "transfer-encoding: chunked;q=1",
        "transfer-encoding: \"chunked\"",
        "transfer-encoding: 'chunked'",
        "transfer-encoding: chu\tnked",
        "transfer-encoding: chunked\u{b}",
        "transfer-encoding: \u{c}chunked",
        "transfer-encoding: chunked\u{a0}",
        "transfer-encoding: chun\u{212a}ed",
        "transfer-encoding:",
        "transfer-encoding: \0chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding: identity\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: cow",
        "transfer-encoding : chunked",
        "transfer-encoding\t: chunked",
        " transfer-encoding: chunked",
        "\u{b}transfer-encoding: chunked",
        "transfer-encoding: chunked\n x: folded",
        "x: 1\r\n transfer-encoding: chunked",
        "transfer-encoding:\r\n chunked",
        "x: 1\rtransfer-encoding: chunked",
        "x: 1\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r",
        "transfer\u{2010}encoding: chunked",
    ] {
        for length in ["", "content-length: 5\r\n"] {
            corpus.add(&format!("{field:?} {length:?}"), Refused, &format!("{field}\r\n{length}"), chunked);
        }
    }
    // Names that no server of ours reads; the request has no body then.
    for field in ["transfer_encoding: chunked", "x-transfer-encoding: chunked", "te: chunked"] {
        corpus.add(&format!("{field:?}"), AtMostOne, &format!("{field}\r\n"), chunked);
    }
    for case in [
        "Transfer-Encoding: Chunked",
        "TRANSFER-ENCODING: CHUNKED",
        "transfer-encoding:chunked",
        "transfer-encoding: \tchunked \t",
    ] {
        corpus.add(&format!("{case:?}"), One, &format!("{case}\r\n"), chunked);
    }
}

/// Chunks that one server ends elsewhere than another.
fn chunks(corpus: &mut Corpus) {
    for (name, size) in [
        ("0x", "0x0\r\n\r\n"),
        ("plus", "+0\r\n\r\n"),
        ("minus", "-0\r\n\r\n"),
        ("bare LF", "0\n\n"),
        ("bare LF after the size", "0\n\r\n"),
        ("bare CR", "0\r\r\n\r\n"),
        ("blanks before", " 0\r\n\r\n"),
        ("nothing", "\r\n\r\n"),
        ("a letter", "g\r\n\r\n"),
        ("too large", "10000000000000000\r\n"),
        ("too large, zero at the end", "100000000000000000000000000000000\r\n\r\n"),
        ("negative by overflow", "ffffffffffffffff\r\n"),
        ("2^63", "8000000000000000\r\n"),
        ("an end without CRLF", "2\r\nabX0\r\n\r\n"),
        ("an end of LF", "2\r\nab\n0\r\n\r\n"),
        ("a longer chunk than told", "1\r\nab\r\n0\r\n\r\n"),
        ("LF in an extension", "2;a\nb\r\nab\r\n0\r\n\r\n"),
        ("CR in an extension", "2;a\rb\r\nab\r\n0\r\n\r\n"),
        ("NUL in the size", "0\0\r\n\r\n"),
    ] {
        corpus.add(&format!("chunk: {name}"), AtMostOne, "transfer-encoding: chunked\r\n", |s| {
            format!("{size}{s}")
        });
    }
    for (name, body) in [
        ("an extension", "2;a=b\r\nab\r\n0;c\r\n\r\n"),
        ("a quoted extension", "2;a=\";\"\r\nab\r\n0\r\n\r\n"),
        ("leading zeros", "0002\r\nab\r\n0000\r\n\r\n"),
        ("trailers", "2\r\nab\r\n0\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n"),
    ] {
        corpus.add(&format!("chunk: {name}"), AtMostOne, "transfer-encoding: chunked\r\n", |s| {
            format!("{body}{s}")
        });
    }
    corpus.add("a trailer section that is a request", AtMostOne, "transfer-encoding: chunked\r\n", |s| {
        format!("0\r\n{s}")
    });
}

/// Versions, line ends, methods and other ways to end a head elsewhere.
fn heads(corpus: &mut Corpus) {
    let h = format!("host: {WIKI}\r\n{{bearer}}\r\n");
    let chunked = |second: &str| format!("0\r\n\r\n{second}");
    let te = "transfer-encoding: chunked\r\n";
    let same = str::to_owned;
    for keep in ["", "connection: keep-alive\r\n"] {
        corpus.line(
            "1.0 with TE",
            Refused,
            &format!("POST /try-{{i}} HTTP/1.0\r\n{h}{keep}{te}\r\n"),
            chunked,
        );
        let both = format!("POST /try-{{i}} HTTP/1.0\r\n{h}{keep}{te}content-length: 5\r\n\r\n");
        corpus.line("1.0 with TE and CL", Refused, &both, chunked);
        corpus.line("1.0 and a second", One, &format!("GET /try-{{i}} HTTP/1.0\r\n{h}{keep}\r\n"), same);
        let none = format!("POST /try-{{i}} HTTP/1.0\r\n{h}{keep}\r\n");
        corpus.line("1.0 without a length", AtMostOne, &none, same);
    }
    corpus.line(
        "LF alone",
        Refused,
        &format!("GET /try-{{i}} HTTP/1.1\n{}\n", h.replace("\r\n", "\n")),
        same,
    );
    corpus.line("LF after the line", Refused, &format!("GET /try-{{i}} HTTP/1.1\n{h}\r\n"), same);
    corpus.line("LF after a field", Refused, &format!("GET /try-{{i}} HTTP/1.1\r\n{h}x: 1\n\r\n"), same);
    corpus.line("LF LF at the end", Refused, &format!("GET /try-{{i}} HTTP/1.1\r\n{h}x: 1\n\n"), same);
    corpus.line("LF at the end", Refused, &format!("GET /try-{{i}} HTTP/1.1\r\n{h}x: 1\r\n\n"), same);
    corpus.line(
        "LF hides a field",
        Refused,
        &format!("POST /try-{{i}} HTTP/1.1\r\n{h}x: 1\n{te}\r\n"),
        chunked,
    );
    corpus.line("CR alone", Refused, &format!("GET /try-{{i}} HTTP/1.1\r\n{h}x: 1\r\r\n\r\n"), same);
    corpus.line(
        "CR hides a field",
        Refused,
        &format!("GET /try-{{i}} HTTP/1.1\r\n{h}x: 1\rcontent-length: 9\r\n\r\n"),
        same,
    );
    corpus.line("NUL", Refused, &format!("GET /try-{{i}} HTTP/1.1\r\n{h}x: \0\r\n\r\n"), same);
    corpus.line(
        "a folded field",
        Refused,
        &format!("GET /try-{{i}} HTTP/1.1\r\n{h}x: 1\r\n\tcontent-length: 9\r\n\r\n"),
        same,
    );
    corpus.line(
        "a request in the target",
        AtMostOne,
        &format!("GET /try-{{i}} HTTP/1.1 HTTP/1.1\r\n{h}\r\n"),
        same,
    );
    corpus.line(
        "a second line",
        Refused,
        &format!("GET /try-{{i}} HTTP/1.1\r\nGET /smuggled-{{i}} HTTP/1.1\r\n{h}\r\n"),
        same,
    );
    for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
        let head = format!("{method} /try-{{i}} HTTP/1.1\r\n{h}content-length: {{second_len}}\r\n\r\n");
        corpus.line(&format!("{method} with a body"), AtMostOne, &head, same);
        let head = format!("{method} /try-{{i}} HTTP/1.1\r\n{h}\r\n");
        corpus.line(&format!("{method} and a second"), One, &head, same);
    }
    for expect in ["100-continue", "100-Continue", "\t100-continue", "200-ok", "100-continue, x", "x"] {
        let head = format!("POST /try-{{i}} HTTP/1.1\r\n{h}expect: {expect}\r\ncontent-length: 2\r\n\r\n");
        corpus.line(&format!("expect: {expect}"), AtMostOne, &head, |s| format!("ab{s}"));
        let head = format!(
            "GET /try-{{i}} HTTP/1.1\r\n{h}expect: {expect}\r\ncontent-length: {{second_len}}\r\n\r\n"
        );
        corpus.line(&format!("GET, expect: {expect}"), AtMostOne, &head, same);
    }
}

/// A switch of protocols that does not happen.
fn upgrades(corpus: &mut Corpus) {
    let h = format!("host: {WIKI}\r\n{{bearer}}\r\n");
    let ws = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n";
    let same = str::to_owned;
    for (name, fields) in [
        ("websocket", "connection: upgrade\r\nupgrade: websocket\r\n"),
        ("WebSocket", "connection: Upgrade\r\nupgrade: WebSocket\r\n"),
        ("keep-alive too", "connection: keep-alive, upgrade\r\nupgrade: websocket\r\n"),
        ("not nominated", "upgrade: websocket\r\n"),
        (
            "h2c",
            "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
        ),
        ("two", "connection: upgrade\r\nupgrade: h2c, websocket\r\n"),
        ("two lines", "connection: upgrade\r\nupgrade: websocket\r\nupgrade: h2c\r\n"),
        ("TLS", "connection: upgrade\r\nupgrade: TLS/1.2\r\n"),
        ("anything", "connection: upgrade\r\nupgrade: x\r\n"),
        ("nothing", "connection: upgrade\r\nupgrade:\r\n"),
    ] {
        for length in [
            "",
            "content-length: 0\r\n",
            "content-length: {second_len}\r\n",
            "transfer-encoding: chunked\r\n",
        ] {
            let head = format!("GET /try-{{i}} HTTP/1.1\r\n{h}{fields}{ws}{length}\r\n");
            let body = |s: &str| {
                if length.starts_with("transfer") { format!("0\r\n\r\n{s}") } else { s.to_owned() }
            };
            corpus.line(&format!("upgrade to {name}, {length:?}"), AtMostOne, &head, body);
        }
        let head = format!("POST /try-{{i}} HTTP/1.1\r\n{h}{fields}{ws}content-length: 2\r\n\r\n");
        corpus.line(&format!("POST to {name}"), AtMostOne, &head, |s| format!("ab{s}"));
        let head = format!("GET /try-{{i}} HTTP/1.0\r\n{h}{fields}{ws}\r\n");
        corpus.line(&format!("1.0 to {name}"), AtMostOne, &head, same);
    }
}

/// What one attempt got: the answers' statuses, and whether the connection ended.
async fn attempt(address: std::net::SocketAddr, bytes: &[u8]) -> (Vec<u16>, Ending) {
    let mut client = H1::connect(address).await;
    client.try_send(bytes).await;
    let (mut seen, mut ending) = client.drain(Duration::from_secs(3)).await;
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
        running.spawn(async move { (i, attempt(address, &attempts[i].bytes).await) });
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
        }
    }
    // Others are served as before, each by its own answer.
    for http in BOTH {
        let mut talk = house.talk(http);
        for i in 0..20 {
            let ask = Ask::get(WIKI, format!("/after-{i}")).token(&house.issuer.token("bob"));
            let said = talk.say(&ask).await;
            assert_eq!((said.status, said.body.as_str()), (200, "ok"));
            assert_eq!(house.wiki.requests().pop().unwrap().head.target(), format!("/after-{i}"));
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
        assert!(begin.elapsed().as_secs() < 20, "{told} of {refused} refusals are in the log");
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
    // With a length, with none, and with a body that the connection's end ends.
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 426 Upgrade Required\r\ncontent-length: 0\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    ] {
        let wiki = RawUpstream::start(move |head| {
            if head.target().starts_with("/try") { Answer::bytes(answer) } else { Answer::ok("ok") }
        })
        .await;
        let house = House::before(wiki, |_| {}).await;
        let mut corpus = Corpus::new(&house.issuer.token("bob"));
        upgrades(&mut corpus);
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
            // can tell whose answer it is.
            let pauses: &[u64] = if path == "/late" { &[100, 60] } else { &[0, 60] };
            for pause in pauses {
                tokio::time::sleep(Duration::from_millis(*pause)).await;
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

/// Names and values, whatever they are.
type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Header blocks that would be two requests if they were written down as they are.
fn downgrades(second: &str) -> Vec<(String, Fields)> {
    let mut all = Vec::new();
    let mut add = |name: &str, fields: &[(&str, &str)]| {
        let fields = fields.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect();
        all.push((name.to_owned(), fields));
    };
    for (name, end) in [("CRLF", "\r\n"), ("LF", "\n"), ("CR", "\r"), ("NUL", "\0"), ("CRLFCRLF", "\r\n\r\n")]
    {
        add(&format!("{name} in a value"), &[("x", &format!("a{end}{second}"))]);
        add(
            &format!("{name} and TE in a value"),
            &[("x", &format!("a{end}transfer-encoding: chunked{end}y: b"))],
        );
        add(&format!("{name} in a name"), &[(&format!("x: a{end}y"), "b")]);
        add(&format!("{name} in the path"), &[(":path", &format!("/ HTTP/1.1{end}{second}"))]);
        add(&format!("{name} in the method"), &[(":method", &format!("GET / HTTP/1.1{end}{second}"))]);
        add(&format!("{name} in the authority"), &[(":authority", &format!("{WIKI}{end}x: y"))]);
        add(&format!("{name} in the scheme"), &[(":scheme", &format!("http{end}x: y"))]);
        add(&format!("{name} in a cookie"), &[("cookie", &format!("a=1{end}x: y"))]);
    }
    for (name, value) in [
        ("transfer-encoding", "chunked"),
        ("Transfer-Encoding", "chunked"),
        ("transfer-encoding ", "chunked"),
        ("transfer-encoding:", "chunked"),
        (" transfer-encoding", "chunked"),
        ("connection", "transfer-encoding"),
        ("upgrade", "websocket"),
        ("upgrade", "h2c"),
        ("content-length", "x"),
        ("content-length", "+0"),
        ("content-length", "-1"),
        ("content-length", "0, 0"),
        ("content-length", ""),
        ("content-length", "0 "),
        ("content-length:", "0"),
        ("x y", "1"),
        ("x:y", "1"),
        ("", "a"),
        (":x", "a"),
        (":status", "200"),
        (":path", "/again"),
        (":method", "PUT"),
        (":authority", "payroll.test"),
        (":scheme", "https"),
        ("host", "payroll.test"),
        ("host", "wiki.test, payroll.test"),
    ] {
        add(&format!("{name:?}: {value:?}"), &[(name, value)]);
    }
    // Malformed by RFC 9113 §8.2.1, and the same to every parser of HTTP/1.1.
    for value in [" a", "a\t", " ", "\t"] {
        add(&format!("harmless: {value:?}"), &[("x", value)]);
    }
    add("content-length twice", &[("content-length", "0"), ("content-length", "9")]);
    add("content-length twice the same", &[("content-length", "5"), ("content-length", "5")]);
    for path in
        ["/ HTTP/1.1", "/a b", "", "*", "a", "http://payroll.test/", "//payroll.test/", "/\u{7f}", "/\u{e9}"]
    {
        add(&format!("path {path:?}"), &[(":path", path)]);
    }
    for method in ["GET ", " GET", "GET /smuggled", "G\tT", "", "CONNECT", "GET\u{7f}"] {
        add(&format!("method {method:?}"), &[(":method", method)]);
    }
    all
}

#[tokio::test]
async fn s16_http2_that_becomes_two_requests_when_written_down() {
    let house = House::open().await;
    let bearer = format!("Bearer {}", house.issuer.token("bob"));
    let second = format!("GET /smuggled HTTP/1.1\r\nhost: {WIKI}\r\nauthorization: {bearer}\r\n\r\n");
    let ordinary: [(&str, &str); 5] = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", WIKI),
        (":path", "/try"),
        ("authorization", &bearer),
    ];
    for (name, odd) in downgrades(&second) {
        for body in [false, true] {
            // A pseudo-field takes the place of the ordinary one, except where it comes again.
            let replaces = |n: &[u8]| {
                odd.iter().any(|(o, v)| {
                    o == n
                        && n.starts_with(b":")
                        && v != b"/again"
                        && v != b"PUT"
                        && v != b"payroll.test"
                        && v != b"https"
                })
            };
            let mut fields: Vec<(&[u8], &[u8])> = ordinary
                .iter()
                .map(|(n, v)| (n.as_bytes(), v.as_bytes()))
                .filter(|(n, _)| !replaces(n))
                .collect();
            let pseudo = odd.iter().filter(|(n, _)| n.starts_with(b":"));
            let rest = odd.iter().filter(|(n, _)| !n.starts_with(b":"));
            let at = fields.len() - 1;
            for (n, v) in pseudo {
                fields.insert(at, (n, v));
            }
            fields.extend(rest.map(|(n, v)| (n.as_slice(), v.as_slice())));
            let before = house.reached();
            let mut frames = Frames::connect(house.gateway.address()).await;
            frames.send(&Frame::headers(1, !body, &fields)).await;
            if body {
                frames.send(&Frame::data(1, true, format!("0\r\n\r\n{second}").as_bytes())).await;
            }
            let outcome = frames.outcome(1, Duration::from_secs(10)).await;
            let refused = matches!(
                outcome,
                Outcome::Reset(_) | Outcome::GoAway(_) | Outcome::Closed | Outcome::Status(400..=499)
            );
            if name.starts_with("harmless") {
                // One request or none; which of both is not the point.
                let seen = house.wiki.requests().split_off(before);
                assert!(refused && seen.is_empty() || seen.len() == 1, "{name}, body {body}: {outcome:?}");
                seen.iter().for_each(framed_once);
                continue;
            }
            assert!(refused, "{name}, body {body}: {outcome:?}");
            assert_eq!(house.reached(), before, "{name}, body {body}: {outcome:?}");
        }
    }
    assert_eq!(house.say(Http::Two, &Ask::get(WIKI, "/").field("authorization", &bearer)).await.status, 200);
}

#[tokio::test]
async fn s16_http2_bodies_are_framed_by_the_gateway_alone() {
    let house = House::open().await;
    let bearer = format!("Bearer {}", house.issuer.token("bob"));
    let second = format!("GET /smuggled HTTP/1.1\r\nhost: {WIKI}\r\nauthorization: {bearer}\r\n\r\n");
    let smuggled = format!("0\r\n\r\n{second}");
    let exact = smuggled.len().to_string();
    let attempts = [
        (None, true),
        (Some(exact.as_str()), true),
        (Some("0"), false),
        (Some("5"), false),
        (Some("99999"), false),
    ];
    for (i, (length, whole)) in attempts.iter().enumerate() {
        let path = format!("/try-{i}");
        let mut fields: Vec<(&[u8], &[u8])> = vec![
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":authority", WIKI.as_bytes()),
            (b":path", path.as_bytes()),
            (b"authorization", bearer.as_bytes()),
        ];
        if let Some(length) = length {
            fields.push((b"content-length", length.as_bytes()));
        }
        let mut frames = Frames::connect(house.gateway.address()).await;
        frames.send(&Frame::headers(1, false, &fields)).await;
        frames.send(&Frame::data(1, true, smuggled.as_bytes())).await;
        let outcome = frames.outcome(1, Duration::from_secs(10)).await;
        assert_eq!(outcome == Outcome::Status(200), *whole, "{length:?}: {outcome:?}");
    }
    for i in 0..10 {
        let ask = Ask::get(WIKI, format!("/after-{i}")).field("authorization", &bearer);
        assert_eq!(house.say(Http::Two, &ask).await.body, "ok");
    }
    let seen = house.wiki.requests();
    for (i, (length, whole)) in attempts.iter().enumerate() {
        let mine: Vec<_> = seen.iter().filter(|r| r.head.target() == format!("/try-{i}")).collect();
        assert!(mine.len() <= 1, "{length:?}: {mine:?}");
        for request in mine {
            framed_once(request);
            let all = request.whole && request.body == smuggled.as_bytes();
            // What came of a body whose length was a lie is never a whole one for the app; that of
            // length 0 had none before the lie came out.
            let none = request.body.is_empty() && *length == Some("0");
            assert!(if *whole { all } else { !request.whole || none }, "{length:?}: {request:?}");
        }
    }
    assert!(seen.iter().all(|r| !r.head.target().contains("smuggled")));
}
