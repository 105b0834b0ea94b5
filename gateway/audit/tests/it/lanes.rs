//! What the two lanes promise, seen in the files.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use doorward_audit::event::SignInStep;
use doorward_audit::{AuditError, AuditState, Outcome, Recorded};
use doorward_model::{Refusal, RefusalCode};
use serde_json::Value;

use crate::samples::{self, block_on, config, lines, number, open, sequences, small, text};

/// The numbers that the files do not have, and what the gap events say of them.
fn gaps(events: &[Value], recorded: u64) -> (BTreeSet<u64>, u64) {
    let there: BTreeSet<u64> = sequences(events).into_iter().collect();
    let missing: BTreeSet<u64> = (1..=recorded).filter(|n| !there.contains(n)).collect();
    let mut told = 0;
    for gap in events.iter().filter(|e| text(e, "/metadata/event_code") == "audit.gap") {
        let total = number(gap, "/unmapped/doorward/gap/lost/total");
        let first = number(gap, "/unmapped/doorward/gap/first_sequence");
        let last = number(gap, "/unmapped/doorward/gap/last_sequence");
        assert_eq!(u64::try_from(missing.range(first..=last).count()).unwrap(), total, "{gap}");
        told += total;
    }
    (missing, told)
}

#[test]
fn what_is_lost_is_counted_to_the_number() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, _) = open(small(dir.path()));
    let queued = Arc::new(AtomicU64::new(0));
    let dropped = Arc::new(AtomicU64::new(0));
    std::thread::scope(|scope| {
        for t in 0..4 {
            let (audit, queued, dropped) = (audit.clone(), Arc::clone(&queued), Arc::clone(&dropped));
            scope.spawn(move || {
                for i in 0..2500 {
                    let event = if i % 5 == 0 { samples::denied("req-d") } else { samples::allowed("req-a") };
                    match audit.record(event) {
                        Recorded::Queued => queued.fetch_add(1, Ordering::Relaxed),
                        Recorded::Dropped => dropped.fetch_add(1, Ordering::Relaxed),
                        Recorded::Counted => panic!("everybody here has a name"),
                    };
                    if i % 500 == 0 {
                        std::thread::sleep(std::time::Duration::from_millis(5 + t));
                    }
                }
            });
        }
    });
    audit.close().unwrap();
    let health = audit.health();
    let events = lines(dir.path());
    let (missing, told) = gaps(&events, health.recorded);
    assert_eq!(queued.load(Ordering::Relaxed) + dropped.load(Ordering::Relaxed), 10_000);
    assert!(health.dropped.total() > 0, "a queue of 64 must overflow here");
    assert!(
        health.dropped.total() >= dropped.load(Ordering::Relaxed),
        "what gave way to a denial is lost too"
    );
    assert_eq!(health.dropped.total(), told);
    assert_eq!(u64::try_from(missing.len()).unwrap(), told);
    assert_eq!(health.written, u64::try_from(events.len()).unwrap());
    assert_eq!(health.written + health.dropped.total(), health.recorded);
    assert!(sequences(&events).is_sorted());
    assert_eq!((health.state, health.queued), (AuditState::Closed, 0));
}

#[test]
fn an_acknowledged_event_is_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, report) = open(config(dir.path(), 64 << 20, 1000, 64 * 1024));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let tasks: Vec<_> = (0..64)
        .map(|i| {
            let audit = audit.clone();
            let file = report.segment.clone();
            runtime.spawn(async move {
                let sequence = audit.record_durable(samples::revocation(samples::bob(), true)).await.unwrap();
                let _ = audit.record(samples::allowed("req"));
                if i % 16 == 0 {
                    let text = std::fs::read_to_string(file).unwrap();
                    assert!(text.contains(&format!("\"sequence\":{sequence},")), "{sequence} is not there");
                }
                sequence.0
            })
        })
        .collect();
    let mut acknowledged: Vec<u64> = tasks.into_iter().map(|t| runtime.block_on(t).unwrap()).collect();
    audit.close().unwrap();
    let events = lines(dir.path());
    let mut there = sequences(&events);
    there.sort_unstable();
    assert_eq!(there, (1..=128).collect::<Vec<_>>());
    acknowledged.sort_unstable();
    let revoked = events.iter().filter(|e| text(e, "/metadata/event_code") == "revocation.user");
    let revoked: Vec<u64> = revoked.map(|e| number(e, "/metadata/sequence")).collect();
    assert_eq!(acknowledged, revoked);
    assert!(audit.health().commits < 128, "what waits together is made durable together");
}

/// However many decisions wait, a revocation does not wait for them.
#[test]
fn what_is_critical_overtakes_decisions() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, _) = open(config(dir.path(), 64 << 20, 20_000, 64 * 1024));
    // Made beforehand: decisions must come faster than they are written.
    let denied = samples::denied("req");
    for _ in 0..20_000 {
        assert_eq!(audit.record(denied.clone()), Recorded::Queued);
    }
    let sequence = block_on(audit.record_durable(samples::revocation(samples::bob(), true))).unwrap();
    assert_eq!(sequence.0, 20_001);
    audit.close().unwrap();
    let events = lines(dir.path());
    assert_eq!(events.len(), 20_001);
    // The file says it: by the time somebody asks how many were written, all may be.
    let before = sequences(&events).iter().position(|n| *n == sequence.0).unwrap();
    assert!(before < 20_000, "{before} of 20000 decisions were written first");
    let decisions: Vec<u64> = sequences(&events).into_iter().filter(|n| *n != 20_001).collect();
    assert!(decisions.is_sorted(), "decisions keep their order");
}

#[test]
fn a_decision_is_durable_within_the_flush_time() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, _) = open(small(dir.path()));
    assert_eq!(audit.record(samples::allowed("req-1")), Recorded::Queued);
    samples::eventually("a single decision is written", || audit.health().written == 1);
    assert_eq!(lines(dir.path()).len(), 1);
}

#[test]
fn a_closed_log_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, _) = open(small(dir.path()));
    assert!(audit.accepts_grants());
    assert_eq!(audit.record(samples::allowed("req-1")), Recorded::Queued);
    audit.close().unwrap();
    audit.close().unwrap();
    assert!(!audit.accepts_grants());
    assert_eq!(audit.record(samples::allowed("req-2")), Recorded::Dropped);
    let refused = block_on(audit.record_durable(samples::revocation(samples::bob(), true)));
    assert!(matches!(refused, Err(AuditError::Closed)));
    assert_eq!(lines(dir.path()).len(), 1, "what was recorded before is there");
}

#[test]
fn dropping_the_last_handle_writes_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, _) = open(config(dir.path(), 64 * 1024, 1000, 64 * 1024));
    for _ in 0..500 {
        assert_eq!(audit.record(samples::allowed("req")), Recorded::Queued);
    }
    drop(audit);
    assert_eq!(lines(dir.path()).len(), 500);
}

/// The caller gave up waiting; the event is written all the same.
#[test]
fn an_abandoned_wait_is_no_loss() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, _) = open(small(dir.path()));
    block_on(async {
        let mut wait = std::pin::pin!(audit.record_durable(samples::revocation(samples::bob(), true)));
        let _ = std::future::poll_fn(|cx| std::task::Poll::Ready(wait.as_mut().poll(cx))).await;
    });
    audit.close().unwrap();
    assert_eq!(lines(dir.path()).len(), 1);
}

/// Whoever did not sign in can cause as many refusals as they like. They fill neither the disk
/// nor the queue, and stop nobody's grants.
#[test]
fn refusals_of_nobody_are_written_up_to_a_rate_and_told_beyond_it() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, _) = open(config(dir.path(), 64 << 20, 1000, 64 * 1024));
    let limit = u64::from(doorward_audit::config::NAMELESS_REFUSALS_PER_SECOND_MAX);
    let mut counted = 0;
    for _ in 0..2000 {
        match audit.record(samples::unauthenticated("req")) {
            Recorded::Queued => {}
            Recorded::Counted => counted += 1,
            Recorded::Dropped => panic!("lost"),
        }
        assert!(audit.accepts_grants());
    }
    assert_eq!(counted, 2000 - limit);
    // So it is with sign-ins that a browser brings back, and no provider vouches for.
    let mut nobody = samples::arrived("req-back", "/.doorward/callback");
    nobody.refused(&Refusal::new(RefusalCode::SignInLost, ""));
    assert_eq!(audit.record(samples::signed_in(nobody, SignInStep::Begun)), Recorded::Counted);
    let mut weak = samples::identified("req-weak", "DE");
    weak.refused(&Refusal::new(RefusalCode::WeakSignIn, ""));
    assert_eq!(audit.record(samples::signed_in(weak, SignInStep::Begun)), Recorded::Queued);
    // Whoever did sign in is written, whatever the others do; and so is every grant.
    assert_eq!(audit.record(samples::denied("req-named")), Recorded::Queued);
    assert_eq!(audit.record(samples::allowed("req-allowed")), Recorded::Queued);
    assert_eq!((audit.health().dropped.total(), audit.health().state), (0, AuditState::Healthy));
    audit.close().unwrap();
    let events = lines(dir.path());
    let of = |code| events.iter().filter(|e| text(e, "/metadata/event_code") == code).collect::<Vec<_>>();
    assert_eq!(of("access.request.denied").len() as u64, limit + 1);
    assert_eq!(of("access.request.allowed").len(), 1);
    let told = of("audit.refusals_summarized");
    assert_eq!(told.len(), 1);
    let refusals = &told[0]["unmapped"]["doorward"]["refusals"];
    assert_eq!(refusals["total"], counted + 1);
    assert_eq!(refusals["by_reason"], serde_json::json!({ "sign_in_lost": 1, "unauthenticated": counted }));
    assert_eq!(of("sign_in.refused").len(), 1);
    assert_eq!(gaps(&events, audit.health().recorded).0, BTreeSet::new(), "no number is missing");
}

/// A visitor is nobody in particular when refused; what a visitor is granted is written, always.
#[test]
fn a_visitor_who_is_refused_is_nobody_in_particular() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, _) = open(config(dir.path(), 64 << 20, 10_000, 64 * 1024));
    let visit = |outcome| {
        let mut trail = samples::arrived("req-v", "/");
        let device = doorward_model::DevicePosture::default();
        let visitor = doorward_model::Principal::Visitor(doorward_model::Visitor);
        trail.identified(visitor, None, doorward_model::Assurance::default(), &device);
        trail.decided(samples::ruling(outcome, "a-policy"));
        audit.record(doorward_audit::Event::RequestDecided(Box::new(trail)))
    };
    let denied = Outcome::Denied(doorward_model::RefusalCode::NoPermit);
    let refused = (0..2000).filter(|_| visit(denied) == Recorded::Counted).count();
    assert_eq!(refused, 1500);
    assert!((0..2000).all(|_| visit(Outcome::Allowed) == Recorded::Queued));
    audit.close().unwrap();
}
