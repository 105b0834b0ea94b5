//! Service accounts and agents follow whoever answers for them.

use std::collections::BTreeSet;

use doorward_lifecycle::machine::{Actor, Command};
use doorward_lifecycle::service::{Failed, Holder, MACHINES_OWNED_MAX, MachineAct, MachineDone, NewMachine};
use doorward_model::directory::{MachineId, MachineKind, MachineState, PersonId, StopCause};
use doorward_model::{Target, UnixMillis};
use doorward_state::DebtKind;

use crate::fixture::{House, Lead, Running, ann, asker, caep, link, okta, run, until};

fn id(n: u128) -> MachineId {
    MachineId::from_u128(0x0199_0000_0000_7000_b000_0000_0000_0000 + n)
}

fn new(n: u128, owner: PersonId, house: &House) -> MachineAct {
    MachineAct::Register(Box::new(NewMachine {
        id: id(n),
        user: link(&format!("robot-{n}")),
        kind: MachineKind::ServiceAccount,
        name: format!("robot {n}"),
        purpose: "to build".to_owned(),
        owner,
        scopes: BTreeSet::new(),
        expires_at: UnixMillis(house.now().0 + 1_000_000),
    }))
}

async fn doing(running: &Running, act: MachineAct, actor: &Actor) -> Result<MachineDone, Failed> {
    running.service.on_machine(act, asker(actor)).await
}

async fn state(running: &Running, n: u128) -> Option<MachineState> {
    running.service.machine(id(n)).await.unwrap().map(|(machine, _)| machine.state)
}

async fn orphans(running: &Running) -> usize {
    let debts = running.revocations.debts(true, None, 100).await.unwrap();
    debts.iter().filter(|debt| debt.kind == DebtKind::OrphanMachine).count()
}

#[test]
fn a_machine_stops_with_its_owner_and_works_again_when_somebody_takes_it_over() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        let bob = running.hire(2, "bob").await;
        doing(&running, new(1, alice, &house), &ann()).await.unwrap();
        doing(&running, new(2, bob, &house), &ann()).await.unwrap();
        doing(&running, MachineAct::HandOver(id(2), alice), &ann()).await.unwrap();
        assert_eq!(running.service.owned_by(alice), [id(1), id(2)]);
        assert_eq!(running.service.find_sign_in(&link("robot-1")), Some(Holder::Machine(id(1))));

        let before = house.events().len();
        let done = running.ask(alice, Command::ScimDeactivate, &okta()).await.unwrap();
        assert_eq!(done.stopped, [id(1), id(2)]);
        assert_eq!(done.receipts.len(), 3);
        let stopped = Some(MachineState::Stopped { cause: StopCause::OwnerLeft, since: house.now() });
        assert_eq!((state(&running, 1).await, state(&running, 2).await), (stopped, stopped));
        assert!(running.disabled("robot-1") && running.disabled("robot-2"));
        assert_eq!(orphans(&running).await, 2);
        let told = house.told(before);
        assert_eq!(told.iter().filter(|code| *code == "machine.lifecycle.stop").count(), 2, "{told:?}");
        let case = running.service.case(alice).await.unwrap().unwrap();
        let items = case.unfinished();
        assert!(items.contains(&"machine_handled corp:robot-1".to_owned()), "{items:?}");

        // Returning starts nothing; taking over does, and nobody owes it then.
        running.ask(alice, Command::ScimActivate, &okta()).await.unwrap();
        assert!(running.disabled("robot-1"));
        let taken = doing(&running, MachineAct::HandOver(id(1), bob), &ann()).await.unwrap();
        assert_eq!(taken.machine.state, MachineState::Active);
        assert!(!running.disabled("robot-1") && running.disabled("robot-2"));
        assert_eq!(orphans(&running).await, 1);
        doing(&running, MachineAct::Start(id(2)), &ann()).await.unwrap();
        assert_eq!(orphans(&running).await, 0);
        assert!(!running.disabled("robot-2"));
        running.close().await;
    });
}

#[test]
fn whoever_answers_for_a_machine_has_access_and_only_operators_start_one() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        let refused = |answer: Result<MachineDone, Failed>| match answer {
            Err(Failed::Refused { what, .. }) => what,
            other => panic!("{other:?}"),
        };
        assert!(refused(doing(&running, new(1, alice, &house), &okta()).await).contains("operator"));
        running.ask(alice, Command::HoldSet, &caep()).await.unwrap();
        assert!(refused(doing(&running, new(1, alice, &house), &ann()).await).contains("access"));
        let lift = Command::HoldClear(doorward_model::directory::HoldOrigin::Signal(stream()));
        running.ask(alice, lift, &ann()).await.unwrap();
        doing(&running, new(1, alice, &house), &ann()).await.unwrap();

        // A signal may stop it, and only an operator starts it again.
        let stopped = doing(&running, MachineAct::Stop(id(1)), &caep()).await.unwrap();
        assert_eq!(stopped.receipts.len(), 1);
        assert!(running.disabled("robot-1"));
        assert!(!doing(&running, MachineAct::Stop(id(1)), &ann()).await.unwrap().changed);
        refused(doing(&running, MachineAct::Start(id(1)), &caep()).await);
        doing(&running, MachineAct::Start(id(1)), &ann()).await.unwrap();
        assert!(!running.disabled("robot-1"));

        // Whose name it is: no person's, and after its end another machine's.
        let taken = running.ask(alice, Command::Link(link("robot-1")), &ann()).await;
        assert!(matches!(taken, Err(Failed::Taken { field: "sign_in", .. })), "{taken:?}");
        doing(&running, MachineAct::Delete(id(1)), &ann()).await.unwrap();
        assert!(running.disabled("robot-1") && state(&running, 1).await.is_none());
        let mut again = new(2, alice, &house);
        if let MachineAct::Register(new) = &mut again {
            new.user = link("robot-1");
        }
        doing(&running, again, &ann()).await.unwrap();
        assert!(!running.disabled("robot-1"));
        house.pass(1_000_000);
        doing(&running, MachineAct::Stop(id(2)), &ann()).await.unwrap();
        assert!(refused(doing(&running, MachineAct::Start(id(2)), &ann()).await).contains("date"));
        running.close().await;
    });
}

/// A name that somebody cut off is not in use again by being registered anew.
#[test]
fn whom_somebody_else_cut_off_is_not_registered_until_they_are_let_in() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        running.cut_off(Target::User(link("robot-1"))).await;
        let answer = doing(&running, new(1, alice, &house), &ann()).await;
        assert!(matches!(answer, Err(Failed::Refused { .. })), "{answer:?}");
        assert!(running.disabled("robot-1") && state(&running, 1).await.is_none());
        running.close().await;
    });
}

/// Somebody leaves while a machine is registered under them: it does not work afterwards, whoever was first.
#[test]
fn no_machine_is_put_beside_a_leaving() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let (mut first, mut refused) = (0, 0);
        let mut lead = Lead::default();
        for round in 0..40_u64 {
            let owner = running.hire(u128::from(round) + 10, &format!("p{round}")).await;
            let act = new(u128::from(round), owner, &house);
            let service = running.service.clone();
            let [register_after, leave_after] = lead.pauses();
            let registers = tokio::spawn(async move {
                tokio::time::sleep(register_after).await;
                service.on_machine(act, asker(&ann())).await
            });
            tokio::time::sleep(leave_after).await;
            running.ask(owner, Command::ScimDeactivate, &okta()).await.unwrap();
            match registers.await.unwrap() {
                Ok(_) => {
                    first += 1;
                    lead.was_first(true);
                }
                Err(Failed::Refused { .. }) => {
                    refused += 1;
                    lead.was_first(false);
                }
                Err(other) => panic!("{other}"),
            }
            let state = state(&running, u128::from(round)).await;
            assert!(matches!(state, None | Some(MachineState::Stopped { .. })), "round {round}: {state:?}");
        }
        println!("{first} registered first, {refused} left first");
        assert!(first > 0 && refused > 0, "one order only: the race shows nothing");
        running.close().await;
    });
}

#[test]
fn somebody_with_very_many_machines_can_still_leave() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        for n in 0..MACHINES_OWNED_MAX {
            doing(&running, new(u128::try_from(n).unwrap(), alice, &house), &ann()).await.unwrap();
        }
        let answer = doing(&running, new(999, alice, &house), &ann()).await;
        assert!(matches!(answer, Err(Failed::TooMany { .. })), "{answer:?}");
        let done = running.ask(alice, Command::Deactivate, &ann()).await.unwrap();
        assert_eq!(done.stopped.len(), MACHINES_OWNED_MAX);
        assert!(running.service.case(alice).await.unwrap().is_some());
        running.close().await;
    });
}

fn stream() -> doorward_model::directory::StreamName {
    doorward_model::directory::StreamName::new("caep").unwrap()
}

/// Another process of the node registered it a moment ago, and this one has not heard of it yet.
#[test]
fn a_machine_that_is_not_known_here_yet_stops_with_its_owner() {
    run(async {
        let house = House::new();
        let (here, there) = (house.open().await, house.open().await);
        for round in 0..6 {
            let owner = here.hire(round + 10, &format!("p{round}")).await;
            until("they are known there", async || there.known(owner).await.is_some()).await;
            doing(&there, new(round, owner, &house), &ann()).await.unwrap();
            let done = here.ask(owner, Command::ScimDeactivate, &okta()).await.unwrap();
            assert_eq!(done.stopped, [id(round)], "round {round}");
            assert!(here.disabled(&format!("robot-{round}")));
        }
        here.close().await;
        there.close().await;
    });
}

/// Another process started it a moment ago: who is told that it stopped can rely on it.
#[test]
fn a_machine_that_runs_again_elsewhere_is_stopped() {
    run(async {
        let house = House::new();
        let (here, there) = (house.open().await, house.open().await);
        let owner = here.hire(1, "alice").await;
        doing(&here, new(1, owner, &house), &ann()).await.unwrap();
        for round in 0..6 {
            assert!(doing(&here, MachineAct::Stop(id(1)), &ann()).await.unwrap().changed, "round {round}");
            let stopped = async || matches!(state(&there, 1).await, Some(MachineState::Stopped { .. }));
            until("it is known there that it stopped", stopped).await;
            doing(&there, MachineAct::Start(id(1)), &ann()).await.unwrap();
        }
        here.close().await;
        there.close().await;
    });
}
