//! One run: a queue of events in simulated milliseconds.

mod control;
mod distribution;
mod doors;
mod verdict;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use super::gateway::{Clock, Gateway};
use super::redis::{Entry, Node, Reply, Role, Standing};
use crate::promise::Breach;
use crate::protocol::Protocol;
use crate::world::Change;

const GATEWAYS: usize = 4;
const PERSONS: usize = 3;
/// Faults and changes happen until then; what follows is calm, and must end with everybody right.
const TROUBLE_MILLIS: u64 = 9_000;
const END_MILLIS: u64 = 15_000;
const TAKE_MILLIS: u64 = 50;
/// The last events before something broke that are told.
const TOLD_MAX: usize = 40;
const POLL_MILLIS: u64 = 250;
const TIMEOUT_MILLIS: u64 = 300;

/// How a run went wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Broken {
    /// The promise does not hold.
    Promise(Breach, String),
    /// Nothing wrong was permitted, but the fleet does not come back to its feet when all is calm.
    Stuck(String),
}

/// What happened in a run, or in many.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Tally {
    pub(super) acknowledged: u64,
    pub(super) leases: u64,
    pub(super) pushes: u64,
    pub(super) failovers: u64,
    pub(super) node_restarts: u64,
    pub(super) gateway_restarts: u64,
    pub(super) lost_acknowledged: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Tally) {
        self.acknowledged += other.acknowledged;
        self.leases += other.leases;
        self.pushes += other.pushes;
        self.failovers += other.failovers;
        self.node_restarts += other.node_restarts;
        self.gateway_restarts += other.gateway_restarts;
        self.lost_acknowledged += other.lost_acknowledged;
    }
}

/// A change on its way from the outbox to Redis.
#[derive(Clone, Copy, Debug)]
struct Taken {
    person: usize,
    version: u32,
    generation: u32,
}

#[derive(Debug)]
enum Event {
    Change,
    Take {
        publisher: usize,
    },
    Write {
        publisher: usize,
        taken: Taken,
        node: usize,
    },
    Written {
        publisher: usize,
        taken: Taken,
    },
    Replicated {
        link: u32,
        len: usize,
    },
    FailOver,
    Rejoin,
    RestartNode,
    StopNode,
    Trim,
    Reconcile,
    Bless {
        node: usize,
        life: u32,
        generation: u32,
        read: Vec<Standing>,
    },
    Poll {
        gateway: usize,
        connection: u32,
    },
    Arrives {
        gateway: usize,
        connection: u32,
        sent: u64,
        life: u32,
    },
    Answered {
        gateway: usize,
        connection: u32,
        sent: u64,
        reply: Reply,
    },
    TimedOut {
        gateway: usize,
        connection: u32,
        sent: u64,
    },
    Pushed {
        gateway: usize,
        connection: u32,
        entry: Entry,
    },
    RestartGateway,
    PauseGateway,
    /// The bound after an acknowledgement has passed.
    Due,
}

struct Random(u64);

impl Random {
    /// The steps of splitmix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap()
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A person in the directory; change `v` stands at place `v`, with the time of its acknowledgement.
struct Person {
    changes: Vec<(Change, Option<u64>)>,
}

// === impl Person ===

impl Person {
    fn version(&self) -> u32 {
        u32::try_from(self.changes.len() - 1).unwrap()
    }

    fn standing(&self, version: u32) -> Standing {
        Standing { mark: version, version, off: self.changes[version as usize].0 == Change::Off }
    }

    /// The changes that take this class away.
    fn covering(&self, class: u32) -> impl Iterator<Item = (u32, Option<u64>)> {
        self.changes.iter().zip(0..).filter_map(move |((change, acknowledged), version)| {
            let covers = match change {
                Change::On => false,
                Change::Off => version >= class,
                Change::SignedOut => version > class,
            };
            covers.then_some((version, *acknowledged))
        })
    }
}

pub(super) struct Run {
    protocol: Protocol,
    random: Random,
    now: u64,
    /// By time, then by number: the same seed is the same run.
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    numbered: u64,
    persons: Vec<Person>,
    outbox: VecDeque<(usize, u32)>,
    generation: u32,
    reconciling: bool,
    busy: [bool; 2],
    nodes: [Node; 2],
    current: usize,
    /// Counts replication links.
    link: u32,
    gateways: Vec<Gateway>,
    asleep_until: [u64; GATEWAYS],
    tally: Tally,
    /// The last events, if they are to be told.
    story: Option<VecDeque<String>>,
}

// === impl Run ===

impl Run {
    pub(super) fn new(seed: u64, protocol: Protocol) -> Run {
        let mut random = Random(seed);
        let mut node = |role, blessed| Node {
            role,
            log: Vec::new(),
            trimmed: 0,
            blessed,
            ahead: random.below(3000),
            awake_at: 0,
            life: 0,
        };
        let nodes = [node(Role::Primary, 1), node(Role::Replica, 0)];
        let gateways = (0..GATEWAYS)
            .map(|_| Clock { offset_micros: random.below(1 << 40), millionths_slow: random.below(200) })
            .map(|clock| Gateway::new(clock, PERSONS))
            .collect();
        let mut run = Run {
            protocol,
            random,
            now: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            numbered: 0,
            persons: (0..PERSONS).map(|_| Person { changes: vec![(Change::On, Some(0))] }).collect(),
            outbox: VecDeque::new(),
            generation: 1,
            reconciling: false,
            busy: [false; 2],
            nodes,
            current: 0,
            link: 0,
            gateways,
            asleep_until: [0; GATEWAYS],
            tally: Tally::default(),
            story: None,
        };
        let first = run.nodes[0].append(0, 1, 0, Standing::default());
        run.nodes[1].log.push(first);
        run.plan();
        run
    }

    /// Draws when trouble comes.
    fn plan(&mut self) {
        for _ in 0..8 + self.random.below(8) {
            self.somewhen(Event::Change);
        }
        for _ in 0..self.random.below(3) {
            self.somewhen(Event::FailOver);
        }
        for _ in 0..self.random.below(3) {
            self.somewhen(Event::RestartNode);
        }
        for _ in 0..self.random.below(3) {
            self.somewhen(Event::StopNode);
        }
        for _ in 0..self.random.below(4) {
            self.somewhen(Event::RestartGateway);
        }
        for _ in 0..self.random.below(4) {
            self.somewhen(Event::PauseGateway);
        }
        if self.random.percent(20) {
            self.somewhen(Event::Trim);
        }
        for gateway in 0..GATEWAYS {
            let begin = self.random.below(POLL_MILLIS);
            self.after(begin, Event::Poll { gateway, connection: 0 });
        }
        for publisher in 0..2 {
            self.after(TAKE_MILLIS, Event::Take { publisher });
        }
        self.after(100, Event::Reconcile);
    }

    fn after(&mut self, millis: u64, event: Event) {
        self.numbered += 1;
        self.queue.push(Reverse((self.now + millis, self.numbered)));
        self.events.insert(self.numbered, event);
    }

    fn somewhen(&mut self, event: Event) {
        let at = self.random.below(TROUBLE_MILLIS);
        self.after(at, event);
    }

    /// How long a message is under way: mostly a moment, sometimes long. After the trouble nothing is late.
    fn delay(&mut self) -> u64 {
        let late = self.now < TROUBLE_MILLIS && self.random.percent(5);
        if late { 50 + self.random.below(2000) } else { 1 + self.random.below(5) }
    }

    fn is_lost(&mut self) -> bool {
        self.now < TROUBLE_MILLIS && self.random.percent(10)
    }

    /// Runs to the end; the error says what broke.
    pub(super) fn finish(mut self) -> Result<Tally, Broken> {
        self.go()?;
        Ok(self.tally)
    }

    /// The last events before the end, or before something broke.
    pub(super) fn story(mut self) -> String {
        self.story = Some(VecDeque::new());
        let ended = self.go();
        let mut story = self.story.unwrap_or_default();
        story.push_back(format!("{ended:?}"));
        Vec::from(story).join("\n  ")
    }

    fn go(&mut self) -> Result<(), Broken> {
        while let Some(Reverse((at, number))) = self.queue.pop() {
            if at > END_MILLIS {
                break;
            }
            self.now = at;
            let event = self.events.remove(&number).unwrap();
            self.note(&event);
            self.happen(event)?;
        }
        self.now = END_MILLIS;
        self.everybody_is_right()
    }

    fn note(&mut self, event: &Event) {
        let Some(story) = &mut self.story else { return };
        if !matches!(event, Event::Take { .. } | Event::Reconcile | Event::TimedOut { .. } | Event::Due) {
            story.push_back(format!("{} ms: {event:?}", self.now));
            if story.len() > TOLD_MAX {
                story.pop_front();
            }
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Change => self.change(),
            Event::Take { publisher } => self.take(publisher),
            Event::Write { publisher, taken, node } => self.write(publisher, taken, node),
            Event::Written { publisher, taken } => self.written(publisher, taken),
            Event::Replicated { link, len } => self.replicated(link, len),
            Event::FailOver => self.fail_over(),
            Event::Rejoin => self.rejoin(),
            Event::RestartNode => self.restart_node(),
            Event::StopNode => self.nodes[self.current].awake_at = self.now + 200 + self.random.below(2000),
            Event::Trim => {
                let node = &mut self.nodes[self.current];
                node.trimmed = node.trimmed.max(node.log.len() / 2);
            }
            Event::Reconcile => self.reconcile(),
            Event::Bless { node, life, generation, read } => self.bless(node, life, generation, &read),
            Event::Poll { gateway, connection } => self.poll(gateway, connection),
            Event::Arrives { gateway, connection, sent, life } => {
                self.arrives(gateway, connection, sent, life);
            }
            Event::Answered { gateway, connection, sent, reply } => {
                return self.answered(gateway, connection, sent, reply);
            }
            Event::TimedOut { gateway, connection, sent } => self.timed_out(gateway, connection, sent),
            Event::Pushed { gateway, connection, entry } => return self.pushed(gateway, connection, entry),
            Event::RestartGateway => {
                let gateway = self.random.index(GATEWAYS);
                self.tally.gateway_restarts += 1;
                self.gateways[gateway].restart();
                self.poll_soon(gateway);
            }
            Event::PauseGateway => {
                let gateway = self.random.index(GATEWAYS);
                self.asleep_until[gateway] = self.now + 500 + self.random.below(2500);
            }
            Event::Due => {
                for gateway in 0..GATEWAYS {
                    self.check(gateway)?;
                }
            }
        }
        Ok(())
    }
}
