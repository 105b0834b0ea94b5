//! Everything that can happen next.

use std::fmt;

use crate::protocol::{Case, Part};
use crate::world::{
    Change, Entry, Gateway, Knowledge, Node, PENDING, Poll, Position, Reconciler, Reply, Role,
};
use crate::world::{Taken, World, age_max};

/// What happens in a step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub(crate) enum Act {
    Tick,
    SwitchOff,
    SignOut,
    SwitchOn,
    Take,
    Publish,
    Straggle,
    StragglerWrites,
    Neighbor,
    Replicate,
    FailOver,
    RestartNode,
    Trim,
    Reconcile,
    Bless,
    BlessLate,
    Connect,
    RestartGateway,
    SendPoll,
    Answer,
    Reply,
    Push,
}

impl Act {
    pub(crate) const ALL: [Act; 22] = [
        Act::Tick,
        Act::SwitchOff,
        Act::SignOut,
        Act::SwitchOn,
        Act::Take,
        Act::Publish,
        Act::Straggle,
        Act::StragglerWrites,
        Act::Neighbor,
        Act::Replicate,
        Act::FailOver,
        Act::RestartNode,
        Act::Trim,
        Act::Reconcile,
        Act::Bless,
        Act::BlessLate,
        Act::Connect,
        Act::RestartGateway,
        Act::SendPoll,
        Act::Answer,
        Act::Reply,
        Act::Push,
    ];
}

/// An act, and the node, version or id that it is about. From one world each leads to one other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Action {
    pub(crate) act: Act,
    pub(crate) at: u8,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at;
        match self.act {
            Act::Tick => write!(f, "a tick passes"),
            Act::SwitchOff => write!(f, "the directory commits change {at}: switched off"),
            Act::SignOut => write!(f, "the directory commits change {at}: signed out everywhere"),
            Act::SwitchOn => write!(f, "the directory commits change {at}: let in again"),
            Act::Take => write!(f, "the publisher takes change {at} from the outbox"),
            Act::Publish => {
                write!(f, "the publisher writes to redis {at}, and the caller gets the acknowledgement")
            }
            Act::Straggle => write!(f, "a second publisher takes change {at}, and falls asleep"),
            Act::StragglerWrites => write!(f, "the second publisher wakes up and writes to redis {at}"),
            Act::Neighbor => write!(f, "somebody else's change is written to redis {at}"),
            Act::Replicate => write!(f, "redis 1 receives all that redis 0 has"),
            Act::FailOver => write!(f, "redis 1 is made the primary, and redis 0 does not know"),
            Act::RestartNode => write!(f, "the primary restarts with the first {at} entries of its log"),
            Act::Trim => write!(f, "all entries but the last are cut from the log of redis {at}"),
            Act::Reconcile => {
                write!(f, "the reconciler raises the generation to {at} and reads the directory")
            }
            Act::Bless => write!(f, "the reconciler writes what it read to redis {at} and blesses it"),
            Act::BlessLate => {
                write!(f, "a reconciler that was taken for dead writes to redis {at} and blesses it")
            }
            Act::Connect => write!(f, "the gateway connects anew, to redis {at}"),
            Act::RestartGateway => write!(f, "the gateway restarts"),
            Act::SendPoll => write!(f, "the gateway sends a poll to redis {at}"),
            Act::Answer => write!(f, "redis {at} runs the poll"),
            Act::Reply => write!(f, "the answer of redis {at} arrives"),
            Act::Push => write!(f, "the push of entry {at} arrives"),
        }
    }
}

/// Lists every step out of a world.
pub(crate) fn steps(case: &Case, world: &World, steps: &mut Vec<(Action, World)>) {
    let mut next = Next { case, world, steps };
    next.time();
    next.directory();
    next.publishers();
    next.redis();
    next.reconciler();
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
            for node in &mut w.nodes {
                if let Role::Deposed { ticks_left } = &mut node.role {
                    *ticks_left = ticks_left.saturating_sub(1);
                }
            }
            w.gateway.lease_left = w.gateway.lease_left.saturating_sub(1);
            if let Poll::Sent { age } | Poll::Answered { age, .. } = &mut w.gateway.poll {
                // An answer to an older poll grants no more than one to a poll of this age: nothing.
                *age = lease_ticks.min(*age + 1);
            }
        });
    }

    fn directory(&mut self) {
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
            self.step(*act, version, |w| {
                w.directory.version = version;
                w.directory.changes[usize::from(version)] = *change;
                if early {
                    w.directory.acknowledged[usize::from(version)] = 0;
                }
            });
        }
    }

    /// Whether this Redis process lets a script run that may write.
    fn is_writable(&self, node: &Node) -> bool {
        node.takes_writes() || (matches!(node.role, Role::Deposed { .. }) && !self.case.has(Part::LagLimit))
    }

    /// Whether a publisher that knows this generation may append.
    fn accepts(&self, node: u8, generation: u8) -> bool {
        let node = self.world.node(node);
        let fenced = self.case.has(Part::Fence) && node.log.generation() != generation;
        self.is_writable(node) && node.log.len > 0 && !fenced
    }

    fn publishers(&mut self) {
        let world = self.world;
        let directory = &world.directory;
        let taken = Taken { version: directory.published + 1, generation: directory.generation };
        let outdated = world.publisher.is_some_and(|t| t.generation != taken.generation);
        if taken.version <= directory.version && (world.publisher.is_none() || outdated) {
            self.step(Act::Take, taken.version, |w| w.publisher = Some(taken));
        }
        if let Some(taken) = world.publisher
            && world.straggler.is_none()
            && world.happened.stragglers < self.case.bounds.stragglers
        {
            self.step(Act::Straggle, taken.version, |w| {
                w.straggler = Some(taken);
                w.happened.stragglers += 1;
            });
        }
        for node in 0..2 {
            if let Some(taken) = world.publisher
                && self.accepts(node, taken.generation)
            {
                self.step(Act::Publish, node, |w| {
                    append(w, node, taken.version);
                    w.publisher = None;
                    w.directory.published = taken.version;
                    let age = &mut w.directory.acknowledged[usize::from(taken.version)];
                    if *age == PENDING {
                        *age = 0;
                    }
                });
            }
            if let Some(taken) = world.straggler
                && self.accepts(node, taken.generation)
            {
                self.step(Act::StragglerWrites, node, |w| {
                    append(w, node, taken.version);
                    w.straggler = None;
                });
            }
            if world.happened.neighbors < self.case.bounds.neighbors
                && self.accepts(node, directory.generation)
            {
                self.step(Act::Neighbor, node, |w| {
                    append(w, node, 0);
                    w.happened.neighbors += 1;
                });
            }
        }
    }

    fn redis(&mut self) {
        let world = self.world;
        let bounds = self.case.bounds;
        let [first, second] = &world.nodes;
        if second.role == Role::Replica && bounds.failovers > 0 {
            if first.log != second.log {
                self.step(Act::Replicate, 0, |w| w.nodes[1].log = w.nodes[0].log);
            }
            if world.happened.failovers < bounds.failovers {
                self.step(Act::FailOver, 0, |w| {
                    w.nodes[0].role = Role::Deposed { ticks_left: bounds.lag_ticks + 1 };
                    w.nodes[1].role = Role::Primary;
                    w.current = 1;
                    w.happened.failovers += 1;
                });
            }
        }
        let primary = world.node(world.current);
        if world.happened.node_restarts < bounds.node_restarts {
            for kept in 0..=primary.log.len {
                self.step(Act::RestartNode, kept, |w| {
                    w.happened.node_restarts += 1;
                    let node = w.current;
                    w.node_mut(node).log.keep(kept);
                    w.node_mut(node).blessed = 0;
                    for reconciler in [&mut w.reconciler, &mut w.late_reconciler].into_iter().flatten() {
                        reconciler.outlived |= reconciler.node == node;
                    }
                    if w.gateway.node == node {
                        w.gateway.proven = false;
                        w.gateway.poll = Poll::Idle;
                    }
                });
            }
        }
        if world.happened.trims < bounds.trims && primary.log.trimmed + 1 < primary.log.len {
            self.step(Act::Trim, world.current, |w| {
                w.happened.trims += 1;
                let log = &mut w.node_mut(w.current).log;
                log.trimmed = log.len - 1;
            });
        }
    }

    fn reconciler(&mut self) {
        let world = self.world;
        if !self.case.has(Part::Blessing) {
            return;
        }
        // Blessed for a generation that is over is not enough: no publisher could write to it any more.
        let primary = world.node(world.current);
        let reconciled = primary.is_blessed() && primary.log.generation() == world.directory.generation;
        let waits = world.reconciler.is_some_and(|reconciler| reconciler.node == world.current);
        let may_be_lost = world.happened.lost_reconcilers < self.case.bounds.lost_reconcilers;
        if !reconciled && (!waits || may_be_lost) {
            let generation = world.directory.generation + 1;
            self.step(Act::Reconcile, generation, |w| {
                if waits {
                    w.happened.lost_reconcilers += 1;
                    w.late_reconciler = w.reconciler;
                }
                w.directory.generation = generation;
                let read = Taken { version: w.directory.version, generation };
                w.reconciler = Some(Reconciler { node: w.current, read, outlived: false });
            });
        }
        let of_one_run = self.case.has(Part::BlessingOfOneRun);
        if let Some(reconciler) = world.reconciler
            && self.may_bless(reconciler)
        {
            self.step(Act::Bless, reconciler.node, |w| {
                bless(w, reconciler, of_one_run);
                w.reconciler = None;
            });
        }
        if let Some(reconciler) = world.late_reconciler
            && self.may_bless(reconciler)
        {
            self.step(Act::BlessLate, reconciler.node, |w| {
                bless(w, reconciler, of_one_run);
                w.late_reconciler = None;
            });
        }
    }

    fn may_bless(&self, reconciler: Reconciler) -> bool {
        let node = self.world.node(reconciler.node);
        self.is_writable(node) && node.log.generation() < reconciler.read.generation
    }

    /// The gateway loses its connection, with what was under way on it, or its life.
    fn connection(&mut self) {
        for node in 0..2 {
            if self.world.node(node).role == Role::Replica {
                continue;
            }
            self.step(Act::Connect, node, |w| {
                w.gateway.node = node;
                w.gateway.proven = false;
                w.gateway.poll = Poll::Idle;
            });
        }
        self.step(Act::RestartGateway, 0, |w| w.gateway = Gateway::fresh(w.gateway.node));
    }

    fn poll(&mut self) {
        let gateway = &self.world.gateway;
        let (node, lease_ticks) = (gateway.node, self.case.bounds.lease_ticks);
        match gateway.poll {
            Poll::Idle => self.step(Act::SendPoll, node, |w| w.gateway.poll = Poll::Sent { age: 0 }),
            Poll::Sent { age } => {
                if let Some(reply) = self.run_poll() {
                    self.step(Act::Answer, node, |w| {
                        w.gateway.poll = Poll::Answered { age, reply };
                        if reply.emptied {
                            w.gateway.knowledge = Knowledge::default();
                        }
                    });
                }
            }
            Poll::Answered { age, reply } => {
                let case = self.case;
                self.step(Act::Reply, node, |w| {
                    let gateway = &mut w.gateway;
                    gateway.poll = Poll::Idle;
                    gateway.proven = true;
                    gateway.heard = gateway.heard.max(reply.knowledge.version);
                    gateway.knowledge.merge(case, reply.knowledge);
                    // A push may have been faster.
                    if gateway.position.generation != reply.position.generation
                        || gateway.position.id < reply.position.id
                    {
                        gateway.position = reply.position;
                    }
                    let age = if case.has(Part::LeaseFromSend) { age } else { 0 };
                    gateway.lease_left = gateway.lease_left.max(lease_ticks - age);
                });
            }
        }
    }

    /// What the script answers; nothing if it is refused, or if the gateway cannot believe what it reads.
    fn run_poll(&self) -> Option<Reply> {
        let gateway = &self.world.gateway;
        let node = self.world.node(gateway.node);
        let log = &node.log;
        let runs = !self.case.has(Part::WritablePoll) || self.is_writable(node);
        let blessed = !self.case.has(Part::Blessing) || node.is_blessed();
        if !runs || !blessed || log.len == 0 {
            return None;
        }
        let position = Position { generation: log.generation(), id: log.len };
        let known = gateway.position;
        let comparable =
            known.generation == position.generation || !self.case.has(Part::GenerationInPosition);
        let follows = known.id >= log.trimmed || !self.case.has(Part::Predecessors);
        let anew = known.id == 0 || known.id > log.len || !comparable || !follows;
        if anew && !log.is_whole() && self.case.has(Part::TruncationCheck) {
            return None;
        }
        let emptied = anew && !self.case.has(Part::MergeAtResync);
        // What is known already changes nothing in the end; so different answers that teach the same are one.
        let mut knowledge = if emptied { Knowledge::default() } else { gateway.knowledge };
        let first = log.trimmed.max(if anew { 0 } else { known.id }) + 1;
        for id in first..=log.len {
            let version = log.get(id).version;
            knowledge.merge(self.case, Knowledge::of(self.case, &self.world.directory, version));
        }
        Some(Reply { position, knowledge, emptied })
    }

    /// Whatever stands in the log of the gateway's node may arrive at any time, in any order, often or never.
    fn push(&mut self) {
        let world = self.world;
        let gateway = &world.gateway;
        let log = &world.node(gateway.node).log;
        if !gateway.proven && self.case.has(Part::ProvenConnection) {
            return;
        }
        for id in log.trimmed + 1..=log.len {
            let entry = log.get(id);
            let known = gateway.position;
            let comparable =
                known.generation == entry.generation || !self.case.has(Part::GenerationInPosition);
            let follows = id == known.id + 1 || (id > known.id && !self.case.has(Part::Predecessors));
            if known.id == 0 || !comparable || !follows {
                continue;
            }
            let case = self.case;
            self.step(Act::Push, id, |w| {
                let news = Knowledge::of(case, &w.directory, entry.version);
                w.gateway.knowledge.merge(case, news);
                w.gateway.heard = w.gateway.heard.max(entry.version);
                w.gateway.position.id = id;
            });
        }
    }
}

fn append(world: &mut World, node: u8, version: u8) {
    let log = &mut world.node_mut(node).log;
    log.append(Entry { version, generation: log.generation() });
}

/// Writes what was read, and the name of the process that it is meant for.
fn bless(world: &mut World, reconciler: Reconciler, of_one_run: bool) {
    let Taken { version, generation } = reconciler.read;
    let node = world.node_mut(reconciler.node);
    node.log.append(Entry { version, generation });
    node.blessed = if reconciler.outlived && of_one_run { 0 } else { generation };
}
