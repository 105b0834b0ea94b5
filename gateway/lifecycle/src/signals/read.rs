//! A verified message becomes a [`Signal`]: who says what of whom, and when it happened.

use doorward_identity::message::{Rejected, Rejection, SecurityEvent};
use doorward_model::UnixMillis;
use doorward_model::directory::StreamName;
use serde_json::{Map, Value};

use super::event::{self, Initiator, SignalEvent};
use super::subject::Subject;

/// The last second of the year 9999.
const SECONDS_MAX: i64 = 253_402_300_799;

/// What one verified message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Which stream.
    pub stream: StreamName,
    /// The claim `iss` of the stream, exactly.
    pub issuer: String,
    /// The claim `jti`, unique within the issuer.
    pub id: String,
    /// Messages with the same one have the same cause.
    pub cause: Option<String>,
    /// When it happened, as far as the message tells; never later than when it was made.
    pub at: UnixMillis,
    /// Whom it is about.
    pub subject: Option<Subject>,
    /// What happened.
    pub event: SignalEvent,
    /// Who began it, if it says.
    pub initiator: Option<Initiator>,
    /// The reason that operators may read, if there is one.
    pub reason: Option<String>,
}

// === impl Signal ===

impl Signal {
    /// Reads a verified message.
    ///
    /// # Errors
    /// `invalid_request` when the event lacks what tells what happened, its subject cannot be read,
    /// or the message names two subjects.
    pub fn read(message: &SecurityEvent) -> Result<Self, Rejected> {
        let bad = |why: String| Rejected::new(Rejection::InvalidRequest, why);
        let payload = message.payload();
        let event = SignalEvent::read(message.event(), payload).map_err(|e| bad(e.to_string()))?;
        let subject = match (message.subject(), older_subject(payload)?) {
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => Some(one),
            (Some(one), Some(same)) if one == same => Some(one),
            (Some(_), Some(_)) => {
                return Err(bad("`sub_id` and the `subject` of the event differ".to_owned()));
            }
        };
        let subject = subject.map(Subject::read).transpose().map_err(|e| bad(e.to_string()))?;
        if subject.is_none() && event.is_about_somebody() {
            return Err(bad("the message does not say whom it is about: it has no `sub_id`".to_owned()));
        }
        Ok(Self {
            stream: message.sender().clone(),
            issuer: message.issuer().to_owned(),
            id: message.id().to_owned(),
            cause: message.cause().map(str::to_owned),
            at: happened_at(message),
            subject,
            event,
            initiator: event::initiator(payload),
            reason: event::reason(payload, "reason_admin"),
        })
    }
}

/// The subject within the event, as events of before SSF 1.0 have it.
fn older_subject(payload: &Map<String, Value>) -> Result<Option<&Map<String, Value>>, Rejected> {
    match payload.get("subject") {
        None => Ok(None),
        Some(Value::Object(subject)) => Ok(Some(subject)),
        Some(_) => {
            Err(Rejected::new(Rejection::InvalidRequest, "the `subject` of the event is not an object"))
        }
    }
}

/// `event_timestamp` of the event (CAEP §2), else `toe`, else `iat`. What lies after `iat`, or is no
/// time, is a mistake of the sender's, and `iat` stands in for it: that is the latest that it can be.
fn happened_at(message: &SecurityEvent) -> UnixMillis {
    let written = message.payload().get("event_timestamp").and_then(Value::as_i64);
    let event_timestamp = written.filter(|s| (0..=SECONDS_MAX).contains(s)).map(UnixMillis::from_seconds);
    let told = if written.is_some() { event_timestamp } else { message.happened_at() };
    told.map_or(message.issued_at(), |t| t.min(message.issued_at()))
}
