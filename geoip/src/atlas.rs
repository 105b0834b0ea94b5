//! Several files as one, and their replacement.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::error::FileError;
use crate::facts::Facts;
use crate::file::Database;

/// A clock of ours or of the publisher may be off by this much before a file from the future is
/// suspect.
const FUTURE_SECONDS_MAX: u64 = 24 * 3600;

/// Several files, asked in order: the first that knows a fact tells it.
pub struct Atlas {
    paths: Box<[PathBuf]>,
    edition: ArcSwap<Edition>,
    /// Why the last reload was refused, if it was.
    refused: ArcSwapOption<Vec<Refused>>,
    /// Two reloads at once would each work on half of the other's files.
    reloading: Mutex<()>,
}

/// How a reload went.
#[derive(Debug)]
#[must_use]
pub enum Reload {
    /// At least one file was new, and the new edition is in force.
    Replaced,
    /// No file has changed.
    Unchanged,
    /// At least one file cannot be used. The edition of before stays in force, all of it.
    Kept(Vec<FileError>),
}

/// What an operator wants to know of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStatus {
    /// Which file.
    pub path: PathBuf,
    /// What it calls itself, such as `GeoLite2-Country`.
    pub database_type: String,
    /// When it was built, in seconds since 1970.
    pub built_at_seconds: u64,
    /// How long ago that was; zero where it lies in the future.
    pub age: Duration,
    /// 4 or 6. An IPv6 file answers for IPv4 too.
    pub ip_version: u16,
    /// The size of its search tree.
    pub node_count: u32,
    /// Its size in bytes.
    pub bytes: u64,
    /// Older than allowed, or from a future that makes its age worthless.
    pub stale: bool,
    /// Why the last reload could not take this file, if so; what is described above is then the
    /// edition of before, which is still in force.
    pub refused: Option<String>,
}

struct Edition {
    databases: Box<[Arc<Database>]>,
}

struct Refused {
    path: PathBuf,
    message: String,
}

// === impl Atlas ===

impl Atlas {
    /// Opens and checks every file, in the order in which they are to be asked.
    ///
    /// This reads whole files and takes up to a second for each: not for a thread that serves
    /// requests.
    ///
    /// # Errors
    /// One error for each file that cannot be used.
    pub fn open(paths: &[PathBuf]) -> Result<Self, Vec<FileError>> {
        let edition = Edition::read(paths, None)?;
        Ok(Self {
            paths: paths.into(),
            edition: ArcSwap::from_pointee(edition),
            refused: ArcSwapOption::empty(),
            reloading: Mutex::new(()),
        })
    }

    /// No files: nothing is known of any address.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            paths: Box::default(),
            edition: ArcSwap::from_pointee(Edition { databases: Box::default() }),
            refused: ArcSwapOption::empty(),
            reloading: Mutex::new(()),
        }
    }

    /// The files, in order.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// What the files say of an address. Does no I/O and cannot fail.
    #[must_use]
    pub fn find(&self, ip: IpAddr) -> Facts {
        let ip = ip.to_canonical();
        if let IpAddr::V6(v6) = ip
            && is_low(v6)
        {
            return Facts::default();
        }
        let mut facts = Facts::default();
        for database in &self.edition.load().databases {
            if let Some(later) = database.find(ip) {
                facts.fill_from(&later);
            }
        }
        facts
    }

    /// Opens all files again and, if all of them can be used, replaces the edition in force.
    ///
    /// As slow as [`Atlas::open`], except for files whose bytes have not changed.
    pub fn reload(&self) -> Reload {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.edition.load_full();
        match Edition::read(&self.paths, Some(&before)) {
            Ok(edition) => {
                self.refused.store(None);
                if edition.is_same_as(&before) {
                    return Reload::Unchanged;
                }
                self.edition.store(Arc::new(edition));
                Reload::Replaced
            }
            Err(errors) => {
                let refused = errors
                    .iter()
                    .map(|e| Refused { path: e.path().to_owned(), message: e.to_string() })
                    .collect();
                self.refused.store(Some(Arc::new(refused)));
                Reload::Kept(errors)
            }
        }
    }

    /// Describes each file, in order, as of `now_seconds` since 1970.
    #[must_use]
    pub fn status(&self, now_seconds: u64, age_max: Duration) -> Vec<FileStatus> {
        let refused = self.refused.load();
        let edition = self.edition.load();
        let describe = |database: &Arc<Database>| {
            let metadata = database.metadata();
            let age = Duration::from_secs(now_seconds.saturating_sub(metadata.build_epoch));
            let from_future = metadata.build_epoch > now_seconds.saturating_add(FUTURE_SECONDS_MAX);
            let why = refused.as_ref().and_then(|all| all.iter().find(|r| r.path == database.path()));
            FileStatus {
                path: database.path().to_owned(),
                database_type: metadata.database_type.clone(),
                built_at_seconds: metadata.build_epoch,
                age,
                ip_version: metadata.ip_version,
                node_count: metadata.node_count,
                bytes: database.bytes().len() as u64,
                stale: age > age_max || from_future,
                refused: why.map(|r| r.message.clone()),
            }
        };
        edition.databases.iter().map(describe).collect()
    }
}

impl fmt::Debug for Atlas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Atlas").field("paths", &self.paths).finish_non_exhaustive()
    }
}

/// `::/96`: unspecified, loopback and the "IPv4-compatible" addresses that RFC 4291 gave up. The
/// format keeps its IPv4 tree there, and nobody connects from there.
const fn is_low(ip: Ipv6Addr) -> bool {
    ip.to_bits() >> 32 == 0
}

// === impl Edition ===

impl Edition {
    fn read(paths: &[PathBuf], before: Option<&Self>) -> Result<Self, Vec<FileError>> {
        let mut databases = Vec::with_capacity(paths.len());
        let mut errors = Vec::new();
        for (i, path) in paths.iter().enumerate() {
            let old = before.and_then(|b| b.databases.get(i));
            let database = Database::read(path).and_then(|bytes| match old {
                Some(old) if *old.bytes() == *bytes => Ok(Arc::clone(old)),
                Some(_) | None => Database::check(path, bytes).map(Arc::new),
            });
            match database {
                Ok(database) => databases.push(database),
                Err(e) => errors.push(e),
            }
        }
        if errors.is_empty() { Ok(Self { databases: databases.into() }) } else { Err(errors) }
    }

    fn is_same_as(&self, other: &Self) -> bool {
        self.databases.len() == other.databases.len()
            && self.databases.iter().zip(&other.databases).all(|(a, b)| Arc::ptr_eq(a, b))
    }
}
