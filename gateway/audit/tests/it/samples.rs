//! One example of everything that the log can tell.

mod policies;

use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use doorward_audit::event::{
    About, BrowserSignIn, ByKind, CertificateReload, ControlDebt, DebtStep, Gap, GapCause, GatewayDrain,
    GatewayStart, GatewayStop, GeoReload, LifecycleChange, LifecycleCode, LifecycleDifference,
    LifecycleOutcome, OperatorCall, RefusalSummary, RetiredSegment, Revocation, SignInStep, TornTail,
};
use doorward_audit::trail::HttpVersion;
use doorward_audit::{
    Actor, Arrival, Audit, AuditConfig, AuditSection, Because, Counts, Ending, Event, Identity, Outcome,
    Protocol, Ruling, Sequence, StartReport, TraceIds, Trail, Withdrawal,
};
use doorward_model::time::Clock;
use doorward_model::{
    AppId, Assurance, AuthSession, Compliance, CountryCode, Demand, DeviceId, DevicePosture, Employment,
    Entry, Explained, FailedClause, IssuerId, KeyPath, LifecycleStage, Place, Presence, Principal, Refusal,
    RefusalCode, Risk, RiskReason, RiskReasons, RouteId, SessionId, Strength, Target, TokenId, UnixMillis,
    User,
};

/// 2026-11-20T22:00:00.123Z
pub(crate) const NOW: UnixMillis = UnixMillis(1_795_212_000_123);

pub(crate) fn clock() -> Clock {
    Arc::new(|| NOW)
}

pub(crate) fn identity() -> Identity {
    Identity { node: "gw-1".to_owned(), version: "0.1.0".to_owned() }
}

/// A log with small bounds, so that a test meets them.
pub(crate) fn small(dir: &Path) -> AuditConfig {
    config(dir, 64 * 1024, 64, 64 * 1024)
}

pub(crate) fn config(dir: &Path, segment: u64, queue: u64, reserve: u64) -> AuditConfig {
    bounded(dir, segment, queue, reserve, None)
}

pub(crate) fn bounded(
    dir: &Path,
    segment: u64,
    queue: u64,
    reserve: u64,
    total_bytes_max: Option<u64>,
) -> AuditConfig {
    let section = AuditSection {
        dir: Some(dir.to_owned()),
        segment_bytes_max: Some(segment),
        flush_millis_max: Some(20),
        queue_events_max: Some(queue),
        reserve_bytes: Some(reserve),
        total_bytes_max,
        situations: None,
    };
    AuditConfig::check(&section, &KeyPath::top(), dir, dir, &mut Vec::new()).unwrap()
}

pub(crate) fn open(config: AuditConfig) -> (Audit, StartReport) {
    Audit::open(config, identity(), clock()).unwrap()
}

pub(crate) fn alice() -> Arc<Principal> {
    Arc::new(Principal::User(User {
        id: "corp:usr-01HZX3V9".parse().unwrap(),
        name: Some("Alice Example".to_owned()),
        email: Some("alice@example.com".to_owned()),
        groups: ["finance", "payroll-viewers"].map(str::to_owned).into(),
        roles: ["analyst".to_owned()].into(),
        stage: LifecycleStage::Active,
        employment: Employment::Employee,
        contract_end: None,
        home_country: CountryCode::new("DE").unwrap(),
        department: Some("finance".to_owned()),
        tags: std::collections::BTreeMap::new(),
    }))
}

pub(crate) fn session() -> AuthSession {
    let issuer = IssuerId::new("corp").unwrap();
    AuthSession {
        session: Some(SessionId::new(issuer.clone(), "ses-9f2c41").unwrap()),
        token: Some(TokenId::new(issuer.clone(), "jti-77").unwrap()),
        issuer,
        issued_at: UnixMillis(1_795_208_400_000),
        expires_at: UnixMillis(1_795_212_600_000),
    }
}

pub(crate) fn place(country: &str) -> Place {
    Place {
        ip: "203.0.113.7".parse().unwrap(),
        networks: ["vpn".to_owned()].into(),
        country: CountryCode::new(country).unwrap(),
        continent: Some("SA".to_owned()),
        asn: Some(64500),
        anonymizer: Presence::No,
        location: None,
    }
}

/// What has just arrived: `GET` of a path at the payroll.
pub(crate) fn arrived(request_id: &str, path: &str) -> Trail {
    Trail::begin(Arrival {
        request_id: &request_id.into(),
        received_at: NOW,
        method: "GET",
        host: "payroll.corp.example",
        path,
        http_version: HttpVersion::Http2,
        user_agent: Some(b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        peer: IpAddr::from([203, 0, 113, 7]),
        trace: Some(TraceIds { trace_id: [0x4b; 16], span_id: [0xf0; 8] }),
    })
}

/// As far as the policies.
pub(crate) fn identified(request_id: &str, country: &str) -> Trail {
    let mut trail = arrived(request_id, "/api/v1/runs");
    trail.routed(&RouteId::new(AppId::new("payroll").unwrap(), "all").unwrap());
    let device = DevicePosture {
        id: Some(DeviceId::new("dev-77").unwrap()),
        managed: true,
        compliance: Compliance::Compliant,
        platform: Some("linux".to_owned()),
        ..DevicePosture::default()
    };
    let assurance = Assurance { mfa: true, ..Assurance::default() };
    trail.identified(alice(), Some(&session()), assurance, &device);
    trail.located(place(country));
    trail
}

/// What the policies saw of alice, as the crate `policy` writes it.
pub(crate) const SITUATION: &str = r#"{"v":1,"who":{"user":{"id":"corp:usr-01HZX3V9","groups":["finance","payroll-viewers"],"roles":["analyst"],"stage":"active","employment":"employee","home":"DE","department":"finance"}},"does":"GET","route":{"id":"payroll/all","groups":["finance"],"tier":"restricted"},"session":{"mfa":true,"at":1795208400000,"mfa_at":1795208400000},"device":{"id":"dev-77","managed":true,"compliant":true,"platform":"linux","assurance":"cookie"},"place":{"ip":"203.0.113.7","zones":["vpn"],"country":"DE","continent":"EU","asn":64500,"anonymizer":false},"risk":{"score":0},"now":1795212000123,"local":82800,"weekday":"fri","host":"payroll.corp.example","path":"/api/v1/runs","agent":"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}"#;

pub(crate) fn ruling(outcome: Outcome, policy: &str) -> Ruling {
    Ruling {
        outcome,
        determining: vec![policy.into()],
        errors: Vec::new(),
        latency_micros: 143,
        revision: "b7e23ec29af22b0b".into(),
        situation: Some(SITUATION.into()),
    }
}

pub(crate) fn allowed(request_id: &str) -> Event {
    let mut trail = identified(request_id, "DE");
    trail.decided(ruling(Outcome::Allowed, "payroll-viewers-read"));
    trail.forwarded("10.1.0.10:8443".parse().unwrap());
    trail.answered(200);
    trail.finished(Ending::Completed, 512, 18_230, Duration::from_millis(12));
    Event::RequestDecided(Box::new(trail))
}

/// Let in while it was not known that nothing was taken away, at an app that goes on for a while.
pub(crate) fn allowed_stale(request_id: &str) -> Event {
    let mut trail = identified(request_id, "DE");
    trail.went_on_stale(Duration::from_millis(2_350));
    trail.decided(ruling(Outcome::Allowed, "payroll-viewers-read"));
    trail.forwarded("10.1.0.10:8443".parse().unwrap());
    trail.answered(200);
    trail.finished(Ending::Completed, 512, 18_230, Duration::from_millis(12));
    Event::RequestDecided(Box::new(trail))
}

/// Decided for another proxy.
pub(crate) fn allowed_elsewhere(request_id: &str) -> Event {
    let mut trail = identified(request_id, "DE");
    trail.enforced_by(IpAddr::from([10, 0, 0, 5]));
    trail.decided(ruling(Outcome::Allowed, "payroll-viewers-read"));
    trail.answered(200);
    trail.finished(Ending::Completed, 0, 0, Duration::from_millis(1));
    Event::RequestDecided(Box::new(trail))
}

pub(crate) fn denied(request_id: &str) -> Event {
    let mut trail = identified(request_id, "BR");
    let mut reasons = RiskReasons::default();
    reasons.add(RiskReason::NewCountry, 25);
    reasons.add(RiskReason::NewNetwork, 10);
    trail.risked(Risk::explained(35, reasons));
    let code = RefusalCode::PolicyForbids;
    trail.decided(ruling(Outcome::Denied(code), "geo-allow-list"));
    let clause = FailedClause {
        policy: "geo-allow-list".into(),
        span: Some((112, 163)),
        facts: vec!["context.geo.country".to_owned()],
    };
    let refusal = Refusal::new(code, "country BR is not in [DE, US]");
    let explained = Explained { next: Vec::new(), clauses: vec![clause] };
    trail.refused(&Refusal { explained: Some(Box::new(explained)), ..refusal });
    trail.answered(403);
    trail.finished(Ending::Completed, 512, 1_204, Duration::from_millis(1));
    Event::RequestDecided(Box::new(trail))
}

/// Refused before anybody knew who asks.
pub(crate) fn unauthenticated(request_id: &str) -> Event {
    let mut trail = arrived(request_id, "/");
    trail.refused(&Refusal::new(RefusalCode::Unauthenticated, ""));
    trail.answered(401);
    Event::RequestDecided(Box::new(trail))
}

pub(crate) fn ended(request_id: &str) -> Event {
    let mut trail = identified(request_id, "DE");
    trail.decided(ruling(Outcome::Allowed, "payroll-viewers-read"));
    trail.speaks(Protocol::EventStream);
    trail.answered(200);
    trail.finished(Ending::ClientGone, 300, 90_000, Duration::from_secs(95));
    Event::ExchangeEnded(Box::new(trail))
}

pub(crate) fn terminated(request_id: &str) -> Event {
    let mut trail = identified(request_id, "DE");
    trail.decided(ruling(Outcome::Allowed, "payroll-viewers-read"));
    trail.speaks(Protocol::WebSocket);
    trail.answered(101);
    let ending = Ending::Terminated { revocation: "rev-01JD7PB2".into(), after_micros: 3_870 };
    trail.finished(ending, 4_096, 65_536, Duration::from_secs(1_800));
    Event::ExchangeEnded(Box::new(trail))
}

pub(crate) fn withdrawn(request_id: &str) -> Event {
    let code = RefusalCode::PolicyForbids;
    let withdrawal = Withdrawal {
        because: Because::Directory,
        code,
        ruling: Some(ruling(Outcome::Denied(code), "contractors-never")),
        after_micros: 21_400,
    };
    withdrawn_by(request_id, withdrawal)
}

pub(crate) fn withdrawn_by(request_id: &str, withdrawal: Withdrawal) -> Event {
    let mut trail = identified(request_id, "DE");
    trail.decided(ruling(Outcome::Allowed, "payroll-viewers-read"));
    trail.speaks(Protocol::WebSocket);
    trail.answered(101);
    let ending = Ending::Withdrawn(Box::new(withdrawal));
    trail.finished(ending, 4_096, 65_536, Duration::from_secs(1_800));
    Event::ExchangeEnded(Box::new(trail))
}

/// Somebody comes back from the provider.
pub(crate) fn signed_in(trail: Trail, step: SignInStep) -> Event {
    let provider = Some(IssuerId::new("corp").unwrap());
    let app = Some(AppId::new("payroll").unwrap());
    let demand = Demand { strength: Strength::Mfa, max_age: Some(Duration::from_secs(900)) };
    Event::SignIn(Box::new(BrowserSignIn { trail, step, provider, app, demand }))
}

fn sign_ins() -> Vec<(&'static str, Event)> {
    let mut nobody = arrived("req-8", "/.doorward/callback");
    nobody.refused(&Refusal::new(RefusalCode::BadRequest, "no attempt of this browser has this state"));
    vec![
        ("Somebody signed in with a browser.", signed_in(identified("req-6", "DE"), SignInStep::Begun)),
        (
            "Somebody who was signed in proved more than before.",
            signed_in(identified("req-7", "DE"), SignInStep::Raised),
        ),
        ("Somebody could not sign in with a browser.", signed_in(nobody, SignInStep::Begun)),
    ]
}

pub(crate) fn operator() -> Actor {
    Actor::Operator { name: "operator".to_owned(), address: Some(IpAddr::from([127, 0, 0, 1])) }
}

pub(crate) fn revocation(target: Target, disabled: bool) -> Event {
    let at = |ms: i64| UnixMillis(NOW.0 + ms);
    Event::Revocation(Box::new(Revocation {
        id: "rev-01JD7PB2".into(),
        target,
        entry: Entry { not_before: NOW, version: 3, disabled },
        stage: if disabled { LifecycleStage::Deactivated } else { LifecycleStage::Unknown },
        actor: operator(),
        cause: "operator",
        note: Some("left the company".to_owned()),
        request_id: Some("req-op-1".into()),
        revision: Some("b7e23ec29af22b0b".into()),
        received_at: NOW,
        durable_at: at(4),
        published_at: Some(at(6)),
        enforced_at: at(5),
        ended_at: Some(at(19)),
        ended: vec![(Protocol::Http2, 4), (Protocol::WebSocket, 2)],
        remaining: 0,
    }))
}

pub(crate) fn bob() -> Target {
    Target::User("corp:usr-01HBOB".parse().unwrap())
}

fn signed_out() -> Event {
    let token = TokenId::new(IssuerId::new("corp").unwrap(), "dws-Zx3kq0T9mVb1cYw5Rj7uHA").unwrap();
    let Event::Revocation(facts) = revocation(Target::Token(token), false) else { panic!("a revocation") };
    let (user, address) = ("corp:usr-01HBOB".parse().unwrap(), Some(IpAddr::from([192, 0, 2, 7])));
    let (actor, note) = (Actor::Person { user, address }, Some("signed out".to_owned()));
    Event::Revocation(Box::new(Revocation { actor, cause: "session", note, ..*facts }))
}

fn revocations() -> Vec<(&'static str, Event)> {
    let corp = IssuerId::new("corp").unwrap();
    let at_app = Target::UserAtApp("corp:usr-01HBOB".parse().unwrap(), AppId::new("payroll").unwrap());
    vec![
        ("A person is cut off until further notice.", revocation(bob(), true)),
        ("Everything that a person has is ended; they may sign in anew.", revocation(bob(), false)),
        (
            "One sign-in is ended.",
            revocation(Target::Session(SessionId::new(corp.clone(), "ses-9f2c41").unwrap()), false),
        ),
        ("One token is dead.", revocation(Target::Token(TokenId::new(corp, "jti-77").unwrap()), false)),
        ("Somebody signed out.", signed_out()),
        (
            "Everything on one device is ended.",
            revocation(Target::Device(DeviceId::new("dev-77").unwrap()), true),
        ),
        ("Everything that a person has at one app is ended.", revocation(at_app, false)),
    ]
}

pub(crate) fn debt(step: DebtStep) -> Event {
    Event::ControlDebt(Box::new(ControlDebt {
        id: "0d7f3a51-9c1e-8b7e-a0c4-3f1f2b6f7a10".into(),
        actor: operator(),
        request_id: Some("req-op-1".into()),
        step,
    }))
}

fn debts() -> Vec<(&'static str, Event)> {
    let opened = DebtStep::Opened {
        kind: "missed_revocation",
        about: "gw-2 did not confirm the revocation rev-01JD7PB2 of user corp:usr-01HBOB".to_owned(),
        owner: "security".to_owned(),
        cause: "silent for longer than its lease when the deadline of 2000 ms was over".to_owned(),
        due_at: UnixMillis(NOW.0 + 72 * 3_600_000),
    };
    let settled = DebtStep::Settled { how: "gw-2 was taken out of service".to_owned() };
    vec![
        ("A node did not confirm a revocation in time; somebody owes an answer.", debt(opened)),
        ("What was owed is settled.", debt(settled)),
    ]
}

const PERSON: &str = "01997f2c-8b1e-7c3a-9d55-0c2f6f0e7a11";

/// What changes in a life has one shape: three of them show it.
fn some_lives() -> Vec<(&'static str, Event)> {
    let shown = [LifecycleCode::UserDeactivate, LifecycleCode::UserDenied, LifecycleCode::GroupMemberAdd];
    shown.map(|code| (meaning(code), Event::Lifecycle(Box::new(life(code))))).into()
}

/// Everything that can happen in a life, each about what it is about.
pub(crate) fn lives() -> Vec<(&'static str, Event)> {
    LifecycleCode::ALL.iter().map(|code| (meaning(*code), Event::Lifecycle(Box::new(life(*code))))).collect()
}

fn meaning(code: LifecycleCode) -> &'static str {
    match code {
        LifecycleCode::Intended => "Access is about to be given; what became of it, later events say.",
        LifecycleCode::UserDenied => "Something was asked for that is not allowed.",
        LifecycleCode::UserDeactivate => "Somebody left.",
        LifecycleCode::GroupMemberAdd => "Somebody is in a group.",
        LifecycleCode::SyncHalted => "A connection would take away too much at once: it is stopped.",
        LifecycleCode::SyncReleased => "An operator let a connection go on.",
        LifecycleCode::SignalTaken => "A signal came in; what was done about it stands with it.",
        LifecycleCode::SignalRefused => "A message of a sender that is known was not good.",
        other if other.as_str().starts_with("offboarding.") => "An offboarding case went on.",
        other if other.as_str().starts_with("group.") => "A group changed.",
        other if other.as_str().starts_with("machine.") => "A service account or an agent changed.",
        other if other.as_str().starts_with("device.") => "A device changed.",
        _ => "A person changed.",
    }
}

pub(crate) fn life(code: LifecycleCode) -> LifecycleChange {
    let id = || "01997f2c-8b1e-7c3a-9d55-0c2f6f0e7a99".into();
    let word = code.as_str();
    let about = if word.starts_with("group.") {
        About::Group { id: id(), name: Some("Engineering".into()) }
    } else if word.starts_with("machine.") {
        About::Machine { id: id(), user: "corp:ci".parse().unwrap() }
    } else if word.starts_with("device.") {
        About::Device("laptop-77".into())
    } else if word.starts_with("offboarding.") {
        About::Case { id: id(), person: PERSON.into() }
    } else if word.starts_with("signal.") {
        About::Sender("caep".into())
    } else if word.starts_with("directory.sync") {
        About::Connection("okta".into())
    } else {
        About::Person(Some(PERSON.into()))
    };
    let left = code == LifecycleCode::UserDeactivate;
    let denied = code == LifecycleCode::UserDenied;
    let state = LifecycleDifference {
        what: "state".to_owned(),
        before: "active".to_owned(),
        after: "deactivated".to_owned(),
        set_by: (code == LifecycleCode::UserOverride).then(|| "ann".into()),
    };
    LifecycleChange {
        code,
        about,
        by: ByKind::Source,
        by_name: "okta".to_owned(),
        cause: "scim".to_owned(),
        request_id: Some("req-scim-1".into()),
        outcome: match code {
            LifecycleCode::UserDenied => LifecycleOutcome::Denied,
            LifecycleCode::Intended => LifecycleOutcome::Intended,
            _ => LifecycleOutcome::Done,
        },
        command: "scim_deactivate",
        edge: "T17",
        source: "scim:okta".to_owned(),
        stage: Some(LifecycleStage::Deactivated),
        changes: if denied { Vec::new() } else { vec![state] },
        members: if code == LifecycleCode::GroupMemberAdd { vec![PERSON.into()] } else { Vec::new() },
        asserted_at: denied.then_some(NOW),
        revocations: if left { vec!["0192f7c1-54b0-4f4e-8a5e-52b1c2f6b001".into()] } else { Vec::new() },
        ended: if left { vec![(Protocol::WebSocket, 2), (Protocol::Grpc, 0)] } else { Vec::new() },
        why: denied.then(|| "they are deleted for ever: make them known anew".to_owned()),
        takes_away: left,
    }
}

pub(crate) fn overflow() -> Event {
    Event::AuditGap(Box::new(Gap {
        cause: GapCause::Overflow,
        range: Some((Sequence(918_100), Sequence(918_199))),
        lost: Counts { allowed: 97, denied: 0, ended: 3, other: 0 },
        detail: None,
        segment: None,
    }))
}

fn house() -> Vec<(&'static str, Event)> {
    let cause = || "signal SIGTERM".to_owned();
    vec![
        (
            "The GeoIP databases were read anew.",
            Event::GeoReloaded(Box::new(GeoReload {
                actor: Actor::Gateway,
                databases: vec![("country.mmdb".to_owned(), Some(UnixMillis(1_795_046_400_000)))],
                kept: None,
            })),
        ),
        (
            "The GeoIP databases could not be read; the ones before are kept.",
            Event::GeoReloaded(Box::new(GeoReload {
                actor: Actor::Gateway,
                databases: vec![("country.mmdb".to_owned(), None)],
                kept: Some("`country.mmdb` is cut short".to_owned()),
            })),
        ),
        (
            "The certificates were read anew.",
            Event::CertificatesReloaded(Box::new(CertificateReload {
                actor: Actor::Gateway,
                chains: vec!["/etc/doorward/tls/corp.example.pem".to_owned()],
                kept: None,
            })),
        ),
        (
            "The certificates could not be served; the ones before are kept.",
            Event::CertificatesReloaded(Box::new(CertificateReload {
                actor: Actor::Gateway,
                chains: vec!["/etc/doorward/tls/corp.example.pem".to_owned()],
                kept: Some("the key `corp.example.key` does not fit the certificate".to_owned()),
            })),
        ),
        (
            "Somebody used the operator API.",
            Event::OperatorCall(Box::new(OperatorCall {
                request_id: "req-op-1".into(),
                actor: operator(),
                operation: "revoke.user",
                method: "POST".to_owned(),
                path: "/api/v1/revocations".to_owned(),
                target: Some("user corp:usr-01HBOB".to_owned()),
                status: 200,
                takes_away: false,
            })),
        ),
        (
            "The gateway takes requests.",
            Event::GatewayStarted(Box::new(GatewayStart {
                revision: Some("b7e23ec29af22b0b".into()),
                exceptions: vec!["app.legacy.audit = best_effort".to_owned()],
            })),
        ),
        (
            "The gateway takes no more requests and waits for those that run.",
            Event::GatewayDraining(Box::new(GatewayDrain { cause: cause(), running: 17 })),
        ),
        (
            "The gateway is about to exit.",
            Event::GatewayStopped(Box::new(GatewayStop { cause: cause(), cut_off: 2 })),
        ),
        ("Something is missing from the log.", overflow()),
        (
            "A file of an earlier run ended in the middle of a line.",
            Event::TornTailRepaired(Box::new(TornTail {
                segment: "audit-gw-1-20261120T080000000Z-000000000001.jsonl".to_owned(),
                kept_bytes: 70_112,
                cut_bytes: 213,
                aside: "audit-gw-1-20261120T080000000Z-000000000001.jsonl.torn".to_owned(),
            })),
        ),
        (
            "More refusals of nobody in particular than are written one by one.",
            Event::RefusalsSummarized(Box::new(RefusalSummary {
                first_at: NOW,
                last_at: UnixMillis(NOW.0 + 998),
                by_reason: [("unauthenticated", 11_400), ("no_route", 37)].into(),
            })),
        ),
        (
            "The oldest file is removed, so that the log keeps to `audit.total_bytes_max`.",
            Event::SegmentRetired(Box::new(RetiredSegment {
                segment: "audit-gw-1-20261020T080000000Z-000000000001.jsonl".to_owned(),
                bytes: 268_431_872,
                total_bytes_max: 10_737_418_240,
            })),
        ),
    ]
}

/// Every kind of event, each with what it tells.
pub(crate) fn all() -> Vec<(&'static str, Event)> {
    let mut all = vec![
        ("A request was allowed.", allowed("req-7f1c2a90-55c3-4d9f-9b1d-7e2f3a4b5c6d")),
        (
            "A request was allowed, and it was not known that nothing had been taken away.",
            allowed_stale("req-1"),
        ),
        ("A request was allowed, for another proxy to let it pass.", allowed_elsewhere("req-1")),
        ("A request was denied by a policy.", denied("req-7f1c2a90-55c3-4d9f-9b1d-7e2f3a4b5c6e")),
        ("A request was refused before anybody knew who asks.", unauthenticated("req-2")),
        ("A long exchange ended by itself.", ended("req-3")),
        ("A running exchange was ended by a revocation.", terminated("req-4")),
        ("A running exchange was decided anew, and may not go on.", withdrawn("req-5")),
    ];
    all.extend(sign_ins());
    all.extend(revocations());
    all.extend(debts());
    all.extend(some_lives());
    all.extend(policies::shadows());
    all.extend(policies::in_force());
    all.extend(house());
    all
}

/// The lines of every file in a folder, in the order of the files.
pub(crate) fn lines(dir: &Path) -> Vec<serde_json::Value> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "jsonl"))
        .collect();
    files.sort();
    let texts = files.iter().map(|f| std::fs::read_to_string(f).unwrap()).collect::<Vec<_>>();
    texts.iter().flat_map(|t| t.lines()).map(|l| serde_json::from_str(l).unwrap()).collect()
}

pub(crate) fn text<'a>(event: &'a serde_json::Value, pointer: &str) -> &'a str {
    event.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default()
}

pub(crate) fn number(event: &serde_json::Value, pointer: &str) -> u64 {
    event.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap_or_default()
}

pub(crate) fn sequences(events: &[serde_json::Value]) -> Vec<u64> {
    events.iter().map(|e| number(e, "/metadata/sequence")).collect()
}

/// Waits, for at most a minute, until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..12_000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(holds(), "never: {what}");
}

/// Runs a future to its end on this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Whether a test goes on that needs what not every machine allows. A test that cannot run has
/// not held: it fails, unless whoever runs it said that it is left out; then the last lines of
/// `tests/run` name it.
pub(crate) fn privileged(works: impl FnOnce() -> bool, what: &str) -> bool {
    const SKIP: &str = "DOORWARD_SKIP_PRIVILEGED";
    if std::env::var_os(SKIP).is_some_and(|skip| skip == "1") {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        // Past what the test runner keeps to itself of a test that passes.
        let told = format!("NOT TESTED ({SKIP}=1): {test}\n");
        std::io::stderr().write_all(told.as_bytes()).unwrap();
        return false;
    }
    assert!(works(), "{what}, or set {SKIP}=1 to leave it out");
    true
}

/// Whether this machine lets one process trace another.
pub(crate) fn strace_works() -> bool {
    let works = || {
        let tried = std::process::Command::new("strace").args(["-o", "/dev/null", "true"]).status();
        tried.is_ok_and(|s| s.success())
    };
    privileged(works, "this test makes a call of the system fail or wait: install `strace` and let it trace")
}
