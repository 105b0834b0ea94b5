//! A week, recorded through the log that the gateway writes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use doorward_audit::{Audit, AuditConfig, AuditSection, Identity, Recorded};
use doorward_model::time::Clock;
use doorward_model::{KeyPath, UnixMillis};
use doorward_policy::{PolicyBundle, Situation};

use super::traffic::{self, BEGIN, Week};

/// Records a week through the log that the gateway writes.
pub(crate) fn record(dir: &Path, bundle: &PolicyBundle, seed: u64, requests: usize, segment_bytes: u64) {
    let section = AuditSection {
        dir: Some(dir.to_owned()),
        segment_bytes_max: Some(segment_bytes),
        flush_millis_max: Some(20),
        ..AuditSection::default()
    };
    let config = AuditConfig::check(&section, &KeyPath::top(), dir, dir, &mut Vec::new()).unwrap();
    let identity = Identity { node: "gw-1".to_owned(), version: "0.1.0".to_owned() };
    // The clock goes with the week, so that the log does not take it for a flood of refusals.
    let now = Arc::new(AtomicI64::new(BEGIN.0));
    let clock = Arc::clone(&now);
    let clock: Clock = Arc::new(move || UnixMillis(clock.load(Ordering::Relaxed)));
    let (audit, _) = Audit::open(config, identity, clock).unwrap();
    let mut week = Week::new(seed, requests);
    let mut done = 0;
    while done < requests {
        let some: Vec<Situation> = (done..requests).take(4000).map(|_| week.next()).collect();
        let halves: Vec<(usize, &[Situation])> = some.chunks(2000).enumerate().collect();
        let events = std::thread::scope(|scope| {
            let made: Vec<_> = halves
                .iter()
                .map(|(half, some)| {
                    let first = done + half * 2000;
                    scope.spawn(move || {
                        let numbered = (first..).zip(*some);
                        numbered.map(|(n, one)| traffic::event(n, one, bundle)).collect::<Vec<_>>()
                    })
                })
                .collect();
            made.into_iter().flat_map(|half| half.join().unwrap()).collect::<Vec<_>>()
        });
        for (event, situation) in events.into_iter().zip(&some) {
            now.store(situation.now.0, Ordering::Relaxed);
            // The log would rather lose an allowance than hold up whoever asks; here it must not.
            while audit.health().queued > 30_000 {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(audit.record(event), Recorded::Queued);
        }
        done += some.len();
    }
    audit.close().unwrap();
}
