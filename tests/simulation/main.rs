//! The protocol by which a revocation reaches every gateway of a fleet through Redis, as a model without Redis,
//! without I/O and without clocks: every order in which things can happen is tried, within bounds.
//!
//! ```text
//!  directory ──outbox──► publisher ──write──► redis 0 ──replicates──► redis 1
//!  (the truth)  │                              │  ▲                     ▲
//!      ▲        └─► second publisher, asleep ──┘  └──── reconciler ─────┘
//!      └────────────── read, generation ────────────────────┘
//!                          gateway ◄── poll (lease) and push ── redis 0 or 1
//! ```
//!
//! **The promise.** When a revocation was acknowledged at T, no gateway permits after T + N what it took away; once
//! there were two primaries, none after T + N + L. What a gateway process refused as revoked it never permits
//! again. Whoever is let in again, or was only signed out, gets in with a new sign-in on every gateway that has a
//! lease, from the same bound on at the latest; that it can be at once is asserted as reached. `promise` checks
//! this in every state.
//!
//! **What is modelled.** The directory commits changes (switched off, signed out everywhere, let in again) with an
//! outbox; publishers take a change, write it, acknowledge it, or fall asleep in between and write it late, which
//! is also what a lost answer and a retry look like. Redis replicates when it likes, fails over and loses what was
//! not replicated, keeps a deposed primary that takes writes for L, restarts with any beginning of its log or none,
//! and has its log cut. The reconciler raises the generation, reads the directory, and later writes what it read
//! and blesses, or is taken for dead and does so later still. The gateway polls; sending, running and answering are
//! separate steps of any length; pushes come in any order, late, often or never; connections break and go to either
//! primary; the gateway restarts. Time passes in ticks between any two steps.
//!
//! **What is bounded.** Changes, failures of Redis, late publishers, changes of others and cuts, as each test says.
//! Not bounded: time, polls, pushes, lost connections, restarts of the gateway. Ages are counted only as far as the
//! promise reaches, so the states are finite in number and all are visited; they are told apart by 64 bits.
//!
//! **What is simplified, and why it loses nothing.** One person and one gateway: gateways only read, and persons
//! share nothing but the log, in which somebody else's change stands for them. Credentials are classes: all that
//! were issued between two changes, by anybody, also by an issuer that has not heard of the change. An id is the
//! place in the log, so logs that parted have equal ids, which real ids hardly ever are. A poll reads all there is
//! in one step.
//!
//! **What is not modelled.** Clocks (a lease is measured on one; see `fleet`), a deposed primary that was stopped
//! and wakes up not knowing how long (its count of replicas is as old as its sleep), tokens that tell whole
//! seconds, sign-ins that began before a revocation, expiry of entries, sharding, TLS and passwords, the reading of
//! a large log page by page (but for what happens when memory is emptied first), two gateways that disagree with
//! each other.
//!
//! `ablations` takes out one part of the protocol at a time and asserts how the promise breaks then. To read the
//! ways there: `cargo test -p doorward-tests --test simulation without -- --nocapture`.
//!
//! `fleet` is a random walk through what the model cannot exhaust: several gateways and persons, clocks that are
//! off and step, thousands of seeds.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod protocol;

mod world;

mod steps;

mod promise;

mod explore;

mod model;

mod ablations;

mod fleet;
