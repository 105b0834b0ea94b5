//! The log of the gateway itself, for the people who run it; what happened to whom is the audit
//! log's matter. Human lines on a terminal, JSON lines in a pipe, always on standard error.
//!
//! The filter comes from `--log` or from `DOORWARD_LOG`, in the words of `tracing`, such as
//! `debug` or `info,doorward_policy=trace`. Whatever it says, the libraries that carry headers
//! and keys are held at `info`: below that they print what they carry. A filter of its own holds
//! them, as in one filter the more special words win, and there is always a more special word.

use std::io::IsTerminal;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::layer::{Filter, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::color::{ColorChoice, Style};

/// What is logged unless someone says otherwise.
const FILTER: &str = "info";
/// Libraries that talk much and say little to an operator.
const QUIET: [&str; 6] =
    ["pingora_core=warn", "pingora_proxy=warn", "pingora_pool=warn", "h2=warn", "hyper=warn", "rustls=warn"];
/// Libraries that print headers, bodies or keys when they are asked for details.
const NEVER_BELOW_INFO: [&str; 12] = [
    "h2",
    "hyper",
    "hyper_util",
    "reqwest",
    "rustls",
    "tokio_rustls",
    "pingora_core",
    "pingora_proxy",
    "pingora_http",
    "pingora_pool",
    "jsonwebtoken",
    "tungstenite",
];

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people, with or without color.
    Human(Style),
    /// One JSON object for each line.
    Json,
}

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error("`{filter}` is not a log filter: {cause}")]
    Filter {
        /// What was asked for.
        filter: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Something else logs already.
    #[error("the log is set up already: {0}")]
    Twice(String),
}

/// Starts to log to standard error. `filter` is what `--log` says, if anything.
///
/// # Errors
/// When the filter cannot be read, or when the log was started before.
pub fn start(filter: Option<&str>, color: ColorChoice) -> Result<(), TelemetryError> {
    let from_env = std::env::var("DOORWARD_LOG").ok().filter(|v| !v.is_empty());
    let filter = self::filter(filter.or(from_env.as_deref()))?;
    let stderr = std::io::stderr();
    let format = match stderr.is_terminal() {
        true => Format::Human(color.style(&stderr)),
        false => Format::Json,
    };
    tracing_subscriber::registry()
        .with(layer(format, std::io::stderr).with_filter(guarded(filter)))
        .try_init()
        .map_err(|e| TelemetryError::Twice(e.to_string()))
}

/// Lines of one format, into any writer.
fn layer<S, W>(format: Format, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    match format {
        Format::Human(style) => fmt::layer()
            .with_ansi(style == Style::Color)
            .with_target(false)
            .compact()
            .with_writer(writer)
            .boxed(),
        Format::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(true)
            .with_writer(writer)
            .boxed(),
    }
}

fn filter(asked: Option<&str>) -> Result<EnvFilter, TelemetryError> {
    let wrong = |cause: String| TelemetryError::Filter {
        filter: asked.unwrap_or(FILTER).chars().take(200).collect(),
        cause,
    };
    let usual = || format!("{FILTER},{}", QUIET.join(","));
    EnvFilter::try_new(asked.map_or_else(usual, str::to_owned)).map_err(|e| wrong(e.to_string()))
}

/// What is asked for, and nothing that shows what libraries carry.
fn guarded<S: Subscriber>(asked: EnvFilter) -> impl Filter<S> {
    // The hint says that this one filter holds nothing else back, so that the other's still counts.
    asked.and(filter_fn(is_harmless).with_max_level_hint(LevelFilter::TRACE))
}

fn is_harmless(metadata: &Metadata<'_>) -> bool {
    let library = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO || !NEVER_BELOW_INFO.contains(&library)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(asked: Option<&str>, format: Format) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::registry()
            .with(layer(format, move || writer.clone()).with_filter(guarded(filter(asked).unwrap())));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "doorward_policy", revision = "abc", "policies loaded");
            tracing::trace!(target: "doorward_policy", "details");
            tracing::trace!(target: "h2::codec", "authorization: Bearer hush");
            tracing::debug!(target: "hyper::proto", "authorization: Bearer hush");
            tracing::trace!(target: "h2::codec::framed_read", "authorization: Bearer hush");
            tracing::debug!(target: "hyper::proto::h1::conn", "authorization: Bearer hush");
            tracing::trace!(target: "hyper_util::client::legacy", "authorization: Bearer hush");
            let span = tracing::trace_span!(target: "h2::proto", "frame", authorization = "Bearer hush");
            span.in_scope(|| tracing::error!(target: "h2::proto", "inside"));
            tracing::info!(target: "pingora_core::server", "chatter");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn libraries_that_print_headers_stay_silent_whatever_is_asked() {
        for asked in [
            None,
            Some("trace"),
            Some("debug"),
            Some("info,h2=trace,hyper=trace"),
            Some("info,h2::codec=trace,hyper::proto=trace,hyper_util::client=trace"),
            Some("info,h2::codec::framed_read=trace,hyper::proto::h1::conn=debug"),
            Some("info,hyper_util::client::legacy=trace,h2::proto=trace"),
            Some("info,[frame{authorization}]=trace,[frame]=trace"),
        ] {
            let text = logged(asked, Format::Human(Style::Plain));
            assert!(text.contains("policies loaded"), "{asked:?}: {text}");
            assert!(!text.contains("hush"), "{asked:?}: {text}");
        }
        assert!(logged(Some("trace"), Format::Json).contains("details"));
        assert!(!logged(None, Format::Json).contains("chatter"));
    }

    #[test]
    fn a_pipe_gets_one_json_object_for_each_line() {
        let text = logged(None, Format::Json);
        let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let line = &lines[0];
        assert_eq!(line["message"], "policies loaded");
        assert_eq!(line["revision"], "abc");
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn a_wrong_filter_is_told_and_not_ignored() {
        let e = filter(Some("doorward=loud")).unwrap_err().to_string();
        assert!(e.starts_with("`doorward=loud` is not a log filter"), "{e}");
    }
}
