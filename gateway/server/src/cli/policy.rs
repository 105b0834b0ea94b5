//! What can be asked of `doorward` about policies.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ConfigArg, Format};

/// `doorward policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Check policies as loading them would: every mistake, and the policies' own test cases.
    #[command(after_help = "\
Examples:
  doorward policy check --dir policies
  doorward policy check --config doorward.toml     also refuses apps and routes that do not exist")]
    Check(PolicyCheckArgs),
}

/// `doorward policy check`.
#[derive(Debug, Args)]
pub struct PolicyCheckArgs {
    /// The folder with the policies; without it the one in the configuration file.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The configuration file: policies may name its apps and routes only.
    #[command(flatten)]
    pub config: ConfigArg,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
