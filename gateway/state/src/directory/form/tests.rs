//! What is written is read back, whatever it is; what was not written so is an error.

use std::collections::BTreeSet;
use std::net::IpAddr;

use doorward_model::directory::{
    Blocked, Device, Edit, Edited, Email, Extent, Given, Grants, Group, Hand, Hold, HoldOrigin, Left,
    Machine, MachineId, MachineKind, MachineState, MachineToken, Offboarding, Origin, Person, PersonState,
    Posture, Profile, ProfileField, RoleName, StopCause, StreamName, TokenHash,
};
use doorward_model::{AppId, Compliance, CountryCode, DeviceId, Employment, Thumbprint, UnixMillis};
use ipnet::IpNet;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn word() -> impl Strategy<Value = String> {
    select(vec!["a", "okta", "b-2", "Ä \"ö\" \\ \u{1f600}", "x\ny", ""]).prop_map(str::to_owned)
}

fn time() -> impl Strategy<Value = UnixMillis> {
    any::<i64>().prop_map(UnixMillis)
}

fn connection() -> impl Strategy<Value = ConnectionId> {
    select(vec!["okta", "entra"]).prop_map(|name| ConnectionId::new(name).unwrap())
}

fn stream() -> impl Strategy<Value = StreamName> {
    select(vec!["caep", "kill"]).prop_map(|name| StreamName::new(name).unwrap())
}

fn role() -> impl Strategy<Value = RoleName> {
    select(vec!["Payroll (admin)", "staff", "ä"]).prop_map(|name| RoleName::new(name).unwrap())
}

fn app() -> impl Strategy<Value = AppId> {
    select(vec!["wiki", "payroll"]).prop_map(|name| AppId::new(name).unwrap())
}

fn group_id() -> impl Strategy<Value = GroupId> {
    (0..40_u128).prop_map(GroupId::from_u128)
}

fn link() -> impl Strategy<Value = UserId> {
    select(vec!["corp:alice", "corp:https://x/a:b", "lab:\u{e9}"]).prop_map(|text| text.parse().unwrap())
}

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![
        Just(Source::Local),
        connection().prop_map(Source::Scim),
        Just(Source::SignIn(IssuerId::new("corp").unwrap())),
    ]
}

fn origin() -> impl Strategy<Value = Origin> {
    prop_oneof![
        connection().prop_map(Origin::Source),
        word().prop_map(|name| Origin::Operator(name.into())),
        Just(Origin::Default),
    ]
}

fn some<T: Ord + std::fmt::Debug + Clone>(
    what: impl Strategy<Value = T>,
) -> impl Strategy<Value = Grants<T>> {
    vec((what, origin(), time()), 0..12).prop_map(|all| {
        let mut grants = Grants::new();
        for (what, origin, since) in all {
            grants.give(Given { what, origin, since });
        }
        grants
    })
}

fn hold() -> impl Strategy<Value = Hold> {
    let origin = prop_oneof![Just(HoldOrigin::Operator), stream().prop_map(HoldOrigin::Signal)];
    (word(), word(), time(), origin).prop_map(|(by, cause, since, origin)| Hold {
        by: by.into(),
        cause: cause.into(),
        since,
        origin,
    })
}

fn holds() -> impl Strategy<Value = Vec<Hold>> {
    vec(hold(), 0..4).prop_map(|mut holds| {
        let mut seen = BTreeSet::new();
        holds.retain(|hold| seen.insert(hold.origin.clone()));
        holds
    })
}

fn hand() -> impl Strategy<Value = Hand> {
    prop_oneof![
        Just(Hand::Operator),
        connection().prop_map(Hand::Source),
        stream().prop_map(Hand::Signal),
        Just(Hand::Person),
        Just(Hand::System),
    ]
}

fn edited() -> impl Strategy<Value = Edited> {
    prop_oneof![
        select(ProfileField::ALL.to_vec()).prop_map(Edited::Field),
        role().prop_map(Edited::Role),
        group_id().prop_map(Edited::Group),
        app().prop_map(Edited::App),
    ]
}

fn state() -> impl Strategy<Value = PersonState> {
    prop_oneof![
        Just(PersonState::Invited),
        Just(PersonState::PendingVerification),
        Just(PersonState::Staged),
        Just(PersonState::Active),
        time().prop_map(|until| PersonState::Locked { until }),
        hold().prop_map(PersonState::Suspended),
        Just(PersonState::Deactivated),
        Just(PersonState::Deleted),
    ]
}

fn profile() -> impl Strategy<Value = Profile> {
    let email = (word(), any::<bool>(), any::<bool>());
    let email = email.prop_map(|(address, verified, primary)| Email { address, verified, primary });
    let user_name = select(vec!["Alice@Corp.example", "Élan", "a"]).prop_map(str::to_owned);
    let country = select(vec!["DE", "ZZ"]).prop_map(|code| CountryCode::new(code).unwrap());
    let texts = (user_name, option::of(word()), vec(email, 0..3), option::of(word()));
    let rest = (
        select(Employment::ALL.to_vec()),
        option::of(time()),
        option::of(time()),
        country,
        btree_map(word(), word(), 0..3),
    );
    (texts, rest).prop_map(|((user_name, name, emails, department), rest)| {
        let (employment, starts_at, contract_end, home_country, tags) = rest;
        Profile {
            user_name,
            name,
            emails,
            department,
            employment,
            starts_at,
            contract_end,
            home_country,
            tags,
        }
    })
}

prop_compose! {
    fn person()(
        (id, links, source, offered_to, source_active, state) in
            (any::<u128>(), btree_set(link(), 0..3), source(), option::of(connection()), any::<bool>(), state()),
        (holds, offboarding, profile, said) in
            (holds(), select(Offboarding::ALL.to_vec()), profile(), option::of(profile())),
        edits in btree_map(edited(), (word(), time()), 0..4),
        (roles, apps) in (some(role()), some(app())),
        taken_as_of in btree_map(hand(), time(), 0..4),
        (expires_at, created_at, changed_at, left, returned_at) in
            (option::of(time()), time(), time(), option::of((hand(), time())), option::of(time())),
    ) -> Person {
        let edits = edits.into_iter().map(|(what, (by, at))| (what, Edit { by: by.into(), at }));
        Person {
            id: PersonId::from_u128(id),
            links,
            source,
            offered_to,
            source_active,
            state,
            holds,
            offboarding,
            profile,
            said: said.map(Box::new),
            edits: edits.collect(),
            roles,
            groups: Grants::new(),
            apps,
            taken_as_of,
            expires_at,
            created_at,
            changed_at,
            left: left.map(|(by, at)| Left { by, at }),
            returned_at,
        }
    }
}

prop_compose! {
    fn group()(id in group_id(), name in word(), source in source(), at in time(), then in time()) -> Group {
        let display_name = name.into();
        Group { id, display_name, parents: BTreeSet::new(), source, created_at: at, changed_at: then }
    }
}

fn extent<T: Clone + Ord + std::fmt::Debug + 'static>(
    of: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Extent<T>> {
    prop_oneof![Just(Extent::All), btree_set(of, 0..3).prop_map(Extent::Only)]
}

prop_compose! {
    fn token()(
        (hash, label, by) in (any::<[u8; 32]>(), word(), word()),
        apps in extent(select(vec![AppId::new("wiki").unwrap(), AppId::new("payroll").unwrap()])),
        from in extent((any::<u32>(), 0_u8..=32).prop_map(|(ip, bits)| IpNet::new(IpAddr::from(ip.to_be_bytes()), bits).unwrap().trunc())),
        scopes in extent(word()),
        (created_at, expires_at, last_used_at) in (time(), time(), option::of(time())),
    ) -> MachineToken {
        let (hash, created_by) = (TokenHash::new(hash), by.into());
        MachineToken { hash, label, apps, from, scopes, created_at, created_by, expires_at, last_used_at }
    }
}

prop_compose! {
    fn machine()(
        (id, owner) in (any::<u128>(), any::<u128>()),
        (user, name, purpose, scopes) in (link(), word(), word(), btree_set(word(), 0..3)),
        kind in select(MachineKind::ALL.to_vec()),
        state in prop_oneof![
            Just(MachineState::Active),
            time().prop_map(|since| MachineState::Stopped { cause: StopCause::OwnerLeft, since }),
            time().prop_map(|since| MachineState::Stopped { cause: StopCause::Halted, since }),
            Just(MachineState::Deleted),
        ],
        (expires_at, created_at, tokens) in (time(), time(), vec(token(), 0..3)),
    ) -> Machine {
        let (id, owner) = (MachineId::from_u128(id), PersonId::from_u128(owner));
        Machine { id, user, kind, name, purpose, owner, scopes, state, expires_at, created_at, tokens }
    }
}

prop_compose! {
    fn device()(
        id in select(vec!["laptop-7", "urn:x:/1?a=b"]),
        (owner, name, platform) in (option::of(any::<u128>()), word(), option::of(word())),
        certificates in vec(any::<[u8; 32]>().prop_map(Thumbprint::new), 0..3),
        posture in option::of((any::<bool>(), 0_u8..3, word(), time(), time())),
        blocked in option::of((word(), word(), time())),
        created_at in time(),
    ) -> Device {
        Device {
            id: DeviceId::new(id).unwrap(),
            owner: owner.map(PersonId::from_u128),
            name,
            platform,
            certificates,
            posture: posture.map(|(managed, compliance, source, asserted_at, expires_at)| Posture {
                managed,
                compliance: match compliance {
                    0 => Compliance::Compliant,
                    1 => Compliance::NotCompliant,
                    _ => Compliance::Unknown,
                },
                reasons: vec![source.clone()],
                source: source.into(),
                asserted_at,
                expires_at,
            }),
            blocked: blocked.map(|(by, cause, since)| Blocked { by: by.into(), cause: cause.into(), since }),
            created_at,
        }
    }
}

proptest! {
    #[test]
    fn a_device_is_read_as_written(device in device()) {
        prop_assert_eq!(&decode_device(&encode_device(&device).unwrap()).unwrap(), &device);
    }

    #[test]
    fn a_person_is_read_as_written(person in person()) {
        let (body, keys) = encode_person(&person).unwrap();
        prop_assert_eq!(&decode_person(&body).unwrap(), &person);
        let expected = if person.state == PersonState::Deleted { 0 } else { person.links.len() + 1 };
        prop_assert_eq!(keys.len(), expected);
    }

    #[test]
    fn memberships_are_read_as_written(groups in some(group_id())) {
        let body = encode_memberships(&groups).unwrap();
        prop_assert_eq!(decode_memberships(&body).unwrap(), groups);
    }

    #[test]
    fn a_group_is_read_as_written(group in group()) {
        prop_assert_eq!(decode_group(&encode_group(&group).unwrap()).unwrap(), group);
    }

    #[test]
    fn a_machine_is_read_as_written(machine in machine()) {
        let (body, keys) = encode_machine(&machine).unwrap();
        prop_assert_eq!(&decode_machine(&body).unwrap(), &machine);
        prop_assert_eq!(keys.is_empty(), machine.state == MachineState::Deleted);
    }

    #[test]
    fn what_is_cut_or_changed_is_an_error_or_something_else_entirely(
        person in person(), at in any::<proptest::sample::Index>(), byte in any::<u8>(),
    ) {
        let (mut body, _) = encode_person(&person).unwrap();
        let at = at.index(body.len());
        prop_assert!(decode_person(&body[..at]).is_err(), "cut");
        body[at] = byte;
        if let Ok(read) = decode_person(&body) {
            prop_assert_eq!(decode_person(&encode_person(&read).unwrap().0).unwrap(), read);
        }
    }
}

fn alice() -> Person {
    let now = UnixMillis(1);
    let profile = Profile::named("Alice@Corp.example".to_owned());
    let source = Source::Scim(ConnectionId::new("okta").unwrap());
    let mut alice = Person::new(PersonId::from_u128(7), source, PersonState::Active, profile, now);
    alice.links.insert("corp:alice".parse().unwrap());
    alice
}

/// What lies in files of the first version. A change here needs a new version, and a reader of this one.
const ALICE: &str = concat!(
    r#"{"v":1,"id":"00000000-0000-0000-0000-000000000007","links":["corp:alice"],"source":{"scim":"okta"},"#,
    r#""source_active":true,"state":"active","holds":[],"offboarding":"none","profile":{"user_name":"#,
    r#""Alice@Corp.example","employment":"unknown","home_country":"ZZ"},"taken_as_of":[],"created_at":1,"#,
    r#""changed_at":1}"#,
);

#[test]
fn the_first_version_reads_so_for_ever() {
    let (body, keys) = encode_person(&alice()).unwrap();
    assert_eq!(std::str::from_utf8(&body).unwrap(), ALICE);
    assert_eq!(decode_person(ALICE.as_bytes()).unwrap(), alice());
    let keys: Vec<&str> = keys.iter().map(UniqueKey::as_str).collect();
    assert_eq!(keys, ["name:scim:okta:alice@corp.example", "link:corp:alice"]);
    let mut groups = Grants::new();
    groups.give(Given { what: GroupId::from_u128(1), origin: Origin::Default, since: UnixMillis(2) });
    assert_eq!(
        String::from_utf8(encode_memberships(&groups).unwrap()).unwrap(),
        r#"{"v":1,"groups":[{"by":"default","given":[["00000000-0000-0000-0000-000000000001",2]]}]}"#,
    );
}

#[test]
fn what_does_not_say_everything_or_says_more_is_refused() {
    let error = |from: &str, to: &str| {
        let body = ALICE.replace(from, to);
        assert_ne!(body, ALICE, "{from}");
        decode_person(body.as_bytes()).unwrap_err()
    };
    assert_eq!(error(r#""v":1"#, r#""v":2"#), FormError::Later(2));
    assert_eq!(error(r#""v":1,"#, r#""v":7,"more":{"things":[]},"#), FormError::Later(7));
    assert!(matches!(error(r#""v":1"#, r#""v":0"#), FormError::Field { field: "v", .. }));
    for (from, to) in [
        (r#""source_active":true,"#, ""),
        (r#""state":"active","#, ""),
        (r#""holds":[],"#, ""),
        (r#""v":1,"#, ""),
        (r#""holds":[]"#, r#""holds":[],"admin":true"#),
        (r#""holds":[]"#, r#""holds":[],"holds":[]"#),
        (r#""employment""#, r#""nick_name":"Al","employment""#),
        (r#""state":"active""#, r#""state":"Active""#),
        (r#""state":"active""#, r#""state":{"locked":{"until":1,"for":2}}"#),
        (r#""created_at":1"#, r#""created_at":"1""#),
        ("}", "}x"),
    ] {
        let error = error(from, to);
        assert!(matches!(error, FormError::Damaged { .. }), "{to}: {error}");
        assert!(!error.to_string().contains("lice"), "{error}");
    }
    for (from, to, wrong) in [
        ("00000000-0000-0000-0000-000000000007", "7", "id"),
        (r#"["corp:alice"]"#, r#"["alice"]"#, "links"),
        (r#"["corp:alice"]"#, r#"["corp:alice","corp:alice"]"#, "links"),
        (r#"{"scim":"okta"}"#, r#"{"scim":"Okta"}"#, "source"),
        (r#""employment":"unknown""#, r#""employment":"boss""#, "employment"),
        (r#""offboarding":"none""#, r#""offboarding":"never""#, "offboarding"),
        (r#""home_country":"ZZ""#, r#""home_country":"Z""#, "home_country"),
        (r#""taken_as_of":[]"#, r#""taken_as_of":[["system",1],["system",2]]"#, "taken_as_of"),
        (
            r#""taken_as_of":[]"#,
            r#""roles":[{"by":"default","given":[["a",1],["a",2]]}],"taken_as_of":[]"#,
            "roles",
        ),
    ] {
        let FormError::Field { field, .. } = error(from, to) else { panic!("{to}") };
        assert_eq!(field, wrong);
    }
}

#[test]
fn names_are_kept_apart_by_source_and_not_by_case() {
    let okta = Source::Scim(ConnectionId::new("okta").unwrap());
    let key = |source: &Source, name: &str| user_name_key(source, name).unwrap().as_str().to_owned();
    assert_eq!(key(&okta, "ÉLAN@x"), key(&okta, "élan@X"));
    assert_ne!(key(&okta, "a"), key(&Source::Local, "a"));
    assert_ne!(key(&okta, "a"), key(&Source::SignIn(IssuerId::new("okta").unwrap()), "a"));
    for bad in ["x".repeat(600), "a\nb".to_owned()] {
        assert_eq!(user_name_key(&okta, &bad), Err(FormError::Key { field: "user_name" }));
    }
    let longest: UserId = format!("{}:{}", "i".repeat(64), "s".repeat(255)).parse().unwrap();
    assert!(link_key(&longest).is_ok());
}

#[test]
fn a_member_of_a_thousand_groups_fits_into_a_record() {
    let mut groups = Grants::new();
    let okta = Origin::Source(ConnectionId::new("okta").unwrap());
    for n in 0..doorward_model::limits::GROUPS_MAX {
        let what = GroupId::from_u128(n as u128);
        groups.give(Given { what, origin: okta.clone(), since: UnixMillis(1_790_000_000_000) });
    }
    assert!(encode_memberships(&groups).unwrap().len() <= crate::RECORD_BYTES_MAX);
}

#[test]
fn whose_memberships_a_record_tells_stands_in_its_id() {
    for member in [Member::Person(PersonId::from_u128(3)), Member::Group(GroupId::from_u128(4))] {
        assert_eq!(Member::parse(&member.record_id()), Ok(member));
    }
    for bad in ["", "person", "person:7", "robot:00000000-0000-0000-0000-000000000007"] {
        assert!(Member::parse(bad).is_err(), "{bad:?}");
    }
}
