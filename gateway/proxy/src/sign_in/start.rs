//! A sign-in begins, or is there already.

use doorward_identity::attempt::{Enter, Nonce, Ticket};
use doorward_identity::oidc::Prompt;
use doorward_identity::session::{Ended, SESSION_COOKIE};
use doorward_identity::{BrowserSession, cookies};
use doorward_model::{Refusal, RefusalCode};
use doorward_state::sessions::{OnceKind, SessionsError};
use http::StatusCode;

use super::attempts::{Manner, Want};
use super::numbers::Outcome;
use super::passing::Passes;
use super::persons::{Asking, No};
use super::{ENTER, OwnAnswer, OwnRequest, SignIn, Step, Stop, unsealed};
use crate::devices;
use crate::pipeline::House;

impl SignIn {
    /// The page `start`: on to the app when somebody is signed in and has proved enough, else on to a provider.
    pub(super) async fn start(&self, house: &House, request: &OwnRequest) -> Step {
        let want = self.wanted(house, request)?;
        let living = self.living(house, request, &want).await?;
        if let Some(session) = &living
            && want.demand.is_met(&session.assurance, request.now)
        {
            self.numbers.came_to(Outcome::Known);
            return self.pass_on(request, session, &want, Vec::new()).await;
        }
        let manner = Manner {
            steps_up: living.as_ref().map(|session| session.id),
            hint: living.as_ref().and_then(|session| session.user.email.clone()),
            prompt: match &living {
                // The provider would say the same of them once more, without a word to them.
                None if self.is_turned_away(house, request, &want).await? => Some(Prompt::SelectAccount),
                Some(_) | None => None,
            },
        };
        // Who proves more for the session that they have does so where they signed in.
        let of_session = living.as_ref().map(|session| session.user.id.issuer());
        let of_session = of_session.filter(|id| self.providers.title(id).is_some());
        let candidates = self.candidates(house, want.app.as_ref());
        let only = match candidates.as_slice() {
            [only] => Some(*only),
            _ => None,
        };
        if self.is_stuck(request, &want.demand)?
            && let Some(provider) = of_session.or_else(|| candidates.first().copied())
        {
            return Err(self.too_often(request, provider, want, manner.steps_up)?);
        }
        match of_session.or(only) {
            Some(provider) => {
                let redirect = self.lead(request, provider, want, manner).await?;
                Ok(OwnAnswer::redirect(StatusCode::FOUND, &redirect.location, redirect.cookies))
            }
            None => self.asks_where(request, &candidates, want),
        }
    }

    /// What the ticket says. Without one, somebody wants to be signed in.
    fn wanted(&self, house: &House, request: &OwnRequest) -> Result<Want, Stop> {
        let Some(text) = request.parameter("ticket") else { return Want::home(self) };
        let ticket = Ticket::open(self.sealer(), self.host(), text, request.now)
            .filter(|ticket| house.routes.knows_host(ticket.back.host()))
            .ok_or_else(|| self.lost("the ticket is too old, or none of ours"))?;
        Ok(Want {
            back: ticket.back,
            app: Some(ticket.app),
            demand: ticket.demand,
            enter: Some(ticket.nonce),
        })
    }

    /// The session that this browser has at the host where people sign in, if it stands and whoever it is of is let
    /// in. A session that does not stand is none; where it cannot be told, that is said, and the cookie stays.
    pub(super) async fn living(
        &self,
        house: &House,
        request: &OwnRequest,
        want: &Want,
    ) -> Result<Option<BrowserSession>, Stop> {
        let Some(cookie) = cookies::ours(request.cookie_lines(), SESSION_COOKIE)? else { return Ok(None) };
        let Some(session) = BrowserSession::open(self.sealer(), self.host(), cookie) else { return Ok(None) };
        let session = match session.standing(request.now, self.lifetimes()) {
            Ok(()) => session,
            Err(Ended::Idle) => match self.used_elsewhere(&session, request).await {
                Some(session) => session,
                None => return Ok(None),
            },
            Err(Ended::Absolute | Ended::Ahead) => return Ok(None),
        };
        if let Err(refusal) =
            devices::bound(session.binding.as_ref(), request.certificate.as_deref(), request.now)
        {
            tracing::debug!(request_id = %request.request_id, %refusal, "a session is another device's");
            return Ok(None);
        }
        let asking = Asking::new(want.app.as_ref(), request)?;
        match asking.admits(house, &session).await {
            Ok(_) => Ok(Some(session)),
            Err(No::Early(_)) => Ok(None),
            Err(No::Refused(refusal)) if refusal.code.is_passing() => Err(Stop::new(refusal)),
            Err(No::Refused(refusal)) => {
                tracing::debug!(request_id = %request.request_id, %refusal, "a session is not good for a sign-in");
                Ok(None)
            }
        }
    }

    /// Whether this browser has the session of somebody who is not let in, whatever they prove.
    async fn is_turned_away(&self, house: &House, request: &OwnRequest, want: &Want) -> Result<bool, Stop> {
        let Some(cookie) = cookies::ours(request.cookie_lines(), SESSION_COOKIE)? else { return Ok(false) };
        let Some(session) = BrowserSession::open(self.sealer(), self.host(), cookie) else {
            return Ok(false);
        };
        let admitted = Asking::new(want.app.as_ref(), request)?.admits(house, &session).await;
        Ok(matches!(
            admitted,
            Err(No::Refused(Refusal { code: RefusalCode::Disabled | RefusalCode::UnknownPrincipal, .. }))
        ))
    }

    /// The same session, if the hosts of apps saw it lately: the cookie of this host does not know of that.
    async fn used_elsewhere(&self, session: &BrowserSession, request: &OwnRequest) -> Option<BrowserSession> {
        let known = self.sessions.get(&session.user.id, &session.id.to_string()).await;
        let record = known
            .inspect_err(|e| tracing::warn!(error = %e, "it is not known when a session was used"))
            .ok()??;
        let seen = session.clone().seen(record.seen_at);
        seen.standing(request.now, self.lifetimes()).is_ok().then_some(seen)
    }

    /// Sends a browser that has a session where it wanted to go. `cookies` go with the answer.
    pub(super) async fn pass_on(
        &self,
        request: &OwnRequest,
        session: &BrowserSession,
        want: &Want,
        mut cookies: Vec<String>,
    ) -> Step {
        let session = session.clone().seen(request.now);
        let sealed = session.seal(self.sealer(), self.host()).map_err(|e| Stop::new(unsealed(&e)))?;
        cookies.push(cookies::set_cookie(SESSION_COOKIE, &sealed, None));
        let location = match &want.enter {
            None => self.back_at(&want.back),
            Some(nonce) => {
                if let Passes::No { is_news } = self.passing.may(&session.user.id, request.now) {
                    if is_news {
                        tracing::warn!(person = %session.user.id, "somebody asks for more ways on to apps than anybody needs, and gets no more for two minutes at most; many people at one account do, too");
                    }
                    let detail = format!("`{}` asks for more codes than anybody needs", session.user.id);
                    let stop = Stop::plain(RefusalCode::Overloaded, detail);
                    return Err(stop.way("Try again", self.back_at(&want.back)));
                }
                let code = Nonce::random(self.sealer()).map_err(|e| Stop::new(unsealed(&e)))?;
                let (back, made_at) = (want.back.clone(), request.now);
                let enter = Enter { session, back, nonce: *nonce, made_at };
                let sealed = enter.seal(self.sealer(), &code).map_err(|e| Stop::new(unsealed(&e)))?;
                let (name, life) = (code.hash().name(), Enter::LIFE);
                let put = self.sessions.put_once(OnceKind::Enter, &name, sealed.into_bytes(), life).await;
                put.map_err(|e| self.unkept(&e, want))?;
                self.terms.origin.at(want.back.host(), &format!("{ENTER}?code={}", code.expose()))
            }
        };
        Ok(OwnAnswer::redirect(StatusCode::SEE_OTHER, &location, cookies))
    }

    /// The store of sessions cannot be asked.
    pub(super) fn unkept(&self, error: &SessionsError, want: &Want) -> Stop {
        Stop::new(unkept(error)).way("Try again", self.back_at(&want.back))
    }
}

/// The store of sessions cannot be asked.
pub(super) fn unkept(error: &SessionsError) -> Refusal {
    Refusal::new(RefusalCode::SessionsUnavailable, error.to_string())
}
