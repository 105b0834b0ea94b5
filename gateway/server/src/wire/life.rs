//! Signals, hand-over, drain and the end.
//!
//! Nothing here waits for a disk without a bound: a signal is obeyed, and what could not be written by
//! then is counted and said.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use doorward_audit::Event;
use doorward_audit::event::{GatewayDrain, GatewayStop};
use doorward_proxy::House;
use doorward_proxy::risk;
use doorward_proxy::serve::{self, HandOverError, OpenConnections, Sockets, Stop};
use tokio::sync::{Notify, oneshot, watch};

use super::{Wired, reload};
use crate::shutdown::{Order, Shutdown, Signal, Signals};

/// How often a drain looks whether anything still runs.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// After a hand-over a connection may just have been accepted and not be counted yet.
const HAND_OVER_MIN: Duration = Duration::from_secs(1);

/// How long goodbyes may take at the end of a drain, and how often it is looked for their end.
const FAREWELL_MAX: Duration = Duration::from_millis(2 * doorward_model::limits::FAREWELL_MILLIS_MAX);
const FAREWELL_LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long the store of revocations, and then the audit log, may take to write the last of it.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// A gateway that has begun, as far as signals concern it.
#[derive(Clone)]
pub(super) struct Life {
    pub(super) wired: Arc<Wired>,
    pub(super) stop: Arc<watch::Sender<Option<Stop>>>,
    pub(super) open: OpenConnections,
    pub(super) sockets: Sockets,
}

/// Where a successor waits for the sockets.
pub(super) fn handover_socket(wired: &Wired) -> PathBuf {
    wired.config.gateway.data_dir.join("handover.sock")
}

/// Follows the signals until the process is to end, and ends it. Until the gateway has begun, one that
/// ends it ends it at once.
pub(super) async fn lead(mut signals: Signals, mut begun: oneshot::Receiver<Life>) {
    let life = loop {
        tokio::select! {
            life = &mut begun => match life {
                Ok(life) => break life,
                // It could not begin; who tried says why.
                Err(_) => return,
            },
            signal = signals.next() => match signal {
                Signal::Terminate | Signal::Interrupt => {
                    tracing::info!("doorward stops before it has begun");
                    std::process::exit(0);
                }
                Signal::Hangup | Signal::Quit => tracing::warn!(?signal, "too early: the gateway is starting"),
            },
        }
    };
    let reloads = Reloads::start(&life.wired);
    let mut shutdown = Shutdown::default();
    let (mut drained, mut handed) = (Coming::nothing(), Coming::nothing());
    loop {
        let order = tokio::select! {
            signal = signals.next() => shutdown.on(signal),
            () = drained.next() => shutdown.drained(),
            outcome = handed.next() => {
                tell(&outcome);
                let order = shutdown.handed_over(outcome.is_ok());
                if order == Order::Drain {
                    drained = life.drain("upgrade");
                    continue;
                }
                order
            }
        };
        match order {
            Order::Reload => reloads.ask(),
            Order::Drain => {
                // Not when another process has the sockets: its word counts at the operator's address
                // that both share.
                life.open.drain();
                drained = life.drain("signal");
            }
            Order::HandOver if !life.open.is_accepting() => {
                tracing::error!("there are no sockets to hand over: the gateway does not listen yet");
                let _ = shutdown.handed_over(false);
            }
            Order::HandOver => {
                let (path, sockets) = (handover_socket(&life.wired), life.sockets.clone());
                handed = Coming::of(async move { serve::hand_over(&path, &sockets).await });
            }
            Order::Stop => {
                let cut_off = end_what_runs(&life.wired.house).await;
                close(&life.wired.house, "drained", cut_off).await;
                std::process::exit(0);
            }
            Order::Nothing => {}
        }
    }
}

fn tell(outcome: &Result<(), HandOverError>) {
    match outcome {
        Ok(()) => tracing::info!("the successor listens"),
        Err(e) => tracing::error!(error = %e, "the sockets stay here and the gateway goes on"),
    }
}

/// Something that will be, or nothing.
struct Coming<T>(Option<std::pin::Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T> Coming<T> {
    const fn nothing() -> Self {
        Self(None)
    }

    fn of(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(future)))
    }

    /// What it was, once. Safe to drop and call again.
    async fn next(&mut self) -> T {
        let Some(future) = &mut self.0 else { return std::future::pending().await };
        let output = future.await;
        self.0 = None;
        output
    }
}

/// Files are read again one time after the other; what is asked for meanwhile is done once.
struct Reloads(Arc<Notify>);

impl Reloads {
    fn start(wired: &Arc<Wired>) -> Self {
        let (asked, wired) = (Arc::new(Notify::new()), Arc::clone(wired));
        let wait = Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                wait.notified().await;
                reload::everything(&wired, "SIGHUP").await;
            }
        });
        Self(asked)
    }

    fn ask(&self) {
        self.0.notify_one();
    }
}

impl Life {
    /// Stops to accept first, and writes it down then. Resolves when nothing is open any more, or the
    /// time is up.
    fn drain(&self, cause: &'static str) -> Coming<()> {
        let house = &self.wired.house;
        let running = u64::try_from(house.inflight.count().total()).unwrap_or(u64::MAX);
        tracing::info!(cause, running, seconds = house.limits.drain_max.as_secs(), "draining");
        let _ = self.stop.send(Some(Stop::Drain));
        let event = Event::GatewayDraining(Box::new(GatewayDrain { cause: cause.to_owned(), running }));
        let audit = Arc::clone(&house.audit);
        tokio::spawn(async move {
            if let Err(e) = audit.record_durable(event).await {
                tracing::error!(error = %e, "the drain cannot be recorded");
            }
        });
        let at_least = if cause == "upgrade" { HAND_OVER_MIN } else { Duration::ZERO };
        Coming::of(quiet(self.open.clone(), house.limits.drain_max, at_least))
    }
}

/// Ends what still runs, each in its protocol's own way, and waits until all of that is in the
/// log. Says how much it was.
async fn end_what_runs(house: &House) -> u64 {
    let cut_off = house.inflight.end_all();
    let _ = tokio::time::timeout(FAREWELL_MAX, async {
        while house.inflight.count().total() > 0 {
            tokio::time::sleep(FAREWELL_LOOK_EVERY).await;
        }
    })
    .await;
    u64::try_from(cut_off).unwrap_or(u64::MAX)
}

/// Resolves when no connection is open any more, or the time is up.
async fn quiet(open: OpenConnections, within: Duration, at_least: Duration) {
    tokio::time::sleep(at_least).await;
    let _ = tokio::time::timeout(within, async {
        while open.count() > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
}

/// Saves what is not saved, writes the last event and closes the log, as far as the disks let it.
pub(super) async fn close(house: &Arc<House>, cause: &str, cut_off: u64) {
    let saved = tokio::time::timeout(CLOSE_MAX, house.revocations.as_ref().clone().close()).await;
    let unsaved = saved.unwrap_or_else(|_| house.revocations.health().unsaved);
    if unsaved > 0 {
        tracing::error!(unsaved, "revocations were in force and could not be saved: make them again");
    }
    if let Some(risks) = &house.risks {
        risk::remember(risks, &house.clock).await;
    }
    let stopped = Event::GatewayStopped(Box::new(GatewayStop { cause: cause.to_owned(), cut_off }));
    let _ = house.audit.record(stopped);
    let audit = Arc::clone(&house.audit);
    let closed = tokio::task::spawn_blocking(move || audit.close());
    match tokio::time::timeout(CLOSE_MAX, closed).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(e))) => tracing::error!(error = %e, "the audit log could not be written to the end"),
        Ok(Err(e)) => tracing::error!(error = %e, "the audit log could not be closed"),
        Err(_) => {
            let queued = house.audit.health().queued;
            tracing::error!(queued, "the audit log could not be written to the end in time");
        }
    }
    tracing::info!(cause, cut_off, "doorward stops");
}
