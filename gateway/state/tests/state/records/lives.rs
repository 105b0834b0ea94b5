//! Lives that two processes lead at once, beside what must hold after each of them.

use std::collections::BTreeMap;

use doorward_model::EntryKind;
use doorward_state::{CommitError, Expected, RecordKind, Revocations, Version};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::switch;
use crate::contract::records::text;
use crate::fixture::{Fixture, target};

/// What somebody tries to do to one of three people.
#[derive(Clone, Copy, Debug)]
struct Step {
    first: bool,
    who: usize,
    on: bool,
    /// It knows the record as it is; or else as it was.
    knows: bool,
    /// Everything is closed and opened again before.
    again: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step =
        (any::<bool>(), 0..3_usize, any::<bool>(), prop::bool::weighted(0.8), prop::bool::weighted(0.1));
    let step = step.prop_map(|(first, who, on, knows, again)| Step { first, who, on, knows, again });
    prop::collection::vec(step, 1..25)
}

/// What the directory is known to hold of somebody.
type Model = BTreeMap<usize, (Version, bool)>;

async fn live(fixture: &Fixture, steps: Vec<Step>) -> Model {
    let mut model = Model::new();
    let (mut one, mut other) = (fixture.open(), fixture.open());
    for Step { first, who, on, knows, again } in steps {
        if again {
            assert_eq!((one.close().await, other.close().await), (0, 0));
            (one, other) = (fixture.open(), fixture.open());
        }
        let expected = match model.get(&who) {
            None => Expected::Absent,
            Some((version, _)) if knows => Expected::Version(*version),
            Some((version, _)) => Expected::Version(Version(version.0 - 1)),
        };
        let process = if first { &one } else { &other };
        match process.commit(switch(&format!("p{who}"), expected, on)).await {
            Ok(committed) => {
                assert!(knows || !model.contains_key(&who), "over what it did not know");
                let before = model.insert(who, (committed.records[0], on));
                assert!(before.is_none_or(|(version, _)| version < committed.records[0]));
                assert_eq!(committed.receipts[0].entry.disabled, !on);
            }
            Err(CommitError::Conflict { enforced, .. }) => {
                assert!(!knows && model.contains_key(&who), "it was as it was said to be");
                assert!(!(enforced && on));
            }
            Err(other) => panic!("{other}"),
        }
        agree(process, &model).await;
    }
    assert_eq!((one.close().await, other.close().await), (0, 0));
    model
}

/// The process that was asked last has the record of everybody as it is, on the disk.
async fn agree(process: &Revocations, model: &Model) {
    for (who, (version, on)) in model {
        let record = process.record(RecordKind::Person, &format!("p{who}")).await.unwrap().unwrap();
        assert_eq!((record.version, text(&record) == "on"), (*version, *on));
    }
}

#[test]
fn records_and_the_log_never_contradict_each_other() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = Config { cases: 60, failure_persistence: None, ..Config::default() };
    let lived = TestRunner::new(config).run(&steps(), |steps| {
        runtime.block_on(async {
            let fixture = Fixture::new();
            let model = live(&fixture, steps).await;
            // Whoever opens it finds what was acknowledged, and the log says the same of everybody.
            let revocations = fixture.open();
            let records = revocations.records();
            for who in 0..3 {
                let id = format!("p{who}");
                let record = records.get(RecordKind::Person, &id);
                let known = record.map(|record| (record.version, text(&record) == "on"));
                assert_eq!(known, model.get(&who).copied());
                let entry = revocations.lookup(&target(EntryKind::User, &format!("corp:{id}")));
                assert_eq!(entry.map(|entry| !entry.disabled), model.get(&who).map(|(_, on)| *on), "{id}");
            }
        });
        Ok(())
    });
    lived.unwrap();
}
