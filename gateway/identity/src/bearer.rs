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
use crate::config::Issuer;
use crate::header;
use crate::keys::{self, KeyClient, KeyRing, KeyStatus};
use crate::mapping::{self, Facts};
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
    pub fn new(issuers: Vec<Issuer>, client: KeyClient) -> Self {
        let ids = issuers.iter().map(|i| i.id.clone()).collect();
        let trust = |issuer: Issuer| {
            let ring = Arc::new(KeyRing::new(&issuer, client.clone()));
            Trusted { issuer, ring }
        };
        Self { issuers: issuers.into_iter().map(trust).collect(), ids, remembered: VerifiedTokens::new() }
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
    /// `InvalidCredential` when the token is not good, and only then;
    /// `ExpiredCredential` when it was good before; `KeysUnavailable`
    /// when nobody can tell.
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
        let keys = trusted.ring.snapshot_for(&header, now).await?;
        let key = keys.key_for(&header)?;
        if !key.signed(opened.signing_input, opened.signature, header.algorithm) {
            return refuse(format!("the signature is not one of `{}`", trusted.issuer.id));
        }
        // From here on the claims are the issuer's own words.
        let standard = opened.claims.standard(&trusted.issuer, now)?;
        let facts = mapping::facts(&opened.claims, &standard, &trusted.issuer, &self.ids, now)?;
        let verified = Arc::new(Verified { facts });
        let remembered = Remembered::new(token, Arc::clone(&verified), index, keys.epoch(), &standard);
        self.remembered.put(fingerprint, remembered);
        Ok(verified)
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

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("issuers", &self.ids).finish_non_exhaustive()
    }
}
