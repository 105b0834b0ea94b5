//! An HTTP/2 upstream (prior knowledge) that keeps fields, body and trailers of what it was sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::h2::server::SendResponse;
use ::h2::{Reason, RecvStream};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::wire::{Wire, until};

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// On which connection, counted from 0.
    pub connection: usize,
    /// The method.
    pub method: String,
    /// Scheme, authority and path, as far as they came.
    pub uri: Uri,
    /// The fields.
    pub headers: HeaderMap,
    /// The body so far.
    pub body: Vec<u8>,
    /// The trailers, if some came.
    pub trailers: Option<HeaderMap>,
    /// How the request ended.
    pub end: RequestEnd,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestEnd {
    /// It has not yet.
    Running,
    /// With its body.
    Whole,
    /// It was reset.
    Reset(Reason),
    /// Its connection ended.
    Lost,
}

/// What to answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    steps: Vec<Step>,
    mute: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Data(Vec<u8>),
    Wait(Duration),
    AwaitBody,
    Trailers(Vec<(&'static str, String)>),
    Reset(Reason),
    Hang,
}

/// An upstream that listens until it is dropped.
pub struct H2Upstream {
    address: SocketAddr,
    log: Arc<Mutex<Vec<Recorded>>>,
    connections: Arc<Mutex<usize>>,
    serving: JoinHandle<()>,
}

type Script = Arc<dyn Fn(&Request<()>) -> Answer + Send + Sync>;

// === impl Answer ===

impl Answer {
    /// A status, at once, before the request's body was read.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// 200 and this body.
    #[must_use]
    pub fn ok(body: &str) -> Self {
        Self::status(200).data(body)
    }

    /// A field of the head.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// No answer at all; the request is read.
    #[must_use]
    pub fn mute(mut self) -> Self {
        self.mute = true;
        self
    }

    /// Then this piece of the body.
    #[must_use]
    pub fn data(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Data(bytes.as_ref().to_vec()))
    }

    /// Then a pause.
    #[must_use]
    pub fn wait(self, pause: Duration) -> Self {
        self.then(Step::Wait(pause))
    }

    /// Then waits until the request's body ended.
    #[must_use]
    pub fn await_body(self) -> Self {
        self.then(Step::AwaitBody)
    }

    /// Then the trailers, which end the response.
    #[must_use]
    pub fn trailers(self, fields: &[(&'static str, &str)]) -> Self {
        self.then(Step::Trailers(fields.iter().map(|(n, v)| (*n, (*v).to_owned())).collect()))
    }

    /// Then a reset, when what stands before it is on its way.
    #[must_use]
    pub fn reset(self, reason: Reason) -> Self {
        self.then(Step::Reset(reason))
    }

    /// Then nothing; the stream stays open.
    #[must_use]
    pub fn hang(self) -> Self {
        self.then(Step::Hang)
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

// === impl H2Upstream ===

impl H2Upstream {
    /// Listens; `script` sees the head of each request and says what to answer.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start(script: impl Fn(&Request<()>) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen(None, Arc::new(script)).await
    }

    /// Listens with TLS.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start_tls(
        acceptor: TlsAcceptor,
        script: impl Fn(&Request<()>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::listen(Some(acceptor), Arc::new(script)).await
    }

    async fn listen(acceptor: Option<TlsAcceptor>, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (log, connections): (Arc<Mutex<Vec<Recorded>>>, Arc<Mutex<usize>>) = Default::default();
        let (shared, counter) = (Arc::clone(&log), Arc::clone(&connections));
        let serving = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let number = {
                    let mut counter = counter.lock().unwrap();
                    *counter += 1;
                    *counter - 1
                };
                let (acceptor, script, log) = (acceptor.clone(), Arc::clone(&script), Arc::clone(&shared));
                tasks.spawn(async move {
                    let wire: Wire = match acceptor {
                        None => Box::new(stream),
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                    };
                    serve(number, wire, script, log).await;
                });
            }
        });
        Self { address, log, connections, serving }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that came so far.
    ///
    /// # Panics
    /// Never, unless the upstream panicked before.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.log.lock().unwrap().clone()
    }

    /// Waits until so many requests came.
    ///
    /// # Panics
    /// When they do not.
    pub async fn wait_requests(&self, count: usize) -> Vec<Recorded> {
        until(&format!("{count} requests at the upstream"), || {
            let requests = self.requests();
            (requests.len() >= count).then_some(requests)
        })
        .await
    }

    /// How many connections came so far.
    ///
    /// # Panics
    /// Never, unless the upstream panicked before.
    #[must_use]
    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    /// Stops listening and closes what is open.
    pub fn stop(&self) {
        self.serving.abort();
    }
}

impl Drop for H2Upstream {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(number: usize, wire: Wire, script: Script, log: Arc<Mutex<Vec<Recorded>>>) {
    let mut builder = ::h2::server::Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 30);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(wire).await else { return };
    let mut streams = tokio::task::JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (parts, body) = request.into_parts();
        let head = Request::from_parts(parts, ());
        let at = {
            let mut log = log.lock().unwrap();
            log.push(Recorded {
                connection: number,
                method: head.method().to_string(),
                uri: head.uri().clone(),
                headers: head.headers().clone(),
                body: Vec::new(),
                trailers: None,
                end: RequestEnd::Running,
            });
            log.len() - 1
        };
        let (done, read) = tokio::sync::watch::channel(false);
        streams.spawn(record(body, at, Arc::clone(&log), done));
        streams.spawn(reply(script(&head), respond, read));
    }
}

async fn record(
    mut body: RecvStream,
    at: usize,
    log: Arc<Mutex<Vec<Recorded>>>,
    done: tokio::sync::watch::Sender<bool>,
) {
    let mut end = RequestEnd::Whole;
    while let Some(piece) = body.data().await {
        match piece {
            Ok(piece) => {
                let _ = body.flow_control().release_capacity(piece.len());
                log.lock().unwrap()[at].body.extend_from_slice(&piece);
            }
            Err(e) => {
                end = ended(&e);
                break;
            }
        }
    }
    let trailers = if end == RequestEnd::Whole {
        body.trailers().await.unwrap_or_else(|e| {
            end = ended(&e);
            None
        })
    } else {
        None
    };
    let mut log = log.lock().unwrap();
    log[at].trailers = trailers;
    log[at].end = end;
    drop(log);
    // Nobody may wait for it.
    let _ = done.send(true);
}

fn ended(error: &::h2::Error) -> RequestEnd {
    match error.reason() {
        Some(reason) if error.is_reset() => RequestEnd::Reset(reason),
        _ => RequestEnd::Lost,
    }
}

/// Errors mean that the other side is gone, which the log tells already.
async fn reply(
    answer: Answer,
    mut respond: SendResponse<Bytes>,
    mut read: tokio::sync::watch::Receiver<bool>,
) {
    if answer.mute {
        let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
        return;
    }
    let mut head = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        head = head.header(*name, value);
    }
    let Ok(mut send) = respond.send_response(head.body(()).unwrap(), answer.steps.is_empty()) else { return };
    let last = answer.steps.len().wrapping_sub(1);
    for (i, step) in answer.steps.into_iter().enumerate() {
        match step {
            Step::Data(bytes) => {
                // The window of our own client and of the gateway is wider than what tests send at once.
                if send.send_data(bytes.into(), i == last).is_err() {
                    return;
                }
            }
            Step::Wait(pause) => tokio::time::sleep(pause).await,
            Step::AwaitBody => {
                let _ = read.wait_for(|done| *done).await;
                if i == last {
                    let _ = send.send_data(Bytes::new(), true);
                }
            }
            Step::Trailers(fields) => {
                let mut trailers = HeaderMap::new();
                for (name, value) in fields {
                    trailers.append(name, value.parse().unwrap());
                }
                let _ = send.send_trailers(trailers);
                return;
            }
            Step::Reset(reason) => {
                // A reset throws away what waits to be sent; give it time to go out.
                tokio::time::sleep(Duration::from_millis(20)).await;
                return send.send_reset(reason);
            }
            Step::Hang => {
                let _ = std::future::poll_fn(|cx| send.poll_reset(cx)).await;
                return;
            }
        }
    }
}
