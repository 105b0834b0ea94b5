//! This node: health, metrics, status, what runs, the policies, and this document.

use doorward_audit::Protocol;
use doorward_model::limits::OPERATOR_INFLIGHT_ROWS_MAX;
use doorward_policy::Hand;
use serde_json::{Value, json};

use super::form::{
    Operation, Paths, bounded, count, flag, formed, list, object, or_null, set, text, time, to, word,
};
use super::people::{app, sign_in};
use super::refusals::{LIST, Refusal};
use crate::inflight;
use crate::ports::TimeSaid;

const TAG: &str = "node";

/// The hash of the policies.
pub(super) fn revision() -> Value {
    formed("^[0-9a-f]{64}$")
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let condition =
        object([("name", text()), ("state", word(["holds", "degraded", "missing"])), ("detail", text())]);
    let ready = object([("ready", flag()), ("missing", list(text())), ("conditions", list(to("Condition")))]);
    let running = object([
        ("user", or_null(text())),
        ("session", or_null(text())),
        ("app", app()),
        ("route", text()),
        ("protocol", word(Protocol::ALL.map(Protocol::as_str))),
        ("started_at", time()),
        ("client", text()),
        ("path", text()),
        ("request_id", text()),
    ]);
    let finding = object([
        ("file", or_null(text())),
        ("line", or_null(count())),
        ("column", or_null(count())),
        ("message", text()),
        ("help", or_null(text())),
    ]);
    let node = vec![
        ("Condition", condition.told()),
        ("Readiness", ready.told()),
        ("Running", running.told()),
        ("Finding", finding.told()),
        ("Status", status()),
    ];
    node.into_iter().chain(explanation()).collect()
}

fn status() -> Value {
    let policies = object([("revision", revision()), ("policies", count()), ("loaded_at", time())]);
    let audit = object([
        ("state", word(["healthy", "failed", "closed"])),
        ("accepts_grants", flag()),
        ("queued", count()),
        ("recorded", count()),
        ("written", count()),
        ("dropped", count()),
        ("bytes", count()),
        ("disk_free", or_null(count())),
        ("last_error", or_null(text())),
    ]);
    let revocations = object([
        ("writable", flag()),
        ("fresh", flag()),
        ("as_of", time()),
        ("unsaved", count()),
        ("entries", count()),
        ("generation", count()),
        ("saved", count()),
        ("write_failures", count()),
        ("bytes", count()),
        ("bytes_max", or_null(count())),
        ("last_error", or_null(text())),
    ]);
    let status = object([
        ("node", text()),
        ("version", text()),
        ("started_at", time()),
        ("uptime_seconds", count()),
        ("issuers", list(text())),
        ("ready", flag()),
        ("policies", policies.told()),
        ("audit", audit.told()),
        ("revocations", revocations.told()),
        ("fleet", or_null(to("Fleet"))),
    ]);
    status.told()
}

pub(super) fn paths(paths: &mut Paths) {
    health(paths);
    let shown = Operation::new(TAG, "status.show", "This node, its conditions, its log and its store")
        .answers(200, "The node.", to("Status"));
    paths.on("get", "/api/v1/status", shown);
    let document = Operation::new(TAG, "openapi.show", "This document").answers(
        200,
        "OpenAPI 3.1.",
        json!({ "type": "object" }),
    );
    paths.on("get", "/api/v1/openapi.json", document);

    let page = object([("exchanges", list(to("Running"))), ("total", count())]);
    let found = Operation::new(TAG, "inflight.list", "What runs now")
        .says("It changes while it is read, so it has no pages: `total` says how many match in all.")
        .query("user", sign_in(), "Those that this user answers for.")
        .query("app", app(), "Those at this app.")
        .query("limit", bounded(inflight::ROWS, OPERATOR_INFLIGHT_ROWS_MAX), "How many rows, at most.")
        .answers(200, "What runs, in the order in which it began.", page.told())
        .refuses(LIST);
    paths.on("get", "/api/v1/inflight", found);

    let policies = object([
        ("revision", revision()),
        ("policies", count()),
        ("loaded_at", time()),
        ("dir", text()),
        ("speaks", or_null(text())),
        ("in_folder", or_null(revision())),
        ("since", or_null(time())),
        ("by", or_null(text())),
    ]);
    let show = Operation::new(TAG, "policies.show", "The policies in force").answers(
        200,
        "The policies.",
        policies.told(),
    );
    paths.on("get", "/api/v1/policies", show);
    paths.on("post", "/api/v1/policies/explain", explain());
    let swapped = object([
        ("outcome", word(["swapped"])),
        ("revision", revision()),
        ("previous", revision()),
        ("hints", list(to("Finding"))),
    ]);
    let unchanged = object([("outcome", word(["unchanged"])), ("revision", revision())]);
    let reload = Operation::new(TAG, "policies.reload", "Loads the policies again")
        .answers(
            200,
            "They are in force, or were already.",
            json!({ "anyOf": [swapped.told(), unchanged.told()] }),
        )
        .refuses(&[Refusal::Mistaken, Refusal::Unprocessable]);
    paths.on("post", "/api/v1/policies/reload", reload);
}

fn explain() -> Operation {
    let situation = r#"{"v":1,"who":"visitor","does":"GET","route":{"id":"wiki/all","tier":"public"},"place":{"ip":"192.0.2.1"},"now":0,"local":0,"weekday":"mon","host":"","path":"/"}"#;
    let said = set(word(TimeSaid::WORDS), TimeSaid::WORDS.len());
    let asked =
        object([("situation", text())]).maybe([("person", text()), ("machine", text()), ("said", said)]);
    Operation::new(TAG, "policies.explain", "What the policies in force say of a situation, and why")
        .says(
            "`situation` is what a decision in the audit log has at `unmapped.doorward.situation`, as a text. With \
             `person` or `machine`, an id of the directory, they ask in it. `said` is what of its time holds; the rest is \
             as it is here: now, and by the time zone of the gateway. With any of these the route is what the \
             configuration says of it.",
        )
        .body(asked.taken(), json!({ "situation": situation }))
        .answers(200, "The answer, its reasons, and the cheapest way to pass.", to("Explanation"))
        .refuses(&[
            Refusal::Mistaken,
            Refusal::NotFound,
            Refusal::TookTooLong,
            Refusal::Conflict,
            Refusal::BodyTooLarge,
            Refusal::MediaType,
        ])
}

/// What [`doorward_policy::Explanation::to_json`] writes.
fn explanation() -> [(&'static str, Value); 3] {
    let came_to = || word(["true", "false", "error", "not_reached"]);
    let fact = object([
        ("name", text()),
        ("value", or_null(text())),
        ("limit", or_null(text())),
        ("age_seconds", or_null(count())),
    ]);
    let condition = object([
        ("kind", word(["all", "any", "not", "if", "atom"])),
        ("part", word(["policy", "principal", "action", "resource", "clause"])),
        ("text", text()),
        ("span", or_null(list(count()))),
        ("came_to", came_to()),
        ("failed", flag()),
        ("below", list(count())),
        ("facts", list(fact.told())),
    ]);
    let policy = object([
        ("id", text()),
        ("effect", word(["permit", "forbid"])),
        ("title", or_null(text())),
        ("owner", or_null(text())),
        ("reason", or_null(text())),
        ("came_to", came_to()),
        ("conditions", list(condition.maybe([("why", text())]).told())),
    ]);
    let step = object([("who", word(Hand::ALL.map(Hand::as_str))), ("what", text())]);
    let way = object([("proved", flag()), ("steps", list(step.told()))]);
    let missed = object([("policy", text()), ("lacks", list(text()))]);
    let erred = object([("policy", text()), ("why", text())]);
    let explanation = object([
        ("decision", word(["allow", "deny"])),
        ("own", word(["allow", "deny"])),
        ("deciding", list(text())),
        ("errors", list(erred.told())),
        ("policies", list(to("ExplainedPolicy"))),
        ("left_out", count()),
        ("nearest_permit", or_null(missed.told())),
        ("way", or_null(to("WayToPass"))),
        ("unasked", or_null(text())),
        ("person", or_null(to("Explanation"))),
    ]);
    [
        ("Explanation", explanation.maybe([("revision", revision())]).told()),
        ("ExplainedPolicy", policy.told()),
        ("WayToPass", way.told()),
    ]
}

/// What machines ask. Nothing of it needs the token.
fn health(paths: &mut Paths) {
    let alive = Operation::open(TAG, "health.alive", "The process is up").answers_as(
        200,
        "It is.",
        "text/plain; charset=utf-8",
        text(),
    );
    paths.on("get", "/healthz", alive);
    let misdirected = &[Refusal::Misdirected];
    let ready = Operation::open(TAG, "health.ready", "Whether clients may come, and if not, what is missing")
        .answers(200, "They may.", to("Readiness"))
        .answers(503, "They may not.", to("Readiness"))
        .refuses(misdirected);
    paths.on("get", "/readyz", ready);
    let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let metrics = Operation::open(TAG, "health.metrics", "Metrics, OpenMetrics 1.0")
        .answers_as(200, "The metrics.", form, text())
        .refuses(misdirected);
    paths.on("get", "/metrics", metrics);
    let keys = object([("keys", list(json!({ "type": "object" })))]);
    let jwks = Operation::open(TAG, "health.jwks", "The keys with which apps check assertions (RFC 7517)")
        .answers_as(200, "The keys.", "application/jwk-set+json", keys.told());
    paths.on("get", "/.well-known/jwks.json", jwks);
}
