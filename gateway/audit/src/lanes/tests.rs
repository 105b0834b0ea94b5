use std::net::IpAddr;
use std::sync::Arc;

use doorward_model::{Refusal, RefusalCode};

use super::*;
use crate::event::GatewayStop;
use crate::trail::{Arrival, HttpVersion, Outcome, Ruling, Trail};

const AT: UnixMillis = UnixMillis(0);

fn trail() -> Trail {
    Trail::begin(Arrival {
        request_id: &"r".into(),
        received_at: AT,
        method: "GET",
        host: "h",
        path: "/",
        http_version: HttpVersion::Http11,
        user_agent: None,
        peer: IpAddr::from([127, 0, 0, 1]),
        trace: None,
    })
}

fn allow() -> Event {
    let mut trail = trail();
    trail.decided(Ruling {
        outcome: Outcome::Allowed,
        determining: vec![],
        errors: vec![],
        latency_micros: 1,
        revision: "r".into(),
        situation: None,
    });
    Event::RequestDecided(Box::new(trail))
}

fn deny() -> Event {
    let mut trail = trail();
    trail.refused(&Refusal::new(RefusalCode::NoPermit, ""));
    Event::RequestDecided(Box::new(trail))
}

fn other() -> Event {
    Event::GatewayStopped(Box::new(GatewayStop { cause: String::new(), cut_off: 0 }))
}

fn numbers(items: &[Item]) -> Vec<u64> {
    items.iter().map(|i| i.sequence.0).collect()
}

#[test]
fn denials_are_given_up_last() {
    let lanes = Lanes::new(4);
    for event in [allow(), deny(), allow(), allow()] {
        assert!(matches!(lanes.offer(event, AT), Offered::Queued(_)));
    }
    // Full: an allowance finds no room, a denial takes that of the newest allowance.
    assert!(matches!(lanes.offer(allow(), AT), Offered::Lost(Sequence(5), _)));
    for _ in 6..=8 {
        assert!(matches!(lanes.offer(deny(), AT), Offered::Queued(_)));
    }
    assert!(matches!(lanes.offer(deny(), AT), Offered::Lost(Sequence(9), _)));
    let taken = lanes.take_all();
    assert_eq!(numbers(&taken.items), [2, 6, 7, 8]);
    let counts = Counts { allowed: 4, denied: 1, ended: 0, other: 0 };
    assert_eq!(taken.lost, Tally { counts, range: Some((Sequence(1), Sequence(9))) });
    assert_eq!(lanes.take_all().lost, Tally::default(), "told once");
    assert_eq!(lanes.depth(), (0, counts), "and remembered");
}

/// From the first loss until the event that tells of it is durable.
#[test]
fn what_was_lost_is_owed_until_it_is_told() {
    let lanes = Lanes::new(2);
    assert_eq!(lanes.owed(), 0);
    for event in [allow(), allow()] {
        drop(lanes.offer(event, AT));
    }
    assert_eq!(lanes.owed(), 0);
    assert!(matches!(lanes.offer(deny(), AT), Offered::Queued(_)), "in place of an allowance");
    assert_eq!(lanes.owed(), 1, "which is lost");
    let taken = lanes.take_all();
    assert_eq!(lanes.owed(), 1, "taken is not told");
    for event in [deny(), deny(), deny()] {
        drop(lanes.offer(event, AT));
    }
    lanes.told(taken.lost_ever);
    assert_eq!(lanes.owed(), 1, "what was lost meanwhile");
    lanes.told(lanes.take_all().lost_ever);
    assert_eq!(lanes.owed(), 0);
}

#[test]
fn what_is_critical_comes_out_first_and_each_lane_in_order() {
    let lanes = Lanes::new(100);
    for i in 0..30 {
        match i % 3 {
            0 => drop(lanes.offer(allow(), AT)),
            1 => drop(lanes.offer(deny(), AT)),
            _ => drop(lanes.offer_critical(other(), AT, oneshot::channel().0)),
        }
    }
    let (critical, decisions): (Vec<u64>, Vec<u64>) = (1..=30).partition(|n| n % 3 == 0);
    assert_eq!(numbers(&lanes.take_all().items), [critical, decisions].concat());
}

#[test]
fn the_critical_lane_is_bounded_and_separate() {
    let lanes = Lanes::new(1);
    drop(lanes.offer(deny(), AT));
    for _ in 0..AUDIT_CRITICAL_EVENTS_MAX {
        assert!(matches!(lanes.offer_critical(other(), AT, oneshot::channel().0), Offered::Queued(_)));
    }
    assert!(matches!(lanes.offer_critical(other(), AT, oneshot::channel().0), Offered::Lost(..)));
    assert_eq!(lanes.take_critical().len(), AUDIT_CRITICAL_EVENTS_MAX);
    let taken = lanes.take_all();
    assert_eq!((numbers(&taken.items), taken.lost.counts.other), (vec![1], 1));
    assert_eq!(taken.gap, Some(Sequence(u64::try_from(AUDIT_CRITICAL_EVENTS_MAX).unwrap() + 3)));
}

#[test]
fn nothing_goes_in_after_the_close() {
    let lanes = Lanes::new(8);
    drop(lanes.offer(allow(), AT));
    lanes.close();
    assert!(matches!(lanes.offer(deny(), AT), Offered::Closed));
    assert!(matches!(lanes.offer_critical(other(), AT, oneshot::channel().0), Offered::Closed));
    assert_eq!((lanes.take_all().items.len(), lanes.given()), (1, 1));
}

/// Whatever several threads do while another one takes: every number is taken or counted.
#[test]
fn every_number_is_somewhere() {
    const EACH: u64 = 5000;
    let lanes = Arc::new(Lanes::new(64));
    let threads: Vec<_> = (0..4)
        .map(|t| {
            let lanes = Arc::clone(&lanes);
            std::thread::spawn(move || {
                for i in 0..EACH {
                    drop(lanes.offer(if (i + t) % 3 == 0 { deny() } else { allow() }, AT));
                }
            })
        })
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    let mut lost = 0;
    let mut take = |lanes: &Lanes| {
        let taken = lanes.take_all();
        assert!(taken.items.is_sorted_by_key(|i| i.sequence));
        assert!(taken.items.iter().all(|i| seen.insert(i.sequence)), "a number came twice");
        lost += taken.lost.counts.total();
        assert_eq!(taken.gap.is_some(), taken.lost.counts.total() > 0);
        assert!(taken.gap.is_none_or(|number| seen.insert(number)));
        u64::try_from(seen.len()).unwrap() + lost
    };
    while !threads.iter().all(std::thread::JoinHandle::is_finished) {
        take(&lanes);
    }
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(take(&lanes), lanes.given());
    assert!(lanes.given() >= 4 * EACH);
    assert_eq!(lanes.depth().1.total(), lost);
}
