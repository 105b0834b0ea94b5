//! Any sequence of calls, beside what it should come to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use doorward_model::{UnixMillis, UserId};
use doorward_state::sessions::Touch;
use doorward_state::{SessionRecord, Sessions};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::fixture::{Place, app, run, user};

#[derive(Clone, Debug)]
enum Step {
    Create {
        id: u8,
        seen: i64,
        ends: i64,
    },
    /// Against the version that is known, or another one.
    Replace {
        id: u8,
        seen: i64,
        ends: i64,
        app: u8,
        off: u8,
    },
    Touch(Vec<(u8, i64, Option<u8>)>),
    Remove(u8),
    RemoveAll,
    Later(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (id, seen, ends) = (0..4_u8, -100..100_i64, 1..400_i64);
    let touch = (id.clone(), seen.clone(), proptest::option::of(0..6_u8));
    let step = prop_oneof![
        3 => (id.clone(), seen.clone(), ends.clone()).prop_map(|(id, seen, ends)| Step::Create { id, seen, ends }),
        4 => (id.clone(), seen, ends, 0..6_u8, 0..3_u8)
            .prop_map(|(id, seen, ends, app, off)| Step::Replace { id, seen, ends, app, off }),
        4 => proptest::collection::vec(touch, 0..5).prop_map(Step::Touch),
        1 => id.prop_map(Step::Remove),
        1 => Just(Step::RemoveAll),
        1 => (1..150_u64).prop_map(Step::Later),
    ];
    proptest::collection::vec(step, 1..40)
}

/// What should be there.
#[derive(Default)]
struct Model(BTreeMap<u8, SessionRecord>);

impl Model {
    fn living(&self, id: u8, now: UnixMillis) -> Option<&SessionRecord> {
        self.0.get(&id).filter(|record| record.expires_at > now)
    }

    fn all(&self, now: UnixMillis) -> Vec<SessionRecord> {
        let mut all: Vec<_> = self.0.values().filter(|record| record.expires_at > now).cloned().collect();
        all.sort_by(|a, b| b.seen_at.cmp(&a.seen_at).then_with(|| a.id.cmp(&b.id)));
        all
    }
}

fn name(id: u8) -> String {
    format!("dws-{id}")
}

fn at(place: &Place, seconds: i64) -> UnixMillis {
    UnixMillis(place.now().0 + seconds * 1000)
}

fn apps(of: impl IntoIterator<Item = u8>) -> BTreeSet<doorward_model::AppId> {
    of.into_iter().map(|i| app(&format!("app-{i}"))).collect()
}

async fn take(place: &Place, sessions: &Sessions, person: &UserId, model: &mut Model, step: Step) {
    let now = place.now();
    match step {
        Step::Create { id, seen, ends } => {
            let (seen_at, expires_at) = (at(place, seen), at(place, ends));
            let record =
                SessionRecord { seen_at, expires_at, apps: apps([]), ..place.record(person, &name(id)) };
            assert_eq!(sessions.create(record.clone()).await, Ok(None));
            if model.living(id, now).is_none() {
                model.0.insert(id, SessionRecord { version: 1, ..record });
            }
        }
        Step::Replace { id, seen, ends, app, off } => {
            let known = model.living(id, now).cloned();
            let expected = known.as_ref().map_or(1, |record| record.version) + u64::from(off % 2);
            let record = SessionRecord {
                seen_at: at(place, seen),
                expires_at: at(place, ends),
                apps: apps([app]),
                refresh: Some(vec![app]),
                ..place.record(person, &name(id))
            };
            let should = known.as_ref().is_some_and(|known| known.version == expected);
            assert_eq!(sessions.replace(record.clone(), expected).await, Ok(should));
            if let Some(known) = known.filter(|_| should) {
                let (seen_at, version) = (known.seen_at.max(record.seen_at), expected + 1);
                let apps = &known.apps | &record.apps;
                model.0.insert(id, SessionRecord { seen_at, apps, version, ..record });
            }
        }
        Step::Touch(touches) => {
            let batch: Vec<Touch> = touches
                .iter()
                .map(|(id, seen, of)| Touch {
                    person: person.clone(),
                    id: name(*id).into(),
                    seen_at: at(place, *seen),
                    app: of.map(|i| app(&format!("app-{i}"))),
                })
                .collect();
            sessions.touch(&batch).await.unwrap();
            for (id, seen, of) in touches {
                if let Some(record) = model.0.get_mut(&id) {
                    record.seen_at = record.seen_at.max(at(place, seen));
                    record.apps.extend(apps(of));
                }
            }
        }
        Step::Remove(id) => {
            let there = sessions.remove(person, &name(id)).await.unwrap();
            // What is over may have been deleted already, or not.
            assert!(there || model.living(id, now).is_none());
            assert!(!there || model.0.contains_key(&id));
            model.0.remove(&id);
        }
        Step::RemoveAll => {
            let count = sessions.remove_all(person).await.unwrap();
            let (least, most) = (model.all(now).len(), model.0.len());
            assert!((least..=most).contains(&usize::try_from(count).unwrap()), "{count}");
            model.0.clear();
        }
        Step::Later(seconds) => place.later(Duration::from_secs(seconds)),
    }
}

fn holds(place: &Place, cases: u32) {
    let nodes = [place.open(), place.open()];
    let persons = AtomicUsize::new(0);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let checked = runner.run(&steps(), |steps| {
        let person = user(&format!("p{}", persons.fetch_add(1, Ordering::Relaxed)));
        run(async {
            let mut model = Model::default();
            for (i, step) in steps.into_iter().enumerate() {
                take(place, &nodes[i % 2], &person, &mut model, step).await;
                let now = place.now();
                assert_eq!(nodes[(i + 1) % 2].of(&person).await.unwrap(), model.all(now));
                for id in 0..4 {
                    let found = nodes[i % 2].get(&person, &name(id)).await.unwrap();
                    assert_eq!(found.as_ref(), model.living(id, now));
                }
            }
        });
        Ok(())
    });
    checked.unwrap();
}

#[test]
fn a_file_holds_what_it_should() {
    holds(&Place::file(), 60);
}

#[test]
fn redis_holds_what_it_should() {
    holds(&Place::shared(), 60);
}
