//! What Redis does: it appends, replicates, fails over, and comes back.

use super::{Event, GATEWAYS, Run};
use crate::fleet::LAG_MILLIS;
use crate::fleet::redis::{Role, Standing};

impl Run {
    pub(super) fn append(&mut self, index: usize, generation: u32, person: usize, standing: Standing) {
        let entry = self.nodes[index].append(self.now, generation, person, standing);
        for gateway in 0..GATEWAYS {
            if self.gateways[gateway].node == index && !self.is_lost() {
                let millis = self.delay();
                let connection = self.gateways[gateway].connection;
                self.after(millis, Event::Pushed { gateway, connection, entry });
            }
        }
        if index == self.current {
            self.replicate();
        }
    }

    pub(super) fn replicate(&mut self) {
        let millis = if self.random.percent(20) { self.random.below(500) } else { self.delay() };
        let len = self.nodes[self.current].log.len();
        self.after(millis, Event::Replicated { link: self.link, len });
    }

    pub(super) fn replicated(&mut self, link: u32, len: usize) {
        if link != self.link || self.nodes[1 - self.current].role != Role::Replica {
            return;
        }
        let primary = &self.nodes[self.current];
        let (log, trimmed) = (primary.log[..len].to_vec(), primary.trimmed);
        let replica = &mut self.nodes[1 - self.current];
        if len > replica.log.len() || log.last() != replica.log.last() {
            (replica.log, replica.trimmed) = (log, trimmed);
        }
    }

    pub(super) fn count_lost(&mut self) {
        let log = &self.nodes[self.current].log;
        let lost = self.persons.iter().enumerate().any(|(index, person)| {
            let told =
                person.changes.iter().zip(0..).filter(|((_, at), version)| *version > 0 && at.is_some());
            told.map(|(_, version)| version).max().is_some_and(|newest| {
                !log.iter().any(|entry| entry.person == index && entry.standing.version >= newest)
            })
        });
        self.tally.lost_acknowledged += u64::from(lost);
    }

    pub(super) fn fail_over(&mut self) {
        if self.nodes[1 - self.current].role != Role::Replica {
            return;
        }
        self.tally.failovers += 1;
        self.nodes[self.current].role = Role::Deposed { until: self.now + LAG_MILLIS };
        self.current = 1 - self.current;
        self.nodes[self.current].role = Role::Primary;
        self.nodes[self.current].blessed = 0;
        self.link += 1;
        let millis = LAG_MILLIS + self.random.below(2000);
        self.after(millis, Event::Rejoin);
        self.count_lost();
    }

    pub(super) fn rejoin(&mut self) {
        let index = 1 - self.current;
        let primary = &self.nodes[self.current];
        let (log, trimmed) = (primary.log.clone(), primary.trimmed);
        let node = &mut self.nodes[index];
        (node.log, node.trimmed, node.role, node.blessed) = (log, trimmed, Role::Replica, 0);
        self.new_life(index);
    }

    pub(super) fn restart_node(&mut self) {
        self.tally.node_restarts += 1;
        let index = self.current;
        let len = self.nodes[index].log.len();
        let kept = match self.random.below(3) {
            0 => 0,
            1 => len,
            _ => len - self.random.index(len.min(6) + 1),
        };
        let awake_at = self.now + self.random.below(600);
        let node = &mut self.nodes[index];
        node.log.truncate(kept);
        node.trimmed = node.trimmed.min(kept);
        (node.blessed, node.awake_at) = (0, awake_at);
        self.new_life(index);
        self.replicate();
        self.count_lost();
    }

    /// A new process: its connections are broken, and its clock was set.
    pub(super) fn new_life(&mut self, index: usize) {
        self.nodes[index].life += 1;
        self.nodes[index].ahead = self.random.below(3000);
        self.link += 1;
        for gateway in 0..GATEWAYS {
            if self.gateways[gateway].node == index {
                self.reconnect(gateway);
            }
        }
        if self.nodes[1 - self.current].role == Role::Replica {
            self.replicate();
        }
    }
}
