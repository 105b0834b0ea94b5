//! May this person be signed in? The same is asked as of a bearer token: the directory, whether they join, and the
//! revocations.

use std::sync::Arc;
use std::time::Duration;

use doorward_identity::BrowserSession;
use doorward_model::{AppId, EntryKind, Presented, Principal, Refusal, RefusalCode, UnixMillis};
use doorward_state::Refused;

use super::{OwnRequest, Stop};
use crate::pipeline::House;
use crate::pipeline::identify::{self, At};

/// Of whom nothing is asked but to be signed in: no app has this name.
pub(super) const NO_APP: &str = "doorward-sign-in";
/// How often it is looked whether a new session would stand.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A question of a sign-in.
pub(super) struct Asking<'a> {
    app: AppId,
    request: &'a OwnRequest,
}

/// Why a session is not good.
pub(super) enum No {
    /// It began before everything of somebody was ended, or so shortly after that clocks cannot tell. One that
    /// begins after this instant is not hit.
    Early(UnixMillis),
    /// It is refused.
    Refused(Refusal),
}

impl No {
    /// As it is told to whoever cannot wait.
    pub(super) fn refusal(self) -> Refusal {
        match self {
            Self::Early(_) => {
                Refusal::new(RefusalCode::Revoked, "everything of theirs was ended after this session began")
            }
            Self::Refused(refusal) => refusal,
        }
    }
}

impl<'a> Asking<'a> {
    pub(super) fn new(app: Option<&AppId>, request: &'a OwnRequest) -> Result<Self, Stop> {
        let none = || AppId::new(NO_APP).map_err(|e| Stop::plain(RefusalCode::Internal, e.to_string()));
        Ok(Self { app: app.map_or_else(none, |app| Ok(app.clone()))?, request })
    }

    /// Who it is, as those whose word counts say, if they may be signed in with this session.
    pub(super) async fn admits(&self, house: &House, session: &BrowserSession) -> Result<Arc<Principal>, No> {
        let verified = session.verified();
        let at = At {
            app: &self.app,
            stale_max: Duration::ZERO,
            now: self.request.now,
            certificate: self.request.certificate.as_ref(),
            request_id: &self.request.request_id,
        };
        let judged = identify::judge_or_join(house, &verified, &at).await.map_err(No::Refused)?;
        let presented = Presented {
            users: judged.principal.answerable().into_iter().cloned().collect(),
            owner: None,
            session: session.auth_session(),
            device: session.device.id.clone(),
            named: None,
            app: self.app.clone(),
        };
        match house.revocations.check(&presented, house.issuer_skew) {
            Ok(_) => Ok(judged.principal),
            Err(Refused::MadeBefore { kind, not_before }) if !kind.never_returns() => {
                Err(No::Early(not_before.plus(house.issuer_skew)))
            }
            Err(refused) => {
                let by = refused.kind().map(EntryKind::as_str).unwrap_or("what is not known");
                Err(No::Refused(Refusal::new(refused.code(), format!("cut off by its {by}"))))
            }
        }
    }

    /// The same of a session that is new: where everything of somebody was ended a moment ago, it is waited for the
    /// moment from which a sign-in stands, and the session begins then.
    pub(super) async fn admits_new(
        &self,
        house: &House,
        session: &mut BrowserSession,
    ) -> Result<Arc<Principal>, Refusal> {
        let patience = house.issuer_skew.saturating_add(Duration::from_secs(1));
        let late = self.request.now.plus(patience);
        // Counted, and not by the clock: a provider that was slow and a machine that stood still are no clock that is
        // wrong.
        let mut looks = patience.saturating_mul(2).as_millis() / LOOK_EVERY.as_millis();
        loop {
            let until = match self.admits(house, session).await {
                Ok(principal) => return Ok(principal),
                Err(No::Refused(refusal)) => return Err(refusal),
                Err(No::Early(until)) => until,
            };
            if until > late || looks == 0 {
                let detail = "everything of theirs was ended at a time that has not come yet, by our clock";
                return Err(Refusal::new(RefusalCode::Revoked, detail));
            }
            looks -= 1;
            tokio::time::sleep(LOOK_EVERY).await;
            let now = (house.clock)();
            if now > until {
                // No later than need be: a clock that is ahead must not take it past what is ended next.
                session.signed_in_at = until.plus(Duration::from_millis(1));
            }
            session.seen_at = now;
        }
    }
}
