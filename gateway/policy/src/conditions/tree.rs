//! From Cedar's tree to conditions.

use std::ops::Range;

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, UnaryOp};
use cedar_policy_core::parser::Loc;
use doorward_model::limits::{POLICY_CONDITIONS_MAX, POLICY_DEPTH_MAX};

use super::{Condition, Kind, Part};

pub(super) struct Build<'a> {
    /// Where the policy stands in the text that was read.
    pub(super) whole: Option<&'a Loc>,
    pub(super) base: usize,
    pub(super) all: Vec<Condition>,
}

/// What an expression is to us.
enum Form<'e> {
    All(Vec<&'e Expr>),
    Any(Vec<&'e Expr>),
    Not(&'e Expr),
    If(&'e Expr, &'e Expr, &'e Expr),
    Atom,
}

impl Build<'_> {
    fn place(&self, loc: Option<&Loc>) -> Option<Range<usize>> {
        let loc = loc?;
        Some(loc.start().checked_sub(self.base)?..loc.end().checked_sub(self.base)?)
    }

    pub(super) fn push(
        &mut self,
        part: Part,
        span: Option<Range<usize>>,
        loc: Option<Loc>,
        expr: Expr,
    ) -> usize {
        self.all.push(Condition { kind: Kind::Atom, part, span, loc, expr });
        self.all.len() - 1
    }

    pub(super) fn side(&mut self, part: Part, expr: Expr, span: Option<Range<usize>>) -> usize {
        let loc = self.whole.zip(span.clone()).map(|(whole, s)| whole.span((self.base + s.start, s.len())));
        self.push(part, span, loc, expr)
    }

    /// The clauses of a policy, which Cedar joins by `&&` at the place of the policy.
    pub(super) fn clauses<'e>(&self, mut expr: &'e Expr) -> Vec<&'e Expr> {
        let mut found = Vec::new();
        while let ExprKind::And { left, right } = expr.expr_kind() {
            if self.whole.is_none() || expr.source_loc() != self.whole || found.len() >= POLICY_CONDITIONS_MAX
            {
                break;
            }
            found.push(&**left);
            expr = right;
        }
        found.push(expr);
        found
    }

    /// Adds an expression and what is below it; returns its number.
    pub(super) fn add(&mut self, expr: &Expr, depth: usize) -> usize {
        let loc = expr.source_loc().cloned();
        let number = self.push(Part::Clause, self.place(loc.as_ref()), loc, expr.clone());
        if depth >= POLICY_DEPTH_MAX || number >= POLICY_CONDITIONS_MAX {
            return number;
        }
        let below = depth + 1;
        let kind = match form(expr) {
            // Longer than any policy that a gateway takes.
            Form::All(each) | Form::Any(each) if number + each.len() > POLICY_CONDITIONS_MAX => Kind::Atom,
            Form::All(each) => Kind::All(each.into_iter().map(|e| self.add(e, below)).collect()),
            Form::Any(each) => Kind::Any(each.into_iter().map(|e| self.add(e, below)).collect()),
            Form::Not(inner) => Kind::Not(self.add(inner, below)),
            Form::If(test, then, otherwise) => Kind::If {
                test: self.add(test, below),
                then: self.add(then, below),
                otherwise: self.add(otherwise, below),
            },
            Form::Atom => Kind::Atom,
        };
        if let Some(condition) = self.all.get_mut(number) {
            condition.kind = kind;
        }
        number
    }
}

fn form(expr: &Expr) -> Form<'_> {
    match expr.expr_kind() {
        ExprKind::And { left, right } if !is_in(expr, left, right) => Form::All(chain(expr, |kind| {
            let ExprKind::And { left, right } = kind else { return None };
            Some((left, right))
        })),
        ExprKind::Or { .. } => Form::Any(chain(expr, |kind| {
            let ExprKind::Or { left, right } = kind else { return None };
            Some((left, right))
        })),
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } if !comparison(expr, arg) => Form::Not(arg),
        ExprKind::If { test_expr, then_expr, else_expr } => Form::If(test_expr, then_expr, else_expr),
        // Whatever else Cedar has or will have is a leaf to us.
        _ => Form::Atom,
    }
}

/// The links of `a && b && c`, which Cedar reads as `(a && b) && c`, all of them at the place of the whole chain.
fn chain<'e>(expr: &'e Expr, split: impl Fn(&'e ExprKind) -> Option<(&'e Expr, &'e Expr)>) -> Vec<&'e Expr> {
    let mut links = Vec::new();
    let mut rest = expr;
    while let Some((left, right)) = split(rest.expr_kind())
        && rest.source_loc() == expr.source_loc()
    {
        links.push(right);
        rest = left;
    }
    links.push(rest);
    links.reverse();
    links
}

/// `a is T in b`, which Cedar reads as `a is T && a in b`, each at the place of the whole.
fn is_in(whole: &Expr, left: &Expr, right: &Expr) -> bool {
    let here = |e: &Expr| e.source_loc() == whole.source_loc();
    match (left.expr_kind(), right.expr_kind()) {
        (ExprKind::Is { expr, .. }, ExprKind::BinaryApp { op: BinaryOp::In, arg1, .. }) => {
            here(left) && here(right) && expr == arg1
        }
        _ => false,
    }
}

/// `a != b`, `a > b` and `a >= b`, which Cedar reads as `!(a == b)` and so on, each at the place of the whole.
fn comparison(whole: &Expr, inner: &Expr) -> bool {
    let ExprKind::BinaryApp { op: BinaryOp::Eq | BinaryOp::Less | BinaryOp::LessEq, .. } = inner.expr_kind()
    else {
        return false;
    };
    whole.source_loc() == inner.source_loc()
}
