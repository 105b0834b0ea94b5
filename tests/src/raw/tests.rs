use super::*;
use crate::h1::{H1, Piece, ask, request};
use crate::tls::Authority;
use crate::wire::{Ending, within};

/// How long what comes may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn every_byte_of_a_request_is_kept() {
    let upstream = RawUpstream::ok().await;
    let mut client = H1::connect(upstream.address()).await;
    let odd = "POST /a%2f..//b?x HTTP/1.1\r\nHoSt:  x \r\nX_Odd:\t1\r\nx-odd: 2\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(odd).await;
    client.send("3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\ntrail: er\r\n\r\n").await;
    assert_eq!(client.response("POST").await.text(), "ok");
    client.send(request("PUT", "y", "/2", &[("A", "b")], b"12345")).await;
    assert_eq!(client.response("PUT").await.status(), 200);
    let [first, second] = <[Recorded; 2]>::try_from(upstream.requests()).unwrap();
    assert_eq!(first.head.raw(), odd.as_bytes());
    assert_eq!(first.head.target(), "/a%2f..//b?x");
    assert_eq!((first.head.values("x-odd"), first.head.value("HOST")), (vec!["2".into()], Some("x".into())));
    assert_eq!(first.head.fields()[1], ("X_Odd".to_owned(), "1".to_owned()));
    assert_eq!(first.raw_body, b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\ntrail: er\r\n\r\n");
    assert_eq!((first.body.as_slice(), first.whole), (&b"abcde"[..], true));
    assert_eq!((second.body.as_slice(), second.whole, second.connection), (&b"12345"[..], true, 0));
    assert_eq!((upstream.connections(), upstream.open()), (1, 1));
    drop(client);
    until("the connection to end", || (upstream.open() == 0).then_some(())).await;
}

#[tokio::test]
async fn what_is_no_request_is_kept_too() {
    let upstream = RawUpstream::ok().await;
    for (name, sent, stray, broken) in [
        ("more than it says", "POST /1 HTTP/1.1\r\ncontent-length: 2\r\n\r\nabGET /s", Some("GET /s"), ""),
        ("lines alone", "\r\n", Some("\r\n"), ""),
        ("a body cut off", "POST /2 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", None, ""),
        (
            "no size",
            "POST /3 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nx\r\nab",
            None,
            "not a chunk size",
        ),
        ("plus", "POST /4 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n+1\r\na", None, "not a chunk size"),
        ("huge", "POST /5 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n", None, "not a"),
        ("longer", "POST /6 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n", None, "goes on"),
    ] {
        let (number, before) = (upstream.connections(), upstream.broken().len());
        let mut client = H1::connect(upstream.address()).await;
        client.send(sent).await;
        client.finish().await;
        client.drain(PATIENCE).await;
        until("the connection to end", || (upstream.open() == 0).then_some(())).await;
        let seen = upstream.stray().remove(&number);
        assert_eq!(seen.as_deref(), stray.map(str::as_bytes), "{name}");
        match broken {
            "" => assert_eq!(upstream.broken().len(), before, "{name}"),
            said => assert!(upstream.broken()[before..].iter().any(|b| b.contains(said)), "{name}"),
        }
    }
}

#[tokio::test]
#[should_panic(expected = "part of no request")]
async fn an_upstream_for_requests_only_ends_the_test_that_sent_more() {
    let mut upstream = RawUpstream::ok().await;
    upstream.requests_only();
    let mut client = H1::connect(upstream.address()).await;
    client.send("GET / HTTP/1.1\r\n\r\nGET /smu").await;
    client.response("GET").await;
    until("the rest", || (!upstream.stray().is_empty()).then_some(())).await;
}

#[tokio::test]
async fn two_requests_in_one_piece_are_two() {
    let upstream = RawUpstream::ok().await;
    let mut client = H1::connect(upstream.address()).await;
    let both = [request("POST", "x", "/1", &[], b"abc"), request("GET", "x", "/2", &[], b"")].concat();
    client.send(both).await;
    assert_eq!(client.response("POST").await.text(), "ok");
    assert_eq!(client.response("GET").await.text(), "ok");
    let seen: Vec<_> = upstream.requests().into_iter().map(|r| (r.head.target(), r.body)).collect();
    assert_eq!(seen, [("/1".to_owned(), b"abc".to_vec()), ("/2".to_owned(), vec![])]);
}

#[tokio::test]
async fn a_response_is_read_by_its_own_rules() {
    let upstream = RawUpstream::start(|head| match head.target().as_str() {
        "/close" => Answer::bytes("HTTP/1.1 200 OK\r\n\r\nto the end").then(Step::Close),
        "/chunked" => {
            Answer::bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n")
        }
        "/short" => Answer::bytes("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab").then(Step::Close),
        "/cut" => Answer::bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
            .then(Step::Close),
        "/early" => Answer::bytes("HTTP/1.1 103 Early Hints\r\n\r\n").send("HTTP/1.1 204 No Content\r\n\r\n"),
        _ => Answer::bytes("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"),
    })
    .await;
    for (method, target, status, body, whole) in [
        ("GET", "/close", 200, "to the end", true),
        ("GET", "/chunked", 200, "ab", true),
        ("GET", "/short", 200, "ab", false),
        ("GET", "/cut", 200, "ab", false),
        ("GET", "/early", 204, "", true),
        ("HEAD", "/", 200, "", true),
    ] {
        let response = ask(upstream.address(), method, "x", target, &[]).await;
        let found = (response.status(), response.text(), response.whole);
        assert_eq!(found, (status, body.to_owned(), whole), "{target}");
    }
}

#[tokio::test]
async fn every_ending_is_told_apart() {
    let upstream = RawUpstream::start(|head| {
        let begin = Answer::bytes("HTTP/1.1 200 OK\r\n\r\nab").wait(Duration::from_millis(50));
        match head.target().as_str() {
            "/close" => begin.then(Step::Close),
            "/reset" => begin.then(Step::Reset),
            _ => begin.then(Step::Hang),
        }
    })
    .await;
    for (target, expected) in
        [("/close", Ending::Closed), ("/reset", Ending::Reset), ("/hang", Ending::StillOpen)]
    {
        let mut client = H1::connect(upstream.address()).await;
        client.send(request("GET", "x", target, &[], b"")).await;
        let bound = if expected == Ending::StillOpen { Duration::from_secs(2) } else { PATIENCE };
        let (seen, ending) = client.drain(bound).await;
        assert_eq!(ending, expected, "{target}");
        assert!(seen.ends_with(b"ab"), "{target}");
    }
}

#[tokio::test]
async fn a_body_streams_both_ways() {
    let pause = Duration::from_millis(50);
    let upstream = RawUpstream::start(move |head| match head.target().as_str() {
        "/continue" => Answer::bytes("HTTP/1.1 100 Continue\r\n\r\n")
            .early()
            .then(Step::ReadBody)
            .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
        "/quiet" => Answer::bytes("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").then(Step::Hang),
        _ => Answer::bytes("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .wait(pause)
            .send("2\r\nab\r\n")
            .wait(pause)
            .send("2\r\ncd\r\n0\r\n\r\n"),
    })
    .await;
    let mut client = H1::connect(upstream.address()).await;
    client.send("POST /continue HTTP/1.1\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().status(), Some(100));
    client.send("ab").await;
    until("the first half", || (upstream.requests()[0].body == b"ab").then_some(())).await;
    assert!(!upstream.requests()[0].whole);
    client.send("cd").await;
    assert_eq!(client.response("POST").await.text(), "ok");
    assert!(upstream.requests()[0].whole);

    let mut client = H1::connect(upstream.address()).await;
    client.send(request("GET", "x", "/quiet", &[], b"")).await;
    let mut streaming = client.streaming("GET").await;
    assert_eq!(streaming.next_within(Duration::from_millis(10)).await, None);

    let mut client = H1::connect(upstream.address()).await;
    client.send(request("GET", "x", "/", &[], b"")).await;
    let mut streaming = client.streaming("GET").await;
    assert_eq!(streaming.next().await, Piece::Bytes(b"ab".to_vec()));
    assert_eq!(streaming.next().await, Piece::Bytes(b"cd".to_vec()));
    assert_eq!([streaming.next().await, streaming.next().await], [Piece::End, Piece::End]);
}

#[tokio::test]
async fn a_piece_that_was_waited_for_twice_is_not_lost() {
    // Given up in the middle of a chunk's size, of its content, and of its end.
    let upstream = RawUpstream::start(|_| {
        let pause = Duration::from_millis(60);
        Answer::bytes("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .send("4\r")
            .wait(pause)
            .send("\nab")
            .wait(pause)
            .send("cd\r")
            .wait(pause)
            .send("\n0\r\n\r\n")
    })
    .await;
    let mut client = H1::connect(upstream.address()).await;
    client.send(request("GET", "x", "/", &[], b"")).await;
    let mut streaming = client.streaming("GET").await;
    let mut pieces = vec![];
    while pieces.last() != Some(&Piece::End) {
        pieces.extend(streaming.next_within(Duration::from_millis(10)).await);
    }
    assert_eq!(pieces, [Piece::Bytes(b"abcd".to_vec()), Piece::End]);
}

#[tokio::test]
async fn an_upgrade_echoes_and_is_recorded() {
    let upstream =
        RawUpstream::start(|_| Answer::upgrade_and_echo("Connection: upgrade\r\nUpgrade: x\r\n")).await;
    let mut client = H1::connect(upstream.address()).await;
    client.send(request("GET", "x", "/", &[("connection", "upgrade"), ("upgrade", "x")], b"")).await;
    assert_eq!(client.head().await.unwrap().status(), Some(101));
    client.send("hello").await;
    let mut seen = Vec::new();
    within("the echo", async {
        while seen.len() < 5 {
            let (more, ending) = client.drain(Duration::from_millis(200)).await;
            assert_eq!(ending, Ending::StillOpen);
            seen.extend(more);
        }
    })
    .await;
    assert_eq!(seen, b"hello");
    assert_eq!(upstream.requests()[0].raw_body, b"hello");
}

#[tokio::test]
async fn tls_on_both_sides() {
    let authority = Authority::new();
    let acceptor = authority.certificate(&["app.test"]).acceptor(&["http/1.1"]);
    let upstream = RawUpstream::start_tls(acceptor, |head| match head.target().as_str() {
        "/reset" => {
            Answer::bytes("HTTP/1.1 200 OK\r\n\r\nab").wait(Duration::from_millis(50)).then(Step::Reset)
        }
        _ => Answer::ok("ok"),
    })
    .await;
    let mut client = H1::connect_tls(upstream.address(), &authority, "app.test").await;
    assert_eq!(client.ask("GET", "app.test", "/", &[]).await.text(), "ok");
    client.send(request("GET", "x", "/reset", &[], b"")).await;
    assert_eq!(client.drain(PATIENCE).await.1, Ending::Reset);
}

#[tokio::test]
async fn a_stopped_upstream_takes_its_connections_along() {
    let upstream = RawUpstream::ok().await;
    let mut client = H1::connect(upstream.address()).await;
    assert_eq!(client.ask("GET", "x", "/", &[]).await.status(), 200);
    upstream.stop();
    assert_eq!(client.drain(PATIENCE).await.1, Ending::Closed);
    assert!(tokio::net::TcpStream::connect(upstream.address()).await.is_err());
}
