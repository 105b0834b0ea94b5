//! The red lines of a folder, each proved for all requests or broken by one.
//!
//! What a line says is asked of the policies as they stand, under what the gateway guarantees
//! (`solver/guarantees.cedar`). Three things keep a proof honest:
//! * a line that matches nothing that can be asked is not proved but [`Verdict::Unknown`];
//! * a counterexample is believed only when the gateway's own decision on it breaks the line;
//! * that no policy fails to be evaluated is a line of its own, because the gateway refuses then, and a proof
//!   that something is always allowed needs it.

mod breach;
mod substitute;

use std::cell::OnceCell;
use std::time::Duration;

use cedar_policy::{Policy, PolicySet};
use doorward_policy::{Claim, PolicyBundle, RedLine, Situation, Workshop};

pub use self::breach::Breach;
use crate::solver::{Answer, Difference, Solver, World};

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
        return Err(format!("there is no red line `{}`", only.unwrap_or_default()));
    }
    let mut proof = Proof { lines: Vec::with_capacity(total) };
    for (done, line) in lines.into_iter().enumerate() {
        progress(done, total, line.id());
        let verdict = |solver: &mut Solver| court.try_line(solver, line);
        proof.lines.push(timed(
            solver,
            line.id(),
            line.title(),
            line.owner(),
            line.unknown_blocks(),
            verdict,
        ));
    }
    if fails {
        progress(total - 1, total, NEVER_FAILS);
        let title = "Every policy can be evaluated, whatever is asked";
        proof.lines.push(timed(solver, NEVER_FAILS, title, None, true, |s| court.never_fails(s)));
    }
    Ok(proof)
}

fn timed(
    solver: &mut Solver,
    id: &str,
    title: &str,
    owner: Option<&str>,
    unknown_blocks: bool,
    verdict: impl FnOnce(&mut Solver) -> Verdict,
) -> Line {
    let (begun, asked) = (solver.elapsed(), solver.queries());
    let verdict = verdict(solver);
    Line {
        id: id.to_owned(),
        title: title.to_owned(),
        owner: owner.map(str::to_owned),
        unknown_blocks,
        verdict,
        took: solver.elapsed().saturating_sub(begun),
        queries: solver.queries() - asked,
    }
}

/// What an edit does to what is allowed.
#[derive(Clone, Debug)]
pub struct Edit {
    /// Something is allowed that was not.
    pub widens: Verdict,
    /// Something is not allowed any more.
    pub narrows: Verdict,
}

/// Compares two folders: [`Verdict::Proved`] means that there is nothing of the kind, [`Verdict::Broken`]
/// shows one request of the kind.
///
/// # Errors
/// They do not speak the same words, or cannot be asked about at all.
pub fn against(
    solver: &mut Solver,
    old: &Workshop,
    new: &Workshop,
    progress: Progress<'_>,
) -> Result<Edit, String> {
    if !World::of(old)?.speaks_like(&World::of(new)?)? {
        return Err("the two folders have different schemas, so that they cannot be compared".to_owned());
    }
    let court = Court::new(new)?;
    let before = set(old)?;
    progress(0, 2, "widens");
    let widens = solver.implies(&court.world, &court.set, &before);
    progress(1, 2, "narrows");
    let narrows = solver.implies(&court.world, &before, &court.set);
    let shown =
        |answer: Answer<Difference>, allows: &PolicyBundle, denies: &PolicyBundle, what: &str| match answer {
            Answer::Proved => Verdict::Proved,
            Answer::Unknown(why) => Verdict::Unknown(why.to_string()),
            Answer::Found(found) => court.told(what, &found.first.by, &found, |s| {
                allows.decide(&s.question()).is_allow() && !denies.decide(&s.question()).is_allow()
            }),
        };
    Ok(Edit {
        widens: shown(widens, new.bundle(), old.bundle(), "newly allowed"),
        narrows: shown(narrows, old.bundle(), new.bundle(), "newly denied"),
    })
}

/// The policies of a folder, and what is asked about them.
struct Court<'a> {
    workshop: &'a Workshop,
    world: World<'a>,
    set: PolicySet,
    /// Whether any policy can fail, once that was asked.
    fails: OnceCell<Verdict>,
}

fn set(workshop: &Workshop) -> Result<PolicySet, String> {
    let all = workshop.policies().iter().map(|p| p.policy().clone());
    PolicySet::from_policies(all).map_err(|e| e.to_string())
}

impl<'a> Court<'a> {
    fn new(workshop: &'a Workshop) -> Result<Self, String> {
        Ok(Self { workshop, world: World::of(workshop)?, set: set(workshop)?, fails: OnceCell::new() })
    }

    fn try_line(&self, solver: &mut Solver, line: &RedLine) -> Verdict {
        let (pattern, bundle) = (line.policy(), self.workshop.bundle());
        let allowed = |s: &Situation| bundle.decide(&s.question()).is_allow();
        let verdict = match line.claim() {
            Claim::Never => match solver.never_allows(&self.world, &self.set, pattern) {
                Answer::Proved => Verdict::Proved,
                Answer::Unknown(why) => Verdict::Unknown(why.to_string()),
                Answer::Found(found) => self.told(line.title(), &found.by, &found, allowed),
            },
            Claim::Always => match solver.always_allows(&self.world, &self.set, pattern) {
                Answer::Proved => self.always(solver, pattern),
                Answer::Unknown(why) => Verdict::Unknown(why.to_string()),
                Answer::Found(found) => self.told(line.title(), &found.second.by, &found, |s| !allowed(s)),
            },
            Claim::NoMoreThan(changed) => {
                let other = match substitute::everywhere(&self.set, changed) {
                    Ok(other) => other,
                    Err(why) => return Verdict::Unknown(why),
                };
                match solver.implies_where(&self.world, pattern, &self.set, &other) {
                    Answer::Proved => Verdict::Proved,
                    Answer::Unknown(why) => Verdict::Unknown(why.to_string()),
                    Answer::Found(found) => self.told(line.title(), &found.first.by, &found, allowed),
                }
            }
        };
        match verdict {
            Verdict::Proved => self.not_empty(solver, pattern),
            Verdict::Broken(_) | Verdict::Unknown(_) => verdict,
        }
    }

    /// A line about nothing holds for whatever reason, and is most often a mistake in the line.
    fn not_empty(&self, solver: &mut Solver, pattern: &Policy) -> Verdict {
        let everything = Policy::parse(None, "permit (principal, action, resource);");
        let everything = everything
            .map_err(|e| e.to_string())
            .and_then(|p| PolicySet::from_policies([p]).map_err(|e| e.to_string()));
        match everything.map(|set| solver.never_allows(&self.world, &set, pattern)) {
            Ok(Answer::Found(_)) => Verdict::Proved,
            Ok(Answer::Proved) => Verdict::Unknown(
                "nothing that can be asked is matched by it, so that it says nothing".to_owned(),
            ),
            Ok(Answer::Unknown(why)) => {
                Verdict::Unknown(format!("nobody can tell whether it matches anything: {why}"))
            }
            Err(why) => Verdict::Unknown(why),
        }
    }

    /// What is allowed as far as Cedar goes is refused all the same where a policy fails, and for an agent
    /// where its person may not.
    fn always(&self, solver: &mut Solver, pattern: &Policy) -> Verdict {
        match self.never_fails(solver) {
            Verdict::Proved => {}
            Verdict::Broken(breach) => {
                return Verdict::Unknown(format!(
                    "`{}` may fail, and the gateway refuses then",
                    breach.by.join(", ")
                ));
            }
            Verdict::Unknown(why) => return Verdict::Unknown(format!("a policy may fail: {why}")),
        }
        let mut envs = pattern.get_valid_request_envs(self.workshop.schema());
        if envs.any(|env| env.principal().to_string() == "Agent") {
            return Verdict::Unknown(
                "of an agent the gateway asks about its person as well, which no proof here covers; write \
                 `principal is User`"
                    .to_owned(),
            );
        }
        Verdict::Proved
    }

    fn never_fails(&self, solver: &mut Solver) -> Verdict {
        self.fails.get_or_init(|| self.find_failing(solver)).clone()
    }

    fn find_failing(&self, solver: &mut Solver) -> Verdict {
        let mut unknown = None;
        for source in self.workshop.policies() {
            match solver.never_errors(&self.world, source.policy()) {
                Answer::Proved => {}
                Answer::Found(found) => {
                    let by = [source.id().to_owned()];
                    let fails =
                        |s: &Situation| !self.workshop.bundle().decide(&s.question()).errors.is_empty();
                    return self.told("every policy can be evaluated", &by, &found, fails);
                }
                Answer::Unknown(why) => unknown = Some(format!("`{}`: {why}", source.id())),
            }
        }
        unknown.map_or(Verdict::Proved, Verdict::Unknown)
    }

    /// What was found, if the gateway's own decision on it breaks the line.
    fn told(
        &self,
        title: &str,
        by: &[String],
        found: &impl breach::Found,
        breaks: impl Fn(&Situation) -> bool,
    ) -> Verdict {
        let Some(situation) = found.situation() else {
            return Verdict::Unknown("what was found is no request of the gateway".to_owned());
        };
        if !breaks(situation) {
            return Verdict::Unknown(
                "only the rule that an agent may never more than its person stands before it, which no proof \
                 covers"
                    .to_owned(),
            );
        }
        let expect = self.workshop.bundle().decide(&situation.question()).is_allow();
        Verdict::Broken(Box::new(Breach::new(self.workshop.cases(), title, by, situation, !expect, &breaks)))
    }
}
