//! What a run showed: what was promised, held against every answer that was seen.

use std::io::Write as _;
use std::time::{Duration, Instant};

use doorward_tests::pauses::Pauses;

use crate::crowd::{Crowd, Fate, Word};
use crate::hammer::{Sample, Seen};
use crate::witness::Testimony;

/// How many answers of one kind a failure shows.
const SHOWN: usize = 5;

/// Everything that a run left behind.
pub(crate) struct Evidence<'a> {
    pub(crate) crowd: &'a Crowd,
    pub(crate) samples: &'a [Sample],
    pub(crate) testimonies: &'a [Testimony],
    /// When nobody ran, and so no node took a lease.
    pub(crate) pauses: &'a Pauses,
    /// How long after its acknowledgment a revocation may be unknown to a node.
    pub(crate) bound: Duration,
    /// From when on what was promised without being acknowledged must be in force.
    pub(crate) settled: Instant,
    pub(crate) nodes: Vec<Rule>,
}

/// What one node may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// Refuse because it does not know who was cut off.
    pub(crate) stale: bool,
    /// Not answer at all: it was stopped or killed.
    pub(crate) silent: bool,
    /// Its directory is a file, and nothing rests on its lease.
    pub(crate) file: bool,
}

/// One line of the table, and what is wrong in it.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    seeds: usize,
    requests: usize,
    acknowledged: usize,
    promised: usize,
    /// The longest time in which a node refused as stale.
    pub(crate) stale: Duration,
    /// How long after its acknowledgment somebody was let in at the latest.
    latest: Duration,
    late: usize,
    destroyed: usize,
    /// Looks at a node that could be compared with what it did: those that found it without a lease.
    decisive: (usize, usize),
    pub(crate) wrong: Vec<String>,
}

impl Evidence<'_> {
    fn told(&self, sample: &Sample) -> String {
        let millis = |at: Instant| at.saturating_duration_since(self.crowd.began).as_millis();
        let holder = &self.crowd.holders[sample.holder];
        let word = match self.crowd.word(sample.holder) {
            Word::None => String::new(),
            Word::Acknowledged(at) => format!(", acknowledged at {} ms", millis(at)),
            Word::Promised(at) => format!(", promised at {} ms", millis(at)),
        };
        let (sent, received) = (millis(sample.sent), millis(sample.received));
        let (name, node, seen) = (&holder.name, sample.node, &sample.seen);
        format!("{name} at node {node}: {seen}, sent at {sent} ms, answered at {received} ms{word}")
    }

    /// From the first answer to the last by which a node refused as stale.
    pub(crate) fn stale(&self, node: usize) -> Duration {
        let mut stale = self.samples.iter().filter(|s| s.node == node && s.seen.is_stale());
        let first = stale.next().map(|s| s.received);
        let last = stale.next_back().map(|s| s.received).or(first);
        first.zip(last).map_or(Duration::ZERO, |(first, last)| last.saturating_duration_since(first))
    }

    /// The longest time in which a node let nobody in, because it did not know who was cut off or stood
    /// still.
    pub(crate) fn longest_closed(&self, node: usize) -> Duration {
        let granted = self.samples.iter().filter(|s| s.node == node && s.seen.is_granted());
        let times: Vec<Instant> = granted.map(|s| s.received).collect();
        let gaps = times.windows(2).map(|pair| pair[1].saturating_duration_since(pair[0]));
        gaps.max().unwrap_or_default()
    }

    pub(crate) fn judge(&self) -> Verdict {
        let mut verdict = Verdict { seeds: 1, requests: self.samples.len(), ..Verdict::default() };
        for i in self.crowd.leaving() {
            match self.crowd.word(i) {
                Word::Acknowledged(_) => verdict.acknowledged += 1,
                Word::Promised(_) => verdict.promised += 1,
                Word::None => {
                    verdict.wrong.push(format!("nothing was said of {}", self.crowd.holders[i].name));
                }
            }
        }
        let mut wrong = Vec::new();
        for sample in self.samples {
            match (&self.crowd.holders[sample.holder].fate, &sample.seen) {
                (_, Seen::Nothing) if self.nodes[sample.node].silent => {}
                (fate, Seen::Nothing) if self.ran_into(fate, sample) && !self.is_late(sample) => {}
                (_, seen) if seen.is_stale() => self.judge_stale(sample, &mut wrong),
                (Fate::Stays, seen) if seen.is_granted() => {}
                (Fate::Stays, seen) => {
                    let word = if seen.is_cut_off() { "DESTROYED" } else { "unexpected" };
                    verdict.destroyed += usize::from(seen.is_cut_off());
                    wrong.push(format!("{word}: {}", self.told(sample)));
                }
                (_, seen) if seen.is_cut_off() => {}
                (_, seen) if seen.is_granted() => {
                    verdict.latest = verdict.latest.max(self.admitted_after(sample));
                    if self.is_late(sample) {
                        verdict.late += 1;
                        wrong.push(format!("LATE: {}", self.told(sample)));
                    }
                }
                _ => wrong.push(format!("unexpected: {}", self.told(sample))),
            }
        }
        verdict.wrong.extend(wrong.into_iter().take(SHOWN));
        verdict.stale = (0..self.nodes.len()).map(|node| self.stale(node)).max().unwrap_or_default();
        self.hear(&mut verdict);
        verdict
    }

    fn judge_stale(&self, sample: &Sample, wrong: &mut Vec<String>) {
        let Seen::Answer { retry_after, cookie, .. } = sample.seen else { return };
        let stood_still = self.pauses.touch(sample.sent, sample.received);
        if !self.nodes[sample.node].stale && !stood_still {
            wrong.push(format!("this node has no reason to refuse: {}", self.told(sample)));
        } else if !retry_after || cookie {
            wrong.push(format!("no Retry-After, or a cookie: {}", self.told(sample)));
        }
    }

    /// Whether it may have run when it was taken away, and so was ended.
    fn ran_into(&self, fate: &Fate, sample: &Sample) -> bool {
        match fate {
            Fate::Stays | Fate::Left => false,
            Fate::Leaves { after, .. } => sample.received >= self.crowd.began + after.unwrap_or_default(),
        }
    }

    fn admitted_after(&self, sample: &Sample) -> Duration {
        match self.crowd.word(sample.holder) {
            Word::Acknowledged(at) => sample.sent.saturating_duration_since(at),
            Word::None | Word::Promised(_) => Duration::ZERO,
        }
    }

    /// Let in by what was taken away, when no node may any more.
    fn is_late(&self, sample: &Sample) -> bool {
        match (&self.crowd.holders[sample.holder].fate, self.crowd.word(sample.holder)) {
            (Fate::Left, _) => true,
            (_, Word::Acknowledged(at)) => sample.sent > at + self.bound,
            // The node that said so enforces it at once, for as long as it lives.
            (_, Word::Promised(at)) => {
                sample.sent > self.settled || (sample.node == 0 && !self.nodes[0].silent && sample.sent > at)
            }
            (_, Word::None) => false,
        }
    }

    fn hear(&self, verdict: &mut Verdict) {
        for testimony in self.testimonies.iter().filter(|t| t.is_decisive()) {
            let untrue = testimony.untrue(self.nodes[testimony.node].file);
            verdict.decisive.0 += 1;
            verdict.decisive.1 += usize::from(testimony.finds_no_lease());
            if let Some(untrue) = untrue {
                let at = testimony.at.saturating_duration_since(self.crowd.began).as_millis();
                verdict.wrong.push(format!("node {} at {at} ms: {untrue}", testimony.node));
            }
        }
    }
}

impl Verdict {
    /// What another seed showed.
    pub(crate) fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.requests += other.requests;
        self.acknowledged += other.acknowledged;
        self.promised += other.promised;
        self.stale = self.stale.max(other.stale);
        self.latest = self.latest.max(other.latest);
        self.late += other.late;
        self.destroyed += other.destroyed;
        self.decisive.0 += other.decisive.0;
        self.decisive.1 += other.decisive.1;
        self.wrong.extend(other.wrong);
    }

    /// Prints the line, past what the test runner keeps to itself of a test that passes.
    ///
    /// # Panics
    /// When something is wrong.
    pub(crate) fn tell(&self, name: &str) {
        let Self { seeds, requests, acknowledged, promised, late, destroyed, .. } = self;
        let (stale, latest) = (self.stale.as_millis(), self.latest.as_millis());
        let (looks, without) = self.decisive;
        let line = format!(
            "{name:<30} seeds {seeds}  requests {requests:>5}  revoked {acknowledged:>2}+{promised:<2}  stale ms \
             {stale:>5}  latest ms {latest:>4}  late {late}  destroyed {destroyed}  looks {looks:>3}, without a lease {without}\n"
        );
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        assert!(self.wrong.is_empty(), "{name}:\n{}", self.wrong.join("\n"));
    }
}
