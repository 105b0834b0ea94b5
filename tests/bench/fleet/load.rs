//! Others who ask, and how busy that makes the machine.

use std::ops::Sub;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use doorward_tests::fleet::{Fleet, HOST};
use doorward_tests::h1::H1;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Connections to each node.
const CONNECTIONS: usize = 2;

/// Clients of every node.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    clients: JoinSet<()>,
}

impl Load {
    pub(crate) fn none() -> Self {
        Self { stop: Arc::default(), asked: Arc::default(), clients: JoinSet::new() }
    }

    /// So many requests a second, spread over all nodes; 0 is as fast as they are answered.
    pub(crate) fn start(fleet: &Fleet, rate: u64) -> Self {
        let mut load = Self::none();
        let count = fleet.nodes().len() * CONNECTIONS;
        for (number, node) in fleet.nodes().iter().cycle().take(count).enumerate() {
            let (stop, asked, address) = (Arc::clone(&load.stop), Arc::clone(&load.asked), node.address());
            let bearer = format!("Bearer {}", fleet.issuer.token_of(&format!("load-{number}")));
            load.clients.spawn(async move {
                let period = (rate > 0).then(|| Duration::from_secs_f64(count as f64 / rate as f64));
                // Each at another moment.
                let first = period.unwrap_or_default().mul_f64(number as f64 / count as f64);
                let mut ticks = period.map(|period| {
                    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + first, period);
                    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                    ticks
                });
                let mut client = H1::connect(address).await;
                while !stop.load(Ordering::Relaxed) {
                    if let Some(ticks) = &mut ticks {
                        ticks.tick().await;
                    }
                    let answer = client.ask("GET", HOST, "/", &[("authorization", &bearer)]).await;
                    assert_eq!(answer.status(), 200);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        load
    }

    /// Ends it; says how often it asked.
    pub(crate) async fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
        self.asked.load(Ordering::Relaxed)
    }
}

/// What all cores did so far, in the kernel's ticks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Busy {
    busy: u64,
    all: u64,
}

pub(crate) fn busy() -> Busy {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let line = stat.lines().next().unwrap_or_default();
    // user nice system idle iowait irq softirq steal; guests are in the first two.
    let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).map(|n| n.parse().unwrap()).collect();
    let all = ticks.iter().sum();
    Busy { busy: all - ticks[3] - ticks[4], all }
}

impl Busy {
    pub(crate) fn percent(self) -> f64 {
        self.busy as f64 * 100.0 / self.all.max(1) as f64
    }
}

impl Sub for Busy {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { busy: self.busy - before.busy, all: self.all - before.all }
    }
}
