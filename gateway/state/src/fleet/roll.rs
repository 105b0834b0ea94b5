//! The roll: which processes there are, and how far each has come.
//!
//! Each writes its own line with its poll; the server adds its own time. `SEEN|epoch|id|applied|lease|missing|told|node`.

use std::collections::HashMap;
use std::time::Duration;

use doorward_model::UnixMillis;
use uuid::Uuid;

use crate::fleet::{EntryId, NODE_TOLD_BYTES_MAX, NodeAnswer, NodeReport, Position};

/// A process that was not seen for so long is struck off.
const STRUCK_AFTER: Duration = Duration::from_secs(60);
/// How late a poll may be on top of the lease.
const LATE: Duration = Duration::from_secs(1);

/// What a process says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) node: String,
    pub(crate) position: Option<Position>,
    /// By its own clock, when it had come so far.
    pub(crate) applied_at: UnixMillis,
    pub(crate) lease_millis: u64,
    /// The snapshot that it could not read whole, with the log after it.
    pub(crate) missing: Option<String>,
    /// What its process tells besides.
    pub(crate) told: String,
}

/// A line of the roll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Present {
    pub(crate) instance: Uuid,
    /// By the server's clock.
    pub(crate) seen: UnixMillis,
    pub(crate) report: Report,
}

impl Report {
    /// What goes into the roll; the server puts its time before it.
    pub(crate) fn to_text(&self) -> String {
        let (epoch, id) = match self.position {
            Some(at) => (at.epoch.as_simple().to_string(), at.id.to_string()),
            None => (String::new(), String::new()),
        };
        let missing = self.missing.as_deref().unwrap_or_default();
        // One that does not fit is left out: then it is not known, which is no harm.
        let fits = self.told.len() <= NODE_TOLD_BYTES_MAX && !self.told.contains(['|', '\n']);
        let told = if fits { self.told.as_str() } else { "" };
        format!("{epoch}|{id}|{}|{}|{missing}|{told}|{}", self.applied_at.0, self.lease_millis, self.node)
    }
}

/// Reads the roll. What makes no sense was not written by a gateway; its fields come second.
pub(crate) fn read(lines: HashMap<Vec<u8>, Vec<u8>>) -> (Vec<Present>, Vec<Vec<u8>>) {
    let (mut all, mut unreadable) = (Vec::new(), Vec::new());
    for (who, line) in lines {
        let text = std::str::from_utf8(&who).ok().zip(std::str::from_utf8(&line).ok());
        match text.and_then(|(who, line)| present(who, line)) {
            Some(present) => all.push(present),
            None => unreadable.push(who),
        }
    }
    all.sort_by(|a, b| (&a.report.node, a.instance).cmp(&(&b.report.node, b.instance)));
    (all, unreadable)
}

fn present(who: &str, line: &str) -> Option<Present> {
    let mut words = line.splitn(8, '|');
    let seen = UnixMillis(words.next()?.parse().ok()?);
    let (epoch, id) = (words.next()?, words.next()?);
    let position = Uuid::parse_str(epoch).ok().zip(EntryId::parse(id));
    let applied_at = UnixMillis(words.next()?.parse().ok()?);
    let lease_millis = words.next()?.parse().ok()?;
    let missing = words.next().filter(|name| !name.is_empty()).map(str::to_owned);
    let told = words.next()?;
    // A gateway of before tells nothing besides, and its name stands there.
    let (told, node) = words.next().map_or(("", told), |node| (told, node));
    let (told, node) = (told.to_owned(), node.to_owned());
    let position = position.map(|(epoch, id)| Position { epoch, id });
    let report = Report { node, position, applied_at, lease_millis, missing, told };
    Some(Present { instance: Uuid::parse_str(who).ok()?, seen, report })
}

impl Present {
    /// It was not seen for long, or by a clock that is not this server's.
    pub(crate) fn is_gone(&self, now: UnixMillis) -> bool {
        now.since(self.seen) > STRUCK_AFTER || self.seen.since(now) > STRUCK_AFTER
    }

    /// What it says of a position, when the server's clock says `now`. Where the log was blessed anew
    /// since, whoever has come to `floor` has everything.
    pub(crate) fn answer(&self, wanted: Position, floor: Option<Position>, now: UnixMillis) -> NodeAnswer {
        let reached = self.report.position.is_some_and(|at| {
            let has_come_to = |there: Position| at.epoch == there.epoch && at.id >= there.id;
            has_come_to(wanted) || floor.is_some_and(has_come_to)
        });
        let lease = Duration::from_millis(self.report.lease_millis);
        if reached {
            NodeAnswer::Applied { at: self.report.applied_at }
        } else if now.since(self.seen) > lease.saturating_add(LATE).max(SEEN_EVERY) {
            NodeAnswer::Silent { seen: self.seen }
        } else {
            NodeAnswer::Behind { seen: self.seen }
        }
    }

    pub(crate) fn tell(&self, answer: NodeAnswer) -> NodeReport {
        let Report { node, told, .. } = &self.report;
        NodeReport { node: node.clone(), instance: self.instance, answer, told: told.clone() }
    }
}

/// A node that nobody asks shows itself every five seconds.
const SEEN_EVERY: Duration = Duration::from_secs(7);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u128, millis: u64) -> Position {
        Position { epoch: Uuid::from_u128(epoch), id: EntryId { millis, count: 1 } }
    }

    fn line(seen: i64, position: Option<Position>, node: &str) -> Vec<u8> {
        let report = Report {
            node: node.to_owned(),
            position,
            applied_at: UnixMillis(7),
            lease_millis: 1000,
            missing: None,
            told: "{\"x\":1}".to_owned(),
        };
        format!("{seen}|{}", report.to_text()).into_bytes()
    }

    fn who(n: u128) -> Vec<u8> {
        Uuid::from_u128(n).as_simple().to_string().into_bytes()
    }

    #[test]
    fn lines_are_read_back_and_nonsense_is_left_out() {
        let (roll, mut unreadable) = read(HashMap::from([
            (who(1), line(100, Some(at(1, 5)), "gw|2")),
            (who(2), line(200, None, "gw-1")),
            (who(3), b"x|y".to_vec()),
            (vec![0xff], line(200, None, "gw-1")),
            (b"nobody".to_vec(), line(200, None, "gw-1")),
        ]));
        let named: Vec<_> = roll.iter().map(|p| (p.report.node.as_str(), p.report.position)).collect();
        assert_eq!(named, [("gw-1", None), ("gw|2", Some(at(1, 5)))]);
        assert!(roll.iter().all(|present| present.report.told == "{\"x\":1}"), "{roll:?}");
        unreadable.sort();
        assert_eq!(unreadable, [who(3), b"nobody".to_vec(), vec![0xff]]);
    }

    /// While nodes are brought up to date one after the other.
    #[test]
    fn a_node_that_tells_nothing_yet_is_on_the_roll() {
        let line = b"100||0-0|7|1000||gw-1".to_vec();
        let (roll, unreadable) = read(HashMap::from([(who(1), line)]));
        assert_eq!((roll.len(), unreadable.len()), (1, 0));
        assert_eq!((roll[0].report.node.as_str(), roll[0].report.told.as_str()), ("gw-1", ""));
    }

    #[test]
    fn what_would_break_a_line_is_not_told() {
        for told in ["a|b".to_owned(), "a\nb".to_owned(), "x".repeat(NODE_TOLD_BYTES_MAX + 1)] {
            let report = Report {
                node: "gw-1".to_owned(),
                position: None,
                applied_at: UnixMillis(7),
                lease_millis: 1000,
                missing: None,
                told,
            };
            let line = format!("1|{}", report.to_text()).into_bytes();
            let (roll, _) = read(HashMap::from([(who(1), line)]));
            assert_eq!((roll[0].report.node.as_str(), roll[0].report.told.as_str()), ("gw-1", ""));
        }
    }

    #[test]
    fn who_has_come_so_far_has_applied_it() {
        let now = UnixMillis(10_000);
        let applied = NodeAnswer::Applied { at: UnixMillis(7) };
        let behind = |seen| NodeAnswer::Behind { seen: UnixMillis(seen) };
        for (what, seen, position, answer) in [
            ("there", 9_999, Some(at(2, 5)), applied),
            ("further", 9_999, Some(at(2, 6)), applied),
            ("not there", 9_999, Some(at(2, 4)), behind(9_999)),
            ("nowhere", 9_999, None, behind(9_999)),
            ("in a log of before", 9_999, Some(at(1, 9)), behind(9_999)),
            ("not seen", 1_000, Some(at(2, 4)), NodeAnswer::Silent { seen: UnixMillis(1_000) }),
        ] {
            let (roll, _) = read(HashMap::from([(who(1), line(seen, position, "gw-1"))]));
            assert_eq!(roll[0].answer(at(2, 5), None, now), answer, "{what}");
        }
        let (roll, _) = read(HashMap::from([(who(1), line(1, Some(at(3, 1)), "gw-1"))]));
        assert_eq!(roll[0].answer(at(2, 5), Some(at(3, 1)), now), applied, "the log was blessed anew since");
        let behind = NodeAnswer::Silent { seen: UnixMillis(1) };
        assert_eq!(roll[0].answer(at(2, 5), Some(at(3, 2)), now), behind, "and the node has not come so far");
    }
}
