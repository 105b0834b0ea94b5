//! Whoever should speak and is silent is owed: a stream of signals (SSF 1.0 §8.1.4), or a source of people.
//! Nobody here knows what happens there. And what was said and could not be done is owed.

use doorward_identity::shown;
use doorward_model::UnixMillis;
use doorward_model::directory::{ConnectionId, StreamName};
use doorward_model::limits::REVOCATION_PAGE_ROWS_MAX;
use doorward_state::{DebtKind, StateError};
use uuid::Uuid;

use super::answer::Asker;
use super::debts::{Debt, id_of};
use super::{Inner, Lifecycle};
use crate::machine::Actor;

/// Characters of a message's id that are shown.
const MESSAGE_CHARS: usize = 60;

/// Who is silent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Silent<'a> {
    /// A stream of signals.
    Stream(&'a StreamName),
    /// A source of people.
    Source(&'a ConnectionId),
}

/// A message that can never be carried out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Undone<'a> {
    /// Who sent it.
    pub(crate) sender: &'a StreamName,
    /// Its sender's name for it.
    pub(crate) message: &'a str,
    /// What stands in the way.
    pub(crate) why: &'a str,
}

impl Silent<'_> {
    const fn kind(self) -> DebtKind {
        match self {
            Self::Stream(_) => DebtKind::SilentStream,
            Self::Source(_) => DebtKind::SilentSource,
        }
    }

    /// How what is owed about it begins.
    fn about(self) -> String {
        match self {
            Self::Stream(name) => format!("stream {name}:"),
            Self::Source(name) => format!("connection {name}:"),
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Stream(_) => "what its transmitter would tell may not arrive here",
            Self::Source(_) => "whoever leaves there may still have access here",
        }
    }
}

fn asker() -> Asker {
    Asker {
        actor: Actor::System,
        asserted_at: None,
        cause: "whoever should speak is listened for".into(),
        request_id: "silence".into(),
        if_version: None,
    }
}

impl Lifecycle {
    /// Opens the debt of somebody who is silent since then, unless it was opened before, by whomever.
    pub(crate) async fn owe_silence(&self, of: Silent<'_>, since: UnixMillis, cause: String) {
        let (kind, about) = (of.kind(), of.about());
        let id = id_of(kind, &about, &since.0.to_string());
        match self.inner.was_opened(id).await {
            Ok(true) => {}
            Ok(false) => {
                let debt = Debt { id, kind, about: format!("{about} {}", of.what()), cause };
                self.inner.open_debts(vec![debt], &asker()).await;
            }
            Err(error) => {
                tracing::error!(about, %error, "the control debt of a silence cannot be opened");
            }
        }
    }

    /// Settles what is owed of somebody who speaks.
    pub(crate) async fn settle_silence(&self, of: Silent<'_>) {
        self.inner.settle_about(of.kind(), &of.about(), "it speaks again", &asker()).await;
    }
}

impl Lifecycle {
    /// Opens the debt of a message that cannot be carried out, once for a message. False: it was opened
    /// before.
    pub(crate) async fn owe_undone(&self, of: Undone<'_>, asker: &Asker) -> bool {
        let Undone { sender, message, why } = of;
        let about = format!("signal {} of {sender}:", shown(message, MESSAGE_CHARS));
        let id = id_of(DebtKind::UnprovenEnd, &about, message);
        match self.inner.was_opened(id).await {
            Ok(true) => return false,
            Ok(false) => {}
            Err(error) => tracing::error!(about, %error, "the control debts cannot be read"),
        }
        let about = format!("{about} it could not be carried out, so whoever it is about may still be in");
        let debt = Debt { id, kind: DebtKind::UnprovenEnd, about, cause: why.to_owned() };
        self.inner.open_debts(vec![debt], asker).await;
        true
    }
}

impl Inner {
    /// Whether there is a debt of this id, also a settled one.
    async fn was_opened(&self, id: Uuid) -> Result<bool, StateError> {
        let mut before = None;
        loop {
            let page = self.ports.revocations.debts(false, before, REVOCATION_PAGE_ROWS_MAX).await?;
            if page.iter().any(|debt| debt.id == id) {
                return Ok(true);
            }
            if page.len() < REVOCATION_PAGE_ROWS_MAX {
                return Ok(false);
            }
            before = page.last().map(|debt| debt.seq);
        }
    }
}
