//! PostgreSQL servers start, answer, and die with their handle; and all servers with their process.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use doorward_servers::{Postgres, PostgresSetup, Redis, Setup, Tls, TlsFiles};

/// The processes of a server: the first, and its children.
fn family(pid: u32) -> Vec<u32> {
    let file = format!("/proc/{pid}/task/{pid}/children");
    let children = std::fs::read_to_string(file).unwrap();
    std::iter::once(pid).chain(children.split_whitespace().map(|pid| pid.parse().unwrap())).collect()
}

/// How long anything may take that happens at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for their end. Whoever is not waited for by a parent counts as ended.
fn are_gone(pids: &[u32]) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        let is_there = |pid: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
        };
        if !pids.iter().any(is_there) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// The id of what a server that runs has in the kernel's shared memory.
fn shared_memory(postgres: &Postgres) -> String {
    let file = postgres.socket_folder().join("data/postmaster.pid");
    let text = std::fs::read_to_string(file).unwrap();
    let id = text.lines().nth(6).unwrap().split_whitespace().nth(1).unwrap().to_owned();
    assert!(is_in_kernel(&id));
    id
}

/// Waits until the kernel has it no more: whoever takes it away does so after the processes.
fn leaves_kernel(id: &str) -> bool {
    let begin = Instant::now();
    while is_in_kernel(id) && begin.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    !is_in_kernel(id)
}

fn is_in_kernel(id: &str) -> bool {
    let all = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    all.lines().any(|line| line.split_whitespace().nth(1) == Some(id))
}

/// Asks for the number 1 over TCP.
fn over_tcp(postgres: &Postgres, password: &str, more: &str) -> Result<String, String> {
    let target = format!("host=127.0.0.1 port={} dbname=doorward user=doorward {more}", postgres.port());
    let psql = Command::new("psql")
        .args(["-X", "-A", "-t", &target, "-c", "select 1"])
        .env("PGPASSWORD", password)
        // Whoever runs the test may have certificates of their own.
        .env("HOME", postgres.socket_folder())
        .output();
    let output = psql.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim().to_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn fast() -> PostgresSetup {
    PostgresSetup { unsynced: true, ..PostgresSetup::default() }
}

#[test]
fn it_answers_and_dies_with_its_handle() {
    let postgres = Postgres::start();
    postgres.psql("CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2)").unwrap();
    assert_eq!(postgres.psql("SELECT n FROM t ORDER BY n").unwrap(), "1\n2");
    assert_eq!(postgres.psql("SHOW fsync").unwrap(), "on");
    assert!(postgres.psql("SELECT pg_reload_conf()").unwrap_err().contains("permission denied"));
    assert_eq!(postgres.psql_as_admin("SELECT pg_reload_conf()").unwrap(), "t");
    assert_eq!(over_tcp(&postgres, postgres.password(), "").unwrap(), "1");
    assert!(over_tcp(&postgres, "other", "").unwrap_err().contains("password authentication failed"));
    let (pids, folder) = (family(postgres.pid()), postgres.socket_folder().to_owned());
    let memory = shared_memory(&postgres);
    assert!(pids.len() > 3, "{pids:?}");
    drop(postgres);
    assert!(are_gone(&pids) && !folder.exists() && !is_in_kernel(&memory));
}

#[test]
fn each_has_its_own() {
    let (one, other) = (Postgres::with(&fast()), Postgres::with(&fast()));
    one.psql("CREATE TABLE t (n int)").unwrap();
    assert!(other.psql("SELECT * FROM t").unwrap_err().contains("does not exist"));
    assert_eq!(other.psql("SHOW fsync").unwrap(), "off");
}

#[test]
fn it_is_killed_and_starts_again_with_what_was_committed() {
    let postgres = Postgres::with(&PostgresSetup { lines: vec!["work_mem = '5MB'".to_owned()], ..fast() });
    let port = postgres.port();
    assert_eq!(postgres.psql("SHOW work_mem").unwrap(), "5MB");
    postgres.psql("CREATE TABLE t (n int); INSERT INTO t VALUES (7)").unwrap();
    let pids = family(postgres.pid());
    let memory = shared_memory(&postgres);
    postgres.kill9();
    assert!(are_gone(&pids) && leaves_kernel(&memory));
    assert!(postgres.psql("SELECT 1").is_err());
    postgres.restart();
    assert_eq!(postgres.port(), port);
    assert_eq!(postgres.psql("SELECT n FROM t").unwrap(), "7");
    assert!(postgres.log().contains("automatic recovery in progress"));
    postgres.terminate();
    postgres.restart();
    assert_eq!(postgres.psql("SELECT n FROM t").unwrap(), "7");
}

#[test]
fn it_stops_and_goes_on_and_dies_when_stopped() {
    let postgres = Postgres::with(&fast());
    let sleep = Duration::from_secs(2);
    let held = || {
        std::thread::scope(|scope| {
            let begin = Instant::now();
            let asked = scope.spawn(|| postgres.psql("SELECT pg_sleep(2)"));
            std::thread::sleep(Duration::from_millis(200));
            postgres.stop();
            let in_time = begin.elapsed() < sleep;
            std::thread::sleep(Duration::from_millis(2500));
            let is_open = !asked.is_finished();
            postgres.cont();
            asked.join().unwrap().unwrap();
            in_time.then_some(is_open)
        })
    };
    // If this machine stood still it may have answered before it was stopped: then once more.
    let held = (0..10).find_map(|_| held());
    assert_eq!(held, Some(true), "a server that is stopped has answered");
    let pids = family(postgres.pid());
    postgres.stop();
    drop(postgres);
    assert!(are_gone(&pids));
}

#[test]
fn tls_is_the_only_way_in_and_may_ask_for_a_certificate() {
    let trust = |files: &TlsFiles| format!("sslmode=verify-full sslrootcert={}", files.ca.display());
    let show = |files: &TlsFiles| {
        format!("sslcert={} sslkey={}", files.client_chain.display(), files.client_key.display())
    };
    let postgres = Postgres::with(&PostgresSetup { tls: Some(Tls::new()), ..fast() });
    let strict = Postgres::with(&PostgresSetup { tls: Some(Tls::mutual()), ..fast() });
    let (files, others) = (postgres.tls().unwrap(), strict.tls().unwrap());
    for (server, how, expected) in [
        (&postgres, trust(files), Ok("1")),
        (&postgres, trust(others), Err("certificate verify failed")),
        (&postgres, "sslmode=disable".to_owned(), Err("no encryption")),
        (&strict, format!("{} {}", trust(others), show(others)), Ok("1")),
        (&strict, format!("{} {}", trust(others), show(files)), Err("")),
        (&strict, trust(others), Err("valid client certificate")),
    ] {
        let answer = over_tcp(server, server.password(), &how);
        match expected {
            Ok(text) => assert_eq!(answer.as_deref(), Ok(text)),
            Err(part) => assert!(answer.as_ref().is_err_and(|why| why.contains(part)), "{how}: {answer:?}"),
        }
    }
    // Of TLS 1.3 a client hears that its certificate is refused after it has begun to speak, and who writes to
    // a server that has hung up may hear of nothing else. The server says why.
    let begin = Instant::now();
    while !strict.log().contains("could not accept SSL connection: certificate verify failed") {
        assert!(begin.elapsed() < PATIENCE, "{}", strict.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(strict.psql("SELECT 1").unwrap(), "1");
}

/// Not a test by itself: the process that the next one kills.
#[test]
fn the_process_that_is_killed() {
    if std::env::var_os("SERVERS_KILLED").is_none() {
        return;
    }
    let (redis, postgres) = (Redis::start(&Setup::default()), Postgres::with(&fast()));
    redis.stop();
    println!("pid {}", redis.pid());
    for pid in family(postgres.pid()) {
        println!("pid {pid}");
    }
    println!("memory {}", shared_memory(&postgres));
    println!("folder {}", redis.dir().parent().unwrap().display());
    println!("end");
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn nothing_is_left_when_the_process_of_the_test_is_killed() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_process_that_is_killed", "--nocapture"]).env("SERVERS_KILLED", "1");
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let (mut pids, mut folder, mut memory) = (Vec::new(), String::new(), String::new());
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.split_once(' ') {
            Some(("pid", pid)) => pids.push(pid.parse().unwrap()),
            Some(("folder", path)) => path.clone_into(&mut folder),
            Some(("memory", id)) => id.clone_into(&mut memory),
            _ if line == "end" => break,
            _ => {}
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(pids.len() > 4 && !folder.is_empty() && !memory.is_empty(), "{pids:?}");
    assert!(are_gone(&pids));
    assert!(leaves_kernel(&memory));
    let begin = Instant::now();
    while Path::new(&folder).exists() {
        assert!(begin.elapsed() < PATIENCE, "{folder:?} is left");
        std::thread::sleep(Duration::from_millis(20));
    }
}
