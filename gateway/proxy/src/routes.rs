//! Host and path to app and route, once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{App, Route};
use crate::path::{NormalPath, PathFault};
use crate::upstream::Upstreams;

/// An app as it is served: what was configured, and its live upstream.
pub struct ServedApp {
    /// What was configured.
    pub app: App,
    /// Where requests go; reached only with a permit.
    pub(crate) upstream: Upstreams,
}

/// Where one request goes: the app and its route, resolved once and carried from then on.
#[derive(Clone)]
pub struct Resolved {
    /// The app.
    pub app: Arc<ServedApp>,
    /// The place of the route in [`App::routes`].
    route: usize,
    /// The path in normal form.
    pub path: NormalPath,
}

/// Why nothing was resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// No app has the host.
    NoHost,
    /// The host is known, the path is not under any app's prefix.
    NoPath,
    /// The path has no single reading.
    Path(PathFault),
}

/// Every door by host name.
pub struct RouteTable {
    /// Apps of a host, the longest prefix first.
    by_host: HashMap<String, Vec<Arc<ServedApp>>>,
}

impl RouteTable {
    /// Builds the table. Hosts and prefixes were checked to be distinct.
    pub(crate) fn new(apps: Vec<Arc<ServedApp>>) -> Self {
        let mut by_host: HashMap<String, Vec<Arc<ServedApp>>> = HashMap::new();
        for app in apps {
            for host in &app.app.hosts {
                by_host.entry(host.clone()).or_default().push(Arc::clone(&app));
            }
        }
        for apps in by_host.values_mut() {
            apps.sort_by_key(|a| std::cmp::Reverse(a.app.path_prefix.len()));
        }
        Self { by_host }
    }

    /// Finds app and route for a host (lower case, no port) and the path of a request target.
    ///
    /// # Errors
    /// When no app lives there, or the path could be read in two ways.
    pub fn resolve(&self, host: &str, raw_path: &str) -> Result<Resolved, Unresolved> {
        let apps = self.by_host.get(host).ok_or(Unresolved::NoHost)?;
        // Strict first: only where that fails may an app that asked for it be lenient.
        let (path, fault) = match NormalPath::new(raw_path, false) {
            Ok(path) => (path, None),
            Err(fault) => {
                (NormalPath::new(raw_path, true).map_err(|_| Unresolved::Path(fault))?, Some(fault))
            }
        };
        let app = apps.iter().find(|a| path.is_under(&a.app.path_prefix)).ok_or(Unresolved::NoPath)?;
        if let Some(fault) = fault
            && !app.app.lenient_path
        {
            return Err(Unresolved::Path(fault));
        }
        let route = app.app.routes.iter().position(|r| path.is_under(&r.prefix)).ok_or(Unresolved::NoPath)?;
        Ok(Resolved { app: Arc::clone(app), route, path })
    }

    /// Whether any app has the host.
    #[must_use]
    pub fn knows_host(&self, host: &str) -> bool {
        self.by_host.contains_key(host)
    }

    /// Every app, once.
    pub fn apps(&self) -> impl Iterator<Item = &Arc<ServedApp>> {
        self.by_host
            .iter()
            .flat_map(|(host, apps)| apps.iter().filter(move |a| a.app.hosts.first() == Some(host)))
    }
}

impl Resolved {
    /// The route.
    #[must_use]
    pub fn route(&self) -> Option<&Route> {
        self.app.app.routes.get(self.route)
    }
}

/// The host of `host` or `host:port`, in lower case already, if it is one: letters, digits, `-`,
/// `.` and `_`, or a bracketed IPv6 address.
#[must_use]
pub fn host_name(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (inner, after) = rest.split_once(']')?;
            inner.parse::<std::net::Ipv6Addr>().ok()?;
            let host = authority.get(..inner.len() + 2)?;
            (host, after.strip_prefix(':').or((after.is_empty()).then_some("0"))?)
        }
        None => authority.split_once(':').unwrap_or((authority, "0")),
    };
    let named = host.starts_with('[')
        || (!host.is_empty()
            && host.len() <= 253
            && !host.starts_with('.')
            && !host.ends_with('.')
            && !host.contains("..")
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')));
    let ported = !port.is_empty() && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    (named && ported && port.parse::<u16>().is_ok()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_strictly() {
        for (authority, host) in [
            ("wiki.corp.example", Some("wiki.corp.example")),
            ("wiki.corp.example:8443", Some("wiki.corp.example")),
            ("[::1]:80", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("127.0.0.1:1", Some("127.0.0.1")),
            ("", None),
            ("a,b", None),
            ("x/evil", None),
            ("user@host", None),
            ("host:", None),
            ("host:99999", None),
            ("host:8a", None),
            ("host.", None),
            (".host", None),
            ("a..b", None),
            ("[::1", None),
            ("[nope]", None),
            ("[::1]x", None),
            ("h\u{f6}st", None),
        ] {
            assert_eq!(host_name(authority), host, "{authority:?}");
        }
    }
}
