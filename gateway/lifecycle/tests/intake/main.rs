//! Provisioning clients, recorded and hostile, against the service over HTTP, with a real store.
//!
//! `okta.rs` has what O1–O14 say beyond documents, `entra.rs` E1–E20 and `own.rs` P1–P10: status codes, looks
//! by index, what was written, and who may see it; `sequences.rs` goes through what each client sends from the first
//! look-up to the last deletion. `lives.rs` has what follows for access. What documents become is shown in `../scim`; that streams
//! are cut (P11) is shown with the whole gateway, in `tests/e2e/scim.rs`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop with a message"
)]

#[path = "../service/witness.rs"]
#[expect(dead_code, reason = "nobody opens a receipt here")]
mod witness;
mod world;

mod connections;
mod documented;
mod entra;
mod leaving;
mod lists;
mod lives;
mod okta;
mod own;
mod sequences;
mod terms;
