//! `[[app]]`, checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use doorward_model::complaint::{Complaint, KeyPath};
use doorward_model::{AppId, IssuerId, RouteFacts, RouteId, Tier, limits};

use super::clients::check_need;
use super::{App, AppSection, AuditNeed, Freshness, Route, Upstream, UpstreamSection, UpstreamTls};
use crate::path::{NormalPath, fold_case};

/// The longest that an app may go on without knowing who was cut off.
const STALE_SECONDS_MAX: u64 = 3600;

/// Checks every `[[app]]`, each for itself and all of them together.
pub fn check_apps(
    sections: &[AppSection],
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Vec<App> {
    if sections.is_empty() {
        complaints.push(Complaint::new(
            at.clone(),
            "there is no `[[app]]`, so there is nothing to protect",
            "add `[[app]]` with `id`, `hosts` and `upstream`",
        ));
    }
    let mut ids = BTreeSet::new();
    let mut doors: BTreeMap<(String, String), String> = BTreeMap::new();
    let mut valid = Vec::new();
    for (i, section) in sections.iter().enumerate() {
        let here = at.index(i);
        let Some(app) = check_app(section, &here, base_dir, complaints) else { continue };
        if !ids.insert(app.id.clone()) {
            complaints.push(Complaint::new(
                here.key("id"),
                format!("two apps are called `{}`", app.id),
                "rename one",
            ));
        }
        for host in &app.hosts {
            let prefix = &app.path_prefix;
            let read = if app.case_sensitive_paths { prefix.clone() } else { fold_case(prefix) };
            if let Some(other) = doors.insert((host.clone(), read), app.id.to_string()) {
                complaints.push(Complaint::new(
                    here.key("hosts"),
                    format!("`{host}{}` already leads to the app `{other}`", app.path_prefix),
                    "give one of them another host or another `path_prefix`",
                ));
            }
        }
        valid.push(app);
    }
    valid
}

fn check_app(
    s: &AppSection,
    here: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Option<App> {
    let before = complaints.len();
    let id = AppId::new(&s.id)
        .map_err(|e| complaints.push(Complaint::new(here.key("id"), e.to_string(), "rename the app")))
        .ok();
    let hosts = check_hosts(&s.hosts, &here.key("hosts"), complaints);
    let path_prefix =
        check_prefix(s.path_prefix.as_deref().unwrap_or("/"), &here.key("path_prefix"), complaints);
    let audit = match s.audit.as_deref() {
        None | Some("required") => AuditNeed::Required,
        Some("best_effort") => AuditNeed::BestEffort,
        Some(other) => {
            complaints.push(Complaint::new(
                here.key("audit"),
                format!("`{other}` is not known"),
                "use `required` (the default) or `best_effort`",
            ));
            AuditNeed::Required
        }
    };
    let freshness = check_freshness(s, here, complaints);
    let upstream = check_upstream(&s.upstream, &here.key("upstream"), base_dir, complaints);
    let mut origins = |key: &str, written: &Option<Vec<String>>| {
        check_origins(written.as_deref().unwrap_or_default(), &here.key(key), complaints)
    };
    let websocket_origins = origins("websocket_origins", &s.websocket_origins);
    let cross_site_origins = origins("cross_site_origins", &s.cross_site_origins);
    let client_certificate = check_need(s.client_certificate.as_deref(), here, complaints);
    let provider = check_provider(s.provider.as_deref(), here, complaints);
    let routes = id.as_ref().and_then(|id| check_routes(s, id, path_prefix.as_deref()?, here, complaints));
    if complaints.len() > before {
        return None;
    }
    Some(App {
        id: id?,
        hosts,
        path_prefix: path_prefix?,
        audit,
        freshness,
        request_body_bytes_max: s.request_body_bytes_max,
        websocket_origins,
        client_certificate,
        cross_site_origins,
        provider,
        pass_token: s.pass_token.unwrap_or(false),
        lenient_path: s.lenient_path.unwrap_or(false),
        case_sensitive_paths: s.case_sensitive_paths.unwrap_or(false),
        upstream: upstream?,
        routes: routes?,
    })
}

/// Whether it is one is checked where the issuers are known.
fn check_provider(
    written: Option<&str>,
    here: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<IssuerId> {
    let help = "name the `id` of an `[[issuer]]` with `[issuer.sign_in]`";
    IssuerId::new(written?)
        .map_err(|e| complaints.push(Complaint::new(here.key("provider"), e.to_string(), help)))
        .ok()
}

fn check_freshness(s: &AppSection, here: &KeyPath, complaints: &mut Vec<Complaint>) -> Freshness {
    let seconds = s.stale_seconds_max.unwrap_or(0);
    if seconds > STALE_SECONDS_MAX {
        complaints.push(Complaint::new(
            here.key("stale_seconds_max"),
            format!("`{seconds}` is more than {STALE_SECONDS_MAX}"),
            "leave it out: whoever was cut off meanwhile is let in for so long",
        ));
    }
    match s.freshness.as_deref() {
        None | Some("lease") => {}
        Some("strict") if seconds == 0 => return Freshness::Strict,
        Some("strict") => complaints.push(Complaint::new(
            here.key("stale_seconds_max"),
            "an app cannot be strict and go on without knowing who was cut off",
            "leave it out, or set `freshness = \"lease\"`",
        )),
        Some(other) => complaints.push(Complaint::new(
            here.key("freshness"),
            format!("`{other}` is not known"),
            "use `lease` (the default) or `strict`",
        )),
    }
    Freshness::Lease { stale_max: Duration::from_secs(seconds) }
}

fn check_hosts(hosts: &[String], at: &KeyPath, complaints: &mut Vec<Complaint>) -> Vec<String> {
    if hosts.is_empty() {
        complaints.push(Complaint::new(at.clone(), "the app has no host", "add the name that people type"));
    }
    let mut valid = Vec::new();
    for (i, host) in hosts.iter().enumerate() {
        match crate::routes::host_name(&host.to_ascii_lowercase()) {
            Some(h) if h == host.to_ascii_lowercase() => valid.push(h.to_owned()),
            _ => complaints.push(Complaint::new(
                at.index(i),
                format!("`{host}` is not a host name"),
                "write it without scheme, port, path and wildcard",
            )),
        }
    }
    valid
}

fn check_prefix(prefix: &str, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Option<String> {
    match NormalPath::new(prefix, false) {
        Ok(p) if p.as_str() == prefix => {
            let short = prefix.strip_suffix('/').unwrap_or(prefix);
            Some(if short.is_empty() { "/".to_owned() } else { short.to_owned() })
        }
        Ok(p) => {
            complaints.push(Complaint::new(
                at.clone(),
                format!("`{prefix}` is not in normal form"),
                format!("write `{p}`"),
            ));
            None
        }
        Err(fault) => {
            complaints.push(Complaint::new(
                at.clone(),
                format!("`{prefix}` can never match: {}", fault.as_str()),
                "write a plain path prefix such as `/admin`; patterns and queries are not supported",
            ));
            None
        }
    }
}

fn check_origins(origins: &[String], at: &KeyPath, complaints: &mut Vec<Complaint>) -> BTreeSet<String> {
    let mut valid = BTreeSet::new();
    for (i, origin) in origins.iter().enumerate() {
        let lower = origin.to_ascii_lowercase();
        let host = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://"));
        if host.is_some_and(|h| crate::routes::host_name(h).is_some()) {
            valid.insert(lower);
        } else {
            complaints.push(Complaint::new(
                at.index(i),
                format!("`{origin}` is not an origin"),
                "write scheme and host, such as `https://portal.corp.example`",
            ));
        }
    }
    valid
}

fn check_upstream(
    s: &UpstreamSection,
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Option<Upstream> {
    let before = complaints.len();
    if s.addresses.is_empty() {
        complaints.push(Complaint::new(at.key("addresses"), "the app has no address", "add `host:port`"));
    }
    for (i, address) in s.addresses.iter().enumerate() {
        let port =
            address.rsplit_once(':').filter(|(h, _)| !h.is_empty()).and_then(|(_, p)| p.parse::<u16>().ok());
        if port.is_none_or(|p| p == 0) || address.contains('/') {
            complaints.push(Complaint::new(
                at.key("addresses").index(i),
                format!("`{address}` is not `host:port`"),
                "write it like `10.1.0.10:8080`, without a scheme; TLS goes into `[app.upstream.tls]`",
            ));
        }
    }
    let h2 = match s.protocol.as_deref() {
        None | Some("h1") => false,
        Some("h2") => true,
        Some(other) => {
            complaints.push(Complaint::new(
                at.key("protocol"),
                format!("`{other}` is not a protocol"),
                "use `h1` (the default) or `h2` (needed for gRPC)",
            ));
            false
        }
    };
    let mut bounded = |name: &str, written: Option<u64>, default: u64, ceiling: u64| -> Duration {
        let value = written.unwrap_or(default);
        if value == 0 || value > ceiling {
            complaints.push(Complaint::new(
                at.key(name),
                format!("`{value}` is out of bounds"),
                format!("use 1 to {ceiling}; the default is {default}"),
            ));
        }
        Duration::from_secs(value)
    };
    let connect_max =
        bounded("connect_seconds_max", s.connect_seconds_max, limits::UPSTREAM_CONNECT_SECONDS_MAX, 300);
    let response_max =
        bounded("response_seconds_max", s.response_seconds_max, limits::BODY_IDLE_SECONDS_MAX, 86_400);
    let health_every = bounded("health_seconds", s.health_seconds, 5, 3600);
    if let Some(path) = &s.health_path {
        check_prefix(path, &at.key("health_path"), complaints);
    }
    let tls = s.tls.as_ref().map(|t| {
        if crate::routes::host_name(&t.server_name).is_none() {
            complaints.push(Complaint::new(
                at.key("tls").key("server_name"),
                format!("`{}` is not a host name", t.server_name),
                "write the name in the app's certificate",
            ));
        }
        let ca_file = t.ca_file.as_ref().map(|f| base_dir.join(f));
        if let Some(Err(e)) = ca_file.as_ref().map(std::fs::metadata) {
            complaints.push(Complaint::new(
                at.key("tls").key("ca_file"),
                format!("it cannot be read: {e}"),
                "paths are relative to the configuration file",
            ));
        }
        UpstreamTls { server_name: t.server_name.clone(), ca_file }
    });
    (complaints.len() == before).then(|| Upstream {
        addresses: s.addresses.clone(),
        h2,
        connect_max,
        response_max,
        health_path: s.health_path.clone(),
        health_every,
        tls,
    })
}

fn check_routes(
    s: &AppSection,
    app: &AppId,
    app_prefix: &str,
    here: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<Vec<Route>> {
    let groups = s.groups.clone().unwrap_or_default();
    let mut routes: Vec<Route> = Vec::new();
    let mut ids = BTreeSet::from(["all".to_owned()]);
    for (i, r) in s.route.iter().flatten().enumerate() {
        let at = here.key("route").index(i);
        if !ids.insert(r.id.clone()) {
            complaints.push(Complaint::new(
                at.key("id"),
                format!("the app already has a route `{}`", r.id),
                "rename it (`all` is the app itself)",
            ));
        }
        let id = RouteId::new(app.clone(), &r.id)
            .map_err(|e| complaints.push(Complaint::new(at.key("id"), e.to_string(), "rename the route")));
        let tier = check_tier(r.tier.as_deref(), &at, complaints);
        let Some(prefix) = check_prefix(&r.path, &at.key("path"), complaints) else { continue };
        let under =
            app_prefix == "/" || prefix == app_prefix || prefix.starts_with(&format!("{app_prefix}/"));
        if !under {
            complaints.push(Complaint::new(
                at.key("path"),
                format!("`{prefix}` does not lie under the app's `{app_prefix}`"),
                "write the whole path, with the app's prefix",
            ));
        }
        if routes.iter().any(|other| other.prefix == prefix) {
            complaints.push(Complaint::new(
                at.key("path"),
                format!("two routes have the path `{prefix}`"),
                "remove one",
            ));
        } else if let Some(other) = routes
            .iter()
            .find(|other| fold_case(&other.prefix) == fold_case(&prefix))
            .filter(|_| !s.case_sensitive_paths.unwrap_or(false))
        {
            complaints.push(Complaint::new(
                at.key("path"),
                format!("`{prefix}` and `{}` are one path to an app that ignores case", other.prefix),
                "remove one, or set `case_sensitive_paths = true` if the app never ignores case",
            ));
        }
        let public = r.public.unwrap_or(false);
        if public && tier != Tier::Public {
            complaints.push(Complaint::new(
                at.key("public"),
                format!("a public route cannot be `{}`", tier.as_str()),
                "set `tier = \"public\"`, so that policies know it",
            ));
        }
        if let Ok(id) = id {
            let facts = RouteFacts {
                id,
                app_groups: groups.clone(),
                tier,
                scope: r.scope.clone().unwrap_or_default(),
                admin_surface: r.admin_surface.unwrap_or(false),
                public,
            };
            routes.push(Route { prefix, facts });
        }
    }
    let facts = RouteFacts {
        id: RouteId::new(app.clone(), "all").ok()?,
        app_groups: groups,
        tier: check_tier(s.tier.as_deref(), here, complaints),
        scope: s.scope.clone().unwrap_or_default(),
        admin_surface: false,
        public: false,
    };
    routes.sort_by(|a, b| b.prefix.len().cmp(&a.prefix.len()).then_with(|| a.prefix.cmp(&b.prefix)));
    routes.push(Route { prefix: app_prefix.to_owned(), facts });
    Some(routes)
}

fn check_tier(word: Option<&str>, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Tier {
    let Some(word) = word else { return Tier::Internal };
    Tier::ALL.into_iter().find(|t| t.as_str() == word).unwrap_or_else(|| {
        complaints.push(Complaint::new(
            at.key("tier"),
            format!("`{word}` is not a tier"),
            "use `public`, `internal` (the default), `confidential` or `restricted`",
        ));
        Tier::Internal
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        id = "wiki"
        hosts = ["wiki.corp.example"]
        path_prefix = "/w"
        [upstream]
        addresses = ["10.0.0.1:80"]
        [[route]]
        id = "admin"
        path = "/w/admin"
        tier = "restricted"
        [[route]]
        id = "deep"
        path = "/w/admin/deep"
    "#;

    fn complain(text: &str) -> (Vec<App>, Vec<String>) {
        let section: AppSection = toml::from_str(text).unwrap();
        let mut complaints = Vec::new();
        let apps = check_apps(&[section], &KeyPath::top().key("app"), Path::new("/"), &mut complaints);
        assert!(complaints.iter().all(|c| c.help.is_some()), "{complaints:?}");
        (apps, complaints.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn routes_stand_the_longest_first_and_all_comes_last() {
        let (apps, complaints) = complain(GOOD);
        assert_eq!(complaints, Vec::<String>::new());
        let prefixes: Vec<_> =
            apps[0].routes.iter().map(|r| (r.prefix.as_str(), r.facts.id.as_str())).collect();
        assert_eq!(
            prefixes,
            [("/w/admin/deep", "wiki/deep"), ("/w/admin", "wiki/admin"), ("/w", "wiki/all")]
        );
        assert_eq!(apps[0].audit, AuditNeed::Required);
    }

    #[test]
    fn each_mistake_is_named() {
        let cases = [
            ("id = \"wiki\"", "id = \"Wi ki\"", "app[0].id: `Wi ki` is not an app name"),
            ("wiki.corp.example", "https://wiki", "app[0].hosts[0]: `https://wiki` is not a host name"),
            ("wiki.corp.example", "*.corp", "app[0].hosts[0]: `*.corp` is not a host name"),
            ("\"/w\"", "\"/w/../x\"", "app[0].path_prefix: `/w/../x` can never match"),
            ("\"/w/admin/deep\"", "\"/x\"", "app[0].route[1].path: `/x` does not lie under"),
            ("\"/w/admin/deep\"", "\"/w/admin?x\"", "app[0].route[1].path: `/w/admin?x` can never match"),
            ("\"/w/admin/deep\"", "\"/w/admin\"", "app[0].route[1].path: two routes have the path"),
            ("\"deep\"", "\"admin\"", "app[0].route[1].id: the app already has a route `admin`"),
            ("\"deep\"", "\"all\"", "app[0].route[1].id: the app already has a route `all`"),
            (
                "\"/w/admin/deep\"",
                "\"/w/Admin\"",
                "app[0].route[1].path: `/w/Admin` and `/w/admin` are one path to an app that ignores case",
            ),
            ("restricted", "secret", "app[0].route[0].tier: `secret` is not a tier"),
            (
                "tier = \"restricted\"",
                "public = true",
                "app[0].route[0].public: a public route cannot be `internal`",
            ),
            (
                "10.0.0.1:80",
                "http://10.0.0.1",
                "app[0].upstream.addresses[0]: `http://10.0.0.1` is not `host:port`",
            ),
            ("[upstream]", "audit = \"no\"\n[upstream]", "app[0].audit: `no` is not known"),
            ("[upstream]", "freshness = \"new\"\n[upstream]", "app[0].freshness: `new` is not known"),
            (
                "[upstream]",
                "stale_seconds_max = 3601\n[upstream]",
                "app[0].stale_seconds_max: `3601` is more than 3600",
            ),
            (
                "[upstream]",
                "freshness = \"strict\"\nstale_seconds_max = 1\n[upstream]",
                "app[0].stale_seconds_max: an app cannot be strict and go on without",
            ),
            (
                "[upstream]",
                "client_certificate = \"no\"\n[upstream]",
                "app[0].client_certificate: `no` is not known",
            ),
            (
                "[upstream]",
                "websocket_origins = [\"x\"]\n[upstream]",
                "app[0].websocket_origins[0]: `x` is not an origin",
            ),
            (
                "[upstream]",
                "cross_site_origins = [\"https://forms/a\"]\n[upstream]",
                "app[0].cross_site_origins[0]: `https://forms/a` is not an origin",
            ),
            (
                "[upstream]",
                "[upstream]\nprotocol = \"h3\"",
                "app[0].upstream.protocol: `h3` is not a protocol",
            ),
            (
                "[upstream]",
                "[upstream]\nconnect_seconds_max = 0",
                "app[0].upstream.connect_seconds_max: `0` is out of bounds",
            ),
        ];
        for (good, bad, expected) in cases {
            assert!(GOOD.contains(good), "{good}");
            let (_, complaints) = complain(&GOOD.replacen(good, bad, 1));
            assert!(complaints.iter().any(|c| c.starts_with(expected)), "{expected}: {complaints:?}");
        }
    }

    #[test]
    fn an_app_rests_on_a_lease_unless_it_says_otherwise() {
        let lease = |seconds| Freshness::Lease { stale_max: Duration::from_secs(seconds) };
        for (written, valid) in [
            ("", lease(0)),
            ("freshness = \"lease\"", lease(0)),
            ("stale_seconds_max = 0", lease(0)),
            ("stale_seconds_max = 3600", lease(3600)),
            ("freshness = \"lease\"\nstale_seconds_max = 5", lease(5)),
            ("freshness = \"strict\"", Freshness::Strict),
            ("freshness = \"strict\"\nstale_seconds_max = 0", Freshness::Strict),
        ] {
            let (apps, complaints) =
                complain(&GOOD.replacen("[upstream]", &format!("{written}\n[upstream]"), 1));
            assert_eq!((complaints, apps[0].freshness), (Vec::<String>::new(), valid), "{written}");
        }
    }

    #[test]
    fn two_apps_cannot_share_a_door() {
        let one: AppSection = toml::from_str(GOOD).unwrap();
        let mut two = one.clone();
        two.id = "other".to_owned();
        let mut complaints = Vec::new();
        check_apps(
            &[one.clone(), two.clone(), one.clone()],
            &KeyPath::top(),
            Path::new("/"),
            &mut complaints,
        );
        let said: Vec<_> = complaints.iter().map(|c| c.message.as_str()).collect();
        assert!(said.contains(&"`wiki.corp.example/w` already leads to the app `wiki`"), "{said:?}");
        assert!(said.contains(&"two apps are called `wiki`"), "{said:?}");
        two.path_prefix = Some("/W".to_owned());
        two.route = None;
        complaints.clear();
        check_apps(&[one.clone(), two.clone()], &KeyPath::top(), Path::new("/"), &mut complaints);
        assert_eq!(complaints.len(), 1, "case makes no other door");
        two.path_prefix = None;
        complaints.clear();
        assert_eq!(check_apps(&[one, two], &KeyPath::top(), Path::new("/"), &mut complaints).len(), 2);
        assert_eq!(complaints, []);
    }
}
