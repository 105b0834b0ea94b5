//! What it costs to tell a person at the door what would help.
//!
//! ```text
//! cargo run --release -p doorward-policy --example explain_cost
//! ```
//!
//! Asks the shipped policies about every case that they deny, as a request does: the decision alone, and with what is
//! told of it at the door. Then what an operator is told. An allow costs nothing of this, for nobody asks.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement, run by hand")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use doorward_policy::{PolicyBundle, Situation, Workshop};

const ROUNDS: i64 = 50;

fn measure(what: &str, cases: &[Situation], work: impl Fn(&Situation)) -> u64 {
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        for case in cases {
            // The time goes on, as it does.
            let mut case = case.clone();
            case.now = case.now.plus(Duration::from_secs(round.unsigned_abs()));
            let begin = Instant::now();
            work(&case);
            took.push(begin.elapsed().as_nanos() as u64);
        }
    }
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    println!("{what:<28} {:>12} {:>12}", at(50), at(99));
    at(50)
}

fn main() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let shop = Workshop::open(&dir, None).unwrap();
    let bundle: &PolicyBundle = shop.bundle();
    let denied = |s: &Situation| !bundle.decide(&s.question()).is_allow();
    let cases: Vec<Situation> =
        shop.cases().iter().filter_map(|case| case.situation.ok()).filter(denied).collect();
    println!("{} denied cases of the shipped policies", cases.len());
    println!("{:<28} {:>12} {:>12}", "", "p50 ns", "p99 ns");
    let alone = measure("a deny alone", &cases, |s| drop(black_box(bundle.decide(&s.question()))));
    let told = measure("a deny and the door", &cases, |s| {
        let question = s.question();
        drop(black_box((bundle.decide(&question), bundle.at_the_door(&question))));
    });
    // As long as a path and a header may be.
    let mut long = cases.clone();
    long.iter_mut().for_each(|s| (s.path, s.user_agent) = ("/p".repeat(4000), Some("u".repeat(30_000))));
    measure("the same, a long request", &long, |s| {
        let question = s.question();
        drop(black_box((bundle.decide(&question), bundle.at_the_door(&question))));
    });
    measure("all that operators are told", &cases, |s| drop(black_box(bundle.explain(s))));
    println!("a deny that is told of costs {:.1} times one that is not", told as f64 / alone as f64);
}
