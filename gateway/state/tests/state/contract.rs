//! The contract of every store, whichever it is.
//!
//! A backend passes by calling [`run`] with a function that gives a fresh, empty place. The cases
//! see only what [`Store`](doorward_state::Store) and
//! [`Revocations`](doorward_state::Revocations) promise, never how a backend does it.

mod commits;
mod handle;
mod outbox;
pub(crate) mod records;
pub(crate) mod store;

use std::any::Any;
use std::sync::Mutex;

use doorward_state::RevocationConfig;

use crate::fixture::Fixture;
use crate::postgres::Base;

/// A place where one store lives. Whoever opens its configuration twice opens one store.
pub(crate) struct Place {
    pub(crate) config: RevocationConfig,
    /// Whatever must live as long as the place: a folder, a server.
    pub(crate) _keep: Box<dyn Any>,
}

type Case = (&'static str, fn(&Place));

/// Runs every case, each in a place of its own, so many of them side by side: they wait nearly all the time.
pub(crate) fn run(at_once: usize, fresh: impl Fn() -> Place + Sync) {
    let stores = store::CASES.iter().chain(outbox::CASES).chain(records::CASES);
    let cases = Mutex::new(stores.chain(handle::CASES).chain(commits::CASES));
    let next = || cases.lock().unwrap().next();
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some((name, case)) = next() {
                    println!("contract: {name}");
                    case(&fresh());
                }
            });
        }
    });
}

#[test]
fn the_embedded_store_keeps_the_contract() {
    run(3, || {
        let fixture = Fixture::new();
        Place { config: fixture.config("gw-1"), _keep: Box::new(fixture) }
    });
}

#[test]
fn postgresql_keeps_the_contract() {
    run(1, || {
        let base = Base::new();
        Place { config: base.config("gw-1"), _keep: Box::new(base) }
    });
}
