//! How much memory entries take, and how long a node takes to know them all.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use doorward_state::Revocations;
use doorward_state::directory::Directory;

use crate::house::{House, clocks, config, memory, redis, revoke, section, until};
use crate::process::{core_time, resident};
use crate::table::{self, number};

/// What a process is started with that is a gateway node and nothing else.
pub(crate) const CHILD: &str = "--child";
/// How many nodes start at the same time.
const AT_ONCE: usize = 8;
/// Nothing here takes longer, of ten million entries on a slow machine.
const PATIENCE: Duration = Duration::from_secs(600);
/// Changes of which the log is made.
const LOGGED: usize = 5000;

/// A control node, and a gateway node.
pub(crate) struct Nodes {
    pub(crate) control: Revocations,
    pub(crate) gateway: Revocations,
}

impl Nodes {
    pub(crate) async fn close(self) {
        self.gateway.close().await;
        self.control.close().await;
    }
}

#[derive(Default)]
pub(crate) struct Table {
    memory: Vec<Vec<String>>,
    times: Vec<Vec<String>>,
}

/// A gateway node in a process of its own.
struct Loader {
    process: Child,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What it says of itself.
pub(crate) struct Loaded {
    pub(crate) took: Duration,
    /// What the node added to the process.
    pub(crate) bytes: u64,
    pub(crate) core: Duration,
    /// What the directory that was made of its records then added.
    pub(crate) directory_bytes: u64,
    pub(crate) people: u64,
}

impl Loader {
    fn start(house: &House) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(CHILD).arg(house.redis.address().to_string()).arg(house.dir.path());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let words = process.stdin.take().unwrap();
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        let mut ready = String::new();
        answers.read_line(&mut ready).unwrap();
        Self { process, words, answers }
    }

    fn go(&mut self) {
        self.words.write_all(b"go\n").unwrap();
    }

    fn loaded(&mut self, entries: u64) -> Loaded {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let numbers: Vec<u64> = line.split_whitespace().map(|word| word.parse().unwrap()).collect();
        let [took, bytes, core, known, directory_bytes, people] = numbers[..] else {
            panic!("the node said `{line}`")
        };
        assert_eq!(known, entries, "a node that has a lease knows everything");
        let (took, core) = (Duration::from_micros(took), Duration::from_micros(core));
        Loaded { took, bytes, core, directory_bytes, people }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

/// Is a gateway node: begins when it is told to, says what it took until it had a lease, and stays
/// until it is ended.
pub(crate) fn child(arguments: &[String]) {
    let [address, dir] = arguments else { panic!("an address and a folder") };
    let config = config(&section("none", Some(redis(address))), Path::new(dir), "loader");
    println!("ready");
    let mut word = String::new();
    std::io::stdin().read_line(&mut word).unwrap();
    let own = std::process::id();
    let (memory, core, begin) = (resident(own), core_time(own), Instant::now());
    let (node, _) = Revocations::open(&config, clocks()).unwrap();
    while !node.fleet_health().unwrap().leased {
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = begin.elapsed();
    let (loaded, core) = (resident(own), core_time(own).saturating_sub(core));
    let directory = Directory::new(node.records());
    let [people, ..] = directory.counts();
    println!(
        "{} {} {} {} {} {people}",
        took.as_micros(),
        loaded.saturating_sub(memory),
        core.as_micros(),
        node.health().entries,
        resident(own).saturating_sub(loaded)
    );
    std::io::stdin().read_line(&mut word).unwrap();
}

pub(crate) fn load(house: &House, count: usize) -> (Vec<Loaded>, Duration) {
    let mut loaders: Vec<Loader> = (0..count).map(|_| Loader::start(house)).collect();
    let core = core_time(house.redis.pid());
    loaders.iter_mut().for_each(Loader::go);
    let loaded = loaders.iter_mut().map(|loader| loader.loaded(house.entries)).collect();
    (loaded, core_time(house.redis.pid()).saturating_sub(core))
}

fn millis(duration: Duration) -> String {
    number(duration.as_secs_f64() * 1000.0)
}

fn mega(bytes: u64) -> String {
    number(bytes as f64 / 1e6)
}

impl Table {
    /// Opens the nodes, and measures what they do until they know everything.
    pub(crate) async fn measure(&mut self, house: &House) -> Nodes {
        let begin = Instant::now();
        let core = core_time(house.redis.pid());
        let control = house.control();
        let opened = begin.elapsed();
        until("the directory is in Redis", PATIENCE, || {
            control.fleet_health().is_some_and(|health| health.blessings_total > 0)
        })
        .await;
        let blessed = begin.elapsed().saturating_sub(opened);
        let writing = core_time(house.redis.pid()).saturating_sub(core);
        let gateway = house.gateway("gw");
        until("the node has a lease", PATIENCE, || gateway.fleet_health().is_some_and(|h| h.leased)).await;
        if house.entries == 0 {
            return Nodes { control, gateway };
        }
        let of_redis = memory(&house.redis).saturating_sub(house.redis_empty);
        let file = std::fs::metadata(house.dir.path().join("revocations.sqlite3")).unwrap().len();
        let (one, _) = load(house, 1);
        let core_of_one = {
            let (_, core) = load(house, 1);
            core
        };
        let (many, core_of_many) = load(house, AT_ONCE);
        let slowest = many.iter().map(|loaded| loaded.took).max().unwrap_or_default();
        let each = |bytes: u64| number(bytes as f64 / house.entries as f64);
        let of_node = one[0].bytes;
        self.memory.push(vec![
            house.entries.to_string(),
            format!("{} ({})", mega(file), each(file)),
            format!("{} ({})", mega(of_redis), each(of_redis)),
            format!("{} ({})", mega(of_node), each(of_node)),
            String::new(),
        ]);
        self.times.push(vec![
            house.entries.to_string(),
            millis(house.filled_in),
            millis(opened),
            format!("{} ({})", millis(blessed), millis(writing)),
            format!("{} ({})", millis(one[0].took), millis(one[0].core)),
            millis(core_of_one),
            millis(slowest),
            millis(core_of_many),
        ]);
        Nodes { control, gateway }
    }

    /// What the same costs in the log, until it is shortened.
    pub(crate) async fn measure_log(&mut self, house: &House, nodes: &Nodes) {
        if house.entries == 0 {
            return;
        }
        let changes = (0..LOGGED).map(|i| {
            let control = nodes.control.clone();
            tokio::spawn(async move { control.apply(revoke(&format!("logged-{i:07}"))).await.is_ok() })
        });
        let changes: Vec<_> = changes.collect();
        for change in changes {
            assert!(change.await.unwrap(), "a change is published");
        }
        let command = |words: &[&str]| house.redis.command(words).unwrap().int();
        let bytes = command(&["MEMORY", "USAGE", "{doorward}:log", "SAMPLES", "0"]) as f64;
        let length = command(&["XLEN", "{doorward}:log"]) as f64;
        if let Some(row) = self.memory.last_mut() {
            row[4] = number(bytes / length);
        }
    }

    pub(crate) fn print(&self) {
        table::print(
            "Memory, MB (bytes for each entry): half are users with ids of 18 bytes, half are sessions with ids of \
             37 bytes",
            &["entries", "SQLite", "snapshot in Redis", "a gateway node", "bytes in the log"],
            &self.memory,
        );
        let many = format!("{AT_ONCE} nodes at once: the last");
        table::print(
            "Loading, ms (in brackets: of a core of Redis, or of the node)",
            &[
                "entries",
                "filling the file",
                "control node opens it",
                "snapshot to Redis",
                "a node until its first lease",
                "of a core of Redis",
                &many,
                "of a core of Redis for all",
            ],
            &self.times,
        );
    }
}
