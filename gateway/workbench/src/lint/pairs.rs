//! What two policies say together: the same, more than the other, or the contrary.
//!
//! Policies that can matter to each other are found by what they have in common, so that a thousand that say the
//! same are not held against each other a million times.

use std::collections::{BTreeMap, HashMap};

use doorward_policy::conditions::Part;
use doorward_policy::{Finding, Rule};

use super::Subject;
use super::form::Form;
use super::found::{Found, LeftOut};
use super::scope::{Scope, Sides};

/// How many steps are gone; each holds two policies, or two of their conditions, against each other.
const STEPS_MAX: usize = 5_000_000;

/// Compares policies that decide. What only reports overrules nobody and lets nobody in.
pub(super) fn lint(subjects: &[Subject<'_>], found: &mut Found<'_>) {
    let mut numbers = BTreeMap::new();
    let deciding = subjects.iter().filter(|s| !s.source.only_reports() && s.form != Form::Settled(false));
    let all: Vec<Compared<'_>> = deciding.map(|s| Compared::new(s, &mut numbers)).collect();
    let mut left = STEPS_MAX;
    alike(&all, &mut left, found);
    overruled(&all, &mut left, found);
    if left == 0 {
        found.leave_out(LeftOut::Pairs);
    }
}

/// A policy, ready to be held against others.
struct Compared<'a> {
    subject: &'a Subject<'a>,
    /// What must all hold, each condition as a number that only it has, sorted.
    asked: Vec<usize>,
}

impl<'a> Compared<'a> {
    fn new(subject: &'a Subject<'a>, numbers: &mut BTreeMap<&'a Form, usize>) -> Self {
        let number = |form| {
            let next = numbers.len();
            *numbers.entry(form).or_insert(next)
        };
        let mut asked: Vec<usize> = subject.form.conjuncts().into_iter().map(number).collect();
        asked.sort_unstable();
        Self { subject, asked }
    }

    fn scope(&self) -> &'a Scope {
        &self.subject.scope
    }

    fn place(&self) -> String {
        let source = self.subject.source;
        format!("`{}` ({}:{})", source.id(), source.file(), source.line())
    }

    fn found(&self, rule: Rule, message: String, help: &str) -> Finding {
        self.subject.found(rule, self.subject.side(Part::Whole), message, help)
    }
}

/// Policies by principal and resource of their scope, each in the order of the files.
fn by_sides<'a, 'b>(all: impl IntoIterator<Item = &'b Compared<'a>>) -> HashMap<Sides, Vec<&'b Compared<'a>>>
where
    'a: 'b,
{
    let mut found: HashMap<Sides, Vec<&'b Compared<'a>>> = HashMap::new();
    for one in all {
        found.entry(one.scope().sides()).or_default().push(one);
    }
    found
}

/// Takes a number of steps; none where they are used up.
fn step(left: &mut usize, steps: usize) -> Option<()> {
    *left = left.saturating_sub(steps);
    (*left > 0).then_some(())
}

/// Policies of one effect whose conditions are the same: each is told of the first that says as much or more.
fn alike(all: &[Compared<'_>], left: &mut usize, found: &mut Found<'_>) {
    let mut groups: BTreeMap<(bool, &[usize]), Vec<&Compared<'_>>> = BTreeMap::new();
    for one in all {
        groups.entry((one.subject.permits(), &one.asked)).or_default().push(one);
    }
    for ((permits, _), group) in groups {
        let mut first: HashMap<&Scope, &Compared<'_>> = HashMap::new();
        let mut distinct = Vec::new();
        for one in group {
            match first.get(one.scope()) {
                Some(other) => found.push(same(one, other)),
                None => {
                    first.insert(one.scope(), one);
                    distinct.push(one);
                }
            }
        }
        // Of two forbids the narrower one may say something else to whom it refuses.
        if permits && distinct.len() > 1 {
            let places = by_sides(distinct.iter().copied());
            for narrow in &distinct {
                let wider =
                    |wide: &Compared<'_>| !std::ptr::eq(wide, *narrow) && wide.scope().covers(narrow.scope());
                if let Some(wide) = first_above(&places, narrow, left, |wide, _| wider(wide)) {
                    found.push(contained(narrow, wide));
                }
            }
        }
    }
}

/// The first policy whose principal and resource hold those of `narrow`, and of which `fits` says so.
fn first_above<'b, 'a>(
    places: &HashMap<Sides, Vec<&'b Compared<'a>>>,
    narrow: &Compared<'a>,
    left: &mut usize,
    fits: impl Fn(&Compared<'a>, &Compared<'a>) -> bool,
) -> Option<&'b Compared<'a>> {
    for sides in narrow.scope().above() {
        for wide in places.get(&sides).into_iter().flatten() {
            step(left, wide.asked.len() + wide.scope().weight())?;
            if fits(wide, narrow) {
                return Some(wide);
            }
        }
    }
    None
}

fn same(one: &Compared<'_>, other: &Compared<'_>) -> Finding {
    let message = format!("`{}` says the same as {}", one.subject.source.id(), other.place());
    let help = "remove one of them; whoever changes one will forget the other";
    one.found(Rule::SamePolicy, message, help)
}

fn contained(narrow: &Compared<'_>, wide: &Compared<'_>) -> Finding {
    let message =
        format!("all that `{}` permits, {} permits as well", narrow.subject.source.id(), wide.place());
    let help =
        "remove the narrower one, or narrow the wider one: taking the narrower away takes nothing away";
    narrow.found(Rule::WiderPermit, message, help)
}

/// Permits that never decide: wherever they apply, so does a forbid.
fn overruled(all: &[Compared<'_>], left: &mut usize, found: &mut Found<'_>) {
    let forbids = by_sides(all.iter().filter(|one| !one.subject.permits()));
    for permit in all.iter().filter(|one| one.subject.permits()) {
        let stronger = |forbid: &Compared<'_>, permit: &Compared<'_>| {
            forbid.scope().covers(permit.scope()) && is_within(&forbid.asked, &permit.asked)
        };
        if let Some(forbid) = first_above(&forbids, permit, left, stronger) {
            let (id, by) = (permit.subject.source.id(), forbid.place());
            let message = format!("`{id}` lets nobody in: {by} always overrules it");
            let help =
                "remove the permit, or write into the forbid for whom it does not hold (`unless { … }`)";
            found.push(permit.found(Rule::Overruled, message, help));
        }
    }
}

/// Whether each of these sorted numbers is among those.
fn is_within(few: &[usize], many: &[usize]) -> bool {
    let mut rest = many.iter();
    few.iter().all(|wanted| rest.by_ref().find(|n| *n >= wanted) == Some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_numbers_are_found() {
        for (few, many, within) in [
            (&[][..], &[][..], true),
            (&[], &[1], true),
            (&[1], &[], false),
            (&[1, 3], &[1, 2, 3], true),
            (&[1, 4], &[1, 2, 3], false),
            (&[2, 3], &[1, 3], false),
        ] {
            assert_eq!(is_within(few, many), within, "{few:?} {many:?}");
        }
    }
}
