//! A kept connection between two requests belongs to whoever asked last, until the next one asks.

use std::time::Duration;

use doorward_demo::apps::{Pace, SampleApp};
use doorward_tests::company::{Company, bearer, sample};
use doorward_tests::h1::{H1, Piece, request};
use doorward_tests::wire::Ending;

#[tokio::test]
async fn a_receipt_does_not_wait_for_what_another_does_on_the_same_connection() {
    let pace = Pace { tick: Duration::from_millis(20), ..Pace::default() };
    let app = sample(SampleApp::Build, pace).await;
    let (issuer, gateway) = Company::new(app).await.start().await;
    let (bob, dana) = (bearer(&issuer.token("bob")), bearer(&issuer.token("dana")));
    let mut client = H1::connect(gateway.address()).await;
    let answer = client.ask("GET", "build.test", "/", &[("authorization", &bob)]).await;
    assert_eq!(answer.status(), 200);
    let path = "/artifact?every_millis=20";
    client.send(request("GET", "build.test", path, &[("authorization", &dana)], b"")).await;
    let mut download = client.streaming("GET").await;
    assert!(matches!(download.next().await, Piece::Bytes(_)));
    let receipt = gateway.revoke("user", "demo:bob").await;
    assert_eq!((receipt["remaining"].as_u64(), receipt["ended"]["http1"].as_u64()), (Some(0), Some(0)));
    for _ in 0..5 {
        assert!(matches!(download.next().await, Piece::Bytes(_)), "it is not bob's");
    }
    let receipt = gateway.revoke("user", "demo:dana").await;
    assert_eq!((receipt["remaining"].as_u64(), receipt["ended"]["http1"].as_u64()), (Some(0), Some(1)));
    while let Piece::Bytes(_) = download.next().await {}

    // Between requests it ends with its owner, and nobody waits for that.
    let auth = bearer(&issuer.token_of("carol"));
    let mut resting = H1::connect(gateway.address()).await;
    assert_eq!(resting.ask("GET", "build.test", "/", &[("authorization", &auth)]).await.status(), 200);
    let receipt = gateway.revoke("user", "demo:carol").await;
    assert_eq!(receipt["remaining"], 0, "{receipt}");
    assert_ne!(resting.drain(Duration::from_secs(10)).await.1, Ending::StillOpen);
}
