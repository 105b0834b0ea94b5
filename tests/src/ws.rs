//! A WebSocket client (RFC 6455) over HTTP/1.1.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderMap;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::tls::{Authority, Hello};
use crate::wire::{self, Wire, within};

/// An open WebSocket.
pub struct Ws {
    socket: WebSocketStream<Wire>,
}

/// The answer to an upgrade that was not granted.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The status.
    pub status: u16,
    /// The fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A goodbye; 1005 when it had no code.
    Closed(u16, String),
    /// The connection ended without a goodbye, or after it.
    Ended,
}

// === impl Ws ===

impl Ws {
    /// Opens one; `host` goes into `Host` and, with its path, into the request.
    ///
    /// # Errors
    /// When the answer is not 101.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn open(
        address: SocketAddr,
        host: &str,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<Self, Refused> {
        Self::over(Box::new(wire::connect(address).await), host, path, fields).await
    }

    /// Opens one by TLS.
    ///
    /// # Errors
    /// When the answer is not 101.
    ///
    /// # Panics
    /// When the handshake fails, or no answer comes.
    pub async fn open_tls(
        address: SocketAddr,
        authority: &Authority,
        host: &str,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<Self, Refused> {
        let stream = authority.connect(address, &Hello::new(host, &["http/1.1"])).await;
        Self::over(Box::new(stream), host, path, fields).await
    }

    async fn over(wire: Wire, host: &str, path: &str, fields: &[(&str, &str)]) -> Result<Self, Refused> {
        let mut request = format!("ws://{host}{path}").into_client_request().unwrap();
        for (name, value) in fields {
            let name = http::HeaderName::try_from(*name).unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        match within("the answer to an upgrade", client_async(request, wire)).await {
            Ok((socket, _)) => Ok(Self { socket }),
            Err(Error::Http(response)) => {
                let (parts, body) = response.into_parts();
                let body = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
                Err(Refused { status: parts.status.as_u16(), headers: parts.headers, body })
            }
            Err(e) => panic!("no answer to an upgrade: {e}"),
        }
    }

    /// Sends a text; false when the connection takes nothing more.
    pub async fn send(&mut self, text: &str) -> bool {
        within("a message to be sent", self.socket.send(Message::text(text))).await.is_ok()
    }

    /// What comes next.
    pub async fn next(&mut self) -> Next {
        within("a message", self.read()).await
    }

    /// What comes next, if something comes in this time.
    pub async fn next_within(&mut self, bound: Duration) -> Option<Next> {
        tokio::time::timeout(bound, self.read()).await.ok()
    }

    async fn read(&mut self) -> Next {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Next::Text(text.as_str().to_owned()),
                Some(Ok(Message::Binary(bytes))) => return Next::Bytes(bytes.to_vec()),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(frame))) => {
                    return match frame {
                        Some(frame) => Next::Closed(frame.code.into(), frame.reason.to_string()),
                        None => Next::Closed(1005, String::new()),
                    };
                }
                Some(Err(_)) | None => return Next::Ended,
            }
        }
    }

    /// Reads on until a text contains this.
    ///
    /// # Panics
    /// When the WebSocket ends before.
    pub async fn until(&mut self, text: &str) -> String {
        loop {
            match self.next().await {
                Next::Text(seen) if seen.contains(text) => return seen,
                Next::Text(_) | Next::Bytes(_) => {}
                end => panic!("{end:?} before `{text}`"),
            }
        }
    }

    /// Reads on to the end: how it ended. [`Next::Ended`] is an end without a goodbye.
    pub async fn ending(&mut self) -> Next {
        loop {
            match self.next().await {
                Next::Text(_) | Next::Bytes(_) => {}
                end => return end,
            }
        }
    }

    /// Says goodbye.
    pub async fn close(&mut self) {
        // The other side may be gone.
        let _ = within("a goodbye to be sent", self.socket.close(None)).await;
    }
}

#[cfg(test)]
mod tests {
    use doorward_demo::apps::{Pace, SampleApp};
    use doorward_demo::loopback::Loopback;

    use super::*;
    use crate::grpc::{self, Call};
    use crate::h2::{Gone, H2};
    use crate::raw::{Answer, RawUpstream};

    async fn build() -> SocketAddr {
        let loopback = Loopback::port(0).await.unwrap();
        let address = loopback.address();
        let pace = Pace { tick: Duration::from_millis(5), ..Pace::default() };
        tokio::spawn(loopback.serve(SampleApp::Build.router(pace)));
        address
    }

    #[tokio::test]
    async fn messages_and_endings() {
        let mut ws = Ws::open(build().await, "build.test", "/logs?every_millis=0", &[]).await.unwrap();
        assert_eq!(ws.next().await, Next::Text("build log for nobody".into()));
        assert!(ws.send("hi").await);
        assert_eq!(ws.until("hi").await, "echo: hi");
        assert_eq!(ws.next_within(Duration::from_millis(30)).await, None);
        ws.close().await;
        assert!(matches!(ws.ending().await, Next::Closed(1005, _) | Next::Ended));
    }

    #[tokio::test]
    async fn a_refusal_is_an_answer() {
        let upstream =
            RawUpstream::start(|_| Answer::bytes("HTTP/1.1 403 No\r\nx-a: b\r\ncontent-length: 2\r\n\r\nno"))
                .await;
        let fields = [("origin", "http://evil.test"), ("authorization", "Bearer x")];
        let Err(refused) = Ws::open(upstream.address(), "x.test", "/ws", &fields).await else {
            panic!("granted")
        };
        assert_eq!((refused.status, refused.body.as_str()), (403, "no"));
        assert_eq!(refused.headers["x-a"], "b");
        let seen = &upstream.requests()[0].head;
        assert_eq!(
            (seen.value("host"), seen.value("origin")),
            (Some("x.test".into()), Some("http://evil.test".into()))
        );
    }

    #[tokio::test]
    async fn grpc_calls_of_every_kind() {
        let h2 = H2::connect(build().await).await;
        let one = grpc::call(&h2, "build.test", "/doorward.demo.Build/Status", &[], "fix").await.unwrap();
        assert_eq!((one.http_status, one.status), (200, Some(0)));
        assert_eq!(one.texts, ["fix is green, nobody"]);
        let many = grpc::call(&h2, "build.test", "/doorward.demo.Build/Watch", &[], "3").await.unwrap();
        assert_eq!(many.texts, ["tick 1", "tick 2", "tick 3"]);
        let none = grpc::call(&h2, "build.test", "/doorward.demo.Build/None", &[], "").await;
        assert_eq!(none.unwrap().http_status, 404);
        let mut echo =
            Call::open(&h2, "build.test", "/doorward.demo.Build/Echo", &[], "a", false).await.unwrap();
        assert_eq!(echo.next().await, grpc::Next::Text("a".into()));
        assert_eq!(echo.next_within(Duration::from_millis(30)).await, None);
        echo.send("b", true).await.unwrap();
        assert_eq!(echo.next().await, grpc::Next::Text("b".into()));
        assert_eq!(echo.next().await, grpc::Next::Status(Some(0)));
    }

    #[tokio::test]
    async fn a_call_that_is_cut_off_has_no_status() {
        use crate::h2_upstream::{Answer, H2Upstream};
        let upstream = H2Upstream::start(|request| match request.uri().path() {
            "/cut" => Answer::ok("").reset(::h2::Reason::CANCEL),
            // RFC: an answer may be a head alone.
            _ => Answer::status(200).header("grpc-status", "16").header("grpc-message", "no"),
        })
        .await;
        let h2 = H2::connect(upstream.address()).await;
        let cut = grpc::call(&h2, "x.test", "/cut", &[], "").await.unwrap();
        assert_eq!((cut.status, cut.gone), (None, Some(Gone::Reset(::h2::Reason::CANCEL))));
        let refused = grpc::call(&h2, "x.test", "/no", &[], "").await.unwrap();
        assert_eq!((refused.status, refused.message.as_deref()), (Some(16), Some("no")));
    }
}
