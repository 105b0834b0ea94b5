//! Switch-offs that are in force here and that the log may not have yet.
//!
//! A grant that was decided before such a switch-off may come in after it, from this process's
//! own writer or from another process. The replica alone would believe the grant, as its version
//! is higher, until the switch-off is written; and if that write fails, for good. So whatever
//! gives access to a target is merged here, in one step with what still waits.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use doorward_model::limits::REVOCATION_UNSAVED_MAX;
use doorward_model::{Entry, Target};
use uuid::Uuid;

use crate::revocations::replica::{Merged, Replica};

#[derive(Default)]
pub(crate) struct Halts {
    waiting: Mutex<HashMap<Target, Halt>>,
}

struct Halt {
    /// The latest of them.
    id: Uuid,
    /// How many are in the queue, or in the writer's hands.
    queued: usize,
    /// There was no room in the queue for one: in force until this process ends.
    unkept: bool,
}

impl Halts {
    fn lock(&self) -> MutexGuard<'_, HashMap<Target, Halt>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A switch-off is about to come into force. Must come before it does.
    pub(crate) fn enter(&self, target: &Target, id: Uuid) {
        let mut waiting = self.lock();
        let halt = waiting.entry(target.clone()).or_insert(Halt { id, queued: 0, unkept: false });
        halt.id = id;
        halt.queued += 1;
    }

    /// The queue has not taken it.
    pub(crate) fn not_kept(&self, target: &Target) {
        let mut waiting = self.lock();
        let room = waiting.len() <= 2 * REVOCATION_UNSAVED_MAX;
        if let Some(halt) = waiting.get_mut(target) {
            halt.queued = halt.queued.saturating_sub(1);
            halt.unkept = room;
        }
        forget_empty(&mut waiting, target);
    }

    /// Somebody asks for access to be given back, and knows of what came before.
    pub(crate) fn overruled(&self, target: &Target) {
        let mut waiting = self.lock();
        if let Some(halt) = waiting.get_mut(target) {
            halt.unkept = false;
        }
        forget_empty(&mut waiting, target);
    }

    /// Merges what the log says of a target, of which `saved` switch-offs are now in it. What
    /// still waits holds on top. `id` names the row; the name of what holds is returned.
    pub(crate) fn merge(
        &self,
        replica: &Replica,
        target: &Target,
        (entry, id): (Entry, Uuid),
        saved: usize,
    ) -> (Merged, Uuid) {
        let mut waiting = self.lock();
        if let Some(halt) = waiting.get_mut(target) {
            halt.queued = halt.queued.saturating_sub(saved);
        }
        forget_empty(&mut waiting, target);
        let Some(halt) = waiting.get(target) else { return (replica.merge(target, entry), id) };
        let merged = replica.change(target, |known| {
            let joined = known.merge(entry);
            if joined.disabled { joined } else { flagged(joined, true, joined.not_before) }
        });
        (merged, halt.id)
    }
}

fn forget_empty(waiting: &mut HashMap<Target, Halt>, target: &Target) {
    if waiting.get(target).is_some_and(|halt| halt.queued == 0 && !halt.unkept) {
        waiting.remove(target);
    }
}

/// The entry after a change of the flag.
pub(crate) fn flagged(known: Entry, disabled: bool, mark: doorward_model::UnixMillis) -> Entry {
    Entry { not_before: known.not_before.max(mark), version: known.version.saturating_add(1), disabled }
}

#[cfg(test)]
mod tests {
    use doorward_model::{EntryKind, UnixMillis};

    use super::*;

    #[test]
    fn a_grant_that_comes_late_does_not_lift_what_waits() {
        let (halts, replica) = (Halts::default(), Replica::with_capacity([7; 16], 0));
        let alice = Target::parse(EntryKind::User, "corp:alice").unwrap();
        let (halt, row) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let disabled = |version| Entry { not_before: UnixMillis(10), version, disabled: true };
        let enabled = |version| Entry { not_before: UnixMillis(20), version, disabled: false };

        halts.enter(&alice, halt);
        replica.merge(&alice, disabled(1));
        let (merged, id) = halts.merge(&replica, &alice, (enabled(5), row), 0);
        assert_eq!((merged.entry.version, merged.entry.disabled, id), (6, true, halt));
        assert_eq!(merged.entry.not_before, UnixMillis(20));
        // It is written, decided after the grant; a later grant counts.
        let (merged, _) = halts.merge(&replica, &alice, (disabled(6), halt), 1);
        assert!(merged.entry.disabled);
        let (merged, id) = halts.merge(&replica, &alice, (enabled(7), row), 0);
        assert_eq!((merged.entry.version, merged.entry.disabled, id), (7, false, row));
        assert!(halts.lock().is_empty());

        // What the queue had no room for holds until somebody asks for the contrary.
        halts.enter(&alice, halt);
        replica.merge(&alice, disabled(8));
        halts.not_kept(&alice);
        assert!(halts.merge(&replica, &alice, (enabled(9), row), 0).0.entry.disabled);
        halts.overruled(&alice);
        assert!(!halts.merge(&replica, &alice, (enabled(11), row), 0).0.entry.disabled);
        assert!(halts.lock().is_empty());
    }
}
