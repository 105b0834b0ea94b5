//! How odd a request looks.

/// A score from 0 (nothing odd) to 100, and whether anybody computed one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Risk {
    score: Option<u8>,
}

impl Risk {
    /// Nobody computed a score.
    pub const UNKNOWN: Self = Self { score: None };

    /// A score; what lies above 100 counts as 100.
    #[must_use]
    pub const fn scored(score: u8) -> Self {
        Self { score: Some(if score > 100 { 100 } else { score }) }
    }

    /// The score, if there is one.
    #[must_use]
    pub const fn score(self) -> Option<u8> {
        self.score
    }
}
