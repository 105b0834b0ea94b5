//! What a sign-in proved, and what a refresh tells: built here only.

use std::collections::BTreeSet;
use std::time::Duration;

use doorward_model::demand::{Demand, Strength};
use doorward_model::{Assurance, DevicePosture, Refusal, Risk, SessionId, UnixMillis, User, UserId};
use serde_json::Value;

use super::id_token::IdToken;
use crate::claims::{ClaimPath, Claims};
use crate::config::{Issuer, SignInTerms};
use crate::mapping::{self, DeviceSaid};
use crate::secret::Secret;
use crate::times::TokenTimes;
use crate::words::refuse;

/// Methods of `amr` (RFC 8176 §2) by the kind of factor that each is: what somebody knows, has, is. Two of
/// different kinds are more than one factor; two of one kind are not.
const FACTOR_KINDS: [&[&str]; 3] = [
    &["pwd", "pin", "kba"],
    &["otp", "sms", "tel", "hwk", "swk", "pop", "sc"],
    &["face", "fpt", "iris", "retina", "vbm"],
];

/// Proof that a person signed in at a provider just now, for us, and what the provider says of it. Whether
/// that is enough says [`meets`](Self::meets).
#[derive(Debug)]
pub struct Proven {
    told: Told,
    assurance: Assurance,
    refresh_token: Option<Secret>,
    issued_at: UnixMillis,
    skew: Duration,
}

/// What a provider says, asked again, of a person whose sign-in still stands. It says nothing of how and when
/// they signed in: that is as it was.
#[derive(Debug)]
pub struct Refreshed {
    told: Option<ToldAgain>,
    refresh_token: Option<Secret>,
}

/// Who it is now. A token of a refresh may leave out what that of the sign-in said of the device and the risk.
#[derive(Debug)]
struct ToldAgain {
    user: User,
    device: DeviceSaid,
    risk: Risk,
}

/// Who it is, and with what.
#[derive(Debug)]
struct Told {
    user: User,
    session: Option<SessionId>,
    device: DevicePosture,
    risk: Risk,
}

// === impl Proven ===

impl Proven {
    pub(super) fn new(
        token: IdToken,
        issuer: &Issuer,
        terms: &SignInTerms,
        times: &TokenTimes,
        refresh_token: Option<Secret>,
        now: UnixMillis,
    ) -> Result<Self, Refusal> {
        let assurance = assurance(&token.claims, issuer, terms, times, now)?;
        let (issued_at, skew) = (token.issued_at, times.issuer_skew);
        Ok(Self { told: told(token, issuer)?, assurance, refresh_token, issued_at, skew })
    }

    /// Whether the sign-in proves what was demanded when it was asked for, at `asked_at`. Only what the
    /// provider signed counts; what was asked of it does not.
    #[must_use]
    pub fn meets(&self, demand: &Demand, asked_at: UnixMillis) -> bool {
        let strong = match demand.strength {
            Strength::Any => true,
            Strength::Mfa => self.assurance.mfa,
            Strength::PhishingResistant => self.assurance.mfa && self.assurance.phishing_resistant,
        };
        let recent = demand.max_age.is_none_or(|max_age| {
            // The provider counts in whole seconds, on its own clock.
            let whole = UnixMillis::from_seconds(asked_at.seconds());
            let earliest = whole.minus(max_age).minus(self.skew);
            self.assurance.authenticated_at.is_some_and(|at| at >= earliest)
        });
        strong && recent
    }

    /// When the person signed in here: now, but not later than the provider can have meant by `iat`. Our clock may be
    /// ahead, and a session that began in the future would slip past whatever ends those that began before.
    #[must_use]
    pub fn signed_in_at(&self, now: UnixMillis) -> UnixMillis {
        // The provider counts in whole seconds, on its own clock.
        now.min(self.issued_at.plus(self.skew.max(Duration::from_secs(1))))
    }

    /// Who signed in. Groups and the like are as the provider says.
    #[must_use]
    pub const fn user(&self) -> &User {
        &self.told.user
    }

    /// The session at the provider, if it names it.
    #[must_use]
    pub const fn session(&self) -> Option<&SessionId> {
        self.told.session.as_ref()
    }

    /// What the sign-in proved.
    #[must_use]
    pub const fn assurance(&self) -> &Assurance {
        &self.assurance
    }

    /// The device, as the provider vouches for it.
    #[must_use]
    pub const fn device(&self) -> &DevicePosture {
        &self.told.device
    }

    /// How odd the provider finds the sign-in.
    #[must_use]
    pub const fn risk(&self) -> Risk {
        self.told.risk
    }

    /// By which the provider is asked later whether the sign-in still stands.
    #[must_use]
    pub const fn refresh_token(&self) -> Option<&Secret> {
        self.refresh_token.as_ref()
    }
}

// === impl Refreshed ===

impl Refreshed {
    pub(super) fn new(
        token: Option<IdToken>,
        issuer: &Issuer,
        refresh_token: Option<Secret>,
    ) -> Result<Self, Refusal> {
        Ok(Self { told: token.map(|token| told_again(token, issuer)).transpose()?, refresh_token })
    }

    /// Who it is, as the provider says it now; none when it only said that the sign-in stands.
    #[must_use]
    pub fn user(&self) -> Option<&User> {
        self.told.as_ref().map(|told| &told.user)
    }

    /// The device, of which that much was known. What the provider says no word of stays as it is: the device of a
    /// session is what blocking it finds it by.
    #[must_use]
    pub fn device(&self, known: &DevicePosture) -> DevicePosture {
        self.told.as_ref().map_or_else(|| known.clone(), |told| told.device.of(known))
    }

    /// How odd the provider finds it, where it said anything of that.
    #[must_use]
    pub fn risk(&self) -> Option<Risk> {
        self.told.as_ref().map(|told| told.risk).filter(|risk| risk.score().is_some())
    }

    /// The refresh token that takes the place of the one that was used; none: that one stays good.
    #[must_use]
    pub const fn refresh_token(&self) -> Option<&Secret> {
        self.refresh_token.as_ref()
    }
}

fn told(token: IdToken, issuer: &Issuer) -> Result<Told, Refusal> {
    let IdToken { claims, subject, .. } = token;
    let id = UserId::new(issuer.id.clone(), subject);
    Ok(Told {
        user: mapping::user(&claims, id, issuer)?,
        session: mapping::session_id(&claims, issuer)?,
        device: mapping::device(&claims, issuer)?,
        risk: mapping::risk(&claims, &issuer.claims.risk)?,
    })
}

fn told_again(token: IdToken, issuer: &Issuer) -> Result<ToldAgain, Refusal> {
    let device = mapping::device_said(&token.claims, issuer)?;
    let Told { user, risk, .. } = told(token, issuer)?;
    Ok(ToldAgain { user, device, risk })
}

/// What the words of the issuer prove, as for a bearer token, and beyond that two kinds of factor in `amr`
/// and the authentication contexts of Entra ID.
fn assurance(
    claims: &Claims,
    issuer: &Issuer,
    terms: &SignInTerms,
    times: &TokenTimes,
    now: UnixMillis,
) -> Result<Assurance, Refusal> {
    let mut proved = mapping::assurance(claims, issuer, times, now)?;
    let amr = claims.list(&ClaimPath::new("amr"))?;
    let kinds = FACTOR_KINDS.iter().filter(|kind| kind.iter().any(|method| amr.contains(*method))).count();
    let contexts = contexts(claims)?;
    let in_context = |wanted: &Option<String>| wanted.as_ref().is_some_and(|w| contexts.contains(w));
    let phishing_resistant = in_context(&terms.claims_acrs.phishing_resistant);
    proved.phishing_resistant |= phishing_resistant;
    proved.mfa |=
        phishing_resistant || in_context(&terms.claims_acrs.mfa) || (terms.two_factor_classes && kinds >= 2);
    proved.mfa_at = proved.authenticated_at.filter(|_| proved.mfa);
    Ok(proved)
}

/// The claim `acrs`: a list, or one context as text.
fn contexts(claims: &Claims) -> Result<BTreeSet<String>, Refusal> {
    match claims.0.get("acrs") {
        None => Ok(BTreeSet::new()),
        Some(Value::String(one)) => Ok(BTreeSet::from([one.clone()])),
        Some(Value::Array(_)) => claims.list(&ClaimPath::new("acrs")),
        Some(_) => refuse("the claim `acrs` is not a list"),
    }
}
