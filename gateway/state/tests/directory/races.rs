//! There is no instant that a request could slip through.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use doorward_model::directory::PersonState;
use doorward_model::{AppId, AuthSession, IssuerId, Presented, UnixMillis};
use doorward_state::Action;

use super::fixture::*;

/// What a request presents whose token is newer than every revocation: only what holds now counts.
fn presented() -> Presented {
    Presented {
        users: vec![user("corp:alice")],
        owner: None,
        session: AuthSession {
            session: None,
            token: None,
            issuer: IssuerId::new("corp").unwrap(),
            issued_at: UnixMillis(i64::MAX / 2),
            expires_at: UnixMillis(i64::MAX),
        },
        device: None,
        named: None,
        app: AppId::new("wiki").unwrap(),
    }
}

/// As a request does it: first the directory, then the revocations.
fn admitted(house: &House, presented: &Presented) -> bool {
    let known = house.directory.person_of(&user("corp:alice")).unwrap();
    known.is_some_and(|known| known.admitted())
        && house.revocations.check(presented, Duration::from_secs(2)).is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_was_deactivated_is_admitted_at_any_instant() {
    let house = Arc::new(House::new());
    house.write(vec![of_person(&person(1, "alice"))]).await;
    let (epoch, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let reader = {
        let (house, epoch, over) = (Arc::clone(&house), Arc::clone(&epoch), Arc::clone(&over));
        std::thread::spawn(move || {
            let (presented, mut let_in, mut refused) = (presented(), 0_u64, 0_u64);
            while !over.load(Ordering::Acquire) {
                let before = epoch.load(Ordering::SeqCst);
                let is_in = admitted(&house, &presented);
                let after = epoch.load(Ordering::SeqCst);
                if before == after && before % 2 == 1 {
                    assert!(!is_in, "admitted after the deactivation was acknowledged");
                }
                (let_in, refused) = (let_in + u64::from(is_in), refused + u64::from(!is_in));
            }
            (let_in, refused)
        })
    };
    let (mut left, active) = (person(1, "alice"), person(1, "alice"));
    left.state = PersonState::Deactivated;
    for _ in 0..200 {
        let cut = vec![change("corp:alice", Action::Disable)];
        house.commit(vec![of_person(&left)], cut).await.unwrap();
        epoch.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_micros(300)).await;
        // The epoch ends before the return begins: from then on she may be let in.
        epoch.fetch_add(1, Ordering::SeqCst);
        let back = vec![change("corp:alice", Action::Reactivate)];
        house.commit(vec![of_person(&active)], back).await.unwrap();
    }
    over.store(true, Ordering::Release);
    let (let_in, refused) = reader.join().unwrap();
    assert!(let_in > 0 && refused > 0, "{let_in} {refused}");
}

#[tokio::test]
async fn a_grant_is_never_seen_before_the_record_that_it_follows_from() {
    let house = Arc::new(House::new());
    let mut left = person(1, "alice");
    left.state = PersonState::Deactivated;
    house.commit(vec![of_person(&left)], vec![change("corp:alice", Action::Disable)]).await.unwrap();
    let seen: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let (told, at) = (Arc::clone(&seen), Arc::clone(&house));
    house.revocations.subscribe(Arc::new(move |_| {
        told.lock().unwrap().push(at.says("corp:alice"));
        doorward_state::Ended::default()
    }));
    let back = vec![change("corp:alice", Action::Reactivate)];
    house.commit(vec![of_person(&person(1, "alice"))], back).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), ["active:  / "], "when the grant is told, the record is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_and_their_groups_are_of_one_batch() {
    let house = Arc::new(House::new());
    house.write(vec![of_group(1, "a"), of_group(2, "b")]).await;
    let move_to = |role: &str, group: u128| {
        vec![of_person(&with_role(person(1, "alice"), role)), in_groups(1, &[group])]
    };
    house.write(move_to("a", 1)).await;
    let over = Arc::new(AtomicBool::new(false));
    let reader = {
        let (house, over) = (Arc::clone(&house), Arc::clone(&over));
        std::thread::spawn(move || {
            let mut seen = [0_u64; 2];
            while !over.load(Ordering::Acquire) {
                match house.says("corp:alice").as_str() {
                    "active: a / a" => seen[0] += 1,
                    "active: b / b" => seen[1] += 1,
                    torn => panic!("of two batches: {torn}"),
                }
            }
            seen
        })
    };
    for _ in 0..200 {
        house.write(move_to("b", 2)).await;
        house.write(move_to("a", 1)).await;
    }
    over.store(true, Ordering::Release);
    let seen = reader.join().unwrap();
    assert!(seen.iter().all(|n| *n > 0), "{seen:?}");
}
