//! Reading many records: the same people ask for the same routes from the same places again and again.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use doorward_model::{
    Assurance, DevicePosture, LifecycleStage, Place, Principal, Risk, RouteFacts, UnixMillis, Weekday,
};
use quick_cache::DefaultHashBuilder;

use super::Unreadable;
use super::read::{self, Parts};
use crate::circumstances;
use crate::question::{Action, Question};
use crate::situation::Situation;

/// How much text of one sort of part is remembered, in bytes. What was read of it takes a few times as much.
const REMEMBERED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// From 1970 to nearly the end of the year 9999, in seconds.
pub(super) const IN_CALENDAR: RangeInclusive<i64> = 0..=253_402_200_000;

/// Reads records one after the other and remembers the parts of them that return, within bounds.
#[derive(Debug, Default)]
pub struct Reader {
    who: Remembered<(Arc<Principal>, LifecycleStage)>,
    routes: Remembered<Arc<RouteFacts>>,
    devices: Remembered<Arc<DevicePosture>>,
    places: Remembered<Arc<Place>>,
    risks: Remembered<Risk>,
}

/// A part of a record, and a number that another part gets only if it is the same. Parts that are the same
/// may have several numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known<T> {
    /// The number, unique among the parts of one sort of one [`Reader`].
    pub number: u64,
    /// What it says.
    pub value: T,
}

/// A record: a [`Situation`] whose parts are shared with those of other records.
#[derive(Clone, Debug)]
pub struct Recorded<'a> {
    /// Who asks, and what is known of the person who answers for a service account.
    pub who: Known<(Arc<Principal>, LifecycleStage)>,
    /// Whether the directory grants the app to whoever asks.
    pub granted: bool,
    /// What is to be done.
    pub action: Action,
    /// To what.
    pub route: Known<Arc<RouteFacts>>,
    /// What the sign-in proved.
    pub session: Assurance,
    /// The device.
    pub device: Known<Arc<DevicePosture>>,
    /// Where the request comes from.
    pub place: Known<Arc<Place>>,
    /// How odd it looks.
    pub risk: Known<Risk>,
    /// The time.
    pub now: UnixMillis,
    /// The time of day in the gateway's time zone, since midnight.
    pub local_time: Duration,
    /// The day of the week in the gateway's time zone.
    pub weekday: Weekday,
    /// The host that was asked for.
    pub host: Cow<'a, str>,
    /// The normalized path.
    pub path: Cow<'a, str>,
    /// The header `User-Agent`.
    pub user_agent: Option<String>,
}

#[derive(Debug)]
struct Remembered<T> {
    /// With a hash that is made for long texts.
    known: HashMap<Box<str>, Known<T>, DefaultHashBuilder>,
    bytes: usize,
    next: u64,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self { known: HashMap::default(), bytes: 0, next: 0 }
    }
}

impl<T: Clone> Remembered<T> {
    fn get(
        &mut self,
        text: &str,
        read: impl FnOnce(&str) -> Result<T, Unreadable>,
    ) -> Result<Known<T>, Unreadable> {
        if let Some(known) = self.known.get(text) {
            return Ok(known.clone());
        }
        let known = Known { number: self.next, value: read(text)? };
        // Numbers are never used twice, so that nobody who kept one takes it for another part.
        self.next += 1;
        if self.bytes.saturating_add(text.len()) > REMEMBERED_BYTES_MAX {
            self.known.clear();
            self.bytes = 0;
        }
        self.bytes += text.len();
        self.known.insert(text.into(), known.clone());
        Ok(known)
    }
}

impl Reader {
    /// Reads what [`write`](super::write) wrote.
    ///
    /// # Errors
    /// As [`read`](super::read).
    pub fn read<'a>(&mut self, text: &'a str) -> Result<Recorded<'a>, Unreadable> {
        let parts = Parts::of(text)?;
        let device = parts.device.map_or("{}", |text| text.get());
        let risk = parts.risk.map_or("{}", |text| text.get());
        let who = |text: &str| read::who(text).map(|(who, owner)| (Arc::new(who), owner));
        Ok(Recorded {
            who: self.who.get(parts.who.get(), who)?,
            granted: parts.granted,
            action: parts.action()?,
            route: self.routes.get(parts.route.get(), |text| read::route(text).map(Arc::new))?,
            session: parts.session(),
            device: self.devices.get(device, |text| read::device(text).map(Arc::new))?,
            place: self.places.get(parts.place.get(), |text| read::place(text).map(Arc::new))?,
            risk: self.risks.get(risk, read::risk)?,
            now: parts.now(),
            local_time: parts.local_time()?,
            weekday: parts.weekday()?,
            host: parts.host,
            path: parts.path,
            user_agent: parts.agent,
        })
    }
}

impl Recorded<'_> {
    /// What was asked.
    #[must_use]
    pub fn question(&self) -> Question<'_> {
        Question {
            principal: &self.who.value.0,
            owner_stage: self.who.value.1,
            granted: self.granted,
            action: self.action,
            route: &self.route.value,
            session: &self.session,
            device: &self.device.value,
            place: &self.place.value,
            risk: self.risk.value,
            now: self.now,
            local_time: self.local_time,
            weekday: self.weekday,
            host: &self.host,
            path: &self.path,
            user_agent: self.user_agent.as_deref(),
        }
    }

    /// Whether the time is one that Cedar can be told for certain. Of others only trying tells.
    #[must_use]
    pub fn is_in_calendar(&self) -> bool {
        IN_CALENDAR.contains(&self.now.seconds())
    }

    /// `context.session.age`, in seconds, of a person: a machine and a visitor have none.
    #[must_use]
    pub fn session_age_seconds(&self) -> u64 {
        circumstances::session_age_seconds(&self.session, self.now)
    }

    /// `context.session.mfaAge`, in seconds, of a person.
    #[must_use]
    pub fn mfa_age_seconds(&self) -> u64 {
        circumstances::mfa_age_seconds(&self.session, self.now)
    }

    /// `context.device.postureAge`, in minutes.
    #[must_use]
    pub fn posture_age_minutes(&self) -> u64 {
        circumstances::posture_age_minutes(&self.device.value, self.now)
    }

    /// The same, to keep.
    #[must_use]
    pub fn situation(&self) -> Situation {
        Situation::from(&self.question())
    }
}
