//! What is in force, for `doorward check`: every value, defaults included, in the words of the
//! file. No secret is part of it.

use std::fmt::Write as _;
use std::time::Duration;

use doorward_context::risk::{Terms, Weights};
use doorward_identity::config::Issuer;
use doorward_lifecycle::machine::Rules;
use doorward_model::directory::RoleName;
use doorward_model::{IssuerId, MailDomain};
use doorward_policy::config::{BundleSource, PolicySettings};
use doorward_proxy::config::{Freshness, PeopleFrom, SignIn};
use doorward_state::{PostgresConfig, RedisConfig, RedisMode, RevocationConfig, StoreConfig};
use serde_json::{Value, json};

use super::{Config, Intake};

impl Config {
    /// As one table for each section, to read.
    #[must_use]
    pub fn in_force(&self) -> String {
        let mut out = String::new();
        for (name, section) in self.sections() {
            match section {
                Value::Array(elements) => {
                    for element in elements {
                        write_table(&mut out, &format!("[[{name}]]"), &element);
                    }
                }
                table => write_table(&mut out, &format!("[{name}]"), &table),
            }
        }
        out
    }

    /// As JSON, for programs.
    #[must_use]
    pub fn in_force_json(&self) -> Value {
        self.sections().into_iter().map(|(name, section)| (name.to_owned(), section)).collect()
    }

    /// In the order of `doorward.example.toml`.
    fn sections(&self) -> Vec<(&'static str, Value)> {
        let listen: Vec<_> = self
            .listen
            .iter()
            .map(|l| {
                let protocols: Vec<_> = [("h1", l.h1), ("h2", l.h2)]
                    .into_iter()
                    .filter(|(_, on)| *on)
                    .map(|(name, _)| name)
                    .collect();
                let certificates: Vec<_> = l.certificates.iter().map(|c| &c.chain).collect();
                json!({
                    "address": l.address, "protocols": protocols, "proxy_protocol": l.proxy_protocol,
                    "decides": l.decides, "certificates": certificates,
                })
            })
            .collect();
        let issuers: Vec<_> = self.issuers.iter().map(issuer_json).collect();
        let gateway = json!({
            "node": self.gateway.node,
            "data_dir": self.gateway.data_dir,
            "time_zone": self.gateway.calendar.zone_name(),
            "threads": self.gateway.threads,
            "public_url": self.gateway.public_url,
        });
        let operator = json!({ "address": self.operator.address, "token_file": self.operator.token_file });
        let network = json!({ "client_address": match self.network.trusted_proxies.is_nobody() {
            true => "of the connection: no proxy is trusted",
            false => "as the trusted proxies tell it",
        } });
        let geoip = json!({
            "databases": self.geoip.atlas.paths(),
            "age_days_max": self.geoip.age_max.as_secs() / 86_400,
        });
        let audit = json!({
            "dir": self.audit.dir(),
            "segment_bytes_max": self.audit.segment_bytes_max(),
            "flush_millis_max": u64::try_from(self.audit.flush().as_millis()).unwrap_or(u64::MAX),
            "queue_events_max": self.audit.queue_events_max(),
            "reserve_bytes": self.audit.reserve_bytes(),
            "total_bytes_max": self.audit.total_bytes_max().map_or_else(
                || json!("no bound: no file is ever removed, so move closed ones away in time"),
                |bytes| json!(bytes),
            ),
            "situations": self.audit.situations(),
        });
        let mut sections = vec![
            ("gateway", gateway),
            ("listen", Value::Array(listen)),
            ("operator", operator),
            ("intake", intake(self.intake.as_ref())),
            ("network", network),
            ("geoip", geoip),
            ("issuer", Value::Array(issuers)),
        ];
        if let Some(risk) = &self.risk {
            sections.insert(6, ("risk", risk_json(risk)));
        }
        if let Some(sign_in) = &self.sign_in {
            sections.push(("sign_in", sign_in_json(sign_in)));
        }
        sections.push(("revocation", revocation(&self.revocation)));
        if let StoreConfig::Postgres(postgres) = self.revocation.store() {
            sections.push(("revocation.postgres", postgres_json(postgres)));
        }
        if let Some(redis) = self.revocation.redis() {
            sections.push(("revocation.redis", redis_json(redis)));
        }
        sections.push(("directory", directory_json(&self.people, &self.joining)));
        sections.extend(super::signals::in_force(&self.signals).map(|signals| ("signals", signals)));
        sections.extend([
            ("policy", policy_json(&self.policy)),
            ("audit", audit),
            ("limits", self.limits_json()),
            ("streams", self.streams_json()),
            ("app", self.apps.iter().map(app_json).collect()),
        ]);
        sections
    }

    fn streams_json(&self) -> Value {
        let s = &self.streams;
        json!({
            "outlive_token": s.outlive_token,
            "token_grace_seconds": (!s.outlive_token).then_some(s.token_grace.as_secs()),
            "review_seconds": s.review_every.as_secs(),
        })
    }

    fn limits_json(&self) -> Value {
        let l = &self.limits;
        json!({
            "header_bytes_max": l.header_bytes_max,
            "header_count_max": l.header_count_max,
            "header_seconds_max": l.header_max.as_secs(),
            "keepalive_seconds_max": l.keepalive_max.as_secs(),
            "h2_idle_seconds_max": l.h2_idle_max.as_secs(),
            "h2_streams_max": l.h2_streams_max,
            "body_idle_seconds_max": l.body_idle_max.as_secs(),
            "stream_idle_seconds_max": l.stream_idle_max.as_secs(),
            "connections_max": l.connections_max,
            "connections_per_address_max": l.connections_per_address_max,
            "drain_seconds_max": l.drain_max.as_secs(),
        })
    }
}

fn revocation(config: &RevocationConfig) -> Value {
    let (directory, file) = match config.store() {
        StoreConfig::Embedded(store) => ("sqlite", Some(store.file())),
        StoreConfig::Postgres(_) => ("postgres", None),
        StoreConfig::None => ("none", None),
    };
    json!({
        "directory": directory,
        "store_file": file,
        "issuer_skew_millis": millis(config.issuer_skew()),
        "retention_days": config.retention().as_secs() / 86_400,
        "stream_grace_seconds": config.stream_grace().as_secs(),
        "debt_owner": config.debt().owner,
        "debt_due_hours": config.debt().due.as_secs() / 3600,
    })
}

fn postgres_json(config: &PostgresConfig) -> Value {
    json!({
        "address": config.place().to_string(), "database": config.database(), "user": config.user(),
        "tls": config.tls().is_some(),
    })
}

fn redis_json(config: &RedisConfig) -> Value {
    let addresses: Vec<_> = config.addresses().iter().map(ToString::to_string).collect();
    let primary_name = match config.mode() {
        RedisMode::Sentinel => Some(config.primary_name()),
        RedisMode::Standalone | RedisMode::Cluster => None,
    };
    json!({
        "mode": config.mode().as_str(),
        "addresses": addresses,
        "primary_name": primary_name,
        "username": config.username(),
        "tls": config.tls().is_some(),
        "namespace": config.namespace(),
        "lease_millis": millis(config.lease()),
        "poll_millis": millis(config.poll()),
        "replica_lag_seconds": config.replica_lag().as_secs(),
        "replicas_min": config.replicas_min(),
    })
}

fn issuer_json(issuer: &Issuer) -> Value {
    let vouches = issuer.vouches();
    let domains: Vec<_> = vouches.email_domains.iter().map(MailDomain::as_str).collect();
    json!({
        "id": issuer.id().as_str(),
        "issuer": issuer.url(),
        "subject_claim": issuer.names_people_by().unwrap_or("sub"),
        "email_domains": domains,
        "first_sign_in": vouches.first_sign_in,
        "sign_in": issuer.is_provider(),
    })
}

fn risk_json(terms: &Terms) -> Value {
    let weights = Weights::ALL.map(|(reason, _)| (reason.as_str(), terms.weights.of(reason)));
    json!({
        "known_networks": terms.known,
        "anonymizers": terms.anonymizers,
        "hosting": terms.hosting,
        "anonymizer_asns": terms.anonymizer_asns.len(),
        "hosting_asns": terms.hosting_asns.len(),
        "speed_kmh_max": terms.speed_kmh_max,
        "distance_km_min": terms.distance_km_min,
        "sign_ins_min": terms.successes_min,
        "weights": weights.iter().map(|(name, points)| format!("{name} {points}")).collect::<Vec<_>>(),
    })
}

fn sign_in_json(sign_in: &SignIn) -> Value {
    json!({
        "url": sign_in.origin.own(""),
        "idle_minutes": sign_in.idle.as_secs() / 60,
        "absolute_hours": sign_in.absolute.as_secs() / 3600,
        "revalidate_minutes": sign_in.revalidate.as_secs() / 60,
        "key_files": sign_in.key_files,
        "enroll_url": sign_in.enroll_url,
        "organization": sign_in.organization,
    })
}

fn directory_json(people: &PeopleFrom, joining: &Rules) -> Value {
    let (people, token_for) = match people {
        PeopleFrom::Token => ("token", None),
        PeopleFrom::Directory { token_for } => {
            ("known", Some(token_for.iter().map(IssuerId::as_str).collect::<Vec<_>>()))
        }
    };
    let default_roles: Vec<_> = joining.default_roles.iter().map(RoleName::as_str).collect();
    json!({
        "people": people,
        "token_for": token_for,
        "default_roles": default_roles,
        "invitation_days": joining.invitation.as_secs() / 86_400,
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn app_json(app: &doorward_proxy::config::App) -> Value {
    let routes: Vec<_> = app
        .routes
        .iter()
        .map(|r| format!("{} {} ({})", r.facts.id, r.prefix, r.facts.tier.as_str()))
        .collect();
    let (freshness, stale_seconds_max) = match app.freshness {
        Freshness::Lease { stale_max } => ("lease", stale_max.as_secs()),
        Freshness::Strict => ("strict", 0),
    };
    json!({
        "id": app.id.as_str(),
        "hosts": app.hosts,
        "path_prefix": app.path_prefix,
        "upstream": app.upstream.addresses,
        "protocol": if app.upstream.h2 { "h2" } else { "h1" },
        "tls": app.upstream.tls.is_some(),
        "freshness": freshness,
        "stale_seconds_max": stale_seconds_max,
        "routes": routes,
    })
}

fn intake(intake: Option<&Intake>) -> Value {
    let Some(intake) = intake else { return json!({ "address": "none: nobody is provisioned" }) };
    let certificates: Vec<_> = intake.certificates.iter().map(|c| &c.chain).collect();
    json!({
        "address": intake.address,
        "public_url": intake.public_url.as_deref().unwrap_or("what clients say that they call"),
        "certificates": certificates,
        "loss_percent_max": intake.guard.percent_max,
        "loss_always": intake.guard.always,
        "loss_window_seconds": intake.guard.window.as_secs(),
        "silent_hours": intake.silent_max.map(|max| max.as_secs() / 3600),
    })
}

fn write_table(out: &mut String, header: &str, table: &Value) {
    // Writing to a String does not fail.
    let _ = writeln!(out, "{header}");
    if let Value::Object(entries) = table {
        for (key, value) in entries {
            match value {
                Value::Null => {}
                value => {
                    let _ = writeln!(out, "{key} = {value}");
                }
            }
        }
    }
    out.push('\n');
}
fn policy_json(policy: &PolicySettings) -> Value {
    let mut shown = serde_json::Map::new();
    shown.insert("dir".to_owned(), json!(policy.dir));
    shown.insert("watch".to_owned(), policy.watch.into());
    if !policy.keys.is_empty() {
        shown.insert("keys".to_owned(), json!(policy.keys));
    }
    let source = match &policy.source {
        None => return shown.into(),
        Some(BundleSource::Folder(dir)) => json!({ "dir": dir }),
        Some(BundleSource::Https { url, token_file, ca_file }) => {
            json!({ "url": url.to_string(), "token_file": token_file, "ca_file": ca_file })
        }
        Some(BundleSource::Redis) => json!({ "redis": true }),
    };
    shown.insert("source".to_owned(), source);
    shown.insert("pull_seconds".to_owned(), policy.pull_every.as_secs().into());
    shown.into()
}
