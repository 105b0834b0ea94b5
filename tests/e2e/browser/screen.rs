//! Chromium itself: that it shows what is there, believes no certificate but one, and keeps one test from another.

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use doorward_demo::loopback::Loopback;
use doorward_tests::browser::{Browser, authority, certificate};
use doorward_tests::tls::Authority;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn plain() -> String {
    let loopback = Loopback::port(0).await.unwrap();
    let url = format!("http://{}", loopback.address());
    let page =
        r#"<title>A page</title><p>Hello</p><label>Name <input name="n"></label><a href="/there">Go on</a>"#;
    let cookie = [("set-cookie", "seen=1; Path=/")];
    let router = Router::new()
        .route("/", get(async move || (cookie, Html(page))))
        .route("/elsewhere", get(async || axum::response::Redirect::to("/there?a=1&b=2")))
        .route("/there", get(async || (axum::http::StatusCode::IM_A_TEAPOT, Html("<p>You are there"))));
    tokio::spawn(loopback.serve(router));
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_sees_what_is_there() {
    let (url, browser) = (plain().await, Browser::new().await);
    let seen = browser.go(&url).await;
    assert_eq!((seen.status, seen.title.as_str()), (200, "A page"));
    browser.fill("Name", "Alice").await;
    let there = browser.click("Go on").await;
    assert_eq!((there.status, there.text.as_str()), (418, "You are there"));
    assert_eq!(browser.back().await.title, "A page");
    let answer = browser.fetch("/there", json!({"method": "GET"})).await;
    assert_eq!((&answer["status"], &answer["redirected"]), (&json!(418), &json!(false)));
    assert_eq!(browser.cookies().await[0]["name"], "seen");
    assert!(Browser::new().await.cookies().await.is_empty(), "another test's browser");
    let tab = browser.tab().await;
    assert_eq!(tab.go(&format!("{url}/there")).await.status, 418);
    let there = format!("{url}/there");
    let asked = tab.stop_before(&format!("{url}/elsewhere"), &there).await;
    assert_eq!(asked, Some(format!("{there}?a=1&b=2")));
    assert_eq!(tab.stop_before(&url, &there).await, None);
    assert_eq!(tab.go(&there).await.status, 418);
    assert_eq!((tab.cookies().await.len(), browser.look().await.title.as_str()), (1, "A page"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_trusts_one_certificate_and_no_other() {
    let page =
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-type: text/html\r\nconnection: close\r\n\r\nThere";
    let stranger = Authority::new().certificate(&["*.corp.example"]);
    let signed = authority().certificate(&["*.corp.example"]);
    for (certificate, trusted) in [(certificate().clone(), true), (stranger, false), (signed, false)] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = certificate.acceptor(&["http/1.1"]);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let _asked = stream.read(&mut [0; 4096]).await;
                    let _said = stream.write_all(page).await;
                    let _done = stream.shutdown().await;
                }
            }
        });
        let browser = Browser::new().await;
        let went = browser.try_go(&format!("https://wiki.corp.example:{port}/")).await;
        match trusted {
            true => assert_eq!(went.unwrap().text, "There"),
            false => assert!(went.unwrap_err().contains("ERR_CERT_AUTHORITY_INVALID")),
        }
    }
}
