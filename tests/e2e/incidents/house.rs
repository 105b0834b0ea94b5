//! A company with a gateway: an issuer, a wiki, payroll and a build server, as in the demo.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use doorward_tests::gateway::{Config, Gateway, NotStarted};
use doorward_tests::h2_upstream::{self, H2Upstream};
use doorward_tests::issuer::Issuer;
use doorward_tests::raw::RawUpstream;
use serde_json::{Value, json};

use super::talk::{Ask, Http, Said, Talk};

pub(super) const WIKI: &str = "wiki.test";
pub(super) const PAYROLL: &str = "payroll.test";
pub(super) const BUILD: &str = "build.test";
/// The same engineers' things over HTTP/2 to the app.
pub(super) const GRPC: &str = "grpc.test";

/// How long the audit log may take to show something.
const LOG_SECONDS_MAX: u64 = 60;

pub(super) struct House {
    pub(super) gateway: Gateway,
    pub(super) issuer: Issuer,
    pub(super) wiki: RawUpstream,
    pub(super) payroll: RawUpstream,
    pub(super) build: RawUpstream,
    pub(super) grpc: H2Upstream,
}

impl House {
    /// The default configuration with four apps.
    pub(super) async fn open() -> Self {
        Self::with(|_| {}).await
    }

    /// The default configuration with four apps and a change.
    pub(super) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::before(RawUpstream::ok().await, change).await
    }

    /// The same, where it may not start.
    pub(super) async fn try_with(change: impl FnOnce(&mut Config)) -> Result<Self, NotStarted> {
        Self::try_of(Issuer::start().await, RawUpstream::ok().await, change).await
    }

    /// In front of a wiki of the test's.
    pub(super) async fn before(wiki: RawUpstream, change: impl FnOnce(&mut Config)) -> Self {
        Self::of(Issuer::start().await, wiki, change).await
    }

    /// With an issuer and a wiki of the test's.
    pub(super) async fn of(issuer: Issuer, wiki: RawUpstream, change: impl FnOnce(&mut Config)) -> Self {
        Self::try_of(issuer, wiki, change).await.unwrap_or_else(|e| panic!("{e}"))
    }

    async fn try_of(
        issuer: Issuer,
        mut wiki: RawUpstream,
        change: impl FnOnce(&mut Config),
    ) -> Result<Self, NotStarted> {
        let (mut payroll, mut build) = (RawUpstream::ok().await, RawUpstream::ok().await);
        // No test of an incident may leave anything at an app but whole requests.
        for app in [&mut wiki, &mut payroll, &mut build] {
            app.requests_only();
        }
        let grpc = H2Upstream::start(|_| h2_upstream::Answer::ok("ok").await_body()).await;
        let mut config = Config::new();
        // As many threads as the machine has cores: the default. What the testbed's configuration
        // keeps from it is that an issuer's clock is taken to be right.
        config.issuer(&issuer).unset("gateway.threads");
        let welcome = json!({"id": "welcome", "path": "/welcome", "tier": "public", "public": true});
        let admin = json!({"id": "admin", "path": "/admin", "tier": "restricted", "admin_surface": true});
        config.app("wiki", WIKI, wiki.address(), json!({"route": [welcome, admin]}));
        let restricted =
            json!({"tier": "restricted", "scope": "payroll:read", "groups": ["finance"], "route": [admin]});
        config.app("payroll", PAYROLL, payroll.address(), restricted);
        config.app("build", BUILD, build.address(), json!({"groups": ["engineering"], "scope": "build:run"}));
        let h2 = json!({"groups": ["engineering"], "upstream": {"protocol": "h2"}});
        config.app("grpc", GRPC, grpc.address(), h2);
        change(&mut config);
        let gateway = Gateway::try_start(config).await?;
        Ok(Self { gateway, issuer, wiki, payroll, build, grpc })
    }

    /// A client.
    pub(super) fn talk(&self, http: Http) -> Talk {
        Talk::new(http, self.gateway.address())
    }

    /// One request on a connection of its own.
    pub(super) async fn say(&self, http: Http, ask: &Ask) -> Said {
        self.talk(http).say(ask).await
    }

    /// How many requests reached any app.
    pub(super) fn reached(&self) -> usize {
        self.wiki.requests().len()
            + self.payroll.requests().len()
            + self.build.requests().len()
            + self.grpc.requests().len()
    }

    /// Decisions by the id of their request, once all of these are in the log.
    pub(super) async fn decisions(&self, of: &[String]) -> BTreeMap<String, Value> {
        let begin = Instant::now();
        loop {
            let mut found = BTreeMap::new();
            for event in self.gateway.events() {
                let id = event["metadata"]["correlation_uid"].as_str();
                let decided = event["unmapped"]["doorward"].get("decision").is_some();
                if let (Some(id), true) = (id, decided) {
                    found.insert(id.to_owned(), event);
                }
            }
            let missing: Vec<_> = of.iter().filter(|id| !found.contains_key(*id)).collect();
            if missing.is_empty() {
                found.retain(|id, _| of.contains(id));
                return found;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(LOG_SECONDS_MAX),
                "{} of {} requests are not in the audit log: {missing:?}",
                missing.len(),
                of.len()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Every answer is a refusal with this code, and stands in the log with it.
    pub(super) async fn recorded(&self, refusals: &[(&Said, &str)]) {
        let ids: Vec<String> = refusals
            .iter()
            .map(|(said, code)| {
                assert_eq!(said.refusal(), Some(*code), "{said:?}");
                said.request_id().unwrap().to_owned()
            })
            .collect();
        let decisions = self.decisions(&ids).await;
        for (id, (_, code)) in ids.iter().zip(refusals) {
            let event = &decisions[id];
            assert_eq!(outcome(event), ("deny", *code), "{event}");
        }
    }
}

/// What an event says was decided, and why.
pub(super) fn outcome(event: &Value) -> (&str, &str) {
    let decision = &event["unmapped"]["doorward"]["decision"];
    (decision["outcome"].as_str().unwrap(), decision["reason_code"].as_str().unwrap())
}

/// The letters and digits of a name: what servers that fold names make of it.
pub(super) fn fold(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}
