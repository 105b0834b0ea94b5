//! What was found different, in numbers and examples. All of it has a bound.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use doorward_model::limits::{SHADOW_EXAMPLES_MAX, SHADOW_NAMES_MAX};
use doorward_model::{AppId, Employment, Principal, RouteId, UnixMillis};

use super::difference::{Change, Difference, Side, some};
use crate::question::Action;
use crate::situation::Situation;

/// How many requests something changes, by what it changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pass now and would not.
    pub newly_denied: u64,
    /// Do not pass now and would.
    pub newly_allowed: u64,
    /// Would be decided by other policies.
    pub other_policies: u64,
}

impl Counts {
    /// Of one sort.
    #[must_use]
    pub const fn of(&self, change: Change) -> u64 {
        match change {
            Change::NewlyDenied => self.newly_denied,
            Change::NewlyAllowed => self.newly_allowed,
            Change::OtherPolicies => self.other_policies,
        }
    }

    /// Of all sorts.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.newly_denied + self.newly_allowed + self.other_policies
    }

    fn add(&mut self, change: Change) {
        match change {
            Change::NewlyDenied => self.newly_denied += 1,
            Change::NewlyAllowed => self.newly_allowed += 1,
            Change::OtherPolicies => self.other_policies += 1,
        }
    }
}

/// Counts by a name, of which there may be [`SHADOW_NAMES_MAX`]; what has another name then is counted
/// together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByName<K: Ord> {
    named: BTreeMap<K, Counts>,
    others: Counts,
}

impl<K: Ord> Default for ByName<K> {
    fn default() -> Self {
        Self { named: BTreeMap::new(), others: Counts::default() }
    }
}

impl<K: Ord + Clone> ByName<K> {
    fn add(&mut self, name: &K, change: Change) {
        if let Some(counts) = self.named.get_mut(name) {
            counts.add(change);
        } else if self.named.len() < SHADOW_NAMES_MAX {
            self.named.entry(name.clone()).or_default().add(change);
        } else {
            self.others.add(change);
        }
    }

    /// Those with a name, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Counts)> {
        self.named.iter()
    }

    /// Those for which there was no place.
    #[must_use]
    pub const fn others(&self) -> Counts {
        self.others
    }
}

/// One request that would have been answered otherwise. Of the policies it names the first
/// [`SHADOW_EXAMPLE_NAMES_MAX`](doorward_model::limits::SHADOW_EXAMPLE_NAMES_MAX) of each sort.
#[derive(Clone, Debug)]
pub struct Example {
    /// When.
    pub at: UnixMillis,
    /// The id of the request, by which the audit log has it.
    pub request_id: Arc<str>,
    /// The kind of whoever asked.
    pub kind: &'static str,
    /// Who asked; none for a visitor.
    pub who: Option<String>,
    /// What was to be done.
    pub action: Action,
    /// To what.
    pub route: RouteId,
    /// What it changes, and by which policies.
    pub difference: Difference,
    /// What the policies in force said.
    pub in_force: Side,
    /// What the others say.
    pub candidate: Side,
}

/// What was found different so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many requests were decided by both.
    pub decided: u64,
    /// How many could not be decided, because the attempt panicked. There should be none.
    pub failed: u64,
    /// The differences.
    pub total: Counts,
    /// The same by the kind of whoever asked.
    pub by_kind: BTreeMap<&'static str, Counts>,
    /// The same by app.
    pub by_app: ByName<AppId>,
    /// The same by the policies that make the difference. One request may count for several of them.
    pub by_policy: ByName<Arc<str>>,
    /// When the first came, and the last.
    pub first_and_last: Option<(UnixMillis, UnixMillis)>,
    examples: BTreeMap<Change, VecDeque<Example>>,
}

impl Tally {
    /// Takes both answers to one request, and says what changes.
    pub(super) fn add(
        &mut self,
        request_id: &Arc<str>,
        asked: &Situation,
        in_force: &Side,
        candidate: Side,
    ) -> Option<Change> {
        self.decided += 1;
        let difference = Difference::between(in_force, &candidate)?;
        let (change, kind) = (difference.change, kind_of(&asked.principal));
        self.total.add(change);
        self.by_kind.entry(kind).or_default().add(change);
        self.by_app.add(asked.route.id.app(), change);
        for policy in &difference.policies {
            self.by_policy.add(policy, change);
        }
        let first = self.first_and_last.map_or(asked.now, |(first, _)| first);
        self.first_and_last = Some((first, asked.now));
        let examples = self.examples.entry(change).or_default();
        if examples.len() >= SHADOW_EXAMPLES_MAX {
            examples.pop_front();
        }
        examples.push_back(Example {
            at: asked.now,
            request_id: Arc::clone(request_id),
            kind,
            who: asked.principal.id().map(ToString::to_string),
            action: asked.action,
            route: asked.route.id.clone(),
            difference: Difference { change, policies: some(&difference.policies) },
            in_force: in_force.shown(),
            candidate: candidate.shown(),
        });
        Some(change)
    }

    /// The last examples of each sort, the newest first.
    pub fn examples(&self) -> impl Iterator<Item = &Example> {
        self.examples.values().flat_map(|of| of.iter().rev())
    }
}

/// Of which kind somebody is, in the words of `doorward policy replay`: of people how they are employed.
const fn kind_of(principal: &Principal) -> &'static str {
    match principal {
        Principal::User(user) => match user.employment {
            Employment::Employee => "employee",
            Employment::Contractor => "contractor",
            Employment::Partner => "partner",
            Employment::Unknown => "unknown",
        },
        Principal::ServiceAccount(_) => "service_account",
        Principal::Agent(_) => "agent",
        Principal::Visitor(_) => "visitor",
    }
}
