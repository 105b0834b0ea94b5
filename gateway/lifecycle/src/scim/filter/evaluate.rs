//! Whether a resource matches.
//!
//! Of a list, one value that matches is enough. What is absent equals nothing but `null`, so
//! `ne` holds of it and no order does.

use serde_json::{Map, Value};

use super::super::names::{AttributePath, holder};
use super::super::schema::{Attribute, Kind, fold};
use super::grammar::comparable;
use super::{Literal, Node, Operator, Subject, Test};

// === impl Node ===

impl Node {
    /// `object` is the resource, or in brackets the element.
    pub(super) fn matches(&self, object: &Map<String, Value>) -> bool {
        match self {
            Self::And(nodes) => nodes.iter().all(|n| n.matches(object)),
            Self::Or(nodes) => nodes.iter().any(|n| n.matches(object)),
            Self::Not(node) => !node.matches(object),
            Self::Term { path: Subject::Part(part), test } => {
                test.holds(part, &values(object.get(part.name)))
            }
            Self::Term { path: Subject::Resource(path), test } => {
                let found = of(object, path);
                let found = match path.part {
                    None => found,
                    Some(part) => found.into_iter().flat_map(|v| values(v.get(part.name))).collect(),
                };
                test.holds(path.leaf(), &found)
            }
            Self::Element { path, filter, then } => {
                of(object, path).into_iter().filter_map(Value::as_object).filter(|e| filter.matches(e)).any(
                    |e| match then {
                        None => true,
                        Some((part, test)) => test.holds(part, &values(e.get(part.name))),
                    },
                )
            }
        }
    }
}

/// The values of an attribute of a resource, its part left aside.
fn of<'a>(resource: &'a Map<String, Value>, path: &AttributePath) -> Vec<&'a Value> {
    values(holder(resource, path.extension).and_then(|h| h.get(path.attribute.name)))
}

/// The values of an attribute: none, one, or those of a list.
fn values(value: Option<&Value>) -> Vec<&Value> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list.iter().collect(),
        Some(one @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_))) => vec![one],
    }
}

// === impl Test ===

impl Test {
    fn holds(&self, attribute: &'static Attribute, found: &[&Value]) -> bool {
        let Self::Compare(operator, literal) = self else {
            return found.iter().any(|v| is_present(v));
        };
        let Some(compared) = comparable(attribute) else { return false };
        let found: Vec<&Value> = match attribute.kind {
            Kind::Complex => found.iter().filter_map(|v| v.get(compared.name)).collect(),
            Kind::Text | Kind::Boolean | Kind::DateTime | Kind::Reference => found.to_vec(),
        };
        match (literal, operator) {
            (Literal::Null, Operator::NotEqual) => !found.is_empty(),
            (Literal::Null, _) => found.is_empty(),
            (_, Operator::NotEqual) => {
                found.is_empty() || found.iter().any(|v| !compare(Operator::Equal, compared, v, literal))
            }
            (_, operator) => found.iter().any(|v| compare(*operator, compared, v, literal)),
        }
    }
}

fn is_present(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn compare(operator: Operator, attribute: &Attribute, value: &Value, literal: &Literal) -> bool {
    match (value, literal) {
        (Value::String(text), Literal::Text { compared, .. }) if attribute.case_exact => {
            of_texts(operator, text, compared)
        }
        (Value::String(text), Literal::Text { compared, .. }) => of_texts(operator, &fold(text), compared),
        (Value::Bool(b), Literal::Boolean(wanted)) => of_order(operator, b.cmp(wanted)),
        (Value::String(text), Literal::Moment(wanted)) => {
            text.parse::<jiff::Timestamp>().is_ok_and(|at| of_order(operator, at.cmp(wanted)))
        }
        (
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_),
            Literal::Null | Literal::Boolean(_) | Literal::Text { .. } | Literal::Moment(_),
        ) => false,
    }
}

fn of_texts(operator: Operator, text: &str, wanted: &str) -> bool {
    match operator {
        Operator::Contains => text.contains(wanted),
        Operator::StartsWith => text.starts_with(wanted),
        Operator::EndsWith => text.ends_with(wanted),
        Operator::Equal
        | Operator::NotEqual
        | Operator::Greater
        | Operator::GreaterOrEqual
        | Operator::Less
        | Operator::LessOrEqual => of_order(operator, text.cmp(wanted)),
    }
}

fn of_order(operator: Operator, order: std::cmp::Ordering) -> bool {
    match operator {
        Operator::Equal => order.is_eq(),
        Operator::NotEqual => order.is_ne(),
        Operator::Greater => order.is_gt(),
        Operator::GreaterOrEqual => order.is_ge(),
        Operator::Less => order.is_lt(),
        Operator::LessOrEqual => order.is_le(),
        Operator::Contains | Operator::StartsWith | Operator::EndsWith => false,
    }
}
