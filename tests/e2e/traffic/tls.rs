//! TLS from the client: the protocol by ALPN, the certificate by name, names that nobody has, and
//! certificates that are replaced while connections run.

use std::net::SocketAddr;
use std::path::Path;

use doorward_demo::apps::{Pace, SampleApp};
use doorward_tests::company::{Company, bearer, sample};
use doorward_tests::gateway::Signal;
use doorward_tests::h1::H1;
use doorward_tests::h2::H2;
use doorward_tests::raw::RawUpstream;
use doorward_tests::tls::{Authority, Hello};
use doorward_tests::wire::{until, within};
use doorward_tests::ws::{Next, Ws};
use serde_json::json;

/// Writes a pair and answers the table `[[listen.certificate]]`.
fn pair(authority: &Authority, folder: &Path, name: &str, names: &[&str]) -> serde_json::Value {
    let (chain, key) = authority.certificate(names).write(folder, name);
    json!({"chain": chain, "key": key})
}

/// The protocol that was chosen, or the alert that refused the handshake.
async fn shake(authority: &Authority, at: SocketAddr, name: &str, offer: &[&str]) -> Result<String, String> {
    match authority.try_connect(at, &Hello::new(name, offer)).await {
        Ok(stream) => {
            let chosen = stream.get_ref().1.alpn_protocol().unwrap_or_default();
            Ok(String::from_utf8_lossy(chosen).into_owned())
        }
        Err(e) => Err(e.to_string()),
    }
}

#[tokio::test]
async fn certificates_go_by_name_and_protocols_by_alpn() {
    let upstream = RawUpstream::ok().await;
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(), Authority::new());
    let mut company = Company::new(upstream.address()).await;
    company.engineering("wild", upstream.address(), json!({"hosts": ["a.wild.test", "b.wild.test"]}));
    let certificates = json!([
        pair(&ours, folder.path(), "one", &["build.test", "wiki.test"]),
        pair(&theirs, folder.path(), "two", &["payroll.test"]),
        pair(&ours, folder.path(), "wild", &["*.wild.test"]),
    ]);
    company
        .config
        .add("listen", json!({"certificate": certificates}))
        .add("listen", json!({"certificate": certificates, "protocols": ["h1"]}))
        .add("listen", json!({"certificate": certificates, "protocols": ["h2"]}));
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let (both, only_h1, only_h2) = (gateway.listener(1), gateway.listener(2), gateway.listener(3));

    for (at, offer, chosen) in [
        (both, &["h2", "http/1.1"][..], "h2"),
        (both, &["http/1.1"], "http/1.1"),
        (both, &[], ""),
        (only_h1, &["h2", "http/1.1"], "http/1.1"),
        (only_h2, &["h2", "http/1.1"], "h2"),
    ] {
        assert_eq!(shake(&ours, at, "build.test", offer).await, Ok(chosen.to_owned()), "{offer:?}");
    }
    for (at, offer) in [(only_h2, &["http/1.1"][..]), (only_h1, &["h2"])] {
        assert!(shake(&ours, at, "build.test", offer).await.is_err(), "{offer:?}");
    }

    // Each name has its own certificate: our client trusts one authority alone.
    for (authority, name, good) in [
        (&ours, "build.test", true),
        (&ours, "WIKI.test", true),
        (&ours, "payroll.test", false),
        (&theirs, "payroll.test", true),
        (&ours, "a.wild.test", true),
        (&ours, "b.wild.test", true),
    ] {
        assert_eq!(shake(authority, both, name, &["h2"]).await.is_ok(), good, "{name}");
    }
    // A wildcard is one label; a name that nobody has, and none at all, are refused by the server.
    for name in ["a.b.wild.test", "wild.test", "unknown.test", "127.0.0.1"] {
        let refused = shake(&ours, both, name, &["h2"]).await.unwrap_err();
        assert!(refused.contains("alert"), "{name}: the server must refuse, not the client: {refused}");
    }

    let fields = [("authorization", auth.as_str())];
    let mut h1 = H1::connect_tls(both, &ours, "build.test").await;
    assert_eq!(h1.ask("GET", "build.test", "/", &fields).await.status(), 200);
    let h2 = H2::connect_tls(both, &ours, "a.wild.test").await;
    assert_eq!(h2.get("a.wild.test", "/", &fields).await.status, 200);
    // The host is the one of the handshake; a connection is not shared between names.
    let wrong = h2.get("build.test", "/", &fields).await;
    assert_eq!((wrong.status, wrong.header("x-doorward-refusal").as_deref()), (421, Some("misdirected")));
    let wrong = h1.ask("GET", "wiki.test", "/", &fields).await;
    assert_eq!(wrong.status(), 421);
    // Only HTTP/2 means only HTTP/2, with or without ALPN.
    let silent = ours.try_connect(only_h2, &Hello::new("build.test", &[])).await;
    if let Ok(stream) = silent {
        let mut client = H1::over(Box::new(stream));
        let answer = client.try_ask("GET", "build.test", "/", &fields).await;
        let answered = answer.is_some_and(|answer| answer.status() == 200);
        assert!(!answered, "HTTP/1.1 was spoken on a listener for HTTP/2 only");
    }
}

#[tokio::test]
async fn certificates_are_replaced_and_open_connections_do_not_notice() {
    let app = sample(SampleApp::Build, Pace::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let (first, second, third) = (Authority::new(), Authority::new(), Authority::new());
    let mut company = Company::new(app).await;
    let (chain, key) = first.certificate(&["build.test"]).write(folder.path(), "c");
    company.config.listen_tls(&chain, &key);
    let (issuer, gateway) = company.start().await;
    let at = gateway.listener(1);
    let auth = bearer(&issuer.token("bob"));
    let fields = [("authorization", auth.as_str())];
    let mut h1 = H1::connect_tls(at, &first, "build.test").await;
    let h2 = H2::connect_tls(at, &first, "build.test").await;
    let mut ws = Ws::open_tls(at, &first, "build.test", "/logs?every_millis=0", &fields).await.unwrap();
    ws.until("build log for").await;
    assert_eq!(h1.ask("GET", "build.test", "/", &fields).await.status(), 200);

    // A file changes: new handshakes get the new certificate.
    second.certificate(&["build.test"]).write(folder.path(), "c");
    trusted(&second, at).await;
    assert!(shake(&first, at, "build.test", &["h2"]).await.is_err());

    // A broken pair is loud, and the good one stays.
    let good = std::fs::read_to_string(&chain).unwrap();
    std::fs::write(&chain, "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n").unwrap();
    gateway.wait_log("a certificate cannot be served; the old ones stay").await;
    assert!(gateway.log().contains(&chain.display().to_string()), "{}", gateway.log());
    assert!(shake(&second, at, "build.test", &["h2"]).await.is_ok());
    std::fs::write(&chain, good).unwrap();

    // SIGHUP reads them again, whatever the files say.
    let reads = || gateway.log().matches("certificates were read again").count();
    let before = reads();
    gateway.signal(Signal::SIGHUP);
    until("SIGHUP to be obeyed", || {
        (gateway.log().contains("loading files again") && reads() > before).then_some(())
    })
    .await;
    third.certificate(&["build.test"]).write(folder.path(), "c");
    gateway.signal(Signal::SIGHUP);
    trusted(&third, at).await;

    // What was open before all of that still works.
    assert_eq!(h1.ask("GET", "build.test", "/", &fields).await.status(), 200);
    assert_eq!(h2.get("build.test", "/", &fields).await.status, 200);
    assert!(ws.send("still here").await);
    assert_eq!(ws.next().await, Next::Text("echo: still here".into()));
}

/// Waits until the gateway shows a certificate of this authority.
async fn trusted(authority: &Authority, at: SocketAddr) {
    within("the new certificate", async {
        while shake(authority, at, "build.test", &["h2"]).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}
