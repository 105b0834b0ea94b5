//! One of each: people, commands, actors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use doorward_lifecycle::machine::{
    Actor, ActorKind, Circumstances, Command, CommandKind, Denied, IssuerRule, Rules, Step, apply,
};
use doorward_model::directory::{
    ConnectionId, Email, Given, GroupId, Hold, HoldOrigin, Left, Machine, MachineId, MachineKind,
    MachineState, Offboarding, Origin, Person, PersonId, PersonState, Profile, RoleName, Source, StateKind,
    StreamName,
};
use doorward_model::{AppId, IssuerId, UnixMillis, UserId};

pub(crate) const NOW: UnixMillis = UnixMillis(1_000_000);
const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn later() -> UnixMillis {
    NOW.plus(HOUR)
}

pub(crate) fn earlier() -> UnixMillis {
    NOW.minus(HOUR)
}

pub(crate) fn okta() -> ConnectionId {
    ConnectionId::new("okta").unwrap()
}

pub(crate) fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

pub(crate) fn signal(name: &str) -> HoldOrigin {
    HoldOrigin::Signal(stream(name))
}

pub(crate) fn link(name: &str) -> UserId {
    format!("corp:{name}").parse().unwrap()
}

pub(crate) fn role(name: &str) -> RoleName {
    RoleName::new(name).unwrap()
}

pub(crate) fn app(name: &str) -> AppId {
    AppId::new(name).unwrap()
}

pub(crate) fn by_operator() -> Origin {
    Origin::Operator("ann".into())
}

pub(crate) fn actor(kind: ActorKind) -> Actor {
    match kind {
        ActorKind::Operator => Actor::Operator("ann".into()),
        ActorKind::Source => Actor::Source(okta()),
        ActorKind::Signal => Actor::Signal(stream("caep")),
        ActorKind::Person => Actor::Person,
        ActorKind::System => Actor::System,
    }
}

pub(crate) fn hold(origin: HoldOrigin) -> Hold {
    Hold { by: "ann".into(), cause: "an inquiry".into(), since: earlier(), origin }
}

pub(crate) fn profile() -> Profile {
    let mut profile = Profile::named("alice@corp.example".to_owned());
    profile.emails = vec![Email { address: "alice@corp.example".to_owned(), verified: true, primary: true }];
    profile.department = Some("sales".to_owned());
    profile
}

/// The issuer `corp` speaks for `corp.example`, and lets people in.
pub(crate) fn rules() -> Rules {
    let domains = BTreeSet::from(["corp.example".to_owned()]);
    let corp = IssuerRule { domains: domains.clone(), first_sign_in: true };
    Rules {
        sign_up_domains: domains,
        issuers: BTreeMap::from([(IssuerId::new("corp").unwrap(), corp)]),
        default_roles: BTreeSet::from([role("everybody")]),
        ..Rules::default()
    }
}

pub(crate) fn state(kind: StateKind) -> PersonState {
    match kind {
        StateKind::Invited => PersonState::Invited,
        StateKind::PendingVerification => PersonState::PendingVerification,
        StateKind::Staged => PersonState::Staged,
        StateKind::Active => PersonState::Active,
        StateKind::Locked => PersonState::Locked { until: earlier() },
        StateKind::Suspended => PersonState::Suspended(hold(HoldOrigin::Operator)),
        StateKind::Deactivated => PersonState::Deactivated,
        StateKind::Deleted => PersonState::Deleted,
    }
}

/// Somebody in this state who came there the usual way: provisioned by `okta`, or invited here.
pub(crate) fn person(kind: StateKind) -> Person {
    let source = match kind {
        StateKind::Invited | StateKind::PendingVerification => Source::Local,
        StateKind::Staged
        | StateKind::Active
        | StateKind::Locked
        | StateKind::Suspended
        | StateKind::Deactivated
        | StateKind::Deleted => Source::Scim(okta()),
    };
    let mut person = Person::new(PersonId::from_u128(7), source, state(kind), profile(), earlier());
    match kind {
        StateKind::Invited => person.expires_at = Some(later()),
        StateKind::PendingVerification => {
            person.expires_at = Some(later());
            person.links.insert(link("alice"));
            person.profile.emails[0].verified = false;
        }
        StateKind::Staged => person.source_active = false,
        StateKind::Active | StateKind::Locked | StateKind::Suspended => {}
        StateKind::Deactivated => {
            person.source_active = false;
            person.left = Some(Left { by: doorward_model::directory::Hand::Source(okta()), at: earlier() });
            person.offboarding = Offboarding::Open;
        }
        StateKind::Deleted => person.profile = Profile::named(String::new()),
    }
    if person.source.connection().is_some() && kind != StateKind::Deleted {
        person.links.insert(link("alice"));
        let said = Origin::Source(okta());
        person.roles.give(Given { what: role("seller"), origin: said.clone(), since: earlier() });
        person.groups.give(Given { what: GroupId::from_u128(1), origin: said, since: earlier() });
    }
    person
}

/// A command of this kind which does something.
pub(crate) fn command(kind: CommandKind) -> Command {
    let id = PersonId::from_u128(8);
    let mut other = profile();
    other.department = Some("legal".to_owned());
    let mut named = profile();
    named.name = Some("Alice".to_owned());
    let links = BTreeSet::from([link("alice")]);
    let verified = BTreeSet::from(["Alice@corp.example".to_owned()]);
    match kind {
        CommandKind::Invite => {
            Command::Invite { id, profile: profile().into(), roles: BTreeSet::from([role("guest")]) }
        }
        CommandKind::SignUp => {
            Command::SignUp { id, link: link("alice"), cut_off: false, profile: profile().into() }
        }
        CommandKind::VerifyEmail => Command::VerifyEmail { address: "alice@corp.example".to_owned() },
        CommandKind::AcceptInvitation => {
            Command::AcceptInvitation { link: link("alice"), cut_off: false, verified }
        }
        CommandKind::RevokeInvitation => Command::RevokeInvitation,
        CommandKind::Expire => Command::Expire,
        CommandKind::FirstSignIn => {
            Command::FirstSignIn { id, link: link("alice"), cut_off: false, profile: profile().into() }
        }
        CommandKind::ScimCreate => Command::ScimCreate { id, profile: profile().into(), active: true, links },
        CommandKind::ScimActivate => Command::ScimActivate,
        CommandKind::ScimDeactivate => Command::ScimDeactivate,
        CommandKind::ScimDelete => Command::ScimDelete,
        CommandKind::ScimProfile => Command::ScimProfile(other.into()),
        CommandKind::Profile => Command::Profile(other.into()),
        CommandKind::OwnProfile => Command::OwnProfile(named.into()),
        CommandKind::Activate => Command::Activate,
        CommandKind::Start => Command::Start,
        CommandKind::Suspend => Command::Suspend,
        CommandKind::Unsuspend => Command::Unsuspend,
        CommandKind::Deactivate => Command::Deactivate,
        CommandKind::ContractEnd => Command::ContractEnd,
        CommandKind::Reactivate => Command::Reactivate,
        CommandKind::Delete => Command::Delete,
        CommandKind::Lock => Command::Lock { until: later() },
        CommandKind::Unlock => Command::Unlock,
        CommandKind::LockExpires => Command::LockExpires,
        CommandKind::HoldSet => Command::HoldSet,
        CommandKind::HoldClear => Command::HoldClear(HoldOrigin::Operator),
        CommandKind::GiveRole => Command::GiveRole(role("admin")),
        CommandKind::TakeRole => Command::TakeRole(role("seller")),
        CommandKind::GiveApp => Command::GiveApp(app("wiki")),
        CommandKind::TakeApp => Command::TakeApp(app("wiki")),
        CommandKind::AddGroup => Command::AddGroup(GroupId::from_u128(2)),
        CommandKind::RemoveGroup => Command::RemoveGroup(GroupId::from_u128(1)),
        CommandKind::Link => Command::Link(link("alice-2")),
        CommandKind::Unlink => Command::Unlink(link("alice")),
        CommandKind::HandOver => Command::HandOver(Some(okta())),
        CommandKind::TakeOver => Command::TakeOver,
        CommandKind::EndSessions => Command::EndSessions,
        CommandKind::CaseVerified => Command::CaseVerified,
        CommandKind::CaseClosed => Command::CaseClosed,
    }
}

pub(crate) fn robot() -> Machine {
    Machine {
        id: MachineId::from_u128(70),
        user: link("robot"),
        kind: MachineKind::ServiceAccount,
        name: "robot".to_owned(),
        purpose: "to test".to_owned(),
        owner: PersonId::from_u128(7),
        scopes: BTreeSet::new(),
        state: MachineState::Active,
        expires_at: UnixMillis(i64::MAX),
        created_at: earlier(),
        tokens: Vec::new(),
    }
}

/// Who asks, now, by the sample rules.
pub(crate) fn asked<'a>(actor: Actor, rules: &'a Rules, owned: &'a [Machine]) -> Circumstances<'a> {
    Circumstances { now: NOW, asserted_at: None, actor, cause: "because".into(), rules, owned }
}

/// One step by one actor, now.
pub(crate) fn step(person: Option<Person>, command: &Command, actor: &Actor) -> Result<Step, Denied> {
    apply(person.map(Arc::new).as_ref(), command, &asked(actor.clone(), &rules(), &[robot()]))
}
