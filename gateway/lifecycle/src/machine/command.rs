//! What can be asked for.

use std::collections::BTreeSet;

use doorward_model::directory::{ConnectionId, GroupId, HoldOrigin, PersonId, Profile, RoleName};
use doorward_model::{AppId, UnixMillis, UserId};

/// One thing that can be asked for a person. New ids and instants come with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Ask somebody in. They become a person of the directory, without access.
    Invite {
        /// The new id.
        id: PersonId,
        /// What is said of them; an address of theirs must be in it.
        profile: Box<Profile>,
        /// The roles that they shall have.
        roles: BTreeSet<RoleName>,
    },
    /// Somebody signed in whom nobody speaks for, and asks to be let in, with an address that is
    /// not proved yet.
    SignUp {
        /// The new id.
        id: PersonId,
        /// As whom they signed in.
        link: UserId,
        /// The revocations have that sign-in disabled: whose it was has left, or it was taken from them.
        cut_off: bool,
        /// What they say of themselves.
        profile: Box<Profile>,
    },
    /// They proved that an address is theirs.
    VerifyEmail {
        /// The address.
        address: String,
    },
    /// The invited person signed in.
    AcceptInvitation {
        /// As whom.
        link: UserId,
        /// The revocations have that sign-in disabled: whose it was has left, or it was taken from them.
        cut_off: bool,
        /// The addresses that the issuer calls verified.
        verified: BTreeSet<String>,
    },
    /// Take an invitation back.
    RevokeInvitation,
    /// An invitation or a sign-up is out of time.
    Expire,
    /// Somebody signed in whom the directory does not know.
    FirstSignIn {
        /// The new id.
        id: PersonId,
        /// As whom they signed in.
        link: UserId,
        /// The revocations have that sign-in disabled: whose it was has left, or it was taken from them.
        cut_off: bool,
        /// What the issuer says of them.
        profile: Box<Profile>,
    },
    /// A source makes a person known (RFC 7644 §3.3).
    ScimCreate {
        /// The new id.
        id: PersonId,
        /// What it says of them.
        profile: Box<Profile>,
        /// Whether they belong here now.
        active: bool,
        /// Their sign-ins, as far as they follow from what it says.
        links: BTreeSet<UserId>,
    },
    /// The source says `active=true`.
    ScimActivate,
    /// The source says `active=false`.
    ScimDeactivate,
    /// The source deletes the person (RFC 7644 §3.6).
    ScimDelete,
    /// The source says what the profile is, the whole of it.
    ScimProfile(Box<Profile>),
    /// An operator says what the profile is, the whole of it.
    Profile(Box<Profile>),
    /// The person says what their profile is.
    OwnProfile(Box<Profile>),
    /// Let somebody in who is staged.
    Activate,
    /// The first day has come.
    Start,
    /// Keep somebody out until it is taken back.
    Suspend,
    /// Take it back.
    Unsuspend,
    /// They leave.
    Deactivate,
    /// Their contract is over.
    ContractEnd,
    /// They return.
    Reactivate,
    /// Forget them, but for the id.
    Delete,
    /// Keep somebody out for a while.
    Lock {
        /// Until then.
        until: UnixMillis,
    },
    /// End a lock before its time.
    Unlock,
    /// The time of a lock is over.
    LockExpires,
    /// Hold somebody back, whatever their state and their source.
    HoldSet,
    /// Lift the hold of this origin.
    HoldClear(HoldOrigin),
    /// Give a role.
    GiveRole(RoleName),
    /// Take a role.
    TakeRole(RoleName),
    /// Grant an app.
    GiveApp(AppId),
    /// Take an app.
    TakeApp(AppId),
    /// Put them into a group.
    AddGroup(GroupId),
    /// Take them out of a group.
    RemoveGroup(GroupId),
    /// This sign-in is theirs.
    Link(UserId),
    /// This sign-in is not theirs any more.
    Unlink(UserId),
    /// Let this connection take them over when it makes them known; with none, let it not.
    HandOver(Option<ConnectionId>),
    /// The source makes somebody known who was handed over to it, and speaks for them from now on.
    TakeOver,
    /// End whatever they have open; they may sign in anew.
    EndSessions,
    /// It is proved that nothing of theirs goes on.
    CaseVerified,
    /// Their case is closed.
    CaseClosed,
}

/// What a command means for a no that was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Nature {
    /// It says that somebody must not get in. An older yes of the same hand does not count any more,
    /// also when this repeats what is so already.
    Takes,
    /// It takes back a no that was said before, and so must not be older than it.
    Lifts,
    /// It does neither.
    Changes,
}

/// The kinds of commands: the variant, its word, and its nature.
macro_rules! command_kinds {
    ($($name:ident $word:literal $nature:ident),+ $(,)?) => {
        /// The kind of a [`Command`], in the order of the page that shows the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum CommandKind {
            $(#[doc = concat!("See [`Command::", stringify!($name), "`].")] $name,)+
        }

        impl CommandKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The word for it in logs and documents.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }

            /// What it means for a no that was said.
            #[must_use]
            pub const fn nature(self) -> Nature {
                match self {
                    $(Self::$name => Nature::$nature,)+
                }
            }
        }

        impl Command {
            /// The kind.
            #[must_use]
            pub const fn kind(&self) -> CommandKind {
                match self {
                    $(Self::$name { .. } => CommandKind::$name,)+
                }
            }
        }
    };
}

command_kinds! {
    Invite "invite" Changes,
    SignUp "sign_up" Changes,
    VerifyEmail "verify_email" Changes,
    AcceptInvitation "accept_invitation" Changes,
    RevokeInvitation "revoke_invitation" Changes,
    Expire "expire" Changes,
    FirstSignIn "first_sign_in" Changes,
    ScimCreate "scim_create" Changes,
    ScimActivate "scim_activate" Lifts,
    ScimDeactivate "scim_deactivate" Takes,
    ScimDelete "scim_delete" Takes,
    ScimProfile "scim_profile" Changes,
    Profile "profile" Changes,
    OwnProfile "own_profile" Changes,
    Activate "activate" Lifts,
    Start "start" Lifts,
    Suspend "suspend" Takes,
    Unsuspend "unsuspend" Lifts,
    Deactivate "deactivate" Takes,
    ContractEnd "contract_end" Takes,
    Reactivate "reactivate" Lifts,
    Delete "delete" Takes,
    Lock "lock" Takes,
    Unlock "unlock" Lifts,
    LockExpires "lock_expires" Lifts,
    HoldSet "hold_set" Takes,
    HoldClear "hold_clear" Lifts,
    GiveRole "give_role" Changes,
    TakeRole "take_role" Changes,
    GiveApp "give_app" Changes,
    TakeApp "take_app" Changes,
    AddGroup "add_group" Changes,
    RemoveGroup "remove_group" Changes,
    Link "link" Changes,
    Unlink "unlink" Changes,
    HandOver "hand_over" Changes,
    TakeOver "take_over" Changes,
    EndSessions "end_sessions" Changes,
    CaseVerified "case_verified" Changes,
    CaseClosed "case_closed" Changes,
}

impl Command {
    /// The profile that it carries.
    pub(super) fn profile(&self) -> Option<&Profile> {
        if let Self::Invite { profile, .. }
        | Self::SignUp { profile, .. }
        | Self::FirstSignIn { profile, .. }
        | Self::ScimCreate { profile, .. }
        | Self::ScimProfile(profile)
        | Self::Profile(profile)
        | Self::OwnProfile(profile) = self
        {
            Some(profile)
        } else {
            None
        }
    }

    /// The sign-in with which somebody has just joined, unless it is cut off. It was good a moment ago,
    /// so nothing of it ends by their being let in.
    pub(super) const fn joined_by(&self) -> Option<&UserId> {
        if let Self::AcceptInvitation { link, cut_off: false, .. }
        | Self::FirstSignIn { link, cut_off: false, .. } = self
        {
            Some(link)
        } else {
            None
        }
    }
}
