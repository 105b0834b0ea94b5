//! What becomes of a refusal: a page, a form, a script, a program.

use doorward_identity::session::{BrowserSession, SESSION_COOKIE};
use doorward_tests::h1::Response;
use doorward_tests::wire::until;

use crate::house::{BUILD, FETCHES, House, OPENS, SENDS, WIKI, ago, refused, since, told};

/// Where a browser is sent to sign in; the cookie that comes with it is for the way back.
fn sent_to_sign_in(house: &House, answer: &Response) {
    assert_eq!(answer.status(), 302);
    let location = answer.head.value("location").unwrap();
    let start = format!("https://login.test:{}/.doorward/start?ticket=", house.gateway.address().port());
    assert!(location.starts_with(&start) && !location.contains("secret"), "{location}");
    let cookie =
        answer.head.values("set-cookie").into_iter().find(|c| c.starts_with("__Host-doorward-enter-"));
    assert!(cookie.is_some_and(|c| c.contains("HttpOnly") && c.contains("Secure")));
    assert_eq!(answer.head.value("cache-control").as_deref(), Some("no-store"));
    assert_eq!(answer.head.value("referrer-policy").as_deref(), Some("no-referrer"));
    assert!(answer.head.value("x-doorward-request-id").is_some() && answer.text().is_empty());
}

#[tokio::test]
async fn only_a_page_that_is_opened_is_sent_to_sign_in() {
    let house = House::new().await;
    let over = house.cookie(&BrowserSession { seen_at: ago(3600), ..since(house.bob(), 3600) }, WIKI);
    let foreign = format!("{SESSION_COOKIE}=AAAA");
    for (cookie, code) in [
        ("", "unauthenticated"),
        (over.as_str(), "expired_credential"),
        (foreign.as_str(), "invalid_credential"),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = house.ask((method, WIKI, "/page?secret=1"), cookie, OPENS).await;
            sent_to_sign_in(&house, &answer);
            assert_eq!(told(&answer), refused(302, code));
        }
        let frame = [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
        let image = [("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")];
        for lines in [FETCHES, &frame, &image, &[("accept", "application/json")], &[]] {
            let answer = house.ask(("GET", WIKI, "/page"), cookie, lines).await;
            assert_eq!(told(&answer), refused(401, code), "{lines:?}");
            assert!(answer.head.value("www-authenticate").unwrap().starts_with("Bearer realm="));
            assert_eq!((answer.head.value("location"), answer.head.value("set-cookie")), (None, None));
        }
        let problem = house.ask(("GET", WIKI, "/page"), cookie, &[]).await.json();
        let port = house.gateway.address().port();
        assert_eq!(problem["sign_in"], format!("https://wiki.test:{port}/.doorward/sign-in?strength=any"));
        let deletes = house.ask(("DELETE", WIKI, "/page"), cookie, FETCHES).await;
        assert_eq!(told(&deletes), refused(401, code));
    }
    assert!(house.sent("/page").is_empty() && house.sent("/page?secret=1").is_empty());
    let sign_in = house.ask(("GET", WIKI, "/.doorward/sign-in?strength=any"), "", OPENS).await;
    assert_eq!(sign_in.status(), 302);
}

#[tokio::test]
async fn a_form_that_meets_a_session_that_is_over_is_not_lost_silently() {
    let house = House::new().await;
    let bob = house.bob();
    let over = house.cookie(&BrowserSession { seen_at: ago(3600), ..since(bob.clone(), 3600) }, WIKI);
    for (cookie, code) in [(over.as_str(), "expired_credential"), ("", "unauthenticated")] {
        let answer = house.ask(("POST", WIKI, "/save"), cookie, SENDS).await;
        assert_eq!(told(&answer), refused(401, code));
        let page = answer.text();
        assert!(page.contains("What you sent was not saved."), "{page}");
        assert!(page.contains("/.doorward/sign-in?strength=any\" target=\"_blank\""), "{page}");
        assert_eq!(answer.head.value("location"), None);
    }
    assert!(house.sent("/save").is_empty());
    // With a session that stands it is what it was.
    let answer = house.ask(("POST", WIKI, "/save"), &house.cookie(&bob, WIKI), SENDS).await;
    assert_eq!(told(&answer), (200, None));
}

#[tokio::test]
async fn whoever_was_cut_off_signs_in_again_and_whoever_is_not_active_reads_why() {
    let house = House::new().await;
    let bob = house.bob();
    let cookie = house.cookie(&bob, WIKI);
    house.gateway.revoke("user", "corp:bob").await;
    sent_to_sign_in(&house, &house.ask(("GET", WIKI, "/page"), &cookie, OPENS).await);
    assert_eq!(house.fetch(&cookie).await, refused(401, "revoked"));
    let answer = house.gateway.change("disable", "user", "corp:bob").await;
    assert!((200..300).contains(&answer.status), "{answer:?}");
    let answer = house.ask(("GET", WIKI, "/page"), &cookie, OPENS).await;
    assert_eq!(told(&answer), refused(401, "disabled"));
    let page = answer.text();
    assert!(
        page.contains("Your account is not active") && page.contains(">Use another account</a>"),
        "{page}"
    );
}

/// A sign-in would not help, so nobody is sent round in circles.
#[tokio::test]
async fn whoever_may_not_is_told_so() {
    let house = House::new().await;
    let alice = house.cookie(&house.alice(), BUILD);
    for lines in [OPENS, FETCHES] {
        let answer = house.ask(("GET", BUILD, "/"), &alice, lines).await;
        assert_eq!(told(&answer), refused(403, "no_permit"));
    }
}

#[tokio::test]
async fn pages_of_ours_go_to_no_app() {
    let house = House::new().await;
    let bob = house.cookie(&house.bob(), WIKI);
    for target in ["/.doorward", "/.doorward/"] {
        let answer = house.ask(("GET", WIKI, target), &bob, OPENS).await;
        assert!(matches!(answer.status(), 200 | 303), "{target}: {}", answer.status());
    }
    for target in ["/.doorward/x", "/.DoorWard/x", "/%2edoorward/x", "/.doorwar%64/x"] {
        let answer = house.ask(("GET", WIKI, target), &bob, OPENS).await;
        assert_eq!(answer.status(), 404, "{target}");
    }
    for target in ["/.doorward;a/x", "/.doorward%3Ba", "/.doorward%252Fx"] {
        let answer = house.ask(("GET", WIKI, target), &bob, OPENS).await;
        assert_eq!(answer.status(), 400, "{target}");
    }
    assert_eq!(told(&house.ask(("GET", WIKI, "/.doorwards"), &bob, FETCHES).await), (200, None));
    until("the app heard of one", || (house.app.requests().len() == 1).then_some(())).await;
}

/// Nobody holds a page of ours open with a form that does not come, nor fills anything with one that is long.
#[tokio::test]
async fn a_form_of_ours_is_small_and_arrives_soon() {
    let house = House::with(|config| {
        // Long enough for a handshake and the head on a machine that stands still now and then.
        config.set("limits.header_seconds_max", serde_json::json!(8));
    })
    .await;
    let mut slow = house.connect("login.test").await;
    slow.send("POST /.doorward/choose HTTP/1.1\r\nhost: login.test\r\ncontent-length: 100\r\n\r\nmail=")
        .await;
    assert_eq!(told(&slow.response("POST").await), refused(408, "request_timeout"));
    let long = vec![b'a'; 64 * 1024];
    let mut client = house.connect("login.test").await;
    let request = doorward_tests::h1::request("POST", "login.test", "/.doorward/choose", &[], &long);
    // The head says how long it is, so the answer may come, and the connection close, before all of it was sent.
    let _all_sent = client.try_send(request).await;
    assert_eq!(told(&client.response("POST").await), refused(413, "body_too_large"));
}
