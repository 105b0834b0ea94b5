//! How what holds for a target, and records, travel: as entries of the log, and in the chunks of a snapshot.
//!
//! ```text
//! entry  = 1(1) flags(1) kind(1) not_before(8) version(8) receipt(16) id(rest)
//!        | 2(1) flags(1) { kind(1) live(1) version(8) length(2) id length(4) body }+
//! chunk  = "DWS2" { length(4) entry }*
//! ```
//! Numbers are big-endian. What cannot be read whole is an error, never left out: it could be a
//! revocation, or somebody's last role, that a later version writes in a form of its own.
//!
//! Records are bundled: what one batch wrote comes into force together wherever it arrives, as far as it
//! was published in one call. All bundles of a call but the last one say that more follows.

use std::sync::Arc;

use doorward_model::{Entry, EntryKind, Target, UnixMillis};
use uuid::Uuid;

use crate::records::{RECORD_BYTES_MAX, RECORD_ID_BYTES_MAX, Record, RecordKind, Version};
use crate::store::{Held, Row};

const OF_TARGET: u8 = 1;
const OF_RECORDS: u8 = 2;
const DISABLED: u8 = 1;
const MORE_FOLLOWS: u8 = 1;
/// Nobody was switched off and on so often. A higher version could never be outvoted again.
const VERSION_MAX: u64 = 1 << 48;
const HEAD_BYTES: usize = 35;
/// What a record takes beside its id and its body.
const RECORD_HEAD_BYTES: usize = 16;
const MAGIC: &[u8; 4] = b"DWS2";
const LENGTH_BYTES: usize = 4;
/// What holds for a target is never longer, if a gateway wrote it.
const TARGET_BYTES_MAX: usize = 4096;
/// A bundle is closed when one more record would make it longer.
const BUNDLE_BYTES: usize = 32 * 1024;
/// A bundle that is longer was not written by a gateway: the largest has one record.
const BUNDLE_BYTES_MAX: usize = 2 + RECORD_HEAD_BYTES + RECORD_ID_BYTES_MAX + RECORD_BYTES_MAX;
const _: () = assert!(BUNDLE_BYTES <= BUNDLE_BYTES_MAX);

/// Not an entry, or not one that this version can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// What holds for a target.
    Target(Held),
    /// Records, as they are.
    Records {
        records: Vec<Record>,
        /// They come into force with those of the next entry.
        more: bool,
    },
}

const fn number(kind: EntryKind) -> u8 {
    match kind {
        EntryKind::User => 1,
        EntryKind::Session => 2,
        EntryKind::Token => 3,
        EntryKind::Device => 4,
        EntryKind::UserAtApp => 5,
    }
}

fn kind(wanted: u8) -> Option<EntryKind> {
    EntryKind::ALL.into_iter().find(|kind| number(*kind) == wanted)
}

/// None where the kind is not published.
const fn record_number(kind: RecordKind) -> Option<u8> {
    match kind {
        RecordKind::Person => Some(1),
        RecordKind::Membership => Some(2),
        RecordKind::Group => Some(3),
        RecordKind::Machine => Some(4),
        RecordKind::Device => Some(5),
        RecordKind::Document
        | RecordKind::Connection
        | RecordKind::Case
        | RecordKind::Receipt
        | RecordKind::Seen => None,
    }
}

fn record_kind(wanted: u8) -> Option<RecordKind> {
    RecordKind::ALL.into_iter().find(|kind| record_number(*kind) == Some(wanted))
}

// === writing ===

pub(crate) fn pack(held: &Held) -> Vec<u8> {
    let id = held.target.id();
    let mut bytes = Vec::with_capacity(HEAD_BYTES + id.len());
    let flags = if held.entry.disabled { DISABLED } else { 0 };
    bytes.extend([OF_TARGET, flags, number(held.target.kind())]);
    bytes.extend(held.entry.not_before.0.to_be_bytes());
    bytes.extend(held.entry.version.to_be_bytes());
    bytes.extend(held.id.as_bytes());
    bytes.extend(id.as_bytes());
    bytes
}

pub(crate) fn pack_rows(rows: &[Row]) -> Vec<Vec<u8>> {
    let entry = |row: &Row| pack(&Held { target: row.target.clone(), entry: row.entry, id: row.id });
    rows.iter().map(entry).collect()
}

/// Records in bundles, which come into force together.
pub(crate) fn pack_records(records: &[Record]) -> Vec<Vec<u8>> {
    let mut bundles: Vec<Vec<u8>> = Vec::new();
    for record in records.iter().filter(|record| record.kind.is_published()) {
        let fits = |bundle: &&mut Vec<u8>| bundle.len() + packed_bytes(record) <= BUNDLE_BYTES;
        match bundles.last_mut().filter(fits) {
            Some(bundle) => put(bundle, record),
            None => bundles.push(bundle(record)),
        }
    }
    let last = bundles.len().saturating_sub(1);
    for bundle in bundles.iter_mut().take(last) {
        if let Some(flags) = bundle.get_mut(1) {
            *flags = MORE_FOLLOWS;
        }
    }
    bundles
}

/// How long a record is in a bundle.
pub(crate) fn packed_bytes(record: &Record) -> usize {
    RECORD_HEAD_BYTES + record.id.len() + record.body.as_ref().map_or(0, |body| body.len())
}

fn bundle(record: &Record) -> Vec<u8> {
    let mut bundle = vec![OF_RECORDS, 0];
    put(&mut bundle, record);
    bundle
}

/// Of a kind that is not published nothing is written. A batch is checked for lengths before it is kept.
fn put(bundle: &mut Vec<u8>, record: &Record) {
    let Some(kind) = record_number(record.kind) else { return };
    let body = record.body.as_deref().unwrap_or_default();
    bundle.extend([kind, u8::from(record.is_live())]);
    bundle.extend(record.version.0.to_be_bytes());
    bundle.extend(u16::try_from(record.id.len()).unwrap_or(u16::MAX).to_be_bytes());
    bundle.extend(record.id.as_bytes());
    bundle.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    bundle.extend(body);
}

// === reading ===

pub(crate) fn unpack(bytes: &[u8]) -> Result<Item, Unreadable> {
    let item = match bytes.first() {
        Some(&OF_TARGET) => read_target(bytes).map(Item::Target),
        Some(&OF_RECORDS) => read_bundle(bytes),
        Some(_) | None => None,
    };
    item.ok_or(Unreadable)
}

fn read_target(bytes: &[u8]) -> Option<Held> {
    let (&[_, flags, kind_number], rest) = bytes.split_first_chunk()?;
    let (not_before, rest) = rest.split_first_chunk()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (receipt, id) = rest.split_first_chunk()?;
    let version = u64::from_be_bytes(*version);
    if version > VERSION_MAX || flags & !DISABLED != 0 || bytes.len() > TARGET_BYTES_MAX {
        return None;
    }
    let target = Target::parse(kind(kind_number)?, std::str::from_utf8(id).ok()?).ok()?;
    let entry = Entry {
        not_before: UnixMillis(i64::from_be_bytes(*not_before)),
        version,
        disabled: flags & DISABLED != 0,
    };
    Some(Held { target, entry, id: Uuid::from_bytes(*receipt) })
}

fn read_bundle(bytes: &[u8]) -> Option<Item> {
    let (&[_, flags], mut rest) = bytes.split_first_chunk()?;
    if flags & !MORE_FOLLOWS != 0 || bytes.len() > BUNDLE_BYTES_MAX || rest.is_empty() {
        return None;
    }
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (record, after) = read_record(rest)?;
        records.push(record);
        rest = after;
    }
    Some(Item::Records { records, more: flags & MORE_FOLLOWS != 0 })
}

fn read_record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (&[kind, live], rest) = bytes.split_first_chunk()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (id, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let (length, rest) = rest.split_first_chunk()?;
    let (body, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let (version, id) = (i64::from_be_bytes(*version), std::str::from_utf8(id).ok()?);
    let body = match (live, body) {
        (0, []) => None,
        (1, [_, ..]) => Some(Arc::from(body)),
        _ => return None,
    };
    if version <= 0 || u64::try_from(version).is_ok_and(|version| version > VERSION_MAX) || id.is_empty() {
        return None;
    }
    Some((Record { kind: record_kind(kind)?, id: id.into(), version: Version(version), body }, rest))
}

/// A piece of a snapshot that is being made.
#[derive(Debug)]
pub(crate) struct Chunk(Vec<u8>);

impl Chunk {
    pub(crate) fn new() -> Self {
        Self(MAGIC.to_vec())
    }

    pub(crate) fn push(&mut self, entry: &[u8]) {
        let length = u32::try_from(entry.len()).unwrap_or(u32::MAX);
        self.0.extend(length.to_be_bytes());
        self.0.extend(entry);
    }

    /// How long it is with one more entry.
    pub(crate) const fn len_with(&self, entry: &[u8]) -> usize {
        self.0.len() + LENGTH_BYTES + entry.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.len() == MAGIC.len()
    }

    /// The bytes so far; the chunk begins anew.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::replace(&mut self.0, MAGIC.to_vec())
    }
}

/// A record as an entry of a chunk.
pub(crate) fn pack_record(record: &Record) -> Vec<u8> {
    bundle(record)
}

/// Reads a chunk, and returns how many entries it has.
pub(crate) fn unchunk(bytes: &[u8], mut take: impl FnMut(Item)) -> Result<u64, Unreadable> {
    let mut rest = bytes.strip_prefix(MAGIC.as_slice()).ok_or(Unreadable)?;
    let mut count = 0;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk().ok_or(Unreadable)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Unreadable)?;
        let (entry, after) = after.split_at_checked(length).ok_or(Unreadable)?;
        take(unpack(entry)?);
        count += 1;
        rest = after;
    }
    Ok(count)
}

#[cfg(test)]
mod tests;
