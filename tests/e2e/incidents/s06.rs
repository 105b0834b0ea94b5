//! S6, public routes that match too much (CVE-2025-54576, GHSA-pxq7-h93f-9jrg): a public route is a
//! prefix of the path, by whole segments, and nothing else of a request counts.

use super::house::{House, PAYROLL, WIKI, outcome};
use super::random::Random;
use super::talk::{Ask, BOTH};

/// Ways to bring a public and a protected path into one request.
fn attempts() -> Vec<String> {
    let mut all = Vec::new();
    for protected in ["/admin", "/page", "/", "/admin/x"] {
        for joint in [
            "?",
            "#",
            "?x=",
            "?x#",
            "&",
            ";",
            ";x=",
            "%3f",
            "%3F",
            "%23",
            "%26",
            "%3b",
            "%00",
            "%0a",
            "%0d%0a",
            "%2f",
            "/",
            "//",
            "/..",
            "/../",
            "/%2e%2e",
            "/%2e%2e%2f",
            "\\",
            "%5c",
            "@",
            ":",
            "|",
            " ",
            "%20",
            "\t",
            ".",
            "..",
            "~",
            "!",
            "*",
            "$",
            "^",
            ",",
            "=",
            "+",
            "'",
            "(",
            ")",
        ] {
            all.push(format!("{protected}{joint}/welcome"));
            all.push(format!("{protected}{joint}welcome"));
            all.push(format!("/welcome{joint}{protected}"));
            all.push(format!("/welcome{joint}/..{protected}"));
        }
    }
    for near in [
        "/welcom",
        "/welcomeadmin",
        "/welcome-admin",
        "/welcome.html",
        "/Welcome",
        "/WELCOME",
        "/welcome%20",
        "/wel%63ome",
        "/welcome%2e",
        "/%77elcome/../admin",
        "/x/welcome",
        "/admin/welcome",
        "/welcome%00.html",
    ] {
        all.push(near.to_owned());
    }
    all
}

#[tokio::test]
async fn s6_without_a_token_only_what_lies_under_the_public_prefix() {
    let house = House::open().await;
    let mut random = Random::seeded(6);
    let mut refused = Vec::new();
    let mut visits = Vec::new();
    for http in BOTH {
        let mut talk = house.talk(http);
        for path in attempts() {
            let before = house.wiki.requests().len();
            let mut ask = Ask::get(WIKI, &path).field("x-doorward-user", "mallory");
            // What incidents matched instead of the path.
            match random.below(4) {
                0 => ask = ask.field("x-original-url", "/welcome").field("x-rewrite-url", "/welcome"),
                1 => ask = ask.field("referer", "http://wiki.test/welcome"),
                2 => ask = ask.field("x-forwarded-uri", "/welcome"),
                _ => {}
            }
            let said = talk.say(&ask).await;
            let seen = house.wiki.requests().split_off(before);
            match said.status {
                200 => {
                    let target = seen[0].head.target();
                    let sent = target.split('?').next().unwrap();
                    assert!(
                        sent == "/welcome" || sent.starts_with("/welcome/"),
                        "{path:?} went out as {target:?}"
                    );
                    assert!(!sent.contains("..") && !sent.contains("//"), "{path:?} went out as {target:?}");
                    assert_eq!(seen.len(), 1);
                    assert!(seen[0].head.values("x-doorward-user").is_empty(), "{}", seen[0].head.text());
                    visits.push((seen[0].head.value("x-doorward-request-id").unwrap(), sent.to_owned()));
                }
                status => {
                    assert!(matches!(status, 0 | 400 | 401), "{path:?}: {said:?}");
                    assert!(seen.is_empty(), "{path:?} was refused and reached the app");
                    if let Some(code) = said.refusal().map(ToOwned::to_owned) {
                        refused.push((said, code));
                    }
                }
            }
        }
    }
    assert!(visits.len() > 20 && refused.len() > 200, "{} and {}", visits.len(), refused.len());
    house.recorded(&refused.iter().map(|(said, code)| (said, code.as_str())).collect::<Vec<_>>()).await;
    // What is public is recorded like everything else, and belongs to the public route.
    let decisions = house.decisions(&visits.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>()).await;
    for (id, sent) in &visits {
        let event = &decisions[id];
        assert_eq!(outcome(event).0, "allow", "{event}");
        assert_eq!(event["unmapped"]["doorward"]["route"], "wiki/welcome", "{event}");
        assert_eq!(event["http_request"]["url"]["path"], sent.as_str(), "{event}");
        assert_eq!(event["actor"]["user"]["name"], "visitor", "{event}");
    }
}

#[tokio::test]
async fn s6_a_bad_token_is_not_a_visitor() {
    let house = House::open().await;
    let bob = house.issuer.token("bob");
    let cut = &bob[..bob.len() - 4];
    let mut refused = Vec::new();
    for http in BOTH {
        for value in
            [format!("Bearer {cut}"), "Bearer x".into(), "Basic eDp5".into(), "Bearer".into(), String::new()]
        {
            let said = house.say(http, &Ask::get(WIKI, "/welcome").field("authorization", &value)).await;
            refused.push((said, "invalid_credential"));
        }
        // Another method, another app: the route is public for reading there.
        refused.push((house.say(http, &Ask::get(PAYROLL, "/welcome")).await, "unauthenticated"));
        refused
            .push((house.say(http, &Ask::get(WIKI, "/welcome").method("POST").body("x")).await, "no_permit"));
    }
    assert_eq!(house.reached(), 0);
    house.recorded(&refused.iter().map(|(said, code)| (said, *code)).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn s6_a_pattern_is_no_path() {
    use doorward_tests::gateway::{Config, Gateway};
    use serde_json::json;

    let issuer = doorward_tests::issuer::Issuer::start().await;
    let wiki = doorward_tests::raw::RawUpstream::ok().await;
    for pattern in
        ["^/welcome", "/welcome/../", "welcome", "/welcome?x", "//welcome", "/wel%2fcome", "/welcome#", ""]
    {
        let mut config = Config::new();
        let route = json!({"id": "w", "path": pattern, "tier": "public", "public": true});
        config.issuer(&issuer).app("wiki", WIKI, wiki.address(), json!({"route": [route]}));
        let Err(ended) = Gateway::try_start(config).await else { panic!("it started with {pattern:?}") };
        assert!(ended.log.contains("path"), "{pattern:?}: {ended}");
    }
}
