//! The answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_model::directory::{Machine, MachineToken, NestingError, Person, PersonId, TokenHash};
use doorward_model::{AppId, DeviceId, LifecycleStage, Principal, UnixMillis, User, UserId};

use super::form::FormError;
use crate::records::RecordKind;

/// Why it cannot be told by what somebody is to be judged. Whoever it concerns is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// A record cannot be read.
    #[error("the record of {kind} `{id}` cannot be read: {why}")]
    Record {
        /// Of which kind.
        kind: RecordKind,
        /// Which one.
        id: String,
        /// Why.
        why: FormError,
    },
    /// Groups cannot be followed to their end.
    #[error("the groups of person `{id}` cannot be told: {why}")]
    Groups {
        /// Whose groups.
        id: String,
        /// Why.
        why: NestingError,
    },
}

/// Of whom the directory says something else than before, or may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// People whose record or memberships changed.
    pub people: BTreeSet<PersonId>,
    /// The sign-ins that were theirs before or are now, and those of machines that changed.
    pub links: BTreeSet<UserId>,
    /// Devices that changed: this concerns whoever comes with one of them.
    pub devices: BTreeSet<DeviceId>,
    /// A group, or what it is in, changed: this concerns everybody below it, who are not named.
    pub groups: bool,
}

/// Told of changes after the next answer has them. It must not block: whoever waits for the
/// acknowledgment of a change waits for it.
pub type MoveSubscriber = Arc<dyn Fn(&Moved) + Send + Sync>;

/// A person, as policies are told of them.
#[derive(Debug, PartialEq, Eq)]
pub struct KnownPerson {
    person: Person,
    principals: Box<[(UserId, Arc<Principal>)]>,
    /// The names of the groups of somebody who has no sign-in; everybody else's stand in the principals.
    unsigned: BTreeSet<String>,
}

impl KnownPerson {
    /// `groups` are the names of all of them, nested ones counted.
    pub(super) fn new(person: Person, groups: BTreeSet<String>) -> Self {
        let as_principal = |link: &UserId| {
            let user = person.as_user(link.clone(), groups.clone());
            (link.clone(), Arc::new(Principal::User(user)))
        };
        let principals: Box<[_]> = person.links.iter().map(as_principal).collect();
        let unsigned = if principals.is_empty() { groups } else { BTreeSet::new() };
        Self { person, principals, unsigned }
    }

    /// The person, with the groups that they are directly in.
    #[must_use]
    pub const fn person(&self) -> &Person {
        &self.person
    }

    /// The names of all groups that they are in, nested ones counted.
    #[must_use]
    pub fn groups(&self) -> &BTreeSet<String> {
        match self.principals.first().map(|(_, principal)| &**principal) {
            Some(Principal::User(user)) => &user.groups,
            Some(Principal::ServiceAccount(_) | Principal::Agent(_) | Principal::Visitor(_)) | None => {
                &self.unsigned
            }
        }
    }

    /// The person as one who asks, signed in as `link`. One `Arc` for as long as nothing changes.
    #[must_use]
    pub fn principal(&self, link: &UserId) -> Option<&Arc<Principal>> {
        self.principals.iter().find(|(of, _)| of == link).map(|(_, principal)| principal)
    }

    /// The same, for whoever acts in their name.
    #[must_use]
    pub fn user(&self, link: &UserId) -> Option<&User> {
        match self.principal(link).map(|principal| &**principal) {
            Some(Principal::User(user)) => Some(user),
            Some(Principal::ServiceAccount(_) | Principal::Agent(_) | Principal::Visitor(_)) | None => None,
        }
    }

    /// See [`Person::admitted`].
    #[must_use]
    pub fn admitted(&self) -> bool {
        self.person.admitted()
    }

    /// See [`Person::stage`].
    #[must_use]
    pub fn stage(&self) -> LifecycleStage {
        self.person.stage()
    }

    /// Whether an app was granted to them.
    #[must_use]
    pub fn has_app(&self, app: &AppId) -> bool {
        self.person.apps.has(app)
    }
}

/// A machine, and the person who answers for it, of one moment each.
#[derive(Clone, Debug)]
pub struct KnownMachine {
    pub(super) machine: Arc<Machine>,
    pub(super) owner: Option<Arc<KnownPerson>>,
}

impl KnownMachine {
    /// The machine. One `Arc` for as long as it does not change.
    #[must_use]
    pub const fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    /// One of its tokens.
    #[must_use]
    pub fn token(&self, hash: &TokenHash) -> Option<&MachineToken> {
        self.machine.tokens.iter().find(|token| token.hash == *hash)
    }

    /// The person who answers for it; `None` where the directory does not know them any more.
    #[must_use]
    pub const fn owner(&self) -> Option<&Arc<KnownPerson>> {
        self.owner.as_ref()
    }

    /// Where its owner stands: unknown, where nobody knows the owner.
    #[must_use]
    pub fn owner_stage(&self) -> LifecycleStage {
        self.owner.as_ref().map_or(LifecycleStage::Unknown, |owner| owner.stage())
    }

    /// See [`Machine::admitted`].
    #[must_use]
    pub fn admitted(&self, now: UnixMillis) -> bool {
        self.machine.admitted(now, self.owner_admitted())
    }

    /// See [`Machine::stage`].
    #[must_use]
    pub fn stage(&self, now: UnixMillis) -> LifecycleStage {
        self.machine.stage(now, self.owner_admitted())
    }

    fn owner_admitted(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.admitted())
    }
}
