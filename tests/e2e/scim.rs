//! People come, work and go by SCIM, through the real process: what a provider says on its own listener ends
//! what runs on another, and is still so after a crash.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "tests")]

#[path = "scim/client.rs"]
mod client;
#[path = "scim/elsewhere.rs"]
mod elsewhere;
#[path = "scim/leaving.rs"]
mod leaving;
#[path = "scim/listener.rs"]
mod listener;
