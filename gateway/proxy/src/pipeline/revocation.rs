//! Was the access taken away?
//!
//! Register first, check then: a revocation that comes in between finds the exchange, or the
//! check finds the revocation. A strict app looks in between, and so knows of every revocation that
//! was acknowledged before the request came.

use std::time::Duration;

use doorward_model::limits::REVOCATION_LOOK_MILLIS_MAX;
use doorward_model::{AppId, AuthSession, EntryKind, Presented, Refusal, RefusalCode};
use doorward_state::{Refused, Revocations};

use crate::config::Freshness;
use crate::gate::Running;
use crate::inflight::Facts;
use crate::pipeline::House;
use crate::pipeline::enrich::{self, Enriched};
use crate::pipeline::identify::Who;
use crate::pipeline::record::Story;

/// An exchange that ends when something that it presents is taken away. Not a proof of anything yet.
pub(crate) struct Registered {
    enriched: Enriched,
    presented: Option<Presented>,
    freshness: Freshness,
}

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

/// What could be taken away of whoever asks for an app; a visitor holds nothing. `skew` is how far the clock of
/// an issuer may be off: a token of ours says of itself when it was made, so nothing is taken off for that.
fn presented(who: &Who, app: &AppId, skew: Duration) -> Option<Presented> {
    let session = who.session()?.clone();
    let (device, app) = (who.device().id.clone(), app.clone());
    let (users, owner, session) = match who {
        Who::Known { .. } | Who::Visitor => {
            (who.principal().answerable().into_iter().cloned().collect(), None, session)
        }
        Who::Account(account) => {
            let session = AuthSession { issued_at: session.issued_at.plus(skew), ..session };
            (who.principal().id().into_iter().cloned().collect(), Some(account.owner().clone()), session)
        }
    };
    let named = who.named_device().cloned();
    Some(Presented { users, owner, session, device, named, app })
}

/// Registers the exchange under everything that could end it.
pub(crate) fn register(house: &House, enriched: Enriched, running: &Running) -> Result<Registered, Refusal> {
    let identified = enriched.identified();
    let accepted = identified.accepted();
    let route = accepted
        .resolved()
        .route()
        .ok_or_else(|| Refusal::new(RefusalCode::Internal, "the route is gone"))?
        .facts
        .id
        .clone();
    let presented = presented(identified.who(), route.app(), house.issuer_skew);
    let facts = Facts {
        presented: presented.clone(),
        principal: identified.principal().clone(),
        path: accepted.resolved().path.as_str().to_owned(),
        client: accepted.client(),
        request_id: running.request_id(),
        route,
    };
    running.keep(house.inflight.register(&running.slot, facts));
    let freshness = accepted.resolved().app.app.freshness;
    Ok(Registered { enriched, presented, freshness })
}

/// Waits until everything is known that was acknowledged before. For strict apps; boxed, so that
/// what others do not need makes no request larger.
pub(crate) async fn look(house: &House) -> Result<(), Refusal> {
    let began = (house.ticks)();
    let bound = Duration::from_millis(REVOCATION_LOOK_MILLIS_MAX);
    let looked = Box::pin(house.revocations.read_index(bound)).await;
    house.metrics.looked((house.ticks)().saturating_sub(began));
    looked.map_err(|refused| told(&refused))
}

impl Registered {
    /// Whether [`look`] must come before the check.
    pub(crate) const fn is_strict(&self) -> bool {
        matches!((self.freshness, &self.presented), (Freshness::Strict, Some(_)))
    }

    /// Checks everything under which the exchange is registered. Who is known to be cut off is told
    /// so, also where the look, `looked`, found nothing out.
    pub(crate) fn check(
        self,
        house: &House,
        looked: Result<(), Refusal>,
        story: &mut Story,
    ) -> Result<Unrevoked, Refusal> {
        let Self { enriched, presented, freshness } = self;
        let standing = match &presented {
            None => Standing::NothingHeld,
            Some(presented) => {
                let judged = judge(&house.revocations, freshness, presented, house.issuer_skew);
                let proof = judged.map_err(|refused| {
                    if refused.code() != RefusalCode::StaleRevocations {
                        enrich::used_again(house, &enriched);
                    }
                    told(&refused)
                })?;
                looked?;
                if !proof.stale_for().is_zero() {
                    story.went_on_stale(proof.stale_for());
                }
                Standing::Replica(proof)
            }
        };
        Ok(Unrevoked { enriched, standing })
    }
}

fn judge(
    revocations: &Revocations,
    freshness: Freshness,
    presented: &Presented,
    skew: Duration,
) -> Result<doorward_state::Unrevoked, Refused> {
    match freshness {
        Freshness::Lease { stale_max } if !stale_max.is_zero() => {
            revocations.check_within(presented, skew, stale_max)
        }
        Freshness::Lease { .. } | Freshness::Strict => revocations.check(presented, skew),
    }
}

fn told(refused: &Refused) -> Refusal {
    let detail = match refused.kind().map(EntryKind::as_str) {
        Some(kind) => format!("by its {kind}"),
        None => "it is not known whether access was taken away".to_owned(),
    };
    Refusal::new(refused.code(), detail)
}

#[cfg(test)]
mod tests;
