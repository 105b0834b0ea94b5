//! An offboarding case lives with its person.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use doorward_lifecycle::machine::Command;
use doorward_lifecycle::offboarding::{CaseEvent, CaseState, Count, Seen, SeenNode};
use doorward_lifecycle::receipt::facts::Answer;
use doorward_lifecycle::service::{CaseAct, Failed};
use doorward_model::UnixMillis;
use doorward_model::directory::{Offboarding, PersonId};

use crate::fixture::{House, Running, ann, asker, okta, run};

fn seen(at: UnixMillis) -> Seen {
    Seen {
        at,
        nodes: Ok(vec![SeenNode {
            node: "gw-1".to_owned(),
            instance: uuid::Uuid::from_u128(1),
            answer: Answer::Applied,
        }]),
        sessions: Count::Known(0),
        streams: Count::Known(0),
        allowed: Count::Known(0),
        log_whole_since: UnixMillis(0),
        refresh_tokens: Count::Known(0),
        api_tokens: Count::Known(0),
        machines_running: Some(BTreeSet::new()),
        devices_bound: Some(BTreeSet::new()),
        apps: BTreeMap::new(),
    }
}

async fn standing(running: &Running, id: PersonId) -> Offboarding {
    running.known(id).await.unwrap().offboarding
}

#[test]
fn a_case_is_verified_and_closed_with_its_person() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        assert!(running.service.case(alice).await.unwrap().is_none());
        let done = running.ask(alice, Command::Deactivate, &ann()).await.unwrap();
        let case = running.service.case(alice).await.unwrap().unwrap();
        assert_eq!((Some(case.id()), case.state()), (done.case, CaseState::Open));
        assert_eq!(standing(&running, alice).await, Offboarding::Open);

        // Nobody's word verifies it, and nobody is deleted before it is.
        let by_word = running.ask(alice, Command::CaseVerified, &ann()).await;
        assert!(matches!(by_word, Err(Failed::Refused { .. })), "{by_word:?}");
        assert!(running.ask(alice, Command::Delete, &ann()).await.is_err());
        let early = running.service.on_case(alice, CaseAct::Close, asker(&ann())).await;
        assert!(matches!(early, Err(Failed::Case(_))), "{early:?}");

        house.pass(10_000);
        let look = CaseAct::Look(Box::new(seen(house.now())));
        let before = house.events().len();
        let looked = running.service.on_case(alice, look, asker(&ann())).await.unwrap();
        assert_eq!(looked.events, [CaseEvent::Item, CaseEvent::Verify]);
        assert_eq!(house.told(before), ["offboarding.item", "offboarding.verify"]);
        assert_eq!(standing(&running, alice).await, Offboarding::Verified);
        let closed = running.service.on_case(alice, CaseAct::Close, asker(&ann())).await.unwrap();
        assert_eq!(closed.case.state(), CaseState::Closed);
        assert_eq!(standing(&running, alice).await, Offboarding::Closed);
        let over = running.service.on_case(alice, CaseAct::Close, asker(&ann())).await;
        assert!(matches!(over, Err(Failed::NotFound { .. })), "{over:?}");

        // A second leaving opens another.
        running.ask(alice, Command::Reactivate, &ann()).await.unwrap();
        let again = running.ask(alice, Command::Deactivate, &ann()).await.unwrap();
        assert!(again.case.is_some() && again.case != done.case);
        running.close().await;
    });
}

#[test]
fn a_returner_ends_the_case_and_what_it_owes() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        running.ask(alice, Command::ScimDeactivate, &okta()).await.unwrap();
        house.wall.fetch_add(
            i64::try_from(Duration::from_hours(1).as_millis()).unwrap(),
            std::sync::atomic::Ordering::SeqCst,
        );
        let mut look = seen(house.now());
        look.sessions = Count::Known(2);
        let look = CaseAct::Look(Box::new(look));
        running.service.on_case(alice, look, asker(&ann())).await.unwrap();
        let open = || async { running.revocations.debts(true, None, 100).await.unwrap().len() };
        assert_eq!(open().await, 1);
        let back = running.ask(alice, Command::ScimActivate, &okta()).await.unwrap();
        assert!(back.case.is_some());
        assert_eq!(open().await, 0);
        assert!(running.service.case(alice).await.unwrap().is_none());
        assert_eq!(standing(&running, alice).await, Offboarding::Closed);
        running.close().await;
    });
}
