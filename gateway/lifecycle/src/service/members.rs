//! Who is put into a group and who is taken out, in one request: thousands of them, each by the same table
//! as one alone, and all in one batch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use doorward_model::UnixMillis;
use doorward_model::directory::{Given, Grants, GroupId, NestingError, Origin, PersonId, StateKind};
use doorward_state::directory::form::Member;
use doorward_state::{Expected, Write};

use super::Inner;
use super::answer::{Asker, Failed};
use super::ask::not_found;
use super::directory::Place;
use super::plan::{cause, of_memberships, of_person};
use super::view::Unnestable;
use crate::machine::{Actor, Circumstances, Command, Denied, Step, Why, apply};

/// Who is in a group from now on, said by what changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Whoever is not added is taken out, as far as the asker may: a source takes out whom it put in.
    pub cleared: bool,
    /// Who is put in.
    pub add: BTreeSet<Member>,
    /// Who is taken out. Whoever is not in it is no mistake.
    pub remove: BTreeSet<Member>,
}

impl Delta {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.cleared && self.add.is_empty() && self.remove.is_empty()
    }
}

/// What a delta comes to.
#[derive(Default)]
pub(super) struct Moves {
    pub(super) writes: Vec<Write>,
    pub(super) added: Vec<Member>,
    pub(super) removed: Vec<Member>,
    /// In whom a source overrode what an operator did by hand.
    pub(super) overridden: Vec<PersonId>,
}

/// What everybody in a delta has in common.
pub(super) struct Moving<'a> {
    pub(super) group: GroupId,
    pub(super) asker: &'a Asker,
    pub(super) now: UnixMillis,
    pub(super) place: Place,
    /// Nobody is in a group that is only coming to be.
    pub(super) is_new: bool,
}

/// On whose word a membership rests.
pub(super) fn origin(actor: &Actor) -> Option<Origin> {
    match actor {
        Actor::Operator(name) => Some(Origin::Operator(Arc::clone(name))),
        Actor::Source(connection) => Some(Origin::Source(connection.clone())),
        Actor::Signal(_) | Actor::Person | Actor::System => None,
    }
}

/// Whether this hand may take what rests on that word: an operator anything, a source its own.
fn may_take(actor: &Actor, origin: &Origin) -> bool {
    match actor {
        Actor::Operator(_) => true,
        Actor::Source(connection) => matches!(origin, Origin::Source(of) if of == connection),
        Actor::Signal(_) | Actor::Person | Actor::System => false,
    }
}

impl Inner {
    /// What a delta comes to. Nothing of it can be done if one of them cannot be put in or taken out.
    pub(super) async fn moves(&self, delta: &Delta, moving: &Moving<'_>) -> Result<Moves, Failed> {
        let mut wanted: BTreeMap<Member, bool> = BTreeMap::new();
        if !moving.is_new {
            if delta.cleared {
                wanted.extend(self.view.members(moving.group).into_iter().map(|member| (member, false)));
            }
            let there = |member: &&Member| self.view.is_there(**member);
            wanted.extend(delta.remove.iter().filter(there).map(|member| (*member, false)));
        }
        wanted.extend(delta.add.iter().map(|member| (*member, true)));
        let mut moves = Moves::default();
        for (member, puts) in wanted {
            match member {
                Member::Person(person) => self.move_person(person, puts, moving, &mut moves).await?,
                Member::Group(group) => self.move_group(group, puts, moving, &mut moves).await?,
            }
        }
        Ok(moves)
    }

    async fn move_person(
        &self,
        id: PersonId,
        puts: bool,
        moving: &Moving<'_>,
        moves: &mut Moves,
    ) -> Result<(), Failed> {
        let member = || id.to_string();
        let read = self.read(id, moving.place).await?;
        let read = read.filter(|read| read.person.state.kind() != StateKind::Deleted);
        let read = match read {
            Some(read) => read,
            None if puts => return Err(not_found("member", &member())),
            None => return Ok(()),
        };
        let circumstances = Circumstances {
            now: moving.now,
            asserted_at: moving.asker.asserted_at,
            actor: moving.asker.actor.clone(),
            cause: cause(moving.asker),
            rules: &self.settings.rules,
            owned: &[],
        };
        let group = moving.group;
        let command = if puts { Command::AddGroup(group) } else { Command::RemoveGroup(group) };
        let step = match apply(Some(&read.person), &command, &circumstances) {
            Ok(step) => step,
            // Whom another source speaks for is not this source's to take out when it clears the group.
            Err(Denied { why: Why::NotItsSource, .. }) if !puts => return Ok(()),
            Err(denied) => return Err(Failed::Member { member: member(), denied }),
        };
        if !step.changes_anything() {
            return Ok(());
        }
        if puts {
            // A group that is only coming to be has nothing above it.
            let names = step.after.groups.names().copied();
            let known: Vec<GroupId> = names.filter(|known| !moving.is_new || *known != group).collect();
            let count = known.len() + usize::from(moving.is_new);
            let fits = count <= doorward_model::limits::GROUPS_MAX;
            let resolved = if fits { self.view.resolves(known) } else { Err(NestingError::Count) };
            resolved.map_err(Failed::Nesting)?;
        }
        moves.writes.extend(of_person(Some(&read), &step.after, false)?);
        if step.edge.overrides() {
            moves.overridden.push(id);
        }
        let was_in = read.person.groups.has(&group);
        note(moves, Member::Person(id), was_in, &step, group);
        Ok(())
    }

    async fn move_group(
        &self,
        child: GroupId,
        puts: bool,
        moving: &Moving<'_>,
        moves: &mut Moves,
    ) -> Result<(), Failed> {
        let member = Member::Group(child);
        if !self.view.is_there(member) {
            return if puts { Err(not_found("member", &child.to_string())) } else { Ok(()) };
        }
        let (mut above, expected) = self.memberships(member, moving.place).await?;
        let actor = &moving.asker.actor;
        if puts {
            let origin = origin(actor).ok_or(Failed::Refused {
                what: "only an operator or a source puts groups into groups",
                help: "ask one of them",
            })?;
            if !above.give(Given { what: moving.group, origin, since: moving.now }) {
                return Ok(());
            }
            self.view.can_nest(child, moving.group).map_err(|error| match error {
                Unnestable::Circle => Failed::Refused {
                    what: "the group would be in itself",
                    help: "take the one out of the other first",
                },
                Unnestable::Deep(error) => Failed::Nesting(error),
            })?;
            moves.added.push(member);
        } else {
            let taken = above.take(|given| given.what == moving.group && may_take(actor, &given.origin));
            if taken.is_empty() {
                return Ok(());
            }
            if !above.has(&moving.group) {
                moves.removed.push(member);
            }
        }
        moves.writes.push(of_memberships(member, &above, expected)?);
        Ok(())
    }

    /// Takes a group out of everybody's memberships, whoever put it there: it is no more.
    pub(super) async fn without(
        &self,
        group: GroupId,
        members: &[Member],
        place: Place,
    ) -> Result<Vec<Write>, Failed> {
        let mut writes = Vec::with_capacity(members.len());
        for member in members {
            let (mut groups, expected): (Grants<GroupId>, Expected) =
                self.memberships(*member, place).await?;
            if !groups.take(|given| given.what == group).is_empty() {
                writes.push(of_memberships(*member, &groups, expected)?);
            }
        }
        Ok(writes)
    }
}

/// Notes who is in the group now and was not, or the other way. Another word for the same is neither.
fn note(moves: &mut Moves, member: Member, was_in: bool, step: &Step, group: GroupId) {
    match (was_in, step.after.groups.has(&group)) {
        (false, true) => moves.added.push(member),
        (true, false) => moves.removed.push(member),
        (true, true) | (false, false) => {}
    }
}
