use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr;
use std::sync::LazyLock;

use cedar_policy::{Authorizer, Context, PolicySet};
use doorward_model::limits::{EXPLAIN_ATOMS_MAX, POLICY_CONDITIONS_MAX};
use doorward_model::{
    Compliance, CountryCode, Employment, LifecycleStage, Presence, Principal, Risk, UnixMillis, User, Weekday,
};
use proptest::prelude::*;

use super::*;
use crate::bundle::PolicyBundle;
use crate::question::{Action, Verdict};
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

fn with_person(situation: &mut Situation, change: impl FnOnce(&mut User)) {
    match Arc::make_mut(&mut situation.principal) {
        Principal::User(user) => change(user),
        Principal::Agent(agent) => change(&mut agent.on_behalf_of),
        Principal::ServiceAccount(_) | Principal::Visitor(_) => {}
    }
}

type Dice = [u8; 14];

/// A case, and any number of facts of it others.
fn situation(case: usize, dice: Dice) -> Situation {
    let mut s = CASES[case % CASES.len()].clone();
    let [
        route,
        action,
        session,
        ages,
        device,
        posture,
        zones,
        country,
        person,
        roles,
        risk,
        time,
        granted,
        home,
    ] = dice;
    // A small number leaves it as the case has it.
    let pick = |die: u8, of: usize| (die >= 100).then(|| usize::from(die) % of);
    if let Some(n) = pick(route, CASES.len()) {
        s.route = CASES[n].route.clone();
    }
    if let Some(n) = pick(action, Action::ALL.len()) {
        s.action = Action::ALL[n];
    }
    if let Some(n) = pick(session, 4) {
        (s.session.mfa, s.session.phishing_resistant) = (n & 1 != 0, n & 2 != 0);
    }
    if let Some(n) = pick(ages, 5) {
        let at = [None, Some(0), Some(840), Some(1000), Some(50_000)][n];
        let at = at.map(|seconds| UnixMillis(s.now.0 - seconds * 1000));
        (s.session.authenticated_at, s.session.mfa_at) = (at, at);
    }
    if let Some(n) = pick(device, 4) {
        s.device.managed = n & 1 != 0;
        s.device.compliance = if n & 2 != 0 { Compliance::Compliant } else { Compliance::NotCompliant };
    }
    if let Some(n) = pick(posture, 2) {
        s.device.asserted_at = (n == 0).then_some(s.now);
    }
    if let Some(n) = pick(zones, 3) {
        s.place.networks = [vec![], vec!["corp"], vec!["vpn"]][n].iter().map(|z| (*z).to_owned()).collect();
    }
    if let Some(n) = pick(country, 4) {
        s.place.country = CountryCode::new(["ZZ", "DE", "FR", "KP"][n]).unwrap();
        s.place.anonymizer = if n == 2 { Presence::Yes } else { Presence::No };
    }
    if let Some(n) = pick(person, 12) {
        let (stage, employment) = (LifecycleStage::ALL[n % 6], Employment::ALL[n % 4]);
        let end = (n % 3 == 0).then(|| s.now.plus(std::time::Duration::from_secs(99)));
        with_person(&mut s, |user| {
            (user.stage, user.employment, user.contract_end) = (stage, employment, end)
        });
    }
    if let Some(n) = pick(roles, 5) {
        let roles: BTreeSet<String> =
            [vec![], vec!["hr"], vec!["engineer"], vec!["platform-admin"], vec!["payroll-admin", "hr"]][n]
                .iter()
                .map(|role| (*role).to_owned())
                .collect();
        with_person(&mut s, |user| user.roles = roles);
    }
    if let Some(n) = pick(risk, 4) {
        s.risk = [Risk::UNKNOWN, Risk::scored(10), Risk::scored(50), Risk::scored(90)][n];
    }
    if let Some(n) = pick(time, 24) {
        (s.local_time, s.weekday) = (std::time::Duration::from_secs(n as u64 * 3600), Weekday::ALL[n % 7]);
    }
    s.granted = granted % 2 == 0;
    if let Some(n) = pick(home, 3) {
        let home = CountryCode::new(["ZZ", "DE", "FR"][n]).unwrap();
        with_person(&mut s, |user| user.home_country = home);
    }
    s
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
    let sanctioned = told("who = \"visitor\"\ndoes = \"GET wiki/all\"");
    assert!(sanctioned.way.unwrap().proof.is_none(), "nobody can make a visitor of a person");
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
        let policies: Vec<Policy> = PolicySet::from_str(&text).unwrap().policies().cloned().collect();
        let uid = |text: &str| text.parse().unwrap();
        let request =
            Request::new(uid("U::\"a\""), uid("Action::\"x\""), uid("T::\"t\""), Context::empty(), None)
                .unwrap();
        let explanation = explain(&policies, &request, &Entities::empty());
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

#[test]
fn who_can_change_a_thing_is_told_in_words_that_name_no_policy() {
    for hand in Hand::ALL {
        assert_eq!(hand.advice().is_some(), hand <= Hand::EnrolledDevice);
        assert!(hand.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        let advice = hand.advice().unwrap_or_default();
        assert!(!advice.chars().any(|c| c.is_ascii_digit()) && !advice.contains('`'), "{advice}");
    }
}
