//! What runs at every node: streams of somebody who stays, and of somebody who leaves.

use std::time::{Duration, Instant};

use doorward_tests::fleet::Node;
use doorward_tests::live::{End, Kind, Live, NotOpen};
use doorward_tests::wire::within;

use crate::crowd::{Crowd, Fate, Word};

/// A WebSocket and server-sent events: one has a word for why it ends, the other has none.
const KINDS: [Kind; 2] = [Kind::WsTicking, Kind::Sse];
/// On top of the bound of the promise: until a busy machine has told the client.
const CUT_WITHIN: Duration = Duration::from_secs(20);

/// One stream.
pub(crate) struct Stream {
    node: usize,
    /// The lives of its node when it was opened.
    lives: u32,
    holder: usize,
    live: Live,
}

/// What the fault did to the nodes, as far as streams are concerned.
pub(crate) struct Circumstances<'a> {
    pub(crate) nodes: &'a [Node],
    /// When the fault was over.
    pub(crate) mended: Instant,
    /// How long a revocation may take to be known.
    pub(crate) bound: Duration,
    /// Whether what runs at a node may have been ended, because it had no lease for too long.
    pub(crate) grace_is_over: &'a dyn Fn(usize) -> bool,
}

/// Opens one of each kind, for one who stays and one who leaves, at every node.
pub(crate) async fn open(nodes: &[Node], crowd: &Crowd) -> Vec<Stream> {
    let (staying, leaving) = (crowd.staying(), crowd.leaving());
    let mut streams = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        for (i, kind) in KINDS.into_iter().enumerate() {
            for holder in [staying[i % staying.len()], leaving[i % leaving.len()]] {
                let token = &crowd.holders[holder].token;
                // A node that has no lease yet, or lost it while the machine stood still, takes one.
                let live = within("a stream that is not refused for want of a lease", async {
                    loop {
                        match node.open(kind, token).await {
                            Err(NotOpen::Refused(503)) => tokio::time::sleep(Duration::from_millis(20)).await,
                            other => return other,
                        }
                    }
                })
                .await;
                let live = live.unwrap_or_else(|e| panic!("{kind:?} at {}: {e:?}", node.name()));
                streams.push(Stream { node: number, lives: node.lives(), holder, live });
            }
        }
    }
    streams
}

/// Ends what still runs: what is not as it must be.
pub(crate) async fn judge(streams: Vec<Stream>, crowd: &Crowd, around: &Circumstances<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    for stream in streams {
        let Stream { node, lives, holder, live } = stream;
        let (kind, runs) = (live.kind(), live.is_running());
        let holder = (holder, &crowd.holders[holder]);
        let told = format!("{kind:?} of {} at {}", holder.1.name, around.nodes[node].name());
        // A process that was killed takes along what ran.
        if around.nodes[node].lives() != lives {
            continue;
        }
        let over = (around.grace_is_over)(node);
        match (&holder.1.fate, crowd.word(holder.0)) {
            (Fate::Stays, _) => {
                if runs || !over {
                    let how = live.finish().await.how;
                    if how != End::Whole {
                        wrong.push(format!("{told} ended, and nobody took it away: {how:?}"));
                    }
                }
            }
            (_, Word::Acknowledged(at) | Word::Promised(at)) => {
                if runs {
                    wrong.push(format!("{told} still runs"));
                    continue;
                }
                let ended = live.ended().await;
                let due = at.max(around.mended) + around.bound + CUT_WITHIN;
                if !kind.is_cut_off_by(&ended.how) && !over {
                    wrong.push(format!("{told} ended otherwise: {:?}", ended.how));
                }
                if ended.at > due {
                    wrong.push(format!("{told} ended {:?} too late", ended.at - due));
                }
            }
            (_, Word::None) => {}
        }
    }
    wrong
}
