//! What the console knows of the rest of the gateway. `server` fills this in.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use doorward_audit::{Actor, Audit, Protocol};
use doorward_model::time::Clock;
use doorward_model::{AppId, RouteId, Target, UnixMillis, UserId};
use doorward_policy::{Outcome, Policies};
use doorward_state::Revocations;

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
    /// The audit log.
    pub audit: Audit,
    /// The policies in force.
    pub policies: Arc<Policies>,
    /// Loads the policies anew, off the runtime, and records the swap or the rejection in the
    /// audit log under this actor, as for a file that changed.
    pub reload: Wait<Actor, Result<Outcome, ReloadPanicked>>,
    /// What runs now.
    pub inflight: Arc<dyn Fn(&InflightFilter) -> Inflight + Send + Sync>,
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

/// The load of the policies ended in the middle, by a panic that is in the gateway's own log. The
/// policies before are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReloadPanicked;

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
