//! The conditions of a policy as a tree, with the place of each in its text and what each comes to in a request.
//!
//! Cedar answers for a policy as a whole. Explanations, coverage and mutants need to know which of its conditions
//! came to what, and where that one stands. This works on any Cedar policy, from whatever schema.
//!
//! ```text
//!   permit (principal in Role::"hr", action, resource)     all ─┬─ atom   principal in Role::"hr"
//!   when { context.mfa || resource.public }                     ├─ atom   action
//!   unless { context.risk > 80 };                               ├─ atom   resource
//!                                                               ├─ any ─┬─ atom   context.mfa
//!                                                               │       └─ atom   resource.public
//!                                                               └─ not ─── atom   context.risk > 80
//! ```
//!
//! An atom is whatever is not one of Cedar's `&&`, `||`, `!` and `if`. Chains are flat. The order is that of the text,
//! which is the order of evaluation, so what stands behind a short circuit is [`Truth::NotReached`].
//!
//! The places are those that Cedar's parser left in the policy; one that was read from JSON has none. The stable API
//! does not hand them out, so this is the one module that looks into Cedar's own tree (`cedar-policy-core`).

mod tree;
mod truth;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use cedar_policy::{Entities, Policy, Request};
use cedar_policy_core::ast::{self, Expr, ExprKind};
use cedar_policy_core::parser::Loc;

use self::tree::Build;
use self::truth::Eye;
use crate::shape;

/// The conditions of one policy. Each has a number, its place in [`Conditions::all`]; the first is the policy as a whole.
#[derive(Clone)]
pub struct Conditions {
    policy: Policy,
    all: Vec<Condition>,
    offset: usize,
}

/// One condition.
#[derive(Debug, Clone)]
pub struct Condition {
    kind: Kind,
    part: Part,
    span: Option<Range<usize>>,
    /// The same in the text that was read, which it holds.
    loc: Option<Loc>,
    expr: Expr,
}

/// What a condition is made of, by the numbers of those below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Each of them holds: `&&`, and the sides and clauses of a policy.
    All(Vec<usize>),
    /// One of them holds: `||`.
    Any(Vec<usize>),
    /// It does not hold: `!`, and an `unless` clause.
    Not(usize),
    /// `if test then … else …`.
    If {
        /// What is asked first.
        test: usize,
        /// What counts when it holds.
        then: usize,
        /// What counts when it does not.
        otherwise: usize,
    },
    /// Anything else: a comparison, a fact, a side of the scope.
    Atom,
}

/// The part of the policy in which a condition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// All of it.
    Whole,
    /// What the scope says of the principal.
    Principal,
    /// What the scope says of the action.
    Action,
    /// What the scope says of the resource.
    Resource,
    /// A `when` or an `unless`.
    Clause,
}

/// What a condition came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It could not be evaluated, and why. The policy counts for nothing then.
    Error(String),
    /// Another one had settled the matter before it was asked.
    NotReached,
}

impl Truth {
    /// Yes or no, if it came to one of these.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::True => Some(true),
            Self::False => Some(false),
            Self::Error(_) | Self::NotReached => None,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

// === impl Conditions ===

impl Conditions {
    /// The conditions of a policy, the scope included. What lies deeper or further than the bounds on policies is an atom.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        let core: &ast::Policy = policy.as_ref();
        let whole = core.loc().cloned();
        let sides = whole.as_ref().and_then(Loc::snippet).and_then(shape::scope);
        let base = whole.as_ref().map_or(0, Loc::start);
        let span = whole.as_ref().map(|loc| 0..loc.end().saturating_sub(base));
        let mut build = Build { whole: whole.as_ref(), base, all: Vec::new() };
        build.push(Part::Whole, span, whole.clone(), core.condition());
        let scope = [
            (Part::Principal, core.principal_constraint().as_expr()),
            (Part::Action, core.action_constraint().as_expr()),
            (Part::Resource, core.resource_constraint().as_expr()),
        ];
        let mut top = Vec::with_capacity(4);
        for (at, (part, expr)) in scope.into_iter().enumerate() {
            top.push(build.side(part, expr, sides.as_ref().and_then(|s| s.get(at)).cloned()));
        }
        if let Some(expr) = core.non_scope_constraints() {
            let clauses = build.clauses(expr);
            top.extend(clauses.into_iter().map(|clause| build.add(clause, 0)));
        }
        let mut all = build.all;
        if let Some(first) = all.first_mut() {
            first.kind = Kind::All(top);
        }
        Self { policy: policy.clone(), all, offset: base }
    }

    /// All of them: each before those below it, in the order of the text. The first is the policy as a whole.
    #[must_use]
    pub fn all(&self) -> &[Condition] {
        &self.all
    }

    /// The one with this number.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<&Condition> {
        self.all.get(number)
    }

    /// The atoms, with their numbers.
    pub fn atoms(&self) -> impl Iterator<Item = (usize, &Condition)> {
        self.all.iter().enumerate().filter(|(_, c)| c.kind == Kind::Atom)
    }

    /// The policy that they are of.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Where the policy begins in the text that Cedar read, in bytes. It is 0 where each policy is read by itself, as all
    /// those of a folder are; to get from there to the file add where [`crate::PolicySource`] begins.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// What each comes to, by number, exactly as Cedar evaluates: what is not needed is not reached.
    #[must_use]
    pub fn evaluate(&self, request: &Request, entities: &Entities) -> Vec<Truth> {
        let mut truths = vec![Truth::NotReached; self.all.len()];
        let eye = Eye::new(self, request, entities);
        let _ = eye.look(0, &mut truths, false);
        truths
    }

    /// What each would come to by itself, by number: each atom is asked, also behind a short circuit. What its guard kept
    /// from being asked (`context has x && context.x > 1`) may be an error here, which the policy as a whole is not.
    #[must_use]
    pub fn evaluate_each(&self, request: &Request, entities: &Entities) -> Vec<Truth> {
        let mut truths = vec![Truth::NotReached; self.all.len()];
        let eye = Eye::new(self, request, entities);
        let _ = eye.look(0, &mut truths, true);
        truths
    }

    /// What the one with this number comes to by itself. What is below it is asked as far as it needs that.
    #[must_use]
    pub fn evaluate_one(&self, number: usize, request: &Request, entities: &Entities) -> Truth {
        let mut truths = Vec::new();
        Eye::new(self, request, entities).look(number, &mut truths, false)
    }
}

impl fmt::Debug for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conditions").field("policy", self.policy.id()).field("all", &self.all).finish()
    }
}

// === impl Condition ===

impl Condition {
    /// What it is made of.
    #[must_use]
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }

    /// In which part of the policy it stands.
    #[must_use]
    pub const fn part(&self) -> Part {
        self.part
    }

    /// Its bytes, counted from where the policy begins, annotations included; without the brackets around it. None for a
    /// policy that was never text.
    #[must_use]
    pub fn span(&self) -> Option<Range<usize>> {
        self.span.clone()
    }

    /// As it is written; as Cedar would write it if it was never text.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self.loc.as_ref().and_then(Loc::snippet) {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(self.expr.to_string()),
        }
    }

    /// Whether it is `true` or `false` as it is written: an open side of the scope is true.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        matches!(self.expr.expr_kind(), ExprKind::Lit(_))
    }

    /// In Cedar's own tree.
    pub(crate) const fn expr(&self) -> &Expr {
        &self.expr
    }
}

#[cfg(test)]
mod tests;
