//! Random situations: everything that the gateway's types can hold, likely or not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use doorward_model::principal::{Agent, ServiceAccount, User, Visitor};
use doorward_model::{
    AppId, Assurance, Compliance, CountryCode, DeviceAssurance, DeviceId, DevicePosture, Employment,
    LifecycleStage, Place, Presence, Principal, Risk, RiskReason, RiskReasons, RouteFacts, RouteId, Tier,
    UnixMillis, Weekday,
};
use doorward_policy::{Action, Situation};
use proptest::prelude::*;
use proptest::sample::select;

const DAY_MILLIS: i64 = 24 * 3600 * 1000;

fn texts() -> impl Strategy<Value = BTreeSet<String>> {
    prop::collection::btree_set(select(vec!["", "a", "corp", "vpn", "build:run", "é\"\\\n"]), 0..3)
        .prop_map(|texts| texts.into_iter().map(str::to_owned).collect())
}

fn text() -> impl Strategy<Value = String> {
    select(vec!["", "a", "/x/y", "é\"\\\n", "app.example"]).prop_map(str::to_owned)
}

fn country() -> impl Strategy<Value = CountryCode> {
    select(vec!["DE", "KP", "ZZ", "QQ"]).prop_map(|c| CountryCode::new(c).unwrap())
}

/// Times from before there were calendars to after them, most of them of these days.
fn moment() -> impl Strategy<Value = UnixMillis> {
    prop_oneof![
        4 => (1_700_000_000_000..1_900_000_000_000i64).prop_map(UnixMillis),
        1 => any::<i64>().prop_map(UnixMillis),
    ]
}

fn user() -> impl Strategy<Value = User> {
    let tags = prop::collection::btree_map("[a-c]{1}", "[x-z]{0,1}", 0..2);
    let facts = (
        texts(),
        texts(),
        select(&LifecycleStage::ALL[..]),
        select(&Employment::ALL[..]),
        prop::option::of(moment()),
        country(),
        prop::option::of(text()),
        tags,
    );
    facts.prop_map(|(groups, roles, stage, employment, contract_end, home_country, department, tags)| User {
        id: "corp:bob".parse().unwrap(),
        name: None,
        email: None,
        groups,
        roles,
        stage,
        employment,
        contract_end,
        home_country,
        department,
        tags: tags.into_iter().collect::<BTreeMap<_, _>>(),
    })
}

fn principal() -> impl Strategy<Value = Principal> {
    let id = || "other:x".parse().unwrap();
    prop_oneof![
        3 => user().prop_map(Principal::User),
        1 => (texts(), select(&LifecycleStage::ALL[..])).prop_map(move |(scopes, stage)| {
            Principal::ServiceAccount(ServiceAccount { id: id(), owner: id(), scopes, stage })
        }),
        1 => (user(), texts()).prop_map(move |(on_behalf_of, scopes)| {
            Principal::Agent(Agent { id: id(), on_behalf_of, scopes })
        }),
        1 => Just(Principal::Visitor(Visitor)),
    ]
}

fn route() -> impl Strategy<Value = RouteFacts> {
    let id = select(vec!["payroll/admin", "payroll/all", "wiki/all", "wiki/welcome", "a.b_c-d/e"]);
    (id, texts(), select(&Tier::ALL[..]), text(), any::<[bool; 2]>()).prop_map(
        |(id, groups, tier, scope, [admin_surface, public])| {
            let (app, route) = id.split_once('/').unwrap();
            RouteFacts {
                id: RouteId::new(AppId::new(app).unwrap(), route).unwrap(),
                app_groups: groups.into_iter().collect(),
                tier,
                scope,
                admin_surface,
                public,
            }
        },
    )
}

/// From a year and a day ago to a day in the future.
fn past(now: UnixMillis) -> impl Strategy<Value = Option<UnixMillis>> {
    let age = prop_oneof![
        (-DAY_MILLIS..366 * DAY_MILLIS),
        (0..3_600_000i64),
        select(vec![0, 1, 999, 1000, 365 * DAY_MILLIS - 1, 365 * DAY_MILLIS, 365 * DAY_MILLIS + 1])
    ];
    prop::option::of(age.prop_map(move |age| UnixMillis(now.0.saturating_sub(age))))
}

fn place() -> impl Strategy<Value = Place> {
    let presence = select(vec![Presence::Yes, Presence::No, Presence::Unknown]);
    let ip = prop_oneof![
        any::<u32>().prop_map(|ip| IpAddr::from(ip.to_be_bytes())),
        any::<u128>().prop_map(|ip| IpAddr::from(ip.to_be_bytes()))
    ];
    (ip, texts(), country(), prop::option::of(text()), prop::option::of(any::<u32>()), presence).prop_map(
        |(ip, networks, country, continent, asn, anonymizer)| Place {
            ip,
            networks,
            country,
            continent,
            asn,
            anonymizer,
            location: None,
        },
    )
}

fn risk() -> impl Strategy<Value = Risk> {
    let reasons = prop::collection::vec(select(&RiskReason::ALL[..]), 0..3);
    prop_oneof![
        (any::<u8>(), reasons).prop_map(|(score, held)| {
            let mut reasons = RiskReasons::default();
            held.into_iter().for_each(|reason| reasons.add(reason, 7));
            Risk::explained(score, reasons)
        }),
        (0..=100u8).prop_map(Risk::scored),
        select(&RiskReason::ALL[..]).prop_map(Risk::unknown_for),
        Just(Risk::UNKNOWN),
    ]
}

fn device(now: UnixMillis) -> impl Strategy<Value = DevicePosture> {
    let compliance = select(vec![Compliance::Compliant, Compliance::NotCompliant, Compliance::Unknown]);
    let id = prop::option::of(Just(DeviceId::new("laptop-1").unwrap()));
    let facts = (id, any::<[bool; 2]>(), compliance, prop::option::of(text()));
    (facts, select(&DeviceAssurance::ALL[..]), past(now)).prop_map(
        |((id, [managed, owner_matches], compliance, platform), assurance, asserted_at)| DevicePosture {
            id,
            managed,
            compliance,
            platform,
            assurance,
            owner_matches,
            asserted_at,
        },
    )
}

fn session(now: UnixMillis) -> impl Strategy<Value = Assurance> {
    (any::<[bool; 2]>(), past(now), past(now)).prop_map(
        |([mfa, phishing_resistant], authenticated_at, mfa_at)| Assurance {
            mfa,
            phishing_resistant,
            authenticated_at,
            mfa_at,
        },
    )
}

/// A situation. The time of day is that of a clock, which the server reads.
pub(super) fn situation() -> impl Strategy<Value = Situation> {
    moment().prop_flat_map(move |now| {
        let who = (principal(), select(&LifecycleStage::ALL[..]), any::<bool>());
        let what = (select(&Action::ALL[..]), route());
        let how = (session(now), device(now), place(), risk());
        let time = (0..24 * 3_600_000u64, select(&Weekday::ALL[..]));
        let http = (text(), text(), prop::option::of(text()));
        (who, what, how, time, http).prop_map(
            move |(
                (principal, owner_stage, granted),
                (action, route),
                (session, device, place, risk),
                (local, weekday),
                (host, path, user_agent),
            )| Situation {
                principal: Arc::new(principal),
                owner_stage,
                granted,
                action,
                route,
                session,
                device,
                place,
                risk,
                now,
                local_time: Duration::from_millis(local),
                weekday,
                host,
                path,
                user_agent,
            },
        )
    })
}
