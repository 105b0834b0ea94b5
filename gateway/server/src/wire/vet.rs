//! Tries policies in a process of its own before this one parses a byte of them.
//!
//! ```text
//!  gateway ── names of the configuration ──► doorward policy vet --dir DIR    (its own executable)
//!     ▲                                        loads the folder as the gateway would,
//!     ╰──────── the revision that it saw ◄──── bounded in time and in memory
//! ```
//!
//! Loading is guarded as it is: shape before parsing, a stack of its own, a panic that stays where it is. But
//! nothing in a process can catch an abort, and one that nobody thought of would end the gateway. So the child
//! goes first. If it comes to its end, these bytes are safe to load, and the gateway loads them itself: fit or
//! not, the findings are its own, with their places. If the child dies or does not answer, the folder is
//! rejected and what was in force stays.

use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use doorward_model::limits::{POLICY_VET_SAID_BYTES_MAX, POLICY_VET_SECONDS_MAX};
use doorward_policy::{Finding, Known, LoadFailure, Revision, Rule, Vet};

use crate::clock::Stopwatch;

/// How often is looked whether a process that is silent has ended.
const LOOK: Duration = Duration::from_millis(5);

/// The executable of this process, also when its file was replaced or removed since.
const MYSELF: &str = "/proc/self/exe";

/// How policies are tried while the gateway runs.
pub(super) fn vet() -> Box<Vet> {
    Box::new(|dir, known| {
        let trial = Trial {
            program: MYSELF,
            arguments: &["policy", "vet", "--dir"],
            bound: Duration::from_secs(POLICY_VET_SECONDS_MAX),
        };
        trial.run(dir, known).map_err(|why| rejection(dir, &why))
    })
}

fn rejection(dir: &Path, why: &str) -> LoadFailure {
    let message = format!("the process that tries the policies {why}");
    let help = "nothing of it was loaded. Try `doorward policy check` on the folder, and take back the last \
                change; it is a mistake in Doorward, too: please tell us";
    LoadFailure::told(dir, vec![Finding::told(Rule::NotVetted, message, Some(help.to_owned()), None, None)])
}

/// One trial.
struct Trial<'a> {
    program: &'a str,
    /// What stands before the folder.
    arguments: &'a [&'a str],
    bound: Duration,
}

impl Trial<'_> {
    /// The revision of what the process saw; or what became of it.
    fn run(&self, dir: &Path, known: Option<&Known>) -> Result<Revision, String> {
        let names = known.map(Known::told).transpose()?.unwrap_or_default();
        // A relative folder means the same there: the folder of work is inherited. The environment is not,
        // because secrets may stand in it.
        let child = Command::new(self.program)
            .args(self.arguments)
            .arg(dir)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.map_err(|e| format!("cannot be started: {e}"))?;
        let watch = Stopwatch::start();
        let over = self.listen(&mut child, names).and_then(|said| Ok((said, self.wait(&mut child, &watch)?)));
        if over.is_err() {
            // Whatever it does, nothing of it is left.
            let _ = child.kill().and_then(|()| child.wait());
        }
        let (said, status) = over?;
        let revision = said.strip_suffix('\n').and_then(Revision::from_hex);
        match (status.success(), revision) {
            (true, Some(revision)) => Ok(revision),
            (true, None) => Err("answered something else than a revision".to_owned()),
            (false, _) => Err(ended(status)),
        }
    }

    /// Waits until a process that has said all has ended. One that closed its output may live on.
    fn wait(&self, child: &mut Child, watch: &Stopwatch) -> Result<ExitStatus, String> {
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if watch.elapsed() < self.bound => thread::sleep(LOOK),
                Ok(None) => {
                    let seconds = self.bound.as_secs();
                    return Err(format!("answered, but has not ended for {seconds} seconds and was ended"));
                }
                Err(e) => return Err(format!("cannot be waited for: {e}")),
            }
        }
    }

    /// What the process says until it is silent.
    fn listen(&self, child: &mut Child, names: String) -> Result<String, String> {
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("cannot be spoken to".to_owned());
        };
        // Both on threads of their own: a process that stands still neither reads nor writes. When it is
        // killed they come to their end. One that does not read is told nothing, and that is its matter.
        thread::spawn(move || {
            let _ = stdin.write_all(names.as_bytes());
        });
        let (tell, told) = channel();
        thread::spawn(move || {
            let mut said = Vec::new();
            let read = stdout.take(POLICY_VET_SAID_BYTES_MAX).read_to_end(&mut said);
            let _ = tell.send(read.map(|_| said));
        });
        match told.recv_timeout(self.bound) {
            Ok(Ok(said)) => String::from_utf8(said).map_err(|_| "answered no text".to_owned()),
            Ok(Err(e)) => Err(format!("cannot be read from: {e}")),
            Err(RecvTimeoutError::Timeout) => {
                Err(format!("has not answered for {} seconds and was ended", self.bound.as_secs()))
            }
            Err(RecvTimeoutError::Disconnected) => Err("cannot be listened to".to_owned()),
        }
    }
}

fn ended(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was ended by signal {signal}"),
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell in place of the process; the folder is its `$0`.
    fn trial(script: &str, bound: Duration) -> Result<Revision, String> {
        let arguments = ["-c", script];
        let trial = Trial { program: "/bin/sh", arguments: &arguments, bound };
        trial.run(Path::new("/somewhere"), Some(&Known::default()))
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_process_that_comes_to_its_end_is_believed() {
        let revision = Revision::of([("a", &b"b"[..])]);
        let said = trial(&format!("read names; [ \"$0\" = /somewhere ] && echo {revision}"), LONG);
        assert_eq!(said, Ok(revision));
    }

    #[test]
    fn a_process_that_dies_is_a_rejection_that_says_so() {
        for (script, expect) in [
            ("kill -SEGV $$", "was ended by signal 11"),
            ("kill -ABRT $$", "was ended by signal 6"),
            ("kill -KILL $$", "was ended by signal 9"),
            ("exit 101", "ended with exit code 101"),
            ("echo nonsense", "answered something else than a revision"),
            (":", "answered something else than a revision"),
            ("printf '\\377\\n'", "answered no text"),
        ] {
            assert_eq!(trial(script, LONG), Err(expect.to_owned()), "{script}");
        }
        // What it had said before it died does not count.
        let revision = Revision::of([]);
        let died = trial(&format!("echo {revision}; kill -SEGV $$"), LONG);
        assert_eq!(died, Err("was ended by signal 11".to_owned()));
    }

    #[test]
    fn a_process_that_stands_still_or_never_stops_talking_is_ended() {
        let still = trial("exec sleep 600", Duration::from_millis(200)).unwrap_err();
        assert!(still.starts_with("has not answered for 0 seconds"), "{still}");
        let deaf = trial("exec sleep 600 < /dev/null", Duration::from_millis(200)).unwrap_err();
        assert!(deaf.starts_with("has not answered"), "{deaf}");
        // One that closes its output and lives on is no better.
        let quiet = format!("echo {}; exec sleep 600 >&-", Revision::of([]));
        let lingers = trial(&quiet, Duration::from_millis(200)).unwrap_err();
        assert!(lingers.starts_with("answered, but has not ended for 0 seconds"), "{lingers}");
        // It is cut off when it has said too much, and dies of the closed pipe.
        let talks = trial("exec yes", LONG).unwrap_err();
        assert!(talks.contains("signal 13"), "{talks}");
    }

    #[test]
    fn a_program_that_is_not_there_is_a_rejection() {
        let trial = Trial { program: "/nowhere/doorward", arguments: &[], bound: LONG };
        let why = trial.run(Path::new("/somewhere"), None).unwrap_err();
        assert!(why.starts_with("cannot be started: "), "{why}");
        let failure = rejection(Path::new("/p"), &why);
        assert_eq!(failure.findings.len(), 1);
        assert_eq!(failure.findings[0].rule(), Rule::NotVetted);
        assert!(failure.plain().starts_with("the process that tries the policies cannot be started"));
    }
}
