//! What do we know of the circumstances?

use std::sync::Arc;

use doorward_context::calendar::Moment;
use doorward_model::Place;

use crate::pipeline::House;
use crate::pipeline::identify::Identified;
use crate::pipeline::record::Story;

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
