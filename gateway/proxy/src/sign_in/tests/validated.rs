//! The provider is asked whether sign-ins stand, as little as that needs.

use std::sync::Arc;
use std::time::Duration;

use doorward_identity::session::{Kept, SESSION_COOKIE};
use doorward_identity::{BrowserSession, Verified};
use doorward_model::{Refusal, RefusalCode, Target};
use doorward_state::{Action, SessionRecord};
use pingora::http::ResponseHeader;
use serde_json::json;

use super::super::SignIn;
use super::super::validate::{AT_ONCE, WAIT_MAX};
use super::house::{Browser, Doors, PAYROLL, WIKI};
use super::provider::Proof;
use super::{MFA, alice, becomes, payroll, wiki};
use crate::pipeline::renew::renew;

/// As long as a word of the provider is good.
const INTERVAL: Duration = Duration::from_secs(600);

impl Doors {
    async fn asks_of(
        &self,
        sign_in: &Arc<SignIn>,
        session: &BrowserSession,
    ) -> Result<Arc<Verified>, Refusal> {
        sign_in.up_to_date(&self.house, session.verified(), self.now()).await
    }

    /// Whether a request that began then has waited as long as any does. Where the machine stood still that happens,
    /// and shows nothing.
    fn has_waited_since(&self, began: Duration) -> bool {
        self.open_for().saturating_sub(began) >= WAIT_MAX
    }

    /// What a request of a session is told when everything is said. A provider that could not be asked may be left
    /// alone for a quarter of a minute first, from when the last question was over.
    async fn told_of(
        &self,
        sign_in: &Arc<SignIn>,
        session: &BrowserSession,
    ) -> Result<BrowserSession, Refusal> {
        let before = session.validated_at;
        for _ in 0..3000 {
            let verified = self.asks_of(sign_in, session).await?;
            let told = verified.browser().unwrap().clone();
            if told.validated_at > before {
                return Ok(told);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("nothing was heard of it: {session:?}")
    }

    /// What the provider says of everybody from now on.
    fn news(&self, groups: &[&str]) {
        let at = self.now().seconds();
        self.provider.says_from_now_on(json!({"iat": at, "exp": at + 300, "groups": groups}));
    }

    /// The record of a session, and what it keeps sealed.
    async fn record(&self, session: &BrowserSession) -> (SessionRecord, Kept) {
        let record = self.sign_in.sessions.get(&session.user.id, &session.id.to_string()).await;
        let record = record.unwrap().unwrap();
        let kept = self.sign_in.kept(&record).unwrap();
        (record, kept)
    }

    /// Whether the refresh token of a record is one that the provider takes.
    async fn can_be_asked_about(&self, session: &BrowserSession) -> bool {
        let (_, kept) = self.record(session).await;
        self.provider.good().iter().any(|token| token == kept.refresh.expose())
    }

    fn is_out(&self, session: &BrowserSession) -> bool {
        self.revocations.lookup(&Target::Token(session.id.token(&session.user))).is_some()
    }

    async fn signed_in(&self) -> (Browser, BrowserSession) {
        let mut browser = Browser::default();
        self.signs_in(&mut browser, "alice", &wiki("/")).await.app();
        let session = self.session(&browser, WIKI).unwrap();
        (browser, session)
    }
}

fn groups(session: &BrowserSession) -> Vec<&str> {
    session.user.groups.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn many_requests_ask_once_and_go_on_by_the_news() {
    let doors = Doors::open().await;
    let (mut browser, session) = doors.signed_in().await;
    doors.opens(&mut browser, &payroll("/")).await.app();
    let elsewhere = doors.session(&browser, PAYROLL).unwrap();
    // The clock of the house goes on by itself too.
    doors.passes(INTERVAL - Duration::from_secs(60));
    doors.news(&["finance"]);
    doors.asks_of(&doors.sign_in, &session).await.unwrap();
    assert_eq!(doors.provider.refreshed(), 0, "its word is good still");

    doors.passes(Duration::from_secs(60));
    doors.news(&["finance"]);
    let at_once =
        futures_util::future::join_all((0..50).map(|_| doors.asks_of(&doors.sign_in, &session))).await;
    for told in at_once {
        assert!(groups(told.unwrap().browser().unwrap()).is_empty(), "nobody waited");
    }
    let told = doors.told_of(&doors.sign_in, &session).await.unwrap();
    assert_eq!(groups(&told), ["finance"]);
    assert_eq!((told.signed_in_at, told.assurance), (session.signed_in_at, session.assurance));
    // The cookie of another host is as old: the record knows, here and at another node.
    let other_node = doors.second_node();
    for sign_in in [&doors.sign_in, &other_node] {
        assert_eq!(groups(&doors.told_of(sign_in, &elsewhere).await.unwrap()), ["finance"]);
    }
    assert_eq!(doors.provider.refreshed(), 1);
    let record = doors.sign_in.sessions.get(&alice(), &session.id.to_string()).await.unwrap().unwrap();
    assert_eq!(record.validated_at, told.validated_at);
    // And the next time, with the token that came instead of the first.
    doors.passes(INTERVAL);
    doors.news(&[]);
    assert!(groups(&doors.told_of(&doors.sign_in, &told).await.unwrap()).is_empty());
    assert_eq!(doors.provider.refreshed(), 2);
}

#[tokio::test]
async fn an_old_cookie_does_not_keep_what_it_says() {
    let doors = Doors::open().await;
    let (_, old) = doors.signed_in().await;
    doors.passes(INTERVAL);
    doors.news(&["finance"]);
    let newer = doors.told_of(&doors.sign_in, &old).await.unwrap();
    doors.passes(INTERVAL);
    doors.news(&["interns"]);
    doors.told_of(&doors.sign_in, &newer).await.unwrap();
    // Whoever kept the first one is told the same as everybody.
    for sign_in in [doors.second_node(), Arc::clone(&doors.sign_in)] {
        assert_eq!(groups(&doors.told_of(&sign_in, &old).await.unwrap()), ["interns"]);
    }
}

/// A node that has no memory of a session goes by the record, however old that is, whatever the provider says or not.
#[tokio::test]
async fn what_the_record_knows_counts_while_the_provider_says_nothing() {
    let doors = Doors::open().await;
    let (_, session) = doors.signed_in().await;
    doors.passes(INTERVAL);
    doors.news(&["admins"]);
    let old = doors.told_of(&doors.sign_in, &session).await.unwrap();
    doors.passes(INTERVAL);
    doors.news(&["interns"]);
    let newer = doors.told_of(&doors.sign_in, &old).await.unwrap();
    doors.passes(INTERVAL);
    assert_eq!(groups(&old), ["admins"]);

    doors.provider.holds();
    let told = doors.told_of(&doors.second_node(), &old).await.unwrap();
    assert_eq!((groups(&told), told.validated_at), (vec!["interns"], newer.validated_at));
    doors.provider.has_refreshed(3).await;
    doors.provider.goes_down();
    doors.provider.releases();
    let told = doors.told_of(&doors.second_node(), &old).await.unwrap();
    assert_eq!((groups(&told), told.validated_at), (vec!["interns"], newer.validated_at));
    assert!(!doors.is_out(&old));
}

#[tokio::test]
async fn two_nodes_ask_once() {
    let doors = Doors::open().await;
    let (_, mut session) = doors.signed_in().await;
    let other_node = doors.second_node();
    for round in 1..=5 {
        doors.passes(INTERVAL);
        doors.news(&["finance"]);
        let (one, two) =
            tokio::join!(doors.told_of(&doors.sign_in, &session), doors.told_of(&other_node, &session));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!((groups(&one), groups(&two)), (vec!["finance"], vec!["finance"]));
        assert_eq!(doors.provider.refreshed(), round);
        session = one;
    }
    assert!(doors.revocations.lookup(&Target::Token(session.id.token(&session.user))).is_none());
}

#[tokio::test]
async fn the_first_request_after_a_long_time_waits_for_the_word() {
    let doors = Doors::open().await;
    for tries in 1.. {
        let (_, session) = doors.signed_in().await;
        doors.passes(INTERVAL * 3);
        doors.news(&["finance"]);
        let began = doors.open_for();
        let told = doors.asks_of(&doors.sign_in, &session).await.unwrap();
        if groups(told.browser().unwrap()) == ["finance"] {
            break;
        }
        assert!(doors.has_waited_since(began) && tries < 5, "it did not wait for the news");
    }
    for tries in 1.. {
        let (_, session) = doors.signed_in().await;
        doors.passes(INTERVAL * 3);
        doors.provider.ends_everything();
        let began = doors.open_for();
        if let Err(refused) = doors.asks_of(&doors.sign_in, &session).await {
            assert_eq!(refused.code, RefusalCode::Revoked);
            break;
        }
        assert!(doors.has_waited_since(began) && tries < 5, "it did not wait for the end");
    }
}

#[tokio::test]
async fn what_the_provider_ended_ends_everywhere() {
    let doors = Doors::open().await;
    let (mut browser, session) = doors.signed_in().await;
    doors.passes(INTERVAL);
    doors.provider.ends_everything();
    let refused = doors.told_of(&doors.sign_in, &session).await.unwrap_err();
    assert_eq!(refused.code, RefusalCode::Revoked);
    assert!(doors.revocations.lookup(&Target::Token(session.id.token(&session.user))).is_some());
    assert!(doors.sign_in.sessions.get(&alice(), &session.id.to_string()).await.unwrap().is_none());
    assert!(doors.opens(&mut browser, &payroll("/")).await.provider().contains("/authorize"));
    assert_eq!(doors.provider.refreshed(), 1);
}

#[tokio::test]
async fn a_provider_that_cannot_be_asked_ends_nothing_and_is_left_alone_for_a_while() {
    let mut tries = 0..5;
    let (doors, session) = loop {
        assert!(tries.next().is_some(), "every request waits in vain");
        let doors = Doors::open().await;
        let (_, session) = doors.signed_in().await;
        doors.provider.goes_down();
        let mut somebody_asks_still = false;
        for _ in 0..4 {
            doors.passes(INTERVAL * 3);
            let began = doors.open_for();
            let told = doors.asks_of(&doors.sign_in, &session).await.unwrap();
            assert_eq!(told.browser().unwrap().validated_at, session.validated_at, "kept to its limits");
            somebody_asks_still |= doors.has_waited_since(began);
        }
        if !somebody_asks_still {
            break (doors, session);
        }
    };
    doors.provider.comes_back();
    doors.news(&["finance"]);
    doors.asks_of(&doors.sign_in, &session).await.unwrap();
    assert_eq!(doors.provider.refreshed(), 0, "it is left alone");
    doors.passes(Duration::from_secs(120));
    doors.news(&["finance"]);
    assert_eq!(groups(&doors.told_of(&doors.sign_in, &session).await.unwrap()), ["finance"]);
    assert!(doors.revocations.lookup(&Target::Token(session.id.token(&session.user))).is_none());
}

#[tokio::test]
async fn a_session_of_which_the_refresh_token_is_lost_goes_on_to_its_limits() {
    let doors = Doors::open().await;
    let (_, session) = doors.signed_in().await;
    assert!(session.renewable);
    doors.sign_in.sessions.remove(&alice(), &session.id.to_string()).await.unwrap();
    doors.passes(INTERVAL * 3);
    for sign_in in [Arc::clone(&doors.sign_in), doors.second_node()] {
        let told = doors.asks_of(&sign_in, &session).await.unwrap();
        assert_eq!(told.browser().unwrap().validated_at, session.validated_at, "nobody confirmed it");
    }
    assert!(doors.revocations.lookup(&Target::Token(session.id.token(&session.user))).is_none());
}

#[tokio::test]
async fn of_whom_is_cut_off_no_provider_is_asked() {
    let doors = Doors::open().await;
    let (_, session) = doors.signed_in().await;
    doors.revoke(Target::User(alice()), Action::Revoke).await;
    doors.passes(INTERVAL * 3);
    doors.news(&["finance"]);
    doors.asks_of(&doors.sign_in, &session).await.unwrap();
    assert_eq!(doors.provider.refreshed(), 0);
}

#[tokio::test]
async fn a_session_that_never_had_a_refresh_token_is_not_asked_about_and_goes_on() {
    let doors = Doors::open().await;
    let (_, session) = doors.signed_in().await;
    let session = BrowserSession { renewable: false, ..session };
    doors.sign_in.sessions.remove(&alice(), &session.id.to_string()).await.unwrap();
    doors.passes(INTERVAL * 4);
    let told = doors.asks_of(&doors.sign_in, &session).await.unwrap();
    assert_eq!(told.browser().unwrap().validated_at, session.validated_at);
    assert_eq!(doors.provider.refreshed(), 0);
}

/// Somebody else is using the refresh token: whoever used it as well would be taken for a thief.
#[tokio::test]
async fn a_node_asks_nothing_while_another_asks() {
    let doors = Doors::open().await;
    let (_, session) = doors.signed_in().await;
    let other_node = doors.second_node();
    doors.passes(INTERVAL);
    doors.news(&["finance"]);
    doors.provider.holds();
    doors.asks_of(&doors.sign_in, &session).await.unwrap();
    doors.provider.has_refreshed(1).await;
    for _ in 0..25 {
        doors.asks_of(&other_node, &session).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(doors.provider.refreshed(), 1);
    doors.provider.releases();
    for sign_in in [&doors.sign_in, &other_node] {
        assert_eq!(groups(&doors.told_of(sign_in, &session).await.unwrap()), ["finance"]);
    }
    assert_eq!(doors.provider.refreshed(), 1);
    assert!(!doors.is_out(&session));
}

/// The provider gave a new token before its answer turned out to be of no use, and the old one is spent.
#[tokio::test]
async fn a_token_that_came_while_the_record_changed_is_kept() {
    let doors = Doors::open().await;
    let (_, session) = doors.signed_in().await;
    doors.passes(INTERVAL);
    let at = doors.now().seconds();
    doors.provider.says_from_now_on(json!({"iat": at, "exp": at + 300, "aud": "another client"}));
    doors.provider.holds();
    doors.asks_of(&doors.sign_in, &session).await.unwrap();
    doors.provider.has_refreshed(1).await;
    // Meanwhile more was proved, for which the provider gave no token.
    let (record, _) = doors.record(&session).await;
    let version = record.version;
    assert!(doors.sign_in.sessions.replace(record, version).await.unwrap());
    assert!(!doors.can_be_asked_about(&session).await, "it is spent");
    doors.provider.releases();
    becomes("the new token is lost", async || doors.can_be_asked_about(&session).await).await;
    doors.passes(Duration::from_secs(120));
    let at = doors.now().seconds();
    let news = json!({"iat": at, "exp": at + 300, "aud": "doorward", "groups": ["finance"]});
    doors.provider.says_from_now_on(news);
    assert_eq!(groups(&doors.told_of(&doors.sign_in, &session).await.unwrap()), ["finance"]);
    assert_eq!(doors.provider.refreshed(), 2);
}

/// Decision 28: providers take the token of before and the new one for one grant.
#[tokio::test]
async fn a_token_that_a_step_up_replaced_is_not_given_back() {
    let doors = Doors::open().await;
    let (mut browser, session) = doors.signed_in().await;
    let (_, before) = doors.record(&session).await;
    let at = doors.opens_with(&mut browser, &payroll("/"), MFA).await;
    doors.comes_back(&mut browser, at, "alice", Proof::Mfa).await.app();
    let (_, after) = doors.record(&session).await;
    assert_ne!(before.refresh, after.refresh);
    let raised = doors.session(&browser, PAYROLL).unwrap();
    assert_eq!(raised.id, session.id);
    doors.passes(INTERVAL);
    doors.news(&["finance"]);
    assert_eq!(groups(&doors.told_of(&doors.sign_in, &raised).await.unwrap()), ["finance"]);
    assert!(doors.provider.given_back().is_empty());
}

/// A step-up came between the provider's answer and the record: its token stays, and neither is given back.
#[tokio::test]
async fn of_two_tokens_of_one_session_the_later_sign_in_keeps_its_own() {
    let doors = Doors::open().await;
    let (mut browser, session) = doors.signed_in().await;
    doors.passes(INTERVAL);
    doors.news(&["finance"]);
    doors.provider.holds();
    doors.asks_of(&doors.sign_in, &session).await.unwrap();
    doors.provider.has_refreshed(1).await;
    let at = doors.opens_with(&mut browser, &payroll("/"), MFA).await;
    doors.comes_back(&mut browser, at, "alice", Proof::Mfa).await.app();
    let (_, stepped_up) = doors.record(&session).await;
    doors.provider.releases();
    doors.told_of(&doors.sign_in, &session).await.unwrap();
    let (_, kept) = doors.record(&session).await;
    assert_eq!(kept.refresh, stepped_up.refresh);
    assert!(doors.provider.given_back().is_empty() && !doors.is_out(&session));
}

#[tokio::test]
async fn who_waits_for_the_store_takes_no_place_of_those_who_ask_a_provider() {
    let doors = Doors::open().await;
    let (_, session) = doors.signed_in().await;
    doors.passes(INTERVAL);
    doors.news(&["finance"]);
    doors.provider.holds();
    doors.asks_of(&doors.sign_in, &session).await.unwrap();
    doors.provider.has_refreshed(1).await;
    let free = || doors.sign_in.validation.places.available_permits();
    assert_eq!(free(), AT_ONCE - 1);
    doors.records_go_away();
    doors.provider.releases();
    becomes("the place is held for the store", async || free() == AT_ONCE).await;
    assert!(doors.sign_in.sessions.of(&alice()).await.is_err(), "it is away still");
    doors.records_come_back();
    assert_eq!(groups(&doors.told_of(&doors.sign_in, &session).await.unwrap()), ["finance"]);
    assert!(doors.can_be_asked_about(&session).await);
}

#[tokio::test]
async fn those_whom_another_node_asks_about_keep_nobody_waiting() {
    let doors = Doors::open().await;
    let mut others = Vec::new();
    for _ in 0..AT_ONCE {
        others.push(doors.signed_in().await.1);
    }
    let (_, own) = doors.signed_in().await;
    for session in &others {
        let lock = doors.sign_in.sessions.lock(&session.id.to_string(), "elsewhere", INTERVAL * 2).await;
        assert!(lock.unwrap().is_some());
    }
    doors.passes(INTERVAL);
    doors.news(&["finance"]);
    for session in &others {
        doors.asks_of(&doors.sign_in, session).await.unwrap();
    }
    assert_eq!(groups(&doors.told_of(&doors.sign_in, &own).await.unwrap()), ["finance"]);
    assert_eq!(doors.provider.refreshed(), 1);
}

/// Somebody is in more groups by now than a cookie holds: they are not idle for it.
#[tokio::test]
async fn what_does_not_fit_into_a_cookie_leaves_the_older_one_in_use() {
    let doors = Doors::open().await;
    let (browser, session) = doors.signed_in().await;
    let cookie = browser.cookie(WIKI, SESSION_COOKIE).unwrap();
    doors.passes(INTERVAL);
    let now = doors.now();
    let many = (0..200).map(|n| format!("a-long-name-of-a-group-{n}")).collect();
    let user = doorward_model::User { groups: many, ..session.user.clone() };
    let newer = BrowserSession { user, validated_at: now, ..session.clone() };
    assert!(newer.seal(doors.sign_in.sealer(), WIKI).is_err());
    let mut response = ResponseHeader::build(200, None).unwrap();
    assert!(renew(&doors.sign_in, (&newer, Some(cookie)), WIKI, (now, now), &mut response).unwrap());
    let line = response.headers["set-cookie"].to_str().unwrap();
    let value = line.split_once('=').unwrap().1.split(';').next().unwrap();
    let renewed = BrowserSession::open(doors.sign_in.sealer(), WIKI, value).unwrap();
    assert_eq!(renewed, session.clone().seen(now));
    assert!(renewed.seen_at > session.seen_at);
    // Without an older one there is none, which is told beside. Each cookie is counted once.
    let numbers = &doors.sign_in.numbers;
    assert_eq!(numbers.outgrown.get(), 1);
    let mut response = ResponseHeader::build(200, None).unwrap();
    assert!(!renew(&doors.sign_in, (&newer, None), WIKI, (now, now), &mut response).unwrap());
    assert_eq!(numbers.outgrown.get(), 2);
    // Both were told, and are not told again for a minute.
    let (soon, later) = (now.plus(Duration::from_secs(59)), now.plus(Duration::from_secs(60)));
    assert!(!numbers.outgrown(soon) && !numbers.unsealed(soon));
    assert!(numbers.outgrown(later) && numbers.unsealed(later));
}
