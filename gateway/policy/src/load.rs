//! From a folder to a bundle.

use std::path::Path;

use doorward_model::UnixMillis;

use crate::bundle::PolicyBundle;
use crate::failure::{Finding, LoadFailure};
use crate::known::Known;
use crate::revision::Revision;

/// A bundle, and what could be better in it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) bundle: PolicyBundle,
    pub(crate) hints: Vec<Finding>,
    pub(crate) cases: usize,
    pub(crate) policies: usize,
}

/// What `doorward policy check` reports about a folder without mistakes.
#[derive(Debug)]
pub struct CheckReport {
    /// How many policies.
    pub policies: usize,
    /// How many cases held.
    pub cases: usize,
    /// The revision that these files would have.
    pub revision: Revision,
    /// What could be better.
    pub hints: Vec<Finding>,
}

/// Checks a folder as loading it would.
///
/// # Errors
/// Every mistake in it, at once.
pub fn check(dir: &Path, known: Option<&Known>) -> Result<CheckReport, LoadFailure> {
    let loaded = load(dir, known, UnixMillis(0))?;
    Ok(CheckReport {
        policies: loaded.policies,
        cases: loaded.cases,
        revision: loaded.bundle.revision(),
        hints: loaded.hints,
    })
}

pub(crate) fn load(dir: &Path, known: Option<&Known>, now: UnixMillis) -> Result<Loaded, LoadFailure> {
    match load_unless(dir, known, now, None)? {
        Some(loaded) => Ok(loaded),
        None => Err(LoadFailure::new(dir, vec![Finding::new("nothing to load")])),
    }
}

pub(crate) fn load_unless(
    dir: &Path,
    _known: Option<&Known>,
    _now: UnixMillis,
    _have: Option<Revision>,
) -> Result<Option<Loaded>, LoadFailure> {
    Err(LoadFailure::new(dir, vec![Finding::new("the loader is being built")]))
}
