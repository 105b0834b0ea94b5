//! Host and path to app and route, once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{App, Route};
use crate::path::{NormalPath, PathFault, decode, fold_case, is_under};
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
    by_host: HashMap<String, Vec<Door>>,
}

/// An app at one of its hosts, with its prefixes as servers may read them.
struct Door {
    app: Arc<ServedApp>,
    written: Prefixes,
    decoded: Prefixes,
    folded: Prefixes,
}

/// The prefixes of an app and of its routes, in the order of [`App::routes`].
struct Prefixes {
    app: String,
    routes: Vec<String>,
}

impl Prefixes {
    fn of(app: &App, read: impl Fn(&str) -> String) -> Self {
        Self { app: read(&app.path_prefix), routes: app.routes.iter().map(|r| read(&r.prefix)).collect() }
    }

    /// The longest prefix of a route that a path is under.
    fn route(&self, path: &str) -> Option<usize> {
        let under = self.routes.iter().enumerate().filter(|(_, prefix)| is_under(path, prefix));
        under.max_by_key(|(i, prefix)| (prefix.len(), std::cmp::Reverse(*i))).map(|(i, _)| i)
    }
}

impl Door {
    fn new(app: Arc<ServedApp>) -> Self {
        Self {
            written: Prefixes::of(&app.app, str::to_owned),
            decoded: Prefixes::of(&app.app, decode),
            folded: Prefixes::of(&app.app, |prefix| fold_case(&decode(prefix))),
            app,
        }
    }
}

/// The places of the app and of its route that a path leads to: the longest prefixes win.
fn find(doors: &[Door], prefixes: fn(&Door) -> &Prefixes, path: &str) -> Option<(usize, usize)> {
    let under = doors.iter().enumerate().filter(|(_, door)| is_under(path, &prefixes(door).app));
    let (app, door) = under.max_by_key(|(i, door)| (prefixes(door).app.len(), std::cmp::Reverse(*i)))?;
    Some((app, prefixes(door).route(path)?))
}

impl RouteTable {
    /// Builds the table. Hosts and prefixes were checked to be distinct.
    pub(crate) fn new(apps: Vec<Arc<ServedApp>>) -> Self {
        let mut by_host: HashMap<String, Vec<Door>> = HashMap::new();
        for app in apps {
            for host in &app.app.hosts {
                by_host.entry(host.clone()).or_default().push(Door::new(Arc::clone(&app)));
            }
        }
        Self { by_host }
    }

    /// Finds app and route for a host (lower case, no port) and the path of a request target.
    ///
    /// # Errors
    /// When no app lives there, or the path could be read in two ways.
    pub fn resolve(&self, host: &str, raw_path: &str) -> Result<Resolved, Unresolved> {
        let doors = self.by_host.get(host).ok_or(Unresolved::NoHost)?;
        // Strict first: only where that fails may an app that asked for it be lenient.
        let (path, fault) = match NormalPath::new(raw_path, false) {
            Ok(path) => (path, None),
            Err(fault) => {
                (NormalPath::new(raw_path, true).map_err(|_| Unresolved::Path(fault))?, Some(fault))
            }
        };
        let found = find(doors, |door| &door.written, path.as_str()).ok_or(Unresolved::NoPath)?;
        let (app, route) = found;
        let door = doors.get(app).ok_or(Unresolved::NoPath)?;
        if let Some(fault) = fault
            && !door.app.app.lenient_path
        {
            return Err(Unresolved::Path(fault));
        }
        // Whoever serves the path may read it otherwise. That is no matter as long as it leads to
        // the same door: facts and policies of the route that was matched hold for it.
        for reading in path.readings(fault.is_some()).map_err(Unresolved::Path)? {
            if find(doors, |door| &door.decoded, &reading) != Some(found) {
                return Err(Unresolved::Path(PathFault::OtherRoute));
            }
            if !door.app.app.case_sensitive_paths
                && find(doors, |door| &door.folded, &fold_case(&reading)) != Some(found)
            {
                return Err(Unresolved::Path(PathFault::Case));
            }
        }
        Ok(Resolved { app: Arc::clone(&door.app), route, path })
    }

    /// Whether any app has the host.
    #[must_use]
    pub fn knows_host(&self, host: &str) -> bool {
        self.by_host.contains_key(host)
    }

    /// The app of a host that has the shortest path there: where somebody goes who says nothing but the host.
    #[must_use]
    pub fn first_app(&self, host: &str) -> Option<&Arc<ServedApp>> {
        let doors = self.by_host.get(host)?.iter();
        doors.min_by_key(|door| door.app.app.path_prefix.len()).map(|door| &door.app)
    }

    /// Every app, once.
    pub fn apps(&self) -> impl Iterator<Item = &Arc<ServedApp>> {
        self.by_host
            .iter()
            .flat_map(|(host, doors)| doors.iter().map(move |door| (host, &door.app)))
            .filter(|(host, app)| app.app.hosts.first() == Some(host))
            .map(|(_, app)| app)
    }
}

impl Resolved {
    /// The route.
    #[must_use]
    pub fn route(&self) -> Option<&Route> {
        self.app.app.routes.get(self.route)
    }
}

/// The route that an operator means by its name (`payroll/all`), by an app and a path of it (`payroll/runs/7`), or
/// by an address (`https://payroll.corp.example/runs/7`). Paths lead where they lead in a request; what follows `?` or
/// `#` leads nowhere.
pub fn find_route<'a>(apps: impl IntoIterator<Item = &'a App>, said: &str) -> Option<&'a Route> {
    let apps: Vec<&App> = apps.into_iter().collect();
    let named = apps.iter().flat_map(|app| &app.routes).find(|route| route.facts.id.as_str() == said);
    if named.is_some() {
        return named;
    }
    let said = said.split(['?', '#']).next().unwrap_or_default();
    let said = said.strip_prefix("https://").or_else(|| said.strip_prefix("http://")).unwrap_or(said);
    let (first, rest) = said.split_once('/').unwrap_or((said, ""));
    if let Some(app) = apps.iter().find(|app| app.id.as_str() == first) {
        let path =
            NormalPath::new(&format!("{}/{rest}", app.path_prefix.trim_end_matches('/')), false).ok()?;
        return at(app, path.as_str());
    }
    let (first, path) = (first.to_ascii_lowercase(), NormalPath::new(&format!("/{rest}"), false).ok()?);
    let host = host_name(&first)?;
    let here = apps.into_iter().filter(|app| app.hosts.iter().any(|h| h == host));
    let under = here.filter(|app| is_under(path.as_str(), &app.path_prefix));
    at(under.max_by_key(|app| app.path_prefix.len())?, path.as_str())
}

/// The route of an app that a path in normal form is under: the longest prefix wins.
fn at<'a>(app: &'a App, path: &str) -> Option<&'a Route> {
    let under = app.routes.iter().filter(|route| is_under(path, &route.prefix));
    under.max_by_key(|route| route.prefix.len())
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
    use std::path::Path;

    use doorward_model::complaint::KeyPath;

    use super::*;

    /// A wiki with routes, with a switch of the app's set.
    fn table(switch: &str) -> RouteTable {
        let text = format!(
            r#"
            id = "wiki"
            hosts = ["wiki.test"]
            {switch}
            upstream = {{ addresses = ["10.0.0.1:80"] }}
            [[route]]
            id = "admin"
            path = "/admin"
            [[route]]
            id = "deep"
            path = "/admin/deep"
            [[route]]
            id = "at"
            path = "/@admin"
            [[route]]
            id = "verb"
            path = "/v1/jobs:delete"
            [[route]]
            id = "odata"
            path = "/odata/Users(1)"
            [[route]]
            id = "plus"
            path = "/c++"
            [[route]]
            id = "e"
            path = "/%C3%A9"
            "#
        );
        let mut complaints = Vec::new();
        let section = toml::from_str(&text).unwrap();
        let apps = crate::config::check_apps(&[section], &KeyPath::top(), Path::new("/"), &mut complaints);
        assert_eq!(complaints, []);
        crate::route_table(apps).unwrap()
    }

    fn leads(table: &RouteTable, path: &str) -> Result<String, Unresolved> {
        let found = table.resolve("wiki.test", path)?;
        Ok(found.route().unwrap().facts.id.as_str().trim_start_matches("wiki/").to_owned())
    }

    fn check(switch: &str, cases: &[(&str, Result<&str, PathFault>)]) {
        let table = table(switch);
        for (path, expected) in cases {
            let expected = expected.map(str::to_owned).map_err(Unresolved::Path);
            assert_eq!(leads(&table, path), expected, "{switch} {path}");
        }
    }

    #[test]
    fn a_path_leads_to_one_route_however_it_is_spelled() {
        use PathFault::{Case, DoubleEscape, OtherRoute};
        check(
            "",
            &[
                ("/", Ok("all")),
                ("/admin", Ok("admin")),
                ("/admin/deep/x", Ok("deep")),
                ("/%61dmin/d%65ep", Ok("deep")),
                ("/%40admin", Ok("at")),
                ("/v1/jobs%3Adelete", Ok("verb")),
                ("/v1/jobs:list", Ok("all")),
                ("/odata/Users%281%29/Name", Ok("odata")),
                ("/c++", Ok("plus")),
                ("/c%2B+", Err(OtherRoute)),
                ("/d%2B%2B", Ok("all")),
                ("/caf%C3%A9", Ok("all")),
                ("/%c3%a9", Ok("e")),
                ("/%C3%89", Err(Case)),
                ("/ADMIN", Err(Case)),
                ("/Admin/deep", Err(Case)),
                ("/admin/DEEP", Err(Case)),
                ("/Welcome/READ.me", Ok("all")),
                ("/%25%36%31dmin", Err(DoubleEscape)),
            ],
        );
    }

    #[test]
    fn what_an_operator_says_is_the_route_where_the_path_leads() {
        let table = table("");
        let apps: Vec<_> = table.apps().cloned().collect();
        let found = |said: &str| {
            let route = find_route(apps.iter().map(|served| &served.app), said)?;
            Some(route.facts.id.as_str().trim_start_matches("wiki/"))
        };
        for path in ["/", "/admin", "/admin/deep/x", "/administrator", "/v1/jobs:delete", "/c++", "/%c3%a9"] {
            let leads = leads(&table, path).unwrap();
            for said in
                [format!("wiki{path}"), format!("wiki.test{path}"), format!("https://WIKI.test:8443{path}")]
            {
                // The name of a route is taken for that and no path.
                assert_eq!(found(&said), Some(leads.as_str()), "{said}");
            }
        }
        assert_eq!(found("wiki/deep"), Some("deep"));
        assert_eq!(found("wiki"), Some("all"));
        // As it stands in the line of a browser.
        for said in [
            "https://wiki.test/admin/deep?page=2&x=/",
            "https://wiki.test/admin/deep#top?",
            "wiki/admin/deep?x",
        ] {
            assert_eq!(found(said), Some("deep"), "{said}");
        }
        assert_eq!(found("https://wiki.test?page=2"), Some("all"));
        for nothing in ["", "/", "other", "other/admin", "wiki.test.evil/", "wiki/../admin", "https://"] {
            assert_eq!(found(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn an_app_can_say_that_it_tells_case_apart() {
        let cases = [("/ADMIN", Ok("all")), ("/admin", Ok("admin")), ("/admin/DEEP", Ok("admin"))];
        check("case_sensitive_paths = true", &cases);
    }

    #[test]
    fn a_lenient_app_has_no_way_around_a_route() {
        use PathFault::{Case, Delimiter, DotSegment, DoubleEscape, EmptySegment, OtherRoute};
        check(
            "lenient_path = true",
            &[
                ("/x;jsessionid=1/y", Ok("all")),
                ("/admin/x;y", Ok("admin")),
                ("/job/feature%252Fx/", Ok("all")),
                ("/C%23", Ok("all")),
                ("/50%2541", Ok("all")),
                ("/admin;x=1/users", Err(OtherRoute)),
                ("/admin%3Bx=1/users", Err(OtherRoute)),
                ("/admin%3Fx", Err(OtherRoute)),
                ("/admin%23", Err(OtherRoute)),
                ("/%2561dmin", Err(OtherRoute)),
                ("/%252561dmin", Err(OtherRoute)),
                ("/%2541dmin", Err(Case)),
                ("/admin%253Fx", Err(OtherRoute)),
                ("/admin%252Fx", Err(OtherRoute)),
                ("/admin%255Cx", Err(OtherRoute)),
                ("/admin/deep;x", Err(OtherRoute)),
                ("/x%252F..%252Fadmin", Err(DotSegment)),
                ("/;x/admin", Err(EmptySegment)),
                ("/@admin;x", Err(OtherRoute)),
            ],
        );
        check("", &[("/x;y", Err(Delimiter)), ("/C%23", Err(Delimiter)), ("/50%2541", Err(DoubleEscape))]);
    }

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
