//! Does the sign-in of a session still stand at the provider? Asked while the session is used, beside its requests.
//!
//! ```text
//!  a cookie whose last word of the provider is old
//!   ├─ this node has a newer word ────────────────► the request goes on by that
//!   ├─ somebody asks already, or asked in vain ───► the request goes on
//!   └─ nobody asks ──► asked, once for all requests, hosts and nodes:
//!        the record is lost, and had a token ─► the session goes on to its limits, and nobody confirms it
//!        the record has a newer word ─────────► requests go by that from here on, whatever comes of asking
//!        that word is not old ─┬─ yes ────────► nobody is asked
//!                              └─ no ─────────► the lock ─► the refresh token ─► the provider
//!            it stands, and this is who it is ──────────────► into the record, and the next cookie
//!            it does not (`invalid_grant`) ─────────────────► the session ends, everywhere
//!            nobody can tell ───────────────────────────────► the session goes on to its limits, asked again later
//! ```
//! A cookie tells by itself how old the word is that it holds, and nothing else counts: whoever brings an older value is
//! asked about sooner, and gets the newer word. The first request after a long time waits for the answer, for a few seconds.
//! Others do not: where a node has no memory of a session, they go by the cookie until the record is read.
//!
//! Invariants:
//! * A refresh token is used by one node at a time, who holds the lock and read the record after that. What it brings is
//!   in the record before anybody goes on by it.
//! * Only the provider's no ends a session. A provider, or a store, that cannot be asked, or has lost what it was to
//!   keep, ends none.
//! * Of whom the revocations say that they are out, nobody is asked: a refresh token is not kept alive for them.
//! * A provider that comes back is not stormed: few ask at once, and after a failure all wait, each a little longer or shorter.
//!
//! A node that dies between the provider's answer and the record loses a token that was good once, and so does a network
//! that loses the answer: nobody can tell that from a provider that did nothing. The next time the provider says no, and
//! the session ends: that is safe, and the person signs in once more.

use std::sync::Arc;
use std::time::Duration;

use doorward_identity::Verified;
use doorward_model::{Refusal, RefusalCode, UnixMillis};
use tokio::sync::watch;

use self::asking::Asking;
use self::heard::State;
use super::SignIn;
use crate::pipeline::House;

mod asking;
mod heard;

#[cfg(test)]
pub(super) use self::heard::AT_ONCE;
pub use self::heard::Validation;

/// Of how many sessions it is remembered what was said. What is forgotten is in their records.
const REMEMBERED_MAX: usize = 100_000;
/// A session of which nothing was heard for so many intervals is asked about before its request passes.
const LONG_INTERVALS: u32 = 3;
/// For how long its request waits.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(3);

/// What a request goes on by.
enum Word {
    /// This.
    Known(Arc<Verified>),
    /// This, and meanwhile somebody asks.
    Asked(Arc<Verified>, Duration, watch::Receiver<()>),
    /// Nothing: it has ended.
    Ended,
}

// === impl SignIn ===

/// A session as of the provider's last word, which is not old, or is being asked for. Sessions of which nothing was
/// heard for long wait for it.
///
/// # Errors
/// When the provider ended it.
pub(crate) async fn up_to_date(
    house: &House,
    verified: Arc<Verified>,
    now: UnixMillis,
) -> Result<Arc<Verified>, Refusal> {
    match &house.sign_in {
        Some(sign_in) => sign_in.up_to_date(house, verified, now).await,
        None => Ok(verified),
    }
}

/// The same for what runs, which waits for nothing.
///
/// # Errors
/// When the provider ended it.
pub(crate) fn now_known(
    house: &House,
    verified: &Arc<Verified>,
    now: UnixMillis,
) -> Result<Arc<Verified>, Refusal> {
    match &house.sign_in {
        Some(sign_in) => sign_in.now_known(house, verified, now),
        None => Ok(Arc::clone(verified)),
    }
}

fn ended() -> Refusal {
    let detail = "the provider does not renew the sign-in, or the record of it is lost";
    Refusal::new(RefusalCode::Revoked, detail)
}

impl SignIn {
    pub(super) async fn up_to_date(
        self: &Arc<Self>,
        house: &House,
        verified: Arc<Verified>,
        now: UnixMillis,
    ) -> Result<Arc<Verified>, Refusal> {
        let (known, since, mut done) = match self.word(house, &verified, now) {
            Word::Known(known) => return Ok(known),
            Word::Ended => return Err(ended()),
            Word::Asked(known, since, done) => (known, since, done),
        };
        let silent = known.browser().map_or(Duration::ZERO, |session| now.since(session.validated_at));
        if silent < self.terms.revalidate.saturating_mul(LONG_INTERVALS) {
            return Ok(known);
        }
        let left = WAIT_MAX.saturating_sub((house.ticks)().saturating_sub(since));
        // It closes, or the time is over: in both cases it goes on by what is known then.
        let _closed = tokio::time::timeout(left, done.changed()).await;
        self.now_known(house, &verified, now)
    }

    fn now_known(
        self: &Arc<Self>,
        house: &House,
        verified: &Arc<Verified>,
        now: UnixMillis,
    ) -> Result<Arc<Verified>, Refusal> {
        match self.word(house, verified, now) {
            Word::Known(known) | Word::Asked(known, ..) => Ok(known),
            Word::Ended => Err(ended()),
        }
    }

    /// What is known of a session. Has the provider asked where that is old.
    fn word(self: &Arc<Self>, house: &House, verified: &Arc<Verified>, now: UnixMillis) -> Word {
        let interval = self.terms.revalidate;
        let Some(session) = verified.browser().filter(|s| now.since(s.validated_at) >= interval) else {
            return Word::Known(Arc::clone(verified));
        };
        let mut all = self.validation.heard();
        if self.validation.is_time_to_sweep(now) {
            let idle = self.opened.lifetimes().idle;
            // Of those that nobody uses any more nothing need be known.
            let is_idle = |state: &State| matches!(state, State::Quiet(until) if now.since(*until) >= idle);
            all.retain(|_, heard| !is_idle(&heard.state));
        }
        if all.len() >= REMEMBERED_MAX && !all.contains_key(&session.id) {
            all.retain(|_, heard| matches!(heard.state, State::Asking(..)));
        }
        let heard = all.entry(session.id).or_default();
        let known = match &heard.said {
            Some(said) if said.validated_at > session.validated_at => {
                session.clone().updated(said).verified()
            }
            Some(_) | None => Arc::clone(verified),
        };
        let is_old = known.browser().is_none_or(|session| now.since(session.validated_at) >= interval);
        match &heard.state {
            State::Ended => return Word::Ended,
            State::Asking(since, done) => return Word::Asked(known, *since, done.clone()),
            State::Quiet(until) if !is_old || now < *until => return Word::Known(known),
            State::Quiet(_) => {}
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return Word::Known(known) };
        let (open, done) = watch::channel(());
        let since = (house.ticks)();
        heard.state = State::Asking(since, done.clone());
        let (revocations, clock) = (Arc::clone(&house.revocations), Arc::clone(&house.clock));
        let asking = Asking { sign_in: Arc::clone(self), revocations, issuer_skew: house.issuer_skew, clock };
        let as_known = known.browser().unwrap_or(session).clone();
        runtime.spawn(async move {
            let came = asking.ask(&as_known).await;
            let now = (asking.clock)();
            asking.sign_in.validation.came(as_known.id, came, now);
            drop(open);
        });
        Word::Asked(known, since, done)
    }
}
