use std::time::Duration;

use doorward_identity::attempt::{ATTEMPT_COOKIE, ENTER_COOKIE};
use doorward_identity::session::SESSION_COOKIE;
use doorward_model::{Demand, Strength, Target, UserId};

use house::{At, Browser, Doors, LOGIN, PAYROLL, WIKI};
use provider::Proof;

mod demands;
mod given_back;
mod house;
mod our_pages;
mod out;
mod provider;
mod refused;
mod validated;
mod ways;

const MFA: Demand = Demand { strength: Strength::Mfa, max_age: None };

fn wiki(path: &str) -> String {
    format!("https://{WIKI}{path}")
}

fn payroll(path: &str) -> String {
    format!("https://{PAYROLL}{path}")
}

/// The address of a link of a page that has some words in it.
fn link(page: &str, holds: &str) -> String {
    let links =
        page.split("href=\"").skip(1).map(|link| link.split('"').next().unwrap().replace("&amp;", "&"));
    let mut links = links.filter(|link| link.contains(holds));
    links.next().unwrap_or_else(|| panic!("no link with {holds}: {page}"))
}

fn alice() -> UserId {
    "corp:alice".parse().unwrap()
}

/// Waits until something is so.
async fn becomes(what: &str, so: impl AsyncFn() -> bool) {
    for _ in 0..3000 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}");
}

#[tokio::test]
async fn somebody_signs_in_once_and_is_in_at_every_app() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    assert_eq!(doors.signs_in(&mut browser, "alice", &wiki("/a?b=c%20d")).await.app(), wiki("/a?b=c%20d"));
    let (login, wiki_session) =
        (doors.session(&browser, LOGIN).unwrap(), doors.session(&browser, WIKI).unwrap());
    assert_eq!(login.id, wiki_session.id);
    assert_eq!(login.user.id, alice());
    assert!(!login.assurance.mfa && login.assurance.authenticated_at.is_some());
    assert!(browser.names(WIKI) == [SESSION_COOKIE], "nothing is left over: {:?}", browser.names(WIKI));

    // The second app asks nobody.
    assert_eq!(doors.opens(&mut browser, &payroll("/")).await.app(), payroll("/"));
    assert_eq!(doors.session(&browser, PAYROLL).unwrap().id, login.id);
    assert_eq!(doors.provider.redeemed(), 1);

    let record = doors.sign_in.sessions.get(&alice(), &login.id.to_string()).await.unwrap().unwrap();
    assert_eq!((record.signed_in_at, record.expires_at), (login.signed_in_at, login.expires_at));
    let sealed = String::from_utf8(record.refresh.unwrap()).unwrap();
    assert!(!sealed.contains("refresh-"), "the provider's token is sealed: {sealed}");

    let told = doors.told(1).await;
    let begun = &told[0];
    assert_eq!(begun["metadata"]["event_code"], "session.begun");
    assert_eq!(begun["actor"]["session"]["credential_uid"], format!("corp:{}", login.id));
    assert_eq!(begun["user"]["uid"], "corp:alice");
    assert_eq!(begun["service"]["name"], "wiki");
    assert_eq!(begun["src_endpoint"]["ip"], "192.0.2.7");
    assert!(!begun.to_string().contains("code-"), "no code in the log: {begun}");
}

#[tokio::test]
async fn tabs_that_sign_in_at_once_finish_each_for_itself_and_share_one_session() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    let mut tabs = Vec::new();
    for n in 0..5 {
        tabs.push(doors.opens(&mut browser, &wiki(&format!("/{n}"))).await);
    }
    let mut ids = std::collections::BTreeSet::new();
    for (n, at) in tabs.into_iter().enumerate().rev() {
        let came = doors.comes_back(&mut browser, at, "alice", Proof::Password).await;
        assert_eq!(came.app(), wiki(&format!("/{n}")));
        ids.insert(doors.session(&browser, WIKI).unwrap().id.to_string());
    }
    assert_eq!(ids.len(), 1, "{ids:?}");
    // A sixth is not waited for by more than five.
    let mut browser = Browser::default();
    for n in 0..8 {
        let _at = doors.opens(&mut browser, &wiki(&format!("/{n}"))).await.provider();
    }
    for (host, start) in [(LOGIN, ATTEMPT_COOKIE), (WIKI, ENTER_COOKIE)] {
        let names = browser.names(host);
        assert!(names.len() <= 5 && names.iter().all(|name| name.starts_with(start)), "{names:?}");
    }
}

/// S11: who began must be who comes back, and nobody is signed in as somebody else's doing.
#[tokio::test]
async fn nobody_is_signed_in_by_an_answer_that_another_browser_asked_for() {
    let doors = Doors::open().await;
    let (mut attacker, mut victim) = (Browser::default(), Browser::default());
    let sent_to = doors.opens(&mut attacker, &wiki("/")).await.provider();
    let back = doors.provider.answer(&sent_to, "mallory", Proof::Mfa, doors.now().seconds());
    let (status, page) = doors.goes(&mut victim, &back).await.page();
    assert_eq!(status, 400);
    assert!(page.contains("This sign-in cannot be finished") && page.contains("Sign in</a>"), "{page}");
    assert!(doors.session(&victim, LOGIN).is_none());
    assert_eq!(doors.provider.redeemed(), 0, "the code goes nowhere");

    // The same with an attempt of the victim's own, whose state is another.
    let _own = doors.opens(&mut victim, &wiki("/")).await.provider();
    assert_eq!(doors.goes(&mut victim, &back).await.page().0, 400);
    assert!(doors.session(&victim, LOGIN).is_none());
    let told = doors.told(2).await;
    assert!(told.iter().all(|event| event["status_detail"] == "sign_in_lost"), "{told:?}");
}

/// S11: a one-time code is good for the browser that asked for it at that host, and once.
#[tokio::test]
async fn a_code_for_the_host_of_an_app_is_good_there_once_and_in_that_browser() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    doors.signs_in(&mut browser, "alice", &wiki("/")).await.app();
    // The attacker, signed in as himself, has a victim take his code.
    let mut attacker = Browser::default();
    doors.signs_in(&mut attacker, "mallory", &wiki("/")).await.app();
    let enter = enter_address(&doors, &mut attacker, PAYROLL).await;
    let mut victim = Browser::default();
    let (status, page) = doors.goes(&mut victim, &enter).await.page();
    assert_eq!(status, 400);
    assert!(page.contains("sign_in_lost"), "{page}");
    assert!(doors.session(&victim, PAYROLL).is_none());

    // Stolen to another host of ours.
    let enter = enter_address(&doors, &mut attacker, PAYROLL).await;
    let elsewhere = enter.replace(PAYROLL, WIKI);
    let held =
        attacker.names(PAYROLL).into_iter().find(|name| name.starts_with(ENTER_COOKIE)).unwrap().to_owned();
    let value = attacker.cookie(PAYROLL, &held).unwrap().to_owned();
    let mut thief = Browser::default();
    thief.set(WIKI, &held, &value);
    assert_eq!(doors.goes(&mut thief, &elsewhere).await.page().0, 400);
    assert!(doors.session(&thief, WIKI).is_none());

    // Twice: the second time there is a session, and the browser goes on; who has none does not.
    let enter = enter_address(&doors, &mut browser, PAYROLL).await;
    let before = browser.clone();
    assert_eq!(doors.goes(&mut browser, &enter).await.app(), payroll("/x"));
    assert_eq!(doors.goes(&mut browser, &enter).await.app(), payroll("/"));
    let mut copy = before;
    assert_eq!(doors.goes(&mut copy, &enter).await.page().0, 400);

    // Too late.
    let enter = enter_address(&doors, &mut browser, WIKI).await;
    doors.passes(Duration::from_secs(61));
    browser.set(WIKI, SESSION_COOKIE, "");
    assert_eq!(doors.goes(&mut browser, &enter).await.page().0, 400);
}

/// The address with the code, of a browser that is signed in where people sign in.
async fn enter_address(doors: &Doors, browser: &mut Browser, host: &str) -> String {
    let location = doors.begin(browser, &format!("https://{host}/x"), Demand::default());
    let answer = doors.asks(browser, &location, "GET", "").await;
    let address = answer.headers["location"].to_str().unwrap().to_owned();
    assert!(address.starts_with(&format!("https://{host}/.doorward/enter?code=")), "{address}");
    address
}

/// S11: what was in the browser before is no way into what comes after.
#[tokio::test]
async fn a_sign_in_makes_a_session_of_a_new_name_and_ends_the_one_before() {
    let doors = Doors::open().await;
    let mut attacker = Browser::default();
    doors.signs_in(&mut attacker, "mallory", &wiki("/")).await.app();
    let (old, planted) = (
        doors.session(&attacker, LOGIN).unwrap(),
        attacker.cookie(LOGIN, SESSION_COOKIE).unwrap().to_owned(),
    );
    // Planted in the victim's browser, who then signs in with another account.
    let mut victim = Browser::default();
    let at = doors.opens(&mut victim, &wiki("/")).await;
    victim.set(LOGIN, SESSION_COOKIE, &planted);
    doors.comes_back(&mut victim, at, "alice", Proof::Password).await.app();
    let new = doors.session(&victim, LOGIN).unwrap();
    assert_eq!((new.user.id.clone(), doors.session(&victim, WIKI).unwrap().id), (alice(), new.id));
    assert_ne!(new.id, old.id);
    // The session before is over, at every host.
    let entry = doors.revocations.lookup(&Target::Token(old.id.token(&old.user)));
    assert!(entry.is_some(), "it was ended");
    assert!(doors.opens(&mut attacker, &payroll("/")).await.provider().contains("/authorize"));
    let gone = doors.sign_in.sessions.get(&old.user.id, &old.id.to_string()).await.unwrap();
    assert!(gone.is_none());

    // An attempt or a ticket is no session (S11: state confusion).
    let mut browser = Browser::default();
    let location = doors.begin(&mut browser, &wiki("/"), Demand::default());
    let ticket = location.split_once("ticket=").unwrap().1.to_owned();
    doors.goes(&mut browser, &location).await.provider();
    let name = browser.names(LOGIN)[0].to_owned();
    let attempt = browser.cookie(LOGIN, &name).unwrap().to_owned();
    for value in [ticket, attempt] {
        browser.set(LOGIN, SESSION_COOKIE, &value);
        assert!(doors.session(&browser, LOGIN).is_none());
        assert!(doors.opens(&mut browser, &wiki("/")).await.provider().contains("/authorize"));
    }
}

/// The session before was only asked to end: whoever comes next would be that person still at the hosts of apps.
#[tokio::test]
async fn nobody_is_signed_in_beside_somebody_whose_session_goes_on() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    doors.signs_in(&mut browser, "alice", &wiki("/")).await.app();
    let alices = doors.session(&browser, LOGIN).unwrap();
    let token = Target::Token(alices.id.token(&alices.user));
    doors.only_asks(true);
    let at = doors.opens_with(&mut browser, &payroll("/"), MFA).await;
    let (status, _) = doors.comes_back(&mut browser, at, "bob", Proof::Mfa).await.page();
    assert_eq!(status, 503);
    assert_eq!(doors.session(&browser, LOGIN).unwrap().id, alices.id);
    assert!(doors.revocations.lookup(&token).is_none());
    let sessions = &doors.sign_in.sessions;
    assert!(sessions.of(&"corp:bob".parse().unwrap()).await.unwrap().is_empty());
    assert_eq!(sessions.of(&alice()).await.unwrap().len(), 1, "hers is still in her list");

    doors.only_asks(false);
    let at = doors.opens_with(&mut browser, &payroll("/"), MFA).await;
    assert_eq!(doors.comes_back(&mut browser, at, "bob", Proof::Mfa).await.app(), payroll("/"));
    assert!(doors.revocations.lookup(&token).is_some());
}

#[tokio::test]
async fn a_ticket_is_for_a_host_of_ours_and_a_minute() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    let location = doors.begin(&mut browser, &wiki("/"), Demand::default());
    for broken in [
        location.replace(LOGIN, WIKI),
        location.replace("ticket=", "ticket=A"),
        format!("https://{LOGIN}/.doorward/start?ticket=https://evil.example/"),
    ] {
        let (status, _) = doors.goes(&mut browser, &broken).await.page();
        assert!(status == 400 || status == 404, "{broken}: {status}");
    }
    // Nothing that a query says is gone to.
    let at =
        doors.goes(&mut browser, &format!("https://{LOGIN}/.doorward/start?rd=https://evil.example/")).await;
    let back = doors.comes_back(&mut browser, at, "alice", Proof::Password).await;
    let (status, page) = back.page();
    assert!(status == 200 && page.contains("You are signed in"), "{page}");
    assert!(!page.contains("evil"), "{page}");
    doors.passes(Duration::from_secs(61));
    assert_eq!(doors.goes(&mut Browser::default(), &location).await.page().0, 400);

    // An app that is not served any more: its host is none of ours.
    let at = super::AppRequest {
        host: "gone.corp.example",
        target: "/",
        app: &doorward_model::AppId::new("gone").unwrap(),
        provider: None,
        headers: &http::HeaderMap::new(),
    };
    let gone = doors.sign_in.begin(&at, Demand::default(), doors.now()).unwrap();
    let answer = doors.asks(&mut browser, &gone.location, "GET", "").await;
    assert_eq!((answer.status.as_u16(), answer.headers.get("location")), (400, None));
}

/// S10: a target is what was asked for at a host of ours, whatever it looks like.
#[tokio::test]
async fn a_browser_goes_back_to_the_host_that_it_came_from_and_to_no_other() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    doors.signs_in(&mut browser, "alice", &wiki("/")).await.app();
    for target in
        ["//evil.example", "/\\evil.example", "/%2f%2fevil.example", "/a%0d%0aX:y", "/.doorward/enter?code=x"]
    {
        let location = doors.begin(&mut browser, &wiki(target), Demand::default());
        assert_eq!(doors.goes(&mut browser, &location).await.app(), wiki("/"), "{target}");
    }
}

/// A node whose clock is ahead: what begins there began when the provider says.
#[tokio::test]
async fn a_sign_in_begins_no_later_than_the_provider_says() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    let sent_to = doors.opens(&mut browser, &wiki("/")).await.provider();
    let told = doors.now().seconds() - 30;
    let back = doors.provider.answer(&sent_to, "alice", Proof::Password, told);
    assert_eq!(doors.goes(&mut browser, &back).await.app(), wiki("/"));
    let session = doors.session(&browser, WIKI).unwrap();
    assert_eq!(session.signed_in_at.seconds(), told + 1);
    assert!(session.seen_at.seconds() >= told + 30);
    // The same answer once more: there is a session of this sign-in.
    doors.begin(&mut browser, &wiki("/"), Demand::default());
    assert!(matches!(doors.goes(&mut browser, &back).await, At::App(_)));
}

/// The button "back", and a reload.
#[tokio::test]
async fn an_answer_that_was_used_leads_on_who_is_signed_in_and_nobody_else() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    let sent_to = doors.opens(&mut browser, &wiki("/x")).await.provider();
    let back = doors.provider.answer(&sent_to, "alice", Proof::Password, doors.now().seconds());
    assert_eq!(doors.goes(&mut browser, &back).await.app(), wiki("/x"));
    let first = doors.session(&browser, LOGIN).unwrap().id;
    // What leads on needs the cookie of the app's host anew.
    doors.begin(&mut browser, &wiki("/x"), Demand::default());
    doors.goes(&mut browser, &back).await.app();
    assert_eq!(doors.session(&browser, LOGIN).unwrap().id, first);
    assert_eq!(doors.provider.redeemed(), 1);
    browser.set(LOGIN, SESSION_COOKIE, "");
    let (status, page) = doors.goes(&mut browser, &back).await.page();
    assert!(status == 400 && page.contains(&wiki("/x")), "{page}");
    assert_eq!(doors.provider.redeemed(), 1);
}

#[tokio::test]
async fn a_session_that_is_used_at_an_app_is_not_idle_where_people_sign_in() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    doors.signs_in(&mut browser, "alice", &wiki("/")).await.app();
    let session = doors.session(&browser, LOGIN).unwrap();
    doors.passes(Duration::from_secs(25 * 60));
    let touch = doorward_state::sessions::Touch {
        person: alice(),
        id: session.id.to_string().into(),
        seen_at: doors.now(),
        app: None,
    };
    doors.sign_in.sessions.touch(&[touch]).await.unwrap();
    doors.passes(Duration::from_secs(10 * 60));
    assert_eq!(doors.opens(&mut browser, &payroll("/")).await.app(), payroll("/"));
    assert_eq!(doors.session(&browser, PAYROLL).unwrap().id, session.id);
    // Not used for longer than that anywhere.
    doors.passes(Duration::from_secs(31 * 60));
    doors.opens(&mut browser, &wiki("/")).await.provider();
    // Nor beyond its time, however much it is used.
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    doors.signs_in(&mut browser, "alice", &wiki("/")).await.app();
    doors.passes(Duration::from_secs(12 * 3600));
    doors.opens(&mut browser, &wiki("/")).await.provider();
}

#[tokio::test]
async fn who_has_too_many_sessions_loses_the_oldest() {
    let doors = Doors::open().await;
    let mut first = Browser::default();
    doors.signs_in(&mut first, "alice", &wiki("/")).await.app();
    let oldest = doors.session(&first, LOGIN).unwrap();
    for _ in 0..doorward_model::limits::SESSIONS_PER_PERSON_MAX {
        doors.passes(Duration::from_millis(5));
        doors.signs_in(&mut Browser::default(), "alice", &wiki("/")).await.app();
    }
    assert!(doors.revocations.lookup(&Target::Token(oldest.id.token(&oldest.user))).is_some());
    doors.opens(&mut first, &payroll("/")).await.provider();
}
