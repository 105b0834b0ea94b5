//! `kill -9` of the gateway in the middle of a SCIM sync and of leavings, fifty times.
//!
//! ```text
//!   sync      four workers hire, fill a group, and let go, by SCIM and by an operator's word; each step is
//!             noted when it begins and when it is answered
//!   kill      after some answers, and a random while; now and then once more while the next one starts
//!   judge     everybody is as after the last answered step, or as after the one in doubt: never in between
//!   again     the provider says it all once more, and everybody is as it says
//! ```
//! What is compared is what four readers see: the provider (SCIM), the operator, the group, and a request
//! of the person through the door. Whoever left by an answered step has one receipt, which is genuine and true.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[expect(dead_code, reason = "shared with the tests of receipts")]
#[path = "receipts/desk.rs"]
mod desk;
#[expect(dead_code, reason = "shared with a benchmark")]
#[path = "died/house.rs"]
mod house;
#[path = "died/sight.rs"]
mod sight;
#[path = "died/sync.rs"]
mod sync;

use std::sync::atomic::Ordering;
use std::time::Duration;

use doorward_tests::gateway::Signal;
use doorward_tests::wire::{until, within};

use house::House;
use sync::{Journal, Sync};

/// A number that a seed and a place determine (SplitMix64).
fn random(seed: u64, place: u64) -> u64 {
    let mut z =
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(place.wrapping_mul(0xbf58_476d_1ce4_e5b9));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Lets a sync run until it is killed; the house as it is after the next start, and what was noted.
async fn one_death(mut house: House, seed: u64) -> (House, Journal) {
    let sync = Sync::begin(&house, seed).await;
    let enough = (random(seed, 1000) % 40) as usize;
    until("answers", || (sync.answered.load(Ordering::SeqCst) >= enough).then_some(())).await;
    tokio::time::sleep(Duration::from_micros(random(seed, 1001) % 12_000)).await;
    sync.killed.store(true, Ordering::SeqCst);
    let mut down = house.gateway.end(Signal::SIGKILL).await;
    let journal = within("the workers to notice", sync.join()).await;
    if seed.is_multiple_of(5) {
        down = down.die_early(Duration::from_millis(random(seed, 1002) % 900)).await;
    }
    house.gateway = down.start().await;
    (house, journal)
}

async fn deaths(seeds: std::ops::Range<u64>) {
    let mut house = House::new().await;
    let (mut answered, mut in_doubt, mut left) = (0, 0, 0);
    for seed in seeds {
        let journal;
        (house, journal) = one_death(house, seed).await;
        answered += journal.answered();
        in_doubt += journal.in_doubt();
        left += journal.leavings();
        sight::is_as_answered(&house, &journal, seed).await;
        sync::once_more(&house, &journal).await;
        sight::is_as_said(&house, &journal, seed).await;
    }
    assert!(answered > 100 && in_doubt > 10 && left > 10, "{answered} {in_doubt} {left}: too little to tell");
    println!(
        "{answered} steps answered, {in_doubt} in doubt, {left} leavings; nothing lost, nothing half-applied"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_answered_is_lost_and_nothing_is_half_applied_in_the_first_twenty_five_kills() {
    deaths(0..25).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_answered_is_lost_and_nothing_is_half_applied_in_the_next_twenty_five_kills() {
    deaths(25..50).await;
}
