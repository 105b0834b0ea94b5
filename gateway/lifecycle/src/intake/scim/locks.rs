//! Who is at work on a resource.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// When so many are known, those that nobody holds are forgotten.
const KNOWN_MAX: usize = 1024;

/// One turn for each id.
#[derive(Default)]
pub(super) struct Locks(Mutex<HashMap<String, Arc<Turn<()>>>>);

impl Locks {
    /// Waits until nobody else in this process is at work on it.
    pub(super) async fn of(&self, id: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= KNOWN_MAX {
                known.retain(|_, turn| Arc::strong_count(turn) > 1);
            }
            Arc::clone(known.entry(id.to_owned()).or_default())
        };
        turn.lock_owned().await
    }
}
