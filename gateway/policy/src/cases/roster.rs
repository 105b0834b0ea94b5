//! Everybody and everything that the cases know by name: for questions that are about no case.

use std::sync::Arc;

use doorward_model::{LifecycleStage, Principal, RouteFacts};

use super::resolve::{facts, route_id};
use super::{Cases, VISITOR};

/// Somebody, or something, that the cases know by a name.
#[derive(Clone, Debug)]
pub struct Named<'a> {
    /// The name in the cases.
    pub name: &'a str,
    /// Who it is.
    pub principal: Arc<Principal>,
    /// What is known of the person who answers for a service account.
    pub owner_stage: LifecycleStage,
}

impl Cases {
    /// People, service accounts, agents and the visitor; or why nobody knows who one of them is.
    pub fn everybody(&self) -> impl Iterator<Item = Result<Named<'_>, String>> {
        let names = self.people.keys().chain(self.accounts.keys()).chain(self.agents.keys());
        names.map(String::as_str).chain([VISITOR]).map(|name| match self.who(name, None) {
            Ok((principal, owner_stage)) => Ok(Named { name, principal, owner_stage }),
            Err((message, _)) => Err(message),
        })
    }

    /// The routes.
    pub fn routes(&self) -> impl Iterator<Item = RouteFacts> {
        self.routes.iter().filter_map(|(name, route)| Some(facts(route_id(name)?, route)))
    }

    /// Whether the directory grants apps to whoever the cases are about; none: they do not say.
    #[must_use]
    pub const fn granted(&self) -> Option<bool> {
        self.base.granted
    }
}
