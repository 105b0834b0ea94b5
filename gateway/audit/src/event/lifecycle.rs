//! A life changed: somebody joined, moved, left or returned, and what was done about it.
//!
//! People are Account Change (3001), their sign-ins Authentication (3002), who is in a group is Group
//! Management (3006), and what else the directory holds Entity Management (3004). Activities that a
//! class does not have are its Other (99), under their own name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use doorward_model::{LifecycleStage, UnixMillis, UserId};

use super::block::{ChangeOut, LifecycleOut};
use super::wire::{
    ActorOut, Class, Entity, GroupOut, Head, Iso, Line, Named, Severity, Status, UserOut, Who,
};
use crate::trail::{Protocol, cut};

/// How much of one text is recorded, in bytes.
const TEXT_BYTES_MAX: usize = 512;
/// How much of what differs is recorded, and how much of what it was and is, in bytes.
const WHAT_BYTES_MAX: usize = 128;
const VALUE_BYTES_MAX: usize = 384;
/// How much of an id is recorded, in bytes. Ours have 36.
const ID_BYTES_MAX: usize = 48;
/// How many changes are recorded one by one; how many there were is said.
const CHANGES_MAX: usize = 24;
/// How many members one event names. Whoever tells of more tells it in several events.
pub const LIFECYCLE_MEMBERS_MAX: usize = 256;
const PROFILES: &[&str] = &["datetime"];

const fn account(activity: u32, activity_name: &'static str) -> Class {
    Class { category: 3, class: 3001, class_name: "Account Change", activity, activity_name }
}

const fn sign_in(activity: u32, activity_name: &'static str) -> Class {
    Class { category: 3, class: 3002, class_name: "Authentication", activity, activity_name }
}

const fn entity(activity: u32, activity_name: &'static str) -> Class {
    Class { category: 3, class: 3004, class_name: "Entity Management", activity, activity_name }
}

const fn group(activity: u32, activity_name: &'static str) -> Class {
    Class { category: 3, class: 3006, class_name: "Group Management", activity, activity_name }
}

/// The codes: the variant, its word, and its class with the activity.
macro_rules! codes {
    ($($name:ident $word:literal $class:ident $number:literal $activity:literal),+ $(,)?) => {
        /// What happened. The words of Okta's System Log where it has one for it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum LifecycleCode {
            $(#[doc = concat!("`", $word, "`")] $name,)+
        }

        impl LifecycleCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The `metadata.event_code`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }

            const fn class(self) -> Class {
                match self {
                    $(Self::$name => $class($number, $activity),)+
                }
            }
        }
    };
}

codes! {
    Intended "directory.change.intended" entity 99 "Intend",
    UserCreate "user.lifecycle.create" account 1 "Create",
    UserActivate "user.lifecycle.activate" account 2 "Enable",
    UserReactivate "user.lifecycle.reactivate" account 2 "Enable",
    UserSuspend "user.lifecycle.suspend" account 5 "Disable",
    UserUnsuspend "user.lifecycle.unsuspend" account 2 "Enable",
    UserDeactivate "user.lifecycle.deactivate" account 5 "Disable",
    UserDeleteInitiated "user.lifecycle.delete.initiated" account 6 "Delete",
    UserDeleteCompleted "user.lifecycle.delete.completed" account 6 "Delete",
    UserDenied "user.lifecycle.denied" account 99 "Deny",
    UserVerify "user.account.verify" account 99 "Verify",
    UserLock "user.account.lock" account 9 "Lock",
    UserUnlock "user.account.unlock" account 12 "Unlock",
    UserUnlockByAdmin "user.account.unlock_by_admin" account 12 "Unlock",
    UserUpdateProfile "user.account.update_profile" account 99 "Update",
    UserOverride "user.account.override" account 99 "Update",
    UserPrivilegeGrant "user.account.privilege.grant" account 99 "Assign Roles",
    UserPrivilegeRevoke "user.account.privilege.revoke" account 99 "Remove Roles",
    InvitationCreate "user.invitation.create" account 1 "Create",
    InvitationRevoke "user.invitation.revoke" account 6 "Delete",
    GroupMemberAdd "group.user_membership.add" group 3 "Add User",
    GroupMemberRemove "group.user_membership.remove" group 4 "Remove User",
    AppAdd "application.user_membership.add" account 99 "Assign Roles",
    AppRemove "application.user_membership.remove" account 99 "Remove Roles",
    HoldSet "user.security_hold.set" account 5 "Disable",
    HoldClear "user.security_hold.clear" account 2 "Enable",
    SessionClear "user.session.clear" sign_in 2 "Logoff",
    SignInLink "user.sign_in.link" account 99 "Update",
    SignInUnlink "user.sign_in.unlink" account 99 "Update",
    UserHandOver "user.account.hand_over" account 99 "Update",
    UserTakeOver "user.account.take_over" account 99 "Update",
    OffboardingOpen "offboarding.open" entity 1 "Create",
    OffboardingItem "offboarding.item" entity 3 "Update",
    OffboardingVerify "offboarding.verify" entity 3 "Update",
    OffboardingReopen "offboarding.reopen" entity 3 "Update",
    OffboardingClose "offboarding.close" entity 3 "Update",
    OffboardingReturn "offboarding.return" entity 3 "Update",
    GroupCreate "group.lifecycle.create" group 6 "Create",
    GroupDelete "group.lifecycle.delete" group 5 "Delete",
    GroupRename "group.profile.update" group 99 "Update",
    GroupNest "group.subgroup.add" group 99 "Add Subgroup",
    GroupUnnest "group.subgroup.remove" group 99 "Remove Subgroup",
    MachineCreate "machine.lifecycle.create" entity 1 "Create",
    MachineStart "machine.lifecycle.start" entity 8 "Enable",
    MachineStop "machine.lifecycle.stop" entity 9 "Disable",
    MachineDelete "machine.lifecycle.delete" entity 4 "Delete",
    MachineOwner "machine.owner.change" entity 3 "Update",
    MachineTokenCreate "machine.credential.create" entity 3 "Update",
    MachineTokenRevoke "machine.credential.revoke" entity 3 "Update",
    DeviceCreate "device.lifecycle.create" entity 1 "Create",
    DeviceUpdate "device.lifecycle.update" entity 3 "Update",
    DeviceUnblock "device.lifecycle.unblock" entity 8 "Enable",
    DeviceBlock "device.lifecycle.block" entity 9 "Disable",
    DeviceDelete "device.lifecycle.delete" entity 4 "Delete",
    SyncHalted "directory.sync.halted" entity 99 "Halt",
    SyncReleased "directory.sync.released" entity 99 "Release",
    SignalTaken "signal.taken" entity 99 "Take Signal",
    SignalRefused "signal.refused" entity 99 "Refuse Signal",
}

/// Whom or what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A person, by the id of the directory. `None` where nobody is known.
    Person(Option<Arc<str>>),
    /// A group.
    Group {
        /// Its id.
        id: Arc<str>,
        /// Its name, as policies know it.
        name: Option<Arc<str>>,
    },
    /// A service account or an agent.
    Machine {
        /// Its id.
        id: Arc<str>,
        /// Under which name it signs in.
        user: UserId,
    },
    /// A device, as tokens name it.
    Device(Arc<str>),
    /// An offboarding case.
    Case {
        /// Its id.
        id: Arc<str>,
        /// Whose.
        person: Arc<str>,
    },
    /// A SCIM connection.
    Connection(Arc<str>),
    /// Who sends signals: a stream, a provider that logs out, a caller of global token revocation, a webhook.
    Sender(Arc<str>),
}

/// Whose hand it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByKind {
    /// An operator.
    Operator,
    /// A SCIM connection.
    Source,
    /// A stream of signals.
    Signal,
    /// The person.
    Person,
    /// The gateway: a date came.
    System,
}

impl ByKind {
    /// The word for it in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Source => "source",
            Self::Signal => "signal",
            Self::Person => "person",
            Self::System => "system",
        }
    }
}

/// Whether it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifecycleOutcome {
    /// It is in force and saved.
    Done,
    /// It gives access, and so is on record before it happens. What became of it, later events say.
    Intended,
    /// It was asked for and is not allowed.
    Denied,
    /// It was decided, and could not be saved. What of it takes access away is in force on this node.
    NotSaved,
}

impl LifecycleOutcome {
    /// The word for it in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Intended => "intended",
            Self::Denied => "denied",
            Self::NotSaved => "not_saved",
        }
    }
}

/// One thing that is different now, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecycleDifference {
    /// What.
    pub what: String,
    /// What it was. Empty: nothing.
    pub before: String,
    /// What it is. Empty: nothing.
    pub after: String,
    /// The operator whose work was overridden.
    pub set_by: Option<Arc<str>>,
}

/// A life changed, or somebody asked for it in vain.
#[derive(Clone, Debug)]
pub struct LifecycleChange {
    /// What happened.
    pub code: LifecycleCode,
    /// To whom.
    pub about: About,
    /// Whose hand it was.
    pub by: ByKind,
    /// The name of that hand.
    pub by_name: String,
    /// Why, in their words.
    pub cause: String,
    /// The request that asked for it.
    pub request_id: Option<Arc<str>>,
    /// Whether it happened.
    pub outcome: LifecycleOutcome,
    /// What was asked for, as a word.
    pub command: &'static str,
    /// The row of the table of `docs/reference/lifecycle.md`. Empty where there is none.
    pub edge: &'static str,
    /// Who speaks for the person or the group: `local`, `scim:okta`, ... Empty where nobody is known.
    pub source: String,
    /// Where the person stands now.
    pub stage: Option<LifecycleStage>,
    /// What is different.
    pub changes: Vec<LifecycleDifference>,
    /// The members of a group that it is about: at most [`LIFECYCLE_MEMBERS_MAX`] are named.
    pub members: Vec<Arc<str>>,
    /// When the hand says that it happened, where it says so.
    pub asserted_at: Option<UnixMillis>,
    /// The ids of the revocations that it made.
    pub revocations: Vec<Arc<str>>,
    /// The running exchanges that were ended, by protocol.
    pub ended: Vec<(Protocol, u64)>,
    /// What stands in the way, and what can be done.
    pub why: Option<String>,
    /// Whether access was taken away: then it is written where on a full disk nothing else is.
    pub takes_away: bool,
}

pub(super) fn change(
    head: &Head<'_>,
    change: &LifecycleChange,
    out: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    let (severity, status) = match change.outcome {
        LifecycleOutcome::Denied | LifecycleOutcome::NotSaved => (Severity::Medium, Status::Failure),
        LifecycleOutcome::Done if change.takes_away => (Severity::Medium, Status::Success),
        LifecycleOutcome::Done | LifecycleOutcome::Intended => (Severity::Informational, Status::Success),
    };
    let class = class(change);
    let metadata = head.metadata("lifecycle", PROFILES, change.request_id.as_deref());
    let mut line = Line::new(head, metadata, class, severity, status, true);
    line.actor = Some(actor(change));
    line.status_detail = change.why.as_deref().map(text);
    line.message = Some(sentence(change));
    match (class.class, &change.about) {
        (3001 | 3002, _) => line.user = Some(user(change)),
        (3006, About::Group { id, name }) => {
            line.group = Some(GroupOut { uid: text(id), name: name.as_deref().map(text) });
        }
        (_, about) => line.entity = Some(managed(about)),
    }
    if class.class == 3002 {
        line.service = Some(Named { name: "doorward" });
    }
    let block = &mut line.unmapped.doorward;
    block.stage = change.stage.map(LifecycleStage::as_str);
    block.lifecycle = Some(LifecycleOut {
        outcome: change.outcome.as_str(),
        by: change.by.as_str(),
        command: change.command,
        edge: (!change.edge.is_empty()).then_some(change.edge),
        source: (!change.source.is_empty()).then(|| text(&change.source)),
        cause: (!change.cause.is_empty()).then(|| text(&change.cause)),
        asserted_at: change.asserted_at.map(Iso),
        changes: change.changes.iter().take(CHANGES_MAX).map(difference).collect(),
        changes_total: change.changes.len(),
        members: change.members.iter().take(LIFECYCLE_MEMBERS_MAX).map(|id| cut(id, ID_BYTES_MAX)).collect(),
        members_total: (!change.members.is_empty()).then_some(change.members.len()),
        person: match &change.about {
            About::Case { person, .. } => Some(text(person)),
            About::Person(_)
            | About::Group { .. }
            | About::Machine { .. }
            | About::Device(_)
            | About::Connection(_)
            | About::Sender(_) => None,
        },
        revocations: change.revocations.iter().take(CHANGES_MAX).map(|id| cut(id, ID_BYTES_MAX)).collect(),
        connections_closed: change.ended.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count)),
        connections_by_protocol: by_protocol(&change.ended),
    });
    line.write(out)
}

/// A class that needs something which the event is not about becomes Entity Management.
const fn class(change: &LifecycleChange) -> Class {
    let class = change.code.class();
    let fits = match &change.about {
        About::Person(_) => class.class == 3001 || class.class == 3002,
        About::Group { .. } => class.class == 3006,
        About::Machine { .. }
        | About::Device(_)
        | About::Case { .. }
        | About::Connection(_)
        | About::Sender(_) => class.class == 3004,
    };
    if fits { class } else { entity(99, class.activity_name) }
}

fn difference(difference: &LifecycleDifference) -> ChangeOut<'_> {
    ChangeOut {
        what: cut(&difference.what, WHAT_BYTES_MAX),
        before: cut(&difference.before, VALUE_BYTES_MAX),
        after: cut(&difference.after, VALUE_BYTES_MAX),
        set_by: difference.set_by.as_deref().map(|name| cut(name, WHAT_BYTES_MAX)),
    }
}

fn actor(change: &LifecycleChange) -> ActorOut<'_> {
    let app_name = match change.by {
        ByKind::Operator => "operator-api",
        ByKind::Source => "scim",
        ByKind::Signal => "signals",
        ByKind::Person => "sign-in",
        ByKind::System => "doorward",
    };
    let (type_id, kind) = match change.by {
        ByKind::Operator => (2, "Admin"),
        ByKind::Person => (1, "User"),
        ByKind::Source | ByKind::Signal | ByKind::System => (3, "System"),
    };
    let user = UserOut {
        uid: None,
        name: Some(text(&change.by_name)),
        full_name: None,
        type_id,
        kind: Some(kind),
        groups: Vec::new(),
    };
    ActorOut { app_name: Some(app_name), user: Some(user), session: None }
}

fn user(change: &LifecycleChange) -> UserOut<'_> {
    let (uid, name) = match &change.about {
        About::Person(Some(id)) => (Some(Who::Person(id)), None),
        About::Person(None) => (None, Some("nobody who is known")),
        About::Group { .. }
        | About::Machine { .. }
        | About::Device(_)
        | About::Case { .. }
        | About::Connection(_)
        | About::Sender(_) => (None, None),
    };
    UserOut { uid, name, full_name: None, type_id: 1, kind: Some("User"), groups: Vec::new() }
}

fn managed(about: &About) -> Entity<'_> {
    let (uid, name, type_id, kind) = match about {
        About::Person(id) => (id.as_deref(), Some("a person"), 2, "User"),
        About::Group { id, name } => (Some(&**id), name.as_deref(), 3, "Group"),
        About::Machine { id, .. } => (Some(&**id), None, 99, "Machine"),
        About::Device(id) => (Some(&**id), None, 1, "Device"),
        About::Case { id, .. } => (Some(&**id), None, 99, "Offboarding Case"),
        About::Connection(name) => (Some(&**name), None, 99, "Connection"),
        About::Sender(name) => (Some(&**name), None, 99, "Sender of Signals"),
    };
    Entity { uid: uid.map(Cow::Borrowed), name: name.map(text), type_id, kind, version: None }
}

fn sentence(change: &LifecycleChange) -> String {
    let whom = match &change.about {
        About::Person(Some(id)) => format!("person {id}"),
        About::Person(None) => "nobody who is known".to_owned(),
        About::Group { id, .. } => format!("group {id}"),
        About::Machine { id, user } => format!("machine {id} ({user})"),
        About::Device(id) => format!("device {id}"),
        About::Case { id, person } => format!("case {id} of person {person}"),
        About::Connection(name) => format!("connection {name}"),
        About::Sender(name) => format!("sender {name}"),
    };
    let (by, command) = (text(&change.by_name), change.command);
    match change.outcome {
        LifecycleOutcome::Done => format!("{by} asked for {command}: {whom}"),
        LifecycleOutcome::Intended => format!("{by} asks for {command}: {whom}"),
        LifecycleOutcome::Denied => format!("{by} asked for {command} in vain: {whom}"),
        LifecycleOutcome::NotSaved => format!("{by} asked for {command}, and it is not saved: {whom}"),
    }
}

fn by_protocol(ended: &[(Protocol, u64)]) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for (protocol, count) in ended.iter().filter(|(_, count)| *count > 0) {
        let sum = counts.entry(protocol.as_str()).or_insert(0_u64);
        *sum = sum.saturating_add(*count);
    }
    counts
}

fn text(text: &str) -> &str {
    cut(text, TEXT_BYTES_MAX)
}
