//! What was told late, twice, or the other way round.

use doorward_lifecycle::signals::{Act, Outcome};
use doorward_model::UnixMillis;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::town::*;

fn account(id: &str, name: &str, at: i64) -> Value {
    let mut claims =
        event(id, &iss_sub(CORP, "alice"), &format!("{RISC}{name}"), &json!({"event_timestamp": at}));
    claims["iat"] = json!(at + 1);
    claims
}

fn has(outcome: &Outcome, wanted: fn(&Act) -> bool) -> bool {
    matches!(outcome, Outcome::Acts(acts) if acts.iter().any(wanted))
}

fn lifts(outcome: &Outcome) -> bool {
    has(outcome, |a| matches!(a, Act::Lift(_)))
}

fn holds(outcome: &Outcome) -> bool {
    has(outcome, |a| matches!(a, Act::Hold(_)))
}

fn ends(outcome: &Outcome) -> bool {
    has(outcome, |a| matches!(a, Act::End(_)))
}

#[tokio::test]
async fn s17_an_older_enable_never_beats_a_newer_disable() {
    let t = NOW_SECONDS - 1000;
    for (disabled, enabled, lifted) in [(t, t + 1, true), (t, t, false), (t, t - 1, false)] {
        let mut town = Town::new();
        assert!(holds(&town.decide("okta", &account("d", "account-disabled", disabled)).await.outcome));
        let verdict = town.decide("okta", &account("e", "account-enabled", enabled)).await;
        assert_eq!(lifts(&verdict.outcome), lifted, "{verdict:?}");
        if !lifted {
            let by = UnixMillis::from_seconds(disabled);
            assert_eq!((verdict.outcome, verdict.marks), (Outcome::Superseded { by }, vec![]));
        }
    }
}

#[tokio::test]
async fn a_disable_that_is_told_after_a_newer_enable_ends_what_is_open_and_holds_nobody() {
    let mut town = Town::new();
    let t = NOW_SECONDS - 1000;
    assert!(lifts(&town.decide("okta", &account("e", "account-enabled", t)).await.outcome));
    let late = town.decide("okta", &account("d", "account-disabled", t - 1)).await;
    assert!(ends(&late.outcome) && !holds(&late.outcome), "{late:?}");
    // At the same moment the one that takes is believed.
    assert!(holds(&town.decide("okta", &account("d2", "account-disabled", t)).await.outcome));
    assert!(!lifts(&town.decide("okta", &account("e", "account-enabled", t)).await.outcome));
}

#[tokio::test]
async fn any_hold_of_the_stream_counts_and_a_lift_must_name_the_person_alone() {
    let mut town = Town::new();
    let t = NOW_SECONDS - 1000;
    assert!(holds(&town.decide("okta", &account("c", "credential-compromise", t + 5)).await.outcome));
    assert!(!lifts(&town.decide("okta", &account("e", "account-enabled", t)).await.outcome));
    let complex = json!({"user": iss_sub(CORP, "alice"), "moon": {"format": "opaque", "id": "x"}});
    let inexact = event("x", &complex, &format!("{RISC}account-enabled"), &json!({}));
    assert_eq!(town.decide("okta", &inexact).await.outcome, Outcome::Inexact);
    let at_app = json!({"user": iss_sub(CORP, "alice"), "application": {"format": "opaque", "id": "wiki"}});
    let narrower = event("y", &at_app, &format!("{RISC}account-enabled"), &json!({}));
    assert!(!lifts(&town.decide("okta", &narrower).await.outcome));
}

#[tokio::test]
async fn the_newest_word_on_a_device_counts() {
    let told = |id: &str, status: &str, at: i64| {
        let device = json!({"format": "opaque", "id": "d-alice"});
        event(
            id,
            &device,
            &format!("{CAEP}device-compliance-change"),
            &json!({"current_status": status, "event_timestamp": at}),
        )
    };
    let mut town = Town::new();
    let t = NOW_SECONDS - 1000;
    let posture = |o: &Outcome| has(o, |a| matches!(a, Act::Posture(..)));
    assert!(posture(&town.decide("okta", &told("1", "not-compliant", t)).await.outcome));
    assert!(!posture(&town.decide("okta", &told("2", "compliant", t)).await.outcome));
    assert!(!posture(&town.decide("okta", &told("3", "compliant", t - 1)).await.outcome));
    assert!(posture(&town.decide("okta", &told("4", "compliant", t + 2)).await.outcome));
    assert!(!posture(&town.decide("okta", &told("5", "not-compliant", t + 1)).await.outcome));
}

/// A level that was told late is not written over a newer one, also where the level holds people.
#[tokio::test]
async fn the_newest_level_of_risk_counts() {
    let told = |id: &str, level: &str, at: i64| {
        event(
            id,
            &iss_sub(CORP, "alice"),
            &format!("{CAEP}risk-level-change"),
            &json!({"current_level": level, "event_timestamp": at}),
        )
    };
    let risk = |o: &Outcome| has(o, |a| matches!(a, Act::Risk(..)));
    let mut town = Town::new();
    let t = NOW_SECONDS - 1000;
    let high = town.decide("okta", &told("1", "HIGH", t)).await.outcome;
    assert!(risk(&high) && holds(&high) && ends(&high));
    assert!(!risk(&town.decide("okta", &told("2", "LOW", t)).await.outcome));
    assert!(risk(&town.decide("okta", &told("3", "LOW", t + 5)).await.outcome));
    let late = town.decide("okta", &told("4", "HIGH", t + 2)).await.outcome;
    assert!(ends(&late) && holds(&late) && !risk(&late), "{late:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the order in which messages arrive, and however often: in the end the person is held
    /// exactly when the newest message by its own time says so, a tie counting as held.
    #[test]
    fn the_order_of_arrival_does_not_matter(
        told in proptest::collection::vec((0_i64..20, any::<bool>()), 1..12),
        arrival in proptest::collection::vec(any::<prop::sample::Index>(), 12..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut town = Town::new();
            let mut held = false;
            let every = (0..told.len()).chain(arrival.iter().map(|i| i.index(told.len())));
            let order: Vec<usize> = every.collect();
            for i in order.into_iter().rev() {
                let (at, disable) = told[i];
                let name = if disable { "account-disabled" } else { "account-enabled" };
                let claims = account(&format!("m{i}"), name, NOW_SECONDS - 1000 + at);
                let verdict = town.decide("okta", &claims).await;
                prop_assert!(!disable || ends(&verdict.outcome), "a disable always ends what is open");
                if holds(&verdict.outcome) {
                    held = true;
                } else if lifts(&verdict.outcome) {
                    held = false;
                }
            }
            let newest = |wanted: bool| told.iter().filter(|(_, d)| *d == wanted).map(|(at, _)| *at).max();
            prop_assert_eq!(held, newest(true).is_some() && newest(true) >= newest(false));
            Ok(())
        })?;
    }
}
