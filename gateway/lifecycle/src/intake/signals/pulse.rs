//! What is kept of a stream's life: one record of the kind `seen` for each stream, written by whichever
//! process of the store knows something new.

use std::time::Duration;

use doorward_model::UnixMillis;
use doorward_model::directory::StreamName;
use doorward_state::{Batch, CommitError, Expected, RecordKind, Revocations, StateError, Write};
use serde::{Deserialize, Serialize};

use crate::signals::Health;
use crate::signals::event::StreamStatus;
use crate::signals::health::Question;

/// What begins the ids. They stand after those of messages, and never end.
const STREAM: &str = "stream:";
/// The form of the bodies.
const VERSION: u8 = 1;
/// How exactly it is kept when something was last heard: a write for each message would be too many.
pub(super) const EXACT: Duration = Duration::from_mins(1);

/// A stream's life as it is kept.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Body {
    v: u8,
    since: i64,
    /// The SHA-256 of the state of the question, and when it was asked.
    asked: Option<(String, i64)>,
    heard_at: Option<i64>,
    missed: u32,
    event_at: Option<i64>,
    fetched_at: Option<i64>,
    status: String,
    status_at: Option<i64>,
    reason: Option<String>,
    alarmed_at: Option<i64>,
}

/// A stream's life with what must not have changed when a new one is written.
#[derive(Clone, Debug)]
pub(super) struct Pulse {
    pub(super) health: Health,
    id: String,
    expected: Expected,
}

impl Pulse {
    /// What the store knows of a stream. One that nobody looked after yet is new.
    pub(super) async fn read(
        store: &Revocations,
        stream: &StreamName,
        now: UnixMillis,
    ) -> Result<Self, StateError> {
        let id = format!("{STREAM}{stream}");
        let record = store.record(RecordKind::Seen, &id).await?;
        let Some((version, body)) = record.and_then(|r| Some((r.version, r.body.clone()?))) else {
            return Ok(Self { health: Health::new(now), id, expected: Expected::Absent });
        };
        let expected = Expected::Version(version);
        let health = serde_json::from_slice::<Body>(&body).ok().and_then(Body::health);
        let health = health.unwrap_or_else(|| {
            tracing::error!(id, "what is kept of a stream cannot be read: it is looked after anew");
            Health::new(now)
        });
        Ok(Self { health, id, expected })
    }

    /// Nothing is kept yet.
    pub(super) fn is_new(&self) -> bool {
        self.expected == Expected::Absent
    }

    /// What is written so that it is known from now on. None never: such a body is always JSON.
    pub(super) fn paper(&self) -> Option<Write> {
        let body = serde_json::to_vec(&Body::of(&self.health)).ok()?;
        Some(Write {
            kind: RecordKind::Seen,
            id: self.id.as_str().into(),
            expected: self.expected,
            body: Some(body.into()),
            keys: Vec::new(),
        })
    }

    /// Writes it. False: another process was faster, and it is to be read anew.
    pub(super) async fn keep(&self, store: &Revocations) -> Result<bool, StateError> {
        let writes: Vec<Write> = self.paper().into_iter().collect();
        match store.commit(Batch { writes, changes: Vec::new() }).await {
            Ok(_) | Err(CommitError::NotPublished { .. }) => Ok(true),
            Err(
                CommitError::Conflict { .. } | CommitError::KeyTaken { .. } | CommitError::BadBatch { .. },
            ) => Ok(false),
            Err(CommitError::State(error)) => Err(error),
        }
    }
}

impl Body {
    fn of(health: &Health) -> Self {
        let millis = |at: Option<UnixMillis>| at.map(|at| at.0);
        Self {
            v: VERSION,
            since: health.since.0,
            asked: health.asked.as_ref().map(|asked| (hex(&asked.sum), asked.at.0)),
            heard_at: millis(health.heard_at),
            missed: health.missed,
            event_at: millis(health.event_at),
            fetched_at: millis(health.fetched_at),
            status: health.status.as_str().to_owned(),
            status_at: millis(health.status_at),
            reason: health.reason.clone(),
            alarmed_at: millis(health.alarmed_at),
        }
    }

    fn health(self) -> Option<Health> {
        if self.v != VERSION {
            return None;
        }
        let asked = match self.asked {
            Some((sum, at)) => Some(Question { sum: unhex(&sum)?, at: UnixMillis(at) }),
            None => None,
        };
        let at = |millis: Option<i64>| millis.map(UnixMillis);
        Some(Health {
            since: UnixMillis(self.since),
            asked,
            heard_at: at(self.heard_at),
            missed: self.missed,
            event_at: at(self.event_at),
            fetched_at: at(self.fetched_at),
            status: StreamStatus::parse(&self.status)?,
            status_at: at(self.status_at),
            reason: self.reason,
            alarmed_at: at(self.alarmed_at),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_read_as_it_was_written_and_what_is_garbled_is_none() {
        let mut health = Health::new(UnixMillis(5));
        health.ask("secret", UnixMillis(7));
        health.heard(UnixMillis(8));
        health.fetched(UnixMillis(9));
        health.updated(StreamStatus::Paused, Some("why".to_owned()), Some(UnixMillis(6)));
        (health.missed, health.heard_at, health.alarmed_at) = (3, Some(UnixMillis(4)), Some(UnixMillis(8)));
        let text = serde_json::to_string(&Body::of(&health)).unwrap();
        assert!(!text.contains("secret"), "{text}");
        let read = |text: &str| serde_json::from_str::<Body>(text).ok().and_then(Body::health);
        assert_eq!(read(&text), Some(health));
        assert_eq!(
            read(&serde_json::to_string(&Body::of(&Health::new(UnixMillis(1)))).unwrap()),
            Some(Health::new(UnixMillis(1)))
        );
        for bad in [
            text.replace("\"v\":1", "\"v\":2"),
            text.replace("paused", "stopped"),
            text.replace("\",7]", "0\",7]"),
        ] {
            assert_eq!(read(&bad), None, "{bad}");
        }
    }
}
