//! Who is asking?
//!
//! The credential proves who signed in. What they are is the token's word, or the directory's, which
//! is asked here and not again: before the exchange registers and the revocations are checked, so that
//! of a deactivation, whose revocation is in force before its records are, one of both is seen.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use doorward_identity::session::{Ended, Unopened};
use doorward_identity::{ClientCertificate, Verified};
use doorward_model::directory::TokenHash;
use doorward_model::{
    AppId, Assurance, AuthSession, DeviceId, DevicePosture, EntryKind, LifecycleStage, Presented, Principal,
    Refusal, RefusalCode, Risk, UnixMillis, Visitor,
};
use doorward_state::Refused;

use crate::accounts::Account;
use crate::config::{App, Freshness};
use crate::devices;
use crate::people::Judged;
use crate::pipeline::House;
use crate::pipeline::accept::{Accepted, Held};
use crate::pipeline::record::Story;
use crate::risk::Failure;
use crate::sign_in::validate;

static NOBODY: LazyLock<Arc<Principal>> = LazyLock::new(|| Arc::new(Principal::Visitor(Visitor)));
static NO_ASSURANCE: Assurance =
    Assurance { mfa: false, phishing_resistant: false, authenticated_at: None, mfa_at: None };
static NO_DEVICE: LazyLock<DevicePosture> = LazyLock::new(DevicePosture::default);

/// Proof of who asks: of a verified credential, or of none on a public route.
pub struct Identified {
    accepted: Accepted,
    who: Who,
}

/// Who asks, as those say whose word counts. By itself proof of nothing: it may be of any moment.
#[derive(Clone)]
pub(crate) enum Who {
    /// Somebody who signed in.
    Known {
        /// What they presented.
        verified: Arc<Verified>,
        /// What they are.
        judged: Judged,
    },
    /// A service account, by a token that was made here.
    Account(Account),
    /// Nobody in particular, on a public route.
    Visitor,
}

/// At which app, when and with what somebody asks who they are.
pub(crate) struct At<'a> {
    /// The app.
    pub(crate) app: &'a AppId,
    /// For how much longer than usual what was known is good.
    pub(crate) stale_max: Duration,
    /// When.
    pub(crate) now: UnixMillis,
    /// The certificate of the device.
    pub(crate) certificate: Option<&'a Arc<ClientCertificate>>,
    /// The id of the request.
    pub(crate) request_id: &'a Arc<str>,
}

impl Identified {
    /// The request.
    #[must_use]
    pub const fn accepted(&self) -> &Accepted {
        &self.accepted
    }

    /// Who asks, when they asked.
    pub(crate) const fn who(&self) -> &Who {
        &self.who
    }

    /// What was presented, if it was verified: a token of an issuer, or a session.
    pub(crate) const fn verified(&self) -> Option<&Arc<Verified>> {
        match &self.who {
            Who::Known { verified, .. } => Some(verified),
            Who::Account(_) | Who::Visitor => None,
        }
    }

    /// Who acts.
    #[must_use]
    pub fn principal(&self) -> &Arc<Principal> {
        self.who.principal()
    }

    /// The sign-in; a visitor has none.
    #[must_use]
    pub fn session(&self) -> Option<&AuthSession> {
        self.who.session()
    }

    /// What the sign-in proved.
    #[must_use]
    pub fn assurance(&self) -> &Assurance {
        self.who.assurance()
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &DevicePosture {
        self.who.device()
    }
}

impl Who {
    /// Who acts.
    pub(crate) fn principal(&self) -> &Arc<Principal> {
        match self {
            Self::Known { judged, .. } => &judged.principal,
            Self::Account(account) => account.principal(),
            Self::Visitor => &NOBODY,
        }
    }

    /// The sign-in; a visitor has none.
    pub(crate) fn session(&self) -> Option<&AuthSession> {
        match self {
            Self::Known { verified, .. } => Some(verified.session()),
            Self::Account(account) => Some(account.session()),
            Self::Visitor => None,
        }
    }

    /// What the sign-in proved.
    pub(crate) fn assurance(&self) -> &Assurance {
        match self {
            Self::Known { verified, .. } => verified.assurance(),
            Self::Account(_) | Self::Visitor => &NO_ASSURANCE,
        }
    }

    /// The device.
    pub(crate) fn device(&self) -> &DevicePosture {
        match self {
            Self::Known { verified, judged } => judged.device.as_deref().unwrap_or_else(|| verified.device()),
            Self::Account(_) | Self::Visitor => &NO_DEVICE,
        }
    }

    /// Where the owner of a service account stands; unknown where no directory is asked.
    pub(crate) fn owner_stage(&self) -> LifecycleStage {
        match self {
            Self::Known { judged, .. } => judged.owner_stage,
            Self::Account(account) => account.owner_stage(),
            Self::Visitor => LifecycleStage::Unknown,
        }
    }

    /// Whether the directory grants an app.
    pub(crate) fn is_granted(&self, app: &AppId) -> bool {
        match self {
            Self::Known { judged, .. } => judged.is_granted(app),
            // Apps are granted to people.
            Self::Account(_) | Self::Visitor => false,
        }
    }

    /// The device that the sign-in names, where the request proves to come from another one.
    pub(crate) fn named_device(&self) -> Option<&DeviceId> {
        match self {
            Self::Known { verified, .. } => verified.device().id.as_ref(),
            Self::Account(_) | Self::Visitor => None,
        }
        .filter(|named| self.device().id.as_ref() != Some(named))
    }

    /// How odd it looks.
    pub(crate) fn risk(&self) -> Risk {
        match self {
            Self::Known { verified, .. } => verified.risk(),
            Self::Account(_) | Self::Visitor => Risk::UNKNOWN,
        }
    }

    /// The same sign-in at the same app, as those whose word counts say now.
    pub(crate) fn anew(&self, house: &House, app: &App, now: UnixMillis) -> Result<Self, Refusal> {
        match self {
            Self::Known { verified, judged } => {
                let verified = &validate::now_known(house, verified, now)?;
                let judged = judge(house, verified, judged.certificate.as_ref(), (stale_max(app), now))?;
                Ok(Self::Known { verified: Arc::clone(verified), judged })
            }
            Self::Account(account) => {
                let at = (&app.id, stale_max(app));
                account.anew(&house.accounts, at, now).map(Self::Account)
            }
            Self::Visitor => Ok(Self::Visitor),
        }
    }

    /// Whether the directory is asked who it is.
    pub(crate) fn is_looked_up(&self, house: &House) -> bool {
        match self {
            Self::Known { .. } => house.people.are_looked_up(),
            Self::Account(_) => true,
            Self::Visitor => false,
        }
    }

    /// Whether policies are told the same of both.
    pub(crate) fn is_told_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Known { judged: a, .. }, Self::Known { judged: b, .. }) => a.is_told_as(b),
            (Self::Account(a), Self::Account(b)) => a.is_told_as(b),
            (Self::Visitor, Self::Visitor) => true,
            (Self::Known { .. } | Self::Account(_) | Self::Visitor, _) => false,
        }
    }
}

/// Verifies what was presented. Nothing presented is enough on a public route only; something
/// that does not verify is enough nowhere.
pub(crate) async fn identify(
    house: &House,
    accepted: Accepted,
    story: &mut Story,
) -> Result<Identified, Refusal> {
    let verified = match accepted.credential() {
        Held::Bearer(token) => match house.verifier.cached(token, accepted.now()) {
            Some(verified) => verified,
            None => match house.verifier.verify(token, accepted.now()).await {
                Ok(verified) => verified,
                Err(refusal) => return Err(unverified(house, &accepted, refusal)),
            },
        },
        Held::Service(token) => {
            let account = asks(house, &accepted, token, story)?;
            let identified = Identified { accepted, who: Who::Account(account) };
            story.identified(&identified);
            return Ok(identified);
        }
        Held::Session(cookie) => match opened(house, cookie, &accepted) {
            Ok(verified) => validate::up_to_date(house, verified, accepted.now()).await?,
            // Browsers send on what they have, long after it is over: that is no reason to show no public page.
            Err(_) if accepted.is_public() => return Ok(visits(accepted, story)),
            Err(refusal) => return Err(refusal),
        },
        Held::Nothing if accepted.is_public() => return Ok(visits(accepted, story)),
        Held::Nothing => {
            return Err(Refusal::new(
                RefusalCode::Unauthenticated,
                "no credential on a route that is not public",
            ));
        }
    };
    let app = &accepted.resolved().app.app;
    let at = At {
        app: &app.id,
        stale_max: stale_max(app),
        now: accepted.now(),
        certificate: accepted.client_certificate(),
        request_id: story.request_id(),
    };
    match judge_or_join(house, &verified, &at).await {
        Ok(judged) => {
            let identified = Identified { accepted, who: Who::Known { verified, judged } };
            story.identified(&identified);
            Ok(identified)
        }
        Err(refusal) => {
            story.signed_in(&verified);
            Err(refusal)
        }
    }
}

fn visits(accepted: Accepted, story: &mut Story) -> Identified {
    let identified = Identified { accepted, who: Who::Visitor };
    story.identified(&identified);
    identified
}

/// What a session's cookie proves, if it was sealed for this host and its time is not over.
fn opened(house: &House, cookie: &str, accepted: &Accepted) -> Result<Arc<Verified>, Refusal> {
    let sign_in = house.sign_in.as_ref();
    let sign_in = sign_in.ok_or_else(|| Refusal::new(RefusalCode::Internal, "nobody signs in here"))?;
    let opened = sign_in.opened.open(accepted.host(), cookie, accepted.now());
    house.metrics.cookie_came(opened.as_ref().err());
    let verified = opened.map_err(|why| {
        let code = match why {
            Unopened::Foreign => RefusalCode::InvalidCredential,
            Unopened::Ended(Ended::Idle | Ended::Absolute) => RefusalCode::ExpiredCredential,
            // Another sign-in would end the same way.
            Unopened::Ended(Ended::Ahead) => RefusalCode::SessionsUnavailable,
        };
        Refusal::new(code, why.to_string())
    })?;
    let binding = verified.browser().and_then(|session| session.binding.as_ref());
    // Whoever has the certificate gets a cookie for it where they sign in.
    devices::bound(binding, accepted.connection_certificate(), accepted.now())
        .map_err(|refusal| Refusal { code: RefusalCode::InvalidCredential, ..refusal })?;
    Ok(verified)
}

/// A token that is none counts against the address that it came from: whose it would be nobody can tell.
fn unverified(house: &House, accepted: &Accepted, refusal: Refusal) -> Refusal {
    if let Some(risks) = house.risks.as_ref().filter(|_| refusal.code == RefusalCode::InvalidCredential) {
        risks.failed(Failure::Token, None, accepted.client(), accepted.now());
    }
    refusal
}

/// What they are who presented this; of whom the directory does not know, what they are once they have joined.
pub(crate) async fn judge_or_join(
    house: &House,
    verified: &Verified,
    at: &At<'_>,
) -> Result<Judged, Refusal> {
    let judged = || judge(house, verified, at.certificate, (at.stale_max, at.now));
    let refused = match judged() {
        Err(refused) if refused.code == RefusalCode::UnknownPrincipal => refused,
        judged => return judged,
    };
    let presented = Presented {
        users: verified.principal().answerable().into_iter().cloned().collect(),
        owner: None,
        session: verified.session().clone(),
        device: verified.device().id.clone(),
        named: None,
        app: at.app.clone(),
    };
    // Nobody becomes known by a credential that does not stand. Whose sign-in is cut off may be invited anew.
    match house.revocations.check(&presented, house.issuer_skew) {
        Ok(_) | Err(Refused::Disabled { kind: EntryKind::User }) => {}
        Err(Refused::Disabled { .. } | Refused::MadeBefore { .. } | Refused::Stale { .. }) => {
            return Err(refused);
        }
    }
    let asked = (at.now, at.request_id);
    Box::pin(house.joining.ask(verified.principal(), refused, asked, || judged().is_ok())).await?;
    judged()
}

/// What they are who presented this, for an app.
fn judge(
    house: &House,
    verified: &Verified,
    certificate: Option<&Arc<ClientCertificate>>,
    (stale_max, now): (Duration, UnixMillis),
) -> Result<Judged, Refusal> {
    let mut judged = house.people.judge(verified.principal(), now, stale_max)?;
    let (directory, at) = (house.accounts.directory(), (now, stale_max));
    let shown = devices::Shown { named: verified.device(), certificate: certificate.map(Arc::as_ref) };
    judged.device = devices::known(directory, verified.principal(), shown, at)?;
    judged.certificate = certificate.cloned();
    Ok(judged)
}

/// The service account that has this token, if it may ask for the app at all.
fn asks(
    house: &House,
    accepted: &Accepted,
    token: &TokenHash,
    story: &mut Story,
) -> Result<Account, Refusal> {
    let app = &accepted.resolved().app.app;
    let account = house.accounts.whose(token, accepted.client(), stale_max(app))?;
    match account.may_ask(&house.accounts, &app.id, accepted.now()) {
        Ok(()) => Ok(account),
        Err(refusal) => {
            story.showed(&account);
            Err(refusal)
        }
    }
}

/// For how much longer than usual an app goes on with what was known.
const fn stale_max(app: &App) -> Duration {
    match app.freshness {
        Freshness::Lease { stale_max } => stale_max,
        Freshness::Strict => Duration::ZERO,
    }
}
