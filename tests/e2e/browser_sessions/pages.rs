//! What pages of other sites cannot have done with the cookie that a browser adds: S11, S18.

use doorward_tests::ws::Refused;
use serde_json::json;

use crate::house::{BUILD, House, WIKI, refused, told};

#[tokio::test]
async fn s11_a_page_of_another_site_has_nothing_done() {
    let house = House::with(|config| {
        config.set("app.0.cross_site_origins", json!(["https://forms.test"]));
    })
    .await;
    let cookie = house.cookie(&house.bob(), WIKI);
    let form = ("accept", "text/html");
    for (lines, good) in [
        (&[("sec-fetch-site", "same-origin"), form][..], true),
        (&[("origin", "https://wiki.test"), form], true),
        (&[("sec-fetch-site", "cross-site"), ("origin", "https://forms.test"), form], true),
        (&[("sec-fetch-site", "cross-site"), form], false),
        (&[("sec-fetch-site", "same-site"), ("origin", "https://payroll.test"), form], false),
        (
            &[
                ("sec-fetch-site", "cross-site"),
                ("origin", "https://evil.test"),
                ("sec-fetch-mode", "navigate"),
            ],
            false,
        ),
        (&[("origin", "null"), form], false),
        (&[("referer", "https://evil.test/wiki.test")], false),
        (&[], false),
    ] {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let answer = house.ask((method, WIKI, "/save"), &cookie, lines).await;
            let expect = if good { (200, None) } else { refused(403, "cross_site") };
            assert_eq!(told(&answer), expect, "{method} {lines:?}");
            assert_eq!(answer.head.value("location"), None);
        }
    }
    assert_eq!(house.sent("/save").len(), 12, "nothing else came through");
    // To follow a link to the app, and a token, are another matter.
    let link =
        [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    assert_eq!(told(&house.ask(("GET", WIKI, "/link"), &cookie, &link).await), (200, None));
    let bearer = format!("Bearer {}", house.issuer.token("bob"));
    let program = [("authorization", bearer.as_str()), ("sec-fetch-site", "cross-site")];
    assert_eq!(told(&house.ask(("POST", WIKI, "/api"), "", &program).await), (200, None));
}

#[tokio::test]
async fn s18_a_page_of_another_site_opens_no_websocket_with_a_session() {
    let house = House::with(|config| {
        config.set("app.2.websocket_origins", json!(["https://portal.test"]));
    })
    .await;
    let cookie = house.cookie(&house.bob(), BUILD);
    let code = |refused: &Refused| {
        let code = refused.headers.get("x-doorward-refusal").map(|v| v.to_str().unwrap().to_owned());
        (refused.status, code)
    };
    for lines in [
        &[][..],
        &[("origin", "https://evil.test")],
        &[("origin", "null")],
        &[("origin", "https://wiki.test")],
        &[("origin", "http://build.test")],
        &[("origin", "https://build.test"), ("origin", "https://evil.test")],
        &[("sec-fetch-site", "same-origin")],
    ] {
        let opened = house.websocket(&cookie, lines).await;
        let Err(no) = opened else { panic!("{lines:?} opened a WebSocket") };
        assert_eq!(code(&no), refused(403, "foreign_origin"), "{lines:?}");
    }
    for origin in ["https://build.test", "https://portal.test"] {
        let mut ws = house.websocket(&cookie, &[("origin", origin)]).await.unwrap();
        assert!(ws.send("hello").await);
        ws.until("echo: hello").await;
    }
}
