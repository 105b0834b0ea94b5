//! The table. A closed table may be longer than a page; it is the rule, the rest only reads it.
//!
//! T1 to T22 are the transitions that every directory of people has; T23 is a denial and has no row.
//! T24 to T27 are ours: sign-ins, sessions, cases, and who speaks for somebody, change without a change of state.

use doorward_model::directory::StateKind::{
    self, Active, Deactivated, Deleted, Invited, Locked, PendingVerification, Staged, Suspended,
};

use super::actor::ActorKind::{self, Operator, Person, Signal, Source, System};
use super::command::CommandKind as C;
use super::edge::{Edge, Sessions};
use super::event::EventName as E;
use super::when::When;

type From = &'static [Option<StateKind>];
type Who = &'static [ActorKind];

const NOBODY: From = &[None];
const ACTIVE: From = &[Some(Active)];
/// Were let in once and have not left.
const INSIDE: From = &[Some(Active), Some(Locked), Some(Suspended)];
/// Those, and who waits for the first day.
const HIRED: From = &[Some(Staged), Some(Active), Some(Locked), Some(Suspended)];
/// Those, and who has left.
const ENROLLED: From = &[Some(Staged), Some(Active), Some(Locked), Some(Suspended), Some(Deactivated)];
/// Whom an operator may give something: not who has left, so that a returner has nothing of it.
const GIVEN_TO: From = &[Some(Invited), Some(Staged), Some(Active), Some(Locked), Some(Suspended)];
/// Everybody who is not deleted.
const LIVE: From = &[
    Some(Invited),
    Some(PendingVerification),
    Some(Staged),
    Some(Active),
    Some(Locked),
    Some(Suspended),
    Some(Deactivated),
];

/// A row without a condition, without an event, which changes neither the state nor what is open.
const fn row(id: &'static str, from: From, command: C, who: Who) -> Edge {
    Edge { id, from, command, who, when: When::Always, to: None, events: &[], sessions: Sessions::Keep }
}

/// A row of which nothing would change.
const fn again(from: From, command: C, who: Who) -> Edge {
    row("again", from, command, who).when(When::AlreadySo)
}

impl Edge {
    const fn when(self, when: When) -> Self {
        Self { when, ..self }
    }

    const fn to(self, to: StateKind) -> Self {
        Self { to: Some(to), ..self }
    }

    const fn tells(self, events: &'static [E]) -> Self {
        Self { events, ..self }
    }

    const fn ends(self, sessions: Sessions) -> Self {
        Self { sessions, ..self }
    }
}

/// Every row.
pub static EDGES: &[Edge] = &[
    // Joining.
    row("T1", NOBODY, C::SignUp, &[Person])
        .when(When::SignUpAllowed)
        .to(PendingVerification)
        .tells(&[E::Create]),
    row("T2", &[Some(PendingVerification)], C::VerifyEmail, &[Person])
        .when(When::AddressIsTheirs)
        .to(Active)
        .tells(&[E::Verify, E::Activate]),
    row("T3", &[Some(PendingVerification)], C::Expire, &[System])
        .when(When::OutOfTime)
        .to(Deleted)
        .tells(&[E::DeleteCompleted]),
    row("T4", NOBODY, C::Invite, &[Operator])
        .when(When::HasAddress)
        .to(Invited)
        .tells(&[E::InvitationCreate]),
    row("T5", &[Some(Invited)], C::AcceptInvitation, &[Person])
        .when(When::InvitedForLater)
        .to(Staged)
        .tells(&[E::Link]),
    row("T5", &[Some(Invited)], C::AcceptInvitation, &[Person])
        .when(When::InvitationMatches)
        .to(Active)
        .tells(&[E::Activate]),
    row("T6", &[Some(Invited)], C::RevokeInvitation, &[Operator]).to(Deleted).tells(&[E::InvitationRevoke]),
    row("T6", &[Some(Invited)], C::Expire, &[System])
        .when(When::OutOfTime)
        .to(Deleted)
        .tells(&[E::InvitationRevoke]),
    again(ENROLLED, C::Expire, &[System]),
    row("T7", NOBODY, C::FirstSignIn, &[Person])
        .when(When::FirstSignInAllowed)
        .to(Active)
        .tells(&[E::Create, E::Activate]),
    row("T8", NOBODY, C::ScimCreate, &[Source])
        .when(When::CreatedActive)
        .to(Active)
        .tells(&[E::Create, E::Activate]),
    row("T8", NOBODY, C::ScimCreate, &[Source]).to(Staged).tells(&[E::Create]),
    // The first day.
    again(&[Some(Staged)], C::ScimActivate, &[Source]),
    row("T9", &[Some(Staged)], C::ScimActivate, &[Source])
        .when(When::Started)
        .to(Active)
        .tells(&[E::Activate]),
    row("T9", &[Some(Staged)], C::ScimActivate, &[Source]).tells(&[E::UpdateProfile]),
    again(&[Some(Staged)], C::ScimDeactivate, &[Source]),
    row("T9", &[Some(Staged)], C::ScimDeactivate, &[Source]).tells(&[E::UpdateProfile]),
    row("T9", &[Some(Staged)], C::Activate, &[Operator])
        .when(When::SourceActive)
        .to(Active)
        .tells(&[E::Activate]),
    again(ACTIVE, C::Activate, &[Operator]),
    row("T9", &[Some(Staged)], C::Start, &[System])
        .when(When::SourceActiveAndStarted)
        .to(Active)
        .tells(&[E::Activate]),
    again(&[Some(Active), Some(Locked), Some(Suspended), Some(Deactivated)], C::Start, &[System]),
    // What is said of them.
    again(ENROLLED, C::ScimProfile, &[Source]),
    row("T22", ENROLLED, C::ScimProfile, &[Source])
        .when(When::SourceOverrides)
        .tells(&[E::UpdateProfile, E::Override]),
    row("T10", ENROLLED, C::ScimProfile, &[Source]).tells(&[E::UpdateProfile]),
    again(INSIDE, C::ScimActivate, &[Source]),
    row("T10", INSIDE, C::ScimActivate, &[Source]).tells(&[E::UpdateProfile]),
    again(LIVE, C::Profile, &[Operator]),
    row("T10", GIVEN_TO, C::Profile, &[Operator]).tells(&[E::UpdateProfile]),
    row("T10", &[Some(Deactivated)], C::Profile, &[Operator])
        .when(When::NoConnection)
        .tells(&[E::UpdateProfile]),
    again(ACTIVE, C::OwnProfile, &[Person]),
    row("T10", ACTIVE, C::OwnProfile, &[Person]).when(When::OnlyTheName).tells(&[E::UpdateProfile]),
    // Roles, groups, apps. What the source says is noted also while somebody is away.
    again(LIVE, C::GiveRole, &[Operator, Source]),
    row("T22", ENROLLED, C::GiveRole, &[Source])
        .when(When::SourceOverrides)
        .tells(&[E::PrivilegeGrant, E::Override]),
    row("T11", ENROLLED, C::GiveRole, &[Source]).tells(&[E::PrivilegeGrant]),
    row("T11", GIVEN_TO, C::GiveRole, &[Operator]).tells(&[E::PrivilegeGrant]),
    again(LIVE, C::TakeRole, &[Operator, Source]),
    row("T11", LIVE, C::TakeRole, &[Operator, Source]).tells(&[E::PrivilegeRevoke]),
    again(LIVE, C::AddGroup, &[Operator, Source]),
    row("T22", ENROLLED, C::AddGroup, &[Source])
        .when(When::SourceOverrides)
        .tells(&[E::GroupAdd, E::Override]),
    row("T11", ENROLLED, C::AddGroup, &[Source]).tells(&[E::GroupAdd]),
    row("T11", GIVEN_TO, C::AddGroup, &[Operator]).tells(&[E::GroupAdd]),
    again(LIVE, C::RemoveGroup, &[Operator, Source]),
    row("T11", LIVE, C::RemoveGroup, &[Operator, Source]).tells(&[E::GroupRemove]),
    again(LIVE, C::GiveApp, &[Operator, Source]),
    row("T22", ENROLLED, C::GiveApp, &[Source]).when(When::SourceOverrides).tells(&[E::AppAdd, E::Override]),
    row("T11", ENROLLED, C::GiveApp, &[Source]).tells(&[E::AppAdd]),
    row("T11", GIVEN_TO, C::GiveApp, &[Operator]).tells(&[E::AppAdd]),
    again(LIVE, C::TakeApp, &[Operator, Source]),
    row("T12", LIVE, C::TakeApp, &[Operator, Source]).tells(&[E::AppRemove]).ends(Sessions::AtApp),
    // Kept out for a while.
    again(&[Some(Locked)], C::Lock, &[Operator, System]),
    row("T13", &[Some(Active), Some(Locked)], C::Lock, &[Operator, System])
        .when(When::LocksOn)
        .to(Locked)
        .tells(&[E::Lock])
        .ends(Sessions::End),
    row("T14", &[Some(Locked)], C::LockExpires, &[System])
        .when(When::LockIsOver)
        .to(Active)
        .tells(&[E::Unlock]),
    again(&[Some(Active), Some(Suspended), Some(Deactivated)], C::LockExpires, &[System]),
    row("T14", &[Some(Locked)], C::Unlock, &[Operator]).to(Active).tells(&[E::UnlockByAdmin]),
    again(ACTIVE, C::Unlock, &[Operator]),
    // Kept out until it is taken back.
    row("T15", &[Some(Active), Some(Locked)], C::Suspend, &[Operator, Signal])
        .to(Suspended)
        .tells(&[E::Suspend])
        .ends(Sessions::End),
    again(&[Some(Suspended)], C::Suspend, &[Operator, Signal]),
    row("T21", &[Some(Suspended)], C::Suspend, &[Operator, Signal]).tells(&[E::HoldSet]).ends(Sessions::End),
    row("T16", &[Some(Suspended)], C::Unsuspend, &[Operator]).to(Active).tells(&[E::Unsuspend]),
    row("T16", &[Some(Suspended)], C::Unsuspend, &[Signal])
        .when(When::OwnHold)
        .to(Active)
        .tells(&[E::Unsuspend]),
    again(ACTIVE, C::Unsuspend, &[Operator, Signal]),
    // Leaving.
    row("T17", INSIDE, C::ScimDeactivate, &[Source])
        .to(Deactivated)
        .tells(&[E::Deactivate, E::SessionClear])
        .ends(Sessions::End),
    again(&[Some(Deactivated)], C::ScimDeactivate, &[Source]),
    row("T10", &[Some(Deactivated)], C::ScimDeactivate, &[Source]).tells(&[E::UpdateProfile]),
    row("T17", HIRED, C::Deactivate, &[Operator])
        .to(Deactivated)
        .tells(&[E::Deactivate, E::SessionClear])
        .ends(Sessions::End),
    again(&[Some(Deactivated)], C::Deactivate, &[Operator]),
    row("T17", HIRED, C::ContractEnd, &[System])
        .when(When::ContractIsOver)
        .to(Deactivated)
        .tells(&[E::Deactivate, E::SessionClear])
        .ends(Sessions::End),
    again(&[Some(Deactivated)], C::ContractEnd, &[System]),
    // Returning.
    again(&[Some(Deactivated)], C::ScimActivate, &[Source]),
    row("T18", &[Some(Deactivated)], C::ScimActivate, &[Source])
        .when(When::SourceOverrides)
        .to(Active)
        .tells(&[E::Reactivate, E::Override]),
    row("T18", &[Some(Deactivated)], C::ScimActivate, &[Source]).to(Active).tells(&[E::Reactivate]),
    row("T18", &[Some(Deactivated)], C::Reactivate, &[Operator])
        .when(When::SourceActive)
        .to(Active)
        .tells(&[E::Reactivate]),
    again(ACTIVE, C::Reactivate, &[Operator]),
    // The end.
    row("T19", &[Some(Deactivated)], C::ScimDelete, &[Source])
        .when(When::NotHeldBack)
        .to(Deleted)
        .tells(&[E::DeleteInitiated, E::DeleteCompleted])
        .ends(Sessions::End),
    row("T19", &[Some(Deactivated)], C::Delete, &[Operator])
        .when(When::OffboardingDone)
        .to(Deleted)
        .tells(&[E::DeleteInitiated, E::DeleteCompleted])
        .ends(Sessions::End),
    // Whoever is held back is kept, with their sign-ins: made anew, they would have no hold.
    row("T19", &[Some(Deactivated)], C::ScimDelete, &[Source])
        .tells(&[E::DeleteInitiated])
        .ends(Sessions::End),
    row("T20", HIRED, C::ScimDelete, &[Source])
        .when(When::NotHeldBack)
        .to(Deleted)
        .tells(&[E::Deactivate, E::SessionClear, E::DeleteInitiated, E::DeleteCompleted])
        .ends(Sessions::End),
    row("T20", HIRED, C::ScimDelete, &[Source])
        .to(Deactivated)
        .tells(&[E::Deactivate, E::SessionClear, E::DeleteInitiated])
        .ends(Sessions::End),
    // Held back, whatever the state.
    again(LIVE, C::HoldSet, &[Operator, Signal]),
    row("T21", LIVE, C::HoldSet, &[Operator, Signal]).tells(&[E::HoldSet]).ends(Sessions::End),
    again(LIVE, C::HoldClear, &[Operator, Signal]),
    row("T21", LIVE, C::HoldClear, &[Operator]).tells(&[E::HoldClear]),
    row("T21", LIVE, C::HoldClear, &[Signal]).when(When::OwnHold).tells(&[E::HoldClear]),
    // Ours.
    again(LIVE, C::EndSessions, &[Operator, Signal, Person, System]),
    row("T24", ACTIVE, C::EndSessions, &[Operator, Signal, Person, System])
        .tells(&[E::SessionClear])
        .ends(Sessions::End),
    again(ENROLLED, C::Link, &[Operator, Source]),
    row("T25", ENROLLED, C::Link, &[Operator, Source]).tells(&[E::Link]),
    again(ACTIVE, C::Link, &[Person]),
    row("T25", ACTIVE, C::Link, &[Person]).tells(&[E::Link]),
    again(ENROLLED, C::Unlink, &[Operator, Source]),
    row("T25", ENROLLED, C::Unlink, &[Operator]).tells(&[E::Unlink]).ends(Sessions::OfLink),
    row("T25", ENROLLED, C::Unlink, &[Source])
        .when(When::NotHeldBack)
        .tells(&[E::Unlink])
        .ends(Sessions::OfLink),
    again(LIVE, C::HandOver, &[Operator]),
    row("T27", &[Some(Staged), Some(Active)], C::HandOver, &[Operator])
        .when(When::MayBeHandedOver)
        .tells(&[E::HandOver]),
    row("T27", &[Some(Staged), Some(Active)], C::TakeOver, &[Source])
        .when(When::HandedOver)
        .tells(&[E::TakeOver]),
    row("T26", &[Some(Deactivated)], C::CaseVerified, &[Operator, System])
        .when(When::CaseIsOpen)
        .tells(&[E::OffboardingVerify]),
    again(&[Some(Deactivated)], C::CaseVerified, &[Operator, System]),
    row("T26", &[Some(Deactivated)], C::CaseClosed, &[Operator, System])
        .when(When::CaseIsVerified)
        .tells(&[E::OffboardingClose]),
    again(&[Some(Deactivated)], C::CaseClosed, &[Operator, System]),
];
