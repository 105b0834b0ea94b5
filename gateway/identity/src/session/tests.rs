use doorward_model::{Compliance, DeviceAssurance, DeviceId, IssuerId, SubjectId};
use proptest::prelude::*;

use super::*;
use crate::seal::SealKey;

const HOST: &str = "wiki.corp.example";
const START: UnixMillis = UnixMillis(1_795_000_000_000);
const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn sealer() -> Sealer {
    Sealer::new(vec![SealKey::new([1; 32])], Arc::new(|bytes| aws_lc_rs::rand::fill(bytes).is_ok())).unwrap()
}

/// Somebody of a usual company: eight groups, a device, a `sid`.
pub(crate) fn usual() -> BrowserSession {
    let issuer = IssuerId::new("corp").unwrap();
    let user = User {
        name: Some("Alice Lovelace".to_owned()),
        email: Some("alice.lovelace@corp.example".to_owned()),
        groups: (0..8).map(|i| format!("engineering-team-{i}")).collect(),
        stage: LifecycleStage::Active,
        employment: Employment::Employee,
        home_country: CountryCode::new("DE").unwrap(),
        department: Some("Engineering".to_owned()),
        ..unknown(UserId::new(issuer.clone(), SubjectId::new("00u1abcd2efGHIJK3l4x7").unwrap()))
    };
    BrowserSession {
        id: SessionKey::from_random(*b"0123456789abcdef"),
        user,
        issuer_session: Some(SessionId::new(issuer, "102Qw3ErTyUiOpAsDfGh").unwrap()),
        assurance: Assurance {
            mfa: true,
            phishing_resistant: false,
            authenticated_at: Some(START),
            mfa_at: Some(START),
        },
        device: DevicePosture {
            id: Some(DeviceId::new("dev-0123456789").unwrap()),
            managed: true,
            compliance: Compliance::Compliant,
            platform: Some("macos".to_owned()),
            ..DevicePosture::default()
        },
        risk: Risk::scored(12),
        signed_in_at: START,
        seen_at: START.plus(MINUTE),
        validated_at: START,
        expires_at: START.plus(Lifetimes::default().absolute),
        renewable: true,
        binding: None,
        from: Whence {
            ip: "2001:db8::7".parse().unwrap(),
            country: CountryCode::new("DE").unwrap(),
            asn: Some(64500),
            agent: AgentMark::of(Some(b"Mozilla/5.0")),
        },
    }
}

fn opened() -> OpenedSessions {
    OpenedSessions::new(sealer(), Lifetimes::default())
}

prop_compose! {
    fn texts()(texts in proptest::collection::btree_set("[a-zA-Z0-9 äé]{1,12}", 0..8)) -> BTreeSet<String> { texts }
}

prop_compose! {
    fn person()(
        subject in "[!-~]{1,60}", name in proptest::option::of(".{0,20}"), email in proptest::option::of("[a-z]{1,9}@x"),
        groups in texts(), roles in texts(), stage in 0..LifecycleStage::ALL.len(), job in 0..Employment::ALL.len(),
        contract_end in proptest::option::of(any::<i64>().prop_map(UnixMillis)), country in "[A-Z]{2}",
        department in proptest::option::of(".{0,9}"), tags in proptest::collection::btree_map("[a-z]{1,5}", ".{0,9}", 0..4),
        is_slim: bool,
    ) -> User {
        let user = User {
            name,
            email,
            groups,
            roles,
            stage: LifecycleStage::ALL[stage],
            employment: Employment::ALL[job],
            contract_end,
            home_country: CountryCode::new(&country).unwrap(),
            department,
            tags,
            ..unknown(UserId::new(IssuerId::new("corp").unwrap(), SubjectId::new(&subject).unwrap()))
        };
        if is_slim { slim(&user) } else { user }
    }
}

prop_compose! {
    fn session()(
        id: [u8; 16], user in person(), sid in proptest::option::of(("corp|other", "[!-~]{1,40}")),
        [mfa, phishing_resistant, managed] in any::<[bool; 3]>(), times: [i64; 4],
        [authenticated_at, mfa_at] in any::<[Option<i64>; 2]>(), device in proptest::option::of("[!-~]{1,20}"),
        compliance in proptest::sample::select(vec![Compliance::Unknown, Compliance::NotCompliant, Compliance::Compliant]),
        platform in proptest::option::of("[a-z]{0,9}"), renewable: bool, risk in proptest::option::of(0..=100_u8),
        binding: Option<[u8; 32]>, ip: IpAddr, asn: Option<u32>, agent: Vec<u8>,
    ) -> BrowserSession {
        let [signed_in_at, seen_at, validated_at, expires_at] = times.map(UnixMillis);
        BrowserSession {
            id: SessionKey::from_random(id),
            user,
            issuer_session: sid.map(|(issuer, id)| SessionId::new(IssuerId::new(&issuer).unwrap(), &id).unwrap()),
            assurance: Assurance {
                mfa,
                phishing_resistant,
                authenticated_at: authenticated_at.map(UnixMillis),
                mfa_at: mfa_at.map(UnixMillis),
            },
            device: DevicePosture {
                id: device.map(|id| DeviceId::new(&id).unwrap()),
                managed,
                compliance,
                platform,
                ..DevicePosture::default()
            },
            risk: risk.map_or(Risk::UNKNOWN, Risk::scored),
            signed_in_at,
            seen_at,
            validated_at,
            expires_at,
            renewable,
            binding: binding.map(Thumbprint::new),
            from: Whence { ip, country: CountryCode::UNKNOWN, asn, agent: AgentMark::of(Some(&agent)) },
        }
    }
}

proptest! {
    #[test]
    fn what_is_in_a_cookie_is_what_was_put_in(session in session()) {
        let sealer = sealer();
        let cookie = session.seal(&sealer, HOST).unwrap();
        prop_assert_eq!(BrowserSession::open(&sealer, HOST, &cookie), Some(session));
        prop_assert_eq!(BrowserSession::open(&sealer, "payroll.corp.example", &cookie), None);
    }

    #[test]
    fn what_is_cut_or_has_something_behind_it_is_no_session(session in session(), cut: proptest::sample::Index) {
        let bytes = pack(&session);
        prop_assert_eq!(unpack(&bytes[..cut.index(bytes.len())]), None);
        prop_assert_eq!(unpack(&[&bytes[..], &[0]].concat()), None);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        unpack(&[&[1], &bytes[..]].concat());
    }

    /// What stands at one time never stands again once it does not, and never beyond either bound.
    #[test]
    fn no_session_outlives_its_bounds(session in session(), now: i64, later in 0..i64::MAX / 2) {
        let (lifetimes, now) = (Lifetimes::default(), UnixMillis(now));
        if session.standing(now, &lifetimes).is_ok() {
            prop_assert!(now < session.expires_at);
            prop_assert!(now.since(session.seen_at) < lifetimes.idle);
            prop_assert!(now.since(session.signed_in_at) < lifetimes.absolute);
        } else if session.signed_in_at <= now && session.seen_at <= now {
            prop_assert!(session.standing(UnixMillis(now.0.saturating_add(later)), &lifetimes).is_err());
        }
    }
}

/// Should this change, whoever is signed in is signed out by an upgrade: raise `FORMAT`, and say so.
#[test]
fn the_bytes_of_a_session_are_of_its_format() {
    let of = |session: &BrowserSession| crate::own::hash(&URL_SAFE_NO_PAD.encode(pack(session))).to_string();
    assert_eq!(of(&usual()), "703eb97f47f7865d8ed010d4c93f6599f383862b3c0520d6afd7fa0c7d236d62");
    assert_eq!(of(&usual().slim()), "01372a32a56be5374ce9c6b5c963471b9f7f419c372abb71f8ab863076617874");
    assert_eq!(pack(&usual())[0], 2);
}

#[test]
fn a_usual_cookie_is_small_and_a_slim_one_smaller() {
    let sealer = sealer();
    let (full, slim) = (usual().seal(&sealer, HOST).unwrap(), usual().slim().seal(&sealer, HOST).unwrap());
    assert!(full.len() <= 600 && slim.len() <= 300, "{} and {} characters", full.len(), slim.len());
}

#[test]
fn too_many_groups_refuse_the_sign_in_and_say_what_to_do() {
    let mut session = usual();
    session.user.groups = (0..200).map(|i| format!("a-group-of-the-company-{i}")).collect();
    let said = session.seal(&sealer(), HOST).unwrap_err().to_string();
    assert!(said.contains("more than 3500; let the directory say who people are"), "{said}");
    assert!(session.slim().seal(&sealer(), HOST).is_ok());
}

#[test]
fn a_slim_person_has_nothing_that_gives_access() {
    let BrowserSession { user, .. } = usual().slim();
    assert_eq!(
        (user.name.as_deref(), user.email.as_deref()),
        (Some("Alice Lovelace"), Some("alice.lovelace@corp.example"))
    );
    assert_eq!((user.stage, user.employment), (LifecycleStage::Unknown, Employment::Unknown));
    assert!(
        user.groups.is_empty() && user.roles.is_empty() && user.tags.is_empty() && user.department.is_none()
    );
}

#[test]
fn a_session_ends_when_it_is_idle_when_its_time_is_over_and_when_it_is_from_the_future() {
    let lifetimes = Lifetimes::default();
    let session = usual();
    let at = |now: UnixMillis| session.standing(now, &lifetimes);
    let idle = session.seen_at.plus(lifetimes.idle);
    assert_eq!(at(session.seen_at), Ok(()));
    assert_eq!(at(UnixMillis(idle.0 - 1)), Ok(()));
    assert_eq!(at(idle), Err(Ended::Idle));
    let used = session.clone().seen(UnixMillis(session.expires_at.0 - 1));
    assert_eq!(used.standing(UnixMillis(session.expires_at.0 - 1), &lifetimes), Ok(()));
    assert_eq!(used.standing(session.expires_at, &lifetimes), Err(Ended::Absolute));
    // A shorter time that was configured since counts for sessions of before.
    let brief = Lifetimes { absolute: Duration::from_secs(3600), ..lifetimes };
    assert_eq!(
        session.clone().seen(START.plus(MINUTE * 59)).standing(START.plus(MINUTE * 59), &brief),
        Ok(())
    );
    assert_eq!(
        session.clone().seen(START.plus(MINUTE * 60)).standing(START.plus(MINUTE * 60), &brief),
        Err(Ended::Absolute)
    );
    // The clocks of nodes differ a little; a clock that was set back by more refuses.
    assert_eq!(at(START), Ok(()));
    assert_eq!(at(START.minus(MINUTE)), Err(Ended::Ahead));
}

#[test]
fn a_cookie_is_sealed_anew_each_minute_or_sooner_where_idle_is_short() {
    let session = usual();
    for (idle, every) in [(MINUTE * 30, MINUTE), (MINUTE * 10, MINUTE / 2), (MINUTE, MINUTE / 20)] {
        let lifetimes = Lifetimes { idle, ..Lifetimes::default() };
        assert_eq!(lifetimes.seen_every(), every);
        assert!(!session.is_due(UnixMillis(session.seen_at.plus(every).0 - 1), &lifetimes));
        assert!(session.is_due(session.seen_at.plus(every), &lifetimes));
    }
    assert_eq!(session.clone().seen(START).seen_at, session.seen_at, "time does not run backwards");
    assert_eq!(session.clone().seen(START.plus(MINUTE * 2)).seen_at, START.plus(MINUTE * 2));
}

#[test]
fn revocations_find_it_by_its_name_the_providers_and_its_device() {
    let session = usual();
    let verified = session.verified();
    let said = verified.session();
    assert_eq!(said.token.as_ref().unwrap().to_string(), format!("corp:{}", session.id));
    assert_eq!(session.id.to_string(), "dws-MDEyMzQ1Njc4OWFiY2RlZg");
    assert_eq!(SessionKey::parse("dws-MDEyMzQ1Njc4OWFiY2RlZg"), Some(session.id));
    assert_eq!(said.session.as_ref().unwrap().to_string(), "corp:102Qw3ErTyUiOpAsDfGh");
    assert_eq!((said.issued_at, said.expires_at), (session.signed_in_at, session.expires_at));
    assert_eq!(verified.device().id.as_ref().unwrap().as_str(), "dev-0123456789");
    assert_eq!(verified.device().assurance, DeviceAssurance::Cookie);
    assert_eq!(verified.principal().id().unwrap().to_string(), "corp:00u1abcd2efGHIJK3l4x7");
    assert_eq!(verified.principal().kind(), "User");
    assert!(verified.is_browser() && verified.scopes().is_empty());
    assert_eq!(verified.browser(), Some(&session));
    let unnamed = BrowserSession { device: DevicePosture::default(), ..session };
    assert_eq!(unnamed.verified().device().assurance, DeviceAssurance::None);
}

#[test]
fn the_name_is_read_back_and_nothing_else_is_a_name() {
    for bytes in [[0; 16], [0xff; 16], std::array::from_fn(|i| u8::try_from(i * 17).unwrap())] {
        let key = SessionKey::from_random(bytes);
        assert_eq!(SessionKey::parse(&key.to_string()), Some(key));
        assert_eq!(key.token(&usual().user).as_str(), key.to_string(), "the model and base64 agree");
        assert_eq!(key.bytes(), bytes);
    }
    for wrong in [
        "",
        "dws-",
        "MDEyMzQ1Njc4OWFiY2RlZg",
        "dws-MDEyMzQ1Njc4OWFiY2RlZ",
        "dws-MDEyMzQ1Njc4OWFiY2RlZh",
        "dws-MDEyMzQ1Njc4OWFiY2RlZg==",
    ] {
        assert_eq!(SessionKey::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn an_opened_cookie_is_remembered_for_its_host_and_its_time() {
    let opened = opened();
    let cookie = usual().seal(opened.sealer(), HOST).unwrap();
    let first = opened.open(HOST, &cookie, START).unwrap();
    let again = opened.open(HOST, &cookie, START.plus(MINUTE)).unwrap();
    assert!(Arc::ptr_eq(&first, &again), "it was opened twice");
    assert_eq!(opened.remembered(), 1);
    let other = opened.open("payroll.corp.example", &cookie, START);
    assert_eq!(other.err(), Some(Unopened::Foreign), "another host's cookie");
    assert_eq!(opened.open("wiki.corp.exampl", &format!("e{cookie}"), START).err(), Some(Unopened::Foreign));
    let idle = usual().seen_at.plus(Lifetimes::default().idle);
    assert_eq!(opened.open(HOST, &cookie, idle).err(), Some(Unopened::Ended(Ended::Idle)), "out of memory");
    assert_eq!(opened.remembered(), 0, "what is over is forgotten");
    assert_eq!(
        opened.open(HOST, &cookie, idle).err(),
        Some(Unopened::Ended(Ended::Idle)),
        "and is not let in anew"
    );
    assert_eq!(opened.remembered(), 0);
}

#[test]
fn what_does_not_open_fills_no_memory() {
    let opened = opened();
    for i in 0..1000 {
        assert_eq!(opened.open(HOST, &format!("AQ{i}"), START).err(), Some(Unopened::Foreign));
    }
    assert_eq!(opened.remembered(), 0);
}

#[test]
fn the_memory_is_bounded_by_size() {
    let opened = opened();
    let mut session = usual();
    session.user.groups = (0..80).map(|i| format!("a-group-of-the-company-{i}")).collect();
    let cookie = session.seal(opened.sealer(), HOST).unwrap();
    let weight = cookie.len().div_ceil(1024);
    assert!(weight > 1, "{} characters", cookie.len());
    opened.open(HOST, &cookie, START).unwrap();
    assert_eq!(opened.remembered_weight(), weight as u64);
}

/// Fixation and step-up: who knows an older value of a name has what that value says, and no more.
#[test]
fn s11_an_older_value_gains_nothing_by_a_newer_one() {
    let opened = opened();
    let weak = BrowserSession { assurance: Assurance::default(), ..usual() };
    let strong = BrowserSession { assurance: usual().assurance, ..weak.clone() };
    let [weak, strong] = [weak, strong].map(|session| session.seal(opened.sealer(), HOST).unwrap());
    let mfa = |cookie: &str| opened.open(HOST, cookie, START).unwrap().assurance().mfa;
    assert_eq!([mfa(&weak), mfa(&strong), mfa(&weak)], [false, true, false]);
}

#[test]
fn s11_what_was_sealed_for_something_else_is_no_session() {
    let (sealer, opened) = (sealer(), opened());
    let bytes = pack(&usual());
    for purpose in Purpose::ALL {
        let cookie = sealer.seal(purpose, HOST, &bytes).unwrap();
        assert_eq!(opened.open(HOST, &cookie, START).is_ok(), purpose == Purpose::Session, "{purpose:?}");
    }
}

#[test]
fn nothing_of_the_person_and_no_cookie_shows() {
    let opened = opened();
    let cookie = usual().seal(opened.sealer(), HOST).unwrap();
    opened.open(HOST, &cookie, START).unwrap();
    for shown in [format!("{:?}", usual()), format!("{opened:?}")] {
        for secret in ["alice", "Alice", "engineering", "2001:db8", &cookie[..12]] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[test]
fn what_the_provider_says_later_changes_who_somebody_is_and_not_how_they_signed_in() {
    let before = usual();
    let mut said = BrowserSession { validated_at: START.plus(MINUTE), ..usual() };
    said.user.groups = BTreeSet::from(["finance".to_owned()]);
    said.assurance.phishing_resistant = true;
    let after = before.clone().updated(&said);
    assert_eq!((&after.user, after.validated_at), (&said.user, said.validated_at));
    assert_eq!(
        (after.assurance, after.signed_in_at, after.expires_at),
        (before.assurance, before.signed_in_at, before.expires_at)
    );
    let earlier = BrowserSession { validated_at: START, ..said.clone() };
    assert_eq!(before.clone().updated(&earlier), before, "said earlier");
    let other = BrowserSession { id: SessionKey::from_random([1; 16]), ..said.clone() };
    assert_eq!(before.clone().updated(&other), before, "of another session");
    said.user.id = UserId::new(said.user.id.issuer().clone(), SubjectId::new("somebody-else").unwrap());
    assert_eq!(before.clone().updated(&said), before, "of somebody else");
}
