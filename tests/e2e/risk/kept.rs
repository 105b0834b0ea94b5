//! What was learned outlives the process.

use std::time::Duration;

use doorward_tests::gateway::Signal;
use doorward_tests::wire::within;

use crate::house::{BERLIN, House, Proof, TOKYO};

#[tokio::test]
async fn what_was_learned_is_known_after_a_restart() {
    let mut house = House::new().await;
    assert_eq!(house.told(&house.token("bob", "home", Proof::Old), BERLIN).await, "200");
    house.gateway = house.gateway.restart(Signal::SIGTERM).await;
    // A store that is slow to answer makes nothing of this; then it is asked again.
    let stolen = house.token("bob", "stolen", Proof::Old);
    within("bob's history to be read", async {
        while house.told(&stolen, TOKYO).await != "policy_forbids" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    assert_eq!(
        house.told(&house.token("alice", "a", Proof::Old), TOKYO).await,
        "200",
        "nothing is known of her"
    );
}
