//! A file of cases as written (TOML).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use doorward_model::principal::UserId;
use doorward_model::{
    Compliance, CountryCode, DeviceAssurance, DeviceId, Employment, LifecycleStage, Presence, RiskReason,
    RiskReasons, Tier, UnixMillis, Weekday,
};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use toml::Spanned;

use crate::question::Decision;

/// One file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// People by the names that the cases use.
    #[serde(default)]
    pub(super) person: BTreeMap<String, Spanned<Person>>,
    #[serde(default)]
    pub(super) service_account: BTreeMap<String, Spanned<ServiceAccount>>,
    #[serde(default)]
    pub(super) agent: BTreeMap<String, Spanned<Agent>>,
    /// Routes by `app/route`.
    #[serde(default)]
    pub(super) route: BTreeMap<String, Spanned<Route>>,
    /// What holds in every case unless it says otherwise.
    #[serde(default)]
    pub(super) base: Situation,
    #[serde(default)]
    pub(super) case: Vec<Spanned<Case>>,
}

/// One case: who does what, what differs from the base, and what must come of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    /// A person, a service account, an agent, or `visitor`.
    pub(super) who: String,
    /// Method and route: `GET payroll/all`.
    pub(super) does: String,
    #[serde(deserialize_with = "decision")]
    pub(super) expect: Decision,
    /// The policies that must decide, all of them. `[]` is: nothing permits it.
    pub(super) by: Option<BTreeSet<String>>,
    /// Policies that only report (`@mode("report")`) decide in this case.
    #[serde(default)]
    pub(super) report: bool,
    /// What differs in the person, or in the person behind an agent.
    pub(super) person: Option<Person>,
    #[serde(default)]
    pub(super) place: Place,
    #[serde(default)]
    pub(super) session: Session,
    #[serde(default)]
    pub(super) device: Device,
    pub(super) risk: Option<Score>,
    #[serde(default)]
    pub(super) time: Time,
    #[serde(default)]
    pub(super) http: Http,
    /// The directory grants the app to whoever asks.
    pub(super) granted: Option<bool>,
}

/// The circumstances.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Situation {
    #[serde(default)]
    pub(super) place: Place,
    #[serde(default)]
    pub(super) session: Session,
    #[serde(default)]
    pub(super) device: Device,
    pub(super) risk: Option<Score>,
    #[serde(default)]
    pub(super) time: Time,
    #[serde(default)]
    pub(super) http: Http,
    pub(super) granted: Option<bool>,
}

/// A table of optional values, and how one is laid over another.
macro_rules! overlay {
    ($(#[$doc:meta])* $name:ident { $($(#[$attr:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[$attr])* #[serde(default)] pub(super) $field: Option<$type>,)*
        }

        impl $name {
            /// What this one says, and what `base` says where this one says nothing.
            pub(super) fn over(&self, base: &Self) -> Self {
                Self { $($field: self.$field.clone().or_else(|| base.$field.clone()),)* }
            }
        }
    };
}

overlay! {
    /// A person. What is not written is not known.
    Person {
        #[serde(deserialize_with = "user_id")]
        id: UserId,
        groups: BTreeSet<String>,
        roles: BTreeSet<String>,
        #[serde(deserialize_with = "stage")]
        stage: LifecycleStage,
        #[serde(deserialize_with = "employment")]
        employment: Employment,
        contract_end: Maybe<Moment>,
        #[serde(deserialize_with = "country")]
        home_country: CountryCode,
        department: Maybe<String>,
        tags: BTreeMap<String, String>,
    }
}

overlay! {
    /// Where the request comes from.
    Place {
        ip: IpAddr,
        zones: BTreeSet<String>,
        #[serde(deserialize_with = "country")]
        country: CountryCode,
        continent: Maybe<String>,
        asn: Maybe<u32>,
        #[serde(deserialize_with = "presence")]
        anonymizer: Presence,
    }
}

overlay! {
    /// What the sign-in proved.
    Session {
        mfa: bool,
        phishing_resistant: bool,
        age: Age,
        mfa_age: Age,
    }
}

overlay! {
    /// The device.
    Device {
        id: Maybe<DeviceId>,
        managed: bool,
        #[serde(deserialize_with = "compliance")]
        compliant: Compliance,
        platform: Maybe<String>,
        #[serde(deserialize_with = "device_assurance")]
        assurance: DeviceAssurance,
        owner_matches: bool,
        posture_age: Age,
    }
}

overlay! {
    /// When.
    Time {
        now: Moment,
        local: TimeOfDay,
        #[serde(deserialize_with = "weekday")]
        weekday: Weekday,
    }
}

overlay! {
    /// What the request says.
    Http {
        host: String,
        path: String,
        user_agent: Maybe<String>,
    }
}

/// A program with an account of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceAccount {
    #[serde(default, deserialize_with = "user_id")]
    pub(super) id: Option<UserId>,
    /// The name of a person in these files.
    pub(super) owner: String,
    #[serde(default)]
    pub(super) scopes: BTreeSet<String>,
    #[serde(default, deserialize_with = "stage")]
    pub(super) stage: Option<LifecycleStage>,
    /// What a directory says about the owner; unknown unless written.
    #[serde(default, deserialize_with = "stage")]
    pub(super) owner_stage: Option<LifecycleStage>,
}

/// A program that acts for a person.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Agent {
    #[serde(default, deserialize_with = "user_id")]
    pub(super) id: Option<UserId>,
    /// The name of a person in these files.
    pub(super) on_behalf_of: String,
    #[serde(default)]
    pub(super) scopes: BTreeSet<String>,
}

/// A route, as the configuration describes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    /// The sets of apps that the app belongs to.
    #[serde(default)]
    pub(super) groups: Vec<String>,
    #[serde(default, deserialize_with = "tier")]
    pub(super) tier: Option<Tier>,
    #[serde(default)]
    pub(super) scope: String,
    #[serde(default)]
    pub(super) admin_surface: bool,
    #[serde(default)]
    pub(super) public: bool,
}

/// What may be written as absent, so that a case can take away what the base says: `""`, or 0 for a
/// number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Maybe<T>(pub(super) Option<T>);

impl<'de> Deserialize<'de> for Maybe<String> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let written = String::deserialize(from)?;
        Ok(Self((!written.is_empty()).then_some(written)))
    }
}

impl<'de> Deserialize<'de> for Maybe<u32> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let written = u32::deserialize(from)?;
        Ok(Self((written != 0).then_some(written)))
    }
}

impl<'de> Deserialize<'de> for Maybe<DeviceId> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let written = String::deserialize(from)?;
        if written.is_empty() {
            return Ok(Self(None));
        }
        DeviceId::new(&written).map(|id| Self(Some(id))).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Maybe<Moment> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        /// A time, or the word for none.
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "write a time such as 2026-03-04T10:00:00Z, or \"\" where there is none"
        )]
        enum Written {
            At(toml::value::Datetime),
            Nothing(String),
        }
        match Written::deserialize(from)? {
            Written::At(at) => Moment::try_from(at).map(|at| Self(Some(at))).map_err(D::Error::custom),
            Written::Nothing(text) if text.is_empty() => Ok(Self(None)),
            Written::Nothing(text) => {
                Err(D::Error::custom(format!("`{text}` is not a time such as 2026-03-04T10:00:00Z")))
            }
        }
    }
}

/// A point in time with its offset: `2026-03-04T10:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::value::Datetime")]
pub(super) struct Moment(pub(super) UnixMillis);

impl TryFrom<toml::value::Datetime> for Moment {
    type Error = String;

    fn try_from(written: toml::value::Datetime) -> Result<Self, String> {
        let read = written.to_string().parse::<jiff::Timestamp>();
        let at = read.map_err(|_| format!("`{written}` is not a time such as 2026-03-04T10:00:00Z"))?;
        Ok(Self(UnixMillis(at.as_millisecond())))
    }
}

/// How long ago something was: `30m`, or `never`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Age(pub(super) Option<Duration>);

impl TryFrom<String> for Age {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        if matches!(written.as_str(), "never" | "unknown") {
            return Ok(Self(None));
        }
        let seconds = written.char_indices().last().and_then(|(at, unit)| {
            let unit = match unit {
                's' => 1,
                'm' => 60,
                'h' => 3600,
                'd' => 86_400,
                _ => return None,
            };
            written.get(..at)?.parse::<u64>().ok()?.checked_mul(unit)
        });
        let seconds = seconds.filter(|s| *s <= 366 * 86_400);
        let wrong = || format!("`{written}` is not an age such as `45s`, `30m`, `12h`, `7d` or `never`");
        seconds.map(|s| Self(Some(Duration::from_secs(s)))).ok_or_else(wrong)
    }
}

/// A time of day: `19:59` or `19:59:59`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct TimeOfDay(pub(super) Duration);

impl TryFrom<String> for TimeOfDay {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let mut parts = written.split(':').map(|p| p.parse::<u64>().ok());
        let (hour, minute, second) = (parts.next().flatten(), parts.next().flatten(), parts.next());
        let read = match (hour, minute, second.unwrap_or(Some(0)), parts.next()) {
            (Some(h @ 0..=23), Some(m @ 0..=59), Some(s @ 0..=59), None) => Some(h * 3600 + m * 60 + s),
            _ => None,
        };
        let wrong = || format!("`{written}` is not a time of day such as `19:59`");
        read.map(|s| Self(Duration::from_secs(s))).ok_or_else(wrong)
    }
}

/// A risk: 0 to 100, that and why, or `unknown`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(
    untagged,
    expecting = "write a number from 0 to 100, `{ score = 40, reasons = [\"new_country\"] }`, or \"unknown\""
)]
pub(super) enum Score {
    Known(Percent),
    Explained(Explained),
    Unknown(Nobody),
}

/// A score, and why.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Explained {
    pub(super) score: Percent,
    pub(super) reasons: Reasons,
}

/// Reasons by their codes.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub(super) struct Reasons(pub(super) RiskReasons);

impl TryFrom<Vec<String>> for Reasons {
    type Error = String;

    fn try_from(written: Vec<String>) -> Result<Self, String> {
        let mut reasons = RiskReasons::default();
        for code in written {
            let known = RiskReason::ALL.into_iter().find(|reason| reason.as_str() == code);
            reasons.note(known.ok_or_else(|| format!("`{code}` is no reason of a risk"))?);
        }
        Ok(Self(reasons))
    }
}

/// 0 to 100.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u8")]
pub(super) struct Percent(pub(super) u8);

impl TryFrom<u8> for Percent {
    type Error = String;

    fn try_from(written: u8) -> Result<Self, String> {
        if written > 100 { Err(format!("`{written}` is more than 100")) } else { Ok(Self(written)) }
    }
}

/// The word `unknown`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Nobody {
    Unknown,
}

/// Reads a word of a closed list; what is not in the list is told together with the list.
fn word<'de, D: Deserializer<'de>, T: Copy>(from: D, list: &[(&str, T)]) -> Result<T, D::Error> {
    let written = String::deserialize(from)?;
    let found = list.iter().find(|(word, _)| *word == written).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let words: Vec<_> = list.iter().map(|(word, _)| *word).collect();
        D::Error::custom(format!("`{written}` is none of {}", words.join(", ")))
    })
}

fn decision<'de, D: Deserializer<'de>>(from: D) -> Result<Decision, D::Error> {
    word(from, &[("allow", Decision::Allow), ("deny", Decision::Deny)])
}

fn stage<'de, D: Deserializer<'de>>(from: D) -> Result<Option<LifecycleStage>, D::Error> {
    word(from, &LifecycleStage::ALL.map(|s| (s.as_str(), s))).map(Some)
}

fn employment<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Employment>, D::Error> {
    word(from, &Employment::ALL.map(|e| (e.as_str(), e))).map(Some)
}

fn tier<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Tier>, D::Error> {
    word(from, &Tier::ALL.map(|t| (t.as_str(), t))).map(Some)
}

fn weekday<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Weekday>, D::Error> {
    word(from, &Weekday::ALL.map(|d| (d.as_str(), d))).map(Some)
}

fn presence<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Presence>, D::Error> {
    word(from, &[("yes", Presence::Yes), ("no", Presence::No), ("unknown", Presence::Unknown)]).map(Some)
}

fn compliance<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Compliance>, D::Error> {
    let list =
        [("yes", Compliance::Compliant), ("no", Compliance::NotCompliant), ("unknown", Compliance::Unknown)];
    word(from, &list).map(Some)
}

fn device_assurance<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DeviceAssurance>, D::Error> {
    word(from, &DeviceAssurance::ALL.map(|a| (a.as_str(), a))).map(Some)
}

fn user_id<'de, D: Deserializer<'de>>(from: D) -> Result<Option<UserId>, D::Error> {
    String::deserialize(from)?.parse().map(Some).map_err(D::Error::custom)
}

fn country<'de, D: Deserializer<'de>>(from: D) -> Result<Option<CountryCode>, D::Error> {
    CountryCode::new(&String::deserialize(from)?).map(Some).map_err(D::Error::custom)
}
