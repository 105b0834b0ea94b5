//! A fact that nobody says, and what comes of it.
//!
//! Strict validation lets no policy read an optional attribute without asking whether it is there. So nothing
//! fails; but the question has an answer when it is not there, and where that answer keeps a forbid from
//! applying, or makes a permit apply, the absence of evidence opens a door.

use std::collections::BTreeSet;

use cedar_policy::pst::{BinaryOp, Clause, Expr, UnaryOp};
use doorward_policy::{Finding, Rule};

use super::Subject;
use super::form::{self, Form};

pub(super) fn lint(subject: &Subject<'_>, found: &mut Vec<Finding>) {
    // A forbid is weaker where less of it holds, a permit where more of it does.
    let opens_when_less = !subject.permits();
    let mut asked = BTreeSet::new();
    for clause in subject.body.clauses() {
        let (expr, holds) = match clause {
            Clause::When(expr) => (expr, true),
            Clause::Unless(expr) => (expr, false),
        };
        walk(expr, holds, opens_when_less, &mut asked);
    }
    let id = subject.source.id();
    for (fact, needle) in asked {
        let (message, help) = if subject.permits() {
            (
                format!("where nobody says `{fact}`, `{id}` permits all the more"),
                "ask that it be there: `when { … has … && … }`; what nobody knows should open no door",
            )
        } else {
            (
                format!("where nobody says `{fact}`, `{id}` does not forbid"),
                "`has` keeps it from failing, and the absent fact then decides; to refuse what nobody knows, \
                 write what is required: `unless { … has … && … }`",
            )
        };
        let at = subject.condition(&needle);
        found.push(subject.found(Rule::AbsentFact, at, message, help));
    }
}

/// Collects the facts whose absence opens a door, and how they are asked for. `counts_for`: whether `expr` holding makes the policy apply.
fn walk(expr: &Expr, counts_for: bool, opens_when_less: bool, asked: &mut BTreeSet<(String, String)>) {
    match expr {
        Expr::HasAttr { expr: of, attrs } if counts_for == opens_when_less => {
            let attrs: Vec<&str> = attrs.iter().map(|a| a.as_str()).collect();
            let attrs = attrs.join(".");
            asked.insert((format!("{of}.{attrs}"), format!("has {attrs}")));
        }
        Expr::BinaryOp { op: BinaryOp::HasTag, left, right } if counts_for == opens_when_less => {
            asked.insert((format!("{left}.getTag({right})"), format!("hasTag({right})")));
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
