//! The policies as they would be for somebody of whom one fact is another one.
//!
//! Two requests cannot be compared in one question to the solver. But whether a request would be allowed if
//! its principal were an employee is whether policies allow it in which `Employment::"employee"` stands
//! wherever they ask for the principal's employment.
//!
//! "Wherever" is all of it. A policy can ask in other words (`{who: principal}.who.employment`), or for all of
//! a record at once (`context.time == {…}`). Whoever could have asked so in a way that is not seen here is
//! refused: then nobody knows.

use std::iter;

use cedar_policy::{EntityUid, Policy, PolicySet};
use doorward_policy::{Changed, on_policy_stack};
use serde_json::{Value, json};

use super::expression::{is_entity, may_fail, parts, path};

/// All policies of a set, with the fact changed.
#[derive(Debug)]
pub(super) struct Substituted {
    pub(super) set: PolicySet,
    /// Those that ask for the fact, as they are now.
    pub(super) asking: Vec<Policy>,
}

/// Changes a fact in all policies of a set.
///
/// # Errors
/// One of them may ask for the fact in a way that cannot be changed.
pub(super) fn everywhere(set: &PolicySet, changed: &Changed) -> Result<Substituted, String> {
    on_policy_stack(|| {
        let mut asking = Vec::new();
        let mut one = |policy: &Policy| {
            let mut change = Change::of(changed);
            let mut json = policy.to_json().map_err(|e| e.to_string())?;
            for condition in bodies(&mut json) {
                change.look(condition, Place::Elsewhere).map_err(|why| format!("`{}` {why}", policy.id()))?;
            }
            if !change.asked {
                return Ok(policy.clone());
            }
            let now = Policy::from_json(Some(policy.id().clone()), json).map_err(|e| e.to_string())?;
            asking.push(now.clone());
            Ok(now)
        };
        let policies = set.policies().map(&mut one).collect::<Result<Vec<_>, String>>()?;
        Ok(Substituted { set: PolicySet::from_policies(policies).map_err(|e| e.to_string())?, asking })
    })?
}

/// The pattern, where the fact is not yet what it is changed to.
pub(super) fn where_it_differs(pattern: &Policy, changed: &Changed) -> Result<Policy, String> {
    let Some((root, attrs)) = changed.path.split_first() else { return Err("a fact has a name".to_owned()) };
    let fact = attrs
        .iter()
        .fold(json!({ "Var": root }), |left, attr| json!({ ".": { "left": left, "attr": attr } }));
    let body = json!({ "==": { "left": fact, "right": entity(&changed.value) } });
    on_policy_stack(|| {
        let mut json = pattern.to_json().map_err(|e| e.to_string())?;
        let conditions = json.get_mut("conditions").and_then(Value::as_array_mut);
        conditions.ok_or("a policy has no conditions")?.push(json!({ "kind": "unless", "body": body }));
        Policy::from_json(Some(pattern.id().clone()), json).map_err(|e| e.to_string())
    })?
}

/// Whether the conditions of a policy may go wrong for some request, as far as their words tell.
pub(super) fn conditions_may_fail(policy: &Policy) -> bool {
    let told = on_policy_stack(|| match policy.to_json() {
        Ok(mut json) => bodies(&mut json).any(may_fail),
        Err(_) => true,
    });
    told.unwrap_or(true)
}

fn bodies(policy: &mut Value) -> impl Iterator<Item = &mut Value> {
    let conditions = policy.get_mut("conditions").and_then(Value::as_array_mut);
    conditions.into_iter().flatten().filter_map(|condition| condition.get_mut("body"))
}

fn entity(uid: &EntityUid) -> Value {
    let (kind, id) = (uid.type_name().to_string(), uid.id().unescaped());
    json!({ "Value": { "__entity": { "type": kind, "id": id } } })
}

/// Where an expression stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Only one of its attributes, its name, or what it is in is asked for.
    LookedAt,
    /// Anything may become of it.
    Elsewhere,
}

struct Change<'a> {
    path: Vec<&'a str>,
    value: Value,
    asked: bool,
}

impl<'a> Change<'a> {
    fn of(changed: &'a Changed) -> Self {
        let path = changed.path.iter().map(String::as_str).collect();
        Self { path, value: entity(&changed.value), asked: false }
    }

    /// Changes the fact in an expression.
    fn look(&mut self, expression: &mut Value, place: Place) -> Result<(), String> {
        if let Some(path) = path(expression) {
            if path == self.path {
                *expression = self.value.clone();
                self.asked = true;
                return Ok(());
            }
            if place == Place::Elsewhere && self.holds(&path) {
                return Err(format!("uses all of `{}`: {}", path.join("."), self.so_write()));
            }
        }
        if let Some(written_out) = each_step(expression) {
            *expression = written_out;
        }
        self.attribute(expression)?;
        if self.is_presence(expression) {
            *expression = json!({ "Value": true });
            self.asked = true;
            return Ok(());
        }
        let (word, mut below) = parts(expression)?;
        let places = places(&word, &below).into_iter().chain(iter::repeat(Place::Elsewhere));
        below.iter_mut().zip(places).try_for_each(|(part, place)| self.look(part, place))
    }

    /// Whether the fact is one part of what stands at this path. Of an entity that is not so: it is only its
    /// name, whatever is said of it.
    fn holds(&self, path: &[&str]) -> bool {
        let whole = path != ["principal"] && path != ["resource"];
        whole && path.len() < self.path.len() && self.path.starts_with(path)
    }

    /// An attribute that is called as one on the way to the fact is read off what everybody can follow.
    fn attribute(&self, expression: &Value) -> Result<(), String> {
        let Some(look) = expression.get(".").or_else(|| expression.get("has")) else { return Ok(()) };
        let Some(attr) = look.get("attr").and_then(Value::as_str) else {
            return Ok(());
        };
        let ours = self.path.iter().skip(1).any(|step| *step == attr);
        if ours && look.get("left").is_none_or(|left| path(left).is_none()) {
            return Err(format!("asks for `{attr}` of what only a computation tells: {}", self.so_write()));
        }
        Ok(())
    }

    /// Whether it asks if the fact is there at all.
    fn is_presence(&self, expression: &Value) -> bool {
        let Some(look) = expression.get("has") else { return false };
        let (Some(of), Some(attr)) =
            (look.get("left").and_then(path), look.get("attr").and_then(Value::as_str))
        else {
            return false;
        };
        self.path.split_last().is_some_and(|(last, above)| *last == attr && above == of)
    }

    fn so_write(&self) -> String {
        format!("nobody can tell whether that is `{}`, so write that", self.path.join("."))
    }
}

/// `a has b.c` as `a has b && a.b has c`.
fn each_step(expression: &Value) -> Option<Value> {
    let look = expression.get("has")?;
    let (mut left, steps) = (look.get("left")?.clone(), look.get("attr")?.as_array()?);
    let mut all: Option<Value> = None;
    for step in steps {
        let has = json!({ "has": { "left": left, "attr": step } });
        left = json!({ ".": { "left": left, "attr": step } });
        all = Some(match all {
            Some(before) => json!({ "&&": { "left": before, "right": has } }),
            None => has,
        });
    }
    all
}

/// Where the first two parts of an expression stand; all others stand elsewhere.
fn places(word: &str, parts: &[&mut Value]) -> [Place; 2] {
    use Place::{Elsewhere, LookedAt};
    let by_name = |part: Option<&&mut Value>| part.is_some_and(|part| is_entity(part));
    let names = |part: Option<&&mut Value>| {
        let members = part.and_then(|part| part.get("Set")).and_then(Value::as_array);
        members.is_some_and(|members| members.iter().all(is_entity))
    };
    match word {
        "." | "has" | "is" | "hasTag" | "getTag" => [LookedAt, Elsewhere],
        "in" => [LookedAt, LookedAt],
        "==" | "!=" if by_name(parts.first()) || by_name(parts.get(1)) => [LookedAt, LookedAt],
        "contains" if names(parts.first()) => [Elsewhere, LookedAt],
        _ => [Elsewhere, Elsewhere],
    }
}

#[cfg(test)]
mod tests;
