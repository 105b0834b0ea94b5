//! The pages where people say by which address they sign in, and what every page of ours is like.

use super::house::{Browser, Doors, LOGIN, WIKI, Word};
use super::provider::{self, Proof};
use super::{MFA, wiki};

const LAB: &str = "[[issuer]]\nid = 'lab'\nissuer = 'http://127.0.0.1:9'\naudiences = ['api']\n\
    algorithms = ['ES256']\nemail_domains = ['lab.example']\n[issuer.sign_in]\nclient_id = 'doorward'\n\
    client_secret_file = 'client.secret'\ntitle = 'the <Lab>'\nauthorization_endpoint = 'http://127.0.0.1:9/authorize'\n\
    token_endpoint = 'http://127.0.0.1:9/token'\n";

#[tokio::test]
async fn where_there_are_several_providers_the_address_says_which() {
    let doors = Doors::with(Word::Token, LAB, |_| {}).await;
    let mut browser = Browser::default();
    let at = doors.opens(&mut browser, &wiki("/x")).await;
    let (status, page) = at.page();
    assert_eq!(status, 200);
    assert!(page.contains("Sign in with Corp") && page.contains("the &lt;Lab&gt;"), "{page}");
    let form = |page: &str, address: &str| {
        let value = |name: &str| {
            let rest = page.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap();
            rest.split('"').next().unwrap().to_owned()
        };
        format!("state={}&form={}&address={}", value("state"), value("form"), provider::escaped(address))
    };
    let choose = format!("https://{LOGIN}/.doorward/choose");
    browser.headers = vec![
        ("content-type", "application/x-www-form-urlencoded"),
        ("sec-fetch-site", "same-origin"),
        ("origin", "https://login.corp.example"),
    ];
    // Whether anybody has the address is nobody's business.
    for (address, leads) in [
        ("alice@corp.example", Some("login_hint=alice")),
        ("nobody@CORP.example", Some("login_hint=nobody")),
        ("x@lab.example", Some("http://127.0.0.1:9/authorize")),
        ("alice@elsewhere.example", None),
        ("alice", None),
        ("", None),
    ] {
        let answer = doors.asks(&mut browser, &choose, "POST", &form(&page, address)).await;
        assert_eq!(answer.status, 200);
        let text = String::from_utf8(answer.body).unwrap();
        match leads {
            Some(leads) => {
                assert!(text.contains("http-equiv=\"refresh\"") && text.contains(leads), "{address}: {text}")
            }
            None => assert!(text.contains("Your e-mail address at work"), "{address}: {text}"),
        }
    }
    // A page of another site cannot send it, nor one of ours without its token.
    let good = form(&page, "alice@corp.example");
    for (headers, body) in [
        (vec![("sec-fetch-site", "cross-site")], good.clone()),
        (vec![("sec-fetch-site", "same-site")], good.clone()),
        (vec![("origin", "https://wiki.corp.example")], good.clone()),
        (vec![("origin", "null")], good.clone()),
        (vec![], good.clone()),
        (vec![("sec-fetch-site", "same-origin")], good.replace("&form=", "&form=A")),
    ] {
        browser.headers = headers;
        browser.headers.push(("content-type", "application/x-www-form-urlencoded"));
        let answer = doors.asks(&mut browser, &choose, "POST", &body).await;
        assert_eq!(answer.status, 403, "{:?}", browser.headers);
    }
    browser.headers.clear();
    // By a link.
    let link = page.split("href=\"").find(|link| link.contains("provider=corp")).unwrap();
    let link = format!("https://{LOGIN}{}", link.split('"').next().unwrap().replace("&amp;", "&"));
    let at = doors.goes(&mut browser, &link).await;
    assert_eq!(doors.comes_back(&mut browser, at, "alice", Proof::Password).await.app(), wiki("/x"));
}

#[tokio::test]
async fn our_pages_are_ours_alone_and_shut() {
    let doors = Doors::with(Word::Token, "", |section| section.organization = Some("A & B".to_owned())).await;
    let mut browser = Browser::default();
    for (host, path, own) in [
        (LOGIN, "/", true),
        (LOGIN, "/anything", true),
        (WIKI, "/.doorward", true),
        (WIKI, "/.Doorward/enter", true),
        (WIKI, "/.doorwardx", false),
        (WIKI, "/", false),
    ] {
        assert_eq!(doors.sign_in.is_own(host, path), own, "{host}{path}");
    }
    for (address, status) in [
        (format!("https://{LOGIN}/anything"), 404),
        (format!("https://{LOGIN}/.doorward/enter"), 404),
        (wiki("/.doorward/start"), 404),
        (wiki("/.doorward/enter"), 400),
        (format!("https://{LOGIN}/.doorward/callback"), 400),
        (format!("https://{LOGIN}/.doorward/again"), 400),
        (format!("https://{LOGIN}/.doorward/choose"), 405),
        (format!("https://{LOGIN}/.doorward/"), 200),
    ] {
        let answer = doors.asks(&mut browser, &address, "GET", "").await;
        assert_eq!(answer.status, status, "{address}");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert_eq!(answer.headers["cache-control"], "no-store");
        let page = String::from_utf8(answer.body).unwrap();
        assert!(page.contains("A &amp; B") && !page.contains("<script"), "{page}");
    }
    for path in ["callback?state=x&code=y", "choose"] {
        let looked = doors.asks(&mut browser, &format!("https://{LOGIN}/.doorward/{path}"), "HEAD", "").await;
        assert_eq!(looked.status, 405, "{path}");
    }
    let posted = doors.asks(&mut browser, &format!("https://{LOGIN}/.doorward/start"), "POST", "").await;
    assert_eq!(posted.status, 405);
    // The page of an app's host that only signs in.
    let link = doors.sign_in.sign_in_url(WIKI, MFA);
    let at = doors.goes(&mut browser, &link).await;
    assert_eq!(doors.comes_back(&mut browser, at, "alice", Proof::Mfa).await.app(), wiki("/"));
}
