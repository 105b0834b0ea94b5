//! The rules of `docs/life-of-a-revocation.md`, each over many invented lives.
//!
//! "True" time is what the test knows; the gateway's clock and the issuer's clock may differ
//! from it as each rule allows.

use std::collections::HashMap;

use doorward_model::{Entry, EntryKind, Standing, Target, UnixMillis};
use doorward_state::{Action, Receipt, Refused, Revocations, Row};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::fixture::{Fixture, NOON, SKEW, change, iat, presented, run, target, until, user};

const S: i64 = 2000;

/// Runs a property on one open store; each case must use targets of its own.
fn check<I: Strategy>(cases: u32, input: I, test: impl Fn(I::Value) -> Result<(), TestCaseError>) {
    // No file of past failures: a case that once failed becomes a test with a name.
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&input, test).unwrap();
}

fn apply(revocations: &Revocations, target: &Target, action: Action) -> Receipt {
    futures_block(revocations.apply(change(target, action))).unwrap()
}

fn futures_block<F: Future>(future: F) -> F::Output {
    tokio::runtime::Handle::current().block_on(future)
}

/// A name that no other case uses.
fn fresh_name() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("p{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn with_store(test: impl FnOnce(&Fixture, &Revocations)) {
    let fixture = Fixture::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _inside = runtime.enter();
    let revocations = fixture.open();
    test(&fixture, &revocations);
}

// R5: tokens that tell whole seconds, from clocks that are off.

#[test]
fn no_token_made_before_a_revocation_survives_it() {
    with_store(|fixture, revocations| {
        let token = (0..20_000_i64, -S..=S);
        let input = (0..10_000_i64, prop::collection::vec(token, 1..50));
        check(400, input, |(at, tokens)| {
            let (name, revoked_at) = (fresh_name(), fixture.now() + at);
            fixture.set(revoked_at);
            apply(revocations, &Target::User(user(&name)), Action::Revoke);
            for (age, skew) in tokens {
                // Made at or before the revocation, down to the very millisecond.
                let p = presented(&name, iat(revoked_at - age, skew));
                prop_assert!(revocations.check(&p, SKEW).is_err(), "age {age} ms, issuer off by {skew} ms");
            }
            Ok(())
        });
    });
}

#[test]
fn a_token_of_the_same_second_is_dead() {
    with_store(|fixture, revocations| {
        for (into_second, clocks_agree) in [(0, true), (1, true), (400, true), (999, true), (999, false)] {
            let next_second = (fixture.now().div_euclid(1000) + 1) * 1000;
            let (name, revoked_at) = (fresh_name(), next_second + into_second);
            fixture.set(revoked_at);
            apply(revocations, &Target::User(user(&name)), Action::Revoke);
            let skew = if clocks_agree { std::time::Duration::ZERO } else { SKEW };
            let refused = revocations.check(&presented(&name, iat(revoked_at, 0)), skew).unwrap_err();
            let not_before = UnixMillis(revoked_at);
            assert_eq!(refused, Refused::MadeBefore { kind: EntryKind::User, not_before });
        }
    });
}

#[test]
fn signing_in_anew_works_after_twice_the_skew_and_a_second() {
    with_store(|fixture, revocations| {
        let input = (0..10_000_i64, prop::collection::vec((0..20_000_i64, -S..=S), 1..50));
        check(400, input, |(at, tokens)| {
            let (name, revoked_at) = (fresh_name(), fixture.now() + at);
            fixture.set(revoked_at);
            apply(revocations, &Target::User(user(&name)), Action::Revoke);
            for (more, skew) in tokens {
                let made_at = revoked_at + 2 * S + 1000 + more;
                let p = presented(&name, iat(made_at, skew));
                prop_assert!(revocations.check(&p, SKEW).is_ok(), "{more} ms later, off by {skew} ms");
            }
            Ok(())
        });
    });
}

#[test]
fn a_token_that_names_no_time_is_dead_once_its_user_was_touched() {
    with_store(|_, revocations| {
        let name = fresh_name();
        let timeless = presented(&name, 0);
        assert!(revocations.check(&timeless, SKEW).is_ok());
        apply(revocations, &Target::User(user(&name)), Action::Revoke);
        assert!(revocations.check(&timeless, SKEW).is_err());
        for extreme in [i64::MIN, i64::MIN + 1, -1, i64::MIN / 1000] {
            assert!(revocations.check(&presented(&name, extreme), SKEW).is_err());
        }
    });
}

// R1 and R2: marks only rise.

#[test]
fn a_clock_that_is_set_back_makes_no_earlier_mark() {
    with_store(|fixture, revocations| {
        let steps = prop::collection::vec((-5000..=5000_i64, any::<bool>()), 2..12);
        check(60, steps, |steps| {
            let names = [fresh_name(), fresh_name()];
            let mut highest = 0;
            let mut marks = [0; 2];
            for (step, first) in steps {
                fixture.set(fixture.now() + step);
                highest = highest.max(fixture.now());
                let i = usize::from(first);
                let receipt = apply(revocations, &Target::User(user(&names[i])), Action::Revoke);
                let mark = receipt.entry.not_before.0;
                prop_assert!(mark >= marks[i], "a mark fell");
                prop_assert!(mark >= highest, "a mark lies before what the clock said once");
                marks[i] = mark;
            }
            // As far as the rule reaches: the gap may sum up to an hour, not more.
            fixture.set(fixture.now().max(highest));
            Ok(())
        });
    });
}

#[test]
fn marks_keep_rising_over_a_restart_with_the_clock_set_back() {
    run(async {
        let fixture = Fixture::new();
        let alice = crate::fixture::alice();
        let bob = target(EntryKind::User, "corp:bob");
        let revocations = fixture.open();
        revocations.apply(change(&alice, Action::Revoke)).await.unwrap();
        revocations.close().await;
        fixture.set(NOON - 60_000);
        let revocations = fixture.open();
        for t in [&alice, &bob] {
            let receipt = revocations.apply(change(t, Action::Revoke)).await.unwrap();
            assert_eq!(receipt.entry.not_before, UnixMillis(NOON), "{t}");
        }
    });
}

#[test]
fn nothing_old_lives_after_revoke_and_reactivate() {
    with_store(|fixture, revocations| {
        let input = (1..5000_i64, 1..5000_i64, prop::collection::vec((0..20_000_i64, -S..=S), 1..30));
        check(300, input, |(gap, pause, tokens)| {
            let (name, disabled_at) = (fresh_name(), fixture.now() + gap);
            let t = Target::User(user(&name));
            fixture.set(disabled_at);
            apply(revocations, &t, Action::Disable);
            // While it is off, not even what is made later is good.
            for later in [0, S, 10 * S, 86_400_000] {
                let refused = revocations.check(&presented(&name, iat(disabled_at + later, 0)), SKEW);
                prop_assert_eq!(refused, Err(Refused::Disabled { kind: EntryKind::User }));
            }
            let back_at = disabled_at + pause;
            fixture.set(back_at);
            apply(revocations, &t, Action::Reactivate);
            for (age, skew) in &tokens {
                let p = presented(&name, iat(back_at - age, *skew));
                prop_assert!(revocations.check(&p, SKEW).is_err(), "{age} ms before the return");
            }
            for (more, skew) in &tokens {
                let p = presented(&name, iat(back_at + 2 * S + 1000 + more, *skew));
                prop_assert!(revocations.check(&p, SKEW).is_ok(), "{more} ms after the return");
            }
            Ok(())
        });
    });
}

// R3: order, repetition, ties.

fn entry() -> impl Strategy<Value = Entry> {
    (0..6_i64, 0..4_u64, any::<bool>()).prop_map(|(mark, version, disabled)| Entry {
        not_before: UnixMillis(mark),
        version,
        disabled,
    })
}

#[test]
fn merging_is_commutative_associative_and_idempotent() {
    check(100_000, (entry(), entry(), entry()), |(a, b, c)| {
        prop_assert_eq!(a.merge(b), b.merge(a));
        prop_assert_eq!(a.merge(b).merge(c), a.merge(b.merge(c)));
        prop_assert_eq!(a.merge(a), a);
        let ab = a.merge(b);
        let flag = match a.version.cmp(&b.version) {
            std::cmp::Ordering::Less => b.disabled,
            std::cmp::Ordering::Greater => a.disabled,
            std::cmp::Ordering::Equal => a.disabled || b.disabled,
        };
        prop_assert_eq!(ab.disabled, flag, "the higher version; a tie is a no");
        prop_assert!(ab.not_before >= a.not_before && ab.version >= a.version, "only ever rises");
        // Nothing that one of the two refuses for its age stands before both.
        for issued_at in 0..8 {
            let issued_at = UnixMillis(issued_at);
            for skew in [std::time::Duration::ZERO, std::time::Duration::from_millis(1)] {
                let dead = matches!(a.standing(issued_at, skew), Standing::MadeBefore(_));
                prop_assert!(!dead || ab.standing(issued_at, skew) != Standing::Good);
            }
        }
        Ok(())
    });
}

/// One life: what is done to three people and a session, while the clock goes as it likes.
fn life() -> impl Strategy<Value = Vec<(usize, Action, i64)>> {
    let action = prop_oneof![
        3 => Just(Action::Revoke),
        2 => Just(Action::Disable),
        2 => Just(Action::Reactivate),
    ];
    prop::collection::vec((0..4_usize, action, -1000..3000_i64), 1..25)
}

fn people() -> Vec<Target> {
    let name = fresh_name();
    let user = |i| target(EntryKind::User, &format!("corp:{name}-{i}"));
    vec![user(0), user(1), user(2), target(EntryKind::Session, &format!("corp:{name}-s"))]
}

fn live(fixture: &Fixture, revocations: &Revocations, life: &[(usize, Action, i64)], people: &[Target]) {
    for (who, action, step) in life {
        fixture.set(fixture.now() + step);
        let t = &people[*who];
        if !(action.is_grant() && t.kind().never_returns()) {
            apply(revocations, t, *action);
        }
    }
}

#[test]
fn rows_in_any_order_and_number_end_in_the_same_entries() {
    with_store(|fixture, revocations| {
        let input = (life(), any::<u64>());
        check(120, input, |(life, seed)| {
            let people = people();
            live(fixture, revocations, &life, &people);
            let mut rows: Vec<Row> = Vec::new();
            for t in &people {
                rows.extend(futures_block(revocations.list(Some(t.clone()), 1000, None)).unwrap());
            }
            let doubled = [rows.clone(), rows].concat();
            let mut shuffled = doubled;
            shuffle(&mut shuffled, seed);
            let mut merged: HashMap<Target, Entry> = HashMap::new();
            let mut dead_at: HashMap<Target, UnixMillis> = HashMap::new();
            for row in &shuffled {
                let known = merged.entry(row.target.clone()).or_default();
                *known = known.merge(row.entry);
                // A delivered revocation is never undelivered by what comes after it.
                let dead = dead_at.entry(row.target.clone()).or_default();
                *dead = (*dead).max(row.entry.not_before);
                prop_assert!(known.standing(*dead, SKEW) != Standing::Good);
            }
            for t in &people {
                prop_assert_eq!(merged.get(t).copied(), revocations.lookup(t), "{}", t);
            }
            Ok(())
        });
    });
}

fn shuffle(rows: &mut [Row], seed: u64) {
    let mut state = seed | 1;
    for i in (1..rows.len()).rev() {
        // xorshift64, enough to shuffle with.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let j = usize::try_from(state % (u64::try_from(i).unwrap() + 1)).unwrap();
        rows.swap(i, j);
    }
}

#[test]
fn the_last_word_of_the_log_holds_and_survives_a_restart() {
    check(25, prop::collection::vec(life(), 1..4), |lives| {
        let fixture = Fixture::new();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let _inside = runtime.enter();
        let people = people();
        let mut last: HashMap<&Target, (i64, bool)> = HashMap::new();
        for life in lives {
            let revocations = fixture.open();
            for (who, action, step) in life {
                fixture.set(fixture.now() + step);
                let t = &people[who];
                if action.is_grant() && t.kind().never_returns() {
                    continue;
                }
                let entry = apply(&revocations, t, action).entry;
                let (mark, disabled) = last.entry(t).or_default();
                prop_assert!(entry.not_before.0 >= *mark && entry.not_before.0 >= fixture.now());
                *mark = entry.not_before.0;
                match action {
                    Action::Disable => *disabled = true,
                    Action::Reactivate => *disabled = false,
                    Action::Revoke => {}
                }
                prop_assert_eq!(entry.disabled, *disabled);
            }
            prop_assert_eq!(futures_block(revocations.close()), 0);
        }
        let revocations = fixture.open();
        for t in &people {
            let known = revocations.lookup(t).map(|e| (e.not_before.0, e.disabled));
            prop_assert_eq!(known, last.get(t).copied(), "{}", t);
        }
        Ok(())
    });
}

// R8: what is known must be fresh.

#[test]
fn a_store_that_cannot_be_read_makes_the_gateway_stale() {
    run(async {
        let fixture = Fixture::new();
        let revocations = fixture.open();
        revocations.apply(change(&crate::fixture::alice(), Action::Revoke)).await.unwrap();
        let away = fixture.dir.path().join("away");
        std::fs::rename(fixture.file(), &away).unwrap();
        let bob = presented("bob", NOON / 1000);
        until("it is stale", || matches!(revocations.check(&bob, SKEW), Err(Refused::Stale { .. }))).await;
        let health = revocations.health();
        assert!(!health.fresh && health.last_error.is_some_and(|e| e.contains("moved or replaced")));
        // What is known still bites, and is told as what it is.
        let alice = revocations.check(&presented("alice", NOON / 1000 - 60), SKEW).unwrap_err();
        assert!(matches!(alice, Refused::MadeBefore { .. }), "{alice:?}");
        // And nothing is acknowledged that would be written to a file that is gone.
        let carol = target(EntryKind::User, "corp:carol");
        let error = revocations.apply(change(&carol, Action::Revoke)).await.unwrap_err();
        assert!(error.enforced(), "{error}");

        std::fs::rename(&away, fixture.file()).unwrap();
        until("it is fresh again", || revocations.check(&bob, SKEW).is_ok()).await;
        until("the revocation is saved", || revocations.health().unsaved == 0).await;
        revocations.close().await;
        assert!(fixture.open().lookup(&carol).is_some());
    });
}

#[test]
fn what_was_just_read_is_fresh_whatever_the_clock_does() {
    run(async {
        let fixture = Fixture::new();
        let revocations = fixture.open();
        for step in [86_400_000, -2 * 86_400_000, 365 * 86_400_000] {
            fixture.set(fixture.now() + step);
            for _ in 0..30 {
                assert!(revocations.check(&presented("bob", NOON / 1000), SKEW).is_ok());
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
    });
}
