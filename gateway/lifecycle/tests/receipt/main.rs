//! Receipts and offboarding cases through the public interface.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod cases;
mod consistency;
mod documents;
mod fixture;
mod keys;
mod properties;
mod sealing;
