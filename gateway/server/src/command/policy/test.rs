//! `doorward policy test`: the cases, and how good they are.

mod print;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IsTerminal, Read as _, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use doorward_model::limits::POLICY_FILE_BYTES_MAX;
use doorward_policy::{ForeignSet, PolicySource, Workshop, on_policy_stack};
use doorward_workbench::cedar_tests;
use doorward_workbench::matrix::{self, Plan};
use doorward_workbench::mutants::made::{self, Made, Nearby, Settled};
use doorward_workbench::mutants::{self, Fate, Hunt, Litter, Mutant};
use doorward_workbench::solver::{Bounds, Program, Solver, World};
use doorward_workbench::trial::coverage::Coverage;
use doorward_workbench::trial::{self, Outcome, Table, Trial};

use super::super::{Exit, Failure, Output, show_on};
use super::mistakes;
use crate::cli::{PolicyTestArgs, TestFormat};
use crate::clock::Stopwatch;
use crate::color::ColorChoice;

/// How long the solver may work on the mutants of a folder.
const SOLVER_BUDGET: Duration = Duration::from_secs(600);

/// What is tested.
enum Subject {
    /// A folder of the gateway's.
    Folder(PathBuf, Box<Workshop>),
    /// Any Cedar policies.
    Foreign(ForeignSet),
}

/// The mutants of a set, and what became of them.
struct Hunted {
    litter: Litter,
    fates: Vec<Fate>,
    /// What the solver says of those that no case notices, by their places.
    settled: BTreeMap<usize, Settled>,
    /// Why no solver was asked.
    no_solver: Option<String>,
    /// Where the cases that it made are.
    proposed: Option<Proposed>,
}

/// Cases that the solver made, as they were written down.
struct Proposed {
    file: PathBuf,
    cases: usize,
    left_out: usize,
}

/// Everything that came of it.
struct Report {
    run: Vec<(Trial, Outcome)>,
    coverage: Option<Coverage>,
    coverage_min: usize,
    mutants: Option<Hunted>,
    /// The lines in which MATRIX.md differs.
    matrix: Option<Option<String>>,
}

pub(super) fn test(args: &PolicyTestArgs, color: ColorChoice, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let subject = match Subject::open(args, color)? {
        Ok(subject) => subject,
        Err(told) => {
            out.text(told)?;
            return Ok(Exit::Mistaken);
        }
    };
    // Cedar's parser and evaluator call themselves for each level of a policy.
    let report = on_policy_stack(|| Report::of(&subject, args));
    let report = report.map_err(|e| Failure { exit: Exit::Failed, message: e, help: None })??;
    match args.format {
        TestFormat::Human => print::human(&subject, &report, out)?,
        TestFormat::Json => out.line(super::super::json_text(&print::json(&subject, &report)))?,
        TestFormat::Junit => out.text(trial::junit::report(&report.run))?,
    }
    Ok(if report.is_good() { Exit::Done } else { Exit::Failed })
}

// === impl Subject ===

impl Subject {
    /// What is to be tested; or what is wrong with it, ready to print.
    fn open(args: &PolicyTestArgs, color: ColorChoice) -> Result<Result<Self, String>, Failure> {
        if let Some(policies) = &args.policies {
            let named =
                |path: &Path| -> Result<(String, String), Failure> { Ok((called(path), text(path)?)) };
            let schema = args.schema.as_deref().map(named).transpose()?;
            let schema =
                schema.as_ref().map(|(name, text): &(String, String)| (name.as_str(), text.as_str()));
            let set = ForeignSet::read(schema, (&called(policies), &text(policies)?));
            return Ok(set.map(Self::Foreign).map_err(|findings| {
                findings
                    .iter()
                    .map(|finding| format!("{}\n", super::super::printable(&finding.to_string())))
                    .collect()
            }));
        }
        let (dir, known) = super::folder(args.dir.as_deref(), &args.config, color)?;
        let opened = Workshop::untried(&dir, known.as_ref());
        let told = opened.map_err(|failure| mistakes(&failure, show_on(&io::stdout(), color)));
        Ok(told.map(|shop| Self::Folder(dir, Box::new(shop))))
    }

    fn policies(&self) -> &[PolicySource] {
        match self {
            Self::Folder(_, shop) => shop.policies(),
            Self::Foreign(set) => set.policies(),
        }
    }

    /// Runs every case and every test.
    fn run(&self, files: &[PathBuf]) -> Result<Vec<(Trial, Outcome)>, Failure> {
        let (mut run, schema, mut all) = match self {
            Self::Folder(dir, shop) => (trial::of_workshop(shop), Some(shop.schema()), beside(dir)?),
            Self::Foreign(foreign) => (Vec::new(), foreign.schema(), Vec::new()),
        };
        all.extend(files.iter().map(|path| (path.clone(), called(path))));
        for (path, called) in all {
            let more = cedar_tests::run(self.policies(), schema, &path, &called);
            run.extend(more.map_err(|e| Failure { exit: Exit::Mistaken, message: e, help: None })?);
        }
        Ok(run)
    }
}

/// The tests in Cedar's format that lie among the cases of a folder, in the order of their names.
fn beside(dir: &Path) -> Result<Vec<(PathBuf, String)>, Failure> {
    let cases = dir.join("cases");
    let entries = match fs::read_dir(&cases) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(unread(&cases, &e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(|e| unread(&cases, &e))?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".tests.json") && !name.starts_with('.') {
            found.push((cases.join(&name), format!("cases/{name}")));
        }
    }
    found.sort();
    Ok(found)
}

fn unread(path: &Path, e: &io::Error) -> Failure {
    let message = format!("`{}` cannot be read: {e}", path.display());
    Failure::new(Exit::Mistaken, message, "name a file that is there and may be read")
}

fn called(path: &Path) -> String {
    path.display().to_string()
}

fn text(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|f| f.take(POLICY_FILE_BYTES_MAX + 1).read_to_string(&mut text));
    read.map(|_| text).map_err(|e| unread(path, &e))
}

// === impl Report ===

impl Report {
    fn of(subject: &Subject, args: &PolicyTestArgs) -> Result<Self, Failure> {
        let mut run = subject.run(&args.tests)?;
        if let Some(part) = &args.filter {
            run.retain(|(trial, _)| trial.name.contains(part) || trial.file.contains(part));
        }
        let sources = subject.policies();
        let (trials, outcomes): (Vec<Trial>, Vec<Outcome>) = run.into_iter().unzip();
        let wanted = args.coverage || args.coverage_min.is_some() || args.mutants;
        let table = wanted.then(|| Table::new(sources.iter().map(PolicySource::policy), &trials));
        let coverage = table.as_ref().filter(|_| args.coverage || args.coverage_min.is_some());
        let coverage = coverage.map(|table| Coverage::of(sources, &trials, table));
        let hunted =
            table.as_ref().filter(|_| args.mutants).map(|table| Hunted::of(subject, &trials, table, args));
        let hunted = hunted.transpose()?;
        Ok(Self {
            run: trials.into_iter().zip(outcomes).collect(),
            coverage,
            coverage_min: args.coverage_min.map_or(0, usize::from),
            mutants: hunted,
            matrix: args.matrix.then(|| subject.matrix(args.write)).transpose()?,
        })
    }

    fn is_good(&self) -> bool {
        self.run.iter().all(|(_, outcome)| outcome.holds())
            && self.coverage.as_ref().is_none_or(|coverage| coverage.percent() >= self.coverage_min)
            && self.survivors().next().is_none()
            && self.matrix.as_ref().is_none_or(Option::is_none)
    }

    /// The mutants that no case notices and that no proof excuses, with what the solver says of each.
    fn survivors(&self) -> impl Iterator<Item = (&Mutant, Option<&Settled>)> {
        self.mutants.iter().flat_map(Hunted::survivors)
    }
}

// === impl Hunted ===

impl Hunted {
    fn of(
        subject: &Subject,
        trials: &[Trial],
        table: &Table,
        args: &PolicyTestArgs,
    ) -> Result<Self, Failure> {
        let sources = subject.policies();
        let litter = match subject {
            Subject::Folder(_, shop) => mutants::of_workshop(shop),
            Subject::Foreign(set) => mutants::of_foreign(set),
        };
        let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let all = litter.mutants.len();
        let told = progress(all, "mutants");
        let fates = mutants::hunt(&Hunt { sources, trials, table, threads }, &litter.mutants, &told);
        let (settled, no_solver) = (BTreeMap::new(), None);
        let mut hunted = Self { litter, fates, settled, no_solver, proposed: None };
        if let Subject::Folder(dir, shop) = subject {
            hunted.settle(shop);
            if args.propose || args.accept {
                hunted.propose(dir, shop, args.accept)?;
            }
        }
        Ok(hunted)
    }

    fn unnoticed(&self) -> impl Iterator<Item = (usize, &Mutant)> {
        let both = self.litter.mutants.iter().zip(&self.fates).enumerate();
        both.filter(|(_, (_, fate))| **fate == Fate::Survived).map(|(at, (mutant, _))| (at, mutant))
    }

    fn survivors(&self) -> impl Iterator<Item = (&Mutant, Option<&Settled>)> {
        let with = |(at, mutant)| (mutant, self.settled.get(&at));
        self.unnoticed().map(with).filter(|(_, settled)| *settled != Some(&Settled::Same))
    }

    /// Asks the solver about what no case notices, if there is one.
    fn settle(&mut self, shop: &Workshop) {
        if self.unnoticed().next().is_none() {
            return;
        }
        let (named, path) = (std::env::var_os("DOORWARD_CVC5"), std::env::var_os("PATH"));
        let watch = Stopwatch::start();
        let clock = Box::new(move || watch.elapsed());
        let bounds = Bounds { budget: SOLVER_BUDGET, ..Bounds::default() };
        let started = Program::find(named.as_deref(), path.as_deref())
            .and_then(|program| Solver::start(program, bounds, clock))
            .map_err(|e| format!("{e}: {}", e.help()));
        let ready = started.and_then(|solver| Ok((solver, World::of(shop)?)));
        let mut ready = ready.map_err(|why| self.no_solver = Some(why)).ok();
        let nearby = Nearby::of(shop);
        let told = progress(self.unnoticed().count(), "proofs");
        let mut made: Vec<Made> = Vec::new();
        let mut all = BTreeMap::new();
        for (done, (at, mutant)) in self.unnoticed().enumerate() {
            // A case that was made for another one may notice this one as well.
            let earlier = made.iter().find(|made| made.notices(shop, mutant)).cloned();
            let settled = match (earlier, &mut ready) {
                (Some(made), _) => Some(Settled::Told(Box::new(made))),
                (None, Some((solver, world))) => Some(made::settle(shop, &nearby, world, solver, mutant)),
                (None, None) => nearby.case(shop, mutant).map(|made| Settled::Told(Box::new(made))),
            };
            if let Some(Settled::Told(case)) = &settled
                && !made.contains(case)
            {
                made.push(Made::clone(case));
            }
            all.extend(settled.map(|settled| (at, settled)));
            told(done + 1);
        }
        self.settled = all;
    }

    /// Writes the cases that were made beside the others, for a person to look at; with `accept` among them.
    fn propose(&mut self, dir: &Path, shop: &Workshop, accept: bool) -> Result<(), Failure> {
        let (mut seen, mut texts): (Vec<&Made>, Vec<String>) = (Vec::new(), Vec::new());
        let mut left_out = 0;
        for (mutant, settled) in self.survivors() {
            let (Some(Settled::Told(case)), Some(source)) = (settled, shop.policies().get(mutant.policy))
            else {
                continue;
            };
            if seen.contains(&&**case) {
                continue;
            }
            seen.push(case);
            match case.text(shop, &made::name(source, mutant)) {
                Ok(text) => texts.push(text),
                Err(_) => left_out += 1,
            }
        }
        let (mut text, more) = made::file(&texts);
        left_out += more;
        let cases = texts.len() - more;
        let name = if accept { "proposed.toml" } else { "proposed.toml.new" };
        let file = dir.join("cases").join(name);
        if cases > 0 {
            if accept && let Ok(there) = fs::read_to_string(&file) {
                text = format!("{}\n\n{text}", there.trim_end());
            }
            let written = fs::create_dir_all(dir.join("cases")).and_then(|()| fs::write(&file, text));
            written.map_err(|e| unwritten(&file, &e))?;
        }
        self.proposed = Some(Proposed { file, cases, left_out });
        Ok(())
    }
}

/// Tells on standard error how far something is, where that is a terminal.
fn progress(all: usize, of: &'static str) -> impl Fn(usize) + Sync {
    let shown = io::stderr().is_terminal();
    move |done: usize| {
        if shown && (all < 100 || done.is_multiple_of(20) || done == all) {
            let end = if done == all { "\r\u{1b}[K" } else { "" };
            let _ = write!(io::stderr(), "\r{done} of {all} {of}{end}");
        }
    }
}

fn unwritten(path: &Path, e: &io::Error) -> Failure {
    let message = format!("`{}` cannot be written: {e}", path.display());
    Failure::new(Exit::Failed, message, "look at the permissions of the folder")
}

impl Subject {
    /// The lines in which MATRIX.md is not as it should be; with `write` it is made so.
    fn matrix(&self, write: bool) -> Result<Option<String>, Failure> {
        let Self::Folder(dir, shop) = self else { return Ok(None) };
        let wrong =
            |e: String| Failure::new(Exit::Mistaken, e, "mend `matrix.toml`, or the cases that it names");
        let plan = Plan::read(&text(&dir.join(matrix::PLAN))?).map_err(wrong)?;
        let page = plan.page(shop).map_err(wrong)?;
        let at = dir.join(matrix::PAGE);
        if write {
            let written = fs::write(&at, &page);
            written.map_err(|e| unwritten(&at, &e))?;
            return Ok(None);
        }
        let there = match fs::read_to_string(&at) {
            Ok(there) => there,
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(unread(&at, &e)),
        };
        Ok(matrix::differs(&there, &page))
    }
}
