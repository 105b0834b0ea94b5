//! From Cedar's words back to a situation: the other way of [`PolicyBundle::in_cedar`].
//!
//! A solver speaks Cedar, and makes names up. What it says is read as the gateway would have had to hear
//! it, so that it can be asked about, written down as a case and run.
//!
//! [`PolicyBundle::in_cedar`]: crate::PolicyBundle::in_cedar

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{Entities, EntityUid, EvalResult, Expression, Request, eval_expression};
use doorward_model::principal::{Agent, ServiceAccount, User, UserId, Visitor};
use doorward_model::{
    AppId, Assurance, Compliance, CountryCode, DeviceAssurance, DeviceId, DevicePosture, Employment,
    LifecycleStage, Place, Presence, Principal, Risk, RiskReason, RiskReasons, RouteFacts, RouteId, Tier,
    UnixMillis, Weekday,
};

use super::Situation;
use crate::question::Action;

/// What stands for the age of what never was.
const NEVER_MILLIS: i64 = 365 * 24 * 3600 * 1000;

/// What becomes of the part of a second, which the gateway never says and a solver may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounding {
    /// Ages grow, as the gateway itself rounds them.
    pub ages_up: bool,
    /// The end of a contract moves into the future.
    pub ends_up: bool,
    /// The time of day moves into the future.
    pub clock_up: bool,
}

impl Rounding {
    /// Every way, the gateway's own first.
    pub fn all() -> impl Iterator<Item = Self> {
        let both = |first: bool| [first, !first].into_iter();
        both(false).flat_map(move |clock_up| {
            both(true)
                .flat_map(move |ages_up| both(false).map(move |ends_up| Self { ages_up, ends_up, clock_up }))
        })
    }
}

impl Situation {
    /// The situation that the gateway would describe by this request and these entities, in the words of
    /// its schema. A name that nobody can have (a user without an issuer) is replaced by one that somebody
    /// can; whoever asks looks whether what mattered is still so.
    ///
    /// # Errors
    /// The gateway could never say this.
    pub fn read(request: &Request, entities: &Entities, rounding: Rounding) -> Result<Self, String> {
        Reader { request, entities, rounding }.situation()
    }
}

struct Reader<'a> {
    request: &'a Request,
    entities: &'a Entities,
    rounding: Rounding,
}

impl Reader<'_> {
    fn situation(&self) -> Result<Situation, String> {
        let now = UnixMillis(whole(self.moment("context.time.now")?, 1000, false));
        let (principal, owner_stage) = self.principal()?;
        let action = self.request.action().ok_or("nobody says what is to be done")?;
        let action = Action::ALL.into_iter().find(|a| a.as_str() == action.id().unescaped());
        Ok(Situation {
            principal: Arc::new(principal),
            owner_stage,
            granted: self.flag("context.granted")?,
            action: action.ok_or("this is nothing that can be done")?,
            route: self.route()?,
            session: self.session(now)?,
            device: self.device(now)?,
            place: self.place()?,
            risk: self.risk()?,
            now,
            local_time: self.time_of_day()?,
            weekday: self.word("context.time.weekday", &Weekday::ALL, Weekday::as_str)?,
            host: self.text("context.http.host")?,
            path: self.text("context.http.path")?,
            user_agent: self.optional("context.http", "userAgent")?,
        })
    }

    // === values ===

    fn value(&self, of: &str) -> Result<EvalResult, String> {
        let expression: Expression = of.parse().map_err(|e| format!("`{of}`: {e}"))?;
        eval_expression(self.request, self.entities, &expression).map_err(|e| format!("`{of}`: {e}"))
    }

    fn flag(&self, of: &str) -> Result<bool, String> {
        match self.value(of)? {
            EvalResult::Bool(flag) => Ok(flag),
            other => Err(format!("`{of}` is {other}")),
        }
    }

    fn long(&self, of: &str) -> Result<i64, String> {
        match self.value(of)? {
            EvalResult::Long(number) => Ok(number),
            other => Err(format!("`{of}` is {other}")),
        }
    }

    fn text(&self, of: &str) -> Result<String, String> {
        match self.value(of)? {
            EvalResult::String(text) => Ok(text),
            other => Err(format!("`{of}` is {other}")),
        }
    }

    fn texts(&self, of: &str) -> Result<BTreeSet<String>, String> {
        match self.value(of)? {
            EvalResult::Set(set) => set
                .iter()
                .map(|member| match member {
                    EvalResult::String(text) => Ok(text.clone()),
                    other => Err(format!("`{of}` holds {other}")),
                })
                .collect(),
            other => Err(format!("`{of}` is {other}")),
        }
    }

    fn name(&self, of: &str) -> Result<EntityUid, String> {
        match self.value(of)? {
            EvalResult::EntityUid(name) => Ok(name),
            other => Err(format!("`{of}` is {other}")),
        }
    }

    fn optional(&self, of: &str, field: &str) -> Result<Option<String>, String> {
        if self.flag(&format!("{of} has {field}"))? {
            self.text(&format!("{of}.{field}")).map(Some)
        } else {
            Ok(None)
        }
    }

    /// A word of a closed list.
    fn word<T: Copy>(&self, of: &str, list: &[T], word: impl Fn(T) -> &'static str) -> Result<T, String> {
        let name = self.name(of)?;
        let found = list.iter().copied().find(|one| word(*one) == name.id().unescaped());
        found.ok_or_else(|| format!("`{of}` is {name}"))
    }

    fn country(&self, of: &str) -> Result<CountryCode, String> {
        CountryCode::new(self.name(of)?.id().unescaped()).map_err(|e| e.to_string())
    }

    fn millis(&self, duration: &str) -> Result<i64, String> {
        self.long(&format!("{duration}.toMilliseconds()"))
    }

    fn moment(&self, of: &str) -> Result<i64, String> {
        self.millis(&format!("{of}.durationSince(datetime(\"1970-01-01\"))"))
    }

    /// When something was that is so old, in whole units of so many milliseconds; none for what never was.
    fn ago(&self, age: &str, now: UnixMillis, unit: i64) -> Result<Option<UnixMillis>, String> {
        let age_millis = self.millis(age)?;
        if age_millis < 0 {
            return Err(format!("`{age}` lies in the future"));
        }
        let rounded = whole(age_millis, unit, self.rounding.ages_up);
        Ok((age_millis < NEVER_MILLIS).then(|| UnixMillis(now.0.saturating_sub(rounded))))
    }

    fn time_of_day(&self) -> Result<Duration, String> {
        let millis = self.millis("context.time.localTime")?;
        // There is no second after the last one of a day.
        let millis = whole(millis, 1000, self.rounding.clock_up).min(24 * 3_600_000 - 1000);
        u64::try_from(millis)
            .map(Duration::from_millis)
            .map_err(|_| "the time of day is before midnight".to_owned())
    }

    // === who ===

    fn principal(&self) -> Result<(Principal, LifecycleStage), String> {
        let name = self.request.principal().ok_or("nobody says who asks")?;
        let id = name.id().unescaped();
        let mut owner_stage = LifecycleStage::Unknown;
        let principal = match name.type_name().basename() {
            "User" => Principal::User(self.user("principal")?),
            "Agent" => Principal::Agent(Agent {
                id: who(id, "some-agent")?,
                on_behalf_of: self.user("principal.onBehalfOf")?,
                scopes: self.texts("principal.scopes")?,
            }),
            "ServiceAccount" => {
                owner_stage =
                    self.word("principal.owner.lifecycle", &LifecycleStage::ALL, LifecycleStage::as_str)?;
                Principal::ServiceAccount(ServiceAccount {
                    id: who(id, "some-account")?,
                    owner: who(self.name("principal.owner")?.id().unescaped(), "some-owner")?,
                    scopes: self.texts("principal.scopes")?,
                    stage: self.word("principal.lifecycle", &LifecycleStage::ALL, LifecycleStage::as_str)?,
                })
            }
            "Visitor" => Principal::Visitor(Visitor),
            other => return Err(format!("a `{other}` cannot ask")),
        };
        Ok((principal, owner_stage))
    }

    fn user(&self, of: &str) -> Result<User, String> {
        let name = self.name(of)?;
        let above = |kind: &str| -> BTreeSet<String> {
            let all = self.entities.ancestors(&name).into_iter().flatten();
            let these = all.filter(|up| up.type_name().basename() == kind);
            these.map(|up| up.id().unescaped().to_owned()).collect()
        };
        let mut tags = BTreeMap::new();
        for (key, value) in self.entities.get(&name).into_iter().flat_map(|e| e.tags()) {
            match value {
                Ok(EvalResult::String(text)) => tags.insert(key.to_owned(), text),
                Ok(other) => return Err(format!("the tag `{key}` is {other}")),
                Err(e) => return Err(e.to_string()),
            };
        }
        let end = if self.flag(&format!("{of} has contractEnd"))? {
            let millis = self.moment(&format!("{of}.contractEnd"))?;
            Some(UnixMillis(whole(millis, 1000, self.rounding.ends_up)))
        } else {
            None
        };
        Ok(User {
            id: who(name.id().unescaped(), "somebody")?,
            name: None,
            email: None,
            groups: above("Group"),
            roles: above("Role"),
            stage: self.word(&format!("{of}.lifecycle"), &LifecycleStage::ALL, LifecycleStage::as_str)?,
            employment: self.word(&format!("{of}.employment"), &Employment::ALL, Employment::as_str)?,
            contract_end: end,
            home_country: self.country(&format!("{of}.homeCountry"))?,
            department: self.optional(of, "department")?,
            tags,
        })
    }

    // === what ===

    fn route(&self) -> Result<RouteFacts, String> {
        let name = self.request.resource().ok_or("nobody says what is asked for")?;
        let above = |kind: &str| -> Vec<String> {
            let all = self.entities.ancestors(name).into_iter().flatten();
            let these = all.filter(|up| up.type_name().basename() == kind);
            let names: BTreeSet<String> = these.map(|up| up.id().unescaped().to_owned()).collect();
            names.into_iter().collect()
        };
        let (app, route) = name.id().unescaped().split_once('/').unwrap_or_default();
        let apps = above("App");
        // A route that is called as ours are says its app itself; of another the app is that which it is in.
        let named = |app: &str, route: &str| RouteId::new(AppId::new(app)?, route);
        let of_parent = || apps.iter().find_map(|app| named(app, "some-route").ok());
        let id = match named(app, route) {
            Ok(id) if apps.is_empty() || apps.iter().any(|a| a == app) => id,
            Ok(_) | Err(_) => match of_parent() {
                Some(id) => id,
                None => named("some-app", "some-route").map_err(|e| e.to_string())?,
            },
        };
        Ok(RouteFacts {
            id,
            app_groups: above("AppGroup"),
            tier: self.word("resource.tier", &Tier::ALL, Tier::as_str)?,
            scope: self.text("resource.scope")?,
            admin_surface: self.flag("resource.adminSurface")?,
            public: self.flag("resource.public")?,
        })
    }

    // === the circumstances ===

    fn session(&self, now: UnixMillis) -> Result<Assurance, String> {
        let known = self.flag("context.session.known")?;
        let authenticated_at = match self.ago("context.session.age", now, 1000)? {
            _ if !known => None,
            // As long ago as what never was, and known all the same.
            None => Some(UnixMillis(now.0.saturating_sub(NEVER_MILLIS))),
            at => at,
        };
        Ok(Assurance {
            mfa: self.flag("context.session.mfa")?,
            phishing_resistant: self.flag("context.session.phishingResistant")?,
            authenticated_at,
            mfa_at: self.ago("context.session.mfaAge", now, 1000)?,
        })
    }

    fn device(&self, now: UnixMillis) -> Result<DevicePosture, String> {
        let id = self
            .optional("context.device", "id")?
            .map(|id| DeviceId::new(&id).or_else(|_| DeviceId::new("some-device")));
        let managed = self.flag("context.device.managed")?;
        let compliance = match (self.flag("context.device.compliant")?, self.flag("context.device.known")?) {
            (true, _) => Compliance::Compliant,
            // Somebody vouches for something: if for nothing else, then that it does not comply.
            (false, true) if !managed && id.is_none() => Compliance::NotCompliant,
            (false, _) => Compliance::Unknown,
        };
        Ok(DevicePosture {
            id: id.transpose().map_err(|e| e.to_string())?,
            managed,
            compliance,
            platform: self.optional("context.device", "platform")?,
            assurance: self.word(
                "context.device.assurance",
                &DeviceAssurance::ALL,
                DeviceAssurance::as_str,
            )?,
            owner_matches: self.flag("context.device.ownerMatches")?,
            asserted_at: self.ago("context.device.postureAge", now, 60_000)?,
        })
    }

    fn place(&self) -> Result<Place, String> {
        let known = self.flag("context.geo.anonymizerKnown")?;
        let anonymizer = match self.flag("context.geo.anonymizer")? {
            true if known => Presence::Yes,
            false if known => Presence::No,
            true | false => Presence::Unknown,
        };
        let asn = if self.flag("context.geo has asn")? {
            let number = self.long("context.geo.asn")?;
            Some(u32::try_from(number).map_err(|_| format!("{number} is no number of a network"))?)
        } else {
            None
        };
        Ok(Place {
            ip: self.address()?,
            networks: self.texts("context.zones")?,
            country: self.country("context.geo.country")?,
            continent: self.optional("context.geo", "continent")?,
            asn,
            anonymizer,
            location: None,
        })
    }

    /// The address; the first one of a range, which no request comes from.
    fn address(&self) -> Result<IpAddr, String> {
        let EvalResult::ExtensionValue(written) = self.value("context.ip")? else {
            return Err("`context.ip` is no address".to_owned());
        };
        let text = written.split('"').nth(1).unwrap_or_default();
        let address = text.split('/').next().unwrap_or_default();
        address.parse().map_err(|_| format!("`{written}` is no address"))
    }

    fn risk(&self) -> Result<Risk, String> {
        let held = self.texts("context.risk.reasons")?;
        let held = RiskReason::ALL.into_iter().filter(|reason| held.contains(reason.as_str()));
        if !self.flag("context.risk.known")? {
            return Ok(held.map(Risk::unknown_for).next().unwrap_or(Risk::UNKNOWN));
        }
        let mut reasons = RiskReasons::default();
        held.for_each(|reason| reasons.note(reason));
        let score = self.long("context.risk.score")?;
        let score = u8::try_from(score).map_err(|_| format!("{score} is no risk"))?;
        Ok(Risk::explained(score, reasons))
    }
}

/// In whole units of so many milliseconds.
fn whole(millis: i64, unit: i64, up: bool) -> i64 {
    let more = if up { unit - 1 } else { 0 };
    millis.saturating_add(more).div_euclid(unit).saturating_mul(unit)
}

/// Who it is; a name that nobody can have becomes `corp:` and `otherwise`.
fn who(name: &str, otherwise: &str) -> Result<UserId, String> {
    name.parse()
        .or_else(|_| format!("corp:{otherwise}").parse())
        .map_err(|e: doorward_model::principal::IdError| e.to_string())
}
