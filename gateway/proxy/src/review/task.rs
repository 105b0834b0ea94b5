//! The task that works on what waits.

use std::sync::Arc;
use std::time::Duration;

use doorward_model::Target;
use tokio::time::MissedTickBehavior;

use super::anew::{Answer, Thoroughly};
use super::waiting::{Named, Work};
use super::{Because, Held, Tally, Withdrawn};
use crate::inflight::{HouseEnd, Slot};
use crate::people::is_read;
use crate::pipeline::House;

/// How often the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many exchanges are decided anew before others have a turn.
const AT_ONCE: usize = 32;

/// Why some exchanges are looked at, and since when.
#[derive(Clone, Copy)]
struct Occasion {
    because: Because,
    since: Duration,
}

/// Decides anew whatever has to be, for ever. Not for a thread that serves requests.
pub async fn keep_deciding(house: Arc<House>) {
    let mut clock = tokio::time::interval(LOOK_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = house.review.wake.notified() => {}
            _ = clock.tick() => whose_time_has_come(&house).await,
        }
        while let Some(work) = house.review.take() {
            match work {
                Work::Named(named) => of_some(&house, named).await,
                Work::Everybody { because, since } => of_everybody(&house, because, since).await,
            }
        }
    }
}

/// What those run of whom the directory says something else, the machines for which they answer, and whoever
/// came with a device that is named.
async fn of_some(house: &House, named: Named) {
    let Named { mut links, people, devices, since } = named;
    links.extend(house.accounts.directory().machines_of(&people));
    let occasion = Occasion { because: Because::Directory, since };
    let mut tally = Tally::default();
    let devices = devices.into_iter().map(Target::Device);
    for target in links.into_iter().map(Target::User).chain(devices) {
        let theirs = house.inflight.of(&target);
        for slots in theirs.chunks(AT_ONCE) {
            slots.iter().for_each(|slot| decide(house, slot, occasion, &mut tally));
            tokio::task::yield_now().await;
        }
    }
    tell(house, occasion, tally);
}

async fn of_everybody(house: &House, because: Because, since: Duration) {
    let occasion = Occasion { because, since };
    let mut tally = Tally::default();
    for slots in house.inflight.list(usize::MAX, |_| true).chunks(AT_ONCE) {
        while let Some(named) = house.review.take_named() {
            of_some(house, named).await;
        }
        slots.iter().for_each(|slot| decide(house, slot, occasion, &mut tally));
        tokio::task::yield_now().await;
    }
    tell(house, occasion, tally);
}

/// Whatever may have changed by the time alone: sign-ins and contracts end, it is night; and whatever
/// nobody could tell a moment ago.
async fn whose_time_has_come(house: &House) {
    let (now, ticks) = ((house.clock)(), (house.ticks)());
    let stale = is_read(house.accounts.directory(), Duration::ZERO).is_err();
    let occasion = Occasion { because: Because::Time, since: ticks };
    let mut tally = Tally::default();
    for slots in house.inflight.list(usize::MAX, |_| true).chunks(AT_ONCE) {
        for slot in slots {
            let is_due = |held: &Held| held.is_due(house, now, ticks) || (stale && held.is_looked_up(house));
            if slot.held().is_some_and(|held| is_due(&held)) {
                decide(house, slot, occasion, &mut tally);
            }
        }
        tokio::task::yield_now().await;
    }
    tell(house, occasion, tally);
}

fn decide(house: &House, slot: &Slot, occasion: Occasion, tally: &mut Tally) {
    // What is not decided yet finds out by itself, and what is over or ends has nothing to lose.
    let Some(held) = slot.held().filter(|_| !slot.is_ended()) else { return };
    let Occasion { because, since } = occasion;
    let thoroughly = match because {
        Because::Directory => Thoroughly::No,
        Because::Policies | Because::Places | Because::Certificates | Because::Time => Thoroughly::Yes,
    };
    let (refusal, ruling) = match held.anew(house, thoroughly) {
        Answer::Stands(_) => {
            tally.stand += 1;
            return;
        }
        Answer::Unknown(..) if held.unknown_for((house.ticks)()) < house.stream_grace => {
            tally.unknown += 1;
            return;
        }
        Answer::Ends(refusal, ruling) | Answer::Unknown(refusal, ruling) => (refusal, ruling),
    };
    tally.withdrawn += 1;
    if refusal.code.is_passing() {
        // Whoever it was may come back in a moment, and is told so.
        slot.end_by_house(HouseEnd::Stale);
    } else {
        slot.withdraw(Withdrawn { because, code: refusal.code, ruling, changed_at: since });
    }
}

fn tell(house: &House, occasion: Occasion, tally: Tally) {
    let Occasion { because, since } = occasion;
    // That of the clock says nothing: it is looked at because it is time.
    let delay = (because != Because::Time).then(|| (house.ticks)().saturating_sub(since));
    house.metrics.reviewed(because, delay, tally);
    let (because, Tally { stand, withdrawn, unknown }) = (because.as_str(), tally);
    if withdrawn > 0 {
        tracing::info!(because, withdrawn, stand, "what ran was decided anew, and some of it may not go on");
    }
    if unknown > 0 {
        tracing::warn!(
            because,
            unknown,
            "nobody can tell whether what runs may go on: it is asked about again"
        );
    }
}
