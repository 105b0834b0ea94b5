//! Decides recorded requests, and remembers what each condition came to.
//!
//! Cedar's answer has no other input than what the conditions of the policies come to. Which policies can matter is
//! settled by who asks, for which route and for which action; what a condition comes to is settled by the facts that
//! it looks at ([`reads`](super::reads)):
//!
//! ```text
//!   alice, payroll/all    guard.risk      context.risk.level == "high"                  by the risk: no
//!         │               payroll.hr      context.session.mfaAge <= duration("15m")     by the side of the limit: yes
//!         └─ in scope ──► build.export    context.http.path like "/export/*"            by the path: not asked yet
//!                         guard.travel    context.geo.country == principal.homeCountry  by the person and the place
//! ```
//!
//! A record whose conditions were all asked before about the same facts is decided without Cedar: `&&`, `||`, `!` and
//! `if` as Cedar has them ([`Conditions`](doorward_policy::Conditions) is held to that by a property test), permits
//! and forbids as [`PolicyBundle::decide`] has them. A condition that was not is put to Cedar by itself.
//!
//! What holds it to the truth: what cannot be said to Cedar or told of a condition is never remembered and always put
//! to the bundle; a property test asks the bundle about every record besides; and so does each replay about one record
//! of a thousand. If ever one of these comes out otherwise, all that was remembered is thrown away, and the replay is
//! made anew with the bundle alone.

use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use cedar_policy::{Effect, Policy};
use doorward_model::{Principal, RefusalCode};
use doorward_policy::record::Recorded;
use doorward_policy::{Action, Actions, Decision, PolicyBundle, Question, Standing};

use self::taken::{Answer, Glance, Taken, Texts};

mod taken;

/// The most scenes that a thread remembers; some 80 bytes each.
const SCENES_MAX: usize = 500_000;
/// The most answers of conditions that are remembered by a thread; some 100 bytes each.
const ANSWERS_MAX: usize = 500_000;
/// The most lists of policies, and the most outcomes, that are told apart by a thread.
const LISTS_MAX: usize = 50_000;
/// Of so many records that are decided by what is remembered, one is put to the bundle as well.
const CONTROLLED_EVERY: u64 = 1000;

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
    remembers: bool,
    policies: Policies<'b>,
    standings: Standings,
    scenes: HashMap<(u64, u64), Scene>,
    /// Whether the schema lets this kind of principal ask for this action.
    askable: HashMap<(Discriminant<Principal>, Action), bool>,
    outcomes: HashMap<Judged, Rc<Outcome>>,
    texts: Texts,
    key: Vec<u64>,
    answers: usize,
    /// How many records were put to Cedar, as a whole or one of the conditions.
    pub(super) asked: u64,
    /// How many of the others were put to the bundle to see whether it says the same.
    pub(super) controlled: u64,
    /// How many of these came out otherwise.
    pub(super) mistaken: u64,
    known: u64,
}

/// The policies, in the order of their names. The place of each is its rank.
struct Policies<'b> {
    ranked: Vec<&'b Policy>,
    /// The rank of each by its number in the bundle.
    ranks: Vec<u32>,
    /// Each that was needed so far, taken apart; none where what it looks at cannot be told.
    taken: HashMap<u32, Option<Rc<Taken>>>,
    lists: HashMap<Vec<(u32, Actions)>, Rc<[Held]>>,
}

/// Where people and routes stand, by their numbers; of an agent also its person.
#[derive(Default)]
struct Standings {
    who: HashMap<(u64, bool), Standing>,
    routes: HashMap<u64, Standing>,
}

/// One person and one route.
#[derive(Default)]
struct Scene {
    /// None where it cannot be told which policies matter, or what they look at.
    sides: Option<Sides>,
    /// The actions of which it is known that they can be asked about.
    ready: u8,
}

/// The policies that can matter: to whoever asks, and of an agent to its person.
#[derive(Clone)]
struct Sides {
    own: Rc<[Held]>,
    of_person: Option<Rc<[Held]>>,
}

/// A policy that can matter, and to which actions.
struct Held {
    rank: u32,
    actions: Actions,
    forbids: bool,
    taken: Rc<Taken>,
}

/// What the policies of one side say.
#[derive(PartialEq, Eq, Hash)]
struct Judged {
    decision: Decision,
    broken: bool,
    /// The policies that decide, by rank, in order.
    by: Vec<u32>,
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

impl<'b> Decider<'b> {
    /// `remembers`: false to put every record to the bundle.
    pub(super) fn new(bundle: &'b PolicyBundle, remembers: bool) -> Self {
        Self {
            bundle,
            remembers,
            policies: Policies::new(bundle),
            standings: Standings::default(),
            scenes: HashMap::new(),
            askable: HashMap::new(),
            outcomes: HashMap::new(),
            texts: Texts::default(),
            key: Vec::new(),
            answers: 0,
            asked: 0,
            controlled: 0,
            mistaken: 0,
            known: 0,
        }
    }

    /// What the bundle decides.
    pub(super) fn decide(&mut self, record: &Recorded<'_>) -> Rc<Outcome> {
        let question = record.question();
        let found = if self.remembers && can_be_said(record) { self.find(record, &question) } else { None };
        let Some(found) = found else {
            self.asked += 1;
            return Rc::new(Outcome::of(self.bundle, &question));
        };
        self.known += 1;
        if self.known.is_multiple_of(CONTROLLED_EVERY) {
            self.controlled += 1;
            let said = Outcome::of(self.bundle, &question);
            if said != *found {
                self.mistaken += 1;
                self.remembers = false;
                return Rc::new(said);
            }
        }
        found
    }

    /// What the conditions come to together; none where that cannot be told.
    fn find(&mut self, record: &Recorded<'_>, question: &Question<'_>) -> Option<Rc<Outcome>> {
        let Sides { own, of_person } = self.sides(record, question)?;
        let mut learned = 0;
        let judged = self.judge(&own, record, question, false, &mut learned);
        let judged = match (judged, of_person) {
            (Some(Judged { decision: Decision::Allow, by, .. }), Some(held)) => {
                let person = person(question)?;
                let question = Question { principal: &person, ..question.clone() };
                // What an agent may, its person must be allowed, too.
                self.judge(&held, record, &question, true, &mut learned).map(|of_person| of_person.beside(by))
            }
            (judged, _) => judged,
        };
        self.asked += u64::from(judged.is_some() && learned > 0);
        self.answers += learned;
        Some(self.outcome(judged?))
    }

    fn judge(
        &mut self,
        held: &[Held],
        record: &Recorded<'_>,
        question: &Question<'_>,
        of_person: bool,
        learned: &mut usize,
    ) -> Option<Judged> {
        let (texts, key) = (&mut self.texts, &mut self.key);
        let mut glance = Glance::new(self.bundle, record, question, of_person, texts, key);
        let (mut permits, mut forbids, mut broken) = (Vec::new(), Vec::new(), false);
        let judged = held.iter().filter(|one| one.actions.has(question.action)).try_for_each(|one| {
            match one.taken.comes_to(&mut glance)? {
                Answer::Yes if one.forbids => forbids.push(one.rank),
                Answer::Yes => permits.push(one.rank),
                Answer::No => {}
                Answer::Failed => broken = true,
            }
            Some(())
        });
        *learned += glance.learned;
        judged?;
        Some(match (permits.is_empty(), forbids.is_empty(), broken) {
            (false, true, false) => Judged { decision: Decision::Allow, broken, by: permits },
            // Nobody is let in beside a policy that could not be evaluated; the permits did not decide then.
            (_, true, _) => Judged { decision: Decision::Deny, broken, by: Vec::new() },
            (_, false, _) => Judged { decision: Decision::Deny, broken, by: forbids },
        })
    }

    fn outcome(&mut self, judged: Judged) -> Rc<Outcome> {
        if let Some(known) = self.outcomes.get(&judged) {
            return Rc::clone(known);
        }
        let policies = judged.by.iter().filter_map(|rank| self.policies.name(*rank)).collect();
        let outcome = Rc::new(Outcome { decision: judged.decision, policies, broken: judged.broken });
        if self.outcomes.len() >= LISTS_MAX {
            self.outcomes.clear();
        }
        self.outcomes.insert(judged, Rc::clone(&outcome));
        outcome
    }

    /// The policies that can matter to this record.
    fn sides(&mut self, record: &Recorded<'_>, question: &Question<'_>) -> Option<Sides> {
        let at = (record.who.number, record.route.number);
        let bit = 1 << (record.action as u8);
        match self.scenes.get(&at) {
            Some(Scene { sides: None, .. }) => return None,
            Some(Scene { sides: Some(sides), ready }) if ready & bit != 0 => return Some(sides.clone()),
            Some(_) => {}
            None => {
                self.make_room();
                let sides = self.plant(record, question);
                self.scenes.insert(at, Scene { sides, ready: 0 });
            }
        }
        let person = person(question);
        let of_person = person.as_ref().map(|person| Question { principal: person, ..question.clone() });
        let is_askable = self.is_askable(question) && of_person.is_none_or(|q| self.is_askable(&q));
        let scene = self.scenes.get_mut(&at).filter(|_| is_askable)?;
        scene.ready |= bit;
        scene.sides.clone()
    }

    fn make_room(&mut self) {
        let lists = self.policies.lists.len();
        if self.scenes.len() >= SCENES_MAX || self.answers >= ANSWERS_MAX || lists >= LISTS_MAX {
            self.scenes.clear();
            self.standings = Standings::default();
            // With the policies go what their conditions came to.
            self.policies.taken.clear();
            self.policies.lists.clear();
            self.answers = 0;
        }
    }

    /// Whether such a question can be put to Cedar at all: the schema says which principals there are for an action.
    fn is_askable(&mut self, question: &Question<'_>) -> bool {
        let of = (discriminant(&**question.principal), question.action);
        *self.askable.entry(of).or_insert_with(|| self.bundle.in_cedar(question).is_ok())
    }

    fn plant(&mut self, record: &Recorded<'_>, question: &Question<'_>) -> Option<Sides> {
        let (who, route) = (record.who.number, record.route.number);
        let mut side = |question: &Question<'_>, of_person: bool| {
            let [principal, resource] = self.standings.of(self.bundle, question, (who, of_person), route)?;
            let in_scope = self.bundle.in_scope(question.principal, [&principal, &resource]);
            self.policies.held(in_scope)
        };
        let own = side(question, false)?;
        let of_person = match person(question) {
            Some(person) => Some(side(&Question { principal: &person, ..question.clone() }, true)?),
            None => None,
        };
        Some(Sides { own, of_person })
    }

    /// Turns all that is known into its contrary.
    #[cfg(test)]
    pub(super) fn mislead(&mut self) {
        self.policies.taken.values().flatten().for_each(|taken| taken.mislead());
    }
}

impl Judged {
    /// What comes of it for an agent that may by itself: what its person may is by the policies of both.
    fn beside(mut self, of_agent: Vec<u32>) -> Self {
        if self.decision == Decision::Allow {
            self.by.extend(of_agent);
            self.by.sort_unstable();
            self.by.dedup();
        }
        self
    }
}

impl Standings {
    fn of(
        &mut self,
        bundle: &PolicyBundle,
        question: &Question<'_>,
        who: (u64, bool),
        route: u64,
    ) -> Option<[Standing; 2]> {
        if let (Some(who), Some(route)) = (self.who.get(&who), self.routes.get(&route)) {
            return Some([who.clone(), route.clone()]);
        }
        let [of_who, of_route] = bundle.standings(question).ok()?;
        self.who.insert(who, of_who.clone());
        self.routes.insert(route, of_route.clone());
        Some([of_who, of_route])
    }
}

impl<'b> Policies<'b> {
    fn new(bundle: &'b PolicyBundle) -> Self {
        let mut numbered: Vec<(usize, &Policy)> = bundle.numbered().enumerate().collect();
        let name = |policy: &'b Policy| -> &'b str { policy.id().as_ref() };
        numbered.sort_by(|a, b| name(a.1).cmp(name(b.1)));
        let mut ranks = vec![0; numbered.len()];
        for (rank, (number, _)) in (0..).zip(&numbered) {
            if let Some(place) = ranks.get_mut(*number) {
                *place = rank;
            }
        }
        let ranked = numbered.into_iter().map(|(_, policy)| policy).collect();
        Self { ranked, ranks, taken: HashMap::new(), lists: HashMap::new() }
    }

    fn get(&self, rank: u32) -> Option<&'b Policy> {
        self.ranked.get(usize::try_from(rank).ok()?).copied()
    }

    fn name(&self, rank: u32) -> Option<Arc<str>> {
        let name: &str = self.get(rank)?.id().as_ref();
        Some(name.into())
    }

    /// The policies with these numbers; none where what one of them looks at cannot be told. People of the same roles
    /// share one list.
    fn held(&mut self, in_scope: Vec<(usize, Actions)>) -> Option<Rc<[Held]>> {
        let rank = |(number, actions): (usize, Actions)| Some((*self.ranks.get(number)?, actions));
        let mut ranked: Vec<(u32, Actions)> = in_scope.into_iter().map(rank).collect::<Option<_>>()?;
        ranked.sort_unstable_by_key(|(rank, _)| *rank);
        if let Some(known) = self.lists.get(&ranked) {
            return Some(Rc::clone(known));
        }
        let mut held = Vec::with_capacity(ranked.len());
        for (rank, actions) in &ranked {
            let policy = self.get(*rank)?;
            let taken = self.taken.entry(*rank).or_insert_with(|| Taken::new(policy).map(Rc::new));
            let (taken, forbids) = (Rc::clone(taken.as_ref()?), policy.effect() == Effect::Forbid);
            held.push(Held { rank: *rank, actions: *actions, forbids, taken });
        }
        let held: Rc<[Held]> = held.into();
        self.lists.insert(ranked, Rc::clone(&held));
        Some(held)
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
