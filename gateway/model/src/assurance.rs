//! How strongly someone signed in.

use crate::time::UnixMillis;

/// What a sign-in proved. Everything that the issuer did not say is absent, and absent counts
/// as not proved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assurance {
    /// More than one factor was used (RFC 8176, or the issuer's own words by its mapping).
    pub mfa: bool,
    /// The factor cannot be phished: WebAuthn, a smart card.
    pub phishing_resistant: bool,
    /// When the person last signed in (`auth_time`).
    pub authenticated_at: Option<UnixMillis>,
    /// When a second factor was last used.
    pub mfa_at: Option<UnixMillis>,
}
