//! The fewest atoms that would have to come out otherwise for a policy to come out otherwise.
//!
//! Each set is ordered by whoever would have to act, the hardest first, and then by its size. At each condition only
//! the best few are kept, so the work is bounded by the size of the policy; the very best may be missed where a policy
//! asks for the same in many places. That is why a way is decided again before it is told.

use std::cell::RefCell;
use std::collections::BTreeMap;

use doorward_model::limits::{EXPLAIN_ATOMS_MAX, EXPLAIN_TURNS_MAX};

use super::hand::Hand;
use crate::conditions::{Conditions, Kind, Truth};

/// Whoever would have to act, as bits: the easiest is the lowest. A stronger sign-in is a weaker one, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hands(u16);

impl Hands {
    pub(super) const fn of(hand: Hand) -> Self {
        Self(1 << hand as u16)
    }

    fn and(self, other: Self) -> Self {
        let all = self.0 | other.0;
        let weaker = match (all & Self::of(Hand::SecurityKey).0, all & Self::of(Hand::SecondFactor).0) {
            (0, 0) => 0,
            (0, _) => Self::of(Hand::SignInAgain).0,
            (_, _) => Self::of(Hand::SignInAgain).0 | Self::of(Hand::SecondFactor).0,
        };
        Self(all & !weaker)
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Hand> {
        Hand::ALL.into_iter().filter(move |hand| self.0 & Self::of(*hand).0 != 0)
    }

    /// The hardest of them.
    pub(super) fn hardest(self) -> Option<Hand> {
        self.iter().last()
    }
}

/// The sides of the scope are the first conditions after the policy as a whole.
const SIDES: usize = 3;

/// Atoms to be turned over: the place of the policy, the number of the condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) hands: Hands,
    pub(super) atoms: Vec<(usize, usize)>,
    /// How many of them ask what somebody is.
    pub(super) deep: usize,
}

impl Turn {
    pub(super) fn and(&self, other: &Self) -> Self {
        let mut atoms = [self.atoms.as_slice(), other.atoms.as_slice()].concat();
        atoms.sort_unstable();
        atoms.dedup();
        Self { hands: self.hands.and(other.hands), atoms, deep: self.deep + other.deep }
    }

    /// Among equals, a clause says more than a side of the scope.
    fn order(&self) -> (Hands, usize, usize, usize, &[(usize, usize)]) {
        let of_scope = self.atoms.iter().filter(|(_, number)| *number <= SIDES).count();
        (self.hands, self.atoms.len(), of_scope, self.deep, &self.atoms)
    }
}

/// The best few, each once.
pub(super) fn best(mut all: Vec<Turn>) -> Vec<Turn> {
    all.retain(|turn| turn.atoms.len() <= EXPLAIN_ATOMS_MAX);
    all.sort_by(|a, b| a.order().cmp(&b.order()));
    all.dedup_by(|a, b| a.atoms == b.atoms);
    all.truncate(EXPLAIN_TURNS_MAX);
    all
}

/// Both of two things.
pub(super) fn both(some: &[Turn], other: &[Turn]) -> Vec<Turn> {
    best(some.iter().flat_map(|a| other.iter().map(|b| a.and(b))).collect())
}

/// A policy, and what its conditions came to, each by itself.
pub(super) struct Subject<'a> {
    /// By which its atoms are named.
    place: usize,
    conditions: &'a Conditions,
    each: &'a [Truth],
    /// Who could turn an atom over, and whether it asks what somebody is.
    hand: &'a dyn Fn(usize) -> (Hand, bool),
    /// What was found for each `if`. Its test is turned both ways: one within another would be four times.
    ifs: RefCell<BTreeMap<(usize, bool), Vec<Turn>>>,
}

impl<'a> Subject<'a> {
    pub(super) const fn new(
        place: usize,
        conditions: &'a Conditions,
        each: &'a [Truth],
        hand: &'a dyn Fn(usize) -> (Hand, bool),
    ) -> Self {
        Self { place, conditions, each, hand, ifs: RefCell::new(BTreeMap::new()) }
    }

    /// What would have to be turned over so that the condition comes to `target`, the best few.
    pub(super) fn turns(&self, number: usize, target: bool) -> Vec<Turn> {
        if self.each.get(number).and_then(Truth::as_bool) == Some(target) {
            return vec![Turn::default()];
        }
        let Some(condition) = self.conditions.get(number) else { return Vec::new() };
        match condition.kind() {
            Kind::All(below) => self.join(below, target, true),
            Kind::Any(below) => self.join(below, target, false),
            Kind::Not(inner) => self.turns(*inner, !target),
            Kind::If { test, then, otherwise } => {
                let known = self.ifs.borrow().get(&(number, target)).cloned();
                known.unwrap_or_else(|| {
                    let mut all = both(&self.turns(*test, true), &self.turns(*then, target));
                    all.append(&mut both(&self.turns(*test, false), &self.turns(*otherwise, target)));
                    let found = best(all);
                    self.ifs.borrow_mut().insert((number, target), found.clone());
                    found
                })
            }
            // What is written there as true or false is so whoever asks; so is an open side of the scope.
            Kind::Atom if condition.is_fixed() => Vec::new(),
            Kind::Atom => {
                let (hand, deep) = (self.hand)(number);
                let atoms = vec![(self.place, number)];
                vec![Turn { hands: Hands::of(hand), atoms, deep: usize::from(deep) }]
            }
        }
    }

    /// `together`: every one of them must come to the target when it is this, one of them when it is not.
    fn join(&self, below: &[usize], target: bool, together: bool) -> Vec<Turn> {
        let each = below.iter().map(|number| self.turns(*number, target));
        if target == together {
            each.fold(vec![Turn::default()], |all, one| both(&all, &one))
        } else {
            best(each.flatten().collect())
        }
    }
}
