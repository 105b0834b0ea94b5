//! What is owed is owed once, and also after a crash between a change and its debts.

use doorward_lifecycle::machine::Command;
use doorward_lifecycle::service::{MachineAct, NewMachine};
use doorward_model::UnixMillis;
use doorward_model::directory::{MachineId, MachineKind, Person};
use doorward_state::directory::form::encode_person;
use doorward_state::{Batch, Debt, Expected, RecordKind, Write};

use crate::fixture::{House, Running, ann, asker, link, okta, run};

async fn debts(running: &Running, open_only: bool) -> Vec<Debt> {
    running.revocations.debts(open_only, None, 100).await.unwrap()
}

/// Writes somebody as no service did, as if the process had died before it owed anything.
async fn written(running: &Running, person: &Person) {
    let (body, keys) = encode_person(person).unwrap();
    let write = Write {
        kind: RecordKind::Person,
        id: person.id.to_string().into(),
        expected: Expected::Any,
        body: Some(body.into()),
        keys,
    };
    running.revocations.commit(Batch { writes: vec![write], changes: Vec::new() }).await.unwrap();
}

#[test]
fn a_disagreement_is_owed_once_and_settled_with_its_end() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        let before = running.known(alice).await.unwrap();
        running.ask(alice, Command::Suspend, &ann()).await.unwrap();
        running.ask(alice, Command::HoldSet, &ann()).await.unwrap();
        assert_eq!(debts(&running, true).await.len(), 1);
        let after = running.known(alice).await.unwrap();

        // Begun again, nothing is owed twice; also not what somebody settled by hand.
        running.close().await;
        let running = house.open().await;
        let open = debts(&running, true).await;
        assert_eq!(open.len(), 1);
        running.revocations.settle_debt(open[0].id, house.now(), "seen".to_owned()).await.unwrap();
        running.close().await;
        let running = house.open().await;
        assert_eq!((debts(&running, true).await.len(), debts(&running, false).await.len()), (0, 1));

        // A crash between the change and the debt, on both ways.
        written(&running, &before).await;
        let mut other = Person::clone(&after);
        if let doorward_model::directory::PersonState::Suspended(hold) = &mut other.state {
            hold.since = UnixMillis(house.now().0 + 5);
        }
        other.holds.clear();
        written(&running, &other).await;
        running.close().await;
        let running = house.open().await;
        assert_eq!(debts(&running, true).await.len(), 1);
        written(&running, &before).await;
        running.close().await;
        let running = house.open().await;
        assert_eq!(debts(&running, true).await.len(), 0);
        running.close().await;
    });
}

#[test]
fn an_orphan_is_owed_once() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        let new = NewMachine {
            id: MachineId::from_u128(9),
            user: link("robot"),
            kind: MachineKind::Agent,
            name: "robot".to_owned(),
            purpose: "to help".to_owned(),
            owner: alice,
            scopes: std::collections::BTreeSet::new(),
            expires_at: UnixMillis(house.now().0 + 1_000_000),
        };
        let id = new.id;
        running.service.on_machine(MachineAct::Register(Box::new(new)), asker(&ann())).await.unwrap();
        running.ask(alice, Command::ScimDeactivate, &okta()).await.unwrap();
        assert_eq!(debts(&running, true).await.len(), 1);
        running.close().await;
        let running = house.open().await;
        assert_eq!(debts(&running, false).await.len(), 1);
        running.service.on_machine(MachineAct::Delete(id), asker(&ann())).await.unwrap();
        assert_eq!(debts(&running, true).await.len(), 0);
        let settled = house.told(0);
        assert!(settled.contains(&"control_debt.settled".to_owned()), "{settled:?}");
        running.close().await;
    });
}
