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
//!                    NotPresented   │            device, risk, scopes
//!                                   ▼
//!        open ─▶ issuer by `iss` ─▶ header ─▶ key ─▶ signature ─▶ claims ─▶ mapping
//!                of those configured          │
//!                                             ▼
//!                             KeyRing ◀── discovery, address or file
//! ```
//!
//! Cast: [`Credential`] is what was presented; [`Verifier`] checks it; [`Verified`] is the proof, with
//! private fields and one place that builds it; [`config::Issuer`] is whom we believe.
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
//! * A key that its issuer took back stops verifying with the next fetch, remembered tokens included.
//! * Strangers can make us fetch at most once a minute for each issuer, whatever they send. A clock
//!   that is set back makes keys due, never fresh for ever.
//! * No refusal, log line or debug output holds a token.
//!
//! It never asks whether a token was revoked (that is `state`), never decides what someone may do
//! (that is `policy`), never owns a clock, and never sends a token anywhere.

mod algorithm;
mod bearer;
mod cache;
mod claims;
pub mod config;
mod credential;
mod header;
mod json;
mod keys;
mod mapping;
mod times;
mod words;

pub use bearer::{Verified, Verifier};
pub use config::{Issuer, IssuerSection};
pub use credential::Credential;
pub use keys::{ClientError, KeyClient, KeyStatus};
pub use times::TokenTimes;
