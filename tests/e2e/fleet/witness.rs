//! Whether a node tells the truth of itself: what its metrics and `/readyz` say, beside what a
//! request is answered at the same time.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use doorward_tests::fleet::{HOST, Node};
use doorward_tests::gateway::{Operator, Readiness};
use doorward_tests::h1::{H1, request};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::hammer::Seen;

const EVERY: Duration = Duration::from_millis(250);
/// A node that is stopped says nothing that could be compared.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a node said, and did.
#[derive(Clone, Debug)]
pub(crate) struct Testimony {
    pub(crate) node: usize,
    pub(crate) at: Instant,
    before: Lease,
    ready: Readiness,
    seen: Seen,
    after: Lease,
}

/// What its metrics say of its lease. When it was not renewed between two looks that say the same,
/// it was so all the time between them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Lease {
    leased: f64,
    renewed: f64,
}

/// Looks at every node, until it is told to end.
pub(crate) struct Witness {
    heard: Arc<Mutex<Vec<Testimony>>>,
    stop: watch::Sender<bool>,
    looking: JoinSet<()>,
}

impl Lease {
    async fn of(operator: &Operator) -> Option<Self> {
        let metrics = operator.metrics().await?;
        let of = |name: &str| metrics.get(name).copied();
        Some(Self { leased: of("doorward_fleet_leased")?, renewed: of("doorward_fleet_polls_total")? })
    }
}

impl Testimony {
    async fn take(number: usize, node: (std::net::SocketAddr, &Operator), token: &str) -> Option<Self> {
        let (address, operator) = node;
        let at = Instant::now();
        let before = Lease::of(operator).await?;
        let ready = operator.ready().await?;
        let mut client = H1::over(Box::new(TcpStream::connect(address).await.ok()?));
        let bearer = format!("Bearer {token}");
        let fields = [("authorization", bearer.as_str()), ("connection", "close")];
        client.try_send(request("GET", HOST, "/", &fields, b"")).await;
        let seen = Seen::of(&client.try_response("GET").await?);
        let after = Lease::of(operator).await?;
        Some(Self { node: number, at, before, ready, seen, after })
    }

    /// Whether what it said can be compared with what it did.
    pub(crate) fn is_decisive(&self) -> bool {
        self.before == self.after
    }

    pub(crate) fn finds_no_lease(&self) -> bool {
        self.before.leased == 0.0
    }

    /// What is untrue in it. Where the directory itself is read (`file`) nothing rests on a lease.
    pub(crate) fn untrue(&self, file: bool) -> Option<String> {
        let leased = self.before.leased != 0.0;
        let status = self.ready.status;
        let (fleet, why) = self.ready.condition("fleet");
        // A node that has no lease says so, and why.
        let explained = why.strip_prefix("there is no lease: ").is_some_and(|why| !why.is_empty());
        let is_true = match (leased, file) {
            (true, _) => self.seen.is_granted() && status == 200 && matches!(fleet, "holds" | "degraded"),
            (false, true) => self.seen.is_granted() && status == 200 && fleet == "degraded" && explained,
            (false, false) => self.seen.is_stale() && status == 503 && fleet == "missing" && explained,
        };
        let said = if leased { "leased 1" } else { "leased 0" };
        (!is_true).then(|| {
            let seen = &self.seen;
            format!(
                "its metric says {said}, /readyz {status} and `fleet` {fleet} ({why}), and a request {seen}"
            )
        })
    }
}

impl Witness {
    /// Looks with the token of somebody who stays.
    pub(crate) fn start(nodes: &[Node], token: &str) -> Self {
        let heard: Arc<Mutex<Vec<Testimony>>> = Arc::default();
        let (stop, stopped) = watch::channel(false);
        let mut looking = JoinSet::new();
        for (number, node) in nodes.iter().enumerate() {
            let (address, operator) = (node.address(), node.operator().clone());
            let (token, heard, mut stopped) = (token.to_owned(), Arc::clone(&heard), stopped.clone());
            looking.spawn(async move {
                loop {
                    let take = Testimony::take(number, (address, &operator), &token);
                    if let Ok(Some(testimony)) = tokio::time::timeout(PATIENCE, take).await {
                        heard.lock().unwrap().push(testimony);
                    }
                    tokio::select! {
                        _ = stopped.wait_for(|stop| *stop) => return,
                        () = tokio::time::sleep(EVERY) => {}
                    }
                }
            });
        }
        Self { heard, stop, looking }
    }

    pub(crate) async fn end(mut self) -> Vec<Testimony> {
        self.stop.send_replace(true);
        while let Some(looking) = self.looking.join_next().await {
            looking.unwrap();
        }
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}
