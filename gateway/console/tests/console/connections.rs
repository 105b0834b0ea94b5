//! Connections by an operator's hand.

use doorward_lifecycle::intake::connection::{ConnectionToken, Connections};
use serde_json::json;

use crate::fixture::{Gateway, bearer, run};

#[test]
fn a_token_is_shown_once_exchanged_with_an_overlap_and_ended() {
    run(async {
        let gateway = Gateway::start().await;
        let connections = Connections::new(gateway.revocations.clone());
        let good = |token: &str| ConnectionToken::read(token).unwrap();
        let made = gateway
            .send(
                "POST",
                "/api/v1/connections",
                json!({ "name": "okta", "issuer": "corp", "subject": "userName" }),
            )
            .await;
        assert_eq!(made.status, 201, "{}", made.body);
        let first = made.json()["token"].as_str().unwrap().to_owned();
        let admitted = connections.admit(&good(&first)).await.unwrap().unwrap();
        assert_eq!((admitted.id.as_str(), admitted.subject.as_str()), ("okta", "userName"));
        let rotated = gateway.post("/api/v1/connections/okta/rotate", "").await.json();
        let second = rotated["token"].as_str().unwrap().to_owned();
        assert_ne!(first, second);
        assert!(connections.admit(&good(&first)).await.unwrap().is_some(), "both are good for a while");
        let third = gateway.post("/api/v1/connections/okta/rotate", "").await;
        assert_eq!((third.status, &third.json()["code"]), (409, &json!("full")));
        let old = rotated["tokens"][0]["name"].as_str().unwrap();
        let ended =
            gateway.call("DELETE", &format!("/api/v1/connections/okta/tokens/{old}"), &[&bearer()], "").await;
        assert_eq!(
            (ended.status, ended.json()["tokens"].as_array().unwrap().len()),
            (200, 1),
            "{}",
            ended.body
        );
        assert!(connections.admit(&good(&first)).await.unwrap().is_none());
        assert!(connections.admit(&good(&second)).await.unwrap().is_some());
        let listed = gateway.get("/api/v1/connections").await;
        assert_eq!(listed.json()["connections"][0]["issuer"], "corp");
        assert_eq!(gateway.call("DELETE", "/api/v1/connections/okta", &[&bearer()], "").await.status, 200);
        assert!(connections.admit(&good(&second)).await.unwrap().is_none());

        let calls = gateway.events("operator.call").await;
        let words: Vec<_> =
            calls.iter().map(|c| c["api"]["operation"].as_str().unwrap().to_owned()).collect();
        for word in ["add", "rotate", "revoke_token", "remove"] {
            assert!(words.contains(&format!("connections.{word}")), "{word}: {words:?}");
        }
        for token in [&first, &second] {
            assert!(!listed.body.contains(token.as_str()) && !ended.body.contains(token.as_str()));
            assert!(
                !calls.iter().any(|call| call.to_string().contains(token.as_str())),
                "a secret in the log"
            );
        }
    });
}

#[test]
fn mistakes_name_the_field() {
    run(async {
        let gateway = Gateway::start().await;
        let good = json!({ "name": "okta", "issuer": "corp" });
        assert_eq!(gateway.send("POST", "/api/v1/connections", good.clone()).await.status, 201);
        for (method, path, body, status, told) in [
            ("POST", "/api/v1/connections", good, 409, "name"),
            ("POST", "/api/v1/connections", json!({ "name": "Okta!", "issuer": "corp" }), 400, "name"),
            ("POST", "/api/v1/connections", json!({ "name": "entra", "issuer": "other" }), 400, "issuer"),
            (
                "POST",
                "/api/v1/connections",
                json!({ "name": "entra", "issuer": "corp", "subject": "email" }),
                400,
                "subject",
            ),
            ("POST", "/api/v1/connections/okta/release/now", json!({}), 400, "halt"),
            (
                "POST",
                "/api/v1/connections",
                json!({ "name": "entra", "issuer": "corp", "roles": ["a*b"] }),
                400,
                "roles",
            ),
            (
                "POST",
                "/api/v1/connections",
                json!({ "name": "entra", "issuer": "corp", "group_prefix": "" }),
                400,
                "group_prefix",
            ),
            ("PATCH", "/api/v1/connections/okta", json!({ "email_domains": ["corp"] }), 400, "email_domains"),
            ("PATCH", "/api/v1/connections/okta", json!({ "group_prefix": "x/" }), 400, "group_prefix"),
            ("PATCH", "/api/v1/connections/okta", json!({ "roles": null }), 400, "roles"),
        ] {
            let answer = gateway.send(method, path, body.clone()).await;
            let told_of = &answer.json()["errors"][0]["field"];
            assert_eq!((answer.status, told_of), (status, &json!(told)), "{path} {body}: {}", answer.body);
        }
        for path in ["nobody/rotate", "okta/release/0199a000-0000-7000-8000-00000000ffff"] {
            let answer = gateway.post(&format!("/api/v1/connections/{path}"), "").await;
            assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("not_known")), "{path}");
        }
    });
}

#[test]
fn what_a_connection_may_say_is_said_when_it_is_made_and_changed_later() {
    run(async {
        let gateway = Gateway::start().await;
        let terms = |answer: &serde_json::Value| {
            json!([answer["email_domains"], answer["roles"], answer["group_prefix"]])
        };
        let made = async |body| gateway.send("POST", "/api/v1/connections", body).await;
        let plain = made(json!({ "name": "okta", "issuer": "corp" })).await;
        assert_eq!(terms(&plain.json()), json!([null, [], null]), "it gives no role unless somebody says so");
        let bound = json!({
            "name": "lab", "issuer": "corp", "group_prefix": "lab/", "roles": ["eng-*", "lead"],
            "email_domains": ["Lab.example"],
        });
        let bound = made(bound).await;
        assert_eq!(terms(&bound.json()), json!([["lab.example"], ["lead", "eng-*"], "lab/"]));
        // Policies could not tell the groups of these from those of others.
        let group = json!({ "name": "HR/People" });
        assert_eq!(gateway.send("POST", "/api/v1/groups", group).await.status, 201);
        for prefix in ["lab/x", "LAB/", "hr/"] {
            let refused = made(json!({ "name": "new", "issuer": "corp", "group_prefix": prefix })).await;
            let told = (refused.status, refused.json()["errors"][0]["field"].clone());
            assert_eq!(told, (409, json!("group_prefix")), "{prefix}: {}", refused.body);
        }
        let change = async |body| gateway.send("PATCH", "/api/v1/connections/lab", body).await;
        for (body, want) in [
            (json!({}), json!([["lab.example"], ["lead", "eng-*"], "lab/"])),
            (json!({ "roles": [] }), json!([["lab.example"], [], "lab/"])),
            (json!({ "email_domains": null }), json!([null, [], "lab/"])),
            (json!({ "email_domains": [], "roles": ["*"] }), json!([[], ["*"], "lab/"])),
        ] {
            let changed = change(body).await;
            assert_eq!((changed.status, terms(&changed.json())), (200, want.clone()), "{}", changed.body);
            let listed = gateway.get("/api/v1/connections").await.json();
            assert_eq!(terms(&listed["connections"][0]), want);
            assert!(changed.json().get("token").is_none());
        }
        let nobody = gateway.send("PATCH", "/api/v1/connections/nobody", json!({ "roles": [] })).await;
        assert_eq!(nobody.status, 404);
        let calls = gateway.events("operator.call").await;
        assert!(calls.iter().any(|call| call["api"]["operation"] == "connections.change"));
    });
}

#[test]
fn somebody_is_handed_over_to_a_connection_that_there_is() {
    run(async {
        let gateway = Gateway::start().await;
        let connection = json!({ "name": "okta", "issuer": "corp" });
        assert_eq!(gateway.send("POST", "/api/v1/connections", connection).await.status, 201);
        let invited = json!({ "user_name": "carol", "emails": ["carol@corp.example"] });
        let carol = gateway.send("POST", "/api/v1/users", invited).await.json();
        let adopt = format!("/api/v1/users/{}/adopt", carol["id"].as_str().unwrap());
        for (body, status, told) in [
            (json!({}), 400, "connection"),
            (json!({ "connection": "Okta!" }), 400, "connection"),
            (json!({ "connection": "hr" }), 400, "connection"),
        ] {
            let answer = gateway.send("POST", &adopt, body).await;
            let field = answer.json()["errors"][0]["field"].clone();
            assert_eq!((answer.status, field), (status, json!(told)), "{}", answer.body);
        }
        // Who has not come yet is nobody's to hand over.
        let early = gateway.send("POST", &adopt, json!({ "connection": "okta" })).await;
        assert_eq!(early.status, 409, "{}", early.body);
    });
}
