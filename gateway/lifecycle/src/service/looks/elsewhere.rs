//! What other processes say of somebody who left, and what their silence is worth: nothing.
//!
//! A process tells what revocations ended there, by their ids. So it is asked for all that ever cut somebody off:
//! whoever had been suspended is not cut off again when they leave, and what the suspension told to end may still
//! run. What a process left out is not known, and not zero.

use std::collections::BTreeSet;

use doorward_model::UnixMillis;
use doorward_state::{Action, NodeReport};
use uuid::Uuid;

use crate::offboarding::Count;
use crate::receipt::Told;

/// The most revocations of one sign-in that are asked for: of whom there are more, not all are known.
pub(super) const CUTS_MAX: usize = 200;

/// Revocations that cut somebody off, and when the first of them did.
pub(super) struct Cuts {
    ids: BTreeSet<Uuid>,
    first: UnixMillis,
}

impl Cuts {
    /// Those that a receipt tells of, with the times when they were applied.
    pub(super) fn of(told: impl Iterator<Item = (Uuid, UnixMillis)>) -> Self {
        let mut cuts = Self { ids: BTreeSet::new(), first: UnixMillis(i64::MAX) };
        told.for_each(|(id, at)| cuts.are(id, at));
        cuts
    }

    /// Adds those that the log of one sign-in has. False when they may not be all.
    pub(super) fn has_log(&mut self, rows: &[(Uuid, Action, UnixMillis)]) -> bool {
        let mut is_cut = false;
        for (id, action, at) in rows {
            match action {
                Action::Revoke | Action::Disable => {
                    is_cut = true;
                    self.are(*id, *at);
                }
                Action::Reactivate => {}
            }
        }
        is_cut && rows.len() < CUTS_MAX
    }

    pub(super) fn some(self) -> Result<Self, String> {
        let why = "there is no revocation that says what was ended";
        if self.ids.is_empty() { Err(why.to_owned()) } else { Ok(self) }
    }

    fn are(&mut self, id: Uuid, at: UnixMillis) {
        self.first = self.first.min(at);
        self.ids.insert(id);
    }
}

/// What is known to be is known, whatever else there may be; that there is nothing is not.
pub(super) fn at_least(known: u64, why: &str) -> Count {
    if known > 0 { Count::Known(known) } else { Count::Unknown(why.to_owned()) }
}

pub(super) fn unless_some(count: Count, why: &str) -> Count {
    match count {
        Count::Known(known) => at_least(known, why),
        Count::Unknown(why) => Count::Unknown(why),
    }
}

/// Adds what the other processes say.
pub(super) fn elsewhere(others: &[NodeReport], cuts: &Cuts, here: u64, allowed: Count) -> (Count, Count) {
    let ids: Vec<Uuid> = cuts.ids.iter().copied().collect();
    let (mut streams, mut slipped) = (here, 0_u64);
    let (mut streams_why, mut slipped_why) = (None, None);
    for other in others {
        let told = Told::parse(&other.told);
        let why = || format!("{} ({}) does not say all that it ended", other.node, other.instance);
        match told.as_ref().and_then(|told| told.open_of(&ids, cuts.first)) {
            Some(open) => streams = streams.saturating_add(open),
            None => streams_why = Some(why()),
        }
        match told.as_ref().and_then(|told| told.slipped_of(&ids)) {
            Some(more) => slipped = slipped.saturating_add(more),
            None => slipped_why = Some(why()),
        }
    }
    let allowed = match allowed {
        Count::Known(here) => Count::Known(here.saturating_add(slipped)),
        Count::Unknown(_) if slipped > 0 => Count::Known(slipped),
        Count::Unknown(why) => Count::Unknown(why),
    };
    let streams = streams_why.map_or(Count::Known(streams), |why| at_least(streams, &why));
    (streams, slipped_why.map_or(allowed.clone(), |why| unless_some(allowed, &why)))
}

#[cfg(test)]
mod tests {
    use doorward_audit::Protocol;
    use doorward_state::NodeAnswer;

    use super::*;
    use crate::receipt::ToldEnding;
    use crate::receipt::facts::ProtocolEnded;

    const SUSPENDED: Uuid = Uuid::from_u128(1);
    const LEFT: Uuid = Uuid::from_u128(2);

    fn open(revocation: Uuid, still_open: u64) -> ToldEnding {
        let of =
            ProtocolEnded { protocol: Protocol::WebSocket, ended: 3, still_open, last_byte_micros: None };
        ToldEnding { revocation, at: UnixMillis(10), exchanges: vec![of] }
    }

    fn whole() -> Told {
        Told { slipped_whole: true, ..Told::default() }
    }

    fn says(told: String) -> NodeReport {
        let answer = NodeAnswer::Applied { at: UnixMillis(90) };
        NodeReport { node: "gw-2".to_owned(), instance: Uuid::from_u128(7), answer, told }
    }

    fn counted(told: &Told, cuts: &Cuts) -> (Count, Count) {
        elsewhere(&[says(told.to_text())], cuts, 0, Count::Known(0))
    }

    #[test]
    fn what_a_suspension_told_to_end_is_asked_for_when_the_leaving_cut_nothing_off() {
        let told = Told { endings: vec![open(SUSPENDED, 1)], slipped: vec![(SUSPENDED, 2)], ..whole() };
        let mut cuts = Cuts::of(std::iter::empty());
        assert!(!Cuts::of(std::iter::empty()).has_log(&[]), "who was cut off by nothing is not known");
        let back = (LEFT, Action::Reactivate, UnixMillis(5));
        assert!(!Cuts::of(std::iter::empty()).has_log(&[back]));
        assert!(cuts.has_log(&[(SUSPENDED, Action::Disable, UnixMillis(9))]));
        let cuts = cuts.some().ok().unwrap();
        assert_eq!(counted(&told, &cuts), (Count::Known(1), Count::Known(2)));
        assert_eq!(counted(&whole(), &cuts), (Count::Known(0), Count::Known(0)));
        let many = vec![(SUSPENDED, Action::Revoke, UnixMillis(9)); CUTS_MAX];
        assert!(!Cuts::of(std::iter::empty()).has_log(&many), "there may be more");
        assert!(Cuts::of(std::iter::empty()).some().is_err());
    }

    #[test]
    fn what_is_left_out_or_not_said_is_not_zero() {
        let cuts = Cuts::of([(LEFT, UnixMillis(100))].into_iter());
        let (unknown, none) = (|count: &Count| matches!(count, Count::Unknown(_)), Count::Known(0));
        let (streams, allowed) = elsewhere(&[says(String::new())], &cuts, 0, none.clone());
        assert!(unknown(&streams) && unknown(&allowed));
        let (streams, allowed) = counted(&Told { slipped_whole: false, ..whole() }, &cuts);
        assert!(streams == none && unknown(&allowed));
        let missing = Told { open_missing_until: Some(UnixMillis(100)), ..whole() };
        let (streams, allowed) = counted(&missing, &cuts);
        assert!(unknown(&streams) && allowed == none);
        // What is seen is told, whatever else there may be.
        let both = [says(String::new()), says(Told { endings: vec![open(LEFT, 2)], ..whole() }.to_text())];
        assert_eq!(elsewhere(&both, &cuts, 1, Count::Known(1)), (Count::Known(3), Count::Known(1)));
    }
}
