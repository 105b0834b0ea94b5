//! How fast the log is: `cargo run --release -p doorward-audit --example throughput`.
//!
//! Prints what `record` costs the thread of a request, how many events the writer makes durable
//! in a second, and how long a critical event takes while it does.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_audit::event::GatewayStop;
use doorward_audit::trail::HttpVersion;
use doorward_audit::{
    Arrival, Audit, AuditConfig, Ending, Event, Identity, Outcome, Recorded, Ruling, Trail,
};
use doorward_model::{
    AppId, Assurance, CountryCode, DevicePosture, Place, Presence, Principal, RouteId, UnixMillis, Visitor,
};

const EVENTS: u64 = 500_000;
const THREADS: u64 = 2;

type Failed = Box<dyn std::error::Error>;

/// What the requests share, as they do in the gateway.
/// What the policies saw, as it is recorded with a decision.
const SITUATION: &str = r#"{"v":1,"who":"visitor","does":"GET","route":{"id":"payroll/all","groups":["finance"],"tier":"restricted"},"place":{"ip":"203.0.113.7","zones":["corp"],"country":"DE","continent":"EU","asn":64500,"anonymizer":false},"now":1795212000123,"local":79200,"weekday":"fri","host":"payroll.corp.example","path":"/api/v1/runs"}"#;

struct Shared {
    principal: Arc<Principal>,
    place: Arc<Place>,
    route: RouteId,
    policy: Arc<str>,
    revision: Arc<str>,
    situation: Arc<str>,
}

fn main() -> Result<(), Failed> {
    let dir = std::env::temp_dir().join(format!("doorward-throughput-{}", std::process::id()));
    let shared = Shared {
        principal: Arc::new(Principal::Visitor(Visitor)),
        place: Arc::new(Place {
            ip: IpAddr::from([203, 0, 113, 7]),
            networks: ["corp".to_owned()].into(),
            country: CountryCode::new("DE")?,
            continent: Some("EU".to_owned()),
            asn: Some(64500),
            anonymizer: Presence::No,
            location: None,
        }),
        route: RouteId::new(AppId::new("payroll")?, "all")?,
        policy: "payroll-viewers-read".into(),
        revision: "b7e23ec29af22b0b".into(),
        situation: SITUATION.into(),
    };
    let identity = Identity { node: "gw-1".to_owned(), version: "0.1.0".to_owned() };
    let (audit, _) = Audit::open(AuditConfig::in_dir(&dir), identity, Arc::new(|| UnixMillis(0)))?;
    let outcome = run(&audit, &shared);
    std::fs::remove_dir_all(&dir)?;
    outcome
}

#[expect(clippy::disallowed_methods, reason = "an example that measures owns a clock")]
fn run(audit: &Audit, shared: &Shared) -> Result<(), Failed> {
    let started = Instant::now();
    let durable = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| record(audit, shared))).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let mut waits = Vec::new();
        while writers.iter().any(|w| !w.is_finished()) {
            let stop = GatewayStop { cause: "measured".to_owned(), cut_off: 0 };
            let at = Instant::now();
            runtime.block_on(audit.record_durable(Event::GatewayStopped(Box::new(stop))))?;
            waits.push(at.elapsed());
            std::thread::sleep(Duration::from_millis(10));
        }
        for (build, record) in writers.into_iter().filter_map(|w| w.join().ok()) {
            let each = |all: Duration| all.as_nanos() / u128::from(EVENTS / THREADS);
            println!("a thread: building the trail {} ns, record() {} ns", each(build), each(record));
        }
        Ok::<_, Failed>(waits)
    })?;
    audit.close()?;
    let took = started.elapsed().as_secs_f64();
    let health = audit.health();
    let mut waits = durable;
    waits.sort_unstable();
    println!(
        "durable: {} events of {} bytes in {took:.2} s: {:.0} events/s, {} commits, {} dropped",
        health.written,
        health.bytes / health.written.max(1),
        health.written as f64 / took,
        health.commits,
        health.dropped.total(),
    );
    println!(
        "a critical event meanwhile: median {:?}, longest {:?} of {}",
        waits.get(waits.len() / 2).unwrap_or(&Duration::ZERO),
        waits.last().unwrap_or(&Duration::ZERO),
        waits.len(),
    );
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "an example that measures owns a clock")]
fn record(audit: &Audit, shared: &Shared) -> (Duration, Duration) {
    let (mut build, mut record) = (Duration::ZERO, Duration::ZERO);
    let request_id: Arc<str> = "req-7f1c2a90-55c3-4d9f-9b1d-7e2f3a4b5c6d".into();
    for _ in 0..EVENTS / THREADS {
        let start = Instant::now();
        let event = Event::RequestDecided(Box::new(trail(shared, &request_id)));
        let built = Instant::now();
        let recorded = audit.record(event);
        record += built.elapsed();
        build += built - start;
        // As a client that waits for its answer would.
        if recorded == Recorded::Dropped {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    (build, record)
}

fn trail(shared: &Shared, request_id: &Arc<str>) -> Trail {
    let mut trail = Trail::begin(Arrival {
        request_id,
        received_at: UnixMillis(1_795_212_000_123),
        method: "GET",
        host: "payroll.corp.example",
        path: "/api/v1/runs",
        http_version: HttpVersion::Http2,
        user_agent: Some(b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        peer: IpAddr::from([203, 0, 113, 7]),
        trace: None,
    });
    trail.routed(&shared.route);
    let device = DevicePosture::default();
    trail.identified(Arc::clone(&shared.principal), None, Assurance::default(), &device);
    trail.located(Arc::clone(&shared.place));
    trail.decided(Ruling {
        outcome: Outcome::Allowed,
        determining: vec![Arc::clone(&shared.policy)],
        errors: Vec::new(),
        latency_micros: 143,
        revision: Arc::clone(&shared.revision),
        situation: Some(Arc::clone(&shared.situation)),
    });
    trail.answered(200);
    trail.finished(Ending::Completed, 512, 18_230, Duration::from_millis(12));
    trail
}
