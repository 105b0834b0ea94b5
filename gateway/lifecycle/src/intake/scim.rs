//! SCIM 2.0 over HTTP (RFC 7644): the service that provisioning clients call.
//!
//! ```text
//!  request ─► door ─────────► endpoint ─► desk ─► mapping ─► hands ─► one transaction
//!             token, pace,    which, 405   │  find, change    person, group, memberships,
//!             body bound                   │  document        what the source said, revocations
//!                                          ├─ many: lists, /.search      roster, keys
//!                                          ├─ bulk
//!                                          └─ discovery
//!  outcome ─► answer: the one place where it becomes HTTP
//! ```
//!
//! The cast: [`Scim`] is the service, [`router`] its face; `desk` does one resource (`people`, `groups`), `many`
//! several, `paper` is what is kept of a resource in the words of its source, `mapping` what it means here.
//!
//! Invariants:
//! * a connection finds, lists, counts and names its own resources only;
//! * an answer that says done is true after a crash, and on every node that can be reached;
//! * a request is done as a whole or not at all, also when its client goes away; but whoever leaves leaves,
//!   also where the rest of a request is refused;
//! * whatever is wrong with one record is a 4xx in the words of SCIM;
//! * what the source does not say does not change, and what it says lifts no hold.
//!
//! What it never does: decide who may have access, keep a password, or show one connection another.

mod answer;
mod bulk;
mod computed;
mod desk;
mod door;
mod endpoint;
mod groups;
mod hands;
mod ids;
mod leaving;
mod locks;
mod many;
pub mod mapping;
mod pace;
mod paper;
mod people;
mod roster;
mod serve;

use std::fmt;
use std::sync::Arc;

use doorward_model::time::Clock;
use doorward_state::Revocations;
use tokio::sync::Semaphore;

use super::connection::Connections;
use crate::service::Lifecycle;

pub use door::BODY_SECONDS_MAX;
pub(crate) use door::Knocks;
pub use endpoint::ROOT;
pub use many::SCAN_RESOURCES_MAX;
pub use pace::{AT_ONCE, BURST, PER_SECOND};
pub use serve::router;

/// Put among the extensions of a request by whoever took its connection: told once the request has
/// shown a good token, so that this connection gives way to nobody.
#[derive(Clone)]
pub struct Welcome(Arc<dyn Fn() + Send + Sync>);

impl Welcome {
    /// Tells it to `hears`.
    #[must_use]
    pub fn new(hears: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(hears))
    }

    pub(super) fn known(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Welcome(…)")
    }
}

/// The service.
pub struct Scim {
    store: Revocations,
    connections: Connections,
    clock: Clock,
    public_url: Option<String>,
    scheme: &'static str,
    roster: roster::Roster,
    lives: Lifecycle,
    ids: ids::Ids,
    paces: pace::Paces,
    knocks: door::Knocks,
    locks: locks::Locks,
    scans: Semaphore,
}

impl Scim {
    /// A service that changes lives by `lives`, whose store is `store`. `public_url` is what clients call, such as `https://scim.example.com`;
    /// without it, answers name the host that the client named, and `https` where `tls` is spoken.
    ///
    /// None where the directory is not: a gateway node behind Redis.
    #[must_use]
    pub fn new(
        lives: Lifecycle,
        store: Revocations,
        clock: Clock,
        public_url: Option<String>,
        tls: bool,
    ) -> Option<Self> {
        if !store.has_directory() {
            return None;
        }
        let roster = roster::Roster::follow(&store.records());
        Some(Self {
            connections: Connections::new(store.clone()),
            lives,
            store,
            clock,
            public_url,
            scheme: if tls { "https" } else { "http" },
            roster,
            ids: ids::Ids::default(),
            paces: pace::Paces::default(),
            knocks: door::Knocks::default(),
            locks: locks::Locks::default(),
            scans: Semaphore::new(1),
        })
    }
}
