//! Facts that contradict each other make no receipt, and the error says where and what to do.

use doorward_audit::Protocol;
use doorward_lifecycle::receipt::facts::{
    Action, Answer, AuditPlace, Checkpoint, Command, Facts, Fate, Fleet, NodeEnded, ProtocolEnded, Remainder,
};
use doorward_lifecycle::receipt::{ClockWord, RECEIPT_TEXT_BYTES_MAX, Receipt, Summary, fit};
use doorward_model::{EntryKind, Target, UnixMillis};

use crate::fixture::{after, alone, already, app, debt, facts, instance, node, receipt_id, revocation, user};

fn refused(facts: &Facts) -> String {
    match Receipt::of(receipt_id(), facts.clone()) {
        Err(error) => error.to_string(),
        Ok(receipt) => panic!("{receipt:?}"),
    }
}

type Change = fn(&mut Facts);

fn audit(facts: &mut Facts) -> &mut AuditPlace {
    facts.audit.as_mut().unwrap()
}

#[test]
fn what_agrees_makes_a_receipt() {
    for facts in [facts(), alone()] {
        let receipt = Receipt::of(receipt_id(), facts.clone()).unwrap();
        assert_eq!((receipt.id(), receipt.facts()), (receipt_id(), &facts));
    }
}

#[test]
fn what_contradicts_itself_makes_none() {
    let cases: &[(&str, Change)] = &[
        ("`facts.person.links[1]`: nothing was taken from `partner:a-113`", |f| {
            f.revocations.remove(1);
        }),
        ("`facts.person.links[2]`: stands there twice", |f| f.person.links.push(user("corp:alice"))),
        ("`facts.revocations[1]`: stands there twice", |f| f.revocations[1].id = f.revocations[0].id),
        ("`facts.revocations[3].target`: `corp:bob` is neither", |f| {
            let mut other = revocation(4, "corp:bob");
            other.published = f.revocations[0].published;
            f.revocations.push(other);
        }),
        ("`facts.revocations[0].mark`: was disabled", |f| f.revocations[0].mark.disabled = false),
        ("`facts.already[0].mark`: was not cut off for good", |f| {
            f.already.push(already("corp:alice", false))
        }),
        ("`facts.revocations[2].published`: lies behind", |f| {
            f.revocations[2].published.as_mut().unwrap().position.count += 1;
        }),
        ("`facts.revocations[0].published`: lies behind", |f| {
            f.revocations[0].published.as_mut().unwrap().position.epoch = instance(9);
        }),
        ("`facts.revocations[0].published`: did not go out", |f| f.revocations[0].published = None),
        ("`facts.revocations[0].published`: went out to a fleet", |f| {
            let published = f.revocations[0].published;
            *f = alone();
            f.revocations[0].published = published;
        }),
        ("`facts.nodes`: the node that made the receipt is missing", |f| {
            f.nodes.remove(0);
            f.ended.remove(0);
        }),
        ("`facts.nodes`: an instance has two names", |f| f.nodes[0].node = "gw-9".to_owned()),
        ("`facts.nodes[3]`: stands there twice", |f| f.nodes.push(node("gw-2", 2, Answer::Applied))),
        ("`facts.nodes`: names nodes that were not asked", |f| {
            *f = alone();
            f.nodes.push(node("gw-2", 2, Answer::Applied));
        }),
        ("`facts.nodes`: the node that made the receipt has not applied it", |f| {
            *f = alone();
            f.nodes[0].answer = Answer::Behind;
            f.debts.push(debt(instance(1)));
        }),
        ("`facts.nodes[2]`: is silent, and nobody owes an answer", |f| f.debts.clear()),
        ("`facts.nodes[2]`: is silent, and nobody owes an answer", |f| {
            f.debts[0].instance = Some(instance(2))
        }),
        ("`facts.fleet`: no node could be asked", |f| {
            *f = alone();
            f.fleet = Fleet::Unknown { why: "Redis is away".to_owned() };
        }),
        ("`facts.debts[1]`: stands there twice", |f| f.debts.push(debt(instance(2)))),
        ("`facts.ended[1].instance`: no node of this instance", |f| f.ended[1].instance = instance(7)),
        ("`facts.ended[1]`: stands there twice", |f| f.ended[1].instance = instance(1)),
        ("`facts.ended[0].exchanges[1]`: 2 of 1 are open", |f| f.ended[0].exchanges[1].still_open = 2),
        ("`facts.ended[0].exchanges[1]`: 0 of 0 are open", |f| f.ended[0].exchanges[1].ended = 0),
        ("`facts.ended[0].exchanges[1].last_byte_micros`", |f| f.ended[0].exchanges[1].still_open = 1),
        ("`facts.ended[0].exchanges[1].last_byte_micros`", |f| {
            f.ended[0].exchanges[1].last_byte_micros = None;
        }),
        ("`facts.ended[0].exchanges[1].protocol`: stands there twice", |f| {
            f.ended[0].exchanges[1].protocol = Protocol::Http2;
        }),
        ("`facts.machines[0]`: is stopped, and its revocation is not there", |f| {
            f.revocations.remove(2);
        }),
        ("`facts.machines[0]`: goes on, and is not named", |f| f.machines[0].fate = Fate::Running {}),
        ("`facts.machines[0]`: has another owner", |f| {
            f.machines[0].fate = Fate::HandedOver { to: instance(4) };
            f.remains.push(Remainder::Machine { id: user("corp:build-bot") });
        }),
        ("`facts.remains[2]`: stands there twice", |f| f.remains.push(f.remains[0].clone())),
        ("`facts.asked.request_id`: is empty", |f| f.asked.request_id.clear()),
        ("`facts.asked.cause`: has 1025 bytes", |f| f.asked.cause = "x".repeat(RECEIPT_TEXT_BYTES_MAX + 1)),
        ("`facts.audit.run`: is empty", |f| audit(f).run.clear()),
        ("`facts.person.name`: has 1025 bytes", |f| {
            f.person.name = Some("x".repeat(RECEIPT_TEXT_BYTES_MAX + 1));
        }),
        ("`facts.policy_revision`: is not the revision", |f| f.policy_revision = Some("0C".repeat(32))),
        ("`facts.audit.checkpoint.hash`: is not a hash", |f| {
            audit(f).checkpoint = Some(Checkpoint { size: 7, hash: "ab".repeat(31) });
        }),
        ("`facts.audit`: the sequence numbers are not in order", |f| audit(f).last_sequence = 1),
        ("`facts.audit`: the sequence numbers are not in order", |f| audit(f).first_sequence = 0),
    ];
    for (what, change) in cases {
        let mut facts = facts();
        change(&mut facts);
        let error = refused(&facts);
        assert!(error.contains(what), "{error}\nshould say {what}");
    }
}

#[test]
fn all_contradictions_are_told_at_once() {
    let mut facts = facts();
    facts.debts.clear();
    facts.revocations[0].mark.disabled = false;
    audit(&mut facts).first_sequence = 0;
    let error = refused(&facts);
    for part in ["facts.nodes[2]", "facts.revocations[0].mark", "facts.audit"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn who_was_cut_off_before_needs_no_second_revocation() {
    let mut facts = facts();
    facts.revocations.clear();
    facts.already = ["corp:alice", "partner:a-113", "corp:build-bot"].map(|id| already(id, true)).to_vec();
    let receipt = Receipt::of(receipt_id(), facts).unwrap();
    assert_eq!(receipt.summary().enforced_here_millis, None);
}

/// Somebody revokes a session by its id, and the directory knows nobody of that name.
#[test]
fn whom_the_directory_does_not_know_gets_a_receipt_too() {
    let mut facts = alone();
    facts.asked.command = Command::EndSessions;
    facts.machines.clear();
    facts.revocations.truncate(1);
    facts.revocations[0].target = Target::parse(EntryKind::Session, "corp:s-1").unwrap();
    facts.person.id = None;
    facts.person.links.clear();
    assert!(Receipt::of(receipt_id(), facts).is_ok());
}

#[test]
fn an_app_is_taken_from_every_sign_in() {
    let mut facts = alone();
    facts.asked.command = Command::RemoveApp;
    facts.machines.clear();
    facts.revocations.pop();
    for revocation in &mut facts.revocations {
        let Target::User(user) = revocation.target.clone() else { panic!("{revocation:?}") };
        revocation.target = Target::UserAtApp(user, app("payroll"));
        revocation.action = Action::Revoke;
        revocation.mark.disabled = false;
    }
    assert!(Receipt::of(receipt_id(), facts.clone()).is_ok());
    // That is not enough where everything was to be taken.
    facts.asked.command = Command::Suspend;
    assert!(refused(&facts).contains("nothing was taken from `corp:alice`"));
    facts.asked.command = Command::RemoveApp;
    facts.revocations.pop();
    assert!(refused(&facts).contains("nothing was taken from `partner:a-113`"));
}

/// A revocation never waits for the audit log, and so does no receipt.
#[test]
fn a_log_that_cannot_be_written_costs_no_receipt() {
    let mut facts = facts();
    facts.audit = None;
    assert!(Receipt::of(receipt_id(), facts).is_ok());
}

#[test]
fn a_long_name_is_cut_to_fit() {
    for text in ["", "Alice", &"ä".repeat(RECEIPT_TEXT_BYTES_MAX / 2), &"x".repeat(RECEIPT_TEXT_BYTES_MAX)] {
        assert_eq!(fit(text), text);
    }
    for long in ["x".repeat(RECEIPT_TEXT_BYTES_MAX + 1), "ä".repeat(RECEIPT_TEXT_BYTES_MAX)] {
        let mut facts = facts();
        facts.person.name = Some(fit(&long));
        assert!(facts.person.name.as_ref().unwrap().ends_with('…'));
        assert!(Receipt::of(receipt_id(), facts).is_ok());
    }
}

#[test]
fn a_summary_counts() {
    let summary = Summary::of(&facts());
    assert!(!summary.enforced_everywhere && !summary.nothing_runs);
    let nodes = summary.nodes;
    assert_eq!((nodes.all, nodes.applied, nodes.behind, nodes.silent, nodes.ended_unknown), (3, 2, 0, 1, 1));
    assert_eq!((summary.enforced_here_millis, summary.enforced_everywhere_millis), (Some(3), None));
    let ended: Vec<_> =
        summary.exchanges.iter().map(|of| (of.protocol, of.ended, of.last_byte_micros)).collect();
    assert_eq!(ended, [(Protocol::Http2, 2, Some(310)), (Protocol::WebSocket, 4, Some(251_000))]);
    assert_eq!(summary.clock, ClockWord::Steady);
}

#[test]
fn a_summary_says_what_is_whole() {
    let mut facts = facts();
    facts.nodes[2].answer = Answer::Applied;
    facts.debts.clear();
    let summary = Summary::of(&facts);
    assert!(summary.enforced_everywhere && !summary.nothing_runs);
    assert_eq!(summary.enforced_everywhere_millis, Some(31));
    facts.ended.push(NodeEnded { instance: instance(3), exchanges: vec![] });
    assert!(Summary::of(&facts).nothing_runs);
    facts.ended[2].exchanges.push(ProtocolEnded {
        protocol: Protocol::WebSocket,
        ended: 5,
        still_open: 1,
        last_byte_micros: None,
    });
    let summary = Summary::of(&facts);
    assert!(!summary.nothing_runs);
    assert_eq!(summary.exchanges[1].last_byte_micros, None);
    assert_eq!(summary.exchanges[1].ended, 9);
    let mut facts = alone();
    let alone = Summary::of(&facts);
    assert!(alone.enforced_everywhere && alone.nothing_runs);
    assert_eq!(alone.enforced_everywhere_millis, Some(3));
    facts.revocations.clear();
    assert!(!Summary::of(&facts).nothing_runs, "no revocation ended anything, so nothing was counted");
}

/// A clock that was set back makes no receipt impossible, and none lie.
#[test]
fn a_clock_that_was_set_back_is_told() {
    let changes: &[Change] = &[
        |f| f.revocations[1].applied_at = after(-1),
        |f| f.revocations[1].durable_at = after(2),
        |f| f.revocations[1].published.as_mut().unwrap().at = after(8),
        |f| f.made_at = after(30),
        |f| f.asked.at = after(32),
        |f| {
            if let Fleet::Asked { answered_at, .. } = &mut f.fleet {
                *answered_at = after(12);
            }
        },
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut facts = facts();
        change(&mut facts);
        let receipt = Receipt::of(receipt_id(), facts).unwrap();
        assert_eq!(receipt.summary().clock, ClockWord::SetBack, "{i}");
    }
    let mut facts = facts();
    facts.asked.at = UnixMillis(i64::MAX);
    assert_eq!(Summary::of(&facts).enforced_here_millis, Some(0));
}
