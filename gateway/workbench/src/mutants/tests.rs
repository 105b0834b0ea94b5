use doorward_policy::ForeignSet;

use super::*;

fn set(text: &str) -> ForeignSet {
    ForeignSet::read(None, ("p.cedar", text)).unwrap()
}

/// What each edit leaves of a policy, on one line, without what all have in common.
fn of(text: &str) -> Vec<String> {
    let set = set(text);
    let source = &set.policies()[0];
    let litter = litter(set.policies(), None, |_| false);
    litter.mutants.iter().map(|m| m.text(source).split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn conditions(of_when: &str) -> Vec<String> {
    let text = format!("permit(principal, action, resource) when {{ {of_when} }};");
    let all = of(&text);
    let inside = all.iter().filter_map(|m| m.strip_prefix("permit(principal, action, resource) when { "));
    inside.map(|m| m.trim_end_matches(" };").to_owned()).collect()
}

#[test]
fn the_policy_and_its_scope() {
    let all = of(
        "@permit(\"x\") permit(principal is U in R::\"r\", action in [Action::\"a\", Action::\"b\"], resource == T::\"t\");",
    );
    let expect = [
        "",
        "@permit(\"x\") forbid(principal is U in R::\"r\", action in [Action::\"a\", Action::\"b\"], resource == T::\"t\");",
        "@permit(\"x\") permit(principal is U, action in [Action::\"a\", Action::\"b\"], resource == T::\"t\");",
        "@permit(\"x\") permit(principal, action in [Action::\"a\", Action::\"b\"], resource == T::\"t\");",
        "@permit(\"x\") permit(principal is U in R::\"r\", action in [Action::\"a\", Action::\"b\"], resource in T::\"t\");",
        "@permit(\"x\") permit(principal is U in R::\"r\", action in [Action::\"a\", Action::\"b\"], resource is T);",
        "@permit(\"x\") permit(principal is U in R::\"r\", action in [Action::\"a\", Action::\"b\"], resource);",
        "@permit(\"x\") permit(principal is U in R::\"r\", action in [Action::\"b\"], resource == T::\"t\");",
        "@permit(\"x\") permit(principal is U in R::\"r\", action in [Action::\"a\"], resource == T::\"t\");",
        "@permit(\"x\") permit(principal is U in R::\"r\", action, resource == T::\"t\");",
    ];
    assert_eq!(all, expect);
}

#[test]
fn conditions_and_what_joins_them() {
    let all = conditions("context.a && (context.b || !context.c)");
    let expect = [
        "(context.a || (context.b || !context.c))",
        "!(context.a && (context.b || !context.c))",
        "true && (context.b || !context.c)",
        "false && (context.b || !context.c)",
        "!(context.a) && (context.b || !context.c)",
        "context.a && ((context.b && !context.c))",
        "context.a && (true)",
        "context.a && (false)",
        "context.a && (!(context.b || !context.c))",
        "context.a && (true || !context.c)",
        "context.a && (false || !context.c)",
        "context.a && (!(context.b) || !context.c)",
        "context.a && (context.b || (context.c))",
        "context.a && (context.b || true)",
        "context.a && (context.b || false)",
    ];
    // Those that say the same as one before are not there: `true && …`, which is what stands behind it.
    for one in &all {
        assert!(expect.contains(&one.as_str()), "{one} is not expected");
    }
    for one in ["context.a && (context.b || (context.c))", "false && (context.b || !context.c)"] {
        let twin = conditions("context.a && (context.b || !context.c)").contains(&one.to_owned());
        assert_eq!(twin, one.starts_with("context"), "{one}: {all:#?}");
    }
    assert!(all.len() >= 11, "{all:#?}");
}

#[test]
fn an_unless_is_not_edited_twice() {
    let all = of("forbid(principal, action, resource) unless { context.a };");
    assert_eq!(
        all,
        [
            "",
            "permit(principal, action, resource) unless { context.a };",
            "forbid(principal, action, resource) ;",
            "forbid(principal, action, resource) unless { !(context.a) };",
        ]
    );
}

#[test]
fn borders_and_sets() {
    let all = conditions(
        "context.n > 5 && context.d <= duration(\"15m\") && [\"x\", \"y\"].containsAny(context.s)",
    );
    let has = |part: &str| assert!(all.iter().any(|m| m.contains(part)), "{part} in {all:#?}");
    for part in [
        "context.n >= 5",
        "context.n > 4",
        "context.n > 6",
        "context.d < duration(\"15m\")",
        "duration(\"14m59s\")",
        "duration(\"15m1s\")",
        "[\"x\"].containsAny",
        "[\"y\"].containsAny",
        "[\"x\", \"y\"].containsAll",
    ] {
        has(part);
    }
    let all = conditions("context.t < datetime(\"2026-01-01\") || -1 == context.n");
    let has = |part: &str| assert!(all.iter().any(|m| m.contains(part)), "{part} in {all:#?}");
    has("datetime(\"2026-01-01\").offset(duration(\"-1s\"))");
    has("-0 == context.n");
    has("-2 == context.n");
    // What stands in a string or a comment is none of ours.
    let all = conditions("context.s == \"a == b && 5\" // 7 < 8\n");
    assert!(all.iter().all(|m| m.contains("\"a == b && 5\"") || !m.contains("context.s")), "{all:#?}");
}

#[test]
fn a_difference_shows_the_lines_that_changed() {
    let set = set("permit(principal, action, resource)\nwhen {\n  context.a &&\n  context.b\n};");
    let source = &set.policies()[0];
    let litter = litter(set.policies(), None, |_| false);
    let told: Vec<String> = litter.mutants.iter().map(|m| m.difference(source)).collect();
    assert!(told.contains(&"-  context.b\n+  !(context.b)\n".to_owned()), "{told:#?}");
    assert_eq!(told[0], source.text().lines().map(|l| format!("-{l}\n")).collect::<String>());
}

#[test]
fn what_could_not_load_is_counted() {
    let set = set("permit(principal, action, resource) when { context.a };");
    let all = litter(set.policies(), None, |_| false);
    let none = litter(set.policies(), None, |_| true);
    // A policy that is gone is never refused.
    assert_eq!((none.mutants.len(), none.refused), (1, all.refused + all.mutants.len() - 1));
    assert!(all.same > 0);
}

#[test]
fn a_long_list_is_thinned_and_what_is_too_much_is_told() {
    let list = |many: usize| (0..many).map(|n| format!("\"{n:05}\"")).collect::<Vec<_>>().join(", ");
    let when = |many: usize| {
        format!("permit(principal, action, resource) when {{ [{}].contains(context.s) }};", list(many))
    };
    let long = litter(set(&when(100)).policies(), None, |_| false);
    let of_list = long.mutants.iter().filter(|m| m.what == "an element is missing").count();
    assert_eq!((of_list, long.thinned, long.left_out), (16, 84, 0));
    let short = litter(set(&when(16)).policies(), None, |_| false);
    assert_eq!((short.thinned, short.left_out), (0, 0));

    let two = set("permit(principal, action, resource) when { context.a && context.b };\
                   forbid(principal, action, resource);");
    let first = &two.policies()[0];
    let edits = |mut room: usize| {
        let made = write::edits(first, &mut room);
        (made.edits.len(), made.left_out)
    };
    let (all, none) = edits(usize::MAX);
    assert!(all > 8 && none == 0, "{all} {none}");
    // Each takes as much room as the policy is long, and what is written instead.
    let (some, more) = edits(first.text().len() * 4);
    assert!((1..4).contains(&some) && some + more == all, "{some} {more}");

    let ids: Vec<&str> = two.policies().iter().map(PolicySource::id).collect();
    let one = litter(two.policies(), Some(ids[1]), |_| false);
    assert_eq!(one.mutants.len(), 2, "{ids:?}");
    assert!(one.mutants.iter().all(|mutant| mutant.policy == 1));
}
