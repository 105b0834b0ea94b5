//! Two threads that keep a process current: the follower reads what other processes wrote to
//! the same store, and the pulse notices when the follower does not come back from reading.
//!
//! Two processes share one store while a new version takes over from an old one: the new one
//! takes revocations, and the old one must cut the streams that it still carries.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use doorward_model::limits::{REVOCATION_PAGE_ROWS_MAX, REVOCATION_POLL_MILLIS};

use crate::error::StoreError;
use crate::revocations::shared::Shared;
use crate::store::{Seq, Store};

const POLL: Duration = Duration::from_millis(REVOCATION_POLL_MILLIS);

/// Reads the log until `stop` is closed.
pub(crate) fn follow(shared: &Shared, mut store: Store, mut seen: Seq, stop: &Receiver<()>) {
    let _over = Over(shared);
    loop {
        let asked = shared.read_begins();
        // Taken before reading: whatever was acknowledged before this instant is read now.
        let as_of = shared.time.clock();
        // So that the time of the marks has seen the clock before someone sets it back.
        shared.time.now();
        match catch_up(shared, &mut store, &mut seen) {
            Ok(()) => shared.read_succeeded(as_of, asked),
            Err(error) => shared.read_failed(error.to_string()),
        }
        if stopped(stop) {
            return;
        }
    }
}

/// However a thread ends, by a panic too: without it nothing is known to be current.
struct Over<'a>(&'a Shared);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.no_longer_current();
    }
}

fn catch_up(shared: &Shared, store: &mut Store, seen: &mut Seq) -> Result<(), StoreError> {
    loop {
        let rows = store.read_after(*seen, REVOCATION_PAGE_ROWS_MAX)?;
        shared.absorb(&rows);
        if let Some(last) = rows.last() {
            *seen = last.seq;
        }
        if rows.len() < REVOCATION_PAGE_ROWS_MAX {
            return Ok(());
        }
    }
}

/// Beats until `stop` is closed. Does no I/O, so that it beats on when the disk hangs.
pub(crate) fn pulse(shared: &Arc<Shared>, stop: &Receiver<()>) {
    let _over = Over(shared);
    while !stopped(stop) {
        shared.beat();
    }
}

fn stopped(stop: &Receiver<()>) -> bool {
    match stop.recv_timeout(POLL) {
        Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
        Err(RecvTimeoutError::Timeout) => false,
    }
}
