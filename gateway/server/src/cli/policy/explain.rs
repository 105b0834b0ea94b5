//! `doorward policy explain`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use crate::cli::{Format, OperatorArgs};

/// Examples in the help.
pub(super) const EXAMPLES: &str = "\
Examples:
  doorward policy explain --dir policies --who alice --does 'GET payroll/all' \\
      --with 'session.mfa_age=40m place.country=FR place.zones='
  doorward policy explain --dir policies --case 'HR reads payroll in the office'
  doorward policy explain --request 0198f2c4-7d5e-7b33-9a53-2a1f6f6a1c10
  doorward policy explain --live --who corp:alice --does 'GET payroll/all' \\
      --with 'session.mfa=true place.zones=corp'
  doorward policy explain --schema s.cedarschema --policies p.cedar \\
      --request-json r.json

The people, the routes and what holds unless `--with` says otherwise stand in
`cases/base.toml` of the folder. With `--live` the running gateway answers: whoever
asks is looked up in its directory (a name, an id, `corp:alice`, `agent:NAME`,
`service-account:NAME`, `visitor`), the route is that of its configuration, and it
is now. Nothing is known of the circumstances then but what `--with` says, or with
`--dir` what `cases/base.toml` says. A `time.now` of `--with` brings its own day
and time of day along, in the time zone of the base.

A request of the log is found where the log is, on the node that decided it.

Exit codes: 0 explained, whether the answer is yes or no; 1 it cannot be, or there
is no such request in the log; 2 a word, a name, the folder or its policies have
mistakes; 3 the gateway cannot be reached.";

/// `doorward policy explain`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["who", "case", "request", "request_json"]))]
pub struct PolicyExplainArgs {
    /// Who asks: a person, a service account or an agent of the cases, or `visitor`; with `--live`, of the
    /// gateway's directory.
    #[arg(long, visible_alias = "user", value_name = "NAME", requires = "does")]
    pub who: Option<String>,
    /// What they do: a method and a route, such as `GET payroll/all`.
    #[arg(long, value_name = "METHOD ROUTE", requires = "who")]
    pub does: Option<String>,
    /// What is otherwise than in `cases/base.toml`: words of a case, such as `place.country=FR`. Can be repeated.
    #[arg(long, value_name = "WORD=VALUE …", requires = "who")]
    pub with: Vec<String>,
    /// The situation of a case, by its name.
    #[arg(long, value_name = "NAME")]
    pub case: Option<String>,
    /// A request that was decided, by its id, from the audit log.
    #[arg(long, value_name = "ID")]
    pub request: Option<String>,
    /// The folder with the audit log; without it the one in the configuration file.
    #[arg(long, value_name = "DIR", requires = "request")]
    pub audit: Option<PathBuf>,
    /// Ask the running gateway: by the policies that decide there for whoever asks, who is looked up there, too.
    #[arg(long, conflicts_with = "request_json")]
    pub live: bool,
    /// The folder with the policies; without it the one in the configuration file.
    #[arg(long, value_name = "DIR", conflicts_with = "policies")]
    pub dir: Option<PathBuf>,
    /// The configuration file, and the gateway of `--live`.
    #[command(flatten)]
    pub gateway: OperatorArgs,
    /// A request to any Cedar policies, as JSON: `{ principal, action, resource, context }`.
    #[arg(long, value_name = "FILE", requires = "policies")]
    pub request_json: Option<PathBuf>,
    /// Any Cedar policies, instead of a folder of the gateway's.
    #[arg(long, value_name = "FILE", requires = "request_json")]
    pub policies: Option<PathBuf>,
    /// The schema of these.
    #[arg(long, value_name = "FILE", requires = "policies")]
    pub schema: Option<PathBuf>,
    /// The entities for these, as JSON; without it there are none.
    #[arg(long, value_name = "FILE", requires = "policies")]
    pub entities: Option<PathBuf>,
    /// Show every policy whose scope fits, and every condition.
    #[arg(long)]
    pub all: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
