//! Several people on one HTTP/2 connection, as behind a proxy or in a shared client: only the streams
//! of the one who is cut off are reset.

use std::time::Duration;

use doorward_tests::live::{BUILD, End, Kind, Site, Via};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_others_on_the_same_connection_live_on() {
    let site = Site::start(Duration::from_millis(5), |_| {}).await;
    for via in Via::ALL {
        let names = ["ann", "ben", "cem"].map(|n| format!("{n}-{via:?}").to_lowercase());
        let tokens = names.each_ref().map(|n| site.issuer.token_of(n));
        let h2 = site.h2(via, BUILD).await;
        let mut open: [Vec<_>; 3] = Default::default();
        for kind in Kind::ALL.into_iter().filter(|k| k.is_h2()) {
            for (person, token) in tokens.iter().enumerate() {
                for _ in 0..2 {
                    open[person].push(site.open_on(&h2, kind, token).await.unwrap());
                }
            }
        }
        for (name, open) in names.iter().zip(&open) {
            site.wait_inflight(Some(&format!("demo:{name}")), open.len() as u64).await;
        }
        let [anns, bens, cems] = open;
        for live in bens.iter().chain(&cems).filter(|l| l.kind().is_busy()) {
            live.wait_units(2).await;
        }
        site.gateway.revoke("user", &format!("demo:{}", names[0])).await;
        for live in anns {
            let kind = live.kind();
            let ended = live.ended().await;
            assert!(kind.is_cut_off_by(&ended.how), "{via:?} {kind:?}: {:?}", ended.how);
        }
        // The connection goes on, for the others and for an answer.
        let bearer = |token: &str| format!("Bearer {token}");
        let refused = h2.get(BUILD, "/", &[("authorization", &bearer(&tokens[0]))]).await;
        assert_eq!((refused.status, refused.json()["code"].clone()), (401, "revoked".into()));
        let granted = h2.get(BUILD, "/", &[("authorization", &bearer(&tokens[1]))]).await;
        assert_eq!(granted.status, 200);
        for live in bens.iter().chain(&cems) {
            assert!(live.is_running(), "{via:?} {:?} of somebody else ended", live.kind());
            if live.kind().is_busy() {
                live.wait_units(live.units() + 1).await;
            }
        }
        for live in bens.into_iter().chain(cems) {
            let kind = live.kind();
            assert_eq!(live.finish().await.how, End::Whole, "{via:?} {kind:?}");
        }
        assert_eq!(h2.ended(), None);
    }
    site.wait_inflight(None, 0).await;
    site.wait_open_at_app(0).await;
}
