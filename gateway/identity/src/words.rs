//! How this crate says no, and how text that strangers chose is shown to operators.

use std::error::Error;
use std::fmt::Write;

use doorward_model::{Refusal, RefusalCode};

/// What was presented is not valid, for this reason.
pub(crate) fn refuse<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(RefusalCode::InvalidCredential, why))
}

/// The first `chars_max` characters with everything escaped that a terminal or a log could
/// take for something else, and `...` where there is more.
#[must_use]
pub fn shown(text: &str, chars_max: usize) -> String {
    let mut out = String::new();
    for c in text.chars().take(chars_max) {
        if c == '`' || c == '\\' || !(c.is_ascii_graphic() || c == ' ') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    if text.chars().nth(chars_max).is_some() {
        out.push_str("...");
    }
    out
}

/// An error and what caused it, on one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut out = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        // Writing to a string cannot fail.
        let _ = write!(out, ": {e}");
        cause = e.source();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strange_characters_are_escaped_and_length_is_bounded() {
        assert_eq!(shown("key-1", 40), "key-1");
        assert_eq!(shown("a\u{1b}[2Jb\n", 40), "a\\u{1b}[2Jb\\n");
        assert_eq!(shown("ab\u{202e}c", 40), "ab\\u{202e}c");
        assert_eq!(shown(&"x".repeat(10_240), 40), format!("{}...", "x".repeat(40)));
    }
}
