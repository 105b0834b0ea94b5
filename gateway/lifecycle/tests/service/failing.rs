//! When the store or the log cannot be written: a no bites all the same, a yes does not happen.

use std::collections::BTreeSet;

use doorward_lifecycle::machine::{Actor, Command};
use doorward_lifecycle::service::{Delta, Failed, GroupChange, Known};
use doorward_model::directory::{ConnectionId, StateKind};
use doorward_state::StateError;
use doorward_state::directory::form::Member;

use crate::fixture::{House, ann, asker, group, okta, profile, role, run};

/// The log is closed under the service, as one that has failed for good.
#[test]
fn without_a_log_nothing_is_given_and_everything_is_taken() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        let bob = running.hire(2, "bob").await;
        running.ask(bob, Command::Suspend, &ann()).await.unwrap();
        let audit = running.audit.clone();
        tokio::task::spawn_blocking(move || audit.close()).await.unwrap().unwrap();

        let give = running.ask(alice, Command::GiveRole(role("admin")), &ann()).await;
        assert!(matches!(give, Err(Failed::NotOnRecord(_))), "{give:?}");
        let lift = running.ask(bob, Command::Unsuspend, &ann()).await;
        assert!(matches!(lift, Err(Failed::NotOnRecord(_))), "{lift:?}");
        let make = GroupChange {
            id: group(1),
            known: Known::New,
            display_name: Some("All".into()),
            members: Delta::default(),
        };
        let made = running.service.change_group(make, asker(&ann()), Vec::new()).await;
        assert!(matches!(made, Err(Failed::NotOnRecord(_))), "{made:?}");
        assert!(running.known(alice).await.unwrap().roles.is_empty());
        assert!(running.disabled("bob"));

        // Also where something is said beside it that alone would have to wait.
        let commands = vec![Command::ScimProfile(profile("alina").into()), Command::ScimDeactivate];
        let whom = doorward_lifecycle::service::Whom::Person(alice);
        let done = running.service.ask_all(whom, commands, asker(&okta()), Vec::new()).await.unwrap();
        assert!(done.changed && !done.on_record);
        assert!(running.disabled("alice"));
        assert_eq!(running.known(alice).await.unwrap().state.kind(), StateKind::Deactivated);
        running.revocations.close().await;
    });
}

/// What does not fit into a log is no reason to let somebody stay.
#[test]
fn an_odd_cause_keeps_nobody_in() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        let odd = doorward_lifecycle::service::Asker {
            cause: "left\n\u{1b}[2J".repeat(1000).into(),
            request_id: "r\n".repeat(1000).into(),
            ..asker(&okta())
        };
        let whom = doorward_lifecycle::service::Whom::Person(alice);
        let done = running.service.ask(whom, Command::ScimDeactivate, odd).await.unwrap();
        assert!(done.changed && done.on_record && running.disabled("alice"));
        running.close().await;
    });
}

/// A store that is not there any more: who leaves is out on this node, and whoever asked is told that it is
/// not saved.
#[test]
fn without_a_store_a_no_bites_in_memory() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        let bob = running.hire(2, "bob").await;
        let file = house.dir.path().join("revocations.sqlite3");
        std::fs::rename(&file, house.dir.path().join("moved")).unwrap();
        let before = house.events().len();
        let answer = running.ask(alice, Command::ScimDeactivate, &okta()).await;
        let Err(Failed::State(StateError::NotDurable { enforced, .. })) = &answer else {
            panic!("{answer:?}")
        };
        assert!(*enforced && answer.as_ref().unwrap_err().enforced());
        assert!(running.disabled("alice"));
        assert_eq!(
            house.told(before),
            ["user.lifecycle.deactivate (not_saved)", "user.session.clear (not_saved)"]
        );
        let give = running.ask(bob, Command::GiveRole(role("admin")), &ann()).await;
        assert!(matches!(give, Err(Failed::State(_))), "{give:?}");
        assert!(running.known(bob).await.unwrap().roles.is_empty());
        assert!(!running.disabled("bob"));
    });
}

/// What did not become of a group is on record like what did: a refusal, and what was announced and could not
/// be saved.
#[test]
fn a_group_that_did_not_change_is_told() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        let change = |known, name: Option<&str>, members| {
            let change = GroupChange { id: group(1), known, display_name: name.map(Into::into), members };
            (change, running.service.clone())
        };
        let (make, service) = change(Known::New, Some("All"), Delta::default());
        service.change_group(make, asker(&okta()), Vec::new()).await.unwrap();
        let hr = Actor::Source(ConnectionId::new("hr").unwrap());
        let before = house.events().len();
        let (rename, service) = change(Known::There, Some("Some"), Delta::default());
        let answer = service.change_group(rename, asker(&hr), Vec::new()).await;
        assert!(matches!(answer, Err(Failed::Refused { .. })), "{answer:?}");
        let answer = running.service.delete_group(group(1), asker(&hr), Vec::new()).await;
        assert!(matches!(answer, Err(Failed::Refused { .. })), "{answer:?}");
        let another = GroupChange {
            id: group(2),
            known: Known::New,
            display_name: Some("Of hr".into()),
            members: Delta { add: BTreeSet::from([Member::Person(alice)]), ..Delta::default() },
        };
        let answer = running.service.change_group(another, asker(&hr), Vec::new()).await;
        assert!(matches!(answer, Err(Failed::Member { .. })), "{answer:?}");
        assert_eq!(house.told(before), ["user.lifecycle.denied (denied)"; 3]);
        let last = house.events().pop().unwrap();
        assert_eq!(last["unmapped"]["doorward"]["lifecycle"]["command"], "change_group");
        assert!(last["message"].as_str().unwrap().contains(&group(2).to_string()), "{last}");

        let before = house.events().len();
        let file = house.dir.path().join("revocations.sqlite3");
        std::fs::rename(&file, house.dir.path().join("moved")).unwrap();
        let (rename, service) = change(Known::There, Some("Some"), Delta::default());
        let answer = service.change_group(rename, asker(&okta()), Vec::new()).await;
        assert!(matches!(answer, Err(Failed::State(_))), "{answer:?}");
        assert_eq!(
            house.told(before),
            ["directory.change.intended (intended)", "group.profile.update (not_saved)"]
        );
    });
}
