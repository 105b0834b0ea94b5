//! Live streams: opened through a gateway, followed byte by byte, and asked in the end how it went.
//!
//! ```text
//!   Site ── open(kind) ──► Live ── units() grow ──► finish() or ended() ──► Ended { how, at }
//!   gateway, issuer,        a task that compares
//!   apps, TLS               everything with what must come
//! ```
//! Whatever streams in this testbed is numbered: lines, ticks, echoes, the bytes of a download. A
//! unit that is lost, doubled or changed ends the stream as [`End::Wrong`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

mod counted;
mod http1;
mod http2;
mod site;

pub use site::{BUILD, OTHER, SILENT_PATH, Site, Via};

use crate::h2::{Gone, H2};
use crate::wire::{Wire, until, within};

/// How long a stream may wait for its next unit. A stream that is silent on purpose has no units.
const SILENCE_MAX: Duration = Duration::from_secs(600);

/// A kind of stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A WebSocket on which nobody says anything.
    WsIdle,
    /// A WebSocket on which the app counts.
    WsTicking,
    /// A WebSocket on which the client counts and the app repeats.
    WsEcho,
    /// Server-sent events that do not come.
    SseIdle,
    /// Server-sent events.
    Sse,
    /// A download.
    Download,
    /// An upload.
    Upload,
    /// A request that the app never answers.
    Unanswered,
    /// A connection that waits for its next request.
    KeepAlive,
    /// Server-sent events that do not come, over HTTP/2.
    H2SseIdle,
    /// Server-sent events over HTTP/2.
    H2Sse,
    /// A download over HTTP/2.
    H2Download,
    /// An upload over HTTP/2.
    H2Upload,
    /// A request that the app never answers, over HTTP/2.
    H2Unanswered,
    /// A gRPC call whose answers do not come.
    GrpcIdle,
    /// A gRPC call with one question and many answers.
    GrpcWatch,
    /// A gRPC call in which both sides talk.
    GrpcEcho,
    /// A gRPC call to which the app has not even answered a head.
    GrpcUnanswered,
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As the test wanted, everything being right.
    Whole,
    /// A WebSocket with a close frame, and then the connection.
    Goodbye(u16, String),
    /// The connection ended in the middle.
    Cut,
    /// The HTTP/2 stream or its connection ended in the middle.
    Gone(Gone),
    /// A gRPC call with this status; none where there was none.
    Status(Option<u16>),
    /// With an answer that nobody expected any more.
    Answered(u16),
    /// The server ended it in good order, though it had more to say.
    Early,
    /// Something was lost, doubled or changed, or did not end.
    Wrong(String),
}

/// A stream that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub how: End,
    /// When the client knew.
    pub at: Instant,
    /// How many units came, all of them right.
    pub units: u64,
}

/// Why there is no stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotOpen {
    /// The answer was something else.
    Refused(u16),
    /// The connection ended, or the stream was reset, before an answer came.
    Cut,
}

/// A stream that runs. Dropped, it is given up.
pub struct Live {
    kind: Kind,
    units: Arc<AtomicU64>,
    finish: Option<oneshot::Sender<()>>,
    task: JoinHandle<Ended>,
}

/// What the task of a stream works with.
struct Follow {
    kind: Kind,
    tick: Duration,
    units: Arc<AtomicU64>,
    finish: oneshot::Receiver<()>,
}

// === impl Kind ===

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 18] = [
        Self::WsIdle,
        Self::WsTicking,
        Self::WsEcho,
        Self::SseIdle,
        Self::Sse,
        Self::Download,
        Self::Upload,
        Self::Unanswered,
        Self::KeepAlive,
        Self::H2SseIdle,
        Self::H2Sse,
        Self::H2Download,
        Self::H2Upload,
        Self::H2Unanswered,
        Self::GrpcIdle,
        Self::GrpcWatch,
        Self::GrpcEcho,
        Self::GrpcUnanswered,
    ];

    /// Whether it is a stream of an HTTP/2 connection, which others may share.
    #[must_use]
    pub const fn is_h2(self) -> bool {
        match self {
            Self::WsIdle
            | Self::WsTicking
            | Self::WsEcho
            | Self::SseIdle
            | Self::Sse
            | Self::Download
            | Self::Upload
            | Self::Unanswered
            | Self::KeepAlive => false,
            Self::H2SseIdle
            | Self::H2Sse
            | Self::H2Download
            | Self::H2Upload
            | Self::H2Unanswered
            | Self::GrpcIdle
            | Self::GrpcWatch
            | Self::GrpcEcho
            | Self::GrpcUnanswered => true,
        }
    }

    /// Whether units come as long as it lives.
    #[must_use]
    pub const fn is_busy(self) -> bool {
        match self {
            Self::WsTicking
            | Self::WsEcho
            | Self::Sse
            | Self::Download
            | Self::Upload
            | Self::H2Sse
            | Self::H2Download
            | Self::H2Upload
            | Self::GrpcWatch
            | Self::GrpcEcho => true,
            Self::WsIdle
            | Self::SseIdle
            | Self::Unanswered
            | Self::KeepAlive
            | Self::H2SseIdle
            | Self::H2Unanswered
            | Self::GrpcIdle
            | Self::GrpcUnanswered => false,
        }
    }

    /// Whether the gateway lists it among what runs.
    #[must_use]
    pub const fn is_listed(self) -> bool {
        !matches!(self, Self::KeepAlive)
    }

    /// Whether this is how a stream of this kind ends when its owner is cut off: with the word that
    /// its protocol has for it.
    #[must_use]
    pub fn is_cut_off_by(self, how: &End) -> bool {
        match self {
            Self::WsIdle | Self::WsTicking | Self::WsEcho => {
                matches!(how, End::Goodbye(1008, reason) if !reason.is_empty())
            }
            Self::SseIdle
            | Self::Sse
            | Self::Download
            | Self::Upload
            | Self::Unanswered
            | Self::KeepAlive => *how == End::Cut,
            Self::H2SseIdle | Self::H2Sse | Self::H2Download | Self::H2Upload | Self::H2Unanswered => {
                *how == End::Gone(Gone::Reset(::h2::Reason::CANCEL))
            }
            Self::GrpcIdle | Self::GrpcWatch | Self::GrpcEcho | Self::GrpcUnanswered => {
                *how == End::Status(Some(16))
            }
        }
    }
}

// === impl Live ===

impl Live {
    /// Opens a stream over HTTP/1.1 on a connection that is there; the app counts once in each `tick`.
    ///
    /// # Errors
    /// When it was refused or cut off at once.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn over(
        wire: Wire,
        host: &str,
        kind: Kind,
        tick: Duration,
        token: &str,
    ) -> Result<Self, NotOpen> {
        http1::open(wire, host, kind, tick, token).await
    }

    /// Opens a stream on an HTTP/2 connection that others may share.
    ///
    /// # Errors
    /// When it was refused or cut off at once.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn on(h2: &H2, host: &str, kind: Kind, tick: Duration, token: &str) -> Result<Self, NotOpen> {
        http2::open(h2, host, kind, tick, token).await
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// How many units came so far.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.units.load(Ordering::SeqCst)
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.task.is_finished()
    }

    /// Waits until so many units came.
    ///
    /// # Panics
    /// When they do not.
    pub async fn wait_units(&self, count: u64) {
        let what = format!("{count} units of {:?}", self.kind);
        until(&what, || (self.units() >= count || !self.is_running()).then_some(())).await;
        assert!(self.units() >= count, "{:?} ended after {} of {count} units", self.kind, self.units());
    }

    /// Waits until it ended, whoever ended it.
    ///
    /// # Panics
    /// When it does not end, or its task panicked.
    pub async fn ended(mut self) -> Ended {
        let what = format!("the end of {:?} after {} units", self.kind, self.units());
        within(&what, &mut self.task).await.unwrap()
    }

    /// Brings it to an end that proves that it lived: one more unit comes, an upload is acknowledged.
    ///
    /// # Panics
    /// When it does not end, or its task panicked.
    pub async fn finish(mut self) -> Ended {
        if let Some(finish) = self.finish.take() {
            // It may have ended already.
            let _ = finish.send(());
        }
        self.ended().await
    }

    /// Follows a stream by a task of its own.
    fn follow<F>(kind: Kind, tick: Duration, run: impl FnOnce(Follow) -> F) -> Self
    where
        F: Future<Output = End> + Send + 'static,
    {
        let (finish, told) = oneshot::channel();
        let units = Arc::new(AtomicU64::new(0));
        let run = run(Follow { kind, tick, units: Arc::clone(&units), finish: told });
        let count = Arc::clone(&units);
        let task = tokio::spawn(async move {
            let how = run.await;
            Ended { how, at: Instant::now(), units: count.load(Ordering::SeqCst) }
        });
        Self { kind, units, finish: Some(finish), task }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Follow {
    fn count(&self, units: u64) {
        self.units.fetch_add(units, Ordering::SeqCst);
    }

    fn counted(&self) -> u64 {
        self.units.load(Ordering::SeqCst)
    }
}
