//! S21, the policy of one route and the app of another (CVE-2023-33189): the route is resolved once.
//! No way to write host, port, authority or server name leads to the decision for one app and the
//! connection to another.

use std::time::Duration;

use doorward_tests::frames::{Frame, Frames, Outcome};
use doorward_tests::h1::H1;
use doorward_tests::h2::H2;
use doorward_tests::raw::Recorded;
use doorward_tests::tls::{Authority, Hello};

use super::house::{BUILD, House, PAYROLL, WIKI};
use super::random::Random;

const NAMES: &[&str] = &[
    "wiki.test",
    "payroll.test",
    "build.test",
    "WIKI.test",
    "Payroll.TEST",
    "wiki.test:80",
    "wiki.test:443",
    "payroll.test:80",
    "payroll.test:8443",
    "wiki.test.",
    "payroll.test.",
    "wiki.test:",
    "wiki.test:x",
    "wiki.test, payroll.test",
    "payroll.test wiki.test",
    "wiki.test@payroll.test",
    "payroll.test@wiki.test",
    "wiki.test/payroll.test",
    "wiki.test\\payroll.test",
    "wiki.test#payroll.test",
    "wiki.test?payroll.test",
    "wiki.test%00payroll.test",
    "wiki.test:80:payroll.test",
    "x.wiki.test",
    "wiki.test.payroll.test",
    "payroll.test.wiki.test",
    "[::1]",
    "127.0.0.1",
    "localhost",
    "",
    "*",
    "wiki",
    "evil.test",
];

const FIELDS: &[&str] = &[
    "x-forwarded-host",
    "x-host",
    "x-original-host",
    "forwarded",
    "x-forwarded-server",
    "x-http-host-override",
    "x-original-url",
    "x-rewrite-url",
    "x-envoy-original-host",
    ":authority",
];

/// One of the names; half of the time a plain one.
fn name(random: &mut Random) -> &'static str {
    let end = if random.below(2) == 0 { 3 } else { NAMES.len() };
    NAMES[random.below(end)]
}

/// Every request that an app saw was decided as one for this app, and names it.
async fn decided_for_its_own(house: &House) -> usize {
    let all: [(&str, &str, Vec<Recorded>); 3] = [
        ("wiki", WIKI, house.wiki.requests()),
        ("payroll", PAYROLL, house.payroll.requests()),
        ("build", BUILD, house.build.requests()),
    ];
    let ids: Vec<String> = all
        .iter()
        .flat_map(|(_, _, seen)| seen)
        .map(|r| r.head.value("x-doorward-request-id").unwrap())
        .collect();
    let decisions = house.decisions(&ids).await;
    for (app, name, seen) in &all {
        for request in seen {
            let event = &decisions[&request.head.value("x-doorward-request-id").unwrap()];
            let route = event["unmapped"]["doorward"]["route"].as_str().unwrap();
            let text = request.head.text();
            assert_eq!(route.split('/').next(), Some(*app), "decided for {route}, sent to {app}: {text}");
            assert_eq!(event["dst_endpoint"]["svc_name"], *app, "{event}");
            let hosts = request.head.values("host");
            assert_eq!(hosts.len(), 1, "{text}");
            let host = hosts[0].split(':').next().unwrap().to_ascii_lowercase();
            assert_eq!(host, *name, "{text}");
            // The same, with its port if there was one.
            let told = request.head.values("x-forwarded-host");
            assert_eq!(told, [hosts[0].to_ascii_lowercase()], "{text}");
            assert!(request.head.target().starts_with('/'), "{text}");
            // The assertion is for this app and no other.
            let assertion = request.head.value("x-doorward-assertion").unwrap();
            assert!(audience(&assertion).contains(app), "{text}");
        }
    }
    ids.len()
}

fn audience(assertion: &str) -> String {
    use base64::Engine as _;
    let payload = assertion.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()["aud"].to_string()
}

#[tokio::test]
async fn s21_no_spelling_of_a_host_mixes_two_apps() {
    let house = House::with(|config| {
        config.local_is_corp();
    })
    .await;
    let people = ["alice", "bob", "dana"].map(|p| (p, house.issuer.token(p)));
    let mut random = Random::seeded(21);
    for _ in 0..700 {
        let (_, token) = &people[random.below(3)];
        let (host, other) = (name(&mut random), name(&mut random));
        let target = match random.below(5) {
            0 => format!("http://{other}/page"),
            1 => format!("https://{other}/page"),
            2 => format!("//{other}/page"),
            3 => other.to_owned(),
            _ => "/page".to_owned(),
        };
        let mut lines = vec![format!("host: {host}")];
        match random.below(6) {
            0 => lines.push(format!("host: {other}")),
            1 => lines.insert(0, format!("Host: {other}")),
            2 => lines.push(format!("{}: {other}", random.one_of(FIELDS))),
            3 => lines.push(format!("connection: host, x\r\nx: {other}")),
            4 => lines.clear(),
            _ => {}
        }
        let version = if random.below(8) == 0 { "1.0" } else { "1.1" };
        let text = format!(
            "GET {target} HTTP/{version}\r\n{}\r\nauthorization: Bearer {token}\r\n\r\n",
            lines.join("\r\n")
        );
        let mut client = H1::connect(house.gateway.address()).await;
        client.try_send(&text).await;
        let answer = client.try_response("GET").await;
        assert!(answer.is_none_or(|a| a.status() == 200 || a.status() >= 400), "{text}");
    }
    for _ in 0..500 {
        let (_, token) = &people[random.below(3)];
        let bearer = format!("Bearer {token}");
        let (authority, other) = (name(&mut random), name(&mut random));
        let mut fields: Vec<(&[u8], &[u8])> = vec![
            (b":method", b"GET"),
            // Another scheme is refused whatever the host is.
            (
                b":scheme",
                [&b"http"[..], b"https", b"http", b"https", b"http", b"https", b"x"][random.below(7)],
            ),
            (b":authority", authority.as_bytes()),
            (b":path", b"/page"),
            (b"authorization", bearer.as_bytes()),
        ];
        match random.below(6) {
            0 => fields.push((b"host", other.as_bytes())),
            1 => {
                fields.remove(2);
                fields.push((b"host", authority.as_bytes()));
            }
            2 => fields.push((random.one_of(FIELDS).as_bytes(), other.as_bytes())),
            3 => fields.insert(3, (b":authority", other.as_bytes())),
            4 => {
                fields.push((b"host", other.as_bytes()));
                fields.push((b"host", authority.as_bytes()));
            }
            _ => {}
        }
        let mut frames = Frames::connect(house.gateway.address()).await;
        frames.send(&Frame::headers(1, true, &fields)).await;
        let outcome = frames.outcome(1, Duration::from_secs(10)).await;
        assert_ne!(outcome, Outcome::Silence, "{authority:?} {other:?}");
    }
    let passed = decided_for_its_own(&house).await;
    assert!(passed > 100, "{passed} passed");
    // Bob has nothing to do with payroll, by whatever name.
    let seen = house.payroll.requests();
    assert!(seen.iter().all(|r| r.head.value("x-doorward-user").as_deref() == Some("demo:alice")));
}

#[tokio::test]
async fn s21_kept_connections_do_not_stick_to_an_app() {
    let house = House::with(|config| {
        config.local_is_corp();
    })
    .await;
    let alice = house.issuer.token("alice");
    let bearer = format!("Bearer {alice}");
    let mut random = Random::seeded(210);
    let mut h1 = H1::connect(house.gateway.address()).await;
    let h2 = H2::connect(house.gateway.address()).await;
    let mut expected = [0, 0];
    for i in 0..200 {
        let app = random.below(2);
        let host = [WIKI, PAYROLL][app];
        let path = format!("/{app}/{i}");
        let status = if i % 2 == 0 {
            h1.ask("GET", host, &path, &[("authorization", &bearer)]).await.status()
        } else {
            h2.get(host, &path, &[("authorization", &bearer)]).await.status
        };
        assert_eq!(status, 200, "{host}{path}");
        expected[app] += 1;
    }
    for (app, upstream) in [&house.wiki, &house.payroll].into_iter().enumerate() {
        let seen = upstream.requests();
        assert_eq!(seen.len(), expected[app]);
        assert!(seen.iter().all(|r| r.head.target().starts_with(&format!("/{app}/"))));
    }
    assert_eq!(decided_for_its_own(&house).await, 200);
}

#[tokio::test]
async fn s21_another_host_than_the_handshake_named_is_421() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<_> = [WIKI, PAYROLL, BUILD]
        .iter()
        .map(|name| authority.certificate(&[name]).write(folder.path(), name))
        .collect();
    // One certificate with both names does not make two hosts one.
    let shared = authority.certificate(&["one.test", "two.test"]).write(folder.path(), "shared");
    let certificates: Vec<_> = files
        .iter()
        .chain([&shared])
        .map(|(chain, key)| serde_json::json!({"chain": chain, "key": key}))
        .collect();
    let house = House::with(|config| {
        config.local_is_corp().add("listen", serde_json::json!({"certificate": certificates}));
        config.set("app.0.hosts", serde_json::json!([WIKI, "one.test", "two.test"]));
    })
    .await;
    let address = house.gateway.listener(1);
    let bearer = format!("Bearer {}", house.issuer.token("dana"));
    let fields = [("authorization", bearer.as_str())];
    let mut misdirected = Vec::new();
    for sni in [WIKI, PAYROLL, BUILD, "one.test", "two.test"] {
        for host in [WIKI, PAYROLL, BUILD, "one.test", "two.test", "evil.test", "WIKI.test", "wiki.test:443"]
        {
            let same = host.to_ascii_lowercase().split(':').next() == Some(sni);
            let before = house.reached();
            let mut h1 = H1::connect_tls(address, &authority, sni).await;
            let one = h1.ask("GET", host, "/", &fields).await;
            let h2 = H2::connect_tls(address, &authority, sni).await;
            let two = h2.get(host, "/", &fields).await;
            if same {
                // Dana may use the wiki and the builds; payroll is none of her business.
                let status = if sni == PAYROLL { 403 } else { 200 };
                assert_eq!((one.status(), two.status), (status, status), "{sni} {host}");
                continue;
            }
            assert_eq!((one.status(), two.status, house.reached()), (421, 421, before), "{sni} {host}");
            assert_eq!(one.head.value("x-doorward-refusal").as_deref(), Some("misdirected"));
            assert_eq!(one.head.value("connection").as_deref(), Some("close"));
            misdirected.push(one.head.value("x-doorward-request-id").unwrap());
            misdirected.push(two.header("x-doorward-request-id").unwrap());
        }
    }
    let decisions = house.decisions(&misdirected).await;
    for id in &misdirected {
        assert_eq!(super::house::outcome(&decisions[id]), ("deny", "misdirected"), "{}", decisions[id]);
    }
    decided_for_its_own_host(&house);
    // A connection that was good for one host is not good for the next (coalescing).
    let h2 = H2::connect_tls(address, &authority, WIKI).await;
    for host in [WIKI, BUILD, WIKI, PAYROLL, WIKI] {
        let reply = h2.get(host, "/", &fields).await;
        assert_eq!(reply.status, if host == WIKI { 200 } else { 421 }, "{host}");
    }
    // A name that no certificate has gets no handshake, and no name neither.
    for sni in ["evil.test", "sub.wiki.test"] {
        assert!(authority.try_connect(address, &Hello::new(sni, &["http/1.1"])).await.is_err(), "{sni}");
    }
    assert!(authority.try_connect(address, &Hello::new("127.0.0.1", &["h2"])).await.is_err());
}

/// As [`decided_for_its_own`], where an app has several hosts.
fn decided_for_its_own_host(house: &House) {
    for request in house.wiki.requests() {
        let host = request.head.value("host").unwrap();
        let host = host.split(':').next().unwrap().to_ascii_lowercase();
        assert!([WIKI, "one.test", "two.test"].contains(&host.as_str()), "{}", request.head.text());
    }
    assert!(house.payroll.requests().is_empty());
}
