//! A thousand streams of a hundred people: exactly the streams of the one who is cut off end.

use std::time::Duration;

use doorward_tests::live::{BUILD, End, Kind, Live, Site, Via};
use serde_json::json;

const PEOPLE: usize = 100;
/// The streams of each of them.
const KINDS: [Kind; 10] = [
    Kind::WsIdle,
    Kind::WsTicking,
    Kind::Sse,
    Kind::Download,
    Kind::Upload,
    Kind::H2Sse,
    Kind::H2Download,
    Kind::H2Upload,
    Kind::GrpcWatch,
    Kind::GrpcEcho,
];
/// How many people share an HTTP/2 connection, which holds a hundred streams.
const SHARE: usize = 20;
/// Who leaves, one after the other.
const LEAVERS: [usize; 3] = [17, 42, 99];

fn id(person: usize) -> String {
    format!("demo:person-{person}")
}

async fn open_all(site: &Site) -> Vec<(usize, Live)> {
    let tokens: Vec<_> = (0..PEOPLE).map(|p| site.issuer.token_of(&format!("person-{p}"))).collect();
    let mut open = Vec::new();
    for (group, people) in tokens.chunks(SHARE).enumerate() {
        let via = Via::ALL[group % 2];
        let shared = site.h2(via, BUILD).await;
        // Side by side, as people come.
        let opening = people.iter().enumerate().map(|(i, token)| {
            let shared = shared.clone();
            async move {
                let mut own = Vec::new();
                for kind in KINDS {
                    let live = if kind.is_h2() {
                        site.open_on(&shared, kind, token).await
                    } else {
                        site.open(kind, Via::ALL[i % 2], token).await
                    };
                    own.push((group * SHARE + i, live.unwrap()));
                }
                own
            }
        });
        open.extend(futures_util::future::join_all(opening).await.into_iter().flatten());
    }
    open
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_a_hundred_leaves_and_the_others_miss_nothing() {
    // On as many threads as the machine has cores.
    let default_threads = |config: &mut doorward_tests::gateway::Config| {
        config.unset("gateway.threads");
    };
    let site = Site::start(Duration::from_millis(1000), default_threads).await;
    let mut open = open_all(&site).await;
    assert_eq!(open.len(), PEOPLE * KINDS.len());
    site.wait_inflight(None, open.len() as u64).await;
    for (_, live) in open.iter().filter(|(_, l)| l.kind().is_busy()) {
        live.wait_units(1).await;
    }
    for leaver in LEAVERS {
        let (gone, stay): (Vec<_>, Vec<_>) = open.into_iter().partition(|(p, _)| *p == leaver);
        open = stay;
        let receipt = site.gateway.revoke("user", &id(leaver)).await;
        assert_eq!(receipt["remaining"], 0, "{receipt}");
        let told = json!({"http1": 2, "http2": 2, "websocket": 2, "event_stream": 2, "grpc": 2});
        assert_eq!(receipt["ended"], told, "{receipt}");
        for (_, live) in gone {
            let kind = live.kind();
            let how = live.ended().await.how;
            assert!(kind.is_cut_off_by(&how), "{kind:?} of person {leaver}: {how:?}");
        }
        site.wait_inflight(Some(&id(leaver)), 0).await;
        site.wait_inflight(None, open.len() as u64).await;
        for (person, live) in &open {
            assert!(live.is_running(), "{:?} of person {person} ended when {leaver} left", live.kind());
        }
    }
    // Every stream that stayed counts on, from where it was.
    let before: Vec<u64> = open.iter().map(|(_, l)| l.units()).collect();
    for ((_, live), before) in open.iter().zip(before).filter(|((_, l), _)| l.kind().is_busy()) {
        live.wait_units(before + 1).await;
    }
    let finishing = open.into_iter().map(|(person, live)| async move {
        let kind = live.kind();
        (person, kind, live.finish().await.how)
    });
    for (person, kind, how) in futures_util::future::join_all(finishing).await {
        assert_eq!(how, End::Whole, "{kind:?} of person {person}");
    }
    site.wait_inflight(None, 0).await;
    site.wait_open_at_app(0).await;
}
