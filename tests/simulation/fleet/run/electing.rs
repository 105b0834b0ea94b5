//! Sentinels, and the network: who reaches whom, and who is taken for the primary.

use super::{Run, TROUBLE_MILLIS};
use crate::fleet::server::Role;
use crate::fleet::{CONTROLS, GATEWAYS, SERVERS};

const GOSSIP_MILLIS: u64 = 200;
/// A primary that does not answer for so long is replaced.
const DOWN_MILLIS: u64 = 600;
const MAJORITY: usize = SERVERS / 2 + 1;

/// What a Sentinel takes for the primary, by which election, and since when it does not answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Belief {
    pub(super) primary: usize,
    pub(super) election: u32,
    pub(super) down_since: Option<u64>,
}

/// The two sides of a network that is split. A Sentinel is where its server is.
pub(super) struct Sides {
    servers: [bool; SERVERS],
    controls: [bool; CONTROLS],
    gateways: [bool; GATEWAYS],
}

impl Run {
    pub(super) fn split(&mut self) {
        let mut coin = || self.random.percent(50);
        let servers = std::array::from_fn(|_| coin());
        let controls = std::array::from_fn(|_| coin());
        let gateways = std::array::from_fn(|_| coin());
        self.sides = Some(Sides { servers, controls, gateways });
    }

    pub(super) fn reaches_from_control(&self, control: usize, server: usize) -> bool {
        self.sides.as_ref().is_none_or(|sides| sides.controls[control] == sides.servers[server])
    }

    pub(super) fn reaches_from_gateway(&self, gateway: usize, server: usize) -> bool {
        self.sides.as_ref().is_none_or(|sides| sides.gateways[gateway] == sides.servers[server])
    }

    pub(super) fn reaches_from_server(&self, one: usize, other: usize) -> bool {
        self.sides.as_ref().is_none_or(|sides| sides.servers[one] == sides.servers[other])
    }

    /// What some Sentinel says that this control node reaches.
    pub(super) fn primary_for_control(&mut self, control: usize) -> Option<usize> {
        let first = self.random.index(SERVERS);
        let mut sentinels = (0..SERVERS).map(|i| (first + i) % SERVERS);
        let asked = sentinels.find(|sentinel| self.reaches_from_control(control, *sentinel))?;
        Some(self.beliefs[asked].primary)
    }

    pub(super) fn primary_for_gateway(&mut self, gateway: usize) -> usize {
        let first = self.random.index(SERVERS);
        let mut sentinels = (0..SERVERS).map(|i| (first + i) % SERVERS);
        let asked = sentinels.find(|sentinel| self.reaches_from_gateway(gateway, *sentinel));
        asked.map_or(first, |sentinel| self.beliefs[sentinel].primary)
    }

    /// Whether most Sentinels name the server that this control node is about to bless.
    pub(super) fn is_elected(&self, control: usize) -> bool {
        let server = self.controls[control].server;
        let names = |sentinel: &usize| {
            self.reaches_from_control(control, *sentinel) && self.beliefs[*sentinel].primary == server
        };
        (0..SERVERS).filter(names).count() >= MAJORITY
    }

    pub(super) fn gossip(&mut self) {
        self.after(GOSSIP_MILLIS, super::Event::Gossip);
        for sentinel in 0..SERVERS {
            for other in 0..SERVERS {
                let newer = self.beliefs[other].election > self.beliefs[sentinel].election;
                if newer && self.reaches_from_server(sentinel, other) && self.random.percent(50) {
                    self.beliefs[sentinel] = Belief { down_since: None, ..self.beliefs[other] };
                }
            }
            self.reconfigure(sentinel);
            let Belief { primary, down_since, .. } = self.beliefs[sentinel];
            let up = self.reaches_from_server(sentinel, primary) && self.servers[primary].is_awake(self.now);
            self.beliefs[sentinel].down_since = if up { None } else { down_since.or(Some(self.now)) };
        }
        let leader = self.random.index(SERVERS);
        let down = |sentinel: usize| {
            let since = self.beliefs[sentinel].down_since;
            since.is_some_and(|since| self.now >= since + DOWN_MILLIS)
        };
        let agree = |sentinel: &usize| self.reaches_from_server(leader, *sentinel) && down(*sentinel);
        if down(leader) && (0..SERVERS).filter(agree).count() >= MAJORITY {
            self.elect(leader);
        }
    }

    /// Tells servers that have not heard of an election.
    fn reconfigure(&mut self, sentinel: usize) {
        let Belief { primary, election, .. } = self.beliefs[sentinel];
        for server in 0..SERVERS {
            let told = self.reaches_from_server(sentinel, server) && self.servers[server].is_awake(self.now);
            if told && self.servers[server].election < election && self.random.percent(40) {
                self.servers[server].election = election;
                if server != primary {
                    self.become_replica(server, primary);
                }
            }
        }
    }

    pub(super) fn fail_over_for_no_reason(&mut self) {
        let leader = self.random.index(SERVERS);
        let reached = (0..SERVERS).filter(|sentinel| self.reaches_from_server(leader, *sentinel)).count();
        if reached >= MAJORITY && self.now < TROUBLE_MILLIS {
            self.elect(leader);
        }
    }

    /// Makes some replica the primary. The old one does not hear of it at once, nor do the other Sentinels.
    fn elect(&mut self, leader: usize) {
        let newest = self.beliefs.iter().map(|belief| belief.election).max().unwrap();
        let old = self.beliefs[leader].primary;
        let first = self.random.index(SERVERS);
        let candidate = (0..SERVERS).map(|i| (first + i) % SERVERS).find(|server| {
            let follows = self.servers[*server].role == Role::Replica { of: old, synced: true };
            follows && self.servers[*server].is_awake(self.now) && self.reaches_from_server(leader, *server)
        });
        // Nobody is elected by those who have not heard of the last election.
        let Some(primary) = candidate.filter(|_| self.beliefs[leader].election == newest) else { return };
        let election = newest + 1;
        self.tally.failovers += 1;
        self.beliefs[leader] = Belief { primary, election, down_since: None };
        self.promote(primary, election);
    }
}
