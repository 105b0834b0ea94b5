//! Streams that have an HTTP/1.1 connection to themselves.

use std::time::Duration;

use doorward_demo::apps::pattern::pattern;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::counted::{Body, Counter};
use super::{End, Follow, Kind, Live, NotOpen, SILENCE_MAX, SILENT_PATH};
use crate::h1::{H1, Piece, Streaming, request};
use crate::wire::{Ending, Wire, within};

/// The size of a piece of an upload.
const PIECE_BYTES: usize = 1000;
/// What the client says last on a WebSocket.
const LAST_WORD: &str = "the last word";

pub(super) async fn open(
    wire: Wire,
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
        Kind::WsIdle | Kind::WsEcho => open_ws(wire, host, "/logs?every_millis=0", &bearer, kind, tick).await,
        Kind::WsTicking => {
            open_ws(wire, host, &format!("/logs?every_millis={every}"), &bearer, kind, tick).await
        }
        Kind::SseIdle => get(wire, host, "/clock?every_millis=0", &events, kind, tick, Body::events()).await,
        Kind::Sse => {
            let path = format!("/clock?every_millis={every}");
            get(wire, host, &path, &events, kind, tick, Body::events()).await
        }
        Kind::Download => {
            let path = format!("/artifact?every_millis={every}");
            get(wire, host, &path, &own, kind, tick, Body::pattern()).await
        }
        Kind::Upload => {
            let mut client = H1::over(wire);
            let fields = [own[0], ("transfer-encoding", "chunked")];
            sent(client.try_send(request("POST", host, "/upload", &fields, b"")).await)?;
            Ok(Live::follow(kind, tick, |follow| upload(client, follow)))
        }
        Kind::Unanswered => {
            let mut client = H1::over(wire);
            sent(client.try_send(request("GET", host, SILENT_PATH, &own, b"")).await)?;
            Ok(Live::follow(kind, tick, |follow| silence(client, follow)))
        }
        Kind::KeepAlive => {
            let mut client = H1::over(wire);
            sent(client.try_send(request("GET", host, "/", &own, b"")).await)?;
            let response = client.try_response("GET").await.ok_or(NotOpen::Cut)?;
            if response.status() != 200 {
                return Err(NotOpen::Refused(response.status()));
            }
            Ok(Live::follow(kind, tick, |follow| silence(client, follow)))
        }
        Kind::H2SseIdle
        | Kind::H2Sse
        | Kind::H2Download
        | Kind::H2Upload
        | Kind::H2Unanswered
        | Kind::GrpcIdle
        | Kind::GrpcWatch
        | Kind::GrpcEcho
        | Kind::GrpcUnanswered => panic!("{kind:?} is no stream of HTTP/1.1"),
    }
}

fn sent(all: bool) -> Result<(), NotOpen> {
    if all { Ok(()) } else { Err(NotOpen::Cut) }
}

async fn open_ws(
    wire: Wire,
    host: &str,
    path: &str,
    bearer: &str,
    kind: Kind,
    tick: Duration,
) -> Result<Live, NotOpen> {
    let mut request = format!("ws://{host}{path}").into_client_request().unwrap();
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    match within("the answer to an upgrade", client_async(request, wire)).await {
        Ok((socket, _)) => Ok(Live::follow(kind, tick, |follow| ws(socket, follow))),
        Err(Error::Http(response)) => Err(NotOpen::Refused(response.status().as_u16())),
        Err(_) => Err(NotOpen::Cut),
    }
}

async fn ws(mut socket: WebSocketStream<Wire>, mut follow: Follow) -> End {
    let (mut lines, mut echoes, mut greeted) = (Counter::default(), Counter::default(), false);
    let (mut said, mut finishing) = (0_u64, false);
    let mut ticks = tokio::time::interval(follow.tick.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let speaks = follow.kind == Kind::WsEcho && said == follow.counted() && !finishing;
        tokio::select! {
            biased;
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let text = text.as_str();
                    let taken = match text.split_once(' ') {
                        Some(("build", _)) if !std::mem::replace(&mut greeted, true) => continue,
                        Some(("line", _)) if greeted => lines.take(text, "line "),
                        Some(("echo:", rest)) if greeted && rest == LAST_WORD => {
                            // The server may be the first to say goodbye.
                            let _ = socket.close(None).await;
                            return End::Whole;
                        }
                        Some(("echo:", _)) if greeted => echoes.take(text, "echo: "),
                        _ => return End::Wrong(format!("`{text}` on a WebSocket")),
                    };
                    if let Err(wrong) = taken {
                        return wrong;
                    }
                    follow.count(1);
                }
                Some(Ok(Message::Close(frame))) => {
                    // After the goodbye the server ends the connection.
                    let rest = async { while let Some(Ok(_)) = socket.next().await {} };
                    if tokio::time::timeout(Duration::from_secs(15), rest).await.is_err() {
                        return End::Wrong("a goodbye after which the connection stayed open".to_owned());
                    }
                    return frame.map_or(End::Goodbye(1005, String::new()), |f| {
                        End::Goodbye(f.code.into(), f.reason.to_string())
                    });
                }
                Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(_)) | None => return End::Cut,
            },
            _ = ticks.tick(), if speaks => {
                said += 1;
                // The end of the connection will be read.
                let _ = socket.send(Message::text(said.to_string())).await;
            }
            Ok(()) = &mut follow.finish, if !finishing => {
                finishing = true;
                let _ = socket.send(Message::text(LAST_WORD)).await;
            }
        }
    }
}

async fn get(
    wire: Wire,
    host: &str,
    path: &str,
    fields: &[(&str, &str)],
    kind: Kind,
    tick: Duration,
    body: Body,
) -> Result<Live, NotOpen> {
    let mut client = H1::over(wire);
    sent(client.try_send(request("GET", host, path, fields, b"")).await)?;
    let streaming = client.try_streaming("GET").await.ok_or(NotOpen::Cut)?;
    match streaming.head.status() {
        Some(200) => Ok(Live::follow(kind, tick, |follow| download(streaming, body, follow))),
        other => Err(NotOpen::Refused(other.unwrap_or(0))),
    }
}

async fn download(mut streaming: Streaming, mut body: Body, mut follow: Follow) -> End {
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
            piece = streaming.piece() => match piece {
                Piece::Bytes(bytes) => {
                    if let Err(wrong) = body.take(&bytes, &follow) {
                        return wrong;
                    }
                }
                Piece::End => return End::Early,
                Piece::CutOff => return End::Cut,
            }
        }
    }
}

/// Sends a piece in each tick, and listens in between.
async fn upload(mut client: H1, mut follow: Follow) -> End {
    loop {
        tokio::select! {
            biased;
            Ok(()) = &mut follow.finish => break,
            (seen, ending) = client.drain(follow.tick) => match (seen.is_empty(), ending) {
                (true, Ending::StillOpen) => {}
                (true, Ending::Closed | Ending::Reset) => return End::Cut,
                (false, _) => return answered(&seen),
            }
        }
        let piece = pattern(follow.counted(), PIECE_BYTES);
        let chunk = [format!("{PIECE_BYTES:x}\r\n").as_bytes(), &piece, b"\r\n"].concat();
        if client.try_send(chunk).await {
            follow.count(PIECE_BYTES as u64);
        }
    }
    if !client.try_send("0\r\n\r\n").await {
        return End::Cut;
    }
    let Some(response) = client.try_response("POST").await else { return End::Cut };
    if response.status() != 200 {
        return End::Answered(response.status());
    }
    acknowledged(&response.json(), follow.counted())
}

/// The app got what was sent.
pub(super) fn acknowledged(answer: &serde_json::Value, sent: u64) -> End {
    if answer["bytes"] == sent && answer["is_pattern"] == true {
        End::Whole
    } else {
        End::Wrong(format!("{sent} bytes were sent, and the app says {answer}"))
    }
}

fn answered(seen: &[u8]) -> End {
    let text = String::from_utf8_lossy(seen);
    match text.split(' ').nth(1).and_then(|s| s.parse().ok()) {
        Some(status) => End::Answered(status),
        None => End::Wrong(format!("`{text}` is no answer")),
    }
}

/// Nothing comes, until the connection ends.
async fn silence(mut client: H1, mut follow: Follow) -> End {
    tokio::select! {
        biased;
        Ok(()) = &mut follow.finish => End::Whole,
        (seen, ending) = client.drain(SILENCE_MAX) => match (seen.is_empty(), ending) {
            (true, Ending::Closed | Ending::Reset) => End::Cut,
            (true, Ending::StillOpen) => End::Wrong("a silent stream did not end".to_owned()),
            (false, _) => answered(&seen),
        }
    }
}
