//! What a node tells the fleet of what it ended, beside its line on the roll: short, as it is read often.
//!
//! ```json
//! {"b":1795262400400,"m":null,"o":[null,true],
//!  "e":[["019b0a3e6f0e7c119f0a000000000001",[["websocket",3,0,90500]]]],"s":[]}
//! ```
//!
//! `b` is when the process began; `m` until when something may be missing; `o` until when something may be
//! missing that is open, and whether `s` is all of them; `e` each revocation that ended
//! something, with protocol, how many, how many of them are open, and the microseconds of the slowest; `s`
//! each revocation that switched somebody off who was let in since, and how often.
//!
//! What is open comes first, and what is left out is said: so a node that does not name a revocation ended
//! nothing by it, unless the revocation is as old as what is missing.

use doorward_audit::Protocol;
use doorward_model::UnixMillis;
use doorward_state::NODE_TOLD_BYTES_MAX;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::facts::ProtocolEnded;

/// How far the clocks of two nodes are believed to be apart where something is missing, in milliseconds.
const CLOCKS_APART_MILLIS: i64 = 60_000;

/// What a node tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// When its process began, by its own clock.
    pub began_at: UnixMillis,
    /// Endings of revocations up to here may be missing. None: all are there.
    pub missing_until: Option<UnixMillis>,
    /// Endings of revocations up to here that are not over may be missing. None: those are all there.
    pub open_missing_until: Option<UnixMillis>,
    /// What revocations ended, what is open first, then the newest.
    pub endings: Vec<ToldEnding>,
    /// Revocations that switched somebody off who was let in since, and how often.
    pub slipped: Vec<(Uuid, u64)>,
    /// Nobody is left out of them.
    pub slipped_whole: bool,
}

/// What one revocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldEnding {
    /// Which.
    pub revocation: Uuid,
    /// When it was applied on that node.
    pub at: UnixMillis,
    /// By protocol.
    pub exchanges: Vec<ProtocolEnded>,
}

/// A protocol, how many were ended, how many of them are open, and the microseconds of the slowest.
type Exchange = (String, u64, u64, Option<u64>);

/// As it is written.
#[derive(Serialize, Deserialize)]
struct Written {
    b: i64,
    m: Option<i64>,
    o: (Option<i64>, bool),
    e: Vec<(String, Vec<Exchange>)>,
    s: Vec<(String, u64)>,
}

impl Told {
    /// Writes as much of it as fits into a line of the roll. What does not is missing from then on.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut told = self.clone();
        loop {
            let text = told.whole_text();
            if text.len() <= NODE_TOLD_BYTES_MAX {
                return text;
            }
            // Half of it at once: a long list is rare, and the roll is written often.
            let keep = told.endings.len() / 2;
            let left_out: Vec<ToldEnding> = told.endings.drain(keep..).collect();
            let is_open = |ending: &&ToldEnding| ending.exchanges.iter().any(|of| of.still_open > 0);
            let open_until = left_out.iter().filter(is_open).map(|ending| ending.at).max();
            told.open_missing_until = told.open_missing_until.max(open_until);
            told.missing_until = told.missing_until.max(left_out.iter().map(|ending| ending.at).max());
            if left_out.is_empty() {
                if told.slipped.pop().is_none() {
                    return String::new();
                }
                told.slipped_whole = false;
            }
        }
    }

    fn whole_text(&self) -> String {
        let exchange = |of: &ProtocolEnded| {
            (of.protocol.as_str().to_owned(), of.ended, of.still_open, of.last_byte_micros)
        };
        let ending = |ending: &ToldEnding| {
            let name = ending.revocation.as_simple().to_string();
            (name, ending.exchanges.iter().map(exchange).collect())
        };
        let written = Written {
            b: self.began_at.0,
            m: self.missing_until.map(|at| at.0),
            o: (self.open_missing_until.map(|at| at.0), self.slipped_whole),
            e: self.endings.iter().map(ending).collect(),
            s: self.slipped.iter().map(|(id, many)| (id.as_simple().to_string(), *many)).collect(),
        };
        serde_json::to_string(&written).unwrap_or_default()
    }

    /// Reads it. None for what no node of this version writes: then nothing is known.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Written { b, m, o: (open_missing, slipped_whole), e, s } = serde_json::from_str(text).ok()?;
        let exchange = |(word, ended, still_open, last_byte_micros): Exchange| {
            let protocol = Protocol::ALL.into_iter().find(|protocol| protocol.as_str() == word)?;
            let last_byte_micros = last_byte_micros.filter(|_| still_open == 0);
            Some(ProtocolEnded { protocol, ended, still_open: still_open.min(ended), last_byte_micros })
        };
        let mut endings = Vec::with_capacity(e.len());
        for (name, exchanges) in e {
            let exchanges = exchanges.into_iter().map(exchange).collect::<Option<Vec<_>>>()?;
            let revocation = Uuid::parse_str(&name).ok()?;
            endings.push(ToldEnding { revocation, at: UnixMillis::default(), exchanges });
        }
        let slipped = s.into_iter().map(|(name, many)| Some((Uuid::parse_str(&name).ok()?, many)));
        let slipped = slipped.collect::<Option<Vec<_>>>()?;
        Some(Self {
            began_at: UnixMillis(b),
            missing_until: m.map(UnixMillis),
            open_missing_until: open_missing.map(UnixMillis),
            endings,
            slipped,
            slipped_whole,
        })
    }

    /// What these revocations ended there, added up. None when that is not known: something is missing that
    /// is as young as they are, the first of which was applied at `applied_at` elsewhere.
    #[must_use]
    pub fn ended_by(&self, revocations: &[Uuid], applied_at: UnixMillis) -> Option<Vec<ProtocolEnded>> {
        if is_as_young(self.missing_until, applied_at) {
            return None;
        }
        let ours = self.endings.iter().filter(|ending| revocations.contains(&ending.revocation));
        Some(added_up(ours.flat_map(|ending| ending.exchanges.iter().copied())))
    }

    /// The sums by protocol of what several revocations ended, with the time of the slowest.
    #[must_use]
    pub fn added_up(all: impl Iterator<Item = ProtocolEnded>) -> Vec<ProtocolEnded> {
        added_up(all)
    }

    /// How many exchanges that these revocations told to end are not over there, at least. None when there may
    /// be one and none is told of; the first of them was applied at `applied_at` elsewhere.
    #[must_use]
    pub fn open_of(&self, revocations: &[Uuid], applied_at: UnixMillis) -> Option<u64> {
        let ours = self.endings.iter().filter(|ending| revocations.contains(&ending.revocation));
        let open = ours.flat_map(|ending| &ending.exchanges).map(|of| of.still_open).sum();
        (open > 0 || !is_as_young(self.open_missing_until, applied_at)).then_some(open)
    }

    /// How often somebody was let in there whom one of these revocations had switched off, at least. None when
    /// it may have been and is not told.
    #[must_use]
    pub fn slipped_of(&self, revocations: &[Uuid]) -> Option<u64> {
        let ours = self.slipped.iter().filter(|(id, _)| revocations.contains(id));
        let slipped = ours.map(|(_, many)| many).sum();
        (slipped > 0 || self.slipped_whole).then_some(slipped)
    }
}

/// Something is missing that may be as young as what was applied then elsewhere.
fn is_as_young(missing_until: Option<UnixMillis>, applied_at: UnixMillis) -> bool {
    let until = UnixMillis(applied_at.0.saturating_sub(CLOCKS_APART_MILLIS));
    missing_until.is_some_and(|missing| missing >= until)
}

/// The sums by protocol, in the order of [`Protocol::ALL`], with the time of the slowest.
fn added_up(all: impl Iterator<Item = ProtocolEnded>) -> Vec<ProtocolEnded> {
    let mut sums: Vec<ProtocolEnded> = Vec::new();
    for one in all.filter(|one| one.ended > 0) {
        match sums.iter_mut().find(|sum| sum.protocol == one.protocol) {
            None => sums.push(one),
            Some(sum) => {
                sum.ended = sum.ended.saturating_add(one.ended);
                sum.still_open = sum.still_open.saturating_add(one.still_open);
                sum.last_byte_micros =
                    sum.last_byte_micros.and_then(|slowest| Some(slowest.max(one.last_byte_micros?)));
            }
        }
    }
    sums.sort_by_key(|sum| Protocol::ALL.iter().position(|protocol| *protocol == sum.protocol));
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(protocol: Protocol, ended: u64, still_open: u64) -> ProtocolEnded {
        let last_byte_micros = (still_open == 0).then_some(ended * 100);
        ProtocolEnded { protocol, ended, still_open, last_byte_micros }
    }

    fn told(endings: usize) -> Told {
        let ending = |n: usize| ToldEnding {
            revocation: Uuid::from_u128(n as u128),
            at: UnixMillis(1_000_000 - i64::try_from(n).unwrap()),
            exchanges: vec![of(Protocol::Http2, 2, u64::from(n == 0)), of(Protocol::Grpc, 1, 0)],
        };
        Told {
            began_at: UnixMillis(7),
            missing_until: None,
            open_missing_until: None,
            endings: (0..endings).map(ending).collect(),
            slipped: vec![(Uuid::from_u128(3), 2)],
            slipped_whole: true,
        }
    }

    #[test]
    fn what_is_told_is_read_back() {
        let read = Told::parse(&told(4).to_text()).unwrap();
        assert_eq!((read.began_at, read.missing_until, read.endings.len()), (UnixMillis(7), None, 4));
        let ids = [Uuid::from_u128(0), Uuid::from_u128(3)];
        let sum = read.ended_by(&ids, UnixMillis(0)).unwrap();
        let open = ProtocolEnded { last_byte_micros: None, ..of(Protocol::Http2, 4, 1) };
        assert_eq!(sum, [open, ProtocolEnded { last_byte_micros: Some(100), ..of(Protocol::Grpc, 2, 0) }]);
        assert_eq!((read.open_of(&ids, UnixMillis(0)), read.slipped_of(&ids)), (Some(1), Some(2)));
        assert_eq!(read.ended_by(&[Uuid::from_u128(9)], UnixMillis(0)), Some(Vec::new()));
        for bad in [
            "",
            "{}",
            "null",
            r#"{"b":1,"m":null,"e":[],"s":[]}"#,
            r#"{"b":1,"m":null,"o":[null,true],"e":[["x",[]]],"s":[]}"#,
        ] {
            assert_eq!(Told::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_does_not_fit_is_missing_and_said_to_be() {
        let read = Told::parse(&told(5000).to_text()).unwrap();
        assert!(!read.endings.is_empty() && read.endings.len() < 5000);
        let missing = read.missing_until.unwrap();
        assert!(missing < UnixMillis(1_000_000), "{missing:?}");
        let open = [Uuid::from_u128(0)];
        assert_eq!(read.open_of(&open, UnixMillis(0)), Some(1), "what is open comes first");
        let over = [Uuid::from_u128(4999)];
        assert_eq!(read.open_of(&over, UnixMillis(0)), Some(0), "nothing open was left out");
        assert_eq!(read.ended_by(&open, UnixMillis(1_000_000)), None, "it may be one of those left out");
        let later = UnixMillis(1_000_000 + CLOCKS_APART_MILLIS);
        assert!(read.ended_by(&open, later).is_some());
    }

    #[test]
    fn what_is_open_and_who_slipped_in_is_not_zero_where_it_was_left_out() {
        let mut all = told(5000);
        for ending in &mut all.endings {
            ending.exchanges = vec![of(Protocol::Http2, 2, 2)];
        }
        all.slipped = (0..5000).map(|n| (Uuid::from_u128(n), 1)).collect();
        let read = Told::parse(&all.to_text()).unwrap();
        let (there, left_out) = ([Uuid::from_u128(0)], [Uuid::from_u128(4999)]);
        let of = |ids: &[Uuid], at: i64| (read.open_of(ids, UnixMillis(at)), read.slipped_of(ids));
        assert_eq!(of(&left_out, 1_000_000 - 4999), (None, None));
        assert_eq!(of(&there, 1_000_000).1, Some(1));
        assert_eq!(of(&left_out, 1_000_000 + CLOCKS_APART_MILLIS + 1).0, Some(0), "it is younger than those");
    }
}
