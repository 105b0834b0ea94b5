//! HTTP/2 frame by frame (RFC 9113 §4 and §6), for what no client would send: fields with line
//! breaks, upper case, pseudo-fields out of place, floods. Header blocks are written as literals,
//! never indexed (RFC 7541 §6.2.3), so that every byte is the test's.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use crate::message::Buffered;
use crate::tls::{Authority, Hello};
use crate::wire::{self, Wire, within};

/// The client's first bytes.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// `DATA`.
pub const DATA: u8 = 0;
/// `HEADERS`.
pub const HEADERS: u8 = 1;
/// `RST_STREAM`.
pub const RST_STREAM: u8 = 3;
/// `SETTINGS`.
pub const SETTINGS: u8 = 4;
/// `PING`.
pub const PING: u8 = 6;
/// `GOAWAY`.
pub const GOAWAY: u8 = 7;
/// `WINDOW_UPDATE`.
pub const WINDOW_UPDATE: u8 = 8;
/// `CONTINUATION`.
pub const CONTINUATION: u8 = 9;

/// The flag that ends a stream; of `SETTINGS` and `PING`, the one that acknowledges.
pub const END_STREAM: u8 = 1;
/// The flag that ends a header block.
pub const END_HEADERS: u8 = 4;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 for the connection.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A response began, with this status.
    Status(u16),
    /// The stream was reset, with this code.
    Reset(u32),
    /// The connection was ended, with this code.
    GoAway(u32),
    /// The connection closed without a word.
    Closed,
    /// Nothing came in the time that was given.
    Silence,
}

/// A connection.
pub struct Frames {
    buffered: Buffered,
}

// === impl Frame ===

impl Frame {
    /// A frame with a payload.
    #[must_use]
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    /// A whole header block of literals.
    #[must_use]
    pub fn headers(stream: u32, end: bool, fields: &[(&[u8], &[u8])]) -> Self {
        let flags = END_HEADERS | if end { END_STREAM } else { 0 };
        Self::new(HEADERS, flags, stream, header_block(fields))
    }

    /// A piece of a body.
    #[must_use]
    pub fn data(stream: u32, end: bool, bytes: &[u8]) -> Self {
        Self::new(DATA, if end { END_STREAM } else { 0 }, stream, bytes)
    }

    /// The frame as bytes.
    ///
    /// # Panics
    /// When the payload is longer than three bytes can tell.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let len = u32::try_from(self.payload.len()).unwrap();
        assert!(len < 1 << 24, "a frame of {len} bytes cannot be written");
        let [_, a, b, c] = len.to_be_bytes();
        let mut bytes = vec![a, b, c, self.kind, self.flags];
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// The four bytes of a code or a number at a place of the payload.
    fn number(&self, at: usize) -> u32 {
        self.payload.get(at..at + 4).map_or(u32::MAX, |b| u32::from_be_bytes(b.try_into().unwrap()))
    }
}

/// Fields as literals, never indexed, not Huffman-coded.
#[must_use]
pub fn header_block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x10);
        for text in [name, value] {
            integer(&mut block, 7, 0, text.len());
            block.extend_from_slice(text);
        }
    }
    block
}

/// RFC 7541 §5.1.
fn integer(block: &mut Vec<u8>, prefix_bits: u8, first: u8, value: usize) {
    let max = (1_usize << prefix_bits) - 1;
    if value < max {
        return block.push(first | value as u8);
    }
    block.push(first | max as u8);
    let mut left = value - max;
    while left >= 0x80 {
        block.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    block.push(left as u8);
}

/// The fields of an ordinary request.
#[must_use]
pub fn ordinary<'a>(method: &'a str, authority: &'a str, path: &'a str) -> Vec<(&'a [u8], &'a [u8])> {
    vec![
        (b":method", method.as_bytes()),
        (b":scheme", b"http"),
        (b":authority", authority.as_bytes()),
        (b":path", path.as_bytes()),
    ]
}

// === impl Frames ===

impl Frames {
    /// Connects with prior knowledge, and sends preface and settings.
    ///
    /// # Panics
    /// When nobody listens there.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(Box::new(wire::connect(address).await)).await
    }

    /// Connects by TLS, offering `h2`.
    ///
    /// # Panics
    /// When the handshake fails.
    pub async fn connect_tls(address: SocketAddr, authority: &Authority, name: &str) -> Self {
        Self::over(Box::new(authority.connect(address, &Hello::new(name, &["h2"])).await)).await
    }

    async fn over(wire: Wire) -> Self {
        let mut frames = Self { buffered: Buffered::new(wire) };
        // The peer writes header blocks without a dynamic table, so that statuses can be read.
        let table_size_0 = [0, 1, 0, 0, 0, 0];
        let settings = Frame::new(SETTINGS, 0, 0, table_size_0).encode();
        frames.send_bytes(&[PREFACE, &settings].concat()).await;
        frames
    }

    /// Sends a frame; false when the other side takes nothing more.
    pub async fn send(&mut self, frame: &Frame) -> bool {
        self.send_bytes(&frame.encode()).await
    }

    /// Sends bytes, whatever they are; false when the other side takes nothing more.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> bool {
        let wire = &mut self.buffered.wire;
        within("frames to be sent", async {
            wire.write_all(bytes).await.is_ok() && wire.flush().await.is_ok()
        })
        .await
    }

    /// The next frame; none at the end of the connection. Settings are acknowledged on the way.
    pub async fn next(&mut self) -> Option<Frame> {
        within("a frame", self.read()).await
    }

    async fn read(&mut self) -> Option<Frame> {
        // Taken only when all of it is there, so that a wait that is given up loses nothing.
        while self.buffered.buffer.len() < 9 || self.buffered.buffer.len() < 9 + self.length() {
            if !self.buffered.more().await {
                return None;
            }
        }
        let bytes = self.buffered.exactly(9 + self.length()).await?;
        let stream = u32::from_be_bytes(bytes[5..9].try_into().unwrap()) & 0x7fff_ffff;
        let frame = Frame::new(bytes[3], bytes[4], stream, &bytes[9..]);
        if frame.kind == SETTINGS && frame.flags & END_STREAM == 0 {
            self.send(&Frame::new(SETTINGS, END_STREAM, 0, [])).await;
        }
        Some(frame)
    }

    fn length(&self) -> usize {
        let b = &self.buffered.buffer;
        usize::from(b[0]) << 16 | usize::from(b[1]) << 8 | usize::from(b[2])
    }

    /// What becomes of a stream: the first thing that says so.
    pub async fn outcome(&mut self, stream: u32, bound: Duration) -> Outcome {
        let look = async {
            while let Some(frame) = self.read().await {
                match frame.kind {
                    HEADERS if frame.stream == stream => return Outcome::Status(status(&frame.payload)),
                    RST_STREAM if frame.stream == stream => return Outcome::Reset(frame.number(0)),
                    // A farewell without an error lets streams that run come to their end.
                    GOAWAY if frame.number(4) != 0 => return Outcome::GoAway(frame.number(4)),
                    _ => {}
                }
            }
            Outcome::Closed
        };
        tokio::time::timeout(bound, look).await.unwrap_or(Outcome::Silence)
    }
}

/// The status at the start of a response's header block: a line of the static table (RFC 7541 §A),
/// or its name with three digits, Huffman-coded or plain.
fn status(block: &[u8]) -> u16 {
    // A change of the table's size may stand before.
    let block = &block[block.iter().take_while(|b| *b & 0xe0 == 0x20).count()..];
    match block {
        [first, ..] if first & 0x80 != 0 => match first & 0x7f {
            8 => 200,
            9 => 204,
            10 => 206,
            11 => 304,
            12 => 400,
            13 => 404,
            14 => 500,
            other => panic!("line {other} of the table is no status"),
        },
        // With or without an entry in the table: only the name is indexed.
        [first, length, rest @ ..]
            if (8..=14).contains(&(first & 0x0f)) || (8..=14).contains(&(first & 0x3f)) =>
        {
            let value = &rest[..usize::from(length & 0x7f)];
            let text =
                if length & 0x80 != 0 { digits(value) } else { String::from_utf8_lossy(value).into_owned() };
            text.parse().unwrap_or_else(|_| panic!("`{text}` is no status"))
        }
        other => panic!("a response that begins with {:x?}", &other[..other.len().min(8)]),
    }
}

/// Digits of the Huffman code (RFC 7541 §B): 0 to 2 have five bits, the others six.
fn digits(coded: &[u8]) -> String {
    let bits: Vec<u8> = coded.iter().flat_map(|byte| (0..8).rev().map(move |i| byte >> i & 1)).collect();
    let number = |bits: &[u8]| bits.iter().fold(0_u8, |n, bit| n << 1 | bit);
    let (mut at, mut text) = (0, String::new());
    while at + 5 <= bits.len() {
        let five = number(&bits[at..at + 5]);
        if five <= 2 {
            text.push(char::from(b'0' + five));
            at += 5;
            continue;
        }
        match bits.get(at..at + 6).map(number) {
            Some(six @ 0x19..=0x1f) => text.push(char::from(b'3' + six - 0x19)),
            // Padding: ones to the end of the byte.
            _ => break,
        }
        at += 6;
    }
    text
}

#[cfg(test)]
mod tests;
