//! One connection's bytes, seen on their way.
//!
//! Pingora owns the stream of a connection for as long as an exchange runs, so a WebSocket
//! cannot be told goodbye from outside. This wrapper sits between Pingora and the socket (above
//! TLS): it follows the frames that go to the client and, when the exchange must end, writes a
//! close frame at the next frame boundary, closes its half, and waits for the client's. It does the
//! same at the end of an HTTP/2 connection: whoever still reads the last answer also still writes.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use doorward_model::RefusalCode;
use futures_util::task::AtomicWaker;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::{SslDigest, TlsRef};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::answer::early_answer;

const HTTP: u8 = 0;
const UPGRADING: u8 = 1;

/// How long the client of an HTTP/2 connection that came to its end may take to read what is on its
/// way and to close its half.
const LINGER_MAX: Duration = Duration::from_secs(10);

/// What the gate and the wrapper tell each other.
#[derive(Default)]
pub(crate) struct LineState {
    /// How many bytes may still come before the header of a request is whole; 0 while none is read.
    header_room: AtomicU64,
    had_header: AtomicBool,
    /// The id of the request whose header it is.
    header_of: Mutex<Option<Arc<str>>>,
    /// Why there is no request, once the client was told so.
    header_refused: OnceLock<RefusalCode>,
    mode: AtomicU8,
    farewell: OnceLock<Vec<u8>>,
    must_end: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl LineState {
    /// The header of a request is read next; it may be so many bytes long, with what comes along.
    pub(crate) fn header_begins(&self, request_id: Arc<str>, room: u64) {
        *self.header_of.lock().unwrap_or_else(PoisonError::into_inner) = Some(request_id);
        self.header_room.store(room.max(1), Ordering::Relaxed);
        self.had_header.store(true, Ordering::Relaxed);
    }

    /// The header of a request is whole.
    pub(crate) fn header_arrived(&self) {
        self.header_room.store(0, Ordering::Relaxed);
    }

    /// Why there is no request, if the client was told so.
    pub(crate) fn header_refused(&self) -> Option<RefusalCode> {
        self.header_refused.get().copied()
    }

    /// Counts bytes of a header; false when there is no room for them.
    fn has_room(&self, n: u64) -> bool {
        let room = self.header_room.load(Ordering::Relaxed);
        if room == 0 {
            return true;
        }
        self.header_room.store(room.saturating_sub(n).max(1), Ordering::Relaxed);
        n < room
    }

    /// Whether a header was waited for here, as over HTTP/1.1: over HTTP/2 each stream has its own.
    fn had_header(&self) -> bool {
        self.had_header.load(Ordering::Relaxed)
    }

    fn in_header(&self) -> bool {
        self.header_room.load(Ordering::Relaxed) != 0
    }

    /// The answer to a header that is none; only the first one.
    fn refuse_header(&self, code: RefusalCode) -> Option<Vec<u8>> {
        self.header_refused.set(code).ok()?;
        let request_id = self.header_of.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        early_answer(code, &request_id)
    }

    /// The response that goes out next is a 101; what follows it are WebSocket frames.
    pub(crate) fn upgrade(&self) {
        self.mode.store(UPGRADING, Ordering::Release);
    }

    /// Ends a WebSocket with a close frame (RFC 6455 §5.5.1), its status and a short reason.
    pub(crate) fn say_goodbye(&self, status: u16, reason: &str) {
        let reason: String = reason.chars().take(40).collect();
        let mut frame = vec![0x88, u8::try_from(reason.len() + 2).unwrap_or(2)];
        frame.extend_from_slice(&status.to_be_bytes());
        frame.extend_from_slice(reason.as_bytes());
        let _ = self.farewell.set(frame);
        self.must_end.store(true, Ordering::Release);
        self.reader.wake();
        self.writer.wake();
    }

    fn must_end(&self) -> bool {
        self.must_end.load(Ordering::Acquire)
    }
}

/// Where the bytes to the client stand.
enum Outgoing {
    /// Not a WebSocket.
    Http,
    /// In the header of the 101; the number of bytes of its end that were seen.
    Header(usize),
    /// In WebSocket frames.
    Frames(Frames),
}

/// Follows frames of RFC 6455 §5.2 as they go by, whatever the slices.
#[derive(Default)]
struct Frames {
    header: [u8; 10],
    header_len: usize,
    payload_left: u64,
}

impl Frames {
    fn at_boundary(&self) -> bool {
        self.header_len == 0 && self.payload_left == 0
    }

    fn advance(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let here = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(bytes.len());
                self.payload_left -= here as u64;
                bytes = bytes.get(here..).unwrap_or_default();
                continue;
            }
            let Some((first, rest)) = bytes.split_first() else { return };
            if let Some(slot) = self.header.get_mut(self.header_len) {
                *slot = *first;
                self.header_len += 1;
            }
            bytes = rest;
            if let Some(len) = self.payload_len() {
                self.payload_left = len;
                self.header_len = 0;
            }
        }
    }

    /// The length of the payload, with the four bytes of a mask, once the header tells it.
    fn payload_len(&self) -> Option<u64> {
        let [_, second, a, b, rest @ ..] = &self.header;
        let masked = u64::from(second >> 7) * 4;
        let len = match (second & 0x7f, self.header_len) {
            (126, 4) => u64::from(u16::from_be_bytes([*a, *b])),
            (127, 10) => {
                let mut eight = [0; 8];
                for (to, from) in eight.iter_mut().zip([a, b].into_iter().chain(rest)) {
                    *to = *from;
                }
                u64::from_be_bytes(eight)
            }
            (126 | 127, _) => return None,
            (short, 2) => u64::from(short),
            _ => return None,
        };
        Some(len.saturating_add(masked))
    }
}

/// How far the goodbye has come.
enum Farewell {
    Waiting,
    Writing(usize),
    Flushing,
    Closing,
    Draining,
    Over,
}

/// A connection's stream, wrapped.
pub(crate) struct Line {
    inner: Stream,
    state: Arc<LineState>,
    out: Outgoing,
    farewell: Farewell,
    /// Until when the client is waited for, once our half is closed.
    lingers: Option<Pin<Box<Sleep>>>,
}

impl Line {
    pub(crate) fn new(inner: Stream, state: Arc<LineState>) -> Self {
        Self { inner, state, out: Outgoing::Http, farewell: Farewell::Waiting, lingers: None }
    }

    /// Reads what the client still sends, and throws it away, until it closes: a close with unread
    /// bytes would reset the connection, and what is on its way to the client could be lost.
    fn poll_until_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut scratch = [0; 1024];
            let mut buf = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buf)).is_ok();
            if !read || buf.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }

    /// Tells the client that its header is none. It is short and the first word on its way, so the
    /// socket takes all of it; whoever sends faster than they read may not get it.
    fn refuse_header(&mut self, cx: &mut Context<'_>, code: RefusalCode) {
        if let Some(answer) = self.state.refuse_header(code) {
            let _ = Pin::new(&mut self.inner).poll_write(cx, &answer);
            let _ = Pin::new(&mut self.inner).poll_flush(cx);
        }
    }

    fn sent(&mut self, bytes: &[u8]) {
        match &mut self.out {
            Outgoing::Http => {}
            Outgoing::Header(seen) => {
                const END: &[u8] = b"\r\n\r\n";
                for (i, b) in bytes.iter().enumerate() {
                    *seen = if END.get(*seen) == Some(b) { *seen + 1 } else { usize::from(*b == b'\r') };
                    if *seen == END.len() {
                        let mut frames = Frames::default();
                        frames.advance(bytes.get(i + 1..).unwrap_or_default());
                        self.out = Outgoing::Frames(frames);
                        return;
                    }
                }
            }
            Outgoing::Frames(frames) => frames.advance(bytes),
        }
    }

    /// Says goodbye as far as the socket lets it; ready when there is nothing left to do.
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.farewell {
                Farewell::Waiting => {
                    let boundary = matches!(&self.out, Outgoing::Frames(f) if f.at_boundary());
                    self.farewell = if boundary {
                        Farewell::Writing(0)
                    } else {
                        // Nothing honest can follow; what the kernel still holds is not for the client.
                        discard_unsent(self.inner.id());
                        Farewell::Over
                    };
                }
                Farewell::Writing(done) => {
                    let left = self.state.farewell.get().and_then(|f| f.get(done..)).unwrap_or_default();
                    if left.is_empty() {
                        self.farewell = Farewell::Flushing;
                        continue;
                    }
                    let n = ready!(Pin::new(&mut self.inner).poll_write(cx, left)).unwrap_or(0);
                    self.farewell = if n == 0 { Farewell::Over } else { Farewell::Writing(done + n) };
                }
                Farewell::Flushing => {
                    let flushed = ready!(Pin::new(&mut self.inner).poll_flush(cx)).is_ok();
                    self.farewell = if flushed { Farewell::Closing } else { Farewell::Over };
                }
                Farewell::Closing => {
                    let closed = ready!(Pin::new(&mut self.inner).poll_shutdown(cx)).is_ok();
                    self.farewell = if closed { Farewell::Draining } else { Farewell::Over };
                }
                Farewell::Draining => {
                    ready!(self.poll_until_closed(cx));
                    self.farewell = Farewell::Over;
                }
                Farewell::Over => return Poll::Ready(()),
            }
        }
    }
}

/// Makes the close of a socket throw away what was not sent yet (`SO_LINGER` with 0 s), so that
/// what comes after the end is what the client's own buffers hold. To be called by who knows that
/// the descriptor is still the connection's.
pub(super) fn discard_unsent(fd: i32) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    let _ = nix::sys::socket::setsockopt(fd, nix::sys::socket::sockopt::Linger, &linger);
}

fn over() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "ended by revocation")
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.state.reader.register(cx.waker());
        if this.state.must_end() {
            ready!(this.poll_farewell(cx));
            return Poll::Ready(Err(over()));
        }
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut this.inner).poll_read(cx, buf));
        let n = buf.filled().len().saturating_sub(before);
        if this.state.has_room(n as u64) {
            return Poll::Ready(read);
        }
        // Pingora would read on to a megabyte.
        this.refuse_header(cx, RefusalCode::HeaderTooLarge);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the header is larger than the limit")))
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let upgraded = this.state.mode.load(Ordering::Acquire) == UPGRADING;
        if upgraded {
            if matches!(this.out, Outgoing::Http) {
                this.out = Outgoing::Header(0);
            }
            this.state.writer.register(cx.waker());
            if this.state.must_end() {
                // The app was talking when the end came: whoever writes says goodbye, as nobody may
                // be reading.
                ready!(this.poll_farewell(cx));
                return Poll::Ready(Err(over()));
            }
        }
        if this.state.in_header() {
            // Pingora answers what it could not read with a page of its own. One place answers.
            this.refuse_header(cx, RefusalCode::BadRequest);
            return Poll::Ready(Ok(bytes.len()));
        }
        let n = ready!(Pin::new(&mut this.inner).poll_write(cx, bytes))?;
        if upgraded {
            this.sent(bytes.get(..n).unwrap_or(bytes));
        }
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.state.mode.load(Ordering::Acquire) == HTTP && !self.state.in_header() {
            return Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs);
        }
        let first = bufs.iter().find(|b| !b.is_empty()).map_or(&[][..], |b| b);
        self.poll_write(cx, first)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    /// The client of an HTTP/2 connection may still be reading: its window updates must not meet a closed
    /// socket. One of HTTP/1.1 writes nothing more, and what it had open is over: it is not waited for, unless it is
    /// in the middle of a header that was refused. To lose that answer would look like a gateway that is down
    /// (RFC 9112 §9.6).
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.state.had_header() && this.state.header_refused().is_none() {
            return Pin::new(&mut this.inner).poll_shutdown(cx);
        }
        if this.lingers.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            this.lingers = Some(Box::pin(tokio::time::sleep(LINGER_MAX)));
        }
        if this.poll_until_closed(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        this.lingers.as_mut().map_or(Poll::Ready(()), |until| until.as_mut().poll(cx)).map(Ok)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl Shutdown for Line {
    async fn shutdown(&mut self) {
        self.inner.shutdown().await;
    }
}

impl UniqueID for Line {
    fn id(&self) -> i32 {
        self.inner.id()
    }
}

impl Ssl for Line {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.inner.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl GetTimingDigest for Line {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> std::time::Duration {
        self.inner.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> std::time::Duration {
        self.inner.get_write_pending_time()
    }
}

impl GetProxyDigest for Line {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.inner.set_proxy_digest(digest);
    }
}

impl GetSocketDigest for Line {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.inner.set_socket_digest(digest);
    }
}

#[async_trait]
impl Peek for Line {
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        self.inner.try_peek(buf).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize) -> Vec<u8> {
        let mut f = vec![0x82];
        match len {
            0..126 => f.push(u8::try_from(len).unwrap()),
            126..65_536 => {
                f.push(126);
                f.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
            }
            _ => {
                f.push(127);
                f.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        f.extend(vec![0xab; len]);
        f
    }

    #[test]
    fn boundaries_are_found_whatever_the_slices() {
        let lens = [0, 1, 125, 126, 300, 65_535, 65_536, 70_000, 2];
        for step in [1, 2, 3, 7, 1000, 1 << 20] {
            let mut frames = Frames::default();
            let mut boundaries = std::collections::BTreeSet::from([0]);
            let mut all = Vec::new();
            for len in lens {
                all.extend(frame(len));
                boundaries.insert(all.len());
            }
            let mut at = 0;
            for chunk in all.chunks(step) {
                frames.advance(chunk);
                at += chunk.len();
                assert_eq!(frames.at_boundary(), boundaries.contains(&at), "step {step} at {at}");
            }
        }
    }

    #[tokio::test]
    async fn a_websocket_gets_a_close_frame_after_the_frame_in_progress() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        for (cut_mid_frame, writer_first) in [(false, false), (false, true), (true, false), (true, true)] {
            let (ours, mut client) = tokio::io::duplex(1 << 16);
            let state = Arc::new(LineState::default());
            let mut line = Line::new(Box::new(ours), Arc::clone(&state));
            state.upgrade();
            line.write_all(b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n\x81\x02hi").await.unwrap();
            if cut_mid_frame {
                line.write_all(b"\x81\x05he").await.unwrap();
            }
            state.say_goodbye(1008, "access ended");
            let reader = tokio::spawn(async move {
                let mut all = Vec::new();
                client.read_to_end(&mut all).await.unwrap();
                all
            });
            if writer_first {
                assert!(line.write_all(b"\x81\x01x").await.is_err(), "nothing of the app follows");
            }
            assert!(line.read_u8().await.is_err());
            assert!(line.write_all(b"\x81\x01x").await.is_err(), "nothing of the app follows");
            drop(line);
            let all = reader.await.unwrap();
            let closed = all.ends_with(b"hi\x88\x0e\x03\xf0access ended");
            assert_eq!(closed, !cut_mid_frame, "{all:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_exchange_of_http1_is_over_whether_or_not_its_client_closes() {
        use tokio::io::AsyncWriteExt;
        let (ours, client) = tokio::io::duplex(1 << 16);
        let state = Arc::new(LineState::default());
        state.header_begins("r".into(), 8192);
        state.header_arrived();
        let mut line = Line::new(Box::new(ours), state);
        let began = tokio::time::Instant::now();
        AsyncWriteExt::shutdown(&mut line).await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_still_sends_a_refused_header_reads_why() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (ours, mut client) = tokio::io::duplex(1 << 12);
        let state = Arc::new(LineState::default());
        state.header_begins("r".into(), 64);
        let mut line = Line::new(Box::new(ours), state);
        let ending = tokio::spawn(async move {
            line.read(&mut [0; 1 << 10]).await.unwrap_err();
            AsyncWriteExt::shutdown(&mut line).await.unwrap();
        });
        client.write_all(&[b'x'; 1 << 16]).await.expect("somebody reads it");
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        assert!(!ending.is_finished(), "the client has not closed");
        drop(client);
        ending.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_still_reads_the_last_answer_may_still_write() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        for (late_bytes, closes) in [(0, true), (3, true), (3, false)] {
            let (ours, mut client) = tokio::io::duplex(1 << 16);
            let mut line = Line::new(Box::new(ours), Arc::default());
            line.write_all(b"GOAWAY").await.unwrap();
            let began = tokio::time::Instant::now();
            let ending = tokio::spawn(async move {
                AsyncWriteExt::shutdown(&mut line).await.unwrap();
                drop(line);
                began.elapsed()
            });
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"GOAWAY");
            for _ in 0..late_bytes {
                tokio::time::sleep(Duration::from_millis(10)).await;
                client.write_all(b"WINDOW_UPDATE").await.expect("somebody reads it");
            }
            if closes {
                drop(client);
                assert!(ending.await.unwrap() < LINGER_MAX);
            } else {
                assert_eq!(ending.await.unwrap(), LINGER_MAX, "nobody is waited for without an end");
            }
        }
    }
}
