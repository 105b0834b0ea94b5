//! Cookies that were opened a moment ago.
//!
//! A cookie is found by a digest of it and of its host, so the memory holds no cookie, and one of another host is
//! another one. Whether it stands is looked at again each time; whether it was revoked is asked of the crate `state`,
//! at every request. What does not open is never remembered.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use doorward_model::UnixMillis;
use doorward_model::limits::SESSION_CACHE_ENTRIES_MAX;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::{BrowserSession, Ended, Lifetimes};
use crate::bearer::Verified;
use crate::seal::Sealer;

/// A cookie of this length takes one place.
const COOKIE_CHARS_PER_ENTRY: usize = 1024;

/// Opens cookies, and remembers what was in them. For all threads.
pub struct OpenedSessions {
    sealer: Sealer,
    lifetimes: Lifetimes,
    remembered: Cache<Mark, Remembered, BySize>,
}

/// Why a cookie lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    /// It was not sealed here, for this host, as a session. Nobody can tell which.
    #[error("the cookie was not sealed here for this host")]
    Foreign,
    /// It is over.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// The SHA-256 of a host and a cookie.
type Mark = [u8; 32];

#[derive(Clone)]
struct Remembered {
    verified: Arc<Verified>,
    cookie_chars: usize,
}

/// A long cookie counts as several, so that the memory is bounded in bytes as well.
#[derive(Clone)]
struct BySize;

// === impl OpenedSessions ===

impl OpenedSessions {
    /// Nothing is remembered yet.
    #[must_use]
    pub fn new(sealer: Sealer, lifetimes: Lifetimes) -> Self {
        let places = SESSION_CACHE_ENTRIES_MAX;
        Self { sealer, lifetimes, remembered: Cache::with_weighter(places, places as u64, BySize) }
    }

    /// What the cookie of this host proves.
    ///
    /// # Errors
    /// When it does not open, or the session is over its time or its idle time.
    pub fn open(&self, host: &str, cookie: &str, now: UnixMillis) -> Result<Arc<Verified>, Unopened> {
        let mark = mark(host, cookie);
        let verified = match self.remembered.get(&mark) {
            Some(found) => found.verified,
            None => {
                let session = BrowserSession::open(&self.sealer, host, cookie).ok_or(Unopened::Foreign)?;
                session.standing(now, &self.lifetimes)?;
                let verified = session.verified();
                let kept = Remembered { verified: Arc::clone(&verified), cookie_chars: cookie.len() };
                self.remembered.insert(mark, kept);
                return Ok(verified);
            }
        };
        let session = verified.browser().ok_or(Unopened::Foreign)?;
        session.standing(now, &self.lifetimes).inspect_err(|_| {
            self.remembered.remove(&mark);
        })?;
        Ok(verified)
    }

    /// What seals.
    #[must_use]
    pub const fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// How long sessions last.
    #[must_use]
    pub const fn lifetimes(&self) -> &Lifetimes {
        &self.lifetimes
    }

    /// How many are remembered, for metrics.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.remembered.len()
    }

    /// How many places they take.
    #[cfg(test)]
    pub(super) fn remembered_weight(&self) -> u64 {
        self.remembered.weight()
    }
}

impl fmt::Debug for OpenedSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedSessions").field("lifetimes", &self.lifetimes).finish_non_exhaustive()
    }
}

/// No host has a NUL in its name.
fn mark(host: &str, cookie: &str) -> Mark {
    let mut sum = Context::new(&SHA256);
    for part in [host.as_bytes(), &[0], cookie.as_bytes()] {
        sum.update(part);
    }
    let mut mark = [0; 32];
    mark.iter_mut().zip(sum.finish().as_ref()).for_each(|(to, from)| *to = *from);
    mark
}

// === impl BySize ===

impl Weighter<Mark, Remembered> for BySize {
    fn weight(&self, _: &Mark, remembered: &Remembered) -> u64 {
        remembered.cookie_chars.div_ceil(COOKIE_CHARS_PER_ENTRY).max(1) as u64
    }
}
