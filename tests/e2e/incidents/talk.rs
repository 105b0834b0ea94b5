//! One client for both protocols: says what it is told, shows what came back.

use std::net::SocketAddr;
use std::time::Duration;

use doorward_tests::frames::{Frame, Frames, Outcome};
use doorward_tests::h1::H1;
use doorward_tests::h2::{Gone, H2};

/// Which protocol the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Http {
    One,
    Two,
}

/// After a refusal: the audit log has an event for each of 500 a second that are of nobody in
/// particular, and only sums up what is more.
const REFUSAL_PAUSE: Duration = Duration::from_millis(2);

/// Every test runs over both.
pub(super) const BOTH: [Http; 2] = [Http::One, Http::Two];

/// A request. Names and values go out as they are.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) method: String,
    pub(super) host: String,
    pub(super) target: Vec<u8>,
    pub(super) fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

/// What came back. A stream or a connection that was refused without an answer has the status 0.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) fields: Vec<(String, String)>,
    /// Without an answer, how it was refused.
    pub(super) body: String,
}

/// A client that keeps its connection for as long as the other side does.
pub(super) struct Talk {
    http: Http,
    address: SocketAddr,
    h1: Option<H1>,
    h2: Option<H2>,
    /// How many connections it took so far.
    pub(super) connections: usize,
}

// === impl Ask ===

impl Ask {
    pub(super) fn get(host: &str, target: impl AsRef<[u8]>) -> Self {
        Self {
            method: "GET".to_owned(),
            host: host.to_owned(),
            target: target.as_ref().to_vec(),
            fields: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(super) fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    pub(super) fn field(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.fields.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    pub(super) fn token(self, token: &str) -> Self {
        self.field("authorization", format!("Bearer {token}"))
    }

    pub(super) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// The request in HTTP/1.1.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = [self.method.as_bytes(), b" ", &self.target, b" HTTP/1.1\r\n"].concat();
        out.extend(format!("host: {}\r\n", self.host).bytes());
        for (name, value) in &self.fields {
            out.extend([name.as_slice(), b": ", value, b"\r\n"].concat());
        }
        if !self.body.is_empty() {
            out.extend(format!("content-length: {}\r\n", self.body.len()).bytes());
        }
        [&out, &b"\r\n"[..], &self.body].concat()
    }

    /// The request for the client library, if it lets itself be written there.
    fn request(&self) -> Option<http::Request<()>> {
        let path = http::uri::PathAndQuery::try_from(self.target.as_slice()).ok()?;
        if path.as_str().as_bytes() != self.target {
            return None; // A fragment was cut off.
        }
        let uri = http::Uri::builder().scheme("http").authority(self.host.as_str()).path_and_query(path);
        let mut request = http::Request::builder().method(self.method.as_str()).uri(uri.build().ok()?);
        for (name, value) in &self.fields {
            let name = http::HeaderName::from_bytes(&name.to_ascii_lowercase()).ok()?;
            if ["connection", "transfer-encoding", "upgrade", "keep-alive", "te"].contains(&name.as_str()) {
                return None; // The library would not send it.
            }
            request = request.header(name, http::HeaderValue::from_bytes(value).ok()?);
        }
        request.version(http::Version::HTTP_2).body(()).ok()
    }

    /// The frames of the request, for what the library does not write.
    fn frames(&self) -> Vec<Frame> {
        let mut fields: Vec<(&[u8], &[u8])> = vec![
            (b":method", self.method.as_bytes()),
            (b":scheme", b"http"),
            (b":authority", self.host.as_bytes()),
            (b":path", &self.target),
        ];
        let lower: Vec<_> = self.fields.iter().map(|(n, v)| (n.to_ascii_lowercase(), v)).collect();
        fields.extend(lower.iter().map(|(n, v)| (n.as_slice(), v.as_slice())));
        let mut frames = vec![Frame::headers(1, self.body.is_empty(), &fields)];
        if !self.body.is_empty() {
            frames.push(Frame::data(1, true, &self.body));
        }
        frames
    }
}

// === impl Said ===

impl Said {
    fn nothing(how: String) -> Self {
        Self { status: 0, fields: Vec::new(), body: how }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The code of a refusal of the gateway.
    pub(super) fn refusal(&self) -> Option<&str> {
        self.header("x-doorward-refusal")
    }

    pub(super) fn request_id(&self) -> Option<&str> {
        self.header("x-doorward-request-id")
    }

    pub(super) const fn is_success(&self) -> bool {
        matches!(self.status, 100..=399)
    }

    /// Everything that the client saw, for a search.
    pub(super) fn everything(&self) -> String {
        let fields: String = self.fields.iter().map(|(n, v)| format!("{n}: {v}\n")).collect();
        format!("{}\n{fields}\n{}", self.status, self.body)
    }
}

// === impl Talk ===

impl Talk {
    pub(super) const fn new(http: Http, address: SocketAddr) -> Self {
        Self { http, address, h1: None, h2: None, connections: 0 }
    }

    /// One request and what came back.
    pub(super) async fn say(&mut self, ask: &Ask) -> Said {
        let said = match self.http {
            Http::One => self.say_h1(ask).await,
            Http::Two => match ask.request() {
                Some(request) => self.say_h2(request, &ask.body).await,
                None => self.say_frames(ask).await,
            },
        };
        if said.refusal().is_some() {
            tokio::time::sleep(REFUSAL_PAUSE).await;
        }
        said
    }

    async fn say_h1(&mut self, ask: &Ask) -> Said {
        let mut client = match self.h1.take() {
            Some(client) => client,
            None => {
                self.connections += 1;
                H1::connect(self.address).await
            }
        };
        client.try_send(ask.bytes()).await;
        let Some(response) = client.try_response(&ask.method).await else {
            return Said::nothing("the connection was closed".to_owned());
        };
        let closes = response.head.values("connection").iter().any(|v| v.eq_ignore_ascii_case("close"));
        if !closes && response.whole {
            self.h1 = Some(client);
        }
        let status = response.status();
        Said { status, fields: response.head.fields(), body: response.text() }
    }

    async fn say_h2(&mut self, request: http::Request<()>, body: &[u8]) -> Said {
        let client = match self.h2.take().filter(|h2| h2.ended().is_none()) {
            Some(client) => client,
            None => {
                self.connections += 1;
                H2::connect(self.address).await
            }
        };
        let reply = async {
            let mut stream = client.open(request, body.is_empty()).await?;
            if !body.is_empty() {
                // An answer may come before the body is taken.
                let _ = stream.send_data(body, true).await;
            }
            stream.reply().await
        };
        let said = match reply.await {
            Ok(reply) => Said {
                status: reply.status,
                fields: reply
                    .headers
                    .iter()
                    .map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
                    .collect(),
                body: reply.text(),
            },
            Err(gone @ Gone::Reset(_)) => Said::nothing(format!("{gone:?}")),
            Err(gone) => return Said::nothing(format!("{gone:?}")),
        };
        self.h2 = Some(client);
        said
    }

    async fn say_frames(&mut self, ask: &Ask) -> Said {
        self.connections += 1;
        let mut frames = Frames::connect(self.address).await;
        for frame in ask.frames() {
            frames.send(&frame).await;
        }
        match frames.outcome(1, Duration::from_secs(10)).await {
            Outcome::Status(status) => Said { status, fields: Vec::new(), body: String::new() },
            other => Said::nothing(format!("{other:?}")),
        }
    }
}
