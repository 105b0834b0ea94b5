//! Whatever is lost, damaged or forged in Redis: it is noticed, written anew, and lets nobody in.

use doorward_model::UnixMillis;
use doorward_servers::{Disk, Redis, Setup, Wire};
use doorward_state::{Action, NodeAnswer, Receipt, RedisSection, Revocations, Store};

use super::{House, LONG, health, knows, leased, lets_in, namespace, nth, published, revoke, section};
use crate::fixture::{NOON, alice, change, run, until};

/// A house on a server of its own.
struct Scene {
    house: House,
    redis: Redis,
}

impl Scene {
    fn new() -> Self {
        let redis = Redis::start(&Setup::default());
        Self { house: House::new(section(&[redis.address()], &namespace())), redis }
    }

    /// The same with a directory that has so many users.
    fn with(users: usize) -> Self {
        let scene = Self::new();
        scene.house.seed(users);
        scene
    }

    /// What the server answers; see [`ask`].
    fn ask(&self, words: &str) -> String {
        ask(&self.redis, &self.house, words)
    }

    /// The pieces of the snapshot that is read now.
    fn current(&self) -> Vec<String> {
        let (name, chunks) = (self.ask("HGET :m s"), self.ask("HGET :m c"));
        (0..chunks.parse().unwrap()).map(|n: u64| self.house.key(&format!("s:{name}:{n}"))).collect()
    }

    /// The pieces of every other snapshot, and how many seconds each has to live; -1: for ever.
    fn former(&self) -> Vec<i64> {
        let (all, current) = (self.ask("KEYS :s:*"), self.current());
        let former = all.lines().filter(|key| !current.iter().any(|now| now == key));
        former.map(|key| self.redis.command(&["TTL", key]).unwrap().int()).collect()
    }

    /// For values that are no text.
    async fn connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(format!("redis://{}/", self.redis.address())).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }
}

/// Runs a command in which a word with a colon before it is a key of the namespace.
fn ask(redis: &Redis, house: &House, words: &str) -> String {
    let key = |word: &str| word.strip_prefix(':').map_or_else(|| word.to_owned(), |name| house.key(name));
    let words: Vec<String> = words.split(' ').map(key).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    redis.command(&words).unwrap_or_else(|e| panic!("{words:?}: {e}")).text()
}

/// Disables alice. It may take a moment until that goes out; until then it is not said that it has.
async fn disable_alice(control: &Revocations) -> Receipt {
    published(control, &alice(), Action::Disable).await
}

/// All is well: a change reaches a node that is there and one that comes, and both know so many users.
async fn is_well(house: &House, control: &Revocations, gateway: &Revocations, users: usize) {
    let receipt = disable_alice(control).await;
    let late = house.gateway("late");
    for node in [gateway, &late] {
        until("it knows of the change", || node.lookup(&alice()) == Some(receipt.entry)).await;
        knows(node, users).await;
        leased(node).await;
    }
    late.close().await;
}

fn blessings(control: &Revocations) -> u64 {
    health(control).blessings_total
}

#[test]
fn a_server_that_lost_everything_is_filled_from_the_directory() {
    for lose in [
        |redis: &Redis| redis.restart(Disk::Wiped),
        |redis: &Redis| {
            redis.command(&["FLUSHALL"]).unwrap();
        },
    ] {
        let scene = Scene::with(30);
        run(async {
            let (control, gateway) = (scene.house.control(), scene.house.gateway("gw-1"));
            leased(&gateway).await;
            revoke(&control, 30..40).await;
            let before = blessings(&control);
            lose(&scene.redis);
            until("it is blessed again", || blessings(&control) > before).await;
            is_well(&scene.house, &control, &gateway, 40).await;
        });
    }
}

/// Each is done to a log that works, and has a snapshot and some entries.
const DAMAGES: [&str; 16] = [
    "DEL :m",
    "SET :m x",
    "HDEL :m e",
    "HSET :m e x",
    "HSET :m g x",
    "HSET :m g 100000000000000",
    "HSET :m g 18446744073709551616",
    "HSET :m l x",
    "HSET :m c 999999999",
    "DEL :log",
    "SET :log x",
    "XTRIM :log MAXLEN 0",
    "XADD :log * foo bar",
    "XADD :log 18446744073709551615-18446744073709551615 foo bar",
    "SET :roll x",
    "HSET :lock x y",
];

#[test]
fn whatever_somebody_writes_over_the_log_the_fleet_is_well_again_within_seconds() {
    let redis = Redis::start(&Setup::default());
    let suffers = |damage: &'static str| {
        let house = House::new(section(&[redis.address()], &namespace()));
        house.seed(30);
        run(async {
            let (control, gateway) = (house.control(), house.gateway("gw-1"));
            leased(&gateway).await;
            revoke(&control, 30..40).await;
            ask(&redis, &house, damage);
            is_well(&house, &control, &gateway, 40).await;
        });
    };
    let mut failed: Vec<&str> = Vec::new();
    for some in DAMAGES.chunks(4) {
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                some.iter().map(|damage| (*damage, scope.spawn(|| suffers(damage)))).collect();
            failed.extend(
                threads.into_iter().filter_map(|(damage, thread)| thread.join().err().map(|_| damage)),
            );
        });
    }
    assert!(failed.is_empty(), "{failed:?}");
}

/// More users than one piece of a snapshot holds.
const SOME_PIECES: usize = 10_000;

#[test]
fn a_lost_piece_of_the_snapshot_is_found_by_whoever_reads_it_and_written_anew() {
    let scene = Scene::with(SOME_PIECES);
    run(async {
        let (control, gateway) = (scene.house.control(), scene.house.gateway("gw-1"));
        knows(&gateway, SOME_PIECES).await;
        let pieces = scene.current();
        assert!(pieces.len() > 2, "{pieces:?}");
        scene.redis.command(&["DEL", &pieces[1]]).unwrap();
        let resyncs = health(&gateway).resyncs_total;
        let late = scene.house.gateway("gw-2");
        assert!(!lets_in(&late), "it does not know everything");
        knows(&late, SOME_PIECES).await;
        leased(&late).await;
        is_well(&scene.house, &control, &gateway, SOME_PIECES).await;
        assert_eq!(health(&gateway).resyncs_total, resyncs + 1, "whoever was well read once more");
        assert!(scene.former().iter().all(|seconds| *seconds > 0), "{:?}", scene.former());
    });
}

#[test]
fn an_entry_taken_out_of_the_log_is_missed_by_whoever_reads_it_and_written_anew() {
    let scene = Scene::new();
    run(async {
        let (control, gateway) = (scene.house.control(), scene.house.gateway("gw-1"));
        for i in 0..5 {
            revoke(&control, i..i + 1).await;
        }
        let log = scene.redis.command(&["XRANGE", &scene.house.key("log"), "-", "+"]).unwrap();
        let third = log.list()[2].list()[0].text();
        assert_eq!(scene.ask(&format!("XDEL :log {third}")), "1");
        let late = scene.house.gateway("gw-2");
        assert!(!lets_in(&late), "it does not know everything");
        leased(&late).await;
        assert!((0..5).all(|i| late.lookup(&nth(i)).is_some()));
        is_well(&scene.house, &control, &gateway, 5).await;
    });
}

/// What a server does whose machine is put back to an earlier moment: it is the same process, and has
/// an older log.
fn goes_back(scene: &Scene, how: &str) {
    let script = "for _, name in ipairs({'m', 'log'}) do \
                  local key = string.gsub(KEYS[1], 'm$', name) \
                  if ARGV[1] == 'keep' then redis.call('COPY', key, key .. '-old', 'REPLACE') \
                  else redis.call('COPY', key .. '-old', key, 'REPLACE') end end";
    scene.redis.command(&["EVAL", script, "1", &scene.house.key("m"), how]).unwrap();
}

#[test]
fn a_server_that_went_back_in_time_gets_what_it_lost_whatever_comes_next() {
    // Somebody notices that nothing is said of what was, or the next change is there first.
    for at_once in [false, true] {
        let scene = Scene::with(30);
        run(async {
            let (control, gateway) = (scene.house.control(), scene.house.gateway("gw-1"));
            leased(&gateway).await;
            revoke(&control, 30..33).await;
            goes_back(&scene, "keep");
            revoke(&control, 33..40).await;
            let before = blessings(&control);
            goes_back(&scene, "go");
            if at_once {
                published(&control, &alice(), Action::Disable).await;
            }
            until("it is blessed again", || blessings(&control) > before).await;
            is_well(&scene.house, &control, &gateway, 40).await;
        });
    }
}

/// An entry of the log as a gateway writes it: disabled, with this version and a mark in the far future.
fn forged(id: &str, version: u64) -> Vec<u8> {
    let mut bytes = vec![1, 1, 1];
    bytes.extend(253_402_300_799_000_i64.to_be_bytes());
    bytes.extend(version.to_be_bytes());
    bytes.extend([7; 16]);
    bytes.extend(id.bytes());
    bytes
}

/// Puts an entry into the log as a control node would.
async fn forge(scene: &Scene, entry: &[u8]) {
    let script = "local l = redis.call('HGET', KEYS[1], 'l') \
                  local id = redis.call('XADD', KEYS[2], '*', 'p', l, 'e', ARGV[1]) \
                  redis.call('HSET', KEYS[1], 'l', id)";
    let script = redis::Script::new(script);
    let mut call = script.key(scene.house.key("m"));
    call.key(scene.house.key("log")).arg(entry);
    let () = call.invoke_async(&mut scene.connection().await).await.unwrap();
}

#[test]
fn a_forged_entry_does_not_get_into_the_directory() {
    let scene = Scene::new();
    run(async {
        let (control, gateway) = (scene.house.control(), scene.house.gateway("gw-1"));
        leased(&gateway).await;
        forge(&scene, &forged("corp:alice", 7)).await;
        until("the gateway has it", || gateway.lookup(&alice()).is_some()).await;
        let stands = |node| health(node).position;
        until("the control node has seen it", || stands(&control) == stands(&gateway)).await;
        assert_eq!(control.lookup(&alice()), None, "who has the directory asks nobody else");
        let receipt = control.apply(change(&alice(), Action::Disable)).await.unwrap();
        control.close().await;
        let (mut store, _lock) = Store::open(scene.house.config("control", "sqlite").store()).unwrap();
        let [held] = &store.held_after(None, 10).unwrap()[..] else { panic!("alice, and nobody else") };
        assert_eq!((held.entry, held.entry.version), (receipt.entry, 1));
        assert!(held.entry.not_before <= UnixMillis(NOON + 1000), "{held:?}");
    });
}

#[test]
fn a_version_that_could_never_be_outdone_is_not_taken() {
    let scene = Scene::new();
    run(async {
        let (control, gateway) = (scene.house.control(), scene.house.gateway("gw-1"));
        leased(&gateway).await;
        forge(&scene, &forged("corp:alice", (1 << 48) + 1)).await;
        until("it lets nobody in", || !lets_in(&gateway)).await;
        assert_eq!(gateway.lookup(&alice()), None);
        let trouble = || health(&gateway).trouble.unwrap_or_default();
        until("it says why", || trouble().contains("cannot be read")).await;
        // What the operator does then.
        scene.ask("DEL :m");
        is_well(&scene.house, &control, &gateway, 0).await;
    });
}

#[test]
fn rubbish_in_the_roll_keeps_nobody_waiting() {
    let scene = Scene::new();
    run(async {
        let (control, gateway) = (scene.house.control(), scene.house.gateway("gw-1"));
        leased(&gateway).await;
        let mut add = redis::cmd("HSET");
        add.arg(scene.house.key("roll"));
        let line = |seen: &str| format!("{seen}|||1|1000||ghost").into_bytes();
        let who = |n: u8| format!("000000000000000000000000000000{n:02}").into_bytes();
        for (field, value) in [
            (vec![0xff, 0xfe], line("1")),
            (b"nobody".to_vec(), line("1")),
            (who(1), vec![0xff]),
            (who(2), b"|||||".to_vec()),
            (who(3), line("9999999999999")),
            (who(4), line("9223372036854775807")),
            (who(5), line("-9223372036854775808")),
            (who(6), b"1|||1|18446744073709551615||ghost".to_vec()),
            (who(7), b"1|||1|18446744073709551616||ghost".to_vec()),
        ] {
            add.arg(field).arg(value);
        }
        let _nine: usize = add.query_async(&mut scene.connection().await).await.unwrap();
        let position = disable_alice(&control).await.published.unwrap().position;
        let asked = tokio::time::timeout(3 * LONG, control.fleet(position, 6 * LONG)).await;
        let reports = asked.expect("nobody waits for who is not there").unwrap();
        let names: Vec<_> = reports.iter().map(|report| report.node.as_str()).collect();
        assert_eq!(names, ["control", "gw-1"]);
        assert!(reports.iter().all(|r| matches!(r.answer, NodeAnswer::Applied { .. })), "{reports:?}");
        until("it is struck off", || scene.ask("HLEN :roll") == "2").await;
    });
}

/// How often a piece of a snapshot was read.
fn pieces_read(redis: &Redis) -> u64 {
    let stats = redis.command(&["INFO", "commandstats"]).unwrap();
    let line = stats.field("cmdstat_get").unwrap_or_default();
    line.strip_prefix("calls=").and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0)
}

#[test]
fn a_snapshot_is_read_on_from_where_a_bad_wire_broke_off() {
    let scene = Scene::with(2 * SOME_PIECES);
    let wire = Wire::to(scene.redis.address());
    let far = House {
        redis: RedisSection {
            addresses: Some(vec![wire.address().to_string()]),
            lease_millis: Some(4000),
            ..scene.house.redis.clone()
        },
        fixture: crate::fixture::Fixture::new(),
    };
    run(async {
        let control = scene.house.control();
        until("it is blessed", || blessings(&control) > 0).await;
        let pieces = u64::try_from(scene.current().len()).unwrap();
        assert!(pieces > 6, "{pieces}");
        wire.slow(std::time::Duration::from_millis(100));
        scene.redis.command(&["CONFIG", "RESETSTAT"]).unwrap();
        let opens = std::thread::spawn(move || (far.gateway("far"), far));
        until("it has read half", || pieces_read(&scene.redis) > pieces / 2).await;
        wire.reset();
        let (gateway, _far) = opens.join().unwrap();
        knows(&gateway, 2 * SOME_PIECES).await;
        leased(&gateway).await;
        let read = pieces_read(&scene.redis);
        assert!(read <= pieces + 2, "{read} of {pieces} pieces were read");
    });
}

/// A server stalls while all is written to it. Whether that was begun once; nothing is known of it where this
/// machine stood still as well, for longer than is waited for a piece.
fn stalls_while_all_is_written() -> Option<bool> {
    let mut scene = Scene::with(2 * SOME_PIECES);
    let wire = Wire::to(scene.redis.address());
    let near = scene.house.redis.addresses.replace(vec![wire.address().to_string()]);
    let clock = scene.house.fixture.clocks().uptime;
    run(async {
        let control = scene.house.control();
        until("something is written", || scene.ask("KEYS :s:*").lines().count() > 1).await;
        let began = clock();
        wire.hold();
        // Longer than an answer to a poll may take, and shorter than anything has to wait for good.
        tokio::time::sleep(LONG / 10).await;
        wire.mend();
        let is_short = clock() - began < LONG / 6;
        until("it is blessed", || blessings(&control) == 1).await;
        until("it follows", || health(&control).leased).await;
        // Another attempt would have raised it.
        let is_first = health(&control).generation == Some(2);
        scene.house.redis.addresses = near;
        let gateway = scene.house.gateway("gw-1");
        is_well(&scene.house, &control, &gateway, 2 * SOME_PIECES).await;
        is_short.then_some(is_first)
    })
}

#[test]
fn a_server_that_stalls_while_all_is_written_has_it_begun_once() {
    let is_first = (0..5).find_map(|_| stalls_while_all_is_written());
    assert_eq!(is_first, Some(true));
}

#[test]
fn a_long_log_is_shortened_while_everybody_follows_and_somebody_comes() {
    let scene = Scene::with(SOME_PIECES);
    run(async {
        let control = scene.house.control();
        let gateways = [scene.house.gateway("gw-1"), scene.house.gateway("gw-2")];
        for gateway in &gateways {
            leased(gateway).await;
        }
        let before = scene.current();
        let all = SOME_PIECES + 20_500;
        let (middle, revoked) = (SOME_PIECES + 10_000, control.clone());
        revoke(&control, SOME_PIECES..middle).await;
        let rest = tokio::spawn(async move { revoke(&revoked, middle..all).await });
        let late = scene.house.gateway("gw-3");
        rest.await.unwrap();
        let length = || scene.ask("XLEN :log").parse::<usize>().unwrap();
        // A snapshot of everything is written first.
        for _ in 0..600 {
            if length() < 10_000 {
                break;
            }
            tokio::time::sleep(LONG / 100).await;
        }
        assert!(length() < 10_000, "the log is not shortened");
        for node in gateways.iter().chain([&late, &scene.house.gateway("gw-4")]) {
            knows(node, all).await;
            leased(node).await;
        }
        assert_eq!(blessings(&control), 1, "nothing was begun anew");
        assert_eq!(health(&gateways[0]).resyncs_total, 1, "whoever follows reads nothing anew");
        let former = scene.former();
        assert_eq!(former.len(), before.len());
        assert!(former.iter().all(|seconds| (1..=60).contains(seconds)), "they pass: {former:?}");
        is_well(&scene.house, &control, &gateways[0], all).await;
    });
}
