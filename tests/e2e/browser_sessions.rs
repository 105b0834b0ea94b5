//! Sessions of browsers, by plain HTTP and with cookies that the tests seal themselves: what of a request they
//! change, from its acceptance to its end. How people get them is another matter: see `browser`.
//!
//! ```text
//!  taken      which cookie counts, for how long, where, and what it may not be mixed with
//!  renewed    the cookie comes anew with answers, and apps have no word in it
//!  refused    what becomes of a refusal: a page, a form, a script, a program
//!  stronger   policies demand a better sign-in
//!  pages      what pages of other sites cannot have done: S11, S18; S19, cookies
//!  runs       what runs with a session ends with it
//!  http2      the same by HTTP/2: cookies in crumbs, hosts that share a certificate
//!  ended      somebody signs out, or the provider does not renew the sign-in
//! ```
//! S9 and S15 have tests of their own: `gateway/identity/tests/identity/`, `signals`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

#[path = "browser_sessions/ended.rs"]
mod ended;
#[path = "browser_sessions/house.rs"]
mod house;
#[path = "browser_sessions/http2.rs"]
mod http2;
#[path = "browser_sessions/pages.rs"]
mod pages;
#[path = "browser_sessions/refused.rs"]
mod refused;
#[path = "browser_sessions/renewed.rs"]
mod renewed;
#[path = "browser_sessions/runs.rs"]
mod runs;
#[path = "browser_sessions/stronger.rs"]
mod stronger;
#[path = "browser_sessions/taken.rs"]
mod taken;
