//! The contract of every store, whichever it is.
//!
//! A backend passes by calling [`run`] with a function that gives a fresh, empty place. The cases
//! see only what [`Store`](doorward_state::Store) and
//! [`Revocations`](doorward_state::Revocations) promise, never how a backend does it.

mod handle;
mod store;

use std::any::Any;

use doorward_state::RevocationConfig;

use crate::fixture::Fixture;

/// A place where one store lives. Whoever opens its configuration twice opens one store.
pub(crate) struct Place {
    pub(crate) config: RevocationConfig,
    /// Whatever must live as long as the place: a folder, a server.
    pub(crate) _keep: Box<dyn Any>,
}

type Case = (&'static str, fn(&Place));

/// Runs every case, each in a place of its own.
pub(crate) fn run(fresh: impl Fn() -> Place) {
    for (name, case) in store::CASES.iter().chain(handle::CASES) {
        println!("contract: {name}");
        case(&fresh());
    }
}

#[test]
fn the_embedded_store_keeps_the_contract() {
    run(|| {
        let fixture = Fixture::new();
        Place { config: fixture.config("gw-1"), _keep: Box::new(fixture) }
    });
}
