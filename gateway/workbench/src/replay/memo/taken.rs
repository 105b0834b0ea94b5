//! A policy taken apart, and what its conditions came to.

use std::cell::RefCell;
use std::collections::HashMap;

use cedar_policy::{Entities, Policy, Request};
use doorward_model::{Principal, UnixMillis};
use doorward_policy::conditions::{Kind, Part};
use doorward_policy::record::Recorded;
use doorward_policy::{Conditions, PolicyBundle, Question, Truth};

use super::super::reads::{Clock, Fact, Look, Reads};

/// How much of hosts, paths and user agents is remembered, in bytes.
const TEXT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a condition came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    /// It could not be evaluated.
    Failed,
}

/// A policy, taken apart.
pub(super) struct Taken {
    conditions: Conditions,
    /// By the numbers of the conditions; none where it is no atom, or a side of the scope.
    atoms: Vec<Option<Atom>>,
}

/// A condition that is asked as a whole.
struct Atom {
    who: bool,
    action: bool,
    route: bool,
    /// One of these.
    of_scene: bool,
    facts: Vec<Fact>,
    clocks: Vec<(Clock, Limits)>,
    /// What it came to, by all that it looks at.
    answers: RefCell<HashMap<Box<[u64]>, Answer>>,
}

enum Limits {
    Exactly,
    Compared { limits: Vec<i64>, contract_end: bool },
}

/// One record, looked at for one principal.
pub(super) struct Glance<'g> {
    bundle: &'g PolicyBundle,
    record: &'g Recorded<'g>,
    question: &'g Question<'g>,
    of_person: bool,
    /// Whether a sign-in counts: a machine and a visitor have proved nothing, whatever their session says.
    is_user: bool,
    texts: &'g mut Texts,
    key: &'g mut Vec<u64>,
    /// The numbers of host, path and user agent, once somebody looks at them.
    numbers: [Option<u64>; 3],
    /// The question in Cedar's form: the circumstances alone, and with all entities.
    alone: Option<Request>,
    whole: Option<(Request, Entities)>,
    /// How many conditions were put to Cedar.
    pub(super) learned: usize,
}

/// Numbers for texts. None is used twice.
#[derive(Default)]
pub(super) struct Texts {
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

impl Answer {
    const fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Failed => Self::Failed,
        }
    }
}

impl Taken {
    /// None where it cannot be told what one of the conditions looks at.
    pub(super) fn new(policy: &Policy) -> Option<Self> {
        let conditions = Conditions::new(policy);
        let atom = |condition: &doorward_policy::Condition| {
            if *condition.kind() != Kind::Atom || condition.part() != Part::Clause {
                return Some(None);
            }
            Some(Some(Atom::new(Reads::of(&condition.text())?)))
        };
        let atoms = conditions.all().iter().map(atom).collect::<Option<_>>()?;
        Some(Self { conditions, atoms })
    }

    /// What the policy comes to for a record that its scope holds; none where that cannot be told.
    pub(super) fn comes_to(&self, glance: &mut Glance<'_>) -> Option<Answer> {
        self.look(0, glance)
    }

    /// As Cedar evaluates: from the first to the last, and no further than is needed.
    fn look(&self, number: usize, glance: &mut Glance<'_>) -> Option<Answer> {
        match self.conditions.get(number)?.kind() {
            Kind::All(below) => self.first_but(Answer::Yes, below, glance),
            Kind::Any(below) => self.first_but(Answer::No, below, glance),
            Kind::Not(inner) => Some(self.look(*inner, glance)?.not()),
            Kind::If { test, then, otherwise } => match self.look(*test, glance)? {
                Answer::Yes => self.look(*then, glance),
                Answer::No => self.look(*otherwise, glance),
                Answer::Failed => Some(Answer::Failed),
            },
            Kind::Atom => match self.atoms.get(number)? {
                Some(atom) => glance.ask(&self.conditions, number, atom),
                // The policy would not be here if its scope did not hold.
                None => Some(Answer::Yes),
            },
        }
    }

    fn first_but(&self, passes: Answer, below: &[usize], glance: &mut Glance<'_>) -> Option<Answer> {
        for number in below {
            let answer = self.look(*number, glance)?;
            if answer != passes {
                return Some(answer);
            }
        }
        Some(passes)
    }

    /// Turns all that is known into its contrary.
    #[cfg(test)]
    pub(super) fn mislead(&self) {
        for atom in self.atoms.iter().flatten() {
            atom.answers.borrow_mut().values_mut().for_each(|answer| *answer = answer.not());
        }
    }
}

impl Atom {
    fn new(reads: Reads) -> Self {
        let of_scene = reads.looks_at_scene();
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
            of_scene,
            who: reads.who,
            action: reads.action,
            route: reads.route,
            facts: reads.facts.into_iter().collect(),
            clocks: clocks.collect(),
            answers: RefCell::default(),
        }
    }
}

impl<'g> Glance<'g> {
    pub(super) fn new(
        bundle: &'g PolicyBundle,
        record: &'g Recorded<'g>,
        question: &'g Question<'g>,
        of_person: bool,
        texts: &'g mut Texts,
        key: &'g mut Vec<u64>,
    ) -> Self {
        let is_user = matches!(**question.principal, Principal::User(_));
        let numbers = [None; 3];
        let (alone, whole, learned) = (None, None, 0);
        Self { bundle, record, question, of_person, is_user, texts, key, numbers, alone, whole, learned }
    }

    /// What a condition comes to: as it did before about the same, or by Cedar.
    fn ask(&mut self, conditions: &Conditions, number: usize, atom: &Atom) -> Option<Answer> {
        self.fill(atom);
        if let Some(known) = atom.answers.borrow().get(self.key.as_slice()) {
            return Some(*known);
        }
        let truth = if atom.of_scene {
            if self.whole.is_none() {
                self.whole = Some(self.bundle.in_cedar(self.question).ok()?);
            }
            let (request, entities) = self.whole.as_ref()?;
            conditions.evaluate_one(number, request, entities)
        } else {
            if self.alone.is_none() {
                self.alone = Some(self.bundle.circumstances_in_cedar(self.question).ok()?);
            }
            conditions.evaluate_one(number, self.alone.as_ref()?, &Entities::empty())
        };
        let answer = match truth {
            Truth::True => Answer::Yes,
            Truth::False => Answer::No,
            Truth::Error(_) => Answer::Failed,
            Truth::NotReached => return None,
        };
        self.learned += 1;
        atom.answers.borrow_mut().insert(self.key.as_slice().into(), answer);
        Some(answer)
    }

    /// Puts all that a condition looks at into the key.
    fn fill(&mut self, atom: &Atom) {
        let record = self.record;
        self.key.clear();
        let action = if atom.action { record.action as u64 + 1 } else { 0 };
        self.key.push(action << 2 | u64::from(self.is_user) << 1 | u64::from(self.of_person));
        if atom.who {
            self.key.push(record.who.number);
        }
        if atom.route {
            self.key.push(record.route.number);
        }
        for fact in &atom.facts {
            let number = match fact {
                Fact::Place => record.place.number,
                Fact::Device => record.device.number,
                Fact::Risk => record.risk.number,
                Fact::Mfa => u64::from(record.session.mfa),
                Fact::PhishingResistant => u64::from(record.session.phishing_resistant),
                Fact::SessionKnown => u64::from(record.session.authenticated_at.is_some()),
                Fact::Weekday => record.weekday as u64,
                Fact::Host => self.number(0, Some(&record.host)),
                Fact::Path => self.number(1, Some(&record.path)),
                Fact::UserAgent => self.number(2, record.user_agent.as_deref()),
                Fact::Granted => u64::from(record.granted),
            };
            self.key.push(number);
        }
        for (clock, limits) in &atom.clocks {
            let millis = millis(*clock, record);
            match limits {
                Limits::Exactly => self.key.push(millis.cast_unsigned()),
                Limits::Compared { limits, contract_end } => {
                    self.key.push(side(millis, limits));
                    if *contract_end {
                        let end = contract_end_millis(&record.who.value.0);
                        self.key.push(end.map_or(3, |end| side(millis, &[end])));
                    }
                }
            }
        }
    }

    fn number(&mut self, at: usize, text: Option<&str>) -> u64 {
        let Some(text) = text else { return 0 };
        if let Some(known) = self.numbers.get(at).copied().flatten() {
            return known;
        }
        let number = self.texts.number(text);
        if let Some(place) = self.numbers.get_mut(at) {
            *place = Some(number);
        }
        number
    }
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
