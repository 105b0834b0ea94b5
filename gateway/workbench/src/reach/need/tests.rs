//! What people read.

use cedar_policy::Policy;

use super::*;

/// The lines that say what a forbid asks for, and the condition under which it does not apply.
fn wanted(condition: &str) -> (Vec<String>, String) {
    let text = format!("forbid (principal, action, resource) when {{ {condition} }};");
    let need = Need::of(&super::condition(&Policy::parse(None, text).unwrap()).unwrap(), false);
    (need.lines(), need.cedar())
}

#[test]
fn what_is_forbidden_is_told_as_what_is_wanted() {
    for (condition, lines) in [
        ("!context.session.mfa", &["more than one factor"][..]),
        ("context.session.mfa", &["one factor only"]),
        ("context.session.age > duration(\"12h\")", &["signed in at most 12h ago"]),
        ("duration(\"43200000ms\") < context.session.age", &["signed in at most 12h ago"]),
        ("!(context.session.mfaAge <= duration(\"900s\"))", &["a second factor at most 15m ago"]),
        ("context.risk.score >= 70", &["risk below 70"]),
        ("!context.zones.contains(\"corp\")", &["in the network corp"]),
        ("!context.zones.containsAny([\"corp\", \"vpn\"])", &["in one of the networks corp, vpn"]),
        ("context.geo.country != Country::\"DE\"", &["from DE"]),
        ("context.geo.country == Country::\"ZZ\"", &["from a country that is known"]),
        ("[Country::\"IR\", Country::\"KP\"].contains(context.geo.country)", &["from none of IR, KP"]),
        ("context.zones.containsAny([\"corp\", \"vpn\"])", &["in none of the networks corp, vpn"]),
        (
            "context.zones.containsAll([\"corp\", \"vpn\"])",
            &["outside at least one of the networks corp, vpn"],
        ),
        ("!context.zones.containsAll([\"corp\", \"vpn\"])", &["in all of the networks corp, vpn"]),
        ("context.zones.containsAny([\"corp\"])", &["outside the network corp"]),
        ("context.risk.reasons.containsAny([\"a\", \"b\"])", &["risky for none of a, b"]),
        ("context.risk.reasons.containsAll([\"a\", \"b\"])", &["risky for not all of a, b"]),
        (
            "[RiskLevel::\"low\", RiskLevel::\"medium\"].contains(context.risk.level)",
            &["risk neither low nor medium"],
        ),
        ("context.risk.level == RiskLevel::\"high\"", &["risk not high"]),
        (
            "[Assurance::\"mtls\", Assurance::\"dpop\"].contains(context.device.assurance)",
            &["a device proved by neither mtls nor dpop"],
        ),
        ("context.device.assurance == Assurance::\"none\"", &["a device not proved by none"]),
        ("!context.ip.isInRange(ip(\"10.0.0.0/8\"))", &["from 10.0.0.0/8"]),
        ("!(context.time.now < datetime(\"2026-06-30\"))", &["before 2026-06-30"]),
        (
            "!(context.time.now < datetime(\"1970-01-01\").offset(duration(\"1709211600000ms\")))",
            &["before 2024-02-29T13:00:00Z"],
        ),
        ("[Weekday::\"sat\", Weekday::\"sun\"].contains(context.time.weekday)", &["on weekdays"]),
        ("context.time.weekday == Weekday::\"fri\"", &["on mon, tue, wed, thu, sat, sun"]),
        ("!context.granted", &["the directory grants the app"]),
        // Each of a disjunction is asked for by itself, in the order in which it stands.
        ("!context.session.mfa || !context.device.managed", &["more than one factor", "a managed device"]),
        (
            "!(![Weekday::\"sat\", Weekday::\"sun\"].contains(context.time.weekday) && \
             context.time.localTime >= duration(\"7h\") && context.time.localTime < duration(\"20h\"))",
            &["on weekdays 07:00 to 20:00"],
        ),
        // What excludes each other is not said as if it were a time.
        (
            "!(context.time.localTime >= duration(\"22h\") && context.time.localTime < duration(\"6h\"))",
            &["from 22:00 and before 06:00 (at no time)"],
        ),
        (
            "!(context.time.weekday == Weekday::\"mon\" && context.session.mfa && context.time.weekday == Weekday::\"tue\")",
            &["on mon and on tue (at no time)", "more than one factor"],
        ),
        (
            "!(context.time.weekday == Weekday::\"mon\" && context.time.localTime >= duration(\"7h\") && \
             context.time.localTime < duration(\"7h\"))",
            &["on mon and from 07:00 and before 07:00 (at no time)"],
        ),
        // Of several the narrowest counts.
        (
            "!(context.time.localTime >= duration(\"7h\") && context.time.localTime < duration(\"20h\") && \
             context.time.localTime >= duration(\"9h\") && ![Weekday::\"sat\", Weekday::\"sun\"].contains(context.time.weekday) \
             && context.time.weekday != Weekday::\"fri\")",
            &["on mon, tue, wed, thu 09:00 to 20:00"],
        ),
        ("!(context.time.localTime >= duration(\"7h\"))", &["from 07:00"]),
        (
            "!(context.time.weekday == Weekday::\"mon\" && context.time.localTime < duration(\"7h\"))",
            &["on mon", "before 07:00"],
        ),
        (
            "context.geo.anonymizer && !context.zones.contains(\"corp\")",
            &["not through an anonymizer that is known or in the network corp"],
        ),
        (
            "if context.session.mfa then context.risk.score > 9 else true",
            &["more than one factor", "risk at most 9"],
        ),
        // What has no words is told in Cedar.
        ("context.http.host like \"*.test\"", &["!(context.http.host like \"*.test\")"]),
        ("true", &["what cannot be"]),
        ("false", &["nothing"]),
    ] {
        assert_eq!(wanted(condition).0, lines, "{condition}");
    }
}

#[test]
fn in_cedar_it_is_a_condition_that_can_be_read_back() {
    for (condition, cedar) in [
        ("context.a && context.b", "!(context.a) || !(context.b)"),
        ("context.a || !(context.b && context.c)", "!(context.a) && context.b && context.c"),
        ("(context.a || context.b) && context.c", "(!(context.a) && !(context.b)) || !(context.c)"),
        ("context.a && true", "!(context.a)"),
        ("context.a || context.a", "!(context.a)"),
    ] {
        let told = wanted(condition).1;
        assert_eq!(told, cedar, "{condition}");
        wanted(&told);
    }
}

#[test]
fn what_computes_may_fail_and_what_is_known_has_been_computed() {
    let fails = |condition: &str| {
        let text = format!("forbid (principal, action, resource) when {{ {condition} }};");
        may_fail(&super::condition(&Policy::parse(None, text).unwrap()).unwrap())
    };
    for computing in [
        "context.a + 1 > 2",
        "-context.a > 2",
        "context.b.offset(duration(\"1h\")) < context.b",
        "context.b.durationSince(datetime(\"2026-01-01\")) > duration(\"1h\")",
        "context.b.toDate() == context.b",
        "context.a == 1 && (if context.c then context.a * 2 else 0) == 0",
    ] {
        assert!(fails(computing), "{computing}");
    }
    for known in [
        "context.b < datetime(\"1970-01-01\").offset(duration(\"1h\"))",
        "context.a > 2",
        "context.b.toTime() > duration(\"1h\")",
        "context.d.contains(\"x\") || context.e.isInRange(ip(\"::/0\"))",
    ] {
        assert!(!fails(known), "{known}");
    }
}
