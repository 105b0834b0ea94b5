//! Recorded decisions, decided once more by other policies.
//!
//! The audit log has with each decision what the policies saw. So the requests of last week can be put to a
//! candidate, and what comes out can be compared with what came out then: who would be refused tomorrow who was
//! not last week?
//!
//! ```text
//!   files of the log        pieces of lines           a worker for each core
//!  ┌────────────────┐      (a bounded queue)     line ─► record ─► decided before? ─► yes ─┐
//!  │ one after the  ├───► ▒▒▒ ▒▒▒ ▒▒▒ ▒▒▒ ────►                       │ no               ├─► counts
//!  │ other          │                                                 ▼                  │
//!  └────────────────┘                                        PolicyBundle::decide ───────┘
//! ```
//!
//! What holds:
//! * Each decision is the one of [`PolicyBundle::decide`] about exactly what was seen. What a thread remembers is
//!   compared by all that the policies read; a property test asks about every record anew, and each replay about some.
//! * What cannot be decided again is counted and never guessed.
//! * Memory does not grow with the log: the queue, what is remembered and what is told apart have bounds.
//! * A damaged line is counted and named, and ends nothing.

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use doorward_audit::files::{self, LogFile};
use doorward_model::limits::POLICY_LOAD_STACK_BYTES;
use doorward_model::{AppId, UnixMillis};
use doorward_policy::PolicyBundle;
use doorward_policy::record::{Reader, Unreadable};

mod cases;
mod line;
mod log;
mod memo;
mod reads;
mod report;
mod tally;

pub use self::cases::{WrittenCases, words, write_cases};
use self::line::Line;
use self::log::Piece;
use self::memo::Decider;
pub use self::report::{
    ByRevision, Change, Damaged, Difference, Example, PersonKind, Report, Said, Undecided,
};
use self::tally::{Again, Tally};

/// How many pieces wait for each thread.
const PIECES_WAITING_MAX: usize = 2;
/// How much later than its last event a file may have been written: events tell when something happened.
const WRITTEN_LATER_MILLIS: i64 = 60_000;

/// What is to be decided once more, and by which policies.
#[derive(Clone, Copy, Debug)]
pub struct Replay<'a> {
    /// The folder with the log.
    pub dir: &'a Path,
    /// From when on.
    pub since: UnixMillis,
    /// Up to when, without it.
    pub until: Option<UnixMillis>,
    /// The policies that decide.
    pub candidate: &'a PolicyBundle,
    /// Other policies to compare with, instead of what was recorded.
    pub baseline: Option<&'a PolicyBundle>,
    /// Requests for this app only.
    pub app: Option<&'a AppId>,
    /// Requests of these people only.
    pub kind: Option<PersonKind>,
    /// How many threads decide.
    pub threads: NonZeroUsize,
    /// Whether what the policies saw is kept with the examples, to write cases of them.
    pub keep_situations: bool,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How much is to be read, in bytes.
    pub bytes_total: u64,
    /// How much was.
    pub bytes: u64,
    /// How many decisions were made again.
    pub decided: u64,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The folder cannot be read.
    #[error("the audit log in `{path}` cannot be read: {cause}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A file cannot be read.
    #[error("the audit file `{path}` cannot be read: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// No thread can be started.
    #[error("no thread can be started: {0}")]
    Thread(io::Error),
}

impl Replay<'_> {
    /// Does it. `progress` is told from time to time how far it is.
    ///
    /// # Errors
    /// When the log cannot be read. Lines of it that cannot are in the report.
    pub fn run(&self, mut progress: impl FnMut(Progress)) -> Result<Report, ReplayError> {
        let report = self.once(true, &mut progress)?;
        if report.mistaken == 0 {
            return Ok(report);
        }
        // Something was remembered that is not so. Slower, and certain:
        Ok(Report { mistaken: report.mistaken, ..self.once(false, &mut progress)? })
    }

    /// `remembers`: false to put every record to the bundle.
    fn once(&self, remembers: bool, progress: &mut impl FnMut(Progress)) -> Result<Report, ReplayError> {
        let folder = |cause| ReplayError::Folder { path: self.dir.to_owned(), cause };
        let listed = files::list(self.dir).map_err(folder)?;
        let is_of_then = |file: &LogFile| file.written.0.saturating_add(WRITTEN_LATER_MILLIS) >= self.since.0;
        let wanted: Vec<LogFile> = listed.files.into_iter().filter(is_of_then).collect();
        let names: Vec<String> = wanted.iter().map(|file| log::name(&file.path)).collect();
        let bytes_total = wanted.iter().map(|file| file.bytes).sum();
        let decided = AtomicU64::new(0);
        let (mut bytes, mut unfinished, mut files_read) = (0_u64, 0, 0);
        let (give, take) = sync_channel::<Piece>(self.threads.get() * PIECES_WAITING_MAX);
        // Only workers hold it: if ever all of them end early, nobody waits for them with a piece in hand.
        let take = Arc::new(Mutex::new(take));
        let tally = std::thread::scope(|scope| {
            // Dropped at the end of this, however it ends: then the workers end, too.
            let give = give;
            let mut workers = Vec::new();
            for n in 0..self.threads.get() {
                let (take, names, decided) = (Arc::clone(&take), &names, &decided);
                let work = move || self.work(&take, names, decided, remembers);
                let builder = std::thread::Builder::new().name(format!("replay-{n}"));
                // What a policy reads is found on a stack on which policies are read.
                let worker = builder.stack_size(POLICY_LOAD_STACK_BYTES).spawn_scoped(scope, work);
                workers.push(worker.map_err(ReplayError::Thread)?);
            }
            drop(take);
            for (n, file) in wanted.iter().enumerate() {
                let tail = log::read(n, file, |piece| {
                    bytes += piece.text.len() as u64;
                    let goes_on = give.send(piece).is_ok();
                    progress(Progress { bytes_total, bytes, decided: decided.load(Ordering::Relaxed) });
                    goes_on
                });
                let tail = tail.map_err(|cause| ReplayError::File { path: file.path.clone(), cause })?;
                files_read += u64::from(tail.is_some());
                unfinished += u64::from(tail.is_some_and(|tail| tail.bytes > 0));
            }
            drop(give);
            let mut all = Tally::default();
            for worker in workers {
                let died = |_| ReplayError::Thread(io::Error::other("a thread ended unexpectedly"));
                all.join(worker.join().map_err(died)?);
            }
            Ok(all)
        })?;
        progress(Progress { bytes_total, bytes, decided: decided.load(Ordering::Relaxed) });
        let report = tally.finish();
        Ok(Report { files: files_read, packed: listed.packed, bytes, unfinished, ..report })
    }

    /// One thread: takes pieces until there are no more.
    fn work(
        &self,
        pieces: &Mutex<Receiver<Piece>>,
        names: &[String],
        decided: &AtomicU64,
        remembers: bool,
    ) -> Tally {
        let mut worker = Worker {
            task: self,
            reader: Reader::default(),
            candidate: Decider::new(self.candidate, remembers),
            baseline: self.baseline.map(|baseline| Decider::new(baseline, remembers)),
            tally: Tally::default(),
        };
        loop {
            let next = pieces.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(piece) = next else { break };
            let before = worker.tally.report.decided;
            let file = names.get(piece.file).map_or("", String::as_str);
            for (line, number) in log::lines(&piece.text).zip(piece.line..) {
                worker.line(line, file, number);
            }
            decided.fetch_add(worker.tally.report.decided - before, Ordering::Relaxed);
        }
        let Worker { candidate, baseline, mut tally, .. } = worker;
        tally.report.asked = candidate.asked;
        tally.report.controlled = candidate.controlled;
        tally.report.mistaken = candidate.mistaken + baseline.map_or(0, |baseline| baseline.mistaken);
        tally
    }
}

/// What one thread has.
struct Worker<'a> {
    task: &'a Replay<'a>,
    reader: Reader,
    candidate: Decider<'a>,
    baseline: Option<Decider<'a>>,
    tally: Tally,
}

impl Worker<'_> {
    fn line(&mut self, line: &[u8], file: &str, number: u64) {
        self.tally.report.lines += 1;
        let read = std::str::from_utf8(line).map_err(|e| e.to_string());
        match read.and_then(|text| serde_json::from_str::<Line<'_>>(text).map_err(|e| e.to_string())) {
            Ok(line) => match line.excess() {
                None => self.event(&line),
                Some(why) => self.tally.damaged(file, number, || why.to_owned()),
            },
            Err(why) => self.tally.damaged(file, number, || why),
        }
    }

    fn event(&mut self, line: &Line<'_>) {
        let time = UnixMillis(line.time);
        let is_of_then = time >= self.task.since && self.task.until.is_none_or(|until| time < until);
        if is_of_then {
            // Of which apps and of whom nobody knows.
            let lost = &mut self.tally.report.lost;
            *lost = lost.saturating_add(line.lost());
        }
        let app = self.task.app.map(AppId::as_str);
        if !line.is_decision() || !is_of_then || app.is_some_and(|app| line.app() != Some(app)) {
            return;
        }
        self.request(line, time);
    }

    fn request(&mut self, line: &Line<'_>, time: UnixMillis) {
        let report = &mut self.tally.report;
        report.requests += 1;
        let Some(answer) = line.answer() else {
            if line.was_let_in() {
                report.undecided.unreadable += 1;
            } else {
                report.undecided.not_asked += 1;
            }
            return;
        };
        let Some(situation) = line.situation() else {
            report.undecided.not_recorded += 1;
            return;
        };
        let record = match self.reader.read(situation) {
            Ok(record) => record,
            Err(Unreadable::TooLarge(_)) => {
                report.undecided.too_large += 1;
                return;
            }
            Err(Unreadable::Version(_)) => {
                report.undecided.other_version += 1;
                return;
            }
            Err(Unreadable::Malformed(_)) => {
                report.undecided.unreadable += 1;
                return;
            }
        };
        if self.task.kind.is_some_and(|kind| kind != PersonKind::of(&record.who.value.0)) {
            report.requests -= 1;
            return;
        }
        let after = self.candidate.decide(&record);
        let before = match &mut self.baseline {
            None => (!tally::is_same(&answer, &after)).then(|| Said::recorded(&answer)),
            Some(baseline) => {
                let before = baseline.decide(&record);
                (before != after).then(|| Said::now(&before))
            }
        };
        let again = Again {
            time,
            request_id: line.request_id(),
            record: &record,
            situation: Some(situation).filter(|_| self.task.keep_situations),
            revision: answer.revision,
        };
        self.tally.decided(&again, before, &after);
    }
}

#[cfg(test)]
mod tests;
