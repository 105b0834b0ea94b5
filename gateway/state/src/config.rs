//! The section `[revocation]` of the configuration.

mod address;
mod postgres;
mod redis;
mod secret;
mod tls;

use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_model::limits::{ISSUER_SKEW_MILLIS, REVOCATION_RETENTION_DAYS, REVOCATION_STORE_BYTES_MAX};
use doorward_model::{Complaint, KeyPath};
use serde::Deserialize;

pub use address::Address;
pub use postgres::{PostgresConfig, PostgresPlace, PostgresSection};
pub use redis::{Login, RedisConfig, RedisMode, RedisSection};
pub use secret::Secret;
pub use tls::{ClientCertificate, Tls};

const SKEW_MILLIS_MAX: u64 = 60_000;
const RETENTION_DAYS: std::ops::RangeInclusive<u32> = 31..=36_500;
const STREAM_GRACE_SECONDS: u64 = 5;
const STREAM_GRACE_SECONDS_MAX: u64 = 3600;
const STORE_BYTES_MIN: u64 = 64 * 1024;
const STORE_BYTES_MAX: u64 = 1 << 40;
const STORE_FILE: &str = "revocations.sqlite3";
const DEBT_OWNER: &str = "security";
const DEBT_OWNER_BYTES_MAX: usize = 255;
const DEBT_DUE_HOURS: u32 = 72;
const DEBT_DUE_HOURS_MAX: u32 = 24 * 366;

/// As written in the file.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RevocationSection {
    /// How far an issuer's clock may be off.
    pub issuer_skew_millis: Option<u64>,
    /// Where revocations are kept; default: `revocations.sqlite3` in `gateway.data_dir`.
    pub store_file: Option<PathBuf>,
    /// How long a revoked session or token is remembered. Users and devices are, for ever.
    pub retention_days: Option<u32>,
    /// The largest size of the store.
    pub store_bytes_max: Option<u64>,
    /// For how long what runs goes on when revocations are not known any more and new requests
    /// are refused.
    pub stream_grace_seconds: Option<u64>,
    /// Where the truth is kept: `sqlite` (the default), `postgres`, or `none` on a node that
    /// learns it from Redis.
    pub directory: Option<String>,
    /// Who answers for what was promised and not done in time.
    pub debt_owner: Option<String>,
    /// Within how many hours that is to be settled.
    pub debt_due_hours: Option<u32>,
    /// The database that several control nodes share.
    pub postgres: Option<PostgresSection>,
    /// What carries revocations to every node.
    pub redis: Option<RedisSection>,
}

/// What the section says, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationConfig {
    issuer_skew: Duration,
    retention: Duration,
    stream_grace: Duration,
    store: StoreConfig,
    redis: Option<RedisConfig>,
    node: String,
    debt: DebtTerms,
}

/// Who answers for what was promised and not done in time, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebtTerms {
    /// A person or a team.
    pub owner: String,
    /// How long after it was opened a debt is due.
    pub due: Duration,
}

/// Which store, and where. A closed set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreConfig {
    /// SQLite in a file on a local disk of this machine.
    Embedded(EmbeddedConfig),
    /// A PostgreSQL database, shared by several nodes.
    Postgres(PostgresConfig),
    /// None: a node that learns from Redis what others decide.
    None,
}

/// The embedded store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedConfig {
    pub(crate) file: PathBuf,
    pub(crate) node: String,
    pub(crate) bytes_max: u64,
}

impl RevocationSection {
    /// Checks the section. `base_dir` is where the configuration file lies, `data_dir` and `node`
    /// are those of `[gateway]`.
    pub fn check(
        &self,
        at: &KeyPath,
        base_dir: &Path,
        data_dir: &Path,
        node: &str,
        complaints: &mut Vec<Complaint>,
    ) -> Option<RevocationConfig> {
        let before = complaints.len();
        let skew_millis = self.issuer_skew_millis.unwrap_or(ISSUER_SKEW_MILLIS);
        if skew_millis > SKEW_MILLIS_MAX {
            complaints.push(Complaint::new(
                at.key("issuer_skew_millis"),
                format!("`{skew_millis}` is more than {SKEW_MILLIS_MAX}"),
                "set the issuer's clock by NTP; 2000 is enough then. After a revocation a new sign-in may be \
                 refused for twice this time",
            ));
        }
        let retention_days = self.retention_days.unwrap_or(REVOCATION_RETENTION_DAYS);
        if !RETENTION_DAYS.contains(&retention_days) {
            complaints.push(Complaint::new(
                at.key("retention_days"),
                format!(
                    "`{retention_days}` is not between {} and {}",
                    RETENTION_DAYS.start(),
                    RETENTION_DAYS.end()
                ),
                "choose more days than any token or session of your issuers lives: a revocation that is \
                 forgotten earlier lets it in again",
            ));
        }
        let bytes_max = self.store_bytes_max.unwrap_or(REVOCATION_STORE_BYTES_MAX);
        if !(STORE_BYTES_MIN..=STORE_BYTES_MAX).contains(&bytes_max) {
            complaints.push(Complaint::new(
                at.key("store_bytes_max"),
                format!("`{bytes_max}` is not between {STORE_BYTES_MIN} and {STORE_BYTES_MAX}"),
                "a revocation takes some 300 bytes; the default, 1073741824, has room for some three million",
            ));
        }
        let grace_seconds = self.stream_grace_seconds.unwrap_or(STREAM_GRACE_SECONDS);
        if grace_seconds > STREAM_GRACE_SECONDS_MAX {
            complaints.push(Complaint::new(
                at.key("stream_grace_seconds"),
                format!("`{grace_seconds}` is more than {STREAM_GRACE_SECONDS_MAX}"),
                "while the store cannot be read, a revocation by another process does not reach what runs here; \
                 5 is enough for a disk that hiccups",
            ));
        }
        let store = self.check_store(at, base_dir, data_dir, (node, bytes_max), complaints);
        let redis = self.redis.as_ref().and_then(|redis| redis.check(&at.key("redis"), base_dir, complaints));
        let debt = self.check_debt(at, complaints);
        (complaints.len() == before).then_some(RevocationConfig {
            issuer_skew: Duration::from_millis(skew_millis),
            retention: Duration::from_secs(u64::from(retention_days) * 24 * 3600),
            stream_grace: Duration::from_secs(grace_seconds),
            store: store?,
            redis,
            node: node.to_owned(),
            debt,
        })
    }

    /// Which store, and that nothing is said of another one.
    fn check_store(
        &self,
        at: &KeyPath,
        base_dir: &Path,
        data_dir: &Path,
        (node, bytes_max): (&str, u64),
        complaints: &mut Vec<Complaint>,
    ) -> Option<StoreConfig> {
        let directory = self.directory.as_deref().unwrap_or("sqlite");
        let of_no_use = |key: &str, complaints: &mut Vec<Complaint>| {
            complaints.push(Complaint::new(
                at.key(key),
                format!("`{key}` has no use with `directory = \"{directory}\"`"),
                "remove it, or set the `directory` that it belongs to",
            ));
        };
        let file_keys =
            [("store_file", self.store_file.is_some()), ("store_bytes_max", self.store_bytes_max.is_some())];
        if directory == "postgres" || directory == "none" {
            for (key, _) in file_keys.iter().filter(|(_, there)| *there) {
                of_no_use(key, complaints);
            }
        }
        if (directory == "sqlite" || directory == "none") && self.postgres.is_some() {
            of_no_use("postgres", complaints);
        }
        match directory {
            "sqlite" => {
                let file = self.check_file(at, base_dir, data_dir, complaints);
                Some(StoreConfig::Embedded(EmbeddedConfig { file, node: node.to_owned(), bytes_max }))
            }
            "postgres" => match &self.postgres {
                Some(postgres) => postgres
                    .check(&at.key("postgres"), base_dir, data_dir, node, complaints)
                    .map(StoreConfig::Postgres),
                None => {
                    complaints.push(Complaint::new(
                        at.key("directory"),
                        "the section `revocation.postgres` is missing",
                        "write `[revocation.postgres]` with the `address` of the server",
                    ));
                    None
                }
            },
            "none" => {
                if self.redis.is_none() {
                    complaints.push(Complaint::new(
                        at.key("directory"),
                        "the section `revocation.redis` is missing: this node would never learn who is cut off",
                        "write `[revocation.redis]` as the control node has it, or remove `directory`",
                    ));
                }
                Some(StoreConfig::None)
            }
            other => {
                complaints.push(Complaint::new(
                    at.key("directory"),
                    format!("`{}` is not known", other.escape_debug()),
                    "use `sqlite` (the default), `postgres`, or `none` on a node that learns from Redis only",
                ));
                None
            }
        }
    }

    fn check_file(
        &self,
        at: &KeyPath,
        base_dir: &Path,
        data_dir: &Path,
        complaints: &mut Vec<Complaint>,
    ) -> PathBuf {
        let file = match &self.store_file {
            None => data_dir.join(STORE_FILE),
            Some(written) => base_dir.join(written),
        };
        if file.file_name().is_none() || file.is_dir() {
            complaints.push(Complaint::new(
                at.key("store_file"),
                format!("`{}` is not the path of a file", file.display()),
                "name a file on a local disk, such as `revocations.sqlite3`",
            ));
        }
        file
    }

    fn check_debt(&self, at: &KeyPath, complaints: &mut Vec<Complaint>) -> DebtTerms {
        let owner = self.debt_owner.as_deref().unwrap_or(DEBT_OWNER);
        if owner.trim().is_empty()
            || owner.len() > DEBT_OWNER_BYTES_MAX
            || owner.chars().any(char::is_control)
        {
            complaints.push(Complaint::new(
                at.key("debt_owner"),
                format!("`{}` is not a name of 1 to {DEBT_OWNER_BYTES_MAX} bytes", owner.escape_debug()),
                "name the person or the team that looks after what was promised and not done in time",
            ));
        }
        let hours = self.debt_due_hours.unwrap_or(DEBT_DUE_HOURS);
        if !(1..=DEBT_DUE_HOURS_MAX).contains(&hours) {
            complaints.push(Complaint::new(
                at.key("debt_due_hours"),
                format!("`{hours}` is not between 1 and {DEBT_DUE_HOURS_MAX}"),
                "72 is the default",
            ));
        }
        DebtTerms { owner: owner.to_owned(), due: Duration::from_secs(u64::from(hours) * 3600) }
    }
}

impl RevocationConfig {
    /// How far an issuer's clock may be off.
    #[must_use]
    pub const fn issuer_skew(&self) -> Duration {
        self.issuer_skew
    }

    /// How long a revoked session or token is remembered.
    #[must_use]
    pub const fn retention(&self) -> Duration {
        self.retention
    }

    /// For how long what runs goes on after new requests are refused because revocations are not
    /// known any more.
    #[must_use]
    pub const fn stream_grace(&self) -> Duration {
        self.stream_grace
    }

    /// Which store.
    #[must_use]
    pub const fn store(&self) -> &StoreConfig {
        &self.store
    }

    /// What carries revocations to every node, if anything does.
    #[must_use]
    pub const fn redis(&self) -> Option<&RedisConfig> {
        self.redis.as_ref()
    }

    /// What this node is called.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Who answers for what was promised and not done in time.
    #[must_use]
    pub const fn debt(&self) -> &DebtTerms {
        &self.debt
    }
}

impl EmbeddedConfig {
    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }
}

#[cfg(test)]
mod tests;
