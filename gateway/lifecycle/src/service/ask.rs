//! One person changes: read, decide, commit, tell; and again when somebody else changed them meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use doorward_model::Target;
use doorward_state::directory::form::{Member, encode_person};
use doorward_state::{Action, Batch, CommitError, Committed, Ended, Expected, RecordKind, Version, Write};

use super::answer::{Asker, Done, Failed, Whom};
use super::cases::CaseWrite;
use super::directory::{Place, Read};
use super::guard::{Reserved, Took};
use super::plan::{self, Plan};
use super::receipts::{Heard, Pend};
use super::view::Holder;
use super::{ATTEMPTS_MAX, Inner, Lifecycle};
use crate::machine::{CaseStep, Command, CommandKind};

/// The longest pause before a change is decided anew, in milliseconds: it grows with the attempts.
const PAUSE_MILLIS_MAX: u64 = 20;

/// What a commit came to.
pub(super) enum Outcome {
    /// It is saved, and why it is not distributed, if it is not.
    Saved(Committed, Option<String>),
    /// Something that was read has changed.
    Again,
}

/// What is in force on this node although it was not written: of attempts that were decided anew.
#[derive(Default)]
pub(super) struct Stray {
    pub(super) targets: BTreeSet<Target>,
    pub(super) enforced: bool,
}

impl Stray {
    /// What was saved is no stray.
    pub(super) fn was_saved(&mut self, target: &Target) {
        self.targets.remove(target);
    }
}

impl Lifecycle {
    /// Does what `command` asks for, with everything that follows, or nothing of it.
    ///
    /// # Errors
    /// See [`Failed`]; [`Failed::enforced`] tells whether what it takes away is in force on this node anyway.
    pub async fn ask(&self, whom: Whom, command: Command, asker: Asker) -> Result<Done, Failed> {
        self.ask_all(whom, vec![command], asker, Vec::new()).await
    }

    /// Does several commands on one person at once, and writes what the caller keeps of them (a SCIM document,
    /// a message that was seen) in the same batch: all of it, or nothing.
    ///
    /// # Errors
    /// As [`Self::ask`]; [`Failed::Changed`] also when a record of `papers` is not as the caller expects it.
    pub async fn ask_all(
        &self,
        whom: Whom,
        commands: Vec<Command>,
        asker: Asker,
        papers: Vec<Write>,
    ) -> Result<Done, Failed> {
        let inner = Arc::clone(&self.inner);
        self.on_its_own(async move { inner.ask(&whom, &commands, &asker, &papers).await }).await
    }
}

impl Inner {
    pub(super) async fn ask(
        &self,
        whom: &Whom,
        commands: &[Command],
        asker: &Asker,
        papers: &[Write],
    ) -> Result<Done, Failed> {
        let by_case =
            |command: &Command| matches!(command.kind(), CommandKind::CaseVerified | CommandKind::CaseClosed);
        if commands.iter().any(by_case) {
            let help = "look at the case, or close it there: the person follows";
            return Err(Failed::Refused { what: "a case is not verified or closed by word", help });
        }
        let mut stray = Stray::default();
        let answer = self.attempts(whom, commands, asker, papers, &mut stray).await;
        self.let_in_again(stray, asker).await;
        answer
    }

    async fn attempts(
        &self,
        whom: &Whom,
        commands: &[Command],
        asker: &Asker,
        papers: &[Write],
        stray: &mut Stray,
    ) -> Result<Done, Failed> {
        let mut on_record = Vec::new();
        for attempt in 0..ATTEMPTS_MAX {
            let place = if attempt == 0 { Place::Memory } else { Place::Disk };
            let commands = &self.with_what_is_cut_off(commands);
            let read = self.read_whom(whom, place).await?;
            let owned = match &read {
                Some(read) => self.owned(read, place).await?,
                None => Vec::new(),
            };
            self.as_expected(read.as_ref(), asker)?;
            let now = (self.ports.clock)();
            let rules = &self.settings.rules;
            let decided = plan::decide(read.as_ref(), &owned, commands, asker, (rules, now));
            let mut plan = match decided {
                Ok(Some(plan)) => plan,
                Ok(None) => return Err(not_found("person", &format!("{whom:?}"))),
                // Memory may be a moment old: what is not done is decided on what is stored.
                Err(_) if place == Place::Memory => continue,
                Err(denied) => {
                    self.tell_denied(read.as_ref(), &denied, asker).await;
                    return Err(denied.into());
                }
            };
            if !plan.changes_anything() && place == Place::Memory {
                continue;
            }
            if !plan.changes_anything() && papers.is_empty() {
                return Ok(nothing(&plan, read.as_ref()));
            }
            self.groups_are_good(commands, &plan).await?;
            self.leave_out_whom_another_keeps_out(&mut plan, asker).await;
            let reserved = self.reserve(commands, &plan, asker).await?;
            if plan.gives() {
                self.intend(&plan, asker, &mut on_record).await?;
            }
            let pend = self.pend(read.as_ref(), &plan, &owned, (commands, asker), now);
            let case = self.case_of(read.as_ref(), &plan, pend.as_ref(), asker, now).await?;
            let mut batch = Batch { writes: plan.writes(read.as_ref())?, changes: plan.changes(asker) };
            batch.writes.extend(case.iter().map(|case| case.write.clone()));
            if plan.case() == Some(CaseStep::Opens) {
                batch.writes.extend(self.unbinding(plan.after.id, place).await?);
            }
            let pend = pend.map(|pend| (batch.writes.len(), pend));
            batch.writes.extend(pend.iter().map(|(_, pend)| pend.write.clone()));
            batch.writes.extend(papers.iter().cloned());
            if batch.writes.is_empty() && batch.changes.is_empty() {
                return Ok(nothing(&plan, read.as_ref()));
            }
            if let Some(taken) = self.taken(&batch, read.as_ref(), stray.enforced).await {
                self.tell_unsaved(read.as_ref(), &plan, &taken, asker).await;
                return Err(taken);
            }
            match self.commit(batch, papers, stray).await {
                Ok(Outcome::Saved(committed, unpublished)) => {
                    reserved.keep();
                    for receipt in &committed.receipts {
                        stray.was_saved(&receipt.target);
                    }
                    let follows = (case, pend);
                    return Ok(self.finish(read, plan, follows, (committed, unpublished), asker).await);
                }
                Ok(Outcome::Again) => self.pause(attempt).await,
                Err(failed) => {
                    self.tell_unsaved(read.as_ref(), &plan, &failed, asker).await;
                    return Err(failed);
                }
            }
        }
        Err(Failed::Busy { enforced: stray.enforced })
    }

    /// Whether a sign-in is cut off is for the revocations to say, whatever a caller believes.
    fn with_what_is_cut_off(&self, commands: &[Command]) -> Vec<Command> {
        let mut commands = commands.to_vec();
        for command in &mut commands {
            if let Command::AcceptInvitation { link, cut_off, .. }
            | Command::FirstSignIn { link, cut_off, .. }
            | Command::SignUp { link, cut_off, .. } = command
            {
                let known = self.ports.revocations.lookup(&Target::User(link.clone()));
                *cut_off = known.is_some_and(|entry| entry.disabled);
            }
        }
        commands
    }

    async fn read_whom(&self, whom: &Whom, place: Place) -> Result<Option<Read>, Failed> {
        match whom {
            Whom::New => Ok(None),
            Whom::Person(id) => self.read(*id, place).await,
            Whom::SignIn(user) => match self.holder(user, place).await? {
                Some(Holder::Person(id)) => self.read(id, place).await,
                Some(Holder::Machine(_)) => Err(Failed::Refused {
                    what: "a machine signs in so, and no person",
                    help: "ask for a change of the machine",
                }),
                None => Ok(None),
            },
        }
    }

    fn as_expected(&self, read: Option<&Read>, asker: &Asker) -> Result<(), Failed> {
        match (asker.if_version, read) {
            (Some(version), Some(read)) if read.version != version => {
                Err(Failed::Changed { kind: RecordKind::Person, id: read.person.id.to_string() })
            }
            (Some(_) | None, _) => Ok(()),
        }
    }

    /// Groups that somebody is put into must be there, and it must be possible to tell in which groups they
    /// are then.
    async fn groups_are_good(&self, commands: &[Command], plan: &Plan) -> Result<(), Failed> {
        for command in commands {
            if let Command::AddGroup(group) = command
                && !self.view.is_there(Member::Group(*group))
                && self.read_group(*group, Place::Disk).await?.is_none()
            {
                return Err(not_found("group", &group.to_string()));
            }
        }
        let puts = commands.iter().any(|command| command.kind() == CommandKind::AddGroup);
        if puts {
            self.view.resolves(plan.after.groups.names().copied()).map_err(Failed::Nesting)?;
        }
        Ok(())
    }

    /// Counts what a connection takes away, or stops it.
    async fn reserve(
        &self,
        commands: &[Command],
        plan: &Plan,
        asker: &Asker,
    ) -> Result<Reserved<'_>, Failed> {
        let (mut people, mut memberships) = (0, 0);
        for (command, step) in commands.iter().zip(&plan.steps) {
            match command.kind() {
                CommandKind::ScimDeactivate | CommandKind::ScimDelete
                    if step.before.as_ref().is_some_and(|before| before.source_active) =>
                {
                    people += 1;
                }
                CommandKind::RemoveGroup if step.changes_anything() => memberships += 1,
                _ => {}
            }
        }
        self.take_from(asker, Took { people, memberships }).await
    }

    /// Who has a name or a sign-in already that the batch gives to somebody. What a batch takes away bites
    /// before the store looks at it, and the sign-in of a stranger must not be cut off by what is then
    /// refused. Where the store cannot be asked, the no counts.
    async fn taken(&self, batch: &Batch, read: Option<&Read>, enforced: bool) -> Option<Failed> {
        if batch.changes.iter().all(|change| change.action.is_grant()) {
            return None;
        }
        let had = read.and_then(|read| encode_person(&read.person).ok()).map(|(_, keys)| keys);
        let had = had.unwrap_or_default();
        for write in batch.writes.iter().filter(|write| write.kind != RecordKind::Machine) {
            for key in write.keys.iter().filter(|key| !had.contains(key)) {
                let holder = match self.ports.revocations.record_by_key(key).await {
                    Ok(Some(holder)) if (holder.kind, &holder.id) != (write.kind, &write.id) => holder,
                    Ok(_) => continue,
                    Err(error) => {
                        tracing::warn!(%error, "it is not known beforehand whether a name is taken");
                        return None;
                    }
                };
                let (holder_kind, holder_id) = (holder.kind.to_string(), holder.id.to_string());
                let key = key.clone();
                return Some(Failed::of(CommitError::KeyTaken { key, holder_kind, holder_id, enforced }));
            }
        }
        None
    }

    /// Commits a batch. A conflict in what was read here is to be decided anew; one in what the caller
    /// brought, be it a paper or a new id, is the caller's.
    pub(super) async fn commit(
        &self,
        batch: Batch,
        papers: &[Write],
        stray: &mut Stray,
    ) -> Result<Outcome, Failed> {
        let off: Vec<Target> = batch
            .changes
            .iter()
            .filter(|change| change.action == Action::Disable)
            .map(|change| change.target.clone())
            .collect();
        let is_new = |write: &&Write| write.expected == Expected::Absent && write.kind.never_returns();
        let new: Vec<(RecordKind, Arc<str>)> =
            batch.writes.iter().filter(is_new).map(|write| (write.kind, Arc::clone(&write.id))).collect();
        let error = match self.ports.revocations.commit(batch).await {
            Ok(committed) => return Ok(Outcome::Saved(committed, None)),
            Err(CommitError::NotPublished { committed, why }) => {
                return Ok(Outcome::Saved(*committed, Some(why)));
            }
            Err(error) => error,
        };
        let refused = matches!(error, CommitError::Conflict { .. } | CommitError::KeyTaken { .. });
        if refused && error.enforced() {
            stray.enforced = true;
            stray.targets.extend(off);
        }
        if let CommitError::Conflict { kind, id, .. } = &error
            && !papers.iter().any(|paper| paper.kind == *kind && *paper.id == **id)
            && !new.iter().any(|(of, new)| of == kind && **new == **id)
        {
            return Ok(Outcome::Again);
        }
        Err(Failed::of(error))
    }

    /// Waits a moment before the next attempt, each time a little longer, and not all the same.
    pub(super) async fn pause(&self, attempt: u32) {
        let bound = PAUSE_MILLIS_MAX.min(2 << attempt.min(10));
        let random = (self.ports.ids)().as_u128() as u64;
        tokio::time::sleep(Duration::from_millis(random % (bound + 1))).await;
    }

    async fn finish(
        &self,
        read: Option<Read>,
        plan: Plan,
        (case, pend): (Option<CaseWrite>, Option<(usize, Pend)>),
        (committed, unpublished): (Committed, Option<String>),
        asker: &Asker,
    ) -> Done {
        let ended = Ended::of(&committed.receipts);
        let unchanged = read.as_ref().map_or(Version::START, |read| read.version);
        // The person is the first of the batch, if they are in it.
        let changed = plan
            .writes(read.as_ref())
            .is_ok_and(|writes| writes.first().is_some_and(|write| write.kind == RecordKind::Person));
        let version = if changed { committed.records.first().copied() } else { None };
        let told = self.tell_done(&plan, case.as_ref(), &committed, asker);
        let owed = self.owe(read.as_ref(), &plan, case.as_ref(), asker);
        let ((on_record, place), ()) = tokio::join!(told, owed);
        self.cases.changed(case.as_ref());
        if let Some((at, pend)) = &pend {
            let (receipts, unpublished) = (committed.receipts.clone(), unpublished.clone());
            self.receipt_is_owed(pend, &committed, *at, Heard { receipts, place, unpublished });
        }
        Done {
            person: plan.after,
            version: version.unwrap_or(unchanged),
            edges: plan.steps.iter().map(|step| step.edge.id).collect(),
            changed: true,
            receipts: committed.receipts,
            ended,
            stopped: plan.stopped.iter().map(|machine| machine.it.id).collect(),
            case: case.map(|case| case.id),
            receipt: pend.map(|(_, pend)| pend.id),
            unpublished,
            on_record,
        }
    }
}

/// The answer to what is so already.
fn nothing(plan: &Plan, read: Option<&Read>) -> Done {
    Done {
        person: Arc::clone(&plan.after),
        version: read.map_or(Version::START, |read| read.version),
        edges: plan.steps.iter().map(|step| step.edge.id).collect(),
        changed: false,
        receipts: Vec::new(),
        ended: Ended::default(),
        stopped: Vec::new(),
        case: None,
        receipt: None,
        unpublished: None,
        on_record: true,
    }
}

pub(super) fn not_found(what: &'static str, id: &str) -> Failed {
    Failed::NotFound { what, id: id.to_owned() }
}
