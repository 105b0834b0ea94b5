//! Numbers that are looked up when somebody asks for them (OpenMetrics 1.0).

mod leaving;
mod sessions;
mod shadow;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use doorward_audit::AuditState;
use doorward_lifecycle::intake::signals::StreamState;
use doorward_model::UnixMillis;
use doorward_model::limits::REVOCATION_PAGE_ROWS_MAX;
use doorward_proxy::DirectoryStatus;
use doorward_proxy::inflight::Protocol;
use doorward_proxy::serve::{OpenConnections, upstream_health};
use doorward_state::{FleetHealth, StateError};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::Wired;
use leaving::LeavingNumbers;
use sessions::SessionNumbers;
use shadow::ShadowNumbers;

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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamNames {
    stream: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamConditions {
    stream: String,
    condition: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamOutcomes {
    stream: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kinds {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Blessings {
    role: &'static str,
    epoch: String,
}

/// How often open debts are counted.
const COUNT_DEBTS_EVERY: Duration = Duration::from_secs(15);

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
    providers_stale: Family<Issuers, Gauge>,
    geoip_built: Family<Files, Gauge>,
    geoip_stale: Family<Files, Gauge>,
    geoip_refused: Family<Files, Gauge>,
    policy_rejected: Gauge,
    rollout: Family<Bundles, Gauge>,
    certificate_rejected: Gauge,
    debts_open: Gauge,
    debts_overdue: Gauge,
    leaving: LeavingNumbers,
    shadow: ShadowNumbers,
    /// None on a node that belongs to none.
    fleet: Option<FleetNumbers>,
    /// None where nobody is looked up.
    directory: Option<DirectoryNumbers>,
    /// None where nobody sends signals by streams.
    streams: Option<StreamNumbers>,
    /// None where nobody signs in with a browser.
    sessions: Option<SessionNumbers>,
}

/// How streams of signals stand.
struct StreamNumbers {
    condition: Family<StreamConditions, Gauge>,
    event_age: Family<StreamNames, Gauge<f64, AtomicU64>>,
    verifications: Family<StreamOutcomes, Counter>,
    polls: Family<StreamOutcomes, Counter>,
}

/// What the directory knows.
struct DirectoryNumbers {
    known: Family<Kinds, Gauge>,
    age: Gauge<f64, AtomicU64>,
}

/// How this node stands to its fleet.
struct FleetNumbers {
    leased: Gauge,
    lease: Gauge<f64, AtomicU64>,
    lease_left: Gauge<f64, AtomicU64>,
    lag: Gauge<f64, AtomicU64>,
    connected: Gauge,
    blessed: Gauge,
    generation: Gauge,
    position: Family<Blessings, Gauge>,
    outbox: Gauge,
    polls: Counter,
    poll_failures: Counter,
    pushes: Counter,
    resyncs: Counter,
    connects: Counter,
    blessings: Counter,
    published: Counter,
}

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

impl Numbers {
    /// Registers all of them; those of a fleet, of a directory and of streams where there are any.
    pub(crate) fn new(r: &mut Registry, in_fleet: bool, asks_directory: bool, has_streams: bool) -> Self {
        Self {
            streams: has_streams.then(|| StreamNumbers::new(r)),
            sessions: None,
            directory: asks_directory.then(|| DirectoryNumbers::new(r)),
            fleet: in_fleet.then(|| FleetNumbers::new(r)),
            shadow: ShadowNumbers::new(r),
            leaving: LeavingNumbers::new(r),
            debts_open: gauge(r, "doorward_control_debts_open", "Control debts that nobody has settled"),
            debts_overdue: gauge(r, "doorward_control_debts_overdue", "Open control debts that are past due"),
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
            providers_stale: gauge(
                r,
                "doorward_provider_stale",
                "1 while it cannot be learned where people sign in",
            ),
            geoip_built: seconds(r, "doorward_geoip_build_timestamp", "When a database was built"),
            geoip_stale: gauge(r, "doorward_geoip_stale", "1 when a database is older than allowed"),
            geoip_refused: gauge(r, "doorward_geoip_refused", "1 while the file as it is now is refused"),
            rollout: gauge(
                r,
                "doorward_policy_rollout_share",
                "Hundredths of a percent of the people that are asked of a bundle",
            ),
            policy_rejected: gauge(r, "doorward_policy_rejected", "1 while the policy files are rejected"),
            certificate_rejected: gauge(
                r,
                "doorward_certificate_rejected",
                "1 while a certificate cannot be served as its files are now",
            ),
        }
    }

    /// And those of the records of sessions.
    pub(crate) fn and_sessions(self, r: &mut Registry) -> Self {
        Self { sessions: Some(SessionNumbers::new(r)), ..self }
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
        if let (Some(numbers), Some(fleet)) = (&self.fleet, house.revocations.fleet_health()) {
            numbers.look(&fleet);
        }
        if let (Some(numbers), Some(directory)) = (&self.directory, house.people.directory_status()) {
            numbers.look(directory);
        }
        if let (Some(numbers), Some(signals)) = (&self.streams, wired.streams.get()) {
            numbers.look(&signals.streams(), now);
        }
        if let (Some(numbers), Some(sign_in)) = (&self.sessions, &house.sign_in) {
            numbers.look(&sign_in.sessions.health());
        }
        if let Some(lives) = wired.lives.get() {
            self.leaving.look(lives);
        }
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
        self.shadow.look(&house.shadow, (house.clock)());
        self.rollout.clear();
        if let Some(staged) = house.policies.staged() {
            let labels = Bundles { revision: staged.bundle.revision().to_string() };
            self.rollout.get_or_create(&labels).set(i64::from(staged.share.hundredths()));
        }
        for keys in house.verifier.key_status(now) {
            let labels = Issuers { issuer: keys.issuer.to_string() };
            self.keys_fetched.get_or_create(&labels).set(keys.fetched_at.map_or(0, UnixMillis::seconds));
            self.keys_stale.get_or_create(&labels).set(i64::from(keys.stale));
        }
        for provider in house.sign_in.iter().flat_map(|sign_in| sign_in.providers.status()) {
            let labels = Issuers { issuer: provider.issuer.to_string() };
            self.providers_stale.get_or_create(&labels).set(i64::from(provider.last_error.is_some()));
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

impl DirectoryNumbers {
    fn new(r: &mut Registry) -> Self {
        Self {
            known: gauge(r, "doorward_directory_known", "Whom and what the directory knows"),
            age: seconds(r, "doorward_directory_staleness", "Age of what is known of people"),
        }
    }

    fn look(&self, directory: DirectoryStatus) {
        let DirectoryStatus { people, groups, machines, unread_for, is_fresh: _ } = directory;
        for (kind, known) in [("people", people), ("groups", groups), ("machines", machines)] {
            self.known.get_or_create(&Kinds { kind }).set(int(known));
        }
        self.age.set(if unread_for == Duration::MAX { f64::INFINITY } else { unread_for.as_secs_f64() });
    }
}

impl StreamNumbers {
    fn new(r: &mut Registry) -> Self {
        Self {
            condition: gauge(r, "doorward_signal_stream_condition", "1 for how a stream stands"),
            event_age: seconds(r, "doorward_signal_stream_event_age", "Age of the last good message"),
            verifications: gauge(r, "doorward_signal_verifications", "What came of asking a transmitter"),
            polls: gauge(r, "doorward_signal_polls", "What came of fetching events"),
        }
    }

    fn look(&self, streams: &[StreamState], now: UnixMillis) {
        self.condition.clear();
        for state in streams {
            let stream = state.name.to_string();
            let condition = StreamConditions { stream: stream.clone(), condition: state.condition.as_str() };
            self.condition.get_or_create(&condition).set(1);
            // Of one that never spoke the age has no bound.
            let age = state.event_at.map_or(f64::INFINITY, |at| now.since(at).as_secs_f64());
            self.event_age.get_or_create(&StreamNames { stream: stream.clone() }).set(age);
            let counts = &state.counts;
            for (family, outcome, total) in [
                (&self.verifications, "taken", counts.asked),
                (&self.verifications, "answered", counts.answered),
                (&self.verifications, "missed", counts.missed),
                (&self.verifications, "not_taken", counts.not_taken),
                (&self.polls, "fetched", counts.polls),
                (&self.polls, "failed", counts.poll_failures),
            ] {
                let labels = StreamOutcomes { stream: stream.clone(), outcome };
                // It is counted elsewhere, and only rises there.
                family.get_or_create(&labels).inner().store(total, Ordering::Relaxed);
            }
        }
    }
}

impl FleetNumbers {
    fn new(r: &mut Registry) -> Self {
        Self {
            leased: gauge(r, "doorward_fleet_leased", "1 while a request may rest on the lease"),
            lease: seconds(r, "doorward_fleet_lease", "How long a lease lasts"),
            lease_left: seconds(r, "doorward_fleet_lease_left", "How long the lease still lasts"),
            lag: seconds(r, "doorward_fleet_lag", "Age of the newest proof that nothing is missing here"),
            connected: gauge(r, "doorward_fleet_connected", "1 while there is a connection to Redis"),
            blessed: gauge(r, "doorward_fleet_blessed", "1 while a control node answers for this Redis"),
            generation: gauge(r, "doorward_fleet_generation", "The generation of the log"),
            position: gauge(r, "doorward_fleet_info", "1 for the role of this node and the epoch of the log"),
            outbox: gauge(r, "doorward_fleet_outbox", "Changes that are committed and not published yet"),
            polls: gauge(r, "doorward_fleet_polls", "Polls that renewed the lease"),
            poll_failures: gauge(r, "doorward_fleet_poll_failures", "Polls that renewed nothing"),
            pushes: gauge(r, "doorward_fleet_pushes", "Entries that came by push"),
            resyncs: gauge(r, "doorward_fleet_resyncs", "How often everything was read anew"),
            connects: gauge(r, "doorward_fleet_connects", "How often the connection was made"),
            blessings: gauge(r, "doorward_fleet_blessings", "How often this node blessed a Redis process"),
            published: gauge(r, "doorward_fleet_published", "Changes that this node published"),
        }
    }

    fn look(&self, fleet: &FleetHealth) {
        self.leased.set(i64::from(fleet.leased));
        self.lease.set(fleet.lease.as_secs_f64());
        self.lease_left.set(fleet.lease_left.as_secs_f64());
        // Without any proof its age has no bound.
        self.lag.set(fleet.lag.map_or(f64::INFINITY, |lag| lag.as_secs_f64()));
        self.connected.set(i64::from(fleet.server.is_some()));
        self.blessed.set(i64::from(fleet.blessed));
        self.generation.set(whole(fleet.generation.unwrap_or(0)));
        self.outbox.set(whole(fleet.outbox.unwrap_or(0)));
        self.position.clear();
        let epoch = fleet.position.map_or_else(String::new, |position| position.epoch.to_string());
        self.position.get_or_create(&Blessings { role: fleet.role.as_str(), epoch }).set(1);
        for (counter, total) in [
            (&self.polls, fleet.polls_total),
            (&self.poll_failures, fleet.poll_failures_total),
            (&self.pushes, fleet.pushes_total),
            (&self.resyncs, fleet.resyncs_total),
            (&self.connects, fleet.connects_total),
            (&self.blessings, fleet.blessings_total),
            (&self.published, fleet.published_total),
        ] {
            // It is counted elsewhere, and only rises there.
            counter.inner().store(total, Ordering::Relaxed);
        }
    }
}

/// Counts open debts every now and then, as they lie in the directory. A node without one has none.
pub(super) async fn keep_counting_debts(wired: Arc<Wired>) {
    let (house, numbers) = (&wired.house, &wired.numbers);
    loop {
        match house.revocations.debts(true, None, REVOCATION_PAGE_ROWS_MAX).await {
            Ok(debts) => {
                let now = (house.clock)();
                numbers.debts_open.set(int(debts.len()));
                numbers.debts_overdue.set(int(debts.iter().filter(|debt| debt.due_at < now).count()));
            }
            Err(StateError::NotHere) => return,
            // The store tells that it cannot be read; the numbers of before are the best there are.
            Err(error) => tracing::debug!(%error, "control debts cannot be counted"),
        }
        tokio::time::sleep(COUNT_DEBTS_EVERY).await;
    }
}

fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn int(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
