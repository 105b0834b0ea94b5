//! A Redis Cluster: three primaries, and a replica for each if wanted.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::port::Port;
use crate::process::{secret, within};
use crate::redis::{Redis, Role, Setup};

/// How a cluster is set up.
#[derive(Debug, Clone)]
pub struct ClusterSetup {
    /// Whether each primary has a replica.
    pub replicas: bool,
    /// For how long a node is silent until the others take it for failed.
    pub node_timeout: Duration,
    /// How the nodes are configured.
    pub nodes: Setup,
}

/// Servers that share the slots.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Redis>,
}

const PRIMARIES: usize = 3;
/// Longer than a busy machine stands still.
const PATIENT: Duration = Duration::from_secs(15);
const SLOTS: usize = 16_384;
const SETTLED: Duration = Duration::from_secs(60);
const FAILED_OVER: Duration = Duration::from_secs(60);
/// Longer than a node that was introduced is waited for.
const INTRODUCED_AGAIN: Duration = Duration::from_secs(3);

/// How long one node may think.
const ASKED: Duration = Duration::from_secs(1);

// === impl Cluster ===

impl Cluster {
    /// Starts three primaries without replicas and waits until all agree that the cluster works. Nobody takes
    /// the place of one that fails, so they have patience with each other.
    ///
    /// # Panics
    /// When they do not within a minute.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&ClusterSetup { node_timeout: PATIENT, ..ClusterSetup::default() })
    }

    /// The same in full.
    ///
    /// # Panics
    /// When the nodes do not agree within a minute.
    #[must_use]
    pub fn with(setup: &ClusterSetup) -> Self {
        let shared = secret();
        let count = if setup.replicas { 2 * PRIMARIES } else { PRIMARIES };
        let nodes: Vec<Redis> = (0..count).map(|i| Self::node(setup, i, &shared)).collect();
        let cluster = Self { nodes };
        for (i, node) in cluster.nodes.iter().take(PRIMARIES).enumerate() {
            let (first, end) = (i * SLOTS / PRIMARIES, (i + 1) * SLOTS / PRIMARIES);
            told(node, &["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &(end - 1).to_string()]);
        }
        cluster.introduce();
        for (i, replica) in cluster.nodes.iter().enumerate().skip(PRIMARIES) {
            let id = told(&cluster.nodes[i - PRIMARIES], &["CLUSTER", "MYID"]).text();
            told(replica, &["CLUSTER", "REPLICATE", &id]);
        }
        cluster.wait_until_ok();
        for replica in &cluster.nodes[PRIMARIES..] {
            replica.wait_until_following();
        }
        let replicas = usize::from(setup.replicas);
        let known = |node: &Redis| cluster.replicas_of(node).len() == replicas;
        let all_known = || cluster.nodes[..PRIMARIES].iter().all(known).then_some(());
        assert!(within(SETTLED, all_known).is_some(), "the primaries do not know their replicas");
        cluster
    }

    /// Has all nodes know each other. One that is introduced and does not answer within the node timeout is
    /// forgotten again, so on a busy machine it takes more than one word.
    fn introduce(&self) {
        let know_all = || self.nodes.iter().all(|node| known(node) == Some(self.nodes.len()));
        let mut introduced: Option<Instant> = None;
        let met = within(SETTLED, || {
            if know_all() {
                return Some(());
            }
            if introduced.is_none_or(|at| at.elapsed() > INTRODUCED_AGAIN) {
                for node in &self.nodes[1..] {
                    let bus = told(node, &["CONFIG", "GET", "cluster-port"]).named("cluster-port").unwrap();
                    let port = node.port().to_string();
                    told(&self.nodes[0], &["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
                }
                introduced = Some(Instant::now());
            }
            None
        });
        assert!(met.is_some(), "the nodes do not meet: {}", self.nodes[0].log());
    }

    fn node(setup: &ClusterSetup, index: usize, shared: &str) -> Redis {
        let bus = Port::take();
        let mut itself = setup.nodes.clone();
        itself.lines.extend([
            "cluster-enabled yes".to_owned(),
            format!("cluster-port {}", bus.number()),
            format!("cluster-node-timeout {}", setup.node_timeout.as_millis()),
            // Outside of `data`, so that a node whose data is wiped is still the same node.
            "cluster-config-file ../nodes.conf".to_owned(),
            "cluster-announce-ip 127.0.0.1".to_owned(),
        ]);
        if itself.tls.is_some() {
            itself.lines.push("tls-cluster yes".to_owned());
        }
        let node = Redis::launch(&itself, Role::Server, Some(bus), shared);
        // Nodes that begin with the same epoch would quarrel about it first.
        told(&node, &["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
        node
    }

    /// The nodes: three primaries first, as it was at the start, and the replica of each in the same order.
    #[must_use]
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// Where the nodes listen.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Redis::address).collect()
    }

    /// The slot of a key; only what is in braces counts, if there are any.
    ///
    /// # Panics
    /// When no node answers within a minute.
    #[must_use]
    pub fn slot(&self, key: &str) -> u16 {
        let words = ["CLUSTER", "KEYSLOT", key];
        let asked = || self.nodes.iter().find_map(|node| node.command_within(ASKED, &words).ok());
        u16::try_from(within(SETTLED, asked).expect("no node answers").int()).unwrap()
    }

    /// The primary that has a key, as the first node that answers sees it.
    ///
    /// # Panics
    /// When no node answers within a minute, or nobody has the key.
    #[must_use]
    pub fn owner(&self, key: &str) -> &Redis {
        let seen = || self.owner_seen_by(self.nodes.iter(), key);
        within(SETTLED, seen).expect("nobody has the key")
    }

    /// The replicas of the primary that has a key, as that primary sees it.
    ///
    /// # Panics
    /// When no node answers.
    #[must_use]
    pub fn replicas_of(&self, owner: &Redis) -> Vec<&Redis> {
        let id = told(owner, &["CLUSTER", "MYID"]).text();
        let lines = told(owner, &["CLUSTER", "REPLICAS", &id]);
        let ports = lines
            .list()
            .iter()
            .filter_map(|line| line.text().split_once(':')?.1.split('@').next()?.parse::<u16>().ok());
        ports.filter_map(|port| self.nodes.iter().find(|node| node.port() == port)).collect()
    }

    /// Waits until another node than the one with this port has the key, in the eyes of all nodes
    /// that answer, that one excepted.
    ///
    /// # Panics
    /// When that does not happen within a minute.
    pub fn wait_for_failover(&self, key: &str, from_port: u16) -> &Redis {
        let happened = within(FAILED_OVER, || {
            let others = || self.nodes.iter().filter(|node| node.port() != from_port);
            let owner = self.owner_seen_by(others(), key).filter(|owner| owner.port() != from_port)?;
            let mut answering = others().filter(|node| node.command_within(ASKED, &["PING"]).is_ok());
            let agree = answering.all(|node| {
                is_ok(node) && self.owner_seen_by([node], key).map(Redis::port) == Some(owner.port())
            });
            agree.then_some(owner)
        });
        happened.unwrap_or_else(|| panic!("no failover of {key}: {}", self.nodes[0].log()))
    }

    /// Waits until all nodes that run say `cluster_state:ok`.
    ///
    /// # Panics
    /// When they do not within a minute.
    pub fn wait_until_ok(&self) {
        self.wait("say that the cluster works", |node| !node.is_running() || is_ok(node));
    }

    fn owner_seen_by<'a>(&self, nodes: impl IntoIterator<Item = &'a Redis>, key: &str) -> Option<&Redis> {
        let slots = nodes.into_iter().find_map(|n| n.command_within(ASKED, &["CLUSTER", "SLOTS"]).ok())?;
        let slot = i64::from(self.slot(key));
        let range = slots.list().iter().find(|range| {
            let range = range.list();
            (range[0].int()..=range[1].int()).contains(&slot)
        })?;
        let port = range.list()[2].list()[1].int();
        self.nodes.iter().find(|node| i64::from(node.port()) == port)
    }

    fn wait(&self, what: &str, is_so: impl Fn(&Redis) -> bool) {
        let all = || self.nodes.iter().all(&is_so).then_some(());
        assert!(within(SETTLED, all).is_some(), "the nodes do not {what}: {}", self.nodes[0].log());
    }
}

impl Default for ClusterSetup {
    fn default() -> Self {
        Self { replicas: false, node_timeout: Duration::from_secs(1), nodes: Setup::default() }
    }
}

/// What a node answers that must.
fn told(node: &Redis, words: &[&str]) -> crate::resp::Reply {
    node.command(words).unwrap_or_else(|e| panic!("{}: {e}", words.join(" ")))
}

/// How many nodes this one has shaken hands with, itself included.
fn known(node: &Redis) -> Option<usize> {
    let nodes = node.command_within(ASKED, &["CLUSTER", "NODES"]).ok()?.text();
    Some(nodes.lines().filter(|line| line.contains(" connected") && !line.contains("handshake")).count())
}

fn is_ok(node: &Redis) -> bool {
    let reply = node.command_within(ASKED, &["CLUSTER", "INFO"]).ok();
    reply.and_then(|reply| reply.field("cluster_state")).as_deref() == Some("ok")
}
