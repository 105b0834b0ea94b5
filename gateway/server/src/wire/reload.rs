//! Files that changed: policies, GeoIP databases, certificates; and the keys of issuers, when told so.
//!
//! A reload swaps something whole, or leaves the old one in force and says so loudly.

use std::sync::Arc;
use std::time::Duration;

use doorward_audit::event::{GeoReload, PolicyRejection, PolicySwap};
use doorward_audit::{Actor, Event};
use doorward_geoip::Reload;
use doorward_model::UnixMillis;
use doorward_policy::Outcome;
use doorward_proxy::House;

use super::{WireError, Wired};
use crate::watch::{self, Watched, Watching};

/// How often the age of the GeoIP databases is looked at.
const OLD_DATABASES_EVERY: Duration = Duration::from_secs(24 * 3600);

/// How many mistakes of a rejected bundle go into its event.
const MISTAKES_RECORDED_MAX: usize = 20;

/// Loads everything again. Returns when all files are read; the keys of issuers are fetched
/// beside it, because one that does not answer must hold up neither files nor signals.
pub(super) async fn everything(wired: &Arc<Wired>, why: &'static str) {
    tracing::info!(why, "loading files again");
    // A key that was withdrawn may be why the signal came.
    let (verifier, now) = (Arc::clone(&wired.house.verifier), (wired.house.clock)());
    tokio::spawn(async move { verifier.refresh_all(now).await });
    let wired = Arc::clone(wired);
    let _ = tokio::task::spawn_blocking(move || {
        policies(&wired.house, Actor::Gateway);
        geoip(&wired.house, Actor::Gateway);
        certificates(&wired);
    })
    .await;
}

/// Watches what the configuration wants watched.
pub(super) fn watch(wired: &Arc<Wired>) -> Result<Watching, WireError> {
    let mut watched = Vec::new();
    if wired.config.policy.watch {
        let house = Arc::clone(&wired.house);
        watched.push(Watched {
            name: "policies",
            paths: vec![wired.config.policy.dir.clone()],
            changed: Box::new(move || {
                policies(&house, Actor::Gateway);
            }),
        });
    }
    let geo_files: Vec<_> =
        wired.house.places.status((wired.house.clock)()).into_iter().map(|status| status.path).collect();
    if !geo_files.is_empty() {
        let house = Arc::clone(&wired.house);
        watched.push(Watched {
            name: "GeoIP databases",
            paths: geo_files,
            changed: Box::new(move || geoip(&house, Actor::Gateway)),
        });
    }
    let pairs = wired.certificates.iter().flat_map(|c| c.files());
    let certificate_files: Vec<_> = pairs.flat_map(|p| [p.chain.clone(), p.key.clone()]).collect();
    if !certificate_files.is_empty() {
        let wired = Arc::clone(wired);
        watched.push(Watched {
            name: "certificates",
            paths: certificate_files,
            changed: Box::new(move || certificates(&wired)),
        });
    }
    watch::start(watched)
        .map_err(|cause| WireError::System { what: "files cannot be watched".to_owned(), cause })
}

/// Loads the policies again and records what came of it.
pub(super) fn policies(house: &House, actor: Actor) -> Outcome {
    let outcome = house.policies.reload((house.clock)());
    let source = house.policies.dir().display().to_string();
    match &outcome {
        Outcome::Unchanged => {}
        Outcome::Swapped { from, to, cases, hints } => {
            let policies = house.policies.bundle().policies();
            tracing::info!(from = %from, to = %to, policies, hints = hints.len(), "other policies are in force");
            let _ = house.audit.record(Event::PolicySwapped(Box::new(PolicySwap {
                actor,
                revision: to.to_string().into(),
                previous: Some(from.to_string().into()),
                source,
                policies: u64::try_from(policies).unwrap_or(u64::MAX),
                cases: u64::try_from(*cases).unwrap_or(u64::MAX),
            })));
        }
        Outcome::Rejected(failure) => {
            let in_force = house.policies.bundle().revision().to_string();
            let report = failure.plain();
            tracing::error!(
                in_force,
                "the policies were rejected; the old ones stay in force\n{}",
                report.trim_end()
            );
            let _ = house.audit.record(Event::PolicyRejected(Box::new(PolicyRejection {
                actor,
                in_force: Some(in_force.into()),
                source,
                mistakes: report.lines().take(MISTAKES_RECORDED_MAX).map(str::to_owned).collect(),
            })));
        }
    }
    outcome
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

fn geoip(house: &House, actor: Actor) {
    let kept = match house.places.reload() {
        Reload::Unchanged => return,
        Reload::Replaced => None,
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
    if kept.is_none() {
        tracing::info!("other GeoIP databases are in use");
        tell_old_databases(house);
    }
    let _ = house.audit.record(Event::GeoReloaded(Box::new(GeoReload { actor, databases, kept })));
}

fn certificates(wired: &Wired) {
    for certificates in &wired.certificates {
        match certificates.reload() {
            Ok(()) => tracing::info!("certificates were read again"),
            Err(e) => tracing::error!(error = %e, "a certificate cannot be served; the old ones stay"),
        }
    }
}
