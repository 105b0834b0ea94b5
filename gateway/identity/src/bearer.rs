//! Bearer tokens: JWTs (RFC 7519) as access tokens (RFC 9068), verified.
//!
//! The order is fixed: take apart, find the issuer by `iss` among those configured, hold the
//! header against what that issuer may use, find its key, check the signature, and only then
//! believe a claim. `jsonwebtoken` is asked for the signature alone: its own reading of claims
//! accepts more than we do and looks at its own clock.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use doorward_model::time::Clock;
use doorward_model::{Assurance, AuthSession, DevicePosture, IssuerId, Principal, Refusal, Risk, UnixMillis};
use tokio::task::JoinSet;

use crate::cache::{Fingerprint, Remembered, VerifiedTokens};
use crate::config::{Issuer, Subjects};
use crate::header::{self, Header, Opened};
use crate::keys::{self, KeyClient, KeyRing, KeyStatus, Snapshot};
use crate::mapping::{self, Facts};
use crate::times::TokenTimes;
use crate::words::{refuse, shown};

/// Proof that a token was good when it was asked for, and what it says. Built in this file only.
#[derive(Debug)]
pub struct Verified {
    facts: Facts,
}

/// Verifies the tokens of the configured issuers.
pub struct Verifier {
    issuers: Vec<Trusted>,
    ids: BTreeSet<IssuerId>,
    /// Those of them whose subjects are people.
    people: BTreeSet<IssuerId>,
    times: TokenTimes,
    remembered: VerifiedTokens,
}

/// An issuer and its keys.
struct Trusted {
    issuer: Issuer,
    ring: Arc<KeyRing>,
}

// === impl Verified ===

impl Verified {
    /// Who acts.
    #[must_use]
    pub const fn principal(&self) -> &Arc<Principal> {
        &self.facts.principal
    }

    /// The sign-in and the token.
    #[must_use]
    pub const fn session(&self) -> &AuthSession {
        &self.facts.session
    }

    /// What the sign-in proved.
    #[must_use]
    pub const fn assurance(&self) -> &Assurance {
        &self.facts.assurance
    }

    /// The device, as the issuer vouches for it.
    #[must_use]
    pub const fn device(&self) -> &DevicePosture {
        &self.facts.device
    }

    /// How odd the issuer finds the sign-in.
    #[must_use]
    pub const fn risk(&self) -> Risk {
        self.facts.risk
    }

    /// What the token may be used for.
    #[must_use]
    pub const fn scopes(&self) -> &BTreeSet<String> {
        &self.facts.scopes
    }

    /// Who vouches for all of it.
    #[must_use]
    pub const fn issuer(&self) -> &IssuerId {
        &self.facts.session.issuer
    }
}

// === impl Verifier ===

impl Verifier {
    /// A verifier without keys yet: [`keep_fresh`](Self::keep_fresh) fetches them, or the first
    /// token that needs them.
    #[must_use]
    pub fn new(issuers: Vec<Issuer>, client: KeyClient, times: TokenTimes) -> Self {
        let ids = issuers.iter().map(|i| i.id.clone()).collect();
        let of_people = |i: &&Issuer| matches!(i.subjects, Subjects::Users);
        let people = issuers.iter().filter(of_people).map(|i| i.id.clone()).collect();
        let trust = |issuer: Issuer| {
            let ring = Arc::new(KeyRing::new(&issuer, client.clone()));
            Trusted { issuer, ring }
        };
        let issuers = issuers.into_iter().map(trust).collect();
        Self { issuers, ids, people, times, remembered: VerifiedTokens::new() }
    }

    /// What is known of a token that was verified before and is still good at `now`. Never
    /// fetches, never checks a signature.
    #[must_use]
    pub fn cached(&self, token: &str, now: UnixMillis) -> Option<Arc<Verified>> {
        self.recall(&Fingerprint::of(token), now)
    }

    fn recall(&self, token: &Fingerprint, now: UnixMillis) -> Option<Arc<Verified>> {
        let found = self.remembered.get(token, now)?;
        let keys = self.issuers.get(found.issuer)?.ring.snapshot();
        (keys.epoch() == found.epoch && keys.is_usable(now)).then(|| Arc::clone(&found.verified))
    }

    /// Verifies a token, from memory if it can be. May fetch the keys of its issuer, at most
    /// once a minute.
    ///
    /// # Errors
    /// `ExpiredCredential` when the token was good before. `KeysUnavailable` when we have no keys,
    /// or looked for the key of this token and could not reach its issuer. `InvalidCredential`
    /// otherwise; also for a key that appeared within the minute after we looked, because a
    /// stranger could otherwise make us call any issuer unavailable, by naming keys that nobody
    /// has. An issuer that publishes a key before it signs with it is never met by that.
    pub async fn verify(&self, token: &str, now: UnixMillis) -> Result<Arc<Verified>, Refusal> {
        let fingerprint = Fingerprint::of(token);
        if let Some(verified) = self.recall(&fingerprint, now) {
            return Ok(verified);
        }
        let opened = header::open(token)?;
        let says = opened.claims.issuer()?;
        let Some((index, trusted)) = self.issuers.iter().enumerate().find(|(_, t)| t.issuer.url == says)
        else {
            return refuse(format!("the issuer `{}` is not configured", shown(says, 100)));
        };
        let header = opened.header_for(&trusted.issuer)?;
        let epoch = trusted.epoch_that_signed(&opened, &header, now).await?;
        // From here on the claims are the issuer's own words.
        let standard = opened.claims.standard(&trusted.issuer, header.purpose, &self.times, now)?;
        let facts =
            mapping::facts(&opened.claims, &standard, &trusted.issuer, &self.people, &self.times, now)?;
        let verified = Arc::new(Verified { facts });
        let remembered = Remembered::new(token, Arc::clone(&verified), index, epoch, &standard);
        self.remembered.put(fingerprint, remembered);
        Ok(verified)
    }

    /// Fetches the keys of all issuers now, or reads their files again, for an operator who knows
    /// that a key was withdrawn. Returns when all have answered or were given up; what came of it
    /// stands in [`key_status`](Self::key_status).
    pub async fn refresh_all(&self, now: UnixMillis) {
        let mut refreshes = JoinSet::new();
        for trusted in &self.issuers {
            let ring = Arc::clone(&trusted.ring);
            refreshes.spawn(async move { ring.refresh(now).await });
        }
        let _all = refreshes.join_all().await;
    }

    /// Keeps the keys of all issuers fresh. Runs until it is dropped; no error ends it.
    pub async fn keep_fresh(self: Arc<Self>, clock: Clock) {
        let mut loops = JoinSet::new();
        let mut whose = HashMap::new();
        let start = |loops: &mut JoinSet<()>, ring: &Arc<KeyRing>| {
            loops.spawn(keys::keep_fresh(Arc::clone(ring), Clock::clone(&clock))).id()
        };
        for trusted in &self.issuers {
            whose.insert(start(&mut loops, &trusted.ring), Arc::clone(&trusted.ring));
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

    /// How the keys of each issuer stand.
    #[must_use]
    pub fn key_status(&self, now: UnixMillis) -> Vec<KeyStatus> {
        self.issuers.iter().map(|t| t.ring.status(now)).collect()
    }

    /// The issuers, by their short names.
    pub fn issuer_ids(&self) -> impl Iterator<Item = &IssuerId> {
        self.ids.iter()
    }

    /// How many verified tokens are remembered, for metrics.
    #[must_use]
    pub fn remembered_tokens(&self) -> usize {
        self.remembered.len()
    }
}

// === impl Trusted ===

impl Trusted {
    /// Checks the signature, and tells the epoch of the keys that it holds under. One that does
    /// not hold makes us look again: the issuer may have put another key in the place of one
    /// that it withdrew, under the same name.
    async fn epoch_that_signed(
        &self,
        opened: &Opened<'_>,
        header: &Header,
        now: UnixMillis,
    ) -> Result<u64, Refusal> {
        let signed = |keys: &Snapshot| -> Result<bool, Refusal> {
            let key = keys.key_for(header)?;
            Ok(key.signed(opened.signing_input, opened.signature, header.algorithm))
        };
        let keys = self.ring.snapshot_for(header, now).await?;
        if signed(&keys)? {
            return Ok(keys.epoch());
        }
        if let Some(newer) = self.ring.newer_than(&keys, now).await
            && signed(&newer)?
        {
            return Ok(newer.epoch());
        }
        refuse(format!("the signature is not one of `{}`", self.issuer.id))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("issuers", &self.ids).finish_non_exhaustive()
    }
}
