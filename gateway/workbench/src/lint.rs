//! What could be better in policies that could be put in force.
//!
//! A lint knows Cedar and the advice of `policies/README.md`, and no solver: what it finds can be read off
//! the text, the scope and the schema. Each finding is told by a [`Rule`]; a policy is excepted from one by
//! `@allow_lint("no-owner")`. What each is for, and what to do: `docs/reference/policy-lints.md`.
//!
//! Walking a policy takes a stack that is as deep as the policy: call this where policies are read
//! ([`doorward_policy::Inspection::of`], [`doorward_policy::on_policy_stack`]).

mod absent;
mod conditions;
mod form;
mod found;
mod letters;
mod pairs;
mod scope;

use std::collections::BTreeSet;
use std::ops::Range;

use cedar_policy::{Schema, pst};
use doorward_policy::conditions::Part;
use doorward_policy::{Conditions, Finding, PolicySource, Rule};

use self::form::Form;
pub use self::found::Found;
use self::scope::Scope;

/// Names that a hint can offer.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Routes, such as `payroll/admin`.
    pub routes: BTreeSet<String>,
    /// Networks, such as `corp`.
    pub networks: BTreeSet<String>,
}

/// A policy, and what is asked about it more than once.
struct Subject<'a> {
    source: &'a PolicySource,
    body: pst::Template,
    scope: Scope,
    form: Form,
}

/// Looks for everything that could be better in these policies, at most [`POLICY_HINTS_MAX`] hints more than are
/// found already and are not meant. Where something was not looked for, [`Found::settled`] says so.
///
/// [`POLICY_HINTS_MAX`]: doorward_model::limits::POLICY_HINTS_MAX
pub fn lint(policies: &[PolicySource], schema: Option<&Schema>, names: &Names, found: &mut Found<'_>) {
    let actions = scope::Actions::new(schema);
    let subjects: Vec<Subject<'_>> = policies.iter().filter_map(|p| Subject::new(p, &actions)).collect();
    found.begin();
    for subject in &subjects {
        if found.is_full() {
            break;
        }
        scope::lint(subject, schema, found);
        conditions::lint(subject, names, found);
        absent::lint(subject, found);
        letters::lint(subject.source, found);
    }
    pairs::lint(&subjects, found);
}

impl<'a> Subject<'a> {
    /// None for a policy whose tree Cedar cannot show, of which nothing can be said.
    fn new(source: &'a PolicySource, actions: &scope::Actions) -> Option<Self> {
        let body = source.policy().to_pst().ok()?.body().clone();
        let form = form::of_clauses(body.clauses());
        Some(Self { source, scope: Scope::new(source.policy(), actions), form, body })
    }

    fn permits(&self) -> bool {
        self.body.effect == pst::Effect::Permit
    }

    /// What a rule finds in a part of the policy.
    fn found(
        &self,
        rule: Rule,
        at: Option<Range<usize>>,
        message: String,
        help: impl Into<String>,
    ) -> Finding {
        self.source.found_at(rule, at, message, help)
    }

    /// Where the scope says something of the principal; all of the scope for the whole policy.
    fn side(&self, part: Part) -> Option<Range<usize>> {
        let conditions = Conditions::new(self.source.policy());
        let side = |part: Part| conditions.all().iter().find(|c| c.part() == part).and_then(|c| c.span());
        match part {
            Part::Whole => Some(side(Part::Principal)?.start..side(Part::Resource)?.end),
            Part::Principal | Part::Action | Part::Resource | Part::Clause => side(part),
        }
    }

    /// The smallest condition that says `needle`.
    fn condition(&self, needle: &str) -> Option<Range<usize>> {
        let conditions = Conditions::new(self.source.policy());
        let clauses =
            conditions.all().iter().filter(|c| c.part() == Part::Clause && c.text().contains(needle));
        clauses.filter_map(|c| c.span()).min_by_key(Range::len)
    }

    /// The `when` and `unless` clauses together.
    fn clauses(&self) -> Option<Range<usize>> {
        let conditions = Conditions::new(self.source.policy());
        let mut spans = conditions.all().iter().filter(|c| c.part() == Part::Clause).filter_map(|c| c.span());
        let first = spans.next()?;
        Some(spans.fold(first, |all, one| all.start.min(one.start)..all.end.max(one.end)))
    }
}
