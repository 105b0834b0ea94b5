//! Redis servers start, answer, and die with their handle.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "tests")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use doorward_servers::{
    Cluster, ClusterSetup, Disk, Failed, Fsync, Memory, MinReplicas, Redis, Reply, SentinelSetup, Sentinels,
    Setup, Tls,
};

fn is_gone(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

/// What a server answers to a line over TCP, as any client would ask; nothing if it hangs up.
fn over_tcp(redis: &Redis, line: &str) -> String {
    let mut stream = TcpStream::connect(redis.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
    let mut bytes = [0; 256];
    let count = stream.read(&mut bytes).unwrap_or_default();
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

/// The same with `redis-cli` and TLS.
fn over_tls(redis: &Redis, more: &[&Path]) -> String {
    let mut cli = Command::new("redis-cli");
    cli.args(["-p", &redis.port().to_string(), "--tls", "--cacert"]).arg(&redis.tls().unwrap().ca);
    if let [chain, key] = more {
        cli.arg("--cert").arg(chain).arg("--key").arg(key);
    }
    let output = cli.arg("PING").output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned()
}

#[test]
fn it_answers_and_dies_with_its_handle() {
    let redis = Redis::start(&Setup::default());
    assert_eq!(over_tcp(&redis, "PING"), "+PONG\r\n");
    assert_eq!(redis.command(&["SET", "k", "v"]).unwrap(), Reply::Bytes(b"OK".to_vec()));
    assert_eq!(redis.command(&["GET", "k"]).unwrap().text(), "v");
    assert_eq!(redis.command(&["GET", "other"]).unwrap(), Reply::Nil);
    assert_eq!(redis.command(&["RPUSH", "l", "a", "b"]).unwrap(), Reply::Int(2));
    let list = redis.command(&["LRANGE", "l", "0", "-1"]).unwrap();
    assert_eq!(list.list(), [Reply::Bytes(b"a".to_vec()), Reply::Bytes(b"b".to_vec())]);
    assert!(
        matches!(redis.command(&["GET", "l"]), Err(Failed::Refused(why)) if why.starts_with("WRONGTYPE"))
    );
    assert_eq!(redis.info("role"), "master");
    let (pid, dir) = (redis.pid(), redis.dir().to_owned());
    assert!(dir.is_dir() && !is_gone(pid));
    redis.stop();
    drop(redis);
    assert!(is_gone(pid) && !dir.exists());
}

#[test]
fn a_setup_reaches_the_server() {
    let redis = Redis::start(&Setup {
        append_only: Some(Fsync::Always),
        memory: Some(Memory { bytes: 10_000_000, policy: "noeviction".to_owned() }),
        password: Some("open-sesame".to_owned()),
        users: vec!["gateway on >secret ~{doorward}* &* +ping".to_owned()],
        min_replicas: Some(MinReplicas { count: 1, lag_seconds: 2 }),
        lines: vec!["hz 50".to_owned()],
        ..Setup::default()
    });
    for (name, value) in [
        ("appendonly", "yes"),
        ("appendfsync", "always"),
        ("maxmemory", "10000000"),
        ("maxmemory-policy", "noeviction"),
        ("min-replicas-to-write", "1"),
        ("min-replicas-max-lag", "2"),
        ("hz", "50"),
    ] {
        assert_eq!(redis.command(&["CONFIG", "GET", name]).unwrap().named(name).as_deref(), Some(value));
    }
    assert!(over_tcp(&redis, "PING").starts_with("-NOAUTH"));
    assert_eq!(over_tcp(&redis, "AUTH open-sesame"), "+OK\r\n");
    assert_eq!(over_tcp(&redis, "AUTH gateway secret"), "+OK\r\n");
    assert!(over_tcp(&redis, "AUTH gateway other").starts_with("-WRONGPASS"));
    assert!(
        matches!(redis.command(&["SET", "k", "v"]), Err(Failed::Refused(why)) if why.starts_with("NOREPLICAS"))
    );
}

#[test]
fn it_starts_again_with_its_data_or_without() {
    let redis = Redis::start(&Setup { append_only: Some(Fsync::Always), ..Setup::default() });
    let (port, run_id) = (redis.port(), redis.info("run_id"));
    redis.command(&["SET", "k", "v"]).unwrap();
    redis.kill9();
    assert!(!redis.is_running());
    assert!(matches!(redis.command(&["PING"]), Err(Failed::Silent(_))));
    redis.restart(Disk::Kept);
    assert_eq!(redis.command(&["GET", "k"]).unwrap().text(), "v");
    assert_eq!(redis.port(), port);
    assert_ne!(redis.info("run_id"), run_id);
    redis.terminate();
    redis.restart(Disk::Wiped);
    assert_eq!(redis.command(&["GET", "k"]).unwrap(), Reply::Nil);
    assert_eq!(redis.log().matches("Ready to accept connections").count(), 3);
}

#[test]
fn it_stops_and_sleeps() {
    let redis = Redis::start(&Setup::default());
    let short = Duration::from_millis(100);
    redis.stop();
    assert!(matches!(redis.command_within(short, &["PING"]), Err(Failed::Silent(_))));
    redis.cont();
    redis.command(&["PING"]).unwrap();
    let begin = Instant::now();
    redis.sleep(Duration::from_secs(2));
    // It may have woken up by now, if this machine stood still meanwhile.
    let asked = redis.command_within(short, &["PING"]);
    let has_slept = || begin.elapsed() >= Duration::from_millis(1900);
    assert!(matches!(asked, Err(Failed::Silent(_))) || has_slept(), "{asked:?}");
    redis.command(&["PING"]).unwrap();
    assert!(has_slept());
}

#[test]
fn a_replica_follows() {
    let setup = Setup { password: Some("open-sesame".to_owned()), ..Setup::default() };
    let primary = Redis::start(&setup);
    let replica = primary.start_replica(&setup);
    assert_eq!(replica.info("role"), "slave");
    primary.command(&["SET", "k", "v"]).unwrap();
    assert_eq!(primary.command(&["WAIT", "1", "60000"]).unwrap().int(), 1);
    assert_eq!(replica.command(&["GET", "k"]).unwrap().text(), "v");
}

#[test]
fn tls_is_the_only_way_in_and_may_ask_for_a_certificate() {
    let redis = Redis::start(&Setup { tls: Some(Tls::new()), ..Setup::default() });
    assert_eq!(over_tls(&redis, &[]), "PONG");
    assert_ne!(over_tcp(&redis, "PING"), "+PONG\r\n");
    redis.command(&["PING"]).unwrap();

    let setup = Setup { tls: Some(Tls::mutual()), ..Setup::default() };
    let strict = Redis::start(&setup);
    let files = strict.tls().unwrap();
    assert_ne!(over_tls(&strict, &[]), "PONG");
    assert_eq!(over_tls(&strict, &[&files.client_chain, &files.client_key]), "PONG");
    let other = redis.tls().unwrap();
    assert_ne!(over_tls(&strict, &[&other.client_chain, &other.client_key]), "PONG");
    assert_eq!(strict.start_replica(&setup).info("role"), "slave");
}

#[test]
fn sentinels_fail_over() {
    let group = Sentinels::start(1, 2000);
    assert_eq!(group.addresses().len(), 3);
    assert_eq!(group.primary_port(), group.servers()[0].port());
    let first = group.primary();
    first.command(&["SET", "k", "v"]).unwrap();
    assert_eq!(first.command(&["WAIT", "1", "60000"]).unwrap().int(), 1);
    first.kill9();
    let second = group.wait_for_failover(first.port());
    assert_eq!(second.command(&["GET", "k"]).unwrap().text(), "v");
    // The first comes back as a replica of the second.
    first.restart(Disk::Kept);
    let begin = Instant::now();
    while first.info("role") != "slave" {
        // Sentinels that stood still for two seconds do nothing for half a minute.
        assert!(begin.elapsed() < Duration::from_secs(120), "{}", first.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    first.wait_until_following();
    assert_eq!(group.fail_over().port(), first.port());
}

#[test]
fn sentinels_may_want_tls_and_a_password() {
    let servers = Setup { tls: Some(Tls::new()), password: Some("one".to_owned()), ..Setup::default() };
    let password = Some("two".to_owned());
    let group = Sentinels::with(&SentinelSetup { servers, password, ..SentinelSetup::default() });
    let sentinel = &group.sentinels()[0];
    assert!(over_tls(sentinel, &[]).starts_with("NOAUTH"), "{}", over_tls(sentinel, &[]));
    let first = group.primary();
    first.stop();
    assert_ne!(group.wait_for_failover(first.port()).port(), first.port());
}

/// What a node of a cluster answers that works. Nodes that stood still for longer than their timeout doubt
/// each other for a moment.
fn answered(node: &Redis, words: &[&str]) -> Result<Reply, Failed> {
    let begin = Instant::now();
    loop {
        match node.command(words) {
            Err(Failed::Refused(why))
                if why.starts_with("CLUSTERDOWN") && begin.elapsed() < Duration::from_secs(60) => {}
            answer => return answer,
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_cluster_shares_the_slots() {
    let cluster = Cluster::start();
    assert_eq!(cluster.addresses().len(), 3);
    assert_eq!(cluster.slot("foo"), 12_182);
    assert_eq!(cluster.slot("{foo}:bar"), 12_182);
    let owner = cluster.owner("foo");
    assert_eq!(owner.port(), cluster.nodes()[2].port());
    answered(owner, &["SET", "foo", "bar"]).unwrap();
    let moved = answered(&cluster.nodes()[0], &["GET", "foo"]);
    assert!(
        matches!(moved, Err(Failed::Refused(why)) if why == format!("MOVED 12182 127.0.0.1:{}", owner.port()))
    );
}

#[test]
fn a_cluster_fails_over_and_takes_the_old_primary_back() {
    let nodes = Setup { tls: Some(Tls::new()), ..Setup::default() };
    let cluster = Cluster::with(&ClusterSetup { replicas: true, nodes, ..ClusterSetup::default() });
    let owner = cluster.owner("foo");
    let replicas = cluster.replicas_of(owner);
    assert_eq!(replicas.len(), 1);
    answered(owner, &["SET", "foo", "bar"]).unwrap();
    assert_eq!(owner.command(&["WAIT", "1", "60000"]).unwrap().int(), 1);
    owner.kill9();
    let second = cluster.wait_for_failover("foo", owner.port());
    assert_eq!(second.port(), replicas[0].port());
    assert_eq!(answered(second, &["GET", "foo"]).unwrap().text(), "bar");
    owner.restart(Disk::Wiped);
    cluster.wait_until_ok();
    owner.wait_until_following();
    assert_eq!(cluster.owner("foo").port(), second.port());
}

#[test]
#[should_panic(expected = "Bad directive or wrong number of arguments")]
fn a_server_that_does_not_start_ends_the_test_with_what_it_wrote() {
    let _ = Redis::start(&Setup { lines: vec!["no-such-line".to_owned()], ..Setup::default() });
}
