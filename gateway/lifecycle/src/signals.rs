//! Signals: what others say about our people, devices and sessions, and what we do about it.
//!
//! OpenID Shared Signals (SSF 1.0) with CAEP 1.0 and RISC 1.0, pushed (RFC 8935) or fetched (RFC 8936),
//! subjects by RFC 9493; OpenID Connect Back-Channel Logout 1.0; global token revocation, as Okta's
//! Universal Logout calls it; and a signed webhook for workflow tools (Standard Webhooks).
//!
//! ```text
//!  request ─▶ identity::message ─▶ Signal ─▶ decide ─▶ Verdict: acts, and the mark that orders them
//!  push       signature, issuer,   event     │  │  │
//!  logout     audience, kind       subject   │  │  └─ marks: an older "enable" never beats a newer "disable"
//!  poll                            time      │  └─ effect: a table, configurable for each stream
//!  webhook ── HMAC ── KillOrder ─▶ direct    └─ resolve: whom the subject means here
//! ```
//!
//! Cast: [`Signal`] is what a verified message says; [`decide()`] makes a [`Verdict`] of it; [`direct`] does
//! what logout, global token revocation and the kill webhook say themselves; [`Stream`] is
//! whose signals are taken and what they do; [`Contact`] how its transmitter is asked; [`Health`] knows whether a stream is alive; [`Remember`]
//! whether a message came before; [`Poll`] what is acknowledged; [`Reply`] what is answered.
//!
//! Invariants:
//! * A sender speaks only of the people that its configuration names.
//! * What takes access away may be told late, twice and by more than one: it is harmless. What gives
//!   it must be newer than whatever took it, must name its subject exactly, and lifts only what the same
//!   stream set.
//! * A message is acknowledged after its effect is durable, and not before.
//! * No revocation fails over what only explains it.
//! * What is not known here, event, format or member, has no effect and is recorded.
//!
//! Nothing here waits, speaks HTTP or owns a clock.

pub mod answer;
pub mod config;
pub mod contact;
pub mod decide;
pub mod direct;
pub mod effect;
pub mod event;
pub mod health;
pub mod poll;
pub mod read;
pub mod request;
pub mod resolve;
pub mod secret;
pub mod seen;
pub mod subject;
pub mod webhook;

pub use answer::{Asked, Reply, Took};
pub use config::{Stream, StreamSection, Webhook, WebhookSection, check_streams, check_webhooks};
pub use contact::Contact;
pub use decide::{Act, Marked, Marks, Outcome, Verdict, decide};
pub use effect::{Effect, Effects, Situation};
pub use event::SignalEvent;
pub use health::Health;
pub use poll::Poll;
pub use read::Signal;
pub use resolve::{About, Known, Whom};
pub use seen::{MessageId, Remember, SeenMessages, Sight};
pub use subject::Subject;
pub use webhook::{KillAction, KillOrder};
