//! The directory as requests are judged by it, over a real store.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod fixture;
mod races;
mod random;
mod sees;
