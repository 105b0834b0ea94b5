//! `GET /api/v1/status`: what the gateway says of itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::Console;
use crate::fleet;
use crate::health;
use crate::ports::ConditionState;

pub(crate) async fn show(State(console): State<Arc<Console>>) -> Json<Value> {
    let ports = &console.ports;
    let about = &ports.about;
    let now = (ports.clock)();
    let bundle = ports.policies.bundle();
    let audit = ports.audit.health();
    let store = ports.revocations.health();
    let fleet = ports.revocations.fleet_health();
    let conditions = health::conditions(&console);
    Json(json!({
        "node": about.node,
        "version": about.version,
        "started_at": about.started_at.0,
        "uptime_seconds": now.since(about.started_at).as_secs(),
        "issuers": about.issuers,
        "ready": conditions.iter().all(|c| c.state != ConditionState::Missing),
        "policies": {
            "revision": bundle.revision().to_string(),
            "policies": bundle.policies(),
            "loaded_at": bundle.loaded_at().0,
        },
        "audit": {
            "state": audit.state.as_str(),
            "accepts_grants": ports.audit.accepts_grants(),
            "queued": audit.queued,
            "recorded": audit.recorded,
            "written": audit.written,
            "dropped": audit.dropped.total(),
            "bytes": audit.bytes,
            "disk_free": audit.disk_free,
            "last_error": audit.last_error,
        },
        "revocations": {
            "writable": store.writable,
            "fresh": store.fresh,
            "as_of": store.as_of.0,
            "unsaved": store.unsaved,
            "entries": store.entries,
            "generation": store.generation,
            "saved": store.saved_total,
            "write_failures": store.write_failures_total,
            "bytes": store.bytes,
            "bytes_max": (store.bytes_max < u64::MAX).then_some(store.bytes_max),
            "last_error": store.last_error,
        },
        "fleet": fleet.as_ref().map(fleet::shown),
    }))
}
