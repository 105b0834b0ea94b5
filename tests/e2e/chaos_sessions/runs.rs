//! Everybody asks, everything fails, and now and then somebody's access is taken.

use std::time::{Duration, Instant};

use doorward_servers::{Redis, Setup};
use doorward_tests::front_door::{FrontDoor, People};
use serde_json::json;

use crate::crowd::{Crowd, Town, people};
use crate::faults::{Fault, Site};
use crate::random::Random;

const BROWSERS: usize = 200;
/// How many are revoked beside each fault.
const REVOKED_EACH: usize = 2;

/// How many seeds a run has, unless `DOORWARD_CHAOS_SEEDS` says otherwise.
pub(crate) fn seeds(usual: u64) -> u64 {
    std::env::var("DOORWARD_CHAOS_SEEDS").map_or(usual, |seeds| seeds.parse().unwrap())
}

async fn runs(redis: Option<Redis>) {
    let folder = tempfile::tempdir().unwrap();
    let keys = vec![Site::new_key(folder.path())];
    let section =
        redis.as_ref().map(|redis| json!({"addresses": [redis.address().to_string()], "tls": false}));
    let said = people(BROWSERS);
    let names: Vec<String> = said.keys().cloned().collect();
    let door = FrontDoor::with(People::Token, said, |config| {
        config.set("sign_in.key_files", json!(keys)).set("sign_in.revalidate_minutes", json!(1));
        if let Some(section) = section {
            config.set("revocation.redis", section);
        }
    })
    .await;
    let mut site = Site { door, redis, keys, folder };
    let began = Instant::now();
    let port = site.door.gateway.address().port();
    let operator = site.door.gateway.as_operator();
    let town = Town { port, nodes: vec![port], operator, bound: Duration::ZERO };
    let crowd = Crowd::signed_in(town, names.into_iter()).await;
    println!("{BROWSERS} sign-ins in {:.1} s", began.elapsed().as_secs_f64());
    crowd.all_are_well("signing in").await;
    let asking = crowd.ask_all_the_time();
    for seed in 1..=seeds(2) {
        let mut random = Random::seeded("sessions", seed);
        for fault in Fault::all(&mut random, site.redis.is_some()) {
            crowd.tell(format!("during {fault:?} of seed {seed}"));
            for _ in 0..REVOKED_EACH {
                crowd.revoke(random.one_of(BROWSERS)).await;
            }
            site = site.happens(fault, &crowd, &mut random).await;
            crowd.revoke(random.one_of(BROWSERS)).await;
            crowd.all_are_well(&format!("{fault:?} of seed {seed}")).await;
            crowd.tell(format!("after {fault:?} of seed {seed}"));
            crowd.troubled(0);
            crowd.all_are_well(&format!("{fault:?} of seed {seed}, and calm")).await;
        }
    }
    crowd.stop(asking).await;
    let tried = crowd.nobody_comes_back(10).await;
    println!("{}; {tried} of those out tried to sign in anew", crowd.line());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_valid_is_signed_out_and_nobody_revoked_gets_in() {
    runs(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_where_sessions_are_kept_in_redis() {
    runs(Some(Redis::start(&Setup::default()))).await;
}
