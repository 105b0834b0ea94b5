//! An HTTP/2 client (RFC 9113) that shows resets, trailers and the end of the connection. For
//! requests that no client would send there is [`crate::frames`].

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::h2::client::{Builder, ResponseFuture, SendRequest};
use ::h2::{Reason, RecvStream, SendStream};
use bytes::Bytes;
use http::{HeaderMap, Request};

use crate::tls::{Authority, Hello};
use crate::wire::{self, Wire, until, within};

/// A connection; clones share it.
#[derive(Clone)]
pub struct H2 {
    sender: SendRequest<Bytes>,
    scheme: &'static str,
    ended: Arc<Mutex<Option<Gone>>>,
}

/// How a stream, or its connection, came to an end that was not the end of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The stream was reset (RST_STREAM).
    Reset(Reason),
    /// The connection was ended (GOAWAY).
    GoAway(Reason),
    /// The connection closed or broke off.
    Connection(String),
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// The trailers, if some came.
    pub trailers: Option<HeaderMap>,
    /// How the stream ended before its body did, if so.
    pub gone: Option<Gone>,
}

/// One running stream.
pub struct Stream {
    /// To send more of the request.
    pub send: SendStream<Bytes>,
    response: Option<ResponseFuture>,
    receive: Option<RecvStream>,
}

// === impl H2 ===

impl H2 {
    /// Connects with prior knowledge.
    ///
    /// # Panics
    /// When nobody listens there, or it is not HTTP/2.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(Box::new(wire::connect(address).await), "http").await
    }

    /// Connects by TLS, offering `h2`.
    ///
    /// # Panics
    /// When the handshake fails, or `h2` was not chosen.
    pub async fn connect_tls(address: SocketAddr, authority: &Authority, name: &str) -> Self {
        let stream = authority.connect(address, &Hello::new(name, &["h2"])).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "the server did not choose h2");
        Self::over(Box::new(stream), "https").await
    }

    /// Speaks over a connection that is there.
    ///
    /// # Panics
    /// When the other side does not speak HTTP/2.
    pub async fn over(wire: Wire, scheme: &'static str) -> Self {
        let mut builder = Builder::new();
        // Wide enough that no test waits for a window by accident.
        builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 30);
        let (sender, connection) = within("an HTTP/2 preface", builder.handshake(wire)).await.unwrap();
        let ended = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&ended);
        tokio::spawn(async move {
            let gone = match connection.await {
                Ok(()) => Gone::Connection("closed".to_owned()),
                Err(e) => gone(&e),
            };
            *seen.lock().unwrap() = Some(gone);
        });
        Self { sender, scheme, ended }
    }

    /// A request with the fields that a test wants; the pseudo-fields are made of the first three.
    ///
    /// # Panics
    /// When the parts make no request; what is malformed on purpose belongs to [`crate::frames`].
    #[must_use]
    pub fn request(&self, method: &str, authority: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
        let uri = format!("{}://{authority}{path}", self.scheme);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.version(http::Version::HTTP_2).body(()).unwrap()
    }

    /// Opens a stream; `end` when no body follows.
    ///
    /// # Errors
    /// When the connection takes no more streams.
    pub async fn open(&self, request: Request<()>, end: bool) -> Result<Stream, Gone> {
        let ready = within("a place for a stream", self.sender.clone().ready()).await;
        let (response, send) =
            ready.map_err(|e| gone(&e))?.send_request(request, end).map_err(|e| gone(&e))?;
        Ok(Stream { send, response: Some(response), receive: None })
    }

    /// One request and its whole response.
    ///
    /// # Errors
    /// When the stream ended before a head came.
    pub async fn ask(
        &self,
        method: &str,
        authority: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Reply, Gone> {
        let request = self.request(method, authority, path, fields);
        let mut stream = self.open(request, body.is_empty()).await?;
        if !body.is_empty() {
            // An answer may come before the body is taken.
            let _ = stream.send_data(body, true).await;
        }
        stream.reply().await
    }

    /// One request without a body.
    ///
    /// # Panics
    /// When the stream ended before a head came.
    pub async fn get(&self, authority: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
        let reply = self.ask("GET", authority, path, fields, b"").await;
        reply.unwrap_or_else(|e| panic!("no answer to {path}: {e:?}"))
    }

    /// How the connection ended, if it did.
    ///
    /// # Panics
    /// Never, unless the connection's task panicked.
    #[must_use]
    pub fn ended(&self) -> Option<Gone> {
        self.ended.lock().unwrap().clone()
    }

    /// Waits until the connection ended.
    ///
    /// # Panics
    /// When it does not.
    pub async fn wait_ended(&self) -> Gone {
        until("the end of an HTTP/2 connection", || self.ended()).await
    }
}

// === impl Stream ===

impl Stream {
    /// Sends a piece of the body, waiting for the window.
    ///
    /// # Errors
    /// When the stream ended.
    pub async fn send_data(&mut self, bytes: &[u8], end: bool) -> Result<(), Gone> {
        let mut left = bytes;
        while !left.is_empty() {
            self.send.reserve_capacity(left.len());
            let send = &mut self.send;
            let capacity = within("a window", std::future::poll_fn(|cx| send.poll_capacity(cx))).await;
            let capacity = match capacity {
                Some(Ok(capacity)) => capacity.min(left.len()),
                Some(Err(e)) => return Err(gone(&e)),
                None => return Err(Gone::Connection("the stream takes nothing more".to_owned())),
            };
            let (now, later) = left.split_at(capacity);
            let last = end && later.is_empty();
            self.send.send_data(Bytes::copy_from_slice(now), last).map_err(|e| gone(&e))?;
            left = later;
        }
        if bytes.is_empty() && end {
            self.send.send_data(Bytes::new(), true).map_err(|e| gone(&e))?;
        }
        Ok(())
    }

    /// Sends trailers, which end the request.
    ///
    /// # Errors
    /// When the stream ended.
    ///
    /// # Panics
    /// When a field is malformed.
    pub fn send_trailers(&mut self, fields: &[(&str, &str)]) -> Result<(), Gone> {
        let mut trailers = HeaderMap::new();
        for (name, value) in fields {
            trailers.append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        self.send.send_trailers(trailers).map_err(|e| gone(&e))
    }

    /// Resets the stream.
    pub fn reset(&mut self, reason: Reason) {
        self.send.send_reset(reason);
    }

    /// The head of the response. Asked once.
    ///
    /// # Errors
    /// When the stream ended before.
    ///
    /// # Panics
    /// When it is asked for twice.
    pub async fn head(&mut self) -> Result<(u16, HeaderMap), Gone> {
        let response = self.response.take().expect("a head is asked for once");
        let (parts, receive) = within("a head", response).await.map_err(|e| gone(&e))?.into_parts();
        self.receive = Some(receive);
        Ok((parts.status.as_u16(), parts.headers))
    }

    /// The head of the response, if it comes in this time. Can be asked again until it came.
    pub async fn head_within(&mut self, bound: Duration) -> Option<Result<(u16, HeaderMap), Gone>> {
        let response = self.response.as_mut().expect("a head is asked for once");
        let response = tokio::time::timeout(bound, response).await.ok()?;
        self.response = None;
        Some(response.map_err(|e| gone(&e)).map(|response| {
            let (parts, receive) = response.into_parts();
            self.receive = Some(receive);
            (parts.status.as_u16(), parts.headers)
        }))
    }

    /// The next piece of the body; none at its end.
    ///
    /// # Errors
    /// When the stream ended before the body did.
    pub async fn data(&mut self) -> Result<Option<Bytes>, Gone> {
        within("a piece of a body", self.piece()).await
    }

    /// The next piece of the body, if one comes in this time.
    pub async fn data_within(&mut self, bound: Duration) -> Option<Result<Option<Bytes>, Gone>> {
        tokio::time::timeout(bound, self.piece()).await.ok()
    }

    /// Waits as long as it takes.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, Gone> {
        let receive = self.receive.as_mut().expect("the head comes before the body");
        match receive.data().await {
            None => Ok(None),
            Some(Ok(bytes)) => {
                let _ = receive.flow_control().release_capacity(bytes.len());
                Ok(Some(bytes))
            }
            Some(Err(e)) => Err(gone(&e)),
        }
    }

    /// The trailers, after the body.
    ///
    /// # Errors
    /// When the stream ended before.
    ///
    /// # Panics
    /// When the head was not asked for.
    pub async fn trailers(&mut self) -> Result<Option<HeaderMap>, Gone> {
        let receive = self.receive.as_mut().expect("the head comes before the trailers");
        within("trailers", receive.trailers()).await.map_err(|e| gone(&e))
    }

    /// The whole response.
    ///
    /// # Errors
    /// When the stream ended before a head came.
    pub async fn reply(&mut self) -> Result<Reply, Gone> {
        let (status, headers) = self.head().await?;
        let mut reply = Reply { status, headers, body: Vec::new(), trailers: None, gone: None };
        loop {
            match self.data().await {
                Ok(Some(bytes)) => reply.body.extend_from_slice(&bytes),
                Ok(None) => break,
                Err(gone) => {
                    reply.gone = Some(gone);
                    return Ok(reply);
                }
            }
        }
        match self.trailers().await {
            Ok(trailers) => reply.trailers = trailers,
            Err(gone) => reply.gone = Some(gone),
        }
        Ok(reply)
    }
}

// === impl Reply ===

impl Reply {
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

    /// A field's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        text(&self.headers, name)
    }

    /// A trailer's value.
    #[must_use]
    pub fn trailer(&self, name: &str) -> Option<String> {
        text(self.trailers.as_ref()?, name)
    }
}

fn text(fields: &HeaderMap, name: &str) -> Option<String> {
    Some(String::from_utf8_lossy(fields.get(name)?.as_bytes()).into_owned())
}

fn gone(error: &::h2::Error) -> Gone {
    match error.reason() {
        Some(reason) if error.is_reset() => Gone::Reset(reason),
        Some(reason) if error.is_go_away() => Gone::GoAway(reason),
        _ => Gone::Connection(error.to_string()),
    }
}
