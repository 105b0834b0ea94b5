//! Index and residuals answer as plain Cedar does: a million random requests in each run of the suite, and as many more as
//! somebody asks for.
//!
//! Three answers to each request must be one: of all policies by Cedar's own authorizer (plain), of the slice
//! that the index finds, and of what type-aware partial evaluation leaves of the policies when the
//! circumstances, who asks, what for, or all of these are not known yet. Decision, reasons and errors are
//! compared.
//!
//! `DOORWARD_DIFFERENTIAL=10000000` asks for more requests than the suite does, `DOORWARD_DIFFERENTIAL_SEED`
//! for others. What differs is told with the seed of its round; `DOORWARD_DIFFERENTIAL_ROUND` runs that alone.

pub(crate) mod asked;
pub(crate) mod chance;
pub(crate) mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PartialEntities, PartialEntityUid,
    PartialRequest, Policy, PolicyId, PolicySet, Request, Response, Schema, ValidationMode, Validator,
};
use doorward_model::Principal;
use doorward_policy::{Action, PolicyBundle, Situation, Verdict, Workshop};

use self::chance::Chance;

/// How many requests are asked unless somebody wants more. Each is compared at least twice.
const REQUESTS: u64 = 1_000_000;
/// Under how many circumstances what the index found once is asked. More would make more requests of fewer look-ups.
const CONTEXTS: usize = 16;

/// Decision, reasons, and the policies that failed.
type Outcome = (Decision, BTreeSet<String>, BTreeMap<String, String>);

fn outcome(response: &Response) -> Outcome {
    let diagnostics = response.diagnostics();
    let errors = diagnostics.errors().map(|cedar_policy::AuthorizationError::PolicyEvaluationError(e)| {
        (e.policy_id().to_string(), e.inner().to_string())
    });
    (response.decision(), diagnostics.reason().map(ToString::to_string).collect(), errors.collect())
}

/// How often what happened: a test in which nothing happens proves nothing.
#[derive(Debug, Default)]
struct Seen {
    /// Each with circumstances of its own.
    requests: AtomicU64,
    /// How often the index was asked for the policies of a request.
    lookups: AtomicU64,
    comparisons: AtomicU64,
    rounds: AtomicU64,
    policies: AtomicU64,
    allowed: AtomicU64,
    forbidden: AtomicU64,
    not_permitted: AtomicU64,
    with_errors: AtomicU64,
    /// What partial evaluation said before anything else was known.
    settled: AtomicU64,
    open: AtomicU64,
    /// The slice was smaller than the whole.
    narrowed: AtomicU64,
}

impl Seen {
    fn count(&self, plain: &Outcome) {
        let (decision, reasons, errors) = plain;
        match (decision, reasons.is_empty()) {
            (Decision::Allow, _) => &self.allowed,
            (Decision::Deny, false) => &self.forbidden,
            (Decision::Deny, true) => &self.not_permitted,
        }
        .fetch_add(1, Relaxed);
        self.with_errors.fetch_add(u64::from(!errors.is_empty()), Relaxed);
    }

    /// A request that was compared so often.
    fn asked(&self, many: u64) {
        self.requests.fetch_add(1, Relaxed);
        self.comparisons.fetch_add(many, Relaxed);
    }
}

/// The policies of a round, and what is asked about them.
struct Round<'a> {
    seed: u64,
    texts: Vec<String>,
    whole: PolicySet,
    bundle: PolicyBundle,
    ground: &'a Workshop,
    seen: &'a Seen,
}

impl<'a> Round<'a> {
    fn new(ground: &'a Workshop, seen: &'a Seen, chance: &mut Chance, seed: u64, wild: bool) -> Self {
        let many = match chance.below(12) {
            0 => chance.below(3),
            1 => 40,
            _ => 4 + chance.below(12),
        };
        let texts: Vec<String> = (0..many).map(|_| written::policy(chance, wild)).collect();
        let mut policies: Vec<Policy> = Vec::new();
        for (n, text) in texts.iter().enumerate() {
            match Policy::parse(Some(PolicyId::new(format!("p{n}"))), text) {
                Ok(policy) => policies.push(policy),
                Err(e) => panic!("seed {seed}: a policy that cannot be read: {e:?}\n{text}"),
            }
        }
        if !wild {
            policies = valid(ground.schema(), policies);
        }
        seen.rounds.fetch_add(1, Relaxed);
        seen.policies.fetch_add(policies.len() as u64, Relaxed);
        let whole = PolicySet::from_policies(policies.iter().cloned()).unwrap();
        Self { seed, texts, whole, bundle: ground.with(policies), ground, seen }
    }

    fn assert_same(&self, what: &str, plain: &Outcome, other: &Outcome, request: &Request) {
        assert!(
            plain == other,
            "{what} differs from plain Cedar\n  DOORWARD_DIFFERENTIAL_ROUND={}\nplain {plain:?}\n{what} {other:?}\n\
             request {request:?}\npolicies\n{}",
            self.seed,
            self.texts.iter().enumerate().map(|(n, t)| format!("p{n}: {t}\n")).collect::<String>(),
        );
    }

    /// The situation as a request has it, by the decision of the gateway itself.
    fn decide(&self, situation: &Situation) -> Decided {
        let question = situation.question();
        let (request, entities) = self.bundle.in_cedar(&question).unwrap();
        let plain = outcome(&Authorizer::new().is_authorized(&request, &self.whole, &entities));
        let slice = self.bundle.slice_in_cedar(&question).unwrap();
        let sliced = outcome(&Authorizer::new().is_authorized(&request, &slice, &entities));
        self.assert_same("the slice", &plain, &sliced, &request);
        self.seen.count(&plain);
        let narrowed = slice.num_of_policies() < self.whole.num_of_policies();
        self.seen.narrowed.fetch_add(u64::from(narrowed), Relaxed);
        let mut expect = as_decided(plain);
        if let Principal::Agent(agent) = &*situation.principal
            && expect.0 == Decision::Allow
        {
            let person = Arc::new(Principal::User(agent.on_behalf_of.clone()));
            let asked = Situation { principal: person, ..situation.clone() };
            let (request, entities) = self.bundle.in_cedar(&asked.question()).unwrap();
            let person = outcome(&Authorizer::new().is_authorized(&request, &self.whole, &entities));
            let reasons = expect.1;
            expect = as_decided(person);
            if expect.0 == Decision::Allow {
                expect.1.extend(reasons);
            }
        }
        let decided = told(&self.bundle.decide(&question));
        self.assert_same("the gateway", &expect, &decided, &request);
        // By the slice, and by the decision.
        self.seen.lookups.fetch_add(2, Relaxed);
        self.seen.asked(2);
        Decided { request, entities, slice }
    }

    /// The same principal, route and action under many circumstances, with some of it not known at first.
    fn part_by_part(&self, chance: &mut Chance, asked: &Asked<'_>, contexts: &[Context]) {
        let schema = self.ground.schema();
        let [principal, action, resource] = asked.names;
        // With the circumstances known there is one of them to ask about.
        let (no_principal, no_resource, context) = match chance.below(6) {
            0 | 1 => (false, false, None),
            2 => (true, false, None),
            3 => (false, true, None),
            4 => (true, true, None),
            _ => (chance.coin(), true, contexts.first().cloned()),
        };
        let contexts = if context.is_some() { &contexts[..1] } else { contexts };
        let name = |of: &EntityUid, unknown: bool| {
            PartialEntityUid::new(of.type_name().clone(), (!unknown).then(|| of.id().clone()))
        };
        let (who, what) = (name(principal, no_principal), name(resource, no_resource));
        let partial = PartialRequest::new(who, action.clone(), what, context, schema).unwrap();
        let left = match self.whole.tpe(&partial, asked.partial, schema) {
            Ok(left) => left,
            Err(e) => panic!("seed {}: partial evaluation failed: {e:?}", self.seed),
        };
        let rest = left.policy_set();
        for (n, context) in contexts.iter().enumerate() {
            let [who, does, what] = asked.names.map(Clone::clone);
            let request = Request::new(who, does, what, context.clone(), None).unwrap();
            let plain = outcome(&Authorizer::new().is_authorized(&request, &self.whole, asked.entities));
            let sliced = outcome(&Authorizer::new().is_authorized(&request, asked.slice, asked.entities));
            self.assert_same("the slice", &plain, &sliced, &request);
            let rest = outcome(&Authorizer::new().is_authorized(&request, &rest, asked.entities));
            // What went wrong is told in other words there; where is the same.
            self.assert_same("the residual", &quiet(&plain), &quiet(&rest), &request);
            self.seen.count(&plain);
            self.seen.asked(if n == 0 { 3 } else { 2 });
            match left.decision() {
                Some(decision) => {
                    self.seen.settled.fetch_add(1, Relaxed);
                    assert_eq!(decision, plain.0, "seed {}: settled otherwise", self.seed);
                }
                None => {
                    self.seen.open.fetch_add(1, Relaxed);
                }
            }
            if n == 0 {
                let again = left.reauthorize(&request, asked.entities).unwrap();
                self.assert_same("the residual", &quiet(&plain), &quiet(&outcome(&again)), &request);
            }
        }
    }
}

/// A situation in Cedar's words, and the policies that the index finds for it.
struct Decided {
    request: Request,
    entities: Entities,
    slice: Arc<PolicySet>,
}

/// One principal, route and action of a round.
struct Asked<'a> {
    names: [&'a EntityUid; 3],
    slice: &'a PolicySet,
    entities: &'a Entities,
    partial: &'a PartialEntities,
}

/// An allow counts only when nothing went wrong, and then no permit decided it.
fn as_decided((decision, reasons, errors): Outcome) -> Outcome {
    match (decision, errors.is_empty()) {
        (Decision::Allow, false) => (Decision::Deny, BTreeSet::new(), errors),
        (Decision::Allow, true) | (Decision::Deny, _) => (decision, reasons, errors),
    }
}

fn told(verdict: &Verdict) -> Outcome {
    let decision = if verdict.is_allow() { Decision::Allow } else { Decision::Deny };
    let errors = verdict.errors.iter().map(|(id, error)| (id.to_string(), error.clone())).collect();
    (decision, verdict.determining.iter().map(ToString::to_string).collect(), errors)
}

fn quiet((decision, reasons, errors): &Outcome) -> Outcome {
    (*decision, reasons.clone(), errors.keys().map(|id| (id.clone(), String::new())).collect())
}

/// Those that strict validation accepts: partial evaluation takes no others.
fn valid(schema: &Schema, policies: Vec<Policy>) -> Vec<Policy> {
    let set = PolicySet::from_policies(policies.iter().cloned()).unwrap();
    let result = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
    let wrong: BTreeSet<_> = result.validation_errors().map(|e| e.policy_id().clone()).collect();
    policies.into_iter().filter(|p| !wrong.contains(p.id())).collect()
}

/// The entities of several requests together, each once.
fn together(schema: &Schema, all: &[Decided]) -> Entities {
    let each = all.iter().flat_map(|decided| decided.entities.iter());
    let each: BTreeMap<String, Entity> = each.map(|e| (e.uid().to_string(), e.clone())).collect();
    let said = each.into_values().filter(|e| e.uid().type_name().basename() != "Action");
    Entities::from_entities(said, Some(schema)).unwrap()
}

fn round(ground: &Workshop, seen: &Seen, seed: u64) {
    let mut chance = Chance::new(seed);
    let wild = chance.one_in(3);
    let round = Round::new(ground, seen, &mut chance, seed, wild);
    let people: Vec<_> = (0..3).map(|n| asked::principal(&mut chance, n)).collect();
    let routes = asked::routes(&mut chance, 3);
    let actions = [Action::ALL[chance.below(8)], Action::ALL[chance.below(8)]];
    let mut situations = Vec::new();
    for (who, route) in people.iter().flat_map(|who| routes.iter().map(move |route| (who, route))) {
        situations.push(asked::situation(&mut chance, who, route, actions[0]));
        situations.push(asked::situation(&mut chance, who, route, actions[1]));
    }
    let all: Vec<Decided> = situations.iter().map(|situation| round.decide(situation)).collect();
    if wild {
        return;
    }
    let schema = ground.schema();
    let entities = together(schema, &all);
    let partial = PartialEntities::from_concrete(entities.clone(), schema).unwrap();
    let contexts: Vec<_> = (0..CONTEXTS).map(|_| asked::context(&mut chance)).collect();
    // Once for each of the two actions is enough: they take turns.
    for action in all[..2].iter().filter_map(|one| one.request.action()) {
        contexts.iter().for_each(|c| c.validate(schema, action).unwrap());
    }
    for Decided { request, slice, .. } in &all {
        // Partial evaluation costs more than all the rest: half of it makes room for more requests in the same time.
        if chance.coin() {
            continue;
        }
        let (Some(who), Some(does), Some(what)) = (request.principal(), request.action(), request.resource())
        else {
            panic!("a request without one of its parts")
        };
        let asked = Asked { names: [who, does, what], slice, entities: &entities, partial: &partial };
        round.part_by_part(&mut chance, &asked, &contexts);
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn index_and_residuals_answer_as_plain_cedar_does() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let ground = Workshop::open(&shipped, None).unwrap();
    let seen = Seen::default();
    if let Some(seed) = number("DOORWARD_DIFFERENTIAL_ROUND") {
        return round(&ground, &seen, seed);
    }
    #[expect(clippy::disallowed_methods, reason = "a seed that nobody gave is another one each time")]
    let fresh = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let seed =
        number("DOORWARD_DIFFERENTIAL_SEED").or_else(|| number("PROPTEST_RNG_SEED")).unwrap_or_else(fresh);
    let wanted = number("DOORWARD_DIFFERENTIAL").unwrap_or(REQUESTS);
    println!("DOORWARD_DIFFERENTIAL_SEED={seed}, {wanted} requests");
    let next = AtomicU64::new(0);
    let work = || {
        while seen.requests.load(Relaxed) < wanted {
            let mut seeds =
                Chance::new(seed ^ next.fetch_add(1, Relaxed).wrapping_mul(0xd134_2543_de82_ef95));
            round(&ground, &seen, seeds.number());
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    println!("{seen:?}");
    assert!(seen.requests.load(Relaxed) >= wanted);
    assert!(seen.lookups.load(Relaxed) >= wanted / 4, "the index was hardly asked: {seen:?}");
    let kinds = [
        &seen.allowed,
        &seen.forbidden,
        &seen.not_permitted,
        &seen.with_errors,
        &seen.settled,
        &seen.open,
        &seen.narrowed,
    ];
    let least = seen.rounds.load(Relaxed) / 4;
    assert!(kinds.iter().all(|k| k.load(Relaxed) > least), "some of it hardly ever happened: {seen:?}");
}
