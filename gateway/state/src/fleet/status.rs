//! What is told of a node's place in its fleet.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::fleet::Position;

/// Written by the threads of the fleet, read by whoever asks how it goes.
#[derive(Default)]
pub(crate) struct Status {
    pub(crate) polls: AtomicU64,
    pub(crate) poll_failures: AtomicU64,
    pub(crate) pushes: AtomicU64,
    pub(crate) resyncs: AtomicU64,
    pub(crate) connects: AtomicU64,
    pub(crate) blessings: AtomicU64,
    pub(crate) published: AtomicU64,
    pub(crate) outbox: AtomicU64,
    pub(crate) blessed: AtomicBool,
    /// 0: not known.
    pub(crate) generation: AtomicU64,
    texts: Mutex<Texts>,
}

#[derive(Default)]
struct Texts {
    server: Option<String>,
    position: Option<Position>,
    /// Where the newest of what was acknowledged here stands.
    published: Option<Position>,
    /// Why this node has no lease.
    line: Option<String>,
    /// Why this node publishes nothing.
    control: Option<String>,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Status {
    fn texts<T>(&self, with: impl FnOnce(&mut Texts) -> T) -> T {
        with(&mut self.texts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn connected(&self, server: &str) {
        count(&self.connects);
        self.texts(|texts| texts.server = Some(server.to_owned()));
    }

    /// The line has no lease to hope for.
    pub(crate) fn line_trouble(&self, why: String) {
        let news = self.texts(|texts| {
            let news = texts.line.as_deref() != Some(&why);
            texts.line = Some(why.clone());
            news
        });
        if news {
            tracing::warn!(why, "no lease from Redis: requests are refused when the last one is over");
        }
    }

    pub(crate) fn disconnected(&self) {
        self.texts(|texts| texts.server = None);
    }

    pub(crate) fn line_well(&self, position: Option<Position>) {
        let before = self.texts(|texts| {
            texts.position = position;
            texts.line.take()
        });
        if before.is_some() {
            tracing::info!("Redis gives leases again");
        }
    }

    pub(crate) fn control_trouble(&self, why: String) {
        let news = self.texts(|texts| {
            let news = texts.control.as_deref() != Some(&why);
            texts.control = Some(why.clone());
            news
        });
        if news {
            tracing::warn!(why, "changes are saved, and cannot be published to the fleet");
        }
    }

    pub(crate) fn control_well(&self) {
        if self.texts(|texts| texts.control.take()).is_some() {
            tracing::info!("changes are published to the fleet again");
        }
    }

    pub(crate) fn server(&self) -> Option<String> {
        self.texts(|texts| texts.server.clone())
    }

    pub(crate) fn position(&self) -> Option<Position> {
        self.texts(|texts| texts.position)
    }

    /// What was committed here so far stands there, or before.
    pub(crate) fn published(&self, position: Position) {
        self.texts(|texts| texts.published = Some(position));
    }

    pub(crate) fn last_published(&self) -> Option<Position> {
        self.texts(|texts| texts.published)
    }

    /// What keeps changes from going out.
    pub(crate) fn why_unpublished(&self) -> String {
        let said = self.texts(|texts| texts.control.clone());
        said.unwrap_or_else(|| "Redis has not answered in time".to_owned())
    }

    /// Why there is no lease to be had soon, as this node sees it: on a control node what keeps it from
    /// writing the log, on any other what is wrong with the log that it finds.
    pub(crate) fn is_hopeless(&self, control: bool) -> bool {
        self.texts(|texts| if control { texts.control.is_some() } else { texts.line.is_some() })
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        self.texts(|texts| texts.line.clone().or_else(|| texts.control.clone()))
    }
}
