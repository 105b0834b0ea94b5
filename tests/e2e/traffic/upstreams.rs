//! The apps' side: TLS with a company's own authority, several addresses of which some are dead,
//! and apps that answer nonsense, late or not at all.

use std::collections::BTreeSet;
use std::time::Duration;

use doorward_servers::Port;
use doorward_tests::company::{Company, bearer};
use doorward_tests::gateway::Gateway;
use doorward_tests::h1::{self, H1, request};
use doorward_tests::h2::{Gone, H2};
use doorward_tests::h2_upstream::{self, H2Upstream};
use doorward_tests::raw::{Answer, RawUpstream, Step};
use doorward_tests::tls::Authority;
use doorward_tests::wire::within;
use serde_json::json;

/// Waits until so many instances of an app are well.
async fn well(gateway: &Gateway, app: &str, count: f64) {
    let name = format!("doorward_upstream_instances{{app=\"{app}\",state=\"well\"}}");
    within(&format!("{count} instances of {app} to be well"), async {
        while gateway.metrics().await.get(&name) != Some(&count) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn tls_to_the_app_trusts_its_own_authority_and_name_only() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, ours.pem()).unwrap();
    let h1_certificate = |a: &Authority, name: &str| a.certificate(&[name]).acceptor(&["http/1.1"]);
    let h2_certificate = |a: &Authority, name: &str| a.certificate(&[name]).acceptor(&["h2"]);
    let good = RawUpstream::start_tls(h1_certificate(&ours, "app.internal"), |_| Answer::ok("h1")).await;
    let good_h2 =
        H2Upstream::start_tls(h2_certificate(&ours, "app.internal"), |_| h2_upstream::Answer::ok("h2")).await;
    let wrong_ca =
        RawUpstream::start_tls(h1_certificate(&theirs, "app.internal"), |_| Answer::ok("no")).await;
    let wrong_name =
        RawUpstream::start_tls(h1_certificate(&ours, "other.internal"), |_| Answer::ok("no")).await;
    let wrong_h2 =
        H2Upstream::start_tls(h2_certificate(&theirs, "app.internal"), |_| h2_upstream::Answer::ok("no"))
            .await;
    let plain = RawUpstream::ok().await;
    let mut company = Company::new(plain.address()).await;
    let tls = json!({"server_name": "app.internal", "ca_file": ca});
    for (id, address, protocol) in [
        ("good", good.address(), "h1"),
        ("good-h2", good_h2.address(), "h2"),
        ("wrong-ca", wrong_ca.address(), "h1"),
        ("wrong-name", wrong_name.address(), "h1"),
        ("wrong-h2", wrong_h2.address(), "h2"),
    ] {
        company.engineering(id, address, json!({"upstream": {"protocol": protocol, "tls": tls}}));
    }
    // Without an authority of its own an app is held to those of the system.
    let public = json!({"upstream": {"tls": {"server_name": "app.internal"}}});
    company.engineering("system", good.address(), public);
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let fields = [("authorization", auth.as_str())];
    let h2 = H2::connect(gateway.address()).await;
    for (id, expected) in [("good", "h1"), ("good-h2", "h2")] {
        for _ in 0..3 {
            let host = format!("{id}.test");
            let answer = h1::ask(gateway.address(), "GET", &host, "/", &fields).await;
            assert_eq!((answer.status(), answer.text().as_str()), (200, expected), "{id}");
            let answer = h2.get(&host, "/", &fields).await;
            assert_eq!((answer.status, answer.text().as_str()), (200, expected), "{id}");
        }
    }
    for id in ["wrong-ca", "wrong-name", "wrong-h2", "system"] {
        let answer = h1::ask(gateway.address(), "GET", &format!("{id}.test"), "/", &fields).await;
        assert_eq!(
            (answer.status(), answer.json()["code"].as_str()),
            (502, Some("upstream_unavailable")),
            "{id}"
        );
        assert!(!answer.text().contains("ertificate"), "no internals: {}", answer.text());
    }
    assert!(wrong_ca.requests().is_empty() && wrong_name.requests().is_empty());
    assert!(wrong_h2.requests().is_empty());
    assert_eq!(good.requests()[0].head.value("host").as_deref(), Some("good.test"));
}

#[tokio::test]
async fn a_dead_instance_is_passed_over_taken_out_and_taken_back() {
    // Its port stays its own while nobody listens there.
    let port = Port::take();
    let b_address = port.address();
    let a = RawUpstream::start(|_| Answer::ok("a")).await;
    let b = RawUpstream::start_at(b_address, |_| Answer::ok("b")).await;
    let mut company = Company::new(a.address()).await;
    // A check that never comes: what saves a request is the second try.
    let addresses = json!([a.address().to_string(), b_address.to_string()]);
    let never = json!({"upstream": {"addresses": addresses, "health_seconds": 3600}});
    let often = json!({"upstream": {"addresses": addresses, "health_seconds": 1}});
    company.engineering("retried", a.address(), never).engineering("checked", a.address(), often);
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let fields = [("authorization", auth.as_str())];
    let ask = async |host: &str| {
        let answer = h1::ask(gateway.address(), "GET", host, "/", &fields).await;
        assert_eq!(answer.status(), 200, "{host}: {}", answer.text());
        answer.text()
    };
    for host in ["retried.test", "checked.test"] {
        let mut seen = BTreeSet::new();
        for _ in 0..8 {
            seen.insert(ask(host).await);
        }
        assert_eq!(seen, BTreeSet::from(["a".to_owned(), "b".to_owned()]), "both are used");
    }
    well(&gateway, "checked", 2.0).await;

    b.stop();
    drop(b);
    for _ in 0..20 {
        assert_eq!(ask("retried.test").await, "a");
        assert_eq!(ask("checked.test").await, "a");
    }
    well(&gateway, "checked", 1.0).await;
    let unwell = "doorward_upstream_instances{app=\"checked\",state=\"unwell\"}";
    assert_eq!(gateway.metrics().await.get(unwell), Some(&1.0));

    let back = RawUpstream::start_at(b_address, |_| Answer::ok("b")).await;
    well(&gateway, "checked", 2.0).await;
    let mut seen = BTreeSet::new();
    for _ in 0..8 {
        seen.insert(ask("checked.test").await);
    }
    assert_eq!(seen.len(), 2, "the one that came back is used again");
    assert!(back.connections() > 0);
}

#[tokio::test]
async fn an_instance_that_fails_its_check_gets_no_requests() {
    let script = |health: &'static str, body: &'static str| {
        move |head: &doorward_tests::raw::Head| match head.target().as_str() {
            "/healthz" => Answer::bytes(format!("HTTP/1.1 {health}\r\ncontent-length: 0\r\n\r\n")),
            _ => Answer::ok(body),
        }
    };
    let good = RawUpstream::start(script("204 No Content", "good")).await;
    let ill = RawUpstream::start(script("503 Ill", "ill")).await;
    let addresses = json!([good.address().to_string(), ill.address().to_string()]);
    let mut company = Company::new(good.address()).await;
    company.engineering(
        "some",
        good.address(),
        json!({"upstream": {"addresses": addresses, "health_path": "/healthz", "health_seconds": 1}}),
    );
    let all = json!({"upstream": {"health_path": "/healthz", "health_seconds": 1}});
    company.engineering("all", ill.address(), all);
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    well(&gateway, "some", 1.0).await;
    well(&gateway, "all", 0.0).await;
    for _ in 0..10 {
        let answer = h1::ask(gateway.address(), "GET", "some.test", "/", &[("authorization", &auth)]).await;
        assert_eq!(answer.text(), "good");
    }
    let answer = h1::ask(gateway.address(), "GET", "all.test", "/", &[("authorization", &auth)]).await;
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (502, Some("upstream_unavailable")));
    assert!(ill.requests().iter().all(|r| r.head.target() == "/healthz"));
    // The check is an ordinary request of the gateway's own, without anybody's identity.
    let checks = good.requests();
    let check = checks.iter().find(|r| r.head.target() == "/healthz").unwrap();
    assert!(check.head.fields().iter().all(|(n, _)| !n.to_ascii_lowercase().starts_with("x-doorward")));
}

#[tokio::test]
async fn when_nobody_answers_the_client_is_told_in_its_own_words() {
    let (one, two) = (Port::take(), Port::take());
    let alive = RawUpstream::ok().await;
    let mut company = Company::new(alive.address()).await;
    let addresses = json!([one.address().to_string(), two.address().to_string()]);
    company.engineering("dead", one.address(), json!({"upstream": {"addresses": addresses}})).engineering(
        "dead-h2",
        one.address(),
        json!({"upstream": {"addresses": addresses, "protocol": "h2"}}),
    );
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let fields = [("authorization", auth.as_str())];
    let answer = h1::ask(gateway.address(), "GET", "dead.test", "/", &fields).await;
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (502, Some("upstream_unavailable")));
    let html = [("authorization", auth.as_str()), ("accept", "text/html")];
    let answer = h1::ask(gateway.address(), "GET", "dead.test", "/", &html).await;
    assert_eq!(answer.status(), 502);
    assert!(answer.text().contains("The app is not available"), "{}", answer.text());
    assert!(
        !answer.text().contains(&one.number().to_string()),
        "the address of the app is nobody's business"
    );
    let h2 = H2::connect(gateway.address()).await;
    for method in ["HEAD", "GET"] {
        let answer = h2.ask(method, "dead.test", "/", &fields, b"").await.unwrap();
        assert_eq!((answer.status, answer.gone), (502, None), "{method}: an answer, and then a reset");
    }
    let call = doorward_tests::grpc::call(&h2, "dead-h2.test", "/x.X/Y", &fields, "").await.unwrap();
    assert_eq!((call.http_status, call.status), (200, Some(14)), "{call:?}");
    let events = within("the events", async {
        loop {
            let denied: Vec<_> = gateway
                .events()
                .into_iter()
                .filter(|e| e["unmapped"]["doorward"]["route"] == "dead/all")
                .collect();
            if denied.len() >= 2 {
                return denied;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    for event in events {
        let block = &event["unmapped"]["doorward"];
        assert_eq!(event["http_response"]["code"], 502, "{event}");
        assert_eq!(block["decision"]["outcome"], "allow", "the decision stands: {event}");
        assert_eq!(block["ending"]["how"], "upstream_failed", "{event}");
    }
}

#[tokio::test]
async fn an_app_that_misbehaves_does_no_harm_to_the_next_request() {
    let app = RawUpstream::start(|head| match head.target().as_str() {
        "/garbage" => Answer::bytes("ceci n'est pas HTTP\r\n\r\n").then(Step::Close),
        "/nothing" => Answer::default().then(Step::Close),
        "/reset" => Answer::default().then(Step::Reset),
        "/late" => Answer::default().then(Step::Hang),
        "/short" => Answer::bytes("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").then(Step::Close),
        "/chunk" => Answer::bytes("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n")
            .then(Step::Close),
        "/closes" => Answer::ok("ok").then(Step::Close),
        _ => Answer::ok("ok"),
    })
    .await;
    let mut company = Company::new(app.address()).await;
    // Only who is meant to be late has little time: a busy machine may take a second for any other answer.
    company.engineering("bad", app.address(), json!({})).engineering(
        "late",
        app.address(),
        json!({"upstream": {"response_seconds_max": 1}}),
    );
    let mute = H2Upstream::start(|_| h2_upstream::Answer::default().mute()).await;
    company.engineering(
        "mute",
        mute.address(),
        json!({"upstream": {"response_seconds_max": 1, "protocol": "h2"}}),
    );
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let fields = [("authorization", auth.as_str())];
    let h2 = H2::connect(gateway.address()).await;
    for (host, path, status, code) in [
        ("bad.test", "/garbage", 502, "upstream_unavailable"),
        ("bad.test", "/nothing", 502, "upstream_unavailable"),
        ("bad.test", "/reset", 502, "upstream_unavailable"),
        ("late.test", "/late", 504, "upstream_timeout"),
    ] {
        let answer = h1::ask(gateway.address(), "POST", host, path, &fields).await;
        assert_eq!((answer.status(), answer.json()["code"].as_str()), (status, Some(code)), "{path}");
        let answer = h2.ask("POST", host, path, &fields, b"").await.unwrap();
        assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)), "{path}");
    }
    // An app that took a whole upload and then says nothing, over HTTP/2 to it.
    for host in ["mute.test", "late.test"] {
        match h2.ask("POST", host, "/late", &fields, b"upload").await {
            Ok(answer) => assert_eq!(answer.status, 504, "{host}"),
            Err(gone) => assert!(matches!(gone, Gone::Reset(_)), "{host}: {gone:?}"),
        }
    }
    // What breaks off in the middle must not look whole.
    for path in ["/short", "/chunk"] {
        let mut client = H1::connect(gateway.address()).await;
        client.send(request("GET", "bad.test", path, &fields, b"")).await;
        let answer = client.response("GET").await;
        assert_eq!((answer.status(), answer.whole), (200, false), "{path}");
        let answer = h2.get("bad.test", path, &fields).await;
        assert!(answer.gone.is_some(), "{path}: {answer:?}");
    }
    // A kept connection that the app closed is not the client's problem.
    let mut client = H1::connect(gateway.address()).await;
    for i in 0..20 {
        let answer = client.ask("GET", "bad.test", "/closes", &fields).await;
        assert_eq!(answer.status(), 200, "{i}: {}", answer.text());
    }
    assert_eq!(h2.get("bad.test", "/fine", &fields).await.status, 200);
}
