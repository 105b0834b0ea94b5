//! From a question to its record. On the way of every request, so everything is borrowed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::IpAddr;

use doorward_model::{
    Assurance, Compliance, CountryCode, DeviceAssurance, DevicePosture, LifecycleStage, Place, Presence,
    Principal, Risk, RouteFacts, UnixMillis, User,
};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::VERSION;
use crate::question::Question;

/// What most records take, in bytes.
const USUAL_BYTES: usize = 1024;

pub(super) fn text(q: &Question<'_>) -> String {
    let written = Written {
        v: VERSION,
        who: Who::of(q.principal, q.owner_stage),
        does: q.action.as_str(),
        granted: q.granted,
        route: Route::of(q.route),
        session: Session::of(q.session),
        device: Device::of(q.device),
        place: Where::of(q.place),
        risk: Some(Odd::of(q.risk)).filter(|_| q.risk != Risk::UNKNOWN),
        now: q.now.0,
        local: q.local_time.as_secs(),
        weekday: q.weekday.as_str(),
        host: q.host,
        path: q.path,
        agent: q.user_agent,
    };
    let mut out = Vec::with_capacity(USUAL_BYTES);
    // Nothing in it can fail: there are no maps but of texts, and the memory is ours.
    if serde_json::to_writer(&mut out, &written).is_err() {
        return String::new();
    }
    String::from_utf8(out).unwrap_or_default()
}

#[derive(serde::Serialize)]
struct Written<'a> {
    v: u64,
    who: Who<'a>,
    does: &'static str,
    #[serde(skip_serializing_if = "is_not")]
    granted: bool,
    route: Route<'a>,
    #[serde(skip_serializing_if = "Session::says_nothing")]
    session: Session,
    #[serde(skip_serializing_if = "Device::says_nothing")]
    device: Device<'a>,
    place: Where<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    risk: Option<Odd>,
    now: i64,
    local: u64,
    weekday: &'static str,
    host: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a str>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Who<'a> {
    User(Person<'a>),
    ServiceAccount {
        id: Shown<'a>,
        owner: Shown<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        owner_stage: Option<&'static str>,
        #[serde(skip_serializing_if = "BTreeSet::is_empty")]
        scopes: &'a BTreeSet<String>,
        stage: &'static str,
    },
    Agent {
        id: Shown<'a>,
        on_behalf_of: Person<'a>,
        #[serde(skip_serializing_if = "BTreeSet::is_empty")]
        scopes: &'a BTreeSet<String>,
    },
    Visitor,
}

#[derive(serde::Serialize)]
struct Person<'a> {
    id: Shown<'a>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    groups: &'a BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    roles: &'a BTreeSet<String>,
    stage: &'static str,
    employment: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    contract_end: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    home: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    department: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: &'a BTreeMap<String, String>,
}

#[derive(serde::Serialize)]
struct Route<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    groups: &'a [String],
    tier: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
    #[serde(skip_serializing_if = "is_not")]
    admin: bool,
    #[serde(skip_serializing_if = "is_not")]
    public: bool,
}

#[derive(PartialEq, serde::Serialize)]
struct Session {
    #[serde(skip_serializing_if = "is_not")]
    mfa: bool,
    #[serde(skip_serializing_if = "is_not")]
    phishing_resistant: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mfa_at: Option<i64>,
}

#[derive(serde::Serialize)]
struct Device<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "is_not")]
    managed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    compliant: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assurance: Option<&'static str>,
    #[serde(skip_serializing_if = "is_not")]
    owner_matches: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    asserted_at: Option<i64>,
}

#[derive(serde::Serialize)]
struct Where<'a> {
    ip: IpAddr,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    zones: &'a BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    continent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asn: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anonymizer: Option<bool>,
}

#[derive(serde::Serialize)]
struct Odd {
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<u8>,
    #[serde(skip_serializing_if = "Reasons::says_nothing")]
    reasons: Reasons,
}

/// The reasons of a risk with their points.
struct Reasons(Risk);

/// Something that is written as it is displayed.
struct Shown<'a>(&'a dyn Display);

// === impls ===

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes what it asks about by reference")]
const fn is_not(flag: &bool) -> bool {
    !*flag
}

fn millis(at: Option<UnixMillis>) -> Option<i64> {
    at.map(|at| at.0)
}

fn country(code: &CountryCode) -> Option<&str> {
    (*code != CountryCode::UNKNOWN).then(|| code.as_str())
}

impl<'a> Who<'a> {
    fn of(principal: &'a Principal, owner_stage: LifecycleStage) -> Self {
        match principal {
            Principal::User(user) => Self::User(Person::of(user)),
            Principal::ServiceAccount(account) => Self::ServiceAccount {
                id: Shown(&account.id),
                owner: Shown(&account.owner),
                owner_stage: (owner_stage != LifecycleStage::Unknown).then(|| owner_stage.as_str()),
                scopes: &account.scopes,
                stage: account.stage.as_str(),
            },
            Principal::Agent(agent) => Self::Agent {
                id: Shown(&agent.id),
                on_behalf_of: Person::of(&agent.on_behalf_of),
                scopes: &agent.scopes,
            },
            Principal::Visitor(_) => Self::Visitor,
        }
    }
}

impl<'a> Person<'a> {
    fn of(user: &'a User) -> Self {
        Self {
            id: Shown(&user.id),
            groups: &user.groups,
            roles: &user.roles,
            stage: user.stage.as_str(),
            employment: user.employment.as_str(),
            contract_end: millis(user.contract_end),
            home: country(&user.home_country),
            department: user.department.as_deref(),
            tags: &user.tags,
        }
    }
}

impl<'a> Route<'a> {
    fn of(route: &'a RouteFacts) -> Self {
        Self {
            id: route.id.as_str(),
            groups: &route.app_groups,
            tier: route.tier.as_str(),
            scope: &route.scope,
            admin: route.admin_surface,
            public: route.public,
        }
    }
}

impl Session {
    fn of(session: &Assurance) -> Self {
        Self {
            mfa: session.mfa,
            phishing_resistant: session.phishing_resistant,
            at: millis(session.authenticated_at),
            mfa_at: millis(session.mfa_at),
        }
    }

    fn says_nothing(&self) -> bool {
        *self == Self::of(&Assurance::default())
    }
}

impl<'a> Device<'a> {
    fn of(device: &'a DevicePosture) -> Self {
        Self {
            id: device.id.as_ref().map(|id| id.as_str()),
            managed: device.managed,
            compliant: match device.compliance {
                Compliance::Compliant => Some(true),
                Compliance::NotCompliant => Some(false),
                Compliance::Unknown => None,
            },
            platform: device.platform.as_deref(),
            assurance: (device.assurance != DeviceAssurance::None).then(|| device.assurance.as_str()),
            owner_matches: device.owner_matches,
            asserted_at: millis(device.asserted_at),
        }
    }

    const fn says_nothing(&self) -> bool {
        matches!(
            self,
            Self {
                id: None,
                managed: false,
                compliant: None,
                platform: None,
                assurance: None,
                owner_matches: false,
                asserted_at: None,
            }
        )
    }
}

impl<'a> Where<'a> {
    fn of(place: &'a Place) -> Self {
        Self {
            ip: place.ip,
            zones: &place.networks,
            country: country(&place.country),
            continent: place.continent.as_deref(),
            asn: place.asn,
            anonymizer: match place.anonymizer {
                Presence::Yes => Some(true),
                Presence::No => Some(false),
                Presence::Unknown => None,
            },
        }
    }
}

impl Odd {
    const fn of(risk: Risk) -> Self {
        Self { score: risk.score(), reasons: Reasons(risk) }
    }
}

impl Reasons {
    const fn says_nothing(&self) -> bool {
        self.0.reasons().is_empty()
    }
}

impl Serialize for Reasons {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        for (reason, points) in self.0.reasons().iter() {
            map.serialize_entry(reason.as_str(), &points)?;
        }
        map.end()
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self.0)
    }
}
