//! An explanation for programs: the answer of the operator API, and of `doorward policy explain --format json`.

use cedar_policy::Effect;
use serde_json::{Value, json};

use super::{Explained, Explanation, Seen};
use crate::conditions::{Kind, Part, Truth};

impl Explanation {
    /// As JSON. Its words are a contract: docs/reference/operator-api.md has them.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "decision": self.decision.as_str(),
            "own": self.own.as_str(),
            "deciding": self.deciding,
            "errors": self.errors.iter().map(|(id, why)| json!({ "policy": id, "why": why })).collect::<Vec<_>>(),
            "policies": self.policies.iter().map(Explained::to_json).collect::<Vec<_>>(),
            "left_out": self.left_out,
            "nearest_permit": self.missed.as_ref().map(|m| json!({ "policy": m.id, "lacks": m.lacks })),
            "way": self.way.as_ref().map(|way| json!({
                "proved": way.proof.is_some(),
                "steps": way.steps.iter().map(|s| json!({ "who": s.hand.as_str(), "what": s.what })).collect::<Vec<_>>(),
            })),
            "unasked": self.unasked,
            "person": self.person.as_ref().map(|person| person.to_json()),
        })
    }
}

impl Explained {
    fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "effect": match self.effect {
                Effect::Permit => "permit",
                Effect::Forbid => "forbid",
            },
            "title": self.title,
            "owner": self.owner,
            "reason": self.reason,
            "came_to": came_to(&self.truth),
            "conditions": self.conditions.iter().map(Seen::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Seen {
    fn to_json(&self) -> Value {
        let (kind, below) = match &self.kind {
            Kind::All(below) => ("all", below.clone()),
            Kind::Any(below) => ("any", below.clone()),
            Kind::Not(inner) => ("not", vec![*inner]),
            Kind::If { test, then, otherwise } => ("if", vec![*test, *then, *otherwise]),
            Kind::Atom => ("atom", Vec::new()),
        };
        let facts = self.facts.iter().map(|fact| {
            json!({
                "name": fact.name, "value": fact.value, "limit": fact.limit,
                "age_seconds": fact.age.map(|age| age.as_secs()),
            })
        });
        let mut seen = json!({
            "kind": kind,
            "part": part(self.part),
            "text": self.text,
            "span": self.span.as_ref().map(|span| [span.start, span.end]),
            "came_to": came_to(&self.truth),
            "failed": self.failed,
            "below": below,
            "facts": facts.collect::<Vec<_>>(),
        });
        if let (Truth::Error(why), Some(map)) = (&self.truth, seen.as_object_mut()) {
            map.insert("why".to_owned(), why.as_str().into());
        }
        seen
    }
}

const fn came_to(truth: &Truth) -> &'static str {
    match truth {
        Truth::True => "true",
        Truth::False => "false",
        Truth::Error(_) => "error",
        Truth::NotReached => "not_reached",
    }
}

const fn part(part: Part) -> &'static str {
    match part {
        Part::Whole => "policy",
        Part::Principal => "principal",
        Part::Action => "action",
        Part::Resource => "resource",
        Part::Clause => "clause",
    }
}
