//! What can be asked of `doorward` about how policies are written: `check` and `fmt`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::ConfigArg;

pub(super) const CHECK_EXAMPLES: &str = "\
Examples:
  doorward policy check --dir policies
  doorward policy check --config doorward.toml
      also refuses apps and routes that do not exist
  doorward policy check --dir policies --deny-hints --format github
      in a workflow
  doorward policy check --dir policies --format sarif > policies.sarif
      for code scanning
  doorward policy check --schema s.cedarschema --policies p.cedar
      any set of Cedar policies

Exit codes: 0 good (there may be hints), 2 mistakes.
What each rule finds: docs/reference/policy-lints.md.";

pub(super) const FMT_EXAMPLES: &str = "\
Examples:
  doorward policy fmt --dir policies
  doorward policy fmt --check policies/apps/wiki.cedar

Exit codes: 0 done; with --check 1 where a file is laid out otherwise;
2 where one cannot be read, is no Cedar, or would not say the same afterwards:
such a file is left as it is.";

/// `doorward policy check`.
#[derive(Debug, Args)]
pub struct PolicyCheckArgs {
    /// The folder with the policies; without it the one in the configuration file.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The configuration file: policies may name its apps and routes only.
    #[command(flatten)]
    pub config: ConfigArg,
    /// A schema, with --policies: any set of Cedar policies, for which Doorward's own rules do not hold.
    #[arg(long, value_name = "FILE", requires = "policies", conflicts_with_all = ["dir", "config"])]
    pub schema: Option<PathBuf>,
    /// A file of Cedar policies; without --schema they are only read.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dir", "config"])]
    pub policies: Option<PathBuf>,
    /// Take hints for mistakes.
    #[arg(long)]
    pub deny_hints: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: FindingsFormat,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FindingsFormat {
    /// For people; `table` is another word for it.
    #[default]
    #[value(alias = "table")]
    Human,
    /// For programs.
    Json,
    /// For code scanning: SARIF 2.1.0.
    Sarif,
    /// For the log of a GitHub workflow.
    Github,
}

/// `doorward policy vet`.
#[derive(Debug, Args)]
pub struct PolicyVetArgs {
    /// The folder with the policies. The names of the configuration are read from the standard input.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
}

/// `doorward policy fmt`.
#[derive(Debug, Args)]
pub struct PolicyFmtArgs {
    /// The files; without them all policy files of the folder.
    pub files: Vec<PathBuf>,
    /// The folder with the policies; without it the one in the configuration file.
    #[arg(long, value_name = "DIR", conflicts_with = "files")]
    pub dir: Option<PathBuf>,
    /// The configuration file, which names the folder.
    #[command(flatten)]
    pub config: ConfigArg,
    /// Write nothing; name the files that are laid out otherwise.
    #[arg(long)]
    pub check: bool,
}
