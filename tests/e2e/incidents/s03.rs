//! S3, forwarded headers that are believed (CVE-2026-40575, CVE-2026-76835, CVE-2023-27487,
//! CVE-2024-47070): without configuration nobody is trusted; with it, only what can be read is.

use doorward_tests::gateway::{Config, Gateway};
use doorward_tests::issuer::Issuer;
use doorward_tests::raw::RawUpstream;
use serde_json::json;

use super::house::{House, PAYROLL, WIKI, outcome};
use super::talk::{Ask, BOTH, Http};

/// An address in a country that `guard.sanctioned` names.
const SANCTIONED: &str = "175.45.176.1";

/// Everything that some proxy says about a request. The values would change the decision: a
/// sanctioned country, our own network, another path, another host.
fn lies() -> Vec<(&'static str, String)> {
    let mut lies = Vec::new();
    for name in [
        "X-Forwarded-For",
        "X-Real-IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "CF-Connecting-IP",
        "CF-Connecting-IPv6",
        "True-Client-IP",
        "Fastly-Client-IP",
        "X-Envoy-External-Address",
        "X-Original-Forwarded-For",
        "X-ProxyUser-Ip",
        "X-Remote-IP",
        "X-Remote-Addr",
    ] {
        lies.push((name, SANCTIONED.to_owned()));
        lies.push((name, "10.1.2.3".to_owned()));
        lies.push((name, format!("{SANCTIONED}, 10.1.2.3")));
    }
    for address in [SANCTIONED, "10.1.2.3"] {
        lies.push(("Forwarded", format!("for={address};proto=https;host=evil.test")));
        lies.push(("forwarded", format!("for=\"{address}:80\"")));
    }
    for name in [
        "X-Forwarded-Uri",
        "X-Forwarded-Path",
        "X-Forwarded-Prefix",
        "X-Original-URI",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Envoy-Original-Path",
    ] {
        lies.push((name, "/welcome".to_owned()));
        lies.push((name, "/admin".to_owned()));
    }
    for (name, value) in [
        ("X-Forwarded-Host", "payroll.test"),
        ("X-Host", "payroll.test"),
        ("X-Forwarded-Server", "payroll.test"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Scheme", "https"),
        ("X-Forwarded-Ssl", "on"),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Method", "GET"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-Forwarded-User", "dana"),
        ("X-Forwarded-Email", "dana@demo.example"),
        ("X-Forwarded-Groups", "platform-team"),
        ("X-Forwarded-Access-Token", "x"),
    ] {
        lies.push((name, value.to_owned()));
    }
    lies
}

#[tokio::test]
async fn s3_nobody_is_trusted_by_default() {
    let house = House::with(|config| {
        config.set("network.named.corp", json!(["10.0.0.0/8"]));
    })
    .await;
    let (bob, alice) = (house.issuer.token("bob"), house.issuer.token("alice"));
    let mut passed = Vec::new();
    let mut refused = Vec::new();
    for http in BOTH {
        let mut talk = house.talk(http);
        for (name, value) in lies() {
            // May pass, and still does, as before.
            let before = house.wiki.requests().len();
            let said = talk.say(&Ask::get(WIKI, "/page").token(&bob).field(name, &value)).await;
            assert_eq!(said.status, 200, "{name}: {value}: {said:?}");
            let seen = &house.wiki.wait_requests(before + 1).await[before];
            let (method, path) = (seen.head.first_line(), seen.head.target());
            assert!(method.starts_with("GET ") && path == "/page", "{name}: {method}");
            for (told, expected) in [
                ("x-forwarded-for", "127.0.0.1"),
                ("x-forwarded-host", WIKI),
                ("x-forwarded-proto", "http"),
                ("host", WIKI),
                ("x-doorward-user", "demo:bob"),
            ] {
                assert_eq!(seen.head.value(told).as_deref(), Some(expected), "{name}: {}", seen.head.text());
            }
            let kept = name.to_ascii_lowercase();
            let ours = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"].contains(&kept.as_str());
            if !ours && kept != "cf-connecting-ipv6" && kept != "x-remote-addr" {
                assert_eq!(seen.head.values(name), Vec::<String>::new(), "{}", seen.head.text());
            }
            passed.push(seen.head.value("x-doorward-request-id").unwrap());
            // May not pass, and still does not: not from here, not without a token, not to admin.
            refused.push((
                talk.say(&Ask::get(PAYROLL, "/").token(&alice).field(name, &value)).await,
                "policy_forbids",
            ));
            refused.push((talk.say(&Ask::get(WIKI, "/page").field(name, &value)).await, "unauthenticated"));
            refused.push((
                talk.say(&Ask::get(WIKI, "/admin").token(&bob).field(name, &value)).await,
                "no_permit",
            ));
        }
    }
    assert_eq!(house.payroll.requests().len(), 0);
    for (said, code) in &mut refused {
        // Which rule speaks first is not the point here: it is no.
        if *code == "no_permit" && said.refusal() == Some("policy_forbids") {
            *code = "policy_forbids";
        }
    }
    house.recorded(&refused.iter().map(|(said, code)| (said, *code)).collect::<Vec<_>>()).await;
    for event in house.decisions(&passed).await.values() {
        assert_eq!(outcome(event).0, "allow", "{event}");
        assert_eq!(event["src_endpoint"]["ip"], "127.0.0.1", "{event}");
        assert_eq!(event["src_endpoint"]["location"]["country"], "ZZ", "{event}");
        assert_eq!(event["http_request"]["url"]["path"], "/page", "{event}");
        assert!(event["src_endpoint"].get("intermediate_ips").is_none(), "{event}");
    }
}

#[tokio::test]
async fn s3_a_list_of_proxies_is_walked_from_the_right() {
    let house = House::with(|config| {
        config
            .trust_local_proxy()
            .set("network.trusted_proxies", json!(["127.0.0.1/32", "198.51.100.0/24"]))
            .set("network.named.corp", json!(["10.0.0.0/8"]));
    })
    .await;
    let (bob, alice) = (house.issuer.token("bob"), house.issuer.token("alice"));
    let (mut sure, mut refused) = (Vec::new(), Vec::new());
    for http in BOTH {
        let mut talk = house.talk(http);
        // The last address that is not a proxy's is the client's; what stands before is hearsay.
        for (list, client, allowed) in [
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3, 198.51.100.7", "10.1.2.3", true),
            ("10.1.2.3,198.51.100.7 , 198.51.100.8", "10.1.2.3", true),
            ("175.45.176.1, 10.1.2.3, 198.51.100.7", "10.1.2.3", true),
            ("10.1.2.3, 192.0.2.9", "192.0.2.9", false),
            ("10.1.2.3, 175.45.176.1, 198.51.100.7", "175.45.176.1", false),
        ] {
            let said = talk.say(&Ask::get(PAYROLL, "/").token(&alice).field("x-forwarded-for", list)).await;
            assert_eq!(said.status == 200, allowed, "{list}: {said:?}");
            if allowed {
                let seen = house.payroll.requests().pop().unwrap();
                assert_eq!(seen.head.values("x-forwarded-for"), [client], "{list}");
                sure.push((seen.head.value("x-doorward-request-id").unwrap(), client));
            } else {
                sure.push((said.request_id().unwrap().to_owned(), client));
            }
        }
        // What cannot be read is no address of anybody.
        for bad in [
            "a",
            "1.2.3.4:80, ",
            "",
            ",",
            "fe80::1%eth0",
            "10.1.2.3, unknown",
            "10.1.2.3, _hidden",
            "10.1.2.3 175.45.176.1",
            "010.1.2.3",
            "10.1.2",
            "10.1.2.3/32",
            "0x0a.1.2.3",
            "[10.1.2.3]",
            "10.1.2.3;",
            "\"10.1.2.3\"",
            "::ffff:10.1.2.3.4",
        ] {
            for (host, token) in [(PAYROLL, &alice), (WIKI, &bob)] {
                let before = house.reached();
                let said = talk.say(&Ask::get(host, "/").token(token).field("x-forwarded-for", bad)).await;
                assert_eq!((said.status, house.reached()), (400, before), "{bad:?}: {said:?}");
                refused.push((said, "client_address"));
            }
        }
        let long = vec!["198.51.100.7"; 64].join(", ");
        refused.push((
            talk.say(&Ask::get(WIKI, "/").token(&bob).field("x-forwarded-for", &long)).await,
            "client_address",
        ));
    }
    house.recorded(&refused.iter().map(|(said, code)| (said, *code)).collect::<Vec<_>>()).await;
    let ids: Vec<String> = sure.iter().map(|(id, _)| id.clone()).collect();
    let decisions = house.decisions(&ids).await;
    for (id, client) in &sure {
        assert_eq!(decisions[id]["src_endpoint"]["ip"], *client, "{}", decisions[id]);
    }
}

#[tokio::test]
async fn s3_trust_without_a_list_does_not_start() {
    let issuer = Issuer::start().await;
    let wiki = RawUpstream::ok().await;
    for (trusted, header) in [
        (None, Some("x-forwarded-for")),
        (Some(json!([])), Some("x-forwarded-for")),
        (Some(json!([])), Some("forwarded")),
        (Some(json!(["0.0.0.0/0"])), Some("x-forwarded-for")),
        (Some(json!(["::/0"])), Some("x-forwarded-for")),
        (Some(json!(["0.0.0.0/0"])), None),
        (Some(json!(["127.0.0.1/32"])), Some("x-real-ip")),
    ] {
        let mut config = Config::new();
        config.issuer(&issuer).app("wiki", WIKI, wiki.address(), json!({}));
        if let Some(trusted) = &trusted {
            config.set("network.trusted_proxies", trusted.clone());
        }
        if let Some(header) = header {
            config.set("network.client_address_header", json!(header));
        }
        let Err(ended) = Gateway::try_start(config).await else {
            panic!("it started with {trusted:?} and {header:?}")
        };
        assert!(ended.status.is_some_and(|s| !s.success()), "{ended}");
        assert!(ended.log.contains("prox") || ended.log.contains("not a header"), "{ended}");
    }
}

#[tokio::test]
async fn s3_a_listener_for_a_proxy_needs_one() {
    let issuer = Issuer::start().await;
    let wiki = RawUpstream::ok().await;
    let mut config = Config::new();
    config.issuer(&issuer).app("wiki", WIKI, wiki.address(), json!({}));
    config.set("listen.0.proxy_protocol", json!(true));
    let Err(ended) = Gateway::try_start(config).await else { panic!("it started") };
    assert!(ended.log.contains("trusted_proxies"), "{ended}");
    // Only over what the test speaks: a client that is no proxy cannot claim to be one.
    let house = House::open().await;
    let line = "PROXY TCP4 10.1.2.3 10.1.2.4 1 2\r\n";
    let mut client = doorward_tests::h1::H1::connect(house.gateway.address()).await;
    let request = Ask::get(WIKI, "/").token(&house.issuer.token("bob")).bytes();
    client.try_send([line.as_bytes(), &request].concat()).await;
    let answer = client.try_response("GET").await;
    assert!(answer.is_none_or(|a| a.status() == 400));
    assert_eq!(house.reached(), 0);
    assert_eq!(house.say(Http::One, &Ask::get(WIKI, "/")).await.status, 401);
}
