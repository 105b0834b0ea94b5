//! The listener: TLS, who may come, and what is refused before anything is read.

use doorward_demo::apps::{Pace, SampleApp};
use doorward_servers::Port;
use doorward_tests::company::{Company, sample};
use doorward_tests::h1::{H1, ask};
use doorward_tests::tls::Authority;
use serde_json::json;

use crate::client::{House, Provider};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_tls_the_token_crosses_the_network_unread_and_answers_say_https() {
    let (authority, folder, intake) = (Authority::new(), tempfile::tempdir().unwrap(), Port::take());
    let (chain, key) = authority.certificate(&["scim.test"]).write(folder.path(), "scim");
    let mut company = Company::new(sample(SampleApp::Wiki, Pace::default()).await).await;
    company.config.set(
        "intake",
        json!({"address": intake.address().to_string(), "certificate": [{"chain": chain, "key": key}]}),
    );
    let (_issuer, gateway) = company.start().await;
    let provider = Provider::connect(&gateway, &intake, "okta").await;
    let mut client = H1::connect_tls(intake.address(), &authority, "scim.test").await;
    client.send(provider.request("GET", "/ServiceProviderConfig", None)).await;
    let config = client.response("GET").await;
    assert_eq!(config.status(), 200);
    let location = config.json()["meta"]["location"].as_str().unwrap().to_owned();
    assert_eq!(location, "https://scim.test/scim/v2/ServiceProviderConfig");
    let mut plain = H1::connect(intake.address()).await;
    plain.send(provider.request("GET", "/Users", None)).await;
    assert!(plain.try_response("GET").await.is_none(), "nobody is answered without TLS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_the_operators_token_nor_a_revoked_one_opens_it() {
    let house = House::new().await;
    let gateway = &house.site.gateway;
    let provider = Provider::connect(gateway, &house.intake, "okta").await;
    assert_eq!(provider.ask("GET", "/Users", None).await.status(), 200);
    for token in [gateway.token(), "dwscim_x", &house.site.issuer.token_of("bob")] {
        let stranger = Provider { address: provider.address, token: token.to_owned() };
        assert_eq!(stranger.ask("GET", "/Users", None).await.status(), 401);
    }
    let rotated = gateway.api("POST", "/api/v1/connections/okta/rotate", Some(&json!({}))).await;
    assert_eq!(rotated.status, 200, "{}", rotated.text);
    let rotated: serde_json::Value = serde_json::from_str(&rotated.text).unwrap();
    let new = Provider { address: provider.address, token: rotated["token"].as_str().unwrap().to_owned() };
    let old = rotated["tokens"][0]["name"].as_str().unwrap();
    let revoked =
        gateway.api("DELETE", &format!("/api/v1/connections/okta/tokens/{old}"), Some(&json!({}))).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text);
    assert_eq!(provider.ask("GET", "/Users", None).await.status(), 401);
    assert_eq!(new.ask("GET", "/Users", None).await.status(), 200);
    // Other listeners know nothing of it, and it knows nothing of theirs.
    assert_ne!(ask(gateway.address(), "GET", "scim.test", "/scim/v2/Users", &[]).await.status(), 200);
    assert_eq!(ask(provider.address, "GET", "scim.test", "/api/v1/status", &[]).await.status(), 401);
    for text in [gateway.log(), format!("{:?}", gateway.events())] {
        assert!(!text.contains(&provider.token) && !text.contains(&new.token), "a token was written down");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_knocks_keeps_no_provider_out() {
    let house = House::new().await;
    let provider = Provider::connect(&house.site.gateway, &house.intake, "okta").await;
    // A connection that has shown its token, and goes on being used while others crowd in.
    let mut kept = H1::connect(provider.address).await;
    let mut ask = async || {
        kept.send(provider.request("GET", "/ServiceProviderConfig", None)).await;
        kept.response("GET").await.status()
    };
    assert_eq!(ask().await, 200);
    let mut crowd = Vec::new();
    for _ in 0..400 {
        crowd.push(tokio::net::TcpStream::connect(provider.address).await.unwrap());
    }
    assert_eq!(ask().await, 200);
    assert_eq!(provider.ask("GET", "/Users", None).await.status(), 200, "the newest is served");
    drop(crowd);
}
