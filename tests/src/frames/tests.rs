use super::*;
use crate::h2::{Gone, H2};
use crate::h2_upstream::{Answer, H2Upstream, RequestEnd};
use crate::wire::until;

/// How long what comes may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn literals_and_integers_are_as_in_the_standard() {
    // RFC 7541 §C.2.3, with a name that is not indexed.
    assert_eq!(header_block(&[(b"password", b"secret")]), b"\x10\x08password\x06secret");
    let (mut small, mut large) = (vec![], vec![]);
    integer(&mut small, 5, 0, 10);
    integer(&mut large, 5, 0, 1337);
    assert_eq!((small, large), (vec![10], vec![31, 154, 10]), "RFC 7541 §C.1");
}

#[test]
fn statuses_are_read_in_every_form() {
    for (block, expected) in [
        (&b"\x88"[..], 200),
        (b"\x20\x8d", 404),
        // RFC 7541 §C.6.1: 302, Huffman-coded, indexed.
        (b"\x48\x82\x64\x02", 302),
        (b"\x48\x03307", 307),
        // 401, 403, 431 and 503, as encoders write them, with and without an entry in the table.
        (b"\x48\x82\x68\x01", 401),
        (b"\x08\x03403", 403),
        (b"\x18\x03431", 431),
    ] {
        assert_eq!(status(block), expected, "{block:x?}");
    }
}

async fn upstream() -> H2Upstream {
    H2Upstream::start(|request| match request.uri().path() {
        "/421" => Answer::status(421),
        "/431" => Answer::status(431).data("x"),
        "/reset" => Answer::status(200).reset(::h2::Reason::CANCEL),
        "/hang" => Answer::status(200).hang(),
        "/echo-trailers" => Answer::status(200).await_body().data("ok").trailers(&[("grpc-status", "0")]),
        _ => Answer::ok("ok").header("x-a", "b"),
    })
    .await
}

#[tokio::test]
async fn frames_by_hand_are_a_request() {
    let upstream = upstream().await;
    let mut frames = Frames::connect(upstream.address()).await;
    for (stream, path, outcome) in
        [(1, "/", Outcome::Status(200)), (3, "/421", Outcome::Status(421)), (5, "/431", Outcome::Status(431))]
    {
        frames.send(&Frame::headers(stream, true, &ordinary("GET", "x.test", path))).await;
        assert_eq!(frames.outcome(stream, PATIENCE).await, outcome, "{path}");
    }
    // The response's head comes first, then its reset.
    frames.send(&Frame::headers(7, true, &ordinary("GET", "x.test", "/reset"))).await;
    assert_eq!(frames.outcome(7, PATIENCE).await, Outcome::Status(200));
    assert_eq!(frames.outcome(7, PATIENCE).await, Outcome::Reset(8));
    // A field of HTTP/1.1 is malformed and ends its stream (RFC 9113 §8.2.2); the library takes
    // upper case for an error of the whole connection.
    for (stream, name, outcome) in
        [(9, &b"connection"[..], Outcome::Reset(1)), (11, &b"X-Upper"[..], Outcome::GoAway(1))]
    {
        let bad = [&ordinary("GET", "x.test", "/")[..], &[(name, &b"close"[..])]].concat();
        frames.send(&Frame::headers(stream, true, &bad)).await;
        assert_eq!(frames.outcome(stream, PATIENCE).await, outcome, "{name:?}");
        let (bound, after) = match stream {
            9 => (Duration::from_millis(50), Outcome::Silence),
            _ => (PATIENCE, Outcome::Closed),
        };
        assert_eq!(frames.outcome(stream, bound).await, after);
    }
    let paths: Vec<_> = upstream.requests().iter().map(|r| r.uri.path().to_owned()).collect();
    assert_eq!(paths, ["/", "/421", "/431", "/reset"]);
}

#[tokio::test]
async fn the_upstream_keeps_fields_body_and_trailers() {
    let upstream = upstream().await;
    let h2 = H2::connect(upstream.address()).await;
    let request =
        h2.request("POST", "x.test", "/echo-trailers?q", &[("te", "trailers"), ("x-a", "1"), ("x-a", "2")]);
    let mut stream = h2.open(request, false).await.unwrap();
    stream.send_data(b"hello", false).await.unwrap();
    stream.send_trailers(&[("x-doorward-user", "mallory")]).unwrap();
    let reply = stream.reply().await.unwrap();
    assert_eq!((reply.status, reply.text().as_str()), (200, "ok"));
    assert_eq!(reply.trailer("grpc-status").as_deref(), Some("0"));
    let seen = &upstream.wait_requests(1).await[0];
    assert_eq!(
        (seen.method.as_str(), seen.uri.to_string().as_str()),
        ("POST", "http://x.test/echo-trailers?q")
    );
    assert_eq!(seen.headers.get_all("x-a").iter().count(), 2);
    assert_eq!((seen.body.as_slice(), seen.end), (&b"hello"[..], RequestEnd::Whole));
    assert_eq!(seen.trailers.as_ref().unwrap()["x-doorward-user"], "mallory");
}

#[tokio::test]
async fn streams_of_one_connection_end_one_by_one() {
    let upstream = upstream().await;
    let h2 = H2::connect(upstream.address()).await;
    let reset = h2.get("x.test", "/reset", &[]).await;
    assert_eq!(reset.gone, Some(Gone::Reset(::h2::Reason::CANCEL)));
    let mut hanging = h2.open(h2.request("GET", "x.test", "/hang", &[]), true).await.unwrap();
    assert_eq!(hanging.head().await.unwrap().0, 200);
    assert!(hanging.data_within(Duration::from_millis(50)).await.is_none());
    assert_eq!(h2.get("x.test", "/", &[]).await.header("x-a").as_deref(), Some("b"));
    let mut upload = h2.open(h2.request("POST", "x.test", "/hang", &[]), false).await.unwrap();
    upload.head().await.unwrap();
    upload.reset(::h2::Reason::CANCEL);
    until("the reset", || {
        (upstream.requests()[3].end == RequestEnd::Reset(::h2::Reason::CANCEL)).then_some(())
    })
    .await;
    assert_eq!(upstream.connections(), 1);
    assert_eq!(h2.ended(), None);
    upstream.stop();
    assert!(matches!(hanging.data().await, Err(Gone::Connection(_))));
    assert!(matches!(h2.wait_ended().await, Gone::Connection(_)));
}

#[tokio::test]
async fn more_than_a_window_goes_up() {
    let upstream = upstream().await;
    let h2 = H2::connect(upstream.address()).await;
    let body = vec![7; 5 << 20];
    let reply = h2.ask("POST", "x.test", "/echo-trailers", &[("x", "y")], &body).await.unwrap();
    assert_eq!(reply.text(), "ok");
    assert_eq!(upstream.requests()[0].body.len(), body.len());
}
