//! The revocation matrix: every intake × every credential × every channel × three nodes on one Redis.
//!
//! ```text
//!   rows      intakes, and what each does to each credential, as data
//!   house     a control node with the directory and the intakes, two gateway nodes, one Redis
//!   cells     what is open ends, or goes on; what comes next is refused, or permitted
//!   page      the rows as a document
//!   receipts  each that the directory or a signal took away is in one receipt, which has what ended
//!   report    from the acknowledgment to the last byte: n, p50, p99, max by channel and node
//! ```
//! The credentials are a person's bearer token, a second sign-in of theirs, a service account that they answer
//! for, an agent that acts for them, and a token of ours of the service account. The channels are a request on
//! a new connection, a connection that waits, the pooled HTTP/2 connection, WebSocket, server-sent events and
//! downloads over HTTP/1.1 and HTTP/2, and gRPC. Beside everybody somebody else does the same all the time and
//! misses nothing.
//!
//! All of it happens twice: where people are who their tokens say, and where the directory says so, on the
//! gateway nodes too.
//!
//! Printed by `cargo test -p doorward-tests --test matrix -- --nocapture`. Nothing is timed but the bound of the
//! promise, with slack for a busy machine.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests, which own a clock"
)]

use std::time::Duration;

#[path = "matrix/cells.rs"]
mod cells;
#[expect(dead_code, reason = "shared with the tests of SCIM")]
#[path = "scim/client.rs"]
mod client;
#[path = "matrix/house.rs"]
mod house;
#[path = "matrix/page.rs"]
mod page;
#[path = "matrix/receipts.rs"]
mod receipts;
#[path = "matrix/report.rs"]
mod report;
#[path = "matrix/rows.rs"]
mod rows;
#[path = "matrix/senders.rs"]
mod senders;

use cells::Scene;
use house::{House, Party, Word};
use report::Report;
use rows::{ROWS, Row};

/// A token says in which second it was made, and counts as made before whatever happened in that second.
const NEXT_SECOND: Duration = Duration::from_millis(1100);

/// What is measured is measured alone.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Has every row happen, each to somebody of its own, and somebody else stand beside.
async fn run(word: Word, rows: &[Row]) {
    let _alone = ALONE.lock().await;
    let house = House::new(word).await;
    let mut parties: Vec<Party> = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let role = (!matches!(row.act, rows::Act::ScimGroup)).then_some("engineer");
        let party = house.hire(&format!("p{number}"), role).await;
        row.act.prepare(&house, &party).await;
        parties.push(party);
    }
    let bystander = house.hire("bystander", Some("engineer")).await;
    // Whatever their hiring was, tokens are made after it.
    house.all_have_it().await;
    tokio::time::sleep(NEXT_SECOND).await;
    let beside = Scene::open(&house, &bystander).await;
    let (mut report, mut wrong, mut ended) = (Report::default(), Vec::new(), Vec::new());
    for (row, party) in rows.iter().zip(&parties) {
        let (taken, mut seen) = cells::happen(&house, row, party, &mut report).await;
        ended.push(taken);
        seen.extend(beside.runs(row.name));
        wrong.extend(seen.into_iter().map(|seen| format!("[{}] {seen}", row.by)));
    }
    tokio::time::sleep(NEXT_SECOND).await;
    for (row, party) in rows.iter().zip(&parties) {
        wrong.extend(cells::afterwards(&house, row, party).await);
    }
    for ((row, party), ended) in rows.iter().zip(&parties).zip(&ended) {
        wrong.extend(receipts::check(&house, row, party, ended).await);
    }
    wrong.extend(beside.finish().await);
    println!("{}", report.told(word.title(), &["control", "gw-1", "gw-2"]));
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_intake_reaches_every_credential_on_every_channel_of_every_node() {
    run(Word::Token, &ROWS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_so_it_is_where_the_directory_says_who_people_are() {
    run(Word::Known, &ROWS).await;
}
