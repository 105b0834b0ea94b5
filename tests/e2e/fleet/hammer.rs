//! A steady light load: everybody asks every node, all the time, and every answer is kept.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use doorward_tests::fleet::{HOST, Node};
use doorward_tests::h1::{H1, Response};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::crowd::{Crowd, Fate, Word};

/// How many connections each node has, and how often each of them asks.
const CONNECTIONS: usize = 4;
const EVERY: Duration = Duration::from_millis(60);
/// A node that is stopped answers when it goes on. One that has not by then does not.
const PATIENCE: Duration = Duration::from_secs(10);

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) node: usize,
    pub(crate) holder: usize,
    /// Before the first byte was sent.
    pub(crate) sent: Instant,
    /// After the last byte was read.
    pub(crate) received: Instant,
    pub(crate) seen: Seen,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// An answer; `code` is that of a refusal.
    Answer { status: u16, code: String, retry_after: bool, cookie: bool },
    /// No answer: nobody listens, or the connection ended.
    Nothing,
}

/// The load. It goes on until it is told to end.
pub(crate) struct Hammer {
    kept: Arc<Mutex<Kept>>,
    stop: watch::Sender<bool>,
    workers: JoinSet<()>,
    nodes: usize,
}

#[derive(Default)]
struct Kept {
    all: Vec<Sample>,
    /// The place of the newest one by node and holder.
    newest: BTreeMap<(usize, usize), usize>,
}

// === impl Seen ===

impl Seen {
    pub(crate) fn of(response: &Response) -> Self {
        let there = |name: &str| !response.head.values(name).is_empty();
        Self::Answer {
            status: response.status(),
            code: response.head.value("x-doorward-refusal").unwrap_or_default(),
            retry_after: there("retry-after"),
            cookie: there("set-cookie"),
        }
    }

    pub(crate) const fn is_granted(&self) -> bool {
        matches!(self, Self::Answer { status: 200..=299, .. })
    }

    /// Refused because it is not known who was cut off.
    pub(crate) fn is_stale(&self) -> bool {
        matches!(self, Self::Answer { status: 503, code, .. } if code == "stale_revocations")
    }

    /// Refused because access was taken away.
    pub(crate) fn is_cut_off(&self) -> bool {
        matches!(self, Self::Answer { status: 401, code, .. } if code == "revoked" || code == "disabled")
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answer { status, code, .. } => write!(f, "{status} {code}"),
            Self::Nothing => f.write_str("no answer"),
        }
    }
}

// === impl Hammer ===

impl Hammer {
    pub(crate) fn start(nodes: &[Node], crowd: &Arc<Crowd>) -> Self {
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let (stop, stopped) = watch::channel(false);
        let mut workers = JoinSet::new();
        for (number, node) in nodes.iter().enumerate() {
            for connection in 0..CONNECTIONS {
                let (crowd, kept, stopped) = (Arc::clone(crowd), Arc::clone(&kept), stopped.clone());
                let worker = Worker { node: number, address: node.address(), client: None };
                workers.spawn(worker.run(connection, crowd, kept, stopped));
            }
        }
        Self { kept, stop, workers, nodes: nodes.len() }
    }

    /// What is not yet as it must be after a fault that was over at `since`: everybody who stays is
    /// let in everywhere, and nobody else is anywhere.
    pub(crate) fn unsettled(&self, crowd: &Crowd, since: Instant) -> Option<String> {
        let kept = self.kept.lock().unwrap();
        for node in 0..self.nodes {
            for (number, holder) in crowd.holders.iter().enumerate() {
                let newest = kept.newest.get(&(node, number)).map(|at| &kept.all[*at]);
                let Some(newest) = newest.filter(|s| s.sent > since) else {
                    return Some(format!("{} was not seen at node {node}", holder.name));
                };
                let right = match holder.fate {
                    Fate::Stays => newest.seen.is_granted(),
                    Fate::Left => newest.seen.is_cut_off(),
                    Fate::Leaves { .. } => newest.seen.is_cut_off() && crowd.word(number) != Word::None,
                };
                if !right {
                    return Some(format!("{} is {} at node {node}", holder.name, newest.seen));
                }
            }
        }
        None
    }

    /// Ends it: everything that was seen, in order of what was sent first.
    pub(crate) async fn end(mut self) -> Vec<Sample> {
        self.stop.send_replace(true);
        while let Some(worker) = self.workers.join_next().await {
            worker.unwrap();
        }
        let mut all = std::mem::take(&mut self.kept.lock().unwrap().all);
        all.sort_by_key(|sample| sample.sent);
        all
    }
}

/// One connection.
struct Worker {
    node: usize,
    address: SocketAddr,
    client: Option<H1>,
}

impl Worker {
    async fn run(
        mut self,
        connection: usize,
        crowd: Arc<Crowd>,
        kept: Arc<Mutex<Kept>>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let leaving = crowd.leaving();
        // Each begins elsewhere, so that nobody is asked of by all of them at once.
        let mut turn = connection * 3 + self.node;
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                _ = ticks.tick() => {}
            }
            turn += 1;
            // Those who leave are looked at twice as closely.
            let holder = if turn.is_multiple_of(2) {
                leaving[(turn / 2) % leaving.len()]
            } else {
                (turn / 2) % crowd.holders.len()
            };
            let token = &crowd.holders[holder].token;
            let (mut sent, was_open) = (Instant::now(), self.client.is_some());
            let mut response = self.ask(token).await;
            if response.is_none() && was_open {
                // The gateway may have closed a connection that nobody used.
                sent = Instant::now();
                response = self.ask(token).await;
            }
            let seen = response.as_ref().map_or(Seen::Nothing, Seen::of);
            let sample = Sample { node: self.node, holder, sent, received: Instant::now(), seen };
            let mut kept = kept.lock().unwrap();
            let place = kept.all.len();
            kept.all.push(sample);
            kept.newest.insert((self.node, holder), place);
        }
    }

    async fn ask(&mut self, token: &str) -> Option<Response> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => {
                let stream = TcpStream::connect(self.address).await.ok()?;
                stream.set_nodelay(true).ok()?;
                H1::over(Box::new(stream))
            }
        };
        let response = tokio::time::timeout(PATIENCE, exchange(&mut client, token)).await.ok()??;
        let closes = response.head.value("connection").is_some_and(|c| c.eq_ignore_ascii_case("close"));
        self.client = (!closes).then_some(client);
        Some(response)
    }
}

async fn exchange(client: &mut H1, token: &str) -> Option<Response> {
    let bearer = format!("Bearer {token}");
    let answer = client.try_ask("GET", HOST, "/", &[("authorization", &bearer)]).await;
    answer.filter(|response| response.whole)
}
