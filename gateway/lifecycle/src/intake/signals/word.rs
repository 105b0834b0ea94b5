//! A verified message, of whichever kind: who says it, under which name it is remembered, and why.

use std::sync::Arc;

use doorward_identity::Sender;
use doorward_identity::message::{Logout, MessageKind, RevocationCall};
use doorward_model::UnixMillis;
use doorward_model::directory::StreamName;

use super::Line;
use crate::machine::Actor;
use crate::service::Asker;
use crate::signals::answer::Asked;
use crate::signals::seen::kept_until;
use crate::signals::{About, KillOrder, MessageId, Signal, Situation, Subject, Webhook};

/// What somebody proved to have said.
#[derive(Clone, Copy)]
pub(super) enum Word<'a> {
    /// A security event.
    Signal(&'a Signal, &'a Line),
    /// A logout.
    Logout(&'a Logout),
    /// A call of global token revocation.
    Call(&'a RevocationCall, &'a Subject, &'a Sender),
    /// A call of the kill webhook.
    Kill(&'a KillOrder, &'a Webhook),
}

impl Word<'_> {
    pub(super) const fn asked(&self) -> Asked {
        match self {
            Self::Signal(..) => Asked::Message(MessageKind::SecurityEvent),
            Self::Logout(_) => Asked::Message(MessageKind::Logout),
            Self::Call(..) => Asked::Message(MessageKind::RevocationCall),
            Self::Kill(..) => Asked::Kill,
        }
    }

    pub(super) const fn sender(&self) -> &StreamName {
        match self {
            Self::Signal(signal, _) => &signal.stream,
            Self::Logout(logout) => logout.sender(),
            Self::Call(call, ..) => call.sender(),
            Self::Kill(order, _) => order.webhook(),
        }
    }

    /// The sender's own name for the message.
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Signal(signal, _) => &signal.id,
            Self::Logout(logout) => logout.id(),
            Self::Call(call, ..) => call.id(),
            Self::Kill(order, _) => order.id(),
        }
    }

    /// Under which it is remembered. The token of a call proves who calls, and says nothing of whom the call
    /// is about: with another subject it is another call.
    pub(super) fn message_id(&self, about: Option<&About>) -> MessageId {
        let of = |kind: &str, issuer: &str| format!("{kind} {} {issuer}", self.sender());
        match self {
            Self::Signal(signal, _) => MessageId::new(&of("event", &signal.issuer), &signal.id),
            Self::Logout(logout) => MessageId::new(&of("logout", logout.issuer()), logout.id()),
            Self::Call(call, ..) => {
                let whom = about.map(About::key).unwrap_or_default();
                MessageId::new(&of("revocation", call.issuer()), &format!("{} {whom}", call.id()))
            }
            Self::Kill(order, _) => order.message_id(),
        }
    }

    /// Until when it is remembered.
    pub(super) fn kept_until(&self, now: UnixMillis) -> UnixMillis {
        match self {
            Self::Signal(..) | Self::Kill(..) => kept_until(now, None),
            Self::Logout(logout) => kept_until(now, Some(logout.expires_at())),
            Self::Call(call, ..) => kept_until(now, Some(call.expires_at())),
        }
    }

    /// When it happened by the word of the sender.
    const fn at(&self) -> UnixMillis {
        match self {
            Self::Signal(signal, _) => signal.at,
            Self::Logout(logout) => logout.issued_at(),
            Self::Call(call, ..) => call.issued_at(),
            Self::Kill(order, _) => order.sent_at(),
        }
    }

    /// What it came down to, as a word.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Signal(signal, _) => Situation::of(&signal.event).map_or("stream", Situation::as_str),
            Self::Logout(_) => "logout",
            Self::Call(..) => "revocation-call",
            Self::Kill(order, _) => order.action().as_str(),
        }
    }

    fn cause(&self) -> String {
        let (sender, id) = (self.sender(), self.id());
        let reason = match self {
            Self::Signal(signal, _) => signal.reason.as_deref(),
            Self::Kill(order, _) => Some(order.reason()),
            Self::Logout(_) | Self::Call(..) => None,
        };
        let said = match self {
            Self::Signal(..) => format!("signal {} of {sender}, {id}", self.what()),
            Self::Logout(_) => format!("logout at {sender}, {id}"),
            Self::Call(..) => format!("global token revocation by {sender}, {id}"),
            Self::Kill(..) => format!("webhook {sender}, {id}"),
        };
        match reason {
            Some(reason) => format!("{said}: {reason}"),
            None => said,
        }
    }

    /// Whose hand it is, and why.
    pub(super) fn asker(&self, request_id: &Arc<str>) -> Asker {
        Asker {
            actor: Actor::Signal(self.sender().clone()),
            asserted_at: Some(self.at()),
            cause: self.cause().into(),
            request_id: Arc::clone(request_id),
            if_version: None,
        }
    }
}
