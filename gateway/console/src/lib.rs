//! The operator's side of the gateway: health, metrics, and the API under `/api/v1` (errors as in
//! RFC 9457). The policy administration point in the words of NIST SP 800-162.
//!
//! ```text
//!  operator ─► serve ─► guard ──────────────────────────────► /healthz /readyz /metrics
//!              bounded   host? token?                         /.well-known/jwks.json
//!                          │ 401, 421                         (no token)
//!                          ▼
//!                  /api/v1 ─┬─ revocations ─► Revocations::apply ─► audit ─► 201
//!                           ├─ people, groups, machines ─► Lifecycle: table, records, log ─► 200
//!                           ├─ connections: who may provision people
//!                           ├─ streams: who tells of them, and whether they still do
//!                           ├─ sessions: where somebody is signed in with a browser
//!                           ├─ inflight, status, policies, fleet, debts
//!                           └─ anything else: 404, and only now
//! ```
//!
//! People are changed through the [service of the lifecycle](doorward_lifecycle::service) alone; on a
//! node without a directory these calls say so.
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

mod access;
mod cases;
mod connections;
mod debts;
mod devices;
mod directory;
mod explain;
mod fleet;
mod groups;
mod guard;
mod health;
mod hosts;
mod inflight;
mod machines;
mod openapi;
mod people;
mod policies;
mod ports;
mod problem;
mod receipts;
mod releases;
mod revocations;
mod serve;
mod sessions;
mod shadow;
mod status;
mod streams;
mod strict;
mod token;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{delete, get, post, put};

use machines::{Agents, ServiceAccounts, act, list, register, show};

pub use hosts::Hosts;
pub use ports::{
    About, AccessAbout, AccessAsk, AccessFault, Aftermath, BrowserSession, BrowserSessions, Condition,
    ConditionState, Future, Inflight, InflightFilter, Ports, ReleaseCall, ReleaseRefused, ReleaseWhy,
    ReloadPanicked, Running, ShadowCall, TimeSaid, Wait, Whom,
};
pub use serve::{Bounds, Guest, Service, serve};
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
        .route("/api/v1/sessions", get(sessions::list))
        .route("/api/v1/sessions/end", post(sessions::end))
        .route("/api/v1/fleet", get(fleet::show))
        .route("/api/v1/debts", get(debts::list))
        .route("/api/v1/debts/{id}/settle", post(debts::settle))
        .route("/api/v1/users", get(people::list).post(people::invite))
        .route("/api/v1/users/{id}", get(people::show).patch(people::patch))
        .route("/api/v1/users/{id}/{action}", post(people::act))
        .route("/api/v1/users/{id}/{kind}/{what}", put(people::give).delete(people::take))
        .route("/api/v1/groups", get(groups::list).post(groups::create))
        .route("/api/v1/groups/{id}", get(groups::show).patch(groups::rename).delete(groups::delete))
        .route("/api/v1/groups/{id}/members", post(groups::change_members))
        .route("/api/v1/service-accounts", get(list::<ServiceAccounts>).post(register::<ServiceAccounts>))
        .route("/api/v1/service-accounts/{id}", get(show::<ServiceAccounts>))
        .route("/api/v1/service-accounts/{id}/{action}", post(act::<ServiceAccounts>))
        .route("/api/v1/service-accounts/{id}/tokens", post(tokens::add))
        .route("/api/v1/service-accounts/{id}/tokens/{token}", delete(tokens::revoke))
        .route("/api/v1/service-accounts/{id}/tokens/{token}/rotate", post(tokens::rotate))
        .route("/api/v1/agents", get(list::<Agents>).post(register::<Agents>))
        .route("/api/v1/agents/{id}", get(show::<Agents>))
        .route("/api/v1/agents/{id}/{action}", post(act::<Agents>))
        .route("/api/v1/devices", get(devices::list).post(devices::add))
        .route("/api/v1/devices/{id}", get(devices::show))
        .route("/api/v1/devices/{id}/{action}", post(devices::act))
        .route("/api/v1/offboarding", get(cases::list))
        .route("/api/v1/offboarding/{person}", get(cases::show))
        .route("/api/v1/offboarding/{person}/say", post(cases::say))
        .route("/api/v1/offboarding/{person}/close", post(cases::close))
        .route("/api/v1/receipts", get(receipts::list))
        .route("/api/v1/receipts/{id}", get(receipts::show))
        .route("/api/v1/receipt-keys", get(receipts::keys))
        .route("/api/v1/connections", get(connections::list).post(connections::add))
        .route("/api/v1/connections/{name}", delete(connections::remove).patch(connections::change))
        .route("/api/v1/connections/{name}/rotate", post(connections::rotate))
        .route("/api/v1/connections/{name}/tokens/{token}", delete(connections::revoke_token))
        .route("/api/v1/connections/{name}/release/{halt}", post(connections::release))
        .route("/api/v1/openapi.json", get(openapi::show))
        .route("/api/v1/streams", get(streams::list))
        .route("/api/v1/streams/{name}/verify", post(streams::verify))
        .route("/api/v1/status", get(status::show))
        .route("/api/v1/access/who-can", get(access::who_can))
        .route("/api/v1/access/what-can", get(access::what_can))
        .route("/api/v1/policies", get(policies::show))
        .route("/api/v1/policies/explain", post(explain::explain))
        .route("/api/v1/policies/reload", post(policies::reload))
        .route("/api/v1/policies/bundles", get(releases::list).post(releases::hold))
        .route("/api/v1/policies/bundles/{revision}", delete(releases::forget))
        .route("/api/v1/policies/back", post(releases::back))
        .route("/api/v1/policies/publish", post(releases::publish))
        .route("/api/v1/policies/rollout", get(releases::rollout).post(releases::roll_out))
        .route("/api/v1/policies/rollout/finish", post(releases::finish))
        .route("/api/v1/policies/rollout/stop", post(releases::stop))
        .route("/api/v1/policies/shadow", get(shadow::show).post(shadow::start).delete(shadow::stop))
        .route("/api/v1/policies/shadow/promote", post(shadow::promote))
        .method_not_allowed_fallback(problem::method_not_allowed)
        .fallback(problem::not_found)
        .layer(middleware::from_fn_with_state(Arc::clone(&console), guard::guard))
        .with_state(console)
}
