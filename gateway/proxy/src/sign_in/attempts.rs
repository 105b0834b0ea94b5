//! Sends a browser to a provider, and once more where it did not work.

use doorward_identity::ReturnTarget;
use doorward_identity::attempt::{ATTEMPT_COOKIE, Attempt, Nonce, NonceHash, giving_way};
use doorward_identity::cookies::{self, clear_cookie, set_cookie};
use doorward_identity::oidc::{Ask, Prompt};
use doorward_identity::session::SessionKey;
use doorward_model::{AppId, Demand, IssuerId, Refusal, RefusalCode, UnixMillis};
use http::StatusCode;

use super::redeeming::told;
use super::{AGAIN, CALLBACK, HOME, OwnAnswer, OwnRequest, PROVE, Redirect, SignIn, Step, Stop, unsealed};
use crate::pipeline::House;

/// What a sign-in is for.
#[derive(Clone, Debug)]
pub(super) struct Want {
    /// Where the browser goes in the end.
    pub(super) back: ReturnTarget,
    /// The app there; none at the host where people sign in.
    pub(super) app: Option<AppId>,
    /// What the sign-in must prove.
    pub(super) demand: Demand,
    /// Of the cookie that this browser has at the app's host.
    pub(super) enter: Option<NonceHash>,
}

/// How somebody is asked to sign in.
#[derive(Clone, Debug, Default)]
pub(super) struct Manner {
    /// The session that is to be made stronger.
    pub(super) steps_up: Option<SessionKey>,
    /// Who is expected.
    pub(super) hint: Option<String>,
    /// What the provider shows in any case.
    pub(super) prompt: Option<Prompt>,
}

// === impl Want ===

impl Want {
    pub(super) fn of(attempt: &Attempt) -> Self {
        Self {
            back: attempt.back.clone(),
            app: attempt.app.clone(),
            demand: attempt.demand,
            enter: attempt.enter,
        }
    }

    /// Nothing but to be signed in.
    pub(super) fn home(sign_in: &SignIn) -> Result<Self, Stop> {
        let back = ReturnTarget::parse(sign_in.host(), "/")
            .map_err(|e| Stop::plain(RefusalCode::Internal, e.to_string()))?;
        Ok(Self { back, app: None, demand: Demand::default(), enter: None })
    }
}

// === impl SignIn ===

impl SignIn {
    /// Where a provider sends browsers back to, as it is registered there: an address for each, so that no provider can
    /// have another one answer for it (RFC 9700 §4.4.2.2).
    pub(super) fn redirect_uri(&self, provider: &IssuerId) -> String {
        self.terms.origin.own(&callback_of(provider))
    }

    /// Whether a path is where some provider sends browsers back to, or where somebody is told that they were lost.
    pub(super) fn is_callback(&self, path: &str) -> bool {
        path == CALLBACK || self.providers.ids().any(|id| path == callback_of(id))
    }

    /// Where a sign-in is tried once more that this browser began.
    pub(super) fn again_at(&self, state: &Nonce) -> String {
        self.terms.origin.own(&format!("{AGAIN}?state={}", state.expose()))
    }

    /// What a browser wanted in the first place.
    pub(super) fn back_at(&self, back: &ReturnTarget) -> String {
        self.terms.origin.at(back.host(), back.path_and_query())
    }

    /// What leads a browser to a provider.
    pub(super) async fn lead(
        &self,
        request: &OwnRequest,
        provider: &IssuerId,
        want: Want,
        manner: Manner,
    ) -> Result<Redirect, Stop> {
        let (state, attempt) = self.attempt(provider, want, manner.steps_up, request.now)?;
        let redirect_uri = self.redirect_uri(provider);
        let ask = Ask {
            redirect_uri: &redirect_uri,
            state: state.expose(),
            nonce: attempt.nonce.expose(),
            code_verifier: attempt.verifier.expose(),
            demand: attempt.demand,
            login_hint: manner.hint.as_deref(),
            prompt: manner.prompt,
        };
        let back = self.back_at(&attempt.back);
        let location = self
            .providers
            .authorization_url(provider, &ask)
            .await
            .map_err(|e| Stop::new(told(&e, provider)).way("Try again", back))?;
        Ok(Redirect { location, cookies: self.remembers(request, &attempt, &state)? })
    }

    /// An attempt, and the `state` that it is found by.
    pub(super) fn attempt(
        &self,
        provider: &IssuerId,
        want: Want,
        steps_up: Option<SessionKey>,
        now: UnixMillis,
    ) -> Result<(Nonce, Attempt), Stop> {
        let new = || Nonce::random(self.sealer()).map_err(|e| Stop::new(unsealed(&e)));
        let (state, nonce, verifier) = (new()?, new()?, new()?);
        let attempt = Attempt {
            provider: provider.clone(),
            nonce,
            verifier,
            demand: want.demand,
            back: want.back,
            app: want.app,
            enter: want.enter,
            steps_up,
            started_at: now,
        };
        Ok((state, attempt))
    }

    /// The cookies by which this browser remembers an attempt.
    pub(super) fn remembers(
        &self,
        request: &OwnRequest,
        attempt: &Attempt,
        state: &Nonce,
    ) -> Result<Vec<String>, Stop> {
        let value = attempt.seal(self.sealer(), self.host(), state).map_err(|e| Stop::new(unsealed(&e)))?;
        let mut cookies: Vec<String> = giving_way(request.cookie_lines(), ATTEMPT_COOKIE)?
            .iter()
            .map(|name| clear_cookie(name))
            .collect();
        cookies.push(set_cookie(&Attempt::cookie(state), &value, Some(Attempt::LIFE)));
        Ok(cookies)
    }

    /// The attempt of this browser that a text names, if it is not too old.
    pub(super) fn attempt_of(&self, request: &OwnRequest, state: &str) -> Result<(Nonce, Attempt), Stop> {
        let state = Nonce::parse(state).ok_or_else(|| self.lost("the `state` is none of ours"))?;
        let name = Attempt::cookie(&state);
        let Some(value) = cookies::ours(request.cookie_lines(), &name)? else {
            return Err(self.lost("no sign-in that this browser began has this `state`"));
        };
        let attempt = Attempt::open(self.sealer(), self.host(), &state, value, request.now);
        let attempt = attempt.ok_or_else(|| self.lost("the sign-in that has this `state` is too old"))?;
        Ok((state, attempt))
    }

    /// The page `again`: the same sign-in, at a provider that is named, or where the person is asked who they are.
    pub(super) async fn again(&self, house: &House, request: &OwnRequest) -> Step {
        let (state, attempt) = self.attempt_of(request, request.parameter("state").unwrap_or_default())?;
        let want = Want::of(&attempt);
        let candidates = self.candidates(house, want.app.as_ref());
        let named = request.parameter("provider");
        let provider = match (named, candidates.as_slice()) {
            (Some(name), all) => all.iter().copied().find(|id| id.as_str() == name),
            (None, [only]) => Some(*only),
            (None, _) => None,
        };
        let Some(provider) = provider else {
            return self.choice(&candidates, &state, true, None, request);
        };
        let anew = named.is_none() || request.parameter("anew").is_some();
        // Who goes on as whom they are goes on with what they have.
        let steps_up = attempt.steps_up.filter(|_| !anew && *provider == attempt.provider);
        let prompt = match (anew, request.parameter(PROVE)) {
            (true, _) => Some(Prompt::SelectAccount),
            (false, Some(_)) => Some(Prompt::Login),
            (false, None) => None,
        };
        let manner = Manner { steps_up, prompt, hint: None };
        let redirect = self.lead(request, provider, want, manner).await?;
        Ok(OwnAnswer::redirect(StatusCode::FOUND, &redirect.location, redirect.cookies))
    }

    /// Where somebody may sign in who wants to open an app: at the provider that it names, else at any.
    pub(super) fn candidates(&self, house: &House, app: Option<&AppId>) -> Vec<&IssuerId> {
        let named = app.and_then(|app| {
            let served = house.routes.apps().find(|served| served.app.id == *app)?;
            let provider = served.app.provider.as_ref()?;
            self.providers.ids().find(|id| *id == provider)
        });
        named.map_or_else(|| self.providers.ids().collect(), |only| vec![only])
    }

    /// Nobody can tell any more what this browser wanted.
    pub(super) fn lost(&self, detail: &str) -> Stop {
        Stop::new(Refusal::new(RefusalCode::SignInLost, detail)).way("Sign in", self.terms.origin.own(HOME))
    }
}

/// Where a provider sends browsers back to.
pub(super) fn callback_of(provider: &IssuerId) -> String {
    format!("{CALLBACK}/{provider}")
}
