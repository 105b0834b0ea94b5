//! How the gateway itself speaks to a transmitter: where events are fetched (RFC 8936), where it asks for
//! verifications (SSF 1.0 §8.1.4), with which token, and at which addresses it does so at all.
//!
//! The token goes to the hosts that the configuration names, and nowhere else: to that of the issuer, of
//! `poll_url`, and of `api_at`. A transmitter's document that names another address changes nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_identity::{may_be_fetched, shown};
use doorward_model::{Complaint, KeyPath};
use reqwest::Url;

use super::config::StreamSection;
use super::health::Watch;
use super::secret;

/// The bounds of `verify_minutes`: a week is the longest that anybody should not know.
const VERIFY_MINUTES: (u64, u64) = (1, 10_080);
/// The bounds of `silent_hours`.
const SILENT_HOURS: (u64, u64) = (1, 8_760);
/// The most addresses in `api_at`.
const API_AT_MAX: usize = 8;

/// How the gateway speaks to one transmitter. Only [`check`] builds one that does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    poll: Option<Url>,
    token_file: Option<PathBuf>,
    verify: Option<Duration>,
    silent_max: Option<Duration>,
    /// Where the token may go.
    hosts: Vec<Url>,
}

// === impl Contact ===

impl Contact {
    /// Where its events are fetched. None: they are pushed.
    #[must_use]
    pub const fn poll(&self) -> Option<&Url> {
        self.poll.as_ref()
    }

    /// The file with the token that the transmitter knows this gateway by.
    #[must_use]
    pub fn token_file(&self) -> Option<&Path> {
        self.token_file.as_deref()
    }

    /// How often a verification is asked for. None: never.
    #[must_use]
    pub const fn verify(&self) -> Option<Duration> {
        self.verify
    }

    /// By what it is noticed that the stream is silent.
    #[must_use]
    pub const fn watch(&self) -> Watch {
        Watch { asked: self.verify.is_some(), silent_max: self.silent_max, fetched: self.poll.is_some() }
    }

    /// Whether the token may go there.
    #[must_use]
    pub fn may_call(&self, url: &Url) -> bool {
        may_be_fetched(url) && self.hosts.iter().any(|known| known.origin() == url.origin())
    }
}

/// Checks the keys of one stream that say how the gateway speaks to its transmitter.
pub(super) fn check(
    section: &StreamSection,
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Contact {
    let poll = poll_url(section, at, complaints);
    let verify = bounded(section.verify_minutes, VERIFY_MINUTES, at.key("verify_minutes"), complaints);
    let silent = bounded(section.silent_hours, SILENT_HOURS, at.key("silent_hours"), complaints);
    let token_file = token_file(section, at, base_dir, complaints);
    let api_at = api_at(section, at, complaints);
    let issuer = section.issuer.as_deref().and_then(|issuer| Url::parse(issuer).ok());
    if verify.is_some() && section.stream_id.as_deref().is_none_or(str::is_empty) {
        let message = "a verification is asked for a stream, and `stream_id` does not say which";
        let help = "add `stream_id = \"…\"`, as the transmitter told it when the stream was made";
        complaints.push(Complaint::new(at.key("verify_minutes"), message, help));
    }
    if verify.is_some() && section.issuer.is_some() && !issuer.as_ref().is_some_and(may_be_fetched) {
        let message = "its transmitter says at its issuer where to ask, and the issuer is no https address";
        let help = "take `verify_minutes` out, and set `silent_hours` instead";
        complaints.push(Complaint::new(at.key("verify_minutes"), message, help));
    }
    let hosts = issuer.into_iter().chain(poll.clone()).chain(api_at).collect();
    Contact {
        poll,
        token_file,
        verify: verify.map(|minutes| Duration::from_secs(minutes * 60)),
        silent_max: silent.map(|hours| Duration::from_secs(hours * 3600)),
        hosts,
    }
}

fn bounded(
    written: Option<u64>,
    (min, max): (u64, u64),
    at: KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<u64> {
    let value = written?;
    if !(min..=max).contains(&value) {
        let message = format!("{value} is not between {min} and {max}");
        complaints.push(Complaint::new(at, message, "left out, nobody notices that the stream is silent"));
        return None;
    }
    Some(value)
}

fn poll_url(section: &StreamSection, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Option<Url> {
    let written = section.poll_url.as_deref()?;
    let at = at.key("poll_url");
    if section.push_token_files.is_some() {
        let message = "both `poll_url` and `push_token_files` are set: a stream is fetched or pushed";
        let help = "keep the one that the stream's `delivery` says at the transmitter";
        complaints.push(Complaint::new(at.clone(), message, help));
    }
    match Url::parse(written) {
        Ok(url) if may_be_fetched(&url) && url.fragment().is_none() => Some(url),
        Ok(_) | Err(_) => {
            let message = format!("`{}` is not an https address", shown(written, 100));
            let help = "write the `endpoint_url` of the stream's `delivery`, an https address without user and \
                        password; http is accepted for this machine only";
            complaints.push(Complaint::new(at, message, help));
            None
        }
    }
}

/// Read once, so that a mistake is told now; it is read anew for each call, so that it can be exchanged.
fn token_file(
    section: &StreamSection,
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Option<PathBuf> {
    let users =
        [("poll_url", section.poll_url.is_some()), ("verify_minutes", section.verify_minutes.is_some())];
    let user = users.into_iter().find_map(|(key, is_set)| is_set.then_some(key));
    let Some(file) = &section.token_file else {
        if let Some(key) = user {
            let message = format!("`{key}` without `token_file`: the transmitter would not know who asks");
            let help =
                "add `token_file = \"transmitter.token\"`, a file with the token that the transmitter gave";
            complaints.push(Complaint::new(at.key(key), message, help));
        }
        return None;
    };
    let at = at.key("token_file");
    if user.is_none() {
        let help = "set `poll_url` or `verify_minutes`, or take it out";
        complaints.push(Complaint::new(at.clone(), "nothing is asked with this token", help));
    }
    let file = base_dir.join(file);
    match secret::line(&file) {
        Ok(line) if !line.contains(' ') => {}
        Ok(_) => {
            let message = format!("`{}` does not hold one word", file.display());
            complaints.push(Complaint::new(at, message, "write the token, and nothing else, into it"));
        }
        Err(error) => complaints.push(Complaint::new(at, error.to_string(), error.help())),
    }
    Some(file)
}

fn api_at(section: &StreamSection, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Vec<Url> {
    let written = section.api_at.as_deref().unwrap_or_default();
    let at = at.key("api_at");
    if written.len() > API_AT_MAX {
        let message = format!("{} addresses are more than {API_AT_MAX}", written.len());
        complaints.push(Complaint::new(at, message, "name the hosts of this transmitter's endpoints only"));
        return Vec::new();
    }
    let mut hosts = Vec::new();
    for (i, text) in written.iter().enumerate() {
        match Url::parse(text) {
            Ok(url) if may_be_fetched(&url) && url.path() == "/" && url.query().is_none() => hosts.push(url),
            Ok(_) | Err(_) => complaints.push(Complaint::new(
                at.index(i),
                format!("`{}` is not an https address of a host", shown(text, 100)),
                "write it without a path, such as `https://api.idp.example`",
            )),
        }
    }
    hosts
}
