//! What happens to servers: they replicate, are promoted and demoted, restart, stop, and lose what they have.

use super::{Event, Run, TROUBLE_MILLIS};
use crate::fleet::server::Role;
use crate::fleet::store::Store;
use crate::fleet::{ACK_MILLIS, GATEWAYS, SERVERS};

const SYNC_MILLIS: u64 = 250;

impl Run {
    /// A replica asks for what it has not, and says that it is there.
    pub(super) fn sync(&mut self, index: usize) {
        let millis = SYNC_MILLIS / 2 + self.random.below(SYNC_MILLIS);
        self.after(millis, Event::Sync { server: index });
        let Role::Replica { of, synced } = self.servers[index].role else { return };
        let awake = [index, of].into_iter().all(|server| self.servers[server].is_awake(self.now));
        let follows = self.servers[of].role == Role::Primary && self.reaches_from_server(index, of);
        if !awake || !follows {
            return;
        }
        if synced {
            // It is counted by when this arrives.
            self.servers[of].hear(index, self.now + ACK_MILLIS);
        }
        if !synced || self.servers[index].store != self.servers[of].store {
            let late = self.random.percent(20);
            let millis = if late { self.random.below(500) } else { 1 + self.random.below(5) };
            let server = &mut self.servers[index];
            server.link += u32::from(!synced);
            server.delivered += 1;
            let (link, number) = (server.link, server.delivered);
            let store = Box::new(self.servers[of].store.clone());
            self.after(millis, Event::Delivered { server: index, link, number, store });
        }
    }

    pub(super) fn delivered(&mut self, index: usize, link: u32, number: u32, store: Store) {
        let server = &mut self.servers[index];
        let Role::Replica { of, .. } = server.role else { return };
        // What was sent later may have come before.
        if server.link != link || number < server.delivered && server.store == store {
            return;
        }
        server.store = store;
        server.role = Role::Replica { of, synced: true };
        self.saved_perhaps(index);
    }

    /// A disk has what was written up to some moment.
    pub(super) fn saved_perhaps(&mut self, index: usize) {
        if self.random.percent(50) {
            let server = &mut self.servers[index];
            server.saved = server.store.clone();
        }
    }

    pub(super) fn promote(&mut self, index: usize, election: u32) {
        let lineage = self.unique();
        let server = &mut self.servers[index];
        let Role::Replica { of, .. } = server.role else { return };
        (server.role, server.lineage, server.election) = (Role::Primary, lineage, election);
        server.link += 1;
        server.forget_replicas();
        self.leaves(index, of);
        self.count_lost(index);
        self.change_soon();
    }

    pub(super) fn become_replica(&mut self, index: usize, of: usize) {
        let server = &mut self.servers[index];
        let before = server.role;
        server.role = Role::Replica { of, synced: false };
        server.link += 1;
        match before {
            // Sentinel cuts the connections of clients, a cluster does not.
            Role::Primary if self.random.percent(50) => self.cut_connections(index),
            Role::Primary => {}
            Role::Replica { of, .. } => self.leaves(index, of),
        }
    }

    /// A replica closes its connection; who does not hear of it sees that it says nothing any more.
    fn leaves(&mut self, replica: usize, primary: usize) {
        if self.reaches_from_server(replica, primary) && self.random.percent(50) {
            self.servers[primary].lose(replica);
        }
    }

    fn cut_connections(&mut self, index: usize) {
        for gateway in 0..GATEWAYS {
            if self.gateways[gateway].server == index {
                self.reconnect(gateway);
            }
        }
    }

    pub(super) fn restart_server(&mut self) {
        self.tally.server_restarts += 1;
        let index =
            if self.random.percent(70) { self.beliefs[0].primary } else { self.random.index(SERVERS) };
        let store = match self.random.below(4) {
            0 => Store::default(),
            1 => self.servers[index].store.clone(),
            _ => self.servers[index].saved.clone(),
        };
        let (lineage, ahead, awake_at) =
            (self.unique(), self.random.below(3000), self.now + self.random.below(600));
        let server = &mut self.servers[index];
        (server.store, server.lineage, server.process, server.ahead) = (store, lineage, lineage, ahead);
        server.asleep = (self.now, awake_at);
        server.link += 1;
        server.forget_replicas();
        if let Role::Replica { of, .. } = server.role {
            server.role = Role::Replica { of, synced: false };
            self.leaves(index, of);
        }
        // Whoever followed has to begin anew.
        for replica in 0..SERVERS {
            if matches!(self.servers[replica].role, Role::Replica { of, .. } if of == index) {
                self.servers[replica].link += 1;
                self.servers[replica].role = Role::Replica { of: index, synced: false };
            }
        }
        self.cut_connections(index);
        self.count_lost(index);
        self.change_soon();
    }

    pub(super) fn stop_server(&mut self) {
        let index =
            if self.random.percent(70) { self.beliefs[0].primary } else { self.random.index(SERVERS) };
        let millis = if self.random.percent(50) { 200 } else { 3000 } + self.random.below(1500);
        let until = self.now + millis;
        self.servers[index].asleep = (self.now, until.min(TROUBLE_MILLIS));
    }

    pub(super) fn flush(&mut self) {
        let index = self.beliefs[0].primary;
        if self.servers[index].role == Role::Primary {
            self.servers[index].store = Store::default();
            self.saved_perhaps(index);
        }
    }

    /// Somebody cuts the log by hand.
    pub(super) fn cut(&mut self) {
        let log = &mut self.servers[self.beliefs[0].primary].store.log;
        let half = log.len().div_ceil(2);
        log.drain(..half);
    }

    /// Whether a primary does not know something that was acknowledged.
    fn count_lost(&mut self, index: usize) {
        let store = &self.servers[index].store;
        let lost = self.directory.persons.iter().enumerate().any(|(number, person)| {
            let told =
                person.changes.iter().zip(0..).filter(|((_, at), version)| *version > 0 && at.is_some());
            told.map(|(_, version)| version).max().is_some_and(|newest| store.version(number) < newest)
        });
        self.tally.lost_acknowledged += u64::from(lost);
    }
}
