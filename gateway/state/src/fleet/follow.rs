//! The thread that keeps a node current: it polls, is pushed to, and reads everything anew when
//! something does not fit.
//!
//! It has a runtime of its own, so that no load on the gateway keeps a lease from being renewed,
//! and nothing of it waits for anything but Redis.

use std::sync::Arc;
use std::time::Duration;

use doorward_model::UnixMillis;
use redis::RedisError;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::config::RedisConfig;
use crate::fleet::ledger::Ledger;
use crate::fleet::line::{Break, Doubt, Line, Pushed as Fits, Verdict};
use crate::fleet::link::{Link, Pushed, Trouble, connect};
use crate::fleet::locate::is_another;
use crate::fleet::pack::{Item, unchunk, unpack};
use crate::fleet::roll::Report;
use crate::fleet::script::{Answer, Push, Question, Scripts};
use crate::fleet::status::{Status, count};
use crate::fleet::taking::{Into, Taking};
use crate::revocations::forgetting::Forgetting;
use crate::revocations::lease::Lease;
use crate::revocations::shared::Shared;

/// Entries of one answer: some 100 KB.
const PAGE_ENTRIES: usize = 1000;
/// How often a node shows in the roll that it is there.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// The pause between two attempts to connect grows from here.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// So many answers in a row may be late until the connection is given up: a server that stalls for
/// a moment must not have a whole fleet connect anew.
const SILENT_POLLS_MAX: u32 = 2;
/// How long a piece of a snapshot may take.
const PIECE_PATIENCE: Duration = Duration::from_secs(5);
/// How often a node whose server proves nothing asks whether another one is the primary by now. Nobody
/// may cut the connection to one that was deposed.
const ASK_AROUND_EVERY: Duration = Duration::from_secs(1);
/// Pushes that do not fit lead to no more than one poll in so long.
const POLL_PAUSE_MIN: Duration = Duration::from_millis(2);

/// Everything that the thread needs.
pub(crate) struct Follow {
    pub(crate) shared: Arc<Shared>,
    pub(crate) status: Arc<Status>,
    pub(crate) config: RedisConfig,
    pub(crate) scripts: Arc<Scripts>,
    pub(crate) node: String,
    pub(crate) instance: Uuid,
    /// It has a directory of its own.
    pub(crate) has_directory: bool,
    /// The lease of this node. Also where the directory itself is followed: then nothing rests on it.
    pub(crate) lease: Arc<Lease>,
    /// Somebody wants a look that begins now.
    pub(crate) wanted: Arc<Notify>,
}

struct Session<'a> {
    follow: &'a Follow,
    line: &'a mut Line,
    /// What the roll has of this node.
    reported: &'a mut Option<Report>,
    link: Link,
    /// How far a snapshot was read, when the connection broke.
    partly: &'a mut Option<Partly>,
    taking: &'a mut Taking,
    /// The snapshot that is not whole, with the log after it.
    missing: Option<String>,
    /// Known once everything was read.
    forgetting: &'a mut Option<Forgetting>,
    reported_at: Duration,
    /// Somebody waits for this node to say how far it has come.
    asked_to_report: bool,
}

/// A snapshot of which some pieces were read. They never change, and what they said is in force.
struct Partly {
    name: String,
    /// The next piece.
    next: u64,
    /// Entries so far.
    read: u64,
    into: Into,
}

/// What outlives a connection.
#[derive(Default)]
struct Kept {
    line: Line,
    /// What the roll has of this node.
    reported: Option<Report>,
    partly: Option<Partly>,
    taking: Taking,
    forgetting: Option<Forgetting>,
}

/// Why a session ended.
enum End {
    Trouble(Trouble),
    Stopped,
}

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl Follow {
    /// Runs until told to stop.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut kept = Kept::default();
        let mut pause = PAUSE_MIN;
        let mut turn = 0;
        loop {
            let end = tokio::select! {
                end = self.session(&mut kept, &mut pause, turn) => end,
                _ = stop.wait_for(|stop| *stop) => End::Stopped,
            };
            match end {
                End::Stopped => break,
                End::Trouble(trouble) => self.trouble(trouble.to_string()),
            }
            self.status.disconnected();
            turn = turn.wrapping_add(1);
            // Spread over the pause, so that a fleet does not come back in one instant.
            let wait = pause.mul_f64(0.5 + jitter());
            pause = (pause * 2).min(PAUSE_MAX);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        self.sign_off().await;
    }

    fn trouble(&self, why: String) {
        count(&self.status.poll_failures);
        self.status.blessed.store(false, std::sync::atomic::Ordering::Relaxed);
        self.status.line_trouble(why);
    }

    async fn session(&self, kept: &mut Kept, pause: &mut Duration, turn: usize) -> End {
        let Kept { line, reported, partly, taking, forgetting } = kept;
        line.reconnected();
        let link = match connect(&self.config, self.scripts.keys(), true, turn).await {
            Ok(link) => link,
            Err(trouble) => return End::Trouble(trouble),
        };
        self.status.connected(&link.address);
        *reported = None;
        let mut session = Session {
            follow: self,
            line,
            reported,
            link,
            partly,
            taking,
            missing: None,
            forgetting,
            reported_at: Duration::ZERO,
            asked_to_report: false,
        };
        let (mut silent, mut asked_around) = (0, self.lease.now());
        loop {
            let sent = self.lease.now();
            match session.poll(sent).await {
                Ok(Polled::Current) => {
                    (*pause, silent, asked_around) = (PAUSE_MIN, 0, sent);
                    session.forget();
                }
                Ok(Polled::Doubtful) => {
                    silent = 0;
                    if sent.saturating_sub(asked_around) >= ASK_AROUND_EVERY {
                        asked_around = sent;
                        let server = session.link.address.clone();
                        if is_another(&self.config, &self.scripts.keys().meta, &server, turn).await {
                            return End::Trouble(Trouble::Deposed { server });
                        }
                    }
                }
                Ok(Polled::Again) => {
                    silent = 0;
                    continue;
                }
                Err(trouble) if trouble.is_silence() && silent < SILENT_POLLS_MAX => {
                    silent += 1;
                    self.trouble(trouble.to_string());
                    continue;
                }
                Err(trouble) => return End::Trouble(trouble),
            }
            if let Err(end) = session.wait(sent).await {
                return end;
            }
        }
    }

    /// Takes this process off the roll, so that nobody waits for it.
    async fn sign_off(&self) {
        let leave = async {
            let mut link = connect(&self.config, self.scripts.keys(), false, 0).await.ok()?;
            let mut command = redis::cmd("HDEL");
            command.arg(&self.scripts.keys().roll).arg(self.instance.as_simple().to_string());
            command.exec_async(&mut link.connection).await.ok()
        };
        // Whoever cannot say goodbye is struck off later.
        let _left = tokio::time::timeout(Duration::from_millis(300), leave).await;
    }
}

/// What a poll led to.
enum Polled {
    /// Nothing is missing.
    Current,
    /// The answer proves nothing.
    Doubtful,
    /// There is more to read.
    Again,
}

impl Session<'_> {
    fn said(&self, error: &RedisError) -> Trouble {
        Trouble::said(&self.link.address, error)
    }

    async fn poll(&mut self, sent: Duration) -> Result<Polled, Trouble> {
        let follow = self.follow;
        let look = follow.shared.looks.begin();
        let as_of = follow.shared.time.clock();
        let report = self.due_report(sent, as_of);
        let who = follow.instance.as_simple().to_string();
        let text = report.as_ref().map(Report::to_text);
        let question = Question {
            position: self.line.position(),
            limit: PAGE_ENTRIES,
            report: text.as_deref().map(|text| (who.as_str(), text)),
        };
        let asked = follow.scripts.poll(&mut self.link.connection, &question).await;
        let answer = asked.map_err(|e| self.said(&e))?;
        if let Some(report) = report {
            *self.reported = Some(report);
            self.reported_at = sent;
        }
        self.note(&answer);
        match self.line.judge(&answer) {
            Verdict::Refuse(doubt) => {
                follow.trouble(told(doubt, &self.link.address));
                if doubt == Doubt::Cut {
                    self.missing = answer.ledger.map(|ledger| ledger.snapshot.name);
                    *self.reported = None;
                }
                Ok(Polled::Doubtful)
            }
            Verdict::Resync(why) => {
                let Some(ledger) = &answer.ledger else { return Ok(Polled::Doubtful) };
                self.resync(ledger, why).await
            }
            Verdict::Apply { caught_up } => {
                if !self.apply(&answer) {
                    return Ok(Polled::Doubtful);
                }
                self.line.applied(&answer, caught_up);
                if !caught_up {
                    return Ok(Polled::Again);
                }
                self.missing = None;
                if let Some(ledger) = &answer.ledger {
                    self.taking.caught_up(ledger);
                }
                follow.lease.renew(sent, as_of);
                follow.status.line_well(self.line.position());
                count(&follow.status.polls);
                if follow.shared.lease.is_some() {
                    follow.shared.looks.succeeded(look);
                }
                // Somebody may wait to hear of what has just been applied.
                let heard = self.reported.as_ref().is_some_and(|r| r.position == self.line.position());
                self.asked_to_report &= !heard;
                Ok(if self.asked_to_report { Polled::Again } else { Polled::Current })
            }
        }
    }

    /// What is to be written into the roll with this poll.
    fn due_report(&self, now: Duration, wall: UnixMillis) -> Option<Report> {
        let position = self.line.position();
        let old = now.saturating_sub(self.reported_at) >= REPORT_EVERY;
        (self.reported.is_none() || self.asked_to_report || old).then(|| Report {
            node: self.follow.node.clone(),
            position,
            applied_at: wall,
            lease_millis: u64::try_from(self.follow.lease.length().as_millis()).unwrap_or(u64::MAX),
            missing: self.missing.clone(),
            told: self.follow.shared.tells(),
        })
    }

    fn note(&self, answer: &Answer) {
        let status = &self.follow.status;
        let generation = answer.ledger.as_ref().map_or(0, |ledger| ledger.generation);
        status.generation.store(generation, std::sync::atomic::Ordering::Relaxed);
        status.blessed.store(answer.blessed, std::sync::atomic::Ordering::Relaxed);
    }

    /// Puts entries into force. False when one cannot be read: then nothing after it counts, and of those before
    /// it only what takes access away or gives it back.
    fn apply(&mut self, answer: &Answer) -> bool {
        if !self.applies() {
            return true;
        }
        let mut items = Vec::with_capacity(answer.entries.len());
        for entry in &answer.entries {
            let Ok(item) = unpack(&entry.packed) else {
                self.unreadable(&format!("entry {}", entry.id));
                // All of them come again: of records that would be added up.
                items.retain(|item| matches!(item, Item::Target(_)));
                self.taking.take(&self.follow.shared, items);
                return false;
            };
            items.push(item);
        }
        self.taking.take(&self.follow.shared, items);
        true
    }

    /// Where the directory itself is followed, nothing is taken from Redis: it only shows that what
    /// goes out arrives.
    fn applies(&self) -> bool {
        self.follow.shared.lease.is_some()
    }

    /// Forgets sessions and tokens that are too old to matter, as the directory does. It cannot tell
    /// this node of it: what it forgot is just not in the next snapshot.
    fn forget(&mut self) {
        if !self.applies() {
            return;
        }
        let shared = &self.follow.shared;
        let (now, beat) = (shared.time.clock(), shared.beats());
        let forgetting = self.forgetting.get_or_insert_with(|| Forgetting::new(shared.replica.newest()));
        let believed = forgetting.believes(now, beat);
        if !forgetting.is_due(beat) {
            return;
        }
        if believed {
            shared.replica.forget_passed(now.minus(shared.retention));
        }
        forgetting.done(beat);
    }

    fn unreadable(&self, what: &str) {
        self.follow.trouble(format!(
            "{what} in Redis at {} cannot be read: a later version of Doorward wrote it, or it is damaged; run \
             one version on all nodes",
            self.link.address
        ));
    }

    /// Reads the snapshot. What is known stays known; what comes is merged.
    async fn resync(&mut self, ledger: &Ledger, why: Break) -> Result<Polled, Trouble> {
        let follow = self.follow;
        count(&follow.status.resyncs);
        // Redis may have lost the roll, too: before there is a lease of this log, it says who has it.
        *self.reported = None;
        let entries = ledger.snapshot.entries;
        if why != Break::First {
            tracing::warn!(
                why = why.as_str(),
                entries,
                "the log of revocations is read anew; what is known stays in force"
            );
        }
        if !self.applies() {
            self.line.loaded(ledger);
            return Ok(Polled::Again);
        }
        let known = follow.shared.replica.len();
        let missing = usize::try_from(entries).unwrap_or(usize::MAX).saturating_sub(known);
        // No more than can be in so many pieces, whatever the log says of itself.
        let possible =
            usize::try_from(ledger.snapshot.chunks).unwrap_or(usize::MAX).saturating_mul(CHUNK_ENTRIES);
        follow.shared.replica.reserve(missing.min(possible).min(PRESIZE_MAX));
        let name = &ledger.snapshot.name;
        let begun = self.partly.take().filter(|partly| partly.name == *name);
        let Some(into) = self.taking.how(ledger, follow.has_directory) else {
            self.missing = Some(ledger.snapshot.name.clone());
            follow.trouble(format!(
                "Redis at {} lacks what this node knows of people already: the server went back to an earlier \
                 moment; a control node writes the log anew",
                self.link.address
            ));
            return Ok(Polled::Doubtful);
        };
        let mut partly = begun.unwrap_or_else(|| Partly { name: name.clone(), next: 0, read: 0, into });
        // A server that a whole fleet reads from is slow, and not gone.
        let mut patient = self.link.connection.clone();
        patient.set_response_timeout(PIECE_PATIENCE);
        while partly.next < ledger.snapshot.chunks {
            let key = follow.scripts.keys().chunk(name, partly.next);
            let chunk: Option<Vec<u8>> = match redis::cmd("GET").arg(&key).query_async(&mut patient).await {
                Ok(chunk) => chunk,
                Err(e) => {
                    *self.partly = Some(partly);
                    return Err(self.said(&e));
                }
            };
            // A newer snapshot may have taken its place: the next poll tells.
            let Some(chunk) = chunk else { return Ok(self.incomplete(ledger)) };
            let taken = unchunk(&chunk, |item| partly.into.take(&follow.shared, item));
            let Ok(count) = taken else {
                self.unreadable(&format!("piece {} of the snapshot", partly.next));
                return Ok(Polled::Doubtful);
            };
            partly.read += count;
            partly.next += 1;
        }
        if partly.read != entries {
            return Ok(self.incomplete(ledger));
        }
        self.taking.loaded(&follow.shared, partly.into);
        self.line.loaded(ledger);
        Ok(Polled::Again)
    }

    fn incomplete(&mut self, ledger: &Ledger) -> Polled {
        self.follow.trouble(format!(
            "the snapshot {} in Redis at {} is not whole; a control node replaces it",
            ledger.snapshot.name, self.link.address
        ));
        self.missing = Some(ledger.snapshot.name.clone());
        *self.reported = None;
        Polled::Doubtful
    }

    /// Waits for the time of the next poll, and applies what is pushed meanwhile.
    async fn wait(&mut self, sent: Duration) -> Result<(), End> {
        let follow = self.follow;
        let period = follow.config.poll().mul_f64(0.9 + 0.2 * jitter());
        let passed = follow.lease.now().saturating_sub(sent);
        let mut next = std::pin::pin!(tokio::time::sleep(period.saturating_sub(passed)));
        loop {
            tokio::select! {
                () = &mut next => return Ok(()),
                () = follow.wanted.notified() => return Ok(()),
                pushed = self.link.pushes.recv() => match pushed {
                    None | Some(Pushed::Disconnected) => {
                        let server = self.link.address.clone();
                        let why = "the connection was closed".to_owned();
                        return Err(Trouble::Unreachable { server, why }.into());
                    }
                    Some(Pushed::Message(push)) => if self.take(push) {
                        tokio::time::sleep(POLL_PAUSE_MIN).await;
                        return Ok(());
                    },
                },
            }
        }
    }

    /// Takes what was pushed. True when there is something to poll for.
    fn take(&mut self, push: Push) -> bool {
        let (epoch, entry) = match push {
            Push::Look => return true,
            Push::Report => {
                self.asked_to_report = true;
                return true;
            }
            Push::Entry(epoch, entry) => (epoch, entry),
        };
        // Read before the position moves: what cannot be read is not applied.
        let Ok(item) = unpack(&entry.packed) else { return true };
        match self.line.pushed(epoch, &entry) {
            Fits::Known => false,
            Fits::Poll => true,
            Fits::Next => {
                count(&self.follow.status.pushes);
                if self.applies() {
                    self.taking.take(&self.follow.shared, [item]);
                }
                false
            }
        }
    }
}

/// Room is made for so many targets at once; beyond it the map grows as it fills.
const PRESIZE_MAX: usize = 16_000_000;
/// A piece of a snapshot has hardly more.
const CHUNK_ENTRIES: usize = 4096;

fn told(doubt: Doubt, server: &str) -> String {
    match doubt {
        Doubt::NoLog => format!("Redis at {server} has no log of revocations; a control node writes it"),
        Doubt::NotBlessed => {
            format!(
                "no control node has compared Redis at {server} with the directory since it started or took over"
            )
        }
        Doubt::Alone => format!(
            "too few replicas follow Redis at {server} (revocation.redis.replicas_min): another primary may have \
             taken over"
        ),
        Doubt::Cut => {
            format!("entries are missing in the log of Redis at {server}; a control node writes it anew")
        }
    }
}

/// Between 0 and 1, another for each node and each time.
pub(crate) fn jitter() -> f64 {
    let mut byte = [0; 2];
    // Without randomness there is no jitter, and everything else goes on.
    let _none = aws_lc_rs::rand::fill(&mut byte);
    f64::from(u16::from_be_bytes(byte)) / f64::from(u16::MAX)
}
