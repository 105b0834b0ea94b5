//! What is bounded.

use std::time::Duration;

use doorward_state::sessions::{OnceKind, Touch};
use doorward_state::{SessionRecord, SessionsError};

use crate::fixture::{HOUR, Place, app, user};

pub(super) async fn the_oldest_gives_way(place: &Place) {
    let (sessions, alice) = (place.open(), user("alice"));
    // The one that began first is neither the first that was kept nor the one seen last.
    for i in 0..64_i64 {
        let began = if i == 40 { place.now().minus(HOUR) } else { place.now() };
        let seen = place.now().plus(Duration::from_secs(u64::from(i == 40)));
        let record = SessionRecord {
            signed_in_at: began,
            seen_at: seen,
            ..place.record(&alice, &format!("dws-{i:02}"))
        };
        assert_eq!(sessions.create(record).await, Ok(None));
    }
    let gone = sessions.create(place.record(&alice, "dws-new")).await.unwrap().unwrap();
    assert_eq!(&*gone.id, "dws-40");
    assert_eq!(gone.refresh, Some(vec![0, 10, 32, 255]), "it is returned whole");
    let next = sessions.create(place.record(&alice, "dws-newer")).await.unwrap().unwrap();
    assert_eq!(&*next.id, "dws-00", "of the same age the first by name");
    let left = sessions.of(&alice).await.unwrap();
    assert_eq!(left.len(), 64);
    assert!(left.iter().all(|record| !["dws-40", "dws-00"].contains(&&*record.id)));
    assert_eq!(sessions.create(place.record(&user("bob"), "dws-1")).await, Ok(None), "of another person");
}

pub(super) async fn what_is_over_gives_way_first(place: &Place) {
    let (sessions, alice) = (place.open(), user("alice"));
    for i in 0..64 {
        let ends = if i < 3 { HOUR } else { 3 * HOUR };
        let record = SessionRecord {
            expires_at: place.now().plus(ends),
            ..place.record(&alice, &format!("dws-{i:02}"))
        };
        sessions.create(record).await.unwrap();
    }
    place.later(2 * HOUR);
    for i in 0..3 {
        let record = place.record(&alice, &format!("dws-new-{i}"));
        assert_eq!(sessions.create(record).await, Ok(None), "nobody living gives way");
    }
    assert_eq!(sessions.of(&alice).await.unwrap().len(), 64);
    assert!(sessions.create(place.record(&alice, "dws-one-more")).await.unwrap().is_some());
}

pub(super) async fn apps_are_bounded(place: &Place) {
    let (sessions, alice) = (place.open(), user("alice"));
    let record = place.record(&alice, "dws-1");
    sessions.create(record.clone()).await.unwrap();
    let touches: Vec<Touch> = (0..100)
        .map(|i| Touch {
            person: alice.clone(),
            id: "dws-1".into(),
            seen_at: place.now(),
            app: Some(app(&format!("app-{i:03}"))),
        })
        .collect();
    sessions.touch(&touches).await.unwrap();
    let mut expected: std::collections::BTreeSet<_> = (0..63).map(|i| app(&format!("app-{i:03}"))).collect();
    expected.insert(app("wiki"));
    assert_eq!(sessions.get(&alice, "dws-1").await.unwrap().unwrap().apps, expected);
    let apps = [app("zebra")].into();
    assert!(sessions.replace(SessionRecord { apps, ..record }, 1).await.unwrap());
    assert_eq!(sessions.get(&alice, "dws-1").await.unwrap().unwrap().apps, expected);
}

pub(super) async fn what_is_too_much_is_refused_or_cut(place: &Place) {
    let (sessions, alice) = (place.open(), user("alice"));
    let record = place.record(&alice, "dws-1");
    let field = |error| match error {
        SessionsError::Unfit { field, .. } => field,
        other => panic!("{other}"),
    };
    for (wrong, expected) in [
        (SessionRecord { id: "".into(), ..record.clone() }, "id"),
        (SessionRecord { id: "a b".into(), ..record.clone() }, "id"),
        (SessionRecord { id: "x".repeat(129).into(), ..record.clone() }, "id"),
        (SessionRecord { refresh: Some(vec![0; 8193]), ..record.clone() }, "refresh"),
        (SessionRecord { expires_at: doorward_model::UnixMillis(i64::MAX), ..record.clone() }, "expires_at"),
        (SessionRecord { seen_at: doorward_model::UnixMillis(-1), ..record.clone() }, "seen_at"),
    ] {
        assert_eq!(field(sessions.create(wrong.clone()).await.unwrap_err()), expected);
        assert_eq!(field(sessions.replace(wrong, 1).await.unwrap_err()), expected);
    }
    let once = sessions.put_once(OnceKind::Enter, "c", vec![0; 8193], HOUR).await;
    assert_eq!(field(once.unwrap_err()), "once");
    assert_eq!(field(sessions.put_memory(&alice, &[0; 4097], 0).await.unwrap_err()), "memory");
    assert_eq!(field(sessions.lock("", "me", HOUR).await.unwrap_err()), "name");
    assert_eq!(field(sessions.lock("l", "m e", HOUR).await.unwrap_err()), "holder");
    assert_eq!(sessions.of(&alice).await, Ok(vec![]));

    let agent = format!("{}\n\0{}", "ü".repeat(100), "x".repeat(100_000));
    let apps = (0..100).map(|i| app(&format!("app-{i:03}"))).collect();
    let refresh = Some(vec![0; 8192]);
    sessions.create(SessionRecord { agent, apps, refresh, ..record }).await.unwrap();
    let kept = sessions.get(&alice, "dws-1").await.unwrap().unwrap();
    assert_eq!(kept.agent, format!("{}{}", "ü".repeat(100), "x".repeat(20)));
    assert_eq!((kept.apps.len(), kept.refresh.map(|sealed| sealed.len())), (64, Some(8192)));
}
