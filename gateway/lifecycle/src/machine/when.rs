//! The conditions of the table.

use doorward_model::directory::{
    Edited, Hand, Offboarding, Person, PersonState, Profile, ProfileField, StateKind,
};

use super::actor::{Actor, Circumstances, is_in};
use super::command::Command;
use super::effect::heard;

/// On what condition a row of the table is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum When {
    /// On none.
    Always,
    /// Nothing would change.
    AlreadySo,
    /// An address is given.
    HasAddress,
    /// Every given address is in a domain that may sign up, and the sign-in is not cut off.
    SignUpAllowed,
    /// The address is the person's, and the sign-up is not out of time.
    AddressIsTheirs,
    /// The issuer may speak for the domain of an address that was invited, calls it verified, and
    /// the invitation is not out of time.
    InvitationMatches,
    /// The same, and the first day lies ahead.
    InvitedForLater,
    /// The issuer may make people known, speaks for the domain of a verified address, and the sign-in
    /// is not cut off.
    FirstSignInAllowed,
    /// The time of the invitation or of the sign-up is over.
    OutOfTime,
    /// The source says active, and the first day does not lie ahead.
    CreatedActive,
    /// The first day does not lie ahead.
    Started,
    /// The source says that the person belongs here.
    SourceActive,
    /// Both: the source says so, and the first day has come.
    SourceActiveAndStarted,
    /// An operator said otherwise by hand before.
    SourceOverrides,
    /// Only the name to show changes.
    OnlyTheName,
    /// No connection provisions the person.
    NoConnection,
    /// The same, and nobody holds them back.
    MayBeHandedOver,
    /// They were handed over to the source that asks, no connection provisions them, and nobody holds them back.
    HandedOver,
    /// The lock ends in the future, and later than one that is there.
    LocksOn,
    /// The time of the lock is over.
    LockIsOver,
    /// The contract is over.
    ContractIsOver,
    /// The hold or the suspension is the signal's own.
    OwnHold,
    /// Nobody holds them back, and they are not suspended.
    NotHeldBack,
    /// The offboarding is verified or closed.
    OffboardingDone,
    /// A case is open.
    CaseIsOpen,
    /// The case is verified.
    CaseIsVerified,
}

impl When {
    /// The condition in words, after "when".
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::AlreadySo => "it is so already",
            Self::HasAddress => "an e-mail address is given",
            Self::SignUpAllowed => {
                "an address is given, each is in a domain that may sign up, and the sign-in is not cut off"
            }
            Self::AddressIsTheirs => "the address is theirs and the sign-up is in time",
            Self::InvitationMatches => {
                "the issuer speaks for the domain of an invited address, calls it verified, and the invitation is in time"
            }
            Self::InvitedForLater => {
                "the issuer speaks for the domain of an invited address, calls it verified, the invitation is in time, and the first day lies ahead"
            }
            Self::FirstSignInAllowed => {
                "the issuer may make people known, speaks for the domain of a verified address, and the sign-in is not cut off"
            }
            Self::OutOfTime => "its time is over",
            Self::CreatedActive => "the source says active and the first day does not lie ahead",
            Self::Started => "the first day does not lie ahead",
            Self::SourceActive => "the source says active",
            Self::SourceActiveAndStarted => "the source says active and the first day has come",
            Self::SourceOverrides => "an operator said otherwise by hand",
            Self::OnlyTheName => "only the name to show changes",
            Self::NoConnection => "no connection provisions them",
            Self::MayBeHandedOver => "no connection provisions them, and nobody holds them back",
            Self::HandedOver => "an operator handed them over to it, and nobody holds them back",
            Self::LocksOn => "the lock ends later than now and than one that is there",
            Self::LockIsOver => "the time of the lock is over",
            Self::ContractIsOver => "the contract is over",
            Self::OwnHold => "the hold or the suspension is its own",
            Self::NotHeldBack => "nobody holds them back or suspended them",
            Self::OffboardingDone => "the offboarding is verified or closed",
            Self::CaseIsOpen => "their case is open",
            Self::CaseIsVerified => "their case is verified",
        }
    }

    /// Whether it holds.
    pub(super) fn holds(
        self,
        person: Option<&Person>,
        command: &Command,
        circumstances: &Circumstances<'_>,
    ) -> bool {
        match person {
            None => self.holds_for_nobody(command, circumstances),
            Some(person) => self.holds_for(person, command, circumstances),
        }
    }

    /// The conditions of joining.
    fn holds_for_nobody(self, command: &Command, circumstances: &Circumstances<'_>) -> bool {
        let rules = circumstances.rules;
        let emails = || command.profile().into_iter().flat_map(|profile| &profile.emails);
        match self {
            Self::Always => true,
            Self::HasAddress => emails().next().is_some(),
            Self::SignUpAllowed => {
                let stands = matches!(command, Command::SignUp { cut_off: false, .. });
                let mut all = emails().map(|email| is_in(&rules.sign_up_domains, &email.address)).peekable();
                stands && all.peek().is_some() && all.all(|allowed| allowed)
            }
            Self::FirstSignInAllowed => {
                let Some(issuer) = command.joined_by().map(|link| link.issuer()) else { return false };
                let allowed = rules.issuers.get(issuer).is_some_and(|rule| rule.first_sign_in);
                let proved = emails().any(|e| e.verified && rules.speaks_for(issuer, &e.address));
                allowed && proved
            }
            Self::CreatedActive => {
                let active = matches!(command, Command::ScimCreate { active: true, .. });
                active && command.profile().is_some_and(|profile| started(profile, circumstances))
            }
            Self::AlreadySo
            | Self::AddressIsTheirs
            | Self::InvitationMatches
            | Self::InvitedForLater
            | Self::OutOfTime
            | Self::Started
            | Self::SourceActive
            | Self::SourceActiveAndStarted
            | Self::SourceOverrides
            | Self::OnlyTheName
            | Self::NoConnection
            | Self::MayBeHandedOver
            | Self::HandedOver
            | Self::LocksOn
            | Self::LockIsOver
            | Self::ContractIsOver
            | Self::OwnHold
            | Self::NotHeldBack
            | Self::OffboardingDone
            | Self::CaseIsOpen
            | Self::CaseIsVerified => false,
        }
    }

    /// The conditions of everything after it.
    fn holds_for(self, person: &Person, command: &Command, circumstances: &Circumstances<'_>) -> bool {
        let now = circumstances.now;
        let in_time = || person.expires_at.is_none_or(|end| now < end);
        match self {
            Self::Always => true,
            Self::AlreadySo => already_so(person, command, &circumstances.actor),
            Self::AddressIsTheirs => {
                let Command::VerifyEmail { address } = command else { return false };
                in_time() && person.profile.emails.iter().any(|email| email.is(address))
            }
            Self::InvitedForLater => {
                let matches = Self::InvitationMatches.holds_for(person, command, circumstances);
                matches && !started(&person.profile, circumstances)
            }
            Self::InvitationMatches => {
                let Command::AcceptInvitation { link, verified, .. } = command else { return false };
                let invited = |address: &String| {
                    person.profile.emails.iter().any(|email| email.is(address))
                        && circumstances.rules.speaks_for(link.issuer(), address)
                };
                in_time() && verified.iter().any(invited)
            }
            Self::OutOfTime => !in_time(),
            Self::Started => started(&person.profile, circumstances),
            Self::SourceActive => person.source_active,
            Self::SourceActiveAndStarted => person.source_active && started(&person.profile, circumstances),
            Self::SourceOverrides => match command {
                Command::ScimActivate => left_by_hand(person),
                other => !overridden(person, other).is_empty(),
            },
            Self::OnlyTheName => command.profile().is_some_and(|profile| {
                profile.differences(&person.profile).iter().all(|field| *field == ProfileField::Name)
            }),
            Self::NoConnection => person.source.connection().is_none(),
            Self::MayBeHandedOver => person.source.connection().is_none() && !is_held_back(person),
            Self::HandedOver => {
                let theirs = is_handed_over(person, &circumstances.actor);
                theirs && Self::MayBeHandedOver.holds_for(person, command, circumstances)
            }
            Self::LocksOn => {
                let Command::Lock { until } = command else { return false };
                *until > now && !already_so(person, command, &circumstances.actor)
            }
            Self::LockIsOver => {
                matches!(person.state, PersonState::Locked { until } if until <= now)
            }
            Self::ContractIsOver => person.profile.contract_end.is_some_and(|end| end <= now),
            Self::OwnHold => is_own(person, command, &circumstances.actor),
            Self::NotHeldBack => !is_held_back(person),
            Self::OffboardingDone => match person.offboarding {
                Offboarding::Verified | Offboarding::Closed => true,
                Offboarding::None | Offboarding::Open => false,
            },
            Self::CaseIsOpen => person.offboarding == Offboarding::Open,
            Self::CaseIsVerified => person.offboarding == Offboarding::Verified,
            Self::HasAddress | Self::SignUpAllowed | Self::FirstSignInAllowed | Self::CreatedActive => false,
        }
    }
}

/// Whether an operator said that this source may take them over.
pub(super) fn is_handed_over(person: &Person, actor: &Actor) -> bool {
    matches!((actor, &person.offered_to), (Actor::Source(asks), Some(to)) if asks == to)
}

/// Whether somebody here says that they must not get in, until it is taken back.
pub(super) fn is_held_back(person: &Person) -> bool {
    !person.holds.is_empty() || person.state.kind() == StateKind::Suspended
}

fn started(profile: &Profile, circumstances: &Circumstances<'_>) -> bool {
    profile.starts_at.is_none_or(|start| start <= circumstances.now)
}

/// Whether the suspension that is to end, or the hold that is to be lifted, is the actor's own.
fn is_own(person: &Person, command: &Command, actor: &Actor) -> bool {
    let own = actor.hold_origin();
    if let Command::HoldClear(origin) = command {
        return own.as_ref() == Some(origin);
    }
    matches!(&person.state, PersonState::Suspended(hold) if Some(&hold.origin) == own.as_ref())
}

/// What an operator did by hand, and this command of the source undoes.
pub(super) fn overridden(person: &Person, command: &Command) -> Vec<Edited> {
    let edited = |edited: Edited| person.edits.contains_key(&edited).then_some(edited).into_iter().collect();
    match command {
        Command::ScimProfile(profile) => {
            let (heard, _) = heard(person, profile);
            let fields = heard.differences(&person.profile).into_iter().map(Edited::Field);
            fields.filter(|field| person.edits.contains_key(field)).collect()
        }
        Command::GiveRole(role) => edited(Edited::Role(role.clone())),
        Command::AddGroup(group) => edited(Edited::Group(*group)),
        Command::GiveApp(app) => edited(Edited::App(app.clone())),
        Command::Invite { .. }
        | Command::SignUp { .. }
        | Command::VerifyEmail { .. }
        | Command::AcceptInvitation { .. }
        | Command::RevokeInvitation
        | Command::Expire
        | Command::FirstSignIn { .. }
        | Command::ScimCreate { .. }
        | Command::ScimActivate
        | Command::ScimDeactivate
        | Command::ScimDelete
        | Command::Profile(_)
        | Command::OwnProfile(_)
        | Command::Activate
        | Command::Start
        | Command::Suspend
        | Command::Unsuspend
        | Command::Deactivate
        | Command::ContractEnd
        | Command::Reactivate
        | Command::Delete
        | Command::Lock { .. }
        | Command::Unlock
        | Command::LockExpires
        | Command::HoldSet
        | Command::HoldClear(_)
        | Command::TakeRole(_)
        | Command::TakeApp(_)
        | Command::RemoveGroup(_)
        | Command::Link(_)
        | Command::Unlink(_)
        | Command::HandOver(_)
        | Command::TakeOver
        | Command::EndSessions
        | Command::CaseVerified
        | Command::CaseClosed => Vec::new(),
    }
}

/// Whether everything is as the command asks. The rows say in which states it is asked at all.
fn already_so(person: &Person, command: &Command, actor: &Actor) -> bool {
    let own = actor.hold_origin();
    let holds = || own.as_ref().is_some_and(|own| person.hold_of(own).is_some());
    let given = actor.grant_origin();
    match command {
        Command::ScimActivate => person.source_active,
        Command::ScimDeactivate => !person.source_active,
        Command::ScimProfile(profile) => {
            let (now, said) = heard(person, profile);
            now == person.profile && said == person.said
        }
        Command::Profile(profile) | Command::OwnProfile(profile) => **profile == person.profile,
        Command::Activate | Command::Reactivate | Command::Unlock | Command::Unsuspend => {
            person.state == PersonState::Active
        }
        Command::Start => person.state != PersonState::Staged,
        Command::LockExpires => !matches!(person.state, PersonState::Locked { .. }),
        Command::Expire => person.expires_at.is_none(),
        Command::Suspend => is_own(person, command, actor) || holds(),
        Command::Deactivate | Command::ContractEnd => person.state == PersonState::Deactivated,
        Command::Lock { until } => matches!(person.state, PersonState::Locked { until: u } if *until <= u),
        Command::HoldSet => holds(),
        Command::HoldClear(origin) => person.hold_of(origin).is_none(),
        Command::GiveRole(role) => given.is_some_and(|given| person.roles.has_from(role, &given)),
        Command::GiveApp(app) => given.is_some_and(|given| person.apps.has_from(app, &given)),
        Command::AddGroup(group) => given.is_some_and(|given| person.groups.has_from(group, &given)),
        Command::TakeRole(role) => !person.roles.iter().any(|r| r.what == *role && actor.may_take(&r.origin)),
        Command::TakeApp(app) => !person.apps.iter().any(|a| a.what == *app && actor.may_take(&a.origin)),
        Command::RemoveGroup(group) => {
            !person.groups.iter().any(|g| g.what == *group && actor.may_take(&g.origin))
        }
        Command::Link(link) => person.links.contains(link),
        Command::Unlink(link) => !person.links.contains(link),
        Command::HandOver(connection) => person.offered_to == *connection,
        Command::TakeOver => false,
        Command::EndSessions => !person.admitted(),
        Command::CaseVerified => person.offboarding != Offboarding::Open,
        Command::CaseClosed => person.offboarding == Offboarding::Closed,
        Command::Invite { .. }
        | Command::SignUp { .. }
        | Command::VerifyEmail { .. }
        | Command::AcceptInvitation { .. }
        | Command::RevokeInvitation
        | Command::FirstSignIn { .. }
        | Command::ScimCreate { .. }
        | Command::ScimDelete
        | Command::Delete => false,
    }
}

/// Whether an operator deactivated them, so that the source, which now says that they belong
/// here, overrides it.
pub(super) fn left_by_hand(person: &Person) -> bool {
    person.state == PersonState::Deactivated
        && person.left.as_ref().is_some_and(|left| left.by == Hand::Operator)
}
