//! Sessions end because somebody wants it, here or at the provider.
//!
//! ```text
//!  revocation ─┬─ in force here ────────────────► the record goes ─► the refresh token is given back
//!              └─ asked for, not yet in force ──► the record stays, and it is said
//! ```
//! A session has ended when its revocation is in force. The record and the provider's token are what is left of it: they
//! are cleared up after that, as well as it goes, and nobody waits for the provider (`giving_back`). What may go on for a while stays in
//! the list of its person, so that it can be ended once more.
//!
//! All that somebody has is ended by a mark of the person. It needs no list, so that it hits what no record tells of.

use std::time::Duration;

use doorward_identity::BrowserSession;
use doorward_identity::session::{Kept, SessionKey};
use doorward_model::{Standing, Target, TokenId, UnixMillis, UserId};
use doorward_state::sessions::ToEnd;
use doorward_state::{SessionRecord, SessionsError};

use super::{OwnRequest, SignIn};
use crate::pipeline::House;

/// How long it is waited for a revocation that was asked of another node.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked whether it came.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What became of sessions that were to end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// All are over, at every node that is in touch.
    InForce,
    /// Whoever can do it was told, and has not done it within [`PATIENCE`].
    Asked,
    /// Some go on.
    Failed {
        /// How many.
        sessions: usize,
        /// Why, for the log.
        why: String,
    },
}

impl SignIn {
    /// Ends sessions of one person, and clears up after them.
    pub(super) async fn end_of_person(
        &self,
        house: &House,
        records: &[SessionRecord],
        (cause, request): (&'static str, &OwnRequest),
    ) -> Over {
        let mut told = Vec::new();
        let mut failed: Option<(usize, String)> = None;
        for record in records {
            // What a store has under a name that is none of ours is no session.
            let Some(target) = target_of(record) else { continue };
            let end = ends_own(target.clone(), &record.person, cause, request);
            match (self.end)(end).await {
                Ok(()) => told.push((target, record)),
                Err(why) => {
                    tracing::warn!(session = %record.id, why, "a session could not be ended");
                    let count = failed.map_or(0, |(count, _)| count);
                    failed = Some((count.saturating_add(1), why));
                }
            }
        }
        let all = come_into_force(house, told.iter().map(|(target, _)| target.clone()).collect()).await;
        for (target, record) in told {
            if house.revocations.lookup(&target).is_some() {
                self.clear_up(record).await;
            }
        }
        match failed {
            Some((sessions, why)) => Over::Failed { sessions, why },
            None if all => Over::InForce,
            None => Over::Asked,
        }
    }

    /// Ends all that the person of a session has, whatever the store knows of, and clears up after it.
    pub(super) async fn end_all(
        &self,
        house: &House,
        session: &BrowserSession,
        (cause, request): (&'static str, &OwnRequest),
    ) -> Over {
        let person = &session.user.id;
        let target = Target::User(person.clone());
        if let Err(why) = (self.end)(ends_own(target.clone(), person, cause, request)).await {
            tracing::warn!(why, "the sessions of somebody could not be ended");
            return Over::Failed { sessions: 1, why };
        }
        if !looks(house, || is_hit(house, &target, session.signed_in_at)).await {
            return Over::Asked;
        }
        if let Err(e) = self.clear_up_after(house, person).await {
            tracing::warn!(error = %e, "what is left of somebody's sessions stays until their time is over");
        }
        Over::InForce
    }

    /// The sessions of a person by their records, the last used first, and whether nothing that is known has ended each.
    ///
    /// # Errors
    /// When the store does not say what there is.
    pub async fn records_of(
        &self,
        house: &House,
        person: &UserId,
    ) -> Result<Vec<(SessionRecord, bool)>, SessionsError> {
        let records = self.sessions.of(person).await?;
        let with = |record: SessionRecord| {
            let stands = !is_over(house, &record);
            (record, stands)
        };
        Ok(records.into_iter().map(with).collect())
    }

    /// Clears up after sessions of a person that have ended, however they did: by a mark of the person, by their own
    /// name, by that of the provider's session or of the device. Of several nodes that do it, one gives each token back.
    ///
    /// # Errors
    /// When the store does not say what there is: then nothing is done.
    pub async fn clear_up_after(&self, house: &House, person: &UserId) -> Result<(), SessionsError> {
        for record in &self.sessions.of(person).await? {
            if is_over(house, record) {
                self.clear_up(record).await;
            }
        }
        Ok(())
    }

    /// What is left of a session that has ended.
    async fn clear_up(&self, record: &SessionRecord) {
        match self.sessions.remove(&record.person, &record.id).await {
            Ok(true) => self.give_back(record),
            // Somebody else does it.
            Ok(false) => {}
            Err(e) => {
                tracing::warn!(error = %e, "the record of a session stays until its time is over");
                self.give_back(record);
            }
        }
    }

    /// Gives the refresh token of a session back to the provider (RFC 7009). Nobody waits for that.
    fn give_back(&self, record: &SessionRecord) {
        let Some(token) = self.kept(record).map(|kept| kept.refresh) else { return };
        let issuer = record.person.issuer().clone();
        self.giving_back.begin(&self.providers, (issuer, token), &self.numbers);
    }

    /// What a record keeps sealed.
    pub(super) fn kept(&self, record: &SessionRecord) -> Option<Kept> {
        Kept::open(self.sealer(), SessionKey::parse(&record.id)?, record.refresh.as_deref()?)
    }
}

/// That the gateway ends sessions of somebody.
pub(super) fn ends(target: Target, person: &UserId, cause: &str, request: &OwnRequest) -> ToEnd {
    let (cause, request_id) = (cause.to_owned(), request.request_id.to_string());
    ToEnd { target, person: person.clone(), by: None, cause, request_id }
}

/// That somebody ends sessions of theirs.
fn ends_own(target: Target, person: &UserId, cause: &str, request: &OwnRequest) -> ToEnd {
    ToEnd { by: Some(request.client), ..ends(target, person, cause, request) }
}

/// How revocations name the session of a record. None for what is none of ours.
#[must_use]
pub fn target_of(record: &SessionRecord) -> Option<Target> {
    SessionKey::parse(&record.id)?;
    TokenId::new(record.person.issuer().clone(), &record.id).ok().map(Target::Token)
}

/// Whether a session of a record has ended by what is known here. It is not asked how old that is: what is known to be
/// cut off stays so.
pub(super) fn is_over(house: &House, record: &SessionRecord) -> bool {
    let session = record.issuer_session.clone().map(Target::Session);
    let device = record.device.clone().map(Target::Device);
    let targets = [Some(Target::User(record.person.clone())), target_of(record), session, device];
    targets.iter().flatten().any(|target| is_hit(house, target, record.signed_in_at))
}

fn is_hit(house: &House, target: &Target, signed_in_at: UnixMillis) -> bool {
    let known = house.revocations.lookup(target);
    known.is_some_and(|entry| {
        entry.standing_of(target.kind(), signed_in_at, house.issuer_skew) != Standing::Good
    })
}

/// Waits until revocations are in force here. False when that takes too long.
pub(super) async fn come_into_force(house: &House, targets: Vec<Target>) -> bool {
    looks(house, || targets.iter().all(|target| house.revocations.lookup(target).is_some())).await
}

/// Waits until something is so. False when that takes too long.
async fn looks(house: &House, so: impl Fn() -> bool) -> bool {
    let began = (house.ticks)();
    while !so() {
        if (house.ticks)().saturating_sub(began) >= PATIENCE {
            return false;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    true
}
