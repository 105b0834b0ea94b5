//! Revocations in the middle of a storm of connections: whatever the moment, no stream of the one who
//! is cut off survives, and none begins after the acknowledgment. An exchange registers first and
//! is checked then; a revocation marks first and looks then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use doorward_tests::live::{BUILD, Kind, Live, NotOpen, Site, Via};
use doorward_tests::wire::{until, within};
use serde_json::json;

const SEEDS: u64 = 24;
const CLIENTS: u64 = 12;
/// How many streams one client opens at most.
const OPENS_MAX: usize = 30;
/// Within this time of the first connection somebody is cut off, if enough is open by then.
const MICROS_MAX: u64 = 60_000;
const KINDS: [Kind; 7] = [
    Kind::WsIdle,
    Kind::WsTicking,
    Kind::Sse,
    Kind::Download,
    Kind::H2Sse,
    Kind::GrpcWatch,
    Kind::GrpcUnanswered,
];

/// Numbers that look like chance and are the same each time (xorshift).
struct Chance(u64);

impl Chance {
    fn new(seed: u64, of: u64) -> Self {
        let mut chance =
            Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ of.wrapping_mul(0xd1b5_4a32_d192_ed03) | 1);
        for _ in 0..8 {
            chance.below(1);
        }
        chance
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// What the clients of one storm share.
#[derive(Default)]
struct Storm {
    stop: AtomicBool,
    opened: AtomicU64,
}

/// Opens streams until it is refused, or told to stop.
async fn client(site: Arc<Site>, seed: u64, number: u64, token: String, storm: Arc<Storm>) -> Vec<Live> {
    let mut chance = Chance::new(seed, number);
    let shared = site.h2(Via::ALL[(number % 2) as usize], BUILD).await;
    let mut open = Vec::new();
    while open.len() < OPENS_MAX && !storm.stop.load(Ordering::SeqCst) {
        let kind = KINDS[chance.below(KINDS.len() as u64) as usize];
        let via = Via::ALL[chance.below(2) as usize];
        let opened = if kind.is_h2() {
            site.open_on(&shared, kind, &token).await
        } else {
            site.open(kind, via, &token).await
        };
        match opened {
            Ok(live) => {
                open.push(live);
                storm.opened.fetch_add(1, Ordering::SeqCst);
            }
            Err(NotOpen::Refused(401) | NotOpen::Cut) => break,
            Err(NotOpen::Refused(other)) => panic!("seed {seed}: {kind:?} was answered with {other}"),
        }
        tokio::time::sleep(Duration::from_micros(chance.below(3000))).await;
    }
    open
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stream_survives_a_revocation_in_a_storm() {
    let site = Arc::new(
        Site::start(Duration::from_millis(20), |config| {
            config.set("gateway.threads", json!(2));
        })
        .await,
    );
    let mut cut_off = 0;
    for seed in 0..SEEDS {
        let claims = json!({
            "sub": format!("storm-{seed}"), "sid": format!("sid-{seed}"), "jti": format!("jti-{seed}"),
            "device_id": format!("device-{seed}"),
        });
        let token = site.issuer.token_but("bob", &claims);
        let (kind, target) = [
            ("user", format!("demo:storm-{seed}")),
            ("session", format!("demo:sid-{seed}")),
            ("token", format!("demo:jti-{seed}")),
            ("device", format!("device-{seed}")),
        ][(seed % 4) as usize]
            .clone();
        let storm = Arc::new(Storm::default());
        let mut clients = tokio::task::JoinSet::new();
        for number in 0..CLIENTS {
            clients.spawn(client(Arc::clone(&site), seed, number, token.clone(), Arc::clone(&storm)));
        }
        tokio::time::sleep(Duration::from_micros(Chance::new(seed, 99).below(MICROS_MAX))).await;
        // However slow the machine is, each storm catches one more than the one before.
        let enough = || (storm.opened.load(Ordering::SeqCst) >= seed).then_some(());
        until("the storm to begin", enough).await;
        site.gateway.revoke(kind, &target).await;
        // From here on nothing may begin.
        for kind in KINDS {
            match site.open(kind, Via::Plain, &token).await {
                Err(NotOpen::Refused(401)) => {}
                // A gRPC refusal is an answer.
                Ok(live) if kind == Kind::GrpcWatch || kind == Kind::GrpcUnanswered => {
                    let how = live.ended().await.how;
                    assert!(
                        kind.is_cut_off_by(&how),
                        "seed {seed}: {kind:?} after the acknowledgment: {how:?}"
                    );
                }
                other => panic!("seed {seed}: {kind:?} after the acknowledgment: {:?}", other.err()),
            }
        }
        storm.stop.store(true, Ordering::SeqCst);
        let mut open = Vec::new();
        while let Some(some) = within("the clients", clients.join_next()).await {
            open.extend(some.unwrap());
        }
        cut_off += open.len();
        for live in open {
            let kind = live.kind();
            let ended = live.ended().await;
            assert!(
                kind.is_cut_off_by(&ended.how),
                "seed {seed}: {kind:?} ended with {:?} after {} units",
                ended.how,
                ended.units
            );
        }
        site.wait_inflight(Some(&format!("demo:storm-{seed}")), 0).await;
    }
    assert!(cut_off as u64 > SEEDS * 10, "only {cut_off} streams were caught in {SEEDS} storms");
    site.wait_inflight(None, 0).await;
    site.wait_open_at_app(0).await;
}
