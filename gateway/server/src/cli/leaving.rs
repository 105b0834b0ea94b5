//! What can be asked of `doorward` about those who left, and about the receipts of what was taken away.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use doorward_model::limits::OPERATOR_FLEET_MILLIS_MAX;
use uuid::Uuid;

use super::{ChangeArgs, LookArgs, OperatorArgs};

/// `doorward receipt`.
#[derive(Debug, Subcommand)]
pub enum ReceiptCommand {
    /// Say whether a receipt is genuine, what it proves and what it does not. Needs no gateway.
    #[command(after_help = "\
Examples:
  doorward receipt verify alice.jws --keys receipt.jwks
  doorward receipt verify alice.jws --data-dir /var/lib/doorward --json | jq .receipt.summary")]
    Verify(ReceiptVerifyArgs),
    /// List receipts, the oldest first.
    List(ReceiptListArgs),
    /// Print a receipt, as it is signed.
    #[command(after_help = "\
Examples:
  doorward receipt get 019b0a3e-7000-7c11-9f0a-2f4f7f3b8d99 > alice.jws
  doorward receipt keys > receipt.jwks")]
    Get(ReceiptGetArgs),
    /// Print the public keys of all receipts, a JWK set.
    Keys(ReceiptKeysArgs),
}

/// `doorward receipt verify`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("public keys").required(true).args(["keys", "data_dir"]))]
pub struct ReceiptVerifyArgs {
    /// The receipt.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The public keys of the gateway, a JWK set.
    #[arg(long, value_name = "JWKS")]
    pub keys: Option<PathBuf>,
    /// The gateway's `data_dir`, where the public keys are.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Print the receipt as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `doorward receipt list`.
#[derive(Debug, Args)]
pub struct ReceiptListArgs {
    /// Of this person only: a user name, an e-mail address, a sign-in such as `corp:alice`, or an id.
    #[arg(long, value_name = "WHO")]
    pub user: Option<String>,
    /// How many, at most.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    pub lines: usize,
    /// Those behind this one, as the list before said.
    #[arg(long, value_name = "ID")]
    pub after: Option<Uuid>,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward receipt get`.
#[derive(Debug, Args)]
pub struct ReceiptGetArgs {
    /// Which, as the answer of the change named it.
    pub id: Uuid,
    /// How long to wait until it is made, in milliseconds.
    #[arg(long, value_name = "N", default_value_t = 15_000, value_parser = clap::value_parser!(u64).range(1..=OPERATOR_FLEET_MILLIS_MAX))]
    pub wait_millis: u64,
    /// Print what it says, and not the signed line.
    #[arg(long)]
    pub json: bool,
    /// How to reach the gateway.
    #[command(flatten)]
    pub gateway: OperatorArgs,
}

/// `doorward receipt keys`.
#[derive(Debug, Args)]
pub struct ReceiptKeysArgs {
    /// How to reach the gateway.
    #[command(flatten)]
    pub gateway: OperatorArgs,
}

/// `doorward offboarding`.
#[derive(Debug, Subcommand)]
pub enum OffboardingCommand {
    /// List cases.
    List(CaseListArgs),
    /// Show the case of somebody, while it is not over: every item, and what shows it.
    Show(CaseShowArgs),
    /// Say that an item is done that the gateway cannot see.
    #[command(after_help = "\
Example:
  doorward offboarding say alice 'manual_app payslips' --note 'the account is removed'")]
    Say(CaseSayArgs),
    /// Close a case, when everything has its evidence.
    Close(CaseCloseArgs),
}

/// `doorward offboarding list`.
#[derive(Debug, Args)]
pub struct CaseListArgs {
    /// In this state only: `open`, `verified`, `closed` or `returned`.
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,
    /// How many, at most.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    pub lines: usize,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward offboarding show`.
#[derive(Debug, Args)]
pub struct CaseShowArgs {
    /// Who left: a user name, an e-mail address, a sign-in such as `corp:alice`, or an id.
    pub who: String,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward offboarding say`.
#[derive(Debug, Args)]
pub struct CaseSayArgs {
    /// Who left: a user name, an e-mail address, a sign-in such as `corp:alice`, or an id.
    pub who: String,
    /// The item, as `doorward offboarding show` names it.
    pub item: String,
    /// What was done about it.
    #[arg(long, value_name = "TEXT")]
    pub note: String,
    /// How to change it.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `doorward offboarding close`.
#[derive(Debug, Args)]
pub struct CaseCloseArgs {
    /// Who left: a user name, an e-mail address, a sign-in such as `corp:alice`, or an id.
    pub who: String,
    /// How to change it.
    #[command(flatten)]
    pub change: ChangeArgs,
}
