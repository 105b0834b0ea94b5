//! `[sign_in]`: where people sign in with a browser, and for how long.

use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_model::complaint::{Complaint, KeyPath};
use doorward_model::limits;
use serde::Deserialize;

use crate::routes::host_name;

/// `[sign_in]` as written.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct SignInSection {
    /// The origin at which people sign in.
    pub url: Option<String>,
    /// Minutes without a request after which a session ends.
    pub idle_minutes: Option<u64>,
    /// Hours after which a session ends in any case.
    pub absolute_hours: Option<u64>,
    /// Minutes after which the provider is asked whether a person who goes on may.
    pub revalidate_minutes: Option<u64>,
    /// Files with the keys that seal cookies. The first seals, all open.
    pub key_files: Option<Vec<PathBuf>>,
    /// Where people enroll a device.
    pub enroll_url: Option<String>,
    /// Whose door it is, as the pages say it.
    pub organization: Option<String>,
}

/// Where people sign in, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// Where they sign in.
    pub origin: Origin,
    /// See [`limits::SESSION_IDLE_MINUTES`].
    pub idle: Duration,
    /// See [`limits::SESSION_ABSOLUTE_HOURS`].
    pub absolute: Duration,
    /// See [`limits::SESSION_REVALIDATE_MINUTES`].
    pub revalidate: Duration,
    /// Files with the keys that seal cookies. The first seals, all open.
    pub key_files: Vec<PathBuf>,
    /// The one key file is ours to make where it is missing.
    pub makes_key: bool,
    /// Where people enroll a device.
    pub enroll_url: Option<String>,
    /// Whose door it is, as the pages say it.
    pub organization: Option<String>,
}

/// Where people sign in (RFC 6454): always by https.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    host: String,
    port: Option<u16>,
}

// === impl Origin ===

impl Origin {
    /// The host, in lower case.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address of a path, with `/` in front, on a host of ours. All of them have the port of this one.
    #[must_use]
    pub fn at(&self, host: &str, path: &str) -> String {
        match self.port {
            Some(port) => format!("https://{host}:{port}{path}"),
            None => format!("https://{host}{path}"),
        }
    }

    /// The address of a path, with `/` in front, where people sign in.
    #[must_use]
    pub fn own(&self, path: &str) -> String {
        self.at(&self.host, path)
    }
}

/// Checks the section.
pub fn check_sign_in(
    section: &SignInSection,
    at: &KeyPath,
    base_dir: &Path,
    data_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Option<SignIn> {
    let before = complaints.len();
    let origin = origin(section.url.as_deref(), at, complaints);
    let mut take = |name: &str, written: Option<u64>, default: u64, (least, most): (u64, u64), unit: u64| {
        let value = written.unwrap_or(default);
        if !(least..=most).contains(&value) {
            complaints.push(Complaint::new(
                at.key(name),
                format!("`{value}` is out of bounds"),
                format!("use {least} to {most}; the default is {default}"),
            ));
            return Duration::ZERO;
        }
        Duration::from_secs(value * unit)
    };
    let idle = take("idle_minutes", section.idle_minutes, limits::SESSION_IDLE_MINUTES, (1, 1440), 60);
    let absolute =
        take("absolute_hours", section.absolute_hours, limits::SESSION_ABSOLUTE_HOURS, (1, 168), 3600);
    let minutes = limits::SESSION_REVALIDATE_MINUTES;
    let revalidate = take("revalidate_minutes", section.revalidate_minutes, minutes, (1, 1440), 60);
    if !idle.is_zero() && !absolute.is_zero() && idle > absolute {
        complaints.push(Complaint::new(
            at.key("idle_minutes"),
            "a session would end before it is idle for so long",
            "make `idle_minutes` shorter than `absolute_hours`",
        ));
    }
    let (key_files, makes_key) = match section.key_files.as_deref() {
        None => (vec![data_dir.join("session.key")], true),
        Some([]) => {
            complaints.push(Complaint::new(
                at.key("key_files"),
                "`key_files` is empty: nothing could be sealed",
                "name a file with 32 random bytes as base64 (`openssl rand -base64 32`), or remove the key",
            ));
            (Vec::new(), false)
        }
        Some(files) => (files.iter().map(|file| base_dir.join(file)).collect(), false),
    };
    let enroll_url = enroll(section.enroll_url.as_deref(), at, complaints);
    let organization = organization(section.organization.as_deref(), at, complaints);
    if complaints.len() > before {
        return None;
    }
    let origin = origin?;
    Some(SignIn { origin, idle, absolute, revalidate, key_files, makes_key, enroll_url, organization })
}

fn origin(url: Option<&str>, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Option<Origin> {
    let help = "write `url = \"https://login.corp.example\"`: a host of its own, which this gateway serves";
    let Some(url) = url else {
        complaints.push(Complaint::new(at.clone(), "`[sign_in]` has no `url`", help));
        return None;
    };
    let parsed = url.to_ascii_lowercase().strip_prefix("https://").and_then(|rest| {
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let host = host_name(authority).filter(|host| host.parse::<std::net::IpAddr>().is_err())?;
        let port = match authority.strip_prefix(host)? {
            "" | ":443" => None,
            port => Some(port.strip_prefix(':')?.parse().ok().filter(|port| *port != 0)?),
        };
        Some(Origin { host: host.to_owned(), port })
    });
    if parsed.is_none() {
        let shown: String = url.escape_debug().take(100).collect();
        complaints.push(Complaint::new(at.key("url"), format!("`{shown}` is not an https origin"), help));
    }
    parsed
}

fn enroll(url: Option<&str>, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Option<String> {
    let url = url?;
    let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\');
    let rest = url.strip_prefix("https://").unwrap_or_default();
    if rest.is_empty() || url.len() > 2048 || !url.bytes().all(fits) {
        let shown: String = url.escape_debug().take(100).collect();
        complaints.push(Complaint::new(
            at.key("enroll_url"),
            format!("`{shown}` is not an https address"),
            "write where people enroll a device, such as `https://mdm.corp.example/enroll`",
        ));
        return None;
    }
    Some(url.to_owned())
}

fn organization(name: Option<&str>, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Option<String> {
    let name = name?.trim();
    if name.is_empty() || name.chars().count() > 60 || name.chars().any(char::is_control) {
        complaints.push(Complaint::new(
            at.key("organization"),
            "`organization` is no name",
            "write 1 to 60 letters on one line, or remove the key",
        ));
        return None;
    }
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<SignIn, String> {
        let section: SignInSection = toml::from_str(text).unwrap();
        let mut complaints = Vec::new();
        let at = KeyPath::top().key("sign_in");
        let checked = check_sign_in(&section, &at, Path::new("/etc/d"), Path::new("/var/d"), &mut complaints);
        let said: Vec<_> = complaints
            .iter()
            .map(|c| format!("{}: {}; {}", c.at, c.message, c.help.clone().unwrap_or_default()))
            .collect();
        assert_eq!(checked.is_none(), !said.is_empty(), "{said:?}");
        checked.ok_or_else(|| said.join("\n"))
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let usual = check("url = \"https://Login.corp.example/\"").unwrap();
        assert_eq!(usual.origin.own("/x"), "https://login.corp.example/x");
        assert_eq!(usual.origin.at("wiki.corp.example", "/"), "https://wiki.corp.example/");
        assert_eq!(usual.idle, Duration::from_secs(30 * 60));
        assert_eq!(usual.absolute, Duration::from_secs(12 * 3600));
        assert_eq!(usual.revalidate, Duration::from_secs(600));
        assert_eq!((usual.key_files, usual.makes_key), (vec![PathBuf::from("/var/d/session.key")], true));
        let own = check("url = \"https://login.test:8443\"\nkey_files = [\"a.key\", \"b.key\"]").unwrap();
        assert_eq!(own.origin.at("wiki.test", "/a"), "https://wiki.test:8443/a");
        assert_eq!(own.key_files, ["/etc/d/a.key", "/etc/d/b.key"].map(PathBuf::from));
        assert!(!own.makes_key);
    }

    #[test]
    fn only_an_origin_is_one() {
        for bad in [
            "http://login.corp.example",
            "login.corp.example",
            "https://",
            "https://login.corp.example/start",
            "https://a@login.corp.example",
            "https://login.corp.example:0",
            "https://login.corp.example:99999",
            "https://login.corp.example?x",
            "https://127.0.0.1",
            "https://login corp",
            "javascript:alert(1)",
        ] {
            let said = check(&format!("url = {bad:?}")).unwrap_err();
            assert!(
                said.contains("sign_in.url: `") && said.contains("is not an https origin"),
                "{bad}: {said}"
            );
        }
        assert!(check("").unwrap_err().contains("has no `url`"));
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_cure() {
        for (text, says) in [
            (
                "idle_minutes = 0",
                "sign_in.idle_minutes: `0` is out of bounds; use 1 to 1440; the default is 30",
            ),
            ("absolute_hours = 169", "sign_in.absolute_hours: `169` is out of bounds"),
            ("revalidate_minutes = 0", "sign_in.revalidate_minutes: `0` is out of bounds"),
            ("idle_minutes = 90\nabsolute_hours = 1", "sign_in.idle_minutes: a session would end before"),
            ("key_files = []", "sign_in.key_files: `key_files` is empty"),
            ("enroll_url = \"http://mdm\"", "sign_in.enroll_url: `http://mdm` is not an https address"),
            ("organization = \" \"", "sign_in.organization: `organization` is no name"),
        ] {
            let said = check(&format!("url = \"https://login.test\"\n{text}")).unwrap_err();
            assert!(said.contains(says), "{text}: {said}");
        }
    }
}
