//! The secret that opens the API.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

const CHARS_MIN: usize = 32;

/// A token that is long enough to be a secret. Its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Takes a token; none when it has fewer than 32 characters, or others than visible ASCII.
    #[must_use]
    pub fn new(token: &str) -> Option<Self> {
        let fits = token.len() >= CHARS_MIN && token.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(token.to_owned()))
    }

    /// Whether `shown` is this token. Both are hashed and the hashes compared in constant time,
    /// so that neither content nor length can be learned from how long it takes.
    pub(crate) fn is(&self, shown: &[u8]) -> bool {
        let (own, shown) = (digest(&SHA256, self.0.as_bytes()), digest(&SHA256, shown));
        verify_slices_are_equal(own.as_ref(), shown.as_ref()).is_ok()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_visible_and_silent() {
        let good = "0123456789abcdefghijklmnopqrstuv";
        for bad in ["", &good[1..], &format!("{good}\n"), &format!("{good} x"), &format!("{good}ä")] {
            assert!(Token::new(bad).is_none(), "{bad:?}");
        }
        let token = Token::new(good).unwrap();
        assert!(token.is(good.as_bytes()));
        for other in ["", &good[1..], &format!("{good}x"), &good.to_uppercase()] {
            assert!(!token.is(other.as_bytes()), "{other}");
        }
        assert!(!format!("{token:?}").contains("0123"));
    }
}
