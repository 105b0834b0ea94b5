//! What the records of 100,000 browser sessions cost, in Redis and in a file.
//!
//! ```text
//! cargo run --release -p doorward-state --example session_cost
//! ```
//!
//! Every person has one session, with two apps and a sealed refresh token of 400 bytes. Prints what one takes, and how
//! many calls of each kind are answered in a second when 64 wait at once.
#![expect(clippy::unwrap_used, reason = "a measurement, run by hand")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_model::time::Clocks;
use doorward_model::{AppId, KeyPath, UnixMillis, UserId};
use doorward_servers::{Redis, Setup};
use doorward_state::sessions::{OnceKind, Touch};
use doorward_state::{RedisSection, RevocationSection, SessionRecord, Sessions};

const SESSIONS: usize = 100_000;
const AT_ONCE: usize = 64;
const REFRESH_BYTES: usize = 400;
const NOW: UnixMillis = UnixMillis(1_795_262_400_400);
const HOUR: Duration = Duration::from_secs(3600);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let redis = Redis::start(&Setup::default());
        let used = || redis.info("used_memory").parse::<u64>().unwrap();
        for refresh in [false, true] {
            redis.command(&["FLUSHALL"]).unwrap();
            let before = used();
            fill(&open(dir.path(), Some(redis.address().to_string())), refresh).await;
            say("Redis", refresh, used().saturating_sub(before));
        }
        calls("Redis", &open(dir.path(), Some(redis.address().to_string()))).await;
        for refresh in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let sessions = open(dir.path(), None);
            fill(&sessions, refresh).await;
            let size = |part: &str| {
                let file = dir.path().join(format!("sessions.sqlite3{part}"));
                std::fs::metadata(file).map_or(0, |found| found.len())
            };
            say("a file", refresh, size(""));
            println!("{:42} {:8.1} MiB", "  its log beside it", size_mib(size("-wal")));
            if refresh {
                calls("a file", &sessions).await;
            }
        }
    });
}

fn size_mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn say(place: &str, refresh: bool, bytes: u64) {
    let what = format!("{place}, {} refresh token", if refresh { "with a" } else { "no" });
    let each = bytes / u64::try_from(SESSIONS).unwrap();
    println!("{what:42} {:8.1} MiB, {each} bytes a session", size_mib(bytes));
}

fn open(dir: &Path, redis: Option<String>) -> Sessions {
    let redis = redis.map(|address| RedisSection {
        addresses: Some(vec![address]),
        tls: Some(false),
        ..RedisSection::default()
    });
    let section = RevocationSection { redis, ..RevocationSection::default() };
    let config = section.check(&KeyPath::top(), dir, dir, "gw-1", &mut Vec::new()).unwrap();
    let clocks = Clocks { wall: Arc::new(|| NOW), uptime: Arc::new(|| Duration::ZERO) };
    Sessions::open(&config, dir, clocks).unwrap()
}

fn person(i: usize) -> UserId {
    format!("corp:00u{i:08}abcdefgh").parse().unwrap()
}

fn record(i: usize, refresh: bool) -> SessionRecord {
    SessionRecord {
        id: format!("dws-{i:022}").into(),
        person: person(i),
        issuer_session: Some(format!("corp:idx{i:020}").parse().unwrap()),
        signed_in_at: NOW,
        seen_at: NOW,
        validated_at: NOW,
        expires_at: NOW.plus(12 * HOUR),
        client: "203.0.113.77".parse().unwrap(),
        agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 \
                Safari/537.36"
            .to_owned(),
        device: None,
        apps: ["wiki", "payroll"].map(|app| AppId::new(app).unwrap()).into(),
        refresh: refresh.then(|| vec![b'x'; REFRESH_BYTES]),
        version: 0,
    }
}

/// Does something for each number up to `count`, many at once.
async fn each<F>(count: usize, work: impl Fn(usize) -> F) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..count {
        if tasks.len() == AT_ONCE {
            tasks.join_next().await.unwrap().unwrap();
        }
        tasks.spawn(work(i));
    }
    tasks.join_all().await;
    began.elapsed()
}

async fn fill(sessions: &Sessions, refresh: bool) {
    each(SESSIONS, |i| {
        let sessions = sessions.clone();
        async move { _ = sessions.create(record(i, refresh)).await.unwrap() }
    })
    .await;
}

async fn calls(place: &str, sessions: &Sessions) {
    const COUNT: usize = 20_000;
    let told = |what: &str, count: usize, took: Duration| {
        let rate = count as f64 / took.as_secs_f64();
        println!("{:42} {rate:8.0} a second", format!("  {place}: {what}"));
    };
    let took = each(COUNT, |i| {
        let sessions = sessions.clone();
        async move { _ = sessions.create(record(SESSIONS + i, true)).await.unwrap() }
    });
    told("create", COUNT, took.await);
    let took = each(COUNT, |i| {
        let sessions = sessions.clone();
        async move { _ = sessions.get(&person(i), &record(i, false).id).await.unwrap() }
    });
    told("get", COUNT, took.await);
    let took = each(COUNT, |i| {
        let sessions = sessions.clone();
        async move {
            let id = format!("c{i}");
            assert!(sessions.put_once(OnceKind::Enter, &id, vec![b'x'; 200], HOUR).await.unwrap());
            assert!(sessions.take_once(OnceKind::Enter, &id).await.unwrap().is_some());
        }
    });
    told("put and take", COUNT, took.await);
    let seen_at = NOW.plus(HOUR);
    let took = each(COUNT / 64, |i| {
        let sessions = sessions.clone();
        let seen = (i * 64..i * 64 + 64)
            .map(|i| Touch { person: person(i), id: record(i, false).id, seen_at, app: None })
            .collect::<Vec<_>>();
        async move { sessions.touch(&seen).await.unwrap() }
    });
    told("seen, 64 in one call", COUNT / 64 * 64, took.await);
}
