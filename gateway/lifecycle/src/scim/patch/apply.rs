//! Steps, done to a document.

use serde_json::{Map, Value};

use super::super::bounds::{DOCUMENT_BYTES_MAX, VALUES_MAX};
use super::super::document::Document;
use super::super::error::{ErrorKind, ScimError};
use super::super::filter::Filter;
use super::super::json;
use super::super::schema::{Attribute, fold};
use super::super::values::invalid;
use super::step::{Action, OnNothing, Step, What};

type Element = Map<String, Value>;

// === impl Step ===

impl Step {
    pub(super) fn apply(self, document: &mut Document) -> Result<(), ScimError> {
        let Self { extension, attribute, what } = self;
        let value = match what {
            What::Set(value) => value,
            What::SetPart(part, value) => {
                let mut parts =
                    document.take(extension, attribute).and_then(json::into_object).unwrap_or_default();
                set(&mut parts, part, value);
                if parts.is_empty() { None } else { Some(Value::Object(parts)) }
            }
            What::Add(new) => {
                let mut list = List::take(attribute, document.take(extension, attribute));
                for element in new.into_iter().filter_map(json::into_object) {
                    list.add(element)?;
                }
                list.into_value()?
            }
            What::RemoveLike(listed) => {
                let mut list = List::take(attribute, document.take(extension, attribute));
                list.elements.retain(|e| !listed.iter().any(|like| has_all(attribute, e, like)));
                list.into_value()?
            }
            What::Elements { filter, action, on_nothing } => {
                let mut list = List::take(attribute, document.take(extension, attribute));
                list.act(filter.as_ref(), action, on_nothing)?;
                list.into_value()?
            }
        };
        document.put(extension, attribute, value);
        Ok(())
    }
}

/// The elements of one attribute.
struct List {
    attribute: &'static Attribute,
    elements: Vec<Element>,
}

// === impl List ===

impl List {
    fn take(attribute: &'static Attribute, value: Option<Value>) -> Self {
        let elements = match value {
            Some(Value::Array(list)) => list.into_iter().filter_map(json::into_object).collect(),
            None
            | Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                Vec::new()
            }
        };
        Self { attribute, elements }
    }

    /// The list as it is stored: elements that have become the same count once.
    fn into_value(self) -> Result<Option<Value>, ScimError> {
        let mut bytes = 0;
        let mut list: Vec<Value> = Vec::with_capacity(self.elements.len());
        for element in self.elements {
            bytes += element.values().filter_map(Value::as_str).map(str::len).sum::<usize>();
            let element = Value::Object(element);
            if !list.contains(&element) {
                list.push(element);
            }
        }
        if bytes > DOCUMENT_BYTES_MAX {
            return Err(invalid(self.attribute.name, &format!("may have {DOCUMENT_BYTES_MAX} bytes in all")));
        }
        Ok(if list.is_empty() { None } else { Some(Value::Array(list)) })
    }

    /// Adds an element. It takes the place of the one that it is a newer form of, and is the only
    /// primary one if it says so.
    fn add(&mut self, mut new: Element) -> Result<(), ScimError> {
        let attribute = self.attribute;
        let mut at = None;
        let mut i = 0;
        self.elements.retain_mut(|old| {
            let newer = is_newer(attribute, old, &new);
            if newer {
                if same(old, &new, "value") {
                    for (part, value) in &*old {
                        new.entry(part.clone()).or_insert_with(|| value.clone());
                    }
                } else if primary(old) {
                    new.entry("primary").or_insert(Value::Bool(true));
                }
                at.get_or_insert(i);
            }
            i += usize::from(!newer);
            !newer
        });
        if self.elements.len() >= VALUES_MAX {
            return Err(invalid(attribute.name, &format!("may have {VALUES_MAX} values at most")));
        }
        let at = at.unwrap_or(self.elements.len());
        self.elements.insert(at, new);
        self.one_primary(|i| i == at)
    }

    fn act(
        &mut self,
        filter: Option<&Filter>,
        action: Action,
        on_nothing: OnNothing,
    ) -> Result<(), ScimError> {
        let picked: Vec<bool> = self.elements.iter().map(|e| filter.is_none_or(|f| f.matches(e))).collect();
        if !picked.contains(&true) {
            return self.act_on_nothing(filter, action, on_nothing);
        }
        let given = filter.and_then(Filter::equalities).unwrap_or_default();
        for (element, _) in self.elements.iter_mut().zip(&picked).filter(|(_, picked)| **picked) {
            match &action {
                Action::Remove => element.clear(),
                Action::Merge(parts) => element.extend(parts.clone()),
                Action::Replace(parts) => {
                    *element =
                        given.iter().map(|(part, value)| (part.name.to_owned(), value.clone())).collect();
                    element.extend(parts.clone());
                }
                Action::SetPart(part, Some(value)) => set(element, part, Some(value.clone())),
                Action::SetPart(part, None) => {
                    set(element, part, None);
                    if element.keys().all(|key| key == "type" || key == "primary") {
                        element.clear();
                    }
                }
            }
        }
        self.one_primary(|i| picked.get(i) == Some(&true))?;
        self.elements.retain(|element| !element.is_empty());
        Ok(())
    }

    fn act_on_nothing(
        &mut self,
        filter: Option<&Filter>,
        action: Action,
        on_nothing: OnNothing,
    ) -> Result<(), ScimError> {
        let no_target = || {
            let name = self.attribute.name;
            ScimError::new(
                ErrorKind::NoTarget,
                format!("no value of `{name}` is as the filter of `path` says"),
            )
        };
        match on_nothing {
            OnNothing::Ignore => return Ok(()),
            OnNothing::Refuse => return Err(no_target()),
            OnNothing::Create => {}
        }
        let given = match filter {
            None => Vec::new(),
            Some(filter) => filter
                .equalities()
                .filter(|given| given.iter().all(|(part, _)| part.name == "type" || part.name == "primary"))
                .ok_or_else(no_target)?,
        };
        let mut element: Element =
            given.into_iter().map(|(part, value)| (part.name.to_owned(), value)).collect();
        match action {
            Action::Merge(parts) | Action::Replace(parts) => element.extend(parts),
            Action::SetPart(part, value) => set(&mut element, part, value),
            Action::Remove => return Ok(()),
        }
        self.add(element)
    }

    /// Leaves one primary element, when those that were changed say that they are: the others were.
    fn one_primary(&mut self, changed: impl Fn(usize) -> bool) -> Result<(), ScimError> {
        let now: Vec<usize> = self
            .elements
            .iter()
            .enumerate()
            .filter(|(i, e)| changed(*i) && primary(e))
            .map(|(i, _)| i)
            .collect();
        let [now] = now.as_slice() else {
            return if now.is_empty() {
                Ok(())
            } else {
                Err(invalid(self.attribute.name, "may have one `primary` value only (RFC 7643 §2.4)"))
            };
        };
        for (i, element) in self.elements.iter_mut().enumerate() {
            if i != *now && primary(element) {
                element.insert("primary".to_owned(), Value::Bool(false));
            }
        }
        Ok(())
    }
}

fn primary(element: &Element) -> bool {
    element.get("primary") == Some(&Value::Bool(true))
}

/// Whether both have this part and it is the same.
fn same(a: &Element, b: &Element, part: &str) -> bool {
    a.get(part).is_some_and(|value| b.get(part) == Some(value))
}

/// Whether `new` is what has become of `old`: of its type where there is one for each type, or the
/// same value with other words around it.
fn is_newer(attribute: &Attribute, old: &Element, new: &Element) -> bool {
    let kind = |e: &Element| e.get("type").and_then(Value::as_str).map(fold);
    if old == new {
        return true;
    }
    match (attribute.one_per_type, kind(old), kind(new)) {
        (true, Some(a), Some(b)) => a == b,
        (_, a, b) => a == b && same(old, new, "value"),
    }
}

/// Whether an element has all parts of `like`, as the parts are compared.
fn has_all(attribute: &Attribute, element: &Element, like: &Value) -> bool {
    let Some(like) = like.as_object().filter(|like| !like.is_empty()) else { return false };
    like.iter().all(|(name, wanted)| {
        let exact = attribute.part(name).is_some_and(|part| part.case_exact);
        match (element.get(name).and_then(Value::as_str), wanted.as_str()) {
            (Some(found), Some(wanted)) if !exact => fold(found) == fold(wanted),
            _ => element.get(name) == Some(wanted),
        }
    })
}

fn set(element: &mut Element, part: &Attribute, value: Option<Value>) {
    match value {
        Some(value) => {
            element.insert(part.name.to_owned(), value);
        }
        None => {
            element.remove(part.name);
        }
    }
}
