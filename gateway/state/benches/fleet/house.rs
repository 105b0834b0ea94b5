//! A directory, a Redis, and the nodes around them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use doorward_model::time::Clocks;
use doorward_model::{
    AppId, AuthSession, DeviceId, Entry, EntryKind, IssuerId, KeyPath, Presented, SessionId, Target, TokenId,
    UnixMillis, UserId,
};
use doorward_servers::{Redis, Setup};
use doorward_state::{
    Action, Change, NewRow, Reach, RedisSection, RevocationConfig, RevocationSection, Revocations, Seq, Store,
};
use uuid::Uuid;

/// How many rows are written in one step.
const BATCH: u64 = 100_000;
/// Beyond so many, receipts are in order: a gateway draws them at random, but then a file of this
/// size takes too long to fill.
const RANDOM_MAX: u64 = 1_000_000;
const BYTES_MAX: u64 = 1 << 36;

/// A directory in a file, with a Redis of its own.
pub(crate) struct House {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) redis: Redis,
    pub(crate) entries: u64,
    /// How long it took to fill.
    pub(crate) filled_in: Duration,
    /// What Redis occupied before anybody used it.
    pub(crate) redis_empty: u64,
}

impl House {
    /// With so many entries: half of them users, half of them sessions.
    pub(crate) fn filled(entries: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let redis = Redis::start(&Setup::default());
        let redis_empty = memory(&redis);
        let begin = Instant::now();
        let house = Self { dir, redis, entries, filled_in: Duration::ZERO, redis_empty };
        if entries > 0 {
            house.fill(entries);
        }
        Self { filled_in: begin.elapsed(), ..house }
    }

    fn fill(&self, entries: u64) {
        let (mut store, _handle) = Store::open(self.config("control", "sqlite").store()).unwrap();
        let (mut seen, at) = (Seq::START, now());
        for first in (0..entries).step_by(usize::try_from(BATCH).unwrap()) {
            let rows: Vec<NewRow> =
                (first..entries.min(first + BATCH)).map(|i| row(i, at, entries <= RANDOM_MAX)).collect();
            seen = store.append(seen, &mut |_| rows.clone()).unwrap().last;
        }
        // As if a fleet had been there all the time.
        let generation = store.generation().unwrap();
        let all = Reach { row: seen, ..Reach::default() };
        assert!(store.published(all, generation).unwrap());
        store.settle().unwrap();
    }

    pub(crate) fn config(&self, node: &str, directory: &str) -> RevocationConfig {
        config(&section(directory, Some(redis(&self.redis.address().to_string()))), self.dir.path(), node)
    }

    pub(crate) fn control(&self) -> Revocations {
        Revocations::open(&self.config("control", "sqlite"), clocks()).unwrap().0
    }

    pub(crate) fn gateway(&self, node: &str) -> Revocations {
        Revocations::open(&self.config(node, "none"), clocks()).unwrap().0
    }
}

/// What a Redis occupies, in bytes.
pub(crate) fn memory(redis: &Redis) -> u64 {
    redis.info("used_memory").parse().unwrap()
}

pub(crate) fn section(directory: &str, redis: Option<RedisSection>) -> RevocationSection {
    let store_bytes_max = (directory == "sqlite").then_some(BYTES_MAX);
    RevocationSection {
        directory: Some(directory.to_owned()),
        store_bytes_max,
        redis,
        ..RevocationSection::default()
    }
}

/// A server on this machine, and everything else as it is by default.
pub(crate) fn redis(address: &str) -> RedisSection {
    RedisSection { addresses: Some(vec![address.to_owned()]), tls: Some(false), ..RedisSection::default() }
}

pub(crate) fn config(section: &RevocationSection, dir: &Path, node: &str) -> RevocationConfig {
    let mut complaints = Vec::new();
    let checked = section.check(&KeyPath::top(), dir, dir, node, &mut complaints);
    checked.unwrap_or_else(|| panic!("{complaints:?}"))
}

pub(crate) fn clocks() -> Clocks {
    let began = Instant::now();
    Clocks { wall: Arc::new(now), uptime: Arc::new(move || began.elapsed()) }
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixMillis(i64::try_from(since.as_millis()).unwrap())
}

/// Waits for something that the threads of a node do; says how long that took.
pub(crate) async fn until(what: &str, patience: Duration, condition: impl Fn() -> bool) -> Duration {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < patience, "waited {patience:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    begin.elapsed()
}

pub(crate) fn user(name: &str) -> UserId {
    format!("corp:{name}").parse().unwrap()
}

/// The target of an entry: the next user, or the next session.
pub(crate) fn target(i: u64) -> Target {
    let (kind, id) = match i % 2 {
        0 => (EntryKind::User, format!("corp:alice-{:07}", i / 2)),
        _ => (EntryKind::Session, format!("corp:{i:032x}")),
    };
    Target::parse(kind, &id).unwrap()
}

fn row(i: u64, at: UnixMillis, random: bool) -> NewRow {
    let id = if random { Uuid::new_v4() } else { Uuid::from_u128(u128::from(i)) };
    NewRow {
        id,
        target: target(i),
        action: Action::Revoke,
        entry: Entry { not_before: at, ..Entry::default() },
        recorded_at: at,
        cause: "left the company".to_owned(),
        actor: "operator".to_owned(),
        request_id: format!("{i:032x}"),
    }
}

/// A user is revoked.
pub(crate) fn revoke(name: &str) -> Change {
    Change {
        target: Target::User(user(name)),
        action: Action::Revoke,
        cause: "left the company".to_owned(),
        actor: "operator".to_owned(),
        request_id: "00000000000000000000000000000000".to_owned(),
    }
}

/// What a request of somebody presents who signed in an hour ago: five targets.
pub(crate) fn presented(name: &str) -> Presented {
    let issuer = IssuerId::new("corp").unwrap();
    let at = now();
    Presented {
        users: vec![user(name)],
        owner: None,
        session: AuthSession {
            session: Some(SessionId::new(issuer.clone(), &format!("session-of-{name}")).unwrap()),
            token: Some(TokenId::new(issuer.clone(), &format!("token-of-{name}")).unwrap()),
            issuer,
            issued_at: UnixMillis::from_seconds(at.seconds() - 3600),
            expires_at: UnixMillis(i64::MAX),
        },
        device: Some(DeviceId::new(&format!("laptop-of-{name}")).unwrap()),
        named: None,
        app: AppId::new("payroll").unwrap(),
    }
}
