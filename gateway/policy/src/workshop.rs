//! A folder of policies, taken apart for tools: tests, mutants, proofs, explanations.
//!
//! Nothing here is on the way of a request. A tool changes policies and asks what would be decided, by the
//! same [`PolicyBundle::decide`] as a request.

use std::path::Path;
use std::sync::Arc;

use cedar_policy::{Entities, Policy, PolicySet, Request, Schema, ValidationMode, Validator};
use doorward_model::UnixMillis;

use crate::bundle::PolicyBundle;
use crate::cases::Cases;
use crate::compile::{Compiled, LOOKS_MAX};
use crate::failure::{Finding, LoadFailure};
use crate::known::Known;
use crate::load;
use crate::question::Question;
use crate::revision::Revision;

/// A folder that passed every check, and what it was made of.
#[derive(Debug)]
pub struct Workshop {
    bundle: PolicyBundle,
    policies: Vec<PolicySource>,
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
        let load::Parts { bundle, policies, cases, hints } = load::load_parts(dir, known, UnixMillis(0))?;
        Ok(Self { bundle, policies: policies.into_iter().map(PolicySource).collect(), cases, hints })
    }

    /// What would be put in force.
    #[must_use]
    pub const fn bundle(&self) -> &PolicyBundle {
        &self.bundle
    }

    /// The policies, in the order of their files.
    #[must_use]
    pub fn policies(&self) -> &[PolicySource] {
        &self.policies
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

impl PolicySource {
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
        let before = self.0.file.text.get(..self.0.span.start).unwrap_or_default();
        before.matches('\n').count() + 1
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
        Finding::new(message).help(help).at(&self.0.file, Some(span))
    }
}

impl PolicyBundle {
    /// The question in Cedar's own form, with every entity that is said: for tools that ask Cedar themselves.
    ///
    /// # Errors
    /// It cannot be said in the words of the schema, which is refused in a request.
    pub fn in_cedar(&self, q: &Question<'_>) -> Result<(Request, Entities), String> {
        let placed = self.placed(q)?;
        Ok((self.request(&placed, q)?, placed.scene.entities.clone()))
    }
}
