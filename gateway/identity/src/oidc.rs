//! People sign in at their company's provider: OpenID Connect Core 1.0, the code flow (§3.1) with PKCE
//! (RFC 7636), by the best current practice of RFC 9700. This is the relying party: which address to send a
//! browser to, and what it proves that it comes back with a code.
//!
//! ```text
//!  Ask ─▶ authorization_url ─▶ browser ─▶ provider ─▶ browser ─▶ Returned ─▶ redeem ─▶ Proven ─▶ meets(Demand)?
//!         S256, state, nonce,                          state,      │  ▲
//!         max_age, acr_values                          code, iss   │  └── ID token: header, key, signature,
//!                                                                  ▼      iss, aud, azp, times, nonce, at_hash
//!                                                        token endpoint
//! ```
//!
//! Cast: [`Providers`] are the issuers with a table `[issuer.sign_in]`; [`Ask`] is what a provider is asked,
//! [`Begun`] what is remembered of it, [`Returned`] what a browser brings back; [`Proven`] is what came out,
//! with private fields, and [`Refreshed`] what a refresh token brings, which is never a sign-in.
//!
//! Invariants:
//! * An ID token passes the code that bearer tokens pass, with the issuer's keys and algorithms. No token of
//!   another kind is one, and it is none of them: type, audience, `nonce` and claims tell them apart.
//! * What was asked for proves nothing. `acr`, `amr`, `acrs` and `auth_time` of a signed token do, and what
//!   they do not say is not proved.
//! * An answer of another provider than the one that was asked ends the attempt (RFC 9207), before its code
//!   goes anywhere.
//! * A refresh keeps how and when somebody signed in. Only a provider that says `invalid_grant`, or speaks of
//!   another person, takes a session away; one that cannot be reached, or says nonsense, does not.
//! * Codes, tokens, verifiers and secrets stand in no error, log line or debug output; nothing follows a
//!   redirect; every answer is bounded in size and time.
//!
//! It keeps nothing: what is remembered between the two halves of a sign-in is sealed elsewhere.

mod answer;
mod ask;
mod client;
mod endpoints;
mod exchange;
mod failure;
mod form;
mod id_token;
mod proof;
mod providers;
mod returned;

pub use self::ask::{Ask, Begun, Prompt};
pub use self::failure::{OidcError, RefreshError};
pub use self::proof::{Proven, Refreshed};
pub use self::providers::{ProviderStatus, Providers, Random};
pub use self::returned::{ProviderError, Returned};
