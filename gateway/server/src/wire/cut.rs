//! From the store of revocations to what runs, and to the log.

use std::sync::Arc;
use std::time::Duration;

use doorward_audit::event::{OperatorCall, Revocation};
use doorward_audit::{Actor, Event};
use doorward_model::limits::REVOCATION_STALE_MILLIS_MAX;
use doorward_model::{EntryKind, LifecycleStage, Target};
use doorward_proxy::House;
use doorward_proxy::inflight::{Cut, Protocol, Terminated};
use doorward_state::{Action, Applied, Change, Ended, Receipt};
use tokio::runtime::Handle;

/// How often it is looked whether the store is still read.
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

/// Rule R9: what a revocation could hit does not outlive, by more than `grace`, the moment from which
/// new requests are refused because the store cannot be read.
pub(super) async fn what_may_be_revoked(house: Arc<House>, grace: Duration) {
    let unread_max = Duration::from_millis(REVOCATION_STALE_MILLIS_MAX).saturating_add(grace);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if house.revocations.unread_for() <= unread_max {
            continue;
        }
        let cut_off = house.inflight.end_stale();
        if cut_off > 0 {
            tracing::error!(
                cut_off,
                "the store of revocations is not read for too long: what runs was ended, as nobody knows who \
                 was cut off"
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
    Actor::Operator { name: change.actor.clone(), address: None }
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

fn taken(change: &Change, receipt: &Receipt, revision: &str) -> Event {
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
        actor: actor(change),
        cause: "operator",
        note: (!change.cause.is_empty()).then(|| change.cause.clone()),
        request_id: Some(change.request_id.as_str().into()),
        revision: Some(revision.into()),
        received_at: receipt.applied_at,
        durable_at: receipt.durable_at,
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
