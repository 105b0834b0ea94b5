//! What can be asked of `doorward` about who can, and what somebody can.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::OperatorArgs;

/// `doorward policy who-can`.
#[derive(Debug, Args)]
pub struct PolicyWhoCanArgs {
    /// What is to be done: `GET`, `POST`, …; `UPGRADE` opens a WebSocket.
    #[arg(value_name = "ACTION")]
    pub action: String,
    /// To what: a route (`payroll/all`), a path of an app (`payroll/runs`), or an address.
    #[arg(value_name = "ROUTE")]
    pub route: String,
    /// Of whom, and how to print.
    #[command(flatten)]
    pub how: ReachArgs,
}

/// `doorward policy what-can`.
#[derive(Debug, Args)]
pub struct PolicyWhatCanArgs {
    /// Who: a name in the cases; of a running gateway a user name, an address, a sign-in such as `corp:alice`, or an
    /// id. Programs are `agent:NAME` and `service-account:NAME`; `visitor` is whoever has not signed in.
    #[arg(value_name = "WHO")]
    pub who: String,
    /// Of whom, and how to print.
    #[command(flatten)]
    pub how: ReachArgs,
}

/// What both ask alike.
#[derive(Debug, Args)]
pub struct ReachArgs {
    /// Ask the policies in this folder, and not a running gateway.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Whom to ask about. With `--dir` it is the people and programs of its cases, also when this is not said.
    #[arg(long, value_enum, value_name = "FROM", requires = "dir")]
    pub people: Option<PeopleFrom>,
    /// With `--dir`: whether the directory grants the app; without it what the cases say, and where they do not,
    /// it stays a condition.
    #[arg(long, value_enum, value_name = "HOW", requires = "dir")]
    pub granted: Option<Granted>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: ReachFormat,
    /// How to reach the gateway. With `--dir`, the routes and paths of the configuration are known.
    #[command(flatten)]
    pub gateway: OperatorArgs,
}

/// Where the people are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PeopleFrom {
    /// The cases of the policies.
    Cases,
}

/// Whether the directory grants the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Granted {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It stays a condition.
    Unknown,
}

/// How to print what a review is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReachFormat {
    /// For people.
    #[default]
    #[value(alias = "table")]
    Human,
    /// For programs.
    Json,
    /// For a table of reviewers: a line for each who and what.
    Csv,
}
