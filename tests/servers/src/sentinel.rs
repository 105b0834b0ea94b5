//! A primary, its replicas, and three sentinels that watch them.

use std::net::SocketAddr;
use std::time::Duration;

use crate::process::{secret, within};
use crate::redis::{Redis, Role, Setup};
use crate::tls::Tls;

/// How a group is set up.
#[derive(Debug, Clone)]
pub struct SentinelSetup {
    /// How many replicas the primary has.
    pub replicas: usize,
    /// For how long a server is silent until a sentinel takes it for down.
    pub down_after: Duration,
    /// How the servers are configured. The sentinels speak TLS if the servers do.
    pub servers: Setup,
    /// The password of the sentinels.
    pub password: Option<String>,
}

/// A group that fails over by itself. A primary that comes back after that takes itself for the
/// primary for some ten seconds, until the sentinels have watched it for long enough.
#[derive(Debug)]
pub struct Sentinels {
    // Who watches ends first, so that nobody fails over in the end.
    sentinels: Vec<Redis>,
    servers: Vec<Redis>,
}

/// The name of the primary that sentinels are asked for.
const NAME: &str = "doorward";
const COUNT: usize = 3;
const QUORUM: usize = 2;

const SETTLED: Duration = Duration::from_secs(60);
/// Sentinels that stood still for two seconds do nothing for half a minute.
const FAILED_OVER: Duration = Duration::from_secs(120);
/// An order comes to nothing in three seconds, when another sentinel undoes what is being done.
const ORDERED: Duration = Duration::from_secs(5);

/// How long one sentinel may think.
const ASKED: Duration = Duration::from_secs(1);

// === impl Sentinels ===

impl Sentinels {
    /// Starts a primary with so many replicas and three sentinels, who take a server for down after
    /// so many milliseconds, and waits until all know each other.
    ///
    /// # Panics
    /// When they do not within a minute.
    #[must_use]
    pub fn start(replicas: usize, down_after_millis: u64) -> Self {
        let down_after = Duration::from_millis(down_after_millis);
        Self::with(&SentinelSetup { replicas, down_after, ..SentinelSetup::default() })
    }

    /// The same in full.
    ///
    /// # Panics
    /// When they do not know each other within a minute.
    #[must_use]
    pub fn with(setup: &SentinelSetup) -> Self {
        let shared = secret();
        let primary = Redis::launch(&setup.servers, Role::Server, None, &shared);
        let replicas: Vec<Redis> =
            (0..setup.replicas).map(|_| primary.start_replica(&setup.servers)).collect();
        let sentinels = (0..COUNT).map(|_| Self::sentinel(setup, &primary, &shared)).collect();
        let group = Self { sentinels, servers: std::iter::once(primary).chain(replicas).collect() };
        group.pace(["200", "500"]);
        for sentinel in &group.sentinels {
            let known = within(SETTLED, || group.is_settled(sentinel).then_some(()));
            assert!(known.is_some(), "the sentinels do not find each other: {}", sentinel.log());
        }
        // What they do from now on takes as long as anywhere.
        group.pace(["2000", "10000"]);
        group
    }

    /// How often they greet each other and how often they ask servers for more than a sign of life.
    fn pace(&self, [greet, ask]: [&str; 2]) {
        for sentinel in &self.sentinels {
            let words = ["SENTINEL", "DEBUG", "PUBLISH-PERIOD", greet, "INFO-PERIOD", ask];
            sentinel.command(&words).unwrap();
        }
    }

    fn sentinel(setup: &SentinelSetup, primary: &Redis, shared: &str) -> Redis {
        let (user, password) = primary.admin();
        let lines = vec![
            format!("sentinel monitor {NAME} 127.0.0.1 {} {QUORUM}", primary.port()),
            format!("sentinel down-after-milliseconds {NAME} {}", setup.down_after.as_millis()),
            // How soon they try again when a vote or a failover came to nothing.
            format!("sentinel failover-timeout {NAME} 3000"),
            format!("sentinel auth-user {NAME} {user}"),
            format!("sentinel auth-pass {NAME} {password}"),
            format!("sentinel sentinel-user {user}"),
            format!("sentinel sentinel-pass {password}"),
        ];
        let tls: Option<Tls> = setup.servers.tls.clone();
        let itself = Setup { password: setup.password.clone(), tls, lines, ..Setup::default() };
        Redis::launch(&itself, Role::Sentinel, None, shared)
    }

    /// Whether this sentinel knows all the others and all replicas.
    fn is_settled(&self, sentinel: &Redis) -> bool {
        let Ok(reply) = sentinel.command(&["SENTINEL", "MASTER", NAME]) else { return false };
        let count = |name: &str| reply.named(name).and_then(|n| n.parse::<usize>().ok());
        count("num-other-sentinels") == Some(COUNT - 1)
            && count("num-slaves") == Some(self.servers.len() - 1)
            && reply.named("flags").as_deref() == Some("master")
    }

    /// The name of the primary, to ask sentinels for.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        NAME
    }

    /// Where the sentinels listen.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sentinels.iter().map(Redis::address).collect()
    }

    /// The sentinels.
    #[must_use]
    pub fn sentinels(&self) -> &[Redis] {
        &self.sentinels
    }

    /// The servers; the first was the primary at the start.
    #[must_use]
    pub fn servers(&self) -> &[Redis] {
        &self.servers
    }

    /// The port of the primary, as the first sentinel that answers has it.
    ///
    /// # Panics
    /// When no sentinel answers within a minute.
    #[must_use]
    pub fn primary_port(&self) -> u16 {
        let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME];
        let asked = || self.sentinels.iter().find_map(|s| s.command_within(ASKED, &words).ok());
        let reply = within(SETTLED, asked).expect("no sentinel answers");
        reply.list()[1].text().parse().unwrap()
    }

    /// The primary, as the first sentinel that answers has it.
    ///
    /// # Panics
    /// When no sentinel answers within a minute.
    #[must_use]
    pub fn primary(&self) -> &Redis {
        let port = self.primary_port();
        self.servers.iter().find(|server| server.port() == port).expect("a primary of another group")
    }

    /// Waits until another server than the one with this port is the primary, says so itself, and
    /// all sentinels that answer agree.
    ///
    /// # Panics
    /// When that does not happen within two minutes.
    pub fn wait_for_failover(&self, from_port: u16) -> &Redis {
        let happened = within(FAILED_OVER, || self.failed_over(from_port));
        happened.unwrap_or_else(|| panic!("no failover: {}", self.sentinels[0].log()))
    }

    /// Has the sentinels fail over now, and waits until they have.
    ///
    /// # Panics
    /// When they do not within two minutes.
    pub fn fail_over(&self) -> &Redis {
        let from = self.primary_port();
        let happened = within(FAILED_OVER, || {
            // It is refused while another is being done.
            self.sentinels[0].command(&["SENTINEL", "FAILOVER", NAME]).ok()?;
            within(ORDERED, || self.failed_over(from))
        });
        happened.unwrap_or_else(|| panic!("no failover: {}", self.sentinels[0].log()))
    }

    fn failed_over(&self, from_port: u16) -> Option<&Redis> {
        let primary = self.primary();
        let port = primary.port().to_string();
        let agree = self.sentinels.iter().all(|sentinel| {
            let reply = sentinel.command_within(ASKED, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]);
            reply.map_or(true, |reply| reply.list()[1].text() == port)
        });
        let role = primary.command_within(ASKED, &["INFO", "replication"]).ok()?.field("role")?;
        (primary.port() != from_port && agree && role == "master").then_some(primary)
    }
}

impl Default for SentinelSetup {
    fn default() -> Self {
        let down_after = Duration::from_secs(1);
        Self { replicas: 1, down_after, servers: Setup::default(), password: None }
    }
}
