//! `[gateway]`: this node.

use std::path::{Path, PathBuf};

use doorward_context::Calendar;
use doorward_context::config::check_time_zone;
use doorward_model::complaint::{Complaint, KeyPath};
use serde::Deserialize;

/// Where data lives unless the file says otherwise.
pub(super) const DATA_DIR: &str = "/var/lib/doorward";
/// The name of a node that has none.
pub(super) const NODE: &str = "gw-1";
/// The most worker threads that make sense to ask for.
const THREADS_MAX: u64 = 1024;

/// `[gateway]` as written.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct GatewaySection {
    /// The name of the node.
    pub node: Option<String>,
    /// The folder for revocations, the audit log and the signing key.
    pub data_dir: Option<PathBuf>,
    /// The time zone of policies, by its IANA name.
    pub time_zone: Option<String>,
    /// Worker threads.
    pub threads: Option<u64>,
    /// `iss` of the assertions for upstreams.
    pub public_url: Option<String>,
}

/// This node.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Its name in the audit log.
    pub node: String,
    /// The folder for revocations, the audit log and the signing key.
    pub data_dir: PathBuf,
    /// What policies see as local time.
    pub calendar: Calendar,
    /// Worker threads.
    pub threads: usize,
    /// `iss` of the assertions for upstreams, without a final `/`.
    pub public_url: String,
}

impl Gateway {
    pub(super) fn check(
        section: Option<&GatewaySection>,
        at: &KeyPath,
        base_dir: &Path,
        complaints: &mut Vec<Complaint>,
    ) -> Option<Self> {
        let none = GatewaySection::default();
        let section = section.unwrap_or(&none);
        let node = node(section.node.as_deref(), at, complaints);
        let data_dir = data_dir(section.data_dir.as_deref(), at, base_dir, complaints);
        let calendar = check_time_zone(section.time_zone.as_deref(), &at.key("time_zone"), complaints);
        let threads = threads(section.threads, at, complaints);
        let public_url = public_url(section.public_url.as_deref(), at, complaints);
        Some(Self {
            node: node?,
            data_dir: data_dir?,
            calendar: calendar?,
            threads: threads?,
            public_url: public_url?,
        })
    }
}

fn node(written: Option<&str>, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Option<String> {
    let name = written.unwrap_or(NODE);
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
        complaints.push(Complaint::new(
            at.key("node"),
            format!("`{}` is not a name for a node", name.chars().take(80).collect::<String>()),
            "use 1 to 64 letters, digits, `-`, `_` and `.`",
        ));
        return None;
    }
    Some(name.to_owned())
}

fn data_dir(
    written: Option<&Path>,
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Option<PathBuf> {
    let dir = base_dir.join(written.unwrap_or(Path::new(DATA_DIR)));
    if dir.exists() && !dir.is_dir() {
        complaints.push(Complaint::new(
            at.key("data_dir"),
            format!("`{}` is not a folder", dir.display()),
            "name a folder; it is created if it is not there",
        ));
        return None;
    }
    Some(dir)
}

fn threads(written: Option<u64>, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Option<usize> {
    let Some(n) = written else {
        return Some(std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    };
    if n == 0 || n > THREADS_MAX {
        complaints.push(Complaint::new(
            at.key("threads"),
            format!("`{n}` is out of bounds"),
            format!("use 1 to {THREADS_MAX}, or leave it out for the number of cores"),
        ));
        return None;
    }
    usize::try_from(n).ok()
}

fn public_url(written: Option<&str>, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Option<String> {
    const HELP: &str = "write how the apps know this gateway, such as \
                        `public_url = \"https://doorward.corp.example\"`; they check it as `iss`";
    let Some(written) = written else {
        complaints.push(Complaint::new(at.key("public_url"), "the key `public_url` is missing", HELP));
        return None;
    };
    let plain = |url: &reqwest::Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    match reqwest::Url::parse(written) {
        Ok(url) if plain(&url) => Some(url.as_str().trim_end_matches('/').to_owned()),
        Ok(_) | Err(_) => {
            complaints.push(Complaint::new(
                at.key("public_url"),
                format!(
                    "`{}` is not a plain http or https URL",
                    written.chars().take(200).collect::<String>()
                ),
                HELP,
            ));
            None
        }
    }
}
