//! Sessions end: by the person, and by the provider.

use std::time::Duration;

use doorward_identity::session::SESSION_COOKIE;
use doorward_servers::{Redis, Setup};
use doorward_tests::gateway::Gateway;
use doorward_tests::openid::{Mood, Proof};
use doorward_tests::visitor::{Page, SCRIPT, Visitor};
use doorward_tests::wire::{until, within};
use doorward_tests::ws::{Next, Ws};
use http::Uri;
use serde_json::json;

use crate::house::{BUILD, House, PAYROLL, WIKI};

/// What the shortest interval adds to what this machine may take.
const INTERVAL: Duration = Duration::from_secs(61);

async fn house() -> House {
    let house = House::with(|config| {
        config.set("sign_in.revalidate_minutes", json!(1)).set("issuer.1.claims", json!({"roles": "groups"}));
    })
    .await;
    for who in ["alice", "bob"] {
        house.provider.set_groups(who, &["employee", "engineer", "hr"]);
    }
    house
}

fn url(house: &House, host: &str, path: &str) -> String {
    at(&house.gateway, host, path)
}

fn at(gateway: &Gateway, host: &str, path: &str) -> String {
    format!("https://{host}:{}{path}", gateway.address().port())
}

/// Opens a page, and signs in on the way where that is asked.
async fn opens(house: &House, browser: &mut Visitor<'_>, who: &str, url: &str) -> Page {
    let page = browser.go(url).await.unwrap();
    if !page.url.starts_with(house.provider.url()) {
        return page;
    }
    browser.go(&house.provider.answer(&page.url, who, Proof::Code)).await.unwrap()
}

async fn socket(house: &House, browser: &Visitor<'_>) -> Ws {
    let uri: Uri = url(house, BUILD, "/").parse().unwrap();
    let cookies = browser.cookies_for(&uri);
    house.websocket(&cookies, &[("origin", "https://build.test")]).await.unwrap_or_else(|e| panic!("{e:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_signs_out_at_one_app_is_out_at_all_and_what_runs_ends() {
    let house = house().await;
    let mut browser = Visitor::new(&house.authority);
    for host in [WIKI, BUILD, PAYROLL] {
        let page = opens(&house, &mut browser, "bob", &url(&house, host, "/")).await;
        assert_eq!(page.response.status(), 200, "{page:?}");
    }
    let mut ws = socket(&house, &browser).await;
    // A page of another site cannot do it, and a link does nothing.
    let out = url(&house, WIKI, "/.doorward/sign-out");
    let foreign = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ];
    assert_eq!(browser.ask("POST", &out, &foreign, b"").await.unwrap().status(), 403);
    let page = browser.go(&out).await.unwrap();
    assert_eq!(browser.go(&url(&house, PAYROLL, "/")).await.unwrap().response.status(), 200);

    let said = browser.submit(&page, &[]).await.unwrap();
    let text = said.response.text();
    assert!(said.response.status() == 200 && text.contains("You are signed out"), "{text}");
    assert!(text.contains(&format!("{}/end?", house.provider.url())), "{text}");
    assert!(browser.cookie(WIKI, SESSION_COOKIE).is_none());
    assert!(matches!(ws.ending().await, Next::Closed(1008, _)));
    for host in [WIKI, PAYROLL, BUILD] {
        let answer = browser.ask("GET", &url(&house, host, "/"), &SCRIPT, b"").await.unwrap();
        assert_eq!(answer.status(), 401, "{host}");
        let page = browser.go(&url(&house, host, "/")).await.unwrap();
        assert!(page.url.starts_with(house.provider.url()), "{host}: {page:?}");
    }
    let event = until("the end in the log", || {
        let of = |event: &serde_json::Value| event.to_string().contains("signed out");
        house.gateway.events().into_iter().find(of)
    })
    .await;
    assert!(event.to_string().contains("corp:dws-"), "{event}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_ended_from_another_device_is_out_at_its_next_click() {
    let house = house().await;
    let (mut here, mut phone) = (Visitor::new(&house.authority), Visitor::new(&house.authority));
    for browser in [&mut here, &mut phone] {
        let page = opens(&house, browser, "alice", &url(&house, WIKI, "/")).await;
        assert_eq!(page.response.status(), 200);
    }
    let list = here.go(&url(&house, WIKI, "/.doorward/sessions")).await.unwrap();
    assert_eq!(list.url, url(&house, "login.test", "/.doorward/"), "{list:?}");
    let text = list.response.text();
    assert!(text.contains("(this browser)") && text.contains(">End</button>"), "{text}");
    // The first form of the page signs out; the second ends the other session.
    let second = text.split("<form").nth(2).unwrap().to_owned();
    let mut only = list.clone();
    only.response.body = format!("<form{second}").into_bytes();
    let after = here.submit(&only, &[]).await.unwrap();
    assert!(!after.response.text().contains(">End</button>"), "{}", after.response.text());
    let next = phone.go(&url(&house, WIKI, "/")).await.unwrap();
    assert!(next.url.starts_with(house.provider.url()), "{next:?}");
    assert_eq!(here.go(&url(&house, WIKI, "/")).await.unwrap().response.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_provider_has_its_word_each_interval_and_only_its_no_ends_a_session() {
    let house = house().await;
    let (mut alice, mut bob) = (Visitor::new(&house.authority), Visitor::new(&house.authority));
    for (browser, who) in [(&mut alice, "alice"), (&mut bob, "bob")] {
        for host in [WIKI, PAYROLL, BUILD] {
            assert_eq!(opens(&house, browser, who, &url(&house, host, "/")).await.response.status(), 200);
        }
    }
    let mut ws = socket(&house, &bob).await;
    // Alice leaves her group, and bob the company; and nobody can ask.
    house.provider.set_groups("alice", &["employee"]);
    house.provider.lets_in("bob", false);
    house.provider.set_mood(Mood::Down);
    tokio::time::sleep(INTERVAL).await;
    for browser in [&mut alice, &mut bob] {
        assert_eq!(browser.go(&url(&house, PAYROLL, "/")).await.unwrap().response.status(), 200, "kept");
    }
    house.provider.set_mood(Mood::Well);
    let status = async |browser: &mut Visitor<'_>, host: &str| {
        browser.ask("GET", &url(&house, host, "/"), &SCRIPT, b"").await.unwrap().status()
    };
    // The provider is left alone for a few seconds after it failed.
    let began = std::time::Instant::now();
    let (mut hers, mut his) = (0, 0);
    while began.elapsed() < Duration::from_secs(60) && (hers, his) != (403, 401) {
        tokio::time::sleep(Duration::from_millis(250)).await;
        hers = status(&mut alice, PAYROLL).await;
        // A request of his that is under way when the provider says no is cut off like all that runs.
        his = match bob.ask("GET", &url(&house, WIKI, "/"), &SCRIPT, b"").await {
            Ok(response) => response.status(),
            Err(cut) if cut.kind() == std::io::ErrorKind::UnexpectedEof => 0,
            Err(other) => panic!("{other}"),
        };
    }
    assert_eq!((hers, his), (403, 401));
    assert!(matches!(ws.ending().await, Next::Closed(1008, _)));
    assert_eq!(status(&mut alice, WIKI).await, 200, "she goes on with what she has");
    assert_eq!(house.provider.counted().1, 1, "hers was refreshed once for all hosts, his never");
    assert_eq!(house.metric("doorward_session_validations_total{outcome=\"refused\"}").await, 1.0);
}

/// The status of a page at a node. One whose lease is over, as it is when the machine stood still for a second, says so
/// and is asked again.
async fn sees(browser: &mut Visitor<'_>, url: &str) -> u16 {
    within("a node that knows who was cut off", async {
        loop {
            match browser.ask("GET", url, &SCRIPT, b"").await {
                Ok(response) if response.status() != 503 => return response.status(),
                Ok(_) => {}
                // It was under way when what let it in was taken away: cut off, and asked again.
                Err(cut) if cut.kind() == std::io::ErrorKind::UnexpectedEof => {}
                Err(other) => panic!("{other}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}

/// A control node, and a gateway node that has no directory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_one_asks_the_provider_and_who_signs_out_at_either_is_out_at_both() {
    let redis = Redis::start(&Setup::default());
    let mut copy = None;
    let house = House::with(|config| {
        config
            .set("sign_in.revalidate_minutes", json!(1))
            .set("issuer.1.claims", json!({"roles": "groups"}))
            .set("revocation.redis", json!({"addresses": [redis.address().to_string()], "tls": false}));
        copy = Some(config.clone());
        config.set("gateway.node", json!("control"));
    })
    .await;
    let mut config = copy.unwrap();
    config.set("gateway.node", json!("gw-1")).set("revocation.directory", json!("none"));
    let gateway = Gateway::start(config).await;
    house.provider.set_groups("alice", &["employee", "hr"]);
    let mut browser = Visitor::new(&house.authority);
    for host in [WIKI, PAYROLL] {
        let page = opens(&house, &mut browser, "alice", &at(&gateway, host, "/")).await;
        assert_eq!(page.response.status(), 200, "{page:?}");
    }
    let both = async |browser: &mut Visitor<'_>, host: &str| {
        let mut seen = Vec::new();
        for node in [&gateway, &house.gateway] {
            seen.push(sees(browser, &at(node, host, "/")).await);
        }
        seen
    };
    assert_eq!(both(&mut browser, PAYROLL).await, [200, 200]);
    house.provider.set_groups("alice", &["employee"]);
    tokio::time::sleep(INTERVAL).await;
    let began = std::time::Instant::now();
    while both(&mut browser, PAYROLL).await != [403, 403] {
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", both(&mut browser, PAYROLL).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(house.provider.counted().1, 1, "one refresh for both nodes");
    assert_eq!(both(&mut browser, WIKI).await, [200, 200]);

    // The gateway node cannot revoke: it asks the control node. What the browser has at the other host is a copy.
    let stolen = browser.cookie(PAYROLL, SESSION_COOKIE).unwrap().to_owned();
    let page = browser.go(&at(&gateway, WIKI, "/.doorward/sign-out")).await.unwrap();
    let said = browser.submit(&page, &[]).await.unwrap();
    assert!(said.response.text().contains("You are signed out"), "{}", said.response.text());
    browser.put_cookie(PAYROLL, SESSION_COOKIE, &stolen);
    let began = std::time::Instant::now();
    while both(&mut browser, PAYROLL).await != [401, 401] {
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", both(&mut browser, PAYROLL).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    until("the end in the log of the control node", || {
        let of = |event: &serde_json::Value| event.to_string().contains("signed out");
        house.gateway.events().into_iter().find(of)
    })
    .await;
}
