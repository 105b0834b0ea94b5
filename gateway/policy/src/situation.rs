//! One request as the policies see it, to keep.

use std::sync::Arc;
use std::time::Duration;

use doorward_model::{
    Assurance, DevicePosture, LifecycleStage, Place, Principal, Risk, RouteFacts, UnixMillis, Weekday,
};

use crate::question::{Action, Question};

mod read;

pub use read::Rounding;

/// Everything that a policy may look at in one request, owned: what a [`Question`] borrows. Cases,
/// explanations, records and counterexamples are made of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Situation {
    /// Who asks.
    pub principal: Arc<Principal>,
    /// What is known of the person who answers for a service account.
    pub owner_stage: LifecycleStage,
    /// Whether the directory grants the app to whoever asks.
    pub granted: bool,
    /// What is to be done.
    pub action: Action,
    /// To what.
    pub route: RouteFacts,
    /// What the sign-in proved.
    pub session: Assurance,
    /// The device.
    pub device: DevicePosture,
    /// Where the request comes from.
    pub place: Place,
    /// How odd it looks.
    pub risk: Risk,
    /// The time.
    pub now: UnixMillis,
    /// The time of day in the gateway's time zone, since midnight.
    pub local_time: Duration,
    /// The day of the week in the gateway's time zone.
    pub weekday: Weekday,
    /// The host that was asked for.
    pub host: String,
    /// The normalized path.
    pub path: String,
    /// The header `User-Agent`.
    pub user_agent: Option<String>,
}

impl Situation {
    /// What is asked in it.
    #[must_use]
    pub fn question(&self) -> Question<'_> {
        Question {
            principal: &self.principal,
            owner_stage: self.owner_stage,
            granted: self.granted,
            action: self.action,
            route: &self.route,
            session: &self.session,
            device: &self.device,
            place: &self.place,
            risk: self.risk,
            now: self.now,
            local_time: self.local_time,
            weekday: self.weekday,
            host: &self.host,
            path: &self.path,
            user_agent: self.user_agent.as_deref(),
        }
    }

    /// The same at another time: what was found out is as old then as it is now.
    pub fn moved_to(&mut self, now: UnixMillis, local_time: Duration, weekday: Weekday) {
        let later = now.0.saturating_sub(self.now.0);
        for at in [&mut self.session.authenticated_at, &mut self.session.mfa_at, &mut self.device.asserted_at]
        {
            *at = at.map(|at| UnixMillis(at.0.saturating_add(later)));
        }
        (self.now, self.local_time, self.weekday) = (now, local_time, weekday);
    }
}

impl From<&Question<'_>> for Situation {
    fn from(q: &Question<'_>) -> Self {
        Self {
            principal: Arc::clone(q.principal),
            owner_stage: q.owner_stage,
            granted: q.granted,
            action: q.action,
            route: q.route.clone(),
            session: *q.session,
            device: q.device.clone(),
            place: q.place.clone(),
            risk: q.risk,
            now: q.now,
            local_time: q.local_time,
            weekday: q.weekday,
            host: q.host.to_owned(),
            path: q.path.to_owned(),
            user_agent: q.user_agent.map(str::to_owned),
        }
    }
}
