//! Which message counts: once, in the order of when it happened, and only its own stream's holds.

use serde_json::json;

use crate::fixture::run;
use crate::town::{CAEP, CORP, RISC, iss_sub};
use crate::world::{World, ago, to_second};

#[test]
fn s9_a_message_that_comes_twice_has_one_effect_also_after_a_restart() {
    run(async {
        let world = World::new().await;
        let claims = ago("e-1", 5, &iss_sub(CORP, "alice"), &format!("{CAEP}session-revoked"));
        let (one, two, three) = tokio::join!(
            world.push("okta", &claims),
            world.push("okta", &claims),
            world.push("okta", &claims)
        );
        for told in [one, two, three] {
            told.is(202);
        }
        let world = world.restarted().await;
        world.push("okta", &claims).await.is(202);
        world.kill("k-1", "revoke", &iss_sub("corp", "alice")).await.is(200);
        world.kill("k-1", "revoke", &iss_sub("corp", "alice")).await.is(200);
        assert_eq!(world.log(), ["taken session-revoked acts", "taken revoke acts"]);
        let cuts =
            world.house.events().iter().filter(|e| e["metadata"]["event_code"] == "revocation.user").count();
        assert_eq!(cuts, 2);
        // The same name from another stream is another message.
        world.push("second", &to_second(claims)).await.is(202);
        assert_eq!(world.log().len(), 3);
    });
}

#[test]
fn s17_an_older_enable_never_beats_a_newer_disable_also_after_a_restart() {
    run(async {
        let world = World::new().await;
        let alice = world.hire(1, "alice").await;
        let subject = iss_sub(CORP, "alice");
        let (disable, enable) = (format!("{RISC}account-disabled"), format!("{RISC}account-enabled"));
        world.push("okta", &ago("e-1", 60, &subject, &disable)).await.is(202);
        assert_eq!(
            (world.stands("user corp:alice"), world.holds(alice).await),
            ("disabled", vec!["okta".into()])
        );
        let world = world.restarted().await;
        // What happened before, or at the same moment, is told late.
        world.push("okta", &ago("e-2", 90, &subject, &enable)).await.is(202);
        world.push("okta", &ago("e-3", 60, &subject, &enable)).await.is(202);
        assert_eq!(
            (world.stands("user corp:alice"), world.holds(alice).await),
            ("disabled", vec!["okta".into()])
        );
        world.push("okta", &ago("e-4", 30, &subject, &enable)).await.is(202);
        assert_eq!((world.stands("user corp:alice"), world.holds(alice).await), ("revoked", vec![]));
        // A "disable" from before that enable ends what is open, and holds nobody.
        let world = world.restarted().await;
        world.push("okta", &ago("e-5", 45, &subject, &disable)).await.is(202);
        assert_eq!((world.stands("user corp:alice"), world.holds(alice).await), ("revoked", vec![]));
        assert_eq!(
            world.log(),
            [
                "taken account-disabled acts",
                "taken account-enabled superseded",
                "taken account-enabled superseded",
                "taken account-enabled acts",
                "taken account-disabled acts",
            ]
        );
    });
}

#[test]
fn a_stream_lifts_its_own_hold_and_no_other() {
    run(async {
        let world = World::new().await;
        let alice = world.hire(1, "alice").await;
        let subject = iss_sub(CORP, "alice");
        let (disable, enable) = (format!("{RISC}account-disabled"), format!("{RISC}account-enabled"));
        world.push("okta", &ago("e-1", 60, &subject, &disable)).await.is(202);
        world.kill("k-1", "hold", &iss_sub("corp", "alice")).await.is(200);
        // A stream that set no hold lifts none.
        world.push("second", &to_second(ago("e-2", 30, &subject, &enable))).await.is(202);
        assert_eq!(world.holds(alice).await.len(), 2);
        world.push("second", &to_second(ago("e-3", 20, &subject, &disable))).await.is(202);
        world.push("okta", &ago("e-4", 10, &subject, &enable)).await.is(202);
        let mut left = world.holds(alice).await;
        left.sort();
        assert_eq!(
            (left, world.stands("user corp:alice")),
            (vec!["second".into(), "soar".into()], "disabled")
        );
    });
}

#[test]
fn a_sign_in_that_the_directory_does_not_know_is_disabled_and_stays_so() {
    run(async {
        let world = World::new().await;
        let eve = iss_sub(CORP, "eve");
        let (disable, enable) = (format!("{RISC}account-disabled"), format!("{RISC}account-enabled"));
        world.push("okta", &ago("e-1", 60, &eve, &disable)).await.is(202);
        assert_eq!(world.stands("user corp:eve"), "disabled");
        world.push("okta", &ago("e-2", 30, &eve, &enable)).await.is(202);
        assert_eq!(world.stands("user corp:eve"), "disabled");
        let events = world.house.events();
        let taken = events.iter().rev().find(|e| e["metadata"]["event_code"] == "signal.taken").unwrap();
        assert!(taken["status_detail"].as_str().unwrap().contains("reactivate it by hand"), "{taken}");
        // Where nothing is disabled, nobody needs to look.
        world.push("okta", &ago("e-3", 5, &iss_sub(CORP, "adam"), &enable)).await.is(202);
        let events = world.house.events();
        let taken = events.iter().rev().find(|e| e["metadata"]["event_code"] == "signal.taken").unwrap();
        assert_eq!(taken["status_detail"], json!(null), "{taken}");
    });
}

/// Two nodes get the same messages at the same time, and do not wait for each other: each has one effect, and
/// both senders are told that it was taken.
#[test]
fn s9_a_message_at_two_nodes_at_once_has_one_effect() {
    run(async {
        let world = World::new().await;
        let (_, twin) = world.twin().await;
        let alice = world.hire(1, "alice").await;
        let subject = iss_sub(CORP, "alice");
        let words = [
            format!("{RISC}account-disabled"),
            format!("{CAEP}session-revoked"),
            format!("{RISC}account-enabled"),
        ];
        let rounds: i64 = 21;
        for i in 0..rounds {
            let word = &words[usize::try_from(i).unwrap() % words.len()];
            let claims = ago(&format!("e-{i}"), 60 - i, &subject, word);
            let (here, there) =
                tokio::join!(world.push("okta", &claims), world.push_to(twin, "okta", &claims));
            here.is(202);
            there.is(202);
        }
        assert_eq!((world.stands("user corp:alice"), world.holds(alice).await), ("revoked", vec![]));
        assert_eq!(world.log().len(), usize::try_from(rounds).unwrap());
    });
}
