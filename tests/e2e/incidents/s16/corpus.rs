//! What is tried over HTTP/1.1, as data: the bytes, and what must become of them.

use super::WIKI;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// 400, and nothing reaches the app.
    Refused,
    /// The first request passes, and the connection is closed after it.
    One,
    /// It may pass or not, whole or cut off; the second one never does.
    AtMostOne,
    /// It reaches the app, the client gets this status, and the connection is closed after it.
    Told(u16),
}

use Expect::{AtMostOne, One, Refused, Told};

pub(super) struct Attempt {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) expect: Expect,
}

/// Attempts under way: each gets its number, its token and what it wants to bring in.
pub(super) struct Corpus {
    bearer: String,
    pub(super) attempts: Vec<Attempt>,
}

impl Corpus {
    pub(super) fn new(token: &str) -> Self {
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
pub(super) fn lengths(corpus: &mut Corpus) {
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
pub(super) fn codings(corpus: &mut Corpus) {
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
pub(super) fn chunks(corpus: &mut Corpus) {
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
pub(super) fn heads(corpus: &mut Corpus) {
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

/// A switch of protocols that does not happen; what a client is told who asked as RFC 6455 wants it.
pub(super) fn upgrades(corpus: &mut Corpus, told: u16) {
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
            let plain = ["websocket", "WebSocket", "keep-alive too"].contains(&name) && length.is_empty();
            let expect = if plain { Told(told) } else { AtMostOne };
            corpus.line(&format!("upgrade to {name}, {length:?}"), expect, &head, body);
        }
        let head = format!("POST /try-{{i}} HTTP/1.1\r\n{h}{fields}{ws}content-length: 2\r\n\r\n");
        corpus.line(&format!("POST to {name}"), AtMostOne, &head, |s| format!("ab{s}"));
        let head = format!("GET /try-{{i}} HTTP/1.0\r\n{h}{fields}{ws}\r\n");
        corpus.line(&format!("1.0 to {name}"), AtMostOne, &head, same);
    }
}
