//! `doorward policy test`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::ConfigArg;

/// Examples in the help.
pub(super) const EXAMPLES: &str = "\
Examples:
  doorward policy test --dir policies              every case: what fails
  doorward policy test --dir policies --coverage   conditions no case has seen
  doorward policy test --dir policies --mutants    slips no case would notice
  doorward policy test --dir policies --mutants --only payroll.hr
  doorward policy test --dir policies --mutants --propose   and cases that would
  doorward policy test --dir policies --matrix --write        MATRIX.md anew
  doorward policy test --dir policies --format junit > cases.xml
  doorward policy test --schema s.cedarschema --policies p.cedar tests.json

Exit codes: 0 all is well; 1 there is no case, one does not hold, a mutant
survives, too little is covered, or MATRIX.md is another one; 2 the policies
cannot be loaded, a file of tests or `matrix.toml` cannot be used, or no case or
no policy is called so.";

/// `doorward policy test`.
#[derive(Debug, Args)]
pub struct PolicyTestArgs {
    /// Files of tests in the format of Cedar's own command line; those of a folder, `cases/*.tests.json`, are run anyway.
    #[arg(value_name = "TESTS")]
    pub tests: Vec<PathBuf>,
    /// The folder with the policies; without it the one in the configuration file.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["policies", "schema"])]
    pub dir: Option<PathBuf>,
    /// The configuration file.
    #[command(flatten)]
    pub config: ConfigArg,
    /// A file of any Cedar policies, instead of a folder of the gateway's.
    #[arg(long, value_name = "FILE", requires = "tests")]
    pub policies: Option<PathBuf>,
    /// The schema of these.
    #[arg(long, value_name = "FILE", requires = "policies")]
    pub schema: Option<PathBuf>,
    /// Only cases whose name or file has this text in it.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["mutants", "coverage", "coverage_min"])]
    pub filter: Option<String>,
    /// Tell which policies and conditions the cases have seen, and seen both ways.
    #[arg(long)]
    pub coverage: bool,
    /// Fail when less than this is covered, in percent.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub coverage_min: Option<u8>,
    /// Make small mistakes in the policies and tell which of them no case notices.
    #[arg(long)]
    pub mutants: bool,
    /// Only in the policy that is called so.
    #[arg(long, value_name = "POLICY", requires = "mutants")]
    pub only: Option<String>,
    /// Write the cases that the solver made for these into `cases/proposed.toml.new`.
    #[arg(long, requires = "mutants", requires = "dir", conflicts_with = "accept")]
    pub propose: bool,
    /// Add them to `cases/proposed.toml`, where they count.
    #[arg(long, requires = "mutants", requires = "dir")]
    pub accept: bool,
    /// Fail when there is no `matrix.toml` or no MATRIX.md; where both are they are compared in any case.
    #[arg(long, conflicts_with = "policies")]
    pub matrix: bool,
    /// Write MATRIX.md anew.
    #[arg(long, requires = "matrix")]
    pub write: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: TestFormat,
}

/// How a test run is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TestFormat {
    /// For people.
    #[default]
    Human,
    /// For programs.
    Json,
    /// For continuous integration: the cases and what else was asked for, as JUnit writes them.
    Junit,
}
