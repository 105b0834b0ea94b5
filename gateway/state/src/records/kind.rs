//! The kinds of records.

use std::fmt;

/// What a record is about. A closed set: a kind that a later version adds is left alone by this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// A person: state, links, roles, grants, attributes.
    Person,
    /// That somebody belongs to a group; its id names both.
    Membership,
    /// A group: its name and the groups that it belongs to.
    Group,
    /// A service account or an agent.
    Machine,
    /// A device and its posture.
    Device,
    /// What a source said of a person or a group, in its own words (RFC 7643).
    Document,
    /// A source of people: its name, its rules, the hashes of its tokens.
    Connection,
    /// An offboarding and its checklist.
    Case,
    /// A signed receipt of a revocation.
    Receipt,
    /// A message that came in, so that it counts once.
    Seen,
}

impl RecordKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Person,
        Self::Membership,
        Self::Group,
        Self::Machine,
        Self::Device,
        Self::Document,
        Self::Connection,
        Self::Case,
        Self::Receipt,
        Self::Seen,
    ];

    /// The word for it in the store, the API and logs. It never changes: it lies in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Membership => "membership",
            Self::Group => "group",
            Self::Machine => "machine",
            Self::Device => "device",
            Self::Document => "document",
            Self::Connection => "connection",
            Self::Case => "case",
            Self::Receipt => "receipt",
            Self::Seen => "seen",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether requests are judged by it: then every node has it in memory. The others are read
    /// from the store when somebody asks.
    #[must_use]
    pub const fn is_published(self) -> bool {
        self.shelf().is_some()
    }

    /// Where the published ones stand in memory.
    pub(super) const fn shelf(self) -> Option<usize> {
        match self {
            Self::Person => Some(0),
            Self::Membership => Some(1),
            Self::Group => Some(2),
            Self::Machine => Some(3),
            Self::Device => Some(4),
            Self::Document | Self::Connection | Self::Case | Self::Receipt | Self::Seen => None,
        }
    }

    /// How many shelves there are.
    pub(super) const SHELVES: usize = 5;

    /// Whether what was deleted stays so for ever, and its id with it: something else out there may
    /// still name it.
    #[must_use]
    pub const fn never_returns(self) -> bool {
        match self {
            Self::Person | Self::Group | Self::Machine | Self::Connection => true,
            Self::Membership | Self::Device | Self::Document | Self::Case | Self::Receipt | Self::Seen => {
                false
            }
        }
    }

    /// Whether a tombstone is kept. Without one nobody who follows would learn of a deletion.
    pub(crate) const fn keeps_tombstones(self) -> bool {
        self.is_published() || self.never_returns()
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn words_are_read_back_and_each_published_kind_has_a_shelf_of_its_own() {
        let words: HashSet<&str> = RecordKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(words.len(), RecordKind::ALL.len());
        for kind in RecordKind::ALL {
            assert_eq!(RecordKind::parse(kind.as_str()), Some(kind));
            assert!(!kind.is_published() || kind.keeps_tombstones());
        }
        assert_eq!(RecordKind::parse("Person"), None);
        let mut shelves: Vec<usize> = RecordKind::ALL.into_iter().filter_map(RecordKind::shelf).collect();
        shelves.sort_unstable();
        assert_eq!(shelves, (0..RecordKind::SHELVES).collect::<Vec<_>>());
    }
}
