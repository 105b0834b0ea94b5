//! From `active: false` to the last byte of everything that somebody had open.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use doorward_tests::h1::H1;
use doorward_tests::live::{BUILD, Kind, Live, Via};
use serde_json::json;

use crate::Settings;
use crate::client::{House, Provider};
use crate::limits::{Limits, millis};
use crate::table::{Row, Samples, markdown};

const KINDS: [Kind; 8] = [
    Kind::WsIdle,
    Kind::WsTicking,
    Kind::SseIdle,
    Kind::Sse,
    Kind::Download,
    Kind::H2Sse,
    Kind::GrpcWatch,
    Kind::GrpcEcho,
];
const CLIENTS: usize = 8;
/// A provider may ask 500 times in one go, and each round is two calls.
const ROUNDS_OF_A_PROVIDER: usize = 200;

#[derive(Default)]
struct Phase {
    by_kind: BTreeMap<Kind, Samples>,
    all: Samples,
    answered: Samples,
    requests_per_second: f64,
}

async fn round(house: &House, provider: &Provider, name: &str, phase: &mut Phase) {
    let site = &house.site;
    let token = site.issuer.token_of(name);
    let id = provider.hire(name).await;
    let mut open: Vec<Live> = Vec::new();
    for (n, kind) in KINDS.into_iter().enumerate() {
        open.push(site.open(kind, if n % 2 == 0 { Via::Plain } else { Via::Tls }, &token).await.unwrap());
    }
    let began = Instant::now();
    let answer = provider.say_active(&id, &json!(false), None).await;
    phase.answered.add(began.elapsed());
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let mut last = Duration::ZERO;
    for live in open {
        let (kind, ended) = (live.kind(), live.ended().await);
        assert!(kind.is_cut_off_by(&ended.how), "{kind:?}: {:?}", ended.how);
        let took = ended.at.saturating_duration_since(began);
        last = last.max(took);
        phase.by_kind.entry(kind).or_default().add(took);
    }
    phase.all.add(last);
}

async fn phase(house: &Arc<House>, word: &str, rounds: usize, clients: usize) -> Phase {
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let (house, stop, asked) = (Arc::clone(house), Arc::clone(&stop), Arc::clone(&asked));
        load.spawn(async move {
            let bearer = format!("Bearer {}", house.site.issuer.token_of("load"));
            let mut client = H1::over(house.site.wire(Via::Plain, BUILD, "http/1.1").await);
            while !stop.load(Ordering::Relaxed) {
                let answer = client.ask("GET", BUILD, "/", &[("authorization", &bearer)]).await;
                assert_eq!(answer.status(), 200);
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let mut phase = Phase::default();
    let began = Instant::now();
    let mut provider = None;
    for number in 0..rounds {
        if number % ROUNDS_OF_A_PROVIDER == 0 {
            let name = format!("{word}-{number}");
            provider = Some(Provider::connect(&house.site.gateway, &house.intake, &name).await);
        }
        round(house, provider.as_ref().unwrap(), &format!("{word}{number}"), &mut phase).await;
    }
    phase.requests_per_second = asked.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    while let Some(client) = load.join_next().await {
        client.unwrap();
    }
    phase
}

pub(crate) async fn measure(settings: &Settings, limits: &Limits) {
    let house = Arc::new(House::with(&json!({"loss_percent_max": 100})).await);
    let idle = phase(&house, "idle", settings.rounds, 0).await;
    let loaded = phase(&house, "loaded", settings.rounds, CLIENTS).await;
    let mut rows: Vec<Row> = Vec::new();
    for (kind, samples) in &idle.by_kind {
        rows.push(Row::new(&format!("{kind:?}"), samples, loaded.by_kind.get(kind)));
    }
    rows.push(Row::new("everything that the person had", &idle.all, Some(&loaded.all)));
    rows.push(Row::new("the answer (durable, recorded)", &idle.answered, Some(&loaded.answered)));
    println!("\nmilliseconds from `active: false` to the last byte at the client\n");
    print!("{}", markdown("stream", &rows));
    println!("\nload: {CLIENTS} clients, {:.0} requests/s beside it", loaded.requests_per_second);
    println!(
        "a question of nothing: {} ms; a flush: {} ms",
        millis(limits.round_trip.median()),
        millis(limits.flush.median())
    );
}
