use cedar_policy::Policy;

use super::*;

fn of(clauses: &str) -> Form {
    let policy = Policy::parse(None, format!("permit(principal,action,resource) {clauses};")).unwrap();
    of_clauses(policy.to_pst().unwrap().body().clauses())
}

fn same(one: &str, other: &str) {
    assert_eq!(of(one), of(other), "{one}\n{other}");
}

fn differ(one: &str, other: &str) {
    assert_ne!(of(one), of(other), "{one}\n{other}");
}

#[test]
fn what_says_the_same_looks_the_same() {
    same("when { context.a && context.b }", "when { context.b } when { context.a }");
    same("unless { context.a || context.b }", "when { !context.b && !context.a }");
    same("when { context.a < 3 }", "unless { context.a >= 3 }");
    same("when { context.a > 3 }", "when { 3 < context.a }");
    same("when { context.a != context.b }", "unless { context.b == context.a }");
    same("when { context.a == true }", "when { context.a }");
    same("when { [1, 2].contains(context.a) }", "when { [2, 1].contains(context.a) }");
    same("when { context.a < duration(\"1h\") }", "when { context.a < duration(\"60m\") }");
    same("when { principal is User in R::\"x\" }", "when { principal in R::\"x\" && principal is User }");
    differ("when { context.a && context.b }", "when { context.a || context.b }");
    differ("when { context.a < 3 }", "when { context.a <= 3 }");
    differ("when { context.a }", "unless { context.a }");
    differ("when { context[\"a.b\"] }", "when { context.a.b }");
    differ("when { context has \"a.b\" }", "when { context has a.b }");
    same("when { context[\"a\"].b }", "when { context.a[\"b\"] }");
    differ("when { principal is User in R::\"x\" }", "when { principal in R::\"x\" }");
}

#[test]
fn what_constants_settle_is_settled() {
    for never in [
        "when { false }",
        "unless { true }",
        "when { context.a } unless { context.a }",
        "when { context.a == \"x\" && context.a == \"y\" }",
        "when { context.a > 5 && context.a < 5 }",
        "when { context.a >= 5 } unless { context.a > 4 }",
        "when { context.a > duration(\"1h\") && context.a < duration(\"30m\") }",
        "when { context.a == 3 && context.a > 3 }",
        "when { if true then false else context.a }",
        "when { (context.a && false) || 1 == 2 }",
        "when { 2 < 1 }",
        "unless { duration(\"1h\") >= duration(\"60m\") }",
    ] {
        assert_eq!(of(never), Form::Settled(false), "{never}");
    }
    for always in [
        "",
        "when { true }",
        "when { context.a || !context.a }",
        "unless { context.a && !context.a }",
        "when { 1 < 2 }",
        "unless { 2 <= 1 }",
    ] {
        assert_eq!(of(always), Form::Settled(true), "{always}");
    }
    for open in [
        "when { context.a >= 5 && context.a <= 5 }",
        "when { context.a == \"x\" || context.a == \"y\" }",
        "when { context.a == context.b && context.a == context.c }",
        "when { context.a == duration(\"1h\") && context.a == duration(\"60m\") }",
        "when { if context.a then false else context.b }",
        "when { context[\"a.b\"] == 1 && context.a.b == 2 }",
        "when { 1 < duration(\"1h\") }",
    ] {
        assert!(!matches!(of(open), Form::Settled(_)), "{open}");
    }
}

/// Nested tests of `if` must not double at each level.
#[test]
fn deep_ifs_are_only_long() {
    let mut deep = String::from("context.a");
    for _ in 0..60 {
        deep = format!("(if {deep} then context.b else context.c)");
    }
    assert!(matches!(of(&format!("when {{ {deep} }}")), Form::One(Atom::Other(_), true)));
}

#[test]
fn durations_are_read() {
    assert_eq!(milliseconds("1d2h3m4s5ms"), Some(93_784_005));
    assert_eq!(milliseconds("-90m"), Some(-5_400_000));
    assert_eq!(
        (milliseconds("5"), milliseconds("5y"), milliseconds("99999999999999999999d")),
        (None, None, None)
    );
}
