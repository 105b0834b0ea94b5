//! What the desk remembers: bounded, in memory.

use doorward_model::UnixMillis;

use super::super::Person;
use super::Proof;

/// The most entries of a kind; beyond it the oldest goes.
const ENTRIES_MAX: usize = 1000;

/// Everything that is remembered.
#[derive(Default)]
pub(super) struct Memory {
    /// By what the browser's cookie says.
    pub(super) browsers: Shelf<Browser>,
    /// By the code.
    pub(super) codes: Shelf<Code>,
    /// By the refresh token.
    pub(super) refresh: Shelf<SignedIn>,
}

/// Who is signed in here with one browser.
pub(super) struct Browser {
    pub(super) person: &'static Person,
    /// The session here (`sid`).
    pub(super) session: String,
}

/// Somebody signed in.
#[derive(Clone)]
pub(super) struct SignedIn {
    pub(super) person: &'static Person,
    pub(super) session: String,
    pub(super) proof: Proof,
    pub(super) at: UnixMillis,
}

/// What a code is good for.
pub(super) struct Code {
    pub(super) signed_in: SignedIn,
    pub(super) nonce: String,
    pub(super) challenge: String,
    pub(super) offline: bool,
}

/// Entries by a name that nobody guesses, the oldest first.
pub(super) struct Shelf<T>(Vec<(String, T)>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

// === impl Shelf ===

impl<T> Shelf<T> {
    pub(super) fn put(&mut self, name: String, entry: T) {
        if self.0.len() >= ENTRIES_MAX {
            self.0.remove(0);
        }
        self.0.push((name, entry));
    }

    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, entry)| entry)
    }

    /// What is taken is there no more.
    pub(super) fn take(&mut self, name: &str) -> Option<T> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    fn keep(&mut self, which: impl Fn(&T) -> bool) {
        self.0.retain(|(_, entry)| which(entry));
    }
}

// === impl Memory ===

impl Memory {
    /// Whoever is signed in with this browser is so no more, and their refresh tokens of this session are good for
    /// nothing.
    pub(super) fn leave(&mut self, cookie: &str) {
        if let Some(gone) = self.browsers.take(cookie) {
            self.refresh.keep(|signed_in| signed_in.session != gone.session);
        }
    }
}
