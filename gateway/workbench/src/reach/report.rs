//! Answers for programs.

use std::collections::HashMap;
use std::sync::Arc;

use doorward_model::{Principal, RouteFacts};
use doorward_policy::Action;
use serde_json::{Value, json};

use super::{Answer, Because, Clause, Subject, Terms, Whose};

/// Answers and whose they are, as the operator API gives them: each answer once, however many have it.
#[derive(Debug, Default)]
pub struct Page {
    answers: Vec<Value>,
    numbers: HashMap<Answer, usize>,
    rows: Vec<Value>,
}

impl Page {
    /// Adds what somebody may do.
    pub fn add(&mut self, who: &Subject, action: Action, route: &RouteFacts, answer: Answer) {
        let who = json!({ "name": who.name, "id": who.id(), "kind": kind(&who.principal) });
        self.row(&who, action, route, answer);
    }

    /// Adds somebody who cannot be asked about: a `kind` of whom there is no sign-in.
    pub fn add_unasked(
        &mut self,
        name: &str,
        kind: &'static str,
        action: Action,
        route: &RouteFacts,
        answer: Answer,
    ) {
        self.row(&json!({ "name": name, "id": null, "kind": kind }), action, route, answer);
    }

    fn row(&mut self, who: &Value, action: Action, route: &RouteFacts, answer: Answer) {
        let next = self.answers.len();
        let number = match self.numbers.get(&answer) {
            Some(number) => *number,
            None => {
                self.answers.push(answer.to_json());
                self.numbers.insert(answer, next);
                next
            }
        };
        self.rows.push(json!({
            "who": who,
            "action": action.as_str(),
            "route": route.id.as_str(),
            "answer": number,
        }));
    }

    /// `answers`, and `rows` that say who, what and the place of the answer among them.
    #[must_use]
    pub fn to_json(self) -> Value {
        json!({ "answers": self.answers, "rows": self.rows })
    }
}

impl Whose {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asker => "asker",
            Self::Person => "person",
        }
    }
}

impl Answer {
    /// As JSON, as the operator API gives it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Always { by } => json!({ "answer": self.word(), "by": names(by) }),
            Self::If(terms) => {
                json!({ "answer": self.word(), "terms": terms.iter().map(of_terms).collect::<Vec<_>>() })
            }
            Self::Never(why) => {
                let (because, policies, detail) = match &why.because {
                    Because::NotPermitted => ("not_permitted", Vec::new(), None),
                    Because::Forbidden(by) => ("forbidden", names(by), None),
                    Because::Fails(by) => ("fails", names(by), None),
                    Because::NotAsked(detail) => ("not_asked", Vec::new(), Some(detail)),
                };
                json!({
                    "answer": self.word(), "whose": why.whose.as_str(), "because": because,
                    "policies": policies, "detail": detail,
                })
            }
        }
    }
}

const fn kind(of: &Principal) -> &'static str {
    match of {
        Principal::User(_) => "user",
        Principal::ServiceAccount(_) => "service_account",
        Principal::Agent(_) => "agent",
        Principal::Visitor(_) => "visitor",
    }
}

fn names(of: &[Arc<str>]) -> Vec<&str> {
    of.iter().map(|name| &**name).collect()
}

fn of_terms(terms: &Terms) -> Value {
    let clauses = |of: &[Clause]| of.iter().map(clause).collect::<Vec<_>>();
    json!({
        "whose": terms.whose.as_str(),
        "by": names(&terms.by),
        "permits": clauses(&terms.permits),
        "forbids": clauses(&terms.forbids),
        "may_fail": names(&terms.may_fail),
    })
}

fn clause(clause: &Clause) -> Value {
    json!({ "policy": &*clause.policy, "needs": clause.need.lines(), "cedar": clause.need.cedar() })
}
