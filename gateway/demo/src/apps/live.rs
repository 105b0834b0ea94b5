//! A page that holds something open, and shows how it ends.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::Sse;
use axum::response::sse::Event;
use futures_util::stream::{self, Stream};

use super::{EveryQuery, Pace};
use crate::page::escape;

/// How soon a browser opens the events again when they broke off.
const AGAIN_MILLIS: u64 = 500;

/// What a page holds open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Live {
    /// Server-sent events.
    Events,
    /// A WebSocket.
    WebSocket,
}

/// Where [`Live::Events`] come from. Without a word of the visitor one comes each second.
pub(super) async fn events(
    axum::extract::Query(every): EveryQuery,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticker = every.ticker(Pace { tick: Duration::from_secs(1), ..Pace::default() });
    Sse::new(stream::unfold((0_u64, ticker), |(tick, mut ticker)| async move {
        ticker.tick().await;
        let tick = tick + 1;
        let event = Event::default().event("tick").data(tick.to_string());
        let event = if tick == 1 { event.retry(Duration::from_millis(AGAIN_MILLIS)) } else { event };
        Some((Ok(event), (tick, ticker)))
    }))
}

/// The part of a page that shows it.
pub(super) fn shown(live: Live, url: &str) -> String {
    let (kind, noun) = match live {
        Live::Events => ("events", "an event stream"),
        Live::WebSocket => ("websocket", "a WebSocket"),
    };
    format!(
        "<section class=\"live\" id=\"live\" data-kind=\"{kind}\" data-url=\"{}\" data-noun=\"{noun}\" aria-label=\"What this page holds open\">\n\
         <p role=\"status\"><strong>Connecting …</strong></p>\n<p><small>Messages so far: <span id=\"count\">0</span></small></p>\n\
         </section>\n<script>\n{SCRIPT}</script>\n",
        escape(url)
    )
}

const SCRIPT: &str = include_str!("live.js");
