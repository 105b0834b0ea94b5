//! A gateway that was told to go still cuts people off, until the last stream is gone.

use std::time::Duration;

use doorward_tests::gateway::Signal;
use doorward_tests::live::{BUILD, End, Kind, Site, Via};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_cuts_streams_of_a_gateway_that_drains() {
    let mut site = Site::start(Duration::from_millis(20), |config| {
        config.set("limits.drain_seconds_max", json!(60));
    })
    .await;
    let kinds = Kind::ALL.into_iter().filter(|k| k.is_listed());
    let (mut leaver, mut stays) = (Vec::new(), Vec::new());
    let tokens = (site.issuer.token_of("leaver"), site.issuer.token_of("stays"));
    let shared = site.h2(Via::Tls, BUILD).await;
    for (i, kind) in kinds.enumerate() {
        let via = Via::ALL[i % 2];
        if kind.is_h2() {
            leaver.push(site.open_on(&shared, kind, &tokens.0).await.unwrap());
            stays.push(site.open_on(&shared, kind, &tokens.1).await.unwrap());
        } else {
            leaver.push(site.open(kind, via, &tokens.0).await.unwrap());
            stays.push(site.open(kind, via, &tokens.1).await.unwrap());
        }
    }
    let count = stays.len() as u64;
    site.wait_inflight(Some("demo:leaver"), count).await;
    site.wait_inflight(Some("demo:stays"), count).await;
    site.gateway.signal(Signal::SIGTERM);
    site.gateway.wait_log("draining").await;
    for live in stays.iter().chain(&leaver).filter(|l| l.kind().is_busy()) {
        live.wait_units(live.units() + 3).await;
    }
    let receipt = site.gateway.revoke("user", "demo:leaver").await;
    let mut faults = Vec::new();
    for live in leaver {
        let kind = live.kind();
        let how = live.ended().await.how;
        if !kind.is_cut_off_by(&how) {
            faults.push((kind, how));
        }
    }
    assert!(faults.is_empty(), "{faults:?} of {receipt}");
    site.wait_inflight(None, count).await;
    for live in stays {
        let kind = live.kind();
        if kind.is_busy() {
            live.wait_units(live.units() + 3).await;
        }
        assert_eq!(live.finish().await.how, End::Whole, "{kind:?}");
    }
    drop(shared);
    assert!(site.gateway.wait_exit().await.success(), "{}", site.gateway.log());
}
