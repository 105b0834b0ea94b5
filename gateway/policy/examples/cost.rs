//! What a decision costs as policies grow.
//!
//! ```text
//! cargo run --release -p doorward-policy --example cost
//! ```
//!
//! Writes folders of 12 to 10,000 policies: five guardrails without a scope, then some ten for each
//! app. Asks about 1,000 people in 20 groups and 4 roles, three routes each, from 256 addresses,
//! while the time goes on. Prints the time to load, of the first question about each person
//! and route (`cold`), and of the following ones (`warm`: median, and the 99th percentile).
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement, run by hand")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_model::principal::User;
use doorward_model::{
    AppId, Assurance, Compliance, CountryCode, DeviceId, DevicePosture, Employment, LifecycleStage, Place,
    Presence, Principal, Risk, RouteFacts, RouteId, Tier, UnixMillis, Weekday,
};
use doorward_policy::{Action, Policies, PolicyBundle, Question};

const SCHEMA: &str = include_str!("../../../policies/schema.cedarschema");
const ROLES: usize = 40;
const PEOPLE: usize = 1000;

const GUARDRAILS: [&str; 5] = [
    "forbid (principal is User, action, resource) unless { principal.lifecycle == Lifecycle::\"active\" };",
    "forbid (principal, action, resource) when { context.risk.known && context.risk.score >= 85 };",
    "forbid (principal, action, resource) when { [Country::\"CU\", Country::\"IR\", Country::\"KP\", Country::\"SY\"].contains(context.geo.country) };",
    "forbid (principal, action, resource) when { resource.adminSurface } unless { principal is User && context.session.phishingResistant && context.session.mfaAge <= duration(\"15m\") };",
    "forbid (principal is User, action, resource) when { context.session.age > duration(\"12h\") };",
];

fn policies(n: usize) -> String {
    let mut out = String::new();
    for i in 0..n {
        let app = i % (n / 10).max(1);
        let role = i * 7 % ROLES;
        let policy = match (GUARDRAILS.get(i), i % 8) {
            (Some(guardrail), _) => (*guardrail).to_owned(),
            (None, 0 | 6) => format!(
                "permit (principal is User in Role::\"r{role}\", action in Action::\"read\", resource in App::\"app{app}\") when {{ context.session.mfa && context.device.managed }};"
            ),
            (None, 1) => format!(
                "permit (principal is User, action in Action::\"access\", resource in App::\"app{app}\") when {{ principal.employment == Employment::\"employee\" }};"
            ),
            (None, 2) => format!(
                "permit (principal in Group::\"g{}\", action in Action::\"access\", resource in App::\"app{app}\") when {{ context.risk.score < 50 && [Country::\"DE\", Country::\"FR\"].contains(context.geo.country) }};",
                i % 200
            ),
            (None, 3) => format!(
                "forbid (principal, action in Action::\"write\", resource in App::\"app{app}\") unless {{ context.session.mfa && context.device.compliant }};"
            ),
            (None, 4) => format!(
                "forbid (principal, action, resource in App::\"app{app}\") when {{ !context.zones.contains(\"corp\") && resource.tier == Tier::\"restricted\" }};"
            ),
            (None, 5) => format!(
                "permit (principal is ServiceAccount, action in Action::\"read\", resource in App::\"app{app}\") when {{ principal.scopes.contains(resource.scope) }};"
            ),
            (None, _) => format!(
                "forbid (principal is User, action, resource in App::\"app{app}\") when {{ principal.employment != Employment::\"employee\" && (context.time.localTime < duration(\"7h\") || context.time.localTime >= duration(\"20h\")) }};"
            ),
        };
        let _ = writeln!(out, "@id(\"p{i}\") {policy}");
    }
    out
}

struct Person {
    principal: Arc<Principal>,
    routes: [RouteFacts; 3],
    session: Assurance,
    device: DevicePosture,
    place: Place,
}

fn route(app: usize) -> RouteFacts {
    RouteFacts {
        id: RouteId::new(AppId::new(&format!("app{app}")).unwrap(), "all").unwrap(),
        app_groups: vec!["all".into()],
        tier: Tier::Confidential,
        scope: "s".into(),
        admin_surface: false,
        public: false,
    }
}

fn people(apps: usize, now: UnixMillis) -> Vec<Person> {
    let person = |n: usize| Person {
        principal: Arc::new(Principal::User(User {
            id: format!("corp:user-{n}").parse().unwrap(),
            name: None,
            email: None,
            groups: (0..20).map(|g| format!("g{}", (n * 31 + g * 10) % 200)).collect(),
            roles: (0..4).map(|r| format!("r{}", (n % 10 * 4 + r * 9) % ROLES)).collect(),
            stage: LifecycleStage::Active,
            employment: Employment::Employee,
            contract_end: None,
            home_country: CountryCode::new("DE").unwrap(),
            department: Some("d".into()),
            tags: Default::default(),
        })),
        routes: [0, 1, 2].map(|r| route((n * 7 + r * 13) % apps)),
        session: Assurance {
            mfa: true,
            phishing_resistant: true,
            authenticated_at: Some(now.minus(Duration::from_secs(n as u64))),
            mfa_at: Some(now.minus(Duration::from_secs(n as u64))),
        },
        device: DevicePosture {
            id: Some(DeviceId::new(&format!("device-{n}")).unwrap()),
            managed: true,
            compliance: Compliance::Compliant,
            platform: Some("linux".into()),
            ..DevicePosture::default()
        },
        place: Place {
            ip: Ipv4Addr::new(10, 0, 0, (n % 256) as u8).into(),
            networks: ["corp".to_owned()].into(),
            country: CountryCode::new("DE").unwrap(),
            continent: Some("EU".into()),
            asn: Some(64_496),
            anonymizer: Presence::No,
            location: None,
        },
    };
    (0..PEOPLE).map(person).collect()
}

/// Asks about each person and route once, with `paths` different paths; the nanoseconds of each.
fn round(bundle: &PolicyBundle, people: &[Person], now: UnixMillis) -> Vec<u64> {
    let mut took = Vec::with_capacity(people.len() * 3);
    for (n, person) in people.iter().enumerate() {
        for (r, route) in person.routes.iter().enumerate() {
            let path = format!("/documents/{n}/{r}");
            let question = Question {
                principal: &person.principal,
                owner_stage: LifecycleStage::Unknown,
                granted: false,
                action: if n % 8 == 0 { Action::Post } else { Action::Get },
                route,
                session: &person.session,
                device: &person.device,
                place: &person.place,
                risk: Risk::scored(12),
                now: now.plus(Duration::from_millis(n as u64)),
                local_time: Duration::from_secs(11 * 3600),
                weekday: Weekday::Wed,
                host: "app.corp.example",
                path: &path,
                user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
            };
            let begin = Instant::now();
            let verdict = std::hint::black_box(bundle.decide(&question));
            took.push(begin.elapsed().as_nanos() as u64);
            assert!(verdict.errors.is_empty(), "{verdict:?}");
        }
    }
    took
}

fn measure(dir: &Path, n: usize) -> u64 {
    std::fs::write(dir.join("schema.cedarschema"), SCHEMA).unwrap();
    std::fs::write(dir.join("all.cedar"), policies(n)).unwrap();
    let now = UnixMillis(1_772_618_400_000);
    let begin = Instant::now();
    let policies = Policies::open(dir, None, now).map_err(|e| e.plain()).unwrap();
    let load = begin.elapsed();
    let bundle = policies.bundle();
    let people = people((n / 10).max(1), now);
    let mut cold = round(&bundle, &people, now);
    cold.sort_unstable();
    let mut warm: Vec<u64> =
        (1..=20).flat_map(|i| round(&bundle, &people, now.plus(Duration::from_secs(i)))).collect();
    warm.sort_unstable();
    let at = |of: &[u64], percent: usize| of[(of.len() - 1) * percent / 100];
    println!(
        "{n:>8} {:>10} {:>12} {:>12} {:>12}",
        load.as_millis(),
        at(&cold, 50),
        at(&warm, 50),
        at(&warm, 99)
    );
    at(&warm, 50)
}

fn main() {
    println!(
        "{:>8} {:>10} {:>12} {:>12} {:>12}",
        "policies", "load ms", "cold p50 ns", "warm p50 ns", "warm p99 ns"
    );
    let dir = tempfile::tempdir().unwrap();
    let warm: Vec<u64> = [12, 100, 1000, 10_000].into_iter().map(|n| measure(dir.path(), n)).collect();
    println!("10,000 policies cost {:.2} times what 12 cost", warm[3] as f64 / warm[0] as f64);
}
