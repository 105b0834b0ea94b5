//! `POST /api/v1/policies/explain`.

use doorward_model::UnixMillis;
use doorward_policy::{Share, Staged, WHOLE};
use serde_json::json;

use crate::fixture::{Gateway, run};
use crate::reviews::ALICE;

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const VISITOR: &str = r#"{"v":1,"who":"visitor","does":"GET","route":{"id":"wiki/all","tier":"public"},"place":{"ip":"192.0.2.1"},"now":0,"local":0,"weekday":"mon","host":"","path":"/"}"#;

#[test]
fn a_situation_is_explained_by_the_policies_in_force() {
    run(async {
        let gateway = Gateway::start().await;
        let answer = gateway.send("POST", "/api/v1/policies/explain", json!({ "situation": VISITOR })).await;
        let told = answer.json();
        assert_eq!(answer.status, 200, "{told}");
        let bundle = gateway.policies.bundle();
        let situation = doorward_policy::record::read(VISITOR).unwrap();
        assert_eq!(told["revision"], bundle.revision().to_string());
        assert_eq!(told["decision"], bundle.decide(&situation.question()).decision.as_str());
        assert!(told["policies"].is_array() && told["unasked"].is_null(), "{told}");
    });
}

/// During a roll-out the policies that decide are those of the share.
#[test]
fn while_another_bundle_is_staged_it_explains_to_its_share() {
    run(async {
        let gateway = Gateway::start().await;
        let other = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(gateway.policies.dir()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), other.path().join(file.file_name())).unwrap();
        }
        std::fs::write(
            other.path().join("two.cedar"),
            "@id(\"two\") @title(\"t\") @owner(\"o\") @severity(\"high\") @reason(\"No.\")\n\
             forbid (principal is Visitor, action, resource);",
        )
        .unwrap();
        let staged = gateway.policies.candidate(other.path(), UnixMillis(1)).unwrap().bundle;
        let ask = || async {
            let answer =
                gateway.send("POST", "/api/v1/policies/explain", json!({ "situation": VISITOR })).await;
            answer.json()["revision"].as_str().unwrap().to_owned()
        };
        let in_force = gateway.policies.bundle().revision().to_string();
        for (hundredths, expected) in [(WHOLE - 1, in_force), (WHOLE, staged.revision().to_string())] {
            let share = Share::new([7; 16], hundredths, None);
            gateway.policies.stage(Some(Staged::new(staged.clone(), share)));
            assert_eq!(ask().await, expected, "{hundredths}");
            let asked = gateway.policies.staged().unwrap().asked();
            assert_eq!(asked, (0, 0), "an explanation is no request");
        }
    });
}

/// Whoever asks is looked up, and the answer is about them.
#[test]
fn somebody_of_the_directory_asks_in_a_situation() {
    run(async {
        let gateway = Gateway::start().await;
        let ask = |body| gateway.send("POST", "/api/v1/policies/explain", body);
        let told = ask(json!({ "situation": VISITOR, "person": ID })).await.json();
        let alice = VISITOR.replace("\"visitor\"", ALICE);
        let expected = ask(json!({ "situation": alice })).await.json();
        assert_eq!(told, expected);
        assert_eq!(told["decision"], "allow", "{told}");
        let told = ask(json!({ "situation": VISITOR, "person": ID, "said": ["local"] })).await.json();
        assert_eq!(
            (&told["unasked"], &told["decision"]),
            (&json!("they were suspended"), &json!("deny")),
            "{told}"
        );
        let told = ask(json!({ "situation": VISITOR, "person": ID, "said": ["now"] })).await.json();
        assert_eq!(told, expected);
        let none = ask(json!({ "situation": VISITOR, "machine": ID })).await;
        assert_eq!((none.status, &none.json()["code"]), (409, &json!("not_here")));
    });
}

#[test]
fn what_is_no_situation_is_told_as_a_mistake() {
    run(async {
        let gateway = Gateway::start().await;
        for body in [
            json!({}),
            json!({ "situation": "x" }),
            json!({ "situation": VISITOR.replace("\"v\":1", "\"v\":2") }),
            json!({ "situation": { "v": 1 } }),
            json!({ "situation": VISITOR, "more": 1 }),
            json!({ "situation": "[".repeat(20_000) }),
            json!({ "situation": VISITOR, "person": "alice" }),
            json!({ "situation": VISITOR, "person": ID, "machine": ID }),
            json!({ "situation": VISITOR, "now": true }),
            json!({ "situation": VISITOR, "said": "now" }),
            json!({ "situation": VISITOR, "said": ["noon"] }),
            json!({ "situation": VISITOR, "said": ["now", "now"] }),
        ] {
            let answer = gateway.send("POST", "/api/v1/policies/explain", body).await;
            let told = answer.json();
            assert_eq!((answer.status, &told["code"]), (400, &json!("bad_request")), "{told}");
        }
        assert_eq!(gateway.call("POST", "/api/v1/policies/explain", &[], "{}").await.status, 401);
    });
}
