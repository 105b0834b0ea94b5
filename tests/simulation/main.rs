//! The protocol by which a revocation reaches every gateway of a fleet through Redis, as a model without Redis,
//! without I/O and without clocks: every order in which things can happen is tried, within bounds.
//!
//! ```text
//!  directory ──outbox──► publisher ──write──► redis 0 ──replicates──► redis 1
//!  (the truth)  │                              │  ▲                     ▲
//!      ▲        └─► second publisher, asleep ──┘  ├──── reconcilers ────┘
//!      └──────── generation, read ────────────────┴──── compactions
//!                gateway ◄── poll (lease), snapshot, push ── redis 0 or 1
//! ```
//!
//! **The promise.** When a revocation was acknowledged at T, no gateway permits after T + N what it took away; once
//! there were two primaries, none after T + N + L. A strict request that comes after T (or T + L) does not go through.
//! What a gateway process refused as revoked it never permits again. Whoever is let in again, or was only signed out,
//! gets in with a new sign-in on every gateway that has a lease, from the same bound on at the latest; that it can be
//! at once is asserted as reached. `promise` checks this in every state.
//!
//! **What is modelled.** The directory commits changes (switched off, signed out everywhere, let in again) with an
//! outbox; publishers take a change, write it, acknowledge it, or fall asleep in between and write it late, which
//! is also what a lost answer and a retry look like. Redis replicates when it likes, fails over and loses what was
//! not replicated, keeps a deposed primary that takes writes for L, sleeps and wakes up with an old count of its
//! replicas, comes back as a replica and takes over once more, restarts with any beginning of its history or none, is
//! emptied, and has its log cut. A reconciler locks the server, raises the generation, reads the directory, hears who
//! is the primary, looks at the generation, and writes: a snapshot with an empty log, or the rows that the log lacks.
//! Each is a step of its own; it may be taken for dead in between and go on later, and may take the deposed primary
//! for the primary. A compaction locks, takes the head, reads the directory, cuts. The gateway polls; sending, running
//! and answering are separate steps of any length, and so is the reading of a snapshot, whatever happens meanwhile;
//! pushes come in any order, late, often or never; connections break and go to either server; the gateway restarts.
//! Time passes in ticks between any two steps.
//!
//! **What is bounded.** Changes, failures of Redis, late publishers and reconcilers, changes of others, compactions and
//! cuts, as each test says. Not bounded: time, polls, pushes, lost connections, restarts of the gateway. Ages are
//! counted only as far as the promise reaches, so the states are finite in number and all are visited; they are told
//! apart by 64 bits.
//!
//! **What is simplified, and why it loses nothing.** One person and one gateway: gateways only read, and persons
//! share nothing but the log, in which somebody else's change stands for them. Credentials are classes: all that
//! were issued between two changes, by anybody, also by an issuer that has not heard of the change. An id is the
//! place in the log of its epoch, so logs that parted have equal ids, which real ids hardly ever are. A reconciler
//! blesses once, so its generation stands for the epoch, and for the token of its lock. Pieces of a snapshot never
//! change and have names of their own, so the one matters in which the person stands. A change counts as acknowledged
//! when it is written, though a control node also notes it first. L begins when the deposed primary has lost the
//! replica by which the new one may write: with `replicas_min` at half of the replicas or more, not both can have one.
//!
//! **Records of people** come by the same log, and need no model of their own. A record takes the place of a change: it is committed
//! in the same transaction, stands behind the same generation, goes out in the same call, and is acknowledged by a mark that moves with that of the
//! rows; the gateway merges it by its version, which is a join as the merge of changes is, so that order and repetition
//! do no harm. What the promise says of a change, that whoever has a lease knows it, follows from what the log and the snapshot lack, whatever their
//! entries say; and entries name their predecessor whatever they are. Three things are different. Of a record only the newest version goes
//! out: what is left out could be outvoted only. The entries of one call wait for its last one: the log never ends within a call, so whoever has come
//! to its end waits for none. And a gateway that finds another history replaces what it knows: it does so after a whole snapshot and before the
//! lease that rests on it. A leaving and a return are both, a change and a record; access needs both, so each way in which one lags refuses.
//!
//! **What is not modelled.** Clocks (a lease is measured on one; see `fleet`), acknowledgements of a replica that reach
//! its former primary after it has left (L is longer by as much), a directory that loses rows, tokens that tell whole
//! seconds, sign-ins that began before a revocation, expiry of entries, TLS and passwords, pieces of a snapshot that
//! are gone (see `fleet`), two gateways that disagree with each other.
//!
//! `ablations` takes out one part of the protocol at a time and asserts how the promise breaks then. Some parts have
//! another one that does the same; then it breaks without both. To read the ways there: `cargo test -p doorward-tests
//! --test simulation without -- --nocapture`.
//!
//! `fleet` is a random walk through what the model cannot exhaust: several gateways, persons, control nodes and
//! Sentinels, clocks that are off and step, networks that split, thousands of seeds.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod protocol;

mod digest;

mod server;

mod world;

mod acts;

mod steps;

mod promise;

mod explore;

mod model;

mod ablations;

mod fleet;
