//! Another server takes over, and does not have the last writes.

use std::time::Duration;

use doorward_servers::{Cluster, ClusterSetup, Disk, MinReplicas, Redis, SentinelSetup, Sentinels, Setup};
use doorward_tests::fleet::{Fleet, Plan};
use doorward_tests::gateway::Signal;
use serde_json::json;
use tokio::time::sleep;

use crate::crowd::Word;
use crate::fault::{Fault, LEASE, SPLIT_BRAIN, Scene, row};
use crate::servers::{META, NODES, head, told};

/// This node stands still while the last revocations go out: it can learn of them only from what is
/// there after the failover.
const STILL: usize = 1;

/// Has people cut off, and only the primary and some nodes know: the replica looks as if it followed
/// well, and takes nothing in.
async fn acknowledge_here(scene: &mut Scene<'_>, primary: &Redis, replica: &Redis) {
    scene.fleet.node(STILL).gateway().signal(Signal::SIGSTOP);
    told(replica, &["CLIENT", "PAUSE", "60000", "WRITE"]);
    let words = scene.send_away(2).await;
    assert!(words.iter().all(|word| matches!(word, Word::Acknowledged(_))), "{words:?}");
    let (here, there) = (head(primary), head(replica));
    assert_ne!(here, there, "the replica has everything: nothing would be lost");
}

/// The primary is gone. What the replica did not take in is lost.
fn lose_the_rest(replica: &Redis) {
    replica.command(&["CLIENT", "KILL", "TYPE", "master"]).unwrap();
    told(replica, &["CLIENT", "UNPAUSE"]);
}

/// What becomes of the old primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deposed {
    /// It is killed.
    Killed,
    /// It stands still until it is deposed, and does not know when it wakes up.
    Asleep,
    /// Nothing: somebody orders that another takes over, and it has all its connections.
    Alive,
}

impl Deposed {
    fn bound(self) -> Duration {
        match self {
            // Where the old primary is dead there are never two.
            Self::Killed => LEASE,
            Self::Asleep | Self::Alive => SPLIT_BRAIN,
        }
    }
}

/// Three sentinels.
struct BySentinel {
    group: Sentinels,
    old: usize,
    how: Deposed,
}

impl BySentinel {
    fn deposed(&self) -> &Redis {
        &self.group.servers()[self.old]
    }

    fn heir(&self) -> &Redis {
        &self.group.servers()[1 - self.old]
    }
}

impl Fault for BySentinel {
    const NAME: &'static str = "failover by Sentinel";
    const LASTS: std::ops::Range<u64> = 100..200;

    async fn begin() -> (Self, Fleet) {
        let min_replicas = Some(MinReplicas { count: 1, lag_seconds: 2 });
        let servers = Setup { min_replicas, ..Setup::default() };
        let down_after = Duration::from_secs(1);
        let group =
            Sentinels::with(&SentinelSetup { replicas: 1, down_after, servers, ..SentinelSetup::default() });
        let addresses: Vec<String> = group.addresses().iter().map(ToString::to_string).collect();
        let section = json!({
            "mode": "sentinel", "primary_name": group.name(), "addresses": addresses, "tls": false,
        });
        let fleet = Fleet::start(&Plan::sqlite(vec![section; NODES])).await;
        (Self { group, old: 0, how: Deposed::Killed }, fleet)
    }

    async fn strike(&mut self, scene: &mut Scene<'_>) {
        let port = self.group.primary_port();
        self.how = [Deposed::Killed, Deposed::Asleep, Deposed::Alive][scene.turn % 3];
        self.old = usize::from(self.group.servers()[0].port() != port);
        match self.how {
            Deposed::Killed => {
                acknowledge_here(scene, self.deposed(), self.heir()).await;
                self.deposed().kill9();
                lose_the_rest(self.heir());
            }
            Deposed::Asleep => {
                acknowledge_here(scene, self.deposed(), self.heir()).await;
                self.deposed().stop();
                lose_the_rest(self.heir());
            }
            Deposed::Alive => {
                scene.fleet.node(STILL).gateway().signal(Signal::SIGSTOP);
                scene.send_away(2).await;
                self.group.fail_over();
            }
        }
        // Perhaps the first to find the new primary, before it was looked at by a control node.
        sleep(scene.random.millis(500..2500)).await;
        scene.fleet.node(STILL).gateway().signal(Signal::SIGCONT);
    }

    async fn mend(&mut self, scene: &mut Scene<'_>) {
        self.group.wait_for_failover(self.deposed().port());
        match self.how {
            Deposed::Killed => self.deposed().restart(Disk::Kept),
            Deposed::Asleep => {
                self.deposed().cont();
                sleep(scene.random.millis(0..1000)).await;
            }
            Deposed::Alive => {}
        }
        // The sentinels do so themselves, some ten seconds later.
        told(self.deposed(), &["REPLICAOF", "127.0.0.1", &self.heir().port().to_string()]);
        self.deposed().wait_until_following();
    }

    fn bound(&self) -> Duration {
        self.how.bound()
    }

    fn must_refuse(&self) -> bool {
        self.how != Deposed::Alive
    }

    fn may_be_silent(&self, node: usize) -> bool {
        node == STILL
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_by_sentinel_loses_the_last_writes() {
    row::<BySentinel>().await;
}

/// A cluster of three primaries, each with a replica; the nodes need one of them.
struct InCluster {
    cluster: Cluster,
    old: usize,
    how: Deposed,
}

impl InCluster {
    fn number(&self, redis: &Redis) -> usize {
        self.cluster.nodes().iter().position(|node| node.port() == redis.port()).unwrap()
    }
}

impl Fault for InCluster {
    const NAME: &'static str = "failover in a cluster";
    const LASTS: std::ops::Range<u64> = 100..200;

    async fn begin() -> (Self, Fleet) {
        let cluster = Cluster::with(&ClusterSetup { replicas: true, ..ClusterSetup::default() });
        let addresses: Vec<String> = cluster.addresses().iter().map(ToString::to_string).collect();
        let section = json!({"mode": "cluster", "addresses": addresses, "tls": false});
        let fleet = Fleet::start(&Plan::sqlite(vec![section; NODES])).await;
        (Self { cluster, old: 0, how: Deposed::Killed }, fleet)
    }

    async fn strike(&mut self, scene: &mut Scene<'_>) {
        let owner = self.cluster.owner(META);
        let replica = self.cluster.replicas_of(owner)[0];
        acknowledge_here(scene, owner, replica).await;
        self.how = [Deposed::Killed, Deposed::Alive][scene.turn % 2];
        match self.how {
            Deposed::Killed => {
                owner.kill9();
                lose_the_rest(replica);
            }
            Deposed::Asleep | Deposed::Alive => {
                told(replica, &["CLUSTER", "FAILOVER", "TAKEOVER"]);
                told(replica, &["CLIENT", "UNPAUSE"]);
            }
        }
        self.old = self.number(owner);
        sleep(scene.random.millis(500..2500)).await;
        scene.fleet.node(STILL).gateway().signal(Signal::SIGCONT);
    }

    async fn mend(&mut self, _scene: &mut Scene<'_>) {
        let old = &self.cluster.nodes()[self.old];
        self.cluster.wait_for_failover(META, old.port());
        if self.how == Deposed::Killed {
            old.restart(Disk::Kept);
        }
        self.cluster.wait_until_ok();
        old.wait_until_following();
    }

    fn bound(&self) -> Duration {
        self.how.bound()
    }

    fn must_refuse(&self) -> bool {
        self.how == Deposed::Killed
    }

    fn may_be_silent(&self, node: usize) -> bool {
        node == STILL
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_in_a_cluster_loses_the_last_writes() {
    row::<InCluster>().await;
}
