//! The decision.
//!
//! Cedar passes over a policy that it cannot evaluate, a `forbid` included. So an allow counts
//! only when nothing went wrong, and whatever cannot even be asked is refused. Nothing in here
//! returns an allow but the one line that checks all of it.
//!
//! An agent may never more than the person for whom it acts (RFC 8693 §4.1). No policy can say that, because
//! a policy sees one principal. So of whatever an agent may, the same is asked for the person, from the same
//! place and with what their sign-in proved; only if both may, it may.

use std::sync::Arc;

use cedar_policy::{Decision as Cedar, Request, Response};
use doorward_model::{Demand, Principal, Refusal, RefusalCode};

use crate::bundle::{Note, Placed, PolicyBundle};
use crate::question::{Decision, Question, Verdict};
use crate::vocabulary::whole;

impl PolicyBundle {
    /// Answers one question.
    #[must_use]
    pub fn decide(&self, q: &Question<'_>) -> Verdict {
        let verdict = self.decide_one(q);
        match &**q.principal {
            Principal::Agent(agent) if verdict.is_allow() => {
                let person = Arc::new(Principal::User(agent.on_behalf_of.clone()));
                let of_person = self.decide_one(&Question { principal: &person, ..q.clone() });
                self.both(&verdict, of_person)
            }
            Principal::User(_)
            | Principal::ServiceAccount(_)
            | Principal::Agent(_)
            | Principal::Visitor(_) => verdict,
        }
    }

    /// What an agent may that the person for whom it acts may, too. `agent` is an allow.
    fn both(&self, agent: &Verdict, person: Verdict) -> Verdict {
        let Verdict { decision, determining, errors, refusal, revision } = person;
        match (decision, refusal) {
            (Decision::Allow, None) => {
                let more = determining.into_iter().filter(|id| !agent.determining.contains(id));
                let determining = agent.determining.iter().cloned().chain(more).collect();
                Verdict { decision, determining, errors, refusal: None, revision }
            }
            (Decision::Allow | Decision::Deny, refusal) => {
                let refusal = refusal.unwrap_or_else(|| Refusal::new(RefusalCode::NoPermit, ""));
                let detail = format!("the person for whom the agent acts may not: {}", refusal.detail);
                // What would help the person is not in the agent's hands.
                let refusal = Refusal { detail, advice: Vec::new(), demand: None, ..refusal };
                self.deny(determining, errors, refusal)
            }
        }
    }

    /// What the policies say of the question as it stands.
    pub(crate) fn decide_one(&self, q: &Question<'_>) -> Verdict {
        match self.ask(q) {
            Ok(response) => self.verdict(&response),
            Err(why) => {
                let detail = format!("the policies could not be asked: {why}");
                let refusal = Refusal::new(RefusalCode::PolicyError, detail);
                self.deny(Vec::new(), Vec::new(), refusal)
            }
        }
    }

    fn ask(&self, q: &Question<'_>) -> Result<Response, String> {
        let placed = self.placed(q)?;
        let slice = self.slice(&placed, q.action)?;
        let request = self.request(&placed, q)?;
        Ok(self.authorizer.is_authorized(&request, &slice, &placed.scene.entities))
    }

    /// The question in Cedar's form, checked against the schema.
    pub(crate) fn request(&self, placed: &Placed, q: &Question<'_>) -> Result<Request, String> {
        let (principal, resource) = (placed.scene.principal.clone(), placed.scene.resource.clone());
        let action = self.words.action(q.action).clone();
        let context = self.circumstances.context(&self.words, q)?;
        Request::new(principal, action, resource, context, Some(&self.words.schema)).map_err(|e| whole(&e))
    }

    fn verdict(&self, response: &Response) -> Verdict {
        let diagnostics = response.diagnostics();
        let mut deciding: Vec<&Note> = diagnostics.reason().filter_map(|id| self.notes.get(id)).collect();
        deciding.sort_by(|a, b| (a.severity, &a.id).cmp(&(b.severity, &b.id)));
        let determining: Vec<Arc<str>> = deciding.iter().map(|n| Arc::clone(&n.id)).collect();
        let mut errors: Vec<(Arc<str>, String)> = diagnostics
            .errors()
            .map(|e| match e {
                cedar_policy::AuthorizationError::PolicyEvaluationError(e) => {
                    let id: &str = e.policy_id().as_ref();
                    (Arc::from(id), e.inner().to_string())
                }
            })
            .collect();
        errors.sort();
        match (response.decision(), errors.is_empty()) {
            (Cedar::Allow, true) => Verdict {
                decision: Decision::Allow,
                determining,
                errors,
                refusal: None,
                revision: self.revision(),
            },
            // The permits that let it through in spite of the error did not decide.
            (Cedar::Allow, false) => {
                let refusal = broken(&errors);
                self.deny(Vec::new(), errors, refusal)
            }
            (Cedar::Deny, false) => {
                let refusal = explain(&deciding, broken(&errors));
                self.deny(determining, errors, refusal)
            }
            (Cedar::Deny, true) if deciding.is_empty() => {
                let refusal = Refusal::new(RefusalCode::NoPermit, "no policy permits this");
                self.deny(determining, errors, refusal)
            }
            (Cedar::Deny, true) => {
                let detail = format!("forbidden by {}", determining.join(", "));
                let refusal = explain(&deciding, Refusal::new(RefusalCode::PolicyForbids, detail));
                let refusal = Refusal { demand: all_demand(&deciding), ..refusal };
                self.deny(determining, errors, refusal)
            }
        }
    }

    fn deny(&self, determining: Vec<Arc<str>>, errors: Vec<(Arc<str>, String)>, refusal: Refusal) -> Verdict {
        let (decision, revision) = (Decision::Deny, self.revision());
        Verdict { decision, determining, errors, refusal: Some(refusal), revision }
    }
}

fn broken(errors: &[(Arc<str>, String)]) -> Refusal {
    let all: Vec<String> = errors.iter().map(|(id, e)| format!("{id}: {e}")).collect();
    Refusal::new(RefusalCode::PolicyError, format!("could not be evaluated: {}", all.join("; ")))
}

/// Adds what the deciding policies want the person to know: the reason of the gravest one that
/// gives one, and the advice of all.
fn explain(deciding: &[&Note], refusal: Refusal) -> Refusal {
    let reason = deciding.iter().find_map(|n| n.reason.clone());
    let mut advice: Vec<String> = Vec::new();
    for one in deciding.iter().filter_map(|n| n.advice.as_ref()) {
        if !advice.contains(one) {
            advice.push(one.clone());
        }
    }
    Refusal { reason, advice, ..refusal }
}

/// The sign-in with which none of them would apply. One that no sign-in helps against is enough for none.
fn all_demand(deciding: &[&Note]) -> Option<Demand> {
    let mut demands = deciding.iter().map(|note| note.demand);
    let first = demands.next()??;
    demands.try_fold(first, |all, one| Some(all.and(one?)))
}
