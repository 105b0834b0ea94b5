//! The store of revocations cannot be read or written for a while: nobody new comes in, what runs is
//! cut after the grace, and what could not be saved is saved and put on record when it is back.

use doorward_demo::apps::{Pace, SampleApp};
use doorward_tests::company::{Company, bearer, sample};
use doorward_tests::wire::until;
use doorward_tests::ws::{Next, Ws};
use serde_json::{Value, json};

use crate::seen;

#[tokio::test]
async fn what_runs_is_cut_when_nobody_knows_who_was_cut_off() {
    let app = sample(SampleApp::Build, Pace::default()).await;
    let mut company = Company::new(app).await;
    company.config.set("revocation.stream_grace_seconds", json!(1));
    let (issuer, gateway) = company.start().await;
    let token = issuer.token_of("bob");
    let auth = bearer(&token);
    let mut ws =
        Ws::open(gateway.address(), "build.test", "/logs", &[("authorization", &auth)]).await.unwrap();
    ws.until("line 1").await;

    let store = gateway.folder().join("data/revocations.sqlite3");
    let away = store.with_extension("away");
    let began = tokio::time::Instant::now();
    std::fs::rename(&store, &away).unwrap();
    let answer = gateway.change("disable", "user", "demo:victim").await;
    let said: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(
        (answer.status, &said["enforced"], &said["kept"]),
        (503, &json!(true), &json!(true)),
        "{said}"
    );
    assert!(matches!(ws.ending().await, Next::Closed(1001, _)));
    assert!(began.elapsed().as_secs() >= 4, "a disk that hiccups cuts nobody");
    assert_eq!(seen::told(&gateway, "build.test", &token).await, (503, "stale_revocations".into()));
    gateway.wait_log("what runs was ended").await;

    std::fs::rename(&away, &store).unwrap();
    seen::condition_comes_to(&gateway, "revocations", 200, "holds").await;
    assert_eq!(seen::told(&gateway, "build.test", &token).await.0, 200);
    let of_victim = |e: &Value| e["unmapped"]["doorward"]["revocation"]["target"] == "demo:victim";
    let late = || gateway.events().into_iter().find(of_victim);
    let event = until("the late revocation to be on record", late).await;
    let is_call =
        |e: &Value| e["metadata"]["correlation_uid"] == event["metadata"]["correlation_uid"] && !of_victim(e);
    let call = || gateway.events().into_iter().find(is_call);
    until(&format!("the call that was told otherwise, which {event} names"), call).await;
}
