//! What a verdict says, and what policies are told about those who cannot be known.

use std::sync::Arc;
use std::time::Duration;

use doorward_model::principal::{Agent, ServiceAccount, User, Visitor};
use doorward_model::{
    Assurance, Compliance, CountryCode, DeviceAssurance, DevicePosture, LifecycleStage, Presence, Principal,
    Risk, UnixMillis,
};
use doorward_policy::Decision;

use crate::support::{Ask, Folder, code, user};

/// Allowed exactly when the condition holds.
fn holds(condition: &str, ask: &Ask) -> bool {
    let folder =
        Folder::with(&format!("@id(\"a\") permit (principal, action, resource) when {{ {condition} }};"));
    let verdict = folder.decide(ask);
    assert!(verdict.errors.is_empty());
    verdict.is_allow()
}

fn machines() -> [Principal; 3] {
    let id = || "corp:m".parse().unwrap();
    let stage = LifecycleStage::Active;
    [
        Principal::ServiceAccount(ServiceAccount { id: id(), owner: id(), scopes: [].into(), stage }),
        Principal::Agent(Agent { id: id(), on_behalf_of: user(), scopes: [].into() }),
        Principal::Visitor(Visitor),
    ]
}

#[test]
fn a_deny_tells_the_gravest_reason_and_all_advice() {
    let folder = Folder::with(
        "@id(\"p\") permit (principal, action, resource);\n\
         @id(\"z\") @severity(\"critical\") @reason(\"worst\") forbid (principal, action, resource);\n\
         @id(\"b\") @severity(\"low\") @reason(\"mild\") @advice(\"two\") forbid (principal, action, resource);\n\
         @id(\"a\") @advice(\"one\") forbid (principal, action, resource);\n\
         @id(\"c\") @severity(\"low\") @advice(\"two\") forbid (principal, action, resource);\n\
         @id(\"no\") @reason(\"other\") @advice(\"other\") forbid (principal is Visitor, action, resource);",
    );
    let verdict = folder.decide(&Ask::new());
    assert_eq!(verdict.decision, Decision::Deny);
    let determining: Vec<&str> = verdict.determining.iter().map(|d| &**d).collect();
    assert_eq!(determining, ["z", "b", "c", "a"]);
    let refusal = verdict.refusal.unwrap();
    assert_eq!(refusal.code.as_str(), "policy_forbids");
    assert_eq!(refusal.reason.as_deref(), Some("worst"));
    assert_eq!(refusal.advice, ["two", "one"]);
    assert_eq!(refusal.detail, "forbidden by z, b, c, a");
}

#[test]
fn nothing_that_permits_is_a_deny_without_a_reason() {
    let folder = Folder::with("@id(\"p\") permit (principal is Visitor, action, resource);");
    let verdict = folder.decide(&Ask::new());
    assert_eq!((code(&verdict), verdict.determining.len()), ("no_permit", 0));
    let refusal = verdict.refusal.unwrap();
    assert_eq!((refusal.reason, refusal.advice.len()), (None, 0));
}

#[test]
fn an_allow_names_its_permits_and_its_bundle() {
    let folder = Folder::with("@id(\"p\") @reason(\"never shown\") permit (principal, action, resource);");
    let policies = folder.open().unwrap();
    let verdict = Ask::new().of(&policies.bundle());
    assert_eq!(&*verdict.determining[0], "p");
    assert_eq!(verdict.revision, policies.bundle().revision());
    assert_eq!((verdict.refusal, verdict.errors.len()), (None, 0));
}

#[test]
fn one_error_beside_a_forbid_is_told_and_the_forbid_explains() {
    let folder = Folder::with(
        "@id(\"p\") permit (principal, action, resource);\n\
         @id(\"f\") @reason(\"r\") forbid (principal, action, resource);\n\
         @id(\"e\") forbid (principal, action, resource)\n\
         when { context.risk.score == 10 && context.risk.score * 9223372036854775807 > 0 };",
    );
    let verdict = folder.decide(&Ask::new());
    assert_eq!(code(&verdict), "policy_error");
    assert_eq!(verdict.determining.iter().map(|d| &**d).collect::<Vec<_>>(), ["f"]);
    assert_eq!(verdict.refusal.unwrap().reason.as_deref(), Some("r"));
}

#[test]
fn machines_and_visitors_have_proved_nothing_by_a_sign_in() {
    let nothing = "!context.session.mfa && !context.session.phishingResistant && !context.session.known && \
                   context.session.age == duration(\"365d\") && context.session.mfaAge == duration(\"365d\")";
    // The question claims a fresh security key.
    // An agent's person is asked about, too, and has proved what the token says.
    let of_machines = format!("principal is User || ({nothing})");
    for principal in machines() {
        assert!(holds(&of_machines, &Ask::who(principal.clone())), "{}", principal.kind());
    }
    assert!(!holds(nothing, &Ask::new()));
}

#[test]
fn an_agent_may_never_more_than_the_person_for_whom_it_acts() {
    let agent = Ask::who(Principal::Agent(Agent {
        id: "corp:m".parse().unwrap(),
        on_behalf_of: user(),
        scopes: [].into(),
    }));
    let person = "@id(\"person\") permit (principal is User in Role::\"hr\", action, resource)";
    let alone = "@id(\"agent\") permit (principal is Agent, action, resource);";
    for (policies, code, determining) in [
        (format!("{alone} {person};"), "allow", &["agent", "person"][..]),
        (alone.to_owned(), "no_permit", &[]),
        (format!("{person};"), "no_permit", &[]),
        (
            format!(
                "{alone} {person}; @id(\"no\") @advice(\"step-up:mfa\") forbid (principal is User, action, resource);"
            ),
            "policy_forbids",
            &["no"],
        ),
        (
            format!("{alone} {person}; @id(\"not-it\") forbid (principal is Agent, action, resource);"),
            "policy_forbids",
            &["not-it"],
        ),
        // What the sign-in proved counts for the person as it counts without an agent.
        (format!("{alone} {person} when {{ context.session.mfa }};"), "allow", &["agent", "person"]),
        (format!("{alone} {person} unless {{ context.session.mfa }};"), "no_permit", &[]),
    ] {
        let verdict = Folder::with(&policies).decide(&agent);
        let refusal = verdict.refusal.as_ref();
        assert_eq!(refusal.map_or("allow", |refusal| refusal.code.as_str()), code, "{policies}");
        assert_eq!(verdict.determining.iter().map(|id| &**id).collect::<Vec<_>>(), determining, "{policies}");
        assert!(
            refusal.is_none_or(|refusal| refusal.advice.is_empty()),
            "no hands to follow it: {refusal:?}"
        );
    }
}

#[test]
fn what_nobody_knows_opens_no_door() {
    let mut ask = Ask::new();
    ask.session = Assurance::default();
    ask.device = DevicePosture::default();
    ask.risk = Risk::UNKNOWN;
    ask.place.country = CountryCode::UNKNOWN;
    ask.place.anonymizer = Presence::Unknown;
    for condition in [
        "!context.session.known && context.session.age == duration(\"365d\")",
        "context.session.mfaAge == duration(\"365d\")",
        "!context.device.managed && !context.device.compliant && !context.device.known",
        "context.device.assurance == DeviceAssurance::\"none\" && !context.device.ownerMatches",
        "context.device.postureAge == duration(\"365d\")",
        "context.risk.score == 100 && !context.risk.known",
        "context.risk.level == RiskLevel::\"unknown\" && context.risk.reasons.isEmpty()",
        "context.geo.country == Country::\"ZZ\"",
        "!context.geo.anonymizer && !context.geo.anonymizerKnown",
        "!(context.http has userAgent) && !(context.device has id)",
    ] {
        assert!(holds(condition, &ask), "{condition}");
    }
    ask.device.compliance = Compliance::NotCompliant;
    assert!(holds("!context.device.compliant && context.device.known", &ask));
    // A second factor that was not used has no age, whatever the token says.
    ask.session.mfa_at = Some(ask.now);
    assert!(holds("context.session.mfaAge == duration(\"365d\")", &ask));
}

#[test]
fn an_age_is_rounded_up_and_the_time_down() {
    let mut ask = Ask::new();
    ask.now = UnixMillis(1_772_618_400_001);
    ask.session.authenticated_at = Some(UnixMillis(1_772_618_400_001 - 900_000));
    assert!(holds("context.session.age == duration(\"15m\")", &ask));
    ask.session.authenticated_at = Some(UnixMillis(1_772_618_400_000 - 900_000));
    assert!(holds("context.session.age == duration(\"901s\")", &ask));
    assert!(holds("context.time.now == datetime(\"2026-03-04T10:00:00Z\")", &ask));
    assert!(holds("context.time.localTime == duration(\"11h\")", &ask));
    // A sign-in in the future has no negative age.
    ask.session.authenticated_at = Some(UnixMillis(i64::MAX));
    assert!(holds("context.session.age == duration(\"0s\")", &ask));
    ask.session.authenticated_at = Some(UnixMillis(i64::MIN));
    assert!(holds("context.session.age == duration(\"365d\")", &ask));
}

#[test]
fn what_is_said_of_a_device_has_an_age_in_minutes_rounded_up() {
    let mut ask = Ask::new();
    for (assurance, word) in [
        (DeviceAssurance::None, "none"),
        (DeviceAssurance::Cookie, "cookie"),
        (DeviceAssurance::Mtls, "mtls"),
    ] {
        ask.device = DevicePosture { assurance, owner_matches: true, ..DevicePosture::default() };
        let condition = format!("context.device.assurance == DeviceAssurance::\"{word}\"");
        assert!(holds(&condition, &ask) && holds("context.device.ownerMatches", &ask), "{word}");
    }
    // The same device on one bundle, as time goes by: what is remembered of it must not stand still.
    let folder = Folder::with(
        "@id(\"p\") permit (principal, action, resource) when { context.device.postureAge <= duration(\"30m\") };",
    );
    let minute = 60_000;
    ask.device.asserted_at = Some(ask.now);
    for (later, expected) in [
        (0, "allow"),
        (30 * minute, "allow"),
        (30 * minute + 1, "no_permit"),
        (29 * minute + 1, "allow"),
        (400 * 24 * 60 * minute, "no_permit"),
    ] {
        let at = Ask { now: UnixMillis(ask.now.0 + later), device: ask.device.clone(), ..Ask::new() };
        assert_eq!(code(&folder.decide(&at)), expected, "{later} ms");
    }
}

#[test]
fn addresses_of_both_families_are_compared() {
    let mut ask = Ask::new();
    assert!(holds("context.ip.isInRange(ip(\"10.0.0.0/8\"))", &ask));
    ask.place.ip = "2001:db8::1".parse().unwrap();
    assert!(holds("context.ip.isInRange(ip(\"2001:db8::/32\"))", &ask));
}

#[test]
fn a_time_that_no_calendar_has_cannot_be_asked_about() {
    let folder = Folder::with("@id(\"p\") permit (principal, action, resource);");
    for now in [i64::MAX, i64::MIN, -62_200_000_000_000, 253_402_300_800_000] {
        let verdict = folder.decide(&Ask { now: UnixMillis(now), ..Ask::new() });
        assert_eq!(code(&verdict), "policy_error", "{now}");
        assert!(verdict.refusal.unwrap().detail.contains("could not be asked"));
    }
}

#[test]
fn a_country_that_is_in_no_list_is_unknown_also_at_home() {
    let mut ask = Ask::who(Principal::User(User { home_country: CountryCode::new("QX").unwrap(), ..user() }));
    ask.place.country = CountryCode::new("QX").unwrap();
    assert!(holds("context.geo.country == Country::\"ZZ\"", &ask));
    assert!(holds("principal is User && principal.homeCountry == Country::\"ZZ\"", &ask));
}

/// One bundle is asked about people who differ in one fact only, in every order.
#[test]
fn what_is_remembered_of_one_is_not_used_for_another() {
    let folder = Folder::with(
        "@id(\"p\") permit (principal is User in Role::\"hr\", action, resource) when {\n\
         principal.lifecycle == Lifecycle::\"active\" && context.session.mfa && context.device.managed &&\n\
         context.zones.contains(\"corp\") && resource.tier == Tier::\"internal\" &&\n\
         context.session.mfaAge <= duration(\"15m\") && !context.geo.anonymizer };",
    );
    let policies = folder.open().unwrap();
    let bundle = policies.bundle();
    let with = |change: fn(&mut Ask)| {
        let mut ask = Ask::new();
        change(&mut ask);
        ask
    };
    fn as_user(ask: &mut Ask, change: fn(&mut User)) {
        let mut other = user();
        change(&mut other);
        ask.principal = Arc::new(Principal::User(other));
    }
    let denied: [fn(&mut Ask); 9] = [
        |a| as_user(a, |u| u.roles.clear()),
        |a| as_user(a, |u| u.stage = LifecycleStage::Suspended),
        |a| a.session.mfa = false,
        |a| a.session.mfa_at = Some(a.now.minus(Duration::from_secs(901))),
        |a| a.device.managed = false,
        |a| a.place.networks.clear(),
        |a| a.place.anonymizer = Presence::Yes,
        |a| a.route.tier = doorward_model::Tier::Public,
        |a| a.now = a.now.plus(Duration::from_secs(3600)),
    ];
    for _ in 0..2 {
        for change in denied {
            assert_eq!(code(&with(change).of(&bundle)), "no_permit");
            assert_eq!(code(&Ask::new().of(&bundle)), "allow");
        }
    }
    // An owner's stage is part of what is remembered.
    let folder = Folder::with(
        "@id(\"p\") permit (principal is ServiceAccount, action, resource)\n\
         when { principal.owner.lifecycle == Lifecycle::\"active\" };",
    );
    let policies = folder.open().unwrap();
    let [account, ..] = machines();
    let mut ask = Ask::who(account);
    for (stage, expect) in [
        (LifecycleStage::Unknown, "no_permit"),
        (LifecycleStage::Active, "allow"),
        (LifecycleStage::Deactivated, "no_permit"),
    ] {
        ask.owner_stage = stage;
        assert_eq!(code(&ask.of(&policies.bundle())), expect);
    }
}

#[test]
fn what_the_directory_grants_is_asked_anew_each_time() {
    let folder = Folder::with(
        "@id(\"p\") permit (principal is User, action, resource in App::\"wiki\") when { context.granted };",
    );
    let bundle = folder.open().unwrap().bundle();
    let mut ask = Ask::new();
    for granted in [false, true, false, true] {
        ask.granted = granted;
        assert_eq!(code(&ask.of(&bundle)), if granted { "allow" } else { "no_permit" });
    }
}

#[test]
fn a_bundle_is_asked_from_many_threads() {
    let folder = Folder::with("@id(\"p\") permit (principal in Role::\"hr\", action, resource);");
    let bundle = folder.open().unwrap().bundle();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let bundle = &bundle;
            scope.spawn(move || {
                for i in 0..200 {
                    let roles = if (i + n) % 2 == 0 { ["hr".to_owned()] } else { ["x".to_owned()] };
                    let expect = if (i + n) % 2 == 0 { "allow" } else { "no_permit" };
                    let ask = Ask::who(Principal::User(User { roles: roles.into(), ..user() }));
                    assert_eq!(code(&ask.of(bundle)), expect);
                }
            });
        }
    });
}
