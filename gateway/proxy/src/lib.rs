//! The policy enforcement point (PEP of NIST SP 800-162): between the network and the apps.
//!
//! The only crate that imports Pingora. One request is one exchange:
//!
//! ```text
//!  accept → identify → enrich → revocation → authorize → forward → record      pipeline/
//!    │         │          │          │            │          │
//!  Accepted  Identified Enriched  Unrevoked     Permit    an upstream
//!
//!  gate       one future per exchange, ended from outside when somebody is cut off
//!  inflight   what runs, by everything that could end it
//!  review     what runs is decided anew when what its decision rests on has changed
//!  people     whose word counts about who asks: the token's, or the directory's
//!  joining    whether whoever the directory does not know joins
//!  answer     the one place where a refusal becomes a page, a problem document or a status
//! ```
//!
//! The cast: [`House`] holds what all stages work with, [`Door`] hangs the stages into Pingora's
//! filters, [`Inflight`] ends what runs, [`serve`] listens.
//!
//! Invariants:
//! * without a permit no upstream can be reached: [`pipeline::authorize::Permit`] has private
//!   fields and one builder;
//! * the route is resolved once, on the normal form of the path, and that path goes upstream;
//! * an exchange is registered before it is checked, and leaves when it ends, however it ends;
//! * what was let in goes on only as long as it would be let in;
//! * what a client may not say is stripped on every route, before our own word is added;
//! * every exchange is recorded once, also when its future is dropped.
//!
//! What it never does: decide by itself who may pass, keep state between requests but caches of
//! signed assertions, or answer an error of ours with its details.

pub mod accounts;
pub mod answer;
pub mod assertion;
pub mod config;
mod devices;
mod gate;
pub mod headers;
pub mod inflight;
pub mod joining;
pub mod listen;
pub mod metrics;
pub mod path;
pub mod people;
pub mod pipeline;
pub mod review;
pub mod risk;
pub mod routes;
pub mod serve;
pub mod sightings;
pub mod sign_in;
mod upstream;

pub use accounts::{Accounts, Used};
pub use inflight::Inflight;
pub use people::{DirectoryStatus, People};
pub use pipeline::{Door, House, Ticks};
pub use review::Review;
pub use routes::{RouteTable, ServedApp, find_route};
pub use sightings::{Sightings, keep_noting, sightings};
pub use sign_in::{SignIn, SignInNumbers};
pub use upstream::UpstreamError;

use std::sync::Arc;

/// Sets up every app's upstream and the table that leads to them.
///
/// # Errors
/// When the file with an app's roots is not one.
pub fn route_table(apps: Vec<config::App>) -> Result<RouteTable, UpstreamError> {
    let served = apps
        .into_iter()
        .map(|app| {
            let upstream = upstream::Upstreams::new(
                app.id.clone(),
                app.hosts.first().cloned().unwrap_or_default(),
                app.upstream.clone(),
            )?;
            Ok(Arc::new(ServedApp { app, upstream }))
        })
        .collect::<Result<Vec<_>, UpstreamError>>()?;
    Ok(RouteTable::new(served))
}
