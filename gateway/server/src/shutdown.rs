//! What the signals mean, as a small machine that knows nothing of sockets.
//!
//! ```text
//!                    SIGTERM, SIGINT                 SIGTERM, SIGINT, or quiet
//!  Running ─────────────────────────────▶ Draining ────────────────────────────▶ Stopping
//!    │  ▲                                    ▲
//!    │  │ not taken                          │ taken, or SIGTERM, SIGINT
//!    │  ╰───────────────── HandingOver ──────╯
//!    ╰──────── SIGQUIT ────────▲
//!
//!  SIGHUP: reload, wherever it is but Stopping; every other signal: nothing
//! ```
//!
//! A reload is obeyed while draining: a policy that is made stricter, and a revocation, count for
//! the streams that still run.

use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// What the system sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: a supervisor wants the process to end.
    Terminate,
    /// SIGINT: a person pressed Ctrl-C.
    Interrupt,
    /// SIGHUP: load policies, GeoIP files and certificates again.
    Hangup,
    /// SIGQUIT: give the listening sockets to a new process, then drain.
    Quit,
}

/// Where the gateway is on its way to the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It accepts connections.
    #[default]
    Running,
    /// It accepts them, and another process is about to.
    HandingOver,
    /// It accepts none; what runs may finish, within `limits.drain_seconds_max`.
    Draining,
    /// It ends what still runs.
    Stopping,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Load policies, GeoIP files and certificates again.
    Reload,
    /// Stop accepting; let finish what runs.
    Drain,
    /// Offer the listening sockets to the process that waits for them, and report what came of it with
    /// [`Shutdown::handed_over`].
    HandOver,
    /// End what still runs, now.
    Stop,
    /// Nothing: it has been said before.
    Nothing,
}

/// The machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shutdown {
    phase: Phase,
}

impl Shutdown {
    /// Where it is.
    #[must_use]
    pub const fn phase(self) -> Phase {
        self.phase
    }

    /// Takes a signal and says what to do.
    pub const fn on(&mut self, signal: Signal) -> Order {
        let (phase, order) = match (self.phase, signal) {
            (Phase::Running | Phase::HandingOver | Phase::Draining, Signal::Hangup) => {
                (self.phase, Order::Reload)
            }
            (Phase::Running | Phase::HandingOver, Signal::Terminate | Signal::Interrupt) => {
                (Phase::Draining, Order::Drain)
            }
            (Phase::Running, Signal::Quit) => (Phase::HandingOver, Order::HandOver),
            (Phase::Draining, Signal::Terminate | Signal::Interrupt) => (Phase::Stopping, Order::Stop),
            (Phase::HandingOver | Phase::Draining, Signal::Quit)
            | (Phase::Stopping, Signal::Terminate | Signal::Interrupt | Signal::Hangup | Signal::Quit) => {
                (self.phase, Order::Nothing)
            }
        };
        self.phase = phase;
        order
    }

    /// The offer is over: another process listens now, or everything stays as it is.
    pub const fn handed_over(&mut self, taken: bool) -> Order {
        match (self.phase, taken) {
            (Phase::HandingOver, true) => {
                self.phase = Phase::Draining;
                Order::Drain
            }
            (Phase::HandingOver, false) => {
                self.phase = Phase::Running;
                Order::Nothing
            }
            (Phase::Running | Phase::Draining | Phase::Stopping, _) => Order::Nothing,
        }
    }

    /// The drain is over: nothing runs any more, or its time is up.
    pub const fn drained(&mut self) -> Order {
        let order = match self.phase {
            Phase::Draining => Order::Stop,
            Phase::Running | Phase::HandingOver | Phase::Stopping => return Order::Nothing,
        };
        self.phase = Phase::Stopping;
        order
    }
}

/// The signals of this process. From its creation on, none of the four ends the process by itself.
#[derive(Debug)]
pub struct Signals {
    terminate: Stream,
    interrupt: Stream,
    hangup: Stream,
    quit: Stream,
}

impl Signals {
    /// Starts to listen. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// The next signal. Safe to drop and call again.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.quit.recv() => Signal::Quit,
            _ = self.hangup.recv() => Signal::Hangup,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_lead_where_the_picture_says() {
        use Order::{Drain, HandOver, Nothing, Reload, Stop};
        use Signal::{Hangup, Interrupt, Quit, Terminate};
        let stories: [(&[(Signal, Order)], Phase); 7] = [
            (&[(Hangup, Reload), (Hangup, Reload)], Phase::Running),
            (&[(Terminate, Drain), (Hangup, Reload), (Quit, Nothing)], Phase::Draining),
            (&[(Quit, HandOver), (Quit, Nothing), (Hangup, Reload)], Phase::HandingOver),
            (&[(Quit, HandOver), (Terminate, Drain), (Terminate, Stop)], Phase::Stopping),
            (
                &[(Interrupt, Drain), (Interrupt, Stop), (Interrupt, Nothing), (Hangup, Nothing)],
                Phase::Stopping,
            ),
            (&[(Terminate, Drain), (Interrupt, Stop), (Quit, Nothing)], Phase::Stopping),
            (&[], Phase::Running),
        ];
        for (story, end) in stories {
            let mut shutdown = Shutdown::default();
            for (signal, order) in story {
                assert_eq!(shutdown.on(*signal), *order, "{story:?}");
            }
            assert_eq!(shutdown.phase(), end, "{story:?}");
        }
    }

    #[test]
    fn sockets_that_nobody_took_change_nothing() {
        let mut shutdown = Shutdown::default();
        assert_eq!(shutdown.handed_over(true), Order::Nothing, "nobody offered them");
        shutdown.on(Signal::Quit);
        assert_eq!(shutdown.handed_over(false), Order::Nothing);
        assert_eq!(shutdown.phase(), Phase::Running);
        assert_eq!(shutdown.on(Signal::Quit), Order::HandOver, "it may be tried again");
        assert_eq!(shutdown.handed_over(true), Order::Drain);
        assert_eq!(shutdown.phase(), Phase::Draining);
        // SIGTERM came first: the drain has begun already.
        let mut shutdown = Shutdown::default();
        shutdown.on(Signal::Quit);
        shutdown.on(Signal::Terminate);
        assert_eq!(shutdown.handed_over(true), Order::Nothing);
    }

    #[test]
    fn the_end_of_a_drain_stops_once() {
        let mut shutdown = Shutdown::default();
        assert_eq!(shutdown.drained(), Order::Nothing);
        shutdown.on(Signal::Terminate);
        assert_eq!(shutdown.drained(), Order::Stop);
        assert_eq!(shutdown.drained(), Order::Nothing);
    }

    #[tokio::test]
    async fn a_signal_to_this_process_arrives() {
        let mut signals = Signals::listen().unwrap();
        let me = std::process::id().to_string();
        assert!(std::process::Command::new("kill").args(["-HUP", &me]).status().unwrap().success());
        let within = std::time::Duration::from_secs(10);
        assert_eq!(tokio::time::timeout(within, signals.next()).await.unwrap(), Signal::Hangup);
    }
}
