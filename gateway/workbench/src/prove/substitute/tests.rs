use super::*;

fn set(condition: &str) -> PolicySet {
    let text = format!("permit (principal is User, action, resource) when {{ {condition} }};");
    PolicySet::from_policies([Policy::parse(None, text).unwrap()]).unwrap()
}

fn fact(path: &[&str], value: &str) -> Changed {
    Changed { path: path.iter().map(|step| (*step).to_owned()).collect(), value: value.parse().unwrap() }
}

fn employee() -> Changed {
    fact(&["principal", "employment"], "Employment::\"employee\"")
}

fn monday() -> Changed {
    fact(&["context", "time", "weekday"], "Weekday::\"mon\"")
}

/// Nobody can tell whether these ask for the fact.
#[test]
fn what_may_ask_unseen_is_refused() {
    let who = "{who: principal}.who";
    let contractor = "Employment::\"contractor\"";
    for condition in [
        format!("{who}.employment == {contractor}"),
        format!("{who} has employment"),
        format!("{who} has employment.x"),
        format!("(if context.granted then principal else principal).employment == {contractor}"),
        format!("[{{e: {{p: principal}}.p.employment}}].contains({{e: {contractor}}})"),
        format!("{{a: 1, b: 2, c: 3, d: {who}.employment}} == {{a: 1, b: 2, c: 3, d: {contractor}}}"),
        format!(
            "[1, 2, 3, 4].isEmpty() || [true, false, true, {who}.employment == {contractor}].contains(true)"
        ),
        format!("(if true then false else {who}.employment == {contractor})"),
        format!("ip(\"::1\").isInRange(ip(\"::1\")) && !({who}.employment == {contractor})"),
        format!("User::\"corp:bob\".employment == {contractor}"),
        format!("{{\".\": {{left: {who}.employment}}}} == {{\".\": {{left: {contractor}}}}}"),
    ] {
        let why = everywhere(&set(&condition), &employee()).expect_err(&condition);
        assert!(why.contains("principal.employment"), "{why}");
    }
    let sunday = "{now: context.time.now, weekday: Weekday::\"sun\"}";
    for condition in [
        format!("context.time == {sunday}"),
        format!("{sunday} != context.time"),
        format!("[context.time].contains({sunday})"),
        format!("[{sunday}].contains(context.time)"),
        format!("[{sunday}].containsAll([context.time])"),
        format!("{{t: context.time}} == {{t: {sunday}}}"),
        format!("{{c: context}}.c.time == {sunday}"),
        format!("(if context.granted then context else context).time == {sunday}"),
        format!("(if context.granted then context.time else context.time) == {sunday}"),
        "{t: context.time}.t.weekday == Weekday::\"sun\"".to_owned(),
        "{t: context.time}.t has weekday".to_owned(),
        "context == context".to_owned(),
    ] {
        let why = everywhere(&set(&condition), &monday()).expect_err(&condition);
        assert!(why.contains("context.time.weekday"), "{why}");
    }
}

/// Each of these is changed to the other, wherever the fact stands.
#[test]
fn the_fact_is_changed_wherever_it_is_asked_for() {
    let e = "Employment::\"employee\"";
    for (from, to) in [
        ("principal.employment == Employment::\"x\"".to_owned(), format!("{e} == Employment::\"x\"")),
        (
            "[1, 2, 3, 4].contains(1) && {a: 1, b: 2, c: 3, d: principal.employment} == {d: principal}"
                .to_owned(),
            format!("[1, 2, 3, 4].contains(1) && {{a: 1, b: 2, c: 3, d: {e}}} == {{d: principal}}"),
        ),
        ("principal has employment".to_owned(), "true".to_owned()),
        ("principal has employment.x".to_owned(), format!("true && {e} has x")),
        (
            "principal.employment is Employment in Group::\"g\"".to_owned(),
            format!("{e} is Employment in Group::\"g\""),
        ),
        (
            "principal has department && principal.department like \"*x*\"".to_owned(),
            "principal has department && principal.department like \"*x*\"".to_owned(),
        ),
        (
            "principal.onBehalfOf.employment == principal.employment".to_owned(),
            format!("principal.onBehalfOf.employment == {e}"),
        ),
        (
            "[User::\"a:b\"].contains(principal) && principal == {p: principal}.p && principal.hasTag(\"t\")"
                .to_owned(),
            "[User::\"a:b\"].contains(principal) && principal == {p: principal}.p && principal.hasTag(\"t\")"
                .to_owned(),
        ),
    ] {
        let changed = everywhere(&set(&from), &employee()).unwrap_or_else(|why| panic!("{from}: {why}"));
        let one = |set: &PolicySet| set.policies().next().unwrap().to_json().unwrap();
        assert_eq!(one(&changed.set), one(&set(&to)), "{from}");
        assert_eq!(changed.asking.is_empty(), from == to, "{from}");
    }
    // What is in the same record, and what only asks for who it is.
    for condition in [
        "context.time.now < datetime(\"2026-01-01\") && context.time has now && context has time",
        "context.granted",
    ] {
        assert!(everywhere(&set(condition), &monday()).unwrap().asking.is_empty(), "{condition}");
    }
    let of_owner = fact(&["principal", "onBehalfOf", "employment"], e);
    let named = "principal.onBehalfOf == User::\"a:b\" || [User::\"a:b\"].contains(principal.onBehalfOf) || principal.onBehalfOf in Role::\"x\"";
    assert!(everywhere(&set(named), &of_owner).unwrap().asking.is_empty());
    assert!(everywhere(&set("{w: principal.onBehalfOf} == {w: User::\"a:b\"}"), &of_owner).is_err());
}

#[test]
fn what_only_compares_never_fails_and_what_computes_may() {
    let may_fail = |condition: &str| conditions_may_fail(set(condition).policies().next().unwrap());
    for condition in [
        "context.risk.score < 5 && !(principal in [Role::\"a\", Role::\"b\"])",
        "context.session.age > duration(\"12h\") || context.time.now < datetime(\"2026-01-01\")",
        "principal has department && [\"a\"].contains(principal.department) && context.http.path like \"*x*\"",
        "if context.granted then [1].isEmpty() else {a: 1} == {a: 2}",
    ] {
        assert!(!may_fail(condition), "{condition}");
    }
    for condition in [
        "context.risk.score + 1 < 5",
        "context.granted && [true].contains(-context.risk.score < 5)",
        "{a: context.risk.score * 2} == {a: 1}",
        "context.time.now.offset(duration(\"1d\")) < context.time.now",
        "principal.hasTag(\"t\") && principal.getTag(\"t\") == \"x\"",
        "datetime(context.http.path) < context.time.now",
    ] {
        assert!(may_fail(condition), "{condition}");
    }
}
