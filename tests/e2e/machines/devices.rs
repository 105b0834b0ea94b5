//! Devices that tokens name: what the directory says of them counts, and whoever comes with a blocked one is out.

use std::time::Duration;

use doorward_servers::Port;
use doorward_tests::gateway::Gateway;
use doorward_tests::live::{Kind, Site, Via};
use doorward_tests::wire::within;
use serde_json::{Value, json};

use crate::client::{Provider, listen};
use crate::hand::said;
use crate::house::{House, of_person, person};

/// A token says in which second it was made, and counts as made before whatever happened in that second.
const NEXT_SECOND: Duration = Duration::from_millis(1100);

const POLICY: &str = r#"
@id("safe") permit (principal is User, action, resource == Route::"wiki/role")
when { context.device.managed && context.device.compliant && context.device.known };
@id("any") permit (principal is User, action, resource == Route::"wiki/group");
"#;

async fn house() -> (House, tempfile::TempDir) {
    let policies = tempfile::tempdir().unwrap();
    let schema = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/schema.cedarschema");
    std::fs::copy(schema, policies.path().join("schema.cedarschema")).unwrap();
    std::fs::write(policies.path().join("all.cedar"), POLICY).unwrap();
    let house = House::new(|config| {
        config.set("policy.dir", json!(policies.path()));
    })
    .await;
    house.write(vec![of_person(&person(1, "alice")), of_person(&person(2, "bob"))]).await;
    (house, policies)
}

/// A token of somebody on alice's laptop, of which its issuer says nothing.
fn token(house: &House, name: &str) -> String {
    let claims = json!({
        "sub": name, "device_id": "alice-laptop", "device_managed": null, "device_compliant": null, "act": null,
    });
    house.people.token_but("bob", &claims)
}

async fn device(gateway: &Gateway) -> Value {
    let answer = gateway.api("GET", "/api/v1/devices/alice-laptop", None).await;
    serde_json::from_str(&answer.text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_of_a_device_counts_with_the_next_request_and_for_its_owner_alone() {
    let (house, _policies) = house().await;
    let gateway = &house.gateway;
    let (mut alice, mut bob) =
        (house.visit(&token(&house, "alice")).await, house.visit(&token(&house, "bob")).await);
    alice.comes_to("/group", "200").await;
    bob.comes_to("/group", "200").await;
    assert_eq!(alice.told("/role").await, "no_permit", "nobody vouches for it");
    let add = [
        "device",
        "add",
        "alice-laptop",
        "--name",
        "A laptop",
        "--owner",
        "alice",
        "--platform",
        "macos",
        "--managed",
        "--compliant",
    ];
    assert!(said(gateway, 0, &add).await.contains("Registered alice-laptop"));
    assert_eq!(alice.told("/role").await, "200", "the same token on the same connection");
    assert_eq!(bob.told("/role").await, "no_permit", "it vouches for nobody else");
    assert_eq!(bob.told("/group").await, "200");
    let listed = said(gateway, 0, &["device", "list", "--owner", "alice"]).await;
    assert!(listed.contains("alice-laptop  A laptop  macos     compliant   no"), "{listed}");
    said(gateway, 0, &["device", "say", "alice-laptop", "--managed", "--not-compliant"]).await;
    assert_eq!(alice.told("/role").await, "no_permit");
    said(gateway, 0, &["device", "say", "alice-laptop", "--managed", "--compliant", "--hours", "1"]).await;
    assert_eq!(alice.told("/role").await, "200");
    said(gateway, 0, &["device", "assign", "alice-laptop", "bob"]).await;
    assert_eq!(bob.told("/role").await, "no_permit", "what was said was said of hers");
    said(gateway, 0, &["device", "say", "alice-laptop", "--managed", "--compliant"]).await;
    assert_eq!((alice.told("/role").await, bob.told("/role").await), ("no_permit".into(), "200".into()));
    assert_eq!((alice.connections, bob.connections), (1, 1));
    assert_eq!(device(gateway).await["posture"]["source"], "operator");
    said(gateway, 1, &add).await;
    said(gateway, 1, &["device", "show", "no-such-device"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_with_a_device_ends_when_less_is_said_of_it() {
    let (intake, policies) = (Port::take(), tempfile::tempdir().unwrap());
    let schema = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/schema.cedarschema");
    std::fs::copy(schema, policies.path().join("schema.cedarschema")).unwrap();
    let policy =
        "@id(\"safe\") permit (principal is User, action, resource) when { context.device.compliant };";
    std::fs::write(policies.path().join("all.cedar"), policy).unwrap();
    let site = Site::start(Duration::from_millis(20), |config| {
        listen(config, &intake);
        // Nothing ends because it is time.
        config.set("policy.dir", json!(policies.path())).set("streams.review_seconds", json!(3600));
    })
    .await;
    let gateway = &site.gateway;
    Provider::connect(gateway, &intake, "okta").await.hire("alice").await;
    let claims = json!({"sub": "alice", "device_id": "alice-laptop", "device_managed": null, "device_compliant": null});
    let token = site.issuer.token_but("bob", &claims);
    said(gateway, 0, &["device", "add", "alice-laptop", "--name", "L", "--owner", "alice", "--compliant"])
        .await;
    for less in
        [&["device", "say", "alice-laptop", "--not-compliant"][..], &["device", "assign", "alice-laptop"]]
    {
        said(gateway, 0, &["device", "say", "alice-laptop", "--compliant"]).await;
        let live = site.open(Kind::WsTicking, Via::Plain, &token).await.unwrap();
        live.wait_units(3).await;
        said(gateway, 0, less).await;
        let ended = within("the stream to end", live.ended()).await;
        assert!(Kind::WsTicking.is_cut_off_by(&ended.how), "{less:?}: {:?}", ended.how);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_with_a_blocked_device_is_out_until_it_is_unblocked_and_they_sign_in_anew() {
    let (house, _policies) = house().await;
    let gateway = &house.gateway;
    let (mut alice, mut bob) =
        (house.visit(&token(&house, "alice")).await, house.visit(&token(&house, "bob")).await);
    let mut elsewhere = house.visit(&house.people.token_of("alice2")).await;
    alice.comes_to("/group", "200").await;
    said(gateway, 0, &["device", "add", "alice-laptop", "--name", "A laptop", "--owner", "alice"]).await;
    let text = said(gateway, 0, &["device", "block", "alice-laptop", "--cause", "stolen"]).await;
    assert!(text.contains("Blocked alice-laptop") && text.contains("of device alice-laptop"), "{text}");
    // The connection on which somebody came with it is cut, too.
    alice.comes_to("/group", "disabled").await;
    bob.comes_to("/group", "disabled").await;
    assert_eq!(elsewhere.told("/group").await, "unknown_principal", "another device is not concerned");
    assert_eq!(device(gateway).await["blocked"]["cause"], "stolen");
    said(gateway, 0, &["device", "unblock", "alice-laptop"]).await;
    alice.comes_to("/group", "revoked").await;
    tokio::time::sleep(NEXT_SECOND).await;
    assert_eq!(house.visit(&token(&house, "alice")).await.told("/group").await, "200");
    let removed = said(gateway, 0, &["device", "remove", "alice-laptop"]).await;
    assert!(removed.contains("Removed alice-laptop"), "{removed}");
    assert_eq!(said(gateway, 0, &["device", "list"]).await.trim(), "no device");
}
