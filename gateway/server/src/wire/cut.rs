//! From the store of revocations to what runs, and to the log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use doorward_audit::event::{OperatorCall, Revocation};
use doorward_audit::{Actor, Event};
use doorward_model::{AppId, EntryKind, LifecycleStage, Presented, Target};
use doorward_proxy::House;
use doorward_proxy::config::{App, Freshness};
use doorward_proxy::inflight::{Cut, Protocol, Terminated};
use doorward_state::sessions::ToEnd;
use doorward_state::{Action, Applied, Change, Ended, Receipt, Refused};
use tokio::runtime::Handle;

/// What stands for the gateway itself in the log of revocations.
pub(super) const GATEWAY: &str = "gateway";
/// How often it is looked whether it is still known who was cut off.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Local and remote revocations take this one road to what runs.
pub(super) fn what_is_revoked(house: &Arc<House>) {
    let (inflight, skew, ticks) = (Arc::clone(&house.inflight), house.issuer_skew, Arc::clone(&house.ticks));
    house.revocations.subscribe(Arc::new(move |applied: &Applied| {
        let cut = Cut {
            revocation: applied.id.to_string().into(),
            target: &applied.target,
            entry: applied.entry,
            at: applied.at,
            ticks: ticks(),
        };
        ended(&inflight.terminate(&cut, skew))
    }));
}

/// For how long what runs at each app may go on when it is not known any more who was cut off: as long
/// as its new requests do, and at least for the grace that all streams have.
pub(super) struct Patience {
    grace: Duration,
    longer: BTreeMap<AppId, Duration>,
}

impl Patience {
    pub(super) fn new(grace: Duration, apps: &[App]) -> Self {
        let longer = apps.iter().filter_map(|app| match app.freshness {
            Freshness::Lease { stale_max } if stale_max > grace => Some((app.id.clone(), stale_max)),
            Freshness::Lease { .. } | Freshness::Strict => None,
        });
        Self { grace, longer: longer.collect() }
    }

    fn at(&self, app: &AppId) -> Duration {
        self.longer.get(app).copied().unwrap_or(self.grace)
    }
}

/// Rule R9: what a revocation could hit does not outlive, by more than its app's patience, the moment
/// from which it is not known any more who was cut off.
pub(super) async fn what_may_be_revoked(house: Arc<House>, patience: Patience) {
    let unknown = |presented: &Presented| {
        let within = patience.at(&presented.app);
        let judged = house.revocations.check_within(presented, house.issuer_skew, within);
        matches!(judged, Err(Refused::Stale { .. }))
    };
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if house.revocations.health().fresh {
            continue;
        }
        let cut_off = house.inflight.end_stale(unknown);
        if cut_off > 0 {
            tracing::error!(
                cut_off,
                "it is not known for too long who was cut off: what runs was ended where its app does not go \
                 on for longer"
            );
        }
    }
}

/// A change that is saved after its caller was told that it is not must be in the log all the same.
pub(super) fn record_what_is_saved_late(house: &Arc<House>, runtime: Handle) {
    let (audit, policies) = (Arc::clone(&house.audit), Arc::clone(&house.policies));
    house.revocations.subscribe_late(Arc::new(move |change: &Change, receipt: &Receipt| {
        let event = match change.action {
            Action::Revoke | Action::Disable => {
                taken(change, receipt, &policies.bundle().revision().to_string())
            }
            Action::Reactivate => given_back(change),
        };
        let (audit, id) = (Arc::clone(&audit), receipt.id);
        runtime.spawn(async move {
            if let Err(error) = audit.record_durable(event).await {
                tracing::error!(%id, %error, "a revocation was saved late and is not in the audit log");
            }
        });
    }));
}

fn actor(change: &Change) -> Actor {
    if change.actor == GATEWAY {
        return Actor::Gateway;
    }
    // No name of an operator or a source has a colon.
    match change.actor.parse() {
        Ok(user) => Actor::Person { user, address: None },
        Err(_) => Actor::Operator { name: change.actor.clone(), address: None },
    }
}

/// The end of a call whose beginning is in the log: it was answered, though with something else.
fn given_back(change: &Change) -> Event {
    let operation = match change.target.kind() {
        EntryKind::User => "reactivate.user",
        EntryKind::Session => "reactivate.session",
        EntryKind::Token => "reactivate.token",
        EntryKind::Device => "reactivate.device",
        EntryKind::UserAtApp => "reactivate.user_at_app",
    };
    Event::OperatorCall(Box::new(OperatorCall {
        request_id: change.request_id.as_str().into(),
        actor: actor(change),
        operation,
        method: "POST".to_owned(),
        path: "/api/v1/revocations".to_owned(),
        target: Some(change.target.to_string()),
        status: 201,
        takes_away: false,
    }))
}

/// Sessions of a browser have ended: somebody signed out, or the gateway saw to it.
pub(super) fn session_ended(end: &ToEnd, done: (&Change, &Receipt), revision: &str) -> Event {
    let person = |address| Actor::Person { user: end.person.clone(), address: Some(address) };
    taken_by(end.by.map_or(Actor::Gateway, person), "session", done, revision)
}

fn taken(change: &Change, receipt: &Receipt, revision: &str) -> Event {
    taken_by(actor(change), "operator", (change, receipt), revision)
}

fn taken_by(
    actor: Actor,
    cause: &'static str,
    (change, receipt): (&Change, &Receipt),
    revision: &str,
) -> Event {
    let person = matches!(receipt.target, Target::User(_) | Target::UserAtApp(..));
    let halted = person && receipt.entry.disabled;
    let mut counts = receipt.ended;
    let count = |protocol| (protocol, u64::try_from(*of(&mut counts, protocol)).unwrap_or(u64::MAX));
    let ended = Protocol::ALL.into_iter().map(count).collect();
    Event::Revocation(Box::new(Revocation {
        id: receipt.id.to_string().into(),
        target: receipt.target.clone(),
        entry: receipt.entry,
        stage: if halted { LifecycleStage::Suspended } else { LifecycleStage::Unknown },
        actor,
        cause,
        note: (!change.cause.is_empty()).then(|| change.cause.clone()),
        request_id: Some(change.request_id.as_str().into()),
        revision: Some(revision.into()),
        received_at: receipt.applied_at,
        durable_at: receipt.durable_at,
        published_at: receipt.published.map(|published| published.at),
        enforced_at: receipt.applied_at,
        // What it ended was over long before it was saved, and nobody counted it.
        ended_at: None,
        ended,
        remaining: 0,
    }))
}

fn ended(terminated: &Terminated) -> Ended {
    let mut ended = Ended::default();
    for (protocol, n) in Protocol::ALL.into_iter().zip(terminated.by_protocol) {
        *of(&mut ended, protocol) = n;
    }
    ended
}

const fn of(ended: &mut Ended, protocol: Protocol) -> &mut usize {
    match protocol {
        Protocol::Http1 => &mut ended.http1,
        Protocol::Http2 => &mut ended.http2,
        Protocol::WebSocket => &mut ended.websocket,
        Protocol::EventStream => &mut ended.event_stream,
        Protocol::Grpc => &mut ended.grpc,
    }
}

#[cfg(test)]
mod tests {
    use doorward_model::KeyPath;
    use doorward_proxy::config::{AppSection, check_apps};

    use super::*;

    #[test]
    fn what_runs_goes_on_as_long_as_new_requests_do_and_never_less_than_the_grace() {
        let app = |id: &str, more: &str| -> AppSection {
            let text = format!(
                "id = \"{id}\"\nhosts = [\"{id}.corp.example\"]\n{more}\n[upstream]\naddresses = [\"10.0.0.1:80\"]"
            );
            toml::from_str(&text).unwrap()
        };
        let sections = [
            app("usual", ""),
            app("strict", "freshness = \"strict\""),
            app("patient", "stale_seconds_max = 30"),
            app("hasty", "stale_seconds_max = 1"),
        ];
        let mut complaints = Vec::new();
        let apps = check_apps(&sections, &KeyPath::top(), std::path::Path::new("/"), &mut complaints);
        assert_eq!(complaints, []);
        let patience = Patience::new(Duration::from_secs(5), &apps);
        let of = |id: &str| patience.at(&AppId::new(id).unwrap()).as_secs();
        assert_eq!(["usual", "strict", "patient", "hasty", "unheard-of"].map(of), [5, 5, 30, 5, 5]);
    }
}
