//! Changes on their way to the disk.
//!
//! A plain queue under a plain lock: `push` happens before the caller's first await, so that a
//! caller who goes away (a closed connection drops the future) cannot take the change along.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use doorward_model::limits::{REVOCATION_BATCH_ROWS_MAX, REVOCATION_UNSAVED_MAX};
use doorward_model::{Entry, UnixMillis};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::change::{Change, Ended};

/// What became of a change that was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Saved {
    pub(crate) entry: Entry,
    pub(crate) applied_at: UnixMillis,
    pub(crate) durable_at: UnixMillis,
    pub(crate) ended: Ended,
}

/// A change that waits to be written.
pub(crate) struct Pending {
    pub(crate) id: Uuid,
    pub(crate) change: Change,
    /// From when on it is in force. None for a grant, which is not in force before it is written.
    pub(crate) enforced_at: Option<UnixMillis>,
    /// Whoever still waits for the answer.
    pub(crate) ack: Option<oneshot::Sender<Result<Saved, String>>>,
}

impl Pending {
    /// Nobody waits any more for a grant: it must not happen behind the caller's back.
    fn is_moot(&self) -> bool {
        self.enforced_at.is_none() && self.ack.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

#[derive(Default)]
struct Waiting {
    changes: VecDeque<Pending>,
    /// How many the writer has in hand: taken, and neither written nor put back.
    in_hand: usize,
    /// Someone waits for an answer: do not sit out the pause between two attempts.
    urgent: bool,
    closing: bool,
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
        if waiting.closing || waiting.changes.len() >= REVOCATION_UNSAVED_MAX {
            return false;
        }
        waiting.changes.push_back(pending);
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
        waiting.changes.retain(|pending| !pending.is_moot());
        let count = waiting.changes.len().min(REVOCATION_BATCH_ROWS_MAX);
        let batch: Vec<Pending> = waiting.changes.drain(..count).collect();
        waiting.in_hand = batch.len();
        waiting.urgent = waiting.changes.iter().any(|pending| pending.ack.is_some());
        match (batch.is_empty(), waiting.closing) {
            (false, _) => Wake::Batch(batch),
            (true, true) => Wake::Closed,
            (true, false) => Wake::Idle,
        }
    }

    /// Puts back what could not be written, in front of what came in since, and tells everyone
    /// who waits, those behind included: the next attempt may be long in coming. Grants are
    /// dropped.
    pub(crate) fn put_back(&self, batch: Vec<Pending>, why: &str) {
        let mut waiting = self.lock();
        waiting.in_hand = 0;
        for pending in batch.into_iter().rev() {
            waiting.changes.push_front(pending);
        }
        for pending in &mut waiting.changes {
            if let Some(ack) = pending.ack.take() {
                // An error here means that the caller went away: nobody to tell.
                let _gone = ack.send(Err(why.to_owned()));
            }
        }
        waiting.changes.retain(|pending| !pending.is_moot());
        waiting.urgent = false;
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
        for pending in &mut waiting.changes {
            drop(pending.ack.take());
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// How many are not written yet, those included that are being written.
    pub(crate) fn len(&self) -> usize {
        let waiting = self.lock();
        waiting.changes.len() + waiting.in_hand
    }
}

#[cfg(test)]
mod tests {
    use doorward_model::{EntryKind, Target};

    use super::*;
    use crate::change::Action;

    type Answer = oneshot::Receiver<Result<Saved, String>>;

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
        (Pending { id: Uuid::nil(), change, enforced_at, ack: Some(ack) }, answer)
    }

    fn take(queue: &Queue) -> Vec<Pending> {
        match queue.take(Duration::from_millis(10)) {
            Wake::Batch(batch) => batch,
            Wake::Idle | Wake::Closed => Vec::new(),
        }
    }

    fn ids(batch: &[Pending]) -> Vec<String> {
        batch.iter().map(|p| p.change.target.id()).collect()
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
        queue.put_back(batch, "no room");
        for answer in &mut answers {
            let told = answer.try_recv().unwrap();
            assert_eq!(told.map(|_| ()), Err("no room".to_owned()), "everyone is told at once");
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
        queue.put_back(batch, "busy");
        assert_eq!(queue.len(), 1, "put back");
        let Wake::Batch(_) = queue.take(Duration::ZERO) else { panic!("again") };
        queue.written();
        assert_eq!(queue.len(), 0);
    }
}
