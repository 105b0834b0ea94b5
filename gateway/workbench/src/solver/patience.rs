//! Work that may never come to an end, and whoever waits for it only so long.
//!
//! Putting policies to a solver is arithmetic that nothing interrupts, and of some ordinary conditions (many
//! `has … && …` joined by `||`) it takes twice as long for each more of them. So it is done on a thread that
//! can be left behind. Such a thread ends when its work does, or with the process; it holds nothing that
//! anybody else needs, and starts no solver that is not ended at once.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use doorward_model::limits::POLICY_LOAD_STACK_BYTES;

use super::Why;

/// With so many threads left behind nothing more is begun: each of them takes a processor for itself.
const LEFT_BEHIND_MAX: usize = 4;

/// How many threads were left behind.
#[derive(Debug, Default)]
pub(super) struct Patience {
    left_behind: usize,
}

impl Patience {
    /// What comes of `work`, on the stack that policies are read on.
    ///
    /// # Errors
    /// It takes longer than `wait`, it panicked, or too much was left behind.
    pub(super) fn within<T: Send + 'static>(
        &mut self,
        wait: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Why> {
        if self.left_behind >= LEFT_BEHIND_MAX {
            return Err(Why::Failed("too many questions to it were given up".to_owned()));
        }
        let (tell, told) = sync_channel(1);
        let builder = thread::Builder::new().name("policy-solver".to_owned());
        builder
            .stack_size(POLICY_LOAD_STACK_BYTES)
            .spawn(move || tell.send(work()))
            .map_err(|e| Why::Failed(format!("no thread for it: {e}")))?;
        match told.recv_timeout(wait) {
            Ok(done) => Ok(done),
            Err(RecvTimeoutError::Timeout) => {
                self.left_behind += 1;
                Err(Why::Large(wait))
            }
            Err(RecvTimeoutError::Disconnected) => Err(Why::Failed(
                "its question could not be written; this is a mistake in Doorward".to_owned(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_waits_so_long_and_leaves_only_so_much_behind() {
        let mut patience = Patience::default();
        assert_eq!(patience.within(Duration::from_secs(60), || 7), Ok(7));
        let wait = Duration::from_millis(1);
        for _ in 0..LEFT_BEHIND_MAX {
            assert_eq!(patience.within(wait, thread::park), Err(Why::Large(wait)));
        }
        assert!(matches!(patience.within(Duration::from_secs(60), || 7), Err(Why::Failed(_))));
    }

    #[test]
    fn work_that_panics_is_no_answer() {
        let answer = Patience::default().within(Duration::from_secs(60), || assert_eq!(1, 2));
        assert!(matches!(answer, Err(Why::Failed(_))), "{answer:?}");
    }
}
