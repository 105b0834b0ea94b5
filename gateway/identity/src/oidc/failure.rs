//! How a sign-in fails, for whoever answers the person, and for whoever reads the log.

use doorward_model::{IssuerId, Refusal, RefusalCode};

use super::ProviderError;
use super::exchange::CallError;
use crate::secret::Secret;

/// Why a sign-in did not prove anything. Texts are for operators; no text holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// Nobody signs in there: the issuer has no table `[issuer.sign_in]`.
    #[error("nobody signs in at `{0}`: it has no `[issuer.sign_in]`")]
    NotAProvider(IssuerId),
    /// What the browser brought is not an answer of a provider, or could be read in two ways.
    #[error("the answer of the provider cannot be read: {0}")]
    Unreadable(String),
    /// The answer is of another provider than the one that was asked (RFC 9207 §2.4).
    #[error("the answer to a sign-in at `{asked}` {why}")]
    MixUp {
        /// Who was asked.
        asked: IssuerId,
        /// What is wrong.
        why: String,
    },
    /// The provider says no, in its own words.
    #[error("the provider says {said}")]
    Provider {
        /// Which of its words.
        error: ProviderError,
        /// The word as it came, and what it says beside it, made fit to be shown.
        said: String,
    },
    /// The provider does not take the code: used, out of date, or of another sign-in (`invalid_grant`).
    #[error("the provider does not take the code: {0}")]
    CodeRefused(String),
    /// The provider does not take us: the client's id, its secret, or what it may do there.
    #[error("the provider does not take this gateway as its client: {0}")]
    ClientRefused(String),
    /// The provider cannot be reached, or does not answer as one does.
    #[error("the provider cannot be asked: {0}")]
    Unavailable(String),
    /// The ID token is none of this sign-in.
    #[error("the ID token is refused: {0}")]
    Untrusted(String),
}

/// Why a refresh token brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The provider takes the sign-in back (`invalid_grant`), wants the person to sign in again, or speaks of
    /// somebody else: the session ends.
    #[error("the provider has ended the sign-in: {0}")]
    Refused(String),
    /// It cannot be told: the session goes on to its limits.
    #[error("the provider cannot say whether the sign-in stands: {why}")]
    Unavailable {
        /// Why not.
        why: String,
        /// The refresh token that takes the place of the old one all the same: the provider gave it before
        /// something went wrong, and the old one is spent.
        rotated: Option<Secret>,
    },
}

// === impl OidcError ===

impl OidcError {
    /// The word for it in metrics and audit events.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NotAProvider(_) => "not_a_provider",
            Self::Unreadable(_) => "unreadable",
            Self::MixUp { .. } => "mix_up",
            Self::Provider { error, .. } => error.as_str(),
            Self::CodeRefused(_) => "code_refused",
            Self::ClientRefused(_) => "client_refused",
            Self::Unavailable(_) => "provider_unavailable",
            Self::Untrusted(_) => "id_token_refused",
        }
    }

    /// A refusal of the layer that all tokens pass.
    pub(super) fn of_token(refusal: Refusal) -> Self {
        match refusal.code {
            RefusalCode::KeysUnavailable => Self::Unavailable(refusal.detail),
            _ => Self::Untrusted(refusal.detail),
        }
    }
}

// === impl RefreshError ===

impl RefreshError {
    pub(super) fn unavailable(why: impl Into<String>) -> Self {
        Self::Unavailable { why: why.into(), rotated: None }
    }
}

/// RFC 6749 §5.2, for a code.
pub(super) fn of_redeeming(issuer: &IssuerId, error: CallError) -> OidcError {
    match error {
        CallError::Unavailable(why) => OidcError::Unavailable(why),
        CallError::Refused { word, said } => match word.as_str() {
            "invalid_grant" => OidcError::CodeRefused(said),
            "invalid_client" | "unauthorized_client" => {
                tell_client_refused(issuer, &said);
                OidcError::ClientRefused(said)
            }
            other => OidcError::Provider { error: ProviderError::parse(other), said },
        },
    }
}

/// RFC 6749 §5.2 and OpenID Connect Core §3.1.2.6, for a refresh token.
pub(super) fn of_refreshing(issuer: &IssuerId, error: CallError) -> RefreshError {
    match error {
        CallError::Unavailable(why) => RefreshError::unavailable(why),
        CallError::Refused { word, said } => match word.as_str() {
            "invalid_grant"
            | "login_required"
            | "interaction_required"
            | "consent_required"
            | "account_selection_required"
            | "access_denied" => RefreshError::Refused(said),
            "invalid_client" | "unauthorized_client" => {
                tell_client_refused(issuer, &said);
                RefreshError::unavailable(said)
            }
            _ => RefreshError::unavailable(said),
        },
    }
}

fn tell_client_refused(issuer: &IssuerId, said: &str) {
    tracing::error!(%issuer, said, "a provider does not take this gateway as its client: nobody can sign in there until `client_id` and its secret or key are right");
}
