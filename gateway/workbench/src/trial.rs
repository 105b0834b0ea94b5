//! Trials: what must be allowed and what must not, asked of policies.
//!
//! A trial is one case, wherever it was written: in Doorward's own words ([`of_workshop`]) or in the format of
//! Cedar's command line ([`crate::cedar_tests`]). Both come down to Cedar's own requests and entities, so
//! that coverage and mutants work on any set of policies.
//!
//! A [`Table`] asks each policy by itself, for coverage and mutants.

pub mod clause;
pub mod coverage;
pub mod junit;
mod table;

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy::{Authorizer, Entities, PolicySet, Request};
use doorward_model::Principal;
use doorward_policy::{Case, Decision, Question, Situation, Verdict, Workshop};

pub use self::table::{Alone, Change, Said, Table};

/// One case, ready to be asked.
#[derive(Debug)]
pub struct Trial {
    /// The file that holds it.
    pub file: String,
    /// Where it begins in there, from 1; 0 where nobody knows.
    pub line: usize,
    /// What it shows.
    pub name: String,
    /// What must come of it.
    pub expect: Expect,
    /// What is asked; or why it cannot be asked.
    pub asked: Result<Vec<Asked>, String>,
    /// What a policy that fails does to it.
    pub on_error: OnError,
}

/// What came of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What was answered; or why nothing was.
    pub answer: Result<Answer, String>,
    /// Why it does not hold. None: it holds.
    pub miss: Option<Miss>,
}

/// One request, as Cedar sees it. An agent's is followed by that of its person: both must be allowed.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The request.
    pub request: Request,
    /// Every entity that is said with it.
    pub entities: Arc<Entities>,
}

/// What must come of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    /// The decision.
    pub decision: Decision,
    /// The policies that must decide.
    pub by: By,
    /// How many policies must fail.
    pub errors: usize,
}

/// What a trial says of the policies that decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// Nothing. A deny has to say it.
    Unsaid,
    /// These, and no other.
    Exactly(BTreeSet<String>),
    /// These, and maybe others: so it is in Cedar's format.
    AtLeast(BTreeSet<String>),
}

/// What becomes of a policy that cannot be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The request is denied: Doorward.
    Deny,
    /// It counts for nothing: Cedar.
    Skip,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Yes or no.
    pub decision: Decision,
    /// The policies that decided.
    pub by: BTreeSet<String>,
    /// The policies that could not be evaluated, and why.
    pub errors: Vec<(String, String)>,
}

/// Why a trial does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// What was expected and what came.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// The cases of a folder, and what came of each: decided by `PolicyBundle::decide`, as a request is.
#[must_use]
pub fn of_workshop(shop: &Workshop) -> Vec<(Trial, Outcome)> {
    let of_case = |case: Case<'_>| {
        let trial = trial(shop, &case);
        let bundle = if case.report { shop.bundle().enforcing_all() } else { shop.bundle() };
        let decided = |situation: &Situation| Answer::from(&bundle.decide(&situation.question()));
        let outcome = Outcome::new(&trial, case.situation.as_ref().map(decided).map_err(String::clone));
        (trial, outcome)
    };
    shop.cases().iter().map(of_case).collect()
}

/// A case, ready to be asked.
fn trial(shop: &Workshop, case: &Case<'_>) -> Trial {
    let asked = match case.report {
        false => case.situation.as_ref().map_err(String::clone),
        // Coverage and mutants are of the policies that decide.
        true => Err("it is asked of policies that only report as well".to_owned()),
    };
    Trial {
        file: case.file.to_owned(),
        line: case.line,
        name: case.name.to_owned(),
        expect: Expect {
            decision: case.expect,
            by: case.by.map_or(By::Unsaid, |by| By::Exactly(by.clone())),
            errors: 0,
        },
        asked: asked.and_then(|situation| asked_of(shop, &situation.question())),
        on_error: OnError::Deny,
    }
}

/// Trials of any set of policies, and what came of each: Cedar is asked. `fault` is what is wrong with the set, if
/// something is; with that no trial holds.
#[must_use]
pub fn of_set(policies: &PolicySet, trials: Vec<Trial>, fault: Option<&str>) -> Vec<(Trial, Outcome)> {
    let run = |trial: Trial| {
        let answer = fault.map_or_else(|| ask(policies, &trial), |fault| Err(fault.to_owned()));
        let outcome = Outcome::new(&trial, answer);
        (trial, outcome)
    };
    trials.into_iter().map(run).collect()
}

/// The one request of a question, or the two of an agent's.
///
/// # Errors
/// It cannot be said in the words of the schema.
pub fn asked_of(shop: &Workshop, q: &Question<'_>) -> Result<Vec<Asked>, String> {
    let one = |q: &Question<'_>| {
        let (request, entities) = shop.bundle().in_cedar(q)?;
        Ok::<_, String>(Asked { request, entities: Arc::new(entities) })
    };
    let mut all = vec![one(q)?];
    if let Principal::Agent(agent) = &**q.principal {
        let person = Arc::new(Principal::User(agent.on_behalf_of.clone()));
        all.push(one(&Question { principal: &person, ..q.clone() })?);
    }
    Ok(all)
}

// === impl Outcome ===

impl Outcome {
    fn new(trial: &Trial, answer: Result<Answer, String>) -> Self {
        let miss = match &answer {
            Ok(answer) => trial.expect.miss(answer),
            Err(why) => Some(Miss {
                message: format!("cannot be asked: {why}"),
                help: "mend the case, or the policies".to_owned(),
            }),
        };
        Self { answer, miss }
    }

    /// Whether it holds.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.miss.is_none()
    }
}

// === impl Answer ===

impl From<&Verdict> for Answer {
    fn from(verdict: &Verdict) -> Self {
        Self {
            decision: verdict.decision,
            by: verdict.determining.iter().map(|id| id.as_ref().to_owned()).collect(),
            errors: verdict.errors.iter().map(|(id, why)| (id.as_ref().to_owned(), why.clone())).collect(),
        }
    }
}

impl Answer {
    /// The decision and what it rests on, in a few words.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{} {}", self.decision, because(&self.by, !self.errors.is_empty()))
    }
}

fn because(by: &BTreeSet<String>, failed: bool) -> String {
    match (by.is_empty(), failed) {
        (true, true) => "because a policy could not be evaluated".to_owned(),
        (true, false) => "because nothing permits it".to_owned(),
        (false, _) => format!("by {}", listed(by)),
    }
}

fn listed(ids: &BTreeSet<String>) -> String {
    ids.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

// === impl Expect ===

impl Expect {
    /// What an answer lacks, if it is not the one that was expected.
    #[must_use]
    pub fn miss(&self, answer: &Answer) -> Option<Miss> {
        let miss = |message: String, help: &str| Some(Miss { message, help: help.to_owned() });
        let got = answer.words();
        if answer.decision != self.decision {
            return miss(format!("expected {}, got {got}", self.decision), "mend the policy, or the case");
        }
        if answer.errors.len() != self.errors {
            let all: Vec<String> = answer.errors.iter().map(|(id, why)| format!("{id}: {why}")).collect();
            let (want, have) = (self.errors, all.len());
            let help = if all.is_empty() { "mend the case".to_owned() } else { all.join("; ") };
            return miss(format!("expected {want} policies to fail, {have} did; got {got}"), &help);
        }
        match &self.by {
            By::Unsaid if self.decision == Decision::Deny => miss(
                format!("does not say which policy denies; got {got}"),
                "write `by = [\"the-policy\"]`, or `by = []` if it is only that nothing permits it",
            ),
            By::Unsaid => None,
            By::Exactly(by) if *by == answer.by => None,
            By::AtLeast(by) if by.is_subset(&answer.by) => None,
            By::Exactly(by) => miss(
                format!("expected {} {}, got {got}", self.decision, because(by, false)),
                "the decision is right, its reason is not: mend the policy, or `by`",
            ),
            By::AtLeast(by) => {
                let missing: BTreeSet<String> = by.difference(&answer.by).cloned().collect();
                let message =
                    format!("expected {} by {} as well, got {got}", self.decision, listed(&missing));
                miss(message, "the decision is right, its reason is not: mend the policy, or `reason`")
            }
        }
    }
}

// === asking ===

/// Asks Cedar about a trial, all policies at once.
///
/// # Errors
/// It cannot be asked.
pub fn ask(policies: &PolicySet, trial: &Trial) -> Result<Answer, String> {
    let asked = trial.asked.as_ref().map_err(String::clone)?;
    Ok(both(asked.iter().map(|one| {
        let response = Authorizer::new().is_authorized(&one.request, policies, &one.entities);
        let diagnostics = response.diagnostics();
        let errors = diagnostics.errors().map(failed).collect();
        let decision = match response.decision() {
            cedar_policy::Decision::Allow => Decision::Allow,
            cedar_policy::Decision::Deny => Decision::Deny,
        };
        closed(decision, diagnostics.reason().map(ToString::to_string).collect(), errors, trial.on_error)
    })))
}

fn failed(error: &cedar_policy::AuthorizationError) -> (String, String) {
    match error {
        cedar_policy::AuthorizationError::PolicyEvaluationError(e) => {
            (e.policy_id().to_string(), e.inner().to_string())
        }
    }
}

/// An answer, shut where an error shuts it.
fn closed(
    decision: Decision,
    by: BTreeSet<String>,
    mut errors: Vec<(String, String)>,
    on_error: OnError,
) -> Answer {
    errors.sort();
    if on_error == OnError::Deny && decision == Decision::Allow && !errors.is_empty() {
        return Answer { decision: Decision::Deny, by: BTreeSet::new(), errors };
    }
    Answer { decision, by, errors }
}

/// The answer to all that is asked: of an agent and its person. Whoever denies first has decided.
fn both(answers: impl IntoIterator<Item = Answer>) -> Answer {
    let mut all: Option<Answer> = None;
    for answer in answers {
        match &mut all {
            None => all = Some(answer),
            Some(so_far) if answer.decision == Decision::Allow => {
                so_far.by.extend(answer.by);
                so_far.errors.extend(answer.errors);
            }
            Some(_) => return answer,
        }
        if all.as_ref().is_some_and(|all| all.decision == Decision::Deny) {
            break;
        }
    }
    all.unwrap_or(Answer { decision: Decision::Deny, by: BTreeSet::new(), errors: Vec::new() })
}
