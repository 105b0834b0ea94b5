//! Bearer tokens: JWTs (RFC 7519) as access tokens (RFC 9068), verified.
//!
//! The order is fixed: take apart, find the issuer by `iss` among those configured, hold the
//! header against what that issuer may use, find its key, check the signature, and only then
//! believe a claim. `jsonwebtoken` is asked for the signature alone: its own reading of claims
//! accepts more than we do and looks at its own clock.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use doorward_model::time::Clock;
use doorward_model::{
    Assurance, AuthSession, DeviceAssurance, DevicePosture, IssuerId, Principal, Refusal, Risk, Strength,
    UnixMillis,
};

use crate::cache::{Fingerprint, Remembered, VerifiedTokens};
use crate::config::{Issuer, Subjects};
use crate::header;
use crate::keys::{self, KeyClient, KeyRing, KeyStatus};
use crate::mapping::{self, Facts};
use crate::session::BrowserSession;
use crate::times::TokenTimes;
use crate::words::{refuse, shown};

/// Proof that a token was good when it was asked for, or that the seal of a session's cookie held, and what it
/// says. Built in this file only.
#[derive(Debug)]
pub struct Verified {
    facts: Facts,
    browser: Option<Box<BrowserSession>>,
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
    /// Of a session whose seal held. A device that the provider named at the sign-in is as sure as the cookie is.
    pub(crate) fn of_browser(session: BrowserSession) -> Self {
        let assurance = match &session.device.id {
            Some(_) => DeviceAssurance::Cookie,
            None => DeviceAssurance::None,
        };
        let facts = Facts {
            principal: Arc::new(Principal::User(session.user.clone())),
            session: session.auth_session(),
            assurance: session.assurance,
            device: DevicePosture { assurance, ..session.device.clone() },
            risk: session.risk,
            scopes: BTreeSet::new(),
        };
        Self { facts, browser: Some(Box::new(session)) }
    }

    /// The session of a browser, when that is what was presented.
    #[must_use]
    pub fn browser(&self) -> Option<&BrowserSession> {
        self.browser.as_deref()
    }

    /// Whether it is the session of a browser, and no token.
    #[must_use]
    pub const fn is_browser(&self) -> bool {
        self.browser.is_some()
    }

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
            let (id, source, accepted) = (issuer.id.clone(), issuer.keys.clone(), issuer.algorithms.clone());
            let ring = Arc::new(KeyRing::new(id, source, accepted, client.clone()));
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
        let header = opened.header_for(&trusted.issuer.id, &trusted.issuer.algorithms)?;
        let purpose = opened.purpose_for(&trusted.issuer)?;
        let epoch = trusted.ring.epoch_that_signed(&opened, &header, now).await?;
        // From here on the claims are the issuer's own words.
        let standard = opened.claims.standard(&trusted.issuer, purpose, &self.times, now)?;
        let facts =
            mapping::facts(&opened.claims, &standard, &trusted.issuer, &self.people, &self.times, now)?;
        let verified = Arc::new(Verified { facts, browser: None });
        let remembered = Remembered::new(token, Arc::clone(&verified), index, epoch, &standard);
        self.remembered.put(fingerprint, remembered);
        Ok(verified)
    }

    /// Fetches the keys of all issuers now, or reads their files again, for an operator who knows
    /// that a key was withdrawn. Returns when all have answered or were given up; what came of it
    /// stands in [`key_status`](Self::key_status).
    pub async fn refresh_all(&self, now: UnixMillis) {
        keys::refresh_all(self.rings(), now).await;
    }

    /// Keeps the keys of all issuers fresh. Runs until it is dropped; no error ends it.
    pub async fn keep_fresh(self: Arc<Self>, clock: Clock) {
        keys::keep_all_fresh(self.rings(), clock).await;
    }

    fn rings(&self) -> Vec<Arc<KeyRing>> {
        self.issuers.iter().map(|t| Arc::clone(&t.ring)).collect()
    }

    /// How the keys of each issuer stand.
    #[must_use]
    pub fn key_status(&self, now: UnixMillis) -> Vec<KeyStatus> {
        self.issuers.iter().map(|t| t.ring.status(now)).collect()
    }

    /// The issuers with their keys: an ID token is checked with the same.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = (&Issuer, &Arc<KeyRing>)> {
        self.issuers.iter().map(|t| (&t.issuer, &t.ring))
    }

    /// The bounds for times.
    pub(crate) const fn times(&self) -> TokenTimes {
        self.times
    }

    /// The words of `acr` with which an issuer says that a sign-in is so strong, for a challenge (RFC 9470 §3). Empty
    /// where none is configured.
    #[must_use]
    pub fn acr_values(&self, issuer: &IssuerId, strength: Strength) -> Vec<String> {
        let trusted = self.issuers.iter().find(|trusted| trusted.issuer.id == *issuer);
        let words = trusted.map(|trusted| &trusted.issuer.assurance);
        let words = words.map(|words| match strength {
            Strength::Any => Vec::new(),
            Strength::Mfa => words.mfa_acr.clone(),
            Strength::PhishingResistant => words.phishing_resistant_acr.clone(),
        });
        words.unwrap_or_default()
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
