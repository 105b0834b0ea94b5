//! Stores of sessions in places of their own, and a clock that the test turns.

use std::any::Any;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use doorward_model::time::Clocks;
use doorward_model::{AppId, DeviceId, KeyPath, UnixMillis, UserId};
use doorward_servers::{Redis, Setup};
use doorward_state::{RedisSection, RevocationConfig, RevocationSection, SessionRecord, Sessions};

/// Where the clock begins: 2026-11-21T12:00:00.400Z.
pub(crate) const NOON: i64 = 1_795_262_400_400;
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// A place where one store lives. Whoever opens it twice opens one store.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
    wall: Arc<AtomicI64>,
    pub(crate) redis: Option<RedisSection>,
    /// Whatever must live as long as the place: a server.
    _keep: Option<Box<dyn Any>>,
}

impl Place {
    pub(crate) fn file() -> Self {
        Self::new(None, None)
    }

    /// In Redis, in a namespace of its own.
    pub(crate) fn redis(redis: RedisSection) -> Self {
        Self::new(Some(redis), None)
    }

    pub(crate) fn shared() -> Self {
        Self::redis(section(&[shared_redis().address()]))
    }

    fn new(redis: Option<RedisSection>, keep: Option<Box<dyn Any>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, wall: Arc::new(AtomicI64::new(NOON)), redis, _keep: keep }
    }

    /// A node.
    pub(crate) fn open(&self) -> Sessions {
        let wall = Arc::clone(&self.wall);
        #[expect(clippy::disallowed_methods, reason = "a test owns a clock")]
        let began = std::time::Instant::now();
        let clocks = Clocks {
            wall: Arc::new(move || UnixMillis(wall.load(Ordering::SeqCst))),
            uptime: Arc::new(move || began.elapsed()),
        };
        Sessions::open(&config(self.redis.clone(), self.dir.path()), self.dir.path(), clocks).unwrap()
    }

    pub(crate) fn now(&self) -> UnixMillis {
        UnixMillis(self.wall.load(Ordering::SeqCst))
    }

    pub(crate) fn later(&self, by: Duration) {
        self.wall.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// A key in Redis.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.redis.as_ref().unwrap().namespace.as_deref().unwrap())
    }

    /// A session of `person` that begins now and ends in an hour.
    pub(crate) fn record(&self, person: &UserId, id: &str) -> SessionRecord {
        SessionRecord {
            id: id.into(),
            person: person.clone(),
            issuer_session: Some("corp:sid-7".parse().unwrap()),
            signed_in_at: self.now(),
            seen_at: self.now(),
            validated_at: self.now(),
            expires_at: self.now().plus(HOUR),
            client: "192.0.2.7".parse().unwrap(),
            agent: "Mozilla/5.0 (X11; Linux x86_64)".to_owned(),
            device: Some(DeviceId::new("laptop-7").unwrap()),
            apps: [app("wiki")].into(),
            refresh: Some(vec![0, 10, 32, 255]),
            version: 0,
        }
    }
}

pub(crate) fn config(redis: Option<RedisSection>, dir: &Path) -> RevocationConfig {
    let section = RevocationSection { redis, ..RevocationSection::default() };
    let mut complaints = Vec::new();
    let config = section.check(&KeyPath::top(), dir, dir, "gw-1", &mut complaints);
    config.unwrap_or_else(|| panic!("{complaints:?}"))
}

/// A server for all tests that leave it as it is.
pub(crate) fn shared_redis() -> &'static Redis {
    static REDIS: OnceLock<Redis> = OnceLock::new();
    REDIS.get_or_init(|| Redis::start(&Setup::default()))
}

/// A namespace that no other test of this process has, on these servers.
pub(crate) fn section(addresses: &[SocketAddr]) -> RedisSection {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    RedisSection {
        addresses: Some(addresses.iter().map(ToString::to_string).collect()),
        tls: Some(false),
        namespace: Some(format!("ns{}", COUNT.fetch_add(1, Ordering::Relaxed))),
        ..RedisSection::default()
    }
}

pub(crate) fn app(name: &str) -> AppId {
    AppId::new(name).unwrap()
}

pub(crate) fn user(name: &str) -> UserId {
    format!("corp:{name}").parse().unwrap()
}

/// A runtime for one test.
pub(crate) fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

/// Waits until `condition` holds, at most a minute.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    for _ in 0..6000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain until {what}");
}
