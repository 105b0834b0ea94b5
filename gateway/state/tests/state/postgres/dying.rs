//! A server that dies, hangs, or cannot be heard.

#![expect(clippy::disallowed_methods, reason = "a test owns a clock")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use doorward_model::{EntryKind, Target};
use doorward_servers::Wire;
use doorward_state::{Action, Revocations, Seq, StateError, Store, StoreError};
use uuid::Uuid;

use super::{House, append, ids, users};
use crate::fixture::{Fixture, alice, change, config, presented, run, target, until};

/// Longer than the bound of one call, with what a machine adds that is busy, or stands still for seconds.
const BOUND: Duration = Duration::from_secs(20);

/// Runs and says how long it took.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let done = work();
    (done, began.elapsed())
}

fn nth(seed: u64, task: usize, i: usize) -> Target {
    target(EntryKind::User, &format!("corp:s{seed}-t{task}-{i}"))
}

/// Revokes until the first change that is not saved. What was acknowledged goes to `said`; returns
/// how many changes there were.
async fn revoke_until_it_fails(
    revocations: Revocations,
    (seed, task): (u64, usize),
    over: Arc<AtomicBool>,
    said: Arc<Mutex<Vec<(Target, Uuid)>>>,
) -> usize {
    for i in 0.. {
        let action = if i % 2 == 0 { Action::Revoke } else { Action::Disable };
        match revocations.apply(change(&nth(seed, task, i), action)).await {
            Ok(receipt) => said.lock().unwrap().push((receipt.target, receipt.id)),
            Err(StateError::NotDurable { enforced: true, kept: true, .. }) => {
                over.store(true, Ordering::SeqCst)
            }
            Err(other) => panic!("{other}"),
        }
        if over.load(Ordering::SeqCst) {
            return i + 1;
        }
    }
    unreachable!("the server was never missed")
}

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let house = House::new();
    let mut acknowledged: Vec<(Target, Uuid)> = Vec::new();
    let mut changes = 0;
    run(async {
        // One process lives through all of it.
        let revocations = Revocations::open(&house.config(), Fixture::new().clocks()).unwrap().0;
        for seed in 0..8_u64 {
            let (over, said) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
            let tasks: Vec<_> = (0..6)
                .map(|task| {
                    let (over, said) = (Arc::clone(&over), Arc::clone(&said));
                    tokio::spawn(revoke_until_it_fails(revocations.clone(), (seed, task), over, said))
                })
                .collect();
            // In the middle of it, however slow the machine is.
            until("enough is acknowledged", || said.lock().unwrap().len() >= 30).await;
            let pause = Duration::from_micros(seed.wrapping_mul(2_654_435_761) % 100_000);
            tokio::time::sleep(pause).await;
            let postgres = Arc::clone(&house.postgres);
            tokio::task::spawn_blocking(move || postgres.kill9()).await.unwrap();
            let mut made = Vec::new();
            for task in tasks {
                made.push(task.await.unwrap());
            }
            assert!(!revocations.health().writable);
            house.postgres.restart();
            until("the writer goes on by itself", || {
                let health = revocations.health();
                health.writable && health.unsaved == 0 && health.fresh
            })
            .await;
            acknowledged.extend(said.lock().unwrap().drain(..));
            let rows = all_rows(&mut house.store());
            for (t, id) in &acknowledged {
                assert!(rows.iter().any(|row| row.target == *t && row.id == *id), "seed {seed}: {t} is lost");
            }
            // What was kept is there too, and all of it once.
            for (task, count) in made.iter().enumerate() {
                for i in 0..*count {
                    let t = nth(seed, task, i);
                    assert_eq!(rows.iter().filter(|row| row.target == t).count(), 1, "seed {seed}: {t}");
                }
            }
            changes += made.iter().sum::<usize>();
            assert_eq!(rows.len(), changes);
            let numbers: Vec<i64> = rows.iter().map(|row| row.seq.0).collect();
            assert_eq!(numbers, (1..=i64::try_from(rows.len()).unwrap()).collect::<Vec<_>>());
        }
        assert_eq!(revocations.close().await, 0);
    });
    println!("{} acknowledged of {changes} changes, none lost", acknowledged.len());
    assert!(acknowledged.len() >= 240, "too few to mean anything: {}", acknowledged.len());
}

fn all_rows(store: &mut Store) -> Vec<doorward_state::Row> {
    let (mut rows, mut seen) = (Vec::new(), Seq::START);
    loop {
        let page = store.read_after(seen, 1000).unwrap();
        let Some(last) = page.last() else { return rows };
        seen = last.seq;
        rows.extend(page);
    }
}

#[test]
fn a_server_that_hangs_holds_nobody_up_for_long() {
    let house = House::new();
    let mut store = house.store();
    let (mut reader, mut late) = (store.again().unwrap(), store.again().unwrap());
    append(&mut store, &users(0..3)).unwrap();
    let rows = users(3..5);
    house.postgres.stop();
    std::thread::scope(|scope| {
        let appends = scope.spawn(|| timed(|| append(&mut store, &rows).unwrap_err()));
        let reads = scope.spawn(|| timed(|| reader.read_after(Seq::START, 10).unwrap_err()));
        let opens = scope.spawn(|| timed(|| house.refused()));
        for hung in [appends, reads, opens] {
            let (error, took) = hung.join().unwrap();
            let is_silence = matches!(error, StoreError::Silent { .. } | StoreError::Unreachable { .. });
            assert!(is_silence && took < BOUND, "{error} after {took:?}");
        }
    });
    // A new connection is taken by the kernel, and not answered either.
    let (error, took) = timed(|| append(&mut store, &rows).unwrap_err());
    assert!(matches!(error, StoreError::Unreachable { .. }) && took < BOUND, "{error} after {took:?}");
    house.postgres.cont();
    append(&mut store, &rows).unwrap();
    for store in [&mut store, &mut reader, &mut late] {
        let read = store.read_after(Seq::START, 100).unwrap();
        assert_eq!(ids(&read), ["corp:u0", "corp:u1", "corp:u2", "corp:u3", "corp:u4"], "each once");
    }
}

#[test]
fn a_process_whose_server_hangs_refuses_and_then_goes_on() {
    let house = House::new();
    run(async {
        let revocations = Revocations::open(&house.config(), Fixture::new().clocks()).unwrap().0;
        house.postgres.stop();
        let call = revocations.apply(change(&alice(), Action::Disable));
        let error = call.await.unwrap_err();
        assert!(matches!(error, StateError::NotDurable { enforced: true, kept: true, .. }), "{error}");
        until("nobody is let in any more", || {
            revocations.check(&presented("bob", 0), Duration::ZERO).is_err()
        })
        .await;
        house.postgres.cont();
        until("it is saved", || revocations.health().unsaved == 0 && revocations.health().writable).await;
        until("others are let in", || revocations.check(&presented("bob", 0), Duration::ZERO).is_ok()).await;
        let rows = revocations.list(Some(alice()), 10, None).await.unwrap();
        assert_eq!(rows.len(), 1, "written once, however often it was tried");
        revocations.close().await;
    });
}

#[test]
fn whoever_asks_a_server_that_hangs_holds_no_thread() {
    let house = House::new();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().max_blocking_threads(2).build().unwrap().block_on(async {
        let revocations = Revocations::open(&house.config(), Fixture::new().clocks()).unwrap().0;
        house.postgres.stop();
        let asks = || tokio::time::timeout(Duration::from_millis(200), revocations.list(None, 10, None));
        // A machine that stands still takes its time once; threads that are held are so each time.
        let mut took = Vec::new();
        for _ in 0..5 {
            // They go away before they are answered, as clients do.
            let (a, b, c) = tokio::join!(asks(), asks(), asks());
            assert!(a.is_err() && b.is_err() && c.is_err());
            let began = Instant::now();
            tokio::task::spawn_blocking(|| ()).await.unwrap();
            took.push(began.elapsed());
            if took.last().is_some_and(|took| *took < Duration::from_secs(1)) {
                break;
            }
        }
        assert!(took.iter().any(|took| *took < Duration::from_secs(1)), "{took:?}");
        house.postgres.cont();
        revocations.list(None, 10, None).await.unwrap();
        revocations.close().await;
    });
}

/// How many commits are on their way in the server.
const SLEEPS: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";

#[test]
fn an_answer_that_is_lost_takes_nothing_back_and_doubles_nothing() {
    let house = House::new();
    let wire = Wire::to(house.postgres.address());
    let mut section = house.section();
    section.postgres.as_mut().unwrap().address = Some(wire.address().to_string());
    let mut store = Store::open(config(&section, house.dir.path(), "gw-1").store()).unwrap().0;
    append(&mut store, &users(0..2)).unwrap();

    // The commit takes two seconds, is done, and nobody hears of it.
    house.sql(
        "CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_sleep(2); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON doorward.rev_log
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.slow()",
    );
    let mut last = 2;
    let (row, (error, took)) = loop {
        let row = users(last..last + 1);
        last += 1;
        let (appended, took) = std::thread::scope(|scope| {
            let appends = scope.spawn(|| timed(|| append(&mut store, &row)));
            while !appends.is_finished() && house.postgres.psql_as_admin(SLEEPS).unwrap() != "1" {
                std::thread::sleep(Duration::from_millis(10));
            }
            if !appends.is_finished() {
                wire.lose_answers();
            }
            appends.join().unwrap()
        });
        match appended {
            Err(error) => break (row, (error, took)),
            // On a machine that is slow, or stood still, it was answered before anybody saw it on its way.
            Ok(_) => assert!(last < 8, "no commit is seen on its way"),
        }
    };
    assert!(matches!(error, StoreError::Silent { .. }) && took < BOUND, "{error} after {took:?}");
    assert_eq!(house.sql("SELECT last FROM doorward.head"), last.to_string(), "it was done");
    wire.reset();
    let (error, took) = timed(|| append(&mut store, &row).unwrap_err());
    assert!(matches!(error, StoreError::Unreachable { .. }) && took < BOUND, "{error} after {took:?}");
    wire.mend();
    wire.reset();
    assert_eq!(append(&mut store, &row).unwrap(), Seq(last), "it is there once");
    house.sql("DROP TRIGGER slow ON doorward.rev_log");
    assert_eq!(append(&mut store, &users(last..last + 1)).unwrap(), Seq(last + 1));

    // Both ways are dead: the request does not arrive.
    wire.cut();
    let (error, took) = timed(|| append(&mut store, &users(90..91)).unwrap_err());
    assert!(matches!(error, StoreError::Silent { .. }) && took < BOUND, "{error} after {took:?}");
    wire.mend();
    let names = ids(&store.read_after(Seq::START, 10).unwrap());
    assert_eq!(names, (0..=last).map(|i| format!("corp:u{i}")).collect::<Vec<_>>());
}

/// Ends the waiting of commits for a standby, which are then reported as done.
const CANCEL: &str = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";

/// Waits until commits wait for a standby. A new setting is brought into force by a process of the server that
/// is told of it, in its own time.
fn commits_wait(house: &House) {
    let commit = "CREATE TABLE IF NOT EXISTS public.tried (n int); INSERT INTO public.tried VALUES (1)";
    let waits = || {
        std::thread::scope(|scope| {
            let commits = scope.spawn(|| house.postgres.psql_as_admin(commit).unwrap());
            let mut waits = false;
            while !commits.is_finished() {
                waits |= house.postgres.psql_as_admin(CANCEL).unwrap() == "t";
            }
            waits
        })
    };
    assert!((0..1000).any(|_| waits()), "no commit waits for a standby");
}

/// Waits until commits wait for nobody: one that does goes on then.
fn commits_go_on(house: &House) {
    house.postgres.psql_as_admin("INSERT INTO public.tried VALUES (2)").unwrap();
}

#[test]
fn a_commit_that_no_standby_confirms_is_not_acknowledged() {
    let house = House::new();
    let mut store = house.store();
    append(&mut store, &users(0..1)).unwrap();
    let admin = |statement: &str| house.postgres.psql_as_admin(statement).unwrap();
    admin("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    admin("SELECT pg_reload_conf()");
    commits_wait(&house);
    let rows = users(1..2);
    for attempt in 0..2 {
        // Its row is in the log after the first attempt. That is no reason to believe it.
        let (error, took) = timed(|| append(&mut store, &rows).unwrap_err());
        assert!(took < BOUND, "{attempt}: {error} after {took:?}");
        // The first may still wait in the server, with the lock.
        let unsure = matches!(
            error,
            StoreError::Silent { .. } | StoreError::Database { .. } | StoreError::Busy { .. }
        );
        assert!(unsure, "{attempt}: {error}");
    }
    let (error, _) = timed(|| store.raise_generation().unwrap_err());
    assert!(matches!(error, StoreError::Silent { .. } | StoreError::Database { .. }), "{error}");
    admin("ALTER SYSTEM RESET synchronous_standby_names");
    admin("SELECT pg_reload_conf()");
    commits_go_on(&house);
    assert_eq!(append(&mut store, &rows).unwrap(), Seq(2));
    assert_eq!(ids(&store.read_after(Seq::START, 10).unwrap()), ["corp:u0", "corp:u1"]);
}

#[test]
fn a_commit_that_the_server_warns_of_is_not_acknowledged() {
    let house = House::new();
    let mut store = house.store();
    append(&mut store, &users(0..1)).unwrap();
    let admin = |statement: &str| house.postgres.psql_as_admin(statement).unwrap();
    admin("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    admin("SELECT pg_reload_conf()");
    commits_wait(&house);
    let rows = users(1..2);
    std::thread::scope(|scope| {
        let appends = scope.spawn(|| append(&mut store, &rows));
        // Whoever looks after the server ends the waiting: the commit is then reported as done.
        for _ in 0..3000 {
            if admin(CANCEL) == "t" || appends.is_finished() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let error = appends.join().unwrap().unwrap_err();
        assert!(error.to_string().contains("the server warned"), "{error}");
    });
    assert_eq!(house.sql("SELECT last FROM doorward.head"), "2", "it is written all the same");
    admin("ALTER SYSTEM RESET synchronous_standby_names");
    admin("SELECT pg_reload_conf()");
    commits_go_on(&house);
    assert_eq!(append(&mut store, &rows).unwrap(), Seq(2));
}

/// How many connections this process has open to the server.
fn sockets(house: &House) -> usize {
    let port = format!(":{:04X}", house.postgres.port());
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let to_it = |line: &&str| {
        let mut words = line.split_whitespace().skip(2);
        words.next().is_some_and(|remote| remote.ends_with(&port)) && words.next() == Some("01")
    };
    table.lines().filter(to_it).count()
}

#[test]
fn a_server_that_hangs_is_not_given_more_and_more_connections() {
    let house = House::new();
    let mut store = house.store();
    append(&mut store, &users(0..1)).unwrap();
    let before = sockets(&house);
    assert_eq!(before, 1);
    house.postgres.stop();
    for _ in 0..3 {
        append(&mut store, &users(1..2)).unwrap_err();
    }
    none_left(&house);
    house.postgres.cont();
    append(&mut store, &users(1..2)).unwrap();
    drop(store);
    none_left(&house);
}

/// What is let go of ends soon after.
fn none_left(house: &House) {
    let began = Instant::now();
    while sockets(house) > 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "{} connections are left", sockets(house));
        std::thread::sleep(Duration::from_millis(20));
    }
}
