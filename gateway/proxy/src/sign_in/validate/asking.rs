//! Asks a provider of one session, with as little as that needs.

use std::sync::Arc;
use std::time::Duration;

use doorward_identity::oidc::{RefreshError, Refreshed};
use doorward_identity::session::{Kept, SessionKey};
use doorward_identity::{BrowserSession, Secret};
use doorward_model::limits::{OIDC_CALL_SECONDS_MAX, SESSION_AHEAD_SECONDS_MAX};
use doorward_model::time::Clock;
use doorward_model::{AppId, Presented, Target, UnixMillis};
use doorward_state::sessions::ToEnd;
use doorward_state::{Revocations, SessionRecord};
use tokio::sync::SemaphorePermit;

use super::heard::{Came, PAUSE, PAUSE_MAX};
use crate::sign_in::SignIn;
use crate::sign_in::numbers::Asked;
use crate::sign_in::persons::NO_APP;

/// For how long one node may ask: longer than two calls of two addresses of a provider and [`KEEPS_MAX`] take, since
/// whoever comes after it would use a token that is spent.
const LOCK: Duration = Duration::from_secs(75);
const _: () = assert!(
    LOCK.as_millis() > 4 * 1000 * OIDC_CALL_SECONDS_MAX as u128 + KEEPS_MAX as u128 * LOOK_EVERY.as_millis(),
    "somebody else would use a token that is spent"
);
/// By how much the clock of the node that kept a word may be ahead. A word from further on says nothing.
const AHEAD_MAX: Duration = Duration::from_secs(SESSION_AHEAD_SECONDS_MAX);
/// How often it is looked whether another node was told, and how often in all.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const LOOKS_MAX: u32 = 50;
/// How often it is tried to keep what the provider gave.
const KEEPS_MAX: u32 = 100;
/// What the log is told of a session that the provider ended.
const PROVIDER_REFUSED: &str = "provider_refused: the provider does not renew the sign-in";

/// Whoever asks.
pub(super) struct Asking {
    pub(super) sign_in: Arc<SignIn>,
    pub(super) revocations: Arc<Revocations>,
    pub(super) issuer_skew: Duration,
    pub(super) clock: Clock,
}

// === impl Asking ===

impl Asking {
    fn now(&self) -> UnixMillis {
        (self.clock)()
    }

    /// Finds out whether a session stands, with as little as that needs.
    pub(super) async fn ask(&self, session: &BrowserSession) -> Came {
        let (sign_in, id) = (&self.sign_in, session.id.to_string());
        if let Some(pause) = self.cut_off(session) {
            return Came::Unknown(pause);
        }
        match self.recorded(session).await {
            Ok(Some((_, kept))) if self.is_news(session, &kept) => return self.shared(session, &kept),
            Ok(Some(_)) => {}
            Ok(None) => return self.without_token(session),
            Err(came) => return came,
        }
        // It is never closed.
        let Ok(place) = sign_in.validation.places.acquire().await else { return Came::Unknown(PAUSE) };
        if let Some(left) = sign_in.validation.pause(session.user.id.issuer(), self.now()) {
            return Came::Unknown(left.saturating_add(PAUSE_MAX.mul_f64(self.share() / 4.0)));
        }
        let holder = format!("{:032x}", u128::from_be_bytes(sign_in.sealer().random().unwrap_or_default()));
        match sign_in.sessions.lock(&id, &holder, LOCK).await {
            Ok(Some(_)) => {}
            Ok(None) => {
                drop(place);
                return self.other_node(session).await;
            }
            Err(e) => return self.no_store(&e),
        }
        let came = self.ask_alone(session, place).await;
        if let Err(e) = sign_in.sessions.unlock(&id, &holder).await {
            tracing::debug!(error = %e, "a lock is left to its time");
        }
        came
    }

    /// With the lock held: nobody else uses the refresh token. The place is of those who call a provider: who waits for
    /// the store needs none.
    async fn ask_alone(&self, session: &BrowserSession, place: SemaphorePermit<'_>) -> Came {
        let mut tried: Option<Secret> = None;
        loop {
            let (record, kept) = match self.recorded(session).await {
                Ok(Some(found)) => found,
                Ok(None) => return self.without_token(session),
                Err(came) => return came,
            };
            if self.is_news(session, &kept) {
                return self.shared(session, &kept);
            }
            if tried.as_ref() == Some(&kept.refresh) {
                return self.end(session, &record).await;
            }
            match self.sign_in.providers.refresh(&session.user.id, &kept.refresh).await {
                Ok(refreshed) => {
                    drop(place);
                    self.sign_in.validation.answered(session.user.id.issuer());
                    return self.keep(session, (record, kept), refreshed).await;
                }
                // Another node may have used it, and kept a newer one: that is looked at once.
                Err(RefreshError::Refused(why)) => {
                    tracing::debug!(session = %session.id, why, "a provider does not renew a sign-in");
                    tried = Some(kept.refresh);
                }
                Err(RefreshError::Unavailable { why, rotated }) => {
                    drop(place);
                    return self.in_vain(session, (record, kept), &why, rotated).await;
                }
            }
        }
    }

    /// How long to let it be, where the session is refused already or it cannot be known that it is not.
    fn cut_off(&self, session: &BrowserSession) -> Option<Duration> {
        let Ok(app) = AppId::new(NO_APP) else { return Some(PAUSE) };
        let presented = Presented {
            users: vec![session.user.id.clone()],
            owner: None,
            session: session.auth_session(),
            device: session.device.id.clone(),
            named: None,
            app,
        };
        match self.revocations.check(&presented, self.issuer_skew) {
            Ok(_) => None,
            Err(refused) if refused.kind().is_some() => Some(self.sign_in.terms.revalidate),
            Err(_) => Some(PAUSE),
        }
    }

    /// There is nothing to ask with. Where there was, the store has lost it, and a store that was lost signs nobody
    /// out: the session goes on to its limits, or until a revocation.
    fn without_token(&self, session: &BrowserSession) -> Came {
        if session.renewable {
            tracing::info!(
                session = %session.id,
                "a session is not confirmed any more: what its provider is asked with is lost"
            );
        }
        self.counted(Asked::NoToken, Came::Unknown(self.sign_in.terms.revalidate))
    }

    /// The record of a session, and what it keeps sealed. A newer word in it counts at once, whatever comes of asking.
    async fn recorded(&self, session: &BrowserSession) -> Result<Option<(SessionRecord, Kept)>, Came> {
        let found = self.sign_in.sessions.get(&session.user.id, &session.id.to_string()).await;
        let Some(record) = found.map_err(|e| self.no_store(&e))? else { return Ok(None) };
        let Some(kept) = self.sign_in.kept(&record) else { return Ok(None) };
        if let Some(said) = self.newer(session, &kept) {
            self.sign_in.validation.read(session.clone().updated(said));
        }
        Ok(Some((record, kept)))
    }

    /// The record's word of the provider, however old, where it is newer than that of the session.
    fn newer<'k>(&self, session: &BrowserSession, kept: &'k Kept) -> Option<&'k BrowserSession> {
        kept.session.as_ref().filter(|said| {
            said.validated_at > session.validated_at && said.validated_at <= self.now().plus(AHEAD_MAX)
        })
    }

    /// Whether that word is not old, so that nobody need be asked.
    fn is_news(&self, session: &BrowserSession, kept: &Kept) -> bool {
        let revalidate = self.sign_in.terms.revalidate;
        self.newer(session, kept).is_some_and(|said| self.now().since(said.validated_at) < revalidate)
    }

    fn shared(&self, session: &BrowserSession, kept: &Kept) -> Came {
        match &kept.session {
            Some(said) => self.counted(Asked::Shared, Came::Stands(Box::new(session.clone().updated(said)))),
            None => Came::Unknown(PAUSE),
        }
    }

    /// Another node asks: its answer comes with the record.
    async fn other_node(&self, session: &BrowserSession) -> Came {
        for _ in 0..LOOKS_MAX {
            tokio::time::sleep(LOOK_EVERY).await;
            match self.recorded(session).await {
                Ok(Some((_, kept))) if self.is_news(session, &kept) => return self.shared(session, &kept),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        Came::Unknown(PAUSE)
    }

    /// The sign-in stands. Nobody goes on by that before it is in the record.
    async fn keep(
        &self,
        session: &BrowserSession,
        (mut record, kept): (SessionRecord, Kept),
        refreshed: Refreshed,
    ) -> Came {
        let sign_in = &self.sign_in;
        let base =
            kept.session.as_ref().map_or_else(|| session.clone(), |said| session.clone().updated(said));
        let said = BrowserSession {
            user: refreshed.user().cloned().unwrap_or(base.user),
            device: refreshed.device(&base.device),
            risk: refreshed.risk().unwrap_or(base.risk),
            validated_at: self.now(),
            ..base
        };
        let said = if sign_in.slim { said.slim() } else { said };
        let refresh = refreshed.refresh_token().cloned().unwrap_or_else(|| kept.refresh.clone());
        let new = Kept { refresh, session: Some(said.clone()) };
        let before = record.refresh.clone();
        for _ in 0..KEEPS_MAX {
            match self.replace(&record, &new).await {
                Ok(true) => return self.counted(Asked::Stands, Came::Stands(Box::new(said))),
                Ok(false) => match self.recorded(session).await {
                    // Somebody signed in anew for the session, with a token of its own: that one stays. Ours is not
                    // given back, since a provider may take that for both (decision 28).
                    Ok(Some((other, kept))) if other.refresh != before => return self.shared(session, &kept),
                    Ok(Some((other, _))) => record = other,
                    // It has ended meanwhile.
                    Ok(None) => {
                        self.give_back(session, &new.refresh).await;
                        return Came::Unknown(sign_in.terms.revalidate);
                    }
                    Err(_) => tokio::time::sleep(LOOK_EVERY).await,
                },
                Err(()) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
        tracing::warn!(session = %session.id, "what a provider gave for a session could not be kept: it may have to sign in anew");
        self.counted(Asked::StoreUnavailable, Came::Stands(Box::new(said)))
    }

    async fn replace(&self, record: &SessionRecord, new: &Kept) -> Result<bool, ()> {
        let id = SessionKey::parse(&record.id).ok_or(())?;
        let sealed = new.seal(self.sign_in.sealer(), id).map_err(|e| {
            tracing::error!(error = %e, "what a provider gave for a session could not be sealed");
        })?;
        let validated_at = new.session.as_ref().map_or(record.validated_at, |said| said.validated_at);
        let next = SessionRecord { refresh: Some(sealed.into_bytes()), validated_at, ..record.clone() };
        self.sign_in.sessions.replace(next, record.version).await.map_err(|e| {
            tracing::debug!(error = %e, "what a provider gave for a session is not kept yet");
        })
    }

    /// The provider could not say. What it gave before it failed is kept all the same.
    async fn in_vain(
        &self,
        session: &BrowserSession,
        (record, kept): (SessionRecord, Kept),
        why: &str,
        rotated: Option<Secret>,
    ) -> Came {
        if let Some(refresh) = rotated {
            self.keep_rotated(session, (record, kept), refresh).await;
        }
        let pause = self.sign_in.validation.failed(session.user.id.issuer(), why, self.share(), self.now());
        let later = pause.saturating_add(PAUSE_MAX.mul_f64(self.share() / 4.0));
        self.counted(Asked::ProviderUnavailable, Came::Unknown(later))
    }

    /// Puts a refresh token where the one was that was used for it.
    async fn keep_rotated(
        &self,
        session: &BrowserSession,
        (mut record, mut kept): (SessionRecord, Kept),
        refresh: Secret,
    ) {
        let used = std::mem::replace(&mut kept.refresh, refresh.clone());
        for _ in 0..KEEPS_MAX {
            match self.replace(&record, &kept).await {
                Ok(true) => return,
                // Somebody wrote the record meanwhile: with the token that is spent now, or with one of their own.
                Ok(false) => match self.recorded(session).await {
                    Ok(Some((other, known))) if known.refresh == used => {
                        record = other;
                        kept = Kept { refresh: refresh.clone(), ..known };
                    }
                    Ok(Some(_)) => return,
                    Ok(None) => return self.give_back(session, &refresh).await,
                    Err(_) => tokio::time::sleep(LOOK_EVERY).await,
                },
                Err(()) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
        tracing::warn!(session = %session.id, "a refresh token that a provider gave could not be kept: the session may end early");
    }

    /// A refresh token that nobody will use.
    async fn give_back(&self, session: &BrowserSession, token: &Secret) {
        if let Err(e) = self.sign_in.providers.revoke(session.user.id.issuer(), token).await {
            tracing::debug!(session = %session.id, error = %e, "a refresh token could not be given back");
        }
    }

    /// The provider said no.
    async fn end(&self, session: &BrowserSession, record: &SessionRecord) -> Came {
        self.sign_in.validation.answered(session.user.id.issuer());
        let target = Target::Token(session.id.token(&session.user));
        let (cause, request_id) = (PROVIDER_REFUSED.to_owned(), format!("validation-{}", session.id));
        let end = ToEnd { target, person: session.user.id.clone(), by: None, cause, request_id };
        if let Err(why) = (self.sign_in.end)(end).await {
            tracing::warn!(session = %session.id, why, "a session that its provider ended could not be ended yet");
            return Came::Unknown(PAUSE);
        }
        if let Err(e) = self.sign_in.sessions.remove(&record.person, &record.id).await {
            tracing::warn!(error = %e, "the record of a session stays until its time is over");
        }
        self.counted(Asked::Refused, Came::Ended)
    }

    fn no_store(&self, error: &doorward_state::SessionsError) -> Came {
        tracing::debug!(error = %error, "it is not known whether a session stands at its provider");
        self.counted(Asked::StoreUnavailable, Came::Unknown(PAUSE))
    }

    fn counted(&self, asked: Asked, came: Came) -> Came {
        self.sign_in.numbers.asked(asked);
        came
    }

    /// A number between 0 and 1, another one each time.
    fn share(&self) -> f64 {
        let bytes: [u8; 16] = self.sign_in.sealer().random().unwrap_or_default();
        f64::from(bytes.first().copied().unwrap_or_default()) / 256.0
    }
}
