//! Decides recorded requests, and remembers how it came to each decision.
//!
//! Cedar evaluates the conditions of a policy one after the other, and stops where the matter is settled. For one
//! person, route and action the entities are the same, and so are the policies whose scope matches; what is left
//! open are the conditions that look at the circumstances. So each decision is a way through a tree:
//!
//! ```text
//!   alice, GET payroll/all:   session.mfa? ── yes ──► risk.level == "high"? ── no ──► http.path like "/export/*"? …
//!                                  └── no ──► …              └── yes ──► deny by guard.risk
//! ```
//!
//! A record goes its way without Cedar as long as each condition was asked before about the same facts
//! ([`reads`](super::reads)), and ends in the decision that was made there. The first record that comes to
//! something new is put to the bundle, and its way is added. Conditions that look at the circumstances only are
//! shared by all trees.
//!
//! Why that is exact: a condition has no other input than the entities, the action and what it reads, so what it
//! comes to, an error included, is settled by the place in the tree and by these facts. Cedar's answer has no other
//! input than what the conditions come to. What cannot be said to Cedar for certain is never remembered. A property
//! test asks the bundle about every record besides.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use cedar_policy::{PolicyId, PolicySet};
use doorward_model::{Principal, RefusalCode, UnixMillis};
use doorward_policy::conditions::{Kind, Part};
use doorward_policy::record::Recorded;
use doorward_policy::{Action, Conditions, Decision, PolicyBundle, Question, Truth};

use super::reads::{Clock, Fact, Look, Reads};

/// The most places in the trees of a thread; some 200 bytes each.
const PLACES_MAX: usize = 300_000;
/// The most answers of conditions that are remembered by a thread; some 100 bytes each.
const ANSWERS_MAX: usize = 500_000;
/// How much of hosts, paths and user agents is remembered, in bytes.
const TEXT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What was decided.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) decision: Decision,
    /// The policies that decided, sorted.
    pub(super) policies: Vec<Arc<str>>,
    /// One of the policies could not be evaluated, or none could be asked.
    pub(super) broken: bool,
}

/// Asks one bundle about records that one reader read. The thread must have a stack on which policies are read.
pub(super) struct Decider<'b> {
    bundle: &'b PolicyBundle,
    policies: HashMap<PolicyId, Rc<Taken>>,
    trees: HashMap<(u64, u64, Action), Option<Tree>>,
    texts: Texts,
    key: Vec<u64>,
    places: usize,
    answers: usize,
    /// How many records were put to the bundle.
    pub(super) asked: u64,
}

/// A policy, taken apart.
struct Taken {
    conditions: Conditions,
    /// Its atoms that look at the circumstances, by their numbers, in the order of evaluation.
    atoms: Vec<(usize, Rc<Atom>)>,
}

/// A condition that looks at the circumstances.
struct Atom {
    facts: Vec<Fact>,
    clocks: Vec<(Clock, Limits)>,
    /// What it came to, where it looks at nothing else.
    shared: Option<RefCell<HashMap<Box<[u64]>, usize>>>,
}

enum Limits {
    Exactly,
    Compared { limits: Vec<i64>, contract_end: bool },
}

/// All ways of one person, route and action.
struct Tree {
    /// Those that can matter; of an agent also those that can matter to its person.
    policies: [Vec<Rc<Taken>>; 2],
    root: Step,
    places: Vec<Place>,
}

/// Where a way goes on.
#[derive(Clone, Default)]
enum Step {
    /// Nobody went there.
    #[default]
    New,
    /// To this place.
    Ask(usize),
    /// Nowhere: that is the decision.
    Done(Rc<Outcome>),
}

/// A condition that is asked there, and where what it comes to leads.
struct Place {
    atom: Rc<Atom>,
    /// Whether it is asked about a person, and not about a program or a visitor.
    of_person: bool,
    /// What it came to, where it looks at more than the circumstances.
    own: HashMap<Box<[u64]>, usize>,
    /// If it holds, if not, and if it cannot be evaluated.
    next: [Step; 3],
}

/// A condition that was asked, and what it came to, as a place in [`Place::next`].
struct Asked {
    atom: Rc<Atom>,
    of_person: bool,
    answer: usize,
}

/// Numbers for texts. None is used twice.
#[derive(Default)]
struct Texts {
    known: HashMap<Box<str>, u64>,
    bytes: usize,
    next: u64,
}

impl Texts {
    fn number(&mut self, text: &str) -> u64 {
        if let Some(number) = self.known.get(text) {
            return *number;
        }
        if self.bytes.saturating_add(text.len()) > TEXT_BYTES_MAX {
            self.known.clear();
            self.bytes = 0;
        }
        // Zero is for what is not there.
        self.next += 1;
        self.bytes += text.len();
        self.known.insert(text.into(), self.next);
        self.next
    }
}

impl Outcome {
    /// What the bundle itself says.
    pub(super) fn of(bundle: &PolicyBundle, q: &Question<'_>) -> Self {
        let verdict = bundle.decide(q);
        let unasked =
            verdict.refusal.as_ref().is_some_and(|refusal| refusal.code == RefusalCode::PolicyError);
        let mut policies = verdict.determining;
        policies.sort();
        Self { decision: verdict.decision, policies, broken: unasked || !verdict.errors.is_empty() }
    }
}

impl Taken {
    fn new(policy: &cedar_policy::Policy) -> Self {
        let conditions = Conditions::new(policy);
        let atoms = conditions.all().iter().enumerate().filter_map(|(number, condition)| {
            // The scope is about who, what and which, and those are the same in the whole tree.
            let is_open = *condition.kind() == Kind::Atom && condition.part() == Part::Clause;
            let reads = is_open.then(|| Reads::of(&condition.text())).filter(|reads| !reads.is_empty())?;
            Some((number, Rc::new(Atom::new(reads))))
        });
        let atoms = atoms.collect();
        Self { conditions, atoms }
    }
}

impl Atom {
    fn new(reads: Reads) -> Self {
        let clocks = reads.clocks.into_iter().map(|(clock, look)| {
            let limits = match look {
                Look::Exactly => Limits::Exactly,
                Look::Compared { limits, contract_end } => {
                    Limits::Compared { limits: limits.into_iter().collect(), contract_end }
                }
            };
            (clock, limits)
        });
        Self {
            facts: reads.facts.into_iter().collect(),
            clocks: clocks.collect(),
            shared: (!reads.scene).then(RefCell::default),
        }
    }

    /// The facts of a record that it looks at. `of_person`: it is asked about a person, whose sign-in counts.
    fn key(&self, record: &Recorded<'_>, of_person: bool, texts: &mut Texts, key: &mut Vec<u64>) {
        key.clear();
        // A machine and a visitor have proved nothing, whatever their session says.
        key.push(u64::from(of_person));
        for fact in &self.facts {
            key.push(match fact {
                Fact::Place => record.place.number,
                Fact::Device => record.device.number,
                Fact::Risk => record.risk.number,
                Fact::Mfa => u64::from(record.session.mfa),
                Fact::PhishingResistant => u64::from(record.session.phishing_resistant),
                Fact::SessionKnown => u64::from(record.session.authenticated_at.is_some()),
                Fact::Weekday => record.weekday as u64,
                Fact::Host => texts.number(&record.host),
                Fact::Path => texts.number(&record.path),
                Fact::UserAgent => record.user_agent.as_deref().map_or(0, |agent| texts.number(agent)),
                Fact::Granted => u64::from(record.granted),
            });
        }
        for (clock, limits) in &self.clocks {
            let millis = millis(*clock, record);
            match limits {
                Limits::Exactly => key.push(millis.cast_unsigned()),
                Limits::Compared { limits, contract_end } => {
                    key.push(side(millis, limits));
                    if *contract_end {
                        let end = contract_end_millis(&record.who.value.0);
                        key.push(end.map_or(3, |end| side(millis, &[end])));
                    }
                }
            }
        }
    }
}

impl<'b> Decider<'b> {
    pub(super) fn new(bundle: &'b PolicyBundle) -> Self {
        Self {
            bundle,
            policies: HashMap::new(),
            trees: HashMap::new(),
            texts: Texts::default(),
            key: Vec::new(),
            places: 0,
            answers: 0,
            asked: 0,
        }
    }

    /// What the bundle decides.
    pub(super) fn decide(&mut self, record: &Recorded<'_>) -> Rc<Outcome> {
        let question = record.question();
        if !can_be_said(record) {
            return self.ask(&question);
        }
        if self.places > PLACES_MAX || self.answers > ANSWERS_MAX {
            // With the policies go what their conditions came to.
            self.trees.clear();
            self.policies.clear();
            (self.places, self.answers) = (0, 0);
        }
        let at = (record.who.number, record.route.number, record.action);
        if !self.trees.contains_key(&at) {
            let tree = self.plant(&question);
            self.places += 1;
            self.trees.insert(at, tree);
        }
        let known = match self.trees.get(&at) {
            Some(Some(tree)) => tree.walk(record, &mut self.texts, &mut self.key),
            Some(None) | None => return self.ask(&question),
        };
        if let Some(known) = known {
            return known;
        }
        let outcome = self.ask(&question);
        if let Some(Some(tree)) = self.trees.get_mut(&at) {
            let before = tree.places.len();
            let grown = tree.grow(self.bundle, record, &outcome, &mut self.texts, &mut self.key);
            self.places += tree.places.len().saturating_sub(before);
            match grown {
                Some(answers) => self.answers += answers,
                // What happens there is not understood: it is asked about each time.
                None => drop(self.trees.insert(at, None)),
            }
        }
        outcome
    }

    /// Whether every way fits into its tree.
    #[cfg(test)]
    pub(super) fn is_understood(&self) -> bool {
        self.trees.values().all(Option::is_some)
    }

    fn ask(&mut self, question: &Question<'_>) -> Rc<Outcome> {
        self.asked += 1;
        Rc::new(Outcome::of(self.bundle, question))
    }

    /// A tree without a way; none where the policies that can matter cannot be told.
    fn plant(&mut self, question: &Question<'_>) -> Option<Tree> {
        let own = self.bundle.slice_in_cedar(question).ok()?;
        let of_person = match person(question) {
            Some(person) => {
                let question = Question { principal: &person, ..question.clone() };
                self.take(&*self.bundle.slice_in_cedar(&question).ok()?)
            }
            None => Vec::new(),
        };
        Some(Tree { policies: [self.take(&own), of_person], root: Step::New, places: Vec::new() })
    }

    fn take(&mut self, slice: &PolicySet) -> Vec<Rc<Taken>> {
        let mut all: Vec<(PolicyId, Rc<Taken>)> = slice
            .policies()
            .map(|policy| {
                let id = policy.id().clone();
                let known = self.policies.entry(id.clone()).or_insert_with(|| Rc::new(Taken::new(policy)));
                (id, Rc::clone(known))
            })
            .collect();
        // Always in one order, for the way goes from the first to the last.
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.into_iter().map(|(_, taken)| taken).filter(|taken| !taken.atoms.is_empty()).collect()
    }
}

impl Tree {
    fn walk(&self, record: &Recorded<'_>, texts: &mut Texts, key: &mut Vec<u64>) -> Option<Rc<Outcome>> {
        let mut step = &self.root;
        loop {
            match step {
                Step::New => return None,
                Step::Done(outcome) => return Some(Rc::clone(outcome)),
                Step::Ask(at) => {
                    let place = self.places.get(*at)?;
                    place.atom.key(record, place.of_person, texts, key);
                    step = place.next.get(place.answer(key)?)?;
                }
            }
        }
    }

    /// Adds the way of a record; how many answers of conditions it had that were not known. None where the way is
    /// not the one of before, which cannot be if all of this is right.
    fn grow(
        &mut self,
        bundle: &PolicyBundle,
        record: &Recorded<'_>,
        outcome: &Rc<Outcome>,
        texts: &mut Texts,
        key: &mut Vec<u64>,
    ) -> Option<usize> {
        let mut answers = 0;
        // The place before, and which of its ways was taken.
        let mut from: Option<(usize, usize)> = None;
        for Asked { atom, of_person, answer } in self.way(bundle, &record.question())? {
            let here = match self.step(from)? {
                Step::Ask(here) => *here,
                Step::New => {
                    let here = self.places.len();
                    let (atom, own, next) = (Rc::clone(&atom), HashMap::new(), Default::default());
                    self.places.push(Place { atom, of_person, own, next });
                    *self.step(from)? = Step::Ask(here);
                    here
                }
                Step::Done(_) => return None,
            };
            let place = self.places.get_mut(here)?;
            if !Rc::ptr_eq(&place.atom, &atom) || place.of_person != of_person {
                return None;
            }
            atom.key(record, of_person, texts, key);
            match place.answer(key) {
                Some(known) if known != answer => return None,
                Some(_) => {}
                None => {
                    answers += 1;
                    let own = &mut place.own;
                    match &atom.shared {
                        Some(shared) => drop(shared.borrow_mut().insert(key.as_slice().into(), answer)),
                        None => drop(own.insert(key.as_slice().into(), answer)),
                    }
                }
            }
            from = Some((here, answer));
        }
        let end = self.step(from)?;
        match end {
            Step::New => *end = Step::Done(Rc::clone(outcome)),
            Step::Done(known) if known == outcome => {}
            Step::Done(_) | Step::Ask(_) => return None,
        }
        Some(answers)
    }

    fn step(&mut self, from: Option<(usize, usize)>) -> Option<&mut Step> {
        match from {
            None => Some(&mut self.root),
            Some((place, answer)) => self.places.get_mut(place)?.next.get_mut(answer),
        }
    }

    /// The conditions that Cedar comes to and that look at the circumstances, and what each comes to.
    fn way(&self, bundle: &PolicyBundle, question: &Question<'_>) -> Option<Vec<Asked>> {
        let mut way = Vec::new();
        let [own, of_person] = &self.policies;
        let mut go = |policies: &[Rc<Taken>], question: &Question<'_>| {
            let (request, entities) = bundle.in_cedar(question).ok()?;
            let of_person = matches!(**question.principal, Principal::User(_));
            for policy in policies {
                let truths = policy.conditions.evaluate(&request, &entities);
                for (number, atom) in &policy.atoms {
                    let answer = match truths.get(*number)? {
                        Truth::True => 0,
                        Truth::False => 1,
                        Truth::Error(_) => 2,
                        Truth::NotReached => continue,
                    };
                    way.push(Asked { atom: Rc::clone(atom), of_person, answer });
                }
            }
            Some(())
        };
        go(own, question)?;
        if let Some(person) = person(question) {
            go(of_person, &Question { principal: &person, ..question.clone() })?;
        }
        Some(way)
    }
}

impl Place {
    fn answer(&self, key: &[u64]) -> Option<usize> {
        match &self.atom.shared {
            Some(shared) => shared.borrow().get(key).copied(),
            None => self.own.get(key).copied(),
        }
    }
}

/// What an agent may, its person must be allowed, too.
fn person(question: &Question<'_>) -> Option<Arc<Principal>> {
    match &**question.principal {
        Principal::Agent(agent) => Some(Arc::new(Principal::User(agent.on_behalf_of.clone()))),
        Principal::User(_) | Principal::ServiceAccount(_) | Principal::Visitor(_) => None,
    }
}

/// Whether the circumstances can be told to Cedar for certain: not all times and addresses can.
fn can_be_said(record: &Recorded<'_>) -> bool {
    let plain = match record.place.value.ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => ip.to_ipv4().is_none(),
    };
    plain && record.is_in_calendar()
}

/// What a policy sees of a time, in milliseconds: all of them are told in whole seconds.
fn millis(clock: Clock, record: &Recorded<'_>) -> i64 {
    let seconds = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
    match clock {
        Clock::Now => record.now.seconds().saturating_mul(1000),
        Clock::Local => seconds(record.local_time.as_secs()),
        Clock::Age => seconds(record.session_age_seconds()),
        Clock::MfaAge => seconds(record.mfa_age_seconds()),
        Clock::PostureAge => seconds(record.posture_age_minutes().saturating_mul(60)),
    }
}

/// Between which limits it lies, or on which of them.
fn side(millis: i64, limits: &[i64]) -> u64 {
    let (at, exactly) = match limits.binary_search(&millis) {
        Ok(at) => (at, 1),
        Err(at) => (at, 0),
    };
    at as u64 * 2 + exactly
}

fn contract_end_millis(principal: &Principal) -> Option<i64> {
    let end = |end: Option<UnixMillis>| end.map(|end| end.seconds().saturating_mul(1000));
    match principal {
        Principal::User(user) => end(user.contract_end),
        Principal::Agent(agent) => end(agent.on_behalf_of.contract_end),
        Principal::ServiceAccount(_) | Principal::Visitor(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_side_of_its_own() {
        let limits = [-5, 0, 900];
        let sides: Vec<u64> = [-6, -5, -1, 0, 1, 900, 901].map(|at| side(at, &limits)).into();
        assert_eq!(sides, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(side(7, &[]), 0);
    }

    #[test]
    fn texts_are_told_apart_for_ever() {
        let mut texts = Texts::default();
        let first = texts.number("/a");
        assert_eq!((first, texts.number("/a"), texts.number("/b")), (1, 1, 2));
        for n in 0..10 {
            texts.number(&format!("{n}{}", "x".repeat(TEXT_BYTES_MAX / 4)));
        }
        assert!(texts.number("/a") > first && texts.known.len() < 8);
    }
}
