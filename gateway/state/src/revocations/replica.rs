//! What this process knows: one entry for each target, in memory.
//!
//! The map is never locked and never resized under a reader (papaya in blocking mode: a writer
//! pays for growth). Keys are 128-bit hashes under a key that is drawn anew for each process,
//! so nobody can choose identifiers that collide; the identifiers themselves are not kept.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use doorward_model::{Entry, Target, UnixMillis};
use papaya::{Compute, HashMap, Operation, ResizeMode};
use siphasher::sip128::{Hasher128, SipHasher13};

/// The keys are hashes already.
#[derive(Clone, Copy, Default)]
pub(crate) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        let [low, high] = [key & u128::from(u64::MAX), key >> 64];
        self.0 = u64::try_from(low ^ high).unwrap_or(0);
    }
}

/// The entries of this process.
pub(crate) struct Replica {
    key: [u8; 16],
    entries: HashMap<u128, Kept, BuildHasherDefault<Hashed>>,
    generation: AtomicU64,
}

/// What is kept of one target.
#[derive(Clone, Copy)]
struct Kept {
    entry: Entry,
    /// It names one sign-in or one token, and is of no use once those are too old to be valid.
    passes: bool,
}

/// What a merge did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Merged {
    /// What now holds.
    pub(crate) entry: Entry,
    /// Whether that is news.
    pub(crate) changed: bool,
}

impl Replica {
    /// Empty, with room for `capacity` entries.
    pub(crate) fn with_capacity(key: [u8; 16], capacity: usize) -> Self {
        let entries = HashMap::builder()
            .capacity(capacity)
            .hasher(BuildHasherDefault::default())
            .resize_mode(ResizeMode::Blocking)
            .build();
        Self { key, entries, generation: AtomicU64::new(0) }
    }

    /// Makes room for so many more.
    pub(crate) fn reserve(&self, more: usize) {
        self.entries.pin().reserve(more);
    }

    /// Counts the changes; 0 while nothing is known of anybody.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, target: &Target) -> Option<Entry> {
        self.entries.pin().get(&self.hash(target)).map(|kept| kept.entry)
    }

    /// Adds what a row says. The order of calls does not matter, nor does repetition.
    pub(crate) fn merge(&self, target: &Target, entry: Entry) -> Merged {
        self.change(target, |known| known.merge(entry))
    }

    /// Changes the entry of a target in one atomic step. `next` must be pure; it may be called
    /// more than once, and what it returns is merged with what was known, so that no caller can
    /// lower a mark.
    pub(crate) fn change(&self, target: &Target, next: impl Fn(Entry) -> Entry) -> Merged {
        let pinned = self.entries.pin();
        let passes = target.kind().never_returns();
        let outcome = pinned.compute(self.hash(target), |slot| match slot {
            None => Operation::Insert(Kept { entry: next(Entry::default()), passes }),
            Some((_, Kept { entry: known, .. })) => {
                let entry = known.merge(next(*known));
                if entry == *known {
                    Operation::Abort(entry)
                } else {
                    Operation::Insert(Kept { entry, passes })
                }
            }
        });
        let merged = match outcome {
            Compute::Inserted(_, kept) | Compute::Updated { new: (_, kept), .. } => {
                Merged { entry: kept.entry, changed: true }
            }
            Compute::Aborted(entry) => Merged { entry, changed: false },
            // `Remove` is never asked for; the default entry is what a missing key means.
            Compute::Removed(..) => Merged { entry: Entry::default(), changed: false },
        };
        if merged.changed {
            self.generation.fetch_add(1, Ordering::AcqRel);
            // See `standing::judge` for the other side.
            std::sync::atomic::fence(Ordering::SeqCst);
        }
        merged
    }

    /// Forgets a target whose mark is older than `than`.
    pub(crate) fn forget(&self, target: &Target, than: UnixMillis) {
        // The entry may have been renewed since the caller looked: then it stays.
        let _stays = self.entries.pin().remove_if(&self.hash(target), |_, kept| kept.entry.not_before < than);
    }

    /// Forgets every session and token whose mark is older than `than`, and nobody else.
    pub(crate) fn forget_passed(&self, than: UnixMillis) {
        self.entries.pin().retain(|_, kept| !kept.passes || kept.entry.not_before >= than);
    }

    /// The latest mark of all.
    pub(crate) fn newest(&self) -> UnixMillis {
        self.entries.pin().values().map(|kept| kept.entry.not_before).max().unwrap_or_default()
    }

    /// The key of a target. Lengths go in before texts, so that two targets never write the
    /// same bytes.
    fn hash(&self, target: &Target) -> u128 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        let mut text = |s: &str| {
            hasher.write_usize(s.len());
            hasher.write(s.as_bytes());
        };
        text(target.kind().as_str());
        match target {
            Target::User(user) => {
                text(user.issuer().as_str());
                text(user.subject().as_str());
            }
            Target::Session(session) => {
                text(session.issuer().as_str());
                text(session.as_str());
            }
            Target::Token(token) => {
                text(token.issuer().as_str());
                text(token.as_str());
            }
            Target::Device(device) => text(device.as_str()),
            Target::UserAtApp(user, app) => {
                text(user.issuer().as_str());
                text(user.subject().as_str());
                text(app.as_str());
            }
        }
        hasher.finish128().as_u128()
    }
}

#[cfg(test)]
mod tests {
    use doorward_model::EntryKind;

    use super::*;

    fn target(kind: EntryKind, id: &str) -> Target {
        Target::parse(kind, id).unwrap()
    }

    #[test]
    fn what_looks_alike_is_kept_apart() {
        let replica = Replica::with_capacity([7; 16], 0);
        let alike = [
            target(EntryKind::User, "corp:alice"),
            target(EntryKind::User, "cor:palice"),
            target(EntryKind::User, "corp:alic"),
            target(EntryKind::Session, "corp:alice"),
            target(EntryKind::Token, "corp:alice"),
            target(EntryKind::Token, "other:alice"),
            target(EntryKind::Device, "corp:alice"),
            target(EntryKind::UserAtApp, "alice@corp:alice"),
            target(EntryKind::UserAtApp, "a@corp:alice"),
        ];
        for (i, t) in alike.iter().enumerate() {
            assert_eq!(replica.get(t), None, "{t}");
            let entry = Entry { not_before: UnixMillis(i64::try_from(i).unwrap() + 1), ..Entry::default() };
            assert!(replica.merge(t, entry).changed);
        }
        for (i, t) in alike.iter().enumerate() {
            assert_eq!(replica.get(t).unwrap().not_before.0, i64::try_from(i).unwrap() + 1, "{t}");
        }
        assert_eq!(replica.generation(), 9);
    }

    #[test]
    fn a_change_cannot_lower_a_mark() {
        let replica = Replica::with_capacity([7; 16], 0);
        let alice = target(EntryKind::User, "corp:alice");
        let high = Entry { not_before: UnixMillis(500), version: 3, disabled: true };
        replica.merge(&alice, high);
        let low = Entry { not_before: UnixMillis(10), version: 2, disabled: false };
        assert_eq!(replica.change(&alice, |_| low), Merged { entry: high, changed: false });
        assert_eq!(replica.get(&alice), Some(high));
    }

    #[test]
    fn only_old_sessions_and_tokens_pass() {
        let replica = Replica::with_capacity([7; 16], 0);
        let kept = [
            (EntryKind::User, "corp:alice", 1),
            (EntryKind::Device, "laptop-7", 1),
            (EntryKind::UserAtApp, "payroll@corp:alice", 1),
            (EntryKind::Session, "corp:young", 500),
        ];
        let passed = [(EntryKind::Session, "corp:old", 499), (EntryKind::Token, "corp:old", 1)];
        for (kind, id, at) in kept.iter().chain(&passed) {
            replica.merge(&target(*kind, id), Entry { not_before: UnixMillis(*at), ..Entry::default() });
        }
        assert_eq!(replica.newest(), UnixMillis(500));
        replica.forget_passed(UnixMillis(500));
        assert!(kept.iter().all(|(kind, id, _)| replica.get(&target(*kind, id)).is_some()));
        assert!(passed.iter().all(|(kind, id, _)| replica.get(&target(*kind, id)).is_none()));
    }

    #[test]
    fn forgetting_spares_what_was_renewed() {
        let replica = Replica::with_capacity([7; 16], 0);
        let s = target(EntryKind::Session, "corp:s-1");
        replica.merge(&s, Entry { not_before: UnixMillis(500), ..Entry::default() });
        replica.forget(&s, UnixMillis(500));
        assert!(replica.get(&s).is_some());
        replica.forget(&s, UnixMillis(501));
        assert!(replica.get(&s).is_none());
    }
}
