//! What happens between one node and Redis, while all the others go on.

use std::time::Duration;

use doorward_servers::{Redis, Setup, Wire};
use doorward_tests::fleet::{Fleet, Plan};
use doorward_tests::gateway::Signal;
use tokio::time::sleep;

use crate::fault::{Fault, Scene, row};
use crate::servers::{LOG, NODES, standalone, told};

/// A Redis, and a wire of its own for each node.
async fn wired() -> (Redis, Vec<Wire>, Fleet) {
    let redis = Redis::start(&Setup::default());
    let wires: Vec<Wire> = (0..NODES).map(|_| Wire::to(redis.address())).collect();
    let sections = wires.iter().map(|wire| standalone(wire.address())).collect();
    let fleet = Fleet::start(&Plan::sqlite(sections)).await;
    (redis, wires, fleet)
}

/// The connections of one node lead nowhere, and nobody tells it.
struct HalfOpen {
    wires: Vec<Wire>,
    hit: usize,
    _redis: Redis,
}

impl Fault for HalfOpen {
    const NAME: &'static str = "half-open connection";
    const LASTS: std::ops::Range<u64> = 1500..3000;

    async fn begin() -> (Self, Fleet) {
        let (redis, wires, fleet) = wired().await;
        (Self { wires, hit: 0, _redis: redis }, fleet)
    }

    async fn strike(&mut self, scene: &mut Scene<'_>) {
        // The control node too, in its turn: it publishes nothing then.
        self.hit = (scene.turn + 1) % NODES;
        let wire = &self.wires[self.hit];
        if scene.random.one_of(2) == 0 { wire.cut() } else { wire.lose_answers() }
    }

    async fn mend(&mut self, _scene: &mut Scene<'_>) {
        self.wires[self.hit].mend();
    }

    fn may_refuse(&self, node: usize) -> bool {
        node == self.hit
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_of_one_node_is_half_open() {
    row::<HalfOpen>().await;
}

/// The way to Redis is long for all nodes: for some so long that they give up.
struct Slow {
    wires: Vec<Wire>,
    _redis: Redis,
}

impl Fault for Slow {
    const NAME: &'static str = "slow Redis";
    const LASTS: std::ops::Range<u64> = 1500..3000;

    async fn begin() -> (Self, Fleet) {
        let (redis, wires, fleet) = wired().await;
        (Self { wires, _redis: redis }, fleet)
    }

    async fn strike(&mut self, scene: &mut Scene<'_>) {
        for wire in &self.wires {
            wire.slow(scene.random.millis(30..300));
        }
    }

    async fn mend(&mut self, _scene: &mut Scene<'_>) {
        for wire in &self.wires {
            wire.mend();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_answers_slowly() {
    row::<Slow>().await;
}

/// A node stands still or hears nothing, and when it comes back the log begins after what it knows.
struct Trimmed {
    redis: Redis,
    wires: Vec<Wire>,
}

const SLOW_NODE: usize = 1;

impl Fault for Trimmed {
    const NAME: &'static str = "log trimmed beyond a node";
    const LASTS: std::ops::Range<u64> = 1200..2000;

    async fn begin() -> (Self, Fleet) {
        let (redis, wires, fleet) = wired().await;
        (Self { redis, wires }, fleet)
    }

    async fn strike(&mut self, scene: &mut Scene<'_>) {
        if scene.turn.is_multiple_of(2) {
            self.wires[SLOW_NODE].hold();
        } else {
            scene.fleet.node(SLOW_NODE).gateway().signal(Signal::SIGSTOP);
        }
        scene.send_away(2).await;
        // The others have seen it by now. What somebody cuts off nobody else will.
        sleep(Duration::from_millis(300)).await;
        told(&self.redis, &["XTRIM", LOG, "MAXLEN", "0"]);
        scene.send_away(1).await;
    }

    async fn mend(&mut self, scene: &mut Scene<'_>) {
        scene.fleet.node(SLOW_NODE).gateway().signal(Signal::SIGCONT);
        self.wires[SLOW_NODE].mend();
    }

    fn may_refuse(&self, node: usize) -> bool {
        node == SLOW_NODE
    }

    fn may_be_silent(&self, node: usize) -> bool {
        node == SLOW_NODE
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_trimmed_beyond_a_slow_node() {
    row::<Trimmed>().await;
}
