//! Reading: records with their versions for whoever decides, and people, groups and machines for whoever
//! looks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use doorward_model::directory::{
    Grants, Group, GroupId, Machine, MachineId, Person, PersonId, PersonState, Profile, Source,
};
use doorward_model::{UnixMillis, UserId};
use doorward_state::directory::form::{
    FormError, Member, decode_group, decode_machine, decode_memberships, decode_person, link_key,
    user_name_key,
};
use doorward_state::{Expected, Record, RecordKind, UniqueKey, Version};

use super::answer::Failed;
use super::plan::bad;
use super::view::{Holder, View};
use super::{Inner, Lifecycle};

/// The longest page of a list.
pub const PAGE_MAX: usize = 1000;
/// The longest name of a group, in bytes.
pub const GROUP_NAME_BYTES_MAX: usize = 256;

/// How often the lookups are looked at until they have caught up, and how long it is waited in between.
const CATCH_UP_LOOKS_MAX: u32 = 400;
const CATCH_UP_EVERY: Duration = Duration::from_millis(5);

/// Where something is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The copy in memory, which may be a moment old: what is decided on it is checked by the store.
    Memory,
    /// The store.
    Disk,
}

/// A person as somebody decides on them: with everything that must not change meanwhile.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) person: Arc<Person>,
    pub(super) version: Version,
    /// The record of their memberships.
    pub(super) membership: Expected,
}

/// Something with the version of its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Versioned<T> {
    pub(super) it: T,
    pub(super) version: Version,
}

fn damaged(record: &Record, error: &FormError) -> Failed {
    Failed::Damaged { kind: record.kind, id: record.id.to_string(), why: error.to_string() }
}

/// The key of a group's name. Policies know a group by its name, so two of one name would be one to them.
pub(super) fn group_key(name: &str) -> Result<UniqueKey, Failed> {
    let fits = !name.trim().is_empty() && name.len() <= GROUP_NAME_BYTES_MAX;
    let key = fits.then(|| UniqueKey::new(&format!("group:{}", name.to_lowercase())).ok()).flatten();
    key.ok_or_else(|| Failed::Bad {
        field: "display_name",
        what: format!("must have 1 to {GROUP_NAME_BYTES_MAX} bytes and no control characters"),
    })
}

impl Inner {
    /// A record, a tombstone too. What memory does not have may be a tombstone, so the store is asked.
    pub(super) async fn record(
        &self,
        kind: RecordKind,
        id: &str,
        place: Place,
    ) -> Result<Option<Arc<Record>>, Failed> {
        if place == Place::Memory
            && let Some(record) = self.records.get(kind, id)
        {
            return Ok(Some(record));
        }
        Ok(self.ports.revocations.record(kind, id).await?.map(Arc::new))
    }

    /// The memberships of a member, and how the record stands. One that is not in memory is not there: nobody
    /// deletes one.
    pub(super) async fn memberships(
        &self,
        member: Member,
        place: Place,
    ) -> Result<(Grants<GroupId>, Expected), Failed> {
        let id = member.record_id();
        let record = match place {
            Place::Memory => self.records.get(RecordKind::Membership, &id),
            Place::Disk => self.record(RecordKind::Membership, &id, place).await?,
        };
        let Some(record) = record else { return Ok((Grants::new(), Expected::Absent)) };
        let Some(body) = &record.body else { return Ok((Grants::new(), Expected::Absent)) };
        let grants = decode_memberships(body).map_err(|error| damaged(&record, &error))?;
        Ok((grants, Expected::Version(record.version)))
    }

    /// A person, also one who is deleted. The memberships are read first: who leaves writes the person before
    /// them, so that whoever sees new memberships sees the person who belongs to them.
    pub(super) async fn read(&self, id: PersonId, place: Place) -> Result<Option<Read>, Failed> {
        let (groups, membership) = self.memberships(Member::Person(id), place).await?;
        let Some(record) = self.record(RecordKind::Person, &id.to_string(), place).await? else {
            return Ok(None);
        };
        let person = match &record.body {
            Some(body) => {
                let mut person = decode_person(body).map_err(|error| damaged(&record, &error))?;
                person.groups = groups;
                person
            }
            None => tombstone(id),
        };
        Ok(Some(Read { person: Arc::new(person), version: record.version, membership }))
    }

    pub(super) async fn read_group(
        &self,
        id: GroupId,
        place: Place,
    ) -> Result<Option<Versioned<Group>>, Failed> {
        let Some(record) = self.record(RecordKind::Group, &id.to_string(), place).await? else {
            return Ok(None);
        };
        let Some(body) = &record.body else { return Ok(None) };
        let mut it = decode_group(body).map_err(|error| damaged(&record, &error))?;
        let (parents, _) = self.memberships(Member::Group(id), place).await?;
        it.parents = parents.names().copied().collect();
        Ok(Some(Versioned { it, version: record.version }))
    }

    pub(super) async fn read_machine(
        &self,
        id: MachineId,
        place: Place,
    ) -> Result<Option<Versioned<Machine>>, Failed> {
        let Some(record) = self.record(RecordKind::Machine, &id.to_string(), place).await? else {
            return Ok(None);
        };
        let Some(body) = &record.body else { return Ok(None) };
        let it = decode_machine(body).map_err(|error| damaged(&record, &error))?;
        Ok(Some(Versioned { it, version: record.version }))
    }

    /// Waits until the lookups have caught up with what was read, as they come a moment after the records,
    /// and after those of another process a little longer. A store that nobody follows any more is not
    /// waited for.
    pub(super) async fn caught_up(&self, has: impl Fn(&View) -> bool) {
        if has(&self.view) {
            return;
        }
        if let Err(error) = self.ports.revocations.catch_up().await {
            tracing::warn!(%error, "it cannot be read what other processes wrote to the directory");
        }
        for _ in 0..CATCH_UP_LOOKS_MAX {
            if has(&self.view) {
                return;
            }
            tokio::time::sleep(CATCH_UP_EVERY).await;
        }
        tracing::warn!("the lookups of the directory are behind what is stored");
    }

    /// The machines that a person answers for. Whoever gives them one writes their memberships after it, so
    /// none is missing as soon as those are known.
    pub(super) async fn owned(&self, read: &Read, place: Place) -> Result<Vec<Versioned<Machine>>, Failed> {
        let person = read.person.id;
        if let Expected::Version(version) = read.membership {
            self.caught_up(|view| view.knows_memberships(Member::Person(person), version)).await;
        }
        let mut owned = Vec::new();
        for id in self.view.owned_by(person) {
            if let Some(machine) = self.read_machine(id, place).await?
                && machine.it.owner == person
            {
                owned.push(machine);
            }
        }
        Ok(owned)
    }

    /// Who signs in so.
    pub(super) async fn holder(&self, sign_in: &UserId, place: Place) -> Result<Option<Holder>, Failed> {
        let key = link_key(sign_in).map_err(bad)?;
        if place == Place::Memory {
            return Ok(self.view.holder(&key));
        }
        let Some(record) = self.ports.revocations.record_by_key(&key).await? else { return Ok(None) };
        let wrong = || Failed::Damaged {
            kind: record.kind,
            id: record.id.to_string(),
            why: "nobody of this kind signs in".to_owned(),
        };
        match record.kind {
            RecordKind::Person => record.id.parse().map(|id| Some(Holder::Person(id))).map_err(|_| wrong()),
            RecordKind::Machine => record.id.parse().map(|id| Some(Holder::Machine(id))).map_err(|_| wrong()),
            RecordKind::Membership
            | RecordKind::Group
            | RecordKind::Device
            | RecordKind::Document
            | RecordKind::Connection
            | RecordKind::Case
            | RecordKind::Receipt
            | RecordKind::Seen => Err(wrong()),
        }
    }
}

/// What is left of somebody who is deleted.
fn tombstone(id: PersonId) -> Person {
    let profile = Profile::named(String::new());
    let mut person = Person::new(id, Source::Local, PersonState::Deleted, profile, UnixMillis::default());
    person.source_active = false;
    person
}

/// Looking: from memory, without I/O, unless it says otherwise.
impl Lifecycle {
    /// A person with the version of their record. None for one who is deleted.
    ///
    /// # Errors
    /// When what is stored cannot be read.
    pub async fn person(&self, id: PersonId) -> Result<Option<(Arc<Person>, Version)>, Failed> {
        if self.inner.records.get(RecordKind::Person, &id.to_string()).is_none() {
            return Ok(None);
        }
        let read = self.inner.read(id, Place::Memory).await?;
        let known = read.filter(|read| read.person.state != PersonState::Deleted);
        Ok(known.map(|read| (read.person, read.version)))
    }

    /// The person whom a source calls so, without regard to case (RFC 7643 §4.1.1).
    #[must_use]
    pub fn find_user_name(&self, source: &Source, user_name: &str) -> Option<PersonId> {
        match self.inner.view.holder(&user_name_key(source, user_name).ok()?)? {
            Holder::Person(person) => Some(person),
            Holder::Machine(_) => None,
        }
    }

    /// The person or the machine that signs in so.
    #[must_use]
    pub fn find_sign_in(&self, sign_in: &UserId) -> Option<Holder> {
        self.inner.view.holder(&link_key(sign_in).ok()?)
    }

    /// Everybody whom a source, an operator or a sign-in calls so, without regard to case.
    #[must_use]
    pub(crate) fn find_called(&self, user_name: &str) -> Vec<PersonId> {
        self.inner.view.called(user_name)
    }

    /// A group whose name begins so, without regard to case, if there is one.
    #[must_use]
    pub fn find_group_beginning(&self, begins: &str) -> Option<GroupId> {
        self.inner.view.group_beginning(begins)
    }

    /// What the organization allows when people join.
    pub(crate) fn rules(&self) -> &crate::machine::Rules {
        &self.inner.settings.rules
    }

    /// Everybody who has this address, verified or not. It says where to write to, never who someone is.
    #[must_use]
    pub fn find_email(&self, address: &str) -> Vec<PersonId> {
        self.inner.view.with_email(address)
    }

    /// People behind `after`, in the order of their ids, which is that of their coming: whoever joins while
    /// somebody turns pages comes on the last one. At most [`PAGE_MAX`].
    #[must_use]
    pub fn people(&self, after: Option<PersonId>, limit: usize) -> Vec<PersonId> {
        self.inner.view.people(after, limit.min(PAGE_MAX))
    }

    /// How many people there are, without those who are deleted.
    #[must_use]
    pub fn people_count(&self) -> usize {
        self.inner.view.people_count()
    }

    /// A group with the version of its record.
    ///
    /// # Errors
    /// When what is stored cannot be read.
    pub async fn group(&self, id: GroupId) -> Result<Option<(Group, Version)>, Failed> {
        if self.inner.view.group_name(id).is_none() {
            return Ok(None);
        }
        let read = self.inner.read_group(id, Place::Memory).await?;
        Ok(read.map(|group| (group.it, group.version)))
    }

    /// The group of this name, without regard to case.
    #[must_use]
    pub fn find_group(&self, name: &str) -> Option<GroupId> {
        self.inner.view.group_named(name)
    }

    /// Groups behind `after`, in the order of their ids. At most [`PAGE_MAX`].
    #[must_use]
    pub fn groups(&self, after: Option<GroupId>, limit: usize) -> Vec<GroupId> {
        self.inner.view.groups(after, limit.min(PAGE_MAX))
    }

    /// How many groups there are.
    #[must_use]
    pub fn groups_count(&self) -> usize {
        self.inner.view.groups_count()
    }

    /// Everybody, and every group, that is directly in a group.
    #[must_use]
    pub fn members(&self, group: GroupId) -> BTreeSet<Member> {
        self.inner.view.members(group).into_iter().collect()
    }

    /// A machine with the version of its record.
    ///
    /// # Errors
    /// When what is stored cannot be read.
    pub async fn machine(&self, id: MachineId) -> Result<Option<(Machine, Version)>, Failed> {
        let Some(record) = self.inner.records.get(RecordKind::Machine, &id.to_string()) else {
            return Ok(None);
        };
        let Some(body) = &record.body else { return Ok(None) };
        let machine = decode_machine(body).map_err(|error| damaged(&record, &error))?;
        Ok(Some((machine, record.version)))
    }

    /// Machines behind `after`, in the order of their ids. At most [`PAGE_MAX`].
    #[must_use]
    pub fn machines(&self, after: Option<MachineId>, limit: usize) -> Vec<MachineId> {
        self.inner.view.machines(after, limit.min(PAGE_MAX))
    }

    /// The machines that a person answers for.
    #[must_use]
    pub fn owned_by(&self, person: PersonId) -> Vec<MachineId> {
        self.inner.view.owned_by(person)
    }
}
