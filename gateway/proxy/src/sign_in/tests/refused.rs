//! Sign-ins that are refused, and what people are told then.

use std::sync::Arc;
use std::time::Duration;

use doorward_identity::attempt::{ATTEMPT_COOKIE, Nonce};
use doorward_model::limits::{FAILED_CODES_MAX, FAILED_CODES_PER_NETWORK_MAX, OIDC_CALLS_OF_STRANGERS_MAX};
use doorward_model::{IssuerId, Target};
use doorward_state::Action;
use doorward_state::sessions::OnceKind;
use serde_json::json;

use super::house::{At, Browser, Doors, LOGIN, PAYROLL, WIKI, Word};
use super::provider::{self, Proof};
use super::{MFA, alice, link, payroll, wiki};

#[tokio::test]
async fn who_is_cut_off_is_told_so_and_who_was_signed_out_signs_in_anew() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    doors.signs_in(&mut browser, "alice", &wiki("/")).await.app();
    let before = doors.session(&browser, LOGIN).unwrap();
    // Everything of hers is ended: she signs in anew, and what she gets stands at once.
    doors.revoke(Target::User(alice()), Action::Revoke).await;
    let began = doors.open_for();
    let at = doors.opens(&mut browser, &wiki("/")).await;
    assert_eq!(doors.comes_back(&mut browser, at, "alice", Proof::Password).await.app(), wiki("/"));
    let after = doors.session(&browser, WIKI).unwrap();
    assert_ne!(after.id, before.id);
    let mark = doors.revocations.lookup(&Target::User(alice())).unwrap().not_before;
    assert!(after.signed_in_at > mark.plus(doors.house.issuer_skew), "it would be dead otherwise");
    assert!(doors.open_for().saturating_sub(began) < Duration::from_secs(20));

    doors.revoke(Target::User(alice()), Action::Disable).await;
    let at = doors.opens(&mut browser, &payroll("/")).await;
    let (status, page) = doors.comes_back(&mut browser, at, "alice", Proof::Mfa).await.page();
    assert_eq!(status, 401);
    assert!(page.contains("Your account is not active") && page.contains("Use another account"), "{page}");
    assert!(page.contains("You signed in as corp:alice."), "{page}");
    assert!(doors.session(&browser, PAYROLL).is_none());
    let told = doors.told(3).await;
    let refused = told.last().unwrap();
    assert_eq!(refused["metadata"]["event_code"], "sign_in.refused");
    assert_eq!(
        (&refused["status_detail"], &refused["user"]["uid"]),
        (&json!("disabled"), &json!("corp:alice"))
    );
}

#[tokio::test]
async fn who_was_refused_can_use_another_account() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    doors.revoke(Target::User(alice()), Action::Disable).await;
    let at = doors.opens(&mut browser, &wiki("/x")).await;
    let (_, page) = doors.comes_back(&mut browser, at, "alice", Proof::Password).await.page();
    let at = doors.goes(&mut browser, &link(&page, "/.doorward/again")).await;
    let At::Provider(sent_to) = &at else { panic!("{at:?}") };
    assert_eq!(provider::query(sent_to)["prompt"], "select_account");
    assert_eq!(doors.comes_back(&mut browser, at, "bob", Proof::Password).await.app(), wiki("/x"));
}

#[tokio::test]
async fn who_the_directory_does_not_know_is_told_why() {
    let doors = Doors::with(Word::Directory, "", |_| {}).await;
    let mut browser = Browser::default();
    let sent_to = doors.opens(&mut browser, &wiki("/")).await.provider();
    let claims = json!({"sub": "carol", "email": "carol@corp.example", "email_verified": false});
    let back = doors.provider.answer_with(&sent_to, claims, doors.now().seconds());
    let (status, page) = doors.goes(&mut browser, &back).await.page();
    assert_eq!(status, 403);
    assert!(
        page.contains("You are not known here")
            && page.contains("address is not verified where you signed in"),
        "{page}"
    );
    assert!(doors.session(&browser, LOGIN).is_none());
}

#[tokio::test]
async fn what_the_provider_says_no_to_is_a_page_that_helps() {
    let doors = Doors::open().await;
    for (error, status, title) in [
        ("access_denied", 403, "You were not signed in"),
        ("temporarily_unavailable", 503, "Nobody can sign in right now"),
        ("unmet_authentication_requirements", 403, "A stronger sign-in is needed"),
        ("invalid_scope", 403, "You were not signed in"),
    ] {
        let mut browser = Browser::default();
        let sent_to = doors.opens(&mut browser, &wiki("/")).await.provider();
        let back = doors.provider.refuse(&sent_to, error);
        let (code, page) = doors.goes(&mut browser, &back).await.page();
        assert_eq!(code, status, "{error}");
        // The app would send whoever proved too little to the same page.
        let again = match title == "A stronger sign-in is needed" {
            true => link(&page, "provider=corp"),
            false => link(&page, &wiki("/")),
        };
        assert!(
            page.contains(title) && page.contains(">Try again</a>") && !again.is_empty(),
            "{error}: {page}"
        );
    }
    // An answer of another provider than the one that was asked (RFC 9207).
    let mut browser = Browser::default();
    let sent_to = doors.opens(&mut browser, &wiki("/")).await.provider();
    let back = doors.provider.answer(&sent_to, "alice", Proof::Password, doors.now().seconds());
    let mixed_up = back.replace(&provider::escaped(&doors.provider.url), "https%3A%2F%2Fother.example");
    assert_ne!(back, mixed_up);
    assert_eq!(doors.goes(&mut browser, &mixed_up).await.page().0, 403);
    assert_eq!(doors.provider.redeemed(), 0);
    // A code that is none: whoever has not signed in anywhere gets no place in the store.
    let mut browser = Browser::default();
    let sent_to = doors.opens(&mut browser, &wiki("/")).await.provider();
    let back = doors.provider.refuse(&sent_to, "x").replace("error=x", "code=made-up");
    let (status, page) = doors.goes(&mut browser, &back).await.page();
    assert!(status == 400 && page.contains(&wiki("/")), "{page}");
    // One attempt is one call of the provider, whatever code it is tried with.
    let good = doors.provider.answer(&sent_to, "alice", Proof::Password, doors.now().seconds());
    assert_eq!(doors.goes(&mut browser, &good).await.page().0, 400);
    assert_eq!(doors.provider.redeemed(), 0);
    let state = Nonce::parse(&provider::query(&sent_to)["state"]).unwrap().hash().name();
    let sessions = &doors.sign_in.sessions;
    assert!(sessions.put_once(OnceKind::Attempt, &state, vec![1], Duration::from_secs(1)).await.unwrap());
    // A provider that is away.
    let mut browser = Browser::default();
    let at = doors.opens(&mut browser, &wiki("/")).await;
    doors.provider.goes_down();
    let (status, page) = doors.comes_back(&mut browser, at, "alice", Proof::Password).await.page();
    assert!(status == 503 && page.contains("Try again"), "{page}");
    assert!(doors.session(&browser, LOGIN).is_none());
}

fn has_attempt(browser: &Browser) -> bool {
    browser.names(LOGIN).iter().any(|name| name.starts_with(ATTEMPT_COOKIE))
}

/// No code is spent on a sign-in that could not be written down.
#[tokio::test]
async fn without_the_log_nobody_is_signed_in_and_nothing_is_spent() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    let at = doors.opens(&mut browser, &wiki("/x")).await;
    doors.house.audit.close().unwrap();
    let (status, page) = doors.comes_back(&mut browser, at, "alice", Proof::Password).await.page();
    assert!(status == 503 && page.contains("Access cannot be recorded right now"), "{page}");
    assert!(page.contains(&wiki("/x")), "the way to try again: {page}");
    assert_eq!(doors.provider.redeemed(), 0);
    assert!(doors.session(&browser, LOGIN).is_none() && has_attempt(&browser));
    assert!(doors.sign_in.sessions.of(&alice()).await.unwrap().is_empty());
    doors.goes(&mut browser, &link(&page, "/.doorward/again")).await.provider();
}

/// The log was good when it was asked, and took the event no more.
#[tokio::test]
async fn what_the_log_has_no_room_for_begins_nothing_and_takes_nothing_away() {
    for demand in [None, Some(MFA)] {
        let doors = Doors::open().await;
        let mut browser = Browser::default();
        let before = match demand {
            None => None,
            Some(_) => {
                doors.signs_in(&mut browser, "alice", &wiki("/")).await.app();
                doors.session(&browser, LOGIN)
            }
        };
        let at = doors.opens_with(&mut browser, &payroll("/"), demand.unwrap_or_default()).await;
        let audit = Arc::clone(&doors.house.audit);
        doors.when_sealing(move || audit.close().unwrap());
        let (status, page) = doors.comes_back(&mut browser, at, "alice", Proof::Mfa).await.page();
        assert!(status == 503 && page.contains("Access cannot be recorded right now"), "{page}");
        assert_eq!(doors.session(&browser, LOGIN), before);
        let records = doors.sign_in.sessions.of(&alice()).await.unwrap();
        let Some(before) = before else {
            assert!(records.is_empty(), "nobody has this session");
            continue;
        };
        // The living session is in the list, can be confirmed, and has not ended.
        assert_eq!(records.iter().map(|r| r.id.to_string()).collect::<Vec<_>>(), [before.id.to_string()]);
        let kept = doors.sign_in.kept(&records[0]).unwrap();
        assert!(doors.provider.good().iter().any(|token| token == kept.refresh.expose()));
        assert!(doors.revocations.lookup(&Target::Token(before.id.token(&before.user))).is_none());
    }
}

#[tokio::test]
async fn without_the_records_nobody_is_signed_in_and_it_can_be_tried_again() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    let at = doors.opens(&mut browser, &wiki("/x")).await;
    doors.records_go_away();
    let (status, page) = doors.comes_back(&mut browser, at, "alice", Proof::Password).await.page();
    assert!(status == 503 && page.contains("Nobody can sign in right now"), "{page}");
    assert!(doors.session(&browser, LOGIN).is_none() && has_attempt(&browser));
    doors.records_come_back();
    assert!(doors.sign_in.sessions.of(&alice()).await.unwrap().is_empty());
    let at = doors.goes(&mut browser, &link(&page, "/.doorward/again")).await;
    assert_eq!(doors.comes_back(&mut browser, at, "alice", Proof::Password).await.app(), wiki("/x"));
}

/// Strangers begin as many attempts as they like, and make up a code for each.
#[tokio::test]
async fn made_up_codes_of_one_address_are_taken_to_the_provider_so_often_and_no_more() {
    let doors = Doors::open().await;
    for n in 0..FAILED_CODES_MAX {
        let mut stranger = Browser::default();
        let sent_to = doors.opens(&mut stranger, &wiki("/")).await.provider();
        let back = doors.provider.refuse(&sent_to, "x").replace("error=x", "code=made-up");
        assert_eq!(doors.goes(&mut stranger, &back).await.page().0, 400, "{n}");
    }
    let mut browser = Browser::default();
    let at = doors.opens(&mut browser, &wiki("/")).await;
    let (status, page) = doors.comes_back(&mut browser, at, "alice", Proof::Password).await.page();
    assert!(status == 503 && page.contains("Too many sign-ins from your network failed"), "{page}");
    assert_eq!(doors.provider.redeemed(), 0);
    assert!(doors.session(&browser, LOGIN).is_none());
    doors.passes(Duration::from_secs(15 * 60));
    assert_eq!(doors.signs_in(&mut browser, "alice", &wiki("/")).await.app(), wiki("/"));
}

/// A whole company behind one address tries, and the provider is not well. When it is, everybody is let in at once.
#[tokio::test]
async fn what_is_wrong_with_the_provider_is_not_counted_against_who_tries() {
    let doors = Doors::open().await;
    for (error, status) in [("temporarily_unavailable", 503), ("server_error", 503), ("invalid_client", 500)]
    {
        doors.provider.says_to_codes(Some(error));
        let before = doors.provider.redeemed();
        let mut tried = Vec::new();
        for n in 0..=FAILED_CODES_MAX {
            let mut browser = Browser::default();
            let sent_to = doors.opens(&mut browser, &wiki("/")).await.provider();
            let back = doors.provider.answer(&sent_to, "alice", Proof::Password, doors.now().seconds());
            assert_eq!(doors.goes(&mut browser, &back).await.page().0, status, "{error} {n}");
            tried.push((browser, back));
        }
        assert_eq!(doors.provider.redeemed(), before);
        doors.provider.says_to_codes(None);
        assert_eq!(
            doors.signs_in(&mut Browser::default(), "bob", &wiki("/")).await.app(),
            wiki("/"),
            "{error}"
        );
        // What a provider could not answer may come again: a reload is enough.
        let (mut browser, back) = tried.remove(0);
        match status {
            503 => assert_eq!(doors.goes(&mut browser, &back).await.app(), wiki("/"), "{error}"),
            _ => assert_eq!(doors.goes(&mut browser, &back).await.page().0, 400, "{error}"),
        }
    }
}

/// Whoever has a /48 has 65,536 addresses of the kind that is counted.
#[tokio::test]
async fn made_up_codes_of_one_network_are_taken_to_the_provider_so_often_and_no_more() {
    let doors = Doors::open().await;
    let mut outcomes = Vec::new();
    for n in 0..=FAILED_CODES_PER_NETWORK_MAX {
        let mut stranger = Browser::default();
        let sent_to = doors.opens(&mut stranger, &wiki("/")).await.provider();
        let back = doors.provider.refuse(&sent_to, "x").replace("error=x", "code=made-up");
        let mut request = doors.request(&stranger, &back, "GET", "");
        request.client = format!("2001:db8:1:{n:x}::1").parse().unwrap();
        outcomes.push(doors.sign_in.serve(&doors.house, &request).await.status.as_u16());
    }
    assert_eq!(outcomes.pop(), Some(503));
    assert!(outcomes.iter().all(|status| *status == 400), "{outcomes:?}");
    // Others sign in.
    assert_eq!(doors.signs_in(&mut Browser::default(), "alice", &wiki("/")).await.app(), wiki("/"));
}

/// Strangers of many addresses wait for a slow provider.
#[tokio::test]
async fn strangers_leave_places_to_addresses_where_people_signed_in() {
    let doors = Doors::open().await;
    assert_eq!(doors.signs_in(&mut Browser::default(), "alice", &wiki("/")).await.app(), wiki("/"));
    let (crowd, corp) = (&doors.sign_in.redeeming.crowd, IssuerId::new("corp").unwrap());
    let mut held = Vec::new();
    for n in 0..OIDC_CALLS_OF_STRANGERS_MAX {
        let from = format!("10.0.0.{n}").parse().unwrap();
        held.push(crowd.place(from, &corp, doors.now()).await.unwrap_or_else(|why| panic!("{n}: {why:?}")));
    }
    assert_eq!(doors.signs_in(&mut Browser::default(), "bob", &wiki("/")).await.app(), wiki("/"));
}

/// A whole company behind one address: what is good is never counted.
#[tokio::test]
async fn any_number_of_people_of_one_address_sign_in() {
    let doors = Doors::open().await;
    for n in 0..FAILED_CODES_MAX + 10 {
        let who = format!("somebody-{n}");
        assert_eq!(doors.signs_in(&mut Browser::default(), &who, &wiki("/")).await.app(), wiki("/"), "{n}");
    }
}

#[tokio::test]
async fn who_is_in_too_many_groups_is_told_what_to_do_and_keeps_what_they_have() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    doors.signs_in(&mut browser, "bob", &wiki("/")).await.app();
    let bobs = doors.session(&browser, LOGIN).unwrap();
    let sent_to = doors.opens_with(&mut browser, &payroll("/"), MFA).await.provider();
    let groups: Vec<String> =
        (0..90).map(|n| format!("{n}-{}", "a-long-name-of-a-group-".repeat(3))).collect();
    let at = doors.now().seconds();
    let claims = json!({"sub": "alice", "amr": ["mfa"], "auth_time": at, "groups": groups});
    let back = doors.provider.answer_with(&sent_to, claims, at);
    let (status, page) = doors.goes(&mut browser, &back).await.page();
    assert!(status == 403 && page.contains("You are in too many groups"), "{page}");
    assert!(page.contains("people = &quot;known&quot;") && page.contains("session_too_large"), "{page}");
    assert!(doors.sign_in.sessions.of(&alice()).await.unwrap().is_empty());
    assert_eq!(doors.session(&browser, LOGIN).unwrap().id, bobs.id);
    assert!(doors.revocations.lookup(&Target::Token(bobs.id.token(&bobs.user))).is_none());
}
