//! Other policies are in force.

use crate::house::{CHANGED, House, KINDS, POLICY, all_end, all_go_on};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_other_policies_forbid_ends_and_what_they_allow_goes_on() {
    let house = House::new(|_| {}).await;
    let (alice, bob) =
        (house.hire("alice", &["engineer"]).await, house.hire("bob", &["engineer", "lead"]).await);
    let (hers, his) = (house.token(&alice), house.token(&bob));
    let (gone, stays) = (house.open_all(&hers).await, house.open_all(&his).await);
    // Whatever is refused changes nothing.
    assert_eq!(house.write_policies("permit (principal is Nobody, action, resource);").await, 422);
    let forbid = r#"@id("leads.only") forbid (principal is User, action, resource)
        unless { principal in Role::"lead" };"#;
    assert_eq!(house.write_policies(&format!("{POLICY}{forbid}")).await, 200);
    all_end(gone, CHANGED).await;
    house.is_refused(&hers, "policy_forbids").await;
    let events = house.withdrawn(KINDS.len()).await;
    for event in &events {
        let block = &event["unmapped"]["doorward"];
        assert_eq!(block["ending"]["because"], "policies", "{event}");
        assert_eq!(block["decision"]["determining"], serde_json::json!(["leads.only"]), "{event}");
        assert_eq!(event["actor"]["user"]["uid"], "demo:alice", "{event}");
    }
    all_go_on(stays).await;
}
