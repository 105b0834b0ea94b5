//! People see their sessions, and end them.

use doorward_identity::BrowserSession;
use doorward_identity::session::SESSION_COOKIE;
use doorward_model::{AppId, Demand, Presented, Target};
use doorward_state::Action;

use super::house::{Browser, Doors, LOGIN, PAYROLL, WIKI};
use super::provider::{self, Proof};
use super::{alice, becomes, payroll, wiki};

const HOME: &str = "https://login.corp.example/.doorward/";
const END: &str = "https://login.corp.example/.doorward/end";
const OUT: &str = "https://login.corp.example/.doorward/sign-out";

/// A browser that sends a form of a page of the host.
fn sends(browser: &mut Browser, origin: &'static str) {
    browser.headers = vec![
        ("content-type", "application/x-www-form-urlencoded"),
        ("sec-fetch-site", "same-origin"),
        ("origin", origin),
    ];
}

/// The fields that the form of a page holds already, where one of its fields says so.
fn form(page: &str, holds: &str) -> String {
    let forms = page.split("<form").skip(1).map(|form| form.split("</form>").next().unwrap());
    let form =
        forms.into_iter().find(|form| form.contains(holds)).unwrap_or_else(|| panic!("{holds}: {page}"));
    let value = |input: &str, name: &str| {
        Some(input.split_once(&format!("{name}=\""))?.1.split('"').next()?.to_owned())
    };
    let fields = form.split("<input").skip(1);
    fields
        .map(|i| format!("{}={}", value(i, "name").unwrap(), value(i, "value").unwrap()))
        .collect::<Vec<_>>()
        .join("&")
}

fn target(session: &BrowserSession) -> Target {
    Target::Token(session.id.token(&session.user))
}

impl Doors {
    async fn page(&self, browser: &mut Browser, address: &str) -> (u16, String) {
        let answer = self.asks(browser, address, "GET", "").await;
        (answer.status.as_u16(), String::from_utf8(answer.body).unwrap())
    }

    fn has_ended(&self, session: &BrowserSession) -> bool {
        self.revocations.lookup(&target(session)).is_some()
    }

    /// Whether nothing of a session is let in any more, whatever it was ended by.
    fn was_cut_off(&self, session: &BrowserSession) -> bool {
        let presented = Presented {
            users: vec![session.user.id.clone()],
            owner: None,
            session: session.auth_session(),
            device: None,
            named: None,
            app: AppId::new("wiki").unwrap(),
        };
        self.revocations.check(&presented, self.house.issuer_skew).is_err()
    }

    async fn records(&self) -> usize {
        self.sign_in.sessions.of(&alice()).await.unwrap().len()
    }
}

#[tokio::test]
async fn who_signs_out_at_one_app_is_out_at_every_host_and_at_the_provider() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    doors.signs_in(&mut browser, "alice", &wiki("/")).await.app();
    doors.opens(&mut browser, &payroll("/")).await.app();
    let session = doors.session(&browser, WIKI).unwrap();
    let (status, page) = doors.page(&mut browser, &wiki("/.doorward/sign-out")).await;
    assert!(status == 200 && page.contains("Sign out?") && page.contains("stay signed in at Corp"), "{page}");
    assert!(!page.contains("on all devices"), "an app could send that form: {page}");
    assert!(!doors.has_ended(&session), "looking does nothing");

    sends(&mut browser, "https://wiki.corp.example");
    let answer = doors.asks(&mut browser, &wiki("/.doorward/sign-out"), "POST", &form(&page, "form")).await;
    assert_eq!(answer.status, 200);
    assert!(doors.has_ended(&session));
    assert_eq!(doors.records().await, 0);
    assert!(browser.cookie(WIKI, SESSION_COOKIE).is_none());
    let page = String::from_utf8(answer.body).unwrap();
    assert!(page.contains("You are signed out"), "{page}");
    let on = page.split_once("content=\"0; url=").unwrap().1.split('"').next().unwrap().replace("&amp;", "&");
    assert!(on.starts_with(&format!("{}/end?", doors.provider.url)), "{on}");
    let asked = provider::query(&on);
    assert_eq!(asked["client_id"], "doorward");
    let back = format!("{}?state={}", asked["post_logout_redirect_uri"], asked["state"]);
    assert!(back.starts_with("https://login.corp.example/.doorward/signed-out?"), "{back}");

    // What the hosts have left is of no use, and the way back ends at a page.
    browser.headers.clear();
    assert!(doors.session(&browser, PAYROLL).is_some(), "its cookie is there still");
    assert!(doors.opens(&mut browser, &payroll("/")).await.provider().contains("/authorize"));
    let (_, page) = doors.page(&mut browser, &back).await;
    assert!(page.contains("You are signed out"), "{page}");
    assert!(browser.cookie(LOGIN, SESSION_COOKIE).is_none());
    becomes("the token is not given back", async || doors.provider.given_back().len() == 1).await;
    let given_back = doors.provider.given_back();
    assert!(given_back.len() == 1 && given_back[0].starts_with("refresh-"), "{given_back:?}");
    // Whoever has a session is not told that they have none.
    doors.signs_in(&mut browser, "alice", &wiki("/")).await.app();
    let (status, _) = doors.page(&mut browser, &back).await;
    assert_eq!(status, 303);
}

#[tokio::test]
async fn somebody_can_stay_signed_in_at_the_provider_or_be_out_on_all_devices() {
    let doors = Doors::open().await;
    let (mut one, mut two) = (Browser::default(), Browser::default());
    doors.signs_in(&mut one, "alice", &wiki("/")).await.app();
    doors.signs_in(&mut two, "alice", &wiki("/")).await.app();
    let (first, second) = (doors.session(&one, LOGIN).unwrap(), doors.session(&two, LOGIN).unwrap());
    let (_, page) = doors.page(&mut one, OUT).await;
    sends(&mut one, "https://login.corp.example");
    let local = format!("{}&how=local", form(&page, "form"));
    let answer = doors.asks(&mut one, OUT, "POST", &local).await;
    let said = String::from_utf8(answer.body).unwrap();
    assert!(said.contains("You are signed out") && !said.contains("http-equiv"), "{said}");
    assert!(doors.has_ended(&first) && !doors.has_ended(&second));

    one.headers.clear();
    doors.signs_in(&mut one, "alice", &wiki("/")).await.app();
    let third = doors.session(&one, LOGIN).unwrap();
    let (_, page) = doors.page(&mut one, OUT).await;
    sends(&mut one, "https://login.corp.example");
    let bare = doors.asks(&mut one, OUT, "POST", "how=everywhere").await;
    assert_eq!(bare.status, 403, "without the token of the page");
    let everywhere = format!("{}&how=everywhere", form(&page, "form"));
    let at_app = doors.asks(&mut one, &wiki("/.doorward/sign-out"), "POST", &everywhere).await;
    assert_eq!(at_app.status, 403, "another origin");
    sends(&mut one, "https://wiki.corp.example");
    let at_app = doors.asks(&mut one, &wiki("/.doorward/sign-out"), "POST", &everywhere).await;
    assert_eq!(at_app.status, 400, "an app cannot do that");
    assert!(!doors.has_ended(&second) && !doors.has_ended(&third));
    sends(&mut one, "https://login.corp.example");
    doors.asks(&mut one, OUT, "POST", &everywhere).await;
    assert!(doors.was_cut_off(&second) && doors.was_cut_off(&third));
    assert_eq!(doors.records().await, 0);
}

/// A list is what the store happens to know; a person ends what they have.
#[tokio::test]
async fn all_of_somebody_ends_also_where_no_record_tells_of_it() {
    let doors = Doors::open().await;
    let (mut one, mut two, mut other) = (Browser::default(), Browser::default(), Browser::default());
    for (browser, who) in [(&mut one, "alice"), (&mut two, "alice"), (&mut other, "bob")] {
        doors.signs_in(browser, who, &wiki("/")).await.app();
    }
    let of = |browser: &Browser| doors.session(browser, WIKI).unwrap();
    let (lost, bobs) = (of(&two), of(&other));
    assert!(doors.sign_in.sessions.remove(&alice(), &lost.id.to_string()).await.unwrap());
    let (_, page) = doors.page(&mut one, OUT).await;
    sends(&mut one, "https://login.corp.example");
    let everywhere = format!("{}&how=everywhere", form(&page, "form"));
    let (status, page) = {
        let answer = doors.asks(&mut one, OUT, "POST", &everywhere).await;
        (answer.status, String::from_utf8(answer.body).unwrap())
    };
    assert!(status == 200 && page.contains("All your sessions have ended"), "{page}");
    assert!(doors.was_cut_off(&lost) && !doors.was_cut_off(&bobs));
    // Who signs in anew is in.
    one.headers.clear();
    doors.signs_in(&mut one, "alice", &wiki("/")).await.app();
    assert!(!doors.was_cut_off(&of(&one)));
}

/// Whoever copied a cookie, and was found out, cannot sign its person out again and again.
#[tokio::test]
async fn a_session_that_has_ended_ends_no_other() {
    let doors = Doors::open().await;
    let (mut thief, mut own) = (Browser::default(), Browser::default());
    for browser in [&mut thief, &mut own] {
        doors.signs_in(browser, "alice", &wiki("/")).await.app();
    }
    let (stolen, good) = (doors.session(&thief, LOGIN).unwrap(), doors.session(&own, LOGIN).unwrap());
    let (_, page) = doors.page(&mut thief, OUT).await;
    assert!(page.contains("corp:alice") && page.contains("on all devices"), "{page}");
    let kept = format!("{}&how=everywhere", form(&page, "form"));
    doors.revoke(target(&stolen), Action::Revoke).await;
    let (status, page) = doors.page(&mut thief, OUT).await;
    assert!(status == 200 && !page.contains("corp:alice") && !page.contains("on all devices"), "{page}");
    sends(&mut thief, "https://login.corp.example");
    let later = format!("{}&how=everywhere", form(&page, "form"));
    for body in [kept, later] {
        assert_eq!(doors.asks(&mut thief, OUT, "POST", &body).await.status, 401);
    }
    assert!(!doors.was_cut_off(&good));
    assert_eq!(doors.asks(&mut thief, OUT, "POST", "").await.status, 200, "itself it may end");
}

/// What the host of an app is shown its pages can read: such a token is good for nothing elsewhere.
#[tokio::test]
async fn a_form_of_an_app_ends_nothing_where_people_sign_in() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    doors.signs_in(&mut browser, "alice", &wiki("/")).await.app();
    let session = doors.session(&browser, LOGIN).unwrap();
    let (_, page) = doors.page(&mut browser, &wiki("/.doorward/sign-out")).await;
    let stolen = format!("{}&how=everywhere", form(&page, "form"));
    sends(&mut browser, "https://login.corp.example");
    assert_eq!(doors.asks(&mut browser, OUT, "POST", &stolen).await.status, 403);
    assert!(!doors.was_cut_off(&session));
}

/// Whose end was only asked for stays in the list, so that it can be ended once more.
#[tokio::test]
async fn what_may_go_on_keeps_its_record() {
    let doors = Doors::open().await;
    let (mut here, mut there) = (Browser::default(), Browser::default());
    for browser in [&mut here, &mut there] {
        doors.signs_in(browser, "alice", &wiki("/")).await.app();
    }
    let other = doors.session(&there, LOGIN).unwrap();
    let (_, page) = doors.page(&mut here, HOME).await;
    let ends = form(&page, &other.id.to_string());
    sends(&mut here, "https://login.corp.example");
    doors.only_asks(true);
    let answer = doors.asks(&mut here, END, "POST", &ends).await;
    let said = String::from_utf8(answer.body).unwrap();
    assert!(said.contains("It will end in a moment"), "{said}");
    let (_, page) = doors.page(&mut here, OUT).await;
    let everywhere = format!("{}&how=everywhere", form(&page, "form"));
    let answer = doors.asks(&mut here, OUT, "POST", &everywhere).await;
    let said = String::from_utf8(answer.body).unwrap();
    assert!(said.contains("All others end as soon as"), "{said}");
    assert!(!doors.was_cut_off(&other));
    assert_eq!(doors.records().await, 2);
    assert_eq!(doors.provider.given_back().len(), 0);
}

/// What was ended by another name than its own is shown no more.
#[tokio::test]
async fn the_list_has_no_session_of_a_device_that_was_cut_off() {
    let doors = Doors::open().await;
    let (mut here, mut there) = (Browser::default(), Browser::default());
    for browser in [&mut here, &mut there] {
        doors.signs_in(browser, "alice", &wiki("/")).await.app();
    }
    let lost = doors.session(&there, LOGIN).unwrap().id.to_string();
    let (_, page) = doors.page(&mut here, HOME).await;
    assert!(page.contains(&lost), "{page}");
    let mut record = doors.sign_in.sessions.get(&alice(), &lost).await.unwrap().unwrap();
    let device = doorward_model::DeviceId::new("laptop-9").unwrap();
    record.device = Some(device.clone());
    let version = record.version;
    assert!(doors.sign_in.sessions.replace(record, version).await.unwrap());
    doors.revoke(Target::Device(device), Action::Revoke).await;
    let (_, page) = doors.page(&mut here, HOME).await;
    assert!(page.contains("(this browser)") && !page.contains(&lost), "{page}");
}

#[tokio::test]
async fn people_see_their_sessions_and_end_them() {
    let doors = Doors::open().await;
    let (mut here, mut phone, mut desk) = (Browser::default(), Browser::default(), Browser::default());
    phone.headers = vec![("user-agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1) Version/18 Safari/604.1")];
    desk.headers = vec![("user-agent", "Mozilla/5.0 (<b>X11; Linux x86_64) Firefox/132.0")];
    for browser in [&mut phone, &mut desk, &mut here] {
        doors.signs_in(browser, "alice", &wiki("/")).await.app();
    }
    let mut other = Browser::default();
    doors.signs_in(&mut other, "bob", &wiki("/")).await.app();
    let of = |browser: &Browser| doors.session(browser, LOGIN).unwrap();
    let (own, phones, desks, bobs) = (of(&here), of(&phone), of(&desk), of(&other));

    // At an app there is nothing to read: it is shown where people sign in.
    for path in ["/.doorward", "/.doorward/", "/.doorward/sessions"] {
        let answer = doors.asks(&mut here, &wiki(path), "GET", "").await;
        assert_eq!((answer.status.as_u16(), answer.headers["location"].to_str().unwrap()), (303, HOME));
    }
    let (status, page) = doors.page(&mut here, HOME).await;
    assert_eq!(status, 200);
    for words in
        ["You are signed in", "Safari on an iPhone", "Firefox on Linux", "(this browser)", "192.0.2.7"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("<script") && !page.contains("<b>X11") && !page.contains(&bobs.id.to_string()));
    assert_eq!(page.matches(">End</button>").count(), 2, "{page}");

    sends(&mut here, "https://login.corp.example");
    let ends = form(&page, &phones.id.to_string());
    assert_eq!(doors.asks(&mut here, END, "POST", &ends).await.status, 303);
    assert!(doors.has_ended(&phones) && !doors.has_ended(&desks) && !doors.has_ended(&own));
    assert_eq!(doors.records().await, 2);
    // Somebody else's cannot be named, and what has ended ends no more.
    for id in [bobs.id, phones.id] {
        let named = ends.replace(&phones.id.to_string(), &id.to_string());
        assert_eq!(doors.asks(&mut here, END, "POST", &named).await.status, 303);
    }
    assert!(!doors.has_ended(&bobs));
    let others = format!("{}&others=1", ends.split('&').next().unwrap());
    assert_eq!(doors.asks(&mut here, END, "POST", &others).await.status, 303);
    assert!(doors.has_ended(&desks) && !doors.has_ended(&own) && !doors.has_ended(&bobs));
    for nothing in [ends.split('&').next().unwrap().to_owned(), format!("{ends}&others=1")] {
        assert_eq!(doors.asks(&mut here, END, "POST", &nothing).await.status, 400, "{nothing}");
    }
    here.headers.clear();
    let (_, page) = doors.page(&mut here, HOME).await;
    assert!(page.contains("(this browser)") && !page.contains("End all others"), "{page}");
}

/// S11: each form of ours is sent by a page of ours, or does nothing.
#[tokio::test]
async fn no_page_of_another_site_ends_anything() {
    let doors = Doors::open().await;
    let (mut browser, mut attacker) = (Browser::default(), Browser::default());
    for (browser, who) in [(&mut browser, "alice"), (&mut attacker, "mallory")] {
        doors.signs_in(browser, who, &wiki("/")).await.app();
    }
    let session = doors.session(&browser, LOGIN).unwrap();
    let (_, page) = doors.page(&mut browser, HOME).await;
    let own = format!("{}&others=1", form(&page, "form"));
    let (_, page) = doors.page(&mut attacker, OUT).await;
    let foreign = form(&page, "form");
    const KIND: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
    let sites: [&[(&'static str, &'static str)]; 5] = [
        &[KIND, ("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")],
        &[KIND, ("sec-fetch-site", "same-site"), ("origin", "https://wiki.corp.example")],
        &[KIND, ("origin", "https://evil.example")],
        &[KIND],
        &[("sec-fetch-site", "same-origin"), ("content-type", "text/plain")],
    ];
    for site in sites {
        browser.headers = site.to_vec();
        for address in [OUT, END, &wiki("/.doorward/sign-out")] {
            for body in ["", &own] {
                let answer = doors.asks(&mut browser, address, "POST", body).await;
                assert!(matches!(answer.status.as_u16(), 400 | 403), "{site:?} {address}: {}", answer.status);
            }
        }
    }
    // A form of ours, but with the token of another page or another person's.
    sends(&mut browser, "https://login.corp.example");
    let (_, out) = doors.page(&mut browser, OUT).await;
    for body in
        [format!("{}&others=1", form(&out, "form")), format!("{foreign}&others=1"), "others=1".to_owned()]
    {
        assert_eq!(doors.asks(&mut browser, END, "POST", &body).await.status, 403, "{body}");
    }
    assert_eq!(doors.asks(&mut browser, OUT, "POST", &format!("{foreign}&how=everywhere")).await.status, 403);
    assert!(!doors.has_ended(&session));
    assert!(doors.session(&browser, LOGIN).is_some() && doors.session(&browser, WIKI).is_some());
    // What needs a form does nothing for a link.
    browser.headers.clear();
    assert_eq!(doors.asks(&mut browser, END, "GET", "").await.status, 405);
    doors.asks(&mut browser, OUT, "GET", "").await;
    assert!(!doors.has_ended(&session));
}

#[tokio::test]
async fn a_session_that_cannot_be_ended_is_not_said_to_have_ended() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    let at = doors.opens_with(&mut browser, &wiki("/"), Demand::default()).await;
    doors.comes_back(&mut browser, at, "alice", Proof::Password).await.app();
    let session = doors.session(&browser, WIKI).unwrap();
    doors.cannot_end(true);
    sends(&mut browser, "https://wiki.corp.example");
    let answer = doors.asks(&mut browser, &wiki("/.doorward/sign-out"), "POST", "").await;
    assert_eq!(answer.status, 503);
    let page = String::from_utf8(answer.body).unwrap();
    assert!(page.contains("You are not signed out") && page.contains("Try again"), "{page}");
    assert!(
        browser.cookie(WIKI, SESSION_COOKIE).is_some(),
        "the cookie stays, so that it can be tried again"
    );
    assert_eq!(doors.records().await, 1);
    doors.cannot_end(false);
    assert_eq!(doors.asks(&mut browser, &wiki("/.doorward/sign-out"), "POST", "").await.status, 200);
    assert!(doors.has_ended(&session));
    // Who is out already is out.
    assert_eq!(doors.asks(&mut browser, &wiki("/.doorward/sign-out"), "POST", "").await.status, 200);
}

#[tokio::test]
async fn of_whom_everything_is_ended_nothing_is_left() {
    let doors = Doors::open().await;
    let (mut one, mut two) = (Browser::default(), Browser::default());
    doors.signs_in(&mut one, "alice", &wiki("/")).await.app();
    doors.revoke(Target::User(alice()), Action::Revoke).await;
    doors.passes(std::time::Duration::from_secs(5));
    doors.signs_in(&mut two, "alice", &wiki("/")).await.app();
    let later = doors.session(&two, WIKI).unwrap();
    // Two nodes do it at once.
    let other = doors.second_node();
    let person = alice();
    let (one, two) = tokio::join!(
        doors.sign_in.clear_up_after(&doors.house, &person),
        other.clear_up_after(&doors.house, &person)
    );
    one.and(two).unwrap();
    let left = doors.sign_in.sessions.of(&person).await.unwrap();
    assert_eq!(left.iter().map(|record| record.id.to_string()).collect::<Vec<_>>(), [later.id.to_string()]);
    // One that ended by its own name goes as well.
    doors.revoke(Target::Token(later.id.token(&later.user)), Action::Revoke).await;
    doors.sign_in.clear_up_after(&doors.house, &person).await.unwrap();
    assert_eq!(doors.records().await, 0);
    becomes("not both tokens are given back", async || doors.provider.given_back().len() == 2).await;
}
