//! What happens to the servers.

use super::Next;
use crate::acts::Act;
use crate::server::{History, Lineage, Role, Waking, Write};
use crate::world::{Poll, World};

impl Next<'_> {
    pub(super) fn redis(&mut self) {
        let (case, world) = (self.case, self.world);
        let (bounds, happened, current) = (case.bounds, &world.happened, world.current);
        let primary = world.server(current);
        if bounds.failovers > 0 {
            self.replication();
        }
        if happened.node_restarts < bounds.node_restarts {
            for kept in 0..=primary.history.len {
                self.step(Act::RestartNode, kept, |w| restart(w, kept, bounds.node_restarts));
            }
        }
        if happened.flushes < bounds.flushes {
            self.step(Act::Flush, current, |w| {
                w.happened.flushes += 1;
                w.write(case, current, Write::Flush);
            });
        }
        if happened.trims < bounds.trims {
            for kept in 0..2 {
                if primary.store.trimmed + kept < primary.store.head {
                    self.step(Act::Cut, kept, |w| {
                        w.happened.trims += 1;
                        w.write(case, current, Write::Cut { kept });
                    });
                }
            }
        }
    }

    /// The other server follows, takes over, or is lost and comes back.
    fn replication(&mut self) {
        let world = self.world;
        let (bounds, current, other) = (self.case.bounds, world.current, 1 - world.current);
        let primary = world.server(current);
        if world.elected != current {
            self.step(Act::Announce, current, |w| w.elected = current);
        }
        match world.server(other).role {
            Role::Primary => {}
            Role::Replica => {
                if world.server(other).store != primary.store {
                    self.step(Act::Replicate, current, |w| follow(w, other));
                }
                if world.happened.failovers < bounds.failovers {
                    self.step(Act::FailOver, other, |w| {
                        let waking = Waking::Awake;
                        w.server_mut(current).role =
                            Role::Deposed { ticks_left: bounds.lag_ticks + 1, waking };
                        let promotion =
                            1 + w.servers.map(|server| server.lineage.promotion).into_iter().max().unwrap();
                        let promoted = w.server_mut(other);
                        promoted.role = Role::Primary;
                        promoted.lineage.promotion = promotion;
                        w.current = other;
                        if bounds.misled_reconcilers == 0 {
                            w.elected = other;
                        }
                        w.happened.failovers += 1;
                    });
                }
            }
            Role::Deposed { ticks_left, waking } => {
                let mut wakes = |act, waking| {
                    self.step(act, other, |w| {
                        w.server_mut(other).role = Role::Deposed { ticks_left, waking }
                    });
                };
                match waking {
                    Waking::Asleep => wakes(Act::Wake, Waking::Uncounted),
                    Waking::Awake | Waking::Uncounted => {
                        let sleeps = world.happened.sleeps;
                        if ticks_left > 0 && sleeps < bounds.sleeps {
                            self.step(Act::Sleep, other, |w| {
                                let waking = Waking::Asleep;
                                w.server_mut(other).role = Role::Deposed { ticks_left, waking };
                                w.happened.sleeps += 1;
                            });
                        }
                        // Only where it can take over once more it matters that it follows.
                        if world.happened.failovers < bounds.failovers {
                            self.step(Act::Rejoin, other, |w| {
                                w.server_mut(other).role = Role::Replica;
                                follow(w, other);
                            });
                        }
                    }
                }
            }
        }
    }
}

/// Receives all that the primary has.
fn follow(world: &mut World, replica: u8) {
    let primary = *world.server(world.current);
    let replica = world.server_mut(replica);
    (replica.store, replica.history) = (primary.store, primary.history);
}

/// The primary is a new process, and has lost what it wrote last.
fn restart(world: &mut World, kept: u8, restarts_max: u8) {
    let server = world.current;
    let max = |of: fn(Lineage) -> u8| world.servers.iter().map(|server| of(server.lineage)).max().unwrap();
    let lineage =
        Lineage { run: 1 + max(|lineage| lineage.run), promotion: 1 + max(|lineage| lineage.promotion) };
    world.server_mut(server).restart(kept, lineage);
    world.happened.node_restarts += 1;
    if world.happened.node_restarts == restarts_max {
        for server in &mut world.servers {
            server.history = History::default();
        }
    }
    if world.gateway.node == server {
        world.gateway.proven = false;
        world.gateway.poll = Poll::Idle;
    }
}
