//! What is written down: audit events of allowances, denials and streams, traces, and numbers that
//! move.

use std::collections::BTreeSet;
use std::time::Duration;

use doorward_demo::apps::{Pace, SampleApp};
use doorward_tests::company::{Company, bearer, sample};
use doorward_tests::gateway::Gateway;
use doorward_tests::h1;
use doorward_tests::raw::RawUpstream;
use doorward_tests::wire::within;
use doorward_tests::ws::Ws;
use serde_json::{Value, json};

/// Waits for the events that `wanted` likes, until there are so many.
async fn events(gateway: &Gateway, count: usize, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    within(&format!("{count} events"), async {
        loop {
            let found: Vec<Value> = gateway.events().into_iter().filter(&wanted).collect();
            if found.len() >= count {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}

fn code(event: &Value) -> &str {
    event["metadata"]["event_code"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn an_allowance_and_a_denial_tell_who_what_where_and_why() {
    let upstream = RawUpstream::ok().await;
    let mut company = Company::new(upstream.address()).await;
    company.config.local_is_corp();
    let (issuer, gateway) = company.start().await;
    let revision: Value =
        serde_json::from_str(&gateway.api("GET", "/api/v1/policies", None).await.text).unwrap();
    let revision = revision["revision"].as_str().unwrap().to_owned();
    let secret = "q=do-not-record-me";
    let (bob, alice) = (issuer.token("bob"), issuer.token("alice"));
    let ask = async |token: &str, path: &str| {
        let auth = bearer(token);
        h1::ask(
            gateway.address(),
            "GET",
            "build.test",
            path,
            &[("authorization", &auth), ("user-agent", "curl/8")],
        )
        .await
    };
    assert_eq!(ask(&bob, &format!("/allowed?{secret}")).await.status(), 200);
    let denial = ask(&alice, &format!("/denied?{secret}")).await;
    assert_eq!(denial.status(), 403);

    let allowed = events(&gateway, 1, |e| code(e) == "access.request.allowed").await.remove(0);
    assert_eq!(allowed["metadata"]["version"], "1.8.0");
    assert_eq!((&allowed["class_uid"], &allowed["activity_id"]), (&json!(4002), &json!(3)));
    assert_eq!(allowed["actor"]["user"]["uid"], "demo:bob");
    assert_eq!(allowed["actor"]["session"]["is_mfa"], true);
    assert_eq!(allowed["http_request"]["url"]["path"], "/allowed");
    assert_eq!(allowed["http_request"]["http_method"], "GET");
    assert_eq!(allowed["http_response"]["code"], 200);
    assert_eq!(allowed["src_endpoint"]["ip"], "127.0.0.1");
    assert_eq!(allowed["src_endpoint"]["location"]["country"], "ZZ");
    assert_eq!(allowed["dst_endpoint"]["svc_name"], "build");
    assert_eq!(allowed["traffic"], json!({"bytes_in": 2, "bytes_out": 0}));
    let block = &allowed["unmapped"]["doorward"];
    assert_eq!((&block["stage"], &block["route"]), (&json!("active"), &json!("build/all")));
    assert_eq!(block["device"]["id"], "bob-laptop");
    let decision = &block["decision"];
    assert_eq!((&decision["outcome"], &decision["reason_code"]), (&json!("allow"), &json!("permitted")));
    assert_eq!(decision["determining"], json!(["build.engineers"]));
    assert_eq!(decision["policy_set"]["revision"], revision.as_str());
    assert!(decision["latency_us"].as_u64().is_some(), "{decision}");

    let denied = events(&gateway, 1, |e| code(e) == "access.request.denied").await.remove(0);
    assert_eq!(denied["metadata"]["correlation_uid"], denial.json()["request_id"], "the id on the page");
    assert_eq!((&denied["action_id"], &denied["disposition"]), (&json!(2), &json!("Blocked")));
    assert_eq!(denied["status_detail"], "no_permit");
    assert_eq!(denied["status_code"], "403");
    assert_eq!(denied["actor"]["user"]["uid"], "demo:alice");
    assert_eq!(denied["http_request"]["user_agent"], "curl/8");
    assert_eq!(denied["http_request"]["url"]["hostname"], "build.test");
    let block = &denied["unmapped"]["doorward"];
    assert_eq!(block["networks"], json!(["corp"]));
    assert_eq!(block["decision"]["outcome"], "deny");
    assert_eq!(block["decision"]["policy_set"]["revision"], revision.as_str());
    assert_eq!(block["device"], json!({"id": "alice-laptop", "managed": true, "compliance": "compliant"}));

    // No credential and no query is in the log, the audit's or the other.
    let all = format!("{:?}{}", gateway.events(), gateway.log());
    for never in ["do-not-record-me", bob.as_str(), alice.as_str(), gateway.token()] {
        assert!(!all.contains(never), "`{never}` was recorded");
    }
    let numbers: Vec<u64> =
        gateway.events().iter().filter_map(|e| e["metadata"]["sequence"].as_u64()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "a line missing would be seen");
    // The operator reads it with a command.
    let tail = gateway.command(&["audit", "tail", "--deny"]).await;
    assert_eq!(tail.code, Some(0), "{tail:?}");
    assert!(tail.stdout.contains("no_permit") && tail.stdout.contains("alice"), "{}", tail.stdout);
    assert!(!tail.stdout.contains("/allowed"), "{}", tail.stdout);
}

#[tokio::test]
async fn a_stream_is_recorded_when_it_begins_and_when_it_ends() {
    let app = sample(SampleApp::Build, Pace::default()).await;
    let (issuer, gateway) = Company::new(app).await.start().await;
    let auth = bearer(&issuer.token("bob"));
    let open = async || {
        let fields = [("authorization", auth.as_str())];
        let mut ws =
            Ws::open(gateway.address(), "build.test", "/logs?every_millis=0", &fields).await.unwrap();
        ws.until("build log").await;
        ws
    };
    let mut ws = open().await;
    let begun = events(&gateway, 1, |e| code(e) == "access.request.allowed").await.remove(0);
    assert_eq!(begun["http_response"]["code"], 101, "told while it runs: {begun}");
    let id = begun["metadata"]["correlation_uid"].clone();
    ws.close().await;
    ws.ending().await;
    let of_it = |e: &Value| e["metadata"]["correlation_uid"] == id;
    let ended = events(&gateway, 2, of_it).await.remove(1);
    assert_ne!(code(&ended), "access.request.allowed", "{ended}");
    let how = ended["unmapped"]["doorward"]["ending"]["how"].as_str().unwrap();
    assert!(matches!(how, "completed" | "client_gone"), "{ended}");
    assert!(ended["duration"].is_number() && ended["traffic"]["bytes_in"].as_u64().unwrap() > 0, "{ended}");

    let mut cut = open().await;
    let receipt = gateway.revoke("user", "demo:bob").await;
    cut.ending().await;
    let terminated =
        events(&gateway, 1, |e| e["unmapped"]["doorward"]["ending"]["how"] == "terminated").await.remove(0);
    assert_eq!(terminated["disposition"], "Access Revoked");
    assert_eq!(terminated["unmapped"]["doorward"]["ending"]["revocation"], receipt["id"]);
    assert_eq!(terminated["unmapped"]["doorward"]["protocol"], "websocket");
    let revoked = events(&gateway, 1, |e| code(e) == "revocation.user").await.remove(0);
    assert_eq!(revoked["unmapped"]["doorward"]["revocation"]["target"], "demo:bob");
    assert_eq!(revoked["unmapped"]["doorward"]["revocation"]["connections_closed"], 1);
    assert_eq!(revoked["unmapped"]["doorward"]["revocation"]["connections_remaining"], 0);
}

/// Trace id and span id of a `traceparent`, if it is one (W3C Trace Context §3.2).
fn trace(value: &str) -> (String, String) {
    let parts: Vec<&str> = value.split('-').collect();
    let hex =
        |text: &str, len| text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    assert!(parts.len() == 4 && parts[0] == "00" && hex(parts[1], 32) && hex(parts[2], 16), "{value}");
    assert!(parts[1] != "0".repeat(32) && parts[2] != "0".repeat(16), "{value}");
    (parts[1].to_owned(), parts[2].to_owned())
}

#[tokio::test]
async fn a_trace_begins_here_or_at_a_trusted_proxy_and_goes_on_to_the_app() {
    let theirs = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let their_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    for (trusted, sent, continued) in [
        (false, theirs, false),
        (true, theirs, true),
        (true, "00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
        (true, "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
        (true, "nonsense", false),
    ] {
        let upstream = RawUpstream::ok().await;
        let mut company = Company::new(upstream.address()).await;
        if trusted {
            company.config.trust_local_proxy();
        }
        let (issuer, gateway) = company.start().await;
        let auth = bearer(&issuer.token("bob"));
        let fields = [
            ("authorization", auth.as_str()),
            ("x-forwarded-for", "203.0.113.1"),
            ("traceparent", sent),
            ("tracestate", "vendor=secret"),
        ];
        let mut seen = BTreeSet::new();
        for _ in 0..2 {
            assert_eq!(h1::ask(gateway.address(), "GET", "build.test", "/", &fields).await.status(), 200);
            let head = upstream.requests().pop().unwrap().head;
            let (id, span) = trace(&head.value("traceparent").unwrap());
            assert_eq!(id == their_id, continued, "{sent}");
            assert_ne!(span, "00f067aa0ba902b7", "the gateway is a span of its own");
            seen.insert(id.clone());
            events(&gateway, 1, |e| e["trace"]["uid"] == id.as_str()).await;
        }
        assert_eq!(seen.len(), if continued { 1 } else { 2 }, "{sent}");
    }
}

#[tokio::test]
async fn metrics_are_there_and_move() {
    let app = sample(SampleApp::Build, Pace::default()).await;
    let (issuer, gateway) = Company::new(app).await.start().await;
    let auth = bearer(&issuer.token("bob"));
    let fields = [("authorization", auth.as_str())];
    let allowed =
        "doorward_authz_decisions_total{route=\"build/all\",decision=\"allow\",reason=\"permitted\"}";
    let denied =
        "doorward_authz_decisions_total{route=\"build/all\",decision=\"deny\",reason=\"unauthenticated\"}";
    let served = "doorward_http_requests_total{route=\"build/all\",code_class=\"2xx\"}";
    for _ in 0..3 {
        assert_eq!(h1::ask(gateway.address(), "GET", "build.test", "/", &fields).await.status(), 200);
    }
    assert_eq!(h1::ask(gateway.address(), "GET", "build.test", "/", &[]).await.status(), 401);
    moved(&gateway, &[(allowed, 3.0), (denied, 1.0), (served, 3.0)]).await;

    let text = gateway.api("GET", "/metrics", None).await.text;
    assert!(text.ends_with("# EOF\n"), "OpenMetrics ends so");
    for name in [
        "doorward_connections_open",
        "doorward_exchanges_running",
        "doorward_upstream_instances",
        "doorward_revocation_store_writable 1",
        "doorward_revocation_staleness_seconds",
        "doorward_audit_state 0",
        "doorward_audit_queue_depth",
        "doorward_audit_events_dropped 0",
        "doorward_policies ",
        "doorward_policy_in_force",
        "doorward_jwks_stale{issuer=\"demo\"} 0",
        "doorward_geoip_build_timestamp_seconds",
        "doorward_authz_decision_duration_seconds",
        "doorward_http_request_duration_seconds",
        "doorward_revocation_end_delay_seconds",
    ] {
        assert!(text.contains(name), "no `{name}` in\n{text}");
    }
    assert!(!text.contains("demo:bob") && !text.contains("127.0.0.1"), "no person and no address is a label");

    let mut ws = Ws::open(gateway.address(), "build.test", "/logs", &fields).await.unwrap();
    ws.until("line 1").await;
    let running = "doorward_exchanges_running{protocol=\"websocket\"}";
    moved(&gateway, &[(running, 1.0)]).await;
    gateway.revoke("user", "demo:bob").await;
    ws.ending().await;
    let ended = "doorward_revocation_exchanges_ended_total{protocol=\"websocket\"}";
    moved(&gateway, &[(ended, 1.0), (running, 0.0), ("doorward_revocation_entries", 1.0)]).await;
}

async fn moved(gateway: &Gateway, expected: &[(&str, f64)]) {
    let seen = std::sync::Mutex::new(String::new());
    let wait = async {
        loop {
            let metrics = gateway.metrics().await;
            if expected.iter().all(|(name, value)| metrics.get(*name) == Some(value)) {
                return;
            }
            *seen.lock().unwrap() = format!("{metrics:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(60), wait).await;
    assert!(done.is_ok(), "not {expected:?}: {}", seen.lock().unwrap());
}

/// What the log has is enough to decide once more exactly, unless the operator does not want it there.
#[tokio::test]
async fn what_was_decided_is_decided_again_from_the_log() {
    for kept in [true, false] {
        let upstream = RawUpstream::ok().await;
        let mut company = Company::new(upstream.address()).await;
        company.config.local_is_corp().set("audit.situations", json!(kept));
        let (issuer, gateway) = company.start().await;
        for (who, status) in [("bob", 200), ("alice", 403)] {
            let auth = bearer(&issuer.token(who));
            let answer =
                h1::ask(gateway.address(), "GET", "build.test", "/x", &[("authorization", &auth)]).await;
            assert_eq!(answer.status(), status);
        }
        let decided = |e: &Value| code(e).starts_with("access.request.");
        for event in events(&gateway, 2, decided).await {
            assert_eq!(event["unmapped"]["doorward"]["situation"].is_object(), kept, "{event}");
        }
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies");
        let replay = ["policy", "replay", folder, "--format", "json", "--fail-on-difference"];
        let replayed = gateway.command(&replay).await;
        // Nothing is proved by a log that does not have what the policies saw.
        assert_eq!(replayed.code, Some(if kept { 0 } else { 1 }), "{replayed:?}");
        let report: Value = serde_json::from_str(&replayed.stdout).unwrap();
        let (again, lost) = if kept { (2, 0) } else { (0, 2) };
        assert_eq!(report["requests"], 2, "{report}");
        assert_eq!((&report["decided"], &report["same"]), (&json!(again), &json!(again)), "{report}");
        assert_eq!(report["undecided"]["not_recorded"], lost, "{report}");
    }
}
