//! What the times in a token may be, where that is the same for all issuers.

use std::time::Duration;

use doorward_model::{Refusal, UnixMillis};

use crate::words::refuse;

/// The bounds of `[revocation]` that a token must keep, so that revoking it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenTimes {
    /// How far an issuer's clock may be off (`issuer_skew_millis`). Revocations reckon with the
    /// same number: a token from further in the future would be younger than its revocation.
    pub issuer_skew: Duration,
    /// How long a revoked token is remembered (`retention_days`). One that lives longer would
    /// work again after that.
    pub retention: Duration,
}

// === impl TokenTimes ===

impl TokenTimes {
    /// Whether the revocation of such a token would be remembered for as long as it lives, even
    /// when it is revoked in its first moment and the issuer's clock is ahead.
    pub(crate) fn may_live(&self, issued_at: UnixMillis, expires_at: UnixMillis) -> Result<(), Refusal> {
        let life = expires_at.since(issued_at);
        if life.saturating_add(self.issuer_skew) <= self.retention {
            return Ok(());
        }
        refuse(format!(
            "the token lives for {} days, and its revocation would be forgotten after {} \
             (`revocation.retention_days`); let the issuer shorten `exp`, or raise that number",
            days_up(life),
            days_up(self.retention)
        ))
    }
}

/// Days, rounded up.
fn days_up(span: Duration) -> u64 {
    span.as_secs().div_ceil(24 * 3600)
}
