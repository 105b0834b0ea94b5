//! The code that a browser brought is taken to its provider, at most once, and by no crowd of strangers.
//!
//! ```text
//!  the answer of a browser
//!   ├─ `crowd`: codes from there were refused too often ──► not now
//!   ├─ `crowd`: so many call already ─────────────────────► waits, a little
//!   ├─ of an attempt whose code was taken there ──────────► it came before
//!   └─ else ───────────────────────────────────────────────► the provider
//! ```
//! A stranger needs no sign-in to begin an attempt, and can bring any code with it, so nothing here takes a place in the
//! store; it is of one node, and bounded. Only a code that the provider refused counts against an address, and nothing
//! that is the provider's own fault: a whole company behind one address signs in, as long as its people bring codes that
//! are good, and does so at once when a provider is back.

use std::collections::HashSet;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use doorward_identity::attempt::{Attempt, NonceHash};
use doorward_identity::oidc::{Begun, OidcError, Proven, ProviderError, Returned};
use doorward_model::{IssuerId, Refusal, RefusalCode, UnixMillis};

use super::SignIn;
use super::crowd::{Crowd, Place};

/// How many attempts are remembered for sure. Those of a flood beyond that make room for each other.
const REMEMBERED_MAX: usize = 50_000;

/// Which answers were taken to a provider, and from where.
#[derive(Default)]
pub struct Redeeming {
    taken: Mutex<Taken>,
    pub(super) crowd: Crowd,
}

/// The attempts whose code was taken to a provider, for as long as an attempt lives. Two halves: the older one goes
/// when the newer one is full, or old.
#[derive(Default)]
struct Taken {
    newer: HashSet<NonceHash>,
    older: HashSet<NonceHash>,
    since: UnixMillis,
}

// === impl Redeeming ===

impl Redeeming {
    /// Takes an attempt down, by the hash of its `state`. False when it was there.
    pub(super) fn first(&self, state: NonceHash, now: UnixMillis) -> bool {
        let mut taken = self.taken();
        if taken.newer.len() >= REMEMBERED_MAX || now.since(taken.since) >= Attempt::LIFE {
            taken.older = mem::take(&mut taken.newer);
            taken.since = now;
        }
        !taken.older.contains(&state) && taken.newer.insert(state)
    }

    /// The provider could not be asked: the browser may bring the same answer once more.
    pub(super) fn forget(&self, state: NonceHash) {
        let mut taken = self.taken();
        let _was_there = taken.newer.remove(&state) | taken.older.remove(&state);
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl SignIn ===

impl SignIn {
    /// Takes a code to its provider.
    pub(super) async fn redeem(
        &self,
        returned: &Returned,
        attempt: &Attempt,
        (place, now): (Place, UnixMillis),
    ) -> Result<Proven, Refusal> {
        let redirect_uri = self.redirect_uri(&attempt.provider);
        let begun = Begun {
            issuer: &attempt.provider,
            redirect_uri: &redirect_uri,
            nonce: attempt.nonce.expose(),
            code_verifier: attempt.verifier.expose(),
            demand: attempt.demand,
            asked_at: attempt.started_at,
        };
        let redeemed = self.providers.redeem(returned, &begun).await;
        match &redeemed {
            Ok(_) => place.succeeded(),
            Err(e) if returned.brings_code() && is_of_browser(e) => place.failed(now),
            Err(_) => drop(place),
        }
        redeemed.map_err(|e| told(&e, &attempt.provider))
    }
}

/// Whether the provider refused the code, as far as can be told. A word that nobody knows is taken for that: some
/// providers have words of their own for a code that is none, or say `invalid_request`. What a provider says of itself,
/// of us, or of what the person has to do there is none, and a code that it took is none.
const fn is_of_browser(error: &OidcError) -> bool {
    match error {
        OidcError::CodeRefused(_) => true,
        OidcError::Provider { error, .. } => match error {
            ProviderError::Other => true,
            ProviderError::AccessDenied
            | ProviderError::LoginRequired
            | ProviderError::InteractionRequired
            | ProviderError::UnmetAuthenticationRequirements
            | ProviderError::TemporarilyUnavailable => false,
        },
        OidcError::Unreadable(_)
        | OidcError::MixUp { .. }
        | OidcError::Untrusted(_)
        | OidcError::Unavailable(_)
        | OidcError::ClientRefused(_)
        | OidcError::NotAProvider(_) => false,
    }
}

/// The same as [`refusal_of`], where whoever runs the gateway is told what is not the person's doing.
pub(super) fn told(error: &OidcError, provider: &IssuerId) -> Refusal {
    match error {
        OidcError::ClientRefused(_)
        | OidcError::Unavailable(_)
        | OidcError::Untrusted(_)
        | OidcError::NotAProvider(_) => {
            tracing::warn!(provider = %provider, error = %error, "somebody cannot sign in");
        }
        // Anybody can write another `iss` into an address; it is counted with the sign-ins that were refused.
        OidcError::MixUp { .. }
        | OidcError::Provider { .. }
        | OidcError::Unreadable(_)
        | OidcError::CodeRefused(_) => {
            tracing::debug!(provider = %provider, error = %error, "somebody was not signed in");
        }
    }
    refusal_of(error)
}

/// What a person is told when a provider does not say who they are.
fn refusal_of(error: &OidcError) -> Refusal {
    let code = match error {
        OidcError::Provider { error, .. } => match error {
            ProviderError::AccessDenied
            | ProviderError::LoginRequired
            | ProviderError::InteractionRequired
            | ProviderError::Other => RefusalCode::SignInRefused,
            ProviderError::UnmetAuthenticationRequirements => RefusalCode::WeakSignIn,
            ProviderError::TemporarilyUnavailable => RefusalCode::ProviderUnavailable,
        },
        OidcError::Unavailable(_) => RefusalCode::ProviderUnavailable,
        OidcError::Unreadable(_) | OidcError::CodeRefused(_) => RefusalCode::SignInLost,
        OidcError::MixUp { .. } | OidcError::Untrusted(_) => RefusalCode::SignInRefused,
        OidcError::NotAProvider(_) | OidcError::ClientRefused(_) => RefusalCode::Internal,
    };
    Refusal::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use doorward_identity::attempt::Nonce;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn state(n: usize) -> NonceHash {
        Nonce::parse(&format!("{n:0>42}A")).unwrap().hash()
    }

    #[test]
    fn an_attempt_is_taken_once_while_it_lives_and_a_flood_takes_no_more_room() {
        let (redeeming, now) = (Redeeming::default(), NOW);
        assert!(redeeming.first(state(1), now));
        assert!(!redeeming.first(state(1), now) && redeeming.first(state(2), now));
        redeeming.forget(state(2));
        assert!(redeeming.first(state(2), now), "the provider was away");
        let late = now.plus(Attempt::LIFE - Duration::from_secs(1));
        assert!(!redeeming.first(state(1), late), "it may still be opened");
        assert!(!redeeming.first(state(1), now.plus(Attempt::LIFE)));
        for n in 0..REMEMBERED_MAX * 3 {
            let _new = redeeming.first(state(n), late);
        }
        let taken = redeeming.taken();
        assert!(taken.newer.len() + taken.older.len() <= REMEMBERED_MAX * 2);
    }

    #[test]
    fn what_counts_against_an_address_is_a_code_that_was_refused() {
        let said = String::new;
        assert!(is_of_browser(&OidcError::CodeRefused(said())));
        for error in ProviderError::ALL {
            let counts = is_of_browser(&OidcError::Provider { error, said: said() });
            assert_eq!(counts, error == ProviderError::Other, "{error:?}");
            let told = refusal_of(&OidcError::Provider { error, said: said() }).code;
            assert!(!(counts && told == RefusalCode::ProviderUnavailable), "{error:?}");
        }
        for own in
            [OidcError::Unavailable(said()), OidcError::ClientRefused(said()), OidcError::Untrusted(said())]
        {
            assert!(!is_of_browser(&own), "{own}");
        }
    }
}
