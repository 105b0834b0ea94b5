//! The keys of an issuer: where they come from, which are taken, and how long they are used.
//!
//! ```text
//!  KeySource ──fetch──▶ bytes ──KeySet::read──▶ KeySet ──KeyRing──▶ the key for one token
//!  discovery, address   ≤ 64 KiB, no redirect   ≤ 50 keys, sound    swapped whole, with an epoch
//!  or file
//! ```

mod fetch;
mod ring;
mod set;

use std::net::IpAddr;
use std::path::PathBuf;

use reqwest::Url;

pub use fetch::{ClientError, KeyClient, http_client, ssf_configuration_of};
pub(crate) use fetch::{document_of, read_file};
pub use ring::KeyStatus;
pub(crate) use ring::{KeyRing, keep_all_fresh, refresh_all};
pub(crate) use set::KeySet;

/// Where the keys of an issuer come from.
#[derive(Debug, Clone)]
pub(crate) enum KeySource {
    /// The issuer's own document says where.
    Discovery {
        /// The issuer, exactly as its document must repeat it.
        issuer: String,
        /// Which document.
        document: Discovery,
    },
    /// A fixed address.
    Uri(Url),
    /// A file on this machine.
    File(PathBuf),
}

/// The document in which an issuer says where its keys are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Discovery {
    /// `openid-configuration`, after the issuer's path (OpenID Connect Discovery §4).
    OpenId,
    /// `ssf-configuration`, between the issuer's host and its path (SSF 1.0 §7.2).
    SharedSignals,
}

/// Whether an address is on this machine, so that nobody can listen or meddle on the way.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or("");
    let address = host.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback(),
        Err(_) => is_local_name(host),
    }
}

/// `localhost` and the names under it (RFC 6761 §6.3). [`KeyClient`] never asks anybody where
/// these are, so that they are this machine whatever a name server says.
pub(crate) fn is_local_name(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Whether keys may come from there, and tokens go there: https, or http on this machine; nothing secret in it.
#[must_use]
pub fn may_be_fetched(url: &Url) -> bool {
    let safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url));
    safe && url.host_str().is_some() && url.username().is_empty() && url.password().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for (url, good) in [
            ("https://idp.corp.example/keys", true),
            ("http://127.0.0.1:9/keys", true),
            ("http://127.9.9.9/keys", true),
            ("http://[::1]:9/keys", true),
            ("http://localhost/keys", true),
            ("http://idp.localhost:8080/keys", true),
            ("http://idp.corp.example/keys", false),
            ("http://127.0.0.1.corp.example/keys", false),
            ("http://localhost.corp.example/keys", false),
            ("http://xlocalhost/keys", false),
            ("http://10.0.0.1/keys", false),
            ("https://user:password@idp.corp.example/keys", false),
            ("ftp://127.0.0.1/keys", false),
            ("file:///etc/keys", false),
        ] {
            assert_eq!(may_be_fetched(&Url::parse(url).unwrap()), good, "{url}");
        }
    }
}
