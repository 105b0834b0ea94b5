//! Control nodes that end, come back, or are not let in: nobody is told what is not so, nothing is
//! lost, and no password is told to anybody.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward_servers::{Disk, Fsync, Redis, Setup};
use doorward_state::{Action, EntryId, Position, RedisSection, Revocations, Seq, StateError, Store};
use uuid::Uuid;

use super::{House, LONG, health, leased, lets_in, namespace, nth, revoke, section};
use crate::fixture::{change, run, until};

/// How many call at once when a node is closed.
const CALLERS: usize = 200;

/// What a caller heard.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    /// It is in force everywhere.
    Published,
    /// It is saved, and goes out later.
    Later(Uuid),
    /// It was not taken.
    Refused,
    /// It is not known what becomes of it: if it was saved, that is told late.
    Unknown,
}

/// Revokes these users, one caller each, and says what each heard.
fn call(control: &Revocations, users: std::ops::Range<usize>) -> tokio::task::JoinSet<(usize, Heard)> {
    let mut callers = tokio::task::JoinSet::new();
    for i in users {
        let control = control.clone();
        callers.spawn(async move {
            let heard = match control.apply(change(&nth(i), Action::Revoke)).await {
                Ok(receipt) if receipt.published.is_some() => Heard::Published,
                Err(StateError::NotPublished { receipt, .. }) => Heard::Later(receipt.id),
                Err(StateError::NotDurable { kept: false, .. }) => Heard::Refused,
                Err(StateError::Unanswered { .. }) => Heard::Unknown,
                other => panic!("{other:?}"),
            };
            (i, heard)
        });
    }
    callers
}

/// The targets that were saved when nobody read the answer any more.
fn late(control: &Revocations) -> Arc<Mutex<Vec<String>>> {
    let late = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&late);
    control.subscribe_late(Arc::new(move |change, _| told.lock().unwrap().push(change.target.id())));
    late
}

/// What the directory has of so many users.
fn saved(house: &House, users: usize) -> Vec<bool> {
    let (mut store, _lock) = Store::open(house.config("control", "sqlite").store()).unwrap();
    let rows = store.read_after(Seq::START, 10 * users).unwrap();
    (0..users).map(|i| rows.iter().any(|row| row.target == nth(i))).collect()
}

#[test]
fn whoever_calls_while_a_node_is_closed_and_redis_hangs_hears_of_it_within_seconds() {
    let redis = Redis::start(&Setup::default());
    let house = House::new(section(&[redis.address()], &namespace()));
    let heard = run(async {
        let control = house.control();
        revoke(&control, 0..10).await;
        let late = late(&control);
        redis.stop();
        let mut callers = call(&control, 10..CALLERS);
        // Some are saved by then, some are being saved, and some are not there yet.
        until("some are saved", || control.health().saved_total > 20).await;
        let closed = tokio::time::timeout(3 * LONG, control.close()).await;
        assert_eq!(closed.expect("it closes, though Redis hangs"), 0);
        let mut heard = Vec::new();
        while let Some(told) =
            tokio::time::timeout(3 * LONG, callers.join_next()).await.expect("everybody is answered")
        {
            heard.push(told.unwrap());
        }
        (heard, late.lock().unwrap().clone())
    });
    let (heard, late) = heard;
    assert_eq!(heard.len(), CALLERS - 10);
    let saved = saved(&house, CALLERS);
    for (i, heard) in heard {
        let told_late = late.contains(&nth(i).id());
        match heard {
            Heard::Published => panic!("{i} went out to a server that hangs"),
            Heard::Later(_) => assert!(saved[i], "{i} is saved"),
            Heard::Refused => assert!(!saved[i], "{i} is refused"),
            Heard::Unknown => assert_eq!(saved[i], told_late, "{i}"),
        }
    }
    redis.cont();
}

#[test]
fn closing_a_node_whose_redis_is_well_loses_nothing() {
    let redis = Redis::start(&Setup::default());
    let house = House::new(section(&[redis.address()], &namespace()));
    run(async {
        let control = house.control();
        let gateway = house.gateway("gw-1");
        leased(&gateway).await;
        let clock = house.fixture.clocks().uptime;
        let began = clock();
        let mut callers = call(&control, 0..CALLERS);
        until("some are saved", || control.health().saved_total > 20).await;
        let closed = tokio::time::timeout(6 * LONG, control.close()).await;
        assert_eq!(closed.expect("it closes"), 0);
        let (mut published, mut late) = (Vec::new(), 0);
        while let Some(told) = callers.join_next().await {
            match told.unwrap() {
                (i, Heard::Published) => published.push(i),
                (_, Heard::Refused) => {}
                // Whoever has waited for three seconds is told so, if this machine stands still.
                (_, Heard::Later(_)) if clock() - began >= 3 * LONG / 10 => late += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(published.len() + late > 20, "{published:?} {late}");
        for i in published {
            until("the gateway has it", || gateway.lookup(&nth(i)).is_some()).await;
        }
    });
}

#[test]
fn what_a_node_saved_and_could_not_publish_goes_out_at_once_when_it_comes_back() {
    let redis = Redis::start(&Setup { append_only: Some(Fsync::EverySecond), ..Setup::default() });
    let house = House::new(section(&[redis.address()], &namespace()));
    run(async {
        let control = house.control();
        let gateway = house.gateway("gw-1");
        leased(&gateway).await;
        revoke(&control, 0..10).await;
        redis.kill9();
        let refused = control.apply(change(&nth(10), Action::Revoke)).await.unwrap_err();
        assert!(matches!(refused, StateError::NotPublished { .. }), "{refused}");
        // It ends without a word.
        drop(control);
        redis.restart(Disk::Kept);
        let control = house.control();
        until("it went out", || gateway.lookup(&nth(10)).is_some()).await;
        until("nothing waits", || health(&control).outbox == Some(0)).await;
        leased(&gateway).await;
        revoke(&control, 11..12).await;
    });
}

/// A password in a file that only its owner may read.
fn password_file(house: &House, password: &str) -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("password-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let file = house.fixture.dir.path().join(name);
    std::fs::write(&file, password).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

/// The house, with a password for its nodes.
fn with_password(redis: &Redis, password: &str) -> House {
    let mut house = House::new(RedisSection::default());
    house.redis = RedisSection {
        password_file: Some(password_file(&house, password)),
        ..section(&[redis.address()], &namespace())
    };
    house
}

#[test]
fn a_node_that_is_not_let_in_recovers_when_it_is() {
    let redis = Redis::start(&Setup { password: Some("another".to_owned()), ..Setup::default() });
    let house = with_password(&redis, "s3cret");
    run(async {
        let (control, gateway) = (house.control(), house.gateway("gw-1"));
        let refused = control.apply(change(&nth(0), Action::Revoke)).await.unwrap_err();
        assert!(matches!(refused, StateError::NotPublished { .. }), "{refused}");
        for node in [&control, &gateway] {
            let trouble = || health(node).trouble.unwrap_or_default();
            until("it says why", || trouble().contains("does not let this node in (WRONGPASS)")).await;
            let trouble = trouble();
            assert!(!trouble.contains("s3cret"), "{trouble}");
        }
        assert!(!lets_in(&gateway));
        redis.command(&["ACL", "SETUSER", "default", "on", ">s3cret"]).unwrap();
        leased(&gateway).await;
        until("it went out", || gateway.lookup(&nth(0)).is_some()).await;
        revoke(&control, 1..2).await;
        // And when it is thrown out.
        redis.command(&["ACL", "SETUSER", "default", "resetpass", ">another"]).unwrap();
        for kind in ["normal", "pubsub"] {
            redis.command(&["CLIENT", "KILL", "TYPE", kind]).unwrap();
        }
        until("it lets nobody in", || !lets_in(&gateway)).await;
        redis.command(&["ACL", "SETUSER", "default", ">s3cret"]).unwrap();
        leased(&gateway).await;
        revoke(&control, 2..3).await;
    });
}

#[test]
fn a_server_that_repeats_what_it_was_told_has_no_password_told() {
    let secret = "s3cret-p4ssword";
    let lines = vec!["rename-command HELLO \"\"".to_owned()];
    let redis = Redis::start(&Setup { password: Some(secret.to_owned()), lines, ..Setup::default() });
    let house = with_password(&redis, secret);
    run(async {
        let (control, gateway) = (house.control(), house.gateway("gw-1"));
        let refused = control.apply(change(&nth(0), Action::Revoke)).await.unwrap_err();
        let nowhere = Position { epoch: Uuid::nil(), id: EntryId::default() };
        let unknown = control.fleet(nowhere, Duration::from_secs(1)).await.unwrap_err();
        let mut told = vec![refused.to_string(), format!("{refused:?}"), unknown.to_string()];
        for node in [&control, &gateway] {
            until("it says why", || health(node).trouble.is_some()).await;
            told.push(format!("{:?}", health(node)));
        }
        for told in &told {
            assert!(told.contains("HELLO"), "the server says what it does not know: {told}");
            assert!(!told.contains(secret), "{told}");
        }
    });
}
