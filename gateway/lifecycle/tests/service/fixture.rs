//! A directory in a folder of its own, its audit log, and a clock that the test turns.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use doorward_audit::{Audit, AuditConfig, AuditSection, Identity};
use doorward_lifecycle::machine::{Actor, Command, IssuerRule, Rules};
use doorward_lifecycle::service::{
    Asker, CaseTerms, Done, Failed, GuardTerms, Lifecycle, Ports, Settings, Whom,
};
use doorward_model::directory::{
    ConnectionId, Email, GroupId, Person, PersonId, Profile, RoleName, StreamName,
};
use doorward_model::time::{Clock, Clocks};
use doorward_model::{IssuerId, KeyPath, Target, UnixMillis, UserId};
use doorward_state::{Action, Change, DebtTerms, RevocationSection, Revocations};
use serde_json::Value;
use uuid::Uuid;

/// Where the clock begins: 2026-11-21T12:00:00.400Z.
pub(crate) const NOON: i64 = 1_795_262_400_400;

pub(crate) struct House {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) wall: Arc<AtomicI64>,
    pub(crate) ids: Arc<AtomicU64>,
    pub(crate) guard: GuardTerms,
}

/// What runs in a house.
pub(crate) struct Running {
    pub(crate) service: Lifecycle,
    pub(crate) revocations: Revocations,
    pub(crate) audit: Audit,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    pub(crate) fn at(dir: tempfile::TempDir) -> Self {
        let (wall, ids) = (Arc::new(AtomicI64::new(NOON)), Arc::new(AtomicU64::new(1)));
        Self { dir, wall, ids, guard: GuardTerms { percent_max: 100, ..GuardTerms::default() } }
    }

    pub(crate) async fn open(&self) -> Running {
        let service = Running::open(self.dir.path(), self.clock(), self.maker(), self.guard.clone());
        service.await
    }

    pub(crate) fn clock(&self) -> Clock {
        let wall = Arc::clone(&self.wall);
        Arc::new(move || UnixMillis(wall.load(Ordering::SeqCst)))
    }

    fn maker(&self) -> Arc<dyn Fn() -> Uuid + Send + Sync> {
        let ids = Arc::clone(&self.ids);
        Arc::new(move || {
            Uuid::from_u128(
                0x0199_0000_0000_7000_8000_0000_0000_0000 + u128::from(ids.fetch_add(1, Ordering::SeqCst)),
            )
        })
    }

    pub(crate) fn now(&self) -> UnixMillis {
        UnixMillis(self.wall.load(Ordering::SeqCst))
    }

    pub(crate) fn pass(&self, millis: i64) {
        self.wall.fetch_add(millis, Ordering::SeqCst);
    }

    /// Every event of the audit log, in the order of their numbers.
    pub(crate) fn events(&self) -> Vec<Value> {
        events(self.dir.path())
    }

    /// The codes of what was told of changes since the `skip`th event, with their outcomes.
    pub(crate) fn told(&self, skip: usize) -> Vec<String> {
        let changes = self.events().into_iter().skip(skip);
        let word = |event: &Value| {
            let code = event["metadata"]["event_code"].as_str().unwrap().to_owned();
            match event["unmapped"]["doorward"]["lifecycle"]["outcome"].as_str() {
                Some("done") | None => code,
                Some(outcome) => format!("{code} ({outcome})"),
            }
        };
        changes.map(|event| word(&event)).collect()
    }
}

pub(crate) fn events(dir: &Path) -> Vec<Value> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir.join("audit")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "jsonl") {
            let text = std::fs::read_to_string(path).unwrap();
            found.extend(text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()));
        }
    }
    found.sort_by_key(|event| {
        (
            event["metadata"]["uid"].as_str().map(|uid| uid.rsplit_once('-').map(|(run, _)| run.to_owned())),
            event["metadata"]["sequence"].as_u64(),
        )
    });
    found
}

impl Running {
    pub(crate) async fn open(
        dir: &Path,
        wall: Clock,
        ids: Arc<dyn Fn() -> Uuid + Send + Sync>,
        guard: GuardTerms,
    ) -> Self {
        let mut complaints = Vec::new();
        let config = RevocationSection::default()
            .check(&KeyPath::top(), dir, dir, "gw-1", &mut complaints)
            .expect("a valid section");
        #[expect(clippy::disallowed_methods, reason = "a test owns a clock")]
        let began = std::time::Instant::now();
        let clocks = Clocks { wall: Arc::clone(&wall), uptime: Arc::new(move || began.elapsed()) };
        let revocations = Revocations::open(&config, clocks).unwrap().0;
        let section = AuditSection { dir: Some(dir.join("audit")), ..AuditSection::default() };
        let config = AuditConfig::check(&section, &KeyPath::top(), dir, dir, &mut complaints)
            .expect("a valid section");
        let identity = Identity { node: "gw-1".to_owned(), version: "0.1.0".to_owned() };
        let audit = Audit::open(config, identity, Arc::clone(&wall)).unwrap().0;
        let ports = Ports {
            revocations: revocations.clone(),
            audit: audit.clone(),
            clock: wall,
            ids,
            revision: Arc::new(|| Some("c81e728d".into())),
        };
        let settings = Settings {
            rules: rules(),
            debts: DebtTerms { owner: "security".to_owned(), due: Duration::from_hours(72) },
            guard,
            cases: CaseTerms::default(),
        };
        let service = Lifecycle::open(ports, settings).await.unwrap();
        Self { service, revocations, audit }
    }

    pub(crate) async fn close(self) {
        self.revocations.close().await;
        let audit = self.audit;
        tokio::task::spawn_blocking(move || audit.close()).await.unwrap().unwrap();
    }

    pub(crate) async fn ask(&self, whom: PersonId, command: Command, actor: &Actor) -> Result<Done, Failed> {
        self.service.ask(Whom::Person(whom), command, asker(actor)).await
    }

    /// Somebody of okta's, active, with one sign-in.
    pub(crate) async fn hire(&self, n: u128, name: &str) -> PersonId {
        let id = person(n);
        let command = Command::ScimCreate {
            id,
            profile: profile(name).into(),
            active: true,
            links: BTreeSet::from([link(name)]),
        };
        self.service.ask(Whom::New, command, asker(&okta())).await.unwrap();
        id
    }

    pub(crate) async fn known(&self, id: PersonId) -> Option<Arc<Person>> {
        self.service.person(id).await.unwrap().map(|(person, _)| person)
    }

    /// Somebody disables it with no word to the directory.
    pub(crate) async fn cut_off(&self, target: Target) {
        let change = Change {
            target,
            action: Action::Disable,
            cause: "by hand".to_owned(),
            actor: "operator".to_owned(),
            request_id: "r-2".to_owned(),
        };
        self.revocations.apply(change).await.unwrap();
    }

    pub(crate) fn disabled(&self, name: &str) -> bool {
        self.revocations.lookup(&Target::User(link(name))).is_some_and(|entry| entry.disabled)
    }
}

/// A runtime for one test.
pub(crate) fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

/// How long anything may take that happens at all, however loaded the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Comes back when it holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let all = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, all).await.is_ok(), "never: {what}");
}

/// How much later the one or the other of two begins, so that each is first now and then: whoever was later
/// begins earlier the next time, by twice as much where that did not help, and by half where it did.
#[derive(Default)]
pub(crate) struct Lead {
    micros: i64,
    step: i64,
}

impl Lead {
    const STEP_MIN: i64 = 200;
    const STEP_MAX: i64 = 100_000;

    /// How long each of the two is to wait.
    pub(crate) fn pauses(&self) -> [Duration; 2] {
        [-self.micros, self.micros].map(|lead| Duration::from_micros(u64::try_from(lead).unwrap_or(0)))
    }

    /// The first of the two was first, or the second.
    pub(crate) fn was_first(&mut self, first: bool) {
        let sign = if first { -1 } else { 1 };
        let goes_on = self.step.signum() == sign;
        let step = if goes_on { self.step.abs() * 2 } else { self.step.abs() / 2 };
        self.step = sign * step.clamp(Self::STEP_MIN, Self::STEP_MAX);
        self.micros += self.step;
    }
}

pub(crate) fn asker(actor: &Actor) -> Asker {
    Asker {
        actor: actor.clone(),
        asserted_at: None,
        cause: "because".into(),
        request_id: "r-1".into(),
        if_version: None,
    }
}

pub(crate) fn ann() -> Actor {
    Actor::Operator("ann".into())
}

pub(crate) fn okta_id() -> ConnectionId {
    ConnectionId::new("okta").unwrap()
}

pub(crate) fn okta() -> Actor {
    Actor::Source(okta_id())
}

pub(crate) fn caep() -> Actor {
    Actor::Signal(StreamName::new("caep").unwrap())
}

pub(crate) fn person(n: u128) -> PersonId {
    PersonId::from_u128(0x0199_0000_0000_7000_9000_0000_0000_0000 + n)
}

pub(crate) fn group(n: u128) -> GroupId {
    GroupId::from_u128(0x0199_0000_0000_7000_a000_0000_0000_0000 + n)
}

pub(crate) fn role(name: &str) -> RoleName {
    RoleName::new(name).unwrap()
}

pub(crate) fn link(name: &str) -> UserId {
    format!("corp:{name}").parse().unwrap()
}

pub(crate) fn profile(name: &str) -> Profile {
    let mut profile = Profile::named(format!("{name}@corp.example"));
    profile.emails = vec![Email { address: format!("{name}@corp.example"), verified: true, primary: true }];
    profile
}

pub(crate) fn rules() -> Rules {
    let domains = BTreeSet::from(["corp.example".to_owned()]);
    let corp = IssuerRule { domains: domains.clone(), first_sign_in: true };
    let lab = IssuerRule { domains: BTreeSet::from(["lab.example".to_owned()]), first_sign_in: false };
    let issuer = |name: &str| IssuerId::new(name).unwrap();
    Rules {
        sign_up_domains: domains,
        issuers: BTreeMap::from([
            (issuer("corp"), corp.clone()),
            (issuer("twin"), corp),
            (issuer("lab"), lab),
        ]),
        default_roles: BTreeSet::from([role("everybody")]),
        ..Rules::default()
    }
}
