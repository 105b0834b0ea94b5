//! The console over a real listener: who gets in, what is answered, and what happens when the
//! store or the audit log cannot take it.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod access;
mod connections;
mod debts;
mod described;
mod explained;
mod failing;
mod fixture;
mod fleet;
mod groups;
mod hostile;
mod machines;
mod ordinary;
mod people;
mod receipts;
mod reviews;
mod sessions;
mod tokens;
