//! One red line at a time: what is asked of the solver, and what an answer is worth.

use std::cell::OnceCell;

use cedar_policy::{Policy, PolicySet};
use doorward_model::Principal;
use doorward_policy::{Changed, Claim, Decision, RedLine, Situation, Workshop, on_policy_stack};

use super::Verdict;
use super::breach::{Breach, Shows};
use super::edit::Side;
use super::names::unheard_of;
use super::substitute;
use crate::solver::{Answer, Solver, Why, World, found};

/// The policies of a folder, and what is asked about them.
pub(super) struct Court<'a> {
    workshop: &'a Workshop,
    pub(super) world: World<'a>,
    set: PolicySet,
    /// Whether any policy can fail, once that was asked.
    fails: OnceCell<Verdict>,
}

/// What came of a line.
pub(super) struct Tried {
    pub(super) verdict: Verdict,
    pub(super) note: Option<String>,
}

impl From<Verdict> for Tried {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, note: None }
    }
}

/// A request that was found, before the gateway itself was asked about it.
pub(super) struct Seen<'a> {
    pub(super) title: &'a str,
    pub(super) by: &'a [String],
    pub(super) situation: Option<&'a Situation>,
    pub(super) shows: Shows,
}

pub(super) fn set(workshop: &Workshop) -> Result<PolicySet, String> {
    let all = workshop.policies().iter().map(|p| p.policy().clone());
    PolicySet::from_policies(all).map_err(|e| e.to_string())
}

impl<'a> Court<'a> {
    pub(super) fn new(workshop: &'a Workshop) -> Result<Self, String> {
        Ok(Self { workshop, world: World::of(workshop)?, set: set(workshop)?, fails: OnceCell::new() })
    }

    pub(super) fn side(&self) -> Side<'_> {
        Side { set: &self.set, bundle: self.workshop.bundle() }
    }

    pub(super) fn try_line(&self, solver: &mut Solver, line: &RedLine) -> Tried {
        let pattern = line.policy();
        let Tried { verdict, note } = match line.claim() {
            Claim::Never => Tried::from(self.never(solver, line)),
            Claim::Always => Tried::from(self.always(solver, line)),
            Claim::NoMoreThan(changed) => self.no_more_than(solver, line, changed),
        };
        let verdict = match (verdict, line.claim()) {
            (Verdict::Proved, Claim::Never | Claim::Always) => {
                says_something(solver, &self.world, pattern, "")
            }
            (Verdict::Proved, Claim::NoMoreThan(changed)) => {
                match substitute::where_it_differs(pattern, changed) {
                    Ok(narrower) => {
                        let unless = format!(" unless already `{changed}`");
                        says_something(solver, &self.world, &narrower, &unless)
                    }
                    Err(why) => Verdict::Unknown(why),
                }
            }
            (known @ (Verdict::Broken(_) | Verdict::Unknown(_)), _) => known,
        };
        let notes: Vec<String> = note.into_iter().chain(unheard_of(self.workshop, pattern)).collect();
        Tried { verdict, note: (!notes.is_empty()).then(|| notes.join("; ")) }
    }

    fn allowed(&self, s: &Situation) -> bool {
        self.workshop.bundle().decide(&s.question()).is_allow()
    }

    /// What Cedar decides of it by these policies; none where one of them fails.
    fn decided(&self, set: &PolicySet, s: &Situation) -> Option<Decision> {
        let (request, entities) = self.workshop.bundle().in_cedar(&s.question()).ok()?;
        found::decide(set, &request, &entities).map(|decided| decided.decision)
    }

    /// Whether the line says something of it.
    fn is_about(&self, line: &RedLine, s: &Situation) -> bool {
        let asked = self.workshop.bundle().in_cedar(&s.question());
        asked.is_ok_and(|(request, entities)| found::matches(line.policy(), &request, &entities))
    }

    /// What the policies never allow, the gateway never allows: what it does besides only takes away.
    fn never(&self, solver: &mut Solver, line: &RedLine) -> Verdict {
        match solver.never_allows(&self.world, &self.set, line.policy()) {
            Answer::Proved => Verdict::Proved,
            Answer::Unknown(why) => Verdict::Unknown(why.to_string()),
            Answer::Found(found) => {
                let (title, situation) = (line.title(), found.situation.as_ref());
                self.told(Seen { title, by: &found.by, situation, shows: Shows::Mistake }, |s| {
                    self.is_about(line, s) && self.allowed(s)
                })
            }
        }
    }

    /// What is allowed as far as Cedar goes is refused all the same where a policy fails, and for an agent
    /// where its person may not.
    fn always(&self, solver: &mut Solver, line: &RedLine) -> Verdict {
        match solver.always_allows(&self.world, &self.set, line.policy()) {
            Answer::Proved => {}
            Answer::Unknown(why) => return Verdict::Unknown(why.to_string()),
            Answer::Found(found) => {
                let (title, situation) = (line.title(), found.situation.as_ref());
                let seen = Seen { title, by: &found.second.by, situation, shows: Shows::Mistake };
                return self.told(seen, |s| self.is_about(line, s) && !self.allowed(s));
            }
        }
        if self.may_be_an_agent(line.policy()) {
            return Verdict::Unknown(
                "of an agent the gateway asks about its person as well, which no proof here covers; write \
                 `principal is User`"
                    .to_owned(),
            );
        }
        match self.never_fails(solver) {
            Verdict::Proved => Verdict::Proved,
            Verdict::Broken(breach) => {
                Verdict::Unknown(format!("`{}` may fail, and the gateway refuses then", breach.by.join(", ")))
            }
            Verdict::Unknown(why) => Verdict::Unknown(format!("a policy may fail: {why}")),
        }
    }

    /// The request with the other fact must be allowed by the gateway, and not by the policies alone.
    fn no_more_than(&self, solver: &mut Solver, line: &RedLine, changed: &Changed) -> Tried {
        let unknown = |why: String| Tried::from(Verdict::Unknown(why));
        if self.may_be_an_agent(line.policy()) {
            return unknown(
                "of an agent the gateway asks about its person as well, for whom the fact would be another \
                 one, too; no proof here covers that: write `principal is User`"
                    .to_owned(),
            );
        }
        let other = match substitute::everywhere(&self.set, changed) {
            Ok(other) => other,
            Err(why) => return unknown(why),
        };
        match solver.implies_where(&self.world, line.policy(), &self.set, &other.set) {
            Answer::Proved => {}
            Answer::Unknown(why) => return unknown(why.to_string()),
            Answer::Found(found) => {
                let (title, situation) = (line.title(), found.situation.as_ref());
                let shows = Shows::Comparison { with: changed.to_string() };
                let seen = Seen { title, by: &found.first.by, situation, shows };
                let denied = |s: &Situation| self.decided(&other.set, s) == Some(Decision::Deny);
                let breaks = |s: &Situation| self.is_about(line, s) && self.allowed(s) && denied(s);
                return Tried::from(self.told(seen, breaks));
            }
        }
        // One that does not ask for the fact fails with both or with neither.
        for policy in &other.asking {
            let id = policy.id();
            match solver.never_errors(&self.world, policy) {
                Answer::Proved => {}
                Answer::Found(_) => {
                    return unknown(format!(
                        "with `{changed}`, `{id}` may fail, and the gateway refuses then"
                    ));
                }
                Answer::Unknown(why) => return unknown(format!("with `{changed}`, `{id}` may fail: {why}")),
            }
        }
        let fact = changed.path.join(".");
        let note =
            other.asking.is_empty().then(|| format!("no policy asks for `{fact}`, so it changes nothing"));
        Tried { verdict: Verdict::Proved, note }
    }

    /// Whether an agent may ask what a pattern matches. Not to know is yes.
    fn may_be_an_agent(&self, pattern: &Policy) -> bool {
        let (pattern, schema) = (pattern.clone(), self.workshop.schema());
        let told = on_policy_stack(move || {
            let mut envs = pattern.get_valid_request_envs(schema);
            envs.any(|env| env.principal().basename() == "Agent")
        });
        told.unwrap_or(true)
    }

    pub(super) fn never_fails(&self, solver: &mut Solver) -> Verdict {
        self.fails.get_or_init(|| self.find_failing(solver)).clone()
    }

    fn find_failing(&self, solver: &mut Solver) -> Verdict {
        let mut unknown = None;
        for source in self.workshop.policies() {
            match solver.never_errors(&self.world, source.policy()) {
                Answer::Proved => {}
                Answer::Found(found) => {
                    let (by, situation) = ([source.id().to_owned()], found.situation.as_ref());
                    let fails =
                        |s: &Situation| !self.workshop.bundle().decide(&s.question()).errors.is_empty();
                    let title = "a policy that cannot be evaluated";
                    return self.told(Seen { title, by: &by, situation, shows: Shows::Failure }, fails);
                }
                Answer::Unknown(why) => {
                    let over = matches!(why, Why::Budget(_));
                    unknown = Some(format!("`{}`: {why}", source.id()));
                    if over {
                        break;
                    }
                }
            }
        }
        unknown.map_or(Verdict::Proved, Verdict::Unknown)
    }

    /// What was found, if the gateway's own decision on it breaks the line.
    pub(super) fn told(&self, seen: Seen<'_>, breaks: impl Fn(&Situation) -> bool) -> Verdict {
        let Some(situation) = seen.situation else {
            return Verdict::Unknown("what was found is no request of the gateway".to_owned());
        };
        if !breaks(situation) {
            return Verdict::Unknown(match &*situation.principal {
                Principal::Agent(_) => {
                    "only the rule that an agent may never more than its person stands before \
                                        it, which no proof covers"
                        .to_owned()
                }
                Principal::User(_) | Principal::ServiceAccount(_) | Principal::Visitor(_) => {
                    "the gateway itself decides otherwise of what was found".to_owned()
                }
            });
        }
        Verdict::Broken(Box::new(Breach::new(self.workshop, &seen, situation, &breaks)))
    }
}

/// A line about nothing holds for whatever reason, and is most often a mistake in the line. And a line says
/// nothing about requests for which its own condition cannot be evaluated.
fn says_something(solver: &mut Solver, world: &World<'_>, pattern: &Policy, unless: &str) -> Verdict {
    if substitute::conditions_may_fail(pattern) {
        match solver.never_errors(world, pattern) {
            Answer::Proved => {}
            Answer::Found(_) => {
                return Verdict::Unknown(
                    "its own condition cannot be evaluated for some requests, of which it says nothing then: \
                     compare what the gateway has computed"
                        .to_owned(),
                );
            }
            Answer::Unknown(why) => return Verdict::Unknown(format!("its own condition may fail: {why}")),
        }
    }
    let everything = Policy::parse(None, "permit (principal, action, resource);");
    let everything = everything
        .map_err(|e| e.to_string())
        .and_then(|p| PolicySet::from_policies([p]).map_err(|e| e.to_string()));
    match everything.map(|set| solver.never_allows(world, &set, pattern)) {
        Ok(Answer::Found(_)) => Verdict::Proved,
        Ok(Answer::Proved) => Verdict::Unknown(format!(
            "nothing that can be asked is matched by it{unless}, so that it says nothing"
        )),
        Ok(Answer::Unknown(why)) => {
            Verdict::Unknown(format!("nobody can tell whether it matches anything: {why}"))
        }
        Err(why) => Verdict::Unknown(why),
    }
}
