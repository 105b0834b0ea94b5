//! A situation as it would be here and now: to be explained, with somebody of the directory in it.

use doorward_console::{AccessFault, Whom};
use doorward_policy::record;
use doorward_proxy::find_route;
use serde_json::{Value, json};

use super::Wired;
use super::known::Roll;

/// The situation with whoever is meant, with what the configuration says of the route, and at the time of now if that
/// is asked; or why nobody would ask any policy about them.
pub(super) fn placed(wired: &Wired, written: &str, whom: Whom, now: bool) -> Result<Value, AccessFault> {
    let mut situation = record::read(written).map_err(|e| AccessFault::Failed(e.to_string()))?;
    let route = find_route(&wired.config.apps, situation.route.id.as_str()).ok_or(AccessFault::NoRoute)?;
    situation.route = route.facts.clone();
    let known = match whom {
        Whom::AsItIs => None,
        Whom::Person(id) => Some(Roll::of(wired)?.person(id)?.by_directory()?),
        Whom::Machine(id) => Some(Roll::of(wired)?.machine(id)?.by_directory()?),
    };
    if let Some(known) = known {
        // Of several sign-ins the first: what differs between them a review of access shows.
        let (refused, subject) = (known.refused, known.subjects.into_iter().next());
        let Some(subject) = subject.filter(|_| refused.is_none()) else {
            let why = refused.unwrap_or_else(|| "nobody has signed in so".to_owned());
            return Ok(json!({ "refused": why }));
        };
        situation.granted = known.person.is_some_and(|person| person.has_app(situation.route.id.app()));
        (situation.principal, situation.owner_stage) = (subject.principal, subject.owner_stage);
    }
    if now {
        let moment = wired.house.calendar.moment((wired.house.clock)());
        situation.moved_to(moment.now, moment.local_time, moment.weekday);
    }
    Ok(json!({ "situation": record::write(&situation.question()) }))
}
