//! Streams of an HTTP/2 connection, gRPC calls among them.

use std::time::Duration;

use doorward_demo::apps::pattern::pattern;
use http::HeaderMap;

use super::counted::{Body, Counter};
use super::http1::acknowledged;
use super::{End, Follow, Kind, Live, NotOpen, SILENCE_MAX, SILENT_PATH};
use crate::grpc::{Call, Next};
use crate::h2::{Gone, H2, Stream};

const PIECE_BYTES: usize = 1000;
const SERVICE: &str = "/doorward.demo.Build";

pub(super) async fn open(
    h2: &H2,
    host: &str,
    kind: Kind,
    tick: Duration,
    token: &str,
) -> Result<Live, NotOpen> {
    let bearer = format!("Bearer {token}");
    let own = [("authorization", bearer.as_str())];
    let every = tick.as_millis();
    let events = [own[0], ("accept", "text/event-stream")];
    match kind {
        Kind::H2SseIdle => get(h2, host, "/clock?every_millis=0", &events, kind, tick, Body::events()).await,
        Kind::H2Sse => {
            let path = format!("/clock?every_millis={every}");
            get(h2, host, &path, &events, kind, tick, Body::events()).await
        }
        Kind::H2Download => {
            let path = format!("/artifact?every_millis={every}");
            get(h2, host, &path, &own, kind, tick, Body::pattern()).await
        }
        Kind::H2Upload => {
            let stream = h2.open(h2.request("POST", host, "/upload", &own), false).await.map_err(cut)?;
            Ok(Live::follow(kind, tick, |follow| upload(stream, follow)))
        }
        Kind::H2Unanswered => {
            let stream = h2.open(h2.request("GET", host, SILENT_PATH, &own), true).await.map_err(cut)?;
            Ok(Live::follow(kind, tick, |follow| no_head(stream, follow)))
        }
        Kind::GrpcIdle | Kind::GrpcWatch => {
            let every = if kind == Kind::GrpcIdle { 0 } else { every };
            let method = format!("{SERVICE}/Watch?every_millis={every}");
            let call = Call::open(h2, host, &method, &own, "all", true).await.map_err(cut)?;
            Ok(Live::follow(kind, tick, |follow| talk(call, follow)))
        }
        Kind::GrpcEcho => {
            let method = format!("{SERVICE}/Echo");
            let call = Call::open(h2, host, &method, &own, "1", false).await.map_err(cut)?;
            Ok(Live::follow(kind, tick, |follow| talk(call, follow)))
        }
        Kind::GrpcUnanswered => {
            let fields = [own[0], ("content-type", "application/grpc"), ("te", "trailers")];
            // The app answers a head once it has the question, which does not come.
            let request = h2.request("POST", host, &format!("{SERVICE}/Watch"), &fields);
            let stream = h2.open(request, false).await.map_err(cut)?;
            Ok(Live::follow(kind, tick, |follow| no_head(stream, follow)))
        }
        Kind::WsIdle
        | Kind::WsTicking
        | Kind::WsEcho
        | Kind::SseIdle
        | Kind::Sse
        | Kind::Download
        | Kind::Upload
        | Kind::Unanswered
        | Kind::KeepAlive => panic!("{kind:?} is no stream of HTTP/2"),
    }
}

fn cut(_: Gone) -> NotOpen {
    NotOpen::Cut
}

async fn get(
    h2: &H2,
    host: &str,
    path: &str,
    fields: &[(&str, &str)],
    kind: Kind,
    tick: Duration,
    body: Body,
) -> Result<Live, NotOpen> {
    let mut stream = h2.open(h2.request("GET", host, path, fields), true).await.map_err(cut)?;
    let (status, _) = stream.head().await.map_err(cut)?;
    if status != 200 {
        return Err(NotOpen::Refused(status));
    }
    Ok(Live::follow(kind, tick, |follow| download(stream, body, follow)))
}

async fn download(mut stream: Stream, mut body: Body, mut follow: Follow) -> End {
    let mut enough = None;
    loop {
        if enough.is_some_and(|enough| follow.counted() >= enough) {
            return End::Whole;
        }
        tokio::select! {
            biased;
            Ok(()) = &mut follow.finish, if enough.is_none() => {
                enough = Some(follow.counted() + u64::from(follow.kind.is_busy()));
            }
            piece = stream.piece() => match piece {
                Ok(Some(bytes)) => {
                    if let Err(wrong) = body.take(&bytes, &follow) {
                        return wrong;
                    }
                }
                Ok(None) => return End::Early,
                Err(gone) => return End::Gone(gone),
            }
        }
    }
}

/// Sends a piece in each tick, and listens in between.
async fn upload(mut stream: Stream, mut follow: Follow) -> End {
    loop {
        tokio::select! {
            biased;
            Ok(()) = &mut follow.finish => break,
            head = stream.head_within(follow.tick) => match head {
                None => {}
                Some(Ok((status, _))) => return End::Answered(status),
                Some(Err(gone)) => return End::Gone(gone),
            }
        }
        let piece = pattern(follow.counted(), PIECE_BYTES);
        if stream.send_data(&piece, false).await.is_ok() {
            follow.count(PIECE_BYTES as u64);
        }
    }
    if let Err(gone) = stream.send_data(b"", true).await {
        return End::Gone(gone);
    }
    match stream.reply().await {
        Ok(reply) if reply.status == 200 => acknowledged(&reply.json(), follow.counted()),
        Ok(reply) => End::Answered(reply.status),
        Err(gone) => End::Gone(gone),
    }
}

/// Not even a head comes; of gRPC it may be one that ends the call.
async fn no_head(mut stream: Stream, mut follow: Follow) -> End {
    tokio::select! {
        biased;
        Ok(()) = &mut follow.finish => End::Whole,
        head = stream.head_within(SILENCE_MAX) => match head {
            Some(Ok((200, fields))) if follow.kind == Kind::GrpcUnanswered => End::Status(status(&fields)),
            Some(Ok((status, _))) => End::Answered(status),
            Some(Err(gone)) => End::Gone(gone),
            None => End::Wrong("a silent stream did not end".to_owned()),
        }
    }
}

fn status(fields: &HeaderMap) -> Option<u16> {
    fields.get("grpc-status")?.to_str().ok()?.parse().ok()
}

async fn talk(mut call: Call, mut follow: Follow) -> End {
    let word = if follow.kind == Kind::GrpcEcho { "" } else { "tick " };
    let (mut counter, mut said, mut enough) = (Counter::default(), 1_u64, None);
    let mut ticks = tokio::time::interval(follow.tick.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        if enough.is_some_and(|enough| follow.counted() >= enough) {
            return End::Whole;
        }
        let speaks = follow.kind == Kind::GrpcEcho && said == follow.counted();
        tokio::select! {
            biased;
            next = call.next_within(SILENCE_MAX) => match next {
                Some(Next::Text(text)) => {
                    // An idle watch tells its first tick at once, if its app ticks at all.
                    if let Err(wrong) = counter.take(&text, word) {
                        return wrong;
                    }
                    follow.count(1);
                }
                Some(Next::Status(status)) => return End::Status(status),
                Some(Next::Gone(gone)) => return End::Gone(gone),
                None => return End::Wrong("a call did not end".to_owned()),
            },
            _ = ticks.tick(), if speaks => {
                said += 1;
                // How the call ended will be read.
                let _ = call.send(&said.to_string(), false).await;
            }
            Ok(()) = &mut follow.finish, if enough.is_none() => {
                enough = Some(follow.counted() + u64::from(follow.kind.is_busy()));
            }
        }
    }
}
