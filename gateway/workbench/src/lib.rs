//! The policy workbench: what people do with policies before, and after, they are in force.
//!
//! The gateway asks `doorward-policy` about requests. Whoever edits `policies/` asks this crate about the
//! policies: is it well written, does a case notice when it breaks, what would it have done last week, what can
//! it never do?
//!
//! ```text
//!              policies/                                       audit log        directory
//!                 │ Workshop                                       │                │
//!   ┌─────────────┼──────────────┬─────────────┬──────────┐        │                │
//!  lint         format         trial        mutants     prove    replay           reach
//!  could be     Cedar's own    cases and    which edit  red      decided          who can,
//!  better       layout         coverage     goes        lines    once more        what can
//!                                           unnoticed
//! ```
//!
//! And [`release`] makes one signed file of the folder, which gateways hold, take and go back from.
//!
//! What holds:
//! * Nothing here is on the way of a request; the gateway serves without a solver.
//! * A tool asks what a request asks: `PolicyBundle::decide`, or Cedar itself on the same words.
//! * What is not known is said to be so: a proof that could not be had is never one.
//! * It prints nothing and knows no clock: time, randomness and progress are arguments.

pub mod check;
pub mod format;
pub mod lint;
pub mod report;

pub mod cedar_tests;
pub mod matrix;
pub mod mutants;
pub mod prove;
pub mod reach;
pub mod release;
pub mod replay;
pub mod solver;
pub mod trial;
