//! Which messages came before. A message that comes twice is acknowledged twice and has one effect.
//!
//! The store keeps the ids for the fleet; [`SeenMessages`] keeps them in memory, bounded, for one
//! node, and for tests.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use doorward_model::UnixMillis;

/// How long an id is remembered at least. A security event has no end of its own.
const KEPT_DAYS_MIN: u64 = 7;
/// The most ids that are kept in memory.
pub const SEEN_MESSAGES_MAX: usize = 262_144;

/// The name of one message: a hash of who made it and of its `jti`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId([u8; 32]);

/// What is known of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It has not been seen.
    First,
    /// It has.
    Again,
}

/// Remembers messages. [`look`](Self::look) is asked before an effect, [`keep`](Self::keep) after
/// it is durable; a store does both with the effect, in one transaction.
pub trait Remember {
    /// Whether the message came before.
    fn look(&self, id: &MessageId) -> Sight;
    /// Remembers it until then.
    fn keep(&mut self, id: MessageId, until: UnixMillis, now: UnixMillis);
}

/// Messages in memory. When there are too many, those that end first are forgotten first, because
/// a message that is forgotten can only repeat what it did, and one that is refused would not do
/// it at all.
#[derive(Debug)]
pub struct SeenMessages {
    until: HashMap<MessageId, UnixMillis>,
    by_end: BTreeSet<(UnixMillis, MessageId)>,
    max: usize,
}

/// Until when a message is remembered: seven days, or as long as it is good.
#[must_use]
pub fn kept_until(now: UnixMillis, expires_at: Option<UnixMillis>) -> UnixMillis {
    let week = now.plus(Duration::from_secs(KEPT_DAYS_MIN * 86_400));
    expires_at.map_or(week, |end| week.max(end))
}

// === impl MessageId ===

impl MessageId {
    /// The name of the message `id` of an issuer.
    #[must_use]
    pub fn new(issuer: &str, id: &str) -> Self {
        // The length keeps `ab` + `c` apart from `a` + `bc`.
        let text = format!("{}:{issuer}{id}", issuer.len());
        let mut sum = [0; 32];
        for (to, from) in sum.iter_mut().zip(digest(&SHA256, text.as_bytes()).as_ref()) {
            *to = *from;
        }
        Self(sum)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

// === impl SeenMessages ===

impl SeenMessages {
    /// None yet, and never more than `max`.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { until: HashMap::new(), by_end: BTreeSet::new(), max: max.max(1) }
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.until.len()
    }

    /// None is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    fn forget(&mut self, now: UnixMillis) {
        while let Some((end, id)) = self.by_end.first().copied() {
            if end > now && self.until.len() <= self.max {
                return;
            }
            self.by_end.remove(&(end, id));
            self.until.remove(&id);
        }
    }
}

impl Remember for SeenMessages {
    fn look(&self, id: &MessageId) -> Sight {
        if self.until.contains_key(id) { Sight::Again } else { Sight::First }
    }

    fn keep(&mut self, id: MessageId, until: UnixMillis, now: UnixMillis) {
        let end = self.until.get(&id).map_or(until, |old| until.max(*old));
        if let Some(old) = self.until.insert(id, end) {
            self.by_end.remove(&(old, id));
        }
        self.by_end.insert((end, id));
        self.forget(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> MessageId {
        MessageId::new("https://idp.example", &n.to_string())
    }

    #[test]
    fn a_message_is_one_of_its_issuer() {
        assert_eq!(id(1), id(1));
        assert_ne!(MessageId::new("https://a", "1"), MessageId::new("https://b", "1"));
        assert_ne!(MessageId::new("ab", "c"), MessageId::new("a", "bc"));
        assert_eq!(id(1).to_string().len(), 64);
    }

    #[test]
    fn a_message_is_remembered_for_a_week_or_as_long_as_it_is_good() {
        let (now, day) = (UnixMillis(0), Duration::from_secs(86_400));
        assert_eq!(kept_until(now, None), now.plus(7 * day));
        assert_eq!(kept_until(now, Some(now.plus(day))), now.plus(7 * day));
        assert_eq!(kept_until(now, Some(now.plus(9 * day))), now.plus(9 * day));
        let mut seen = SeenMessages::new(10);
        seen.keep(id(1), UnixMillis(100), UnixMillis(0));
        assert_eq!((seen.look(&id(1)), seen.look(&id(2))), (Sight::Again, Sight::First));
        seen.keep(id(2), UnixMillis(300), UnixMillis(99));
        assert_eq!(seen.look(&id(1)), Sight::Again);
        seen.keep(id(3), UnixMillis(300), UnixMillis(100));
        assert_eq!((seen.look(&id(1)), seen.len()), (Sight::First, 2));
    }

    #[test]
    fn memory_is_bounded_and_what_ends_first_goes_first() {
        let mut seen = SeenMessages::new(100);
        for n in 0..1000 {
            seen.keep(id(n), UnixMillis(10_000 + n as i64), UnixMillis(0));
        }
        // Kept anew it does not count twice, and does not end sooner.
        seen.keep(id(999), UnixMillis(1), UnixMillis(0));
        assert_eq!((seen.len(), seen.by_end.len()), (100, 100));
        assert_eq!(
            (seen.look(&id(899)), seen.look(&id(900)), seen.look(&id(999))),
            (Sight::First, Sight::Again, Sight::Again)
        );
    }
}
