//! What nodes without a directory ask control nodes to end.

use doorward_model::{EntryKind, Target};
use doorward_state::SessionsError;
use doorward_state::sessions::ToEnd;

use crate::fixture::{Place, run, shared_redis, until};

fn target(kind: EntryKind, id: &str) -> Target {
    Target::parse(kind, id).unwrap()
}

fn end(target: Target) -> ToEnd {
    let (cause, request_id) = ("left".to_owned(), "r-1".to_owned());
    ToEnd { target, person: "corp:alice".parse().unwrap(), by: None, cause, request_id }
}

#[test]
fn what_is_asked_comes_until_it_is_acknowledged() {
    run(async {
        let place = Place::shared();
        let (gateway, control) = (place.open(), place.open());
        assert_eq!(control.asked_to_end(10).await, Ok(vec![]));
        let wanted = [
            target(EntryKind::User, "corp:alice"),
            target(EntryKind::Session, "corp:sid-7"),
            target(EntryKind::Token, "corp:dws-1"),
            target(EntryKind::Device, "laptop-7"),
            target(EntryKind::UserAtApp, "wiki@corp:a b"),
        ];
        for (i, target) in wanted.iter().enumerate() {
            let (cause, request_id) = ("signed out — überall".to_owned(), format!("r-{i}"));
            let by = (i == 1).then(|| "2001:db8::7".parse().unwrap());
            gateway.ask_to_end(&ToEnd { by, cause, request_id, ..end(target.clone()) }).await.unwrap();
        }
        let asked = control.asked_to_end(10).await.unwrap();
        assert_eq!(
            asked.iter().map(|one| one.end.target.clone()).collect::<Vec<_>>(),
            wanted,
            "the oldest first"
        );
        let second = &asked[1].end;
        assert_eq!((&*second.cause, &*second.request_id), ("signed out — überall", "r-1"));
        assert_eq!(
            (second.person.to_string(), second.by),
            ("corp:alice".to_owned(), Some("2001:db8::7".parse().unwrap()))
        );
        assert_eq!(asked[0].end.by, None);
        assert_eq!(control.asked_to_end(2).await.unwrap(), asked[..2], "nothing was acknowledged");
        control.acknowledge(&[asked[0].id, asked[2].id]).await.unwrap();
        control.acknowledge(&[asked[0].id]).await.unwrap();
        control.acknowledge(&[]).await.unwrap();
        let left = control.asked_to_end(10).await.unwrap();
        assert_eq!(left, [asked[1].clone(), asked[3].clone(), asked[4].clone()]);
    });
}

#[test]
fn one_control_node_does_it_and_another_one_when_that_is_gone() {
    run(async {
        let place = Place::shared();
        let (one, two) = (place.open(), place.open());
        assert_eq!(one.asked_to_end(10).await, Ok(vec![]), "it asks first");
        one.ask_to_end(&end(target(EntryKind::Token, "corp:dws-1"))).await.unwrap();
        assert_eq!(two.asked_to_end(10).await, Ok(vec![]));
        assert_eq!(one.asked_to_end(10).await.unwrap().len(), 1);
        // Instead of waiting ten seconds.
        shared_redis().command(&["PEXPIRE", &place.key("asker"), "1"]).unwrap();
        until("the other one does", || async { !two.asked_to_end(10).await.unwrap().is_empty() }).await;
        assert_eq!(one.asked_to_end(10).await, Ok(vec![]));
        let left = shared_redis().command(&["PTTL", &place.key("asker")]).unwrap().int();
        assert!((1..=10_000).contains(&left), "{left}");
    });
}

#[test]
fn what_makes_no_sense_is_dropped() {
    run(async {
        let place = Place::shared();
        let sessions = place.open();
        let long = "x".repeat(100_000);
        for fields in [
            ["user", "nobody", "corp:alice", "", "left", "r-1"],
            ["everybody", "corp:alice", "corp:alice", "", "left", "r-1"],
            ["user", "corp:alice", "alice", "", "left", "r-1"],
            ["user", "corp:alice", "corp:alice", "nowhere", "left", "r-1"],
            ["user", "corp:alice", "corp:alice", "", "a\nb", "r-1"],
            ["user", "corp:alice", "corp:alice", "", "", "r-1"],
            ["user", "corp:alice", "corp:alice", "", &long, "r-1"],
            ["user", "corp:alice", "corp:alice", "", "left", &long],
            ["device", "ü", "corp:alice", "", "left", "r-1"],
        ] {
            let ask = place.key("ask");
            let [kind, id, person, by, cause, request] = fields;
            let fields = ["k", kind, "i", id, "p", person, "b", by, "c", cause, "r", request];
            let words = ["XADD", &ask, "*"].into_iter().chain(fields).collect::<Vec<_>>();
            shared_redis().command(&words).unwrap();
        }
        let turned = ["i", "corp:alice", "k", "user", "p", "corp:alice", "b", "", "c", "left", "r", "r-1"];
        let ask = place.key("ask");
        let words = ["XADD", &ask, "*"].into_iter().chain(turned).collect::<Vec<_>>();
        shared_redis().command(&words).unwrap();
        shared_redis().command(&["XADD", &place.key("ask"), "*", "k", "user"]).unwrap();
        sessions.ask_to_end(&end(target(EntryKind::User, "corp:alice"))).await.unwrap();
        let asked = sessions.asked_to_end(100).await.unwrap();
        assert_eq!(asked.len(), 1);
        assert_eq!(shared_redis().command(&["XLEN", &place.key("ask")]).unwrap().int(), 1);
    });
}

#[test]
fn too_many_are_refused_and_none_is_lost() {
    run(async {
        let place = Place::shared();
        let sessions = place.open();
        let fill = "for i = 1, 9999 do redis.call('XADD', KEYS[1], '*', 'k', 'user', 'i', 'corp:u' .. i, 'p', \
                    'corp:u' .. i, 'b', '', 'c', 'left', 'r', 'r-1') end";
        shared_redis().command(&["EVAL", fill, "1", &place.key("ask")]).unwrap();
        let alice = end(target(EntryKind::User, "corp:alice"));
        sessions.ask_to_end(&alice).await.unwrap();
        let refused = sessions.ask_to_end(&alice).await;
        assert!(matches!(refused, Err(SessionsError::Full { .. })), "{refused:?}");
        let first = sessions.asked_to_end(usize::MAX).await.unwrap();
        assert_eq!(first.len(), 1000, "a thousand at once");
        sessions.acknowledge(&first.iter().map(|one| one.id).collect::<Vec<_>>()).await.unwrap();
        sessions.ask_to_end(&alice).await.unwrap();
    });
}

#[test]
fn texts_are_bounded_and_a_file_has_nobody_to_ask() {
    run(async {
        let (redis, file) = (Place::shared().open(), Place::file().open());
        let alice = end(target(EntryKind::User, "corp:alice"));
        for (cause, request_id) in [("", "r"), ("a\nb", "r"), (&*"x".repeat(513), "r"), ("left", "\0")] {
            let (cause, request_id) = (cause.to_owned(), request_id.to_owned());
            let refused = redis.ask_to_end(&ToEnd { cause, request_id, ..alice.clone() }).await;
            assert!(matches!(refused, Err(SessionsError::Unfit { .. })), "{refused:?}");
        }
        assert_eq!(file.ask_to_end(&alice).await, Err(SessionsError::NoFleet));
        assert_eq!(file.asked_to_end(10).await, Ok(vec![]));
    });
}
