//! The copy of the published records that a process judges requests by.
//!
//! A lookup takes no lock and does no I/O (papaya in blocking mode: a writer pays for growth). The
//! writer of this process, whoever follows the store and whoever follows Redis bring records in; of two versions of
//! one the higher stays, so that a record that is read late never replaces a newer one. That is why
//! tombstones stay here too.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use doorward_model::UnixMillis;
use papaya::{HashMap, ResizeMode};

use crate::records::batch::{Batch, Expected};
use crate::records::error::{Found, Refusal};
use crate::records::{Record, RecordKind, Version};
use crate::revocations::reads::{Lines, Reads};
use crate::revocations::shared::Shared;

const LINES: Lines = Lines {
    fails: "the directory cannot be read: what is known of people grows old",
    works: "the directory can be read again",
};

/// Told of records that changed, after they can be looked up: of one record in the order of its
/// versions, tombstones included, unless a whole directory takes the place of another. It must not block, and holds up
/// whoever waits for the commit.
pub type RecordSubscriber = Arc<dyn Fn(&[Arc<Record>]) + Send + Sync>;

type Shelf = HashMap<Arc<str>, Arc<Record>>;

/// How the copy in memory does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordsHealth {
    /// Every record that was committed before this instant is known.
    pub as_of: UnixMillis,
    /// How old the newest proof is that nothing is missing: near zero as long as all is well, and the highest
    /// there is before the first.
    pub unread_for: Duration,
    /// Records that are in memory, without those that were deleted.
    pub live: usize,
    /// What the store said when reading failed, until it works again.
    pub last_error: Option<String>,
}

pub(crate) struct RecordMemory {
    shelves: [Shelf; RecordKind::SHELVES],
    live: AtomicUsize,
    generation: AtomicU64,
    /// Every record up to this version was read from the store.
    followed: AtomicI64,
    /// Held while records come in, so that subscribers hear of them in order. Never by a reader.
    order: Mutex<()>,
    subscribers: RwLock<Vec<RecordSubscriber>>,
    pub(crate) reads: Reads,
}

impl RecordMemory {
    pub(crate) fn new(as_of: UnixMillis) -> Self {
        let shelf = || HashMap::builder().resize_mode(ResizeMode::Blocking).build();
        Self {
            shelves: std::array::from_fn(|_| shelf()),
            live: AtomicUsize::new(0),
            generation: AtomicU64::new(0),
            followed: AtomicI64::new(Version::START.0),
            order: Mutex::new(()),
            subscribers: RwLock::default(),
            reads: Reads::new(LINES, as_of),
        }
    }

    fn shelf(&self, kind: RecordKind) -> Option<&Shelf> {
        kind.shelf().and_then(|shelf| self.shelves.get(shelf))
    }

    /// Whatever is known of a record, a tombstone too.
    pub(crate) fn known(&self, kind: RecordKind, id: &str) -> Option<Arc<Record>> {
        self.shelf(kind)?.pin().get(id).cloned()
    }

    /// Takes records in, of kinds that are not published none. Those that are known in this version
    /// or a newer one change nothing.
    pub(crate) fn merge(&self, records: impl IntoIterator<Item = Record>) {
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let mut news = Vec::new();
        for record in records {
            let Some(shelf) = self.shelf(record.kind) else { continue };
            let pinned = shelf.pin();
            let known = pinned.get(&*record.id);
            if known.is_some_and(|known| known.version >= record.version) {
                continue;
            }
            match (known.is_some_and(|known| known.is_live()), record.is_live()) {
                (false, true) => _ = self.live.fetch_add(1, Ordering::Relaxed),
                (true, false) => _ = self.live.fetch_sub(1, Ordering::Relaxed),
                (true, true) | (false, false) => {}
            }
            if news.is_empty() {
                self.generation.fetch_add(1, Ordering::AcqRel);
            }
            let record = Arc::new(record);
            pinned.insert(Arc::clone(&record.id), Arc::clone(&record));
            news.push(record);
        }
        if !news.is_empty() {
            self.generation.fetch_add(1, Ordering::AcqRel);
            self.announce(&news);
        }
    }

    /// Takes in all records that there are of another directory, or of one that was put back: what is known
    /// and not among them is gone, and of what is known in another version theirs holds, be it lower.
    pub(crate) fn replace(&self, records: Vec<Record>) {
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        self.generation.fetch_add(1, Ordering::AcqRel);
        let mut news = Vec::new();
        let mut live = 0;
        let named: HashSet<(RecordKind, Arc<str>)> =
            records.iter().map(|record| (record.kind, Arc::clone(&record.id))).collect();
        for shelf in &self.shelves {
            let pinned = shelf.pin();
            for gone in pinned.values().filter(|known| !named.contains(&(known.kind, Arc::clone(&known.id))))
            {
                news.push(Arc::new(Record { body: None, ..Record::clone(gone) }));
            }
            pinned.retain(|_, known| named.contains(&(known.kind, Arc::clone(&known.id))));
        }
        for record in records {
            let Some(shelf) = self.shelf(record.kind) else { continue };
            live += usize::from(record.is_live());
            let record = Arc::new(record);
            shelf.pin().insert(Arc::clone(&record.id), Arc::clone(&record));
            news.push(record);
        }
        self.live.store(live, Ordering::Relaxed);
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.announce(&news);
    }

    /// Up to which version every record was read from the store.
    pub(crate) fn followed(&self) -> Version {
        Version(self.followed.load(Ordering::Acquire))
    }

    /// Everything up to `version` was read, and merged.
    pub(crate) fn has_followed(&self, version: Version) {
        self.followed.fetch_max(version.0, Ordering::AcqRel);
    }

    fn announce(&self, news: &[Arc<Record>]) {
        let subscribers = self.subscribers.read().unwrap_or_else(PoisonError::into_inner).clone();
        for subscriber in subscribers {
            if catch_unwind(AssertUnwindSafe(|| subscriber(news))).is_err() {
                tracing::error!("a subscriber panicked: what it makes of the directory may be old");
            }
        }
    }

    /// Refuses a batch that the store would refuse for certain, whatever was written since: before
    /// anything of it bites. What may have changed is left to the store.
    pub(crate) fn foresee(&self, batch: &Batch) -> Result<(), Refusal> {
        for write in &batch.writes {
            let Some(known) = self.known(write.kind, &write.id) else { continue };
            let is_final = write.kind.never_returns();
            let refused = match (write.expected, known.found()) {
                // Nothing gets an older version.
                (Expected::Version(version), Found::At(_)) => version < known.version,
                (Expected::Version(version), Found::Deleted(_)) => is_final || version < known.version,
                (Expected::Absent, Found::At(_)) => is_final,
                (Expected::Absent | Expected::Any, Found::Deleted(_)) => is_final,
                (Expected::Any, Found::At(_)) | (_, Found::Absent) => false,
            };
            if refused {
                let (kind, id, found) = (write.kind, write.id.to_string(), known.found());
                return Err(Refusal::Conflict { kind, id, found });
            }
        }
        Ok(())
    }
}

/// The published records, as this process knows them. Cheap to clone; all clones are one.
///
/// Each lookup sees one record as some batch left it. Records of one batch come in one after the
/// other: whoever needs two of the same moment looks at [`generation`](Self::generation) before and
/// after, and looks again unless it was even and the same.
///
/// They are as current as [`Revocations::check`](crate::Revocations::check) says: on a node that follows a
/// store by reading it, on one that rests on a lease by that. [`health`](Self::health) says how old they are, and
/// what takes access away does not wait for them.
#[derive(Clone)]
pub struct Records {
    pub(crate) shared: Arc<Shared>,
}

impl Records {
    fn memory(&self) -> &RecordMemory {
        &self.shared.records
    }

    /// A record that is there. Only for kinds that are [published](RecordKind::is_published): of
    /// others nothing is in memory, and [`Revocations::record`](crate::Revocations::record) is asked.
    #[must_use]
    pub fn get(&self, kind: RecordKind, id: &str) -> Option<Arc<Record>> {
        debug_assert!(kind.is_published(), "{kind} is not in memory");
        self.memory().known(kind, id).filter(|record| record.is_live())
    }

    /// Looks at every record of a published kind that is there, in no order. Those that change
    /// meanwhile are seen once, as they were or as they are.
    pub fn for_each(&self, kind: RecordKind, mut look: impl FnMut(&Arc<Record>)) {
        debug_assert!(kind.is_published(), "{kind} is not in memory");
        let Some(shelf) = self.memory().shelf(kind) else { return };
        for record in shelf.pin().values() {
            if record.is_live() {
                look(record);
            }
        }
    }

    /// Rises by one before anything comes in, and by one when all of it is there: odd in between. As
    /// long as it stays the same and even, so does every lookup.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.memory().generation.load(Ordering::Acquire)
    }

    /// From now on `subscriber` is told of every change. Whoever wants all subscribes first and then
    /// looks at each: what it hears twice has one version.
    pub fn subscribe(&self, subscriber: RecordSubscriber) {
        self.memory().subscribers.write().unwrap_or_else(PoisonError::into_inner).push(subscriber);
    }

    /// How the copy does.
    #[must_use]
    pub fn health(&self) -> RecordsHealth {
        let memory = self.memory();
        let as_of = self.shared.lease.as_ref().map_or_else(|| memory.reads.as_of(), |lease| lease.as_of());
        RecordsHealth {
            as_of,
            unread_for: self.shared.records_unread_for(),
            live: memory.live.load(Ordering::Relaxed),
            last_error: memory.reads.error(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Write;

    fn record(kind: RecordKind, id: &str, version: i64, body: Option<&str>) -> Record {
        let body = body.map(|body| Arc::from(body.as_bytes()));
        Record { kind, id: id.into(), version: Version(version), body }
    }

    fn person(id: &str, version: i64, body: Option<&str>) -> Record {
        record(RecordKind::Person, id, version, body)
    }

    #[test]
    fn of_two_versions_the_higher_stays_in_whatever_order_they_come() {
        let memory = RecordMemory::new(UnixMillis(0));
        let told: Arc<Mutex<Vec<(String, i64)>>> = Arc::default();
        let hears = Arc::clone(&told);
        memory.subscribers.write().unwrap().push(Arc::new(|_| panic!("a defect in a subscriber")));
        memory.subscribers.write().unwrap().push(Arc::new(move |news| {
            let mut told = hears.lock().unwrap();
            told.extend(news.iter().map(|record| (record.id.to_string(), record.version.0)));
        }));
        memory.merge([person("a", 5, Some("new")), person("b", 6, Some("b"))]);
        memory.merge([person("a", 4, Some("old")), person("a", 5, Some("new"))]);
        memory.merge([person("b", 9, None), person("b", 8, Some("late"))]);
        let a = memory.known(RecordKind::Person, "a").unwrap();
        assert_eq!((a.version, a.body.as_deref()), (Version(5), Some(b"new".as_slice())));
        assert!(!memory.known(RecordKind::Person, "b").unwrap().is_live(), "what was deleted stays so");
        assert_eq!(memory.known(RecordKind::Membership, "a"), None);
        assert_eq!(memory.live.load(Ordering::Relaxed), 1);
        let told: Vec<_> = told.lock().unwrap().iter().map(|(id, v)| format!("{id}{v}")).collect();
        assert_eq!(told, ["a5", "b6", "b9"]);
        assert_eq!(memory.generation.load(Ordering::Relaxed), 4);
        memory.merge([record(RecordKind::Seen, "x", 10, Some("x"))]);
        assert_eq!(memory.generation.load(Ordering::Relaxed), 4, "not published");
    }

    #[test]
    fn another_directory_takes_the_place_of_all_that_is_known() {
        let memory = RecordMemory::new(UnixMillis(0));
        memory.merge([person("a", 5, Some("a")), person("b", 6, Some("b")), person("left", 7, None)]);
        memory.merge([record(RecordKind::Group, "a", 8, Some("g"))]);
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        memory.subscribers.write().unwrap().push(Arc::new(move |news| {
            let told = news.iter().map(|record| (record.id.to_string(), record.is_live()));
            heard.lock().unwrap().extend(told);
        }));
        memory.replace(vec![person("b", 2, Some("before")), person("c", 3, Some("c")), person("d", 4, None)]);
        let known = |id: &str| memory.known(RecordKind::Person, id);
        assert_eq!((known("a"), known("left")), (None, None));
        assert_eq!(memory.known(RecordKind::Group, "a"), None);
        let b = known("b").unwrap();
        assert_eq!(
            (b.version, b.body.as_deref()),
            (Version(2), Some(b"before".as_slice())),
            "a lower one holds"
        );
        assert!(known("c").unwrap().is_live() && !known("d").unwrap().is_live());
        assert_eq!(memory.live.load(Ordering::Relaxed), 2);
        assert!(memory.generation.load(Ordering::Relaxed).is_multiple_of(2));
        let mut told = told.lock().unwrap().clone();
        told.sort();
        let want = [("a", false), ("a", false), ("b", true), ("c", true), ("d", false), ("left", false)];
        assert_eq!(told, want.map(|(id, live)| (id.to_owned(), live)));
        memory.merge([person("b", 3, Some("and on"))]);
        assert_eq!(known("b").unwrap().version, Version(3), "and goes on from there");
    }

    #[test]
    fn only_what_is_certain_is_refused_beforehand() {
        let memory = RecordMemory::new(UnixMillis(0));
        let group = RecordKind::Membership;
        memory.merge([person("a", 5, Some("a")), person("gone", 6, None)]);
        memory.merge([record(group, "m", 7, Some("m")), record(group, "left", 8, None)]);
        let version = |v| Expected::Version(Version(v));
        for (kind, id, expected, refused) in [
            (RecordKind::Person, "a", version(4), true),
            (RecordKind::Person, "a", version(5), false),
            // Another process may have written that one.
            (RecordKind::Person, "a", version(6), false),
            (RecordKind::Person, "a", Expected::Any, false),
            (RecordKind::Person, "a", Expected::Absent, true),
            (RecordKind::Person, "gone", Expected::Any, true),
            (RecordKind::Person, "gone", Expected::Absent, true),
            (RecordKind::Person, "gone", version(6), true),
            (RecordKind::Person, "new", version(1), false),
            (group, "m", Expected::Absent, false),
            (group, "left", Expected::Absent, false),
            (group, "left", version(8), false),
            (group, "left", version(7), true),
            (RecordKind::Document, "a", version(1), false),
        ] {
            let write = Write { kind, id: id.into(), expected, body: None, keys: Vec::new() };
            let batch = Batch { writes: vec![write], changes: Vec::new() };
            assert_eq!(memory.foresee(&batch).is_err(), refused, "{kind} {id} {expected:?}");
        }
    }

    #[test]
    fn who_looks_twice_in_one_generation_sees_one_moment() {
        const ROUNDS: i64 = 3000;
        const WAITS_EACH: i64 = 100;
        let memory = RecordMemory::new(UnixMillis(0));
        let pair = |round: i64| {
            let text = round.to_string();
            [person("a", 2 * round + 1, Some(&text)), person("b", 2 * round + 2, Some(&text))]
        };
        memory.merge(pair(0));
        let last_seen = AtomicI64::new(0);
        let moments = std::thread::scope(|scope| {
            let looks = scope.spawn(|| {
                let mut moments = std::collections::BTreeSet::new();
                loop {
                    let generation = memory.generation.load(Ordering::Acquire);
                    let [a, b] = ["a", "b"].map(|id| memory.known(RecordKind::Person, id).unwrap());
                    let same = generation == memory.generation.load(Ordering::Acquire);
                    if same && generation.is_multiple_of(2) {
                        assert_eq!(a.body, b.body);
                        moments.insert(a.version.0);
                        last_seen.store(b.version.0, Ordering::Release);
                        if b.version.0 == 2 * ROUNDS {
                            return moments;
                        }
                    }
                }
            });
            for round in 1..ROUNDS {
                memory.merge(pair(round));
                // So that somebody looks in between, however the threads are scheduled.
                while round % WAITS_EACH == 0 && last_seen.load(Ordering::Acquire) < 2 * round {
                    assert!(!looks.is_finished(), "the looks ended early");
                    std::thread::yield_now();
                }
            }
            looks.join().unwrap()
        });
        assert!(moments.len() > 20, "{}", moments.len());
    }
}
