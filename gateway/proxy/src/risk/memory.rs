//! What was learned is written beside the requests.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use doorward_context::risk::Change;
use doorward_model::UserId;
use doorward_model::limits::{RISK_REFRESH_SECONDS, RISK_WRITE_MILLIS};
use doorward_model::time::Clock;
use doorward_state::{Sessions, SessionsError};

use super::{Risks, Waiting};

/// How often somebody else may write in between before it is left for later.
const TRIES: usize = 3;
/// How long the end of the process waits for what is left.
const LAST_WORD: Duration = Duration::from_secs(3);

/// Writes what was learned, for ever. Without a store there is nothing to do.
pub async fn keep_remembering(risks: Arc<Risks>, clock: Clock) {
    let Some(store) = risks.store.clone() else { return };
    let mut failing = false;
    let often = RISK_REFRESH_SECONDS * 1000 / RISK_WRITE_MILLIS;
    for round in 1_u64.. {
        tokio::time::sleep(Duration::from_millis(RISK_WRITE_MILLIS)).await;
        risks.read_again(&store, &clock).await;
        // What only says again that something is known is not worth a write a second.
        let least = if round.is_multiple_of(often) { Change::Refreshed } else { Change::Learned };
        let failed = risks.write(&store, least, &clock).await;
        if failed.is_some() != failing {
            failing = failed.is_some();
            match failed {
                Some(e) => tracing::warn!(
                    error = %e,
                    "what is learned of people's risk cannot be written; it is tried again, and lost if this process ends"
                ),
                None => tracing::info!("what is learned of people's risk is written again"),
            }
        }
    }
}

/// Writes all that is left, before the process ends.
pub async fn remember(risks: &Risks, clock: &Clock) {
    let Some(store) = &risks.store else { return };
    let written = tokio::time::timeout(LAST_WORD, risks.write(store, Change::Refreshed, clock)).await;
    if !matches!(written, Ok(None)) {
        tracing::warn!("what was learned of people's risk a moment ago is lost: it could not be written");
    }
}

impl Risks {
    /// Writes all that waits and is worth it; what failed waits on. The first thing that went wrong, if any did.
    pub(super) async fn write(
        &self,
        store: &Sessions,
        least: Change,
        clock: &Clock,
    ) -> Option<SessionsError> {
        let mut due = self.due(least).into_iter();
        while let Some((whom, waiting)) = due.next() {
            if let Err(e) = self.write_one(store, &whom, &waiting, clock).await {
                self.numbers.unsaved.inc();
                // A store that does not answer is not asked about everybody.
                for (whom, waiting) in std::iter::once((whom, waiting)).chain(due) {
                    self.wait(&whom, &waiting.person, waiting.change);
                }
                return Some(e);
            }
        }
        None
    }

    /// Reads what other nodes may have learned of those who are here.
    pub(super) async fn read_again(&self, store: &Sessions, clock: &Clock) {
        let stale = std::mem::take(&mut *self.stale.lock().unwrap_or_else(PoisonError::into_inner));
        for whom in stale {
            let Some(person) = self.people.get(&whom) else { continue };
            match store.memory(&whom).await {
                Ok(found) => self.learn(&whom, &person, found, clock()),
                // Whoever comes again is looked up again.
                Err(e) => return self.unread(&person, &e.to_string(), clock()),
            }
        }
    }

    fn due(&self, least: Change) -> BTreeMap<UserId, Waiting> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (due, rest) = std::mem::take(&mut *waiting).into_iter().partition(|(_, w)| w.change >= least);
        *waiting = rest;
        due
    }

    async fn write_one(
        &self,
        store: &Sessions,
        whom: &UserId,
        waiting: &Waiting,
        clock: &Clock,
    ) -> Result<(), SessionsError> {
        let envelope = self.envelope(whom);
        for _ in 0..TRIES {
            let (closed, version) = {
                let kept = waiting.person.kept();
                (envelope.close(&kept.history), kept.version)
            };
            let Ok(bytes) = closed.inspect_err(|e| tracing::warn!(error = %e, "risk cannot be kept")) else {
                self.numbers.unsaved.inc();
                break;
            };
            if store.put_memory(whom, &bytes, version).await? {
                let mut kept = waiting.person.kept();
                kept.version = kept.version.max(version + 1);
                return Ok(());
            }
            // Another process wrote: both are put together, and written anew.
            let found = store.memory(whom).await?;
            if !waiting.person.kept().learn(found, &envelope, clock()) {
                // Only nodes with keys write over it. What was learned here is known here.
                self.numbers.unsaved.inc();
                return Ok(());
            }
        }
        self.wait(whom, &waiting.person, waiting.change);
        Ok(())
    }
}
