//! What a directory of 100,000 people costs the service: run it with `--ignored --nocapture`, alone.

use std::collections::BTreeSet;
use std::time::Instant;

use doorward_model::UnixMillis;
use doorward_model::directory::{Given, Grants, Origin, Person, PersonState, Source};
use doorward_state::directory::form::{Member, encode_memberships, encode_person};
use doorward_state::{Batch, Expected, RecordKind, Write};

use crate::fixture::{House, group, link, okta_id, person, profile, run};

const PEOPLE: u128 = 100_000;
const BATCH: u128 = 6_000;

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[expect(clippy::disallowed_methods, reason = "a test owns a clock")]
fn now() -> Instant {
    Instant::now()
}

#[test]
#[ignore = "a measurement"]
fn a_hundred_thousand_people() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        for start in (0..PEOPLE).step_by(usize::try_from(BATCH).unwrap()) {
            let mut writes = Vec::new();
            for n in start..(start + BATCH).min(PEOPLE) {
                let name = format!("p{n}");
                let source = Source::Scim(okta_id());
                let (state, at) = (PersonState::Active, UnixMillis(1));
                let mut one = Person::new(person(n), source, state, profile(&name), at);
                one.links = BTreeSet::from([link(&name)]);
                let (body, keys) = encode_person(&one).unwrap();
                let write = |kind, id: String, body: Vec<u8>, keys| Write {
                    kind,
                    id: id.into(),
                    expected: Expected::Absent,
                    body: Some(body.into()),
                    keys,
                };
                writes.push(write(RecordKind::Person, one.id.to_string(), body, keys));
                let mut groups = Grants::new();
                for g in 0..5 {
                    let (what, origin) = (group(n % 1000 * 10 + g), Origin::Source(okta_id()));
                    groups.give(Given { what, origin, since: at });
                }
                let body = encode_memberships(&groups).unwrap();
                let id = Member::Person(one.id).record_id();
                writes.push(write(RecordKind::Membership, id, body, Vec::new()));
            }
            running.revocations.commit(Batch { writes, changes: Vec::new() }).await.unwrap();
        }
        running.close().await;
        let before = resident_bytes();
        let began = now();
        let running = house.open().await;
        println!(
            "opened with {} people in {:?}, {} MiB more (records in memory included)",
            running.service.people_count(),
            began.elapsed(),
            (resident_bytes() - before) >> 20
        );
        let began = now();
        let page = running.service.people(Some(person(50_000)), 1000);
        assert_eq!((page.len(), page[0]), (1000, person(50_001)));
        println!("a page of 1000 in {:?}", began.elapsed());
        let began = now();
        let leaves = doorward_lifecycle::machine::Command::ScimDeactivate;
        let done = running.ask(person(77_777), leaves, &crate::fixture::okta()).await.unwrap();
        println!("one leaving in {:?}, on record {}", began.elapsed(), done.on_record);
        running.close().await;
    });
}
