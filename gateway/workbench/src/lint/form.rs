//! Conditions in one shape, so that two that say the same look the same.
//!
//! Negations stand at the leaves, `unless` is `when` of the contrary, what is joined is sorted, and what is
//! settled by constants alone is settled. It is a shape for comparing, never for deciding: which operand is
//! asked first is lost, and with it which one could fail.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, UnaryOp};

/// A condition in that shape.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Form {
    /// Settled.
    Settled(bool),
    /// One question, and the answer that is wanted.
    One(Atom, bool),
    /// Each of them.
    All(BTreeSet<Form>),
    /// One of them.
    Any(BTreeSet<Form>),
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Atom {
    /// Whether two terms are equal; the smaller first.
    Equal(Term, Term),
    /// Whether the first is less than the second.
    Less(Term, Term),
    /// Anything else, as it is written.
    Other(String),
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Term {
    /// As it is written, with the elements of sets in order.
    text: String,
    /// Whether it is written out rather than asked.
    constant: bool,
    /// What number it is, if it is one that is written out: a number, or milliseconds.
    number: Option<i64>,
}

/// What all clauses of a policy say together.
pub(super) fn of_clauses(clauses: &[Clause]) -> Form {
    all(clauses.iter().map(|clause| match clause {
        Clause::When(expr) => form(expr, true),
        Clause::Unless(expr) => form(expr, false),
    }))
}

/// What `expr` says when it comes to `wanted`.
pub(super) fn form(expr: &Expr, wanted: bool) -> Form {
    match expr {
        Expr::Literal(Literal::Bool(holds)) => Form::Settled(*holds == wanted),
        Expr::UnaryOp { op: UnaryOp::Not, expr } => form(expr, !wanted),
        Expr::BinaryOp { op, left, right } => match (op, wanted) {
            (BinaryOp::And, true) | (BinaryOp::Or, false) => all([form(left, wanted), form(right, wanted)]),
            (BinaryOp::And, false) | (BinaryOp::Or, true) => any([form(left, wanted), form(right, wanted)]),
            (BinaryOp::Eq, _) => equal(left, right, wanted),
            (BinaryOp::NotEq, _) => equal(left, right, !wanted),
            (BinaryOp::Less, _) => less(left, right, wanted),
            (BinaryOp::Greater, _) => less(right, left, wanted),
            (BinaryOp::LessEq, _) => less(right, left, !wanted),
            (BinaryOp::GreaterEq, _) => less(left, right, !wanted),
            _ => other(expr, wanted),
        },
        Expr::Is { expr: of, entity_type, in_expr: Some(within) } => {
            let of = text(of);
            let is = Form::One(Atom::Other(format!("{of} is {entity_type}")), wanted);
            let within = Form::One(Atom::Other(format!("({of} In {})", text(within))), wanted);
            if wanted { all([is, within]) } else { any([is, within]) }
        }
        // An `if` is not written out: its test would stand twice, and four times one level up.
        Expr::IfThenElse { cond, then_expr, else_expr } => match form(cond, true) {
            Form::Settled(true) => form(then_expr, wanted),
            Form::Settled(false) => form(else_expr, wanted),
            Form::One(..) | Form::All(_) | Form::Any(_) => other(expr, wanted),
        },
        // The rest is asked as it stands. Cedar's tree may grow, so that no list here would be whole.
        _ => other(expr, wanted),
    }
}

fn other(expr: &Expr, wanted: bool) -> Form {
    Form::One(Atom::Other(text(expr)), wanted)
}

fn equal(left: &Expr, right: &Expr, wanted: bool) -> Form {
    for (one, another) in [(left, right), (right, left)] {
        if let Expr::Literal(Literal::Bool(holds)) = one {
            return form(another, *holds == wanted);
        }
    }
    let (left, right) = (Term::of(left), Term::of(right));
    if left == right && left.constant {
        return Form::Settled(wanted);
    }
    if left.constant && right.constant {
        return Form::Settled(!wanted);
    }
    let (first, second) = if left <= right { (left, right) } else { (right, left) };
    Form::One(Atom::Equal(first, second), wanted)
}

fn less(left: &Expr, right: &Expr, wanted: bool) -> Form {
    // A number and a duration cannot be compared: that fails.
    let one_kind = matches!(left, Expr::Literal(_)) == matches!(right, Expr::Literal(_));
    let (left, right) = (Term::of(left), Term::of(right));
    match (left.number, right.number) {
        (Some(left), Some(right)) if one_kind => Form::Settled((left < right) == wanted),
        (Some(_) | None, Some(_) | None) => Form::One(Atom::Less(left, right), wanted),
    }
}

/// Each of these.
pub(super) fn all(parts: impl IntoIterator<Item = Form>) -> Form {
    let mut flat = BTreeSet::new();
    for part in parts {
        match part {
            Form::Settled(true) => {}
            Form::Settled(false) => return Form::Settled(false),
            Form::All(more) => flat.extend(more),
            one => drop(flat.insert(one)),
        }
    }
    if contrary(&flat) || cannot_hold_together(&flat) {
        return Form::Settled(false);
    }
    match (flat.len(), flat.pop_first()) {
        (_, None) => Form::Settled(true),
        (1, Some(one)) => one,
        (_, Some(first)) => {
            flat.insert(first);
            Form::All(flat)
        }
    }
}

/// One of these.
fn any(parts: impl IntoIterator<Item = Form>) -> Form {
    let mut flat = BTreeSet::new();
    for part in parts {
        match part {
            Form::Settled(false) => {}
            Form::Settled(true) => return Form::Settled(true),
            Form::Any(more) => flat.extend(more),
            one => drop(flat.insert(one)),
        }
    }
    if contrary(&flat) {
        return Form::Settled(true);
    }
    match (flat.len(), flat.pop_first()) {
        (_, None) => Form::Settled(false),
        (1, Some(one)) => one,
        (_, Some(first)) => {
            flat.insert(first);
            Form::Any(flat)
        }
    }
}

/// Whether a question is among them with both answers.
fn contrary(parts: &BTreeSet<Form>) -> bool {
    parts.iter().any(|part| match part {
        Form::One(atom, true) => parts.contains(&Form::One(atom.clone(), false)),
        Form::One(_, false) | Form::Settled(_) | Form::All(_) | Form::Any(_) => false,
    })
}

/// Whether one term would have to equal two constants, or lie in a range that there is not.
fn cannot_hold_together(parts: &BTreeSet<Form>) -> bool {
    let mut equals: BTreeMap<&str, &Term> = BTreeMap::new();
    let mut ranges: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for part in parts {
        let impossible = match part {
            Form::One(Atom::Equal(a, b), true) => {
                let (asked, constant) = if a.constant { (b, a) } else { (a, b) };
                let differs = constant.constant
                    && equals.insert(&asked.text, constant).is_some_and(|before| before != constant);
                differs || constant.number.is_some_and(|n| narrow(&mut ranges, &asked.text, n, n))
            }
            Form::One(Atom::Less(a, b), holds) => match (a.number, b.number, *holds) {
                (None, Some(n), true) => narrow(&mut ranges, &a.text, i64::MIN, n.saturating_sub(1)),
                (None, Some(n), false) => narrow(&mut ranges, &a.text, n, i64::MAX),
                (Some(n), None, true) => narrow(&mut ranges, &b.text, n.saturating_add(1), i64::MAX),
                (Some(n), None, false) => narrow(&mut ranges, &b.text, i64::MIN, n),
                (Some(_), Some(_), _) | (None, None, _) => false,
            },
            Form::One(..) | Form::Settled(_) | Form::All(_) | Form::Any(_) => false,
        };
        if impossible {
            return true;
        }
    }
    false
}

/// Narrows the range in which a term must lie. Whether nothing is left of it.
fn narrow<'a>(ranges: &mut BTreeMap<&'a str, (i64, i64)>, term: &'a str, least: i64, most: i64) -> bool {
    let range = ranges.entry(term).or_insert((i64::MIN, i64::MAX));
    *range = (range.0.max(least), range.1.min(most));
    range.0 > range.1
}

impl Form {
    /// What must all hold.
    pub(super) fn conjuncts(&self) -> BTreeSet<&Form> {
        match self {
            Self::Settled(true) => BTreeSet::new(),
            Self::All(parts) => parts.iter().collect(),
            Self::Settled(false) | Self::One(..) | Self::Any(_) => BTreeSet::from([self]),
        }
    }

    /// Whether the principal must be of some type for it to hold.
    pub(super) fn says_principal_type(&self) -> bool {
        self.conjuncts().iter().any(|part| match part {
            Self::One(Atom::Other(text), true) => text.starts_with("principal is "),
            Self::One(..) | Self::Settled(_) | Self::All(_) | Self::Any(_) => false,
        })
    }
}

impl Term {
    fn of(expr: &Expr) -> Self {
        let (number, constant) = match expr {
            Expr::Literal(Literal::Long(n)) => (Some(*n), true),
            Expr::Literal(_) => (None, true),
            Expr::UnaryOp { op: UnaryOp::Duration, expr } => match &**expr {
                Expr::Literal(Literal::String(text)) => (milliseconds(text), true),
                _ => (None, false),
            },
            _ => (None, false),
        };
        // Two ways to write one duration are one duration.
        match (expr, number) {
            (Expr::UnaryOp { .. }, Some(millis)) => {
                Self { text: format!("duration {millis}"), constant, number }
            }
            // One that is too long for us may equal another: nothing is known about it.
            (Expr::UnaryOp { .. }, None) => Self { text: text(expr), constant: false, number },
            _ => Self { text: text(expr), constant, number },
        }
    }
}

/// How long a Cedar duration such as `1d12h30m` is.
fn milliseconds(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut sum: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = rest.split_at(digits);
        let letters = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let (unit, after) = unit.split_at(letters);
        let millis = match unit {
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1000,
            "ms" => 1,
            _ => return None,
        };
        sum = sum.checked_add(number.parse::<i64>().ok()?.checked_mul(millis)?)?;
        rest = after;
    }
    Some(if negative { -sum } else { sum })
}

/// An expression as text, with the elements of sets in order.
pub(super) fn text(expr: &Expr) -> String {
    match expr {
        Expr::BinaryOp { op, left, right } => format!("({} {op:?} {})", text(left), text(right)),
        Expr::UnaryOp { op, expr } => format!("{op:?}({})", text(expr)),
        // `a["b.c"]` and `a.b.c` are not one thing.
        Expr::GetAttr { expr, attr } => format!("{}[{attr:?}]", text(expr)),
        Expr::HasAttr { expr, attrs } => {
            let attrs: Vec<String> = attrs.iter().map(|a| format!("[{a:?}]")).collect();
            format!("{} has {}", text(expr), attrs.concat())
        }
        Expr::Is { expr, entity_type, in_expr: None } => format!("{} is {entity_type}", text(expr)),
        Expr::Set(elements) => {
            let elements: BTreeSet<String> = elements.iter().map(|e| text(e)).collect();
            format!("[{}]", elements.into_iter().collect::<Vec<_>>().join(", "))
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            format!("if {} then {} else {}", text(cond), text(then_expr), text(else_expr))
        }
        // What is left is a leaf, or is written as Cedar writes it.
        _ => expr.to_string(),
    }
}

#[cfg(test)]
mod tests;
