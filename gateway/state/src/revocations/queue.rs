//! Changes on their way to the disk, alone or with records of the directory.
//!
//! A plain queue under a plain lock: `push` happens before the caller's first await, so that a
//! caller who goes away (a closed connection drops the future) cannot take the change along.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use doorward_model::limits::{REVOCATION_BATCH_ROWS_MAX, REVOCATION_UNSAVED_MAX};
use doorward_model::{Entry, Target, UnixMillis};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::change::{Change, Ended, Receipt};
use crate::fleet::Published;
use crate::records::{Refusal, Version, Write};

/// What of records may wait to be written, in bytes: several of the largest batches.
const UNSAVED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Records of one transaction, in bytes, unless one batch alone has more.
const TRANSACTION_BYTES_MAX: usize = 1024 * 1024;

/// Where a change went beside the directory.
#[derive(Clone, Debug)]
pub(crate) enum Distribution {
    /// There is no fleet.
    Alone,
    /// Every node can know of it.
    Published(Published),
    /// It goes out as soon as that is possible. Why it has not yet.
    Waiting(String),
}

/// What became of one change that was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SavedChange {
    pub(crate) entry: Entry,
    pub(crate) applied_at: UnixMillis,
    pub(crate) ended: Ended,
}

/// What became of everything that was written together.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    pub(crate) each: Vec<SavedChange>,
    pub(crate) versions: Vec<Version>,
    pub(crate) durable_at: UnixMillis,
    pub(crate) distribution: Distribution,
}

impl Saved {
    /// The acknowledgments of the changes of these ids and targets.
    pub(crate) fn receipts(&self, named: impl Iterator<Item = (Uuid, Target)>) -> Vec<Receipt> {
        let published = match self.distribution {
            Distribution::Published(published) => Some(published),
            Distribution::Alone | Distribution::Waiting(_) => None,
        };
        let receipt = |((id, target), saved): ((Uuid, Target), &SavedChange)| {
            let SavedChange { entry, applied_at, ended } = *saved;
            Receipt { id, target, entry, applied_at, durable_at: self.durable_at, ended, published }
        };
        named.zip(&self.each).map(receipt).collect()
    }
}

/// Why something was not written.
#[derive(Clone, Debug)]
pub(crate) enum Unsaved {
    /// The store cannot be written, and says this.
    Failed(String),
    /// The directory is not as it was expected.
    Refused(Refusal),
}

/// Which batches may themselves be the reason why they could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspect {
    /// None: the store cannot be reached, or somebody else has it.
    None,
    /// Large ones: they take longer than the store may.
    Large,
    /// Each: there is no room for it, or something in it is not taken.
    Any,
}

/// A change that is to be written.
pub(crate) struct Ask {
    pub(crate) id: Uuid,
    pub(crate) change: Change,
    /// From when on it is in force. None for a grant, which is not in force before it is written.
    pub(crate) enforced_at: Option<UnixMillis>,
}

/// What waits to be written together.
pub(crate) struct Pending {
    pub(crate) asks: Vec<Ask>,
    pub(crate) writes: Vec<Write>,
    /// Whoever asked was told that it could not be written, and what takes access away will be.
    pub(crate) kept: bool,
    /// Whoever still waits for the answer.
    pub(crate) ack: Option<oneshot::Sender<Result<Saved, Unsaved>>>,
}

impl Pending {
    /// Nothing of it is in force and nobody waits any more: it must not happen behind the caller's
    /// back.
    fn is_moot(&self) -> bool {
        self.asks.iter().all(|ask| ask.enforced_at.is_none())
            && self.ack.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// It could not be written, and whoever waited is told. What takes access away is kept, and with
    /// it the records; but where a grant stands beside them, neither the one nor the others.
    fn keep(&mut self, why: &str) {
        let Some(ack) = self.ack.take() else { return };
        // An error here means that the caller went away: nobody to tell.
        let _gone = ack.send(Err(Unsaved::Failed(why.to_owned())));
        self.kept = true;
        let count = self.asks.len();
        self.asks.retain(|ask| ask.enforced_at.is_some());
        if self.asks.len() < count {
            self.writes.clear();
        }
    }

    /// It was tried again and may itself be the reason why that failed. What takes access away goes
    /// alone from now on: everything behind it would wait for ever.
    fn lighten(&mut self, suspect: Suspect) {
        let suspected = match suspect {
            Suspect::None => false,
            Suspect::Large => self.rows() > REVOCATION_BATCH_ROWS_MAX || self.bytes() > TRANSACTION_BYTES_MAX,
            Suspect::Any => true,
        };
        if suspected && self.kept && !self.writes.is_empty() {
            tracing::error!(
                writes = self.writes.len(),
                "a change of the directory cannot be written: the revocations that follow from it are saved \
                 without it; ask for it again when the store has room"
            );
            self.writes.clear();
        }
    }

    /// Whether a row of the log with this id is one of its changes.
    pub(crate) fn has(&self, id: Uuid) -> bool {
        self.asks.iter().any(|ask| ask.id == id)
    }

    /// How much of a transaction it takes.
    fn rows(&self) -> usize {
        self.asks.len() + self.writes.len()
    }

    fn bytes(&self) -> usize {
        self.writes.iter().map(Write::bytes).sum()
    }

    /// How many changes are lost with it.
    fn count(&self) -> usize {
        self.asks.len().max(1)
    }
}

#[derive(Default)]
struct Waiting {
    pendings: VecDeque<Pending>,
    /// How many changes these are.
    count: usize,
    /// What their records take, in bytes.
    bytes: usize,
    /// How many the writer has in hand: taken, and neither written nor put back.
    in_hand: usize,
    /// Someone waits for an answer: do not sit out the pause between two attempts.
    urgent: bool,
    closing: bool,
}

impl Waiting {
    fn has_room(&self, pending: &Pending) -> bool {
        let bytes = pending.bytes();
        self.count < REVOCATION_UNSAVED_MAX && (bytes == 0 || self.bytes + bytes <= UNSAVED_BYTES_MAX)
    }

    fn add_up(&mut self) {
        self.count = self.pendings.iter().map(Pending::count).sum();
        self.bytes = self.pendings.iter().map(Pending::bytes).sum();
        self.urgent = self.pendings.iter().any(|pending| pending.ack.is_some());
    }

    /// How many of the first fit into one transaction; one does, however large.
    fn fitting(&self) -> usize {
        let (mut rows, mut bytes) = (0, 0);
        let fits = |pending: &&Pending| {
            let first = rows == 0;
            rows += pending.rows();
            bytes += pending.bytes();
            first || (rows <= REVOCATION_BATCH_ROWS_MAX && bytes <= TRANSACTION_BYTES_MAX)
        };
        self.pendings.iter().take_while(fits).count()
    }
}

/// Why the writer woke up.
pub(crate) enum Wake {
    /// There is something to write.
    Batch(Vec<Pending>),
    /// The pause is over and nothing waits.
    Idle,
    /// Nothing waits, and nothing will come.
    Closed,
}

#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    ready: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a change. False when too many wait, or the writer has gone home.
    pub(crate) fn push(&self, pending: Pending) -> bool {
        let mut waiting = self.lock();
        if waiting.closing || !waiting.has_room(&pending) {
            return false;
        }
        waiting.count += pending.count();
        waiting.bytes += pending.bytes();
        waiting.pendings.push_back(pending);
        waiting.urgent = true;
        drop(waiting);
        self.ready.notify_one();
        true
    }

    /// Waits for something to write, at most for `pause`.
    pub(crate) fn take(&self, pause: Duration) -> Wake {
        let idle = |waiting: &mut Waiting| !waiting.urgent && !waiting.closing;
        let waited = self.ready.wait_timeout_while(self.lock(), pause, idle);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        waiting.pendings.retain(|pending| !pending.is_moot());
        let fitting = waiting.fitting();
        let batch: Vec<Pending> = waiting.pendings.drain(..fitting).collect();
        waiting.in_hand = batch.iter().map(Pending::count).sum();
        waiting.add_up();
        match (batch.is_empty(), waiting.closing) {
            (false, _) => Wake::Batch(batch),
            (true, true) => Wake::Closed,
            (true, false) => Wake::Idle,
        }
    }

    /// Puts back what could not be written, in front of what came in since, and tells everyone
    /// who waits, those behind included: the next attempt may be long in coming. Grants are
    /// dropped, and records that nothing hangs on which is in force.
    pub(crate) fn put_back(&self, batch: Vec<Pending>, why: &str, suspect: Suspect) {
        let mut waiting = self.lock();
        waiting.in_hand = 0;
        for mut pending in batch.into_iter().rev() {
            pending.lighten(suspect);
            waiting.pendings.push_front(pending);
        }
        for pending in &mut waiting.pendings {
            pending.keep(why);
        }
        waiting.pendings.retain(|pending| !pending.is_moot());
        waiting.add_up();
    }

    /// What was taken is written.
    pub(crate) fn written(&self) {
        self.lock().in_hand = 0;
    }

    /// No more changes are taken; the writer empties the queue and ends.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.ready.notify_one();
    }

    /// The writer died. Nothing more is taken, and whoever waits is told; what waits is counted as
    /// unsaved for as long as the process lives.
    pub(crate) fn abandon(&self) {
        let mut waiting = self.lock();
        waiting.closing = true;
        for pending in &mut waiting.pendings {
            drop(pending.ack.take());
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// How many are not written yet, those included that are being written.
    pub(crate) fn len(&self) -> usize {
        let waiting = self.lock();
        waiting.count + waiting.in_hand
    }
}

#[cfg(test)]
mod tests {
    use doorward_model::{EntryKind, Target};

    use super::*;
    use crate::change::Action;

    type Answer = oneshot::Receiver<Result<Saved, Unsaved>>;

    fn pending(id: &str, action: Action) -> (Pending, Answer) {
        let (ack, answer) = oneshot::channel();
        let change = Change {
            target: Target::parse(EntryKind::User, &format!("corp:{id}")).unwrap(),
            action,
            cause: String::new(),
            actor: String::new(),
            request_id: String::new(),
        };
        let enforced_at = (!action.is_grant()).then_some(UnixMillis(1));
        let asks = vec![Ask { id: Uuid::nil(), change, enforced_at }];
        (Pending { asks, writes: Vec::new(), kept: false, ack: Some(ack) }, answer)
    }

    fn take(queue: &Queue) -> Vec<Pending> {
        match queue.take(Duration::from_millis(10)) {
            Wake::Batch(batch) => batch,
            Wake::Idle | Wake::Closed => Vec::new(),
        }
    }

    fn ids(batch: &[Pending]) -> Vec<String> {
        batch.iter().flat_map(|p| &p.asks).map(|ask| ask.change.target.id()).collect()
    }

    #[test]
    fn what_failed_stays_in_front_and_grants_are_dropped() {
        let queue = Queue::default();
        let mut answers = Vec::new();
        let push = |id, action| {
            let (pending, answer) = pending(id, action);
            assert!(queue.push(pending));
            answer
        };
        answers.push(push("a", Action::Revoke));
        answers.push(push("b", Action::Reactivate));
        answers.push(push("c", Action::Disable));
        let batch = take(&queue);
        assert_eq!(ids(&batch), ["corp:a", "corp:b", "corp:c"]);
        answers.push(push("d", Action::Revoke));
        queue.put_back(batch, "no room", Suspect::Any);
        for answer in &mut answers {
            let told = answer.try_recv().unwrap();
            assert!(
                matches!(told, Err(Unsaved::Failed(why)) if why == "no room"),
                "everyone is told at once"
            );
        }
        assert_eq!(ids(&take(&queue)), ["corp:a", "corp:c", "corp:d"]);
    }

    #[test]
    fn a_batch_is_bounded_and_so_is_the_queue() {
        let queue = Queue::default();
        // Nobody waits for these: a revocation is written all the same.
        for _ in 0..REVOCATION_UNSAVED_MAX {
            assert!(queue.push(pending("a", Action::Revoke).0));
        }
        assert!(!queue.push(pending("b", Action::Revoke).0));
        assert_eq!(take(&queue).len(), REVOCATION_BATCH_ROWS_MAX);
        assert!(queue.push(pending("b", Action::Revoke).0));
    }

    #[test]
    fn closing_hands_out_what_waits_and_takes_nothing_more() {
        let queue = Queue::default();
        assert!(queue.push(pending("a", Action::Revoke).0));
        queue.close();
        assert!(!queue.push(pending("b", Action::Revoke).0));
        assert_eq!(take(&queue).len(), 1);
        assert!(matches!(queue.take(Duration::from_secs(60)), Wake::Closed));
    }

    #[test]
    fn what_is_being_written_is_not_saved_yet() {
        let queue = Queue::default();
        let (disable, _waits) = pending("alice", Action::Disable);
        assert!(queue.push(disable));
        let Wake::Batch(batch) = queue.take(Duration::ZERO) else { panic!("there is one") };
        assert_eq!(queue.len(), 1, "in the writer's hand");
        queue.put_back(batch, "busy", Suspect::None);
        assert_eq!(queue.len(), 1, "put back");
        let Wake::Batch(_) = queue.take(Duration::ZERO) else { panic!("again") };
        queue.written();
        assert_eq!(queue.len(), 0);
    }

    /// A batch with `writes` records of a kibibyte.
    fn batch(actions: &[(&str, Action)], writes: usize) -> (Pending, Answer) {
        let (ack, answer) = oneshot::channel();
        let asks = actions.iter().flat_map(|(id, action)| pending(id, *action).0.asks).collect();
        let write = |i: usize| Write {
            kind: crate::records::RecordKind::Person,
            id: i.to_string().into(),
            expected: crate::records::Expected::Any,
            body: Some(vec![b'x'; 1024].into()),
            keys: Vec::new(),
        };
        (Pending { asks, writes: (0..writes).map(write).collect(), kept: false, ack: Some(ack) }, answer)
    }

    #[test]
    fn of_what_failed_only_what_takes_away_is_kept_and_records_beside_a_grant_are_not() {
        let queue = Queue::default();
        let disable = ("a", Action::Disable);
        for (actions, kept) in [
            (vec![disable], Some((1, 2))),
            (vec![disable, ("b", Action::Reactivate)], Some((1, 0))),
            (vec![("b", Action::Reactivate)], None),
            (vec![], None),
        ] {
            let (pending, mut answer) = batch(&actions, 2);
            assert!(queue.push(pending));
            let taken = take(&queue);
            assert_eq!(taken.len(), 1);
            queue.put_back(taken, "no room", Suspect::Any);
            assert!(matches!(answer.try_recv(), Ok(Err(Unsaved::Failed(_)))));
            let left = take(&queue);
            assert_eq!(left.first().map(|p| (p.asks.len(), p.writes.len())), kept, "{actions:?}");
            assert!(left.iter().all(|p| p.kept));
            queue.written();
            assert_eq!(queue.len(), 0);
        }
    }

    #[test]
    fn a_large_batch_goes_alone_and_the_bytes_of_records_are_bounded() {
        let queue = Queue::default();
        let mut answers = Vec::new();
        for writes in [100, 100, 1000, 1, 1] {
            let (pending, answer) = batch(&[("a", Action::Disable)], writes);
            answers.push(answer);
            assert!(queue.push(pending));
        }
        let sizes: Vec<usize> = (0..3).map(|_| take(&queue).len()).collect();
        assert_eq!(sizes, [2, 1, 2]);
        let large = || batch(&[("a", Action::Disable)], 12_000);
        let (mut pushed, mut held) = (0, Vec::new());
        loop {
            let (pending, answer) = large();
            held.push(answer);
            if !queue.push(pending) {
                break;
            }
            pushed += 1;
        }
        assert_eq!(pushed, 5, "of 12 MB each");
        assert!(queue.push(pending("a", Action::Disable).0), "what takes access away alone has room");
    }

    #[test]
    fn records_that_fail_twice_for_what_they_are_hold_nobody_up() {
        let small = || batch(&[("a", Action::Disable)], 2);
        let large = || batch(&[("a", Action::Disable)], 1500);
        for (suspect, made, writes) in [
            (Suspect::None, large(), [1500, 1500]),
            (Suspect::Large, small(), [2, 2]),
            (Suspect::Large, large(), [1500, 0]),
            (Suspect::Any, small(), [2, 0]),
        ] {
            let queue = Queue::default();
            assert!(queue.push(made.0));
            for left in writes {
                queue.put_back(take(&queue), "not now", suspect);
                assert_eq!(queue.lock().pendings[0].writes.len(), left, "{suspect:?}");
                assert_eq!(queue.lock().pendings[0].asks.len(), 1);
            }
        }
    }
}
