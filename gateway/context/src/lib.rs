//! What do we know about this request, beside who asks: the environment attributes of NIST
//! SP 800-162, from the connection, the headers of trusted proxies, GeoIP files and the clock.
//!
//! ```text
//!  bytes of a connection ─► proxy_protocol ─► peer ─┐
//!                                                   ▼
//!  X-Forwarded-For / Forwarded ───────────► network::TrustedProxies ─► client address
//!                                                                          │
//!  named networks, GeoIP files ───────────────────────► place::Places ─► model::Place
//!  the instant, the configured time zone ─────────────► calendar::Calendar ─► Moment
//!  what is remembered of a person, the place, the device ──► risk::History ─► model::Risk
//! ```
//!
//! The cast, in the order of a request: [`proxy_protocol`] reads what a load balancer says before
//! the first byte of HTTP; [`network`] finds the client behind the proxies that are trusted;
//! [`place`] says where that address is; [`calendar`] says what time it is for policies; [`risk`] says how
//! odd it looks for this person. [`config`] turns the written sections of the configuration into these.
//!
//! What always holds:
//! * Nobody is trusted by default. A header counts only when the connection's peer is trusted, and
//!   only up to the first address that is not.
//! * What cannot be told is a refusal (the client address) or has its own value (the place: `ZZ`,
//!   `None`, [`Presence::Unknown`](doorward_model::Presence)); it is never guessed.
//! * An IPv4 address inside an IPv6 one is that IPv4 address, everywhere.
//!
//! What it never does: wait, read a clock, open a connection. Files are read in one place only,
//! when [`place::Places`] opens or reloads its GeoIP files.

pub mod proxy_protocol;

pub mod network;

pub mod place;

pub mod calendar;

pub mod risk;

pub mod config;

mod forwarded;

pub use calendar::{Calendar, Moment};
pub use network::{ClientAddressHeader, NamedNetworks, TrustedProxies};
pub use place::Places;
