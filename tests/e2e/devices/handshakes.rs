//! What a handshake takes, and what goes on from one connection to the next.

use doorward_tests::devices::{DeviceAuthority, H1, H2, Speaks, ends_after, shake};
use doorward_tests::h2;
use rcgen::ExtendedKeyUsagePurpose;
use rustls::HandshakeKind;
use rustls::version::TLS12;

use crate::door::{ANY, Door, PROVED};

/// HTTP/1.1 over TLS 1.2.
const OLD: Speaks<'static> = Speaks { protocols: &["http/1.1"], versions: &[&TLS12] };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_proves_nothing_ends_the_handshake() {
    let door = Door::new().await;
    let others = DeviceAuthority::new("somebody else's devices");
    let usage = |usages: Vec<ExtendedKeyUsagePurpose>| {
        door.devices.certificate_but("laptop-7", |params| params.extended_key_usages = usages)
    };
    let revoked = door.devices.certificate("laptop-9");
    door.lists(&door.devices.list(&[&revoked], 3600)).await;
    for (what, certificate, told) in [
        ("a good one", door.devices.certificate("laptop-7"), "200"),
        (
            "one that has ended",
            door.devices.certificate_but("laptop-7", |params| ends_after(params, -60)),
            "no handshake",
        ),
        ("one of another authority", others.certificate("laptop-7"), "no handshake"),
        ("one that it made itself", door.devices.self_made("laptop-7"), "no handshake"),
        ("one for servers", usage(vec![ExtendedKeyUsagePurpose::ServerAuth]), "no handshake"),
        ("one for nothing in particular", usage(Vec::new()), "no handshake"),
        ("one that is revoked", revoked, "no handshake"),
    ] {
        for speaks in [H1, OLD] {
            let client = certificate.client(&door.servers, speaks);
            assert_eq!(door.told(&client, "alice", "wiki.test", PROVED).await, told, "{what}");
        }
    }
    assert_eq!(door.told(&door.stranger(H1), "alice", "wiki.test", ANY).await, "200", "nobody must have one");
    door.gateway().wait_log("a client certificate was refused in the handshake").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_resumed_comes_from_the_same_device() {
    let door = Door::new().await;
    for speaks in [H1, OLD] {
        let client = door.devices.certificate("laptop-7").client(&door.servers, speaks);
        let mut first = door.visit(&client, "wiki.test").await.unwrap();
        assert!(!first.resumed);
        assert_eq!(first.told(&door.token("alice"), PROVED).await, "200");
        let mut second = door.visit(&client, "wiki.test").await.unwrap();
        assert!(second.resumed, "the gateway resumes");
        assert_eq!(second.told(&door.token("alice"), PROVED).await, "200");
        // Whoever had none has none when they come again.
        let client = door.stranger(speaks);
        door.visit(&client, "wiki.test").await.unwrap().told(&door.token("alice"), ANY).await;
        let mut again = door.visit(&client, "wiki.test").await.unwrap();
        assert!(again.resumed);
        assert_eq!(again.told(&door.token("alice"), PROVED).await, "no_permit");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_of_one_host_opens_no_other() {
    let door = Door::new().await;
    let token = door.token("alice");
    let fields = [("authorization", token.as_str())];
    for client in [door.stranger(H2), door.devices.certificate("laptop-7").client(&door.servers, H2)] {
        let stream = shake(&client, door.address(), "wiki.test").await.unwrap();
        let h2 = h2::H2::over(Box::new(stream), "https").await;
        assert_eq!(h2.get("wiki.test", ANY, &fields).await.status, 200);
        // The certificate of the servers has both names, so a browser may try (RFC 9113 §9.1.1).
        let misdirected = h2.get("vault.test", "/", &fields).await;
        assert_eq!(misdirected.status, 421);
        assert_eq!(misdirected.header("x-doorward-refusal").as_deref(), Some("misdirected"));
        assert_eq!(h2.get("wiki.test", ANY, &fields).await.status, 200, "the connection goes on");
    }
    let client = door.devices.certificate("laptop-7").client(&door.servers, H2);
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let stream = shake(&client, door.address(), "vault.test").await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected));
        let h2 = h2::H2::over(Box::new(stream), "https").await;
        assert_eq!(h2.get("vault.test", "/", &fields).await.status, 200);
    }
}
