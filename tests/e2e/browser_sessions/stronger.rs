//! Policies demand a better sign-in.

use std::path::Path;

use doorward_identity::session::BrowserSession;
use doorward_tests::h1::Response;
use doorward_tests::wire::now;
use serde_json::json;

use crate::house::{FETCHES, House, OPENS, PAYROLL, SENDS, WIKI, ago, proved, refused, since, told};

fn challenge(answer: &Response) -> String {
    answer.head.value("www-authenticate").unwrap_or_default()
}

#[tokio::test]
async fn a_weak_sign_in_is_sent_to_prove_more_and_a_strong_one_is_not_asked_again() {
    let house = House::new().await;
    let alice = house.alice();
    let weak = BrowserSession { assurance: proved(false, false, now()), ..alice.clone() };
    let cookie = house.cookie(&weak, WIKI);
    let answer = house.ask(("GET", WIKI, "/page"), &cookie, OPENS).await;
    assert_eq!(told(&answer), refused(302, "step_up"));
    assert!(answer.head.value("location").unwrap().contains("/.doorward/start?ticket="));
    let event = house.decision(&answer.head.value("x-doorward-request-id").unwrap()).await;
    let decision = &event["unmapped"]["doorward"]["decision"];
    assert_eq!(
        (&decision["outcome"], &decision["reason_code"]),
        (&json!("deny"), &json!("step_up")),
        "{event}"
    );
    assert!(event.to_string().contains("guard.mfa"), "{event}");

    // A script reads where, a form is not lost.
    let answer = house.ask(("GET", WIKI, "/page"), &cookie, FETCHES).await;
    assert_eq!(told(&answer), refused(401, "step_up"));
    let problem = answer.json();
    assert!(problem["step_up"].as_str().unwrap().ends_with("/.doorward/sign-in?strength=mfa"), "{problem}");
    assert_eq!(problem["advice"], json!(["step-up:mfa"]));
    let answer = house.ask(("POST", WIKI, "/save"), &cookie, SENDS).await;
    assert!(answer.status() == 401 && answer.text().contains("was not saved"), "{}", answer.text());

    // The strictest of what all of them ask for: a security key, of the last 15 minutes.
    let admin = |session: &BrowserSession| house.cookie(session, PAYROLL);
    let answer = house.ask(("GET", PAYROLL, "/admin"), &admin(&weak), FETCHES).await;
    assert_eq!(told(&answer), refused(401, "step_up"));
    let problem = answer.json();
    let url = problem["step_up"].as_str().unwrap();
    assert!(url.ends_with("?strength=phishing-resistant&max_age=900"), "{url}");
    assert!(challenge(&answer).contains("max_age=\"900\""), "{}", challenge(&answer));
    let key = |seconds: i64| BrowserSession {
        assurance: proved(true, true, ago(seconds)),
        seen_at: now(),
        ..since(alice.clone(), seconds)
    };
    let answer = house.ask(("GET", PAYROLL, "/admin"), &admin(&key(10)), OPENS).await;
    assert_eq!(told(&answer), (200, None), "{}", answer.text());
    let answer = house.ask(("GET", PAYROLL, "/admin"), &admin(&key(901)), OPENS).await;
    assert_eq!(told(&answer), refused(302, "step_up"));
}

/// RFC 9470, with a token.
#[tokio::test]
async fn a_program_is_told_what_its_token_lacks() {
    let house = House::with(|config| {
        config
            .set("issuer.0.assurance.mfa_acr", json!(["urn:demo:2fa", "urn:demo:strong"]))
            .set("issuer.0.assurance.phishing_resistant_acr", json!(["urn:demo:phr"]));
    })
    .await;
    let ask = async |claims, host, target, lines: &[(&str, &str)]| {
        let bearer = format!("Bearer {}", house.issuer.token_but("alice", &claims));
        house.ask(("GET", host, target), "", &[lines, &[("authorization", bearer.as_str())]].concat()).await
    };
    let weak = json!({"amr": ["pwd"], "acr": null});
    for lines in [OPENS, &[]] {
        let answer = ask(weak.clone(), WIKI, "/page", lines).await;
        assert_eq!(told(&answer), refused(401, "step_up"), "a program is sent nowhere");
        assert_eq!(
            challenge(&answer),
            "Bearer realm=\"doorward\", error=\"insufficient_user_authentication\", \
             error_description=\"a stronger or more recent sign-in is needed\", \
             acr_values=\"urn:demo:2fa urn:demo:strong\""
        );
    }
    let answer = ask(weak.clone(), PAYROLL, "/admin", &[]).await;
    assert!(
        challenge(&answer).ends_with("acr_values=\"urn:demo:phr\", max_age=\"900\""),
        "{}",
        challenge(&answer)
    );
    // Where something else forbids it as well, a sign-in would not help.
    let answer =
        ask(json!({"amr": ["pwd"], "acr": null, "employment": "contractor"}), WIKI, "/page", &[]).await;
    assert_eq!(answer.status(), 403, "{}", answer.text());
    assert_eq!(answer.head.value("www-authenticate"), None);
}

/// A policy that asks for what no sign-in is: a plain no, and nobody is sent round in circles.
#[tokio::test]
async fn whoever_has_just_proved_it_is_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/schema.cedarschema");
    std::fs::copy(schema, folder.path().join("schema.cedarschema")).unwrap();
    let never = "@id(\"all\") permit (principal, action, resource);\n\
                 @id(\"never\") @advice(\"step-up:mfa\") forbid (principal is User, action, resource);";
    std::fs::write(folder.path().join("all.cedar"), never).unwrap();
    let dir = folder.path().to_owned();
    let house = House::with(|config| {
        config.set("policy.dir", json!(dir));
    })
    .await;
    let proved_ago = |mfa, seconds: i64| BrowserSession {
        assurance: proved(mfa, false, ago(seconds)),
        seen_at: now(),
        ..since(house.bob(), seconds)
    };
    for (session, expect) in [
        (proved_ago(false, 5), refused(302, "step_up")),
        (proved_ago(true, 5), refused(403, "policy_forbids")),
        // Perhaps it was too long ago.
        (proved_ago(true, 120), refused(302, "step_up")),
    ] {
        let answer = house.ask(("GET", WIKI, "/page"), &house.cookie(&session, WIKI), OPENS).await;
        assert_eq!(told(&answer), expect, "{session:?}");
    }
}
