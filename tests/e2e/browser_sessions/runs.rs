//! What runs with a session ends with it.

use std::time::Duration;

use doorward_identity::session::BrowserSession;
use doorward_tests::wire::{now, until};
use doorward_tests::ws::{Next, Ws};
use serde_json::json;

use crate::house::{BUILD, House, refused, since, told};

const OWN: &[(&str, &str)] = &[("origin", "https://build.test")];

async fn echoes(ws: &mut Ws) {
    assert!(ws.send("on").await);
    ws.until("echo: on").await;
}

/// Opens a WebSocket with a session that is good for a moment. Where the machine stood still for that long there is
/// another one.
async fn opens_in_time(house: &House, session: impl Fn() -> BrowserSession) -> (BrowserSession, Ws) {
    for _ in 0..10 {
        let session = session();
        match house.websocket(&house.cookie(&session, BUILD), OWN).await {
            Ok(ws) => return (session, ws),
            Err(late) => assert_eq!(late.headers["x-doorward-refusal"], "expired_credential", "{late:?}"),
        }
    }
    panic!("ten sessions were over before a WebSocket was open");
}

#[tokio::test]
async fn a_revocation_ends_a_websocket_of_its_session_and_no_other() {
    let house = House::new().await;
    let (bob, dana) = (house.bob(), house.session("dana", &["employee", "engineer"]));
    let other = BrowserSession { id: house.bob().id, ..bob.clone() };
    let mut open = Vec::new();
    for session in [&bob, &other, &dana] {
        let mut ws = house.websocket(&house.cookie(session, BUILD), OWN).await.unwrap();
        echoes(&mut ws).await;
        open.push(ws);
    }
    house.gateway.revoke("token", &bob.id.token(&bob.user).to_string()).await;
    let mut ended = open.remove(0);
    assert!(matches!(ended.ending().await, Next::Closed(1008, _)));
    for ws in &mut open {
        echoes(ws).await;
    }
    let answer = house.ask(("GET", BUILD, "/"), &house.cookie(&bob, BUILD), &[]).await;
    assert_eq!(told(&answer), refused(401, "revoked"));
    house.gateway.revoke("user", "corp:bob").await;
    assert!(matches!(open.remove(0).ending().await, Next::Closed(1008, _)));
    echoes(&mut open[0]).await;
}

/// The absolute end ends a stream; that nobody clicks does not.
#[tokio::test]
async fn a_websocket_ends_with_its_session_and_not_for_want_of_clicks() {
    let house = House::with(|config| {
        config.set("streams.token_grace_seconds", json!(0)).set("streams.review_seconds", json!(1));
    })
    .await;
    // Idle in a moment, and over in a moment.
    let (idle, mut goes_on) = opens_in_time(&house, || {
        let bob = house.bob();
        BrowserSession { seen_at: since(bob.clone(), 30 * 60 - 3).seen_at, ..since(bob, 3600) }
    })
    .await;
    let (over, mut ends) = opens_in_time(&house, || BrowserSession {
        expires_at: now().plus(Duration::from_secs(4)),
        ..house.bob()
    })
    .await;
    assert!(matches!(ends.ending().await, Next::Closed(1008, _)));
    assert!(now() >= over.expires_at);
    let answer = house.ask(("GET", BUILD, "/"), &house.cookie(&over, BUILD), &[]).await;
    assert_eq!(told(&answer), refused(401, "expired_credential"));
    let cookie = house.cookie(&idle, BUILD);
    until("the cookie to be idle", || (now().since(idle.seen_at) > Duration::from_secs(1801)).then_some(()))
        .await;
    let answer = house.ask(("GET", BUILD, "/"), &cookie, &[]).await;
    assert_eq!(told(&answer), refused(401, "expired_credential"));
    echoes(&mut goes_on).await;
}

/// The directory's word counts from the next request of the same cookie on.
#[tokio::test]
async fn a_role_that_goes_is_gone_with_the_next_request() {
    let house = House::with(|config| {
        config.set("directory.people", json!("known"));
    })
    .await;
    let person = json!({
        "user_name": "erin", "emails": ["erin@corp.example"], "roles": ["employee", "engineer"],
        "employment": "employee", "home_country": "DE",
    });
    let made = house.gateway.api("POST", "/api/v1/users", Some(&person)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made: serde_json::Value = serde_json::from_str(&made.text).unwrap();
    let id = made["id"].as_str().unwrap();
    let erin = house.session("erin", &["what-the-provider-says"]);
    let cookie = house.cookie(&erin, BUILD);
    let ask = async || told(&house.ask(("GET", BUILD, "/"), &cookie, &[]).await);
    assert_eq!(ask().await, (200, None));
    let mut ws = house.websocket(&cookie, OWN).await.unwrap();
    echoes(&mut ws).await;
    let changed = house.gateway.api("DELETE", &format!("/api/v1/users/{id}/roles/engineer"), None).await;
    assert!((200..300).contains(&changed.status), "{}", changed.text);
    assert_eq!(ask().await, refused(403, "no_permit"));
    assert!(matches!(ws.ending().await, Next::Closed(1008, _)));
    let gone = house.gateway.api("POST", &format!("/api/v1/users/{id}/deactivate"), None).await;
    assert!((200..300).contains(&gone.status), "{}", gone.text);
    let answer = house.ask(("GET", BUILD, "/"), &cookie, &[]).await;
    assert_eq!(answer.status(), 401, "{}", answer.text());
}
