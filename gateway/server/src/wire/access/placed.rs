//! A situation as it would be here and now: to be explained, with somebody of the directory in it.

use doorward_console::{AccessFault, TimeSaid, Whom};
use doorward_context::Calendar;
use doorward_model::UnixMillis;
use doorward_policy::{Situation, record};
use doorward_proxy::find_route;
use serde_json::{Value, json};

use super::Wired;
use super::known::Roll;

/// The situation with whoever is meant, with what the configuration says of the route, and with the time as it is here
/// where nobody said it; or why nobody would ask any policy about them.
pub(super) fn placed(wired: &Wired, written: &str, whom: Whom, said: TimeSaid) -> Result<Value, AccessFault> {
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
    set_time(&mut situation, said, &wired.house.calendar, (wired.house.clock)());
    Ok(json!({ "situation": record::write(&situation.question()) }))
}

/// What is said of the time stays. The moment is otherwise now; the time of day and the day are those of the moment, as
/// a request would have them.
fn set_time(situation: &mut Situation, said: TimeSaid, calendar: &Calendar, now: UnixMillis) {
    let moment = calendar.moment(if said.now { situation.now } else { now });
    let local_time = if said.local { situation.local_time } else { moment.local_time };
    let weekday = if said.weekday { situation.weekday } else { moment.weekday };
    situation.moved_to(moment.now, local_time, weekday);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half past ten of a Monday evening in Greenwich, as whoever knows no time zone writes it; signed in a minute ago.
    const MONDAY: &str = r#"{"v":1,"who":"visitor","does":"GET","route":{"id":"wiki/all","tier":"public"},"session":{"at":1796077740000},"place":{"ip":"192.0.2.1"},"now":1796077800000,"local":81000,"weekday":"mon","host":"","path":"/"}"#;
    /// An hour later, when it is Tuesday in Berlin.
    const LATER: UnixMillis = UnixMillis(1_796_081_400_000);

    #[test]
    fn what_nobody_said_of_the_time_is_as_the_gateway_has_it() {
        let berlin = Calendar::new("Europe/Berlin").unwrap();
        let then = UnixMillis(1_796_077_800_000);
        // Minutes since midnight.
        let (said_local, of_then, of_now) = (22 * 60 + 30, 23 * 60 + 30, 30);
        for ((now, local, weekday), expect) in [
            ((false, false, false), (LATER, of_now, "tue")),
            ((true, false, false), (then, of_then, "mon")),
            ((false, true, false), (LATER, said_local, "tue")),
            ((false, false, true), (LATER, of_now, "mon")),
            ((false, true, true), (LATER, said_local, "mon")),
            ((true, true, false), (then, said_local, "mon")),
            ((true, false, true), (then, of_then, "mon")),
            ((true, true, true), (then, said_local, "mon")),
        ] {
            let mut situation = record::read(MONDAY).unwrap();
            let said = TimeSaid { now, local, weekday };
            set_time(&mut situation, said, &berlin, LATER);
            let minutes = situation.local_time.as_secs() / 60;
            assert_eq!((situation.now, minutes, situation.weekday.as_str()), expect, "{said:?}");
            let signed_in = situation.session.authenticated_at.unwrap();
            assert_eq!(situation.now.0 - signed_in.0, 60_000, "a minute ago: {said:?}");
        }
    }
}
