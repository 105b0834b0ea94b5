//! From the operations of a body to steps.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::super::bounds::PATCH_FILTER_TERMS_MAX;
use super::super::error::{ErrorKind, ScimError, shown};
use super::super::filter::Filter;
use super::super::json;
use super::super::membership::{self, MemberChange, Membership};
use super::super::names::AttributePath;
use super::super::schema::{Attribute, Kind, ResourceType, Schema};
use super::super::values::{self, invalid};
use super::path::{self, Path, bad};
use super::step::{Action, OnNothing, Step, What};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Add,
    Remove,
    Replace,
}

/// Whether the target was named by `path`, or by a key of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Path,
    Key,
}

pub(super) struct Reader {
    kind: ResourceType,
    pub(super) steps: Vec<Step>,
    pub(super) membership: Membership,
    pub(super) ignored: BTreeSet<String>,
}

// === impl Reader ===

impl Reader {
    pub(super) fn new(kind: ResourceType) -> Self {
        Self { kind, steps: Vec::new(), membership: Membership::default(), ignored: BTreeSet::new() }
    }

    pub(super) fn operation(&mut self, operation: Value) -> Result<(), ScimError> {
        let syntax = |detail: &str| ScimError::new(ErrorKind::InvalidSyntax, detail);
        let mut operation = json::into_object(operation).ok_or_else(|| syntax("must be an object"))?;
        let op = match json::take(&mut operation, "op").as_ref().and_then(Value::as_str) {
            Some(word) if word.eq_ignore_ascii_case("add") => Op::Add,
            Some(word) if word.eq_ignore_ascii_case("remove") => Op::Remove,
            Some(word) if word.eq_ignore_ascii_case("replace") => Op::Replace,
            Some(_) | None => return Err(syntax("`op` must be add, remove or replace")),
        };
        let value = json::take(&mut operation, "value");
        match json::take(&mut operation, "path") {
            None | Some(Value::Null) => self.without_path(op, value),
            Some(Value::String(text)) if text.trim().is_empty() => self.without_path(op, value),
            Some(Value::String(text)) => {
                let path = path::parse(self.kind, text.trim())?;
                self.target(op, By::Path, &text, path, value)
            }
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Err(syntax("`path` must be a text"))
            }
        }
    }

    fn without_path(&mut self, op: Op, value: Option<Value>) -> Result<(), ScimError> {
        if op == Op::Remove {
            return Err(ScimError::new(ErrorKind::NoTarget, "`remove` needs a `path` (RFC 7644 §3.5.2.2)"));
        }
        let Some(Value::Object(object)) = value else {
            return Err(ScimError::new(
                ErrorKind::InvalidValue,
                "without `path`, `value` must be an object of attributes",
            ));
        };
        // `emails` before `emails[type eq "work"].value`, in whatever order they came.
        let (narrow, wide): (Vec<_>, Vec<_>) =
            object.into_iter().partition(|(key, _)| key.contains('[') || key.contains('.'));
        for (key, value) in wide.into_iter().chain(narrow) {
            let path = path::parse(self.kind, &key)?;
            self.target(op, By::Key, &key, path, Some(value))?;
        }
        Ok(())
    }

    fn target(
        &mut self,
        op: Op,
        by: By,
        text: &str,
        path: Path,
        value: Option<Value>,
    ) -> Result<(), ScimError> {
        match path {
            Path::Attribute(path, filter) => self.attribute(op, by, path, filter, value),
            Path::Schema(schema) => self.schema(op, schema, value),
            Path::Unknown if by == By::Path => Err(bad(format!(
                "{} is no attribute of a {}; /Schemas lists them",
                shown(text),
                self.kind.name()
            ))),
            Path::Dropped | Path::Unknown => {
                self.ignored.insert(shown(text));
                Ok(())
            }
        }
    }

    /// The URN of a schema: its attributes are those of the value.
    fn schema(&mut self, op: Op, schema: &'static Schema, value: Option<Value>) -> Result<(), ScimError> {
        let core = std::ptr::eq(schema, self.kind.core());
        let extension = if core { None } else { Some(schema) };
        let clear = match (op, &value) {
            (Op::Remove, _) | (Op::Replace, Some(Value::Null)) => true,
            (Op::Add | Op::Replace, _) => false,
        };
        if clear && core {
            return Err(ScimError::new(
                ErrorKind::Mutability,
                "the core schema cannot be removed; use DELETE",
            ));
        }
        if clear {
            let all = schema.attributes.iter();
            self.steps.extend(all.map(|attribute| Step { extension, attribute, what: What::Set(None) }));
            return Ok(());
        }
        let object = match value {
            Some(Value::Object(object)) => object,
            Some(Value::Null) => return Ok(()),
            None | Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                return Err(invalid(schema.id, "must be an object of attributes"));
            }
        };
        for (key, value) in object {
            let (name, part) = key.split_once('.').map_or((key.as_str(), None), |(n, p)| (n, Some(p)));
            let found = schema.attribute(name);
            match (found, part, found.zip(part).and_then(|(a, p)| a.part(p))) {
                (Some(attribute), None, part) | (Some(attribute), Some(_), part @ Some(_)) => {
                    self.attribute(
                        op,
                        By::Key,
                        AttributePath { extension, attribute, part },
                        None,
                        Some(value),
                    )?;
                }
                (None, ..) | (Some(_), Some(_), None) => {
                    self.ignored.insert(shown(&key));
                }
            }
        }
        Ok(())
    }

    fn attribute(
        &mut self,
        op: Op,
        by: By,
        path: AttributePath,
        filter: Option<Filter>,
        value: Option<Value>,
    ) -> Result<(), ScimError> {
        let name = path.owner();
        if path.attribute.name == "members" {
            return self.members(op, path.part, filter, value);
        }
        if !path.attribute.writable() || !path.leaf().writable() {
            if by == By::Path {
                return Err(mutability(&name, "cannot be written by a client"));
            }
            self.ignored.insert(shown(&name));
            return Ok(());
        }
        if filter.as_ref().is_some_and(|filter| filter.terms() > PATCH_FILTER_TERMS_MAX) {
            return Err(ScimError::new(
                ErrorKind::InvalidFilter,
                format!("`path` may have {PATCH_FILTER_TERMS_MAX} comparisons in its brackets"),
            ));
        }
        match op {
            Op::Remove => self.remove(path, filter, value),
            Op::Add | Op::Replace => {
                let value = value.ok_or_else(|| invalid(&name, "needs a `value`; null clears it"))?;
                self.set(op, path, filter, value)
            }
        }
    }

    fn remove(
        &mut self,
        path: AttributePath,
        filter: Option<Filter>,
        value: Option<Value>,
    ) -> Result<(), ScimError> {
        let AttributePath { extension, attribute, part } = path;
        if attribute.required && part.is_none() {
            return Err(mutability(&path.owner(), "is required and cannot be removed"));
        }
        let listed = value.filter(|value| !value.is_null() && attribute.multi_valued);
        let what = match (part, filter, listed) {
            (Some(part), filter, _) if attribute.multi_valued => {
                What::Elements { filter, action: Action::SetPart(part, None), on_nothing: OnNothing::Ignore }
            }
            (Some(part), ..) => What::SetPart(part, None),
            (None, filter @ Some(_), _) => {
                What::Elements { filter, action: Action::Remove, on_nothing: OnNothing::Ignore }
            }
            (None, None, Some(listed)) => {
                What::RemoveLike(values::elements(attribute, named(listed), &path.owner())?)
            }
            (None, None, None) => What::Set(None),
        };
        self.steps.push(Step { extension, attribute, what });
        Ok(())
    }

    fn set(
        &mut self,
        op: Op,
        path: AttributePath,
        filter: Option<Filter>,
        value: Value,
    ) -> Result<(), ScimError> {
        let AttributePath { extension, attribute, part } = path;
        let name = path.owner();
        let what = match (part, filter) {
            (Some(part), filter) => {
                let accepted = values::single(part, value, &format!("{name}.{}", part.name))?;
                if attribute.multi_valued {
                    let on_nothing = if accepted.is_some() { OnNothing::Create } else { OnNothing::Ignore };
                    What::Elements { filter, action: Action::SetPart(part, accepted), on_nothing }
                } else {
                    What::SetPart(part, accepted)
                }
            }
            (None, Some(filter)) => element(op, attribute, filter, value, &name)?,
            (None, None) if attribute.multi_valued && op == Op::Add => {
                What::Add(values::elements(attribute, value, &name)?)
            }
            (None, None) if attribute.kind == Kind::Complex && !attribute.multi_valued => {
                return self.parts(op, path, value);
            }
            // To add nothing changes nothing.
            (None, None) if op == Op::Add && value.is_null() => return Ok(()),
            (None, None) => What::Set(values::accept(attribute, value, &name)?),
        };
        self.steps.push(Step { extension, attribute, what });
        Ok(())
    }

    /// A complex attribute with one value: the parts that are sent are set, the others stay.
    fn parts(&mut self, op: Op, path: AttributePath, value: Value) -> Result<(), ScimError> {
        let AttributePath { extension, attribute, .. } = path;
        let object = match values::bare(attribute, value, &path.owner())? {
            Value::Object(object) => object,
            Value::Null if op == Op::Replace => {
                self.steps.push(Step { extension, attribute, what: What::Set(None) });
                return Ok(());
            }
            Value::Null => return Ok(()),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err(invalid(&path.owner(), "must be an object"));
            }
        };
        for (key, value) in object {
            match attribute.part(&key).filter(|part| part.writable()) {
                Some(part) => self.set(op, AttributePath { part: Some(part), ..path }, None, value)?,
                None => {
                    self.ignored.insert(shown(&format!("{}.{key}", attribute.name)));
                }
            }
        }
        Ok(())
    }

    /// Who is in a group. Members are picked by their ids, and nothing else about them is written.
    fn members(
        &mut self,
        op: Op,
        part: Option<&'static Attribute>,
        filter: Option<Filter>,
        value: Option<Value>,
    ) -> Result<(), ScimError> {
        if let Some(part) = part {
            let name = format!("members.{}", part.name);
            return Err(mutability(&name, "cannot be changed; remove the member and add another"));
        }
        let change = match (op, filter) {
            (Op::Remove, Some(filter)) => MemberChange::Remove(filter.ids().ok_or_else(|| {
                ScimError::new(ErrorKind::InvalidFilter, "`members` are picked by `value eq`, joined by `or`")
            })?),
            (Op::Add | Op::Replace, Some(_)) => {
                return Err(bad("`members` takes no brackets here; add and remove members".to_owned()));
            }
            (Op::Remove, None) => match value {
                None | Some(Value::Null) => MemberChange::Replace(Vec::new()),
                Some(value) => {
                    MemberChange::Remove(membership::read(value)?.into_iter().map(|m| m.id).collect())
                }
            },
            (Op::Add | Op::Replace, None) => {
                let value = value.ok_or_else(|| invalid("members", "needs a `value`"))?;
                let members = membership::read(value)?;
                if op == Op::Add { MemberChange::Add(members) } else { MemberChange::Replace(members) }
            }
        };
        self.membership.then(change);
        Ok(())
    }
}

/// An object for the elements that a filter picks.
fn element(
    op: Op,
    attribute: &'static Attribute,
    filter: Filter,
    value: Value,
    name: &str,
) -> Result<What, ScimError> {
    let mut elements = values::elements(attribute, value, name)?;
    let (Some(Value::Object(parts)), true) = (elements.pop(), elements.is_empty()) else {
        return Err(invalid(name, "must be one object"));
    };
    let (action, on_nothing) = match op {
        Op::Replace => (Action::Replace(parts), OnNothing::Refuse),
        Op::Add | Op::Remove => (Action::Merge(parts), OnNothing::Create),
    };
    Ok(What::Elements { filter: Some(filter), action, on_nothing })
}

/// A list of values to remove, in which a bare text stands for the part `value`.
fn named(value: Value) -> Value {
    match value {
        text @ Value::String(_) => Value::Object(Map::from_iter([("value".to_owned(), text)])),
        Value::Array(list) => Value::Array(list.into_iter().map(named).collect()),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => other,
    }
}

fn mutability(name: &str, why: &str) -> ScimError {
    ScimError::new(ErrorKind::Mutability, format!("`{name}` {why}"))
}
