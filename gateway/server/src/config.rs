//! The configuration file: one TOML file, read once, every mistake reported at once.
//!
//! Two types, never mixed: [`Written`] is what the file says, in the crates' own section types;
//! [`Config`] is what is in force and cannot be built wrong. This module composes the sections;
//! what a section means is known by the crate that owns it.
//!
//! ```text
//!  text ─ syntax ─▶ tree ─ form (read) ─▶ Written ─ meaning (each crate's check) ─▶ Config
//!             ╲            ╲                         ╲
//!              ╰────────────┴─────────────────────────┴──▶ Broken { mistakes, with line and help }
//! ```
//!
//! Invariants:
//! * unknown keys are mistakes, in every table;
//! * a file with one mistake yields no `Config` at all;
//! * no secret is part of the report: the file names secrets by path only.

mod blank;
mod gateway;
mod intake;
mod joining;
mod locate;
mod mistake;
mod offboarding;
mod operator;
mod read;
mod remark;
mod shape;
mod show;
mod signals;
mod suggest;
mod together;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use doorward_audit::{AuditConfig, AuditSection};
use doorward_context::config::{self as context, Geoip, GeoipSection, Network, NetworkSection, RiskSection};
use doorward_context::risk::Terms;
use doorward_identity::config::{self as identity, Issuer, IssuerSection};
use doorward_lifecycle::intake::signals::Senders;
use doorward_lifecycle::machine::Rules;
use doorward_model::RouteFacts;
use doorward_model::complaint::{Complaint, KeyPath};
use doorward_policy::Known;
use doorward_policy::config::{PolicySection, PolicySettings};
use doorward_proxy::config::{
    self as proxy, App, AppSection, DirectorySection, Limits, LimitsSection, Listen, ListenSection,
    PeopleFrom, SignIn, SignInSection, Streams, StreamsSection,
};
use doorward_state::{RevocationConfig, RevocationSection};
use serde::Deserialize;
use toml::de::{DeTable, DeValue};

pub use gateway::{Gateway, GatewaySection};
pub use intake::{Intake, IntakeSection};
use locate::Part;
pub use mistake::{Broken, Mistake, Show};
pub use offboarding::{Leaving, OffboardingSection};
pub use operator::{
    ADDRESS as OPERATOR_ADDRESS, Operator, OperatorSection, OperatorToken, TokenFileError, read_token,
};
pub use remark::Remark;
pub use signals::SignalsSection;

/// The largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The file as written: every section, in the order of `doorward.example.toml`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Written {
    /// This node.
    pub gateway: Option<GatewaySection>,
    /// Where clients connect.
    #[serde(default)]
    pub listen: Vec<ListenSection>,
    /// Where operators connect.
    pub operator: Option<OperatorSection>,
    /// Where provisioning clients connect.
    pub intake: Option<IntakeSection>,
    /// Proxies in front, and networks with a name.
    pub network: Option<NetworkSection>,
    /// GeoIP files.
    pub geoip: Option<GeoipSection>,
    /// What makes a request of a person odd.
    pub risk: Option<RiskSection>,
    /// Who vouches for people.
    #[serde(default)]
    pub issuer: Vec<IssuerSection>,
    /// Where people sign in with a browser.
    pub sign_in: Option<SignInSection>,
    /// How people are cut off.
    pub revocation: Option<RevocationSection>,
    /// Whose word counts about people.
    pub directory: Option<DirectorySection>,
    /// Whose messages about people are taken.
    pub signals: Option<SignalsSection>,
    /// What is asked for before whoever leaves counts as gone.
    pub offboarding: Option<OffboardingSection>,
    /// Where the policies are.
    pub policy: Option<PolicySection>,
    /// Where what happened is recorded.
    pub audit: Option<AuditSection>,
    /// Bounds.
    pub limits: Option<LimitsSection>,
    /// How long what was let in may go on by that.
    pub streams: Option<StreamsSection>,
    /// What is protected.
    #[serde(default)]
    pub app: Vec<AppSection>,
}

/// The configuration in force.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that it was read from.
    pub file: PathBuf,
    /// This node.
    pub gateway: Gateway,
    /// Where clients connect.
    pub listen: Vec<Listen>,
    /// Where operators connect.
    pub operator: Operator,
    /// Where provisioning clients connect, if they may.
    pub intake: Option<Intake>,
    /// Proxies in front, and networks with a name.
    pub network: Network,
    /// GeoIP files, open.
    pub geoip: Geoip,
    /// What makes a request of a person odd, and how much; none where nobody computes that.
    pub risk: Option<Terms>,
    /// Who vouches for people.
    pub issuers: Vec<Issuer>,
    /// Where people sign in with a browser, if they may.
    pub sign_in: Option<SignIn>,
    /// How people are cut off.
    pub revocation: RevocationConfig,
    /// Whose word counts about people.
    pub people: PeopleFrom,
    /// What is allowed when people join.
    pub joining: Rules,
    /// Whose messages about people are taken.
    pub signals: Senders,
    /// What is asked for before whoever leaves counts as gone.
    pub offboarding: Leaving,
    /// Where the policies are.
    pub policy: PolicySettings,
    /// Where what happened is recorded.
    pub audit: AuditConfig,
    /// Bounds.
    pub limits: Limits,
    /// How long what was let in may go on by that.
    pub streams: Streams,
    /// What is protected.
    pub apps: Vec<App>,
    /// What is allowed but worth a look: exceptions from the guards, and the like.
    pub remarks: Vec<Remark>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such file.
    #[error("there is no configuration file `{}`", .0.display())]
    Absent(PathBuf),
    /// The file cannot be read.
    #[error("the configuration file `{}` cannot be read: {cause}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file is not one that a person wrote.
    #[error("the configuration file `{}` is larger than {FILE_BYTES_MAX} bytes", .0.display())]
    TooLarge(PathBuf),
    /// The file has mistakes.
    #[error("{}", .0.report(Show::Plain).trim_end())]
    Broken(Box<Broken>),
}

/// Reads and checks a file.
///
/// # Errors
/// When the file cannot be read, or has mistakes.
pub fn load(file: &Path) -> Result<Config, ConfigError> {
    let (text, base_dir) = read_file(file)?;
    check(&text, file, &base_dir).map_err(|broken| ConfigError::Broken(Box::new(broken)))
}

/// Where a file says that operators connect, and where it says that the token is. Nothing else
/// in the file needs to be right: in an emergency nobody has time to mend a policy folder first.
///
/// # Errors
/// When the file cannot be read, is not TOML, or its `[operator]` is wrong.
pub fn operator_place(file: &Path) -> Result<(SocketAddr, Option<PathBuf>), ConfigError> {
    #[derive(Default, Deserialize)]
    struct Only {
        operator: Option<OperatorSection>,
    }
    let (text, base_dir) = read_file(file)?;
    let broken = |mistakes| {
        ConfigError::Broken(Box::new(Broken {
            file: file.to_owned(),
            source: Arc::from(text.as_str()),
            mistakes,
        }))
    };
    let (tree, errors) = DeTable::parse_recoverable(&text);
    if !errors.is_empty() {
        return Err(broken(syntax(&text, &errors)));
    }
    let root = DeValue::Table(tree.into_inner());
    let outcome = read::read::<Only>(&root);
    let mut complaints = outcome.misshapen;
    let section = outcome.value.and_then(|only| only.operator).unwrap_or_default();
    let at = KeyPath::top().key("operator");
    let address = operator::address(&section, &at, &mut complaints);
    match address {
        Some(address) if complaints.is_empty() => {
            Ok((address, section.token_file.map(|file| base_dir.join(file))))
        }
        Some(_) | None => Err(broken(placed(&root, complaints, Part::Value))),
    }
}

/// The text of a file, and the folder that paths in it are relative to.
fn read_file(file: &Path) -> Result<(String, PathBuf), ConfigError> {
    let unreadable = |cause: std::io::Error| match cause.kind() {
        std::io::ErrorKind::NotFound => ConfigError::Absent(file.to_owned()),
        _ => ConfigError::Unreadable { file: file.to_owned(), cause },
    };
    if std::fs::metadata(file).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge(file.to_owned()));
    }
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    // An absolute path, so that nothing depends on the working directory afterwards.
    let absolute = std::path::absolute(file).map_err(unreadable)?;
    Ok((text, absolute.parent().unwrap_or(Path::new("/")).to_owned()))
}

/// Checks the text of a file. Paths in it are relative to `base_dir`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(text: &str, file: &Path, base_dir: &Path) -> Result<Config, Broken> {
    let broken = |mistakes| Broken { file: file.to_owned(), source: Arc::from(text), mistakes };
    let (tree, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(broken(syntax(text, &errors)));
    }
    let root = DeValue::Table(tree.into_inner());
    let outcome = read::read::<Written>(&root);
    let mut meaning = Vec::new();
    let config = outcome.value.and_then(|written| compose(&written, file, base_dir, &mut meaning));
    meaning.retain(|c| !outcome.holes.iter().any(|hole| c.at.0.starts_with(&hole.0)));

    let mut mistakes = placed(&root, outcome.unknown, Part::Key);
    mistakes.extend(placed(&root, outcome.misshapen, Part::Value));
    mistakes.extend(placed(&root, meaning, Part::Value));
    mistakes.sort_by(|a, b| (a.span.start, &a.key).cmp(&(b.span.start, &b.key)));
    mistakes.dedup();
    match config {
        Some(config) if mistakes.is_empty() => Ok(config),
        Some(_) | None => Err(broken(mistakes)),
    }
}

/// Complaints with their place in the file.
fn placed(root: &DeValue<'_>, complaints: Vec<Complaint>, part: Part) -> Vec<Mistake> {
    let place = |c: Complaint| Mistake {
        span: locate::span(root, &c.at, part),
        key: c.at.to_string(),
        message: c.message,
        help: c.help,
    };
    complaints.into_iter().map(place).collect()
}

/// The crates' checks, one after another, then what only holds between sections.
fn compose(
    written: &Written,
    file: &Path,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Option<Config> {
    let top = KeyPath::top();
    let gateway = Gateway::check(written.gateway.as_ref(), &top.key("gateway"), base_dir, complaints);
    // Sections that depend on `[gateway]` are checked even when that one is wrong.
    let (data_dir, node) = match &gateway {
        Some(gateway) => (gateway.data_dir.as_path(), gateway.node.as_str()),
        None => (Path::new(gateway::DATA_DIR), gateway::NODE),
    };
    let listen = proxy::check_listeners(&written.listen, &top.key("listen"), base_dir, complaints);
    let operator = Operator::check(written.operator.as_ref(), &top.key("operator"), base_dir, complaints);
    let intake = Intake::check(written.intake.as_ref(), &top.key("intake"), base_dir, complaints);
    let network = written.network.clone().unwrap_or_default();
    let network = context::check_network(&network, &top.key("network"), complaints);
    let geoip = written.geoip.clone().unwrap_or_default();
    let geoip = context::check_geoip(&geoip, &top.key("geoip"), base_dir, complaints);
    let named = written.network.as_ref().and_then(|network| network.named.as_ref());
    let named = named.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let at = top.key("risk");
    let risk = written.risk.as_ref().map(|section| context::check_risk(section, &named, &at, complaints));
    let issuers = identity::check(&written.issuer, &top.key("issuer"), base_dir, complaints);
    let at = top.key("sign_in");
    let sign_in = written
        .sign_in
        .as_ref()
        .map(|section| proxy::check_sign_in(section, &at, base_dir, data_dir, complaints));
    let revocation = written.revocation.clone().unwrap_or_default();
    let revocation = revocation.check(&top.key("revocation"), base_dir, data_dir, node, complaints);
    let directory = written.directory.clone().unwrap_or_default();
    let people = proxy::check_directory(&directory, &top.key("directory"), complaints);
    let joining = joining::check(&directory, &issuers, &top.key("directory"), complaints);
    let section = written.signals.clone().unwrap_or_default();
    let signals = signals::check(&section, &issuers, &top.key("signals"), base_dir, complaints);
    let section = written.offboarding.clone().unwrap_or_default();
    let offboarding = offboarding::check(&section, &top.key("offboarding"), complaints);
    let policy = PolicySettings::check(written.policy.as_ref(), &top.key("policy"), base_dir, complaints);
    let audit = written.audit.clone().unwrap_or_default();
    let audit = AuditConfig::check(&audit, &top.key("audit"), base_dir, data_dir, complaints);
    let limits = written.limits.clone().unwrap_or_default();
    let limits = proxy::check_limits(&limits, &top.key("limits"), complaints);
    let streams = written.streams.clone().unwrap_or_default();
    let streams = proxy::check_streams(&streams, &top.key("streams"), complaints);
    let apps = proxy::check_apps(&written.app, &top.key("app"), base_dir, complaints);
    together::check(written, base_dir, complaints);
    let mut config = Config {
        file: file.to_owned(),
        gateway: gateway?,
        listen,
        operator: operator?,
        intake: intake?,
        network: network?,
        geoip: geoip?,
        risk: risk.map_or(Some(None), |checked| checked.map(Some))?,
        issuers,
        sign_in: sign_in.map_or(Some(None), |checked| checked.map(Some))?,
        revocation: revocation?,
        people: people?,
        joining: joining?,
        signals,
        offboarding: offboarding?,
        policy: policy?,
        audit: audit?,
        limits,
        streams,
        apps,
        remarks: Vec::new(),
    };
    config.remarks = remark::all(&config);
    Some(config)
}

impl Config {
    /// Every route of every app.
    pub fn routes(&self) -> impl Iterator<Item = &RouteFacts> {
        self.apps.iter().flat_map(|app| app.routes.iter().map(|route| &route.facts))
    }

    /// The names that policies may use.
    pub fn known(&self) -> Known {
        Known::new(self.routes(), self.issuers.iter().map(Issuer::id), self.network.named.names())
    }
}

/// Errors of TOML itself. Behind the first error of a line, the parser guesses; one for each
/// line is what a person can use.
fn syntax(text: &str, errors: &[toml::de::Error]) -> Vec<Mistake> {
    let mut mistakes: Vec<Mistake> = errors
        .iter()
        .map(|e| Mistake {
            span: e.span().unwrap_or(0..0),
            key: String::new(),
            message: e.message().to_owned(),
            help: Some("this is not TOML; see https://toml.io for how it is written".to_owned()),
        })
        .collect();
    mistakes.sort_by_key(|m| m.span.start);
    mistakes.dedup_by_key(|m| locate::line_and_column(text, m.span.start).0);
    mistakes
}

#[cfg(test)]
mod tests;
