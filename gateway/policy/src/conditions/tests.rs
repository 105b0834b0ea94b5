use std::str::FromStr;

use cedar_policy::{Authorizer, Context, PolicySet};
use doorward_model::limits::POLICY_CONDITIONS_MAX;
use proptest::prelude::*;

use super::*;

fn policy(text: &str) -> Policy {
    Policy::parse(None, text).unwrap()
}

/// A request in a world without a schema.
fn request(context: &str) -> (Request, Entities) {
    let entities = r#"[
        {"uid": {"type": "User", "id": "a"}, "attrs": {"level": 3}, "parents": [{"type": "Role", "id": "hr"}]},
        {"uid": {"type": "Role", "id": "hr"}, "attrs": {}, "parents": []}
    ]"#;
    let context = Context::from_json_str(context, None).unwrap();
    let uid = |text: &str| text.parse().unwrap();
    let request =
        Request::new(uid("User::\"a\""), uid("Action::\"go\""), uid("Thing::\"t\""), context, None).unwrap();
    (request, Entities::from_json_str(entities, None).unwrap())
}

/// The tree as text, with what each comes to.
fn drawn(conditions: &Conditions, truths: &[Truth]) -> String {
    fn one(conditions: &Conditions, truths: &[Truth], number: usize, depth: usize, out: &mut String) {
        let condition = conditions.get(number).unwrap();
        let (word, below) = match condition.kind() {
            Kind::All(below) => ("all", below.clone()),
            Kind::Any(below) => ("any", below.clone()),
            Kind::Not(inner) => ("not", vec![*inner]),
            Kind::If { test, then, otherwise } => ("if", vec![*test, *then, *otherwise]),
            Kind::Atom => ("atom", Vec::new()),
        };
        let truth = match &truths[number] {
            Truth::True => "true",
            Truth::False => "false",
            Truth::Error(_) => "error",
            Truth::NotReached => "-",
        };
        let text = if number == 0 { "".into() } else { condition.text() };
        out.push_str(&format!("{}{word} {truth} {text}\n", "  ".repeat(depth)));
        for number in below {
            one(conditions, truths, number, depth + 1, out);
        }
    }
    let mut out = String::new();
    one(conditions, truths, 0, 0, &mut out);
    out
}

/// What Cedar itself says of a policy in a request.
fn plain(policy: &Policy, request: &Request, entities: &Entities) -> Truth {
    let set = PolicySet::from_policies([policy.clone()]).unwrap();
    let response = Authorizer::new().is_authorized(request, &set, entities);
    let diagnostics = response.diagnostics();
    match diagnostics.errors().next() {
        Some(cedar_policy::AuthorizationError::PolicyEvaluationError(e)) => {
            Truth::Error(e.inner().to_string())
        }
        None => (diagnostics.reason().count() > 0).into(),
    }
}

const TEXT: &str = "@id(\"x\")
permit (principal is User in Role::\"hr\", action in [Action::\"go\", Action::\"stay\"], resource)
when { principal.level > 2 && !(context.a || context.b) && (if context.c then context.a else context.gone) }
unless { context.a != false || [1, 2].contains(principal.level) || context has x && context.x < 3 }
when { true };";

#[test]
fn a_policy_is_a_tree_with_the_text_of_each_condition() {
    let policy = policy(TEXT);
    let conditions = Conditions::new(&policy);
    let (request, entities) = request(r#"{"a": false, "b": false, "c": false}"#);
    let expect = r#"all error 
  atom true principal is User in Role::"hr"
  atom true action in [Action::"go", Action::"stay"]
  atom true resource
  all error principal.level > 2 && !(context.a || context.b) && (if context.c then context.a else context.gone)
    atom true principal.level > 2
    not true !(context.a || context.b)
      any false context.a || context.b
        atom false context.a
        atom false context.b
    if error if context.c then context.a else context.gone
      atom false context.c
      atom - context.a
      atom error context.gone
  not - unless { context.a != false || [1, 2].contains(principal.level) || context has x && context.x < 3 }
    any - context.a != false || [1, 2].contains(principal.level) || context has x && context.x < 3
      atom - context.a != false
      atom - [1, 2].contains(principal.level)
      all - context has x && context.x < 3
        atom - context has x
        atom - context.x < 3
  atom - true
"#;
    assert_eq!(drawn(&conditions, &conditions.evaluate(&request, &entities)), expect);
    for condition in conditions.all() {
        assert_eq!(condition.text(), &TEXT[condition.span().unwrap()]);
    }
    let parts: Vec<Part> = conditions.all().iter().map(Condition::part).take(5).collect();
    assert_eq!(parts, [Part::Whole, Part::Principal, Part::Action, Part::Resource, Part::Clause]);
    assert_eq!((conditions.offset(), conditions.atoms().count()), (0, 14));
}

#[test]
fn each_condition_can_be_asked_by_itself() {
    let policy =
        policy("forbid (principal == User::\"b\", action, resource) when { context.a && context.gone };");
    let conditions = Conditions::new(&policy);
    let (request, entities) = request(r#"{"a": false}"#);
    let reached = conditions.evaluate(&request, &entities);
    assert_eq!(reached.iter().filter(|t| **t == Truth::NotReached).count(), 5, "{reached:?}");
    let each = conditions.evaluate_each(&request, &entities);
    assert!(!each.contains(&Truth::NotReached), "{each:?}");
    assert_eq!((&each[0], &each[1]), (&Truth::False, &Truth::False));
    assert!(matches!(&each[6], Truth::Error(e) if e.contains("gone")), "{each:?}");
}

/// Places count from the policy, wherever it stands in what was read.
#[test]
fn places_in_a_file_of_many_policies() {
    let text = format!(
        "// é first\npermit (principal, action, resource);\n\n{TEXT}\nforbid (principal, action, resource);"
    );
    let set = PolicySet::from_str(&text).unwrap();
    let found = set.policies().map(Conditions::new).find(|c| c.offset() > 0 && c.all().len() > 5).unwrap();
    assert_eq!(&text[found.offset()..][..TEXT.len()], TEXT);
    for condition in found.all() {
        assert_eq!(condition.text(), &TEXT[condition.span().unwrap()]);
    }
}

/// From JSON, and linked from a template: there are no places, and the rest is the same.
#[test]
fn a_policy_that_was_never_text_has_no_places() {
    let of_text = policy(TEXT);
    let of_json = Policy::from_json(None, of_text.to_json().unwrap()).unwrap();
    let conditions = Conditions::new(&of_json);
    assert!(conditions.all().iter().all(|c| c.span().is_none() && !c.text().is_empty()));
    let (request, entities) = request(r#"{"a": false, "b": false, "c": true, "x": 3}"#);
    let truth = |p: &Policy| Conditions::new(p).evaluate(&request, &entities)[0].clone();
    assert_eq!(truth(&of_json), truth(&of_text));
    let mut set =
        PolicySet::from_str("permit (principal == ?principal, action, resource) when { context.a };")
            .unwrap();
    let values = [(cedar_policy::SlotId::principal(), "User::\"a\"".parse().unwrap())].into();
    let template = set.templates().next().unwrap().id().clone();
    set.link(template, cedar_policy::PolicyId::new("linked"), values).unwrap();
    let linked = set.policies().next().unwrap();
    assert_eq!(Conditions::new(linked).evaluate(&request, &entities)[1], Truth::True);
    assert_eq!(truth(linked), Truth::False);
}

/// What Cedar folds away, and what it joins, is what is written all the same.
#[test]
fn odd_policies_have_conditions_too() {
    for text in [
        "permit (principal, action, resource);",
        "permit (principal, action, resource) when { true } when { true };",
        "permit (principal, action, resource) when { 1 };",
        "permit (principal, action, resource) when { !!context.a };",
        "permit (principal, action, resource) unless { true } unless { \"no\" };",
        "permit (principal, action, resource) when { (context.a && context.b) && context.c };",
        "permit (principal, action, resource) when { ((principal is User) && (principal in Role::\"hr\")) };",
        "permit (principal, action, resource) when { !(context.a == 1) && !(context.a > 1) && context.a >= 1 };",
        "permit (principal, action, resource) when { if 1 then true else false };",
        "permit (principal, action, resource) when { context.a && 1 || true };",
    ] {
        let policy = policy(text);
        let (request, entities) = request(r#"{"a": true, "b": true, "c": 7}"#);
        let truths = Conditions::new(&policy).evaluate(&request, &entities);
        assert_eq!(truths[0], plain(&policy, &request, &entities), "{text}");
    }
}

/// A chain that no gateway takes is one atom, and is evaluated.
#[test]
fn the_number_of_conditions_is_bounded() {
    let many = vec!["context.a"; POLICY_CONDITIONS_MAX + 1].join(" || ");
    let text = format!("permit (principal, action, resource) when {{ context.a && ({many}) }};");
    let work = move || {
        let policy = policy(&text);
        let conditions = Conditions::new(&policy);
        assert_eq!(conditions.all().len(), 7);
        let (request, entities) = request(r#"{"a": true}"#);
        conditions.evaluate(&request, &entities)[0].clone()
    };
    let truth = crate::load::on_stack("deep", 256 * 1024 * 1024, work).unwrap();
    assert_eq!(truth, Truth::True);
}

fn expression() -> impl Strategy<Value = String> {
    let atom = prop_oneof![
        4 => Just("context.t"),
        4 => Just("context.f"),
        1 => Just("context.gone"),
        1 => Just("context.n"),
        1 => Just("true"),
        1 => Just("false"),
        1 => Just("context.n > 2"),
        1 => Just("context.n != 2"),
        1 => Just("principal is User in Role::\"hr\""),
        1 => Just("context has gone"),
        1 => Just("context.f == (context.t && context.gone)"),
    ];
    atom.prop_map(str::to_owned).prop_recursive(5, 40, 4, |inner| {
        let many = || prop::collection::vec(inner.clone(), 2..5);
        prop_oneof![
            many().prop_map(|all| format!("({})", all.join(" && "))),
            many().prop_map(|all| format!("({})", all.join(" || "))),
            inner.clone().prop_map(|one| format!("!({one})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// The tree comes to what Cedar comes to, errors and their words included.
    #[test]
    fn the_tree_agrees_with_cedar(clauses in prop::collection::vec((any::<bool>(), expression()), 1..4)) {
        let mut text = "permit (principal, action, resource)".to_owned();
        for (when, expression) in &clauses {
            text.push_str(&format!("\n{} {{ {expression} }}", if *when { "when" } else { "unless" }));
        }
        text.push(';');
        let policy = policy(&text);
        let (request, entities) = request(r#"{"t": true, "f": false, "n": 3}"#);
        let conditions = Conditions::new(&policy);
        let truths = conditions.evaluate(&request, &entities);
        prop_assert_eq!(&truths[0], &plain(&policy, &request, &entities), "{}", &text);
        // What is not needed may come to anything: it changes nothing.
        let each = conditions.evaluate_each(&request, &entities);
        prop_assert_eq!(&truths[0], &each[0]);
        for (reached, by_itself) in truths.iter().zip(&each) {
            prop_assert!(*reached == Truth::NotReached || reached == by_itself, "{}", &text);
        }
        for condition in conditions.all() {
            let span = condition.span().unwrap();
            prop_assert_eq!(condition.text(), &text[span]);
        }
    }
}
