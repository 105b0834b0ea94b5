//! A wire that can be cut: a forwarder between a client and a server.
//!
//! Four threads carry each connection, a reader and a writer for each way. Between them stands a
//! queue, in which bytes wait until they are due.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use crate::process::{PATIENCE, lock, within};

/// A forwarder on a port of its own. It ends with the handle, and all its connections with it.
#[derive(Debug)]
pub struct Wire {
    inner: Arc<Inner>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    target: SocketAddr,
    flow: Flow,
    delay: Duration,
    is_over: bool,
    links: Vec<Arc<Link>>,
}

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// They pass.
    Whole,
    /// They wait until the wire is mended.
    Held,
    /// They are lost.
    Cut,
    /// Those of the server are lost.
    AnswersLost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From the client to the server.
    There,
    /// From the server to the client.
    Back,
}

/// A connection: the client's half, and ours to the server.
#[derive(Debug)]
struct Link {
    near: TcpStream,
    /// None when the wire was cut when the client came.
    far: Option<TcpStream>,
    lost_there: AtomicBool,
    lost_back: AtomicBool,
    /// Both halves are being reset.
    is_reset: AtomicBool,
    /// How many ways have not ended.
    open_ways: AtomicUsize,
}

/// What stands in the queue between reader and writer.
enum Piece {
    Bytes(Instant, Vec<u8>),
    /// The sender has said that nothing more will come.
    End(Instant),
    /// The sender is gone.
    Reset,
}

const QUEUE: usize = 64;
const BYTES: usize = 16 * 1024;
/// How often a writer that nobody reads from looks around.
const GLANCE: Duration = Duration::from_millis(50);

// === impl Wire ===

impl Wire {
    /// Puts a wire before a server.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (flow, delay) = (Flow::Whole, Duration::ZERO);
        let state = Mutex::new(State { target, flow, delay, is_over: false, links: Vec::new() });
        let inner = Arc::new(Inner { state, changed: Condvar::new() });
        let acceptor = Some(spawn({
            let inner = Arc::clone(&inner);
            move || inner.accept(&listener)
        }));
        Self { inner, address, acceptor }
    }

    /// Where the client connects instead of the server.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections there are, those that were cut included.
    #[must_use]
    pub fn connections(&self) -> usize {
        lock(&self.inner.state).links.len()
    }

    /// Loses everything, both ways, and tells nobody. The connections that are there stay half-open
    /// for ever, also when the wire is mended; and so do those that come meanwhile.
    pub fn cut(&self) {
        self.change(Flow::Cut);
    }

    /// Loses what the server answers: commands arrive and are done, and nobody hears of it. For
    /// connections it is as with [`Wire::cut`].
    pub fn lose_answers(&self) {
        self.change(Flow::AnswersLost);
    }

    /// Lets nothing pass, both ways, until the wire is mended; what was sent meanwhile arrives then.
    /// So does TCP over a wire that fails for a short time.
    pub fn hold(&self) {
        self.change(Flow::Held);
    }

    /// Ends all connections that are there with RST, on both sides. New ones come through.
    ///
    /// # Panics
    /// When that takes more than a minute.
    pub fn reset(&self) {
        let links = std::mem::take(&mut lock(&self.inner.state).links);
        self.inner.reset(&links);
        let weak: Vec<_> = links.iter().map(Arc::downgrade).collect();
        drop(links);
        let gone = || weak.iter().all(|link| link.strong_count() == 0).then_some(());
        assert!(within(PATIENCE, gone).is_some(), "connections through a wire do not end");
    }

    /// Whatever is sent from now on arrives so much later, both ways.
    pub fn slow(&self, delay: Duration) {
        lock(&self.inner.state).delay = delay;
    }

    /// Everything passes again, without delay.
    pub fn mend(&self) {
        self.slow(Duration::ZERO);
        self.change(Flow::Whole);
    }

    /// Leads new connections to another server, as a name that is given to another does.
    pub fn lead_to(&self, target: SocketAddr) {
        lock(&self.inner.state).target = target;
    }

    fn change(&self, flow: Flow) {
        let mut state = lock(&self.inner.state);
        state.flow = flow;
        for link in &state.links {
            link.suffer(flow);
        }
        drop(state);
        self.inner.changed.notify_all();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let mut state = lock(&self.inner.state);
        state.is_over = true;
        let links = std::mem::take(&mut state.links);
        drop(state);
        self.inner.reset(&links);
        // Wakes the acceptor.
        let woken = TcpStream::connect(self.address);
        if let (Ok(_), Some(acceptor)) = (woken, self.acceptor.take()) {
            let _ = acceptor.join();
        }
    }
}

// === impl Inner ===

impl Inner {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for near in listener.incoming() {
            if lock(&self.state).is_over {
                return;
            }
            let Ok(near) = near else { continue };
            let inner = Arc::clone(self);
            spawn(move || inner.carry(near));
        }
    }

    /// Connects a client that came to the server, and carries both ways.
    fn carry(self: Arc<Self>, near: TcpStream) {
        let mut state = lock(&self.state);
        while state.flow == Flow::Held && !state.is_over {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let (target, flow) = (state.target, state.flow);
        drop(state);
        let far = match flow {
            Flow::Cut => None,
            Flow::Whole | Flow::AnswersLost | Flow::Held => {
                let Ok(far) = TcpStream::connect_timeout(&target, PATIENCE) else {
                    abort(&near);
                    return;
                };
                Some(far)
            }
        };
        for stream in std::iter::once(&near).chain(&far) {
            let _ = stream.set_nodelay(true);
            let _ = stream.set_write_timeout(Some(GLANCE));
        }
        let link = Arc::new(Link::new(near, far, flow));
        let mut state = lock(&self.state);
        // The wire may have been cut while this was connecting.
        link.suffer(state.flow);
        if state.is_over {
            link.reset();
            return;
        }
        state.links.push(Arc::clone(&link));
        drop(state);
        for way in [Way::There, Way::Back] {
            let (sender, receiver) = sync_channel(QUEUE);
            let (inner, of_reader) = (Arc::clone(&self), Arc::clone(&link));
            spawn(move || inner.read(&of_reader, way, &sender));
            let (inner, of_writer) = (Arc::clone(&self), Arc::clone(&link));
            spawn(move || inner.write(of_writer, way, &receiver));
        }
    }

    /// Puts into the queue what one side sends.
    fn read(&self, link: &Link, way: Way, queue: &SyncSender<Piece>) {
        let Some(mut from) = link.from(way) else { return };
        let mut bytes = vec![0; BYTES];
        loop {
            let read = from.read(&mut bytes);
            let due = Instant::now() + lock(&self.state).delay;
            let piece = match read {
                Ok(0) => Piece::End(due),
                Ok(count) => Piece::Bytes(due, bytes[..count].to_vec()),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(_) => Piece::Reset,
            };
            let is_last = matches!(piece, Piece::End(_) | Piece::Reset);
            if queue.send(piece).is_err() || is_last {
                return;
            }
        }
    }

    /// Gives to the other side what stands in the queue, when it is due.
    fn write(&self, link: Arc<Link>, way: Way, queue: &Receiver<Piece>) {
        for piece in queue {
            match piece {
                Piece::Bytes(due, bytes) => {
                    // What cannot be given to a side that is gone is lost.
                    if self.may_pass(&link, way, due) && !link.give(way, &bytes) {
                        link.reset();
                    }
                }
                Piece::End(due) => {
                    if self.may_pass(&link, way, due)
                        && let Some(to) = link.to(way)
                    {
                        let _ = to.shutdown(Shutdown::Write);
                    }
                }
                Piece::Reset => {
                    if self.may_pass(&link, way, Instant::now()) {
                        link.reset();
                    }
                }
            }
        }
        if link.open_ways.fetch_sub(1, Ordering::AcqRel) == 1 {
            lock(&self.state).links.retain(|other| !Arc::ptr_eq(other, &link));
        }
    }

    /// Waits until it is due and the wire is not held. False when it is lost.
    fn may_pass(&self, link: &Link, way: Way, due: Instant) -> bool {
        let mut state = lock(&self.state);
        loop {
            if link.is_lost(way) {
                return false;
            }
            let left = due.saturating_duration_since(Instant::now());
            let is_held = state.flow == Flow::Held && !state.is_over;
            state = match (is_held, left.is_zero()) {
                (true, _) => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                (false, false) => self.wait(state, left),
                (false, true) => return true,
            };
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, bound: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, bound).unwrap_or_else(PoisonError::into_inner).0
    }

    fn reset(&self, links: &[Arc<Link>]) {
        let state = lock(&self.state);
        for link in links {
            link.reset();
        }
        drop(state);
        self.changed.notify_all();
    }
}

// === impl Link ===

impl Link {
    fn new(near: TcpStream, far: Option<TcpStream>, flow: Flow) -> Self {
        let link = Self {
            near,
            far,
            lost_there: AtomicBool::new(false),
            lost_back: AtomicBool::new(false),
            is_reset: AtomicBool::new(false),
            open_ways: AtomicUsize::new(2),
        };
        link.suffer(flow);
        link
    }

    const fn from(&self, way: Way) -> Option<&TcpStream> {
        match way {
            Way::There => Some(&self.near),
            Way::Back => self.far.as_ref(),
        }
    }

    const fn to(&self, way: Way) -> Option<&TcpStream> {
        match way {
            Way::There => self.far.as_ref(),
            Way::Back => Some(&self.near),
        }
    }

    /// What becomes of this connection, for ever, by a change of the wire.
    fn suffer(&self, flow: Flow) {
        match flow {
            Flow::Whole | Flow::Held => {}
            Flow::Cut => {
                self.lost_there.store(true, Ordering::Release);
                self.lost_back.store(true, Ordering::Release);
            }
            Flow::AnswersLost => self.lost_back.store(true, Ordering::Release),
        }
    }

    fn is_lost(&self, way: Way) -> bool {
        let lost = match way {
            Way::There => &self.lost_there,
            Way::Back => &self.lost_back,
        };
        lost.load(Ordering::Acquire) || self.is_reset.load(Ordering::Acquire)
    }

    /// Writes all of it. False when the other side is gone.
    fn give(&self, way: Way, mut bytes: &[u8]) -> bool {
        let Some(mut to) = self.to(way) else { return false };
        while !bytes.is_empty() && !self.is_lost(way) {
            match to.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Has both halves end with RST, which is sent when the last thread lets go of them.
    fn reset(&self) {
        self.is_reset.store(true, Ordering::Release);
        abort(&self.near);
        if let Some(far) = &self.far {
            abort(far);
        }
    }
}

/// Wakes who reads from it, and has it end with RST.
fn abort(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
    let _ = stream.shutdown(Shutdown::Read);
}
