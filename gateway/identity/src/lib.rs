//! Who is asking?
//!
//! Verifies what a request presents: JSON Web Tokens (JWT, RFC 7519) as OAuth 2.0 bearer tokens
//! (RFC 6750, RFC 9068), by the best current practice of RFC 8725, with the keys of configured
//! issuers (JWK, RFC 7517; OpenID Connect Discovery). The only importer of `jsonwebtoken` for
//! verification. A reader of NIST SP 800-162 finds here where the attributes of the subject come from.
//!
//! ```text
//!  Authorization ──▶ Credential ──▶ Verifier ──▶ Verified
//!                    Bearer         │ cached     principal, session, assurance,
//!                    Service        │            device, risk, scopes
//!                    NotPresented   │
//!                                   ▼
//!        open ─▶ issuer by `iss` ─▶ header ─▶ key ─▶ signature ─▶ claims ─▶ mapping
//!                of those configured          │
//!                                             ▼
//!                             KeyRing ◀── discovery, address or file
//! ```
//!
//! A token that was made here for a service account is not verified but known: [`own`] says what one looks
//! like and what is kept of it, and the directory (the crate `state`) has whose it is.
//!
//! A browser that signed in brings a cookie, which is opened and not looked up: [`session`] says what is in it, [`seal`]
//! why nobody else can make one, and what comes of it is [`Verified`], too. How a browser gets there:
//!
//! ```text
//!  app's host ─ attempt::Ticket ─▶ sign-in host ─ attempt::Attempt ─▶ provider
//!      ▲                                │ oidc ◀──── code ────────────────┘
//!      └─ target ◀─ attempt::Enter ─────┘
//! ```
//!
//! What servers say to each other about people comes by another road and through the same strict
//! layer: [`message`].
//!
//! Cast: [`Credential`] is what was presented; [`Verifier`] checks it; [`Verified`] is the proof, with
//! private fields and one place that builds it; [`config::Issuer`] is whom we believe,
//! [`config::Sender`] whose messages we take.
//!
//! Invariants:
//! * What is presented and bad never becomes "nothing was presented".
//! * `iss` only chooses among the issuers that are configured. Everything after that, algorithm, key,
//!   audience and the meaning of claims, is that issuer's alone.
//! * No claim is believed before the signature holds, and none that could be read in two ways.
//! * Absent proves nothing; of the wrong kind, or left out to be fetched elsewhere, refuses. An e-mail
//!   address never says who someone is.
//! * A token that its issuer bound to a key is never taken from whoever bears it.
//! * No token outlives the memory of its revocation.
//! * What was sealed for one host or purpose is nothing at another, and where a browser goes back to was a request to
//!   a host of ours.
//! * A key that its issuer took back stops verifying with the next fetch, remembered tokens included.
//! * Strangers can make us fetch at most once a minute for each issuer, whatever they send. A clock
//!   that is set back makes keys due, never fresh for ever.
//! * No refusal, log line or debug output holds a token.
//!
//! It never asks whether a token was revoked (that is `state`), never decides what someone may do
//! (that is `policy`), never owns a clock, and never sends a token to anybody but the provider that gave it.

mod algorithm;
pub mod attempt;
mod bearer;
mod cache;
pub mod certificate;
mod claims;
pub mod config;
pub mod cookies;
mod credential;
mod header;
pub mod json;
mod keys;
mod mapping;
pub mod message;
pub mod oidc;
pub mod own;
pub mod owner_only;
mod pack;
pub mod seal;
mod secret;
pub mod session;
pub mod target;
mod times;
mod words;

pub use bearer::{Verified, Verifier};
pub use certificate::{ClientCertificate, ClientTrust};
pub use config::{Issuer, IssuerSection, Sender, SenderSection};
pub use credential::Credential;
pub use keys::{ClientError, KeyClient, KeyStatus, http_client, may_be_fetched, ssf_configuration_of};
pub use message::MessageVerifier;
pub use own::ServiceToken;
pub use secret::Secret;
pub use session::{BrowserSession, OpenedSessions};
pub use target::ReturnTarget;
pub use times::TokenTimes;
pub use words::shown;
