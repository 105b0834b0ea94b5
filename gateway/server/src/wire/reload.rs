//! Files that changed: policies, GeoIP databases, certificates; and the keys of issuers, when told so.
//!
//! A reload swaps something whole, or leaves the old one in force and says so loudly.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use doorward_audit::event::{CertificateReload, GeoReload, PolicyMend, PolicyRejection, PolicySwap};
use doorward_audit::{Actor, Event};
use doorward_geoip::Reload;
use doorward_model::UnixMillis;
use doorward_model::limits::OPERATOR_AUDIT_SECONDS_MAX;
use doorward_policy::{Difference, Finding, Outcome};
use doorward_proxy::House;
use doorward_proxy::review::Because;

use super::releases::case_line;
use super::{WireError, Wired};
use crate::watch::{self, Watched, Watching};

/// How often the age of the GeoIP databases is looked at.
const OLD_DATABASES_EVERY: Duration = Duration::from_secs(24 * 3600);

/// How often the revocation lists are looked at without a change.
const LISTS_EVERY: Duration = Duration::from_secs(3600);

/// How many names of policies that are gone stand in a line of the log.
const LOST_SHOWN_MAX: usize = 50;

/// What was refused at the last load, and why. It stands until a load is not refused.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    /// One load at a time, so that a slow old one cannot be noted after a new one.
    loading: Mutex<()>,
    policies: Mutex<Option<String>>,
    certificates: Mutex<Option<String>>,
}

/// Loads everything again. Returns when all files are read; the keys of issuers are fetched
/// beside it, because one that does not answer must hold up neither files nor signals.
pub(super) async fn everything(wired: &Arc<Wired>, why: &'static str) {
    tracing::info!(why, "loading files again");
    // A key that was withdrawn may be why the signal came.
    let (verifier, now) = (Arc::clone(&wired.house.verifier), (wired.house.clock)());
    tokio::spawn(async move { verifier.refresh_all(now).await });
    let wired = Arc::clone(wired);
    let _ = tokio::task::spawn_blocking(move || {
        each_for_itself(&[
            ("policies", &|| drop(policies(&wired, Actor::Gateway))),
            ("GeoIP databases", &|| geoip(&wired, Actor::Gateway)),
            ("certificates", &|| certificates(&wired, Actor::Gateway)),
        ]);
    })
    .await;
}

/// Does one after the other. One that panics must not keep the others from being done.
fn each_for_itself(loads: &[(&str, &dyn Fn())]) {
    for (what, load) in loads {
        if catch_unwind(AssertUnwindSafe(load)).is_err() {
            tracing::error!(what, "loading the files again panicked; the old ones stay");
        }
    }
}

/// Watches what the configuration wants watched.
pub(super) fn watch(wired: &Arc<Wired>) -> Result<Watching, WireError> {
    let mut watched = Vec::new();
    if wired.config.policy.watch {
        let for_policies = Arc::clone(wired);
        watched.push(Watched {
            name: "policies",
            paths: vec![wired.config.policy.dir.clone()],
            changed: Box::new(move || drop(policies(&for_policies, Actor::Gateway))),
        });
    }
    let geo_files: Vec<_> =
        wired.house.places.status((wired.house.clock)()).into_iter().map(|status| status.path).collect();
    if !geo_files.is_empty() {
        let for_geoip = Arc::clone(wired);
        watched.push(Watched {
            name: "GeoIP databases",
            paths: geo_files,
            changed: Box::new(move || geoip(&for_geoip, Actor::Gateway)),
        });
    }
    let certificate_files: Vec<_> = wired.certificates.iter().flat_map(|c| c.watched().cloned()).collect();
    if !certificate_files.is_empty() {
        let wired = Arc::clone(wired);
        watched.push(Watched {
            name: "certificates",
            paths: certificate_files,
            changed: Box::new(move || certificates(&wired, Actor::Gateway)),
        });
    }
    watch::start(watched)
        .map_err(|cause| WireError::System { what: "files cannot be watched".to_owned(), cause })
}

/// The first of these names, and how many there are more.
fn shown(names: &[Arc<str>]) -> String {
    let some = names.get(..names.len().min(LOST_SHOWN_MAX)).unwrap_or_default().join(", ");
    match names.len().saturating_sub(LOST_SHOWN_MAX) {
        0 => some,
        more => format!("{some}, and {more} more"),
    }
}

/// Loads the policies again and records what came of it. Blocks until that is on the disk, and not
/// for ever: who loads policies is told what they came to even when the log is silent.
pub(super) fn policies(wired: &Wired, actor: Actor) -> Outcome {
    let house = &wired.house;
    let one_at_a_time = wired.refused.loading.lock().unwrap_or_else(PoisonError::into_inner);
    let outcome = house.policies.reload((house.clock)());
    let refusal = match &outcome {
        Outcome::Rejected(failure) => Some(format!("{} mistakes", failure.findings.len())),
        Outcome::Unchanged | Outcome::Swapped { .. } => None,
    };
    let was_refused = wired.refused.note(|r| &r.policies, refusal);
    drop(one_at_a_time);
    let source = house.policies.dir().display().to_string();
    let in_force = house.policies.bundle().revision().to_string();
    match &outcome {
        Outcome::Unchanged if was_refused => {
            tracing::info!(in_force, "the policies are mended: the files hold what is in force");
            let mend = PolicyMend { actor, revision: in_force.into(), source };
            record(wired, Event::PolicyMended(Box::new(mend)));
        }
        Outcome::Unchanged => wired.releases.folder_counts(wired, None, &actor),
        Outcome::Swapped { from, to, cases, hints, lost_forbids, lost_permits, difference } => {
            let told = Told {
                actor: actor.clone(),
                revision: to.to_string(),
                policies: house.policies.bundle().policies(),
                previous: from.to_string(),
                source,
                cases: *cases,
                hints: hints.len(),
                lost_forbids,
                lost_permits,
                difference,
                author: None,
                cause: None,
                found: None,
                results: case_line(difference).into_iter().collect(),
            };
            tell_swapped(wired, told);
            wired.releases.folder_counts(wired, Some(from.to_string()), &actor);
        }
        Outcome::Rejected(failure) => {
            let report = failure.plain();
            tracing::error!(
                in_force,
                "the policies were rejected; the old ones stay in force\n{}",
                report.trim_end()
            );
            let rejection = PolicyRejection {
                actor,
                in_force: Some(in_force.into()),
                source,
                mistakes: failure.findings.iter().map(mistake).collect(),
            };
            record(wired, Event::PolicyRejected(Box::new(rejection)));
        }
    }
    outcome
}

/// What there is to tell of a swap.
pub(super) struct Told<'a> {
    pub(super) actor: Actor,
    pub(super) revision: String,
    pub(super) policies: usize,
    pub(super) previous: String,
    pub(super) source: String,
    pub(super) cases: usize,
    pub(super) hints: usize,
    pub(super) lost_forbids: &'a [Arc<str>],
    pub(super) lost_permits: &'a [Arc<str>],
    pub(super) difference: &'a Difference,
    pub(super) author: Option<String>,
    pub(super) cause: Option<String>,
    pub(super) found: Option<String>,
    pub(super) results: Vec<String>,
}

/// Tells that other policies are in force, and holds what runs against them. Blocks until that is on the disk.
pub(super) fn tell_swapped(wired: &Wired, told: Told<'_>) {
    let house = &wired.house;
    if !told.lost_forbids.is_empty() {
        let lost = shown(told.lost_forbids);
        tracing::warn!(lost, "policies that forbade something are gone with this change");
    }
    if !told.lost_permits.is_empty() {
        tracing::info!(lost = shown(told.lost_permits), "policies that permitted something are gone");
    }
    // What runs is held against them too.
    house.review.changed(Because::Policies, (house.ticks)());
    // Not what is in force by now, which may be others again.
    let (to, policies) = (told.revision, told.policies);
    tracing::info!(from = told.previous, to, policies, hints = told.hints, "other policies are in force");
    let swap = PolicySwap {
        actor: told.actor,
        revision: to.into(),
        previous: Some(told.previous.into()),
        source: told.source,
        policies: u64::try_from(policies).unwrap_or(u64::MAX),
        cases: u64::try_from(told.cases).unwrap_or(u64::MAX),
        author: told.author,
        cause: told.cause,
        found: told.found,
        results: told.results,
        added: told.difference.added.clone(),
        removed: told.difference.removed.clone(),
        changed: told.difference.changed.clone(),
    };
    record(wired, Event::PolicySwapped(Box::new(swap)));
}

/// A mistake of a policy in one line.
fn mistake(finding: &Finding) -> String {
    let place = finding.line_and_column().map(|(line, column)| format!(":{line}:{column}"));
    let place = format!("{}{}", finding.file().unwrap_or("the folder"), place.unwrap_or_default());
    format!("{place}: {}", finding.message())
}

/// Writes an event and waits until it is on the disk, as long as an operator waits for the log.
pub(super) fn record(wired: &Wired, event: Event) {
    let code = event.code();
    let bound = Duration::from_secs(OPERATOR_AUDIT_SECONDS_MAX);
    let written = wired
        .runtime
        .block_on(async { tokio::time::timeout(bound, wired.house.audit.record_durable(event)).await });
    match written {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::error!(code, %error, "the audit log does not have this"),
        Err(_) => tracing::error!(code, "the audit log does not say that it has this"),
    }
}

/// Looks once a day, from now on, whether a GeoIP database has grown too old.
pub(super) async fn keep_telling_old_databases(house: Arc<House>) {
    loop {
        tell_old_databases(&house);
        tokio::time::sleep(OLD_DATABASES_EVERY).await;
    }
}

/// Says of every GeoIP database that is older than allowed that it is: countries move.
fn tell_old_databases(house: &House) {
    for file in house.places.status((house.clock)()).into_iter().filter(|file| file.stale) {
        let days = file.age.as_secs() / 86_400;
        tracing::warn!(file = %file.path.display(), days, "a GeoIP database is older than `geoip.age_days_max`: refresh it");
    }
}

fn geoip(wired: &Wired, actor: Actor) {
    let house = &wired.house;
    let was_refused = house.places.status((house.clock)()).iter().any(|file| file.refused.is_some());
    let kept = match house.places.reload() {
        Reload::Unchanged if !was_refused => return,
        Reload::Unchanged => {
            tracing::info!("the GeoIP databases are mended: the files hold what is in use");
            None
        }
        Reload::Replaced => {
            house.review.changed(Because::Places, (house.ticks)());
            tracing::info!("other GeoIP databases are in use");
            tell_old_databases(house);
            None
        }
        Reload::Kept(errors) => {
            let why = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            tracing::error!(error = why, "the GeoIP databases cannot be used; the old ones stay");
            Some(why)
        }
    };
    let databases = house
        .places
        .status((house.clock)())
        .into_iter()
        .map(|s| {
            let built = UnixMillis::from_seconds(i64::try_from(s.built_at_seconds).unwrap_or(i64::MAX));
            (s.path.display().to_string(), Some(built))
        })
        .collect();
    record(wired, Event::GeoReloaded(Box::new(GeoReload { actor, databases, kept })));
}

/// Looks every hour, from now on, whether the revocation lists are still good.
pub(super) async fn keep_telling_lists(wired: Arc<Wired>) {
    loop {
        tell_lists(&wired);
        tokio::time::sleep(LISTS_EVERY).await;
    }
}

/// Says of every revocation list whether it is out of date: then nobody comes in with a certificate.
fn tell_lists(wired: &Wired) {
    let now = (wired.house.clock)();
    let lists = wired.certificates.iter().filter_map(|c| c.clients()).flat_map(|clients| clients.lists());
    for list in lists {
        let file = list.file.display().to_string();
        match list.next_update {
            Some(until) if now < until => {
                tracing::info!(
                    file,
                    hours = until.since(now).as_secs() / 3600,
                    "a revocation list is in use"
                );
            }
            Some(_) | None => {
                tracing::error!(
                    file,
                    "a revocation list is out of date: no device comes in with a certificate"
                );
            }
        }
    }
}

fn certificates(wired: &Wired, actor: Actor) {
    let one_at_a_time = wired.refused.loading.lock().unwrap_or_else(PoisonError::into_inner);
    let mut errors = Vec::new();
    for certificates in &wired.certificates {
        if let Err(e) = certificates.reload() {
            tracing::error!(error = %e, "a certificate cannot be served; the old ones stay");
            errors.push(e.to_string());
        }
    }
    if wired.certificates.iter().any(|c| c.clients().is_some()) {
        // Whose certificate was revoked loses what runs with it, too.
        wired.house.review.changed(Because::Certificates, (wired.house.ticks)());
        tell_lists(wired);
    }
    let pairs = wired.certificates.iter().flat_map(|c| c.files());
    let chains: Vec<_> = pairs.map(|pair| pair.chain.display().to_string()).collect();
    if chains.is_empty() {
        return;
    }
    let kept = (!errors.is_empty()).then(|| errors.join("; "));
    let was_refused = wired.refused.note(|r| &r.certificates, kept.clone());
    drop(one_at_a_time);
    match (&kept, was_refused) {
        (Some(_), _) => {}
        (None, true) => tracing::info!("certificates were read again: the certificates are mended"),
        (None, false) => tracing::info!("certificates were read again"),
    }
    let reload = CertificateReload { actor, chains, kept };
    record(wired, Event::CertificatesReloaded(Box::new(reload)));
}

// === impl Refused ===

impl Refused {
    /// Why the policy files were refused, if they were.
    pub(super) fn policies(&self) -> Option<String> {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why the certificates were refused, if they were.
    pub(super) fn certificates(&self) -> Option<String> {
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what a load came to. Says whether the load before was refused.
    fn note(&self, of: impl Fn(&Self) -> &Mutex<Option<String>>, refusal: Option<String>) -> bool {
        let mut last = of(self).lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *last, refusal).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_load_that_panics_does_not_keep_the_others_from_being_done() {
        let done = Cell::new(0);
        let count = || done.set(done.get() + 1);
        each_for_itself(&[("one", &count), ("two", &|| panic!("on purpose")), ("three", &count)]);
        assert_eq!(done.get(), 2);
    }

    #[test]
    fn a_refusal_stands_until_a_load_is_not_refused() {
        let refused = Refused::default();
        let note = |refusal: Option<&str>| refused.note(|r| &r.policies, refusal.map(str::to_owned));
        assert!(!note(None) && !note(Some("1 mistakes")));
        assert!(note(Some("2 mistakes")));
        assert_eq!(refused.policies().as_deref(), Some("2 mistakes"));
        assert!(note(None) && !note(None));
        assert_eq!((refused.policies(), refused.certificates()), (None, None));
    }
}
