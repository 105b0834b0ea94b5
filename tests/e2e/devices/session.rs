//! A session that began with the certificate of a device is of no use elsewhere.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use doorward_tests::devices::H1 as OVER_H1;
use doorward_tests::gateway::PORT;
use doorward_tests::h1::Response;
use doorward_tests::openid::{OpenId, Proof, SECRET};
use doorward_tests::visitor::{NAVIGATION, Visitor};
use doorward_tests::wire::within;
use serde_json::json;

use crate::door::{ANY, Door, PROVED};

const COOKIE: &str = "__Host-doorward-session";

/// Where a browser came to: at the provider, or at a page.
enum There {
    Provider(String),
    Page(Response),
}

async fn goes(browser: &mut Visitor<'_>, provider: &OpenId, url: &str) -> There {
    let mut url = url.to_owned();
    for _ in 0..10 {
        let answer = browser.ask("GET", &url, &NAVIGATION, b"").await.unwrap();
        match answer.head.value("location") {
            None => return There::Page(answer),
            Some(to) if to.starts_with(provider.url()) => return There::Provider(to),
            Some(to) if to.starts_with('/') => {
                let end = url.find('/').map_or(0, |i| i + 2);
                let host = url[end..].split('/').next().unwrap();
                url = format!("https://{host}{to}");
            }
            Some(to) => url = to,
        }
    }
    panic!("ten redirects and no end, the last to {url}");
}

/// Goes to a page and signs in on the way. Says what came of it, and whether the provider was asked.
async fn visits(browser: &mut Visitor<'_>, provider: &OpenId, url: &str) -> (u16, bool) {
    match goes(browser, provider, url).await {
        There::Page(page) => (page.status(), false),
        There::Provider(asked) => {
            let back = provider.answer(&asked, "alice", Proof::Password);
            match goes(browser, provider, &back).await {
                There::Page(page) => (page.status(), true),
                There::Provider(again) => panic!("asked again: {again}"),
            }
        }
    }
}

/// With people who sign in.
async fn door_with(provider: &OpenId) -> Door {
    Door::with(|config, folder| {
        let secret = folder.join("client.secret");
        std::fs::write(&secret, SECRET).unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        config
            .set("directory.people", json!("token"))
            .set("sign_in", json!({"url": format!("https://login.test:{PORT}")}))
            .add("issuer", provider.section("corp", secret.to_str().unwrap()));
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_a_device_goes_on_with_its_certificate_alone() {
    let provider = OpenId::start().await;
    let door = door_with(&provider).await;
    let url = |host: &str, path: &str| format!("https://{host}:{}{path}", door.address().port());
    let (hers, others) = (door.devices.certificate("laptop-7"), door.devices.certificate("laptop-8"));
    let mut browser = Visitor::new(&door.servers);
    browser.shows(Some(door.client(&hers)));
    assert_eq!(visits(&mut browser, &provider, &url("wiki.test", PROVED)).await, (200, true));
    assert_eq!(visits(&mut browser, &provider, &url("wiki.test", ANY)).await, (200, false));
    assert_eq!(
        visits(&mut browser, &provider, &url("vault.test", "/")).await,
        (200, false),
        "one sign-in for all"
    );

    // Whoever copies the cookies has nothing without the key, not even where people sign in, and not at an app that
    // looks at no certificate.
    assert_eq!(visits(&mut browser, &provider, &url("open.test", "/")).await, (200, false));
    for thief in [None, Some(door.client(&others))] {
        for (host, path) in [("wiki.test", ANY), ("open.test", "/")] {
            let mut elsewhere = Visitor::new(&door.servers);
            elsewhere.shows(thief.clone());
            for of in [host, "login.test"] {
                elsewhere.put_cookie(of, COOKIE, browser.cookie(of, COOKIE).unwrap());
            }
            let there = goes(&mut elsewhere, &provider, &url(host, path)).await;
            assert!(matches!(there, There::Provider(_)), "{host}: asked who they are");
        }
    }
    assert_eq!(visits(&mut browser, &provider, &url("wiki.test", ANY)).await, (200, false), "hers goes on");

    // With the certificate the session is over, on connections that resume, too, and at every app.
    door.lists(&door.devices.list(&[&hers], 3600)).await;
    for (host, path) in [("wiki.test", ANY), ("open.test", "/")] {
        let there = browser.ask("GET", &url(host, path), &NAVIGATION, b"").await;
        assert!(there.map_or(true, |answer| answer.status() != 200), "{host}");
    }
    // Without it she signs in anew, and that session is bound to nothing.
    browser.shows(None);
    assert_eq!(visits(&mut browser, &provider, &url("wiki.test", ANY)).await, (200, true));
    assert_eq!(visits(&mut browser, &provider, &url("wiki.test", PROVED)).await.0, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_does_not_stand_is_refused_where_people_sign_in_too() {
    let provider = OpenId::start().await;
    let door = door_with(&provider).await;
    let hers = door.devices.certificate("laptop-7");
    let none = door.token("nobody");
    let shown = door.client(&hers);
    let mut visit = door.visit(&shown, "login.test").await.unwrap();
    assert_eq!(visit.told(&none, "/.doorward/").await, "200");
    door.lists(&door.devices.list(&[&hers], 3600)).await;
    let mut resumed = door.visit(&shown, "login.test").await.unwrap();
    assert!(resumed.resumed, "nobody looks at the list in this handshake");
    for path in ["/.doorward/", "/", "/.doorward/callback/corp?state=x"] {
        assert_eq!(resumed.told(&none, path).await, "device_certificate", "{path}");
    }
    assert_eq!(visit.told(&none, "/.doorward/").await, "device_certificate", "nor on the one that is open");
    assert_eq!(visit.told(&none, "/.doorward/sign-out").await, "200", "whoever is here may leave");
    let mut without = door.visit(&door.stranger(OVER_H1), "login.test").await.unwrap();
    assert_eq!(without.told(&none, "/.doorward/").await, "200");
    let metrics = door.gateway().metrics().await;
    let done = metrics["doorward_tls_handshakes_total{outcome=\"done\"}"];
    assert!(done >= 2.0, "{done}");
    // Nothing to resume: the handshake itself looks at the list.
    let refused = "doorward_client_certificates_refused_total{why=\"revoked\"}";
    let before = metrics[refused];
    assert_eq!(
        door.told(&hers.client(&door.servers, OVER_H1), "alice", "wiki.test", ANY).await,
        "no handshake"
    );
    within("the refused handshake to be counted", async {
        loop {
            let metrics = door.gateway().metrics().await;
            if metrics[refused] > before && metrics["doorward_tls_handshakes_total{outcome=\"failed\"}"] > 0.0
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_a_device_is_taken_over_by_its_certificate_alone() {
    let provider = OpenId::start().await;
    let door = door_with(&provider).await;
    let (hers, others) = (door.devices.certificate("laptop-7"), door.devices.certificate("laptop-8"));
    let (hers, others) = (door.client(&hers), door.client(&others));
    let at = |listener: usize, host: &str, path: &str| {
        format!("https://{host}:{}{path}", door.gateway().listener(listener).port())
    };
    let mut browser = Visitor::new(&door.servers);
    browser.shows(Some(hers.clone()));
    assert_eq!(visits(&mut browser, &provider, &at(0, "wiki.test", ANY)).await, (200, true));
    for (listener, shows, status) in
        [(0, None, 403), (0, Some(&others), 403), (0, Some(&hers), 303), (2, None, 303)]
    {
        browser.shows(Some(hers.clone()));
        browser.put_cookie("open.test", COOKIE, "none");
        let away = browser.ask("GET", &at(0, "open.test", "/"), &NAVIGATION, b"").await.unwrap();
        let start = away.head.value("location").unwrap();
        let back = browser.ask("GET", &start, &NAVIGATION, b"").await.unwrap();
        let enter = back.head.value("location").unwrap();
        let code = enter.split_once("/.doorward/").unwrap_or_else(|| panic!("{enter}")).1;
        browser.shows(shows.cloned());
        let enter = at(listener, "open.test", &format!("/.doorward/{code}"));
        let answer = browser.ask("GET", &enter, &NAVIGATION, b"").await.unwrap();
        assert_eq!(answer.status(), status, "{listener} {}", shows.is_some());
        let is_in = browser.cookie("open.test", COOKIE).is_some_and(|value| value != "none");
        assert_eq!(is_in, status == 303);
        if status == 403 {
            assert_eq!(answer.head.value("x-doorward-refusal").unwrap(), "device_certificate");
            assert!(answer.text().contains("was shown another one, or none"), "{}", answer.text());
        } else {
            let page = browser.ask("GET", &at(listener, "open.test", "/"), &NAVIGATION, b"").await.unwrap();
            assert_eq!(page.status(), 200);
        }
    }
}
