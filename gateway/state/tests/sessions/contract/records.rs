//! Records: kept, found, replaced, seen, gone.

use std::collections::BTreeSet;
use std::time::Duration;

use doorward_model::{UnixMillis, UserId};
use doorward_state::SessionRecord;
use doorward_state::sessions::Touch;

use crate::fixture::{HOUR, Place, app, user};

pub(super) async fn what_is_kept_is_found(place: &Place) {
    let (here, there) = (place.open(), place.open());
    // A subject may be nearly anything.
    let odd: UserId = "corp:*?[a] {b}:é\\\"'%".parse().unwrap();
    for person in [user("alice"), odd] {
        let first = place.record(&person, "dws-1");
        let bare = SessionRecord {
            issuer_session: None,
            device: None,
            refresh: None,
            apps: [].into(),
            seen_at: place.now().plus(Duration::from_secs(1)),
            client: "2001:db8::7".parse().unwrap(),
            ..place.record(&person, "dws-2")
        };
        assert_eq!(here.create(first.clone()).await, Ok(None));
        assert_eq!(here.create(bare.clone()).await, Ok(None));
        let (first, bare) = (SessionRecord { version: 1, ..first }, SessionRecord { version: 1, ..bare });
        for sessions in [&here, &there] {
            assert_eq!(sessions.get(&person, "dws-1").await, Ok(Some(first.clone())));
            assert_eq!(sessions.get(&person, "dws-2").await, Ok(Some(bare.clone())));
            assert_eq!(sessions.get(&person, "dws-3").await, Ok(None));
            assert_eq!(sessions.of(&person).await, Ok(vec![bare.clone(), first.clone()]), "last seen first");
        }
    }
    assert_eq!(here.get(&user("bob"), "dws-1").await, Ok(None), "another person's");
    assert_eq!(here.of(&user("bob")).await, Ok(vec![]));
}

pub(super) async fn again_with_the_same_id_changes_nothing(place: &Place) {
    let (sessions, alice) = (place.open(), user("alice"));
    let first = place.record(&alice, "dws-1");
    sessions.create(first.clone()).await.unwrap();
    assert!(sessions.replace(SessionRecord { refresh: None, ..first.clone() }, 1).await.unwrap());
    assert_eq!(sessions.create(first).await, Ok(None));
    let kept = sessions.get(&alice, "dws-1").await.unwrap().unwrap();
    assert_eq!((kept.version, kept.refresh), (2, None));
}

pub(super) async fn what_is_over_is_not_there(place: &Place) {
    let (sessions, alice) = (place.open(), user("alice"));
    let short = place.record(&alice, "dws-1");
    let long = SessionRecord { expires_at: place.now().plus(2 * HOUR), ..place.record(&alice, "dws-2") };
    sessions.create(short.clone()).await.unwrap();
    sessions.create(long).await.unwrap();
    place.later(HOUR - Duration::from_millis(1));
    assert!(sessions.get(&alice, "dws-1").await.unwrap().is_some());
    place.later(Duration::from_millis(1));
    assert_eq!(sessions.get(&alice, "dws-1").await, Ok(None));
    let left = sessions.of(&alice).await.unwrap();
    assert_eq!(left.iter().map(|record| &*record.id).collect::<Vec<_>>(), ["dws-2"]);
    let longer = SessionRecord { expires_at: place.now().plus(HOUR), ..short };
    assert_eq!(sessions.replace(longer, 1).await, Ok(false), "it does not come back");
    assert_eq!(sessions.get(&alice, "dws-1").await, Ok(None));
}

pub(super) async fn of_those_who_read_the_same_version_one_succeeds(place: &Place) {
    let (nodes, alice) = ([place.open(), place.open()], user("alice"));
    let record = place.record(&alice, "dws-1");
    nodes[0].create(record.clone()).await.unwrap();
    for version in 1..=5 {
        let mut tries = tokio::task::JoinSet::new();
        for i in 0..20_u8 {
            let (sessions, record) = (nodes[usize::from(i % 2)].clone(), record.clone());
            let mine = SessionRecord { refresh: Some(vec![i]), ..record };
            tries.spawn(async move { sessions.replace(mine, version).await.unwrap().then_some(i) });
        }
        let won: Vec<u8> = tries.join_all().await.into_iter().flatten().collect();
        assert_eq!(won.len(), 1, "{won:?}");
        let kept = nodes[1].get(&alice, "dws-1").await.unwrap().unwrap();
        assert_eq!((kept.version, kept.refresh), (version + 1, Some(won)));
    }
    assert_eq!(nodes[0].replace(record.clone(), 1).await, Ok(false));
    assert_eq!(nodes[0].replace(record.clone(), 7).await, Ok(false));
    let unknown = SessionRecord { id: "dws-2".into(), ..record };
    assert_eq!(nodes[0].replace(unknown.clone(), 0).await, Ok(false));
    assert_eq!(nodes[0].replace(unknown, 1).await, Ok(false), "a replacement makes nothing");
    assert_eq!(nodes[0].get(&alice, "dws-2").await, Ok(None));
}

pub(super) async fn a_replacement_loses_nothing_that_was_seen(place: &Place) {
    let (sessions, alice) = (place.open(), user("alice"));
    let record = place.record(&alice, "dws-1");
    sessions.create(record.clone()).await.unwrap();
    let later = place.now().plus(Duration::from_secs(90));
    let touch =
        Touch { person: alice.clone(), id: "dws-1".into(), seen_at: later, app: Some(app("payroll")) };
    sessions.touch(&[touch]).await.unwrap();
    let apps = [app("grafana")].into();
    let validated_at = place.now().plus(Duration::from_secs(60));
    let new = SessionRecord { apps, validated_at, refresh: Some(vec![7]), ..record };
    assert!(sessions.replace(new.clone(), 1).await.unwrap(), "being seen is no version");
    let kept = sessions.get(&alice, "dws-1").await.unwrap().unwrap();
    let apps = ["grafana", "payroll", "wiki"].map(app).into();
    assert_eq!(kept, SessionRecord { seen_at: later, apps, version: 2, ..new });
}

pub(super) async fn an_older_instant_never_wins(place: &Place) {
    let (sessions, alice) = (place.open(), user("alice"));
    for id in ["dws-1", "dws-2"] {
        sessions.create(place.record(&alice, id)).await.unwrap();
    }
    let at = |seconds: i64| UnixMillis(place.now().0 + seconds * 1000);
    let touch =
        |id: &str, seconds, of| Touch { person: alice.clone(), id: id.into(), seen_at: at(seconds), app: of };
    let mut batch =
        vec![touch("dws-1", 60, None), touch("dws-1", 30, Some(app("payroll"))), touch("dws-3", 60, None)];
    // More than go in one step.
    batch.extend((0..200).map(|i| touch("dws-2", i, None)));
    batch.extend((0..200).rev().map(|i| touch("dws-2", i, None)));
    sessions.touch(&batch).await.unwrap();
    sessions.touch(&[]).await.unwrap();
    let one = sessions.get(&alice, "dws-1").await.unwrap().unwrap();
    assert_eq!((one.seen_at, one.version), (at(60), 1));
    assert_eq!(one.apps, ["payroll", "wiki"].map(app).into());
    assert_eq!(one.refresh, Some(vec![0, 10, 32, 255]), "the rest is as it was");
    assert_eq!(sessions.get(&alice, "dws-2").await.unwrap().unwrap().seen_at, at(199));
    assert_eq!(sessions.get(&alice, "dws-3").await, Ok(None), "being seen makes nothing");
}

pub(super) async fn what_is_removed_is_gone(place: &Place) {
    let (sessions, alice, bob) = (place.open(), user("alice"), user("bob"));
    for id in ["dws-1", "dws-2", "dws-3"] {
        sessions.create(place.record(&alice, id)).await.unwrap();
        sessions.create(place.record(&bob, id)).await.unwrap();
    }
    assert_eq!(sessions.remove(&alice, "dws-1").await, Ok(true));
    assert_eq!(sessions.remove(&alice, "dws-1").await, Ok(false));
    assert_eq!(sessions.get(&alice, "dws-1").await, Ok(None));
    assert_eq!(sessions.remove_all(&alice).await, Ok(2));
    assert_eq!(sessions.remove_all(&alice).await, Ok(0));
    assert_eq!(sessions.of(&alice).await, Ok(vec![]));
    assert_eq!(sessions.of(&bob).await.unwrap().len(), 3, "nobody else's");
}

pub(super) async fn everybody_of_whom_something_is_kept_is_found(place: &Place) {
    let sessions = place.open();
    let all: BTreeSet<UserId> = (0..250).map(|i| user(&format!("u {i}"))).collect();
    for person in &all {
        for id in ["dws-1", "dws-2"] {
            sessions.create(place.record(person, id)).await.unwrap();
        }
    }
    sessions.put_memory(&user("remembered"), b"x", 0).await.unwrap();
    let everybody = async || {
        let (mut found, mut after) = (BTreeSet::new(), None::<String>);
        for _ in 0..1000 {
            let (people, next) = sessions.people(after.as_deref(), 100).await.unwrap();
            assert!(people.len() <= 1000);
            found.extend(people);
            after = next;
            if after.is_none() {
                return found;
            }
        }
        panic!("it does not come to an end");
    };
    assert_eq!(everybody().await, all);
    sessions.remove_all(&user("u 7")).await.unwrap();
    let mut left = all;
    left.remove(&user("u 7"));
    assert_eq!(everybody().await, left);
}
