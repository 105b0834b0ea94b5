//! `kill -9` while revocations are being acknowledged: what was acknowledged is never lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use doorward_tests::company::{Company, bearer};
use doorward_tests::gateway::Signal;
use doorward_tests::h1::{self, H1};
use doorward_tests::raw::RawUpstream;
use doorward_tests::wire::{until, within};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::seen;

const SEEDS: u64 = 50;
const REVOKERS: usize = 4;

/// A number that a seed and a place determine (SplitMix64).
fn random(seed: u64, place: u64) -> u64 {
    let mut z =
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(place.wrapping_mul(0xbf58_476d_1ce4_e5b9));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What is revoked, by what it is and how it is called, with a token that it must refuse.
struct Victim {
    kind: &'static str,
    id: String,
    action: &'static str,
    token: String,
}

fn victim(issuer: &doorward_tests::issuer::Issuer, seed: u64, i: u64) -> Victim {
    let name = format!("u{seed}-{i}");
    let changes = json!({
        "sub": name, "email": format!("{name}@x.test"), "device_id": format!("d-{name}"),
        "sid": format!("s-{name}"), "jti": format!("t-{name}"),
    });
    let (kind, id, action) = match random(seed, i) % 6 {
        0 => ("user", format!("demo:{name}"), "revoke"),
        1 => ("user", format!("demo:{name}"), "disable"),
        2 => ("session", format!("demo:s-{name}"), "revoke"),
        3 => ("token", format!("demo:t-{name}"), "revoke"),
        4 => ("device", format!("d-{name}"), "revoke"),
        _ => ("user_at_app", format!("build@demo:{name}"), "revoke"),
    };
    Victim { kind, id, action, token: issuer.token_but("bob", &changes) }
}

/// Revokes on a kept connection; none when the process died before it answered.
async fn revoke(client: &mut H1, host: &str, operator: &str, victim: &Victim) -> Option<Value> {
    let body = json!({
        "target": {"kind": victim.kind, "id": victim.id}, "action": victim.action, "cause": "kill -9",
    });
    let fields = [("authorization", operator), ("content-type", "application/json")];
    let request = h1::request("POST", host, "/api/v1/revocations", &fields, body.to_string().as_bytes());
    if !client.try_send(request).await {
        return None;
    }
    let answer = client.try_response("POST").await.filter(|a| a.whole)?;
    assert_eq!(answer.status(), 201, "{} {}: {}", victim.kind, victim.id, answer.text());
    Some(answer.json())
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_in_fifty_kills() {
    let upstream = RawUpstream::ok().await;
    let (issuer, mut gateway) = Company::new(upstream.address()).await.start().await;
    let issuer = Arc::new(issuer);
    let mut receipts = BTreeSet::new();
    let mut oldest = None;
    let mut total = 0;
    for seed in 1..=SEEDS {
        let acknowledged: Arc<Mutex<Vec<(Victim, Value)>>> = Arc::default();
        let (count, killed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut revokers = tokio::task::JoinSet::new();
        for revoker in 0..REVOKERS {
            let (acknowledged, count, issuer) =
                (Arc::clone(&acknowledged), Arc::clone(&count), Arc::clone(&issuer));
            let (operator, host) = (bearer(gateway.token()), gateway.operator().to_string());
            let (address, killed) = (gateway.operator(), Arc::clone(&killed));
            revokers.spawn(async move {
                // The kill may come before the connection; nothing else may end it.
                let Ok(stream) = TcpStream::connect(address).await else {
                    assert!(
                        killed.load(Ordering::SeqCst),
                        "seed {seed}: no connection, and nobody killed it"
                    );
                    return;
                };
                let mut client = H1::over(Box::new(stream));
                for i in 0.. {
                    let victim = victim(&issuer, seed, i * REVOKERS as u64 + revoker as u64);
                    let Some(receipt) = revoke(&mut client, &host, &operator, &victim).await else {
                        assert!(
                            killed.load(Ordering::SeqCst),
                            "seed {seed}: no answer, and nobody killed it"
                        );
                        return;
                    };
                    acknowledged.lock().unwrap().push((victim, receipt));
                    count.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        // Somewhere in the middle: after some acknowledgments, then a few hundred microseconds on.
        let enough = (random(seed, 1000) % 30) as usize;
        until("acknowledgments", || (count.load(Ordering::SeqCst) >= enough).then_some(())).await;
        tokio::time::sleep(Duration::from_micros(random(seed, 1001) % 5000)).await;
        killed.store(true, Ordering::SeqCst);
        gateway.signal(Signal::SIGKILL);
        within("the revokers to notice", async {
            while let Some(revoker) = revokers.join_next().await {
                revoker.unwrap();
            }
        })
        .await;

        gateway = gateway.restart(Signal::SIGKILL).await;
        let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
        total += acknowledged.len();
        for (victim, receipt) in &acknowledged {
            let (status, code) = seen::told(&gateway, "build.test", &victim.token).await;
            assert!(
                status == 401 && matches!(code.as_str(), "revoked" | "disabled"),
                "seed {seed}: {} {} {} was acknowledged and is {status} {code}",
                victim.action,
                victim.kind,
                victim.id
            );
            receipts.insert(receipt["id"].as_str().unwrap().to_owned());
        }
        if let Some((victim, _)) = acknowledged.into_iter().next() {
            oldest.get_or_insert(victim);
        }
        let oldest: &Victim = oldest.as_ref().unwrap_or_else(|| panic!("nothing was acknowledged"));
        assert_eq!(
            seen::told(&gateway, "build.test", &oldest.token).await.0,
            401,
            "seed {seed}: forgotten later"
        );
        // A token lives for ten minutes, and a slow machine may need longer for all of this.
        let bystander = issuer.token("bob");
        assert_eq!(seen::told(&gateway, "build.test", &bystander).await.0, 200, "seed {seed}: a bystander");
    }
    assert!(total > SEEDS as usize * 5, "only {total} acknowledgments in all");
    // What was acknowledged is in the audit log too, and torn tails were mended.
    let events = gateway.events();
    let written: BTreeSet<String> = events
        .iter()
        .filter_map(|e| e["unmapped"]["doorward"]["revocation"]["id"].as_str().map(str::to_owned))
        .collect();
    let missing: Vec<_> = receipts.difference(&written).collect();
    assert!(missing.is_empty(), "acknowledged and not in the audit log: {missing:?}");
    println!("{SEEDS} kills, {total} acknowledged revocations, none lost");
}
