//! What must hold in every moment.

use std::fmt;

use crate::protocol::Case;
use crate::world::{Change, PENDING, Poll, Sent, World, age_max};

/// How the promise can be broken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Breach {
    /// A gateway permits what a revocation took away, later than the bound after its acknowledgement.
    Overdue,
    /// A strict request goes through that came after the acknowledgement (and L).
    Outrun,
    /// A gateway permits what it had refused for good.
    Revived,
    /// A gateway with a lease refuses a person who is let in, with a credential issued after every revocation.
    LockedOut,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Breach::Overdue => "permitted after the acknowledgement and the bound",
            Breach::Outrun => "a strict request permitted that came after the acknowledgement",
            Breach::Revived => "permitted though this gateway had applied the revocation",
            Breach::LockedOut => "a new sign-in is refused by a gateway that has a lease",
        })
    }
}

/// N, or N + L from the moment on when there were two primaries.
fn bound(case: &Case, world: &World) -> u8 {
    if world.happened.failovers > 0 { age_max(case) } else { case.bounds.lease_ticks }
}

/// The ticks since the first acknowledged revocation of the credentials of this class.
fn dead_for(world: &World, class: u8) -> Option<u8> {
    let directory = &world.directory;
    // Changes are acknowledged in their order, so the first that covers the class is the oldest.
    let first = (1..=directory.version).find(|version| directory.covers(*version, class))?;
    let age = directory.acknowledged[usize::from(first)];
    (age != PENDING).then_some(age)
}

/// Whether the newest change was acknowledged, and for how long.
fn settled_for(world: &World) -> Option<u8> {
    let age = world.directory.acknowledged[usize::from(world.directory.version)];
    (age != PENDING).then_some(age)
}

/// The newest change that a poll which is sent now must find: acknowledged, and since L once there were two primaries.
pub(crate) fn settled(case: &Case, world: &World) -> u8 {
    let age_min = if world.happened.failovers > 0 { case.bounds.lag_ticks + 1 } else { 0 };
    let settled = |version: &u8| {
        let age = world.directory.acknowledged[usize::from(*version)];
        age != PENDING && age >= age_min
    };
    (1..=world.directory.version).rev().find(settled).unwrap_or(0)
}

/// The first way in which this moment breaks the promise.
///
/// A lease of N ticks that begins in the tick of the acknowledgement ends before the N-th tick after it. So in
/// whole ticks "later than T + N" means an age of N.
pub(crate) fn breach(case: &Case, world: &World) -> Option<Breach> {
    let (directory, gateway) = (&world.directory, &world.gateway);
    if gateway.outrun {
        return Some(Breach::Outrun);
    }
    if !gateway.is_fresh(case) {
        return None;
    }
    let bound = bound(case, world);
    let mut revived = false;
    for class in (0..=directory.version).filter(|class| gateway.permits(case, *class)) {
        if dead_for(world, class).is_some_and(|age| age >= bound) {
            return Some(Breach::Overdue);
        }
        revived |= (1..=gateway.heard).any(|version| directory.covers(version, class));
    }
    if revived {
        return Some(Breach::Revived);
    }
    let newest = directory.version;
    let settled = settled_for(world).is_some_and(|age| age >= bound);
    if directory.active() && settled && !gateway.permits(case, newest) {
        return Some(Breach::LockedOut);
    }
    None
}

/// What an exploration must have come across, or it proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Sights {
    /// A person who was let in again is permitted in the very tick of the acknowledgement.
    pub(crate) back_at_once: bool,
    /// A gateway has not heard of an acknowledged revocation, and still permits within the bound.
    pub(crate) within_the_bound: bool,
    /// A gateway has no lease.
    pub(crate) stale: bool,
    /// The primary does not have an acknowledged change.
    pub(crate) acknowledged_and_lost: bool,
    /// A poll found what strict requests wait for.
    pub(crate) strictly: bool,
    /// Redis processes with different logs both take writes.
    pub(crate) two_primaries: bool,
}

impl Sights {
    pub(crate) fn look(&mut self, case: &Case, world: &World) {
        let (directory, gateway) = (&world.directory, &world.gateway);
        let newest = directory.version;
        if directory.change(newest) == Change::On && newest > 0 && settled_for(world) == Some(0) {
            self.back_at_once |= gateway.permits(case, newest);
        }
        self.within_the_bound |=
            (0..=newest).any(|class| dead_for(world, class).is_some() && gateway.permits(case, class));
        self.stale |= !gateway.is_fresh(case);
        let store = &world.server(world.current).store;
        let told = (store.trimmed + 1..=store.head).map(|id| store.entry(id)).max().unwrap_or(0);
        self.acknowledged_and_lost |= told.max(store.snapshot) < directory.published;
        self.strictly |= matches!(gateway.poll, Poll::Answered(Sent { floor: 1.., .. }, _));
        let [first, second] = &world.servers;
        self.two_primaries |= first.takes_writes() && second.takes_writes() && first.store != second.store;
    }
}
