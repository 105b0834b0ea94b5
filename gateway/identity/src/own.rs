//! Tokens that we make ourselves: a prefix that says what it is, 32 random bytes, and a checksum.
//!
//! Whoever finds one knows whose it is and whom to tell, and so do scanners of source code. The checksum
//! tells a mistyped or cut token from one that is not good any more, so what was never a token is not
//! looked up. What is kept of a token is its SHA-256, and it is found by that: no comparison of secrets
//! takes longer the more of one was guessed.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_model::directory::TokenHash;

/// How many random bytes a token has.
pub const RANDOM_BYTES: usize = 32;
/// What the token of a service account begins with.
pub const SERVICE_TOKEN_PREFIX: &str = "dwsa_";

/// How many characters 32 bytes have in base64 (RFC 4648 §5), without padding.
const BODY_CHARS: usize = 43;
/// How many bytes of the digest follow as a checksum.
const CHECK_BYTES: usize = 3;

/// The token of a service account as its owner has it (RFC 6750): shown once, and not kept. Its `Debug`
/// shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceToken(String);

/// A token with this prefix of these bytes, which must come from a good source of randomness.
#[must_use]
pub fn compose(prefix: &str, random: [u8; RANDOM_BYTES]) -> String {
    let body = URL_SAFE_NO_PAD.encode(random);
    let sum = check(prefix, &body);
    format!("{prefix}{body}{sum}")
}

/// Whether a text was ever a token with this prefix.
#[must_use]
pub fn is_one(prefix: &str, text: &str) -> bool {
    let parts = text.strip_prefix(prefix).and_then(|rest| rest.split_at_checked(BODY_CHARS));
    parts.is_some_and(|(body, sum)| sum == check(prefix, body) && URL_SAFE_NO_PAD.decode(body).is_ok())
}

/// What is kept of a token.
#[must_use]
pub fn hash(token: &str) -> TokenHash {
    let mut hash = [0; 32];
    hash.iter_mut().zip(digest(&SHA256, token.as_bytes()).as_ref()).for_each(|(to, from)| *to = *from);
    TokenHash::new(hash)
}

fn check(prefix: &str, body: &str) -> String {
    let sum = digest(&SHA256, format!("{prefix}{body}").as_bytes());
    URL_SAFE_NO_PAD.encode(sum.as_ref().get(..CHECK_BYTES).unwrap_or_default())
}

// === impl ServiceToken ===

impl ServiceToken {
    /// A token of these bytes, which must come from a good source of randomness.
    #[must_use]
    pub fn from_random(bytes: [u8; RANDOM_BYTES]) -> Self {
        Self(compose(SERVICE_TOKEN_PREFIX, bytes))
    }

    /// The text, to show it to its owner this once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        hash(&self.0)
    }
}

impl fmt::Debug for ServiceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_one_changed_character_is_noticed() {
        let token = ServiceToken::from_random(std::array::from_fn(|i| u8::try_from(i).unwrap()));
        let text = token.expose();
        assert_eq!(text.len(), SERVICE_TOKEN_PREFIX.len() + BODY_CHARS + 4);
        assert!(is_one(SERVICE_TOKEN_PREFIX, text) && !is_one("dwscim_", text));
        assert!(!format!("{token:?}").contains(&text[7..12]));
        for place in 0..text.len() {
            let mut other = text.as_bytes().to_vec();
            other[place] = if other[place] == b'A' { b'B' } else { b'A' };
            assert!(!is_one(SERVICE_TOKEN_PREFIX, &String::from_utf8(other).unwrap()), "{place}");
        }
        let umlauts = format!("{SERVICE_TOKEN_PREFIX}{}", "\u{e4}".repeat(30));
        for other in ["", SERVICE_TOKEN_PREFIX, &text[1..], &text[..text.len() - 1], &umlauts] {
            assert!(!is_one(SERVICE_TOKEN_PREFIX, other), "{other}");
        }
        assert!(!is_one(SERVICE_TOKEN_PREFIX, &format!("{text}A")));
        assert!(!is_one(SERVICE_TOKEN_PREFIX, &format!(" {text}")));
    }

    #[test]
    fn another_token_has_another_hash() {
        let of = |byte| ServiceToken::from_random([byte; RANDOM_BYTES]).hash();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        // SHA-256 of the empty text, by FIPS 180-4.
        assert_eq!(hash("").to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
