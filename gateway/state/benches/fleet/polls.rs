//! What nodes cost Redis: by polling, by being pushed to, and by reading what they were not pushed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use doorward_servers::Redis;
use doorward_state::{FleetHealth, RedisSection, Revocations};
use tokio::sync::mpsc;

use crate::Settings;
use crate::burst;
use crate::house::{House, clocks, config, redis, revoke, section, until};
use crate::process::core_time;
use crate::table::{self, Samples, number};

const PATIENCE: Duration = Duration::from_secs(30);
/// With so many nodes as are measured here, as many polls a second as a thousand send by default.
const FAST_MILLIS: u64 = 25;
const SLOW_MILLIS: u64 = 250;
/// Changes that are published one after the other to nobody.
const ALONE: usize = 300;

/// Gateway nodes in this process.
pub(crate) struct Followers {
    pub(crate) nodes: Vec<Revocations>,
    /// How many changes each has applied since.
    pub(crate) applied: Arc<Vec<AtomicU64>>,
}

/// What a core of Redis is taken for, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Costs {
    poll: f64,
    poll_bytes: f64,
    /// For each node.
    push: f64,
    /// For each entry and node.
    read: f64,
    /// Without any node.
    write: f64,
}

impl Followers {
    /// Starts so many, and waits until all have a lease.
    pub(crate) async fn start(
        house: &House,
        count: usize,
        poll_millis: u64,
        told: Option<mpsc::UnboundedSender<Instant>>,
    ) -> Self {
        let applied: Arc<Vec<AtomicU64>> = Arc::new((0..count).map(|_| AtomicU64::new(0)).collect());
        let mut nodes = Vec::new();
        for number in 0..count {
            let place =
                RedisSection { poll_millis: Some(poll_millis), ..redis(&house.redis.address().to_string()) };
            let config = config(&section("none", Some(place)), house.dir.path(), &format!("gw-{number}"));
            let (node, _) = Revocations::open(&config, clocks()).unwrap();
            let (applied, told) = (Arc::clone(&applied), told.clone());
            node.subscribe(Arc::new(move |_| {
                applied[number].fetch_add(1, Ordering::Relaxed);
                if let Some(told) = &told {
                    let _over = told.send(Instant::now());
                }
                doorward_state::Ended::default()
            }));
            nodes.push(node);
        }
        let leased = |node: &Revocations| node.fleet_health().is_some_and(|health| health.leased);
        until("all nodes have a lease", PATIENCE, || nodes.iter().all(leased)).await;
        // What was there before came with the snapshot.
        applied.iter().for_each(|count| count.store(0, Ordering::Relaxed));
        Self { nodes, applied }
    }

    fn sum(&self, of: impl Fn(FleetHealth) -> u64) -> u64 {
        self.nodes.iter().filter_map(Revocations::fleet_health).map(of).sum()
    }

    fn polls(&self) -> u64 {
        self.sum(|health| health.polls_total)
    }

    /// What they have done so far: polls that renewed a lease, polls that did not, entries that were
    /// pushed to them, and how often all was read anew.
    pub(crate) fn deeds(&self) -> [u64; 4] {
        [
            self.polls(),
            self.sum(|health| health.poll_failures_total),
            self.sum(|health| health.pushes_total),
            self.sum(|health| health.resyncs_total),
        ]
    }

    /// What the one that has applied least has applied. Where there is none, nobody lacks anything.
    pub(crate) fn least(&self) -> u64 {
        self.applied.iter().map(|count| count.load(Ordering::Relaxed)).min().unwrap_or(u64::MAX)
    }

    pub(crate) async fn close(self) {
        let closing: Vec<_> = self.nodes.into_iter().map(|node| tokio::spawn(node.close())).collect();
        for node in closing {
            node.await.unwrap();
        }
    }
}

fn traffic(redis: &Redis) -> u64 {
    ["total_net_input_bytes", "total_net_output_bytes"]
        .map(|f| redis.info(f).parse::<u64>().unwrap())
        .iter()
        .sum()
}

/// What Redis takes for itself and for the control node, while nothing happens.
async fn idle(settings: &Settings, house: &House) -> f64 {
    let (core, begin) = (core_time(house.redis.pid()), Instant::now());
    tokio::time::sleep(settings.polls / 2).await;
    core_time(house.redis.pid()).saturating_sub(core).as_secs_f64() / begin.elapsed().as_secs_f64()
}

/// Counts polls for a while: how many a second, how much of a core, and bytes for each.
async fn count(settings: &Settings, house: &House, nodes: &Followers, idle: f64) -> (f64, f64, f64, f64) {
    let bytes = traffic(&house.redis);
    let (core, polls, begin) = (core_time(house.redis.pid()), nodes.polls(), Instant::now());
    tokio::time::sleep(settings.polls).await;
    let seconds = begin.elapsed().as_secs_f64();
    let polls = (nodes.polls() - polls) as f64;
    let core = core_time(house.redis.pid()).saturating_sub(core).as_secs_f64();
    let bytes = (traffic(&house.redis) - bytes) as f64;
    (polls / seconds, core / seconds, (core - idle * seconds).max(0.0) * 1e6 / polls, bytes / polls)
}

pub(crate) async fn measure(settings: &Settings) -> Costs {
    let house = House::filled(0);
    let control = house.control();
    until("the directory is in Redis", PATIENCE, || {
        control.fleet_health().is_some_and(|health| health.blessings_total > 0)
    })
    .await;
    let idle = idle(settings, &house).await;
    let mut rows = vec![vec!["a control node alone".to_owned(), "-".to_owned(), number(idle * 100.0)]];
    rows[0].extend(["-".to_owned(), "-".to_owned()]);
    // What a change costs when nobody but the control node hears of it.
    let core = core_time(house.redis.pid());
    let begin = Instant::now();
    for i in 0..ALONE {
        control.apply(revoke(&format!("alone-{i}"))).await.unwrap();
    }
    let core = core_time(house.redis.pid()).saturating_sub(core).as_secs_f64();
    let write = (core - idle * begin.elapsed().as_secs_f64()).max(0.0) * 1e6 / ALONE as f64;
    let mut costs = Costs { write, ..Costs::default() };

    let short = burst::started(&house).await;
    let (told, mut hears) = mpsc::unbounded_channel();
    for millis in [FAST_MILLIS, SLOW_MILLIS] {
        let slow = millis == SLOW_MILLIS;
        let nodes = Followers::start(&house, settings.nodes, millis, slow.then(|| told.clone())).await;
        while hears.try_recv().is_ok() {}
        let (rate, share, each, bytes) = count(settings, &house, &nodes, idle).await;
        rows.push(vec![
            format!("{} nodes that poll every {millis} ms", settings.nodes),
            format!("{rate:.0}"),
            number(share * 100.0),
            number(each),
            format!("{bytes:.0}"),
        ]);
        if millis == FAST_MILLIS {
            (costs.poll, costs.poll_bytes) = (each, bytes);
        } else {
            let polling = rate * each / 1e6 + idle;
            push(settings, &house, &control, &mut hears, (polling, &mut costs)).await;
            burst::measure(&house, &control, &nodes).await;
            while hears.try_recv().is_ok() {}
        }
        nodes.close().await;
    }
    let long = burst::started(&house).await;
    costs.read = (long.core - short.core).max(0.0) * 1e6 / (long.entries - short.entries);
    table::print(
        "Polls",
        &["Redis with", "polls/s", "% of a core", "µs of the core each", "bytes each, both ways"],
        &rows,
    );
    control.close().await;
    costs
}

/// Changes one by one. `polling` is what Redis takes without them.
async fn push(
    settings: &Settings,
    house: &House,
    control: &Revocations,
    hears: &mut mpsc::UnboundedReceiver<Instant>,
    (polling, costs): (f64, &mut Costs),
) {
    let count = settings.nodes;
    let (mut answered, mut first, mut last) = (Samples::default(), Samples::default(), Samples::default());
    let (core, begin) = (core_time(house.redis.pid()), Instant::now());
    for i in 0..settings.pushes {
        let sent = Instant::now();
        control.apply(revoke(&format!("pushed-{i}"))).await.unwrap();
        answered.add(sent.elapsed());
        let mut heard: Vec<Instant> = Vec::new();
        while heard.len() < count {
            let next = tokio::time::timeout(PATIENCE, hears.recv()).await;
            heard.push(next.expect("every node hears of it").expect("every node is there"));
        }
        first.add(heard.iter().min().unwrap().saturating_duration_since(sent));
        last.add(heard.iter().max().unwrap().saturating_duration_since(sent));
    }
    let took = begin.elapsed().as_secs_f64();
    let core = core_time(house.redis.pid()).saturating_sub(core).as_secs_f64() - polling * took;
    let each = core.max(0.0) * 1e6 / settings.pushes as f64;
    costs.push = (each - costs.write).max(0.0) / count as f64;

    let milli = Duration::from_millis(1);
    let row = |what: &str, samples: &Samples| {
        let [p50, p99, max] = samples.told(milli);
        vec![what.to_owned(), p50, p99, max]
    };
    table::print(
        &format!(
            "One change after the other, {count} nodes in one process, ms from the call; {} times",
            settings.pushes
        ),
        &["until", "p50", "p99", "max"],
        &[
            row("it is acknowledged", &answered),
            row("the first node has applied it", &first),
            row("the last node has", &last),
        ],
    );
}

impl Costs {
    /// What the numbers of this run make of a thousand nodes.
    pub(crate) fn print_model(&self) {
        let Self { poll, poll_bytes, push, read, write } = *self;
        let rows = [
            (
                "a poll",
                poll,
                format!(
                    "4 a second from each: {} % of a core, {} MB/s",
                    number(poll * 4000.0 / 1e4),
                    number(poll_bytes * 4000.0 / 1e6)
                ),
            ),
            ("a change, pushed, each node", push, format!("{} ms", number(push * 1000.0 / 1e3))),
            ("a change, read by poll, each node", read, format!("{} ms", number(read * 1000.0 / 1e3))),
            ("a change, written alone", write, format!("{} ms", number(write / 1e3))),
            (
                "10,000 changes a second, read by poll",
                read * 10_000.0,
                format!("{} cores", number(read * 10_000.0 * 1000.0 / 1e6)),
            ),
        ];
        let rows: Vec<_> =
            rows.into_iter().map(|(what, each, all)| vec![what.to_owned(), number(each), all]).collect();
        table::print(
            "What Redis needs, as measured above, and for 1,000 nodes",
            &["what", "µs of a core", "1,000 nodes"],
            &rows,
        );
    }
}
