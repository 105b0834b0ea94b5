//! Checks a folder, or any set of policies, as a whole: what is wrong, and what could be better.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use cedar_policy::{PolicyId, PolicySet, ValidationMode, Validator};
use doorward_model::UnixMillis;
use doorward_policy::{
    Finding, ForeignSet, Inspection, Known, LoadFailure, PolicySource, Revision, Rule, on_policy_stack,
};

use crate::lint::{Found, Names, lint};

/// What a check came to.
#[derive(Debug)]
pub struct Checked {
    /// What was checked: the folder, or the one file of policies.
    pub subject: PathBuf,
    /// How many policies could be read.
    pub policies: usize,
    /// How many of them only report.
    pub reporting: usize,
    /// How many cases there are; all of them hold where there is no mistake.
    pub cases: usize,
    /// The revision that the folder would have, where there is no mistake.
    pub revision: Option<Revision>,
    /// What keeps the policies from being used.
    pub mistakes: Vec<Finding>,
    /// What could be better.
    pub hints: Vec<Finding>,
    /// How many hints more there are of which a policy says by `@allow_lint` that they are meant.
    pub allowed: usize,
}

/// Checks a folder as the gateway would, and lints what could be read of it. By the time it is told what is overdue.
#[must_use]
pub fn folder(dir: &Path, known: Option<&Known>, now: UnixMillis) -> Checked {
    let look = |inspection: Inspection| {
        let names = Names { routes: inspection.routes, networks: inspection.networks };
        let mut found = Found::new(&inspection.policies);
        found.take(inspection.hints);
        lint(&inspection.policies, inspection.schema.as_ref(), &names, &mut found);
        let (hints, allowed) = found.settled();
        Checked {
            subject: dir.to_owned(),
            policies: inspection.policies.len(),
            reporting: inspection.policies.iter().filter(|p| p.only_reports()).count(),
            cases: inspection.cases,
            revision: inspection.revision,
            mistakes: inspection.mistakes,
            hints,
            allowed,
        }
    };
    Inspection::of(dir, known, now, look).unwrap_or_else(|failure| failed(dir, failure.findings))
}

/// Checks any set of Cedar policies over any schema: strict validation where there is a schema, and lints.
/// Each file is given by its name and its text.
#[must_use]
pub fn foreign(schema: Option<(&str, &str)>, policies: (&str, &str)) -> Checked {
    let subject = Path::new(policies.0);
    let set = match ForeignSet::read(schema, policies) {
        Ok(set) => set,
        Err(findings) => return failed(subject, findings),
    };
    let work = || {
        let (mistakes, hints) = validated(&set);
        let mut found = Found::new(set.policies());
        found.take(hints);
        lint(set.policies(), set.schema(), &Names::default(), &mut found);
        let (hints, allowed) = found.settled();
        let policies = set.policies().len();
        let subject = subject.to_owned();
        Checked { subject, policies, reporting: 0, cases: 0, revision: None, mistakes, hints, allowed }
    };
    on_policy_stack(work)
        .unwrap_or_else(|e| failed(subject, vec![Finding::told(Rule::Broken, e, None, None, None)]))
}

fn failed(subject: &Path, mistakes: Vec<Finding>) -> Checked {
    let subject = subject.to_owned();
    Checked {
        subject,
        policies: 0,
        reporting: 0,
        cases: 0,
        revision: None,
        mistakes,
        hints: Vec::new(),
        allowed: 0,
    }
}

/// What strict validation says. Warnings are hints here: it is Doorward's own rule that they are mistakes.
fn validated(set: &ForeignSet) -> (Vec<Finding>, Vec<Finding>) {
    let Some(schema) = set.schema() else { return (Vec::new(), Vec::new()) };
    let all = match PolicySet::from_policies(set.policies().iter().map(|p| p.policy().clone())) {
        Ok(all) => all,
        Err(e) => return (vec![Finding::told(Rule::Invalid, e.to_string(), None, None, None)], Vec::new()),
    };
    let by_id: HashMap<&PolicyId, &PolicySource> =
        set.policies().iter().map(|p| (p.policy().id(), p)).collect();
    let of = |id: &PolicyId| by_id.get(id);
    let result = Validator::new(schema.clone()).validate(&all, ValidationMode::Strict);
    let errors = result.validation_errors();
    let mut mistakes: Vec<Finding> =
        errors.filter_map(|e| Some(of(e.policy_id())?.said(Rule::Invalid, e))).collect();
    let mut hints: Vec<Finding> = set.policies().iter().filter_map(|p| p.one_of_a_group(schema)).collect();
    let told: HashSet<String> = hints.iter().filter_map(|f| f.policy().map(str::to_owned)).collect();
    let warnings =
        result.validation_warnings().filter(|w| !told.contains(AsRef::<str>::as_ref(w.policy_id())));
    hints.extend(warnings.filter_map(|w| Some(of(w.policy_id())?.said(Rule::Impossible, w))));
    let hints = hints.into_iter().map(Finding::as_hint).collect();
    mistakes = LoadFailure::told("", mistakes).findings;
    (mistakes, hints)
}
