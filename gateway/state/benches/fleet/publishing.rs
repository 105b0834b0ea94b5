//! How many changes a control node takes, publishes and acknowledges, and how far nodes fall behind.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use doorward_servers::Postgres;
use doorward_state::{PostgresSection, RevocationSection, Revocations, StateError};

use crate::Settings;
use crate::house::{House, clocks, config, redis, revoke, section, until};
use crate::polls::Followers;
use crate::process::core_time;
use crate::table::{self, Samples, number};

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How much is told of what went wrong.
const TROUBLE_CHARS: usize = 160;
const PAGE_BYTES: usize = 4096;
const SYNCS: Duration = Duration::from_secs(1);

/// Who keeps the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Directory {
    Sqlite,
    Postgres,
}

/// What the callers have seen.
#[derive(Default)]
struct Asked {
    acknowledged: AtomicU64,
    /// Durable, and told to go out later.
    late: AtomicU64,
}

/// How the nodes stood while changes arrived.
#[derive(Default)]
struct Behind {
    entries: Vec<u64>,
    looks: usize,
    /// Of a look at a node: it had no lease.
    unleased: usize,
}

impl Behind {
    fn look(&mut self, acknowledged: u64, nodes: &Followers) {
        self.entries.push(acknowledged.saturating_sub(nodes.least()));
        for node in &nodes.nodes {
            self.looks += 1;
            self.unleased += usize::from(!node.fleet_health().is_some_and(|health| health.leased));
        }
    }

    fn told(&mut self) -> [String; 3] {
        if self.looks == 0 {
            return ["-", "-", "-"].map(str::to_owned);
        }
        self.entries.sort_unstable();
        let at = |percent: usize| self.entries[(self.entries.len() * percent).div_ceil(100).max(1) - 1];
        let share = self.unleased as f64 * 100.0 / self.looks as f64;
        [at(50).to_string(), at(100).to_string(), number(share)]
    }
}

/// A directory that nobody has used.
fn place(directory: Directory, postgres: &Postgres, dir: &Path) -> RevocationSection {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    match directory {
        Directory::Sqlite => section("sqlite", None),
        Directory::Postgres => {
            let file = dir.join("postgres.password");
            std::fs::write(&file, postgres.password()).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
            let name = format!("trial{}", COUNT.fetch_add(1, Ordering::Relaxed));
            postgres.psql_as_admin(&format!("CREATE DATABASE {name} OWNER doorward")).unwrap();
            let postgres = PostgresSection {
                address: Some(postgres.address().to_string()),
                database: Some(name),
                password_file: Some("postgres.password".into()),
                tls: Some(false),
                ..PostgresSection::default()
            };
            RevocationSection { postgres: Some(postgres), ..section("postgres", None) }
        }
    }
}

/// Calls as fast as it is answered.
async fn call(control: Revocations, caller: String, asked: Arc<Asked>, stop: Arc<AtomicBool>) -> Samples {
    let (mut samples, mut number) = (Samples::default(), 0);
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let begin = Instant::now();
        match control.apply(revoke(&format!("{caller}-{number}"))).await {
            Ok(_) => {
                samples.add(begin.elapsed());
                asked.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err(StateError::NotPublished { .. }) => {
                asked.late.fetch_add(1, Ordering::Relaxed);
            }
            Err(why) => panic!("a change is refused: {why}"),
        }
    }
    samples
}

async fn trial(
    settings: &Settings,
    directory: Directory,
    postgres: &Postgres,
    followers: Option<usize>,
) -> Vec<String> {
    let house = House::filled(0);
    let mut section = place(directory, postgres, house.dir.path());
    if followers.is_some() {
        section.redis = Some(redis(&house.redis.address().to_string()));
    }
    let config = config(&section, house.dir.path(), "control");
    let (control, _) =
        tokio::task::spawn_blocking(move || Revocations::open(&config, clocks())).await.unwrap().unwrap();
    let mut nodes = None;
    if let Some(count) = followers {
        until("the directory is in Redis", PATIENCE, || {
            control.fleet_health().is_some_and(|health| health.blessings_total > 0)
        })
        .await;
        nodes = Some(Followers::start(&house, count, 250, None).await);
    }
    let (asked, stop) = (Arc::new(Asked::default()), Arc::new(AtomicBool::new(false)));
    let own = std::process::id();
    let (own_before, redis_before, begin) = (core_time(own), core_time(house.redis.pid()), Instant::now());
    let calls = (0..settings.callers).map(|caller| {
        tokio::spawn(call(control.clone(), format!("c{caller}"), Arc::clone(&asked), Arc::clone(&stop)))
    });
    let calls: Vec<_> = calls.collect();
    let (mut behind, mut troubles) = (Behind::default(), BTreeSet::new());
    let acknowledged = || asked.acknowledged.load(Ordering::Relaxed);
    while begin.elapsed() < settings.publish {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Some(nodes) = &nodes {
            behind.look(acknowledged(), nodes);
        }
        troubles.extend(control.fleet_health().and_then(|health| health.trouble));
    }
    stop.store(true, Ordering::Relaxed);
    let mut samples = Samples::default();
    for call in calls {
        samples.join(call.await.unwrap());
    }
    let took = begin.elapsed();
    let redis_core = core_time(house.redis.pid()).saturating_sub(redis_before);
    let own_core = core_time(own).saturating_sub(own_before);
    let all = acknowledged() + asked.late.load(Ordering::Relaxed);
    let mut caught_up = "-".to_owned();
    if let Some(nodes) = nodes {
        let late = until("all nodes have everything", PATIENCE, || nodes.least() >= all).await;
        caught_up = number(late.as_secs_f64() * 1e3);
        nodes.close().await;
    }
    control.close().await;
    let each = |core: Duration| number(core.as_secs_f64() * 1e6 / all as f64);
    let [p50, p99, max] = samples.told(Duration::from_millis(1));
    let [usual, worst, unleased] = behind.told();
    let name = match followers {
        None => format!("{directory:?} alone, no fleet"),
        Some(0) => format!("{directory:?} and Redis"),
        Some(count) => format!("{directory:?} and Redis, {count} nodes follow"),
    };
    for trouble in troubles {
        let begin: String = trouble.chars().take(TROUBLE_CHARS).collect();
        println!("* {name}: nothing was published for a while: {begin}");
    }
    vec![
        name,
        format!("{:.0}", acknowledged() as f64 / took.as_secs_f64()),
        p50,
        p99,
        max,
        asked.late.load(Ordering::Relaxed).to_string(),
        each(own_core),
        if followers.is_some() { each(redis_core) } else { "-".to_owned() },
        usual,
        worst,
        caught_up,
        unleased,
    ]
}

/// The limit of whoever brings each change to the disk by itself.
fn synced(dir: &Path) -> Samples {
    let mut file = File::create(dir.join("synced")).unwrap();
    let (page, begin, mut samples) = ([7; PAGE_BYTES], Instant::now(), Samples::default());
    while begin.elapsed() < SYNCS {
        let sent = Instant::now();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(&page).unwrap();
        file.sync_data().unwrap();
        samples.add(sent.elapsed());
    }
    samples
}

pub(crate) async fn measure(settings: &Settings) {
    let postgres = Postgres::start();
    let dir = tempfile::tempdir().unwrap();
    let [p50, p99, max] = synced(dir.path()).told(Duration::from_millis(1));
    let mut rows = Vec::new();
    for directory in [Directory::Sqlite, Directory::Postgres] {
        for followers in [None, Some(0), Some(settings.followers)] {
            rows.push(trial(settings, directory, &postgres, followers).await);
        }
    }
    table::print(
        &format!(
            "Changes by {} callers at once, for {} s each; ms until acknowledged; µs of a core for each change; nodes \
             share process and cores with the callers",
            settings.callers,
            settings.publish.as_secs()
        ),
        &[
            "directory",
            "changes/s",
            "p50",
            "p99",
            "max",
            "told later",
            "own core",
            "Redis core",
            "slowest node behind, p50",
            "max",
            "caught up after, ms",
            "% looks without a lease",
        ],
        &rows,
    );
    println!("\n4 KiB written and brought to this disk (fdatasync), ms: p50 {p50}, p99 {p99}, max {max}");
}
