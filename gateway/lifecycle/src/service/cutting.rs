//! Cutting off without changing a life: what a signal, a logout or a workflow tool ends (CAEP 1.0, OpenID
//! Connect Back-Channel Logout 1.0), and what is told of such a message.

use std::sync::Arc;

use doorward_audit::event::{About, LifecycleCode, LifecycleDifference, LifecycleOutcome};
use doorward_model::directory::{Person, PersonId};
use doorward_model::{LifecycleStage, Target};
use doorward_state::directory::form::decode_person;
use doorward_state::{Action, Batch, Ended, Receipt, RecordKind, Write};
use uuid::Uuid;

use super::answer::{Asker, Failed};
use super::ask::{Outcome, Stray};
use super::directory::Place;
use super::receipts::Heard;
use super::tell::by_protocol;
use super::view::Holder;
use super::{Inner, Lifecycle, plan};

/// What was cut off. It is in force here and on the disk.
#[derive(Clone, Debug)]
pub struct CutOff {
    /// The acknowledgments of the revocations, in the order of the targets.
    pub receipts: Vec<Receipt>,
    /// What they ended on this node.
    pub ended: Ended,
    /// The signed receipt that is made of it, if receipts are made.
    pub receipt: Option<Uuid>,
    /// Why other nodes do not have the revocations yet, if they do not.
    pub unpublished: Option<String>,
    /// The audit log has all of it. Otherwise standard error has it.
    pub on_record: bool,
}

/// What is told of a message about somebody.
#[derive(Clone, Debug)]
pub(crate) struct MessageNote {
    /// Taken or refused.
    pub(crate) code: LifecycleCode,
    /// Whether what follows from it happened.
    pub(crate) outcome: LifecycleOutcome,
    /// What it came down to, as a word.
    pub(crate) command: &'static str,
    /// What else there is to say: what, and its value.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// What could not be done, or must be looked at.
    pub(crate) why: Option<String>,
    /// The ids of the revocations that it made.
    pub(crate) revocations: Vec<Arc<str>>,
    /// What they ended on this node.
    pub(crate) ended: Ended,
    /// Whether it took access away.
    pub(crate) takes_away: bool,
}

impl Lifecycle {
    /// Revokes or disables targets, and writes what the caller keeps of the message that asked for it in the
    /// same batch. Without targets, only that is written; with neither, nothing happens.
    ///
    /// # Errors
    /// [`Failed::Refused`] for an action that gives access; else as [`Lifecycle::ask_all`].
    pub async fn cut_off(
        &self,
        targets: Vec<Target>,
        action: Action,
        asker: Asker,
        papers: Vec<Write>,
    ) -> Result<CutOff, Failed> {
        if action.is_grant() {
            let help = "let people in by a change of their life";
            return Err(Failed::Refused { what: "cutting off gives nobody access", help });
        }
        let inner = Arc::clone(&self.inner);
        self.on_its_own(async move { inner.cut_off(&targets, action, &asker, papers).await }).await
    }

    /// A person as memory has them, without their groups. None for one who is deleted, or whose record cannot
    /// be read.
    #[must_use]
    pub(crate) fn in_memory(&self, id: PersonId) -> Option<Person> {
        let record = self.inner.records.get(RecordKind::Person, &id.to_string())?;
        decode_person(record.body.as_deref()?).ok()
    }

    /// Tells what came of a message. True when the log has it.
    pub(crate) async fn note_message(&self, sender: &str, note: MessageNote, asker: &Asker) -> bool {
        let mut event = self.inner.event(note.code, About::Sender(sender.into()), asker);
        event.outcome = note.outcome;
        event.command = note.command;
        let fact = |(what, after): (&str, String)| LifecycleDifference {
            what: what.to_owned(),
            before: String::new(),
            after,
            set_by: None,
        };
        event.changes = note.facts.into_iter().map(fact).collect();
        event.why = note.why;
        event.revocations = note.revocations;
        event.ended = by_protocol(note.ended);
        event.takes_away = note.takes_away;
        self.inner.tell(vec![event]).await
    }
}

impl Inner {
    async fn cut_off(
        &self,
        targets: &[Target],
        action: Action,
        asker: &Asker,
        papers: Vec<Write>,
    ) -> Result<CutOff, Failed> {
        let changes: Vec<_> =
            targets.iter().map(|target| plan::change_past_lives(target.clone(), action, asker)).collect();
        let pend = self.pend_targets(targets, action, asker).await;
        let writes = pend.iter().map(|pend| pend.write.clone()).chain(papers.clone()).collect();
        let batch = Batch { writes, changes };
        if batch.writes.is_empty() && batch.changes.is_empty() {
            let ended = Ended::default();
            return Ok(CutOff {
                receipts: Vec::new(),
                ended,
                receipt: None,
                unpublished: None,
                on_record: true,
            });
        }
        let mut stray = Stray::default();
        let committed = self.commit(batch, &papers, &mut stray).await;
        let enforced = stray.enforced;
        let (committed, unpublished) = match committed {
            Ok(Outcome::Saved(committed, unpublished)) => (committed, unpublished),
            Ok(Outcome::Again) => return Err(Failed::Busy { enforced }),
            Err(failed) => {
                self.let_in_again(stray, asker).await;
                return Err(failed);
            }
        };
        let mut events = Vec::with_capacity(committed.receipts.len());
        let ended = Ended::of(&committed.receipts);
        for receipt in &committed.receipts {
            events.push(self.revocation(receipt, self.stage_of(&receipt.target).await, asker));
        }
        let (on_record, place) = self.record_numbered(events).await;
        if let Some(pend) = &pend {
            let (receipts, unpublished) = (committed.receipts.clone(), unpublished.clone());
            self.receipt_is_owed(pend, &committed, 0, Heard { receipts, place, unpublished });
        }
        let receipt = pend.map(|pend| pend.id);
        Ok(CutOff { receipts: committed.receipts, ended, receipt, unpublished, on_record })
    }

    /// Where whoever is cut off stands, if the directory knows them.
    async fn stage_of(&self, target: &Target) -> LifecycleStage {
        let user = match target {
            Target::User(user) | Target::UserAtApp(user, _) => user,
            Target::Session(_) | Target::Token(_) | Target::Device(_) => return LifecycleStage::Unknown,
        };
        let Ok(Some(Holder::Person(id))) = self.holder(user, Place::Memory).await else {
            return LifecycleStage::Unknown;
        };
        match self.read(id, Place::Memory).await {
            Ok(Some(read)) => read.person.stage(),
            Ok(None) | Err(_) => LifecycleStage::Unknown,
        }
    }
}
