use std::sync::atomic::AtomicU64 as Millis;

use doorward_model::{AppId, AuthSession, IssuerId, SubjectId, TokenId, UserId, Visitor};

use super::*;

struct House {
    inflight: Arc<Inflight>,
    now: Arc<Millis>,
}

fn house() -> House {
    let now = Arc::new(Millis::new(0));
    let clock = Arc::clone(&now);
    let ticks: Ticks = Arc::new(move || Duration::from_millis(clock.load(Ordering::SeqCst)));
    House { inflight: Arc::new(Inflight::new(ticks)), now }
}

fn user(name: &str) -> UserId {
    UserId::new(IssuerId::new("corp").unwrap(), SubjectId::new(name).unwrap())
}

fn token(name: &str) -> Target {
    Target::Token(TokenId::new(IssuerId::new("corp").unwrap(), name).unwrap())
}

impl House {
    fn begins(&self, name: &str, token_id: &str) -> Registration {
        let Target::Token(token) = token(token_id) else { unreachable!() };
        let session = AuthSession {
            issuer: IssuerId::new("corp").unwrap(),
            session: None,
            token: Some(token),
            issued_at: UnixMillis(1_000),
            expires_at: UnixMillis(i64::MAX),
        };
        let app = AppId::new("build").unwrap();
        let facts = Facts {
            presented: Some(Presented {
                users: vec![user(name)],
                owner: None,
                session,
                device: None,
                named: None,
                app: app.clone(),
            }),
            principal: Arc::new(Principal::Visitor(Visitor)),
            route: RouteId::new(app, "all").unwrap(),
            path: "/".to_owned(),
            client: IpAddr::from([127, 0, 0, 1]),
            request_id: "r".into(),
        };
        let slot = Slot::new(self.inflight.next_id(), Protocol::WebSocket, UnixMillis(2_000));
        self.inflight.register(&slot, facts)
    }

    fn cut<'a>(&self, target: &'a Target) -> Cut<'a> {
        let entry = Entry { not_before: UnixMillis(9_000), ..Entry::default() };
        Cut { revocation: "rev-1".into(), target, entry, at: UnixMillis(9_000), ticks: self.ticks() }
    }

    fn revoke(&self, target: &Target) -> usize {
        self.inflight.terminate(&self.cut(target), Duration::ZERO).total()
    }

    /// What a revoker does whose list was made before others went on.
    fn end(&self, found: &[Arc<Slot>], target: &Target) -> usize {
        self.inflight.end(found, &self.cut(target), Duration::ZERO).total()
    }

    fn ticks(&self) -> Duration {
        Duration::from_millis(self.now.load(Ordering::SeqCst))
    }

    fn after(&self, millis: u64) {
        self.now.fetch_add(millis, Ordering::SeqCst);
    }

    fn outcome(&self, target: &Target) -> (usize, Option<u64>) {
        let outcome = self.inflight.outcome(target);
        (outcome.remaining, outcome.slowest.map(|d| u64::try_from(d.as_millis()).unwrap()))
    }

    fn is_empty(&self) -> bool {
        self.inflight.shards.iter().all(|s| s.lock().unwrap().is_empty())
    }
}

#[test]
fn what_is_told_to_end_is_waited_for_until_it_is_over() {
    let house = house();
    let bob = Target::User(user("bob"));
    let (first, second, other) =
        (house.begins("bob", "t1"), house.begins("bob", "t2"), house.begins("dana", "t3"));
    assert_eq!(house.revoke(&bob), 2);
    assert!(first.slot().is_ended() && second.slot().is_ended() && !other.slot().is_ended());
    let cause = first.slot().cause().unwrap();
    assert_eq!((cause.code, &*cause.revocation), (RefusalCode::Revoked, "rev-1"));
    assert_eq!(house.outcome(&bob), (2, None));
    house.after(3);
    drop(first);
    assert_eq!(house.outcome(&bob), (1, Some(3)));
    house.after(4);
    drop(second);
    assert_eq!(house.outcome(&bob), (0, Some(7)));
    drop(other);
    assert!(house.is_empty());
}

#[test]
fn what_was_over_before_it_was_told_is_in_no_receipt() {
    let house = house();
    let bob = Target::User(user("bob"));
    let (gone, stays) = (house.begins("bob", "t1"), house.begins("bob", "t2"));
    let found = [Arc::clone(gone.slot()), Arc::clone(stays.slot())];
    // Between the look and the word one of them ends by itself.
    drop(gone);
    assert_eq!(house.end(&found, &bob), 1);
    let [gone, _] = &found;
    assert!(gone.cause().is_none() && !gone.is_ended(), "it was over: nobody cut it off");
    assert_eq!(house.outcome(&bob).0, 1);
    drop(stays);
    assert_eq!(house.outcome(&bob).0, 0, "nothing is waited for any more");
}

#[test]
fn a_connection_at_rest_is_closed_and_not_waited_for() {
    let house = house();
    let bob = Target::User(user("bob"));
    let rests = house.begins("bob", "t1");
    rests.slot().rests();
    assert_eq!(house.revoke(&bob), 0);
    assert!(rests.slot().is_ended(), "the connection is closed");
    assert_eq!(house.outcome(&bob), (0, None));
    drop(rests);
    assert_eq!(house.outcome(&bob), (0, None));
    // One that was told while it ran, and came to its end by itself, leaves as it was counted.
    let running = house.begins("bob", "t2");
    assert_eq!(house.revoke(&bob), 1);
    running.slot().rests();
    drop(running);
    assert_eq!(house.outcome(&bob).0, 0);
}

#[test]
fn a_second_change_of_the_same_target_adds_to_the_first() {
    let house = house();
    let bob = Target::User(user("bob"));
    let first = house.begins("bob", "t1");
    assert_eq!(house.revoke(&bob), 1);
    house.after(5);
    let second = house.begins("bob", "t2");
    assert_eq!(house.revoke(&bob), 1);
    assert_eq!(house.outcome(&bob).0, 2, "the first still runs");
    drop(first);
    assert_eq!(house.outcome(&bob), (1, Some(5)));
    drop(second);
    assert_eq!(house.outcome(&bob), (0, Some(5)));
    assert_eq!(house.revoke(&bob), 0);
    assert_eq!(house.outcome(&bob), (0, None), "a change that ended nothing took no time");
}

#[test]
fn the_first_cause_counts_and_only_its_receipt_waits() {
    let house = house();
    let (bob, his_token) = (Target::User(user("bob")), token("t1"));
    let stream = house.begins("bob", "t1");
    assert_eq!(house.revoke(&his_token), 1);
    assert_eq!(house.revoke(&bob), 0, "it ends already");
    assert_eq!(stream.slot().cause().unwrap().target, his_token);
    assert_eq!((house.outcome(&his_token).0, house.outcome(&bob).0), (1, 0));
    drop(stream);
    assert_eq!(house.outcome(&his_token).0, 0);
}

#[test]
fn outcomes_that_nobody_waits_for_make_room_and_the_others_stay() {
    let house = house();
    let bob = Target::User(user("bob"));
    let stream = house.begins("bob", "t1");
    assert_eq!(house.revoke(&bob), 1);
    for i in 0..2 * OUTCOMES_MAX {
        house.revoke(&token(&format!("other-{i}")));
    }
    assert!(house.inflight.outcomes.lock().unwrap().len() <= OUTCOMES_MAX);
    assert_eq!(house.outcome(&bob).0, 1, "somebody waits for it");
    drop(stream);
    assert_eq!(house.outcome(&bob).0, 0);
}

#[test]
fn twenty_thousand_streams_of_one_account_come_and_go() {
    let house = house();
    let robot = Target::User(user("robot"));
    let mut all: Vec<_> = (0..20_000).map(|_| house.begins("robot", "one")).collect();
    assert_eq!(house.inflight.count().total(), 20_000);
    assert_eq!(house.revoke(&robot), 20_000);
    assert_eq!(house.outcome(&robot).0, 20_000);
    // From the middle outwards, so that neither end of a list is near.
    while !all.is_empty() {
        all.swap_remove(all.len() / 2);
    }
    assert_eq!(house.outcome(&robot).0, 0);
    assert!(house.is_empty());
}

#[test]
fn threads_that_end_and_revoke_at_once_leave_nothing_behind() {
    let house = house();
    let bob = Target::User(user("bob"));
    for _ in 0..200 {
        let streams: Vec<_> = (0..8).map(|i| house.begins("bob", &format!("t{i}"))).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| house.revoke(&bob));
            scope.spawn(|| house.revoke(&token("t3")));
            for stream in streams {
                scope.spawn(move || drop(stream));
            }
        });
        assert_eq!((house.outcome(&bob).0, house.outcome(&token("t3")).0), (0, 0));
        assert!(house.is_empty());
    }
}

#[test]
fn when_it_is_not_known_who_was_cut_off_what_could_be_ends_and_visitors_go_on() {
    let house = house();
    let (one, two) = (house.begins("bob", "t1"), house.begins("dana", "t2"));
    assert_eq!(house.revoke(&Target::User(user("bob"))), 1);
    let visitor = Slot::new(house.inflight.next_id(), Protocol::Http1, UnixMillis(2_000));
    let app = AppId::new("build").unwrap();
    let facts = Facts {
        presented: None,
        principal: Arc::new(Principal::Visitor(Visitor)),
        route: RouteId::new(app, "all").unwrap(),
        path: "/".to_owned(),
        client: IpAddr::from([127, 0, 0, 1]),
        request_id: "r".into(),
    };
    let visitor = house.inflight.register(&visitor, facts);
    assert_eq!(house.inflight.end_stale(|_| false), 0, "its app goes on for a while");
    let of_build = |presented: &Presented| presented.app.as_str() == "build";
    assert_eq!(house.inflight.end_stale(of_build), 1, "bob was told why already");
    assert_eq!((one.slot().house_end(), two.slot().house_end()), (None, Some(HouseEnd::Stale)));
    assert!(two.slot().is_ended() && !visitor.slot().is_ended());
    assert_eq!(house.inflight.end_stale(|_| true), 0, "told once");
}
