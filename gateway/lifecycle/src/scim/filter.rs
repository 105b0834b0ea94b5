//! Filters (RFC 7644 §3.4.2.2): read, asked of a resource, and asked which index could answer.
//!
//! ```text
//!  filter   = and *( "or" and )            and = factor *( "and" factor )
//!  factor   = "not" "(" filter ")" / "(" filter ")" / term
//!  term     = path "pr" / path op value / path "[" filter "]" [ "." part ( "pr" / op value ) ]
//! ```
//!
//! The last form with a part, `emails[type eq "work"].value eq "x"`, is not in the RFC; Entra ID
//! sends it. Attributes are resolved and values are checked against the schema while reading, so
//! that a filter which was read can be answered.

mod evaluate;
mod grammar;
mod index;
mod lexer;

use serde_json::{Map, Value};

use super::error::ScimError;
use super::names::AttributePath;
use super::schema::{Attribute, ResourceType};

pub use index::Lookup;

/// A filter for one type of resource, or for the elements of one attribute.
#[derive(Clone, Debug)]
pub struct Filter {
    node: Node,
}

#[derive(Clone, Debug)]
enum Node {
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    /// A term about an attribute of the resource, or about a part of the element in brackets.
    Term {
        path: Subject,
        test: Test,
    },
    /// `path[filter]`, and what must hold of a part of an element that the filter picks.
    Element {
        path: AttributePath,
        filter: Box<Self>,
        then: Option<(&'static Attribute, Test)>,
    },
}

/// What a term is about.
#[derive(Clone, Copy, Debug)]
enum Subject {
    Resource(AttributePath),
    /// In brackets: a part of the element.
    Part(&'static Attribute),
}

#[derive(Clone, Debug)]
enum Test {
    Present,
    Compare(Operator, Literal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Contains,
    StartsWith,
    EndsWith,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// A value to compare with, already of the kind that the attribute has.
#[derive(Clone, Debug)]
enum Literal {
    Null,
    Boolean(bool),
    /// As written, and folded when case does not matter.
    Text {
        written: String,
        compared: String,
    },
    Moment(jiff::Timestamp),
}

// === impl Filter ===

impl Filter {
    /// Reads a filter for resources of one type.
    ///
    /// # Errors
    /// `InvalidFilter`: it cannot be read, is larger than the bounds, names an attribute that the
    /// type does not have, or compares what cannot be compared.
    pub fn parse(kind: ResourceType, text: &str) -> Result<Self, ScimError> {
        grammar::parse(grammar::Scope::Resource(kind), text).map(|node| Self { node })
    }

    /// Whether a resource, as clients read it, is one that the filter asks for.
    #[must_use]
    pub fn matches(&self, resource: &Map<String, Value>) -> bool {
        self.node.matches(resource)
    }

    /// Keys of which every resource that matches has at least one; none, when no index helps. The
    /// filter must still be asked of what the index finds.
    #[must_use]
    pub fn lookup(&self) -> Option<Vec<Lookup>> {
        self.node.lookup()
    }

    /// Reads what stands in brackets after an attribute in a PATCH path.
    pub(crate) fn parse_element(attribute: &'static Attribute, text: &str) -> Result<Self, ScimError> {
        grammar::parse(grammar::Scope::Element(attribute), text).map(|node| Self { node })
    }

    /// How many comparisons it has.
    pub(crate) fn terms(&self) -> usize {
        self.node.terms()
    }

    /// What an element must have to match, when the filter is nothing but `part eq value`, joined
    /// by `and`.
    pub(crate) fn equalities(&self) -> Option<Vec<(&'static Attribute, Value)>> {
        self.node.equalities()
    }

    /// The ids, when the filter is nothing but `value eq "id"`, joined by `or`.
    pub(crate) fn ids(&self) -> Option<Vec<String>> {
        self.node.ids()
    }
}
