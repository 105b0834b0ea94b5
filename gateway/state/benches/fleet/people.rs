//! How much memory people take, in Redis and in a node, and how long a node takes to know them all.

use std::time::{Duration, Instant};

use doorward_model::UnixMillis;
use doorward_model::directory::{
    Email, Given, Grants, Group, GroupId, Origin, Person, PersonId, PersonState, Profile, RoleName, Source,
};
use doorward_state::directory::form::{self, Member};
use doorward_state::{Expected, RecordGroup, RecordKind, Seq, Store, UniqueKey, Write};

use crate::house::{House, memory, until};
use crate::loading::load;
use crate::process::core_time;
use crate::table::{self, number};

const GROUPS: u128 = 10_000;
const GROUPS_OF_A_PERSON: u128 = 10;
const BATCH: usize = 5_000;
const PATIENCE: Duration = Duration::from_secs(600);
const NOW: UnixMillis = UnixMillis(1_795_262_400_400);

/// Measures a directory of so many people, each in ten of ten thousand groups.
pub(crate) async fn measure(people: u64) {
    let house = House::filled(0);
    fill(&house, u128::from(people));
    let control = house.control();
    let (began, core) = (Instant::now(), core_time(house.redis.pid()));
    until("the directory is in Redis", PATIENCE, || {
        control.fleet_health().is_some_and(|health| health.blessings_total > 0)
    })
    .await;
    let (blessed, writing) = (began.elapsed(), core_time(house.redis.pid()).saturating_sub(core));
    let of_redis = memory(&house.redis).saturating_sub(house.redis_empty);
    let (loaded, core) = load(&house, 1);
    let [node] = &loaded[..] else { panic!("one node was started") };
    assert_eq!(node.people, people, "a node that has a lease knows everybody");
    let mega = |bytes: u64| number(bytes as f64 / 1e6);
    let each = |bytes: u64| number(bytes as f64 / people as f64);
    let millis = |duration: Duration| number(duration.as_secs_f64() * 1000.0);
    table::print(
        "People: memory, MB (bytes for each person), and loading, ms (in brackets: of a core of Redis, or of the node)",
        &[
            "people",
            "snapshot in Redis",
            "records in a node",
            "the directory made of them",
            "snapshot to Redis",
            "a node until its first lease",
            "of a core of Redis",
        ],
        &[vec![
            people.to_string(),
            format!("{} ({})", mega(of_redis), each(of_redis)),
            format!("{} ({})", mega(node.bytes), each(node.bytes)),
            format!("{} ({})", mega(node.directory_bytes), each(node.directory_bytes)),
            format!("{} ({})", millis(blessed), millis(writing)),
            format!("{} ({})", millis(node.took), millis(node.core)),
            millis(core),
        ]],
    );
    control.close().await;
}

fn fill(house: &House, people: u128) {
    let (mut store, _handle) = Store::open(house.config("control", "sqlite").store()).unwrap();
    let all: Vec<Write> =
        (0..GROUPS).map(group).chain((0..people).flat_map(|n| [person(n), memberships(n)])).collect();
    for writes in all.chunks(BATCH) {
        store.commit(Seq::START, &[RecordGroup { writes, proof: None }], &mut |_, _| Vec::new()).unwrap();
    }
    store.settle().unwrap();
}

fn write(kind: RecordKind, id: String, body: Vec<u8>, keys: Vec<UniqueKey>) -> Write {
    Write { kind, id: id.into(), expected: Expected::Any, body: Some(body.into()), keys }
}

fn given<T: Ord>(all: impl Iterator<Item = T>) -> Grants<T> {
    let mut grants = Grants::new();
    for what in all {
        grants.give(Given { what, origin: Origin::Default, since: NOW });
    }
    grants
}

fn person(n: u128) -> Write {
    let mut profile = Profile::named(format!("person-{n}@corp.example"));
    profile.name = Some(format!("Person Number {n}"));
    profile.department = Some(format!("department-{}", n % 50));
    profile.emails = vec![Email { address: profile.user_name.clone(), verified: true, primary: true }];
    let mut person = Person::new(PersonId::from_u128(n), Source::Local, PersonState::Active, profile, NOW);
    person.links.insert(format!("corp:00u{n:09}").parse().unwrap());
    person.roles = given(["employee", "staff"].into_iter().map(|role| RoleName::new(role).unwrap()));
    let (body, keys) = form::encode_person(&person).unwrap();
    write(RecordKind::Person, person.id.to_string(), body, keys)
}

fn memberships(n: u128) -> Write {
    let all = (0..GROUPS_OF_A_PERSON).map(|i| GroupId::from_u128((n + i * 997) % GROUPS));
    let body = form::encode_memberships(&given(all)).unwrap();
    write(RecordKind::Membership, Member::Person(PersonId::from_u128(n)).record_id(), body, Vec::new())
}

fn group(n: u128) -> Write {
    let id = GroupId::from_u128(n);
    let (display_name, source, parents) = (format!("group-{n}").into(), Source::Local, Default::default());
    let group = Group { id, display_name, parents, source, created_at: NOW, changed_at: NOW };
    write(RecordKind::Group, id.to_string(), form::encode_group(&group).unwrap(), Vec::new())
}
