//! The operator's side of the gateway: health, metrics, and the API under `/api/v1` (errors as in
//! RFC 9457). The policy administration point in the words of NIST SP 800-162.
//!
//! ```text
//!  operator ─► serve ─► guard ──────────────────────────────► /healthz /readyz /metrics
//!              bounded   host? token?                         /.well-known/jwks.json
//!                          │ 401, 421                         (no token)
//!                          ▼
//!                  /api/v1 ─┬─ revocations ─► Revocations::apply ─► audit ─► 201
//!                           ├─ inflight, status, policies
//!                           └─ anything else: 404, and only now
//! ```
//!
//! The cast: [`router`] answers, [`serve`] accepts connections and bounds them, [`Ports`] is
//! everything that the console knows of the rest of the gateway.
//!
//! Invariants:
//! * without the token nothing under `/api/v1` answers, not even whether a path exists;
//! * a revocation is in force before anything else is tried, and is acknowledged when both the
//!   store and the audit log have it; what grants access is in the audit log first;
//! * a caller who goes away stops nothing that has begun;
//! * connections that have not shown the token keep no operator out, and none lasts for ever;
//! * a body that could be read in two ways is refused, and all its mistakes are told at once;
//! * a page of another site cannot use a browser to reach the API: no CORS, hosts are checked.
//!
//! What it never does: decide a request, speak to a store or a file of its own, show a token.

mod guard;
mod health;
mod hosts;
mod inflight;
mod policies;
mod ports;
mod problem;
mod revocations;
mod serve;
mod status;
mod strict;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};

pub use hosts::Hosts;
pub use ports::{
    About, Aftermath, Condition, ConditionState, Future, Inflight, InflightFilter, Ports, ReloadPanicked,
    Running, Wait,
};
pub use serve::serve;
pub use token::Token;

/// What every handler shares.
pub(crate) struct Console {
    pub(crate) ports: Ports,
    pub(crate) refusals: guard::Refusals,
}

/// Everything that the operator's listener answers.
pub fn router(ports: Ports) -> Router {
    let console = Arc::new(Console { ports, refusals: guard::Refusals::default() });
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/.well-known/jwks.json", get(health::jwks))
        .route("/api/v1/revocations", get(revocations::list).post(revocations::create))
        .route("/api/v1/inflight", get(inflight::list))
        .route("/api/v1/status", get(status::show))
        .route("/api/v1/policies", get(policies::show))
        .route("/api/v1/policies/reload", post(policies::reload))
        .method_not_allowed_fallback(problem::method_not_allowed)
        .fallback(problem::not_found)
        .layer(middleware::from_fn_with_state(Arc::clone(&console), guard::guard))
        .with_state(console)
}
