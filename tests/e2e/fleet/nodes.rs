//! What happens to the nodes themselves, and to the directory of the control node.

use std::time::Duration;

use doorward_servers::{Disk, Postgres, PostgresSetup, Redis, Setup};
use doorward_tests::fleet::{Fleet, HOST, Plan};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::fault::{Fault, Scene, row};
use crate::hammer::Seen;
use crate::servers::{postgres, shared};

/// The control node is killed while revocations arrive. The others need it for none of what they do.
struct ControlKilled {
    _redis: Redis,
}

impl Fault for ControlKilled {
    const NAME: &'static str = "control node killed";
    const LASTS: std::ops::Range<u64> = 300..2000;

    async fn begin() -> (Self, Fleet) {
        let redis = Redis::start(&Setup::default());
        let fleet = Fleet::start(&Plan::sqlite(shared(&redis))).await;
        (Self { _redis: redis }, fleet)
    }

    async fn strike(&mut self, scene: &mut Scene<'_>) {
        scene.fleet.node(0).kill().await;
    }

    async fn mend(&mut self, scene: &mut Scene<'_>) {
        scene.fleet.node(0).revive().await;
    }

    fn may_refuse(&self, _node: usize) -> bool {
        false
    }

    fn may_be_silent(&self, node: usize) -> bool {
        node == 0
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_node_is_killed_while_revocations_arrive() {
    row::<ControlKilled>().await;
}

/// A gateway starts while Redis is down: it knows nothing, and lets nobody in.
struct ColdStart(Redis);

const COLD: usize = 1;

impl Fault for ColdStart {
    const NAME: &'static str = "gateway started without Redis";
    const LASTS: std::ops::Range<u64> = 1500..2500;

    async fn begin() -> (Self, Fleet) {
        let redis = Redis::start(&Setup::default());
        let fleet = Fleet::start(&Plan::sqlite(shared(&redis))).await;
        (Self(redis), fleet)
    }

    async fn strike(&mut self, scene: &mut Scene<'_>) {
        self.0.kill9();
        let node = scene.fleet.node(COLD);
        node.kill().await;
        node.revive_unready().await;
        for holder in &scene.crowd.holders {
            let seen = Seen::of(&node.ask(HOST, &holder.token).await);
            assert!(seen.is_stale(), "{} is {seen} at a node that knows nothing", holder.name);
        }
        assert_eq!(node.operator().ready().await.unwrap().status, 503);
    }

    async fn mend(&mut self, _scene: &mut Scene<'_>) {
        self.0.restart(Disk::Kept);
    }

    fn may_be_silent(&self, node: usize) -> bool {
        node == COLD
    }

    fn must_refuse(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_starts_while_redis_is_down() {
    row::<ColdStart>().await;
}

/// PostgreSQL is killed, told to end, or stands still. Nobody is cut off meanwhile who would not be
/// cut off afterwards, and nobody else notices.
struct PostgresDown {
    postgres: Postgres,
    _redis: Redis,
    _folder: TempDir,
}

impl Fault for PostgresDown {
    const NAME: &'static str = "PostgreSQL down";
    const LASTS: std::ops::Range<u64> = 1500..3000;

    async fn begin() -> (Self, Fleet) {
        let database = Postgres::with(&PostgresSetup { unsynced: true, ..PostgresSetup::default() });
        let (redis, folder) = (Redis::start(&Setup::default()), tempfile::tempdir().unwrap());
        let directory = postgres(&database, folder.path());
        let fleet = Fleet::start(&Plan { directory, ..Plan::sqlite(shared(&redis)) }).await;
        (Self { postgres: database, _redis: redis, _folder: folder }, fleet)
    }

    async fn strike(&mut self, scene: &mut Scene<'_>) {
        match scene.turn % 3 {
            0 => self.postgres.kill9(),
            1 => self.postgres.stop(),
            _ => self.postgres.terminate(),
        }
    }

    async fn mend(&mut self, scene: &mut Scene<'_>) {
        match scene.turn % 3 {
            1 => self.postgres.cont(),
            _ => self.postgres.restart(),
        }
        sleep(Duration::from_millis(10)).await;
    }

    fn may_refuse(&self, _node: usize) -> bool {
        false
    }

    fn has_file(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_killed_ended_or_stands_still() {
    row::<PostgresDown>().await;
}
