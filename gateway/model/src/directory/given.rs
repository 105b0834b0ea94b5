//! What was given to someone, and by whom.

use std::sync::Arc;

use super::id::ConnectionId;
use crate::time::UnixMillis;

/// Whose word a grant rests on. It decides what happens to it when the person leaves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The source says so: kept while the person is away, and good again when they return.
    Source(ConnectionId),
    /// An operator of this name gave it by hand: dropped when the person leaves.
    Operator(Arc<str>),
    /// The rules give it to everybody who joins without a connection: dropped when the person
    /// leaves, and given anew as the rules then say.
    Default,
}

impl Origin {
    /// Whether both are the same hand. All operators are one.
    #[must_use]
    pub fn is_same_hand(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Source(a), Self::Source(b)) => a == b,
            (Self::Operator(_), Self::Operator(_)) | (Self::Default, Self::Default) => true,
            (Self::Source(_) | Self::Operator(_) | Self::Default, _) => false,
        }
    }

    /// Whether the grant outlives the person's leaving.
    #[must_use]
    pub const fn stays(&self) -> bool {
        match self {
            Self::Source(_) => true,
            Self::Operator(_) | Self::Default => false,
        }
    }

    /// The origin in words, for the log.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Source(connection) => format!("source {connection}"),
            Self::Operator(name) => format!("operator {name}"),
            Self::Default => "default".to_owned(),
        }
    }
}

/// One thing that was given: a role, a group, an app.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Given<T> {
    /// What.
    pub what: T,
    /// By whom.
    pub origin: Origin,
    /// Since when.
    pub since: UnixMillis,
}

/// Everything of one kind that was given to someone, in order. The same thing may rest on several
/// origins; it is there as long as one of them holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants<T>(Vec<Given<T>>);

impl<T> Default for Grants<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Grants<T> {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord> Grants<T> {
    /// Each grant, ordered by what was given.
    pub fn iter(&self) -> impl Iterator<Item = &Given<T>> {
        self.0.iter()
    }

    /// How many grants there are, one for each thing and origin.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was given.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was given, each thing once.
    pub fn names(&self) -> impl Iterator<Item = &T> {
        let mut last = None;
        self.0.iter().map(|given| &given.what).filter(move |what| last.replace(*what) != Some(*what))
    }

    /// Whether it was given, by whomever.
    #[must_use]
    pub fn has(&self, what: &T) -> bool {
        self.of(what).next().is_some()
    }

    /// Whether this hand gave it.
    #[must_use]
    pub fn has_from(&self, what: &T, origin: &Origin) -> bool {
        self.of(what).any(|given| given.origin.is_same_hand(origin))
    }

    /// Notes a grant. False, and nothing changes, when the same hand gave it before.
    pub fn give(&mut self, given: Given<T>) -> bool {
        if self.has_from(&given.what, &given.origin) {
            return false;
        }
        let place = self.0.partition_point(|other| *other < given);
        self.0.insert(place, given);
        true
    }

    /// Takes away every grant that `doomed` names, and returns them.
    pub fn take(&mut self, doomed: impl Fn(&Given<T>) -> bool) -> Vec<Given<T>> {
        let (taken, kept) = std::mem::take(&mut self.0).into_iter().partition(doomed);
        self.0 = kept;
        taken
    }

    fn of(&self, what: &T) -> impl Iterator<Item = &Given<T>> {
        let first = self.0.partition_point(|given| given.what < *what);
        self.0.iter().skip(first).take_while(move |given| given.what == *what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(what: &'static str, origin: Origin) -> Given<&'static str> {
        Given { what, origin, since: UnixMillis(1) }
    }

    #[test]
    fn a_thing_is_there_as_long_as_one_origin_holds() {
        let okta = || Origin::Source(ConnectionId::new("okta").unwrap());
        let by = |name: &str| Origin::Operator(name.into());
        let mut roles = Grants::default();
        assert!(roles.give(given("b", okta())));
        assert!(roles.give(given("b", by("ann"))));
        assert!(!roles.give(given("b", by("bob"))), "all operators are one hand");
        assert!(roles.give(given("a", Origin::Default)));
        assert!(roles.give(given("c", by("ann"))));
        assert_eq!(roles.names().copied().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(roles.has_from(&"b", &by("bob")) && !roles.has_from(&"a", &by("bob")));

        let taken = roles.take(|given| !given.origin.stays());
        assert_eq!(taken.iter().map(|given| given.what).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(roles.names().copied().collect::<Vec<_>>(), ["b"]);
        assert!(roles.has(&"b") && !roles.has(&"c"));
    }
}
