//! What machines ask: is it up, may clients come, how does it do, which keys sign.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use doorward_audit::AuditState;
use doorward_state::{FleetHealth, StoreHealth};
use serde_json::{Value, json};

use crate::Console;
use crate::fleet;
use crate::ports::{Condition, ConditionState};

/// The process is up. Says nothing about whether it should get clients.
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// Whether clients should come, and if not, what is missing.
pub(crate) async fn ready(State(console): State<Arc<Console>>) -> Response {
    let conditions = conditions(&console);
    let missing: Vec<&str> =
        conditions.iter().filter(|c| c.state == ConditionState::Missing).map(|c| c.name).collect();
    let status = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": missing.is_empty(),
        "missing": missing,
        "conditions": conditions.iter().map(shown).collect::<Vec<Value>>(),
    });
    (status, Json(body)).into_response()
}

fn shown(condition: &Condition) -> Value {
    json!({ "name": condition.name, "state": condition.state.as_str(), "detail": condition.detail })
}

/// Every condition: those that the console sees, and those that it is told.
pub(crate) fn conditions(console: &Console) -> Vec<Condition> {
    let ports = &console.ports;
    let policies = ports.policies.bundle().policies();
    let store = ports.revocations.health();
    let fleet = ports.revocations.fleet_health();
    let audit = ports.audit.health();
    let mut all = vec![
        Condition {
            name: "policies",
            // Without a policy nothing is permitted: nobody should be sent here.
            state: if policies == 0 { ConditionState::Missing } else { ConditionState::Holds },
            detail: format!("{policies} policies in force"),
        },
        revocations(&store, fleet.as_ref()),
        Condition {
            name: "audit",
            state: match (audit.state, ports.audit.accepts_grants()) {
                (AuditState::Healthy, true) => ConditionState::Holds,
                (AuditState::Healthy | AuditState::Failed | AuditState::Closed, _) => ConditionState::Missing,
            },
            detail: format!("the log is {}", audit.state.as_str()),
        },
    ];
    all.extend(fleet.as_ref().map(|fleet| fleet::condition(fleet, store.fresh)));
    all.extend((ports.conditions)());
    all
}

/// Whether it is known who was cut off, and whether anybody can be.
fn revocations(store: &StoreHealth, fleet: Option<&FleetHealth>) -> Condition {
    let has_store = fleet.is_none_or(fleet::has_directory);
    let (state, detail) = match (store.fresh, store.writable || !has_store) {
        (true, true) if has_store => (ConditionState::Holds, "the store can be read and written".to_owned()),
        (true, true) => (ConditionState::Holds, "it is known from the fleet who is cut off".to_owned()),
        (true, false) => {
            (ConditionState::Degraded, format!("the store cannot be written; {} changes wait", store.unsaved))
        }
        (false, _) if fleet.is_some() => {
            (ConditionState::Missing, "it is not known who is cut off: every request is refused".to_owned())
        }
        (false, _) => (ConditionState::Missing, "the store cannot be read".to_owned()),
    };
    Condition { name: "revocations", state, detail }
}

/// Metrics for Prometheus (OpenMetrics 1.0).
pub(crate) async fn metrics(State(console): State<Arc<Console>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, HeaderValue::from_static(kind))], (console.ports.metrics)()).into_response()
}

/// The keys that upstreams check assertions with (RFC 7517). The one answer that may be kept.
pub(crate) async fn jwks(State(console): State<Arc<Console>>) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json")),
        (CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
    ];
    (headers, (console.ports.jwks)()).into_response()
}
