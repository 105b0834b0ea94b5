//! Somebody sees where they are signed in, and signs out, at the provider as well.

use doorward_tests::browser::Browser;
use doorward_tests::front_door::{FrontDoor, People};
use doorward_tests::provider::Factor;
use serde_json::json;

use crate::hand::{SESSION, comes_in, proves};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_signs_out_is_out_at_every_app_and_at_the_provider() {
    let door = FrontDoor::start(People::Known, |_| {}).await;
    let (browser, _) = comes_in(&door, "alice", Factor::Otp, "payroll", "/").await;
    let tab = browser.tab().await;
    assert_eq!(tab.go(&door.url("wiki", "/")).await.status, 200);
    let (elsewhere, _) = comes_in(&door, "alice", Factor::Otp, "wiki", "/").await;

    let yours = tab.go(&door.url("login", "/.doorward/")).await;
    assert_eq!((yours.status, yours.title.as_str()), (200, "You are signed in"), "{yours:#?}");
    tab.screenshot("15-where-you-are-signed-in").await;
    let asked = tab.click("More ways to sign out").await;
    assert_eq!((asked.status, asked.title.as_str()), (200, "Sign out?"), "{asked:#?}");
    tab.screenshot("16-sign-out").await;
    tab.click("Sign out").await;
    tab.expect("Sign out here, too?").await;
    assert!(tab.look().await.url.starts_with(&door.provider.url()));
    let out = tab.click("Yes, sign out").await;
    assert!(out.url.starts_with(&door.url("login", "/.doorward/signed-out")), "{out:#?}");
    assert!(out.text.contains("signed out"), "{out:#?}");
    tab.screenshot("17-you-are-signed-out").await;

    // The page that is still open at another app is told so, and the next click leads to the provider, which asks.
    let answer = browser.fetch("/data", json!({})).await;
    assert_eq!(answer["status"], 401, "{answer:#}");
    let next = browser.reload().await;
    assert!(next.url.starts_with(&door.provider.url()), "{next:#?}");
    assert!(next.text.contains("Password"), "{next:#?}");
    // The session on the other device goes on, and somebody else can sign in here.
    assert_eq!(elsewhere.reload().await.status, 200);
    let other = proves(&browser, &door, "dana", Factor::Otp).await;
    assert_eq!(other.status, 403, "payroll is not for dana: {other:#?}");
    let wiki = tab.go(&door.url("wiki", "/")).await;
    assert!(wiki.text.contains("corp:dana"), "{wiki:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_signed_out_by_another_site() {
    let door = FrontDoor::start(People::Known, |_| {}).await;
    let (browser, _) = comes_in(&door, "alice", Factor::Otp, "payroll", "/").await;
    // A page of another origin sends the form that signs out.
    let evil = browser.tab().await;
    evil.go(&door.provider.url()).await;
    let seen = evil.post(&door.url("login", "/.doorward/sign-out"), json!({"how": "everywhere"})).await;
    assert!(matches!(seen.status, 400 | 401 | 403), "{seen:#?}");
    assert_eq!(browser.reload().await.status, 200);
    assert!(browser.cookies().await.iter().any(|cookie| cookie["name"] == SESSION));
    let stranger = Browser::new().await;
    let page = stranger.go(&door.url("login", "/.doorward/")).await;
    assert_eq!(page.title, "You are not signed in", "{page:#?}");
    stranger.screenshot("18-not-signed-in").await;
}
