//! From a folder to a bundle: read, parse, validate, try, run the cases.
//!
//! ```text
//!  source ─► shape ─► compile ─► probe ─► known ─► index ─► cases ─► PolicyBundle
//!  bytes     depth    schema     words,   names    slices   expected
//!                     levels     stack                      decisions
//! ```
//!
//! Cedar's parser, its validator, and even the destructor of what they build call themselves once
//! for each level of a policy. All of it happens on a thread of its own with a large stack, and
//! everything that is refused is dropped there.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use doorward_model::UnixMillis;
use doorward_model::limits::{POLICY_LOAD_STACK_BYTES, POLICY_PROBE_STACK_BYTES};

use crate::bundle::PolicyBundle;
use crate::compile::FINDINGS_SOUGHT_MAX;
use crate::failure::{Finding, LoadFailure, tidy};
use crate::known::{self, Known};
use crate::revision::Revision;
use crate::source::Folder;
use crate::vocabulary::Vocabulary;
use crate::{cases, compile, probe, source};

/// How long a folder must hold the same before that is put in force.
const SETTLED: Duration = Duration::from_millis(100);
/// How often a folder that changes is read before it is given up.
const READS_MAX: usize = 5;

/// A bundle, and what could be better in it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) bundle: PolicyBundle,
    pub(crate) cases: usize,
    pub(crate) hints: Vec<Finding>,
}

/// What `doorward policy check` reports about a folder without mistakes.
#[derive(Debug)]
pub struct CheckReport {
    /// How many policies.
    pub policies: usize,
    /// How many cases held.
    pub cases: usize,
    /// The revision that these files would have.
    pub revision: Revision,
    /// What could be better.
    pub hints: Vec<Finding>,
}

impl CheckReport {
    /// One line for each hint, `file:line:column: message`, and one for its help.
    #[must_use]
    pub fn plain(&self) -> String {
        crate::failure::plain(&self.hints)
    }
}

/// Checks a folder as loading it would.
///
/// # Errors
/// Every mistake in it, at once.
pub fn check(dir: &Path, known: Option<&Known>) -> Result<CheckReport, LoadFailure> {
    let loaded = load(dir, known, UnixMillis(0))?;
    Ok(CheckReport {
        policies: loaded.bundle.policies(),
        cases: loaded.cases,
        revision: loaded.bundle.revision(),
        hints: loaded.hints,
    })
}

/// Loads a folder.
pub(crate) fn load(dir: &Path, known: Option<&Known>, now: UnixMillis) -> Result<Loaded, LoadFailure> {
    load_unless(dir, known, now, None)?
        .ok_or_else(|| LoadFailure::new(dir, vec![Finding::new("the folder was not read")]))
}

/// Loads a folder, unless it holds the revision that is there already.
pub(crate) fn load_unless(
    dir: &Path,
    known: Option<&Known>,
    now: UnixMillis,
    have: Option<Revision>,
) -> Result<Option<Loaded>, LoadFailure> {
    let work = || Ok(take_apart(dir, known, now, have)?.map(Parts::together));
    on_stack("policy-load", POLICY_LOAD_STACK_BYTES, work)
        .unwrap_or_else(|e| Err(LoadFailure::new(dir, vec![Finding::new(e)])))
}

/// A folder that passed every check, and what it was made of.
pub(crate) struct Parts {
    pub(crate) bundle: PolicyBundle,
    pub(crate) policies: Vec<compile::Compiled>,
    pub(crate) cases: cases::Cases,
    pub(crate) hints: Vec<Finding>,
}

impl Parts {
    fn together(self) -> Loaded {
        Loaded { bundle: self.bundle, cases: self.cases.len(), hints: self.hints }
    }
}

/// Loads a folder and keeps what it is made of.
pub(crate) fn load_parts(dir: &Path, known: Option<&Known>, now: UnixMillis) -> Result<Parts, LoadFailure> {
    let work = || take_apart(dir, known, now, None);
    on_stack("policy-load", POLICY_LOAD_STACK_BYTES, work)
        .unwrap_or_else(|e| Err(LoadFailure::new(dir, vec![Finding::new(e)])))?
        .ok_or_else(|| LoadFailure::new(dir, vec![Finding::new("the folder was not read")]))
}

fn take_apart(
    dir: &Path,
    known: Option<&Known>,
    now: UnixMillis,
    have: Option<Revision>,
) -> Result<Option<Parts>, LoadFailure> {
    Load { dir: dir.to_owned(), findings: Vec::new(), hints: Vec::new() }.run(known, now, have)
}

/// Loads a folder anew, unless it holds the revision that is there already: what it holds when it
/// has stopped changing. A folder that is being written holds guardrails that are not there yet.
pub(crate) fn load_settled(
    dir: &Path,
    known: Option<&Known>,
    now: UnixMillis,
    have: Revision,
) -> Result<Option<Loaded>, LoadFailure> {
    for _ in 0..READS_MAX {
        let Some(loaded) = load_unless(dir, known, now, Some(have))? else { return Ok(None) };
        thread::sleep(SETTLED);
        if source::revision(dir) == Some(loaded.bundle.revision()) {
            return Ok(Some(loaded));
        }
    }
    let changing = Finding::new("the folder changes while it is read");
    let help = "write the files beside it and put them in place in one step; then load again";
    Err(LoadFailure::new(dir, vec![changing.help(help)]))
}

/// Runs `work` on a stack of its own. A panic in there stays in there.
pub(crate) fn on_stack<T: Send>(
    name: &str,
    bytes: usize,
    work: impl FnOnce() -> T + Send,
) -> Result<T, String> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name(name.to_owned()).stack_size(bytes);
        let thread =
            builder.spawn_scoped(scope, work).map_err(|e| format!("no thread to check policies: {e}"))?;
        thread
            .join()
            .map_err(|_| "the check of the policies failed; this is a mistake in Doorward".to_owned())
    })
}

struct Load {
    dir: PathBuf,
    findings: Vec<Finding>,
    hints: Vec<Finding>,
}

impl Load {
    fn run(
        mut self,
        known: Option<&Known>,
        now: UnixMillis,
        have: Option<Revision>,
    ) -> Result<Option<Parts>, LoadFailure> {
        let folder = source::read(&self.dir, &mut self.findings);
        if have == Some(folder.revision) && self.findings.is_empty() {
            return Ok(None);
        }
        let words = self.vocabulary(&folder);
        let policies = self.policies(&folder, words.as_ref(), known);
        let cases = cases::read(&folder.cases, known, &mut self.findings);
        let Some(words) = words.filter(|_| self.findings.is_empty()) else {
            return Err(LoadFailure::new(self.dir, self.findings));
        };
        let all = policies.iter().map(|c| c.policy.clone()).collect();
        let bundle = PolicyBundle::new(words, all, folder.revision, now);
        cases.run(&bundle, &mut self.findings);
        if !self.findings.is_empty() {
            return Err(LoadFailure::new(self.dir, self.findings));
        }
        if cases.is_empty() {
            let hint = Finding::new("there are no cases").hint();
            self.hints.push(hint.help("write down in `cases/` what must be allowed and what must not"));
        }
        tidy(&mut self.hints);
        Ok(Some(Parts { bundle, policies, cases, hints: self.hints }))
    }

    fn vocabulary(&mut self, folder: &Folder) -> Option<Vocabulary> {
        let Some(file) = &folder.schema else {
            let missing = Finding::new(format!("there is no `{}`", source::SCHEMA));
            self.findings.push(
                missing.help("copy the one that comes with Doorward; it holds the words of the policies"),
            );
            return None;
        };
        let schema = compile::schema(file, &mut self.findings)?;
        let help = "the schema is a contract with the gateway: start from the one that comes with Doorward";
        let mut wrong = |e: String| self.findings.push(Finding::new(e).at(file, None).help(help));
        let words = match Vocabulary::new(schema, &file.text) {
            Ok(words) => words,
            Err(e) => {
                wrong(e);
                return None;
            }
        };
        probe::words(&words, &file.text).into_iter().for_each(wrong);
        Some(words)
    }

    fn policies(
        &mut self,
        folder: &Folder,
        words: Option<&Vocabulary>,
        known: Option<&Known>,
    ) -> Vec<compile::Compiled> {
        let (findings, hints) = (&mut self.findings, &mut self.hints);
        if folder.policies.is_empty() && findings.is_empty() {
            let none = Finding::new("there is no policy here, so nobody could be let in");
            findings.push(none.help("policies are in files that end in `.cedar`"));
        }
        let read = folder.policies.iter().flat_map(|f| compile::policies(f, findings, hints)).collect();
        let policies = compile::unique(read, findings);
        let Some(words) = words else { return policies };
        compile::validate(&words.schema, &policies, findings);
        // Nobody reads what else is wrong in a file of nothing but mistakes.
        if findings.len() <= FINDINGS_SOUGHT_MAX {
            known::near_misses(words, &policies, hints);
            known::people(words, &policies, known, findings);
            if let Some(known) = known {
                known.check(words, &policies, findings);
            }
        }
        // What is not valid may fail in many ways: it is tried only when it could be put in force.
        if findings.is_empty() {
            let tried = on_stack("policy-probe", POLICY_PROBE_STACK_BYTES, || {
                let mut found = Vec::new();
                probe::policies(words, &policies, &mut found);
                found
            });
            findings.extend(tried.unwrap_or_else(|e| vec![Finding::new(e)]));
        }
        policies
    }
}
