//! What can be taken once, locks, and what is remembered of a person.

use std::sync::Arc;
use std::time::Duration;

use doorward_state::sessions::OnceKind;

use crate::fixture::{HOUR, Place, until, user};

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) async fn one_of_a_hundred_takes_it(place: &Place) {
    let nodes = [place.open(), place.open()];
    for round in 0..5 {
        let id: Arc<str> = format!("code-{round}").into();
        let bytes = format!("value {round}").into_bytes();
        assert_eq!(nodes[0].put_once(OnceKind::Enter, &id, bytes.clone(), HOUR).await, Ok(true));
        let mut tries = tokio::task::JoinSet::new();
        for i in 0..100 {
            let (sessions, id) = (nodes[i % 2].clone(), Arc::clone(&id));
            tries.spawn(async move { sessions.take_once(OnceKind::Enter, &id).await.unwrap() });
        }
        let taken: Vec<_> = tries.join_all().await.into_iter().flatten().collect();
        assert_eq!(taken, [bytes]);
    }
}

pub(super) async fn what_is_put_stays_until_it_is_taken_or_over(place: &Place) {
    let sessions = place.open();
    let put = |kind, id: &'static str, value: u8, ttl| {
        let sessions = sessions.clone();
        async move { sessions.put_once(kind, id, vec![value], ttl).await.unwrap() }
    };
    assert!(put(OnceKind::Enter, "a", 1, HOUR).await);
    assert!(!put(OnceKind::Enter, "a", 2, HOUR).await, "the first one stays");
    assert!(put(OnceKind::Attempt, "a", 3, HOUR).await, "another kind");
    assert_eq!(sessions.take_once(OnceKind::Enter, "b").await, Ok(None));
    assert_eq!(sessions.take_once(OnceKind::Enter, "a").await, Ok(Some(vec![1])));
    assert_eq!(sessions.take_once(OnceKind::Enter, "a").await, Ok(None));
    assert_eq!(sessions.take_once(OnceKind::Attempt, "a").await, Ok(Some(vec![3])));
    // Where time passes by itself, and where it is this test's.
    let short = Duration::from_millis(30);
    assert!(put(OnceKind::Enter, "d", 5, short).await);
    assert!(put(OnceKind::Enter, "c", 4, short).await);
    place.later(short);
    until("it is over", || put(OnceKind::Enter, "c", 6, HOUR)).await;
    assert_eq!(sessions.take_once(OnceKind::Enter, "d").await, Ok(None), "it began no later");
    assert_eq!(sessions.take_once(OnceKind::Enter, "c").await, Ok(Some(vec![6])));
    assert!(put(OnceKind::Enter, "e", 0, Duration::MAX).await, "an hour at most");
}

pub(super) async fn one_holds_a_lock(place: &Place) {
    let nodes = [place.open(), place.open()];
    let mut last = 0;
    for _ in 0..5 {
        let mut tries = tokio::task::JoinSet::new();
        for i in 0..50 {
            let sessions = nodes[i % 2].clone();
            tries.spawn(async move {
                let holder = format!("node-{i}");
                sessions.lock("refresh", &holder, HOUR).await.unwrap().map(|held| (holder, held.fencing))
            });
        }
        let mut held: Vec<_> = tries.join_all().await.into_iter().flatten().collect();
        assert_eq!(held.len(), 1);
        let (holder, fencing) = held.pop().unwrap();
        assert!(fencing > last, "{fencing} after {last}");
        last = fencing;
        for sessions in &nodes {
            assert_eq!(sessions.unlock("refresh", "another").await, Ok(false));
            assert_eq!(sessions.renew("refresh", "another", HOUR).await, Ok(false));
            assert_eq!(sessions.lock("refresh", &holder, HOUR).await, Ok(None), "its holder, too");
        }
        assert!(nodes[0].lock("another", "node-1", HOUR).await.unwrap().is_some());
        assert_eq!(nodes[0].unlock("another", "node-1").await, Ok(true));
        assert_eq!(nodes[1].renew("refresh", &holder, HOUR).await, Ok(true));
        assert_eq!(nodes[1].unlock("refresh", &holder).await, Ok(true));
        assert_eq!(nodes[1].unlock("refresh", &holder).await, Ok(false));
    }
}

pub(super) async fn a_lock_ends(place: &Place) {
    let sessions = place.open();
    let short = Duration::from_millis(30);
    let first = sessions.lock("refresh", "one", short).await.unwrap().unwrap();
    place.later(short);
    until("it is over", || async { sessions.lock("refresh", "two", HOUR).await.unwrap().is_some() }).await;
    assert_eq!(sessions.renew("refresh", "one", HOUR).await, Ok(false));
    assert_eq!(sessions.unlock("refresh", "one").await, Ok(false));
    assert_eq!(sessions.unlock("refresh", "two").await, Ok(true));
    assert!(sessions.lock("refresh", "three", HOUR).await.unwrap().unwrap().fencing > first.fencing + 1);
    // A renewed one does not end with what it was taken for.
    assert!(sessions.lock("other", "one", Duration::from_secs(60)).await.unwrap().is_some());
    assert_eq!(sessions.renew("other", "one", HOUR).await, Ok(true));
    place.later(Duration::from_secs(61));
    assert_eq!(sessions.lock("other", "two", HOUR).await, Ok(None));
}

pub(super) async fn memory_is_replaced_by_whoever_knows_it(place: &Place) {
    let (nodes, alice) = ([place.open(), place.open()], user("alice"));
    assert_eq!(nodes[0].memory(&alice).await, Ok(None));
    assert_eq!(nodes[0].put_memory(&alice, b"x", 1).await, Ok(false));
    for version in 0..5 {
        let mut tries = tokio::task::JoinSet::new();
        for i in 0..20_u8 {
            let (sessions, alice) = (nodes[usize::from(i % 2)].clone(), alice.clone());
            tries.spawn(async move {
                sessions.put_memory(&alice, &[b' ', i], version).await.unwrap().then_some(i)
            });
        }
        let won: Vec<u8> = tries.join_all().await.into_iter().flatten().collect();
        assert_eq!(won.len(), 1, "{won:?}");
        assert_eq!(nodes[1].memory(&alice).await, Ok(Some((version + 1, vec![b' ', won[0]]))));
    }
    assert_eq!(nodes[0].put_memory(&alice, &[], 5).await, Ok(true));
    assert_eq!(nodes[0].memory(&alice).await, Ok(Some((6, vec![]))));
    assert_eq!(nodes[0].memory(&user("bob")).await, Ok(None));
    assert_eq!(nodes[0].put_memory(&user("bob"), &[0; 4096], 0).await, Ok(true));
}

pub(super) async fn memory_is_forgotten(place: &Place) {
    let (sessions, alice) = (place.open(), user("alice"));
    sessions.put_memory(&alice, b"x", 0).await.unwrap();
    place.later(89 * DAY);
    assert_eq!(sessions.memory(&alice).await, Ok(Some((1, b"x".to_vec()))));
    // Redis counts by itself.
    if place.redis.is_none() {
        place.later(DAY);
        assert_eq!(sessions.memory(&alice).await, Ok(None));
        assert_eq!(sessions.put_memory(&alice, b"y", 0).await, Ok(true));
    }
}
