//! What a transaction does to the records: decided from what is there, without a store.
//!
//! A store reads what the batches touch, under its lock; here it is said which batches hold, what
//! each record is afterwards, and which keys change hands; then the store writes that. So every store
//! decides alike. A batch that is refused leaves nothing behind for the next one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::records::batch::{Expected, UniqueKey, Write};
use crate::records::error::{Found, Refusal};
use crate::records::{RecordKind, Version};

/// Writes that are made together or not at all.
#[derive(Clone, Copy, Debug)]
pub struct RecordGroup<'a> {
    /// Each of another record.
    pub writes: &'a [Write],
    /// The id of a row of the log that is written with them, and of an attempt that failed: where
    /// that row is, so are they.
    pub proof: Option<Uuid>,
}

/// What became of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is written; the version of each write, in their order.
    Written(Vec<Version>),
    /// An attempt before had written it, though it failed.
    Already,
    /// Nothing of it is written.
    Refused(Refusal),
}

/// Names a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Address {
    pub(crate) kind: RecordKind,
    pub(crate) id: Arc<str>,
}

impl Address {
    pub(crate) fn of(write: &Write) -> Self {
        Self { kind: write.kind, id: Arc::clone(&write.id) }
    }
}

/// A record as it is, but for its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) version: Version,
    pub(crate) live: bool,
    pub(crate) keys: Vec<UniqueKey>,
}

/// Who has a key, in the words of the store: it may be of a kind that a later version knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) kind: String,
    pub(crate) id: String,
}

impl Holder {
    fn of(address: &Address) -> Self {
        Self { kind: address.kind.as_str().to_owned(), id: address.id.to_string() }
    }

    fn is(&self, write: &Write) -> bool {
        self.kind == write.kind.as_str() && self.id == *write.id
    }
}

/// What is there of all that the groups touch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Present {
    pub(crate) records: HashMap<Address, Known>,
    /// Of the keys that the groups want, those that somebody has.
    pub(crate) holders: HashMap<UniqueKey, Holder>,
    /// Proofs that are in the log.
    pub(crate) already: HashSet<Uuid>,
    /// The last version.
    pub(crate) end: Version,
    /// How many records there are, tombstones included.
    pub(crate) held: i64,
}

/// A record as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToWrite {
    pub(crate) address: Address,
    pub(crate) version: Version,
    pub(crate) body: Option<Arc<[u8]>>,
    pub(crate) keys: Vec<UniqueKey>,
}

/// What the store has to do, in this order: let keys go, remove, write, give keys away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) released: Vec<UniqueKey>,
    pub(crate) removed: Vec<Address>,
    /// In the order of their versions, each record once.
    pub(crate) written: Vec<ToWrite>,
    pub(crate) claimed: Vec<(UniqueKey, Address)>,
    pub(crate) end: Version,
    pub(crate) held: i64,
}

impl Plan {
    /// Whether there is nothing to do.
    pub(crate) const fn is_empty(&self) -> bool {
        self.written.is_empty() && self.removed.is_empty()
    }
}

/// Decides one group after the other.
pub(crate) fn plan(present: Present, groups: &[RecordGroup<'_>]) -> Plan {
    let Present { records, mut holders, already, end, held } = present;
    for (address, known) in &records {
        holders.extend(known.keys.iter().map(|key| (key.clone(), Holder::of(address))));
    }
    let mut draft =
        Draft { records: records.clone(), holders: holders.clone(), written: HashMap::new(), end };
    let mut verdicts = Vec::with_capacity(groups.len());
    for group in groups {
        let verdict = if group.proof.is_some_and(|proof| already.contains(&proof)) {
            Verdict::Already
        } else if let Some(refusal) = draft.refusal(group.writes) {
            Verdict::Refused(refusal)
        } else {
            Verdict::Written(draft.take(group.writes))
        };
        verdicts.push(verdict);
    }
    draft.done(verdicts, &records, &holders, held)
}

/// What is there after the groups so far.
struct Draft {
    records: HashMap<Address, Known>,
    holders: HashMap<UniqueKey, Holder>,
    /// The last body of whatever was written; `None` of what is removed.
    written: HashMap<Address, Option<Arc<[u8]>>>,
    end: Version,
}

impl Draft {
    fn refusal(&self, writes: &[Write]) -> Option<Refusal> {
        let mut wanted: HashMap<&UniqueKey, &Write> = HashMap::new();
        let named: HashSet<(&str, &str)> = writes.iter().map(|w| (w.kind.as_str(), &*w.id)).collect();
        for write in writes {
            let known = self.records.get(&Address::of(write));
            if let Err(found) = meets(write.kind, write.expected, known) {
                return Some(Refusal::Conflict { kind: write.kind, id: write.id.to_string(), found });
            }
        }
        for write in writes {
            for key in &write.keys {
                let other = wanted.insert(key, write).filter(|other| !std::ptr::eq(*other, write));
                // Whoever is written in the same batch says itself which keys it has afterwards.
                let holder =
                    self.holders.get(key).filter(|h| !named.contains(&(h.kind.as_str(), h.id.as_str())));
                let holder = other.map(|other| Holder::of(&Address::of(other))).or_else(|| holder.cloned());
                if let Some(Holder { kind, id }) = holder {
                    return Some(Refusal::KeyTaken { key: key.clone(), holder_kind: kind, holder_id: id });
                }
            }
        }
        None
    }

    fn take(&mut self, writes: &[Write]) -> Vec<Version> {
        for write in writes {
            for key in self.records.get(&Address::of(write)).iter().flat_map(|known| &known.keys) {
                if self.holders.get(key).is_some_and(|holder| holder.is(write)) {
                    self.holders.remove(key);
                }
            }
        }
        let mut versions = Vec::with_capacity(writes.len());
        for write in writes {
            self.end = Version(self.end.0.saturating_add(1));
            versions.push(self.end);
            let address = Address::of(write);
            if write.body.is_some() || write.kind.keeps_tombstones() {
                let mut keys = write.keys.clone();
                keys.sort_unstable();
                keys.dedup();
                self.holders.extend(keys.iter().map(|key| (key.clone(), Holder::of(&address))));
                let known = Known { version: self.end, live: write.body.is_some(), keys };
                self.records.insert(address.clone(), known);
            } else {
                self.records.remove(&address);
            }
            self.written.insert(address, write.body.clone());
        }
        versions
    }

    /// What differs from what was there before.
    fn done(
        mut self,
        verdicts: Vec<Verdict>,
        before: &HashMap<Address, Known>,
        held_keys: &HashMap<UniqueKey, Holder>,
        held: i64,
    ) -> Plan {
        let differs = |one: &HashMap<UniqueKey, Holder>, other: &HashMap<UniqueKey, Holder>| {
            let mut keys: Vec<UniqueKey> = one
                .iter()
                .filter(|(key, who)| other.get(*key) != Some(*who))
                .map(|(key, _)| key.clone())
                .collect();
            keys.sort_unstable();
            keys
        };
        let released = differs(held_keys, &self.holders);
        let new: HashSet<UniqueKey> = differs(&self.holders, held_keys).into_iter().collect();
        let (mut written, mut removed) = (Vec::new(), Vec::new());
        let mut held = held;
        for (address, body) in self.written {
            let was_there = before.contains_key(&address);
            match self.records.remove(&address) {
                Some(Known { version, keys, .. }) => {
                    held = held.saturating_add(i64::from(!was_there));
                    written.push(ToWrite { address, version, body, keys });
                }
                None if was_there => {
                    held = held.saturating_sub(1);
                    removed.push(address);
                }
                None => {}
            }
        }
        written.sort_unstable_by_key(|row| row.version);
        removed.sort_unstable();
        let claims = |row: &ToWrite| {
            let mine = row.keys.iter().filter(|key| new.contains(*key));
            mine.map(|key| (key.clone(), row.address.clone())).collect::<Vec<_>>()
        };
        let claimed = written.iter().flat_map(claims).collect();
        Plan { verdicts, released, removed, written, claimed, end: self.end, held }
    }
}

/// Whether a record is as a write expects it.
pub(super) fn meets(kind: RecordKind, expected: Expected, known: Option<&Known>) -> Result<(), Found> {
    let Some(known) = known else {
        return match expected {
            Expected::Absent | Expected::Any => Ok(()),
            Expected::Version(_) => Err(Found::Absent),
        };
    };
    let found = if known.live { Found::At(known.version) } else { Found::Deleted(known.version) };
    if !known.live && kind.never_returns() {
        return Err(found);
    }
    let as_expected = match expected {
        Expected::Any => true,
        Expected::Absent => !known.live,
        Expected::Version(version) => known.live && known.version == version,
    };
    if as_expected { Ok(()) } else { Err(found) }
}

/// Keys as they lie in the row of their record. No key has a control character.
pub(crate) fn joined(keys: &[UniqueKey]) -> String {
    let mut text = String::new();
    for key in keys {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(key.as_str());
    }
    text
}

/// Reads what [`joined`] made.
pub(crate) fn split(text: &str) -> Vec<UniqueKey> {
    text.split('\n').filter(|key| !key.is_empty()).map(UniqueKey::read).collect()
}

#[cfg(test)]
mod tests;
