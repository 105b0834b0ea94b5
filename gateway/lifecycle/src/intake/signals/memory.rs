//! Which messages came, and which was the newest of its stream about somebody: records of the kind
//! `seen`, written in the batch that carries the effect.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use doorward_model::UnixMillis;
use doorward_model::directory::StreamName;
use doorward_state::{Batch, CommitError, Expected, Record, RecordKind, Revocations, StateError, Write};
use serde::{Deserialize, Serialize};

use crate::signals::decide::{Mark, Topic};
use crate::signals::effect::Direction;
use crate::signals::{About, Marks, MessageId, Sight};

/// How many records are looked at before others get their turn.
const PAGE: usize = 500;
/// What begins the ids of messages, which end, and of marks, which do not.
const SEEN: &str = "seen:";
const MARK: &str = "mark:";
/// The form of the bodies.
const VERSION: u8 = 1;

/// A message, as it is kept.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct SeenBody {
    v: u8,
    until: i64,
}

/// Marks, as they are kept.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct MarkBody {
    v: u8,
    taken: Option<i64>,
    given: Option<i64>,
}

/// Marks with what must not have changed when new ones are written.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) topic: Topic,
    pub(super) marks: Marks,
    id: String,
    expected: Expected,
}

/// Whether a message came before, and how its record stands.
pub(super) async fn seen(store: &Revocations, id: &MessageId) -> Result<(Sight, Expected), StateError> {
    let Some((record, body)) = live(store.record(RecordKind::Seen, &format!("{SEEN}{id}")).await?) else {
        return Ok((Sight::First, Expected::Absent));
    };
    let expected = Expected::Version(record.version);
    if serde_json::from_slice::<SeenBody>(&body).is_ok_and(|body| body.v == VERSION) {
        return Ok((Sight::Again, expected));
    }
    // To do it again is harmless; not to do it is not.
    tracing::error!(id = &*record.id, "what is kept of a message cannot be read: it is taken as a new one");
    Ok((Sight::First, expected))
}

/// What is written so that a message counts once.
pub(super) fn seen_paper(id: &MessageId, until: UnixMillis, expected: Expected) -> Option<Write> {
    write(format!("{SEEN}{id}"), &SeenBody { v: VERSION, until: until.0 }, expected)
}

/// The marks of one stream on these topics about somebody.
pub(super) async fn marks(
    store: &Revocations,
    stream: &StreamName,
    about: &About,
    topics: &[Topic],
    now: UnixMillis,
) -> Result<Vec<Kept>, StateError> {
    let mut kept = Vec::with_capacity(topics.len());
    for topic in topics {
        let id = mark_id(stream, *topic, about);
        let Some((record, body)) = live(store.record(RecordKind::Seen, &id).await?) else {
            kept.push(Kept { topic: *topic, marks: Marks::default(), id, expected: Expected::Absent });
            continue;
        };
        let read = serde_json::from_slice::<MarkBody>(&body).ok().filter(|body| body.v == VERSION);
        let marks = match read {
            Some(body) => Marks { taken: body.taken.map(UnixMillis), given: body.given.map(UnixMillis) },
            None => {
                // Nothing that came until now gives access then.
                tracing::error!(id, "a mark of signals cannot be read: as if access was taken away just now");
                Marks { taken: Some(now), given: None }
            }
        };
        kept.push(Kept { topic: *topic, marks, id, expected: Expected::Version(record.version) });
    }
    Ok(kept)
}

/// What is written so that later signals are ordered by this one.
pub(super) fn mark_papers(kept: &[Kept], new: &[Mark]) -> Vec<Write> {
    let paper = |kept: &Kept| {
        let of_topic = new.iter().filter(|mark| mark.topic == kept.topic);
        let marks = of_topic.fold(kept.marks, |marks, mark| match mark.direction {
            Direction::Takes | Direction::Gives => marks.with(*mark),
            Direction::Tells => marks,
        });
        if marks == kept.marks {
            return None;
        }
        let body =
            MarkBody { v: VERSION, taken: marks.taken.map(|at| at.0), given: marks.given.map(|at| at.0) };
        write(kept.id.clone(), &body, kept.expected)
    };
    kept.iter().filter_map(paper).collect()
}

/// Deletes messages whose time is over.
pub(super) async fn forget(store: &Revocations, now: UnixMillis) -> Result<usize, StateError> {
    // The ids of marks stand before those of messages.
    let (mut after, mut forgotten) = (SEEN.to_owned(), 0);
    loop {
        let page = store.record_page(RecordKind::Seen, Some(&after), PAGE).await?;
        let Some(last) = page.last() else { return Ok(forgotten) };
        after = last.id.to_string();
        let over = |record: &Record| {
            let body = record.body.as_deref()?;
            let body: SeenBody = serde_json::from_slice(body).ok()?;
            (record.id.starts_with(SEEN) && body.until < now.0).then(|| Write {
                kind: RecordKind::Seen,
                id: Arc::clone(&record.id),
                expected: Expected::Version(record.version),
                body: None,
                keys: Vec::new(),
            })
        };
        let writes: Vec<Write> = page.iter().filter_map(over).collect();
        if writes.is_empty() {
            continue;
        }
        let count = writes.len();
        match store.commit(Batch { writes, changes: Vec::new() }).await {
            Ok(_) | Err(CommitError::NotPublished { .. }) => forgotten += count,
            // Another node forgets the same: what is left is for the next time.
            Err(
                CommitError::Conflict { .. } | CommitError::KeyTaken { .. } | CommitError::BadBatch { .. },
            ) => {}
            Err(CommitError::State(error)) => return Err(error),
        }
    }
}

fn live(record: Option<Record>) -> Option<(Record, Arc<[u8]>)> {
    let record = record?;
    let body = record.body.clone()?;
    Some((record, body))
}

/// Whom a mark is about is personal, so its id is a hash.
fn mark_id(stream: &StreamName, topic: Topic, about: &About) -> String {
    let text = format!("{stream}\n{}\n{}", topic.as_str(), about.key());
    let sum = digest(&SHA256, text.as_bytes());
    sum.as_ref().iter().fold(MARK.to_owned(), |id, byte| format!("{id}{byte:02x}"))
}

/// None never: such a body is always JSON.
fn write<T: Serialize>(id: String, body: &T, expected: Expected) -> Option<Write> {
    let body = serde_json::to_vec(body).ok()?;
    Some(Write { kind: RecordKind::Seen, id: id.into(), expected, body: Some(body.into()), keys: Vec::new() })
}
