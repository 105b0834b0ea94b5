//! The session of a browser: what its cookie holds.
//!
//! The cookie holds all that a request needs, sealed for one host, so no store is asked. What ends it before its
//! time is what ends a bearer token: a revocation, looked up in memory by the crate `state`. A revocation finds it by
//! its person, its device, the provider's session, or its own name (`dws-…`), which stands where a token's `jti` does.
//!
//! ```text
//!  cookie ──▶ OpenedSessions ──▶ Verified ──▶ as for a bearer token
//!             remembered │ opened
//!                        ▼
//!             seal, host ─▶ contents ─▶ standing: idle, absolute
//! ```
//!
//! Invariants:
//! * A value never gains anything. A stronger sign-in, a later visit, newer groups: each is a new value of the same
//!   name. So nobody wins who knows, or set, an older one.
//! * Whoever brings an older value is treated by what that says: idle sooner, asked about sooner.
//! * The cookies of all hosts of one sign-in have one name, and end together.
//! * It holds no token of the provider.
//!
//! Decision 24 weighs this against an id that stands for a record in a store.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_model::limits::{
    SESSION_ABSOLUTE_HOURS, SESSION_AHEAD_SECONDS_MAX, SESSION_IDLE_MINUTES, SESSION_SEEN_SECONDS,
};
use doorward_model::{
    Assurance, AuthSession, CountryCode, DevicePosture, Employment, LifecycleStage, Risk, SessionId,
    Thumbprint, TokenId, UnixMillis, User, UserId,
};

use crate::bearer::Verified;
use crate::seal::{Purpose, SealError, Sealer};

mod content;
mod kept;
mod opened;

pub(crate) use self::content::{pack, unpack};
pub use self::kept::Kept;
pub use self::opened::{OpenedSessions, Unopened};

/// The name of the cookie, on each host.
pub const SESSION_COOKIE: &str = "__Host-doorward-session";

/// The name of a session: 128 random bits. It is no secret: without the seal nobody gets in by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(u128);

/// Where, and with what, somebody signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Whence {
    /// The address.
    pub ip: IpAddr,
    /// The country of it.
    pub country: CountryCode,
    /// The number of its autonomous system, if known.
    pub asn: Option<u32>,
    /// The kind of browser.
    pub agent: AgentMark,
}

/// A short digest of a `User-Agent`. It can be told from another one, and is good for nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AgentMark(u32);

/// A browser that signed in.
#[derive(Clone, PartialEq, Eq)]
pub struct BrowserSession {
    /// Its name.
    pub id: SessionKey,
    /// Who signed in.
    pub user: User,
    /// The session at the provider (`sid`), if it names one.
    pub issuer_session: Option<SessionId>,
    /// What the sign-in proved.
    pub assurance: Assurance,
    /// The device, as the provider vouches for it.
    pub device: DevicePosture,
    /// How odd the provider finds the sign-in.
    pub risk: Risk,
    /// When the person signed in here. A step-up does not change it.
    pub signed_in_at: UnixMillis,
    /// When it was last used, give or take [`Lifetimes::seen_every`].
    pub seen_at: UnixMillis,
    /// When the provider last said that it goes on.
    pub validated_at: UnixMillis,
    /// When it ends in any case.
    pub expires_at: UnixMillis,
    /// The provider gave a refresh token, so that it can be asked whether the sign-in still stands.
    pub renewable: bool,
    /// The certificate of the device that it is bound to.
    pub binding: Option<Thumbprint>,
    /// Where the person signed in.
    pub from: Whence,
}

/// How long sessions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Without a request.
    pub idle: Duration,
    /// In any case.
    pub absolute: Duration,
}

/// Why a session is over, though nobody ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// Nobody used it for so long.
    #[error("the session was not used for too long")]
    Idle,
    /// Its time is over.
    #[error("the session is over its time")]
    Absolute,
    /// It was sealed by a node whose clock is ahead, or before ours was set back.
    #[error("the session is from the future: the clocks of the nodes differ, or ours was set back")]
    Ahead,
}

// === impl SessionKey ===

impl SessionKey {
    /// Of these bytes, which must come from a good source of randomness.
    #[must_use]
    pub const fn from_random(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// A new one.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn random(sealer: &Sealer) -> Result<Self, SealError> {
        sealer.random().map(Self::from_random)
    }

    /// Reads `dws-` and 22 characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix("dws-")?).ok()?;
        bytes.try_into().ok().map(Self::from_random)
    }

    /// As revocations name it.
    #[must_use]
    pub fn token(self, user: &User) -> TokenId {
        TokenId::of_browser(user.id.issuer().clone(), self.0)
    }

    pub(crate) const fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dws-{}", URL_SAFE_NO_PAD.encode(self.bytes()))
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey({self})")
    }
}

// === impl AgentMark ===

impl AgentMark {
    /// Of a `User-Agent`, or of none.
    #[must_use]
    pub fn of(agent: Option<&[u8]>) -> Self {
        let Some(agent) = agent else { return Self::default() };
        let sum = digest(&SHA256, agent);
        Self(sum.as_ref().first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes)))
    }
}

// === impl Lifetimes ===

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(SESSION_IDLE_MINUTES * 60),
            absolute: Duration::from_secs(SESSION_ABSOLUTE_HOURS * 3600),
        }
    }
}

impl Lifetimes {
    /// How exactly a cookie tells when it was last used: to the minute, and to a twentieth of the idle time.
    #[must_use]
    pub fn seen_every(&self) -> Duration {
        Duration::from_secs(SESSION_SEEN_SECONDS).min(self.idle / 20)
    }
}

// === impl BrowserSession ===

impl BrowserSession {
    /// The same, with nothing of the person but who they are, their name and their address: for where the
    /// directory says everything else. Without the directory such a person has no access.
    #[must_use]
    pub fn slim(mut self) -> Self {
        self.user = slim(&self.user);
        self
    }

    /// The same, used now. Time does not run backwards.
    #[must_use]
    pub fn seen(mut self, now: UnixMillis) -> Self {
        self.seen_at = self.seen_at.max(now);
        self
    }

    /// The same, with what the provider said of the person when it was asked later. How they signed in stays as it is,
    /// and so does when. What was said earlier, or of another session, changes nothing.
    #[must_use]
    pub fn updated(self, said: &Self) -> Self {
        if said.id != self.id || said.user.id != self.user.id || said.validated_at <= self.validated_at {
            return self;
        }
        Self {
            user: said.user.clone(),
            device: said.device.clone(),
            risk: said.risk,
            validated_at: said.validated_at,
            ..self
        }
    }

    /// Whether its cookie is to be sealed anew, because it was used now.
    #[must_use]
    pub fn is_due(&self, now: UnixMillis, lifetimes: &Lifetimes) -> bool {
        now.since(self.seen_at) >= lifetimes.seen_every()
    }

    /// The value of the cookie for a host.
    ///
    /// # Errors
    /// When it would be longer than browsers keep, or nothing can be sealed.
    pub fn seal(&self, sealer: &Sealer, host: &str) -> Result<String, SealError> {
        sealer.seal(Purpose::Session, host, &pack(self))
    }

    /// What a cookie of this host holds; nothing for everything else. Whether it still stands is
    /// [`standing`](Self::standing).
    #[must_use]
    pub fn open(sealer: &Sealer, host: &str, cookie: &str) -> Option<Self> {
        unpack(&sealer.open(Purpose::Session, host, cookie)?)
    }

    /// Whether its time is not over yet.
    ///
    /// # Errors
    /// Says why it is.
    pub fn standing(&self, now: UnixMillis, lifetimes: &Lifetimes) -> Result<(), Ended> {
        let horizon = now.plus(Duration::from_secs(SESSION_AHEAD_SECONDS_MAX));
        if self.signed_in_at > horizon || self.seen_at > horizon {
            return Err(Ended::Ahead);
        }
        if now >= self.expires_at || now.since(self.signed_in_at) >= lifetimes.absolute {
            return Err(Ended::Absolute);
        }
        if now.since(self.seen_at) >= lifetimes.idle {
            return Err(Ended::Idle);
        }
        Ok(())
    }

    /// The proof that the rest of the gateway works with.
    #[must_use]
    pub fn verified(&self) -> Arc<Verified> {
        Arc::new(Verified::of_browser(self.clone()))
    }

    /// As a sign-in, for revocations and policies.
    #[must_use]
    pub fn auth_session(&self) -> AuthSession {
        AuthSession {
            issuer: self.user.id.issuer().clone(),
            session: self.issuer_session.clone(),
            token: Some(self.id.token(&self.user)),
            issued_at: self.signed_in_at,
            expires_at: self.expires_at,
        }
    }
}

/// Names, times and how strong: nothing of the person.
impl fmt::Debug for BrowserSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrowserSession")
            .field("id", &self.id)
            .field("assurance", &self.assurance)
            .field("signed_in_at", &self.signed_in_at)
            .field("seen_at", &self.seen_at)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

fn slim(user: &User) -> User {
    User { name: user.name.clone(), email: user.email.clone(), ..unknown(user.id.clone()) }
}

/// Somebody of whom nothing is known.
fn unknown(id: UserId) -> User {
    User {
        id,
        name: None,
        email: None,
        groups: BTreeSet::new(),
        roles: BTreeSet::new(),
        stage: LifecycleStage::Unknown,
        employment: Employment::Unknown,
        contract_end: None,
        home_country: CountryCode::UNKNOWN,
        department: None,
        tags: BTreeMap::new(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
