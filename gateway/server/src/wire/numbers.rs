//! Numbers that are looked up when somebody asks for them (OpenMetrics 1.0).

use doorward_audit::AuditState;
use doorward_model::UnixMillis;
use doorward_proxy::inflight::Protocol;
use doorward_proxy::serve::{OpenConnections, upstream_health};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::Wired;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Protocols {
    protocol: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Apps {
    app: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Issuers {
    issuer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Files {
    file: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Bundles {
    revision: String,
}

/// The gauges.
pub(crate) struct Numbers {
    connections: Gauge,
    inflight: Family<Protocols, Gauge>,
    upstreams: Family<Apps, Gauge>,
    store_writable: Gauge,
    store_entries: Gauge,
    store_unsaved: Gauge,
    store_age: Gauge,
    audit_state: Gauge,
    audit_queued: Gauge,
    audit_dropped: Gauge,
    audit_written: Gauge,
    audit_disk_free: Gauge,
    policy: Family<Bundles, Gauge>,
    policies: Gauge,
    keys_fetched: Family<Issuers, Gauge>,
    keys_stale: Family<Issuers, Gauge>,
    geoip_built: Family<Files, Gauge>,
    geoip_stale: Family<Files, Gauge>,
    geoip_refused: Family<Files, Gauge>,
    policy_rejected: Gauge,
    certificate_rejected: Gauge,
}

impl Numbers {
    /// Registers all of them.
    pub(crate) fn new(r: &mut Registry) -> Self {
        fn gauge<M: prometheus_client::registry::Metric + Clone + Default>(
            r: &mut Registry,
            name: &str,
            help: &str,
        ) -> M {
            let metric = M::default();
            r.register(name, help, metric.clone());
            metric
        }
        fn seconds<M: prometheus_client::registry::Metric + Clone + Default>(
            r: &mut Registry,
            name: &str,
            help: &str,
        ) -> M {
            let metric = M::default();
            r.register_with_unit(name, help, Unit::Seconds, metric.clone());
            metric
        }
        Self {
            connections: gauge(r, "doorward_connections_open", "Connections from clients"),
            inflight: gauge(r, "doorward_exchanges_running", "Exchanges that run now"),
            upstreams: gauge(r, "doorward_upstream_instances", "Instances of an app by state"),
            store_writable: gauge(r, "doorward_revocation_store_writable", "1 when the last write succeeded"),
            store_entries: gauge(r, "doorward_revocation_entries", "Targets that are remembered"),
            store_unsaved: gauge(
                r,
                "doorward_revocation_unsaved",
                "Changes in force that are not durable yet",
            ),
            store_age: seconds(r, "doorward_revocation_staleness", "Age of what is known of revocations"),
            audit_state: gauge(r, "doorward_audit_state", "0 healthy, 1 failed, 2 closed"),
            audit_queued: gauge(r, "doorward_audit_queue_depth", "Events that wait to be written"),
            audit_dropped: gauge(r, "doorward_audit_events_dropped", "Events lost since the start"),
            audit_written: gauge(
                r,
                "doorward_audit_events_written",
                "Events that are durable since the start",
            ),
            audit_disk_free: gauge(r, "doorward_audit_disk_free_bytes", "Free space where the log lies"),
            policy: gauge(r, "doorward_policy_in_force", "1 for the revision of the bundle in force"),
            policies: gauge(r, "doorward_policies", "Policies in force"),
            keys_fetched: seconds(r, "doorward_jwks_last_refresh_timestamp", "When keys were last fetched"),
            keys_stale: gauge(r, "doorward_jwks_stale", "1 when keys could not be fetched when due"),
            geoip_built: seconds(r, "doorward_geoip_build_timestamp", "When a database was built"),
            geoip_stale: gauge(r, "doorward_geoip_stale", "1 when a database is older than allowed"),
            geoip_refused: gauge(r, "doorward_geoip_refused", "1 while the file as it is now is refused"),
            policy_rejected: gauge(r, "doorward_policy_rejected", "1 while the policy files are rejected"),
            certificate_rejected: gauge(
                r,
                "doorward_certificate_rejected",
                "1 while a certificate cannot be served as its files are now",
            ),
        }
    }

    /// Looks everything up.
    pub(crate) fn look(&self, wired: &Wired, open: &OpenConnections) {
        let house = &wired.house;
        let now: UnixMillis = (house.clock)();
        self.connections.set(int(open.count()));
        for (protocol, n) in Protocol::ALL.into_iter().zip(house.inflight.count().by_protocol) {
            self.inflight.get_or_create(&Protocols { protocol: protocol.as_str() }).set(int(n));
        }
        for (app, well, all) in upstream_health(house) {
            let of = |state| Apps { app: app.to_string(), state };
            self.upstreams.get_or_create(&of("well")).set(int(well));
            self.upstreams.get_or_create(&of("unwell")).set(int(all.saturating_sub(well)));
        }
        let store = house.revocations.health();
        self.store_writable.set(i64::from(store.writable));
        self.store_entries.set(int(store.entries));
        self.store_unsaved.set(int(store.unsaved));
        self.store_age.set(i64::try_from(now.since(store.as_of).as_secs()).unwrap_or(i64::MAX));
        let audit = house.audit.health();
        self.audit_state.set(match audit.state {
            AuditState::Healthy => 0,
            AuditState::Failed => 1,
            AuditState::Closed => 2,
        });
        self.audit_queued.set(int(audit.queued));
        self.audit_dropped.set(i64::try_from(audit.dropped.total()).unwrap_or(i64::MAX));
        self.audit_written.set(i64::try_from(audit.written).unwrap_or(i64::MAX));
        if let Some(free) = audit.disk_free {
            self.audit_disk_free.set(i64::try_from(free).unwrap_or(i64::MAX));
        }
        let bundle = house.policies.bundle();
        self.policy.clear();
        self.policy.get_or_create(&Bundles { revision: bundle.revision().to_string() }).set(1);
        self.policies.set(int(bundle.policies()));
        for keys in house.verifier.key_status(now) {
            let labels = Issuers { issuer: keys.issuer.to_string() };
            self.keys_fetched.get_or_create(&labels).set(keys.fetched_at.map_or(0, UnixMillis::seconds));
            self.keys_stale.get_or_create(&labels).set(i64::from(keys.stale));
        }
        for file in house.places.status(now) {
            let name = file.path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
            let labels = Files { file: name };
            self.geoip_built.get_or_create(&labels).set(i64::try_from(file.built_at_seconds).unwrap_or(0));
            self.geoip_stale.get_or_create(&labels).set(i64::from(file.stale));
            self.geoip_refused.get_or_create(&labels).set(i64::from(file.refused.is_some()));
        }
        self.policy_rejected.set(i64::from(wired.refused.policies().is_some()));
        self.certificate_rejected.set(i64::from(wired.refused.certificates().is_some()));
    }
}

fn int(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
