//! The operator's listener, and what it may see of the rest.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use doorward_console::{
    About, Aftermath, Condition, ConditionState, Hosts, Inflight, InflightFilter, Ports, ReloadPanicked,
    Running,
};
use doorward_geoip::FileStatus;
use doorward_identity::KeyStatus;
use doorward_identity::oidc::ProviderStatus;
use doorward_model::{Target, UnixMillis};
use doorward_proxy::House;
use doorward_proxy::inflight::{Facts, Slot};
use doorward_proxy::serve::OpenConnections;
use prometheus_client::encoding::text::encode;
use tokio::net::TcpSocket;

use super::access::Access;
use super::{WireError, Wired, people, releases, reload, sessions, sign_in, streams};
use crate::command::printable;

/// Who listens, for errors.
const WHAT: &str = "the operator API";
/// How long a revocation waits for the last goodbye before it answers.
const AFTERMATH_MAX: Duration = Duration::from_millis(1000);
/// How much of an error one detail of a condition repeats.
const DETAIL_CHARS_MAX: usize = 400;
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Takes the address; nobody can connect yet.
pub(super) fn bind(wired: &Wired, take_over: bool) -> Result<TcpSocket, WireError> {
    bind_address(WHAT, wired.config.operator.address, take_over)
}

/// Takes an address for `what`. Two processes share it while one takes over from the other, and only
/// then.
pub(super) fn bind_address(
    what: &'static str,
    address: SocketAddr,
    take_over: bool,
) -> Result<TcpSocket, WireError> {
    let bound = || {
        if !take_over {
            // Found out without sharing: with it the system would say yes to any of this user.
            socket(address)?.bind(address)?;
        }
        let socket = socket(address)?;
        socket.set_reuseport(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    bound().map_err(|cause| cannot_listen(what, address, cause))
}

fn socket(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    Ok(socket)
}

pub(super) fn cannot_listen(what: &'static str, address: SocketAddr, cause: std::io::Error) -> WireError {
    WireError::System { what: format!("{what} cannot listen on {address}"), cause }
}

/// Listens and serves, on the house runtime.
pub(super) async fn start(
    wired: &Arc<Wired>,
    open: OpenConnections,
    socket: TcpSocket,
) -> Result<(), WireError> {
    let listener =
        socket.listen(128).map_err(|cause| cannot_listen(WHAT, wired.config.operator.address, cause))?;
    let router = doorward_console::router(ports(wired, open));
    tokio::spawn(Arc::clone(&wired.token).keep_looking());
    // It ends with the process and not before: a drain needs health, metrics and the kill switch.
    let service = doorward_console::Service::OPERATORS;
    tokio::spawn(doorward_console::serve(service, listener, router, std::future::pending()));
    Ok(())
}

fn ports(wired: &Arc<Wired>, open: OpenConnections) -> Ports {
    let house = &wired.house;
    let (for_reload, for_conditions, for_metrics) = (Arc::clone(wired), Arc::clone(wired), Arc::clone(wired));
    let (for_inflight, for_aftermath, for_jwks) = (Arc::clone(house), Arc::clone(house), Arc::clone(house));
    let token = Arc::clone(&wired.token);
    let access = Access::new(Arc::clone(wired));
    let (open_too, for_releases) = (open.clone(), Arc::clone(wired));
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
        token: Arc::new(move |()| Box::pin(Arc::clone(&token).token())),
        revocations: house.revocations.as_ref().clone(),
        debts: wired.config.revocation.debt().clone(),
        lifecycle: wired.lives.get().cloned(),
        streams: wired.streams.get().cloned(),
        ids: Arc::new(uuid::Uuid::now_v7),
        random: Arc::new(super::sign_in::random),
        audit: house.audit.as_ref().clone(),
        policies: Arc::clone(&house.policies),
        reload: Arc::new(move |actor| {
            let wired = Arc::clone(&for_reload);
            Box::pin(async move {
                let task = tokio::task::spawn_blocking(move || reload::policies(&wired, actor));
                task.await.map_err(|error| {
                    tracing::error!(%error, "loading the policies panicked; the old ones stay");
                    ReloadPanicked
                })
            })
        }),
        access: Arc::new(move |ask| Box::pin(Arc::clone(&access).answer(ask))),
        releases: Arc::new(move |(call, actor)| releases::answer(&for_releases, call, actor)),
        inflight: Arc::new(move |filter| running(&for_inflight, filter)),
        sessions: sessions::for_operators(house, &wired.left),
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
    wired.numbers.look(wired, open);
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
            session: facts.presented.as_ref().and_then(|presented| presented.session.session.clone()),
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

fn conditions(wired: &Wired, open: &OpenConnections) -> Vec<Condition> {
    let house = &wired.house;
    let now = (house.clock)();
    let listeners = match open.is_accepting() {
        true => (ConditionState::Holds, "every address is listened on"),
        false => (ConditionState::Missing, "the gateway is starting"),
    };
    let mut all = vec![Condition { name: "listeners", state: listeners.0, detail: listeners.1.to_owned() }];
    if open.is_draining() {
        all.push(Condition {
            name: "draining",
            state: ConditionState::Missing,
            detail: "the gateway is going away and takes no new connections".to_owned(),
        });
    }
    if !house.revocations.health().alive {
        all.push(Condition {
            name: "revocation_writer",
            state: ConditionState::Missing,
            detail: "the thread that saves revocations died: restart the gateway".to_owned(),
        });
    }
    all.extend(people::condition(&house.people));
    all.extend(issuer_keys(&house.verifier.key_status(now)));
    all.extend(house.places.status(now).iter().map(geoip));
    all.push(files("policy_files", "the files hold the policies in force", wired.refused.policies()));
    all.extend(wired.releases.fallen(&house.policies).map(|fallen| policy_in_force(&fallen)));
    if wired.config.policy.source.is_some() {
        all.push(policy_source(wired.releases.pull_trouble()));
    }
    if !wired.certificates.is_empty() {
        all.push(files("certificates", "the files can be served", wired.refused.certificates()));
    }
    all.extend(streams::conditions(wired, now));
    all.extend(sign_in::condition(house));
    let providers = house.sign_in.iter().flat_map(|sign_in| sign_in.providers.status());
    all.extend(providers.map(|provider| sign_in_provider(&provider)));
    all.push(wired.token.condition());
    all
}

/// One condition for each issuer. While one of them has keys its people can be let in, so an
/// issuer without any is something to look at; only when none has keys nobody can sign in.
fn issuer_keys(issuers: &[KeyStatus]) -> Vec<Condition> {
    let nobody = issuers.iter().all(|keys| keys.keys == 0);
    let told = |keys: &KeyStatus| {
        let state = match (keys.keys, keys.stale) {
            (0, _) if nobody => ConditionState::Missing,
            (0, _) | (_, true) => ConditionState::Degraded,
            (_, false) => ConditionState::Holds,
        };
        let mut detail = format!("{}: {} keys", keys.issuer, keys.keys);
        if let Some(error) = &keys.last_error {
            detail.push_str(&format!("; the last try failed: {}", short(error)));
        }
        Condition { name: "issuer_keys", state, detail }
    };
    issuers.iter().map(told).collect()
}

/// Who is signed in goes on without the provider, so it is never missing.
fn sign_in_provider(provider: &ProviderStatus) -> Condition {
    let issuer = &provider.issuer;
    let (state, detail) = match (&provider.last_error, provider.endpoints_known) {
        (None, true) => (ConditionState::Holds, format!("{issuer}: it is known where people sign in")),
        (None, false) => {
            (ConditionState::Degraded, format!("{issuer}: it is being learned where people sign in"))
        }
        (Some(error), true) => {
            let error = short(error);
            (
                ConditionState::Degraded,
                format!("{issuer}: what was known is in use; the last try failed: {error}"),
            )
        }
        (Some(error), false) => {
            (ConditionState::Degraded, format!("{issuer}: nobody can sign in there: {}", short(error)))
        }
    };
    Condition { name: "sign_in_providers", state, detail }
}

fn geoip(file: &FileStatus) -> Condition {
    let name = file.path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let mut detail = format!("{name}: {} days old", file.age.as_secs() / 86_400);
    if let Some(refused) = &file.refused {
        detail.push_str(&format!("; the file as it is now was refused: {}", short(refused)));
    }
    let good = !file.stale && file.refused.is_none();
    let state = if good { ConditionState::Holds } else { ConditionState::Degraded };
    Condition { name: "geoip", state, detail }
}

/// A source of policies that is away, or gives what is refused, changes nothing here: somebody is to look at it.
fn policy_source(trouble: Option<String>) -> Condition {
    let (state, detail) = match trouble {
        None => (ConditionState::Holds, "what was pulled last is the latest that there is".to_owned()),
        Some(why) => (ConditionState::Degraded, short(&why)),
    };
    Condition { name: "policy_source", state, detail }
}

/// Policies that could not be had at the start are missing to nobody who asks; somebody is to look at it.
fn policy_in_force(fallen: &releases::Fallen) -> Condition {
    let missed = fallen.missed.as_deref().map_or_else(|| "what was in force".to_owned(), releases::short);
    let (taken, why) = (releases::short(&fallen.taken), short(&fallen.why));
    let detail = format!("{missed} cannot be had, {taken} is in force in its place: {why}");
    Condition { name: "policy_in_force", state: ConditionState::Degraded, detail }
}

/// Files that were refused stay so until they are mended; what was read before is in use.
fn files(name: &'static str, good: &str, refused: Option<String>) -> Condition {
    match refused {
        None => Condition { name, state: ConditionState::Holds, detail: good.to_owned() },
        Some(why) => {
            let detail = format!("the files were refused, those before are in use: {}", short(&why));
            Condition { name, state: ConditionState::Degraded, detail }
        }
    }
}

/// An error of elsewhere, as much of it as fits into a detail.
pub(super) fn short(error: &str) -> String {
    printable(&error.chars().take(DETAIL_CHARS_MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use doorward_model::IssuerId;

    use super::*;

    fn issuer(id: &str, keys: usize, stale: bool, last_error: Option<&str>) -> KeyStatus {
        KeyStatus {
            issuer: IssuerId::new(id).unwrap(),
            keys,
            fetched_at: None,
            stale,
            last_error: last_error.map(str::to_owned),
        }
    }

    #[test]
    fn one_issuer_without_keys_is_no_cause_to_send_everybody_elsewhere() {
        use ConditionState::{Degraded, Holds, Missing};
        let good = || issuer("corp", 2, false, None);
        let without = || issuer("partners", 0, true, Some("connection refused"));
        for (issuers, want) in [
            (vec![good()], vec![Holds]),
            (vec![issuer("corp", 2, true, None)], vec![Degraded]),
            (vec![without()], vec![Missing]),
            (vec![good(), without()], vec![Holds, Degraded]),
            (vec![without(), without()], vec![Missing, Missing]),
            (vec![], vec![]),
        ] {
            let all = issuer_keys(&issuers);
            assert_eq!(all.iter().map(|c| c.state).collect::<Vec<_>>(), want, "{all:?}");
        }
        let told = issuer_keys(&[good(), without()]).remove(1).detail;
        assert_eq!(told, "partners: 0 keys; the last try failed: connection refused");
    }

    #[test]
    fn a_provider_that_fails_is_told_and_is_no_cause_to_send_anybody_elsewhere() {
        use ConditionState::{Degraded, Holds};
        for (endpoints_known, error, state, said) in [
            (true, None, Holds, "it is known where people sign in"),
            (false, None, Degraded, "it is being learned"),
            (true, Some("connection refused"), Degraded, "the last try failed: connection refused"),
            (false, Some("connection refused"), Degraded, "nobody can sign in there: connection refused"),
        ] {
            let (issuer, last_error) = (IssuerId::new("corp").unwrap(), error.map(str::to_owned));
            let told = sign_in_provider(&ProviderStatus { issuer, endpoints_known, last_error });
            assert_eq!(told.state, state);
            assert!(told.detail.starts_with("corp: ") && told.detail.contains(said), "{}", told.detail);
        }
    }

    #[test]
    fn a_detail_is_short_and_harmless() {
        let condition = files("policy_files", "", Some(format!("\u{1b}[2J{}", "x".repeat(9000))));
        assert_eq!(condition.state, ConditionState::Degraded);
        assert!(condition.detail.len() < 600 && !condition.detail.contains('\u{1b}'), "{}", condition.detail);
    }
}
