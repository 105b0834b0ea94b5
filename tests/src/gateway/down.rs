//! Between two lives of a gateway.

use super::{Config, Gateway, Place, Signal};

/// A gateway that does not run. Its folder, configuration and ports wait for the next one.
pub struct Down {
    pub(super) place: Place,
}

impl Gateway {
    /// Ends it with `signal` and waits.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn end(mut self, signal: Signal) -> Down {
        self.signal(signal);
        self.wait_exit().await;
        Down { place: self.place }
    }
}

impl Down {
    /// Changes what the next one will be started with.
    pub fn change(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.place.config);
    }

    /// Starts the next one, and kills it after a while, wherever it is then.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn die_early(self, after: std::time::Duration) -> Self {
        let stillborn = self.place.begin();
        tokio::time::sleep(after).await;
        stillborn.end(Signal::SIGKILL).await
    }

    /// Starts the next one and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start; the message holds what it wrote.
    pub async fn start(self) -> Gateway {
        self.place.run().await.unwrap_or_else(|e| panic!("{e}"))
    }

    /// Starts the next one and waits only until it lives; see [`Gateway::start_unready`].
    ///
    /// # Panics
    /// When it does not start; the message holds what it wrote.
    pub async fn start_unready(self) -> Gateway {
        self.place.begin().living().await
    }
}
