//! Who can and what can: what is said before there is a request holds for every request.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::{
    Entities, EvalResult, Expression, Policy, PolicyId, PolicySet, Request, ValidationMode, Validator,
    eval_expression,
};
use doorward_model::Principal;
use doorward_policy::{Action, PolicyBundle, Situation, Workshop};
use doorward_workbench::reach::{Answer, Atom, Because, Grant, Reach, Subject, Whose};

use crate::differential::asked;
use crate::differential::chance::Chance;
use crate::differential::written;

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies")
}

/// Whether an atom holds in a request.
fn holds(
    read: &mut HashMap<String, Expression>,
    atom: &Atom,
    (request, entities): &(Request, Entities),
) -> bool {
    let parsed = || Expression::from_str(&atom.cedar).unwrap_or_else(|e| panic!("`{}`: {e:?}", atom.cedar));
    let expression = read.entry(atom.cedar.clone()).or_insert_with(parsed);
    // What fails refuses, and then nothing is said for sure but that.
    matches!(eval_expression(request, entities, expression), Ok(EvalResult::Bool(true)))
}

/// What the answer says of a situation; none where it is not sure.
fn said(
    read: &mut HashMap<String, Expression>,
    bundle: &PolicyBundle,
    answer: &Answer,
    situation: &Situation,
) -> Option<bool> {
    let asker = bundle.in_cedar(&situation.question()).unwrap();
    let person = match &*situation.principal {
        Principal::Agent(agent) => {
            let principal = Arc::new(Principal::User(agent.on_behalf_of.clone()));
            let asked = Situation { principal, ..situation.clone() };
            Some(bundle.in_cedar(&asked.question()).unwrap())
        }
        Principal::User(_) | Principal::ServiceAccount(_) | Principal::Visitor(_) => None,
    };
    answer.in_circumstances(|whose, atom| match (whose, &person) {
        (Whose::Person, Some(person)) => holds(read, atom, person),
        (Whose::Asker, _) => holds(read, atom, &asker),
        (Whose::Person, None) => panic!("there is no person behind it"),
    })
}

fn random_bundle(ground: &Workshop, chance: &mut Chance) -> PolicyBundle {
    let many = 1 + chance.below(10);
    let parse = |n: usize, text: &str| Policy::parse(Some(PolicyId::new(format!("p{n}"))), text).unwrap();
    let policies: Vec<_> = (0..many).map(|n| parse(n, &written::policy(chance, false))).collect();
    let set = PolicySet::from_policies(policies.iter().cloned()).unwrap();
    let result = Validator::new(ground.schema().clone()).validate(&set, ValidationMode::Strict);
    let wrong: Vec<_> = result.validation_errors().map(|e| e.policy_id().clone()).collect();
    ground.with(policies.into_iter().filter(|p| !wrong.contains(p.id())).collect())
}

#[test]
fn an_answer_holds_for_every_request_as_the_gateway_decides_it() {
    let seed = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1_u64);
    let ground = Workshop::open(&shipped(), None).unwrap();
    let policies = ground.policies().iter().map(|p| p.policy().clone()).collect();
    let real = ground.with(policies);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut sure, mut allowed) = (0, 0);
    for round in 0..150 {
        let mut chance = Chance::new(seed.wrapping_mul(1000) + round);
        let random = random_bundle(&ground, &mut chance);
        // A third of the rounds asks the policies that are shipped, about their own routes and people.
        let named: Vec<_> = ground.cases().everybody().map(Result::unwrap).collect();
        let shipped_routes: Vec<_> = ground.cases().routes().collect();
        for n in 0..4 {
            let is_real = round % 3 == 0;
            let bundle = if is_real { &real } else { &random };
            let (principal, route) = if is_real {
                let named = &named[chance.below(named.len())];
                (Arc::clone(&named.principal), shipped_routes[chance.below(shipped_routes.len())].clone())
            } else {
                (asked::principal(&mut chance, n), asked::routes(&mut chance, 1).remove(0))
            };
            let action = Action::ALL[chance.below(8)];
            let sample = asked::situation(&mut chance, &principal, &route, action);
            let who = Subject { name: "x".into(), principal, owner_stage: sample.owner_stage };
            let grant = chance.of(&[Grant::Given, Grant::NotGiven, Grant::Unknown]);
            let answer = Reach::new(bundle).ask(&who, grant, action, &route);
            *seen.entry(answer.word()).or_default() += 1;
            let mut read = HashMap::new();
            for _ in 0..16 {
                let mut situation = asked::situation(&mut chance, &who.principal, &route, action);
                situation.granted = match (&*who.principal, grant) {
                    (Principal::ServiceAccount(_) | Principal::Visitor(_), _) | (_, Grant::NotGiven) => false,
                    (_, Grant::Given) => true,
                    (_, Grant::Unknown) => situation.granted,
                };
                let decided = bundle.decide(&situation.question());
                if let Some(said) = said(&mut read, bundle, &answer, &situation) {
                    assert_eq!(
                        said,
                        decided.is_allow(),
                        "PROPTEST_RNG_SEED={seed}, round {round}: {answer:#?}\n{decided:#?}\n{situation:#?}"
                    );
                    sure += 1;
                    allowed += usize::from(said);
                }
            }
        }
    }
    assert!(sure > 6000 && allowed > 300, "{sure} answers were sure, {allowed} of them allow");
    assert!(["always", "if", "never"].iter().all(|word| seen.get(word) > Some(&20)), "{seen:?}");
}

/// The answers about everybody in the cases.
fn who_can(action: Action, route: &str, grant: Grant) -> BTreeMap<String, Answer> {
    let ground = Workshop::open(&shipped(), None).unwrap();
    let route = ground.cases().routes().find(|r| r.id.as_str() == route).unwrap();
    let mut reach = Reach::new(ground.bundle());
    let rows = ground.cases().everybody().map(Result::unwrap).map(|named| {
        let (name, owner_stage) = (named.name.to_owned(), named.owner_stage);
        let who = Subject { name: name.clone(), principal: named.principal, owner_stage };
        (name, reach.ask(&who, grant, action, &route))
    });
    rows.collect()
}

/// Each line with the policy that asks for it.
fn asked_for(answer: &Answer) -> Vec<String> {
    let Answer::If(terms) = answer else { panic!("{answer:?}") };
    let clauses =
        terms.iter().flat_map(|t| t.permits.iter().chain(&t.forbids).map(move |clause| (t.whose, clause)));
    clauses
        .flat_map(|(whose, c)| {
            c.need.lines().into_iter().map(move |l| format!("{whose:?} {}: {l}", c.policy))
        })
        .collect()
}

#[test]
fn the_conditions_that_remain_are_told_in_words_with_the_policy_that_asks_for_them() {
    let answers = who_can(Action::Get, "build/all", Grant::NotGiven);
    let carol = asked_for(&answers["carol"]);
    let wanted = [
        "Asker guard.contract-end: before 2026-06-30T00:00:00Z",
        "Asker guard.contractor-hours: on weekdays 07:00 to 20:00",
        "Asker guard.mfa: more than one factor",
        "Asker guard.session-age: signed in at most 12h ago",
    ];
    for line in wanted {
        assert!(carol.iter().any(|l| l == line), "{line} is not in {carol:#?}");
    }
    // Nothing that is known already is a condition.
    assert!(!carol.iter().any(|l| l.contains("principal") || l.contains("resource")), "{carol:#?}");
    let nobody = &answers["visitor"];
    let guarded = Because::Forbidden(vec!["guard.visitor".into()]);
    assert!(matches!(nobody, Answer::Never(why) if why.because == guarded), "{nobody:?}");
    // A service account cannot step up: what is asked of sign-ins is not asked of it.
    let nightly = asked_for(&answers["nightly"]);
    assert!(
        nightly.contains(&"Asker machines.network: in one of the networks corp, vpn".to_owned()),
        "{nightly:#?}"
    );
    assert!(matches!(&answers["halted"], Answer::Never(_)));
}

#[test]
fn of_an_agent_both_are_asked() {
    let answers = who_can(Action::Get, "build/all", Grant::NotGiven);
    let bobs = asked_for(&answers["bobs-agent"]);
    assert!(bobs.contains(&"Person guard.mfa: more than one factor".to_owned()), "{bobs:#?}");
    let alices = &answers["alices-agent"];
    assert!(matches!(alices, Answer::Never(why) if why.whose == Whose::Asker), "{alices:?}");
    let write = who_can(Action::Post, "build/all", Grant::NotGiven);
    let bobs = &write["bobs-agent"];
    assert!(
        matches!(bobs, Answer::Never(why) if matches!(&why.because, Because::Forbidden(by) if by.iter().any(|b| &**b == "agents.limits"))),
        "{bobs:?}"
    );
}

#[test]
fn who_is_permitted_in_any_case_is_told_what_else_is_asked_for() {
    let visitor = &who_can(Action::Get, "wiki/welcome", Grant::NotGiven)["visitor"];
    let Answer::If(terms) = visitor else { panic!("{visitor:?}") };
    assert_eq!(terms[0].by, ["wiki.welcome".into()]);
    assert!(terms[0].permits.is_empty() && !terms[0].forbids.is_empty());
}

#[test]
fn a_grant_that_is_known_is_no_condition() {
    let ground = Workshop::open(&shipped(), None).unwrap();
    let text = "permit (principal, action, resource) when { context.granted && !context.session.known };";
    let bundle = ground.with(vec![Policy::parse(Some(PolicyId::new("granted")), text).unwrap()]);
    let route = ground.cases().routes().next().unwrap();
    let mut reach = Reach::new(&bundle);
    let mut ask = |name: &str, grant| {
        let named = ground.cases().everybody().map(Result::unwrap).find(|n| n.name == name).unwrap();
        let who = Subject { name: name.into(), principal: named.principal, owner_stage: named.owner_stage };
        reach.ask(&who, grant, Action::Get, &route)
    };
    let never = |answer: Answer| matches!(answer, Answer::Never(why) if why.because == Because::NotPermitted);
    assert_eq!(asked_for(&ask("alice", Grant::Given)), ["Asker granted: a sign-in whose time nobody knows"]);
    assert_eq!(
        asked_for(&ask("alice", Grant::Unknown)),
        ["Asker granted: the directory grants the app", "Asker granted: a sign-in whose time nobody knows"]
    );
    assert!(never(ask("alice", Grant::NotGiven)));
    // Nothing is granted to a service account, and no visitor has signed in.
    assert!(never(ask("nightly", Grant::Given)) && never(ask("visitor", Grant::Given)));
}

/// What is put into policies for whoever did not sign in is what every request of theirs says.
#[test]
fn the_session_of_a_machine_is_the_one_that_its_requests_have() {
    let ground = Workshop::open(&shipped(), None).unwrap();
    let text = "permit (principal, action, resource) when { \
                context.session.age == duration(\"365d\") && context.session.mfaAge == duration(\"365d\") && \
                !(context.session.mfa || context.session.phishingResistant || context.session.known) && \
                context.session == {mfa: false, phishingResistant: false, known: false, \
                age: duration(\"365d\"), mfaAge: duration(\"365d\")} };";
    let bundle = ground.with(vec![Policy::parse(Some(PolicyId::new("none")), text).unwrap()]);
    let route = ground.cases().routes().next().unwrap();
    let mut chance = Chance::new(3);
    let machines = ["nightly", "visitor"];
    for named in ground.cases().everybody().map(Result::unwrap).filter(|n| machines.contains(&n.name)) {
        let situation = asked::situation(&mut chance, &named.principal, &route, Action::Get);
        assert!(bundle.decide(&situation.question()).is_allow(), "{}", named.name);
        let who =
            Subject { name: named.name.into(), principal: named.principal, owner_stage: named.owner_stage };
        let answer = Reach::new(&bundle).ask(&who, Grant::NotGiven, Action::Get, &route);
        assert!(matches!(answer, Answer::Always { .. }), "{answer:?}");
    }
}

/// The test of an `if` is told for both ways of it. One within another would be told four times, and so on.
#[test]
fn an_if_within_the_test_of_an_if_is_told_as_it_is_written() {
    let ground = Workshop::open(&shipped(), None).unwrap();
    let named = ground.cases().everybody().map(Result::unwrap).find(|n| n.name == "alice").unwrap();
    let route = ground.cases().routes().next().unwrap();
    let who = Subject { name: "alice".into(), principal: named.principal, owner_stage: named.owner_stage };
    let told = |depth: usize| {
        let within = |test: String, _| {
            format!("if ({test}) then context.device.managed else context.device.compliant")
        };
        let nested = (0..depth).fold("context.session.mfa".to_owned(), within);
        let text = format!("permit (principal, action, resource) when {{ {nested} }};");
        let bundle = ground.with(vec![Policy::parse(Some(PolicyId::new("nested")), text).unwrap()]);
        let answer = Reach::new(&bundle).ask(&who, Grant::NotGiven, Action::Get, &route);
        assert_eq!(answer.word(), "if");
        format!("{answer:?}").len()
    };
    let (one, many) = (told(1), told(16));
    assert!(many < 32 * one, "{many} bytes for 16, {one} for one");
}

/// A gateway sends whoever has not signed in to the sign-in, whatever policies permit.
#[test]
fn a_visitor_is_asked_about_at_public_routes_only() {
    let ground = Workshop::open(&shipped(), None).unwrap();
    let open = Policy::parse(Some(PolicyId::new("open")), "permit (principal, action, resource);").unwrap();
    let bundle = ground.with(vec![open]);
    let mut seen = [0; 2];
    for named in ground.cases().everybody().map(Result::unwrap) {
        let visitor = named.name == "visitor";
        let who =
            Subject { name: named.name.into(), principal: named.principal, owner_stage: named.owner_stage };
        for route in ground.cases().routes() {
            let answer = Reach::new(&bundle).ask_at_door(&who, Grant::NotGiven, Action::Get, &route);
            let not_asked =
                matches!(&answer, Answer::Never(why) if matches!(why.because, Because::NotAsked(_)));
            assert_eq!(not_asked, visitor && !route.public, "{} at {}: {answer:?}", who.name, route.id);
            seen[usize::from(not_asked)] += 1;
        }
    }
    assert!(seen[0] > 10 && seen[1] > 2, "{seen:?}");
}
