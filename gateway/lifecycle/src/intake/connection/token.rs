//! The secret of a connection.

use std::fmt;

use doorward_identity::own;

pub use doorward_model::directory::TokenHash;

/// What every token begins with, so that who finds one knows what it is and whom to tell.
pub const TOKEN_PREFIX: &str = "dwscim_";
/// How many random bytes a token has.
pub const TOKEN_RANDOM_BYTES: usize = own::RANDOM_BYTES;

/// A token as its owner has it (RFC 6750): shown once, and not kept. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionToken(String);

impl ConnectionToken {
    /// A token of these bytes, which must come from a good source of randomness.
    #[must_use]
    pub fn from_random(bytes: [u8; TOKEN_RANDOM_BYTES]) -> Self {
        Self(own::compose(TOKEN_PREFIX, bytes))
    }

    /// Reads a token as somebody shows it. None for what was never one of ours: it is not looked up.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        own::is_one(TOKEN_PREFIX, text).then(|| Self(text.to_owned()))
    }

    /// The text, to show it to its owner this once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        own::hash(&self.0)
    }
}

impl fmt::Debug for ConnectionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_another_kind_of_token_is_none() {
        let token = ConnectionToken::from_random(std::array::from_fn(|i| u8::try_from(i).unwrap()));
        let text = token.expose();
        assert_eq!(ConnectionToken::read(text), Some(token.clone()));
        assert!(!format!("{token:?}").contains(&text[7..12]));
        assert_eq!(ConnectionToken::read(&own::compose("dwsa_", [7; TOKEN_RANDOM_BYTES])), None);
        assert_eq!(ConnectionToken::read(&format!("{text}A")), None);
        assert_ne!(token.hash(), ConnectionToken::from_random([8; TOKEN_RANDOM_BYTES]).hash());
    }
}
