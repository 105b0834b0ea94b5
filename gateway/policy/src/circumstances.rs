//! What Cedar is told about a request that is neither who nor what: place, sign-in, device, risk
//! and time (the environment attributes of NIST SP 800-162).
//!
//! The parts of it that return from request to request are remembered as Cedar's expressions,
//! because making one of an address or of a duration costs more than everything else here. The
//! key of each is all that went into it; nothing that is decided is remembered. The time is
//! rounded to the second, ages up, so that a rule about an age never gives a second too much.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{Context, RestrictedExpression};
use doorward_model::limits::POLICY_CIRCUMSTANCES_MAX;
use doorward_model::{Assurance, Compliance, DevicePosture, Place, Presence, Risk, UnixMillis, Weekday};
use quick_cache::Equivalent;
use quick_cache::sync::Cache;

use crate::question::Question;
use crate::vocabulary::{Closed, Kind, Vocabulary, whole};

/// What stands for the age of what never was: longer than any rule allows.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The parts that are remembered.
#[derive(Debug)]
pub(crate) struct Circumstances {
    places: Cache<PlaceKey, Arc<PlaceParts>>,
    sessions: Cache<SessionKey, RestrictedExpression>,
    devices: Cache<DeviceKey, RestrictedExpression>,
    risks: Cache<Risk, RestrictedExpression>,
    times: Cache<TimeKey, RestrictedExpression>,
}

impl Circumstances {
    pub(crate) fn new() -> Self {
        Self {
            places: Cache::new(POLICY_CIRCUMSTANCES_MAX),
            sessions: Cache::new(POLICY_CIRCUMSTANCES_MAX),
            devices: Cache::new(POLICY_CIRCUMSTANCES_MAX),
            risks: Cache::new(POLICY_CIRCUMSTANCES_MAX),
            // The time goes on: the last few seconds are enough.
            times: Cache::new(8),
        }
    }

    /// The context of a request.
    pub(crate) fn context(&self, words: &Vocabulary, q: &Question<'_>) -> Result<Context, String> {
        let place = self.place(words, q.place)?;
        let pairs = [
            ("ip".to_owned(), place.ip.clone()),
            ("zones".to_owned(), place.zones.clone()),
            ("geo".to_owned(), place.geo.clone()),
            ("session".to_owned(), self.session(q)?),
            ("device".to_owned(), self.device(words, q.device, q.now)?),
            ("risk".to_owned(), self.risk(words, q.risk)?),
            ("time".to_owned(), self.time(words, q)?),
            ("http".to_owned(), http(q)?),
            ("granted".to_owned(), flag(q.granted)),
        ];
        Context::from_pairs(pairs).map_err(|e| whole(&e))
    }

    fn place(&self, words: &Vocabulary, place: &Place) -> Result<Arc<PlaceParts>, String> {
        if let Some(parts) = self.places.get(&PlaceRef(place)) {
            return Ok(parts);
        }
        let parts = Arc::new(PlaceParts::new(words, place)?);
        self.places.insert(PlaceKey(place.clone()), Arc::clone(&parts));
        Ok(parts)
    }

    fn session(&self, q: &Question<'_>) -> Result<RestrictedExpression, String> {
        let key = SessionKey::new(Kind::of(q.principal), q.session, q.now);
        if let Some(found) = self.sessions.get(&key) {
            return Ok(found);
        }
        let made = key.expression()?;
        self.sessions.insert(key, made.clone());
        Ok(made)
    }

    fn device(
        &self,
        words: &Vocabulary,
        device: &DevicePosture,
        now: UnixMillis,
    ) -> Result<RestrictedExpression, String> {
        let minutes = posture_age_minutes(device, now);
        if let Some(found) = self.devices.get(&DeviceRef(device, minutes)) {
            return Ok(found);
        }
        let made = device_expression(words, device, minutes)?;
        self.devices.insert(DeviceKey(device.clone(), minutes), made.clone());
        Ok(made)
    }

    fn risk(&self, words: &Vocabulary, risk: Risk) -> Result<RestrictedExpression, String> {
        if let Some(found) = self.risks.get(&risk) {
            return Ok(found);
        }
        let made = risk_expression(words, risk)?;
        self.risks.insert(risk, made.clone());
        Ok(made)
    }

    fn time(&self, words: &Vocabulary, q: &Question<'_>) -> Result<RestrictedExpression, String> {
        let key = TimeKey { now: q.now.seconds(), local: q.local_time.as_secs(), weekday: q.weekday };
        if let Some(found) = self.times.get(&key) {
            return Ok(found);
        }
        let made = record([
            ("now", datetime(q.now).ok_or("the time is in no year from 0 to 9999")?),
            ("localTime", duration(key.local)),
            ("weekday", words.word(Closed::Weekday, key.weekday.as_str())),
        ])?;
        self.times.insert(key, made.clone());
        Ok(made)
    }
}

fn age(at: Option<UnixMillis>, now: UnixMillis) -> Duration {
    at.map_or(NEVER, |at| now.since(at)).min(NEVER)
}

fn whole_seconds(age: Duration) -> u64 {
    age.as_secs() + u64::from(age.subsec_nanos() > 0)
}

/// `context.session.age` of a person.
pub(crate) fn session_age_seconds(session: &Assurance, now: UnixMillis) -> u64 {
    whole_seconds(age(session.authenticated_at, now))
}

/// `context.session.mfaAge` of a person.
pub(crate) fn mfa_age_seconds(session: &Assurance, now: UnixMillis) -> u64 {
    whole_seconds(age(session.mfa_at.filter(|_| session.mfa), now))
}

/// `context.device.postureAge`.
pub(crate) fn posture_age_minutes(device: &DevicePosture, now: UnixMillis) -> u64 {
    age(device.asserted_at, now).as_millis().div_ceil(60_000) as u64
}

/// A point in time to the second, if it lies in a year from 0 to 9999.
pub(crate) fn datetime(at: UnixMillis) -> Option<RestrictedExpression> {
    let text = jiff::Timestamp::from_second(at.seconds()).ok()?.to_string();
    text.starts_with(|c: char| c.is_ascii_digit()).then(|| RestrictedExpression::new_datetime(text))
}

fn duration(seconds: u64) -> RestrictedExpression {
    RestrictedExpression::new_duration(format!("{seconds}s"))
}

fn text(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

fn flag(flag: bool) -> RestrictedExpression {
    RestrictedExpression::new_bool(flag)
}

fn record<'a>(
    fields: impl IntoIterator<Item = (&'a str, RestrictedExpression)>,
) -> Result<RestrictedExpression, String> {
    let fields = fields.into_iter().map(|(k, v)| (k.to_owned(), v));
    RestrictedExpression::new_record(fields).map_err(|e| whole(&e))
}

/// A risk that nobody computed is the highest, and says that it is not known.
fn risk_expression(words: &Vocabulary, risk: Risk) -> Result<RestrictedExpression, String> {
    let score = risk.score();
    let reasons = risk.reasons().iter().map(|(reason, _)| text(reason.as_str()));
    record([
        ("score", RestrictedExpression::new_long(score.map_or(100, i64::from))),
        ("known", flag(score.is_some())),
        ("level", words.word(Closed::RiskLevel, risk.level().as_str())),
        ("reasons", RestrictedExpression::new_set(reasons)),
    ])
}

fn http(q: &Question<'_>) -> Result<RestrictedExpression, String> {
    let agent = q.user_agent.map(|a| ("userAgent", text(a)));
    record([("host", text(q.host)), ("path", text(q.path))].into_iter().chain(agent))
}

// === places ===

#[derive(Debug)]
struct PlaceParts {
    ip: RestrictedExpression,
    zones: RestrictedExpression,
    geo: RestrictedExpression,
}

impl PlaceParts {
    fn new(words: &Vocabulary, place: &Place) -> Result<Self, String> {
        let continent = place.continent.as_deref().map(|c| ("continent", text(c)));
        let asn = place.asn.map(|a| ("asn", RestrictedExpression::new_long(i64::from(a))));
        let geo = [
            ("country", words.country(place.country)),
            ("anonymizer", flag(place.anonymizer == Presence::Yes)),
            ("anonymizerKnown", flag(place.anonymizer != Presence::Unknown)),
        ];
        Ok(Self {
            ip: RestrictedExpression::new_ip(place.ip.to_string()),
            zones: RestrictedExpression::new_set(place.networks.iter().map(|n| text(n))),
            geo: record(geo.into_iter().chain(continent).chain(asn))?,
        })
    }
}

/// Found by the address, compared as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PlaceKey(Place);

#[derive(Debug)]
struct PlaceRef<'a>(&'a Place);

impl Hash for PlaceKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.ip.hash(state);
    }
}

impl Hash for PlaceRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.ip.hash(state);
    }
}

impl Equivalent<PlaceKey> for PlaceRef<'_> {
    fn equivalent(&self, key: &PlaceKey) -> bool {
        *self.0 == key.0
    }
}

// === sign-ins ===

/// What a policy sees of a sign-in, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct SessionKey {
    mfa: bool,
    phishing_resistant: bool,
    age: u64,
    mfa_age: u64,
    known: bool,
}

impl SessionKey {
    /// Only a person is present and proves something by a sign-in.
    fn new(kind: Kind, session: &Assurance, now: UnixMillis) -> Self {
        let session = match kind {
            Kind::User => *session,
            Kind::ServiceAccount | Kind::Agent | Kind::Visitor => Assurance::default(),
        };
        Self {
            mfa: session.mfa,
            phishing_resistant: session.phishing_resistant,
            age: session_age_seconds(&session, now),
            mfa_age: mfa_age_seconds(&session, now),
            known: session.authenticated_at.is_some(),
        }
    }

    fn expression(&self) -> Result<RestrictedExpression, String> {
        record([
            ("mfa", flag(self.mfa)),
            ("phishingResistant", flag(self.phishing_resistant)),
            ("age", duration(self.age)),
            ("mfaAge", duration(self.mfa_age)),
            ("known", flag(self.known)),
        ])
    }
}

// === devices ===

/// The age of what is said of it is told to the minute, up.
fn device_expression(
    words: &Vocabulary,
    device: &DevicePosture,
    age_minutes: u64,
) -> Result<RestrictedExpression, String> {
    let known = device.managed || device.compliance != Compliance::Unknown || device.id.is_some();
    let id = device.id.as_ref().map(|i| ("id", text(i.as_str())));
    let platform = device.platform.as_deref().map(|p| ("platform", text(p)));
    let fields = [
        ("managed", flag(device.managed)),
        ("compliant", flag(device.compliance == Compliance::Compliant)),
        ("known", flag(known)),
        ("assurance", words.word(Closed::DeviceAssurance, device.assurance.as_str())),
        ("ownerMatches", flag(device.owner_matches)),
        ("postureAge", duration(age_minutes * 60)),
    ];
    record(fields.into_iter().chain(id).chain(platform))
}

/// Found by the identifier, compared as a whole, with the age in minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DeviceKey(DevicePosture, u64);

#[derive(Debug)]
struct DeviceRef<'a>(&'a DevicePosture, u64);

impl Hash for DeviceKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.0.id, self.1).hash(state);
    }
}

impl Hash for DeviceRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.0.id, self.1).hash(state);
    }
}

impl Equivalent<DeviceKey> for DeviceRef<'_> {
    fn equivalent(&self, key: &DeviceKey) -> bool {
        self.1 == key.1 && *self.0 == key.0
    }
}

// === times ===

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct TimeKey {
    now: i64,
    local: u64,
    weekday: Weekday,
}
