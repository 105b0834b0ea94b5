//! What is answered, and what is not asked of an app.

use std::net::IpAddr;

use doorward_identity::session::BrowserSession;
use doorward_tests::company::{bearer, connect_from};
use doorward_tests::h1::{H1, Response};
use doorward_tests::h2::H2;
use doorward_tests::wire::until;
use serde_json::json;

use crate::asker::{self, BOTH, Manner, ask, ask_on, connect};
use crate::house::{FETCHES, OPENS, PAYROLL, SENDS, WIKI, ago, proved, refused, since, told};

const PAGE: (&str, &str, &str) = ("GET", WIKI, "/page");

fn said(answer: &Response, name: &str) -> String {
    answer.head.value(name).unwrap_or_else(|| panic!("no `{name}`"))
}

fn id(answer: &Response) -> String {
    said(answer, "x-doorward-request-id")
}

#[tokio::test]
async fn who_may_pass_is_named_and_the_app_is_not_asked() {
    let house = asker::house().await;
    let bob = house.bob();
    let cookie = format!("a=1; {}; b=2", house.cookie(&bob, WIKI));
    for manner in BOTH {
        let answer = ask(&house, manner, PAGE, &cookie, FETCHES).await;
        assert_eq!(told(&answer), (200, None), "{}", answer.text());
        assert_eq!(said(&answer, "x-doorward-user"), "corp:bob");
        assert_eq!(said(&answer, "x-doorward-email"), "bob@corp.example");
        assert_eq!(said(&answer, "x-doorward-groups"), "");
        assert_eq!(said(&answer, "x-doorward-on-behalf-of"), "");
        assert_eq!(said(&answer, "x-doorward-assertion").split('.').count(), 3);
        assert_eq!(said(&answer, "x-doorward-cookie"), "a=1; b=2");
        assert_eq!(answer.head.value("set-cookie"), None);
        let event = house.decision(&id(&answer)).await;
        let block = &event["unmapped"]["doorward"];
        assert_eq!(
            (&block["decision"]["outcome"], &block["enforced_by"]),
            (&json!("allow"), &json!("127.0.0.1"))
        );
        assert_eq!(event["src_endpoint"]["ip"], json!(asker::CLIENT), "{event}");
        assert_eq!(event["http_request"]["url"]["path"], json!("/page"));
        // A cookie that is to be renewed is.
        let used = BrowserSession { seen_at: ago(120), ..since(bob.clone(), 600) };
        let answer = ask(&house, manner, PAGE, &house.cookie(&used, WIKI), FETCHES).await;
        assert!(answer.status() == 200 && house.renewed(&answer, WIKI).is_some());
    }
    let token = bearer(&house.issuer.token("bob"));
    let answer = ask(&house, Manner::Nginx, PAGE, "", &[("authorization", &token)]).await;
    assert_eq!((answer.status(), said(&answer, "x-doorward-user")), (200, "demo:bob".to_owned()));
    assert_eq!(house.app.requests().len(), 0);
    assert_eq!(house.metric("doorward_forward_auth_answers_total{answer=\"pass\"}").await, 5.0);
}

#[tokio::test]
async fn who_is_not_signed_in_is_sent_there_in_the_manner_of_the_asker() {
    let house = asker::house().await;
    for (manner, status, location, other) in [
        (Manner::Nginx, 401, "x-doorward-location", "location"),
        (Manner::Traefik, 302, "location", "x-doorward-location"),
    ] {
        let answer = ask(&house, manner, PAGE, "", OPENS).await;
        assert_eq!(told(&answer), refused(status, "unauthenticated"));
        assert!(said(&answer, location).contains("/.doorward/start?ticket="), "{manner:?}");
        assert!(said(&answer, location).starts_with("https://login.test:"));
        assert_eq!(answer.head.value(other), None);
        assert!(said(&answer, "set-cookie").starts_with("__Host-doorward-"));
        // Who proved too little is sent to prove more.
        let weak = BrowserSession { assurance: proved(false, false, ago(1)), ..house.alice() };
        let answer = ask(&house, manner, PAGE, &house.cookie(&weak, WIKI), OPENS).await;
        assert_eq!(told(&answer), refused(status, "step_up"));
        assert!(said(&answer, location).contains("/.doorward/start?ticket="));
        // A script is told so, and a form is not lost.
        let answer = ask(&house, manner, PAGE, "", FETCHES).await;
        assert_eq!(told(&answer), refused(401, "unauthenticated"));
        assert!(said(&answer, "www-authenticate").starts_with("Bearer"));
        assert_eq!((answer.head.value(location), answer.head.value(other)), (None, None));
        let answer = ask(&house, manner, ("POST", WIKI, "/save"), "", SENDS).await;
        assert!(answer.status() == 401 && answer.text().contains("was not saved"));
    }
    assert_eq!(house.metric("doorward_forward_auth_answers_total{answer=\"sign_in\"}").await, 4.0);
    assert_eq!(house.metric("doorward_forward_auth_answers_total{answer=\"refused\"}").await, 4.0);
}

#[tokio::test]
async fn who_may_not_pass_is_refused_and_who_is_cut_off_with_the_next_question() {
    let house = asker::house().await;
    let (bob, alice) = (house.bob(), house.alice());
    let mut connection = connect(&house).await;
    for manner in BOTH {
        let answer = ask(&house, manner, ("GET", PAYROLL, "/"), &house.cookie(&bob, PAYROLL), FETCHES).await;
        assert_eq!(told(&answer), refused(403, "no_permit"));
        let event = house.decision(&id(&answer)).await;
        let block = &event["unmapped"]["doorward"];
        assert_eq!(
            (&block["decision"]["outcome"], &block["enforced_by"]),
            (&json!("deny"), &json!("127.0.0.1"))
        );
        // A page of another site has nothing done.
        let evil = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
        let answer = ask(&house, manner, ("POST", WIKI, "/save"), &house.cookie(&bob, WIKI), &evil).await;
        assert_eq!(told(&answer), refused(403, "cross_site"));
        // The cookie of another host is none here.
        let answer = ask(&house, manner, PAGE, &house.cookie(&bob, PAYROLL), FETCHES).await;
        assert_eq!(answer.status(), 401);
        let answer = ask_on(&mut connection, manner, PAGE, &house.cookie(&bob, WIKI), FETCHES).await;
        assert_eq!(answer.status(), 200);
    }
    house.gateway.revoke("user", "corp:bob").await;
    // The connection is the proxy's, and carries others too.
    for manner in BOTH {
        let answer = ask_on(&mut connection, manner, PAGE, &house.cookie(&alice, WIKI), FETCHES).await;
        assert_eq!((answer.status(), said(&answer, "x-doorward-user")), (200, "corp:alice".to_owned()));
    }
    for (manner, status) in [(Manner::Nginx, 401), (Manner::Traefik, 401)] {
        let answer = ask(&house, manner, PAGE, &house.cookie(&bob, WIKI), FETCHES).await;
        assert_eq!(told(&answer), refused(status, "revoked"));
    }
    assert_eq!(house.app.requests().len(), 0);
}

#[tokio::test]
async fn what_the_app_could_read_otherwise_does_not_pass() {
    let house = asker::house().await;
    let cookie = house.cookie(&house.bob(), WIKI);
    for (manner, status) in [(Manner::Nginx, 403), (Manner::Traefik, 400)] {
        for target in [
            "//page",
            "/./page",
            "/a/../page",
            "/%2e%2e/page",
            "/..%2fpage",
            "/a;/../page",
            "/..;/page",
            "/p%61ge",
            "/page%00",
            "/%2Fpage",
            "/page%3f",
            "/a%5cb",
            "/a\\b",
            "/%c3%a9%2",
        ] {
            let answer = ask(&house, manner, ("GET", WIKI, target), &cookie, FETCHES).await;
            assert_eq!(told(&answer), refused(status, "bad_request"), "{manner:?} {target}");
        }
        let answer = ask(&house, manner, ("GET", WIKI, "/p%C3%A9?q=%2e%2e/;"), &cookie, FETCHES).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        for (name, value) in [
            ("x-doorward-user", "corp:alice"),
            ("X_DOORWARD_USER", "corp:alice"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            let answer = ask(&house, manner, PAGE, &cookie, &[(name, value)]).await;
            assert_eq!(answer.head.value("x-doorward-refusal").as_deref(), Some("bad_request"), "{name}");
            assert!(answer.status() >= 400);
        }
        let own = ask(&house, manner, ("GET", WIKI, "/.doorward/"), &cookie, OPENS).await;
        assert_eq!(told(&own), refused(if status == 403 { 403 } else { 404 }, "no_route"));
        let nowhere = ask(&house, manner, ("GET", "nowhere.test", "/"), &cookie, OPENS).await;
        assert!(nowhere.status() == own.status());
    }
    // Two requests, or none.
    let both = [("x-forwarded-uri", "/public")];
    assert_eq!(ask(&house, Manner::Nginx, PAGE, &cookie, &both).await.status(), 403);
    let none = connect(&house).await.ask("GET", WIKI, "/page", &[("cookie", &cookie)]).await;
    assert!(none.status() == 400);
    assert_eq!(house.app.requests().len(), 0);
}

/// A refusal of gRPC is a 200 with HTTP/2, which another proxy would take for a yes.
#[tokio::test]
async fn no_refusal_is_a_success() {
    let house = asker::house().await;
    let wire = H2::connect(house.gateway.listener(1)).await;
    for manner in BOTH {
        for method in ["GET", "POST", "HEAD"] {
            let said = asker::lines(manner, ("POST", PAYROLL, "/svc/Call"));
            let mut lines: Vec<_> = said.iter().map(|(name, value)| (*name, value.as_str())).collect();
            lines.extend([("content-type", "application/grpc"), ("te", "trailers")]);
            let asked = wire.request(method, "gateway.internal", "/", &lines);
            let (status, headers) = wire.open(asked, true).await.unwrap().head().await.unwrap();
            assert_eq!(status, 401, "{manner:?} {method} {headers:?}");
        }
        let asked = wire.request("POST", "gateway.internal", "/", &[("content-type", "application/grpc")]);
        let (status, _) = wire.open(asked, true).await.unwrap().head().await.unwrap();
        assert_eq!(status, 400);
    }
    // What is asked about by `HEAD` is answered whole, and what asks by it is not.
    let mut connection = connect(&house).await;
    let cookie = house.cookie(&house.bob(), WIKI);
    for target in ["//", "/page"] {
        let answer = ask_on(&mut connection, Manner::Traefik, ("HEAD", WIKI, target), &cookie, &[]).await;
        assert_eq!(answer.status(), if target == "//" { 400 } else { 200 });
        if target == "//" {
            connection = connect(&house).await;
        }
    }
}

#[tokio::test]
async fn only_trusted_proxies_may_ask() {
    let house = asker::house().await;
    let stranger: IpAddr = [127, 0, 0, 2].into();
    let mut connection = H1::over(Box::new(connect_from(stranger, house.gateway.listener(1)).await));
    let cookie = house.cookie(&house.bob(), WIKI);
    let answer = ask_on(&mut connection, Manner::Nginx, PAGE, &cookie, FETCHES).await;
    assert_eq!(told(&answer), refused(403, "misdirected"));
    let request = id(&answer);
    let event = until("the refusal in the log", || {
        house
            .gateway
            .events()
            .into_iter()
            .find(|event| event["metadata"]["correlation_uid"] == request.as_str())
    })
    .await;
    assert_eq!(event["unmapped"]["doorward"]["enforced_by"], json!("127.0.0.2"), "{event}");
    // A proxy that does not say for whom it asks is not answered for itself.
    let asked =
        [("x-original-url", "https://wiki.test/page"), ("x-original-method", "GET"), ("cookie", &cookie)];
    let answer = connect(&house).await.ask("GET", "gateway.internal", "/", &asked).await;
    assert_eq!(told(&answer), refused(403, "client_address"));
    // Nor is one that sends a body.
    let long = [asked[0], asked[1], asked[2], ("x-forwarded-for", asker::CLIENT), ("content-length", "2")];
    let answer = connect(&house).await.ask("POST", "gateway.internal", "/", &long).await;
    assert_eq!(told(&answer), refused(403, "bad_request"));
}
