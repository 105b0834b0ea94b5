//! Every edge tells what it did, and a denial tells what was not done.

use std::collections::{BTreeMap, BTreeSet};

use doorward_audit::event::LifecycleCode;
use doorward_lifecycle::machine::{Actor, Command, EDGES, EventName};
use doorward_lifecycle::service::{Failed, GroupChange, Known, Whom};
use doorward_model::directory::HoldOrigin;
use doorward_model::{AppId, UnixMillis};
use serde_json::Value;

use crate::fixture::{
    House, NOON, Running, ann, asker, caep, group, link, okta, okta_id, person, profile, role, run,
};

/// The log has a code for each name of the table, in the same word, and no two names share one.
#[test]
fn the_log_knows_every_event_of_the_table() {
    let codes: BTreeMap<&str, LifecycleCode> =
        LifecycleCode::ALL.iter().map(|code| (code.as_str(), *code)).collect();
    for name in EventName::ALL {
        assert!(codes.contains_key(name.as_str()), "{}", name.as_str());
    }
}

const WEEKS: i64 = 14 * 24 * 3_600_000;

fn told_of<'a>(events: &'a [Value], code: &str) -> &'a Value {
    let found: Vec<_> = events.iter().filter(|e| e["metadata"]["event_code"] == code).collect();
    assert_eq!(found.len(), 1, "{code}: {found:?}");
    found[0]
}

/// A life as data: what is asked for, by whom, and what the log has of it, in order.
#[test]
fn each_edge_tells_its_events() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let create = GroupChange {
            id: group(1),
            known: Known::New,
            display_name: Some("Engineering".into()),
            members: doorward_lifecycle::service::Delta::default(),
        };
        running.service.change_group(create, asker(&ann()), Vec::new()).await.unwrap();
        let app = || AppId::new("wiki").unwrap();
        let mut other = profile("alice");
        other.department = Some("sales".to_owned());
        let mut edited = other.clone();
        edited.department = Some("legal".to_owned());
        let create = Command::ScimCreate {
            id: person(1),
            profile: profile("alice").into(),
            active: false,
            links: BTreeSet::from([link("alice")]),
        };
        let until = UnixMillis(NOON + 3_600_000);
        let intended = "directory.change.intended (intended)";
        let steps: Vec<Asked> = vec![
            // The sign-in of somebody who is not let in yet is disabled.
            (Whom::New, create, okta(), vec![intended, "revocation.user", "user.lifecycle.create"]),
            (p(), Command::ScimActivate, okta(), vec![intended, "user.lifecycle.activate"]),
            (p(), Command::ScimActivate, okta(), vec![]),
            (
                p(),
                Command::ScimProfile(other.clone().into()),
                okta(),
                vec![intended, "user.account.update_profile"],
            ),
            (p(), Command::Profile(edited.into()), ann(), vec![intended, "user.account.update_profile"]),
            (
                p(),
                Command::ScimProfile(profile("alice").into()),
                okta(),
                vec![intended, "user.account.update_profile", "user.account.override", "control_debt.opened"],
            ),
            (p(), Command::GiveRole(role("admin")), ann(), vec![intended, "user.account.privilege.grant"]),
            (p(), Command::GiveApp(app()), ann(), vec![intended, "application.user_membership.add"]),
            (p(), Command::AddGroup(group(1)), ann(), vec![intended, "group.user_membership.add"]),
            (p(), Command::TakeRole(role("admin")), ann(), vec!["user.account.privilege.revoke"]),
            (
                p(),
                Command::TakeApp(app()),
                ann(),
                vec!["revocation.user_at_app", "application.user_membership.remove"],
            ),
            (p(), Command::RemoveGroup(group(1)), ann(), vec!["group.user_membership.remove"]),
            (p(), Command::Lock { until }, ann(), vec!["revocation.user", "user.account.lock"]),
            (p(), Command::Unlock, ann(), vec![intended, "user.account.unlock_by_admin"]),
            (
                p(),
                Command::HoldSet,
                caep(),
                vec!["revocation.user", "user.security_hold.set", "control_debt.opened"],
            ),
            (
                p(),
                Command::HoldClear(HoldOrigin::Signal(stream())),
                ann(),
                vec![intended, "user.security_hold.clear", "control_debt.settled"],
            ),
            (
                p(),
                Command::Suspend,
                ann(),
                vec!["revocation.user", "user.lifecycle.suspend", "control_debt.opened"],
            ),
            (
                p(),
                Command::Unsuspend,
                ann(),
                vec![intended, "user.lifecycle.unsuspend", "control_debt.settled"],
            ),
            (p(), Command::EndSessions, ann(), vec!["revocation.user", "user.session.clear"]),
            (p(), Command::Link(link("alice-2")), ann(), vec![intended, "user.sign_in.link"]),
            (p(), Command::Unlink(link("alice-2")), ann(), vec!["revocation.user", "user.sign_in.unlink"]),
            (p(), Command::Start, ann(), vec!["user.lifecycle.denied (denied)"]),
            (
                p(),
                Command::ScimDeactivate,
                okta(),
                vec![
                    "revocation.user",
                    "user.lifecycle.deactivate",
                    "user.session.clear",
                    "offboarding.open",
                ],
            ),
            (p(), Command::ScimDeactivate, okta(), vec![]),
            (p(), Command::GiveRole(role("admin")), ann(), vec!["user.lifecycle.denied (denied)"]),
            (
                p(),
                Command::ScimActivate,
                okta(),
                vec![intended, "user.lifecycle.reactivate", "offboarding.return"],
            ),
            (
                p(),
                Command::ScimDelete,
                okta(),
                vec![
                    "revocation.user",
                    "user.lifecycle.deactivate",
                    "user.session.clear",
                    "user.lifecycle.delete.initiated",
                    "user.lifecycle.delete.completed",
                    "offboarding.open",
                ],
            ),
            (p(), Command::ScimActivate, okta(), vec!["user.lifecycle.denied (denied)"]),
        ];
        let mut taken = tells(&house, &running, steps).await;
        assert!(running.known(person(1)).await.is_none());
        taken.extend(tells(&house, &running, joining()).await);
        let deleted = vec![
            (of(5), Command::ScimDeactivate, okta(), gone(&["offboarding.open"])),
            (
                of(5),
                Command::ScimDelete,
                okta(),
                vec!["revocation.user", "user.lifecycle.delete.initiated", "user.lifecycle.delete.completed"],
            ),
        ];
        running.hire(5, "erin").await;
        taken.extend(tells(&house, &running, deleted).await);
        house.pass(WEEKS);
        let told = vec!["revocation.user", "user.lifecycle.delete.completed"];
        let out_of_time = vec![(of(7), Command::Expire, Actor::System, told)];
        taken.extend(tells(&house, &running, out_of_time).await);
        // T26 is of the case, and has its own test.
        let all: BTreeSet<&str> = EDGES.iter().map(|edge| edge.id).filter(|id| *id != "T26").collect();
        assert_eq!(taken, all);
        running.close().await;
    });
}

type Asked = (Whom, Command, Actor, Vec<&'static str>);

fn of(n: u128) -> Whom {
    Whom::Person(person(n))
}

fn gone(more: &[&'static str]) -> Vec<&'static str> {
    [&["revocation.user", "user.lifecycle.deactivate", "user.session.clear"], more].concat()
}

/// Everybody who comes without a connection.
fn joining() -> Vec<Asked> {
    const INTENDED: &str = "directory.change.intended (intended)";
    let verified = || BTreeSet::from(["bob@corp.example".to_owned()]);
    let sign_up = |n, name: &str| Command::SignUp {
        id: person(n),
        link: link(name),
        cut_off: false,
        profile: profile(name).into(),
    };
    let invite = |n, name: &str| Command::Invite {
        id: person(n),
        profile: profile(name).into(),
        roles: BTreeSet::new(),
    };
    let accept = Command::AcceptInvitation { link: link("bob"), cut_off: false, verified: verified() };
    let first = Command::FirstSignIn {
        id: person(4),
        link: link("dan"),
        cut_off: false,
        profile: profile("dan").into(),
    };
    let verify = |name: &str| Command::VerifyEmail { address: format!("{name}@corp.example") };
    let created = vec![INTENDED, "user.lifecycle.create", "user.lifecycle.activate"];
    vec![
        (
            Whom::New,
            sign_up(2, "carol"),
            Actor::Person,
            vec![INTENDED, "revocation.user", "user.lifecycle.create"],
        ),
        (
            of(2),
            verify("carol"),
            Actor::Person,
            vec![INTENDED, "user.account.verify", "user.lifecycle.activate"],
        ),
        (Whom::New, invite(3, "bob"), ann(), vec![INTENDED, "user.invitation.create"]),
        (of(3), accept, Actor::Person, vec![INTENDED, "user.lifecycle.activate"]),
        (Whom::New, first, Actor::Person, created),
        (of(4), Command::HandOver(Some(okta_id())), ann(), vec![INTENDED, "user.account.hand_over"]),
        (of(4), Command::TakeOver, okta(), vec![INTENDED, "user.account.take_over"]),
        (Whom::New, invite(6, "fay"), ann(), vec![INTENDED, "user.invitation.create"]),
        (of(6), Command::RevokeInvitation, ann(), vec!["user.invitation.revoke"]),
        (
            Whom::New,
            sign_up(7, "gus"),
            Actor::Person,
            vec![INTENDED, "revocation.user", "user.lifecycle.create"],
        ),
        (
            of(4),
            Command::Lock { until: UnixMillis(NOON + WEEKS) },
            ann(),
            vec!["revocation.user", "user.account.lock"],
        ),
        (of(7), Command::Expire, Actor::System, vec!["user.lifecycle.denied (denied)"]),
        (of(2), Command::Deactivate, ann(), gone(&["offboarding.open"])),
        (
            of(2),
            Command::Reactivate,
            ann(),
            vec![INTENDED, "user.lifecycle.reactivate", "offboarding.return"],
        ),
    ]
}

/// Asks, and compares what the log has of each. Which rows were taken.
async fn tells(house: &House, running: &Running, steps: Vec<Asked>) -> BTreeSet<&'static str> {
    let mut taken = BTreeSet::new();
    for (i, (whom, command, actor, expected)) in steps.into_iter().enumerate() {
        house.pass(10);
        let before = house.events().len();
        let answer = running.service.ask(whom, command.clone(), asker(&actor)).await;
        let denied = expected.iter().any(|told| told.contains("denied"));
        assert_eq!(answer.is_err(), denied, "{i} {command:?}: {answer:?}");
        if let Ok(done) = answer {
            assert!(done.on_record);
            taken.extend(done.edges);
        }
        assert_eq!(house.told(before), expected, "{i} {command:?}");
    }
    taken
}

fn p() -> Whom {
    Whom::Person(person(1))
}

fn stream() -> doorward_model::directory::StreamName {
    doorward_model::directory::StreamName::new("caep").unwrap()
}

#[test]
fn an_event_says_who_what_and_why() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        running.ask(alice, Command::GiveRole(role("admin")), &ann()).await.unwrap();
        let before = house.events().len();
        let done = running.ask(alice, Command::ScimDeactivate, &okta()).await.unwrap();
        let events = house.events().split_off(before);
        let event = told_of(&events, "user.lifecycle.deactivate");
        assert_eq!((&event["class_uid"], &event["activity_name"]), (&3001.into(), &"Disable".into()));
        assert_eq!(event["user"]["uid"], alice.to_string());
        assert_eq!(event["metadata"]["correlation_uid"], "r-1");
        let told = &event["unmapped"]["doorward"]["lifecycle"];
        assert_eq!(
            (&told["edge"], &told["by"], &told["source"]),
            (&"T17".into(), &"source".into(), &"scim:okta".into())
        );
        assert_eq!(told["cause"], "because");
        let receipt = &done.receipts[0];
        assert_eq!(told["revocations"], serde_json::json!([receipt.id.to_string()]));
        let changes = told["changes"].as_array().unwrap();
        let what: Vec<_> = changes.iter().map(|change| change["what"].as_str().unwrap()).collect();
        assert_eq!(what, ["state", "source_active", "offboarding", "roles"]);
        assert_eq!(changes[3]["before"], "admin (operator ann)");
        let revocation = told_of(&events, "revocation.user");
        assert_eq!(revocation["unmapped"]["doorward"]["revocation"]["id"], receipt.id.to_string());
        assert_eq!(revocation["unmapped"]["doorward"]["stage"], "deactivated");
        running.close().await;
    });
}

/// Two names that must be one: nothing is written, and that is on record.
#[test]
fn a_name_that_somebody_has_is_refused() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        for (name, links, field) in
            [("ALICE", BTreeSet::new(), "user_name"), ("bob", BTreeSet::from([link("alice")]), "sign_in")]
        {
            let command =
                Command::ScimCreate { id: person(2), profile: profile(name).into(), active: true, links };
            let before = house.events().len();
            let answer = running.service.ask(Whom::New, command, asker(&okta())).await;
            let Err(Failed::Taken { field: found, holder_id, .. }) = answer else { panic!("{answer:?}") };
            assert_eq!((found, holder_id), (field, alice.to_string()));
            assert_eq!(
                house.told(before),
                ["directory.change.intended (intended)", "user.lifecycle.denied (denied)"]
            );
            assert!(running.known(person(2)).await.is_none());
        }
        assert!(!running.disabled("alice"));
        running.close().await;
    });
}
