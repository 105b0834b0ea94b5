//! Folders of policies, good and bad, through the public interface.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;
mod words;

mod crashers;
mod decisions;
mod explained;
mod findings;
mod hazards;
mod install;
mod reload;
mod report_only;
mod shipped;
