//! What was seen at a source, and what came of it: so that the same bytes are not read, tried and refused at each look.
//!
//! What came to nothing is tried again, less and less often: the reason may have been here, and may be gone.

/// A bundle at a source: its sequence, and its revision.
pub(super) type Name = (u64, String);

/// Why a look came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Nothing {
    pub(super) why: String,
    /// The bundle that was tried.
    pub(super) tried: Option<Name>,
}

/// The last look.
#[derive(Debug)]
pub(super) struct Looked<S> {
    /// What there was; none: nothing has been looked at.
    seen: Option<S>,
    /// What was in force here then.
    in_force: String,
    came: Result<(), Nothing>,
    /// How often in a row it came to nothing.
    failures: u32,
    /// How many looks go by until it is tried again.
    wait: u32,
    wait_max: u32,
    /// Whether this look tries it again.
    is_due: bool,
}

impl<S: PartialEq> Looked<S> {
    /// Nothing was looked at. What comes to nothing is tried again after `wait_max` looks at the latest.
    pub(super) fn new(wait_max: u32) -> Self {
        let (seen, in_force, came) = (None, String::new(), Ok(()));
        Self { seen, in_force, came, failures: 0, wait: 0, wait_max, is_due: false }
    }

    /// A look begins. When something else is in force than at the last one, everything is new.
    pub(super) fn begin(&mut self, in_force: &str) {
        if self.in_force != in_force {
            *self = Self { in_force: in_force.to_owned(), ..Self::new(self.wait_max) };
        }
        self.is_due = self.came.is_err() && self.wait == 0;
        self.wait = self.wait.saturating_sub(1);
    }

    /// What there was, unless it is to be tried again.
    pub(super) fn seen(&self) -> Option<&S> {
        self.seen.as_ref().filter(|_| !self.is_due)
    }

    /// What came of the last look.
    pub(super) fn came(&self) -> Result<(), String> {
        self.came.as_ref().copied().map_err(|nothing| nothing.why.clone())
    }

    /// The bundle that is not to be tried now, because it came to nothing a while ago.
    pub(super) fn put_off(&self) -> Option<(Name, String)> {
        let nothing = self.came.as_ref().err().filter(|_| !self.is_due)?;
        Some((nothing.tried.clone()?, nothing.why.clone()))
    }

    /// There is nothing to look at.
    pub(super) fn nothing(&mut self) {
        *self = Self { in_force: std::mem::take(&mut self.in_force), ..Self::new(self.wait_max) };
    }

    /// The look is over.
    pub(super) fn end(&mut self, seen: S, came: Result<(), Nothing>) -> Result<(), String> {
        match &came {
            Ok(()) => (self.failures, self.wait) = (0, 0),
            Err(nothing) => {
                let is_same = self.came.as_ref().err().is_some_and(|before| before.tried == nothing.tried);
                if !is_same {
                    self.failures = 0;
                }
                if !is_same || self.is_due {
                    self.failures = self.failures.saturating_add(1);
                    self.wait = 2_u32.saturating_pow(self.failures).saturating_sub(1).min(self.wait_max);
                }
            }
        }
        self.seen = Some(seen);
        self.came = came;
        self.came()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(sequence: u64) -> Result<(), Nothing> {
        Err(Nothing { why: format!("bundle {sequence}"), tried: Some((sequence, "r".to_owned())) })
    }

    /// Looks `looks` times at a source that has `seen`, of which nothing comes. In which of them it is tried.
    fn tried(looked: &mut Looked<u8>, looks: usize, seen: impl Fn(usize) -> u8) -> Vec<usize> {
        let mut tried = Vec::new();
        for look in 0..looks {
            looked.begin("a");
            if looked.seen() == Some(&seen(look)) {
                assert!(looked.came().is_err());
                continue;
            }
            if looked.put_off().is_none() {
                tried.push(look);
            }
            let _ = looked.end(seen(look), nothing(7));
        }
        tried
    }

    #[test]
    fn what_came_to_nothing_is_tried_less_and_less_often() {
        assert_eq!(tried(&mut Looked::new(100), 40, |_| 1), [0, 2, 6, 14, 30]);
        assert_eq!(tried(&mut Looked::new(4), 20, |_| 1), [0, 2, 6, 11, 16]);
        // Nor more often when something else changes there at each look.
        let changes = |look| u8::try_from(look).unwrap();
        assert_eq!(tried(&mut Looked::new(100), 40, changes), [0, 2, 6, 14, 30]);
    }

    #[test]
    fn another_bundle_and_other_policies_in_force_are_new() {
        let mut looked = Looked::new(100);
        assert_eq!(tried(&mut looked, 10, |_| 1), [0, 2, 6]);
        looked.begin("a");
        assert_eq!(
            (looked.seen(), looked.put_off()),
            (Some(&1), Some(((7, "r".to_owned()), "bundle 7".to_owned())))
        );
        // A later one that is refused as well is tried again soon.
        assert_eq!(looked.end(2, nothing(8)), Err("bundle 8".to_owned()));
        for is_due in [false, true] {
            looked.begin("a");
            assert_eq!(looked.seen().is_none(), is_due);
        }
        // Something else is in force.
        looked.begin("b");
        assert_eq!((looked.seen(), looked.put_off(), looked.came()), (None, None, Ok(())));
        assert_eq!(looked.end(2, Ok(())), Ok(()));
        for _ in 0..5 {
            looked.begin("b");
            assert_eq!(looked.seen(), Some(&2));
        }
        looked.nothing();
        assert_eq!((looked.seen(), looked.came()), (None, Ok(())));
    }
}
