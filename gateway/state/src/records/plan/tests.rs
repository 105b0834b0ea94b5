//! The plan beside a model that does one batch after the other on a copy.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

type Kept = (Version, Option<Arc<[u8]>>, Vec<UniqueKey>);

/// A directory that fits into a test: everything there is, and who has which key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    records: BTreeMap<Address, Kept>,
    keys: BTreeMap<UniqueKey, Address>,
    end: Version,
}

impl Model {
    fn write(&mut self, write: &Write) -> Result<Version, Refusal> {
        let address = Address::of(write);
        let found = self.records.get(&address).map(|(version, body, _)| match body {
            Some(_) => Found::At(*version),
            None => Found::Deleted(*version),
        });
        let gone_for_ever = matches!(found, Some(Found::Deleted(_))) && write.kind.never_returns();
        let good = match write.expected {
            Expected::Any => true,
            Expected::Absent => matches!(found, None | Some(Found::Deleted(_))),
            Expected::Version(version) => found == Some(Found::At(version)),
        };
        if gone_for_ever || !good {
            let found = found.unwrap_or(Found::Absent);
            return Err(Refusal::Conflict { kind: write.kind, id: write.id.to_string(), found });
        }
        self.end = Version(self.end.0 + 1);
        Ok(self.end)
    }

    /// One batch: all of it, or as before.
    fn batch(&mut self, writes: &[Write]) -> Result<Vec<Version>, Refusal> {
        let mut after = self.clone();
        let versions = writes.iter().map(|w| after.write(w)).collect::<Result<Vec<_>, _>>()?;
        for write in writes {
            after.keys.retain(|_, holder| *holder != Address::of(write));
        }
        for write in writes {
            for key in &write.keys {
                match after.keys.insert(key.clone(), Address::of(write)) {
                    Some(other) if other != Address::of(write) => {
                        let (holder_kind, holder_id) = (other.kind.as_str().to_owned(), other.id.to_string());
                        return Err(Refusal::KeyTaken { key: key.clone(), holder_kind, holder_id });
                    }
                    Some(_) | None => {}
                }
            }
        }
        for (write, version) in writes.iter().zip(&versions) {
            if write.body.is_none() && !write.kind.keeps_tombstones() {
                after.records.remove(&Address::of(write));
                continue;
            }
            let mut keys = write.keys.clone();
            keys.sort();
            keys.dedup();
            after.records.insert(Address::of(write), (*version, write.body.clone(), keys));
        }
        *self = after;
        Ok(versions)
    }

    /// What a store reads of it for these groups.
    fn present(&self, groups: &[Vec<Write>]) -> Present {
        let mut present =
            Present { end: self.end, held: i64::try_from(self.records.len()).unwrap(), ..Present::default() };
        for write in groups.iter().flatten() {
            let address = Address::of(write);
            if let Some((version, body, keys)) = self.records.get(&address) {
                let known = Known { version: *version, live: body.is_some(), keys: keys.clone() };
                present.records.insert(address, known);
            }
            for key in &write.keys {
                if let Some(holder) = self.keys.get(key) {
                    present.holders.insert(key.clone(), Holder::of(holder));
                }
            }
        }
        present
    }

    /// What a store does with a plan.
    fn follow(&mut self, plan: &Plan) {
        for key in &plan.released {
            assert!(self.keys.remove(key).is_some(), "released what nobody had");
        }
        for address in &plan.removed {
            assert!(self.records.remove(address).is_some(), "removed what was not there");
        }
        for row in &plan.written {
            self.records.insert(row.address.clone(), (row.version, row.body.clone(), row.keys.clone()));
        }
        for (key, address) in &plan.claimed {
            assert!(self.keys.insert(key.clone(), address.clone()).is_none(), "two have one key");
        }
        self.end = plan.end;
        assert_eq!(plan.held, i64::try_from(self.records.len()).unwrap());
    }
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let kind = prop::sample::select(vec![RecordKind::Person, RecordKind::Membership, RecordKind::Seen]);
    let expected = prop_oneof![
        3 => Just(Expected::Any),
        2 => Just(Expected::Absent),
        2 => (1..30_i64).prop_map(|v| Expected::Version(Version(v))),
    ];
    let keys = prop::collection::vec(0..5_u8, 0..3);
    let one = (kind, 0..3_u8, expected, prop::option::weighted(0.75, any::<u8>()), keys);
    prop::collection::vec(one, 1..4).prop_map(|writes| {
        let mut named = HashSet::new();
        let one = |(kind, id, expected, body, keys): (_, u8, _, Option<u8>, Vec<u8>)| Write {
            kind,
            id: id.to_string().into(),
            expected,
            body: body.map(|byte| Arc::from([byte].as_slice())),
            keys: if body.is_none() {
                Vec::new()
            } else {
                keys.iter().map(|k| key(&format!("k{k}"))).collect()
            },
        };
        let all = writes.into_iter().map(one);
        all.filter(|w| named.insert((w.kind, Arc::clone(&w.id)))).collect()
    })
}

fn key(text: &str) -> UniqueKey {
    UniqueKey::new(text).unwrap()
}

fn groups(batches: &[Vec<Write>]) -> Vec<RecordGroup<'_>> {
    batches.iter().map(|writes| RecordGroup { writes, proof: None }).collect()
}

/// Which of several reasons is named is open; that there is one is not.
fn is_refused(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Refused(_))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_does_what_one_batch_after_the_other_would(
        transactions in prop::collection::vec(prop::collection::vec(writes(), 1..4), 1..8)
    ) {
        let (mut model, mut store) = (Model::default(), Model::default());
        for batches in transactions {
            let plan = plan(store.present(&batches), &groups(&batches));
            for (batch, verdict) in batches.iter().zip(&plan.verdicts) {
                match model.batch(batch) {
                    Ok(versions) => prop_assert_eq!(verdict, &Verdict::Written(versions)),
                    Err(_) => prop_assert!(is_refused(verdict), "{:?}", verdict),
                }
            }
            store.follow(&plan);
            prop_assert_eq!(&store, &model);
        }
    }
}

fn write(kind: RecordKind, id: &str, expected: Expected, body: Option<u8>, keys: &[&str]) -> Write {
    let body = body.map(|byte| Arc::from([byte].as_slice()));
    Write { kind, id: id.into(), expected, body, keys: keys.iter().map(|k| key(k)).collect() }
}

#[test]
fn two_records_change_their_keys_in_one_batch_and_not_in_two() {
    let person = |id, keys: &[&str]| write(RecordKind::Person, id, Expected::Any, Some(1), keys);
    let mut model = Model::default();
    model.batch(&[person("a", &["alice"]), person("b", &["bob"])]).unwrap();
    let swap = [vec![person("a", &["bob"]), person("b", &["alice"])]];
    let done = plan(model.present(&swap), &groups(&swap));
    assert_eq!(done.verdicts, [Verdict::Written(vec![Version(3), Version(4)])]);
    assert_eq!(done.released.len(), 2);
    let halves: Vec<Vec<Write>> = swap.into_iter().flatten().map(|w| vec![w]).collect();
    let done = plan(model.present(&halves), &groups(&halves));
    let taken = |key: &str, id: &str| {
        let (key, holder_kind) = (UniqueKey::new(key).unwrap(), "person".to_owned());
        Verdict::Refused(Refusal::KeyTaken { key, holder_kind, holder_id: id.to_owned() })
    };
    assert_eq!(done.verdicts, [taken("bob", "b"), taken("alice", "a")]);
    assert!(done.is_empty() && done.end == Version(2));
    let both = [vec![person("a", &["x"]), person("b", &["x"])]];
    let done = plan(model.present(&both), &groups(&both));
    assert_eq!(done.verdicts, [taken("x", "a")]);
}

#[test]
fn a_group_that_an_attempt_before_wrote_is_left_alone() {
    let proof = Uuid::from_u128(7);
    let writes = [write(RecordKind::Person, "a", Expected::Absent, Some(1), &["alice"])];
    let mut model = Model::default();
    model.batch(&writes).unwrap();
    let mut present = model.present(&[writes.to_vec()]);
    present.already.insert(proof);
    let group = |proof| RecordGroup { writes: &writes, proof };
    let done = plan(present, &[group(Some(proof)), group(Some(Uuid::nil())), group(None)]);
    assert_eq!(done.verdicts.iter().map(is_refused).collect::<Vec<_>>(), [false, true, true]);
    assert!(done.is_empty() && done.released.is_empty() && done.claimed.is_empty());
}

#[test]
fn what_is_expected_is_compared_with_what_is_there() {
    let known = |version, live| Some(Known { version: Version(version), live, keys: Vec::new() });
    let (live, dead) = (Found::At(Version(3)), Found::Deleted(Version(3)));
    let version = |v| Expected::Version(Version(v));
    for (kind, expected, known, meant) in [
        (RecordKind::Person, Expected::Absent, None, Ok(())),
        (RecordKind::Person, Expected::Any, None, Ok(())),
        (RecordKind::Person, version(3), None, Err(Found::Absent)),
        (RecordKind::Person, version(3), known(3, true), Ok(())),
        (RecordKind::Person, version(2), known(3, true), Err(live)),
        (RecordKind::Person, version(4), known(3, true), Err(live)),
        (RecordKind::Person, Expected::Absent, known(3, true), Err(live)),
        (RecordKind::Person, Expected::Any, known(3, true), Ok(())),
        // Deleted is final.
        (RecordKind::Person, Expected::Absent, known(3, false), Err(dead)),
        (RecordKind::Person, Expected::Any, known(3, false), Err(dead)),
        (RecordKind::Person, version(3), known(3, false), Err(dead)),
        (RecordKind::Membership, Expected::Absent, known(3, false), Ok(())),
        (RecordKind::Membership, Expected::Any, known(3, false), Ok(())),
        (RecordKind::Membership, version(3), known(3, false), Err(dead)),
    ] {
        assert_eq!(meets(kind, expected, known.as_ref()), meant, "{kind} {expected:?} {known:?}");
    }
}

#[test]
fn keys_are_read_back_from_their_row() {
    for keys in [vec![], vec![key("a")], vec![key("a:b c"), key("ä"), key("z")]] {
        assert_eq!(split(&joined(&keys)), keys);
    }
}
