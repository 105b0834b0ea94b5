//! One at a time, also when whoever asked goes away in between.

use std::io;
use std::sync::Arc;
use std::thread;

use doorward_model::limits::POLICY_LOAD_STACK_BYTES;
use tokio::sync::{Semaphore, oneshot};

/// Work that is done one after another, each on a thread of its own.
#[derive(Debug)]
pub(super) struct Turns(Arc<Semaphore>);

impl Turns {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// Does `work` when it is its turn. Whoever drops this before then has asked for nothing; after that the work
    /// goes on to its end, and the next begins no sooner.
    ///
    /// # Errors
    /// Why there is no result.
    pub(super) async fn take<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let turn = Arc::clone(&self.0).acquire_owned().await;
        let turn = turn.map_err(|_| "the gateway is going away".to_owned())?;
        let (done, result) = oneshot::channel();
        let work = move || {
            let came = work();
            // Before the answer: who has it may ask again at once.
            drop(turn);
            let _nobody_waits_any_more = done.send(came);
        };
        // Policies may be deep, and what looks into them calls itself for each level.
        let thread = thread::Builder::new().name("access".to_owned()).stack_size(POLICY_LOAD_STACK_BYTES);
        thread.spawn(work).map_err(|e: io::Error| format!("no thread can be started: {e}"))?;
        result.await.map_err(|_| "it ended in the middle, as the gateway's log says".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn whoever_goes_away_does_not_let_the_next_begin_before_the_work_is_done() {
        let (turns, at_once) = (Turns::new(), Arc::new(AtomicUsize::new(0)));
        let (begun, has_begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let first = {
            let at_once = Arc::clone(&at_once);
            turns.take(move || {
                at_once.fetch_add(1, Ordering::SeqCst);
                begun.send(()).unwrap();
                may_go_on.recv().unwrap();
                at_once.fetch_sub(1, Ordering::SeqCst);
            })
        };
        // The call is begun and then dropped; its work goes on.
        let dropped = tokio::time::timeout(Duration::from_millis(50), first).await;
        assert!(dropped.is_err());
        has_begun.recv_timeout(Duration::from_secs(60)).unwrap();
        let second = {
            let at_once = Arc::clone(&at_once);
            turns.take(move || at_once.fetch_add(1, Ordering::SeqCst) + 1)
        };
        tokio::pin!(second);
        assert!(
            tokio::time::timeout(Duration::from_millis(200), &mut second).await.is_err(),
            "it is not its turn"
        );
        go_on.send(()).unwrap();
        assert_eq!(second.await.unwrap(), 1, "two worked at once");
    }

    #[tokio::test]
    async fn work_that_panics_gives_its_turn_back() {
        let turns = Turns::new();
        let failed: Result<(), String> = turns.take(|| panic!("as the test wants")).await;
        assert!(failed.unwrap_err().contains("ended in the middle"));
        assert_eq!(turns.take(|| 7).await, Ok(7));
    }
}
