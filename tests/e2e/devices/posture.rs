//! What a source of posture says of a device counts until it says otherwise, or for its time.

use std::path::Path;

use doorward_servers::Port;
use doorward_tests::h1;
use doorward_tests::keys::{Algorithm, TestKey};
use doorward_tests::wire::now;
use serde_json::{Value, json};

use crate::door::{Door, SAFE};
use crate::hand::said;

const ISSUER: &str = "https://mdm.corp.example";

struct Source {
    intake: Port,
    key: TestKey,
}

impl Source {
    fn new() -> Self {
        Self { intake: Port::take(), key: TestKey::named(Algorithm::Es256, "k1") }
    }

    async fn door(&self) -> Door {
        Door::with(|config, folder: &Path| {
            let jwks = folder.join("mdm.jwks");
            std::fs::write(&jwks, json!({"keys": [self.key.jwk()]}).to_string()).unwrap();
            let source = json!({"id": "mdm", "issuer": ISSUER, "audiences": ["door"], "algorithms": ["ES256"],
                "jwks_file": jwks, "age_minutes_max": 30});
            config
                .set("intake", json!({"address": self.intake.address().to_string()}))
                .set("signals", json!({"posture": [source]}));
        })
        .await
    }

    /// A posture of `laptop-7` of so many seconds ago.
    fn posture(&self, ago: i64, changes: &Value) -> String {
        let mut claims = json!({"iss": ISSUER, "aud": "door", "iat": now().seconds() - ago,
            "exp": now().seconds() - ago + 1800, "jti": format!("m-{ago}"), "sub": "laptop-7",
            "managed": true, "compliant": true});
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        self.key.sign(
            &json!({"typ": "device-posture+jwt", "alg": "ES256", "kid": "k1"}).to_string(),
            &claims.to_string(),
        )
    }

    async fn post(&self, source: &str, token: &str) -> u16 {
        let mut client = h1::H1::connect(self.intake.address()).await;
        let fields = [("content-type", "application/device-posture+jwt")];
        let path = format!("/signals/posture/{source}");
        // What is too long may be refused, and the connection closed, before all of it was sent.
        let _all_sent =
            client.try_send(h1::request("POST", "door.test", &path, &fields, token.as_bytes())).await;
        client.response("POST").await.status()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_posture_counts_and_an_older_one_never_beats_it() {
    let source = Source::new();
    let door = source.door().await;
    let client = door.client(&door.devices.certificate("laptop-7"));
    assert_eq!(source.post("mdm", &source.posture(0, &json!({}))).await, 404, "nobody registered it");
    let body = json!({"id": "laptop-7", "name": "L", "owner": owner(&door).await});
    assert_eq!(door.gateway().api("POST", "/api/v1/devices", Some(&body)).await.status, 201);
    let told = || door.told(&client, "alice", "wiki.test", SAFE);
    assert_eq!(told().await, "no_permit", "nobody said anything of it");
    let good = source.posture(60, &json!({}));
    assert_eq!(source.post("mdm", &good).await, 204);
    assert_eq!(told().await, "200");
    let bad = source.posture(30, &json!({"compliant": false, "reasons": ["the disk is not encrypted"]}));
    assert_eq!(source.post("mdm", &bad).await, 204);
    assert_eq!(told().await, "no_permit");
    assert_eq!(source.post("mdm", &good).await, 204, "it comes again");
    assert_eq!(told().await, "no_permit", "and is older");
    let shown = door.gateway().api("GET", "/api/v1/devices/laptop-7", None).await;
    let shown: Value = serde_json::from_str(&shown.text).unwrap();
    assert_eq!(shown["posture"]["source"], "mdm");
    assert_eq!(shown["posture"]["reasons"], json!(["the disk is not encrypted"]));
    // Of two of one second the worse counts, in either order.
    let at = now().seconds() - 10;
    let of_then = |compliant: bool| json!({"iat": at, "exp": at + 600, "compliant": compliant});
    assert_eq!(source.post("mdm", &source.posture(0, &of_then(true))).await, 204);
    assert_eq!(told().await, "200");
    assert_eq!(source.post("mdm", &source.posture(0, &of_then(false))).await, 204);
    assert_eq!(source.post("mdm", &source.posture(0, &of_then(true))).await, 204);
    assert_eq!(told().await, "no_permit");
    assert_eq!(source.post("mdm", &source.posture(0, &json!({}))).await, 204);
    assert_eq!(told().await, "200");
}

async fn owner(door: &Door) -> Value {
    let answer = door.gateway().api("GET", "/api/v1/users?named=alice", None).await;
    let found: Value = serde_json::from_str(&answer.text).unwrap();
    found["users"][0]["id"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_posture_that_its_source_did_not_make_for_us_is_not_taken() {
    let source = Source::new();
    let door = source.door().await;
    door.register("laptop-7", &[]).await;
    said(door.gateway(), 0, &["device", "say", "laptop-7", "--not-compliant"]).await;
    let client = door.client(&door.devices.certificate("laptop-7"));
    let (seconds, other) = (now().seconds(), TestKey::named(Algorithm::Es256, "k1"));
    let claims = json!({"iss": ISSUER, "aud": "door", "iat": seconds + 30, "exp": seconds + 600, "jti": "m",
        "sub": "laptop-7", "managed": true, "compliant": true})
    .to_string();
    let typed = |typ: &str| json!({"typ": typ, "alg": "ES256", "kid": "k1"}).to_string();
    let hmac = doorward_tests::keys::sign_hs256(
        source.key.public_pem().as_bytes(),
        &json!({"typ": "device-posture+jwt", "alg": "HS256", "kid": "k1"}).to_string(),
        &claims,
    );
    let none = doorward_tests::keys::unsigned(
        &json!({"typ": "device-posture+jwt", "alg": "none"}).to_string(),
        &claims,
    );
    let but = |changes: Value| source.posture(-30, &changes);
    for (what, at, token, status) in [
        ("another key", "mdm", other.sign(&typed("device-posture+jwt"), &claims), 401),
        ("a shared secret", "mdm", hmac, 401),
        ("no signature", "mdm", none, 400),
        ("another type", "mdm", source.key.sign(&typed("secevent+jwt"), &claims), 400),
        ("no type", "mdm", source.key.sign(&typed("JWT"), &claims), 400),
        ("another source", "other", but(json!({})), 404),
        ("another issuer", "mdm", but(json!({"iss": "https://evil.example"})), 401),
        ("another audience", "mdm", but(json!({"aud": "elsewhere"})), 401),
        ("one that is over", "mdm", but(json!({"iat": seconds - 1900, "exp": seconds - 100})), 400),
        ("one that lasts too long", "mdm", but(json!({"iat": seconds, "exp": seconds + 1801})), 400),
        ("one from the future", "mdm", but(json!({"iat": seconds + 3600, "exp": seconds + 4000})), 400),
        ("one without an end", "mdm", but(json!({"exp": null})), 400),
        ("one without an id", "mdm", but(json!({"jti": null})), 400),
        ("one without a device", "mdm", but(json!({"sub": null})), 400),
        ("one that says nothing", "mdm", but(json!({"managed": null, "compliant": null})), 400),
        ("a word instead of a truth", "mdm", but(json!({"compliant": "yes"})), 400),
        ("reasons without end", "mdm", but(json!({"reasons": vec!["x"; 17]})), 400),
        ("another device", "mdm", but(json!({"sub": "laptop-99"})), 404),
        ("too many bytes", "mdm", "x".repeat(70_000), 400),
    ] {
        assert_eq!(source.post(at, &token).await, status, "{what}");
        assert_eq!(door.told(&client, "alice", "wiki.test", SAFE).await, "no_permit", "{what}");
    }
    assert_eq!(source.post("mdm", &but(json!({"iat": seconds + 1, "exp": seconds + 600}))).await, 204);
    let shown = door.gateway().api("GET", "/api/v1/devices/laptop-7", None).await;
    assert!(shown.text.contains("\"mdm\""), "{}", shown.text);
}
