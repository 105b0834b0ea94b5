//! The provider sends a browser back: who is it, what did they prove, and may they be signed in?
//!
//! ```text
//!  state ─► the attempt of this browser ─► redeem, once ─► Proven ─► demand met? ─┬─ no: once more, then the page
//!                                                                               ▼
//!                  answer ◄── log ◄── store ◄── the session before ends ◄── directory, joining, revocations
//! ```

use doorward_audit::event::SignInStep;
use doorward_audit::{Event, Recorded};
use doorward_identity::attempt::{Attempt, Nonce};
use doorward_identity::oidc::{Prompt, Proven, Returned};
use doorward_identity::session::SESSION_COOKIE;
use doorward_identity::{BrowserSession, cookies};
use doorward_model::{Refusal, RefusalCode};
use doorward_state::sessions::OnceKind;
use http::StatusCode;

use super::attempts::{Manner, Want, callback_of};
use super::crowd::Crowded;
use super::making::New;
use super::numbers::Outcome;
use super::persons::{Asking, No};
use super::start::unkept;
use super::story::{Story, weigh};
use super::{OwnAnswer, OwnRequest, SignIn, Step, Stop, unsealed};
use crate::pipeline::House;
use crate::risk::Failure;

impl SignIn {
    /// The page `callback`.
    pub(super) async fn callback(&self, house: &House, request: &OwnRequest) -> Step {
        let mut story = Story::begin(house, request);
        let step = self.returned(house, request, &mut story).await;
        if let Err(stop) = &step {
            self.refused(house, request, &story, &stop.refusal);
        }
        step
    }

    /// It is counted, it is in the log, and it counts against whoever failed.
    fn refused(&self, house: &House, request: &OwnRequest, story: &Story, refusal: &Refusal) {
        self.numbers.came_to(Outcome::Refused(refusal.code));
        let _counted = house.audit.record(Event::SignIn(Box::new(story.refused(refusal))));
        let Some(risks) = &house.risks else { return };
        if refusal.code == RefusalCode::SignInLost {
            risks.failed(Failure::Code, None, request.client, request.now);
        }
        if let (RefusalCode::WeakSignIn, Some((principal, ..))) = (refusal.code, &story.proved) {
            risks.failed(Failure::StepUp, principal.id(), request.client, request.now);
        }
    }

    async fn returned(&self, house: &House, request: &OwnRequest, story: &mut Story) -> Step {
        let returned = Returned::read(request.query.as_deref().unwrap_or_default())
            .map_err(|e| self.lost(&e.to_string()))?;
        let (state, attempt) = self.attempt_of(request, returned.state())?;
        story.is_of(&attempt);
        if request.path != callback_of(&attempt.provider) {
            let detail =
                format!("the answer to a sign-in at `{}` came from another provider", attempt.provider);
            return Err(self.stopped(Refusal::new(RefusalCode::SignInRefused, detail), &state, &attempt));
        }
        let want = Want::of(&attempt);
        let living = self.living(house, request, &want).await?;
        // No code is spent on a sign-in that could not be written down: the same answer may come again.
        if !house.audit.accepts_grants() {
            return Err(self.stopped(unwritten("the audit log cannot be written"), &state, &attempt));
        }
        let proven = match self.proven(request, &returned, (&state, &attempt)).await {
            Ok(proven) => proven,
            Err(refusal) if matches!(refusal.code, RefusalCode::SignInLost | RefusalCode::Overloaded) => {
                return self.came_before(request, living, &attempt, refusal).await;
            }
            Err(refusal) => {
                let mut stop = self.stopped(refusal, &state, &attempt);
                if stop.refusal.code == RefusalCode::WeakSignIn {
                    stop.cookies = self.notes_weak(request, &state, attempt.demand)?;
                }
                return Err(stop);
            }
        };
        story.proves(&proven, request.now);
        // Whoever has not signed in at a provider gets no place in the store by it.
        let name = state.hash().name();
        let first = self.sessions.put_once(OnceKind::Attempt, &name, vec![1], Attempt::LIFE).await;
        if !first.map_err(|e| self.stopped(unkept(&e), &state, &attempt))? {
            let twice = Refusal::new(RefusalCode::SignInLost, "this sign-in was finished already");
            return self.came_before(request, living, &attempt, twice).await;
        }
        if !proven.meets(&attempt.demand, attempt.started_at) {
            let told = self.proved_too_little(house, request, (&state, attempt), story).await;
            return told.map_err(|stop| stop.of(proven.user()));
        }
        let step = self.signs_in(house, request, (&attempt, &proven), living, story).await;
        step.map_err(|stop| {
            let code = stop.refusal.code;
            stop.of(proven.user()).or_ways(|| self.ways(code, &state, &attempt))
        })
    }

    /// What the provider says to the answer of a browser, which is taken there once.
    async fn proven(
        &self,
        request: &OwnRequest,
        returned: &Returned,
        (state, attempt): (&Nonce, &Attempt),
    ) -> Result<Proven, Refusal> {
        let crowd = &self.redeeming.crowd;
        let place = crowd.place(request.client, &attempt.provider, request.now).await;
        let place = place.map_err(Crowded::refusal)?;
        if !self.redeeming.first(state.hash(), request.now) {
            return Err(Refusal::new(RefusalCode::SignInLost, "the answer to this sign-in came already"));
        }
        let redeemed = self.redeem(returned, attempt, (place, request.now)).await;
        if matches!(&redeemed, Err(refusal) if refusal.code == RefusalCode::ProviderUnavailable) {
            self.redeeming.forget(state.hash());
        }
        redeemed
    }

    /// A browser came with an answer that was used: a reload, or the button "back".
    async fn came_before(
        &self,
        request: &OwnRequest,
        living: Option<BrowserSession>,
        attempt: &Attempt,
        refusal: Refusal,
    ) -> Step {
        let want = Want::of(attempt);
        let since = living.filter(|session| session.validated_at >= attempt.started_at);
        match since.filter(|session| want.demand.is_met(&session.assurance, request.now)) {
            Some(session) => self.pass_on(request, &session, &want, Vec::new()).await,
            None => Err(Stop::new(refusal).way("Try again", self.back_at(&want.back))),
        }
    }

    /// The provider did not do what was asked of it. It is asked once more; after that the person is told.
    async fn proved_too_little(
        &self,
        house: &House,
        request: &OwnRequest,
        (state, attempt): (&Nonce, Attempt),
        story: &Story,
    ) -> Step {
        let refusal = Refusal::new(
            RefusalCode::WeakSignIn,
            format!("`{}` was demanded, and the provider did not prove it", attempt.demand.strength.as_str()),
        );
        let weak = self.notes_weak(request, state, attempt.demand)?;
        if self.gets_stuck(request, &attempt.demand)? {
            return Err(Stop { cookies: weak, ..self.stopped(refusal, state, &attempt) });
        }
        self.refused(house, request, story, &refusal);
        let manner = Manner { steps_up: attempt.steps_up, prompt: Some(Prompt::Login), hint: None };
        let redirect = self.lead(request, &attempt.provider, Want::of(&attempt), manner).await?;
        let cookies = [redirect.cookies, weak].concat();
        Ok(OwnAnswer::redirect(StatusCode::FOUND, &redirect.location, cookies))
    }

    /// Judges, keeps, records, and only then answers with the session.
    async fn signs_in(
        &self,
        house: &House,
        request: &OwnRequest,
        (attempt, proven): (&Attempt, &Proven),
        living: Option<BrowserSession>,
        story: &Story,
    ) -> Step {
        let want = Want::of(attempt);
        let New { mut session, step } = self.made(request, (attempt, proven), living, &story.place)?;
        let asking = Asking::new(attempt.app.as_ref(), request)?;
        let admitted = match step {
            SignInStep::Begun => asking.admits_new(house, &mut session).await,
            // When it began stays, so there is nothing to wait for.
            SignInStep::Raised => asking.admits(house, &session).await.map_err(No::refusal),
        };
        let principal = admitted.map_err(|refusal| unproved_address(refusal, proven))?;
        if step == SignInStep::Begun {
            session.expires_at = session.signed_in_at.plus(self.terms.absolute);
        }
        // Not before: whoever joins does so by what the provider said of them.
        let session = if self.slim { session.slim() } else { session };
        if !house.audit.accepts_grants() {
            return Err(Stop::new(unwritten("the audit log cannot be written")));
        }
        let sealed = session.seal(self.sealer(), self.host()).map_err(|e| Stop::new(unsealed(&e)))?;
        self.ends_before(house, request, &session).await?;
        self.keep(request, &session, (attempt, proven)).await?;
        let mut event = story.admitted(&principal, &session, step);
        event.trail.risked(weigh(house, request, &session, &story.place).await);
        if house.audit.record(Event::SignIn(Box::new(event))) == Recorded::Dropped {
            // One that was to be made stronger goes on as it was, and so does its record.
            if step == SignInStep::Begun {
                let _left_to_its_time = self.sessions.remove(&session.user.id, &session.id.to_string()).await;
            }
            return Err(Stop::new(unwritten("the audit log has no room")));
        }
        self.numbers.came_to(match step {
            SignInStep::Begun => Outcome::Begun,
            SignInStep::Raised => Outcome::Raised,
        });
        // Who comes again after this sees that there is a session.
        let forgotten = self.forgets_weak(request, &want.demand)?;
        let passed = self.pass_on(request, &session, &want, forgotten).await;
        passed.map_err(|stop| stop.with_cookie(cookies::set_cookie(SESSION_COOKIE, &sealed, None)))
    }

    /// Where somebody can go whose sign-in was refused.
    fn ways(&self, code: RefusalCode, state: &Nonce, attempt: &Attempt) -> Vec<(&'static str, String)> {
        let again = match code == RefusalCode::WeakSignIn {
            // The app would send them to the same page.
            true => self.retry_at(state, attempt),
            false => self.back_at(&attempt.back),
        };
        let (again, other) = (("Try again", again), ("Use another account", self.again_at(state)));
        // Of whom it is known who they are the same again would be refused again.
        if matches!(code, RefusalCode::Disabled | RefusalCode::UnknownPrincipal) {
            vec![other, again]
        } else {
            vec![again, other]
        }
    }

    pub(super) fn stopped(&self, refusal: Refusal, state: &Nonce, attempt: &Attempt) -> Stop {
        Stop { ways: self.ways(refusal.code, state, attempt), ..Stop::new(refusal) }
    }
}

/// The log cannot take what it must have.
fn unwritten(detail: &str) -> Refusal {
    Refusal::new(RefusalCode::AuditUnavailable, detail)
}

/// Who is not known because nobody vouches for their address is told so.
fn unproved_address(refusal: Refusal, proven: &Proven) -> Refusal {
    if refusal.code != RefusalCode::UnknownPrincipal || proven.user().email.is_some() {
        return refusal;
    }
    let reason = "Your e-mail address is not verified where you signed in.";
    Refusal { reason: Some(reason.to_owned()), ..refusal }
}
