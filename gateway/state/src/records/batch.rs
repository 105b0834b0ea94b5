//! What somebody wants the directory to hold, checked before anything happens.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::change::{Change, Receipt};
use crate::fleet::Published;
use crate::records::error::CommitError;
use crate::records::{RecordKind, Version};

/// The largest body of a record, in bytes.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;
/// The longest id of a record, in bytes.
pub const RECORD_ID_BYTES_MAX: usize = 255;
/// The longest unique key, in bytes.
pub const UNIQUE_KEY_BYTES_MAX: usize = 512;
/// The most unique keys of one record.
pub const RECORD_KEYS_MAX: usize = 64;
/// The most writes of one batch: a group of 10,000 members that changes as a whole fits.
pub const BATCH_WRITES_MAX: usize = 12_000;
/// The most changes of one batch.
pub const BATCH_CHANGES_MAX: usize = 12_000;
/// All bodies and keys of one batch together, in bytes: what a store writes within its time.
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A name that one record alone may have, such as `scim:okta:username:alice@corp.example`. Compared
/// byte by byte: whoever makes it folds upper and lower case before.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UniqueKey(Arc<str>);

impl UniqueKey {
    /// A key of this text.
    ///
    /// # Errors
    /// When it is empty, longer than [`UNIQUE_KEY_BYTES_MAX`], or has control characters.
    pub fn new(text: &str) -> Result<Self, CommitError> {
        word("keys", text, UNIQUE_KEY_BYTES_MAX)?;
        Ok(Self(text.into()))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// One that was read from a store.
    pub(crate) fn read(text: &str) -> Self {
        Self(text.into())
    }
}

/// A key often has a person's name in it.
impl fmt::Debug for UniqueKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UniqueKey({} bytes)", self.0.len())
    }
}

/// How a record has to be for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Not there. One that was deleted is not there, unless its kind
    /// [never returns](RecordKind::never_returns).
    Absent,
    /// As this write left it.
    Version(Version),
    /// As it is, or not there; but not deleted, if its kind never returns.
    Any,
}

/// A record that somebody wants to have written.
#[derive(Clone, PartialEq, Eq)]
pub struct Write {
    /// Of which kind.
    pub kind: RecordKind,
    /// Which one: at most [`RECORD_ID_BYTES_MAX`] bytes without control characters.
    pub id: Arc<str>,
    /// How it has to be now.
    pub expected: Expected,
    /// What it says from then on, as JSON; `None` deletes it, and its keys are free.
    pub body: Option<Arc<[u8]>>,
    /// All keys that it has from then on; those that are not named any more are free.
    pub keys: Vec<UniqueKey>,
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write")
            .field("kind", &self.kind)
            .field("id", &self.id)
            .field("expected", &self.expected)
            .field("body_bytes", &self.body.as_ref().map(|body| body.len()))
            .field("keys", &self.keys.len())
            .finish()
    }
}

impl Write {
    /// How much of the disk and of memory it asks for.
    pub(crate) fn bytes(&self) -> usize {
        let keys: usize = self.keys.iter().map(|key| key.0.len()).sum();
        self.id.len() + self.body.as_ref().map_or(0, |body| body.len()) + keys
    }

    fn check(&self) -> Result<(), CommitError> {
        word("id", &self.id, RECORD_ID_BYTES_MAX)?;
        let bytes = self.body.as_ref().map_or(1, |body| body.len());
        if bytes == 0 || bytes > RECORD_BYTES_MAX {
            let what = format!(
                "of {} `{}` has {bytes} bytes and must have from 1 to {RECORD_BYTES_MAX}",
                self.kind, self.id
            );
            return Err(CommitError::BadBatch { field: "body", what });
        }
        if self.keys.len() > RECORD_KEYS_MAX {
            let (count, kind, id) = (self.keys.len(), self.kind, &self.id);
            let what =
                format!("of {kind} `{id}` are {count}; a record has at most {RECORD_KEYS_MAX}: drop some");
            return Err(CommitError::BadBatch { field: "keys", what });
        }
        if self.body.is_none() && !self.keys.is_empty() {
            let what = format!("of {} `{}` must be empty where it is deleted", self.kind, self.id);
            return Err(CommitError::BadBatch { field: "keys", what });
        }
        Ok(())
    }
}

/// Records and the changes of the log that follow from them: all of it happens, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// At most [`BATCH_WRITES_MAX`], each of another record.
    pub writes: Vec<Write>,
    /// At most [`BATCH_CHANGES_MAX`], in their order.
    pub changes: Vec<Change>,
}

impl Batch {
    /// Refuses what could never be written.
    pub(crate) fn check(&self) -> Result<(), CommitError> {
        for (field, count, max) in [
            ("writes", self.writes.len(), BATCH_WRITES_MAX),
            ("changes", self.changes.len(), BATCH_CHANGES_MAX),
        ] {
            if count > max {
                let what = format!("are {count}, and a batch has at most {max}: make several batches");
                return Err(CommitError::BadBatch { field, what });
            }
        }
        if self.writes.is_empty() && self.changes.is_empty() {
            let what = "are none, and no changes either: there is nothing to do".to_owned();
            return Err(CommitError::BadBatch { field: "writes", what });
        }
        let bytes: usize = self.writes.iter().map(Write::bytes).sum();
        if bytes > BATCH_BYTES_MAX {
            let what = format!(
                "have {bytes} bytes, and a batch has at most {BATCH_BYTES_MAX}: make several batches"
            );
            return Err(CommitError::BadBatch { field: "writes", what });
        }
        let mut named = HashSet::with_capacity(self.writes.len());
        for write in &self.writes {
            write.check()?;
            if !named.insert((write.kind, &*write.id)) {
                let what = format!("name {} `{}` twice; name it once", write.kind, write.id);
                return Err(CommitError::BadBatch { field: "writes", what });
            }
        }
        self.changes.iter().try_for_each(|change| change.check().map_err(CommitError::from))
    }
}

fn word(field: &'static str, text: &str, bytes_max: usize) -> Result<(), CommitError> {
    if text.is_empty() || text.len() > bytes_max || text.chars().any(char::is_control) {
        let what = format!("must have from 1 to {bytes_max} bytes and no control characters");
        return Err(CommitError::BadBatch { field, what });
    }
    Ok(())
}

/// The acknowledgment of a batch: it survives a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The version of each write, in the order of the batch.
    pub records: Vec<Version>,
    /// The receipt of each change, in the order of the batch.
    pub receipts: Vec<Receipt>,
    /// That all of it went out to every node. None where there is no fleet, where nothing of it concerns
    /// other nodes, and where that takes longer.
    pub published: Option<Published>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(id: &str) -> Write {
        let body = Some(Arc::from(b"{}".as_slice()));
        Write { kind: RecordKind::Person, id: id.into(), expected: Expected::Any, body, keys: Vec::new() }
    }

    fn of_bytes(count: usize) -> Option<Arc<[u8]>> {
        Some(vec![b'x'; count].into())
    }

    fn told(writes: Vec<Write>) -> String {
        match (Batch { writes, changes: Vec::new() }).check() {
            Ok(()) => "good".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_could_never_be_written_is_refused_with_its_cure() {
        let key = UniqueKey::new("k").unwrap();
        let bodies = |count: usize, bytes: usize| {
            (0..count).map(|i| Write { body: of_bytes(bytes), ..write(&i.to_string()) }).collect::<Vec<_>>()
        };
        for (writes, says) in [
            (vec![write("a"), write("b")], "good"),
            (bodies(1, RECORD_BYTES_MAX), "good"),
            (bodies(BATCH_WRITES_MAX, 1), "good"),
            (Vec::new(), "nothing to do"),
            (bodies(BATCH_WRITES_MAX + 1, 1), "at most 12000: make several"),
            (bodies(257, RECORD_BYTES_MAX), "at most 16777216: make several"),
            (bodies(1, RECORD_BYTES_MAX + 1), "from 1 to 65536"),
            (bodies(1, 0), "from 1 to 65536"),
            (vec![write("a"), write("a")], "twice"),
            (vec![write("")], "`id` must have from 1 to 255"),
            (vec![write(&"x".repeat(256))], "`id` must have from 1 to 255"),
            (vec![write("a\0")], "no control characters"),
            (vec![Write { body: None, keys: vec![key.clone()], ..write("a") }], "where it is deleted"),
            (vec![Write { keys: vec![key.clone(); 65], ..write("a") }], "at most 64"),
        ] {
            assert!(told(writes).contains(says), "{says}");
        }
        for bad in ["", "a\nb", &"x".repeat(513)] {
            assert!(UniqueKey::new(bad).is_err(), "{bad:?}");
        }
        let other = Write { kind: RecordKind::Group, ..write("a") };
        assert_eq!(told(vec![write("a"), other]), "good", "of another kind");
    }

    #[test]
    fn what_is_personal_is_not_shown() {
        let write =
            Write { body: of_bytes(7), keys: vec![UniqueKey::new("alice@corp").unwrap()], ..write("p-1") };
        let told = format!("{write:?} {:?}", write.keys);
        assert!(!told.contains("alice") && !told.contains("xx") && told.contains("p-1"), "{told}");
    }
}
