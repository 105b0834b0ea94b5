//! Counting, by each thread for itself; in the end the counts are put together. What comes of it does not
//! depend on which thread read what, but for one thing: beyond [`DIFFERENCES_MAX`] sorts of differences in a log, it
//! is chance of which of them there are examples. All of them are in the totals.

use std::collections::HashMap;

use doorward_model::UnixMillis;
use doorward_policy::Decision;
use doorward_policy::record::Recorded;

use super::line::{Answer, LISTED_MAX};
use super::memo::Outcome;
use super::report::{ByRevision, Change, Damaged, Difference, Example, PersonKind, Report, Said};

/// The most kinds of differences that are told apart.
const DIFFERENCES_MAX: usize = 2000;
/// How many requests of each are named.
const EXAMPLES_MAX: usize = 3;
/// How much of what the policies saw is kept by a thread, in bytes.
const SITUATIONS_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How many apps, and how many policies, are told apart in the totals.
const NAMES_MAX: usize = 4096;
/// How many damaged lines are named.
const DAMAGED_NAMED_MAX: usize = 20;
/// How many revisions are told apart.
const REVISIONS_MAX: usize = 256;
/// Under which name the others are counted.
const OTHERS: &str = "others";

/// What tells differences apart.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    change: Change,
    kind: PersonKind,
    app: String,
    before: Said,
    after: Said,
}

/// The counts of one thread.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) report: Report,
    differences: HashMap<Key, Seen>,
    revisions: HashMap<String, ByRevision>,
    apps: Names,
    policies: Names,
    /// What is kept of situations.
    bytes: usize,
}

/// Requests by a name, within bounds.
#[derive(Debug, Default)]
struct Names(HashMap<String, u64>);

#[derive(Debug, Default)]
struct Seen {
    requests: u64,
    /// The oldest ones, in order.
    examples: Vec<Example>,
}

/// One decision that was made again.
pub(super) struct Again<'a> {
    pub(super) time: UnixMillis,
    pub(super) request_id: &'a str,
    pub(super) record: &'a Recorded<'a>,
    /// What was recorded, to be kept with the examples.
    pub(super) situation: Option<&'a str>,
    pub(super) revision: &'a str,
}

impl Names {
    fn add(&mut self, name: &str, requests: u64) {
        if let Some(count) = self.0.get_mut(name) {
            *count += requests;
            return;
        }
        let name = if self.0.len() < NAMES_MAX { name } else { OTHERS };
        *self.0.entry(name.to_owned()).or_default() += requests;
    }

    /// Those with the most requests first.
    fn sorted(self) -> Vec<(String, u64)> {
        let mut counts: Vec<_> = self.0.into_iter().collect();
        counts.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
        counts
    }
}

impl Seen {
    fn keep(&mut self, again: &Again<'_>, bytes: &mut usize) {
        let of_again = (again.time, again.request_id);
        let is_older = |known: &Example| of_again < (known.time, known.request_id.as_str());
        if self.examples.len() < EXAMPLES_MAX || self.examples.last().is_some_and(is_older) {
            self.put(again.example(), bytes);
        }
    }

    /// `bytes`: what is kept of situations in all. Only that of the oldest is.
    fn put(&mut self, mut example: Example, bytes: &mut usize) {
        let size = |example: &Example| example.situation.as_ref().map_or(0, |text| text.len());
        let at = self.examples.partition_point(|known| *known < example);
        if at > 0 {
            example.situation = None;
        } else if let Some(known) = self.examples.first_mut() {
            *bytes = bytes.saturating_sub(size(known));
            known.situation = None;
        }
        if *bytes + size(&example) > SITUATIONS_BYTES_MAX {
            example.situation = None;
        }
        *bytes += size(&example);
        self.examples.insert(at, example);
        self.examples.truncate(EXAMPLES_MAX);
    }
}

impl Again<'_> {
    fn example(&self) -> Example {
        Example {
            time: self.time,
            request_id: self.request_id.to_owned(),
            who: self.record.who.value.0.id().map(ToString::to_string),
            action: self.record.action,
            route: self.record.route.value.id.as_str().to_owned(),
            situation: self.situation.map(Into::into),
        }
    }
}

/// Whether what was recorded is what is said now. A list that was cut when it was written is compared as far
/// as it goes.
pub(super) fn is_same(answer: &Answer<'_>, outcome: &Outcome) -> bool {
    if answer.decision != outcome.decision || answer.broken != outcome.broken {
        return false;
    }
    if answer.policies.len() >= LISTED_MAX && outcome.policies.len() >= LISTED_MAX {
        return answer.policies.iter().all(|id| outcome.policies.iter().any(|known| **known == **id));
    }
    answer.policies.iter().copied().eq(outcome.policies.iter().map(|id| &**id))
}

impl Said {
    pub(super) fn recorded(answer: &Answer<'_>) -> Self {
        let policies = answer.policies.iter().map(|id| (*id).to_owned()).collect();
        Self { decision: answer.decision, policies, broken: answer.broken }
    }

    pub(super) fn now(outcome: &Outcome) -> Self {
        let policies = outcome.policies.iter().map(|id| id.to_string()).collect();
        Self { decision: outcome.decision, policies, broken: outcome.broken }
    }
}

impl Tally {
    pub(super) fn damaged(&mut self, file: &str, line: u64, why: impl FnOnce() -> String) {
        self.report.damaged += 1;
        let named = &mut self.report.damaged_lines;
        let is_earlier = |known: &Damaged| (file, line) < (known.file.as_str(), known.line);
        if named.len() < DAMAGED_NAMED_MAX || named.last().is_some_and(is_earlier) {
            named.push(Damaged { file: file.to_owned(), line, why: why() });
            named.sort();
            named.truncate(DAMAGED_NAMED_MAX);
        }
    }

    /// A decision was made again. `before` is what was said, where it is not the same as `after`.
    pub(super) fn decided(&mut self, again: &Again<'_>, before: Option<Said>, after: &Outcome) {
        self.report.decided += 1;
        self.revision(again.revision, ByRevision { decided: 1, differ: u64::from(before.is_some()) });
        let Some(before) = before else {
            self.report.same += 1;
            return;
        };
        let change = match (before.decision, after.decision) {
            (Decision::Allow, Decision::Deny) => Change::NewlyDenied,
            (Decision::Deny, Decision::Allow) => Change::NewlyAllowed,
            (Decision::Allow, Decision::Allow) | (Decision::Deny, Decision::Deny) => Change::OtherReasons,
        };
        *self.report.changes.entry(change).or_default() += 1;
        let record = again.record;
        let kind = PersonKind::of(&record.who.value.0);
        let app = record.route.value.id.app().as_str().to_owned();
        let key = Key { change, kind, app, before, after: Said::now(after) };
        *self.report.by_kind.entry(kind).or_default() += 1;
        self.apps.add(&key.app, 1);
        let (old, new) = (&key.before.policies, &key.after.policies);
        let gone = old.iter().filter(|id| !new.contains(id));
        gone.chain(new.iter().filter(|id| !old.contains(id))).for_each(|id| self.policies.add(id, 1));
        if self.differences.len() >= DIFFERENCES_MAX && !self.differences.contains_key(&key) {
            self.report.beyond += 1;
            return;
        }
        let seen = self.differences.entry(key).or_default();
        seen.requests += 1;
        seen.keep(again, &mut self.bytes);
    }

    fn revision(&mut self, name: &str, ByRevision { decided, differ }: ByRevision) {
        let known = match self.revisions.get_mut(name) {
            Some(known) => known,
            None => {
                let name = if self.revisions.len() < REVISIONS_MAX { name } else { OTHERS };
                self.revisions.entry(name.to_owned()).or_default()
            }
        };
        known.decided += decided;
        known.differ += differ;
    }

    /// Puts the counts of another thread to these.
    pub(super) fn join(&mut self, other: Self) {
        let (mine, theirs) = (&mut self.report, other.report);
        mine.lines += theirs.lines;
        mine.damaged += theirs.damaged;
        mine.lost = mine.lost.saturating_add(theirs.lost);
        mine.damaged_lines.extend(theirs.damaged_lines);
        mine.damaged_lines.sort();
        mine.damaged_lines.truncate(DAMAGED_NAMED_MAX);
        mine.requests += theirs.requests;
        mine.decided += theirs.decided;
        mine.asked += theirs.asked;
        mine.controlled += theirs.controlled;
        mine.mistaken += theirs.mistaken;
        mine.same += theirs.same;
        mine.beyond += theirs.beyond;
        let (undecided, more) = (&mut mine.undecided, theirs.undecided);
        undecided.not_asked += more.not_asked;
        undecided.not_recorded += more.not_recorded;
        undecided.too_large += more.too_large;
        undecided.other_version += more.other_version;
        undecided.unreadable += more.unreadable;
        for (change, count) in theirs.changes {
            *mine.changes.entry(change).or_default() += count;
        }
        for (kind, count) in theirs.by_kind {
            *mine.by_kind.entry(kind).or_default() += count;
        }
        other.apps.0.iter().for_each(|(name, count)| self.apps.add(name, *count));
        other.policies.0.iter().for_each(|(name, count)| self.policies.add(name, *count));
        for (key, seen) in other.differences {
            if self.differences.len() >= DIFFERENCES_MAX && !self.differences.contains_key(&key) {
                self.report.beyond += seen.requests;
                continue;
            }
            let mine = self.differences.entry(key).or_default();
            mine.requests += seen.requests;
            seen.examples.into_iter().for_each(|example| mine.put(example, &mut self.bytes));
        }
        for (name, count) in other.revisions {
            self.revision(&name, count);
        }
    }

    /// All of it, in an order that is always the same.
    pub(super) fn finish(self) -> Report {
        let mut differences: Vec<Difference> = self
            .differences
            .into_iter()
            .map(|(key, seen)| Difference {
                change: key.change,
                kind: key.kind,
                app: key.app,
                before: key.before,
                after: key.after,
                requests: seen.requests,
                examples: seen.examples,
            })
            .collect();
        differences.sort_by(|a, b| {
            let rank = |d: &Difference| (d.change, std::cmp::Reverse(d.requests), d.kind);
            rank(a)
                .cmp(&rank(b))
                .then_with(|| a.app.cmp(&b.app))
                .then_with(|| (&a.before, &a.after).cmp(&(&b.before, &b.after)))
        });
        let (by_app, by_policy) = (self.apps.sorted(), self.policies.sorted());
        Report {
            differences,
            by_app,
            by_policy,
            revisions: self.revisions.into_iter().collect(),
            ..self.report
        }
    }
}
