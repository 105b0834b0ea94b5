//! `[revocation.redis]`: what carries revocations to every node.

use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_model::{Complaint, KeyPath};
use serde::Deserialize;

use super::address::Address;
use super::secret::{self, Secret};
use super::tls::{self, Tls};

const ADDRESSES_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 64;
const NAMESPACE: &str = "doorward";
const LEASE_MILLIS: u64 = 1000;
const LEASE_MILLIS_MAX: u64 = 60_000;
const POLL_MILLIS: u64 = 250;
const POLL_MILLIS_MIN: u64 = 10;
/// How many polls may fail before a node stops believing what it knows.
const POLLS_IN_LEASE: u64 = 4;
const REPLICA_LAG_SECONDS: u64 = 2;
const REPLICAS_MIN_MAX: u64 = 16;
const REPLICA_LAG_SECONDS_MAX: u64 = 60;

/// `[revocation.redis]` as written.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RedisSection {
    /// `standalone` (the default), `sentinel` or `cluster`.
    pub mode: Option<String>,
    /// Host and port of the server, of each Sentinel, or of some nodes of the cluster.
    pub addresses: Option<Vec<String>>,
    /// What the Sentinels call the primary.
    pub primary_name: Option<String>,
    /// As whom to connect; default: Redis's default user.
    pub username: Option<String>,
    /// The file with the password.
    pub password_file: Option<PathBuf>,
    /// As whom to connect to the Sentinels.
    pub sentinel_username: Option<String>,
    /// The file with the password for the Sentinels.
    pub sentinel_password_file: Option<PathBuf>,
    /// Whether connections are secured; default: true.
    pub tls: Option<bool>,
    /// The only authorities that are trusted; default: the system's.
    pub ca_file: Option<PathBuf>,
    /// The name in the servers' certificate, where that is not their host name.
    pub server_name: Option<String>,
    /// The certificate that this node shows.
    pub client_chain: Option<PathBuf>,
    /// Its key.
    pub client_key: Option<PathBuf>,
    /// What every key begins with; default: `doorward`.
    pub namespace: Option<String>,
    /// For how long a node believes what it knows after it last asked.
    pub lease_millis: Option<u64>,
    /// How often it asks.
    pub poll_millis: Option<u64>,
    /// How far a replica may lag before the primary refuses to be believed.
    pub replica_lag_seconds: Option<u64>,
    /// How many replicas must follow a primary that is believed.
    pub replicas_min: Option<u64>,
}

/// How the servers are arranged. A closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisMode {
    /// One server.
    Standalone,
    /// A primary and replicas, of which Sentinels know who is which.
    Sentinel,
    /// A cluster; everything of one namespace lies in one slot.
    Cluster,
}

impl RedisMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Standalone, Self::Sentinel, Self::Cluster];

    /// The word for it in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Sentinel => "sentinel",
            Self::Cluster => "cluster",
        }
    }
}

/// As whom to connect, and the proof of it. Both may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// The user; none: the server's default.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
}

/// The servers that carry revocations to every node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisConfig {
    mode: RedisMode,
    addresses: Vec<Address>,
    primary_name: Option<String>,
    login: Login,
    sentinel: Login,
    tls: Option<Tls>,
    namespace: String,
    lease: Duration,
    poll: Duration,
    replica_lag: Duration,
    replicas_min: u64,
}

impl RedisConfig {
    /// How many replicas must follow a primary that is believed: 0 where nothing ever takes over.
    #[must_use]
    pub const fn replicas_min(&self) -> u64 {
        self.replicas_min
    }

    /// How the servers are arranged.
    #[must_use]
    pub const fn mode(&self) -> RedisMode {
        self.mode
    }

    /// The server, the Sentinels, or some nodes of the cluster; at least one.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// What the Sentinels call the primary; empty in every other mode.
    #[must_use]
    pub fn primary_name(&self) -> &str {
        self.primary_name.as_deref().unwrap_or_default()
    }

    /// As whom to connect to the servers.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.login.username.as_deref()
    }

    /// The password for the servers.
    #[must_use]
    pub const fn password(&self) -> Option<&Secret> {
        self.login.password.as_ref()
    }

    /// As whom to connect to the Sentinels.
    #[must_use]
    pub const fn sentinel(&self) -> &Login {
        &self.sentinel
    }

    /// What connections are secured with. None: plain text, and then every address, told by a
    /// Sentinel or the cluster too, must be of this machine.
    #[must_use]
    pub const fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// What every key begins with: letters, digits, `-`, `_` and `.`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// For how long a node believes what it knows after it last asked.
    #[must_use]
    pub const fn lease(&self) -> Duration {
        self.lease
    }

    /// How often it asks.
    #[must_use]
    pub const fn poll(&self) -> Duration {
        self.poll
    }

    /// How far a replica may lag before the primary refuses to be believed.
    #[must_use]
    pub const fn replica_lag(&self) -> Duration {
        self.replica_lag
    }
}

impl RedisSection {
    pub(super) fn check(
        &self,
        at: &KeyPath,
        base_dir: &Path,
        complaints: &mut Vec<Complaint>,
    ) -> Option<RedisConfig> {
        let before = complaints.len();
        let mode = self.check_mode(at, complaints);
        let addresses = self.check_addresses(mode, at, complaints);
        self.check_sentinel(mode, at, complaints);
        let login = Login {
            username: word(self.username.as_ref(), "username", at, complaints),
            password: password(self.password_file.as_ref(), "password_file", at, base_dir, complaints),
        };
        let file = self.sentinel_password_file.as_ref();
        let sentinel = Login {
            username: word(self.sentinel_username.as_ref(), "sentinel_username", at, complaints),
            password: password(file, "sentinel_password_file", at, base_dir, complaints),
        };
        for (user, user_key, password, password_key) in [
            (&self.username, "username", &self.password_file, "password_file"),
            (
                &self.sentinel_username,
                "sentinel_username",
                &self.sentinel_password_file,
                "sentinel_password_file",
            ),
        ] {
            if user.is_some() && password.is_none() {
                let help = format!("set `{password_key}` too");
                complaints.push(Complaint::new(at.key(user_key), "a user needs a password", help));
            }
        }
        let written = tls::Written {
            tls: self.tls,
            ca_file: self.ca_file.as_ref(),
            server_name: self.server_name.as_ref(),
            client_chain: self.client_chain.as_ref(),
            client_key: self.client_key.as_ref(),
        };
        let local = addresses.iter().all(Address::is_loopback);
        let tls = tls::check(written, local, at, base_dir, complaints);
        let namespace = self.check_namespace(at, complaints);
        let (lease, poll, replica_lag) = self.check_times(at, complaints);
        let replicas_min = self.check_replicas(mode, at, complaints);
        let primary_name = self.primary_name.clone();
        (complaints.len() == before).then_some(RedisConfig {
            mode,
            addresses,
            primary_name,
            login,
            sentinel,
            tls,
            namespace,
            lease,
            poll,
            replica_lag,
            replicas_min,
        })
    }

    /// Where another server can take over, a primary that nobody follows may be one of before.
    fn check_replicas(&self, mode: RedisMode, at: &KeyPath, complaints: &mut Vec<Complaint>) -> u64 {
        let default = match mode {
            RedisMode::Standalone => 0,
            RedisMode::Sentinel | RedisMode::Cluster => 1,
        };
        let min = self.replicas_min.unwrap_or(default);
        let (wrong, help) = match mode {
            RedisMode::Sentinel if min == 0 => {
                (true, "where Sentinels make another primary, at least 1 has to follow")
            }
            RedisMode::Standalone | RedisMode::Sentinel | RedisMode::Cluster => (
                min > REPLICAS_MIN_MAX,
                "1 is the default with Sentinels and in a cluster, as `min-replicas-to-write` of the servers is to be",
            ),
        };
        if wrong {
            complaints.push(Complaint::new(at.key("replicas_min"), format!("`{min}` is not possible"), help));
        }
        min
    }

    fn check_mode(&self, at: &KeyPath, complaints: &mut Vec<Complaint>) -> RedisMode {
        let Some(word) = self.mode.as_deref() else { return RedisMode::Standalone };
        let known = RedisMode::ALL.into_iter().find(|mode| mode.as_str() == word);
        known.unwrap_or_else(|| {
            complaints.push(Complaint::new(
                at.key("mode"),
                format!("`{}` is not known", word.escape_debug()),
                "use `standalone` (the default), `sentinel` or `cluster`",
            ));
            RedisMode::Standalone
        })
    }

    fn check_addresses(
        &self,
        mode: RedisMode,
        at: &KeyPath,
        complaints: &mut Vec<Complaint>,
    ) -> Vec<Address> {
        let help = "write host and port, such as `redis.corp.example:6379`";
        let Some(written) = &self.addresses else {
            complaints.push(Complaint::new(at.clone(), "the key `addresses` is missing", help));
            return Vec::new();
        };
        let at = at.key("addresses");
        let mut addresses = Vec::new();
        for (i, text) in written.iter().enumerate().take(ADDRESSES_MAX) {
            match Address::parse(text) {
                Some(address) => addresses.push(address),
                None => complaints.push(Complaint::new(
                    at.index(i),
                    format!("`{}` is not a host with a port", text.escape_debug()),
                    help,
                )),
            }
        }
        match (mode, written.len()) {
            (_, 0) => complaints.push(Complaint::new(at, "there is no address", help)),
            (RedisMode::Standalone, 2..) => complaints.push(Complaint::new(
                at,
                "a standalone server has one address",
                "leave one, or set `mode` to `sentinel` or `cluster`",
            )),
            (_, n) if n > ADDRESSES_MAX => complaints.push(Complaint::new(
                at,
                format!("there are {n} addresses, more than {ADDRESSES_MAX}"),
                "some are enough: the others are learned from them",
            )),
            (RedisMode::Standalone | RedisMode::Sentinel | RedisMode::Cluster, _) => {}
        }
        addresses
    }

    fn check_sentinel(&self, mode: RedisMode, at: &KeyPath, complaints: &mut Vec<Complaint>) {
        let Some(name) = &self.primary_name else {
            if mode == RedisMode::Sentinel {
                complaints.push(Complaint::new(
                    at.clone(),
                    "the key `primary_name` is missing",
                    "write what `sentinel monitor` in the Sentinels' configuration calls the primary",
                ));
            }
            return self.no_sentinel(mode, at, complaints);
        };
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(|b| b.is_ascii_graphic()) {
            complaints.push(Complaint::new(
                at.key("primary_name"),
                format!(
                    "`{}` is not a name of 1 to {NAME_BYTES_MAX} visible characters",
                    name.escape_debug()
                ),
                "write what `sentinel monitor` in the Sentinels' configuration calls the primary",
            ));
        }
        self.no_sentinel(mode, at, complaints);
    }

    /// What only Sentinels need is refused where there are none.
    fn no_sentinel(&self, mode: RedisMode, at: &KeyPath, complaints: &mut Vec<Complaint>) {
        if mode == RedisMode::Sentinel {
            return;
        }
        for (key, there) in [
            ("primary_name", self.primary_name.is_some()),
            ("sentinel_username", self.sentinel_username.is_some()),
            ("sentinel_password_file", self.sentinel_password_file.is_some()),
        ] {
            if there {
                complaints.push(Complaint::new(
                    at.key(key),
                    format!("`{key}` has no use in mode `{}`", mode.as_str()),
                    "set `mode = \"sentinel\"`, or remove this key",
                ));
            }
        }
    }

    fn check_namespace(&self, at: &KeyPath, complaints: &mut Vec<Complaint>) -> String {
        let namespace = self.namespace.as_deref().unwrap_or(NAMESPACE);
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if namespace.is_empty() || namespace.len() > NAME_BYTES_MAX || !namespace.bytes().all(fits) {
            complaints.push(Complaint::new(
                at.key("namespace"),
                format!("`{}` cannot stand in the name of a key", namespace.escape_debug()),
                "use 1 to 64 letters, digits, `-`, `_` and `.`",
            ));
        }
        namespace.to_owned()
    }

    fn check_times(&self, at: &KeyPath, complaints: &mut Vec<Complaint>) -> (Duration, Duration, Duration) {
        let poll = self.poll_millis.unwrap_or(POLL_MILLIS);
        let lease = self.lease_millis.unwrap_or(LEASE_MILLIS);
        let lag = self.replica_lag_seconds.unwrap_or(REPLICA_LAG_SECONDS);
        let poll_max = LEASE_MILLIS_MAX / POLLS_IN_LEASE;
        if !(POLL_MILLIS_MIN..=poll_max).contains(&poll) {
            complaints.push(Complaint::new(
                at.key("poll_millis"),
                format!("`{poll}` is not between {POLL_MILLIS_MIN} and {poll_max}"),
                "250 is the default; each node asks so often",
            ));
        } else if !(poll * POLLS_IN_LEASE..=LEASE_MILLIS_MAX).contains(&lease) {
            complaints.push(Complaint::new(
                at.key("lease_millis"),
                format!(
                    "`{lease}` is not between {} ({POLLS_IN_LEASE} times `poll_millis`) and {LEASE_MILLIS_MAX}",
                    poll * POLLS_IN_LEASE
                ),
                "1000 is the default: a node that cannot ask for so long refuses requests, and a revocation \
                 reaches every node that answers within it",
            ));
        }
        if !(1..=REPLICA_LAG_SECONDS_MAX).contains(&lag) {
            complaints.push(Complaint::new(
                at.key("replica_lag_seconds"),
                format!("`{lag}` is not between 1 and {REPLICA_LAG_SECONDS_MAX}"),
                "2 is the default; it is what `min-replicas-max-lag` of the servers is to be",
            ));
        }
        (Duration::from_millis(lease), Duration::from_millis(poll), Duration::from_secs(lag))
    }
}

fn word(
    written: Option<&String>,
    key: &str,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<String> {
    let word = written?;
    if word.is_empty() || word.len() > NAME_BYTES_MAX || !word.bytes().all(|b| b.is_ascii_graphic()) {
        complaints.push(Complaint::new(
            at.key(key),
            format!("`{}` is not a name of 1 to {NAME_BYTES_MAX} visible characters", word.escape_debug()),
            "write the user of the server's access control list, or remove this key",
        ));
    }
    Some(word.clone())
}

fn password(
    file: Option<&PathBuf>,
    key: &str,
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Option<Secret> {
    secret::password(&base_dir.join(file?))
        .map_err(|e| complaints.push(Complaint::new(at.key(key), e.to_string(), e.help())))
        .ok()
}
