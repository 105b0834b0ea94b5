//! What can be looked up of the directory without reading it: who signs in as what, who is in a
//! group, whose machine it is, and what falls due. Built from the records as they come in.
//!
//! Only finding is done here. What is decided is decided on the record itself, with its version.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use doorward_model::directory::{ConnectionId, GroupId, MachineId, NestingError, Origin, Person, PersonId};
use doorward_model::{DeviceId, UnixMillis};
use doorward_state::directory::form::{
    Member, decode_device, decode_group, decode_machine, decode_memberships, decode_person, link_key,
    user_name_key,
};
use doorward_state::{Record, RecordKind, Records, UniqueKey, Version};

use super::timers;

/// Who has a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A person.
    Person(PersonId),
    /// A service account or an agent.
    Machine(MachineId),
}

/// What of a person is looked up by.
struct PersonFacts {
    keys: Vec<UniqueKey>,
    name: String,
    emails: Vec<String>,
    connection: Option<ConnectionId>,
    /// Counts for the share that a connection may take away at once.
    belongs: bool,
    due: Option<UnixMillis>,
    /// Whom the source calls active, and somebody here keeps out.
    disagrees: bool,
}

struct GroupFacts {
    version: Version,
    name: Arc<str>,
}

struct MachineFacts {
    owner: PersonId,
    key: Option<UniqueKey>,
}

/// What a member is directly in, and for each connection how much of that rests on its word.
#[derive(Default)]
struct MemberFacts {
    version: Version,
    groups: Vec<GroupId>,
    said_by: Vec<ConnectionId>,
}

/// How much a connection speaks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// People who belong here on its word.
    pub(super) people: usize,
    /// Memberships that rest on its word.
    pub(super) memberships: usize,
}

#[derive(Default)]
struct Maps {
    people: BTreeMap<PersonId, PersonFacts>,
    keys: HashMap<UniqueKey, Holder>,
    emails: HashMap<String, BTreeSet<PersonId>>,
    names: HashMap<String, BTreeSet<PersonId>>,
    due: BTreeSet<(UnixMillis, PersonId)>,
    groups: BTreeMap<GroupId, GroupFacts>,
    group_names: HashMap<String, GroupId>,
    parents: HashMap<GroupId, BTreeSet<GroupId>>,
    memberships: HashMap<Member, MemberFacts>,
    members: HashMap<GroupId, BTreeSet<Member>>,
    machines: BTreeMap<MachineId, MachineFacts>,
    owned: HashMap<PersonId, BTreeSet<MachineId>>,
    devices: BTreeMap<DeviceId, Option<PersonId>>,
    bound: HashMap<PersonId, BTreeSet<DeviceId>>,
    reach: HashMap<ConnectionId, Reach>,
    /// While the first look goes on: what came in meanwhile is newer than what it finds.
    loading: Option<HashMap<(RecordKind, Arc<str>), Version>>,
}

/// The lookups. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(super) struct View {
    maps: Arc<Mutex<Maps>>,
}

impl View {
    /// Builds it from everything that is there, and keeps it up to date from then on.
    pub(super) fn of(records: &Records) -> Self {
        let maps = Maps { loading: Some(HashMap::new()), ..Maps::default() };
        let view = Self { maps: Arc::new(Mutex::new(maps)) };
        let told = view.clone();
        records.subscribe(Arc::new(move |news: &[Arc<Record>]| {
            let mut maps = told.lock();
            for record in news {
                maps.take(record);
            }
        }));
        for kind in [
            RecordKind::Person,
            RecordKind::Group,
            RecordKind::Membership,
            RecordKind::Machine,
            RecordKind::Device,
        ] {
            records.for_each(kind, |record| view.lock().look(record));
        }
        view.lock().loading = None;
        view
    }

    fn lock(&self) -> MutexGuard<'_, Maps> {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn holder(&self, key: &UniqueKey) -> Option<Holder> {
        self.lock().keys.get(key).copied()
    }

    pub(super) fn with_email(&self, address: &str) -> Vec<PersonId> {
        let address = address.to_lowercase();
        self.lock().emails.get(&address).into_iter().flatten().copied().collect()
    }

    /// Whom any source, an operator or a sign-in calls so, without regard to case.
    pub(super) fn called(&self, user_name: &str) -> Vec<PersonId> {
        let name = user_name.to_lowercase();
        self.lock().names.get(&name).into_iter().flatten().copied().collect()
    }

    /// People behind `after`, in the order of their ids, at most `limit`.
    pub(super) fn people(&self, after: Option<PersonId>, limit: usize) -> Vec<PersonId> {
        page(&self.lock().people, after, limit)
    }

    /// Everybody whom the source calls active, and somebody here keeps out.
    pub(super) fn disagreeing(&self) -> Vec<PersonId> {
        let maps = self.lock();
        maps.people.iter().filter(|(_, facts)| facts.disagrees).map(|(id, _)| *id).collect()
    }

    pub(super) fn people_count(&self) -> usize {
        self.lock().people.len()
    }

    pub(super) fn groups(&self, after: Option<GroupId>, limit: usize) -> Vec<GroupId> {
        page(&self.lock().groups, after, limit)
    }

    pub(super) fn groups_count(&self) -> usize {
        self.lock().groups.len()
    }

    pub(super) fn group_named(&self, name: &str) -> Option<GroupId> {
        self.lock().group_names.get(&name.to_lowercase()).copied()
    }

    pub(super) fn group_beginning(&self, begins: &str) -> Option<GroupId> {
        let begins = begins.to_lowercase();
        let maps = self.lock();
        maps.group_names.iter().find(|(name, _)| name.starts_with(&begins)).map(|(_, id)| *id)
    }

    pub(super) fn group_name(&self, id: GroupId) -> Option<Arc<str>> {
        self.lock().groups.get(&id).map(|facts| Arc::clone(&facts.name))
    }

    pub(super) fn machines(&self, after: Option<MachineId>, limit: usize) -> Vec<MachineId> {
        page(&self.lock().machines, after, limit)
    }

    pub(super) fn owned_by(&self, person: PersonId) -> Vec<MachineId> {
        self.lock().owned.get(&person).into_iter().flatten().copied().collect()
    }

    /// Devices behind `after`, in the order of their ids, at most `limit`.
    pub(super) fn devices(&self, after: Option<&DeviceId>, limit: usize) -> Vec<DeviceId> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let maps = self.lock();
        maps.devices.range::<DeviceId, _>((from, Unbounded)).take(limit).map(|(id, _)| id.clone()).collect()
    }

    /// The devices that belong to a person.
    pub(super) fn bound_to(&self, person: PersonId) -> Vec<DeviceId> {
        self.lock().bound.get(&person).into_iter().flatten().cloned().collect()
    }

    /// Who is directly in a group, in order. People whose record is gone are not.
    pub(super) fn members(&self, group: GroupId) -> Vec<Member> {
        let maps = self.lock();
        let all = maps.members.get(&group).into_iter().flatten().copied();
        all.filter(|member| maps.is_there(*member)).collect()
    }

    /// Everybody whose record says that they are in a group, whether they are there or not.
    pub(super) fn every_member(&self, group: GroupId) -> Vec<Member> {
        self.lock().members.get(&group).into_iter().flatten().copied().collect()
    }

    /// Whether it was told of this version of somebody's memberships, and so of all that was written before.
    pub(super) fn knows_memberships(&self, member: Member, version: Version) -> bool {
        self.lock().memberships.get(&member).is_some_and(|facts| facts.version >= version)
    }

    /// Whether it was told of this version of a group.
    pub(super) fn knows_group(&self, id: GroupId, version: Version) -> bool {
        self.lock().groups.get(&id).is_some_and(|facts| facts.version >= version)
    }

    pub(super) fn is_there(&self, member: Member) -> bool {
        self.lock().is_there(member)
    }

    pub(super) fn reach(&self, connection: &ConnectionId) -> Reach {
        self.lock().reach.get(connection).copied().unwrap_or_default()
    }

    /// Whom a date has come for, the oldest first, at most `limit`, without those who are `put_off`.
    pub(super) fn due(&self, now: UnixMillis, limit: usize, put_off: &BTreeSet<PersonId>) -> Vec<PersonId> {
        let maps = self.lock();
        let come = maps.due.iter().take_while(|(at, _)| *at <= now).map(|(_, person)| *person);
        come.filter(|person| !put_off.contains(person)).take(limit).collect()
    }

    /// Whether everybody who is in one of these direct groups can be told in which groups they are.
    pub(super) fn resolves(&self, direct: impl IntoIterator<Item = GroupId>) -> Result<(), NestingError> {
        let maps = self.lock();
        doorward_model::directory::memberships(direct, |group| maps.parents.get(&group)).map(|_| ())
    }

    /// Whether `child` can be put into `parent`: no circle, and nobody beneath it is in too many groups,
    /// or too deep.
    pub(super) fn can_nest(&self, child: GroupId, parent: GroupId) -> Result<(), Unnestable> {
        let maps = self.lock();
        let above = |group: GroupId| {
            doorward_model::directory::memberships([group], |group| maps.parents.get(&group))
                .map_err(Unnestable::Deep)
        };
        if child == parent || above(parent)?.contains(&child) {
            return Err(Unnestable::Circle);
        }
        let mut parents_of_child = maps.parents.get(&child).cloned().unwrap_or_default();
        parents_of_child.insert(parent);
        // The parent may be only coming to be: then nothing is above it, and it counts all the same.
        let top = BTreeSet::new();
        let nested = |group: GroupId| match maps.parents.get(&group) {
            _ if group == child => Some(&parents_of_child),
            None if group == parent => Some(&top),
            known => known,
        };
        let mut beneath = vec![child];
        let mut seen = BTreeSet::new();
        while let Some(group) = beneath.pop() {
            if !seen.insert(group) {
                continue;
            }
            doorward_model::directory::memberships([group], nested).map_err(Unnestable::Deep)?;
            for member in maps.members.get(&group).into_iter().flatten() {
                match member {
                    Member::Group(group) => beneath.push(*group),
                    Member::Person(_) => {
                        let direct = maps.memberships.get(member).map_or(&[][..], |facts| &facts.groups);
                        doorward_model::directory::memberships(direct.iter().copied(), nested)
                            .map_err(Unnestable::Deep)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Why a group cannot be put into another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unnestable {
    /// It would be in itself.
    Circle,
    /// Somebody would be in too many groups, or too deep.
    Deep(NestingError),
}

fn page<K: Ord + Copy, V>(all: &BTreeMap<K, V>, after: Option<K>, limit: usize) -> Vec<K> {
    use std::ops::Bound::{Excluded, Unbounded};
    let from = after.map_or(Unbounded, Excluded);
    all.range((from, Unbounded)).take(limit).map(|(id, _)| *id).collect()
}

// === impl Maps ===

impl Maps {
    fn is_there(&self, member: Member) -> bool {
        match member {
            Member::Person(id) => self.people.contains_key(&id),
            Member::Group(id) => self.groups.contains_key(&id),
        }
    }

    /// Takes in what the first look finds, unless something newer came in.
    fn look(&mut self, record: &Record) {
        let key = (record.kind, Arc::clone(&record.id));
        let newer = self.loading.as_ref().and_then(|came| came.get(&key));
        if newer.is_none_or(|version| *version < record.version) {
            self.take(record);
        }
    }

    fn take(&mut self, record: &Record) {
        if let Some(came) = &mut self.loading {
            came.insert((record.kind, Arc::clone(&record.id)), record.version);
        }
        let body = record.body.as_deref();
        let taken = match record.kind {
            RecordKind::Person => record.id.parse().ok().map(|id| self.take_person(id, body)),
            RecordKind::Group => record.id.parse().ok().map(|id| self.take_group(id, record.version, body)),
            RecordKind::Membership => Member::parse(&record.id)
                .ok()
                .map(|member| self.take_membership(member, record.version, body)),
            RecordKind::Machine => record.id.parse().ok().map(|id| self.take_machine(id, body)),
            RecordKind::Device => DeviceId::new(&record.id).ok().map(|id| self.take_device(id, body)),
            RecordKind::Document
            | RecordKind::Connection
            | RecordKind::Case
            | RecordKind::Receipt
            | RecordKind::Seen => Some(true),
        };
        if taken != Some(true) {
            let (kind, id) = (record.kind, &record.id);
            tracing::error!(%kind, %id, "a record of the directory cannot be read, so it is not found by what it says");
        }
    }

    /// False when the body cannot be read. Nothing is then found by it.
    fn take_person(&mut self, id: PersonId, body: Option<&[u8]>) -> bool {
        self.forget_person(id);
        let Some(body) = body else { return true };
        let Ok(person) = decode_person(body) else { return false };
        let facts = PersonFacts::of(&person);
        for key in &facts.keys {
            self.keys.insert(key.clone(), Holder::Person(id));
        }
        for email in &facts.emails {
            self.emails.entry(email.clone()).or_default().insert(id);
        }
        self.names.entry(facts.name.clone()).or_default().insert(id);
        if let Some(due) = facts.due {
            self.due.insert((due, id));
        }
        if let Some(connection) = facts.connection.as_ref().filter(|_| facts.belongs) {
            self.reach.entry(connection.clone()).or_default().people += 1;
        }
        self.people.insert(id, facts);
        true
    }

    fn forget_person(&mut self, id: PersonId) {
        let Some(facts) = self.people.remove(&id) else { return };
        for key in &facts.keys {
            if self.keys.get(key) == Some(&Holder::Person(id)) {
                self.keys.remove(key);
            }
        }
        for email in &facts.emails {
            drop_from(&mut self.emails, email, &id);
        }
        drop_from(&mut self.names, &facts.name, &id);
        if let Some(due) = facts.due {
            self.due.remove(&(due, id));
        }
        if let Some(connection) = facts.connection.filter(|_| facts.belongs) {
            let reach = self.reach.entry(connection).or_default();
            reach.people = reach.people.saturating_sub(1);
        }
    }

    fn take_group(&mut self, id: GroupId, version: Version, body: Option<&[u8]>) -> bool {
        if let Some(facts) = self.groups.remove(&id) {
            let name = facts.name.to_lowercase();
            if self.group_names.get(&name) == Some(&id) {
                self.group_names.remove(&name);
            }
            self.parents.remove(&id);
        }
        let Some(body) = body else { return true };
        let Ok(group) = decode_group(body) else { return false };
        self.group_names.insert(group.display_name.to_lowercase(), id);
        self.groups.insert(id, GroupFacts { version, name: group.display_name });
        let parents = self.memberships.get(&Member::Group(id));
        let parents = parents.map(|facts| facts.groups.iter().copied().collect()).unwrap_or_default();
        self.parents.insert(id, parents);
        true
    }

    fn take_membership(&mut self, member: Member, version: Version, body: Option<&[u8]>) -> bool {
        let before = self.memberships.remove(&member).unwrap_or_default();
        for group in &before.groups {
            drop_from(&mut self.members, group, &member);
        }
        for connection in before.said_by {
            let reach = self.reach.entry(connection).or_default();
            reach.memberships = reach.memberships.saturating_sub(1);
        }
        let grants = body.map(decode_memberships);
        let readable = !matches!(grants, Some(Err(_)));
        let mut facts = MemberFacts { version, ..MemberFacts::default() };
        if let Some(Ok(grants)) = grants {
            facts.groups = grants.names().copied().collect();
            for given in grants.iter() {
                if let Origin::Source(connection) = &given.origin {
                    self.reach.entry(connection.clone()).or_default().memberships += 1;
                    facts.said_by.push(connection.clone());
                }
            }
        }
        for group in &facts.groups {
            self.members.entry(*group).or_default().insert(member);
        }
        if let Member::Group(id) = member
            && self.groups.contains_key(&id)
        {
            self.parents.insert(id, facts.groups.iter().copied().collect());
        }
        self.memberships.insert(member, facts);
        readable
    }

    fn take_machine(&mut self, id: MachineId, body: Option<&[u8]>) -> bool {
        if let Some(facts) = self.machines.remove(&id) {
            drop_from(&mut self.owned, &facts.owner, &id);
            if let Some(key) = facts.key.filter(|key| self.keys.get(key) == Some(&Holder::Machine(id))) {
                self.keys.remove(&key);
            }
        }
        let Some(body) = body else { return true };
        let Ok(machine) = decode_machine(body) else { return false };
        let key = link_key(&machine.user).ok();
        if let Some(key) = &key {
            self.keys.insert(key.clone(), Holder::Machine(id));
        }
        self.owned.entry(machine.owner).or_default().insert(id);
        self.machines.insert(id, MachineFacts { owner: machine.owner, key });
        true
    }
}

impl Maps {
    fn take_device(&mut self, id: DeviceId, body: Option<&[u8]>) -> bool {
        if let Some(Some(owner)) = self.devices.remove(&id) {
            drop_from(&mut self.bound, &owner, &id);
        }
        let Some(body) = body else { return true };
        let Ok(device) = decode_device(body) else { return false };
        if let Some(owner) = device.owner {
            self.bound.entry(owner).or_default().insert(id.clone());
        }
        self.devices.insert(id, device.owner);
        true
    }
}

impl PersonFacts {
    fn of(person: &Person) -> Self {
        let name = user_name_key(&person.source, &person.profile.user_name);
        let keys = person.links.iter().map(link_key).chain([name]).filter_map(Result::ok).collect();
        Self {
            keys,
            name: person.profile.user_name.to_lowercase(),
            emails: person.profile.emails.iter().map(|email| email.address.to_lowercase()).collect(),
            connection: person.source.connection().cloned(),
            belongs: person.source_active,
            due: timers::due_at(person),
            disagrees: person.disagrees(),
        }
    }
}

fn drop_from<K: std::hash::Hash + Eq + Clone, V: Ord>(map: &mut HashMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(set) = map.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            map.remove(key);
        }
    }
}
