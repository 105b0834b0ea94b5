//! What is in force, for `doorward check`: every value, defaults included, in the words of the
//! file. No secret is part of it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Config;

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
                    "certificates": certificates,
                })
            })
            .collect();
        let issuers: Vec<_> =
            self.issuers.iter().map(|i| json!({ "id": i.id().as_str(), "issuer": i.url() })).collect();
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
        let skew_millis = u64::try_from(self.revocation.issuer_skew().as_millis()).unwrap_or(u64::MAX);
        let revocation = json!({
            "issuer_skew_millis": skew_millis,
            "retention_days": self.revocation.retention().as_secs() / 86_400,
            "stream_grace_seconds": self.revocation.stream_grace().as_secs(),
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
        });
        vec![
            ("gateway", gateway),
            ("listen", Value::Array(listen)),
            ("operator", operator),
            ("network", network),
            ("geoip", geoip),
            ("issuer", Value::Array(issuers)),
            ("revocation", revocation),
            ("policy", json!({ "dir": self.policy.dir, "watch": self.policy.watch })),
            ("audit", audit),
            ("limits", self.limits_json()),
            ("app", self.apps.iter().map(app_json).collect()),
        ]
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

fn app_json(app: &doorward_proxy::config::App) -> Value {
    let routes: Vec<_> = app
        .routes
        .iter()
        .map(|r| format!("{} {} ({})", r.facts.id, r.prefix, r.facts.tier.as_str()))
        .collect();
    json!({
        "id": app.id.as_str(),
        "hosts": app.hosts,
        "path_prefix": app.path_prefix,
        "upstream": app.upstream.addresses,
        "protocol": if app.upstream.h2 { "h2" } else { "h1" },
        "tls": app.upstream.tls.is_some(),
        "routes": routes,
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
