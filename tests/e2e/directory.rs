//! What the directory says counts with the next request: roles, groups, grants, who is known and who
//! is let in at all, and who answers for a machine. The token stays the same all the while.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "directory/counts.rs"]
mod counts;
#[path = "directory/house.rs"]
mod house;
#[path = "directory/refuses.rs"]
mod refuses;
