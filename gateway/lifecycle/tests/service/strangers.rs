//! What one source asks for does nothing to whom another one knows, and lifts nothing that an operator did.

use std::collections::BTreeSet;

use doorward_lifecycle::machine::{Actor, Command};
use doorward_lifecycle::service::{Failed, Holder, MachineAct, NewMachine, Whom};
use doorward_model::directory::{ConnectionId, MachineId, MachineKind, PersonId};
use doorward_model::{Target, UnixMillis};
use doorward_state::{Action, Change, Expected, RecordKind, UniqueKey, Version, Write};

use crate::fixture::{House, Running, ann, asker, link, okta, person, profile, run};

fn hr() -> Actor {
    Actor::Source(ConnectionId::new("hr").unwrap())
}

fn create(id: PersonId, name: &str, sign_in: &str, active: bool) -> Command {
    let links = BTreeSet::from([link(sign_in)]);
    Command::ScimCreate { id, profile: profile(name).into(), active, links }
}

/// What an operator does by hand to a sign-in, past the directory.
async fn by_hand(running: &Running, name: &str, action: Action) {
    let change = Change {
        target: Target::User(link(name)),
        action,
        cause: "stolen".to_owned(),
        actor: "operator".to_owned(),
        request_id: "r-0".to_owned(),
    };
    running.revocations.apply(change).await.unwrap();
}

async fn refused(running: &Running, whom: Whom, commands: Vec<Command>) -> bool {
    let answer = running.service.ask_all(whom, commands, asker(&hr()), Vec::new()).await;
    match answer {
        Err(Failed::Taken { enforced, .. }) => !enforced,
        _ => panic!("{answer:?}"),
    }
}

/// A sign-in that somebody else has: neither is its holder cut off, nor let in, whatever the holder is.
#[test]
fn who_asks_for_a_strangers_sign_in_does_nothing_to_them() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        running.hire(2, "carol").await;
        by_hand(&running, "carol", Action::Disable).await;
        let robot = NewMachine {
            id: MachineId::from_u128(0x0199_0000_0000_7000_b000_0000_0000_0001),
            user: link("robot"),
            kind: MachineKind::ServiceAccount,
            name: "robot".to_owned(),
            purpose: "to build".to_owned(),
            owner: alice,
            scopes: BTreeSet::new(),
            expires_at: UnixMillis(house.now().0 + 1_000_000),
        };
        running.service.on_machine(MachineAct::Register(Box::new(robot)), asker(&ann())).await.unwrap();
        // Of hr: one who is out and one who is in.
        let (bob, dora) = (person(3), person(4));
        for (id, name, active) in [(bob, "bob", false), (dora, "dora", true)] {
            let command = create(id, name, name, active);
            running.service.ask(Whom::New, command, asker(&hr())).await.unwrap();
        }
        let marks = || {
            ["alice", "carol", "robot", "bob", "dora"]
                .map(|name| running.revocations.lookup(&Target::User(link(name))))
        };
        let (before, told) = (marks(), house.events().len());
        house.pass(5_000);
        for name in ["alice", "carol", "robot"] {
            assert!(refused(&running, Whom::New, vec![create(person(5), "z", name, false)]).await, "{name}");
            assert!(refused(&running, Whom::Person(bob), vec![Command::Link(link(name))]).await, "{name}");
            let leaves = vec![Command::ScimDeactivate, Command::Link(link(name))];
            assert!(refused(&running, Whom::Person(dora), leaves).await, "{name}");
        }
        // A name that is taken, too, is refused before anything bites.
        let renamed = vec![Command::ScimDeactivate, Command::ScimProfile(profile("bob").into())];
        assert!(refused(&running, Whom::Person(dora), renamed).await);
        assert_eq!(marks(), before);
        let told = house.told(told);
        assert!(
            told.iter().all(|code| code.ends_with("(denied)") || code.ends_with("(intended)")),
            "{told:?}"
        );
        assert_eq!(running.service.find_sign_in(&link("alice")), Some(Holder::Person(alice)));
        running.close().await;
    });
}

/// The same where another process heard of the holder a moment ago, and this one has not.
#[test]
fn a_stranger_who_is_not_known_here_yet_is_not_cut_off() {
    run(async {
        let house = House::new();
        let (here, there) = (house.open().await, house.open().await);
        for n in 0..6 {
            let name = format!("p{n}");
            there.hire(n, &name).await;
            assert!(refused(&here, Whom::New, vec![create(person(100 + n), "z", &name, false)]).await);
            assert!(!here.disabled(&name), "round {n}");
        }
        here.close().await;
        there.close().await;
    });
}

/// A leaving that is not saved in the end, because the caller's paper was old: whom it alone had cut off is
/// let in again, and on record; whom an operator had cut off before is not.
#[test]
fn nobody_is_let_in_again_whom_another_word_keeps_out() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        let bob = running.hire(2, "bob").await;
        by_hand(&running, "bob", Action::Disable).await;
        let bobs = running.revocations.lookup(&Target::User(link("bob")));
        let old = Write {
            kind: RecordKind::Document,
            id: "old".into(),
            expected: Expected::Version(Version(1)),
            body: Some(b"{}".as_slice().into()),
            keys: Vec::new(),
        };
        for (whom, name, out) in [(alice, "alice", false), (bob, "bob", true)] {
            let before = house.events().len();
            let commands = vec![Command::ScimDeactivate];
            let answer = running
                .service
                .ask_all(Whom::Person(whom), commands, asker(&okta()), vec![old.clone()])
                .await;
            assert!(matches!(answer, Err(Failed::Changed { .. })), "{answer:?}");
            assert_eq!(running.disabled(name), out, "{name}");
            let told = house.told(before);
            let last = ["directory.change.intended (intended)", "revocation.user"];
            assert_eq!(told.ends_with(&last.map(str::to_owned)), !out, "{name}: {told:?}");
        }
        let now = running.revocations.lookup(&Target::User(link("bob")));
        assert_eq!(now.map(|entry| entry.disabled), bobs.map(|entry| entry.disabled));
        running.close().await;
    });
}

/// What a caller keeps of a leaving may have a key that another has: then the leaver is not cut off, let in
/// again and cut off, but asked for again, and out once.
#[test]
fn a_paper_that_is_refused_cuts_nobody_off() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        let bob = running.hire(2, "bob").await;
        let paper = |id: &str, key: &str| Write {
            kind: RecordKind::Document,
            id: id.into(),
            expected: Expected::Absent,
            body: Some(b"{}".as_slice().into()),
            keys: vec![UniqueKey::new(key).unwrap()],
        };
        let ask = |whom, paper| {
            running.service.ask_all(
                Whom::Person(whom),
                vec![Command::ScimDeactivate],
                asker(&okta()),
                vec![paper],
            )
        };
        ask(bob, paper("b", "external:1:0")).await.unwrap();
        let before = running.revocations.lookup(&Target::User(link("alice")));
        house.pass(5_000);
        let answer = ask(alice, paper("a", "external:1:0")).await;
        assert!(matches!(answer, Err(Failed::Taken { field: "key", enforced: false, .. })), "{answer:?}");
        assert_eq!(running.revocations.lookup(&Target::User(link("alice"))), before);
        ask(alice, paper("a", "external:1:1")).await.unwrap();
        assert!(running.disabled("alice"));
        running.close().await;
    });
}

/// What an operator did to a sign-in past the directory outlives a return, a lock that expires and a link, by
/// whatever hand but an operator's; and somebody is asked to look at it.
#[test]
fn what_an_operator_disabled_by_hand_stays_so() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let names = ["before", "during", "locked", "linked", "plain", "lifted"];
        let mut ids = Vec::new();
        for (n, name) in (1..).zip(names) {
            ids.push(running.hire(n, name).await);
        }
        let source = async |id: PersonId, command: Command| running.ask(id, command, &okta()).await.unwrap();
        let off = async |name: &str| by_hand(&running, name, Action::Disable).await;

        off("before").await;
        source(ids[0], Command::ScimDeactivate).await;
        source(ids[1], Command::ScimDeactivate).await;
        off("during").await;
        let until = UnixMillis(house.now().0 + 1_000);
        running.ask(ids[2], Command::Lock { until }, &ann()).await.unwrap();
        off("locked").await;
        off("linked-2").await;
        source(ids[4], Command::ScimDeactivate).await;
        off("lifted").await;
        source(ids[5], Command::ScimDeactivate).await;
        by_hand(&running, "lifted", Action::Reactivate).await;
        by_hand(&running, "lifted", Action::Disable).await;
        by_hand(&running, "lifted", Action::Reactivate).await;

        house.pass(2_000);
        for n in [0, 1, 4, 5] {
            source(ids[n], Command::ScimActivate).await;
        }
        running.service.run_due(house.now()).await;
        source(ids[3], Command::Link(link("linked-2"))).await;
        for (id, name) in ids.iter().zip(names) {
            assert!(running.known(*id).await.unwrap().admitted(), "{name}");
        }
        let out = names.map(|name| running.disabled(name));
        assert_eq!(out, [true, true, true, false, false, false]);
        assert!(running.disabled("linked-2"));
        let owed = async || {
            let debts = running.revocations.debts(true, None, 100).await.unwrap();
            let mut owed: Vec<String> = debts.into_iter().map(|debt| debt.about).collect();
            owed.sort();
            owed
        };
        let expected = ["before", "during", "linked-2", "locked"].map(|name| format!("sign-in corp:{name}:"));
        let begins = |owed: &[String]| {
            let cut = |about: &String| {
                about.rsplit_once(' ').map(|_| about[..about.find(": ").unwrap() + 1].to_owned())
            };
            owed.iter().filter_map(cut).collect::<Vec<_>>()
        };
        assert_eq!(begins(&owed().await), expected);

        // What is owed outlives a restart, and an operator's hand lets in.
        running.close().await;
        let running = house.open().await;
        let debts = running.revocations.debts(true, None, 100).await.unwrap();
        assert_eq!(debts.len(), 4);
        running.ask(ids[0], Command::Deactivate, &ann()).await.unwrap();
        running.ask(ids[0], Command::Reactivate, &ann()).await.unwrap();
        assert!(!running.disabled("before"));
        running.close().await;
    });
}

/// A first import must not end what everybody has open.
#[test]
fn who_was_never_cut_off_goes_on_when_a_source_makes_them_known() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        let entry = || running.revocations.lookup(&Target::User(link("alice")));
        assert_eq!(entry(), None, "nothing of hers ended");
        running.ask(alice, Command::ScimDeactivate, &okta()).await.unwrap();
        let left = entry().unwrap();
        assert!(left.disabled);
        running.ask(alice, Command::ScimActivate, &okta()).await.unwrap();
        let back = entry().unwrap();
        assert!(!back.disabled && back.not_before >= left.not_before, "and nothing old is good");
        running.close().await;
    });
}
