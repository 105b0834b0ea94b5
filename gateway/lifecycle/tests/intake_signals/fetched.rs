//! Events that are fetched (RFC 8936): carried out, then acknowledged; over and over until they are.

use std::sync::Arc;
use std::time::Duration;

use doorward_model::{Target, UnixMillis};
use serde_json::{Value, json};

use crate::fixture::{run, until};
use crate::town::{CAEP, CORP, NOW, NOW_SECONDS, RISC, folder, iss_sub, sign, write};
use crate::transmitter::{TOKEN, Transmitter};
use crate::watched::{of_stream, stream_of};
use crate::world::{SET, World};

/// How long anything may take that happens at all.
const PATIENCE: Duration = Duration::from_secs(60);

struct Fetching {
    transmitter: Transmitter,
    world: World,
    keeps: Keeps,
}

/// Looks after the streams until it is dropped.
struct Keeps(tokio::task::JoinHandle<()>);

impl Drop for Keeps {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn config(transmitter: &Transmitter, more: &str) -> String {
    let url = transmitter.url();
    let polled = format!("poll_url = \"{url}/ssf/poll\"\ntoken_file = \"transmitter.token\"\n{more}");
    stream_of(transmitter, &polled)
}

impl Fetching {
    async fn new(more: &str) -> Self {
        let transmitter = Transmitter::start().await;
        transmitter.desk().holds = Duration::from_secs(2);
        let world = World::of(folder(), config(&transmitter, more)).await;
        Self::with(transmitter, world)
    }

    fn with(transmitter: Transmitter, world: World) -> Self {
        let keeps = Keeps(tokio::spawn(Arc::clone(&world.signals).keep()));
        Self { transmitter, world, keeps }
    }

    /// An event of the transmitter's, signed.
    fn event(&self, id: &str, seconds_ago: i64, name: &str, address: &str) -> String {
        sign("secevent+jwt", &self.claims(id, seconds_ago, name, address))
    }

    fn claims(&self, id: &str, seconds_ago: i64, name: &str, address: &str) -> Value {
        json!({"iss": self.transmitter.url(), "aud": "door", "iat": NOW_SECONDS, "jti": id,
            "sub_id": iss_sub(CORP, name), "events": {address: {"event_timestamp": NOW_SECONDS - seconds_ago}}})
    }

    async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let all = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, all).await;
        let desk = self.transmitter.desk();
        assert!(in_time.is_ok(), "{what}: {:?} {:?} {:?}", desk.acknowledged, desk.errors, desk.strangers);
    }

    async fn until_acknowledged(&self, ids: &[&str]) {
        let all = |it: &Self| {
            let desk = it.transmitter.desk();
            ids.iter().all(|id| desk.acknowledged.iter().any(|known| known == id))
        };
        self.until("acknowledged", all).await;
    }
}

#[test]
fn what_waits_is_carried_out_and_then_acknowledged_and_what_is_not_good_is_told() {
    run(async {
        let it = Fetching::new("").await;
        it.world.hire(1, "alice").await;
        it.transmitter.queue("e-1", it.event("e-1", 5, "alice", &format!("{CAEP}session-revoked")));
        let mut other = it.claims("e-2", 5, "bob", &format!("{CAEP}session-revoked"));
        other["aud"] = json!("elsewhere");
        it.transmitter.queue("e-2", sign("secevent+jwt", &other));
        // One event under the name of another would be acknowledged in its place.
        it.transmitter.queue("e-3", it.event("e-4", 5, "carol", &format!("{CAEP}session-revoked")));
        it.transmitter.queue("e-5", "no token at all".to_owned());
        it.until_acknowledged(&["e-1"]).await;
        it.until("three errors", |it| it.transmitter.desk().errors.len() == 3).await;
        assert_eq!(it.world.stands("user corp:alice"), "revoked");
        assert_eq!(
            (it.world.stands("user corp:bob"), it.world.stands("user corp:carol")),
            ("untouched", "untouched")
        );
        let desk = it.transmitter.desk();
        let code = |id: &str| desk.errors[id]["err"].as_str().unwrap().to_owned();
        assert_eq!(
            [code("e-2"), code("e-3"), code("e-5")],
            ["invalid_audience", "invalid_request", "invalid_request"]
        );
        assert!(
            desk.errors.values().all(|error| !error.to_string().contains("elsewhere")),
            "{:?}",
            desk.errors
        );
        assert!(desk.strangers.is_empty() && desk.waiting.is_empty(), "{:?}", desk.strangers);
        // Nothing is acknowledged with the request that fetches it.
        let polled = &desk.polled;
        assert_eq!(polled[0]["ack"], json!([]));
        assert!(polled.iter().all(|request| request["maxEvents"] == 100), "{polled:?}");
        assert_eq!(it.world.log(), ["taken session-revoked acts"]);
    });
}

#[test]
fn an_event_is_there_as_soon_as_it_happens_and_nobody_asks_all_the_time() {
    run(async {
        let transmitter = Transmitter::start().await;
        // Also the first request is held for so long.
        transmitter.desk().holds = Duration::from_secs(30);
        let world = World::of(folder(), config(&transmitter, "")).await;
        let it = Fetching::with(transmitter, world);
        it.until("the first request", |it| !it.transmitter.desk().polled.is_empty()).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(it.transmitter.desk().polled.len(), 1, "it is held");
        it.transmitter.queue("e-1", it.event("e-1", 5, "alice", &format!("{CAEP}session-revoked")));
        it.until_acknowledged(&["e-1"]).await;
        assert_eq!(it.world.stands("user corp:alice"), "revoked");
        let polled = it.transmitter.desk().polled.clone();
        assert!(polled.iter().all(|request| request["returnImmediately"] == false), "{polled:?}");
        assert_eq!(polled.len(), 2, "{polled:?}");
    });
}

#[test]
fn what_is_more_than_one_answer_is_fetched_in_several_and_none_is_lost() {
    run(async {
        let it = Fetching::new("").await;
        it.transmitter.desk().at_once = 7;
        let ids: Vec<String> = (0..40).map(|n| format!("e-{n:02}")).collect();
        for (n, id) in ids.iter().enumerate() {
            let set = it.event(id, 5, &format!("u{n}"), &format!("{CAEP}session-revoked"));
            it.transmitter.desk().waiting.insert(id.clone(), set);
        }
        it.until("all of them", |it| it.transmitter.desk().waiting.is_empty()).await;
        for n in 0..40 {
            assert_eq!(it.world.stands(&format!("user corp:u{n}")), "revoked", "{n}");
        }
        let mut told = it.transmitter.desk().acknowledged.clone();
        told.sort();
        told.dedup();
        assert_eq!(told, ids);
        assert_eq!(it.world.log().len(), 40);
    });
}

#[test]
fn what_cannot_be_kept_is_not_acknowledged_and_counts_once_when_it_can() {
    run(async {
        let it = Fetching::new("").await;
        let alice = it.world.hire(1, "alice").await;
        let file = it.world.house.dir.path().join("revocations.sqlite3");
        let moved = it.world.house.dir.path().join("moved");
        std::fs::rename(&file, &moved).unwrap();
        it.transmitter.queue("e-1", it.event("e-1", 60, "alice", &format!("{RISC}account-disabled")));
        // A no bites all the same.
        it.until("alice is out", |it| it.world.stands("user corp:alice") == "revoked").await;
        assert_eq!(it.transmitter.desk().acknowledged, Vec::<String>::new());
        std::fs::rename(&moved, &file).unwrap();
        it.until_acknowledged(&["e-1"]).await;
        assert_eq!(it.world.holds(alice).await, ["live"]);
        let log = it.world.log();
        assert_eq!(log.iter().filter(|line| line.starts_with("taken")).count(), 1, "{log:?}");
    });
}

#[test]
fn s9_what_is_fetched_again_after_a_restart_is_acknowledged_and_has_no_second_effect() {
    run(async {
        let it = Fetching::new("").await;
        let set = it.event("e-1", 60, "alice", &format!("{CAEP}session-revoked"));
        it.transmitter.queue("e-1", set.clone());
        it.until_acknowledged(&["e-1"]).await;
        // The acknowledgment was lost, and so is the process.
        let Fetching { transmitter, world, keeps } = it;
        drop(keeps);
        transmitter.desk().acknowledged.clear();
        let it = Fetching::with(transmitter, world.restarted().await);
        it.transmitter.queue("e-1", set);
        it.until_acknowledged(&["e-1"]).await;
        assert_eq!(it.world.log(), ["taken session-revoked acts"]);
    });
}

#[test]
fn a_transmitter_that_fails_is_left_alone_for_longer_and_longer_and_told_of() {
    run(async {
        let it = Fetching::new("").await;
        it.until("the first request", |it| !it.transmitter.desk().polled.is_empty()).await;
        let failures = |it: &Fetching| it.world.signals.streams().remove(0).counts.poll_failures;
        let error = |it: &Fetching| it.world.signals.streams().remove(0).error.unwrap_or_default();
        for (instead, says) in [
            ((500, vec![], String::new()), "answers 500"),
            ((200, vec![], "<html>".to_owned()), "cannot be read"),
            ((307, vec![("location", "http://127.0.0.1:1/".to_owned())], String::new()), "answers 307"),
        ] {
            it.transmitter.desk().instead.insert("/ssf/poll", instead);
            it.until(says, |it| error(it).contains(says)).await;
        }
        assert!(failures(&it) < 12, "{}", failures(&it));
        it.world.house.pass(15 * 60_000);
        // The node looks by itself, too: whichever look is later does not wait for what the other tells.
        let owed = async || it.world.running.revocations.debts(true, None, 10).await.unwrap().len();
        it.world.signals.look_after("live").await;
        assert_eq!(it.world.signals.condition("live").unwrap().as_str(), "unreachable");
        until("it is owed", async || owed().await == 1).await;
        it.transmitter.desk().instead.clear();
        it.until("it works again", |it| error(it).is_empty()).await;
        it.world.signals.look_after("live").await;
        assert_eq!(it.world.signals.condition("live").unwrap().as_str(), "new");
        until("it is settled", async || owed().await == 0).await;
    });
}

/// Whoever looks for so long while the transmitter has nothing new asks a few times, and no more.
async fn few_requests(it: &Fetching, what: &str) {
    let polls = |it: &Fetching| it.transmitter.desk().paths.iter().filter(|p| *p == "/ssf/poll").count();
    let before = polls(it);
    it.until("another request", |it| polls(it) > before).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let asked = polls(it) - before;
    assert!(asked < 8, "{what}: {asked} requests");
}

#[test]
fn a_transmitter_that_asks_to_come_at_once_and_has_nothing_new_is_left_alone_all_the_same() {
    run(async {
        let it = Fetching::new("").await;
        it.transmitter.desk().holds = Duration::ZERO;
        let at_once = vec![("retry-after", "0".to_owned())];
        it.transmitter.desk().instead.insert("/ssf/poll", (503, at_once, String::new()));
        few_requests(&it, "Retry-After: 0").await;
        let more = json!({"sets": {}, "moreAvailable": true}).to_string();
        it.transmitter.desk().instead.insert("/ssf/poll", (200, vec![], more));
        few_requests(&it, "more, and nothing").await;
        // It does not hear what is acknowledged, nor what is wrong.
        let good = it.event("e-1", 5, "alice", &format!("{CAEP}session-revoked"));
        let again = json!({"sets": {"e-1": good, "e-2": "no token at all"}, "moreAvailable": true});
        it.transmitter.desk().instead.insert("/ssf/poll", (200, vec![], again.to_string()));
        it.until("alice is out", |it| it.world.stands("user corp:alice") == "revoked").await;
        few_requests(&it, "the same again").await;
        // What is new is taken as before.
        it.transmitter.desk().instead.clear();
        it.transmitter.queue("e-3", it.event("e-3", 5, "bob", &format!("{CAEP}session-revoked")));
        it.until_acknowledged(&["e-3"]).await;
    });
}

/// What is stored of somebody cannot be read: no event that would hold them can ever be done.
#[test]
fn an_event_that_can_never_be_done_is_told_and_owed_and_holds_up_nothing() {
    run(async {
        let it = Fetching::new("").await;
        let alice = it.world.hire(1, "alice").await;
        it.world.damage(alice).await;
        it.transmitter.queue("e-1", it.event("e-1", 60, "alice", &format!("{RISC}account-disabled")));
        it.until("it is told", |it| it.transmitter.desk().errors.contains_key("e-1")).await;
        // A no bites all the same.
        assert_eq!(it.world.stands("user corp:alice"), "revoked");
        let since = it.world.running.revocations.lookup(&Target::User("corp:alice".parse().unwrap()));
        let owed = it.world.running.revocations.debts(true, None, 10).await.unwrap();
        assert_eq!(owed.len(), 1, "{owed:?}");
        assert_eq!(owed[0].kind.as_str(), "unproven_end");
        assert!(owed[0].about.starts_with("signal e-1 of live:"), "{}", owed[0].about);
        assert!(owed[0].cause.contains("cannot be read"), "{}", owed[0].cause);
        assert_eq!(it.world.log(), ["refused account-disabled not_saved"]);
        // It comes once more, as if nobody had been told: it bites once, and is owed once.
        it.world.house.pass(60_000);
        it.transmitter.desk().errors.clear();
        it.transmitter.queue("e-1", it.event("e-1", 60, "alice", &format!("{RISC}account-disabled")));
        it.until("it is told again", |it| it.transmitter.desk().errors.contains_key("e-1")).await;
        let known = it.world.running.revocations.lookup(&Target::User("corp:alice".parse().unwrap()));
        assert_eq!(known.map(|entry| entry.not_before), since.map(|entry| entry.not_before));
        assert_eq!(it.world.running.revocations.debts(false, None, 10).await.unwrap().len(), 1);
        it.transmitter.queue("e-2", it.event("e-2", 5, "bob", &format!("{CAEP}session-revoked")));
        it.until_acknowledged(&["e-2"]).await;
        assert_eq!(it.world.stands("user corp:bob"), "revoked");
    });
}

#[test]
fn without_the_right_token_nothing_is_fetched_and_with_a_new_one_it_goes_on() {
    run(async {
        let it = Fetching::new("").await;
        it.until("the first request", |it| !it.transmitter.desk().polled.is_empty()).await;
        write(it.world.keys(), "transmitter.token", "another-token");
        let told = |it: &Fetching| it.world.signals.streams().remove(0).error.unwrap_or_default();
        it.until("it is told", |it| told(it).contains("answers 401")).await;
        assert!(!it.transmitter.desk().strangers.is_empty());
        assert!(told(&it).contains("`token_file`"), "{}", told(&it));
        write(it.world.keys(), "transmitter.token", TOKEN);
        it.transmitter.queue("e-1", it.event("e-1", 5, "alice", &format!("{CAEP}session-revoked")));
        it.until_acknowledged(&["e-1"]).await;
    });
}

#[test]
fn a_verification_is_answered_by_what_is_fetched() {
    run(async {
        let it = Fetching::new("stream_id = \"stream-1\"\nverify_minutes = 60").await;
        it.until("a question", |it| it.transmitter.last_state().is_some()).await;
        let wrong = of_stream(&it.transmitter, "v-1", "verification", json!({"state": "another"}));
        it.transmitter.queue("v-1", sign("secevent+jwt", &wrong));
        it.until("an error", |it| it.transmitter.desk().errors.contains_key("v-1")).await;
        assert_eq!(it.transmitter.desk().errors["v-1"]["err"], "invalid_state");
        let state = it.transmitter.last_state().unwrap();
        let right = of_stream(&it.transmitter, "v-2", "verification", json!({"state": state}));
        it.transmitter.queue("v-2", sign("secevent+jwt", &right));
        it.until_acknowledged(&["v-2"]).await;
        assert_eq!(it.world.signals.condition("live").unwrap().as_str(), "healthy");
        // Nobody pushes to a stream that is fetched.
        let headers = [("content-type", SET)];
        let set = it.event("e-1", 5, "alice", &format!("{CAEP}session-revoked"));
        it.world.send("POST", "/signals/events/live", &headers, set.as_bytes()).await.is(404);
        assert_eq!(it.world.stands("user corp:alice"), "untouched");
    });
}

/// When two processes fetch the same, each event has one effect.
#[test]
fn two_processes_that_fetch_the_same_do_it_once() {
    run(async {
        let it = Fetching::new("").await;
        let (twin, _) = it.world.twin().await;
        let _other = Keeps(tokio::spawn(twin.keep()));
        it.world.hire(1, "alice").await;
        for n in 0..20 {
            let address = format!("{RISC}account-{}", if n % 2 == 0 { "disabled" } else { "enabled" });
            it.transmitter
                .queue(&format!("e-{n:02}"), it.event(&format!("e-{n:02}"), 60 - n, "alice", &address));
        }
        it.until("all of them", |it| it.transmitter.desk().waiting.is_empty()).await;
        // Whoever finds that the other one did it acknowledges it before the other one has told of it.
        it.until("all are told", |it| it.world.log().len() >= 20).await;
        assert_eq!(it.world.log().len(), 20, "{:?}", it.world.log());
        assert_eq!(it.world.stands("user corp:alice"), "revoked");
        assert!(it.world.signals.streams()[0].event_at >= Some(UnixMillis(NOW.0)));
    });
}
