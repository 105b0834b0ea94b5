//! From what runs to the receipts of what was taken away, and to the cases of those who left.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use doorward_audit::{Protocol, allowed_since};
use doorward_lifecycle::receipt::facts::{ProtocolEnded, Remainder};
use doorward_lifecycle::receipt::{Signer, Told, ToldEnding};
use doorward_lifecycle::service::{Lifecycle, Witness};
use doorward_model::{IssuerId, UnixMillis, UserId};
use doorward_proxy::House;
use doorward_proxy::config::{App, Freshness, PeopleFrom};
use doorward_proxy::inflight::{Ending, Facts, Newest, Tally};
use uuid::Uuid;

use super::{WireError, Wired, sessions};

/// How often it is looked whether a case is to be looked at.
const CASES_EVERY: Duration = Duration::from_millis(500);
/// The most revocations of which one line of the roll tells.
const TOLD_MAX: usize = 256;
/// How much of the audit log is read to count what somebody was allowed, in bytes.
const LOG_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// From now on this node tells its fleet what it ended.
pub(super) fn tell(house: &Arc<House>) {
    let (inflight, began_at) = (Arc::clone(&house.inflight), (house.clock)());
    house.revocations.tell_with(Arc::new(move || {
        let Newest { endings, missing_until, open_missing_until, slipped, slipped_whole } =
            inflight.endings().newest(TOLD_MAX);
        let ending = |ending: &Ending| {
            let revocation = Uuid::parse_str(&ending.revocation).ok()?;
            Some(ToldEnding { revocation, at: ending.at, exchanges: exchanges(ending) })
        };
        let slipped =
            slipped.iter().filter_map(|of| Some((Uuid::parse_str(&of.revocation).ok()?, of.allowed)));
        let told = Told {
            began_at,
            missing_until,
            open_missing_until,
            endings: endings.iter().filter_map(ending).collect(),
            slipped: slipped.collect(),
            slipped_whole,
        };
        told.to_text()
    }));
}

fn exchanges(ending: &Ending) -> Vec<ProtocolEnded> {
    let of = |(protocol, tally): (Protocol, &Tally)| {
        let micros = tally.slowest.map(|slowest| u64::try_from(slowest.as_micros()).unwrap_or(u64::MAX));
        let last_byte_micros = micros.filter(|_| tally.open == 0);
        let (ended, still_open) = (tally.ended, tally.open);
        (ended > 0).then_some(ProtocolEnded { protocol, ended, still_open, last_byte_micros })
    };
    Protocol::ALL.into_iter().zip(&ending.by_protocol).filter_map(of).collect()
}

/// Sees to it that whatever takes access away leads to a receipt, and looks at cases.
pub(super) async fn open(wired: &Wired, lives: &Lifecycle) -> Result<(), WireError> {
    let signer = Signer::open(&wired.config.gateway.data_dir)?;
    tracing::info!(kid = signer.kid(), "receipts are signed with this key");
    let receipts = lives.make_receipts(witness(wired, signer)).await?;
    tokio::spawn(receipts.keep());
    let lives = lives.clone();
    tokio::spawn(async move { lives.keep_cases(CASES_EVERY).await });
    Ok(())
}

fn witness(wired: &Wired, signer: Signer) -> Witness {
    let (config, house) = (&wired.config, &wired.house);
    let (ended, running) = (Arc::clone(&house.inflight), Arc::clone(&house.inflight));
    let (watch, allowed) = (Arc::clone(&house.inflight), Arc::clone(&house.inflight));
    let clock = Arc::clone(&house.clock);
    let fleet = house.revocations.fleet_health();
    let mut ways = ways_in(&config.apps, &config.offboarding.cases.manual_apps, fleet.is_some());
    let asked = config.listen.iter().filter(|listen| listen.decides);
    ways.extend(asked.map(|listen| Remainder::OtherProxy { listener: listen.address }));
    let people = config.people.clone();
    let log = config.audit.dir().to_owned();
    Witness {
        gateway: config.gateway.public_url.clone(),
        node: config.gateway.node.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance: fleet.map_or_else(Uuid::new_v4, |fleet| fleet.instance),
        signer: Arc::new(signer),
        patience: config.offboarding.receipt_patience,
        ended: Arc::new(move |(ids, applied_at): (Vec<Uuid>, UnixMillis)| {
            let ids: Vec<Arc<str>> = ids.iter().map(|id| id.to_string().into()).collect();
            let (endings, whole) = ended.endings().of(&ids, applied_at);
            whole.then(|| Told::added_up(endings.iter().flat_map(exchanges)))
        }),
        running: Arc::new(move |users: BTreeSet<UserId>| {
            let theirs =
                |facts: &Facts| facts.principal.answerable().into_iter().any(|user| users.contains(user));
            u64::try_from(running.list(usize::MAX, theirs).len()).unwrap_or(u64::MAX)
        }),
        watch: Arc::new(move |users: Vec<UserId>| watch.endings().watch(&users, clock())),
        allowed: Arc::new(move |users: Vec<UserId>| allowed.endings().allowed_of(&users)),
        logged: Arc::new(move |(users, since): (Vec<UserId>, UnixMillis)| {
            let users: Vec<String> = users.iter().map(ToString::to_string).collect();
            allowed_since(&log, &users, since, LOG_BYTES_MAX).map_err(|error| error.to_string())
        }),
        sessions: house.sign_in.is_some().then(|| sessions::counted(house, &wired.left)),
        remains: Arc::new(move |()| ways.clone()),
        token_decides: Arc::new(move |issuer: IssuerId| match &people {
            PeopleFrom::Token => true,
            PeopleFrom::Directory { token_for } => token_for.contains(&issuer),
        }),
    }
}

/// Ways in that no revocation closes.
fn ways_in(apps: &[App], outside: &[(doorward_model::AppId, String)], in_fleet: bool) -> Vec<Remainder> {
    let mut ways = Vec::new();
    for (app, owner) in outside {
        ways.push(Remainder::ManualApp { app: app.clone(), owner: owner.clone() });
    }
    for app in apps {
        let public = app.routes.iter().filter(|route| route.facts.public);
        ways.extend(public.map(|route| Remainder::PublicRoute { route: route.facts.id.clone() }));
        match app.freshness {
            Freshness::Lease { stale_max } if in_fleet && !stale_max.is_zero() => {
                let seconds_max = stale_max.as_secs();
                ways.push(Remainder::StaleApp { app: app.id.clone(), seconds_max });
            }
            Freshness::Lease { .. } | Freshness::Strict => {}
        }
    }
    ways
}
