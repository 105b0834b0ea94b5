//! What is demanded of a sign-in: proved, or the person is told; and nobody is sent around and around.

use std::time::Duration;

use doorward_identity::attempt::WEAK_COOKIE;
use doorward_model::{Demand, Strength, Target};
use doorward_state::Action;
use serde_json::json;

use super::house::{At, Browser, Doors, LOGIN, PAYROLL, WIKI};
use super::provider::{self, Proof};
use super::{MFA, alice, link, payroll, wiki};

#[tokio::test]
async fn what_is_demanded_is_proved_or_the_person_is_told() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    doors.signs_in(&mut browser, "alice", &wiki("/")).await.app();
    let before = doors.session(&browser, LOGIN).unwrap();
    // The provider does not do what it is asked: once more, and then the page.
    let at = doors.opens_with(&mut browser, &payroll("/admin"), MFA).await;
    let again = doors.comes_back(&mut browser, at, "alice", Proof::Password).await;
    let At::Provider(sent_to) = &again else { panic!("{again:?}") };
    assert_eq!(provider::query(sent_to)["prompt"], "login");
    let (status, page) = doors.comes_back(&mut browser, again, "alice", Proof::Password).await.page();
    assert_eq!(status, 403);
    assert!(page.contains("A stronger sign-in is needed") && page.contains("Use another account"), "{page}");
    assert!(doors.session(&browser, PAYROLL).is_none());
    assert_eq!(doors.session(&browser, LOGIN).unwrap().id, before.id, "the session that there was stays");

    // It is told so at once, wherever else the same is demanded; what is not the same is asked for.
    for address in [wiki("/other"), payroll("/admin")] {
        let (status, page) = doors.opens_with(&mut browser, &address, MFA).await.page();
        assert!(status == 403 && page.contains("A stronger sign-in is needed"), "{page}");
    }
    let key = Demand { strength: Strength::PhishingResistant, max_age: None };
    doors.opens_with(&mut browser, &wiki("/other"), key).await.provider();

    // It does, when somebody tries again: the session keeps its name and when it began.
    let (_, page) = doors.opens_with(&mut browser, &payroll("/admin"), MFA).await.page();
    let at = doors.goes(&mut browser, &link(&page, "provider=corp")).await;
    let At::Provider(sent_to) = &at else { panic!("{at:?}") };
    assert_eq!(provider::query(sent_to)["prompt"], "login", "what it has was not enough");
    assert_eq!(doors.comes_back(&mut browser, at, "alice", Proof::Mfa).await.app(), payroll("/admin"));
    let after = doors.session(&browser, PAYROLL).unwrap();
    assert_eq!(
        (after.id, after.signed_in_at, after.expires_at),
        (before.id, before.signed_in_at, before.expires_at)
    );
    assert!(
        after.assurance.mfa && !doors.session(&browser, WIKI).unwrap().assurance.mfa,
        "the old value gained nothing"
    );
    // And the next app that demands it asks nobody.
    assert_eq!(doors.opens_with(&mut browser, &wiki("/secret"), MFA).await.app(), wiki("/secret"));
    let codes: Vec<_> = doors.told(4).await.iter().map(|e| e["metadata"]["event_code"].clone()).collect();
    assert_eq!(codes, ["session.begun", "sign_in.refused", "sign_in.refused", "session.raised"]);

    // Somebody else proves it: that is another session.
    let mut other = Browser::default();
    doors.signs_in(&mut other, "bob", &wiki("/")).await.app();
    let bobs = doors.session(&other, LOGIN).unwrap();
    let at = doors.opens_with(&mut other, &payroll("/"), MFA).await;
    doors.comes_back(&mut other, at, "carol", Proof::Mfa).await.app();
    let carols = doors.session(&other, LOGIN).unwrap();
    assert!(carols.id != bobs.id && carols.user.id.subject().as_str() == "carol");
    assert!(doors.revocations.lookup(&Target::Token(bobs.id.token(&bobs.user))).is_some());
}

#[tokio::test]
async fn a_recent_sign_in_is_demanded_by_when_it_was() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    doors.signs_in(&mut browser, "alice", &wiki("/")).await.app();
    let fresh = Demand { strength: Strength::Any, max_age: Some(Duration::from_secs(300)) };
    assert_eq!(doors.opens_with(&mut browser, &payroll("/"), fresh).await.app(), payroll("/"));
    doors.passes(Duration::from_secs(400));
    let at = doors.opens_with(&mut browser, &payroll("/"), fresh).await;
    let sent_to = at.provider();
    assert_eq!(provider::query(&sent_to)["max_age"], "300");
    // The provider says when the person signed in, and that is too long ago.
    let old = json!({"sub": "alice", "auth_time": doors.now().seconds() - 400});
    let back = doors.provider.answer_with(&sent_to, old, doors.now().seconds());
    let again = doors.goes(&mut browser, &back).await;
    assert_eq!(doors.comes_back(&mut browser, again, "alice", Proof::Password).await.app(), payroll("/"));
}

/// What the provider ends by its session must end the cookies of all hosts.
#[tokio::test]
async fn another_session_at_the_provider_is_another_session_here() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    doors.signs_in(&mut browser, "alice", &wiki("/")).await.app();
    let before = doors.session(&browser, WIKI).unwrap();
    let sent_to = doors.opens_with(&mut browser, &payroll("/"), MFA).await.provider();
    let at = doors.now().seconds();
    let claims = json!({"sub": "alice", "amr": ["pwd", "otp", "mfa"], "auth_time": at, "sid": "op-2"});
    let back = doors.provider.answer_with(&sent_to, claims, at);
    assert_eq!(doors.goes(&mut browser, &back).await.app(), payroll("/"));
    let after = doors.session(&browser, LOGIN).unwrap();
    assert_ne!(after.id, before.id);
    let ended = doors.revocations.lookup(&Target::Token(before.id.token(&before.user)));
    assert!(ended.is_some(), "the cookie of the wiki ends with it");
}

/// The session that is to be made stronger was ended while its person was at the provider.
#[tokio::test]
async fn a_session_that_was_ended_is_not_made_stronger() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    doors.signs_in(&mut browser, "alice", &wiki("/")).await.app();
    let mut session = doors.session(&browser, LOGIN).unwrap();
    let began = session.signed_in_at;
    doors.revoke(Target::User(alice()), Action::Revoke).await;
    let request = doors.request(&browser, &format!("https://{LOGIN}/"), "GET", "");
    let asking =
        super::super::persons::Asking::new(None, &request).unwrap_or_else(|_| panic!("an app's name"));
    let no = asking.admits(&doors.house, &session).await.unwrap_err().refusal();
    assert_eq!((no.code.as_str(), session.signed_in_at), ("revoked", began));
    asking.admits_new(&doors.house, &mut session).await.unwrap();
    assert!(session.signed_in_at > began, "a new one waits");
}

#[tokio::test]
async fn of_two_tabs_the_weaker_takes_nothing_from_the_other() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    let (one, two) =
        (doors.opens(&mut browser, &wiki("/1")).await, doors.opens(&mut browser, &wiki("/2")).await);
    doors.comes_back(&mut browser, one, "alice", Proof::Mfa).await.app();
    doors.comes_back(&mut browser, two, "alice", Proof::Password).await.app();
    assert!(doors.session(&browser, LOGIN).unwrap().assurance.mfa);
}

/// Each came back with too little once. That is as good as one tab twice, and over when one of them proves it.
#[tokio::test]
async fn two_tabs_that_prove_too_little_are_two_failures() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    doors.signs_in(&mut browser, "alice", &wiki("/")).await.app();
    let one = doors.opens_with(&mut browser, &payroll("/"), MFA).await;
    let two = doors.opens_with(&mut browser, &wiki("/secret"), MFA).await;
    let again = doors.comes_back(&mut browser, one, "alice", Proof::Password).await;
    assert!(matches!(again, At::Provider(_)), "{again:?}");
    assert_eq!(doors.comes_back(&mut browser, two, "alice", Proof::Password).await.page().0, 403);
    let weak =
        |browser: &Browser| browser.names(LOGIN).iter().filter(|name| name.starts_with(WEAK_COOKIE)).count();
    assert_eq!(weak(&browser), 2);
    let before = browser.clone();
    assert_eq!(doors.comes_back(&mut browser, again, "alice", Proof::Mfa).await.app(), payroll("/"));
    assert_eq!(weak(&browser), 0);

    // What was too little ten minutes ago counts no more.
    let mut browser = before;
    assert_eq!(doors.opens_with(&mut browser, &wiki("/secret"), MFA).await.page().0, 403);
    doors.passes(Duration::from_secs(601));
    doors.opens_with(&mut browser, &wiki("/secret"), MFA).await.provider();
}
