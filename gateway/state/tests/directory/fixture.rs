//! A directory in a folder of its own, and short words for what a test writes into it.

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_model::directory::{
    Device, Given, Grants, Group, GroupId, Machine, MachineId, MachineKind, MachineState, Origin, Person,
    PersonId, PersonState, Profile, RoleName, Source,
};
use doorward_model::time::Clocks;
use doorward_model::{DeviceId, KeyPath, Target, UnixMillis, UserId};
use doorward_state::directory::Directory;
use doorward_state::directory::form::{self, Member};
use doorward_state::{
    Action, Batch, Change, CommitError, Committed, Expected, RecordKind, RevocationSection, Revocations,
    Write,
};

pub(crate) const NOW: UnixMillis = UnixMillis(1_795_262_400_400);

pub(crate) struct House {
    _dir: tempfile::TempDir,
    pub(crate) revocations: Revocations,
    pub(crate) directory: Directory,
}

impl House {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut complaints = Vec::new();
        let section = RevocationSection::default();
        let config = section.check(&KeyPath::top(), dir.path(), dir.path(), "gw-1", &mut complaints).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test owns a clock")]
        let began = std::time::Instant::now();
        let clocks = Clocks { wall: Arc::new(|| NOW), uptime: Arc::new(move || began.elapsed()) };
        let (revocations, _) = Revocations::open(&config, clocks).unwrap();
        let directory = Directory::new(revocations.records());
        Self { _dir: dir, revocations, directory }
    }

    /// The same, with a directory that reads everything from the start.
    pub(crate) fn started_anew(self) -> Self {
        Self { directory: Directory::new(self.revocations.records()), ..self }
    }

    pub(crate) async fn write(&self, writes: Vec<Write>) {
        self.commit(writes, Vec::new()).await.unwrap();
    }

    pub(crate) async fn commit(
        &self,
        writes: Vec<Write>,
        changes: Vec<Change>,
    ) -> Result<Committed, CommitError> {
        self.revocations.commit(Batch { writes, changes }).await
    }

    /// What the directory says of a sign-in: `stage: roles / groups`, or why not.
    pub(crate) fn says(&self, link: &str) -> String {
        match self.directory.person_of(&user(link)) {
            Ok(None) => "unknown".to_owned(),
            Err(error) => format!("unclear: {error}"),
            Ok(Some(known)) => {
                let user = known.user(&user(link)).unwrap();
                let words = |all: &BTreeSet<String>| all.iter().cloned().collect::<Vec<_>>().join(" ");
                format!("{}: {} / {}", user.stage.as_str(), words(&user.roles), words(&user.groups))
            }
        }
    }
}

pub(crate) fn user(link: &str) -> UserId {
    link.parse().unwrap()
}

pub(crate) const fn person_id(n: u128) -> PersonId {
    PersonId::from_u128(n)
}

/// An active person with the sign-in `corp:<name>`.
pub(crate) fn person(n: u128, name: &str) -> Person {
    let profile = Profile::named(name.to_owned());
    let mut person = Person::new(person_id(n), Source::Local, PersonState::Active, profile, NOW);
    person.links.insert(user(&format!("corp:{name}")));
    person
}

pub(crate) fn with_role(mut person: Person, role: &str) -> Person {
    let what = RoleName::new(role).unwrap();
    person.roles.give(Given { what, origin: Origin::Default, since: NOW });
    person
}

fn write(kind: RecordKind, id: String, body: Option<Vec<u8>>) -> Write {
    Write { kind, id: id.into(), expected: Expected::Any, body: body.map(Into::into), keys: Vec::new() }
}

pub(crate) fn of_person(person: &Person) -> Write {
    let (body, keys) = form::encode_person(person).unwrap();
    Write { keys, ..write(RecordKind::Person, person.id.to_string(), Some(body)) }
}

pub(crate) fn gone(kind: RecordKind, id: impl ToString) -> Write {
    write(kind, id.to_string(), None)
}

pub(crate) fn raw(kind: RecordKind, id: impl ToString, body: &str) -> Write {
    write(kind, id.to_string(), Some(body.as_bytes().to_vec()))
}

pub(crate) fn of_group(n: u128, name: &str) -> Write {
    let id = GroupId::from_u128(n);
    let group = Group {
        id,
        display_name: name.into(),
        parents: BTreeSet::new(),
        source: Source::Local,
        created_at: NOW,
        changed_at: NOW,
    };
    write(RecordKind::Group, id.to_string(), Some(form::encode_group(&group).unwrap()))
}

fn members(member: Member, groups: &[u128]) -> Write {
    let mut grants = Grants::new();
    for group in groups {
        grants.give(Given { what: GroupId::from_u128(*group), origin: Origin::Default, since: NOW });
    }
    let body = form::encode_memberships(&grants).unwrap();
    write(RecordKind::Membership, member.record_id(), Some(body))
}

/// Somebody is directly in these groups, and in no other.
pub(crate) fn in_groups(person: u128, groups: &[u128]) -> Write {
    members(Member::Person(person_id(person)), groups)
}

/// A group is directly in these groups.
pub(crate) fn nested(group: u128, above: &[u128]) -> Write {
    members(Member::Group(GroupId::from_u128(group)), above)
}

pub(crate) fn machine(n: u128, owner: u128) -> Machine {
    Machine {
        id: MachineId::from_u128(n),
        user: user(&format!("robots:m{n}")),
        kind: MachineKind::ServiceAccount,
        name: "backup".to_owned(),
        purpose: "to test".to_owned(),
        owner: person_id(owner),
        scopes: BTreeSet::new(),
        state: MachineState::Active,
        expires_at: UnixMillis(i64::MAX),
        created_at: NOW,
        tokens: Vec::new(),
    }
}

pub(crate) fn of_machine(machine: &Machine) -> Write {
    let (body, keys) = form::encode_machine(machine).unwrap();
    Write { keys, ..write(RecordKind::Machine, machine.id.to_string(), Some(body)) }
}

/// A device of somebody's.
pub(crate) fn of_device(id: &str, owner: Option<u128>) -> Write {
    let device = Device {
        id: DeviceId::new(id).unwrap(),
        owner: owner.map(person_id),
        name: "a laptop".to_owned(),
        platform: None,
        certificates: Vec::new(),
        posture: None,
        blocked: None,
        created_at: NOW,
    };
    write(RecordKind::Device, id.to_owned(), Some(form::encode_device(&device).unwrap()))
}

pub(crate) fn change(link: &str, action: Action) -> Change {
    Change {
        target: Target::User(user(link)),
        action,
        cause: "a test".to_owned(),
        actor: "operator".to_owned(),
        request_id: "r-1".to_owned(),
    }
}
