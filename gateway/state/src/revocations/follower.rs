//! Two threads that keep a process current: the follower reads what other processes wrote to
//! the same store, rows of the log and records, and the pulse notices when the follower does not come back from reading.
//!
//! Two processes share one store while a new version takes over from an old one: the new one
//! takes revocations, and the old one must cut the streams that it still carries.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use doorward_model::limits::{REVOCATION_PAGE_ROWS_MAX, REVOCATION_POLL_MILLIS};

use crate::error::StoreError;
use crate::records::Version;
use crate::revocations::shared::Shared;
use crate::store::{Seq, Store};

const POLL: Duration = Duration::from_millis(REVOCATION_POLL_MILLIS);

/// Reads the log and the records until the process is over.
pub(crate) fn follow(
    shared: &Shared,
    mut store: Store,
    (mut seen, mut records): (Seq, Version),
    stop: &Receiver<()>,
) {
    let _over = Over(shared);
    loop {
        let asked = (shared.read_begins(), shared.records.reads.begins());
        let look = shared.looks.begin();
        // Taken before reading: whatever was acknowledged before this instant is read now.
        let as_of = shared.time.clock();
        // So that the time of the marks has seen the clock before someone sets it back.
        shared.time.now();
        // The log first: nobody who was cut off waits for a large change of the directory.
        let read = catch_up(shared, &mut store, &mut seen)
            .and_then(|()| catch_up_records(shared, &mut store, &mut records));
        match read {
            Ok(()) => {
                shared.records.reads.succeeded(as_of, asked.1);
                shared.read_succeeded(as_of, asked.0);
                shared.looks.succeeded(look);
            }
            Err(error) => {
                shared.records.reads.failed(error.to_string());
                shared.read_failed(error.to_string());
            }
        }
        if stopped(shared, stop) {
            return;
        }
    }
}

/// Reads the records until the process is over. Log and records come through Redis too, and the lease alone says
/// what is current: a database that was deposed without knowing it would answer here all the same. What is
/// read here is there while Redis is away, and nothing is over when reading fails.
pub(crate) fn follow_records(shared: &Shared, mut store: Store, mut seen: Version, stop: &Receiver<()>) {
    loop {
        let asked = shared.records.reads.begins();
        let as_of = shared.time.clock();
        match catch_up_records(shared, &mut store, &mut seen) {
            Ok(()) => shared.records.reads.succeeded(as_of, asked),
            Err(error) => shared.records.reads.failed(error.to_string()),
        }
        if stopped(shared, stop) {
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

/// Reads the records behind `seen`, to the end.
pub(super) fn catch_up_records(
    shared: &Shared,
    store: &mut Store,
    seen: &mut Version,
) -> Result<(), StoreError> {
    loop {
        let page = store.records_after(*seen, REVOCATION_PAGE_ROWS_MAX)?;
        shared.records.merge(page.records);
        shared.records.has_followed(page.up_to);
        *seen = page.up_to;
        if !page.more {
            return Ok(());
        }
    }
}

/// Beats until the process is over. Does no I/O, so that it beats on when the disk hangs.
pub(crate) fn pulse(shared: &Arc<Shared>, stop: &Receiver<()>) {
    let _over = Over(shared);
    while !stopped(shared, stop) {
        shared.beat();
    }
}

/// Waits for the next time, or until somebody wants to know.
fn stopped(shared: &Shared, wakes: &Receiver<()>) -> bool {
    match wakes.recv_timeout(POLL) {
        // Whatever woke it: one look serves all who asked until now.
        Ok(()) => while wakes.try_recv().is_ok() {},
        Err(RecvTimeoutError::Timeout) => {}
        Err(RecvTimeoutError::Disconnected) => return true,
    }
    shared.is_over()
}
