//! What an operation comes to: one thing done to one attribute.

use serde_json::{Map, Value};

use super::super::filter::Filter;
use super::super::names::canonical;
use super::super::schema::{Attribute, Schema};

#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) extension: Option<&'static Schema>,
    pub(super) attribute: &'static Attribute,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// The whole attribute has this value, or none.
    Set(Option<Value>),
    /// The part of an attribute with one value has this value, or none.
    SetPart(&'static Attribute, Option<Value>),
    /// The list has these, too.
    Add(Vec<Value>),
    /// The list has no element that has all these parts.
    RemoveLike(Vec<Value>),
    /// Something is done to the elements that a filter picks; to all, when there is none.
    Elements { filter: Option<Filter>, action: Action, on_nothing: OnNothing },
}

#[derive(Clone, Debug)]
pub(super) enum Action {
    Remove,
    /// The parts take the place of those that the element has.
    Merge(Map<String, Value>),
    /// The parts take the place of the element.
    Replace(Map<String, Value>),
    /// One part has this value, or none.
    SetPart(&'static Attribute, Option<Value>),
}

/// When the filter picks nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnNothing {
    /// Nothing is done.
    Ignore,
    /// The element is made, if the filter says what it should be.
    Create,
    /// `noTarget`.
    Refuse,
}

// === impl Step ===

impl Step {
    /// The canonical name of the attribute.
    pub(super) fn owner(&self) -> String {
        canonical(self.extension, self.attribute)
    }
}
