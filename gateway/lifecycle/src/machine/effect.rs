//! What is different in the person after an edge.

use std::sync::Arc;
use std::time::Duration;

use doorward_model::directory::{
    Edit, Edited, Given, Grants, Hold, Left, Offboarding, Origin, Person, PersonId, PersonState, Profile,
    ProfileField, Source, StateKind,
};

use super::ASSERTED_AHEAD_SECONDS_MAX;
use super::actor::{Actor, Circumstances};
use super::command::{Command, Nature};
use super::edge::Edge;
use super::when::is_held_back;

/// The person after `edge`; where nothing is different, the same as before. None where nobody is
/// known and the command makes nobody known.
pub(super) fn after(
    before: Option<&Person>,
    command: &Command,
    edge: &Edge,
    circumstances: &Circumstances<'_>,
) -> Option<Person> {
    let mut person = match before {
        Some(before) => before.clone(),
        None => joined(command, circumstances)?,
    };
    if command.kind().nature() == Nature::Takes {
        remember_no(&mut person, circumstances);
    }
    if !edge.is_repetition() {
        say(&mut person, command, circumstances);
        if let Some(to) = edge.to {
            enter(&mut person, before.map(|before| before.state.kind()), to, command, circumstances);
        }
    }
    if before.is_some_and(|before| *before != person) {
        person.changed_at = circumstances.now;
    }
    Some(person)
}

/// An older yes of the same hand does not count any more. A hand whose clock is far ahead does not
/// shut the door on its own later words.
fn remember_no(person: &mut Person, circumstances: &Circumstances<'_>) {
    let latest = circumstances.now.plus(Duration::from_secs(ASSERTED_AHEAD_SECONDS_MAX));
    let said_at = circumstances.asserted_at.unwrap_or(circumstances.now).min(latest);
    let mark = person.taken_as_of.entry(circumstances.actor.hand()).or_insert(said_at);
    *mark = said_at.max(*mark);
}

/// Somebody new. Which state they enter is the edge's to say.
fn joined(command: &Command, circumstances: &Circumstances<'_>) -> Option<Person> {
    let now = circumstances.now;
    let new = |id: PersonId, source: Source, profile: Profile| {
        Person::new(id, source, PersonState::Staged, profile, now)
    };
    if let Command::SignUp { id, link, profile, .. } = command {
        let mut person = new(*id, Source::Local, verified_where(profile, |_| false));
        person.links.insert(link.clone());
        person.expires_at = Some(now.plus(circumstances.rules.verification));
        return Some(person);
    }
    if let Command::FirstSignIn { id, link, profile, .. } = command {
        let issuer = link.issuer();
        let profile = verified_where(profile, |address| circumstances.rules.speaks_for(issuer, address));
        let mut person = new(*id, Source::SignIn(issuer.clone()), profile);
        person.links.insert(link.clone());
        return Some(person);
    }
    if let (Command::ScimCreate { id, profile, active, links }, Actor::Source(connection)) =
        (command, &circumstances.actor)
    {
        let mut person = new(*id, Source::Scim(connection.clone()), (**profile).clone());
        person.source_active = *active;
        person.links.clone_from(links);
        return Some(person);
    }
    if let Command::Invite { id, profile, roles } = command {
        let mut person = new(*id, Source::Local, verified_where(profile, |_| false));
        person.expires_at = Some(now.plus(circumstances.rules.invitation));
        for role in roles {
            give(&mut person.roles, role.clone(), circumstances);
        }
        return Some(person);
    }
    None
}

/// The profile, with the addresses verified that are said to be, where that word counts.
fn verified_where(profile: &Profile, counts: impl Fn(&str) -> bool) -> Profile {
    let mut profile = profile.clone();
    for email in &mut profile.emails {
        email.verified = email.verified && counts(&email.address);
    }
    profile
}

/// What the command itself says, before the state changes.
fn say(person: &mut Person, command: &Command, circumstances: &Circumstances<'_>) {
    match command {
        Command::VerifyEmail { address } => {
            for email in person.profile.emails.iter_mut().filter(|email| email.is(address)) {
                email.verified = true;
            }
        }
        Command::AcceptInvitation { link, verified, .. } => {
            person.links.insert(link.clone());
            for email in &mut person.profile.emails {
                let proved = verified.iter().any(|address| email.is(address))
                    && circumstances.rules.speaks_for(link.issuer(), &email.address);
                email.verified = email.verified || proved;
            }
        }
        Command::ScimActivate => person.source_active = true,
        Command::ScimDeactivate => person.source_active = false,
        Command::ScimDelete => {
            person.source_active = false;
            if is_held_back(person) {
                // They are kept, and their source has nothing more to say of them.
                person.source = Source::Local;
                drop_grants(person);
            }
        }
        Command::ScimProfile(profile) => {
            (person.profile, person.said) = heard(person, profile);
            person.edits.retain(|edited, _| is_unheard(edited));
        }
        Command::Profile(profile) | Command::OwnProfile(profile) => edit(person, profile, circumstances),
        Command::Suspend if person.state.kind() == StateKind::Suspended => hold(person, circumstances),
        Command::HoldSet => hold(person, circumstances),
        Command::HoldClear(origin) => person.holds.retain(|hold| hold.origin != *origin),
        Command::GiveRole(role) => {
            give(&mut person.roles, role.clone(), circumstances);
            person.edits.remove(&Edited::Role(role.clone()));
        }
        Command::GiveApp(app) => {
            give(&mut person.apps, app.clone(), circumstances);
            person.edits.remove(&Edited::App(app.clone()));
        }
        Command::AddGroup(group) => {
            give(&mut person.groups, *group, circumstances);
            person.edits.remove(&Edited::Group(*group));
        }
        Command::TakeRole(role) => {
            let taken = take(&mut person.roles, role, &circumstances.actor);
            remember_taken(person, &taken, Edited::Role(role.clone()), circumstances);
        }
        Command::TakeApp(app) => {
            let taken = take(&mut person.apps, app, &circumstances.actor);
            remember_taken(person, &taken, Edited::App(app.clone()), circumstances);
        }
        Command::RemoveGroup(group) => {
            let taken = take(&mut person.groups, group, &circumstances.actor);
            remember_taken(person, &taken, Edited::Group(*group), circumstances);
        }
        Command::Link(link) => {
            person.links.insert(link.clone());
        }
        Command::Unlink(link) => {
            person.links.remove(link);
        }
        Command::HandOver(connection) => person.offered_to.clone_from(connection),
        Command::TakeOver => {
            if let Some(connection) = person.offered_to.take() {
                person.source = Source::Scim(connection);
            }
        }
        Command::CaseVerified => person.offboarding = Offboarding::Verified,
        Command::CaseClosed => person.offboarding = Offboarding::Closed,
        Command::Invite { .. }
        | Command::SignUp { .. }
        | Command::RevokeInvitation
        | Command::Expire
        | Command::FirstSignIn { .. }
        | Command::ScimCreate { .. }
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
        | Command::EndSessions => {}
    }
}

/// The profile after its source said it anew, and what it then says of what somebody here says
/// otherwise. A source has no word for the first and the last day: these stay as they are.
pub(super) fn heard(person: &Person, profile: &Profile) -> (Profile, Option<Box<Profile>>) {
    let dated = |days: &Profile| Profile {
        starts_at: days.starts_at,
        contract_end: days.contract_end,
        ..profile.clone()
    };
    let now = dated(&person.profile);
    let said = person.said.as_deref().map(dated).filter(|said| *said != now);
    (now, said.map(Box::new))
}

/// Whether it is an edit of which a source says nothing when it says the profile.
const fn is_unheard(edited: &Edited) -> bool {
    match edited {
        Edited::Field(ProfileField::StartsAt | ProfileField::ContractEnd)
        | Edited::Role(_)
        | Edited::Group(_)
        | Edited::App(_) => true,
        Edited::Field(
            ProfileField::UserName
            | ProfileField::Name
            | ProfileField::Emails
            | ProfileField::Department
            | ProfileField::Employment
            | ProfileField::HomeCountry
            | ProfileField::Tags,
        ) => false,
    }
}

/// The profile as somebody here says it. Of whom a connection provisions, it is remembered what
/// the source said, and who changed which field.
fn edit(person: &mut Person, profile: &Profile, circumstances: &Circumstances<'_>) {
    let old = std::mem::replace(&mut person.profile, profile.clone());
    if person.source.connection().is_none() {
        return;
    }
    let changed = profile.differences(&old);
    let said = person.said.get_or_insert_with(|| Box::new(old));
    let edited = profile.differences(said);
    person.edits.retain(|key, _| match key {
        Edited::Field(field) => edited.contains(field),
        Edited::Role(_) | Edited::Group(_) | Edited::App(_) => true,
    });
    for field in changed.into_iter().filter(|field| edited.contains(field)) {
        person.edits.insert(Edited::Field(field), edit_by(circumstances));
    }
    if edited.is_empty() {
        person.said = None;
    }
}

fn edit_by(circumstances: &Circumstances<'_>) -> Edit {
    Edit { by: circumstances.actor.name().into(), at: circumstances.now }
}

fn new_hold(circumstances: &Circumstances<'_>) -> Option<Hold> {
    let origin = circumstances.actor.hold_origin()?;
    let by = circumstances.actor.name().into();
    Some(Hold { by, cause: Arc::clone(&circumstances.cause), since: circumstances.now, origin })
}

fn hold(person: &mut Person, circumstances: &Circumstances<'_>) {
    if let Some(hold) = new_hold(circumstances)
        && person.hold_of(&hold.origin).is_none()
    {
        person.holds.push(hold);
    }
}

fn give<T: Ord>(grants: &mut Grants<T>, what: T, circumstances: &Circumstances<'_>) {
    if let Some(origin) = circumstances.actor.grant_origin() {
        grants.give(Given { what, origin, since: circumstances.now });
    }
}

/// Takes what this actor may take: a source its own word, an operator everything.
fn take<T: Ord>(grants: &mut Grants<T>, what: &T, actor: &Actor) -> Vec<Given<T>> {
    grants.take(|given| given.what == *what && actor.may_take(&given.origin))
}

/// Where an operator took what the source had given, the source may give it again, and that is then
/// known to override a hand.
fn remember_taken<T>(
    person: &mut Person,
    taken: &[Given<T>],
    edited: Edited,
    circumstances: &Circumstances<'_>,
) {
    let by_hand = matches!(circumstances.actor, Actor::Operator(_));
    if by_hand && taken.iter().any(|given| matches!(given.origin, Origin::Source(_))) {
        person.edits.insert(edited, edit_by(circumstances));
    }
}

/// Puts the person into the state that the edge leads to.
fn enter(
    person: &mut Person,
    from: Option<StateKind>,
    to: StateKind,
    command: &Command,
    circumstances: &Circumstances<'_>,
) {
    match to {
        StateKind::Invited => person.state = PersonState::Invited,
        StateKind::PendingVerification => person.state = PersonState::PendingVerification,
        StateKind::Staged => {
            person.state = PersonState::Staged;
            if from == Some(StateKind::Invited) {
                person.expires_at = None;
                give_defaults(person, circumstances);
            }
        }
        StateKind::Active => come_in(person, from, circumstances),
        StateKind::Locked => {
            if let Command::Lock { until } = command {
                person.state = PersonState::Locked { until: *until };
            }
        }
        StateKind::Suspended => {
            if let Some(hold) = new_hold(circumstances) {
                person.state = PersonState::Suspended(hold);
            }
        }
        StateKind::Deactivated => leave(person, circumstances),
        StateKind::Deleted => {
            let was_in = match from {
                Some(StateKind::Staged | StateKind::Active | StateKind::Locked | StateKind::Suspended) => {
                    true
                }
                Some(
                    StateKind::Invited
                    | StateKind::PendingVerification
                    | StateKind::Deactivated
                    | StateKind::Deleted,
                )
                | None => false,
            };
            if was_in {
                leave(person, circumstances);
            }
            erase(person);
        }
    }
}

fn come_in(person: &mut Person, from: Option<StateKind>, circumstances: &Circumstances<'_>) {
    let now = circumstances.now;
    person.state = PersonState::Active;
    person.expires_at = None;
    let joins_or_returns = match from {
        None | Some(StateKind::Invited | StateKind::PendingVerification) => true,
        Some(StateKind::Deactivated) => {
            person.returned_at = Some(now);
            person.offboarding = match person.offboarding {
                Offboarding::None => Offboarding::None,
                Offboarding::Open | Offboarding::Verified | Offboarding::Closed => Offboarding::Closed,
            };
            true
        }
        Some(
            StateKind::Staged
            | StateKind::Active
            | StateKind::Locked
            | StateKind::Suspended
            | StateKind::Deleted,
        ) => false,
    };
    if joins_or_returns {
        give_defaults(person, circumstances);
    }
}

/// What everybody has whom no connection provisions.
fn give_defaults(person: &mut Person, circumstances: &Circumstances<'_>) {
    if person.source.connection().is_some() {
        return;
    }
    for role in &circumstances.rules.default_roles {
        let (what, origin, since) = (role.clone(), Origin::Default, circumstances.now);
        person.roles.give(Given { what, origin, since });
    }
}

/// They leave: nothing that was done by hand for them is left, but for what keeps them out.
fn leave(person: &mut Person, circumstances: &Circumstances<'_>) {
    let state = std::mem::replace(&mut person.state, PersonState::Deactivated);
    if let PersonState::Suspended(hold) = state
        && person.hold_of(&hold.origin).is_none()
    {
        person.holds.push(hold);
    }
    person.left = Some(Left { by: circumstances.actor.hand(), at: circumstances.now });
    person.offboarding = Offboarding::Open;
    person.offered_to = None;
    person.roles.take(|given| !given.origin.stays());
    person.groups.take(|given| !given.origin.stays());
    person.apps.take(|given| !given.origin.stays());
    if let Some(said) = person.said.take() {
        person.profile = *said;
    }
    person.edits.retain(|edited, _| !matches!(edited, Edited::Field(_)));
}

/// Leaves the id, the source, and when it happened.
fn erase(person: &mut Person) {
    person.state = PersonState::Deleted;
    person.source_active = false;
    person.links.clear();
    person.offered_to = None;
    person.holds.clear();
    person.profile = Profile::named(String::new());
    person.said = None;
    person.edits.clear();
    drop_grants(person);
    person.expires_at = None;
}

fn drop_grants(person: &mut Person) {
    person.roles = Grants::new();
    person.groups = Grants::new();
    person.apps = Grants::new();
}
