//! What a fleet promises, with real Redis servers.

mod acl;
mod arranged;
mod basics;
mod closing;
mod damage;
mod grants;
mod herd;
mod lineage;
mod records;

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use doorward_model::{EntryKind, Target};
use doorward_servers::{Redis, Setup};
use doorward_state::{
    Action, FleetHealth, NodeReport, Position, Receipt, RedisSection, RevocationConfig, RevocationSection,
    Revocations, Seq, StateError, Store,
};

use crate::contract::store::row;
use crate::fixture::{Fixture, SKEW, change, config, presented, target, until};

/// A server for all tests that leave it as it is.
pub(crate) fn shared_redis() -> &'static Redis {
    static REDIS: OnceLock<Redis> = OnceLock::new();
    REDIS.get_or_init(|| Redis::start(&Setup::default()))
}

/// A name that no other test of this process has.
pub(crate) fn namespace() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("ns{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn section(addresses: &[SocketAddr], namespace: &str) -> RedisSection {
    RedisSection {
        addresses: Some(addresses.iter().map(ToString::to_string).collect()),
        tls: Some(false),
        namespace: Some(namespace.to_owned()),
        ..RedisSection::default()
    }
}

/// Several nodes on one Redis: one with the directory in a file, and others that follow.
pub(crate) struct House {
    pub(crate) fixture: Fixture,
    pub(crate) redis: RedisSection,
}

impl House {
    pub(crate) fn new(redis: RedisSection) -> Self {
        Self { fixture: Fixture::new(), redis }
    }

    pub(crate) fn shared() -> Self {
        Self::new(section(&[shared_redis().address()], &namespace()))
    }

    pub(crate) fn config(&self, node: &str, directory: &str) -> RevocationConfig {
        let section = RevocationSection {
            directory: Some(directory.to_owned()),
            redis: Some(self.redis.clone()),
            ..self.fixture.section.clone()
        };
        config(&section, self.fixture.dir.path(), node)
    }

    /// A key of the namespace, and any words before it.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.redis.namespace.as_deref().unwrap())
    }

    /// Writes rows into the directory, one for each of so many users, before a node opens it.
    pub(crate) fn seed(&self, users: usize) {
        let (mut store, _lock) = Store::open(self.config("control", "sqlite").store()).unwrap();
        let rows: Vec<_> = (0..users).map(|i| row(nth(i), i64::try_from(i).unwrap())).collect();
        store.append(Seq::START, &mut |_| rows.clone()).unwrap();
    }

    /// The node with the directory.
    pub(crate) fn control(&self) -> Revocations {
        Revocations::open(&self.config("control", "sqlite"), self.fixture.clocks()).unwrap().0
    }

    /// A node that learns from Redis.
    pub(crate) fn gateway(&self, node: &str) -> Revocations {
        Revocations::open(&self.config(node, "none"), self.fixture.clocks()).unwrap().0
    }
}

pub(crate) fn nth(i: usize) -> Target {
    target(EntryKind::User, &format!("corp:user-{i:06}"))
}

pub(crate) fn health(node: &Revocations) -> FleetHealth {
    node.fleet_health().unwrap()
}

/// Whether it lets in somebody whom nobody cut off.
pub(crate) fn lets_in(node: &Revocations) -> bool {
    node.check(&presented("nobody", 0), SKEW).is_ok()
}

/// Waits until it lets people in.
pub(crate) async fn leased(node: &Revocations) {
    for _ in 0..6000 {
        if lets_in(node) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("there is no lease: {:?}", health(node));
}

/// It knows everything that so many users need.
pub(crate) async fn knows(node: &Revocations, users: usize) {
    until(&format!("{users} are known"), || node.health().entries >= users).await;
    assert!((0..users).step_by(users / 1000 + 1).all(|i| node.lookup(&nth(i)).is_some()));
}

/// Revokes these users, many at a time, but not more than are answered in time on a busy machine. All of
/// it goes out.
pub(crate) async fn revoke(control: &Revocations, users: std::ops::Range<usize>) {
    const AT_ONCE: usize = 1000;
    let (mut tasks, mut users) = (tokio::task::JoinSet::new(), users);
    loop {
        for i in users.by_ref().take(AT_ONCE - tasks.len()) {
            let control = control.clone();
            tasks.spawn(async move { published(&control, &nth(i), Action::Revoke).await });
        }
        let Some(receipt) = tasks.join_next().await else { return };
        assert!(receipt.unwrap().published.is_some());
    }
}

/// Makes a change, and again until it is out: whoever has waited for some seconds is told that it goes out
/// later, and a machine that stands still lets seconds pass at any moment.
pub(crate) async fn published(control: &Revocations, target: &Target, action: Action) -> Receipt {
    for _ in 0..20 {
        match control.apply(change(target, action)).await {
            Err(StateError::NotPublished { .. } | StateError::Unanswered { .. }) => {}
            told => return told.unwrap(),
        }
    }
    panic!("{target} does not go out: {:?}", health(control));
}

/// What every node says of a position. Where Redis takes long for an answer that is unknown: then it is asked
/// again.
pub(crate) async fn fleet_says(control: &Revocations, position: Position) -> Vec<NodeReport> {
    for _ in 0..600 {
        match control.fleet(position, LONG).await {
            Err(StateError::FleetUnknown { .. }) => tokio::time::sleep(Duration::from_millis(100)).await,
            told => return told.unwrap(),
        }
    }
    panic!("it is not known how far the fleet has come: {:?}", health(control));
}

pub(crate) const LONG: Duration = Duration::from_secs(10);
