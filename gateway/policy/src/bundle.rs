//! A set of policies that passed every check, ready to be asked.

use doorward_model::{Refusal, RefusalCode, UnixMillis};

use crate::question::{Decision, Question, Verdict};
use crate::revision::Revision;

/// A set of policies that passed every check. Immutable.
#[derive(Debug)]
pub struct PolicyBundle {
    revision: Revision,
    loaded_at: UnixMillis,
}

impl PolicyBundle {
    /// Answers one question.
    #[must_use]
    pub fn decide(&self, _q: &Question<'_>) -> Verdict {
        Verdict {
            decision: Decision::Deny,
            determining: Vec::new(),
            errors: Vec::new(),
            refusal: Some(Refusal::new(RefusalCode::PolicyError, "")),
            revision: self.revision,
        }
    }

    /// Which policies these are.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// When they were loaded.
    #[must_use]
    pub const fn loaded_at(&self) -> UnixMillis {
        self.loaded_at
    }
}
