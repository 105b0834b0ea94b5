//! What waits to be worked on: the changes that came since, put together.
//!
//! A group with 10,000 members, an import, a policy that is saved twice: each is one piece of work. Whoever
//! is named goes before everybody: they are few, and somebody may wait for them to be stopped.

use std::collections::BTreeSet;
use std::time::Duration;

use doorward_model::directory::PersonId;
use doorward_model::{DeviceId, UserId};
use doorward_state::directory::Moved;

use super::Because;

/// More names than this are everybody: what runs is walked through once instead.
pub(super) const NAMES_MAX: usize = 4096;

/// What waits. Times are of the process's monotonic clock, and those of the oldest change.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    named: Option<Named>,
    /// Since when everybody is meant, in the order of [`Because::ALL`].
    everybody: [Option<Duration>; Because::ALL.len()],
}

/// Those of whom the directory says something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Their sign-ins.
    pub(super) links: BTreeSet<UserId>,
    /// The people among them, who may answer for machines.
    pub(super) people: BTreeSet<PersonId>,
    /// The devices of which it says something else.
    pub(super) devices: BTreeSet<DeviceId>,
    /// When the first of it was told.
    pub(super) since: Duration,
}

/// A piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// To look at what some run.
    Named(Named),
    /// To look at all that runs.
    Everybody {
        /// Why.
        because: Because,
        /// When the first of it was told.
        since: Duration,
    },
}

// === impl Waiting ===

impl Waiting {
    /// Something changed that may concern everybody.
    pub(super) fn everybody(&mut self, because: Because, at: Duration) {
        if let Some(since) = self.everybody.get_mut(because as usize) {
            since.get_or_insert(at);
        }
        if because == Because::Directory
            && let Some(named) = self.named.take()
            && let Some(Some(since)) = self.everybody.get_mut(because as usize)
        {
            *since = named.since.min(*since);
        }
    }

    /// The directory says something else of some, or of everybody below a group.
    pub(super) fn some(&mut self, moved: &Moved, at: Duration) {
        let waits_for_all = matches!(self.everybody.get(Because::Directory as usize), Some(Some(_)));
        if moved.groups || waits_for_all {
            return self.everybody(Because::Directory, at);
        }
        let named = self.named.get_or_insert_with(|| Named {
            links: BTreeSet::new(),
            people: BTreeSet::new(),
            devices: BTreeSet::new(),
            since: at,
        });
        named.links.extend(moved.links.iter().cloned());
        named.people.extend(moved.people.iter().copied());
        named.devices.extend(moved.devices.iter().cloned());
        if [named.links.len(), named.people.len(), named.devices.len()].iter().any(|count| *count > NAMES_MAX)
        {
            self.everybody(Because::Directory, at);
        }
    }

    /// The next piece of work, which is then no longer here.
    pub(super) fn take(&mut self) -> Option<Work> {
        if let Some(named) = self.take_named() {
            return Some(Work::Named(named));
        }
        Because::ALL.into_iter().find_map(|because| {
            let since = self.everybody.get_mut(because as usize)?.take()?;
            Some(Work::Everybody { because, since })
        })
    }

    /// Those who are named, if anybody is.
    pub(super) const fn take_named(&mut self) -> Option<Named> {
        self.named.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn moved(n: u128) -> Moved {
        Moved {
            people: [PersonId::from_u128(n)].into(),
            links: [format!("corp:p{n}").parse().unwrap()].into(),
            devices: [DeviceId::new(&format!("laptop-{n}")).unwrap()].into(),
            groups: false,
        }
    }

    fn everybody(because: Because, since: Duration) -> Option<Work> {
        Some(Work::Everybody { because, since })
    }

    #[test]
    fn changes_are_put_together_and_whoever_is_named_goes_first() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.take(), None);
        waiting.everybody(Because::Policies, SECOND);
        waiting.everybody(Because::Policies, 2 * SECOND);
        waiting.some(&moved(1), 3 * SECOND);
        waiting.some(&moved(2), 4 * SECOND);
        waiting.some(&moved(1), 5 * SECOND);
        let Some(Work::Named(named)) = waiting.take() else { panic!("somebody is named") };
        let counts = (named.links.len(), named.people.len(), named.devices.len());
        assert_eq!((counts, named.since), ((2, 2, 2), 3 * SECOND));
        assert_eq!(waiting.take(), everybody(Because::Policies, SECOND));
        assert_eq!(waiting.take(), None);
    }

    #[test]
    fn a_group_and_many_names_are_everybody_since_the_first_of_them() {
        let mut waiting = Waiting::default();
        waiting.some(&moved(1), SECOND);
        waiting.some(&Moved { groups: true, ..moved(2) }, 2 * SECOND);
        waiting.some(&moved(3), 3 * SECOND);
        assert_eq!(waiting.take_named(), None, "they are among everybody");
        assert_eq!(waiting.take(), everybody(Because::Directory, SECOND));

        let members = NAMES_MAX as u128;
        (0..members).for_each(|n| waiting.some(&moved(n), SECOND));
        assert!(waiting.named.is_some());
        waiting.some(&moved(members), 2 * SECOND);
        (0..3 * members).for_each(|n| waiting.some(&moved(n), 3 * SECOND));
        assert_eq!(waiting.named, None, "no name is kept that is not needed");
        assert_eq!(waiting.take(), everybody(Because::Directory, SECOND));
        assert_eq!(waiting.take(), None);
    }
}
