//! It cannot be known who was cut off, and apps want different things then: a strict one refuses at
//! once, a usual one when its time is over, and a patient one goes on and is loud about it. Who is
//! known to be cut off gets in nowhere.

use std::time::Duration;

use doorward_demo::apps::{Pace, SampleApp};
use doorward_tests::company::{Company, bearer, sample};
use doorward_tests::gateway::Gateway;
use doorward_tests::wire::within;
use doorward_tests::ws::{Next, Ws};
use serde_json::{Value, json};

use crate::seen;

const STALE: (u16, &str) = (503, "stale_revocations");

async fn told(gateway: &Gateway, app: &str, token: &str) -> (u16, String) {
    seen::told(gateway, &format!("{app}.test"), token).await
}

/// The value of a metric, by the whole of its name and labels; none while nothing was counted.
async fn metric(gateway: &Gateway, name: &str) -> Option<f64> {
    let page = gateway.api("GET", "/metrics", None).await.text;
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.parse().ok()
}

#[tokio::test]
async fn a_strict_app_refuses_at_once_and_a_patient_one_goes_on_and_says_so() {
    let app = sample(SampleApp::Build, Pace::default()).await;
    let mut company = Company::new(app).await;
    company.config.set("revocation.stream_grace_seconds", json!(0));
    company
        .engineering("usual", app, json!({}))
        .engineering("strict", app, json!({"freshness": "strict"}))
        .engineering("patient", app, json!({"stale_seconds_max": 3600}));
    let (issuer, gateway) = company.start().await;
    let (bob, victim) = (issuer.token_of("bob"), issuer.token_of("dana"));
    for app in ["usual", "strict", "patient"] {
        assert_eq!(told(&gateway, app, &bob).await.0, 200, "{app}");
    }
    assert_eq!(metric(&gateway, "doorward_revocation_look_duration_seconds_count").await, Some(1.0));
    let auth = bearer(&bob);
    let open = async |host| {
        let mut ws = Ws::open(gateway.address(), host, "/logs", &[("authorization", &auth)]).await.unwrap();
        ws.until("line 1").await;
        ws
    };
    let (mut usual, mut patient) = (open("usual.test").await, open("patient.test").await);

    let store = gateway.folder().join("data/revocations.sqlite3");
    let away = store.with_extension("away");
    std::fs::rename(&store, &away).unwrap();
    assert_eq!(told(&gateway, "strict", &bob).await, (STALE.0, STALE.1.to_owned()));
    assert_eq!(told(&gateway, "usual", &bob).await.0, 200, "its time is not over");
    assert_eq!(gateway.change("disable", "user", "demo:dana").await.status, 503);
    assert!(matches!(usual.ending().await, Next::Closed(1001, _)));
    assert_eq!(told(&gateway, "usual", &bob).await, (STALE.0, STALE.1.to_owned()));
    assert_eq!(told(&gateway, "patient", &bob).await.0, 200);
    for app in ["usual", "strict", "patient"] {
        assert_eq!(told(&gateway, app, &victim).await.1, "disabled", "{app}");
    }
    let name = "doorward_revocation_stale_allowed_total{app=\"patient\"}";
    assert!(metric(&gateway, name).await.is_some_and(|n| n >= 1.0), "it is counted");
    within("what runs at the patient app to go on", async {
        let late = tokio::time::Instant::now() + Duration::from_secs(2);
        while tokio::time::Instant::now() < late {
            assert!(matches!(patient.next().await, Next::Text(_)));
        }
    })
    .await;
    let stale = within("the event to say by how much it was stale", async {
        loop {
            let of_it = |e: &Value| e["unmapped"]["doorward"]["decision"]["stale_ms"].is_u64();
            if let Some(event) = gateway.events().into_iter().find(of_it) {
                return event;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(stale["metadata"]["event_code"], "access.request.allowed");
    assert_eq!(stale["unmapped"]["doorward"]["route"], "patient/all");
    let start = seen::event(&gateway, "gateway.started").await;
    assert!(
        start.to_string().contains("app.patient.stale_seconds_max"),
        "whoever starts it so is on record: {start}"
    );

    std::fs::rename(&away, &store).unwrap();
    seen::comes_to(&gateway, "strict.test", &bob, (200, "")).await;
    assert_eq!(told(&gateway, "usual", &bob).await.0, 200);
}
