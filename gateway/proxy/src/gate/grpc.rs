//! A gRPC call over HTTP/2 that can be ended with a status.
//!
//! Dropping an HTTP/2 exchange resets its stream, which a gRPC client reports as CANCELLED and
//! may well retry. A call that was revoked must end with `UNAUTHENTICATED` instead. Pingora lets
//! a session be of a custom kind; this one passes everything on to the HTTP/2 session and, when
//! the exchange must end, sends the trailers itself (gRPC over HTTP/2, "Responses").

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::http::v2::server::HttpSession;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, Result};

use crate::inflight::Slot;

/// `UNAVAILABLE`: a client may try again, elsewhere or later.
const GRPC_UNAVAILABLE: u8 = 14;

/// The HTTP/2 session of one gRPC call.
pub(crate) struct GrpcCall {
    inner: HttpSession,
    slot: Arc<Slot>,
    read_timeout: Option<Duration>,
}

impl GrpcCall {
    pub(crate) const fn new(inner: HttpSession, slot: Arc<Slot>) -> Self {
        Self { inner, slot, read_timeout: None }
    }

    /// Sends the last word, as trailers where a response is under way, as the whole response
    /// where none is.
    fn say_goodbye(&mut self) -> Box<Error> {
        let (status, message) = match self.slot.last_word() {
            Some((code, why)) => (code.grpc_status(), why),
            None => (GRPC_UNAVAILABLE, "The gateway is going away"),
        };
        let (status, message) = (HeaderValue::from(u16::from(status)), HeaderValue::from_static(message));
        if self.inner.response_written().is_some() {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", status);
            trailers.insert("grpc-message", message);
            let _ = self.inner.write_trailers(trailers);
        } else if let Ok(mut head) = ResponseHeader::build(200, Some(3)) {
            let _ = head.insert_header("content-type", "application/grpc");
            let _ = head.insert_header("grpc-status", status);
            let _ = head.insert_header("grpc-message", message);
            let _ = self.inner.write_response_header(Box::new(head), true);
        }
        Error::explain(ErrorType::Custom("ended"), "ended from outside").into_down()
    }
}

#[async_trait]
impl Session for GrpcCall {
    fn req_header(&self) -> &RequestHeader {
        self.inner.req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.inner.req_header_mut()
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        let slot = Arc::clone(&self.slot);
        tokio::select! {
            biased;
            () = slot.ended() => Err(self.say_goodbye()),
            read = self.inner.read_body_bytes() => read,
        }
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        self.inner.drain_request_body().await
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        // Pingora does not tell here that nothing follows. A status in the head is the last word,
        // and clients take it for one only when the head ends the stream ("Trailers-Only").
        let end = end || head.headers.contains_key("grpc-status");
        self.inner.write_response_header(head, end)
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.inner.write_response_header_ref(head, end)
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        let slot = Arc::clone(&self.slot);
        tokio::select! {
            biased;
            () = slot.ended() => Err(self.say_goodbye()),
            written = self.inner.write_body(data, end) => written,
        }
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.inner.write_trailers(trailers)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let slot = Arc::clone(&self.slot);
        tokio::select! {
            biased;
            () = slot.ended() => Err(self.say_goodbye()),
            done = self.inner.response_duplex_vec(tasks) => done,
        }
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.read_timeout = timeout;
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.read_timeout
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.inner.get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.inner.get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        String::from("gRPC call")
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.inner.response_written()
    }

    async fn shutdown(&mut self, _code: u32, _ctx: &str) {
        if !self.slot.is_ended() {
            self.inner.shutdown();
        }
    }

    fn is_body_done(&mut self) -> bool {
        self.inner.is_body_done()
    }

    async fn finish(&mut self) -> Result<()> {
        self.inner.finish()
    }

    fn is_body_empty(&mut self) -> bool {
        self.inner.is_body_empty()
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        let slot = Arc::clone(&self.slot);
        tokio::select! {
            biased;
            () = slot.ended() => Err(self.say_goodbye()),
            read = self.inner.read_body_or_idle(no_body_expected) => read,
        }
    }

    fn body_bytes_sent(&self) -> usize {
        self.inner.body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.inner.body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.inner.digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.inner.digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.inner.client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.inner.server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.inner.pseudo_raw_h1_request_header()
    }

    fn enable_retry_buffering(&mut self) {
        self.inner.enable_retry_buffering();
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.inner.retry_buffer_truncated()
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        self.inner.get_retry_buffer()
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _reader: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _writer: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
