//! What can be asked of `doorward` about the tokens of service accounts.

use clap::{Args, Subcommand};

use super::{ChangeArgs, LookArgs, MachineCommand};

/// `doorward service-account`.
#[derive(Debug, Subcommand)]
pub enum ServiceAccountCommand {
    /// What can be asked about every machine.
    #[command(flatten)]
    Machine(MachineCommand),
    /// With which tokens of ours one shows who it is.
    #[command(subcommand)]
    Token(TokenCommand),
}

/// `doorward service-account token`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// List the tokens of a service account.
    List(TokenListArgs),
    /// Make one, and print it: it is shown this once.
    #[command(after_help = "\
Example:
  doorward service-account token add robots:backup --label nightly --days 90 --app files --from 192.0.2.0/24")]
    Add(TokenAddArgs),
    /// Make another that is good for the same, and print it. The first stays good until `revoke`.
    Rotate(TokenRotateArgs),
    /// End a token, by the name that `list` shows; what runs with it ends.
    Revoke(TokenArgs),
}

/// `doorward service-account token list`.
#[derive(Debug, Args)]
pub struct TokenListArgs {
    /// How the service account signs in, or its id.
    pub machine: String,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward service-account token add`.
#[derive(Debug, Args)]
pub struct TokenAddArgs {
    /// How the service account signs in, or its id.
    pub machine: String,
    /// What the token is called.
    #[arg(long, value_name = "TEXT", default_value = "token")]
    pub label: String,
    /// For how many days it is good.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=365))]
    pub days: u32,
    /// Good at these apps alone; without it at every app that policies permit.
    #[arg(long, value_name = "APP", value_delimiter = ',')]
    pub app: Vec<String>,
    /// Good from these addresses alone, such as `192.0.2.0/24`.
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub from: Vec<String>,
    /// Good for these scopes of the service account alone.
    #[arg(long, value_name = "SCOPE", value_delimiter = ',')]
    pub scope: Vec<String>,
    /// How to change it.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `doorward service-account token rotate`.
#[derive(Debug, Args)]
pub struct TokenRotateArgs {
    /// Which.
    #[command(flatten)]
    pub token: TokenArgs,
    /// For how many days the new one is good; without it as long as the old one.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=365))]
    pub days: Option<u32>,
}

/// A token, and how to change it.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// How the service account signs in, or its id.
    pub machine: String,
    /// The name of the token.
    pub token: String,
    /// How to change it.
    #[command(flatten)]
    pub change: ChangeArgs,
}
