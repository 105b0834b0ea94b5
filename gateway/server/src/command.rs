//! What `doorward` does, one command a file.

pub mod audit;
mod changed;
pub mod check;
pub mod connection;
pub mod debts;
pub mod demo;
mod device;
pub mod fleet;
pub mod geoip;
pub mod grant;
pub mod group;
pub mod inflight;
pub mod machine;
pub mod offboarding;
pub mod policy;
pub mod receipt;
pub mod receipts;
pub mod revoke;
pub mod run;
mod session;
pub mod stream;
mod token;
pub mod user;

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::cli::{
    AuditCommand, Cli, Command, ConfigArg, DebtsCommand, GeoipCommand, ReceiptCommand, ServiceAccountCommand,
};
use crate::color::{ColorChoice, Style};
use crate::config::{self, Config, ConfigError, Show};
use crate::operator::ApiError;

pub(crate) use doorward_workbench::report::{json_text, printable};

/// How a command ended. The words stand in `doorward --help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Failed.
    Failed,
    /// The command line, the configuration or the policies have mistakes.
    Mistaken,
    /// The gateway cannot be reached, or does not accept the token.
    OutOfReach,
    /// A revocation or another change is in force, but could not be written down.
    NotDurable,
    /// It is in force, but not every node of the fleet has confirmed it.
    NotEverywhere,
    /// A receipt, or a bundle of policies, is not genuine.
    NotGenuine,
}

impl Exit {
    /// Every one, in order.
    pub const ALL: [Self; 7] = [
        Self::Done,
        Self::Failed,
        Self::Mistaken,
        Self::OutOfReach,
        Self::NotDurable,
        Self::NotEverywhere,
        Self::NotGenuine,
    ];

    /// The exit code of the process.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Mistaken => 2,
            Self::OutOfReach => 3,
            Self::NotDurable => 4,
            Self::NotEverywhere => 5,
            Self::NotGenuine => 6,
        }
    }
}

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    /// Of which kind it is.
    pub exit: Exit,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Failure {
    /// A failure with advice.
    pub(crate) fn new(exit: Exit, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { exit, message: message.into(), help: Some(help.into()) }
    }

    /// Writes it to standard error, where there is anything to say. Nobody may be there to read it.
    pub fn tell(&self) {
        if !self.message.is_empty() {
            let _ = writeln!(io::stderr(), "{self}");
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// Where a command prints, and how.
pub struct Output<'w> {
    out: &'w mut dyn Write,
    /// How the output looks.
    pub style: Style,
}

impl<'w> Output<'w> {
    /// Prints to `out`.
    pub fn new(out: &'w mut dyn Write, style: Style) -> Self {
        Self { out, style }
    }

    /// Prints a line.
    pub(crate) fn line(&mut self, line: impl fmt::Display) -> Result<(), Failure> {
        self.text(format_args!("{line}\n"))
    }

    /// Prints text as it is.
    pub(crate) fn text(&mut self, text: impl fmt::Display) -> Result<(), Failure> {
        let written = write!(self.out, "{text}").and_then(|()| self.out.flush());
        written.map_err(|e| match e.kind() {
            // Whoever read has seen enough, as in `… | head`.
            io::ErrorKind::BrokenPipe => Failure { exit: Exit::Done, message: String::new(), help: None },
            _ => Failure { exit: Exit::Failed, message: format!("cannot print: {e}"), help: None },
        })
    }
}

/// Does what the command line says.
///
/// # Errors
/// Why it could not be done.
pub fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    let stdout = io::stdout();
    let style = cli.color.style(&stdout);
    let mut lock = stdout.lock();
    let mut out = Output::new(&mut lock, style);
    match cli.command {
        Command::Run(args) => run::run(&args, cli.log.as_deref(), cli.color),
        Command::Check(args) => check::check(&args, cli.color, &mut out),
        Command::Demo(args) => demo::demo(args, cli.log.as_deref(), cli.color, &mut out),
        Command::Revoke(args) => revoke::revoke(&args, &mut out),
        Command::Reactivate(args) => revoke::reactivate(&args, &mut out),
        Command::User(command) => user::user(&command, &mut out),
        Command::Group(command) => group::group(&command, &mut out),
        Command::Grant(command) => grant::grant(&command, &mut out),
        Command::ServiceAccount(ServiceAccountCommand::Machine(command)) => {
            machine::machine(machine::Kind::ServiceAccount, &command, &mut out)
        }
        Command::ServiceAccount(ServiceAccountCommand::Token(command)) => token::token(&command, &mut out),
        Command::Agent(command) => machine::machine(machine::Kind::Agent, &command, &mut out),
        Command::Device(command) => device::device(&command, &mut out),
        Command::Connection(command) => connection::connection(&command, &mut out),
        Command::Stream(command) => stream::stream(&command, &mut out),
        Command::Inflight(args) => inflight::inflight(&args, &mut out),
        Command::Session(command) => session::session(command, &mut out),
        Command::Fleet(args) => fleet::fleet(&args, &mut out),
        Command::Debts(DebtsCommand::List(args)) => debts::list(&args, &mut out),
        Command::Debts(DebtsCommand::Settle(args)) => debts::settle(&args, &mut out),
        Command::Policy(command) => policy::policy(command, cli.color, &mut out),
        Command::Audit(AuditCommand::Tail(args)) => audit::tail(&args, cli.color, &mut out),
        Command::Receipt(ReceiptCommand::Verify(args)) => receipt::verify(&args, &mut out),
        Command::Receipt(ReceiptCommand::List(args)) => receipts::list(&args, &mut out),
        Command::Receipt(ReceiptCommand::Get(args)) => receipts::get(&args, &mut out),
        Command::Receipt(ReceiptCommand::Keys(args)) => receipts::keys(&args, &mut out),
        Command::Offboarding(command) => offboarding::offboarding(&command, &mut out),
        Command::Geoip(GeoipCommand::Lookup(args)) => geoip::lookup(&args, &mut out),
        Command::Geoip(GeoipCommand::Status(args)) => geoip::status(&args, &mut out),
    }
}

/// The configuration file that is meant.
pub(crate) fn config_file(arg: &ConfigArg) -> PathBuf {
    let from_env = || std::env::var_os("DOORWARD_CONFIG").filter(|v| !v.is_empty()).map(PathBuf::from);
    arg.config.clone().or_else(from_env).unwrap_or_else(|| {
        let here = PathBuf::from("doorward.toml");
        let system = PathBuf::from("/etc/doorward/doorward.toml");
        if !here.exists() && system.exists() { system } else { here }
    })
}

/// Reads the configuration, or says what is wrong with it in the way that standard error takes.
pub(crate) fn load_config(arg: &ConfigArg, color: ColorChoice) -> Result<Config, Failure> {
    let file = config_file(arg);
    config::load(&file).map_err(|e| config_failure(e, show_on(&io::stderr(), color)))
}

/// Mistakes are drawn for a person and listed for a program.
pub(crate) fn show_on(stream: &impl io::IsTerminal, color: ColorChoice) -> Show {
    match (stream.is_terminal(), color.style(stream)) {
        (true, style) => Show::Graphical(style),
        // Who asks for colors in a pipe wants it as on a terminal.
        (false, Style::Color) => Show::Graphical(Style::Color),
        (false, Style::Plain) => Show::Plain,
    }
}

pub(crate) fn config_failure(error: ConfigError, show: Show) -> Failure {
    match error {
        ConfigError::Absent(file) => Failure::new(
            Exit::Mistaken,
            format!("there is no configuration file `{}`", file.display()),
            how_to_begin(&file),
        ),
        ConfigError::Broken(broken) => Failure {
            exit: Exit::Mistaken,
            message: format!("the configuration cannot be used\n\n{}", broken.report(show).trim_end()),
            help: None,
        },
        ConfigError::Unreadable { .. } | ConfigError::TooLarge(_) => {
            Failure { exit: Exit::Mistaken, message: error.to_string(), help: None }
        }
    }
}

fn how_to_begin(file: &Path) -> String {
    format!(
        "\
begin in one of two ways:

    doorward demo
        a gateway, apps and people on this machine, and a tour of what it does

    cp deploy/doorward.example.toml {file}
    (umask 077; head -c 32 /dev/urandom | base64 > {token})
    doorward check --config {file}
        a configuration of your own, from the source tree: every section and key, then
        what is wrong with it, all at once; paths in it are relative to it",
        file = file.display(),
        token = file.with_file_name("operator.token").display()
    )
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let exit = match &error {
            ApiError::Unreachable { .. } | ApiError::Unsure { .. } | ApiError::TokenRefused { .. } => {
                Exit::OutOfReach
            }
            ApiError::Config(_) | ApiError::NoToken(_) | ApiError::Token(_) | ApiError::Address(..) => {
                Exit::Mistaken
            }
            ApiError::Refused { .. } | ApiError::Garbled { .. } | ApiError::Client(_) => Exit::Failed,
        };
        Self { exit, message: error.to_string(), help: error.help() }
    }
}

/// Rows below each other, the first of them as a heading.
pub(crate) fn table<const N: usize>(rows: &[[String; N]], style: Style) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for (i, row) in rows.iter().enumerate() {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let line = cells.join("  ");
        let line = line.trim_end();
        text.push_str(&if i == 0 { style.dim(line) } else { line.to_owned() });
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_client_sent_reaches_the_terminal_as_a_command() {
        assert_eq!(printable("plain ä 日本"), "plain ä 日本");
        assert_eq!(printable("\u{1b}[2Jx\r\n"), "\\u{1b}[2Jx\\u{d}\\u{a}");
        assert_eq!(printable("a\u{202e}b"), "a\\u{202e}b");
    }

    #[test]
    fn an_absent_file_tells_how_to_begin() {
        let failure = config_failure(ConfigError::Absent("x.toml".into()), Show::Plain);
        assert_eq!(failure.exit, Exit::Mistaken);
        let text = failure.to_string();
        assert!(text.starts_with("error: there is no configuration file `x.toml`\n  help: begin"), "{text}");
        for part in ["doorward demo", "cp deploy/doorward.example.toml x.toml", "> operator.token"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_reader_that_leaves_is_no_failure() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let failure = Output::new(&mut Gone, Style::Plain).line("x").unwrap_err();
        assert_eq!((failure.exit, failure.message.as_str()), (Exit::Done, ""));
    }
}
