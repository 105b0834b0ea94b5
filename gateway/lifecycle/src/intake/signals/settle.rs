//! From a verified message to its answer: one at a time for each sender, decided anew where somebody else
//! changed the same, recorded, and then answered. One that can never be done is told, and owed.

use std::sync::Arc;

use doorward_audit::event::{LifecycleCode, LifecycleOutcome};
use doorward_identity::message::{Rejected, Rejection};
use doorward_state::{Ended, StateError};

use super::carry::Carried;
use super::memory;
use super::pulse::Pulse;
use super::rule::Ruling;
use super::word::Word;
use super::{ATTEMPTS_MAX, Desk, Signals};
use crate::service::{Failed, MessageNote, Undone};
use crate::signals::answer::Took;
use crate::signals::{About, Remember as _, Sight};

/// What came of a verified message.
pub(super) enum Settled {
    /// It is durable, or was before.
    Took(Took),
    /// It is not good after all.
    Rejected(Rejected),
    /// Its sender is to come again.
    Later,
}

/// Why a message has no answer yet.
enum Unsettled {
    /// Somebody changed the same: decide anew.
    Again,
    /// The sender is to come again.
    Later(Failed),
    /// It cannot be done, however often it comes.
    Never(Failed),
    /// The message is not good after all.
    Rejected(Rejected),
}

impl From<StateError> for Unsettled {
    fn from(error: StateError) -> Self {
        Self::Later(error.into())
    }
}

impl From<Failed> for Unsettled {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Changed { .. } | Failed::NotFound { .. } => Self::Again,
            failed if failed.may_pass() => Self::Later(failed),
            failed => Self::Never(failed),
        }
    }
}

impl Signals {
    /// Does what a verified message asks for.
    pub(super) async fn settle<T>(&self, desk: &Desk<T>, word: Word<'_>, request_id: &Arc<str>) -> Settled {
        let Some(_turn) = desk.turn().await else { return Settled::Later };
        for _ in 0..ATTEMPTS_MAX {
            match self.attempt(&word, request_id).await {
                Ok(took) => return Settled::Took(took),
                Err(Unsettled::Again) => {}
                Err(Unsettled::Rejected(why)) => {
                    self.tell_rejected(&word, &why, request_id).await;
                    return Settled::Rejected(why);
                }
                Err(Unsettled::Later(failed)) => {
                    let mut enforced = failed.enforced();
                    if !enforced {
                        enforced = self.bite_once(&word, request_id).await;
                    }
                    self.tell_unsaved(&word, &failed, enforced, request_id).await;
                    return Settled::Later;
                }
                Err(Unsettled::Never(failed)) => return self.give_up(&word, &failed, request_id).await,
            }
        }
        self.tell_unsaved(&word, &Failed::Busy { enforced: false }, false, request_id).await;
        Settled::Later
    }

    /// Takes away what can be taken away, once for a message however often it comes. True when it is in force
    /// here.
    async fn bite_once(&self, word: &Word<'_>, request_id: &Arc<str>) -> bool {
        let ruling = self.rule_from_memory(word);
        let id = word.message_id(ruling.about.as_ref());
        if self.bitten().look(&id) == Sight::Again {
            return true;
        }
        let enforced = self.bite(&ruling.acts, &word.asker(request_id)).await;
        if enforced {
            let now = (self.clock)();
            self.bitten().keep(id, word.kept_until(now), now);
        }
        enforced
    }

    /// What can never be done is owed by an operator. An event is refused, so that it holds up nothing behind
    /// it; whoever calls is told to come again, since nobody else waits for that.
    async fn give_up(&self, word: &Word<'_>, failed: &Failed, request_id: &Arc<str>) -> Settled {
        let enforced = failed.enforced() || self.bite_once(word, request_id).await;
        let why = failed.to_string();
        let undone = Undone { sender: word.sender(), message: word.id(), why: &why };
        if self.lives.owe_undone(undone, &word.asker(request_id)).await {
            tracing::error!(sender = %word.sender(), message = word.id(), why, enforced, "a signal cannot be carried out, however often it comes");
            self.tell_undone(word, LifecycleOutcome::NotSaved, why.clone(), enforced, request_id).await;
        }
        match word {
            Word::Signal(..) => Settled::Rejected(Rejected::new(Rejection::InvalidRequest, why)),
            Word::Logout(_) | Word::Call(..) | Word::Kill(..) => Settled::Later,
        }
    }

    async fn attempt(&self, word: &Word<'_>, request_id: &Arc<str>) -> Result<Took, Unsettled> {
        let now = (self.clock)();
        let ruling = self.rule(word).await?;
        let id = word.message_id(ruling.about.as_ref());
        let (sight, expected) = memory::seen(&self.store, &id).await?;
        if sight == Sight::Again {
            tracing::debug!(sender = %word.sender(), message = word.id(), "a message came again");
            return Ok(Took::Done);
        }
        let mut papers = ruling.marks.clone();
        let life = self.life_after(word, &ruling).await?;
        papers.extend(life.as_ref().and_then(Pulse::paper));
        // Whom a call is not about today it may be about tomorrow: only what was done counts once.
        match ruling.took {
            Took::Done => papers.extend(memory::seen_paper(&id, word.kept_until(now), expected)),
            Took::NoOne | Took::CannotBeDone => {}
        }
        let asker = word.asker(request_id);
        let carried = self.carry_out(&ruling.acts, word.sender(), &asker, papers).await?;
        if let Word::Signal(_, line) = word {
            line.heard(now);
            if let Some(life) = life {
                line.lives(life.health);
            }
        }
        self.tell_taken(word, &ruling, carried, request_id).await;
        Ok(ruling.took)
    }

    /// What is known of a stream after an event about it. None: it is not about the stream.
    async fn life_after(&self, word: &Word<'_>, ruling: &Ruling) -> Result<Option<Pulse>, Unsettled> {
        let (Some(event), Word::Signal(signal, line)) = (&ruling.of_stream, word) else { return Ok(None) };
        let now = (self.clock)();
        let mut pulse = Pulse::read(&self.store, line.name(), now).await?;
        pulse.health.take(event, &line.stream, signal.at, now).map_err(Unsettled::Rejected)?;
        Ok(Some(pulse))
    }

    async fn tell_taken(&self, word: &Word<'_>, ruling: &Ruling, carried: Carried, request_id: &Arc<str>) {
        let Carried { revocations, ended, unpublished, not_done, alarms, takes_away } = carried;
        let alarms: Vec<String> = ruling.alarm.iter().cloned().chain(alarms).collect();
        let why = (!alarms.is_empty()).then(|| alarms.join("; "));
        if let Some(why) = &why {
            tracing::warn!(sender = %word.sender(), message = word.id(), what = word.what(), why, "a signal needs a look");
        }
        if let Some(why) = &unpublished {
            tracing::warn!(sender = %word.sender(), message = word.id(), why, "a signal is in force here and saved, and other nodes do not have it yet");
        }
        let mut facts = facts(word, ruling.outcome);
        facts.extend(ruling.about.as_ref().map(|about| ("about", whom(about))));
        facts.extend(not_done.into_iter().map(|what| ("not_done", what)));
        let note = MessageNote {
            code: LifecycleCode::SignalTaken,
            outcome: LifecycleOutcome::Done,
            command: word.what(),
            facts,
            why,
            revocations,
            ended,
            takes_away,
        };
        self.note(word, note, request_id).await;
    }

    /// Tells of a message that a known sender signed, and that is not good.
    async fn tell_rejected(&self, word: &Word<'_>, why: &Rejected, request_id: &Arc<str>) {
        self.tell_undone(word, LifecycleOutcome::Denied, why.to_string(), false, request_id).await;
    }

    async fn tell_unsaved(&self, word: &Word<'_>, failed: &Failed, enforced: bool, request_id: &Arc<str>) {
        // The sender comes again and again: one line a second is enough.
        let Some(untold) = self.knocks.due((self.clock)()) else { return };
        tracing::error!(sender = %word.sender(), message = word.id(), error = %failed, enforced, untold, "a signal is not saved; its sender is told to come again");
        self.tell_undone(word, LifecycleOutcome::NotSaved, failed.to_string(), enforced, request_id).await;
    }

    async fn tell_undone(
        &self,
        word: &Word<'_>,
        outcome: LifecycleOutcome,
        why: String,
        takes_away: bool,
        request_id: &Arc<str>,
    ) {
        let note = MessageNote {
            code: LifecycleCode::SignalRefused,
            outcome,
            command: word.what(),
            facts: facts(word, outcome.as_str()),
            why: Some(why),
            revocations: Vec::new(),
            ended: Ended::default(),
            takes_away,
        };
        self.note(word, note, request_id).await;
    }

    async fn note(&self, word: &Word<'_>, note: MessageNote, request_id: &Arc<str>) {
        let asker = word.asker(request_id);
        if !self.lives.note_message(word.sender().as_str(), note, &asker).await {
            tracing::error!(sender = %word.sender(), message = word.id(), "the audit log does not have what came of a signal");
        }
    }
}

fn facts(word: &Word<'_>, outcome: &str) -> Vec<(&'static str, String)> {
    vec![("message", word.id().to_owned()), ("outcome", outcome.to_owned())]
}

/// Whom it is about, without a name: the revocations beside it have that.
fn whom(about: &About) -> String {
    match about {
        About::Person(whom) | About::PersonAtApp(whom, _) => match whom.person {
            Some(person) => format!("person {person}"),
            None => "a sign-in".to_owned(),
        },
        About::Session(_) => "a session".to_owned(),
        About::Token(_) => "a token".to_owned(),
        About::Device(_) => "a device".to_owned(),
    }
}
