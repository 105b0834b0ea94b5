//! A group of actions where one action is asked for.
//!
//! Nobody ever does a group, so `action == Action::"write"` is never true. In a scope Cedar says that the policy never
//! applies, and not why. Of a part of a condition it says nothing, and an `unless` that was to keep writing out lets
//! it in.

use cedar_policy::{ActionConstraint, EntityUid, Schema};
use cedar_policy_core::ast::{self, BinaryOp, Expr, ExprKind, Literal, UnaryOp, Var};
use cedar_policy_core::parser::Loc;

use super::{Compiled, first_line};
use crate::conditions::{Conditions, Part};
use crate::failure::{Finding, Span};
use crate::rule::Rule;

/// How a policy asks for one action.
#[derive(Debug, Clone, Copy)]
enum Asks {
    /// `action == …`, in the scope as well.
    Equal,
    /// `action != …`.
    Unequal,
    /// `[…].contains(action)`.
    Contains,
}

/// What is wrong with a policy that asks for one action and names a group: the first of it.
pub(crate) fn one_of_a_group(compiled: &Compiled, schema: &Schema) -> Option<Finding> {
    findings(compiled, schema).into_iter().next()
}

/// All that is wrong with a policy that asks for one action and names a group, in the order of the text.
pub(super) fn findings(compiled: &Compiled, schema: &Schema) -> Vec<Finding> {
    let mut found = Vec::new();
    if let ActionConstraint::Eq(action) = compiled.policy.action_constraint()
        && is_group(schema, &action)
    {
        let conditions = Conditions::new(&compiled.policy);
        let scope = conditions.all().iter().find(|c| c.part() == Part::Action).and_then(|c| c.span());
        let at = scope.map(|at| Span { start: compiled.span.start + at.start, len: at.len() });
        found.push(told(compiled, Asks::Equal, &action, at));
    }
    let policy: &ast::Policy = compiled.policy.as_ref();
    let Some(clauses) = policy.non_scope_constraints() else { return found };
    let mut slips: Vec<(Asks, EntityUid, Option<Span>)> = clauses
        .subexpressions()
        .flat_map(asked)
        .map(|(asks, action, loc)| (asks, EntityUid::from(action.clone()), compiled.place(loc)))
        .filter(|(_, action, _)| is_group(schema, action))
        .collect();
    slips.sort_by_key(|(.., at)| at.map(|span| span.start));
    // Behind each `!=` comes the `==` that Cedar makes of it, at the same place.
    slips.dedup_by_key(|(.., at)| *at);
    found.extend(slips.into_iter().map(|(asks, action, at)| told(compiled, asks, &action, at)));
    found
}

/// Whether it is a group that nobody does. One that applies to something is an action as well.
fn is_group(schema: &Schema, action: &EntityUid) -> bool {
    schema.action_groups().any(|group| group == action)
        && schema.principals_for_action(action).is_none_or(|mut kinds| kinds.next().is_none())
}

/// The actions that an expression asks for one by one, and where it names them.
fn asked(expr: &Expr) -> Vec<(Asks, &ast::EntityUID, Option<&Loc>)> {
    let here = expr.source_loc();
    match expr.expr_kind() {
        // `a != b` is `!(a == b)` to Cedar, both at the place of the whole.
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } if arg.source_loc() == here => {
            compared(arg).map(|action| (Asks::Unequal, action, here)).into_iter().collect()
        }
        ExprKind::BinaryApp { op: BinaryOp::Eq, .. } => {
            compared(expr).map(|action| (Asks::Equal, action, here)).into_iter().collect()
        }
        ExprKind::BinaryApp { op: BinaryOp::Contains, arg1, arg2 } if is_action(arg2) => {
            let ExprKind::Set(each) = arg1.expr_kind() else { return Vec::new() };
            each.iter().filter_map(|one| Some((Asks::Contains, entity(one)?, one.source_loc()))).collect()
        }
        // `in` is right for a group, and the rest asks for no action.
        _ => Vec::new(),
    }
}

/// What `==` compares the action with, on whichever side.
fn compared(expr: &Expr) -> Option<&ast::EntityUID> {
    let ExprKind::BinaryApp { op: BinaryOp::Eq, arg1, arg2 } = expr.expr_kind() else { return None };
    if is_action(arg1) {
        entity(arg2)
    } else if is_action(arg2) {
        entity(arg1)
    } else {
        None
    }
}

fn is_action(expr: &Expr) -> bool {
    matches!(expr.expr_kind(), ExprKind::Var(Var::Action))
}

fn entity(expr: &Expr) -> Option<&ast::EntityUID> {
    let ExprKind::Lit(Literal::EntityUID(uid)) = expr.expr_kind() else { return None };
    Some(uid)
}

/// A finding about a group, with a mark under what asks for it; under the first line where nobody knows the place.
fn told(compiled: &Compiled, asks: Asks, action: &EntityUid, at: Option<Span>) -> Finding {
    let (word, cure) = match asks {
        Asks::Equal => ("==", format!("write `action in {action}`")),
        Asks::Unequal => ("!=", format!("write `!(action in {action})`")),
        Asks::Contains => ("contains", "write `action in […]` instead of `[…].contains(action)`".to_owned()),
    };
    let at = at.unwrap_or_else(|| first_line(&compiled.file, compiled.span));
    let message = format!("`{action}` is a group of actions, and `{word}` asks for one action");
    let help = format!("`{action}` is a group: {cure}");
    compiled.finding_at(at, message).rule_is(Rule::Impossible).help(help)
}

#[cfg(test)]
mod tests {
    use miette::Diagnostic;

    use super::*;
    use crate::compile;
    use crate::failure::SourceFile;

    const SCHEMA: &str = include_str!("../../../../policies/schema.cedarschema");

    /// What is found in a policy with these clauses: the marked text and the help.
    fn check(clauses: &str, expect: &[(&str, &str)]) {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).unwrap();
        let text = format!(
            "@id(\"x\") permit (principal is User in Role::\"engineer\", action, resource in App::\"notices\")\n\
             {clauses};"
        );
        let file = SourceFile::new("apps/x.cedar".to_owned(), text.clone());
        let mut findings = Vec::new();
        let all = compile::policies(&file, &mut findings, &mut Vec::new());
        compile::validate(&schema, &all, &mut findings);
        let found: Vec<(&str, String)> = findings
            .iter()
            .map(|finding| {
                assert_eq!(finding.rule(), Rule::Impossible, "{clauses}\n{finding}");
                let label = finding.labels().unwrap().next().unwrap();
                let help = finding.help_text().unwrap_or_default().to_owned();
                (&text[label.offset()..label.offset() + label.len()], help)
            })
            .collect();
        assert_eq!(found.len(), expect.len(), "{clauses}\n{found:?}");
        for ((marked, help), (expect_marked, expect_help)) in found.iter().zip(expect) {
            assert_eq!(marked, expect_marked, "{clauses}");
            assert!(help.ends_with(expect_help), "{clauses}\n{help}");
        }
        let first = all.first().and_then(|compiled| one_of_a_group(compiled, &schema));
        assert_eq!(first.is_some(), !expect.is_empty(), "{clauses}");
    }

    #[test]
    fn a_group_for_one_action_is_told_once_wherever_a_clause_asks_for_it() {
        let write = "action == Action::\"write\"";
        let in_write = "write `action in Action::\"write\"`";
        let in_read = "write `action in Action::\"read\"`";
        let of_list = "write `action in […]` instead of `[…].contains(action)`";
        let other = "context.zones.contains(\"office\")";
        check(&format!("unless {{ {write} }}"), &[(write, in_write)]);
        // Cedar says as well that this one never applies.
        check(&format!("when {{ {write} }}"), &[(write, in_write)]);
        check(&format!("when {{ {other} || !({write}) }}"), &[(write, in_write)]);
        check(&format!("when {{ if {write} then {other} else true }}"), &[(write, in_write)]);
        check(&format!("when {{ ({write}) == {other} }}"), &[(write, in_write)]);
        check(
            &format!("when {{ Action::\"read\" == action || {other} }} unless {{ {write} }}"),
            &[("Action::\"read\" == action", in_read), (write, in_write)],
        );
        for unequal in ["action != Action::\"write\"", "Action::\"write\" != action"] {
            let expect = [(unequal, "write `!(action in Action::\"write\")`")];
            check(&format!("when {{ {unequal} && {other} }}"), &expect);
        }
        check(
            "unless { [Action::\"write\", Action::\"GET\"].contains(action) }",
            &[("Action::\"write\"", of_list)],
        );
    }

    #[test]
    fn one_action_and_a_group_with_in_are_right() {
        for clauses in [
            "",
            "unless { action == Action::\"POST\" }",
            "when { Action::\"GET\" != action }",
            "unless { action in Action::\"write\" }",
            "unless { action in [Action::\"write\", Action::\"GET\"] }",
            "when { [Action::\"GET\", Action::\"HEAD\"].contains(action) }",
        ] {
            check(clauses, &[]);
        }
    }
}
