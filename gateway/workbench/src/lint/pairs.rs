//! What two policies say together: the same, more than the other, or the contrary.

use std::collections::BTreeMap;

use doorward_model::limits::POLICY_HINTS_MAX;
use doorward_policy::conditions::Part;
use doorward_policy::{Finding, Rule};

use super::Subject;
use super::form::Form;

/// How many pairs are held against each other; with more the comparison is left out.
const PAIRS_MAX: usize = 1_000_000;

pub(super) fn lint(subjects: &[Subject<'_>], found: &mut Vec<Finding>) {
    let mut alike: BTreeMap<(bool, &Form), Vec<&Subject<'_>>> = BTreeMap::new();
    for subject in subjects {
        if subject.form != Form::Settled(false) {
            alike.entry((subject.permits(), &subject.form)).or_default().push(subject);
        }
    }
    let mut left = PAIRS_MAX;
    for group in alike.values() {
        // Two that compare themselves with each other, each once.
        let pairs = group.len().saturating_mul(group.len());
        if pairs > left || found.len() >= POLICY_HINTS_MAX {
            break;
        }
        left -= pairs;
        for (at, one) in group.iter().enumerate() {
            group.iter().skip(at + 1).for_each(|other| compare(one, other, found));
        }
    }
    let forbids: Vec<&Subject<'_>> = subjects.iter().filter(|s| !s.permits()).collect();
    let permits: Vec<&Subject<'_>> = subjects.iter().filter(|s| s.permits()).collect();
    if forbids.len().saturating_mul(permits.len()) <= left {
        permits.iter().for_each(|permit| overruled(permit, &forbids, found));
    }
}

fn place(subject: &Subject<'_>) -> String {
    format!("`{}` ({}:{})", subject.source.id(), subject.source.file(), subject.source.line())
}

/// Two policies of one effect whose conditions are the same.
fn compare(one: &Subject<'_>, other: &Subject<'_>, found: &mut Vec<Finding>) {
    let id = other.source.id();
    match (one.scope.covers(&other.scope), other.scope.covers(&one.scope)) {
        (true, true) => {
            let message = format!("`{id}` says the same as {}", place(one));
            let help = "remove one of them; whoever changes one will forget the other";
            found.push(other.found(Rule::SamePolicy, other.side(Part::Whole), message, help));
        }
        (true, false) if other.permits() => found.push(contained(other, one)),
        (false, true) if other.permits() => found.push(contained(one, other)),
        (true | false, true | false) => {}
    }
}

fn contained(narrow: &Subject<'_>, wide: &Subject<'_>) -> Finding {
    let message = format!("all that `{}` permits, {} permits as well", narrow.source.id(), place(wide));
    let help =
        "remove the narrower one, or narrow the wider one: taking the narrower away takes nothing away";
    narrow.found(Rule::WiderPermit, narrow.side(Part::Whole), message, help)
}

/// A permit that never decides: wherever it applies, so does a forbid.
fn overruled(permit: &Subject<'_>, forbids: &[&Subject<'_>], found: &mut Vec<Finding>) {
    if permit.form == Form::Settled(false) || found.len() >= POLICY_HINTS_MAX {
        return;
    }
    let asked = permit.form.conjuncts();
    let stronger = forbids.iter().find(|forbid| {
        forbid.form != Form::Settled(false)
            && forbid.scope.covers(&permit.scope)
            && forbid.form.conjuncts().is_subset(&asked)
    });
    if let Some(forbid) = stronger {
        let message =
            format!("`{}` lets nobody in: {} always overrules it", permit.source.id(), place(forbid));
        let help = "remove the permit, or write into the forbid for whom it does not hold (`unless { … }`)";
        found.push(permit.found(Rule::Overruled, permit.side(Part::Whole), message, help));
    }
}
