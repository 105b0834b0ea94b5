//! The same crowd at three nodes behind one name: a control node, and two gateway nodes that learn from Redis. Each
//! request goes to any of them, on the way of a sign-in, too.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use doorward_servers::{Disk, Redis, Setup};
use doorward_tests::front_fleet::FrontFleet;
use serde_json::json;

use crate::crowd::{ALL, Crowd, Town, people};
use crate::faults::{KEYS_MAX, Site};
use crate::random::Random;
use crate::runs::seeds;

const BROWSERS: usize = 60;
const NODES: usize = 3;
/// How long a lease lasts by default: the promise of a fleet.
const LEASE: Duration = Duration::from_secs(1);
/// How long a fault lasts: longer than a lease.
const LASTS: Duration = Duration::from_millis(1500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    ProviderDown,
    /// It takes its time, and has other keys.
    ProviderSlow,
    /// A node is killed and started anew.
    NodeKilled(usize),
    /// Redis is killed and comes back.
    RedisKilled(Disk),
    /// Redis stands still, with all its connections.
    RedisStopped,
    /// Cookies are sealed with another key, node by node: first all learn it, then it seals.
    SealKey,
}

/// The house and what it stands on.
struct Place {
    fleet: FrontFleet,
    redis: Redis,
    /// The keys of cookies, the newest first.
    keys: Vec<PathBuf>,
    folder: tempfile::TempDir,
}

// === impl Fault ===

impl Fault {
    /// In the order of a seed.
    fn all(random: &mut Random) -> Vec<Self> {
        let disk = if random.one_of(2) == 0 { Disk::Kept } else { Disk::Wiped };
        let mut left = vec![
            Self::ProviderDown,
            Self::ProviderSlow,
            Self::NodeKilled(1 + random.one_of(NODES - 1)),
            Self::NodeKilled(0),
            Self::RedisKilled(disk),
            Self::RedisStopped,
            Self::SealKey,
        ];
        let mut all = Vec::new();
        while !left.is_empty() {
            all.push(left.remove(random.one_of(left.len())));
        }
        all
    }
}

// === impl Place ===

impl Place {
    /// Has it happen, and mends it.
    async fn meets(&mut self, fault: Fault, crowd: &Crowd) {
        match fault {
            Fault::ProviderDown => {
                self.fleet.provider.down().await;
                tokio::time::sleep(LASTS).await;
                self.fleet.provider.up().await;
            }
            Fault::ProviderSlow => {
                self.fleet.provider.faults(json!({"slow_millis": 700})).await;
                self.fleet.provider.rotate_keys(true).await;
                tokio::time::sleep(LASTS).await;
                self.fleet.provider.faults(json!({"slow_millis": 0})).await;
            }
            Fault::NodeKilled(node) => {
                crowd.troubled(1 << node);
                self.fleet.nodes[node].kill().await;
                tokio::time::sleep(LASTS).await;
                self.fleet.nodes[node].revive().await;
            }
            Fault::RedisKilled(disk) => {
                crowd.troubled(ALL);
                self.redis.kill9();
                tokio::time::sleep(LASTS).await;
                self.redis.restart(disk);
            }
            Fault::RedisStopped => {
                crowd.troubled(ALL);
                self.redis.stop();
                tokio::time::sleep(LASTS).await;
                self.redis.cont();
            }
            Fault::SealKey => self.exchange_key(crowd).await,
        }
    }

    /// As `docs/operating/session-keys.md` has it.
    async fn exchange_key(&mut self, crowd: &Crowd) {
        let new = Site::new_key(self.folder.path());
        self.keys.truncate(KEYS_MAX - 1);
        let learned: Vec<_> = self.keys.iter().chain([&new]).cloned().collect();
        self.keys.insert(0, new);
        for keys in [&learned, &self.keys] {
            for node in 0..NODES {
                crowd.troubled(1 << node);
                let change = |config: &mut doorward_tests::gateway::Config| {
                    config.set("sign_in.key_files", json!(keys));
                };
                self.fleet.nodes[node].restart_with(change).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_at_any_of_several_nodes() {
    let (redis, folder) = (Redis::start(&Setup::default()), tempfile::tempdir().unwrap());
    let keys = vec![Site::new_key(folder.path())];
    let said = people(BROWSERS);
    let names: Vec<String> = said.keys().cloned().collect();
    let section = json!({"addresses": [redis.address().to_string()], "tls": false});
    let fleet = FrontFleet::start(said, NODES, &section, |config| {
        config.set("sign_in.key_files", json!(keys)).set("sign_in.revalidate_minutes", json!(1));
    })
    .await;
    let (nodes, operator) = (fleet.ports(), fleet.nodes[0].operator().clone());
    let mut place = Place { fleet, redis, keys, folder };
    let began = Instant::now();
    let town = Town { port: nodes[0], nodes, operator, bound: LEASE };
    let crowd = Crowd::signed_in(town, names.into_iter()).await;
    println!("{BROWSERS} sign-ins at {NODES} nodes in {:.1} s", began.elapsed().as_secs_f64());
    let asking = crowd.ask_all_the_time();
    for seed in 1..=seeds(1) {
        let mut random = Random::seeded("nodes", seed);
        for fault in Fault::all(&mut random) {
            crowd.tell(format!("during {fault:?} of seed {seed}"));
            crowd.revoke(random.one_of(BROWSERS)).await;
            crowd.sign_out(random.one_of(BROWSERS)).await;
            place.meets(fault, &crowd).await;
            crowd.revoke(random.one_of(BROWSERS)).await;
            crowd.all_are_well(&format!("{fault:?} of seed {seed}")).await;
            crowd.tell(format!("after {fault:?} of seed {seed}"));
            crowd.troubled(0);
            crowd.all_are_well(&format!("{fault:?} of seed {seed}, and calm")).await;
            crowd.visit(random.one_of(BROWSERS), 5).await;
        }
    }
    crowd.stop(asking).await;
    let tried = crowd.nobody_comes_back(10).await;
    println!("{}; {tried} of those out tried to sign in anew", crowd.line());
}
