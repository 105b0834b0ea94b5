//! What can be asked of `doorward` about people, groups, machines and connections.

use clap::{Args, Subcommand};

use super::{Format, OperatorArgs, WaitArgs};

/// How to look.
#[derive(Debug, Clone, Args)]
pub struct LookArgs {
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The same as `--format json`: what the gateway says, as it came.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// How to reach the gateway.
    #[command(flatten)]
    pub gateway: OperatorArgs,
}

impl LookArgs {
    /// How to print.
    #[must_use]
    pub const fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// Which part of a list.
#[derive(Debug, Clone, Args)]
pub struct PageArgs {
    /// How many, at most.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub lines: u32,
    /// Those that come after this one: what the list before ended with.
    #[arg(long, value_name = "NEXT")]
    pub after: Option<String>,
}

/// How to change something.
#[derive(Debug, Clone, Args)]
pub struct ChangeArgs {
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT", default_value = "operator command")]
    pub cause: String,
    /// Whether other nodes are waited for.
    #[command(flatten)]
    pub wait: WaitArgs,
    /// How to print, and how to reach the gateway.
    #[command(flatten)]
    pub look: LookArgs,
}

/// How to change something for ever.
#[derive(Debug, Clone, Args)]
pub struct ForeverArgs {
    /// Do not ask. Needed where nobody can be asked.
    #[arg(long, short)]
    pub yes: bool,
    /// How to change it.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// Somebody, and how to change them.
#[derive(Debug, Clone, Args)]
pub struct WhoArgs {
    /// Who: a user name, an e-mail address, a sign-in such as `corp:alice`, or an id.
    pub who: String,
    /// How to change them.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `doorward user`.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// List people.
    List(UserListArgs),
    /// Show everything that is known of somebody.
    Show(ShowArgs),
    /// Ask somebody in: they join with their first request, by a token that calls this address verified.
    #[command(after_help = "\
Example:
  doorward user invite carol --email carol@partner.example --role reviewer")]
    Invite(InviteArgs),
    /// Take an invitation back.
    RevokeInvitation(WhoArgs),
    /// Let somebody in who is staged.
    Activate(WhoArgs),
    /// Keep somebody out until it is taken back; ends what they have open.
    #[command(after_help = "\
Examples:
  doorward user suspend alice --cause 'laptop lost'
  doorward user suspend corp:alice --wait fleet     and wait until every node says that it holds there")]
    Suspend(WhoArgs),
    /// Take it back.
    Unsuspend(WhoArgs),
    /// They leave: ends what they have open, stops their machines, opens a case.
    Deactivate(WhoArgs),
    /// They return. What an operator had given them does not.
    Reactivate(WhoArgs),
    /// Forget somebody but for their id, after they left and their case is verified.
    Delete(UserDeleteArgs),
    /// Keep somebody out for a while.
    Lock(LockArgs),
    /// End a lock before its time.
    Unlock(WhoArgs),
    /// Hold somebody back, whatever their state and their source.
    Hold(WhoArgs),
    /// Lift a hold.
    Unhold(UnholdArgs),
    /// End what somebody has open. They may sign in anew.
    EndSessions(WhoArgs),
    /// Say that a sign-in is somebody's.
    Link(LinkArgs),
    /// Say that it is not any more; it is cut off.
    Unlink(LinkArgs),
    /// Let a connection take somebody over who joined without one, when it makes them known.
    #[command(after_help = "\
Examples:
  doorward user adopt carol --connection okta
  doorward user adopt carol --withdraw              if it has not come to that")]
    Adopt(AdoptArgs),
}

/// `doorward user adopt`.
#[derive(Debug, Args)]
pub struct AdoptArgs {
    /// Whom: a user name, an address, a sign-in or an id.
    pub who: String,
    /// The connection that may take them over.
    #[arg(long, value_name = "NAME", required_unless_present = "withdraw", conflicts_with = "withdraw")]
    pub connection: Option<String>,
    /// None may any more.
    #[arg(long)]
    pub withdraw: bool,
    /// Why, and what to wait for.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `doorward user list`.
#[derive(Debug, Args)]
pub struct UserListArgs {
    /// In this state only, such as `active` or `suspended`.
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,
    /// Of this source only: `local`, `connection:okta`, `sign-in:corp`.
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
    /// Directly in this group only, by name or id.
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Whose name, address or sign-in has this in it.
    #[arg(long, short, value_name = "TEXT")]
    pub query: Option<String>,
    /// Which part of the list.
    #[command(flatten)]
    pub page: PageArgs,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward … show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A name or an id.
    pub name: String,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward user invite`.
#[derive(Debug, Args)]
pub struct InviteArgs {
    /// Their user name here.
    pub user_name: String,
    /// Where to write to; the first is the one. An issuer that speaks for its domain lets them in.
    #[arg(long, value_name = "ADDRESS", required = true)]
    pub email: Vec<String>,
    /// A name to show.
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    /// Their department.
    #[arg(long, value_name = "TEXT")]
    pub department: Option<String>,
    /// `employee`, `contractor` or `partner`.
    #[arg(long, value_name = "KIND")]
    pub employment: Option<String>,
    /// A role that they shall have.
    #[arg(long, value_name = "ROLE")]
    pub role: Vec<String>,
    /// How to change it.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `doorward user delete`.
#[derive(Debug, Args)]
pub struct UserDeleteArgs {
    /// Who: a user name, an e-mail address, a sign-in such as `corp:alice`, or an id.
    pub who: String,
    /// How to change it.
    #[command(flatten)]
    pub forever: ForeverArgs,
}

/// `doorward user lock`.
#[derive(Debug, Args)]
pub struct LockArgs {
    /// Who: a user name, an e-mail address, a sign-in such as `corp:alice`, or an id.
    pub who: String,
    /// For how long, in seconds; 90 days at most.
    #[arg(long, value_name = "N")]
    pub seconds: u64,
    /// How to change it.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `doorward user unhold`.
#[derive(Debug, Args)]
pub struct UnholdArgs {
    /// Who: a user name, an e-mail address, a sign-in such as `corp:alice`, or an id.
    pub who: String,
    /// The hold of this stream of signals; without it the operators' own.
    #[arg(long, value_name = "STREAM")]
    pub signal: Option<String>,
    /// How to change it.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `doorward user link`.
#[derive(Debug, Args)]
pub struct LinkArgs {
    /// Who: a user name, an e-mail address, another sign-in, or an id.
    pub who: String,
    /// The sign-in, `issuer:subject`.
    pub sign_in: String,
    /// How to change it.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `doorward group`.
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// List groups.
    List(GroupListArgs),
    /// Show one. Who is in it: `doorward user list --group NAME`.
    Show(ShowArgs),
    /// Make one.
    Create(GroupCreateArgs),
    /// Give it another name. Policies know it by its name.
    Rename(GroupRenameArgs),
    /// Delete it for ever: nobody is in it from then on.
    Delete(GroupDeleteArgs),
    /// Put people and groups in, all or none.
    #[command(after_help = "\
Examples:
  doorward group add engineers alice bob
  doorward group add everybody group:engineers")]
    Add(GroupMembersArgs),
    /// Take people and groups out, all or none.
    Remove(GroupMembersArgs),
}

/// `doorward group list`.
#[derive(Debug, Args)]
pub struct GroupListArgs {
    /// Whose name has this in it.
    #[arg(long, short, value_name = "TEXT")]
    pub query: Option<String>,
    /// Which part of the list.
    #[command(flatten)]
    pub page: PageArgs,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward group create`.
#[derive(Debug, Args)]
pub struct GroupCreateArgs {
    /// Its name.
    pub name: String,
    /// How to change it.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `doorward group rename`.
#[derive(Debug, Args)]
pub struct GroupRenameArgs {
    /// Its name, or its id.
    pub group: String,
    /// Its name from now on.
    pub name: String,
    /// How to change it.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `doorward group delete`.
#[derive(Debug, Args)]
pub struct GroupDeleteArgs {
    /// Its name, or its id.
    pub group: String,
    /// How to change it.
    #[command(flatten)]
    pub forever: ForeverArgs,
}

/// `doorward group add`.
#[derive(Debug, Args)]
pub struct GroupMembersArgs {
    /// Its name, or its id.
    pub group: String,
    /// People by any of their names; `group:` and a name for a group.
    #[arg(required = true)]
    pub members: Vec<String>,
    /// How to change it.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `doorward grant`.
#[derive(Debug, Subcommand)]
pub enum GrantCommand {
    /// Roles.
    #[command(subcommand)]
    Role(GrantAct),
    /// Groups.
    #[command(subcommand)]
    Group(GrantAct),
    /// Apps. Whether a grant opens an app is for policies to say.
    #[command(subcommand)]
    App(GrantAct),
}

/// `doorward grant role`.
#[derive(Debug, Subcommand)]
pub enum GrantAct {
    /// Give it.
    Add(GrantArgs),
    /// Take it.
    Remove(GrantArgs),
}

/// `doorward grant role add`.
#[derive(Debug, Args)]
pub struct GrantArgs {
    /// Who: a user name, an e-mail address, a sign-in such as `corp:alice`, or an id.
    pub who: String,
    /// What.
    pub what: String,
    /// How to change it.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `doorward service-account` and `doorward agent`.
#[derive(Debug, Subcommand)]
pub enum MachineCommand {
    /// List them.
    List(MachineListArgs),
    /// Register one under somebody who answers for it.
    #[command(after_help = "\
Example:
  doorward service-account register robots:backup --name Backup --purpose 'copies files' --owner alice --days 365")]
    Register(RegisterArgs),
    /// Stop it; ends what it has open.
    Stop(MachineArgs),
    /// Start it again.
    Start(MachineArgs),
    /// Somebody else answers for it from now on.
    HandOver(HandOverArgs),
    /// Delete it for ever.
    Delete(MachineDeleteArgs),
}

/// `doorward service-account list`.
#[derive(Debug, Args)]
pub struct MachineListArgs {
    /// Those that this person answers for.
    #[arg(long, value_name = "WHO")]
    pub owner: Option<String>,
    /// Which part of the list.
    #[command(flatten)]
    pub page: PageArgs,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward service-account register`.
#[derive(Debug, Args)]
pub struct RegisterArgs {
    /// How it signs in, `issuer:subject`.
    pub user: String,
    /// A name to show.
    #[arg(long, value_name = "TEXT")]
    pub name: String,
    /// What it is for.
    #[arg(long, value_name = "TEXT")]
    pub purpose: String,
    /// Who answers for it.
    #[arg(long, value_name = "WHO")]
    pub owner: String,
    /// What it may be used for, at most.
    #[arg(long, value_name = "SCOPE")]
    pub scope: Vec<String>,
    /// In how many days it stops working by itself.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
    /// How to change it.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// A machine, and how to change it.
#[derive(Debug, Args)]
pub struct MachineArgs {
    /// How it signs in, or its id.
    pub machine: String,
    /// How to change it.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `doorward service-account hand-over`.
#[derive(Debug, Args)]
pub struct HandOverArgs {
    /// How it signs in, or its id.
    pub machine: String,
    /// Who takes it over.
    pub owner: String,
    /// How to change it.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `doorward service-account delete`.
#[derive(Debug, Args)]
pub struct MachineDeleteArgs {
    /// How it signs in, or its id.
    pub machine: String,
    /// How to change it.
    #[command(flatten)]
    pub forever: ForeverArgs,
}

/// `doorward connection`.
#[derive(Debug, Subcommand)]
pub enum ConnectionCommand {
    /// List those that may provision people.
    List(ConnectionListArgs),
    /// Let one more, and print its token: it is shown this once.
    #[command(after_help = "\
Example:
  doorward connection add okta --issuer corp --subject externalId")]
    Add(ConnectionAddArgs),
    /// Change for whose addresses its word counts, and which roles it may give. What is not said stays.
    #[command(after_help = "\
Examples:
  doorward connection change okta --role engineer --role 'eng-*'
  doorward connection change okta --no-roles")]
    Change(ConnectionChangeArgs),
    /// Give it a second token, which is shown this once. The first stays good until `revoke-token`.
    Rotate(ConnectionArgs),
    /// End a token, by the name that `list` shows.
    RevokeToken(RevokeTokenArgs),
    /// Let it go on after it was stopped, because what it takes away is right.
    Release(ReleaseArgs),
    /// Remove it for ever. Whom it made known stays as they are.
    Remove(ConnectionRemoveArgs),
}

/// `doorward connection list`.
#[derive(Debug, Args)]
pub struct ConnectionListArgs {
    /// Which part of the list.
    #[command(flatten)]
    pub page: PageArgs,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward connection add`.
#[derive(Debug, Args)]
pub struct ConnectionAddArgs {
    /// Its name: 1 to 64 of a-z, 0-9 and `-`.
    pub name: String,
    /// Where its people sign in.
    #[arg(long, value_name = "ISSUER")]
    pub issuer: String,
    /// Which attribute is the subject of their sign-in: externalId, userName, id or emails.work.
    #[arg(long, value_name = "ATTRIBUTE", default_value = "externalId")]
    pub subject: String,
    /// A mail domain for whose addresses its word counts. Without one, those of its issuer.
    #[arg(long = "email-domain", value_name = "DOMAIN")]
    pub email_domains: Vec<String>,
    /// A role that it may give, or `eng-*` for all that begin so. Without one it gives none.
    #[arg(long = "role", value_name = "ROLE")]
    pub roles: Vec<String>,
    /// What stands before the names of its groups: policies then know `lab/Engineers`.
    #[arg(long, value_name = "TEXT")]
    pub group_prefix: Option<String>,
    /// How to print, and how to reach the gateway.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward connection change`.
#[derive(Debug, Args)]
pub struct ConnectionChangeArgs {
    /// Its name.
    pub name: String,
    /// A mail domain for whose addresses its word counts. All of them are said anew.
    #[arg(long = "email-domain", value_name = "DOMAIN")]
    pub email_domains: Vec<String>,
    /// Its word counts for the mail domains of its issuer.
    #[arg(long, conflicts_with = "email_domains")]
    pub issuer_domains: bool,
    /// A role that it may give, or `eng-*` for all that begin so. All of them are said anew.
    #[arg(long = "role", value_name = "ROLE")]
    pub roles: Vec<String>,
    /// It gives no role.
    #[arg(long, conflicts_with = "roles")]
    pub no_roles: bool,
    /// How to print, and how to reach the gateway.
    #[command(flatten)]
    pub look: LookArgs,
}

/// A connection.
#[derive(Debug, Args)]
pub struct ConnectionArgs {
    /// Its name.
    pub name: String,
    /// How to print, and how to reach the gateway.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward connection revoke-token`.
#[derive(Debug, Args)]
pub struct RevokeTokenArgs {
    /// The name of the connection.
    pub name: String,
    /// The name of the token.
    pub token: String,
    /// How to print, and how to reach the gateway.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward connection release`.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// The name of the connection.
    pub name: String,
    /// The id of the stop.
    pub halt: uuid::Uuid,
    /// How to print, and how to reach the gateway.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward connection remove`.
#[derive(Debug, Args)]
pub struct ConnectionRemoveArgs {
    /// Its name.
    pub name: String,
    /// Do not ask. Needed where nobody can be asked.
    #[arg(long, short)]
    pub yes: bool,
    /// How to print, and how to reach the gateway.
    #[command(flatten)]
    pub look: LookArgs,
}
