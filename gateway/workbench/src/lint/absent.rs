//! A fact that nobody says, and what comes of it.
//!
//! Strict validation lets no policy read an optional attribute without asking whether it is there. So nothing
//! fails; but the question has an answer when it is not there, and where that answer keeps a forbid from
//! applying, or makes a permit apply, the absence of evidence opens a door.

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, UnaryOp};
use doorward_policy::Rule;

use super::Subject;
use super::form::{self, Form};
use super::found::{Found, LeftOut};

/// Of more facts than these it is not asked what their absence does.
const FACTS_MAX: usize = 100;

/// A fact whose absence may open a door.
struct Fact {
    /// As people read it.
    said: String,
    /// How the policy asks for it, to find the place.
    needle: String,
}

pub(super) fn lint(subject: &Subject<'_>, found: &mut Found<'_>) {
    // A forbid is weaker where less of it holds, a permit where more of it does.
    let opens_when_less = !subject.permits();
    let mut asked = BTreeMap::new();
    for clause in subject.body.clauses() {
        let (expr, holds) = match clause {
            Clause::When(expr) => (expr, true),
            Clause::Unless(expr) => (expr, false),
        };
        walk(expr, holds, opens_when_less, &mut asked);
    }
    if asked.len() > FACTS_MAX {
        found.leave_out(LeftOut::Facts);
    }
    let id = subject.source.id();
    for (question, fact) in asked.into_iter().take(FACTS_MAX) {
        let said = &fact.said;
        let (message, help) = match (subject.permits(), without(subject.body.clauses(), &question)) {
            // It refuses what nobody knows, or does not permit it.
            (false, Form::Settled(true)) | (true, Form::Settled(false)) => continue,
            (true, applies) => {
                let may =
                    if applies == Form::Settled(true) { "permits all the more" } else { "may permit more" };
                let help =
                    "ask that it be there: `when { … has … && … }`; what nobody knows should open no door";
                (format!("where nobody says `{said}`, `{id}` {may}"), help)
            }
            (false, applies) => {
                let does = if applies == Form::Settled(false) { "does not" } else { "may not" };
                let help = "`has` keeps it from failing, and the absent fact then decides; to refuse what nobody \
                            knows, write what is required: `unless { … has … && … }`";
                (format!("where nobody says `{said}`, `{id}` {does} forbid"), help)
            }
        };
        found.push(subject.found(Rule::AbsentFact, subject.condition(&fact.needle), message, help));
    }
}

/// Collects the facts whose absence may open a door, by the question for them. `counts_for`: whether `expr`
/// holding makes the policy apply.
fn walk(expr: &Expr, counts_for: bool, opens_when_less: bool, asked: &mut BTreeMap<String, Fact>) {
    match expr {
        Expr::HasAttr { expr: of, attrs } if counts_for == opens_when_less => {
            let attrs: Vec<&str> = attrs.iter().map(|a| a.as_str()).collect();
            let attrs = attrs.join(".");
            let fact = Fact { said: format!("{of}.{attrs}"), needle: format!("has {attrs}") };
            asked.insert(form::text(expr), fact);
        }
        Expr::BinaryOp { op: BinaryOp::HasTag, left, right } if counts_for == opens_when_less => {
            let fact = Fact { said: format!("{left}.getTag({right})"), needle: format!("hasTag({right})") };
            asked.insert(form::text(expr), fact);
        }
        Expr::UnaryOp { op: UnaryOp::Not, expr } => walk(expr, !counts_for, opens_when_less, asked),
        Expr::BinaryOp { op: BinaryOp::And | BinaryOp::Or, left, right } => {
            walk(left, counts_for, opens_when_less, asked);
            walk(right, counts_for, opens_when_less, asked);
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            // What is not there leads to `else`; it opens a door where that settles the matter so.
            match form::form(else_expr, counts_for) {
                Form::Settled(applies) if applies != opens_when_less => {
                    walk(cond, opens_when_less, opens_when_less, asked);
                }
                Form::Settled(_) | Form::One(..) | Form::All(_) | Form::Any(_) => {}
            }
            walk(then_expr, counts_for, opens_when_less, asked);
            walk(else_expr, counts_for, opens_when_less, asked);
        }
        // Nothing else is a condition made of conditions.
        _ => {}
    }
}

/// What the clauses come to where the answer to `question` is no.
fn without(clauses: &[Clause], question: &str) -> Form {
    form::all(clauses.iter().map(|clause| match clause {
        Clause::When(expr) => form::form(&denied(expr, question), true),
        Clause::Unless(expr) => form::form(&denied(expr, question), false),
    }))
}

/// The condition with `false` for the question.
fn denied(expr: &Arc<Expr>, question: &str) -> Arc<Expr> {
    let denied = |expr: &Arc<Expr>| denied(expr, question);
    match &**expr {
        Expr::UnaryOp { op: op @ UnaryOp::Not, expr } => {
            Arc::new(Expr::UnaryOp { op: *op, expr: denied(expr) })
        }
        Expr::BinaryOp { op: op @ (BinaryOp::And | BinaryOp::Or), left, right } => {
            Arc::new(Expr::BinaryOp { op: *op, left: denied(left), right: denied(right) })
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => Arc::new(Expr::IfThenElse {
            cond: denied(cond),
            then_expr: denied(then_expr),
            else_expr: denied(else_expr),
        }),
        Expr::HasAttr { .. } | Expr::BinaryOp { op: BinaryOp::HasTag, .. }
            if form::text(expr) == question =>
        {
            Arc::new(Expr::Literal(Literal::Bool(false)))
        }
        // Nothing else is a condition made of conditions.
        _ => Arc::clone(expr),
    }
}
