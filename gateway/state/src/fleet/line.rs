//! What a node makes of an answer: the rules, without I/O.

use crate::fleet::ledger::Ledger;
use crate::fleet::script::{Answer, LogEntry};
use crate::fleet::{EntryId, Position};

/// Where a node stands in the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    position: Option<Position>,
    /// A poll on this connection showed that nothing was missing. Pushes count only then: before,
    /// they may come from a server that fell behind.
    proven: bool,
    /// The base of the snapshot that the position was just read from.
    loaded: Option<EntryId>,
}

/// What to do with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It proves nothing.
    Refuse(Doubt),
    /// Read the snapshot and go on from its base: what is known is kept.
    Resync(Break),
    /// Apply the entries. If nothing was missing then, the lease is renewed.
    Apply {
        /// Nothing is missing.
        caught_up: bool,
    },
}

/// Why an answer proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// There is no log: Redis is empty.
    NoLog,
    /// No control node has reconciled this Redis process with the directory.
    NotBlessed,
    /// Too few replicas follow the server: it may be no primary any more.
    Alone,
    /// Entries are missing between the snapshot and the log.
    Cut,
}

/// Why everything is read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// This process has read nothing yet.
    First,
    /// The log was blessed anew.
    Epoch,
    /// An entry is missing before one that came, or after the last.
    Gap,
}

impl Break {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Epoch => "epoch",
            Self::Gap => "gap",
        }
    }
}

/// What a pushed entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// The next one: apply it.
    Next,
    /// It is known.
    Known,
    /// Something is missing, or nothing is proven yet: a poll will tell.
    Poll,
}

impl Line {
    pub(crate) const fn position(&self) -> Option<Position> {
        self.position
    }

    /// The connection is another one.
    pub(crate) const fn reconnected(&mut self) {
        self.proven = false;
    }

    /// Judges what a poll was told. Nothing moves before [`applied`](Self::applied).
    pub(crate) fn judge(&mut self, answer: &Answer) -> Verdict {
        let Some(ledger) = &answer.ledger else { return self.doubt(Doubt::NoLog) };
        if !answer.blessed {
            return self.doubt(Doubt::NotBlessed);
        }
        if answer.alone {
            return self.doubt(Doubt::Alone);
        }
        let Some(at) = self.position else { return Verdict::Resync(Break::First) };
        if answer.garbled {
            return self.cut();
        }
        let Some(mut end) = ledger.place(at) else { return Verdict::Resync(Break::Epoch) };
        for entry in &answer.entries {
            if entry.before != end || entry.id <= end {
                return self.broken(ledger);
            }
            end = entry.id;
        }
        // Redis went back to what it was before, and calls itself the same.
        if end > ledger.last {
            return self.cut();
        }
        if answer.entries.is_empty() && end != ledger.last {
            return self.broken(ledger);
        }
        Verdict::Apply { caught_up: end == ledger.last }
    }

    fn doubt(&mut self, doubt: Doubt) -> Verdict {
        self.proven = false;
        Verdict::Refuse(doubt)
    }

    /// Something does not follow. Where it does not even follow a snapshot that was just read, and
    /// no newer one has taken its place, the log itself has a hole.
    fn broken(&mut self, ledger: &Ledger) -> Verdict {
        if self.loaded == Some(ledger.base) {
            return self.cut();
        }
        Verdict::Resync(Break::Gap)
    }

    /// The log cannot be gone on from: a control node has to write it anew.
    fn cut(&mut self) -> Verdict {
        self.position = None;
        self.loaded = None;
        self.doubt(Doubt::Cut)
    }

    /// The entries of an answer were applied.
    pub(crate) fn applied(&mut self, answer: &Answer, caught_up: bool) {
        if let (Some(position), Some(ledger)) = (&mut self.position, &answer.ledger) {
            position.epoch = ledger.epoch;
            position.id = answer.entries.last().map_or(position.id, |entry| entry.id);
        }
        if caught_up {
            self.loaded = None;
            self.proven = true;
        }
    }

    /// The snapshot was read: go on from its base.
    pub(crate) const fn loaded(&mut self, ledger: &Ledger) {
        self.position = Some(Position { epoch: ledger.epoch, id: ledger.base });
        self.loaded = Some(ledger.base);
        self.proven = false;
    }

    /// What to do with an entry that was pushed. The next one counts as applied.
    pub(crate) fn pushed(&mut self, epoch: uuid::Uuid, entry: &LogEntry) -> Pushed {
        match &mut self.position {
            Some(at) if self.proven && at.epoch == epoch => {
                if entry.id <= at.id {
                    Pushed::Known
                } else if entry.before == at.id {
                    at.id = entry.id;
                    Pushed::Next
                } else {
                    Pushed::Poll
                }
            }
            Some(_) | None => Pushed::Poll,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::fleet::ledger::Snapshot;

    const OLD: Uuid = Uuid::from_u128(1);
    const NEW: Uuid = Uuid::from_u128(2);

    fn id(millis: u64) -> EntryId {
        EntryId { millis, count: 0 }
    }

    fn entry(before: u64, at: u64) -> LogEntry {
        LogEntry { id: id(at), before: id(before), packed: Vec::new() }
    }

    fn ledger(epoch: Uuid, base: u64, last: u64) -> Ledger {
        let snapshot = Snapshot { name: String::new(), chunks: 0, entries: 0 };
        Ledger {
            epoch,
            generation: 1,
            last: id(last),
            base: id(base),
            snapshot,
            before: None,
            mark: crate::fleet::ledger::Mark::default(),
            records: crate::records::Version::START,
            history: "h".to_owned(),
            bytes: 0,
        }
    }

    fn answer(epoch: Uuid, base: u64, last: u64, entries: &[(u64, u64)]) -> Answer {
        let entries = entries.iter().map(|(before, at)| entry(*before, *at)).collect();
        Answer {
            ledger: Some(ledger(epoch, base, last)),
            blessed: true,
            alone: false,
            garbled: false,
            entries,
        }
    }

    /// A line that stands at 5 in epoch [`OLD`], proven.
    fn line() -> Line {
        let mut line = Line::default();
        line.loaded(&ledger(OLD, 5, 5));
        let nothing = answer(OLD, 5, 5, &[]);
        assert_eq!(line.judge(&nothing), Verdict::Apply { caught_up: true });
        line.applied(&nothing, true);
        line
    }

    #[test]
    fn answers_are_judged() {
        let apply = |caught_up| Verdict::Apply { caught_up };
        let resync = Verdict::Resync;
        for (what, answer, verdict) in [
            ("nothing new", answer(OLD, 0, 5, &[]), apply(true)),
            ("the next ones", answer(OLD, 0, 8, &[(5, 7), (7, 8)]), apply(true)),
            ("a page", answer(OLD, 0, 9, &[(5, 7), (7, 8)]), apply(false)),
            ("a gap at the beginning", answer(OLD, 6, 8, &[(6, 7), (7, 8)]), resync(Break::Gap)),
            ("a gap within", answer(OLD, 0, 8, &[(5, 6), (7, 8)]), resync(Break::Gap)),
            ("going backwards", answer(OLD, 0, 8, &[(5, 4)]), resync(Break::Gap)),
            ("the end is gone", answer(OLD, 0, 8, &[]), resync(Break::Gap)),
            ("compacted beyond it", answer(OLD, 8, 8, &[]), resync(Break::Gap)),
            ("another epoch, the same id", answer(NEW, 0, 5, &[]), resync(Break::Epoch)),
        ] {
            assert_eq!(line().judge(&answer), verdict, "{what}");
        }
        assert_eq!(Line::default().judge(&answer(OLD, 0, 5, &[])), resync(Break::First));
    }

    #[test]
    fn an_epoch_that_goes_on_from_the_one_before_is_followed_up_to_where_they_part() {
        let goes_on = |until, last, entries: &[(u64, u64)]| {
            let mut answer = answer(NEW, 0, last, entries);
            let end = Position { epoch: OLD, id: id(until) };
            answer.ledger = answer.ledger.map(|ledger| Ledger { before: Some(end), ..ledger });
            answer
        };
        let kept = goes_on(6, 8, &[(5, 6), (6, 8)]);
        let mut line = line();
        assert_eq!(line.judge(&kept), Verdict::Apply { caught_up: true });
        line.applied(&kept, true);
        assert_eq!(line.position(), Some(Position { epoch: NEW, id: id(8) }));
        // What this node had applied beyond that was lost there: 5 is another entry now, or none.
        let lost = goes_on(4, 8, &[(4, 8)]);
        assert_eq!(self::line().judge(&lost), Verdict::Resync(Break::Epoch));
        let lost_and_alike = goes_on(4, 5, &[]);
        assert_eq!(self::line().judge(&lost_and_alike), Verdict::Resync(Break::Epoch));
    }

    #[test]
    fn an_answer_that_proves_nothing_makes_pushes_count_no_more() {
        let none = Answer { ledger: None, blessed: false, alone: false, garbled: false, entries: Vec::new() };
        let lonely = Answer { alone: true, ..answer(OLD, 0, 5, &[]) };
        let other = Answer { blessed: false, ..answer(OLD, 0, 5, &[]) };
        for (answer, doubt) in [(none, Doubt::NoLog), (other, Doubt::NotBlessed), (lonely, Doubt::Alone)] {
            let mut line = line();
            assert_eq!(line.judge(&answer), Verdict::Refuse(doubt));
            assert_eq!(line.pushed(OLD, &entry(5, 6)), Pushed::Poll);
            assert_eq!(line.position(), Some(Position { epoch: OLD, id: id(5) }), "what is known stays");
        }
    }

    #[test]
    fn a_hole_behind_the_snapshot_is_told_and_not_read_for_ever() {
        let mut line = Line::default();
        line.loaded(&ledger(NEW, 5, 9));
        // A newer snapshot took the place of the one that was read: read that one.
        assert_eq!(line.judge(&answer(NEW, 7, 9, &[(7, 9)])), Verdict::Resync(Break::Gap));
        line.loaded(&ledger(NEW, 7, 9));
        assert_eq!(line.judge(&answer(NEW, 7, 9, &[(8, 9)])), Verdict::Refuse(Doubt::Cut));
        assert_eq!(line.judge(&answer(NEW, 7, 9, &[(8, 9)])), Verdict::Resync(Break::First));
        line.loaded(&ledger(NEW, 7, 9));
        assert_eq!(line.judge(&answer(NEW, 7, 9, &[])), Verdict::Refuse(Doubt::Cut), "the end is gone");
    }

    #[test]
    fn a_server_that_went_back_is_not_gone_on_from() {
        assert_eq!(line().judge(&answer(OLD, 0, 4, &[])), Verdict::Refuse(Doubt::Cut), "the end is lost");
        let garbled = Answer { garbled: true, ..answer(OLD, 0, 8, &[(5, 8)]) };
        assert_eq!(line().judge(&garbled), Verdict::Refuse(Doubt::Cut), "somebody wrote into the log");
    }

    #[test]
    fn a_push_counts_where_it_fits_and_a_poll_has_succeeded() {
        let mut line = line();
        assert_eq!(line.pushed(OLD, &entry(4, 5)), Pushed::Known);
        assert_eq!(line.pushed(OLD, &entry(5, 6)), Pushed::Next);
        assert_eq!(line.pushed(OLD, &entry(5, 6)), Pushed::Known, "delivered twice");
        assert_eq!(line.pushed(OLD, &entry(7, 8)), Pushed::Poll, "one is missing");
        assert_eq!(line.pushed(NEW, &entry(6, 7)), Pushed::Poll, "of another epoch");
        assert_eq!(line.position().map(|at| at.id), Some(id(6)));
        line.reconnected();
        assert_eq!(line.pushed(OLD, &entry(6, 7)), Pushed::Poll, "perhaps another server");
    }
}
