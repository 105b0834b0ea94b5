//! What follows from the facts of a receipt. It is written beside them, for whoever reads the document
//! without a program, and computed anew by whoever checks it.

use doorward_audit::Protocol;
use doorward_model::UnixMillis;
use serde::{Deserialize, Serialize};

use super::facts::{Answer, Facts, Fleet, ProtocolEnded};
use super::wire::words;

/// What follows from the facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Every node has confirmed every revocation.
    pub enforced_everywhere: bool,
    /// There was a revocation, every node said what it ended by it, and nothing of that runs any more. False
    /// where there is none: what goes on without is decided anew, and not counted here.
    pub nothing_runs: bool,
    /// Nodes, by what they said.
    pub nodes: NodeCounts,
    /// Exchanges that were ended, by protocol, on all nodes that said so.
    pub exchanges: Vec<ProtocolEnded>,
    /// From the call to the last revocation that the maker put into force. Null where there is none.
    pub enforced_here_millis: Option<u64>,
    /// From the call until the maker knew that every node has all of them. Null when it does not.
    pub enforced_everywhere_millis: Option<u64>,
    /// Whether the times can be compared.
    pub clock: ClockWord,
}

/// Nodes, by what they said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeCounts {
    /// All of them.
    pub all: u64,
    /// Those that have it.
    pub applied: u64,
    /// Those that did not have it in time.
    pub behind: u64,
    /// Those that were not seen.
    pub silent: u64,
    /// Those that did not say what they ended.
    pub ended_unknown: u64,
}

words! {
    /// Whether the times of a receipt are in order.
    pub enum ClockWord {
        /// They are.
        Steady = "steady",
        /// They are not: the clock of the maker was set back in between.
        SetBack = "set_back",
    }
}

impl Summary {
    /// Computes it. The facts need not be consistent.
    #[must_use]
    pub fn of(facts: &Facts) -> Self {
        let nodes = counts(facts);
        let enforced_everywhere = match facts.fleet {
            Fleet::Alone {} | Fleet::Asked { .. } => nodes.applied == nodes.all,
            Fleet::Unknown { .. } => false,
        };
        let exchanges = exchanges(facts);
        let nothing_runs = !facts.revocations.is_empty()
            && nodes.ended_unknown == 0
            && exchanges.iter().all(|of| of.still_open == 0);
        let enforced_here_millis = last_applied(facts).map(|at| millis_between(facts.asked.at, at));
        let enforced_everywhere_millis = match facts.fleet {
            Fleet::Alone {} => enforced_here_millis,
            Fleet::Asked { answered_at, .. } => Some(millis_between(facts.asked.at, answered_at)),
            Fleet::Unknown { .. } => None,
        }
        .filter(|_| enforced_everywhere && !facts.revocations.is_empty());
        Self {
            enforced_everywhere,
            nothing_runs,
            nodes,
            exchanges,
            enforced_here_millis,
            enforced_everywhere_millis,
            clock: clock(facts),
        }
    }
}

fn counts(facts: &Facts) -> NodeCounts {
    let mut counts = NodeCounts::default();
    for node in &facts.nodes {
        counts.all = counts.all.saturating_add(1);
        let of = match node.answer {
            Answer::Applied => &mut counts.applied,
            Answer::Behind => &mut counts.behind,
            Answer::Silent => &mut counts.silent,
        };
        *of = of.saturating_add(1);
        if !facts.ended.iter().any(|ended| ended.instance == node.instance) {
            counts.ended_unknown = counts.ended_unknown.saturating_add(1);
        }
    }
    counts
}

/// The sums, in the order of [`Protocol::ALL`]; the time of the slowest node.
fn exchanges(facts: &Facts) -> Vec<ProtocolEnded> {
    let of = |protocol: Protocol| {
        let mut sum: Option<ProtocolEnded> = None;
        let all = facts.ended.iter().flat_map(|node| &node.exchanges);
        for one in all.filter(|one| one.protocol == protocol) {
            sum = Some(match sum {
                None => *one,
                Some(sum) => ProtocolEnded {
                    protocol,
                    ended: sum.ended.saturating_add(one.ended),
                    still_open: sum.still_open.saturating_add(one.still_open),
                    last_byte_micros: sum
                        .last_byte_micros
                        .and_then(|slowest| Some(slowest.max(one.last_byte_micros?))),
                },
            });
        }
        sum
    };
    Protocol::ALL.into_iter().filter_map(of).collect()
}

fn last_applied(facts: &Facts) -> Option<UnixMillis> {
    facts.revocations.iter().map(|revocation| revocation.applied_at).max()
}

/// Zero where the clock was set back.
fn millis_between(from: UnixMillis, to: UnixMillis) -> u64 {
    u64::try_from(to.since(from).as_millis()).unwrap_or(u64::MAX)
}

/// The times of one clock, in the order in which things happen.
fn clock(facts: &Facts) -> ClockWord {
    let answered = match facts.fleet {
        Fleet::Asked { answered_at, .. } => Some(answered_at),
        Fleet::Alone {} | Fleet::Unknown { .. } => None,
    };
    let in_order = |times: &[Option<UnixMillis>]| times.iter().flatten().is_sorted();
    let whole = [Some(facts.asked.at), answered, Some(facts.made_at)];
    let steady = in_order(&whole)
        && facts.revocations.iter().all(|revocation| {
            let published = revocation.published.map(|published| published.at);
            let story = [
                Some(facts.asked.at),
                Some(revocation.applied_at),
                Some(revocation.durable_at),
                published,
                answered,
                Some(facts.made_at),
            ];
            in_order(&story)
        });
    if steady { ClockWord::Steady } else { ClockWord::SetBack }
}
