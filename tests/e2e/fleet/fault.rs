//! A row of the table: something breaks and is mended again, while everybody asks every node and
//! some are cut off. What is promised holds all the time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_tests::fleet::Fleet;
use doorward_tests::pauses::Pauses;
use tokio::time::sleep;

use crate::crowd::{Crowd, Word};
use crate::hammer::Hammer;
use crate::random::Random;
use crate::streams::{self, Circumstances};
use crate::verdict::{Evidence, Rule, Verdict};
use crate::witness::Witness;

/// N of the guarantee, as every node of these tests has it. A request that is sent later than this
/// after an acknowledgment is not let in: nothing is added for a busy machine, as the promise is of
/// moments and not of speed.
pub(crate) const LEASE: Duration = Duration::from_secs(1);
/// N + L + 2 s, where two servers take themselves for the primary: L is `replica_lag_seconds`, which Redis
/// counts in whole seconds and looks at once a second.
pub(crate) const SPLIT_BRAIN: Duration = Duration::from_secs(1 + 2 + 2);
/// How soon after the end of a fault everybody is let in again everywhere: a lease, pauses between
/// attempts, a reconciliation; most of it is slack for a busy machine.
const RECOVERY: Duration = Duration::from_secs(20);
/// How soon somebody is let in who signed in anew.
const SIGN_IN: Duration = Duration::from_secs(20);
/// What runs goes on for so long without a lease, by default (`stream_grace_seconds`). The lease itself
/// may have been almost over when it was last seen.
const GRACE: Duration = Duration::from_secs(5);
/// How long it is looked whether somebody is let in too late.
const AFTERWARDS: Duration = Duration::from_millis(400);

/// Something that breaks.
pub(crate) trait Fault: Sized {
    /// How the table calls it.
    const NAME: &'static str;
    /// For how many milliseconds it is broken.
    const LASTS: std::ops::Range<u64>;

    /// Starts what breaks, and a fleet on it.
    async fn begin() -> (Self, Fleet);

    /// Breaks it.
    async fn strike(&mut self, scene: &mut Scene<'_>);

    /// Makes it whole.
    async fn mend(&mut self, scene: &mut Scene<'_>);

    /// How long after its acknowledgment a revocation may be unknown to a node.
    fn bound(&self) -> Duration {
        LEASE
    }

    /// Whether a node may refuse because it does not know who was cut off.
    fn may_refuse(&self, _node: usize) -> bool {
        true
    }

    /// Whether some node has to refuse while it lasts; where none does the fault was none.
    fn must_refuse(&self) -> bool {
        false
    }

    /// Whether a node may not answer at all.
    fn may_be_silent(&self, _node: usize) -> bool {
        false
    }

    /// Whether the control node reads its directory itself, and so rests on no lease.
    fn has_file(&self) -> bool {
        true
    }
}

/// What a fault has to do with.
pub(crate) struct Scene<'a> {
    pub(crate) fleet: &'a mut Fleet,
    pub(crate) crowd: Arc<Crowd>,
    pub(crate) random: &'a mut Random,
    /// Counts the seeds.
    pub(crate) turn: usize,
}

impl Scene<'_> {
    /// Has so many people cut off now: what was said of each.
    pub(crate) async fn send_away(&self, count: usize) -> Vec<Word> {
        let mut words = Vec::new();
        for _ in 0..count {
            words.push(self.crowd.send_next(self.fleet.control()).await);
        }
        words
    }
}

/// How many seeds a row has: three, or `DOORWARD_FLEET_SEEDS`.
fn seeds() -> u64 {
    std::env::var("DOORWARD_FLEET_SEEDS").map_or(3, |seeds| seeds.parse().unwrap())
}

/// Runs a row: one fleet, and one run on it for each seed.
pub(crate) async fn row<F: Fault>() {
    let (mut fault, mut fleet) = F::begin().await;
    let mut whole = Verdict::default();
    for turn in 0..seeds() {
        let verdict = run(&mut fault, &mut fleet, turn).await;
        let failed = !verdict.wrong.is_empty();
        whole.add(verdict);
        if failed {
            break;
        }
    }
    whole.tell(F::NAME);
}

async fn run<F: Fault>(fault: &mut F, fleet: &mut Fleet, seed: u64) -> Verdict {
    let pauses = Pauses::watch();
    let mut random = Random::seeded(F::NAME, seed);
    let (calm, lasts) = (random.millis(200..700), random.millis(F::LASTS));
    let part = calm + lasts + Duration::from_millis(300);
    let name = format!("s{seed}");
    let crowd = Crowd::gather(fleet, &name, &mut random, part).await;
    let streams = streams::open(fleet.nodes(), &crowd).await;
    let hammer = Hammer::start(fleet.nodes(), &crowd);
    let witness = Witness::start(fleet.nodes(), &crowd.holders[crowd.staying()[0]].token);
    let mut leaving = crowd.leave(fleet.control());

    sleep(calm).await;
    let struck = Instant::now();
    let turn = usize::try_from(seed).unwrap();
    let mut scene = Scene { fleet, crowd: Arc::clone(&crowd), random: &mut random, turn };
    fault.strike(&mut scene).await;
    sleep(lasts.saturating_sub(struck.elapsed())).await;
    fault.mend(&mut scene).await;
    let mended = Instant::now();

    let mut wrong = Vec::new();
    crowd.send_rest(fleet.control()).await;
    while let Some(left) = leaving.join_next().await {
        left.unwrap();
    }
    let over = mended.max(crowd.last_word());
    while let Some(unsettled) = hammer.unsettled(&crowd, mended) {
        if over.elapsed() > RECOVERY {
            wrong.push(format!("{:?} after the fault, {unsettled}", over.elapsed()));
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let settled = Instant::now();
    sleep((crowd.last_word() + fault.bound() + AFTERWARDS).saturating_duration_since(settled)).await;
    wrong.extend(crowd.come_back(fleet, SIGN_IN).await);

    let (testimonies, samples) = (witness.end().await, hammer.end().await);
    let nodes = (0..fleet.nodes().len()).map(|node| Rule {
        stale: fault.may_refuse(node),
        silent: fault.may_be_silent(node),
        file: node == 0 && fault.has_file(),
    });
    let evidence = Evidence {
        crowd: &crowd,
        samples: &samples,
        testimonies: &testimonies,
        pauses: &pauses,
        bound: fault.bound(),
        settled,
        nodes: nodes.collect(),
    };
    let mut verdict = evidence.judge();
    let grace_is_over = |node| evidence.longest_closed(node) > GRACE;
    let around =
        Circumstances { nodes: fleet.nodes(), mended, bound: fault.bound(), grace_is_over: &grace_is_over };
    wrong.extend(streams::judge(streams, &crowd, &around).await);
    if fault.must_refuse() && !samples.iter().any(|sample| sample.seen.is_stale()) {
        wrong.push("nobody refused: the fault was none".to_owned());
    }
    verdict.wrong.extend(wrong.into_iter().map(|wrong| format!("seed {seed}: {wrong}")));
    verdict
}
