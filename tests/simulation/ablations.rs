//! Each part of the protocol is there for a reason: without it there is a way to break the promise.

use crate::explore::explore;
use crate::promise::Breach;
use crate::protocol::{Bounds, Case, Part, Protocol};

/// Enough for each of them; a breach comes early or not at all.
const STATES_MAX: usize = 1_000_000;

/// What must happen for the part to matter, and how the promise breaks then.
fn reason(part: Part) -> (Bounds, Breach) {
    let calm = Bounds::CALM;
    let failover = Bounds { changes: 1, failovers: 1, ..calm };
    match part {
        Part::Lease | Part::LeaseFromSend | Part::AcknowledgeAfterPublish => {
            (Bounds { changes: 1, ..calm }, Breach::Overdue)
        }
        Part::WritablePoll | Part::LagLimit | Part::Fence => (failover, Breach::Overdue),
        Part::GenerationInPosition | Part::ProvenConnection => {
            (Bounds { neighbors: 1, ..failover }, Breach::Overdue)
        }
        Part::Blessing => (Bounds { changes: 1, node_restarts: 1, ..calm }, Breach::Overdue),
        Part::BlessingOfOneRun => {
            (Bounds { changes: 1, node_restarts: 2, lost_reconcilers: 1, ..calm }, Breach::Overdue)
        }
        Part::MergeAtResync => (Bounds { changes: 1, node_restarts: 1, ..calm }, Breach::Revived),
        Part::Predecessors => (Bounds { changes: 1, neighbors: 1, ..calm }, Breach::Overdue),
        Part::TruncationCheck => (Bounds { changes: 1, neighbors: 1, trims: 1, ..calm }, Breach::Overdue),
        Part::MarkKept | Part::ReturnRaisesMark => (calm, Breach::Revived),
        Part::VersionedFlag => (Bounds { stragglers: 1, ..calm }, Breach::Revived),
        Part::FlagTakenBack => (calm, Breach::LockedOut),
        Part::LogicalStamps => (Bounds { changes: 1, ..calm }, Breach::Revived),
    }
}

#[test]
fn without_any_part_the_promise_breaks() {
    let mut faults = Vec::new();
    for part in Part::ALL {
        let (bounds, expected) = reason(part);
        let found = explore(&Case { protocol: Protocol::WHOLE.without(part), bounds }, STATES_MAX);
        match found.violation {
            Some(trace) => {
                println!("without {part:?}, {} states: {trace}", found.states);
                if trace.breach != expected {
                    faults.push(format!("{part:?}: {:?} instead of {expected:?}", trace.breach));
                }
            }
            None => faults.push(format!("{part:?}: holds in all {} states without it", found.states)),
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn with_the_part_the_same_bounds_hold() {
    for part in Part::ALL {
        let (bounds, _) = reason(part);
        let found = explore(&Case { protocol: Protocol::WHOLE, bounds }, STATES_MAX);
        if let Some(trace) = found.violation {
            panic!("{part:?}: {trace}");
        }
    }
}
