//! What can be asked of `doorward` on the command line.

mod devices;
mod leaving;
mod machines;
mod people;
mod policy;
mod reach;
mod streams;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use doorward_model::limits::OPERATOR_FLEET_MILLIS_MAX;
use doorward_model::{AppId, EntryKind};
use uuid::Uuid;

use crate::color::ColorChoice;
pub use devices::{
    DeviceAddArgs, DeviceArgs, DeviceAssignArgs, DeviceCertificateArgs, DeviceCommand, DeviceListArgs,
    DeviceSayArgs, DeviceShowArgs, PostureArgs,
};
pub use leaving::{
    CaseCloseArgs, CaseListArgs, CaseSayArgs, CaseShowArgs, OffboardingCommand, ReceiptCommand,
    ReceiptGetArgs, ReceiptKeysArgs, ReceiptListArgs, ReceiptVerifyArgs,
};
pub use machines::{
    ServiceAccountCommand, TokenAddArgs, TokenArgs, TokenCommand, TokenListArgs, TokenRotateArgs,
};
pub use people::{
    AdoptArgs, ChangeArgs, ConnectionAddArgs, ConnectionArgs, ConnectionChangeArgs, ConnectionCommand,
    ConnectionListArgs, ConnectionRemoveArgs, ForeverArgs, GrantAct, GrantArgs, GrantCommand, GroupCommand,
    GroupCreateArgs, GroupDeleteArgs, GroupListArgs, GroupMembersArgs, GroupRenameArgs, HandOverArgs,
    InviteArgs, LinkArgs, LockArgs, LookArgs, MachineArgs, MachineCommand, MachineDeleteArgs,
    MachineListArgs, PageArgs, RegisterArgs, ReleaseArgs, RevokeTokenArgs, ShowArgs, UnholdArgs, UserCommand,
    UserDeleteArgs, UserListArgs, WhoArgs,
};
pub use policy::PolicyExplainArgs;
pub use policy::PolicyProveArgs;
pub use policy::{BundleBuildArgs, BundleCommand, BundleLookArgs, BundleSignArgs, KeygenArgs};
pub use policy::{
    FindingsFormat, KindArg, PolicyCheckArgs, PolicyCommand, PolicyFmtArgs, PolicyReplayArgs, PolicyTestArgs,
    PolicyVetArgs, TestFormat, When,
};
pub use policy::{
    RolloutAdvanceArgs, RolloutBackArgs, RolloutCommand, RolloutEndArgs, RolloutForgetArgs,
    RolloutPublishArgs, RolloutStartArgs, RolloutStatusArgs, RolloutWhyArgs,
};
pub use policy::{ShadowCommand, ShadowStartArgs, ShadowStatusArgs, ShadowStopArgs};
pub use reach::{Granted, PeopleFrom, PolicyWhatCanArgs, PolicyWhoCanArgs, ReachArgs, ReachFormat};
pub use streams::{StreamArgs, StreamCommand, StreamListArgs};

const EXAMPLES: &str = "\
Examples:
  doorward demo                                  a guided tour on this machine, nothing to set up
  doorward check --config doorward.toml          every mistake of a configuration, or what is in force
  doorward run --config doorward.toml            the gateway
  doorward revoke user corp:alice                end everything that alice has open, now
  doorward user suspend alice                    and keep her out until it is taken back
  doorward policy check --dir policies           every mistake of the policies, and their test cases
  doorward audit tail --follow --deny            who is refused, and why

Exit codes:
  0  done
  1  failed
  2  the command line, the configuration or the policies have mistakes
  3  the gateway cannot be reached, or does not accept the token
  4  a revocation or another change is in force, but could not be written down
  5  it is in force, but not every node of the fleet has confirmed it
  6  a receipt, or a bundle of policies, is not genuine

DOORWARD_CONFIG names the configuration file where --config is not given, DOORWARD_LOG the log
filter where --log is not given. NO_COLOR turns colors off.";

/// A policy-driven gateway in front of internal apps, with a switch that ends what runs.
#[derive(Debug, Parser)]
#[command(name = "doorward", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    /// Whether output is colored.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: ColorChoice,
    /// What the gateway logs, such as `debug` or `info,doorward_policy=trace`.
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the gateway.
    #[command(after_help = "\
Signals:
  SIGHUP           load policies, GeoIP files and certificates again
  SIGTERM, SIGINT  stop accepting, let finish what runs, end; the second one ends at once
  SIGQUIT          give the listening sockets to the process that waits for them with --upgrade, then as
                   SIGTERM; where none waits, nothing")]
    Run(RunArgs),
    /// Check a configuration file and print what is in force.
    #[command(after_help = "\
Examples:
  doorward check --config doorward.toml
  doorward check --config doorward.toml --format json | jq .mistakes")]
    Check(CheckArgs),
    /// Try everything on this machine: sample apps, an identity provider, a guided tour.
    Demo(DemoArgs),
    /// Take access away and end what runs.
    #[command(after_help = "\
Examples:
  doorward revoke user corp:alice                     all that alice has open; she may sign in anew
  doorward revoke user corp:alice --disable           and she may not, until `doorward reactivate`
  doorward revoke user corp:alice --app payroll       at one app only
  doorward revoke session corp:3f9c --cause 'laptop lost'
  doorward revoke token corp:8a11
  doorward revoke device dev-77
  doorward revoke user corp:alice --wait fleet        and wait until every node says that it holds there")]
    Revoke(RevokeArgs),
    /// Allow to sign in anew, after `revoke … --disable`. Nothing old comes back to life.
    #[command(after_help = "Example:\n  doorward reactivate user corp:alice --cause 'back from leave'")]
    Reactivate(ReactivateArgs),
    /// People of the directory.
    #[command(subcommand)]
    User(UserCommand),
    /// Groups of the directory.
    #[command(subcommand)]
    Group(GroupCommand),
    /// What somebody has: roles, groups, apps.
    #[command(
        subcommand,
        after_help = "\
Examples:
  doorward grant role add alice engineer
  doorward grant app remove alice payroll --cause 'moved to sales'"
    )]
    Grant(GrantCommand),
    /// Programs that act for themselves, and who answers for each.
    #[command(subcommand)]
    ServiceAccount(ServiceAccountCommand),
    /// Programs that act for people, and who answers for each.
    #[command(subcommand)]
    Agent(MachineCommand),
    /// Devices, to whom they belong, and which are blocked.
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Who may provision people by SCIM.
    #[command(subcommand)]
    Connection(ConnectionCommand),
    /// By which streams transmitters tell of people, and whether they still do.
    #[command(subcommand)]
    Stream(StreamCommand),
    /// List what runs now.
    #[command(after_help = "Example:\n  doorward inflight --user corp:alice")]
    Inflight(InflightArgs),
    /// Where somebody is signed in, the sessions with which something runs, and ending one.
    #[command(subcommand)]
    Session(SessionCommand),
    /// Say how this node stands to its fleet, and on a control node what every node says.
    Fleet(FleetArgs),
    /// What was promised and not confirmed in time.
    #[command(subcommand)]
    Debts(DebtsCommand),
    /// Policies.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// The audit log.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Signed receipts of what was taken away.
    #[command(subcommand)]
    Receipt(ReceiptCommand),
    /// What is still to be done about those who left.
    #[command(subcommand)]
    Offboarding(OffboardingCommand),
    /// GeoIP files.
    #[command(subcommand)]
    Geoip(GeoipCommand),
}

/// Which configuration file.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArg {
    /// The configuration file; without it `doorward.toml` here, then in `/etc/doorward`.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `doorward run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The configuration file.
    #[command(flatten)]
    pub config: ConfigArg,
    /// Wait up to 10 minutes for the listening sockets of the process that runs, which then drains:
    /// send it SIGQUIT once this one says that it is ready.
    #[arg(long)]
    pub upgrade: bool,
}

/// `doorward check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The configuration file.
    #[command(flatten)]
    pub config: ConfigArg,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people; `table` is another word for it.
    #[default]
    #[value(alias = "table")]
    Human,
    /// For programs.
    Json,
}

/// `doorward demo`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DemoArgs {
    /// Where it runs.
    #[command(flatten)]
    pub place: DemoPlace,
    /// The source tree, for its policies and its GeoIP file; without it this folder.
    #[arg(long, value_name = "DIR")]
    pub source: Option<PathBuf>,
    /// A part of the demo instead of the whole.
    #[command(subcommand)]
    pub part: Option<DemoPart>,
}

/// Where the demo runs.
#[derive(Debug, Args)]
pub struct DemoPlace {
    /// The folder that is written: the configuration, and a copy of the policies to play with.
    #[arg(long, value_name = "DIR", default_value = ".demo")]
    pub folder: PathBuf,
    /// The first of eight ports in a row; without it 8080, 9180 to 9185, and 8443.
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
}

/// A part of the demo.
#[derive(Debug, Subcommand)]
pub enum DemoPart {
    /// The tour: commands to paste while the demo runs, and what they print.
    Tour(DemoPlace),
    /// Follow a WebSocket of the demo and tell how it ends.
    Watch(DemoWatchArgs),
}

/// `doorward demo watch`.
#[derive(Debug, Args)]
pub struct DemoWatchArgs {
    /// Who opens it: a person of the demo such as `alice`, or `alice?mfa=off`; without it nobody.
    pub person: Option<String>,
    /// The WebSocket; without it the build log of the demo.
    #[arg(long)]
    pub url: Option<String>,
    /// The demo's identity provider; without it where it usually is.
    #[arg(long, value_name = "URL")]
    pub provider: Option<String>,
}

/// How to reach a running gateway.
#[derive(Debug, Clone, Default, Args)]
pub struct OperatorArgs {
    /// The gateway's operator API; without it the address in the configuration file.
    #[arg(long, value_name = "URL")]
    pub operator: Option<String>,
    /// The file with the operator's token; without it the one in the configuration file.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The configuration file.
    #[command(flatten)]
    pub config: ConfigArg,
}

/// What a revocation may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TargetKind {
    /// A person or a service account, `issuer:subject`.
    User,
    /// One sign-in, `issuer:sid`.
    Session,
    /// One token, `issuer:jti`.
    Token,
    /// Everything on one device.
    Device,
}

/// What can be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReturningKind {
    /// A person or a service account, `issuer:subject`.
    User,
    /// A device.
    Device,
}

/// `doorward revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// What the name is of.
    pub kind: TargetKind,
    /// The name. Without `issuer:`, the only issuer of the gateway is meant.
    pub id: String,
    /// At this app only; users only.
    #[arg(long, value_name = "APP", value_parser = app_id)]
    pub app: Option<AppId>,
    /// Also refuse everything new, until `doorward reactivate`.
    #[arg(long)]
    pub disable: bool,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT", default_value = "operator command")]
    pub cause: String,
    /// Whether other nodes are waited for.
    #[command(flatten)]
    pub wait: WaitArgs,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward reactivate`.
#[derive(Debug, Args)]
pub struct ReactivateArgs {
    /// What the name is of.
    pub kind: ReturningKind,
    /// The name. Without `issuer:`, the only issuer of the gateway is meant.
    pub id: String,
    /// At this app only, when it was revoked so; users only.
    #[arg(long, value_name = "APP", value_parser = app_id)]
    pub app: Option<AppId>,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT", default_value = "operator command")]
    pub cause: String,
    /// Whether other nodes are waited for.
    #[command(flatten)]
    pub wait: WaitArgs,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// Whether other nodes are waited for.
#[derive(Debug, Clone, Default, Args)]
pub struct WaitArgs {
    /// Until when to wait; without it until the node that is asked has it.
    #[arg(long, value_enum, value_name = "FOR")]
    pub wait: Option<WaitFor>,
    /// How long to wait for the fleet, in milliseconds; without it 2000.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=OPERATOR_FLEET_MILLIS_MAX))]
    pub wait_millis: Option<u64>,
}

/// Whom to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WaitFor {
    /// The node that is asked.
    Node,
    /// Every node of its fleet.
    Fleet,
}

/// `doorward fleet`.
#[derive(Debug, Args)]
pub struct FleetArgs {
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward debts`.
#[derive(Debug, Subcommand)]
pub enum DebtsCommand {
    /// List those that are open.
    List(DebtsListArgs),
    /// Settle one.
    #[command(after_help = "\
Example:
  doorward debts settle 0d7f3a51-9c1e-8b7e-a0c4-3f1f2b6f7a10 --how 'gw-2 was taken out of service'")]
    Settle(DebtsSettleArgs),
}

/// `doorward debts list`.
#[derive(Debug, Args)]
pub struct DebtsListArgs {
    /// Also list those that are settled.
    #[arg(long)]
    pub all: bool,
    /// Which part of the list.
    #[command(flatten)]
    pub page: PageArgs,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward debts settle`.
#[derive(Debug, Args)]
pub struct DebtsSettleArgs {
    /// Its id.
    pub id: Uuid,
    /// What was done about it, for the audit log.
    #[arg(long, value_name = "TEXT")]
    pub how: String,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward inflight`.
#[derive(Debug, Args)]
pub struct InflightArgs {
    /// Of this user only.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// At this app only.
    #[arg(long, value_name = "APP", value_parser = app_id)]
    pub app: Option<AppId>,
    /// How many, at most; 10000 at once.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub lines: u16,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward session`.
#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// List the sessions with which something runs on this node, and with `--user` where somebody is signed in with a
    /// browser.
    #[command(after_help = "Example:\n  doorward session list --user corp:alice")]
    List(InflightArgs),
    /// End one for ever: what runs with it, and every token of it.
    #[command(after_help = "\
Examples:
  doorward session end dws-AbCdEfGh --user corp:alice      a browser's, as `session list` shows it
  doorward session end corp:s-4711 --wait fleet            all that a sign-in at the provider led to")]
    End(SessionEndArgs),
}

/// `doorward session end`.
#[derive(Debug, Args)]
pub struct SessionEndArgs {
    /// Which: of a browser as the list shows it; else the `sid` of its tokens. Without `issuer:`, the only issuer of
    /// the gateway is meant.
    pub session: String,
    /// Whose, of a browser's: `issuer:subject`.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT", default_value = "operator command")]
    pub cause: String,
    /// Whether other nodes are waited for.
    #[command(flatten)]
    pub wait: WaitArgs,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Print the newest events.
    #[command(after_help = "\
Examples:
  doorward audit tail --follow --deny
  doorward audit tail --user corp:alice --json | jq .status_detail")]
    Tail(AuditTailArgs),
}

/// `doorward audit tail`.
#[derive(Debug, Args)]
pub struct AuditTailArgs {
    /// The folder with the log; without it the one in the configuration file.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The configuration file.
    #[command(flatten)]
    pub config: ConfigArg,
    /// How many of the newest events to begin with.
    #[arg(long, short = 'n', default_value_t = 20, value_name = "N")]
    pub lines: usize,
    /// Go on with events as they happen.
    #[arg(long, short)]
    pub follow: bool,
    /// Refusals only.
    #[arg(long)]
    pub deny: bool,
    /// Of this user only.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// At this app only.
    #[arg(long, value_name = "APP", value_parser = app_id)]
    pub app: Option<AppId>,
    /// Print the events as they are written.
    #[arg(long)]
    pub json: bool,
}

/// `doorward geoip`.
#[derive(Debug, Subcommand)]
pub enum GeoipCommand {
    /// Say where an address is, as policies see it.
    #[command(after_help = "\
Examples:
  doorward geoip lookup 192.0.2.1 --config doorward.toml
  doorward geoip lookup 2001:db8::1 --database geoip/data/country.mmdb")]
    Lookup(GeoipLookupArgs),
    /// Say how old the files are.
    Status(GeoipFilesArgs),
}

/// `doorward geoip lookup`.
#[derive(Debug, Args)]
pub struct GeoipLookupArgs {
    /// The address.
    pub address: IpAddr,
    /// The files.
    #[command(flatten)]
    pub files: GeoipFilesArgs,
}

/// Which GeoIP files.
#[derive(Debug, Args)]
pub struct GeoipFilesArgs {
    /// A GeoIP file, in the order in which they are asked; without it those in the configuration.
    #[arg(long, value_name = "FILE")]
    pub database: Vec<PathBuf>,
    /// The configuration file.
    #[command(flatten)]
    pub config: ConfigArg,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

fn app_id(text: &str) -> Result<AppId, String> {
    AppId::new(text).map_err(|e| e.to_string())
}

impl TargetKind {
    /// The word of the operator API; `at_app` when one app only is meant.
    #[must_use]
    pub const fn entry_kind(self, at_app: bool) -> EntryKind {
        match (self, at_app) {
            (Self::User, true) => EntryKind::UserAtApp,
            (Self::User, false) => EntryKind::User,
            (Self::Session, _) => EntryKind::Session,
            (Self::Token, _) => EntryKind::Token,
            (Self::Device, _) => EntryKind::Device,
        }
    }
}

impl From<ReturningKind> for TargetKind {
    fn from(kind: ReturningKind) -> Self {
        match kind {
            ReturningKind::User => Self::User,
            ReturningKind::Device => Self::Device,
        }
    }
}

#[cfg(test)]
mod tests;
