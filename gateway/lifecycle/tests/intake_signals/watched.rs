//! Whether a stream is alive: who is asked, how often, where, and what follows when nobody answers.

use std::sync::Arc;
use std::time::Duration;

use doorward_lifecycle::intake::signals::{Signals, VerifyError};
use doorward_state::Debt;
use serde_json::{Value, json};

use crate::fixture::run;
use crate::town::{CAEP, NOW_SECONDS, SSF, folder, iss_sub, write};
use crate::transmitter::{STREAM_ID, TOKEN, Transmitter};
use crate::world::{Told, World};

const HOUR: i64 = 3_600_000;
const MINUTE: i64 = 60_000;

/// A stream of that transmitter, with these lines more.
pub(crate) fn stream_of(transmitter: &Transmitter, more: &str) -> String {
    let issuer = transmitter.url();
    format!(
        "[[stream]]\nid = \"live\"\nissuer = \"{issuer}\"\naudiences = [\"door\"]\nalgorithms = [\"ES256\"]\n\
         jwks_file = \"keys.jwks\"\npeople = [\"corp\"]\n{more}\n"
    )
}

const ASKED: &str = "stream_id = \"stream-1\"\ntoken_file = \"transmitter.token\"\nverify_minutes = 60";

struct Watched {
    transmitter: Transmitter,
    world: World,
}

impl Watched {
    async fn new(more: &str) -> Self {
        let transmitter = Transmitter::start().await;
        let world = World::of(folder(), stream_of(&transmitter, more)).await;
        Self { transmitter, world }
    }

    async fn restarted(self) -> Self {
        Self { transmitter: self.transmitter, world: self.world.restarted().await }
    }

    async fn look(&self) -> Duration {
        self.world.signals.look_after("live").await.unwrap()
    }

    fn word(&self) -> &'static str {
        word(&self.world.signals)
    }

    fn asked(&self) -> usize {
        self.transmitter.desk().asked.len()
    }

    /// An event about the stream, pushed.
    async fn push(&self, id: &str, kind: &str, payload: Value) -> Told {
        self.world.push("live", &of_stream(&self.transmitter, id, kind, payload)).await
    }

    /// Answers the last question.
    async fn answer(&self, id: &str) -> Told {
        let state = self.transmitter.last_state().unwrap();
        self.push(id, "verification", json!({"state": state})).await
    }

    async fn debts(&self, open: bool) -> Vec<Debt> {
        self.world.running.revocations.debts(open, None, 100).await.unwrap()
    }

    /// The steps of control debts in the audit log.
    fn steps(&self) -> Vec<String> {
        let events = self.world.house.events();
        let codes = events.iter().filter_map(|e| e["metadata"]["event_code"].as_str());
        codes.filter(|code| code.starts_with("control_debt.")).map(str::to_owned).collect()
    }
}

fn word(signals: &Signals) -> &'static str {
    signals.condition("live").unwrap().as_str()
}

pub(crate) fn of_stream(transmitter: &Transmitter, id: &str, kind: &str, payload: Value) -> Value {
    json!({"iss": transmitter.url(), "aud": "door", "iat": NOW_SECONDS, "jti": id,
        "sub_id": {"format": "opaque", "id": STREAM_ID}, "events": {format!("{SSF}{kind}"): payload}})
}

#[test]
fn s15_a_transmitter_is_asked_and_only_the_right_state_is_an_answer() {
    run(async {
        let it = Watched::new(ASKED).await;
        it.look().await;
        {
            let desk = it.transmitter.desk();
            assert_eq!((desk.asked.len(), desk.strangers.len()), (1, 0), "{:?}", desk.strangers);
            assert_eq!(desk.asked[0]["stream_id"], STREAM_ID);
            assert_eq!(desk.asked[0]["state"].as_str().unwrap().len(), 32);
            assert!(desk.paths.contains(&"/ssf/status?stream_id=stream-1".to_owned()), "{:?}", desk.paths);
        }
        // Within the hour nobody asks again.
        it.look().await;
        assert_eq!((it.asked(), it.word()), (1, "new"));
        let wrong = it.push("v-1", "verification", json!({"state": "f".repeat(32)})).await.is(400);
        assert!(wrong.body.contains("\"err\":\"invalid_state\""), "{wrong:?}");
        assert_eq!(it.word(), "new");
        it.answer("v-2").await.is(202);
        assert_eq!(it.word(), "healthy");
        // The same answer once more is the same message; under another name it is none.
        it.answer("v-2").await.is(202);
        it.answer("v-3").await.is(400);
        it.world.house.pass(HOUR - 1);
        it.look().await;
        assert_eq!(it.asked(), 1);
        it.world.house.pass(1);
        it.look().await;
        assert_eq!(it.asked(), 2);
        let asked = it.transmitter.desk().asked.clone();
        assert_ne!(asked[0]["state"], asked[1]["state"]);
        assert_eq!(it.debts(false).await.len(), 0);
    });
}

#[test]
fn two_questions_without_an_answer_are_a_control_debt_also_over_restarts_and_an_answer_settles_it() {
    run(async {
        let mut it = Watched::new(ASKED).await;
        it.look().await;
        for (word, debts) in [("late", 0), ("unhealthy", 1), ("unhealthy", 1)] {
            // What was missed before a restart was missed.
            it = it.restarted().await;
            it.world.house.pass(HOUR);
            it.look().await;
            assert_eq!((it.word(), it.debts(true).await.len()), (word, debts));
        }
        assert_eq!(it.asked(), 4);
        let debt = it.debts(true).await.remove(0);
        assert_eq!((debt.kind.as_str(), debt.owner.as_str()), ("silent_stream", "security"));
        assert!(debt.about.starts_with("stream live:"), "{}", debt.about);
        assert!(debt.cause.contains("did not answer 2 verifications"), "{}", debt.cause);
        it.answer("v-1").await.is(202);
        it.look().await;
        assert_eq!((it.word(), it.debts(true).await.len()), ("healthy", 0));
        assert_eq!(it.debts(false).await[0].settled.as_ref().unwrap().1, "it speaks again");
        assert_eq!(it.steps(), ["control_debt.opened", "control_debt.settled"]);
    });
}

#[test]
fn a_debt_that_somebody_settled_stays_settled_until_the_stream_spoke_and_fell_silent_again() {
    run(async {
        let it = Watched::new("silent_hours = 3").await;
        it.look().await;
        it.world.house.pass(3 * HOUR);
        it.look().await;
        assert_eq!((it.word(), it.debts(true).await.len()), ("silent", 1));
        let (id, now) = (it.debts(true).await[0].id, it.world.house.now());
        assert!(it.world.running.revocations.settle_debt(id, now, "known".to_owned()).await.unwrap());
        let it = it.restarted().await;
        it.world.house.pass(HOUR);
        it.look().await;
        assert_eq!((it.word(), it.debts(true).await.len(), it.debts(false).await.len()), ("silent", 0, 1));
        assert_eq!(it.steps(), ["control_debt.opened"], "told once, whoever settled it");
        // Any good message is a sign of life.
        let subject = iss_sub("https://idp.corp.example", "nobody");
        let mut claims = of_stream(&it.transmitter, "e-1", "verification", json!({}));
        claims["sub_id"] = subject;
        claims["events"] = json!({format!("{CAEP}session-revoked"): {}});
        it.world.push("live", &claims).await.is(202);
        it.look().await;
        assert_eq!(it.word(), "healthy");
        it.world.house.pass(3 * HOUR);
        it.look().await;
        assert_eq!((it.word(), it.debts(true).await.len(), it.debts(false).await.len()), ("silent", 1, 2));
        assert_eq!(it.asked(), 0, "who is not to be asked is not asked");
        assert!(matches!(it.world.signals.verify_now("live").await, Err(VerifyError::NotAsked)));
    });
}

#[test]
fn of_two_processes_one_asks_and_either_takes_the_answer() {
    run(async {
        let it = Watched::new(ASKED).await;
        let (twin, address) = it.world.twin().await;
        let (here, there) = (Arc::clone(&it.world.signals), Arc::clone(&twin));
        let _looked = tokio::join!(here.look_after("live"), there.look_after("live"));
        here.look_after("live").await;
        there.look_after("live").await;
        assert_eq!(it.asked(), 1);
        let state = it.transmitter.last_state().unwrap();
        let claims = of_stream(&it.transmitter, "v-1", "verification", json!({"state": state}));
        it.world.push_to(address, "live", &claims).await.is(202);
        assert_eq!(word(&twin), "healthy");
        it.look().await;
        assert_eq!(it.word(), "healthy");
        // And one of them tells.
        for _ in 0..3 {
            it.world.house.pass(HOUR);
            let _looked = tokio::join!(here.look_after("live"), there.look_after("live"));
            here.look_after("live").await;
            there.look_after("live").await;
        }
        assert_eq!((it.asked(), word(&twin), it.word()), (4, "unhealthy", "unhealthy"));
        assert_eq!(it.steps(), ["control_debt.opened"]);
    });
}

#[test]
fn a_stream_that_its_transmitter_stops_is_owed_until_it_goes_on() {
    run(async {
        let it = Watched::new(ASKED).await;
        // Times in events are whole seconds, and the transmitter was asked in the middle of one.
        it.world.house.pass(700);
        it.look().await;
        it.answer("v-1").await.is(202);
        let paused = json!({"status": "paused", "reason": "license"});
        it.push("u-1", "stream-updated", paused).await.is(202);
        it.look().await;
        assert_eq!((it.word(), it.debts(true).await.len()), ("paused", 1));
        assert!(it.debts(true).await[0].cause.contains("`license`"));
        // An older word says nothing any more.
        let mut older = of_stream(&it.transmitter, "u-2", "stream-updated", json!({"status": "enabled"}));
        older["iat"] = json!(NOW_SECONDS - 60);
        it.world.push("live", &older).await.is(202);
        assert_eq!(it.word(), "paused");
        // It says nothing when it goes on, and is heard when it is asked.
        it.world.house.pass(HOUR);
        it.look().await;
        assert_eq!((it.word(), it.debts(true).await.len()), ("healthy", 0));
        it.transmitter.desk().status = json!({"status": "disabled", "reason": "\u{1b}[2J"});
        it.world.house.pass(HOUR);
        it.look().await;
        assert_eq!((it.word(), it.debts(true).await.len()), ("disabled", 1));
        assert!(!it.debts(true).await[0].cause.contains('\u{1b}'));
    });
}

#[test]
fn a_question_that_is_not_taken_goes_out_anew_when_the_transmitter_allows_it() {
    run(async {
        let it = Watched::new(ASKED).await;
        let path = "/ssf/verify";
        let fields = vec![("retry-after", "300".to_owned())];
        it.transmitter.desk().instead.insert(path, (429, fields, String::new()));
        let tried = || it.transmitter.desk().paths.iter().filter(|p| *p == path).count();
        it.look().await;
        assert_eq!((tried(), it.asked()), (1, 0));
        it.world.house.pass(299_000);
        it.look().await;
        assert_eq!(tried(), 1);
        it.world.house.pass(1_000);
        it.transmitter.desk().instead.insert(path, (500, vec![], String::new()));
        it.look().await;
        assert_eq!(tried(), 2);
        let told = it.world.signals.streams().remove(0).error.unwrap();
        assert!(told.contains("answers 500"), "{told}");
        it.transmitter.desk().instead.clear();
        it.world.house.pass(10 * MINUTE);
        it.look().await;
        assert_eq!(it.asked(), 1);
        it.answer("v-1").await.is(202);
        let state = it.world.signals.streams().remove(0);
        assert_eq!((it.word(), state.error, state.counts.not_taken), ("healthy", None, 2));
        // It was one question all the time, and it was not missed.
        assert_eq!((state.counts.asked, state.counts.missed, state.counts.answered), (1, 0, 1));
    });
}

#[test]
fn the_transmitters_bounds_are_kept() {
    run(async {
        let it = Watched::new(ASKED).await;
        it.transmitter.desk().configuration = json!({"min_verification_interval": 7200});
        it.look().await;
        it.answer("v-1").await.is(202);
        for asked in [1, 2] {
            it.world.house.pass(HOUR);
            it.look().await;
            assert_eq!(it.asked(), asked);
        }
        // One that takes whoever does not ask for half an hour for gone is asked twice as often.
        let it = Watched::new(ASKED).await;
        it.transmitter.desk().configuration = json!({"inactivity_timeout": 1800});
        it.look().await;
        it.answer("v-1").await.is(202);
        it.world.house.pass(15 * MINUTE);
        it.look().await;
        assert_eq!(it.asked(), 2);
        // One that would not be asked for years would have nobody notice that it is silent.
        for seconds in [json!(10 * 365 * 86_400_u64), json!(u64::MAX)] {
            let it = Watched::new(ASKED).await;
            it.transmitter.desk().configuration = json!({"min_verification_interval": seconds});
            it.look().await;
            let told = it.world.signals.streams().remove(0).error.unwrap();
            assert!(told.contains("`min_verification_interval`"), "{told}");
            for (word, debts) in [("late", 0), ("unhealthy", 1)] {
                it.world.house.pass(24 * HOUR);
                it.look().await;
                assert_eq!((it.word(), it.debts(true).await.len()), (word, debts), "{seconds}");
            }
            assert_eq!(it.asked(), 3);
        }
        // One that would send for somebody else is told of.
        let it = Watched::new(ASKED).await;
        it.transmitter.desk().configuration = json!({"aud": "https://other.example"});
        it.look().await;
        let told = it.world.signals.streams().remove(0).error.unwrap();
        assert!(told.contains("another `aud`"), "{told}");
    });
}

#[test]
fn the_token_goes_nowhere_else_whatever_the_document_or_an_answer_says() {
    run(async {
        let other = Transmitter::start().await;
        let evil = format!("{}/ssf/verify", other.url());
        for document in [
            json!({"verification_endpoint": evil}),
            json!({"status_endpoint": evil}),
            json!({"configuration_endpoint": evil}),
            json!({"verification_endpoint": "http://169.254.169.254/latest"}),
            json!({"verification_endpoint": null}),
            json!({"verification_endpoint": 7}),
            json!({"issuer": other.url()}),
            json!({"issuer": null}),
        ] {
            let it = Watched::new(ASKED).await;
            it.transmitter.desk().document = document.clone();
            it.look().await;
            let told = it.world.signals.streams().remove(0).error.unwrap();
            assert!(told.contains("the configuration document"), "{document}: {told}");
            assert_eq!((it.asked(), other.desk().paths.len()), (0, 0), "{document}");
        }
        // A redirect is no answer.
        for path in ["/ssf/verify", "/ssf/status", "/ssf/streams", "/.well-known/ssf-configuration"] {
            let it = Watched::new(ASKED).await;
            let fields = vec![("location", format!("{}{path}", other.url()))];
            it.transmitter.desk().instead.insert(path, (307, fields, String::new()));
            it.look().await;
            let read_only = ["/ssf/status", "/ssf/streams"].contains(&path);
            assert_eq!((it.asked(), other.desk().paths.len()), (usize::from(read_only), 0), "{path}");
        }
        // Where the configuration names the host, it may.
        let it = {
            let transmitter = Transmitter::start().await;
            let more = format!("{ASKED}\napi_at = [\"{}\"]", other.url());
            let world = World::of(folder(), stream_of(&transmitter, &more)).await;
            Watched { transmitter, world }
        };
        it.transmitter.desk().document = json!({"verification_endpoint": evil});
        it.look().await;
        assert_eq!(other.desk().asked.len(), 1);
    });
}

#[test]
fn answers_without_an_end_or_a_meaning_are_errors_and_no_token_is_told() {
    run(async {
        for (path, status, body, says) in [
            ("/.well-known/ssf-configuration", 200, "x".repeat(70_000), "more than 65536 bytes"),
            ("/.well-known/ssf-configuration", 200, "[]".to_owned(), "not a JSON object"),
            ("/ssf/streams", 401, String::new(), "`token_file`"),
            ("/ssf/streams", 404, String::new(), "still there"),
            ("/ssf/verify", 400, TOKEN.to_owned(), "answers 400"),
        ] {
            let it = Watched::new(ASKED).await;
            it.transmitter.desk().instead.insert(path, (status, vec![], body));
            it.look().await;
            let told = it.world.signals.streams().remove(0).error.unwrap();
            assert!(told.contains(says) && !told.contains(TOKEN), "{path}: {told}");
        }
        let it = Watched::new(ASKED).await;
        it.transmitter.stop();
        it.look().await;
        let told = it.world.signals.streams().remove(0).error.unwrap();
        assert!(told.contains("cannot be reached") && !told.contains(TOKEN), "{told}");
    });
}

#[test]
fn an_operator_asks_now_and_a_new_token_is_good_at_once() {
    run(async {
        let it = Watched::new(ASKED).await;
        write(it.world.keys(), "transmitter.token", "another-token");
        let refused = it.world.signals.verify_now("live").await.unwrap_err();
        assert!(refused.to_string().contains("answers 401"), "{refused}");
        write(it.world.keys(), "transmitter.token", TOKEN);
        it.world.signals.verify_now("live").await.unwrap();
        it.answer("v-1").await.is(202);
        assert_eq!(it.word(), "healthy");
        assert!(matches!(it.world.signals.verify_now("nobody").await, Err(VerifyError::Unknown)));
        // Who asks over and over does not keep a silence from being noticed.
        it.world.house.pass(HOUR);
        it.look().await;
        for _ in 0..8 {
            it.world.house.pass(HOUR / 4);
            it.world.signals.verify_now("live").await.unwrap();
            it.look().await;
        }
        assert_eq!(it.word(), "unhealthy");
    });
}
