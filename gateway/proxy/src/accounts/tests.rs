use std::collections::BTreeSet;
use std::time::Instant;

use doorward_model::KeyPath;
use doorward_model::directory::{
    Extent, MachineKind, MachineState, Person, PersonId, PersonState, Profile, Source, StopCause,
};
use doorward_model::time::Clocks;
use doorward_state::directory::form;
use doorward_state::{Batch, Expected, RecordKind, RevocationSection, Revocations, Write};

use super::*;

const NOW: UnixMillis = UnixMillis(1_795_262_400_400);
const HOUR: Duration = Duration::from_hours(1);

struct House {
    _dir: tempfile::TempDir,
    revocations: Revocations,
    accounts: Accounts,
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
        let accounts = Accounts::new(Directory::new(revocations.records()));
        Self { _dir: dir, revocations, accounts }
    }

    async fn write(&self, writes: Vec<Write>) {
        self.revocations.commit(Batch { writes, changes: Vec::new() }).await.unwrap();
    }

    fn asks(&self, token: u8, client: &str, app: &str, now: UnixMillis) -> Result<Account, RefusalCode> {
        let client = client.parse().unwrap();
        let whose = self.accounts.whose(&TokenHash::new([token; 32]), client, Duration::ZERO);
        let may = whose.and_then(|account| {
            account.may_ask(&self.accounts, &AppId::new(app).unwrap(), now).map(|()| account)
        });
        may.map_err(|refusal| refusal.code)
    }

    fn told(&self, token: u8, client: &str, app: &str, now: UnixMillis) -> &'static str {
        self.asks(token, client, app, now).map_or_else(RefusalCode::as_str, |_| "let in")
    }
}

fn token(n: u8) -> MachineToken {
    MachineToken {
        hash: TokenHash::new([n; 32]),
        label: "ci".to_owned(),
        apps: Extent::All,
        from: Extent::All,
        scopes: Extent::All,
        created_at: NOW,
        created_by: "ann".into(),
        expires_at: NOW.plus(HOUR),
        last_used_at: None,
    }
}

fn robot(tokens: Vec<MachineToken>) -> Machine {
    Machine {
        id: MachineId::from_u128(5),
        user: "robots:backup".parse().unwrap(),
        kind: MachineKind::ServiceAccount,
        name: "backup".to_owned(),
        purpose: "to test".to_owned(),
        owner: PersonId::from_u128(1),
        scopes: ["a".to_owned(), "b".to_owned()].into(),
        state: MachineState::Active,
        expires_at: NOW.plus(10 * HOUR),
        created_at: NOW,
        tokens,
    }
}

fn of_machine(machine: &Machine) -> Write {
    let (body, keys) = form::encode_machine(machine).unwrap();
    let (kind, id) = (RecordKind::Machine, machine.id.to_string().into());
    Write { kind, id, expected: Expected::Any, body: Some(body.into()), keys }
}

fn of_alice(state: PersonState, links: &[&str]) -> Write {
    let profile = Profile::named("alice".to_owned());
    let mut person = Person::new(PersonId::from_u128(1), Source::Local, state, profile, NOW);
    person.links.extend(links.iter().map(|link| link.parse().unwrap()));
    let (body, keys) = form::encode_person(&person).unwrap();
    let (kind, id) = (RecordKind::Person, person.id.to_string().into());
    Write { kind, id, expected: Expected::Any, body: Some(body.into()), keys }
}

#[tokio::test]
async fn a_token_is_good_for_what_was_said_and_nothing_else() {
    let house = House::new();
    house.write(vec![of_alice(PersonState::Active, &["corp:alice"])]).await;
    let apps = Extent::Only([AppId::new("files").unwrap()].into());
    let from = Extent::Only(["192.0.2.0/24".parse().unwrap()].into());
    let scopes = Extent::Only(["b".to_owned(), "c".to_owned()].into());
    let narrow = MachineToken { apps, from, scopes, ..token(2) };
    house.write(vec![of_machine(&robot(vec![token(1), narrow]))]).await;
    for (of, client, app, later, says) in [
        (1, "198.51.100.1", "wiki", 0, "let in"),
        (1, "198.51.100.1", "wiki", 59, "let in"),
        (1, "198.51.100.1", "wiki", 60, "expired_credential"),
        (2, "192.0.2.7", "files", 0, "let in"),
        (2, "::ffff:192.0.2.7", "files", 0, "let in"),
        (2, "192.0.2.7", "wiki", 0, "no_permit"),
        (2, "192.0.3.7", "files", 0, "invalid_credential"),
        (3, "192.0.2.7", "files", 0, "invalid_credential"),
    ] {
        let now = NOW.plus(Duration::from_mins(later));
        assert_eq!(house.told(of, client, app, now), says, "{of} {client} {app} {later}");
    }
    let account = house.asks(2, "192.0.2.7", "files", NOW).unwrap();
    let Principal::ServiceAccount(shown) = &**account.principal() else { panic!("no service account") };
    assert_eq!(shown.scopes, BTreeSet::from(["b".to_owned()]), "what both have");
    assert_eq!(
        (shown.owner.to_string(), shown.id.to_string()),
        ("corp:alice".into(), "robots:backup".into())
    );
    assert_eq!(account.session().token.as_ref().unwrap().to_string(), "robots:dwsa-020202020202");
    let again = house.asks(2, "192.0.2.8", "files", NOW).unwrap();
    assert!(Arc::ptr_eq(account.principal(), again.principal()), "remembered");
}

#[tokio::test]
async fn it_stops_with_its_token_its_service_account_and_its_owner() {
    let house = House::new();
    let says = || house.told(1, "192.0.2.7", "wiki", NOW);
    house.write(vec![of_machine(&robot(vec![token(1)]))]).await;
    assert_eq!(says(), "invalid_credential", "nobody answers for it");
    for (state, links, expected) in [
        (PersonState::Active, &[][..], "invalid_credential"),
        (PersonState::Active, &["corp:alice"], "let in"),
        (PersonState::Locked { until: NOW }, &["corp:alice"], "disabled"),
        (PersonState::Active, &["corp:alice"], "let in"),
    ] {
        house.write(vec![of_alice(state, links)]).await;
        assert_eq!(says(), expected);
    }
    let good = robot(vec![token(1)]);
    let halted = MachineState::Stopped { cause: StopCause::Halted, since: NOW };
    for (machine, expected) in [
        (Machine { state: halted, ..good.clone() }, "disabled"),
        (Machine { expires_at: NOW, ..good.clone() }, "disabled"),
        (robot(vec![token(2)]), "invalid_credential"),
        (Machine { state: MachineState::Deleted, ..good.clone() }, "disabled"),
        (good, "let in"),
    ] {
        house.write(vec![of_machine(&machine)]).await;
        assert_eq!(says(), expected, "{machine:?}");
    }
    let House { _dir, revocations, accounts } = house;
    revocations.close().await;
    let late = accounts.whose(&TokenHash::new([1; 32]), [192, 0, 2, 7].into(), HOUR);
    assert_eq!(late.map(|_| ()).unwrap_err().code, RefusalCode::StaleDirectory, "it is not known any more");
}

#[tokio::test]
async fn that_it_was_used_is_told_once_until_it_is_written_down() {
    let house = House::new();
    house.write(vec![of_alice(PersonState::Active, &["corp:alice"])]).await;
    house.write(vec![of_machine(&robot(vec![token(1)]))]).await;
    assert_eq!(house.told(1, "192.0.2.7", "wiki", NOW.plus(HOUR)), "expired_credential");
    assert_eq!(house.accounts.take_used(), [], "it was not good");
    for _ in 0..3 {
        assert_eq!(house.told(1, "192.0.2.7", "wiki", NOW), "let in");
    }
    let used = Used { machine: MachineId::from_u128(5), token: TokenHash::new([1; 32]), at: NOW };
    assert_eq!(house.accounts.take_used(), [used]);
    assert_eq!(house.accounts.take_used(), []);
    let last_used_at = Some(NOW.minus(HOUR / 2));
    house.write(vec![of_machine(&robot(vec![MachineToken { last_used_at, ..token(1) }]))]).await;
    assert_eq!(house.told(1, "192.0.2.7", "wiki", NOW), "let in");
    assert_eq!(house.accounts.take_used(), [], "that is known well enough");
}
