use std::time::Instant;

use doorward_model::directory::{
    Given, Grants, Group, GroupId, Machine, MachineId, MachineState, Origin, Person, PersonId, PersonState,
    Profile, RoleName, Source,
};
use doorward_model::time::Clocks;
use doorward_model::{CountryCode, Employment, KeyPath, User, Visitor};
use doorward_state::directory::form::{self, Member};
use doorward_state::{Batch, Expected, RecordKind, RevocationSection, Revocations, Write};

use super::*;

const NOW: UnixMillis = UnixMillis(1_795_262_400_400);

struct House {
    dir: tempfile::TempDir,
    revocations: Revocations,
    people: People,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (top, section) = (KeyPath::top(), RevocationSection::default());
        let config = section.check(&top, dir.path(), dir.path(), "gw-1", &mut Vec::new()).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test owns a clock")]
        let began = Instant::now();
        let clocks = Clocks { wall: Arc::new(|| NOW), uptime: Arc::new(move || began.elapsed()) };
        let revocations = Revocations::open(&config, clocks).unwrap().0;
        let directory = Directory::new(revocations.records());
        let lab = BTreeSet::from([IssuerId::new("lab").unwrap()]);
        Self { dir, revocations, people: People::known(directory, lab) }
    }

    async fn write(&self, writes: Vec<Write>) {
        self.revocations.commit(Batch { writes, changes: Vec::new() }).await.unwrap();
    }

    fn judge(&self, token: &Arc<Principal>) -> Result<Judged, RefusalCode> {
        self.people.judge(token, NOW, Duration::ZERO).map_err(|refusal| refusal.code)
    }

    fn code(&self, token: &Arc<Principal>) -> &'static str {
        self.judge(token).map_or_else(RefusalCode::as_str, |_| "let in")
    }
}

fn write(kind: RecordKind, id: String, (body, keys): (Vec<u8>, Vec<doorward_state::UniqueKey>)) -> Write {
    Write { kind, id: id.into(), expected: Expected::Any, body: Some(body.into()), keys }
}

fn person(n: u128, name: &str) -> Person {
    let profile = Profile { department: Some("sales".to_owned()), ..Profile::named(name.to_owned()) };
    let mut person = Person::new(PersonId::from_u128(n), Source::Local, PersonState::Active, profile, NOW);
    person.links.insert(format!("corp:{name}").parse().unwrap());
    let (what, origin) = (RoleName::new("seller").unwrap(), Origin::Default);
    person.roles.give(Given { what, origin: origin.clone(), since: NOW });
    person.apps.give(Given { what: AppId::new("wiki").unwrap(), origin, since: NOW });
    person
}

fn of_person(person: &Person) -> Write {
    write(RecordKind::Person, person.id.to_string(), form::encode_person(person).unwrap())
}

fn machine(n: u128, kind: MachineKind, owner: u128) -> Machine {
    Machine {
        id: MachineId::from_u128(n),
        user: format!("corp:m{n}").parse().unwrap(),
        kind,
        name: "backup".to_owned(),
        purpose: "to test".to_owned(),
        owner: PersonId::from_u128(owner),
        scopes: ["a".to_owned(), "b".to_owned()].into(),
        state: MachineState::Active,
        expires_at: UnixMillis(i64::MAX),
        created_at: NOW,
        tokens: Vec::new(),
    }
}

fn of_machine(machine: &Machine) -> Write {
    write(RecordKind::Machine, machine.id.to_string(), form::encode_machine(machine).unwrap())
}

/// Somebody of whom the token says everything that a stranger would like to be.
fn user(link: &str) -> User {
    User {
        id: link.parse().unwrap(),
        name: Some("Root".to_owned()),
        email: Some("root@corp.example".to_owned()),
        groups: ["admins".to_owned()].into(),
        roles: ["admin".to_owned()].into(),
        stage: LifecycleStage::Active,
        employment: Employment::Employee,
        contract_end: None,
        home_country: CountryCode::new("DE").unwrap(),
        department: Some("it".to_owned()),
        tags: [("clearance".to_owned(), "top".to_owned())].into(),
    }
}

fn token(link: &str) -> Arc<Principal> {
    Arc::new(Principal::User(user(link)))
}

fn account(id: &str, owner: &str) -> Arc<Principal> {
    Arc::new(Principal::ServiceAccount(ServiceAccount {
        id: id.parse().unwrap(),
        owner: owner.parse().unwrap(),
        scopes: ["b".to_owned(), "c".to_owned()].into(),
        stage: LifecycleStage::Active,
    }))
}

fn agent(id: &str, person: &str) -> Arc<Principal> {
    let scopes = ["b".to_owned(), "c".to_owned()].into();
    Arc::new(Principal::Agent(Agent { id: id.parse().unwrap(), on_behalf_of: user(person), scopes }))
}

#[tokio::test]
async fn what_the_token_says_of_a_person_does_not_count() {
    let house = House::new();
    let alice = token("corp:alice");
    assert_eq!(house.code(&alice), "unknown_principal");
    house.write(vec![of_person(&person(1, "alice"))]).await;
    let judged = house.judge(&alice).unwrap();
    let Principal::User(user) = &*judged.principal else { panic!("no person") };
    let expected = User {
        id: "corp:alice".parse().unwrap(),
        name: None,
        email: None,
        groups: BTreeSet::new(),
        roles: ["seller".to_owned()].into(),
        stage: LifecycleStage::Active,
        employment: Employment::Unknown,
        contract_end: None,
        home_country: CountryCode::UNKNOWN,
        department: Some("sales".to_owned()),
        tags: Default::default(),
    };
    assert_eq!(*user, expected);
    assert!(judged.is_granted(&AppId::new("wiki").unwrap()));
    assert!(!judged.is_granted(&AppId::new("payroll").unwrap()));
    assert_eq!(judged.owner_stage, LifecycleStage::Unknown);
    let another = token("corp:alice");
    assert!(Arc::ptr_eq(&judged.principal, &house.judge(&another).unwrap().principal), "one for all tokens");
}

#[tokio::test]
async fn whoever_is_not_admitted_is_refused_whatever_the_token_says() {
    let house = House::new();
    let alice = token("corp:alice");
    for (state, source_active, code) in [
        (PersonState::Active, true, "let in"),
        (PersonState::Active, false, "disabled"),
        (PersonState::Staged, true, "disabled"),
        (PersonState::Locked { until: UnixMillis(1) }, true, "disabled"),
        (PersonState::Deactivated, true, "disabled"),
        (PersonState::Deleted, true, "unknown_principal"),
    ] {
        let changed = Person { state: state.clone(), source_active, ..person(1, "alice") };
        house.write(vec![of_person(&changed)]).await;
        assert_eq!(house.code(&alice), code, "{state:?}");
    }
    let refusal = house.people.judge(&token("corp:bob"), NOW, Duration::ZERO);
    let refusal = refusal.map(|_| ()).unwrap_err();
    assert!(refusal.detail.contains("corp:bob") && refusal.reason.is_none());
}

#[tokio::test]
async fn issuers_that_are_excepted_and_visitors_are_not_looked_up() {
    let house = House::new();
    let lab = token("lab:alice");
    assert!(Arc::ptr_eq(&house.judge(&lab).unwrap().principal, &lab));
    assert!(!house.judge(&lab).unwrap().is_granted(&AppId::new("wiki").unwrap()));
    assert_eq!(house.code(&Arc::new(Principal::Visitor(Visitor))), "let in");
    let anybody = token("corp:nobody");
    let judged = People::AsTokensSay.judge(&anybody, NOW, Duration::ZERO).unwrap();
    assert!(Arc::ptr_eq(&judged.principal, &anybody));
}

#[tokio::test]
async fn a_service_account_is_what_was_registered_and_stops_with_its_owner() {
    let house = House::new();
    let token = account("corp:m5", "corp:alice");
    house.write(vec![of_person(&person(1, "alice"))]).await;
    assert_eq!(house.code(&token), "unknown_principal", "nobody registered it");
    let mut machine = machine(5, MachineKind::ServiceAccount, 1);
    house.write(vec![of_machine(&machine)]).await;
    let judged = house.judge(&token).unwrap();
    let Principal::ServiceAccount(account) = &*judged.principal else { panic!("no account") };
    assert_eq!(account.scopes, BTreeSet::from(["b".to_owned()]), "what both say");
    assert_eq!(account.owner.to_string(), "corp:alice");
    assert_eq!(judged.owner_stage, LifecycleStage::Active);
    assert!(!judged.is_granted(&AppId::new("wiki").unwrap()), "apps are granted to people");
    assert!(Arc::ptr_eq(&judged.principal, &house.judge(&token).unwrap().principal), "remembered");
    assert_eq!(house.code(&agent("corp:m5", "corp:alice")), "unknown_principal", "it is no agent");
    assert_eq!(house.code(&super::tests::token("corp:m5")), "unknown_principal", "nor a person");

    // The owner leaves; somebody takes the machine over; the token still names who left.
    let left = Person { state: PersonState::Deactivated, ..person(1, "alice") };
    house.write(vec![of_person(&left)]).await;
    assert_eq!(house.code(&token), "disabled");
    machine.owner = PersonId::from_u128(2);
    house.write(vec![of_person(&person(2, "bob")), of_machine(&machine)]).await;
    let judged = house.judge(&token).unwrap();
    assert_eq!(
        judged.principal.answerable().iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["corp:m5", "corp:bob"],
        "who left does not stop what was handed over, and who took over does"
    );
    machine.scopes.clear();
    house.write(vec![of_machine(&machine)]).await;
    let Principal::ServiceAccount(account) = &*house.judge(&token).unwrap().principal.clone() else {
        panic!("no account")
    };
    assert!(account.scopes.is_empty(), "what is remembered is not old");
    machine.expires_at = NOW;
    house.write(vec![of_machine(&machine)]).await;
    assert_eq!(house.code(&token), "disabled");
}

#[tokio::test]
async fn an_agent_stops_with_its_owner_and_with_its_person() {
    let house = House::new();
    let token = agent("corp:m6", "corp:alice");
    house.write(vec![of_person(&person(1, "alice")), of_person(&person(2, "bob"))]).await;
    assert_eq!(house.code(&token), "unknown_principal");
    house.write(vec![of_machine(&machine(6, MachineKind::Agent, 2))]).await;
    let judged = house.judge(&token).unwrap();
    let Principal::Agent(agent) = &*judged.principal else { panic!("no agent") };
    assert_eq!(agent.on_behalf_of.roles, BTreeSet::from(["seller".to_owned()]));
    assert_eq!(agent.scopes, BTreeSet::from(["b".to_owned()]));
    assert!(judged.is_granted(&AppId::new("wiki").unwrap()), "to the person it acts for");
    for gone in [person(1, "alice"), person(2, "bob")] {
        let left = Person { state: PersonState::Deactivated, ..gone.clone() };
        house.write(vec![of_person(&left)]).await;
        assert_eq!(house.code(&token), "disabled", "{gone:?}");
        house.write(vec![of_person(&gone)]).await;
        assert_eq!(house.code(&token), "let in");
    }
    assert_eq!(house.code(&super::tests::agent("corp:m6", "corp:stranger")), "unknown_principal");
}

#[tokio::test]
async fn a_change_of_what_an_agents_person_is_reaches_the_agent() {
    let house = House::new();
    let token = agent("corp:m6", "corp:alice");
    let all = [of_person(&person(1, "alice")), of_machine(&machine(6, MachineKind::Agent, 1))];
    house.write(all.into()).await;
    let groups = |judged: &Judged| match &*judged.principal {
        Principal::Agent(agent) => agent.on_behalf_of.groups.iter().cloned().collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(groups(&house.judge(&token).unwrap()), Vec::<String>::new());
    let id = GroupId::from_u128(9);
    let group = |name: &str| {
        let (parents, source) = (BTreeSet::new(), Source::Local);
        let group =
            Group { id, display_name: name.into(), parents, source, created_at: NOW, changed_at: NOW };
        let body = form::encode_group(&group).unwrap();
        write(RecordKind::Group, id.to_string(), (body, Vec::new()))
    };
    let mut grants = Grants::new();
    grants.give(Given { what: id, origin: Origin::Default, since: NOW });
    let body = form::encode_memberships(&grants).unwrap();
    let member = Member::Person(PersonId::from_u128(1)).record_id();
    let membership = write(RecordKind::Membership, member, (body, Vec::new()));
    house.write(vec![group("sales"), membership]).await;
    assert_eq!(groups(&house.judge(&token).unwrap()), ["sales"]);
    house.write(vec![group("sales-emea")]).await;
    assert_eq!(groups(&house.judge(&token).unwrap()), ["sales-emea"]);
}

#[tokio::test]
async fn what_is_damaged_or_was_not_read_for_too_long_refuses() {
    let house = House::new();
    let alice = token("corp:alice");
    house.write(vec![of_person(&person(1, "alice"))]).await;
    let id = PersonId::from_u128(1).to_string();
    house.write(vec![write(RecordKind::Person, id, (b"{}".to_vec(), Vec::new()))]).await;
    assert_eq!(house.code(&alice), "directory_error");
    house.write(vec![of_person(&person(1, "alice"))]).await;
    assert_eq!(house.code(&alice), "let in");

    let (file, away) = (house.dir.path().join("revocations.sqlite3"), house.dir.path().join("away"));
    std::fs::rename(&file, &away).unwrap();
    for _ in 0..600 {
        if house.code(&alice) == "stale_directory" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(house.code(&alice), "stale_directory");
    let status = house.people.directory_status().unwrap();
    assert_eq!((status.people, status.is_fresh), (1, false));
    let patient = house.people.judge(&alice, NOW, Duration::from_secs(3600));
    assert!(patient.is_ok(), "an app that goes on with what was known");
    std::fs::rename(&away, &file).unwrap();
    for _ in 0..600 {
        if house.code(&alice) == "let in" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never read again");
}
