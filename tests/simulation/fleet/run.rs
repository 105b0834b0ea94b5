//! One run: a queue of events in simulated milliseconds.

mod plan;

mod directory;

mod reconciling;

mod electing;

mod replicating;

mod polling;

mod verdict;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::control::{Command, Control, Said, Stage};
use super::gateway::{Clock, Gateway};
use super::server::{Answer, Role, Server};
use super::store::{Entry, Hold, Ledger, Snapshot, Standing, Store};
use super::{CONTROLS, GATEWAYS, PERSONS, SERVERS};
use crate::promise::Breach;
use crate::protocol::Protocol;
use directory::Directory;
use electing::{Belief, Sides};

/// Faults and changes happen until then; what follows is calm, and must end with everybody right.
const TROUBLE_MILLIS: u64 = 9_000;
const END_MILLIS: u64 = 13_000;
/// The last events before something broke that are told.
const TOLD_MAX: usize = 60;
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
    pub(super) snapshots: u64,
    pub(super) snapshots_gone: u64,
    pub(super) compactions: u64,
    pub(super) blessings: u64,
    pub(super) gone_on: u64,
    pub(super) places_kept: u64,
    pub(super) failovers: u64,
    pub(super) server_restarts: u64,
    pub(super) gateway_restarts: u64,
    pub(super) lost_acknowledged: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Tally) {
        self.acknowledged += other.acknowledged;
        self.leases += other.leases;
        self.pushes += other.pushes;
        self.snapshots += other.snapshots;
        self.snapshots_gone += other.snapshots_gone;
        self.compactions += other.compactions;
        self.blessings += other.blessings;
        self.gone_on += other.gone_on;
        self.places_kept += other.places_kept;
        self.failovers += other.failovers;
        self.server_restarts += other.server_restarts;
        self.gateway_restarts += other.gateway_restarts;
        self.lost_acknowledged += other.lost_acknowledged;
    }
}

/// What a gateway asks a server for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Question {
    Poll,
    Piece { ledger: Ledger, number: usize },
}

/// What a gateway is told.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Told {
    Answer(Answer),
    Piece { ledger: Ledger, number: usize, piece: Option<Standing> },
}

/// A connection of a gateway, and when something was sent on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Line {
    gateway: usize,
    connection: u32,
    sent: u64,
}

#[derive(Debug)]
enum Event {
    Change,
    Round {
        control: usize,
    },
    /// A pause is over.
    Goes {
        control: usize,
        session: u32,
    },
    Asks {
        control: usize,
        session: u32,
        server: (usize, u64),
        command: Command,
    },
    Says {
        control: usize,
        session: u32,
        said: Said,
    },
    GivesUp {
        control: usize,
        session: u32,
    },
    Sync {
        server: usize,
    },
    Delivered {
        server: usize,
        link: u32,
        number: u32,
        store: Box<Store>,
    },
    Gossip,
    FailOver,
    RestartServer,
    StopServer,
    Split,
    Heal,
    Flush,
    Cut,
    Poll {
        gateway: usize,
        connection: u32,
    },
    Asked {
        line: Line,
        process: u64,
        question: Question,
    },
    Told {
        line: Line,
        told: Told,
    },
    TimedOut {
        line: Line,
    },
    Pushed {
        gateway: usize,
        connection: u32,
        epoch: u64,
        entry: Entry,
    },
    RestartGateway,
    PauseGateway,
    PauseControl,
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

pub(super) struct Run {
    protocol: Protocol,
    random: Random,
    now: u64,
    /// By time, then by number, in one word: the same seed is the same run.
    queue: BinaryHeap<Reverse<u64>>,
    /// By number.
    events: Vec<Option<Event>>,
    /// Epochs, lineages, tokens, names of snapshots.
    uniques: u64,
    directory: Directory,
    controls: Vec<Control>,
    servers: Vec<Server>,
    /// What each Sentinel takes for the primary, and what it cannot reach since when.
    beliefs: [Belief; SERVERS],
    sides: Option<Sides>,
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
        let mut server = |index: usize| {
            let role = if index == 0 { Role::Primary } else { Role::Replica { of: 0, synced: true } };
            Server::new(role, 1 + index as u64, random.below(3000))
        };
        let mut servers: Vec<Server> = (0..SERVERS).map(&mut server).collect();
        let lineage = servers[0].lineage(protocol);
        let snapshot = Snapshot { name: 1, ..Snapshot::default() };
        servers[0].store.lock(0, 1);
        let hold = Hold { generation: 1, lineage, token: 1 };
        servers[0].store.bless((protocol, 0, lineage), hold, (1, 0), snapshot);
        let store = servers[0].store.clone();
        for server in &mut servers {
            (server.store, server.saved) = (store.clone(), store.clone());
        }
        for replica in 1..SERVERS {
            servers[0].hear(replica, 0);
        }
        let gateways = (0..GATEWAYS)
            .map(|_| Clock { offset_micros: random.below(1 << 40), millionths_slow: random.below(200) })
            .map(Gateway::new)
            .collect();
        let control = || Control { server: 0, stage: Stage::Idle, session: 0, asleep_until: 0 };
        let mut run = Run {
            protocol,
            random,
            now: 0,
            queue: BinaryHeap::new(),
            events: Vec::new(),
            uniques: 100,
            directory: Directory::new(PERSONS),
            controls: (0..CONTROLS).map(|_| control()).collect(),
            servers,
            beliefs: [Belief::default(); SERVERS],
            sides: None,
            gateways,
            asleep_until: [0; GATEWAYS],
            tally: Tally::default(),
            story: None,
        };
        run.plan();
        run
    }

    fn unique(&mut self) -> u64 {
        self.uniques += 1;
        self.uniques
    }

    fn after(&mut self, millis: u64, event: Event) {
        let at = self.now + millis;
        if at <= END_MILLIS {
            self.queue.push(Reverse(at << 32 | self.events.len() as u64));
            self.events.push(Some(event));
        }
    }

    /// How long a message is under way: mostly a moment, sometimes long. After the trouble nothing is late.
    fn delay(&mut self) -> u64 {
        let late = self.now < TROUBLE_MILLIS && self.random.percent(5);
        if late { 50 + self.random.below(2000) } else { 1 + self.random.below(5) }
    }

    fn is_lost(&mut self) -> bool {
        self.now < TROUBLE_MILLIS && self.random.percent(8)
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
        while let Some(Reverse(key)) = self.queue.pop() {
            self.now = key >> 32;
            let number = usize::try_from(key & u64::from(u32::MAX)).unwrap();
            let event = self.events[number].take().unwrap();
            self.note(&event);
            self.happen(event)?;
        }
        self.now = END_MILLIS;
        self.everybody_is_right()
    }

    fn note(&mut self, event: &Event) {
        let Some(story) = &mut self.story else { return };
        let dull = matches!(
            event,
            Event::Round { .. } | Event::Sync { .. } | Event::Gossip | Event::TimedOut { .. } | Event::Due
        );
        if !dull {
            story.push_back(format!("{} ms: {event:?}", self.now));
            if story.len() > TOLD_MAX {
                story.pop_front();
            }
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Change => self.change(),
            Event::Round { control } => self.round(control),
            Event::Goes { control, session } => self.goes(control, session),
            Event::Asks { control, session, server, command } => self.asks(control, session, server, command),
            Event::Says { control, session, said } => self.says(control, session, said),
            Event::GivesUp { control, session } => self.gives_up(control, session),
            Event::Sync { server } => self.sync(server),
            Event::Delivered { server, link, number, store } => self.delivered(server, link, number, *store),
            Event::Gossip => self.gossip(),
            Event::FailOver => self.fail_over_for_no_reason(),
            Event::RestartServer => self.restart_server(),
            Event::StopServer => self.stop_server(),
            Event::Split => self.split(),
            Event::Heal => self.sides = None,
            Event::Flush => self.flush(),
            Event::Cut => self.cut(),
            Event::Poll { gateway, connection } => self.poll(gateway, connection),
            Event::Asked { line, process, question } => self.asked(line, process, question),
            Event::Told { line, told } => return self.told(line, told),
            Event::TimedOut { line } => self.timed_out(line),
            Event::Pushed { gateway, connection, epoch, entry } => {
                return self.pushed(gateway, connection, epoch, entry);
            }
            Event::RestartGateway => self.restart_gateway(),
            Event::PauseGateway => {
                let gateway = self.random.index(GATEWAYS);
                self.asleep_until[gateway] = self.now + 500 + self.random.below(2500);
            }
            Event::PauseControl => {
                let control = self.random.index(CONTROLS);
                self.controls[control].asleep_until = self.now + 200 + self.random.below(2500);
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
