//! Which cookie counts, for how long, where, and what it may not be mixed with.

use doorward_identity::session::{BrowserSession, SESSION_COOKIE};
use doorward_model::UnixMillis;
use doorward_tests::h1::H1;
use doorward_tests::wire::now;
use serde_json::json;

use crate::house::{FETCHES, House, OPENS, WIKI, ago, refused, since, told};

const HOUR: i64 = 3600;

#[tokio::test]
async fn a_cookie_says_who_asks_and_reaches_no_app() {
    let house = House::new().await;
    let bob = house.bob();
    let cookie = format!("a=1; {}; b=2", house.cookie(&bob, WIKI));
    let answer = house.ask(("GET", WIKI, "/page"), &cookie, OPENS).await;
    assert_eq!((answer.status(), answer.text()), (200, "ok".to_owned()));
    let sent = house.sent("/page");
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].value("cookie").as_deref(), Some("a=1; b=2"));
    assert_eq!(sent[0].value("x-doorward-user").as_deref(), Some("corp:bob"));
    assert!(sent[0].value("x-doorward-assertion").is_some());
    assert_eq!(sent[0].value("authorization"), None, "it is never made up");
    assert_eq!(house.metric("doorward_session_cookies_total{outcome=\"opened\"}").await, 1.0);

    // The log names the session where it says why somebody was refused.
    let answer = house.ask(("GET", WIKI, "/admin"), &cookie, FETCHES).await;
    let event = house.decision(&answer.head.value("x-doorward-request-id").unwrap()).await;
    assert_eq!(event["actor"]["session"]["credential_uid"], format!("corp:{}", bob.id), "{event}");
    let text = event.to_string();
    let sealed = cookie.split_once(SESSION_COOKIE).unwrap().1;
    assert!(!text.contains(&sealed[1..40]) && !house.gateway.log().contains(&sealed[1..40]));
}

#[tokio::test]
async fn a_session_ends_when_nobody_uses_it_and_when_its_time_is_over() {
    let house = House::new().await;
    let bob = house.bob();
    let seen = |seconds| BrowserSession { seen_at: ago(seconds), ..since(bob.clone(), HOUR) };
    for (session, expect) in [
        (seen(29 * 60), (200, None)),
        (seen(30 * 60 + 1), refused(401, "expired_credential")),
        (BrowserSession { seen_at: ago(1), ..since(bob.clone(), 12 * HOUR - 60) }, (200, None)),
        (
            BrowserSession { seen_at: ago(1), ..since(bob.clone(), 12 * HOUR + 1) },
            refused(401, "expired_credential"),
        ),
        (BrowserSession { expires_at: ago(1), ..bob.clone() }, refused(401, "expired_credential")),
        // A node whose clock is ahead made it: signing in again would not help.
        (
            BrowserSession { seen_at: UnixMillis(now().0 + 600_000), ..bob.clone() },
            refused(503, "sessions_unavailable"),
        ),
    ] {
        let cookie = house.cookie(&session, WIKI);
        for lines in [FETCHES, &[]] {
            let answer = house.ask(("GET", WIKI, "/page"), &cookie, lines).await;
            assert_eq!(told(&answer), expect, "{session:?}");
        }
    }
    for (outcome, count) in [("idle", 2.0), ("absolute", 4.0), ("ahead", 2.0), ("opened", 4.0)] {
        let name = format!("doorward_session_cookies_total{{outcome=\"{outcome}\"}}");
        assert_eq!(house.metric(&name).await, count, "{outcome}");
    }
}

/// S19: what else may stand in `Cookie`.
#[tokio::test]
async fn s19_one_cookie_of_this_host_counts_and_nothing_like_it() {
    let house = House::new().await;
    let bob = house.bob();
    let (good, other) = (house.cookie(&bob, WIKI), house.cookie(&bob, "payroll.test"));
    let value = good.split_once('=').unwrap().1.to_owned();
    let many = (0..60).map(|n| format!("c{n}=1; ")).collect::<String>();
    for (cookie, expect) in [
        (format!("{many}{good}"), (200, None)),
        (format!("{good}; {good}"), refused(400, "bad_request")),
        (format!("{good}; {SESSION_COOKIE}="), refused(400, "bad_request")),
        (other, refused(401, "invalid_credential")),
        (format!("{SESSION_COOKIE}="), refused(401, "invalid_credential")),
        (format!("{SESSION_COOKIE}={}", &value[1..]), refused(401, "invalid_credential")),
        (format!("{SESSION_COOKIE}=\"{value}\""), refused(401, "invalid_credential")),
        (format!("doorward-session={value}"), refused(401, "unauthenticated")),
        (format!("__Secure-doorward-session={value}"), refused(401, "unauthenticated")),
        (format!("__host-doorward-session={value}"), refused(401, "unauthenticated")),
        (format!("__Host-doorward-attempt-abcdefgh={value}"), refused(401, "unauthenticated")),
    ] {
        assert_eq!(house.fetch(&cookie).await, expect, "{cookie}");
    }
    assert!((0..1000).map(|n| format!("c{n}=1; ")).collect::<String>().len() > 4000);
    let thousand = (0..1000).map(|n| format!("c{n}=1; ")).collect::<String>();
    assert_eq!(house.fetch(&format!("{thousand}{good}")).await, refused(431, "header_too_large"));
    // Two lines are two cookies, too: HTTP/2 sends them so.
    let lines = [("cookie", good.as_str()), ("cookie", good.as_str())];
    assert_eq!(told(&house.ask(("GET", WIKI, "/page"), "", &lines).await), refused(400, "bad_request"));
}

#[tokio::test]
async fn a_header_counts_and_the_cookie_beside_it_does_not() {
    let house = House::new().await;
    let alices = house.cookie(&house.alice(), WIKI);
    let bearer = format!("Bearer {}", house.issuer.token("bob"));
    let answer = house.ask(("GET", WIKI, "/both"), &alices, &[("authorization", &bearer)]).await;
    assert_eq!(told(&answer), (200, None));
    let user = house.sent("/both")[0].value("x-doorward-user").unwrap();
    assert!(user.ends_with(":bob"), "{user}");
    assert!(house.renewed(&answer, WIKI).is_none());
    // A header that is not good is not made good by a cookie.
    for bad in ["Bearer a.b.c", "Basic YTpi", "Bearer "] {
        let answer = house.ask(("GET", WIKI, "/bad"), &alices, &[("authorization", bad)]).await;
        assert_eq!(told(&answer), refused(401, "invalid_credential"), "{bad}");
        let opened =
            house.ask(("GET", WIKI, "/bad"), &alices, &[OPENS, &[("authorization", bad)]].concat()).await;
        assert_eq!(told(&opened), refused(401, "invalid_credential"), "a program is not sent to sign in");
    }
    assert!(house.sent("/bad").is_empty());
}

#[tokio::test]
async fn a_session_is_taken_by_tls_alone() {
    let house = House::with(|config| {
        config.add("listen", json!({}));
    })
    .await;
    let cookie = house.cookie(&house.bob(), WIKI);
    let mut plain = H1::connect(house.gateway.listener(1)).await;
    let answer = plain.ask("GET", WIKI, "/page", &[("cookie", &cookie)]).await;
    assert_eq!(told(&answer), refused(401, "unauthenticated"));
    assert_eq!(house.fetch(&cookie).await, (200, None));
}

/// What is over is no reason to show no public page; what was taken away is.
#[tokio::test]
async fn on_a_public_route_a_session_that_is_over_is_nobodys() {
    let house = House::new().await;
    let bob = house.bob();
    let idle = BrowserSession { seen_at: ago(HOUR), ..since(bob.clone(), HOUR) };
    let foreign = format!("{SESSION_COOKIE}=AAAA");
    for cookie in [house.cookie(&idle, WIKI), foreign] {
        for lines in [OPENS, FETCHES] {
            let answer = house.ask(("GET", WIKI, "/welcome"), &cookie, lines).await;
            assert_eq!(told(&answer), (200, None), "{cookie}");
        }
    }
    let sent = house.sent("/welcome");
    assert!(sent.len() == 4 && sent.iter().all(|head| head.value("x-doorward-user").is_none()));
    let cookie = house.cookie(&bob, WIKI);
    assert_eq!(told(&house.ask(("GET", WIKI, "/welcome"), &cookie, FETCHES).await), (200, None));
    house.gateway.revoke("token", &bob.id.token(&bob.user).to_string()).await;
    let answer = house.ask(("GET", WIKI, "/welcome"), &cookie, FETCHES).await;
    assert_eq!(told(&answer), refused(401, "revoked"));
}

/// What ends a bearer token ends a session: the same marks, by the same names.
#[tokio::test]
async fn every_kind_of_revocation_ends_a_session() {
    let house = House::new().await;
    let named = |name: &str| house.session(name, &["employee", "engineer"]);
    for (kind, name, id) in [
        ("token", "t", None),
        ("user", "u", Some("corp:u")),
        ("session", "s", Some("corp:sid-1")),
        ("device", "d", Some("laptop-1")),
    ] {
        let mut session = named(name);
        if kind == "session" {
            session.issuer_session = Some("corp:sid-1".parse().unwrap());
        }
        if kind == "device" {
            session.device.id = Some(doorward_model::DeviceId::new("laptop-1").unwrap());
        }
        let cookie = house.cookie(&session, WIKI);
        assert_eq!(house.fetch(&cookie).await, (200, None), "{kind}");
        let id = id.map_or_else(|| session.id.token(&session.user).to_string(), str::to_owned);
        house.gateway.revoke(kind, &id).await;
        assert_eq!(house.fetch(&cookie).await, refused(401, "revoked"), "{kind}");
        // The same session with a newer value, as somebody may have kept one.
        let newer = house.cookie(&session.clone().seen(now()), WIKI);
        assert_eq!(house.fetch(&newer).await, refused(401, "revoked"), "{kind}");
    }
    assert_eq!(house.fetch(&house.cookie(&named("nobody-else"), WIKI)).await, (200, None));
}

/// S11: whoever knows an older value of a session, or put it there, gains nothing by the sign-in that came after.
#[tokio::test]
async fn s11_a_value_that_was_there_before_gains_nothing() {
    let house = House::new().await;
    let weak = BrowserSession { assurance: crate::house::proved(false, false, now()), ..house.bob() };
    let strong = BrowserSession { assurance: crate::house::proved(true, false, now()), ..weak.clone() };
    let [before, after] = [&weak, &strong].map(|session| house.cookie(session, WIKI));
    assert_eq!(house.fetch(&before).await, refused(401, "step_up"));
    assert_eq!(house.fetch(&after).await, (200, None));
    assert_eq!(house.fetch(&before).await, refused(401, "step_up"), "it is what it was");
}
