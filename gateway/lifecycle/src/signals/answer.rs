//! What the sender of a message is answered: one place, one table for each kind.
//!
//! | | taken | not good | not its sender | nobody here | not allowed | later |
//! |---|---|---|---|---|---|---|
//! | push (RFC 8935) | 202 | 400 `err` | 400 `authentication_failed` | 202 | 400 `access_denied` | 503 |
//! | back-channel logout | 200 | 400 `invalid_request` | 400 | 200 | 400 | 503 |
//! | global token revocation | 204 | 400 | 401 | 404 | 403 | 503 |
//! | posture of a device | 204 | 400 | 401 | 404 | 403 | 503 |
//! | kill webhook | 200 | 400 | 401 | 404 | 403 | 503 |

use doorward_identity::message::{MessageError, MessageKind, Rejected, Rejection};
use serde_json::{Value, json};

/// How long a sender should wait before it tries again, in seconds.
const RETRY_SECONDS: u32 = 30;

/// An answer, to be written by whoever speaks HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers, lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body, as `application/json`; none: empty.
    pub body: Option<Value>,
}

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asked {
    /// A message of this kind.
    Message(MessageKind),
    /// The kill webhook.
    Kill,
}

/// What came of a good request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Took {
    /// The effect is durable, or was before.
    Done,
    /// Nobody here is meant.
    NoOne,
    /// Somebody here is meant, and what was asked cannot be done to them.
    CannotBeDone,
}

// === impl Reply ===

impl Reply {
    fn new(status: u16, body: Option<Value>) -> Self {
        // A message to a server is nobody's to keep (Back-Channel Logout §2.8, RFC 8935 §2.2).
        let headers = vec![("cache-control", "no-store".to_owned())];
        Self { status, headers, body }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// What is answered to a good request. To be sent only after its effect is durable.
    #[must_use]
    pub fn took(asked: Asked, took: Took) -> Self {
        match (asked, took) {
            // Whether somebody is known here is not the transmitter's to learn.
            (Asked::Message(MessageKind::SecurityEvent), Took::Done | Took::NoOne | Took::CannotBeDone) => {
                Self::new(202, None)
            }
            (Asked::Message(MessageKind::Logout), Took::Done | Took::NoOne | Took::CannotBeDone) => {
                Self::new(200, None)
            }
            (Asked::Message(MessageKind::RevocationCall | MessageKind::DevicePosture), Took::Done) => {
                Self::new(204, None)
            }
            (Asked::Message(MessageKind::DevicePosture), Took::NoOne) => {
                Self::new(404, Some(error("not_found", "no device of this id is registered")))
            }
            (Asked::Message(MessageKind::DevicePosture), Took::CannotBeDone) => {
                Self::new(422, Some(error("unprocessable", "that cannot be noted of the device")))
            }
            (Asked::Kill, Took::Done) => Self::new(200, None),
            (Asked::Message(MessageKind::RevocationCall) | Asked::Kill, Took::NoOne) => {
                Self::new(404, Some(error("not_found", "nobody here is meant")))
            }
            (Asked::Message(MessageKind::RevocationCall) | Asked::Kill, Took::CannotBeDone) => {
                Self::new(422, Some(error("unprocessable", "that cannot be done to whom it is about")))
            }
        }
    }

    /// What is answered to one that is not taken.
    #[must_use]
    pub fn refused(asked: Asked, why: &MessageError) -> Self {
        match why {
            MessageError::Rejected(rejected) => Self::rejected(asked, rejected),
            MessageError::KeysUnavailable { .. } => Self::later(),
        }
    }

    /// What is answered to one that is not good.
    #[must_use]
    pub fn rejected(asked: Asked, why: &Rejected) -> Self {
        let Rejected { code, detail: _ } = why;
        let told = || error(code.as_str(), code.description());
        match asked {
            Asked::Message(MessageKind::SecurityEvent) => {
                Self::new(400, Some(json!({"err": code.as_str(), "description": code.description()})))
            }
            Asked::Message(MessageKind::Logout) => {
                Self::new(400, Some(error("invalid_request", code.description())))
            }
            Asked::Message(MessageKind::RevocationCall | MessageKind::DevicePosture) | Asked::Kill => {
                match code {
                    Rejection::InvalidRequest | Rejection::InvalidState => Self::new(400, Some(told())),
                    Rejection::AccessDenied => Self::new(403, Some(told())),
                    Rejection::InvalidKey
                    | Rejection::InvalidIssuer
                    | Rejection::InvalidAudience
                    | Rejection::AuthenticationFailed => {
                        let refused = Self::new(401, Some(told()));
                        match asked {
                            Asked::Message(_) => {
                                refused.with("www-authenticate", "Bearer error=\"invalid_token\"")
                            }
                            Asked::Kill => refused,
                        }
                    }
                }
            }
        }
    }

    /// Keys, store or audit log are not there: the sender should try again.
    #[must_use]
    pub fn later() -> Self {
        let told = error("temporarily_unavailable", "try again");
        Self::new(503, Some(told)).with("retry-after", RETRY_SECONDS.to_string())
    }

    /// Only POST is for messages.
    #[must_use]
    pub fn only_post() -> Self {
        Self::new(405, Some(error("invalid_request", "use POST"))).with("allow", "POST")
    }
}

fn error(code: &str, description: &str) -> Value {
    json!({"error": code, "error_description": description})
}
