//! What is written down of a sign-in, whatever comes of it.

use std::sync::Arc;

use doorward_audit::event::{BrowserSignIn, SignInStep};
use doorward_audit::{Arrival, Trail};
use doorward_identity::BrowserSession;
use doorward_identity::attempt::Attempt;
use doorward_identity::oidc::Proven;
use doorward_model::{
    Assurance, AuthSession, Demand, DevicePosture, Place, Principal, Refusal, Risk, UnixMillis,
};
use http::header;

use super::OwnRequest;
use crate::pipeline::House;
use crate::risk::Seen;

/// What is written down of a sign-in, whatever comes of it.
pub(super) struct Story {
    pub(super) event: BrowserSignIn,
    pub(super) place: Arc<Place>,
    /// Who came back, by the provider's word, and what that proved. The session has no name: it may never begin.
    pub(super) proved: Option<(Principal, AuthSession, Assurance, DevicePosture)>,
}

// === impl Story ===

impl Story {
    pub(super) fn begin(house: &House, request: &OwnRequest) -> Self {
        let agent = request.headers.get(header::USER_AGENT).map(http::HeaderValue::as_bytes);
        let mut trail = Trail::begin(Arrival {
            request_id: &request.request_id,
            received_at: request.now,
            method: request.method.as_str(),
            host: &request.host,
            path: &request.path,
            http_version: request.version,
            user_agent: agent,
            peer: request.peer,
            trace: None,
        });
        let place = Arc::new(house.places.locate(request.client));
        trail.located(Arc::clone(&place));
        let (step, demand) = (SignInStep::Begun, Demand::default());
        Self { event: BrowserSignIn { trail, step, provider: None, app: None, demand }, place, proved: None }
    }

    pub(super) fn is_of(&mut self, attempt: &Attempt) {
        self.event.provider = Some(attempt.provider.clone());
        self.event.app.clone_from(&attempt.app);
        self.event.demand = attempt.demand;
    }

    pub(super) fn proves(&mut self, proven: &Proven, now: UnixMillis) {
        let session = AuthSession {
            issuer: proven.user().id.issuer().clone(),
            session: proven.session().cloned(),
            token: None,
            issued_at: now,
            expires_at: now,
        };
        let principal = Principal::User(proven.user().clone());
        self.proved = Some((principal, session, *proven.assurance(), proven.device().clone()));
    }

    pub(super) fn refused(&self, refusal: &Refusal) -> BrowserSignIn {
        let mut event = self.event.clone();
        if let Some((principal, session, assurance, device)) = &self.proved {
            event.trail.identified(principal.clone(), Some(session), *assurance, device);
        }
        event.trail.refused(refusal);
        event
    }

    pub(super) fn admitted(
        &self,
        principal: &Arc<Principal>,
        session: &BrowserSession,
        step: SignInStep,
    ) -> BrowserSignIn {
        let mut event = BrowserSignIn { step, ..self.event.clone() };
        let signed_in = session.auth_session();
        event.trail.identified(Arc::clone(principal), Some(&signed_in), session.assurance, &session.device);
        event
    }
}

/// How odd the sign-in looks.
pub(super) async fn weigh(
    house: &House,
    request: &OwnRequest,
    session: &BrowserSession,
    place: &Place,
) -> Risk {
    let Some(risks) = &house.risks else { return session.risk };
    let seen = Seen {
        user: &session.user.id,
        session: &session.auth_session(),
        assurance: &session.assurance,
        place,
        device: session.device.id.as_ref(),
        agent: request.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()),
        claim: session.risk,
        now: request.now,
    };
    risks.see(&seen).await
}
