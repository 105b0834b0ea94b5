//! What an atom reads: the facts by their names in policies, their values, how old they are, and what they are
//! compared with.

use std::time::Duration;

use cedar_policy_core::ast::{self, BinaryOp, Expr, ExprKind, Literal, UnaryOp, Value, ValueKind, Var};
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;
use doorward_model::limits::{EXPLAIN_FACTS_MAX, EXPLAIN_TEXT_CHARS_MAX, POLICY_DEPTH_MAX};

use super::Sight;

/// Something that a condition reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// As policies call it: `context.session.mfaAge`.
    pub name: String,
    /// What it is, shortened. None: it is not there.
    pub value: Option<String>,
    /// The bound on it, where the condition asks for less or more than something that the policy names.
    pub limit: Option<String>,
    /// How long ago it was found out, where the request tells.
    pub age: Option<Duration>,
}

/// A fact, and how to ask for it.
struct Read<'e> {
    name: String,
    expr: &'e Expr,
    /// Only whether it is there is asked.
    presence: bool,
}

/// The names of what an expression reads, each once: no values.
pub(crate) fn names(expr: &Expr) -> Vec<String> {
    reads(expr).into_iter().map(|read| read.name).collect()
}

/// The entities and the texts that are written in an expression.
pub(super) fn literals(expr: &Expr) -> Vec<&Literal> {
    let (mut found, mut rest) = (Vec::new(), vec![expr]);
    while let Some(expr) = rest.pop() {
        if let ExprKind::Lit(literal) = expr.expr_kind() {
            found.push(literal);
        }
        if found.len() >= 8 * EXPLAIN_FACTS_MAX {
            break;
        }
        let mut below = below(expr);
        below.reverse();
        rest.append(&mut below);
    }
    found
}

fn reads(expr: &Expr) -> Vec<Read<'_>> {
    let mut found = Vec::new();
    gather(expr, &mut found, 0);
    found
}

fn gather<'e>(expr: &'e Expr, found: &mut Vec<Read<'e>>, depth: usize) {
    if found.len() >= EXPLAIN_FACTS_MAX || depth > POLICY_DEPTH_MAX {
        return;
    }
    let mut add = |name: String, presence: bool| {
        if !found.iter().any(|read| read.name == name) {
            found.push(Read { name, expr, presence });
        }
    };
    if let Some(name) = path(expr) {
        return add(name, false);
    }
    match expr.expr_kind() {
        ExprKind::HasAttr { expr: of, attr } => {
            if let Some(base) = path(of) {
                return add(format!("{base}.{attr}"), true);
            }
        }
        ExprKind::ExtHasAttr { expr: of, attrs } => {
            if let Some(base) = path(of) {
                let attrs: Vec<&str> = attrs.iter().map(|a| a.as_str()).collect();
                return add(format!("{base}.{}", attrs.join(".")), true);
            }
        }
        ExprKind::BinaryApp { op: op @ (BinaryOp::GetTag | BinaryOp::HasTag), arg1, arg2 } => {
            if let (Some(base), ExprKind::Lit(tag)) = (path(arg1), arg2.expr_kind()) {
                return add(format!("{base}.getTag({tag})"), *op == BinaryOp::HasTag);
            }
        }
        _ => {}
    }
    for expr in below(expr) {
        gather(expr, found, depth + 1);
    }
}

/// `context.session.mfaAge`, if the expression is nothing but that.
fn path(expr: &Expr) -> Option<String> {
    let (mut names, mut at) = (Vec::new(), expr);
    loop {
        match at.expr_kind() {
            ExprKind::GetAttr { expr, attr } => {
                names.push(attr.as_str());
                at = expr;
            }
            ExprKind::Var(var) => {
                let var = var.to_string();
                names.push(&var);
                names.reverse();
                return Some(names.join("."));
            }
            _ => return None,
        }
    }
}

fn below(expr: &Expr) -> Vec<&Expr> {
    match expr.expr_kind() {
        ExprKind::If { test_expr, then_expr, else_expr } => vec![test_expr, then_expr, else_expr],
        ExprKind::And { left, right } | ExprKind::Or { left, right } => vec![left, right],
        ExprKind::UnaryApp { arg, .. } => vec![arg],
        ExprKind::BinaryApp { arg1, arg2, .. } => vec![arg1, arg2],
        ExprKind::ExtensionFunctionApp { args, .. } => args.iter().collect(),
        ExprKind::GetAttr { expr, .. }
        | ExprKind::HasAttr { expr, .. }
        | ExprKind::ExtHasAttr { expr, .. }
        | ExprKind::Like { expr, .. }
        | ExprKind::Is { expr, .. } => vec![expr],
        ExprKind::Set(elements) => elements.iter().collect(),
        ExprKind::Record(fields) => fields.values().collect(),
        // Literals, variables, slots, and whatever Cedar may add that has nothing below it for us.
        _ => Vec::new(),
    }
}

/// Evaluates parts of conditions in one request.
pub(super) struct Reader<'a> {
    evaluator: Evaluator<'a>,
    sight: &'a Sight<'a>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(sight: &'a Sight<'a>) -> Self {
        let request: &ast::Request = sight.request.as_ref();
        let entities = sight.entities.as_ref();
        Self { evaluator: Evaluator::new(request.clone(), entities, Extensions::all_available()), sight }
    }

    fn value(&self, expr: &Expr) -> Option<Value> {
        self.evaluator.interpret(expr, &ast::SlotEnv::new()).ok()
    }

    /// What an atom read.
    pub(super) fn facts(&self, expr: &Expr) -> Vec<Fact> {
        let limit = self.limit(expr);
        let fact = |read: Read<'_>| {
            let value = self.value(read.expr);
            let value = match (read.presence, &value) {
                (true, Some(Value { value: ValueKind::Lit(Literal::Bool(true)), .. })) => {
                    Some("present".to_owned())
                }
                (true, _) => None,
                (false, value) => value.as_ref().map(|v| self.shown(read.expr, v, expr)),
            };
            Fact { age: self.age(&read.name), name: read.name, value, limit: limit.clone() }
        };
        reads(expr).into_iter().map(fact).collect()
    }

    /// The bound on a fact.
    fn limit(&self, expr: &Expr) -> Option<String> {
        let sides = match expr.expr_kind() {
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } => arg.expr_kind(),
            kind => kind,
        };
        let ExprKind::BinaryApp { op: BinaryOp::Less | BinaryOp::LessEq, arg1, arg2 } = sides else {
            return None;
        };
        // What is computed of a fact has a bound that is none of the fact itself.
        let fixed = match (names(arg1).is_empty(), names(arg2).is_empty()) {
            (true, false) if path(arg2).is_some() => arg1,
            (false, true) if path(arg1).is_some() => arg2,
            (true, _) | (false, _) => return None,
        };
        self.value(fixed).map(|value| self.shown(fixed, &value, fixed))
    }

    fn shown(&self, expr: &Expr, value: &Value, atom: &Expr) -> String {
        let text = match (expr.expr_kind(), value.value_kind()) {
            (_, ValueKind::ExtensionValue(_)) => {
                self.milliseconds(expr).map_or_else(|| value.to_string(), told)
            }
            (ExprKind::Var(var @ (Var::Principal | Var::Resource)), _) => self.member(*var, atom),
            (_, ValueKind::Lit(_) | ValueKind::Set(_) | ValueKind::Record(_)) => value.to_string(),
        };
        shortened(&text)
    }

    /// A duration, in milliseconds.
    fn milliseconds(&self, expr: &Expr) -> Option<i64> {
        let asked = Expr::call_extension_fn("toMilliseconds".parse().ok()?, vec![expr.clone()]);
        match self.value(&asked)?.value_kind() {
            ValueKind::Lit(Literal::Long(ms)) => Some(*ms),
            ValueKind::Lit(_) | ValueKind::Set(_) | ValueKind::Record(_) | ValueKind::ExtensionValue(_) => {
                None
            }
        }
    }

    /// Who it is, and in which of the kind that is asked for: `User::"corp:bob", in Role::"engineer"`.
    fn member(&self, var: Var, atom: &Expr) -> String {
        let (request, entities) = (self.sight.request, self.sight.entities);
        let uid = if var == Var::Principal { request.principal() } else { request.resource() };
        let Some(uid) = uid else { return "not known".to_owned() };
        let kinds: Vec<String> = literals(atom)
            .into_iter()
            .filter_map(|literal| match literal {
                Literal::EntityUID(uid) => Some(uid.entity_type().to_string()),
                Literal::Bool(_) | Literal::Long(_) | Literal::String(_) => None,
            })
            .filter(|kind| *kind != uid.type_name().to_string())
            .collect();
        let Some(kind) = kinds.first() else { return uid.to_string() };
        let above = entities.ancestors(uid).into_iter().flatten();
        let mut above: Vec<String> =
            above.filter(|a| kinds.contains(&a.type_name().to_string())).map(ToString::to_string).collect();
        above.sort();
        above.truncate(EXPLAIN_FACTS_MAX);
        match above.as_slice() {
            [] => format!("{uid}, in no {kind}"),
            above => format!("{uid}, in {}", above.join(", ")),
        }
    }

    /// How long ago the gateway was told of what stands beside it.
    fn age(&self, name: &str) -> Option<Duration> {
        let beside = match name.strip_prefix("context.")?.split_once('.')? {
            ("session", _) => "age",
            ("device", _) => "postureAge",
            _ => return None,
        };
        let group = name.split('.').nth(1)?;
        let of = Expr::get_attr(Expr::var(Var::Context), group.into());
        let milliseconds = self.milliseconds(&Expr::get_attr(of, beside.into()))?;
        u64::try_from(milliseconds).ok().map(Duration::from_millis)
    }
}

/// A duration as policies write it: `1d2h3m4s`.
fn told(milliseconds: i64) -> String {
    let sign = if milliseconds < 0 { "-" } else { "" };
    let total = milliseconds.unsigned_abs();
    let (mut rest, mut text) = (total, sign.to_owned());
    for (unit, each) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if rest >= each {
            text.push_str(&format!("{}{unit}", rest / each));
            rest %= each;
        }
    }
    if total == 0 { "0s".to_owned() } else { text }
}

/// At most so many characters of a text, on one line.
pub(super) fn shortened(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = line.char_indices().nth(EXPLAIN_TEXT_CHARS_MAX) {
        line.truncate(cut);
        line.push('…');
    }
    line
}
