//! What is written is read as what it was, and nothing else is read.

use std::sync::Arc;
use std::time::Duration;

use cedar_policy::Schema;
use doorward_model::principal::{Agent, ServiceAccount, Visitor};
use doorward_model::{
    AppId, Assurance, Compliance, CountryCode, DeviceAssurance, DeviceId, DevicePosture, Employment,
    LifecycleStage, Location, Place, Presence, Principal, Risk, RiskReason, RiskReasons, RouteFacts, RouteId,
    Tier, UnixMillis, User, Weekday,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::bundle::PolicyBundle;
use crate::circumstances;
use crate::question::Action;
use crate::revision::Revision;
use crate::vocabulary::Vocabulary;

const SCHEMA: &str = include_str!("../../../../policies/schema.cedarschema");

/// Everything at once: this line never changes its meaning, whatever else is written one day.
const WHOLE: &str = r#"{"v":1,"who":{"agent":{"id":"corp:bot","on_behalf_of":{"id":"corp:alice","groups":["g\"1"],"roles":["hr"],"stage":"active","employment":"contractor","contract_end":1795300000000,"home":"DE","department":"people","tags":{"costCenter":"42"}},"scopes":["runs.read"]}},"does":"UPGRADE","granted":true,"route":{"id":"payroll/admin","groups":["finance"],"tier":"restricted","scope":"runs.read","admin":true,"public":true},"session":{"mfa":true,"phishing_resistant":true,"at":1795208400001,"mfa_at":1795208400002},"device":{"id":"dev-7","managed":true,"compliant":false,"platform":"linux","assurance":"mtls","owner_matches":true,"asserted_at":1795200000000},"place":{"ip":"2001:db8::1","zones":["corp","vpn"],"country":"FR","continent":"EU","asn":64500,"anonymizer":false},"risk":{"score":35,"reasons":{"new_country":25,"learning":0}},"now":1795212000123,"local":79200,"weekday":"fri","host":"payroll.example","path":"/a","agent":"curl/8"}"#;

/// As little as there can be.
const LEAST: &str = r#"{"v":1,"who":"visitor","does":"GET","route":{"id":"wiki/all","tier":"public"},"place":{"ip":"192.0.2.1"},"now":0,"local":0,"weekday":"mon","host":"","path":"/"}"#;

fn bundle() -> PolicyBundle {
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA).unwrap();
    let words = Vocabulary::new(schema, SCHEMA).unwrap();
    PolicyBundle::new(words, Vec::new(), Revision::of([]), UnixMillis(0))
}

#[test]
fn a_record_of_the_first_version_is_read_for_ever() {
    for line in [WHOLE, LEAST] {
        let situation = read(line).unwrap();
        assert_eq!(write(&situation.question()), line);
        assert_eq!(Reader::default().read(line).unwrap().situation(), situation);
    }
    let whole = read(WHOLE).unwrap();
    assert_eq!(whole.risk.to_string(), "35 medium (new_country 25, learning)");
    assert_eq!(whole.device.compliance, Compliance::NotCompliant);
    assert_eq!(whole.place.anonymizer, Presence::No);
    let least = read(LEAST).unwrap();
    assert_eq!((least.risk, least.device), (Risk::UNKNOWN, DevicePosture::default()));
    assert_eq!((least.place.country, least.place.anonymizer), (CountryCode::UNKNOWN, Presence::Unknown));
}

#[test]
fn what_is_not_of_this_version_is_not_read_at_all() {
    let newer = LEAST.replace("\"v\":1", "\"v\":2");
    assert_eq!(read(&newer).unwrap_err(), Unreadable::Version(2));
    assert_eq!(read(r#"{"v":7,"who":{"robot":1},"more":[]}"#).unwrap_err(), Unreadable::Version(7));
    let bad = [
        String::new(),
        "[]".to_owned(),
        "{}".to_owned(),
        LEAST.replace("\"host\"", "\"mood\":1,\"host\""),
        LEAST.replace("visitor", "ghost"),
        LEAST.replace("GET", "BREW"),
        LEAST.replace("\"GET\"", "\"\\u0000\""),
        LEAST.replace("wiki/all", "wiki"),
        LEAST.replace("wiki/all", "wiki/ALL"),
        LEAST.replace("\"tier\":\"public\"", "\"tier\":\"secret\""),
        LEAST.replace("192.0.2.1", "192.0.2"),
        LEAST.replace("\"local\":0", "\"local\":86400"),
        LEAST.replace("\"mon\"", "\"monday\""),
        LEAST.replace("\"now\":0", "\"now\":\"0\""),
        WHOLE.replace("corp:bot", "bot"),
        WHOLE.replace("\"stage\":\"active\"", "\"stage\":\"happy\""),
        WHOLE.replace("\"FR\"", "\"France\""),
        WHOLE.replace("dev-7", "dev 7"),
        WHOLE.replace("new_country", "bad_mood"),
        WHOLE.replace("\"score\":35,", ""),
        "[".repeat(100_000),
        LEAST.replace("\"visitor\"", &"[".repeat(10_000)),
    ];
    for text in bad {
        let shown = &text[..text.len().min(300)];
        assert!(matches!(read(&text), Err(Unreadable::Malformed(_))), "{shown}");
        assert!(matches!(Reader::default().read(&text), Err(Unreadable::Malformed(_))), "{shown}");
    }
}

#[test]
fn what_is_too_large_is_not_kept_and_says_so() {
    let Principal::Agent(agent) = &*read(WHOLE).unwrap().principal else { panic!("an agent") };
    let mut user = agent.on_behalf_of.clone();
    user.groups = (0..2000).map(|n| format!("{n:0>36}")).collect();
    let mut situation = read(LEAST).unwrap();
    situation.principal = Arc::new(Principal::User(user));
    let text = write(&situation.question());
    assert!(text.len() < 100, "{text}");
    let Err(Unreadable::TooLarge(bytes)) = read(&text) else { panic!("{text}") };
    assert!(bytes as usize > AUDIT_SITUATION_BYTES_MAX);
    let long = LEAST.replace("\"path\":\"/\"", &format!("\"path\":\"/{}\"", "a".repeat(70_000)));
    assert!(matches!(read(&long), Err(Unreadable::Malformed(_))));
}

/// Parts that return are one and the same; after much that does not return, they are read anew.
#[test]
fn parts_that_return_are_remembered_within_bounds() {
    let mut reader = Reader::default();
    let first = reader.read(WHOLE).unwrap();
    let other = WHOLE.replace("\"path\":\"/a\"", "\"path\":\"/b\"").replace("1795212000123", "1795212000999");
    let again = reader.read(&other).unwrap();
    assert!(Arc::ptr_eq(&first.who.value.0, &again.who.value.0));
    assert_eq!((first.who.number, first.place.number), (again.who.number, again.place.number));
    assert_eq!((&*again.path, again.now), ("/b", UnixMillis(1_795_212_000_999)));
    for n in 0..40_000 {
        let line = WHOLE.replace("corp:alice", &format!("corp:{}", "x".repeat(n % 200) + &n.to_string()));
        let read = reader.read(&line).unwrap();
        assert!(read.who.number > first.who.number);
    }
    let last = reader.read(WHOLE).unwrap();
    assert!(last.who.number > first.who.number, "it was forgotten, and its number is not used again");
    assert_eq!(last.who.value, first.who.value);
}

#[test]
fn every_time_of_the_calendar_can_be_told() {
    for seconds in [reader::IN_CALENDAR.start(), reader::IN_CALENDAR.end()] {
        assert!(circumstances::datetime(UnixMillis::from_seconds(*seconds)).is_some(), "{seconds}");
    }
}

// === any situation ===

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,8}", any::<String>(), Just("\"\\\u{1}\u{2028}é".to_owned())]
}

fn at() -> impl Strategy<Value = Option<UnixMillis>> {
    option::of(prop_oneof![any::<i64>(), 1_700_000_000_000..1_800_000_000_000i64].prop_map(UnixMillis))
}

fn user_id() -> impl Strategy<Value = doorward_model::UserId> {
    "[a-z-]{1,5}:[a-z: \"\\\\]{1,9}".prop_map(|id| id.parse().unwrap())
}

fn country() -> impl Strategy<Value = CountryCode> {
    "[A-Z]{2}".prop_map(|code| CountryCode::new(&code).unwrap())
}

fn user() -> impl Strategy<Value = User> {
    let who = (user_id(), option::of(text()), select(&LifecycleStage::ALL[..]), select(&Employment::ALL[..]));
    let has = (btree_set(text(), 0..4), btree_set(text(), 0..4), btree_map(text(), text(), 0..3));
    (who, has, at(), country(), option::of(text())).prop_map(
        |((id, name, stage, employment), (groups, roles, tags), contract_end, home_country, department)| {
            User {
                id,
                email: name.clone(),
                name,
                groups,
                roles,
                stage,
                employment,
                contract_end,
                home_country,
                department,
                tags,
            }
        },
    )
}

fn principal() -> impl Strategy<Value = Principal> {
    let scopes = || btree_set(text(), 0..3);
    let account = (user_id(), user_id(), scopes(), select(&LifecycleStage::ALL[..])).prop_map(
        |(id, owner, scopes, stage)| Principal::ServiceAccount(ServiceAccount { id, owner, scopes, stage }),
    );
    prop_oneof![
        4 => user().prop_map(Principal::User),
        1 => account,
        1 => (user_id(), user(), scopes())
            .prop_map(|(id, on_behalf_of, scopes)| Principal::Agent(Agent { id, on_behalf_of, scopes })),
        1 => Just(Principal::Visitor(Visitor)),
    ]
}

fn risk() -> impl Strategy<Value = Risk> {
    let reasons = vec((select(&RiskReason::ALL[..]), 0..=100u8), 0..4).prop_map(|all| {
        let mut reasons = RiskReasons::default();
        all.into_iter().for_each(|(reason, points)| reasons.add(reason, points));
        reasons
    });
    prop_oneof![
        Just(Risk::UNKNOWN),
        select(&RiskReason::ALL[..]).prop_map(Risk::unknown_for),
        (0..=100u8, reasons).prop_map(|(score, reasons)| Risk::explained(score, reasons)),
    ]
}

fn device() -> impl Strategy<Value = DevicePosture> {
    let compliance = [Compliance::Compliant, Compliance::NotCompliant, Compliance::Unknown];
    let id = option::of("[!-~]{1,9}".prop_map(|id| DeviceId::new(&id).unwrap()));
    let known = (id, any::<bool>(), select(compliance.to_vec()), option::of(text()));
    (known, select(&DeviceAssurance::ALL[..]), any::<bool>(), at()).prop_map(
        |((id, managed, compliance, platform), assurance, owner_matches, asserted_at)| DevicePosture {
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

fn place() -> impl Strategy<Value = Place> {
    let presence = [Presence::Yes, Presence::No, Presence::Unknown];
    let location = Location { latitude_milli: 1, longitude_milli: 2, radius_km: 3 };
    let net = (any::<std::net::IpAddr>(), btree_set(text(), 0..3), option::of(any::<u32>()));
    (net, country(), option::of(text()), select(presence.to_vec())).prop_map(
        move |((ip, networks, asn), country, continent, anonymizer)| Place {
            ip,
            networks,
            country,
            continent,
            asn,
            anonymizer,
            location: Some(location),
        },
    )
}

fn route() -> impl Strategy<Value = RouteFacts> {
    let name = "[a-z0-9._-]{1,6}";
    let facts = (vec(text(), 0..3), select(&Tier::ALL[..]), text(), any::<bool>(), any::<bool>());
    (name, name, facts).prop_map(|(app, route, (app_groups, tier, scope, admin_surface, public))| {
        RouteFacts {
            id: RouteId::new(AppId::new(&app).unwrap(), &route).unwrap(),
            app_groups,
            tier,
            scope,
            admin_surface,
            public,
        }
    })
}

fn situation() -> impl Strategy<Value = Situation> {
    let who = (principal(), select(&LifecycleStage::ALL[..]), any::<bool>());
    let what = (select(&Action::ALL[..]), route(), text(), text(), option::of(text()));
    let session = (any::<bool>(), any::<bool>(), at(), at());
    let when = (at(), 0..86_400_000u64, select(&Weekday::ALL[..]));
    (who, what, session, device(), place(), risk(), when).prop_map(
        |(who, what, (mfa, phishing_resistant, authenticated_at, mfa_at), device, place, risk, when)| {
            let (principal, owner_stage, granted) = who;
            let (action, route, host, path, user_agent) = what;
            Situation {
                principal: Arc::new(principal),
                owner_stage,
                granted,
                action,
                route,
                session: Assurance { mfa, phishing_resistant, authenticated_at, mfa_at },
                device,
                place,
                risk,
                now: when.0.unwrap_or(UnixMillis(1_795_212_000_123)),
                local_time: Duration::from_millis(when.1),
                weekday: when.2,
                host,
                path,
                user_agent,
            }
        },
    )
}

/// Without what no policy sees.
fn seen(mut situation: Situation) -> Situation {
    let nameless = |user: User| User { name: None, email: None, ..user };
    let principal = match (*situation.principal).clone() {
        Principal::User(user) => Principal::User(nameless(user)),
        Principal::Agent(agent) => {
            Principal::Agent(Agent { on_behalf_of: nameless(agent.on_behalf_of), ..agent })
        }
        other @ (Principal::ServiceAccount(_) | Principal::Visitor(_)) => other,
    };
    if !matches!(principal, Principal::ServiceAccount(_)) {
        situation.owner_stage = LifecycleStage::Unknown;
    }
    situation.principal = Arc::new(principal);
    situation.place.location = None;
    situation.local_time = Duration::from_secs(situation.local_time.as_secs());
    situation
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_what_it_was(situation in situation()) {
        let text = write(&situation.question());
        prop_assert!(!text.contains('\n') && text.len() <= AUDIT_SITUATION_BYTES_MAX);
        let read = read(&text).unwrap();
        prop_assert_eq!(&read, &seen(situation));
        prop_assert_eq!(write(&read.question()), text.clone());
        let mut reader = Reader::default();
        for _ in 0..2 {
            prop_assert_eq!(&reader.read(&text).unwrap().situation(), &read);
        }
    }

    /// Cedar is told the same by the record as by the request.
    #[test]
    fn a_policy_sees_no_difference(situation in situation()) {
        let bundle = bundle();
        let read = read(&write(&situation.question())).unwrap();
        match (bundle.in_cedar(&situation.question()), bundle.in_cedar(&read.question())) {
            (Ok((request, entities)), Ok((again, entities_again))) => {
                let told = |request: &cedar_policy::Request| request.context().unwrap().to_json_value().unwrap();
                prop_assert_eq!(told(&request), told(&again));
                prop_assert_eq!(request.principal(), again.principal());
                prop_assert_eq!(request.action(), again.action());
                prop_assert_eq!(request.resource(), again.resource());
                prop_assert_eq!(entities, entities_again);
            }
            (first, second) => prop_assert_eq!(first.err(), second.err()),
        }
    }

    #[test]
    fn no_text_ends_the_process(text in any::<String>(), at in 0..400usize, with in "[\\[{\"0-9a-z:,]{0,3}") {
        let _ = read(&text);
        let mut damaged = WHOLE.to_owned();
        damaged.replace_range(at..at + 1, &with);
        let _ = read(&damaged);
        let _ = Reader::default().read(&damaged);
    }
}
