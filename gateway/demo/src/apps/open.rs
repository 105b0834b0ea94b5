//! How many streams run now, as the app itself sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

/// A kind of stream.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Logs,
    Clock,
    Artifact,
    Upload,
    Grpc,
}

/// The streams that run.
#[derive(Default)]
pub(super) struct Open {
    logs: AtomicU64,
    clock: AtomicU64,
    artifact: AtomicU64,
    upload: AtomicU64,
    grpc: AtomicU64,
}

impl Open {
    const fn counter(&self, kind: Kind) -> &AtomicU64 {
        match kind {
            Kind::Logs => &self.logs,
            Kind::Clock => &self.clock,
            Kind::Artifact => &self.artifact,
            Kind::Upload => &self.upload,
            Kind::Grpc => &self.grpc,
        }
    }

    /// Counts a stream for as long as the answer lives.
    pub(super) fn enter(self: &Arc<Self>, kind: Kind) -> Guard {
        self.counter(kind).fetch_add(1, Ordering::SeqCst);
        Guard { open: Arc::clone(self), kind }
    }

    pub(super) fn counts(&self) -> Value {
        let [logs, clock, artifact, upload, grpc] =
            [Kind::Logs, Kind::Clock, Kind::Artifact, Kind::Upload, Kind::Grpc]
                .map(|kind| self.counter(kind).load(Ordering::SeqCst));
        json!({
            "app": "build", "logs": logs, "clock": clock, "artifact": artifact, "upload": upload, "grpc": grpc
        })
    }
}

/// One running stream.
pub(super) struct Guard {
    open: Arc<Open>,
    kind: Kind,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.open.counter(self.kind).fetch_sub(1, Ordering::SeqCst);
    }
}
