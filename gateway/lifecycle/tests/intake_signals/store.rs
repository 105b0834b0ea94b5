//! What is kept, how long, and what is answered when nothing can be kept.

use serde_json::json;

use crate::fixture::run;
use crate::town::{CAEP, CORP, RISC, iss_sub};
use crate::world::{World, ago};

const DAY_MILLIS: i64 = 86_400_000;

#[test]
fn without_a_store_the_sender_is_told_to_come_again_and_then_it_counts() {
    run(async {
        let world = World::new().await;
        let alice = world.hire(1, "alice").await;
        let subject = iss_sub(CORP, "alice");
        let file = world.house.dir.path().join("revocations.sqlite3");
        let moved = world.house.dir.path().join("moved");
        assert_eq!(world.stands("user corp:alice"), "untouched");
        std::fs::rename(&file, &moved).unwrap();
        let claims = ago("e-1", 60, &subject, &format!("{RISC}account-disabled"));
        let told = world.push("okta", &claims).await.is(503);
        assert!(told.head.contains("retry-after: "), "{told:?}");
        // A no bites all the same.
        assert_eq!(world.stands("user corp:alice"), "revoked");
        let logout = json!({"iss": CORP, "aud": "door", "iat": crate::town::NOW_SECONDS,
            "exp": crate::town::NOW_SECONDS + 120, "jti": "l-1", "sid": "s-1",
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}}});
        world.log_out(&logout).await.is(503);
        assert_eq!(world.stands("session corp:s-1"), "revoked");
        std::fs::rename(&moved, &file).unwrap();
        // The sender comes again, to a process that knows nothing of the first time.
        let world = world.restarted().await;
        world.push("okta", &claims).await.is(202);
        assert_eq!(
            (world.stands("user corp:alice"), world.holds(alice).await),
            ("disabled", vec!["okta".into()])
        );
        let log = world.log();
        assert_eq!(log.first().map(String::as_str), Some("refused account-disabled not_saved"), "{log:?}");
        assert_eq!(log.last().map(String::as_str), Some("taken account-disabled acts"), "{log:?}");
    });
}

#[test]
fn messages_are_forgotten_when_their_time_is_over_and_marks_are_not() {
    run(async {
        let world = World::new().await;
        let alice = world.hire(1, "alice").await;
        let subject = iss_sub(CORP, "alice");
        world.push("okta", &ago("e-1", 60, &subject, &format!("{RISC}account-disabled"))).await.is(202);
        world.push("okta", &ago("e-2", 50, &subject, &format!("{CAEP}session-revoked"))).await.is(202);
        assert_eq!(world.signals.forget(world.house.now()).await.unwrap(), 0);
        assert_eq!(world.signals.forget(world.house.now()).await.unwrap(), 0);
        world.house.pass(7 * DAY_MILLIS);
        assert_eq!(world.signals.forget(world.house.now()).await.unwrap(), 0);
        world.house.pass(1);
        assert_eq!(world.signals.forget(world.house.now()).await.unwrap(), 2);
        assert_eq!(world.signals.forget(world.house.now()).await.unwrap(), 0);
        // An "enable" from before is still older.
        world.house.pass(-7 * DAY_MILLIS);
        world.push("okta", &ago("e-3", 90, &subject, &format!("{RISC}account-enabled"))).await.is(202);
        assert_eq!(world.holds(alice).await, ["okta"]);
    });
}
