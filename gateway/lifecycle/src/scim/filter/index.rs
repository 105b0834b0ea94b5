//! Which index could answer a filter, and what a filter says outright.

use serde_json::Value;

use super::super::schema::{Attribute, fold};
use super::{Literal, Node, Operator, Subject, Test};

/// A key that an index may have. Texts that are compared without case come folded, as
/// [`fold`](super::super::schema::fold) does it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lookup {
    /// Our id.
    Id(String),
    /// The source's id.
    ExternalId(String),
    /// `userName`, folded.
    UserName(String),
    /// `displayName`, folded.
    DisplayName(String),
    /// One of the addresses in `emails`, folded.
    Email(String),
    /// The id of a member of the group.
    Member(String),
    /// The id of a group that the person is in.
    InGroup(String),
}

// === impl Node ===

impl Node {
    pub(super) fn lookup(&self) -> Option<Vec<Lookup>> {
        match self {
            // Whatever matches has the keys of every side: the side with the fewest will do.
            Self::And(nodes) => nodes.iter().filter_map(Self::lookup).min_by_key(Vec::len),
            Self::Or(nodes) => {
                let all: Option<Vec<Vec<Lookup>>> = nodes.iter().map(Self::lookup).collect();
                all.map(|sides| sides.into_iter().flatten().collect())
            }
            // What does not have a key is in no index.
            Self::Not(_) => None,
            Self::Term { path: Subject::Resource(path), test } => {
                let part = path.part.map(|p| p.name);
                key(path.extension.is_some(), path.attribute.name, part, test).map(|k| vec![k])
            }
            Self::Term { path: Subject::Part(_), .. } => None,
            Self::Element { path, filter, then } => {
                let about = |part: &'static Attribute, test: &Test| {
                    key(path.extension.is_some(), path.attribute.name, Some(part.name), test)
                };
                let after = then.as_ref().and_then(|(part, test)| about(part, test)).map(|k| vec![k]);
                after.or_else(|| filter.lookup_element(&about))
            }
        }
    }

    /// As [`Node::lookup`], for a filter in brackets.
    fn lookup_element(
        &self,
        about: &dyn Fn(&'static Attribute, &Test) -> Option<Lookup>,
    ) -> Option<Vec<Lookup>> {
        match self {
            Self::And(nodes) => nodes.iter().filter_map(|n| n.lookup_element(about)).min_by_key(Vec::len),
            Self::Or(nodes) => {
                let all: Option<Vec<Vec<Lookup>>> = nodes.iter().map(|n| n.lookup_element(about)).collect();
                all.map(|sides| sides.into_iter().flatten().collect())
            }
            Self::Term { path: Subject::Part(part), test } => about(part, test).map(|k| vec![k]),
            Self::Not(_) | Self::Term { path: Subject::Resource(_), .. } | Self::Element { .. } => None,
        }
    }

    pub(super) fn terms(&self) -> usize {
        match self {
            Self::And(nodes) | Self::Or(nodes) => nodes.iter().map(Self::terms).sum(),
            Self::Not(node) => node.terms(),
            Self::Term { .. } => 1,
            Self::Element { filter, then, .. } => filter.terms() + usize::from(then.is_some()),
        }
    }

    pub(super) fn equalities(&self) -> Option<Vec<(&'static Attribute, Value)>> {
        match self {
            Self::And(nodes) => {
                let all: Option<Vec<Vec<_>>> = nodes.iter().map(Self::equalities).collect();
                all.map(|sides| sides.into_iter().flatten().collect())
            }
            Self::Term { path: Subject::Part(part), test: Test::Compare(Operator::Equal, literal) } => {
                let value = match literal {
                    Literal::Text { written, .. } => Value::String(written.clone()),
                    Literal::Boolean(b) => Value::Bool(*b),
                    Literal::Null | Literal::Moment(_) => return None,
                };
                Some(vec![(*part, value)])
            }
            Self::Or(_) | Self::Not(_) | Self::Term { .. } | Self::Element { .. } => None,
        }
    }

    pub(super) fn ids(&self) -> Option<Vec<String>> {
        match self {
            Self::Or(nodes) => {
                let all: Option<Vec<Vec<_>>> = nodes.iter().map(Self::ids).collect();
                all.map(|sides| sides.into_iter().flatten().collect())
            }
            Self::Term {
                path: Subject::Part(part),
                test: Test::Compare(Operator::Equal, Literal::Text { written, .. }),
            } if part.name == "value" => Some(vec![written.clone()]),
            Self::And(_) | Self::Not(_) | Self::Term { .. } | Self::Element { .. } => None,
        }
    }
}

/// The key that `attribute.part eq "text"` asks for.
fn key(extended: bool, attribute: &str, part: Option<&str>, test: &Test) -> Option<Lookup> {
    let Test::Compare(Operator::Equal, Literal::Text { written, .. }) = test else { return None };
    match (extended, attribute, part) {
        (false, "id", None) => Some(Lookup::Id(written.clone())),
        (false, "externalId", None) => Some(Lookup::ExternalId(written.clone())),
        (false, "userName", None) => Some(Lookup::UserName(fold(written))),
        (false, "displayName", None) => Some(Lookup::DisplayName(fold(written))),
        (false, "emails", None | Some("value")) => Some(Lookup::Email(fold(written))),
        (false, "members", None | Some("value")) => Some(Lookup::Member(written.clone())),
        (false, "groups", None | Some("value")) => Some(Lookup::InGroup(written.clone())),
        _ => None,
    }
}
