//! S13, caches that confuse (CVE-2021-32701, CVE-2026-33496): what is remembered of a token is
//! never more than the token says, for as long as it says it, under the keys and the rules of now;
//! a decision is not remembered at all.

use std::time::Duration;

use doorward_tests::issuer::Issuer;
use doorward_tests::wire::now;
use serde_json::json;

use super::house::{BUILD, House, PAYROLL, WIKI};
use super::talk::{Ask, BOTH, Said, Talk};

/// So long something lives here that is to end by itself: long enough to be used on a slow machine.
const LIFE_SECONDS: i64 = 8;

/// Asks until the answer is another than 200: how often it was 200, and the other answer. What is asked after this
/// second must be refused, whenever the answer comes.
async fn asked_until_refused(talk: &mut Talk, ask: &Ask, last: i64) -> (usize, Said) {
    let mut passed = 0;
    loop {
        let asked = now().seconds();
        let said = talk.say(ask).await;
        match said.status {
            200 => passed += 1,
            // It was under way when its time came: cut off, and asked again.
            0 => {}
            _ => return (passed, said),
        }
        assert!(asked <= last, "it lives on after its end");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn s13_the_same_bytes_after_a_revocation() {
    let house = House::open().await;
    for (i, http) in BOTH.into_iter().enumerate() {
        for (k, kind) in ["token", "session", "device", "user"].into_iter().enumerate() {
            let name = format!("s13-{i}-{k}");
            let claims = json!({"sub": name, "jti": format!("{name}-jti"), "sid": format!("{name}-sid"),
                "device_id": format!("{name}-device")});
            let token = house.issuer.token_but("bob", &claims);
            let ask = Ask::get(WIKI, "/").token(&token);
            let mut talk = house.talk(http);
            for _ in 0..3 {
                assert_eq!(talk.say(&ask).await.status, 200);
            }
            let id = match kind {
                "token" => format!("demo:{name}-jti"),
                "session" => format!("demo:{name}-sid"),
                "device" => format!("{name}-device"),
                _ => format!("demo:{name}"),
            };
            house.gateway.revoke(kind, &id).await;
            let before = house.reached();
            // On a connection of its own: the old one may be closed by the revocation.
            let said = house.say(http, &ask).await;
            assert_eq!(
                (said.status, said.refusal(), house.reached()),
                (401, Some("revoked"), before),
                "{kind}"
            );
            house.recorded(&[(&said, "revoked")]).await;
        }
    }
}

#[tokio::test]
async fn s13_the_same_bytes_after_their_time() {
    let house = House::open().await;
    for http in BOTH {
        let exp = now().seconds() + LIFE_SECONDS;
        let token = house.issuer.token_but("bob", &json!({"exp": exp}));
        let ask = Ask::get(WIKI, "/").token(&token);
        let (passed, said) = asked_until_refused(&mut house.talk(http), &ask, exp + 1).await;
        assert!(passed > 0 && now().seconds() >= exp, "{passed}: {said:?}");
        house.recorded(&[(&said, "expired_credential")]).await;
    }
}

#[tokio::test]
async fn s13_what_one_token_may_another_of_the_same_person_may_not() {
    let house = House::open().await;
    let plain = house.issuer.token("bob");
    let without_mfa = house.issuer.token_but("bob", &json!({"amr": ["pwd"]}));
    let suspended = house.issuer.token_but("bob", &json!({"stage": "suspended"}));
    let contractor = house.issuer.token_but("bob", &json!({"employment": "contractor"}));
    let risky = house.issuer.token_but("bob", &json!({"risk": 99}));
    for http in BOTH {
        let mut talk = house.talk(http);
        for _ in 0..3 {
            assert_eq!(talk.say(&Ask::get(WIKI, "/").token(&plain)).await.status, 200);
            for (token, code) in [
                (&without_mfa, "step_up"),
                (&suspended, "policy_forbids"),
                (&contractor, "policy_forbids"),
                (&risky, "policy_forbids"),
            ] {
                let said = talk.say(&Ask::get(WIKI, "/").token(token)).await;
                assert_eq!(said.refusal(), Some(code), "{said:?}");
            }
            // The same token at other doors is another question.
            let said = talk.say(&Ask::get(PAYROLL, "/").token(&plain)).await;
            assert_eq!(said.refusal(), Some("policy_forbids"));
            let said = talk.say(&Ask::get(WIKI, "/admin").token(&plain)).await;
            assert_eq!(said.refusal(), Some("policy_forbids"));
            assert_eq!(talk.say(&Ask::get(BUILD, "/").token(&plain)).await.status, 200);
            // One byte more or less is another token.
            for bad in [format!("{plain}A"), plain[..plain.len() - 1].to_owned(), format!("{plain}=")] {
                let said = talk.say(&Ask::get(WIKI, "/").token(&bad)).await;
                assert_eq!(said.refusal(), Some("invalid_credential"));
            }
        }
    }
    assert_eq!(house.payroll.requests().len(), 0);
}

#[tokio::test]
async fn s13_no_decision_outlives_place_or_time() {
    let house = House::with(|config| {
        config.trust_local_proxy().set("network.named.corp", json!(["10.0.0.0/8"]));
    })
    .await;
    let (bob, alice) = (house.issuer.token("bob"), house.issuer.token("alice"));
    for http in BOTH {
        let mut talk = house.talk(http);
        for _ in 0..5 {
            for (from, token, host, status) in [
                ("10.0.0.1", &bob, WIKI, 200),
                ("175.45.176.1", &bob, WIKI, 403),
                ("10.0.0.1", &alice, PAYROLL, 200),
                ("192.0.2.1", &alice, PAYROLL, 403),
            ] {
                let said = talk.say(&Ask::get(host, "/").token(token).field("x-forwarded-for", from)).await;
                assert_eq!(said.status, status, "{from} {host}: {said:?}");
            }
        }
        // A sign-in lasts twelve hours, whenever it was last asked for.
        let end = now().seconds() + LIFE_SECONDS;
        let token = house.issuer.token_but("bob", &json!({"auth_time": end - 12 * 3600}));
        let ask = Ask::get(WIKI, "/").token(&token).field("x-forwarded-for", "10.0.0.1");
        let (passed, said) = asked_until_refused(&mut talk, &ask, end + 2).await;
        assert!(passed > 0, "{said:?}");
        house.recorded(&[(&said, "step_up")]).await;
    }
}

#[tokio::test]
async fn s13_nor_the_rules_of_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("policies");
    let dir = folder.path().join("policies");
    let copied = std::process::Command::new("cp").arg("-r").arg(&source).arg(&dir).status().unwrap();
    assert!(copied.success());
    let house = House::with(|config| {
        config.set("policy.dir", json!(dir));
    })
    .await;
    let ask = Ask::get(WIKI, "/").token(&house.issuer.token("bob"));
    for http in BOTH {
        assert_eq!(house.say(http, &ask).await.status, 200);
    }
    // Other rules: the very next question is asked of them.
    let extra = dir.join("guardrails/extra.cedar");
    let rule = "@id(\"extra.bob\")\n@title(\"Not Bob\")\n@owner(\"tests\")\n@severity(\"low\")\n\
                @reason(\"Not you.\")\nforbid (principal == User::\"demo:bob\", action, resource);\n";
    std::fs::write(&extra, rule).unwrap();
    let reloaded = house.gateway.api("POST", "/api/v1/policies/reload", None).await;
    assert!((200..300).contains(&reloaded.status), "{reloaded:?}");
    for http in BOTH {
        let said = house.say(http, &ask).await;
        house.recorded(&[(&said, "policy_forbids")]).await;
    }
    std::fs::remove_file(&extra).unwrap();
    let reloaded = house.gateway.api("POST", "/api/v1/policies/reload", None).await;
    assert!((200..300).contains(&reloaded.status), "{reloaded:?}");
    for http in BOTH {
        assert_eq!(house.say(http, &ask).await.status, 200);
    }
}

#[tokio::test]
async fn s13_two_issuers_with_the_same_names_are_two() {
    let other = Issuer::named("other").await;
    let house = House::with(|config| {
        config.issuer(&other);
    })
    .await;
    for (i, http) in BOTH.into_iter().enumerate() {
        for (k, kind) in ["token", "session", "user"].into_iter().enumerate() {
            let name = format!("s13-two-{i}-{k}");
            let same = json!({"sub": name, "jti": format!("{name}-jti"), "sid": format!("{name}-sid"),
                "device_id": format!("{name}-device")});
            let (ours, theirs) = (house.issuer.token_but("bob", &same), other.token_but("bob", &same));
            let (ours, theirs) = (Ask::get(WIKI, "/").token(&ours), Ask::get(WIKI, "/").token(&theirs));
            for _ in 0..3 {
                assert_eq!(house.say(http, &ours).await.status, 200);
                assert_eq!(house.say(http, &theirs).await.status, 200);
            }
            let users: std::collections::BTreeSet<_> = house
                .wiki
                .requests()
                .iter()
                .rev()
                .take(2)
                .map(|r| r.head.values("x-doorward-user"))
                .collect();
            assert_eq!(users, [vec![format!("demo:{name}")], vec![format!("other:{name}")]].into());
            let id = match kind {
                "token" => format!("demo:{name}-jti"),
                "session" => format!("demo:{name}-sid"),
                _ => format!("demo:{name}"),
            };
            house.gateway.revoke(kind, &id).await;
            for _ in 0..3 {
                let said = house.say(http, &ours).await;
                assert_eq!((said.status, said.refusal()), (401, Some("revoked")), "{kind}");
                assert_eq!(house.say(http, &theirs).await.status, 200, "{kind}: of another issuer");
            }
        }
    }
}

#[tokio::test]
async fn s13_what_is_remembered_of_one_token_serves_no_other() {
    let other = Issuer::named("other").await;
    let house = House::with(|config| {
        config.issuer(&other);
    })
    .await;
    let good = house.issuer.token("bob");
    let claims = house.issuer.claims_but("bob", &json!({}));
    let with = |changes: &[(&str, serde_json::Value)]| {
        let mut claims = claims.clone();
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        claims
    };
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (of_good, of_alice) = (parts(&good), parts(&house.issuer.token("alice")));
    let stranger = Issuer::named("stranger").await;
    let strangers = [
        // The same but for whom it is for, and for who says so.
        ("another audience", house.issuer.provider().issue(&with(&[("aud", json!("another"))])).unwrap()),
        ("no audience", house.issuer.provider().issue(&with(&[("aud", json!([]))])).unwrap()),
        ("of a stranger", stranger.token("bob")),
        ("a stranger's word for ours", stranger.provider().issue(&claims).unwrap()),
        ("the other's word for ours", other.provider().issue(&claims).unwrap()),
        (
            "our word for the other",
            house.issuer.provider().issue(&with(&[("iss", json!(other.url()))])).unwrap(),
        ),
        // Parts of two that are both remembered.
        ("bob by alice's signature", [&of_good[0], &of_good[1], &of_alice[2]].map(String::as_str).join(".")),
        ("alice by bob's signature", [&of_good[0], &of_alice[1], &of_good[2]].map(String::as_str).join(".")),
    ];
    for http in BOTH {
        let mut talk = house.talk(http);
        for (name, stranger) in &strangers {
            // Both are there to be found when the other comes.
            assert_eq!(talk.say(&Ask::get(WIKI, "/").token(&good)).await.status, 200);
            assert_eq!(talk.say(&Ask::get(WIKI, "/").token(&house.issuer.token("alice"))).await.status, 200);
            let before = house.reached();
            let said = house.say(http, &Ask::get(WIKI, "/").token(stranger)).await;
            assert_eq!((said.refusal(), house.reached()), (Some("invalid_credential"), before), "{name}");
            house.recorded(&[(&said, "invalid_credential")]).await;
        }
    }
}

#[tokio::test]
async fn s13_a_token_goes_with_its_key() {
    for http in BOTH {
        let house = House::open().await;
        let mut talk = house.talk(http);
        let first = house.issuer.provider().signing_key().kid().to_owned();
        let old = Ask::get(WIKI, "/").token(&house.issuer.token("bob"));
        for _ in 0..3 {
            assert_eq!(talk.say(&old).await.status, 200);
        }
        // The issuer takes its key back. A token of the next one makes the gateway look, and what was
        // remembered goes with the key that it was verified by.
        house.issuer.provider().rotate_key().unwrap();
        assert!(house.issuer.provider().drop_key(&first));
        let new = Ask::get(WIKI, "/").token(&house.issuer.token("bob"));
        assert_eq!(talk.say(&new).await.status, 200, "{http:?}");
        let before = house.reached();
        let said = house.say(http, &old).await;
        assert_eq!((said.refusal(), house.reached()), (Some("invalid_credential"), before), "{http:?}");
        house.recorded(&[(&said, "invalid_credential")]).await;
        assert_eq!(talk.say(&new).await.status, 200, "{http:?}");
    }
}
