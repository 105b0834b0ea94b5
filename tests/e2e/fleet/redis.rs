//! What happens to Redis itself: it dies, stands still, forgets, is full, or lets nobody in.

use std::time::Duration;

use doorward_servers::{Disk, Fsync, Memory, Redis, Setup};
use doorward_tests::fleet::{Fleet, Plan};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::crowd::Word;
use crate::fault::{Fault, Scene, row};
use crate::servers::{NODES, secret, shared, standalone, told};

async fn fleet(redis: &Redis) -> Fleet {
    Fleet::start(&Plan::sqlite(shared(redis))).await
}

/// `kill -9`, and another process that reads what the first one wrote to its file.
struct Killed(Redis);

impl Fault for Killed {
    const NAME: &'static str = "Redis killed, its file kept";
    const LASTS: std::ops::Range<u64> = 1300..2500;

    async fn begin() -> (Self, Fleet) {
        let redis = Redis::start(&Setup { append_only: Some(Fsync::EverySecond), ..Setup::default() });
        let fleet = fleet(&redis).await;
        (Self(redis), fleet)
    }

    async fn strike(&mut self, _scene: &mut Scene<'_>) {
        self.0.kill9();
    }

    async fn mend(&mut self, _scene: &mut Scene<'_>) {
        self.0.restart(Disk::Kept);
    }

    fn must_refuse(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_killed_and_starts_from_its_file() {
    row::<Killed>().await;
}

/// It stands still for longer than a lease, and then goes on as if nothing had been.
struct Stopped(Redis);

impl Fault for Stopped {
    const NAME: &'static str = "Redis stopped";
    const LASTS: std::ops::Range<u64> = 1500..3000;

    async fn begin() -> (Self, Fleet) {
        let redis = Redis::start(&Setup::default());
        let fleet = fleet(&redis).await;
        (Self(redis), fleet)
    }

    async fn strike(&mut self, _scene: &mut Scene<'_>) {
        self.0.stop();
    }

    async fn mend(&mut self, _scene: &mut Scene<'_>) {
        self.0.cont();
    }

    fn must_refuse(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_stands_still_for_longer_than_a_lease() {
    row::<Stopped>().await;
}

/// It starts again and has forgotten everything.
struct Emptied(Redis);

impl Fault for Emptied {
    const NAME: &'static str = "Redis restarted empty";
    const LASTS: std::ops::Range<u64> = 50..1500;

    async fn begin() -> (Self, Fleet) {
        let redis = Redis::start(&Setup { append_only: Some(Fsync::Always), ..Setup::default() });
        let fleet = fleet(&redis).await;
        (Self(redis), fleet)
    }

    async fn strike(&mut self, _scene: &mut Scene<'_>) {
        self.0.kill9();
    }

    async fn mend(&mut self, _scene: &mut Scene<'_>) {
        self.0.restart(Disk::Wiped);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_starts_empty() {
    row::<Emptied>().await;
}

/// Somebody flushes it, perhaps again while it is written anew.
struct Flushed(Redis);

impl Fault for Flushed {
    const NAME: &'static str = "Redis flushed";
    const LASTS: std::ops::Range<u64> = 200..800;

    async fn begin() -> (Self, Fleet) {
        let redis = Redis::start(&Setup::default());
        let fleet = fleet(&redis).await;
        (Self(redis), fleet)
    }

    async fn strike(&mut self, scene: &mut Scene<'_>) {
        told(&self.0, &["FLUSHALL"]);
        sleep(scene.random.millis(0..500)).await;
        told(&self.0, &["FLUSHALL"]);
    }

    async fn mend(&mut self, _scene: &mut Scene<'_>) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_in_redis_is_flushed() {
    row::<Flushed>().await;
}

/// Others fill its memory. What the nodes need is small, and goes on.
struct Full(Redis);

const BALLAST_BYTES: usize = 64 * 1024;

impl Fault for Full {
    const NAME: &'static str = "Redis full";
    const LASTS: std::ops::Range<u64> = 1200..2000;

    async fn begin() -> (Self, Fleet) {
        let memory = Memory { bytes: 12 << 20, policy: "noeviction".to_owned() };
        let redis = Redis::start(&Setup { memory: Some(memory), ..Setup::default() });
        let fleet = fleet(&redis).await;
        (Self(redis), fleet)
    }

    async fn strike(&mut self, scene: &mut Scene<'_>) {
        for bytes in [BALLAST_BYTES, 512, 1] {
            let ballast = "x".repeat(bytes);
            let mut number = 0;
            while self.0.command(&["SET", &format!("ballast-{bytes}-{number}"), &ballast]).is_ok() {
                number += 1;
            }
        }
        for word in scene.send_away(3).await {
            assert!(matches!(word, Word::Acknowledged(_)), "{word:?} in a full Redis");
        }
    }

    async fn mend(&mut self, _scene: &mut Scene<'_>) {
        let delete = "for _, key in ipairs(redis.call('KEYS', 'ballast-*')) do redis.call('DEL', key) end";
        told(&self.0, &["EVAL", &format!("#!lua flags=allow-oom\n{delete}"), "0"]);
    }

    fn may_refuse(&self, _node: usize) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_of_redis_is_full() {
    row::<Full>().await;
}

/// The nodes' user has another password, may do nothing, or is switched off.
struct Locked {
    redis: Redis,
    _folder: TempDir,
}

const USER: &str = "gateway";
const RIGHTS: &str = "~* &* +@all";

impl Fault for Locked {
    const NAME: &'static str = "Redis lets nobody in";
    const LASTS: std::ops::Range<u64> = 1500..2500;

    async fn begin() -> (Self, Fleet) {
        let users = vec![format!("{USER} on >secret {RIGHTS}")];
        let redis = Redis::start(&Setup { users, ..Setup::default() });
        let folder = tempfile::tempdir().unwrap();
        let password = secret(folder.path(), "redis.password", "secret");
        let mut section = standalone(redis.address());
        section["username"] = json!(USER);
        section["password_file"] = json!(password);
        let fleet = Fleet::start(&Plan::sqlite(vec![section; NODES])).await;
        (Self { redis, _folder: folder }, fleet)
    }

    async fn strike(&mut self, scene: &mut Scene<'_>) {
        let (change, hangs_up) =
            [("resetpass >other", true), ("-@all", false), ("off", true)][scene.turn % 3];
        let words: Vec<&str> = ["ACL", "SETUSER", USER].into_iter().chain(change.split(' ')).collect();
        told(&self.redis, &words);
        if hangs_up {
            // Who is logged in stays so.
            told(&self.redis, &["CLIENT", "KILL", "USER", USER]);
        }
    }

    async fn mend(&mut self, _scene: &mut Scene<'_>) {
        let words = ["ACL", "SETUSER", USER, "reset", "on", ">secret"];
        told(&self.redis, &words.into_iter().chain(RIGHTS.split(' ')).collect::<Vec<_>>());
    }

    fn must_refuse(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_lets_the_nodes_in_no_more() {
    row::<Locked>().await;
}

/// A command of somebody else holds it up for longer than a lease.
struct Busy(Redis);

impl Fault for Busy {
    const NAME: &'static str = "Redis busy";
    const LASTS: std::ops::Range<u64> = 1500..2500;

    async fn begin() -> (Self, Fleet) {
        let redis = Redis::start(&Setup::default());
        let fleet = fleet(&redis).await;
        (Self(redis), fleet)
    }

    async fn strike(&mut self, scene: &mut Scene<'_>) {
        self.0.sleep(scene.random.millis(1500..2500));
    }

    async fn mend(&mut self, _scene: &mut Scene<'_>) {
        self.0.command_within(Duration::from_secs(60), &["PING"]).unwrap();
    }

    fn must_refuse(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_busy_with_something_else() {
    row::<Busy>().await;
}
