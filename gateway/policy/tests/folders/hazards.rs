//! The ways in which a forbid silently does not apply, each with its guard. Every folder here has
//! a permit for everybody and one forbid that ought to deny. (Hazards 4, 5 and 6 are about the
//! entities and are tested beside them.)

use crate::support::{Ask, Folder, code, known};

const PERMIT: &str = "@id(\"all\") permit (principal, action, resource);\n";

/// The permit and a forbid with this condition.
fn forbid(condition: &str) -> Folder {
    Folder::with(&format!("{PERMIT}@id(\"no\") forbid (principal, action, resource) when {{ {condition} }};"))
}

/// The error refuses, and says which policy and why; the permit does not pass for a reason.
fn refused_as_broken(folder: &Folder, why: &str) {
    let verdict = folder.decide(&Ask::new());
    assert_eq!(code(&verdict), "policy_error");
    assert!(verdict.determining.is_empty());
    assert_eq!(verdict.errors.len(), 1);
    assert_eq!(&*verdict.errors[0].0, "no");
    assert!(verdict.errors[0].1.contains(why), "{:?}", verdict.errors);
}

#[test]
fn hazard_1_an_overflow_in_a_forbid_denies() {
    // The trial at load uses a risk of 50; this overflows at 10 only.
    refused_as_broken(
        &forbid("context.risk.score == 10 && context.risk.score * 9223372036854775807 > 0"),
        "overflow",
    );
}

#[test]
fn hazard_1_an_overflow_that_always_happens_is_found_at_load() {
    let wrong = forbid("context.risk.score * 9223372036854775807 > 0").wrong();
    assert!(wrong.contains("`no` cannot be evaluated") && wrong.contains("overflow"), "{wrong}");
}

#[test]
fn hazard_2_an_overflow_of_a_time_denies() {
    let late = "context.time.now.offset(duration(\"9223372036854775807ms\")) > datetime(\"2020-01-01\")";
    refused_as_broken(&forbid(&format!("context.risk.score == 10 && {late}")), "overflow");
    assert!(forbid(late).wrong().contains("cannot be evaluated"));
}

#[test]
fn hazard_3_an_unguarded_optional_attribute_is_not_loaded() {
    let wrong = forbid("context.http.userAgent == \"x\"").wrong();
    assert!(wrong.starts_with("apps/test.cedar:2:"), "{wrong}");
    assert!(wrong.contains("userAgent"), "{wrong}");
}

#[test]
fn hazard_4_a_look_further_than_the_entities_reach_is_not_loaded() {
    let wrong = forbid("User::\"corp:bob\".lifecycle == Lifecycle::\"active\"").wrong();
    assert!(wrong.contains("apps/test.cedar:2:"), "{wrong}");
    let wrong = forbid("App::\"wiki\" in AppGroup::\"docs\"").wrong();
    assert!(wrong.contains("apps/test.cedar:2:"), "{wrong}");
}

#[test]
fn hazard_5_a_group_of_actions_forbids_its_members() {
    let folder = Folder::with(&format!(
        "{PERMIT}@id(\"no\") forbid (principal, action in Action::\"write\", resource);"
    ));
    for action in doorward_policy::Action::ALL {
        let writes = ["POST", "PUT", "PATCH", "DELETE"].contains(&action.as_str());
        let expect = if writes { "policy_forbids" } else { "allow" };
        assert_eq!(code(&folder.decide(&Ask::does(action))), expect, "{action}");
    }
}

#[test]
fn hazard_6_roles_groups_apps_and_their_sets_forbid() {
    for scope in [
        "principal in Role::\"hr\", action, resource",
        "principal in Group::\"staff\", action, resource",
        "principal, action, resource in App::\"wiki\"",
        "principal, action, resource in AppGroup::\"docs\"",
        "principal == User::\"corp:alice\", action, resource == Route::\"wiki/all\"",
    ] {
        let folder = Folder::with(&format!("{PERMIT}@id(\"no\") forbid ({scope});"));
        assert_eq!(code(&folder.decide(&Ask::new())), "policy_forbids", "{scope}");
    }
}

/// What is wrong with one more forbid, with a configuration and without one.
fn wrong_with_and_without_names(forbid: &str) -> [String; 2] {
    let folder = Folder::with(&format!("{PERMIT}@id(\"no\") forbid {forbid};"));
    let known = known([&Ask::new().route]);
    [Some(&known), None].map(|known| {
        let checked = doorward_policy::check(folder.path(), known);
        checked.map_or_else(|e| e.plain().lines().next().unwrap_or_default().to_owned(), |_| String::new())
    })
}

#[test]
fn hazard_11_a_person_whom_nobody_can_be_is_not_loaded() {
    for (kind, nobody) in [
        ("User", "alice"),
        ("User", ""),
        ("User", "corp:"),
        ("User", ":alice"),
        ("User", "Corp:alice"),
        ("ServiceAccount", "nightly"),
        ("Agent", "corp"),
    ] {
        let literal = format!("{kind}::\"{nobody}\"");
        let scope = format!("(principal == {literal}, action, resource)");
        let condition =
            format!("(principal, action, resource) when {{ principal is {kind} && principal == {literal} }}");
        for wrong in [scope, condition].iter().flat_map(|forbid| wrong_with_and_without_names(forbid)) {
            assert!(wrong.starts_with("apps/test.cedar:2:"), "{wrong}");
            assert!(
                wrong.ends_with(&format!("nobody is called `{nobody}`, so this would never apply")),
                "{wrong}"
            );
        }
    }
    let owner = "(principal is ServiceAccount, action, resource) when { principal.owner == Owner::\"bob\" }";
    for wrong in wrong_with_and_without_names(owner) {
        assert!(wrong.contains("nobody is called `bob`"), "{wrong}");
    }
    let visitor = "(principal == Visitor::\"guest\", action, resource)";
    for wrong in wrong_with_and_without_names(visitor) {
        assert!(wrong.contains("no visitor is called `guest`"), "{wrong}");
    }
    for good in ["User::\"corp:alice\"", "Agent::\"corp:https://x/y\"", "Visitor::\"anyone\""] {
        let wrong = wrong_with_and_without_names(&format!("(principal == {good}, action, resource)"));
        assert_eq!(wrong, ["", ""], "{good}");
    }
}

#[test]
fn hazard_12_a_person_of_an_issuer_that_the_configuration_does_not_have_is_not_loaded() {
    for kind in ["User", "ServiceAccount", "Agent"] {
        let forbid = format!("(principal == {kind}::\"crop:alice\", action, resource)");
        let [with, without] = wrong_with_and_without_names(&forbid);
        assert_eq!(
            with,
            "apps/test.cedar:2:32: the configuration has no issuer `crop`, so this would never apply"
        );
        assert_eq!(without, "");
    }
}

#[test]
fn hazard_13_a_network_that_the_configuration_does_not_have_is_not_loaded() {
    for condition in [
        "context.zones.contains(\"vnp\")",
        "context[\"zones\"].contains(\"vnp\")",
        "context.zones.containsAny([\"corp\", \"vnp\"])",
        "context.zones.containsAll([\"vnp\"])",
        "[\"vnp\"].containsAll(context.zones)",
        "[\"vnp\"].containsAny(context.zones)",
        "context.zones == [\"vnp\"]",
        "[\"vnp\", \"corp\"] != context.zones",
        "context.risk.known && !(context.session.mfa || context.zones.contains(\"vnp\"))",
    ] {
        for word in ["when", "unless"] {
            let forbid = format!("(principal, action, resource) {word} {{ {condition} }}");
            let [with, without] = wrong_with_and_without_names(&forbid);
            assert!(with.starts_with("apps/test.cedar:2:"), "{condition}: {with}");
            assert!(with.contains("the configuration has no network `vnp`"), "{condition}: {with}");
            assert_eq!(without, "", "{condition}");
        }
    }
    let good = "(principal, action, resource) unless { context.zones.containsAny([\"corp\", \"vpn\"]) || \
                context.http.host == \"zones\" }";
    assert_eq!(wrong_with_and_without_names(good), ["", ""]);
}

/// A chain of conditions as long as it may be is evaluated on every stack that a worker may have;
/// a longer one is not loaded.
#[test]
fn hazard_7_what_is_too_deep_to_be_evaluated_is_not_loaded() {
    let chain = |n: usize| {
        let terms = (0..n).map(|i| format!("context.ip.isInRange(ip(\"192.0.2.{}\"))", i % 256));
        let terms: Vec<_> = terms.chain(["context.session.mfa".to_owned()]).collect();
        terms.join(" || ")
    };
    let longest = forbid(&chain(150));
    assert_eq!(code(&longest.decide(&Ask::new())), "policy_forbids");
    let policies = longest.open().unwrap_or_else(|e| panic!("{}", e.plain()));
    let small = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    let verdict = small.spawn(move || Ask::new().of(&policies.bundle())).map(|t| t.join());
    assert_eq!(verdict.ok().and_then(Result::ok).map(|v| code(&v)), Some("policy_forbids"));
    for n in [200, 500, 8000] {
        let wrong = forbid(&chain(n)).wrong();
        assert!(wrong.starts_with("apps/test.cedar:2:1: this policy stacks"), "{wrong}");
    }
}

#[test]
fn hazard_8_what_is_too_deep_to_be_parsed_is_not_parsed() {
    for open in ["(", "!(", "[", "if true then (", "-(", "{a: "] {
        let wrong = forbid(&open.repeat(4000)).wrong();
        assert!(wrong.contains("brackets nest deeper than 64 levels"), "{wrong}");
    }
}

#[test]
fn hazard_9_a_name_that_the_configuration_does_not_have_is_not_loaded() {
    let folder = Folder::with(&format!(
        "{PERMIT}@id(\"a\") forbid (principal, action, resource in App::\"wikki\");\n\
         @id(\"b\") forbid (principal, action, resource in AppGroup::\"dox\");\n\
         @id(\"c\") forbid (principal, action, resource == Route::\"wiki/al\");\n\
         @id(\"d\") forbid (principal, action, resource) when {{ resource in App::\"payroll\" }};"
    ));
    let known = known([&Ask::new().route]);
    let wrong = doorward_policy::check(folder.path(), Some(&known)).map(|_| ()).map_err(|e| e.plain());
    let expect = "\
apps/test.cedar:2:49: the configuration has no app `wikki`, so this would never apply
    help: did you mean `wiki`?
apps/test.cedar:3:49: the configuration has no group of apps `dox`, so this would never apply
    help: did you mean `docs`?
apps/test.cedar:4:49: the configuration has no route `wiki/al`, so this would never apply
    help: did you mean `wiki/all`?
apps/test.cedar:5:66: the configuration has no app `payroll`, so this would never apply
    help: add the app to the configuration, or remove it from the policy
";
    assert_eq!(wrong, Err(expect.to_owned()));
    assert!(folder.open().is_ok(), "without a configuration nobody can tell");
}

#[test]
fn hazard_9_roles_that_differ_by_one_letter_are_pointed_out() {
    let folder = Folder::with(
        "@id(\"a\") @title(\"t\") @owner(\"o\") permit (principal in Role::\"employee\", action, resource);\n\
         @id(\"b\") @title(\"t\") @owner(\"o\") permit (principal in Role::\"employe\", action, resource);\n\
         @id(\"c\") @title(\"t\") @owner(\"o\") permit (principal in Role::\"level-1\", action, resource);\n\
         @id(\"d\") @title(\"t\") @owner(\"o\") permit (principal in Role::\"level-2\", action, resource);",
    );
    let hints = doorward_policy::check(folder.path(), None).map(|r| r.plain()).map_err(|e| e.plain());
    let hints = hints.unwrap_or_else(|e| panic!("{e}"));
    assert!(
        hints.contains("apps/test.cedar:1:55: `Role::\"employee\"` differs from `Role::\"employe\"`"),
        "{hints}"
    );
    assert!(!hints.contains("level"), "{hints}");
}

#[test]
fn hazard_10_a_letter_that_looks_like_another_is_not_loaded() {
    // The letters are Cyrillic.
    let wrong = forbid("context.zones.contains(\"\u{441}\u{43e}\u{440}p\")").wrong();
    assert!(wrong.starts_with("apps/test.cedar:2:"), "{wrong}");
}

#[test]
fn a_policy_that_can_never_apply_is_not_loaded() {
    let folder =
        Folder::with(&format!("{PERMIT}@id(\"no\") forbid (principal, action, resource == App::\"wiki\");"));
    assert!(folder.wrong().starts_with("apps/test.cedar:2:"));
}
