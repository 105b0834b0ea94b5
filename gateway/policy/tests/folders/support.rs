//! A folder of policies to write into, and one question to ask.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use doorward_model::principal::User;
use doorward_model::{
    AppId, Assurance, Compliance, CountryCode, DevicePosture, Employment, IssuerId, LifecycleStage, Place,
    Presence, Principal, Risk, RouteFacts, RouteId, Tier, UnixMillis, Weekday,
};
use doorward_policy::{Action, Known, LoadFailure, Policies, PolicyBundle, Question, Verdict};

/// The names of a configuration with these routes, the issuer `corp`, and two networks.
pub(crate) fn known<'a>(routes: impl IntoIterator<Item = &'a RouteFacts>) -> Known {
    Known::new(routes, [&IssuerId::new("corp").unwrap()], ["corp", "vpn"])
}

/// The policies that come with Doorward.
pub(crate) fn shipped() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../policies")
}

/// A folder of policies with the schema that comes with Doorward.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(shipped().join("schema.cedarschema"), dir.path().join("schema.cedarschema")).unwrap();
        Self(dir)
    }

    /// With one file of policies.
    pub(crate) fn with(policies: &str) -> Self {
        Self::new().put("apps/test.cedar", policies)
    }

    pub(crate) fn put(self, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.write(path, bytes);
        self
    }

    pub(crate) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let at = self.path().join(path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, bytes).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn open(&self) -> Result<Policies, LoadFailure> {
        Policies::open(self.path(), None, UnixMillis(0))
    }

    /// Loads it and asks one question.
    pub(crate) fn decide(&self, ask: &Ask) -> Verdict {
        let policies = self.open().unwrap_or_else(|e| panic!("{}", e.plain()));
        ask.of(&policies.bundle())
    }

    /// What is wrong with it.
    pub(crate) fn wrong(&self) -> String {
        match self.open() {
            Ok(_) => panic!("this should not load"),
            Err(e) => e.plain(),
        }
    }
}

/// A question, owned: a Wednesday morning in the office, signed in with a security key.
pub(crate) struct Ask {
    pub(crate) principal: Arc<Principal>,
    pub(crate) owner_stage: LifecycleStage,
    pub(crate) granted: bool,
    pub(crate) action: Action,
    pub(crate) route: RouteFacts,
    pub(crate) session: Assurance,
    pub(crate) device: DevicePosture,
    pub(crate) place: Place,
    pub(crate) risk: Risk,
    pub(crate) now: UnixMillis,
    pub(crate) user_agent: Option<String>,
}

pub(crate) fn user() -> User {
    User {
        id: "corp:alice".parse().unwrap(),
        name: None,
        email: None,
        groups: ["staff".to_owned()].into(),
        roles: ["hr".to_owned()].into(),
        stage: LifecycleStage::Active,
        employment: Employment::Employee,
        contract_end: None,
        home_country: CountryCode::new("DE").unwrap(),
        department: None,
        tags: Default::default(),
    }
}

impl Ask {
    pub(crate) fn new() -> Self {
        let now = UnixMillis(1_772_618_400_000); // 2026-03-04T10:00:00Z
        let recently = Some(now.minus(Duration::from_secs(60)));
        Self {
            principal: Arc::new(Principal::User(user())),
            owner_stage: LifecycleStage::Unknown,
            granted: false,
            action: Action::Get,
            route: RouteFacts {
                id: RouteId::new(AppId::new("wiki").unwrap(), "all").unwrap(),
                app_groups: vec!["docs".into()],
                tier: Tier::Internal,
                scope: String::new(),
                admin_surface: false,
                public: false,
            },
            session: Assurance {
                mfa: true,
                phishing_resistant: true,
                authenticated_at: recently,
                mfa_at: recently,
            },
            device: DevicePosture { compliance: Compliance::Compliant, managed: true, ..Default::default() },
            place: Place {
                ip: [10, 1, 2, 3].into(),
                networks: ["corp".to_owned()].into(),
                country: CountryCode::new("DE").unwrap(),
                continent: Some("EU".into()),
                asn: Some(3320),
                anonymizer: Presence::No,
                location: None,
            },
            risk: Risk::scored(10),
            now,
            user_agent: None,
        }
    }

    pub(crate) fn who(principal: Principal) -> Self {
        Self { principal: Arc::new(principal), ..Self::new() }
    }

    pub(crate) fn does(action: Action) -> Self {
        Self { action, ..Self::new() }
    }

    pub(crate) fn of(&self, bundle: &PolicyBundle) -> Verdict {
        bundle.decide(&Question {
            principal: &self.principal,
            owner_stage: self.owner_stage,
            granted: self.granted,
            action: self.action,
            route: &self.route,
            session: &self.session,
            device: &self.device,
            place: &self.place,
            risk: self.risk,
            now: self.now,
            local_time: Duration::from_secs(11 * 3600),
            weekday: Weekday::Wed,
            host: "wiki.localhost",
            path: "/",
            user_agent: self.user_agent.as_deref(),
        })
    }
}

/// `code`, or `allow`.
pub(crate) fn code(verdict: &Verdict) -> &'static str {
    verdict.refusal.as_ref().map_or("allow", |r| r.code.as_str())
}
