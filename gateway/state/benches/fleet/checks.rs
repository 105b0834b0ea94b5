//! What it costs a request to know that nobody was cut off.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use doorward_model::Presented;
use doorward_state::Revocations;
use redis::aio::MultiplexedConnection;

use crate::Settings;
use crate::house::{House, presented};
use crate::loading::Nodes;
use crate::process::core_time;
use crate::table::{self, Samples, number};

const AT_ONCE: [usize; 3] = [1, 64, 256];
/// Checks without I/O are timed by so many, as reading the clock takes as long as one.
const BATCH: u32 = 64;
/// People who come one after the other.
const PEOPLE: usize = 4096;
const SKEW: Duration = Duration::from_millis(2000);
const STRICT_PATIENCE: Duration = Duration::from_secs(1);
/// The hash that a gateway without a replica would ask.
const PEER: &str = "peer";

#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

struct Row {
    what: String,
    at_once: usize,
    count: u64,
    took: Duration,
    samples: Samples,
    own: Duration,
    redis: Duration,
}

/// What a task has done.
#[derive(Default)]
struct Done {
    count: u64,
    samples: Samples,
}

/// Runs tasks for a while, and looks what the processes took.
async fn trial<F, T>(settings: &Settings, house: &House, what: &str, at_once: usize, task: F) -> Row
where
    F: Fn(usize, Arc<AtomicBool>) -> T,
    T: Future<Output = Done> + Send + 'static,
{
    let stop = Arc::new(AtomicBool::new(false));
    let own = std::process::id();
    let (own_before, redis_before) = (core_time(own), core_time(house.redis.pid()));
    let begin = Instant::now();
    let tasks: Vec<_> = (0..at_once).map(|i| tokio::spawn(task(i, Arc::clone(&stop)))).collect();
    tokio::time::sleep(settings.check).await;
    stop.store(true, Ordering::Relaxed);
    let mut all = Done::default();
    for task in tasks {
        let done = task.await.unwrap();
        all.count += done.count;
        all.samples.join(done.samples);
    }
    Row {
        what: what.to_owned(),
        at_once,
        count: all.count,
        took: begin.elapsed(),
        samples: all.samples,
        own: core_time(own).saturating_sub(own_before),
        redis: core_time(house.redis.pid()).saturating_sub(redis_before),
    }
}

/// A task that checks without waiting for anything.
async fn busy(
    first: usize,
    people: Arc<Vec<Presented>>,
    stop: Arc<AtomicBool>,
    check: impl Fn(&Presented) -> bool,
) -> Done {
    let mut done = Done::default();
    let mut next = first;
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        for _ in 0..BATCH {
            next = (next + 1) % PEOPLE;
            black_box(check(black_box(&people[next])));
        }
        done.samples.add(begin.elapsed() / BATCH);
        done.count += u64::from(BATCH);
        tokio::task::yield_now().await;
    }
    done
}

async fn strict(node: Revocations, stop: Arc<AtomicBool>) -> Done {
    let mut done = Done::default();
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        assert!(node.read_index(STRICT_PATIENCE).await.is_ok(), "Redis answers");
        done.samples.add(begin.elapsed());
        done.count += 1;
    }
    done
}

async fn asking(
    mut connection: MultiplexedConnection,
    fields: Arc<Vec<[String; 5]>>,
    stop: Arc<AtomicBool>,
) -> Done {
    let mut done = Done::default();
    let mut next = 0;
    while !stop.load(Ordering::Relaxed) {
        next = (next + 1) % fields.len();
        let begin = Instant::now();
        let found: Vec<Option<Vec<u8>>> =
            redis::cmd("HMGET").arg(PEER).arg(&fields[next]).query_async(&mut connection).await.unwrap();
        assert!(found.iter().all(Option::is_none), "nobody of these was cut off");
        done.samples.add(begin.elapsed());
        done.count += 1;
    }
    done
}

/// Puts as many entries into a plain hash, and says what is asked for each person.
async fn peer(house: &House) -> (MultiplexedConnection, Arc<Vec<[String; 5]>>) {
    let client = redis::Client::open(format!("redis://{}/", house.redis.address())).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let page = 1000;
    for first in (0..house.entries).step_by(page) {
        let mut command = redis::cmd("HSET");
        command.arg(PEER);
        for i in first..house.entries.min(first + page as u64) {
            let target = crate::house::target(i);
            command.arg(format!("{}:{}", target.kind().as_str(), target.id())).arg("1795262400400:0:0");
        }
        command.exec_async(&mut connection).await.unwrap();
    }
    let of = |i: usize| {
        let who = presented(&format!("stays-{i}"));
        let targets: Vec<String> =
            who.targets().map(|t| format!("{}:{}", t.kind().as_str(), t.id())).collect();
        <[String; 5]>::try_from(targets).unwrap()
    };
    (connection, Arc::new((0..PEOPLE).map(of).collect()))
}

impl Table {
    pub(crate) async fn measure(&mut self, settings: &Settings, house: &House, nodes: &Nodes) {
        let staying: Arc<Vec<Presented>> =
            Arc::new((0..PEOPLE).map(|i| presented(&format!("stays-{i}"))).collect());
        if house.entries == 0 {
            for at_once in AT_ONCE {
                let row = trial(settings, house, "(a) no check", at_once, |first, stop| {
                    busy(first, Arc::clone(&staying), stop, |presented| presented.device.is_some())
                });
                self.rows.push(row.await);
            }
        }
        let million = house.entries as f64 / 1e6;
        for at_once in AT_ONCE {
            let what = format!("(b) lease, {} million entries, none of the five", number(million));
            let row = trial(settings, house, &what, at_once, |first, stop| {
                let node = nodes.gateway.clone();
                busy(first, Arc::clone(&staying), stop, move |presented| node.check(presented, SKEW).is_ok())
            });
            self.rows.push(row.await);
        }
        if house.entries == 0 {
            return;
        }
        assert!(nodes.gateway.check(&staying[0], SKEW).is_ok(), "who stays is let in");
        let step = (house.entries / 2 / PEOPLE as u64).max(1);
        let leaving = (0..PEOPLE as u64).map(|i| presented(&format!("alice-{:07}", i * step)));
        let leaving: Arc<Vec<Presented>> = Arc::new(leaving.collect());
        assert!(leaving.iter().all(|p| nodes.gateway.check(p, SKEW).is_err()), "who was cut off is refused");
        let what = format!("(b) lease, {} million entries, the user is cut off", number(million));
        let row = trial(settings, house, &what, 1, |first, stop| {
            let node = nodes.gateway.clone();
            busy(first, Arc::clone(&leaving), stop, move |presented| node.check(presented, SKEW).is_err())
        });
        self.rows.push(row.await);
        if house.entries != settings.entries {
            return;
        }
        for at_once in AT_ONCE {
            let what = "(c) strict: a look that begins after the request";
            let row = trial(settings, house, what, at_once, |_, stop| strict(nodes.gateway.clone(), stop));
            self.rows.push(row.await);
        }
        let (connection, fields) = peer(house).await;
        for at_once in AT_ONCE {
            let what = "(d) no replica: HMGET of five fields in Redis";
            let row = trial(settings, house, what, at_once, |_, stop| {
                asking(connection.clone(), Arc::clone(&fields), stop)
            });
            self.rows.push(row.await);
        }
        house.redis.command(&["UNLINK", PEER]).unwrap();
    }

    pub(crate) fn print(&self) {
        let micro = Duration::from_micros(1);
        let rows = self.rows.iter().map(|row| {
            let each = |core: Duration| number(core.as_secs_f64() * 1e6 / row.count as f64);
            let [p50, p99, max] = row.samples.told(micro);
            vec![
                row.what.clone(),
                row.at_once.to_string(),
                format!("{:.0}", row.count as f64 / row.took.as_secs_f64()),
                p50,
                p99,
                max,
                each(row.own),
                each(row.redis),
            ]
        });
        table::print(
            &format!(
                "A check, µs: time of (a) and (b) by {BATCH} at a time; µs of a core of this process and of Redis for \
                 each"
            ),
            &["check", "at once", "checks/s", "p50", "p99", "max", "own core", "Redis core"],
            &rows.collect::<Vec<_>>(),
        );
        let own = |begin: &str| {
            let row = self.rows.iter().rev().find(|r| r.what.starts_with(begin) && r.at_once == 256)?;
            Some((row.own + row.redis).as_secs_f64() / row.count as f64)
        };
        if let (Some(lease), Some(strict), Some(asked)) = (own("(b)"), own("(c)"), own("(d)")) {
            println!(
                "\nwith 256 at once, of all cores: (d) takes {} × as much as (b), {} × as much as (c)",
                number(asked / lease),
                number(asked / strict)
            );
        }
    }
}
