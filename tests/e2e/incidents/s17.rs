//! S17, a client that costs more than it pays (CVE-2026-105297, the HTTP/2 floods of 2019, rapid
//! reset, CONTINUATION flood): memory stays bounded, and others are served meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use doorward_tests::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, header_block,
};
use doorward_tests::raw::{Answer, RawUpstream, Step};
use doorward_tests::wire::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::house::{House, WIKI};
use super::talk::{Ask, BOTH, Http};

/// By how much an attack may make the gateway grow, in KiB. Each would cost a gateway without
/// bounds several times that.
const GROWTH_KIB_MAX: u64 = 64 * 1024;
/// How long an attack that nobody stops goes on.
const ATTACK_SECONDS_MAX: u64 = 8;

/// How long somebody else may wait for an answer meanwhile. Generous, as the machine is the
/// attackers' too; without a bound of their own, others would wait for as long as an attack takes.
const OTHERS_SECONDS_MAX: u64 = 15;

/// A line of what the system tells of a process's memory, in KiB: `VmRSS` is what it holds now,
/// `VmHWM` the most that it ever held.
fn memory(house: &House, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", house.gateway.pid())).unwrap();
    let line = status.lines().find(|l| l.starts_with(line)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What an attack did.
#[derive(Debug)]
struct Cost {
    /// By how much the gateway grew at the worst moment, in KiB.
    growth: u64,
    /// How many of the connections were told to go or closed.
    ended: usize,
}

/// A connection on which bytes are sent for as long as the other side takes them.
struct Flood {
    stream: TcpStream,
    sent: u64,
    /// What came and is no whole frame yet.
    seen: Vec<u8>,
    speaks_http2: bool,
    told_to_go: bool,
    closed: bool,
    end: Instant,
}

impl Flood {
    /// Over HTTP/2, with the settings that are given.
    async fn http2(address: SocketAddr, settings: &[u8]) -> Self {
        let mut flood = Self { speaks_http2: true, ..Self::plain(address).await };
        flood.send(PREFACE).await;
        flood.send(&Frame::new(SETTINGS, 0, 0, settings).encode()).await;
        flood
    }

    async fn plain(address: SocketAddr) -> Self {
        let stream = doorward_tests::wire::connect(address).await;
        let end = Instant::now() + Duration::from_secs(ATTACK_SECONDS_MAX);
        let seen = Vec::new();
        Self { stream, sent: 0, seen, speaks_http2: false, told_to_go: false, closed: false, end }
    }

    /// Sends; false when the other side is gone or takes nothing more. What comes back is read, so
    /// that the other side cannot say that it was not heard.
    async fn send(&mut self, bytes: &[u8]) -> bool {
        let mut left = bytes;
        let mut piece = [0; 16 * 1024];
        while !left.is_empty() {
            let (mut reader, mut writer) = self.stream.split();
            let step = async {
                tokio::select! {
                    biased;
                    read = reader.read(&mut piece) => (Some(read), None),
                    written = writer.write(left) => (None, Some(written)),
                }
            };
            let remaining = self.end.saturating_duration_since(Instant::now());
            match tokio::time::timeout(remaining, step).await {
                Ok((Some(Ok(n)), _)) if n > 0 => self.heard(&piece[..n]),
                Ok((_, Some(Ok(n)))) if n > 0 => {
                    left = &left[n..];
                    self.sent += n as u64;
                }
                Ok(_) => {
                    self.closed = true;
                    return false;
                }
                Err(_) => return false,
            }
        }
        true
    }

    /// Sends without listening.
    async fn send_deaf(&mut self, bytes: &[u8]) -> bool {
        let remaining = self.end.saturating_duration_since(Instant::now());
        let sent = tokio::time::timeout(remaining, self.stream.write_all(bytes)).await;
        self.sent += bytes.len() as u64;
        matches!(sent, Ok(Ok(())))
    }

    /// Looks through what came, frame by frame.
    fn heard(&mut self, bytes: &[u8]) {
        if !self.speaks_http2 {
            return;
        }
        self.seen.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(head) = self.seen.get(at..at + 9) {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            self.told_to_go |= head[3] == GOAWAY;
            if self.seen.len() < at + 9 + length {
                break;
            }
            at += 9 + length;
        }
        self.seen.drain(..at);
    }

    /// Sends nothing more, and listens until the other side says that this was too much, or its time
    /// is over.
    async fn listen(&mut self) {
        let end = Instant::now() + Duration::from_secs(OTHERS_SECONDS_MAX);
        let mut piece = [0; 16 * 1024];
        while !self.told_to_go && !self.closed {
            let left = end.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.stream.read(&mut piece)).await {
                Err(_) => return,
                Ok(Ok(n)) if n > 0 => self.heard(&piece[..n]),
                Ok(_) => self.closed = true,
            }
        }
    }
}

/// Runs an attack on several connections at once while another client asks, who must not wait.
async fn under<A, F>(house: &House, connections: usize, attack: A) -> Cost
where
    A: Fn(SocketAddr) -> F,
    F: Future<Output = Flood> + Send + 'static,
{
    let token = house.issuer.token("bob");
    // Whatever the first requests need is there before.
    for http in BOTH {
        for _ in 0..20 {
            assert_eq!(house.say(http, &Ask::get(WIKI, "/warm").token(&token)).await.status, 200);
        }
    }
    // The most that it ever held is counted from here (proc_pid_clear_refs(5)).
    std::fs::write(format!("/proc/{}/clear_refs", house.gateway.pid()), "5").unwrap();
    let before = memory(house, "VmRSS:");
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..connections {
        running.spawn(attack(house.gateway.address()));
    }
    let (mut floods, mut served, mut slowest) = (Vec::new(), 0, Duration::ZERO);
    while floods.len() < connections {
        tokio::select! {
            flood = running.join_next() => floods.push(flood.unwrap().unwrap()),
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
        let (http, begin) = (BOTH[served % 2], Instant::now());
        let said = house.say(http, &Ask::get(WIKI, "/meanwhile").token(&token)).await;
        slowest = slowest.max(begin.elapsed());
        assert_eq!((said.status, said.body.as_str()), (200, "ok"), "{http:?} under attack");
        served += 1;
    }
    let worst = memory(house, "VmHWM:");
    let sent: u64 = floods.iter().map(|f| f.sent).sum();
    let ended = floods.iter().filter(|f| f.told_to_go || f.closed).count();
    eprintln!(
        "{connections} connections sent {sent} bytes, {ended} were ended; {served} others were served, the \
         slowest in {slowest:?}; the gateway went from {before} to {worst} KiB"
    );
    assert!(slowest < Duration::from_secs(OTHERS_SECONDS_MAX), "others waited {slowest:?}");
    drop(floods);
    for http in BOTH {
        assert_eq!(house.say(http, &Ask::get(WIKI, "/after").token(&token)).await.status, 200);
    }
    Cost { growth: worst.saturating_sub(before), ended }
}

/// The fields of a request, as literals.
fn request(path: &str, more: &[(&[u8], &[u8])]) -> Vec<u8> {
    let fields: [(&[u8], &[u8]); 4] = [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", WIKI.as_bytes()),
        (b":path", path.as_bytes()),
    ];
    header_block(&[&fields, more].concat())
}

#[tokio::test]
async fn s17_a_header_of_one_byte_references() {
    let house = House::open().await;
    let cost = under(&house, 4, |address| async move {
        let mut flood = Flood::http2(address, &[]).await;
        // One entry of some 4000 bytes in the table (RFC 7541 §6.2.1), then one byte for each copy.
        let mut first = request("/bomb", &[]);
        // 3900 is 127 and 3773, which is 0x3d and 29 times 128.
        first.extend([0x40, 1, b'x', 0x7f, 0xbd, 29]);
        first.extend(vec![b'a'; 3900]);
        for i in 0..200_u32 {
            let mut block = if i == 0 { first.clone() } else { request("/bomb", &[]) };
            block.extend(vec![0xbe; 16_000 - block.len()]);
            if !flood.send(&Frame::new(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, block).encode()).await {
                break;
            }
        }
        flood
    })
    .await;
    assert!(cost.growth < GROWTH_KIB_MAX, "{cost:?}");
    // 200 headers of 60 MB each would have been decoded; none became a request.
    assert!(house.wiki.requests().iter().all(|r| r.head.target() != "/bomb"));
}

#[tokio::test]
async fn s17_ten_thousand_streams_at_once() {
    let wiki = RawUpstream::start(|head| match head.target().as_str() {
        "/hang" => Answer::bytes("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").then(Step::Hang),
        _ => Answer::ok("ok"),
    })
    .await;
    let house = House::before(wiki, |_| {}).await;
    let bearer = format!("Bearer {}", house.issuer.token("bob"));
    let cost = under(&house, 1, |address| {
        let bearer = bearer.clone();
        async move {
            let mut flood = Flood::http2(address, &[]).await;
            let block = request("/hang", &[(b"authorization", bearer.as_bytes())]);
            for i in 0..10_000_u32 {
                if !flood
                    .send(&Frame::new(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, &*block).encode())
                    .await
                {
                    break;
                }
            }
            flood
        }
    })
    .await;
    assert!(cost.growth < GROWTH_KIB_MAX, "{cost:?}");
    let hanging = house.wiki.requests().iter().filter(|r| r.head.target() == "/hang").count();
    assert!(hanging <= 100, "{hanging} streams of one connection ran at once");
}

#[tokio::test]
async fn s17_rapid_reset() {
    let house = House::open().await;
    let bearer = format!("Bearer {}", house.issuer.token("bob"));
    let cost = under(&house, 2, |address| {
        let bearer = bearer.clone();
        async move {
            let mut flood = Flood::http2(address, &[]).await;
            let block = request("/reset", &[(b"authorization", bearer.as_bytes())]);
            for i in 0..20_000_u32 {
                let stream = 2 * i + 1;
                let open = Frame::new(HEADERS, END_HEADERS | END_STREAM, stream, &*block).encode();
                let reset = Frame::new(RST_STREAM, 0, stream, [0, 0, 0, 8]).encode();
                if !flood.send(&[open, reset].concat()).await {
                    break;
                }
            }
            flood.listen().await;
            flood
        }
    })
    .await;
    assert_eq!(cost.ended, 2, "a connection that resets 20,000 streams goes on: {cost:?}");
    assert!(cost.growth < GROWTH_KIB_MAX, "{cost:?}");
    let reached = house.wiki.requests().iter().filter(|r| r.head.target() == "/reset").count();
    assert!(reached < 5_000, "{reached} of 40,000 requests were worked on: the connection was not ended");
}

#[tokio::test]
async fn s17_continuation_without_end() {
    let house = House::open().await;
    let cost = under(&house, 4, |address| async move {
        let mut flood = Flood::http2(address, &[]).await;
        let mut open = flood.send(&Frame::new(HEADERS, END_STREAM, 1, request("/cont", &[])).encode()).await;
        let more = header_block(&[(b"x", &[b'a'; 16_000])]);
        let frame = Frame::new(CONTINUATION, 0, 1, more).encode();
        for _ in 0..20_000 {
            if !open {
                break;
            }
            open = flood.send(&frame).await;
        }
        // Empty ones cost nothing to send.
        let empty = Frame::new(CONTINUATION, 0, 1, []).encode().repeat(1000);
        while open && flood.sent < 400 << 20 {
            open = flood.send(&empty).await;
        }
        flood.listen().await;
        flood
    })
    .await;
    assert_eq!(cost.ended, 4, "a header without end goes on: {cost:?}");
    assert!(cost.growth < GROWTH_KIB_MAX, "{cost:?}");
    assert!(house.wiki.requests().iter().all(|r| r.head.target() != "/cont"));
}

#[tokio::test]
async fn s17_a_client_that_does_not_read() {
    // 200 MiB in all, of which the gateway may hold only what its buffers do.
    const EACH: usize = 2 << 20;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let wiki = RawUpstream::start(move |head| match head.target().as_str() {
        "/large" => {
            counted.fetch_add(1, Ordering::SeqCst);
            Answer::bytes(format!("HTTP/1.1 200 OK\r\ncontent-length: {EACH}\r\n\r\n")).send(vec![b'a'; EACH])
        }
        _ => Answer::ok("ok"),
    })
    .await;
    let house = House::before(wiki, |_| {}).await;
    let bearer = format!("Bearer {}", house.issuer.token("bob"));
    let cost = under(&house, 1, |address| {
        let (bearer, asked) = (bearer.clone(), Arc::clone(&asked));
        async move {
            // SETTINGS_INITIAL_WINDOW_SIZE 1: each stream may send one byte.
            let mut flood = Flood::http2(address, &[0, 4, 0, 0, 0, 1]).await;
            let block = request("/large", &[(b"authorization", bearer.as_bytes())]);
            for i in 0..100_u32 {
                flood.send(&Frame::new(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, &*block).encode()).await;
            }
            // All of it is on its way, and nobody reads it.
            until("the app to be asked", || (asked.load(Ordering::SeqCst) >= 100).then_some(())).await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            flood
        }
    })
    .await;
    // Each stream may hold what was sent to it and wait in three buffers on the way.
    assert!(cost.growth < 96 * 1024, "{cost:?}");
    assert_eq!(house.wiki.requests().iter().filter(|r| r.head.target() == "/large").count(), 100);
}

#[tokio::test]
async fn s17_floods_of_small_frames() {
    let house = House::open().await;
    for (name, frame) in [
        ("settings", Frame::new(SETTINGS, 0, 0, [0, 4, 0, 1, 0, 0])),
        ("empty settings", Frame::new(SETTINGS, 0, 0, [])),
        ("pings", Frame::new(PING, 0, 0, [0; 8])),
        ("windows", Frame::new(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1])),
        ("priorities", Frame::new(2, 0, 1, [0, 0, 0, 0, 1])),
        ("unknown frames", Frame::new(99, 0, 0, [0; 32])),
    ] {
        let many = frame.encode().repeat(500);
        // One who listens to the answers, and one who does not.
        for deaf in [false, true] {
            let cost = under(&house, 2, |address| {
                let many = many.clone();
                async move {
                    let mut flood = Flood::http2(address, &[]).await;
                    flood.end = Instant::now() + Duration::from_secs(2);
                    for _ in 0..1000 {
                        let taken = if deaf { flood.send_deaf(&many).await } else { flood.send(&many).await };
                        if !taken {
                            break;
                        }
                    }
                    flood
                }
            })
            .await;
            assert!(cost.growth < GROWTH_KIB_MAX, "{name}, deaf {deaf}: {cost:?}");
        }
    }
}

#[tokio::test]
async fn s17_a_body_of_empty_frames() {
    let house = House::open().await;
    let bearer = format!("Bearer {}", house.issuer.token("bob"));
    let cost = under(&house, 2, |address| {
        let bearer = bearer.clone();
        async move {
            let mut flood = Flood::http2(address, &[]).await;
            flood.end = Instant::now() + Duration::from_secs(3);
            let block = request("/empty", &[(b"authorization", bearer.as_bytes())]);
            let mut open = flood.send(&Frame::new(HEADERS, END_HEADERS, 1, block).encode()).await;
            let many = Frame::new(DATA, 0, 1, []).encode().repeat(1000);
            while open && flood.sent < 64 << 20 {
                open = flood.send(&many).await;
            }
            flood
        }
    })
    .await;
    assert!(cost.growth < GROWTH_KIB_MAX, "{cost:?}");
}

#[tokio::test]
async fn s17_headers_without_end_over_http1() {
    let house = House::open().await;
    let cost = under(&house, 128, |address| async move {
        let mut flood = Flood::plain(address).await;
        flood.end = Instant::now() + Duration::from_secs(4);
        let mut open = flood.send(format!("GET /h HTTP/1.1\r\nhost: {WIKI}\r\n").as_bytes()).await;
        let lines = [b"x-a: ".as_slice(), &[b'a'; 32_000], b"\r\n"].concat();
        while open && flood.sent < 1_000_000 {
            open = flood.send(&lines).await;
        }
        // Just below the megabyte at which Pingora would stop reading, and then nothing.
        let mut rest = [0; 4096];
        let wait = flood.end.saturating_duration_since(Instant::now());
        let _ = tokio::time::timeout(wait, flood.stream.read(&mut rest)).await;
        flood
    })
    .await;
    assert!(cost.growth < GROWTH_KIB_MAX, "{cost:?}");
    assert!(house.wiki.requests().iter().all(|r| r.head.target() != "/h"));
}

#[tokio::test]
async fn s17_a_header_that_is_too_large_is_told_so() {
    let house = House::open().await;
    let token = house.issuer.token("bob");
    let mut refused = Vec::new();
    for http in BOTH {
        // Below the bound of the library, above ours: many lines, or many bytes.
        let mut many = Ask::get(WIKI, "/").token(&token);
        for i in 0..120 {
            many = many.field(format!("x-{i}"), "a");
        }
        let mut large = Ask::get(WIKI, "/").token(&token);
        for i in 0..20 {
            large = large.field(format!("x-{i}"), vec![b'a'; 1800]);
        }
        let long = Ask::get(WIKI, format!("/{}", "a".repeat(9000))).token(&token);
        for ask in [many, large, long] {
            let said = house.say(http, &ask).await;
            assert_eq!(said.status, 431, "{http:?}: {said:?}");
            // Over HTTP/2 the library may answer before a request exists.
            if said.refusal().is_some() || http == Http::One {
                refused.push(said);
            }
        }
    }
    assert_eq!(house.reached(), 0);
    house.recorded(&refused.iter().map(|s| (s, "header_too_large")).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn s17_the_bounds_are_said_in_the_settings() {
    let house = House::open().await;
    let mut frames = Frames::connect(house.gateway.address()).await;
    let settings = loop {
        let frame = frames.next().await.unwrap();
        if frame.kind == SETTINGS && frame.flags & END_STREAM == 0 {
            break frame.payload;
        }
    };
    let said = |id: u8| {
        settings
            .chunks(6)
            .find(|s| s[..2] == [0, id])
            .map(|s| u32::from_be_bytes(s[2..6].try_into().unwrap()))
    };
    assert_eq!(said(3), Some(100), "SETTINGS_MAX_CONCURRENT_STREAMS");
    assert_eq!(said(6), Some(32 * 1024), "SETTINGS_MAX_HEADER_LIST_SIZE");
    assert_eq!(said(8).unwrap_or(0), 0, "SETTINGS_ENABLE_CONNECT_PROTOCOL");
}
