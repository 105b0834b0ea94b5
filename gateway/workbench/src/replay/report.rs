//! What came of a replay.

use std::collections::BTreeMap;

use doorward_model::{Employment, Principal, UnixMillis};
use doorward_policy::{Action, Decision};

/// How a decision differs from what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// It was allowed, and would not be.
    NewlyDenied,
    /// It was refused, and would be allowed.
    NewlyAllowed,
    /// The decision is the same, and other policies make it.
    OtherReasons,
}

/// Who asked, as far as policies treat them alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PersonKind {
    /// A person on the company's own contract.
    Employee,
    /// A person on a contract of limited time.
    Contractor,
    /// A person who works for another company.
    Partner,
    /// A person of whom nobody said which.
    Unknown,
    /// A program with an account of its own.
    ServiceAccount,
    /// A program that acts for a person.
    Agent,
    /// Nobody in particular.
    Visitor,
}

/// What decides a request, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Said {
    /// The decision.
    pub decision: Decision,
    /// The policies that make it, sorted. Empty on a denial where nothing permits it.
    pub policies: Vec<String>,
    /// One of the policies could not be evaluated, or they could not be asked at all.
    pub broken: bool,
}

/// Differences of one kind: of the same sort of people, at the same app, by the same policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// How it differs.
    pub change: Change,
    /// Who asked.
    pub kind: PersonKind,
    /// The app.
    pub app: String,
    /// What was said: recorded then, or by the baseline now.
    pub before: Said,
    /// What the candidate says.
    pub after: Said,
    /// How many requests.
    pub requests: u64,
    /// Some of them, the oldest first.
    pub examples: Vec<Example>,
}

/// One request that would be decided otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Example {
    /// When it was decided.
    pub time: UnixMillis,
    /// Its id, as the person at the door read it.
    pub request_id: String,
    /// Who asked; none for a visitor.
    pub who: Option<String>,
    /// What was to be done.
    pub action: Action,
    /// To which route.
    pub route: String,
    /// What the policies saw, as it was recorded, where that was to be kept: of the oldest of each difference.
    pub situation: Option<Box<str>>,
}

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damaged {
    /// The file.
    pub file: String,
    /// Which of its lines, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

/// Requests that cannot be decided again, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Undecided {
    /// The policies were not asked then either: they were refused before. Those that were let in without a
    /// decision are not among them; no gateway records such a thing.
    pub not_asked: u64,
    /// What the policies saw was not recorded.
    pub not_recorded: u64,
    /// It was too large to be recorded.
    pub too_large: u64,
    /// It was recorded by another version.
    pub other_version: u64,
    /// What is recorded of it is no record of a request.
    pub unreadable: u64,
}

/// What one revision of the policies had decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByRevision {
    /// How many of its decisions were made again.
    pub decided: u64,
    /// How many of them are other ones.
    pub differ: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many files were read.
    pub files: u64,
    /// Compressed files, which were not.
    pub packed: Vec<String>,
    /// How many bytes were read.
    pub bytes: u64,
    /// How many lines.
    pub lines: u64,
    /// How many lines are no events.
    pub damaged: u64,
    /// The first of them.
    pub damaged_lines: Vec<Damaged>,
    /// How many files end in a line that is not whole: it is being written, or was never finished.
    pub unfinished: u64,
    /// How many decisions of that time the log itself says it has not: more came at once than could be written.
    pub lost: u64,
    /// How many requests of the time that is looked at there are, of the app and the people that are looked
    /// for as far as that can be told.
    pub requests: u64,
    /// How many of them were decided again.
    pub decided: u64,
    /// For how many of them Cedar was asked anything; of the others every condition was asked before about the same.
    pub asked: u64,
    /// How many of the others were put to the bundle itself as well.
    pub controlled: u64,
    /// How many of these came out otherwise than by what was remembered. If there is one, everything was decided
    /// once more by the bundle alone, and this is the report of that.
    pub mistaken: u64,
    /// How many could not be.
    pub undecided: Undecided,
    /// How many come to the same.
    pub same: u64,
    /// How many differ, by how.
    pub changes: BTreeMap<Change, u64>,
    /// The differences, those of which there are most first. Beyond a bound they are only counted.
    pub differences: Vec<Difference>,
    /// How many requests differ in a way that is not in the list.
    pub beyond: u64,
    /// How many requests differ, by who asked.
    pub by_kind: BTreeMap<PersonKind, u64>,
    /// How many requests differ, by the app; the most first. Apps beyond a bound are `others`.
    pub by_app: Vec<(String, u64)>,
    /// How many requests differ, by each policy that decides before or after and not both times; the most first. A
    /// request counts for each of them, so the sum may be more than the number of requests.
    pub by_policy: Vec<(String, u64)>,
    /// What was decided then, by the revision of the policies.
    pub revisions: BTreeMap<String, ByRevision>,
}

impl Change {
    /// Every change.
    pub const ALL: [Self; 3] = [Self::NewlyDenied, Self::NewlyAllowed, Self::OtherReasons];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NewlyDenied => "newly_denied",
            Self::NewlyAllowed => "newly_allowed",
            Self::OtherReasons => "other_reasons",
        }
    }
}

impl PersonKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Employee,
        Self::Contractor,
        Self::Partner,
        Self::Unknown,
        Self::ServiceAccount,
        Self::Agent,
        Self::Visitor,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Employee => "employee",
            Self::Contractor => "contractor",
            Self::Partner => "partner",
            Self::Unknown => "unknown",
            Self::ServiceAccount => "service_account",
            Self::Agent => "agent",
            Self::Visitor => "visitor",
        }
    }

    /// Of whoever asks.
    #[must_use]
    pub const fn of(principal: &Principal) -> Self {
        match principal {
            Principal::User(user) => match user.employment {
                Employment::Employee => Self::Employee,
                Employment::Contractor => Self::Contractor,
                Employment::Partner => Self::Partner,
                Employment::Unknown => Self::Unknown,
            },
            Principal::ServiceAccount(_) => Self::ServiceAccount,
            Principal::Agent(_) => Self::Agent,
            Principal::Visitor(_) => Self::Visitor,
        }
    }
}

impl Undecided {
    /// All of them but those of which the policies were never asked.
    #[must_use]
    pub const fn unknown(&self) -> u64 {
        self.not_recorded + self.too_large + self.other_version + self.unreadable
    }
}

impl Report {
    /// How many requests differ, by who asked; the most first.
    #[must_use]
    pub fn by_kind(&self) -> Vec<(&'static str, u64)> {
        let mut counts: Vec<_> = self.by_kind.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }

    /// Why nothing is proved by a report in which nothing differs: what was not looked at. None where every
    /// request of the log was decided again, and there was one.
    #[must_use]
    pub fn gap(&self) -> Option<&'static str> {
        if self.files == 0 {
            Some("the log has no file of that time")
        } else if self.undecided.unknown() > 0 {
            Some("not every decision can be made again")
        } else if self.damaged > 0 {
            Some("lines of the log are damaged")
        } else if self.lost > 0 {
            Some("decisions are missing in the log")
        } else if !self.packed.is_empty() {
            Some("compressed files of the log are not read")
        } else if self.decided == 0 {
            Some("the log has no decision that was asked for")
        } else {
            None
        }
    }

    /// How many requests would be decided otherwise, or by other policies.
    #[must_use]
    pub fn differ(&self) -> u64 {
        self.changes.values().sum()
    }
}
