//! More is proved where a policy wants more, and it is the gateway that looks whether it was.

use doorward_tests::browser::Browser;
use doorward_tests::front_door::{FrontDoor, People};
use doorward_tests::provider::Factor;
use serde_json::json;

use crate::hand::{comes_in, proves};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_page_asks_for_a_security_key_and_opens_with_it() {
    let door = FrontDoor::start(People::Known, |_| {}).await;
    let (browser, home) = comes_in(&door, "alice", Factor::Otp, "payroll", "/").await;
    assert_eq!(home.status, 200, "{home:#?}");
    let form = browser.click("Administration").await;
    assert!(form.url.starts_with(&door.provider.url()), "{form:#?}");
    let admin = proves(&browser, &door, "alice", Factor::Webauthn).await;
    assert_eq!((admin.status, admin.title.as_str()), (200, "Payroll administration"), "{admin:#?}");
    assert_eq!(admin.url, door.url("payroll", "/admin"));
    browser.screenshot("7-after-the-security-key").await;
    // What was proved holds, at the other apps, too, and nobody is asked twice.
    assert_eq!(browser.go(&door.url("payroll", "/admin")).await.status, 200);
    assert_eq!(browser.go(&door.url("wiki", "/")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_cannot_be_skipped_where_the_provider_does_not_look_at_acr_values() {
    let door = FrontDoor::start(People::Known, |_| {}).await;
    door.provider.faults(json!({"ignore_acr_values": true})).await;
    let (browser, home) = comes_in(&door, "alice", Factor::Otp, "payroll", "/").await;
    assert_eq!(home.status, 200, "{home:#?}");
    // The provider thinks that the session it has is enough, or asks and is shown the same again.
    let mut seen = browser.click("Administration").await;
    for _ in 0..4 {
        if !seen.url.starts_with(&door.provider.url()) {
            break;
        }
        seen = proves(&browser, &door, "alice", Factor::Otp).await;
    }
    assert_eq!(seen.status, 403, "{seen:#?}");
    assert!(!seen.text.contains("You are corp:alice."), "{seen:#?}");
    browser.screenshot("8-not-enough").await;
    // It does not go round in circles: each try of the person is answered by a page within two questions.
    let asked = door.provider.count("/auth").await;
    let mut again = browser.go(&door.url("payroll", "/admin")).await;
    for _ in 0..2 {
        if again.url.starts_with(&door.provider.url()) {
            again = proves(&browser, &door, "alice", Factor::Otp).await;
        }
    }
    assert_eq!(again.status, 403, "{again:#?}");
    assert!(door.provider.count("/auth").await <= asked + 2);
    // What they had they still have, and with the key they are let in when they try again.
    assert_eq!(browser.go(&door.url("payroll", "/")).await.status, 200);
    browser.go(&door.url("payroll", "/admin")).await;
    browser.click("Try again").await;
    let admin = proves(&browser, &door, "alice", Factor::Webauthn).await;
    assert_eq!(admin.title, "Payroll administration", "{admin:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_cannot_be_skipped_by_taking_acr_values_out_of_the_address() {
    let door = FrontDoor::start(People::Known, |_| {}).await;
    let (browser, _) = comes_in(&door, "alice", Factor::Otp, "payroll", "/").await;
    let mut changed = 0;
    for _ in 0..3 {
        // As somebody does who edits the address before they press enter.
        let asked = browser.stop_before(&door.url("payroll", "/admin"), &door.provider.url()).await;
        let Some(asked) = asked else { break };
        let (kept, _) = without(&without(&asked, "acr_values").0, "max_age");
        changed += usize::from(kept != asked);
        browser.go(&kept).await;
    }
    assert!(changed > 0, "nothing was asked for, so nothing was taken out");
    let seen = browser.go(&door.url("payroll", "/admin")).await;
    let at_the_provider = seen.url.starts_with(&door.provider.url());
    assert!(at_the_provider || seen.status == 403, "{seen:#?}");
    assert!(!seen.text.contains("You are corp:alice."), "{seen:#?}");
}

/// An address without a parameter, and whether it was there.
fn without(url: &str, parameter: &str) -> (String, bool) {
    let Some((place, query)) = url.split_once('?') else { return (url.to_owned(), false) };
    let (taken, kept): (Vec<_>, Vec<_>) =
        query.split('&').partition(|pair| pair.starts_with(&format!("{parameter}=")));
    (format!("{place}?{}", kept.join("&")), !taken.is_empty())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_is_not_asked_for_more() {
    let door = FrontDoor::start(People::Known, |_| {}).await;
    let browser = Browser::new().await;
    browser.go(&door.url("payroll", "/")).await;
    let seen = proves(&browser, &door, "bob", Factor::Otp).await;
    assert_eq!(seen.status, 403, "{seen:#?}");
    browser.screenshot("9-not-for-engineers").await;
}
