//! Random requests: people, programs and visitors, routes, and circumstances within the schema and at its edges.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{Context, RestrictedExpression as Value};
use doorward_model::principal::{Agent, ServiceAccount, User, Visitor};
use doorward_model::{
    AppId, Assurance, CountryCode, DevicePosture, Employment, LifecycleStage, Place, Presence, Principal,
    Risk, RouteFacts, RouteId, Tier, UnixMillis, Weekday,
};
use doorward_policy::{Action, Situation};

use super::chance::Chance;
use super::written::{
    ADDRESSES, APP_GROUPS, COUNTRIES, DURATIONS, GROUPS, MOMENTS, NUMBERS, ROLES, TEXTS, ZONES,
};

fn owned<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    texts.into_iter().map(str::to_owned).collect()
}

fn user(chance: &mut Chance, n: usize) -> User {
    let stages =
        [LifecycleStage::Active, LifecycleStage::Active, LifecycleStage::Leave, LifecycleStage::Unknown];
    let tags = TEXTS.map(|t| (t.to_owned(), chance.of(&TEXTS).to_owned()));
    User {
        id: format!("corp:u{n}").parse().unwrap(),
        name: None,
        email: None,
        groups: owned(chance.some(&GROUPS)),
        roles: owned(chance.some(&ROLES)),
        stage: chance.of(&stages),
        employment: chance.of(&[Employment::Employee, Employment::Contractor, Employment::Unknown]),
        contract_end: chance.coin().then_some(UnixMillis(1_772_618_400_000)),
        home_country: CountryCode::new(chance.of(&COUNTRIES)).unwrap(),
        department: chance.coin().then(|| chance.of(&TEXTS).to_owned()),
        tags: tags
            .into_iter()
            .filter(|(key, _)| !key.is_empty() && chance.coin())
            .collect::<BTreeMap<_, _>>(),
    }
}

/// Somebody; `n` tells them apart from the others of a round.
pub(crate) fn principal(chance: &mut Chance, n: usize) -> Arc<Principal> {
    let scopes = owned(chance.some(&TEXTS[1..]));
    let id = format!("corp:m{n}").parse().unwrap();
    Arc::new(match chance.below(8) {
        0..4 => Principal::User(user(chance, n)),
        4 | 5 => {
            let owner = format!("corp:o{n}").parse().unwrap();
            let stage = chance.of(&[LifecycleStage::Active, LifecycleStage::Suspended]);
            Principal::ServiceAccount(ServiceAccount { id, owner, scopes, stage })
        }
        6 => Principal::Agent(Agent { id, on_behalf_of: user(chance, n), scopes }),
        _ => Principal::Visitor(Visitor),
    })
}

/// Routes of two apps, each of which is in the same sets wherever it is named.
pub(crate) fn routes(chance: &mut Chance, many: usize) -> Vec<RouteFacts> {
    let sets = [chance.some(&APP_GROUPS), chance.some(&APP_GROUPS)];
    let route = |n: usize| {
        let app = chance.below(2);
        RouteFacts {
            id: RouteId::new(AppId::new(&format!("a{app}")).unwrap(), &format!("r{n}")).unwrap(),
            app_groups: sets[app].iter().map(|g| (*g).to_owned()).collect(),
            tier: chance.of(&[Tier::Public, Tier::Internal, Tier::Restricted]),
            scope: chance.of(&TEXTS).to_owned(),
            admin_surface: chance.coin(),
            public: chance.coin(),
        }
    };
    (0..many).map(route).collect()
}

/// A request as the gateway sees it.
pub(crate) fn situation(
    chance: &mut Chance,
    principal: &Arc<Principal>,
    route: &RouteFacts,
    action: Action,
) -> Situation {
    let now = UnixMillis(1_772_618_400_000);
    let mfa = chance.coin();
    Situation {
        principal: Arc::clone(principal),
        // An owner is one entity, whoever asks about the account.
        owner_stage: LifecycleStage::Active,
        granted: chance.coin(),
        action,
        route: route.clone(),
        session: Assurance {
            mfa,
            phishing_resistant: mfa && chance.coin(),
            authenticated_at: chance.coin().then(|| now.minus(Duration::from_secs(60))),
            mfa_at: chance.coin().then_some(now),
        },
        device: DevicePosture { managed: chance.coin(), ..DevicePosture::default() },
        place: Place {
            ip: chance.of(&ADDRESSES).parse().unwrap(),
            networks: owned(chance.some(&ZONES)),
            country: CountryCode::new(chance.of(&COUNTRIES)).unwrap(),
            continent: None,
            asn: chance.coin().then_some(64_496),
            anonymizer: chance.of(&[Presence::Unknown, Presence::Yes, Presence::No]),
            location: None,
        },
        risk: chance.of(&[Risk::UNKNOWN, Risk::scored(0), Risk::scored(70), Risk::scored(100)]),
        now,
        local_time: Duration::from_secs(chance.below(86_400) as u64),
        weekday: chance.of(&[Weekday::Mon, Weekday::Sat, Weekday::Sun]),
        host: chance.of(&TEXTS).to_owned(),
        path: chance.of(&TEXTS).to_owned(),
        user_agent: chance.coin().then(|| chance.of(&TEXTS).to_owned()),
    }
}

/// Circumstances that the schema admits, though the gateway would never say some of them.
pub(crate) fn context(chance: &mut Chance) -> Context {
    let text = |chance: &mut Chance| Value::new_string(chance.of(&TEXTS).to_owned());
    let flag = |chance: &mut Chance| Value::new_bool(chance.coin());
    let duration = |chance: &mut Chance| Value::new_duration(chance.of(&DURATIONS));
    let word = |list: &str, word: &str| Value::new_entity_uid(format!("{list}::\"{word}\"").parse().unwrap());
    let texts = |all: Vec<&str>| Value::new_set(all.into_iter().map(|t| Value::new_string(t.to_owned())));
    let mut geo = vec![
        ("country", word("Country", chance.of(&COUNTRIES))),
        ("anonymizer", flag(chance)),
        ("anonymizerKnown", flag(chance)),
    ];
    chance.coin().then(|| geo.push(("continent", text(chance))));
    chance.coin().then(|| geo.push(("asn", Value::new_long(chance.of(&NUMBERS)))));
    let session = vec![
        ("mfa", flag(chance)),
        ("phishingResistant", flag(chance)),
        ("age", duration(chance)),
        ("mfaAge", duration(chance)),
        ("known", flag(chance)),
    ];
    let mut device = vec![
        ("managed", flag(chance)),
        ("compliant", flag(chance)),
        ("known", flag(chance)),
        ("assurance", word("DeviceAssurance", chance.of(&["none", "cookie", "mtls"]))),
        ("ownerMatches", flag(chance)),
        ("postureAge", duration(chance)),
    ];
    chance.coin().then(|| device.push(("id", text(chance))));
    chance.coin().then(|| device.push(("platform", text(chance))));
    let risk = vec![
        ("score", Value::new_long(chance.of(&NUMBERS))),
        ("known", flag(chance)),
        ("level", word("RiskLevel", chance.of(&["low", "medium", "high", "unknown"]))),
        ("reasons", texts(chance.some(&TEXTS))),
    ];
    let time = vec![
        ("now", Value::new_datetime(chance.of(&MOMENTS))),
        ("localTime", duration(chance)),
        ("weekday", word("Weekday", chance.of(&["mon", "sat", "sun"]))),
    ];
    let mut http = vec![("host", text(chance)), ("path", text(chance))];
    chance.coin().then(|| http.push(("userAgent", text(chance))));
    let record = |fields: Vec<(&str, Value)>| {
        Value::new_record(fields.into_iter().map(|(key, value)| (key.to_owned(), value))).unwrap()
    };
    let fields = [
        ("ip", Value::new_ip(chance.of(&ADDRESSES))),
        ("zones", texts(chance.some(&ZONES))),
        ("geo", record(geo)),
        ("session", record(session)),
        ("device", record(device)),
        ("risk", record(risk)),
        ("time", record(time)),
        ("http", record(http)),
        ("granted", flag(chance)),
    ];
    Context::from_pairs(fields.map(|(key, value)| (key.to_owned(), value))).unwrap()
}
