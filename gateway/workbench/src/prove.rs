//! The red lines of a folder, each proved for all requests or broken by one.
//!
//! What a line says is asked of the policies as they stand, under what the gateway guarantees
//! (`solver/guarantees.cedar`). What keeps a proof honest:
//! * a line that matches nothing that can be asked is not proved but [`Verdict::Unknown`], and so is one whose
//!   own condition may fail, because it says nothing where it does;
//! * a counterexample is believed only when the line is about it and the gateway's own decision on it breaks that;
//! * the gateway refuses what a policy cannot be evaluated for. So a proof that something is *allowed* (always,
//!   with another fact, or by the policies of before) needs a proof that no policy fails there;
//! * of an agent the gateway asks about its person, too. What needs an agent to be allowed is never proved.

mod breach;
mod court;
mod edit;
mod expression;
mod names;
mod redrawn;
mod substitute;

use std::time::Duration;

use doorward_policy::{RedLine, Workshop};

pub use self::breach::{Breach, Shows};
use self::court::{Court, Tried};
pub use self::edit::{Edit, against};
pub use self::redrawn::{Redrawn, redrawn};
use crate::solver::Solver;

/// The name of the line that no folder draws: every policy can be evaluated.
pub const NEVER_FAILS: &str = "policies.never-fail";

/// What came of one line.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It holds for every request.
    Proved,
    /// It does not hold: here is a request.
    Broken(Box<Breach>),
    /// Nobody knows, and why.
    Unknown(String),
}

/// A line and what came of it.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name.
    pub id: String,
    /// One line for people.
    pub title: String,
    /// The team that drew it.
    pub owner: Option<String>,
    /// Whether policies of which nobody could prove it are kept back.
    pub unknown_blocks: bool,
    /// What came of it.
    pub verdict: Verdict,
    /// What a reader of the verdict should know.
    pub note: Option<String>,
    /// How long it took.
    pub took: Duration,
    /// How many times the solver was asked.
    pub queries: u64,
}

/// What came of all lines.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The lines, in the order of their files; that no policy fails comes last.
    pub lines: Vec<Line>,
}

impl Proof {
    /// How many hold, are broken, and are not known.
    #[must_use]
    pub fn counts(&self) -> [usize; 3] {
        let count = |want: fn(&Verdict) -> bool| self.lines.iter().filter(|l| want(&l.verdict)).count();
        [
            count(|v| matches!(v, Verdict::Proved)),
            count(|v| matches!(v, Verdict::Broken(_))),
            count(|v| matches!(v, Verdict::Unknown(_))),
        ]
    }

    /// Whether policies with this proof are kept back because nobody knows.
    #[must_use]
    pub fn unknown_blocks(&self) -> bool {
        self.lines.iter().any(|l| l.unknown_blocks && matches!(l.verdict, Verdict::Unknown(_)))
    }
}

/// What is being proved now: how many lines are done, how many there are, and the name of this one.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize, &str);

/// Proves the red lines of a folder, all of them or the one of this name.
///
/// # Errors
/// There is no such line, or the policies cannot be asked about at all.
pub fn prove(
    solver: &mut Solver,
    workshop: &Workshop,
    only: Option<&str>,
    progress: Progress<'_>,
) -> Result<Proof, String> {
    let court = Court::new(workshop)?;
    let wanted = |id: &str| only.is_none_or(|only| only == id);
    let lines: Vec<&RedLine> = workshop.red_lines().iter().filter(|l| wanted(l.id())).collect();
    let fails = wanted(NEVER_FAILS);
    let total = lines.len() + usize::from(fails);
    if total == 0 {
        let there: Vec<&str> = workshop.red_lines().iter().map(RedLine::id).chain([NEVER_FAILS]).collect();
        let only = only.unwrap_or_default();
        return Err(format!("there is no red line `{only}`; there are {}", there.join(", ")));
    }
    let mut proof = Proof { lines: Vec::with_capacity(total) };
    for (done, line) in lines.into_iter().enumerate() {
        progress(done, total, line.id());
        let tried = |solver: &mut Solver| court.try_line(solver, line);
        let who = (line.id(), line.title(), line.owner());
        proof.lines.push(timed(solver, who, line.unknown_blocks(), tried));
    }
    if fails {
        progress(total - 1, total, NEVER_FAILS);
        let who = (NEVER_FAILS, "Every policy can be evaluated, whatever is asked", None);
        let tried = |solver: &mut Solver| Tried::from(court.never_fails(solver));
        proof.lines.push(timed(solver, who, true, tried));
    }
    Ok(proof)
}

fn timed(
    solver: &mut Solver,
    (id, title, owner): (&str, &str, Option<&str>),
    unknown_blocks: bool,
    tried: impl FnOnce(&mut Solver) -> Tried,
) -> Line {
    let (begun, asked) = (solver.elapsed(), solver.queries());
    let Tried { verdict, note } = tried(solver);
    Line {
        id: id.to_owned(),
        title: title.to_owned(),
        owner: owner.map(str::to_owned),
        unknown_blocks,
        verdict,
        note,
        took: solver.elapsed().saturating_sub(begun),
        queries: solver.queries() - asked,
    }
}
