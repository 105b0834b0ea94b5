//! Policies as signed files: held, brought to some and then to everybody, gone back from, pulled by nodes; and what
//! happens when somebody changes a byte, a process is killed, a disk is full, or the source is away.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "rollout/damaged.rs"]
mod damaged;
#[path = "faults/disk.rs"]
mod disk;
#[path = "rollout/fleet.rs"]
mod fleet;
#[path = "rollout/held.rs"]
mod held;
#[path = "rollout/made.rs"]
mod made;
#[path = "rollout/pulled.rs"]
mod pulled;
#[path = "rollout/share.rs"]
mod share;
#[path = "rollout/struck.rs"]
mod struck;
