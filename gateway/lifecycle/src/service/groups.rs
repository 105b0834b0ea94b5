//! Groups: made, renamed, filled, nested and deleted, each in one batch.

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_audit::Event;
use doorward_audit::event::{About, LifecycleChange, LifecycleCode, LifecycleDifference, LifecycleOutcome};
use doorward_model::UnixMillis;
use doorward_model::directory::{Group, GroupId, Source};
use doorward_state::directory::form::{Member, encode_group};
use doorward_state::{BATCH_WRITES_MAX, Batch, Committed, DebtKind, Expected, RecordKind, Version, Write};
use uuid::Uuid;

use super::answer::{Asker, Failed};
use super::ask::{Outcome, Stray, not_found};
use super::debts::{Debt, id_of};
use super::directory::{Place, Versioned, group_key};
use super::guard::Took;
use super::members::{Delta, Moves, Moving};
use super::plan::{bad, connection};
use super::receipts::{Heard, Pend};
use super::tell::in_parts;
use super::{ATTEMPTS_MAX, Inner, Lifecycle};
use crate::machine::Actor;

/// Whether a group is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is to be made, under an id that is new.
    New,
    /// It is there.
    There,
}

/// What is to be done about a group: all of it, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupChange {
    /// Which one.
    pub id: GroupId,
    /// Whether it is there already.
    pub known: Known,
    /// Its name from now on. A new group needs one.
    pub display_name: Option<Arc<str>>,
    /// Who is in it: people and groups.
    pub members: Delta,
}

/// What became of a group.
#[derive(Clone, Debug)]
pub struct GroupDone {
    /// The group from now on. Of one that was deleted, how it was.
    pub group: Group,
    /// The version of its record.
    pub version: Version,
    /// Who is in it now and was not.
    pub added: Vec<Member>,
    /// Who was in it and is not.
    pub removed: Vec<Member>,
    /// The signed receipts that are made of those who were taken out, in their order; none of more than
    /// [`GROUP_RECEIPTS_MAX`](super::GROUP_RECEIPTS_MAX).
    pub receipts: Vec<Uuid>,
    /// Something was written. False where everything was so already.
    pub changed: bool,
    /// Why the other nodes do not have it yet, if they do not.
    pub unpublished: Option<String>,
    /// The audit log has all of it.
    pub on_record: bool,
}

impl Lifecycle {
    /// Makes a group, renames it, and changes who is in it, in one batch. What the caller keeps of it (`papers`)
    /// is in the batch, too.
    ///
    /// # Errors
    /// See [`Failed`]. Nothing is done if one member cannot be put in or taken out.
    pub async fn change_group(
        &self,
        change: GroupChange,
        asker: Asker,
        papers: Vec<Write>,
    ) -> Result<GroupDone, Failed> {
        let inner = Arc::clone(&self.inner);
        self.on_its_own(async move { inner.change_group(&change, &asker, &papers).await }).await
    }

    /// Deletes a group, for ever: nobody is in it from then on. What stands of it with more members than fit
    /// into one batch is cleared away afterwards, and counts for nothing meanwhile.
    ///
    /// # Errors
    /// See [`Failed`].
    pub async fn delete_group(
        &self,
        id: GroupId,
        asker: Asker,
        papers: Vec<Write>,
    ) -> Result<GroupDone, Failed> {
        let inner = Arc::clone(&self.inner);
        self.on_its_own(async move { inner.delete_group(id, &asker, &papers).await }).await
    }
}

/// What a change comes to.
struct Decided {
    before: Option<Versioned<Group>>,
    after: Group,
    moves: Moves,
}

impl Decided {
    fn is_renamed(&self) -> bool {
        self.before.as_ref().is_some_and(|before| before.it.display_name != self.after.display_name)
    }

    /// Nothing is different, also not whose word it is that somebody is in it.
    fn is_nothing(&self) -> bool {
        self.before.is_some() && !self.is_renamed() && self.moves.writes.is_empty()
    }

    /// The group itself is written with every change of who is in it: its version is what clients compare.
    /// It comes last, so that whoever knows it knows who is in it.
    fn writes(&mut self) -> Result<Vec<Write>, Failed> {
        let group = &self.after;
        let expected = self.before.as_ref().map_or(Expected::Absent, |b| Expected::Version(b.version));
        let body = Some(encode_group(group).map_err(bad)?.into());
        let keys = vec![group_key(&group.display_name)?];
        let mut writes = std::mem::take(&mut self.moves.writes);
        let (kind, id) = (RecordKind::Group, group.id.to_string().into());
        writes.push(Write { kind, id, expected, body, keys });
        Ok(writes)
    }
}

impl Inner {
    async fn change_group(
        &self,
        change: &GroupChange,
        asker: &Asker,
        papers: &[Write],
    ) -> Result<GroupDone, Failed> {
        let mut unsaved = Vec::new();
        let answer = self.group_attempts(change, asker, papers, &mut unsaved).await;
        if let Err(failed) = &answer {
            self.tell_group_undone((change.id, "change_group"), unsaved, failed, asker).await;
        }
        answer
    }

    /// What was decided and did not come to be saved stands in `unsaved`.
    async fn group_attempts(
        &self,
        change: &GroupChange,
        asker: &Asker,
        papers: &[Write],
        unsaved: &mut Vec<LifecycleChange>,
    ) -> Result<GroupDone, Failed> {
        let takes = change.members.cleared || !change.members.remove.is_empty();
        // Who is not known to be in it is not taken out. Where that cannot be read, nothing can be saved.
        if takes && let Err(error) = self.ports.revocations.catch_up().await {
            tracing::warn!(%error, "it cannot be read whom other processes put into a group");
        }
        let mut stray = Stray::default();
        let mut on_record = None;
        for attempt in 0..ATTEMPTS_MAX {
            let place = if attempt == 0 { Place::Memory } else { Place::Disk };
            let now = (self.ports.clock)();
            let mut decided = self.decide_group(change, asker, now, place).await?;
            // Memory may be a moment old: what is not done is decided on what is stored.
            if decided.is_nothing() && place == Place::Memory {
                continue;
            }
            if decided.is_nothing() && papers.is_empty() {
                let version = decided.before.as_ref().map_or(Version::START, |before| before.version);
                return Ok(done(decided, version, None, (false, true)));
            }
            let removed = decided.moves.removed.len();
            let reserved = self.take_from(asker, Took { people: 0, memberships: removed }).await?;
            let mut writes = decided.writes()?;
            let place_of_group = writes.len().saturating_sub(1);
            let pends = self.pend_removed(&decided.moves.removed, change.id, asker, now).await;
            let place_of_pends = writes.len();
            writes.extend(pends.iter().map(|pend| pend.write.clone()));
            writes.extend(papers.iter().cloned());
            if writes.len() > BATCH_WRITES_MAX {
                let count = writes.len();
                return Err(Failed::TooMany { what: "members", count, max: BATCH_WRITES_MAX });
            }
            let gives = !decided.moves.added.is_empty() || decided.before.is_none() || decided.is_renamed();
            let facts = (decided.moves.added.clone(), decided.moves.removed.clone());
            if gives && on_record.as_ref() != Some(&facts) {
                let mut events = self.group_events(&decided, asker);
                for event in &mut events {
                    event.code = LifecycleCode::Intended;
                    event.outcome = LifecycleOutcome::Intended;
                }
                self.must_record(events).await?;
                on_record = Some(facts);
            }
            let saved = self.commit(Batch { writes, changes: Vec::new() }, papers, &mut stray).await;
            if !matches!(saved, Ok(Outcome::Saved(..))) {
                *unsaved = self.group_events(&decided, asker);
            }
            match saved? {
                Outcome::Saved(committed, unpublished) => {
                    reserved.keep();
                    let version = committed.records.get(place_of_group).copied().unwrap_or_default();
                    let owed = (place_of_pends, pends);
                    return Ok(self
                        .group_saved(decided, version, owed, (committed, unpublished), asker)
                        .await);
                }
                Outcome::Again => self.pause(attempt).await,
            }
        }
        Err(Failed::Busy { enforced: false })
    }

    /// Tells what was done, and sees to what follows.
    async fn group_saved(
        &self,
        decided: Decided,
        version: Version,
        (first, pends): (usize, Vec<Pend>),
        (committed, unpublished): (Committed, Option<String>),
        asker: &Asker,
    ) -> GroupDone {
        let events = self.group_events(&decided, asker);
        let events = events.into_iter().map(|event| Event::Lifecycle(Box::new(event))).collect();
        let told = self.record_numbered(events);
        let ((on_record, place), ()) = tokio::join!(told, self.group_debts(&decided, asker));
        for (i, pend) in pends.iter().enumerate() {
            let heard = Heard { receipts: Vec::new(), place, unpublished: unpublished.clone() };
            self.receipt_is_owed(pend, &committed, first + i, heard);
        }
        let receipts = pends.iter().map(|pend| pend.id).collect();
        GroupDone { receipts, ..done(decided, version, unpublished, (true, on_record)) }
    }

    async fn decide_group(
        &self,
        change: &GroupChange,
        asker: &Asker,
        now: UnixMillis,
        place: Place,
    ) -> Result<Decided, Failed> {
        let before = self.group_before(change, asker, place).await?;
        let named = change.display_name.clone();
        let after = match (&before, named) {
            (Some(before), named) => {
                let display_name = named.unwrap_or_else(|| Arc::clone(&before.it.display_name));
                if display_name != before.it.display_name {
                    speaks_for(&before.it, asker)?;
                }
                Group { display_name, changed_at: now, ..before.it.clone() }
            }
            (None, Some(display_name)) => Group {
                id: change.id,
                display_name,
                parents: BTreeSet::new(),
                source: source_of(asker)?,
                created_at: now,
                changed_at: now,
            },
            (None, None) => {
                let what = "a new group has a name".to_owned();
                return Err(Failed::Bad { field: "display_name", what });
            }
        };
        let is_new = before.is_none();
        let moving = Moving { group: change.id, asker, now, place, is_new };
        let moves = self.moves(&change.members, &moving).await?;
        Ok(Decided { before, after, moves })
    }

    async fn group_before(
        &self,
        change: &GroupChange,
        asker: &Asker,
        place: Place,
    ) -> Result<Option<Versioned<Group>>, Failed> {
        if change.known == Known::New {
            return Ok(None);
        }
        let group = self.read_group(change.id, place).await?;
        let group = group.ok_or_else(|| not_found("group", &change.id.to_string()))?;
        self.caught_up(|view| view.knows_group(change.id, group.version)).await;
        as_expected(&group, asker)?;
        if connection(&asker.actor).is_some() {
            speaks_for(&group.it, asker)?;
        }
        Ok(Some(group))
    }

    async fn delete_group(&self, id: GroupId, asker: &Asker, papers: &[Write]) -> Result<GroupDone, Failed> {
        let mut unsaved = Vec::new();
        let answer = self.delete_attempts(id, asker, papers, &mut unsaved).await;
        if let Err(failed) = &answer {
            self.tell_group_undone((id, "delete_group"), unsaved, failed, asker).await;
        }
        answer
    }

    async fn delete_attempts(
        &self,
        id: GroupId,
        asker: &Asker,
        papers: &[Write],
        unsaved: &mut Vec<LifecycleChange>,
    ) -> Result<GroupDone, Failed> {
        let mut stray = Stray::default();
        for attempt in 0..ATTEMPTS_MAX {
            let place = if attempt == 0 { Place::Memory } else { Place::Disk };
            let group = self.read_group(id, place).await?;
            let group = group.ok_or_else(|| not_found("group", &id.to_string()))?;
            as_expected(&group, asker)?;
            match &asker.actor {
                Actor::Operator(_) => {}
                Actor::Source(_) | Actor::Signal(_) | Actor::Person | Actor::System => {
                    speaks_for(&group.it, asker)?;
                }
            }
            self.caught_up(|view| view.knows_group(id, group.version)).await;
            let members = self.view.members(id);
            let reserved = self.take_from(asker, Took { people: 0, memberships: members.len() }).await?;
            let expected = Expected::Version(group.version);
            let (kind, body, keys) = (RecordKind::Group, None, Vec::new());
            let mut writes = vec![Write { kind, id: id.to_string().into(), expected, body, keys }];
            let room = BATCH_WRITES_MAX.saturating_sub(1 + papers.len());
            let at_once: Vec<Member> = self.view.every_member(id).into_iter().take(room).collect();
            writes.extend(self.without(id, &at_once, place).await?);
            writes.extend(papers.iter().cloned());
            let saved = self.commit(Batch { writes, changes: Vec::new() }, papers, &mut stray).await;
            let (moves, after) = (Moves { removed: members, ..Moves::default() }, group.it.clone());
            let decided = Decided { before: Some(group), after, moves };
            let mut deleted = self.event(LifecycleCode::GroupDelete, about(&decided.after), asker);
            deleted.command = "delete_group";
            let mut events = vec![deleted];
            events.extend(self.group_events(&decided, asker));
            match saved {
                Ok(Outcome::Saved(committed, unpublished)) => {
                    reserved.keep();
                    let version = committed.records.first().copied().unwrap_or_default();
                    let on_record = self.tell(events).await;
                    self.clear_away(id).await;
                    return Ok(done(decided, version, unpublished, (true, on_record)));
                }
                Ok(Outcome::Again) => {
                    *unsaved = events;
                    self.pause(attempt).await;
                }
                Err(failed) => {
                    *unsaved = events;
                    return Err(failed);
                }
            }
        }
        Err(Failed::Busy { enforced: false })
    }

    /// Clears away what is left of a group that is no more. It counts for nothing, so what cannot be cleared
    /// away now only takes room.
    async fn clear_away(&self, id: GroupId) {
        let mut stray = Stray::default();
        for attempt in 0..ATTEMPTS_MAX {
            let left: Vec<Member> = self.view.every_member(id).into_iter().take(BATCH_WRITES_MAX).collect();
            if left.is_empty() {
                return;
            }
            let writes = match self.without(id, &left, Place::Disk).await {
                Ok(writes) if writes.is_empty() => return,
                Ok(writes) => writes,
                Err(error) => return tracing::warn!(group = %id, %error, "what is left of a group stays"),
            };
            match self.commit(Batch { writes, changes: Vec::new() }, &[], &mut stray).await {
                Ok(_) => self.pause(attempt).await,
                Err(error) => return tracing::warn!(group = %id, %error, "what is left of a group stays"),
            }
        }
    }

    fn group_events(&self, decided: &Decided, asker: &Asker) -> Vec<LifecycleChange> {
        let Decided { before, after, moves } = decided;
        let event = |code, command| LifecycleChange {
            command,
            source: match &after.source {
                Source::Local => "local".to_owned(),
                Source::Scim(connection) => format!("scim:{connection}"),
                Source::SignIn(issuer) => format!("sign_in:{issuer}"),
            },
            ..self.event(code, about(after), asker)
        };
        let mut events = Vec::new();
        if before.is_none() || decided.is_renamed() {
            let (code, command) = match before {
                None => (LifecycleCode::GroupCreate, "create_group"),
                Some(_) => (LifecycleCode::GroupRename, "rename_group"),
            };
            let mut named = event(code, command);
            named.changes.push(LifecycleDifference {
                what: "display_name".to_owned(),
                before: before.as_ref().map(|b| b.it.display_name.to_string()).unwrap_or_default(),
                after: after.display_name.to_string(),
                set_by: None,
            });
            events.push(named);
        }
        for (moved, of_person, of_group, command) in [
            (&moves.added, LifecycleCode::GroupMemberAdd, LifecycleCode::GroupNest, "add_group"),
            (&moves.removed, LifecycleCode::GroupMemberRemove, LifecycleCode::GroupUnnest, "remove_group"),
        ] {
            for (code, ids) in [(of_person, people(moved)), (of_group, groups(moved))] {
                for members in in_parts(&ids) {
                    events.push(LifecycleChange { members, ..event(code, command) });
                }
            }
        }
        let overridden: Vec<Arc<str>> = moves.overridden.iter().map(|id| id.to_string().into()).collect();
        for members in in_parts(&overridden) {
            events.push(LifecycleChange { members, ..event(LifecycleCode::UserOverride, "add_group") });
        }
        events
    }

    async fn group_debts(&self, decided: &Decided, asker: &Asker) {
        let people = decided.moves.overridden.len();
        if people == 0 {
            return;
        }
        let about = format!("group {}:", decided.after.id);
        let since = decided.before.as_ref().map_or(0, |before| before.version.0);
        let id = id_of(DebtKind::Override, &about, &since.to_string());
        let about = format!("{about} its source put {people} people back whom an operator had taken out");
        let cause = "the source said add_group".to_owned();
        self.open_debts(vec![Debt { id, kind: DebtKind::Override, about, cause }], asker).await;
    }
}

fn about(group: &Group) -> About {
    About::Group { id: group.id.to_string().into(), name: Some(Arc::clone(&group.display_name)) }
}

fn people(members: &[Member]) -> Vec<Arc<str>> {
    let ids = members.iter().filter_map(|member| match member {
        Member::Person(id) => Some(id.to_string().into()),
        Member::Group(_) => None,
    });
    ids.collect()
}

fn groups(members: &[Member]) -> Vec<Arc<str>> {
    let ids = members.iter().filter_map(|member| match member {
        Member::Group(id) => Some(id.to_string().into()),
        Member::Person(_) => None,
    });
    ids.collect()
}

fn as_expected(group: &Versioned<Group>, asker: &Asker) -> Result<(), Failed> {
    match asker.if_version {
        Some(version) if version != group.version => {
            Err(Failed::Changed { kind: RecordKind::Group, id: group.it.id.to_string() })
        }
        Some(_) | None => Ok(()),
    }
}

/// Who says what a new group is.
fn source_of(asker: &Asker) -> Result<Source, Failed> {
    match &asker.actor {
        Actor::Operator(_) => Ok(Source::Local),
        Actor::Source(connection) => Ok(Source::Scim(connection.clone())),
        Actor::Signal(_) | Actor::Person | Actor::System => Err(Failed::Refused {
            what: "only an operator or a source makes groups",
            help: "ask one of them",
        }),
    }
}

/// Whether the asker says what the group is.
fn speaks_for(group: &Group, asker: &Asker) -> Result<(), Failed> {
    if source_of(asker)? == group.source {
        return Ok(());
    }
    Err(Failed::Refused {
        what: "somebody else says what the group is",
        help: "ask the source that made it, or an operator if it was made here",
    })
}

fn done(
    decided: Decided,
    version: Version,
    unpublished: Option<String>,
    (changed, on_record): (bool, bool),
) -> GroupDone {
    let Moves { added, removed, .. } = decided.moves;
    GroupDone {
        group: decided.after,
        version,
        added,
        removed,
        receipts: Vec::new(),
        changed,
        unpublished,
        on_record,
    }
}
