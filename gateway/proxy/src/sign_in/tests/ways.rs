//! Who goes on to apps: how often, with which certificate, and where somebody goes who is not let in.

use std::time::Duration;

use doorward_identity::BrowserSession;
use doorward_model::limits::CODES_PER_PERSON_MAX;
use doorward_model::{Demand, Refusal, RefusalCode, Target, Thumbprint};
use doorward_state::Action;

use super::house::{At, Browser, Doors, LOGIN, PAYROLL, WIKI};
use super::provider::{self, Proof};
use crate::devices;

#[tokio::test]
async fn nobody_fills_the_store_with_codes() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    doors.signs_in(&mut browser, "alice", &format!("https://{WIKI}/")).await.app();
    let page = format!("https://{PAYROLL}/x");
    let location = doors.begin(&mut browser, &page, Demand::default());
    let mut codes = 1;
    let refused = loop {
        let answer = doors.asks(&mut browser, &location, "GET", "").await;
        if answer.status != 303 {
            break answer;
        }
        codes += 1;
        assert!(codes < 1000, "there is an end");
    };
    assert_eq!((codes, refused.refused), (CODES_PER_PERSON_MAX, Some(RefusalCode::Overloaded)));
    let text = String::from_utf8(refused.body).unwrap();
    assert!(text.contains("Try again") && text.contains(&page), "{text}");
    let mut other = Browser::default();
    doors.signs_in(&mut other, "bob", &page).await.app();
    doors.passes(Duration::from_secs(121));
    assert_eq!(doors.opens(&mut browser, &page).await.app(), page, "and so does she, in a while");
}

/// The page of an app says who is not let in, and leads here.
#[tokio::test]
async fn who_is_not_let_in_is_asked_for_another_account() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    let link = format!("https://{WIKI}/.doorward/sign-in?strength=any");
    let at = doors.goes(&mut browser, &link).await;
    let At::Provider(sent_to) = &at else { panic!("{at:?}") };
    assert_eq!(provider::query(sent_to).get("prompt"), None, "nobody was refused yet");
    doors.comes_back(&mut browser, at, "alice", Proof::Password).await.app();
    doors.revoke(Target::User("corp:alice".parse().unwrap()), Action::Disable).await;
    let at = doors.goes(&mut browser, &link).await;
    let At::Provider(sent_to) = &at else { panic!("{at:?}") };
    assert_eq!(provider::query(sent_to)["prompt"], "select_account");
    doors.comes_back(&mut browser, at, "bob", Proof::Password).await.app();
    assert_eq!(doors.session(&browser, WIKI).unwrap().user.id.to_string(), "corp:bob");
}

/// Nobody signs in, or goes on to an app, with the certificate of a device that does not stand. They may leave.
#[tokio::test]
async fn a_certificate_that_does_not_stand_is_refused_at_our_pages_too() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    doors.signs_in(&mut browser, "alice", &format!("https://{WIKI}/")).await.app();
    let start = doors.begin(&mut browser, &format!("https://{PAYROLL}/x"), Demand::default());
    let out = format!("https://{LOGIN}/.doorward/sign-out");
    let home = format!("https://{LOGIN}/.doorward/");
    for (address, unfit, refused) in [
        (&start, true, true),
        (&home, true, true),
        (&out, true, false),
        (&format!("https://{WIKI}/.doorward/sign-out"), true, false),
        (&home, false, false),
        (&start, false, false),
    ] {
        let mut request = doors.request(&browser, address, "GET", "");
        let reason = Some("The certificate of this device is not accepted any more.".to_owned());
        let why = Refusal { reason, ..Refusal::new(RefusalCode::DeviceCertificate, "revoked") };
        request.unfit = unfit.then(|| Box::new(why));
        let answer = doors.sign_in.serve(&doors.house, &request).await;
        let expect = refused.then_some(RefusalCode::DeviceCertificate);
        assert_eq!(answer.refused, expect, "{address} {unfit}");
        let text = String::from_utf8(answer.body).unwrap();
        assert_eq!(text.contains("is not accepted any more"), refused, "{text}");
        assert_eq!(text.contains("choose the certificate of your device"), refused, "{text}");
    }
}

/// The host of an app that asks for certificates takes a session over with that of the sign-in, and with no other.
#[tokio::test]
async fn a_session_of_a_device_is_taken_over_by_no_host_that_asks_and_is_shown_none() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    doors.signs_in(&mut browser, "alice", &format!("https://{WIKI}/")).await.app();
    let free = doors.session(&browser, LOGIN).unwrap();
    let bound = BrowserSession { binding: Some(Thumbprint::new([7; 32])), ..free.clone() };
    for (session, asks, taken) in
        [(&free, false, true), (&free, true, true), (&bound, false, true), (&bound, true, false)]
    {
        let mut request =
            doors.request(&browser, &format!("https://{WIKI}/.doorward/enter?code=x"), "GET", "");
        request.asks_for_certificate = asks;
        match devices::taken_over(session, &request) {
            Ok(binding) => assert!(taken && binding.is_none(), "{asks}"),
            Err(no) => {
                assert!(!taken && no.code == RefusalCode::DeviceCertificate, "{no}");
                assert!(no.reason.unwrap().contains("another one, or none"));
            }
        }
    }
}
