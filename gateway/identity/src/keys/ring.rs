//! The keys of one issuer as they change: fetched, used, refreshed, and in the end given up.
//!
//! * A snapshot is swapped whole. Its epoch rises whenever a key appears, changes or goes, and
//!   a remembered token counts only under the epoch that verified it.
//! * Fetches of one issuer never overlap. A token with an unknown key, or with a signature that
//!   its key did not make, may cause one, at most once in [`JWKS_REFETCH_SECONDS_MIN`]; it runs on
//!   its own, so that a client who hangs up does not stop it.
//! * When a fetch fails, the old keys stay for [`JWKS_STALE_SECONDS_MAX`] beyond their time, loudly.
//! * Keys from the future are due at once: the clock was set back, and nobody knows their age.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use doorward_model::limits::{JWKS_REFETCH_SECONDS_MIN, JWKS_RETRY_SECONDS_MAX, JWKS_STALE_SECONDS_MAX};
use doorward_model::time::Clock;
use doorward_model::{IssuerId, Refusal, RefusalCode, UnixMillis};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::KeySource;
use super::fetch::{self, FetchError, KeyClient};
use super::set::{Found, KeySet, PublicKey};
use crate::algorithm::SigningAlgorithm;
use crate::header::{Header, Opened};
use crate::words::{refuse, shown};

/// The longest sleep between two looks at whether keys are due.
const LOOK_SECONDS: u64 = 30;

/// How the keys of one issuer stand, for readiness, metrics and operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStatus {
    /// Whose keys.
    pub issuer: IssuerId,
    /// How many can be used.
    pub keys: usize,
    /// When they were last fetched; none when they never were.
    pub fetched_at: Option<UnixMillis>,
    /// They were never fetched, or are due and could not be fetched anew.
    pub stale: bool,
    /// Why the last try failed, if it did.
    pub last_error: Option<String>,
}

/// The keys of one issuer.
#[derive(Debug)]
pub(crate) struct KeyRing {
    issuer: IssuerId,
    source: KeySource,
    accepted: Vec<SigningAlgorithm>,
    client: KeyClient,
    snapshot: ArcSwap<Snapshot>,
    fetching: Arc<Mutex<Requested>>,
}

/// The keys at one time.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    set: Arc<KeySet>,
    epoch: u64,
    /// Counts tries to fetch, good or bad.
    tries: u64,
    fetched_at: Option<UnixMillis>,
    fresh_for: Duration,
    last_error: Option<String>,
}

/// What came of a try to fetch; the rest stands in the snapshot.
enum Tried {
    Fetched,
    Failed,
}

/// When a request last made us fetch.
#[derive(Debug, Default)]
struct Requested {
    at: Option<UnixMillis>,
}

// === impl Snapshot ===

impl Snapshot {
    /// Rises whenever the keys change.
    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Keys were had, and are not older than we dare.
    pub(crate) fn is_usable(&self, now: UnixMillis) -> bool {
        let patience = self.fresh_for.saturating_add(Duration::from_secs(JWKS_STALE_SECONDS_MAX));
        self.fetched_at.is_some_and(|t| now.since(t) <= patience)
    }

    fn is_fresh(&self, now: UnixMillis) -> bool {
        let within = |t: UnixMillis| t <= now && now.since(t) <= self.fresh_for;
        !self.fresh_for.is_zero() && self.fetched_at.is_some_and(within)
    }

    /// How long the keys may rest: four fifths of their time, so that one failed fetch does no harm.
    fn due_in(&self, now: UnixMillis) -> Duration {
        let rest = self.fresh_for - self.fresh_for / 5;
        self.fetched_at.filter(|t| *t <= now).map_or(Duration::ZERO, |t| rest.saturating_sub(now.since(t)))
    }

    fn find(&self, header: &Header) -> Found<'_> {
        self.set.find(header.key_id.as_deref(), header.algorithm)
    }

    /// The key for a token, or why there is none.
    fn key_for(&self, header: &Header) -> Result<&PublicKey, Refusal> {
        let id = shown(header.key_id.as_deref().unwrap_or(""), 40);
        match self.find(header) {
            Found::Key(key) => Ok(key),
            Found::NotForThat => {
                refuse(format!("the key `{id}` does not sign with `{}`", header.algorithm.as_str()))
            }
            Found::Ambiguous => refuse("the token does not name its key, and the issuer has several"),
            Found::Nothing => refuse(format!("there is no key `{id}`")),
        }
    }
}

// === impl KeyRing ===

impl KeyRing {
    /// A ring without keys yet.
    pub(crate) fn new(
        issuer: IssuerId,
        source: KeySource,
        accepted: Vec<SigningAlgorithm>,
        client: KeyClient,
    ) -> Self {
        Self { issuer, source, accepted, client, snapshot: ArcSwap::default(), fetching: Arc::default() }
    }

    /// The keys now.
    pub(crate) fn snapshot(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// How the keys stand.
    pub(crate) fn status(&self, now: UnixMillis) -> KeyStatus {
        let s = self.snapshot.load();
        KeyStatus {
            issuer: self.issuer.clone(),
            keys: if s.is_usable(now) { s.set.len() } else { 0 },
            fetched_at: s.fetched_at,
            stale: !s.is_fresh(now),
            last_error: s.last_error.clone(),
        }
    }

    /// The snapshot that has the key a token names; it may be fetched for this.
    async fn snapshot_for(
        self: &Arc<Self>,
        header: &Header,
        now: UnixMillis,
    ) -> Result<Arc<Snapshot>, Refusal> {
        let seen = self.snapshot.load_full();
        if seen.is_usable(now) && !matches!(seen.find(header), Found::Nothing) {
            return Ok(seen);
        }
        self.fetch_for_request(seen.tries, now).await;
        let got = self.snapshot.load_full();
        if !got.is_usable(now) || got.set.is_empty() {
            let why = match &got.last_error {
                Some(error) => error.clone(),
                None => got.set.why_empty(),
            };
            let detail = format!("no keys of `{}`: {why}", self.issuer);
            return Err(Refusal::new(RefusalCode::KeysUnavailable, detail));
        }
        match (got.find(header), &got.last_error) {
            // A key that we could not look for may well exist.
            (Found::Nothing, Some(error)) => {
                let detail = format!("{}, and looking for it failed: {error}", self.unknown(header));
                Err(Refusal::new(RefusalCode::KeysUnavailable, detail))
            }
            (Found::Nothing, None) => refuse(self.unknown(header)),
            (Found::Key(_) | Found::NotForThat | Found::Ambiguous, _) => Ok(got),
        }
    }

    /// Other keys than those of a snapshot whose key did not make a signature, if there are; they
    /// may be fetched for this.
    async fn newer_than(self: &Arc<Self>, seen: &Snapshot, now: UnixMillis) -> Option<Arc<Snapshot>> {
        self.fetch_for_request(seen.tries, now).await;
        let got = self.snapshot.load_full();
        (got.epoch != seen.epoch && got.is_usable(now)).then_some(got)
    }

    /// Checks the signature, and tells the epoch of the keys that it holds under. One that does
    /// not hold makes us look again: the issuer may have put another key in the place of one
    /// that it withdrew, under the same name.
    pub(crate) async fn epoch_that_signed(
        self: &Arc<Self>,
        opened: &Opened<'_>,
        header: &Header,
        now: UnixMillis,
    ) -> Result<u64, Refusal> {
        let signed = |keys: &Snapshot| -> Result<bool, Refusal> {
            let key = keys.key_for(header)?;
            Ok(key.signed(opened.signing_input, opened.signature, header.algorithm))
        };
        let keys = self.snapshot_for(header, now).await?;
        if signed(&keys)? {
            return Ok(keys.epoch());
        }
        if let Some(newer) = self.newer_than(&keys, now).await
            && signed(&newer)?
        {
            return Ok(newer.epoch());
        }
        refuse(format!("the signature is not one of `{}`", self.issuer))
    }

    fn unknown(&self, header: &Header) -> String {
        match &header.key_id {
            Some(id) => format!("`{}` has no key `{}`", self.issuer, shown(id, 40)),
            None => format!("`{}` has no key for `{}`", self.issuer, header.algorithm.as_str()),
        }
    }

    /// Fetches because a request needs a key that is not here, unless that was done a moment
    /// ago or while we waited.
    async fn fetch_for_request(self: &Arc<Self>, tries_seen: u64, now: UnixMillis) {
        let mut requested = Arc::clone(&self.fetching).lock_owned().await;
        // A time in the future is of before the clock was set back.
        let recently =
            |t: UnixMillis| t <= now && now.since(t) < Duration::from_secs(JWKS_REFETCH_SECONDS_MIN);
        if self.snapshot.load().tries != tries_seen || requested.at.is_some_and(recently) {
            return;
        }
        requested.at = Some(now);
        let ring = Arc::clone(self);
        // A task of its own: the one try of this minute must not die with the client that caused it.
        let done = tokio::spawn(async move {
            let _alone = requested;
            ring.fetch_alone(now).await;
        });
        // It fails only when the runtime ends.
        let _ended = done.await;
    }

    /// Fetches because it is time to, or because an operator said so.
    async fn refresh(&self, now: UnixMillis) -> Tried {
        let _alone = self.fetching.lock().await;
        self.fetch_alone(now).await
    }

    /// The caller holds the lock.
    async fn fetch_alone(&self, now: UnixMillis) -> Tried {
        let old = self.snapshot.load_full();
        let tries = old.tries.saturating_add(1);
        match self.fetch_set().await {
            Ok((set, fresh_for)) => {
                let changed = old.fetched_at.is_none() || !set.same_keys(&old.set);
                let epoch = old.epoch.saturating_add(u64::from(changed));
                self.tell(&set, changed);
                let set = Arc::new(set);
                let fetched_at = Some(now);
                let next = Snapshot { set, epoch, tries, fetched_at, fresh_for, last_error: None };
                self.snapshot.store(Arc::new(next));
                Tried::Fetched
            }
            Err(e) => {
                let error = e.to_string();
                let keeps = old.is_usable(now);
                tracing::warn!(issuer = %self.issuer, error, old_keys_stay = keeps, "keys cannot be fetched");
                // Keys from the future are at least as old as this moment. Their patience is counted
                // from here, or it would last until the clock has come to where it was.
                let from_future = old.fetched_at.is_some_and(|t| t > now);
                let next = Snapshot {
                    set: Arc::clone(&old.set),
                    epoch: old.epoch,
                    tries,
                    fetched_at: old.fetched_at.map(|t| t.min(now)),
                    fresh_for: if from_future { Duration::ZERO } else { old.fresh_for },
                    last_error: Some(error),
                };
                self.snapshot.store(Arc::new(next));
                Tried::Failed
            }
        }
    }

    async fn fetch_set(&self) -> Result<(KeySet, Duration), FetchError> {
        let fetched = fetch::fetch(&self.client, &self.source).await?;
        Ok((KeySet::read(&fetched.body, &self.accepted)?, fetched.fresh_for))
    }

    fn tell(&self, set: &KeySet, changed: bool) {
        if set.is_empty() {
            let why = set.why_empty();
            tracing::warn!(issuer = %self.issuer, why, "the issuer has no key that can be used: its tokens are refused");
        } else if changed {
            let left_out = set.left_out().join("; ");
            tracing::info!(issuer = %self.issuer, keys = set.len(), left_out, "the keys of an issuer have changed");
        }
    }
}

/// Fetches the keys of all rings now. Returns when all have answered or were given up.
pub(crate) async fn refresh_all(rings: Vec<Arc<KeyRing>>, now: UnixMillis) {
    let mut refreshes = JoinSet::new();
    for ring in rings {
        refreshes.spawn(async move { ring.refresh(now).await });
    }
    let _all = refreshes.join_all().await;
}

/// Keeps the keys of all rings fresh. Runs until it is dropped; no error ends it.
pub(crate) async fn keep_all_fresh(rings: Vec<Arc<KeyRing>>, clock: Clock) {
    let mut loops = JoinSet::new();
    let mut whose = HashMap::new();
    let start = |loops: &mut JoinSet<()>, ring: &Arc<KeyRing>| {
        loops.spawn(keep_fresh(Arc::clone(ring), Clock::clone(&clock))).id()
    };
    for ring in rings {
        whose.insert(start(&mut loops, &ring), ring);
    }
    while let Some(ended) = loops.join_next_with_id().await {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(e) => e.id(),
        };
        if let Some(ring) = whose.remove(&id) {
            tracing::error!("the task that keeps keys fresh ended, and is started again");
            whose.insert(start(&mut loops, &ring), ring);
        }
    }
    // Without issuers there is nothing to do, for ever.
    std::future::pending::<()>().await;
}

/// Keeps the keys of one issuer fresh, for ever: fetches before their time is over, and tries
/// again with growing pauses when that fails.
async fn keep_fresh(ring: Arc<KeyRing>, clock: Clock) {
    let mut failures: u32 = 0;
    loop {
        let now = clock();
        let due_in = ring.snapshot.load().due_in(now);
        let pause = if due_in.is_zero() {
            failures = match ring.refresh(now).await {
                Tried::Fetched => 0,
                Tried::Failed => failures.saturating_add(1),
            };
            pause_after(failures)
        } else {
            due_in.min(Duration::from_secs(LOOK_SECONDS))
        };
        tokio::time::sleep(pause).await;
    }
}

/// 1, 2, 4 … seconds, up to the limit.
fn pause_after(failures: u32) -> Duration {
    let seconds = 1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
    Duration::from_secs(seconds.clamp(1, JWKS_RETRY_SECONDS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let seconds: Vec<u64> =
            [1, 2, 3, 6, 7, 63, 64, 65, u32::MAX].map(|n| pause_after(n).as_secs()).into();
        assert_eq!(seconds, [1, 2, 4, 32, 60, 60, 60, 60, 60]);
    }
}
