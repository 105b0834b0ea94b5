//! Once for all apps, and no more than that.

use doorward_tests::browser::Browser;
use doorward_tests::front_door::{FrontDoor, People};
use doorward_tests::provider::Factor;
use doorward_tests::wire::now;
use serde_json::json;

use crate::hand::{SESSION, comes_in, proves};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_signs_in_once_for_every_app() {
    for people in [People::Known, People::Token] {
        let door = FrontDoor::start(people, |_| {}).await;
        let browser = Browser::new().await;
        let form = browser.go(&door.url("wiki", "/?page=1")).await;
        assert!(form.url.starts_with(&door.provider.url()), "{form:#?}");
        browser.screenshot("1-at-the-provider").await;
        let wiki = proves(&browser, &door, "alice", Factor::Otp).await;
        assert_eq!(
            (wiki.status, wiki.url.as_str()),
            (200, door.url("wiki", "/?page=1").as_str()),
            "{wiki:#?}"
        );
        assert!(wiki.text.contains("The gateway says that you are corp:alice"), "{wiki:#?}");
        browser.screenshot("2-the-wiki").await;

        // The second app, and the third, without the provider.
        let asked = door.provider.count("/auth").await;
        let payroll = browser.go(&door.url("payroll", "/")).await;
        assert_eq!((payroll.status, payroll.title.as_str()), (200, "Payroll"), "{payroll:#?}");
        assert!(payroll.text.contains("You are corp:alice."), "{payroll:#?}");
        browser.screenshot("3-a-second-app").await;
        assert_eq!(door.provider.count("/auth").await, asked, "the provider was asked again");

        // What the browser keeps says nothing, belongs to one host each, and no script can read it.
        let sessions: Vec<_> = browser.cookies().await.into_iter().filter(|c| c["name"] == SESSION).collect();
        let mut hosts: Vec<_> = sessions.iter().map(|c| c["domain"].as_str().unwrap().to_owned()).collect();
        hosts.sort();
        assert_eq!(hosts, ["login.corp.example", "payroll.corp.example", "wiki.corp.example"]);
        for cookie in &sessions {
            assert_eq!((&cookie["httpOnly"], &cookie["secure"]), (&json!(true), &json!(true)), "{cookie}");
            assert_eq!((&cookie["sameSite"], &cookie["path"]), (&json!("Lax"), &json!("/")), "{cookie}");
            assert!(!cookie["value"].as_str().unwrap().to_ascii_lowercase().contains("alice"));
        }
        // Of the way there is left what a person needs who presses "back", and it is soon over.
        let names: Vec<_> =
            browser.cookies().await.iter().map(|c| c["name"].as_str().unwrap().to_owned()).collect();
        assert!(
            names.iter().filter(|name| name.starts_with("__Host-doorward-enter-")).count() == 0,
            "{names:?}"
        );
        for cookie in browser.cookies().await {
            if cookie["name"].as_str().unwrap().starts_with("__Host-doorward-attempt-") {
                let left = cookie["expires"].as_f64().unwrap() - now().0 as f64 / 1000.0;
                assert!((0.0..=600.0).contains(&left), "{left} s");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tabs_that_sign_in_at_once_both_arrive() {
    let door = FrontDoor::start(People::Known, |_| {}).await;
    let one = Browser::new().await;
    let two = one.tab().await;
    let (wiki, payroll) = (door.url("wiki", "/"), door.url("payroll", "/"));
    tokio::join!(one.go(&wiki), two.go(&payroll));
    let late = two.look().await;
    one.screenshot("4-two-tabs-the-first").await;
    let seen = proves(&one, &door, "alice", Factor::Otp).await;
    assert_eq!((seen.status, &seen.url), (200, &wiki), "{seen:#?}");
    assert_eq!(two.look().await, late, "the other tab waits");
    let seen = proves(&two, &door, "alice", Factor::Otp).await;
    assert_eq!((seen.status, &seen.url), (200, &payroll), "{seen:#?}");
    two.screenshot("4-two-tabs-the-second").await;
    // Both go on, and the first is not cut off by the second.
    assert_eq!(one.reload().await.status, 200);
    assert_eq!(two.reload().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn going_back_leads_to_no_dead_end() {
    let door = FrontDoor::start(People::Known, |_| {}).await;
    let (browser, wiki) = comes_in(&door, "alice", Factor::Otp, "wiki", "/").await;
    assert_eq!(wiki.status, 200, "{wiki:#?}");
    // Back to the form of the provider, which is used up: nothing of ours, and the person can go on.
    browser.back().await;
    let again = browser.go(&door.url("wiki", "/")).await;
    assert_eq!(again.status, 200, "{again:#?}");
    // The address that the provider sent the browser to, once more.
    let used = browser.go(&door.url("login", "/.doorward/callback/corp?code=used&state=used")).await;
    assert!(used.url.starts_with(&door.url("login", "")) && used.status < 500, "{used:#?}");
    browser.screenshot("5-a-used-address").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_script_of_a_page_is_not_sent_to_the_provider() {
    let door = FrontDoor::start(People::Known, |_| {}).await;
    let (browser, _) = comes_in(&door, "alice", Factor::Otp, "payroll", "/").await;
    let answer = browser.fetch("/data", json!({})).await;
    assert_eq!((&answer["status"], &answer["text"]), (&json!(200), &json!(r#"{"runs":3}"#)));
    door.operate("alice", "end-sessions").await;
    let answer = browser.fetch("/data", json!({})).await;
    assert_eq!((&answer["status"], &answer["redirected"]), (&json!(401), &json!(false)), "{answer:#}");
    assert_eq!(answer["headers"]["content-type"], "application/problem+json", "{answer:#}");
    assert!(answer["headers"]["www-authenticate"].is_string(), "{answer:#}");
    let problem: serde_json::Value = serde_json::from_str(answer["text"].as_str().unwrap()).unwrap();
    assert!(
        problem["sign_in"].as_str().unwrap().starts_with(&door.url("payroll", "/.doorward/")),
        "{problem}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_address_is_not_verified_is_told_so() {
    // She was invited, by the address that the provider does not vouch for.
    let door = FrontDoor::start(People::Known, |_| {}).await;
    let browser = Browser::new().await;
    browser.go(&door.url("wiki", "/")).await;
    let seen = proves(&browser, &door, "carol", Factor::Otp).await;
    assert!(seen.url.starts_with(&door.url("login", "/.doorward/callback")), "{seen:#?}");
    assert_eq!(seen.status, 403, "{seen:#?}");
    assert!(seen.text.contains("e-mail address"), "{seen:#?}");
    browser.screenshot("6-not-verified").await;
    assert!(browser.cookies().await.iter().all(|c| c["name"] != SESSION));
}
