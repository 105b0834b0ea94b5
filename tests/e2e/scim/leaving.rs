//! P11: `active=false` while streams run. All of theirs end, nobody else's do, and the log has it once.

use std::time::{Duration, Instant};

use doorward_demo::apps::{Pace, SampleApp};
use doorward_servers::Port;
use doorward_tests::company::{Company, sample};
use doorward_tests::gateway::Signal;
use doorward_tests::h1;
use doorward_tests::live::{BUILD, Kind, Via};
use doorward_tests::wire::until;
use serde_json::{Value, json};

use crate::client::{House, Provider, listen};

/// From the provider's request to the last byte of what ends by it, on a machine that may stand still for a while:
/// the benchmarks measure it. Less than the time after which what runs is looked at anyhow.
pub(crate) const CUT_WITHIN: Duration = Duration::from_secs(30);

/// A token says in which second it was made, and counts as made before whatever happened in that second.
pub(crate) const NEXT_SECOND: Duration = Duration::from_millis(1100);

const KINDS: [Kind; 8] = [
    Kind::WsIdle,
    Kind::WsTicking,
    Kind::WsEcho,
    Kind::Sse,
    Kind::Download,
    Kind::H2Sse,
    Kind::GrpcWatch,
    Kind::GrpcEcho,
];

async fn status_of(house: &House, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    let fields = [("authorization", bearer.as_str())];
    h1::ask(house.site.gateway.address(), "GET", BUILD, "/", &fields).await.status()
}

/// The events of this code about changes of lives.
fn told(house: &House, code: &str) -> Vec<Value> {
    let events = house.site.gateway.events();
    events.into_iter().filter(|event| event["metadata"]["event_code"] == json!(code)).collect()
}

async fn leaves(house: &House, provider: &Provider, name: &str, active: Value, path: Option<&str>) {
    let site = &house.site;
    let token = site.issuer.token_of(name);
    // Nobody was cut off before, so a token from before they were made known stays good.
    let id = provider.hire(name).await;
    let stays = site.issuer.token_of("bob");
    let (mut gone, mut stay) = (Vec::new(), Vec::new());
    for (i, kind) in KINDS.into_iter().enumerate() {
        gone.push(site.open(kind, Via::ALL[i % 2], &token).await.unwrap());
        stay.push(site.open(kind, Via::ALL[i % 2], &stays).await.unwrap());
    }
    assert_eq!(status_of(house, &token).await, 200);

    let began = Instant::now();
    let answer = provider.say_active(&id, &active, path).await;
    let answered = began.elapsed();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.json()["active"], json!(false));
    let receipt = answer.head.value("doorward-receipt").unwrap();
    let mut last = Duration::ZERO;
    for live in gone {
        let kind = live.kind();
        let ended = live.ended().await;
        assert!(kind.is_cut_off_by(&ended.how), "{kind:?}: {:?}", ended.how);
        last = last.max(ended.at.saturating_duration_since(began));
    }
    println!("{name}: answered after {answered:?}, the last byte after {last:?}");
    assert!(last < CUT_WITHIN, "{last:?}");
    assert_ne!(status_of(house, &token).await, 200);
    for live in &stay {
        assert!(live.is_running(), "{:?} of somebody else", live.kind());
    }
    assert_eq!(status_of(house, &stays).await, 200);

    let signed = site.gateway.api("GET", &format!("/api/v1/receipts/{receipt}"), None).await;
    assert_eq!(signed.status, 200, "{}", signed.text);
    let about_them: Vec<_> = told(house, "user.lifecycle.deactivate")
        .into_iter()
        .filter(|e| e.to_string().contains(&id))
        .collect();
    assert_eq!(about_them.len(), 1, "{about_them:?}");

    // The token that was good before is dead for ever; one that is made after the return is good.
    assert_eq!(provider.say_active(&id, &json!(true), path).await.status(), 200);
    assert_ne!(status_of(house, &token).await, 200, "nothing old comes back to life");
    tokio::time::sleep(NEXT_SECOND).await;
    assert_eq!(status_of(house, &site.issuer.token_of(name)).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p11_who_is_inactive_at_the_provider_is_cut_off_in_the_middle_of_everything() {
    let house = House::new().await;
    let provider = Provider::connect(&house.site.gateway, &house.intake, "okta").await;
    leaves(&house, &provider, "olga", json!(false), None).await;
    leaves(&house, &provider, "egon", json!("False"), Some("active")).await;
}

/// The newest events of this code about somebody, once there are so many: they may still be on their way.
async fn until_told(house: &House, code: &str, user: &str, count: usize) -> Vec<Value> {
    until(&format!("{count} of `{code}`"), || {
        let mut events = told(house, code);
        events.retain(|event| event["actor"]["user"]["uid"] == user);
        (events.len() >= count).then_some(events)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p11_five_sessions_and_a_websocket_end_with_one_event_each() {
    let house = House::new().await;
    let site = &house.site;
    let provider = Provider::connect(&site.gateway, &house.intake, "okta").await;
    let id = provider.hire("olga").await;
    let token = |n: usize| {
        let own = |word: &str| format!("{word}-olga-{n}");
        let claims = json!({"sub": "olga", "sid": own("s"), "jti": own("t"), "device_id": own("d")});
        site.issuer.token_but("bob", &claims)
    };
    let mut open = vec![site.open(Kind::WsTicking, Via::Tls, &token(0)).await.unwrap()];
    for n in 0..5 {
        let kind = [Kind::Sse, Kind::Download, Kind::H2Sse, Kind::GrpcWatch, Kind::GrpcEcho][n];
        open.push(site.open(kind, Via::ALL[n % 2], &token(n)).await.unwrap());
    }
    let began = Instant::now();
    let answer = provider.say_active(&id, &json!(false), None).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let receipt = answer.head.value("doorward-receipt").unwrap();
    let path = format!("/api/v1/receipts/{receipt}?wait_millis_max=20000");
    let signed: Value = serde_json::from_str(&house.site.gateway.api("GET", &path, None).await.text).unwrap();
    let revocation = &signed["content"]["facts"]["revocations"][0]["id"];
    for live in open {
        let kind = live.kind();
        let ended = live.ended().await;
        assert!(kind.is_cut_off_by(&ended.how), "{kind:?}: {:?}", ended.how);
        let after = ended.at.saturating_duration_since(began);
        assert!(after < CUT_WITHIN, "{kind:?}: {after:?}");
    }
    for n in 0..5 {
        assert_eq!(status_of(&house, &token(n)).await, 401, "session {n}");
    }
    let ended = until_told(&house, "access.exchange.terminated", "demo:olga", 6).await;
    let mut sessions: Vec<_> = ended.iter().map(|e| e["actor"]["session"]["uid"].as_str().unwrap()).collect();
    sessions.sort_unstable();
    assert_eq!(sessions, [0, 0, 1, 2, 3, 4].map(|n| format!("demo:s-olga-{n}")));
    for event in &ended {
        assert_eq!(&event["unmapped"]["doorward"]["ending"]["revocation"], revocation, "{event}");
    }
    let left = told(&house, "user.lifecycle.deactivate");
    assert_eq!(left.iter().filter(|event| event.to_string().contains(&id)).count(), 1, "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_so_after_a_crash_and_so_is_what_was_not_asked() {
    let intake = Port::take();
    let mut company = Company::new(sample(SampleApp::Wiki, Pace::default()).await).await;
    listen(&mut company.config, &intake);
    let (issuer, gateway) = company.start().await;
    let provider = Provider::connect(&gateway, &intake, "okta").await;
    let (gone, stays) = (provider.hire("gone").await, provider.hire("stays").await);
    let body = json!({"displayName": "Team", "members": [{"value": gone}, {"value": stays}]});
    let team = provider.ask("POST", "/Groups", Some(&body)).await.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(provider.say_active(&gone, &json!(false), None).await.status(), 200);
    tokio::time::sleep(NEXT_SECOND).await;
    let old = issuer.token_of("gone");
    let gateway = gateway.restart(Signal::SIGKILL).await;
    let active =
        async |id: &str| provider.ask("GET", &format!("/Users/{id}"), None).await.json()["active"].clone();
    assert_eq!((active(&gone).await, active(&stays).await), (json!(false), json!(true)));
    let read = provider.ask("GET", &format!("/Groups/{team}"), None).await.json();
    assert_eq!(read["members"].as_array().unwrap().len(), 2);
    for (token, status) in [(old, 401), (issuer.token_of("stays"), 200)] {
        let bearer = format!("Bearer {token}");
        let answer =
            h1::ask(gateway.address(), "GET", "build.test", "/", &[("authorization", &bearer)]).await;
        assert_eq!(answer.status(), status);
    }
}
