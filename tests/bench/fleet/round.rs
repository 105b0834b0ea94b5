//! One person more: opens streams everywhere, is revoked, and it is seen when that is so everywhere.

use std::time::{Duration, Instant};

use doorward_tests::fleet::{Fleet, TICK};
use doorward_tests::live::Kind;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::load::Busy;
use crate::probe::{Probe, Seen};
use crate::table::Samples;

const KINDS: [Kind; 2] = [Kind::WsTicking, Kind::Sse];

/// What one phase gave.
#[derive(Default)]
pub(crate) struct Phase {
    pub(crate) answered: Samples,
    /// One sample for each node but the control node.
    pub(crate) gateway_refuses: Samples,
    pub(crate) all_refuse: Samples,
    pub(crate) websockets: Samples,
    pub(crate) events: Samples,
    pub(crate) everything: Samples,
    pub(crate) fleet_answered: Samples,
    /// From the sending of a probe that is let in until its answer: what is measured is no finer.
    pub(crate) probed: Samples,
    /// How long after the answer to the call requests were sent that were let in.
    pub(crate) let_in_after: Vec<Duration>,
    /// Ends that were not those of the protocol.
    pub(crate) odd: u64,
    /// Calls that waited for the fleet, and for which not every node answered.
    pub(crate) unconfirmed: u64,
    pub(crate) requests_per_second: f64,
    pub(crate) busy: Busy,
}

async fn revoke(fleet: &Fleet, name: &str, more: Value) -> Value {
    let answer = fleet.control().change("revoke", "user", &format!("demo:{name}"), more).await;
    let answer = answer.expect("the call is answered");
    assert_eq!(answer.status, 201, "{}", answer.text);
    serde_json::from_str(&answer.text).unwrap()
}

pub(crate) async fn run(fleet: &Fleet, name: &str, pause: Duration, phase: &mut Phase) {
    let token = fleet.issuer.token_of(name);
    let open = fleet.nodes().iter().flat_map(|node| KINDS.map(|kind| node.open(kind, &token)));
    let open: Vec<_> = join_all(open).await.into_iter().map(Result::unwrap).collect();
    // At another moment between two polls and two ticks of the streams each time.
    tokio::time::sleep(Duration::from_micros(u64::from(moment(name)) % (TICK.as_micros() as u64))).await;
    let nodes = fleet.nodes().len() as u32;
    let probes = fleet.nodes().iter().zip(0..).map(|(node, number)| {
        // Not all at the same moment.
        Probe::start(node.address(), &token, pause, pause * number / nodes)
    });
    let mut probes: Vec<Probe> = join_all(probes).await;
    tokio::time::sleep(pause * 2).await;

    let begin = Instant::now();
    revoke(fleet, name, json!({})).await;
    let answered = Instant::now();
    phase.answered.add(answered - begin);

    let seen: Vec<Seen> = join_all(probes.iter_mut().map(Probe::refused)).await;
    let mut last = Duration::ZERO;
    for (node, seen) in seen.into_iter().enumerate() {
        let took = seen.refused.saturating_duration_since(begin);
        last = last.max(took);
        if node > 0 {
            phase.gateway_refuses.add(took);
        }
        for (sent, received) in seen.let_in {
            phase.probed.add(received - sent);
            if sent > answered {
                phase.let_in_after.push(sent - answered);
            }
        }
    }
    phase.all_refuse.add(last);
    let mut ends = [Duration::ZERO; 2];
    for (i, live) in open.into_iter().enumerate() {
        let kind = live.kind();
        let ended = live.ended().await;
        phase.odd += u64::from(!kind.is_cut_off_by(&ended.how));
        let end = &mut ends[i % KINDS.len()];
        *end = (*end).max(ended.at.saturating_duration_since(begin));
    }
    phase.websockets.add(ends[0]);
    phase.events.add(ends[1]);
    phase.everything.add(last.max(ends[0]).max(ends[1]));
}

/// A call that is answered when every node has said that it has applied it.
pub(crate) async fn wait_for_fleet(fleet: &Fleet, name: &str, phase: &mut Phase) {
    let begin = Instant::now();
    let receipt = revoke(fleet, name, json!({"wait": "fleet"})).await;
    phase.fleet_answered.add(begin.elapsed());
    let all = receipt["nodes"].as_array().map_or(0, Vec::len);
    let whole = receipt["enforced_everywhere"] == true && all == fleet.nodes().len();
    phase.unconfirmed += u64::from(!whole);
}

/// A number that is the same for a name in every run, and another for each name.
fn moment(name: &str) -> u32 {
    name.bytes().fold(2_166_136_261, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619))
}
