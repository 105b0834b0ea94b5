//! Was the access taken away?
//!
//! Register first, check then: a revocation that comes in between finds the exchange, or the
//! check finds the revocation.

use doorward_model::{Presented, Refusal, RefusalCode};

use crate::gate::Running;
use crate::inflight::Facts;
use crate::pipeline::House;
use crate::pipeline::enrich::Enriched;

/// Proof that nothing presented was cut off, and that the exchange will end when it is.
pub struct Unrevoked {
    enriched: Enriched,
    standing: Standing,
}

/// What the proof rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The local replica of all revocations.
    Replica(doorward_state::Unrevoked),
    /// A visitor holds nothing that could be taken away.
    NothingHeld,
}

impl Unrevoked {
    /// Who asks, from where, at what time.
    #[must_use]
    pub const fn enriched(&self) -> &Enriched {
        &self.enriched
    }

    /// What the proof rests on.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        self.standing
    }
}

/// Registers the exchange under everything that could end it, then checks all of that.
pub(crate) fn check(house: &House, enriched: Enriched, running: &Running) -> Result<Unrevoked, Refusal> {
    let identified = enriched.identified();
    let accepted = identified.accepted();
    let route = accepted
        .resolved()
        .route()
        .ok_or_else(|| Refusal::new(RefusalCode::Internal, "the route is gone"))?
        .facts
        .id
        .clone();
    let presented = identified.session().map(|session| Presented {
        users: identified.principal().answerable().into_iter().cloned().collect(),
        session: session.clone(),
        device: identified.device().id.clone(),
        app: route.app().clone(),
    });
    let facts = Facts {
        presented: presented.clone(),
        principal: identified.principal().clone(),
        path: accepted.resolved().path.as_str().to_owned(),
        client: accepted.client(),
        request_id: running.request_id(),
        route,
    };
    running.keep(house.inflight.register(&running.slot, facts));
    let standing = match &presented {
        None => Standing::NothingHeld,
        Some(presented) => {
            Standing::Replica(house.revocations.check(presented, house.issuer_skew).map_err(|refused| {
                let what = refused.kind().map_or("the store", doorward_model::EntryKind::as_str);
                Refusal::new(refused.code(), format!("by its {what}"))
            })?)
        }
    };
    Ok(Unrevoked { enriched, standing })
}
