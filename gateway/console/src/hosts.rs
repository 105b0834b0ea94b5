//! The names under which the console answers.
//!
//! A page of another site can point a name of its own at this machine (DNS rebinding) and have a
//! browser call the console; the browser then says that name in `Host`. So only names that an
//! attacker cannot own are good: this machine's own, its addresses, and what was configured.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::HeaderValue;
use axum::http::header::HOST;
use axum::http::request::Parts;

/// The names under which the console answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    address: IpAddr,
    names: Vec<String>,
}

impl Hosts {
    /// The address that the console listens on, and further names that lead to it.
    #[must_use]
    pub fn new(listens_on: SocketAddr, names: impl IntoIterator<Item = String>) -> Self {
        let names = names.into_iter().map(|n| n.to_ascii_lowercase()).collect();
        Self { address: listens_on.ip(), names }
    }

    /// Whether a request names a host that is this one.
    pub(crate) fn admit(&self, parts: &Parts) -> bool {
        let mut named = parts.headers.get_all(HOST).iter();
        let (Some(host), None) = (named.next(), named.next()) else { return false };
        let Some(host) = name_of(host) else { return false };
        // A request target with a host of its own (RFC 9112 §3.2.2) must say the same.
        let in_target = parts.uri.host().map(unbracketed);
        in_target.is_none_or(|other| other.eq_ignore_ascii_case(host)) && self.knows(host)
    }

    fn knows(&self, host: &str) -> bool {
        if let Ok(ip) = host.parse::<IpAddr>() {
            // An address cannot be rebound. One that listens everywhere is reached by any.
            return ip.is_loopback() || ip == self.address || self.address.is_unspecified();
        }
        let host = host.to_ascii_lowercase();
        host == "localhost" || self.names.contains(&host)
    }
}

/// The host in a `Host` header, without the port and the brackets of an IPv6 address.
fn name_of(header: &HeaderValue) -> Option<&str> {
    let text = header.to_str().ok()?;
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inside, after) = rest.split_once(']')?;
            inside.parse::<Ipv6Addr>().ok()?;
            (inside, after.strip_prefix(':').or_else(|| after.is_empty().then_some("0"))?)
        }
        None => text.split_once(':').unwrap_or((text, "0")),
    };
    let port_is_good = !port.is_empty() && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    (!host.is_empty() && port_is_good).then_some(host)
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn admits(hosts: &Hosts, target: &str, named: &[&str]) -> bool {
        let mut request = Request::get(target);
        for name in named {
            request = request.header(HOST, *name);
        }
        hosts.admit(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn only_names_that_nobody_else_can_own_are_good() {
        let one = Hosts::new("10.0.0.5:9180".parse().unwrap(), ["Doorward.Internal".to_owned()]);
        for good in [
            "localhost",
            "LOCALHOST:9180",
            "127.0.0.1:9180",
            "127.9.9.9",
            "[::1]:9180",
            "[::1]",
            "10.0.0.5",
            "10.0.0.5:80",
            "doorward.internal",
            "DOORWARD.internal:9180",
        ] {
            assert!(admits(&one, "/", &[good]), "{good}");
        }
        for bad in [
            "",
            ":9180",
            "evil.example",
            "evil.example:9180",
            "localhost.evil.example",
            "10.0.0.5.evil.example",
            "10.0.0.6",
            "::1",
            "[::1",
            "[::1]x",
            "[localhost]",
            "localhost:",
            "localhost:http",
            "localhost:1:2",
            "localhost:99999999",
            "user@localhost",
            "localhost,evil.example",
            "localhost evil",
            "xn--lcalhost-54a",
        ] {
            assert!(!admits(&one, "/", &[bad]), "{bad:?}");
        }
        assert!(!admits(&one, "/", &[]), "no host");
        assert!(!admits(&one, "/", &["localhost", "localhost"]), "two hosts");
        assert!(admits(&one, "http://localhost:9180/", &["localhost:9180"]));
        assert!(admits(&one, "http://[::1]:9180/", &["[::1]:9180"]));
        assert!(!admits(&one, "http://evil.example/", &["localhost"]));
        assert!(!admits(&one, "http://localhost/", &["evil.example"]));
    }

    #[test]
    fn who_listens_everywhere_is_reached_by_any_address_but_not_by_any_name() {
        let all = Hosts::new("0.0.0.0:9180".parse().unwrap(), []);
        assert!(admits(&all, "/", &["10.9.8.7:9180"]) && admits(&all, "/", &["[2001:db8::1]"]));
        assert!(!admits(&all, "/", &["evil.example"]));
    }
}
