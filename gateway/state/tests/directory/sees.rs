//! What was written is in the next answer.

use std::sync::{Arc, Mutex};

use doorward_model::directory::{Extent, MachineState, MachineToken, PersonState, TokenHash};
use doorward_model::{AppId, LifecycleStage, UnixMillis};
use doorward_state::RecordKind;
use doorward_state::directory::{Directory, Moved, Unclear};

use super::fixture::*;

#[tokio::test]
async fn a_change_of_a_person_a_group_or_a_nesting_is_in_the_next_answer() {
    let house = House::new();
    assert_eq!(house.says("corp:alice"), "unknown");
    house.write(vec![of_person(&person(1, "alice"))]).await;
    assert_eq!(house.says("corp:alice"), "active:  / ");
    house.write(vec![of_group(10, "eng"), of_group(11, "all"), in_groups(1, &[10])]).await;
    assert_eq!(house.says("corp:alice"), "active:  / eng");
    house.write(vec![of_person(&with_role(person(1, "alice"), "boss"))]).await;
    assert_eq!(house.says("corp:alice"), "active: boss / eng");
    house.write(vec![nested(10, &[11])]).await;
    assert_eq!(house.says("corp:alice"), "active: boss / all eng");
    house.write(vec![of_group(11, "everybody")]).await;
    assert_eq!(house.says("corp:alice"), "active: boss / eng everybody");
    house.write(vec![nested(10, &[])]).await;
    assert_eq!(house.says("corp:alice"), "active: boss / eng");
    house.write(vec![in_groups(1, &[11])]).await;
    assert_eq!(house.says("corp:alice"), "active: boss / everybody");
    house.write(vec![gone(RecordKind::Group, "00000000-0000-0000-0000-00000000000b")]).await;
    assert_eq!(house.says("corp:alice"), "active: boss / ");
    house.write(vec![gone(RecordKind::Person, person_id(1))]).await;
    assert_eq!(house.says("corp:alice"), "unknown");
    assert_eq!(house.directory.counts(), [0, 1, 0]);
}

/// Whoever subscribes is told of whom there is another answer, and can ask for it at once.
#[tokio::test]
async fn of_whom_there_is_another_answer_is_told_when_it_can_be_asked_for() {
    let house = House::new();
    let told: Arc<Mutex<Vec<(Moved, String)>>> = Arc::default();
    let (hears, directory) = (Arc::clone(&told), house.directory.clone());
    house.directory.subscribe(Arc::new(move |moved| {
        let alice = directory.person_of(&user("corp:alice")).unwrap();
        let groups = alice.map(|known| known.groups().iter().cloned().collect::<Vec<_>>().join(" "));
        hears.lock().unwrap().push((moved.clone(), groups.unwrap_or_default()));
    }));
    let last = || {
        told.lock()
            .unwrap()
            .drain(..)
            .map(|(moved, says)| {
                let links = moved.links.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
                let devices = moved.devices.iter().map(|id| format!(" {id}")).collect::<String>();
                format!("{links} people {} groups {}:{devices} {says}", moved.people.len(), moved.groups)
            })
            .collect::<Vec<_>>()
    };
    house.write(vec![of_person(&person(1, "alice"))]).await;
    assert_eq!(last(), ["corp:alice people 1 groups false: "]);
    house.write(vec![of_group(10, "eng"), in_groups(1, &[10])]).await;
    assert_eq!(last(), ["corp:alice people 1 groups true: eng"]);
    let (mut renamed, link) = (person(1, "alice"), user("corp:alice.b"));
    renamed.links = [link].into();
    house.write(vec![of_person(&renamed)]).await;
    assert_eq!(last(), ["corp:alice corp:alice.b people 1 groups false: "], "of before, and of now");
    house.write(vec![of_machine(&machine(5, 1))]).await;
    assert_eq!(last(), ["robots:m5 people 0 groups false: "]);
    let of = |n| house.directory.machines_of(&[person_id(n)].into());
    assert_eq!((of(1), of(2)), (vec![user("robots:m5")], Vec::new()));
    for changed in
        [of_device("laptop", Some(1)), of_device("laptop", None), gone(RecordKind::Device, "laptop")]
    {
        house.write(vec![changed]).await;
        assert_eq!(last(), [" people 0 groups false: laptop "], "of whoever comes with it");
    }
    house.write(vec![gone(RecordKind::Person, person_id(1))]).await;
    assert_eq!(last(), ["corp:alice.b people 1 groups false: "]);
}

#[tokio::test]
async fn one_answer_stays_one_arc_until_something_changes() {
    let house = House::new();
    house.write(vec![of_person(&person(1, "alice")), of_group(10, "eng"), in_groups(1, &[10])]).await;
    let known = || house.directory.person_of(&user("corp:alice")).unwrap().unwrap();
    let first = known();
    assert!(std::sync::Arc::ptr_eq(&first, &known()));
    house.write(vec![of_group(77, "of others")]).await;
    assert!(std::sync::Arc::ptr_eq(&first, &known()), "nothing of hers changed");
    house.write(vec![of_group(10, "engineering")]).await;
    assert!(!std::sync::Arc::ptr_eq(&first, &known()));
    let started = Directory::new(house.revocations.records());
    let again = started.person_of(&user("corp:alice")).unwrap().unwrap();
    assert_eq!(again, known(), "whoever starts reads the same");
    assert_eq!(started.counts(), house.directory.counts());
}

#[tokio::test]
async fn a_sign_in_is_whose_it_was_last() {
    let house = House::new();
    let mut alice = person(1, "alice");
    alice.links.insert(user("lab:a"));
    house.write(vec![of_person(&alice)]).await;
    assert_eq!(house.says("lab:a"), "active:  / ");
    // It changes hands in one batch, the one who gains it first.
    let mut bob = with_role(person(2, "bob"), "boss");
    bob.links.insert(user("lab:a"));
    house.write(vec![of_person(&bob), of_person(&person(1, "alice"))]).await;
    assert_eq!(house.says("lab:a"), "active: boss / ");
    assert_eq!(house.says("corp:alice"), "active:  / ");
    bob.links.remove(&user("lab:a"));
    house.write(vec![of_person(&bob)]).await;
    assert_eq!(house.says("lab:a"), "unknown");
    // Whoever was deleted has no sign-in, also where the record stays.
    let mut deleted = person(1, "alice");
    deleted.state = PersonState::Deleted;
    house.write(vec![of_person(&deleted)]).await;
    assert_eq!(house.says("corp:alice"), "unknown");
    house.write(vec![of_person(&person(3, "alice"))]).await;
    assert_eq!(house.says("corp:alice"), "active:  / ");
}

#[tokio::test]
async fn groups_that_cannot_be_followed_refuse_whoever_is_in_them() {
    let house = House::new();
    let mut writes = vec![of_person(&person(1, "alice")), in_groups(1, &[0])];
    for n in 0..18 {
        writes.push(of_group(n, &format!("g{n}")));
        writes.push(nested(n, &[n + 1]));
    }
    writes.push(of_person(&person(2, "bob")));
    house.write(writes).await;
    assert!(house.says("corp:alice").contains("flatten them"), "{}", house.says("corp:alice"));
    assert_eq!(house.says("corp:bob"), "active:  / ", "who is not in them is not concerned");
    house.write(vec![nested(3, &[])]).await;
    assert_eq!(house.says("corp:alice"), "active:  / g0 g1 g2 g3");
}

#[tokio::test]
async fn what_cannot_be_read_refuses_whom_it_concerns() {
    let house = House::new();
    let (alice, bob) = (person(1, "alice"), person(2, "bob"));
    house.write(vec![of_person(&alice), of_person(&bob), of_group(10, "eng"), in_groups(1, &[10])]).await;
    let eng = "00000000-0000-0000-0000-00000000000a";
    let of_alice = format!("person:{}", person_id(1));
    let whose = |n| format!(r#"{{"v":1,"id":"{}""#, person_id(n));
    let bobs_body = String::from_utf8(of_person(&bob).body.unwrap().to_vec()).unwrap();
    for (kind, id, body, mend) in [
        (RecordKind::Person, person_id(1).to_string(), "{", of_person(&alice)),
        // Of somebody else: as if Alice had become Bob.
        (RecordKind::Person, person_id(1).to_string(), bobs_body.as_str(), of_person(&alice)),
        (RecordKind::Membership, of_alice, r#"{"v":2,"groups":[]}"#, in_groups(1, &[10])),
        (RecordKind::Group, eng.to_owned(), r#"{"v":1}"#, of_group(10, "eng")),
        (RecordKind::Membership, format!("group:{eng}"), "[]", nested(10, &[])),
    ] {
        house.write(vec![raw(kind, &id, body)]).await;
        assert!(house.says("corp:alice").starts_with("unclear"), "{kind} {id}: {}", house.says("corp:alice"));
        assert!(!house.says("corp:alice").contains(&whose(1)), "a body is not shown");
        assert_eq!(house.says("corp:bob"), "active:  / ");
        house.write(vec![mend]).await;
        assert_eq!(house.says("corp:alice"), "active:  / eng", "{kind} {id}");
    }
}

#[tokio::test]
async fn a_token_leads_to_its_machine_as_long_as_it_stands_there() {
    let house = House::new();
    let hash = |n| TokenHash::new([n; 32]);
    let whose = |n| {
        let known = house.directory.machine_with_token(&hash(n));
        known.map_or("unclear".to_owned(), |known| {
            known.map_or("nobody's".to_owned(), |known| {
                let label = known.token(&hash(n)).map_or("", |token| token.label.as_str());
                format!("{} {label}", known.machine().id.as_u128())
            })
        })
    };
    let all = || [1, 2, 3].map(whose);
    let with = |n, tokens: &[u8]| {
        let mut machine = machine(n, 1);
        machine.tokens = tokens.iter().map(|token| of_hash(hash(*token), &format!("t{token}"))).collect();
        machine
    };
    house.write(vec![of_machine(&with(5, &[1, 2])), of_machine(&with(6, &[3]))]).await;
    assert_eq!(all(), ["5 t1", "5 t2", "6 t3"]);
    // Taken back, and moved to another in one batch.
    house.write(vec![of_machine(&with(5, &[2])), of_machine(&with(6, &[3, 1]))]).await;
    assert_eq!(all(), ["6 t1", "5 t2", "6 t3"]);
    let id = with(6, &[]).id.to_string();
    house.write(vec![raw(RecordKind::Machine, &id, "{")]).await;
    assert_eq!(all(), ["unclear", "5 t2", "unclear"], "what cannot be read refuses");
    house.write(vec![of_machine(&with(6, &[3]))]).await;
    assert_eq!(all(), ["nobody's", "5 t2", "6 t3"]);
    house.write(vec![gone(RecordKind::Machine, &id), of_machine(&with(5, &[]))]).await;
    assert_eq!(all(), ["nobody's", "nobody's", "nobody's"]);
}

fn of_hash(hash: TokenHash, label: &str) -> MachineToken {
    MachineToken {
        hash,
        label: label.to_owned(),
        apps: Extent::All,
        from: Extent::All,
        scopes: Extent::All,
        created_at: UnixMillis(1),
        created_by: "ann".into(),
        expires_at: UnixMillis(2),
        last_used_at: None,
    }
}

#[tokio::test]
async fn a_machine_stands_and_falls_with_its_owner() {
    let house = House::new();
    let robot = user("robots:m5");
    let stands = || {
        let known = house.directory.machine_of(&robot).unwrap()?;
        Some((known.admitted(NOW), known.stage(NOW), known.owner_stage()))
    };
    let mut machine = machine(5, 1);
    house.write(vec![of_machine(&machine)]).await;
    let nobody = LifecycleStage::Unknown;
    assert_eq!(stands(), Some((false, LifecycleStage::Suspended, nobody)), "nobody answers for it");
    house.write(vec![of_person(&person(1, "alice"))]).await;
    let active = LifecycleStage::Active;
    assert_eq!(stands(), Some((true, active, active)));
    assert_eq!(house.says("robots:m5"), "unknown", "it is no person");
    assert!(house.directory.machine_of(&user("corp:alice")).unwrap().is_none(), "she is no machine");
    let mut left = person(1, "alice");
    left.state = PersonState::Deactivated;
    house.write(vec![of_person(&left)]).await;
    assert_eq!(stands(), Some((false, LifecycleStage::Suspended, LifecycleStage::Deactivated)));
    machine.owner = person_id(2);
    house.write(vec![of_person(&person(2, "bob")), of_machine(&machine)]).await;
    assert_eq!(stands(), Some((true, active, active)), "handed over");
    machine.expires_at = UnixMillis(NOW.0);
    house.write(vec![of_machine(&machine)]).await;
    assert!(!stands().unwrap().0, "out of date");
    machine.state = MachineState::Deleted;
    house.write(vec![of_machine(&machine)]).await;
    assert_eq!(stands(), None);
    house.write(vec![raw(RecordKind::Machine, machine.id, "{}")]).await;
    assert_eq!(stands(), None, "whose sign-in a damaged one was is not known any more");
}

#[tokio::test]
async fn a_machine_that_was_known_and_cannot_be_read_is_unclear() {
    let house = House::new();
    let machine = machine(5, 1);
    house.write(vec![of_person(&person(1, "alice")), of_machine(&machine)]).await;
    house.write(vec![raw(RecordKind::Machine, machine.id, "{}")]).await;
    let told = house.directory.machine_of(&machine.user).unwrap_err();
    assert!(matches!(told, Unclear::Record { kind: RecordKind::Machine, .. }));
}

#[tokio::test]
async fn apps_are_granted_to_people() {
    use doorward_model::directory::{Given, Origin};
    let house = House::new();
    let mut alice = person(1, "alice");
    let wiki = AppId::new("wiki").unwrap();
    alice.apps.give(Given { what: wiki.clone(), origin: Origin::Operator("ann".into()), since: NOW });
    house.write(vec![of_person(&alice)]).await;
    let known = house.directory.person_of(&user("corp:alice")).unwrap().unwrap();
    assert!(known.has_app(&wiki) && !known.has_app(&AppId::new("payroll").unwrap()));
    assert!(house.directory.unread_for() < std::time::Duration::from_secs(5));
}
