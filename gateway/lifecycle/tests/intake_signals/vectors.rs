//! The vectors of the specifications at the running intake: what a transmitter or a provider reads whose
//! message is not good, in the words of RFC 8935 §2.4 and of Back-Channel Logout §2.8, and that nothing
//! follows from it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::fixture::run;
use crate::town::{CAEP, CORP, LAB, NOW_SECONDS, PUSH_TOKEN, RISC, event, folder, iss_sub, sign};
use crate::transmitter::Transmitter;
use crate::world::{FORM, SET, Told, World, ago, to_second};

/// `token` under another header: nobody signed that.
fn headed(token: &str, header: &Value) -> String {
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
}

fn but(mut claims: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

async fn push(world: &World, token: &str) -> Told {
    let bearer = format!("Bearer {PUSH_TOKEN}");
    let headers = [("content-type", SET), ("authorization", &*bearer)];
    world.send("POST", "/signals/events/okta", &headers, token.as_bytes()).await
}

async fn log_out(world: &World, token: &str) -> Told {
    let body = format!("logout_token={token}");
    world.send("POST", "/signals/logout/corp", &[("content-type", FORM)], body.as_bytes()).await
}

fn revoked(id: &str) -> Value {
    ago(id, 5, &iss_sub(CORP, "alice"), &format!("{CAEP}session-revoked"))
}

fn logout(changes: &Value) -> Value {
    let all = json!({"iss": CORP, "aud": "door", "iat": NOW_SECONDS, "exp": NOW_SECONDS + 120, "jti": "l-1", "sub": "alice",
        "sid": "s-1", "events": {"http://schemas.openid.net/event/backchannel-logout": {}}});
    but(all, changes)
}

#[test]
fn s1_to_s7_a_push_that_is_not_good_is_told_why_and_has_no_effect() {
    run(async {
        let world = World::new().await;
        let good = revoked("e-1");
        let set = |changes: Value| sign("secevent+jwt", &but(good.clone(), &changes));
        let two = json!({format!("{CAEP}session-revoked"): {}, format!("{RISC}account-disabled"): {}});
        let under = |header: Value| headed(&set(json!({})), &header);
        for (vector, token, err) in [
            ("S1 no typ", under(json!({"alg": "ES256", "kid": "k1"})), "invalid_request"),
            ("S1 JWT", sign("JWT", &good), "invalid_request"),
            ("S1 at+jwt", sign("at+jwt", &good), "invalid_request"),
            ("S2 exp", set(json!({"exp": NOW_SECONDS + 60})), "invalid_request"),
            ("S3 sub", set(json!({"sub": "alice"})), "invalid_request"),
            ("S4 two events", set(json!({"events": two})), "invalid_request"),
            ("S4 no events", set(json!({"events": null})), "invalid_request"),
            ("S5 HS256", under(json!({"alg": "HS256", "typ": "secevent+jwt", "kid": "k1"})), "invalid_key"),
            ("S5 none", under(json!({"alg": "none", "typ": "secevent+jwt"})), "invalid_key"),
            ("S6 iss", set(json!({"iss": LAB})), "invalid_issuer"),
            ("S6 no iss", set(json!({"iss": null})), "invalid_issuer"),
            ("S6 aud", set(json!({"aud": "https://other.example"})), "invalid_audience"),
            ("S6 no aud", set(json!({"aud": null})), "invalid_audience"),
            ("S7 kid", under(json!({"alg": "ES256", "typ": "secevent+jwt", "kid": "k9"})), "invalid_key"),
            ("signature", format!("{}AAAA", &set(json!({}))[..set(json!({})).len() - 4]), "invalid_key"),
            ("future", set(json!({"iat": NOW_SECONDS + 3600})), "invalid_request"),
            ("garbage", "x.y".to_owned(), "invalid_request"),
        ] {
            let told = push(&world, &token).await;
            assert_eq!(told.status, 400, "{vector}: {told:?}");
            assert!(told.head.contains("content-type: application/json"), "{vector}: {told:?}");
            let body: Value = serde_json::from_str(&told.body).unwrap();
            assert_eq!(body["err"], err, "{vector}: {body}");
            assert!(!body["description"].as_str().unwrap().is_empty(), "{vector}: {body}");
            for secret in ["alice", "okta", "corp", "other.example"] {
                assert!(!told.body.contains(secret), "{vector}: {body}");
            }
        }
        assert_eq!((world.stands("user corp:alice"), world.log().len()), ("untouched", 0));
        // The same without a fault is taken, so it was the fault.
        push(&world, &set(json!({}))).await.is(202);
        assert_eq!(world.stands("user corp:alice"), "revoked");
    });
}

#[test]
fn s8_l13_a_key_that_was_taken_back_signs_no_more_and_an_unknown_one_is_looked_for_once() {
    run(async {
        let transmitter = Transmitter::start().await;
        let keys = folder();
        let published = std::fs::read_to_string(keys.path().join("keys.jwks")).unwrap();
        transmitter.desk().keys = serde_json::from_str(&published).unwrap();
        let senders = format!(
            "[[stream]]\nid = \"okta\"\nissuer = \"{url}\"\naudiences = [\"door\"]\nalgorithms = [\"ES256\"]\n\
             people = [\"corp\"]\n\n[[logout]]\nid = \"corp\"\nissuer = \"{CORP}\"\naudiences = [\"door\"]\n\
             algorithms = [\"ES256\"]\njwks_uri = \"{url}/keys\"\n",
            url = transmitter.url()
        );
        let world = World::of(keys, senders).await;
        let of = |id: &str| sign("secevent+jwt", &but(revoked(id), &json!({"iss": transmitter.url()})));
        let fetched = || transmitter.desk().paths.iter().filter(|path| *path == "/keys").count();
        push(&world, &of("e-1")).await.is(202);
        let mut other: Value = serde_json::from_str(&published).unwrap();
        other["keys"][0]["kid"] = json!("k2");
        transmitter.desk().keys = other;
        world.signals.verifier().refresh_all(world.house.now()).await;
        let told = push(&world, &of("e-2")).await.is(400);
        assert!(told.body.contains("invalid_key"), "{told:?}");
        // Of a logout too, whatever it names, at most one look a minute.
        let before = fetched();
        for n in 0..8 {
            let header = json!({"alg": "ES256", "typ": "logout+jwt", "kid": format!("x{n}")});
            log_out(&world, &headed(&sign("logout+jwt", &logout(&json!({}))), &header)).await.is(400);
        }
        assert!(fetched() <= before + 1, "{}", fetched());
        // Without any keys it is not the sender's fault.
        transmitter.desk().keys = json!({"keys": []});
        world.signals.verifier().refresh_all(world.house.now()).await;
        push(&world, &of("e-3")).await.is(503);
        log_out(&world, &sign("logout+jwt", &logout(&json!({})))).await.is(503);
        assert_eq!(world.log(), ["taken session-revoked acts"]);
    });
}

#[test]
fn s14_a_complex_subject_is_what_its_members_have_in_common() {
    run(async {
        let world = World::new().await;
        let alice = world.hire(1, "alice").await;
        let complex = |members: Value| but(json!({"format": "complex"}), &members);
        let at = |id: &str, members: Value| ago(id, 5, &complex(members), &format!("{CAEP}session-revoked"));
        let opaque = |id: &str| json!({"format": "opaque", "id": id});
        // A person of others and a session here have nothing in common.
        let others = json!({"user": iss_sub(LAB, "alice"), "session": opaque("s-1")});
        world.push("okta", &at("e-1", others)).await.is(202);
        let of_two = json!({"user": iss_sub(CORP, "alice"), "application": opaque("wiki")});
        world.push("okta", &at("e-2", of_two)).await.is(202);
        assert_eq!(world.stands("user_at_app corp:alice wiki"), "revoked");
        assert_eq!(
            (world.stands("user corp:alice"), world.stands("session corp:s-1")),
            ("untouched", "untouched")
        );
        // What gives access must name all of it.
        let disable = ago("e-3", 60, &iss_sub(CORP, "alice"), &format!("{RISC}account-disabled"));
        world.push("okta", &disable).await.is(202);
        let part = complex(json!({"user": iss_sub(CORP, "alice"), "tenant": opaque("t-1")}));
        world.push("okta", &ago("e-4", 5, &part, &format!("{RISC}account-enabled"))).await.is(202);
        assert_eq!(world.holds(alice).await, ["okta"]);
        assert_eq!(
            world.log(),
            [
                "taken session-revoked no_one",
                "taken session-revoked acts",
                "taken account-disabled acts",
                "taken account-enabled inexact",
            ]
        );
    });
}

#[test]
fn s17_the_order_holds_across_two_processes_of_one_store() {
    run(async {
        let world = World::new().await;
        let (_, twin) = world.twin().await;
        let alice = world.hire(1, "alice").await;
        let subject = iss_sub(CORP, "alice");
        let (disable, enable) = (format!("{RISC}account-disabled"), format!("{RISC}account-enabled"));
        world.push("okta", &ago("e-1", 60, &subject, &disable)).await.is(202);
        // The other process is told something older, and then something newer.
        world.push_to(twin, "okta", &ago("e-2", 90, &subject, &enable)).await.is(202);
        assert_eq!(
            (world.stands("user corp:alice"), world.holds(alice).await),
            ("disabled", vec!["okta".into()])
        );
        world.push_to(twin, "okta", &ago("e-3", 30, &subject, &enable)).await.is(202);
        assert_eq!((world.stands("user corp:alice"), world.holds(alice).await), ("revoked", vec![]));
        world.push("okta", &ago("e-4", 45, &subject, &disable)).await.is(202);
        assert_eq!(world.holds(alice).await, Vec::<String>::new());
    });
}

#[test]
fn s18_the_older_form_of_risc_is_read() {
    run(async {
        let world = World::new().await;
        let subject = json!({"subject_type": "iss-sub", "iss": CORP, "sub": "alice"});
        let claims = but(
            to_second(event(
                "e-1",
                &json!({}),
                &format!("{RISC}sessions-revoked"),
                &json!({"subject": subject}),
            )),
            &json!({"sub_id": null}),
        );
        world.push("second", &claims).await.is(202);
        assert_eq!(world.stands("user corp:alice"), "revoked");
    });
}

#[test]
fn l1_to_l12_a_logout_that_is_not_good_is_refused_and_ends_nothing() {
    run(async {
        let world = World::new().await;
        let token = |changes: Value| sign("logout+jwt", &logout(&changes));
        let address = "http://schemas.openid.net/event/backchannel-logout";
        let id_token = json!({"iss": CORP, "aud": "door", "iat": NOW_SECONDS, "exp": NOW_SECONDS + 120, "sub": "alice",
            "jti": "i-1", "sid": "s-1", "nonce": "n", "auth_time": NOW_SECONDS});
        for (vector, token) in [
            ("L1 no events", token(json!({"events": null}))),
            ("L1 another event", token(json!({"events": {"https://example.com/other": {}}}))),
            ("L2 not an object", token(json!({"events": {address: true}}))),
            ("L3 nonce", token(json!({"nonce": "n"}))),
            ("L4 neither", token(json!({"sub": null, "sid": null}))),
            ("L7 ID token", sign("JWT", &id_token)),
            ("L10 expired", token(json!({"exp": NOW_SECONDS - 3600, "iat": NOW_SECONDS - 7200}))),
            ("L10 no exp", token(json!({"exp": null}))),
            ("L11 future", token(json!({"iat": NOW_SECONDS + 3600, "exp": NOW_SECONDS + 7200}))),
            ("L12 aud", token(json!({"aud": "another-client"}))),
            ("iss", token(json!({"iss": LAB}))),
        ] {
            let told = log_out(&world, &token).await.is(400);
            assert!(told.head.contains("cache-control: no-store"), "{vector}: {told:?}");
            let body: Value = serde_json::from_str(&told.body).unwrap();
            assert_eq!(body["error"], "invalid_request", "{vector}: {body}");
        }
        assert_eq!(
            (world.stands("user corp:alice"), world.stands("session corp:s-1"), world.log().len()),
            ("untouched", "untouched", 0)
        );
        // L5: a session of the same name at another issuer is another session.
        log_out(&world, &token(json!({"sub": null}))).await.is(200);
        assert_eq!(
            (
                world.stands("session corp:s-1"),
                world.stands("session lab:s-1"),
                world.stands("user corp:alice")
            ),
            ("revoked", "untouched", "untouched")
        );
        // L6: once more it has no effect.
        log_out(&world, &token(json!({"sub": null}))).await.is(200);
        let world = world.restarted().await;
        log_out(&world, &token(json!({"sub": null}))).await.is(200);
        assert_eq!(world.log(), ["taken logout acts"]);
        let cuts = world.house.events();
        assert_eq!(cuts.iter().filter(|e| e["metadata"]["event_code"] == "revocation.session").count(), 1);
    });
}
