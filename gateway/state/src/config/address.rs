//! Where a server is: a host and a port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

const HOST_BYTES_MAX: usize = 253;

/// A host and a port, such as `db.corp.example:5432` or `[2001:db8::7]:6379`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// Reads it. The port is never left out.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        // `parse` would take `+5`.
        let port = Some(port).filter(|p| p.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
        if port == 0 {
            return None;
        }
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.to_string(),
            None if is_host(host) => host.to_owned(),
            None => return None,
        };
        Some(Self { host, port })
    }

    /// The name or the address of the host, an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether it never leaves this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A DNS name or an IPv4 address.
fn is_host(host: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    host.len() <= HOST_BYTES_MAX && host.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_writes_and_nothing_else() {
        for (text, loopback) in [
            ("db.corp.example:5432", false),
            ("10.0.0.7:1", false),
            ("127.0.0.1:6379", true),
            ("127.9.9.9:6379", true),
            ("localhost:6379", true),
            ("[::1]:6379", true),
            ("[2001:db8::7]:65535", false),
            ("localhost.corp.example:6379", false),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.to_string().as_str(), address.is_loopback()), (text, loopback));
        }
        for bad in [
            "",
            ":",
            "db",
            "db:",
            ":5432",
            "db:0",
            "db:65536",
            "db:+5",
            "db:5 ",
            " db:5",
            "::1:5",
            "[::1]",
            "[::1:5",
            "[db]:5",
            "a..b:5",
            "db/x:5",
            "user@db:5",
            "redis://db:5",
            "bücher:5",
            "db:5432,db:5433",
        ] {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
        assert_eq!(Address::parse(&format!("{}a:5", "a.".repeat(130))), None);
    }
}
