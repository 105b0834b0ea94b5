//! How the store of sessions does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{SessionsError, SessionsHealth};

/// What the last calls came to.
#[derive(Default)]
pub(super) struct Status {
    trouble: Mutex<Option<String>>,
    failures: AtomicU64,
}

impl Status {
    pub(super) fn note(&self, error: Option<&SessionsError>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            Some(SessionsError::Unavailable { why } | SessionsError::Full { why }) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                if trouble.is_none() {
                    tracing::warn!(%why, "the records of sessions cannot be used: nobody can sign in");
                }
                *trouble = Some(why.clone());
            }
            Some(
                SessionsError::Damaged { .. }
                | SessionsError::Unfit { .. }
                | SessionsError::NoFleet
                | SessionsError::Open { .. },
            )
            | None => {
                if trouble.take().is_some() {
                    tracing::info!("the records of sessions can be used again");
                }
            }
        }
    }

    pub(super) fn health(&self, store: &'static str) -> SessionsHealth {
        SessionsHealth {
            store,
            trouble: self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            failures_total: self.failures.load(Ordering::Relaxed),
        }
    }
}
