//! From what is written to what is asked.

use std::sync::Arc;

use doorward_model::principal::{Agent, ServiceAccount, User, UserId, Visitor};
use doorward_model::{
    AppId, Assurance, CountryCode, DevicePosture, Employment, IssuerId, LifecycleStage, Place, Presence,
    Principal, Risk, RouteFacts, RouteId, SubjectId, Tier, UnixMillis,
};

use super::{BASE, CaseFile, Cases, VISITOR, written};
use crate::question::Action;
use crate::situation::Situation;

/// The issuer of people whose `id` is not written.
const ISSUER: &str = "corp";

/// What is wrong with a case, and how to mend it.
pub(super) type Wrong = (String, String);

fn needed<T>(value: Option<T>, key: &str) -> Result<T, Wrong> {
    value.ok_or_else(|| (format!("`{key}` is not written"), format!("write it in the case or in `{BASE}`")))
}

fn nobody(name: &str) -> Wrong {
    let help =
        format!("define `[person.{name}]`, `[service_account.{name}]` or `[agent.{name}]` in `{BASE}`");
    (format!("nobody says who `{name}` is"), help)
}

pub(super) fn id(name: &str) -> Result<UserId, Wrong> {
    let made = IssuerId::new(ISSUER).and_then(|issuer| Ok(UserId::new(issuer, SubjectId::new(name)?)));
    made.map_err(|e| (e.to_string(), "choose another name".to_owned()))
}

impl Cases {
    /// The situation that a case is about.
    pub(super) fn situation(&self, file: &CaseFile, case: &written::Case) -> Result<Situation, Wrong> {
        let who = self.who(&case.who, case.person.as_ref())?;
        self.situation_of(file, case, who, self.does(&case.does)?)
    }

    /// The same, where it is known already who asks and for what.
    pub(super) fn situation_of(
        &self,
        file: &CaseFile,
        case: &written::Case,
        (principal, owner_stage): (Arc<Principal>, LifecycleStage),
        (action, route): (Action, RouteFacts),
    ) -> Result<Situation, Wrong> {
        let place = case.place.over(&file.base.place.over(&self.base.place));
        let session = case.session.over(&file.base.session.over(&self.base.session));
        let device = case.device.over(&file.base.device.over(&self.base.device));
        let time = case.time.after(&file.base.time.after(&self.base.time));
        let http = case.http.over(&file.base.http.over(&self.base.http));
        let now = needed(time.now, "time.now")?.0;
        let ago = |age: Option<written::Age>| age.and_then(|a| a.0).map(|d| now.minus(d));
        Ok(Situation {
            principal,
            owner_stage,
            granted: case.granted.or(file.base.granted).or(self.base.granted).unwrap_or(false),
            action,
            route,
            session: Assurance {
                mfa: session.mfa.unwrap_or(false),
                phishing_resistant: session.phishing_resistant.unwrap_or(false),
                authenticated_at: ago(session.age),
                mfa_at: ago(session.mfa_age),
            },
            device: DevicePosture {
                id: device.id.and_then(|id| id.0),
                managed: device.managed.unwrap_or(false),
                compliance: device.compliant.unwrap_or_default(),
                platform: device.platform.and_then(|platform| platform.0),
                assurance: device.assurance.unwrap_or_default(),
                owner_matches: device.owner_matches.unwrap_or(false),
                asserted_at: ago(device.posture_age),
            },
            place: Place {
                ip: needed(place.ip, "place.ip")?,
                networks: place.zones.unwrap_or_default(),
                country: place.country.unwrap_or(CountryCode::UNKNOWN),
                continent: place.continent.and_then(|continent| continent.0),
                asn: place.asn.and_then(|asn| asn.0),
                anonymizer: place.anonymizer.unwrap_or(Presence::Unknown),
                location: None,
            },
            risk: match case.risk.or(file.base.risk).or(self.base.risk) {
                Some(written::Score::Known(score)) => Risk::scored(score.0),
                Some(written::Score::Explained(why)) => Risk::explained(why.score.0, why.reasons.0),
                Some(written::Score::Unknown(written::Nobody::Unknown)) | None => Risk::UNKNOWN,
            },
            now,
            local_time: needed(time.local, "time.local")?.0,
            weekday: needed(time.weekday, "time.weekday")?,
            host: http.host.unwrap_or_else(|| "app.example".to_owned()),
            path: http.path.unwrap_or_else(|| "/".to_owned()),
            user_agent: http.user_agent.and_then(|agent| agent.0),
        })
    }

    /// Who stands behind a name; `other` is what differs in a person, or in the person behind an agent.
    pub(super) fn who(
        &self,
        name: &str,
        other: Option<&written::Person>,
    ) -> Result<(Arc<Principal>, LifecycleStage), Wrong> {
        let mut owner_stage = LifecycleStage::Unknown;
        let differs = |person| other.map_or_else(|| written::Person::clone(person), |d| d.over(person));
        if other.is_some() && !self.people.contains_key(name) && !self.agents.contains_key(name) {
            let help = "remove `person`, or define another program in `cases/base.toml`";
            return Err((format!("`{name}` is no person, so that nothing differs in one"), help.to_owned()));
        }
        let principal = if let Some(person) = self.people.get(name) {
            Principal::User(user(name, &differs(person))?)
        } else if let Some(account) = self.accounts.get(name) {
            owner_stage = account.owner_stage.unwrap_or(LifecycleStage::Unknown);
            Principal::ServiceAccount(ServiceAccount {
                id: account.id.clone().map_or_else(|| id(name), Ok)?,
                owner: self.person(&account.owner)?.id,
                scopes: account.scopes.clone(),
                stage: account.stage.unwrap_or(LifecycleStage::Active),
            })
        } else if let Some(agent) = self.agents.get(name) {
            let person = self.people.get(&agent.on_behalf_of).ok_or_else(|| nobody(&agent.on_behalf_of))?;
            let on_behalf_of = user(&agent.on_behalf_of, &differs(person))?;
            let id = agent.id.clone().map_or_else(|| id(name), Ok)?;
            Principal::Agent(Agent { id, on_behalf_of, scopes: agent.scopes.clone() })
        } else if name == VISITOR {
            Principal::Visitor(Visitor)
        } else {
            return Err(nobody(name));
        };
        Ok((Arc::new(principal), owner_stage))
    }

    fn person(&self, name: &str) -> Result<User, Wrong> {
        user(name, self.people.get(name).ok_or_else(|| nobody(name))?)
    }

    fn does(&self, does: &str) -> Result<(Action, RouteFacts), Wrong> {
        let (action, id) = done(does)?;
        let name = id.as_str();
        let written = self.routes.get(name).ok_or_else(|| {
            let help = format!("define `[route.\"{name}\"]` in `{BASE}`, as it is in the configuration");
            (format!("nobody says what the route `{name}` is"), help)
        })?;
        Ok((action, facts(id, written)))
    }
}

/// What is to be done, and to which route: `GET payroll/all`.
pub(super) fn done(does: &str) -> Result<(Action, RouteId), Wrong> {
    let wrong = || {
        let help = "write an action and a route, such as `GET payroll/all`; `UPGRADE` opens a WebSocket";
        (format!("`{does}` is not something that can be done"), help.to_owned())
    };
    let (word, name) = does.split_once(' ').ok_or_else(wrong)?;
    let action = Action::ALL.into_iter().find(|a| a.as_str() == word).ok_or_else(wrong)?;
    Ok((action, route_id(name).ok_or_else(wrong)?))
}

pub(super) fn route_id(name: &str) -> Option<RouteId> {
    let (app, route) = name.split_once('/')?;
    AppId::new(app).and_then(|app| RouteId::new(app, route)).ok()
}

pub(super) fn facts(id: RouteId, written: &written::Route) -> RouteFacts {
    RouteFacts {
        id,
        app_groups: written.groups.clone(),
        tier: written.tier.unwrap_or(Tier::Internal),
        scope: written.scope.clone(),
        admin_surface: written.admin_surface,
        public: written.public,
    }
}

/// A person, active unless written otherwise; everything else is unknown unless written.
pub(super) fn user(name: &str, person: &written::Person) -> Result<User, Wrong> {
    Ok(User {
        id: person.id.clone().map_or_else(|| id(name), Ok)?,
        name: None,
        email: None,
        groups: person.groups.clone().unwrap_or_default(),
        roles: person.roles.clone().unwrap_or_default(),
        stage: person.stage.unwrap_or(LifecycleStage::Active),
        employment: person.employment.unwrap_or(Employment::Unknown),
        contract_end: person.contract_end.as_ref().and_then(|end| end.0).map(|end| -> UnixMillis { end.0 }),
        home_country: person.home_country.unwrap_or(CountryCode::UNKNOWN),
        department: person.department.clone().and_then(|department| department.0),
        tags: person.tags.clone().unwrap_or_default(),
    })
}
