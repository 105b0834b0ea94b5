//! What the tests' people do at the provider.

use std::time::Duration;

use doorward_tests::browser::{Browser, PageSocket, Seen};
use doorward_tests::front_door::FrontDoor;
use doorward_tests::provider::{Factor, PASSWORD};
use doorward_tests::wire::within;

/// The cookie of a session.
pub(crate) const SESSION: &str = "__Host-doorward-session";

/// Fills in the form of the provider, which must be there, and sees where that leads.
pub(crate) async fn proves(browser: &Browser, door: &FrontDoor, name: &str, factor: Factor) -> Seen {
    let form = browser.look().await;
    assert!(form.url.starts_with(&door.provider.url()), "not at the provider: {form:#?}");
    browser.fill("User", name).await;
    browser.fill("Password", PASSWORD).await;
    browser.choose("Second factor", factor.value()).await;
    browser.click("Sign in").await
}

/// Goes to an app as somebody who has to sign in for it, and does.
pub(crate) async fn comes_in(
    door: &FrontDoor,
    name: &str,
    factor: Factor,
    app: &str,
    path: &str,
) -> (Browser, Seen) {
    let browser = Browser::new().await;
    browser.go(&door.url(app, path)).await;
    proves(&browser, door, name, factor).await;
    let seen = browser.at(&door.url(app, path)).await;
    (browser, seen)
}

/// Waits until what the page holds open is as a test wants it.
pub(crate) async fn socket(
    browser: &Browser,
    what: &str,
    wanted: impl Fn(&PageSocket) -> bool,
) -> PageSocket {
    within(what, async {
        loop {
            let state = browser.socket().await;
            if wanted(&state) {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}
