//! Sign-ins that proved too little, as their browser remembers them: nobody is sent around and around.
//!
//! Each is a cookie of its own, so that tabs that come back at once take nothing from each other. It decides nothing but
//! whether the provider is asked for the same once more, by itself: whoever takes it away is asked more often.
//! A person who tries again, by the link of the page that says so, is always asked.

use doorward_identity::attempt::{Attempt, Nonce, TooLittle, WEAK_COOKIE, giving_way};
use doorward_identity::cookies::{self, clear_cookie, set_cookie};
use doorward_identity::session::SessionKey;
use doorward_model::limits::WEAK_SIGN_INS_MAX;
use doorward_model::{Demand, IssuerId, Refusal, RefusalCode};

use super::attempts::Want;
use super::numbers::Outcome;
use super::{AGAIN, OwnRequest, PROVE, SignIn, Stop, unsealed};

impl SignIn {
    /// Whether this browser came back too often lately with too little for a demand, in whichever tab and for whichever
    /// app.
    pub(super) fn is_stuck(&self, request: &OwnRequest, demand: &Demand) -> Result<bool, Stop> {
        Ok(self.weak_of(request, demand)?.len() >= WEAK_SIGN_INS_MAX)
    }

    /// Whether it is so now that this browser came back once more with too little.
    pub(super) fn gets_stuck(&self, request: &OwnRequest, demand: &Demand) -> Result<bool, Stop> {
        Ok(self.weak_of(request, demand)?.len().saturating_add(1) >= WEAK_SIGN_INS_MAX)
    }

    /// The cookies by which this browser remembers that an attempt proved too little.
    pub(super) fn notes_weak(
        &self,
        request: &OwnRequest,
        state: &Nonce,
        demand: Demand,
    ) -> Result<Vec<String>, Stop> {
        let weak = TooLittle { demand, at: request.now };
        let value = weak.seal(self.sealer(), self.host()).map_err(|e| Stop::new(unsealed(&e)))?;
        let mut lines: Vec<String> =
            giving_way(request.cookie_lines(), WEAK_COOKIE)?.iter().map(|name| clear_cookie(name)).collect();
        lines.push(set_cookie(&TooLittle::cookie(state), &value, Some(TooLittle::LIFE)));
        Ok(lines)
    }

    /// The demand was met: what was too little for it before counts no more.
    pub(super) fn forgets_weak(&self, request: &OwnRequest, demand: &Demand) -> Result<Vec<String>, Stop> {
        let names = self.weak_of(request, demand)?;
        Ok(names.iter().map(|name| clear_cookie(name)).collect())
    }

    /// The page that says that more is needed, with the way to try again.
    pub(super) fn too_often(
        &self,
        request: &OwnRequest,
        provider: &IssuerId,
        want: Want,
        steps_up: Option<SessionKey>,
    ) -> Result<Stop, Stop> {
        let detail = format!(
            "`{}` was demanded, and {WEAK_SIGN_INS_MAX} sign-ins of this browser did not prove it",
            want.demand.strength.as_str()
        );
        let (state, attempt) = self.attempt(provider, want, steps_up, request.now)?;
        let cookies = self.remembers(request, &attempt, &state)?;
        self.numbers.came_to(Outcome::Refused(RefusalCode::WeakSignIn));
        let stop = self.stopped(Refusal::new(RefusalCode::WeakSignIn, detail), &state, &attempt);
        Ok(Stop { cookies, ..stop })
    }

    /// The names of the cookies that tell of too little for a demand.
    fn weak_of(&self, request: &OwnRequest, demand: &Demand) -> Result<Vec<String>, Stop> {
        let found = cookies::beginning(request.cookie_lines(), WEAK_COOKIE)?;
        let open = |value| TooLittle::open(self.sealer(), self.host(), value, request.now);
        let of =
            found.into_iter().filter(|(_, value)| open(value).is_some_and(|weak| weak.demand == *demand));
        Ok(of.map(|(mark, _)| format!("{WEAK_COOKIE}{mark}")).collect())
    }

    /// Where somebody tries again who is to be the same, at the same provider. It asks them in any case: what it has of
    /// them was not enough.
    pub(super) fn retry_at(&self, state: &Nonce, attempt: &Attempt) -> String {
        let (state, provider) = (state.expose(), &attempt.provider);
        self.terms.origin.own(&format!("{AGAIN}?state={state}&provider={provider}&{PROVE}=1"))
    }
}
