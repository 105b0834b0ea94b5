use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Barrier;

use doorward_audit::Protocol;
use doorward_model::directory::PersonId;
use doorward_model::{AppId, Principal, RouteId, Target, UnixMillis, UserId, Visitor};

use super::*;
use crate::inflight::{Facts, Inflight, Registration, Slot};

fn bob() -> UserId {
    "corp:bob".parse().unwrap()
}

fn moved() -> Moved {
    Moved { people: [PersonId::from_u128(1)].into(), links: [bob()].into(), ..Moved::default() }
}

/// What runs, and by which fact each of it was last decided.
struct Runs {
    review: Review,
    inflight: Arc<Inflight>,
    fact: AtomicU64,
    decided: Mutex<HashMap<u64, u64>>,
}

impl Runs {
    /// As the pipeline does it.
    fn begins(&self, lingers: impl Fn()) -> Registration {
        let mark = self.review.mark();
        let fact = self.fact.load(Ordering::Acquire);
        lingers();
        let registration = self.register();
        lingers();
        let id = registration.slot().id();
        self.decided.lock().unwrap().insert(id, fact);
        if self.review.is_past(mark) {
            self.decide(id);
        }
        registration
    }

    fn register(&self) -> Registration {
        let app = AppId::new("build").unwrap();
        let facts = Facts {
            presented: Some(presented(&app)),
            principal: Arc::new(Principal::Visitor(Visitor)),
            route: RouteId::new(app, "all").unwrap(),
            path: "/".to_owned(),
            client: IpAddr::from([127, 0, 0, 1]),
            request_id: "r".into(),
        };
        let slot = Slot::new(self.inflight.next_id(), Protocol::WebSocket, UnixMillis(2_000));
        self.inflight.register(&slot, facts)
    }

    /// Only what was decided before is decided anew: the rest finds out.
    fn decide(&self, id: u64) {
        let mut decided = self.decided.lock().unwrap();
        if let Some(by) = decided.get_mut(&id) {
            *by = self.fact.load(Ordering::Acquire);
        }
    }

    fn changes(&self) {
        self.fact.fetch_add(1, Ordering::AcqRel);
        self.review.moved(&moved(), Duration::ZERO);
    }

    /// As the task does it.
    fn works(&self) {
        while let Some(work) = self.review.take() {
            let Work::Named(named) = work else { panic!("{work:?}") };
            for link in named.links {
                for slot in self.inflight.of(&Target::User(link)) {
                    self.decide(slot.id());
                }
            }
        }
    }
}

fn presented(app: &AppId) -> doorward_model::Presented {
    let issuer = doorward_model::IssuerId::new("corp").unwrap();
    let session = doorward_model::AuthSession {
        issuer,
        session: None,
        token: None,
        issued_at: UnixMillis(1_000),
        expires_at: UnixMillis(i64::MAX),
    };
    doorward_model::Presented {
        users: vec![bob()],
        owner: None,
        session,
        device: None,
        named: None,
        app: app.clone(),
    }
}

/// In each round some exchanges begin while something changes once, and is worked on once: whatever it does
/// not find must find out by itself.
#[test]
fn whatever_began_during_a_change_is_found_or_finds_out() {
    const BEGIN: usize = 3;
    const ROUNDS: usize = 2000;
    let runs = Runs {
        review: Review::default(),
        inflight: Arc::new(Inflight::new(Arc::new(Duration::default))),
        fact: AtomicU64::new(0),
        decided: Mutex::default(),
    };
    let (starts, ends) = (Barrier::new(BEGIN + 1), Barrier::new(BEGIN + 1));
    let late = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..BEGIN {
            let (runs, starts, ends, late) = (&runs, &starts, &ends, &late);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    starts.wait();
                    // All at other places in each round.
                    let spins = (round * (thread + 3)) % 97;
                    let linger = || (0..spins).for_each(|_| std::hint::spin_loop());
                    let registration = runs.begins(linger);
                    ends.wait();
                    let by = runs.decided.lock().unwrap().remove(&registration.slot().id());
                    let last = runs.fact.load(Ordering::Acquire);
                    late.fetch_add(u64::from(by != Some(last)), Ordering::AcqRel);
                    drop(registration);
                }
            });
        }
        for round in 0..ROUNDS {
            starts.wait();
            (0..(round % 53)).for_each(|_| std::hint::spin_loop());
            runs.changes();
            runs.works();
            ends.wait();
        }
    });
    assert_eq!(late.into_inner(), 0, "decided by what was before the change, and nobody noticed");
}

#[test]
fn whoever_is_withdrawn_first_is_not_revoked_too() {
    let withdrawn =
        |code| Withdrawn { because: Because::Policies, code, ruling: None, changed_at: Duration::ZERO };
    let slot = Slot::new(1, Protocol::WebSocket, UnixMillis(0));
    assert_eq!(slot.last_word(), None);
    slot.withdraw(withdrawn(RefusalCode::NoPermit));
    slot.withdraw(withdrawn(RefusalCode::Disabled));
    assert!(slot.is_ended() && slot.cause().is_none());
    assert_eq!(slot.withdrawn().map(|w| w.code), Some(RefusalCode::NoPermit));
    assert_eq!(slot.last_word(), Some((RefusalCode::NoPermit, "Your access has changed")));
}
