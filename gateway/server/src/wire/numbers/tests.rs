use doorward_lifecycle::intake::signals::Counts;
use doorward_lifecycle::signals::health::Condition;
use doorward_model::directory::StreamName;
use doorward_state::{EntryId, FleetRole, Position};
use prometheus_client::encoding::text::encode;
use uuid::Uuid;

use super::*;

fn told(fleet: &FleetHealth) -> String {
    let mut registry = Registry::default();
    let numbers = Numbers::new(&mut registry, true, true, false);
    numbers.fleet.as_ref().unwrap().look(fleet);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    text
}

#[test]
fn the_fleet_is_told_in_numbers() {
    let epoch = Uuid::from_u128(1);
    let mut fleet = FleetHealth {
        role: FleetRole::Control,
        instance: epoch,
        server: Some("10.0.0.7:6379".to_owned()),
        leased: true,
        lease_left: Duration::from_millis(750),
        lease: Duration::from_secs(1),
        lag: Some(Duration::from_millis(250)),
        position: Some(Position { epoch, id: EntryId { millis: 5, count: 0 } }),
        generation: Some(4),
        blessed: true,
        polls_total: 11,
        poll_failures_total: 2,
        pushes_total: 3,
        resyncs_total: 1,
        connects_total: 2,
        outbox: Some(6),
        blessings_total: 1,
        published_total: 9,
        trouble: None,
    };
    let text = told(&fleet);
    for line in [
        "doorward_fleet_leased 1",
        "doorward_fleet_lease_seconds 1.0",
        "doorward_fleet_lease_left_seconds 0.75",
        "doorward_fleet_lag_seconds 0.25",
        "doorward_fleet_connected 1",
        "doorward_fleet_blessed 1",
        "doorward_fleet_generation 4",
        "doorward_fleet_info{role=\"control\",epoch=\"00000000-0000-0000-0000-000000000001\"} 1",
        "doorward_fleet_outbox 6",
        "doorward_fleet_polls_total 11",
        "doorward_fleet_poll_failures_total 2",
        "doorward_fleet_pushes_total 3",
        "doorward_fleet_resyncs_total 1",
        "doorward_fleet_connects_total 2",
        "doorward_fleet_blessings_total 1",
        "doorward_fleet_published_total 9",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    (fleet.leased, fleet.lag, fleet.server, fleet.position) = (false, None, None, None);
    let text = told(&fleet);
    assert!(text.contains("\ndoorward_fleet_lag_seconds inf\n"), "{text}");
    assert!(text.contains("\ndoorward_fleet_connected 0\n"), "{text}");
}

#[test]
fn whom_the_directory_knows_is_told_in_numbers() {
    let mut registry = Registry::default();
    let numbers = Numbers::new(&mut registry, false, true, false);
    let unread_for = Duration::from_millis(1500);
    let status = DirectoryStatus { people: 7, groups: 3, machines: 2, unread_for, is_fresh: true };
    numbers.directory.as_ref().unwrap().look(status);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    for line in [
        "doorward_directory_known{kind=\"people\"} 7",
        "doorward_directory_known{kind=\"groups\"} 3",
        "doorward_directory_known{kind=\"machines\"} 2",
        "doorward_directory_staleness_seconds 1.5",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
}

#[test]
fn a_node_alone_that_asks_no_directory_tells_nothing_of_either() {
    let mut registry = Registry::default();
    let _numbers = Numbers::new(&mut registry, false, false, false);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    assert!(!text.contains("doorward_fleet") && !text.contains("doorward_directory"), "{text}");
    assert!(text.contains("doorward_control_debts_open 0"), "{text}");
}

#[test]
fn streams_are_told_in_numbers_and_a_condition_that_is_over_is_not() {
    let mut registry = Registry::default();
    let numbers = Numbers::new(&mut registry, false, false, true);
    let mut state = StreamState {
        name: StreamName::new("okta").unwrap(),
        issuer: "https://idp.corp.example".to_owned(),
        is_fetched: true,
        verify: Some(Duration::from_hours(1)),
        silent_max: None,
        condition: Condition::Late,
        event_at: None,
        verified_at: None,
        asked_at: None,
        missed: 1,
        fetched_at: None,
        error: None,
        counts: Counts { asked: 3, answered: 1, missed: 1, not_taken: 2, polls: 7, poll_failures: 4 },
    };
    let told = |state: &StreamState| {
        numbers.streams.as_ref().unwrap().look(std::slice::from_ref(state), UnixMillis(5_000));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    };
    let text = told(&state);
    for line in [
        "doorward_signal_stream_condition{stream=\"okta\",condition=\"late\"} 1",
        "doorward_signal_stream_event_age_seconds{stream=\"okta\"} inf",
        "doorward_signal_verifications_total{stream=\"okta\",outcome=\"taken\"} 3",
        "doorward_signal_verifications_total{stream=\"okta\",outcome=\"not_taken\"} 2",
        "doorward_signal_polls_total{stream=\"okta\",outcome=\"failed\"} 4",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    (state.condition, state.event_at) =
        (Condition::Healthy { heard_at: UnixMillis(4_000) }, Some(UnixMillis(3_500)));
    let text = told(&state);
    assert!(!text.contains("\"late\"") && text.contains("\"healthy\"} 1"), "{text}");
    assert!(text.contains("event_age_seconds{stream=\"okta\"} 1.5"), "{text}");
}
