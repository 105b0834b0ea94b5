//! Many changes at once, and nodes that read them by poll: what nobody was pushed.

use std::time::{Duration, Instant};

use doorward_state::{Revocations, StateError};

use crate::house::{House, revoke};
use crate::polls::Followers;
use crate::process::core_time;
use crate::table::number;

/// So many changes at once are not pushed one by one.
const CHANGES: usize = 5000;
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// How many nodes start one after the other.
const STARTED: u32 = 5;

/// What it takes Redis when a node starts and reads the log.
pub(crate) struct Started {
    /// Seconds of a core.
    pub(crate) core: f64,
    /// Entries that it read.
    pub(crate) entries: f64,
}

/// Starts nodes, one after the other.
pub(crate) async fn started(house: &House) -> Started {
    let before = core_time(house.redis.pid());
    for _ in 0..STARTED {
        Followers::start(house, 1, 250, None).await.close().await;
    }
    let core = core_time(house.redis.pid()).saturating_sub(before) / STARTED;
    let entries = house.redis.command(&["XLEN", "{doorward}:log"]).unwrap().int() as f64;
    Started { core: core.as_secs_f64(), entries }
}

/// Makes many changes at once, and prints how long it takes until every node has them.
pub(crate) async fn measure(house: &House, control: &Revocations, nodes: &Followers) {
    let all = nodes.least() + CHANGES as u64;
    let before = nodes.deeds();
    let (core, begin) = (core_time(house.redis.pid()), Instant::now());
    let changes = (0..CHANGES).map(|i| {
        let control = control.clone();
        tokio::spawn(async move { control.apply(revoke(&format!("burst-{i}"))).await })
    });
    let (changes, mut later): (Vec<_>, usize) = (changes.collect(), 0);
    for change in changes {
        match change.await.unwrap() {
            Ok(_) => {}
            Err(StateError::NotPublished { .. }) => later += 1,
            Err(why) => panic!("a change is refused: {why}"),
        }
    }
    let answered = millis(begin);
    while nodes.least() < all && begin.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let applied = match nodes.least() {
        least if least >= all => format!("after {} ms", millis(begin)),
        least => format!("NOT within {} s: the last lacks {}", PATIENCE.as_secs(), all - least),
    };
    let core = core_time(house.redis.pid()).saturating_sub(core).as_secs_f64() * 1e3;
    let now = nodes.deeds();
    let [polls, failed, pushed, resyncs] = [0, 1, 2, 3].map(|i| now[i] - before[i]);
    println!(
        "\n{CHANGES} changes at once, {} nodes: answered after {answered} ms ({later} of them: it goes out later); \
         applied by all {applied}; {} ms of a core of Redis; the nodes made {polls} polls that renewed a lease and {failed} \
         that did not, were pushed {pushed} entries, and read everything anew {resyncs} times",
        nodes.nodes.len(),
        number(core)
    );
}

fn millis(begin: Instant) -> String {
    number(begin.elapsed().as_secs_f64() * 1e3)
}
