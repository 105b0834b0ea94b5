//! How fast it was: from the acknowledgment, and from the request that asked for it, to the last byte of each
//! stream, by channel and node. Before the acknowledgment is below zero: a no bites before it is written.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use doorward_tests::live::Kind;

/// Milliseconds from the acknowledgment and from the request.
#[derive(Default)]
struct Times {
    from_answer: Vec<f64>,
    from_request: Vec<f64>,
}

/// All that was measured.
#[derive(Default)]
pub(crate) struct Report {
    times: BTreeMap<(usize, String, usize), Times>,
    rows: Vec<(&'static str, f64, Option<f64>, usize)>,
    /// Streams that went on, and answers to what came next.
    pub(crate) went_on: usize,
    pub(crate) next_uses: usize,
    now: Option<(Instant, Instant)>,
}

fn millis(at: Instant, since: Instant) -> f64 {
    let after = at.saturating_duration_since(since).as_secs_f64();
    (after - since.saturating_duration_since(at).as_secs_f64()) * 1000.0
}

/// The value that so many of a hundred do not exceed.
fn percentile(sorted: &[f64], of_hundred: usize) -> f64 {
    let place = (sorted.len() * of_hundred).div_ceil(100);
    sorted[place.clamp(1, sorted.len()) - 1]
}

// === impl Report ===

impl Report {
    /// A row was asked for and acknowledged.
    pub(crate) fn happens(&mut self, row: &'static str, asked: Instant, answered: Instant) {
        self.now = Some((asked, answered));
        self.rows.push((row, millis(answered, asked), None, 0));
    }

    /// The last request that a node permitted was sent then: how long after the acknowledgment.
    pub(crate) fn permitted(&mut self, node: usize, last: Instant) -> Duration {
        self.take(0, "request (h1)".to_owned(), node, last)
    }

    /// A stream ended then: how long after the acknowledgment.
    pub(crate) fn ended(&mut self, kind: Kind, node: usize, at: Instant) -> Duration {
        let place = crate::cells::KINDS.iter().position(|k| *k == kind).unwrap_or_default() + 1;
        let late = self.take(place, format!("{kind:?}"), node, at);
        let (_, answered) = self.now.unwrap();
        if let Some((_, _, last, count)) = self.rows.last_mut() {
            *count += 1;
            *last = Some(last.unwrap_or(f64::MIN).max(millis(at, answered)));
        }
        late
    }

    fn take(&mut self, place: usize, channel: String, node: usize, at: Instant) -> Duration {
        let (asked, answered) = self.now.unwrap();
        let times = self.times.entry((place, channel, node)).or_default();
        times.from_answer.push(millis(at, answered));
        times.from_request.push(millis(at, asked));
        at.saturating_duration_since(answered)
    }

    /// What was measured, in one piece: other tests print, too.
    pub(crate) fn told(mut self, title: &str, nodes: &[&str]) -> String {
        let ended: usize = self.rows.iter().map(|row| row.3).sum();
        let mut text = format!(
            "\n{title}: {} intakes, {} nodes: {ended} streams ended, {} went on, {} next uses were looked at\n",
            self.rows.len(),
            nodes.len(),
            self.went_on,
            self.next_uses
        );
        text += &format!("\n{:<28} {:>11} {:>13} {:>8}\n", "intake", "answered", "last byte", "streams");
        for (row, took, last, count) in &self.rows {
            let last = last.map_or_else(|| "–".to_owned(), |last| format!("{last:+.1} ms"));
            text += &format!("{row:<28} {took:>8.1} ms {last:>13} {count:>8}\n");
        }
        let (answer, request) = ("from the answer: p50, p99, max", "from the request");
        text += &format!("\n{:<14} {:<8} {:>4} {answer:>30} {request:>30}\n", "ends", "node", "n");
        for ((_, channel, node), times) in &mut self.times {
            let line = |all: &mut Vec<f64>| {
                all.sort_by(f64::total_cmp);
                let [p50, p99, max] = [50, 99, 100].map(|p| percentile(all, p));
                format!("{p50:>+8.1} {p99:>+8.1} {max:>+8.1} ms")
            };
            let (answer, request) = (line(&mut times.from_answer), line(&mut times.from_request));
            let n = times.from_answer.len();
            text += &format!("{channel:<14} {:<8} {n:>4} {answer:>30} {request:>30}\n", nodes[*node]);
        }
        text
    }
}
