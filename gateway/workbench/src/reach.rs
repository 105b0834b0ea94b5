//! Who can, and what can somebody: what the policies come to before there is a request.
//!
//! Who asks, what for and what the directory grants are known; where from, when, with what sign-in and which
//! device are not. What is known is put into the policies (type-aware partial evaluation, RFC 95), and what is
//! left of them are the conditions: allowed always, never, or if.
//!
//! ```text
//!  policies ─► those that can matter ─► what is known put in ─► residuals ─► always | never | if …
//!              (index, as a request)    grant, session of a       (tpe)
//!                                       machine
//! ```
//!
//! An answer holds for every request that the gateway can make of it: a property test compares with
//! [`PolicyBundle::decide`]. Where a policy might fail, which refuses, it is said with the answer.

mod known;
mod need;
mod report;
mod words;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{
    Decision, Effect, EntityUid, PartialEntities, PartialEntityUid, PartialRequest, Policy, PolicySet,
    TpeResponse,
};
use doorward_model::{
    Assurance, CountryCode, DevicePosture, LifecycleStage, Place, Presence, Principal, Risk, RouteFacts,
    UnixMillis, Weekday,
};
use doorward_policy::{Action, PolicyBundle, Revision, Situation};

use self::known::Facts;
pub use self::need::{Atom, Need};
pub use self::report::{Entry, Page};

/// How many sets of policies are remembered with what is known put in.
const SETS_MAX: usize = 1024;

/// Somebody, or something, that may ask.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What to call it.
    pub name: String,
    /// Who it is.
    pub principal: Arc<Principal>,
    /// What is known of the person who answers for a service account.
    pub owner_stage: LifecycleStage,
}

impl Subject {
    /// `issuer:subject`; none for a visitor.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        self.principal.id().map(ToString::to_string)
    }
}

/// Whether the directory grants the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grant {
    /// It does.
    Given,
    /// It does not.
    NotGiven,
    /// Nobody knows: it stays a condition.
    Unknown,
}

/// What somebody may do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// Whatever the circumstances.
    Always {
        /// The permits.
        by: Vec<Arc<str>>,
    },
    /// While all of these hold: one for whoever asks, and for an agent one more for its person.
    If(Vec<Terms>),
    /// Under no circumstances.
    Never(Why),
}

/// About whom something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whose {
    /// Whoever asks.
    Asker,
    /// The person for whom an agent asks.
    Person,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Why {
    /// Who may not.
    pub whose: Whose,
    /// What is in the way.
    pub because: Because,
}

/// What is in the way, whatever the circumstances.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Because {
    /// No policy permits it.
    NotPermitted,
    /// These forbid it.
    Forbidden(Vec<Arc<str>>),
    /// These cannot be evaluated, which refuses.
    Fails(Vec<Arc<str>>),
    /// It cannot be asked at all, which refuses.
    NotAsked(String),
}

/// What must hold for one who asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Terms {
    /// Whom it is about.
    pub whose: Whose,
    /// The permits that hold in any case. None: one of `permits` must.
    pub by: Vec<Arc<str>>,
    /// Permits and when they hold. One is enough; empty where `by` is not.
    pub permits: Vec<Clause>,
    /// What each forbid asks for, so that it does not apply. All of them.
    pub forbids: Vec<Clause>,
    /// Policies that compute, and so can fail, which refuses although everything else holds.
    pub may_fail: Vec<Arc<str>>,
}

/// What one policy asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Clause {
    /// The policy.
    pub policy: Arc<str>,
    /// What must hold.
    pub need: Need,
}

/// Answers who can and what can somebody, by one bundle.
pub struct Reach<'b> {
    bundle: &'b PolicyBundle,
    /// The policies with what is known put in; by the selection that a request would have, which is kept so
    /// that its address stays its own.
    sets: HashMap<(usize, Facts), (Arc<PolicySet>, Arc<PolicySet>)>,
}

impl<'b> Reach<'b> {
    /// Asks this bundle.
    #[must_use]
    pub fn new(bundle: &'b PolicyBundle) -> Self {
        Self { bundle, sets: HashMap::new() }
    }

    /// Which policies are asked.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.bundle.revision()
    }

    /// What somebody may do to a route, by a gateway: it asks of no visitor at a route that is not public, whatever the
    /// policies say.
    pub fn ask_at_door(&mut self, who: &Subject, grant: Grant, action: Action, route: &RouteFacts) -> Answer {
        if matches!(&*who.principal, Principal::Visitor(_)) && !route.public {
            let because =
                Because::NotAsked("without a sign-in only public routes are asked about".to_owned());
            return Answer::Never(Why { whose: Whose::Asker, because });
        }
        self.ask(who, grant, action, route)
    }

    /// What the policies say that somebody may do to a route.
    pub fn ask(&mut self, who: &Subject, grant: Grant, action: Action, route: &RouteFacts) -> Answer {
        let asker = self.one(Whose::Asker, &who.principal, who.owner_stage, grant, action, route);
        let Principal::Agent(agent) = &*who.principal else { return asker };
        if matches!(asker, Answer::Never(_)) {
            return asker;
        }
        let person = Arc::new(Principal::User(agent.on_behalf_of.clone()));
        both(asker, self.one(Whose::Person, &person, LifecycleStage::Unknown, grant, action, route))
    }

    fn one(
        &mut self,
        whose: Whose,
        principal: &Arc<Principal>,
        owner_stage: LifecycleStage,
        grant: Grant,
        action: Action,
        route: &RouteFacts,
    ) -> Answer {
        let situation = blank(principal, owner_stage, action, route);
        let never = |because| Answer::Never(Why { whose, because });
        self.left(whose, &situation, Facts::of(principal, grant))
            .unwrap_or_else(|why| never(Because::NotAsked(why)))
    }

    /// What is left of the policies once everything is put in that is known of the situation.
    fn left(&mut self, whose: Whose, situation: &Situation, facts: Facts) -> Result<Answer, String> {
        let question = situation.question();
        let (request, entities) = self.bundle.in_cedar(&question)?;
        let slice = self.bundle.slice_in_cedar(&question)?;
        let set = self.with_facts(&slice, facts)?;
        let schema = self.bundle.schema();
        let name = |uid: Option<&EntityUid>| {
            uid.cloned().map(PartialEntityUid::from_concrete).ok_or("a request lacks a part")
        };
        let (who, what) = (name(request.principal())?, name(request.resource())?);
        let action = request.action().cloned().ok_or("a request lacks a part")?;
        let entities = PartialEntities::from_concrete(entities, schema).map_err(|e| e.to_string())?;
        let request = PartialRequest::new(who, action, what, None, schema).map_err(|e| e.to_string())?;
        let left = set.tpe(&request, &entities, schema).map_err(|e| e.to_string())?;
        answer(whose, &left)
    }

    fn with_facts(&mut self, slice: &Arc<PolicySet>, facts: Facts) -> Result<Arc<PolicySet>, String> {
        let key = (Arc::as_ptr(slice) as usize, facts);
        if let Some((_, found)) = self.sets.get(&key) {
            return Ok(Arc::clone(found));
        }
        if self.sets.len() >= SETS_MAX {
            self.sets.clear();
        }
        let policies: Result<Vec<_>, _> = slice.policies().map(|p| known::put_in(p, facts)).collect();
        let set = PolicySet::from_policies(policies?).map_err(|e| e.to_string())?;
        let set = Arc::new(set);
        self.sets.insert(key, (Arc::clone(slice), Arc::clone(&set)));
        Ok(set)
    }
}

impl std::fmt::Debug for Reach<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reach").field("bundle", &self.bundle).field("sets", &self.sets.len()).finish()
    }
}

/// A situation in which nothing is known. Nothing of its circumstances is looked at.
fn blank(
    principal: &Arc<Principal>,
    owner_stage: LifecycleStage,
    action: Action,
    route: &RouteFacts,
) -> Situation {
    Situation {
        principal: Arc::clone(principal),
        owner_stage,
        granted: false,
        action,
        route: route.clone(),
        session: Assurance::default(),
        device: DevicePosture::default(),
        place: Place {
            ip: std::net::Ipv4Addr::UNSPECIFIED.into(),
            networks: BTreeSet::new(),
            country: CountryCode::UNKNOWN,
            continent: None,
            asn: None,
            anonymizer: Presence::Unknown,
            location: None,
        },
        risk: Risk::UNKNOWN,
        now: UnixMillis(0),
        local_time: Duration::ZERO,
        weekday: Weekday::Mon,
        host: String::new(),
        path: String::new(),
        user_agent: None,
    }
}

fn name_of(policy: &Policy) -> Arc<str> {
    let id: &str = policy.id().as_ref();
    Arc::from(id)
}

fn names<'p>(ids: impl Iterator<Item = &'p cedar_policy::PolicyId>) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = ids.map(|id| Arc::from(AsRef::<str>::as_ref(id))).collect();
    names.sort();
    names
}

/// What the residuals come to.
fn answer(whose: Whose, left: &TpeResponse<'_>) -> Result<Answer, String> {
    let never = |because| Ok(Answer::Never(Why { whose, because }));
    let forbidden = names(left.true_forbids());
    if !forbidden.is_empty() {
        return never(Because::Forbidden(forbidden));
    }
    let broken = names(left.error_permits().chain(left.error_forbids()));
    if !broken.is_empty() {
        return never(Because::Fails(broken));
    }
    if left.decision() == Some(Decision::Deny) {
        return never(Because::NotPermitted);
    }
    let by = names(left.true_permits());
    let (mut permits, mut forbids, mut may_fail) = (Vec::new(), Vec::new(), Vec::new());
    for policy in left.residual_policies() {
        let condition = need::condition(&policy)?;
        let clause = |wanted| Clause { policy: name_of(&policy), need: Need::of(&condition, wanted) };
        if need::may_fail(&condition) {
            may_fail.push(name_of(&policy));
        }
        match policy.effect() {
            // What else would permit it is no condition once something does.
            Effect::Permit if !by.is_empty() => {}
            Effect::Permit => permits.push(clause(true)),
            Effect::Forbid => forbids.push(clause(false)),
        }
    }
    permits.sort();
    forbids.sort();
    may_fail.sort();
    Ok(settled(Terms { whose, by, permits, forbids, may_fail }))
}

/// Terms that nothing is left of, either way, are none.
fn settled(mut terms: Terms) -> Answer {
    terms.forbids.retain(|clause| clause.need != Need::Yes);
    let never = |because| Answer::Never(Why { whose: terms.whose, because });
    let forbidden: Vec<_> =
        terms.forbids.iter().filter(|c| c.need == Need::No).map(|c| Arc::clone(&c.policy)).collect();
    if !forbidden.is_empty() {
        return never(Because::Forbidden(forbidden));
    }
    terms.permits.retain(|clause| clause.need != Need::No);
    let given: Vec<_> =
        terms.permits.iter().filter(|c| c.need == Need::Yes).map(|c| Arc::clone(&c.policy)).collect();
    if !given.is_empty() {
        terms.by.extend(given);
        terms.by.sort();
        terms.permits.clear();
    }
    if terms.by.is_empty() && terms.permits.is_empty() {
        return never(Because::NotPermitted);
    }
    let nothing_left = terms.permits.is_empty() && terms.forbids.is_empty() && terms.may_fail.is_empty();
    if nothing_left { Answer::Always { by: terms.by } } else { Answer::If(vec![terms]) }
}

/// What an agent may, and its person may too.
fn both(agent: Answer, person: Answer) -> Answer {
    match (agent, person) {
        (never @ Answer::Never(_), _) | (_, never @ Answer::Never(_)) => never,
        (Answer::Always { by }, Answer::Always { by: persons }) => {
            let all: BTreeSet<_> = by.into_iter().chain(persons).collect();
            Answer::Always { by: all.into_iter().collect() }
        }
        (Answer::If(mut terms), Answer::If(persons)) => {
            terms.extend(persons);
            Answer::If(terms)
        }
        (Answer::If(terms), Answer::Always { .. }) | (Answer::Always { .. }, Answer::If(terms)) => {
            Answer::If(terms)
        }
    }
}

impl Answer {
    /// Whether a request is allowed in which an atom holds when `holds` says so; nothing when that depends on
    /// whether a policy fails.
    pub fn in_circumstances(&self, mut holds: impl FnMut(Whose, &Atom) -> bool) -> Option<bool> {
        match self {
            Self::Always { .. } => Some(true),
            Self::Never(_) => Some(false),
            Self::If(terms) => {
                let mut sure = true;
                for terms in terms {
                    let mut met = |clause: &Clause| clause.need.holds(&mut |atom| holds(terms.whose, atom));
                    let permitted = !terms.by.is_empty() || terms.permits.iter().any(&mut met);
                    if !permitted || !terms.forbids.iter().all(met) {
                        return Some(false);
                    }
                    sure &= terms.may_fail.is_empty();
                }
                sure.then_some(true)
            }
        }
    }

    /// The word for it: `always`, `if`, `never`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Always { .. } => "always",
            Self::If(_) => "if",
            Self::Never(_) => "never",
        }
    }
}
