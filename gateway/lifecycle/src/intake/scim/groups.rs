//! What a request for a group comes to: its name, and who comes in and goes out.

use doorward_model::directory::GroupId;
use doorward_state::Expected;
use doorward_state::directory::form::Member;

use super::desk::{Desk, Found, later};
use super::hands::{Did, GroupStep, Undone, not_found, taken};
use super::paper::Paper;
use crate::scim::{ErrorKind, Membership, ResourceType, ScimError, Written};
use crate::service::Delta;

impl Desk<'_> {
    /// Changes a group. None: everything is so already.
    pub(super) async fn change_group(
        &self,
        found: &Found,
        paper: &mut Paper,
        written: &Written,
    ) -> Result<Option<Did>, Undone> {
        let kind = ResourceType::Group;
        let id = found.id.parse().map_err(|_| not_found(kind))?;
        let delta = self.delta(&written.membership)?;
        let moves = self.moves(id, &delta);
        if !moves && !written.changed && found.paper.asserted == paper.asserted {
            return Ok(None);
        }
        if written.changed || moves {
            paper.last_modified = later(self.caller.now, found.paper.last_modified);
        }
        let step = if paper.name() == found.paper.name() {
            GroupStep::Keep
        } else {
            GroupStep::Rename { name: self.group_name(paper).await? }
        };
        self.find_place(&found.id, paper).await?;
        let write = self.write(&found.id, paper, Expected::Version(found.version))?;
        self.hand(kind, "change of").group(self.lives(), id, &step, delta, write).await.map(Some)
    }

    /// The name by which policies know a group of this connection. One that begins as another connection's
    /// groups do is not free: policies would take it for one of those.
    pub(super) async fn group_name(&self, paper: &Paper) -> Result<String, ScimError> {
        let connection = &self.caller.connection;
        let name = connection.terms.group_name(paper.name());
        if connection.terms.group_prefix.is_some() {
            return Ok(name);
        }
        match self.scim.connections.has_group_names_like(&name, &connection.id).await {
            Ok(None) => Ok(name),
            Ok(Some(other)) => {
                let (connection, request_id) = (&connection.id, &*self.caller.request_id);
                tracing::info!(%connection, request_id, %other, "a source names a group as another one's are called");
                Err(taken("display_name"))
            }
            Err(error) => {
                tracing::error!(%error, "the connections cannot be read");
                Err(ScimError::new(
                    ErrorKind::Unavailable,
                    "the directory cannot be read right now; try again",
                ))
            }
        }
    }

    /// Who is put in and who is taken out, as the directory names them.
    pub(super) fn delta(&self, wanted: &Membership) -> Result<Delta, ScimError> {
        let mut delta = Delta { cleared: wanted.is_cleared(), ..Delta::default() };
        for member in wanted.added() {
            delta.add.insert(self.member(&member.id, member.kind).ok_or_else(|| {
                let detail = "`members.value` names nobody whom this connection made known";
                ScimError::new(ErrorKind::InvalidValue, detail)
            })?);
        }
        // Whoever is not known is not in it.
        delta.remove.extend(wanted.removed().filter_map(|id| self.member(id, None)));
        Ok(delta)
    }

    /// Whether anybody's membership that this connection speaks for changes by it.
    fn moves(&self, group: GroupId, delta: &Delta) -> bool {
        let is_in = |member: &Member| self.scim.roster.put_in(&self.caller.connection.id, *member, group);
        let leaves = |member: &Member| !delta.add.contains(member) && is_in(member);
        delta.add.iter().any(|member| !is_in(member))
            || delta.remove.iter().any(leaves)
            || (delta.cleared && self.lives().members(group).iter().any(leaves))
    }

    /// The person or group of this id, if the connection made it known.
    pub(super) fn member(&self, id: &str, kind: Option<ResourceType>) -> Option<Member> {
        let mine = |member: &Member| self.is_mine(*member);
        let person = || id.parse().ok().map(Member::Person).filter(mine);
        let group = || id.parse().ok().map(Member::Group).filter(mine);
        match kind {
            Some(ResourceType::User) => person(),
            Some(ResourceType::Group) => group(),
            None => person().or_else(group),
        }
    }
}
