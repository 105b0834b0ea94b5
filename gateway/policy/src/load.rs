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

use cedar_policy::Schema;
use doorward_model::UnixMillis;
use doorward_model::limits::{POLICY_LOAD_STACK_BYTES, POLICY_PROBE_STACK_BYTES};

use crate::bundle::PolicyBundle;
use crate::compile::FINDINGS_SOUGHT_MAX;
use crate::failure::{Finding, LoadFailure, tidy};
use crate::known::{self, Known};
use crate::lines::RedLine;
use crate::revision::Revision;
use crate::rule::{self, Rule};
use crate::source::Folder;
use crate::vocabulary::Vocabulary;
use crate::{cases, compile, lines, mode, probe, source};

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
    pub(crate) allowed: usize,
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
    /// How many hints more there are of which a policy says by `@allow_lint` that they are meant.
    pub allowed: usize,
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
    let loaded = load(dir, known, UnixMillis(0), Wanted::default())?;
    Ok(CheckReport {
        policies: loaded.bundle.policies(),
        cases: loaded.cases,
        revision: loaded.bundle.revision(),
        hints: loaded.hints,
        allowed: loaded.allowed,
    })
}

/// Does with a folder all that loading it does, and tells of which revision it was, fit or not. It is for a
/// process that nobody misses: what a file can do to a process it does to this one.
///
/// # Errors
/// It could not be tried.
pub fn rehearse(dir: &Path, known: Option<&Known>) -> Result<Revision, LoadFailure> {
    let work = || {
        let mut load =
            Load { dir: dir.to_owned(), trial: Trial::Held, findings: Vec::new(), hints: Vec::new() };
        let folder = source::read(&load.dir, &mut load.findings);
        let read = load.read(&folder, known);
        drop(load.finish(read, UnixMillis(0)));
        folder.revision
    };
    on_stack("policy-rehearsal", POLICY_LOAD_STACK_BYTES, work)
        .map_err(|e| LoadFailure::new(dir, vec![Finding::new(e)]))
}

/// Which revision of a folder is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// Not this one, which is there already.
    pub(crate) have: Option<Revision>,
    /// This one only; another is not even parsed.
    pub(crate) only: Option<Revision>,
}

/// Loads a folder.
pub(crate) fn load(
    dir: &Path,
    known: Option<&Known>,
    now: UnixMillis,
    wanted: Wanted,
) -> Result<Loaded, LoadFailure> {
    load_unless(dir, known, now, wanted)?
        .ok_or_else(|| LoadFailure::new(dir, vec![Finding::new("the folder was not read")]))
}

/// Loads a folder, unless it holds the revision that is there already.
pub(crate) fn load_unless(
    dir: &Path,
    known: Option<&Known>,
    now: UnixMillis,
    wanted: Wanted,
) -> Result<Option<Loaded>, LoadFailure> {
    let work = || Ok(take_apart(dir, known, now, wanted, Trial::Held)?.map(Parts::together));
    on_stack("policy-load", POLICY_LOAD_STACK_BYTES, work)
        .unwrap_or_else(|e| Err(LoadFailure::new(dir, vec![Finding::new(e)])))
}

/// What is done with the cases of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trial {
    /// Each must hold.
    Held,
    /// They are read and not run.
    Left,
}

/// A folder that passed every check, and what it was made of.
pub(crate) struct Parts {
    pub(crate) bundle: PolicyBundle,
    pub(crate) policies: Vec<compile::Compiled>,
    pub(crate) lines: Vec<RedLine>,
    pub(crate) cases: cases::Cases,
    pub(crate) hints: Vec<Finding>,
    /// The hints that a policy says are meant.
    pub(crate) allowed: Vec<Finding>,
}

impl Parts {
    fn together(self) -> Loaded {
        let (cases, allowed) = (self.cases.len(), self.allowed.len());
        Loaded { bundle: self.bundle, cases, hints: self.hints, allowed }
    }
}

/// A folder that is not fit to be put in force, and what could be read of it.
pub(crate) struct Unfit {
    pub(crate) failure: LoadFailure,
    pub(crate) schema: Option<Schema>,
    pub(crate) policies: Vec<compile::Compiled>,
    pub(crate) cases: cases::Cases,
    pub(crate) hints: Vec<Finding>,
}

/// Loads a folder, keeps what could be read of it, and shows that to `look` on the stack on which policies
/// are read.
pub(crate) fn load_to_look<T: Send>(
    dir: &Path,
    known: Option<&Known>,
    now: UnixMillis,
    look: impl FnOnce(Result<Parts, Box<Unfit>>) -> T + Send,
) -> Result<T, LoadFailure> {
    let work = || {
        let mut load =
            Load { dir: dir.to_owned(), trial: Trial::Held, findings: Vec::new(), hints: Vec::new() };
        let folder = source::read(&load.dir, &mut load.findings);
        let read = load.read(&folder, known);
        look(load.finish(read, now))
    };
    on_stack("policy-look", POLICY_LOAD_STACK_BYTES, work)
        .map_err(|e| LoadFailure::new(dir, vec![Finding::new(e)]))
}

/// Loads a folder and keeps what it is made of.
pub(crate) fn load_parts(
    dir: &Path,
    known: Option<&Known>,
    now: UnixMillis,
    trial: Trial,
) -> Result<Parts, LoadFailure> {
    let work = || take_apart(dir, known, now, Wanted::default(), trial);
    on_stack("policy-load", POLICY_LOAD_STACK_BYTES, work)
        .unwrap_or_else(|e| Err(LoadFailure::new(dir, vec![Finding::new(e)])))?
        .ok_or_else(|| LoadFailure::new(dir, vec![Finding::new("the folder was not read")]))
}

fn take_apart(
    dir: &Path,
    known: Option<&Known>,
    now: UnixMillis,
    wanted: Wanted,
    trial: Trial,
) -> Result<Option<Parts>, LoadFailure> {
    Load { dir: dir.to_owned(), trial, findings: Vec::new(), hints: Vec::new() }.run(known, now, wanted)
}

/// Loads a folder anew, unless it holds the revision that is there already: what it holds when it
/// has stopped changing. A folder that is being written holds guardrails that are not there yet.
pub(crate) fn load_settled(
    dir: &Path,
    known: Option<&Known>,
    now: UnixMillis,
    wanted: Wanted,
) -> Result<Option<Loaded>, LoadFailure> {
    for _ in 0..READS_MAX {
        let Some(loaded) = load_unless(dir, known, now, wanted)? else { return Ok(None) };
        thread::sleep(SETTLED);
        if source::revision(dir) == Some(loaded.bundle.revision()) {
            return Ok(Some(loaded));
        }
    }
    Err(changing(dir))
}

/// A folder that is another one each time it is read.
pub(crate) fn changing(dir: &Path) -> LoadFailure {
    let changing = Finding::new("the folder changes while it is read").rule_is(Rule::Changing);
    let help = "write the files beside it and put them in place in one step; then load again";
    LoadFailure::new(dir, vec![changing.help(help)])
}

/// Loads only what was tried by another process before (`vet`), of which not a byte is parsed here until
/// then. A folder that changes in between is tried again.
pub(crate) fn load_vetted<T>(
    dir: &Path,
    vet: impl Fn() -> Result<Revision, LoadFailure>,
    load: impl Fn(Revision) -> Result<T, LoadFailure>,
) -> Result<T, LoadFailure> {
    for _ in 0..READS_MAX {
        match load(vet()?) {
            Err(failure) if failure.findings.iter().any(|f| f.rule() == Rule::Changing) => {}
            loaded => return loaded,
        }
    }
    Err(changing(dir))
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

/// What could be read of a folder.
struct Read {
    words: Option<Vocabulary>,
    policies: Vec<compile::Compiled>,
    lines: Vec<RedLine>,
    cases: cases::Cases,
    revision: Revision,
}

/// A reminder of a policy that was to report only until a day that is over.
fn overdue(compiled: &compile::Compiled, now: UnixMillis) -> Option<Finding> {
    let until = mode::overdue(&compiled.policy, now)?;
    let message = format!("`{}` was to report only until {until}", compiled.policy.id());
    let help =
        "look at what it reports, and take `@mode(\"report\")` away or the policy; or give it more time";
    Some(compiled.finding(message).rule_is(Rule::ReportOverdue).help(help))
}

struct Load {
    dir: PathBuf,
    trial: Trial,
    findings: Vec<Finding>,
    hints: Vec<Finding>,
}

impl Load {
    fn run(
        mut self,
        known: Option<&Known>,
        now: UnixMillis,
        wanted: Wanted,
    ) -> Result<Option<Parts>, LoadFailure> {
        let folder = source::read(&self.dir, &mut self.findings);
        if wanted.have == Some(folder.revision) && self.findings.is_empty() {
            return Ok(None);
        }
        if wanted.only.is_some_and(|only| only != folder.revision) {
            return Err(changing(&self.dir));
        }
        let read = self.read(&folder, known);
        self.finish(read, now).map(Some).map_err(|unfit| unfit.failure)
    }

    fn read(&mut self, folder: &Folder, known: Option<&Known>) -> Read {
        let words = self.vocabulary(folder);
        let policies = self.policies(folder, words.as_ref(), known);
        let (findings, hints) = (&mut self.findings, &mut self.hints);
        let lines = lines::read(&folder.invariants, &policies, words.as_ref(), known, findings, hints);
        let cases = cases::read(&folder.cases, &folder.tests, known, &mut self.findings);
        Read { words, policies, lines, cases, revision: folder.revision }
    }

    fn finish(mut self, read: Read, now: UnixMillis) -> Result<Parts, Box<Unfit>> {
        let Read { words, policies, lines, cases, revision } = read;
        let words = match words {
            Some(words) if self.findings.is_empty() => words,
            words => return Err(self.unfit(words.map(|w| w.schema), policies, cases)),
        };
        let all = policies.iter().map(|c| c.policy.clone()).collect();
        let drawn = lines.iter().map(|line| line.policy().clone()).collect();
        let bundle = PolicyBundle::new(words, all, revision, now).beside(drawn, cases.prints());
        if self.trial == Trial::Held {
            cases.run(&bundle, &mut self.findings);
        }
        if !self.findings.is_empty() {
            return Err(self.unfit(Some(bundle.words.schema.clone()), policies, cases));
        }
        if cases.is_empty() {
            let hint = Finding::new("there are no cases").rule_is(Rule::NoCases);
            self.hints.push(hint.help("write down in `cases/` what must be allowed and what must not"));
        }
        self.hints.extend(policies.iter().filter_map(|c| overdue(c, now)));
        tidy(&mut self.hints);
        let allowed = rule::except(policies.iter().map(|c| &c.policy), &mut self.hints);
        Ok(Parts { bundle, policies, lines, cases, hints: self.hints, allowed })
    }

    fn unfit(
        self,
        schema: Option<Schema>,
        policies: Vec<compile::Compiled>,
        cases: cases::Cases,
    ) -> Box<Unfit> {
        let failure = LoadFailure::new(self.dir, self.findings);
        Box::new(Unfit { failure, schema, policies, cases, hints: self.hints })
    }

    fn vocabulary(&mut self, folder: &Folder) -> Option<Vocabulary> {
        let Some(file) = &folder.schema else {
            let missing = Finding::new(format!("there is no `{}`", source::SCHEMA)).rule_is(Rule::Schema);
            self.findings.push(
                missing.help("copy the one that comes with Doorward; it holds the words of the policies"),
            );
            return None;
        };
        let schema = compile::schema(file, &mut self.findings)?;
        let help = "the schema is a contract with the gateway: start from the one that comes with Doorward";
        let mut wrong = |e: String| {
            self.findings.push(Finding::new(e).rule_is(Rule::Schema).at(file, None).help(help));
        };
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
            let none =
                Finding::new("there is no policy here, so nobody could be let in").rule_is(Rule::Empty);
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
