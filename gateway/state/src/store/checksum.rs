//! The checksum of a row: a changed byte of a row is damage, even where the database sees none.
//!
//! It guards against disks, not against people: whoever can write the file can also compute it.

use std::hash::Hasher;

use doorward_model::{Entry, Target, UnixMillis};
use siphasher::sip::SipHasher13;
use uuid::Uuid;

use crate::change::Action;
use crate::store::{NewRow, Row, Seq};

/// Never changes: the checksums lie in files.
const KEY: [u8; 16] = *b"doorward rev_log";
const RECORD_KEY: [u8; 16] = *b"doorward records";

/// The checksum of `row` as row `seq` of the log.
pub(super) fn of_new(seq: Seq, row: &NewRow) -> i64 {
    of(
        seq,
        row.id,
        &row.target,
        row.action,
        row.entry,
        row.recorded_at,
        [&row.cause, &row.actor, &row.request_id],
    )
}

/// The checksum of a row that was read.
pub(super) fn of_read(row: &Row) -> i64 {
    let texts = [&row.cause, &row.actor, &row.request_id];
    of(row.seq, row.id, &row.target, row.action, row.entry, row.recorded_at, texts)
}

fn of(
    seq: Seq,
    id: Uuid,
    target: &Target,
    action: Action,
    entry: Entry,
    recorded_at: UnixMillis,
    texts: [&String; 3],
) -> i64 {
    let mut hasher = SipHasher13::new_with_key(&KEY);
    let version = i64::try_from(entry.version).unwrap_or(i64::MAX);
    for number in [seq.0, entry.not_before.0, version, i64::from(entry.disabled), recorded_at.0] {
        hasher.write(&number.to_le_bytes());
    }
    hasher.write(id.as_bytes());
    let [cause, actor, request_id] = texts;
    for text in [target.kind().as_str(), &target.id(), action.as_str(), cause, actor, request_id] {
        // The length goes in first, so that no two rows write the same bytes.
        hasher.write(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.write(text.as_bytes());
    }
    i64::from_le_bytes(hasher.finish().to_le_bytes())
}

/// The checksum of a record, of the texts of its row: of a kind that is not known here, too.
pub(super) fn of_record(version: i64, kind: &str, id: &str, keys: &str, body: Option<&[u8]>) -> i64 {
    let mut hasher = SipHasher13::new_with_key(&RECORD_KEY);
    hasher.write(&version.to_le_bytes());
    hasher.write(&[u8::from(body.is_some())]);
    for bytes in [kind.as_bytes(), id.as_bytes(), keys.as_bytes(), body.unwrap_or_default()] {
        hasher.write(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.write(bytes);
    }
    i64::from_le_bytes(hasher.finish().to_le_bytes())
}

#[cfg(test)]
mod tests {
    use doorward_model::EntryKind;

    use super::*;

    #[test]
    fn every_field_counts_and_the_form_never_changes() {
        let row = NewRow {
            id: Uuid::nil(),
            target: Target::parse(EntryKind::User, "corp:alice").unwrap(),
            action: Action::Disable,
            entry: Entry { not_before: UnixMillis(5), version: 1, disabled: true },
            recorded_at: UnixMillis(6),
            cause: "left".to_owned(),
            actor: "operator".to_owned(),
            request_id: "r-1".to_owned(),
        };
        let entry = row.entry;
        let others = [
            NewRow { id: Uuid::max(), ..row.clone() },
            NewRow { target: Target::parse(EntryKind::User, "corp:alicf").unwrap(), ..row.clone() },
            NewRow { target: Target::parse(EntryKind::Session, "corp:alice").unwrap(), ..row.clone() },
            NewRow { action: Action::Revoke, ..row.clone() },
            NewRow { entry: Entry { not_before: UnixMillis(4), ..entry }, ..row.clone() },
            NewRow { entry: Entry { version: 2, ..entry }, ..row.clone() },
            NewRow { entry: Entry { disabled: false, ..entry }, ..row.clone() },
            NewRow { recorded_at: UnixMillis(7), ..row.clone() },
            NewRow { cause: "lefto".to_owned(), actor: "perator".to_owned(), ..row.clone() },
            NewRow { actor: "operatos".to_owned(), ..row.clone() },
            NewRow { request_id: "r-2".to_owned(), ..row.clone() },
        ];
        let mut sums: Vec<i64> = others.iter().map(|other| of_new(Seq(1), other)).collect();
        sums.extend([of_new(Seq(1), &row), of_new(Seq(2), &row)]);
        let count = sums.len();
        sums.sort_unstable();
        sums.dedup();
        assert_eq!(sums.len(), count);
        assert_eq!(of_new(Seq(1), &row), GOLDEN, "files of earlier versions would be called damaged");
    }

    const GOLDEN: i64 = 6_009_593_981_670_781_767;

    #[test]
    fn every_field_of_a_record_counts_and_the_form_never_changes() {
        let sums = [
            of_record(1, "person", "a", "k", Some(b"{}")),
            of_record(2, "person", "a", "k", Some(b"{}")),
            of_record(1, "group", "a", "k", Some(b"{}")),
            of_record(1, "person", "b", "k", Some(b"{}")),
            of_record(1, "person", "ak", "", Some(b"{}")),
            of_record(1, "person", "a", "", Some(b"k{}")),
            of_record(1, "person", "a", "k", Some(b"{ }")),
            of_record(1, "person", "a", "k", Some(b"")),
            of_record(1, "person", "a", "k", None),
        ];
        let mut different = sums.to_vec();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), sums.len());
        assert_eq!(sums[0], RECORD_GOLDEN, "files of earlier versions would be called damaged");
    }

    const RECORD_GOLDEN: i64 = 938_537_144_834_683_816;
}
