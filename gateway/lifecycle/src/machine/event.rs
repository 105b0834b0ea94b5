//! What the log tells of a change.

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_model::directory::{Edited, Grants, Hold, Person, PersonState, ProfileField, Source, StateKind};

use super::edge::Edge;

/// What an event counts as, in the words of OCSF. Which number that is depends on the version of
/// OCSF, and is for `audit` to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Activity {
    /// Create.
    Create,
    /// Update.
    Update,
    /// Delete.
    Delete,
    /// Enable.
    Enable,
    /// Disable.
    Disable,
    /// Lock.
    Lock,
    /// Unlock.
    Unlock,
    /// Assign Roles.
    AssignRoles,
    /// Remove Roles.
    RemoveRoles,
    /// Add User, of the class Group Management.
    AddUser,
    /// Remove User, of the class Group Management.
    RemoveUser,
    /// Logoff, of the class Authentication.
    Logoff,
    /// Other.
    Other,
}

impl Activity {
    /// OCSF's own word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "Create",
            Self::Update => "Update",
            Self::Delete => "Delete",
            Self::Enable => "Enable",
            Self::Disable => "Disable",
            Self::Lock => "Lock",
            Self::Unlock => "Unlock",
            Self::AssignRoles => "Assign Roles",
            Self::RemoveRoles => "Remove Roles",
            Self::AddUser => "Add User",
            Self::RemoveUser => "Remove User",
            Self::Logoff => "Logoff",
            Self::Other => "Other",
        }
    }
}

/// The names of events: the variant, its word, and its activity.
macro_rules! event_names {
    ($($name:ident $word:literal $activity:ident),+ $(,)?) => {
        /// The name of an event. Where Okta's System Log has a name for it, that one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventName {
            $(#[doc = concat!("`", $word, "`")] $name,)+
        }

        impl EventName {
            /// Every name.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name in the log.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }

            /// What it counts as.
            #[must_use]
            pub const fn activity(self) -> Activity {
                match self {
                    $(Self::$name => Activity::$activity,)+
                }
            }
        }
    };
}

event_names! {
    Create "user.lifecycle.create" Create,
    Activate "user.lifecycle.activate" Enable,
    Reactivate "user.lifecycle.reactivate" Enable,
    Suspend "user.lifecycle.suspend" Disable,
    Unsuspend "user.lifecycle.unsuspend" Enable,
    Deactivate "user.lifecycle.deactivate" Disable,
    DeleteInitiated "user.lifecycle.delete.initiated" Delete,
    DeleteCompleted "user.lifecycle.delete.completed" Delete,
    Denied "user.lifecycle.denied" Other,
    Verify "user.account.verify" Update,
    Lock "user.account.lock" Lock,
    Unlock "user.account.unlock" Unlock,
    UnlockByAdmin "user.account.unlock_by_admin" Unlock,
    UpdateProfile "user.account.update_profile" Update,
    Override "user.account.override" Update,
    PrivilegeGrant "user.account.privilege.grant" AssignRoles,
    PrivilegeRevoke "user.account.privilege.revoke" RemoveRoles,
    InvitationCreate "user.invitation.create" Create,
    InvitationRevoke "user.invitation.revoke" Delete,
    GroupAdd "group.user_membership.add" AddUser,
    GroupRemove "group.user_membership.remove" RemoveUser,
    AppAdd "application.user_membership.add" AssignRoles,
    AppRemove "application.user_membership.remove" RemoveRoles,
    HoldSet "user.security_hold.set" Disable,
    HoldClear "user.security_hold.clear" Enable,
    SessionClear "user.session.clear" Logoff,
    Link "user.sign_in.link" Update,
    Unlink "user.sign_in.unlink" Update,
    HandOver "user.account.hand_over" Update,
    TakeOver "user.account.take_over" Update,
    OffboardingVerify "offboarding.verify" Update,
    OffboardingClose "offboarding.close" Update,
}

/// One thing that is different now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// What: `state`, `profile.department`, `roles`, ...
    pub what: String,
    /// What it was, in words; of a set, what is not in it any more. Empty: nothing.
    pub before: String,
    /// What it is; of a set, what came into it. Empty: nothing.
    pub after: String,
    /// The operator whose work the source overrides.
    pub set_by: Option<Arc<str>>,
}

/// One event of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub name: EventName,
    /// What is different: of an override, what was overridden; else everything. The last event of a
    /// deletion says nothing of what the person was, so that the log keeps the id and no more.
    pub changes: Vec<Changed>,
}

/// The events of a step, in the order of its row.
pub(super) fn of(before: Option<&Person>, after: &Person, edge: &Edge) -> Vec<Event> {
    let all = differences(before, after);
    let event = |name: &EventName| {
        let is_override = *name == EventName::Override;
        let changes = if is_override { overridden(before, after, &all) } else { all.clone() };
        Event { name: *name, changes }
    };
    edge.events.iter().map(event).collect()
}

/// What an operator had done by hand and is not so any more.
fn overridden(before: Option<&Person>, after: &Person, all: &[Changed]) -> Vec<Changed> {
    let Some(before) = before else { return Vec::new() };
    let gone = before.edits.iter().filter(|(edited, _)| !after.edits.contains_key(*edited));
    let fields = gone.filter_map(|(edited, edit)| {
        let what = edited_text(edited);
        let field = match edited {
            Edited::Field(_) => what.as_str(),
            Edited::Role(_) => "roles",
            Edited::Group(_) => "groups",
            Edited::App(_) => "apps",
        };
        let change = all.iter().find(|changed| changed.what == field)?;
        Some(Changed { what: what.clone(), set_by: Some(Arc::clone(&edit.by)), ..change.clone() })
    });
    let mut changes: Vec<Changed> = fields.collect();
    if changes.is_empty() {
        changes.extend(all.iter().filter(|changed| changed.what == "state").cloned());
    }
    changes
}

/// One thing that can differ, and how it is told.
type Tell = (&'static str, fn(&Person) -> String);

const STANDING: [Tell; 4] = [
    ("state", |p| state_text(&p.state)),
    ("source_active", |p| p.source_active.to_string()),
    ("security_hold", |p| p.holds.iter().map(hold_text).collect::<Vec<_>>().join("; ")),
    ("offboarding", |p| p.offboarding.as_str().to_owned()),
];

/// One set that can differ, and how its members are told.
type Members = (&'static str, fn(&Person) -> BTreeSet<String>);

const BELONGINGS: [Members; 5] = [
    ("roles", |p| grants_text(&p.roles)),
    ("groups", |p| grants_text(&p.groups)),
    ("apps", |p| grants_text(&p.apps)),
    ("sign_ins", |p| p.links.iter().map(ToString::to_string).collect()),
    ("by_hand", |p| p.edits.keys().map(edited_text).collect()),
];

/// Everything that is different, in words; of a set, what went and what came. Of who is deleted,
/// nothing of what they were called.
fn differences(before: Option<&Person>, after: &Person) -> Vec<Changed> {
    let mut changes = Vec::new();
    let mut note = |what: &str, was: String, is: String| {
        if was != is {
            changes.push(Changed { what: what.to_owned(), before: was, after: is, set_by: None });
        }
    };
    for (what, tell) in STANDING {
        note(what, before.map_or_else(String::new, tell), tell(after));
    }
    if let Some(before) = before {
        note("source", source_text(&before.source), source_text(&after.source));
        let offered = |p: &Person| p.offered_to.as_ref().map(ToString::to_string).unwrap_or_default();
        note("offered_to", offered(before), offered(after));
    }
    if after.state.kind() == StateKind::Deleted {
        return changes;
    }
    for field in ProfileField::ALL {
        let was = before.map_or_else(String::new, |person| field.text(&person.profile));
        note(&edited_text(&Edited::Field(field)), was, field.text(&after.profile));
    }
    for (what, members) in BELONGINGS {
        let (was, is) = (before.map(members).unwrap_or_default(), members(after));
        let only = |these: &BTreeSet<String>, those: &BTreeSet<String>| {
            these.difference(those).cloned().collect::<Vec<_>>().join("; ")
        };
        note(what, only(&was, &is), only(&is, &was));
    }
    changes
}

/// Who speaks for somebody, for the log.
pub(crate) fn source_text(source: &Source) -> String {
    match source {
        Source::Local => "local".to_owned(),
        Source::Scim(connection) => format!("scim:{connection}"),
        Source::SignIn(issuer) => format!("sign_in:{issuer}"),
    }
}

fn state_text(state: &PersonState) -> String {
    match state {
        PersonState::Locked { until } => format!("{} until {}", state.kind().as_str(), until.0),
        PersonState::Suspended(hold) => format!("{} {}", state.kind().as_str(), hold_text(hold)),
        PersonState::Invited
        | PersonState::PendingVerification
        | PersonState::Staged
        | PersonState::Active
        | PersonState::Deactivated
        | PersonState::Deleted => state.kind().as_str().to_owned(),
    }
}

fn hold_text(hold: &Hold) -> String {
    if hold.cause.is_empty() { format!("by {}", hold.by) } else { format!("by {}: {}", hold.by, hold.cause) }
}

fn grants_text<T: Ord + ToString>(grants: &Grants<T>) -> BTreeSet<String> {
    grants.iter().map(|given| format!("{} ({})", given.what.to_string(), given.origin.text())).collect()
}

fn edited_text(edited: &Edited) -> String {
    match edited {
        Edited::Field(field) => format!("profile.{}", field.as_str()),
        Edited::Role(role) => format!("role {role}"),
        Edited::Group(group) => format!("group {group}"),
        Edited::App(app) => format!("app {app}"),
    }
}
