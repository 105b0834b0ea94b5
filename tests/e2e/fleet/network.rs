//! A network of Redis' own, with a cable to each node, one of which is pulled.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;

use doorward_servers::{Redis, Setup, Tls};
use doorward_tests::fleet::{Fleet, Plan};
use doorward_tests::privileged::{self, SKIP};
use nix::sched::{CloneFlags, unshare};
use serde_json::json;

use crate::fault::{Fault, Scene, row};
use crate::servers::NODES;

/// A Redis in a network namespace. Over a cable it is on another machine, so it speaks TLS only. The
/// namespace and its cables are gone when the last process in it is.
struct Island {
    redis: Redis,
}

/// The two ends of a node's cable, in a net that is for tests of networks (RFC 2544). Two runs at a
/// time differ by their process.
fn ends(node: usize) -> [Ipv4Addr; 2] {
    let [run, first] = [std::process::id() % 256, 4 * u32::try_from(node).unwrap()].map(|n| n as u8);
    [1, 2].map(|end| Ipv4Addr::new(198, 18, run, first + end))
}

/// The end on this side.
fn name(node: usize) -> String {
    format!("dw{}n{node}", std::process::id())
}

/// Runs `ip`, which must succeed.
fn ip(words: &str) {
    run("ip", words);
}

fn run(program: &str, words: &str) {
    let output = Command::new(program).args(words.split(' ')).output().unwrap();
    assert!(
        output.status.success(),
        "`{program} {words}`: {}. This test makes a network of its own: run it as root (in a container: with \
         CAP_SYS_ADMIN and CAP_NET_ADMIN), or set {SKIP}=1 to leave it out",
        String::from_utf8_lossy(&output.stderr)
    );
}

impl Island {
    fn start() -> Self {
        // A namespace is a thread's, and that of the processes which the thread starts.
        let there = std::thread::spawn(|| {
            let made = unshare(CloneFlags::CLONE_NEWNET);
            assert!(made.is_ok(), "no network namespace: {made:?}. Run this test as root, or set {SKIP}=1");
            ip("link set lo up");
            for node in 0..NODES {
                let (name, [_, far]) = (name(node), ends(node));
                ip(&format!("link add cable{node} type veth peer name {name} netns {}", std::process::id()));
                ip(&format!("address add {far}/30 dev cable{node}"));
                ip(&format!("link set cable{node} up"));
            }
            let names = (0..NODES).map(|node| ends(node)[1].to_string()).collect();
            let lines = vec!["bind 0.0.0.0".to_owned()];
            Redis::start(&Setup { tls: Some(Tls { names, ..Tls::new() }), lines, ..Setup::default() })
        });
        let redis = there.join().unwrap_or_else(|why| std::panic::resume_unwind(why));
        for node in 0..NODES {
            ip(&format!("address add {}/30 dev {}", ends(node)[0], name(node)));
            ip(&format!("link set {} up", name(node)));
        }
        Self { redis }
    }

    /// Where Redis is for this node.
    fn address(&self, node: usize) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(ends(node)[1]), self.redis.port())
    }

    /// Pulls the cable of a node out of Redis' side, or puts it in again. Nobody is told.
    fn plug(&self, node: usize, state: &str) {
        run("nsenter", &format!("--target {} --net ip link set cable{node} {state}", self.redis.pid()));
    }
}

/// The cable of one node is pulled.
struct Pulled {
    island: Island,
    hit: usize,
}

impl Fault for Pulled {
    const NAME: &'static str = "network cut";
    const LASTS: std::ops::Range<u64> = 1500..3500;

    async fn begin() -> (Self, Fleet) {
        let island = Island::start();
        let sections = (0..NODES).map(|node| {
            let ca = &island.redis.tls().unwrap().ca;
            json!({"addresses": [island.address(node).to_string()], "ca_file": ca})
        });
        let fleet = Fleet::start(&Plan::sqlite(sections.collect())).await;
        (Self { island, hit: 0 }, fleet)
    }

    async fn strike(&mut self, scene: &mut Scene<'_>) {
        // The control node too, in its turn.
        self.hit = (scene.turn + 1) % NODES;
        self.island.plug(self.hit, "down");
    }

    async fn mend(&mut self, _scene: &mut Scene<'_>) {
        self.island.plug(self.hit, "up");
    }

    fn may_refuse(&self, node: usize) -> bool {
        node == self.hit
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_between_a_node_and_redis_is_cut() {
    if privileged::is_left_out() {
        return;
    }
    row::<Pulled>().await;
}
