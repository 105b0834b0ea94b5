//! Somebody is in two places at once; somebody is on a journey.

use serde_json::{Value, json};

use crate::house::{BERLIN, House, Proof, STETTIN, TOKYO, reason};

#[tokio::test]
async fn whoever_is_in_two_places_at_once_is_refused_and_the_log_says_why() {
    let house = House::new().await;
    let home = house.token("bob", "home", Proof::Old);
    assert_eq!(house.told(&home, BERLIN).await, "200");
    let stolen = house.token("bob", "stolen", Proof::Old);
    assert_eq!(house.told(&stolen, TOKYO).await, "policy_forbids");
    // Trying again teaches nothing, and a code does not help.
    assert_eq!(house.told(&stolen, TOKYO).await, "policy_forbids");
    assert_eq!(house.told(&house.token("bob", "again", Proof::Code), TOKYO).await, "policy_forbids");
    assert_eq!(house.told(&home, TOKYO).await, "policy_forbids", "the token that is good in Berlin");
    assert_eq!(house.told(&home, BERLIN).await, "200");
    let high = json!({
        "score": 95, "level": "high",
        "reasons": [reason("impossible_travel", 60), reason("new_country", 25), reason("new_network", 10)],
    });
    assert_eq!(house.risks(TOKYO, 4).await, vec![high; 4]);
    assert_eq!(house.risks(BERLIN, 2).await, [Value::Null, Value::Null]);
    let by = house.gateway.events().into_iter().find(|e| e["src_endpoint"]["ip"] == TOKYO).unwrap();
    assert_eq!(by["unmapped"]["doorward"]["decision"]["determining"], json!(["guard.risk"]), "{by}");
    let counted = |level: &str| format!("doorward_risk_assessments_total{{level=\"{level}\"}}");
    assert_eq!((house.metric(&counted("high")).await, house.metric(&counted("low")).await), (4.0, 2.0));
}

/// Nobody else is concerned.
#[tokio::test]
async fn one_persons_travels_are_no_matter_of_anothers() {
    let house = House::new().await;
    assert_eq!(house.told(&house.token("bob", "b", Proof::Old), BERLIN).await, "200");
    assert_eq!(house.told(&house.token("alice", "a", Proof::Old), TOKYO).await, "200");
    assert_eq!(house.told(&house.token("alice", "a2", Proof::Old), BERLIN).await, "policy_forbids");
}

#[tokio::test]
async fn whoever_is_on_a_journey_is_asked_once() {
    let house = House::new().await;
    assert_eq!(house.told(&house.token("bob", "home", Proof::Old), BERLIN).await, "200");
    let away = house.token("bob", "away", Proof::Old);
    let asked = house.ask(&away, STETTIN).await;
    let challenge = asked.head.value("www-authenticate").unwrap_or_default();
    assert_eq!(asked.status(), 401, "{}", asked.text());
    assert!(challenge.contains("insufficient_user_authentication"), "{challenge}");
    // They prove a second factor, and the place is theirs.
    assert_eq!(house.told(&house.token("bob", "away", Proof::Code), STETTIN).await, "200");
    assert_eq!(house.told(&house.token("bob", "later", Proof::Old), STETTIN).await, "200");
    let medium = json!({
        "score": 35, "level": "medium", "reasons": [reason("new_country", 25), reason("new_network", 10)],
    });
    assert_eq!(house.risks(STETTIN, 3).await, [medium.clone(), medium, Value::Null]);
}

#[tokio::test]
async fn a_security_key_halves_what_came_before_it() {
    let house = House::new().await;
    assert_eq!(house.told(&house.token("bob", "home", Proof::Old), BERLIN).await, "200");
    assert_eq!(house.told(&house.token("bob", "away", Proof::Old), TOKYO).await, "policy_forbids");
    assert_eq!(house.told(&house.token("bob", "away", Proof::Key), TOKYO).await, "200");
    let risks = house.risks(TOKYO, 2).await;
    assert_eq!((&risks[1]["score"], &risks[1]["level"]), (&json!(48), &json!("medium")), "{risks:?}");
    assert_eq!(risks[1]["reasons"][3], reason("proved", 0));
}

/// Whoever tries tokens that are none makes their own address odd, and nobody else.
#[tokio::test]
async fn tokens_that_are_none_count_at_their_address() {
    let house = House::new().await;
    for _ in 0..5 {
        assert_eq!(house.told("no.token.atall", BERLIN).await, "invalid_credential");
    }
    assert_eq!(house.told(&house.token("bob", "home", Proof::Old), BERLIN).await, "200");
    assert_eq!(house.told(&house.token("alice", "home", Proof::Old), STETTIN).await, "200");
    let failures =
        json!({"score": 20, "level": "low", "reasons": [reason("failures", 20), reason("learning", 0)]});
    assert_eq!(house.risks(BERLIN, 6).await.pop(), Some(failures));
    assert_eq!(house.risks(STETTIN, 1).await, [Value::Null]);
}
