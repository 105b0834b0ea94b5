//! What nothing here can be faster than.

use std::io::Write as _;
use std::time::{Duration, Instant};

use doorward_tests::h1::H1;

use crate::house::House;
use crate::table::Samples;

const FLUSHES: usize = 300;
const QUESTIONS: usize = 2000;

/// The limits of this machine, now.
pub(crate) struct Limits {
    /// Four KiB more at the end of a file beside the store, on the disk.
    pub(crate) flush: Samples,
    /// A question over a kept connection to the gateway, with nothing to look up.
    pub(crate) round_trip: Samples,
}

pub(crate) async fn measure(house: &House) -> Limits {
    let (mut flush, mut round_trip) = (Samples::default(), Samples::default());
    let path = house.gateway.folder().join("data/flushed");
    let mut file = std::fs::File::create(&path).unwrap();
    for _ in 0..FLUSHES {
        let began = Instant::now();
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
        flush.add(began.elapsed());
    }
    std::fs::remove_file(path).unwrap();
    let (address, host) = (house.gateway.operator(), house.gateway.operator().to_string());
    let mut client = H1::connect(address).await;
    for _ in 0..QUESTIONS {
        let began = Instant::now();
        assert_eq!(client.ask("GET", &host, "/healthz", &[]).await.status(), 200);
        round_trip.add(began.elapsed());
    }
    let of = |samples: &Samples| millis(samples.median());
    println!(
        "\na flush of 4 KiB: {} ms (p50); a question and its answer: {} ms",
        of(&flush),
        of(&round_trip)
    );
    Limits { flush, round_trip }
}

pub(crate) fn millis(took: Duration) -> String {
    format!("{:.2}", took.as_secs_f64() * 1000.0)
}
