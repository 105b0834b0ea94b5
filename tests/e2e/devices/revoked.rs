//! A certificate is revoked while it is in use.

use std::time::Duration;

use doorward_tests::devices::{H1, shake};
use doorward_tests::h1::{self, Piece};
use doorward_tests::wire::{until, within};

use crate::door::{ANY, Door, PROVED};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_revoked_is_out_on_every_connection_also_on_one_that_is_resumed() {
    let door = Door::new().await;
    let (lost, kept) = (door.devices.certificate("laptop-7"), door.devices.certificate("laptop-8"));
    let (of_lost, of_kept) = (door.client(&lost), door.client(&kept));
    let alice = door.token("alice");
    let mut open = door.visit(&of_lost, "wiki.test").await.unwrap();
    let mut others = door.visit(&of_kept, "wiki.test").await.unwrap();
    assert_eq!(open.told(&alice, PROVED).await, "200");
    assert_eq!(others.told(&alice, PROVED).await, "200");
    door.lists(&door.devices.list(&[&lost], 3600)).await;
    assert_eq!(open.told(&alice, PROVED).await, "device_certificate");
    assert_eq!(door.told(&of_lost, "alice", "open.test", "/").await, "no handshake");
    let mut resumed = door.visit(&of_lost, "wiki.test").await.unwrap();
    assert!(resumed.resumed, "nobody looks at the list in this handshake");
    assert_eq!(resumed.told(&alice, ANY).await, "device_certificate");
    assert_eq!(others.told(&alice, PROVED).await, "200");
    // Of a list that cannot be read nothing is taken.
    door.lists("nonsense").await;
    assert!(door.gateway().log().contains("a certificate cannot be served; the old ones stay"));
    assert_eq!(
        door.visit(&of_lost, "wiki.test").await.unwrap().told(&alice, ANY).await,
        "device_certificate"
    );
    assert_eq!(others.told(&alice, PROVED).await, "200");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_ends_with_the_certificate() {
    let door = Door::with(|config, _| {
        // Nothing ends because it is time.
        config.set("streams.review_seconds", serde_json::json!(3600));
    })
    .await;
    let (lost, kept) = (door.devices.certificate("laptop-7"), door.devices.certificate("laptop-8"));
    let mut streams = Vec::new();
    for certificate in [&lost, &kept] {
        let shown = door.client(certificate);
        let stream = shake(&shown, door.address(), "vault.test").await.unwrap();
        let mut client = h1::H1::over(Box::new(stream));
        let token = door.token("alice");
        let fields = [("authorization", token.as_str()), ("accept", "text/event-stream")];
        client.send(h1::request("GET", "vault.test", "/events", &fields, b"")).await;
        let mut stream = client.streaming("GET").await;
        assert_eq!(stream.head.status(), Some(200));
        stream.until("data: 1").await;
        streams.push(stream);
    }
    door.lists(&door.devices.list(&[&lost], 3600)).await;
    assert_eq!(within("the stream of the lost device to end", streams[0].next()).await, Piece::CutOff);
    let withdrawn = until("the end to be recorded", || {
        door.gateway()
            .events()
            .into_iter()
            .find(|event| event.to_string().contains("access.exchange.withdrawn"))
    });
    let withdrawn = withdrawn.await.to_string();
    assert!(
        withdrawn.contains("\"certificates\"") && withdrawn.contains("device_certificate"),
        "{withdrawn}"
    );
    assert_eq!(streams[1].next_within(Duration::from_millis(300)).await, None, "the other one goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_list_that_is_out_of_date_no_certificate_stands() {
    let door = Door::new().await;
    let client = door.client(&door.devices.certificate("laptop-7"));
    let alice = door.token("alice");
    let mut open = door.visit(&client, "wiki.test").await.unwrap();
    assert_eq!(open.told(&alice, PROVED).await, "200");
    door.lists(&door.devices.list(&[], -60)).await;
    door.gateway().wait_log("a revocation list is out of date: no device comes in with a certificate").await;
    assert_eq!(open.told(&alice, PROVED).await, "device_certificate");
    let fresh = door.client(&door.devices.certificate("laptop-8"));
    assert_eq!(door.told(&fresh, "alice", "wiki.test", ANY).await, "no handshake");
    assert_eq!(door.told(&door.stranger(H1), "alice", "wiki.test", ANY).await, "200");
    assert_eq!(door.told(&door.stranger(H1), "alice", "vault.test", "/").await, "device_certificate");
    door.lists(&door.devices.list(&[], 3600)).await;
    assert_eq!(open.told(&alice, PROVED).await, "200");
}
