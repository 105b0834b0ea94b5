//! Where a client is: PROXY protocol, `X-Forwarded-For` behind trusted proxies, and what policies
//! make of the address: countries of the shipped database and networks with a name.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use doorward_tests::company::{Company, bearer, connect_from};
use doorward_tests::gateway::Gateway;
use doorward_tests::h1::{self, H1, Response, request};
use doorward_tests::h2::H2;
use doorward_tests::raw::RawUpstream;
use doorward_tests::tls::Authority;
use doorward_tests::wire::{self, Ending, within};
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const QUIET: Duration = Duration::from_secs(15);
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// A header of the PROXY protocol v2 for TCP over IPv4.
fn proxied(source: [u8; 4]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([0x21, 0x11, 0, 12]);
    header.extend(source);
    header.extend([127, 0, 0, 1]);
    header.extend(4321_u16.to_be_bytes());
    header.extend(443_u16.to_be_bytes());
    header
}

/// The same for IPv6, with a TLV that nobody needs behind the addresses.
fn proxied_v6(source: &str) -> Vec<u8> {
    let source: std::net::Ipv6Addr = source.parse().unwrap();
    let mut header = SIGNATURE.to_vec();
    header.extend([0x21, 0x21, 0, 36 + 5]);
    header.extend(source.octets());
    header.extend(std::net::Ipv6Addr::LOCALHOST.octets());
    header.extend([0x10, 0xe1, 0x01, 0xbb]);
    header.extend([0x04, 0, 2, 1, 2]);
    header
}

/// The proxy's own connection, such as a health check.
fn local() -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([0x20, 0, 0, 0]);
    header
}

/// A connection that begins with these bytes, from some address of this machine.
async fn begun(from: IpAddr, to: SocketAddr, header: &[u8]) -> TcpStream {
    let mut stream = connect_from(from, to).await;
    // In two pieces, as networks do it.
    let (first, rest) = header.split_at(header.len() / 2);
    stream.write_all(first).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    stream.write_all(rest).await.unwrap();
    stream
}

#[tokio::test]
async fn the_proxy_protocol_tells_the_client_on_plain_and_tls_listeners() {
    let upstream = RawUpstream::ok().await;
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (chain, key) = authority.certificate(&["build.test"]).write(folder.path(), "c");
    let mut company = Company::new(upstream.address()).await;
    company
        .config
        .set("network.trusted_proxies", json!(["127.0.0.1/32"]))
        .set("limits.header_seconds_max", json!(2))
        .add("listen", json!({"proxy_protocol": true}))
        .add("listen", json!({"proxy_protocol": true, "certificate": [{"chain": chain, "key": key}]}));
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let fields = [("authorization", auth.as_str())];
    let proxy: IpAddr = [127, 0, 0, 1].into();
    let (plain, tls) = (gateway.listener(1), gateway.listener(2));
    let seen_as = || upstream.requests().last().unwrap().head.value("x-forwarded-for").unwrap();

    for (header, seen) in [
        (proxied([203, 0, 113, 7]), "203.0.113.7"),
        (proxied_v6("2001:db8::7"), "2001:db8::7"),
        (proxied_v6("::ffff:203.0.113.8"), "203.0.113.8"),
    ] {
        let mut client = H1::over(Box::new(begun(proxy, plain, &header).await));
        for _ in 0..2 {
            assert_eq!(client.ask("GET", "build.test", "/", &fields).await.status(), 200, "{seen}");
            assert_eq!(seen_as(), seen);
        }
        let h2 = H2::over(Box::new(begun(proxy, plain, &header).await), "http").await;
        assert_eq!(h2.get("build.test", "/", &fields).await.status, 200);
        assert_eq!(seen_as(), seen);
        for protocol in ["http/1.1", "h2"] {
            let stream = begun(proxy, tls, &header).await;
            let connector = TlsConnector::from(authority.client(&[protocol.to_owned()]));
            let name = ServerName::try_from("build.test").unwrap();
            let stream = within("a handshake", connector.connect(name, stream)).await.unwrap();
            if protocol == "h2" {
                let h2 = H2::over(Box::new(stream), "https").await;
                assert_eq!(h2.get("build.test", "/", &fields).await.status, 200);
            } else {
                let mut h1 = H1::over(Box::new(stream));
                assert_eq!(h1.ask("GET", "build.test", "/", &fields).await.status(), 200);
            }
            assert_eq!(seen_as(), seen, "{protocol}");
        }
    }

    // A proxy that speaks for itself is a trusted proxy that names no client: nothing is guessed.
    let mut client = H1::over(Box::new(begun(proxy, plain, &local()).await));
    let answer = client.ask("GET", "build.test", "/", &fields).await;
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (400, Some("client_address")));
    let mut client = H1::over(Box::new(begun(proxy, plain, &local()).await));
    let named = [fields[0], ("x-forwarded-for", "203.0.113.9")];
    assert_eq!(client.ask("GET", "build.test", "/", &named).await.status(), 200);
    assert_eq!(seen_as(), "203.0.113.9");

    // Whoever is no trusted proxy, and whoever says nothing or something else, is closed.
    let count = upstream.requests().len();
    let ask = request("GET", "build.test", "/", &fields, b"");
    let v1 = b"PROXY TCP4 203.0.113.7 127.0.0.1 4321 443\r\n".to_vec();
    let mut cut = proxied([203, 0, 113, 7]);
    cut.truncate(20);
    for (what, from, header) in [
        ("a stranger", [127, 0, 0, 2], proxied([203, 0, 113, 7])),
        ("no header", [127, 0, 0, 1], Vec::new()),
        ("version 1", [127, 0, 0, 1], v1),
        ("half a header", [127, 0, 0, 1], cut),
        ("noise", [127, 0, 0, 1], vec![0; 64]),
    ] {
        for address in [plain, tls] {
            let mut stream = connect_from(from.into(), address).await;
            // It may be closed before everything is written.
            let _ = stream.write_all(&[header.as_slice(), &ask].concat()).await;
            let (seen, ending) = wire::drain(&mut stream, QUIET).await;
            assert!(!seen.starts_with(b"HTTP/1.1 2"), "{what}: {}", String::from_utf8_lossy(&seen));
            assert_ne!(ending, Ending::StillOpen, "{what}");
        }
    }
    assert_eq!(upstream.requests().len(), count, "nothing of that reached the app");
    // A listener without PROXY protocol takes no such header.
    let mut stream = begun(proxy, gateway.listener(0), &proxied([203, 0, 113, 7])).await;
    let _ = stream.write_all(&ask).await;
    let (seen, _) = wire::drain(&mut stream, QUIET).await;
    assert!(!seen.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&seen));
    assert_eq!(upstream.requests().len(), count);
}

#[tokio::test]
async fn x_forwarded_for_is_read_from_the_right_and_from_trusted_proxies_only() {
    let upstream = RawUpstream::ok().await;
    let mut company = Company::new(upstream.address()).await;
    company
        .config
        .set("network.trusted_proxies", json!(["127.0.0.1/32", "10.9.0.0/16"]))
        .set("network.client_address_header", json!("x-forwarded-for"));
    let (issuer, gateway) = company.start().await;
    let auth = bearer(&issuer.token("bob"));
    let ask = async |from: [u8; 4], lines: &[&str]| {
        let mut client = H1::over(Box::new(connect_from(from.into(), gateway.address()).await));
        let lines = lines.iter().map(|l| ("x-forwarded-for", *l));
        let fields: Vec<_> = std::iter::once(("authorization", auth.as_str())).chain(lines).collect();
        client.ask("GET", "build.test", "/", &fields).await
    };
    let seen = || upstream.requests().last().unwrap().head.values("x-forwarded-for");
    for (from, lines, client) in [
        ([127, 0, 0, 1], &["203.0.113.9"][..], "203.0.113.9"),
        // What the client itself wrote stands on the left, and counts for nothing.
        ([127, 0, 0, 1], &["8.8.8.8, 203.0.113.9"], "203.0.113.9"),
        ([127, 0, 0, 1], &["no address at all, 203.0.113.9"], "203.0.113.9"),
        ([127, 0, 0, 1], &["8.8.8.8, 203.0.113.9, 10.9.1.1"], "203.0.113.9"),
        ([127, 0, 0, 1], &["8.8.8.8", "203.0.113.9", "10.9.1.1,10.9.1.2"], "203.0.113.9"),
        ([127, 0, 0, 1], &["[2001:db8::9]:443"], "2001:db8::9"),
        ([127, 0, 0, 1], &["10.9.1.1"], "10.9.1.1"),
        // A stranger is where it is.
        ([127, 0, 0, 2], &["203.0.113.9"], "127.0.0.2"),
        ([127, 0, 0, 2], &["nonsense"], "127.0.0.2"),
    ] {
        let answer = ask(from, lines).await;
        assert_eq!(answer.status(), 200, "{lines:?}: {}", answer.text());
        assert_eq!(seen(), [client], "{lines:?}");
    }
    let count = upstream.requests().len();
    for lines in [&["nonsense"][..], &["203.0.113.9, nonsense"], &["203.0.113.9,"], &["203.0.113.9", ""]] {
        let answer = ask([127, 0, 0, 1], lines).await;
        let told = (answer.status(), answer.json()["code"].as_str().map(str::to_owned));
        assert_eq!(told, (400, Some("client_address".into())), "{lines:?}");
    }
    let hops = vec!["10.9.1.1"; 40].join(", ");
    assert_eq!(ask([127, 0, 0, 1], &[&hops]).await.status(), 400, "a list without end");
    assert_eq!(upstream.requests().len(), count);
}

#[tokio::test]
async fn nobody_is_trusted_by_default() {
    let upstream = RawUpstream::ok().await;
    let (issuer, gateway) = Company::new(upstream.address()).await.start().await;
    let auth = bearer(&issuer.token("bob"));
    let fields = [
        ("authorization", auth.as_str()),
        ("x-forwarded-for", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9"),
        ("x-real-ip", "203.0.113.9"),
    ];
    let answer = h1::ask(gateway.address(), "GET", "build.test", "/", &fields).await;
    assert_eq!(answer.status(), 200);
    let seen = upstream.requests().pop().unwrap().head;
    assert_eq!(seen.values("x-forwarded-for"), ["127.0.0.1"]);
    assert!(!seen.text().contains("203.0.113.9"), "{}", seen.text());
}

/// Asks from somewhere in the world.
async fn from(gateway: &Gateway, at: &str, token: &str, host: &str) -> Response {
    let auth = bearer(token);
    let fields = [("authorization", auth.as_str()), ("x-forwarded-for", at)];
    h1::ask(gateway.address(), "GET", host, "/", &fields).await
}

#[tokio::test]
async fn countries_and_named_networks_reach_the_policies() {
    let upstream = RawUpstream::ok().await;
    let mut company = Company::new(upstream.address()).await;
    company
        .config
        .trust_local_proxy()
        .set("network.named", json!({"corp": ["10.0.0.0/8", "fd00:100::/32"], "vpn": ["194.25.0.0/24"]}));
    let (issuer, gateway) = company.start().await;
    let (alice, bob) = (issuer.token("alice"), issuer.token("bob"));
    let abroad = issuer.token_but("alice", &json!({"country": "FR"}));
    let somewhere = issuer.token_but("alice", &json!({"country": null}));
    // 175.45.176.0/22 is in KP, 194.25.0.0/16 in DE, 8.8.8.8 in US: see geoip/data.
    for (at, token, host, expected) in [
        ("194.25.134.1", &bob, "build.test", Ok("DE")),
        ("8.8.8.8", &bob, "build.test", Ok("US")),
        ("2001:4860:4860::8888", &bob, "build.test", Ok("US")),
        ("192.0.2.77", &bob, "build.test", Ok("ZZ")),
        ("175.45.176.1", &bob, "build.test", Err("Access from this country is not allowed.")),
        // Payroll: the office, or the VPN in the country where the person works.
        ("10.1.2.3", &alice, "payroll.test", Ok("ZZ")),
        ("fd00:100::1", &alice, "payroll.test", Ok("ZZ")),
        ("194.25.0.9", &alice, "payroll.test", Ok("DE")),
        (
            "194.25.0.9",
            &abroad,
            "payroll.test",
            Err("Payroll may be used only from the country where you work."),
        ),
        (
            "194.25.0.9",
            &somewhere,
            "payroll.test",
            Err("Payroll may be used only from the country where you work."),
        ),
        ("194.25.134.1", &alice, "payroll.test", Err("Use the office network or the VPN.")),
        ("192.0.2.77", &alice, "payroll.test", Err("")),
    ] {
        let answer = from(&gateway, at, token, host).await;
        let id = answer.head.value("x-doorward-request-id").unwrap_or_default();
        match expected {
            Ok(_) => assert_eq!(answer.status(), 200, "{at}: {}", answer.text()),
            Err(reason) => {
                assert_eq!(answer.status(), 403, "{at}: {}", answer.text());
                assert_eq!(answer.json()["code"], "policy_forbids", "{at}");
                assert!(answer.text().contains(reason), "{at}: {}", answer.text());
                assert_eq!(answer.json()["request_id"], id.as_str());
            }
        }
        if let Ok(country) = expected {
            let event = within("the event", async {
                loop {
                    let events = gateway.events();
                    let of = |e: &&serde_json::Value| e["src_endpoint"]["ip"] == at;
                    if let Some(event) = events.iter().rev().find(of) {
                        return event.clone();
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            })
            .await;
            assert_eq!(event["src_endpoint"]["location"]["country"], country, "{event}");
            assert_eq!(event["src_endpoint"]["intermediate_ips"], json!(["127.0.0.1"]), "{event}");
        }
    }
}
