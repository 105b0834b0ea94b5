mod dice;
mod words;

use std::path::Path;
use std::str::FromStr;
use std::sync::LazyLock;

use cedar_policy::{Authorizer, Context, PolicySet};
use doorward_model::Principal;
use doorward_model::limits::{EXPLAIN_ATOMS_MAX, POLICY_CONDITIONS_MAX};
use proptest::prelude::*;

use self::dice::{Dice, situation};
use super::*;
use crate::bundle::PolicyBundle;
use crate::question::Verdict;
use crate::situation::Situation;
use crate::workshop::Workshop;

static SHIPPED: LazyLock<Workshop> = LazyLock::new(|| {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    Workshop::open(&dir, None).unwrap()
});

static CASES: LazyLock<Vec<Situation>> =
    LazyLock::new(|| SHIPPED.cases().iter().filter_map(|case| case.situation.ok()).collect());

fn bundle() -> &'static PolicyBundle {
    SHIPPED.bundle()
}

/// An explanation says what the verdict says.
fn agrees(situation: &Situation, bundle: &PolicyBundle) -> Result<(Explanation, Verdict), String> {
    let verdict = bundle.decide(&situation.question());
    let explanation = bundle.explain(situation);
    let person = explanation.person.as_deref();
    let errors = |e: &Explanation| e.errors.iter().map(|(id, _)| Arc::clone(id)).collect::<Vec<_>>();
    // By the policies of an explanation its own question was decided, whatever came of the whole.
    let effect = if explanation.own == Decision::Allow { Effect::Permit } else { Effect::Forbid };
    let decided = explanation.policies.iter().filter(|p| explanation.deciding.contains(&p.id));
    if !decided.clone().all(|p| p.effect == effect)
        || (person.is_none() && explanation.own != verdict.decision)
    {
        return Err(format!("{:?} by {:?}", explanation.own, explanation.deciding));
    }
    let (mut deciding, mut erring) = (explanation.deciding.clone(), errors(&explanation));
    if let Some(person) = person {
        // On an allow the permits of both are told; else it was the person's no.
        let more = person.deciding.iter().filter(|id| !deciding.contains(id)).cloned().collect::<Vec<_>>();
        deciding = match person.decision {
            Decision::Allow => deciding.into_iter().chain(more).collect(),
            Decision::Deny => person.deciding.clone(),
        };
        erring = errors(person);
    }
    let told: Vec<_> = verdict.errors.iter().map(|(id, _)| Arc::clone(id)).collect();
    if (explanation.decision, &deciding, &erring) != (verdict.decision, &verdict.determining, &told) {
        return Err(format!("{verdict:?}\n{:?} {deciding:?} {erring:?}", explanation.decision));
    }
    Ok((explanation, verdict))
}

/// A policy under its own name, as in a folder.
fn named(text: &str) -> Policy {
    let id = text.split('"').nth(1).unwrap();
    Policy::parse(Some(cedar_policy::PolicyId::new(id)), text).unwrap()
}

/// What plain Cedar says of a situation, all policies and every error in mind.
fn plainly_allowed(situation: &Situation) -> bool {
    let set = PolicySet::from_policies(SHIPPED.policies().iter().map(|p| p.policy().clone())).unwrap();
    let one = |principal: &Arc<Principal>| {
        let question = crate::Question { principal, ..situation.question() };
        let (request, entities) = bundle().in_cedar(&question).unwrap();
        let response = Authorizer::new().is_authorized(&request, &set, &entities);
        response.decision() == cedar_policy::Decision::Allow && response.diagnostics().errors().count() == 0
    };
    let person = match &*situation.principal {
        Principal::Agent(agent) => Some(Arc::new(Principal::User(agent.on_behalf_of.clone()))),
        _ => None,
    };
    one(&situation.principal) && person.is_none_or(|person| one(&person))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Whatever happens: the explanation has the decision and its reasons, and a way that is said to be proved leads through
    /// by plain Cedar.
    #[test]
    fn an_explanation_agrees_with_the_decision(case in 0..1000_usize, dice in any::<Dice>()) {
        let situation = situation(case, dice);
        let (explanation, verdict) = agrees(&situation, bundle()).map_err(TestCaseError::fail)?;
        prop_assert_eq!(explanation.way.is_none(), verdict.is_allow());
        if let Some(way) = &explanation.way {
            prop_assert!(!way.steps.is_empty());
            if let Some(proof) = &way.proof {
                prop_assert!(plainly_allowed(proof), "{:?}", way);
                // Only who asks, where, when and how: never what is asked for.
                prop_assert_eq!((&proof.route, proof.action), (&situation.route, situation.action));
                // Its words are enough: whoever does just what they say passes.
                let done = words::done(&situation, way.steps.iter().map(|step| &*step.what));
                prop_assert!(plainly_allowed(&done), "{:?}", way);
            }
        }
        let decided: Vec<_> = explanation.policies.iter().filter(|p| explanation.deciding.contains(&p.id)).collect();
        prop_assert_eq!(decided.len(), explanation.deciding.len());
        prop_assert!(decided.iter().all(|p| p.truth == Truth::True));
    }

    /// What is told at the door helps, tells nothing of the policies, and names clauses of what denied.
    #[test]
    fn what_is_told_at_the_door_helps(case in 0..1000_usize, dice in any::<Dice>()) {
        let situation = situation(case, dice);
        let question = situation.question();
        let verdict = bundle().decide(&question);
        let told = bundle().at_the_door(&question);
        if verdict.is_allow() {
            prop_assert_eq!(told, AtTheDoor::default());
            return Ok(());
        }
        for hand in &told.steps {
            prop_assert!(hand.advice().is_some(), "{:?}", hand);
        }
        if !told.steps.is_empty() {
            // The same is found where there is time to look for it, or something that is no harder.
            let way = bundle().explain(&situation).way.unwrap();
            prop_assert!(way.proof.is_some() && way.steps.iter().map(|s| s.hand).max() <= told.steps.last().copied());
        }
        for clause in &told.clauses {
            let policy = SHIPPED.policies().iter().find(|p| p.id() == &*clause.policy).unwrap();
            let (start, end) = clause.span.unwrap();
            prop_assert!(policy.text().get(start..end).is_some_and(|text| !text.is_empty()));
        }
        prop_assert!(verdict.determining.is_empty() || !told.clauses.is_empty());
    }
}

/// Every case of the shipped policies, and what each of its sentences says.
#[test]
fn every_shipped_case_is_explained() {
    let (mut proved, mut denied) = (0, 0);
    for situation in CASES.iter() {
        let (explanation, _) = agrees(situation, bundle()).unwrap();
        let Some(way) = explanation.way else { continue };
        denied += 1;
        proved += usize::from(way.proof.is_some());
        for policy in &explanation.policies {
            let wrong = policy.effect == Effect::Forbid && policy.truth == Truth::True;
            assert_eq!(
                policy.conditions.iter().any(|c| c.failed),
                wrong || missed(&explanation.missed, policy)
            );
        }
    }
    // Of most denials somebody could do something.
    assert!(denied > 40 && proved * 2 > denied, "{proved} of {denied}");
}

/// Nothing permits, and this one would have.
fn missed(missed: &Option<Missed>, policy: &Explained) -> bool {
    missed.is_some() && policy.effect == Effect::Permit
}

fn told(words: &str) -> Explanation {
    bundle().explain(&SHIPPED.cases().situated(words).unwrap())
}

fn failed(explanation: &Explanation) -> Vec<String> {
    let all = explanation.policies.iter().flat_map(|p| p.conditions.iter().filter(|c| c.failed));
    all.map(|c| {
        let facts: Vec<String> = c
            .facts
            .iter()
            .map(|f| {
                let age = f.age.map_or_else(String::new, |age| format!(" ({}s old)", age.as_secs()));
                let limit = f.limit.as_deref().map_or_else(String::new, |limit| format!(", limit {limit}"));
                format!("{} = {}{limit}{age}", f.name, f.value.as_deref().unwrap_or("-"))
            })
            .collect();
        format!("{} | {}", c.text, facts.join("; "))
    })
    .collect()
}

#[test]
fn the_clause_that_failed_is_told_with_the_value_and_the_age_of_its_facts() {
    let stale = told(
        "who = \"alice\"\ndoes = \"GET payroll/admin\"\nsession = { mfa = true, \
                      phishing_resistant = true, age = \"1h\", mfa_age = \"31m\" }\nplace = { zones = [\"corp\"] }",
    );
    assert_eq!(stale.deciding, ["guard.admin-surface".into()]);
    assert_eq!(
        failed(&stale),
        ["context.session.mfaAge <= duration(\"15m\") | context.session.mfaAge = 31m, limit 15m (3600s old)"]
    );
    let way = stale.way.unwrap();
    assert_eq!((way.steps[0].hand, way.steps.len(), way.proof.is_some()), (Hand::SignInAgain, 1, true));
}

#[test]
fn the_nearest_permit_missed_says_what_was_missing() {
    let stranger = told("who = \"bob\"\ndoes = \"GET payroll/all\"\nplace = { zones = [\"corp\"] }");
    let missed = stranger.missed.unwrap();
    assert_eq!((&*missed.id, missed.lacks), ("payroll.hr", vec!["you are not in Role::\"hr\"".to_owned()]));
    let way = stranger.way.unwrap();
    assert_eq!(
        way.steps,
        [Step { hand: Hand::Owner, what: "get Role::\"hr\" from its owner (hr)".to_owned() }]
    );
}

#[test]
fn several_things_that_stand_in_the_way_are_told_together() {
    let abroad = told(
        "who = \"alice\"\ndoes = \"GET payroll/all\"\nplace = { zones = [], country = \"FR\" }\n\
                       session = { mfa = false, age = \"13h\" }",
    );
    let hands: Vec<Hand> = abroad.way.as_ref().unwrap().steps.iter().map(|s| s.hand).collect();
    assert_eq!(hands, [Hand::SecondFactor, Hand::OtherNetwork], "{:?}", abroad.way);
}

/// Somebody who has not said who they are is told to do that, and not what machines lack.
#[test]
fn a_visitor_is_told_to_sign_in() {
    let visitor = told("who = \"visitor\"\ndoes = \"GET wiki/all\"");
    assert_eq!(visitor.missed.map(|missed| missed.id), Some("wiki.welcome".into()), "it is for all kinds");
    let way = visitor.way.unwrap();
    assert!(way.proof.is_none(), "nobody can make a person of a visitor");
    let [Step { hand: Hand::SignInAgain, what }] = &way.steps[..] else { panic!("{way:?}") };
    assert!(what.starts_with("sign in;"), "{what}");
}

/// Who asks and for what is not what somebody could change: what a policy says of them is.
#[test]
fn a_way_names_a_clause_before_a_side_of_the_scope() {
    let steps =
        |words| -> Vec<String> { told(words).way.unwrap().steps.into_iter().map(|step| step.what).collect() };
    let halted = steps("who = \"orphan\"\ndoes = \"GET build/all\"");
    assert!(!halted.iter().any(|what| what.contains("principal is")), "{halted:?}");
    assert!(halted.iter().any(|what| what.contains("lifecycle")), "{halted:?}");
    let socket = steps("who = \"bob\"\ndoes = \"UPGRADE payroll/all\"\nrisk = 95");
    let about = "payroll.no-websockets must not be about `action == Action::\"UPGRADE\"`".to_owned();
    assert!(socket.contains(&about), "{socket:?}");
}

/// An agent that may and whose person may not: its own permits permit.
#[test]
fn an_agent_that_may_keeps_its_own_answer() {
    let texts = [
        "@id(\"p.agent\") permit (principal is Agent, action, resource);",
        "@id(\"p.user\") permit (principal is User, action, resource) \
         when { principal.employment == Employment::\"contractor\" };",
    ];
    let bundle = SHIPPED.with(texts.iter().map(|text| named(text)).collect());
    let asked = "who = \"bobs-agent\"\ndoes = \"GET wiki/all\"";
    let explanation = bundle.explain(&SHIPPED.cases().situated(asked).unwrap());
    assert_eq!((explanation.decision, explanation.own), (Decision::Deny, Decision::Allow));
    assert_eq!(explanation.deciding, ["p.agent".into()]);
    assert_eq!(explanation.to_json()["own"], "allow");
    let person = explanation.person.unwrap();
    assert_eq!((person.own, person.deciding.len()), (Decision::Deny, 0));
    assert_eq!(&*person.missed.unwrap().id, "p.user");
}

/// What is for people is not what an agent lacks, and no owner can make a person of it.
#[test]
fn the_nearest_permit_of_an_agent_is_one_for_agents() {
    let told = |who: &str, does: &str| told(&format!("who = \"{who}\"\ndoes = \"{does}\""));
    let lacks = told("carols-agent", "GET build/all").missed.unwrap();
    assert_eq!(&*lacks.id, "agents.read", "{:?}", lacks.lacks);
    let payroll = told("bobs-agent", "GET payroll/all");
    assert!(!payroll.missed.unwrap().lacks.iter().any(|lack| lack.contains("for others")));
    let way = payroll.way.unwrap();
    assert!(way.proof.is_none() && way.steps.iter().all(|s| s.hand == Hand::Nobody), "{way:?}");
    // Nothing but people may do this: that is said, and nobody is named who could change it.
    let people = "@id(\"p.hr\") @owner(\"hr\") permit (principal is User in Role::\"hr\", action, resource);";
    let people = SHIPPED.with(vec![named(people)]);
    let asked = "who = \"bobs-agent\"\ndoes = \"GET payroll/all\"";
    let explanation = people.explain(&SHIPPED.cases().situated(asked).unwrap());
    assert!(explanation.missed.unwrap().lacks[0].starts_with("it is for others"));
    assert_eq!(explanation.way.unwrap().steps[0].hand, Hand::Nobody);
}

/// What ended is not a question of the hour at which one comes.
#[test]
fn an_end_that_is_not_known_is_a_matter_of_the_account() {
    let text = "@id(\"f\") forbid (principal, action, resource) unless { context.time.now < principal.contractEnd };";
    let conditions = Conditions::new(&text.parse().unwrap());
    let (_, atom) = conditions.atoms().find(|(_, c)| c.part() == Part::Clause).unwrap();
    assert_eq!(super::hand::hand(atom, "User"), Hand::Accounts);
}

/// What somebody else wrote, over another schema: as Cedar decides, errors count for nothing.
#[test]
fn any_set_of_policies_is_explained() {
    let text = "
        @id(\"p\") permit (principal == User::\"a\", action, resource) when { context.level > 3 && resource.open };
        @id(\"q\") forbid (principal, action, resource) when { context.gone.deeper };";
    let policies: Vec<Policy> = PolicySet::from_str(text).unwrap().policies().cloned().collect();
    let context = Context::from_json_str(r#"{"level": 3}"#, None).unwrap();
    let uid = |text: &str| text.parse().unwrap();
    let request =
        Request::new(uid("User::\"a\""), uid("Action::\"x\""), uid("T::\"t\""), context, None).unwrap();
    let entities = r#"[{"uid": {"type": "T", "id": "t"}, "attrs": {"open": false}, "parents": []}]"#;
    let entities = Entities::from_json_str(entities, None).unwrap();
    let explanation = explain(&policies, &request, &entities);
    assert_eq!(explanation.decision, Decision::Deny);
    assert_eq!(explanation.errors.len(), 1);
    let missed = explanation.missed.as_ref().unwrap();
    assert_eq!(
        missed.lacks,
        ["context.level > 3: context.level is 3", "resource.open: resource.open is false"]
    );
    let way = explanation.way.as_ref().unwrap();
    assert!(way.proof.is_none());
    assert_eq!(way.steps.iter().map(|s| s.hand).collect::<Vec<_>>(), [Hand::Someone, Hand::Nobody]);
    let json = explanation.to_json();
    assert_eq!((&json["decision"], &json["policies"][0]["came_to"]), (&"deny".into(), &"error".into()));
}

/// Why these policies say what they say where nothing is known of anything.
fn of_nothing(text: &str) -> Explanation {
    let policies: Vec<Policy> = PolicySet::from_str(text).unwrap().policies().cloned().collect();
    let uid = |text: &str| text.parse().unwrap();
    let request =
        Request::new(uid("U::\"a\""), uid("Action::\"x\""), uid("T::\"t\""), Context::empty(), None).unwrap();
    explain(&policies, &request, &Entities::empty())
}

/// Whatever is in the policies: the explanation has bounds.
#[test]
fn an_explanation_is_bounded() {
    let wide = |n: usize| (0..n).map(|i| format!("context.a{i}")).collect::<Vec<_>>();
    let long =
        format!("permit (principal, action, resource) when {{ [{}].contains(1) }};", wide(20_000).join(", "));
    let broad = format!(
        "permit (principal, action, resource) when {{ {} }};",
        wide(2000).chunks(40).map(|c| format!("({})", c.join(" || "))).collect::<Vec<_>>().join(" && ")
    );
    let many = "forbid (principal, action, resource);".repeat(1000);
    let text = format!("{long}\n{broad}\n{many}");
    let work = move || {
        let explanation = of_nothing(&text);
        assert_eq!(explanation.decision, Decision::Deny);
        assert_eq!((explanation.deciding.len(), explanation.policies.len()), (1000, EXPLAIN_POLICIES_MAX));
        assert_eq!(explanation.left_out, 1003 - 1 - EXPLAIN_POLICIES_MAX);
        for policy in &explanation.policies {
            assert!(policy.conditions.len() <= EXPLAIN_CONDITIONS_MAX);
            assert!(policy.conditions.iter().all(|c| c.text.chars().count() <= 301 && c.facts.len() <= 8));
        }
        assert!(explanation.way.unwrap().steps.len() <= EXPLAIN_ATOMS_MAX);
        explanation.policies.len() < POLICY_CONDITIONS_MAX
    };
    assert!(crate::load::on_stack("deep", 256 * 1024 * 1024, work).unwrap());
}

/// The test of an `if` is turned both ways, and may be one itself: each is turned twice, and not twice for each around it.
#[test]
fn an_if_within_the_test_of_an_if_is_turned_once() {
    let within = |test: String, _| format!("if ({test}) then context.b else context.c");
    let nested = (0..40).fold("context.a".to_owned(), within);
    let text = format!("permit (principal, action, resource) when {{ {nested} }};");
    // Nothing of it can be evaluated, so that either way of each may be the one.
    let work = move || of_nothing(&text);
    let explanation = crate::load::on_stack("deep", 256 * 1024 * 1024, work).unwrap();
    assert_eq!((explanation.decision, explanation.errors.len()), (Decision::Deny, 1));
    assert!(explanation.way.is_some_and(|way| way.steps.len() <= EXPLAIN_ATOMS_MAX));
}

#[test]
fn who_can_change_a_thing_is_told_in_words_that_name_no_policy() {
    for hand in Hand::ALL {
        assert_eq!(hand.advice().is_some(), hand <= Hand::EnrolledDevice);
        assert!(hand.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        let advice = hand.advice().unwrap_or_default();
        assert!(!advice.chars().any(|c| c.is_ascii_digit()) && !advice.contains('`'), "{advice}");
    }
}
