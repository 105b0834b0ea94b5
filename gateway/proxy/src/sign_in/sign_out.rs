//! Somebody signs out: here, everywhere, and at the provider.
//!
//! ```text
//!  GET  a page with buttons
//!  POST ─► the session ends ─► its cookie goes ─► a page, and on to the provider ─► /.doorward/signed-out
//!                                                 (OpenID Connect RP-Initiated Logout 1.0)
//! ```
//! An app may have a button of its own: a form of its host that is sent to `/.doorward/sign-out`. It ends the session of
//! this browser, at every app. That all of a person's sessions end can be had from our own page alone, where people
//! sign in, and by a session that stands: one that has ended ends no other.
//!
//! The browser is led on by the page and not by a redirect: browsers hold a redirect of a form against the policy of
//! the page that it was on.

use doorward_identity::BrowserSession;
use doorward_identity::cookies::{self, clear_cookie};
use doorward_identity::session::SESSION_COOKIE;
use doorward_model::{Refusal, RefusalCode};
use doorward_state::SessionRecord;
use http::{Method, StatusCode};

use super::attempts::Want;
use super::ending::Over;
use super::forms;
use super::pages::{Button, Card, FormOf};
use super::yours::bound_to;
use super::{HOME, OwnAnswer, OwnRequest, SIGN_OUT, SIGNED_OUT, START, SignIn, Step, Stop, unsealed};
use crate::pipeline::House;

/// The field that says how far it goes; without it, this session ends, and the provider is told.
const HOW: &str = "how";
/// The provider is not told.
const LOCAL: &str = "local";
/// All sessions of the person end.
const EVERYWHERE: &str = "everywhere";
/// What the log is told.
const SIGNED_OUT_CAUSE: &str = "signed out";
const SIGNED_OUT_EVERYWHERE: &str = "signed out everywhere";

/// How far a sign-out goes. Closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// This session, and the provider is told.
    Usual,
    /// This session alone.
    Local,
    /// All sessions, and the provider is told.
    Everywhere,
}

impl SignIn {
    /// The page `sign-out`, at any host.
    pub(super) async fn sign_out(&self, house: &House, request: &OwnRequest) -> Step {
        let session = self.shown(request)?;
        if request.method != Method::POST {
            return self.asks_to_sign_out(house, request, session.as_ref()).await;
        }
        forms::check_site(request, &self.terms.origin.at(&request.host, ""))?;
        let how = how(request)?;
        let Some(session) = session else {
            let cookies = vec![clear_cookie(SESSION_COOKIE)];
            return Ok(self.said_out("Nobody was signed in with this browser.", None).with_cookies(cookies));
        };
        let over = match how {
            How::Usual | How::Local => {
                let record = self.record_of(&session).await;
                self.end_of_person(house, &[record], (SIGNED_OUT_CAUSE, request)).await
            }
            How::Everywhere => {
                let session = self.may_end_all(house, request).await?;
                self.end_all(house, &session, (SIGNED_OUT_EVERYWHERE, request)).await
            }
        };
        let said = match (over, how) {
            (Over::InForce, How::Usual | How::Local) => "Your session has ended, at every app.",
            (Over::InForce, How::Everywhere) => "All your sessions have ended, on every device.",
            (Over::Asked, How::Everywhere) => {
                "Your session in this browser is gone. All others end as soon as the nodes that keep such things answer."
            }
            (Over::Asked, How::Usual | How::Local) => {
                "Your session in this browser is gone. Elsewhere it ends as soon as the nodes that keep such things answer."
            }
            (Over::Failed { why, .. }, _) => {
                let refusal = Refusal::new(RefusalCode::SessionsUnavailable, why);
                let reason = Some("You are not signed out: that could not be written down.".to_owned());
                let stop = Stop::new(Refusal { reason, ..refusal });
                return Err(stop.way("Try again", SIGN_OUT.to_owned()));
            }
        };
        let provider = if how == How::Local { None } else { self.at_provider(&session, request)? };
        Ok(self.said_out(said, provider).with_cookies(vec![clear_cookie(SESSION_COOKIE)]))
    }

    /// The page `signed-out`: the provider sent the browser back.
    pub(super) async fn signed_out(&self, house: &House, request: &OwnRequest) -> Step {
        let ours = request
            .parameter("state")
            .is_some_and(|state| forms::is_token(self.sealer(), SIGNED_OUT, state, request.now).is_ok());
        if !ours || self.living(house, request, &Want::home(self)?).await?.is_some() {
            return Ok(OwnAnswer::redirect(StatusCode::SEE_OTHER, HOME, Vec::new()));
        }
        let cookies = match cookies::ours(request.cookie_lines(), SESSION_COOKIE)? {
            Some(_) => vec![clear_cookie(SESSION_COOKIE)],
            None => Vec::new(),
        };
        Ok(self.said_out("You can close this window.", None).with_cookies(cookies))
    }

    /// The session that a cookie of this host names, if its time is not over. Whether it may still be used is not
    /// asked: to end it is allowed in any case.
    fn shown(&self, request: &OwnRequest) -> Result<Option<BrowserSession>, Refusal> {
        let cookie = cookies::ours(request.cookie_lines(), SESSION_COOKIE)?;
        let session = cookie.and_then(|cookie| BrowserSession::open(self.sealer(), &request.host, cookie));
        Ok(session.filter(|session| session.expires_at > request.now))
    }

    /// The session of a request that may end all that its person has.
    async fn may_end_all(&self, house: &House, request: &OwnRequest) -> Result<BrowserSession, Stop> {
        if !self.is_sign_in_host(&request.host) {
            let detail = "all sessions of somebody end from where people sign in alone";
            return Err(Stop::plain(RefusalCode::BadRequest, detail));
        }
        let Some(session) = self.living(house, request, &Want::home(self)?).await? else {
            let refusal = Refusal::new(RefusalCode::ExpiredCredential, "no session stands here");
            return Err(Stop::new(refusal).way("Sign in", START.to_owned()));
        };
        forms::check_token(self.sealer(), &bound_to(SIGN_OUT, &request.host, &session), request)?;
        Ok(session)
    }

    /// Asks, and does nothing. Who it is, and that all can end, is said of a session that stands, where people sign in.
    async fn asks_to_sign_out(
        &self,
        house: &House,
        request: &OwnRequest,
        session: Option<&BrowserSession>,
    ) -> Step {
        let Some(session) = session else {
            return Ok(self.said_out("Nobody is signed in with this browser.", None));
        };
        let stands = self.is_sign_in_host(&request.host)
            && self.living(house, request, &Want::home(self)?).await.is_ok_and(|living| living.is_some());
        let token = forms::token(self.sealer(), &bound_to(SIGN_OUT, &request.host, session), request.now)
            .map_err(|e| Stop::new(unsealed(&e)))?;
        let user = &session.user;
        let id = user.id.to_string();
        let title = self.providers.title(user.id.issuer()).unwrap_or(user.id.issuer().as_str());
        let local = format!("Sign out here, stay signed in at {title}");
        let mut buttons = vec![
            Button { words: "Sign out", likely: true, ..Button::default() },
            Button { words: &local, name: Some((HOW, LOCAL)), ..Button::default() },
        ];
        if stands {
            let words = "Sign out on all devices";
            buttons.push(Button { words, name: Some((HOW, EVERYWHERE)), ..Button::default() });
        }
        let card = Card::new("Sign out?");
        let card = match stands {
            true => card.stress(user.name.as_deref().or(user.email.as_deref()).unwrap_or(&id)),
            false => card,
        };
        let card = card
            .say("Your session ends at every app. What you have not saved there is lost.")
            .form(&FormOf { action: SIGN_OUT, hidden: &[(forms::TOKEN, token)], buttons: &buttons });
        let home = self.terms.origin.own(HOME);
        let card = card.ways_beside([("Your sessions", home.as_str())]);
        Ok(card.answer(self.terms.organization.as_deref(), StatusCode::OK))
    }

    /// The record of a session. It ends also where the store does not know it, or cannot be asked.
    async fn record_of(&self, session: &BrowserSession) -> SessionRecord {
        let known = self.sessions.get(&session.user.id, &session.id.to_string()).await.inspect_err(|e| {
            tracing::warn!(error = %e, "what is left of a session stays until its time is over");
        });
        known.ok().flatten().unwrap_or_else(|| unrecorded(session))
    }

    /// Where the person is signed out at the provider as well, where it has such a page.
    fn at_provider(&self, session: &BrowserSession, request: &OwnRequest) -> Result<Option<String>, Stop> {
        let state =
            forms::token(self.sealer(), SIGNED_OUT, request.now).map_err(|e| Stop::new(unsealed(&e)))?;
        let (back, who) = (self.terms.origin.own(SIGNED_OUT), session.user.email.as_deref());
        Ok(self.providers.sign_out_url(session.user.id.issuer(), &back, &state, who))
    }

    /// The page that says so; it leads on where there is somewhere to go.
    fn said_out(&self, said: &str, on: Option<String>) -> OwnAnswer {
        let card = Card::new("You are signed out").say(said);
        let card = match &on {
            Some(address) => card
                .say("You are sent on to be signed out there as well.")
                .ways([("Continue", address.as_str())])
                .leading_on(address),
            None => card.ways([("Sign in again", self.terms.origin.own(HOME).as_str())]),
        };
        card.answer(self.terms.organization.as_deref(), StatusCode::OK)
    }
}

fn how(request: &OwnRequest) -> Result<How, Stop> {
    match forms::field(&request.body, HOW).as_deref() {
        None | Some("") => Ok(How::Usual),
        Some(LOCAL) => Ok(How::Local),
        Some(EVERYWHERE) => Ok(How::Everywhere),
        Some(_) => Err(Stop::plain(RefusalCode::BadRequest, "the form says no way to sign out")),
    }
}

/// What the store does not know of a session; enough to end it.
fn unrecorded(session: &BrowserSession) -> SessionRecord {
    SessionRecord {
        id: session.id.to_string().into(),
        person: session.user.id.clone(),
        issuer_session: session.issuer_session.clone(),
        signed_in_at: session.signed_in_at,
        seen_at: session.seen_at,
        validated_at: session.validated_at,
        expires_at: session.expires_at,
        client: session.from.ip,
        agent: String::new(),
        device: session.device.id.clone(),
        apps: std::collections::BTreeSet::new(),
        refresh: None,
        version: 0,
    }
}
