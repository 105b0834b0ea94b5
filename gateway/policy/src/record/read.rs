//! From a record to what was seen. A log may have been changed by anybody, so every word is checked.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use doorward_model::limits::AUDIT_SITUATION_BYTES_MAX;
use doorward_model::principal::{Agent, ServiceAccount, UserId, Visitor};
use doorward_model::{
    AppId, Assurance, Compliance, CountryCode, DeviceAssurance, DeviceId, DevicePosture, Employment,
    LifecycleStage, Place, Presence, Principal, Risk, RiskReason, RiskReasons, RouteFacts, RouteId, Tier,
    UnixMillis, User, Weekday,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Unreadable, VERSION};
use crate::question::Action;
use crate::situation::Situation;

/// A day, in seconds.
const DAY_SECONDS: u64 = 86_400;

/// A record taken apart; what repeats from record to record is still text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parts<'a> {
    v: u64,
    #[serde(borrow)]
    pub(super) who: &'a RawValue,
    #[serde(borrow)]
    does: Cow<'a, str>,
    #[serde(default)]
    pub(super) granted: bool,
    #[serde(borrow)]
    pub(super) route: &'a RawValue,
    #[serde(default)]
    session: Session,
    #[serde(borrow, default)]
    pub(super) device: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) place: &'a RawValue,
    #[serde(borrow, default)]
    pub(super) risk: Option<&'a RawValue>,
    now: i64,
    local: u64,
    #[serde(borrow)]
    weekday: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) host: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) path: Cow<'a, str>,
    pub(super) agent: Option<String>,
}

/// What every version has.
#[derive(Deserialize)]
struct Head {
    v: u64,
    too_large: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Who {
    User(Person),
    ServiceAccount {
        id: String,
        owner: String,
        #[serde(default)]
        owner_stage: Option<String>,
        #[serde(default)]
        scopes: BTreeSet<String>,
        stage: String,
    },
    Agent {
        id: String,
        on_behalf_of: Person,
        #[serde(default)]
        scopes: BTreeSet<String>,
    },
    Visitor,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    id: String,
    #[serde(default)]
    groups: BTreeSet<String>,
    #[serde(default)]
    roles: BTreeSet<String>,
    stage: String,
    employment: String,
    contract_end: Option<i64>,
    home: Option<String>,
    department: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    id: String,
    #[serde(default)]
    groups: Vec<String>,
    tier: String,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    admin: bool,
    #[serde(default)]
    public: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Session {
    mfa: bool,
    phishing_resistant: bool,
    at: Option<i64>,
    mfa_at: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Device {
    id: Option<String>,
    managed: bool,
    compliant: Option<bool>,
    platform: Option<String>,
    assurance: Option<String>,
    owner_matches: bool,
    asserted_at: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Where {
    ip: IpAddr,
    #[serde(default)]
    zones: BTreeSet<String>,
    country: Option<String>,
    continent: Option<String>,
    asn: Option<u32>,
    anonymizer: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Odd {
    score: Option<u8>,
    #[serde(default)]
    reasons: BTreeMap<String, u8>,
}

fn malformed(why: impl ToString) -> Unreadable {
    Unreadable::Malformed(why.to_string())
}

/// One of the words of a closed list.
fn word<T: Copy>(
    word: &str,
    what: &str,
    mut all: impl Iterator<Item = (T, &'static str)>,
) -> Result<T, Unreadable> {
    all.find(|(_, known)| *known == word).map(|(it, _)| it).ok_or_else(|| {
        let word: String = word.chars().take(40).collect();
        malformed(format_args!("`{word}` is no {what}"))
    })
}

fn stage(text: &str) -> Result<LifecycleStage, Unreadable> {
    word(text, "stage", LifecycleStage::ALL.into_iter().map(|it| (it, it.as_str())))
}

fn id(text: &str) -> Result<UserId, Unreadable> {
    text.parse().map_err(malformed)
}

fn country(code: Option<String>) -> Result<CountryCode, Unreadable> {
    code.map_or(Ok(CountryCode::UNKNOWN), |code| CountryCode::new(&code).map_err(malformed))
}

fn part<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Unreadable> {
    serde_json::from_str(text).map_err(malformed)
}

// === the parts ===

impl<'a> Parts<'a> {
    /// Takes a record apart, if it is one of the version that is read.
    pub(super) fn of(text: &'a str) -> Result<Self, Unreadable> {
        if text.len() > AUDIT_SITUATION_BYTES_MAX {
            return Err(malformed(format_args!("it has {} bytes", text.len())));
        }
        match serde_json::from_str::<Self>(text) {
            Ok(parts) if parts.v == VERSION => Ok(parts),
            Ok(parts) => Err(Unreadable::Version(parts.v)),
            // The other versions have other words; what they all say is which version they are.
            Err(e) => Err(match serde_json::from_str::<Head>(text) {
                Ok(Head { v: VERSION, too_large: Some(bytes) }) => Unreadable::TooLarge(bytes),
                Ok(Head { v: VERSION, too_large: None }) | Err(_) => malformed(e),
                Ok(Head { v, .. }) => Unreadable::Version(v),
            }),
        }
    }

    /// All of it.
    pub(super) fn situation(self) -> Result<Situation, Unreadable> {
        let (principal, owner_stage) = who(self.who.get())?;
        Ok(Situation {
            principal: Arc::new(principal),
            owner_stage,
            granted: self.granted,
            action: self.action()?,
            route: route(self.route.get())?,
            session: self.session(),
            device: self.device.map_or_else(|| Ok(DevicePosture::default()), |text| device(text.get()))?,
            place: place(self.place.get())?,
            risk: self.risk.map_or(Ok(Risk::UNKNOWN), |text| risk(text.get()))?,
            now: self.now(),
            local_time: self.local_time()?,
            weekday: self.weekday()?,
            host: self.host.into_owned(),
            path: self.path.into_owned(),
            user_agent: self.agent,
        })
    }

    pub(super) fn action(&self) -> Result<Action, Unreadable> {
        word(&self.does, "action", Action::ALL.into_iter().map(|it| (it, it.as_str())))
    }

    pub(super) fn session(&self) -> Assurance {
        Assurance {
            mfa: self.session.mfa,
            phishing_resistant: self.session.phishing_resistant,
            authenticated_at: self.session.at.map(UnixMillis),
            mfa_at: self.session.mfa_at.map(UnixMillis),
        }
    }

    pub(super) const fn now(&self) -> UnixMillis {
        UnixMillis(self.now)
    }

    pub(super) fn local_time(&self) -> Result<Duration, Unreadable> {
        if self.local < DAY_SECONDS {
            return Ok(Duration::from_secs(self.local));
        }
        Err(malformed(format_args!("`{}` is no time of day", self.local)))
    }

    pub(super) fn weekday(&self) -> Result<Weekday, Unreadable> {
        word(&self.weekday, "weekday", Weekday::ALL.into_iter().map(|it| (it, it.as_str())))
    }
}

pub(super) fn who(text: &str) -> Result<(Principal, LifecycleStage), Unreadable> {
    let mut of_owner = LifecycleStage::Unknown;
    let principal = match part::<Who>(text)? {
        Who::User(person) => Principal::User(user(person)?),
        Who::ServiceAccount { id: account, owner, owner_stage, scopes, stage: own } => {
            of_owner = owner_stage.map_or(Ok(LifecycleStage::Unknown), |word| stage(&word))?;
            let (account, owner, stage) = (id(&account)?, id(&owner)?, stage(&own)?);
            Principal::ServiceAccount(ServiceAccount { id: account, owner, scopes, stage })
        }
        Who::Agent { id: agent, on_behalf_of, scopes } => {
            Principal::Agent(Agent { id: id(&agent)?, on_behalf_of: user(on_behalf_of)?, scopes })
        }
        Who::Visitor => Principal::Visitor(Visitor),
    };
    Ok((principal, of_owner))
}

fn user(person: Person) -> Result<User, Unreadable> {
    let kinds = Employment::ALL.into_iter().map(|it| (it, it.as_str()));
    Ok(User {
        id: id(&person.id)?,
        name: None,
        email: None,
        groups: person.groups,
        roles: person.roles,
        stage: stage(&person.stage)?,
        employment: word(&person.employment, "kind of contract", kinds)?,
        contract_end: person.contract_end.map(UnixMillis),
        home_country: country(person.home)?,
        department: person.department,
        tags: person.tags,
    })
}

pub(super) fn route(text: &str) -> Result<RouteFacts, Unreadable> {
    let route: Route = part(text)?;
    let (app, name) = route.id.split_once('/').ok_or_else(|| malformed("a route is written `app/route`"))?;
    let app = AppId::new(app).map_err(malformed)?;
    Ok(RouteFacts {
        id: RouteId::new(app, name).map_err(malformed)?,
        app_groups: route.groups,
        tier: word(&route.tier, "tier", Tier::ALL.into_iter().map(|it| (it, it.as_str())))?,
        scope: route.scope,
        admin_surface: route.admin,
        public: route.public,
    })
}

pub(super) fn device(text: &str) -> Result<DevicePosture, Unreadable> {
    let device: Device = part(text)?;
    let kinds = DeviceAssurance::ALL.into_iter().map(|it| (it, it.as_str()));
    let assurance = device.assurance.map(|text| word(&text, "proof of a device", kinds)).transpose()?;
    Ok(DevicePosture {
        id: device.id.map(|id| DeviceId::new(&id).map_err(malformed)).transpose()?,
        managed: device.managed,
        compliance: match device.compliant {
            Some(true) => Compliance::Compliant,
            Some(false) => Compliance::NotCompliant,
            None => Compliance::Unknown,
        },
        platform: device.platform,
        assurance: assurance.unwrap_or_default(),
        owner_matches: device.owner_matches,
        asserted_at: device.asserted_at.map(UnixMillis),
    })
}

pub(super) fn place(text: &str) -> Result<Place, Unreadable> {
    let place: Where = part(text)?;
    Ok(Place {
        ip: place.ip,
        networks: place.zones,
        country: country(place.country)?,
        continent: place.continent,
        asn: place.asn,
        anonymizer: match place.anonymizer {
            Some(true) => Presence::Yes,
            Some(false) => Presence::No,
            None => Presence::Unknown,
        },
        location: None,
    })
}

pub(super) fn risk(text: &str) -> Result<Risk, Unreadable> {
    let odd: Odd = part(text)?;
    let mut reasons = RiskReasons::default();
    let mut only = None;
    for (code, points) in &odd.reasons {
        let reason = word(code, "reason of a risk", RiskReason::ALL.into_iter().map(|it| (it, it.as_str())))?;
        reasons.add(reason, *points);
        only = Some(reason);
    }
    match (odd.score, only) {
        (Some(score), _) => Ok(Risk::explained(score, reasons)),
        (None, None) => Ok(Risk::UNKNOWN),
        (None, Some(reason)) if odd.reasons.len() == 1 => Ok(Risk::unknown_for(reason)),
        (None, Some(_)) => Err(malformed("a risk that nobody computed has one reason at most")),
    }
}
