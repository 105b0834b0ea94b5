//! What a browser brings back from a provider (RFC 6749 §4.1.2, RFC 9207).

use doorward_model::limits::TARGET_BYTES_MAX;

use super::form;
use super::{Begun, OidcError};
use crate::secret::Secret;
use crate::words::shown;

/// The longest `state` that is looked at, in bytes; ours are shorter.
const STATE_BYTES_MAX: usize = 512;
/// How much of what a provider says beside its error is kept, in characters.
const SAID_CHARS_MAX: usize = 200;
/// How much of the error itself is kept, in characters.
const WORD_CHARS_MAX: usize = 60;

/// An answer of whoever it may be. Its `Debug` shows no code.
#[derive(Debug, Clone)]
pub struct Returned {
    state: String,
    issuer: Option<String>,
    outcome: Outcome,
}

#[derive(Debug, Clone)]
enum Outcome {
    Code(Secret),
    Error { error: ProviderError, said: String },
}

/// Why a provider says no (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProviderError {
    /// The person, or the provider's rules, said no.
    AccessDenied,
    /// The person is not signed in there.
    LoginRequired,
    /// The person would have to do something there: sign in, choose, agree.
    InteractionRequired,
    /// The sign-in cannot be as strong as was asked for.
    UnmetAuthenticationRequirements,
    /// The provider cannot just now; an error of its own counts as that.
    TemporarilyUnavailable,
    /// Anything else: how we asked, or who we are there.
    Other,
}

// === impl ProviderError ===

impl ProviderError {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::AccessDenied,
        Self::LoginRequired,
        Self::InteractionRequired,
        Self::UnmetAuthenticationRequirements,
        Self::TemporarilyUnavailable,
        Self::Other,
    ];

    /// The word for it in logs, metrics and audit events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "access_denied",
            Self::LoginRequired => "login_required",
            Self::InteractionRequired => "interaction_required",
            Self::UnmetAuthenticationRequirements => "unmet_authentication_requirements",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::Other => "provider_error",
        }
    }

    pub(super) fn parse(word: &str) -> Self {
        match word {
            "access_denied" => Self::AccessDenied,
            "login_required" => Self::LoginRequired,
            "interaction_required" | "consent_required" | "account_selection_required" => {
                Self::InteractionRequired
            }
            "unmet_authentication_requirements" => Self::UnmetAuthenticationRequirements,
            "temporarily_unavailable" | "server_error" => Self::TemporarilyUnavailable,
            _ => Self::Other,
        }
    }
}

// === impl Returned ===

impl Returned {
    /// Reads the query that the browser came with, without its `?`. What is not known is ignored (RFC 6749
    /// §4.1.2); what comes twice is not.
    ///
    /// # Errors
    /// [`OidcError::Unreadable`] when it is too long or not form-encoded, has a parameter twice, no `state`,
    /// or not exactly one of `code` and `error`.
    pub fn read(query: &str) -> Result<Self, OidcError> {
        let unreadable = |why: &str| OidcError::Unreadable(why.to_owned());
        if query.len() > TARGET_BYTES_MAX {
            return Err(unreadable("it is longer than the limit"));
        }
        let pairs = form::decode(query).ok_or_else(|| unreadable("it is not form-encoded text"))?;
        let one = |name: &'static str| {
            let mut values = pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
            match (values.next(), values.next()) {
                (first, None) => Ok(first.filter(|value| !value.is_empty())),
                (_, Some(_)) => Err(OidcError::Unreadable(format!("it has `{name}` twice"))),
            }
        };
        let Some(state) = one("state")? else { return Err(unreadable("it has no `state`")) };
        if state.len() > STATE_BYTES_MAX || !state.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(unreadable("its `state` is none of ours"));
        }
        let outcome = match (one("code")?, one("error")?) {
            (Some(code), None) => Outcome::Code(Secret::new(code)),
            (None, Some(word)) => {
                let beside =
                    one("error_description")?.map(|text| format!(": `{}`", shown(text, SAID_CHARS_MAX)));
                let said = format!("`{}`{}", shown(word, WORD_CHARS_MAX), beside.unwrap_or_default());
                Outcome::Error { error: ProviderError::parse(word), said }
            }
            (Some(_), Some(_)) => return Err(unreadable("it has both `code` and `error`")),
            (None, None) => return Err(unreadable("it has neither `code` nor `error`")),
        };
        Ok(Self { state: state.to_owned(), issuer: one("iss")?.map(str::to_owned), outcome })
    }

    /// What tells which attempt this answers.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.state
    }

    /// Whether it brings a code, which the provider is to be asked about.
    #[must_use]
    pub const fn brings_code(&self) -> bool {
        matches!(self.outcome, Outcome::Code(_))
    }

    /// The code, when the answer is of the provider that was asked (RFC 9207 §2.4) and says yes. `must_say`:
    /// the provider said that its answers name it.
    pub(super) fn code(&self, url: &str, must_say: bool, begun: &Begun<'_>) -> Result<&Secret, OidcError> {
        let mix_up = |why: String| OidcError::MixUp { asked: begun.issuer.clone(), why };
        match self.issuer.as_deref() {
            Some(says) if says == url => {}
            Some(says) => return Err(mix_up(format!("is of `{}`", shown(says, 100)))),
            None if must_say => return Err(mix_up("does not say of whom it is (`iss`)".to_owned())),
            None => {}
        }
        match &self.outcome {
            Outcome::Code(code) => Ok(code),
            Outcome::Error { error, said } => Err(OidcError::Provider { error: *error, said: said.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(query in "(?s).{0,300}") {
            let _read_or_refused = Returned::read(&query);
        }

        /// What is told of an error can stand in a log line, whatever a provider says.
        #[test]
        fn what_is_told_of_an_error_is_plain_and_short(word in "(?s).{1,200}", more in "(?s).{0,500}") {
            let query = form::encode(&[("state", "s"), ("error", &word), ("error_description", &more)]);
            let Outcome::Error { said, .. } = Returned::read(&query).unwrap().outcome else { panic!("a code") };
            prop_assert!(said.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{}", said);
            prop_assert!(said.len() < 4000);
        }
    }
}
