//! What time it is for policies: Cedar knows instants, but neither time zones nor weekdays.

use std::time::Duration;

use doorward_model::{UnixMillis, Weekday};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The configured time zone.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
}

/// An instant, and what the clock on the wall shows then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The instant.
    pub now: UnixMillis,
    /// What the clock on the wall shows, as the time since 00:00. On the two days of the year when
    /// clocks are changed that is not the time that has passed since midnight: "from 07:00" means
    /// what the clock shows.
    pub local_time: Duration,
    /// The day of the week there.
    pub weekday: Weekday,
}

/// A time zone that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no time zone `{name}`")]
pub struct UnknownZone {
    /// What was asked for.
    pub name: String,
    /// A zone with a similar name, if there is one.
    pub similar: Option<String>,
}

// === impl Calendar ===

impl Calendar {
    /// Universal time.
    #[must_use]
    pub const fn utc() -> Self {
        Self { zone: TimeZone::UTC }
    }

    /// By the name in the IANA time zone database, such as `Europe/Berlin`, in any case.
    ///
    /// # Errors
    /// When there is no such zone.
    pub fn new(name: &str) -> Result<Self, UnknownZone> {
        match TimeZone::get(name) {
            Ok(zone) => Ok(Self { zone }),
            Err(_) => Err(UnknownZone { name: name.chars().take(80).collect(), similar: similar_zone(name) }),
        }
    }

    /// The name of the zone.
    #[must_use]
    pub fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// What the wall shows at `now`.
    #[must_use]
    pub fn moment(&self, now: UnixMillis) -> Moment {
        // Years beyond 9999 are clamped: no clock that works says so.
        let end = if now.0 < 0 { Timestamp::MIN } else { Timestamp::MAX };
        let instant = Timestamp::from_millisecond(now.0).unwrap_or(end);
        let wall = self.zone.to_datetime(instant);
        let seconds =
            i64::from(wall.hour()) * 3600 + i64::from(wall.minute()) * 60 + i64::from(wall.second());
        let local_time = Duration::new(
            u64::try_from(seconds).unwrap_or(0),
            u32::try_from(wall.subsec_nanosecond()).unwrap_or(0),
        );
        Moment { now, local_time, weekday: weekday(wall.weekday()) }
    }
}

/// The existing name that is most like the wrong one, if it is alike at all.
fn similar_zone(wrong: &str) -> Option<String> {
    // Names have at most a few dozen bytes; do not compare with a novel.
    let wrong = wrong.get(..wrong.len().min(64))?.to_ascii_lowercase().replace(' ', "_");
    let city_of = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let wrong_city = city_of(&wrong);
    // `Berlin` alone, or the right city on the wrong continent, are common ways to get it wrong.
    let likeness = |name: &str| {
        let name = name.to_ascii_lowercase();
        strsim::jaro_winkler(&name, &wrong).max(strsim::jaro_winkler(&city_of(&name), &wrong_city))
    };
    let mut best: Option<(f64, String)> = None;
    for name in jiff::tz::db().available() {
        let score = likeness(name.as_str());
        if best.as_ref().is_none_or(|(top, _)| score > *top) {
            best = Some((score, name.as_str().to_owned()));
        }
    }
    best.filter(|(score, _)| *score > 0.85).map(|(_, name)| name)
}

const fn weekday(day: jiff::civil::Weekday) -> Weekday {
    use jiff::civil::Weekday as Day;
    match day {
        Day::Monday => Weekday::Mon,
        Day::Tuesday => Weekday::Tue,
        Day::Wednesday => Weekday::Wed,
        Day::Thursday => Weekday::Thu,
        Day::Friday => Weekday::Fri,
        Day::Saturday => Weekday::Sat,
        Day::Sunday => Weekday::Sun,
    }
}

#[cfg(test)]
mod tests;
