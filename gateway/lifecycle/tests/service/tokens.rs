//! Tokens of service accounts are made by operators, and go with whatever takes their service account away.

use std::collections::BTreeSet;
use std::time::Duration;

use doorward_lifecycle::machine::{Actor, Command};
use doorward_lifecycle::service::{Failed, MachineAct, MachineDone, NewMachine, NewToken};
use doorward_model::directory::{
    Extent, MACHINE_TOKEN_DAYS_MAX, MACHINE_TOKEN_USED_SECONDS, MACHINE_TOKENS_MAX, MachineId, MachineKind,
    MachineToken, PersonId, TokenHash,
};
use doorward_model::{AppId, Target, UnixMillis};

use crate::fixture::{House, Running, ann, asker, caep, link, okta, run};

const DAY: Duration = Duration::from_hours(24);

fn id(n: u128) -> MachineId {
    MachineId::from_u128(0x0199_0000_0000_7000_b000_0000_0000_0000 + n)
}

fn hash(n: u8) -> TokenHash {
    TokenHash::new([n; 32])
}

fn new(n: u128, kind: MachineKind, owner: PersonId, house: &House) -> MachineAct {
    MachineAct::Register(Box::new(NewMachine {
        id: id(n),
        user: link(&format!("robot-{n}")),
        kind,
        name: "robot".to_owned(),
        purpose: "to build".to_owned(),
        owner,
        scopes: ["read".to_owned(), "write".to_owned()].into(),
        expires_at: house.now().plus(900 * DAY),
    }))
}

fn token(n: u8, house: &House) -> NewToken {
    NewToken {
        hash: hash(n),
        label: "ci".to_owned(),
        apps: Extent::All,
        from: Extent::All,
        scopes: Extent::All,
        expires_at: house.now().plus(DAY),
    }
}

fn add(machine: u128, token: NewToken) -> MachineAct {
    MachineAct::AddToken(id(machine), Box::new(token))
}

async fn doing(running: &Running, act: MachineAct, actor: &Actor) -> Result<MachineDone, Failed> {
    running.service.on_machine(act, asker(actor)).await
}

async fn tokens(running: &Running, n: u128) -> Vec<MachineToken> {
    running.service.machine(id(n)).await.unwrap().map(|(machine, _)| machine.tokens).unwrap_or_default()
}

async fn begun(house: &House) -> (Running, PersonId) {
    let running = house.open().await;
    let alice = running.hire(1, "alice").await;
    doing(&running, new(1, MachineKind::ServiceAccount, alice, house), &ann()).await.unwrap();
    (running, alice)
}

#[test]
fn a_token_is_kept_as_a_hash_and_taken_back_with_what_runs() {
    run(async {
        let house = House::new();
        let (running, _) = begun(&house).await;
        let before = house.events().len();
        let done = doing(&running, add(1, token(7, &house)), &ann()).await.unwrap();
        assert!(done.changed && done.on_record && done.receipts.is_empty(), "nothing is cut off");
        assert_eq!(house.told(before), ["directory.change.intended (intended)", "machine.credential.create"]);
        let kept = tokens(&running, 1).await;
        assert_eq!((kept.len(), kept[0].hash, kept[0].created_by.as_ref()), (1, hash(7), "ann"));
        assert!(!doing(&running, add(1, token(7, &house)), &ann()).await.unwrap().changed, "it is there");
        let told = house.events().last().unwrap().to_string();
        assert!(told.contains(&hash(7).name()) && !told.contains(&hash(7).to_string()), "{told}");

        let before = house.events().len();
        let name = hash(7).name();
        let ended = doing(&running, MachineAct::RevokeToken(id(1), name.clone()), &ann()).await.unwrap();
        let target = Target::Token(kept[0].token_id(&link("robot-1")));
        assert_eq!(ended.receipts.iter().map(|r| &r.target).collect::<Vec<_>>(), [&target]);
        assert!(running.revocations.lookup(&target).is_some());
        assert!(!running.disabled("robot-1"), "the service account goes on");
        let told = house.told(before);
        assert!(told.contains(&"machine.credential.revoke".to_owned()), "{told:?}");
        assert!(!told.iter().any(|code| code.contains("intended")), "a no does not wait: {told:?}");
        assert!(tokens(&running, 1).await.is_empty());
        let again = doing(&running, MachineAct::RevokeToken(id(1), name), &ann()).await;
        assert!(matches!(again, Err(Failed::NotFound { what: "token", .. })), "{again:?}");
        running.close().await;
    });
}

#[test]
fn what_a_token_cannot_be_is_refused_by_its_field() {
    run(async {
        let house = House::new();
        let (running, alice) = begun(&house).await;
        doing(&running, new(2, MachineKind::Agent, alice, &house), &ann()).await.unwrap();
        let good = token(7, &house);
        let app = |n: usize| AppId::new(&format!("app-{n}")).unwrap();
        let many = Extent::Only((0..40).map(app).collect::<BTreeSet<_>>());
        let other = Extent::Only(BTreeSet::from(["admin".to_owned()]));
        let late = house.now().plus(DAY * (MACHINE_TOKEN_DAYS_MAX + 1));
        for (bad, field) in [
            (NewToken { label: " ".to_owned(), ..good.clone() }, "label"),
            (NewToken { label: "a\nb".to_owned(), ..good.clone() }, "label"),
            (NewToken { expires_at: house.now(), ..good.clone() }, "expires_at"),
            (NewToken { expires_at: late, ..good.clone() }, "expires_at"),
            (NewToken { apps: many, ..good.clone() }, "apps"),
            (NewToken { from: Extent::Only(BTreeSet::new()), ..good.clone() }, "from"),
            (NewToken { scopes: other, ..good.clone() }, "scopes"),
        ] {
            match doing(&running, add(1, bad), &ann()).await {
                Err(Failed::Bad { field: told, .. }) => assert_eq!(told, field),
                other => panic!("{field}: {other:?}"),
            }
        }
        let refused = |answer| assert!(matches!(answer, Err(Failed::Refused { .. })), "{answer:?}");
        refused(doing(&running, add(2, good.clone()), &ann()).await);
        refused(doing(&running, add(1, good.clone()), &caep()).await);
        refused(doing(&running, add(1, good.clone()), &okta()).await);
        for n in 0..MACHINE_TOKENS_MAX {
            doing(&running, add(1, token(u8::try_from(n).unwrap(), &house)), &ann()).await.unwrap();
        }
        let full = doing(&running, add(1, token(99, &house)), &ann()).await;
        assert!(matches!(full, Err(Failed::TooMany { .. })), "{full:?}");
        // A hash is one service account's alone.
        doing(&running, new(3, MachineKind::ServiceAccount, alice, &house), &ann()).await.unwrap();
        let taken = doing(&running, add(3, token(0, &house)), &ann()).await;
        assert!(matches!(taken, Err(Failed::Taken { .. })), "{taken:?}");
        running.close().await;
    });
}

#[test]
fn whatever_stops_the_service_account_takes_its_tokens_and_nothing_brings_them_back() {
    run(async {
        let house = House::new();
        let (running, alice) = begun(&house).await;
        let bob = running.hire(2, "bob").await;
        let with_one = async |n: u8| {
            doing(&running, add(1, token(n, &house)), &ann()).await.unwrap();
            assert_eq!(tokens(&running, 1).await.len(), 1, "{n}");
        };
        // Handed over first it goes on, and not with what whoever had it may have kept.
        with_one(1).await;
        let kept = Target::Token(tokens(&running, 1).await[0].token_id(&link("robot-1")));
        let same = doing(&running, MachineAct::HandOver(id(1), alice), &ann()).await.unwrap();
        assert!(!same.changed && tokens(&running, 1).await.len() == 1, "it is hers already");
        let before = house.events().len();
        let handed = doing(&running, MachineAct::HandOver(id(1), bob), &ann()).await.unwrap();
        assert_eq!(handed.receipts.iter().map(|receipt| &receipt.target).collect::<Vec<_>>(), [&kept]);
        assert!(handed.machine.tokens.is_empty() && running.revocations.lookup(&kept).is_some());
        assert!(!running.disabled("robot-1"), "what its issuer gave it is good");
        let told = house.events()[before..].iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(told.contains(&format!("{} ci", hash(1).name())), "{told}");
        running.ask(alice, Command::ScimDeactivate, &okta()).await.unwrap();
        assert_eq!(house.told(before)[0], "directory.change.intended (intended)", "somebody gains, too");
        with_one(5).await;
        doing(&running, MachineAct::HandOver(id(1), bob), &ann()).await.unwrap();
        assert_eq!(tokens(&running, 1).await.len(), 1);
        // Stopped and started again it shows nothing old.
        doing(&running, MachineAct::Stop(id(1)), &caep()).await.unwrap();
        assert!(tokens(&running, 1).await.is_empty());
        let answer = doing(&running, add(1, token(2, &house)), &ann()).await;
        assert!(matches!(answer, Err(Failed::Refused { .. })), "it does not work: {answer:?}");
        doing(&running, MachineAct::Start(id(1)), &ann()).await.unwrap();
        assert!(tokens(&running, 1).await.is_empty());
        with_one(3).await;
        // So it is when its owner leaves, and somebody takes it over.
        running.ask(bob, Command::ScimDeactivate, &okta()).await.unwrap();
        assert!(tokens(&running, 1).await.is_empty() && running.disabled("robot-1"));
        let carol = running.hire(3, "carol").await;
        doing(&running, MachineAct::HandOver(id(1), carol), &ann()).await.unwrap();
        assert!(tokens(&running, 1).await.is_empty());
        with_one(4).await;
        // Whoever is cut off has no new ones made.
        running.ask(carol, Command::HoldSet, &caep()).await.unwrap();
        let answer = doing(&running, add(1, token(6, &house)), &ann()).await;
        assert!(matches!(answer, Err(Failed::Refused { .. })), "{answer:?}");
        running.close().await;
    });
}

#[test]
fn that_a_token_was_used_is_written_down_once_an_hour() {
    run(async {
        let house = House::new();
        let (running, _) = begun(&house).await;
        doing(&running, add(1, token(7, &house)), &ann()).await.unwrap();
        let events = house.events().len();
        let hour = Duration::from_secs(MACHINE_TOKEN_USED_SECONDS);
        let (first, soon, later) = (house.now(), house.now().plus(hour / 2), house.now().plus(hour));
        for (used, token, written) in [(first, 9, None), (first, 7, Some(first)), (soon, 7, Some(first))]
            .into_iter()
            .chain([(later, 7, Some(later)), (first, 7, Some(later))])
        {
            running.service.token_used(id(1), hash(token), used).await;
            assert_eq!(tokens(&running, 1).await[0].last_used_at, written, "{used:?} {token}");
        }
        running.service.token_used(id(99), hash(7), UnixMillis(1)).await;
        assert_eq!(house.events().len(), events, "that is no change of a life");
        running.close().await;
    });
}
