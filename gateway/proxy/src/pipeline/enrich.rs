//! What do we know of the circumstances?

use std::sync::Arc;

use doorward_context::calendar::Moment;
use doorward_model::{Place, Principal, Risk, UnixMillis};

use crate::pipeline::House;
use crate::pipeline::identify::{Identified, Who};
use crate::pipeline::record::Story;
use crate::pipeline::revocation::Unrevoked;
use crate::risk::{Failure, Seen};

/// Who asks, from where, at what time.
pub struct Enriched {
    identified: Identified,
    place: Arc<Place>,
    moment: Moment,
}

impl Enriched {
    /// Who asks.
    #[must_use]
    pub const fn identified(&self) -> &Identified {
        &self.identified
    }

    /// From where.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// When, on the company's clock.
    #[must_use]
    pub const fn moment(&self) -> Moment {
        self.moment
    }
}

/// Adds place and time.
pub(crate) fn enrich(house: &House, identified: Identified, story: &mut Story) -> Enriched {
    let accepted = identified.accepted();
    let place = Arc::new(house.places.locate(accepted.client()));
    let moment = house.calendar.moment(accepted.now());
    story.located(&place);
    Enriched { identified, place, moment }
}

/// How odd it looks. After the revocations were checked: nothing is learned from what was taken away.
pub(crate) async fn weigh(house: &House, unrevoked: &Unrevoked, story: &mut Story) -> Risk {
    let enriched = unrevoked.enriched();
    let (accepted, who) = (enriched.identified.accepted(), enriched.identified.who());
    let risk = match (&house.risks, seen(who, &enriched.place, accepted.user_agent(), accepted.now())) {
        (Some(risks), Some(seen)) => risks.see(&seen).await,
        (Some(_), None) | (None, _) => who.risk(),
    };
    story.risked(risk);
    risk
}

/// What was taken away was used again: that counts against whose it was.
pub(crate) fn used_again(house: &House, enriched: &Enriched) {
    let accepted = enriched.identified.accepted();
    let (Principal::User(user), Some(risks)) = (&**enriched.identified.principal(), &house.risks) else {
        return;
    };
    risks.failed(Failure::Revoked, Some(&user.id), accepted.client(), accepted.now());
}

/// How odd what runs looks by what is known now; none where nothing is computed. Nothing is learned from it.
pub(crate) fn look(house: &House, who: &Who, place: &Place, agent: Option<&str>) -> Option<Risk> {
    let seen = seen(who, place, agent, (house.clock)())?;
    house.risks.as_ref()?.look(&seen)
}

/// What a history is told of a request. Only people have one.
fn seen<'a>(who: &'a Who, place: &'a Place, agent: Option<&'a str>, now: UnixMillis) -> Option<Seen<'a>> {
    let Principal::User(user) = &**who.principal() else { return None };
    Some(Seen {
        user: &user.id,
        session: who.session()?,
        assurance: who.assurance(),
        place,
        device: who.device().id.as_ref(),
        agent,
        claim: who.risk(),
        now,
    })
}
