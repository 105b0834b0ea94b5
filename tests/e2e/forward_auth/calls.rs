//! Envoy's question by gRPC, by a client of our own: what Envoy itself asks, `tests/suites` show.

use std::net::IpAddr;

use doorward_tests::company::connect_from;
use doorward_tests::h2::{H2, Reply};
use doorward_tests::wire::until;
use serde_json::json;

use crate::asker::{self, CLIENT};
use crate::house::WIKI;

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
const GRPC: &[(&str, &str)] = &[("content-type", "application/grpc"), ("te", "trailers")];
const UNAUTHENTICATED: u64 = 16;
const PERMISSION_DENIED: u64 = 7;

/// A field of bytes, of fewer than 2^14.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let (low, high) = (u8::try_from(bytes.len() % 128).unwrap(), u8::try_from(bytes.len() / 128).unwrap());
    let length = if high == 0 { vec![low] } else { vec![low | 0x80, high] };
    [&[number << 3 | 2][..], &length, bytes].concat()
}

/// A question about a page of the wiki.
fn question(path: &str, lines: &[(&str, &str)]) -> Vec<u8> {
    let of =
        |name: &str, value: &str| field(3, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat());
    let lines: Vec<u8> = lines.iter().flat_map(|(name, value)| of(name, value)).collect();
    let [method, path, host, scheme] =
        [(2, "GET"), (4, path), (5, WIKI), (6, "https")].map(|(number, text)| field(number, text.as_bytes()));
    let http = field(2, &[method, lines, path, host, scheme].concat());
    let source = field(1, &field(1, &field(1, &field(2, CLIENT.as_bytes()))));
    field(1, &[source, field(4, &http)].concat())
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

/// The fields of a message: number, and number or bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, Vec<u8>)> {
    let varint = |bytes: &mut &[u8]| {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    };
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = varint(&mut bytes);
        let length = if key & 7 == 2 { usize::try_from(value).unwrap() } else { 0 };
        let (inner, rest) = bytes.split_at(length);
        all.push((key >> 3, value, inner.to_vec()));
        bytes = rest;
    }
    all
}

/// The status of an answer, and which kinds of answer it holds.
fn said(reply: &Reply) -> (u64, Vec<u64>) {
    assert_eq!((reply.status, reply.trailer("grpc-status").as_deref()), (200, Some("0")), "{reply:?}");
    assert_eq!(reply.header("content-type").as_deref(), Some("application/grpc"));
    assert_eq!(reply.body[..5], framed(&reply.body[5..])[..5]);
    let all = fields(&reply.body[5..]);
    let status = all.iter().find(|(number, ..)| *number == 1).unwrap();
    let code = fields(&status.2).first().map_or(0, |(_, code, _)| *code);
    (code, all.iter().map(|(number, ..)| *number).filter(|number| *number != 1).collect())
}

async fn call(wire: &H2, body: &[u8]) -> Reply {
    wire.ask("POST", "gateway.internal", CHECK, GRPC, body).await.unwrap()
}

#[tokio::test]
async fn nothing_that_is_no_question_is_answered_with_a_yes() {
    let house = asker::house().await;
    let wire = H2::connect(house.gateway.listener(1)).await;
    let cookie = house.cookie(&house.bob(), WIKI);
    let good = question("/page", &[("cookie", &cookie)]);
    assert_eq!(said(&call(&wire, &framed(&good)).await), (0, vec![3]));
    assert_eq!(said(&call(&wire, &framed(&question("/page", &[]))).await), (UNAUTHENTICATED, vec![2]));
    let vast = question("/page", &[("cookie", &cookie)]).repeat(1000);
    for bytes in [
        Vec::new(),
        vec![0],
        framed(b""),
        good.clone(),
        framed(&good)[..40].to_vec(),
        [framed(&good), framed(&good)].concat(),
        [&[1][..], &framed(&good)[1..]].concat(),
        framed(&[good.clone(), good.clone()].concat()),
        framed(&question("//page", &[("cookie", &cookie)])),
        framed(&question("/page", &[("cookie", &cookie), (":path", "/admin")])),
        framed(&question("/page", &[("cookie", &cookie), ("upgrade", "websocket")])),
        framed(&question("/.doorward/", &[("cookie", &cookie)])),
        vec![0xff; 70_000],
        framed(&vast),
    ] {
        let reply = call(&wire, &bytes).await;
        assert_eq!(said(&reply), (PERMISSION_DENIED, vec![2]), "{:?}", &bytes[..bytes.len().min(40)]);
        assert!(!String::from_utf8_lossy(&reply.body).contains(&cookie));
    }
    assert_eq!(house.app.requests().len(), 0);
}

#[tokio::test]
async fn who_asks_and_what_counts_as_envoys_question() {
    let house = asker::house().await;
    let cookie = house.cookie(&house.bob(), WIKI);
    let good = framed(&question("/page", &[("cookie", &cookie)]));
    let stranger: IpAddr = [127, 0, 0, 2].into();
    let wire = H2::over(Box::new(connect_from(stranger, house.gateway.listener(1)).await), "http").await;
    let reply = call(&wire, &good).await;
    assert_eq!(said(&reply), (PERMISSION_DENIED, vec![2]));
    assert!(String::from_utf8_lossy(&reply.body).contains("misdirected"));
    // What another proxy asks about, in a client's words, is no question of Envoy's: its 200 would be a yes to that proxy.
    let wire = H2::connect(house.gateway.listener(1)).await;
    for line in [("x-forwarded-uri", "/page"), ("x-original-url", "https://wiki.test/page")] {
        let reply = wire.ask("POST", WIKI, CHECK, &[GRPC, &[line]].concat(), &good).await.unwrap();
        assert!(reply.status >= 400, "{line:?} {reply:?}");
    }
    // Nor is what comes elsewhere, or as something else.
    for (path, kind) in
        [("/envoy.service.auth.v3.Authorization/Other", GRPC[0].1), (CHECK, "application/json")]
    {
        let lines = [("content-type", kind), ("cookie", cookie.as_str())];
        let reply = wire.ask("POST", WIKI, path, &lines, &good).await.unwrap();
        assert!(reply.status >= 400, "{path} {kind} {reply:?}");
    }
    assert_eq!(said(&call(&wire, &good).await), (0, vec![3]));
    let event = until("the decision in the log", || {
        let mut events = house.gateway.events().into_iter();
        events.find(|event| event["unmapped"]["doorward"]["decision"]["outcome"] == "allow")
    })
    .await;
    assert_eq!(event["src_endpoint"]["ip"], json!(CLIENT), "{event}");
    assert_eq!(event["unmapped"]["doorward"]["enforced_by"], json!("127.0.0.1"), "{event}");
    assert_eq!(event["http_request"]["url"]["path"], json!("/page"), "{event}");
}
