//! Folders of policies, good and bad, through the public interface.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

mod crashers;
mod decisions;
mod findings;
mod hazards;
mod reload;
mod shipped;
