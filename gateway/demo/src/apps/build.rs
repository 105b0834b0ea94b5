//! Everything that streams: a log by WebSocket, a clock by server-sent events, a download, an
//! upload, and gRPC.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::sse::Event;
use axum::response::{Html, IntoResponse, Response, Sse};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde::Deserialize;
use serde_json::json;

use super::grpc::{Unframer, frame};
use super::live::{self, Live};
use super::open::{Kind, Open};
use super::pattern::{Reader, pattern};
use super::{Every, EveryQuery, Pace, SampleApp, Shop};

pub(super) fn router(pace: Pace) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/open", get(async |State(shop): State<Shop>| Json(shop.open.counts())))
        .route("/logs", any(logs))
        .route("/clock", get(clock))
        .route("/artifact", get(artifact))
        .route("/upload", post(upload).put(upload))
        .route("/doorward.demo.Build/Status", post(status))
        .route("/doorward.demo.Build/Watch", post(watch))
        .route("/doorward.demo.Build/Echo", post(echo))
        .with_state(Shop { pace, open: Arc::new(Open::default()) })
}

async fn home(headers: HeaderMap) -> Response {
    if super::wants_page(&headers) {
        let body = format!(
            "<p>What is built, and what came of it.</p>\n{}",
            live::shown(Live::WebSocket, "/logs?every_millis=1000")
        );
        return Html(super::page(SampleApp::Build, "Build", &body, &headers)).into_response();
    }
    let (user, identity) = (super::user(&headers), super::identity(&headers));
    Json(json!({"app": "build", "user": user, "identity": identity})).into_response()
}

async fn logs(
    State(shop): State<Shop>,
    Query(every): EveryQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let user = super::user(&headers);
    match upgrade {
        Ok(upgrade) => upgrade.on_upgrade(move |socket| log(shop, every, user, socket)),
        Err(_) => (StatusCode::UPGRADE_REQUIRED, "build: `/logs` is a WebSocket\n").into_response(),
    }
}

/// Says who listens, then a line at each tick; answers each text with the same text.
async fn log(shop: Shop, every: Every, user: String, mut socket: WebSocket) {
    let _open = shop.open.enter(Kind::Logs);
    let mut ticker = every.ticker(shop.pace);
    let mut line = 0_u64;
    if socket.send(Message::text(format!("build log for {user}"))).await.is_err() {
        return;
    }
    loop {
        let next = tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => Message::text(format!("echo: {}", text.as_str())),
                Some(Ok(Message::Binary(bytes))) => Message::Binary(bytes),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
            () = ticker.tick() => {
                line += 1;
                Message::text(format!("line {line}"))
            }
        };
        if socket.send(next).await.is_err() {
            return;
        }
    }
}

/// `event: tick`, `id` and `data` count from 1.
async fn clock(
    State(shop): State<Shop>,
    Query(every): EveryQuery,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let open = shop.open.enter(Kind::Clock);
    Sse::new(stream::unfold((0_u64, every.ticker(shop.pace), open), |(tick, mut ticker, open)| async move {
        ticker.tick().await;
        let tick = tick + 1;
        let event = Event::default().event("tick").id(tick.to_string()).data(tick.to_string());
        Some((Ok(event), (tick, ticker, open)))
    }))
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Download {
    /// How much; without it the download does not end.
    bytes: Option<u64>,
    /// Between two pieces; 0 for as fast as it goes.
    every_millis: Option<u64>,
}

async fn artifact(State(shop): State<Shop>, Query(download): Query<Download>) -> Response {
    let open = shop.open.enter(Kind::Artifact);
    let end = download.bytes.unwrap_or(u64::MAX);
    let paced = download.every_millis != Some(0);
    let ticker = Every { every_millis: download.every_millis }.ticker(shop.pace);
    let piece_bytes = shop.pace.piece_bytes.max(1);
    let pieces = stream::unfold((0_u64, ticker, open), move |(offset, mut ticker, open)| async move {
        let left = end.saturating_sub(offset);
        if left == 0 {
            return None;
        }
        if paced {
            ticker.tick().await;
        }
        let len = usize::try_from(left).map_or(piece_bytes, |left| left.min(piece_bytes));
        Some((Ok::<_, Infallible>(pattern(offset, len)), (offset + len as u64, ticker, open)))
    });
    let mut response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Some(bytes) = download.bytes {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    response
}

/// Counts the bytes, and tells whether they are the [`pattern`].
async fn upload(State(shop): State<Shop>, body: Body) -> Response {
    let _open = shop.open.enter(Kind::Upload);
    let mut body = body.into_data_stream();
    let (mut bytes, mut reader, mut is_pattern) = (0_u64, Reader::default(), true);
    while let Some(piece) = body.next().await {
        let Ok(piece) = piece else {
            return (StatusCode::BAD_REQUEST, "build: the upload broke off\n").into_response();
        };
        bytes += piece.len() as u64;
        is_pattern = is_pattern && reader.read(&piece).is_ok();
    }
    Json(json!({"app": "build", "bytes": bytes, "is_pattern": is_pattern})).into_response()
}

type GrpcFrame = Result<Frame<Bytes>, Infallible>;

/// The last frame of a call.
fn ending(status: u8, message: &'static str) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(u16::from(status)));
    if !message.is_empty() {
        trailers.insert("grpc-message", HeaderValue::from_static(message));
    }
    Frame::trailers(trailers)
}

fn call(frames: impl Stream<Item = GrpcFrame> + Send + 'static) -> Response {
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// The first message of a call, if there is one that can be read.
async fn first_text(body: Body) -> Option<String> {
    let mut unframer = Unframer::default();
    let mut body = body.into_data_stream();
    loop {
        if let Some(text) = unframer.text().ok()? {
            return Some(text);
        }
        unframer.push(&body.next().await?.ok()?);
    }
}

/// One text to one text: the state of a branch.
async fn status(State(shop): State<Shop>, request: Request<Body>) -> Response {
    let open = shop.open.enter(Kind::Grpc);
    let user = super::user(request.headers());
    let Some(text) = first_text(request.into_body()).await else {
        return call(stream::iter([Ok(ending(3, "there is no Text"))]));
    };
    drop(open);
    let branch = if text.is_empty() { "main" } else { &text };
    let answer = frame(&format!("{branch} is green, {user}"));
    call(stream::iter([Ok(Frame::data(answer)), Ok(ending(0, ""))]))
}

/// One text to many: `tick 1`, `tick 2`, …; a number in the request is how many.
async fn watch(State(shop): State<Shop>, Query(every): EveryQuery, request: Request<Body>) -> Response {
    let open = shop.open.enter(Kind::Grpc);
    let Some(text) = first_text(request.into_body()).await else {
        return call(stream::iter([Ok(ending(3, "there is no Text"))]));
    };
    let count: u64 = text.parse().unwrap_or(u64::MAX);
    let ticks =
        stream::unfold((0, every.ticker(shop.pace), open), move |(tick, mut ticker, open)| async move {
            if tick == count {
                return None;
            }
            ticker.tick().await;
            let tick = tick + 1;
            Some((Ok(Frame::data(frame(&format!("tick {tick}")))), (tick, ticker, open)))
        });
    call(ticks.chain(stream::iter([Ok(ending(0, ""))])))
}

/// Many texts to as many, each as soon as it is there.
async fn echo(State(shop): State<Shop>, request: Request<Body>) -> Response {
    let open = shop.open.enter(Kind::Grpc);
    let body = request.into_body().into_data_stream();
    let texts = stream::unfold(Some((body, Unframer::default(), open)), |state| async {
        let (mut body, mut unframer, open) = state?;
        loop {
            match unframer.text() {
                Ok(Some(text)) => {
                    return Some((Ok(Frame::data(frame(&text))), Some((body, unframer, open))));
                }
                Ok(None) => {}
                Err(_) => return Some((Ok(ending(3, "there is no Text")), None)),
            }
            match body.next().await {
                Some(Ok(piece)) => unframer.push(&piece),
                Some(Err(_)) => return Some((Ok(ending(1, "the call broke off")), None)),
                None if unframer.is_empty() => return Some((Ok(ending(0, "")), None)),
                None => return Some((Ok(ending(3, "the last message is cut short")), None)),
            }
        }
    });
    call(texts)
}
