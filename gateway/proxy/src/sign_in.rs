//! People sign in with a browser, once for all apps: the gateway's own pages and what goes on behind them.
//!
//! ```text
//!  app host                         sign-in host                            provider
//!  a page, no session
//!   │ begin: ticket, nonce cookie
//!   ├──302──▶ /.doorward/start ─┬─ a session is there, and proves enough ─┐
//!   │                           └─ attempt cookie ─────302──────────────┐ │
//!   │                                                                   ▼ │  signs in
//!   │         /.doorward/callback ◀──────302── code, state, iss ──────────┤
//!   │           redeem, judge, record; session cookie                     │
//!   │           one-time code in the store ◀──────────────────────────────┘
//!   ◀──302──────┘
//!  /.doorward/enter: code and nonce cookie, then the session cookie of this host
//!   └──303──▶ the page
//! ```
//!
//! Cast: [`SignIn`] is all of it; [`OwnRequest`] is a request for a page of ours, that `pipeline::accept` has looked
//! at, [`OwnAnswer`] what is answered; `start`, `callback`, `enter` are the three steps, `chooser` asks where
//! somebody signs in, `attempts` sends them there, `redeeming` takes what comes back to the provider, with no more of a `crowd` than it bears, `weak` keeps
//! browsers from going around, `making` makes the session, `story` is what the log is told, `persons` says whether they may be signed in; `yours` shows
//! people their sessions, `sign_out` is the way out, `ending` ends sessions, and `giving_back` gives their tokens back; `validate` asks providers whether sign-ins
//! stand; `pages` is the HTML.
//!
//! Invariants:
//! * A page of ours never goes to an app, and on the sign-in host there is nothing else.
//! * A browser is sent to two kinds of places only: to a provider, and to a host of ours, to what it asked for there.
//! * Nothing is kept for a stranger: what has to be remembered of somebody who has not signed in travels with them.
//! * Whoever comes back must be the browser that began, at the provider as at the app's host.
//! * Who signed in is judged as with a bearer token: directory, joining, revocations, what they proved.
//! * Nobody gets a session of which the log or the store does not know.
//! * A sign-in makes a session of a new name, and the one that this browser had before ends. Where the same person
//!   proves more for the session that they have, it goes on.

mod attempts;
mod callback;
mod chooser;
mod crowd;
mod ending;
mod enter;
mod forms;
mod giving_back;
mod making;
mod numbers;
mod pages;
mod passing;
mod persons;
mod redeeming;
mod sign_out;
mod start;
mod story;
pub(crate) mod validate;
mod weak;
mod yours;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorward_audit::trail::HttpVersion;
use doorward_identity::attempt::{Attempt, ENTER_COOKIE, Nonce, Ticket, giving_way};
use doorward_identity::cookies::{clear_cookie, set_cookie};
use doorward_identity::oidc::Providers;
use doorward_identity::seal::{Purpose, SealError, Sealer};
use doorward_identity::session::{Lifetimes, OpenedSessions};
use doorward_identity::target::OWN_PAGES;
use doorward_identity::{ClientCertificate, ReturnTarget};
use doorward_model::{AppId, Demand, IssuerId, Refusal, RefusalCode, UnixMillis, User};
use doorward_state::Sessions;
use doorward_state::sessions::ToEnd;
use http::{HeaderMap, Method, StatusCode, header};

use crate::config;
use crate::pipeline::House;
use crate::sightings::Sightings;

pub use ending::target_of;
pub use giving_back::GivingBack;
pub use numbers::SignInNumbers;
pub use pages::OwnAnswer;
pub use passing::Passing;
pub use redeeming::Redeeming;
pub use validate::Validation;
pub use yours::browser_of;

/// Where sign-ins begin.
const START: &str = "/.doorward/start";
/// Where the provider sends a browser back to: its own name follows.
const CALLBACK: &str = "/.doorward/callback";
/// Where a sign-in is tried once more.
const AGAIN: &str = "/.doorward/again";
/// What is said there by whoever is to prove more.
const PROVE: &str = "prove";
/// Where somebody says by which address they sign in.
const CHOOSE: &str = "/.doorward/choose";
/// Where the host of an app takes a session over.
const ENTER: &str = "/.doorward/enter";
/// Where somebody goes who wants to sign in at an app's host, and nothing else.
const SIGN_IN: &str = "/.doorward/sign-in";
/// The first of our pages.
const HOME: &str = "/.doorward/";
/// The same.
const SESSIONS: &str = "/.doorward/sessions";
/// Where somebody ends a session of theirs.
const END: &str = "/.doorward/end";
/// Where somebody signs out, at any host.
const SIGN_OUT: &str = "/.doorward/sign-out";
/// Where the provider sends a browser that was signed out there.
const SIGNED_OUT: &str = "/.doorward/signed-out";

/// Ends what is to end, everywhere: by a revocation where this process has the directory, else by asking those who have
/// it. An error is for the log.
pub type End = Box<dyn Fn(ToEnd) -> Ending + Send + Sync>;
/// Done when it is in force here, or when it was asked for.
pub type Ending = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// All that people sign in with. `server` fills it in.
pub struct SignIn {
    /// What the configuration says.
    pub terms: config::SignIn,
    /// Opens the cookies of sessions, and seals them and whatever else travels with browsers.
    pub opened: OpenedSessions,
    /// Where people prove who they are.
    pub providers: Arc<Providers>,
    /// The records of sessions.
    pub sessions: Sessions,
    /// Takes down when sessions were seen.
    pub sightings: Sightings,
    /// Ends a session.
    pub end: End,
    /// What providers said of sessions since.
    pub validation: Validation,
    /// Which answers were taken to a provider.
    pub redeeming: Redeeming,
    /// How many codes for hosts of apps each person was given lately.
    pub passing: Passing,
    /// Refresh tokens that go back to their providers.
    pub giving_back: GivingBack,
    /// The numbers.
    pub numbers: SignInNumbers,
    /// Whether the directory says what people are, so that a cookie need not.
    pub slim: bool,
}

/// A request for a page of ours. Its form was looked at: one host, one reading of the path, one body length, the
/// TLS name equal to the host, the bounds.
pub struct OwnRequest {
    /// As the log has it.
    pub request_id: Arc<str>,
    /// When it came.
    pub now: UnixMillis,
    /// The method: `GET`, `HEAD` or `POST`.
    pub method: Method,
    /// The version of HTTP.
    pub version: HttpVersion,
    /// The host, without port, in lower case.
    pub host: String,
    /// The path, in normal form.
    pub path: String,
    /// The query, without `?`.
    pub query: Option<String>,
    /// All of the header.
    pub headers: HeaderMap,
    /// The other end of the connection.
    pub peer: IpAddr,
    /// The client, behind the proxies that are trusted.
    pub client: IpAddr,
    /// Whether the client speaks TLS, to us or to a trusted proxy.
    pub https: bool,
    /// The certificate of the device, which stood when the request came.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// The refusal of a certificate that was shown and does not stand.
    pub unfit: Option<Box<Refusal>>,
    /// The connection asked for a certificate, so that a browser that has one could have shown it.
    pub asks_for_certificate: bool,
    /// The body, at most [`OWN_BODY_BYTES_MAX`](doorward_model::limits::OWN_BODY_BYTES_MAX); empty but for `POST`.
    pub body: Bytes,
}

/// A request for an app by whoever has to sign in first, or to prove more.
pub struct AppRequest<'a> {
    /// The host, without port, in lower case.
    pub host: &'a str,
    /// What was asked for there: the path in normal form, and the query with its `?`, if there was one.
    pub target: &'a str,
    /// The app.
    pub app: &'a AppId,
    /// The provider that the app names, if it names one.
    pub provider: Option<&'a IssuerId>,
    /// All of the header.
    pub headers: &'a HeaderMap,
}

/// An answer that sends a browser elsewhere.
#[derive(Debug)]
pub struct Redirect {
    /// Where to: the header `Location`.
    pub location: String,
    /// The lines `Set-Cookie` that go with it.
    pub cookies: Vec<String>,
}

/// Which of our pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    /// On the sign-in host: the first page, also at `/`.
    Home,
    Start,
    Choose,
    Callback,
    Again,
    End,
    SignedOut,
    /// On the hosts of apps.
    Enter,
    SignIn,
    /// The first page, which is on the sign-in host.
    Elsewhere,
    /// On every host.
    SignOut,
}

/// A sign-in that does not go on: why, and what the page says beside it.
struct Stop {
    refusal: Box<Refusal>,
    /// Who somebody proved to be, as they know themselves.
    account: Option<String>,
    /// Where it can be tried once more: words and address.
    ways: Vec<(&'static str, String)>,
    cookies: Vec<String>,
}

type Step = Result<OwnAnswer, Stop>;

// === impl SignIn ===

impl SignIn {
    /// How long sessions last.
    const fn lifetimes(&self) -> &Lifetimes {
        self.opened.lifetimes()
    }

    const fn sealer(&self) -> &Sealer {
        self.opened.sealer()
    }

    /// The host where people sign in.
    fn host(&self) -> &str {
        self.terms.origin.host()
    }

    /// Whether it is the host where people sign in.
    #[must_use]
    pub fn is_sign_in_host(&self, host: &str) -> bool {
        self.host() == host
    }

    /// Whether a page is ours: everything at the host where people sign in, and on the hosts of apps whatever lies
    /// under `/.doorward`, also where there is nothing. `path` is in normal form.
    #[must_use]
    pub fn is_own(&self, host: &str, path: &str) -> bool {
        let under = || {
            let (start, rest) = path.split_at_checked(OWN_PAGES.len())?;
            Some(start.eq_ignore_ascii_case(OWN_PAGES) && (rest.is_empty() || rest.starts_with('/')))
        };
        self.is_sign_in_host(host) || under() == Some(true)
    }

    /// The address of the page of an app's host at which a person signs in, and proves what is demanded.
    #[must_use]
    pub fn sign_in_url(&self, host: &str, demand: Demand) -> String {
        let mut path = format!("{SIGN_IN}?strength={}", demand.strength.as_str());
        if let Some(age) = demand.max_age {
            path.push_str(&format!("&max_age={}", age.as_secs()));
        }
        self.terms.origin.at(host, &path)
    }

    /// Sends a browser to sign in, or to prove what is demanded, and back to what it asked for.
    ///
    /// # Errors
    /// When the cookies of the request cannot be read in one way, or nothing can be sealed.
    pub fn begin(&self, at: &AppRequest<'_>, demand: Demand, now: UnixMillis) -> Result<Redirect, Refusal> {
        let top = |e| Refusal::new(RefusalCode::BadRequest, format!("{e}"));
        let back = ReturnTarget::or_top(at.host, at.target).map_err(top)?;
        let nonce = Nonce::random(self.sealer()).map_err(|e| unsealed(&e))?;
        let ticket = Ticket {
            back,
            app: at.app.clone(),
            demand,
            provider: at.provider.cloned(),
            nonce: nonce.hash(),
            made_at: now,
        };
        let sealed = ticket.seal(self.sealer(), self.host()).map_err(|e| unsealed(&e))?;
        let lines = at.headers.get_all(header::COOKIE).iter().map(|line| line.as_bytes());
        let mut cookies: Vec<String> =
            giving_way(lines, ENTER_COOKIE)?.iter().map(|name| clear_cookie(name)).collect();
        let name = format!("{ENTER_COOKIE}{}", nonce.hash().mark());
        cookies.push(set_cookie(&name, nonce.expose(), Some(Attempt::LIFE)));
        Ok(Redirect { location: self.terms.origin.own(&format!("{START}?ticket={sealed}")), cookies })
    }

    /// Answers a request for a page of ours.
    pub async fn serve(&self, house: &House, request: &OwnRequest) -> OwnAnswer {
        let began = (house.ticks)();
        let page = self.page(&request.host, &request.path);
        let step = match page {
            _ if !request.https => {
                Err(Stop::plain(RefusalCode::Misdirected, "a page of ours was asked for without TLS"))
            }
            Some(page) => match &request.unfit {
                // Whoever is here may always leave.
                Some(unfit) if !matches!(page, Page::SignOut | Page::SignedOut) => {
                    Err(Stop::new((**unfit).clone()))
                }
                Some(_) | None => self.turn_to(page, house, request).await,
            },
            None => Err(Stop::plain(RefusalCode::NoRoute, "the gateway has no such page")),
        };
        let answer = step.unwrap_or_else(|stop| {
            tracing::debug!(request_id = %request.request_id, refusal = %stop.refusal, "a page was refused");
            pages::refused(self, request, &stop)
        });
        if page == Some(Page::Callback) {
            self.numbers.took((house.ticks)().saturating_sub(began));
        }
        answer
    }

    fn page(&self, host: &str, path: &str) -> Option<Page> {
        match (self.is_sign_in_host(host), path) {
            (true, "/" | OWN_PAGES | HOME | SESSIONS) => Some(Page::Home),
            (true, START) => Some(Page::Start),
            (true, CHOOSE) => Some(Page::Choose),
            (true, path) if self.is_callback(path) => Some(Page::Callback),
            (true, AGAIN) => Some(Page::Again),
            (true, END) => Some(Page::End),
            (true, SIGNED_OUT) => Some(Page::SignedOut),
            (false, ENTER) => Some(Page::Enter),
            (false, SIGN_IN) => Some(Page::SignIn),
            (false, OWN_PAGES | HOME | SESSIONS) => Some(Page::Elsewhere),
            (true | false, SIGN_OUT) => Some(Page::SignOut),
            (true | false, _) => None,
        }
    }

    async fn turn_to(&self, page: Page, house: &House, request: &OwnRequest) -> Step {
        let fits = match page {
            Page::Home | Page::Start | Page::Again | Page::SignIn | Page::SignedOut | Page::Elsewhere => {
                matches!(request.method, Method::GET | Method::HEAD)
            }
            // What is good once is not spent on somebody who only looks.
            Page::Callback | Page::Enter => request.method == Method::GET,
            Page::Choose | Page::End => request.method == Method::POST,
            Page::SignOut => true,
        };
        if !fits {
            return Err(Stop::plain(RefusalCode::MethodNotAllowed, "our page is not asked for in this way"));
        }
        match page {
            Page::Home => self.yours(house, request).await,
            Page::Start => self.start(house, request).await,
            Page::Choose => self.chosen(house, request).await,
            Page::Callback => self.callback(house, request).await,
            Page::Again => self.again(house, request).await,
            Page::Enter => self.enter(house, request).await,
            Page::SignIn => self.sign_in_here(house, request),
            Page::End => self.ends(house, request).await,
            Page::SignOut => self.sign_out(house, request).await,
            Page::SignedOut => self.signed_out(house, request).await,
            Page::Elsewhere => {
                let home = self.terms.origin.own(HOME);
                Ok(OwnAnswer::redirect(StatusCode::SEE_OTHER, &home, Vec::new()))
            }
        }
    }

    /// Sends a browser to sign in that wants nothing but that, at the host of an app.
    fn sign_in_here(&self, house: &House, request: &OwnRequest) -> Step {
        let app = house
            .routes
            .first_app(&request.host)
            .ok_or_else(|| Stop::plain(RefusalCode::NoRoute, "no app has this host"))?;
        let demand = demand_of(request.query.as_deref().unwrap_or_default());
        let at = AppRequest {
            host: &request.host,
            target: &app.app.path_prefix,
            app: &app.app.id,
            provider: app.app.provider.as_ref(),
            headers: &request.headers,
        };
        let redirect = self.begin(&at, demand, request.now)?;
        Ok(OwnAnswer::redirect(StatusCode::FOUND, &redirect.location, redirect.cookies))
    }
}

// === impl OwnRequest ===

impl OwnRequest {
    /// The lines `Cookie`.
    fn cookie_lines(&self) -> impl Iterator<Item = &[u8]> {
        self.headers.get_all(header::COOKIE).iter().map(|line| line.as_bytes())
    }

    /// The one value of a parameter of the query, as it stands: what we put there needs no escapes.
    fn parameter(&self, name: &str) -> Option<&str> {
        let pairs = self.query.as_deref().unwrap_or_default().split('&');
        let mut values = pairs.filter_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        values.next().filter(|value| !value.is_empty() && values.next().is_none())
    }
}

// === impl Stop ===

impl Stop {
    fn new(refusal: Refusal) -> Self {
        Self { refusal: Box::new(refusal), account: None, ways: Vec::new(), cookies: Vec::new() }
    }

    fn plain(code: RefusalCode, detail: impl Into<String>) -> Self {
        Self::new(Refusal::new(code, detail))
    }

    /// Says who somebody proved to be.
    fn of(self, user: &User) -> Self {
        let known_as = user.email.clone().or_else(|| user.name.clone());
        Self { account: Some(known_as.unwrap_or_else(|| user.id.to_string())), ..self }
    }

    /// Where the person can go from here, if nothing was said of that yet.
    fn or_ways(self, ways: impl FnOnce() -> Vec<(&'static str, String)>) -> Self {
        if self.ways.is_empty() { Self { ways: ways(), ..self } } else { self }
    }

    /// Adds a cookie that goes with the answer all the same.
    fn with_cookie(mut self, line: String) -> Self {
        self.cookies.push(line);
        self
    }

    /// Adds where the person can go from here.
    fn way(mut self, words: &'static str, address: String) -> Self {
        self.ways.push((words, address));
        self
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal)
    }
}

/// Nothing could be sealed. What is too long of a session is what its provider says of the person.
fn unsealed(error: &SealError) -> Refusal {
    let code = match error {
        SealError::TooLong { purpose: Purpose::Session, .. } => RefusalCode::SessionTooLarge,
        SealError::TooLong { .. } | SealError::NoKey | SealError::NoRandomness => RefusalCode::Internal,
    };
    Refusal::new(code, error.to_string())
}

/// What an address of ours demands. What cannot be read demands nothing: it is a link, and decides nothing.
fn demand_of(query: &str) -> Demand {
    let mut demand = Demand::default();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("strength", word)) => {
                demand.strength = doorward_model::Strength::parse(word).unwrap_or_default();
            }
            Some(("max_age", seconds)) => demand.max_age = seconds.parse().ok().map(Duration::from_secs),
            Some(_) | None => {}
        }
    }
    demand
}

#[cfg(test)]
mod tests;
