//! What a policy says, written so that two policies that plainly say the same are the same text.
//!
//! Only steps that change nothing at all, errors included: negations move down to the conditions (`&&` and `||` stop at the
//! first that settles the matter, and so do their opposites), chains are flat, a constant that is reached first goes,
//! `a > b` is `!(a <= b)` as in Cedar itself. Policies of different texts may still say the same; that takes a solver.

use cedar_policy::Policy;
use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, UnaryOp};

/// A policy that never applies and never fails, which is none.
pub(super) const NEVER: &str = "never";

/// The policy in normal form. None where Cedar has no tree of it.
pub(super) fn form(policy: &Policy) -> Option<String> {
    let policy = policy.to_pst().ok()?;
    let body = policy.body();
    let mut whole = Form::Is(true);
    for clause in body.clauses() {
        let next = match clause {
            Clause::When(expr) => down(expr, true),
            Clause::Unless(expr) => down(expr, false),
        };
        whole = whole.join(next, true);
    }
    if whole == Form::Is(false) {
        return Some(NEVER.to_owned());
    }
    let scope = (&body.principal, &body.action, &body.resource);
    Some(format!("{} {scope:?} {whole:?}", body.effect))
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Is(bool),
    /// A chain: of `&&` if true, of `||` if not. At least two links, none of them a chain of the same kind.
    Chain(bool, Vec<Form>),
    /// Anything else, as Cedar writes it, or its opposite.
    Atom(bool, String),
}

/// An expression, or its opposite.
fn down(expr: &Expr, positive: bool) -> Form {
    match expr {
        Expr::Literal(Literal::Bool(is)) => Form::Is(*is == positive),
        Expr::UnaryOp { op: UnaryOp::Not, expr } => down(expr, !positive),
        Expr::BinaryOp { op: BinaryOp::And, left, right } => {
            down(left, positive).join(down(right, positive), positive)
        }
        Expr::BinaryOp { op: BinaryOp::Or, left, right } => {
            down(left, positive).join(down(right, positive), !positive)
        }
        Expr::BinaryOp { op, left, right } => {
            let (op, positive) = match op {
                BinaryOp::NotEq => (BinaryOp::Eq, !positive),
                BinaryOp::Greater => (BinaryOp::LessEq, !positive),
                BinaryOp::GreaterEq => (BinaryOp::Less, !positive),
                other => (*other, positive),
            };
            Form::Atom(positive, format!("{op:?} {left:?} {right:?}"))
        }
        other => Form::Atom(positive, format!("{other:?}")),
    }
}

impl Form {
    /// Both, one after the other: with `&&` if `and`, else with `||`.
    fn join(self, next: Self, and: bool) -> Self {
        // `true` begins no `&&` and ends none; `false` ends it.
        match (self, next) {
            (Self::Is(is), next) => {
                if is == and {
                    next
                } else {
                    Self::Is(is)
                }
            }
            (first, Self::Is(is)) if is == and => first,
            (first, next) => {
                let mut links = first.links(and);
                if links.last() != Some(&Self::Is(!and)) {
                    links.extend(next.links(and));
                }
                Self::Chain(and, links)
            }
        }
    }

    fn links(self, and: bool) -> Vec<Self> {
        match self {
            Self::Chain(kind, links) if kind == and => links,
            other => vec![other],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(clauses: &str) -> String {
        let text = format!("permit(principal, action, resource) {clauses};");
        form(&Policy::parse(None, text).unwrap()).unwrap()
    }

    #[test]
    fn what_plainly_says_the_same_is_the_same() {
        let same = [
            ("when { context.a && true }", "when { context.a }"),
            ("when { true && context.a }", "unless { !context.a }"),
            ("when { false || context.a } unless { false }", "when { context.a }"),
            ("unless { context.a && context.b }", "when { !context.a || !context.b }"),
            ("when { !(context.x > 1) }", "when { context.x <= 1 }"),
            ("when { context.x != 1 }", "unless { context.x == 1 }"),
            (
                "when { context.a } when { context.b && context.c }",
                "when { (context.a && context.b) && context.c }",
            ),
            ("when { context.a && (false && context.b) }", "when { context.a && false }"),
            ("when { !!context.a }", "when { context.a }"),
        ];
        for (a, b) in same {
            assert_eq!(of(a), of(b), "{a}\n{b}");
        }
        assert_eq!(of("when { false && context.a }"), NEVER);
        assert_eq!(of("unless { true || context.a }"), NEVER);
    }

    #[test]
    fn what_may_differ_is_not() {
        let different = [
            // `context.a` may fail.
            ("when { context.a && false }", "when { false }"),
            ("when { context.a || true }", "when { true }"),
            ("when { context.a && context.b }", "when { context.b && context.a }"),
            ("when { context.a && context.b }", "when { context.a || context.b }"),
            ("when { context.x < 1 }", "when { context.x <= 1 }"),
            ("when { context.x == 1 }", "when { context.x == 2 }"),
            ("when { context.a }", "unless { context.a }"),
        ];
        for (a, b) in different {
            assert_ne!(of(a), of(b), "{a}\n{b}");
        }
        let scope = |text: &str| form(&Policy::parse(None, text).unwrap()).unwrap();
        let a = scope("permit(principal, action, resource);");
        assert_ne!(a, scope("forbid(principal, action, resource);"));
        assert_ne!(a, scope("permit(principal is U, action, resource);"));
        assert_eq!(a, scope("@id(\"x\") permit(principal, action, resource) when { true };"));
    }
}
