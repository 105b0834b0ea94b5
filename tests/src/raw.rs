//! An HTTP/1.1 upstream that keeps every byte that it was sent and answers with the bytes that the
//! test wrote.
//!
//! What makes no request is kept too: [`RawUpstream::stray`] are bytes on a connection that no head
//! claims, [`RawUpstream::broken`] is a body whose framing is none.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub use crate::message::Head;
use crate::message::{Buffered, Length};
use crate::wire::{Wire, until};

/// One request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// On which connection, counted from 0.
    pub connection: usize,
    /// Everything before the body.
    pub head: Head,
    /// The body as it came, chunk sizes included.
    pub raw_body: Vec<u8>,
    /// The body, chunks put together.
    pub body: Vec<u8>,
    /// The body came to its end.
    pub whole: bool,
}

/// What to answer, step by step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    steps: Vec<Step>,
    early: bool,
}

/// One step of an answer. After the last one the next request is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Wait.
    Wait(Duration),
    /// Read the request's body now, where [`Answer::early`] was said.
    ReadBody,
    /// Send back whatever comes, recorded as part of the body, to the end of the connection.
    Echo,
    /// Do nothing more; the connection stays open until the other side closes it.
    Hang,
    /// Close the connection (FIN).
    Close,
    /// Break the connection off (RST).
    Reset,
}

/// An upstream that listens until it is dropped.
pub struct RawUpstream {
    address: SocketAddr,
    log: Arc<Mutex<Log>>,
    serving: JoinHandle<()>,
    requests_only: bool,
}

#[derive(Default)]
struct Log {
    requests: Vec<Recorded>,
    connections: usize,
    open: usize,
    /// By connection: what came after the last request and is no whole head.
    stray: BTreeMap<usize, Vec<u8>>,
    broken: Vec<String>,
}

type Script = Arc<dyn Fn(&Head) -> Answer + Send + Sync>;

// === impl Answer ===

impl Answer {
    /// A whole response: 200 with this body.
    #[must_use]
    pub fn ok(body: &str) -> Self {
        let len = body.len();
        Self::bytes(format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n\r\n{body}"))
    }

    /// These bytes.
    #[must_use]
    pub fn bytes(bytes: impl AsRef<[u8]>) -> Self {
        Self::default().send(bytes)
    }

    /// Then these bytes.
    #[must_use]
    pub fn send(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Send(bytes.as_ref().to_vec()))
    }

    /// Then a pause.
    #[must_use]
    pub fn wait(self, pause: Duration) -> Self {
        self.then(Step::Wait(pause))
    }

    /// Then this step.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Begins before the request's body was read: for `100 Continue`, or for an answer that does not
    /// wait.
    #[must_use]
    pub const fn early(mut self) -> Self {
        self.early = true;
        self
    }

    /// A WebSocket's or any other upgrade: 101 with these fields, then everything is sent back.
    #[must_use]
    pub fn upgrade_and_echo(fields: &str) -> Self {
        Self::bytes(format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n")).then(Step::Echo)
    }
}

// === impl RawUpstream ===

impl RawUpstream {
    /// Listens; `script` sees the head of each request and says what to answer.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start(script: impl Fn(&Head) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen(None, None, Arc::new(script)).await
    }

    /// Listens at an address, such as one where another upstream was stopped.
    ///
    /// # Panics
    /// When the address cannot be had.
    pub async fn start_at(
        address: SocketAddr,
        script: impl Fn(&Head) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::listen(Some(address), None, Arc::new(script)).await
    }

    /// Listens with TLS.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start_tls(
        acceptor: TlsAcceptor,
        script: impl Fn(&Head) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::listen(None, Some(acceptor), Arc::new(script)).await
    }

    /// Listens and answers everything with 200 and `ok`.
    pub async fn ok() -> Self {
        Self::start(|_| Answer::ok("ok")).await
    }

    async fn listen(at: Option<SocketAddr>, acceptor: Option<TlsAcceptor>, script: Script) -> Self {
        let at = at.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let log: Arc<Mutex<Log>> = Arc::default();
        let shared = Arc::clone(&log);
        let serving = tokio::spawn(async move {
            // Connections end with the upstream.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = {
                    let mut log = shared.lock().unwrap();
                    log.connections += 1;
                    log.open += 1;
                    log.connections - 1
                };
                connections.spawn(serve(
                    number,
                    stream,
                    acceptor.clone(),
                    Arc::clone(&script),
                    Open(Arc::clone(&shared)),
                ));
            }
        });
        Self { address, log, serving, requests_only: false }
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
        self.log.lock().unwrap().requests.clone()
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

    /// What came and is part of no request, by connection: a request that was not finished, or more
    /// bytes than those before said.
    ///
    /// # Panics
    /// Never, unless the upstream panicked before.
    #[must_use]
    pub fn stray(&self) -> BTreeMap<usize, Vec<u8>> {
        self.log.lock().unwrap().stray.clone()
    }

    /// Bodies whose framing is none, each told in a sentence. Their connections were closed.
    ///
    /// # Panics
    /// Never, unless the upstream panicked before.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        self.log.lock().unwrap().broken.clone()
    }

    /// From now on whole requests are all that may come: dropped, it ends the test if there was
    /// anything [stray](Self::stray) or [broken](Self::broken).
    pub const fn requests_only(&mut self) {
        self.requests_only = true;
    }

    /// How many connections came so far.
    ///
    /// # Panics
    /// Never, unless the upstream panicked before.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.log.lock().unwrap().connections
    }

    /// How many connections are open now.
    ///
    /// # Panics
    /// Never, unless the upstream panicked before.
    #[must_use]
    pub fn open(&self) -> usize {
        self.log.lock().unwrap().open
    }

    /// Stops listening and closes what is open.
    pub fn stop(&self) {
        self.serving.abort();
    }
}

impl Drop for RawUpstream {
    fn drop(&mut self) {
        self.serving.abort();
        if self.requests_only && !std::thread::panicking() {
            let stray: Vec<_> =
                self.stray().iter().map(|(c, bytes)| format!("{c}: {}", bytes.escape_ascii())).collect();
            assert!(
                stray.is_empty(),
                "bytes at the app that are part of no request, by connection: {stray:#?}"
            );
            assert!(self.broken().is_empty(), "bodies at the app without framing: {:#?}", self.broken());
        }
    }
}

/// A connection that counts as open.
struct Open(Arc<Mutex<Log>>);

impl Drop for Open {
    fn drop(&mut self) {
        if let Ok(mut log) = self.0.lock() {
            log.open -= 1;
        }
    }
}

async fn serve(number: usize, stream: TcpStream, acceptor: Option<TlsAcceptor>, script: Script, open: Open) {
    stream.set_nodelay(true).unwrap();
    // For a reset, while TLS owns the stream.
    let socket = stream.as_fd().try_clone_to_owned().map(std::net::TcpStream::from).unwrap();
    let wire: Wire = match acceptor {
        None => Box::new(stream),
        Some(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => Box::new(stream),
            Err(_) => return,
        },
    };
    let mut buffered = Buffered::new(wire);
    while let Some(head) = next_head(number, &mut buffered, &open.0).await {
        let answer = script(&head);
        let at = {
            let mut log = open.0.lock().unwrap();
            let empty = Recorded {
                connection: number,
                head: head.clone(),
                raw_body: Vec::new(),
                body: Vec::new(),
                whole: false,
            };
            log.requests.push(empty);
            log.requests.len() - 1
        };
        let mut upload = Upload { head: &head, at, log: &open.0, read: false };
        if !answer.early && !upload.read(&mut buffered).await {
            return;
        }
        for step in answer.steps {
            match step {
                Step::Send(bytes) => {
                    if buffered.wire.write_all(&bytes).await.is_err() || buffered.wire.flush().await.is_err()
                    {
                        return;
                    }
                }
                Step::Wait(pause) => tokio::time::sleep(pause).await,
                Step::ReadBody => {
                    if !upload.read(&mut buffered).await {
                        return;
                    }
                }
                Step::Echo => {
                    while let Some(some) = buffered.some().await {
                        upload.record(&some, &some, false);
                        if buffered.wire.write_all(&some).await.is_err() {
                            return;
                        }
                    }
                    return;
                }
                Step::Hang => {
                    while let Some(some) = buffered.some().await {
                        upload.record(&some, &some, false);
                    }
                    return;
                }
                Step::Close => {
                    // The other side may be gone.
                    let _ = buffered.wire.shutdown().await;
                    return;
                }
                Step::Reset => {
                    socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
                    return;
                }
            }
        }
    }
}

/// The next head; what came of it so far is stray for as long as it is not whole.
async fn next_head(number: usize, buffered: &mut Buffered, log: &Mutex<Log>) -> Option<Head> {
    loop {
        if let Some(head) = buffered.head_in() {
            log.lock().unwrap().stray.remove(&number);
            return Some(head);
        }
        if !buffered.buffer.is_empty() {
            log.lock().unwrap().stray.insert(number, buffered.buffer.to_vec());
        }
        if !buffered.more().await {
            return None;
        }
    }
}

/// A request's body on its way into the log.
struct Upload<'a> {
    head: &'a Head,
    at: usize,
    log: &'a Mutex<Log>,
    read: bool,
}

impl Upload<'_> {
    fn record(&self, raw: &[u8], content: &[u8], whole: bool) {
        let mut log = self.log.lock().unwrap();
        let request = &mut log.requests[self.at];
        request.raw_body.extend_from_slice(raw);
        request.body.extend_from_slice(content);
        request.whole = whole;
    }

    /// Reads to the end of the body, recording each piece as it comes; false when its framing is
    /// none, and what follows could be anything.
    async fn read(&mut self, buffered: &mut Buffered) -> bool {
        if std::mem::replace(&mut self.read, true) {
            return true;
        }
        match self.head.length(Length::Known(0)) {
            Length::Chunked => loop {
                let mut raw = Vec::new();
                match buffered.try_chunk(&mut raw).await {
                    Ok(Some(content)) => {
                        let last = content.is_empty();
                        self.record(&raw, &content, last);
                        if last {
                            return true;
                        }
                    }
                    // The connection ended: what there is of the chunk is of this body.
                    Ok(None) => {
                        self.record(&buffered.buffer.split(), &[], false);
                        return true;
                    }
                    Err(broken) => {
                        self.record(&buffered.buffer.split(), &[], false);
                        let broken = format!("{broken}: {}", self.head.first_line());
                        self.log.lock().unwrap().broken.push(broken);
                        return false;
                    }
                }
            },
            Length::Known(mut left) => {
                while left > 0 {
                    let Some(some) = buffered.some_of(left).await else { return true };
                    left -= some.len();
                    self.record(&some, &some, left == 0);
                }
                self.record(&[], &[], true);
            }
            Length::ToTheEnd => {}
        }
        true
    }
}

#[cfg(test)]
mod tests;
