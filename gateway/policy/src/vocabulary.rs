//! The words that the gateway says to Cedar: the types of the schema, by name.
//!
//! This is our half of the contract with `schema.cedarschema`. The other half is tried in
//! `probe`, which says everything once and has the schema check it.

use std::collections::HashMap;
use std::str::FromStr;

use cedar_policy::{
    Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression, Schema, SchemaFragment,
};
use doorward_model::{CountryCode, Principal};

use crate::question::Action;

/// The kind of a principal, which is its type in Cedar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    User,
    ServiceAccount,
    Agent,
    Visitor,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::User, Self::ServiceAccount, Self::Agent, Self::Visitor];

    pub(crate) const fn of(principal: &Principal) -> Self {
        match principal {
            Principal::User(_) => Self::User,
            Principal::ServiceAccount(_) => Self::ServiceAccount,
            Principal::Agent(_) => Self::Agent,
            Principal::Visitor(_) => Self::Visitor,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::ServiceAccount => "ServiceAccount",
            Self::Agent => "Agent",
            Self::Visitor => "Visitor",
        }
    }

    pub(crate) fn of_type(name: &EntityTypeName) -> Option<Self> {
        Self::ALL.into_iter().find(|k| name.namespace().is_empty() && name.basename() == k.as_str())
    }
}

/// What every visitor is called.
pub(crate) const VISITOR: &str = "anyone";

/// Closed lists of the schema. An entity of one of these types has no attributes and no parents,
/// so nothing in it can be missing.
const CLOSED: [&str; 7] =
    ["Lifecycle", "Employment", "Tier", "Weekday", "DeviceAssurance", "RiskLevel", "Country"];

/// The types and actions of the schema.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    pub(crate) schema: Schema,
    kinds: [EntityTypeName; 4],
    pub(crate) owner: EntityTypeName,
    pub(crate) group: EntityTypeName,
    pub(crate) role: EntityTypeName,
    pub(crate) app: EntityTypeName,
    pub(crate) app_group: EntityTypeName,
    pub(crate) route: EntityTypeName,
    closed: [EntityTypeName; CLOSED.len()],
    actions: [EntityUid; 8],
    /// The actions and their groups as entities.
    pub(crate) action_entities: Entities,
    countries: HashMap<CountryCode, RestrictedExpression>,
    unknown_country: RestrictedExpression,
}

/// A closed list of the schema whose words come from one of our enums.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Closed {
    Lifecycle,
    Employment,
    Tier,
    Weekday,
    DeviceAssurance,
    RiskLevel,
}

fn type_name(name: &str) -> Result<EntityTypeName, String> {
    EntityTypeName::from_str(name).map_err(|e| format!("`{name}` is not a type: {e}"))
}

impl Vocabulary {
    /// The words in a schema; or what it lacks.
    pub(crate) fn new(schema: Schema, text: &str) -> Result<Self, String> {
        let [user, service_account, agent, visitor] = Kind::ALL.map(|k| type_name(k.as_str()));
        let action_type = type_name("Action")?;
        let actions = Action::ALL
            .map(|a| EntityUid::from_type_name_and_id(action_type.clone(), EntityId::new(a.as_str())));
        let action_entities = schema.action_entities().map_err(|e| e.to_string())?;
        for action in &actions {
            if action_entities.get(action).is_none() {
                return Err(format!("the schema lacks `{action}`"));
            }
        }
        let [lifecycle, employment, tier, weekday, device_assurance, risk_level, country] =
            CLOSED.map(type_name);
        let country = country?;
        let countries = countries(text, &country)?;
        let unknown_country = countries
            .get(&CountryCode::UNKNOWN)
            .cloned()
            .ok_or("the schema lacks `Country::\"ZZ\"`, the country that nobody knows")?;
        Ok(Self {
            kinds: [user?, service_account?, agent?, visitor?],
            owner: type_name("Owner")?,
            group: type_name("Group")?,
            role: type_name("Role")?,
            app: type_name("App")?,
            app_group: type_name("AppGroup")?,
            route: type_name("Route")?,
            closed: [lifecycle?, employment?, tier?, weekday?, device_assurance?, risk_level?, country],
            actions,
            action_entities,
            countries,
            unknown_country,
            schema,
        })
    }

    pub(crate) fn kind(&self, kind: Kind) -> &EntityTypeName {
        let [user, service_account, agent, visitor] = &self.kinds;
        match kind {
            Kind::User => user,
            Kind::ServiceAccount => service_account,
            Kind::Agent => agent,
            Kind::Visitor => visitor,
        }
    }

    pub(crate) fn action(&self, action: Action) -> &EntityUid {
        let [get, head, options, post, put, patch, delete, upgrade] = &self.actions;
        match action {
            Action::Get => get,
            Action::Head => head,
            Action::Options => options,
            Action::Post => post,
            Action::Put => put,
            Action::Patch => patch,
            Action::Delete => delete,
            Action::Upgrade => upgrade,
        }
    }

    /// A word of a closed list.
    pub(crate) fn word(&self, list: Closed, word: &str) -> RestrictedExpression {
        let [lifecycle, employment, tier, weekday, device_assurance, risk_level, _country] = &self.closed;
        let name = match list {
            Closed::Lifecycle => lifecycle,
            Closed::Employment => employment,
            Closed::Tier => tier,
            Closed::Weekday => weekday,
            Closed::DeviceAssurance => device_assurance,
            Closed::RiskLevel => risk_level,
        };
        RestrictedExpression::new_entity_uid(uid(name, word))
    }

    /// A country. One that is not in the schema's list is one that nobody knows.
    pub(crate) fn country(&self, code: CountryCode) -> RestrictedExpression {
        self.countries.get(&code).unwrap_or(&self.unknown_country).clone()
    }

    /// Whether someone of this type can ask.
    pub(crate) fn is_kind(&self, name: &EntityTypeName) -> bool {
        self.kinds.contains(name)
    }

    /// Whether nothing can be missing in an entity of this type.
    pub(crate) fn is_closed_list(&self, name: &EntityTypeName) -> bool {
        self.closed.contains(name)
    }

    /// Entities that conform to the schema, the actions among them.
    pub(crate) fn entities(&self, entities: impl IntoIterator<Item = Entity>) -> Result<Entities, String> {
        Entities::from_entities(entities, Some(&self.schema)).map_err(|e| whole(&e))
    }
}

/// What an error says, and what the errors below it say, as far as they add something.
pub(crate) fn whole(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut below = e.source();
    while let Some(e) = below {
        let more = e.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        below = e.source();
    }
    text
}

/// A name in Cedar.
pub(crate) fn uid(name: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(name.clone(), EntityId::new(id))
}

/// The members of `Country`. The typed schema does not tell them, its JSON form does.
fn countries(
    text: &str,
    country: &EntityTypeName,
) -> Result<HashMap<CountryCode, RestrictedExpression>, String> {
    let (fragment, _) = SchemaFragment::from_cedarschema_str(text).map_err(|e| e.to_string())?;
    let json = fragment.to_json_value().map_err(|e| e.to_string())?;
    // The schema without a namespace stands under the empty name.
    let members = json.pointer("//entityTypes/Country/enum");
    let members = members.and_then(|m| m.as_array()).ok_or("the schema lacks `entity Country enum [...]`")?;
    let mut found = HashMap::new();
    for member in members.iter().filter_map(|m| m.as_str()) {
        let code = CountryCode::new(member).map_err(|e| e.to_string())?;
        if code.as_str() != member {
            return Err(format!("the country `{member}` of the schema is not in upper case"));
        }
        found.insert(code, RestrictedExpression::new_entity_uid(uid(country, member)));
    }
    Ok(found)
}
