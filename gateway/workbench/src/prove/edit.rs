//! What an edit does: is anything newly allowed, is anything newly denied?

use cedar_policy::PolicySet;
use doorward_policy::{PolicyBundle, Situation, Workshop};

use super::breach::Shows;
use super::court::{Court, Seen, set};
use super::{Progress, Verdict};
use crate::solver::{Answer, Solver, World, differing};

/// What an edit does to what is allowed.
#[derive(Clone, Debug)]
pub struct Edit {
    /// Something is allowed that was not.
    pub widens: Verdict,
    /// Something is not allowed any more.
    pub narrows: Verdict,
}

/// Compares two folders: [`Verdict::Proved`] means that there is nothing of the kind, [`Verdict::Broken`]
/// shows one request of the kind, with what the new folder decides of it.
///
/// # Errors
/// They do not speak the same words, or cannot be asked about at all.
pub fn against(
    solver: &mut Solver,
    old: &Workshop,
    new: &Workshop,
    progress: Progress<'_>,
) -> Result<Edit, String> {
    if !World::of(old)?.speaks_like(&World::of(new)?)? {
        return Err("the two folders have different schemas, so that they cannot be compared".to_owned());
    }
    let court = Court::new(new)?;
    let (before, after) = (Side { set: &set(old)?, bundle: old.bundle() }, court.side());
    progress(0, 2, "widens");
    let widens = only_in(solver, &court, after, before, Way::Widens);
    progress(1, 2, "narrows");
    let narrows = only_in(solver, &court, before, after, Way::Narrows);
    Ok(Edit { widens, narrows })
}

/// One of two folders.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side<'a> {
    pub(super) set: &'a PolicySet,
    pub(super) bundle: &'a PolicyBundle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Widens,
    Narrows,
}

/// Whether something is allowed on one side only.
fn only_in(solver: &mut Solver, court: &Court<'_>, allows: Side<'_>, denies: Side<'_>, way: Way) -> Verdict {
    let differ = |s: &Situation| {
        allows.bundle.decide(&s.question()).is_allow() && !denies.bundle.decide(&s.question()).is_allow()
    };
    let seen = |by: &[String], before: &[String], situation: Option<&Situation>| {
        let title = match way {
            Way::Widens => "newly allowed",
            Way::Narrows => "newly denied",
        };
        let shows = Shows::Edit { before: before.to_vec() };
        court.told(Seen { title, by, situation, shows }, differ)
    };
    match solver.implies(&court.world, allows.set, denies.set) {
        Answer::Proved => {}
        Answer::Unknown(why) => return Verdict::Unknown(why.to_string()),
        Answer::Found(found) => {
            let (now, before) = match way {
                Way::Widens => (&found.first.by, &found.second.by),
                Way::Narrows => (&found.second.by, &found.first.by),
            };
            return seen(now, before, found.situation.as_ref());
        }
    }
    // Where a policy fails, the gateway refuses. One that is the same on both sides fails on both.
    let mut unknown = None;
    for policy in differing(denies.set, allows.set) {
        let id = policy.id();
        let failing = match solver.never_errors(&court.world, policy) {
            Answer::Proved => continue,
            Answer::Unknown(why) => {
                unknown = Some(format!("`{id}` may fail, and the gateway refuses then: {why}"));
                continue;
            }
            Answer::Found(failing) => failing,
        };
        let this = [format!("{id}, which cannot be evaluated")];
        let situation = failing.situation.as_ref();
        let permits = situation.map_or_else(Vec::new, |s| allows.bundle.decide(&s.question()).determining);
        let permits: Vec<String> = permits.iter().map(ToString::to_string).collect();
        let verdict = match way {
            Way::Widens => seen(&permits, &this, situation),
            Way::Narrows => seen(&this, &permits, situation),
        };
        match verdict {
            Verdict::Broken(_) => return verdict,
            Verdict::Proved | Verdict::Unknown(_) => {
                unknown = Some(format!("`{id}` may fail on one side only, and the gateway refuses then"));
            }
        }
    }
    unknown.map_or(Verdict::Proved, Verdict::Unknown)
}
