//! Answers for programs.

use std::collections::HashMap;
use std::sync::Arc;

use doorward_model::{Principal, RouteFacts};
use doorward_policy::{Action, Revision};
use serde_json::{Value, json};

use super::{Answer, Because, Clause, Subject, Terms, Whose};

/// Answers and whose they are, as the operator API gives them: each answer once, however many have it.
#[derive(Debug, Default)]
pub struct Page {
    answers: Vec<Value>,
    numbers: HashMap<Answer, usize>,
    rows: Vec<Value>,
}

/// Whom a row is about, and by which policies its answer is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry<'e> {
    /// What to call it.
    pub name: &'e str,
    /// `user`, `service_account`, `agent` or `visitor`.
    pub kind: &'static str,
    /// `issuer:subject`; none for a visitor, and where nobody has signed in so.
    pub id: Option<String>,
    /// As whom the person signs in for whom an agent acts, or who answers for a service account.
    pub person: Option<String>,
    /// The id in the directory, where it is from there: whoever has several sign-ins has a row for each.
    pub record: Option<String>,
    /// The policies that were asked; none where none were.
    pub revision: Option<Revision>,
}

impl<'e> Entry<'e> {
    /// Somebody who was asked about, by these policies.
    #[must_use]
    pub fn of(who: &'e Subject, revision: Revision) -> Self {
        let person = match &*who.principal {
            Principal::Agent(agent) => Some(&agent.on_behalf_of.id),
            Principal::ServiceAccount(account) => Some(&account.owner),
            Principal::User(_) | Principal::Visitor(_) => None,
        };
        Self {
            name: &who.name,
            kind: kind(&who.principal),
            id: who.id(),
            person: person.map(ToString::to_string),
            record: None,
            revision: Some(revision),
        }
    }
}

impl Page {
    /// Adds what somebody may do.
    pub fn add(&mut self, entry: &Entry<'_>, action: Action, route: &RouteFacts, answer: Answer) {
        let Entry { name, kind, id, person, record, revision } = entry;
        let who = json!({ "name": name, "id": id, "kind": kind, "person": person, "record": record });
        let revision = revision.map(|revision| revision.to_string());
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
            "revision": revision,
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
