//! What of Redis comes into force in a node, and when.
//!
//! What holds for a target does at once, and is merged. Records do when all of a call is there, and of two
//! versions of one the higher holds. Only where they are from another history than what is known, because
//! the directory is another one or was put back, a whole snapshot takes the place of all of them.

use crate::fleet::ledger::Ledger;
use crate::fleet::pack::Item;
use crate::records::{Record, Version};
use crate::revocations::shared::Shared;

/// Kept for as long as the process, as the position in the log is.
#[derive(Debug, Default)]
pub(crate) struct Taking {
    /// Records of a call of which more is to come.
    begun: Vec<Record>,
    /// What is known; once everything was read.
    known: Option<Known>,
}

/// Of what the records are that are known.
#[derive(Clone, Debug)]
struct Known {
    history: String,
    /// How far they go.
    records: Version,
    /// Under which generation the log was that said so.
    generation: u64,
}

/// Where the records of a snapshot go.
#[derive(Debug)]
pub(crate) enum Into {
    /// Beside what is known.
    Beside,
    /// In the place of all that is known, once they are complete.
    Place(Vec<Record>),
}

impl Taking {
    /// Takes entries in their order.
    pub(crate) fn take(&mut self, shared: &Shared, items: impl IntoIterator<Item = Item>) {
        for item in items {
            match item {
                Item::Target(held) => _ = shared.take_in(&held.target, (held.entry, held.id), 0),
                Item::Records { records, more } => {
                    self.begun.extend(records);
                    if !more {
                        shared.records.merge(std::mem::take(&mut self.begun));
                    }
                }
            }
        }
    }

    /// How a snapshot is to be taken on this node. One that has the directory itself never drops what that says.
    /// `None`: it lacks what is known, and no control node has compared it with the directory since. Then not
    /// the directory was put back, but this server.
    pub(crate) fn how(&self, ledger: &Ledger, has_directory: bool) -> Option<Into> {
        let Some(known) = self.known.as_ref().filter(|_| !has_directory) else { return Some(Into::Beside) };
        if known.history != ledger.history {
            return Some(Into::Place(Vec::new()));
        }
        if known.records <= ledger.records {
            return Some(Into::Beside);
        }
        (ledger.generation > known.generation).then(|| Into::Place(Vec::new()))
    }

    /// A snapshot was read to its end. What of a call had begun is in it, or comes again behind it.
    pub(crate) fn loaded(&mut self, shared: &Shared, into: Into) {
        self.begun = Vec::new();
        match into {
            Into::Beside => {}
            Into::Place(records) => {
                tracing::warn!(
                    records = records.len(),
                    "the directory is another one, or was put back: what was known of people is replaced"
                );
                shared.records.replace(records);
                self.known = None;
            }
        }
    }

    /// Nothing is missing.
    pub(crate) fn caught_up(&mut self, ledger: &Ledger) {
        let Ledger { records, generation, .. } = *ledger;
        match &mut self.known {
            Some(known) if known.history == ledger.history => {
                (known.records, known.generation) = (records, generation);
            }
            Some(_) | None => {
                self.known = Some(Known { history: ledger.history.clone(), records, generation })
            }
        }
    }
}

impl Into {
    /// Takes an entry of the snapshot.
    pub(crate) fn take(&mut self, shared: &Shared, item: Item) {
        match (item, self) {
            (Item::Target(held), _) => _ = shared.take_in(&held.target, (held.entry, held.id), 0),
            (Item::Records { records, .. }, Self::Beside) => shared.records.merge(records),
            (Item::Records { records, .. }, Self::Place(all)) => all.extend(records),
        }
    }
}
