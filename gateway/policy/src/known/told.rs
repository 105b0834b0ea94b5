//! The names of a configuration, told to another process.

use std::collections::BTreeSet;

use doorward_model::{AppId, RouteFacts, RouteId, Tier};
use serde::{Deserialize, Serialize};

use super::Known;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    routes: Vec<Route>,
    issuers: BTreeSet<String>,
    networks: BTreeSet<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    id: String,
    groups: Vec<String>,
    tier: String,
    scope: String,
    admin_surface: bool,
    public: bool,
}

impl Known {
    /// As text that [`Known::from_told`] reads.
    ///
    /// # Errors
    /// It cannot be written, which does not happen.
    pub fn told(&self) -> Result<String, String> {
        let route = |facts: &RouteFacts| Route {
            id: facts.id.as_str().to_owned(),
            groups: facts.app_groups.clone(),
            tier: facts.tier.as_str().to_owned(),
            scope: facts.scope.clone(),
            admin_surface: facts.admin_surface,
            public: facts.public,
        };
        let routes = self.routes.values().map(route).collect();
        let told = Told { routes, issuers: self.issuers.clone(), networks: self.networks.clone() };
        serde_json::to_string(&told).map_err(|e| e.to_string())
    }

    /// The names that another process told.
    ///
    /// # Errors
    /// What is wrong with the text, in one line.
    pub fn from_told(text: &str) -> Result<Self, String> {
        let told: Told = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let mut known = Self { issuers: told.issuers, networks: told.networks, ..Self::default() };
        for route in told.routes {
            let facts = route.facts().ok_or_else(|| format!("`{}` is no route", route.id))?;
            known.apps.insert(facts.id.app().as_str().to_owned());
            known.app_groups.extend(facts.app_groups.iter().cloned());
            known.routes.insert(facts.id.as_str().to_owned(), facts);
        }
        Ok(known)
    }
}

impl Route {
    fn facts(&self) -> Option<RouteFacts> {
        let (app, route) = self.id.split_once('/')?;
        Some(RouteFacts {
            id: RouteId::new(AppId::new(app).ok()?, route).ok()?,
            app_groups: self.groups.clone(),
            tier: Tier::ALL.into_iter().find(|tier| tier.as_str() == self.tier)?,
            scope: self.scope.clone(),
            admin_surface: self.admin_surface,
            public: self.public,
        })
    }
}

#[cfg(test)]
mod tests {
    use doorward_model::IssuerId;

    use super::*;

    #[test]
    fn what_is_told_is_what_was_known() {
        let facts = |tier| RouteFacts {
            id: RouteId::new(AppId::new("wiki").unwrap(), tier).unwrap(),
            app_groups: vec!["docs".into(), "all \"of\" them".into()],
            tier: Tier::ALL.into_iter().find(|t| t.as_str() == tier).unwrap(),
            scope: "wiki:read".into(),
            admin_surface: tier == "restricted",
            public: tier == "public",
        };
        let routes: Vec<RouteFacts> = Tier::ALL.iter().map(|tier| facts(tier.as_str())).collect();
        let known = Known::new(&routes, [&IssuerId::new("corp").unwrap()], ["corp", "ü"]);
        assert_eq!(Known::from_told(&known.told().unwrap()).unwrap(), known);
        for bad in ["", "{}", "{\"routes\":[{}],\"issuers\":[],\"networks\":[]}"] {
            assert!(Known::from_told(bad).is_err(), "{bad}");
        }
        let told = known.told().unwrap();
        for (from, to) in [("wiki/public", "wiki"), ("\"restricted\"", "\"secret\"")] {
            assert!(Known::from_told(&told.replace(from, to)).is_err(), "{to}");
        }
    }
}
