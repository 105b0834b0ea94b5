//! Redis loses records, or the directory does.

use super::*;
use rusqlite::Connection;

#[test]
fn a_server_that_lost_everything_gets_the_records_again() {
    let redis = Redis::start(&Setup::default());
    let house = House::new(section(&[redis.address()], &namespace()));
    run(async {
        let (control, gateway) = (house.control(), house.gateway("gw-1"));
        leased(&gateway).await;
        commit(&control, &only(people(1500, "on"))).await;
        for turn in 0..2 {
            let before = health(&control).blessings_total;
            if turn == 0 {
                redis.command(&["FLUSHALL"]).unwrap();
            } else {
                redis.restart(Disk::Wiped);
            }
            until("it is blessed again", || health(&control).blessings_total > before).await;
            let word = format!("turn {turn}");
            let committed = commit(&control, &only(vec![person("p00007", Expected::Any, &word)])).await;
            fleet_says(&control, committed.published.unwrap().position).await;
            let late = house.gateway("late");
            leased(&late).await;
            for node in [&gateway, &late] {
                assert_eq!(says(node, "p00007").as_deref(), Some(word.as_str()));
                assert_eq!(node.records().health().live, 1500);
            }
            late.close().await;
        }
    });
}

/// What a server does that comes back with an older log: records that were acknowledged are not in it.
#[test]
fn a_server_that_went_back_in_time_gets_the_records_that_it_lost() {
    let redis = Redis::start(&Setup::default());
    let house = House::new(section(&[redis.address()], &namespace()));
    let copy = |from: &str, to: &str| {
        for name in ["m", "log"] {
            let key = |end: &str| house.key(name) + end;
            redis.command(&["COPY", &key(from), &key(to), "REPLACE"]).unwrap();
        }
    };
    // Somebody notices that nothing is said of what was, or the next change is there first.
    for (turn, at_once) in [(0, false), (1, true)] {
        let (old, new) = (format!("before {turn}"), format!("after {turn}"));
        run(async {
            let (control, gateway) = (house.control(), house.gateway("gw-1"));
            leased(&gateway).await;
            commit(&control, &only(people(20, &old))).await;
            copy("", "-old");
            commit(&control, &only(people(10, &new))).await;
            let before = health(&control).blessings_total;
            copy("-old", "");
            if at_once {
                commit(&control, &only(vec![person("next", Expected::Any, "on")])).await;
            }
            until("it is blessed again", || health(&control).blessings_total > before).await;
            let late = house.gateway("late");
            leased(&late).await;
            leased(&gateway).await;
            for node in [&gateway, &late] {
                assert_eq!(says(node, "p00009").as_deref(), Some(new.as_str()));
                assert_eq!(says(node, "p00010").as_deref(), Some(old.as_str()));
            }
            for node in [control, gateway, late] {
                node.close().await;
            }
        });
    }
}

#[test]
fn nobody_is_judged_by_an_older_record_than_is_known_because_a_server_went_back_in_time() {
    let redis = Redis::start(&Setup::default());
    let house = House::new(section(&[redis.address()], &namespace()));
    let copy = |from: &str, to: &str| {
        for name in ["m", "log"] {
            let key = |end: &str| house.key(name) + end;
            redis.command(&["COPY", &key(from), &key(to), "REPLACE"]).unwrap();
        }
    };
    run(async {
        let (control, gateway) = (house.control(), house.gateway("gw-1"));
        leased(&gateway).await;
        commit(&control, &only(people(3, "engineer"))).await;
        copy("", "-old");
        let committed = commit(&control, &only(people(3, "nothing"))).await;
        fleet_says(&control, committed.published.unwrap().position).await;
        control.close().await;
        // Nobody is there to notice but the node itself.
        copy("-old", "");
        until("it has no lease", || !lets_in(&gateway)).await;
        let resyncs = health(&gateway).resyncs_total;
        until("it looked at all of it, and again", || health(&gateway).resyncs_total > resyncs + 2).await;
        assert!(!lets_in(&gateway));
        assert_eq!(says(&gateway, "p00001").as_deref(), Some("nothing"), "what is known stays");
        let _control = house.control();
        leased(&gateway).await;
        assert_eq!(says(&gateway, "p00001").as_deref(), Some("nothing"));
    });
}

#[test]
fn a_directory_that_was_put_back_takes_the_place_of_what_nodes_know() {
    let redis = Redis::start(&Setup::default());
    let house = House::new(section(&[redis.address()], &namespace()));
    let backup = house.fixture.dir.path().join("backup");
    run(async {
        let control = house.control();
        let gateway = house.gateway("gw-1");
        leased(&gateway).await;
        commit(&control, &only(people(3, "before"))).await;
        let vacuum = format!("VACUUM INTO '{}'", backup.display());
        Connection::open(house.fixture.file()).unwrap().execute_batch(&vacuum).unwrap();
        for word in ["later", "latest"] {
            commit(&control, &only(people(5, word))).await;
        }
        until("it has it", || says(&gateway, "p00004").as_deref() == Some("latest")).await;
        control.close().await;
        for end in ["-wal", "-shm", ".last", ".last-records"] {
            let mut file = house.fixture.file().into_os_string();
            file.push(end);
            // Not all of them are there.
            let _gone = std::fs::remove_file(file);
        }
        std::fs::rename(&backup, house.fixture.file()).unwrap();
        let control = house.control();
        commit(&control, &only(vec![person("p00000", Expected::Any, "and on")])).await;
        until("who came later is gone", || says(&gateway, "p00004").is_none()).await;
        until("what changed is as it was", || says(&gateway, "p00001").as_deref() == Some("before")).await;
        until("and it goes on", || says(&gateway, "p00000").as_deref() == Some("and on")).await;
        assert_eq!(gateway.records().health().live, 3);
        leased(&gateway).await;
    });
}

#[test]
fn another_directory_takes_the_place_of_the_one_before() {
    let redis = Redis::start(&Setup::default());
    let house = House::new(section(&[redis.address()], &namespace()));
    run(async {
        let control = house.control();
        let gateway = house.gateway("gw-1");
        leased(&gateway).await;
        commit(&control, &only(people(5, "one"))).await;
        until("it has it", || says(&gateway, "p00004").is_some()).await;
        control.close().await;
        let other = House::new(house.redis.clone());
        let control = other.control();
        commit(&control, &only(people(2, "another"))).await;
        until("nobody of the first is left", || gateway.records().health().live == 2).await;
        until("and it goes on", || says(&gateway, "p00001").as_deref() == Some("another")).await;
    });
}

#[test]
fn a_record_that_cannot_be_read_gives_no_lease() {
    let redis = Redis::start(&Setup::default());
    let house = House::new(section(&[redis.address()], &namespace()));
    run(async {
        let (control, gateway) = (house.control(), house.gateway("gw-1"));
        leased(&gateway).await;
        commit(&control, &only(people(2, "on"))).await;
        control.close().await;
        // Of a kind that a later version has.
        let script = "local l = redis.call('HGET', KEYS[1], 'l') \
                      local id = redis.call('XADD', KEYS[2], '*', 'p', l, 'e', ARGV[1]) \
                      redis.call('HSET', KEYS[1], 'l', id)";
        let later = "\u{2}\0\u{9}\u{1}\0\0\0\0\0\0\0\u{7}\0\u{1}x\0\0\0\u{1}x";
        redis.command(&["EVAL", script, "2", &house.key("m"), &house.key("log"), later]).unwrap();
        until("it has no lease", || !lets_in(&gateway)).await;
        let trouble = || health(&gateway).trouble.unwrap_or_default();
        until("it says why", || trouble().contains("a later version of Doorward wrote it")).await;
        assert_eq!(says(&gateway, "p00001").as_deref(), Some("on"), "what is known stays");
    });
}
