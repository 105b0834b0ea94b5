//! What can be asked of `doorward` about policies beside those in force.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use doorward_policy::shadow::Sample;

use super::super::LookArgs;
use super::rollout::ShadowPromoteArgs;

/// `doorward policy shadow`.
#[derive(Debug, Subcommand)]
pub enum ShadowCommand {
    /// Ask other policies about the same live requests. Nobody is let in or kept out by what they say.
    #[command(after_help = "\
Examples:
  doorward policy shadow start policies
  doorward policy shadow start new.dwp --sample 10%")]
    Start(ShadowStartArgs),
    /// What they would have changed so far, and what policies that only report would change.
    #[command(after_help = "\
Examples:
  doorward policy shadow status --watch
  doorward policy shadow status --json | jq .candidate.differences")]
    Status(ShadowStatusArgs),
    /// Put in force what was asked: exactly that revision.
    #[command(after_help = "\
Example:
  doorward policy shadow promote --cause 'a week without a difference'

It is refused when other policies came into force since the start, and when nothing was asked yet;
`--override --cause …` does it all the same.")]
    Promote(ShadowPromoteArgs),
    /// Ask them no more.
    Stop(ShadowStopArgs),
}

/// `doorward policy shadow start`.
#[derive(Debug, Args)]
pub struct ShadowStartArgs {
    /// The bundle, or a folder of policies to make one of, or the revision of one that is held.
    #[arg(value_name = "BUNDLE|DIR|REVISION")]
    pub what: String,
    /// The share of the requests that they are asked about; without it all of them.
    #[arg(long, value_name = "PERCENT")]
    pub sample: Option<Sample>,
    /// Who answers for a bundle that is made of a folder; without it what `DOORWARD_AUTHOR` says, or the user of
    /// this machine.
    #[arg(long, value_name = "WHO")]
    pub author: Option<String>,
    /// The private key to sign such a bundle with. May be given often.
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<PathBuf>,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward policy shadow status`.
#[derive(Debug, Args)]
pub struct ShadowStatusArgs {
    /// Show it again and again, until Ctrl-C.
    #[arg(long)]
    pub watch: bool,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward policy shadow stop`.
#[derive(Debug, Args)]
pub struct ShadowStopArgs {
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}
