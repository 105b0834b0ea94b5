//! Every kind of stream ends, and ends as its protocol ends things.

use std::time::Duration;

use doorward_tests::h1::H1;
use doorward_tests::live::{BUILD, End, Kind, Live, Site, Via};
use doorward_tests::wire::{Ending, until};

/// Streams count so often.
const TICK: Duration = Duration::from_millis(5);

/// One stream of a leaver and one of the same kind of somebody who stays.
async fn leaver_and_witness(site: &Site, kind: Kind, via: Via, faults: &mut Vec<String>) -> Live {
    let leaver = format!("leaver-{kind:?}-{via:?}").to_lowercase();
    let id = format!("demo:{leaver}");
    let witness = site.open(kind, via, &site.issuer.token_of("witness")).await.unwrap();
    let live = site.open(kind, via, &site.issuer.token_of(&leaver)).await.unwrap();
    let listed = u64::from(kind.is_listed());
    site.wait_inflight(Some(&id), listed).await;
    if kind.is_busy() {
        live.wait_units(3).await;
        witness.wait_units(3).await;
    }
    let receipt = site.gateway.revoke("user", &id).await;
    let told: u64 = receipt["ended"].as_object().unwrap().values().filter_map(|n| n.as_u64()).sum();
    let ended = live.ended().await;
    if !kind.is_cut_off_by(&ended.how) {
        faults.push(format!("{kind:?} {via:?} ended with {:?} after {} units", ended.how, ended.units));
    }
    if told != listed || receipt["remaining"] != 0 {
        faults.push(format!("{kind:?} {via:?}: the receipt says {receipt}"));
    }
    if !witness.is_running() {
        faults.push(format!("{kind:?} {via:?}: the stream of somebody else ended"));
    }
    site.wait_inflight(Some(&id), 0).await;
    witness
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_stream_ends_with_the_word_of_its_protocol() {
    let site = Site::start(TICK, |_| {}).await;
    let (mut faults, mut witnesses) = (Vec::new(), Vec::new());
    for via in Via::ALL {
        for kind in Kind::ALL {
            witnesses.push(leaver_and_witness(&site, kind, via, &mut faults).await);
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    let count = |w: &Live| u64::from(w.kind().is_listed());
    site.wait_inflight(Some("demo:witness"), witnesses.iter().map(count).sum()).await;
    for witness in witnesses {
        let kind = witness.kind();
        let ended = witness.finish().await;
        assert_eq!(ended.how, End::Whole, "the witness {kind:?} missed something");
    }
    // Nothing leaks, neither here nor at the app.
    site.wait_inflight(None, 0).await;
    site.wait_open_at_app(0).await;
    // The log says of each of them what ended it. A connection that waited was nothing that ran.
    let listed = Via::ALL.len() * Kind::ALL.into_iter().filter(|k| k.is_listed()).count();
    let terminated = until("an event for each stream that was cut off", || {
        let mut events = site.gateway.events();
        events.retain(|e| e["metadata"]["event_code"] == "access.exchange.terminated");
        (events.len() >= listed).then_some(events)
    })
    .await;
    assert_eq!(terminated.len(), listed);
    let mut revocations = site.gateway.events();
    revocations.retain(|e| e["metadata"]["event_code"] == "revocation.user");
    for event in terminated {
        let user = event["actor"]["user"]["uid"].as_str().unwrap();
        let ending = &event["unmapped"]["doorward"]["ending"];
        let of_user = |e: &&serde_json::Value| e["unmapped"]["doorward"]["revocation"]["target"] == user;
        let ids: Vec<_> = revocations.iter().filter(of_user).collect();
        let [revocation] = ids.as_slice() else { panic!("{user} was revoked once: {ids:?}") };
        assert_eq!(ending["revocation"], revocation["unmapped"]["doorward"]["revocation"]["id"], "{event}");
        assert!(ending["after_us"].is_u64(), "{event}");
    }
}

/// A client that takes the close frame and does not answer it is not waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_answer_a_goodbye_is_not_waited_for() {
    let site = Site::start(TICK, |_| {}).await;
    for via in Via::ALL {
        let leaver = format!("silent-{via:?}").to_lowercase();
        let token = site.issuer.token_of(&leaver);
        let mut client = H1::over(site.wire(via, BUILD, "http/1.1").await);
        client
            .send(format!(
                "GET /logs?every_millis=0 HTTP/1.1\r\nhost: {BUILD}\r\nauthorization: Bearer {token}\r\n\
                 connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                 sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            ))
            .await;
        assert_eq!(client.head().await.unwrap().status(), Some(101));
        site.wait_inflight(Some(&format!("demo:{leaver}")), 1).await;
        let receipt = site.gateway.revoke("user", &format!("demo:{leaver}")).await;
        assert_eq!(receipt["remaining"], 0, "{receipt}");
        let (seen, ending) = client.drain(Duration::from_secs(15)).await;
        assert_ne!(ending, Ending::StillOpen, "{via:?}");
        // The greeting of the app, if it came in time, and the goodbye with its status and its reason.
        let close = seen.windows(4).position(|w| w[0] == 0x88 && w[2..4] == 1008_u16.to_be_bytes());
        let close = close.unwrap_or_else(|| panic!("{via:?}: {seen:?}"));
        assert_eq!(seen.len(), close + 2 + usize::from(seen[close + 1]), "{via:?}: {seen:?}");
        site.wait_inflight(None, 0).await;
        site.wait_open_at_app(0).await;
    }
}

/// The app and the client talk all the time, so the kill meets a WebSocket in every state.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_in_the_middle_of_talking_gets_its_goodbye() {
    let site = Site::start(Duration::from_millis(1), |_| {}).await;
    for round in 0..5 {
        let (leaver, mut open) = (format!("talker-{round}"), Vec::new());
        let token = site.issuer.token_of(&leaver);
        for i in 0..40 {
            let kind = if i % 2 == 0 { Kind::WsTicking } else { Kind::WsEcho };
            let via = if i % 4 < 2 { Via::Plain } else { Via::Tls };
            open.push(site.open(kind, via, &token).await.unwrap());
        }
        for live in &open {
            live.wait_units(5).await;
        }
        site.gateway.revoke("user", &format!("demo:{leaver}")).await;
        let mut faults = Vec::new();
        for live in open {
            let kind = live.kind();
            let ended = live.ended().await;
            if !kind.is_cut_off_by(&ended.how) {
                faults.push((kind, ended.how, ended.units));
            }
        }
        assert!(faults.is_empty(), "round {round}: {} of 40: {faults:?}", faults.len());
    }
    site.wait_inflight(None, 0).await;
    site.wait_open_at_app(0).await;
}
