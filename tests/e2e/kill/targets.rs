//! Whom a revocation hits, and nobody else.

use std::time::Duration;

use doorward_tests::live::{BUILD, End, Kind, Live, NotOpen, OTHER, Site, Via};
use serde_json::json;

/// Who holds which token: name, person, session, token, device.
const TOKENS: [(&str, &str, &str, &str, &str); 4] = [
    ("a1", "ann", "s-1", "t-1", "d-1"),
    ("a2", "ann", "s-1", "t-2", "d-2"),
    ("a3", "ann", "s-2", "t-3", "d-2"),
    ("b1", "ben", "s-3", "t-4", "d-2"),
];

/// Where each of them has a stream; the last one is of the app `build-grpc`.
const STREAMS: [(&str, &str, Kind); 3] =
    [("build", BUILD, Kind::WsTicking), ("other", OTHER, Kind::Sse), ("build-grpc", BUILD, Kind::GrpcWatch)];

/// Kind, id (`#` is the number of the case, so that no case meets the mark of another), whose
/// streams end, at which apps.
const CASES: [(&str, &str, &[&str], &[&str]); 7] = [
    ("user", "demo:ann#", &["a1", "a2", "a3"], &["build", "other", "build-grpc"]),
    ("session", "demo:s-1#", &["a1", "a2"], &["build", "other", "build-grpc"]),
    ("token", "demo:t-1#", &["a1"], &["build", "other", "build-grpc"]),
    ("device", "d-2#", &["a2", "a3", "b1"], &["build", "other", "build-grpc"]),
    ("user_at_app", "build@demo:ann#", &["a1", "a2", "a3"], &["build"]),
    ("user_at_app", "build-grpc@demo:ben#", &["b1"], &["build-grpc"]),
    ("user", "demo:nobody#", &[], &[]),
];

async fn open_all(site: &Site, case: usize) -> Vec<(&'static str, &'static str, String, Live)> {
    let mut open = Vec::new();
    for (name, person, session, token, device) in TOKENS {
        let own = |id: &str| format!("{id}{case}");
        let claims =
            json!({"sub": own(person), "sid": own(session), "jti": own(token), "device_id": own(device)});
        let bearer = site.issuer.token_but("bob", &claims);
        for (app, host, kind) in STREAMS {
            let live = site.open_at(host, kind, Via::Plain, &bearer).await.unwrap();
            live.wait_units(1).await;
            open.push((name, app, bearer.clone(), live));
        }
    }
    open
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_hits_what_it_names_and_nothing_else() {
    let site = Site::start(Duration::from_millis(10), |_| {}).await;
    for (case, (kind, id, dies, at)) in CASES.into_iter().enumerate() {
        let open = open_all(&site, case).await;
        let id = id.replace('#', &case.to_string());
        let receipt = site.gateway.revoke(kind, &id).await;
        let ended: u64 = receipt["ended"].as_object().unwrap().values().filter_map(|n| n.as_u64()).sum();
        assert_eq!(ended, (dies.len() * at.len()) as u64, "{kind} {id}: {receipt}");
        for (name, app, bearer, live) in open {
            let stream = live.kind();
            let hit = dies.contains(&name) && at.contains(&app);
            if hit {
                let how = live.ended().await.how;
                assert!(stream.is_cut_off_by(&how), "{kind} {id}: {name} at {app}: {how:?}");
            } else {
                live.wait_units(live.units() + 1).await;
                assert_eq!(live.finish().await.how, End::Whole, "{kind} {id}: {name} at {app}");
            }
            // What holds for what runs holds for what comes.
            let host = if app == "other" { OTHER } else { BUILD };
            let again = site.open_at(host, Kind::Sse, Via::Plain, &bearer).await;
            let hit_again = dies.contains(&name) && at.contains(&if app == "other" { app } else { "build" });
            assert_eq!(
                again.err(),
                hit_again.then_some(NotOpen::Refused(401)),
                "{kind} {id}: {name} at {app}"
            );
        }
    }
    site.wait_inflight(None, 0).await;
    site.wait_open_at_app(0).await;
}

/// An agent acts for a person (RFC 8693): it goes with the person, and can go alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_goes_with_its_person() {
    let site = Site::start(Duration::from_millis(10), |config| {
        config.set("app.0.scope", json!("build:run"));
    })
    .await;
    for (case, (target, person_too)) in
        [("demo:person-0", true), ("demo:robot-1", false)].into_iter().enumerate()
    {
        let person = format!("person-{case}");
        let acting = json!({
            "sub": person, "scope": "build:run", "act": {"sub": format!("robot-{case}")},
        });
        let agent = site.issuer.token_but("bob", &acting);
        let own = site.open(Kind::Sse, Via::Plain, &site.issuer.token_of(&person)).await.unwrap();
        let acts = site.open(Kind::Sse, Via::Plain, &agent).await.unwrap();
        acts.wait_units(1).await;
        site.gateway.revoke("user", target).await;
        assert_eq!(acts.ended().await.how, End::Cut, "{target}");
        let own_end = if person_too { own.ended().await.how } else { own.finish().await.how };
        assert_eq!(own_end, if person_too { End::Cut } else { End::Whole }, "{target}");
    }
    site.wait_inflight(None, 0).await;
}
