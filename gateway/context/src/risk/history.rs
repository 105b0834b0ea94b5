//! What is remembered of one person, and what it says of the next request.

use doorward_model::{CountryCode, Location, Place, RiskLevel, RiskReason, RiskReasons, UnixMillis};

use super::sighting::{Device, Mark, Salt, Seconds, Sighting, is_elsewhere, kilometers, seconds};
use super::terms::Terms;
use super::{Assessment, Happening};

/// For how long a country, a network and a device stay known without being seen, and a signal counts.
const KNOWN_SECONDS: Seconds = 30 * 24 * 3600;
/// For how long a failure counts.
const FAILURE_SECONDS: Seconds = 15 * 60;
/// So many failures count, and fewer do not.
const FAILURES: usize = 5;
/// Between two moments lies at least this.
const APART_SECONDS_MIN: Seconds = 60;
/// How long before it is first seen a sign-in may have been made that is proof for where it is seen.
const ARRIVAL_SECONDS: Seconds = 60;
/// What is known is said to be so again no more often than this.
const REFRESH_SECONDS: Seconds = 60;

pub(crate) const COUNTRIES_MAX: usize = 32;
pub(crate) const NETWORKS_MAX: usize = 64;
pub(crate) const DEVICES_MAX: usize = 32;
pub(crate) const FAILURES_MAX: usize = 16;
pub(crate) const SIGN_INS_MAX: usize = 16;
pub(crate) const SPOTS_MAX: usize = 64;

/// What is remembered of one person. Bounded: encoded it has at most [`BYTES_MAX`](super::BYTES_MAX) bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// What all marks here are made with.
    pub(crate) salt: Salt,
    /// What was known before could not be read.
    pub(crate) damaged: bool,
    /// Sign-ins that were learned from.
    pub(crate) successes: u16,
    /// Where they were last, at a place that is theirs.
    pub(crate) last: Option<Last>,
    pub(crate) countries: Known<CountryCode>,
    pub(crate) networks: Known<u32>,
    pub(crate) devices: Known<Device>,
    pub(crate) failures: Vec<Seconds>,
    /// What a source of signals said last: medium or high.
    pub(crate) told: Option<(RiskLevel, Seconds)>,
    /// What was said is over, since then: an older word does not bring it back.
    pub(crate) told_low_at: Seconds,
    pub(crate) sign_ins: Vec<SignIn>,
    pub(crate) spots: Vec<Spot>,
}

/// What a happening did to a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Nothing, or only what need not be kept.
    Nothing,
    /// Something that was known was seen again.
    Refreshed,
    /// Something else is known than before.
    Learned,
}

/// Where somebody was, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) at: Seconds,
    pub(crate) country: CountryCode,
    pub(crate) location: Option<Location>,
}

/// Things with when they were seen last, the one that was seen last at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known<T>(pub(crate) Vec<(T, Seconds)>);

/// A sign-in, and where it was first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SignIn {
    pub(crate) mark: Mark,
    pub(crate) asn: Option<u32>,
    pub(crate) country: CountryCode,
    pub(crate) agent: Mark,
    /// It is one of the successes.
    pub(crate) counted: bool,
}

/// A sign-in at a place by a device: what was odd there when it was first seen, and what was proved since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) mark: Mark,
    pub(crate) at: Seconds,
    /// The reasons, a bit for each.
    pub(crate) odd: u32,
    /// The sign-in was first seen here.
    pub(crate) first: bool,
    /// A second factor was proved since.
    pub(crate) confirmed: bool,
    /// One that cannot be phished was proved, and when last.
    pub(crate) proved_at: Option<Seconds>,
    /// It was learned from.
    pub(crate) learned: bool,
    /// What was odd is settled: it was no more than medium, and a second factor was proved for it.
    pub(crate) settled: bool,
}

// === impl History ===

impl History {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(salt: Salt) -> Self {
        Self { salt, ..Self::default() }
    }

    /// Nothing is known, because what was could not be read. That is not as if somebody were new: everything of
    /// theirs is.
    #[must_use]
    pub fn damaged(salt: Salt) -> Self {
        Self { damaged: true, ..Self::new(salt) }
    }

    /// Whether nothing is known yet.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        *self == Self::new(self.salt)
    }

    /// How odd something looks; nothing is learned from it.
    #[must_use]
    pub fn assess(&self, sighting: &Sighting<'_>, terms: &Terms) -> Assessment {
        self.clone().see(sighting, terms).0
    }

    /// The history after something happened, and how odd it looked if somebody was seen.
    #[must_use]
    pub fn after(mut self, happening: &Happening<'_>, terms: &Terms) -> (Self, Option<Assessment>) {
        let assessment = match happening {
            Happening::Seen(sighting) => Some(self.see(sighting, terms).0),
            Happening::Failed { at } => {
                self.failed(*at);
                None
            }
            Happening::Told { at, level } => {
                self.told(*at, *level);
                None
            }
        };
        (self, assessment)
    }

    /// Sees somebody: how odd it looks, and what was learned.
    pub fn see(&mut self, sighting: &Sighting<'_>, terms: &Terms) -> (Assessment, Change) {
        let (mut spot, mut change) = self.spot(sighting, terms);
        let since = if spot.first { spot.at.saturating_sub(ARRIVAL_SECONDS) } else { spot.at };
        if let Some(at) = sighting.proved_at().filter(|at| *at >= since) {
            let strong = sighting.assurance.phishing_resistant;
            if !spot.confirmed || (strong && spot.proved_at < Some(at)) {
                change = Change::Learned;
            }
            spot.confirmed = true;
            spot.proved_at = if strong { spot.proved_at.max(Some(at)) } else { spot.proved_at };
        }
        let assessment = self.score(&spot, sighting, terms);
        let unproved = self.score(&Spot { proved_at: None, ..spot }, sighting, terms);
        let learns = match assessment.level() {
            RiskLevel::Low => true,
            RiskLevel::Medium => spot.confirmed,
            RiskLevel::High | RiskLevel::Unknown => false,
        };
        if learns && !spot.learned {
            spot.learned = true;
            self.count(sighting);
            change = Change::Learned;
        }
        if spot.learned && self.refresh(sighting, terms) {
            change = change.max(Change::Refreshed);
        }
        spot.settled |= spot.confirmed && unproved.level() < RiskLevel::High;
        if let Some(held) = self.spots.last_mut() {
            *held = spot;
        }
        (assessment, change)
    }

    /// Whether somebody was seen there before by that sign-in and device.
    #[must_use]
    pub fn knows(&self, sighting: &Sighting<'_>, terms: &Terms) -> bool {
        let mark = sighting.mark(&self.salt, terms);
        self.spots.iter().any(|spot| spot.mark == mark)
    }

    /// Something that they tried failed.
    pub fn failed(&mut self, at: UnixMillis) {
        if self.failures.len() >= FAILURES_MAX {
            self.failures.remove(0);
        }
        self.failures.push(seconds(at));
    }

    /// A source of signals said how risky they look. An older word than the last one counts for nothing.
    pub fn told(&mut self, at: UnixMillis, level: RiskLevel) {
        let at = seconds(at);
        let before = self.told.map_or(self.told_low_at, |(_, before)| before);
        if at < before {
            return;
        }
        match level {
            RiskLevel::Medium | RiskLevel::High => self.told = Some((level, at)),
            RiskLevel::Low => (self.told, self.told_low_at) = (None, at),
            RiskLevel::Unknown => {}
        }
    }

    /// The spot of a sighting, which is the last one from here on, and whether it is new.
    fn spot(&mut self, sighting: &Sighting<'_>, terms: &Terms) -> (Spot, Change) {
        let mark = sighting.mark(&self.salt, terms);
        if let Some(i) = self.spots.iter().position(|spot| spot.mark == mark) {
            if let Some(used) = self.spots.get_mut(i..) {
                used.rotate_left(1);
            }
            if let Some(spot) = self.spots.last() {
                return (*spot, Change::Nothing);
            }
        }
        let spot = self.examine(mark, sighting, terms);
        if self.spots.len() >= SPOTS_MAX {
            self.spots.remove(0);
        }
        self.spots.push(spot);
        (spot, Change::Learned)
    }

    /// What is odd about a sign-in that is first seen at a place by a device.
    fn examine(&mut self, mark: Mark, sighting: &Sighting<'_>, terms: &Terms) -> Spot {
        let (place, at) = (sighting.place, sighting.seconds());
        let mut odd = 0;
        let mut hold = |reason: RiskReason, holds: bool| odd |= u32::from(holds) << (reason as u8);
        let first = self.begin(sighting);
        let is_second = first.is_some_and(|origin| {
            let elsewhere = is_elsewhere((origin.asn, origin.country), (place.asn, place.country));
            elsewhere && origin.agent != sighting.agent_mark(&self.salt) && !terms.is_known(place)
        });
        hold(RiskReason::SecondPlace, is_second);
        let known = terms.is_known(place);
        hold(RiskReason::KnownNetwork, known);
        hold(RiskReason::CountryUnknown, !known && place.country == CountryCode::UNKNOWN);
        let travel = if known { Travel::Possible } else { self.travel(place, at, terms) };
        hold(RiskReason::ImpossibleTravel, travel == Travel::Impossible);
        hold(RiskReason::TravelUnknown, travel == Travel::Unknown);
        let learning = self.successes < terms.successes_min && !self.damaged;
        hold(RiskReason::Learning, learning);
        if !learning {
            let country =
                place.country != CountryCode::UNKNOWN && !self.countries.has(|c| *c == place.country, at);
            hold(RiskReason::NewCountry, !known && country);
            let network = place.asn.is_some_and(|asn| !self.networks.has(|n| *n == asn, at));
            hold(RiskReason::NewNetwork, !known && network);
            let device = sighting.device(&self.salt);
            let unnamed = !device.named && self.devices.has(|d| d.named, at);
            let new = !self.devices.has(|d| *d == device, at);
            hold(RiskReason::NewDevice, new && !unnamed);
            hold(RiskReason::DeviceNotNamed, new && unnamed);
        }
        let first = first.is_none();
        Spot { mark, at, odd, first, confirmed: false, proved_at: None, learned: false, settled: false }
    }

    /// Where a sign-in was first seen; none if that is here and now, which is then remembered.
    fn begin(&mut self, sighting: &Sighting<'_>) -> Option<SignIn> {
        let mark = sighting.session_mark(&self.salt);
        if let Some(known) = self.sign_ins.iter().find(|known| known.mark == mark) {
            return Some(*known);
        }
        if self.sign_ins.len() >= SIGN_INS_MAX {
            self.sign_ins.remove(0);
        }
        let (asn, country) = (sighting.place.asn, sighting.place.country);
        self.sign_ins.push(SignIn {
            mark,
            asn,
            country,
            agent: sighting.agent_mark(&self.salt),
            counted: false,
        });
        None
    }

    fn travel(&self, place: &Place, at: Seconds, terms: &Terms) -> Travel {
        let Some(last) = self.last.filter(|_| place.country != CountryCode::UNKNOWN) else {
            return Travel::Possible;
        };
        let Some((from, to)) = last.location.zip(place.location) else {
            return if last.country == place.country { Travel::Possible } else { Travel::Unknown };
        };
        let way = kilometers(from, to);
        let took = at.saturating_sub(last.at).max(APART_SECONDS_MIN);
        let too_fast = u64::from(way) * 3600 > u64::from(terms.speed_kmh_max) * u64::from(took);
        if way > terms.distance_km_min && too_fast { Travel::Impossible } else { Travel::Possible }
    }

    /// What a spot comes to now.
    fn score(&self, spot: &Spot, sighting: &Sighting<'_>, terms: &Terms) -> Assessment {
        let (mut reasons, now) = (RiskReasons::default(), sighting.seconds());
        // What was proved since halves what came before it.
        let (mut proved, mut open) = (0_u32, 0_u32);
        let mut add = |reason: RiskReason, at: Seconds| {
            let points = terms.weights.of(reason);
            if points > 0 {
                reasons.add(reason, points);
                let is_proved = spot.proved_at.is_some_and(|proved_at| at <= proved_at);
                *(if is_proved { &mut proved } else { &mut open }) += u32::from(points);
            }
        };
        // A sign-in may be proof of where it arrives.
        let here = if spot.proved_at.is_some() { 0 } else { spot.at };
        let held = |reason: &RiskReason| spot.odd & (1 << (*reason as u8)) != 0;
        for reason in ODD.into_iter().filter(|reason| held(reason) && !spot.settled) {
            add(reason, here);
        }
        if terms.is_anonymizer(sighting.place) {
            add(RiskReason::Anonymizer, here);
        }
        if terms.is_hosting(sighting.place) {
            add(RiskReason::Hosting, here);
        }
        if let Some(at) = self.failing(sighting, terms) {
            add(RiskReason::Failures, at);
        }
        match self.told.filter(|(_, at)| is_within(*at, now, KNOWN_SECONDS)) {
            Some((RiskLevel::High, at)) => add(RiskReason::ExternalHigh, at),
            Some((RiskLevel::Medium, at)) => add(RiskReason::ExternalMedium, at),
            Some((RiskLevel::Low | RiskLevel::Unknown, _)) | None => {}
        }
        if proved > 0 {
            reasons.note(RiskReason::Proved);
        }
        NOTES.into_iter().filter(held).for_each(|reason| reasons.note(reason));
        if self.damaged && self.successes < terms.successes_min {
            reasons.note(RiskReason::HistoryUnreadable);
        }
        let score = proved.min(100).div_ceil(2).saturating_add(open).min(100);
        Assessment { score: u8::try_from(score).unwrap_or(100), reasons }
    }

    /// When the last of too many failures was; none if there are too few. Those of strangers at an exit of the
    /// company's own say nothing of them.
    fn failing(&self, sighting: &Sighting<'_>, terms: &Terms) -> Option<Seconds> {
        let now = sighting.seconds();
        let recent = || self.failures.iter().copied().filter(|at| is_within(*at, now, FAILURE_SECONDS));
        if recent().count() >= FAILURES {
            return recent().max();
        }
        let here = if terms.is_known(sighting.place) { 0 } else { usize::from(sighting.failures_here) };
        (recent().count() + here >= FAILURES).then_some(now)
    }

    /// A sign-in is one of the successes, once.
    fn count(&mut self, sighting: &Sighting<'_>) {
        let mark = sighting.session_mark(&self.salt);
        match self.sign_ins.iter_mut().find(|known| known.mark == mark) {
            Some(known) if known.counted => return,
            Some(known) => known.counted = true,
            // It gave way to others meanwhile.
            None => return,
        }
        self.successes = self.successes.saturating_add(1);
    }

    /// Says again that a place and a device are theirs; whether that is new.
    fn refresh(&mut self, sighting: &Sighting<'_>, terms: &Terms) -> bool {
        let (place, now) = (sighting.place, sighting.seconds());
        let device = sighting.device(&self.salt);
        let mut refreshed = self.devices.see(device, now, DEVICES_MAX);
        if terms.is_known(place) {
            return refreshed;
        }
        if let Some(asn) = place.asn {
            refreshed |= self.networks.see(asn, now, NETWORKS_MAX);
        }
        if place.country == CountryCode::UNKNOWN {
            return refreshed;
        }
        refreshed |= self.countries.see(place.country, now, COUNTRIES_MAX);
        let last = Last { at: now, country: place.country, location: place.location };
        let is_same = self.last.is_some_and(|held| {
            held.country == last.country
                && held.location == last.location
                && now.abs_diff(held.at) < REFRESH_SECONDS
        });
        if !is_same {
            self.last = Some(last);
        }
        refreshed || !is_same
    }

    /// What two processes know of one person, put together. Where there is too much, what `other` knows gives
    /// way first. Marks of another salt say nothing: then those stay of whoever has any, and ours before theirs.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        let later = |a: Option<Last>, b: Option<Last>| match (a, b) {
            (Some(a), Some(b)) if b.at > a.at => Some(b),
            (a, b) => a.or(b),
        };
        let mut failures = [self.failures.as_slice(), &other.failures].concat();
        failures.sort_unstable();
        failures.dedup();
        failures.drain(..failures.len().saturating_sub(FAILURES_MAX));
        let (mut ours, mut theirs, no_devices) = (self.marked(), other.marked(), Known::default());
        if self.salt != other.salt {
            let none = Marked { devices: &no_devices, sign_ins: &[], spots: &[], ..ours };
            (ours, theirs) = if self.spots.is_empty() { (theirs, none) } else { (ours, none) };
        }
        let told_low_at = self.told_low_at.max(other.told_low_at);
        let told = [self.told, other.told].into_iter().flatten().filter(|(_, at)| *at >= told_low_at);
        Self {
            salt: *ours.salt,
            damaged: self.is_damaged_with(other),
            successes: self.successes.max(other.successes),
            last: later(self.last, other.last),
            countries: self.countries.merged(&other.countries, COUNTRIES_MAX),
            networks: self.networks.merged(&other.networks, NETWORKS_MAX),
            devices: ours.devices.merged(theirs.devices, DEVICES_MAX),
            failures,
            told: told.max_by_key(|(level, at)| (*at, *level)),
            told_low_at,
            sign_ins: both(theirs.sign_ins, ours.sign_ins, SignIn::with, SIGN_INS_MAX),
            spots: both(theirs.spots, ours.spots, Spot::with, SPOTS_MAX),
        }
    }

    /// Whether what both know goes on from something damaged. Who learned from no sign-in cannot say that it does not:
    /// a failure or a signal may be noted before anything is read.
    const fn is_damaged_with(&self, other: &Self) -> bool {
        match (self.successes > 0, other.successes > 0) {
            (true, true) => self.damaged && other.damaged,
            (true, false) => self.damaged,
            (false, true) => other.damaged,
            (false, false) => self.damaged || other.damaged,
        }
    }

    fn marked(&self) -> Marked<'_> {
        Marked { salt: &self.salt, devices: &self.devices, sign_ins: &self.sign_ins, spots: &self.spots }
    }
}

/// What marks stand in.
#[derive(Clone, Copy)]
struct Marked<'a> {
    salt: &'a Salt,
    devices: &'a Known<Device>,
    sign_ins: &'a [SignIn],
    spots: &'a [Spot],
}

/// What can be odd about a place and a device.
const ODD: [RiskReason; 6] = [
    RiskReason::ImpossibleTravel,
    RiskReason::NewCountry,
    RiskReason::NewNetwork,
    RiskReason::NewDevice,
    RiskReason::DeviceNotNamed,
    RiskReason::SecondPlace,
];
/// What is said of them besides.
const NOTES: [RiskReason; 4] =
    [RiskReason::Learning, RiskReason::CountryUnknown, RiskReason::TravelUnknown, RiskReason::KnownNetwork];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Travel {
    Possible,
    Impossible,
    Unknown,
}

/// Whether a moment is no further from now than that, in either direction: clocks go back.
const fn is_within(at: Seconds, now: Seconds, seconds: Seconds) -> bool {
    now.abs_diff(at) <= seconds
}

/// Both lists, those of `newer` at the end; the first give way. Two that are the same are put together by
/// `with`, which says none of any others.
fn both<T: Copy>(older: &[T], newer: &[T], with: impl Fn(&T, &T) -> Option<T>, max: usize) -> Vec<T> {
    let only_older = older.iter().filter(|o| newer.iter().all(|n| with(n, o).is_none())).copied();
    let newer = newer.iter().map(|n| older.iter().find_map(|o| with(n, o)).unwrap_or(*n));
    let mut all: Vec<T> = only_older.chain(newer).collect();
    all.drain(..all.len().saturating_sub(max));
    all
}

// === impl SignIn ===

impl SignIn {
    fn with(&self, other: &Self) -> Option<Self> {
        (self.mark == other.mark).then_some(Self { counted: self.counted || other.counted, ..*self })
    }
}

// === impl Spot ===

impl Spot {
    /// What was odd is what was seen first; what was proved was proved.
    fn with(&self, other: &Self) -> Option<Self> {
        let first = if other.at < self.at { other } else { self };
        (self.mark == other.mark).then(|| Self {
            confirmed: self.confirmed || other.confirmed,
            proved_at: self.proved_at.max(other.proved_at),
            learned: self.learned || other.learned,
            settled: self.settled || other.settled,
            ..*first
        })
    }
}

// === impl Known ===

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy + PartialEq> Known<T> {
    /// Whether one was seen within 30 days.
    fn has(&self, is: impl Fn(&T) -> bool, now: Seconds) -> bool {
        self.0.iter().any(|(what, at)| is(what) && is_within(*at, now, KNOWN_SECONDS))
    }

    /// Sees one; whether that is worth keeping.
    fn see(&mut self, what: T, now: Seconds, max: usize) -> bool {
        match self.0.iter().position(|(held, _)| *held == what) {
            Some(i) if self.0.get(i).is_some_and(|(_, at)| now.abs_diff(*at) < REFRESH_SECONDS) => {
                return false;
            }
            Some(i) => drop(self.0.remove(i)),
            None if self.0.len() >= max => drop(self.0.remove(0)),
            None => {}
        }
        self.0.push((what, now));
        true
    }

    fn merged(&self, other: &Self, max: usize) -> Self {
        let later = |a: &(T, Seconds), b: &(T, Seconds)| (a.0 == b.0).then_some((a.0, a.1.max(b.1)));
        let mut all = both(&other.0, &self.0, later, usize::MAX);
        all.sort_by_key(|(_, at)| *at);
        all.drain(..all.len().saturating_sub(max));
        Self(all)
    }
}
