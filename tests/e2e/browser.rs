//! People with a real Chromium, at a real OpenID provider.
//!
//! ```text
//!  provider    the provider itself: what it proves, and how it fails
//!  screen      Chromium itself: what it shows, and whom it trusts
//!  sign_in     once for every app, two tabs at once, scripts, somebody whose address is not verified
//!  step_up     more is proved where a policy wants more, and no weak proof is taken for it
//!  sign_out    by the person, at every app and at the provider
//!  leaving     what is open ends, and so does everything else
//! ```
//!
//! What a person sees is kept under `target/screenshots/`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests, which own a clock"
)]

#[path = "browser/hand.rs"]
mod hand;
#[path = "browser/leaving.rs"]
mod leaving;
#[path = "browser/provider.rs"]
mod provider;
#[path = "browser/screen.rs"]
mod screen;
#[path = "browser/sign_in.rs"]
mod sign_in;
#[path = "browser/sign_out.rs"]
mod sign_out;
#[path = "browser/step_up.rs"]
mod step_up;
