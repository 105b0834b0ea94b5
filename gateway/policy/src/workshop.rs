//! A folder of policies, taken apart for tools: tests, mutants, proofs, explanations.
//!
//! Nothing here is on the way of a request. A tool changes policies and asks what would be decided, by the
//! same [`PolicyBundle::decide`] as a request.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use cedar_policy::{Entities, Policy, PolicySet, Request, Schema, ValidationMode, Validator};
use doorward_model::UnixMillis;
use doorward_model::limits::POLICY_LOAD_STACK_BYTES;

use crate::bundle::PolicyBundle;
use crate::cases::Cases;
use crate::compile::{self, Compiled, LOOKS_MAX};
use crate::failure::{Finding, LoadFailure, SourceFile};
use crate::known::Known;
use crate::lines::RedLine;
use crate::load;
use crate::mode;
use crate::question::Question;
use crate::revision::Revision;
use crate::rule::Rule;
use crate::shape::{self, Language};

/// A folder that passed every check, and what it was made of.
#[derive(Debug)]
pub struct Workshop {
    bundle: PolicyBundle,
    policies: Vec<PolicySource>,
    reporting: Vec<PolicySource>,
    lines: Vec<RedLine>,
    cases: Cases,
    hints: Vec<Finding>,
}

/// A policy and where it is written.
#[derive(Debug)]
pub struct PolicySource(Compiled);

impl Workshop {
    /// Loads a folder as the gateway would. `known` are the names of a configuration, if there is one.
    ///
    /// # Errors
    /// Every mistake in it, at once.
    pub fn open(dir: &Path, known: Option<&Known>) -> Result<Self, LoadFailure> {
        Ok(Self::of(load::load_parts(dir, known, UnixMillis(0), load::Trial::Held)?))
    }

    /// The same for a folder whose cases may fail: they are read and not run. For running them.
    ///
    /// # Errors
    /// Every other mistake in it, at once.
    pub fn untried(dir: &Path, known: Option<&Known>) -> Result<Self, LoadFailure> {
        Ok(Self::of(load::load_parts(dir, known, UnixMillis(0), load::Trial::Left)?))
    }

    fn of(parts: load::Parts) -> Self {
        let load::Parts { bundle, policies, lines, cases, hints, allowed: _ } = parts;
        let sources = policies.into_iter().map(PolicySource);
        let (reporting, policies) = sources.partition(|source| mode::only_reports(source.policy()));
        Self { bundle, policies, reporting, lines, cases, hints }
    }

    /// What would be put in force.
    #[must_use]
    pub const fn bundle(&self) -> &PolicyBundle {
        &self.bundle
    }

    /// The policies that decide, in the order of their files.
    #[must_use]
    pub fn policies(&self) -> &[PolicySource] {
        &self.policies
    }

    /// The policies that only report, in the order of their files.
    #[must_use]
    pub fn reporting(&self) -> &[PolicySource] {
        &self.reporting
    }

    /// What must hold of the policies, in the order of the files.
    #[must_use]
    pub fn red_lines(&self) -> &[RedLine] {
        &self.lines
    }

    /// The cases.
    #[must_use]
    pub const fn cases(&self) -> &Cases {
        &self.cases
    }

    /// What could be better in it.
    #[must_use]
    pub fn hints(&self) -> &[Finding] {
        &self.hints
    }

    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.bundle.words.schema
    }

    /// A bundle of other policies over the same schema. It was not checked: it is for asking, and not for
    /// putting in force.
    #[must_use]
    pub fn with(&self, policies: Vec<Policy>) -> PolicyBundle {
        PolicyBundle::new(Arc::clone(&self.bundle.words), policies, Revision::of([]), UnixMillis(0))
    }

    /// What strict validation has against a policy, warnings among it. Nothing: it could be put in force as
    /// far as the schema tells.
    #[must_use]
    pub fn faults(&self, policy: &Policy) -> Vec<String> {
        let set = match PolicySet::from_policies([policy.clone()]) {
            Ok(set) => set,
            Err(e) => return vec![e.to_string()],
        };
        let validator = Validator::new(self.schema().clone());
        let result = validator.validate_with_level(&set, ValidationMode::Strict, LOOKS_MAX);
        let errors = result.validation_errors().map(ToString::to_string);
        errors.chain(result.validation_warnings().map(ToString::to_string)).collect()
    }
}

/// A folder as it is, fit to be put in force or not: what could be read of it, and all that was found.
#[derive(Debug)]
pub struct Inspection {
    /// The policies that could be read, in the order of their files.
    pub policies: Vec<PolicySource>,
    /// The schema, if it could be read.
    pub schema: Option<Schema>,
    /// How many cases there are.
    pub cases: usize,
    /// The routes that the cases and the configuration have.
    pub routes: BTreeSet<String>,
    /// The networks that the configuration has.
    pub networks: BTreeSet<String>,
    /// The revision that these files would have, if they are fit.
    pub revision: Option<Revision>,
    /// What keeps them from being put in force.
    pub mistakes: Vec<Finding>,
    /// What could be better, whatever the policies say is meant.
    pub hints: Vec<Finding>,
}

impl Inspection {
    /// Loads a folder as the gateway would and shows it to `look`, on the stack on which policies are read:
    /// what walks a policy needs it.
    ///
    /// # Errors
    /// It could not be looked at.
    pub fn of<T: Send>(
        dir: &Path,
        known: Option<&Known>,
        now: UnixMillis,
        look: impl FnOnce(Self) -> T + Send,
    ) -> Result<T, LoadFailure> {
        let of_known = |names: fn(&Known) -> BTreeSet<String>| known.map(names).unwrap_or_default();
        let (known_routes, networks) = (of_known(Known::route_names), of_known(Known::network_names));
        load::load_to_look(dir, known, now, |loaded| {
            let cases = match &loaded {
                Ok(parts) => &parts.cases,
                Err(unfit) => &unfit.cases,
            };
            let routes = known_routes.into_iter().chain(cases.route_names()).collect();
            let cases = cases.len();
            look(match loaded {
                Ok(parts) => Self {
                    schema: Some(parts.bundle.words.schema.clone()),
                    policies: parts.policies.into_iter().map(PolicySource).collect(),
                    cases,
                    routes,
                    networks,
                    revision: Some(parts.bundle.revision()),
                    mistakes: Vec::new(),
                    hints: parts.hints.into_iter().chain(parts.allowed).collect(),
                },
                Err(unfit) => Self {
                    schema: unfit.schema,
                    policies: unfit.policies.into_iter().map(PolicySource).collect(),
                    cases,
                    routes,
                    networks,
                    revision: None,
                    mistakes: unfit.failure.findings,
                    hints: unfit.hints,
                },
            })
        })
    }
}

/// Does `work` on a stack on which every policy can be walked that was let in: what parses, prints or
/// compares policies calls itself once for each of their levels.
///
/// # Errors
/// There is no thread for it, or it panicked.
pub fn on_policy_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    load::on_stack("policy-walk", POLICY_LOAD_STACK_BYTES, work)
}

/// Where the policies of a file stand, from the first annotation of each to its semicolon, found without
/// parsing them.
///
/// # Errors
/// Something nests too deeply to be parsed: where, and how to mend it. `path` names the file.
pub fn statements(path: &str, text: &str) -> Result<Vec<Range<usize>>, Box<Finding>> {
    match shape::statements(text, Language::Policies) {
        Ok(found) => Ok(found.iter().map(|s| s.span.start..s.span.start + s.span.len).collect()),
        Err(deep) => {
            let file = SourceFile::new(path.to_owned(), text.to_owned());
            let finding = Finding::new(deep.message).rule_is(Rule::TooDeep);
            Err(Box::new(finding.at(&file, Some(deep.span)).help(deep.help)))
        }
    }
}

impl PolicySource {
    pub(crate) const fn new(compiled: Compiled) -> Self {
        Self(compiled)
    }

    /// The policy, under its own name.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.0.policy
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.policy.id().as_ref()
    }

    /// The file, by its path within the folder.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.0.file.path
    }

    /// Where it begins in the file, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.0.file.line(self.0.span.start)
    }

    /// Whether it only reports (`@mode("report")`) and decides nothing.
    #[must_use]
    pub fn only_reports(&self) -> bool {
        mode::only_reports(self.policy())
    }

    /// As it is written, annotations included.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.text()
    }

    /// A finding about the bytes `from..to` of [`PolicySource::text`].
    #[must_use]
    pub fn finding(
        &self,
        from: usize,
        to: usize,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Finding {
        let span = crate::failure::Span { start: self.0.span.start + from, len: to.saturating_sub(from) };
        self.0.finding_at(span, message).help(help)
    }

    /// What a rule finds in the policy, with a mark under these bytes of [`PolicySource::text`], or else
    /// under its first line.
    #[must_use]
    pub fn found_at(
        &self,
        rule: Rule,
        at: Option<Range<usize>>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Finding {
        let finding = match at {
            Some(at) => self.finding(at.start, at.end, message, help),
            None => self.0.finding(message).help(help),
        };
        finding.rule_is(rule)
    }

    /// What is wrong with a policy that asks with `==` for an action that is a group: it never applies.
    #[must_use]
    pub fn one_of_a_group(&self, schema: &Schema) -> Option<Finding> {
        compile::one_of_a_group(&self.0, schema)
    }

    /// What Cedar's validator says about the policy, in its place.
    #[must_use]
    pub fn said(&self, rule: Rule, e: &dyn miette::Diagnostic) -> Finding {
        compile::said(&self.0, rule, e)
    }
}

impl PolicyBundle {
    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.words.schema
    }

    /// The question in Cedar's own form, with every entity that is said: for tools that ask Cedar themselves.
    ///
    /// # Errors
    /// It cannot be said in the words of the schema, which is refused in a request.
    pub fn in_cedar(&self, q: &Question<'_>) -> Result<(Request, Entities), String> {
        let placed = self.placed(q)?;
        Ok((self.request(&placed, q)?, placed.scene.entities.clone()))
    }

    /// The policies that are asked about such a question, whatever the circumstances: those whose scope holds
    /// who asks, what is to be done and what it is for. No other policy can matter to it.
    ///
    /// # Errors
    /// As of [`Self::in_cedar`].
    pub fn slice_in_cedar(&self, q: &Question<'_>) -> Result<Arc<PolicySet>, String> {
        self.slice(&*self.placed(q)?, q.action)
    }
}
