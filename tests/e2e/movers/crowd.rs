//! A crowd: one change concerns many streams, and those whom it does not concern notice nothing.
//!
//! `DOORWARD_CROWD` is how many people there are; what it cost is printed.

use std::time::{Duration, Instant};

use doorward_tests::live::{BUILD, Kind, Live, Via};
use doorward_tests::wire::within;

use serde_json::json;

use crate::house::{CHANGED, House, POLICY, Person, all_end};

/// Streams of each of them, all on one HTTP/2 connection.
const EACH: usize = 20;

struct Crowd {
    people: Vec<Person>,
    group: String,
    open: Vec<Live>,
}

async fn crowd(house: &House, name: &str, count: usize) -> Crowd {
    let (mut people, mut open) = (Vec::new(), Vec::new());
    for n in 0..count {
        let person = house.hire(&format!("{name}-{n}"), &[]).await;
        people.push(person);
    }
    let all: Vec<_> = people.iter().collect();
    let group = house.group(name, &all).await;
    for person in &people {
        let token = house.token(person);
        let shared = house.site.h2(Via::Plain, BUILD).await;
        for _ in 0..EACH {
            open.push(house.site.open_on(&shared, Kind::GrpcIdle, &token).await.unwrap());
        }
    }
    Crowd { people, group, open }
}

/// For how long changes waited until all that they concerned was decided anew, all together, and how many
/// times that was.
async fn waited(house: &House, because: &str) -> (f64, f64) {
    let of = |what: &str| format!("doorward_review_delay_seconds_{what}{{because=\"{because}\"}}");
    let metrics = house.site.gateway.metrics().await;
    let number = |what: &str| metrics.get(&of(what)).copied().unwrap_or_default();
    (number("sum"), number("count"))
}

/// The same since then, once there is one time more.
async fn waited_since(house: &House, because: &str, (sum, count): (f64, f64)) -> f64 {
    within("a change to be worked on", async {
        loop {
            let (now, times) = waited(house, because).await;
            if times > count {
                return now - sum;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_change_of_many_streams_ends_those_and_nobody_else_waits() {
    let count: usize = std::env::var("DOORWARD_CROWD").map_or(15, |count| count.parse().unwrap());
    let house = House::new(|_| {}).await;
    let crews = r#"@id("crews") permit (principal is User, action, resource)
        when { principal in Group::"red" || principal in Group::"blue" };"#;
    assert_eq!(house.write_policies(&format!("{POLICY}{crews}")).await, 200);
    let (red, blue) = (crowd(&house, "red", count).await, crowd(&house, "blue", count).await);
    let bystander = house.hire("bystander", &["engineer"]).await;
    let token = house.token(&bystander);
    let before = waited(&house, "policies").await;

    let forbid = r#"@id("no.red") forbid (principal is User in Group::"red", action, resource);"#;
    let (began, stricter) = (Instant::now(), format!("{POLICY}{crews}{forbid}"));
    let (swapped, slowest) = tokio::join!(house.write_policies(&stricter), async {
        let mut slowest = Duration::ZERO;
        while began.elapsed() < Duration::from_secs(3) {
            let asked = Instant::now();
            assert_eq!(house.told(&token).await.0, 200);
            slowest = slowest.max(asked.elapsed());
        }
        slowest
    });
    assert_eq!(swapped, 200);
    let (streams, all) = (red.open.len(), red.open.len() + blue.open.len());
    all_end(red.open, CHANGED).await;
    let waited_for = waited_since(&house, "policies", before).await;
    println!(
        "{all} streams decided anew, {streams} of them ended, in {:.3} s; the slowest request meanwhile {slowest:?}",
        waited_for
    );
    for live in &blue.open {
        assert!(live.is_running(), "a stream of the other crew ended");
    }
    // And one change of one group, of which most have gone.
    let before = waited(&house, "directory").await;
    let renamed = json!({"op": "replace", "path": "displayName", "value": "green"});
    house.patch(&format!("/Groups/{}", blue.group), renamed).await;
    all_end(blue.open, CHANGED).await;
    let waited_for = waited_since(&house, "directory", before).await;
    println!("a group with {} people and {streams} streams: {:.3} s", blue.people.len(), waited_for);
    assert_eq!(house.told(&token).await.0, 200);
}
