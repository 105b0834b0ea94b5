//! What the token endpoint gives (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3).

use doorward_model::limits::TOKEN_BYTES_MAX;
use serde_json::{Map, Value};

use crate::secret::Secret;

/// The tokens of one answer.
pub(super) struct Tokens {
    pub(super) id: Option<Secret>,
    pub(super) access: Option<Secret>,
    pub(super) refresh: Option<Secret>,
}

// === impl Tokens ===

impl Tokens {
    /// Takes what is there and fits. What does not is told by its name.
    pub(super) fn read(mut answer: Map<String, Value>) -> Result<Self, String> {
        let mut take = |name: &str| match answer.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(token)) if token.len() <= TOKEN_BYTES_MAX && is_token(&token) => {
                Ok(Some(Secret::new(token)))
            }
            Some(_) => Err(format!("`{name}` of the answer is not a token, or too long")),
        };
        Ok(Self { id: take("id_token")?, access: take("access_token")?, refresh: take("refresh_token")? })
    }
}

/// Visible characters of ASCII, and spaces (RFC 6749, appendix A.12 and A.17).
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}
