//! What takes signals, and looks after the streams that they come by.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use doorward_console::{Condition, ConditionState};
use doorward_identity::KeyClient;
use doorward_lifecycle::intake::signals::{Ports, RiskTold, Signals, StreamState, TransmitterClient};
use doorward_model::UnixMillis;

use super::operator::short;
use super::{WireError, Wired};

/// How often messages are forgotten whose time is over.
const FORGET_EVERY: Duration = Duration::from_hours(1);

/// Makes it, where there is a directory and somebody may send any, and has it look after its streams and
/// keep its keys fresh.
pub(super) fn open(wired: &Wired) -> Result<(), WireError> {
    let (config, house) = (&wired.config, &wired.house);
    let Some(lives) = wired.lives.get().cloned().filter(|_| !config.signals.is_empty()) else {
        return Ok(());
    };
    let clock = Arc::clone(&house.clock);
    let apps: BTreeSet<_> = config.apps.iter().map(|app| app.id.clone()).collect();
    let risks = house
        .risks
        .clone()
        .map(|risks| -> RiskTold { Arc::new(move |user, level, at| risks.told(user, level, at)) });
    let ports = Ports {
        lives,
        store: house.revocations.as_ref().clone(),
        clock: Arc::clone(&clock),
        random: Arc::new(super::sign_in::random),
        keys: KeyClient::new()?,
        transmitters: TransmitterClient::new()?,
        risks,
    };
    let signals = Arc::new(Signals::new(config.signals.clone(), apps, ports));
    tokio::spawn(signals.verifier().keep_fresh(Arc::clone(&clock)));
    tokio::spawn(Arc::clone(&signals).keep());
    let forgets = Arc::clone(&signals);
    tokio::spawn(async move {
        let mut hours = tokio::time::interval(FORGET_EVERY);
        loop {
            hours.tick().await;
            match forgets.forget(clock()).await {
                Ok(0) => {}
                Ok(count) => tracing::debug!(count, "messages were forgotten whose time is over"),
                Err(error) => tracing::warn!(%error, "messages whose time is over stay in the store for now"),
            }
        }
    });
    let _first = wired.streams.set(signals);
    Ok(())
}

/// How each stream stands. Doors do not depend on it: a stream is something to look at, and no cause to send
/// anybody elsewhere.
pub(super) fn conditions(wired: &Wired, now: UnixMillis) -> Vec<Condition> {
    let streams = wired.streams.get().map(|signals| signals.streams()).unwrap_or_default();
    streams.iter().map(|stream| told(stream, now)).collect()
}

fn told(stream: &StreamState, now: UnixMillis) -> Condition {
    let state = if stream.condition.is_alarming() { ConditionState::Degraded } else { ConditionState::Holds };
    let mut detail = format!("{}: {}", stream.name, short(&stream.condition.told()));
    if let Some(at) = stream.event_at {
        detail.push_str(&format!("; its last message came {} s ago", now.since(at).as_secs()));
    }
    Condition { name: "signal_streams", state, detail }
}
