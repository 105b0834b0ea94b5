//! A receipt that is made, as it is kept: the signed line, cut into as many records as it needs.
//!
//! A record has a bound, and a receipt of many nodes may be longer: it is not summed up, and nothing of it
//! is left out.

use doorward_model::UnixMillis;
use doorward_state::{Expected, RECORD_BYTES_MAX, Record, RecordKind, Write};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::answer::Failed;
use crate::receipt::Receipt;
use crate::receipt::facts::Command;
use crate::receipt::wire::{self, words};

/// How much of the line one record has, in bytes: what is left is for what stands beside it.
const PART_BYTES: usize = RECORD_BYTES_MAX - 4096;

words! {
    /// Which version of the record it is.
    pub(super) enum Form {
        /// The first.
        Kept1 = "doorward-kept-receipt/1",
    }
}

/// The first record of a receipt: what it is found by, and the beginning of the line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    form: Form,
    #[serde(with = "wire::maybe")]
    person: Option<Uuid>,
    command: Command,
    #[serde(with = "wire::millis")]
    asked_at: UnixMillis,
    #[serde(with = "wire::millis")]
    made_at: UnixMillis,
    enforced_everywhere: bool,
    nothing_runs: bool,
    /// How many records the line has.
    parts: usize,
    text: String,
}

/// What a list tells of a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptRow {
    /// Which.
    pub id: Uuid,
    /// Whose access it tells of. None for somebody whom the directory does not know.
    pub person: Option<Uuid>,
    /// What was asked.
    pub command: Command,
    /// When.
    pub asked_at: UnixMillis,
    /// When the receipt was made.
    pub made_at: UnixMillis,
    /// Every node had confirmed by then.
    pub enforced_everywhere: bool,
    /// Nothing ran any more of what the revocations ended, as all nodes said. False where there was none.
    pub nothing_runs: bool,
}

fn part_id(id: Uuid, part: usize) -> String {
    if part == 0 { id.to_string() } else { format!("{id}.{part:04}") }
}

/// The records of a receipt that is sealed.
pub(super) fn writes(receipt: &Receipt, sealed: &str) -> Result<Vec<Write>, Failed> {
    let line = sealed.trim_end();
    // Base64url and dots: each byte is a character.
    let parts: Vec<&str> =
        line.as_bytes().chunks(PART_BYTES).map(|part| str::from_utf8(part).unwrap_or_default()).collect();
    let (facts, summary) = (receipt.facts(), receipt.summary());
    let mut writes = Vec::with_capacity(parts.len());
    for (i, part) in parts.iter().enumerate() {
        let body = if i == 0 {
            let head = Head {
                form: Form::Kept1,
                person: facts.person.id,
                command: facts.asked.command,
                asked_at: facts.asked.at,
                made_at: facts.made_at,
                enforced_everywhere: summary.enforced_everywhere,
                nothing_runs: summary.nothing_runs,
                parts: parts.len(),
                text: (*part).to_owned(),
            };
            serde_json::to_vec(&head)
        } else {
            serde_json::to_vec(part)
        };
        let body = body.map_err(|error| Failed::Bad { field: "receipt", what: error.to_string() })?;
        writes.push(Write {
            kind: RecordKind::Receipt,
            id: part_id(receipt.id(), i).into(),
            expected: Expected::Absent,
            body: Some(body.into()),
            keys: Vec::new(),
        });
    }
    Ok(writes)
}

impl Head {
    /// Reads the first record of a receipt. None for one of the others of this kind.
    pub(super) fn read(record: &Record) -> Result<Option<(Uuid, Self)>, Failed> {
        let (Ok(id), Some(body)) = (Uuid::parse_str(&record.id), record.body.as_deref()) else {
            return Ok(None);
        };
        let head = serde_json::from_slice(body).map_err(|error| Failed::Damaged {
            kind: record.kind,
            id: record.id.to_string(),
            why: error.to_string(),
        })?;
        Ok(Some((id, head)))
    }

    pub(super) const fn row(&self, id: Uuid) -> ReceiptRow {
        let Self { person, command, asked_at, made_at, enforced_everywhere, nothing_runs, .. } = *self;
        ReceiptRow { id, person, command, asked_at, made_at, enforced_everywhere, nothing_runs }
    }

    /// The beginning of the line, and the ids of the records that have the rest.
    pub(super) fn line(self, id: Uuid) -> (String, impl Iterator<Item = String>) {
        (self.text, (1..self.parts).map(move |part| part_id(id, part)))
    }
}

/// A part behind the first.
pub(super) fn part(record: Option<&Record>) -> Option<String> {
    serde_json::from_slice(record?.body.as_deref()?).ok()
}
