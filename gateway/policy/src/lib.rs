//! The policy decision point (PDP of NIST SP 800-162 and AuthZEN): may they?
//!
//! The security team writes Cedar policies in a folder; this crate, the only one that knows
//! Cedar, turns the folder into a [`PolicyBundle`] and asks it about each request.
//!
//! ```text
//!   policies/            load                          in force
//!  ┌─────────────┐   read ─ parse ─ validate      ┌────────────────┐   Question
//!  │ schema      │   try ─ index ─ run cases      │  PolicyBundle  │◄───────────
//!  │ *.cedar     ├──────────────────────────────► │ (one Revision) │───────────►
//!  │ cases/*.toml│   all mistakes at once         └────────────────┘   Verdict
//!  └─────────────┘   one mistake: the old bundle stays
//! ```
//!
//! The cast: [`Policies`] holds the bundle in force and replaces it ([`Outcome`]); [`check`] does
//! all of that but the replacing; a [`Finding`] is one mistake with its place; [`Known`] are the
//! names of the configuration.
//!
//! What holds:
//! * Allow needs a permit, no forbid, and no policy that could not be evaluated.
//! * Every word said to Cedar conforms to the schema; every entity that a policy can look into is
//!   there; otherwise the request is refused without being asked about.
//! * A policy whose scope cannot match is left out of the evaluation, which changes neither
//!   decision nor reasons nor errors; a property test compares with plain Cedar.
//! * What is remembered between requests is facts and selections, never a decision.
//! * No file can end the process: shape is checked before parsing, parsing has its own stack.
//!
//! What it never does: it opens no connection, knows no clock, answers nobody. It speaks no HTTP:
//! the crate `proxy` turns a [`Verdict`] into an answer.

// What is asked and what is answered.
mod question;
pub mod record;
mod revision;
mod situation;

// From files to policies.
mod advice;
mod cases;
mod compile;
mod failure;
mod known;
mod lines;
mod load;
mod mode;
mod probe;
mod rule;
mod shape;
mod shown;
mod slips;
mod source;
mod vocabulary;

// From a question to an answer.
mod bundle;
mod circumstances;
mod decide;
mod entities;
mod index;

// Which policies are in force.
mod live;
mod share;

// Which policies are tried beside them.
pub mod shadow;

// For tools.
mod difference;
mod files;
mod foreign;
mod pieces;
mod workshop;

pub mod conditions;
pub mod config;
pub mod explain;

pub use bundle::PolicyBundle;
pub use cases::{Case, Cases, CedarTest, Named, NewCase, read_tests};
pub use conditions::{Condition, Conditions, Truth};
pub use config::{BundleSource, PolicySection, PolicySettings, SourceUrl};
pub use difference::{CaseDifference, Difference, Softened, Softening};
pub use explain::{AtTheDoor, Explanation, Hand, explain};
pub use failure::{Extent, Finding, LoadFailure};
pub use files::PolicyFiles;
pub use foreign::ForeignSet;
pub use known::Known;
pub use lines::{Changed, Claim, RedLine};
pub use live::{Candidate, Loader, Outcome, Policies, Staged, Stand, Vet};
pub use load::{CheckReport, check, rehearse};
pub use pieces::{Actions, Standing};
pub use question::{Action, Decision, Question, Verdict};
pub use revision::Revision;
pub use rule::{Level, Rule, allowances, except};
pub use share::{Share, WHOLE};
pub use shown::{is_unfit, printable};
pub use situation::{Rounding, Situation};
pub use workshop::{Inspection, PolicySource, Workshop, on_policy_stack, statements};
