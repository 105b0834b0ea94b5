//! The demo's folder: a configuration like any other, an operator token, and a copy of the
//! policies that a visitor may edit.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use doorward_model::UnixMillis;

use crate::apps::SampleApp;
use crate::certificate::{CertificateError, for_this_machine};
use crate::provider::{AUDIENCE, CLIENT_ID, CORP_ID, ISSUER_ID, KeyError, Proof, random_id};
use crate::surroundings::Ports;

/// A file that says that a folder was made here and may be made anew. Who runs there has it locked.
const MARKER: &str = "made-by-doorward-demo";
/// What the demo adds to its copy of the policies, so that an app asks for more than the sign-in before proved.
const OWN_POLICY: &str = include_str!("config/demo.cedar");
/// And the case that goes with it.
const OWN_CASES: &str = include_str!("config/demo.toml");
/// How deep folders of policies may nest.
const DEPTH_MAX: usize = 8;

/// What the demo takes from the source tree.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The folder `policies`.
    pub policies: PathBuf,
    /// The country database, `geoip/data/country.mmdb`.
    pub country_database: PathBuf,
}

impl Sources {
    /// Where both stand in a source tree.
    #[must_use]
    pub fn in_tree(root: &Path) -> Self {
        Self { policies: root.join("policies"), country_database: root.join("geoip/data/country.mmdb") }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoFolder {
    /// The folder itself.
    pub folder: PathBuf,
    /// The configuration.
    pub config: PathBuf,
    /// The copy of the policies.
    pub policies: PathBuf,
    /// The token for the operator API; its owner alone may read it.
    pub operator_token: PathBuf,
    /// The certificate that the gateway shows, for whoever wants to trust it.
    pub certificate: PathBuf,
}

/// A folder that one demo has for itself until this is dropped, or the process ends in any way.
#[derive(Debug)]
#[must_use]
pub struct Hold {
    _locked: File,
}

/// Why the folder could not be written.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder is somebody else's.
    #[error("`{0}` is not empty and was not made by the demo: choose another folder")]
    NotOurs(PathBuf),
    /// A demo runs there, and would lose what it stands on.
    #[error("another demo is running in `{0}`: end it first, or choose another folder and other ports")]
    InUse(PathBuf),
    /// Something that should be copied is not there.
    #[error("`{0}` is not there: run the demo in the source tree, or say where it is")]
    NoSource(PathBuf),
    /// Folders in folders without end, or a link.
    #[error("`{0}` is not a plain file or folder, or lies too deep")]
    Strange(PathBuf),
    /// A path that TOML cannot hold.
    #[error("`{0}` is not text in UTF-8")]
    NotText(PathBuf),
    /// The system refused.
    #[error("cannot write `{path}`")]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no randomness for the operator token.
    #[error(transparent)]
    Random(#[from] KeyError),
    /// There is no certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> FolderError + '_ {
    move |source| FolderError::Io { path: path.to_owned(), source }
}

/// Writes the folder, or writes it anew when the demo made it: the policies that a visitor
/// edited, revocations and the audit log of the last demo are gone. To be called when the ports
/// are bound: until then the one who has them may be the demo of this folder. `secret` is what the
/// gateway proves itself with at the provider, and `now` is when the certificate begins.
///
/// # Errors
/// When another demo runs there, the folder holds something else, a source is missing, or the
/// system refuses. Nothing was removed then, but for the last two of these.
pub fn write(
    folder: &Path,
    ports: Ports,
    sources: &Sources,
    secret: &str,
    now: UnixMillis,
) -> Result<(DemoFolder, Hold), FolderError> {
    for source in [&sources.policies, &sources.country_database] {
        if !source.exists() {
            return Err(FolderError::NoSource(source.clone()));
        }
    }
    let hold = claim(folder)?;
    clear(folder)?;
    let folder = folder.canonicalize().map_err(io_at(folder))?;
    let made = DemoFolder {
        config: folder.join("doorward.toml"),
        policies: folder.join("policies"),
        operator_token: folder.join("operator.token"),
        certificate: folder.join("localhost.pem"),
        folder,
    };
    let database = sources.country_database.canonicalize().map_err(io_at(&sources.country_database))?;
    let database = database.to_str().ok_or_else(|| FolderError::NotText(database.clone()))?;
    copy(&sources.policies, &made.policies, DEPTH_MAX)?;
    let token = format!("{}{}", random_id()?, random_id()?);
    private(&made.operator_token, &token)?;
    private(&made.folder.join("client.secret"), secret)?;
    let certificate = for_this_machine(now)?;
    private(&made.folder.join("localhost.key"), certificate.key.trim_end())?;
    fs::write(&made.certificate, certificate.chain).map_err(io_at(&made.certificate))?;
    for (name, text) in [("apps/demo.cedar", OWN_POLICY), ("cases/demo.toml", OWN_CASES)] {
        let own = made.policies.join(name);
        let within = own.parent().unwrap_or(&own);
        fs::create_dir_all(within).map_err(io_at(within))?;
        fs::write(&own, text).map_err(io_at(&own))?;
    }
    fs::write(&made.config, toml(ports, database)).map_err(io_at(&made.config))?;
    Ok((made, hold))
}

/// Takes a folder of the demo, or makes an empty one into it, for as long as the answer lives.
fn claim(folder: &Path) -> Result<Hold, FolderError> {
    let marker = folder.join(MARKER);
    if !marker.is_file() && folder.exists() && fs::read_dir(folder).map_err(io_at(folder))?.next().is_some() {
        return Err(FolderError::NotOurs(folder.to_owned()));
    }
    fs::create_dir_all(folder).map_err(io_at(folder))?;
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).open(&marker).map_err(io_at(&marker))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(FolderError::InUse(folder.to_owned())),
        Err(TryLockError::Error(source)) => return Err(FolderError::Io { path: marker, source }),
    }
    (&file).write_all(b"The demo writes this folder anew each time it starts.\n").map_err(io_at(&marker))?;
    Ok(Hold { _locked: file })
}

/// What an earlier demo wrote goes away.
fn clear(folder: &Path) -> Result<(), FolderError> {
    for name in ["policies", "data"] {
        let old = folder.join(name);
        if old.is_dir() {
            fs::remove_dir_all(&old).map_err(io_at(&old))?;
        }
    }
    for name in ["operator.token", "client.secret", "localhost.key"] {
        let old = folder.join(name);
        if old.is_file() {
            fs::remove_file(&old).map_err(io_at(&old))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, depth: usize) -> Result<(), FolderError> {
    if depth == 0 {
        return Err(FolderError::Strange(from.to_owned()));
    }
    fs::create_dir(to).map_err(io_at(to))?;
    for entry in fs::read_dir(from).map_err(io_at(from))? {
        let entry = entry.map_err(io_at(from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(io_at(&path))?;
        if kind.is_dir() {
            copy(&path, &target, depth - 1)?;
        } else if kind.is_file() {
            fs::copy(&path, &target).map_err(io_at(&target))?;
        } else {
            return Err(FolderError::Strange(path));
        }
    }
    Ok(())
}

fn private(path: &Path, text: &str) -> Result<(), FolderError> {
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io_at(path))?;
    writeln!(file, "{text}").map_err(io_at(path))
}

/// The configuration. The apps differ only in what they are called, so the parts that differ
/// stand in [`app`].
fn toml(ports: Ports, database: &str) -> String {
    let Ports { gateway, operator, provider, intake, secure, .. } = ports;
    let (url, mfa, key) = (ports.page("login", ""), Proof::Mfa.acr(), Proof::Key.acr());
    let apps: String = SampleApp::ALL.map(|a| app(a, ports)).join("\n");
    // A TOML literal string has no escapes; only a quote would end it.
    let database = if database.contains('\'') { format!("{database:?}") } else { format!("'{database}'") };
    format!(
        r#"# The demo's configuration: what `doorward run` takes, with a provider that asks for no password.
# Written anew by each `doorward demo`.

[gateway]
node = "demo"
data_dir = "data"
time_zone = "Europe/Berlin"
public_url = "http://localhost:{gateway}"

[[listen]] # for curl
address = "127.0.0.1:{gateway}"

[[listen]] # for browsers
address = "127.0.0.1:{secure}"

[[listen.certificate]]
chain = "localhost.pem"
key = "localhost.key"

[operator]
address = "127.0.0.1:{operator}"
token_file = "operator.token"

# This machine counts as the office. Its second address counts as a proxy that is trusted: with
# `curl --interface 127.0.0.2 -H 'X-Forwarded-For: 175.45.176.1'` a request comes from anywhere in
# the world.
[network]
trusted_proxies = ["127.0.0.2/32"]
client_address_header = "x-forwarded-for"

[network.named]
corp = ["127.0.0.0/8", "10.0.0.0/8"]
vpn = ["192.0.2.0/24"]

[geoip]
databases = [{database}]

[[issuer]]
id = "{ISSUER_ID}"
issuer = "http://127.0.0.1:{provider}"
audiences = ["{AUDIENCE}"]
algorithms = ["ES256"]
token_types = ["at+jwt"]

[issuer.assurance]
mfa_amr = ["mfa"]
phishing_resistant_amr = ["hwk"]

[issuer.sign_in]
title = "the demo"
client_id = "{CLIENT_ID}"
client_secret_file = "client.secret"
mfa_acr_values = ["{mfa}"]
phishing_resistant_acr_values = ["{key}"]

# Those who come and go by SCIM: their tokens say who they are, and the directory says the rest.
[[issuer]]
id = "{CORP_ID}"
issuer = "http://127.0.0.1:{provider}/{CORP_ID}"
audiences = ["{AUDIENCE}"]
algorithms = ["ES256"]
token_types = ["at+jwt"]

[issuer.assurance]
mfa_amr = ["mfa"]
phishing_resistant_amr = ["hwk"]

[sign_in]
url = "{url}"
organization = "Demo"

[directory]
people = "known"
token_for = ["{ISSUER_ID}"]

[intake]
address = "127.0.0.1:{intake}"

# One clock on one machine.
[revocation]
issuer_skew_millis = 0

[policy]
dir = "policies"
watch = true

{apps}"#
    )
}

fn app(app: SampleApp, ports: Ports) -> String {
    let (id, host) = (app.id(), app.host());
    match app {
        SampleApp::Wiki => format!(
            r#"[[app]]
id = "{id}"
hosts = ["{host}"]

[app.upstream]
addresses = ["127.0.0.1:{port}"]
health_path = "/healthz"

[[app.route]]
id = "welcome"
path = "/welcome"
tier = "public"
public = true

[[app.route]]
id = "admin"
path = "/admin"
tier = "restricted"
admin_surface = true
"#,
            port = ports.wiki
        ),
        SampleApp::Payroll => format!(
            r#"[[app]]
id = "{id}"
groups = ["finance"]
hosts = ["{host}"]
tier = "restricted"
scope = "payroll:read"

[app.upstream]
addresses = ["127.0.0.1:{port}"]
health_path = "/healthz"

[[app.route]]
id = "admin"
path = "/admin"
tier = "restricted"
admin_surface = true
"#,
            port = ports.payroll
        ),
        // gRPC needs HTTP/2 to the app and a WebSocket HTTP/1.1: two apps at one host.
        SampleApp::Build => format!(
            r#"[[app]]
id = "{id}"
groups = ["engineering"]
hosts = ["{host}"]
scope = "build:run"

[app.upstream]
addresses = ["127.0.0.1:{port}"]
health_path = "/healthz"

[[app]]
id = "{id}-grpc"
groups = ["engineering"]
hosts = ["{host}"]
scope = "build:run"
path_prefix = "/doorward.demo.Build"

[app.upstream]
addresses = ["127.0.0.1:{port}"]
protocol = "h2"
"#,
            port = ports.build
        ),
    }
}

#[cfg(test)]
mod tests;
