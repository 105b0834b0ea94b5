//! Refresh tokens of sessions that have ended go back to the provider that gave them (RFC 7009).
//!
//! Nobody waits for it: the session has ended, and the gateway keeps the token no more. A provider that cannot be asked is
//! asked again, after each of [`PAUSES`]. One that takes none, or does not take this one, is not. What became of each is
//! counted. Nothing remembers it: where the process ends first, the token stays good there until the provider ends it.

use std::sync::Arc;
use std::time::Duration;

use doorward_identity::Secret;
use doorward_identity::oidc::{OidcError, Providers};
use doorward_model::IssuerId;
use doorward_model::limits::{GIVING_BACK_CALLS_MAX, GIVING_BACK_WAITING_MAX};
use tokio::sync::Semaphore;

use super::numbers::{GivenBack, SignInNumbers};

/// After how long a provider that could not be asked is asked again.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
];

/// The tokens of this node that are on their way back.
pub struct GivingBack {
    waiting: Arc<Semaphore>,
    /// Fewer than the providers take, so that none fails for want of a place there.
    calling: Arc<Semaphore>,
}

// === impl GivingBack ===

impl Default for GivingBack {
    fn default() -> Self {
        let places = |most| Arc::new(Semaphore::new(most));
        Self { waiting: places(GIVING_BACK_WAITING_MAX), calling: places(GIVING_BACK_CALLS_MAX) }
    }
}

impl GivingBack {
    /// Gives a token back, now or later.
    pub(super) fn begin(
        &self,
        providers: &Arc<Providers>,
        (issuer, token): (IssuerId, Secret),
        numbers: &SignInNumbers,
    ) {
        let (providers, numbers) = (Arc::clone(providers), numbers.clone());
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            tracing::debug!(provider = %issuer, "a refresh token is not given back: too many wait");
            return numbers.gave_back(GivenBack::Failed);
        };
        let calling = Arc::clone(&self.calling);
        tokio::spawn(async move {
            numbers.gave_back(give(&providers, &issuer, &token, &calling).await);
            drop(place);
        });
    }
}

async fn give(providers: &Providers, issuer: &IssuerId, token: &Secret, calling: &Semaphore) -> GivenBack {
    let mut pauses = PAUSES.into_iter();
    loop {
        // Nobody closes it.
        let place = calling.acquire().await;
        let said = providers.revoke(issuer, token).await;
        drop(place);
        let error = match said {
            Ok(true) => return GivenBack::Taken,
            Ok(false) => return GivenBack::NotTaken,
            Err(error) => error,
        };
        tracing::debug!(provider = %issuer, %error, "a refresh token could not be given back");
        let pause = pauses.next().filter(|_| may_be_better_later(&error));
        let Some(pause) = pause else { return GivenBack::Failed };
        tokio::time::sleep(pause).await;
    }
}

/// Whether the provider may take the token another time.
const fn may_be_better_later(error: &OidcError) -> bool {
    match error {
        OidcError::Unavailable(_) | OidcError::Provider { .. } => true,
        OidcError::NotAProvider(_)
        | OidcError::Unreadable(_)
        | OidcError::MixUp { .. }
        | OidcError::CodeRefused(_)
        | OidcError::ClientRefused(_)
        | OidcError::Untrusted(_) => false,
    }
}
