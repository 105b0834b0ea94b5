//! What control nodes do: they look, publish, reconcile and compact.

use super::{Event, Run, TIMEOUT_MILLIS, Tally};
use crate::fleet::control::{Command, Look, Purpose, Said, Stage};
use crate::fleet::store::{Hold, Position, Snapshot, Standing};
use crate::fleet::{GATEWAYS, PERSONS};
use crate::protocol::Part;

const ROUND_MILLIS: u64 = 250;
/// Rows of one publication.
const BATCH_ROWS: usize = 3;
/// A longer log is shortened.
const LOG_ENTRIES_MAX: usize = 4;

impl Run {
    pub(super) fn round(&mut self, control: usize) {
        let millis = ROUND_MILLIS / 2 + self.random.below(ROUND_MILLIS);
        self.after(millis, Event::Round { control });
        if self.controls[control].stage == Stage::Idle {
            self.look(control);
        }
    }

    pub(super) fn look_soon(&mut self, control: usize) {
        if self.controls[control].stage == Stage::Idle {
            self.look(control);
        }
    }

    fn look(&mut self, control: usize) {
        if self.controls[control].asleep_until > self.now {
            return;
        }
        let Some(server) = self.primary_for_control(control) else { return };
        self.controls[control].server = server;
        self.ask(control, Stage::Looks, Command::Look);
    }

    fn ask(&mut self, control: usize, stage: Stage, command: Command) {
        let node = &mut self.controls[control];
        node.stage = stage;
        node.session += 1;
        let (session, server) = (node.session, node.server);
        let process = self.servers[server].process;
        self.after(TIMEOUT_MILLIS, Event::GivesUp { control, session });
        if self.reaches_from_control(control, server) && !self.is_lost() {
            let millis = self.delay();
            self.after(millis, Event::Asks { control, session, server: (server, process), command });
        }
    }

    fn pause(&mut self, control: usize, stage: Stage) {
        let node = &mut self.controls[control];
        node.stage = stage;
        node.session += 1;
        let session = node.session;
        let millis = self.delay();
        self.after(millis, Event::Goes { control, session });
    }

    pub(super) fn gives_up(&mut self, control: usize, session: u32) {
        if self.controls[control].session == session {
            self.controls[control].stage = Stage::Idle;
            self.controls[control].session += 1;
        }
    }

    /// The command arrives at the server. What was given up may still be done.
    pub(super) fn asks(&mut self, control: usize, session: u32, server: (usize, u64), command: Command) {
        let (index, process) = server;
        let asleep_until = self.servers[index].asleep.1;
        if self.servers[index].process != process {
            return;
        }
        if asleep_until > self.now {
            let millis = asleep_until - self.now;
            return self.after(millis, Event::Asks { control, session, server, command });
        }
        let said = self.execute(index, command);
        if self.reaches_from_control(control, index) && !self.is_lost() {
            let millis = self.delay();
            self.after(millis, Event::Says { control, session, said });
        }
    }

    fn execute(&mut self, index: usize, command: Command) -> Said {
        let (protocol, now) = (self.protocol, self.now);
        let epoch = self.unique();
        let server = &mut self.servers[index];
        let (clock, lineage) = (server.clock(now), server.lineage(protocol));
        let here = (protocol, clock, lineage);
        let may_write = server.may_write(protocol, now);
        let store = &mut server.store;
        let counts: fn(&mut Tally) -> Option<&mut u64> = match &command {
            Command::Bless { .. } => |tally| Some(&mut tally.blessings),
            Command::GoOn { .. } => |tally| Some(&mut tally.gone_on),
            Command::Compact { .. } => |tally| Some(&mut tally.compactions),
            Command::Look | Command::Lock { .. } | Command::Publish { .. } => |_| None,
        };
        let done = match command {
            Command::Look => {
                let ledger = (store.ledger.epoch > 0).then_some(store.ledger);
                let missing = store.missing != 0 && store.missing == store.ledger.snapshot;
                let (whole, log_entries) = (store.is_whole() && !missing, store.log.len());
                let blessed = server.is_blessed(protocol);
                return Said::Looks(Look { ledger, lineage, blessed, whole, log_entries });
            }
            Command::Lock { token } => may_write && store.lock(clock, token),
            Command::Bless { hold, row, snapshot } => {
                may_write && store.bless(here, hold, (epoch, row), snapshot)
            }
            Command::GoOn { hold, row, seen, words } => {
                may_write && store.go_on(here, hold, (epoch, row), seen, &words)
            }
            Command::Compact { hold, base, snapshot } => {
                may_write && store.compact(here, hold, base, snapshot)
            }
            Command::Publish { generation, words, row } => {
                let entries = server.publish((protocol, now), generation, &words, row);
                let epoch = server.store.ledger.epoch;
                for entry in entries.iter().flatten() {
                    self.push(index, epoch, *entry);
                }
                entries.is_some()
            }
        };
        if done {
            self.saved_perhaps(index);
            if let Some(count) = counts(&mut self.tally) {
                *count += 1;
            }
        }
        Said::Done(done)
    }

    fn push(&mut self, server: usize, epoch: u64, entry: crate::fleet::store::Entry) {
        for gateway in 0..GATEWAYS {
            if self.gateways[gateway].server == server && !self.is_lost() {
                let millis = self.delay();
                let connection = self.gateways[gateway].connection;
                self.after(millis, Event::Pushed { gateway, connection, epoch, entry });
            }
        }
    }

    pub(super) fn says(&mut self, control: usize, session: u32, said: Said) {
        let node = &mut self.controls[control];
        if node.session != session {
            return;
        }
        if node.asleep_until > self.now {
            // It has been asleep: what it asked for is answered late, and taken.
            let millis = node.asleep_until - self.now;
            node.session += 1;
            let session = node.session;
            return self.after(millis, Event::Says { control, session, said });
        }
        let stage = std::mem::replace(&mut node.stage, Stage::Idle);
        node.session += 1;
        match (stage, said) {
            (Stage::Looks, Said::Looks(look)) => self.looked(control, look),
            (Stage::Publishes { generation, row }, Said::Done(true)) => {
                self.pause(control, Stage::Notes { generation, row });
            }
            (Stage::Locks { compacts, token }, Said::Done(true)) => {
                let early = if compacts { Part::CompactBaseBeforeRead } else { Part::SnapshotAfterRaise };
                let early = (!self.protocol.has(early)).then(|| self.snapshot());
                self.ask(control, Stage::Sees { compacts, token, early }, Command::Look);
            }
            (Stage::Sees { compacts, token, early }, Said::Looks(look)) => {
                self.seen(control, compacts, token, early, look);
            }
            (Stage::SeesAgain { hold, early }, Said::Looks(look)) => {
                self.seen_again(control, hold, early, look);
            }
            // Refused, or done: the next round tells.
            _ => {}
        }
    }

    /// All of the directory at once.
    fn snapshot(&mut self) -> (usize, Snapshot) {
        let mut pieces = [Standing::default(); PERSONS];
        for (person, piece) in pieces.iter_mut().enumerate() {
            *piece = self.directory.standing(person);
        }
        (self.directory.rows.len(), Snapshot { name: self.unique(), pieces })
    }

    fn looked(&mut self, control: usize, look: Look) {
        let current = look.ledger.is_some_and(|ledger| ledger.generation == self.directory.generation);
        let good = look.blessed && look.whole && current;
        if !good && self.protocol.has(Part::Blessing) {
            return self.lock(control, false);
        }
        if self.directory.published < self.directory.rows.len() {
            self.publish(control);
        } else if look.log_entries > LOG_ENTRIES_MAX {
            self.lock(control, true);
        }
    }

    fn publish(&mut self, control: usize) {
        let generation = self.directory.generation;
        let from = self.directory.published;
        let row = self.directory.rows.len().min(from + BATCH_ROWS);
        if from < row {
            let words = self.directory.words(from..row);
            let stage = Stage::Publishes { generation, row };
            self.ask(control, stage, Command::Publish { generation, words, row });
        }
    }

    fn lock(&mut self, control: usize, compacts: bool) {
        let token = self.unique();
        self.ask(control, Stage::Locks { compacts, token }, Command::Lock { token });
    }

    fn seen(
        &mut self,
        control: usize,
        compacts: bool,
        token: u64,
        early: Option<(usize, Snapshot)>,
        look: Look,
    ) {
        let lineage = look.lineage;
        if !compacts {
            let log_has = look.ledger.map_or(0, |ledger| ledger.generation);
            self.directory.generation = self.directory.generation.max(log_has) + 1;
            let hold = Hold { generation: self.directory.generation, lineage, token };
            return self.ask(control, Stage::SeesAgain { hold, early }, Command::Look);
        }
        let Some(ledger) = look.ledger else { return };
        let hold = Hold { generation: ledger.generation, lineage, token };
        let base = Position { epoch: ledger.epoch, id: ledger.head };
        match early {
            Some((_, snapshot)) => {
                self.ask(control, Stage::Writes, Command::Compact { hold, base, snapshot })
            }
            None => self.read(control, hold, Purpose::Compact { base }),
        }
    }

    fn seen_again(&mut self, control: usize, hold: Hold, early: Option<(usize, Snapshot)>, look: Look) {
        let goes_on = self.random.percent(70);
        match (early, look.ledger) {
            (Some((row, snapshot)), _) => {
                let write = Command::Bless { hold, row, snapshot };
                self.pause(control, Stage::AsksElectors { write });
            }
            (None, Some(seen)) if look.whole && goes_on => {
                let row = self.directory.rows.len();
                let words = self.directory.words(seen.row..row);
                let write = Command::GoOn { hold, row, seen, words };
                self.pause(control, Stage::AsksElectors { write });
            }
            (None, _) => self.read(control, hold, Purpose::Bless { row: self.directory.rows.len() }),
        }
    }

    fn read(&mut self, control: usize, hold: Hold, purpose: Purpose) {
        let pieces = [Standing::default(); PERSONS];
        self.pause(control, Stage::Reads { hold, purpose, pieces, next: 0 });
    }

    /// A pause is over.
    pub(super) fn goes(&mut self, control: usize, session: u32) {
        let node = &mut self.controls[control];
        if node.session != session {
            return;
        }
        if node.asleep_until > self.now {
            let millis = node.asleep_until - self.now;
            return self.after(millis, Event::Goes { control, session });
        }
        match std::mem::replace(&mut node.stage, Stage::Idle) {
            Stage::Notes { generation, row } => {
                if self.note_published(generation, row) {
                    self.publish(control);
                }
            }
            Stage::Reads { hold, purpose, mut pieces, next } => {
                pieces[next] = self.directory.standing(next);
                if next + 1 < PERSONS {
                    return self.pause(control, Stage::Reads { hold, purpose, pieces, next: next + 1 });
                }
                let snapshot = Snapshot { name: self.unique(), pieces };
                match purpose {
                    Purpose::Bless { row } => {
                        let write = Command::Bless { hold, row, snapshot };
                        self.pause(control, Stage::AsksElectors { write });
                    }
                    Purpose::Compact { base } => {
                        self.ask(control, Stage::Writes, Command::Compact { hold, base, snapshot });
                    }
                }
            }
            Stage::AsksElectors { write } => {
                if self.is_elected(control) || !self.protocol.has(Part::BlessingOfTheElected) {
                    self.pause(control, Stage::AsksDirectory { write });
                }
            }
            Stage::AsksDirectory { write } => {
                let (Command::Bless { hold, .. } | Command::GoOn { hold, .. }) = &write else { return };
                let last = hold.generation == self.directory.generation;
                if last || !self.protocol.has(Part::BlessingOfTheLast) {
                    self.ask(control, Stage::Writes, write);
                }
            }
            // These wait for a server, and not for a pause.
            Stage::Idle
            | Stage::Looks
            | Stage::Publishes { .. }
            | Stage::Locks { .. }
            | Stage::Sees { .. }
            | Stage::SeesAgain { .. }
            | Stage::Writes => {}
        }
    }
}
