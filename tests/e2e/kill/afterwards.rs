//! After it: what the next request is told, and how somebody comes back (rules R2 and R5 of
//! docs/life-of-a-revocation.md).

use std::time::Duration;

use doorward_tests::h1::{self, H1};
use doorward_tests::live::{BUILD, Kind, NotOpen, Site, Via};
use doorward_tests::{grpc, wire};
use serde_json::{Value, json};

/// How far the issuer's clock may be off, here.
const SKEW_MILLIS: i64 = 1000;

/// What became of a request: allowed, or refused with this code.
type Verdict = Result<(), &'static str>;
const OK: Verdict = Ok(());
const REVOKED: Verdict = Err("revoked");
const DISABLED: Verdict = Err("disabled");

/// Asks in every way that there is, and every answer must say the same.
async fn ask(site: &Site, what: &str, token: &str, expected: Verdict) {
    let bearer = format!("Bearer {token}");
    let own = [("authorization", bearer.as_str())];
    let (status, grpc_status) = if expected.is_ok() { (200, 0) } else { (401, 16) };

    // A program.
    for via in Via::ALL {
        let mut client = H1::over(site.wire(via, BUILD, "http/1.1").await);
        let answer = client.ask("GET", BUILD, "/", &own).await;
        assert_eq!(answer.status(), status, "{what} {via:?}: {}", answer.text());
        if let Err(code) = expected {
            assert_eq!(answer.head.value("content-type").as_deref(), Some("application/problem+json"));
            assert_eq!(answer.head.value("x-doorward-refusal").as_deref(), Some(code), "{what}");
            let problem = answer.json();
            assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(401)), "{what}");
            assert!(problem["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{problem}");
            assert!(answer.head.value("www-authenticate").unwrap().contains("invalid_token"), "{what}");
            // Nothing more is wanted from this connection.
            let (rest, ending) = client.drain(Duration::from_secs(10)).await;
            assert_eq!(rest, b"");
            assert_ne!(ending, wire::Ending::StillOpen, "{what}");
        }
    }
    // A browser.
    let page =
        h1::ask(site.gateway.address(), "GET", BUILD, "/", &[own[0], ("accept", "text/html,*/*;q=0.8")])
            .await;
    assert_eq!(page.status(), status, "{what}");
    if let Err(code) = expected {
        assert_eq!(page.head.value("content-type").as_deref(), Some("text/html; charset=utf-8"));
        assert!(page.text().contains("<html") && page.text().contains(code), "{what}: {}", page.text());
    }
    // HTTP/2 and gRPC, unary and streaming.
    let h2 = site.h2(Via::Tls, BUILD).await;
    let reply = h2.get(BUILD, "/", &own).await;
    assert_eq!(reply.status, status, "{what}");
    assert_eq!(reply.header("x-doorward-refusal").as_deref(), expected.err(), "{what}");
    let called = grpc::call(&h2, BUILD, "/doorward.demo.Build/Status", &own, "main").await.unwrap();
    assert_eq!((called.http_status, called.status), (200, Some(grpc_status)), "{what}: {called:?}");
    // Streams.
    for kind in [Kind::WsIdle, Kind::Sse, Kind::H2Sse] {
        let live = site.open(kind, Via::Plain, token).await;
        assert_eq!(live.err(), expected.err().map(|_| NotOpen::Refused(401)), "{what} {kind:?}");
    }
}

/// A token that says it was made at this second.
fn made_at(site: &Site, person: &str, seconds: i64) -> String {
    site.issuer.token_but("bob", &json!({"sub": person, "iat": seconds, "auth_time": seconds}))
}

/// Waits until the clock has passed a second.
async fn wait_second(seconds: i64) {
    wire::until("a second to pass", || (wire::now().seconds() >= seconds).then_some(())).await;
}

/// The mark that an acknowledged change set, in milliseconds.
fn mark(receipt: &Value) -> i64 {
    receipt["entry"]["not_before"].as_i64().unwrap_or_else(|| panic!("no mark in {receipt}"))
}

/// The first second whose tokens are good again.
const fn good_from(mark: i64) -> i64 {
    (mark + SKEW_MILLIS) / 1000 + 1
}

async fn change(site: &Site, action: &str, id: &str) -> i64 {
    let answer = site.gateway.change(action, "user", id).await;
    assert_eq!(answer.status, 201, "{action}: {answer:?}");
    mark(&serde_json::from_str(&answer.text).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_tokens_stay_dead_and_new_ones_work() {
    let site = Site::start(Duration::from_millis(10), |config| {
        config.set("revocation.issuer_skew_millis", json!(SKEW_MILLIS));
    })
    .await;
    let old = site.issuer.token_of("eve");
    ask(&site, "before", &old, OK).await;
    ask(&site, "before, and remembered", &old, OK).await;

    let revoked = change(&site, "revoke", "demo:eve").await;
    ask(&site, "the old token", &old, REVOKED).await;
    ask(&site, "a token of the same second", &made_at(&site, "eve", revoked / 1000), REVOKED).await;
    let from = good_from(revoked);
    wait_second(from).await;
    let within = made_at(&site, "eve", from - 1);
    ask(&site, "a token within the skew", &within, REVOKED).await;
    let second = made_at(&site, "eve", from);
    ask(&site, "a token after mark and skew", &second, OK).await;
    ask(&site, "the old token once more", &old, REVOKED).await;

    let disabled = change(&site, "disable", "demo:eve").await;
    wait_second(good_from(disabled)).await;
    let third = made_at(&site, "eve", good_from(disabled));
    for token in [&old, &second, &third] {
        ask(&site, "while disabled", token, DISABLED).await;
    }
    ask(&site, "somebody else", &site.issuer.token_of("fay"), OK).await;

    let back = change(&site, "reactivate", "demo:eve").await;
    assert!(back >= disabled, "a mark only rises: {back} after {disabled}");
    wait_second(good_from(back)).await;
    let fourth = made_at(&site, "eve", good_from(back));
    ask(&site, "a token after the return", &fourth, OK).await;
    for token in [&old, &within, &second, &third] {
        ask(&site, "a token from before the return", token, REVOKED).await;
    }
    site.wait_inflight(None, 0).await;
}

/// A session and a token end for good, however new what names them is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_and_a_token_never_come_back() {
    let site = Site::start(Duration::from_millis(10), |_| {}).await;
    let token_with = |claims: Value| site.issuer.token_but("bob", &claims);
    for (kind, id, claims) in [
        ("session", "demo:s-1", json!({"sub": "gil", "sid": "s-1"})),
        ("token", "demo:t-1", json!({"sub": "gil", "jti": "t-1"})),
    ] {
        let live = site.open(Kind::Sse, Via::Plain, &token_with(claims.clone())).await.unwrap();
        let receipt = site.gateway.revoke(kind, id).await;
        assert!(Kind::Sse.is_cut_off_by(&live.ended().await.how), "{kind}");
        wait_second(mark(&receipt) / 1000 + 1).await;
        ask(&site, kind, &token_with(claims), REVOKED).await;
        ask(&site, kind, &site.issuer.token_of("gil"), OK).await;
        let answer = site.gateway.change("reactivate", kind, id).await;
        assert_eq!(answer.status, 422, "{kind}: {answer:?}");
    }
    site.wait_inflight(None, 0).await;
}
