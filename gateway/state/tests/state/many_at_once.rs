//! Many tasks revoke while many check.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use doorward_model::{EntryKind, Target};
use doorward_state::{Action, Revocations};

use crate::fixture::{Fixture, NOON, SKEW, change, presented, run, target};

const TASKS: usize = 64;
const EACH: usize = 40;

fn of(task: usize, i: usize) -> Target {
    target(EntryKind::User, &format!("corp:u{task}-{i}"))
}

#[test]
fn sixty_four_tasks_lose_nothing() {
    run(async {
        let fixture = Fixture::new();
        let revocations = fixture.open();
        let over = Arc::new(AtomicBool::new(false));
        let checks = Arc::new(AtomicUsize::new(0));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (revocations, over) = (revocations.clone(), Arc::clone(&over));
                let checks = Arc::clone(&checks);
                std::thread::spawn(move || read(&revocations, &over, &checks))
            })
            .collect();
        let tasks: Vec<_> =
            (0..TASKS).map(|task| tokio::spawn(revoke_many(revocations.clone(), task))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        over.store(true, Ordering::SeqCst);
        for reader in readers {
            reader.join().unwrap();
        }
        assert!(checks.load(Ordering::SeqCst) > 0);
        let health = revocations.health();
        let all = TASKS * EACH + 1;
        assert_eq!((health.entries, health.unsaved), (all, 0));
        let shared = revocations.lookup(&target(EntryKind::User, "corp:shared")).unwrap();
        let changes = u64::try_from(TASKS * EACH).unwrap();
        assert_eq!(shared.version, changes, "every change of the one flag is counted");
        assert_eq!(revocations.close().await, 0);
        let revocations = fixture.open();
        assert_eq!(revocations.lookup(&target(EntryKind::User, "corp:shared")), Some(shared));
        for task in 0..TASKS {
            assert!((0..EACH).all(|i| revocations.lookup(&of(task, i)).is_some()));
        }
    });
}

async fn revoke_many(revocations: Revocations, task: usize) {
    let shared = target(EntryKind::User, "corp:shared");
    for i in 0..EACH {
        let receipt = revocations.apply(change(&of(task, i), Action::Revoke)).await.unwrap();
        assert_eq!(revocations.lookup(&of(task, i)), Some(receipt.entry));
        let name = format!("u{task}-{i}");
        assert!(
            revocations.check(&presented(&name, NOON / 1000), SKEW).is_err(),
            "acknowledged and not in force"
        );
        revocations.apply(change(&shared, Action::Disable)).await.unwrap();
    }
}

/// Once refused, always refused.
fn read(revocations: &Revocations, over: &AtomicBool, checks: &AtomicUsize) {
    let mut dead = [[false; EACH]; TASKS];
    while !over.load(Ordering::SeqCst) {
        for (task, row) in dead.iter_mut().enumerate() {
            for (i, dead) in row.iter_mut().enumerate() {
                let refused =
                    revocations.check(&presented(&format!("u{task}-{i}"), NOON / 1000), SKEW).is_err();
                assert!(refused || !*dead, "u{task}-{i} came back to life");
                *dead = refused;
                checks.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
