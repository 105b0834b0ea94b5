//! Mutants, and what became of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, IsTerminal, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use doorward_policy::Workshop;
use doorward_workbench::mutants::made::{self, Made, Nearby, Settled};
use doorward_workbench::mutants::{self, Fate, Hunt, Litter, Mutant};
use doorward_workbench::solver::{Bounds, Program, Solver, World};
use doorward_workbench::trial::{Table, Trial};

use super::super::super::{Exit, Failure};
use super::subject::{Subject, put, unwritten};
use crate::cli::PolicyTestArgs;
use crate::clock::Stopwatch;

/// How long the solver may work on the mutants of a folder.
const SOLVER_BUDGET: Duration = Duration::from_secs(600);

/// The mutants of a set, and what became of them.
pub(super) struct Hunted {
    pub(super) litter: Litter,
    pub(super) fates: Vec<Fate>,
    /// What the solver says of those that no case notices, by their places.
    pub(super) settled: BTreeMap<usize, Settled>,
    /// Why no solver was asked.
    pub(super) no_solver: Option<String>,
    /// Where the cases that it made are.
    pub(super) proposed: Option<Proposed>,
}

/// Cases that the solver made, as they were written down.
pub(super) struct Proposed {
    pub(super) file: PathBuf,
    pub(super) cases: usize,
    pub(super) left_out: usize,
    /// They are among the cases now, and notice from the next run on.
    pub(super) accepted: bool,
}

impl Hunted {
    pub(super) fn of(
        subject: &Subject,
        trials: &[Trial],
        table: &Table,
        args: &PolicyTestArgs,
    ) -> Result<Self, Failure> {
        let (sources, only) = (subject.policies(), args.only.as_deref());
        if let Some(only) = only.filter(|only| !sources.iter().any(|source| source.id() == *only)) {
            let help = "name a policy that decides by its `@id`; without one it is called after its file";
            return Err(Failure::new(Exit::Mistaken, format!("there is no policy `{only}`"), help));
        }
        if matches!(subject, Subject::Foreign(_)) && (args.propose || args.accept) {
            let help = "leave out `--propose` and `--accept`, or name a folder by `--dir`";
            return Err(Failure::new(
                Exit::Mistaken,
                "cases are proposed for a folder of the gateway's only",
                help,
            ));
        }
        let litter = match subject {
            Subject::Folder(_, shop) => mutants::of_workshop(shop, only),
            Subject::Foreign(set) => mutants::of_foreign(set, only),
        };
        let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let all = litter.mutants.len();
        let told = progress(all, "mutants");
        let fates = mutants::hunt(&Hunt { sources, trials, table, threads }, &litter.mutants, &told);
        let (settled, no_solver) = (BTreeMap::new(), None);
        let mut hunted = Self { litter, fates, settled, no_solver, proposed: None };
        match subject {
            Subject::Folder(dir, shop) => {
                hunted.settle(shop);
                if args.propose || args.accept {
                    hunted.propose(dir, shop, args.accept)?;
                }
            }
            Subject::Foreign(_) if hunted.unnoticed().next().is_some() => {
                let why = "the solver is asked about a folder of the gateway's only, so what survives may say the same";
                hunted.no_solver = Some(why.to_owned());
            }
            Subject::Foreign(_) => {}
        }
        Ok(hunted)
    }

    fn unnoticed(&self) -> impl Iterator<Item = (usize, &Mutant)> {
        let both = self.litter.mutants.iter().zip(&self.fates).enumerate();
        both.filter(|(_, (_, fate))| **fate == Fate::Survived).map(|(at, (mutant, _))| (at, mutant))
    }

    /// The mutants that no case notices and that no proof excuses, with what the solver says of each.
    pub(super) fn survivors(&self) -> impl Iterator<Item = (&Mutant, Option<&Settled>)> {
        let with = |(at, mutant)| (mutant, self.settled.get(&at));
        self.unnoticed().map(with).filter(|(_, settled)| *settled != Some(&Settled::Same))
    }

    /// How many of them say the same by proof.
    pub(super) fn proved(&self) -> usize {
        self.settled.values().filter(|settled| **settled == Settled::Same).count()
    }

    /// Whether every mutant was looked at, and is noticed now or by a case that was just added.
    pub(super) fn is_good(&self) -> bool {
        let added = self.proposed.as_ref().is_some_and(|p| p.accepted && p.left_out == 0);
        let told = |settled: Option<&Settled>| matches!(settled, Some(Settled::Told(_)));
        self.litter.left_out == 0 && self.survivors().all(|(_, settled)| added && told(settled))
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
        let mut taken: BTreeSet<String> = shop.cases().iter().map(|case| case.name.to_owned()).collect();
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
            let name = unlike(&taken, made::name(source, mutant));
            match case.text(shop, &name) {
                Ok(text) => {
                    taken.insert(name);
                    texts.push(text);
                }
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
            let written = fs::create_dir_all(dir.join("cases")).and_then(|()| put(&file, &text));
            written.map_err(|e| unwritten(&file, &e))?;
        }
        self.proposed = Some(Proposed { file, cases, left_out, accepted: accept });
        Ok(())
    }
}

/// A name that no case has: `explain --case` finds a case by it.
fn unlike(taken: &BTreeSet<String>, name: String) -> String {
    let numbered = (2_usize..).map(|n| format!("{name} ({n})"));
    std::iter::once(name.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(name)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_cases_have_one_name() {
        let mut taken = BTreeSet::new();
        for name in ["a", "a (2)", "a (3)", "b"] {
            let one = unlike(&taken, name.split(' ').next().unwrap().to_owned());
            assert_eq!(one, name);
            taken.insert(one);
        }
    }
}
