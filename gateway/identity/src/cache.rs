//! Tokens that were verified a moment ago.
//!
//! A token is found by its SHA-256 only, so the cache holds no token. What was found counts only
//! * within the token's own times, looked at again at every hit;
//! * under the epoch of the keys of the issuer that verified it, while those keys may be used.
//!
//! A refusal is never remembered: it could be the first sight of a token that a new key makes good.
//! Whether the token was *revoked* is not asked here but of the crate `state`, at every request.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use doorward_model::UnixMillis;
use doorward_model::limits::TOKEN_CACHE_ENTRIES_MAX;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::bearer::Verified;
use crate::claims::Standard;

/// A token of this length takes one place in the cache.
const TOKEN_BYTES_PER_ENTRY: usize = 2048;

/// The name of a token: its SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 32]);

/// Verified tokens by fingerprint.
pub(crate) struct VerifiedTokens(Cache<Fingerprint, Arc<Remembered>, BySize>);

/// A long token counts as several, so that the cache is bounded in bytes as well.
#[derive(Clone)]
struct BySize;

/// What is known of one token.
pub(crate) struct Remembered {
    pub(crate) verified: Arc<Verified>,
    /// Which of the verifier's issuers it is of.
    pub(crate) issuer: usize,
    /// The keys under which the signature was good.
    pub(crate) epoch: u64,
    good_from: UnixMillis,
    expires_at: UnixMillis,
    token_bytes: usize,
}

// === impl Fingerprint ===

impl Fingerprint {
    /// The fingerprint of a token.
    pub(crate) fn of(token: &str) -> Self {
        let mut sum = [0; 32];
        for (to, from) in sum.iter_mut().zip(digest(&SHA256, token.as_bytes()).as_ref()) {
            *to = *from;
        }
        Self(sum)
    }
}

// === impl VerifiedTokens ===

impl VerifiedTokens {
    /// An empty cache of the largest size allowed.
    pub(crate) fn new() -> Self {
        Self(Cache::with_weighter(TOKEN_CACHE_ENTRIES_MAX, TOKEN_CACHE_ENTRIES_MAX as u64, BySize))
    }

    /// What is remembered, if the token's own times allow it at `now`. The caller compares the epoch.
    pub(crate) fn get(&self, token: &Fingerprint, now: UnixMillis) -> Option<Arc<Remembered>> {
        let found = self.0.get(token)?;
        (found.good_from <= now && now < found.expires_at).then_some(found)
    }

    /// Remembers.
    pub(crate) fn put(&self, token: Fingerprint, remembered: Remembered) {
        self.0.insert(token, Arc::new(remembered));
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

// === impl BySize ===

impl Weighter<Fingerprint, Arc<Remembered>> for BySize {
    fn weight(&self, _: &Fingerprint, remembered: &Arc<Remembered>) -> u64 {
        remembered.token_bytes.div_ceil(TOKEN_BYTES_PER_ENTRY).max(1) as u64
    }
}

// === impl Remembered ===

impl Remembered {
    /// A token that was found good, with the times within which it is.
    pub(crate) fn new(
        token: &str,
        verified: Arc<Verified>,
        issuer: usize,
        epoch: u64,
        standard: &Standard,
    ) -> Self {
        Self {
            verified,
            issuer,
            epoch,
            good_from: standard.good_from,
            expires_at: standard.expires_at,
            token_bytes: token.len(),
        }
    }
}
