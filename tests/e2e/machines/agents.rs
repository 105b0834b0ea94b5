//! An agent acts for a person (RFC 8693): both must stand, and it may never more than they.

use doorward_model::directory::MachineKind;
use serde_json::{Value, json};

use crate::house::{House, machine, of_person, person, with_role};

/// Agents may do everything that policies alone can permit them; people may less.
const POLICY: &str = r#"
@id("agents") permit (principal is Agent, action, resource);
@id("people") permit (principal is User in Role::"engineer", action, resource == Route::"wiki/role");
@id("second-factor") forbid (principal is User, action, resource) unless { context.session.mfa };
"#;

/// Alice's token, in which `act` says who acts.
fn token(house: &House, act: &Value, amr: &Value) -> String {
    house.people.token_but("bob", &json!({"sub": "alice", "scope": "wiki:read", "act": act, "amr": amr}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_may_what_its_person_may_while_both_stand() {
    let policies = tempfile::tempdir().unwrap();
    let schema = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/schema.cedarschema");
    std::fs::copy(schema, policies.path().join("schema.cedarschema")).unwrap();
    std::fs::write(policies.path().join("all.cedar"), POLICY).unwrap();
    let house = House::new(|config| {
        config.set("policy.dir", json!(policies.path()));
    })
    .await;
    let copilot = machine(7, MachineKind::Agent, "demo:copilot", 2);
    house.write(vec![of_person(&person(1, "alice")), of_person(&person(2, "bob")), copilot]).await;
    let (mfa, pwd) = (json!(["pwd", "mfa"]), json!(["pwd"]));
    let mut agent = house.visit(&token(&house, &json!({"sub": "copilot"}), &mfa)).await;
    agent.comes_to("/role", "no_permit").await;
    house.write(vec![of_person(&with_role(person(1, "alice"), "engineer"))]).await;
    agent.comes_to("/role", "200").await;
    assert_eq!(agent.told("/group").await, "no_permit", "no policy permits it to her");
    // Her sign-in proved less: a rule for people holds for who acts for them.
    let mut weak = house.visit(&token(&house, &json!({"sub": "copilot"}), &pwd)).await;
    assert_eq!(weak.told("/role").await, "policy_forbids");
    // The outermost actor is who acts; nested ones decide nothing.
    for (act, told) in [
        (json!({"sub": "copilot", "act": {"sub": "nobody"}}), "200"),
        (json!({"sub": "nobody", "act": {"sub": "copilot"}}), "unknown_principal"),
        (json!({"sub": "bob"}), "unknown_principal"),
    ] {
        assert_eq!(house.visit(&token(&house, &act, &mfa)).await.told("/role").await, told, "{act}");
    }
    // An agent that stops leaves the person alone; a person who is held back takes the agent along.
    let path = "/api/v1/agents/00000000-0000-0000-0000-000000000007";
    let mut alice = house.visit(&token(&house, &Value::Null, &mfa)).await;
    assert_eq!(house.gateway.api("POST", &format!("{path}/stop"), None).await.status, 200);
    agent.comes_to("/role", "disabled").await;
    assert_eq!(alice.told("/role").await, "200");
    assert_eq!(house.gateway.api("POST", &format!("{path}/start"), None).await.status, 200);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let mut agent = house.visit(&token(&house, &json!({"sub": "copilot"}), &mfa)).await;
    assert_eq!(agent.told("/role").await, "200", "a token from after it was started");
    let alice_id = "/api/v1/users/00000000-0000-0000-0000-000000000001";
    assert_eq!(house.gateway.api("POST", &format!("{alice_id}/hold"), None).await.status, 200);
    agent.comes_to("/role", "disabled").await;
    alice.comes_to("/role", "disabled").await;
}
