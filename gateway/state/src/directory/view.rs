//! What is held of each record, and what is made of it when somebody asks.
//!
//! Records come in under one lock that no reader takes. A reader takes a person and their memberships
//! from one place, which is replaced as a whole when everything of a batch is in.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use doorward_model::directory::{
    Device, Grants, GroupId, Machine, MachineId, MachineState, Person, PersonId, PersonState, TokenHash,
    memberships,
};
use doorward_model::{DeviceId, Thumbprint, UserId};
use papaya::{HashMap, ResizeMode};

use super::form::{self, FormError, Member};
use super::known::{KnownMachine, KnownPerson, MoveSubscriber, Moved, Unclear};
use crate::records::{Record, RecordKind, Records};

/// How many people are remembered as they were last judged. One more, and all are made anew: each
/// takes some ten microseconds, and about five KiB.
const KNOWN_MAX: usize = 32_768;

/// Whose sign-in it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Person(PersonId),
    Machine(MachineId),
}

/// A person's records, as one batch left them.
struct Seat {
    person: Arc<Record>,
    memberships: Option<Arc<Record>>,
    links: Arc<[UserId]>,
}

/// A group, read.
struct Place {
    name: Arc<str>,
    parents: BTreeSet<GroupId>,
    unclear: Option<Unclear>,
}

/// A machine, read.
struct Post {
    link: Option<UserId>,
    tokens: Arc<[TokenHash]>,
    machine: Result<Arc<Machine>, Unclear>,
}

/// What was made of a seat, when groups were as of this generation.
struct Made {
    seat: Arc<Seat>,
    generation: u64,
    known: Result<Arc<KnownPerson>, Unclear>,
}

type Map<K, V> = HashMap<K, Arc<V>>;

fn map<K: std::hash::Hash + Eq, V>() -> HashMap<K, V> {
    HashMap::builder().resize_mode(ResizeMode::Blocking).build()
}

pub(super) struct View {
    records: Records,
    links: HashMap<UserId, Who>,
    people: Map<PersonId, Seat>,
    groups: Map<GroupId, Place>,
    machines: Map<MachineId, Post>,
    tokens: HashMap<TokenHash, MachineId>,
    devices: Map<DeviceId, Result<Arc<Device>, Unclear>>,
    certificates: HashMap<Thumbprint, DeviceId>,
    /// Rises after a group changed.
    generation: AtomicU64,
    made: Map<PersonId, Made>,
    made_max: usize,
    /// Held while records come in. Never by a reader.
    order: Mutex<()>,
    subscribers: RwLock<Vec<MoveSubscriber>>,
}

impl View {
    pub(super) fn new(records: Records) -> Self {
        Self::bounded(records, KNOWN_MAX)
    }

    fn bounded(records: Records, made_max: usize) -> Self {
        Self {
            records,
            links: map(),
            people: map(),
            groups: map(),
            machines: map(),
            tokens: map(),
            devices: map(),
            certificates: map(),
            generation: AtomicU64::new(0),
            // Whoever asks writes here, and is not to wait until it has grown.
            made: HashMap::builder().capacity(made_max).resize_mode(ResizeMode::Blocking).build(),
            made_max,
            order: Mutex::new(()),
            subscribers: RwLock::default(),
        }
    }

    pub(super) const fn records(&self) -> &Records {
        &self.records
    }

    pub(super) fn counts(&self) -> [usize; 3] {
        [self.people.len(), self.groups.len(), self.machines.len()]
    }

    // === coming in ===

    /// Takes in every record that is there.
    pub(super) fn take_all_in(&self) {
        for kind in [
            RecordKind::Group,
            RecordKind::Membership,
            RecordKind::Person,
            RecordKind::Machine,
            RecordKind::Device,
        ] {
            let mut all = Vec::new();
            self.records.for_each(kind, |record| all.push(Arc::clone(record)));
            self.take_in(&all);
        }
    }

    /// Takes in what changed, and then says of whom it says something else. What is looked at is what
    /// the records say now: of two who come at once with two versions the last one has the newest
    /// before it.
    pub(super) fn take_in(&self, news: &[Arc<Record>]) {
        let moved = self.take_in_order(news);
        if moved == Moved::default() {
            return;
        }
        let subscribers = self.subscribers.read().unwrap_or_else(PoisonError::into_inner).clone();
        for subscriber in subscribers {
            subscriber(&moved);
        }
    }

    fn take_in_order(&self, news: &[Arc<Record>]) -> Moved {
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let mut moved = Moved::default();
        for record in news {
            match record.kind {
                RecordKind::Person => self.with_id(record, |id| self.seat(id, &mut moved)),
                RecordKind::Group => self.with_id(record, |id| {
                    self.place(id);
                    moved.groups = true;
                }),
                RecordKind::Machine => self.with_id(record, |id| self.post(id, &mut moved)),
                RecordKind::Membership => match Member::parse(&record.id) {
                    Ok(Member::Person(id)) => self.seat(id, &mut moved),
                    Ok(Member::Group(id)) => {
                        self.place(id);
                        moved.groups = true;
                    }
                    Err(why) => complain(&unclear(record, why)),
                },
                RecordKind::Device => self.shelve(record, &mut moved),
                RecordKind::Document
                | RecordKind::Connection
                | RecordKind::Case
                | RecordKind::Receipt
                | RecordKind::Seen => {}
            }
        }
        if moved.groups {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        moved
    }

    fn with_id<T: std::str::FromStr>(&self, record: &Record, then: impl FnOnce(T)) {
        match record.id.parse() {
            Ok(id) => then(id),
            Err(_) => {
                let why = FormError::Field { field: "id", rule: "an id is a UUID in lower case" };
                complain(&unclear(record, why));
            }
        }
    }

    fn seat(&self, id: PersonId, moved: &mut Moved) {
        let people = self.people.pin();
        let before = people.get(&id);
        let had = before.map_or_else(|| Arc::from([]), |seat| Arc::clone(&seat.links));
        moved.people.insert(id);
        moved.links.extend(had.iter().cloned());
        let Some(person) = self.records.get(RecordKind::Person, &id.to_string()) else {
            self.unlink(&had, Who::Person(id), &[]);
            people.remove(&id);
            self.made.pin().remove(&id);
            return;
        };
        let memberships = self.records.get(RecordKind::Membership, &Member::Person(id).record_id());
        let links = match before {
            Some(seat) if Arc::ptr_eq(&seat.person, &person) => Arc::clone(&had),
            Some(_) | None => match read_person(id, &person) {
                Ok(person) => links_of(&person),
                // Whoever signs in as they did is refused, loudly.
                Err(error) => {
                    complain(&error);
                    Arc::clone(&had)
                }
            },
        };
        people.insert(id, Arc::new(Seat { person, memberships, links: Arc::clone(&links) }));
        self.unlink(&had, Who::Person(id), &links);
        let pinned = self.links.pin();
        for link in links.iter() {
            pinned.insert(link.clone(), Who::Person(id));
        }
        moved.links.extend(links.iter().cloned());
    }

    /// Forgets sign-ins that were somebody's, but for those that they keep and those that have become
    /// somebody else's.
    fn unlink(&self, had: &[UserId], whose: Who, kept: &[UserId]) {
        let links = self.links.pin();
        for link in had.iter().filter(|link| !kept.contains(link)) {
            if links.get(link) == Some(&whose) {
                links.remove(link);
            }
        }
    }

    fn place(&self, id: GroupId) {
        let groups = self.groups.pin();
        let Some(record) = self.records.get(RecordKind::Group, &id.to_string()) else {
            groups.remove(&id);
            return;
        };
        let mut place = Place { name: "".into(), parents: BTreeSet::new(), unclear: None };
        match read_group(id, &record) {
            Ok(name) => place.name = name,
            Err(error) => place.unclear = Some(error),
        }
        let above = self.records.get(RecordKind::Membership, &Member::Group(id).record_id());
        match read_memberships(above.as_ref()) {
            Ok(above) => place.parents = above.names().copied().collect(),
            Err(error) => place.unclear = Some(error),
        }
        if let Some(error) = &place.unclear {
            complain(error);
        }
        groups.insert(id, Arc::new(place));
    }

    fn post(&self, id: MachineId, moved: &mut Moved) {
        let (machines, links) = (self.machines.pin(), self.links.pin());
        let whose = Who::Machine(id);
        let had: Vec<UserId> = machines.get(&id).and_then(|post| post.link.clone()).into_iter().collect();
        moved.links.extend(had.iter().cloned());
        let had_tokens = machines.get(&id).map_or_else(|| Arc::from([]), |post| Arc::clone(&post.tokens));
        let Some(record) = self.records.get(RecordKind::Machine, &id.to_string()) else {
            self.unlink(&had, whose, &[]);
            self.forget_tokens(&had_tokens, id, &[]);
            machines.remove(&id);
            return;
        };
        let machine = read_machine(id, &record);
        let tokens: Arc<[TokenHash]> = match &machine {
            Ok(machine) => machine.tokens.iter().map(|token| token.hash).collect(),
            // Whoever shows one of them is refused, loudly.
            Err(_) => Arc::clone(&had_tokens),
        };
        let link = match &machine {
            Ok(machine) if machine.state == MachineState::Deleted => None,
            Ok(machine) => Some(machine.user.clone()),
            Err(error) => {
                complain(error);
                had.first().cloned()
            }
        };
        let post = Post { link: link.clone(), tokens: Arc::clone(&tokens), machine: machine.map(Arc::new) };
        machines.insert(id, Arc::new(post));
        self.forget_tokens(&had_tokens, id, &tokens);
        let pinned = self.tokens.pin();
        for token in tokens.iter() {
            pinned.insert(*token, id);
        }
        self.unlink(&had, whose, link.as_slice());
        if let Some(link) = link {
            moved.links.insert(link.clone());
            links.insert(link, whose);
        }
    }

    /// Tells of what is taken in from now on.
    pub(super) fn subscribe(&self, subscriber: MoveSubscriber) {
        self.subscribers.write().unwrap_or_else(PoisonError::into_inner).push(subscriber);
    }

    fn shelve(&self, record: &Record, moved: &mut Moved) {
        let Ok(id) = DeviceId::new(&record.id) else {
            let why = FormError::Field { field: "id", rule: "a device is named by visible ASCII" };
            return complain(&unclear(record, why));
        };
        let devices = self.devices.pin();
        // Whoever comes with it, be it theirs or not.
        moved.devices.insert(id.clone());
        let had = devices.get(&id).map(Arc::clone);
        let mut has: &[Thumbprint] = &[];
        let record = self.records.get(RecordKind::Device, &record.id);
        let device = record.map(|record| read_device(&id, &record));
        if let Some(Err(error)) = &device {
            complain(error);
        }
        let certificates = self.certificates.pin();
        if let Some(Ok(device)) = &device {
            has = &device.certificates;
            for thumbprint in has {
                certificates.insert(*thumbprint, id.clone());
            }
        }
        for thumbprint in
            certificates_of(had.as_deref()).iter().filter(|thumbprint| !has.contains(thumbprint))
        {
            // It may be another's by now.
            if certificates.get(thumbprint) == Some(&id) {
                certificates.remove(thumbprint);
            }
        }
        match device {
            None => _ = devices.remove(&id),
            Some(device) => _ = devices.insert(id, Arc::new(device.map(Arc::new))),
        }
    }

    fn forget_tokens(&self, had: &[TokenHash], whose: MachineId, kept: &[TokenHash]) {
        let tokens = self.tokens.pin();
        for token in had.iter().filter(|token| !kept.contains(token)) {
            if tokens.get(token) == Some(&whose) {
                tokens.remove(token);
            }
        }
    }

    // === being asked ===

    pub(super) fn who(&self, link: &UserId) -> Option<Who> {
        self.links.pin().get(link).copied()
    }

    pub(super) fn person(&self, id: PersonId) -> Result<Option<Arc<KnownPerson>>, Unclear> {
        // Before anything is looked at: what is made of older groups than these is made anew.
        let generation = self.generation.load(Ordering::Acquire);
        let people = self.people.pin();
        let Some(seat) = people.get(&id) else { return Ok(None) };
        let made = self.made.pin();
        let before = made.get(&id).filter(|made| Arc::ptr_eq(&made.seat, seat));
        if let Some(before) = before
            && before.generation == generation
        {
            return before.known.clone().map(Some);
        }
        let known = self.make(id, seat, before.and_then(|made| made.known.as_ref().ok()));
        if let Err(error) = &known {
            complain(error);
        }
        if made.len() >= self.made_max {
            made.clear();
        }
        made.insert(id, Arc::new(Made { seat: Arc::clone(seat), generation, known: known.clone() }));
        known.map(Some)
    }

    /// Reads a person, and follows their groups. `before` is what was made of the same seat.
    fn make(
        &self,
        id: PersonId,
        seat: &Seat,
        before: Option<&Arc<KnownPerson>>,
    ) -> Result<Arc<KnownPerson>, Unclear> {
        let direct = match before {
            Some(known) => known.person().groups.clone(),
            None => read_memberships(seat.memberships.as_ref())?,
        };
        let groups = self.names(id, &direct)?;
        if let Some(known) = before {
            if *known.groups() == groups {
                return Ok(Arc::clone(known));
            }
            return Ok(Arc::new(KnownPerson::new(known.person().clone(), groups)));
        }
        let mut person = read_person(id, &seat.person)?;
        person.groups = direct;
        Ok(Arc::new(KnownPerson::new(person, groups)))
    }

    fn names(&self, id: PersonId, direct: &Grants<GroupId>) -> Result<BTreeSet<String>, Unclear> {
        let groups = self.groups.pin();
        let above = |group: GroupId| groups.get(&group).map(|place| &place.parents);
        let all = memberships(direct.names().copied(), above)
            .map_err(|why| Unclear::Groups { id: id.to_string(), why })?;
        let mut names = BTreeSet::new();
        for group in all {
            // One that was deleted in this moment is nobody's any more.
            let Some(place) = groups.get(&group) else { continue };
            if let Some(error) = &place.unclear {
                return Err(error.clone());
            }
            names.insert(place.name.as_ref().to_owned());
        }
        Ok(names)
    }

    /// The sign-ins of the machines for which these people answer.
    pub(super) fn machines_of(&self, people: &BTreeSet<PersonId>) -> Vec<UserId> {
        let machines = self.machines.pin();
        let of_them = machines
            .values()
            .filter(|post| post.machine.as_ref().is_ok_and(|machine| people.contains(&machine.owner)));
        of_them.filter_map(|post| post.link.clone()).collect()
    }

    pub(super) fn machine(&self, id: MachineId) -> Result<Option<KnownMachine>, Unclear> {
        let Some(post) = self.machines.pin().get(&id).cloned() else { return Ok(None) };
        let machine = Arc::clone(post.machine.as_ref().map_err(Clone::clone)?);
        let owner = self.person(machine.owner)?;
        Ok(Some(KnownMachine { machine, owner }))
    }

    pub(super) fn device(&self, id: &DeviceId) -> Result<Option<Arc<Device>>, Unclear> {
        self.devices.pin().get(id).map(|device| Result::clone(device)).transpose()
    }

    pub(super) fn device_with_certificate(&self, thumbprint: &Thumbprint) -> Option<DeviceId> {
        self.certificates.pin().get(thumbprint).cloned()
    }

    pub(super) fn with_token(&self, token: &TokenHash) -> Result<Option<KnownMachine>, Unclear> {
        let Some(id) = self.tokens.pin().get(token).copied() else { return Ok(None) };
        // It may have been taken back in this moment.
        Ok(self.machine(id)?.filter(|known| known.token(token).is_some()))
    }
}

// === reading ===

fn unclear(record: &Record, why: FormError) -> Unclear {
    Unclear::Record { kind: record.kind, id: record.id.to_string(), why }
}

fn complain(error: &Unclear) {
    tracing::error!(%error, "the directory is damaged: whom it concerns is refused");
}

fn read<T>(record: &Record, decode: impl FnOnce(&[u8]) -> Result<T, FormError>) -> Result<T, Unclear> {
    decode(record.body.as_deref().unwrap_or_default()).map_err(|why| unclear(record, why))
}

/// What a record says of somebody else makes it a damaged one.
fn same<T: PartialEq>(record: &Record, a: T, b: T) -> Result<(), Unclear> {
    let why = FormError::Field { field: "id", rule: "a body has the id of its record" };
    if a == b { Ok(()) } else { Err(unclear(record, why)) }
}

fn read_person(id: PersonId, record: &Record) -> Result<Person, Unclear> {
    let person = read(record, form::decode_person)?;
    same(record, person.id, id).map(|()| person)
}

fn read_group(id: GroupId, record: &Record) -> Result<Arc<str>, Unclear> {
    let group = read(record, form::decode_group)?;
    same(record, group.id, id).map(|()| group.display_name)
}

fn read_machine(id: MachineId, record: &Record) -> Result<Machine, Unclear> {
    let machine = read(record, form::decode_machine)?;
    same(record, machine.id, id).map(|()| machine)
}

fn certificates_of(device: Option<&Result<Arc<Device>, Unclear>>) -> &[Thumbprint] {
    match device {
        Some(Ok(device)) => &device.certificates,
        Some(Err(_)) | None => &[],
    }
}

fn read_device(id: &DeviceId, record: &Record) -> Result<Device, Unclear> {
    let device = read(record, form::decode_device)?;
    same(record, &device.id, id)?;
    Ok(device)
}

fn read_memberships(record: Option<&Arc<Record>>) -> Result<Grants<GroupId>, Unclear> {
    record.map_or_else(|| Ok(Grants::new()), |record| read(record, form::decode_memberships))
}

fn links_of(person: &Person) -> Arc<[UserId]> {
    if person.state == PersonState::Deleted {
        return Arc::from([]);
    }
    person.links.iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use doorward_model::directory::{Profile, Source};
    use doorward_model::time::Clocks;
    use doorward_model::{KeyPath, UnixMillis};

    use super::*;
    use crate::{Batch, Expected, RevocationSection, Revocations, Write};

    #[tokio::test]
    async fn what_is_remembered_is_bounded_and_nobody_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let (top, section) = (KeyPath::top(), RevocationSection::default());
        let config = section.check(&top, dir.path(), dir.path(), "gw-1", &mut Vec::new()).unwrap();
        let clocks = Clocks { wall: Arc::new(|| UnixMillis(1)), uptime: Arc::new(Default::default) };
        let (revocations, _) = Revocations::open(&config, clocks).unwrap();
        let write = |n: u128| {
            let profile = Profile::named(format!("p{n}"));
            let id = PersonId::from_u128(n);
            let person = Person::new(id, Source::Local, PersonState::Active, profile, UnixMillis(1));
            let (body, keys) = form::encode_person(&person).unwrap();
            let (kind, expected) = (RecordKind::Person, Expected::Any);
            Write { kind, id: id.to_string().into(), expected, body: Some(body.into()), keys }
        };
        let batch = Batch { writes: (0..20).map(write).collect(), changes: Vec::new() };
        revocations.commit(batch).await.unwrap();
        let view = View::bounded(revocations.records(), 8);
        view.take_all_in();
        for n in (0..20).chain(0..20) {
            let known = view.person(PersonId::from_u128(n)).unwrap().unwrap();
            assert_eq!(known.person().profile.user_name, format!("p{n}"));
            assert!(view.made.len() <= 8, "{}", view.made.len());
        }
        assert_eq!(view.counts(), [20, 0, 0]);
    }
}
