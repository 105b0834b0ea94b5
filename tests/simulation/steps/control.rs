//! What the control plane does: changes, publishers, reconcilers, compactions.

use super::Next;
use crate::acts::Act;
use crate::protocol::{Case, GoOn, Part};
use crate::server::{Role, Script, Write};
use crate::world::{Change, Compactor, PENDING, Position, Reconciler, Taken, World};

impl Next<'_> {
    pub(super) fn directory(&mut self) {
        let directory = &self.world.directory;
        let version = directory.version + 1;
        if version > self.case.bounds.changes {
            return;
        }
        let changes: &[(Act, Change)] = if directory.active() {
            &[(Act::SwitchOff, Change::Off), (Act::SignOut, Change::SignedOut)]
        } else {
            &[(Act::SwitchOn, Change::On)]
        };
        let early = !self.case.has(Part::AcknowledgeAfterPublish);
        for (act, change) in changes {
            if *change == Change::SignedOut && !self.case.bounds.sign_outs {
                continue;
            }
            self.step(*act, version, |w| {
                w.directory.version = version;
                w.directory.changes[usize::from(version)] = *change;
                if early {
                    w.directory.acknowledged[usize::from(version)] = 0;
                }
            });
        }
    }

    /// Whether a publisher that knows this generation may append.
    fn accepts(&self, server: u8, generation: u8) -> bool {
        let server = self.world.server(server);
        let fenced = self.case.has(Part::Fence) && server.store.epoch != generation;
        let unblessed = self.case.has(Part::PublishOnlyBlessed) && !server.is_blessed(self.case);
        server.runs(self.case, Script::Writing) && server.store.epoch > 0 && !fenced && !unblessed
    }

    pub(super) fn publishers(&mut self) {
        let (case, world) = (self.case, self.world);
        let directory = &world.directory;
        let version = directory.published + 1;
        let taken = Taken { version, generation: directory.generation, written: false };
        let outdated = world.publisher.is_some_and(|t| !t.written && t.generation != taken.generation);
        if version <= directory.version && (world.publisher.is_none() || outdated) {
            self.step(Act::Take, version, |w| w.publisher = Some(taken));
        }
        if let Some(taken) = world.publisher
            && !taken.written
            && world.straggler.is_none()
            && world.happened.stragglers < case.bounds.stragglers
        {
            self.step(Act::Straggle, taken.version, |w| {
                w.straggler = Some(taken);
                w.happened.stragglers += 1;
            });
        }
        if let Some(taken) = world.publisher
            && taken.written
        {
            self.step(Act::Note, taken.version, |w| {
                w.publisher = None;
                note(w, taken, true);
            });
        }
        for server in 0..2 {
            if let Some(taken) = world.publisher
                && !taken.written
                && self.accepts(server, taken.generation)
            {
                self.step(Act::Publish, server, |w| {
                    w.write(case, server, Write::Append { version: taken.version, row: taken.version });
                    if case.protocol.go_on() == GoOn::ByMark {
                        w.publisher = Some(Taken { written: true, ..taken });
                    } else {
                        w.publisher = None;
                        acknowledge(w, taken.version);
                        note(w, taken, false);
                    }
                });
            }
            if let Some(taken) = world.straggler
                && self.accepts(server, taken.generation)
            {
                self.step(Act::StragglerWrites, server, |w| {
                    w.write(case, server, Write::Append { version: taken.version, row: taken.version });
                    w.straggler = None;
                });
            }
            if world.happened.neighbors < case.bounds.neighbors && self.accepts(server, directory.generation)
            {
                self.step(Act::Neighbor, server, |w| {
                    w.write(case, server, Write::Append { version: 0, row: directory.published });
                    w.happened.neighbors += 1;
                });
            }
        }
    }

    pub(super) fn reconcilers(&mut self) {
        let (case, world) = (self.case, self.world);
        if !case.has(Part::Blessing) {
            return;
        }
        self.begin_to_reconcile(world.current);
        if world.happened.misled_reconcilers < case.bounds.misled_reconcilers
            && matches!(world.server(1 - world.current).role, Role::Deposed { .. })
        {
            self.begin_to_reconcile(1 - world.current);
        }
        for place in 0..2 {
            if let Some(reconciler) = world.reconcilers[place] {
                self.reconcile(place, reconciler);
            }
        }
    }

    fn begin_to_reconcile(&mut self, number: u8) {
        let (case, world) = (self.case, self.world);
        // Blessed for a generation that is over is not enough: no publisher could write to it any more.
        let server = world.server(number);
        let reconciled = server.is_blessed(case)
            && server.store.epoch == world.directory.generation
            && server.store.is_whole();
        let before = world.reconcilers[0];
        let waits = before.is_some_and(|reconciler| reconciler.server == number);
        let may_be_lost = world.happened.lost_reconcilers < case.bounds.lost_reconcilers;
        if reconciled || (waits && !may_be_lost) {
            return;
        }
        self.step(Act::Reconcile, number, |w| {
            w.happened.misled_reconcilers += u8::from(number != w.current);
            if before.is_some() && may_be_lost {
                w.happened.lost_reconcilers += 1;
                w.reconcilers[1] = before;
            }
            let (lineage, read, confirmed) = (w.server(number).lineage, None, false);
            let mut reconciler = Reconciler { server: number, lineage, generation: 0, read, confirmed };
            if case.has(Part::SnapshotAfterRaise) {
                raise(case, w, &mut reconciler);
            } else {
                read_directory(w, &mut reconciler);
            }
            w.reconcilers[0] = Some(reconciler);
        });
    }

    fn reconcile(&mut self, place: usize, reconciler: Reconciler) {
        let (case, world) = (self.case, self.world);
        let generation = world.directory.generation;
        let mut goes_on = |act, at, then: &dyn Fn(&mut World, &mut Reconciler)| {
            self.step(act, at, |w| {
                let mut reconciler = reconciler;
                then(w, &mut reconciler);
                w.reconcilers[place] = Some(reconciler);
            });
        };
        if reconciler.read.is_none() {
            goes_on(Act::Read, world.directory.version, &read_directory);
        } else if reconciler.generation == 0 {
            goes_on(Act::Raise, generation + 1, &|w, reconciler| raise(case, w, reconciler));
        } else if !reconciler.confirmed {
            let elected = reconciler.server == world.elected || !case.has(Part::BlessingOfTheElected);
            let last = reconciler.generation == generation || !case.has(Part::BlessingOfTheLast);
            if elected && last {
                goes_on(Act::Confirm, reconciler.server, &|_, reconciler| reconciler.confirmed = true);
            }
        } else {
            for write in self.blessings(reconciler).into_iter().flatten() {
                let late = place == 1;
                let act = match write {
                    Write::GoOn { .. } if late => Act::GoOnLate,
                    Write::GoOn { .. } => Act::GoOn,
                    _ if late => Act::BlessLate,
                    _ => Act::Bless,
                };
                self.step(act, reconciler.server, |w| {
                    w.write(case, reconciler.server, write);
                    w.reconcilers[place] = None;
                });
            }
        }
    }

    /// What a reconciler may write that has read the directory.
    fn blessings(&self, reconciler: Reconciler) -> [Option<Write>; 2] {
        let case = self.case;
        let Reconciler { server, generation, lineage, read, .. } = reconciler;
        let server = self.world.server(server);
        let (store, (read, published)) = (&server.store, read.unwrap());
        let outrun = store.epoch >= generation && case.has(Part::BlessingForward);
        let disputed = store.lock != token(case, generation) && case.has(Part::BlessingLocked);
        let another = !lineage.is_still(case, server.lineage) && case.has(Part::BlessingOfOneLineage);
        if !server.runs(case, Script::Writing) || outrun || disputed || another {
            return [None, None];
        }
        let lineage = server.lineage;
        let anew = Some(Write::Bless { generation, read, lineage });
        if store.epoch == 0 || !store.is_whole() {
            return [anew, None];
        }
        match case.protocol.go_on() {
            GoOn::Never => [anew, None],
            GoOn::ByMark if store.published < published => [anew, None],
            GoOn::ByMark => [Some(Write::GoOn { generation, read: 0, lineage }), None],
            GoOn::ByRows => [anew, Some(Write::GoOn { generation, read, lineage })],
        }
    }

    pub(super) fn compactors(&mut self) {
        let (case, world) = (self.case, self.world);
        let current = world.current;
        for (number, compactor) in (0..).zip(world.compactors) {
            let place = usize::from(number);
            let Some(compactor) = compactor else {
                // They are all alike.
                let first = world.compactors.iter().position(Option::is_none) == Some(place);
                let lockable = world.server(current).takes_writes();
                if first && lockable && world.happened.compactions < case.bounds.compactions {
                    self.step(Act::Compact, number, |w| {
                        if case.has(Part::CompactLocked) {
                            w.write(
                                case,
                                current,
                                Write::Lock { token: token(case, COMPACTION_TOKEN + number) },
                            );
                        }
                        w.happened.compactions += 1;
                        w.compactors[place] = Some(Compactor { server: current, head: None, read: None });
                    });
                }
                continue;
            };
            let Compactor { server, head, read } = compactor;
            let store = &world.server(server).store;
            let base_first = case.has(Part::CompactBaseBeforeRead);
            if head.is_none() && (base_first || read.is_some()) && store.epoch > 0 {
                self.step(Act::CompactorTakesHead, number, |w| {
                    let head = Some(Position { epoch: store.epoch, id: store.head });
                    w.compactors[place] = Some(Compactor { head, ..compactor });
                });
            }
            if read.is_none() && (!base_first || head.is_some()) {
                self.step(Act::CompactorReads, number, |w| {
                    let read = Some(w.directory.version);
                    w.compactors[place] = Some(Compactor { read, ..compactor });
                });
            }
            if let (Some(head), Some(read)) = (head, read)
                && self.may_compact(number, server, head)
            {
                self.step(Act::CompactorCuts, number, |w| {
                    w.write(case, server, Write::Compact { base: head.id, read });
                    if !case.has(Part::RowOfTheLog) {
                        w.write(case, server, Write::Row { row: read });
                    }
                    w.compactors[place] = None;
                });
            }
        }
    }

    fn may_compact(&self, number: u8, server: u8, head: Position) -> bool {
        let server = self.world.server(server);
        let store = &server.store;
        let same_epoch = store.epoch == head.epoch || !self.case.has(Part::CompactOfOneEpoch);
        let locked =
            store.lock == token(self.case, COMPACTION_TOKEN + number) || !self.case.has(Part::CompactLocked);
        let blessed = server.is_blessed(self.case);
        // Redis cannot cut beyond the end.
        server.runs(self.case, Script::Writing) && same_epoch && locked && blessed && head.id <= store.head
    }
}

/// Beyond all generations, which are the tokens of reconcilers.
const COMPACTION_TOKEN: u8 = 13;

/// What is written into the lock by this attempt; all are of one control node.
fn token(case: &Case, attempt: u8) -> u8 {
    if case.has(Part::TokenOfOneAttempt) { attempt } else { 15 }
}

fn raise(case: &Case, world: &mut World, reconciler: &mut Reconciler) {
    world.directory.generation += 1;
    reconciler.generation = world.directory.generation;
    if world.server(reconciler.server).takes_writes() {
        world.write(case, reconciler.server, Write::Lock { token: token(case, reconciler.generation) });
    }
}

fn read_directory(world: &mut World, reconciler: &mut Reconciler) {
    reconciler.read = Some((world.directory.version, world.directory.published));
}

fn acknowledge(world: &mut World, version: u8) {
    let age = &mut world.directory.acknowledged[usize::from(version)];
    if *age == PENDING {
        *age = 0;
    }
}

/// The directory notes nothing for a generation that is over.
fn note(world: &mut World, taken: Taken, acknowledged_when_noted: bool) {
    let directory = &mut world.directory;
    if directory.generation == taken.generation {
        directory.published = directory.published.max(taken.version);
        if acknowledged_when_noted {
            acknowledge(world, taken.version);
        }
    }
}
