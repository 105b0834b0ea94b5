//! What the gateway does: it connects, polls, reads snapshots, and hears pushes.

use super::Next;
use crate::acts::Act;
use crate::promise::settled;
use crate::protocol::Part;
use crate::server::{Role, Script, Store};
use crate::world::{Gateway, Knowledge, Poll, Position, Reply, Sent, Snapshot};

impl Next<'_> {
    /// The gateway loses its connection, with what was under way on it, or its life.
    pub(super) fn connection(&mut self) {
        for node in 0..2 {
            if self.world.server(node).role == Role::Replica {
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

    pub(super) fn poll(&mut self) {
        let case = self.case;
        let gateway = &self.world.gateway;
        let (node, lease_ticks) = (gateway.node, case.bounds.lease_ticks);
        match gateway.poll {
            Poll::Idle => {
                let floor = if case.bounds.strict { settled(case, self.world) } else { 0 };
                self.step(Act::SendPoll, node, |w| w.gateway.poll = Poll::Sent(Sent { age: 0, floor }));
            }
            Poll::Sent(sent) => {
                if let Some(reply) = self.run_poll() {
                    self.step(Act::Answer, node, |w| w.gateway.poll = Poll::Answered(sent, reply));
                }
            }
            Poll::Answered(Sent { age, floor }, Reply::Page { position, knowledge, at_head }) => {
                self.step(Act::Reply, node, |w| {
                    let gateway = &mut w.gateway;
                    gateway.poll = Poll::Idle;
                    gateway.proven = true;
                    gateway.heard = gateway.heard.max(knowledge.version);
                    gateway.knowledge.merge(case, knowledge);
                    // A push may have been faster.
                    if gateway.position.epoch != position.epoch || gateway.position.id < position.id {
                        gateway.position = position;
                    }
                    if at_head || !case.has(Part::LeaseAtHead) {
                        let age = if case.has(Part::LeaseFromSend) { age } else { 0 };
                        gateway.lease_left = gateway.lease_left.max(lease_ticks - age);
                        gateway.outrun = gateway.knowledge.version < floor;
                    }
                });
            }
            Poll::Answered(_, Reply::Anew(snapshot)) => self.step(Act::Reply, node, |w| {
                w.gateway.proven = true;
                w.gateway.poll = Poll::Loading(snapshot);
                if !case.has(Part::MergeAtResync) {
                    w.gateway.knowledge = Knowledge::default();
                }
            }),
            Poll::Loading(snapshot) => self.step(Act::Load, snapshot.version, |w| {
                let news = Knowledge::of(case, &w.directory, snapshot.version);
                let gateway = &mut w.gateway;
                gateway.poll = Poll::Idle;
                gateway.heard = gateway.heard.max(news.version);
                gateway.knowledge.merge(case, news);
                gateway.position = snapshot.position;
            }),
        }
    }

    /// Where the gateway is in this log, if it has read a beginning of it.
    fn place_in(&self, store: &Store) -> Option<u8> {
        let Position { epoch, id } = self.world.gateway.position;
        let before_the_fork = id <= store.former_head || !self.case.has(Part::PlaceBeforeTheFork);
        let goes_on = epoch == store.former_epoch && before_the_fork;
        let comparable = epoch == store.epoch || goes_on || !self.case.has(Part::EpochInPosition);
        (epoch > 0 && comparable && id <= store.head).then_some(id)
    }

    /// What the script answers; nothing if it is refused, or if the gateway cannot believe what it reads.
    fn run_poll(&self) -> Option<Reply> {
        let case = self.case;
        let gateway = &self.world.gateway;
        let server = self.world.server(gateway.node);
        let store = &server.store;
        let script = if case.has(Part::WritablePoll) { Script::Writing } else { Script::Reading };
        let blessed = !case.has(Part::Blessing) || server.is_blessed(case);
        if !server.runs(case, script) || !blessed || store.epoch == 0 {
            return None;
        }
        if gateway.position.epoch > store.epoch && case.has(Part::NoWayBack) {
            return None;
        }
        let base = Position { epoch: store.epoch, id: store.base };
        let anew = Some(Reply::Anew(Snapshot { position: base, version: store.snapshot }));
        let Some(id) = self.place_in(store) else { return anew };
        if store.trimmed > id {
            if id == store.base && case.has(Part::TruncationCheck) {
                return None;
            }
            if id != store.base && case.has(Part::Predecessors) {
                return anew;
            }
        }
        let first = store.trimmed.max(id) + 1;
        let last = store.head.min(first - 1 + case.bounds.page_entries);
        // What is known already changes nothing in the end; so different answers that teach the same are one.
        let mut knowledge = gateway.knowledge;
        for id in first..=last {
            knowledge.merge(case, Knowledge::of(case, &self.world.directory, store.entry(id)));
        }
        let position = Position { epoch: store.epoch, id: last };
        Some(Reply::Page { position, knowledge, at_head: last == store.head })
    }

    /// Whatever stands in the log of the gateway's server may arrive at any time, in any order, often or never.
    pub(super) fn push(&mut self) {
        let (case, world) = (self.case, self.world);
        let gateway = &world.gateway;
        let store = &world.server(gateway.node).store;
        if !gateway.proven && case.has(Part::ProvenConnection) {
            return;
        }
        for id in store.trimmed + 1..=store.head {
            let epoch = if id <= store.former_head { store.former_epoch } else { store.epoch };
            let known = gateway.position;
            let comparable = known.epoch == epoch || !case.has(Part::EpochInPosition);
            let follows = id == known.id + 1 || (id > known.id && !case.has(Part::Predecessors));
            if known.epoch == 0 || !comparable || !follows {
                continue;
            }
            self.step(Act::Push, id, |w| {
                let news = Knowledge::of(case, &w.directory, store.entry(id));
                w.gateway.knowledge.merge(case, news);
                w.gateway.heard = w.gateway.heard.max(news.version);
                w.gateway.position.id = id;
            });
        }
    }
}
