//! When a stream counts as silent.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const RHYTHM: Rhythm = Rhythm { interval: HOUR };
const ASKED: Watch = Watch { asked: true, silent_max: None, fetched: false };

fn hours(n: u32) -> UnixMillis {
    UnixMillis(1_000_000).plus(HOUR * n)
}

fn word(health: &Health, hour: u32, watch: Watch) -> &'static str {
    health.condition(hours(hour), watch).as_str()
}

#[test]
fn a_stream_that_answers_is_healthy_and_is_asked_once_an_interval() {
    let mut health = Health::new(hours(0));
    assert_eq!((word(&health, 0, ASKED), health.due(hours(0), RHYTHM)), ("new", Due::Ask));
    health.ask("a", hours(0));
    assert_eq!(health.due(hours(0).plus(HOUR / 2), RHYTHM), Due::Wait(HOUR / 2));
    health.verified(Some("a"), hours(0).plus(HOUR / 2)).unwrap();
    let healthy = Condition::Healthy { heard_at: hours(0).plus(HOUR / 2) };
    assert_eq!(health.condition(hours(1), ASKED), healthy);
    assert_eq!(health.due(hours(1), RHYTHM), Due::Wait(HOUR / 2));
    assert_eq!(health.due(hours(2), RHYTHM), Due::Ask);
}

#[test]
fn two_intervals_without_an_answer_are_an_alarm_and_an_answer_ends_it() {
    let mut health = Health::new(hours(0));
    for (hour, word, turn) in [
        (0, "new", Turn::None),
        (1, "late", Turn::None),
        (2, "unhealthy", Turn::Alarm),
        (3, "unhealthy", Turn::None),
    ] {
        assert_eq!(health.due(hours(hour), RHYTHM), Due::Ask);
        let condition = health.condition(hours(hour), ASKED);
        assert_eq!((condition.as_str(), condition.is_alarming()), (word, hour >= 2), "{hour}");
        assert_eq!(health.turn(&condition, hours(hour)), turn, "{hour}");
        health.ask(&format!("s{hour}"), hours(hour));
    }
    // What it says meanwhile is no answer.
    health.heard(hours(3));
    assert_eq!(word(&health, 3, ASKED), "unhealthy");
    health.verified(Some("s3"), hours(3)).unwrap();
    let condition = health.condition(hours(3), ASKED);
    assert_eq!(
        (condition.as_str(), health.turn(&condition, hours(3)), health.turn(&condition, hours(3))),
        ("healthy", Turn::AllClear, Turn::None)
    );
}

#[test]
fn s15_another_state_is_no_answer() {
    let mut health = Health::new(hours(0));
    let refused = health.verified(Some("x"), hours(0)).unwrap_err();
    assert_eq!(refused.code, Rejection::InvalidState);
    health.ask("right", hours(0));
    for wrong in ["", "Right", "rightx", "right "] {
        assert_eq!(health.verified(Some(wrong), hours(0)).unwrap_err().code, Rejection::InvalidState);
    }
    assert!(!health.verified(Some("wrong"), hours(0)).unwrap_err().to_string().contains("right"));
    health.verified(None, hours(0)).unwrap();
    assert_eq!(word(&health, 0, ASKED), "new", "without a state it answers nothing");
    health.verified(Some("right"), hours(0)).unwrap();
    assert!(health.verified(Some("right"), hours(0)).is_err(), "a second time");
    assert_eq!(word(&health, 0, ASKED), "healthy");
}

#[test]
fn a_stream_that_its_transmitter_stops_is_an_alarm_until_it_goes_on() {
    let mut health = Health::new(hours(0));
    for (at, status, says) in [(1, StreamStatus::Paused, "paused"), (2, StreamStatus::Disabled, "disabled")] {
        health.updated(status, Some("license".to_owned()), Some(hours(at)));
        let condition = health.condition(hours(at), ASKED);
        assert_eq!((condition.as_str(), condition.is_alarming()), (says, true));
        assert!(condition.told().contains("`license`"), "{}", condition.told());
    }
    health.updated(StreamStatus::Enabled, None, Some(hours(1)));
    assert_eq!(word(&health, 2, ASKED), "disabled", "an older word comes late");
    health.updated(StreamStatus::Enabled, None, Some(hours(2)));
    assert_eq!(word(&health, 2, ASKED), "disabled", "of two of one moment the one that stops it is believed");
    health.updated(StreamStatus::Enabled, None, Some(hours(3)));
    assert_eq!(word(&health, 3, ASKED), "new");
    // What it says when it is asked is so, and its clock may be behind ours.
    health.updated(StreamStatus::Paused, None, None);
    assert_eq!(word(&health, 4, ASKED), "paused");
    health.updated(StreamStatus::Enabled, None, None);
    health.updated(StreamStatus::Paused, None, Some(hours(3)));
    assert_eq!(word(&health, 4, ASKED), "paused");
}

#[test]
fn a_stream_that_cannot_be_asked_may_be_silent_for_so_long() {
    let watch = Watch { asked: false, silent_max: Some(HOUR * 3), fetched: false };
    let mut health = Health::new(hours(0));
    assert_eq!((word(&health, 2, watch), word(&health, 3, watch)), ("new", "silent"));
    health.heard(hours(4));
    assert_eq!((word(&health, 4, watch), word(&health, 7, watch)), ("healthy", "silent"));
    assert_eq!(word(&health, 99, Watch::default()), "healthy", "nobody watches");
    assert_eq!(
        [watch, ASKED, Watch { fetched: true, ..Watch::default() }].map(|w| w.is_kept()),
        [true, true, false]
    );
}

#[test]
fn a_transmitter_from_which_nothing_can_be_fetched_is_an_alarm() {
    let watch = Watch { asked: true, silent_max: None, fetched: true };
    let minutes = |n: u64| hours(0).plus(Duration::from_mins(n));
    let mut health = Health::new(hours(0));
    let word = |health: &Health, n: u64| health.condition(minutes(n), watch).as_str();
    assert_eq!((word(&health, 14), word(&health, 15)), ("new", "unreachable"));
    health.fetched(minutes(15));
    assert_eq!((word(&health, 15), word(&health, 29), word(&health, 30)), ("new", "new", "unreachable"));
}

#[test]
fn a_clock_that_is_set_back_asks_at_once() {
    let mut health = Health::new(hours(9));
    health.ask("a", hours(9));
    health.verified(Some("a"), hours(9)).unwrap();
    assert_eq!(health.due(hours(1), RHYTHM), Due::Ask);
}

#[test]
fn every_condition_has_its_word() {
    let (since, reason) = (hours(0), None);
    let all = [
        Condition::New,
        Condition::Healthy { heard_at: since },
        Condition::Late,
        Condition::Unhealthy { missed: 2, heard_at: None },
        Condition::Silent { since },
        Condition::Unreachable { since },
        Condition::Paused { reason: reason.clone() },
        Condition::Disabled { reason },
    ];
    assert_eq!(all.map(|condition| condition.as_str()), Condition::WORDS);
}
