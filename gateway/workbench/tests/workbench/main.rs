//! The workbench from outside: its tools on whole folders of policies.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod bounds;
mod broken;
mod cedar_format;
mod differential;
mod formats;
mod layout;
mod lints;
mod prove;
mod reach;
mod release;
mod replay;
mod shipped;
mod solver;
mod third_party;
mod trial;
mod whole;
