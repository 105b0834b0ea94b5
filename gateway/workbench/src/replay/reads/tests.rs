use super::*;

fn reads(condition: &str) -> Reads {
    Reads::of(condition).unwrap()
}

fn compared(limits: &[i64], contract_end: bool) -> Look {
    Look::Compared { limits: limits.iter().copied().collect(), contract_end }
}

#[test]
fn what_stands_in_a_condition_is_looked_at() {
    let facts = |condition: &str| Vec::from_iter(reads(condition).facts);
    assert_eq!(facts("context.session.mfa"), [Fact::Mfa]);
    assert_eq!(facts("!(context.granted || context.http.path like \"/a*\")"), [Fact::Path, Fact::Granted]);
    assert_eq!(facts("context.http has userAgent"), [Fact::UserAgent]);
    assert_eq!(facts("context has http.userAgent"), [Fact::Host, Fact::Path, Fact::UserAgent]);
    assert_eq!(facts("if context.session.known then true else principal.x == 1"), [Fact::SessionKnown]);
    assert_eq!(facts("[context.time.weekday].contains(resource.day)"), [Fact::Weekday]);
    assert_eq!(facts("{\"Var\": \"context\"} == principal.x || \"context\" == principal.x"), []);
    assert_eq!(facts("context.geo.country == Country::\"DE\" && principal.context == 1"), [Fact::Place]);
    assert_eq!(facts("context.device.postureAge < duration(\"1h\")"), []);
    assert_eq!(facts("context.device has id && context.risk.score > 3"), [Fact::Device, Fact::Risk]);
    assert_eq!(facts("context[\"session\"][\"mfa\"]"), [Fact::Mfa]);
}

#[test]
fn whoever_looks_at_more_than_the_circumstances_says_so() {
    for (condition, scene) in [
        ("context.geo.country == principal.homeCountry", true),
        ("context.time.now < principal.contractEnd", true),
        ("resource.public && context.granted", true),
        ("action == Action::\"GET\" || context.granted", true),
        ("context.zones.contains(\"principal\") && !context.granted", false),
    ] {
        let reads = reads(condition);
        assert_eq!(reads.looks_at_scene(), scene, "{condition}");
        assert!(!reads.facts.is_empty() || !reads.clocks.is_empty(), "{condition}");
    }
    let public = reads("resource.public");
    assert!(public.facts.is_empty() && public.clocks.is_empty());
}

#[test]
fn a_whole_record_is_all_that_is_in_it() {
    let session = reads("context.session == resource.session");
    assert_eq!(Vec::from_iter(session.facts), [Fact::Mfa, Fact::PhishingResistant, Fact::SessionKnown]);
    assert_eq!(session.clocks, [(Clock::Age, Look::Exactly), (Clock::MfaAge, Look::Exactly)].into());
    for all in [
        "context == resource.x",
        "[context].contains(resource.x)",
        "(if true then context else context).granted",
    ] {
        let all = reads(all);
        assert_eq!((all.facts.len(), all.clocks.len()), (11, Clock::ALL.len()));
        assert!(all.clocks.values().all(|look| *look == Look::Exactly));
    }
}

#[test]
fn a_time_that_is_only_compared_has_limits() {
    let clocks = |condition| reads(condition).clocks;
    let minutes = 60_000;
    assert_eq!(
        clocks("context.session.mfaAge <= duration(\"15m\") && duration(\"-1d\") < context.session.mfaAge"),
        [(Clock::MfaAge, compared(&[-86_400_000, 15 * minutes], false))].into()
    );
    assert_eq!(
        clocks(
            "context.time.now < principal.contractEnd || context.time.now != datetime(\"1970-01-02T00:00:00+0100\")"
        ),
        [(Clock::Now, compared(&[82_800_000], true))].into()
    );
    assert_eq!(
        clocks("principal.onBehalfOf.contractEnd > context.time.now"),
        [(Clock::Now, compared(&[], true))].into()
    );
}

#[test]
fn a_time_that_anything_else_is_done_with_counts_to_the_second() {
    for condition in [
        "context.time.now.toTime() < duration(\"8h\")",
        "context.time.now.offset(duration(\"1d\")) < principal.contractEnd",
        "context.time.now < resource.contractEnd",
        "context.time.now < (if principal.x then principal.contractEnd else datetime(\"1970-01-01\"))",
        "[context.time.now].contains(datetime(\"1970-01-01\"))",
        "context.time.now < datetime(principal.x)",
    ] {
        assert_eq!(reads(condition).clocks, [(Clock::Now, Look::Exactly)].into(), "{condition}");
    }
    let both = reads("context.session.age < context.session.mfaAge");
    assert_eq!(both.clocks, [(Clock::Age, Look::Exactly), (Clock::MfaAge, Look::Exactly)].into());
    let twice = reads("context.session.age < duration(\"1h\") || context.session.age == principal.x");
    assert_eq!(twice.clocks, [(Clock::Age, Look::Exactly)].into());
}

/// Which of person, action and route.
#[test]
fn an_entity_is_looked_into_by_way_of_what_is_asked_about() {
    for (condition, expect) in [
        ("principal.lifecycle == Lifecycle::\"active\"", [true, false, false]),
        ("principal in Role::\"hr\" && principal has contractEnd", [true, false, false]),
        ("principal.onBehalfOf in Group::\"g\" || principal is User in Role::\"hr\"", [true, false, false]),
        ("principal.hasTag(\"a\") && principal.getTag(\"a\") == \"b\"", [true, false, false]),
        ("action in Action::\"read\"", [false, true, false]),
        ("resource in App::\"a\" && resource.public", [false, false, true]),
        ("principal.scopes.contains(resource.scope)", [true, false, true]),
        ("context.time.now < principal.contractEnd", [true, false, false]),
        ("context.granted && true", [false, false, false]),
        (
            "context.geo.country == Country::\"DE\" && context.ip.isInRange(ip(\"10.0.0.0/8\"))",
            [false, false, false],
        ),
        // No policy that was validated does such things.
        ("User::\"corp:alice\" in Role::\"hr\"", [true, true, true]),
        ("User::\"corp:alice\".lifecycle == Lifecycle::\"active\"", [true, true, true]),
        ("User::\"corp:alice\" has contractEnd", [true, true, true]),
        ("User::\"corp:alice\".hasTag(\"a\")", [true, true, true]),
        ("User::\"corp:alice\" is User in Role::\"hr\"", [true, true, true]),
        ("context.risk.level in Role::\"hr\"", [true, true, true]),
        ("(if context.granted then principal else resource) in App::\"a\"", [true, true, true]),
    ] {
        let reads = reads(condition);
        assert_eq!([reads.who, reads.action, reads.route], expect, "{condition}");
    }
}

/// The names in a record are no words of Cedar's form of a policy, whatever they are.
#[test]
fn a_record_is_looked_into_whatever_its_names_are() {
    for name in
        ["Value", "Var", "Record", "Set", "has", "like", "is", ".", "<", "==", "!", "if-then-else", "ip", "x"]
    {
        for condition in [
            format!("{{{name:?}: context.granted}}[{name:?}]"),
            format!("[{{{name:?}: context.granted}}].contains({{{name:?}: true}})"),
            format!("{{{name:?}: {{{name:?}: context.granted}}}}[{name:?}][{name:?}]"),
        ] {
            assert_eq!(Vec::from_iter(reads(&condition).facts), [Fact::Granted], "{condition}");
        }
    }
}

#[test]
fn a_word_that_is_not_known_cannot_be_told() {
    for condition in
        ["context.mood", "context.device.colour == 1 || context.granted", "context has mood", "no condition"]
    {
        assert_eq!(Reads::of(condition), None, "{condition}");
    }
}

/// A word that is new in the schema is to be put into one of the lists, or nothing that reads it is remembered.
#[test]
fn every_word_of_the_schema_is_known() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/schema.cedarschema");
    let text = std::fs::read_to_string(path).unwrap();
    let (fragment, _) = cedar_policy::SchemaFragment::from_cedarschema_str(&text).unwrap();
    let schema = fragment.to_json_value().unwrap();
    let types = &schema[""]["commonTypes"];
    fn leaves(types: &Value, of: &Value, path: &mut Vec<String>, found: &mut Vec<String>) {
        let named = of["type"].as_str().or(of["name"].as_str()).and_then(|name| types.get(name));
        let of = if of["type"] == "EntityOrCommon" { types.get(of["name"].as_str().unwrap()) } else { named }
            .unwrap_or(of);
        match of["attributes"].as_object() {
            Some(attributes) => {
                for (name, below) in attributes {
                    path.push(name.clone());
                    leaves(types, below, path, found);
                    path.pop();
                }
            }
            None => found.push(path.join(".")),
        }
    }
    let mut found = Vec::new();
    leaves(types, &types["Circumstances"], &mut Vec::new(), &mut found);
    assert!(found.len() >= 25 && found.iter().any(|leaf| leaf == "session.mfaAge"), "{found:?}");
    for leaf in found {
        let path: Vec<&str> = leaf.split('.').collect();
        let touches = |known: &[&str]| path.starts_with(known);
        let known =
            Fact::ALL.iter().any(|(_, at)| touches(at)) || Clock::ALL.iter().any(|(_, at)| touches(at));
        assert!(known, "context.{leaf}");
    }
}
