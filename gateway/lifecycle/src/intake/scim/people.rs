//! What a request for a user comes to: commands for the person whom it is about.

use std::collections::BTreeSet;

use doorward_model::UserId;
use doorward_model::directory::{Origin, Person, PersonId};
use doorward_state::{Expected, Write};

use super::desk::{Desk, Found, later};
use super::hands::{Did, Undone, not_found};
use super::mapping::{self, Meant};
use super::paper::Paper;
use crate::intake::connection::SubjectAttribute;
use crate::machine::Command;
use crate::scim::{Document, ErrorKind, ResourceType, ScimError, Written};
use crate::service::{Failed, Holder};

impl Desk<'_> {
    /// Changes a person. None: everything is so already.
    pub(super) async fn change_user(
        &self,
        found: &Found,
        paper: &mut Paper,
        written: &Written,
    ) -> Result<Option<Did>, Undone> {
        let kind = ResourceType::User;
        let id = found.id.parse().map_err(|_| not_found(kind))?;
        let known = self.lives().person(id).await;
        let (person, _) = known.map_err(|error| damaged(&error))?.ok_or_else(|| not_found(kind))?;
        let meant = self.meant(&paper.document, id)?;
        let before = self.meant(&found.paper.document, id)?;
        let commands = commands(&person, &before.links, &meant);
        if commands.is_empty() && !written.changed && found.paper.asserted == paper.asserted {
            return Ok(None);
        }
        if written.changed {
            paper.last_modified = later(self.caller.now, found.paper.last_modified);
        }
        self.find_place(&found.id, paper).await?;
        let write = self.write(&found.id, paper, Expected::Version(found.version))?;
        self.hand(kind, "change of").person(self.lives(), id, commands, write).await.map(Some)
    }

    /// Makes a person known.
    pub(super) async fn join(&self, id: PersonId, paper: &Paper, write: Write) -> Result<Did, Undone> {
        let meant = self.meant(&paper.document, id)?;
        let Meant { profile, roles, links, active, not_given: _ } = meant;
        let mut commands = vec![Command::ScimCreate { id, profile: Box::new(profile), active, links }];
        commands.extend(roles.into_iter().map(Command::GiveRole));
        self.hand(ResourceType::User, "POST").person(self.lives(), id, commands, write).await
    }

    /// Whom this connection makes known, if an operator handed them over to it: the one who is called so or signs
    /// in so. Two who could be meant are nobody.
    pub(super) async fn handed_over(&self, document: &Document) -> Result<Option<PersonId>, Undone> {
        let connection = &self.caller.connection;
        let lives = self.lives();
        let mut ids = lives.find_called(document.user_name().unwrap_or_default());
        // Of an id that is not given out yet there is no sign-in.
        if connection.subject != SubjectAttribute::Id {
            let meant = self.meant(document, PersonId::from_u128(0))?;
            ids.extend(meant.links.iter().filter_map(|link| match lives.find_sign_in(link) {
                Some(Holder::Person(id)) => Some(id),
                Some(Holder::Machine(_)) | None => None,
            }));
        }
        ids.sort_unstable();
        ids.dedup();
        let mut theirs = Vec::new();
        for id in ids {
            let known = lives.person(id).await.map_err(|error| damaged(&error))?;
            let offered = known.filter(|(person, _)| person.offered_to.as_ref() == Some(&connection.id));
            theirs.extend(offered.map(|(person, _)| person.id));
        }
        match theirs.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            _ => {
                let detail = "two people were handed over to this connection who could be meant: one is called so, the \
                              other signs in so";
                Err(ScimError::new(ErrorKind::Conflict, detail).into())
            }
        }
    }

    /// Takes over a person who was handed over: their id and their sign-ins stay, and what the source says of them
    /// counts.
    pub(super) async fn take_over(&self, id: PersonId, paper: &Paper, write: Write) -> Result<Did, Undone> {
        let kind = ResourceType::User;
        let known = self.lives().person(id).await;
        let (person, _) = known.map_err(|error| damaged(&error))?.ok_or_else(|| not_found(kind))?;
        let meant = self.meant(&paper.document, id)?;
        let mut all = vec![Command::TakeOver];
        all.extend(commands(&person, &BTreeSet::new(), &meant));
        self.hand(kind, "POST").person(self.lives(), id, all, write).await
    }

    fn meant(&self, document: &Document, id: PersonId) -> Result<Meant, ScimError> {
        let meant = mapping::meant(document, id, &self.caller.connection, self.lives().rules())?;
        if meant.not_given > 0 {
            let (connection, request_id) = (&self.caller.connection.id, &*self.caller.request_id);
            let roles = meant.not_given;
            tracing::warn!(%connection, request_id, roles, "a source names roles that it may not give");
        }
        Ok(meant)
    }
}

/// What has to happen to a person so that they are as their source means them: first what takes away.
/// Only sign-ins that followed from what it said before are taken: others were linked by hand.
fn commands(person: &Person, linked_before: &BTreeSet<UserId>, meant: &Meant) -> Vec<Command> {
    let mut commands = Vec::new();
    if !meant.active {
        commands.push(Command::ScimDeactivate);
    }
    let theirs: Vec<_> = person
        .roles
        .iter()
        .filter(|given| matches!(given.origin, Origin::Source(_)))
        .map(|given| given.what.clone())
        .collect();
    let gone = theirs.iter().filter(|role| !meant.roles.contains(*role));
    commands.extend(gone.cloned().map(Command::TakeRole));
    let stale = linked_before.difference(&meant.links).filter(|link| person.links.contains(*link));
    commands.extend(stale.cloned().map(Command::Unlink));
    let said = person.said.as_deref().unwrap_or(&person.profile);
    if !meant.profile.differences(said).is_empty() {
        commands.push(Command::ScimProfile(Box::new(meant.profile.clone())));
    }
    let fresh = meant.links.iter().filter(|link| !person.links.contains(*link));
    commands.extend(fresh.cloned().map(Command::Link));
    let new = meant.roles.iter().filter(|role| !theirs.contains(*role));
    commands.extend(new.cloned().map(Command::GiveRole));
    if meant.active && !person.source_active {
        commands.push(Command::ScimActivate);
    }
    if !meant.active && !person.source_active && commands.len() == 1 {
        commands.clear();
    }
    commands
}

fn damaged(error: &Failed) -> ScimError {
    tracing::error!(%error, "a record of the directory cannot be read");
    ScimError::new(ErrorKind::Internal, "what is stored cannot be read; the log has more")
}
