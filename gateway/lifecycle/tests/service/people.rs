//! Finding and listing.

use std::collections::BTreeSet;

use doorward_lifecycle::machine::Command;
use doorward_lifecycle::service::{Failed, Holder, Whom};
use doorward_model::directory::{Source, StateKind};

use crate::fixture::{House, ann, asker, link, okta, okta_id, person, profile, role, run};

#[test]
fn people_are_found_by_what_they_are_called() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        let service = &running.service;
        let scim = Source::Scim(okta_id());
        let found = |service: &doorward_lifecycle::service::Lifecycle| {
            (
                service.find_user_name(&scim, "Alice@Corp.example"),
                service.find_sign_in(&link("alice")),
                service.find_email("ALICE@corp.example"),
            )
        };
        assert_eq!(found(service), (Some(alice), Some(Holder::Person(alice)), vec![alice]));
        assert_eq!(service.find_user_name(&Source::Local, "alice@corp.example"), None);

        // What they were called before finds nobody.
        let renamed = Command::ScimProfile(profile("alina").into());
        running.ask(alice, renamed, &okta()).await.unwrap();
        assert_eq!(found(service), (None, Some(Holder::Person(alice)), vec![]));
        assert_eq!(service.find_email("alina@corp.example"), [alice]);

        // Also after a restart, and not when they are deleted.
        running.close().await;
        let running = house.open().await;
        assert_eq!(running.service.find_email("alina@corp.example"), [alice]);
        assert_eq!(running.service.people_count(), 1);
        running.ask(alice, Command::ScimDelete, &okta()).await.unwrap();
        assert_eq!(found(&running.service), (None, None, vec![]));
        assert_eq!(running.service.people_count(), 0);
        running.close().await;
    });
}

/// Whoever joins while somebody turns pages comes on the last one; nobody comes twice, nobody is left out.
#[test]
fn pages_stay_in_order_while_people_join_and_go() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        for n in 1..=7 {
            running.hire(n, &format!("p{n}")).await;
        }
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = running.service.people(after, 3);
            let Some(last) = page.last().copied() else { break };
            if seen.is_empty() {
                running.hire(8, "p8").await;
                running.ask(person(2), Command::ScimDelete, &okta()).await.unwrap();
            }
            after = Some(last);
            seen.extend(page);
        }
        assert_eq!(seen, (1..=8).map(person).collect::<Vec<_>>());
        running.close().await;
    });
}

/// A sign-in that somebody had who is gone is good again for whoever has it now, and nothing of before is.
#[test]
fn an_address_can_be_used_anew_under_another_id() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        running.ask(alice, Command::GiveRole(role("admin")), &ann()).await.unwrap();
        house.pass(1000);
        running.ask(alice, Command::ScimDelete, &okta()).await.unwrap();
        assert!(running.disabled("alice"));
        let again = running.ask(alice, Command::ScimActivate, &okta()).await;
        let Err(Failed::Denied(denied)) = again else { panic!("{again:?}") };
        assert_eq!(denied.state, Some(StateKind::Deleted));

        house.pass(1000);
        let other = running.hire(2, "alice").await;
        let other = running.known(other).await.unwrap();
        assert!(other.admitted() && other.roles.is_empty());
        assert!(!running.disabled("alice"));
        running.close().await;
    });
}

/// What the caller keeps of a person is written with them, or neither is.
#[test]
fn papers_travel_with_the_person() {
    use doorward_state::{Expected, RecordKind, Write};
    run(async {
        let house = House::new();
        let running = house.open().await;
        let paper = |expected, text: &str| Write {
            kind: RecordKind::Document,
            id: "person:1".into(),
            expected,
            body: Some(text.as_bytes().into()),
            keys: Vec::new(),
        };
        let create = Command::ScimCreate {
            id: person(1),
            profile: profile("alice").into(),
            active: true,
            links: BTreeSet::new(),
        };
        let papers = vec![paper(Expected::Absent, "{\"n\":1}")];
        let done = running.service.ask_all(Whom::New, vec![create], asker(&okta()), papers).await.unwrap();
        assert!(done.changed);

        // Somebody else wrote the paper: the caller must look again, and the person is as before.
        let commands = vec![Command::ScimProfile(profile("alina").into()), Command::ScimDeactivate];
        let papers = vec![paper(Expected::Absent, "{\"n\":2}")];
        let whom = Whom::Person(person(1));
        let answer = running.service.ask_all(whom.clone(), commands.clone(), asker(&okta()), papers).await;
        assert!(matches!(answer, Err(Failed::Changed { kind: RecordKind::Document, .. })), "{answer:?}");
        assert!(running.known(person(1)).await.unwrap().admitted());

        // Nothing to change but the paper.
        let version = running.revocations.record(RecordKind::Document, "person:1").await.unwrap().unwrap();
        let papers = vec![paper(Expected::Version(version.version), "{\"n\":3}")];
        let same = vec![Command::ScimActivate];
        running.service.ask_all(whom.clone(), same, asker(&okta()), papers).await.unwrap();

        // Both at once, and only of the version that the caller knows.
        let (_, version) = running.service.person(person(1)).await.unwrap().unwrap();
        let at = |version| doorward_lifecycle::service::Asker { if_version: Some(version), ..asker(&okta()) };
        let old = at(doorward_state::Version(version.0 - 1));
        let answer = running.service.ask_all(whom.clone(), commands.clone(), old, Vec::new()).await;
        assert!(matches!(answer, Err(Failed::Changed { kind: RecordKind::Person, .. })), "{answer:?}");
        let done = running.service.ask_all(whom, commands, at(version), Vec::new()).await.unwrap();
        assert_eq!(done.edges, ["T10", "T17"]);
        assert_eq!(done.person.profile.user_name, "alina@corp.example");
        let (_, now) = running.service.person(person(1)).await.unwrap().unwrap();
        assert_eq!(done.version, now);
        running.close().await;
    });
}
