//! Each part of the protocol is there for a reason: without it there is a way to break the promise. Some parts have
//! another one that does the same work; that is shown, too.

use crate::explore::explore;
use crate::promise::Breach;
use crate::protocol::{Bounds, Case, GoOn, Part, Protocol};

/// Enough for each of them; a breach comes early or not at all.
const STATES_MAX: usize = 3_000_000;

/// What must happen for the part to matter, and how the promise breaks then.
enum Reason {
    Needed(Bounds, Breach),
    /// The same, where a log never goes on: fewer worlds.
    NeededAnyway(Bounds, Breach),
    /// Within these bounds it holds without it, as another part does the same work; without both it breaks.
    Spare(Bounds, Part),
    /// Nothing was found that it is good for.
    Idle(Bounds),
}

fn reason(part: Part) -> Reason {
    let calm = Bounds::CALM;
    let restart = Bounds { changes: 1, sign_outs: false, node_restarts: 1, ..calm };
    let failover = Bounds { changes: 1, sign_outs: false, failovers: 1, ..calm };
    let compactions = Bounds { changes: 1, sign_outs: false, neighbors: 1, compactions: 2, ..calm };
    let overdue = |bounds| Reason::Needed(bounds, Breach::Overdue);
    match part {
        Part::Lease | Part::LeaseFromSend | Part::AcknowledgeAfterPublish => {
            overdue(Bounds { changes: 1, ..calm })
        }
        Part::LeaseAtHead => overdue(Bounds { page_entries: 1, neighbors: 1, changes: 1, ..calm }),
        Part::WritablePoll | Part::LagLimit => Reason::Spare(failover, Part::CountedReplicas),
        Part::CountedReplicas => overdue(Bounds { sleeps: 1, ..failover }),
        Part::Blessing => overdue(restart),
        Part::BlessingOfOneLineage => overdue(Bounds { node_restarts: 2, lost_reconcilers: 1, ..restart }),
        Part::LineageOfPromotion => overdue(Bounds { failovers: 2, ..failover }),
        Part::BlessingForward => {
            Reason::Spare(Bounds { lost_reconcilers: 1, ..restart }, Part::BlessingLocked)
        }
        Part::BlessingLocked => overdue(Bounds { lost_reconcilers: 1, flushes: 1, ..restart }),
        Part::TokenOfOneAttempt => overdue(Bounds { lost_reconcilers: 1, flushes: 1, ..restart }),
        Part::BlessingOfTheElected => {
            Reason::NeededAnyway(Bounds { misled_reconcilers: 1, ..failover }, Breach::Overdue)
        }
        Part::BlessingOfTheLast => {
            let bounds = Bounds { misled_reconcilers: 1, lost_reconcilers: 1, ..failover };
            Reason::NeededAnyway(bounds, Breach::Overdue)
        }
        Part::Fence | Part::SnapshotAfterRaise => overdue(failover),
        Part::PublishOnlyBlessed => overdue(Bounds { neighbors: 1, ..restart }),
        Part::EpochInPosition => overdue(Bounds { neighbors: 2, ..restart }),
        Part::PlaceBeforeTheFork => overdue(Bounds { neighbors: 1, ..restart }),
        Part::RowOfTheLog => overdue(Bounds { neighbors: 1, compactions: 1, ..restart }),
        Part::CompactBaseBeforeRead => overdue(Bounds { changes: 1, compactions: 1, ..calm }),
        Part::CompactLocked => Reason::Spare(compactions, Part::TruncationCheck),
        Part::CompactOfOneEpoch => {
            let bounds = Bounds { neighbors: 1, compactions: 1, ..restart };
            Reason::Spare(bounds, Part::CompactLocked)
        }
        Part::NoWayBack | Part::ProvenConnection => Reason::Idle(failover),
        Part::MergeAtResync => Reason::Needed(restart, Breach::Revived),
        Part::Predecessors => overdue(Bounds { changes: 1, neighbors: 1, ..calm }),
        Part::TruncationCheck => overdue(Bounds { changes: 1, neighbors: 1, trims: 1, ..calm }),
        Part::MarkKept | Part::ReturnRaisesMark => Reason::Needed(calm, Breach::Revived),
        Part::VersionedFlag => Reason::Needed(Bounds { stragglers: 1, ..calm }, Breach::Revived),
        Part::FlagTakenBack => Reason::Needed(calm, Breach::LockedOut),
        Part::LogicalStamps => Reason::Needed(Bounds { changes: 1, ..calm }, Breach::Revived),
    }
}

/// Explores the protocol without some of its parts.
fn breach_without(parts: &[Part], protocol: Protocol, bounds: Bounds) -> Option<Breach> {
    let protocol = parts.iter().fold(protocol, |protocol, part| protocol.without(*part));
    let found = explore(&Case { protocol, bounds }, STATES_MAX);
    match &found.violation {
        Some(trace) => println!("without {parts:?}, {} states: {trace}", found.states),
        None => println!("without {parts:?}: holds in all {} states", found.states),
    }
    found.violation.map(|trace| trace.breach)
}

#[test]
fn without_any_part_the_promise_breaks() {
    let mut faults = Vec::new();
    let mut check = |parts: &[Part], protocol, bounds, expected| {
        let breach = breach_without(parts, protocol, bounds);
        if breach != expected {
            faults.push(format!("{parts:?}: {breach:?} instead of {expected:?}"));
        }
    };
    for part in Part::ALL {
        match reason(part) {
            Reason::Needed(bounds, breach) => check(&[part], Protocol::WHOLE, bounds, Some(breach)),
            Reason::NeededAnyway(bounds, breach) => {
                check(&[part], Protocol::WHOLE.with(GoOn::Never), bounds, Some(breach));
            }
            Reason::Spare(bounds, other) => {
                check(&[part], Protocol::WHOLE, bounds, None);
                check(&[part, other], Protocol::WHOLE, bounds, Some(Breach::Overdue));
            }
            Reason::Idle(bounds) => check(&[part], Protocol::WHOLE, bounds, None),
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Whatever `model` explores with the same bounds is left out here.
#[test]
fn with_the_part_the_same_bounds_hold() {
    for part in Part::ALL {
        let bounds = match reason(part) {
            Reason::NeededAnyway(..) => continue,
            Reason::Needed(bounds, _) | Reason::Spare(bounds, _) | Reason::Idle(bounds) => bounds,
        };
        let found = explore(&Case { protocol: Protocol::WHOLE, bounds }, STATES_MAX);
        if let Some(trace) = found.violation {
            panic!("{part:?}: {trace}");
        }
    }
}
