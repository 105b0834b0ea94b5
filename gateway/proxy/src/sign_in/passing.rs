//! How many ways on to hosts of apps one person gets in a minute. Each is a one-time code in the store, and whoever is
//! signed in asks for as many as they like. One code for each ticket would be no bound: tickets cost nothing. An account
//! that many people share meets it, too, so the log says whose it is.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

use doorward_identity::attempt::Enter;
use doorward_model::limits::{CODES_PER_PERSON_MAX, RISK_PEOPLE_MAX};
use doorward_model::{UnixMillis, UserId};

/// The codes of this node, by person, for as long as a code lives.
#[derive(Default)]
pub struct Passing(Mutex<Counted>);

/// Two halves: a code of the older one may still be in the store.
#[derive(Default)]
struct Counted {
    newer: HashMap<UserId, Codes>,
    older: HashMap<UserId, Codes>,
    since: UnixMillis,
}

/// Those of one person in one half.
#[derive(Default)]
struct Codes {
    given: u32,
    told: bool,
}

/// Whether somebody gets one more code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passes {
    Yes,
    /// They have had enough for now. `is_news`: the first time in about a minute.
    No {
        is_news: bool,
    },
}

// === impl Passing ===

impl Passing {
    /// Counts one more code of a person, if they get it.
    pub(super) fn may(&self, person: &UserId, now: UnixMillis) -> Passes {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(counted.since) >= Enter::LIFE * 2 {
            (counted.newer, counted.older, counted.since) = (HashMap::new(), HashMap::new(), now);
        } else if now.since(counted.since) >= Enter::LIFE || counted.newer.len() >= RISK_PEOPLE_MAX {
            counted.older = mem::take(&mut counted.newer);
            counted.since = now;
        }
        let before = counted.older.get(person).map_or(0, |codes| codes.given);
        let here = counted.newer.entry(person.clone()).or_default();
        if before.saturating_add(here.given) >= CODES_PER_PERSON_MAX {
            return Passes::No { is_news: !mem::replace(&mut here.told, true) };
        }
        here.given = here.given.saturating_add(1);
        Passes::Yes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_person_has_so_many_codes_at_once_and_others_theirs() {
        let (passing, now) = (Passing::default(), UnixMillis(1_000_000_000));
        let [alice, bob]: [UserId; 2] = ["corp:alice", "corp:bob"].map(|link| link.parse().unwrap());
        let (told, again) = (Passes::No { is_news: true }, Passes::No { is_news: false });
        let taken = |at| {
            let all: Vec<Passes> = (0..1000).map(|_| passing.may(&alice, at)).collect();
            let first = all.iter().position(|passes| *passes != Passes::Yes).unwrap();
            assert!(all[first + 1..].iter().all(|passes| *passes == again), "it is told once");
            (first, all[first])
        };
        let max = CODES_PER_PERSON_MAX as usize;
        assert_eq!(taken(now), (max, told));
        let later = |seconds| now.plus(Duration::from_secs(seconds));
        assert_eq!(taken(later(59)), (0, again));
        assert_eq!(passing.may(&bob, later(59)), Passes::Yes);
        // The first ones are gone by then, and no more than those make room.
        assert_eq!(
            taken(later(60)),
            (0, told),
            "they were counted a moment ago, as far as this node can tell"
        );
        assert_eq!(taken(later(121)), (max, told));
    }
}
