//! What follows from a message: the decisions of [`crate::signals`], with what the directory knows and what
//! is remembered.

use doorward_state::{StateError, Write};

use super::memory::{self, Kept};
use super::people::People;
use super::word::Word;
use super::{ATTEMPTS_MAX, Signals};
use crate::signals::answer::Took;
use crate::signals::decide::{Act, OfStream, Outcome, Topic, decide};
use crate::signals::{About, Signal, Stream, Verdict, direct};

/// What is to be done.
pub(super) struct Ruling {
    pub(super) about: Option<About>,
    pub(super) acts: Vec<Act>,
    /// What later signals are ordered by.
    pub(super) marks: Vec<Write>,
    /// What came of it, as a word.
    pub(super) outcome: &'static str,
    /// What an operator must look at.
    pub(super) alarm: Option<String>,
    /// What the sender is told.
    pub(super) took: Took,
    /// It is about the stream itself.
    pub(super) of_stream: Option<OfStream>,
}

impl Ruling {
    fn nobody(took: Took) -> Self {
        let outcome = match took {
            Took::Done => "done",
            Took::NoOne => "no_one",
            Took::CannotBeDone => "cannot_be_done",
        };
        let (acts, marks) = (Vec::new(), Vec::new());
        Self { about: None, acts, marks, outcome, alarm: None, took, of_stream: None }
    }

    fn of_acts(about: Option<About>, acts: Vec<Act>) -> Self {
        Self { about, acts, outcome: "acts", ..Self::nobody(Took::Done) }
    }

    fn of_verdict(verdict: Verdict, kept: &[Kept]) -> Self {
        let marks = memory::mark_papers(kept, &verdict.marks);
        let rest = Self { about: verdict.about, marks, ..Self::nobody(Took::Done) };
        match verdict.outcome {
            Outcome::Acts(acts) => Self { acts, outcome: "acts", ..rest },
            Outcome::Recorded => Self { outcome: "recorded", ..rest },
            Outcome::NoOne(_) => Self { outcome: "no_one", took: Took::NoOne, ..rest },
            Outcome::Superseded { by } => {
                tracing::debug!(by = by.0, "a signal is older than one that says otherwise");
                Self { outcome: "superseded", ..rest }
            }
            Outcome::Inexact => {
                let alarm = Some("it would give access to more than it names: nothing was done".to_owned());
                Self { outcome: "inexact", alarm, ..rest }
            }
            Outcome::Discarded { member } => {
                let why = format!("its member `{member}` is critical and nobody here can tell what it means");
                Self { outcome: "discarded", alarm: Some(why), ..rest }
            }
            Outcome::Stream(event) => Self { outcome: "stream", of_stream: Some(event), ..rest },
        }
    }
}

impl Signals {
    /// Decides. Reads the store for marks, and the directory in memory for people.
    pub(super) async fn rule(&self, word: &Word<'_>) -> Result<Ruling, StateError> {
        match word {
            Word::Signal(signal, line) => self.rule_signal(signal, &line.stream).await,
            Word::Logout(_) | Word::Call(..) | Word::Kill(..) => Ok(self.rule_from_memory(word)),
        }
    }

    /// Decides as if nothing had come before: for messages that need no order, and for when the store cannot
    /// tell it.
    pub(super) fn rule_from_memory(&self, word: &Word<'_>) -> Ruling {
        let known = self.people(&[]);
        let directed = match word {
            Word::Signal(signal, line) => {
                return Ruling::of_verdict(decide(signal, &line.stream, &known), &[]);
            }
            Word::Logout(logout) => return Ruling::of_acts(None, direct::of_logout(logout)),
            Word::Call(_, subject, caller) => direct::of_call(subject, caller, &known),
            Word::Kill(order, webhook) => direct::of_kill(order, webhook, &known),
        };
        match directed {
            Ok(directed) => Ruling::of_acts(Some(directed.about), directed.acts),
            Err(took) => Ruling::nobody(took),
        }
    }

    fn people<'a>(&'a self, marks: &'a [Kept]) -> People<'a> {
        People { lives: &self.lives, apps: &self.apps, marks }
    }

    /// Whom it is about is known after the first look; then the marks about them are read, and it is
    /// decided by these.
    async fn rule_signal(&self, signal: &Signal, stream: &Stream) -> Result<Ruling, StateError> {
        let mut first = decide(signal, stream, &self.people(&[]));
        for _ in 0..ATTEMPTS_MAX {
            let topics: Vec<Topic> = first.marks.iter().map(|mark| mark.topic).collect();
            let Some(about) = first.about.clone().filter(|_| !topics.is_empty()) else {
                return Ok(Ruling::of_verdict(first, &[]));
            };
            let now = (self.clock)();
            let kept = memory::marks(&self.store, &signal.stream, &about, &topics, now).await?;
            let verdict = decide(signal, stream, &self.people(&kept));
            if verdict.about.as_ref().map(About::key) == Some(about.key()) {
                return Ok(Ruling::of_verdict(verdict, &kept));
            }
            // The directory changed meanwhile, and somebody else is meant.
            first = decide(signal, stream, &self.people(&[]));
        }
        Err(StateError::Interrupted)
    }
}
