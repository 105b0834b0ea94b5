//! A store in a folder of its own, and a clock that the test turns.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use doorward_model::time::{Clock, Clocks};
use doorward_model::{
    AppId, AuthSession, DeviceId, EntryKind, IssuerId, KeyPath, Presented, SessionId, Target, TokenId,
    UnixMillis, UserId,
};
use doorward_state::{Action, Change, RevocationConfig, RevocationSection, Revocations};

/// The tolerated skew in all tests.
pub(crate) const SKEW: Duration = Duration::from_millis(2000);
/// Where the clock begins: 2026-11-21T12:00:00.400Z.
pub(crate) const NOON: i64 = 1_795_262_400_400;

pub(crate) struct Fixture {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) wall: Arc<AtomicI64>,
    pub(crate) section: RevocationSection,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, wall: Arc::new(AtomicI64::new(NOON)), section: RevocationSection::default() }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("revocations.sqlite3")
    }

    pub(crate) fn config(&self, node: &str) -> RevocationConfig {
        config(&self.section, self.dir.path(), node)
    }

    pub(crate) fn clock(&self) -> Clock {
        let wall = Arc::clone(&self.wall);
        Arc::new(move || UnixMillis(wall.load(Ordering::SeqCst)))
    }

    pub(crate) fn clocks(&self) -> Clocks {
        clocks(self.clock())
    }

    pub(crate) fn set(&self, millis: i64) {
        self.wall.store(millis, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> i64 {
        self.wall.load(Ordering::SeqCst)
    }

    pub(crate) fn open(&self) -> Revocations {
        Revocations::open(&self.config("gw-1"), self.clocks()).unwrap().0
    }
}

pub(crate) fn config(section: &RevocationSection, dir: &Path, node: &str) -> RevocationConfig {
    let mut complaints = Vec::new();
    section.check(&KeyPath::top(), dir, dir, node, &mut complaints).expect("a valid section")
}

/// This time of day, and time that passes as it does.
pub(crate) fn clocks(wall: Clock) -> Clocks {
    #[expect(clippy::disallowed_methods, reason = "a test owns a clock")]
    let began = std::time::Instant::now();
    Clocks { wall, uptime: Arc::new(move || began.elapsed()) }
}

/// What TLS is made with; the gateway's binary does the same.
pub(crate) fn install_crypto() {
    // Another test may have done it.
    let _there = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// A runtime for one test.
pub(crate) fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

/// Waits until `condition` holds, at most a minute.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..6000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain until {what}");
}

/// Lets other threads do what they are about to do. In small steps: a pause of the whole machine is one of them.
async fn a_moment() {
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until `unsaved` changes wait for the disk, and the writer has taken what it can into its hands.
pub(crate) async fn waiting(revocations: &Revocations, unsaved: usize) {
    until("it waits for the disk", || revocations.health().unsaved >= unsaved).await;
    a_moment().await;
}

pub(crate) fn user(name: &str) -> UserId {
    format!("corp:{name}").parse().unwrap()
}

pub(crate) fn target(kind: EntryKind, id: &str) -> Target {
    Target::parse(kind, id).unwrap()
}

pub(crate) fn alice() -> Target {
    Target::User(user("alice"))
}

pub(crate) fn change(target: &Target, action: Action) -> Change {
    Change {
        target: target.clone(),
        action,
        cause: "left the company".to_owned(),
        actor: "operator".to_owned(),
        request_id: "r-1".to_owned(),
    }
}

/// What a request of `name` presents whose token says `iat_seconds`.
pub(crate) fn presented(name: &str, iat_seconds: i64) -> Presented {
    let issuer = IssuerId::new("corp").unwrap();
    Presented {
        users: vec![user(name)],
        owner: None,
        session: AuthSession {
            session: Some(SessionId::new(issuer.clone(), &format!("s-{name}")).unwrap()),
            token: Some(TokenId::new(issuer.clone(), &format!("t-{name}")).unwrap()),
            issuer,
            issued_at: UnixMillis::from_seconds(iat_seconds),
            expires_at: UnixMillis(i64::MAX),
        },
        device: Some(DeviceId::new("laptop-7").unwrap()),
        named: None,
        app: AppId::new("payroll").unwrap(),
    }
}

/// The `iat` of a token that is made at `millis` by an issuer whose clock is off by `skew_millis`.
pub(crate) fn iat(millis: i64, skew_millis: i64) -> i64 {
    (millis + skew_millis).div_euclid(1000)
}
