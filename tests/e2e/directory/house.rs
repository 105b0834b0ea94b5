//! A gateway that asks its directory, an app, issuers of people and of machines, and a hand that
//! writes records into the store beside it, as a second process of the same node may.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use doorward_model::directory::{
    Given, Grants, Group, GroupId, Machine, MachineId, MachineKind, MachineState, Origin, Person, PersonId,
    PersonState, Profile, RoleName, Source,
};
use doorward_model::time::Clocks;
use doorward_model::{AppId, KeyPath, Target, UnixMillis};
use doorward_state::directory::form::{self, Member};
use doorward_state::{
    Action, Batch, Change, Expected, RecordKind, RevocationSection, Revocations, UniqueKey, Write,
};
use doorward_tests::company::bearer;
use doorward_tests::gateway::{Config, Gateway};
use doorward_tests::h1::H1;
use doorward_tests::issuer::Issuer;
use doorward_tests::raw::RawUpstream;
use doorward_tests::wire::{clock, now};
use serde_json::{Value, json};

const POLICY: &str = r#"
@id("role") permit (principal is User in Role::"engineer", action, resource == Route::"wiki/role");
@id("group") permit (principal is User in Group::"everybody", action, resource == Route::"wiki/group");
@id("granted") permit (principal is User, action, resource == Route::"wiki/granted") when { context.granted };
@id("machine") permit (principal is ServiceAccount, action, resource == Route::"wiki/machine")
when { principal.owner.lifecycle == Lifecycle::"active" && principal.scopes.contains("wiki:read") };
@id("agents-person") permit (principal is User in Role::"engineer", action, resource == Route::"wiki/agent")
when { context.granted };
@id("agent") permit (principal is Agent, action, resource == Route::"wiki/agent")
when { principal.onBehalfOf in Role::"engineer" && context.granted && principal.scopes.contains("wiki:read") };
"#;

/// How long a change by another process may take to be seen.
const SEEN_MAX: Duration = Duration::from_secs(30);

pub(crate) struct House {
    pub(crate) gateway: Gateway,
    pub(crate) people: Issuer,
    pub(crate) machines: Issuer,
    pub(crate) app: RawUpstream,
    pub(crate) store: Revocations,
    policies: tempfile::TempDir,
}

impl House {
    pub(crate) async fn new(more: impl FnOnce(&mut Config)) -> Self {
        let (people, machines) = (Issuer::start().await, Issuer::named("robots").await);
        let app = RawUpstream::ok().await;
        let policies = tempfile::tempdir().unwrap();
        let schema = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/schema.cedarschema");
        std::fs::copy(schema, policies.path().join("schema.cedarschema")).unwrap();
        std::fs::write(policies.path().join("all.cedar"), POLICY).unwrap();
        let mut of_machines = machines.section();
        of_machines["subjects"] = json!("service_accounts");
        of_machines["claims"] = json!({"owner": "owner"});
        let route = |id: &str| json!({"id": id, "path": format!("/{id}")});
        let routes = ["role", "group", "granted", "machine", "agent"].map(route);
        let mut config = Config::new();
        config.set("policy.dir", json!(policies.path())).set("directory.people", json!("known"));
        config.issuer(&people).add("issuer", of_machines);
        config.app("wiki", "wiki.test", app.address(), json!({"route": routes}));
        more(&mut config);
        let gateway = Gateway::start(config).await;
        let store = beside(&gateway);
        Self { gateway, people, machines, app, store, policies }
    }

    /// Stops writing, restarts the gateway, and writes beside it again.
    pub(crate) async fn restarted(self) -> Self {
        let Self { gateway, people, machines, app, store, policies } = self;
        store.close().await;
        let gateway = gateway.restart(doorward_tests::gateway::Signal::SIGTERM).await;
        let store = beside(&gateway);
        Self { gateway, people, machines, app, store, policies }
    }

    pub(crate) async fn write(&self, writes: Vec<Write>) {
        self.store.commit(Batch { writes, changes: Vec::new() }).await.unwrap();
    }

    pub(crate) async fn change(&self, writes: Vec<Write>, action: Action, link: &str) {
        let change = Change {
            target: Target::User(link.parse().unwrap()),
            action,
            cause: "a test".to_owned(),
            actor: "operator".to_owned(),
            request_id: "r-1".to_owned(),
        };
        self.store.commit(Batch { writes, changes: vec![change] }).await.unwrap();
    }

    /// A connection on which somebody asks.
    pub(crate) async fn visit(&self, token: &str) -> Visit {
        let (address, token) = (self.gateway.address(), bearer(token));
        Visit { client: H1::connect(address).await, address, token, connections: 1 }
    }

    pub(crate) fn robot(&self, owner: &str) -> String {
        let claims = json!({"sub": "backup", "owner": owner, "scope": "wiki:read wiki:write", "act": null});
        self.machines.token_but("bob", &claims)
    }

    pub(crate) fn copilot(&self) -> String {
        let claims = json!({"sub": "alice", "scope": "wiki:read", "act": {"sub": "copilot"}});
        self.people.token_but("bob", &claims)
    }

    /// The decision of the newest request of this principal, as it was recorded.
    pub(crate) async fn recorded(&self, code: &str) -> Value {
        doorward_tests::wire::within("the decision to be recorded", async {
            loop {
                let events = self.gateway.events();
                let found = events.into_iter().rev().find(|e| e.to_string().contains(&format!("\"{code}\"")));
                if let Some(event) = found {
                    return event;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
    }
}

fn beside(gateway: &Gateway) -> Revocations {
    let data = gateway.folder().join("data");
    let (top, section) = (KeyPath::top(), RevocationSection::default());
    let config = section.check(&top, &data, &data, "test", &mut Vec::new()).unwrap();
    let began = tokio::time::Instant::now();
    let clocks = Clocks { wall: clock(), uptime: Arc::new(move || began.elapsed()) };
    let (store, report) = Revocations::open(&config, clocks).unwrap();
    assert!(report.shared, "the gateway has it open");
    store
}

/// One connection, kept as long as the gateway keeps it.
pub(crate) struct Visit {
    client: H1,
    address: std::net::SocketAddr,
    token: String,
    /// How many connections it took so far.
    pub(crate) connections: usize,
}

impl Visit {
    /// What one request is told: `200`, the code of the refusal, or that it was cut off.
    pub(crate) async fn told(&mut self, path: &str) -> String {
        let fields = [("authorization", &*self.token)];
        let response = self.client.try_ask("GET", "wiki.test", path, &fields).await;
        let told = match &response {
            None => "cut off".to_owned(),
            Some(response) => {
                let code = response.head.value("x-doorward-refusal");
                code.unwrap_or_else(|| response.status().to_string())
            }
        };
        // Whoever has no access is shown out. After every other answer the connection goes on.
        if response.is_none_or(|response| response.status() == 401) {
            self.client = H1::connect(self.address).await;
            self.connections += 1;
        }
        told
    }

    /// Asks on this connection until it is told so: what another process wrote comes within a poll.
    pub(crate) async fn comes_to(&mut self, path: &str, expected: &str) {
        let began = tokio::time::Instant::now();
        loop {
            let told = self.told(path).await;
            if told == expected {
                return;
            }
            assert!(began.elapsed() < SEEN_MAX, "{path}: `{told}` and not `{expected}`");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

// === records ===

pub(crate) fn person(n: u128, name: &str) -> Person {
    let profile = Profile::named(name.to_owned());
    let mut person = Person::new(PersonId::from_u128(n), Source::Local, PersonState::Active, profile, now());
    person.links.insert(format!("demo:{name}").parse().unwrap());
    person
}

pub(crate) fn with_role(mut person: Person, role: &str) -> Person {
    let what = RoleName::new(role).unwrap();
    person.roles.give(Given { what, origin: Origin::Default, since: now() });
    person
}

pub(crate) fn with_app(mut person: Person, app: &str) -> Person {
    let what = AppId::new(app).unwrap();
    person.apps.give(Given { what, origin: Origin::Operator("ann".into()), since: now() });
    person
}

fn write(kind: RecordKind, id: String, body: Vec<u8>, keys: Vec<UniqueKey>) -> Write {
    Write { kind, id: id.into(), expected: Expected::Any, body: Some(body.into()), keys }
}

pub(crate) fn of_person(person: &Person) -> Write {
    let (body, keys) = form::encode_person(person).unwrap();
    write(RecordKind::Person, person.id.to_string(), body, keys)
}

pub(crate) fn group(n: u128, name: &str) -> Write {
    let id = GroupId::from_u128(n);
    let (parents, source) = (BTreeSet::new(), Source::Local);
    let group =
        Group { id, display_name: name.into(), parents, source, created_at: now(), changed_at: now() };
    write(RecordKind::Group, id.to_string(), form::encode_group(&group).unwrap(), Vec::new())
}

/// Somebody, or a group, is directly in these groups.
pub(crate) fn member(member: Member, groups: &[u128]) -> Write {
    let mut grants = Grants::new();
    for group in groups {
        grants.give(Given { what: GroupId::from_u128(*group), origin: Origin::Default, since: now() });
    }
    let body = form::encode_memberships(&grants).unwrap();
    write(RecordKind::Membership, member.record_id(), body, Vec::new())
}

pub(crate) fn machine(n: u128, kind: MachineKind, user: &str, owner: u128) -> Write {
    let machine = Machine {
        id: MachineId::from_u128(n),
        user: user.parse().unwrap(),
        kind,
        name: user.to_owned(),
        purpose: "to test".to_owned(),
        owner: PersonId::from_u128(owner),
        scopes: ["wiki:read".to_owned()].into(),
        state: MachineState::Active,
        expires_at: UnixMillis(i64::MAX),
        created_at: now(),
        tokens: Vec::new(),
    };
    let (body, keys) = form::encode_machine(&machine).unwrap();
    write(RecordKind::Machine, machine.id.to_string(), body, keys)
}
