//! Random batches, beside a model that keeps what was written and reads all of it for each answer.

use std::collections::{BTreeMap, BTreeSet};

use doorward_model::directory::{MachineState, Person, PersonState};
use doorward_state::directory::Directory;
use doorward_state::{RecordKind, Write};
use proptest::prelude::*;

use super::fixture::*;

const PEOPLE: u128 = 4;
const GROUPS: u128 = 6;
const LINKS: usize = 5;

/// One write of a batch.
#[derive(Clone, Debug)]
enum Step {
    /// A person with these sign-ins, who is admitted or not.
    Person(u128, BTreeSet<usize>, bool),
    PersonGone(u128),
    Group(u128, u8),
    GroupGone(u128),
    In(u128, BTreeSet<u128>),
    Nested(u128, BTreeSet<u128>),
    Machine(u128, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let groups = || prop::collection::btree_set(0..GROUPS, 0..4);
    prop_oneof![
        4 => (0..PEOPLE, prop::collection::btree_set(0..LINKS, 0..3), any::<bool>())
            .prop_map(|(n, links, active)| Step::Person(n, links, active)),
        1 => (0..PEOPLE).prop_map(Step::PersonGone),
        3 => (0..GROUPS, 0..3_u8).prop_map(|(n, name)| Step::Group(n, name)),
        1 => (0..GROUPS).prop_map(Step::GroupGone),
        3 => (0..PEOPLE, groups()).prop_map(|(n, groups)| Step::In(n, groups)),
        3 => (0..GROUPS, groups()).prop_map(|(n, groups)| Step::Nested(n, groups)),
        2 => (0..PEOPLE, any::<bool>()).prop_map(|(owner, active)| Step::Machine(owner, active)),
    ]
}

/// Everything that was written, and how often a person or a group was: what was deleted gets a new id.
#[derive(Default)]
struct Model {
    people: BTreeMap<u128, Person>,
    groups: BTreeMap<u128, u8>,
    direct: BTreeMap<u128, BTreeSet<u128>>,
    above: BTreeMap<u128, BTreeSet<u128>>,
    machine: Option<(u128, bool)>,
    gone: BTreeMap<u128, u128>,
}

fn link_text(n: usize) -> String {
    format!("corp:link-{n}")
}

impl Model {
    fn alive(&self, n: u128) -> u128 {
        n + 1000 * self.gone.get(&n).copied().unwrap_or_default()
    }

    /// Notes a step, and says what has to be written; nothing where a sign-in would be of two.
    fn take(&mut self, step: &Step) -> Option<Write> {
        let group = |n: u128| 100 + n;
        Some(match step {
            Step::Person(n, links, active) => {
                let id = self.alive(*n);
                let mut made = person(id, &format!("of-{id}"));
                made.links = links.iter().map(|n| user(&link_text(*n))).collect();
                if self.people.iter().any(|(of, other)| *of != id && !other.links.is_disjoint(&made.links)) {
                    return None;
                }
                made.state = if *active { PersonState::Active } else { PersonState::Deactivated };
                let write = of_person(&made);
                self.people.insert(id, made);
                write
            }
            Step::PersonGone(n) => {
                let id = self.alive(*n);
                self.people.remove(&id)?;
                *self.gone.entry(*n).or_default() += 1;
                gone(RecordKind::Person, person_id(id))
            }
            Step::Group(n, name) => {
                let id = self.alive(group(*n));
                self.groups.insert(id, *name);
                of_group(id, &format!("g{name}"))
            }
            Step::GroupGone(n) => {
                let id = self.alive(group(*n));
                self.groups.remove(&id)?;
                *self.gone.entry(group(*n)).or_default() += 1;
                gone(RecordKind::Group, doorward_model::directory::GroupId::from_u128(id))
            }
            Step::In(n, groups) => {
                let (id, groups) = (self.alive(*n), self.ids(groups));
                self.direct.insert(id, groups.iter().copied().collect());
                in_groups(id, &groups)
            }
            Step::Nested(n, groups) => {
                let (id, groups) = (self.alive(group(*n)), self.ids(groups));
                self.above.insert(id, groups.iter().copied().collect());
                nested(id, &groups)
            }
            Step::Machine(owner, active) => {
                let owner = self.alive(*owner);
                self.machine = Some((owner, *active));
                let mut made = machine(5, owner);
                if !active {
                    let cause = doorward_model::directory::StopCause::Halted;
                    made.state = MachineState::Stopped { cause, since: NOW };
                }
                of_machine(&made)
            }
        })
    }

    fn ids(&self, groups: &BTreeSet<u128>) -> Vec<u128> {
        groups.iter().map(|n| self.alive(100 + n)).collect()
    }

    fn says(&self, link: &str) -> String {
        let Some((id, person)) = self.people.iter().find(|(_, person)| person.links.contains(&user(link)))
        else {
            return "unknown".to_owned();
        };
        let mut found: BTreeSet<u128> = BTreeSet::new();
        let mut open: Vec<u128> = self.direct.get(id).into_iter().flatten().copied().collect();
        while let Some(group) = open.pop() {
            if self.groups.contains_key(&group) && found.insert(group) {
                open.extend(self.above.get(&group).into_iter().flatten());
            }
        }
        let names: BTreeSet<String> = found.iter().map(|group| format!("g{}", self.groups[group])).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(" ");
        format!("{}:  / {names}", person.stage().as_str())
    }

    fn machine_works(&self) -> Option<bool> {
        let (owner, active) = self.machine?;
        Some(active && self.people.get(&owner).is_some_and(Person::admitted))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whoever_follows_and_whoever_starts_know_what_was_written(
        batches in prop::collection::vec(prop::collection::vec(step(), 1..4), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (house, mut model) = (House::new(), Model::default());
            for batch in batches {
                // A batch writes each record once, and the last word counts.
                let mut writes: Vec<Write> = Vec::new();
                for step in &batch {
                    let Some(write) = model.take(step) else { continue };
                    writes.retain(|other| (other.kind, &other.id) != (write.kind, &write.id));
                    writes.push(write);
                }
                if writes.is_empty() {
                    continue;
                }
                // Of a sign-in that changes hands within a batch the store sees the end.
                house.write(writes).await;
                let robot = user("robots:m5");
                let works = |directory: &Directory| {
                    directory.machine_of(&robot).unwrap().map(|known| known.admitted(NOW))
                };
                prop_assert_eq!(works(&house.directory), model.machine_works(), "after {:?}", &batch);
                for n in 0..LINKS {
                    let link = link_text(n);
                    prop_assert_eq!(house.says(&link), model.says(&link), "{} after {:?}", &link, &batch);
                }
            }
            let started = house.started_anew();
            for n in 0..LINKS {
                prop_assert_eq!(started.says(&link_text(n)), model.says(&link_text(n)), "of a start");
            }
            Ok(())
        })?;
    }
}
