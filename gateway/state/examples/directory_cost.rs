//! What a directory of 100,000 people, 10,000 groups and 5,000 machines costs.
//!
//! ```text
//! cargo run --release -p doorward-state --example directory_cost
//! ```
//!
//! Writes it into an embedded store, opens that in a process of its own, and prints the time to start, the memory, the
//! first and the following looks at a person, and how long one change takes to count. Each person is
//! directly in ten groups, and every group in one of a hundred others.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement, run by hand")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_model::directory::{
    Email, Given, Grants, Group, GroupId, Machine, MachineId, MachineKind, MachineState, Origin, Person,
    PersonId, PersonState, Profile, RoleName, Source,
};
use doorward_model::time::Clocks;
use doorward_model::{KeyPath, UnixMillis, UserId};
use doorward_state::directory::Directory;
use doorward_state::directory::form::{self, Member};
use doorward_state::{Batch, Expected, RecordKind, RevocationSection, Revocations, UniqueKey, Write};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PEOPLE: u128 = 100_000;
const GROUPS: u128 = 10_000;
const MACHINES: u128 = 5_000;
const GROUPS_OF_A_PERSON: u128 = 10;
const ABOVE: u128 = 100;
const BATCH: usize = 5_000;
const NOW: UnixMillis = UnixMillis(1_795_262_400_400);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let Some(dir) = std::env::args_os().nth(1) {
        return runtime.block_on(measure(std::path::Path::new(&dir)));
    }
    let dir = tempfile::tempdir().unwrap();
    runtime.block_on(fill(dir.path()));
    let measured = std::process::Command::new(std::env::current_exe().unwrap()).arg(dir.path()).status();
    assert!(measured.unwrap().success());
}

async fn fill(dir: &std::path::Path) {
    let revocations = open(dir);
    let began = Instant::now();
    let all = groups().chain(people()).chain(machines());
    let mut writes = Vec::with_capacity(BATCH);
    for write in all {
        writes.push(write);
        if writes.len() == BATCH {
            commit(&revocations, std::mem::take(&mut writes)).await;
        }
    }
    commit(&revocations, writes).await;
    say("written", began.elapsed());
    revocations.close().await;
}

async fn measure(dir: &std::path::Path) {
    let (file, before) = (std::fs::metadata(dir.join("revocations.sqlite3")).unwrap().len(), resident());
    println!("{:42} {:8.1} MiB", "the file", mebibytes(file));
    let began = Instant::now();
    let revocations = open(dir);
    say("opened: checked and read into memory", began.elapsed());
    let records = resident();
    println!("{:42} {:8.1} MiB", "memory of the records", mebibytes(records.saturating_sub(before)));
    let began = Instant::now();
    let directory = Directory::new(revocations.records());
    say("the directory made of them", began.elapsed());
    let made = resident();
    println!("{:42} {:8.1} MiB", "memory of it", mebibytes(made.saturating_sub(records)));

    let links: Vec<UserId> = (0..PEOPLE).map(link).collect();
    looks("first look at each of 10,000 people", &directory, &links[..10_000]);
    looks("following looks", &directory, &links[..10_000]);
    println!(
        "{:42} {:8.1} MiB",
        "memory of 10,000 people who came",
        mebibytes(resident().saturating_sub(made))
    );
    changes(&revocations, &directory, &links).await;
}

/// One change each, from the call to the first look that sees it.
async fn changes(revocations: &Revocations, directory: &Directory, links: &[UserId]) {
    let began = Instant::now();
    commit(revocations, vec![person(7, "changed")]).await;
    let known = directory.person_of(&links[7]).unwrap().unwrap();
    assert!(known.user(&links[7]).unwrap().roles.contains("changed"));
    say("a role of one person, on the disk and seen", began.elapsed());

    let began = Instant::now();
    commit(revocations, vec![group(3, "renamed")]).await;
    say("a name of a group, on the disk", began.elapsed());
    looks("first look after it, 10,000 people", directory, &links[..10_000]);

    let members: Vec<Write> = (0..10_000).map(|n| memberships(n, 5_000)).collect();
    let began = Instant::now();
    commit(revocations, members).await;
    say("10,000 members of one group, on the disk", began.elapsed());
    let known = directory.person_of(&links[9_999]).unwrap().unwrap();
    assert!(known.groups().contains("group-5000"));
}

fn looks(what: &str, directory: &Directory, links: &[UserId]) {
    let mut took: Vec<Duration> = Vec::with_capacity(links.len());
    for link in links {
        let began = Instant::now();
        let known = directory.person_of(link).unwrap().unwrap();
        std::hint::black_box(&known);
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let at = |share: f64| took[(took.len() as f64 * share) as usize];
    println!("{what:42} median {:?}, 99 % {:?}, 99.9 % {:?}", at(0.5), at(0.99), at(0.999));
}

fn say(what: &str, took: Duration) {
    println!("{what:42} {:8.1} ms", took.as_secs_f64() * 1000.0);
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Memory that is in use, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}

fn open(dir: &std::path::Path) -> Revocations {
    let (top, section) = (KeyPath::top(), RevocationSection::default());
    let config = section.check(&top, dir, dir, "gw-1", &mut Vec::new()).unwrap();
    let began = Instant::now();
    let clocks = Clocks { wall: Arc::new(|| NOW), uptime: Arc::new(move || began.elapsed()) };
    Revocations::open(&config, clocks).unwrap().0
}

async fn commit(revocations: &Revocations, writes: Vec<Write>) {
    if !writes.is_empty() {
        revocations.commit(Batch { writes, changes: Vec::new() }).await.unwrap();
    }
}

// === who and what ===

fn link(n: u128) -> UserId {
    format!("corp:00u{n:09}").parse().unwrap()
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

fn people() -> impl Iterator<Item = Write> {
    (0..PEOPLE).flat_map(|n| [person(n, "employee"), memberships(n, n)])
}

fn person(n: u128, role: &str) -> Write {
    let mut profile = Profile::named(format!("person-{n}@corp.example"));
    profile.name = Some(format!("Person Number {n}"));
    profile.department = Some(format!("department-{}", n % 50));
    profile.emails = vec![Email { address: profile.user_name.clone(), verified: true, primary: true }];
    let mut person = Person::new(PersonId::from_u128(n), Source::Local, PersonState::Active, profile, NOW);
    person.links.insert(link(n));
    person.roles = given([role, "staff"].into_iter().map(|role| RoleName::new(role).unwrap()));
    let (body, keys) = form::encode_person(&person).unwrap();
    write(RecordKind::Person, person.id.to_string(), body, keys)
}

/// In ten groups, the first of them `first`.
fn memberships(n: u128, first: u128) -> Write {
    let all = (0..GROUPS_OF_A_PERSON).map(|i| GroupId::from_u128((first + i * 997) % GROUPS));
    let body = form::encode_memberships(&given(all)).unwrap();
    write(RecordKind::Membership, Member::Person(PersonId::from_u128(n)).record_id(), body, Vec::new())
}

fn groups() -> impl Iterator<Item = Write> {
    (0..GROUPS).flat_map(|n| {
        let above = (n >= ABOVE).then(|| GroupId::from_u128(n % ABOVE));
        let body = form::encode_memberships(&given(above.into_iter())).unwrap();
        let member = Member::Group(GroupId::from_u128(n)).record_id();
        [group(n, &format!("group-{n}")), write(RecordKind::Membership, member, body, Vec::new())]
    })
}

fn group(n: u128, name: &str) -> Write {
    let (id, parents) = (GroupId::from_u128(n), BTreeSet::new());
    let (display_name, source) = (name.into(), Source::Local);
    let group = Group { id, display_name, parents, source, created_at: NOW, changed_at: NOW };
    write(RecordKind::Group, id.to_string(), form::encode_group(&group).unwrap(), Vec::new())
}

fn machines() -> impl Iterator<Item = Write> {
    (0..MACHINES).map(|n| {
        let machine = Machine {
            id: MachineId::from_u128(n),
            user: format!("robots:{n}").parse().unwrap(),
            kind: MachineKind::ServiceAccount,
            name: format!("machine-{n}"),
            purpose: "to be measured".to_owned(),
            owner: PersonId::from_u128(n),
            scopes: ["read".to_owned()].into(),
            state: MachineState::Active,
            expires_at: UnixMillis(i64::MAX),
            created_at: NOW,
            tokens: Vec::new(),
        };
        let (body, keys) = form::encode_machine(&machine).unwrap();
        write(RecordKind::Machine, machine.id.to_string(), body, keys)
    })
}
