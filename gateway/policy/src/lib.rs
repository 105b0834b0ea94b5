//! The policy decision point (PDP of NIST SP 800-162 and AuthZEN): may they?

mod bundle;
mod failure;
mod known;
mod live;
mod load;
mod question;
mod revision;

pub mod config;

pub use bundle::PolicyBundle;
pub use config::{PolicySection, PolicySettings};
pub use failure::{Finding, LoadFailure};
pub use known::Known;
pub use live::{Outcome, Policies};
pub use load::{CheckReport, check};
pub use question::{Action, Decision, Question, Verdict, Weekday};
pub use revision::Revision;
