//! What can be asked of `doorward` about policies.

mod bundle;
mod check;
mod explain;
mod prove;
mod replay;
mod rollout;
mod shadow;
mod test;

use clap::Subcommand;

use super::{PolicyWhatCanArgs, PolicyWhoCanArgs};
pub use bundle::{BundleBuildArgs, BundleCommand, BundleLookArgs, BundleSignArgs, KeygenArgs};
pub use check::{FindingsFormat, PolicyCheckArgs, PolicyFmtArgs, PolicyVetArgs};
pub use explain::PolicyExplainArgs;
pub use prove::PolicyProveArgs;
pub use replay::{KindArg, PolicyReplayArgs, When};
pub use rollout::{
    RolloutAdvanceArgs, RolloutBackArgs, RolloutCommand, RolloutEndArgs, RolloutForgetArgs,
    RolloutPublishArgs, RolloutStartArgs, RolloutStatusArgs, RolloutWhyArgs,
};
pub use shadow::{ShadowCommand, ShadowStartArgs, ShadowStatusArgs, ShadowStopArgs};
pub use test::{PolicyTestArgs, TestFormat};

/// `doorward policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Check policies as loading them would: every mistake, their own test cases, and what could be better.
    #[command(after_help = check::CHECK_EXAMPLES)]
    Check(PolicyCheckArgs),
    /// Lay out policy files as Cedar's own formatter does.
    #[command(after_help = check::FMT_EXAMPLES)]
    Fmt(PolicyFmtArgs),
    /// Try policies: the gateway runs this before it loads them itself.
    #[command(hide = true)]
    Vet(PolicyVetArgs),
    /// Who can do something, and under which conditions: for access reviews.
    #[command(after_help = "\
Examples:
  doorward policy who-can GET payroll/runs
  doorward policy who-can GET payroll/all --format csv > review.csv
  doorward policy who-can GET payroll/all --dir policies

It asks a running gateway, by its directory; with `--dir` the cases.

Exit codes: 0 answered, whatever the answer is; 1 it cannot be answered; 2 no such
action, route or folder, or the policies have mistakes; 3 the gateway cannot be
reached.")]
    WhoCan(PolicyWhoCanArgs),
    /// What somebody can do, and under which conditions.
    #[command(after_help = "\
Examples:
  doorward policy what-can alice
  doorward policy what-can agent:helper --format json
  doorward policy what-can visitor
  doorward policy what-can alice --dir policies

It asks a running gateway, by its directory; with `--dir` the cases.

Exit codes: 0 answered, whatever the answer is; 1 it cannot be answered, as of
people who are as their token says; 2 nobody is called so, or the policies have
mistakes; 3 the gateway cannot be reached.")]
    WhatCan(PolicyWhatCanArgs),
    /// Run the cases, and tell what they do not cover and which mistakes they would not notice.
    #[command(after_help = test::EXAMPLES)]
    Test(PolicyTestArgs),
    /// Why something is allowed or denied: the clause that failed, and the cheapest way to pass.
    #[command(after_help = explain::EXAMPLES)]
    Explain(Box<PolicyExplainArgs>),
    /// Prove the red lines of `invariants/` for all requests, or show a request that breaks one.
    #[command(after_help = prove::EXAMPLES)]
    Prove(PolicyProveArgs),
    /// Decide what the log has once more, under other policies, and tell what would be another decision.
    #[command(after_help = replay::EXAMPLES)]
    Replay(PolicyReplayArgs),
    /// Policies as one file, signed: make it, look into it, ask whether it is genuine.
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// Bring policies to some people or apps first, then to everybody, and back.
    #[command(subcommand)]
    Rollout(RolloutCommand),
    /// Other policies beside those in force, on the same live requests: what would they change?
    #[command(subcommand)]
    Shadow(ShadowCommand),
}
