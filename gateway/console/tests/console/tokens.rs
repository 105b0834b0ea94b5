//! Tokens of service accounts by an operator's hand.

use serde_json::{Value, json};

use crate::fixture::{Gateway, NOON, run};
use crate::people::hire;

const DAY: i64 = 24 * 3600 * 1000;

/// A service account, and where its tokens are.
async fn robot(gateway: &Gateway) -> (String, String) {
    let alice = hire(gateway, 1, "alice").await.to_string();
    let body = json!({
        "user": "corp:backup", "name": "Backup", "purpose": "copies files", "owner": alice, "scopes": ["read"],
        "expires_at": NOON + 900 * DAY,
    });
    let made = gateway.send("POST", "/api/v1/service-accounts", body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let of = format!("/api/v1/service-accounts/{}", made.json()["id"].as_str().unwrap());
    (of.clone(), format!("{of}/tokens"))
}

#[test]
fn a_token_is_shown_once_and_rotated_and_taken_back() {
    run(async {
        let gateway = Gateway::start().await;
        let (of, tokens) = robot(&gateway).await;
        let body = json!({
            "label": "nightly", "expires_at": NOON + DAY, "apps": ["files"], "from": ["192.0.2.7", "2001:db8::/32"],
            "scopes": ["read"], "cause": "a new job",
        });
        let made = gateway.send("POST", &tokens, body).await;
        let told = made.json();
        assert_eq!((made.status, &told["on_record"]), (201, &json!(true)), "{told}");
        let secret = told["token"].as_str().unwrap().to_owned();
        assert!(secret.starts_with("dwsa_") && secret.len() == 52, "{secret}");
        let shown = gateway.get(&of).await;
        assert!(!shown.body.contains(&secret), "never again: {}", shown.body);
        let first = &shown.json()["tokens"][0];
        let name = first["name"].as_str().unwrap().to_owned();
        for (member, value) in [
            ("label", json!("nightly")),
            ("good", json!(true)),
            ("apps", json!(["files"])),
            ("from", json!(["192.0.2.7/32", "2001:db8::/32"])),
            ("scopes", json!(["read"])),
            ("created_by", json!("operator")),
            ("expires_at", json!(NOON + DAY)),
            ("last_used_at", Value::Null),
        ] {
            assert_eq!(first[member], value, "{member}: {first}");
        }

        let rotated = gateway.send("POST", &format!("{tokens}/{name}/rotate"), json!({})).await;
        let told = rotated.json();
        assert_eq!(rotated.status, 201, "{told}");
        assert_ne!(told["token"], secret.as_str());
        let both = told["tokens"].as_array().unwrap();
        assert_eq!(both.len(), 2, "the first stays good: {told}");
        assert_eq!((&both[1]["from"], &both[1]["apps"]), (&both[0]["from"], &both[0]["apps"]));
        let expires = both[1]["expires_at"].as_i64().unwrap() - both[1]["created_at"].as_i64().unwrap();
        assert!((DAY - 1000..=DAY).contains(&expires), "for as long as the first was: {told}");

        let ended = gateway.send("DELETE", &format!("{tokens}/{name}"), json!({ "cause": "leaked" })).await;
        let told = ended.json();
        assert_eq!((ended.status, told["tokens"].as_array().unwrap().len()), (200, 1), "{told}");
        let target = &told["receipts"][0]["target"];
        assert_eq!((&target["kind"], &target["id"]), (&json!("token"), &json!(format!("corp:dwsa-{name}"))));
        assert_eq!(gateway.send("DELETE", &format!("{tokens}/{name}"), json!({})).await.status, 404);
        assert_eq!(gateway.send("POST", &format!("{tokens}/{name}/rotate"), json!({})).await.status, 404);
        // Whoever revokes its sign-in kills what it shows, and the list says so.
        let body = r#"{"target":{"kind":"user","id":"corp:backup"},"action":"revoke"}"#;
        let revoked = gateway.post("/api/v1/revocations", body).await;
        assert_eq!(revoked.status, 201, "{}", revoked.body);
        assert_eq!(gateway.get(&of).await.json()["tokens"][0]["good"], json!(false));
    });
}

#[test]
fn what_a_token_cannot_be_is_told_by_field_and_all_at_once() {
    run(async {
        let gateway = Gateway::start().await;
        let (_, tokens) = robot(&gateway).await;
        let fields = async |body: Value| {
            let answer = gateway.send("POST", &tokens, body).await;
            let told = answer.json();
            assert!((400..500).contains(&answer.status), "{told}");
            assert!(!told["detail"].as_str().unwrap_or_default().contains("dwsa_"), "{told}");
            let errors = told["errors"].as_array().cloned().unwrap_or_default();
            errors.iter().map(|e| e["field"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
        };
        let good = || json!({ "label": "ci", "expires_at": NOON + DAY });
        let but = |field: &str, value: Value| {
            let mut body = good();
            body[field] = value;
            body
        };
        let wrong = json!({ "apps": ["A B"], "from": ["192.0.2.1/24"], "x": 1 });
        assert_eq!(fields(wrong).await, "label apps from expires_at x");
        for (field, value) in [
            ("apps", json!([])),
            ("from", json!(["everywhere"])),
            ("scopes", json!(["write"])),
            ("expires_at", json!(NOON - 1)),
            ("expires_at", json!(NOON + 366 * DAY)),
            ("label", json!("")),
        ] {
            assert_eq!(fields(but(field, value.clone())).await, field, "{value}");
        }
        let unknown = "/api/v1/service-accounts/01890a5d-ac96-774b-bcce-b302099a8057/tokens";
        assert_eq!(gateway.send("POST", unknown, good()).await.status, 404);
        assert_eq!(
            gateway.send("POST", &tokens, good()).await.status,
            201,
            "nothing of all that stands in the way"
        );
    });
}
