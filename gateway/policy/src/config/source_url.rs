//! The address of a bundle.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use doorward_model::limits::POLICY_SOURCE_URL_BYTES_MAX;

/// The address of a bundle. What stands behind its question mark may be a secret (object stores sign addresses so), and
/// is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceUrl(String);

/// What is wrong with an address, and what to do about it.
type Wrong = (&'static str, &'static str);

impl SourceUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it, without a word of it.
    pub(super) fn read(written: &str) -> Result<Self, Wrong> {
        const NONE: Wrong = (
            "this is not an address that begins with `https://`",
            "write one like `https://policies.corp.example/new.dwp`",
        );
        let rest = written.strip_prefix("https://").ok_or(NONE)?;
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).ok_or(NONE)?;
        if authority.contains('@') {
            return Err((
                "a user or a password stands in this address, and it is shown in the log",
                "remove it; what is to be shown there is written into a file, of which `token_file` is the name",
            ));
        }
        let fits = |b: u8| b.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&b);
        let is_good = written.len() <= POLICY_SOURCE_URL_BYTES_MAX && path.bytes().all(fits);
        if is_good && is_authority(authority) { Ok(Self(written.to_owned())) } else { Err(NONE) }
    }

    /// All of it, to ask there.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A host, and a port perhaps.
fn is_authority(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let Some((host, port)) = rest.split_once(']') else { return false };
            if host.parse::<Ipv6Addr>().is_err() {
                return false;
            }
            (None, port)
        }
        None => authority
            .split_at_checked(authority.find(':').unwrap_or(authority.len()))
            .map_or((Some(""), ""), |(host, port)| (Some(host), port)),
    };
    let is_port =
        |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0);
    host.is_none_or(is_host) && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// A name, or an IPv4 address: what ends in a number is nothing else.
fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.starts_with(|c: char| c.is_ascii_digit());
    host.split('.').all(label) && (!is_number || host.parse::<Ipv4Addr>().is_ok())
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once('?') {
            Some((shown, _)) => write!(f, "{shown}?…"),
            None => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_in_an_address_is_not_shown() {
        let url = SourceUrl::read("https://store.example:8443/a/new.dwp?X-Sig=SECRET&x=1").unwrap();
        assert_eq!(url.to_string(), "https://store.example:8443/a/new.dwp?…");
        assert_eq!(format!("{url:?}"), url.to_string());
        assert!(url.expose().ends_with("?X-Sig=SECRET&x=1"));
    }

    #[test]
    fn an_address_is_one_that_can_be_asked() {
        for good in [
            "https://x",
            "https://x/",
            "https://a-b.c_d.example/new.dwp",
            "https://10.0.0.1:8443/x",
            "https://[::1]/x",
            "https://[fe80::1]:1/x",
            "https://x?a=b@c",
            "https://x/a@b/%20",
        ] {
            assert_eq!(SourceUrl::read(good).unwrap().expose(), good);
        }
        let long = format!("https://x/{}", "a".repeat(POLICY_SOURCE_URL_BYTES_MAX));
        for bad in [
            "",
            "x",
            "http://x",
            "HTTPS://x",
            "https://",
            "https:///x",
            "https:// nonsense",
            "https://x y",
            "https://x/ y",
            "https://x/\u{e9}",
            "https://x/#part",
            "https://x\\y",
            "https://.",
            "https://x..y",
            "https://x:",
            "https://x:0",
            "https://x:99999",
            "https://x:+1",
            "https://x:1:2",
            "https://[::1",
            "https://[::g]",
            "https://[::1]x",
            "https://1.2.3",
            "https://x.1",
            "https://x/\n",
            "https://a,b",
            long.as_str(),
        ] {
            let (wrong, _) = SourceUrl::read(bad).unwrap_err();
            assert!(wrong.starts_with("this is not an address"), "{bad}");
        }
        for secret in ["https://pull:hunter2@x/new.dwp", "https://token@x", "https://@x", "https://a:b@"] {
            let (wrong, help) = SourceUrl::read(secret).unwrap_err();
            assert!(wrong.starts_with("a user or a password") && help.contains("token_file"), "{secret}");
        }
    }
}
