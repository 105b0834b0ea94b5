//! What a certificate proves of whom, at which app.

use doorward_tests::devices::H1;
use serde_json::json;

use crate::door::{ANY, Door, PROVED, SAFE};
use crate::hand::said;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_proves_the_device_and_vouches_for_its_owner_alone() {
    let door = Door::new().await;
    let client = door.client(&door.devices.certificate("laptop-7"));
    let told = |who: &'static str, path: &'static str| door.told(&client, who, "wiki.test", path);
    assert_eq!(told("alice", PROVED).await, "200", "nobody registered it, and it is proved");
    assert_eq!(told("alice", SAFE).await, "no_permit");
    door.register("laptop-7", &[]).await;
    assert_eq!(told("alice", SAFE).await, "200");
    assert_eq!(told("bob", PROVED).await, "200");
    assert_eq!(told("bob", SAFE).await, "no_permit", "it is alice's");
    said(door.gateway(), 0, &["device", "assign", "laptop-7", "bob"]).await;
    said(door.gateway(), 0, &["device", "say", "laptop-7", "--managed", "--compliant"]).await;
    assert_eq!((told("alice", SAFE).await, told("bob", SAFE).await), ("no_permit".into(), "200".into()));
    said(door.gateway(), 0, &["device", "block", "laptop-7"]).await;
    assert_eq!(told("bob", ANY).await, "disabled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_device_of_the_certificate_counts_and_the_one_of_the_token_must_not_be_cut_off() {
    let door = Door::new().await;
    door.register("laptop-7", &[]).await;
    door.register("laptop-8", &[]).await;
    said(door.gateway(), 0, &["device", "say", "laptop-7", "--not-compliant"]).await;
    let claims = json!({"sub": "alice", "device_id": "laptop-8", "device_managed": true, "device_compliant": true,
        "act": null});
    let token = doorward_tests::company::bearer(&door.house.people.token_but("bob", &claims));
    let client = door.client(&door.devices.certificate("laptop-7"));
    let mut visit = door.visit(&client, "wiki.test").await.unwrap();
    assert_eq!(visit.told(&token, PROVED).await, "200");
    assert_eq!(
        visit.told(&token, SAFE).await,
        "no_permit",
        "what is said of laptop-8 is not said of laptop-7"
    );
    said(door.gateway(), 0, &["device", "say", "laptop-7", "--managed", "--compliant"]).await;
    assert_eq!(visit.told(&token, SAFE).await, "200");
    said(door.gateway(), 0, &["device", "block", "laptop-8"]).await;
    assert_eq!(door.visit(&client, "wiki.test").await.unwrap().told(&token, ANY).await, "disabled");
    assert_eq!(door.told(&client, "alice", "wiki.test", ANY).await, "200", "another sign-in on laptop-7");
    // What is not registered any more stays cut off.
    said(door.gateway(), 0, &["device", "remove", "laptop-8"]).await;
    assert_eq!(door.visit(&client, "wiki.test").await.unwrap().told(&token, ANY).await, "disabled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_wants_a_certificate_lets_nobody_in_without() {
    let door = Door::new().await;
    let (with, without) = (door.client(&door.devices.certificate("laptop-7")), door.stranger(H1));
    for (client, host, told) in [
        (&with, "vault.test", "200"),
        (&without, "vault.test", "device_certificate"),
        (&with, "open.test", "200"),
        (&without, "open.test", "200"),
    ] {
        assert_eq!(door.told(client, "alice", host, "/").await, told, "{host}");
    }
    // The plain address has no certificates at all.
    let mut plain = doorward_tests::h1::H1::connect(door.gateway().listener(1)).await;
    let token = door.token("alice");
    let answer = plain.ask("GET", "vault.test", "/", &[("authorization", &token)]).await;
    assert_eq!(answer.head.value("x-doorward-refusal").as_deref(), Some("device_certificate"));
    assert!(answer.text().contains("certificate of your device"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_header_says_of_a_certificate_is_not_believed_and_not_passed_on() {
    let door = Door::new().await;
    door.register("laptop-7", &[]).await;
    let certificate = door.devices.certificate("laptop-7").base64();
    let forwarded = format!("Hash={};URI=urn:doorward:device:laptop-7", "ab".repeat(32));
    let names = [
        ("x-client-cert", certificate.as_str()),
        ("x-ssl-client-cert", &certificate),
        ("ssl-client-cert", &certificate),
        ("x-ssl-client-verify", "SUCCESS"),
        ("x-ssl-client-s-dn", "CN=laptop-7"),
        ("x-tls-client-certificate", &certificate),
        ("x-forwarded-tls-client-cert", &certificate),
        ("x-forwarded-client-cert", &forwarded),
        ("x-amzn-mtls-clientcert", &certificate),
        ("x-arr-clientcert", &certificate),
        ("client-cert", &certificate),
        ("client-cert-chain", &certificate),
    ];
    let mut visit = door.visit(&door.stranger(H1), "wiki.test").await.unwrap();
    let token = door.token("alice");
    assert_eq!(visit.told_with(&token, SAFE, &names).await, "no_permit");
    assert_eq!(visit.told_with(&token, PROVED, &names).await, "no_permit");
    assert_eq!(visit.told_with(&token, ANY, &names).await, "200");
    let seen = door.house.app.wait_requests(3).await.pop().unwrap();
    assert!(seen.head.value("x-doorward-user").is_some(), "{:?}", seen.head);
    let passed: Vec<_> = names.iter().filter(|(name, _)| seen.head.value(name).is_some()).collect();
    assert!(passed.is_empty(), "{passed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_with_noted_certificates_is_proved_by_those_alone() {
    let door = Door::new().await;
    door.register("laptop-7", &[]).await;
    let nameless = door.devices.certificate_but("laptop-7", |params| params.subject_alt_names = Vec::new());
    let named = door.devices.certificate("laptop-7");
    let (by_hash, by_name) = (door.client(&nameless), door.client(&named));
    let told = |client, path: &'static str| door.told(client, "alice", "wiki.test", path);
    assert_eq!((told(&by_hash, SAFE).await, told(&by_name, SAFE).await), ("no_permit".into(), "200".into()));
    said(door.gateway(), 0, &["device", "bind", "laptop-7", &nameless.thumbprint()]).await;
    assert_eq!(told(&by_hash, SAFE).await, "200");
    assert_eq!(told(&by_name, PROVED).await, "no_permit", "it names the device, and is not one of its own");
    assert_eq!(told(&by_name, ANY).await, "200");
    // A renewal: both count, then the new one.
    said(door.gateway(), 0, &["device", "bind", "laptop-7", &named.thumbprint().to_uppercase()]).await;
    assert_eq!((told(&by_hash, SAFE).await, told(&by_name, SAFE).await), ("200".into(), "200".into()));
    said(door.gateway(), 0, &["device", "unbind", "laptop-7", &nameless.thumbprint()]).await;
    assert_eq!(
        (told(&by_hash, PROVED).await, told(&by_name, SAFE).await),
        ("no_permit".into(), "200".into())
    );
    // A certificate is of one device.
    door.register("laptop-8", &[]).await;
    let taken = said(door.gateway(), 1, &["device", "bind", "laptop-8", &named.thumbprint()]).await;
    assert!(taken.contains("laptop-7"), "{taken}");
    let wrong = said(door.gateway(), 1, &["device", "bind", "laptop-8", "abc"]).await;
    assert!(wrong.contains("64 hexadecimal digits"), "{wrong}");
}
