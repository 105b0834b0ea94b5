//! What a thread remembers changes no decision: every record is put to the bundle besides.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use cedar_policy::{Policy, PolicyId};
use doorward_model::principal::{Agent, ServiceAccount, Visitor};
use doorward_model::{
    AppId, Assurance, Compliance, CountryCode, DeviceAssurance, DevicePosture, Employment, LifecycleStage,
    Place, Presence, Principal, Risk, RiskReason, RouteFacts, RouteId, Tier, UnixMillis, User, Weekday,
};
use doorward_policy::record::{self, Reader};
use doorward_policy::{Action, Situation, Workshop};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::memo::{Decider, Outcome};

mod lines;

const NOW: i64 = 1_795_212_000_000;
const MINUTE: i64 = 60_000;

/// Everything that a policy can look at, in many ways, on the border of what it is compared with too.
const CONDITIONS: [&str; 58] = [
    "true",
    "context.session.mfa",
    "!context.session.phishingResistant",
    "context.session.known",
    "context.session.age <= duration(\"15m\")",
    "context.session.age < duration(\"15m\") || context.session.age > duration(\"12h\")",
    "duration(\"15m\") == context.session.age",
    "context.session.mfaAge >= duration(\"900s\")",
    "context.session.mfaAge != duration(\"365d\")",
    "context.session.age == context.session.mfaAge",
    "context.session.mfaAge.toMinutes() == 15",
    "context.time.now < principal.contractEnd",
    "principal has contractEnd && context.time.now >= principal.contractEnd",
    "principal has contractEnd && principal.contractEnd == context.time.now",
    "principal.onBehalfOf has contractEnd && context.time.now < principal.onBehalfOf.contractEnd",
    "context.time.now >= datetime(\"2026-11-20T22:00:00Z\")",
    "context.time.now < datetime(\"2026-11-20T23:00:01+0100\") && context.time.now > datetime(\"2026-11-20\")",
    "context.time.now.toTime() < duration(\"22h\")",
    "context.time.now.toDate() == datetime(\"2026-11-20\")",
    "context.time.now.durationSince(datetime(\"2026-11-20T21:59:00Z\")) > duration(\"1m\")",
    "context.time.localTime >= duration(\"7h\") && context.time.localTime < duration(\"20h\")",
    "[Weekday::\"sat\", Weekday::\"sun\"].contains(context.time.weekday)",
    "context.time == context.time",
    "context.device.managed && context.device.compliant",
    "context.device has platform && context.device.platform like \"li*\"",
    "context.device.assurance == DeviceAssurance::\"mtls\"",
    "context.device.postureAge < duration(\"1h\")",
    "context.device.postureAge == duration(\"2m\") || context.device.ownerMatches",
    "context.zones.contains(\"corp\")",
    "context.geo.country == principal.homeCountry",
    "context.geo.anonymizer || !context.geo.anonymizerKnown",
    "context.geo has asn && context.geo.asn == 64500",
    "context.ip.isInRange(ip(\"10.0.0.0/8\"))",
    "context.risk.score >= 35",
    "context.risk.reasons.contains(\"new_country\")",
    "context.risk.level == RiskLevel::\"unknown\" || !context.risk.known",
    "context.http.path like \"/export/*\"",
    "context.http.host == \"a.example\"",
    "context.http has userAgent && context.http.userAgent like \"*bot*\"",
    "context.granted",
    "(if context.session.mfa then context.http.path == \"/\" else context.granted)",
    "context.session.age > context.session.mfaAge && context.granted",
    "context.risk.score * 9223372036854775807 > 0",
    "context.time.now.offset(duration(\"9223372036854775807ms\")) > context.time.now",
    "resource.tier == Tier::\"restricted\"",
    "principal.hasTag(\"x\")",
    // Names in a record that are also words of Cedar's own form of a policy.
    "{Value: context.granted}.Value",
    "[{Value: context.granted}].contains({Value: true})",
    "{Var: context.granted}.Var",
    "{\"<\": context.granted}[\"<\"]",
    "{\"has\": context.granted}[\"has\"]",
    "{\".\": context.granted}[\".\"]",
    "context.http.host like \"a*\"",
    "context.zones.containsAny([\"corp\", \"vpn\"])",
    "principal is User && principal.hasTag(\"t\") && principal.getTag(\"t\") == \"1\"",
    // Strict validation refuses these; a bundle that was not validated may have them.
    "User::\"corp:u\" in Role::\"r\"",
    "User::\"corp:u\" has contractEnd && User::\"corp:u\".contractEnd > context.time.now",
    "(if context.granted then principal else resource) in App::\"a\"",
];

fn scopes() -> impl Strategy<Value = String> {
    let who = [
        "principal",
        "principal is User",
        "principal is Agent",
        "principal in Role::\"r\"",
        "principal is ServiceAccount",
    ];
    let what = ["action", "action in Action::\"read\"", "action == Action::\"POST\""];
    let where_ = ["resource", "resource in App::\"a\"", "resource == Route::\"b/all\""];
    (
        select(&["permit", "permit", "forbid"][..]),
        select(who.to_vec()),
        select(what.to_vec()),
        select(where_.to_vec()),
    )
        .prop_map(|(effect, who, what, where_)| format!("{effect} ({who}, {what}, {where_})"))
}

fn policy() -> impl Strategy<Value = String> {
    let clause = (select(&["when", "unless"][..]), select(&CONDITIONS[..]))
        .prop_map(|(w, c)| format!(" {w} {{ {c} }}"));
    (scopes(), vec(clause, 0..3)).prop_map(|(scope, clauses)| format!("{scope}{};", clauses.concat()))
}

fn route(app: &str, tier: Tier) -> RouteFacts {
    RouteFacts {
        id: RouteId::new(AppId::new(app).unwrap(), "all").unwrap(),
        app_groups: vec!["all".into()],
        tier,
        scope: "s".into(),
        admin_surface: false,
        public: false,
    }
}

fn user(name: &str, end: Option<i64>) -> User {
    User {
        id: format!("corp:{name}").parse().unwrap(),
        name: None,
        email: None,
        groups: Default::default(),
        roles: if end.is_some() { ["r".to_owned()].into() } else { Default::default() },
        stage: LifecycleStage::Active,
        employment: Employment::Contractor,
        contract_end: end.map(UnixMillis),
        home_country: CountryCode::new("DE").unwrap(),
        department: None,
        tags: end.map(|end| ("t".to_owned(), (end % 2).to_string())).into_iter().collect(),
    }
}

fn principal() -> impl Strategy<Value = Principal> {
    let scopes = || ["s".to_owned()].into();
    let id = || "corp:m".parse().unwrap();
    prop_oneof![
        3 => select(vec![None, Some(NOW - 1), Some(NOW), Some(NOW + 999), Some(NOW + 60 * MINUTE), Some(i64::MAX)])
            .prop_map(|end| Principal::User(user("u", end))),
        1 => select(vec![Some(NOW), None]).prop_map(move |end| Principal::Agent(Agent { id: id(), on_behalf_of: user("u", end), scopes: scopes() })),
        1 => Just(Principal::ServiceAccount(ServiceAccount { id: id(), owner: id(), scopes: scopes(), stage: LifecycleStage::Active })),
        1 => Just(Principal::Visitor(Visitor)),
    ]
}

/// A time near one that a policy asks for.
fn ago() -> impl Strategy<Value = Option<i64>> {
    let near = [0, 2 * MINUTE, 15 * MINUTE, 60 * MINUTE, 720 * MINUTE];
    prop_oneof![Just(None), (select(near.to_vec()), -1001..=1001i64).prop_map(|(ago, off)| Some(ago + off))]
}

fn situation() -> impl Strategy<Value = Situation> {
    let now = prop_oneof![8 => (-2000..=2000i64).prop_map(|off| NOW + off), 1 => select(vec![i64::MAX, i64::MIN, -1])];
    let when = (now, select(vec![0, 25_199, 25_200, 71_999, 72_000]), select(&Weekday::ALL[..]));
    let session = (any::<bool>(), any::<bool>(), ago(), ago());
    let what = (
        select(&[Action::Get, Action::Post][..]),
        select(vec!["a", "b"]),
        select(&["/", "/export/1", "/x"][..]),
    );
    let http =
        (select(&["a.example", "b.example"][..]), select(vec![None, Some("bot"), Some("")]), any::<bool>());
    let device = (any::<bool>(), select(vec![None, Some("linux")]), ago(), any::<bool>());
    let place =
        (select(vec!["10.0.0.1", "192.0.2.1", "::ffff:10.0.0.1"]), select(vec!["DE", "FR"]), any::<bool>());
    let risk = select(vec![
        Risk::UNKNOWN,
        Risk::scored(34),
        Risk::scored(35),
        Risk::unknown_for(RiskReason::HistoryUnavailable),
    ]);
    (principal(), when, session, what, http, (device, place, risk)).prop_map(
        |(
            principal,
            (now, local, weekday),
            session,
            (action, app, path),
            (host, agent, granted),
            (device, place, risk),
        )| {
            let at = |ago: Option<i64>| ago.map(|ago| UnixMillis(now.saturating_sub(ago)));
            Situation {
                principal: Arc::new(principal),
                owner_stage: LifecycleStage::Unknown,
                granted,
                action,
                route: route(app, if app == "a" { Tier::Internal } else { Tier::Restricted }),
                session: Assurance {
                    mfa: session.0,
                    phishing_resistant: session.1,
                    authenticated_at: at(session.2),
                    mfa_at: at(session.3),
                },
                device: DevicePosture {
                    managed: device.0,
                    compliance: if device.3 { Compliance::Compliant } else { Compliance::Unknown },
                    platform: device.1.map(str::to_owned),
                    assurance: if device.3 { DeviceAssurance::Mtls } else { DeviceAssurance::None },
                    owner_matches: device.0,
                    asserted_at: at(device.2),
                    id: None,
                },
                place: Place {
                    ip: place.0.parse().unwrap(),
                    networks: if place.2 { ["corp".to_owned()].into() } else { Default::default() },
                    country: CountryCode::new(place.1).unwrap(),
                    continent: None,
                    asn: place.2.then_some(64_500),
                    anonymizer: if place.2 { Presence::No } else { Presence::Unknown },
                    location: None,
                },
                risk,
                now: UnixMillis(now),
                local_time: Duration::from_secs(local),
                weekday,
                host: host.to_owned(),
                path: path.to_owned(),
                user_agent: agent.map(str::to_owned),
            }
        },
    )
}

static SHIPPED: LazyLock<Workshop> = LazyLock::new(|| {
    Workshop::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies"), None).unwrap()
});

/// Everybody as the first: what differs then are the circumstances only.
fn of_one_scene(situations: &[Situation]) -> Vec<Situation> {
    let Some(first) = situations.first() else { return Vec::new() };
    let of_first = |one: &Situation| Situation {
        principal: Arc::clone(&first.principal),
        action: first.action,
        route: first.route.clone(),
        ..one.clone()
    };
    situations.iter().map(of_first).collect()
}

/// Puts every situation to these policies, twice by what is remembered, and once without.
fn compare(policies: &[String], situations: &[Situation]) -> Result<(), TestCaseError> {
    let policies = policies
        .iter()
        .enumerate()
        .map(|(n, text)| Policy::parse(Some(PolicyId::new(format!("p{n}"))), text).unwrap());
    let bundle = SHIPPED.with(policies.collect());
    let mut reader = Reader::default();
    let mut decider = Decider::new(&bundle, true);
    for situation in situations {
        let text = record::write(&situation.question());
        let record = reader.read(&text).unwrap();
        let expect = Outcome::of(&bundle, &situation.question());
        for _ in 0..2 {
            prop_assert_eq!(&*decider.decide(&record), &expect, "{}", text);
        }
    }
    prop_assert_eq!(decider.mistaken, 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_remembered_is_what_the_bundle_says(policies in vec(policy(), 1..6), situations in vec(situation(), 1..40)) {
        compare(&policies, &situations)?;
        compare(&policies, &of_one_scene(&situations))?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3))]

    /// Each condition by itself, so that none hides behind another.
    #[test]
    fn no_condition_is_taken_for_less_than_it_reads(situations in vec(situation(), 40)) {
        let situations = of_one_scene(&situations);
        for condition in CONDITIONS {
            compare(&[format!("permit (principal, action, resource) when {{ {condition} }};")], &situations)?;
        }
    }
}

/// The property above would hold for a memory that remembers nothing.
#[test]
fn requests_that_differ_in_what_nobody_reads_are_decided_once() {
    let text = "permit (principal, action, resource) when { context.session.mfaAge <= duration(\"15m\") };";
    let bundle = SHIPPED.with(vec![Policy::parse(None, text).unwrap()]);
    let base = r#"{"v":1,"who":{"user":{"id":"corp:u","stage":"active","employment":"employee"}},"does":"GET","route":{"id":"a/all","tier":"public"},"session":{"mfa":true,"mfa_at":1795212000000},"place":{"ip":"192.0.2.1"},"now":1795212000000,"local":0,"weekday":"mon","host":"h","path":"/"}"#;
    let (mut reader, mut decider) = (Reader::default(), Decider::new(&bundle, true));
    let mut decide = |text: &str| decider.decide(&reader.read(text).unwrap()).decision;
    for second in 0..2000 {
        let later = base.replace("\"now\":1795212000000", &format!("\"now\":{}", NOW + second * 1000));
        let decision = decide(&later.replace("\"path\":\"/\"", &format!("\"path\":\"/{second}\"")));
        assert_eq!(decision.as_str(), if second <= 900 { "allow" } else { "deny" }, "{second}");
    }
    assert_eq!(decider.asked, 3, "before the limit, on it, and behind it");
    assert_eq!((decider.controlled, decider.mistaken), (2, 0));
}

/// Whatever would be wrong with what is remembered: it does not go on for ever, and is told.
#[test]
fn what_is_remembered_wrongly_is_found_and_thrown_away() {
    let text = "permit (principal, action, resource) when { context.granted };";
    let bundle = SHIPPED.with(vec![Policy::parse(None, text).unwrap()]);
    let record = r#"{"v":1,"who":"visitor","does":"GET","granted":true,"route":{"id":"a/all","tier":"public"},"place":{"ip":"192.0.2.1"},"now":1795212000000,"local":0,"weekday":"mon","host":"h","path":"/"}"#;
    let (mut reader, mut decider) = (Reader::default(), Decider::new(&bundle, true));
    let mut allowed = |decider: &mut Decider<'_>, times: usize| {
        let decisions = (0..times).map(|_| decider.decide(&reader.read(record).unwrap()).decision);
        decisions.filter(|decision| decision.as_str() == "allow").count()
    };
    assert_eq!(allowed(&mut decider, 10), 10);
    decider.mislead();
    assert_eq!(allowed(&mut decider, 989), 0);
    assert_eq!(decider.mistaken, 0);
    assert_eq!(allowed(&mut decider, 500), 500);
    assert_eq!((decider.mistaken, decider.controlled), (1, 1));
}
