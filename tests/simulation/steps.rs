//! Everything that can happen next.

mod control;

mod redis;

mod gateway;

use crate::acts::{Act, Action};
use crate::protocol::Case;
use crate::world::{PENDING, Poll, Sent, World, age_max};

/// Lists every step out of a world.
pub(crate) fn steps(case: &Case, world: &World, steps: &mut Vec<(Action, World)>) {
    let mut next = Next { case, world, steps };
    next.time();
    next.directory();
    next.publishers();
    next.redis();
    next.reconcilers();
    next.compactors();
    next.connection();
    next.poll();
    next.push();
}

struct Next<'a> {
    case: &'a Case,
    world: &'a World,
    steps: &'a mut Vec<(Action, World)>,
}

// === impl Next ===

impl Next<'_> {
    fn step(&mut self, act: Act, at: u8, change: impl FnOnce(&mut World)) {
        let mut world = *self.world;
        change(&mut world);
        self.steps.push((Action { act, at }, world));
    }

    fn time(&mut self) {
        let (lease_ticks, age_max) = (self.case.bounds.lease_ticks, age_max(self.case));
        self.step(Act::Tick, 0, |w| {
            for age in &mut w.directory.acknowledged {
                if *age != PENDING {
                    *age = age_max.min(*age + 1);
                }
            }
            for server in &mut w.servers {
                server.tick();
            }
            w.gateway.lease_left = w.gateway.lease_left.saturating_sub(1);
            if let Poll::Sent(Sent { age, .. }) | Poll::Answered(Sent { age, .. }, _) = &mut w.gateway.poll {
                // An answer to an older poll grants no more than one to a poll of this age: nothing.
                *age = lease_ticks.min(*age + 1);
            }
        });
    }
}
