//! What happens when Redis fails, and what others may have written there.

use std::time::{Duration, Instant};

use doorward_servers::{Disk, Fsync, MinReplicas, Redis, SentinelSetup, Sentinels, Setup};
use doorward_state::sessions::{OnceKind, Touch};
use doorward_state::{RedisSection, SessionRecord, Sessions, SessionsError};

use crate::fixture::{HOUR, Place, run, section, shared_redis, until, user};

/// Two seconds, and what a busy machine adds.
const BOUND: Duration = Duration::from_secs(10);

fn place(redis: &Redis) -> Place {
    Place::redis(section(&[redis.address()]))
}

/// It answers that it cannot, in time.
async fn is_unavailable(sessions: &Sessions) -> String {
    #[expect(clippy::disallowed_methods, reason = "a test owns a clock")]
    let began = Instant::now();
    let (alice, mut why) = (user("alice"), String::new());
    let refused = [
        sessions.get(&alice, "dws-1").await.err(),
        sessions.of(&alice).await.err(),
        sessions.take_once(OnceKind::Enter, "c").await.err(),
        sessions.lock("l", "me", HOUR).await.err(),
    ];
    let took = began.elapsed();
    for error in refused {
        match error {
            Some(SessionsError::Unavailable { why: told }) => why = told,
            other => panic!("{other:?}"),
        }
    }
    assert!(took < 4 * BOUND, "{took:?}");
    assert!(sessions.health().trouble.is_some());
    why
}

async fn is_well(sessions: &Sessions) {
    until("it answers again", || async { sessions.of(&user("alice")).await.is_ok() }).await;
}

async fn filled(place: &Place) -> (Sessions, SessionRecord) {
    let sessions = place.open();
    let record = place.record(&user("alice"), "dws-1");
    sessions.create(record.clone()).await.unwrap();
    sessions.put_once(OnceKind::Enter, "c", b"x".to_vec(), HOUR).await.unwrap();
    assert!(sessions.lock("l", "one", HOUR).await.unwrap().is_some());
    (sessions, SessionRecord { version: 1, ..record })
}

#[test]
fn stopped_it_is_unavailable_in_time_and_afterwards_everything_is_as_before() {
    let redis = Redis::start(&Setup::default());
    let place = place(&redis);
    run(async {
        let (sessions, record) = filled(&place).await;
        redis.stop();
        #[expect(clippy::disallowed_methods, reason = "a test owns a clock")]
        let began = Instant::now();
        assert!(matches!(sessions.of(&user("alice")).await, Err(SessionsError::Unavailable { .. })));
        assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
        // All at once: nobody waits for another.
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let sessions = sessions.clone();
            calls.spawn(async move { sessions.of(&user("alice")).await.is_err() });
        }
        assert!(calls.join_all().await.into_iter().all(|refused| refused));
        assert!(began.elapsed() < 2 * BOUND, "{:?}", began.elapsed());
        redis.cont();
        is_well(&sessions).await;
        assert_eq!(sessions.get(&user("alice"), "dws-1").await, Ok(Some(record)));
        assert_eq!(sessions.lock("l", "two", HOUR).await, Ok(None));
        assert_eq!(sessions.take_once(OnceKind::Enter, "c").await, Ok(Some(b"x".to_vec())));
        assert_eq!(sessions.health().trouble, None);
        assert!(sessions.health().failures_total > 50);
    });
}

#[test]
fn killed_it_is_unavailable_and_back_with_what_its_disk_has() {
    let redis = Redis::start(&Setup { append_only: Some(Fsync::Always), ..Setup::default() });
    let place = place(&redis);
    run(async {
        let (sessions, record) = filled(&place).await;
        redis.kill9();
        let why = is_unavailable(&sessions).await;
        assert!(why.contains("cannot be reached"), "{why}");
        tokio::task::block_in_place(|| redis.restart(Disk::Kept));
        is_well(&sessions).await;
        assert_eq!(sessions.get(&user("alice"), "dws-1").await, Ok(Some(record.clone())));
        tokio::task::block_in_place(|| redis.restart(Disk::Wiped));
        is_well(&sessions).await;
        assert_eq!(sessions.get(&user("alice"), "dws-1").await, Ok(None), "it is not the truth");
        assert_eq!(sessions.replace(record.clone(), 1).await, Ok(false));
        assert_eq!(sessions.create(record).await, Ok(None));
    });
}

#[test]
fn a_node_that_starts_before_redis_finds_it() {
    let redis = Redis::start(&Setup::default());
    let place = place(&redis);
    redis.kill9();
    run(async {
        let sessions = place.open();
        is_unavailable(&sessions).await;
        tokio::task::block_in_place(|| redis.restart(Disk::Wiped));
        is_well(&sessions).await;
    });
}

#[test]
fn it_is_full_when_its_memory_is() {
    let redis = Redis::start(&Setup::default());
    let place = place(&redis);
    run(async {
        let (sessions, record) = filled(&place).await;
        redis.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
        let another = place.record(&user("alice"), "dws-2");
        let refused = sessions.create(another.clone()).await.unwrap_err();
        assert!(matches!(refused, SessionsError::Full { .. }), "{refused}");
        assert!(refused.to_string().contains("maxmemory"), "{refused}");
        assert_eq!(sessions.get(&user("alice"), "dws-1").await, Ok(Some(record)), "it can be read");
        redis.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
        assert_eq!(sessions.create(another).await, Ok(None));
    });
}

#[test]
fn a_server_that_nobody_follows_takes_nothing() {
    let redis = Redis::start(&Setup::default());
    let place = Place::redis(RedisSection { replicas_min: Some(1), ..section(&[redis.address()]) });
    run(async {
        let sessions = place.open();
        let refused = sessions.create(place.record(&user("alice"), "dws-1")).await.unwrap_err();
        assert!(refused.to_string().contains("lost its replicas"), "{refused}");
        assert_eq!(sessions.get(&user("alice"), "dws-1").await, Ok(None));
        let _replica = tokio::task::block_in_place(|| redis.start_replica(&Setup::default()));
        let taken = || async { sessions.create(place.record(&user("alice"), "dws-1")).await.is_ok() };
        until("it is followed", taken).await;
    });
}

#[test]
fn another_server_that_takes_over_is_found() {
    let servers = Setup { min_replicas: Some(MinReplicas { count: 1, lag_seconds: 2 }), ..Setup::default() };
    // They fail over when they are told to, and not because the whole machine stands still.
    let down_after = Duration::from_secs(15);
    let setup = SentinelSetup { replicas: 2, down_after, servers, ..SentinelSetup::default() };
    let group = Sentinels::with(&setup);
    let place = Place::redis(RedisSection {
        mode: Some("sentinel".to_owned()),
        primary_name: Some(group.name().to_owned()),
        ..section(&group.addresses())
    });
    run(async {
        let (sessions, record) = filled(&place).await;
        // The replicas have it: what they do not have yet could be lost.
        let has = |redis: &Redis| redis.command(&["EXISTS", &place.key("u:l:l")]).is_ok_and(|n| n.int() == 1);
        until("it is replicated", || async { group.servers().iter().all(has) }).await;
        tokio::task::block_in_place(|| group.fail_over().port());
        let new = place.record(&user("alice"), "dws-2");
        until("the new one takes it", || async { sessions.create(new.clone()).await.is_ok() }).await;
        assert_eq!(sessions.get(&user("alice"), "dws-1").await, Ok(Some(record)));
        assert_eq!(sessions.of(&user("alice")).await.unwrap().len(), 2);
        assert_eq!(sessions.lock("l", "two", HOUR).await, Ok(None));
    });
}

#[test]
fn what_others_wrote_is_no_record_and_stands_in_nobodys_way() {
    run(async {
        let place = Place::shared();
        let sessions = place.open();
        let (alice, key) = (user("alice"), place.key("u:p:corp:alice"));
        sessions.create(place.record(&alice, "dws-1")).await.unwrap();
        let (far, bodies) = (i64::MAX, ["", "1", "2 1 2 9007199254740991 4 , new form", "9 9 9 9 9"]);
        for i in 0..100 {
            let body = bodies.get(i % 4).unwrap();
            shared_redis().command(&["HSET", &key, &format!("bad-{i}"), body]).unwrap();
        }
        shared_redis().command(&["HSET", &key, "far", &format!("1 1 1 {far} 1 , []")]).unwrap();
        let damaged = sessions.get(&alice, "bad-0").await.unwrap_err();
        assert_eq!(damaged, SessionsError::Damaged { what: "bad-0".to_owned() });
        assert_eq!(sessions.of(&alice).await.unwrap().len(), 1);
        let touch =
            |id: &str| Touch { person: alice.clone(), id: id.into(), seen_at: place.now(), app: None };
        sessions.touch(&[touch("bad-0"), touch("bad-2"), touch("far"), touch("dws-1")]).await.unwrap();
        assert_eq!(sessions.replace(place.record(&alice, "bad-0"), 1).await, Ok(false));
        for i in 0..70 {
            let record = SessionRecord {
                signed_in_at: place.now().plus(Duration::from_millis(i)),
                ..place.record(&alice, &format!("dws-new-{i}"))
            };
            sessions.create(record).await.unwrap();
        }
        let count = shared_redis().command(&["HLEN", &key]).unwrap().int();
        assert!(count <= 64, "{count}");
        // Something else altogether.
        shared_redis().command(&["DEL", &key]).unwrap();
        shared_redis().command(&["SET", &key, "x"]).unwrap();
        let refused = sessions.of(&alice).await.unwrap_err();
        assert!(matches!(refused, SessionsError::Unavailable { .. }), "{refused}");
        assert_eq!(sessions.remove_all(&user("bob")).await, Ok(0), "nobody else has it");
        shared_redis().command(&["SET", &place.key("u:h:corp:alice"), "x"]).unwrap();
        assert_eq!(sessions.memory(&alice).await, Ok(None));
        assert_eq!(sessions.put_memory(&alice, b"y", 0).await, Ok(true));
    });
}

#[test]
fn everything_goes_away_by_itself() {
    run(async {
        let place = Place::shared();
        let (sessions, alice) = (place.open(), user("alice"));
        let left = |name: &str| {
            let millis = shared_redis().command(&["PTTL", &place.key(name)]).unwrap().int();
            Duration::from_millis(u64::try_from(millis).unwrap_or_else(|_| panic!("{name}: {millis}")))
        };
        let near = |name: &str, of: Duration| {
            let left = left(name);
            assert!(left <= of && left > of - Duration::from_secs(60), "{name}: {left:?} of {of:?}");
        };
        let long = SessionRecord { expires_at: place.now().plus(12 * HOUR), ..place.record(&alice, "dws-1") };
        sessions.create(long.clone()).await.unwrap();
        near("u:p:corp:alice", 12 * HOUR);
        sessions.create(place.record(&alice, "dws-2")).await.unwrap();
        near("u:p:corp:alice", 12 * HOUR);
        let longer = SessionRecord { expires_at: place.now().plus(24 * HOUR), ..long };
        assert!(sessions.replace(longer, 1).await.unwrap());
        near("u:p:corp:alice", 24 * HOUR);
        sessions.put_once(OnceKind::Enter, "c", vec![1], Duration::MAX).await.unwrap();
        near("u:o:enter:c", HOUR);
        sessions.lock("l", "one", 2 * HOUR).await.unwrap();
        near("u:l:l", HOUR);
        sessions.put_memory(&alice, b"x", 0).await.unwrap();
        near("u:h:corp:alice", 90 * 24 * HOUR);
    });
}
