//! What must hold: a condition turned so that it says what is wanted of it.

use std::sync::Arc;

use cedar_policy::{Policy, pst};
use pst::{BinaryOp, Clause, Expr, Literal, UnaryOp};

use super::words;

/// What must hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// Nothing.
    Yes,
    /// What cannot be.
    No,
    /// All of these.
    All(Vec<Self>),
    /// One of these.
    Any(Vec<Self>),
    /// This.
    One(Atom),
}

/// Something that holds or does not, in the circumstances of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Atom {
    /// The condition in Cedar, as the policy asks for it.
    pub cedar: String,
    /// Whether it must be so, or must not.
    pub wanted: bool,
    /// For people: what is wanted.
    pub words: String,
}

impl Need {
    /// What it takes for a condition to be as wanted.
    pub(super) fn of(e: &Expr, wanted: bool) -> Self {
        let not = |e: &Arc<Expr>| Self::of(e, !wanted);
        let so = |e: &Arc<Expr>| Self::of(e, wanted);
        match e {
            Expr::Literal(Literal::Bool(value)) => {
                if *value == wanted {
                    Self::Yes
                } else {
                    Self::No
                }
            }
            Expr::UnaryOp { op: UnaryOp::Not, expr } => not(expr),
            Expr::BinaryOp { op: BinaryOp::And, left, right } if wanted => Self::all([so(left), so(right)]),
            Expr::BinaryOp { op: BinaryOp::And, left, right } => Self::any([so(left), so(right)]),
            Expr::BinaryOp { op: BinaryOp::Or, left, right } if wanted => Self::any([so(left), so(right)]),
            Expr::BinaryOp { op: BinaryOp::Or, left, right } => Self::all([so(left), so(right)]),
            // A test stands twice, so one within another four times: such a one is told as it is written.
            Expr::IfThenElse { cond, then_expr, else_expr } if !decides(cond) => Self::any([
                Self::all([Self::of(cond, true), so(then_expr)]),
                Self::all([Self::of(cond, false), so(else_expr)]),
            ]),
            one => Self::One(Atom { cedar: text(one), wanted, words: words::of(one, wanted) }),
        }
    }

    fn all(of: impl IntoIterator<Item = Self>) -> Self {
        let mut all: Vec<Self> = Vec::new();
        for need in of {
            match need {
                Self::Yes => {}
                Self::No => return Self::No,
                Self::All(more) => more.into_iter().for_each(|n| push(&mut all, n)),
                one @ (Self::Any(_) | Self::One(_)) => push(&mut all, one),
            }
        }
        single(all, Self::Yes, Self::All)
    }

    fn any(of: impl IntoIterator<Item = Self>) -> Self {
        let mut any: Vec<Self> = Vec::new();
        for need in of {
            match need {
                Self::No => {}
                Self::Yes => return Self::Yes,
                Self::Any(more) => more.into_iter().for_each(|n| push(&mut any, n)),
                one @ (Self::All(_) | Self::One(_)) => push(&mut any, one),
            }
        }
        single(any, Self::No, Self::Any)
    }

    /// Whether it holds where each atom is as `holds` says.
    pub fn holds(&self, holds: &mut impl FnMut(&Atom) -> bool) -> bool {
        match self {
            Self::Yes => true,
            Self::No => false,
            Self::All(all) => all.iter().all(|n| n.holds(holds)),
            Self::Any(any) => any.iter().any(|n| n.holds(holds)),
            Self::One(atom) => holds(atom) == atom.wanted,
        }
    }

    /// For people: each of these must hold.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Yes => vec!["nothing".to_owned()],
            Self::No => vec!["what cannot be".to_owned()],
            Self::All(all) => words::together(all.iter().map(Self::phrase).collect()),
            Self::Any(_) | Self::One(_) => vec![self.phrase()],
        }
    }

    /// In Cedar, for programs.
    #[must_use]
    pub fn cedar(&self) -> String {
        let inner = |need: &Self| match need {
            Self::All(_) | Self::Any(_) => format!("({})", need.cedar()),
            Self::Yes | Self::No | Self::One(_) => need.cedar(),
        };
        match self {
            Self::Yes => "true".to_owned(),
            Self::No => "false".to_owned(),
            Self::All(all) => all.iter().map(inner).collect::<Vec<_>>().join(" && "),
            Self::Any(any) => any.iter().map(inner).collect::<Vec<_>>().join(" || "),
            Self::One(Atom { cedar, wanted: true, .. }) => cedar.clone(),
            Self::One(Atom { cedar, wanted: false, .. }) => format!("!({cedar})"),
        }
    }

    fn phrase(&self) -> String {
        let inner = |need: &Self| match need {
            Self::All(_) | Self::Any(_) => format!("({})", need.phrase()),
            Self::Yes | Self::No | Self::One(_) => need.phrase(),
        };
        match self {
            Self::Yes | Self::No => self.lines().join(""),
            Self::All(all) => words::together(all.iter().map(inner).collect()).join(" and "),
            Self::Any(any) => any.iter().map(inner).collect::<Vec<_>>().join(" or "),
            Self::One(atom) => atom.words.clone(),
        }
    }
}

/// Whether there is an `if` in it.
fn decides(e: &Expr) -> bool {
    let is_if = |e: &Expr| matches!(e, Expr::IfThenElse { .. }).then_some(true);
    e.reduce(&is_if, &|one, other| one || other, false)
}

fn push(into: &mut Vec<Need>, need: Need) {
    if !into.contains(&need) {
        into.push(need);
    }
}

fn single(mut of: Vec<Need>, none: Need, many: impl Fn(Vec<Need>) -> Need) -> Need {
    match of.len() {
        0 => none,
        1 => of.pop().unwrap_or(none),
        _ => many(of),
    }
}

/// The condition of a residual: it has no scope, and one clause.
pub(super) fn condition(policy: &Policy) -> Result<Expr, String> {
    let body = policy.to_pst().map_err(|e| e.to_string())?;
    let mut clauses = body.body().clauses().iter();
    match (clauses.next(), clauses.next()) {
        (None, _) => Ok(Expr::Literal(Literal::Bool(true))),
        (Some(Clause::When(e)), None) => Ok((**e).clone()),
        (Some(Clause::Unless(e)), None) => Ok(Expr::UnaryOp { op: UnaryOp::Not, expr: Arc::clone(e) }),
        (Some(_), Some(_)) => Err(format!("what is left of `{}` has more than one clause", policy.id())),
    }
}

/// In Cedar. What can only fail has no text of its own there.
pub(super) fn text(e: &Expr) -> String {
    if e.has_error() { "(fails)".to_owned() } else { e.to_string() }
}

/// Whether evaluating it can fail, for a policy that strict validation accepts: only what computes can. What
/// is known already has been computed.
pub(super) fn may_fail(e: &Expr) -> bool {
    let fails = |e: &Expr| match e {
        Expr::ResidualError => Some(true),
        Expr::UnaryOp { op: UnaryOp::Neg | UnaryOp::ToDate, .. }
        | Expr::BinaryOp {
            op: BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Offset | BinaryOp::DurationSince,
            ..
        } => Some(is_open(e)),
        _ => None,
    };
    e.reduce(&fails, &|a, b| a || b, false)
}

/// Whether something in it is not known.
fn is_open(e: &Expr) -> bool {
    let open =
        |e: &Expr| matches!(e, Expr::Var(_) | Expr::ResidualError | Expr::Unknown { .. }).then_some(true);
    e.reduce(&open, &|a, b| a || b, false)
}

#[cfg(test)]
mod tests;
