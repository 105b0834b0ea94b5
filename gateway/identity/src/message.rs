//! Messages between servers about people: security event tokens (SET, RFC 8417) as Shared Signals
//! (SSF 1.0 §4.1) has them, logout tokens (OpenID Connect Back-Channel Logout 1.0 §2.4), and the
//! signed JWT that authenticates a call of global token revocation
//! (`draft-parecki-oauth-global-token-revocation`; Okta's Universal Logout); and what a source of posture
//! says of a device.
//!
//! ```text
//!  name from the path ─▶ Sender ─▶ kind ─▶ header ─▶ type ─▶ iss ─▶ key ─▶ signature ─▶ aud ─▶ claims
//!                                  │                                                         │
//!                                  └── each kind is refused as every other ──────────────────┘
//! ```
//!
//! Cast: [`MessageVerifier`] checks; [`SecurityEvent`], [`Logout`], [`RevocationCall`] and
//! [`PostureReport`] are the
//! proofs, with private fields; [`MessageError`] says no, in the words of RFC 8935 §2.4.
//!
//! Invariants:
//! * The sender is chosen by the address that was called, never by what the message says.
//! * Header, keys, algorithms and JSON are read by the code that reads bearer tokens.
//! * No message is an access token, and no access token is a message: the types differ, and so do
//!   the claims that each must and must not have.
//! * Whom a sender may speak of is its configuration's; a message cannot widen that.
//!
//! What a message says about somebody, and what follows from it, is known by the crate `lifecycle`.
//! So is whether it came before.

mod claims;
mod failure;
mod kind;

use std::fmt;
use std::sync::Arc;

use doorward_model::UnixMillis;
use doorward_model::directory::StreamName;
use doorward_model::time::Clock;

pub use self::claims::{Logout, PostureReport, RevocationCall, SecurityEvent};
pub use self::failure::{MessageError, Rejected, Rejection};
pub use self::kind::MessageKind;
use crate::claims::Claims;
use crate::config::Sender;
use crate::header;
use crate::keys::{self, KeyClient, KeyRing, KeyStatus};
use crate::words::shown;

/// Verifies the messages of the configured senders.
pub struct MessageVerifier {
    senders: Vec<Trusted>,
}

/// A sender and its keys.
struct Trusted {
    sender: Sender,
    ring: Arc<KeyRing>,
}

// === impl MessageVerifier ===

impl MessageVerifier {
    /// A verifier without keys yet: [`keep_fresh`](Self::keep_fresh) fetches them, or the first
    /// message that needs them.
    #[must_use]
    pub fn new(senders: Vec<Sender>, client: &KeyClient) -> Self {
        let trust = |sender: Sender| {
            let (source, accepted) = (sender.keys.clone(), sender.algorithms.clone());
            let ring = Arc::new(KeyRing::new(sender.key_owner.clone(), source, accepted, client.clone()));
            Trusted { sender, ring }
        };
        Self { senders: senders.into_iter().map(trust).collect() }
    }

    /// The sender of that name that sends that kind.
    #[must_use]
    pub fn sender(&self, name: &str, kind: MessageKind) -> Option<&Sender> {
        self.find(name, kind).map(|t| &t.sender)
    }

    fn find(&self, name: &str, kind: MessageKind) -> Option<&Trusted> {
        self.senders.iter().find(|t| t.sender.id.as_str() == name && t.sender.kind == kind)
    }

    /// Verifies a security event token of the stream `name`.
    ///
    /// # Errors
    /// [`MessageError::KeysUnavailable`] when we have no keys, or could not look for this one: the
    /// sender should try again. [`MessageError::Rejected`] otherwise.
    pub async fn security_event(
        &self,
        name: &str,
        token: &str,
        now: UnixMillis,
    ) -> Result<SecurityEvent, MessageError> {
        let (sender, claims) = self.open(name, MessageKind::SecurityEvent, token, now).await?;
        Ok(SecurityEvent::read(sender, claims, now)?)
    }

    /// Verifies a logout token of the provider `name`.
    ///
    /// # Errors
    /// As [`security_event`](Self::security_event).
    pub async fn logout(&self, name: &str, token: &str, now: UnixMillis) -> Result<Logout, MessageError> {
        let (sender, claims) = self.open(name, MessageKind::Logout, token, now).await?;
        Ok(Logout::read(sender, &claims, now)?)
    }

    /// Verifies the JWT by which the caller `name` of global token revocation proves who it is.
    ///
    /// # Errors
    /// As [`security_event`](Self::security_event).
    pub async fn revocation_call(
        &self,
        name: &str,
        token: &str,
        now: UnixMillis,
    ) -> Result<RevocationCall, MessageError> {
        let (sender, claims) = self.open(name, MessageKind::RevocationCall, token, now).await?;
        Ok(RevocationCall::read(sender, &claims, now)?)
    }

    /// Verifies what the source of posture `name` says of a device.
    ///
    /// # Errors
    /// As [`security_event`](Self::security_event).
    pub async fn posture(
        &self,
        name: &str,
        token: &str,
        now: UnixMillis,
    ) -> Result<PostureReport, MessageError> {
        let (sender, claims) = self.open(name, MessageKind::DevicePosture, token, now).await?;
        Ok(PostureReport::read(sender, &claims, now)?)
    }

    /// What all kinds have in common. Returns claims that the sender signed and meant for us.
    async fn open(
        &self,
        name: &str,
        kind: MessageKind,
        token: &str,
        now: UnixMillis,
    ) -> Result<(&Sender, Claims), MessageError> {
        let Some(Trusted { sender, ring }) = self.find(name, kind) else {
            let detail = format!("no sender of {} is named `{}`", kind.what(), shown(name, 64));
            return Err(Rejected::new(Rejection::AccessDenied, detail).into());
        };
        let opened = header::open(token).map_err(Rejection::InvalidRequest.with())?;
        let typ = opened.token_type().map_err(Rejection::InvalidRequest.with())?;
        if !kind.may_be_of_type(&typ) {
            let detail = format!("a message of type `{}` is not {}", shown(&typ, 40), kind.one());
            return Err(Rejected::new(Rejection::InvalidRequest, detail).into());
        }
        let says = opened.claims.issuer().map_err(Rejection::InvalidIssuer.with())?;
        if says != sender.url {
            let detail = format!("`{}` is not the `iss` of `{}`", shown(says, 100), sender.id);
            return Err(Rejected::new(Rejection::InvalidIssuer, detail).into());
        }
        let header =
            opened.header_for(&sender.key_owner, &sender.algorithms).map_err(Rejection::InvalidKey.with())?;
        ring.epoch_that_signed(&opened, &header, now).await.map_err(MessageError::of_keys)?;
        opened.claims.audience(&sender.audiences).map_err(Rejection::InvalidAudience.with())?;
        Ok((sender, opened.claims))
    }

    /// Fetches the keys of all senders now, or reads their files again, for an operator who knows
    /// that a key was withdrawn.
    pub async fn refresh_all(&self, now: UnixMillis) {
        keys::refresh_all(self.rings(), now).await;
    }

    /// Keeps the keys of all senders fresh. Runs until it is dropped; no error ends it.
    pub async fn keep_fresh(self: Arc<Self>, clock: Clock) {
        keys::keep_all_fresh(self.rings(), clock).await;
    }

    fn rings(&self) -> Vec<Arc<KeyRing>> {
        self.senders.iter().map(|t| Arc::clone(&t.ring)).collect()
    }

    /// How the keys of each sender stand.
    #[must_use]
    pub fn key_status(&self, now: UnixMillis) -> Vec<KeyStatus> {
        self.senders.iter().map(|t| t.ring.status(now)).collect()
    }

    /// The senders.
    pub fn senders(&self) -> impl Iterator<Item = &Sender> {
        self.senders.iter().map(|t| &t.sender)
    }
}

impl fmt::Debug for MessageVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<(&StreamName, MessageKind)> = self.senders().map(|s| (s.id(), s.kind())).collect();
        f.debug_struct("MessageVerifier").field("senders", &names).finish_non_exhaustive()
    }
}
