//! Whom a connection made known: its people and groups in the order of their ids, in memory, kept up by
//! the records as they come in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use doorward_model::directory::{ConnectionId, Grants, GroupId, Origin, PersonId, PersonState, Source};
use doorward_state::directory::form::{Member, decode_group, decode_memberships, decode_person};
use doorward_state::{Record, RecordKind, Records, Version};

/// Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct Roster {
    known: Arc<RwLock<Known>>,
    records: Records,
}

#[derive(Default)]
struct Known {
    people: BTreeMap<ConnectionId, BTreeSet<PersonId>>,
    groups: BTreeMap<ConnectionId, BTreeMap<GroupId, Arc<str>>>,
    /// What each record put into the above, and of which version it was.
    of_person: HashMap<PersonId, (Version, Option<ConnectionId>)>,
    of_group: HashMap<GroupId, (Version, Option<ConnectionId>)>,
}

impl Roster {
    /// Reads all records, and hears of every other from now on.
    pub(crate) fn follow(records: &Records) -> Self {
        let roster = Self { known: Arc::default(), records: records.clone() };
        let hears = Arc::clone(&roster.known);
        records.subscribe(Arc::new(move |news| {
            let mut known = hears.write().unwrap_or_else(PoisonError::into_inner);
            news.iter().for_each(|record| known.hear(record));
        }));
        for kind in [RecordKind::Person, RecordKind::Group] {
            let mut all = Vec::new();
            records.for_each(kind, |record| all.push(Arc::clone(record)));
            let mut known = roster.known.write().unwrap_or_else(PoisonError::into_inner);
            all.iter().for_each(|record| known.hear(record));
        }
        roster
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many people a connection made known, and the ids of some of them, in order.
    pub(crate) fn people(
        &self,
        connection: &ConnectionId,
        skip: usize,
        count: usize,
    ) -> (usize, Vec<String>) {
        let known = self.known();
        let Some(all) = known.people.get(connection) else { return (0, Vec::new()) };
        (all.len(), all.iter().skip(skip).take(count).map(ToString::to_string).collect())
    }

    /// The same of its groups.
    pub(crate) fn groups(
        &self,
        connection: &ConnectionId,
        skip: usize,
        count: usize,
    ) -> (usize, Vec<String>) {
        let known = self.known();
        let Some(all) = known.groups.get(connection) else { return (0, Vec::new()) };
        (all.len(), all.keys().skip(skip).take(count).map(ToString::to_string).collect())
    }

    /// Whether the connection speaks for this member.
    pub(crate) fn has(&self, connection: &ConnectionId, member: Member) -> bool {
        let known = self.known();
        match member {
            Member::Person(id) => known.people.get(connection).is_some_and(|all| all.contains(&id)),
            Member::Group(id) => known.groups.get(connection).is_some_and(|all| all.contains_key(&id)),
        }
    }

    /// The name of a group of the connection.
    pub(crate) fn group_name(&self, connection: &ConnectionId, id: GroupId) -> Option<Arc<str>> {
        self.known().groups.get(connection)?.get(&id).cloned()
    }

    /// Which groups somebody is directly in.
    pub(crate) fn groups_of(&self, member: Member) -> Vec<GroupId> {
        self.grants(member).names().copied().collect()
    }

    /// Whether it is the connection by whose word somebody is in a group.
    pub(crate) fn put_in(&self, connection: &ConnectionId, member: Member, group: GroupId) -> bool {
        self.grants(member).has_from(&group, &Origin::Source(connection.clone()))
    }

    fn grants(&self, member: Member) -> Grants<GroupId> {
        let record = self.records.get(RecordKind::Membership, &member.record_id());
        let body = record.as_ref().and_then(|record| record.body.as_deref());
        body.and_then(|body| decode_memberships(body).ok()).unwrap_or_default()
    }
}

impl Known {
    /// Takes in a record. One that cannot be read leaves nothing behind that may be wrong.
    fn hear(&mut self, record: &Record) {
        let body = record.body.as_deref();
        match record.kind {
            RecordKind::Person => {
                let Ok(id) = record.id.parse::<PersonId>() else { return };
                let person = body.and_then(|body| decode_person(body).ok());
                let person = person.filter(|person| person.state != PersonState::Deleted);
                self.person(id, record.version, person.and_then(|person| connection(&person.source)));
            }
            RecordKind::Group => {
                let Ok(id) = record.id.parse::<GroupId>() else { return };
                let group = body.and_then(|body| decode_group(body).ok());
                let named = group.and_then(|group| Some((connection(&group.source)?, group.display_name)));
                self.group(id, record.version, named);
            }
            RecordKind::Membership
            | RecordKind::Machine
            | RecordKind::Device
            | RecordKind::Document
            | RecordKind::Connection
            | RecordKind::Case
            | RecordKind::Receipt
            | RecordKind::Seen => {}
        }
    }

    fn person(&mut self, id: PersonId, version: Version, connection: Option<ConnectionId>) {
        if self.of_person.get(&id).is_some_and(|(known, _)| *known >= version) {
            return;
        }
        if let Some((_, Some(old))) = self.of_person.remove(&id)
            && let Some(people) = self.people.get_mut(&old)
        {
            people.remove(&id);
        }
        if let Some(connection) = &connection {
            self.people.entry(connection.clone()).or_default().insert(id);
        }
        self.of_person.insert(id, (version, connection));
    }

    fn group(&mut self, id: GroupId, version: Version, named: Option<(ConnectionId, Arc<str>)>) {
        if self.of_group.get(&id).is_some_and(|(known, _)| *known >= version) {
            return;
        }
        if let Some((_, Some(old))) = self.of_group.remove(&id)
            && let Some(groups) = self.groups.get_mut(&old)
        {
            groups.remove(&id);
        }
        let connection = named.as_ref().map(|(connection, _)| connection.clone());
        if let Some((connection, name)) = named {
            self.groups.entry(connection).or_default().insert(id, name);
        }
        self.of_group.insert(id, (version, connection));
    }
}

fn connection(source: &Source) -> Option<ConnectionId> {
    source.connection().cloned()
}
