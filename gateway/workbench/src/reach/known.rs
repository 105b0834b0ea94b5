//! What is known before there is a request, put into a policy.
//!
//! Partial evaluation knows all of the context or nothing. Two parts of it are known here all the same: whether
//! the directory grants the app, and the session of whoever is no person, for a machine and a visitor have
//! proved nothing by a sign-in. They are written into the policy in place of the words for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::{Policy, pst};
use doorward_model::Principal;
use pst::{Clause, Expr, Literal, StaticPolicy, UnaryOp, Var};

use super::Grant;

/// How old a sign-in is that never was, as every request of a machine says.
const NEVER: &str = "365d";

/// What is known of the circumstances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Facts {
    grant: Grant,
    /// Nobody signed in: it is a machine, or a visitor.
    no_sign_in: bool,
}

impl Facts {
    pub(super) fn of(principal: &Principal, grant: Grant) -> Self {
        match principal {
            Principal::User(_) => Self { grant, no_sign_in: false },
            // An agent has the grants of its person.
            Principal::Agent(_) => Self { grant, no_sign_in: true },
            // Nothing is granted to these.
            Principal::ServiceAccount(_) | Principal::Visitor(_) => {
                Self { grant: Grant::NotGiven, no_sign_in: true }
            }
        }
    }
}

/// The policy under its own name, with the facts in place of the words for them.
pub(super) fn put_in(policy: &Policy, facts: Facts) -> Result<Policy, String> {
    let told = |e: pst::PstConstructionError| e.to_string();
    let body = policy.to_pst().map_err(told)?.body().clone();
    let clauses: Vec<Clause> = body
        .clauses()
        .iter()
        .map(|clause| match clause {
            Clause::When(e) => Clause::When(replaced(e, facts)),
            Clause::Unless(e) => Clause::Unless(replaced(e, facts)),
        })
        .collect();
    let body =
        StaticPolicy::try_from(body.try_with_clauses(clauses).map_err(told)?).map_err(|e| e.to_string())?;
    Policy::from_pst(pst::Policy::Static(body)).map_err(told)
}

fn is_context(e: &Expr) -> bool {
    matches!(e, Expr::Var(Var::Context))
}

fn flag(value: bool) -> Arc<Expr> {
    Arc::new(Expr::Literal(Literal::Bool(value)))
}

/// The session of whoever did not sign in.
fn no_session() -> Arc<Expr> {
    let never = || {
        let text = Arc::new(Expr::Literal(Literal::String(NEVER.into())));
        Arc::new(Expr::UnaryOp { op: UnaryOp::Duration, expr: text })
    };
    let fields = [
        ("mfa", flag(false)),
        ("phishingResistant", flag(false)),
        ("known", flag(false)),
        ("age", never()),
        ("mfaAge", never()),
    ];
    Arc::new(Expr::Record(fields.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()))
}

fn replaced(e: &Arc<Expr>, facts: Facts) -> Arc<Expr> {
    let again = |e: &Arc<Expr>| replaced(e, facts);
    let made = match &**e {
        Expr::GetAttr { expr, attr } if is_context(expr) && attr == "granted" => match facts.grant {
            Grant::Given => return flag(true),
            Grant::NotGiven => return flag(false),
            Grant::Unknown => return Arc::clone(e),
        },
        Expr::GetAttr { expr, attr } if is_context(expr) && attr == "session" && facts.no_sign_in => {
            return no_session();
        }
        Expr::GetAttr { expr, attr } => Expr::GetAttr { expr: again(expr), attr: attr.clone() },
        Expr::HasAttr { expr, attrs } => Expr::HasAttr { expr: again(expr), attrs: attrs.clone() },
        Expr::UnaryOp { op, expr } => Expr::UnaryOp { op: *op, expr: again(expr) },
        Expr::BinaryOp { op, left, right } => {
            Expr::BinaryOp { op: *op, left: again(left), right: again(right) }
        }
        Expr::Like { expr, pattern } => Expr::Like { expr: again(expr), pattern: pattern.clone() },
        Expr::Is { expr, entity_type, in_expr } => Expr::Is {
            expr: again(expr),
            entity_type: entity_type.clone(),
            in_expr: in_expr.as_ref().map(again),
        },
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            Expr::IfThenElse { cond: again(cond), then_expr: again(then_expr), else_expr: again(else_expr) }
        }
        Expr::Set(of) => Expr::Set(of.iter().map(again).collect()),
        Expr::Record(of) => {
            Expr::Record(of.iter().map(|(key, e)| (key.clone(), again(e))).collect::<BTreeMap<_, _>>())
        }
        // A form that Cedar may add one day: nothing is put into it, and it stays a condition.
        _ => return Arc::clone(e),
    };
    Arc::new(made)
}
