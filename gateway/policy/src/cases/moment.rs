//! What time it is where a moment is written: a day and a time of day that go with it.
//!
//! Cases know no time zone. What they start from does: a base that says `now = 2026-03-04T10:00:00Z` and
//! `local = "11:00"` is an hour east of Greenwich. Another moment is as far from it, unless its words say otherwise.

use std::time::Duration;

use doorward_model::{UnixMillis, Weekday};

use super::written::{Moment, Time, TimeOfDay};
use crate::situation::Situation;

const DAY_SECONDS: i64 = 24 * 3600;
/// From the westernmost clock to the easternmost one.
const ZONES_SECONDS: std::ops::RangeInclusive<i64> = -12 * 3600..=14 * 3600;

impl Time {
    /// What this one says. Where it says `now`, the day and the time of day are those of then, unless it says them as
    /// well; everything else is as in `base`.
    pub(super) fn after(&self, base: &Self) -> Self {
        let mut time = self.over(base);
        let Some(Moment(now)) = self.now else { return time };
        let here = base.east().unwrap_or(0);
        let east = self.zones().min_by_key(|east| (east - here).abs()).unwrap_or(here);
        let (local, weekday) = at(now, east);
        time.local = self.local.or(Some(TimeOfDay(local)));
        time.weekday = self.weekday.or(Some(weekday));
        time
    }

    /// Whether it says a moment, a day and a time of day that are together nowhere.
    pub(super) fn is_nowhere(&self) -> bool {
        let says = self.now.is_some() && self.weekday.is_some();
        // Without a time of day it is some time of that day somewhere.
        let local = || (0..24 * 4).map(|n| Some(TimeOfDay(Duration::from_secs(n * 900))));
        let some = |local| Self { local, ..self.clone() }.zones().next().is_some();
        says && !if self.local.is_some() { some(self.local) } else { local().any(some) }
    }

    /// How far east of Greenwich it says to be, in seconds. A day that is nowhere then says nothing of it.
    fn east(&self) -> Option<i64> {
        let any_day = Self { weekday: None, ..self.clone() };
        self.weekday
            .and_then(|_| self.zones().next().or_else(|| any_day.zones().min_by_key(|east| east.abs())))
    }

    /// How far east of Greenwich its words may be said, in seconds.
    fn zones(&self) -> impl Iterator<Item = i64> {
        let said = self.now.zip(self.local);
        let weekday = self.weekday;
        said.into_iter().flat_map(move |(Moment(now), TimeOfDay(local))| {
            let of_day = seconds(now).rem_euclid(DAY_SECONDS);
            let local = i64::try_from(local.as_secs()).unwrap_or_default();
            let near = [0, DAY_SECONDS, -DAY_SECONDS].map(|days| local - of_day + days);
            near.into_iter()
                .filter(|east| ZONES_SECONDS.contains(east))
                .filter(move |east| weekday.is_none_or(|day| at(now, *east).1 == day))
        })
    }
}

impl Situation {
    /// Whether there is a place on earth where it is that day and that time of day then. Of policies that look at two of
    /// the three, somebody who makes requests up must ask.
    #[must_use]
    pub fn is_somewhere(&self) -> bool {
        let local = Some(TimeOfDay(self.local_time));
        let time = Time { now: Some(Moment(self.now)), local, weekday: Some(self.weekday) };
        time.zones().next().is_some()
    }

    /// The same at times that are somewhere, those first that change least: so many days before or after, when everything
    /// is as old as it is now; then with the day of its own moment; then with its time of day in Greenwich, too.
    pub fn somewhere(&self) -> impl Iterator<Item = Self> {
        let days = [0, 1, -1, 2, -2, 3, -3].into_iter().map(|days| {
            let mut s = self.clone();
            let then = UnixMillis(s.now.0.saturating_add(days * DAY_SECONDS * 1000));
            s.moved_to(then, s.local_time, s.weekday);
            s
        });
        let day = Weekday::ALL.into_iter().map(|weekday| Self { weekday, ..self.clone() });
        let (local_time, weekday) = at(self.now, 0);
        let greenwich = Self { local_time, weekday, ..self.clone() };
        days.chain(day).chain([greenwich]).filter(Self::is_somewhere)
    }
}

/// The time of day and the day, so many seconds east of Greenwich.
pub(super) fn at(now: UnixMillis, east: i64) -> (Duration, Weekday) {
    let there = seconds(now).saturating_add(east);
    let of_day = u64::try_from(there.rem_euclid(DAY_SECONDS)).unwrap_or_default();
    // The first day of 1970 was a Thursday.
    let day = usize::try_from((there.div_euclid(DAY_SECONDS) + 3).rem_euclid(7)).unwrap_or_default();
    (Duration::from_secs(of_day), Weekday::ALL.get(day).copied().unwrap_or(Weekday::Mon))
}

fn seconds(now: UnixMillis) -> i64 {
    now.0.div_euclid(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(words: &str) -> Time {
        toml::from_str(words).unwrap()
    }

    fn told(time: &Time) -> (u64, &'static str) {
        (time.local.unwrap().0.as_secs(), time.weekday.unwrap().as_str())
    }

    #[test]
    fn another_moment_has_the_day_and_the_time_of_day_of_then() {
        let east = "now = 2026-03-04T10:00:00Z\nlocal = \"11:00\"\nweekday = \"wed\"";
        let west = "now = 2026-03-04T02:00:00Z\nlocal = \"18:00\"\nweekday = \"tue\"";
        let nowhere = "now = 2026-03-04T10:00:00Z\nlocal = \"11:00\"\nweekday = \"sun\"";
        for (base, words, expect) in [
            (east, "now = 2026-05-02T10:00:00Z", (11 * 3600, "sat")),
            (east, "now = 2026-05-02T10:00:00+02:00", (9 * 3600, "sat")),
            (east, "now = 2026-05-01T23:30:00Z", (30 * 60, "sat")),
            (west, "now = 2026-05-02T07:00:00Z", (23 * 3600, "fri")),
            // An hour east, on whatever day.
            (nowhere, "now = 2026-05-02T10:00:00Z", (11 * 3600, "sat")),
            ("", "now = 1969-12-31T10:00:00Z", (10 * 3600, "wed")),
            // What is said is so.
            (east, "now = 2026-05-02T10:00:00Z\nweekday = \"mon\"", (11 * 3600, "mon")),
            (east, "now = 2026-05-02T23:30:00Z\nlocal = \"00:30\"", (30 * 60, "sun")),
            (east, "now = 2026-05-02T23:30:00Z\nlocal = \"23:30\"", (84_600, "sat")),
            (east, "weekday = \"sat\"", (11 * 3600, "sat")),
            (east, "local = \"19:59\"", (71_940, "wed")),
        ] {
            assert_eq!(told(&time(words).after(&time(base))), expect, "{words} over {base}");
        }
    }

    #[test]
    fn a_day_that_is_nowhere_then_is_found() {
        for (words, nowhere) in [
            ("now = 2026-05-02T10:00:00Z", false),
            ("now = 2026-05-02T10:00:00Z\nweekday = \"sat\"", false),
            // Sunday has begun in the east.
            ("now = 2026-05-02T10:00:00Z\nweekday = \"sun\"", false),
            ("now = 2026-05-02T10:00:00Z\nweekday = \"wed\"", true),
            ("now = 2026-05-02T09:00:00Z\nweekday = \"sun\"", true),
            ("now = 2026-05-02T10:00:00Z\nlocal = \"11:00\"\nweekday = \"sun\"", true),
            ("weekday = \"wed\"", false),
        ] {
            assert_eq!(time(words).is_nowhere(), nowhere, "{words}");
        }
    }

    /// A solver makes up the three by themselves.
    #[test]
    fn a_day_that_is_nowhere_is_put_somewhere() {
        let cases = super::super::Cases::none(UnixMillis(1_772_618_400_000));
        let asked = "who = \"visitor\"\ndoes = \"GET wiki/all\"\nsession.age = \"5m\"";
        let wednesday = cases.situated_for_nobody(asked).unwrap();
        assert!(wednesday.is_somewhere());
        assert_eq!(wednesday.somewhere().next().as_ref(), Some(&wednesday));
        let sunday = Situation { weekday: Weekday::Sun, ..wednesday };
        assert!(!sunday.is_somewhere());
        let put: Vec<Situation> = sunday.somewhere().collect();
        assert!(put.iter().all(Situation::is_somewhere));
        // Three days before, and everything is as old.
        let first = put.first().unwrap();
        assert_eq!((first.weekday, first.local_time), (Weekday::Sun, sunday.local_time));
        assert_eq!(first.now.0, sunday.now.0 - 3 * 86_400_000);
        let age = |s: &Situation| s.session.authenticated_at.map(|at| s.now.since(at));
        assert_eq!((age(first), age(first).is_some()), (age(&sunday), true));
        // Or then, on the day that it is.
        assert!(put.iter().any(|s| s.now == sunday.now && s.weekday == Weekday::Wed));
    }

    /// What a command line says wrong is named, with what it may be.
    #[test]
    fn a_wrong_word_is_named() {
        let cases = super::super::Cases::none(UnixMillis(1_772_618_400_000));
        let told = |words: &str| {
            let asked = format!("who = \"visitor\"\ndoes = \"GET wiki/all\"\n{words}\n");
            cases.situated_for_nobody(&asked)
        };
        for (words, name, may_be) in [
            ("session.mfa = \"maybe\"", "`session.mfa`: ", "`true` or `false`"),
            ("session.age = \"5x\"", "`session.age`: ", "`30m`"),
            ("risk = 1000", "`risk`: ", "0 to 100"),
            ("place.country = \"Xanadu\"", "`place.country`: ", "Xanadu"),
            ("time.weekday = \"Saturn\"", "`time.weekday`: ", "none of mon"),
            ("time.local = \"25:00\"", "`time.local`: ", "`19:59`"),
            ("session.mfaa = true", "`session.mfaa`: ", "expected one of `mfa`"),
            ("place.ip = \"1.2.3\"", "`place.ip`: ", "IP address"),
            (
                "time.now = 2026-05-02T10:00:00Z\ntime.weekday = \"wed\"",
                "`time.now` is not on that",
                "anywhere",
            ),
        ] {
            let wrong = told(&format!("granted = false\n{words}")).unwrap_err();
            assert!(wrong.starts_with(name) && wrong.contains(may_be), "{words}: {wrong}");
        }
        // Nothing is known but when it is: in Greenwich, and then, too.
        let situation = told("").unwrap();
        assert_eq!((situation.local_time.as_secs(), situation.weekday), (10 * 3600, Weekday::Wed));
        let situation = told("time.now = 2026-05-02T23:00:00Z").unwrap();
        assert_eq!((situation.local_time.as_secs(), situation.weekday), (23 * 3600, Weekday::Sat));
    }
}
