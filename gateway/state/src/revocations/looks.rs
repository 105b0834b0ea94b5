//! Reads that began after somebody asked: what makes the answer to a request linearizable.
//!
//! A request that must not rest on a lease waits for a read of the log that *began* after the
//! request came in. However many wait, they wait for the same one, so a thousand requests cost
//! what one costs.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

type Wake = Box<dyn Fn() + Send + Sync>;

pub(crate) struct Looks {
    begun: AtomicU64,
    /// The number of the last one that succeeded.
    done: watch::Sender<u64>,
    /// Makes the reader look now.
    wake: OnceLock<Wake>,
}

impl Default for Looks {
    fn default() -> Self {
        Self { begun: AtomicU64::new(0), done: watch::Sender::new(0), wake: OnceLock::new() }
    }
}

impl Looks {
    /// Says once how the reader is woken.
    pub(crate) fn woken_by(&self, wake: Wake) {
        let _only_once = self.wake.set(wake);
    }

    /// The reader is about to ask. Must come before it does.
    pub(crate) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Look `number` found that nothing is missing, and what it brought is in force.
    pub(crate) fn succeeded(&self, number: u64) {
        self.done.send_if_modified(|done| {
            let newer = number > *done;
            *done = (*done).max(number);
            newer
        });
    }

    /// Waits until a look that begins from now on has succeeded. False when none did in `bound`.
    pub(crate) async fn next(&self, bound: Duration) -> bool {
        let needed = self.begun.load(Ordering::SeqCst) + 1;
        let mut done = self.done.subscribe();
        let Some(wake) = self.wake.get() else { return false };
        wake();
        let reached = done.wait_for(|number| *number >= needed);
        matches!(tokio::time::timeout(bound, reached).await, Ok(Ok(_)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_look_that_was_under_way_does_not_count() {
        let looks = Arc::new(Looks::default());
        assert!(!looks.next(Duration::from_secs(60)).await, "nobody reads");
        let woken = Arc::new(AtomicU64::new(0));
        let counts = Arc::clone(&woken);
        looks.woken_by(Box::new(move || {
            counts.fetch_add(1, Ordering::SeqCst);
        }));
        let under_way = looks.begin();
        let asks = Arc::clone(&looks);
        let request = tokio::spawn(async move { asks.next(Duration::from_secs(60)).await });
        while woken.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        looks.succeeded(under_way);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!request.is_finished(), "it began before the request came in");
        let next = looks.begin();
        looks.succeeded(next);
        assert!(request.await.unwrap());
        assert!(!looks.next(Duration::from_millis(1)).await, "no look succeeds");
    }
}
