//! What the console knows of the rest of the gateway. `server` fills this in.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use doorward_audit::{Actor, Audit, Protocol};
use doorward_lifecycle::intake::connection::TOKEN_RANDOM_BYTES;
use doorward_lifecycle::intake::signals::Signals;
use doorward_lifecycle::service::{Ids, Lifecycle};
use doorward_model::directory::{MachineId, PersonId};
use doorward_model::time::Clock;
use doorward_model::{AppId, DeviceId, IssuerId, RouteId, SessionId, Target, UnixMillis, UserId};
use doorward_policy::shadow::Sample;
use doorward_policy::{Action, LoadFailure, Outcome, Policies};
use doorward_state::{DebtTerms, Revocations};
use serde_json::Value;

use crate::hosts::Hosts;
use crate::token::Token;

/// Something that is answered later.
pub type Future<T> = Pin<Box<dyn std::future::Future<Output = T> + Send>>;

/// A question to the rest of the gateway that is answered later.
pub type Wait<A, T> = Arc<dyn Fn(A) -> Future<T> + Send + Sync>;

/// The rest of the gateway, as the console sees it.
pub struct Ports {
    /// This node.
    pub about: About,
    /// What time it is.
    pub clock: Clock,
    /// The names under which the console may be called.
    pub hosts: Hosts,
    /// The token of now. Asked for each call, so that it can be exchanged while the gateway
    /// runs; without one nobody gets in.
    pub token: Wait<(), Option<Token>>,
    /// Who was cut off.
    pub revocations: Revocations,
    /// Who answers for what is not confirmed in time.
    pub debts: DebtTerms,
    /// What changes people, groups and machines. None on a node without a directory.
    pub lifecycle: Option<Lifecycle>,
    /// What takes signals. None where nobody may send any.
    pub streams: Option<Arc<Signals>>,
    /// Makes ids for them.
    pub ids: Ids,
    /// Random bytes for the tokens of connections. None when the system has none.
    pub random: Arc<dyn Fn() -> Option<[u8; TOKEN_RANDOM_BYTES]> + Send + Sync>,
    /// The audit log.
    pub audit: Audit,
    /// The policies in force.
    pub policies: Arc<Policies>,
    /// Loads the policies anew, off the runtime, and records the swap or the rejection in the
    /// audit log under this actor, as for a file that changed.
    pub reload: Wait<Actor, Result<Outcome, ReloadPanicked>>,
    /// Does what is asked of the bundles that this node holds, and puts it on record under this actor.
    pub releases: Wait<(ReleaseCall, Actor), Result<serde_json::Value, ReleaseRefused>>,
    /// Answers a review of access by the directory and the policies that would decide, off the runtime.
    pub access: Wait<AccessAsk, Result<Value, AccessFault>>,
    /// What runs now.
    pub inflight: Arc<dyn Fn(&InflightFilter) -> Inflight + Send + Sync>,
    /// The records of browser sessions. None where nobody signs in with a browser.
    pub sessions: Option<BrowserSessions>,
    /// Waits a moment, a second at most, until what a revocation ended is over.
    pub aftermath: Wait<Target, Aftermath>,
    /// What must hold before clients are sent here, besides what the console sees for itself:
    /// keys of issuers, GeoIP, draining.
    pub conditions: Arc<dyn Fn() -> Vec<Condition> + Send + Sync>,
    /// The metrics, as OpenMetrics 1.0 text.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The keys that sign assertions for upstreams, as a JWK set (RFC 7517 §5).
    pub jwks: Arc<dyn Fn() -> String + Send + Sync>,
}

/// What a review of access asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessAsk {
    /// Whom, and what for.
    pub about: AccessAbout,
    /// Those that come after this one: what `next` of the page before said.
    pub after: Option<String>,
    /// How many are looked at, at most.
    pub limit: usize,
}

/// Whom a review of access is about, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessAbout {
    /// Everybody, at one route.
    Who {
        /// What is to be done.
        action: Action,
        /// The route by its name, by a path of its app, or by an address.
        route: String,
    },
    /// One person, at every route.
    Person(PersonId),
    /// One machine, at every route.
    Machine(MachineId),
    /// Whoever has not signed in, at every route.
    Visitor,
    /// A situation as it would be here ([`doorward_policy::record`]), to be explained: with somebody of the directory,
    /// with what the configuration says of the route. The answer has the `situation`, or why they are `refused` without
    /// asking any policy.
    Placed {
        /// The situation, in which the route counts by its name alone.
        situation: String,
        /// Who asks in it.
        whom: Whom,
        /// What of its time holds. The rest is as it is here.
        said: TimeSaid,
    },
}

/// What of the time in a situation somebody said: the moment, the time of day, the day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeSaid {
    /// Without it, it is now.
    pub now: bool,
    /// Without it, what the gateway's time zone has at that moment.
    pub local: bool,
    /// The same of the day.
    pub weekday: bool,
}

/// Who asks in a situation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Whoever asks in it already.
    AsItIs,
    /// A person of the directory.
    Person(PersonId),
    /// A machine of the directory.
    Machine(MachineId),
}

/// Why a review of access has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessFault {
    /// Nobody is looked up in a directory on this node.
    NoDirectory,
    /// There is no such route.
    NoRoute,
    /// There is nobody of this id.
    NoOne,
    /// They come by this issuer alone, whose people are as their tokens say.
    AsTokenSays(IssuerId),
    /// `after` is not what a page ended with.
    After,
    /// It cannot be told; why.
    Failed(String),
}

/// The load of the policies ended in the middle, by a panic that is in the gateway's own log. The
/// policies before are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReloadPanicked;

/// What is asked of the bundles of policies that this node holds.
#[derive(Clone, Debug)]
pub enum ReleaseCall {
    /// Which of folder and bundles speaks, and since when.
    Standing,
    /// The same, and which are held, and which were in force.
    List,
    /// A file to be held.
    Hold(Bytes),
    /// One to be forgotten, by its revision.
    Forget(String),
    /// What was in force before, to be in force again.
    Back {
        /// Which; without it the last one.
        revision: Option<String>,
        /// Why.
        why: ReleaseWhy,
    },
    /// The roll-out that is under way.
    Rollout,
    /// A share to be asked of a bundle.
    RollOut {
        /// Which.
        revision: String,
        /// How many people, in hundredths of a percent.
        hundredths: u16,
        /// At which apps; none: at all.
        apps: Option<BTreeSet<AppId>>,
        /// Why.
        why: ReleaseWhy,
    },
    /// One to be published for every node of the fleet.
    Publish {
        /// Which.
        revision: String,
        /// Why.
        why: ReleaseWhy,
    },
    /// What is rolled out, to be in force for everybody.
    Finish(ReleaseWhy),
    /// The roll-out, to end.
    Stop(ReleaseWhy),
    /// Something about policies that are asked beside those in force.
    Shadow(ShadowCall),
}

/// What is asked of policies beside those in force.
#[derive(Clone, Debug)]
pub enum ShadowCall {
    /// What they would have changed.
    Show,
    /// A bundle that is held, to be asked beside them.
    Start {
        /// Which.
        revision: String,
        /// About which share of the requests.
        sample: Sample,
    },
    /// What is asked beside them, to be in force.
    Promote(ReleaseWhy),
    /// What is asked beside them, to be asked no more.
    Stop(ReleaseWhy),
}

/// Why a change of policies is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReleaseWhy {
    /// In the operator's words.
    pub cause: Option<String>,
    /// It is wanted though something stands against it.
    pub anyway: bool,
    /// About which revision the operator says so, where a call does not name one by itself: it is done about no
    /// other one that may run by now.
    pub about: Option<String>,
}

/// Why nothing was done about a bundle.
#[derive(Debug)]
pub enum ReleaseRefused {
    /// None of this revision is held.
    Unknown(String),
    /// It is no bundle, or nobody known signed it.
    Bundle {
        /// What is wrong.
        detail: String,
        /// What to do about it.
        help: String,
    },
    /// Its policies have mistakes.
    Unfit(LoadFailure),
    /// What stands against it.
    NotProved(Vec<String>),
    /// Things are not as the caller thinks.
    Conflict(String),
    /// The system does not let it be done.
    Failed(String),
}

/// This node.
#[derive(Clone, Debug)]
pub struct About {
    /// Its name.
    pub node: String,
    /// The version of the gateway.
    pub version: String,
    /// When it was started.
    pub started_at: UnixMillis,
    /// The short names of the issuers.
    pub issuers: Vec<String>,
}

/// Which running exchanges are asked for. What is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InflightFilter {
    /// Those that this user answers for.
    pub user: Option<UserId>,
    /// Those at this app.
    pub app: Option<AppId>,
    /// At most so many.
    pub limit: usize,
}

/// What runs now.
#[derive(Clone, Debug, Default)]
pub struct Inflight {
    /// In the order in which they began.
    pub exchanges: Vec<Running>,
    /// How many match in all.
    pub total: usize,
}

/// One running exchange.
#[derive(Clone, Debug)]
pub struct Running {
    /// Who acts; none for a visitor.
    pub user: Option<UserId>,
    /// The session of the sign-in, where its token names one.
    pub session: Option<SessionId>,
    /// Where it goes.
    pub route: RouteId,
    /// How it speaks.
    pub protocol: Protocol,
    /// When it began.
    pub started_at: UnixMillis,
    /// Where the client is.
    pub client: IpAddr,
    /// The path, without the query.
    pub path: String,
    /// The id of the request.
    pub request_id: Arc<str>,
}

/// The records of browser sessions.
pub struct BrowserSessions {
    /// Those of somebody, the last used first. The error is why they are not known.
    pub of: Wait<UserId, Result<Vec<BrowserSession>, String>>,
    /// One of somebody's has ended: what is left of it can go.
    pub ended: Arc<dyn Fn(&UserId) + Send + Sync>,
}

/// A session of a browser, by its record.
#[derive(Clone, Debug)]
pub struct BrowserSession {
    /// Its name. No secret: nobody gets in with it.
    pub id: Arc<str>,
    /// What ends it.
    pub target: Target,
    /// Nothing that is known has ended it.
    pub stands: bool,
    /// When it began.
    pub signed_in_at: UnixMillis,
    /// When it was last used, to about a minute.
    pub seen_at: UnixMillis,
    /// When the provider last said that it stands.
    pub confirmed_at: UnixMillis,
    /// When it ends, whatever happens.
    pub expires_at: UnixMillis,
    /// From where the person signed in.
    pub client: IpAddr,
    /// The country of that address, where one is known: two letters.
    pub country: Option<String>,
    /// What the browser calls itself, in words.
    pub browser: String,
    /// The device, when it proved which it is.
    pub device: Option<DeviceId>,
    /// The session at the provider, where it told one.
    pub provider_session: Option<SessionId>,
    /// A refresh token is kept for it.
    pub refresh_token: bool,
    /// The apps that were used.
    pub apps: Vec<AppId>,
    /// How many exchanges of it run on this node.
    pub running: usize,
}

/// What became of the exchanges that a revocation ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aftermath {
    /// How many still say goodbye.
    pub remaining: u64,
    /// When the last one was over, if all are.
    pub ended_at: Option<UnixMillis>,
    /// From the change to the end of the last one, in microseconds, if all are over.
    pub took_micros: Option<u64>,
}

/// Something that must hold before clients are sent here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// A stable word, such as `issuer_keys`.
    pub name: &'static str,
    /// Whether it holds.
    pub state: ConditionState,
    /// What there is to know, for the operator. Shown without a token: no secret, no person.
    pub detail: String,
}

/// Whether a [`Condition`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionState {
    /// It does.
    Holds,
    /// It does, but somebody should look at it.
    Degraded,
    /// It does not: send clients elsewhere.
    Missing,
}

impl ConditionState {
    /// The word for it in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Degraded => "degraded",
            Self::Missing => "missing",
        }
    }
}

// === impl TimeSaid ===

impl TimeSaid {
    /// Everything.
    pub const ALL: Self = Self { now: true, local: true, weekday: true };
    /// What there is to say, as it is called.
    pub const WORDS: [&'static str; 3] = ["now", "local", "weekday"];
}
