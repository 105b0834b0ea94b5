//! The kill webhook: one signed call by which a workflow tool (a SOAR, an identity provider's workflow,
//! a script of the helpdesk) takes access away.
//!
//! Signed as Standard Webhooks 1.0 has it: `webhook-id`, `webhook-timestamp` in seconds, and
//! `webhook-signature` with one or more `v1,` and the base64 of HMAC-SHA256 over
//! `id.timestamp.body`. Each side may have several keys while they are changed.
//!
//! ```json
//! {"action": "hold", "subject": {"format": "iss_sub", "iss": "corp", "sub": "alice"}, "reason": "case 4711"}
//! ```
//!
//! It can take, never give: there is no action that lets anybody in.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doorward_identity::message::{Rejected, Rejection};
use doorward_identity::{json, shown};
use doorward_model::UnixMillis;
use doorward_model::directory::StreamName;
use serde_json::Value;

use super::config::Webhook;
use super::request::{BODY_BYTES_MAX, Request, RequestError, bad, is_of_type};
use super::seen::MessageId;
use super::subject::Subject;

/// The most signatures of one call.
const SIGNATURES_MAX: usize = 8;
/// The longest `webhook-id`, in bytes.
const ID_BYTES_MAX: usize = 255;
/// The longest reason, in characters.
const REASON_CHARS_MAX: usize = 300;

/// The three headers of a call. One that comes twice is given as none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signed<'a> {
    /// `webhook-id`: the same for every try of the same call.
    pub id: Option<&'a str>,
    /// `webhook-timestamp`: when this try was made, in seconds.
    pub timestamp: Option<&'a str>,
    /// `webhook-signature`: words, each a version, a comma and a signature.
    pub signature: Option<&'a str>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KillAction {
    /// What the subject has open ends; a new sign-in is possible.
    Revoke,
    /// The same, and no new sign-in is possible until an operator lifts the hold.
    Hold,
}

/// Proof that a configured tool asked for this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillOrder {
    webhook: StreamName,
    id: String,
    sent_at: UnixMillis,
    action: KillAction,
    subject: Subject,
    reason: String,
}

// === impl KillAction ===

impl KillAction {
    /// Every action.
    pub const ALL: [Self; 2] = [Self::Revoke, Self::Hold];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Hold => "hold",
        }
    }
}

// === impl KillOrder ===

impl KillOrder {
    /// Which webhook was called.
    #[must_use]
    pub const fn webhook(&self) -> &StreamName {
        &self.webhook
    }

    /// The name of the call, under which it is remembered.
    #[must_use]
    pub fn message_id(&self) -> MessageId {
        MessageId::new(&format!("webhook:{}", self.webhook), &self.id)
    }

    /// The `webhook-id`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When the call was signed.
    #[must_use]
    pub const fn sent_at(&self) -> UnixMillis {
        self.sent_at
    }

    /// What is asked for.
    #[must_use]
    pub const fn action(&self) -> KillAction {
        self.action
    }

    /// For whom.
    #[must_use]
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Why, in the words of whoever asked.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Reads and checks a call. Nothing of the body is read before its signature holds.
    ///
    /// # Errors
    /// `authentication_failed` when a header is missing, the time is outside of the window, or no
    /// signature is of one of the webhook's keys; `access_denied` for a hold that the webhook may not
    /// set; `invalid_request` for a body that is not such an order, with the member that is wrong.
    pub fn read(
        request: &Request<'_>,
        signed: &Signed<'_>,
        webhook: &Webhook,
        now: UnixMillis,
    ) -> Result<Self, RequestError> {
        if request.method != "POST" {
            return Err(RequestError::NotPost);
        }
        if request.body.len() > BODY_BYTES_MAX {
            return bad("the body is larger than the limit");
        }
        let (id, sent_at) = authenticate(signed, request.body, webhook, now)?;
        is_of_type(request, "application/json")?;
        let body = match json::object(request.body) {
            Ok(body) => body,
            Err(e) => return bad(format!("the body: {e}")),
        };
        if let Some(other) = body.keys().find(|k| !["action", "subject", "reason"].contains(&k.as_str())) {
            return bad(format!(
                "`{}` is not a member of an order: send `action`, `subject`, `reason`",
                shown(other, 40)
            ));
        }
        let action = match body.get("action") {
            Some(Value::String(word)) => KillAction::ALL.into_iter().find(|a| a.as_str() == word),
            Some(_) | None => None,
        };
        let Some(action) = action else { return bad("`action` is neither `revoke` nor `hold`") };
        if action == KillAction::Hold && !webhook.may_hold {
            let detail = format!("the webhook `{}` may not hold people: set `may_hold`", webhook.id);
            return Err(Rejected::new(Rejection::AccessDenied, detail).into());
        }
        let Some(Value::Object(subject)) = body.get("subject") else {
            return bad("`subject` is not an object");
        };
        let subject = Subject::read(subject).or_else(|e| bad(format!("`subject`: {e}")))?;
        let reason = match body.get("reason") {
            Some(Value::String(reason)) if !reason.trim().is_empty() => shown(reason, REASON_CHARS_MAX),
            Some(_) | None => return bad("`reason` is not a text: say why, for the log"),
        };
        Ok(Self { webhook: webhook.id.clone(), id, sent_at, action, subject, reason })
    }
}

/// Checks the signature and the time. Returns the id and when the call was signed.
fn authenticate(
    signed: &Signed<'_>,
    body: &[u8],
    webhook: &Webhook,
    now: UnixMillis,
) -> Result<(String, UnixMillis), Rejected> {
    let failed =
        |why: &str| Rejected::new(Rejection::AuthenticationFailed, format!("`{}`: {why}", webhook.id));
    let (Some(id), Some(timestamp), Some(signature)) = (signed.id, signed.timestamp, signed.signature) else {
        return Err(failed("a header is missing: `webhook-id`, `webhook-timestamp`, `webhook-signature`"));
    };
    if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(failed("`webhook-id` is not 1 to 255 visible characters"));
    }
    let digits = (1..=12).contains(&timestamp.len()) && timestamp.bytes().all(|b| b.is_ascii_digit());
    let Some(sent_at) = timestamp.parse().ok().filter(|_| digits).map(UnixMillis::from_seconds) else {
        return Err(failed("`webhook-timestamp` is not a number of seconds"));
    };
    if now.since(sent_at) > webhook.window || sent_at.since(now) > webhook.window {
        return Err(failed("the call was signed too long ago, or in the future"));
    }
    let content = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let made = |word: &str| {
        let signature = word.strip_prefix("v1,").and_then(|s| STANDARD.decode(s).ok()).unwrap_or_default();
        webhook.keys.iter().any(|key| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose());
            // Compares in constant time.
            hmac::verify(&key, &content, &signature).is_ok()
        })
    };
    if signature.split(' ').take(SIGNATURES_MAX).any(made) {
        return Ok((id.to_owned(), sent_at));
    }
    Err(failed("no signature is of one of its keys"))
}
