//! One person, from joining to the tombstone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::given::Grants;
use super::id::{ConnectionId, GroupId, PersonId, RoleName, StreamName};
use super::profile::{Profile, ProfileField};
use crate::lifecycle::LifecycleStage;
use crate::principal::{IssuerId, User, UserId};
use crate::resource::AppId;
use crate::time::UnixMillis;

/// Who made a person or a group known, and speaks for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// This gateway: an operator invited them, or they signed up here.
    Local,
    /// A SCIM connection provisions them.
    Scim(ConnectionId),
    /// They signed in for the first time at this issuer.
    SignIn(IssuerId),
}

impl Source {
    /// The connection, if one provisions them.
    #[must_use]
    pub const fn connection(&self) -> Option<&ConnectionId> {
        match self {
            Self::Scim(connection) => Some(connection),
            Self::Local | Self::SignIn(_) => None,
        }
    }
}

/// Who can hold someone back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HoldOrigin {
    /// An operator. All operators are one.
    Operator,
    /// A stream of signals.
    Signal(StreamName),
}

/// Somebody said that a person must not get in, whatever the source says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Who, by name.
    pub by: Arc<str>,
    /// Why, in their words.
    pub cause: Arc<str>,
    /// Since when.
    pub since: UnixMillis,
    /// Who may lift it: this origin, and any operator.
    pub origin: HoldOrigin,
}

/// Where a person stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersonState {
    /// An operator invited them; they have not come yet.
    Invited,
    /// They signed up; their e-mail address is not proved yet.
    PendingVerification,
    /// Known, and not let in yet: the source says so, or the first day has not come.
    Staged,
    /// Let in, if the source agrees and nobody holds them back.
    Active,
    /// Kept out for a while, by the machine or an operator.
    Locked {
        /// When the lock ends by itself.
        until: UnixMillis,
    },
    /// Kept out until whoever said so, or an operator, takes it back.
    Suspended(Hold),
    /// Has left. Can return under the same id.
    Deactivated,
    /// Gone for ever: only the id is left.
    Deleted,
}

impl PersonState {
    /// The state without what belongs to it.
    #[must_use]
    pub const fn kind(&self) -> StateKind {
        match self {
            Self::Invited => StateKind::Invited,
            Self::PendingVerification => StateKind::PendingVerification,
            Self::Staged => StateKind::Staged,
            Self::Active => StateKind::Active,
            Self::Locked { .. } => StateKind::Locked,
            Self::Suspended(_) => StateKind::Suspended,
            Self::Deactivated => StateKind::Deactivated,
            Self::Deleted => StateKind::Deleted,
        }
    }
}

/// The name of a [`PersonState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateKind {
    /// See [`PersonState::Invited`].
    Invited,
    /// See [`PersonState::PendingVerification`].
    PendingVerification,
    /// See [`PersonState::Staged`].
    Staged,
    /// See [`PersonState::Active`].
    Active,
    /// See [`PersonState::Locked`].
    Locked,
    /// See [`PersonState::Suspended`].
    Suspended,
    /// See [`PersonState::Deactivated`].
    Deactivated,
    /// See [`PersonState::Deleted`].
    Deleted,
}

impl StateKind {
    /// Every state, from joining to the end.
    pub const ALL: [Self; 8] = [
        Self::Invited,
        Self::PendingVerification,
        Self::Staged,
        Self::Active,
        Self::Locked,
        Self::Suspended,
        Self::Deactivated,
        Self::Deleted,
    ];

    /// The word for it in the API, the store and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::PendingVerification => "pending_verification",
            Self::Staged => "staged",
            Self::Active => "active",
            Self::Locked => "locked",
            Self::Suspended => "suspended",
            Self::Deactivated => "deactivated",
            Self::Deleted => "deleted",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// How far the case is that a leaving opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Offboarding {
    /// They never left.
    #[default]
    None,
    /// They left, and it is not proved yet that nothing of theirs goes on.
    Open,
    /// It is proved.
    Verified,
    /// The case is closed: done, or they returned.
    Closed,
}

impl Offboarding {
    /// Every step, in order.
    pub const ALL: [Self; 4] = [Self::None, Self::Open, Self::Verified, Self::Closed];

    /// The word for it in the API, the store and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Open => "open",
            Self::Verified => "verified",
            Self::Closed => "closed",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == word)
    }
}

/// Whose hand did something, without the name of who moved it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hand {
    /// An operator.
    Operator,
    /// A SCIM connection.
    Source(ConnectionId),
    /// A stream of signals.
    Signal(StreamName),
    /// The person.
    Person,
    /// The gateway itself: a date came, a threshold was passed.
    System,
}

/// When and by whose hand a person was deactivated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Whose hand.
    pub by: Hand,
    /// When.
    pub at: UnixMillis,
}

/// What an operator changed by hand in someone whom a connection provisions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Edited {
    /// A field was set.
    Field(ProfileField),
    /// A role that the source gave was taken away.
    Role(RoleName),
    /// The person was taken out of a group that the source put them into.
    Group(GroupId),
    /// An app that the source gave was taken away.
    App(AppId),
}

/// Who edited something, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The operator.
    pub by: Arc<str>,
    /// When.
    pub at: UnixMillis,
}

/// A person of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Their id, for ever.
    pub id: PersonId,
    /// The sign-ins that are theirs.
    pub links: BTreeSet<UserId>,
    /// Who speaks for them.
    pub source: Source,
    /// The connection that an operator hands them over to, until it makes them known itself.
    pub offered_to: Option<ConnectionId>,
    /// What the source says: they belong here. Always true where no connection provisions them.
    pub source_active: bool,
    /// Where they stand.
    pub state: PersonState,
    /// Who holds them back: at most one hold of each origin.
    pub holds: Vec<Hold>,
    /// How far the case of their last leaving is.
    pub offboarding: Offboarding,
    /// What is said of them now.
    pub profile: Profile,
    /// What the source said, where an operator changed fields since. `None`: the same.
    pub said: Option<Box<Profile>>,
    /// What an operator changed by hand, until the source overrides it.
    pub edits: BTreeMap<Edited, Edit>,
    /// Their roles.
    pub roles: Grants<RoleName>,
    /// The groups that they are directly in.
    pub groups: Grants<GroupId>,
    /// The apps that were granted to them. Whether a grant opens an app is for policies to say.
    pub apps: Grants<AppId>,
    /// For each hand, the time of its latest word that took access away, by the clock of that
    /// hand. An older word of the same hand gives none back.
    pub taken_as_of: BTreeMap<Hand, UnixMillis>,
    /// When an invitation or an unproved sign-up ends.
    pub expires_at: Option<UnixMillis>,
    /// When they came into the directory.
    pub created_at: UnixMillis,
    /// When anything of them was last changed.
    pub changed_at: UnixMillis,
    /// When they last left, also after they returned.
    pub left: Option<Left>,
    /// When they last returned. A sign-in before it proves nothing any more.
    pub returned_at: Option<UnixMillis>,
}

impl Person {
    /// Somebody new, of whom nothing else is known yet.
    #[must_use]
    pub const fn new(
        id: PersonId,
        source: Source,
        state: PersonState,
        profile: Profile,
        now: UnixMillis,
    ) -> Self {
        Self {
            id,
            links: BTreeSet::new(),
            source,
            offered_to: None,
            source_active: true,
            state,
            holds: Vec::new(),
            offboarding: Offboarding::None,
            profile,
            said: None,
            edits: BTreeMap::new(),
            roles: Grants::new(),
            groups: Grants::new(),
            apps: Grants::new(),
            taken_as_of: BTreeMap::new(),
            expires_at: None,
            created_at: now,
            changed_at: now,
            left: None,
            returned_at: None,
        }
    }

    /// Whether the person has access at all: they are active, the source says so, and nobody holds
    /// them back.
    #[must_use]
    pub fn admitted(&self) -> bool {
        self.state == PersonState::Active && self.source_active && self.holds.is_empty()
    }

    /// Where the person stands, in the words of policies. `active` exactly while they are
    /// [admitted](Self::admitted).
    #[must_use]
    pub fn stage(&self) -> LifecycleStage {
        match self.state.kind() {
            StateKind::Deactivated | StateKind::Deleted => LifecycleStage::Deactivated,
            StateKind::Locked | StateKind::Suspended => LifecycleStage::Suspended,
            StateKind::Invited | StateKind::PendingVerification | StateKind::Staged | StateKind::Active
                if !self.holds.is_empty() =>
            {
                LifecycleStage::Suspended
            }
            StateKind::Invited | StateKind::PendingVerification | StateKind::Staged => {
                LifecycleStage::Preboarding
            }
            StateKind::Active if self.source_active => LifecycleStage::Active,
            StateKind::Active => LifecycleStage::Deactivated,
        }
    }

    /// The hold of this origin, if it holds them back.
    #[must_use]
    pub fn hold_of(&self, origin: &HoldOrigin) -> Option<&Hold> {
        self.holds.iter().find(|hold| hold.origin == *origin)
    }

    /// Whether the source says that the person belongs here, while somebody here says that they
    /// must not get in. Where it lasts, the two should talk.
    #[must_use]
    pub fn disagrees(&self) -> bool {
        let kept_out = match self.state.kind() {
            StateKind::Suspended | StateKind::Deactivated => true,
            StateKind::Deleted => return false,
            StateKind::Invited
            | StateKind::PendingVerification
            | StateKind::Staged
            | StateKind::Active
            | StateKind::Locked => !self.holds.is_empty(),
        };
        kept_out && self.source_active && self.source.connection().is_some()
    }

    /// The person as one who asks, signed in as `link`: what policies are told. `groups` are the
    /// names of all groups that they are in, nested ones counted ([`super::memberships`]).
    #[must_use]
    pub fn as_user(&self, link: UserId, groups: BTreeSet<String>) -> User {
        let profile = &self.profile;
        User {
            id: link,
            name: profile.name.clone(),
            email: profile.verified_email().map(ToOwned::to_owned),
            groups,
            roles: self.roles.names().map(|role| role.as_str().to_owned()).collect(),
            stage: self.stage(),
            employment: profile.employment,
            contract_end: profile.contract_end,
            home_country: profile.home_country,
            department: profile.department.clone(),
            tags: profile.tags.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold() -> Hold {
        Hold { by: "ann".into(), cause: "".into(), since: UnixMillis(1), origin: HoldOrigin::Operator }
    }

    fn states() -> Vec<PersonState> {
        vec![
            PersonState::Invited,
            PersonState::PendingVerification,
            PersonState::Staged,
            PersonState::Active,
            PersonState::Locked { until: UnixMillis(9) },
            PersonState::Suspended(hold()),
            PersonState::Deactivated,
            PersonState::Deleted,
        ]
    }

    fn person(state: PersonState) -> Person {
        let profile = Profile::named("alice".to_owned());
        Person::new(PersonId::from_u128(7), Source::Local, state, profile, UnixMillis(1))
    }

    #[test]
    fn access_needs_the_state_the_source_and_no_hold() {
        let mut admitted = 0;
        for state in states() {
            for (source_active, held) in [(true, false), (true, true), (false, false), (false, true)] {
                let mut person = person(state.clone());
                person.source_active = source_active;
                person.holds = if held { vec![hold()] } else { Vec::new() };
                assert_eq!(person.admitted(), person.stage() == LifecycleStage::Active, "{person:?}");
                admitted += usize::from(person.admitted());
            }
        }
        assert_eq!(admitted, 1);
    }

    #[test]
    fn states_and_steps_have_words() {
        assert_eq!(states().iter().map(PersonState::kind).collect::<Vec<_>>(), StateKind::ALL);
        for kind in StateKind::ALL {
            assert_eq!(StateKind::parse(kind.as_str()), Some(kind));
        }
        for step in Offboarding::ALL {
            assert_eq!(Offboarding::parse(step.as_str()), Some(step));
        }
    }

    #[test]
    fn policies_are_told_what_the_directory_knows() {
        let mut person = person(PersonState::Active);
        person.profile.department = Some("sales".to_owned());
        person.profile.tags.insert("cost".to_owned(), "42".to_owned());
        for origin in [super::super::Origin::Default, super::super::Origin::Operator("ann".into())] {
            let what = RoleName::new("staff").unwrap();
            person.roles.give(super::super::Given { what, origin, since: UnixMillis(1) });
        }
        let user = person.as_user("corp:alice".parse().unwrap(), BTreeSet::from(["Everybody".to_owned()]));
        assert_eq!(user.stage, LifecycleStage::Active);
        assert_eq!(user.roles, BTreeSet::from(["staff".to_owned()]));
        assert_eq!(user.groups, BTreeSet::from(["Everybody".to_owned()]));
        assert_eq!((user.department.as_deref(), user.tags.len()), (Some("sales"), 1));
    }
}
