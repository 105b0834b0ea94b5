//! Offboarding cases: what verifies one, what closes it, and what is owed in between.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use doorward_lifecycle::offboarding::{
    AppStanding, BadCase, CASE_ITEMS_MAX, Case, CaseEvent, CaseState, Count, Denied, Evidence, ItemKind,
    Opening, Prover, Seen, SeenNode, Step,
};
use doorward_lifecycle::receipt::facts::{Answer, DebtKind};
use doorward_model::DeviceId;
use proptest::prelude::*;
use uuid::Uuid;

use crate::fixture::{after, app, instance, receipt_id, user};

const PATIENCE_MILLIS: i64 = 5_000;

fn opening() -> Opening {
    Opening {
        id: Uuid::from_u128(0x019b_0a3f_0000_7000_8000_0000_0000_0001),
        person: Uuid::from_u128(0x019a_f3c2_0000_7000_8000_0000_0000_00a1),
        receipt: Some(receipt_id()),
        by: "okta".to_owned(),
        cut_at: after(31),
        owner: "security".to_owned(),
        due_at: after(72 * 3_600_000),
        patience: Duration::from_millis(PATIENCE_MILLIS.unsigned_abs()),
        machines: vec![user("corp:build-bot")],
        devices: vec![DeviceId::new("dev-77").unwrap()],
        managed_apps: vec![app("payroll")],
        manual_apps: vec![(app("payslips"), "hr-apps".to_owned())],
    }
}

fn opened() -> Case {
    Case::open(opening(), after(40)).unwrap().case
}

/// Nothing of the person is left, as far as the gateway sees.
fn clear(at: i64) -> Seen {
    let node =
        |name: &str, n| SeenNode { node: name.to_owned(), instance: instance(n), answer: Answer::Applied };
    Seen {
        at: after(at),
        nodes: Ok(vec![node("gw-1", 1), node("gw-2", 2)]),
        sessions: Count::Known(0),
        streams: Count::Known(0),
        allowed: Count::Known(0),
        log_whole_since: after(0),
        refresh_tokens: Count::Known(0),
        api_tokens: Count::Known(0),
        machines_running: Some(BTreeSet::new()),
        devices_bound: Some(BTreeSet::new()),
        apps: BTreeMap::from([(app("payroll"), AppStanding::Removed)]),
    }
}

fn look(case: &Case, seen: &Seen) -> Step {
    case.verify(seen, seen.at).unwrap()
}

type Change = fn(&mut Seen);

fn unknown() -> Count {
    Count::Unknown("the store is away".to_owned())
}

fn answers(seen: &mut Seen, answer: Answer) {
    let last = seen.nodes.as_mut().ok().and_then(|nodes| nodes.last_mut());
    last.into_iter().for_each(|node| node.answer = answer);
}

/// Every way in which a look can fail to show what verification rests on.
const NOT_CLEAR: [(&str, Change); 12] = [
    ("nodes_acknowledged", |s| s.nodes = Err("Redis is away".to_owned())),
    ("nodes_acknowledged", |s| s.nodes = Ok(vec![])),
    ("nodes_acknowledged", |s| answers(s, Answer::Behind)),
    ("nodes_acknowledged", |s| answers(s, Answer::Silent)),
    ("no_sessions", |s| s.sessions = Count::Known(1)),
    ("no_sessions", |s| s.sessions = unknown()),
    ("no_streams", |s| s.streams = Count::Known(2)),
    ("no_streams", |s| s.streams = unknown()),
    ("nothing_allowed", |s| s.allowed = Count::Known(1)),
    ("nothing_allowed", |s| s.allowed = unknown()),
    ("nothing_allowed", |s| s.log_whole_since = after(32)),
    ("nothing_allowed", |s| {
        s.allowed = Count::Known(1);
        s.log_whole_since = after(32);
    }),
];

#[test]
fn a_case_has_an_item_of_everything_that_the_person_had() {
    let step = Case::open(opening(), after(40)).unwrap();
    assert_eq!((step.events, step.owed.len(), step.settled.len()), (vec![CaseEvent::Open], 0, 0));
    let names: Vec<_> = step.case.items().iter().map(|item| item.kind.name()).collect();
    assert_eq!(
        names,
        [
            "nodes_acknowledged",
            "no_sessions",
            "no_streams",
            "nothing_allowed",
            "refresh_tokens_revoked",
            "no_api_tokens",
            "machine_handled corp:build-bot",
            "device_unbound dev-77",
            "app_deprovisioned payroll",
            "manual_app payslips",
        ]
    );
    assert_eq!(step.case.unfinished(), names);
}

#[test]
fn one_look_that_shows_everything_verifies() {
    let step = look(&opened(), &clear(100));
    assert_eq!(step.case.state(), CaseState::Verified);
    assert_eq!(step.case.verified_at(), Some(after(100)));
    assert_eq!(step.events, [CaseEvent::Item, CaseEvent::Verify]);
    assert_eq!(step.case.unfinished(), ["manual_app payslips"]);
}

#[test]
fn nothing_less_verifies() {
    for (i, (name, change)) in NOT_CLEAR.iter().enumerate() {
        let mut seen = clear(100);
        change(&mut seen);
        let case = look(&opened(), &seen).case;
        assert_eq!(case.state(), CaseState::Open, "{i}");
        assert_eq!(case.unfinished(), [*name, "manual_app payslips"], "{i}");
    }
}

#[test]
fn halves_of_two_looks_do_not_verify() {
    let (mut first, mut second) = (clear(100), clear(101));
    first.sessions = unknown();
    second.streams = unknown();
    let case = look(&look(&opened(), &first).case, &second).case;
    assert_eq!(case.state(), CaseState::Open);
    assert_eq!(case.unfinished(), ["no_streams", "manual_app payslips"]);
}

#[test]
fn what_is_seen_again_opens_the_case_again() {
    let verified = look(&opened(), &clear(100)).case;
    for (i, (name, change)) in NOT_CLEAR.iter().enumerate() {
        let mut seen = clear(200);
        change(&mut seen);
        let step = look(&verified, &seen);
        // Nobody looked, or a node is away: that contradicts nothing.
        let contradicted = matches!(i, 4 | 6 | 8 | 11);
        let state = if contradicted { CaseState::Open } else { CaseState::Verified };
        assert_eq!(step.case.state(), state, "{i} {name}");
        assert_eq!(step.events.contains(&CaseEvent::Reopen), contradicted, "{i} {name}");
        assert_eq!(step.case.verified_at().is_none(), contradicted, "{i} {name}");
    }
}

#[test]
fn what_others_must_do_is_owed_at_once_and_the_rest_after_a_while() {
    let mut seen = clear(100);
    seen.sessions = Count::Known(2);
    let step = look(&opened(), &seen);
    let about: Vec<_> = step.owed.iter().map(|owed| (owed.kind, owed.owner.as_str())).collect();
    assert_eq!(about, [(DebtKind::ManualDeprovisioning, "hr-apps")]);
    let owed = &step.owed[0];
    assert_eq!((owed.opened_at, owed.due_at), (after(100), after(72 * 3_600_000)));
    assert_eq!(
        owed.about,
        "manual_app payslips of the offboarding case 019b0a3f-0000-7000-8000-000000000001"
    );
    assert_eq!(owed.cause, "the owner of the app has not said so");
    // It is not owed twice.
    let late = 40 + PATIENCE_MILLIS;
    seen.at = after(late - 1);
    let step = look(&step.case, &seen);
    assert!(step.owed.is_empty(), "{:?}", step.owed);
    seen.at = after(late);
    let step = look(&step.case, &seen);
    let about: Vec<_> = step.owed.iter().map(|owed| (owed.kind, owed.cause.as_str())).collect();
    assert_eq!(about, [(DebtKind::UnprovenEnd, "there are 2 sign-ins")]);
    let session_debt = step.owed[0].id;
    let step = look(&step.case, &clear(late + 1));
    assert_eq!(step.settled, [(session_debt, "it has its evidence".to_owned())]);
    // What comes back is owed anew, under another id.
    seen.at = after(late + 2);
    let step = look(&step.case, &seen);
    assert_eq!(step.owed.len(), 1);
    assert_ne!(step.owed[0].id, session_debt);
}

#[test]
fn it_closes_on_evidence_only() {
    let open = opened();
    assert_eq!(open.close("lead", after(90)).unwrap_err(), Denied::NotVerified);
    let verified = look(&open, &clear(100));
    let error = verified.case.close("lead", after(110)).unwrap_err();
    assert_eq!(error.to_string(), "1 item is without evidence: manual_app payslips");
    let debt = verified.owed[0].id;
    let said =
        verified.case.say("manual_app payslips", "hr-apps", "account removed, ticket 7", after(120)).unwrap();
    assert_eq!(said.settled, [(debt, "it has its evidence".to_owned())]);
    let closed = said.case.close("lead", after(130)).unwrap();
    assert_eq!((closed.case.state(), &closed.events[..]), (CaseState::Closed, &[CaseEvent::Close][..]));
    let end = closed.case.end().unwrap();
    assert_eq!((end.at, end.by.as_str(), end.left_open.len()), (after(130), "lead", 0));
    // It is over.
    let over = Denied::Over(CaseState::Closed);
    assert_eq!(closed.case.verify(&clear(140), after(140)).unwrap_err(), over);
    assert_eq!(closed.case.say("manual_app payslips", "x", "y", after(140)).unwrap_err(), over);
    assert_eq!(closed.case.close("x", after(140)).unwrap_err(), over);
    assert_eq!(closed.case.returned("x", after(140)).unwrap_err(), over);
}

#[test]
fn nobody_can_say_what_the_gateway_sees() {
    let case = opened();
    for item in case.items() {
        let name = item.kind.name();
        let said = case.say(&name, "lead", "trust me", after(50));
        match item.kind.prover() {
            Prover::Core | Prover::Seen => assert_eq!(said.unwrap_err(), Denied::NotByWord(name)),
            Prover::SeenOrSaid | Prover::Said => {
                let case = said.unwrap().case;
                let said = case.items().iter().find(|item| item.kind.name() == name).unwrap();
                assert!(matches!(said.evidence, Some(Evidence::Said { .. })), "{name}");
            }
        }
    }
    let error = case.say("manual_app crm", "lead", "gone", after(50)).unwrap_err();
    assert_eq!(error, Denied::NoItem("manual_app crm".to_owned()));
    for (by, note, field) in [("", "gone", "by"), ("lead", " ", "note"), ("lead", "a\nb", "note")] {
        let error = case.say("manual_app payslips", by, note, after(50)).unwrap_err();
        assert_eq!(error, Denied::BadText(field));
    }
}

#[test]
fn somebodys_word_stands_until_it_is_seen_to_be_wrong() {
    let case = opened().say("app_deprovisioned payroll", "hr", "gone", after(50)).unwrap().case;
    let mut seen = clear(100);
    seen.apps.clear();
    let case = look(&case, &seen).case;
    assert_eq!(case.unfinished(), ["manual_app payslips"]);
    seen.apps.insert(app("payroll"), AppStanding::Active);
    let case = look(&case, &seen).case;
    assert_eq!(case.unfinished(), ["app_deprovisioned payroll", "manual_app payslips"]);
}

#[test]
fn a_person_who_returns_ends_it_and_what_was_open_is_on_record() {
    let verified = look(&opened(), &clear(100));
    let debt = verified.owed[0].id;
    let step = verified.case.returned("okta", after(500)).unwrap();
    assert_eq!((step.case.state(), &step.events[..]), (CaseState::Returned, &[CaseEvent::Return][..]));
    assert_eq!(step.case.end().unwrap().left_open, ["manual_app payslips"]);
    assert_eq!(step.settled, [(debt, "the person is back".to_owned())]);
    let over = Denied::Over(CaseState::Returned);
    assert_eq!(step.case.verify(&clear(600), after(600)).unwrap_err(), over);
}

#[test]
fn a_look_from_before_proves_nothing() {
    let case = opened();
    let early = case.verify(&clear(30), after(200)).unwrap_err();
    assert_eq!(early, Denied::TooEarly { seen_at: after(30), cut_at: after(31) });
    let case = look(&case, &clear(100)).case;
    let stale = case.verify(&clear(99), after(200)).unwrap_err();
    assert_eq!(stale, Denied::Stale { seen_at: after(99), known_at: after(100) });
}

#[test]
fn a_case_that_cannot_be_is_not_opened() {
    let mut twice = opening();
    twice.devices.push(twice.devices[0].clone());
    let mut many = opening();
    many.managed_apps = (0..CASE_ITEMS_MAX).map(|i| app(&format!("app-{i}"))).collect();
    for wrong in [twice, many] {
        assert_eq!(Case::open(wrong, after(40)).unwrap_err(), Denied::BadItems);
    }
    let mut nobody = opening();
    nobody.owner.clear();
    assert_eq!(Case::open(nobody, after(40)).unwrap_err(), Denied::BadText("owner"));
}

/// What is opened can be seen to its end, however many items it has.
#[test]
fn a_case_of_any_size_can_be_written_to_its_end() {
    let mut large = opening();
    large.managed_apps = (0..CASE_ITEMS_MAX - 9).map(|i| app(&format!("a-rather-long-app-{i}"))).collect();
    large.manual_apps.clear();
    let apps = large.managed_apps.clone();
    let mut case = Case::open(large, after(40)).unwrap().case;
    assert_eq!(case.items().len(), CASE_ITEMS_MAX - 1);
    // A note on each, until there is room only for what the gateway sees.
    let note = "gone, see the ticket of the same name in the desk of the department".repeat(4);
    let mut refused = 0;
    for app in &apps {
        match case.say(&format!("app_deprovisioned {app}"), "owner", &note, after(50)) {
            Ok(step) => case = step.case,
            Err(Denied::TooLarge { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 0);
    let mut seen = clear(100);
    seen.apps = apps.into_iter().map(|app| (app, AppStanding::Removed)).collect();
    let case = look(&case, &seen).case.close("lead", after(110)).unwrap().case;
    assert_eq!(Case::read(&case.write().unwrap()), Ok(case));
    let mut wordy = opening();
    wordy.owner = "x".repeat(500);
    wordy.managed_apps = (0..100).map(|i| app(&format!("app-{i}"))).collect();
    assert!(matches!(Case::open(wordy, after(40)).unwrap_err(), Denied::TooLarge { .. }));
}

#[test]
fn a_case_that_promises_more_than_its_items_show_is_not_read() {
    let open = opened();
    let verified = look(&open, &clear(100)).case;
    let text = |case: &Case| String::from_utf8(case.write().unwrap()).unwrap();
    let changed = |case: &Case, from: &str, to: &str| {
        let text = text(case);
        assert!(text.contains(from), "{from} is not in {text}");
        text.replacen(from, to, 1)
    };
    for (text, why) in [
        (
            changed(&open, "\"state\":\"open\"", "\"state\":\"verified\""),
            "it is verified, and something is left",
        ),
        (
            changed(&open, "\"state\":\"open\"", "\"state\":\"closed\""),
            "it is verified, and something is left",
        ),
        (
            changed(&verified, "\"state\":\"verified\"", "\"state\":\"closed\""),
            "it is closed, and something is missing",
        ),
        (
            changed(&verified, "\"state\":\"verified\"", "\"state\":\"open\""),
            "it is open, and nothing is left",
        ),
        (changed(&verified, "\"state\":\"verified\"", "\"state\":\"returned\""), "its end does not say"),
        (changed(&open, "{\"is\":\"no_sessions\"}", "{\"is\":\"no_streams\"}"), "an item stands there twice"),
        (
            changed(&open, "doorward-case/1", "doorward-case/2"),
            "`doorward-case/2` is none of doorward-case/1",
        ),
        (changed(&open, "\"state\"", "\"status\""), "unknown field `status`"),
        ("[]".to_owned(), "it is not a case"),
    ] {
        let error = Case::read(text.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(why), "{error} is not {why}");
    }
    let large = vec![b' '; 64 * 1024 + 1];
    assert_eq!(Case::read(&large).unwrap_err(), BadCase::TooLarge { bytes: large.len() });
}

#[derive(Clone, Debug)]
enum Act {
    Look(Vec<usize>, bool),
    Say(usize),
    Close,
    Return,
}

fn act() -> impl Strategy<Value = Act> {
    let flaws = proptest::collection::vec(0..NOT_CLEAR.len(), 0..3);
    prop_oneof![
        8 => (flaws, any::<bool>()).prop_map(|(flaws, running)| Act::Look(flaws, running)),
        4 => (0..10usize).prop_map(Act::Say),
        2 => Just(Act::Close),
        1 => Just(Act::Return),
    ]
}

/// What a model of the rules remembers beside the case.
#[derive(Default)]
struct Books {
    open: BTreeSet<Uuid>,
    ever: BTreeSet<Uuid>,
}

impl Books {
    fn enter(&mut self, step: &Step) {
        for owed in &step.owed {
            assert!(self.ever.insert(owed.id) && self.open.insert(owed.id), "owed twice");
        }
        for (id, _) in &step.settled {
            assert!(self.open.remove(id), "settled, and was not owed");
        }
        assert_eq!(self.open.len(), step.case.items().iter().filter(|item| item.owed).count());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_happens_a_case_promises_what_was_seen(acts in proptest::collection::vec(act(), 0..40)) {
        let (mut case, mut books) = (opened(), Books::default());
        let mut clean = false;
        for (i, act) in acts.into_iter().enumerate() {
            let at = 100 + 400 * i64::try_from(i).unwrap();
            let before = case.clone();
            let done = match &act {
                Act::Look(flaws, running) => {
                    let mut seen = clear(at);
                    flaws.iter().for_each(|flaw| NOT_CLEAR[*flaw].1(&mut seen));
                    if *running {
                        seen.machines_running.as_mut().unwrap().insert(user("corp:build-bot"));
                    }
                    case.verify(&seen, after(at)).inspect(|_| clean = flaws.is_empty())
                }
                Act::Say(item) => case.say(&case.items()[*item].kind.name(), "owner", "done", after(at)),
                Act::Close => case.close("lead", after(at)),
                Act::Return => case.returned("okta", after(at)),
            };
            let Ok(step) = done else {
                let over = matches!(before.state(), CaseState::Closed | CaseState::Returned);
                prop_assert!(over || !matches!(act, Act::Look(..) | Act::Return));
                continue;
            };
            prop_assert!(!matches!(before.state(), CaseState::Closed | CaseState::Returned));
            books.enter(&step);
            case = step.case;
            let shown = |kind: &ItemKind| case.items().iter().any(|i| i.kind == *kind && i.evidence.is_some());
            match case.state() {
                CaseState::Open => prop_assert!(!clean),
                // It was verified by a look without a flaw, and no later one contradicts it.
                CaseState::Verified => prop_assert!(clean || before.state() == CaseState::Verified),
                CaseState::Closed => {
                    prop_assert_eq!(before.state(), CaseState::Verified);
                    prop_assert!(case.unfinished().is_empty() && books.open.is_empty());
                }
                CaseState::Returned => prop_assert!(books.open.is_empty()),
            }
            prop_assert_eq!(
                matches!(case.state(), CaseState::Verified | CaseState::Closed),
                case.state() != CaseState::Returned && ItemKind::CORE.iter().all(shown)
            );
            prop_assert_eq!(Case::read(&case.write().unwrap()), Ok(case.clone()));
        }
    }

    #[test]
    fn hostile_bytes_are_no_case(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Case::read(&bytes).is_err());
    }
}
