//! Who leaves is out everywhere, and sees why.

use doorward_tests::front_door::{FrontDoor, People};
use doorward_tests::provider::Factor;
use doorward_tests::wire::now;

use crate::hand::{SESSION, comes_in, proves, socket};

/// How long what runs may go on after the acknowledgment, on a machine that does other things as well.
const CUT_MILLIS_MAX: i64 = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_deactivated_loses_what_is_open_and_the_next_click() {
    for people in [People::Known, People::Token] {
        let door = FrontDoor::start(people, |_| {}).await;
        let (browser, page) = comes_in(&door, "bob", Factor::Otp, "build", "/live").await;
        assert_eq!(page.status, 200, "{page:#?}");
        let open = socket(&browser, "messages", |s| s.messages > 2).await;
        assert!(open.opened && open.closed.is_none(), "{open:?}");
        browser.screenshot("10-a-page-that-holds-a-websocket").await;

        match people {
            People::Known => drop(door.operate("bob", "deactivate").await),
            People::Token => drop(door.gateway.change("disable", "user", "corp:bob").await),
        }
        let acknowledged = now().0;
        let cut = socket(&browser, "the end of the WebSocket", |s| s.closed.is_some()).await;
        let (code, reason, at) = cut.closed.unwrap();
        assert_eq!(code, 1008, "{reason}");
        assert!(at - acknowledged < CUT_MILLIS_MAX, "{} ms", at - acknowledged);
        browser.screenshot("11-the-connection-was-closed").await;

        let next = browser.click("Open anew").await;
        assert!(!next.text.contains("Build log"), "{next:#?}");
        browser.screenshot("12-the-next-click").await;
        assert!(matches!(next.status, 401 | 403), "{next:#?}");
        // Nor does a good sign-in at the provider help, or any other app.
        let other = browser.go(&door.url("wiki", "/")).await;
        assert!(!other.text.contains("This is the app wiki"), "{other:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_meets_an_ended_session_is_not_lost_without_a_word() {
    let door = FrontDoor::start(People::Known, |_| {}).await;
    let (browser, _) = comes_in(&door, "alice", Factor::Otp, "payroll", "/").await;
    browser.fill("From", "2026-12-24").await;
    door.operate("alice", "end-sessions").await;
    let seen = browser.click("Ask for leave").await;
    assert_eq!(seen.status, 401, "{seen:#?}");
    assert_eq!(seen.url, door.url("payroll", "/leave"), "it was sent elsewhere");
    assert!(seen.text.to_lowercase().contains("not saved") || seen.text.contains("was not"), "{seen:#?}");
    browser.screenshot("13-a-form-that-was-not-sent").await;
    // As the page says: sign in in a new tab, come back, reload, and what they wrote is sent.
    let tab = browser.click_into_tab("Sign in in a new tab").await;
    let seen = tab.look().await;
    if seen.url.starts_with(&door.provider.url()) {
        proves(&tab, &door, "alice", Factor::Otp).await;
    }
    tab.screenshot("14-signed-in-in-a-new-tab").await;
    let saved = browser.reload().await;
    assert!(saved.text.contains("Saved: from 2026-12-24"), "{saved:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_cookie_of_one_app_opens_no_other() {
    let door = FrontDoor::start(People::Known, |_| {}).await;
    let (browser, _) = comes_in(&door, "alice", Factor::Otp, "wiki", "/").await;
    let cookies = browser.cookies().await;
    let stolen = cookies.iter().find(|c| c["name"] == SESSION && c["domain"] == "wiki.corp.example").unwrap();
    let mut thief = doorward_tests::visitor::Visitor::new(doorward_tests::browser::authority());
    thief.put_cookie("payroll.corp.example", SESSION, stolen["value"].as_str().unwrap());
    let answer = thief.ask("GET", &door.url("payroll", "/data"), &doorward_tests::visitor::SCRIPT, b"").await;
    assert_eq!(answer.unwrap().status(), 401);
}
