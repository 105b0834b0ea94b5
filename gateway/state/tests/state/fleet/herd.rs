//! Many gateways on one Redis: what happens to it happens to all of them at once.

use std::time::Duration;

use doorward_servers::{Disk, Fsync, Redis, Setup};
use doorward_state::{Action, NodeAnswer, Revocations};

use super::{
    House, LONG, fleet_says, health, knows, leased, lets_in, namespace, nth, published, revoke, section,
};
use crate::fixture::{run, until};

const NODES: usize = 100;
const USERS: usize = 50_000;

/// A hundred gateways that know fifty thousand users.
struct Herd {
    redis: Redis,
    house: House,
}

impl Herd {
    fn new() -> Self {
        let redis = Redis::start(&Setup { append_only: Some(Fsync::EverySecond), ..Setup::default() });
        let house = House::new(section(&[redis.address()], &namespace()));
        house.seed(USERS);
        Self { redis, house }
    }

    fn gateways(&self) -> Vec<Revocations> {
        (0..NODES).map(|i| self.house.gateway(&format!("gw-{i:03}"))).collect()
    }

    /// How many connections the server has taken, this test's own among them.
    fn connections(&self) -> u64 {
        self.redis.info("total_connections_received").parse().unwrap()
    }
}

fn connects(nodes: &[Revocations]) -> u64 {
    nodes.iter().map(|node| health(node).connects_total).sum()
}

async fn all_leased(nodes: &[Revocations], bound: Duration) {
    let leased = async {
        for node in nodes {
            leased(node).await;
        }
    };
    let waited = tokio::time::timeout(bound, leased).await;
    let without = nodes.iter().filter(|node| !lets_in(node)).count();
    assert!(waited.is_ok(), "{without} nodes have no lease");
}

#[test]
fn a_hundred_nodes_come_back_to_a_server_that_died_and_do_not_run_it_down() {
    let herd = Herd::new();
    run(async {
        let control = herd.house.control();
        let nodes = herd.gateways();
        all_leased(&nodes, 6 * LONG).await;
        for node in &nodes {
            knows(node, USERS).await;
        }
        // A server that stalls is waited for; and if this machine stalls as well, beyond what anybody waits,
        // it is not every time that it does.
        let mut anew = 0;
        for _ in 0..5 {
            let before = connects(&nodes);
            herd.redis.sleep(Duration::from_millis(500));
            tokio::time::sleep(Duration::from_secs(2)).await;
            all_leased(&nodes, 6 * LONG).await;
            anew = connects(&nodes) - before;
            if anew == 0 {
                break;
            }
        }
        assert_eq!(anew, 0, "nobody connects anew");

        // Many wait for the fleet at once.
        let receipt = published(&control, &nth(USERS), Action::Revoke).await;
        let position = receipt.published.unwrap().position;
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let control = control.clone();
            waiting.spawn(async move { fleet_says(&control, position).await });
        }
        while let Some(reports) = waiting.join_next().await {
            let reports = reports.unwrap();
            assert_eq!(reports.len(), NODES + 1);
            assert!(reports.iter().all(|r| matches!(r.answer, NodeAnswer::Applied { .. })), "{reports:?}");
        }

        // A server that dies is come back to, a few times each.
        let resyncs: u64 = nodes.iter().map(|node| health(node).resyncs_total).sum();
        let connected: Vec<u64> = nodes.iter().map(|node| health(node).connects_total).collect();
        herd.redis.wait_until_written();
        herd.redis.kill9();
        tokio::time::sleep(Duration::from_secs(2)).await;
        herd.redis.restart(Disk::Kept);
        all_leased(&nodes, 6 * LONG).await;
        let anew = nodes.iter().zip(connected).map(|(node, before)| health(node).connects_total - before);
        let most = anew.max().unwrap();
        assert!(most <= 4, "a node connected {most} times");
        let taken = herd.connections();
        assert!(taken <= 5 * u64::try_from(NODES).unwrap(), "the server took {taken} connections");
        assert_eq!(nodes.iter().map(|node| health(node).resyncs_total).sum::<u64>(), resyncs);
        revoke(&control, USERS + 1..USERS + 2).await;
        for node in &nodes {
            until("it follows", || node.lookup(&nth(USERS + 1)).is_some()).await;
        }
    });
}
