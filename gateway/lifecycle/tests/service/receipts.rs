//! Whatever takes access away leads to one receipt that is genuine and true, also over a crash.

use std::time::Duration;

use doorward_audit::Protocol;
use doorward_lifecycle::machine::Command;
use doorward_lifecycle::offboarding::CaseState;
use doorward_lifecycle::receipt::facts::{Action, AskerKind, Command as Asked, Fate, Fleet, Gap, Remainder};
use doorward_lifecycle::service::{
    Delta, Found, GroupChange, KeptSessions, Known, MachineAct, NewMachine, NewToken, Whom,
};
use doorward_model::directory::{Extent, MachineId, MachineKind, Offboarding, PersonId, TokenHash};
use doorward_model::{AppId, Target, UnixMillis};
use doorward_state::Action as Done;
use doorward_state::directory::form::Member;
use tokio::time::{sleep, timeout};

use crate::fixture::{House, PATIENCE, Running, ann, asker, caep, group, link, okta, run, until};
use crate::witness::{Says, ended, make_receipts, opened};

async fn kept(running: &Running) -> usize {
    running.service.receipts(None, None, 1000).await.unwrap().0.len()
}

#[test]
fn a_leaving_has_a_receipt_that_says_what_was_done() {
    run(async {
        let (house, says) = (House::new(), Says::nothing());
        let running = house.open().await;
        make_receipts(&running.service, says.witness(house.dir.path())).await;
        let alice = running.hire(1, "alice").await;
        let machine = NewMachine {
            id: MachineId::from_u128(0x0199_0000_0000_7000_b000_0000_0000_0001),
            user: link("build-bot"),
            kind: MachineKind::ServiceAccount,
            name: "build bot".to_owned(),
            purpose: "builds".to_owned(),
            owner: alice,
            scopes: std::collections::BTreeSet::new(),
            expires_at: UnixMillis(i64::MAX),
        };
        running.service.on_machine(MachineAct::Register(Box::new(machine)), asker(&ann())).await.unwrap();
        for (n, life) in
            [(1, Duration::from_hours(24)), (2, Duration::from_hours(24)), (3, Duration::from_secs(1))]
        {
            let token = NewToken {
                hash: TokenHash::new([n; 32]),
                label: "ci".to_owned(),
                apps: Extent::All,
                from: Extent::All,
                scopes: Extent::All,
                expires_at: house.now().plus(life),
            };
            let of = MachineId::from_u128(0x0199_0000_0000_7000_b000_0000_0000_0001);
            let act = MachineAct::AddToken(of, Box::new(token));
            running.service.on_machine(act, asker(&ann())).await.unwrap();
        }
        house.pass(2000);
        running.ask(alice, Command::Link(link("a2")), &ann()).await.unwrap();
        assert_eq!(kept(&running).await, 0, "what gives has none");
        *says.ended.lock().unwrap() = Some(vec![ended(Protocol::WebSocket, 2, 0)]);
        *says.sessions.lock().unwrap() = Some(KeptSessions { sessions: 3, refresh_tokens: 2 });
        let done = running.ask(alice, Command::ScimDeactivate, &okta()).await.unwrap();
        let receipt = opened(&running.service, house.dir.path(), done.receipt.unwrap()).await;
        let (facts, summary) = (receipt.facts(), receipt.summary());
        assert!(summary.enforced_everywhere && summary.nothing_runs, "{summary:?}");
        assert_eq!(summary.exchanges, [ended(Protocol::WebSocket, 2, 0)]);
        assert_eq!((facts.asked.command, facts.asked.by.kind), (Asked::Deactivate, AskerKind::Source));
        assert_eq!((facts.asked.by.name.as_str(), facts.asked.request_id.as_str()), ("okta", "r-1"));
        assert_eq!(facts.person.links, [link("a2"), link("alice")]);
        let words = (facts.person.state_before.as_str(), facts.person.state_after.as_str());
        assert_eq!((words, facts.person.source_active), (("active", "deactivated"), false));
        let mut ids: Vec<_> = facts.revocations.iter().map(|of| of.id).collect();
        let mut acknowledged: Vec<_> = done.receipts.iter().map(|of| of.id).collect();
        ids.sort();
        acknowledged.sort();
        assert_eq!((ids.len(), &ids), (3, &acknowledged), "two sign-ins and a machine");
        assert!(facts.revocations.iter().all(|of| of.action == Action::Disable && of.published.is_none()));
        assert_eq!((facts.machines.len(), &facts.machines[0].fate), (1, &Fate::Stopped {}));
        assert_eq!(facts.credentials.api_tokens, 2, "one of three was over by then");
        assert_eq!((facts.credentials.sessions, facts.credentials.refresh_tokens), (3, 2));
        assert_eq!(facts.fleet, Fleet::Alone {});
        let manual = |of: &Remainder| matches!(of, Remainder::ManualApp { .. });
        let elsewhere = |of: &Remainder| matches!(of, Remainder::TokenElsewhere { .. });
        assert!(facts.remains.iter().any(manual) && facts.remains.iter().any(elsewhere), "{facts:?}");
        assert_eq!((facts.debts.len(), facts.not_known.as_slice()), (1, &[][..]), "an orphan is owed");
        // Where it says that the log has it, the log has it.
        let place = facts.audit.as_ref().unwrap();
        let numbers = place.first_sequence..=place.last_sequence;
        let events = house.events();
        let told: Vec<_> = events
            .iter()
            .filter(|event| numbers.contains(&event["metadata"]["sequence"].as_u64().unwrap()))
            .map(|event| event["metadata"]["event_code"].as_str().unwrap())
            .collect();
        assert!(told.contains(&"user.lifecycle.deactivate") && told.contains(&"revocation.user"), "{told:?}");
        assert!(place.run.starts_with("gw-1-2026"), "{}", place.run);
        // The case names it.
        let case = running.service.case(alice).await.unwrap().unwrap();
        assert_eq!((case.receipt(), Some(case.id())), (done.receipt, done.case));
        running.close().await;
    });
}

#[test]
fn sessions_that_nobody_could_count_are_not_none() {
    run(async {
        let (house, says) = (House::new(), Says::nothing());
        let running = house.open().await;
        make_receipts(&running.service, says.witness(house.dir.path())).await;
        let alice = running.hire(1, "alice").await;
        *says.sessions.lock().unwrap() = None;
        let done = running.ask(alice, Command::ScimDeactivate, &okta()).await.unwrap();
        let receipt = opened(&running.service, house.dir.path(), done.receipt.unwrap()).await;
        let facts = receipt.facts();
        assert_eq!((facts.credentials.sessions, facts.not_known.as_slice()), (0, &[Gap::Sessions][..]));
        running.close().await;
    });
}

#[test]
fn everything_that_takes_access_away_has_one_and_nothing_else_does() {
    run(async {
        let (house, says) = (House::new(), Says::nothing());
        let running = house.open().await;
        make_receipts(&running.service, says.witness(house.dir.path())).await;
        let alice = running.hire(1, "alice").await;
        let payroll = AppId::new("payroll").unwrap();
        let until = house.now().plus(Duration::from_hours(1));
        let team = GroupChange {
            id: group(1),
            known: Known::New,
            display_name: Some("Team".into()),
            members: Delta::default(),
        };
        running.service.change_group(team, asker(&ann()), Vec::new()).await.unwrap();
        let steps = [
            (Command::Link(link("a2")), None),
            (Command::GiveApp(payroll.clone()), None),
            (Command::TakeApp(payroll), Some(Asked::RemoveApp)),
            (Command::AddGroup(group(1)), None),
            (Command::RemoveGroup(group(1)), Some(Asked::RemoveGroup)),
            (Command::EndSessions, Some(Asked::EndSessions)),
            (Command::Unlink(link("a2")), Some(Asked::Unlink)),
            (Command::Lock { until }, Some(Asked::Lock)),
            (Command::Unlock, None),
            (Command::Suspend, Some(Asked::Suspend)),
            (Command::HoldSet, Some(Asked::Hold)),
            // Nothing more is cut off, and it is on record that it had been before.
            (Command::Deactivate, Some(Asked::Deactivate)),
            (Command::Deactivate, None),
        ];
        let mut made = 0;
        for (command, wanted) in steps {
            house.pass(10);
            let what = format!("{command:?}");
            let done = running.ask(alice, command, &ann()).await.unwrap();
            assert_eq!(done.receipt.is_some(), wanted.is_some(), "{what}");
            let Some(id) = done.receipt else { continue };
            let receipt = opened(&running.service, house.dir.path(), id).await;
            made += 1;
            assert_eq!(Some(receipt.facts().asked.command), wanted, "{what}");
            assert_eq!(receipt.facts().revocations.len(), done.receipts.len(), "{what}");
            if !receipt.facts().asked.command.cuts_everything() {
                continue;
            }
            let covered = receipt.facts().revocations.len() + receipt.facts().already.len();
            assert_eq!(covered, receipt.facts().person.links.len(), "{what}");
        }
        assert_eq!(kept(&running).await, made);
        let theirs = running.service.receipts(Some(alice), None, 1000).await.unwrap();
        assert_eq!((theirs.0.len(), theirs.1), (made, None));
        running.close().await;
    });
}

#[test]
fn who_is_taken_out_by_a_change_of_the_group_has_one_each_and_a_crowd_has_none() {
    run(async {
        let (house, says) = (House::new(), Says::nothing());
        let running = house.open().await;
        make_receipts(&running.service, says.witness(house.dir.path())).await;
        let mut people = std::collections::BTreeSet::new();
        for n in 1..=110_u128 {
            people.insert(Member::Person(running.hire(n, &format!("p{n}")).await));
        }
        let change = |known, members| GroupChange {
            id: group(1),
            known,
            display_name: (known == Known::New).then(|| "Team".into()),
            members,
        };
        let all = Delta { add: people.clone(), ..Delta::default() };
        let filled = running.service.change_group(change(Known::New, all), asker(&okta()), Vec::new()).await;
        assert!(filled.unwrap().receipts.is_empty(), "who is put in loses nothing");
        let two = Delta { remove: people.iter().take(2).copied().collect(), ..Delta::default() };
        let done = running.service.change_group(change(Known::There, two), asker(&okta()), Vec::new()).await;
        let ids = done.unwrap().receipts;
        assert_eq!(ids.len(), 2);
        for id in ids {
            let receipt = opened(&running.service, house.dir.path(), id).await;
            let asked = &receipt.facts().asked;
            assert_eq!(
                (asked.command, asked.of.as_deref()),
                (Asked::RemoveGroup, Some(&*group(1).to_string()))
            );
            assert!(receipt.facts().audit.is_some() && receipt.facts().revocations.is_empty());
        }
        let rest = Delta { cleared: true, ..Delta::default() };
        let done = running.service.change_group(change(Known::There, rest), asker(&okta()), Vec::new()).await;
        let done = done.unwrap();
        assert_eq!((done.removed.len(), done.receipts.len()), (108, 0));
        running.close().await;
    });
}

#[test]
fn what_a_signal_cuts_off_past_all_lives_has_a_receipt_too() {
    run(async {
        let (house, says) = (House::new(), Says::nothing());
        let running = house.open().await;
        make_receipts(&running.service, says.witness(house.dir.path())).await;
        let targets = vec![Target::User(link("nobody-known"))];
        let cut = running.service.cut_off(targets, Done::Disable, asker(&caep()), Vec::new()).await.unwrap();
        let receipt = opened(&running.service, house.dir.path(), cut.receipt.unwrap()).await;
        let facts = receipt.facts();
        assert_eq!((facts.asked.command, facts.person.id), (Asked::CutOff, None));
        assert_eq!(
            (facts.person.links.as_slice(), facts.revocations.len()),
            (&[link("nobody-known")][..], 1)
        );
        assert_eq!(facts.asked.by.kind, AskerKind::Signal);
        running.close().await;
    });
}

#[test]
fn a_receipt_waits_for_what_says_goodbye_and_not_for_ever() {
    run(async {
        let (house, says) = (House::new(), Says::nothing());
        let running = house.open().await;
        make_receipts(&running.service, says.witness(house.dir.path())).await;
        let (alice, bob) = (running.hire(1, "alice").await, running.hire(2, "bob").await);
        let open = ended(Protocol::EventStream, 3, 1);
        *says.ended.lock().unwrap() = Some(vec![open]);
        let left = running.ask(alice, Command::Deactivate, &ann()).await.unwrap().receipt.unwrap();
        sleep(Duration::from_millis(300)).await;
        let pending = running.service.receipt(left).await.unwrap();
        assert_eq!(pending, Some(Found::Pending), "one stream still says goodbye");
        assert_eq!(kept(&running).await, 0);
        house.pass(10_001);
        let receipt = opened(&running.service, house.dir.path(), left).await;
        assert!(!receipt.summary().nothing_runs && receipt.summary().enforced_everywhere);
        assert_eq!(receipt.summary().exchanges, [open]);
        // What was forgotten is not said to be nothing.
        *says.ended.lock().unwrap() = None;
        let left = running.ask(bob, Command::Deactivate, &ann()).await.unwrap().receipt.unwrap();
        sleep(Duration::from_millis(200)).await;
        assert_eq!(running.service.receipt(left).await.unwrap(), Some(Found::Pending));
        house.pass(10_001);
        let receipt = opened(&running.service, house.dir.path(), left).await;
        assert_eq!(receipt.summary().nodes.ended_unknown, 1);
        assert!(!receipt.summary().nothing_runs);
        running.close().await;
    });
}

#[test]
fn what_a_process_owed_is_made_by_the_next_one_and_says_what_it_cannot_know() {
    run(async {
        let (house, says) = (House::new(), Says::nothing());
        let running = house.open().await;
        // It will be over before its receipts are made.
        let owing = running.service.make_receipts(says.witness(house.dir.path())).await.unwrap();
        let alice = running.hire(1, "alice").await;
        let done = running.ask(alice, Command::Deactivate, &ann()).await.unwrap();
        let again = running.ask(alice, Command::HoldSet, &ann()).await.unwrap();
        drop(owing);
        running.close().await;

        house.pass(60_000);
        let running = house.open().await;
        make_receipts(&running.service, says.witness(house.dir.path())).await;
        let receipt = opened(&running.service, house.dir.path(), done.receipt.unwrap()).await;
        let facts = receipt.facts();
        assert_eq!(facts.not_known, [Gap::TakenUp, Gap::Sessions]);
        assert_eq!((facts.revocations.len(), facts.revocations[0].id), (1, done.receipts[0].id));
        assert_eq!(facts.revocations[0].mark.not_before, done.receipts[0].entry.not_before);
        assert!(facts.audit.is_none() && facts.asked.at.0 < facts.made_at.0 - 59_000);
        let hold = opened(&running.service, house.dir.path(), again.receipt.unwrap()).await;
        assert_eq!((hold.facts().revocations.len(), hold.facts().already.len()), (0, 1));
        assert_eq!(kept(&running).await, 2);
        // Nothing is owed any more: the next start makes none anew.
        running.close().await;
        let running = house.open().await;
        make_receipts(&running.service, says.witness(house.dir.path())).await;
        sleep(Duration::from_millis(300)).await;
        assert_eq!(kept(&running).await, 2);
        running.close().await;
    });
}

#[test]
fn lists_go_page_by_page_in_the_order_of_the_changes() {
    run(async {
        let (house, says) = (House::new(), Says::nothing());
        let running = house.open().await;
        make_receipts(&running.service, says.witness(house.dir.path())).await;
        let mut ids = Vec::new();
        for n in 1..=7_u128 {
            let person = running.hire(n, &format!("p{n}")).await;
            let done = running.ask(person, Command::Deactivate, &ann()).await.unwrap();
            ids.push(done.receipt.unwrap());
        }
        for id in &ids {
            opened(&running.service, house.dir.path(), *id).await;
        }
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let (rows, next) = running.service.receipts(None, after, 3).await.unwrap();
            assert!(rows.len() <= 3);
            found.extend(rows.iter().map(|row| row.id));
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, ids);
        let keys = running.service.receipt_keys().await.unwrap().unwrap();
        assert_eq!(keys["keys"].as_array().unwrap().len(), 1, "{keys}");
        running.close().await;
    });
}

/// Time passes until the case stands there: the older it is, the less often it is looked at.
async fn until_case(house: &House, running: &Running, alice: PersonId, state: CaseState) {
    let verified = async {
        while running.service.case(alice).await.unwrap().map(|case| case.state()) != Some(state) {
            house.pass(60_000);
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, verified).await.unwrap_or_else(|_| panic!("the case never becomes {state:?}"));
}

#[test]
fn the_gateway_looks_and_whoever_is_gone_can_be_deleted() {
    run(async {
        let (house, says) = (House::new(), Says::nothing());
        let running = house.open().await;
        make_receipts(&running.service, says.witness(house.dir.path())).await;
        let cases = running.service.clone();
        tokio::spawn(async move { cases.keep_cases(Duration::from_millis(20)).await });
        let alice = running.hire(1, "alice").await;
        *says.running.lock().unwrap() = 1;
        *says.allowed.lock().unwrap() = None;
        *says.sessions.lock().unwrap() = Some(KeptSessions { sessions: 1, refresh_tokens: 1 });
        let done = running.ask(alice, Command::Deactivate, &ann()).await.unwrap();
        opened(&running.service, house.dir.path(), done.receipt.unwrap()).await;
        assert!(running.ask(alice, Command::Delete, &ann()).await.is_err(), "nothing is proved yet");
        // Something of hers runs, and it is not known what was allowed.
        house.pass(20_000);
        let shown = async {
            let known = |item: &&doorward_lifecycle::offboarding::Item| item.evidence.is_some();
            loop {
                let case = running.service.case(alice).await.unwrap().unwrap();
                if case.items().iter().filter(known).count() >= 2 {
                    break case;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let case = timeout(PATIENCE, shown).await.unwrap();
        assert_eq!(case.state(), CaseState::Open);
        let open = case.unfinished();
        for item in ["no_streams", "nothing_allowed", "no_sessions", "refresh_tokens_revoked"] {
            assert!(open.contains(&item.to_owned()), "{item}: {open:?}");
        }
        assert!(says.watched.lock().unwrap().contains(&link("alice")));
        // Now it is over, and the log has counted for the process that did not.
        *says.running.lock().unwrap() = 0;
        *says.logged.lock().unwrap() = Some(0);
        *says.sessions.lock().unwrap() = Some(KeptSessions::default());
        house.pass(20_000);
        until_case(&house, &running, alice, CaseState::Verified).await;
        let person = running.known(alice).await.unwrap();
        assert_eq!(person.offboarding, Offboarding::Verified);
        running.ask(alice, Command::Delete, &ann()).await.unwrap();
        running.close().await;
    });
}

#[test]
fn what_another_process_has_is_not_known_where_none_can_be_asked() {
    run(async {
        let (house, says) = (House::new(), Says::nothing());
        let running = house.open().await;
        make_receipts(&running.service, says.witness(house.dir.path())).await;
        let cases = running.service.clone();
        tokio::spawn(async move { cases.keep_cases(Duration::from_millis(20)).await });
        let alice = running.hire(1, "alice").await;
        // An upgrade: the other process may let her in, or run what is hers.
        let other = house.open().await;
        assert!(!running.revocations.is_alone() && !other.revocations.is_alone());
        let left = running.ask(alice, Command::Deactivate, &ann()).await.unwrap().receipt.unwrap();
        house.pass(10_001);
        let receipt = opened(&running.service, house.dir.path(), left).await;
        assert!(matches!(receipt.facts().fleet, Fleet::Unknown { .. }), "{:?}", receipt.facts().fleet);
        assert!(!receipt.summary().enforced_everywhere);
        assert_eq!(receipt.facts().debts.len(), 1, "somebody has to look");
        let looked = async {
            loop {
                // A look that found no receipt yet is followed by another after a while.
                house.pass(20_000);
                let case = running.service.case(alice).await.unwrap().unwrap();
                if case.items().iter().any(|item| item.evidence.is_some()) {
                    break case;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let case = timeout(PATIENCE, looked).await.unwrap();
        let open = case.unfinished();
        for item in ["nodes_acknowledged", "no_streams", "nothing_allowed"] {
            assert!(open.contains(&item.to_owned()), "{item}: {open:?}");
        }
        assert!(running.ask(alice, Command::Delete, &ann()).await.is_err());
        // It has ended.
        other.close().await;
        assert!(running.revocations.is_alone());
        until_case(&house, &running, alice, CaseState::Verified).await;
        running.close().await;
    });
}

#[test]
fn whoever_was_let_in_is_not_gone() {
    run(async {
        let (house, says) = (House::new(), Says::nothing());
        let running = house.open().await;
        make_receipts(&running.service, says.witness(house.dir.path())).await;
        let cases = running.service.clone();
        tokio::spawn(async move { cases.keep_cases(Duration::from_millis(20)).await });
        let alice = running.hire(1, "alice").await;
        running.ask(alice, Command::ScimDeactivate, &okta()).await.unwrap();
        house.pass(20_000);
        until_case(&house, &running, alice, CaseState::Verified).await;
        *says.allowed.lock().unwrap() = Some((1, UnixMillis(0)));
        until_case(&house, &running, alice, CaseState::Open).await;
        running.service.ask(Whom::Person(alice), Command::ScimActivate, asker(&okta())).await.unwrap();
        until("no case is open", async || running.service.open_cases_count() == 0).await;
        running.close().await;
    });
}
