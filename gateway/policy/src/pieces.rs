//! The pieces that an answer is made of, for a tool that makes millions of them again.
//!
//! [`PolicyBundle::decide`] puts who asks, the route and the circumstances together each time. Where the same
//! people ask for the same routes again and again, most of that was done before: which policies can matter is
//! settled by where the two stand among the scopes, and each condition by the few facts that it looks at.
//!
//! What is put together of these pieces is for the tool to answer for. `decide` stays the one that decides.

use std::sync::Arc;

use cedar_policy::{Policy, Request};
use doorward_model::Principal;

use crate::bundle::PolicyBundle;
use crate::index::SliceKey;
use crate::question::{Action, Question};
use crate::vocabulary::{Kind, VISITOR, uid, whole};

/// Where somebody or something stands among the scopes: of the entities that a scope names, those that it is
/// or is in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Standing(Arc<[u32]>);

/// The actions that a scope admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Actions(u8);

impl Actions {
    /// Whether this is one of them.
    #[must_use]
    pub const fn has(self, action: Action) -> bool {
        self.0 >> action.number() & 1 == 1
    }
}

impl PolicyBundle {
    /// Where who asks stands, and where the route does. The one does not depend on the other: their entities
    /// have no type in common, and none of the one kind is in one of the other.
    ///
    /// # Errors
    /// One of them cannot be said in the words of the schema. Every question about it is refused then.
    pub fn standings(&self, q: &Question<'_>) -> Result<[Standing; 2], String> {
        let placed = self.placed(q)?;
        Ok([&placed.principal, &placed.resource].map(|bounds| Standing(Arc::clone(bounds))))
    }

    /// The policies whose scope holds such a principal and such a route, by their numbers, and for which actions
    /// each. No other policy can matter, whatever the circumstances.
    #[must_use]
    pub fn in_scope(&self, who: &Principal, [principal, route]: [&Standing; 2]) -> Vec<(usize, Actions)> {
        let key = SliceKey {
            kind: Kind::of(who),
            action: 0,
            principal: Arc::clone(&principal.0),
            resource: Arc::clone(&route.0),
        };
        self.index.in_scope(&key).map(|(number, actions)| (number, Actions(actions))).collect()
    }

    /// The policies that decide, in an order that stays; the place of each is its number.
    pub fn numbered(&self) -> impl Iterator<Item = &Policy> {
        self.index.policies()
    }

    /// The question in Cedar's own form, to ask a condition that looks at nothing but the circumstances. It is not
    /// compared with the schema, and no entity goes with it.
    ///
    /// # Errors
    /// The circumstances cannot be said.
    pub fn circumstances_in_cedar(&self, q: &Question<'_>) -> Result<Request, String> {
        let id = q.principal.id().map_or_else(|| VISITOR.to_owned(), ToString::to_string);
        let principal = uid(self.words.kind(Kind::of(q.principal)), &id);
        let resource = uid(&self.words.route, q.route.id.as_str());
        let context = self.circumstances.context(&self.words, q)?;
        let action = self.words.action(q.action).clone();
        Request::new(principal, action, resource, context, None).map_err(|e| whole(&e))
    }
}
