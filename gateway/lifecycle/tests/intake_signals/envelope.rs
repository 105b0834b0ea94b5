//! What strangers and careless senders are told: methods, types, sizes, tokens, headers, names.

use serde_json::{Value, json};

use crate::fixture::run;
use crate::town::{CAEP, CORP, NOW_SECONDS, PUSH_TOKEN, iss_sub, sign};
use crate::world::{FORM, JSON, SET, World, ago};

fn good(id: &str) -> String {
    sign("secevent+jwt", &ago(id, 5, &iss_sub(CORP, "alice"), &format!("{CAEP}session-revoked")))
}

#[test]
fn nobody_is_told_who_is_known_here() {
    run(async {
        let world = World::new().await;
        let body = good("e-1");
        for path in [
            "/signals/events/nobody",
            "/signals/events/okta/x",
            "/signals/events/",
            "/signals/events",
            "/signals/logout/okta",
            "/signals/webhook/okta",
            "/signals/elsewhere/okta",
            "/signals/events/OKTA",
        ] {
            for method in ["POST", "GET", "DELETE"] {
                let told = world.send(method, path, &[("content-type", SET)], body.as_bytes()).await.is(404);
                assert_eq!(told.body, "", "{method} {path}");
            }
        }
    });
}

#[test]
fn s10_s11_s16_l8_l9_what_is_not_as_it_must_be_is_refused() {
    run(async {
        let world = World::new().await;
        let body = good("e-1");
        let token = format!("Bearer {PUSH_TOKEN}");
        let (typed, signed) = (("content-type", SET), ("authorization", &*token));
        let (push, logout) = ("/signals/events/okta", "/signals/logout/corp");
        let large = vec![b'x'; 1 << 20];
        let two = format!("logout_token={body}&logout_token={body}");
        for (path, headers, body, status, says) in [
            (push, vec![typed], body.as_bytes(), 400, "authentication_failed"),
            (
                push,
                vec![typed, ("authorization", "Bearer wrong")],
                body.as_bytes(),
                400,
                "authentication_failed",
            ),
            // Of two nobody can tell which counts.
            (push, vec![typed, signed, signed], body.as_bytes(), 400, "authentication_failed"),
            (push, vec![signed, ("content-type", JSON)], body.as_bytes(), 400, "invalid_request"),
            (push, vec![signed, typed, typed], body.as_bytes(), 400, "invalid_request"),
            (push, vec![signed], body.as_bytes(), 400, "invalid_request"),
            (push, vec![signed, typed], &large, 400, "invalid_request"),
            (push, vec![signed, typed], b"", 400, "invalid_request"),
            (logout, vec![("content-type", FORM)], two.as_bytes(), 400, "invalid_request"),
            (logout, vec![("content-type", JSON)], body.as_bytes(), 400, "invalid_request"),
            ("/signals/revocation/caller", vec![("content-type", JSON)], b"{}", 401, "authentication_failed"),
            ("/signals/webhook/soar", vec![("content-type", JSON)], b"{}", 401, "authentication_failed"),
        ] {
            let told = world.send("POST", path, &headers, body).await.is(status);
            assert!(told.body.contains(says), "{path} {headers:?}: {told:?}");
            assert!(!told.body.contains("okta") && !told.body.contains(PUSH_TOKEN), "{told:?}");
        }
        for path in [push, logout, "/signals/revocation/caller", "/signals/webhook/soar"] {
            for method in ["GET", "PUT", "DELETE"] {
                let told = world.send(method, path, &[typed, signed], b"").await.is(405);
                assert!(told.head.contains("allow: post"), "{told:?}");
            }
        }
        assert_eq!((world.stands("user corp:alice"), world.log().len()), ("untouched", 0));
    });
}

/// A body is not read further than needed to see that it is too large, whatever it says of its length.
#[test]
fn s16_a_body_without_an_end_is_answered() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    run(async {
        let world = World::new().await;
        let mut stream = world.connect().await;
        let head = format!(
            "POST /signals/events/okta HTTP/1.1\r\nHost: door\r\nContent-Type: {SET}\r\nAuthorization: Bearer \
             {PUSH_TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096));
        for _ in 0..17 {
            stream.write_all(chunk.as_bytes()).await.unwrap();
        }
        let mut answer = [0; 12];
        let read = tokio::time::timeout(std::time::Duration::from_secs(60), stream.read_exact(&mut answer));
        read.await.expect("an answer before the end of the body").unwrap();
        assert_eq!(&answer, b"HTTP/1.1 400");
    });
}

#[test]
fn a_message_of_one_kind_is_not_taken_at_the_door_of_another() {
    run(async {
        let world = World::new().await;
        let claims = json!({"iss": CORP, "aud": "door", "iat": NOW_SECONDS, "exp": NOW_SECONDS + 120, "jti": "l-1",
            "sid": "s-1", "events": {"http://schemas.openid.net/event/backchannel-logout": {}}});
        let logout = sign("logout+jwt", &claims);
        let token = format!("Bearer {PUSH_TOKEN}");
        let headers = [("content-type", SET), ("authorization", &*token)];
        world.send("POST", "/signals/events/okta", &headers, logout.as_bytes()).await.is(400);
        let form = format!("logout_token={}", good("e-1"));
        world.send("POST", "/signals/logout/corp", &[("content-type", FORM)], form.as_bytes()).await.is(400);
        let events: Vec<Value> = world.house.events();
        assert!(events.iter().all(|e| e["metadata"]["event_code"] != "signal.taken"), "{events:?}");
        assert_eq!(
            (world.stands("session corp:s-1"), world.stands("user corp:alice")),
            ("untouched", "untouched")
        );
    });
}
