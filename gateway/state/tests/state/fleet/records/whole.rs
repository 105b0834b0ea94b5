//! What comes together, and in which order: however records are cut into calls, bundles and pages.

use super::*;

/// The records of each time that somebody was told.
type Told = Arc<Mutex<Vec<Vec<Arc<Record>>>>>;

fn listen(node: &Revocations) -> Told {
    let told = Told::default();
    let hears = Arc::clone(&told);
    node.records().subscribe(Arc::new(move |news| hears.lock().unwrap().push(news.to_vec())));
    told
}

#[test]
fn a_batch_of_one_call_comes_into_force_as_one() {
    let house = House::shared();
    run(async {
        let (control, gateway) = (house.control(), house.gateway("gw-1"));
        leased(&gateway).await;
        // Of one bundle, which is pushed; of some, which are pushed one by one; of many, which are polled for.
        for (records, bytes) in [(2, 100), (10, 6_000), (500, 1_500)] {
            let told = listen(&gateway);
            let word = format!("{records}{}", "x".repeat(bytes));
            let committed = control.commit(only(people(records, &word))).await.unwrap();
            fleet_says(&control, committed.published.unwrap().position).await;
            let counts: Vec<usize> = told.lock().unwrap().iter().map(Vec::len).collect();
            assert_eq!(counts, [records], "{bytes} bytes each");
        }
    });
}

#[test]
fn of_two_versions_the_higher_holds_and_what_was_deleted_stays_so() {
    let house = House::shared();
    run(async {
        let (control, gateway) = (house.control(), house.gateway("gw-1"));
        leased(&gateway).await;
        let mut last = None;
        for turn in 0..50 {
            let writes = vec![person("a", Expected::Any, &turn.to_string())];
            last = control.commit(only(writes)).await.unwrap().published;
        }
        let gone = Write { body: None, ..person("left", Expected::Any, "") };
        control.commit(only(vec![person("left", Expected::Absent, "on")])).await.unwrap();
        let published = control.commit(only(vec![gone])).await.unwrap().published.or(last);
        fleet_says(&control, published.unwrap().position).await;
        let late = house.gateway("gw-2");
        leased(&late).await;
        for node in [&gateway, &late] {
            assert_eq!(says(node, "a").as_deref(), Some("49"));
            assert_eq!(says(node, "left"), None);
            assert_eq!(node.records().health().live, 1);
        }
    });
}

#[test]
fn a_log_of_large_records_is_shortened_and_whoever_comes_has_all() {
    const PEOPLE: usize = 200;
    let redis = Redis::start(&Setup::default());
    let house = House::new(section(&[redis.address()], &namespace()));
    let log_bytes = || redis.command(&["HGET", &house.key("m"), "z"]).unwrap().text().parse::<u64>().unwrap();
    run(async {
        let (control, gateway) = (house.control(), house.gateway("gw-1"));
        leased(&gateway).await;
        let (mut written, mut most) = (0, 0);
        for turn in 0..3 {
            let word = format!("{turn}{}", "x".repeat(60_000));
            for batch in people(PEOPLE, &word).chunks(50) {
                let committed = commit(&control, &only(batch.to_vec())).await;
                assert!(committed.published.is_some());
                written += batch.len() * word.len();
                most = most.max(log_bytes());
            }
        }
        until("it was shortened", || log_bytes() < most).await;
        assert!(written > 32 << 20);
        let late = house.gateway("gw-2");
        for node in [&gateway, &late] {
            leased(node).await;
            until("all is there", || node.records().health().live == PEOPLE).await;
            until("as it is", || says(node, "p00199").is_some_and(|word| word.starts_with('2'))).await;
        }
    });
}
