//! What the control plane does: changes, publishers, the reconciler.

use super::{Event, PERSONS, Run, TAKE_MILLIS, Taken};
use crate::fleet::redis::Standing;
use crate::fleet::{DRIFT_MILLIS, LAG_MILLIS, LEASE_MILLIS};
use crate::protocol::Part;
use crate::world::Change;

impl Run {
    pub(super) fn change(&mut self) {
        let index = self.random.index(PERSONS);
        let sign_out = self.random.percent(30);
        let person = &mut self.persons[index];
        let change = match person.changes.last().unwrap().0 {
            Change::Off => Change::On,
            Change::On | Change::SignedOut if sign_out => Change::SignedOut,
            Change::On | Change::SignedOut => Change::Off,
        };
        let early = !self.protocol.has(Part::AcknowledgeAfterPublish);
        person.changes.push((change, early.then_some(self.now)));
        self.outbox.push_back((index, person.version()));
        if early {
            self.due();
        }
    }

    pub(super) fn take(&mut self, publisher: usize) {
        self.after(TAKE_MILLIS, Event::Take { publisher });
        if self.busy[publisher] {
            return;
        }
        if let Some((person, version)) = self.outbox.front().copied() {
            self.busy[publisher] = true;
            let taken = Taken { person, version, generation: self.generation };
            let node = if self.random.percent(80) { self.current } else { self.random.index(2) };
            let millis = self.delay();
            self.after(millis, Event::Write { publisher, taken, node });
        }
    }

    pub(super) fn write(&mut self, publisher: usize, taken: Taken, index: usize) {
        let now = self.now;
        let node = &self.nodes[index];
        if node.awake_at > now {
            let millis = node.awake_at - now;
            return self.after(millis, Event::Write { publisher, taken, node: index });
        }
        let fenced = self.protocol.has(Part::Fence) && node.generation() != taken.generation;
        if !node.takes_writes(now) || node.log.is_empty() || fenced {
            self.busy[publisher] = false;
            return;
        }
        let standing = self.persons[taken.person].standing(taken.version);
        self.append(index, self.nodes[index].generation(), taken.person, standing);
        if self.is_lost() {
            self.busy[publisher] = false;
        } else {
            let millis = self.delay();
            self.after(millis, Event::Written { publisher, taken });
        }
    }

    pub(super) fn written(&mut self, publisher: usize, taken: Taken) {
        self.busy[publisher] = false;
        if self.outbox.front() == Some(&(taken.person, taken.version)) {
            self.outbox.pop_front();
            self.tally.acknowledged += 1;
            let acknowledged = &mut self.persons[taken.person].changes[taken.version as usize].1;
            if acknowledged.is_none() {
                *acknowledged = Some(self.now);
                self.due();
            }
        }
    }

    pub(super) fn due(&mut self) {
        for bound in [LEASE_MILLIS, LEASE_MILLIS + LAG_MILLIS] {
            self.after(bound + DRIFT_MILLIS, Event::Due);
        }
    }

    pub(super) fn reconcile(&mut self) {
        self.after(100, Event::Reconcile);
        // Blessed is not enough: a reconciler that was late may have blessed it for a generation that is over, and
        // then no publisher can write to it any more.
        let node = &self.nodes[self.current];
        let reconciled = node.is_blessed() && node.generation() == self.generation;
        // One that takes long is taken for dead, and may still write.
        if reconciled || !self.protocol.has(Part::Blessing) || (self.reconciling && self.random.percent(90)) {
            return;
        }
        self.reconciling = true;
        self.generation += 1;
        let read = self.persons.iter().map(|person| person.standing(person.version())).collect();
        let millis = self.delay();
        let (node, generation) = (self.current, self.generation);
        let life = self.nodes[node].life;
        self.after(millis, Event::Bless { node, life, generation, read });
    }

    pub(super) fn bless(&mut self, index: usize, life: u32, generation: u32, read: &[Standing]) {
        self.reconciling = false;
        let node = &self.nodes[index];
        if node.awake_at > self.now || !node.takes_writes(self.now) || node.generation() >= generation {
            return;
        }
        for (person, standing) in read.iter().enumerate() {
            self.append(index, generation, person, *standing);
        }
        let outlived = self.nodes[index].life != life && self.protocol.has(Part::BlessingOfOneRun);
        self.nodes[index].blessed = if outlived { 0 } else { generation };
    }
}
