//! Who may pass, who is sent to sign in, who is refused, and when.

use std::time::Duration;

use doorward_identity::session::BrowserSession;
use doorward_model::Employment;
use doorward_tests::company::bearer;
use doorward_tests::gateway::{Gateway, Signal};
use doorward_tests::h1::request;
use doorward_tests::openid::Proof;
use doorward_tests::raw::Recorded;
use doorward_tests::visitor::Visitor;
use doorward_tests::wire::{Ending, until};
use serde_json::json;

use super::front::{Front, LOGIN};
use super::house::{FETCHES, OPENS, SENDS, WIKI, ago, proved, since};

pub(crate) async fn who_may_pass_is_named(front: &Front) {
    let house = &front.house;
    let target = "/page?x=%2e%2e/;y&z=a+b";
    let cookie = format!("a=1; {}; b=2", house.cookie(&house.bob(), WIKI));
    let from = [("x-forwarded-for", "192.0.2.9"), ("authorization", "Basic Zm9vOmJhcg==")];
    let answer = front.ask(("GET", target), &cookie, &from[..1]).await;
    assert_eq!((answer.status(), answer.text()), (200, "ok".to_owned()));
    let sent = house.sent(target).pop().unwrap();
    assert_eq!(sent.values("x-doorward-user"), ["corp:bob"]);
    assert_eq!(sent.values("x-doorward-email"), ["bob@corp.example"]);
    assert_eq!(sent.value("x-doorward-assertion").unwrap().split('.').count(), 3);
    assert_eq!(sent.value("cookie").as_deref(), Some("a=1; b=2"));
    let event = house.decision(&sent.value("x-doorward-request-id").unwrap()).await;
    assert_eq!(event["unmapped"]["doorward"]["enforced_by"], json!("127.0.0.1"), "{event}");
    assert_eq!(event["src_endpoint"]["ip"], json!("127.0.0.1"), "{event}");
    // What a program shows is not for the app.
    let token = bearer(&house.issuer.token("bob"));
    let answer = front.ask(("GET", "/program"), "", &[("authorization", &token)]).await;
    assert_eq!(answer.status(), 200);
    let sent = house.sent("/program").pop().unwrap();
    assert_eq!(sent.values("x-doorward-user"), ["demo:bob"]);
    assert_eq!(sent.value("authorization").unwrap_or_default(), "");
    // Who is nobody is told to be nobody.
    assert_eq!(front.ask(("GET", "/welcome"), "", OPENS).await.status(), 200);
    let sent = house.sent("/welcome").pop().unwrap();
    for name in ["x-doorward-user", "x-doorward-groups", "x-doorward-email", "x-doorward-on-behalf-of"] {
        assert_eq!(sent.value(name).unwrap_or_default(), "", "{name}");
    }
}

pub(crate) async fn bodies_pass_and_stay_whole(front: &Front) {
    let cookie = front.house.cookie(&front.house.bob(), WIKI);
    let (host, got) = (front.authority(), |target: &str| -> Recorded {
        let mut all = front.house.app.requests().into_iter();
        all.find(|request| request.head.target() == target).unwrap()
    });
    let lines = [&[("cookie", cookie.as_str()), ("content-type", "text/plain")], SENDS].concat();
    let mut connection = front.connect().await;
    connection.send(request("POST", &host, "/save", &lines, b"what is written")).await;
    assert_eq!(connection.response("POST").await.status(), 200);
    assert_eq!(got("/save").body, b"what is written");
    let pieces = [&lines[..], &[("transfer-encoding", "chunked")]].concat();
    connection.send(request("POST", &host, "/pieces", &pieces, b"")).await;
    connection.send("4\r\nwhat\r\n3\r\n is\r\n0\r\n\r\n").await;
    assert_eq!(connection.response("POST").await.status(), 200);
    assert_eq!(got("/pieces").body, b"what is");
    // And what comes after is a request of its own.
    assert_eq!(front.ask_on(&mut connection, ("GET", "/after"), &cookie, FETCHES).await.status(), 200);
    assert_eq!(got("/after").head.values("x-doorward-user"), ["corp:bob"]);
    // An answer to `HEAD` has no body, a yes or a no.
    for (cookie, status) in [(cookie.as_str(), 200), ("", 401)] {
        let mut connection = front.connect().await;
        let lines = [FETCHES, &[("connection", "close")]].concat();
        let answer = front.ask_on(&mut connection, ("HEAD", "/head"), cookie, &lines).await;
        assert_eq!(answer.status(), status);
        let (more, end) = connection.drain(Duration::from_secs(20)).await;
        assert_eq!((more.len(), end != Ending::StillOpen), (0, true), "{status}");
    }
}

pub(crate) async fn a_renewed_cookie_reaches_the_browser(front: &Front) {
    let house = &front.house;
    let used = BrowserSession { seen_at: ago(120), ..since(house.bob(), 600) };
    let answer = front.ask(("GET", "/page"), &house.cookie(&used, WIKI), FETCHES).await;
    let renewed = house.renewed(&answer, WIKI).unwrap();
    assert_eq!((renewed.id, renewed.seen_at > used.seen_at), (used.id, true));
    // No cache that serves others keeps it, whatever the app says of caches, which counts otherwise.
    for (session, due) in [(&used, true), (&house.bob(), false)] {
        let answer = front.ask(("GET", "/public"), &house.cookie(session, WIKI), FETCHES).await;
        assert_eq!(house.renewed(&answer, WIKI).is_some(), due);
        let said = answer.head.values("cache-control").join(", ");
        let shared = said.contains("public") || said.contains("max-age");
        let kept = said.contains("private") && said.contains("no-store");
        assert!(shared != due && kept == due, "{said}");
    }
    // The app's own cookies are not lost, neither with ours nor without.
    for session in [house.bob(), used] {
        let answer = front.ask(("GET", "/cookies"), &house.cookie(&session, WIKI), FETCHES).await;
        let lines = answer.head.values("set-cookie");
        for of_the_app in ["a=1", "b=2"] {
            assert!(answer.status() == 200 && lines.iter().any(|line| line == of_the_app), "{lines:?}");
        }
    }
}

pub(crate) async fn who_may_not_pass_is_refused(front: &Front) {
    let (house, passed) = (&front.house, front.passed());
    let cookie = house.cookie(&house.bob(), WIKI);
    let mut guest = house.bob();
    guest.user.employment = Employment::Contractor;
    let guest = house.cookie(&guest, WIKI);
    for lines in [FETCHES, OPENS] {
        let answer = front.ask(("GET", "/page"), &guest, lines).await;
        assert_eq!(answer.status(), 403, "{}", answer.text());
    }
    // A page of another site has nothing done.
    let evil = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
    let answer = front.ask(("POST", "/save"), &cookie, &evil).await;
    assert_eq!(answer.status(), 403, "{}", answer.text());
    // The cookie of another host is none here.
    let answer = front.ask(("GET", "/page"), &house.cookie(&house.bob(), LOGIN), FETCHES).await;
    assert_eq!(answer.status(), 401);
    assert_eq!(front.passed(), passed);
}

pub(crate) async fn programs_are_told_to_sign_in(front: &Front) {
    let (house, passed) = (&front.house, front.passed());
    let weak = BrowserSession { assurance: proved(false, false, ago(1)), ..house.alice() };
    for cookie in [String::new(), house.cookie(&weak, WIKI)] {
        for (what, lines) in [(("GET", "/page"), FETCHES), (("POST", "/save"), SENDS)] {
            let answer = front.ask(what, &cookie, lines).await;
            assert_eq!((answer.status(), answer.head.value("location")), (401, None), "{what:?}");
            let challenge = answer.head.value("www-authenticate").unwrap_or_default();
            assert!(challenge.starts_with("Bearer"), "{what:?}: {}", answer.head.text());
        }
    }
    assert_eq!(front.passed(), passed);
}

pub(crate) async fn browsers_sign_in_and_prove_more(front: &Front) {
    let house = &front.house;
    let mut browser = Visitor::new(&house.authority);
    let bob = |asked: &str| house.provider.answer(asked, "bob", Proof::Code);
    let page = front.go(&mut browser, "/page?opened=1", bob).await;
    assert_eq!((page.response.status(), page.url), (200, front.url("/page?opened=1")), "{:?}", page.way);
    let sent = house.sent("/page?opened=1");
    assert_eq!((sent.len(), sent[0].value("x-doorward-user").as_deref()), (1, Some("corp:bob")));
    // The gateway's own pages are at hand at the app's host.
    let own = browser.go(&front.url("/.doorward/")).await.unwrap();
    assert!(
        own.response.status() == 200 && own.response.text().contains("(this browser)"),
        "{}",
        own.response.text()
    );
    // Somebody who proved too little proves more, and then passes.
    let (mut browser, passed) = (Visitor::new(&house.authority), front.passed());
    let weak = |asked: &str| house.provider.answer(asked, "alice", Proof::Password);
    let page = front.go(&mut browser, "/page?more=1", weak).await;
    assert!(page.url.starts_with(house.provider.url()) && front.passed() == passed, "{:?}", page.way);
    let page = browser.go(&house.provider.answer(&page.url, "alice", Proof::Code)).await.unwrap();
    assert_eq!((page.response.status(), page.url), (200, front.url("/page?more=1")), "{:?}", page.way);
    assert_eq!(house.sent("/page?more=1")[0].values("x-doorward-user"), ["corp:alice"]);
}

pub(crate) async fn who_is_cut_off_is_refused_with_the_next_request(front: &Front) {
    let house = &front.house;
    let (bob, alice) = (house.cookie(&house.bob(), WIKI), house.cookie(&house.alice(), WIKI));
    let mut connection = front.connect().await;
    assert_eq!(front.ask_on(&mut connection, ("GET", "/page"), &bob, FETCHES).await.status(), 200);
    house.gateway.revoke("user", "corp:bob").await;
    let passed = front.passed();
    assert_eq!(front.ask_on(&mut connection, ("GET", "/page"), &bob, FETCHES).await.status(), 401);
    assert_eq!(front.ask(("GET", "/page"), &bob, FETCHES).await.status(), 401);
    assert_eq!(front.passed(), passed);
    assert_eq!(front.ask(("GET", "/page"), &alice, FETCHES).await.status(), 200);
}

/// Stops it in the middle of what it does: every thread of it stands.
async fn hang(gateway: &Gateway) {
    gateway.signal(Signal::SIGSTOP);
    let threads = std::path::PathBuf::from(format!("/proc/{}/task", gateway.pid()));
    let stands = |thread: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
    };
    until("the gateway to stand still", || {
        let mut all = std::fs::read_dir(&threads).unwrap();
        all.all(|thread| thread.is_ok_and(stands)).then_some(())
    })
    .await;
}

/// First it hangs, then it is no more.
pub(crate) async fn nothing_passes_without_doorward(mut front: Front) {
    let (alice, passed) = (front.house.cookie(&front.house.alice(), WIKI), front.passed());
    let alice = alice.as_str();
    hang(&front.house.gateway).await;
    let answer = front.ask(("GET", "/page"), alice, FETCHES).await;
    assert!(answer.status() >= 500, "{}", answer.status());
    front.house.gateway.signal(Signal::SIGKILL);
    front.house.gateway.wait_exit().await;
    for (what, cookie) in [(("GET", "/page"), alice), (("GET", "/welcome"), ""), (("POST", "/save"), alice)] {
        let answer = front.ask(what, cookie, FETCHES).await;
        assert!(answer.status() >= 500, "{what:?}: {}", answer.status());
    }
    assert_eq!(front.passed(), passed);
}
