//! Who came, as far as it decides what the gateway itself answers.
//!
//! ```text
//!  refused ─┬─ a page is opened, and a sign-in would help ──► away to sign in, and back again
//!           ├─ a form is sent, and a sign-in would help ────► a page: nothing was saved, sign in beside it
//!           ├─ a script asks ───────────────────────────────► 401, and where a person signs in
//!           ├─ a token is not good enough ──────────────────► 401, and what is demanded (RFC 9470)
//!           └─ nothing of that would help ──────────────────► a plain no
//! ```
//! Nobody is sent away who would come back to the same no: whoever cannot sign in at all, or has proved what is
//! asked for. What was refused stays refused, whatever it is answered with.

use std::sync::Arc;

use doorward_identity::Verified;
use doorward_model::{Demand, Refusal, RefusalCode, UnixMillis};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::answer::WayOut;
use crate::pipeline::House;
use crate::pipeline::accept::page::Intent;
use crate::pipeline::accept::{Accepted, Held, host_of};
use crate::pipeline::identify::Identified;
use crate::pipeline::renew::renew;
use crate::routes::ServedApp;
use crate::sign_in::{AppRequest, Redirect, SignIn};

/// Who came, as far as it is known.
#[derive(Default)]
pub(crate) struct Caller {
    came: Option<Came>,
    /// What they presented, if it was good.
    verified: Option<Arc<Verified>>,
    /// It was not cut off.
    stands: bool,
}

/// How a request came to an app.
struct Came {
    app: Arc<ServedApp>,
    at: UnixMillis,
    https: bool,
    by: By,
    /// The cookie of a session, as it came.
    cookie: Option<Arc<str>>,
}

/// What a request presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// A header, which somebody wrote.
    Header,
    /// Nothing, or what a browser sends along.
    Browser,
}

/// What becomes of a refusal.
#[derive(Debug)]
pub(crate) enum Turn {
    /// The browser is sent to sign in.
    Away(Redirect),
    /// It is answered here.
    Here(WayOut),
}

impl Caller {
    /// A request came to an app.
    pub(crate) fn came(&mut self, accepted: &Accepted) {
        let (by, cookie) = match accepted.credential() {
            Held::Bearer(_) | Held::Service(_) => (By::Header, None),
            Held::Session(cookie) => (By::Browser, Some(Arc::clone(cookie))),
            Held::Nothing => (By::Browser, None),
        };
        let app = Arc::clone(&accepted.resolved().app);
        self.came = Some(Came { app, at: accepted.now(), https: accepted.https(), by, cookie });
    }

    /// It was found out who asks.
    pub(crate) fn is_known(&mut self, identified: &Identified) {
        self.verified = identified.verified().cloned();
    }

    /// Nothing that they presented was cut off.
    pub(crate) const fn stands(&mut self) {
        self.stands = true;
    }

    /// What becomes of a refusal.
    pub(crate) fn turn(
        &self,
        house: &House,
        request: &RequestHeader,
        refusal: &Refusal,
        now: UnixMillis,
    ) -> Turn {
        let organization = house.sign_in.as_ref().and_then(|sign_in| sign_in.terms.organization.clone());
        let none = WayOut { organization, ..WayOut::default() };
        let Some(came) = &self.came else { return Turn::Here(none) };
        let acr_values = match (came.by, &self.verified, refusal.demand) {
            (By::Header, Some(verified), Some(demand)) => {
                house.verifier.acr_values(verified.issuer(), demand.strength)
            }
            (By::Header | By::Browser, _, _) => Vec::new(),
        };
        let (Some(sign_in), By::Browser) = (&house.sign_in, came.by) else {
            return Turn::Here(WayOut { acr_values, ..none });
        };
        let enroll = refusal.advice.iter().any(|advice| advice == "enroll-device");
        let enroll = sign_in.terms.enroll_url.clone().filter(|_| enroll);
        let host = host_of(request);
        let Some(demand) = self.demanded(refusal) else {
            // Somebody else may sit here now.
            let another = matches!(refusal.code, RefusalCode::Disabled | RefusalCode::UnknownPrincipal);
            let sign_in = host.filter(|_| another).map(|host| sign_in.sign_in_url(&host, Demand::default()));
            return Turn::Here(WayOut { sign_in, enroll, another, ..none });
        };
        let intent = Intent::of(request);
        if intent == Intent::Opens
            && came.https
            && let Some(host) = &host
            && let Some(redirect) = away(sign_in, came, request, host, (demand, now))
        {
            return Turn::Away(redirect);
        }
        let sign_in = host.map(|host| sign_in.sign_in_url(&host, demand));
        Turn::Here(WayOut { sign_in, enroll, form_lost: intent == Intent::Sends, acr_values, ..none })
    }

    /// The sign-in that would help, if one would.
    fn demanded(&self, refusal: &Refusal) -> Option<Demand> {
        let code = refusal.code;
        let is_over = matches!(
            code,
            RefusalCode::Unauthenticated
                | RefusalCode::InvalidCredential
                | RefusalCode::ExpiredCredential
                | RefusalCode::Revoked
        );
        // A visitor is somebody else once they have signed in.
        let may_be_another = matches!(code, RefusalCode::PolicyForbids | RefusalCode::NoPermit);
        if code == RefusalCode::StepUp {
            refusal.demand
        } else if is_over || (may_be_another && self.verified.is_none()) {
            Some(refusal.demand.unwrap_or_default())
        } else {
            None
        }
    }

    /// Renews the cookie of a session that stands, if it is time. The answer says what we say, or what the app says.
    pub(crate) fn renew(
        &self,
        house: &House,
        host: &str,
        response: &mut ResponseHeader,
    ) -> pingora::Result<()> {
        let (Some(sign_in), Some(came), Some(verified)) = (&house.sign_in, &self.came, &self.verified) else {
            return Ok(());
        };
        let Some(session) = verified.browser().filter(|_| self.stands) else { return Ok(()) };
        let now = (house.clock)();
        let known = (session, came.cookie.as_deref());
        if renew(sign_in, known, host, (came.at, now), response)? {
            house.metrics.cookie_renewed(sign_in.sightings.saw(session, &came.app.app.id, now));
        }
        Ok(())
    }
}

/// Sends a browser to sign in. None where that cannot be: it is told so instead.
fn away(
    sign_in: &SignIn,
    came: &Came,
    request: &RequestHeader,
    host: &str,
    (demand, now): (Demand, UnixMillis),
) -> Option<Redirect> {
    let app = &came.app.app;
    let at = AppRequest {
        host,
        target: request.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str),
        app: &app.id,
        provider: app.provider.as_ref(),
        headers: &request.headers,
    };
    let begun = sign_in.begin(&at, demand, now);
    begun.inspect_err(|refusal| tracing::debug!(%refusal, "nobody could be sent to sign in")).ok()
}
