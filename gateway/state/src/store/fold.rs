//! Folds rows of the log, sorted by target, into what holds for each target.

use crate::store::{Held, Row};

/// Holds one page, whatever number of rows a target has.
pub(super) struct Fold {
    held: Vec<Held>,
    limit: usize,
}

impl Fold {
    pub(super) const fn new(limit: usize) -> Self {
        Self { held: Vec::new(), limit }
    }

    /// Takes the next row. False when the page is full and the row belongs to the next one.
    pub(super) fn take(&mut self, row: Row) -> bool {
        let full = self.held.len() >= self.limit;
        match self.held.last_mut() {
            Some(held) if held.target == row.target => {
                held.entry = held.entry.merge(row.entry);
                // As in `revocations::shared::join`: named after what last took access away.
                if !row.action.is_grant() {
                    held.id = row.id;
                }
            }
            Some(_) | None if full => return false,
            Some(_) | None => self.held.push(Held { target: row.target, entry: row.entry, id: row.id }),
        }
        true
    }

    pub(super) fn done(self) -> Vec<Held> {
        self.held
    }
}
