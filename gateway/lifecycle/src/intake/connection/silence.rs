//! Sources that do not come any more. A provider that changes nothing and one that lost its token look alike, and
//! whoever leaves there keeps their access here until somebody notices. How long a source may stay away is
//! the operator's to know: Entra ID comes every 40 minutes, Okta only when something changes.

use std::collections::BTreeSet;
use std::time::Duration;

use doorward_model::UnixMillis;
use doorward_model::directory::ConnectionId;
use doorward_state::Revocations;

use super::{Connection, ConnectionError, Connections};
use crate::service::{Lifecycle, Silent};

/// Listens for the sources of one store.
pub struct Listener {
    connections: Connections,
    lives: Lifecycle,
    silent_max: Duration,
    /// Who was silent at the last look. None: nobody looked yet.
    silent: Option<BTreeSet<ConnectionId>>,
}

impl Listener {
    /// One for the connections of `store`, each of which may stay away for `silent_max`.
    #[must_use]
    pub const fn new(store: Revocations, lives: Lifecycle, silent_max: Duration) -> Self {
        Self { connections: Connections::new(store), lives, silent_max, silent: None }
    }

    /// Looks once: who did not come for too long is owed, and who came again is not any more. One that nobody may
    /// use is not waited for.
    ///
    /// # Errors
    /// When the store cannot be read, or a record is damaged.
    pub async fn look(&mut self, now: UnixMillis) -> Result<(), ConnectionError> {
        let all = self.connections.list().await?;
        let mut silent = BTreeSet::new();
        for connection in &all {
            let Some(heard_at) = heard_at(connection) else { continue };
            if now.since(heard_at) < self.silent_max {
                continue;
            }
            silent.insert(connection.id.clone());
            if self.silent.as_ref().is_some_and(|before| before.contains(&connection.id)) {
                continue;
            }
            let hours = self.silent_max.as_secs() / 3600;
            tracing::warn!(connection = %connection.id, hours, "a source of people did not come for longer than it may");
            let cause = format!("it did not come for {hours} h: see whether its token is still good there");
            self.lives.owe_silence(Silent::Source(&connection.id), heard_at, cause).await;
        }
        // Whoever was silent and is gone is waited for no longer; the first look settles what the process before left.
        let known = all.into_iter().map(|connection| connection.id);
        let before: BTreeSet<ConnectionId> = self.silent.take().unwrap_or_else(|| known.collect());
        for id in before.difference(&silent) {
            self.lives.settle_silence(Silent::Source(id)).await;
        }
        self.silent = Some(silent);
        Ok(())
    }
}

/// When somebody last came, or was last let.
fn heard_at(connection: &Connection) -> Option<UnixMillis> {
    let tokens = connection.tokens.iter();
    let newest =
        tokens.map(|token| token.last_used_at.map_or(token.created_at, |at| at.max(token.created_at)));
    newest.max()
}
