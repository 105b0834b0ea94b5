//! The conditions of one policy.

use std::collections::BTreeSet;

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, PatternElem, UnaryOp, Var};
use doorward_policy::Rule;

use super::form::{self, Form};
use super::found::Found;
use super::{Names, Subject};

/// More questions than these in one policy, and nobody sees what it says.
const QUESTIONS_MAX: usize = 24;
/// Deeper than this, and nobody sees which bracket belongs to which.
const LEVELS_MAX: usize = 6;
/// As many ranges of addresses are a network that lacks a name.
const ADDRESSES_MAX: usize = 1;

pub(super) fn lint(subject: &Subject<'_>, names: &Names, found: &mut Found<'_>) {
    settled(subject, found);
    let mut seen = Seen::default();
    for clause in subject.body.clauses() {
        let (Clause::When(expr) | Clause::Unless(expr)) = clause;
        seen.expr(expr);
        seen.questions += questions(expr);
        seen.levels = seen.levels.max(levels(expr, None));
    }
    let id = subject.source.id();
    if seen.reads_path {
        let message = format!("`{id}` looks at the path of the request");
        let at = subject.condition("http.path");
        found.push(subject.found(
            Rule::PathMatch,
            at,
            message,
            route_help(&seen.texts, names, subject.scope.app().as_deref()),
        ));
    }
    if seen.addresses > ADDRESSES_MAX {
        let message = format!("`{id}` lists {} ranges of addresses", seen.addresses);
        let known: Vec<String> = names.networks.iter().map(|n| format!("`{n}`")).collect();
        let known = if known.is_empty() { String::new() } else { format!("; it has {}", known.join(", ")) };
        let help = format!(
            "name the network in the configuration (`[network.named]`{known}) and ask for \
             `context.zones.contains(\"…\")`"
        );
        found.push(subject.found(Rule::AddressList, subject.condition("ip("), message, help));
    }
    if seen.questions > QUESTIONS_MAX {
        let message =
            format!("`{id}` asks {} things; more than {QUESTIONS_MAX} nobody can follow", seen.questions);
        let help =
            "split it: each `unless` of a forbid can be a forbid of its own, each `||` of a permit a permit";
        found.push(subject.found(Rule::LongCondition, subject.clauses(), message, help));
    }
    if seen.levels > LEVELS_MAX {
        let message = format!("the conditions of `{id}` nest {} levels deep", seen.levels);
        let help =
            "split the policy, or write `when` and `unless` clauses of their own: they are joined by `&&`";
        found.push(subject.found(Rule::DeepCondition, subject.clauses(), message, help));
    }
}

/// Conditions that hold never, or always.
fn settled(subject: &Subject<'_>, found: &mut Found<'_>) {
    let id = subject.source.id();
    if subject.form == Form::Settled(false) {
        let message = format!("`{id}` never applies: its conditions contradict each other");
        let help = "mend the condition, or remove the policy: a forbid that never applies is a hole";
        found.push(subject.found(Rule::NeverApplies, subject.clauses(), message, help));
        return;
    }
    for clause in subject.body.clauses() {
        let (form, word) = match clause {
            Clause::When(expr) => (form::form(expr, true), "when"),
            Clause::Unless(expr) => (form::form(expr, false), "unless"),
        };
        if form == Form::Settled(true) {
            let message = format!("a `{word}` of `{id}` says nothing: it is so whatever is asked");
            let help = "remove it, or mend what it was meant to say";
            found.push(subject.found(Rule::AlwaysHolds, subject.clauses(), message, help));
        }
    }
}

/// How to say the same by a route; by which one, when exactly one of the one app that the policy is about is called as
/// the path is. The route of another app is another door, and a forbid for all apps must not come to be for one.
fn route_help(texts: &BTreeSet<String>, names: &Names, own: Option<&str>) -> String {
    let called = |route: &&String| {
        let (app, name) = route.split_once('/').unwrap_or(("", route));
        own == Some(app)
            && name != "all"
            && texts.iter().any(|text| text.split(['/', '*', '.']).any(|part| part == name))
    };
    let why = "a path can be written in many ways, and a route is resolved once";
    let mut all = names.routes.iter().filter(called);
    match (all.next(), all.next()) {
        (Some(route), None) => format!("ask for the route: `resource == Route::\"{route}\"`; {why}"),
        (None | Some(_), _) => {
            format!("give it a route in the configuration and write `resource == Route::\"app/name\"`; {why}")
        }
    }
}

/// What occurs in the conditions of a policy.
#[derive(Debug, Default)]
struct Seen {
    reads_path: bool,
    addresses: usize,
    texts: BTreeSet<String>,
    questions: usize,
    levels: usize,
}

impl Seen {
    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Literal(Literal::String(text)) => drop(self.texts.insert(text.to_string())),
            Expr::UnaryOp { op, expr } => {
                if *op == UnaryOp::Ip {
                    self.addresses += 1;
                }
                self.expr(expr);
            }
            Expr::GetAttr { expr, attr } => {
                self.reads_path |= attr == "path" && is_http(expr);
                self.expr(expr);
            }
            Expr::Like { expr, pattern } => {
                let text = pattern.iter().map(|part| match part {
                    PatternElem::Char(c) => *c,
                    PatternElem::Wildcard => '*',
                });
                self.texts.insert(text.collect());
                self.expr(expr);
            }
            Expr::HasAttr { expr, .. } => self.expr(expr),
            Expr::BinaryOp { left, right, .. } => {
                self.expr(left);
                self.expr(right);
            }
            Expr::Is { expr, in_expr, .. } => {
                self.expr(expr);
                in_expr.iter().for_each(|e| self.expr(e));
            }
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                [cond, then_expr, else_expr].into_iter().for_each(|e| self.expr(e));
            }
            Expr::Set(elements) => elements.iter().for_each(|e| self.expr(e)),
            Expr::Record(fields) => fields.values().for_each(|e| self.expr(e)),
            // The rest are leaves.
            _ => {}
        }
    }
}

/// Whether it is `context.http`.
fn is_http(expr: &Expr) -> bool {
    match expr {
        Expr::GetAttr { expr, attr } => attr == "http" && **expr == Expr::Var(Var::Context),
        _ => false,
    }
}

/// How many things are asked.
fn questions(expr: &Expr) -> usize {
    match expr {
        Expr::UnaryOp { op: UnaryOp::Not, expr } => questions(expr),
        Expr::BinaryOp { op: BinaryOp::And | BinaryOp::Or, left, right } => {
            questions(left) + questions(right)
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            questions(cond) + questions(then_expr) + questions(else_expr)
        }
        // Anything else is one question.
        _ => 1,
    }
}

/// How often `&&`, `||` and `if` change within each other. A chain of one of them is one level.
fn levels(expr: &Expr, within: Option<BinaryOp>) -> usize {
    match expr {
        Expr::UnaryOp { op: UnaryOp::Not, expr } => levels(expr, within),
        Expr::BinaryOp { op: op @ (BinaryOp::And | BinaryOp::Or), left, right } => {
            let deeper = usize::from(within != Some(*op));
            deeper + levels(left, Some(*op)).max(levels(right, Some(*op)))
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            1 + [cond, then_expr, else_expr].into_iter().map(|e| levels(e, None)).max().unwrap_or(0)
        }
        // Anything else is a question.
        _ => 0,
    }
}
