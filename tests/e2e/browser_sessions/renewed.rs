//! The cookie comes anew with answers, and apps have no word in it.

use doorward_identity::session::BrowserSession;
use doorward_tests::wire::now;

use crate::house::{BUILD, FETCHES, House, OPENS, SOCKET, WIKI, ago, proved, refused, since, told};

#[tokio::test]
async fn a_cookie_that_is_used_is_sealed_anew_once_a_minute() {
    let house = House::new().await;
    let fresh = house.bob();
    let before = now();
    let used = BrowserSession { seen_at: ago(61), ..since(fresh.clone(), 600) };
    let answer = house.ask(("GET", WIKI, "/page"), &house.cookie(&fresh, WIKI), FETCHES).await;
    assert_eq!((told(&answer), house.renewed(&answer, WIKI)), ((200, None), None), "it was used just now");
    let answer = house.ask(("GET", WIKI, "/page"), &house.cookie(&used, WIKI), FETCHES).await;
    let renewed = house.renewed(&answer, WIKI).expect("it is time");
    assert!(renewed.seen_at >= before && renewed.seen_at <= now(), "{renewed:?}");
    // Nothing else of it is another.
    assert_eq!(BrowserSession { seen_at: used.seen_at, ..renewed }, used);
    // The answer is for nobody else now.
    assert_eq!(answer.head.value("cache-control").as_deref(), Some("private"));
    assert_eq!(house.metric("doorward_session_renewals_total{outcome=\"noted\"}").await, 1.0);
}

#[tokio::test]
async fn no_cache_of_others_keeps_a_cookie() {
    let house = House::new().await;
    let used = BrowserSession { seen_at: ago(120), ..since(house.bob(), 600) };
    let late = BrowserSession { seen_at: ago(16 * 60), ..since(house.bob(), 3600) };
    for (session, target, renews, caches) in [
        (&used, "/public", false, Some("public, max-age=60")),
        (&late, "/public", true, Some("max-age=60, private")),
        (&used, "/maxage", true, Some("max-age=60, private")),
        (&used, "/private", true, Some("private")),
        (&used, "/page", true, Some("private")),
    ] {
        let answer = house.ask(("GET", WIKI, target), &house.cookie(session, WIKI), FETCHES).await;
        assert_eq!(house.renewed(&answer, WIKI).is_some(), renews, "{target}");
        assert_eq!(answer.head.value("cache-control").as_deref(), caches, "{target}");
    }
}

#[tokio::test]
async fn refusals_and_websockets_renew_and_what_ended_is_not_renewed() {
    let house = House::new().await;
    // No permit for build, which alice has nothing to do with: used all the same.
    let alice = BrowserSession { seen_at: ago(120), ..since(house.alice(), 600) };
    let answer = house.ask(("GET", BUILD, "/"), &house.cookie(&alice, BUILD), FETCHES).await;
    assert_eq!(told(&answer), refused(403, "no_permit"));
    assert!(house.renewed(&answer, BUILD).is_some());
    let bob = BrowserSession { seen_at: ago(120), ..since(house.bob(), 600) };
    let cookie = house.cookie(&bob, BUILD);
    let own = ("origin", "https://build.test");
    let lines = [
        own,
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("cookie", cookie.as_str()),
    ];
    let mut client = house.connect(BUILD).await;
    client.send(doorward_tests::h1::request("GET", BUILD, SOCKET, &lines, b"")).await;
    let head = client.head().await.unwrap();
    assert_eq!(head.status(), Some(101));
    assert!(head.value("set-cookie").is_some_and(|line| line.starts_with("__Host-doorward-session=")));

    house.gateway.revoke("token", &bob.id.token(&bob.user).to_string()).await;
    let answer = house.ask(("GET", BUILD, "/"), &cookie, FETCHES).await;
    assert_eq!(told(&answer), refused(401, "revoked"));
    assert_eq!(answer.head.value("set-cookie"), None);
}

#[tokio::test]
async fn no_app_sets_a_cookie_of_ours() {
    let house = House::new().await;
    let used = BrowserSession { seen_at: ago(120), ..since(house.bob(), 600) };
    for session in [house.bob(), used] {
        let answer = house.ask(("GET", WIKI, "/cookies"), &house.cookie(&session, WIKI), OPENS).await;
        let lines = answer.head.values("set-cookie");
        assert!(lines.iter().any(|l| l == "a=1") && lines.iter().any(|l| l == "b=2"), "{lines:?}");
        assert!(!lines.iter().any(|line| line.starts_with("__Host-doorward-session=x")), "{lines:?}");
    }
    assert_eq!(house.metric("doorward_app_cookies_dropped_total{app=\"wiki\"}").await, 2.0);
}

/// What somebody may see of their sessions says when they were seen; a store that is away changes nothing else.
#[tokio::test]
async fn that_it_cannot_be_noted_is_no_matter_to_the_session() {
    let house = House::new().await;
    let bob = BrowserSession {
        seen_at: ago(120),
        assurance: proved(true, false, ago(600)),
        ..since(house.bob(), 600)
    };
    let store = house.gateway.folder().join("data/sessions.sqlite3");
    assert!(store.exists());
    for name in ["sessions.sqlite3", "sessions.sqlite3-wal", "sessions.sqlite3-shm"] {
        let _ = std::fs::remove_file(house.gateway.folder().join("data").join(name));
    }
    std::fs::create_dir(&store).unwrap();
    for _ in 0..3 {
        let answer = house.ask(("GET", WIKI, "/page"), &house.cookie(&bob, WIKI), FETCHES).await;
        assert_eq!(told(&answer), (200, None));
        assert!(house.renewed(&answer, WIKI).is_some());
    }
    house.gateway.wait_log("it was not noted when sessions were last seen").await;
}
