//! What each endpoint does to whom.

use serde_json::{Value, json};

use crate::fixture::{person, profile, run};
use crate::town::{CAEP, CORP, LAB, NOW_SECONDS, SSF, event, iss_sub};
use crate::world::{World, ago, to_second};

fn logout(claims: &Value) -> Value {
    let mut all = json!({"iss": CORP, "aud": "door", "iat": NOW_SECONDS, "exp": NOW_SECONDS + 120, "jti": "l-1",
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}}});
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    all
}

#[test]
fn an_event_ends_all_that_its_person_has_and_is_recorded() {
    run(async {
        let world = World::new().await;
        world.join(1, profile("alice"), &["corp:alice", "lab:alice"]).await;
        assert_eq!(world.stands("user corp:alice"), "untouched");
        let alice = iss_sub(CORP, "alice");
        let told =
            world.push("okta", &ago("e-1", 5, &alice, &format!("{CAEP}session-revoked"))).await.is(202);
        assert!(told.body.is_empty() && told.head.contains("cache-control: no-store"), "{told:?}");
        assert!(told.head.contains("x-request-id: "), "{told:?}");
        // Every sign-in of the person, also at an issuer that the stream may not name.
        for target in ["user corp:alice", "user lab:alice"] {
            assert_eq!(world.stands(target), "revoked", "{target}");
        }
        assert_eq!(world.log(), ["taken session-revoked acts"]);
        let events = world.house.events();
        let taken = events.iter().find(|e| e["metadata"]["event_code"] == "signal.taken").unwrap();
        let told = &taken["unmapped"]["doorward"]["lifecycle"];
        assert_eq!(told["revocations"].as_array().unwrap().len(), 2, "{taken}");
        assert!(told.to_string().contains(&format!("person {}", person(1))), "{taken}");
        assert_eq!(taken["entity"]["uid"], "okta");
        assert_eq!(events.iter().filter(|e| e["metadata"]["event_code"] == "revocation.user").count(), 2);
    });
}

#[test]
fn a_logout_ends_one_sign_in_or_all_at_that_provider() {
    run(async {
        let world = World::new().await;
        world.log_out(&logout(&json!({"sid": "s-1", "sub": "alice"}))).await.is(200);
        assert_eq!(
            (world.stands("session corp:s-1"), world.stands("user corp:alice")),
            ("revoked", "untouched")
        );
        world.log_out(&logout(&json!({"sub": "alice", "jti": "l-2"}))).await.is(200);
        assert_eq!(world.stands("user corp:alice"), "revoked");
        assert_eq!(world.log(), ["taken logout acts"; 2]);
    });
}

#[test]
fn a_revocation_call_ends_everything_and_tells_when_nobody_is_meant() {
    run(async {
        let world = World::new().await;
        let alice = world.hire(1, "alice").await;
        let email = |address: &str| json!({"format": "email", "email": address});
        world.call("r-1", &email("Alice@corp.example")).await.is(204);
        assert_eq!(world.stands("user corp:alice"), "revoked");
        assert_eq!(world.holds(alice).await, Vec::<String>::new());
        world.call("r-2", &email("nobody@corp.example")).await.is(404);
        world.call("r-3", &iss_sub(LAB, "alice")).await.is(404);
        assert_eq!(world.stands("user lab:alice"), "untouched");
        // The token says who calls; with another subject it is another call.
        world.call("r-1", &json!({"format": "opaque", "id": alice.to_string()})).await.is(204);
        world.call("r-1", &iss_sub(CORP, "bob")).await.is(204);
        assert_eq!(world.stands("user corp:bob"), "revoked");
    });
}

#[test]
fn an_address_of_two_people_and_one_that_nobody_verified_name_nobody() {
    run(async {
        let world = World::new().await;
        let with = |name: &str, address: &str, verified: bool| {
            let mut profile = profile(name);
            profile.emails[0].address = address.to_owned();
            profile.emails[0].verified = verified;
            profile
        };
        let people = [
            (1, with("alice", "team@corp.example", true), "corp:alice"),
            (2, with("bob", "TEAM@corp.example", true), "corp:bob"),
            (3, with("carol", "carol@corp.example", false), "corp:carol"),
            (4, with("dave", "dave@corp.example", true), "lab:dave"),
        ];
        for (n, profile, link) in people {
            world.join(n, profile, &[link]).await;
        }
        for address in ["team@corp.example", "carol@corp.example", "dave@corp.example"] {
            world.call("r-1", &json!({"format": "email", "email": address})).await.is(404);
        }
        // Somebody of an issuer that the caller may not name, by the directory's id.
        world.call("r-1", &json!({"format": "opaque", "id": person(4).to_string()})).await.is(404);
        for link in ["corp:alice", "corp:bob", "corp:carol", "lab:dave"] {
            assert_eq!(world.stands(&format!("user {link}")), "untouched", "{link}");
        }
    });
}

#[test]
fn an_address_that_another_source_says_too_names_the_one_whom_the_sender_may_name() {
    run(async {
        let world = World::new().await;
        for (n, name, link) in [(1, "alice", "corp:alice"), (2, "mallory", "lab:mallory")] {
            let mut profile = profile(name);
            profile.emails[0].address = "alice@corp.example".to_owned();
            world.join(n, profile, &[link]).await;
        }
        world.call("r-1", &json!({"format": "email", "email": "alice@corp.example"})).await.is(204);
        assert_eq!(world.stands("user corp:alice"), "revoked");
        assert_eq!(world.stands("user lab:mallory"), "untouched");
    });
}

#[test]
fn a_webhook_revokes_holds_and_is_told_what_cannot_be_done() {
    run(async {
        let world = World::new().await;
        let alice = world.hire(1, "alice").await;
        world.kill("k-1", "revoke", &iss_sub("corp", "alice")).await.is(200);
        assert_eq!(world.stands("user corp:alice"), "revoked");
        world.kill("k-2", "hold", &iss_sub("corp", "alice")).await.is(200);
        assert_eq!(
            (world.stands("user corp:alice"), world.holds(alice).await),
            ("disabled", vec!["soar".into()])
        );
        // A sign-in that the directory does not know is disabled itself.
        world.kill("k-3", "hold", &iss_sub("corp", "eve")).await.is(200);
        assert_eq!(world.stands("user corp:eve"), "disabled");
        let session = json!({"user": iss_sub("corp", "alice"), "session": {"format": "opaque", "id": "s"}});
        world.kill("k-4", "hold", &session).await.is(422);
        world.kill("k-5", "revoke", &json!({"format": "phone_number", "phone_number": "+1"})).await.is(404);
        let log = world.log();
        assert_eq!(
            log,
            [
                "taken revoke acts",
                "taken hold acts",
                "taken hold acts",
                "taken hold cannot_be_done",
                "taken revoke no_one"
            ]
        );
    });
}

#[test]
fn s12_s13_strangers_and_people_of_others_are_recorded_without_effect() {
    run(async {
        let world = World::new().await;
        for (id, subject) in [
            ("e-1", iss_sub(LAB, "alice")),
            ("e-2", iss_sub("https://nowhere.example", "alice")),
            ("e-3", json!({"format": "email", "email": "nobody@corp.example"})),
            ("e-4", json!({"format": "opaque", "id": "00u1"})),
        ] {
            let claims = ago(id, 5, &subject, &format!("{CAEP}session-revoked"));
            let told = world.push("okta", &claims).await.is(202);
            assert!(told.body.is_empty(), "{told:?}");
        }
        assert_eq!(world.log(), ["taken session-revoked no_one"; 4]);
        assert_eq!(world.stands("user lab:alice"), "untouched");
        let cuts =
            world.house.events().iter().filter(|e| e["metadata"]["event_code"] == "revocation.user").count();
        assert_eq!(cuts, 0);
    });
}

#[test]
fn a_step_up_ends_sign_ins_a_risk_is_remembered_and_what_has_no_effect_yet_is_told() {
    run(async {
        let world = World::new().await;
        world.hire(1, "alice").await;
        let alice = iss_sub(CORP, "alice");
        let change = json!({"credential_type": "password", "change_type": "update"});
        world.push("okta", &event("e-1", &alice, &format!("{CAEP}credential-change"), &change)).await.is(202);
        assert_eq!(world.stands("user corp:alice"), "revoked");
        let risk = json!({"principal": "USER", "current_level": "MEDIUM"});
        world.push("okta", &event("e-2", &alice, &format!("{CAEP}risk-level-change"), &risk)).await.is(202);
        let claims = json!({"claims": {"role": "x"}});
        world
            .push("okta", &event("e-3", &alice, &format!("{CAEP}token-claims-change"), &claims))
            .await
            .is(202);
        let at_app = json!({"user": alice, "application": {"format": "opaque", "id": "wiki"}});
        world.push("okta", &ago("e-4", 5, &at_app, &format!("{CAEP}session-revoked"))).await.is(202);
        assert_eq!(world.stands("user_at_app corp:alice wiki"), "revoked");
        let events = world.house.events();
        let undone = |id: &str| {
            let of_it = events.iter().find(|e| {
                e["metadata"]["event_code"] == "signal.taken" && e.to_string().contains(&format!("\"{id}\""))
            });
            let changes =
                of_it.unwrap()["unmapped"]["doorward"]["lifecycle"]["changes"].as_array().unwrap().clone();
            changes.iter().find(|c| c["what"] == "not_done").map(|c| c["after"].as_str().unwrap().to_owned())
        };
        assert_eq!(undone("e-1"), None);
        assert_eq!(undone("e-2"), None);
        let told = world.risks.lock().unwrap().clone();
        assert!(told.len() == 1 && told[0].starts_with("corp:alice medium at "), "{told:?}");
        assert_eq!(undone("e-3").as_deref(), Some("the person is not read anew from the source yet"));
    });
}

#[test]
fn what_a_transmitter_says_of_its_stream_is_remembered() {
    run(async {
        let world = World::new().await;
        let of = |id: &str, stream: &str, kind: &str, payload: Value| {
            event(id, &json!({"format": "opaque", "id": stream}), &format!("{SSF}{kind}"), &payload)
        };
        world.push("okta", &of("v-1", "stream-1", "verification", json!({"state": "x"}))).await.is(202);
        let other = of("v-2", "stream-2", "verification", json!({}));
        let told = world.push("okta", &other).await.is(400);
        assert!(told.body.contains("\"err\":\"invalid_request\""), "{told:?}");
        assert_eq!(world.signals.condition("okta").unwrap().as_str(), "healthy");
        let paused = of("v-3", "stream-1", "stream-updated", json!({"status": "paused"}));
        world.push("okta", &paused).await.is(202);
        assert_eq!(world.signals.condition("okta").unwrap().as_str(), "paused");
        assert_eq!(world.signals.condition("second").unwrap().as_str(), "new");
        assert_eq!(world.log(), ["taken stream stream", "refused stream denied", "taken stream stream"]);
    });
}

#[test]
fn what_is_only_recorded_by_itself_cuts_off_where_the_stream_says_so() {
    run(async {
        let world = World::new().await;
        world.hire(1, "alice").await;
        let compliance = json!({"previous_status": "compliant", "current_status": "not-compliant"});
        let device = json!({"format": "opaque", "id": "laptop-7"});
        let of = |id: &str, subject: &Value, kind: &str, payload: &Value| {
            event(id, subject, &format!("{CAEP}{kind}"), payload)
        };
        let change = "device-compliance-change";
        world.push("okta", &of("e-1", &device, change, &compliance)).await.is(202);
        assert_eq!(world.stands("device laptop-7"), "untouched");
        world.push("second", &to_second(of("e-1", &device, change, &compliance))).await.is(202);
        assert_eq!(world.stands("device laptop-7"), "revoked");
        assert_eq!(world.stands("user corp:alice"), "untouched");
        let alice = iss_sub(CORP, "alice");
        let lower = json!({"namespace": "RFC8176", "current_level": "pwd", "previous_level": "mfa",
            "change_direction": "decrease"});
        world.push("okta", &of("e-2", &alice, "assurance-level-change", &lower)).await.is(202);
        assert_eq!(world.stands("user corp:alice"), "revoked", "what was proved counts no more");
        world.hire(2, "bob").await;
        let bob = iss_sub(CORP, "bob");
        let claims = json!({"claims": {"role": "x"}});
        world.push("okta", &of("e-3", &bob, "token-claims-change", &claims)).await.is(202);
        assert_eq!(world.stands("user corp:bob"), "untouched");
        world.push("second", &to_second(of("e-3", &bob, "token-claims-change", &claims))).await.is(202);
        assert_eq!(world.stands("user corp:bob"), "revoked");
        world.hire(3, "carol").await;
        let carol = iss_sub(CORP, "carol");
        let risk = |level: &str| json!({"principal": "USER", "current_level": level});
        world.push("okta", &of("e-4", &carol, "risk-level-change", &risk("MEDIUM"))).await.is(202);
        assert_eq!(world.stands("user corp:carol"), "untouched");
        world.push("okta", &of("e-5", &carol, "risk-level-change", &risk("HIGH"))).await.is(202);
        assert_eq!(world.stands("user corp:carol"), "revoked");
    });
}
