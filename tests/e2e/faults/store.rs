//! The store of revocations cannot be written: revocations are in force all the same and say that
//! they are not durable, nobody is given access back, and it mends itself.

use std::time::Duration;

use doorward_demo::apps::{Pace, SampleApp};
use doorward_tests::company::{Company, bearer, sample};
use doorward_tests::gateway::{Answer, Gateway, Signal};
use doorward_tests::issuer::Issuer;
use doorward_tests::wire::{now, within};
use doorward_tests::ws::{Next, Ws};
use serde_json::{Value, json};

use crate::disk::Disk;
use crate::seen;

fn body(answer: &Answer) -> Value {
    serde_json::from_str(&answer.text).unwrap_or_else(|e| panic!("{e}: {answer:?}"))
}

async fn stream(gateway: &Gateway, issuer: &Issuer, name: &str) -> Ws {
    let auth = bearer(&issuer.token_of(name));
    let mut ws =
        Ws::open(gateway.address(), "build.test", "/logs", &[("authorization", &auth)]).await.unwrap();
    ws.until("line 1").await;
    ws
}

/// Revokes people until one cannot be saved; answers who was, by the name in their tokens, and what
/// was said of the last one, who was not.
async fn until_full(gateway: &Gateway, long: &str) -> (Vec<String>, Answer) {
    let mut acknowledged = Vec::new();
    within("the store to be full", async {
        loop {
            let name = format!("filler-{}-{long}", acknowledged.len());
            let answer = gateway.change("revoke", "user", &format!("demo:{name}")).await;
            if answer.status != 201 {
                return (acknowledged, answer);
            }
            acknowledged.push(name);
        }
    })
    .await
}

/// None of these comes in with a token from before.
async fn all_revoked(gateway: &Gateway, issuer: &Issuer, names: &[String]) {
    let before = now().seconds() - 300;
    for name in names {
        let token = issuer.token_but("bob", &json!({"sub": name, "iat": before, "auth_time": before}));
        let told = seen::told(gateway, "build.test", &token).await;
        assert_eq!(told, (401, "revoked".to_owned()), "{name} was acknowledged");
    }
}

/// What must hold while the store cannot be written.
async fn bites_without_a_store(gateway: &Gateway, issuer: &Issuer) -> String {
    let (old, mut ws) = (issuer.token_of("victim"), stream(gateway, issuer, "victim").await);
    let mut other = stream(gateway, issuer, "other").await;
    assert_eq!(seen::told(gateway, "build.test", &old).await.0, 200);

    let answer = gateway.change("revoke", "user", "demo:victim").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    let said = body(&answer);
    assert_eq!((&said["enforced"], &said["durable"]), (&json!(true), &json!(false)), "{said}");
    assert_eq!(said["code"], "not_durable");
    let detail = said["detail"].as_str().unwrap();
    assert!(detail.contains("is full") && detail.contains("it is in force here"), "{detail}");

    assert!(matches!(ws.ending().await, Next::Closed(1008, _)), "the stream is cut");
    assert_eq!(seen::told(gateway, "build.test", &old).await, (401, "revoked".into()));
    other.until("line").await;
    // The command says it too, with an exit code of its own.
    let command = gateway.command(&["revoke", "user", "demo:by-command"]).await;
    assert_eq!(command.code, Some(4), "{command:?}");
    let told = format!("{}{}", command.stdout, command.stderr);
    assert!(told.contains("full") && told.contains("restart"), "{told}");

    // Nobody is given access back.
    assert_eq!(gateway.change("disable", "user", "demo:gone").await.status, 503);
    let answer = gateway.change("reactivate", "user", "demo:gone").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(body(&answer)["code"], "grants_refused");
    assert_eq!(body(&answer)["enforced"], false);
    assert!(body(&answer)["detail"].as_str().unwrap().contains("nobody is reactivated"), "{answer:?}");
    assert_eq!(seen::told(gateway, "build.test", &issuer.token_of("gone")).await, (401, "disabled".into()));

    let condition = seen::condition_comes_to(gateway, "revocations", 200, "degraded").await;
    assert!(condition["detail"].as_str().unwrap().contains("cannot be written"), "{condition}");
    seen::metric_comes_to(gateway, "doorward_revocation_store_writable", 0.0).await;
    assert!(gateway.metrics().await["doorward_revocation_unsaved"] >= 2.0);
    gateway.wait_log("is full").await;
    old
}

#[tokio::test]
async fn a_store_at_its_bound_refuses_to_forget() {
    let app = sample(SampleApp::Build, Pace::default()).await;
    let mut company = Company::new(app).await;
    company.config.set("revocation.store_bytes_max", json!(128 * 1024));
    let (issuer, gateway) = company.start().await;
    let (acknowledged, answer) = until_full(&gateway, &"x".repeat(200)).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(acknowledged.len() > 10, "{acknowledged:?}");
    let old = bites_without_a_store(&gateway, &issuer).await;

    // A larger bound, and everything that was acknowledged is there; what was not is told again.
    let gateway = gateway
        .restart_with(Signal::SIGTERM, |c| {
            c.set("revocation.store_bytes_max", json!(1 << 24));
        })
        .await;
    seen::metric_comes_to(&gateway, "doorward_revocation_store_writable", 1.0).await;
    all_revoked(&gateway, &issuer, &acknowledged).await;
    gateway.revoke("user", "demo:victim").await;
    assert_eq!(seen::told(&gateway, "build.test", &old).await, (401, "revoked".into()));
    assert_eq!(gateway.change("reactivate", "user", "demo:gone").await.status, 201);
}

#[tokio::test]
async fn a_full_disk_under_the_store_mends_itself_and_then_nothing_is_lost() {
    let Some(disk) = Disk::mount(16) else { return };
    let app = sample(SampleApp::Build, Pace::default()).await;
    let mut company = Company::new(app).await;
    company.config.set("revocation.store_file", json!(disk.path().join("revocations.sqlite3")));
    let (issuer, gateway) = company.start().await;
    gateway.revoke("user", "demo:early").await;
    disk.fill();
    let (acknowledged, _) = until_full(&gateway, "").await;
    let old = bites_without_a_store(&gateway, &issuer).await;

    disk.empty();
    seen::metric_comes_to(&gateway, "doorward_revocation_unsaved", 0.0).await;
    seen::condition_comes_to(&gateway, "revocations", 200, "holds").await;
    assert_eq!(gateway.change("reactivate", "user", "demo:gone").await.status, 201);
    tokio::time::sleep(Duration::from_millis(5)).await;
    // What was in force without a disk is on it now: it survives the worst of ends.
    let gateway = gateway.restart(Signal::SIGKILL).await;
    assert_eq!(seen::told(&gateway, "build.test", &old).await, (401, "revoked".into()));
    let unsaved = format!("filler-{}-", acknowledged.len());
    let early = "early".to_owned();
    all_revoked(&gateway, &issuer, &[&acknowledged[..], &[unsaved, early]].concat()).await;
}

#[tokio::test]
async fn a_damaged_or_missing_store_is_no_empty_store() {
    let app = sample(SampleApp::Build, Pace::default()).await;
    let (_issuer, gateway) = Company::new(app).await.start().await;
    gateway.revoke("user", "demo:victim").await;
    let file = gateway.folder().join("data/revocations.sqlite3");
    let config = gateway.config_file();
    let run = async || {
        doorward_tests::gateway::command(&[
            std::ffi::OsStr::new("run"),
            "--config".as_ref(),
            config.as_os_str(),
        ])
        .await
    };
    let mut gateway = gateway;
    gateway.signal(Signal::SIGTERM);
    gateway.wait_exit().await;

    let good = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let missing = run().await;
    assert_eq!(missing.code, Some(1), "{missing:?}");
    let said = format!("{}{}", missing.stdout, missing.stderr);
    assert!(said.contains("is missing") && said.contains("restore it"), "{said}");

    let mut damaged = good.clone();
    for byte in damaged.iter_mut().skip(20).take(5000) {
        *byte ^= 0x5a;
    }
    std::fs::write(&file, damaged).unwrap();
    let broken = run().await;
    assert_eq!(broken.code, Some(1), "{broken:?}");
    let said = format!("{}{}", broken.stdout, broken.stderr);
    assert!(said.contains("revocations.sqlite3"), "{said}");
    assert!(said.contains("damaged") || said.contains("not a store"), "{said}");
}
