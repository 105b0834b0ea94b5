//! The section `[revocation]` of the configuration.

use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_model::limits::{ISSUER_SKEW_MILLIS, REVOCATION_RETENTION_DAYS, REVOCATION_STORE_BYTES_MAX};
use doorward_model::{Complaint, KeyPath};
use serde::Deserialize;

const SKEW_MILLIS_MAX: u64 = 60_000;
const RETENTION_DAYS: std::ops::RangeInclusive<u32> = 31..=36_500;
const STREAM_GRACE_SECONDS: u64 = 5;
const STREAM_GRACE_SECONDS_MAX: u64 = 3600;
const STORE_BYTES_MIN: u64 = 64 * 1024;
const STORE_BYTES_MAX: u64 = 1 << 40;
const STORE_FILE: &str = "revocations.sqlite3";

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
}

/// What the section says, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationConfig {
    issuer_skew: Duration,
    retention: Duration,
    stream_grace: Duration,
    store: StoreConfig,
}

/// Which store, and where. A closed set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreConfig {
    /// SQLite in a file on a local disk of this machine.
    Embedded(EmbeddedConfig),
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
        let embedded = EmbeddedConfig { file, node: node.to_owned(), bytes_max };
        (complaints.len() == before).then(|| RevocationConfig {
            issuer_skew: Duration::from_millis(skew_millis),
            retention: Duration::from_secs(u64::from(retention_days) * 24 * 3600),
            stream_grace: Duration::from_secs(grace_seconds),
            store: StoreConfig::Embedded(embedded),
        })
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
}

impl EmbeddedConfig {
    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(section: &RevocationSection) -> (Option<RevocationConfig>, Vec<String>) {
        let mut complaints = Vec::new();
        let at = KeyPath::top().key("revocation");
        let valid =
            section.check(&at, Path::new("/etc/doorward"), Path::new("/data"), "gw-1", &mut complaints);
        (valid, complaints.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_empty_section_is_good() {
        let (valid, complaints) = check(&RevocationSection::default());
        assert!(complaints.is_empty(), "{complaints:?}");
        let valid = valid.unwrap();
        let StoreConfig::Embedded(embedded) = valid.store();
        assert_eq!(embedded.file(), Path::new("/data/revocations.sqlite3"));
        assert_eq!(valid.issuer_skew(), Duration::from_secs(2));
        assert_eq!(valid.retention(), Duration::from_secs(400 * 86_400));
        assert_eq!(valid.stream_grace(), Duration::from_secs(5));
    }

    #[test]
    fn a_written_path_is_relative_to_the_file_that_says_it() {
        let section = RevocationSection { store_file: Some("state/r.db".into()), ..Default::default() };
        let StoreConfig::Embedded(embedded) = check(&section).0.unwrap().store;
        assert_eq!(embedded.file(), Path::new("/etc/doorward/state/r.db"));
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let section = RevocationSection {
            issuer_skew_millis: Some(60_001),
            store_file: Some("/".into()),
            retention_days: Some(1),
            store_bytes_max: Some(1),
            stream_grace_seconds: Some(3601),
        };
        let (valid, complaints) = check(&section);
        assert!(valid.is_none());
        assert_eq!(complaints.len(), 5, "{complaints:?}");
    }
}
