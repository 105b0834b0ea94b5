//! One exchange, asked about as its request would be now.

use std::sync::PoisonError;
use std::time::Duration;

use doorward_audit::Ruling;
use doorward_model::{Refusal, RefusalCode, UnixMillis};
use doorward_policy::Revision;

use super::Held;
use crate::devices;
use crate::pipeline::House;
use crate::pipeline::authorize::{Standpoint, ask};
use crate::pipeline::enrich;
use crate::pipeline::identify::Who;

/// What an exchange was last decided by.
pub(super) struct Seen {
    who: Who,
    revision: Revision,
    /// When, on the process's monotonic clock.
    at: Duration,
    /// Since when nobody can tell, on the same clock.
    unknown_since: Option<Duration>,
}

/// Whether the policies are asked though nothing of what they are told of the person has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thoroughly {
    Yes,
    No,
}

/// What a request of the same exchange would be told now.
pub(super) enum Answer {
    /// It would pass; nothing is said where the policies need not be asked.
    Stands(Option<Ruling>),
    /// It would be refused.
    Ends(Refusal, Option<Ruling>),
    /// It would be refused too, because nobody can tell.
    Unknown(Refusal, Option<Ruling>),
}

// === impl Seen ===

impl Seen {
    pub(super) const fn new(who: Who, revision: Revision, at: Duration) -> Self {
        Self { who, revision, at, unknown_since: None }
    }
}

// === impl Held ===

impl Held {
    /// Whether its sign-in is over, and with it what was let in by it.
    fn is_expired(&self, house: &House, now: UnixMillis) -> bool {
        let streams = &house.streams;
        let Some(session) = self.permit.who().session().filter(|_| !streams.outlive_token) else {
            return false;
        };
        now >= session.expires_at.plus(streams.token_grace)
    }

    /// Whether it has to be decided anew because of the time alone.
    pub(super) fn is_due(&self, house: &House, now: UnixMillis, ticks: Duration) -> bool {
        let (last, unknown) = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            (seen.at, seen.unknown_since.is_some())
        };
        unknown || ticks.saturating_sub(last) >= house.streams.review_every || self.is_expired(house, now)
    }

    /// Whether the directory is asked who it is.
    pub(super) fn is_looked_up(&self, house: &House) -> bool {
        self.permit.who().is_looked_up(house)
    }

    /// For how long nobody could tell.
    pub(super) fn unknown_for(&self, ticks: Duration) -> Duration {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        ticks.saturating_sub(*seen.unknown_since.get_or_insert(ticks))
    }

    /// Asks.
    pub(super) fn anew(&self, house: &House, thoroughly: Thoroughly) -> Answer {
        let (permit, now) = (&self.permit, (house.clock)());
        if self.is_expired(house, now) {
            return Answer::Ends(Refusal::new(RefusalCode::ExpiredCredential, "the token has expired"), None);
        }
        if let Err(refusal) = devices::still_stands(permit.accepted(), permit.who(), now) {
            return Answer::Ends(refusal, None);
        }
        let who = match permit.who().anew(house, permit.app(), now) {
            Ok(who) => who,
            Err(refusal) => return no(refusal, None),
        };
        let bundle = house.policies.bundle_for(who.principal(), &permit.app().id);
        if thoroughly == Thoroughly::No && self.is_seen(&who, bundle.revision()) {
            return Answer::Stands(None);
        }
        let accepted = permit.accepted();
        let place = house.places.locate(accepted.client());
        let moment = house.calendar.moment(now);
        let look = enrich::look(house, &who, &place, accepted.user_agent());
        let risk = look.unwrap_or_else(|| permit.risk());
        let standpoint = Standpoint { who: &who, place: &place, risk, moment };
        match ask(house, &bundle, accepted, &standpoint, None) {
            Ok((ruling, None, _)) => {
                let seen = Seen::new(who, bundle.revision(), (house.ticks)());
                *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
                Answer::Stands(Some(ruling))
            }
            Ok((ruling, Some(refusal), _)) => no(refusal, Some(ruling)),
            Err(refusal) => no(refusal, None),
        }
    }

    fn is_seen(&self, who: &Who, revision: Revision) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.unknown_since.is_none() && seen.revision == revision && seen.who.is_told_as(who)
    }
}

fn no(refusal: Refusal, ruling: Option<Ruling>) -> Answer {
    if is_known(refusal.code) { Answer::Ends(refusal, ruling) } else { Answer::Unknown(refusal, ruling) }
}

/// Whether a refusal says something of whoever is refused. The others say that nobody can tell, and may
/// be over in a moment.
const fn is_known(code: RefusalCode) -> bool {
    !matches!(
        code,
        RefusalCode::PolicyError
            | RefusalCode::DirectoryError
            | RefusalCode::StaleDirectory
            | RefusalCode::StaleRevocations
            | RefusalCode::KeysUnavailable
            | RefusalCode::AuditUnavailable
            | RefusalCode::Overloaded
            | RefusalCode::Internal
    )
}
