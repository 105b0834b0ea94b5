//! Events that are fetched (RFC 8936): what is asked, what comes, and what is acknowledged.
//!
//! ```text
//!  Poll::request ─▶ {maxEvents, returnImmediately, ack, setErrs} ─▶ transmitter
//!  Poll::fetched ◀─ what it answered ───────────────────────────────┘
//!      each set: verify, decide, carry out, persist ─▶ Poll::done ─▶ acknowledged with the next request
//! ```
//!
//! An event is acknowledged only after its effect is durable. What was told in a request that failed is
//! told again: the transmitter drops what it knows.

use std::collections::{BTreeMap, BTreeSet};

use doorward_identity::json;
use doorward_identity::message::{Rejected, Rejection, SecurityEvent};
use doorward_identity::shown;
use serde_json::{Map, Value};

/// The most events of one answer.
pub const EVENTS_MAX: usize = 100;
/// The largest answer, in bytes.
pub const ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The most acknowledgments of one request; the rest goes with the next.
const TOLD_MAX: usize = 1000;
/// The longest id of an event, in bytes.
const ID_BYTES_MAX: usize = 255;

/// What is still to be told to one transmitter.
#[derive(Clone, Debug, Default)]
pub struct Poll {
    done: BTreeSet<String>,
    refused: BTreeMap<String, Rejected>,
    /// What the request that is under way tells.
    telling: Vec<String>,
}

/// One answer of a transmitter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The events, by their ids.
    pub sets: Vec<(String, String)>,
    /// There are more: ask again at once.
    pub more: bool,
}

/// Why an answer cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PollError {
    /// More than was asked for, or than anybody sends.
    #[error("the answer is larger than {ANSWER_BYTES_MAX} bytes or holds more than {EVENTS_MAX} events")]
    TooLarge,
    /// It is not what RFC 8936 §2.3 has.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
}

// === impl Poll ===

impl Poll {
    /// The body of the next request. `wait` says whether the transmitter may hold it until something
    /// happens.
    #[must_use]
    pub fn request(&mut self, wait: bool) -> Value {
        let ids = self.done.iter().chain(self.refused.keys()).take(TOLD_MAX);
        self.telling = ids.cloned().collect();
        let mut body = Map::new();
        body.insert("maxEvents".to_owned(), EVENTS_MAX.into());
        body.insert("returnImmediately".to_owned(), (!wait).into());
        let (done, refused): (Vec<&String>, Vec<&String>) =
            self.telling.iter().partition(|id| self.done.contains(*id));
        body.insert("ack".to_owned(), done.into_iter().cloned().collect::<Vec<_>>().into());
        let told = refused.into_iter().filter_map(|id| {
            let code = self.refused.get(id)?.code;
            let error = serde_json::json!({"err": code.as_str(), "description": code.description()});
            Some((id.clone(), error))
        });
        let told: Map<String, Value> = told.collect();
        if !told.is_empty() {
            body.insert("setErrs".to_owned(), Value::Object(told));
        }
        Value::Object(body)
    }

    /// Reads the answer to the request. What the request told is then known to the transmitter.
    ///
    /// # Errors
    /// When it is no such answer. What was told is told again.
    pub fn fetched(&mut self, body: &[u8]) -> Result<Fetched, PollError> {
        let fetched = Fetched::read(body)?;
        for id in self.telling.drain(..) {
            self.done.remove(&id);
            self.refused.remove(&id);
        }
        Ok(fetched)
    }

    /// The request failed: what it told is told again.
    pub fn failed(&mut self) {
        self.telling.clear();
    }

    /// The effect of an event is durable, or it had one before.
    pub fn done(&mut self, id: String) {
        self.refused.remove(&id);
        self.done.insert(id);
    }

    /// An event is not good, and never will be.
    pub fn refused(&mut self, id: String, why: Rejected) {
        if !self.done.contains(&id) {
            self.refused.insert(id, why);
        }
    }

    /// How many events are to be told of.
    #[must_use]
    pub fn untold(&self) -> usize {
        self.done.len() + self.refused.len()
    }
}

/// Whether an event came under its own name; what is acknowledged must be what was carried out.
///
/// # Errors
/// `invalid_request` when its `jti` is another one.
pub fn is_named(id: &str, event: &SecurityEvent) -> Result<(), Rejected> {
    if event.id() == id {
        return Ok(());
    }
    let detail = format!("the event under `{}` has another `jti`", shown(id, 40));
    Err(Rejected::new(Rejection::InvalidRequest, detail))
}

// === impl Fetched ===

impl Fetched {
    fn read(body: &[u8]) -> Result<Self, PollError> {
        if body.len() > ANSWER_BYTES_MAX {
            return Err(PollError::TooLarge);
        }
        let unreadable = |why: String| PollError::Unreadable(why);
        let mut answer = json::object(body).map_err(|e| unreadable(e.to_string()))?;
        let sets = match answer.remove("sets") {
            None => Map::new(),
            Some(Value::Object(sets)) => sets,
            Some(_) => return Err(unreadable("`sets` is not an object".to_owned())),
        };
        if sets.len() > EVENTS_MAX {
            return Err(PollError::TooLarge);
        }
        let more = match answer.get("moreAvailable") {
            None => false,
            Some(Value::Bool(more)) => *more,
            Some(_) => return Err(unreadable("`moreAvailable` is not true or false".to_owned())),
        };
        let read = |(id, set): (String, Value)| match set {
            Value::String(set) if !id.is_empty() && id.len() <= ID_BYTES_MAX => Ok((id, set)),
            Value::String(_) => Err(unreadable("an id is empty or too long".to_owned())),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                Err(unreadable(format!("the event `{}` is not a text", shown(&id, 40))))
            }
        };
        let sets = sets.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { sets, more })
    }
}
