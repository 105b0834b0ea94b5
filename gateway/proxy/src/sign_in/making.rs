//! The session of somebody who signed in: made or made stronger, in the place of the one before, and kept.

use doorward_audit::event::SignInStep;
use doorward_identity::attempt::Attempt;
use doorward_identity::oidc::Proven;
use doorward_identity::session::{AgentMark, Kept, SESSION_COOKIE, SessionKey, Whence};
use doorward_identity::{BrowserSession, cookies};
use doorward_model::{Demand, Place, RefusalCode, Strength, Target, TokenId};
use doorward_state::SessionRecord;
use http::header;

use super::attempts::Want;
use super::ending::{come_into_force, ends};
use super::{OwnRequest, SignIn, Stop, unsealed};
use crate::pipeline::House;

/// What the log is told of a sign-in that ends a session.
const SIGNED_IN_ANEW: &str = "signed in anew";
/// And of one that gives way because a person has too many.
const TOO_MANY: &str = "more sessions than one person may have";
/// How often a record is written anew that somebody else changed meanwhile.
const REPLACES_MAX: usize = 5;

/// A session of which everything is known but whether it may be.
pub(super) struct New {
    pub(super) session: BrowserSession,
    pub(super) step: SignInStep,
}

impl SignIn {
    /// The session that there is, with more proved; or else a new one, of a new name. Where the provider has begun
    /// another session of its own it is a new one, too: the cookies of the hosts of apps still name the old one there,
    /// and must not outlive what ends the new one.
    pub(super) fn made(
        &self,
        request: &OwnRequest,
        (attempt, proven): (&Attempt, &Proven),
        living: Option<BrowserSession>,
        place: &Place,
    ) -> Result<New, Stop> {
        let now = request.now;
        let goes_on = living.filter(|session| {
            let same =
                session.user.id == proven.user().id && session.issuer_session.as_ref() == proven.session();
            same && (attempt.steps_up == Some(session.id) || session.validated_at >= attempt.started_at)
        });
        let from = Whence {
            ip: request.client,
            country: place.country,
            asn: place.asn,
            agent: AgentMark::of(request.headers.get(header::USER_AGENT).map(http::HeaderValue::as_bytes)),
        };
        let (session, step) = match goes_on {
            Some(session) => {
                // Of two tabs that signed in at once, the weaker takes nothing from the other.
                let proves = Demand { strength: strength(&session), max_age: None };
                let weaker = attempt.steps_up.is_none() && !proves.is_met(proven.assurance(), now);
                let assurance = if weaker { session.assurance } else { *proven.assurance() };
                (BrowserSession { assurance, seen_at: now, validated_at: now, ..session }, SignInStep::Raised)
            }
            None => {
                let id = SessionKey::random(self.sealer()).map_err(|e| Stop::new(unsealed(&e)))?;
                let session = BrowserSession {
                    id,
                    user: proven.user().clone(),
                    issuer_session: None,
                    assurance: *proven.assurance(),
                    device: proven.device().clone(),
                    risk: proven.risk(),
                    signed_in_at: proven.signed_in_at(now),
                    seen_at: now,
                    validated_at: now,
                    expires_at: now.plus(self.terms.absolute),
                    renewable: false,
                    binding: request.certificate.as_ref().map(|c| *c.thumbprint()),
                    from,
                };
                (session, SignInStep::Begun)
            }
        };
        let session = BrowserSession {
            user: proven.user().clone(),
            issuer_session: proven.session().cloned(),
            device: proven.device().clone(),
            risk: proven.risk(),
            renewable: session.renewable || proven.refresh_token().is_some(),
            from,
            ..session
        };
        Ok(New { session, step })
    }

    /// Ends the session that this browser had before, wherever it is. Where it was somebody else's, nobody is signed
    /// in before that is in force: at the hosts of apps they would be that person still.
    pub(super) async fn ends_before(
        &self,
        house: &House,
        request: &OwnRequest,
        session: &BrowserSession,
    ) -> Result<(), Stop> {
        let Some(cookie) = cookies::ours(request.cookie_lines(), SESSION_COOKIE)? else { return Ok(()) };
        let before = BrowserSession::open(self.sealer(), self.host(), cookie);
        let Some(before) = before.filter(|before| before.id != session.id && before.expires_at > request.now)
        else {
            return Ok(());
        };
        let target = Target::Token(before.id.token(&before.user));
        let ended = (self.end)(ends(target.clone(), &before.user.id, SIGNED_IN_ANEW, request)).await;
        // A node without a directory has only asked for it.
        let ended = match ended {
            Ok(()) if come_into_force(house, vec![target]).await => Ok(()),
            Ok(()) => Err("it was asked for, and nobody has done it yet".to_owned()),
            Err(why) => Err(why),
        };
        match ended {
            Ok(()) => {}
            Err(why) if before.user.id == session.user.id => {
                tracing::warn!(session = %before.id, why, "a session could not be ended that another took the place of");
                // It is in the list until it has ended.
                return Ok(());
            }
            Err(why) => {
                let detail =
                    format!("the session of somebody else in this browser could not be ended: {why}");
                return Err(Stop::plain(RefusalCode::SessionsUnavailable, detail));
            }
        }
        let removed = self.sessions.remove(&before.user.id, &before.id.to_string()).await;
        if let Err(e) = removed {
            tracing::warn!(error = %e, "the record of a session stays until its time is over");
        }
        Ok(())
    }

    /// Keeps the record of a session, with the refresh token that only we can open.
    pub(super) async fn keep(
        &self,
        request: &OwnRequest,
        session: &BrowserSession,
        (attempt, proven): (&Attempt, &Proven),
    ) -> Result<(), Stop> {
        let id = session.id.to_string();
        let kept =
            proven.refresh_token().cloned().map(|refresh| Kept { refresh, session: Some(session.clone()) });
        let refresh = kept
            .map(|kept| kept.seal(self.sealer(), session.id))
            .transpose()
            .map_err(|e| Stop::plain(RefusalCode::SignInRefused, e.to_string()))?
            .map(String::into_bytes);
        let want = Want::of(attempt);
        let agent =
            request.headers.get(header::USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
        let record = SessionRecord {
            id: id.as_str().into(),
            person: session.user.id.clone(),
            issuer_session: session.issuer_session.clone(),
            signed_in_at: session.signed_in_at,
            seen_at: session.seen_at,
            validated_at: session.validated_at,
            expires_at: session.expires_at,
            client: request.client,
            agent: agent.unwrap_or_default().into_owned(),
            device: session.device.id.clone(),
            apps: attempt.app.iter().cloned().collect(),
            refresh,
            version: 0,
        };
        for _ in 0..REPLACES_MAX {
            let known = self.sessions.get(&record.person, &id).await.map_err(|e| self.unkept(&e, &want))?;
            let Some(known) = known else {
                let gives_way =
                    self.sessions.create(record.clone()).await.map_err(|e| self.unkept(&e, &want))?;
                if let Some(oldest) = gives_way {
                    self.end_of(&oldest, request).await;
                }
                return Ok(());
            };
            // The token of before is not given back: a provider may take that for both (decision 28).
            let refresh = record.refresh.clone().or_else(|| known.refresh.clone());
            let next = SessionRecord { refresh, ..record.clone() };
            if self.sessions.replace(next, known.version).await.map_err(|e| self.unkept(&e, &want))? {
                return Ok(());
            }
        }
        Err(Stop::plain(RefusalCode::SessionsUnavailable, "the record of the session changes all the time"))
    }

    /// Ends a session of which the record is gone.
    async fn end_of(&self, record: &SessionRecord, request: &OwnRequest) {
        let Ok(token) = TokenId::new(record.person.issuer().clone(), &record.id) else { return };
        if let Err(why) = (self.end)(ends(Target::Token(token), &record.person, TOO_MANY, request)).await {
            tracing::warn!(session = %record.id, why, "a session that gave way could not be ended");
        }
    }
}

/// How strong what a session proves is.
fn strength(session: &BrowserSession) -> Strength {
    match (session.assurance.mfa, session.assurance.phishing_resistant) {
        (true, true) => Strength::PhishingResistant,
        (true, false) => Strength::Mfa,
        (false, _) => Strength::Any,
    }
}
