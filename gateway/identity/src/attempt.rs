//! A sign-in that goes on: what travels with the browser, sealed, so that strangers cannot fill a store.
//!
//! ```text
//!  app host                       sign-in host                           provider
//!  Ticket, nonce cookie ────────▶ opens the Ticket
//!                                 Attempt in a cookie ─────────────────▶ authorization request
//!                                 opens it by `state` ◀───────────────── code, `state`
//!  opens the Enter  ◀──────────── Enter in the store, its code in the address
//!  by code and nonce cookie
//! ```
//!
//! Cast: [`Ticket`] is what an app's host asks for; [`Attempt`] what the sign-in host has to remember until the
//! provider answers (OpenID Connect Core §3.1.2.1, RFC 7636, RFC 9700 §4.7); [`Enter`] the session, on its way to the
//! app's host; [`TooLittle`] what a browser remembers of a sign-in that did not do; [`Nonce`] a value that only who
//! began can know.
//!
//! Invariants:
//! * Each is sealed for its purpose, and for one host: none is taken for another, nor for a session.
//! * Whoever answers must be the browser that began: an attempt is found by its `state` in a cookie of that browser,
//!   an [`Enter`] by a cookie of the app's host besides its code.
//! * All of them are short-lived, and where a browser is sent in the end was a request to a host of ours.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_model::limits::{ATTEMPT_SECONDS_MAX, ATTEMPTS_MAX, TICKET_SECONDS_MAX, WEAK_SECONDS_MAX};
use doorward_model::{AppId, Demand, IssuerId, Refusal, UnixMillis};

use crate::cookies;
use crate::seal::{Purpose, SealError, Sealer};
use crate::session::{BrowserSession, SessionKey};
use crate::target::ReturnTarget;

mod content;

/// What the cookie of an attempt begins with; its [`NonceHash::mark`] follows.
pub const ATTEMPT_COOKIE: &str = "__Host-doorward-attempt-";
/// What the cookie of an app's host begins with, which says that a ticket was asked for there; the
/// [`NonceHash::mark`] follows.
pub const ENTER_COOKIE: &str = "__Host-doorward-enter-";
/// What the cookie of a sign-in begins with that proved too little; the [`NonceHash::mark`] of its `state` follows.
pub const WEAK_COOKIE: &str = "__Host-doorward-weak-";

/// 256 random bits, as the text that a browser carries: a `state`, a `nonce`, a code verifier, a one-time code.
/// Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Nonce(Box<str>);

/// The SHA-256 of a [`Nonce`]: what others may know of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NonceHash([u8; 32]);

/// What an app's host asks of the host where people sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Where the browser goes back to.
    pub back: ReturnTarget,
    /// The app there.
    pub app: AppId,
    /// What the sign-in must prove.
    pub demand: Demand,
    /// The provider, where the app names one.
    pub provider: Option<IssuerId>,
    /// Of the cookie that this browser has at the app's host.
    pub nonce: NonceHash,
    /// When it was made.
    pub made_at: UnixMillis,
}

/// What the host where people sign in has to remember until the provider answers.
#[derive(Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The provider that is asked (RFC 9207: no other may answer).
    pub provider: IssuerId,
    /// The `nonce` of the ID token.
    pub nonce: Nonce,
    /// The code verifier (RFC 7636 §4.1).
    pub verifier: Nonce,
    /// What the sign-in must prove.
    pub demand: Demand,
    /// Where the browser goes back to.
    pub back: ReturnTarget,
    /// The app there; none when that is the host where people sign in.
    pub app: Option<AppId>,
    /// Of the cookie that this browser has at the app's host.
    pub enter: Option<NonceHash>,
    /// The session that is to be made stronger, if it is one.
    pub steps_up: Option<SessionKey>,
    /// When the browser was sent to the provider.
    pub started_at: UnixMillis,
}

/// A sign-in of this browser proved less than was demanded. It decides nothing but whether a provider is asked for
/// the same once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLittle {
    /// What it was to prove.
    pub demand: Demand,
    /// When it did not.
    pub at: UnixMillis,
}

/// A session on its way to the host of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enter {
    /// The session.
    pub session: BrowserSession,
    /// Where the browser goes back to.
    pub back: ReturnTarget,
    /// Of the cookie that this browser has there.
    pub nonce: NonceHash,
    /// When it was made.
    pub made_at: UnixMillis,
}

// === impl Nonce ===

impl Nonce {
    /// A new one.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn random(sealer: &Sealer) -> Result<Self, SealError> {
        sealer.random::<32>().map(|bytes| Self(URL_SAFE_NO_PAD.encode(bytes).into()))
    }

    /// Takes one that a browser brought; nothing for what cannot be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = (text.len() == 43).then(|| URL_SAFE_NO_PAD.decode(text).ok())??;
        (bytes.len() == 32).then(|| Self(text.into()))
    }

    /// The text: 43 characters that need no escapes.
    #[must_use]
    pub const fn expose(&self) -> &str {
        &self.0
    }

    /// What others may know of it.
    #[must_use]
    pub fn hash(&self) -> NonceHash {
        let mut hash = [0; 32];
        let sum = digest(&SHA256, self.0.as_bytes());
        hash.iter_mut().zip(sum.as_ref()).for_each(|(to, from)| *to = *from);
        NonceHash(hash)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(..)")
    }
}

// === impl NonceHash ===

impl NonceHash {
    /// Whether it is of this one. Takes as long for each.
    #[must_use]
    pub fn is_of(&self, nonce: &Nonce) -> bool {
        verify_slices_are_equal(&self.0, &nonce.hash().0).is_ok()
    }

    /// Eight characters of it, for the name of a cookie.
    #[must_use]
    pub fn mark(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.first_chunk::<6>().unwrap_or(&[0; 6]))
    }

    /// All of it, as a name in a store.
    #[must_use]
    pub fn name(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl fmt::Debug for NonceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NonceHash({})", self.mark())
    }
}

// === impl Ticket ===

impl Ticket {
    /// Seals it for the host where people sign in.
    ///
    /// # Errors
    /// When it is too long, or nothing can be sealed.
    pub fn seal(&self, sealer: &Sealer, sign_in_host: &str) -> Result<String, SealError> {
        sealer.seal(Purpose::Ticket, sign_in_host, &content::pack_ticket(self))
    }

    /// Opens one that is not older than [`TICKET_SECONDS_MAX`].
    #[must_use]
    pub fn open(sealer: &Sealer, sign_in_host: &str, text: &str, now: UnixMillis) -> Option<Self> {
        let ticket = content::unpack_ticket(&sealer.open(Purpose::Ticket, sign_in_host, text)?)?;
        is_young(ticket.made_at, TICKET_SECONDS_MAX, now).then_some(ticket)
    }
}

// === impl Attempt ===

impl Attempt {
    /// The name of the cookie of the attempt with this `state`.
    #[must_use]
    pub fn cookie(state: &Nonce) -> String {
        format!("{ATTEMPT_COOKIE}{}", state.hash().mark())
    }

    /// How long the cookie lives.
    pub const LIFE: Duration = Duration::from_secs(ATTEMPT_SECONDS_MAX);

    /// The value of its cookie.
    ///
    /// # Errors
    /// When it is too long, or nothing can be sealed.
    pub fn seal(&self, sealer: &Sealer, sign_in_host: &str, state: &Nonce) -> Result<String, SealError> {
        sealer.seal(Purpose::Attempt, &at(sign_in_host, state), &content::pack_attempt(self))
    }

    /// Opens the one that was begun with this `state`, if it is not older than [`ATTEMPT_SECONDS_MAX`].
    #[must_use]
    pub fn open(
        sealer: &Sealer,
        sign_in_host: &str,
        state: &Nonce,
        cookie: &str,
        now: UnixMillis,
    ) -> Option<Self> {
        let bytes = sealer.open(Purpose::Attempt, &at(sign_in_host, state), cookie)?;
        let attempt = content::unpack_attempt(&bytes)?;
        is_young(attempt.started_at, ATTEMPT_SECONDS_MAX, now).then_some(attempt)
    }
}

/// What it says may be seen, the nonce and the verifier may not.
impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("provider", &self.provider)
            .field("demand", &self.demand)
            .field("back", &self.back)
            .field("app", &self.app)
            .field("started_at", &self.started_at)
            .finish_non_exhaustive()
    }
}

// === impl TooLittle ===

impl TooLittle {
    /// How long it counts.
    pub const LIFE: Duration = Duration::from_secs(WEAK_SECONDS_MAX);

    /// The name of the cookie that tells of the sign-in with this `state`.
    #[must_use]
    pub fn cookie(state: &Nonce) -> String {
        format!("{WEAK_COOKIE}{}", state.hash().mark())
    }

    /// The value of its cookie.
    ///
    /// # Errors
    /// When nothing can be sealed.
    pub fn seal(&self, sealer: &Sealer, sign_in_host: &str) -> Result<String, SealError> {
        sealer.seal(Purpose::Weak, sign_in_host, &content::pack_too_little(self))
    }

    /// Opens one that is not older than [`WEAK_SECONDS_MAX`].
    #[must_use]
    pub fn open(sealer: &Sealer, sign_in_host: &str, cookie: &str, now: UnixMillis) -> Option<Self> {
        let weak = content::unpack_too_little(&sealer.open(Purpose::Weak, sign_in_host, cookie)?)?;
        is_young(weak.at, WEAK_SECONDS_MAX, now).then_some(weak)
    }
}

// === impl Enter ===

impl Enter {
    /// How long it lives in the store.
    pub const LIFE: Duration = Duration::from_secs(TICKET_SECONDS_MAX);

    /// Seals it for the app's host and this one-time code. Whoever can write the store can still make none.
    ///
    /// # Errors
    /// When it is too long, or nothing can be sealed.
    pub fn seal(&self, sealer: &Sealer, code: &Nonce) -> Result<String, SealError> {
        sealer.seal(Purpose::Enter, &at(self.back.host(), code), &content::pack_enter(self))
    }

    /// Opens what the store had under the [name](NonceHash::name) of this code, at this host, for the browser with
    /// this cookie of [`ENTER_COOKIE`], if it is not older than [`TICKET_SECONDS_MAX`].
    #[must_use]
    pub fn open(
        sealer: &Sealer,
        host: &str,
        code: &Nonce,
        cookie: &Nonce,
        stored: &str,
        now: UnixMillis,
    ) -> Option<Self> {
        let enter = content::unpack_enter(&sealer.open(Purpose::Enter, &at(host, code), stored)?)?;
        let fits = enter.back.host() == host && enter.nonce.is_of(cookie);
        (fits && is_young(enter.made_at, TICKET_SECONDS_MAX, now)).then_some(enter)
    }
}

/// The names of the cookies that must go before one more of these may come: there are at most [`ATTEMPTS_MAX`] whose
/// names begin so, and the oldest gives way.
///
/// # Errors
/// As [`cookies::ours`].
pub fn giving_way<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    start: &str,
) -> Result<Vec<String>, Refusal> {
    let found = cookies::beginning(lines, start)?;
    let too_many = found.len().saturating_sub(ATTEMPTS_MAX - 1);
    Ok(found.into_iter().take(too_many).map(|(mark, _)| format!("{start}{mark}")).collect())
}

/// No host has a NUL in its name.
fn at(host: &str, secret: &Nonce) -> String {
    format!("{host}\0{}", secret.expose())
}

/// Not older than that, and not from the future by more: clocks of nodes differ.
fn is_young(made_at: UnixMillis, seconds_max: u64, now: UnixMillis) -> bool {
    let max = Duration::from_secs(seconds_max);
    now.since(made_at) <= max && made_at.since(now) <= max
}

#[cfg(test)]
mod tests;
