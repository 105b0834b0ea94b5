//! A new process takes the sockets from the old one, and nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use doorward_demo::apps::{Pace, SampleApp};
use doorward_tests::company::{Company, bearer, sample};
use doorward_tests::gateway::{Gateway, Signal};
use doorward_tests::h1::{self, H1};
use doorward_tests::raw::RawUpstream;
use doorward_tests::wire::{until, within};
use doorward_tests::ws::{Next, Ws};
use serde_json::{Value, json};

/// Asks the operator listener until the answer is from the process that started at this time, or
/// later; both listen on one port during a hand-over. Answers the connection.
async fn operator_of_the_new(gateway: &Gateway, after: i64) -> H1 {
    within("the successor's operator API", async {
        loop {
            let mut client = H1::connect(gateway.operator()).await;
            let auth = bearer(gateway.token());
            let host = gateway.operator().to_string();
            let asked = client.try_ask("GET", &host, "/api/v1/status", &[("authorization", &auth)]).await;
            if let Some(answer) = asked
                && answer.json()["started_at"].as_i64().unwrap_or_default() > after
            {
                return client;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

async fn revoke_on(client: &mut H1, gateway: &Gateway, user: &str) -> Value {
    let auth = bearer(gateway.token());
    let body =
        json!({"target": {"kind": "user", "id": user}, "action": "revoke", "cause": "test"}).to_string();
    let fields = [("authorization", auth.as_str()), ("content-type", "application/json")];
    let host = gateway.operator().to_string();
    client.send(h1::request("POST", &host, "/api/v1/revocations", &fields, body.as_bytes())).await;
    let answer = client.response("POST").await;
    assert_eq!(answer.status(), 201, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn a_hand_over_loses_no_request_and_revocations_reach_the_old_process() {
    let app = sample(SampleApp::Build, Pace { tick: Duration::from_millis(20), ..Pace::default() }).await;
    let mut company = Company::new(app).await;
    // Long enough that a slow machine gets as far as the revocation.
    company.config.set("limits.drain_seconds_max", json!(20));
    let (issuer, mut gateway) = company.start().await;
    let started_at = {
        let status: Value =
            serde_json::from_str(&gateway.api("GET", "/api/v1/status", None).await.text).unwrap();
        status["started_at"].as_i64().unwrap()
    };
    let open = async |person: &str| {
        let auth = bearer(&issuer.token(person));
        let mut ws =
            Ws::open(gateway.address(), "build.test", "/logs", &[("authorization", &auth)]).await.unwrap();
        ws.until("line 1").await;
        ws
    };
    let (mut bob, mut dana) = (open("bob").await, open("dana").await);

    // Somebody asks all the time, each time on a connection of its own.
    let (done, good, bad) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(std::sync::Mutex::new(Vec::new())),
    );
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let auth = bearer(&issuer.token_of("asker"));
        let (done, good, bad, address) = (done.clone(), good.clone(), bad.clone(), gateway.address());
        asking.spawn(async move {
            while !done.load(Ordering::SeqCst) {
                match ask(address, &auth).await {
                    Ok(()) => drop(good.fetch_add(1, Ordering::SeqCst)),
                    Err(why) => bad.lock().unwrap().push(why),
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }

    let mut successor = gateway.successor();
    // A file that is there is not yet one that somebody listens at.
    successor.wait_log("ready to take over").await;
    gateway.signal(Signal::SIGQUIT);
    successor.wait_log("listening").await;
    let mut operator = operator_of_the_new(&gateway, started_at).await;
    gateway.wait_log("draining").await;

    // The old process's streams live on, until the drain ends or somebody is revoked at the new one.
    dana.until("line").await;
    let receipt = revoke_on(&mut operator, &gateway, "demo:bob").await;
    assert!(receipt["durable_at"].is_number(), "{receipt}");
    let ending = bob.ending().await;
    assert!(
        matches!(ending, Next::Closed(1008, _)),
        "{ending:?}: revoked at the new process, run by the old one"
    );
    dana.until("line").await;
    assert!(gateway.is_running());

    // The old one goes when its time is up; the new one has gone on all the time.
    until("the old process to end", || (!gateway.is_running()).then_some(())).await;
    assert_eq!(gateway.wait_exit().await.code(), Some(0), "{}", gateway.log());
    assert!(matches!(dana.ending().await, Next::Ended | Next::Closed(..)));
    for _ in 0..50 {
        let count = good.load(Ordering::SeqCst);
        until("requests to go on", || (good.load(Ordering::SeqCst) > count).then_some(())).await;
    }
    done.store(true, Ordering::SeqCst);
    while asking.join_next().await.is_some() {}
    assert!(
        bad.lock().unwrap().is_empty(),
        "{:?} and {} good ones",
        bad.lock().unwrap(),
        good.load(Ordering::SeqCst)
    );
    assert!(good.load(Ordering::SeqCst) > 100);

    // What was revoked stays revoked at the new one.
    successor.signal(Signal::SIGTERM);
    assert_eq!(successor.wait_exit().await.code(), Some(0), "{}", successor.log());
}

#[tokio::test]
async fn sigquit_without_a_successor_changes_nothing() {
    let upstream = RawUpstream::ok().await;
    let (issuer, mut gateway) = Company::new(upstream.address()).await.start().await;
    let auth = bearer(&issuer.token("bob"));
    let refused = |gateway: &Gateway| gateway.log().matches("nobody waits for the sockets").count();
    // No file, and one that was left behind.
    for n in 1..=2 {
        gateway.signal(Signal::SIGQUIT);
        until("the gateway to say that nobody waits", || (refused(&gateway) == n).then_some(())).await;
        ask(gateway.address(), &auth).await.unwrap();
        drop(std::os::unix::net::UnixListener::bind(gateway.folder().join("data/handover.sock")));
    }
    assert_eq!(gateway.api("GET", "/readyz", None).await.status, 200);
    assert!(gateway.is_running());
    gateway.signal(Signal::SIGTERM);
    assert_eq!(gateway.wait_exit().await.code(), Some(0), "{}", gateway.log());
}

#[tokio::test]
async fn a_successor_that_ends_while_it_waits_leaves_everything_as_it_was() {
    let upstream = RawUpstream::ok().await;
    let (issuer, mut gateway) = Company::new(upstream.address()).await.start().await;
    let auth = bearer(&issuer.token("bob"));
    let mut successor = gateway.successor();
    successor.wait_log("ready to take over").await;
    assert!(successor.log().contains(&gateway.pid().to_string()), "it says whom to send SIGQUIT");
    // It does not answer at the operator's address before it serves.
    for _ in 0..20 {
        assert_eq!(gateway.api("GET", "/readyz", None).await.status, 200);
    }
    successor.signal(Signal::SIGTERM);
    assert_eq!(successor.wait_exit().await.code(), Some(0), "{}", successor.log());
    gateway.signal(Signal::SIGQUIT);
    gateway.wait_log("nobody waits for the sockets").await;
    ask(gateway.address(), &auth).await.unwrap();
    assert!(gateway.is_running());
}

/// One request on a connection of its own.
async fn ask(address: std::net::SocketAddr, auth: &str) -> Result<(), String> {
    let stream = tokio::net::TcpStream::connect(address).await.map_err(|e| format!("connect: {e}"))?;
    let mut client = H1::over(Box::new(stream));
    let request =
        h1::request("GET", "build.test", "/", &[("authorization", auth), ("connection", "close")], b"");
    if !client.try_send(request).await {
        return Err("the request could not be sent".to_owned());
    }
    match client.try_response("GET").await {
        Some(answer) if answer.status() == 200 && answer.whole => Ok(()),
        Some(answer) => Err(format!("{}: {}", answer.status(), answer.text())),
        None => Err("no answer".to_owned()),
    }
}
