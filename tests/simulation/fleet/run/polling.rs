//! What gateways do: they connect, poll, read snapshots, and hear pushes.

use super::{Broken, Event, Line, POLL_MILLIS, Question, Run, TIMEOUT_MILLIS, Told};
use crate::fleet::gateway::Verdict;
use crate::fleet::server::Answer;
use crate::fleet::store::{Entry, Ledger, Standing};
use crate::fleet::{GATEWAYS, SERVERS};

impl Run {
    pub(super) fn reconnect(&mut self, gateway: usize) {
        let server = if self.random.percent(80) {
            self.primary_for_gateway(gateway)
        } else {
            self.random.index(SERVERS)
        };
        self.gateways[gateway].connect(server);
        let millis = 1 + self.random.below(POLL_MILLIS / 5);
        self.poll_after(gateway, millis);
    }

    fn poll_after(&mut self, gateway: usize, millis: u64) {
        let connection = self.gateways[gateway].connection;
        self.after(millis, Event::Poll { gateway, connection });
    }

    fn poll_later(&mut self, gateway: usize) {
        let millis = POLL_MILLIS - POLL_MILLIS / 10 + self.random.below(POLL_MILLIS / 5);
        self.poll_after(gateway, millis);
    }

    pub(super) fn restart_gateway(&mut self) {
        let gateway = self.random.index(GATEWAYS);
        self.tally.gateway_restarts += 1;
        self.gateways[gateway].restart();
        self.reconnect(gateway);
    }

    /// Nothing happens in a gateway that sleeps: whether the event has to wait.
    fn waits(&mut self, gateway: usize, event: Event) -> Option<Event> {
        let until = self.asleep_until[gateway];
        if until > self.now {
            self.after(until - self.now, event);
            return None;
        }
        Some(event)
    }

    pub(super) fn poll(&mut self, gateway: usize, connection: u32) {
        if self.waits(gateway, Event::Poll { gateway, connection }).is_some()
            && self.gateways[gateway].connection == connection
        {
            self.ask_server(gateway, Question::Poll);
        }
    }

    fn ask_server(&mut self, gateway: usize, question: Question) {
        let (connection, server) = (self.gateways[gateway].connection, self.gateways[gateway].server);
        let line = Line { gateway, connection, sent: self.now };
        let process = self.servers[server].process;
        self.gateways[gateway].awaiting = Some(self.now);
        self.after(TIMEOUT_MILLIS, Event::TimedOut { line });
        if self.reaches_from_gateway(gateway, server) && !self.is_lost() {
            let millis = self.delay();
            self.after(millis, Event::Asked { line, process, question });
        }
    }

    pub(super) fn asked(&mut self, line: Line, process: u64, question: Question) {
        let gateway = &self.gateways[line.gateway];
        let index = gateway.server;
        let server = &mut self.servers[index];
        if gateway.connection != line.connection || server.process != process {
            return;
        }
        if !server.is_awake(self.now) {
            let millis = server.asleep.1 - self.now;
            return self.after(millis, Event::Asked { line, process, question });
        }
        let told = match question {
            Question::Poll => {
                let Some(answer) = server.poll(self.protocol, self.now, gateway.position()) else { return };
                if gateway.missing != 0 {
                    server.store.missing = gateway.missing;
                }
                Told::Answer(answer)
            }
            Question::Piece { ledger, number } => {
                let piece = server.store.piece(ledger.snapshot, number);
                Told::Piece { ledger, number, piece }
            }
        };
        if self.reaches_from_gateway(line.gateway, index) {
            let millis = self.delay();
            self.after(millis, Event::Told { line, told });
        }
    }

    pub(super) fn told(&mut self, line: Line, told: Told) -> Result<(), Broken> {
        let Line { gateway, connection, sent } = line;
        let event = Event::Told { line, told };
        let Some(Event::Told { told, .. }) = self.waits(gateway, event) else { return Ok(()) };
        if self.gateways[gateway].connection != connection {
            return Ok(());
        }
        match told {
            Told::Answer(answer) => self.answered(gateway, sent, &answer),
            Told::Piece { ledger, number, piece } => self.read_piece(gateway, &ledger, number, piece),
        }
        self.check(gateway)
    }

    fn answered(&mut self, gateway: usize, sent: u64, answer: &Answer) {
        let before = self.gateways[gateway].position().epoch;
        let verdict = self.gateways[gateway].answered(self.protocol, (self.now, sent), answer);
        let kept = before > 0 && answer.ledger.is_some_and(|ledger| ledger.epoch != before);
        self.tally.places_kept += u64::from(kept && matches!(verdict, Verdict::More | Verdict::Current));
        match verdict {
            Verdict::Refuse => {
                // A connection to a server that is no primary any more is given up some time.
                if self.random.percent(30) {
                    self.reconnect(gateway);
                } else {
                    self.poll_later(gateway);
                }
            }
            Verdict::More => self.poll_after(gateway, 1),
            Verdict::Current => {
                self.tally.leases += 1;
                self.poll_later(gateway);
            }
            Verdict::Anew(ledger) => {
                self.tally.snapshots += 1;
                let number = self.gateways[gateway].begin(self.protocol, &ledger);
                self.ask_server(gateway, Question::Piece { ledger, number });
            }
        }
    }

    fn read_piece(&mut self, gateway: usize, ledger: &Ledger, number: usize, piece: Option<Standing>) {
        let Some(piece) = piece else {
            self.tally.snapshots_gone += 1;
            self.gateways[gateway].lacks(ledger);
            return self.poll_later(gateway);
        };
        if self.gateways[gateway].read(self.protocol, ledger, number, piece) {
            self.poll_after(gateway, 1);
        } else {
            self.ask_server(gateway, Question::Piece { ledger: *ledger, number: number + 1 });
        }
    }

    /// An answer that has come at last before anybody looked for it is taken, however old.
    pub(super) fn timed_out(&mut self, line: Line) {
        let gateway = line.gateway;
        if self.waits(gateway, Event::TimedOut { line }).is_some()
            && self.gateways[gateway].connection == line.connection
            && self.gateways[gateway].awaiting == Some(line.sent)
        {
            self.reconnect(gateway);
        }
    }

    pub(super) fn pushed(
        &mut self,
        gateway: usize,
        connection: u32,
        epoch: u64,
        entry: Entry,
    ) -> Result<(), Broken> {
        let event = Event::Pushed { gateway, connection, epoch, entry };
        if self.waits(gateway, event).is_none() || self.gateways[gateway].connection != connection {
            return Ok(());
        }
        self.tally.pushes += u64::from(self.gateways[gateway].pushed(self.protocol, epoch, &entry));
        self.check(gateway)
    }
}
