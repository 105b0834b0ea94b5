//! Signals, drain and the end.

use std::sync::Arc;
use std::time::Duration;

use doorward_audit::Event;
use doorward_audit::event::{GatewayDrain, GatewayStop};
use doorward_proxy::House;
use doorward_proxy::serve::{OpenConnections, Stop};
use tokio::sync::watch;

use super::{Wired, reload};
use crate::shutdown::{Order, Shutdown, Signals};

/// How often a drain looks whether anything still runs.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the listeners of a successor are waited for after a hand-over.
const HAND_OVER_MIN: Duration = Duration::from_secs(6);

/// How long goodbyes may take at the end of a drain, and how often it is looked for their end.
const FAREWELL_MAX: Duration = Duration::from_millis(2 * doorward_model::limits::FAREWELL_MILLIS_MAX);
const FAREWELL_LOOK_EVERY: Duration = Duration::from_millis(5);

/// Follows the signals until the process is to end, and ends it.
pub(super) async fn lead(wired: Arc<Wired>, stop: watch::Sender<Option<Stop>>, open: OpenConnections) {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(e) => {
            tracing::error!(error = %e, "signals cannot be received; SIGTERM ends the process at once");
            return;
        }
    };
    let mut shutdown = Shutdown::default();
    let mut drained = std::pin::pin!(None::<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>>);
    loop {
        let order = tokio::select! {
            signal = signals.next() => shutdown.on(signal),
            () = async { match drained.as_mut().as_pin_mut() { Some(f) => f.await, None => std::future::pending().await } } => {
                shutdown.drained()
            }
        };
        match order {
            Order::Reload => reload::everything(&wired, "SIGHUP").await,
            Order::Drain => {
                begin_drain(&wired.house, "signal").await;
                let _ = stop.send(Some(Stop::Drain));
                drained.set(Some(Box::pin(quiet(
                    open.clone(),
                    wired.house.limits.drain_max,
                    Duration::ZERO,
                ))));
            }
            Order::HandOver => {
                begin_drain(&wired.house, "upgrade").await;
                let _ = stop.send(Some(Stop::HandOver));
                drained.set(Some(Box::pin(quiet(open.clone(), wired.house.limits.drain_max, HAND_OVER_MIN))));
            }
            Order::Stop => {
                let house = Arc::clone(&wired.house);
                let cut_off = end_what_runs(&house).await;
                let _ = tokio::task::spawn_blocking(move || close(&house, "drained", cut_off)).await;
                std::process::exit(0);
            }
            Order::Nothing => {}
        }
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

async fn begin_drain(house: &House, cause: &str) {
    let running = u64::try_from(house.inflight.count().total()).unwrap_or(u64::MAX);
    tracing::info!(cause, running, seconds = house.limits.drain_max.as_secs(), "draining");
    let event = Event::GatewayDraining(Box::new(GatewayDrain { cause: cause.to_owned(), running }));
    if let Err(e) = house.audit.record_durable(event).await {
        tracing::error!(error = %e, "the drain cannot be recorded");
    }
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

/// Writes the last event and closes the log. Blocks.
pub(super) fn close(house: &House, cause: &str, cut_off: u64) {
    let stopped = Event::GatewayStopped(Box::new(GatewayStop { cause: cause.to_owned(), cut_off }));
    let _ = house.audit.record(stopped);
    if let Err(e) = house.audit.close() {
        tracing::error!(error = %e, "the audit log could not be written to the end");
    }
    tracing::info!(cause, cut_off, "doorward stops");
}
