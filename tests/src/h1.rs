//! An HTTP/1.1 client that sends exactly what it is told and shows exactly what came.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

pub use crate::message::Head;
use crate::message::{Buffered, Length};
use crate::tls::{Authority, Hello};
use crate::wire::{self, Ending, Wire, within};

/// A connection.
pub struct H1 {
    buffered: Buffered,
}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Everything before the body.
    pub head: Head,
    /// The body, chunks put together.
    pub body: Vec<u8>,
    /// The body ended as its head said; false when the connection ended before.
    pub whole: bool,
}

/// The next piece of a streamed body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes.
    Bytes(Vec<u8>),
    /// The body ended as it should.
    End,
    /// The connection ended before the body did.
    CutOff,
}

/// A response whose body is read piece by piece.
pub struct Streaming {
    /// Everything before the body.
    pub head: Head,
    client: H1,
    length: Length,
    done: bool,
}

// === impl H1 ===

impl H1 {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens there.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(Box::new(wire::connect(address).await))
    }

    /// Connects by TLS, offering `http/1.1`.
    ///
    /// # Panics
    /// When nobody listens there, or the handshake fails.
    pub async fn connect_tls(address: SocketAddr, authority: &Authority, name: &str) -> Self {
        Self::over(Box::new(authority.connect(address, &Hello::new(name, &["http/1.1"])).await))
    }

    /// Speaks over a connection that is there.
    #[must_use]
    pub fn over(wire: Wire) -> Self {
        Self { buffered: Buffered::new(wire) }
    }

    /// Sends bytes, whatever they are.
    ///
    /// # Panics
    /// When the other side does not take them; [`H1::try_send`] answers it instead.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        assert!(self.try_send(bytes).await, "the other side closed before it was sent everything");
    }

    /// Sends bytes; false when the other side does not take them any more.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let wire = &mut self.buffered.wire;
        let sent = async { wire.write_all(bytes.as_ref()).await.is_ok() && wire.flush().await.is_ok() };
        within("bytes to be sent", sent).await
    }

    /// Says that nothing more comes (FIN), and can still read.
    pub async fn finish(&mut self) {
        // The other side may have closed already.
        let _ = self.buffered.wire.shutdown().await;
    }

    /// The next head; none when the connection ends before. An interim response (1xx) is one.
    pub async fn head(&mut self) -> Option<Head> {
        within("a head", self.buffered.head()).await
    }

    /// The next response that is not interim, with its body; `to` is the method of the request, as a
    /// response to `HEAD` has none.
    ///
    /// # Panics
    /// When the connection ends before its head does.
    pub async fn response(&mut self, to: &str) -> Response {
        self.try_response(to).await.expect("the connection ended before a response came")
    }

    /// The next response that is not interim; none when the connection ends before its head does.
    pub async fn try_response(&mut self, to: &str) -> Option<Response> {
        let head = loop {
            let head = self.head().await?;
            if !matches!(head.status(), Some(100 | 102..=199)) {
                break head;
            }
        };
        let mut body = Vec::new();
        let whole = within("a body", async {
            match length(&head, to) {
                Length::Known(len) => match self.buffered.exactly(len).await {
                    Some(all) => body = all,
                    None => {
                        body = self.buffered.buffer.split().to_vec();
                        return false;
                    }
                },
                Length::Chunked => loop {
                    match self.buffered.chunk().await {
                        Some(chunk) if chunk.is_empty() => break,
                        Some(chunk) => body.extend(chunk),
                        None => return false,
                    }
                },
                Length::ToTheEnd => {
                    while let Some(some) = self.buffered.some().await {
                        body.extend(some);
                    }
                }
            }
            true
        });
        let whole = whole.await;
        Some(Response { head, body, whole })
    }

    /// The next response that is not interim, its body still to be read.
    ///
    /// # Panics
    /// When the connection ends before its head does.
    pub async fn streaming(self, to: &str) -> Streaming {
        self.try_streaming(to).await.expect("the connection ended before a response came")
    }

    /// The next response that is not interim, its body still to be read; none when the connection
    /// ends before its head does.
    pub async fn try_streaming(mut self, to: &str) -> Option<Streaming> {
        let head = loop {
            let head = self.head().await?;
            if !matches!(head.status(), Some(100 | 102..=199)) {
                break head;
            }
        };
        let length = length(&head, to);
        Some(Streaming { head, client: self, length, done: false })
    }

    /// Reads until the connection ends or the time is over: what came and how it ended.
    pub async fn drain(&mut self, bound: Duration) -> (Vec<u8>, Ending) {
        let mut seen = self.buffered.buffer.split().to_vec();
        let (more, ending) = wire::drain(&mut self.buffered.wire, bound).await;
        seen.extend(more);
        (seen, ending)
    }

    /// Sends one request and reads its response; the connection stays open.
    ///
    /// # Panics
    /// When no response comes.
    pub async fn ask(&mut self, method: &str, host: &str, target: &str, fields: &[(&str, &str)]) -> Response {
        self.send(request(method, host, target, fields, b"")).await;
        self.response(method).await
    }

    /// The same; none when the connection ends before the head of a response came: whoever is cut off in the middle
    /// of a request gets no answer.
    pub async fn try_ask(
        &mut self,
        method: &str,
        host: &str,
        target: &str,
        fields: &[(&str, &str)],
    ) -> Option<Response> {
        let sent = self.try_send(request(method, host, target, fields, b"")).await;
        if sent { self.try_response(method).await } else { None }
    }

    /// The connection itself, for what comes after an upgrade, with what was read already.
    #[must_use]
    pub fn into_wire(self) -> (Wire, Vec<u8>) {
        (self.buffered.wire, self.buffered.buffer.to_vec())
    }
}

/// One request on a connection of its own.
///
/// # Panics
/// When no response comes.
pub async fn ask(
    address: SocketAddr,
    method: &str,
    host: &str,
    target: &str,
    fields: &[(&str, &str)],
) -> Response {
    H1::connect(address).await.ask(method, host, target, fields).await
}

/// The same; none when the connection ends before the head of a response came.
///
/// # Panics
/// When nobody listens there.
pub async fn try_ask(
    address: SocketAddr,
    method: &str,
    host: &str,
    target: &str,
    fields: &[(&str, &str)],
) -> Option<Response> {
    H1::connect(address).await.try_ask(method, host, target, fields).await
}

/// A request as bytes. A body gets its `content-length`; nothing else is added.
#[must_use]
pub fn request(method: &str, host: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n");
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    [text.as_bytes(), b"\r\n", body].concat()
}

/// RFC 9112 §6.3.
fn length(head: &Head, to: &str) -> Length {
    match head.status() {
        Some(101 | 204 | 304) => Length::Known(0),
        _ if to == "HEAD" => Length::Known(0),
        _ => head.length(Length::ToTheEnd),
    }
}

// === impl Response ===

impl Response {
    /// The status.
    ///
    /// # Panics
    /// When the first line has none.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status().unwrap_or_else(|| panic!("no status: {}", self.head.text()))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}

// === impl Streaming ===

impl Streaming {
    /// The next piece, waiting no longer than a step may.
    pub async fn next(&mut self) -> Piece {
        within("a piece of a body", self.piece()).await
    }

    /// The next piece, if one comes in this time.
    pub async fn next_within(&mut self, bound: Duration) -> Option<Piece> {
        tokio::time::timeout(bound, self.piece()).await.ok()
    }

    /// Waits as long as it takes. A wait that is given up loses nothing.
    pub(crate) async fn piece(&mut self) -> Piece {
        if self.done {
            return Piece::End;
        }
        let next = match self.length {
            Length::Chunked => self.client.buffered.chunk().await,
            Length::Known(0) => Some(Vec::new()),
            Length::Known(left) => {
                let some = self.client.buffered.some_of(left).await;
                self.length = Length::Known(left - some.as_ref().map_or(0, Vec::len));
                some
            }
            Length::ToTheEnd => Some(self.client.buffered.some().await.unwrap_or_default()),
        };
        match next {
            Some(bytes) if bytes.is_empty() => {
                self.done = true;
                Piece::End
            }
            Some(bytes) => Piece::Bytes(bytes),
            None => Piece::CutOff,
        }
    }

    /// Reads on until a text was seen; answers everything since the last piece.
    ///
    /// # Panics
    /// When the body ends before.
    pub async fn until(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.next().await {
                Piece::Bytes(bytes) => seen.extend(bytes),
                end => panic!("{end:?} before `{text}`: {}", String::from_utf8_lossy(&seen)),
            }
            let so_far = String::from_utf8_lossy(&seen);
            if so_far.contains(text) {
                return so_far.into_owned();
            }
        }
    }

    /// The client, to send more of an upload or to close.
    pub fn client(&mut self) -> &mut H1 {
        &mut self.client
    }
}
