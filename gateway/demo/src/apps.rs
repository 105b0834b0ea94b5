//! Three sample apps, as a company has them inside: pages, an API, and everything that streams.
//!
//! They hold no rule about access and ask for no password. Each tells which app it is and what
//! the gateway told it about the caller, so that a visitor of the demo sees what an app sees.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::page::{document, escape};

mod build;
pub mod grpc;
mod live;
mod open;
pub mod pattern;
mod payroll;
mod wiki;

/// Which app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SampleApp {
    /// Pages: `/`, which may be edited, `/welcome`, `/admin`; server-sent events `/live`.
    Wiki,
    /// JSON: `/runs`, `/admin`; for a browser a page, and server-sent events `/live`.
    Payroll,
    /// Streams: WebSocket `/logs`, server-sent events `/clock`, download `/artifact`, upload
    /// `/upload`, gRPC `/doorward.demo.Build/…`; `/open` tells how many run.
    Build,
}

/// How fast the streams of [`SampleApp::Build`] run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Between two ticks of a log, a clock or a watch, and between two pieces of a download.
    pub tick: Duration,
    /// The size of one piece of a download.
    pub piece_bytes: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { tick: Duration::from_millis(100), piece_bytes: 64 * 1024 }
    }
}

impl SampleApp {
    /// Every app.
    pub const ALL: [Self; 3] = [Self::Wiki, Self::Payroll, Self::Build];

    /// Its name in the configuration and in policies.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Wiki => "wiki",
            Self::Payroll => "payroll",
            Self::Build => "build",
        }
    }

    /// Where people find it, behind the gateway.
    #[must_use]
    pub const fn host(self) -> &'static str {
        match self {
            Self::Wiki => "wiki.localhost",
            Self::Payroll => "payroll.localhost",
            Self::Build => "build.localhost",
        }
    }

    /// Its pages. All apps answer `/healthz` and `/whoami` too.
    pub fn router(self, pace: Pace) -> Router {
        let own = match self {
            Self::Wiki => wiki::router(),
            Self::Payroll => payroll::router(),
            Self::Build => build::router(pace),
        };
        let shared = Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/whoami", get(whoami))
            .fallback(nothing_here)
            .with_state(self);
        own.merge(shared)
    }
}

/// What the request said about the caller.
async fn whoami(State(app): State<SampleApp>, uri: Uri, headers: HeaderMap) -> Json<Value> {
    let host = headers.get("host").map(|h| String::from_utf8_lossy(h.as_bytes()).into_owned());
    Json(json!({
        "app": app.id(),
        "host": host.or_else(|| uri.authority().map(ToString::to_string)),
        "path": uri.path_and_query().map(ToString::to_string),
        "identity": identity(&headers),
        "authorization_seen": headers.contains_key("authorization"),
        "cookie_seen": headers.contains_key("cookie"),
    }))
}

async fn nothing_here(State(app): State<SampleApp>, uri: Uri) -> Response {
    (StatusCode::NOT_FOUND, format!("{}: there is no `{}` here\n", app.id(), uri.path())).into_response()
}

/// Everything that the gateway said about the caller, by header. An assertion is a credential,
/// if a short-lived one, so the app says only that it came.
fn identity(headers: &HeaderMap) -> Map<String, Value> {
    let mut seen = Map::new();
    for name in headers.keys().filter(|n| n.as_str().starts_with("x-doorward-")) {
        let shown: Vec<String> = headers
            .get_all(name)
            .iter()
            .map(|value| match name.as_str() {
                "x-doorward-assertion" => format!("({} bytes)", value.len()),
                _ => String::from_utf8_lossy(value.as_bytes()).into_owned(),
            })
            .collect();
        seen.insert(name.to_string(), shown.into());
    }
    seen
}

/// The user as one word for a page.
fn user(headers: &HeaderMap) -> String {
    let user = headers.get("x-doorward-user").map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    user.unwrap_or_else(|| "nobody".to_owned())
}

/// Whether a browser opens a page. Anything else gets JSON.
fn wants_page(headers: &HeaderMap) -> bool {
    headers.get("accept").and_then(|v| v.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
}

/// A page of an app: the way to the others, `body` (which is HTML), and what the gateway said of the caller.
fn page(app: SampleApp, title: &str, body: &str, headers: &HeaderMap) -> String {
    let rows: String = identity(headers)
        .iter()
        .map(|(name, values)| {
            let values: Vec<&str> =
                values.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            format!("<tr><td>{}<td>{}</tr>\n", escape(name), escape(&values.join(", ")))
        })
        .collect();
    let links: String = SampleApp::ALL
        .iter()
        .map(|other| {
            let here = if *other == app { " aria-current=\"page\"" } else { "" };
            format!("<a href=\"//{}{}/\"{here}>{}</a>\n", other.host(), port(headers), other.id())
        })
        .collect();
    document(
        title,
        &format!(
            "<nav>{links}<a href=\"/.doorward/\">your sessions</a>\n\
             <form method=\"post\" action=\"/.doorward/sign-out\"><button class=\"quiet\">Sign out</button></form></nav>\n\
             <h1>{}</h1>\n<p>This is the app {}. The gateway says that you are {}.</p>\n{body}\
             <h2>What the app was told by the gateway</h2>\n<table>\n{rows}</table>\n",
            escape(title),
            app.id(),
            escape(&user(headers)),
        ),
    )
}

/// The port at which the caller found this app, with its colon: the others are there, too.
fn port(headers: &HeaderMap) -> String {
    let host = headers.get("host").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    port.map(|port| format!(":{port}")).unwrap_or_default()
}

/// How fast one stream runs, when it does not run at the app's own [`Pace`].
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Every {
    /// Between two ticks; 0 for a stream that stays silent.
    every_millis: Option<u64>,
}

impl Every {
    /// A ticker, or one that never ticks.
    fn ticker(self, pace: Pace) -> Ticker {
        let every = self.every_millis.map_or(pace.tick, Duration::from_millis);
        if every.is_zero() {
            return Ticker(None);
        }
        let mut interval = tokio::time::interval(every.min(Duration::from_secs(60)));
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Ticker(Some(interval))
    }
}

struct Ticker(Option<tokio::time::Interval>);

impl Ticker {
    /// The first tick is at once.
    async fn tick(&mut self) {
        match &mut self.0 {
            Some(interval) => {
                interval.tick().await;
            }
            None => std::future::pending().await,
        }
    }
}

/// What the handlers of [`SampleApp::Build`] share.
#[derive(Clone)]
struct Shop {
    pace: Pace,
    open: Arc<open::Open>,
}

type EveryQuery = Query<Every>;

#[cfg(test)]
mod tests;
