//! Visits every world that can be reached, breadth first, so that the first breach found is one of the shortest.

use std::fmt;

use crate::acts::{Act, Action};
use crate::promise::{Breach, Sights, breach};
use crate::protocol::Case;
use crate::steps::steps;
use crate::world::{Knowledge, World};

/// What came of an exploration.
pub(crate) struct Exploration {
    pub(crate) states: usize,
    /// The number of steps to the farthest world.
    pub(crate) depth: usize,
    /// How often each act was possible, in the order of `Act::ALL`.
    pub(crate) taken: [u64; Act::ALL.len()],
    pub(crate) sights: Sights,
    pub(crate) violation: Option<Trace>,
}

/// A way to a breach.
pub(crate) struct Trace {
    pub(crate) breach: Breach,
    pub(crate) steps: Vec<(Action, World)>,
}

/// Explores all of it, or until the first breach. More than `states_max` worlds are a failure: what was left
/// out would not be known.
pub(crate) fn explore(case: &Case, states_max: usize) -> Exploration {
    let beginning = World::beginning(case);
    let mut seen = Seen::new();
    // By number of the world: the one that it was first reached from, and by what.
    let mut reached: Vec<(u32, Action)> = vec![(0, Action { act: Act::Tick, at: 0 })];
    let mut found =
        Exploration { states: 1, depth: 0, taken: [0; _], sights: Sights::default(), violation: None };
    seen.insert(beginning.digest());
    let mut front = vec![(0, beginning)];
    let mut out = Vec::new();
    while !front.is_empty() {
        let mut next_front = Vec::new();
        for (number, world) in &front {
            steps(case, world, &mut out);
            for (action, next) in out.drain(..) {
                found.taken[action.act as usize] += 1;
                if !seen.insert(next.digest()) {
                    continue;
                }
                let next_number = u32::try_from(reached.len()).unwrap();
                reached.push((*number, action));
                found.states += 1;
                found.sights.look(case, &next);
                if let Some(breach) = breach(case, &next) {
                    found.violation = Some(Trace { breach, steps: replay(case, &reached, next_number) });
                    return found;
                }
                next_front.push((next_number, next));
            }
        }
        assert!(found.states <= states_max, "more than {states_max} states: choose smaller bounds");
        found.depth += usize::from(!next_front.is_empty());
        front = next_front;
    }
    found
}

/// Walks once more to the world of this number.
fn replay(case: &Case, reached: &[(u32, Action)], number: u32) -> Vec<(Action, World)> {
    let mut actions = Vec::new();
    let mut number = number;
    while number != 0 {
        let (from, action) = reached[number as usize];
        actions.push(action);
        number = from;
    }
    let mut walked: Vec<(Action, World)> = Vec::new();
    let mut out = Vec::new();
    for action in actions.into_iter().rev() {
        let world = walked.last().map_or_else(|| World::beginning(case), |(_, world)| *world);
        steps(case, &world, &mut out);
        let step = out.drain(..).find(|(a, _)| *a == action);
        walked.push(step.unwrap());
    }
    walked
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, after {} steps:", self.breach, self.steps.len())?;
        for (i, (action, world)) in self.steps.iter().enumerate() {
            let Knowledge { mark, version, off } = world.gateway.knowledge;
            let off = if off { ", off" } else { "" };
            let lease = world.gateway.lease_left;
            let action = action.to_string();
            writeln!(
                f,
                "{:>4}. {action:<80} gateway: version {version}, mark {mark}{off}, lease {lease}",
                i + 1
            )?;
        }
        Ok(())
    }
}

/// The digests of the worlds that were visited: open addressing, at most half full. The standard set does the
/// same in several times the time in a build that is not optimized.
struct Seen {
    slots: Vec<u64>,
    len: usize,
}

// === impl Seen ===

impl Seen {
    fn new() -> Seen {
        Seen { slots: vec![0; 1 << 12], len: 0 }
    }

    /// Whether it is new.
    fn insert(&mut self, digest: u64) -> bool {
        let digest = digest.max(1);
        let slot = self.slot(digest);
        if self.slots[slot] == digest {
            return false;
        }
        self.slots[slot] = digest;
        self.len += 1;
        if self.len * 2 > self.slots.len() {
            let larger = vec![0; self.slots.len() * 2];
            let smaller = std::mem::replace(&mut self.slots, larger);
            for digest in smaller {
                if digest != 0 {
                    let slot = self.slot(digest);
                    self.slots[slot] = digest;
                }
            }
        }
        true
    }

    /// Where the digest is, or would be.
    fn slot(&self, digest: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = usize::try_from(digest >> 32).unwrap() & mask;
        while self.slots[slot] != 0 && self.slots[slot] != digest {
            slot = (slot + 1) & mask;
        }
        slot
    }
}
