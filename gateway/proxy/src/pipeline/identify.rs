//! Who is asking?

use std::sync::{Arc, LazyLock};

use doorward_identity::{Credential, Verified};
use doorward_model::{Assurance, AuthSession, DevicePosture, Principal, Refusal, RefusalCode, Risk, Visitor};

use crate::pipeline::House;
use crate::pipeline::accept::Accepted;
use crate::pipeline::record::Story;

static NOBODY: LazyLock<Arc<Principal>> = LazyLock::new(|| Arc::new(Principal::Visitor(Visitor)));
static NO_ASSURANCE: Assurance =
    Assurance { mfa: false, phishing_resistant: false, authenticated_at: None, mfa_at: None };
static NO_DEVICE: LazyLock<DevicePosture> = LazyLock::new(DevicePosture::default);

/// Proof of who asks: of a verified credential, or of none on a public route.
pub struct Identified {
    accepted: Accepted,
    who: Who,
}

enum Who {
    Known(Arc<Verified>),
    Visitor,
}

impl Identified {
    /// The request.
    #[must_use]
    pub const fn accepted(&self) -> &Accepted {
        &self.accepted
    }

    /// Who acts.
    #[must_use]
    pub fn principal(&self) -> &Arc<Principal> {
        match &self.who {
            Who::Known(verified) => verified.principal(),
            Who::Visitor => &NOBODY,
        }
    }

    /// The sign-in; a visitor has none.
    #[must_use]
    pub fn session(&self) -> Option<&AuthSession> {
        match &self.who {
            Who::Known(verified) => Some(verified.session()),
            Who::Visitor => None,
        }
    }

    /// What the sign-in proved.
    #[must_use]
    pub fn assurance(&self) -> &Assurance {
        match &self.who {
            Who::Known(verified) => verified.assurance(),
            Who::Visitor => &NO_ASSURANCE,
        }
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &DevicePosture {
        match &self.who {
            Who::Known(verified) => verified.device(),
            Who::Visitor => &NO_DEVICE,
        }
    }

    /// How odd it looks.
    #[must_use]
    pub fn risk(&self) -> Risk {
        match &self.who {
            Who::Known(verified) => verified.risk(),
            Who::Visitor => Risk::UNKNOWN,
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
    let who = match accepted.credential() {
        Credential::Bearer(token) => {
            let now = accepted.now();
            match house.verifier.cached(token, now) {
                Some(verified) => Who::Known(verified),
                None => Who::Known(house.verifier.verify(token, now).await?),
            }
        }
        Credential::NotPresented if accepted.resolved().route().is_some_and(|r| r.facts.public) => {
            Who::Visitor
        }
        Credential::NotPresented => {
            return Err(Refusal::new(
                RefusalCode::Unauthenticated,
                "no credential on a route that is not public",
            ));
        }
    };
    let identified = Identified { accepted, who };
    story.identified(&identified);
    Ok(identified)
}
