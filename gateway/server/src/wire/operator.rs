//! The operator's listener, and what it may see of the rest.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use doorward_console::{
    About, Aftermath, Condition, ConditionState, Hosts, Inflight, InflightFilter, Ports, Running, Token,
};
use doorward_model::{Target, UnixMillis};
use doorward_proxy::House;
use doorward_proxy::inflight::{Facts, Slot};
use doorward_proxy::serve::OpenConnections;
use prometheus_client::encoding::text::encode;

use super::{WireError, Wired, reload};
use crate::config::read_token;

/// How long a revocation waits for the last goodbye before it answers.
const AFTERMATH_MAX: Duration = Duration::from_millis(1000);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Listens and serves, on the house runtime.
pub(super) async fn start(wired: &Arc<Wired>, open: OpenConnections) -> Result<(), WireError> {
    let address = wired.config.operator.address;
    let listener = listen(address).map_err(|cause| WireError::System {
        what: format!("the operator API cannot listen on {address}"),
        cause,
    })?;
    let router = doorward_console::router(ports(wired, open));
    // It ends with the process and not before: a drain needs health, metrics and the kill switch.
    tokio::spawn(doorward_console::serve(listener, router, std::future::pending()));
    Ok(())
}

/// Two processes share the address while one takes over from the other.
fn listen(address: SocketAddr) -> std::io::Result<tokio::net::TcpListener> {
    let socket =
        if address.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(128)
}

fn ports(wired: &Arc<Wired>, open: OpenConnections) -> Ports {
    let house = &wired.house;
    let (for_token, for_metrics) = (Arc::clone(wired), Arc::clone(wired));
    let (for_reload, for_inflight, for_aftermath) = (Arc::clone(house), Arc::clone(house), Arc::clone(house));
    let (for_conditions, for_jwks) = (Arc::clone(house), Arc::clone(house));
    let open_too = open.clone();
    let started_at =
        UnixMillis((house.clock)().0 - i64::try_from(wired.running.elapsed().as_millis()).unwrap_or(0));
    Ports {
        about: About {
            node: wired.config.gateway.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at,
            issuers: house.verifier.issuer_ids().map(ToString::to_string).collect(),
        },
        clock: Arc::clone(&house.clock),
        hosts: Hosts::new(wired.config.operator.address, wired.config.operator.hosts.clone()),
        token: Arc::new(move || {
            let file = for_token.config.operator.token_file.as_deref()?;
            read_token(file).ok().and_then(|token| Token::new(token.expose()))
        }),
        revocations: house.revocations.as_ref().clone(),
        audit: house.audit.as_ref().clone(),
        policies: Arc::clone(&house.policies),
        reload: Arc::new(move |actor| {
            let house = Arc::clone(&for_reload);
            Box::pin(async move {
                let task = tokio::task::spawn_blocking(move || reload::policies(&house, actor));
                // A load that panicked changed nothing.
                task.await.unwrap_or(doorward_policy::Outcome::Unchanged)
            })
        }),
        inflight: Arc::new(move |filter| running(&for_inflight, filter)),
        aftermath: Arc::new(move |target| {
            let house = Arc::clone(&for_aftermath);
            Box::pin(async move { aftermath(&house, &target).await })
        }),
        conditions: Arc::new(move || conditions(&for_conditions, &open_too)),
        metrics: Arc::new(move || metrics(&for_metrics, &open)),
        jwks: Arc::new(move || for_jwks.signer.jwks().to_owned()),
    }
}

fn metrics(wired: &Wired, open: &OpenConnections) -> String {
    wired.numbers.look(&wired.house, open);
    let mut text = String::new();
    let registry = wired.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Err(e) = encode(&mut text, &registry) {
        tracing::error!(error = %e, "the metrics cannot be written");
    }
    text
}

fn running(house: &House, filter: &InflightFilter) -> Inflight {
    let wanted = |facts: &Facts| {
        let user = filter.user.as_ref().is_none_or(|u| facts.principal.answerable().contains(&u));
        user && filter.app.as_ref().is_none_or(|a| facts.route.app() == a)
    };
    let slots = house.inflight.list(usize::MAX, wanted);
    let show = |slot: &Arc<Slot>| {
        let facts = slot.facts()?;
        Some(Running {
            user: facts.principal.id().cloned(),
            route: facts.route.clone(),
            protocol: slot.protocol(),
            started_at: slot.started_at(),
            client: facts.client,
            path: facts.path.clone(),
            request_id: Arc::clone(&facts.request_id),
        })
    };
    Inflight { total: slots.len(), exchanges: slots.iter().take(filter.limit).filter_map(show).collect() }
}

async fn aftermath(house: &House, target: &Target) -> Aftermath {
    let _ = tokio::time::timeout(AFTERMATH_MAX, async {
        while house.inflight.outcome(target).remaining > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
    let outcome = house.inflight.outcome(target);
    let over = outcome.remaining == 0;
    Aftermath {
        remaining: u64::try_from(outcome.remaining).unwrap_or(u64::MAX),
        ended_at: over.then(|| (house.clock)()),
        took_micros: over
            .then(|| u64::try_from(outcome.slowest.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)),
    }
}

fn conditions(house: &House, open: &OpenConnections) -> Vec<Condition> {
    let now = (house.clock)();
    let mut all = vec![if open.is_accepting() {
        Condition {
            name: "listeners",
            state: ConditionState::Holds,
            detail: "every address is listened on".to_owned(),
        }
    } else {
        Condition {
            name: "listeners",
            state: ConditionState::Missing,
            detail: "the gateway is starting".to_owned(),
        }
    }];
    for keys in house.verifier.key_status(now) {
        let state = match (keys.keys, keys.stale) {
            (0, _) => ConditionState::Missing,
            (_, true) => ConditionState::Degraded,
            (_, false) => ConditionState::Holds,
        };
        all.push(Condition {
            name: "issuer_keys",
            state,
            detail: format!("{}: {} keys", keys.issuer, keys.keys),
        });
    }
    for file in house.places.status(now) {
        let state = if file.stale || file.refused.is_some() {
            ConditionState::Degraded
        } else {
            ConditionState::Holds
        };
        let name = file.path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let days = file.age.as_secs() / 86_400;
        all.push(Condition { name: "geoip", state, detail: format!("{name}: {days} days old") });
    }
    all
}
