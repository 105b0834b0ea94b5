//! How long an exchange may wait where Pingora sets no bound of its own.
//!
//! Over HTTP/2 it waits for the next piece of a request's body for ever, and it counts the time
//! that an app has for its answer from the begin of an upload, not from its end. So both waits
//! are bounded here: whoever moves the exchange on says so, and the gate ends one that stands still.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// How often a look is taken.
const LOOK_EVERY: Duration = Duration::from_millis(500);

const BEGUN: u8 = 0;
const UPLOADING: u8 = 1;
const ANSWERING: u8 = 2;
const OVER: u8 = 3;

/// What one exchange waits for.
#[derive(Default)]
pub(crate) struct Patience {
    stage: AtomicU8,
    pieces: AtomicU64,
    answer_millis_max: AtomicU64,
}

impl Patience {
    /// The client has a body to send.
    pub(crate) fn uploads(&self) {
        self.stage.store(UPLOADING, Ordering::Relaxed);
    }

    /// A piece of the body came.
    pub(crate) fn piece(&self) {
        self.pieces.fetch_add(1, Ordering::Relaxed);
    }

    /// The body is here; the app may take this long to answer, where Pingora does not count.
    pub(crate) fn uploaded(&self, answer_max: Option<Duration>) {
        let millis = answer_max.map(|max| u64::try_from(max.as_millis()).unwrap_or(u64::MAX));
        self.answer_millis_max.store(millis.unwrap_or(u64::MAX), Ordering::Relaxed);
        // The app may have answered before it had everything.
        let _ = self.stage.compare_exchange(UPLOADING, ANSWERING, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The app answers; nothing more is bounded here.
    pub(crate) fn answered(&self) {
        self.stage.store(OVER, Ordering::Relaxed);
    }

    /// Resolves when the exchange has stood still for longer than it may.
    pub(crate) async fn runs_out(&self, body_idle_max: Duration) {
        let (mut seen, mut still) = ((BEGUN, 0), Duration::ZERO);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = (self.stage.load(Ordering::Relaxed), self.pieces.load(Ordering::Relaxed));
            still = if now == seen { still + LOOK_EVERY } else { Duration::ZERO };
            seen = now;
            let max = match now.0 {
                // Over HTTP/1.1 Pingora has an answer when the same time is over: let it.
                UPLOADING => body_idle_max + 2 * LOOK_EVERY,
                ANSWERING => Duration::from_millis(self.answer_millis_max.load(Ordering::Relaxed)),
                OVER => return std::future::pending().await,
                _ => continue,
            };
            if still >= max {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(10);

    async fn lasts(patience: &Patience) -> Option<u64> {
        let begin = tokio::time::Instant::now();
        let out = tokio::time::timeout(Duration::from_secs(1000), patience.runs_out(MAX)).await;
        out.ok().map(|()| begin.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_stands_still_is_given_up() {
        let patience = Patience::default();
        assert_eq!(lasts(&patience).await, None, "before the permit other bounds count");
        patience.uploads();
        assert_eq!(lasts(&patience).await, Some(11));
        let moving = async {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_secs(9)).await;
                patience.piece();
            }
            patience.uploaded(Some(Duration::from_secs(3)));
            tokio::time::Instant::now()
        };
        let (end_of_upload, out) = tokio::join!(moving, async {
            patience.runs_out(MAX).await;
            tokio::time::Instant::now()
        });
        assert!((3..5).contains(&out.duration_since(end_of_upload).as_secs()));
        patience.uploaded(None);
        assert_eq!(lasts(&patience).await, None, "Pingora counts");
        patience.answered();
        patience.uploaded(Some(MAX));
        assert_eq!(lasts(&patience).await, None, "an answer came before the end of the body");
    }
}
