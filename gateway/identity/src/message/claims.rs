//! What each kind of message must say, and must not.

use std::time::Duration;

use doorward_model::directory::StreamName;
use doorward_model::{Compliance, DeviceId, SessionId, SubjectId, UnixMillis, UserId};
use serde_json::{Map, Value};

use super::failure::{Rejected, Rejection};
use crate::claims::Claims;
use crate::config::Sender;
use crate::words::shown;

/// How far in the future a message may have been made, in seconds: a sender's clock may be off.
const AHEAD_SECONDS_MAX: u64 = 60;
/// How long a logout token or a revocation call may be good for, in hours. It is remembered for as
/// long, so that nobody sends it twice.
const LIFE_HOURS_MAX: u64 = 24;
/// The most reasons of a posture, and the longest, in bytes.
const REASONS_MAX: usize = 16;
const REASON_BYTES_MAX: usize = 256;
/// The longest `jti`, in bytes.
const MESSAGE_ID_BYTES_MAX: usize = 255;
/// The member of `events` that makes a token one for logout (Back-Channel Logout §2.4).
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Proof that a stream's transmitter said that something happened. Whom it is about and what it
/// was is not read yet.
#[derive(Debug, Clone, PartialEq)]
pub struct SecurityEvent {
    envelope: Envelope,
    happened_at: Option<UnixMillis>,
    cause: Option<String>,
    subject: Option<Map<String, Value>>,
    event: String,
    payload: Map<String, Value>,
}

/// Proof that a provider logged somebody out: one sign-in, or all of one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logout {
    envelope: Envelope,
    expires_at: UnixMillis,
    user: Option<UserId>,
    session: Option<SessionId>,
}

/// Proof of who calls global token revocation. Whom the call is about stands in its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationCall {
    envelope: Envelope,
    expires_at: UnixMillis,
}

/// Proof that a source of posture said something of a device. It counts until it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostureReport {
    envelope: Envelope,
    expires_at: UnixMillis,
    device: DeviceId,
    managed: bool,
    compliance: Compliance,
    reasons: Vec<String>,
}

/// What every message has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Envelope {
    sender: StreamName,
    issuer: String,
    id: String,
    issued_at: UnixMillis,
}

/// Reads the claims of one message.
struct Reader<'a> {
    sender: &'a Sender,
    claims: &'a Claims,
    now: UnixMillis,
}

/// What all kinds of message tell, for those who log, order and remember them.
macro_rules! of_envelope {
    ($kind:ident) => {
        impl $kind {
            /// The sender, by its short name.
            #[must_use]
            pub const fn sender(&self) -> &StreamName {
                &self.envelope.sender
            }

            /// The claim `iss`, exactly.
            #[must_use]
            pub fn issuer(&self) -> &str {
                &self.envelope.issuer
            }

            /// The claim `jti`: 1 to 255 visible characters, unique within the issuer.
            #[must_use]
            pub fn id(&self) -> &str {
                &self.envelope.id
            }

            /// The claim `iat`.
            #[must_use]
            pub const fn issued_at(&self) -> UnixMillis {
                self.envelope.issued_at
            }
        }
    };
}

of_envelope!(SecurityEvent);
of_envelope!(Logout);
of_envelope!(RevocationCall);
of_envelope!(PostureReport);

// === impl SecurityEvent ===

impl SecurityEvent {
    /// When it happened, by the claim `toe` (RFC 8417 §2.2).
    #[must_use]
    pub const fn happened_at(&self) -> Option<UnixMillis> {
        self.happened_at
    }

    /// The claim `txn`: messages with the same one have the same cause (RFC 8417 §2.2).
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The claim `sub_id` (RFC 9493 §4), as it stands.
    #[must_use]
    pub const fn subject(&self) -> Option<&Map<String, Value>> {
        self.subject.as_ref()
    }

    /// The address that names the kind of event.
    #[must_use]
    pub fn event(&self) -> &str {
        &self.event
    }

    /// What the event says, as it stands.
    #[must_use]
    pub const fn payload(&self) -> &Map<String, Value> {
        &self.payload
    }

    /// By SSF 1.0 §4.1: no `sub`, no `exp`, exactly one event. A message of long ago is good: what
    /// was taken away then stays away, and what was given then is weighed by `lifecycle`.
    pub(super) fn read(sender: &Sender, mut claims: Claims, now: UnixMillis) -> Result<Self, Rejected> {
        let reader = Reader { sender, claims: &claims, now };
        for (name, why) in [
            ("sub", "its subject stands in `sub_id`"),
            ("exp", "what happened does not expire"),
            ("nonce", "it answers no sign-in"),
        ] {
            reader.has_no(name, why)?;
        }
        let envelope = reader.envelope()?;
        let happened_at = claims.date("toe").map_err(Rejection::InvalidRequest.with())?;
        let cause = match claims.0.get("txn") {
            None => None,
            Some(Value::String(text)) => Some(shown(text, 255)),
            Some(_) => return bad("`txn` is not text"),
        };
        let subject = match claims.0.remove("sub_id") {
            None => None,
            Some(Value::Object(subject)) => Some(subject),
            Some(_) => return bad("`sub_id` is not an object"),
        };
        let Some(Value::Object(events)) = claims.0.remove("events") else {
            return bad("the message has no object `events`");
        };
        let mut events = events.into_iter();
        let (Some((event, payload)), None) = (events.next(), events.next()) else {
            return bad("`events` must hold exactly one event");
        };
        let Value::Object(payload) = payload else {
            return bad("the event is not an object");
        };
        Ok(Self { envelope, happened_at, cause, subject, event, payload })
    }
}

// === impl Logout ===

impl Logout {
    /// The claim `exp`.
    #[must_use]
    pub const fn expires_at(&self) -> UnixMillis {
        self.expires_at
    }

    /// Who was logged out, by the claim `sub`.
    #[must_use]
    pub const fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    /// The one sign-in that ended, by the claim `sid`. Where it is there, nothing else ended.
    #[must_use]
    pub const fn session(&self) -> Option<&SessionId> {
        self.session.as_ref()
    }

    /// By Back-Channel Logout §2.6.
    pub(super) fn read(sender: &Sender, claims: &Claims, now: UnixMillis) -> Result<Self, Rejected> {
        let reader = Reader { sender, claims, now };
        reader.has_no("nonce", "it is an ID token, or looks like one")?;
        reader.has_no("sub_id", "it is a security event")?;
        let Some(Value::Object(events)) = claims.0.get("events") else {
            return bad("the logout token has no object `events`");
        };
        let mut events = events.iter();
        let (Some((name, Value::Object(event))), None) = (events.next(), events.next()) else {
            return bad("`events` must hold the logout event and nothing else");
        };
        if name != LOGOUT_EVENT {
            return bad(format!("`events` holds `{}`, which is not the logout event", shown(name, 100)));
        }
        if event.contains_key("nonce") {
            return bad("the logout event has a `nonce`");
        }
        let envelope = reader.envelope()?;
        let expires_at = reader.expiry(envelope.issued_at)?;
        let Some(people) = sender.sole_people() else {
            return bad(format!(
                "`{}` speaks of the people of several issuers, and `sub` names none",
                sender.id
            ));
        };
        let user = match claims.0.get("sub") {
            None => None,
            Some(Value::String(subject)) => {
                let subject = SubjectId::new(subject).or_else(|e| bad(format!("`sub`: {e}")))?;
                Some(UserId::new(people.clone(), subject))
            }
            Some(_) => return bad("`sub` is not text"),
        };
        let session = match claims.0.get("sid") {
            None => None,
            Some(Value::String(id)) => {
                Some(SessionId::new(people.clone(), id).or_else(|e| bad(format!("`sid`: {e}")))?)
            }
            Some(_) => return bad("`sid` is not text"),
        };
        if user.is_none() && session.is_none() {
            return bad("the logout token has neither `sub` nor `sid`");
        }
        Ok(Self { envelope, expires_at, user, session })
    }
}

// === impl RevocationCall ===

impl RevocationCall {
    /// The claim `exp`.
    #[must_use]
    pub const fn expires_at(&self) -> UnixMillis {
        self.expires_at
    }

    pub(super) fn read(sender: &Sender, claims: &Claims, now: UnixMillis) -> Result<Self, Rejected> {
        let reader = Reader { sender, claims, now };
        reader.has_no("events", "it is a message of another kind")?;
        reader.has_no("nonce", "it answers no sign-in")?;
        let envelope = reader.envelope()?;
        let expires_at = reader.expiry(envelope.issued_at)?;
        if let Some(client) = sender.client.as_deref() {
            match claims.0.get("sub") {
                Some(Value::String(says)) if says == client => {}
                Some(Value::String(_)) => {
                    let detail = format!("`sub` is not the `client` of `{}`", sender.id);
                    return Err(Rejected::new(Rejection::AccessDenied, detail));
                }
                Some(_) | None => return bad("the call has no text `sub`"),
            }
        }
        Ok(Self { envelope, expires_at })
    }
}

// === impl PostureReport ===

impl PostureReport {
    /// The claim `exp`: until when it counts.
    #[must_use]
    pub const fn expires_at(&self) -> UnixMillis {
        self.expires_at
    }

    /// The device, by the claim `sub`.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Whether the company manages it, by the claim `managed`.
    #[must_use]
    pub const fn managed(&self) -> bool {
        self.managed
    }

    /// Whether it meets the baseline, by the claim `compliant`.
    #[must_use]
    pub const fn compliance(&self) -> Compliance {
        self.compliance
    }

    /// Why it does not, by the claim `reasons`: 16 texts at most, of 256 bytes at most.
    #[must_use]
    pub fn reasons(&self) -> &[String] {
        &self.reasons
    }

    pub(super) fn read(sender: &Sender, claims: &Claims, now: UnixMillis) -> Result<Self, Rejected> {
        let reader = Reader { sender, claims, now };
        reader.has_no("events", "it is a message of another kind")?;
        reader.has_no("sub_id", "the device stands in `sub`")?;
        reader.has_no("nonce", "it answers no sign-in")?;
        let envelope = reader.envelope()?;
        let expires_at = reader.expiry_within(envelope.issued_at, sender.posture_max)?;
        let device = match claims.0.get("sub") {
            Some(Value::String(id)) => DeviceId::new(id).or_else(|e| bad(format!("`sub`: {e}")))?,
            Some(_) | None => return bad("the posture has no text `sub`, which names the device"),
        };
        let flag = |name: &str| match claims.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => bad(format!("`{name}` is neither true nor false")),
        };
        let (managed, compliant) = (flag("managed")?, flag("compliant")?);
        if managed.is_none() && compliant.is_none() {
            return bad("the posture says neither `managed` nor `compliant`");
        }
        let compliance = match compliant {
            Some(true) => Compliance::Compliant,
            Some(false) => Compliance::NotCompliant,
            None => Compliance::Unknown,
        };
        let reasons = reasons(claims.0.get("reasons"))?;
        Ok(Self { envelope, expires_at, device, managed: managed.unwrap_or(false), compliance, reasons })
    }
}

fn reasons(claim: Option<&Value>) -> Result<Vec<String>, Rejected> {
    let all = match claim {
        None => return Ok(Vec::new()),
        Some(Value::Array(all)) if all.len() <= REASONS_MAX => all,
        Some(_) => return bad(format!("`reasons` is not a list of at most {REASONS_MAX} texts")),
    };
    let fits = |text: &str| text.len() <= REASON_BYTES_MAX && !text.chars().any(char::is_control);
    all.iter()
        .map(|one| match one {
            Value::String(text) if fits(text) => Ok(text.clone()),
            _ => bad(format!("a reason is no text of at most {REASON_BYTES_MAX} bytes")),
        })
        .collect()
}

// === impl Reader ===

impl Reader<'_> {
    fn has_no(&self, name: &str, why: &str) -> Result<(), Rejected> {
        if self.claims.0.contains_key(name) {
            return bad(format!("the message has `{name}`: {why}"));
        }
        Ok(())
    }

    fn envelope(&self) -> Result<Envelope, Rejected> {
        let id = match self.claims.0.get("jti") {
            Some(Value::String(id)) => id,
            Some(_) => return bad("`jti` is not text"),
            None => return bad("the message has no `jti`"),
        };
        if id.is_empty() || id.len() > MESSAGE_ID_BYTES_MAX || !id.bytes().all(|b| b.is_ascii_graphic()) {
            return bad("`jti` is not 1 to 255 visible characters");
        }
        let Some(issued_at) = self.date("iat")? else { return bad("the message has no `iat`") };
        if issued_at > self.horizon() {
            return bad("`iat` lies in the future");
        }
        if self.date("nbf")?.is_some_and(|t| t > self.horizon()) {
            return bad("`nbf` lies in the future");
        }
        let (sender, issuer) = (self.sender.id.clone(), self.sender.url.clone());
        Ok(Envelope { sender, issuer, id: id.clone(), issued_at })
    }

    fn expiry(&self, issued_at: UnixMillis) -> Result<UnixMillis, Rejected> {
        self.expiry_within(issued_at, Duration::from_hours(LIFE_HOURS_MAX))
    }

    fn expiry_within(&self, issued_at: UnixMillis, max: Duration) -> Result<UnixMillis, Rejected> {
        let Some(expires_at) = self.date("exp")? else { return bad("the message has no `exp`") };
        if self.now >= expires_at {
            return bad(format!("the message expired {} s ago", self.now.since(expires_at).as_secs()));
        }
        if expires_at.since(issued_at) > max {
            return bad(format!("the message is good for more than {} minutes", max.as_secs() / 60));
        }
        Ok(expires_at)
    }

    fn date(&self, name: &'static str) -> Result<Option<UnixMillis>, Rejected> {
        self.claims.date(name).map_err(Rejection::InvalidRequest.with())
    }

    fn horizon(&self) -> UnixMillis {
        self.now.plus(Duration::from_secs(AHEAD_SECONDS_MAX))
    }
}

fn bad<T>(why: impl Into<String>) -> Result<T, Rejected> {
    Err(Rejected::new(Rejection::InvalidRequest, why))
}
