//! Says when files have changed: policies, GeoIP databases, certificates.
//!
//! The system's events (inotify) are hints only, the *fingerprint* decides: after a hint and a
//! short silence, every file is looked at, and whoever asked about one that differs is called.
//! So it does not matter how a file is replaced: written in place, by an editor that renames, or
//! by a symbolic link that moves, as a Kubernetes `ConfigMap` does. A missed event costs time, not
//! the change: without any hint, files are looked at every minute; where the system gives no
//! events, every two seconds, and the log says so.
//!
//! ```text
//!  inotify ─ hint ─╮
//!                  ├─▶ silence of 200 ms ─▶ fingerprints ─▶ differs? ─▶ at rest? ─▶ changed()
//!  clock ──────────╯
//! ```
//!
//! Half of a folder is worse than a late one: files that differ are told only when they have
//! looked the same for 200 ms, or after half a minute.

mod fingerprint;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::clock::Stopwatch;
use fingerprint::Fingerprint;

/// Files are looked at when nothing has happened for this long.
const SILENCE: Duration = Duration::from_millis(200);
/// Or after this long, if it never gets silent: what happens may be about other files.
const SILENCE_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long files that keep changing are waited for before they are told of all the same. Whoever is
/// told has to see for himself whether they are whole.
const REST_WAIT_MAX: Duration = Duration::from_secs(30);
/// How often files are looked at without a hint, where the system gives hints.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How often files are looked at where it gives none.
const POLL_EVERY: Duration = Duration::from_secs(2);

/// Some files, and what to do when one of them changes.
pub struct Watched {
    /// What they are, for the log.
    pub name: &'static str,
    /// Files, or folders with everything below them.
    pub paths: Vec<PathBuf>,
    /// What to do. Called from the watching thread, once for each burst of changes.
    pub changed: Box<dyn FnMut() + Send>,
}

/// How changes are noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The system tells.
    Events,
    /// By looking every two seconds, because the system does not tell.
    Polling {
        /// Why not.
        cause: String,
    },
}

/// A watch that runs until this is dropped.
pub struct Watching {
    mode: Mode,
    hints: SyncSender<Hint>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Something may have changed, or the watch is to end.
struct Hint;

/// Starts to watch. What the files look like now is the state that changes are measured from.
///
/// # Errors
/// When the system gives no thread.
pub fn start(watched: Vec<Watched>) -> std::io::Result<Watching> {
    start_with(watched, POLL_EVERY, system_watcher)
}

fn start_with(
    watched: Vec<Watched>,
    poll_every: Duration,
    make_watcher: impl FnOnce(SyncSender<Hint>) -> notify::Result<RecommendedWatcher>,
) -> std::io::Result<Watching> {
    // One hint that waits is as good as a thousand, so the sender never blocks on a full queue.
    let (hints, inbox) = sync_channel(1);
    let mut watcher = make_watcher(hints.clone());
    let mut subjects: Vec<Subject> = watched.into_iter().map(Subject::new).collect();
    if let Ok(w) = &mut watcher
        && let Err(e) = subjects.iter().try_for_each(|s| s.register(w))
    {
        watcher = Err(e);
    }
    let (mode, watcher) = match watcher {
        Ok(watcher) => (Mode::Events, Some(watcher)),
        Err(e) => {
            tracing::warn!(
                cause = %e,
                seconds = poll_every.as_secs(),
                "the system does not tell about changed files; looking at them again and again instead"
            );
            (Mode::Polling { cause: e.to_string() }, None)
        }
    };
    let every = if watcher.is_some() { LOOK_EVERY } else { poll_every };
    let stop = Arc::new(AtomicBool::new(false));
    let told_to_stop = Arc::clone(&stop);
    let thread = std::thread::Builder::new()
        .name("doorward-watch".to_owned())
        .spawn(move || watch(&mut subjects, watcher, &inbox, every, &told_to_stop))?;
    Ok(Watching { mode, hints, stop, thread: Some(thread) })
}

fn system_watcher(hints: SyncSender<Hint>) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading a file is an event too, and looking at files would then never end.
        if !matches!(event, Ok(notify::Event { kind: notify::EventKind::Access(_), .. })) {
            // Full means that a hint waits already.
            let _ = hints.try_send(Hint);
        }
    })
}

fn watch(
    subjects: &mut [Subject],
    mut watcher: Option<RecommendedWatcher>,
    inbox: &Receiver<Hint>,
    every: Duration,
    stop: &AtomicBool,
) {
    loop {
        let silent = match inbox.recv_timeout(every) {
            Ok(Hint) => wait_for_silence(inbox, stop),
            // Nothing was told, and where nothing ever is that says nothing.
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        for subject in &mut *subjects {
            if stop.load(Ordering::Acquire) {
                return;
            }
            subject.look(silent, stop);
            if let Some(watcher) = &mut watcher
                && let Err(e) = subject.register(watcher)
            {
                tracing::warn!(what = subject.watched.name, cause = %e, "cannot be told of every change");
            }
        }
    }
}

/// Waits until no hint comes any more; says whether that came to be.
fn wait_for_silence(inbox: &Receiver<Hint>, stop: &AtomicBool) -> bool {
    let waited = Stopwatch::start();
    while !stop.load(Ordering::Acquire) && waited.elapsed() < SILENCE_WAIT_MAX {
        if inbox.recv_timeout(SILENCE).is_err() {
            return true;
        }
    }
    false
}

/// Watched files and what they looked like last.
struct Subject {
    watched: Watched,
    last: Vec<Fingerprint>,
}

impl Subject {
    fn new(watched: Watched) -> Self {
        let mut subject = Self { watched, last: Vec::new() };
        subject.last = subject.fingerprints();
        subject
    }

    fn fingerprints(&self) -> Vec<Fingerprint> {
        self.watched.paths.iter().map(|p| Fingerprint::of(p)).collect()
    }

    /// Tells of files that differ. `at_rest`: nothing has happened to any file for a while.
    fn look(&mut self, at_rest: bool, stop: &AtomicBool) {
        let mut now = self.fingerprints();
        if now == self.last {
            return;
        }
        if !at_rest {
            now = self.rested(now, stop);
        }
        self.last = now;
        tracing::debug!(what = self.watched.name, "files have changed");
        // One who fails must not take the watch of the others with it.
        if catch_unwind(AssertUnwindSafe(|| (self.watched.changed)())).is_err() {
            tracing::error!(
                what = self.watched.name,
                "loading the changed files panicked; the old ones stay"
            );
        }
    }

    /// What the files look like when they have looked the same for a while.
    fn rested(&self, mut now: Vec<Fingerprint>, stop: &AtomicBool) -> Vec<Fingerprint> {
        let waited = Stopwatch::start();
        while !stop.load(Ordering::Acquire) && waited.elapsed() < REST_WAIT_MAX {
            std::thread::sleep(SILENCE);
            let next = self.fingerprints();
            if next == now {
                return next;
            }
            now = next;
        }
        if !stop.load(Ordering::Acquire) {
            tracing::warn!(what = self.watched.name, "files keep changing; looking at them all the same");
        }
        now
    }

    /// Asks for events of every folder that the paths lead through. Asking twice does no harm,
    /// and asking again after each change follows folders that were replaced.
    fn register(&self, watcher: &mut RecommendedWatcher) -> notify::Result<()> {
        for path in &self.watched.paths {
            for folder in fingerprint::folders(path) {
                match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                    Ok(()) => {}
                    // Gone between looking and asking; whatever removed it is a change of its parent.
                    Err(_) if !folder.exists() => {}
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(())
    }
}

// === impl Watching ===

impl Watching {
    /// How changes are noticed.
    #[must_use]
    pub const fn mode(&self) -> &Mode {
        &self.mode
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Full means that a hint waits already, and wakes the thread as well as this one.
        let _ = self.hints.try_send(Hint);
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

/// The folder that holds a path; `.` for a bare name.
fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(p) if p.as_os_str().is_empty() => PathBuf::from("."),
        Some(p) => p.to_owned(),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;
